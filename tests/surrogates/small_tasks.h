// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_small_tasks_h
#define neuraldeal_tests_surrogates_small_tasks_h

#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

#include "small_trainings.h"

namespace neuraldeal::tests
{
  /** For a method of uncertainty: learn @p data with the small operator. */
  inline ProbabilisticOperator::Task
  make_task(const OperatorData &data, const long epochs)
  {
    ProbabilisticOperator::Task task;
    task.type                  = "Fourier";
    task.parameters            = small_operator;
    task.shape                 = {1, 1, 1};
    task.training              = data;
    task.source                = "test";
    task.options               = few_epochs();
    task.options.epochs        = epochs;
    task.options.batch_size    = 16;
    task.options.learning_rate = 1e-2;
    return task;
  }
} // namespace neuraldeal::tests

#endif
