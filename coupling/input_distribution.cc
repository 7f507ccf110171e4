// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/design.h>
#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/coupling/torch_interface.h>
#include <neuraldeal/surrogates/file_tools.h>

namespace neuraldeal
{
  void
  InputDistribution::add(const std::string    &name,
                         const std::string    &type,
                         const nlohmann::json &parameters,
                         const std::string    &unit)
  {
    register_distributions();
    const std::string source = "the distribution of " + name;
    const auto &entry = DistributionRegistry::find(source, "its type", type);
    append(name,
           type,
           complete_parameters(entry.parameters, parameters, source),
           unit);
  }



  void
  InputDistribution::append(const std::string    &name,
                            const std::string    &type,
                            const nlohmann::json &parameters,
                            const std::string    &unit)
  {
    register_distributions();
    const std::string source = "the distribution of " + name;
    entries.push_back({name,
                       type,
                       parameters,
                       unit,
                       DistributionRegistry::find(source, "its type", type)
                         .factory(parameters, source)});
  }



  void
  InputDistribution::add_uniform(const std::string &name,
                                 const double       lower,
                                 const double       upper,
                                 const std::string &unit)
  {
    append(name, "uniform", {{"lower", lower}, {"upper", upper}}, unit);
  }



  void
  InputDistribution::add_log_uniform(const std::string &name,
                                     const double       lower,
                                     const double       upper,
                                     const std::string &unit)
  {
    append(name, "log-uniform", {{"lower", lower}, {"upper", upper}}, unit);
  }



  void
  InputDistribution::add_normal(const std::string &name,
                                const double       mean,
                                const double       standard_deviation,
                                const std::string &unit)
  {
    append(name,
           "normal",
           {{"mean", mean}, {"standard deviation", standard_deviation}},
           unit);
  }



  std::vector<double>
  InputDistribution::at(const std::vector<double> &point) const
  {
    AssertDimension(point.size(), entries.size());
    std::vector<double> result;
    for (std::size_t d = 0; d < entries.size(); ++d)
      result.push_back(entries[d].distribution->quantile(point[d]));
    return result;
  }



  std::vector<double>
  InputDistribution::draw(const std::uint64_t         seed,
                          const CounterRandom::Stream stream,
                          const std::uint64_t         index) const
  {
    CounterRandom       random(seed, stream, index);
    std::vector<double> point(entries.size());
    for (auto &probability : point)
      probability = random.uniform();
    return at(point);
  }



  std::vector<double>
  InputDistribution::latin_hypercube(const std::uint64_t seed,
                                     const std::uint64_t index,
                                     const std::uint64_t n) const
  {
    return at(latin_hypercube_point(seed, size(), index, n));
  }



  std::vector<InputRange>
  InputDistribution::ranges() const
  {
    std::vector<InputRange> result;
    for (const auto &entry : entries)
      result.push_back({entry.name,
                        entry.distribution->lower(),
                        entry.distribution->upper(),
                        entry.distribution->logarithmic()});
    return result;
  }



  std::vector<std::string>
  InputDistribution::names() const
  {
    std::vector<std::string> result;
    for (const auto &entry : entries)
      result.push_back(entry.name);
    return result;
  }



  std::vector<std::string>
  InputDistribution::units() const
  {
    std::vector<std::string> result;
    for (const auto &entry : entries)
      result.push_back(entry.unit);
    return result;
  }



  std::uint64_t
  InputDistribution::hash() const
  {
    // The first three distributions are older than their names: stores and
    // models that carry their hash stay what they are.
    const auto is = [](const Entry &entry, const std::string &type) {
      return entry.type == type;
    };
    std::string text;
    for (const auto &entry : entries)
      if (is(entry, "uniform") || is(entry, "log-uniform"))
        text += fmt::format("{}|{}|{:.17g}|{:.17g};",
                            entry.name,
                            is(entry, "uniform") ? 0 : 1,
                            entry.parameters["lower"].get<double>(),
                            entry.parameters["upper"].get<double>());
      else if (is(entry, "normal"))
        text +=
          fmt::format("{}|2|{:.17g}|{:.17g};",
                      entry.name,
                      entry.parameters["mean"].get<double>(),
                      entry.parameters["standard deviation"].get<double>());
      else
        text += fmt::format("{}|{}|{};",
                            entry.name,
                            entry.type,
                            entry.parameters.dump());
    return fnv1a(text.data(), text.size());
  }
} // namespace neuraldeal
