// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/acquisition/error_process.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/multifidelity_model.h>

#include <cmath>

#include "analytic_family.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** @p snapshots with other solutions. */
  Snapshots
  with_solution(const Snapshots &snapshots, const torch::Tensor &solution)
  {
    Snapshots result = snapshots;
    result.solution  = solution;
    return result;
  }

  /** The given rows of @p snapshots. */
  Snapshots
  selected(const Snapshots &snapshots, const std::vector<std::int64_t> &rows)
  {
    const auto index = torch::tensor(rows, torch::kInt64);
    Snapshots  result;
    result.parameters = snapshots.parameters.index_select(0, index);
    result.prior      = snapshots.prior.index_select(0, index);
    result.solution   = snapshots.solution.index_select(0, index);
    return result;
  }

  /** A coarser level that is 90 % of the way, and wrong in a simple way. */
  Snapshots
  coarser(const AnalyticFamily &family, const Snapshots &fine)
  {
    const auto y      = family.points[1].unsqueeze(0);
    const auto height = fine.parameters.slice(1, 2, 3);
    return with_solution(fine,
                         fine.prior + 0.9 * (fine.solution - fine.prior) +
                           0.01 * (1. + height) * y);
  }

  MultifidelityModel::Factory
  factory(const AnalyticFamily &family)
  {
    return [&family]() {
      return make_surrogate("POD kernel regression",
                            family.ranges(),
                            nlohmann::json::object(),
                            "a test");
    };
  }



  // Differences to a factor times the level below, whatever the order of its
  // samples, with the factor of a regression of left-out errors.
  TEST(FidelityLevels, DifferencesAndFactors)
  {
    const AnalyticFamily family;
    const auto           all  = family.draw(40, 1);
    const auto           some = std::vector<std::int64_t>{
                30, 31, 32, 5, 4, 3, 2, 39, 0, 17, 18, 19, 20, 21, 9};
    const long n      = long(some.size());
    const auto fine   = selected(all, some);
    const auto coarse = coarser(family, all);
    const auto below  = selected(coarse, some);

    const SnapshotsInMemory of_fine(fine), of_coarse(coarse);
    const FidelityLevels    levels({&of_coarse, &of_fine}, family.space);
    ASSERT_EQ(levels.size(), 2);
    EXPECT_EQ(&levels[0], &of_coarse);
    EXPECT_EQ(levels.factor(1), 1.);

    // Fields in coordinates in which their norm is Euclidean, each predicted by
    // a regression that has not seen it.
    const auto root        = at::linalg_cholesky(family.space.mass.to_dense());
    const auto corrections = [&](const Snapshots &snapshots) {
      const auto y = (snapshots.solution - snapshots.prior).matmul(root);
      return y - y.mean(0);
    };
    const auto x = (fine.parameters - fine.parameters.mean(0)) /
                   fine.parameters.std(0, /*unbiased=*/false);
    ErrorProcess::Parameters choices;
    choices.local   = false;
    choices.varying = false;
    const ErrorProcess process(x, corrections(fine), torch::Tensor(), choices);
    const auto         left_out = [&](const Snapshots &snapshots) {
      const auto y      = corrections(snapshots);
      auto       result = torch::empty_like(y);
      for (long i = 0; i < n; ++i)
        {
          const auto others =
            torch::cat({torch::arange(0, i, torch::kInt64),
                        torch::arange(i + 1, n, torch::kInt64)});
          KernelRegression regression(process.covariance());
          regression.set_hyperparameters(
            process.regression().hyperparameters());
          regression.add(x.index_select(0, others), y.index_select(0, others));
          result[i] = y[i] - regression.predict(x.slice(0, i, i + 1))[0];
        }
      return result;
    };
    const auto   a = left_out(fine), b = left_out(below);
    const double aa        = a.square().sum().item<double>(),
                 ab        = (a * b).sum().item<double>(),
                 bb        = b.square().sum().item<double>();
    const double r_squared = ab * ab / (aa * bb);
    EXPECT_GT(r_squared, 0.5);
    const double f_statistic = double(n - 2) * r_squared / (1. - r_squared);
    EXPECT_NEAR(levels.factor(0), ab / bb * (1. - 1. / f_statistic), 1e-5);

    ASSERT_EQ(levels[1].size(), n);
    EXPECT_TRUE(torch::equal(levels[1].parameters(), fine.parameters));
    const auto read = levels[1].read(1, 12);
    EXPECT_TRUE(torch::equal(read.prior, fine.prior.slice(0, 1, 12)));
    EXPECT_LT(distance(read.solution,
                       (fine.solution -
                        levels.factor(0) * (below.solution - below.prior))
                         .slice(0, 1, 12)),
              1e-14);
  }



  // What agrees in the mean and in nothing else counts for nothing, or hardly
  // more; two samples are too few to say that it does.
  TEST(FidelityLevels, WhatDoesNotFollowHasNoFactor)
  {
    const AnalyticFamily family;
    double               mean_square = 0.;
    for (unsigned int draw = 0; draw < 20; ++draw)
      {
        auto fine       = family.draw(12, 100 + draw);
        fine.prior      = torch::ones_like(fine.prior);
        const auto mean = 3. * family.points[0].unsqueeze(0);
        const auto of   = [&](const std::uint64_t number) {
          return with_solution(fine,
                               1. + mean +
                                 random_normal({12, family.space.size()},
                                               10 * draw + number));
        };
        const SnapshotsInMemory a(of(0)), b(of(1));
        const double factor = FidelityLevels({&a, &b}, family.space).factor(0);
        mean_square += factor * factor / 20.;
      }
    // (Fields of independent values: 81 of them a sample.)
    EXPECT_LT(mean_square, 0.05 * 0.05);

    const auto              two    = family.draw(2, 1);
    const auto              coarse = coarser(family, two);
    const SnapshotsInMemory a(coarse), b(two);
    EXPECT_EQ(FidelityLevels({&a, &b}, family.space).factor(0), 0.);

    // A level that is always the same has no deviations to follow.
    const auto              many = family.draw(9, 2);
    const SnapshotsInMemory c(with_solution(many, many.prior)), d(many);
    const FidelityLevels    same({&c, &d}, family.space);
    EXPECT_EQ(same.factor(0), 0.);
    EXPECT_TRUE(torch::equal(same[1].read(0, 9).solution, many.solution));
  }



  // A coarser level that is large and hard to learn, where the prior is nearly
  // right, and is wrong by what the coarser level is as well: the difference is
  // not to be worse than the correction itself.
  TEST(FidelityLevels, SmoothCorrectionsStaySmooth)
  {
    const AnalyticFamily family;
    auto                 fine = family.draw(24, 3);
    fine.prior                = 0.95 * fine.solution;
    const auto coarse =
      with_solution(fine,
                    fine.prior + fine.solution +
                      torch::cos(40. * fine.parameters.sum(1, true)) *
                        fine.solution);
    const SnapshotsInMemory a(coarse), b(fine);
    const FidelityLevels    levels({&a, &b}, family.space);
    EXPECT_LT(std::abs(levels.factor(0)), 5e-3);
  }



  TEST(FidelityLevels, SaysWhatIsWrong)
  {
    const AnalyticFamily    family;
    const auto              all = family.draw(6, 1);
    const SnapshotsInMemory a(rows(all, 0, 4)), b(rows(all, 2, 5)),
      none(rows(all, 0, 0));
    expect_sentence(message_of<InputError>([&]() {
                      FidelityLevels({&a, &b}, family.space);
                    }),
                    {"level 1", "input 2", "level below"});
    expect_sentence(message_of<InputError>([&]() {
                      FidelityLevels({&a, &none}, family.space);
                    }),
                    {"level 1", "'0'", "one at least"});
  }



  TEST(MultifidelityModel, OneLevelIsTheSurrogate)
  {
    const AnalyticFamily    family;
    const SnapshotsInMemory data(family.draw(20, 1));
    const auto              test  = family.draw(5, 2);
    const auto              make  = factory(family);
    const auto              alone = make();
    alone->fit(data, family.space, Communicator());
    MultifidelityModel model(make);
    model.fit(FidelityLevels({&data}, family.space), family.space);
    const auto a = alone->predict(test);
    const auto b = model.predict(test);
    EXPECT_TRUE(torch::equal(a.mean, b.mean));
    EXPECT_TRUE(torch::equal(a.scale, b.scale));
    EXPECT_TRUE(torch::equal(a.norm, b.norm));
    EXPECT_TRUE(torch::equal(a.novelty, b.novelty));
    EXPECT_TRUE(torch::equal(a.correction, b.correction));
    EXPECT_FALSE(b.level_scales.defined());
  }



  // Three levels: the sum of surrogates that are fitted by hand.
  TEST(MultifidelityModel, SumsItsLevels)
  {
    const AnalyticFamily    family;
    const auto              fine     = family.draw(60, 1);
    const auto              medium   = coarser(family, fine);
    const auto              coarse   = coarser(family, medium);
    const SnapshotsInMemory levels[] = {SnapshotsInMemory(coarse),
                                        SnapshotsInMemory(rows(medium, 0, 30)),
                                        SnapshotsInMemory(rows(fine, 0, 15))};
    const FidelityLevels    parts({&levels[0], &levels[1], &levels[2]},
                               family.space);
    MultifidelityModel      model(factory(family));
    model.fit(parts, family.space);
    ASSERT_EQ(model.n_levels(), 3);

    const auto test   = family.draw(7, 2);
    const auto result = model.predict(test);
    auto       mean   = test.prior.clone();
    auto       square = torch::zeros({7}, torch::kFloat64);
    for (long l = 0; l < 3; ++l)
      {
        const auto surrogate = factory(family)();
        surrogate->fit(parts[l], family.space, Communicator());
        const auto   prediction = surrogate->predict(test);
        const double factor     = parts.factor(l);
        mean   = mean + factor * (prediction.mean - test.prior);
        square = square + (factor * prediction.scale).square();
        EXPECT_LT(distance(result.level_scales.select(1, l),
                           factor * prediction.scale),
                  1e-14);
      }
    EXPECT_LT(distance(result.mean, mean), 1e-14);
    EXPECT_LT(distance(result.scale, square.sqrt()), 1e-14);

    // Slices, each with its part of the fields, are the same to rounding.
    model.distribute(0, family.space.size(), Communicator());
    EXPECT_LT(distance(model.predict(test).mean, result.mean), 1e-12);
  }



  // Fifteen solves tell little; with those of sixty coarser ones, much more.
  TEST(MultifidelityModel, CoarserSolvesHelpWhereTheyAreFollowed)
  {
    const AnalyticFamily    family;
    const auto              all = family.draw(60, 1), test = family.draw(50, 2);
    const SnapshotsInMemory fine(rows(all, 0, 15)),
      coarse(coarser(family, all));
    const auto error_of = [&](const std::vector<const SnapshotSource *> &data) {
      MultifidelityModel model(factory(family));
      model.fit(FidelityLevels(data, family.space), family.space);
      const auto prediction = model.predict(test);
      const auto error      = family.error(prediction.mean, test);
      // What it says of its errors is true to a factor.
      const double ratio = ((error / (prediction.scale / prediction.norm))
                              .square()
                              .mean()
                              .sqrt()
                              .item<double>());
      EXPECT_GT(ratio, 0.2);
      EXPECT_LT(ratio, 5.);
      return error.mean().item<double>();
    };
    EXPECT_LT(error_of({&coarse, &fine}), 0.5 * error_of({&fine}));
  }
} // namespace
