// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/linear_regression.h>
#include <neuraldeal/surrogates/perceptron.h>
#include <neuraldeal/surrogates/training/schedules.h>

#include <cmath>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  CounterRandom
  seeded(const std::uint64_t seed)
  {
    return CounterRandom(seed, CounterRandom::Stream::training, 0);
  }



  /** Two smooth functions of three variables. */
  torch::Tensor
  smooth(const torch::Tensor &x)
  {
    const auto a = x.select(1, 0), b = x.select(1, 1), c = x.select(1, 2);
    return torch::stack({torch::sin(2. * a) * torch::exp(-0.5 * b),
                         a * b / (2. + c)},
                        1);
  }



  TEST(Perceptron, FeaturesAreHiddenLayerInputsAndConstant)
  {
    auto             random = seeded(1);
    const Perceptron perceptron(3, 2, 5, 2, random);
    const auto       x = random_normal({7, 3}, 200);
    const auto       f = perceptron.features(x);
    ASSERT_EQ(f.size(0), 7);
    ASSERT_EQ(f.size(1), 5 + 3 + 1);
    EXPECT_TRUE(torch::equal(f.slice(1, 5, 8), x));
    EXPECT_TRUE(
      torch::equal(f.select(1, 8), torch::ones({7}, torch::kFloat64)));

    const auto &weights = perceptron.hidden_parameters();
    ASSERT_EQ(weights.size(), 4);
    auto layer = x;
    for (unsigned int l = 0; l < 4; l += 2)
      {
        layer = torch::matmul(layer, weights[l]) + weights[l + 1];
        layer = layer / (1. + torch::exp(-layer));
      }
    EXPECT_LT(distance(f.slice(1, 0, 5), layer), 1e-14);

    const Perceptron copy(weights);
    EXPECT_TRUE(torch::equal(copy.features(x), f));
  }



  TEST(Perceptron, WeightsStartWithinTheirBound)
  {
    auto             random = seeded(2);
    const Perceptron perceptron(4, 2, 100, 2, random);
    const auto      &weights  = perceptron.hidden_parameters();
    const double     bounds[] = {0.5, 0.5, 0.1, 0.1};
    for (unsigned int l = 0; l < 4; ++l)
      {
        EXPECT_LT(weights[l].abs().max().item<double>(), bounds[l]);
        EXPECT_GT(weights[l].abs().max().item<double>(), 0.9 * bounds[l]);
        EXPECT_NEAR(weights[l].mean().item<double>(), 0., 0.25 * bounds[l]);
      }
  }



  /** The mean of |y − f(x)|² for weights in a row, written out by hand. */
  double
  loss(const std::vector<torch::Tensor> &parameters,
       const torch::Tensor              &x,
       const torch::Tensor              &y)
  {
    const auto layer  = torch::matmul(x, parameters[0]) + parameters[1];
    const auto hidden = layer / (1. + torch::exp(-layer));
    const auto f =
      torch::cat({hidden, x, torch::ones({x.size(0), 1}, torch::kFloat64)}, 1);
    return (y - torch::matmul(f, parameters[2]))
      .square()
      .sum(1)
      .mean()
      .item<double>();
  }



  // Against an AdamW of our own (Loshchilov and Hutter, arXiv:1711.05101)
  // whose gradients are difference quotients.
  TEST(Perceptron, TrainingIsAdamW)
  {
    const auto x = random_uniform({12, 3}, -1., 1., 201);
    const auto y = smooth(x);

    Perceptron::TrainingOptions options;
    options.epochs        = 5;
    options.batch_size    = 100; // all at once
    options.learning_rate = 0.05;
    options.weight_decay  = 0.1;
    auto       random     = seeded(3);
    Perceptron perceptron(3, 2, 4, 1, random);

    std::vector<torch::Tensor> parameters, first, second;
    for (const auto &weight : perceptron.hidden_parameters())
      parameters.push_back(weight.clone());
    parameters.push_back(torch::zeros({8, 2}, torch::kFloat64));
    for (const auto &parameter : parameters)
      {
        first.push_back(torch::zeros_like(parameter));
        second.push_back(torch::zeros_like(parameter));
      }

    const double last_loss = perceptron.train(x, y, options, random);

    double expected_loss = 0;
    for (long step = 0; step < 5; ++step)
      {
        expected_loss = loss(parameters, x, y);
        std::vector<torch::Tensor> gradients;
        for (auto &parameter : parameters)
          {
            gradients.push_back(torch::empty_like(parameter));
            double *values   = parameter.data_ptr<double>();
            double *gradient = gradients.back().data_ptr<double>();
            for (long i = 0; i < parameter.numel(); ++i)
              {
                const double h = 1e-5, value = values[i];
                values[i]         = value + h;
                const double plus = loss(parameters, x, y);
                values[i]         = value - h;
                gradient[i]       = (plus - loss(parameters, x, y)) / (2. * h);
                values[i]         = value;
              }
          }
        const double rate = one_cycle(0.05, step, 5);
        for (std::size_t i = 0; i < parameters.size(); ++i)
          {
            parameters[i] *= 1. - rate * 0.1;
            first[i]  = 0.9 * first[i] + 0.1 * gradients[i];
            second[i] = 0.999 * second[i] + 0.001 * gradients[i].square();
            parameters[i] -=
              rate * (first[i] / (1. - std::pow(0.9, step + 1))) /
              ((second[i] / (1. - std::pow(0.999, step + 1))).sqrt() + 1e-4);
          }
      }
    EXPECT_NEAR(last_loss, expected_loss, 1e-6);
    for (unsigned int i = 0; i < 2; ++i)
      EXPECT_LT(distance(perceptron.hidden_parameters()[i], parameters[i]),
                1e-5);
  }



  // Data come from iterative solvers: their last digits must not count, not
  // even where an output is so small beside the others that it has few of them.
  TEST(Perceptron, LastDigitsOfTheDataDoNotCount)
  {
    const auto sizes = torch::tensor({1., 1e-2, 1e-7}, torch::kFloat64);
    for (const long seed : {211, 212, 213, 214})
      {
        const auto x = random_uniform({128, 3}, -1., 1., seed);
        const auto y =
          torch::cat({smooth(x), x.slice(1, 0, 1).sin()}, 1) * sizes;
        const auto digits = random_uniform({128, 3}, -1e-10, 1e-10, seed + 10);
        const auto features_after = [&](const torch::Tensor &outputs) {
          Perceptron::TrainingOptions options;
          options.epochs    = 60;
          auto       random = seeded(3);
          Perceptron perceptron(3, 3, 32, 2, random);
          perceptron.train(x, outputs, options, random);
          return perceptron.features(x);
        };
        EXPECT_LT(distance(features_after(y), features_after(y + digits)),
                  1e-8);
      }
  }



  TEST(Perceptron, LearnsASmoothFunction)
  {
    const auto x = random_uniform({400, 3}, -1., 1., 202);
    const auto y = smooth(x);

    Perceptron::TrainingOptions options;
    options.epochs      = 150;
    options.batch_size  = 50;
    auto         random = seeded(4);
    Perceptron   perceptron(3, 2, 32, 2, random);
    const double mean_square = perceptron.train(x, y, options, random);
    // to 5 % of the outputs in the mean square
    EXPECT_LT(mean_square,
              0.05 * 0.05 * y.square().sum(1).mean().item<double>());
    for (const auto &weight : perceptron.hidden_parameters())
      EXPECT_FALSE(weight.requires_grad());

    // With its last layer solved for, on other points; a linear map of the
    // inputs alone is fifteen times worse.
    const auto error = [&](const auto &features) {
      LinearRegression last_layer(features(x).size(1), 2);
      last_layer.add(features(x), y);
      last_layer.maximize_evidence();
      const auto others = random_uniform({400, 3}, -1., 1., 203);
      const auto truth  = smooth(others);
      return ((last_layer.predict(features(others)) - truth).norm() /
              truth.norm())
        .template item<double>();
    };
    const double network =
      error([&](const torch::Tensor &in) { return perceptron.features(in); });
    const double linear = error([](const torch::Tensor &in) {
      return torch::cat({in, torch::ones({in.size(0), 1}, torch::kFloat64)}, 1);
    });
    EXPECT_LT(network, 0.025);
    EXPECT_GT(linear, 15. * network);
  }



  TEST(Perceptron, SameSeedSameBits)
  {
    const auto x = random_uniform({50, 3}, -1., 1., 204);
    const auto y = smooth(x);

    const auto trained = [&](const std::uint64_t seed) {
      Perceptron::TrainingOptions options;
      options.epochs     = 10;
      options.batch_size = 16; // some rows are left over
      auto       random  = seeded(seed);
      Perceptron perceptron(3, 2, 8, 2, random);
      perceptron.train(x, y, options, random);
      return perceptron.features(x);
    };
    EXPECT_TRUE(torch::equal(trained(1), trained(1)));
    EXPECT_FALSE(torch::allclose(trained(1), trained(2)));
  }



  // A global setting of LibTorch has no say.
  TEST(Perceptron, IndependentOfTheGlobalGenerator)
  {
    torch::manual_seed(1);
    auto       random = seeded(5);
    const auto first  = Perceptron(3, 2, 8, 2, random).hidden_parameters()[0];
    torch::manual_seed(2);
    random           = seeded(5);
    const auto again = Perceptron(3, 2, 8, 2, random).hidden_parameters()[0];
    EXPECT_TRUE(torch::equal(first, again));
  }
} // namespace
