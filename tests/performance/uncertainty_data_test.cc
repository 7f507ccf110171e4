// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/model_file.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <vector>

#include "../coupling/test_tools.h"
#include "burgers_field.h"
#include "darcy_field.h"
#include "data_test_tools.h"
#include "uncertainty_generator.h"

using namespace dealii;
using namespace neuraldeal;
using namespace neuraldeal::performance;
using namespace TestTools;

namespace
{
  double
  relative_error(const torch::Tensor &values, const torch::Tensor &reference)
  {
    EXPECT_EQ(values.sizes(), reference.sizes());
    return ((values - reference).norm() / reference.norm()).item<double>();
  }



  UncertaintySet
  set_called(const UncertaintyProblem &problem, const std::string &name)
  {
    for (const auto &set : problem.sets)
      if (set.name == name)
        return set;
    ADD_FAILURE() << "no set " << name;
    return {};
  }



  /** The points i / n, [n]. */
  torch::Tensor
  points(const std::int64_t n)
  {
    return torch::arange(n, torch::kFloat64) / double(n);
  }



  /** Covariances of the points of @p evaluate, which has @p n_xi inputs. */
  torch::Tensor
  covariance(
    const std::vector<std::int64_t>                           &shape,
    const std::function<torch::Tensor(const torch::Tensor &)> &evaluate)
  {
    std::vector<torch::Tensor> modes;
    auto                       xi = torch::zeros(shape, torch::kFloat64);
    for (std::int64_t i = 0; i < xi.numel(); ++i)
      {
        xi.zero_();
        xi.view(-1)[i] = 1.;
        modes.push_back(evaluate(xi).flatten());
      }
    const auto all = torch::stack(modes);
    return torch::mm(all.t(), all);
  }



  /** ∑ 1 / (π² k² + s²)² over k = 0, 1, …. */
  double
  half_sum(const double s)
  {
    const double whole =
      (1. / std::tanh(s) / (s * s) + 1. / (s * std::pow(std::sinh(s), 2))) /
      (2. * s);
    return 0.5 * (whole + std::pow(s, -4));
  }



  TEST(DarcyField, MeanVarianceIsThatOfTheOperator)
  {
    for (const double tau : {3., 12.})
      {
        double sum = -std::pow(tau, -4); // the constant is left out
        for (unsigned int k = 0; k < 20000; ++k)
          sum += half_sum(std::hypot(pi * k, tau));
        // What the modes from 64 on have, in a quarter of the plane, and no
        // more than twice that: π / (4 · 64² π⁴)
        const double rest = 1. / (4. * 64. * 64. * std::pow(pi, 3));
        const double mean = DarcyField(64, tau).mean_variance();
        EXPECT_LT(mean, sum);
        EXPECT_GT(mean, sum - 2. * rest);
        EXPECT_GT(sum, 100. * rest);
      }
  }



  // In the middle of the square, 6 and more correlation lengths from its
  // boundary, this is the field on the plane: Whittle's covariance r/(4πτ)
  // K₁(τr).
  TEST(DarcyField, CorrelationIsWhittles)
  {
    const double       tau = 16.;
    const unsigned int n   = 40;
    const DarcyField   field(n, tau);
    // K₁(z) = ∫ exp(−z cosh t) cosh t dt over t > 0
    const auto bessel = [](const double z) {
      double       sum  = 0.5 * std::exp(-z);
      const double step = 0.02;
      for (double t = step; t < 12.; t += step)
        sum += std::exp(-z * std::cosh(t)) * std::cosh(t);
      return step * sum;
    };
    ASSERT_NEAR(bessel(1.), 0.60190723019723, 1e-12);
    const auto   covariances = covariance({n, n}, [&](const torch::Tensor &xi) {
      return field.evaluate(xi)[n / 2];
    });
    const double variance    = 1. / (4. * pi * tau * tau);
    // What the modes from n on have of the variance: τ² / (πn)²
    const double tolerance = variance * std::pow(tau / (pi * n), 2);
    for (unsigned int i = 1; i <= 4; ++i)
      EXPECT_NEAR(covariances[n / 2][n / 2 + i].item<double>() +
                    std::pow(tau, -4),
                  variance * tau * i / n * bessel(tau * i / n),
                  tolerance);
    EXPECT_NEAR(covariances[n / 2][n / 2].item<double>() + std::pow(tau, -4),
                variance,
                tolerance);
    EXPECT_LT(tolerance, 0.02 * variance);
  }



