// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_design_h
#define neuraldeal_coupling_design_h

#include <neuraldeal/surrogates/registry.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Points of the unit cube, from which InputDistribution::at() makes the
   * inputs of a campaign. Every point is uniformly distributed over seeds,
   * and a function of the seed and of its number (and of the number of all
   * points where grows() is false), on any number of ranks.
   */
  class Design
  {
  public:
    virtual ~Design() = default;

    /** Point number @p index, each coordinate in the open interval (0, 1). */
    virtual std::vector<double>
    point(const std::uint64_t index) const = 0;
  };

  /** How a design is made, and what it is called. */
  struct DesignEntry
  {
    /**
     * Whether its points are functions of seed and number alone, so that
     * those of a larger design begin with those of a smaller one.
     */
    bool grows;

    std::function<std::unique_ptr<Design>(const std::uint64_t seed,
                                          const unsigned int  dimension,
                                          const std::uint64_t n_points)>
      make;
  };

  using DesignRegistry = Registry<Design, DesignEntry>;

  /**
   * Register the designs of this library:
   *
   * "Monte Carlo": independent points; those of InputDistribution::draw() in
   * the stream `design`.
   *
   * "Latin hypercube": McKay, Beckman and Conover, Technometrics 21, 1979;
   * see latin_hypercube_point(). Does not grow.
   *
   * "scrambled Sobol": Sobol's sequence with the direction numbers of Joe
   * and Kuo (SIAM J. Sci. Comput. 30, 2008), as Boost has them, under the
   * nested uniform scrambling of Owen (Ann. Statist. 25, 1997; ACM Trans.
   * Model. Comput. Simul. 8, 1998). The points b^m k, …, b^m (k + 1) − 1,
   * b = 2, have one in every interval of length 2^−m of each coordinate, and
   * are (t, m, s)-nets; integrals of smooth functions over the first 2^m
   * points have variances of order 8^−m m^(s − 1). Up to 3667 coordinates
   * and 2^32 points.
   */
  void
  register_designs();

  /**
   * Build the design called @p name.
   * @param source where @p name comes from, for error messages.
   * @throw InputError that lists the valid names, or where there are more
   * coordinates or points than it has.
   */
  std::unique_ptr<Design>
  make_design(const std::string  &name,
              const std::uint64_t seed,
              const unsigned int  dimension,
              const std::uint64_t n_points,
              const std::string  &source);

  /**
   * Point @p index of a Latin hypercube with @p n points: every coordinate
   * is cut into n intervals of equal length, and each has one point.
   */
  std::vector<double>
  latin_hypercube_point(const std::uint64_t seed,
                        const unsigned int  dimension,
                        const std::uint64_t index,
                        const std::uint64_t n);

  /**
   * Sobol's sequence with the direction numbers of Joe and Kuo, in its
   * natural order: point i is the exclusive or of the directions of the bits
   * that i has.
   */
  class SobolSequence
  {
  public:
    /** Coordinates that there are numbers for. */
    static unsigned int
    max_dimension();

    explicit SobolSequence(const unsigned int dimension);

    /** Coordinate @p d of point @p index, times 2^32. */
    std::uint32_t
    operator()(const std::uint32_t index, const unsigned int d) const;

  private:
    std::vector<std::uint32_t> directions; ///< [dimension, 32]
  };

  /**
   * The nested uniform scrambling of Owen (1998) of the 32 binary digits of
   * @p digits: each is flipped by a random bit, a function of @p seed, the
   * coordinate @p d and all digits before it.
   */
  std::uint32_t
  owen_scrambling(const std::uint32_t digits,
                  const std::uint64_t seed,
                  const unsigned int  d);
} // namespace neuraldeal

#endif
