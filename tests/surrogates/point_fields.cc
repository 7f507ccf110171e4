// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/point_fields.h>

#include <limits>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const OperatorShape plane{2, 1, 2};

  TEST(PointFields, GridPointsSpanTheUnitBox)
  {
    const auto points = grid_points({3, 2}, torch::kFloat64);
    const auto expected =
      torch::tensor({0., 0., 0., 1., 0.5, 0., 0.5, 1., 1., 0., 1., 1.},
                    torch::kFloat64)
        .reshape({6, 2});
    EXPECT_LT(distance(points, expected), 1e-15);
  }



  TEST(PointFields, GridsArePointCloudsToo)
  {
    const auto fields = random_normal({2, 2, 4, 3}, 10);
    const auto points = grid_points({4, 3}, torch::kFloat64);

    const PointFields grid({fields}, plane, "test"),
      cloud({fields.flatten(2), points}, plane, "test"),
      clouds({fields.flatten(2), points.expand({2, 12, 2})}, plane, "test");
    EXPECT_EQ(grid.features.sizes().vec(),
              (std::vector<std::int64_t>{2, 12, 4}));
    EXPECT_TRUE(torch::equal(grid.features, cloud.features));
    EXPECT_TRUE(torch::equal(grid.features, clouds.features));
    // values, then coordinates, in the same order
    EXPECT_EQ(grid.features[1][7][0].item<double>(),
              fields[1][0][2][1].item<double>());
    EXPECT_DOUBLE_EQ(grid.features[1][7][2].item<double>(), 2. / 3.);
    EXPECT_DOUBLE_EQ(grid.features[1][7][3].item<double>(), 0.5);

    EXPECT_TRUE(
      torch::equal(grid.like_input(grid.features.slice(2, 0, 2)), fields));
    EXPECT_TRUE(torch::equal(cloud.like_input(grid.features.slice(2, 0, 2)),
                             fields.flatten(2)));
  }



  TEST(PointFields, MaskedPointsAreZeroWhateverTheyWere)
  {
    auto fields = random_normal({1, 2, 3}, 11);
    fields.select(2, 1).fill_(std::numeric_limits<double>::quiet_NaN());
    auto points = random_normal({3, 2}, 12);
    points[1].fill_(std::numeric_limits<double>::infinity());
    const auto mask = torch::tensor({{1., 0., 1.}}, torch::kFloat64);

    const PointFields cloud({fields, points, mask}, plane, "test");
    EXPECT_EQ(cloud.features[0][1].abs().max().item<double>(), 0.);
    EXPECT_TRUE(torch::equal(cloud.features[0][2].slice(0, 0, 2),
                             fields[0].select(1, 2)));
    const auto out = cloud.like_input(torch::ones({1, 3, 1}, torch::kFloat64));
    EXPECT_TRUE(torch::equal(out, mask.unsqueeze(0)));
  }



  TEST(PointFields, WhatDoesNotFitIsRefused)
  {
    const auto complaint = [](const OperatorInput &input) {
      return message_of<InputError>(
        [&]() { PointFields(input, plane, "an operator"); });
    };
    const auto fields = random_normal({3, 2, 5}, 13);
    const auto points = random_normal({5, 2}, 14);

    expect_sentence(complaint({}), {"an operator", "fields", "not defined"});
    expect_sentence(complaint({fields.slice(1, 0, 1), points}),
                    {"fields", "[3, 1, 5]", "[n, 2, points"});
    expect_sentence(complaint({fields}), {"fields", "2 dimensions"});
    expect_sentence(complaint({fields, random_normal({5, 3}, 15)}),
                    {"points", "[5, 3]", "[P, 2] or [3, P, 2]"});
    expect_sentence(complaint({fields, random_normal({2, 5, 2}, 16)}),
                    {"points", "[2, 5, 2]", "[3, P, 2]"});
    expect_sentence(complaint({fields, random_normal({4, 2}, 17)}),
                    {"fields", "[3, 2, 5]", "[n, 2, 4]"});
    expect_sentence(complaint({fields, points, torch::ones({3, 4})}),
                    {"mask", "[3, 4]", "[3, 5]"});
    expect_sentence(complaint({fields, points, torch::ones({5})}),
                    {"mask", "[5]", "[3, 5]"});
  }
} // namespace
