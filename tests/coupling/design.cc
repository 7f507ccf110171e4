// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <boost/math/distributions/chi_squared.hpp>

#include <neuraldeal/coupling/design.h>
#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/coupling/torch_interface.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <cmath>
#include <set>

#include "test_tools.h"

using namespace neuraldeal;
using namespace TestTools;

namespace
{
  const char *const sobol = "scrambled Sobol";

  std::unique_ptr<Design>
  make(const std::string  &name,
       const std::uint64_t seed,
       const unsigned int  dimension,
       const std::uint64_t n = 1024)
  {
    return make_design(name, seed, dimension, n, "test.prm");
  }

  /**
   * A product whose factors have mean one and variance 1/12, with smooth
   * factors: (1 + x_d − 1/2).
   */
  double
  product(const std::vector<double> &x)
  {
    double result = 1.;
    for (const double coordinate : x)
      result *= 0.5 + coordinate;
    return result;
  }

  double
  mean_of_product(const Design &design, const unsigned int n)
  {
    double sum = 0;
    for (unsigned int i = 0; i < n; ++i)
      sum += product(design.point(i));
    return sum / n;
  }

  /**
   * The smallest t for which the points [n, 2] (numerators over 2^32, n =
   * 2^m) are a (t, m, 2)-net: every interval of area 2^(t − m) has 2^t.
   */
  unsigned int
  quality(const std::vector<std::array<std::uint32_t, 2>> &points,
          const unsigned int                               m)
  {
    for (unsigned int t = 0; t <= m; ++t)
      {
        bool is_net = true;
        for (unsigned int k = 0; k <= m - t && is_net; ++k)
          {
            std::vector<unsigned int> counts(1u << (m - t), 0);
            for (const auto &x : points)
              {
                const std::uint64_t row = std::uint64_t(x[0]) >> (32 - k);
                const std::uint64_t column =
                  std::uint64_t(x[1]) >> (32 - (m - t - k));
                ++counts[(row << (m - t - k)) + column];
              }
            for (const auto count : counts)
              is_net = is_net && count == (1u << t);
          }
        if (is_net)
          return t;
      }
    return m + 1;
  }
} // namespace



TEST(Design, SobolPointsAreThoseOfTheLiterature)
{
  // The first points in the order of Gray's code, in eighths, as Bratley and
  // Fox (1988) and Joe and Kuo (2003) list them.
  const SobolSequence sequence(40);
  const int           expected[8][3] = {{0, 0, 0},
                                        {4, 4, 4},
                                        {6, 2, 2},
                                        {2, 6, 6},
                                        {3, 3, 5},
                                        {7, 7, 1},
                                        {5, 1, 7},
                                        {1, 5, 3}};
  for (unsigned int i = 0; i < 8; ++i)
    for (unsigned int d = 0; d < 3; ++d)
      EXPECT_EQ(sequence(i ^ (i >> 1), d), std::uint32_t(expected[i][d]) << 29)
        << i << " " << d;

  // The same table, read by others: LibTorch's sequence has 30 digits.
  const long n = 512, dimension = 40;
  auto       state = at::zeros({dimension, 30}, torch::kInt64);
  at::_sobol_engine_initialize_state_(state, dimension);
  const auto points =
    std::get<0>(at::_sobol_engine_draw(at::zeros({dimension}, torch::kInt64),
                                       n,
                                       state,
                                       dimension,
                                       0,
                                       torch::kFloat64));
  for (long i = 0; i < n; ++i)
    {
      // LibTorch goes on from the zero point that it is given.
      const std::uint32_t number = (i + 1) ^ ((i + 1) >> 1);
      for (long d = 0; d < dimension; ++d)
        ASSERT_EQ(sequence(number, d) * 0x1p-32, points[i][d].item<double>())
          << i << " " << d;
    }
}



