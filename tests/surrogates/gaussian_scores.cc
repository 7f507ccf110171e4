// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/acquisition/gaussian_scores.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;
  using namespace neuraldeal::gaussian_scores;

  torch::Tensor
  row(const std::vector<double> &values)
  {
    return torch::tensor(values, torch::kFloat64);
  }



  /** Simpson's rule, which is of order four for functions without kinks. */
  double
  integral(const std::function<double(double)> &f,
           const double                         from,
           const double                         to)
  {
    const int    n      = 4000;
    const double h      = (to - from) / n;
    double       result = f(from) + f(to);
    for (int i = 1; i < n; ++i)
      result += (i % 2 == 1 ? 4. : 2.) * f(from + i * h);
    return result * h / 3.;
  }



  double
  density(const double z)
  {
    return std::exp(-0.5 * z * z) / std::sqrt(2. * M_PI);
  }



  struct Case
  {
    double mean, deviation, threshold;
  };

  const std::vector<Case> cases = {{0.3, 1.2, -0.4},
                                   {0.3, 1.2, 0.3},
                                   {-2., 0.01, -1.99},
                                   {5., 2., 0.},
                                   {-5., 0.8, -1.},
                                   {100., 7., 130.}};



  // E[max(b − g, 0)] piece by piece between the kinks, over ±12 deviations.
  TEST(GaussianScores, ExpectedImprovementByQuadrature)
  {
    for (const auto &c : cases)
      {
        const double z        = (c.threshold - c.mean) / c.deviation;
        const double expected = integral(
          [&](const double x) { return c.deviation * (z - x) * density(x); },
          std::min(-12., z - 12.),
          z);
        const double found = log_expected_improvement(row({c.mean}),
                                                      row({c.deviation}),
                                                      c.threshold)
                               .exp()
                               .item<double>();
        EXPECT_NEAR(found, expected, 1e-9 * expected) << "z = " << z;
      }
  }



  TEST(GaussianScores, ExpectedFeasibilityByQuadrature)
  {
    for (const auto &c : cases)
      for (const double width : {2., 0.7})
        {
          const double u = (c.threshold - c.mean) / c.deviation;
          const auto   f = [&](const double x) {
            return c.deviation * (width - std::abs(x - u)) * density(x);
          };
          const double expected =
            integral(f, u - width, u) + integral(f, u, u + width);
          const double found = log_expected_feasibility(row({c.mean}),
                                                        row({c.deviation}),
                                                        c.threshold,
                                                        width)
                                 .exp()
                                 .item<double>();
          EXPECT_NEAR(found, expected, 1e-9 * expected) << "u = " << u;
        }
  }



  // The form in which Bichon et al. print it, with twice the deviation.
  TEST(GaussianScores, ExpectedFeasibilityAsPublished)
  {
    const auto phi = [](const double z) { return density(z); };
    const auto Phi = [](const double z) {
      return 0.5 * std::erfc(-z / std::sqrt(2.));
    };
    for (const auto &c : cases)
      {
        const double m = c.mean, s = c.deviation, t = c.threshold, e = 2. * s;
        const double u = (t - m) / s, lower = (t - e - m) / s,
                     upper = (t + e - m) / s;
        const double expected =
          (m - t) * (2. * Phi(u) - Phi(lower) - Phi(upper)) -
          s * (2. * phi(u) - phi(lower) - phi(upper)) +
          e * (Phi(upper) - Phi(lower));
        EXPECT_NEAR(
          log_expected_feasibility(row({m}), row({s}), t).exp().item<double>(),
          expected,
          1e-13 * s);
      }
  }



  // Of numbers that no floating point number of that size holds, by the
  // substitution x = z − y/|z| in the integral: its logarithm is
  // −z²/2 − ½ log 2π − 2 log|z| + log ∫ y exp(−y − y²/(2 z²)) dy.
  TEST(GaussianScores, ExcessFarOut)
  {
    for (const double z : {-1.0001, -3., -50., -900., -9.9e3, -1.1e4, -1e6})
      {
        const auto f = [&](const double y) {
          return y * std::exp(-y - y * y / (2. * z * z));
        };
        // (in two parts, since most of it is near zero)
        const double rest = integral(f, 0., 5.) + integral(f, 5., 45.);
        const double logarithm =
          -0.5 * std::log(2. * M_PI) - 2. * std::log(-z) + std::log(rest);
        const double found =
          log_expected_excess(row({z})).item<double>() + 0.5 * z * z;
        // Beside z²/2 the sum of the others has the rounding error of that.
        EXPECT_NEAR(found, logarithm, 1e-7 + 1e-16 * z * z) << "z = " << z;
        if (z > -100.)
          {
            EXPECT_NEAR(found, logarithm, 1e-11) << "z = " << z;
          }
      }
    // The larger, the better, also where formulas meet
    const auto z =
      torch::cat({torch::linspace(-1e5, -1.1e4, 999, torch::kFloat64),
                  torch::linspace(-1.01e4, -9.9e3, 999, torch::kFloat64),
                  torch::linspace(-1e3, -1.1, 999, torch::kFloat64),
                  torch::linspace(-1.01, -0.99, 999, torch::kFloat64),
                  torch::linspace(-0.9, 50., 999, torch::kFloat64)});
    const auto values = log_expected_excess(z);
    EXPECT_TRUE(values.diff().gt(0.).all().item<bool>());
    EXPECT_NEAR(values[-1].exp().item<double>(), 50., 1e-12);
  }



  TEST(GaussianScores, WhatIsCertain)
  {
    const double infinity = std::numeric_limits<double>::infinity();
    const auto   mean = row({1., 2., 3.}), none = torch::zeros_like(mean);
    const auto   improvement = log_expected_improvement(mean, none, 2.5).exp();
    EXPECT_NEAR(distance(improvement, row({1.5, 0.5, 0.})), 0., 1e-15);
    EXPECT_TRUE(log_expected_feasibility(mean, none, 2.)
                  .eq(-infinity)
                  .all()
                  .item<bool>());
    EXPECT_TRUE(u_function(mean, none, 2.).eq(infinity).all().item<bool>());
    EXPECT_TRUE(
      log_misclassification(mean, none, 2.).eq(-infinity).all().item<bool>());
    // Very sure is no reason for what is no number.
    const auto tiny = torch::full_like(mean, 1e-300);
    EXPECT_FALSE(
      log_expected_improvement(mean, tiny, 0.5).isnan().any().item<bool>());
    EXPECT_FALSE(
      log_expected_feasibility(mean, tiny, 0.5).isnan().any().item<bool>());
  }



  TEST(GaussianScores, UFunctionAndItsProbability)
  {
    const auto mean = row({1., -3., 0.2}), deviation = row({0.5, 2., 0.1});
    const auto u = u_function(mean, deviation, 0.5);
    EXPECT_LT(distance(u, row({1., 1.75, 3.})), 1e-14);
    const auto p = log_misclassification(mean, deviation, 0.5).exp();
    for (long i = 0; i < 3; ++i)
      EXPECT_NEAR(p[i].item<double>(),
                  integral(density, -12., -u[i].item<double>()),
                  1e-12);
    // An order even of what is sure beyond the smallest number
    const auto far = log_misclassification(row({50., 60., 1e6}),
                                           torch::ones({3}, torch::kFloat64),
                                           0.);
    EXPECT_TRUE(far.diff().lt(0.).all().item<bool>());
  }
} // namespace
