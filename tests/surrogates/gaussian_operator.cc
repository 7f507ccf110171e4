// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/uncertainty/gaussian_operator.h>

#include <cmath>
#include <limits>

#include "small_tasks.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const nlohmann::json none = nlohmann::json::object();

  std::unique_ptr<ProbabilisticOperator>
  make(const nlohmann::json &parameters = none)
  {
    return make_probabilistic_operator("Gaussian likelihood",
                                       parameters,
                                       "test");
  }

  double
  root_mean_square(const torch::Tensor &values)
  {
    return values.square().mean().sqrt().item<double>();
  }



  /**
   * u = A f + e^{σ} ξ with −(A f)″ + A f = f, where σ is linear in f as well
   * and differs from point to point: log-variances between −11 and −1 in the
   * units of the fields' root mean square.
   */
  struct NoisyProblems
  {
    NoisyProblems(const long n, const std::uint64_t number)
      : data(periodic_problems(n, 16, number))
      , exact(30. * data.target)
      , log_deviation(-2.5 + 0.5 * data.input.fields)
    {
      data.target =
        exact + log_deviation.exp() * random_normal({n, 1, 16}, number + 1000);
    }

    OperatorData  data;
    torch::Tensor exact, log_deviation;
  };



  TEST(GaussianOperator, RecoversTheNoise)
  {
    const NoisyProblems training(512, 81), fresh(64, 82);
    const auto          method = make();
    method->fit(make_task(training.data, 60));
    const auto said = method->predict(fresh.data);
    EXPECT_FALSE(said.factor.defined());
    ASSERT_EQ(said.mean.sizes(), fresh.exact.sizes());
    ASSERT_EQ(said.variance.sizes(), fresh.exact.sizes());

    // Both as fractions of the noise.
    const double of_mean =
      root_mean_square((said.mean - fresh.exact) / fresh.log_deviation.exp());
    const double of_log =
      root_mean_square(0.5 * said.variance.log() - fresh.log_deviation);
    // A constant level of noise, which is what there is without inputs.
    const double constant =
      root_mean_square(fresh.log_deviation - fresh.log_deviation.mean());
    RecordProperty("mean", std::to_string(of_mean));
    RecordProperty("logarithm", std::to_string(of_log));
    EXPECT_LT(of_mean, 0.5);
    EXPECT_LT(of_log, 0.15);
    EXPECT_GT(constant, 0.6);
    // and what has been drawn is as far away as is said: 1024 squares
    EXPECT_NEAR(root_mean_square((fresh.data.target - said.mean) /
                                 said.variance.sqrt()),
                1.,
                0.1);
  }



  // A coarse solution, two channels in units of their own, and values that are
  // known: there is no noise in them, and where they lie the others learn as if
  // they were not there.
  TEST(GaussianOperator, KnownValuesAreExact)
  {
    NoisyProblems training(32, 83);
    auto         &data = training.data;
    const auto    both = torch::cat({data.target, 1e-6 * data.target}, 1);
    data.prior = 0.9 * torch::cat({training.exact, 1e-6 * training.exact}, 1);
    auto known = torch::zeros({16}, torch::kBool);
    known[3] = known[11] = true;
    data.target          = torch::where(known, data.prior, both);
    for (const bool by_channel : {false, true})
      {
        auto task               = make_task(data, 20);
        task.shape.out_channels = 2;
        task.factor             = 1. - known.to(torch::kFloat64);
        if (by_channel)
          task.factor =
            torch::stack({task.factor, torch::ones(16, torch::kFloat64)})
              .unsqueeze(0);
        const auto method = make();
        method->fit(task);
        const auto said = method->predict(data);
        ASSERT_EQ(said.mean.sizes(), data.target.sizes());
        const auto is_known = task.factor.eq(0.).expand_as(said.mean);
        EXPECT_TRUE(torch::equal(said.mean.masked_select(is_known),
                                 data.prior.masked_select(is_known)));
        EXPECT_EQ(
          said.variance.masked_select(is_known).abs().max().item<double>(), 0.);
        EXPECT_GT(said.variance.masked_select(is_known.logical_not())
                    .min()
                    .item<double>(),
                  0.);
        // In the units of the channels.
        const auto sizes =
          said.variance.transpose(0, 1).flatten(1).mean(1).sqrt();
        EXPECT_NEAR(sizes[1].item<double>() / sizes[0].item<double>(),
                    1e-6,
                    1e-6);
        EXPECT_LT(root_mean_square(said.mean - data.target),
                  root_mean_square(data.prior - data.target));

        ModelFile file;
        method->save(file);
        const auto copy = make({{"bound", 5.}}); // the file's is another
        copy->load(file);
        EXPECT_TRUE(torch::equal(copy->predict(data).mean, said.mean));
        EXPECT_TRUE(torch::equal(copy->predict(data).variance, said.variance));
        copy->to(torch::kFloat32);
        const auto single = copy->predict(data.to(torch::kFloat32));
        EXPECT_EQ(single.variance.scalar_type(), torch::kFloat32);
        EXPECT_LT(root_mean_square(single.mean - said.mean),
                  1e-4 * root_mean_square(said.mean));
      }
  }



  // Before anything is learned the variance is near the mean square of the
  // targets, in any unit.
  TEST(GaussianOperator, StartsAtTheErrorOfZero)
  {
    for (const double size : {1e-8, 1., 1e8})
      {
        auto data   = periodic_problems(16, 16, 84);
        data.target = size * data.target / root_mean_square(data.target);
        auto task   = make_task(data, 1);
        task.options.average       = 0;
        task.options.learning_rate = 1e-9;
        const auto method          = make();
        method->fit(task);
        const auto said = method->predict(data);
        EXPECT_LT((0.5 * said.variance.log() - std::log(size))
                    .abs()
                    .max()
                    .item<double>(),
                  0.5);
      }
  }



  TEST(GaussianOperator, MistakesAreExplained)
  {
    const auto data = periodic_problems(8, 16, 85);
    auto       task = make_task(data, 1);
    for (const std::string type : {"latent ODE", "POD DeepONet"})
      {
        task.type = type;
        EXPECT_FALSE(make()->fits(type));
        expect_sentence(message_of<InputError>([&]() { make()->fit(task); }),
                        {"test", type, "Gaussian likelihood", "Fourier"});
      }
    task.type = "Furier";
    expect_sentence(message_of<InputError>([&]() { make()->fit(task); }),
                    {"test", "operator", "Furier", "attention"});
    expect_sentence(message_of<InputError>([&]() {
                      make({{"beta", 2.}});
                    }),
                    {"test", "beta", "2"});

    task.type         = "Fourier";
    const auto method = make();
    method->fit(task);
    ModelFile file;
    method->save(file);
    auto broken                      = file;
    broken.tensors["gaussian.scale"] = torch::ones({2});
    expect_sentence(message_of<FileError>([&]() { make()->load(broken); }),
                    {"gaussian.scale"});
    broken                         = file;
    broken.metadata["uncertainty"] = {{"method", "dropout"}};
    expect_sentence(message_of<FileError>([&]() { make()->load(broken); }),
                    {"Gaussian likelihood"});
  }
} // namespace
