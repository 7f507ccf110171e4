// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/shared_library.h>
#include <neuraldeal/surrogates/training_task.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>

namespace neuraldeal
{
  namespace
  {
    namespace fs = std::filesystem;

    constexpr const char *format = "neural.deal training 1";



    /** A value as it can stand in a sentence. */
    std::string
    shown(const nlohmann::json &value)
    {
      return printable(
        value.is_string() ?
          value.get<std::string>() :
          value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
        60);
    }



    /** The entry @p name of @p object, or the sentence that it is not there. */
    const nlohmann::json &
    entry(const nlohmann::json &object,
          const std::string    &name,
          const std::string    &valid,
          const std::string    &source)
    {
      const auto found = object.find(name);
      if (found == object.end())
        throw FileError(source,
                        "it has no entry '" + name + "'; valid is " + valid);
      return *found;
    }



    std::string
    text_entry(const nlohmann::json &object,
               const std::string    &name,
               const std::string    &source)
    {
      const auto &value = entry(object, name, "a text", source);
      if (!value.is_string() || value.get<std::string>().empty())
        throw InputError(source,
                         "the entry '" + name + "'",
                         shown(value),
                         "a text that is not empty");
      return value.get<std::string>();
    }



    std::vector<long>
    samples_entry(const nlohmann::json &object,
                  const std::string    &name,
                  const std::size_t     minimum,
                  const std::string    &source)
    {
      const std::string valid =
        fmt::format("a list of {} or more different numbers of samples",
                    minimum);
      const auto &list = entry(object, name, valid, source);
      const auto  fail = [&](const nlohmann::json &wrong) {
        throw InputError(source,
                         "the entry '" + name + "'",
                         shown(wrong),
                         valid);
      };
      if (!list.is_array() || list.size() < minimum)
        fail(list);
      std::vector<long> result;
      std::set<long>    seen;
      for (const auto &id : list)
        {
          if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
              !seen.insert(id.get<std::int64_t>()).second)
            fail(id);
          result.push_back(id.get<std::int64_t>());
        }
      return result;
    }



    /** Whether only @p known are entries of the object @p value. */
    void
    check_entries(const nlohmann::json           &object,
                  const std::vector<std::string> &known,
                  const std::string              &source)
    {
      for (const auto &item : object.items())
        if (std::find(known.begin(), known.end(), item.key()) == known.end())
          {
            std::string names;
            for (const auto &name : known)
              names += (names.empty() ? "" : ", ") + name;
            throw InputError(source,
                             "an entry",
                             shown(item.key()),
                             "one of: " + names);
          }
    }



    double
    bound(const nlohmann::json &range,
          const std::string    &name,
          const std::string    &source)
    {
      const std::string valid = "a number, or the text \"-inf\" or \"inf\"";
      const auto       &value = entry(range, name, valid, source);
      if (value.is_number())
        return value.get<double>();
      if (value.is_string())
        {
          const auto   text   = value.get<std::string>();
          char        *end    = nullptr;
          const double number = std::strtod(text.c_str(), &end);
          if (!text.empty() && *end == '\0' && !std::isnan(number))
            return number;
        }
      throw InputError(source,
                       "the entry '" + name + "' of an input",
                       shown(value),
                       valid);
    }



