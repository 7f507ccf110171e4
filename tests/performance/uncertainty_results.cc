// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "uncertainty_results.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/random.h>
#include <neuraldeal/surrogates/uncertainty/conformal.h>
#include <neuraldeal/surrogates/uncertainty/scores.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace neuraldeal::performance
{
  namespace
  {
    /** The tensors of a set, by name. */
    std::vector<std::pair<std::string, torch::Tensor UncertaintyOfSet::*>>
    parts()
    {
      return {{"error", &UncertaintyOfSet::error},
              {"norm", &UncertaintyOfSet::norm},
              {"scale", &UncertaintyOfSet::scale},
              {"crps", &UncertaintyOfSet::crps},
              {"likelihood", &UncertaintyOfSet::likelihood},
              {"chi square", &UncertaintyOfSet::chi_square},
              {"calibrated crps", &UncertaintyOfSet::calibrated_crps},
              {"calibrated likelihood",
               &UncertaintyOfSet::calibrated_likelihood}};
    }



    /** Six digits are enough, and take little room. */
    nlohmann::json
    to_numbers(const torch::Tensor &values)
    {
      auto        result = nlohmann::json::array();
      const auto  cpu    = values.to(torch::kFloat64).contiguous();
      const auto *data   = cpu.data_ptr<double>();
      for (long i = 0; i < cpu.numel(); ++i)
        if (std::isfinite(data[i]))
          result.push_back(
            std::strtod(fmt::format("{:.6g}", data[i]).c_str(), nullptr));
        else
          result.push_back(nullptr);
      return result;
    }



    torch::Tensor
    from_numbers(const nlohmann::json &given)
    {
      std::vector<double> values;
      for (const auto &value : given)
        values.push_back(value.is_null() ? NAN : value.get<double>());
      return torch::tensor(values, torch::kFloat64);
    }



    double
    mean_of(const torch::Tensor &values)
    {
      return values.mean().item<double>();
    }
  } // namespace



  nlohmann::json
  UncertaintyResult::to_json() const
  {
    nlohmann::json result = {{"problem", run.problem},
                             {"method", run.method},
                             {"samples", run.samples},
                             {"seed", run.seed},
                             {"training seconds", training_seconds},
                             {"prediction seconds", prediction_seconds},
                             {"device", device},
                             {"CRPS factor", crps_factor},
                             {"likelihood factor", likelihood_factor},
                             {"calibration error", calibration_error}};
    for (const auto &[name, set] : sets)
      for (const auto &[part, member] : parts())
        result["sets"][name][part] = to_numbers(set.*member);
    return result;
  }



  UncertaintyResult
  UncertaintyResult::from_json(const nlohmann::json &given)
  {
    UncertaintyResult result;
    result.run                = {given.at("problem"),
                                 given.at("method"),
                                 given.at("samples"),
                                 given.at("seed")};
    result.training_seconds   = given.at("training seconds");
    result.prediction_seconds = given.at("prediction seconds");
    result.device             = given.at("device");
    result.crps_factor        = given.at("CRPS factor");
    result.likelihood_factor  = given.at("likelihood factor");
    result.calibration_error  = given.at("calibration error");
    for (const auto &[name, set] : given.at("sets").items())
      for (const auto &[part, member] : parts())
        result.sets[name].*member = from_numbers(set.at(part));
    return result;
  }



  UncertaintyResults::UncertaintyResults(const std::string &folder)
    : folder(folder)
  {
    std::filesystem::create_directories(folder);
    for (const auto &entry : std::filesystem::directory_iterator(folder))
      {
        if (entry.path().extension() != ".jsonl")
          continue;
        std::ifstream stream(entry.path());
        std::string   line;
        for (long number = 1; std::getline(stream, line); ++number)
          try
            {
              const auto result =
                UncertaintyResult::from_json(nlohmann::json::parse(line));
              results.insert_or_assign(result.run, result);
            }
          catch (const nlohmann::json::exception &)
            {
              throw FileError(entry.path().string(),
                              fmt::format("its line {} is no result of the "
                                          "benchmark; delete that line",
                                          number));
            }
      }
  }



  void
  UncertaintyResults::add(const UncertaintyResult &result)
  {
    // One write to the end of the file, since others may add to it as well.
    auto name = result.run.method;
    std::replace(name.begin(), name.end(), ' ', '_');
    name            = folder + "/" + name + ".jsonl";
    const auto line = result.to_json().dump() + "\n";
    const int  file =
      open(name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const bool written = file >= 0 && write(file, line.data(), line.size()) ==
                                        ssize_t(line.size());
    if (file >= 0)
      close(file);
    if (!written)
      throw FileError(name, "it cannot be written");
    results.insert_or_assign(result.run, result);
  }



  std::map<std::string, double>
  uncertainty_figures(const UncertaintyResult                    &result,
                      const std::map<std::string, torch::Tensor> &outside)
  {
    const auto &held_out = result.sets.at("held-out");
    const long  n        = held_out.error.size(0);
    const auto  judging  = [&](const torch::Tensor &values) {
      return mean_of(values.slice(0, n_calibrating));
    };

    std::map<std::string, double> figures;
    const auto relative_error = held_out.error / held_out.norm;
    figures["error"]          = mean_of(relative_error);
    const auto quantiles =
      scores::quantiles(relative_error,
                        torch::tensor({0.5, 0.95}, torch::kFloat64));
    figures["error_quantile_50"]     = quantiles[0].item<double>();
    figures["error_quantile_95"]     = quantiles[1].item<double>();
    figures["crps"]                  = judging(held_out.crps);
    figures["likelihood"]            = judging(held_out.likelihood);
    figures["calibrated_crps"]       = judging(held_out.calibrated_crps);
    figures["calibrated_likelihood"] = judging(held_out.calibrated_likelihood);
    figures["chi_square"]            = judging(held_out.chi_square);
    figures["calibration_error"]     = result.calibration_error;
    figures["rank_correlation"] =
      scores::rank_correlation(held_out.scale, held_out.error);
    figures["relative_rank_correlation"] =
      scores::rank_correlation(held_out.scale / held_out.norm, relative_error);
    figures["training_seconds"] = result.training_seconds;

    // Bounds of whole fields, over random splits.
    constexpr unsigned int n_splits = 200;
    double                 coverage = 0, width = 0;
    for (unsigned int split = 0; split < n_splits; ++split)
      {
        const auto order =
          CounterRandom(1, CounterRandom::Stream::splitting, split)
            .permutation(n);
        const auto numbers =
          torch::tensor(std::vector<long>(order.begin(), order.end()));
        const auto error  = held_out.error.index_select(0, numbers),
                   scale  = held_out.scale.index_select(0, numbers),
                   norm   = held_out.norm.index_select(0, numbers);
        const auto factor = conformal_factor(error.slice(0, 0, n_calibrating),
                                             scale.slice(0, 0, n_calibrating),
                                             uncertainty_confidence,
                                             "the benchmark");
        const auto bound  = factor.bound(scale.slice(0, n_calibrating));
        coverage +=
          mean_of((error.slice(0, n_calibrating) <= bound).to(torch::kFloat64));
        width += mean_of(bound / norm.slice(0, n_calibrating));
      }
    figures["coverage"] = coverage / n_splits;
    figures["width"]    = width / n_splits;

    // Under shifts
    const auto factor =
      conformal_factor(held_out.error.slice(0, 0, n_calibrating),
                       held_out.scale.slice(0, 0, n_calibrating),
                       uncertainty_confidence,
                       "the benchmark");
    figures["false_flags"] =
      judging(outside.at("held-out").to(torch::kFloat64));
    std::vector<double> errors, scales;
    double              failed = 0, flagged_of_failed = 0;
    for (const auto &[name, set] : result.sets)
      {
        errors.push_back(mean_of(set.error));
        scales.push_back(mean_of(set.scale));
        if (name == "held-out")
          continue;
        const auto fails = (set.error <= factor.bound(set.scale)).logical_not();
        failed += fails.sum().item<double>();
        flagged_of_failed +=
          fails.logical_and(outside.at(name).slice(0, 0, fails.size(0)))
            .sum()
            .item<double>();
      }
    figures["shift_rank_correlation"] =
      scores::rank_correlation(torch::tensor(scales, torch::kFloat64),
                               torch::tensor(errors, torch::kFloat64));
    figures["failed_bounds"] = failed;
    figures["failed_bounds_flagged"] =
      failed > 0. ? flagged_of_failed / failed : 1.;
    return figures;
  }
} // namespace neuraldeal::performance
