// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/acquisition/acquisition.h>
#include <neuraldeal/surrogates/acquisition/error_process.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

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



  // Samples with which a covariance is singular up to rounding, and noise that
  // the search takes to nothing: each has a process with finite numbers, and
  // methods that choose by it choose.
  TEST(ErrorProcess, SurvivesSingularCovariances)
  {
    const auto few      = random_uniform({16, 2}, -1., 1., 11),
               all      = random_uniform({96, 2}, -1., 1., 12);
    const auto repeated = few.repeat({6, 1});
    const auto one      = torch::ones({96, 1}, torch::kFloat64);
    struct Case
    {
      std::string   name;
      torch::Tensor x, y;
    };
    const std::vector<Case> cases = {
      {"repeated samples", repeated, smooth(repeated)},
      {"nearly repeated samples",
       repeated + 1e-9 * random_normal({96, 2}, 13),
       smooth(repeated)},
      {"repeated samples, other values",
       repeated,
       smooth(repeated) + 0.1 * random_normal({96, 3}, 14)},
      {"one place", 0. * all + 0.3, one},
      {"one value", all, one},
      {"nothing but zeros", all, 0. * one},
      {"an affine map", all, all.sum(1, true) - 2.},
      {"a smooth map without noise", all, smooth(all)}};
    const auto survives = [&](const Case &c, const std::string &kernel) {
      SCOPED_TRACE(c.name + ", " + kernel);
      ErrorProcess::Parameters parameters;
      parameters.kernel = kernel;
      std::optional<ErrorProcess> process;
      ASSERT_NO_THROW(process.emplace(c.x, c.y, torch::Tensor(), parameters));
      const ErrorProcess &errors = *process;
      EXPECT_TRUE(errors.left_out_errors().isfinite().all().item<bool>());
      EXPECT_GT(errors.left_out_variances().min().item<double>(), 0.);
      EXPECT_TRUE(errors.left_out_variances().isfinite().all().item<bool>());
      const auto level = errors.level(few);
      EXPECT_TRUE(level.isfinite().all().item<bool>());
      EXPECT_GE(level.min().item<double>(), 0.);
      EXPECT_TRUE(
        errors.regression().leverage(few).isfinite().all().item<bool>());
      // Values without noise are learned, however often they come.
      if (c.name.find("other") == std::string::npos)
        {
          EXPECT_LT(distance(errors.regression().predict(c.x), c.y), 1e-3);
        }

      Candidates candidates;
      candidates.ids             = {0, 1, 2, 3, 4, 5};
      candidates.features        = few.slice(0, 0, 6) + 0.05;
      candidates.scale           = torch::ones({6}, torch::kFloat64);
      candidates.chosen_features = c.x;
      candidates.chosen_values   = c.y;
      for (const std::string type : {"integrated error", "largest uncertainty"})
        {
          Acquisition acquisition(type,
                                  {{"kernel", kernel}, {"noise", 1e-12}},
                                  1);
          EXPECT_EQ(acquisition.choose(candidates, 3).size(), 3u);
        }
    };
    for (const std::string kernel : {"Matern 5/2", "squared exponential"})
      for (const auto &one_of_them : cases)
        survives(one_of_them, kernel);
  }
} // namespace