  TEST(DarcyField, NormalisedVarianceIsExact)
  {
    const unsigned int n = 12;
    for (const double tau : {3., 12.})
      {
        DarcyField   field(n, tau);
        const auto   before   = field.sample(1, 2);
        const double variance = field.mean_variance();
        EXPECT_LT(variance, 0.1);
        field.normalise(4.);
        EXPECT_NEAR(field.mean_variance(), 4., 1e-13);
        EXPECT_NEAR(covariance({n, n},
                               [&](const torch::Tensor &xi) {
                                 return field.evaluate(xi);
                               })
                      .diagonal()
                      .mean()
                      .item<double>(),
                    4.,
                    1e-12);
        // ... and it is the same field otherwise.
        EXPECT_LT(distance(field.sample(1, 2),
                           std::sqrt(4. / variance) * before),
                  1e-13);
      }
  }



  TEST(DarcyCoefficient, ContrastIsAboutTheGeometricMean)
  {
    EXPECT_EQ(darcy_values()[0], 3.);
    EXPECT_EQ(darcy_values()[1], 12.);
    const auto field = torch::tensor({{-1., 2.}, {0., -3.}}, torch::kFloat64);
    for (const double contrast : {1., 1.25, 3.})
      {
        const auto values = darcy_coefficient(field, contrast);
        for (unsigned int i = 0; i < 2; ++i)
          for (unsigned int j = 0; j < 2; ++j)
            EXPECT_NEAR(std::log(values[i][j].item<double>() / 6.),
                        (i == j ? -1. : 1.) * contrast * std::log(2.),
                        1e-14);
        const auto batch = values.unsqueeze(0);
        EXPECT_LT(distance(unpack_coefficient(pack_coefficient(batch),
                                              2,
                                              darcy_values(contrast)),
                           batch),
                  1e-5);
      }
  }



  TEST(PeriodicField, EvaluatesTheSeries)
  {
    const double        tau = 2., deviation = 3.;
    const PeriodicField field(4, tau, deviation);
    double              variance = 0.;
    const auto          weight   = [&](const unsigned int k) {
      return 1. / (4. * pi * pi * k * k + tau * tau);
    };
    for (unsigned int k = 0; k < 4; ++k)
      variance += (k == 0 ? 1. : 2.) * weight(k) * weight(k);
    const auto xi =
      torch::tensor({0.5, 0., 0., -1., 0., 0., 2.}, torch::kFloat64);
    const auto values = field.evaluate(xi, 10);
    for (unsigned int i = 0; i < 10; ++i)
      EXPECT_NEAR(values[i].item<double>(),
                  deviation / std::sqrt(variance) *
                    (0.5 * weight(0) -
                     std::sqrt(2.) * weight(2) * std::cos(0.4 * pi * i) +
                     2. * std::sqrt(2.) * weight(3) * std::sin(0.6 * pi * i)),
                  1e-13);
  }



  TEST(PeriodicField, CovarianceIsThatOfTheOperator)
  {
    for (const double tau : {5., 20.})
      {
        // −1/(2τ) d/dτ of the Green's function of −d²/dx² + τ²
        const auto exact = [tau](const double r) {
          const double c = 0.5 - r, s = std::sinh(tau / 2.);
          return (std::cosh(tau * c) * (2. * s + tau * std::cosh(tau / 2.)) -
                  c * std::sinh(tau * c) * 2. * tau * s) /
                 (std::pow(2. * tau * s, 2) * 2. * tau);
        };
        const PeriodicField field(64, tau, 0.5);
        const unsigned int  n = 20;
        const auto          covariances =
          covariance({127}, [&](const torch::Tensor &xi) {
            return field.evaluate(xi, n);
          });
        // The frequencies from 64 on are left out.
        const double rest =
          0.25 * 2. / (3. * std::pow(2. * pi, 4) * std::pow(63., 3)) / exact(0);
        for (unsigned int i = 0; i < n; ++i)
          {
            EXPECT_NEAR(covariances[i][i].item<double>(), 0.25, 1e-14);
            for (unsigned int j = 0; j <= i; ++j)
              EXPECT_NEAR(covariances[i][j].item<double>(),
                          0.25 * exact(1. * (i - j) / n) / exact(0),
                          2. * rest);
          }
        EXPECT_LT(rest, 1e-4);
      }
  }



