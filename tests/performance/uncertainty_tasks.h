// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_uncertainty_tasks_h
#define neuraldeal_tests_performance_uncertainty_tasks_h

#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

#include <string>

#include "uncertainty_data.h"

namespace neuraldeal::performance
{
  /** What of a problem's samples the methods are shown. */
  class UncertaintyTasks
  {
  public:
    /**
     * @param name of the problem.
     * @param choices for it, as in uncertainty.json.
     * @param folder where the data are.
     */
    UncertaintyTasks(const std::string    &name,
                     const nlohmann::json &choices,
                     const std::string    &folder);

    /** Inputs and targets of a set. */
    OperatorData
    samples(const UncertaintyData::Set &set) const;

    /**
     * Those to train with: other seeds have others, as far as there are some.
     */
    OperatorData
    training(const long n_samples, const std::uint64_t seed) const;

    ProbabilisticOperator::Task
    task(const long           n_samples,
         const std::uint64_t  seed,
         const torch::Device &device) const;

    const nlohmann::json  choices;
    const UncertaintyData data;
  };
} // namespace neuraldeal::performance

#endif
