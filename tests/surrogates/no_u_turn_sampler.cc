// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/chain_diagnostics.h>
#include <neuraldeal/surrogates/uncertainty/no_u_turn_sampler.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  constexpr double infinity = std::numeric_limits<double>::infinity();

  /** From x to the log density; its gradient goes to the second argument. */
  using Function = std::function<double(const double *, double *)>;

  LogDensity
  density(const Function &function)
  {
    return [function](const torch::Tensor &x) -> LogDensityValue {
      auto         gradient = torch::empty_like(x);
      const double value =
        function(x.data_ptr<double>(), gradient.data_ptr<double>());
      return {value, gradient};
    };
  }

  /** N(0, Σ) from Σ⁻¹, [d, d]. */
  LogDensity
  gaussian(const torch::Tensor &precision)
  {
    return density([precision](const double *x, double *g) {
      const long    d   = precision.size(0);
      const double *p   = precision.data_ptr<double>();
      double        sum = 0;
      for (long i = 0; i < d; ++i)
        {
          g[i] = 0;
          for (long j = 0; j < d; ++j)
            g[i] -= p[i * d + j] * x[j];
          sum += 0.5 * x[i] * g[i];
        }
      return sum;
    });
  }

  LogDensity
  standard_normal(const long d)
  {
    return gaussian(torch::eye(d, torch::kFloat64));
  }

  /** x_0 and x_1 − b (x_0² − 1) are independent and standard normal. */
  LogDensity
  banana(const double b)
  {
    return density([b](const double *x, double *g) {
      const double z = x[1] - b * (x[0] * x[0] - 1.);
      g[0]           = -x[0] + 2. * b * x[0] * z;
      g[1]           = -z;
      return -0.5 * (x[0] * x[0] + z * z);
    });
  }

  /** Student's t with @p nu degrees of freedom in every dimension. */
  LogDensity
  student_t(const double nu, const long d)
  {
    return density([nu, d](const double *x, double *g) {
      double sum = 0;
      for (long i = 0; i < d; ++i)
        {
          sum -= 0.5 * (nu + 1.) * std::log1p(x[i] * x[i] / nu);
          g[i] = -(nu + 1.) * x[i] / (nu + x[i] * x[i]);
        }
      return sum;
    });
  }

  torch::Tensor
  normal_cdf(const torch::Tensor &x)
  {
    return 0.5 * torch::erfc(-x / std::sqrt(2.));
  }



  /** Expects numbers of (0, 1) to be uniform, by the Kolmogorov test. */
  void
  expect_uniform(const torch::Tensor &u, const std::string &what)
  {
    const double n      = u.size(0);
    const auto   sorted = std::get<0>(u.sort());
    const auto   steps  = torch::arange(0., n, torch::kFloat64) / n;
    const double largest =
      std::max((sorted - steps).max().item<double>(),
               (steps + 1. / n - sorted).max().item<double>());
    // 2 exp(−2 t²) = 1e-4
    EXPECT_LT(std::sqrt(n) * largest, 2.23) << what;
  }



  /** How far means of samples are from what they should be. */
  class Deviations
  {
  public:
    /**
     * That of @p values, [chains, n], from @p exact, which is to be known to a
     * tenth of their spread at least.
     */
    void
    of_mean(const torch::Tensor &values,
            const double         exact,
            const std::string   &what)
    {
      const double error = monte_carlo_error(values).item<double>();
      EXPECT_LT(error, 0.1 * values.std().item<double>()) << what;
      in_standard_errors[what] = (values.mean().item<double>() - exact) / error;
    }

    /** Those of mean, variance and three quantiles of a normal quantity. */
    void
    of_normal(const torch::Tensor &values,
              const double         mean,
              const double         variance,
              const std::string   &what)
    {
      of_mean(values, mean, what + ", mean");
      of_mean((values - mean).square(), variance, what + ", variance");
      const auto below = [&](const double quantile) {
        return (values <= mean + quantile * std::sqrt(variance))
          .to(torch::kFloat64);
      };
      of_mean(below(-1.6448536269514722), 0.05, what + ", 5 %");
      of_mean(below(0.), 0.5, what + ", 50 %");
      of_mean(below(1.6448536269514722), 0.95, what + ", 95 %");
    }

    std::map<std::string, double> in_standard_errors;
  };



  /**
   * Expects all deviations to be within four standard errors. One that is not
   * has a second chance with another seed: among a hundred of them it may
   * happen once, on a machine with other last digits, but not twice to the
   * same.
   */
  void
  expect_exact(
    const std::function<void(const std::uint64_t seed, Deviations &)> &sample)
  {
    const auto is_large = [](const double z) { return !(std::abs(z) < 4.); };
    Deviations first, second;
    sample(1, first);
    for (const auto &[what, z] : first.in_standard_errors)
      if (is_large(z))
        {
          if (second.in_standard_errors.empty())
            sample(2, second);
          EXPECT_FALSE(is_large(second.in_standard_errors[what]))
            << what << ": " << z << ", and then "
            << second.in_standard_errors[what] << " standard errors";
        }
  }



  NoUTurnSampler::Parameters
  numbers_of(const long          warm_up,
             const long          samples,
             const std::uint64_t seed = 1)
  {
    NoUTurnSampler::Parameters parameters;
    parameters.seed    = seed;
    parameters.warm_up = warm_up;
    parameters.samples = samples;
    return parameters;
  }



  bool
  same(const NoUTurnSampler::Samples &a, const NoUTurnSampler::Samples &b)
  {
    return torch::equal(a.values, b.values) &&
           torch::equal(a.log_density, b.log_density) &&
           torch::equal(a.energy, b.energy) &&
           torch::equal(a.acceptance, b.acceptance) &&
           torch::equal(a.depth, b.depth) &&
           torch::equal(a.n_steps, b.n_steps) &&
           torch::equal(a.divergent, b.divergent) &&
           torch::equal(a.outside, b.outside) &&
           torch::equal(a.step_size, b.step_size) &&
           torch::equal(a.metric, b.metric);
  }



  /**
   * Exact samples stay exact: after some transitions from them, the samples of
   * as many chains are independent and have the same distribution, whatever
   * the step size, the larger the better for the test.
   */
  void
  expect_invariant(
    const std::string                                         &what,
    const LogDensity                                          &log_density,
    const torch::Tensor                                       &exact,
    const double                                               step_size,
    const std::function<torch::Tensor(const torch::Tensor &)> &uniforms)
  {
    auto parameters      = numbers_of(0, 2);
    parameters.step_size = step_size;
    NoUTurnSampler sampler(log_density, exact, parameters);
    sampler.run();
    const auto after  = sampler.samples();
    const auto before = uniforms(exact),
               u      = uniforms(after.values.select(1, 1));
    for (long i = 0; i < u.size(1); ++i)
      {
        const std::string number = ", " + std::to_string(i);
        expect_uniform(before.select(1, i), what + ", before" + number);
        expect_uniform(u.select(1, i), what + ", after" + number);
      }
    // Chains have moved, and made errors that had to be made up for.
    EXPECT_GT((after.values.select(1, 1) != exact)
                .to(torch::kFloat64)
                .mean()
                .item<double>(),
              0.5)
      << what;
    EXPECT_LT(after.acceptance.mean().item<double>(), 0.9) << what;
  }



  TEST(NoUTurnSampler, KeepsANormalDistribution)
  {
    expect_invariant(
      "normal",
      standard_normal(3),
      random_normal({6000, 3}, 1),
      1.5,
      [](const torch::Tensor &x) {
        const auto r = 0.5 * x.square().sum(1);
        return torch::cat(
          {normal_cdf(x),
           at::special_gammainc(torch::full_like(r, 1.5), r).unsqueeze(1)},
          1);
      });
  }



  TEST(NoUTurnSampler, KeepsALogisticDistribution)
  {
    const auto u = random_uniform({10000, 1}, 0., 1., 2);
    expect_invariant("logistic",
                     density([](const double *x, double *g) {
                       const double s = 1. / (1. + std::exp(-x[0]));
                       g[0]           = 1. - 2. * s;
                       return -x[0] - 2. * std::log1p(std::exp(-x[0]));
                     }),
                     torch::log(u / (1. - u)),
                     3.,
                     [](const torch::Tensor &x) { return torch::sigmoid(x); });
  }



  TEST(NoUTurnSampler, KeepsStudentsT)
  {
    const auto u = random_uniform({6000, 1}, 0., 1., 3);
    const auto t = (2. * u - 1.) / torch::sqrt(2. * u * (1. - u));
    expect_invariant(
      "Student's t", student_t(2., 1), t, 1.5, [](const torch::Tensor &x) {
        return 0.5 + 0.5 * x / torch::sqrt(2. + x.square());
      });
  }



  TEST(NoUTurnSampler, KeepsABanana)
  {
    const auto z = random_normal({6000, 2}, 4);
    const auto x =
      torch::stack({z.select(1, 0),
                    z.select(1, 1) + 0.5 * (z.select(1, 0).square() - 1.)},
                   1);
    expect_invariant("banana", banana(0.5), x, 0.9, [](const torch::Tensor &x) {
      const auto a = x.select(1, 0);
      const auto b = x.select(1, 1) - 0.5 * (a.square() - 1.);
      return torch::stack({normal_cdf(a),
                           normal_cdf(b),
                           1. - torch::exp(-0.5 * (a.square() + b.square()))},
                          1);
    });
  }



  // At the edge, the density jumps to zero, from where it is largest.
  TEST(NoUTurnSampler, KeepsADistributionWithAnEdge)
  {
    expect_invariant("exponential",
                     density([](const double *x, double *g) {
                       g[0] = -1.;
                       return x[0] > 0. ? -x[0] : -infinity;
                     }),
                     -torch::log(random_uniform({10000, 1}, 0., 1., 5)),
                     0.6,
                     [](const torch::Tensor &x) {
                       return 1. - torch::exp(-x);
                     });
  }



  TEST(NoUTurnSampler, ScalesFromOneToAHundred)
  {
    expect_exact([](const std::uint64_t seed, Deviations &deviations) {
      const auto variances = torch::logspace(-2., 2., 8, 10., torch::kFloat64);
      NoUTurnSampler sampler(gaussian((1. / variances).diag()),
                             10. * random_normal({4, 8}, 10),
                             numbers_of(400, 1000, seed));
      sampler.run();
      const auto found = sampler.samples();
      EXPECT_LT(split_r_hat(found.values).max().item<double>(), 1.01);
      EXPECT_GT(bulk_effective_sample_size(found.values).min().item<double>(),
                1000.);
      EXPECT_GT(tail_effective_sample_size(found.values).min().item<double>(),
                1000.);
      for (long i = 0; i < 8; ++i)
        deviations.of_normal(found.values.select(2, i),
                             0.,
                             variances[i].item<double>(),
                             "variance " +
                               std::to_string(variances[i].item<double>()));
      deviations.of_mean(found.log_density, -4., "log density");
      // Momenta have half of the energy.
      deviations.of_mean(found.energy, 8., "energy");
      // The metric has found the scales, after which few steps are needed.
      EXPECT_LT((found.metric / variances).log().abs().max().item<double>(),
                0.6);
      EXPECT_LE(found.n_steps.max().item<std::int64_t>(), 15);
      EXPECT_EQ(found.divergent.sum().item<std::int64_t>(), 0);
    });
  }



  /** Covariance with the eigenvalues 10⁻² … 10² in directions of no axis. */
  torch::Tensor
  turned_covariance(const long d)
  {
    const auto turn = std::get<0>(at::linalg_qr(random_normal({d, d}, 11)));
    return torch::mm(turn * torch::logspace(-2., 2., d, 10., torch::kFloat64),
                     turn.t())
      .contiguous();
  }



  void
  check_turned(const std::string &metric,
               const long         warm_up,
               const long         samples,
               const long         most_steps,
               const double       largest_r_hat)
  {
    expect_exact([&](const std::uint64_t seed, Deviations &deviations) {
      const long d          = 5;
      const auto covariance = turned_covariance(d);
      auto       parameters = numbers_of(warm_up, samples, seed);
      parameters.metric     = metric;
      NoUTurnSampler sampler(gaussian(at::linalg_inv(covariance).contiguous()),
                             random_normal({4, d}, 12),
                             parameters);
      sampler.run();
      const auto found = sampler.samples();
      EXPECT_LT(split_r_hat(found.values).max().item<double>(), largest_r_hat);
      for (long i = 0; i < d; ++i)
        {
          deviations.of_normal(found.values.select(2, i),
                               0.,
                               covariance[i][i].item<double>(),
                               metric + ", entry " + std::to_string(i));
          for (long j = 0; j < i; ++j)
            deviations.of_mean(found.values.select(2, i) *
                                 found.values.select(2, j),
                               covariance[i][j].item<double>(),
                               metric + ", covariance " + std::to_string(i) +
                                 std::to_string(j));
        }
      // also in the narrowest direction
      deviations.of_mean(found.log_density, -0.5 * d, metric + ", log density");
      EXPECT_LE(found.n_steps.to(torch::kFloat64).mean().item<double>(),
                most_steps);
    });
  }

  TEST(NoUTurnSampler, CorrelationsWithADenseMetric)
  {
    check_turned("dense", 400, 1000, 9, 1.01);
  }

  TEST(NoUTurnSampler, CorrelationsWithADiagonalMetric)
  {
    check_turned("diagonal", 200, 250, 250, 1.05);
  }



  TEST(NoUTurnSampler, BananaHasItsMoments)
  {
    expect_exact([](const std::uint64_t seed, Deviations &deviations) {
      const double   b = 0.5;
      NoUTurnSampler sampler(banana(b),
                             random_normal({4, 2}, 13),
                             numbers_of(400, 1500, seed));
      sampler.run();
      const auto found = sampler.samples().values;
      const auto x = found.select(2, 0), y = found.select(2, 1);
      deviations.of_normal(x, 0., 1., "x");
      deviations.of_mean(y, 0., "y");
      deviations.of_mean(y.square(), 1. + 2. * b * b, "variance of y");
      deviations.of_mean(x * y, 0., "covariance");
      deviations.of_mean(x.square() * y, 2. * b, "third moment");
      deviations.of_normal(y - b * (x.square() - 1.),
                           0.,
                           1.,
                           "what it is made of");
    });
  }



  TEST(NoUTurnSampler, StudentsTHasItsQuantiles)
  {
    expect_exact([](const std::uint64_t seed, Deviations &deviations) {
      const auto cdf = [](const double t) {
        const double s = 1. + 0.25 * t * t;
        return 0.5 + 0.375 * t / std::sqrt(s) * (1. - t * t / (12. * s));
      };
      NoUTurnSampler sampler(student_t(4., 2),
                             random_normal({4, 2}, 14),
                             numbers_of(300, 2000, seed));
      sampler.run();
      const auto found = sampler.samples().values;
      for (long i = 0; i < 2; ++i)
        for (const double t : {-2.1, -1., 0., 0.5, 2.})
          deviations.of_mean((found.select(2, i) <= t).to(torch::kFloat64),
                             cdf(t),
                             std::to_string(i) + " up to " + std::to_string(t));
      deviations.of_mean(found.select(2, 0).abs(), 1., "mean modulus");
    });
  }



  // Half a normal distribution, and one that says NaN where it is not.
  TEST(NoUTurnSampler, RegionsWithoutDensity)
  {
    expect_exact([](const std::uint64_t seed, Deviations &deviations) {
      for (const bool is_number : {true, false})
        {
          const double nowhere = is_number ? -infinity : std::nan("");
          // x > 0, with y around x
          NoUTurnSampler sampler(density([nowhere](const double *x, double *g) {
                                   g[0] = x[1] - 2. * x[0];
                                   g[1] = x[0] - x[1];
                                   if (!(x[0] > 0.))
                                     {
                                       g[0] = g[1] = std::nan("");
                                       return nowhere;
                                     }
                                   return -0.5 *
                                          (x[0] * x[0] +
                                           (x[1] - x[0]) * (x[1] - x[0]));
                                 }),
                                 random_uniform({4, 2}, 0.5, 2., 15),
                                 numbers_of(300, 1500, seed));
          sampler.run();
          const auto found = sampler.samples();
          const auto x     = found.values.select(2, 0),
                     y     = found.values.select(2, 1);
          EXPECT_GT(x.min().item<double>(), 0.);
          EXPECT_TRUE(torch::isfinite(found.values).all().item<bool>());
          deviations.of_mean(x, std::sqrt(2. / M_PI), "x");
          deviations.of_mean(x.square(), 1., "x²");
          deviations.of_mean(y, std::sqrt(2. / M_PI), "y");
          deviations.of_mean(y.square(), 2., "y²");
          deviations.of_mean((x <= 0.1).to(torch::kFloat64),
                             std::erf(0.1 / std::sqrt(2.)),
                             "at the edge");
          // That is told, and is no divergence.
          EXPECT_GT(found.outside.sum().item<std::int64_t>(), 100);
          EXPECT_EQ(found.divergent.sum().item<std::int64_t>(), 0);
        }
    });
  }



  // Where it is narrow, a step that is right elsewhere is too large.
  TEST(NoUTurnSampler, FunnelDiverges)
  {
    const long d = 8;
    // v ~ N(0, 9), the others ~ N(0, exp(v))
    const auto funnel = density([d](const double *x, double *g) {
      const double v     = x[0];
      double       value = -v * v / 18. - 0.5 * double(d - 1) * v;
      g[0]               = -v / 9. - 0.5 * double(d - 1);
      for (long i = 1; i < d; ++i)
        {
          const double square = x[i] * x[i] * std::exp(-v);
          value -= 0.5 * square;
          g[0] += 0.5 * square;
          g[i] = -x[i] * std::exp(-v);
        }
      return value;
    });

    // From exact samples: chains avoid the neck, which is what is wrong then.
    auto start = random_normal({200, d}, 16);
    start.select(1, 0).mul_(3.);
    start.slice(1, 1).mul_((0.5 * start.slice(1, 0, 1)).exp());
    auto parameters      = numbers_of(0, 5);
    parameters.step_size = 0.5;
    NoUTurnSampler sampler(funnel, start, parameters);
    sampler.run();
    const auto found = sampler.samples();
    const auto n     = found.divergent.sum().item<std::int64_t>();
    EXPECT_GT(n, 50);
    EXPECT_LT(n, 500);
    EXPECT_EQ(found.outside.sum().item<std::int64_t>(), 0);
    // They point to the neck: a step of 0.5 is right where exp(v/2) is one.
    const auto v = found.values.select(2, 0);
    EXPECT_LT(v.masked_select(found.divergent == 1).mean().item<double>(), -3.);
    EXPECT_LT(((found.divergent == 1) & (v > 0.)).sum().item<std::int64_t>(),
              0.1 * n);

    // In variables that are independent there is no funnel.
    NoUTurnSampler straight(standard_normal(d),
                            random_normal({200, d}, 17),
                            parameters);
    straight.run();
    EXPECT_EQ(straight.samples().divergent.sum().item<std::int64_t>(), 0);
  }



  // A trajectory of the oscillator, with its period of 2π, ends between a
  // quarter and all of it.
  TEST(NoUTurnSampler, TrajectoriesEndWhereTheyReturn)
  {
    auto parameters      = numbers_of(0, 500);
    parameters.step_size = 0.05;
    NoUTurnSampler sampler(standard_normal(20),
                           random_normal({1, 20}, 18),
                           parameters);
    sampler.run();
    const auto found  = sampler.samples();
    const auto length = 0.05 * found.n_steps.to(torch::kFloat64);
    EXPECT_GT(length.min().item<double>(), 0.5 * M_PI);
    EXPECT_LT(length.max().item<double>(), 2. * M_PI);
    EXPECT_GT(found.acceptance.min().item<double>(), 0.95);
    // A trajectory of depth k has 2^k − 1 steps behind its start, and those of
    // a last doubling that has been given up.
    const auto full = torch::pow(2., found.depth.to(torch::kFloat64)) - 1.;
    EXPECT_TRUE((found.n_steps >= full).all().item<bool>() &&
                (found.n_steps <= 2. * full + 1.).all().item<bool>());
    EXPECT_EQ(sampler.n_evaluations(),
              1 + found.n_steps.sum().item<std::int64_t>());
    // Samples in a row have little in common.
    EXPECT_GT(effective_sample_size(found.values).min().item<double>(), 250.);
    EXPECT_GT(effective_sample_size(found.log_density).item<double>(), 100.);
  }



  // 32 points of equal oscillators take less than half a period here, 64 more
  // than all of it: neither has turned around, and no longer one would. But
  // the first 33 points have.
  TEST(NoUTurnSampler, HalfAPeriodIsNotOverlooked)
  {
    const long d          = 4000;
    auto       parameters = numbers_of(0, 60);
    parameters.step_size  = M_PI / 31.5;
    NoUTurnSampler sampler(density([d](const double *x, double *g) {
                             double sum = 0;
                             for (long i = 0; i < d; ++i)
                               {
                                 g[i] = -x[i];
                                 sum -= 0.5 * x[i] * x[i];
                               }
                             return sum;
                           }),
                           random_normal({1, d}, 27),
                           parameters);
    sampler.run();
    const auto n_steps = sampler.samples().n_steps;
    EXPECT_EQ(std::get<0>(n_steps.flatten().median(0)).item<std::int64_t>(),
              63);
    EXPECT_LE((n_steps > 63).sum().item<std::int64_t>(), 6);
  }



  TEST(NoUTurnSampler, LargestDepthIsKept)
  {
    auto parameters      = numbers_of(0, 50);
    parameters.step_size = 0.001;
    parameters.max_depth = 3;
    NoUTurnSampler sampler(standard_normal(3),
                           random_normal({2, 3}, 19),
                           parameters);
    sampler.run();
    EXPECT_TRUE((sampler.samples().depth == 3).all().item<bool>());
    EXPECT_TRUE((sampler.samples().n_steps == 7).all().item<bool>());
  }



  TEST(NoUTurnSampler, StepSizeFollowsTheTarget)
  {
    double last = infinity;
    for (const double target : {0.5, 0.7, 0.9, 0.98})
      {
        auto parameters              = numbers_of(500, 500);
        parameters.target_acceptance = target;
        NoUTurnSampler sampler(student_t(5., 10),
                               random_normal({2, 10}, 20),
                               parameters);
        sampler.run();
        const auto found = sampler.samples();
        // (The mean of the logarithm of step sizes, of which large ones are
        // rejected more than small ones are accepted, is on the safe side.)
        const double acceptance = found.acceptance.mean().item<double>();
        EXPECT_LT(std::abs(std::log(acceptance / (1. - acceptance)) -
                           std::log(target / (1. - target))),
                  1.4)
          << acceptance << " and not " << target;
        const double step = found.step_size.mean().item<double>();
        EXPECT_LT(step, last);
        last = step;
      }
  }



  // However small the unit: regularisation is relative to the scales found.
  TEST(NoUTurnSampler, MetricDoesNotDependOnTheUnits)
  {
    for (const char *const metric : {"diagonal", "dense"})
      {
        const auto covariance =
          torch::tensor({{4., 1.}, {1., 1.}}, torch::kFloat64) * 1e-12;
        auto parameters   = numbers_of(500, 10);
        parameters.metric = metric;
        NoUTurnSampler sampler(gaussian(
                                 at::linalg_inv(covariance).contiguous()),
                               1e-6 * random_normal({2, 2}, 21),
                               parameters);
        sampler.run();
        const auto found = sampler.samples().metric;
        for (long i = 0; i < 2; ++i)
          if (found.dim() == 2)
            EXPECT_LT((found[i] / covariance.diagonal())
                        .log()
                        .abs()
                        .max()
                        .item<double>(),
                      0.5);
          else
            EXPECT_LT(distance(found[i], covariance), 2e-12);
      }
  }



  TEST(NoUTurnSampler, WindowsOfTheWarmUp)
  {
    using Windows         = std::vector<long>;
    const auto windows_of = NoUTurnSampler::adaptation_windows;
    // those of Stan's reference manual
    EXPECT_EQ(windows_of(1000), (Windows{75, 100, 150, 250, 450, 950}));
    EXPECT_EQ(windows_of(150), (Windows{75, 100}));
    EXPECT_EQ(windows_of(100), (Windows{15, 40, 90}));
    EXPECT_EQ(windows_of(20), (Windows{3, 18}));
    EXPECT_EQ(windows_of(19), (Windows{19}));
    EXPECT_EQ(windows_of(0), (Windows{0}));
    for (long n = 20; n < 3000; n += 7)
      {
        const auto windows = windows_of(n);
        ASSERT_GE(windows.size(), 2u);
        EXPECT_LT(windows.back(), n);
        for (std::size_t i = 1; i < windows.size(); ++i)
          EXPECT_GE(windows[i] - windows[i - 1], n < 150 ? 10 : 25);
      }
  }



  TEST(NoUTurnSampler, IsAFunctionOfTheSeed)
  {
    const auto start  = random_normal({3, 2}, 22);
    const auto sample = [](const torch::Tensor              &start,
                           const NoUTurnSampler::Parameters &parameters) {
      NoUTurnSampler sampler(banana(0.5), start, parameters);
      sampler.run();
      return sampler.samples();
    };
    auto       parameters = numbers_of(60, 40);
    const auto all        = sample(start, parameters);
    EXPECT_TRUE(same(all, sample(start, parameters)));

    // a chain alone is the one beside others
    parameters.first_chain = 2;
    const auto last        = sample(start.slice(0, 2), parameters);
    EXPECT_TRUE(torch::equal(last.values[0], all.values[2]));
    EXPECT_TRUE(torch::equal(last.metric[0], all.metric[2]));

    // and chains from the same point are not the same
    parameters.first_chain = 0;
    const auto equal       = sample(start[0].expand({2, 2}), parameters);
    EXPECT_TRUE(torch::equal(equal.values[0], all.values[0]));
    EXPECT_FALSE(torch::equal(equal.values[0], equal.values[1]));

    parameters.seed = 2;
    EXPECT_FALSE(torch::equal(sample(start, parameters).values, all.values));
  }



  TEST(NoUTurnSampler, GoesOnFromAFile)
  {
    const TemporaryFolder folder;
    const auto            start = random_normal({2, 2}, 23);
    for (const char *const metric : {"diagonal", "dense", "unit"})
      {
        auto parameters   = numbers_of(150, 30);
        parameters.metric = metric;
        NoUTurnSampler at_once(banana(0.5), start, parameters);
        at_once.run();

        // before, in and behind each phase
        for (const long stop : {0, 1, 40, 75, 90, 99, 100, 120, 150, 170, 180})
          {
            NoUTurnSampler before(banana(0.5), start, parameters);
            before.run(false, [&]() { return before.n_done() >= stop; });
            ModelFile file;
            if (stop > 0)
              before.save(file);
            else
              NoUTurnSampler(banana(0.5), start, parameters).save(file);
            file.write(folder / "state");

            NoUTurnSampler after(banana(0.5),
                                 torch::zeros({2, 2}, torch::kFloat64),
                                 parameters);
            after.load(ModelFile::read(folder / "state"));
            EXPECT_EQ(after.n_done(), stop);
            after.run();
            EXPECT_TRUE(same(after.samples(), at_once.samples()))
              << metric << " " << stop;
          }

        // or for longer than was asked for at first
        ModelFile file;
        at_once.save(file);
        parameters.samples = 50;
        NoUTurnSampler longer(banana(0.5), start, parameters),
          all(banana(0.5), start, parameters);
        longer.load(file);
        longer.run();
        all.run();
        EXPECT_EQ(longer.samples().values.size(1), 50);
        EXPECT_TRUE(same(longer.samples(), all.samples()));
      }
  }



  TEST(NoUTurnSampler, OtherFilesAreErrors)
  {
    const auto     start      = random_normal({2, 2}, 24);
    const auto     parameters = numbers_of(30, 10);
    NoUTurnSampler sampler(banana(0.5), start, parameters);
    sampler.run();
    ModelFile file;
    sampler.save(file);
    const auto message = [&](const LogDensity                 &log_density,
                             const torch::Tensor              &start,
                             const NoUTurnSampler::Parameters &parameters,
                             const ModelFile                  &file) {
      NoUTurnSampler other(log_density, start, parameters);
      const auto     before = other.samples();
      const auto result = message_of<FileError>([&]() { other.load(file); });
      // and nothing has changed
      EXPECT_EQ(other.n_done(), 0);
      EXPECT_TRUE(same(before, other.samples()));
      return result;
    };
    auto different = parameters;
    different.seed = 5;
    expect_sentence(message(banana(0.5), start, different, file),
                    {"a model in memory", "other parameters"});
    expect_sentence(message(banana(0.5), start.slice(0, 1), parameters, file),
                    {"chains"});
    expect_sentence(
      message(student_t(3., 3), random_normal({2, 3}, 25), parameters, file),
      {"dimensions"});
    expect_sentence(message(banana(0.6), start, parameters, file),
                    {"another log density", "chain 0"});
    different         = parameters;
    different.samples = 9;
    expect_sentence(message(banana(0.5), start, different, file),
                    {"10 samples", "the 9"});
    expect_sentence(message(banana(0.5), start, parameters, ModelFile()),
                    {"no-U-turn sampler", "absent"});
    for (const auto &[name, tensor] : file.tensors)
      {
        auto damaged = file;
        damaged.tensors.erase(name);
        expect_sentence(message(banana(0.5), start, parameters, damaged),
                        {name});
        damaged.tensors[name] = torch::zeros({2, 1, 5}, tensor.options());
        expect_sentence(message(banana(0.5), start, parameters, damaged),
                        {name});
      }
    auto damaged = file;
    for (const double wrong : {std::nan(""), -1., infinity})
      {
        damaged.tensors["sampler.numbers"] =
          file.tensors["sampler.numbers"].clone();
        damaged.tensors["sampler.numbers"][1][0] = wrong;
        expect_sentence(message(banana(0.5), start, parameters, damaged),
                        {"sampler.numbers"});
      }
    damaged                           = file;
    damaged.tensors["sampler.metric"] = -torch::ones({2, 2}, torch::kFloat64);
    expect_sentence(message(banana(0.5), start, parameters, damaged),
                    {"sampler.metric"});
  }



  // A density that fails once: the chains go on as if it had not.
  TEST(NoUTurnSampler, GoesOnAfterAnException)
  {
    const auto     start      = random_normal({3, 2}, 26);
    const auto     parameters = numbers_of(40, 20);
    NoUTurnSampler undisturbed(banana(0.5), start, parameters);
    undisturbed.run();

    const auto     inner = banana(0.5);
    long           calls = 0;
    NoUTurnSampler sampler(
      [&](const torch::Tensor &x) {
        if (++calls % 101 == 0)
          throw std::runtime_error("no solution");
        return inner(x);
      },
      start,
      parameters);
    long failures = 0;
    while (sampler.n_done() < 60)
      try
        {
          sampler.run();
        }
      catch (const std::runtime_error &)
        {
          ++failures;
          // what is saved then has the chains that are ahead
          ModelFile file;
          sampler.save(file);
          NoUTurnSampler(banana(0.5), start, parameters).load(file);
        }
    EXPECT_GT(failures, 5);
    EXPECT_TRUE(same(sampler.samples(), undisturbed.samples()));
  }



  TEST(NoUTurnSampler, StopsWhenAsked)
  {
    NoUTurnSampler sampler(standard_normal(1),
                           torch::zeros({2, 1}, torch::kFloat64),
                           numbers_of(5, 10));
    EXPECT_EQ(sampler.samples().values.sizes(),
              (std::vector<std::int64_t>{2, 0, 1}));
    long asked = 0;
    sampler.run(false, [&]() { return ++asked == 8; });
    EXPECT_EQ(sampler.n_done(), 8);
    EXPECT_EQ(sampler.samples().values.sizes(),
              (std::vector<std::int64_t>{2, 3, 1}));
    for (long i = 8; i < 14; ++i)
      EXPECT_TRUE(sampler.step());
    EXPECT_FALSE(sampler.step());
    EXPECT_FALSE(sampler.step());
    EXPECT_EQ(sampler.n_done(), 15);
  }



  // There is nothing to sample from, which R̂ can tell; but it ends.
  TEST(NoUTurnSampler, ImproperDensitiesEnd)
  {
    auto parameters      = numbers_of(100, 20);
    parameters.max_depth = 4;
    NoUTurnSampler flat(density([](const double *, double *g) {
                          g[0] = 0.;
                          return 0.;
                        }),
                        torch::zeros({1, 1}, torch::kFloat64),
                        parameters);
    flat.run();
    EXPECT_TRUE(torch::isfinite(flat.samples().values).all().item<bool>());

    // a point that cannot be left
    NoUTurnSampler stuck(density([](const double *x, double *g) {
                           g[0] = 0.;
                           return x[0] == 1. ? 0. : -infinity;
                         }),
                         torch::ones({1, 1}, torch::kFloat64),
                         parameters);
    stuck.run();
    EXPECT_TRUE((stuck.samples().values == 1.).all().item<bool>());
    EXPECT_GT(stuck.samples().outside.sum().item<std::int64_t>(), 15);
    EXPECT_TRUE(
      std::isnan(split_r_hat(stuck.samples().values)[0].item<double>()));

    // gradients that are no numbers
    NoUTurnSampler broken(density([](const double *x, double *g) {
                            g[0] = x[0] > 1. ? std::nan("") : -x[0];
                            return -0.5 * x[0] * x[0];
                          }),
                          torch::zeros({1, 1}, torch::kFloat64),
                          parameters);
    broken.run();
    EXPECT_LE(broken.samples().values.max().item<double>(), 1.);
    EXPECT_GT(broken.samples().divergent.sum().item<std::int64_t>(), 0);
  }



  TEST(NoUTurnSampler, ScatteredPoints)
  {
    const auto quadrant = density([](const double *x, double *g) {
      g[0] = -1.;
      g[1] = x[1] > 3.5 ? std::nan("") : -1.;
      return x[0] > 1. && x[1] > 2. ? -x[0] - x[1] : std::nan("");
    });
    const auto center   = torch::tensor({1., 2.}, torch::kFloat64);
    const auto points = NoUTurnSampler::scattered(quadrant, center, 2., 50, 3);
    ASSERT_EQ(points.sizes(), (std::vector<std::int64_t>{50, 2}));
    const auto above = points - center;
    EXPECT_GT(above.min().item<double>(), 0.);
    EXPECT_GT(above.select(1, 0).max().item<double>(), 1.8);
    EXPECT_LE(above.max().item<double>(), 2.);
    EXPECT_LE(above.select(1, 1).max().item<double>(), 1.5);
    EXPECT_TRUE(
      torch::equal(NoUTurnSampler::scattered(quadrant, center, 2., 7, 3),
                   points.slice(0, 0, 7)));
    EXPECT_FALSE(
      torch::equal(NoUTurnSampler::scattered(quadrant, center, 2., 50, 4),
                   points));
    expect_sentence(
      message_of<InputError>(
        [&]() { NoUTurnSampler::scattered(quadrant, center - 3., 2., 1, 3); }),
      {"radius", "'2'", "finite"});
  }



  TEST(NoUTurnSampler, ParametersAreChecked)
  {
    const auto given = NoUTurnSampler::parse(
      {{"warm-up", 7}, {"metric", "dense"}, {"largest depth", 5}}, "a file");
    EXPECT_EQ(given.warm_up, 7);
    EXPECT_EQ(given.metric, "dense");
    EXPECT_EQ(given.max_depth, 5);
    EXPECT_EQ(given.samples, NoUTurnSampler::Parameters().samples);

    expect_sentence(message_of<InputError>([]() {
                      NoUTurnSampler::parse({{"metric", "round"}}, "a file");
                    }),
                    {"a file", "metric", "round", "diagonal, dense, unit"});
    expect_sentence(message_of<InputError>([]() {
                      NoUTurnSampler::parse({{"warmup", 7}}, "a file");
                    }),
                    {"a file", "warmup", "warm-up"});

    // where no file is involved as well
    const auto start = torch::zeros({1, 1}, torch::kFloat64);
    const auto refused =
      [&](const std::function<void(NoUTurnSampler::Parameters &)> &change,
          const std::vector<std::string>                          &parts) {
        NoUTurnSampler::Parameters parameters;
        change(parameters);
        expect_sentence(message_of<InputError>([&]() {
                          NoUTurnSampler(standard_normal(1), start, parameters);
                        }),
                        parts);
      };
    refused([](auto &p) { p.warm_up = -1; }, {"warm-up", "-1", "integer"});
    refused([](auto &p) { p.samples = -1; }, {"samples", "-1"});
    refused([](auto &p) { p.target_acceptance = 1.; },
            {"target acceptance", "1.0", "0.999"});
    refused([](auto &p) { p.target_acceptance = std::nan(""); },
            {"target acceptance"});
    refused([](auto &p) { p.max_depth = 0; }, {"largest depth", "0"});
    refused([](auto &p) { p.max_energy_error = -1.; },
            {"largest energy error"});
    refused([](auto &p) { p.step_size = -1.; }, {"step size", "-1"});
    refused([](auto &p) { p.first_chain = -1; }, {"first chain", "-1"});
    refused([](auto &p) { p.metric = "full"; }, {"metric", "full"});
  }



  TEST(NoUTurnSampler, StartsWhereThereIsDensity)
  {
    const auto half    = density([](const double *x, double *g) {
      g[0] = x[0] > 5. ? infinity : -1.;
      return x[0] > 0. ? -x[0] : -infinity;
    });
    const auto message = [&](const torch::Tensor &start) {
      return message_of<InputError>(
        [&]() { NoUTurnSampler(half, start, numbers_of(1, 1)); });
    };
    expect_sentence(message(torch::tensor({{1.}, {-1.}}, torch::kFloat64)),
                    {"chain 1", "'-inf'", "finite"});
    expect_sentence(message(torch::tensor({{6.}, {1.}}, torch::kFloat64)),
                    {"chain 0", "gradient", "finite"});
    expect_sentence(message(torch::zeros({3}, torch::kFloat64)),
                    {"[3]", "[chains, d]"});
    expect_sentence(message(torch::zeros({0, 3}, torch::kFloat64)), {"[0, 3]"});
  }
} // namespace
