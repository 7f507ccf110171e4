// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/training_range.h>

#include <cmath>

#include "small_trainings.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /**
   * Periodic fields Σ_k ξ_k cos(k x) + η_k sin(k x), k = 1, …, 8, with the
   * amplitude exp(−k/length) of frequency k.
   */
  torch::Tensor
  fields(const long          n,
         const std::uint64_t number,
         const double        length    = 2.,
         const double        amplitude = 1.)
  {
    constexpr long n_points = 64, n_modes = 8;
    const auto     k = torch::arange(1, n_modes + 1, torch::kFloat64);
    const auto     x =
      torch::arange(n_points, torch::kFloat64) * (2. * M_PI / n_points);
    const auto phases = k.unsqueeze(1) * x;
    const auto sizes  = amplitude * (-k / length).exp();
    const auto xi     = random_normal({2, n, n_modes}, number) * sizes;
    return (torch::mm(xi[0], phases.cos()) + torch::mm(xi[1], phases.sin()))
      .unsqueeze(1);
  }

  TrainingRange
  range_of(const OperatorData &data)
  {
    TrainingRange result;
    result.fit(data);
    return result;
  }

  double
  share_outside(const TrainingRange &range, const torch::Tensor &values)
  {
    return range.distances(as_data(values))
      .gt(1.)
      .to(torch::kFloat64)
      .mean()
      .item<double>();
  }



  // Two in a hundred, within four standard deviations of 500 draws, where the
  // order statistic of 300 has a deviation itself.
  TEST(TrainingRange, NewInputsOfTheSameKindAreInside)
  {
    const auto range = range_of(as_data(fields(300, 1)));
    EXPECT_LT(share_outside(range, fields(500, 2)), 0.06);
    EXPECT_GT(share_outside(range, fields(500, 2)), 0.);
  }



  // Where the order statistic does not exist.
  TEST(TrainingRange, FewInputsAreEnoughForThat)
  {
    double sum = 0;
    for (long i = 0; i < 40; ++i)
      sum += share_outside(range_of(as_data(fields(20, 100 + i))),
                           fields(50, 200 + i));
    EXPECT_LT(sum / 40., 0.04);
  }



  TEST(TrainingRange, OtherKindsAreOutside)
  {
    const auto range = range_of(as_data(fields(300, 1)));
    EXPECT_GT(share_outside(range, fields(100, 3, 1.)), 0.9);
    EXPECT_GT(share_outside(range, fields(100, 4, 8.)), 0.9);
    EXPECT_GT(share_outside(range, fields(100, 5, 2., 4.)), 0.9);
    EXPECT_EQ(share_outside(range, fields(100, 6) + 3.), 1.);
    // The farther away the farther
    double before = 1.;
    for (const double amplitude : {4., 8., 16.})
      {
        const double distance =
          range.distances(as_data(fields(100, 7, 2., amplitude)))
            .mean()
            .item<double>();
        EXPECT_GT(distance, 1.3 * before);
        before = distance;
      }
  }



  // Of two values there were in the training, another one is new.
  TEST(TrainingRange, WhatWasAlwaysTheSameIsExpectedToBe)
  {
    const auto two_values = [](const std::uint64_t number, const double value) {
      return torch::where(fields(100, number) > 0.,
                          torch::full({}, value, torch::kFloat64),
                          torch::full({}, 3., torch::kFloat64));
    };
    const auto range = range_of(as_data(two_values(1, 12.)));
    EXPECT_LT(share_outside(range, two_values(2, 12.)), 0.1);
    EXPECT_EQ(share_outside(range, two_values(2, 13.)), 1.);
    EXPECT_EQ(share_outside(range, two_values(2, 11.)), 1.);
  }



  // Channels in other units, and masked points, make no difference.
  TEST(TrainingRange, UnitsAndMaskedValuesDoNotMatter)
  {
    auto training = as_data(torch::cat({fields(50, 1), fields(50, 2)}, 1));
    training.input.points = random_normal({64, 2}, 3);
    training.input.mask   = torch::ones({50, 64}, torch::kUInt8);
    training.input.mask.slice(1, 60).fill_(0);
    const auto expected = range_of(training).distances(training);

    auto other = training;
    other.input.fields =
      training.input.fields *
      torch::tensor({1e6, 1e-6}, torch::kFloat64).reshape({1, 2, 1});
    const auto hidden = other.input.fields.clone();
    EXPECT_LT(distance(range_of(other).distances(other), expected), 1e-9);

    const auto range   = range_of(training);
    other              = training;
    other.input.fields = training.input.fields.clone();
    other.input.fields.slice(2, 60).fill_(77.);
    EXPECT_LT(distance(range.distances(other), expected), 1e-12);
    other.input.fields.slice(2, 50, 51).fill_(77.);
    EXPECT_GT(range.distances(other).min().item<double>(), 1.);
  }



  TEST(TrainingRange, NoNumberHasNoDistance)
  {
    const auto range  = range_of(as_data(fields(30, 1)));
    auto       values = fields(3, 2);
    values[1][0][5]   = NAN;
    const auto found  = range.distances(as_data(values));
    EXPECT_TRUE(torch::isnan(found[1]).item<bool>());
    EXPECT_FALSE(torch::isnan(found[0]).item<bool>());
  }



  TEST(TrainingRange, SavesAndLoads)
  {
    const auto range = range_of(as_data(fields(30, 1)));
    ModelFile  file;
    range.save(file, "range");
    const auto again = TrainingRange::load(file, "range");
    const auto fresh = as_data(fields(5, 2));
    EXPECT_TRUE(torch::equal(again.distances(fresh), range.distances(fresh)));

    auto damaged                  = file;
    damaged.tensors["range.unit"] = torch::zeros({1}, torch::kFloat64);
    EXPECT_THROW(TrainingRange::load(damaged, "range"), FileError);
    damaged = file;
    damaged.tensors["range.whitening"] =
      file.tensor("range.whitening").slice(0, 1);
    EXPECT_THROW(TrainingRange::load(damaged, "range"), FileError);
    EXPECT_THROW(TrainingRange::load(file, "other"), FileError);
  }
} // namespace