TEST(Design, ScramblingKeepsTheNetsOfSobol)
{
  const SobolSequence sequence(12);
  const auto          design = make(sobol, 3, 12);
  unsigned int        n_best = 0;
  for (const unsigned int m : {3u, 6u})
    for (const unsigned int block : {0u, 5u})
      for (unsigned int a = 0; a < 12; ++a)
        for (unsigned int b = 0; b < a; ++b)
          {
            std::vector<std::array<std::uint32_t, 2>> plain, scrambled;
            for (std::uint32_t i = block << m; i < (block + 1) << m; ++i)
              {
                plain.push_back({{sequence(i, a), sequence(i, b)}});
                const auto x = design->point(i);
                scrambled.push_back({{std::uint32_t(x[a] * 0x1p32),
                                      std::uint32_t(x[b] * 0x1p32)}});
              }
            const auto t = quality(plain, m);
            EXPECT_EQ(quality(scrambled, m), t) << m << " " << a << " " << b;
            n_best += (t == 0);
            // The first two coordinates are a (0, 2)-sequence, and each
            // coordinate alone has one point in each of 2^m intervals.
            if (a == 1)
              {
                EXPECT_EQ(t, 0u);
              }
            std::set<std::uint32_t> intervals;
            for (const auto &x : scrambled)
              intervals.insert(x[0] >> (32 - m));
            EXPECT_EQ(intervals.size(), 1u << m);
          }
  EXPECT_GT(n_best, 4u);

  // Independent points are nothing like it.
  const auto                                random = make("Monte Carlo", 3, 2);
  std::vector<std::array<std::uint32_t, 2>> points;
  for (unsigned int i = 0; i < 64; ++i)
    {
      const auto x = random->point(i);
      points.push_back(
        {{std::uint32_t(x[0] * 0x1p32), std::uint32_t(x[1] * 0x1p32)}});
    }
  EXPECT_GT(quality(points, 6), 3u);
}



TEST(Design, OwensScramblingIsNestedAndUniform)
{
  // Numbers that agree in k digits do so afterwards, and no more than that;
  // scrambling is one-to-one.
  std::uint32_t differing = 0;
  for (unsigned int k = 0; k < 32; ++k)
    {
      const std::uint32_t x = 0x9d2c5680u, y = x ^ (0x80000000u >> k);
      const auto z = owen_scrambling(x, 7, 2) ^ owen_scrambling(y, 7, 2);
      EXPECT_EQ(z >> (31 - k), 1u) << k;
      differing |= (k < 31 ? z << (k + 1) : 0u);
    }
  EXPECT_NE(differing, 0u) << "digits behind have flips of their own";

  // Over seeds, the first four digits of a number are uniformly distributed,
  // and so are those of two numbers that differ in the first digit.
  const unsigned int n = 4096;
  for (const bool pair : {false, true})
    {
      const unsigned int        n_bins = pair ? 8 : 16;
      std::vector<unsigned int> counts(n_bins, 0);
      for (unsigned int seed = 0; seed < n; ++seed)
        {
          const auto a = owen_scrambling(0, seed, 1),
                     b = owen_scrambling(0x80000000u, seed, 1);
          // The second is in the other half: three free digits are left.
          ++counts[pair ?
                     ((a >> 31) << 2 | ((a >> 30) & 1) << 1 | ((b >> 30) & 1)) :
                     a >> 28];
        }
      double statistic = 0;
      for (const auto count : counts)
        statistic += std::pow(count - n / double(n_bins), 2) * n_bins / n;
      EXPECT_LT(statistic,
                boost::math::quantile(boost::math::complement(
                  boost::math::chi_squared(n_bins - 1), 1e-5)));
    }
}



TEST(Design, ScrambledSobolIntegratesFasterThanMonteCarlo)
{
  // The variance of the product over 4 uniform coordinates is
  // (1 + 1/12)^4 − 1. Independent points have that over n as variance; a
  // scrambled net has at most the same times 2^t 3^(s − 1) (Owen, J.
  // Complexity 14, 1998), and for a smooth function far less.
  const unsigned int s = 4, n_seeds = 64;
  const double       variance         = std::pow(13. / 12., s) - 1.;
  double             log_error_before = 0;
  for (const unsigned int m : {4u, 7u, 10u})
    {
      const unsigned int n    = 1u << m;
      double             mean = 0, square = 0;
      for (unsigned int seed = 0; seed < n_seeds; ++seed)
        {
          const double error = mean_of_product(*make(sobol, seed, s), n) - 1.;
          mean += error / n_seeds;
          square += error * error / n_seeds;
        }
      // Unbiased: the mean over scramblings is within 4.4 standard errors
      // (probability 1e-5; those of 64 averages are nearly normal).
      EXPECT_LT(std::abs(mean), 4.4 * std::sqrt(square / n_seeds)) << n;
      // Against Monte Carlo: n_seeds · square · n / variance would be χ²
      // with n_seeds degrees of freedom.
      EXPECT_LT(n_seeds * square * n / variance,
                boost::math::quantile(boost::math::chi_squared(n_seeds), 1e-9))
        << n;
      // Eight times as many points: Monte Carlo's variance falls by 8, that
      // of the scrambled net by nearly 8³. By 64 at least: half of the way
      // in the logarithm; both are estimated by χ² of 64 degrees of freedom,
      // whose ratio is below 3.1 but for one case in 10⁵.
      if (m > 4)
        {
          EXPECT_LT(std::log(square) - log_error_before,
                    -std::log(64.) + std::log(3.1))
            << n;
        }
      log_error_before = std::log(square);
    }
}