  TEST(PeriodicField, MorePointsSeeTheSameField)
  {
    const PeriodicField field(64, 5., 0.5);
    const auto          fine = field.sample(3, 4, 1024);
    using at::indexing::Slice;
    const auto none = at::indexing::None;
    EXPECT_LT(distance(fine.index({Slice(none, none, 8)}),
                       field.sample(3, 4, 128)),
              1e-12);
    EXPECT_GT(distance(field.sample(3, 5, 128), field.sample(3, 4, 128)), 0.01);
    EXPECT_GT(distance(field.sample(4, 4, 128), field.sample(3, 4, 128)), 0.01);
  }



  /**
   * A solution by the transform of Cole and Hopf, u = c − 2ν φ_x / φ with φ
   * from the heat equation and x − ct in place of x: a front that steepens,
   * and moves along.
   */
  torch::Tensor
  exact_solution(const std::int64_t n, const double nu, const double t)
  {
    const double c = 0.4;
    const auto   x = 2. * pi * (points(n) - c * t);
    const double a = 0.9 * std::exp(-4. * pi * pi * nu * t),
                 b = 0.08 * std::exp(-16. * pi * pi * nu * t);
    const auto phi = 1. + a * x.cos() + b * (2. * x).sin();
    return c -
           2. * nu * 2. * pi * (-a * x.sin() + 2. * b * (2. * x).cos()) / phi;
  }



  TEST(BurgersProblem, ConvergesToASolutionByColeAndHopf)
  {
    const double        nu = 0.02;
    std::vector<double> errors;
    for (const unsigned int n : {32, 64, 128})
      {
        const auto initial = exact_solution(2 * n, nu, 0.);
        const auto u       = BurgersProblem(n, nu).solve(initial, 2, 0.25, n);
        // Both times at once: the front is steeper at the first one.
        errors.push_back(
          relative_error(u,
                         torch::stack({exact_solution(2 * n, nu, 0.25),
                                       exact_solution(2 * n, nu, 0.5)})));
        EXPECT_GT(relative_error(u[1], initial), 0.2);
      }
    EXPECT_LT(errors[2], 1e-6);
    for (unsigned int i = 0; i < 2; ++i)
      EXPECT_GT(std::log2(errors[i] / errors[i + 1]), 2.8) << errors[i];
  }



  TEST(BurgersProblem, StepsAreOfOrderThree)
  {
    const double        nu      = 0.02;
    const auto          initial = exact_solution(128, nu, 0.);
    BurgersProblem      problem(64, nu);
    const auto          reference = problem.solve(initial, 1, 0.5, 2048);
    std::vector<double> errors;
    for (const unsigned int n_steps : {64, 128, 256})
      errors.push_back(
        relative_error(problem.solve(initial, 1, 0.5, n_steps), reference));
    for (unsigned int i = 0; i < 2; ++i)
      EXPECT_NEAR(std::log2(errors[i] / errors[i + 1]), 3., 0.3) << errors[i];
  }



  TEST(BurgersProblem, ConservesMassAndLosesEnergy)
  {
    const unsigned int n = 64;
    BurgersProblem     problem(n);
    const auto         initial = PeriodicField(20, 5., 0.5).sample(1, 1, 2 * n);
    // Simpson's rule is exact for it: the mean is that of the nodes.
    EXPECT_NEAR(problem.mass(initial), initial.mean().item<double>(), 1e-14);
    EXPECT_GT(std::abs(problem.mass(initial)), 0.01);
    const auto u      = problem.solve(initial, 5, 0.2);
    double     energy = initial.square().sum().item<double>();
    for (unsigned int i = 0; i < 5; ++i)
      {
        EXPECT_NEAR(problem.mass(u[i]), problem.mass(initial), 1e-13);
        const double next = u[i].square().sum().item<double>();
        EXPECT_LT(next, energy);
        energy = next;
      }
  }



