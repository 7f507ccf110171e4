// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_input_distribution_h
#define neuraldeal_coupling_input_distribution_h

#include <neuraldeal/surrogates/random.h>
#include <neuraldeal/surrogates/surrogate.h>

#include <cstdint>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * The distribution of the input vector: independent entries, each
   * uniform, log-uniform or normal.
   */
  class InputDistribution
  {
  public:
    /** Append an entry, uniform in [lower, upper]. */
    void
    add_uniform(const std::string &name,
                const double       lower,
                const double       upper);

    /** Append an entry whose logarithm is uniform. */
    void
    add_log_uniform(const std::string &name,
                    const double       lower,
                    const double       upper);

    /** Append a normal entry. */
    void
    add_normal(const std::string &name,
               const double       mean,
               const double       standard_deviation);

    unsigned int
    size() const
    {
      return entries.size();
    }

    /**
     * Input number @p index of a stream of independent inputs: the same
     * whatever else is drawn, on any number of ranks.
     */
    std::vector<double>
    draw(const std::uint64_t         seed,
         const CounterRandom::Stream stream,
         const std::uint64_t         index) const;

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

    /** A hash of names, kinds and numbers. */
    std::uint64_t
    hash() const;

  private:
    enum class Kind
    {
      uniform,
      log_uniform,
      normal
    };

    struct Entry
    {
      std::string name;
      Kind        kind;
      double      first;  ///< lower end, or mean
      double      second; ///< upper end, or standard deviation
    };

    /** The quantile function of an entry. */
    static double
    quantile(const Entry &entry, const double probability);

    std::vector<Entry> entries;
  };
} // namespace neuraldeal

#endif
