// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/acquisition/error_process.h>

#include <cmath>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** Of two inputs, the second of no influence. */
  torch::Tensor
  smooth(const torch::Tensor &x)
  {
    const auto t = x.slice(1, 0, 1);
    return torch::cat({(2. * t).sin(), t.cos(), 0.3 * (3. * t).cos()}, 1);
  }



  // Against a regression with the same hyperparameters that has not learned
  // the sample.
  TEST(ErrorProcess, LeftOutErrorsAreThoseOfOneSampleLess)
  {
    const auto         x     = random_uniform({14, 2}, -1., 1., 1);
    const auto         y     = smooth(x) + 0.05 * random_normal({14, 3}, 2);
    const auto         norms = random_uniform({14}, 0.5, 2., 3);
    const ErrorProcess errors(x, y, norms);
    EXPECT_NEAR(errors.noise(),
                std::exp(
                  errors.regression().hyperparameters()[-1].item<double>()),
                1e-15);
    for (long i = 0; i < 14; ++i)
      {
        KernelRegression without(errors.covariance());
        without.set_hyperparameters(errors.regression().hyperparameters());
        without.add(torch::cat({x.slice(0, 0, i), x.slice(0, i + 1)}),
                    torch::cat({y.slice(0, 0, i), y.slice(0, i + 1)}));
        const auto difference = without.predict(x.slice(0, i, i + 1))[0] - y[i];
        EXPECT_NEAR(errors.left_out_errors()[i].item<double>(),
                    (difference.norm() / norms[i]).item<double>(),
                    1e-8);
      }
  }



  // Without a local level it is the geometric mean of squares over variances.
  TEST(ErrorProcess, OneLevelIsTheMeanOfLogarithms)
  {
    const auto               x = random_uniform({20, 2}, -1., 1., 4);
    const auto               y = smooth(x) + 0.05 * random_normal({20, 3}, 5);
    ErrorProcess::Parameters parameters;
    parameters.local = false;
    const ErrorProcess errors(x, y, torch::Tensor(), parameters);
    double             mean = 0.;
    for (long i = 0; i < 20; ++i)
      {
        const auto without = errors.regression().leave_out(i, i + 1);
        mean +=
          std::log(
            (y[i] - without.mean[0]).square().sum().item<double>() /
            (errors.noise() * (1. + without.leverage[0].item<double>()))) /
          20.;
      }
    const auto level = errors.level(random_uniform({5, 2}, -3., 3., 6));
    for (long i = 0; i < 5; ++i)
      EXPECT_NEAR(std::log(level[i].item<double>()), mean, 1e-10);
  }



  // Noise that is a hundred times larger on the right, which the process does
  // not know: errors are, and so is their level, by its square.
  TEST(ErrorProcess, LevelFollowsTheErrors)
  {
    const long n     = 200;
    const auto x     = random_uniform({n, 2}, -1., 1., 7);
    const auto right = (x.slice(1, 0, 1) > 0.).to(torch::kFloat64);
    const auto y =
      smooth(x) + (0.001 + 0.099 * right) * random_normal({n, 3}, 8);
    const ErrorProcess errors(x, y);
    const auto at = torch::tensor({{-0.6, 0.3}, {0.6, 0.3}}, torch::kFloat64);
    const auto level = errors.level(at);
    EXPECT_GT((level[1] / level[0]).item<double>(), 100.);
    // And the expected error is what it is there, up to a small factor.
    const double expected = std::sqrt(
      (level[1] * errors.noise() * (1. + errors.regression().leverage(at)[1]))
        .item<double>());
    EXPECT_GT(expected, 0.1 * std::sqrt(3.) / 2.);
    EXPECT_LT(expected, 0.1 * std::sqrt(3.) * 2.);
  }



  // A layer across the second input that gets thinner with the first one:
  // lengths follow it, and what is left out is predicted better.
  TEST(ErrorProcess, LengthsVaryWithTheMap)
  {
    const auto               x     = random_uniform({120, 2}, -1., 1., 11);
    const auto               width = (-1.2 - 1.2 * x.slice(1, 0, 1)).exp();
    const auto               y     = ((x.slice(1, 1, 2) - 0.2) / width).tanh();
    ErrorProcess::Parameters parameters;
    const ErrorProcess       varying(x, y, torch::Tensor(), parameters);
    parameters.varying = false;
    const ErrorProcess same(x, y, torch::Tensor(), parameters);
    EXPECT_LT(varying.left_out_errors().mean().item<double>(),
              0.7 * same.left_out_errors().mean().item<double>());

    const auto likeness = [](const ErrorProcess &errors, const double first) {
      const auto pair =
        torch::tensor({{first, 0.1}, {first, 0.3}}, torch::kFloat64);
      return errors.covariance()
        .matrix(pair.slice(0, 0, 1), pair.slice(0, 1, 2))
        .item<double>();
    };
    EXPECT_LT(likeness(varying, 0.8), likeness(varying, -0.8));
  }



  // Lengths tell the input without influence, and errors over norms have a
  // level that falls with their squares.
  TEST(ErrorProcess, LengthsAndNorms)
  {
    const auto         x = random_uniform({40, 2}, -1., 1., 9);
    const auto         y = smooth(x);
    const ErrorProcess plain(x, y),
      scaled(x, y, torch::full({40}, 10., torch::kFloat64));
    const auto lengths = plain.covariance().hyperparameters();
    EXPECT_GT((lengths[1] - lengths[0]).item<double>(), 1.);
    const auto at = random_uniform({5, 2}, -1., 1., 10);
    EXPECT_TRUE(
      torch::allclose(plain.level(at), 100. * scaled.level(at), 1e-6));
  }
} // namespace