TEST(Design, MonteCarloIntegratesAsItShould)
{
  const unsigned int s = 4, n = 128, n_seeds = 64;
  const double       variance = std::pow(13. / 12., s) - 1.;
  double             square   = 0;
  for (unsigned int seed = 0; seed < n_seeds; ++seed)
    square +=
      std::pow(mean_of_product(*make("Monte Carlo", seed, s), n) - 1., 2);
  const boost::math::chi_squared chi(n_seeds);
  EXPECT_GT(square * n / variance, boost::math::quantile(chi, 1e-5));
  EXPECT_LT(square * n / variance, boost::math::quantile(chi, 1. - 1e-5));
}



TEST(Design, PointsAreFunctionsOfSeedAndNumber)
{
  register_designs();
  EXPECT_EQ(DesignRegistry::entries().size(), 3u);
  InputDistribution inputs;
  for (unsigned int d = 0; d < 5; ++d)
    inputs.add_log_uniform("x", 0.1, 10.);
  for (const auto &[name, entry] : DesignRegistry::entries())
    {
      EXPECT_FALSE(entry.documentation.empty());
      const auto design = make(name, 11, 5, 64), again = make(name, 11, 5, 64),
                 other = make(name, 12, 5, 64), larger = make(name, 11, 5, 128);
      bool                          is_prefix = true;
      std::set<std::vector<double>> points;
      for (const std::uint64_t i : {5, 63, 0, 17})
        {
          const auto x = design->point(i);
          ASSERT_EQ(x.size(), 5u);
          EXPECT_EQ(again->point(i), x);
          EXPECT_TRUE(same_on_all_ranks(x));
          EXPECT_NE(other->point(i), x);
          is_prefix = is_prefix && larger->point(i) == x;
          points.insert(x);
          for (const double coordinate : x)
            {
              EXPECT_GT(coordinate, 0.);
              EXPECT_LT(coordinate, 1.);
            }
          // Coordinates are not copies of each other.
          EXPECT_EQ(std::set<double>(x.begin(), x.end()).size(), 5u);
          if (name == "Monte Carlo")
            {
              EXPECT_EQ(inputs.at(x),
                        inputs.draw(11, CounterRandom::Stream::design, i));
            }
          if (name == "Latin hypercube")
            {
              EXPECT_EQ(inputs.at(x), inputs.latin_hypercube(11, i, 64));
            }
        }
      EXPECT_EQ(points.size(), 4u);
      EXPECT_EQ(is_prefix, entry.factory.grows) << name;
    }
}



TEST(Design, WhatIsNotThereIsRefused)
{
  expect_sentence(message_of([]() { make("Halton", 1, 2); }),
                  {"test.prm",
                   "Design is 'Halton'",
                   "Latin hypercube, Monte Carlo, scrambled Sobol"});
  const auto most = SobolSequence::max_dimension();
  EXPECT_GE(most, 1000u);
  expect_sentence(message_of([&]() { make(sobol, 1, most + 1); }),
                  {"test.prm", std::to_string(most + 1), "valid is"});
  expect_sentence(message_of([&]() {
                    make(sobol, 1, 2)->point(std::uint64_t(1) << 32);
                  }),
                  {"4294967296", "below 2^32"});
  const auto x = make(sobol, 1, 2)->point((std::uint64_t(1) << 32) - 1);
  EXPECT_TRUE(x[0] > 0. && x[0] < 1.);
}
