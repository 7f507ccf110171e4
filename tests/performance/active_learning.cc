// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// Which inputs to solve: designs and acquisition functions by what they need to
// reach an error, on solves that were made before (active_learning_fields):
//
//   active_learning DATA_FOLDER RESULTS_FOLDER [quick] [--problem P]
//                   [--method M] [--seed S]
//
// What has been measured stands in RESULTS_FOLDER/results.jsonl, a line a run,
// and is not measured again.

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <neuraldeal/surrogates/acquisition/acquisition.h>
#include <neuraldeal/surrogates/acquisition/cost_model.h>
#include <neuraldeal/surrogates/acquisition/error_process.h>
#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/random.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "timing.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;

  struct Problem
  {
    std::string name;
    std::string file;
    bool        prior = false;
    bool        costs = false; ///< whether those of solves differ
  };

  const std::vector<Problem> problems = {
    {"layer", "layer", false, false},
    {"convection", "convection", false, false},
    {"burgers, uniform", "burgers-uniform", false, true},
    {"burgers", "burgers", false, true},
    {"thermal block", "thermal-block", false, true},
    {"thermal block, prior", "thermal-block", true, true},
    {"darcy", "darcy", false, false}};

  struct Method
  {
    std::string name;
    /** Of Acquisition; empty: a design. */
    std::string    acquisition;
    nlohmann::json parameters = nlohmann::json::object();
  };

  const std::vector<Method> methods = {
    {"random", ""},
    {"Sobol", ""},
    {"Latin hypercube", ""},
    {"integrated error", "integrated error"},
    {"integrated error, 2nd power", "integrated error", {{"norm", 2.}}},
    {"integrated variance",
     "integrated error",
     {{"norm", 2.}, {"local errors", false}}},
    {"largest uncertainty", "largest uncertainty"},
    {"power sampling", "power sampling"},
    {"core set", "core set"},
    {"largest cluster", "largest cluster"},
    {"integrated error by cost", "integrated error", {{"cost power", 1.}}}};

  std::vector<std::string>
  names_of_problems()
  {
    std::vector<std::string> result;
    for (const auto &problem : problems)
      result.push_back(problem.name);
    return result;
  }

  std::vector<std::string>
  names_of_methods()
  {
    std::vector<std::string> result;
    for (const auto &method : methods)
      result.push_back(method.name);
    return result;
  }



  /** All solves of a problem. */
  struct Data
  {
    torch::Tensor  inputs; ///< of order one, [S, d]
    torch::Tensor  values; ///< times roots of weights, over the prior's norm
    torch::Tensor  norms;  ///< of the solutions, over the prior's, [S]
    torch::Tensor  cost;   ///< [S]
    nlohmann::json sets;

    struct Rows
    {
      long begin, n;
    };

    Rows
    rows(const std::string &name) const
    {
      for (const auto &set : sets)
        if (set["name"] == name)
          return {set["begin"], set["n"]};
      throw InputError("the data", "set", name, "one of those of the file");
    }
  };

  Data
  read(const std::string &filename, const bool with_prior)
  {
    const auto file = ModelFile::read(filename);
    Data       data;
    data.inputs       = file.tensor("inputs").clone();
    const auto ranges = file.metadata.at("inputs");
    for (std::size_t i = 0; i < ranges.size(); ++i)
      {
        const bool logarithmic = ranges[i]["logarithmic"];
        auto       column      = data.inputs.select(1, i);
        if (logarithmic)
          column.log_();
        if (ranges[i]["lower"].is_null())
          column.div_(column.std());
        else
          {
            double lower = ranges[i]["lower"], upper = ranges[i]["upper"];
            if (logarithmic)
              {
                lower = std::log(lower);
                upper = std::log(upper);
              }
            column.sub_(0.5 * (lower + upper)).div_(0.5 * (upper - lower));
          }
      }
    const auto roots = file.tensor("weights").sqrt();
    data.values      = file.tensor("values").to(torch::kFloat64) * roots;
    data.norms       = data.values.square().sum(1).sqrt();
    if (with_prior)
      {
        const auto prior = file.tensor("prior").to(torch::kFloat64) * roots;
        const auto rho   = prior.square().sum(1).sqrt();
        data.values      = (data.values - prior) / rho.unsqueeze(1);
        data.norms       = data.norms / rho;
      }
    data.cost = file.tensor("cost");
    data.sets = file.metadata.at("sets");
    return data;
  }



  /** POD, and kernel regression of the coefficients: the same for all. */
  class Surrogate
  {
  public:
    Surrogate(const Data &data, const torch::Tensor &rows)
      : inputs(data.inputs.index_select(0, rows))
      , norms(data.norms.index_select(0, rows))
    {
      const auto y            = data.values.index_select(0, rows);
      auto [squares, vectors] = compat::symmetric_eigen(torch::mm(y, y.t()));
      squares                 = squares.flip(0).clamp_min(0.);
      vectors                 = vectors.flip(1);
      const auto tail         = squares.sum() - squares.cumsum(0);
      const long n_modes      = std::min<long>(
        {(tail > 1e-7 * norms.square().sum()).sum().item<std::int64_t>() + 1,
              100,
              rows.size(0)});
      const auto roots = squares.slice(0, 0, n_modes).sqrt();
      vectors          = vectors.slice(1, 0, n_modes);
      modes            = torch::mm(y.t(), vectors / roots);
      coefficients     = vectors * roots;
      ErrorProcess::Parameters parameters;
      parameters.local = false;
      process.emplace(inputs, coefficients, torch::Tensor(), parameters);
    }

    /** Relative errors of the rows, [n]. */
    torch::Tensor
    errors(const Data &data, const Data::Rows &rows) const
    {
      const auto of = [&](const torch::Tensor &all) {
        return all.slice(0, rows.begin, rows.begin + rows.n);
      };
      const auto y     = of(data.values);
      const auto exact = torch::mm(y, modes);
      const auto lost =
        (y.square().sum(1) - exact.square().sum(1)).clamp_min(0.);
      return (lost + (exact - process->regression().predict(of(data.inputs)))
                       .square()
                       .sum(1))
               .sqrt() /
             of(data.norms);
    }

    /** What acquisition functions are told of candidates. */
    void
    tell(Candidates &candidates) const
    {
      const auto &regression     = process->regression();
      candidates.chosen_features = inputs;
      candidates.chosen_values   = coefficients;
      candidates.chosen_norms    = norms;
      candidates.scale           = (regression.noise_variance().sum() *
                          (1. + regression.leverage(candidates.features)))
                           .sqrt() /
                         norms.mean();
    }

  private:
    torch::Tensor               inputs, norms, modes, coefficients;
    std::optional<ErrorProcess> process;
  };



  std::vector<long>
  sizes(const bool quick)
  {
    return quick ? std::vector<long>{32, 64, 128} :
                   std::vector<long>{32, 64, 128, 256, 512};
  }



  nlohmann::json
  run(const Problem &problem,
      const Data    &data,
      const Method  &method,
      const long     seed,
      const bool     quick)
  {
    const auto test = data.rows("test"), pool = data.rows("pool"),
               sobol = data.rows(fmt::format("Sobol, seed {}", seed));
    const auto permutation =
      CounterRandom(seed, CounterRandom::Stream::splitting, 0)
        .permutation(pool.n);
    std::optional<Acquisition> acquisition;
    if (!method.acquisition.empty())
      acquisition.emplace(method.acquisition, method.parameters, seed);

    nlohmann::json            result = {{"problem", problem.name},
                                        {"method", method.name},
                                        {"seed", seed},
                                        {"sizes", nlohmann::json::array()},
                                        {"mean", nlohmann::json::array()},
                                        {"quantile_99", nlohmann::json::array()},
                                        {"cost", nlohmann::json::array()}};
    std::vector<std::int64_t> chosen;
    std::optional<Surrogate>  surrogate;
    double                    fitting = 0., choosing = 0.;
    for (const long n : sizes(quick))
      {
        if (method.name == "random")
          while (long(chosen.size()) < n)
            chosen.push_back(pool.begin + permutation[chosen.size()]);
        else if (method.name == "Latin hypercube")
          {
            // It does not grow: another one for each number of points.
            if (n != sizes(quick).back() && n != sizes(quick).back() / 4)
              continue;
            const auto rows = data.rows(
              fmt::format("Latin hypercube, seed {}, {} points", seed, n));
            chosen.clear();
            for (long i = 0; i < n; ++i)
              chosen.push_back(rows.begin + i);
          }
        else if (!acquisition || chosen.empty())
          while (long(chosen.size()) < n)
            chosen.push_back(sobol.begin + std::int64_t(chosen.size()));
        else
          choosing += milliseconds(torch::kCPU, [&]() {
            Candidates candidates;
            candidates.features =
              data.inputs.slice(0, pool.begin, pool.begin + pool.n)
                .contiguous();
            // The same distribution, whatever has been chosen of it.
            candidates.reference_features =
              candidates.features.slice(0, 0, 1024);
            for (long i = 0; i < pool.n; ++i)
              candidates.ids.push_back(i);
            surrogate->tell(candidates);
            if (method.parameters.contains("cost power"))
              {
                const auto rows = torch::tensor(chosen, torch::kInt64);
                CostModel  model;
                model.fit(data.inputs.index_select(0, rows),
                          data.cost.index_select(0, rows));
                candidates.cost = model.predict(candidates.features).expected;
              }
            for (const long row :
                 acquisition->choose(candidates, n - long(chosen.size())))
              chosen.push_back(pool.begin + row);
          });
        const auto rows = torch::tensor(chosen, torch::kInt64);
        fitting +=
          milliseconds(torch::kCPU, [&]() { surrogate.emplace(data, rows); });
        const auto errors =
          std::get<0>(surrogate->errors(data, test).sort()).contiguous();
        result["sizes"].push_back(n);
        result["mean"].push_back(errors.mean().item<double>());
        result["quantile_99"].push_back(
          errors[long(0.99 * double(test.n))].item<double>());
        result["cost"].push_back(
          data.cost.index_select(0, rows).sum().item<double>());
      }
    result["seconds_fitting"]  = 1e-3 * fitting;
    result["seconds_choosing"] = 1e-3 * choosing;
    return result;
  }



  /**
   * Where the curve through (@p x, @p y), straight between logarithms, falls to
   * @p target; NaN where it does not.
   */
  double
  crossing(const std::vector<double> &x,
           const std::vector<double> &y,
           const double               target)
  {
    for (std::size_t i = 0; i < x.size(); ++i)
      if (y[i] <= target)
        {
          if (i == 0)
            return x[0];
          const double share =
            std::log(y[i - 1] / target) / std::log(y[i - 1] / y[i]);
          return x[i - 1] * std::pow(x[i] / x[i - 1], share);
        }
    return std::numeric_limits<double>::quiet_NaN();
  }



  /** Mean of logarithms, as a number, and the standard error of that. */
  std::pair<double, double>
  geometric(const std::vector<double> &values)
  {
    double mean = 0., square = 0.;
    for (const double value : values)
      mean += std::log(value) / double(values.size());
    for (const double value : values)
      square += std::pow(std::log(value) - mean, 2);
    const double n = double(values.size());
    return {std::exp(mean), n > 1. ? std::sqrt(square / (n * (n - 1.))) : 0.};
  }



  /** Tables of what there is, and the figures of the last line. */
  void
  summarize(const std::vector<nlohmann::json> &lines,
            const bool                         quick,
            nlohmann::json                    &figures)
  {
    for (const auto &problem : problems)
      {
        std::map<std::string, std::vector<nlohmann::json>> runs;
        for (const auto &line : lines)
          if (line["problem"] == problem.name)
            runs[line["method"]].push_back(line);
        if (runs["random"].empty())
          continue;

        const auto figure = [&](const std::string &method,
                                const std::string &what,
                                const std::size_t  i) {
          std::vector<double> values;
          for (const auto &line : runs[method])
            values.push_back(line[what][i]);
          return geometric(values);
        };
        const std::size_t last = sizes(quick).size() - 1;

        std::cout << "\n"
                  << problem.name << ", " << runs["random"].size()
                  << " seeds; relative error in %: mean ± standard error / 99 "
                     "% quantile\n"
                  << fmt::format("{:32s}", "solves, method (seeds)");
        for (const long n : sizes(quick))
          std::cout << fmt::format("{:>26d}", n);
        std::cout << fmt::format("{:>16s}{:>12s}{:>12s}\n",
                                 "as random's",
                                 "quantile",
                                 "cost");
        for (const auto &method : methods)
          {
            if (runs[method.name].empty())
              continue;
            std::cout << fmt::format("{:32s}",
                                     fmt::format("{} ({})",
                                                 method.name,
                                                 runs[method.name].size()));
            const std::vector<long> measured =
              runs[method.name][0]["sizes"].get<std::vector<long>>();
            std::size_t k = 0;
            for (const long n : sizes(quick))
              if (k < measured.size() && measured[k] == n)
                {
                  const auto mean     = figure(method.name, "mean", k);
                  const auto quantile = figure(method.name, "quantile_99", k);
                  std::cout
                    << fmt::format("{:>26s}",
                                   fmt::format("{:.3g} ± {:.2g} / {:.3g}",
                                               100. * mean.first,
                                               100. * mean.first * mean.second,
                                               100. * quantile.first));
                  ++k;
                }
              else
                std::cout << fmt::format("{:>26s}", "");

            // The share of random's solves, or of their cost, that leads to the
            // same error, by the mean curve of the seeds.
            const auto share = [&](const std::string &x_name,
                                   const std::string &y_name) {
              std::vector<double> x, y;
              for (std::size_t i = 0; i < measured.size(); ++i)
                {
                  x.push_back(figure(method.name, x_name, i).first);
                  y.push_back(figure(method.name, y_name, i).first);
                }
              return crossing(x, y, figure("random", y_name, last).first) /
                     figure("random", x_name, last).first;
            };
            const auto as_text = [](const double value) {
              return std::isnan(value) ? std::string("more") :
                                         fmt::format("{:.2f}", value);
            };
            const double by_mean     = share("sizes", "mean"),
                         by_quantile = share("sizes", "quantile_99"),
                         by_cost     = share("cost", "mean");
            std::cout << fmt::format("{:>16s}{:>12s}{:>12s}\n",
                                     as_text(by_mean),
                                     as_text(by_quantile),
                                     as_text(by_cost));
            const auto number = [](const double value) {
              return std::isnan(value) ? nlohmann::json() :
                                         nlohmann::json(value);
            };
            auto &entry                   = figures[problem.name][method.name];
            entry["solves_over_random"]   = number(by_mean);
            entry["quantile_over_random"] = number(by_quantile);
            entry["cost_over_random"]     = number(by_cost);
            entry["mean"] =
              figure(method.name, "mean", measured.size() - 1).first;
            entry["quantile_99"] =
              figure(method.name, "quantile_99", measured.size() - 1).first;
            entry["seeds"] = runs[method.name].size();
          }
      }
    std::cout << "\n(as random's, quantile, cost: solves over those of random "
                 "for its last mean error; for its last quantile; their cost "
                 "over its cost for its last mean error.)\n";
  }



  std::string
  processor()
  {
    std::ifstream in("/proc/cpuinfo");
    for (std::string line; std::getline(in, line);)
      if (line.rfind("model name", 0) == 0)
        return line.substr(line.find(':') + 2);
    return "unknown";
  }



  void
  run_all(const std::vector<std::string> &arguments)
  {
    const std::string                  program = "active_learning";
    std::vector<std::string>           folders;
    std::map<std::string, std::string> options;
    bool                               quick = false;
    for (std::size_t i = 0; i < arguments.size(); ++i)
      if (arguments[i] == "quick")
        quick = true;
      else if (arguments[i].rfind("--", 0) == 0 && i + 1 < arguments.size())
        {
          options[arguments[i]] = arguments[i + 1];
          ++i;
        }
      else
        folders.push_back(arguments[i]);
    for (const auto &option : options)
      {
        check_choice(program,
                     "option",
                     option.first,
                     {"--problem", "--method", "--seed"});
        if (option.first == "--problem")
          check_choice(program, "problem", option.second, names_of_problems());
        if (option.first == "--method")
          check_choice(program, "method", option.second, names_of_methods());
      }
    if (folders.size() != 2)
      throw InputError(program,
                       "the number of folders",
                       std::to_string(folders.size()),
                       "2: that of the data and that of the results");

    at::set_num_threads(1);
    const torch::NoGradGuard no_gradients;
    std::filesystem::create_directories(folders[1]);
    const std::string           name = folders[1] + "/results.jsonl";
    std::vector<nlohmann::json> lines;
    std::set<std::string>       there;
    const auto                  key = [](const nlohmann::json &line) {
      return line["problem"].get<std::string>() + "|" +
             line["method"].get<std::string>() + "|" +
             std::to_string(line["seed"].get<long>());
    };
    {
      std::ifstream in(name);
      for (std::string text; std::getline(in, text);)
        {
          // (The last line may be cut.)
          const auto line = nlohmann::json::parse(text, nullptr, false);
          if (!line.is_discarded() && there.insert(key(line)).second)
            lines.push_back(line);
        }
    }
    std::ofstream out(name, std::ios::app);

    const auto wanted = [&](const std::string &option,
                            const std::string &value) {
      const auto found = options.find(option);
      return found == options.end() || found->second == value;
    };
    for (long seed = 1; seed <= (quick ? 2 : 5); ++seed)
      for (const auto &problem : problems)
        {
          std::optional<Data> data;
          for (const auto &method : methods)
            {
              if (!wanted("--problem", problem.name) ||
                  !wanted("--method", method.name) ||
                  !wanted("--seed", std::to_string(seed)) ||
                  (method.parameters.contains("cost power") &&
                   !problem.costs) ||
                  there.count(problem.name + "|" + method.name + "|" +
                              std::to_string(seed)) > 0)
                continue;
              if (!data)
                data = read(folders[0] + "/active-learning-" + problem.file +
                              (quick ? "-quick" : "") + ".safetensors",
                            problem.prior);
              const auto line = run(problem, *data, method, seed, quick);
              std::cout
                << fmt::format(
                     "{}, {}, seed {}: {:.3g} %, fits {:.1f} s, choices "
                     "{:.1f} s",
                     problem.name,
                     method.name,
                     seed,
                     100. * line["mean"].back().get<double>(),
                     line["seconds_fitting"].get<double>(),
                     line["seconds_choosing"].get<double>())
                << std::endl;
              out << line.dump() << std::endl;
              lines.push_back(line);
            }
        }

    nlohmann::json figures = {
      {"benchmark", "active_learning"},
      {"quick", quick},
      {"default", Acquisition::default_type()},
      {"machine",
       processor() + ", one of " +
         std::to_string(std::thread::hardware_concurrency()) + " cores"}};
    summarize(lines, quick, figures["problems"]);
    std::cout << figures.dump() << std::endl;
  }
} // namespace



int
main(int argc, char *argv[])
{
  try
    {
      run_all({argv + 1, argv + argc});
    }
  catch (const std::exception &error)
    {
      std::cerr << "\nError: " << error.what() << std::endl;
      return 1;
    }
  return 0;
}
