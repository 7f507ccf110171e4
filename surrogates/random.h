// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_random_h
#define neuraldeal_surrogates_random_h

#include <array>
#include <cstdint>
#include <vector>

namespace neuraldeal
{
  /**
   * The counter-based generator Philox4x32-10 of Salmon, Moraes, Dror and
   * Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): a keyed
   * bijection of 128-bit counters, so that random number i of stream s is a
   * function of (seed, s, i) alone, on any number of ranks.
   */
  std::array<std::uint32_t, 4>
  philox4x32(const std::array<std::uint32_t, 4> &counter,
             const std::array<std::uint32_t, 2> &key);

  /**
   * One reproducible sequence of random numbers: that of the item @p index
   * in the stream @p stream. Streams keep unrelated uses apart.
   */
  class CounterRandom
  {
  public:
    /** What the numbers are for; each use has a stream of its own. */
    enum class Stream : std::uint32_t
    {
      design      = 1,
      queries     = 2,
      audits      = 3,
      check       = 4,
      splitting   = 5,
      training    = 6,
      directions  = 7,
      chains      = 8,
      scores      = 9,
      acquisition = 10,
      candidates  = 11
    };

    CounterRandom(const std::uint64_t seed,
                  const Stream        stream,
                  const std::uint64_t index);

    /** Uniform in the open interval (0, 1), with 53 random bits. */
    double
    uniform();

    /** Standard normal, by the Box–Muller transform. */
    double
    normal();

    /** A random permutation of 0 … @p n − 1 (Fisher and Yates). */
    std::vector<std::size_t>
    permutation(const std::size_t n);

  private:
    std::uint32_t
    next();

    std::array<std::uint32_t, 2> key;
    std::array<std::uint32_t, 4> counter;
    std::array<std::uint32_t, 4> block;
    unsigned int                 used = 4;
  };
} // namespace neuraldeal

#endif