  TEST(BurgersProblem, KnowsNoPlaceOfItsOwn)
  {
    // What is moved along the interval stays so, also over its end.
    const unsigned int n = 32;
    BurgersProblem     problem(n);
    const auto         initial = PeriodicField(10, 5., 0.5).sample(1, 2, 2 * n);
    const auto         u       = problem.solve(initial, 2, 0.1);
    EXPECT_LT(distance(problem.solve(initial.roll(10, 0), 2, 0.1),
                       u.roll(10, 1)),
              1e-12);
    EXPECT_GT(distance(u.roll(10, 1), u), 0.1);
    EXPECT_EQ(distance(problem.solve(initial, 2, 0.1), u), 0.);
  }



  /**
   * Solutions at the times 0.1, …, 1 from the values @p initial [n] in the
   * points alone, by Fourier series and the transform of Cole and Hopf: no
   * mesh and no steps.
   */
  torch::Tensor
  cole_hopf(const torch::Tensor &initial, const double nu)
  {
    const std::int64_t n = initial.size(0), m = 2048;
    const auto angles = [](const torch::Tensor &x, const std::int64_t k) {
      return torch::outer(x, torch::arange(1, k, torch::kFloat64)) * (2. * pi);
    };
    const auto frequencies = [](const std::int64_t k) {
      return torch::arange(1, k, torch::kFloat64) * (2. * pi);
    };
    // The integral of u(0) less its mean, at m points
    const auto at_points = angles(points(n), n / 2);
    const auto cosines   = torch::mv(at_points.cos().t(), initial) * (2. / n),
               sines     = torch::mv(at_points.sin().t(), initial) * (2. / n);
    const double mean    = initial.mean().item<double>();
    const auto   finer   = angles(points(m), n / 2);
    const auto integral = torch::mv(finer.sin(), cosines / frequencies(n / 2)) -
                          torch::mv(finer.cos(), sines / frequencies(n / 2));
    // exp(−U / 2ν) and what heat conduction makes of it
    const std::int64_t K   = 400;
    const auto         phi = (-integral / (2. * nu)).exp();
    const auto         all = angles(points(m), K);
    const auto         a   = torch::mv(all.cos().t(), phi) * (2. / m),
               b           = torch::mv(all.sin().t(), phi) * (2. / m);
    std::vector<torch::Tensor> result;
    for (unsigned int i = 1; i <= 10; ++i)
      {
        const double t     = 0.1 * i;
        const auto   moved = angles(points(n) - mean * t, K);
        const auto   decay = (-nu * t * frequencies(K).square()).exp();
        const auto   value = phi.mean() + torch::mv(moved.cos(), a * decay) +
                           torch::mv(moved.sin(), b * decay);
        const auto slope = torch::mv(moved.cos(), b * decay * frequencies(K)) -
                           torch::mv(moved.sin(), a * decay * frequencies(K));
        result.push_back(mean - 2. * nu * slope / value);
      }
    return torch::stack(result);
  }



  TEST(UncertaintyGenerator, BurgersSamplesAgreeWithColeAndHopf)
  {
    const auto           problem = UncertaintyProblem::by_name("burgers");
    UncertaintyGenerator generator(problem);
    for (const std::string name : {"training", "shorter 0.25", "larger 1.5"})
      {
        const auto sample = generator.solve(set_called(problem, name), 1);
        EXPECT_LT(relative_error(sample.solution,
                                 cole_hopf(sample.input[0], 0.01)),
                  1e-6)
          << name;
        EXPECT_GT(relative_error(sample.solution[9], sample.input[0]), 0.1);
      }
  }



