// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "test_tools.h"

using namespace neuraldeal;
using namespace TestTools;

namespace
{
  using Stream = CounterRandom::Stream;

  InputDistribution
  three_kinds()
  {
    InputDistribution inputs;
    inputs.add_uniform("film", -1., 3.);
    inputs.add_log_uniform("conductivity", 0.01, 100.);
    inputs.add_normal("load", 2., 0.5);
    return inputs;
  }

  /** The distribution function of each entry, written out once more. */
  double
  probability(const unsigned int entry, const double x)
  {
    switch (entry)
      {
        case 0:
          return (x + 1.) / 4.;
        case 1:
          return std::log(x / 0.01) / std::log(1e4);
        default:
          return 0.5 * std::erfc(-(x - 2.) / 0.5 / std::sqrt(2.));
      }
  }
} // namespace



TEST(InputDistribution, DrawsAreFunctionsOfSeedStreamAndIndex)
{
  const auto inputs = three_kinds();
  const auto x      = inputs.draw(7, Stream::queries, 12);
  ASSERT_EQ(x.size(), 3u);
  EXPECT_TRUE(same_on_all_ranks(x));

  // Whatever has been drawn before, and from whichever object.
  inputs.draw(7, Stream::queries, 11);
  EXPECT_EQ(inputs.draw(7, Stream::queries, 12), x);
  EXPECT_EQ(three_kinds().draw(7, Stream::queries, 12), x);

  // Each of the three matters, a large index as well.
  EXPECT_NE(inputs.draw(8, Stream::queries, 12), x);
  EXPECT_NE(inputs.draw(7, Stream::design, 12), x);
  EXPECT_NE(inputs.draw(7, Stream::queries, 13), x);
  EXPECT_NE(inputs.draw(7, Stream::queries, 12 + (1ull << 32)), x);

  // A further entry leaves those before it alone.
  auto more = three_kinds();
  more.add_uniform("another", 0., 1.);
  auto y = more.draw(7, Stream::queries, 12);
  y.pop_back();
  EXPECT_EQ(y, x);
}



TEST(InputDistribution, DrawsHaveTheirDistribution)
{
  // The probabilities of n draws are uniform: Kolmogorov's distance is below
  // 1.95/√n but for one case in a thousand.
  const unsigned int               n      = 4000;
  const auto                       inputs = three_kinds();
  std::vector<std::vector<double>> probabilities(3);
  double                           sum = 0, squares = 0, product = 0;
  for (unsigned int i = 0; i < n; ++i)
    {
      const auto x = inputs.draw(3, Stream::queries, i);
      for (unsigned int d = 0; d < 3; ++d)
        probabilities[d].push_back(probability(d, x[d]));
      sum += x[2];
      squares += (x[2] - 2.) * (x[2] - 2.);
      product += (probabilities[0][i] - 0.5) * (probabilities[1][i] - 0.5);
    }
  for (auto &p : probabilities)
    {
      std::sort(p.begin(), p.end());
      EXPECT_GE(p.front(), 0.);
      EXPECT_LE(p.back(), 1.);
      double distance = 0;
      for (unsigned int i = 0; i < n; ++i)
        distance = std::max(
          {distance, std::abs(p[i] - i / double(n)), (i + 1.) / n - p[i]});
      EXPECT_LT(distance, 1.95 / std::sqrt(n));
    }
  // The moments of the normal entry, four standard errors wide.
  EXPECT_NEAR(sum / n, 2., 4. * 0.5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 0.25, 4. * 0.25 * std::sqrt(2. / n));
  // Entries are independent: a product of centred uniforms has variance 1/144.
  EXPECT_NEAR(product / n, 0., 4. / 12. / std::sqrt(n));
}



TEST(InputDistribution, LatinHypercubeHasOnePointAStratum)
{
  const auto inputs = three_kinds();
  for (const unsigned int n : {1u, 2u, 37u})
    {
      std::vector<std::multiset<unsigned int>> strata(3);
      std::set<std::vector<unsigned int>>      cells;
      for (unsigned int i = 0; i < n; ++i)
        {
          const auto                x = inputs.latin_hypercube(5, i, n);
          std::vector<unsigned int> cell;
          for (unsigned int d = 0; d < 3; ++d)
            {
              cell.push_back(std::floor(n * probability(d, x[d])));
              strata[d].insert(cell.back());
            }
          cells.insert(cell);
          EXPECT_EQ(inputs.latin_hypercube(5, i, n), x);
        }
      std::multiset<unsigned int> all;
      for (unsigned int i = 0; i < n; ++i)
        all.insert(i);
      for (unsigned int d = 0; d < 3; ++d)
        EXPECT_EQ(strata[d], all) << "entry " << d << " of " << n << " points";
    }

  // The orders of the entries are unrelated, and another seed has others.
  std::vector<std::vector<double>> points, others;
  for (unsigned int i = 0; i < 37; ++i)
    {
      points.push_back(inputs.latin_hypercube(5, i, 37));
      others.push_back(inputs.latin_hypercube(6, i, 37));
    }
  EXPECT_NE(points, others);
  EXPECT_TRUE(same_on_all_ranks(points));
  double correlation = 0;
  for (const auto &x : points)
    correlation +=
      12. * (probability(0, x[0]) - 0.5) * (probability(1, x[1]) - 0.5) / 37.;
  EXPECT_LT(std::abs(correlation), 4. / std::sqrt(37.));
}



