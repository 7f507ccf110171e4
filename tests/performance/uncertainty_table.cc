// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "uncertainty_table.h"

#include <fmt/format.h>
#include <neuraldeal/surrogates/uncertainty/training_range.h>

#include <algorithm>
#include <memory>
#include <set>

#include "uncertainty_tasks.h"

namespace neuraldeal::performance
{
  namespace
  {
    /** Which inputs of each set are called outside of the training range. */
    std::map<std::string, torch::Tensor>
    outside_of_training(const UncertaintyTasks &tasks,
                        const long              n_samples,
                        const std::uint64_t     seed)
    {
      TrainingRange range;
      range.fit(tasks.training(n_samples, seed));
      std::map<std::string, torch::Tensor> result;
      for (const auto &set : tasks.data.sets)
        if (set.kind != UncertaintySet::Kind::training)
          // What is not a number is not inside.
          result[set.name] =
            range.distances(tasks.samples(set)).le(1.).logical_not();
      return result;
    }
  } // namespace



  void
  print_uncertainty_table(const UncertaintyResults &results,
                          const nlohmann::json     &choices,
                          const std::string        &data_folder,
                          const std::string        &machine,
                          const bool                quick)
  {
    struct Column
    {
      const char *title, *figure;
      double      factor;
      int         digits;
    };
    const std::vector<Column> columns = {
      {"error %", "error", 1e2, 2},
      {"CRPS %", "crps", 1e2, 2},
      {"calibr.", "calibrated_crps", 1e2, 2},
      {"NLL", "likelihood", 1, 2},
      {"calibr.", "calibrated_likelihood", 1, 2},
      {"chi^2", "chi_square", 1, 2},
      {"ECE", "calibration_error", 1, 3},
      {"rank", "rank_correlation", 1, 2},
      {"rel.", "relative_rank_correlation", 1, 2},
      {"cover", "coverage", 1, 3},
      {"width %", "width", 1e2, 2},
      {"shift", "shift_rank_correlation", 1, 2},
      {"failed", "failed_bounds", 1, 0},
      {"flagged", "failed_bounds_flagged", 1, 3},
      {"false", "false_flags", 1, 3},
      {"train s", "training_seconds", 1, 0}};

    nlohmann::json          figures;
    std::set<std::uint64_t> seeds;
    for (const auto &[problem, of_problem] : choices.at("problems").items())
      {
        std::vector<long> sizes;
        for (const auto &[n, epochs] : of_problem.at("epochs").items())
          sizes.push_back(std::stol(n));
        std::sort(sizes.begin(), sizes.end());
        std::unique_ptr<UncertaintyTasks> tasks;
        std::map<std::pair<long, std::uint64_t>,
                 std::map<std::string, torch::Tensor>>
          outside_of;
        for (const long n : sizes)
          {
            bool title = false;
            for (const auto &[method, parameters] :
                 choices.at("methods").items())
              {
                std::map<std::string, double> sum;
                double                        count = 0;
                for (const auto &[run, result] : results.all())
                  if (run.problem == problem && run.samples == n &&
                      run.method == method)
                    {
                      if (!tasks)
                        tasks = std::make_unique<UncertaintyTasks>(problem,
                                                                   of_problem,
                                                                   data_folder);
                      // All methods have the same inputs.
                      auto &outside = outside_of[{n, run.seed}];
                      if (outside.empty())
                        outside = outside_of_training(*tasks, n, run.seed);
                      for (const auto &[name, value] :
                           uncertainty_figures(result, outside))
                        sum[name] += value;
                      ++count;
                      seeds.insert(run.seed);
                    }
                if (count == 0)
                  continue;
                if (!title)
                  {
                    title = true;
                    fmt::print("\n{}, {} samples\n{:20}", problem, n, "");
                    for (const auto &column : columns)
                      fmt::print(" {:>8}", column.title);
                    fmt::print("\n");
                  }
                fmt::print("{:20}", method);
                for (const auto &column : columns)
                  fmt::print(" {:8.{}f}",
                             column.factor * sum.at(column.figure) / count,
                             column.digits);
                fmt::print("\n");
                for (const auto &[name, value] : sum)
                  figures[fmt::format(
                    "{}_{}_{}_{}", problem, n, method, name)] = value / count;
              }
          }
      }
    fmt::print("{}\n",
               nlohmann::json{{"benchmark", "uncertainty"},
                              {"figures", figures},
                              {"seeds", seeds},
                              {"machine", machine},
                              {"quick", quick}}
                 .dump());
  }
} // namespace neuraldeal::performance
