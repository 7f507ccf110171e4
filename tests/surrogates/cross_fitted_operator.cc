// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/cross_fitted_operator.h>
#include <neuraldeal/surrogates/uncertainty/scores.h>

#include <cmath>

#include "small_tasks.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const nlohmann::json few = {{"members", 4}, {"folds", 3}, {"steps", 200}};

  std::unique_ptr<ProbabilisticOperator>
  make(const nlohmann::json &parameters = few)
  {
    return make_probabilistic_operator("cross-fitted", parameters, "test");
  }

  /** u = 30 A f + e^σ ξ with −(A f)″ + A f = f: noise that differs by input. */
  struct NoisyProblems
  {
    NoisyProblems(const long n, const std::uint64_t number)
      : data(periodic_problems(n, 16, number))
      , exact(30. * data.target)
      , deviation((-1. + 0.5 * data.input.fields).exp())
    {
      data.target =
        exact + deviation * random_normal({n, 1, 16}, number + 1000);
    }

    OperatorData  data;
    torch::Tensor exact, deviation;
  };



  // Noise is what no operator can know, wherever it was trained.
  TEST(CrossFittedOperator, FindsErrorsThatDependOnTheInput)
  {
    const NoisyProblems training(256, 81), fresh(128, 82);
    const auto          method = make();
    method->fit(make_task(training.data, 60));
    const auto said     = method->predict(fresh.data);
    const auto variance = said.pointwise_variance();
    ASSERT_EQ(said.mean.sizes(), fresh.exact.sizes());
    ASSERT_EQ(variance.sizes(), fresh.exact.sizes());

    const auto   logarithm = 0.5 * variance.log() - fresh.deviation.log();
    const double of_log    = logarithm.square().mean().sqrt().item<double>(),
                 without   = fresh.deviation.log().std().item<double>();
    RecordProperty("logarithm", std::to_string(of_log));
    EXPECT_LT(of_log, 0.5 * without);
    EXPECT_NEAR(scores::chi_square(said.mean,
                                   variance.sqrt(),
                                   fresh.data.target)
                  .mean()
                  .item<double>(),
                1.,
                0.25);
  }



  // On what it has been trained with an operator errs less than elsewhere. What
  // is predicted is the error elsewhere, and where it is larger than usual.
  TEST(CrossFittedOperator, KnowsTheErrorOfFewSamples)
  {
    const auto data   = periodic_problems(32, 16, 81),
               fresh  = periodic_problems(128, 16, 82);
    const auto method = make({{"members", 4}, {"folds", 8}, {"steps", 200}});
    method->fit(make_task(data, 150));
    const auto said   = method->predict(fresh);
    const auto square = (said.mean - fresh.target).square().flatten(1).mean(1),
               variance = said.pointwise_variance().flatten(1).mean(1);
    const double size = (variance.mean() / square.mean()).sqrt().item<double>(),
                 rank = scores::rank_correlation(variance, square);
    const double usual = (variance / square).median().sqrt().item<double>();
    RecordProperty("size", std::to_string(size));
    RecordProperty("usual", std::to_string(usual));
    RecordProperty("rank", std::to_string(rank));
    EXPECT_GT(size, 0.5);
    EXPECT_LT(size, 2.);
    EXPECT_GT(usual, 0.5);
    EXPECT_LT(usual, 2.);
    EXPECT_GT(rank, 0.7);
  }



  TEST(CrossFittedOperator, VarianceGrowsOutsideOfTheTrainingRange)
  {
    const auto data   = periodic_problems(32, 16, 81),
               fresh  = periodic_problems(16, 16, 82);
    const auto method = make();
    method->fit(make_task(data, 10));
    const auto size = [&](const double factor) {
      auto far         = fresh;
      far.input.fields = factor * fresh.input.fields;
      return method->predict(far)
        .pointwise_variance()
        .mean()
        .sqrt()
        .item<double>();
    };
    EXPECT_GT(size(5.), 2. * size(1.));
    EXPECT_GT(size(25.), 2. * size(5.));
  }



  TEST(CrossFittedOperator, KnownValuesAreExact)
  {
    auto data  = periodic_problems(24, 16, 83);
    auto known = torch::zeros({16}, torch::kBool);
    known[3] = known[11] = true;
    data.prior           = 0.9 * data.target;
    data.target          = torch::where(known, data.prior, data.target);
    auto task            = make_task(data, 5);
    task.factor          = 1. - known.to(torch::kFloat64).reshape({1, 1, 16});
    const auto method    = make();
    method->fit(task);
    const auto said     = method->predict(data);
    const auto variance = said.pointwise_variance();
    for (const long i : {3, 11})
      {
        EXPECT_TRUE(
          torch::equal(said.mean.select(2, i), data.prior.select(2, i)));
        EXPECT_EQ(variance.select(2, i).abs().max().item<double>(), 0.);
      }
    EXPECT_GT(variance.select(2, 5).min().item<double>(), 0.);
    EXPECT_GE(said.variance.min().item<double>(), 0.);
  }



  // Turned samples are used where there are symmetries: periodic problems do
  // not change if they are shifted.
  TEST(CrossFittedOperator, ErrorsOfImagesAreLearnedAsWell)
  {
    const auto data   = periodic_problems(12, 16, 84);
    auto       task   = make_task(data, 5);
    const auto points = torch::arange(16, torch::kInt64);
    task.symmetries   = torch::stack({points, points.roll(4), points.roll(8)});
    const auto with = make(), without = make(), wrong = make();
    with->fit(task);
    const auto said = with->predict(data);
    EXPECT_TRUE(torch::isfinite(said.pointwise_variance()).all().item<bool>());
    // Channels that are permuted by the identity are not.
    task.channel_symmetries = torch::zeros({3, 1}, torch::kInt64);
    without->fit(task);
    EXPECT_TRUE(torch::equal(without->predict(data).variance, said.variance));
    task.symmetries         = torch::Tensor();
    task.channel_symmetries = torch::Tensor();
    wrong->fit(task);
    EXPECT_FALSE(torch::equal(wrong->predict(data).variance, said.variance));
  }



  TEST(CrossFittedOperator, MistakesAreSaid)
  {
    const auto method = make();
    expect_sentence(message_of<InputError>([&]() {
                      method->fit(make_task(periodic_problems(1, 16, 1), 1));
                    }),
                    {"test", "number of samples", "1", "2 at least"});

    const auto data = periodic_problems(8, 16, 1);
    method->fit(make_task(data, 1));
    ModelFile file;
    method->save(file);
    auto damaged = file;
    damaged.tensors["uncertainty.mean_spread"] =
      torch::ones({2}, torch::kFloat64);
    EXPECT_THROW(make()->load(damaged), FileError);
    damaged = file;
    damaged.tensors.erase("range.unit");
    EXPECT_THROW(make()->load(damaged), FileError);
    damaged                                   = file;
    damaged.metadata["uncertainty"]["method"] = "dropout";
    EXPECT_THROW(make()->load(damaged), FileError);
  }
} // namespace