TEST(InputDistribution, RefusesWhatIsNoInterval)
{
  constexpr double  nan      = std::numeric_limits<double>::quiet_NaN();
  constexpr double  infinity = std::numeric_limits<double>::infinity();
  InputDistribution inputs;
  const auto        refused = [](const std::function<void()> &add,
                          const std::string           &value) {
    EXPECT_THROW(add(), InputError) << value;
    expect_sentence(message_of(add),
                    {"the distribution of gap", "'" + value + "'", "valid is"});
  };
  refused([&]() { inputs.add_uniform("gap", 1., 1.); }, "[1, 1]");
  refused([&]() { inputs.add_uniform("gap", 2., 1.); }, "[2, 1]");
  refused([&]() { inputs.add_uniform("gap", nan, 1.); }, "[nan, 1]");
  refused([&]() { inputs.add_uniform("gap", 0., infinity); }, "[0, inf]");
  refused([&]() { inputs.add_log_uniform("gap", 0., 1.); }, "[0, 1]");
  refused([&]() { inputs.add_log_uniform("gap", -1., 1.); }, "[-1, 1]");
  refused([&]() { inputs.add_log_uniform("gap", 2., 1.); }, "[2, 1]");
  refused([&]() { inputs.add_log_uniform("gap", 1., infinity); }, "[1, inf]");
  refused([&]() { inputs.add_normal("gap", 0., 0.); }, "0");
  refused([&]() { inputs.add_normal("gap", 0., -1.); }, "-1");
  refused([&]() { inputs.add_normal("gap", 0., nan); }, "nan");
  refused([&]() { inputs.add_normal("gap", 0., infinity); }, "inf");
  refused([&]() { inputs.add_normal("gap", nan, 1.); }, "nan");
  EXPECT_EQ(inputs.size(), 0u);
}



TEST(InputDistribution, TellsItsRanges)
{
  const auto ranges = three_kinds().ranges();
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[0].name, "film");
  EXPECT_EQ(ranges[0].lower, -1.);
  EXPECT_EQ(ranges[0].upper, 3.);
  EXPECT_FALSE(ranges[0].logarithmic);
  EXPECT_EQ(ranges[1].name, "conductivity");
  EXPECT_EQ(ranges[1].lower, 0.01);
  EXPECT_EQ(ranges[1].upper, 100.);
  EXPECT_TRUE(ranges[1].logarithmic);
  EXPECT_EQ(ranges[2].name, "load");
  EXPECT_EQ(ranges[2].lower, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(ranges[2].upper, std::numeric_limits<double>::infinity());
  EXPECT_FALSE(ranges[2].logarithmic);
}



TEST(InputDistribution, HashChangesWithEveryChange)
{
  const auto hash = [](const std::function<void(InputDistribution &)> &add) {
    InputDistribution inputs;
    add(inputs);
    return inputs.hash();
  };
  const std::vector<std::uint64_t> hashes = {
    hash([](auto &) {}),
    hash([](auto &x) { x.add_uniform("a", 1., 2.); }),
    hash([](auto &x) { x.add_uniform("b", 1., 2.); }),
    hash([](auto &x) { x.add_uniform("a", 1., 2. + 1e-15); }),
    hash([](auto &x) { x.add_uniform("a", 1. - 1e-15, 2.); }),
    hash([](auto &x) { x.add_log_uniform("a", 1., 2.); }),
    hash([](auto &x) { x.add_normal("a", 1., 2.); }),
    hash([](auto &x) {
      x.add_uniform("a", 1., 2.);
      x.add_uniform("b", 1., 2.);
    }),
    hash([](auto &x) {
      x.add_uniform("b", 1., 2.);
      x.add_uniform("a", 1., 2.);
    })};
  EXPECT_EQ(std::set<std::uint64_t>(hashes.begin(), hashes.end()).size(),
            hashes.size());
  EXPECT_EQ(three_kinds().hash(), three_kinds().hash());
  EXPECT_TRUE(same_on_all_ranks(three_kinds().hash()));
}
