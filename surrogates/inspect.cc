// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/inspect.h>
#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/train_surrogate.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace neuraldeal
{
  namespace
  {
    namespace fs = std::filesystem;
    using Json   = nlohmann::json;

    constexpr long block_size = 32;

    Json
    range_of(const torch::Tensor &values)
    {
      return {{"minimum", values.min().item<double>()},
              {"median", torch::quantile(values, 0.5).item<double>()},
              {"maximum", values.max().item<double>()},
              {"mean", values.mean().item<double>()}};
    }



    template <typename Number>
    Json
    range_of(const std::vector<Number> &values)
    {
      return range_of(torch::tensor(values).to(torch::kFloat64));
    }



    Json
    as_list(const torch::Tensor &values)
    {
      auto result = Json::array();
      for (long i = 0; i < values.numel(); ++i)
        result.push_back(values[i].item<double>());
      return result;
    }



    Json
    inspect_snapshots(const std::string &path)
    {
      const SnapshotReader reader(path);
      if (reader.batch_files().empty() && reader.trajectory_ids().empty() &&
          reader.failures().empty())
        throw FileError(path,
                        fs::is_directory(path + "/snapshots") ?
                          "it has no snapshots; valid is the folder " + path +
                            "/snapshots" :
                          "it has no snapshots (files batch-*.h5)");
      Json report = {{"file", path},
                     {"kind", "snapshots"},
                     {"problem", reader.problem()},
                     {"files", reader.batch_files().size()},
                     {"failed", Json::array()},
                     {"campaigns", Json::array()}};
      // Stores of earlier versions do not say who has chosen their inputs.
      for (const auto &campaign : reader.campaigns())
        if (!campaign.design.empty())
          report["campaigns"].push_back(
            {{"design", campaign.design},
             {"seed", campaign.seed},
             {"first sample",
              campaign.number * SnapshotReader::campaign_size}});

      // Seconds and iterations of failed solves are no solve's.
      std::uintmax_t            bytes    = 0;
      long                      n_solved = 0, n_fallback = 0;
      std::vector<double>       seconds;
      std::vector<std::int64_t> iterations;
      for (const auto &name : reader.batch_files())
        {
          const HDF5File file(name);
          bytes += fs::file_size(name);
          const auto status     = file.read<std::int64_t>("status");
          const auto of_seconds = file.read<double>("seconds");
          const auto of_iterations =
            file.has("iterations") ?
              file.read<std::int64_t>("iterations") :
              std::vector<std::int64_t>(status.size(), 0);
          if (of_iterations.size() != status.size())
            throw FileError(name, "its data sets disagree in size");
          for (std::size_t i = 0; i < status.size(); ++i)
            if (status[i] != 2)
              {
                ++(status[i] == 1 ? n_fallback : n_solved);
                seconds.push_back(of_seconds[i]);
                iterations.push_back(of_iterations[i]);
              }
        }
      report["solved"]                 = n_solved;
      report["solved by the fallback"] = n_fallback;
      for (const auto &[id, reason] : reader.failures())
        report["failed"].push_back({{"sample", id}, {"reason", reason}});

      const bool               whole = fs::is_directory(path);
      FieldSpace               space;
      std::vector<std::string> names;
      if (whole || fs::exists(reader.space_file()))
        {
          space = reader.read_space();
          names = HDF5File(reader.space_file()).read_strings("parameter_names");
          if (whole)
            bytes += fs::file_size(reader.space_file());
          report["points"] = {
            {"lower", as_list(std::get<0>(space.points.min(0)))},
            {"upper", as_list(std::get<0>(space.points.max(0)))}};
          report["values"]     = space.size();
          report["symmetries"] = space.symmetries.size();
        }
      report["bytes"] = bytes;

      std::vector<double> n_steps, all_times;
      for (const long id : reader.trajectory_ids())
        {
          const auto  times = reader.times(id);
          const auto *time  = times.data_ptr<double>();
          const long  n     = times.numel();
          n_steps.push_back(n);
          all_times.insert(all_times.end(), time, time + n);
          for (long begin = 0; begin < n; begin += block_size)
            reader.read_steps(id, begin, std::min(begin + block_size, n));
        }
      if (!n_steps.empty())
        report["trajectories"] = {{"n", n_steps.size()},
                                  {"steps", range_of(n_steps)},
                                  {"time", range_of(all_times)}};

      const long n = reader.size();
      if (n == 0)
        return report;
      report["seconds"]     = range_of(seconds);
      report["iterations"]  = range_of(iterations);
      const auto parameters = reader.parameters();
      report["parameters"]  = Json::array();
      const auto units      = reader.columns("parameters", "units");
      for (long i = 0; i < parameters.size(1); ++i)
        {
          auto range = range_of(parameters.select(1, i));
          range["name"] =
            i < long(names.size()) ? names[i] : fmt::format("number {}", i);
          if (i < long(units.size()) && !units[i].empty())
            range["unit"] = units[i];
          report["parameters"].push_back(range);
        }

      // Read in any case: then all fields are known to be whole.
      std::vector<torch::Tensor> solutions, corrections;
      for (long begin = 0; begin < n; begin += block_size)
        {
          const auto block =
            reader.read(begin, std::min(begin + block_size, n));
          report["values"] = block.solution.size(1);
          if (!space.mass.defined())
            continue;
          if (block.solution.size(1) != space.size())
            throw FileError(path,
                            fmt::format("its fields have {} values, but those "
                                        "of {} have {}",
                                        block.solution.size(1),
                                        reader.space_file(),
                                        space.size()));
          solutions.push_back(space.norm(block.solution));
          corrections.push_back(space.norm(block.solution - block.prior));
        }
      if (!solutions.empty())
        {
          report["solution"]   = range_of(torch::cat(solutions));
          report["correction"] = range_of(torch::cat(corrections));
        }
      return report;
    }



    const char *
    type_name(const torch::Tensor &tensor)
    {
      switch (tensor.scalar_type())
        {
          case torch::kFloat32:
            return "float32";
          case torch::kFloat64:
            return "float64";
          case torch::kInt64:
            return "int64";
          default:
            return "uint8";
        }
    }



    Json
    inspect_model(const std::string &path)
    {
      const auto file   = ModelFile::read(path);
      Json       report = {{"file", path},
                           {"kind", "model"},
                           {"bytes", fs::file_size(path)},
                           {"metadata", file.metadata},
                           {"tensors", Json::array()}};
      for (const auto &[name, tensor] : file.tensors)
        report["tensors"].push_back({{"name", name},
                                     {"type", type_name(tensor)},
                                     {"shape", tensor.sizes().vec()},
                                     {"bytes", tensor.nbytes()}});
      if (!file.metadata.contains("surrogate"))
        return report;

      // What the surrogate says of itself, if it can be brought to life here.
      try
        {
          const auto surrogate = make_surrogate(file);
          surrogate->load(file,
                          0,
                          file.tensor("modes").size(0),
                          Communicator());
          const auto scores = summarize_scores(surrogate->held_out_scores());
          report["held-out"]["n"] = scores.n;
          if (scores.n > 0)
            report["held-out"] = {{"n", scores.n},
                                  {"median", scores.error_median},
                                  {"95 % quantile", scores.error_95},
                                  {"coarse median", scores.prior_median},
                                  {"coarse 95 % quantile", scores.prior_95}};
        }
      catch (const std::exception &error)
        {
          const std::string text = error.what();
          report["unusable"]     = text.substr(0, text.find('\n'));
        }
      return report;
    }



    /** A line of the text: a name and what belongs to it. */
    std::string
    line(const std::string &name, const std::string &value)
    {
      return fmt::format("  {:<16} {}\n", name, value);
    }



    std::string
    size_text(const Json &bytes)
    {
      const double n = bytes.get<double>();
      return n < 1e3 ? fmt::format("{} bytes", n) :
             n < 1e6 ? fmt::format("{:.3g} kB", 1e-3 * n) :
                       fmt::format("{:.4g} MB", 1e-6 * n);
    }



    std::string
    range_text(const Json &range)
    {
      return fmt::format("{:.4g} to {:.4g}, median {:.4g}",
                         range.at("minimum").get<double>(),
                         range.at("maximum").get<double>(),
                         range.at("median").get<double>());
    }



    std::string
    point_text(const Json &point)
    {
      std::string result;
      for (const auto &coordinate : point)
        result += fmt::format("{}{:.4g}",
                              result.empty() ? "" : ", ",
                              coordinate.get<double>());
      return "(" + result + ")";
    }



    /** A value as in a parameter file: texts without quotes. */
    std::string
    value_text(const Json &value)
    {
      return value.is_string() ?
               printable(value.get<std::string>()) :
               value.dump(-1, ' ', false, Json::error_handler_t::replace);
    }



    std::string
    snapshots_text(const Json &report)
    {
      std::string result = report["file"].get<std::string>() + ": snapshots\n";
      result += line("problem", value_text(report["problem"]));
      result += line("solved",
                     fmt::format("{} by the solver, {} by its fallback; {} "
                                 "failed",
                                 report["solved"].get<long>(),
                                 report["solved by the fallback"].get<long>(),
                                 report["failed"].size()));
      for (const auto &campaign : report["campaigns"])
        result +=
          line("inputs",
               printable(fmt::format("{}, seed {}, from sample {} on",
                                     campaign["design"].get<std::string>(),
                                     campaign["seed"].get<std::string>(),
                                     campaign["first sample"].get<long>())));
      result += line("files",
                     fmt::format("{}, {}",
                                 report["files"].get<long>(),
                                 size_text(report["bytes"])));
      if (report.contains("trajectories"))
        {
          const auto &trajectories = report["trajectories"];
          result += line("trajectories",
                         fmt::format("{}, steps {}",
                                     trajectories["n"].get<long>(),
                                     range_text(trajectories["steps"])));
          result += line("times", range_text(trajectories["time"]));
        }
      if (report.contains("seconds"))
        {
          result += line("a solve",
                         fmt::format("{:.3g} s on average, {} s",
                                     report["seconds"]["mean"].get<double>(),
                                     range_text(report["seconds"])));
          result += line("iterations", range_text(report["iterations"]));
        }
      if (report.contains("values"))
        result += line("a field",
                       fmt::format("{} values", report["values"].get<long>()));
      if (report.contains("points"))
        {
          const auto &lower = report["points"]["lower"];
          result += line("its points",
                         fmt::format("{}d, from {} to {}, {} symmetr{}",
                                     lower.size(),
                                     point_text(lower),
                                     point_text(report["points"]["upper"]),
                                     report["symmetries"].get<long>(),
                                     report["symmetries"] == 1 ? "y" : "ies"));
        }
      if (report.contains("solution"))
        {
          result +=
            line("norm", range_text(report["solution"]) + " (of solutions)");
          result += line("",
                         range_text(report["correction"]) +
                           " (of solutions minus coarse solutions)");
        }
      if (report.contains("parameters"))
        {
          result += "  parameters\n";
          for (const auto &range : report["parameters"])
            result +=
              fmt::format("    {:<24} {}{}\n",
                          printable(range["name"].get<std::string>()),
                          range_text(range),
                          range.contains("unit") ?
                            " " + printable(range["unit"].get<std::string>()) :
                            "");
        }
      if (!report["failed"].empty())
        {
          result += "  failed\n";
          for (const auto &failure : report["failed"])
            result +=
              fmt::format("    sample {:<17} {}\n",
                          failure["sample"].get<long>(),
                          printable(failure["reason"].get<std::string>()));
        }
      return result;
    }



    std::string
    model_text(const Json &report)
    {
      const auto &metadata = report["metadata"];
      std::string result   = report["file"].get<std::string>() + ": model\n";
      result += line("file", size_text(report["bytes"]) + ", checksum right");
      if (report.contains("held-out"))
        {
          const auto &scores = report["held-out"];
          if (scores["n"] == 0)
            result += line("held out", "no snapshots");
          else
            {
              const auto percent = [&](const char *name) {
                return 100. * scores[name].get<double>();
              };
              result +=
                line("error",
                     fmt::format("median {:.3g} %, 95 % quantile {:.3g} "
                                 "%, on {} held-out snapshots",
                                 percent("median"),
                                 percent("95 % quantile"),
                                 scores["n"].get<long>()));
              result += line("",
                             fmt::format("coarse solution alone: median {:.3g} "
                                         "%, 95 % quantile {:.3g} %",
                                         percent("coarse median"),
                                         percent("coarse 95 % quantile")));
            }
        }
      if (report.contains("unusable"))
        result +=
          line("cannot be used", printable(value_text(report["unusable"])));

      // What is not known here is shown as it is: models grow.
      std::vector<std::string> names = {
        "surrogate", "module", "operator", "inputs", "snapshots", "costs"};
      for (const auto &[name, value] : metadata.items())
        if (std::find(names.begin(), names.end(), name) == names.end())
          names.push_back(name);
      const auto entry = [](const std::string &name, const Json &value) {
        return fmt::format("    {:<24} {}\n",
                           printable(name),
                           value_text(value));
      };
      for (const auto &name : names)
        {
          if (!metadata.contains(name))
            continue;
          const auto &value = metadata[name];
          if (value.is_object())
            {
              result += "  " + printable(name) + "\n";
              for (const bool is_choice : {false, true})
                for (const auto &[key, its_value] : value.items())
                  if ((key == "parameters" && its_value.is_object()) !=
                      is_choice)
                    continue;
                  else if (!is_choice)
                    result += entry(key, its_value);
                  else
                    for (const auto &[parameter, choice] : its_value.items())
                      result += entry(parameter, choice);
            }
          else if (name == "inputs" && value.is_array())
            {
              result += "  inputs\n";
              for (const auto &range : value)
                if (range.is_object())
                  {
                    const auto text = [&range = range](const char *key) {
                      return value_text(range.value(key, Json("?")));
                    };
                    const bool logarithmic =
                      range.value("logarithmic", Json(false)) == Json(true);
                    result += entry(text("name"),
                                    text("lower") + " to " + text("upper") +
                                      (logarithmic ? ", logarithmic" : ""));
                  }
            }
          else
            result += line(printable(name), value_text(value));
        }

      result += "  tensors\n";
      for (const auto &tensor : report["tensors"])
        {
          std::string shape;
          for (const auto &extent : tensor["shape"])
            shape += (shape.empty() ? "" : " x ") + extent.dump();
          result += fmt::format("    {:<40} {:<8} {:<20} {:>10}\n",
                                printable(tensor["name"].get<std::string>()),
                                tensor["type"].get<std::string>(),
                                shape,
                                size_text(tensor["bytes"]));
        }
      return result;
    }
  } // namespace



  nlohmann::json
  inspect(const std::string &path)
  {
    if (!fs::exists(path))
      throw FileError(path, "there is no such file or folder");
    if (fs::is_directory(path))
      return inspect_snapshots(path);
    // All HDF5 files of this project begin like this.
    char          start[4] = {};
    std::ifstream in(path, std::ios::binary);
    in.read(start, sizeof(start));
    return std::string(start, 4) == "\x89HDF" ||
               fs::path(path).extension() == ".h5" ?
             inspect_snapshots(path) :
             inspect_model(path);
  }



  std::string
  inspection_text(const nlohmann::json &report)
  {
    return report["kind"] == "model" ? model_text(report) :
                                       snapshots_text(report);
  }
} // namespace neuraldeal