  TEST(UncertaintyGenerator, LogNormalInputsHaveTheirVarianceAndLength)
  {
    const std::int64_t n         = 16;
    const unsigned int n_samples = 400;
    auto               problem   = UncertaintyProblem::by_name("log-normal");
    problem.n_cells              = n;
    const UncertaintyGenerator generator(problem);
    const auto                 mode = [](const unsigned int k) {
      const auto x = (torch::arange(n, torch::kFloat64) + 0.5) / double(n);
      return k == 0 ? torch::ones_like(x) : std::sqrt(2.) * (pi * k * x).cos();
    };
    struct Expected
    {
      std::string name;
      double      tau, sigma;
    };
    for (const auto &[name, tau, sigma] :
         std::vector<Expected>{{"training", 3., 1.},
                               {"held-out", 3., 1.},
                               {"shorter 0.6", 5., 1.},
                               {"shorter 0.25", 12., 1.},
                               {"larger 3", 3., 3.}})
      {
        // Of all modes and of the three slowest ones, means and variances of
        // the sums of squares of normal numbers
        double all = 0., slow = 0., all_square = 0., slow_square = 0.;
        for (unsigned int k = 0; k < n; ++k)
          for (unsigned int l = 0; l < n; ++l)
            if (k + l > 0)
              {
                const double variance =
                  std::pow(pi * pi * (k * k + l * l) + tau * tau, -2);
                all += variance;
                all_square += 2. * variance * variance;
                if (std::max(k, l) <= 1)
                  {
                    slow += variance;
                    slow_square += 2. * variance * variance;
                  }
              }
        const double scale    = sigma * sigma / all;
        double       mean_all = 0., mean_slow = 0.;
        const auto   set = set_called(problem, name);
        for (unsigned int i = 0; i < n_samples; ++i)
          {
            const auto field = generator.draw(set, i).log();
            mean_all += field.square().mean().item<double>() / n_samples;
            for (const unsigned int k : {0, 1})
              for (const unsigned int l : {0, 1})
                mean_slow += std::pow((field * torch::outer(mode(k), mode(l)))
                                        .mean()
                                        .item<double>(),
                                      2) /
                             n_samples;
          }
        EXPECT_NEAR(mean_all,
                    scale * all,
                    4. * scale * std::sqrt(all_square / n_samples))
          << name;
        EXPECT_NEAR(mean_slow,
                    scale * slow,
                    4. * scale * std::sqrt(slow_square / n_samples))
          << name;
        EXPECT_NEAR(scale * all, sigma * sigma, 1e-12);
      }
  }



  // Where coefficients vary by many orders of magnitude, a small residual might
  // not mean much.
  TEST(UncertaintyGenerator, SolvesAgreeWithADirectSolverAtAnyContrast)
  {
    const auto           problem = UncertaintyProblem::by_name("log-normal");
    const auto           set     = set_called(problem, "larger 3");
    UncertaintyGenerator generator(problem);
    DarcyProblem         darcy(64);
    for (unsigned int i = 0; i < 4; ++i)
      {
        const auto a = generator.draw(set, i);
        EXPECT_GT((a.max() / a.min()).item<double>(), 1e4);
        const auto solution =
          darcy.solve(a, DarcyProblem::Preconditioner::algebraic_multigrid);
        // The load 1 on squares: h² in each vertex within
        Vector<double> load(65 * 65), direct(65 * 65);
        for (unsigned int row = 1; row < 64; ++row)
          for (unsigned int column = 1; column < 64; ++column)
            load(65 * row + column) = 1. / (64. * 64.);
        SparseDirectUMFPACK inverse;
        inverse.initialize(darcy.matrix());
        inverse.vmult(direct, load);
        const auto reference =
          torch::from_blob(direct.begin(), {65, 65}, torch::kFloat64);
        EXPECT_LT(relative_error(solution, reference), 1e-8) << i;
        EXPECT_LT(relative_error(generator.solve(set, i).solution[0],
                                 evaluate_at_centres(reference, 64, 1)),
                  1e-8)
          << i;
      }
  }



