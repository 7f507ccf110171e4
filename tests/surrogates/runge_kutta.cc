// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/operators/runge_kutta.h>

#include <cmath>
#include <limits>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  DormandPrince::Parameters
  tolerance(const double value, const long max_steps = 100000)
  {
    return {value, value, max_steps};
  }

  torch::Tensor
  row(const std::vector<double> &values)
  {
    return torch::tensor(values, torch::kFloat64).unsqueeze(0);
  }

  /** z' = p(t) with p(t) = Σ_j (j + 1) t^j, j ≤ degree: z(h) = Σ h^{j+1}. */
  DormandPrince::Step
  step_of_polynomial(const long degree, const double h)
  {
    const auto f = [degree](const torch::Tensor &z, const double t) {
      double sum = 0;
      for (long j = 0; j <= degree; ++j)
        sum += (j + 1.) * std::pow(t, j);
      return torch::full_like(z, sum);
    };
    const auto start = row({0.});
    return DormandPrince::step(f, start, 0., h, f(start, 0.));
  }



  // The method of order five integrates polynomials of degree four exactly,
  // the embedded one of order four those of degree three: their difference,
  // the estimate, is zero up to there and no further.
  TEST(DormandPrince, IsExactOnPolynomialsOfItsOrder)
  {
    const double h = 1.5;
    for (long degree = 0; degree <= 6; ++degree)
      {
        double exact = 0;
        for (long j = 0; j <= degree; ++j)
          exact += std::pow(h, j + 1);
        const auto   step     = step_of_polynomial(degree, h);
        const double error    = std::abs(step.end.item<double>() - exact);
        const double estimate = std::abs(step.error.item<double>());
        if (degree <= 4)
          EXPECT_LT(error, 1e-13 * exact) << degree;
        else
          EXPECT_GT(error, 1e-4) << degree;
        if (degree <= 3)
          EXPECT_LT(estimate, 1e-13 * exact) << degree;
        else
          EXPECT_GT(estimate, 1e-4) << degree;
      }
  }



  // z' = −2 t z² from z(0) = 1 is 1/(1 + t²): not linear, and f depends on t.
  torch::Tensor
  bell_slope(const torch::Tensor &z, const double t)
  {
    return -2. * t * z.square();
  }



  TEST(DormandPrince, ConvergesWithOrderFive)
  {
    const auto error = [](const long n_steps) {
      auto         z     = row({1.});
      auto         slope = bell_slope(z, 0.);
      const double h     = 2. / double(n_steps);
      for (long i = 0; i < n_steps; ++i)
        {
          const auto step =
            DormandPrince::step(bell_slope, z, double(i) * h, h, slope);
          z     = step.end;
          slope = step.slope;
        }
      return std::abs(z.item<double>() - 0.2);
    };
    for (const long n : {40, 80})
      {
        const double order = std::log2(error(n) / error(2 * n));
        EXPECT_GT(order, 4.7) << n;
        EXPECT_LT(order, 5.5) << n;
      }
    // The error of the embedded method in one step is of order five.
    const auto estimate = [](const double h) {
      const auto z = row({0.8});
      return std::abs(
        DormandPrince::step(bell_slope, z, 0.5, h, bell_slope(z, 0.5))
          .error.item<double>());
    };
    EXPECT_NEAR(std::log2(estimate(0.02) / estimate(0.01)), 5., 0.2);
  }



  // A pendulum of period 2π and the bell, over nine decades.
  TEST(DormandPrince, ErrorsFollowTheTolerance)
  {
    const std::vector<double> times  = {1., 1.1, 5.};
    long                      n_last = 0;
    for (const double wanted :
         {1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12})
      {
        const auto f = [](const torch::Tensor &z, const double t) {
          return torch::stack({z.select(1, 1),
                               -z.select(1, 0),
                               -2. * t * z.select(1, 2).square()},
                              1);
        };
        DormandPrince::Course course;
        const auto            states =
          DormandPrince(tolerance(wanted), "test")
            .integrate(f, row({0., 1., 1.}), 0., times, course);
        ASSERT_EQ(states.size(), 3u);
        double error = 0;
        for (int i = 0; i < 3; ++i)
          error = std::max(error,
                           distance(states[i],
                                    row({std::sin(times[i]),
                                         std::cos(times[i]),
                                         1. / (1. + times[i] * times[i])})));
        EXPECT_LT(error, 20. * wanted);
        EXPECT_GT(error, 0.01 * wanted);
        // Order five: ten times the accuracy for 10^{1/5} = 1.58 the steps.
        if (n_last > 0 && wanted < 1e-5)
          {
            EXPECT_NEAR(double(course.n_accepted) / double(n_last), 1.58, 0.25);
          }
        n_last = course.n_accepted;
        EXPECT_LT(course.n_rejected, 4 + course.n_accepted / 5);
        EXPECT_EQ(course.n_evaluations,
                  2 + 6 * (course.n_accepted + course.n_rejected));
      }
  }



  TEST(DormandPrince, GoesBackwards)
  {
    DormandPrince::Course course;
    const DormandPrince   method(tolerance(1e-10), "test");
    const auto            states =
      method.integrate(bell_slope, row({0.2}), 2., {1., 0.}, course);
    EXPECT_NEAR(states[0].item<double>(), 0.5, 1e-8);
    EXPECT_NEAR(states[1].item<double>(), 1., 1e-8);
    // To where it is: nothing happens.
    EXPECT_TRUE(torch::equal(
      method.integrate(bell_slope, row({0.3}), 2., {2.}, course)[0],
      row({0.3})));
  }



  // Each sample is as accurate as alone, however many easy ones there are.
  TEST(DormandPrince, OneHardSampleAmongMany)
  {
    auto rates   = torch::full({1000, 1}, 0.01, torch::kFloat64);
    rates[17]    = 30.;
    const auto f = [&](const torch::Tensor &z, const double t) {
      return rates * torch::cos(rates * t) * torch::ones_like(z);
    };
    DormandPrince::Course course;
    const auto            z =
      DormandPrince(tolerance(1e-6), "test")
        .integrate(f, torch::zeros_like(rates), 0., {2.}, course)[0];
    EXPECT_LT(distance(z, torch::sin(2. * rates)), 1e-5);
  }



  TEST(DormandPrince, WhatIsNotANumberDisturbsNothing)
  {
    const double nan   = std::numeric_limits<double>::quiet_NaN();
    const auto   solve = [](const torch::Tensor &start) {
      DormandPrince::Course course;
      return DormandPrince(tolerance(1e-8), "test")
        .integrate(bell_slope, start, 0., {2.}, course)[0];
    };
    const auto start  = row({1.}).repeat({3, 1});
    auto       broken = start.clone();
    broken[1]         = nan;
    const auto a = solve(start), b = solve(broken);
    EXPECT_TRUE(torch::equal(a[0], b[0]));
    EXPECT_TRUE(torch::equal(a[2], b[2]));
    EXPECT_TRUE(std::isnan(b[1].item<double>()));
  }



  TEST(DormandPrince, WhatItCannotDoIsSaid)
  {
    const auto complaint = [](const DormandPrince::RightHandSide &f,
                              const long                          max_steps) {
      return message_of<InputError>([&]() {
        DormandPrince::Course course;
        DormandPrince(tolerance(1e-6, max_steps), "test.json")
          .integrate(f, row({1.}), 0., {2.}, course);
      });
    };
    // Stable steps are shorter than 3.3e-6: half a million of them.
    long       n_calls = 0;
    const auto stiff   = [&](const torch::Tensor &z, const double t) {
      ++n_calls;
      return -1e6 * (z - std::cos(t));
    };
    expect_sentence(complaint(stiff, 200),
                    {"test.json", "maximal steps", "'200'", "time"});
    EXPECT_EQ(n_calls, 2 + 6 * 200);
    // 1/(1 − t)
    expect_sentence(
      complaint([](const torch::Tensor &z, const double) { return z.square(); },
                100000),
      {"test.json", "relative tolerance", "'1e-06'", "poles", "time 1 "});
    // A slope that is not a number is not followed.
    expect_sentence(complaint([](const torch::Tensor &z,
                                 const double) { return z / 0. - z / 0.; },
                              100000),
                    {"test.json", "relative tolerance", "time 0 "});
  }



  // What autograd records is the derivative of the steps.
  TEST(DormandPrince, StepsAreDifferentiable)
  {
    const auto start = row({0.7}).requires_grad_(true);
    const auto solve = [&](const torch::Tensor &z) {
      DormandPrince::Course course;
      return DormandPrince(tolerance(1e-11), "test")
        .integrate(bell_slope, z, 0., {1.}, course)[0];
    };
    solve(start).sum().backward();
    // z = 1/(1/z_0 + t²), so dz/dz_0 = (z/z_0)².
    const double z = 1. / (1. / 0.7 + 1.);
    EXPECT_NEAR(start.grad().item<double>(), std::pow(z / 0.7, 2), 1e-9);
  }
} // namespace
