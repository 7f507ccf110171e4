// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "uncertainty_tasks.h"

#include <torch/utils.h>

#include "darcy_field.h"

namespace neuraldeal::performance
{
  UncertaintyTasks::UncertaintyTasks(const std::string    &name,
                                     const nlohmann::json &choices,
                                     const std::string    &folder)
    : choices(choices)
    , data(UncertaintyData::read(folder, name))
  {}



  OperatorData
  UncertaintyTasks::samples(const UncertaintyData::Set &set) const
  {
    OperatorData result;
    result.input.fields = choices.value("logarithm of the input", false) ?
                            set.input.log() :
                            set.input;
    result.target       = set.solution;
    return result;
  }



  OperatorData
  UncertaintyTasks::training(const long          n_samples,
                             const std::uint64_t seed) const
  {
    const auto all = samples(data.set("training"));
    const long n = all.size(), first = (long(seed - 1) * n_samples) % n;
    return all.select((torch::arange(n_samples, torch::kInt64) + first) % n);
  }



  ProbabilisticOperator::Task
  UncertaintyTasks::task(const long           n_samples,
                         const std::uint64_t  seed,
                         const torch::Device &device) const
  {
    ProbabilisticOperator::Task task;
    task.type          = choices.at("operator");
    task.parameters    = choices.at("parameters");
    task.training      = training(n_samples, seed).to(device);
    const auto &target = task.training.target;
    task.shape         = {task.training.input.fields.size(1),
                          target.size(1),
                          target.dim() - 2};
    if (choices.value("square's symmetries", false))
      task.symmetries = symmetries_of_square(target.size(2)).to(device);
    task.source         = "tests/performance/uncertainty.json";
    task.options        = Trainer::parse(choices.at("training"), task.source);
    task.options.epochs = choices.at("epochs").at(std::to_string(n_samples));
    task.options.seed   = seed;
    if (device.is_cpu())
      task.options.precision = "single";
    return task;
  }
} // namespace neuraldeal::performance