  TEST(UncertaintyGenerator, DarcyInputsHaveTheirLengthAndContrast)
  {
    auto problem    = UncertaintyProblem::by_name("darcy");
    problem.n_cells = 20;
    const UncertaintyGenerator generator(problem);
    const auto                 expect =
      [&](const std::string &name, const double tau, const double factor) {
        const auto set = set_called(problem, name);
        EXPECT_LT(distance(generator.draw(set, 7),
                           darcy_coefficient(
                             DarcyField(20, tau).sample(set.seed, 7), factor)),
                  1e-13);
      };
    expect("training", 3., 1.);
    expect("shorter 0.4", 7.5, 1.);
    expect("larger 2", 3., 2.);
    const auto widest = generator.draw(set_called(problem, "larger 3"), 1);
    EXPECT_EQ(widest.max().item<double>(), 48.);
    EXPECT_EQ(widest.min().item<double>(), 0.75);
  }



  TEST(UncertaintyGenerator, BurgersInputsHaveTheirLengthAndSize)
  {
    const auto                 problem = UncertaintyProblem::by_name("burgers");
    const UncertaintyGenerator generator(problem);
    const auto                 expect =
      [&](const std::string &name, const double tau, const double deviation) {
        const auto set = set_called(problem, name);
        EXPECT_LT(
          distance(generator.draw(set, 7),
                   PeriodicField(64, tau, deviation).sample(set.seed, 7, 1024)),
          1e-13);
      };
    expect("training", 5., 0.5);
    expect("shorter 0.25", 20., 0.5);
    expect("larger 3", 5., 1.5);
  }



  TEST(UncertaintyProblem, SetsAreAsPromised)
  {
    std::set<std::uint64_t> seeds;
    for (const std::string name : {"darcy", "log-normal", "burgers"})
      {
        const auto problem = UncertaintyProblem::by_name(name);
        ASSERT_EQ(problem.sets.size(), 10u);
        for (const auto &set : problem.sets)
          EXPECT_TRUE(seeds.insert(set.seed).second) << set.name;
        EXPECT_EQ(set_called(problem, "training").n_samples,
                  name == "burgers" ? 250 : 1024);
        EXPECT_EQ(set_called(problem, "held-out").n_samples, 600);
        EXPECT_FALSE(set_called(problem, "held-out").is_shifted());
        const auto shifted = problem.sets_of_file(true);
        ASSERT_EQ(shifted.size(), 8u);
        for (const auto &set : shifted)
          {
            EXPECT_EQ(set.n_samples, 100);
            EXPECT_EQ(set.length_factor() * set.amplitude_factor(), set.factor);
            EXPECT_EQ(to_string(set.kind) + " " +
                        set.name.substr(set.name.find(' ') + 1),
                      set.name);
            EXPECT_EQ(std::stod(set.name.substr(set.name.find(' '))),
                      set.factor);
            EXPECT_EQ(set.length_factor() < 1., set.factor < 1.);
          }
      }
    expect_sentence(message_of([]() { UncertaintyProblem::by_name("stokes"); }),
                    {"stokes", "darcy", "log-normal", "burgers"});
  }



  /** Few samples on few cells, and blocks that do not end with the sets. */
  UncertaintyProblem
  small_problem(const std::string &name)
  {
    auto problem       = UncertaintyProblem::by_name(name);
    problem.n_cells    = 10;
    problem.n_points   = 10;
    problem.block_size = 3;
    problem.sets       = {set_called(problem, "training"),
                          set_called(problem, "held-out"),
                          set_called(problem, "shorter 0.6"),
                          set_called(problem, "larger 2")};
    for (auto &set : problem.sets)
      set.n_samples = 2;
    problem.sets[0].n_samples = 3;
    return problem;
  }