    std::string
    relative_to(const std::string &path, const fs::path &folder)
    {
      return fs::absolute(path)
        .lexically_normal()
        .lexically_proximate(fs::absolute(folder).lexically_normal())
        .string();
    }
  } // namespace



  nlohmann::json
  to_json(const std::vector<InputRange> &ranges)
  {
    const auto number = [](const double value) {
      return std::isfinite(value) ? nlohmann::json(value) :
                                    nlohmann::json(fmt::format("{}", value));
    };
    auto result = nlohmann::json::array();
    for (const auto &range : ranges)
      result.push_back({{"name", range.name},
                        {"lower", number(range.lower)},
                        {"upper", number(range.upper)},
                        {"logarithmic", range.logarithmic}});
    return result;
  }



  std::vector<InputRange>
  ranges_from_json(const nlohmann::json &list, const std::string &source)
  {
    if (!list.is_array() || list.empty())
      throw InputError(source,
                       "the entry 'inputs'",
                       shown(list),
                       "a list with an object for each input");
    std::vector<InputRange> result;
    for (const auto &range : list)
      {
        if (!range.is_object())
          throw InputError(source,
                           "an input",
                           shown(range),
                           "an object with the entries name, lower, upper, "
                           "logarithmic");
        check_entries(range, {"name", "lower", "upper", "logarithmic"}, source);
        InputRange input;
        input.name  = text_entry(range, "name", source);
        input.lower = bound(range, "lower", source);
        input.upper = bound(range, "upper", source);
        const auto &value =
          entry(range, "logarithmic", "true or false", source);
        if (!value.is_boolean())
          throw InputError(source,
                           "the entry 'logarithmic' of the input " + input.name,
                           shown(value),
                           "true or false");
        input.logarithmic = value.get<bool>();
        if (!(input.lower < input.upper) ||
            (input.logarithmic && !(input.lower > 0.)))
          throw InputError(
            source,
            "the interval of the input " + input.name,
            fmt::format("[{}, {}]", input.lower, input.upper),
            input.logarithmic ?
              "one of two positive numbers, the lower one first" :
              "one of two numbers, the lower one first");
        result.push_back(input);
      }
    return result;
  }



  std::string
  TrainingTask::hash(const SnapshotReader &store) const
  {
    std::string text = surrogate + parameters.dump();
    for (const auto *ids : {&training_samples, &held_out_samples})
      {
        const auto values =
          SnapshotReader(store, *ids).parameters().contiguous();
        const auto *value = values.data_ptr<double>();
        for (long i = 0; i < values.numel(); ++i)
          text += fmt::format("{:.17g},", value[i]);
      }
    return hexadecimal(fnv1a(text.data(), text.size()));
  }



  SnapshotReader
  TrainingTask::open_store() const
  {
    const auto all = SnapshotReader(store, design).with_prior(prior);
    if (trajectories.empty())
      return all;
    check_choice(source,
                 "the entry 'trajectories'",
                 trajectories,
                 {"states", "pairs"});
    return all.trajectories(trajectories == "pairs" ?
                              SnapshotReader::TrajectoryView::pairs :
                              SnapshotReader::TrajectoryView::states);
  }



  void
  TrainingTask::check_snapshots(const SnapshotReader &snapshots) const
  {
    if (snapshots.size() == 0)
      throw FileError(store, "it has no snapshots (files batch-*.h5)");
    const auto found = hash(snapshots);
    if (!training.empty() && found != training)
      throw FileError(source,
                      "its entry 'training' is " + shown(training) +
                        ", but the snapshots in " + store +
                        " and its surrogate give " + found +
                        "; valid are the snapshots and parameters that it "
                        "was written for (parameters are changed by --set)");
  }



  void
  TrainingTask::set(const std::string &change)
  {
    const std::string where = "--set";
    const auto        equal = change.find('=');
    if (equal == std::string::npos || equal == 0)
      throw InputError(where,
                       "a change",
                       change,
                       "a name, '=' and a value, such as width=64");
    const std::string path = change.substr(0, equal);
    const std::string text = change.substr(equal + 1);

    auto value = nlohmann::json::parse(text, nullptr, false);
    if (value.is_discarded())
      value = text;

    register_surrogates();
    const auto &known =
      SurrogateRegistry::find(source, "the surrogate", surrogate).parameters;

    const auto        slash = path.find('/');
    const std::string name  = path.substr(0, slash);
    if (slash == std::string::npos)
      {
        const auto checked = complete_parameters(known, {{name, value}}, where);
        parameters[name]   = checked.at(name);
        return;
      }
    // What is in the object is looked at by the surrogate itself.
    auto changed = complete_parameters(known, parameters, source);
    if (!changed.contains(name) || !changed[name].is_object())
      {
        std::string names;
        for (const auto &[other, its_value] : changed.items())
          if (its_value.is_object())
            names += (names.empty() ? "one of: " : ", ") + other;
        throw InputError(where,
                         "the name before '/'",
                         name,
                         names.empty() ?
                           "a name without '/', since no parameter of the "
                           "surrogate '" +
                             surrogate + "' is a JSON object" :
                           names);
      }
    changed[name][path.substr(slash + 1)] = value;
    parameters                            = changed;
  }



  void
  TrainingTask::write(const std::string &filename) const
  {
    const auto folder   = fs::path(filename).parent_path();
    const auto relative = [&](const std::string &path) {
      return relative_to(path, folder.empty() ? "." : folder);
    };
    // Of a path without a '/' the system would look for the library.
    const auto relative_library = [&](const std::string &path) {
      if (path.find('/') == std::string::npos)
        return path;
      const auto result = relative(path);
      return result.find('/') == std::string::npos ? "./" + result : result;
    };
    // In the order of their importance, and lists of numbers in one line.
    std::vector<std::pair<const char *, nlohmann::json>> document = {
      {"format", format},
      {"store", relative(store)},
      {"model", relative(model)},
      {"surrogate", {{"type", surrogate}, {"parameters", parameters}}},
      {"inputs", to_json(inputs)},
      {"training samples", training_samples},
      {"held-out samples", held_out_samples},
      {"design", design},
      {"problem", problem},
      {"training", training}};
    if (prior != 0.)
      document.insert(document.begin() + 2, {"prior", prior});
    if (!trajectories.empty())
      document.insert(document.begin() + 2, {"trajectories", trajectories});
    if (!libraries.empty())
      {
        auto list = nlohmann::json::array();
        for (const auto &path : libraries)
          list.push_back(relative_library(path));
        document.insert(document.begin() + 3, {"libraries", list});
      }
    std::string text;
    for (const auto &[name, value] : document)
      {
        const bool is_flat =
          value.is_primitive() ||
          (value.is_array() && (value.empty() || value[0].is_number()));
        text += fmt::format("{}  \"{}\": ", text.empty() ? "" : ",\n", name);
        for (const char c : value.dump(is_flat ? -1 : 2))
          text += c == '\n' ? std::string("\n  ") : std::string(1, c);
      }
    publish_text(filename, "{\n" + text + "\n}\n");
  }



  TrainingTask
  TrainingTask::read(const std::string &filename)
  {
    std::ifstream in(filename);
    if (!in || fs::is_directory(filename))
      throw FileError(filename, "there is no such file, or it is unreadable");
    const std::string text{std::istreambuf_iterator<char>(in),
                           std::istreambuf_iterator<char>()};
    nlohmann::json    document;
    try
      {
        document = nlohmann::json::parse(text);
      }
    catch (const nlohmann::json::parse_error &error)
      {
        const auto end = text.begin() + std::min(error.byte, text.size());
        throw FileError(filename,
                        fmt::format("it is no JSON document, because of what "
                                    "is in its line {}",
                                    1 + std::count(text.begin(), end, '\n')));
      }
    if (!document.is_object())
      throw FileError(filename, "it is no JSON object");

    const auto found = text_entry(document, "format", filename);
    if (found != format)
      throw InputError(filename, "the entry 'format'", shown(found), format);
    check_entries(document,
                  {"format",
                   "store",
                   "trajectories",
                   "prior",
                   "design",
                   "model",
                   "problem",
                   "training",
                   "libraries",
                   "surrogate",
                   "inputs",
                   "training samples",
                   "held-out samples"},
                  filename);

    const auto   folder = fs::path(filename).parent_path();
    TrainingTask task;
    task.source  = filename;
    task.store   = (folder / text_entry(document, "store", filename)).string();
    task.model   = (folder / text_entry(document, "model", filename)).string();
    task.problem = text_entry(document, "problem", filename);
    if (document.contains("trajectories"))
      task.trajectories = text_entry(document, "trajectories", filename);
    if (document.contains("prior"))
      {
        if (!document["prior"].is_number())
          throw InputError(filename,
                           "the entry 'prior'",
                           shown(document["prior"]),
                           "a number");
        task.prior = document["prior"].get<double>();
      }
    if (document.contains("design"))
      task.design = text_entry(document, "design", filename);
    if (document.contains("training"))
      task.training = text_entry(document, "training", filename);

    if (document.contains("libraries"))
      {
        const auto &list    = document["libraries"];
        const auto  is_text = [](const auto &item) { return item.is_string(); };
        if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_text))
          throw InputError(filename,
                           "the entry 'libraries'",
                           shown(list),
                           "a list of texts");
        for (const std::string path : list)
          task.libraries.push_back(path.find('/') == std::string::npos ?
                                     path :
                                     (folder / path).string());
        load_shared_libraries(task.libraries,
                              filename,
                              "a path in the entry 'libraries'");
      }

    const std::string valid = "an object with the entries type and parameters";
    const auto       &surrogate = entry(document, "surrogate", valid, filename);
    if (!surrogate.is_object())
      throw InputError(filename,
                       "the entry 'surrogate'",
                       shown(surrogate),
                       valid);
    check_entries(surrogate, {"type", "parameters"}, filename);
    task.surrogate = text_entry(surrogate, "type", filename);
    if (surrogate.contains("parameters"))
      task.parameters = surrogate["parameters"];
    if (!task.parameters.is_object())
      throw InputError(filename,
                       "the entry 'parameters'",
                       shown(task.parameters),
                       "an object with parameters of the surrogate");
    register_surrogates();
    task.parameters = complete_parameters(
      SurrogateRegistry::find(filename, "the entry 'type'", task.surrogate)
        .parameters,
      task.parameters,
      filename);

    task.inputs = ranges_from_json(entry(document,
                                         "inputs",
                                         "a list with an object for each input",
                                         filename),
                                   filename);
    task.training_samples =
      samples_entry(document, "training samples", 2, filename);
    task.held_out_samples =
      samples_entry(document, "held-out samples", 1, filename);
    for (const long id : task.held_out_samples)
      if (std::find(task.training_samples.begin(),
                    task.training_samples.end(),
                    id) != task.training_samples.end())
        throw InputError(filename,
                         "a number in the entry 'held-out samples'",
                         std::to_string(id),
                         "one that is not among the training samples");
    return task;
  }
} // namespace neuraldeal
