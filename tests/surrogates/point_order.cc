// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/point_order.h>

#include "square_grid.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** A permutation of 0, …, @p n − 1. */
  torch::Tensor
  shuffle(const long n, const std::uint64_t number)
  {
    return random_uniform({n}, 0., 1., number).argsort();
  }



  /** Grid points in the order of a grid, the last direction fastest. */
  torch::Tensor
  box_points(const std::vector<torch::Tensor> &lines)
  {
    std::vector<torch::Tensor> coordinates;
    for (const auto &x : torch::meshgrid(lines, "ij"))
      coordinates.push_back(x.reshape({-1}));
    return torch::stack(coordinates, 1);
  }



  torch::Tensor
  line(const double begin, const double end, const long n)
  {
    return torch::linspace(begin, end, n, torch::kFloat64);
  }



  TEST(PointOrder, FindsShuffledGrids)
  {
    const auto points =
      box_points({line(-1., 2., 4), line(100., 100.5, 5), line(0., 1e-3, 3)});
    const auto       numbers  = shuffle(60, 1);
    const auto       shuffled = points.index_select(0, numbers);
    const PointOrder order(shuffled, "the test");
    ASSERT_TRUE(order.is_grid());
    EXPECT_TRUE(
      torch::equal(order.grid, torch::tensor({4, 5, 3}, torch::kInt64)));
    EXPECT_EQ(order.n_components(), 1);
    EXPECT_EQ(order.n_points(), 60);
    EXPECT_NEAR(order.spacing[0], 1., 1e-12);
    EXPECT_NEAR(order.spacing[1], 0.125, 1e-12);
    EXPECT_NEAR(order.spacing[2], 5e-4, 1e-12);

    const auto field  = random_normal({2, 60}, 2);
    const auto values = field.index_select(1, numbers);
    const auto grid   = order.to_channels(values);
    EXPECT_TRUE(torch::equal(grid, field.reshape({2, 1, 4, 5, 3})));
    EXPECT_TRUE(torch::equal(order.to_rows(grid), values));

    // and after it has been in a file
    const PointOrder again(order.order, order.unit_points, order.grid);
    EXPECT_TRUE(torch::equal(again.to_channels(values), grid));
    EXPECT_TRUE(torch::equal(again.to_rows(grid), values));
  }



  // A mesh's points are known up to rounding only.
  TEST(PointOrder, RoundingIsNoDistance)
  {
    auto points = box_points({line(0., 1., 11), line(0., 3., 7)});
    points += 1e-11 * random_normal({77, 2}, 3);
    EXPECT_TRUE(PointOrder(points, "the test").is_grid());
    // but a millionth of the box is one
    points[38][0] += 1e-5;
    EXPECT_FALSE(PointOrder(points, "the test").is_grid());
  }



  TEST(PointOrder, OtherPointsArePoints)
  {
    const auto check = [](const torch::Tensor &points) {
      const PointOrder order(points, "the test");
      EXPECT_FALSE(order.is_grid());
      EXPECT_EQ(order.n_points(), points.size(0));
      const auto field = random_normal({1, points.size(0)}, 4);
      EXPECT_EQ(order.to_channels(field).dim(), 3);
      EXPECT_TRUE(torch::equal(order.to_rows(order.to_channels(field)), field));
      // values stay beside their points
      const auto x = order.to_channels(points.t())
                       .squeeze(1)
                       .t(); // two "fields", the coordinates
      const auto   lowest = std::get<0>(points.min(0, true));
      const double size =
        (std::get<0>(points.max(0, true)) - lowest).max().item<double>();
      EXPECT_LT(distance((x - lowest) / size, order.unit_points), 1e-14);
    };
    check(random_uniform({20, 2}, -1., 5., 5));
    // a grid with a hole, one graded towards a side, and one point on a side
    const auto points = box_points({line(0., 1., 5), line(0., 1., 4)});
    check(torch::cat({points.slice(0, 0, 7), points.slice(0, 8)}));
    check(box_points({line(0., 1., 5).square(), line(0., 1., 4)}));
    check(torch::cat({points, torch::tensor({{0.125, 0.}}, torch::kFloat64)}));
    // a line that is no box
    check(torch::stack({line(0., 1., 6), line(0., 0., 6)}, 1));
  }



  TEST(PointOrder, ValuesOfAPointAreComponents)
  {
    for (const bool grid : {true, false})
      {
        const auto places = grid ?
                              box_points({line(0., 1., 3), line(0., 1., 4)}) :
                              random_uniform({12, 2}, 0., 1., 6);
        // Points come one after another, with their components in a row.
        const auto numbers = shuffle(12, 7);
        const auto points =
          places.index_select(0, numbers).repeat_interleave(3, 0);
        const PointOrder order(points, "the test");
        EXPECT_EQ(order.is_grid(), grid);
        ASSERT_EQ(order.n_components(), 3);
        const auto values = random_normal({2, 36}, 8);
        const auto found  = order.to_channels(values).flatten(2);
        ASSERT_EQ(found.size(1), 3);
        EXPECT_TRUE(torch::equal(order.to_rows(found), values));
        const auto by_place = values.reshape({2, 12, 3}); // place, component
        const auto x        = order.to_channels(points.t()).flatten(2);
        for (long i = 0; i < 12; ++i)
          for (long c = 0; c < 3; ++c)
            {
              // the point that stands in place i of component c
              const auto here = torch::stack({x[0][c][i], x[1][c][i]});
              const long p    = (places.index_select(0, numbers) - here)
                               .abs()
                               .sum(1)
                               .argmin()
                               .item<std::int64_t>();
              EXPECT_TRUE(torch::equal(found.select(1, c).select(1, i),
                                       by_place.select(1, p).select(1, c)));
            }
      }
  }



  TEST(PointOrder, MatricesGoWithTheValues)
  {
    const SquareGrid grid(3);
    const auto       numbers = shuffle(9, 9);
    const auto       mass =
      grid.dense_mass().index_select(0, numbers).index_select(1, numbers);
    const PointOrder order(grid.points().t().index_select(0, numbers),
                           "the test");
    const auto       a = random_normal({4, 9}, 10);
    const auto       b = order.to_channels(a).flatten(1);
    EXPECT_LT(
      distance(
        (torch::mm(a, mass) * a).sum(1),
        (torch::mm(b, order.to_channels_matrix(mass.to_sparse()).to_dense()) *
         b)
          .sum(1)),
      1e-14);
  }



  // A symmetry of values, as one of points.
  TEST(PointOrder, PermutationsOfPoints)
  {
    const SquareGrid grid(4);
    const auto       numbers = shuffle(16, 11);
    const auto       points  = grid.points().t().index_select(0, numbers);
    // in shuffled numbers: shuffled[k] = old[numbers[k]]
    const auto image =
      numbers.argsort().index_select(0,
                                     grid.rotation().index_select(0, numbers));
    const PointOrder order(points, "the test");
    const auto       field = random_normal({1, 16}, 12);
    const auto       found = order.point_permutation(image);
    ASSERT_TRUE(found.defined());
    EXPECT_TRUE(
      torch::equal(order.to_channels(field).flatten(2).index_select(2, found),
                   order.to_channels(field.index_select(1, image)).flatten(2)));

    // Two components that stay what they are, and two that change places.
    const PointOrder two(points.repeat_interleave(2, 0), "the test");
    const auto       both = [](const torch::Tensor &a, const torch::Tensor &b) {
      return torch::stack({a, b}, 1).reshape({-1});
    };
    const auto staying = two.point_permutation(both(2 * image, 2 * image + 1));
    ASSERT_TRUE(staying.defined());
    EXPECT_TRUE(torch::equal(staying, found));
    EXPECT_FALSE(
      two.point_permutation(both(2 * image + 1, 2 * image)).defined());
  }



  TEST(PointOrder, SaysWhatItCannotTell)
  {
    // velocities and pressures: a point has two or three values
    const auto points = box_points({line(0., 1., 3), line(0., 1., 3)});
    expect_sentence(
      message_of<InputError>([&]() {
        PointOrder(torch::cat({points, points.slice(0, 0, 4)}), "the test");
      }),
      {"the test", "1 to 2 values", "components"});
    expect_sentence(message_of<InputError>(
                      []() { PointOrder(torch::Tensor(), "the test"); }),
                    {"the test", "not given"});
    auto bad  = points.clone();
    bad[3][1] = NAN;
    expect_sentence(message_of<InputError>(
                      [&]() { PointOrder(bad, "the test"); }),
                    {"the test", "finite"});
    expect_sentence(
      message_of<InputError>([]() {
        PointOrder(torch::ones({3, 2}, torch::kFloat64), "the test");
      }),
      {"the test", "several points"});
  }
} // namespace
