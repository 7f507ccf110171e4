// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/random.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <vector>

namespace
{
  using namespace neuraldeal;
  using Stream = CounterRandom::Stream;
  using Block  = std::array<std::uint32_t, 4>;

  double
  correlation(const std::vector<double> &a, const std::vector<double> &b)
  {
    double ab = 0, aa = 0, bb = 0, mean_a = 0, mean_b = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
      {
        mean_a += a[i] / a.size();
        mean_b += b[i] / b.size();
      }
    for (std::size_t i = 0; i < a.size(); ++i)
      {
        ab += (a[i] - mean_a) * (b[i] - mean_b);
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
      }
    return ab / std::sqrt(aa * bb);
  }



  // The vectors that come with Random123, the authors' own implementation.
  TEST(Random, PhiloxGivesThePublishedNumbers)
  {
    EXPECT_EQ(philox4x32({{0, 0, 0, 0}}, {{0, 0}}),
              (Block{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}));
    constexpr std::uint32_t ones = 0xffffffff;
    EXPECT_EQ(philox4x32({{ones, ones, ones, ones}}, {{ones, ones}}),
              (Block{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}));
    // digits of pi
    EXPECT_EQ(philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
                         {{0xa4093822, 0x299f31d0}}),
              (Block{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}));
  }



  // The number drawn is a function of seed, stream and index, and a function
  // that may not change: stores hold samples that were drawn with it.
  TEST(Random, CounterHoldsStreamAndIndex)
  {
    const std::uint64_t seed  = 0x0123456789abcdef;
    const std::uint64_t index = 0xfedcba9876543210;
    CounterRandom       random(seed, Stream::audits, index);
    for (std::uint32_t number = 0; number < 3; ++number)
      {
        const auto block = philox4x32({{number, 3, 0x76543210, 0xfedcba98}},
                                      {{0x89abcdef, 0x01234567}});
        for (const unsigned int half : {0, 2})
          {
            const double high = block[half] >> 5, low = block[half + 1] >> 6;
            EXPECT_EQ(random.uniform(),
                      (high * 67108864. + low + 0.5) / 9007199254740992.);
          }
      }
  }



  TEST(Random, UniformIsUniform)
  {
    const unsigned int n = 200000, n_bins = 100;
    CounterRandom      random(1, Stream::check, 0);
    std::vector<long>  bins(n_bins, 0);
    double             mean = 0, square = 0;
    for (unsigned int i = 0; i < n; ++i)
      {
        const double x = random.uniform();
        ASSERT_GT(x, 0.);
        ASSERT_LT(x, 1.);
        ++bins[static_cast<unsigned int>(x * n_bins)];
        mean += x / n;
        square += x * x / n;
      }
    // within four standard deviations of the moments
    EXPECT_NEAR(mean, 1. / 2., 4. * std::sqrt(1. / 12. / n));
    EXPECT_NEAR(square, 1. / 3., 4. * std::sqrt(4. / 45. / n));
    double chi_square = 0;
    for (const long bin : bins)
      chi_square += std::pow(bin - double(n) / n_bins, 2) * n_bins / n;
    EXPECT_NEAR(chi_square, n_bins - 1, 4. * std::sqrt(2. * (n_bins - 1)));
  }



  TEST(Random, NormalIsNormal)
  {
    const unsigned int    n = 200000;
    CounterRandom         random(1, Stream::check, 1);
    std::array<double, 5> moments{};
    double                within_one = 0;
    for (unsigned int i = 0; i < n; ++i)
      {
        const double x = random.normal();
        for (unsigned int k = 1; k < 5; ++k)
          moments[k] += std::pow(x, k) / n;
        within_one += (std::abs(x) < 1.) / double(n);
      }
    // variances of x^k: 1, 2, 15, 96
    EXPECT_NEAR(moments[1], 0., 4. * std::sqrt(1. / n));
    EXPECT_NEAR(moments[2], 1., 4. * std::sqrt(2. / n));
    EXPECT_NEAR(moments[3], 0., 4. * std::sqrt(15. / n));
    EXPECT_NEAR(moments[4], 3., 4. * std::sqrt(96. / n));
    const double p = std::erf(std::sqrt(0.5));
    EXPECT_NEAR(within_one, p, 4. * std::sqrt(p * (1. - p) / n));
  }



  TEST(Random, PermutationIsOneAndReproducible)
  {
    for (const std::size_t n : {0, 1, 2, 7, 1000})
      {
        CounterRandom random(5, Stream::splitting, n), same = random;
        const auto    permutation = random.permutation(n);
        EXPECT_EQ(permutation, same.permutation(n));
        const std::set<std::size_t> distinct(permutation.begin(),
                                             permutation.end());
        EXPECT_EQ(permutation.size(), n);
        EXPECT_EQ(distinct.size(), n);
        if (n > 0)
          {
            EXPECT_EQ(*distinct.rbegin(), n - 1);
          }
      }
  }



  TEST(Random, PermutationsAreEquallyLikely)
  {
    const unsigned int                         n = 24000;
    std::map<std::vector<std::size_t>, double> counts;
    for (unsigned int i = 0; i < n; ++i)
      ++counts[CounterRandom(6, Stream::splitting, i).permutation(4)];
    ASSERT_EQ(counts.size(), 24);
    double chi_square = 0;
    for (const auto &count : counts)
      chi_square += std::pow(count.second - n / 24., 2) * 24. / n;
    EXPECT_NEAR(chi_square, 23., 4. * std::sqrt(2. * 23.));
  }



  TEST(Random, SeedsStreamsAndIndicesAreUnrelated)
  {
    const unsigned int  n = 40000;
    std::vector<double> reference, next_index, far_index, stream, seed, seed_2;
    for (unsigned int i = 0; i < n; ++i)
      {
        const auto first = [](const std::uint64_t seed,
                              const Stream        stream,
                              const std::uint64_t index) {
          return CounterRandom(seed, stream, index).uniform();
        };
        reference.push_back(first(1, Stream::design, i));
        next_index.push_back(first(1, Stream::design, i + 1));
        far_index.push_back(first(1, Stream::design, i + (1ull << 32)));
        stream.push_back(first(1, Stream::queries, i));
        seed.push_back(first(2, Stream::design, i));
        seed_2.push_back(first(1 + (1ull << 32), Stream::design, i));
      }
    for (const auto &other : {next_index, far_index, stream, seed, seed_2})
      EXPECT_LT(std::abs(correlation(reference, other)), 4. / std::sqrt(n));
  }



  // A long sequence of one index does not run into that of the next.
  TEST(Random, SequencesDoNotOverlap)
  {
    std::set<double>   numbers;
    const unsigned int n = 20000;
    for (const std::uint64_t index : {0, 1, 2})
      {
        CounterRandom random(1, Stream::training, index);
        for (unsigned int i = 0; i < n; ++i)
          numbers.insert(random.uniform());
      }
    EXPECT_EQ(numbers.size(), 3 * n);
  }
} // namespace
