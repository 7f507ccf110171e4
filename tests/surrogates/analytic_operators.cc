// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/training/trainer.h>
#include <torch/utils.h>

#include "solution_operators.h"

// Learned operators against solution operators in closed form, on inputs that
// they have not seen and on a grid that they have not seen. Errors are means
// of relative L2 errors.

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  struct Errors
  {
    double same_grid, other_grid;
  };

  /** Train the Fourier operator on @p training, then measure. */
  Errors
  train_and_measure(const long            dim,
                    const nlohmann::json &parameters,
                    const OperatorData   &training,
                    const OperatorData   &fresh,
                    const OperatorData   &other_grid,
                    const double          learning_rate,
                    const long            epochs)
  {
    const auto single = torch::dtype(torch::kFloat32);
    const auto data   = training.to(single);
    const auto model  = std::make_shared<OperatorModel>(
      "Fourier", OperatorShape{1, 1, dim}, parameters, false, "test", 1);
    model->set_scales(data);
    Trainer::Parameters choices;
    choices.epochs        = epochs;
    choices.batch_size    = 16;
    choices.learning_rate = learning_rate;
    const auto loss =
      make_loss("relative L2", nlohmann::json::object(), "test", {});
    Trainer trainer(model, data, {}, loss, {}, choices);
    trainer.run(false);
    const Errors result = {trainer.evaluate(fresh.to(single)),
                           trainer.evaluate(other_grid.to(single))};
    testing::Test::RecordProperty("same_grid",
                                  std::to_string(result.same_grid));
    testing::Test::RecordProperty("other_grid",
                                  std::to_string(result.other_grid));
    return result;
  }

  nlohmann::json
  network(const long modes, const double padding)
  {
    return {{"width", 16},
            {"layers", 2},
            {"modes", modes},
            {"padding", padding},
            {"mixing layers", false}};
  }



  // −u″ + u = f
  TEST(AnalyticOperators, HelmholtzOnTheCircle)
  {
    const auto errors = train_and_measure(1,
                                          network(4, 0.),
                                          periodic_problems(64, 16, 71),
                                          periodic_problems(32, 16, 72),
                                          periodic_problems(32, 40, 73),
                                          1e-2,
                                          100);
    EXPECT_LT(errors.same_grid, 0.015);
    EXPECT_LT(errors.other_grid, 0.015);
  }



  /**
   * An operator that multiplies sin ωx by @p multiplier of ω, zero at both ends
   * of the interval. The period is no whole number of the other grid's
   * spacings.
   */
  void
  learn_on_the_interval(const std::function<double(const double)> &multiplier,
                        const std::uint64_t                        number)
  {
    const auto problems = [&](const long          n,
                              const long          s,
                              const std::uint64_t number) {
      return on_the_interval(n, interval_grid(s), 6, 0.5, {multiplier}, number);
    };
    const auto errors = train_and_measure(1,
                                          network(8, 0.25),
                                          problems(128, 29, number),
                                          problems(64, 29, number + 1),
                                          problems(64, 40, number + 2),
                                          1e-2,
                                          150);
    EXPECT_LT(errors.same_grid, 0.025);
    EXPECT_LT(errors.other_grid, 0.04);
  }



  // −u″ = f, u(0) = u(1) = 0
  TEST(AnalyticOperators, PoissonOnTheInterval)
  {
    learn_on_the_interval(
      [](const double omega) { return 1. / (omega * omega); }, 701);
  }



  // u_t = u_xx with u(0) = u(1) = 0, at the time 0.02, when sin πx has 82 % of
  // its height, sin 2πx 45 % and sin 6πx less than a thousandth.
  TEST(AnalyticOperators, HeatOnTheInterval)
  {
    learn_on_the_interval(
      [](const double omega) { return std::exp(-0.02 * omega * omega); }, 707);
  }



  TEST(AnalyticOperators, PoissonOnTheSquare)
  {
    const auto errors =
      train_and_measure(2,
                        network(4, 0.25),
                        poisson_on_the_square(128, 13, 3, 704),
                        poisson_on_the_square(64, 13, 3, 705),
                        poisson_on_the_square(64, 18, 3, 706),
                        1e-2,
                        120);
    EXPECT_LT(errors.same_grid, 0.04);
    EXPECT_LT(errors.other_grid, 0.06);
  }



  // u_t + c u_x = 0 on the circle: u(x − ct) with ct = 0.3.
  TEST(AnalyticOperators, AdvectionOnTheCircle)
  {
    const auto problems =
      [](const long n, const long s, const std::uint64_t number) {
        return on_the_circle(
          n,
          s,
          5,
          0.5,
          [](const double) { return 1.; },
          [](const double omega) { return 0.3 * omega; },
          number);
      };
    const auto errors = train_and_measure(1,
                                          network(6, 0.),
                                          problems(128, 32, 710),
                                          problems(64, 32, 711),
                                          problems(64, 48, 712),
                                          1e-2,
                                          100);
    EXPECT_LT(errors.same_grid, 0.015);
    EXPECT_LT(errors.other_grid, 0.015);
  }



  // The data themselves, by what the equations say: at random points, by
  // differences of the series.
  TEST(SolutionOperators, SolveTheirEquations)
  {
    const double h      = 1e-3;
    const auto   second = [h](const torch::Tensor &u) {
      return (u.select(2, 0) - 2. * u.select(2, 1) + u.select(2, 2)) / (h * h);
    };
    for (const double x : {0.2, 0.71})
      {
        const auto points  = torch::tensor({x - h, x, x + h}, torch::kFloat64);
        const auto poisson = on_the_interval(3,
                                             points,
                                             6,
                                             0.5,
                                             {[](const double omega) {
                                               return 1. / (omega * omega);
                                             }},
                                             713);
        EXPECT_LT(distance(-second(poisson.target),
                           poisson.input.fields.select(2, 1)),
                  1e-3);

        const double t = 0.02, dt = 1e-5;
        const auto   at = [](const double time) {
          return [time](const double omega) {
            return std::exp(-time * omega * omega);
          };
        };
        const auto heat = on_the_interval(
          3, points, 6, 0.5, {at(t - dt), at(t), at(t + dt), at(0.)}, 714);
        const auto u = [&](const long i) {
          return heat.target.slice(1, i, i + 1);
        };
        EXPECT_LT(distance((u(2) - u(0)).select(2, 1) / (2. * dt),
                           second(u(1))),
                  1e-2);
        EXPECT_LT(distance(u(3), heat.input.fields), 1e-14);
      }
    // At the ends there is nothing.
    EXPECT_LT(poisson_on_the_square(2, 11, 3, 715)
                .target.select(2, 0)
                .abs()
                .max()
                .item<double>(),
              1e-15);
    // On a fine grid of the square and of the circle.
    const auto square = poisson_on_the_square(2, 501, 3, 716);
    const auto part   = [](const torch::Tensor &u, const long i, const long j) {
      return u.slice(2, 100 + i, 103 + i).slice(3, 200 + j, 203 + j);
    };
    const auto &u       = square.target;
    const auto  laplace = (part(u, 1, 0) + part(u, -1, 0) + part(u, 0, 1) +
                          part(u, 0, -1) - 4. * part(u, 0, 0)) *
                         (500. * 500.);
    EXPECT_LT(distance(-laplace, part(square.input.fields, 0, 0)), 1e-3);

    // A shift by 30 of 100 points.
    const auto shifted = on_the_circle(
      4,
      100,
      5,
      0.5,
      [](const double) { return 1.; },
      [](const double omega) { return 0.3 * omega; },
      717);
    EXPECT_LT(distance(shifted.target, shifted.input.fields.roll({30}, {2})),
              1e-13);
    const auto  helmholtz = periodic_problems(4, 2000, 718);
    const auto &v         = helmholtz.target;
    EXPECT_LT(distance(-(v.roll({1}, {2}) - 2. * v + v.roll({-1}, {2})) *
                           (2000. * 2000.) +
                         v,
                       helmholtz.input.fields),
              1e-3);
  }
} // namespace
