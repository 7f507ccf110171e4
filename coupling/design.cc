// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <boost/random/sobol.hpp>

#include <neuraldeal/coupling/design.h>
#include <neuraldeal/surrogates/random.h>

#include <algorithm>

namespace neuraldeal
{
  namespace
  {
    using Stream = CounterRandom::Stream;

    /**
     * Where the random numbers of coordinate @p d of a scrambled sequence
     * begin: far from those of draws and of Latin hypercubes, which are in
     * the same stream.
     */
    std::uint64_t
    scrambling_numbers(const unsigned int d, const bool digits)
    {
      return ((digits ? std::uint64_t(2) : std::uint64_t(3)) << 62) +
             (std::uint64_t(d) << 32);
    }



    class MonteCarlo : public Design
    {
    public:
      MonteCarlo(const std::uint64_t seed,
                 const unsigned int  dimension,
                 const std::uint64_t)
        : seed(seed)
        , dimension(dimension)
      {}

      std::vector<double>
      point(const std::uint64_t index) const override
      {
        CounterRandom       random(seed, Stream::design, index);
        std::vector<double> result(dimension);
        for (auto &coordinate : result)
          coordinate = random.uniform();
        return result;
      }

    private:
      const std::uint64_t seed;
      const unsigned int  dimension;
    };



    class LatinHypercube : public Design
    {
    public:
      LatinHypercube(const std::uint64_t seed,
                     const unsigned int  dimension,
                     const std::uint64_t n_points)
        : seed(seed)
        , dimension(dimension)
        , n_points(n_points)
      {}

      std::vector<double>
      point(const std::uint64_t index) const override
      {
        return latin_hypercube_point(seed, dimension, index, n_points);
      }

    private:
      const std::uint64_t seed;
      const unsigned int  dimension;
      const std::uint64_t n_points;
    };



    class ScrambledSobol : public Design
    {
    public:
      ScrambledSobol(const std::uint64_t seed,
                     const unsigned int  dimension,
                     const std::uint64_t)
        : seed(seed)
        , dimension(dimension)
        , sequence(dimension)
      {}

      std::vector<double>
      point(const std::uint64_t index) const override
      {
        if (index >> 32 != 0)
          throw InputError("the design 'scrambled Sobol'",
                           "the number of a point",
                           std::to_string(index),
                           "a number below 2^32");
        std::vector<double> result(dimension);
        for (unsigned int d = 0; d < dimension; ++d)
          {
            const auto digits = owen_scrambling(sequence(index, d), seed, d);
            // Points differ in their first 32 digits, so those that follow
            // are independent of each other.
            const double rest =
              CounterRandom(seed,
                            Stream::design,
                            scrambling_numbers(d, false) + index)
                .uniform();
            result[d] = std::min((digits + rest) * 0x1p-32, 1. - 0x1p-53);
          }
        return result;
      }

    private:
      const std::uint64_t seed;
      const unsigned int  dimension;
      const SobolSequence sequence;
    };



    template <typename Class>
    void
    add(const std::string &name,
        const std::string &documentation,
        const bool         grows)
    {
      DesignRegistry::Registration(name,
                                   documentation,
                                   {},
                                   {grows,
                                    [](const std::uint64_t seed,
                                       const unsigned int  dimension,
                                       const std::uint64_t n_points) {
                                      return std::make_unique<Class>(seed,
                                                                     dimension,
                                                                     n_points);
                                    }});
    }
  } // namespace



  void
  register_designs()
  {
    if (!DesignRegistry::entries().empty())
      return;
    add<MonteCarlo>("Monte Carlo", "independent points; may grow", true);
    add<LatinHypercube>("Latin hypercube",
                        "one point in each of n intervals of equal "
                        "probability of every input; cannot grow",
                        false);
    add<ScrambledSobol>("scrambled Sobol",
                        "Sobol's sequence under Owen's scrambling, best with "
                        "a power of two of points; may grow",
                        true);
  }



  std::unique_ptr<Design>
  make_design(const std::string  &name,
              const std::uint64_t seed,
              const unsigned int  dimension,
              const std::uint64_t n_points,
              const std::string  &source)
  {
    register_designs();
    const auto &entry = DesignRegistry::find(source, "Design", name);
    try
      {
        return entry.factory.make(seed, dimension, n_points);
      }
    catch (const InputError &error)
      {
        // The design does not know where it was asked for.
        throw InputError(source, error);
      }
  }



  std::vector<double>
  latin_hypercube_point(const std::uint64_t seed,
                        const unsigned int  dimension,
                        const std::uint64_t index,
                        const std::uint64_t n)
  {
    std::vector<double> result;
    for (std::uint64_t d = 0; d < dimension; ++d)
      {
        // The permutation of entry d, and the place within the interval, are
        // functions of the seed: any rank can work out any point.
        CounterRandom order(seed, Stream::design, (std::uint64_t(1) << 32) + d);
        CounterRandom place(seed, Stream::design, ((2 + d) << 32) + index);
        const double  interval = order.permutation(n)[index];
        result.push_back((interval + place.uniform()) / n);
      }
    return result;
  }



  unsigned int
  SobolSequence::max_dimension()
  {
    return boost::random::default_sobol_table::max_dimension;
  }



  SobolSequence::SobolSequence(const unsigned int dimension)
    : directions(32 * std::size_t(dimension))
  {
    if (dimension == 0 || dimension > max_dimension())
      throw InputError("Sobol's sequence",
                       "the number of coordinates",
                       std::to_string(dimension),
                       "an integer from 1 to " +
                         std::to_string(max_dimension()));
    // Boost goes through the points in the order of Gray's code, without the
    // first one, which is zero. Number 2^(k + 1) − 1 of that order is the
    // point 2^k, which is direction k. With 64 digits there are points behind
    // the last one that is needed; directions below 32 have no more than 32.
    boost::random::sobol_engine<std::uint64_t, 64> engine(dimension);
    for (unsigned int k = 0; k < 32; ++k)
      {
        engine.seed((std::uint64_t(2) << k) - 2);
        for (unsigned int d = 0; d < dimension; ++d)
          directions[32 * d + k] = engine() >> 32;
      }
  }



  std::uint32_t
  SobolSequence::operator()(const std::uint32_t index,
                            const unsigned int  d) const
  {
    std::uint32_t result = 0;
    for (unsigned int k = 0; k < 32; ++k)
      if ((index >> k) & 1)
        result ^= directions[32 * d + k];
    return result;
  }



  std::uint32_t
  owen_scrambling(const std::uint32_t digits,
                  const std::uint64_t seed,
                  const unsigned int  d)
  {
    std::uint32_t result = digits;
    for (unsigned int k = 0; k < 32; ++k)
      {
        // A node of the binary tree of all numbers: a one, then the digits
        // that lead to it.
        const std::uint64_t node =
          (std::uint64_t(1) << k) | (std::uint64_t(digits) >> (32 - k));
        if (CounterRandom(seed,
                          Stream::design,
                          scrambling_numbers(d, true) + node)
              .uniform() < 0.5)
          result ^= std::uint32_t(1) << (31 - k);
      }
    return result;
  }
} // namespace neuraldeal