  TEST(UncertaintyGenerator, SamplesAreTheSameOnAnyNumberOfRanks)
  {
    for (const std::string name : {"darcy", "log-normal", "burgers"})
      {
        const ScratchFolder  folder;
        const ProcessGroups  ranks(MPI_COMM_WORLD, 1, "the test");
        const auto           problem = small_problem(name);
        UncertaintyGenerator generator(problem);
        generator.write(folder / "new", ranks);
        EXPECT_EQ(Utilities::MPI::sum(generator.n_solved, MPI_COMM_WORLD), 9);
        MPI_Barrier(MPI_COMM_WORLD);
        EXPECT_EQ(files_in(folder / "new").size(), 2);

        const auto data = UncertaintyData::read(folder / "new", name);
        EXPECT_EQ(data.name, name);
        ASSERT_EQ(data.sets.size(), problem.sets.size());
        for (unsigned int s = 0; s < data.sets.size(); ++s)
          {
            const auto &set = data.sets[s], &there = data.set(set.name);
            EXPECT_EQ(&set, &there);
            EXPECT_EQ(set.name, problem.sets[s].name);
            EXPECT_EQ(set.kind, problem.sets[s].kind);
            EXPECT_EQ(set.factor, problem.sets[s].factor);
            EXPECT_EQ(set.seed, problem.sets[s].seed);
            EXPECT_GT(set.seconds, 0.);
            ASSERT_EQ(set.input.size(0), problem.sets[s].n_samples);
            ASSERT_EQ(set.solution.size(0), problem.sets[s].n_samples);
            EXPECT_EQ(set.input.scalar_type(), torch::kFloat32);
            EXPECT_EQ(set.solution.scalar_type(), torch::kFloat32);
            // All of it on this rank alone, the last one first.
            UncertaintyGenerator alone(problem);
            for (int i = set.n_samples - 1; i >= 0; --i)
              {
                const auto   sample = alone.solve(set, i);
                const double size = sample.solution.abs().max().item<double>();
                EXPECT_EQ(distance(set.input[i],
                                   sample.input.to(torch::kFloat32)),
                          0.);
                EXPECT_LT(distance(set.solution[i], sample.solution),
                          2e-7 * size);
              }
          }
        EXPECT_EQ(data.sets[0].input.sizes().slice(1).vec(),
                  problem.input_shape());
        EXPECT_EQ(data.sets[0].solution.sizes().slice(1).vec(),
                  problem.solution_shape());
        expect_sentence(message_of([&]() { data.set("shorter 0.5"); }),
                        {name, "shorter 0.5", "shorter 0.6", "larger 2"});
      }
  }



  TEST(UncertaintyGenerator, BurgersKeepsWhatIsInThePoints)
  {
    auto problem     = small_problem("burgers");
    problem.n_cells  = 40;
    problem.n_points = 16;
    UncertaintyGenerator generator(problem);
    const auto           set      = problem.sets[2];
    const auto           sample   = generator.solve(set, 1);
    const auto           nodal    = generator.draw(set, 1);
    const auto           solution = BurgersProblem(40).solve(nodal, 10, 0.1);
    ASSERT_EQ(sample.input.sizes().vec(), (std::vector<std::int64_t>{1, 16}));
    ASSERT_EQ(sample.solution.sizes().vec(),
              (std::vector<std::int64_t>{10, 16}));
    for (unsigned int i = 0; i < 16; ++i)
      {
        EXPECT_EQ(sample.input[0][i].item<double>(),
                  nodal[5 * i].item<double>());
        for (unsigned int t = 0; t < 10; ++t)
          EXPECT_EQ(sample.solution[t][i].item<double>(),
                    solution[t][5 * i].item<double>());
      }
  }



