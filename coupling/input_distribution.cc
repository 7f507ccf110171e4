// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>

#include <cmath>
#include <limits>

namespace neuraldeal
{
  void
  InputDistribution::add_uniform(const std::string &name,
                                 const double       lower,
                                 const double       upper)
  {
    if (!(lower < upper && std::isfinite(lower) && std::isfinite(upper)))
      throw InputError("the distribution of " + name,
                       "its interval",
                       fmt::format("[{}, {}]", lower, upper),
                       "one of two finite numbers, the lower one first");
    entries.push_back({name, Kind::uniform, lower, upper});
  }



  void
  InputDistribution::add_log_uniform(const std::string &name,
                                     const double       lower,
                                     const double       upper)
  {
    if (!(lower > 0. && lower < upper && std::isfinite(upper)))
      throw InputError("the distribution of " + name,
                       "its interval",
                       fmt::format("[{}, {}]", lower, upper),
                       "one of two positive numbers, the lower one first");
    entries.push_back({name, Kind::log_uniform, lower, upper});
  }



  void
  InputDistribution::add_normal(const std::string &name,
                                const double       mean,
                                const double       standard_deviation)
  {
    if (!std::isfinite(mean))
      throw InputError("the distribution of " + name,
                       "its mean",
                       fmt::format("{}", mean),
                       "a finite number");
    if (!(standard_deviation > 0. && std::isfinite(standard_deviation)))
      throw InputError("the distribution of " + name,
                       "its standard deviation",
                       fmt::format("{}", standard_deviation),
                       "a finite positive number");
    entries.push_back({name, Kind::normal, mean, standard_deviation});
  }



  std::vector<double>
  InputDistribution::draw(const std::uint64_t         seed,
                          const CounterRandom::Stream stream,
                          const std::uint64_t         index) const
  {
    CounterRandom       random(seed, stream, index);
    std::vector<double> result;
    for (const auto &entry : entries)
      result.push_back(quantile(entry, random.uniform()));
    return result;
  }



  std::vector<double>
  InputDistribution::latin_hypercube(const std::uint64_t seed,
                                     const std::uint64_t index,
                                     const std::uint64_t n) const
  {
    std::vector<double> result;
    for (std::size_t d = 0; d < entries.size(); ++d)
      {
        // The permutation of entry d, and the place within the interval, are
        // functions of the seed: any rank can work out any point.
        CounterRandom order(seed,
                            CounterRandom::Stream::design,
                            (std::uint64_t(1) << 32) + d);
        CounterRandom place(seed,
                            CounterRandom::Stream::design,
                            (std::uint64_t(2 + d) << 32) + index);
        const double  interval = order.permutation(n)[index];
        result.push_back(
          quantile(entries[d], (interval + place.uniform()) / n));
      }
    return result;
  }



  double
  InputDistribution::quantile(const Entry &entry, const double probability)
  {
    switch (entry.kind)
      {
        case Kind::uniform:
          return entry.first + (entry.second - entry.first) * probability;
        case Kind::log_uniform:
          return entry.first *
                 std::pow(entry.second / entry.first, probability);
        default:
          {
            // Bisection on the distribution function: exact to rounding, and
            // never where time matters.
            double left = -40., right = 40.;
            for (unsigned int i = 0; i < 80; ++i)
              {
                const double middle = 0.5 * (left + right);
                (0.5 * std::erfc(-middle / std::sqrt(2.)) < probability ?
                   left :
                   right)           = middle;
              }
            return entry.first + entry.second * 0.5 * (left + right);
          }
      }
  }



  std::vector<InputRange>
  InputDistribution::ranges() const
  {
    constexpr double        infinity = std::numeric_limits<double>::infinity();
    std::vector<InputRange> result;
    for (const auto &entry : entries)
      if (entry.kind == Kind::normal)
        result.push_back({entry.name, -infinity, infinity, false});
      else
        result.push_back({entry.name,
                          entry.first,
                          entry.second,
                          entry.kind == Kind::log_uniform});
    return result;
  }



  std::uint64_t
  InputDistribution::hash() const
  {
    std::string text;
    for (const auto &entry : entries)
      text += fmt::format("{}|{}|{:.17g}|{:.17g};",
                          entry.name,
                          static_cast<int>(entry.kind),
                          entry.first,
                          entry.second);
    return fnv1a(text.data(), text.size());
  }
} // namespace neuraldeal
