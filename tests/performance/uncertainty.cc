// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/programs/program.h>
#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>
#include <neuraldeal/surrogates/uncertainty/scores.h>
#include <torch/cuda.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <limits>

#include "uncertainty_results.h"
#include "uncertainty_table.h"
#include "uncertainty_tasks.h"

// All methods of uncertainty on the same problems: every method, problem,
// number of samples and seed is a training, whose result is a line in a file of
// its method. What is there already is not done again, so that the benchmark
// can be run in pieces and on several machines, whose files are put together.
// In the end the table is printed of all that there is.

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;
  using Clock = std::chrono::steady_clock;

  double
  seconds_since(const Clock::time_point &start)
  {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }



  /** The mean over the values of every sample. */
  torch::Tensor
  value_mean(const torch::Tensor &values)
  {
    return values.flatten(1).mean(1);
  }



  /** What deviations are multiplied with for the least CRPS. */
  double
  best_crps_factor(const torch::Tensor &mean,
                   const torch::Tensor &deviation,
                   const torch::Tensor &truth)
  {
    double result = 1., least = std::numeric_limits<double>::infinity();
    for (int i = -24; i <= 48; ++i)
      {
        const double factor = std::pow(1.1, i);
        const double crps =
          scores::gaussian_crps(mean, factor * deviation, truth)
            .mean()
            .item<double>();
        if (crps < least)
          {
            least  = crps;
            result = factor;
          }
      }
    return result;
  }



  /** Train and judge one method. */
  UncertaintyResult
  measure(const UncertaintyRun   &run,
          const UncertaintyTasks &problem,
          const nlohmann::json   &parameters,
          const torch::Device    &device,
          const bool              quick)
  {
    auto task = problem.task(run.samples, run.seed, device);
    if (quick)
      task.options.epochs = 2;
    const auto method =
      make_probabilistic_operator(run.method, parameters, task.source);

    UncertaintyResult result;
    result.run    = run;
    result.device = device.str();
    auto start    = Clock::now();
    method->fit(task);
    if (device.is_cuda())
      torch::cuda::synchronize();
    result.training_seconds = seconds_since(start);

    std::vector<std::int64_t> by_channel(task.training.target.dim(), 1);
    by_channel[1]   = -1;
    const auto unit = task.training.target.to(torch::kFloat64)
                        .transpose(0, 1)
                        .flatten(1)
                        .std(1)
                        .reshape(by_channel)
                        .to(torch::kCPU);
    start = Clock::now();
    // The held-out samples come first: they say how to calibrate.
    for (const auto &set : problem.data.sets)
      {
        if (set.kind == UncertaintySet::Kind::training)
          continue;
        const auto data = problem.samples(set);
        const long n =
          quick ? std::min<long>(data.size(),
                                 set.is_shifted() ? 10 : 2 * n_calibrating) :
                  data.size();

        constexpr long             block_size = 50;
        std::vector<torch::Tensor> means, deviations;
        for (long begin = 0; begin < n; begin += block_size)
          {
            const auto answer = method->predict(
              data.slice(begin, std::min(begin + block_size, n)).to(device));
            means.push_back(answer.mean.to(torch::kCPU, torch::kFloat64) /
                            unit);
            deviations.push_back(answer.pointwise_variance()
                                   .to(torch::kCPU, torch::kFloat64)
                                   .sqrt() /
                                 unit);
          }
        const auto mean      = torch::cat(means),
                   deviation = torch::cat(deviations).clamp_min(1e-12),
                   truth =
                     data.target.slice(0, 0, n).to(torch::kFloat64) / unit;

        UncertaintyOfSet said;
        said.error = value_mean((mean - truth).square()).sqrt();
        said.norm  = value_mean(truth.square()).sqrt();
        said.scale = value_mean(deviation.square()).sqrt();
        said.crps  = value_mean(scores::gaussian_crps(mean, deviation, truth));
        said.likelihood =
          value_mean(scores::gaussian_likelihood(mean, deviation, truth));
        said.chi_square = scores::chi_square(mean, deviation, truth);
        if (set.kind == UncertaintySet::Kind::held_out)
          {
            const auto first = [](const torch::Tensor &values) {
              return values.slice(0, 0, n_calibrating);
            };
            result.likelihood_factor =
              std::sqrt(first(said.chi_square).mean().item<double>());
            result.crps_factor =
              best_crps_factor(first(mean), first(deviation), first(truth));
          }
        said.calibrated_crps = value_mean(
          scores::gaussian_crps(mean, result.crps_factor * deviation, truth));
        said.calibrated_likelihood = value_mean(scores::gaussian_likelihood(
          mean, result.likelihood_factor * deviation, truth));
        if (set.kind == UncertaintySet::Kind::held_out)
          result.calibration_error =
            scores::gaussian_calibration(mean.slice(0, n_calibrating),
                                         result.crps_factor *
                                           deviation.slice(0, n_calibrating),
                                         truth.slice(0, n_calibrating))
              .error;
        result.sets[set.name] = said;
      }
    result.prediction_seconds = seconds_since(start);
    return result;
  }



  void
  run_benchmark(const std::string                &choices_file,
                const std::string                &data_folder,
                const std::string                &results_folder,
                const std::vector<std::string>   &wanted_problems,
                const std::vector<std::string>   &wanted_methods,
                const std::vector<long>          &wanted_samples,
                const std::vector<std::uint64_t> &seeds,
                const bool                        quick,
                const double                      seconds)
  {
    std::ifstream stream(choices_file);
    if (!stream)
      throw FileError(choices_file, "it cannot be read");
    const auto          choices = nlohmann::json::parse(stream);
    const torch::Device device(torch::cuda::is_available() ? torch::kCUDA :
                                                             torch::kCPU);
    const auto          start = Clock::now();
    UncertaintyResults  results(results_folder);
    std::map<std::string, std::shared_ptr<const UncertaintyTasks>> problems;
    const auto is_wanted = [](const auto &wanted, const auto &value) {
      return wanted.empty() ||
             std::find(wanted.begin(), wanted.end(), value) != wanted.end();
    };

    for (const auto seed : seeds)
      for (const auto &[problem_name, of_problem] :
           choices.at("problems").items())
        for (const auto &[n, epochs] : of_problem.at("epochs").items())
          for (const auto &[method, parameters] : choices.at("methods").items())
            {
              const UncertaintyRun run{problem_name,
                                       method,
                                       std::stol(n),
                                       seed};
              if (!is_wanted(wanted_problems, run.problem) ||
                  !is_wanted(wanted_methods, run.method) ||
                  !is_wanted(wanted_samples, run.samples) ||
                  results.contains(run) ||
                  (seconds > 0. && seconds_since(start) > seconds))
                continue;
              auto &problem = problems[run.problem];
              if (!problem)
                problem = std::make_shared<UncertaintyTasks>(run.problem,
                                                             of_problem,
                                                             data_folder);
              const auto result =
                measure(run, *problem, parameters, device, quick);
              results.add(result);
              const auto &held_out = result.sets.at("held-out");
              fmt::print(
                "{}, {} samples, {}, seed {}: {:.1f} and {:.1f} s, "
                "error {:.3f} %, CRPS {:.4f}, calibrated {:.4f}, "
                "rank correlation {:.2f}\n",
                run.problem,
                run.samples,
                run.method,
                run.seed,
                result.training_seconds,
                result.prediction_seconds,
                1e2 * (held_out.error / held_out.norm).mean().item<double>(),
                held_out.crps.mean().item<double>(),
                held_out.calibrated_crps.mean().item<double>(),
                scores::rank_correlation(held_out.scale, held_out.error));
              std::fflush(stdout);
            }
    print_uncertainty_table(results, choices, data_folder, device.str(), quick);
  }
} // namespace



int
main(int argc, char *argv[])
{
  std::string                choices, data, results;
  std::vector<std::string>   problems, methods;
  std::vector<long>          samples;
  std::vector<std::uint64_t> seeds   = {1, 2, 3};
  bool                       quick   = false;
  double                     seconds = 0;

  CLI::App app("Methods of uncertainty on the same problems.", "uncertainty");
  app.add_option("choices", choices, "uncertainty.json")->required();
  app.add_option("data", data, "folder of uncertainty-*.safetensors")
    ->required();
  app.add_option("results", results, "folder of results, a file a method")
    ->required();
  app.add_option("--problem", problems, "only these");
  app.add_option("--method", methods, "only these");
  app.add_option("--samples", samples, "only these numbers of samples");
  app.add_option("--seed", seeds, "instead of 1, 2 and 3");
  app.add_option("--seconds",
                 seconds,
                 "nothing is begun after so many seconds");
  app.add_flag("--quick", quick, "hardly train");
  return run_command(app, argc, argv, [&]() {
    run_benchmark(choices,
                  data,
                  results,
                  problems,
                  methods,
                  samples,
                  seeds,
                  quick,
                  seconds);
    return 0;
  });
}