  TEST(UncertaintyGenerator, GoesOnWhereItWas)
  {
    const ScratchFolder folder;
    const ProcessGroups ranks(MPI_COMM_WORLD, 1, "the test");
    const auto          problem = small_problem("burgers");
    UncertaintyGenerator(problem).write(folder.path, ranks);
    const auto whole = UncertaintyData::read(folder.path, "burgers");
    MPI_Barrier(MPI_COMM_WORLD);
    if (ranks.is_root())
      std::filesystem::remove(problem.filename(folder.path, true));
    MPI_Barrier(MPI_COMM_WORLD);
    UncertaintyGenerator again(problem);
    again.write(folder.path, ranks);
    EXPECT_EQ(Utilities::MPI::sum(again.n_solved, MPI_COMM_WORLD), 4);
    MPI_Barrier(MPI_COMM_WORLD);
    const auto data = UncertaintyData::read(folder.path, "burgers");
    for (unsigned int s = 0; s < 4; ++s)
      {
        EXPECT_EQ(distance(data.sets[s].input, whole.sets[s].input), 0.);
        EXPECT_EQ(distance(data.sets[s].solution, whole.sets[s].solution), 0.);
      }

    // Blocks of other sets are refused.
    const auto name = problem.filename(folder.path, true);
    if (ranks.is_root())
      {
        std::filesystem::remove(name);
        std::filesystem::create_directories(name + ".tmp/full");
      }
    MPI_Barrier(MPI_COMM_WORLD);
    message_of(
      [&]() { UncertaintyGenerator(problem).write(folder.path, ranks); });
    auto other = problem;
    other.sets[3].seed += 1;
    expect_sentence(message_of([&]() {
                      UncertaintyGenerator(other).write(folder.path, ranks);
                    }),
                    {"0.safetensors", "burgers"});
  }



  TEST(UncertaintyData, MistakesAreSentences)
  {
    const ScratchFolder folder;
    const ProcessGroups ranks(MPI_COMM_WORLD, 1, "the test");
    const auto          problem = small_problem("darcy");
    UncertaintyGenerator(problem).write(folder.path, ranks);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank() > 0)
      return;
    const auto name = problem.filename(folder.path, true);
    const auto read = [&](const std::string &problem) {
      return message_of([&]() { UncertaintyData::read(folder.path, problem); });
    };
    EXPECT_EQ(read("darcy"), "");
    expect_sentence(read("stokes"), {"stokes", "log-normal"});
    expect_sentence(read("burgers"), {"uncertainty-burgers-training"});

    // One thing at a time is wrong.
    const auto whole  = ModelFile::read(name);
    const auto expect = [&](const std::function<void(ModelFile & file)> &damage,
                            std::vector<std::string> words) {
      auto file = whole;
      damage(file);
      file.write(name);
      words.push_back(name);
      expect_sentence(read("darcy"), words);
    };
    expect([](ModelFile &file) { file.metadata.erase("sets"); }, {"sets"});
    expect([](ModelFile &file) { file.metadata["problem"] = "burgers"; },
           {"darcy", "burgers"});
    expect([](ModelFile &file) { file.metadata["sets"][1].erase("factor"); },
           {"entry 1", "factor"});
    expect([](ModelFile &file) { file.metadata["sets"][0]["kind"] = "longer"; },
           {"entry 0", "longer", "shorter"});
    expect([](ModelFile &file) { file.metadata["sets"][0]["samples"] = 0; },
           {"entry 0", "samples"});
    expect([](ModelFile &file) { file.metadata["sets"][0]["factor"] = -1.; },
           {"entry 0", "factor"});
    expect([](ModelFile &file) { file.metadata["sets"][1]["samples"] = 3; },
           {"input"});
    expect([](ModelFile &file) { file.metadata["n_points"] = 11; }, {"input"});
    expect([](ModelFile &file) { file.metadata["n_points"] = 1u << 31; },
           {"n_points"});
    expect(
      [](ModelFile &file) {
        file.metadata["sets"][1]["samples"] = std::int64_t(1) << 62;
      },
      {"entry 1", "samples"});
    expect([](ModelFile &file) { file.metadata["sets"][1].erase("values"); },
           {"larger 2", "values"});
    expect([](ModelFile &file) { file.tensors.erase("solution"); },
           {"solution"});
    expect(
      [](ModelFile &file) {
        file.tensors["solution"] = file.tensors["solution"].to(torch::kFloat64);
      },
      {"solution"});
    whole.write(name);
    EXPECT_EQ(read("darcy"), "");

    // A byte that changed, and an end that is lost
    {
      std::fstream file(name, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(-5, std::ios::end);
      file.put('x');
    }
    expect_sentence(read("darcy"), {name});
    whole.write(name);
    std::filesystem::resize_file(name, std::filesystem::file_size(name) - 100);
    expect_sentence(read("darcy"), {name});
    std::filesystem::remove(name);
    expect_sentence(read("darcy"), {name});
  }
} // namespace
