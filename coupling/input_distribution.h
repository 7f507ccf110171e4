// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_input_distribution_h
#define neuraldeal_coupling_input_distribution_h

#include <neuraldeal/coupling/distribution.h>
#include <neuraldeal/surrogates/random.h>
#include <neuraldeal/surrogates/surrogate.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * The distribution of the input vector: independent entries, each of a
   * registered Distribution.
   */
  class InputDistribution
  {
  public:
    /**
     * Append an entry.
     * @param type name of a registered distribution.
     * @param parameters overrides of its defaults.
     * @param unit of the entry, for those who read what is stored.
     * @throw InputError naming the entry, for an unknown name or values that
     * make no distribution.
     */
    void
    add(const std::string    &name,
        const std::string    &type,
        const nlohmann::json &parameters = nlohmann::json::object(),
        const std::string    &unit       = "");

    /** Append an entry, uniform in [lower, upper]. */
    void
    add_uniform(const std::string &name,
                const double       lower,
                const double       upper,
                const std::string &unit = "");

    /** Append an entry whose logarithm is uniform. */
    void
    add_log_uniform(const std::string &name,
                    const double       lower,
                    const double       upper,
                    const std::string &unit = "");

    /** Append a normal entry. */
    void
    add_normal(const std::string &name,
               const double       mean,
               const double       standard_deviation,
               const std::string &unit = "");

    unsigned int
    size() const
    {
      return entries.size();
    }

    /**
     * The input at a point of the unit cube: entry d is the quantile at
     * @p point[d], in (0, 1).
     */
    std::vector<double>
    at(const std::vector<double> &point) const;

    /**
     * Input number @p index of a stream of independent inputs: the same
     * whatever else is drawn, on any number of ranks.
     */
    std::vector<double>
    draw(const std::uint64_t         seed,
         const CounterRandom::Stream stream,
         const std::uint64_t         index) const;

    /**
     * Held-out input number @p number: an independent input as well, far from
     * what any design that grows draws, so that none is in both.
     */
    std::vector<double>
    held_out(const std::uint64_t seed, const std::uint64_t number) const
    {
      return draw(seed,
                  CounterRandom::Stream::design,
                  (std::uint64_t(1) << 61) + number);
    }

    /** The campaign of a store that they are, by name. */
    static std::string
    held_out_name(const std::uint64_t seed)
    {
      return "held out, seed " + std::to_string(seed);
    }

    /**
     * Point @p index of a Latin hypercube design with @p n points (McKay,
     * Beckman and Conover, Technometrics 21, 1979): every entry's range is
     * cut into n intervals of equal probability, and each has one point.
     */
    std::vector<double>
    latin_hypercube(const std::uint64_t seed,
                    const std::uint64_t index,
                    const std::uint64_t n) const;

    /** The intervals that inputs are drawn from. */
    std::vector<InputRange>
    ranges() const;

    /** The names of the entries, and their units ("" where unknown). */
    std::vector<std::string>
    names() const;

    std::vector<std::string>
    units() const;

    /**
     * A hash of names, kinds and numbers. Units only say what the numbers
     * mean, and are no part of it.
     */
    std::uint64_t
    hash() const;

  private:
    struct Entry
    {
      std::string                         name;
      std::string                         type;
      nlohmann::json                      parameters; ///< complete
      std::string                         unit;
      std::shared_ptr<const Distribution> distribution;
    };

    /** Append an entry, of parameters that are complete. */
    void
    append(const std::string    &name,
           const std::string    &type,
           const nlohmann::json &parameters,
           const std::string    &unit);

    std::vector<Entry> entries;
  };
} // namespace neuraldeal

#endif
