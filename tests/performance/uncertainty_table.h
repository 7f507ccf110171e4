// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_uncertainty_table_h
#define neuraldeal_tests_performance_uncertainty_table_h

#include <string>

#include "uncertainty_results.h"

namespace neuraldeal::performance
{
  /**
   * Print the tables of all that is in @p results, a table for every problem
   * and number of samples, means over the seeds; then the line with the
   * figures.
   * @param choices of the benchmark.
   * @param data_folder where the inputs are, of which some are called outside of
   * the training range.
   */
  void
  print_uncertainty_table(const UncertaintyResults &results,
                          const nlohmann::json     &choices,
                          const std::string        &data_folder,
                          const std::string        &machine,
                          const bool                quick);
} // namespace neuraldeal::performance

#endif
