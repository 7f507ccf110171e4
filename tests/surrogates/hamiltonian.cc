// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/hamiltonian.h>

#include <cmath>
#include <limits>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** −log π = ¼ |q|⁴ + ½ q_0 q_1 + cosh q_0, with no symmetry to speak of. */
  LogDensityValue
  quartic(const torch::Tensor &q)
  {
    const double x = q[0].item<double>(), y = q[1].item<double>();
    const double r = x * x + y * y;
    return {-(0.25 * r * r + 0.5 * x * y + std::cosh(x)),
            torch::tensor({-(r * x + 0.5 * y + std::sinh(x)),
                           -(r * y + 0.5 * x)},
                          torch::kFloat64)};
  }



  LogDensityValue
  normal(const torch::Tensor &q)
  {
    return {-0.5 * q.dot(q).item<double>(), -q};
  }



  torch::Tensor
  dense_covariance()
  {
    return torch::tensor({{2., -0.9}, {-0.9, 0.7}}, torch::kFloat64);
  }



  /** Some point with a momentum. */
  PhasePoint
  some_point(const Hamiltonian &hamiltonian)
  {
    return hamiltonian.with_momentum(
      hamiltonian.at_rest(torch::tensor({0.3, -0.8}, torch::kFloat64)),
      {0.7, 0.4});
  }



  TEST(Hamiltonian, EnergyIsThatOfItsParts)
  {
    Hamiltonian hamiltonian(quartic, 2);
    ASSERT_TRUE(hamiltonian.metric.set_covariance(dense_covariance()));
    const auto point = some_point(hamiltonian);
    const auto p     = torch::tensor({0.7, 0.4}, torch::kFloat64);
    const auto v     = torch::mv(dense_covariance(), p);
    EXPECT_NEAR(point.velocity[0], v[0].item<double>(), 1e-15);
    EXPECT_NEAR(point.velocity[1], v[1].item<double>(), 1e-15);
    EXPECT_NEAR(point.energy,
                0.5 * p.dot(v).item<double>() - quartic(point.position).value,
                1e-15);
    EXPECT_EQ(hamiltonian.n_evaluations(), 1);
  }



  TEST(Hamiltonian, StepsAreReversible)
  {
    for (const auto &covariance :
         {torch::tensor({2., 0.3}, torch::kFloat64), dense_covariance()})
      {
        Hamiltonian hamiltonian(quartic, 2);
        ASSERT_TRUE(hamiltonian.metric.set_covariance(covariance));
        const auto start = some_point(hamiltonian);

        auto end = start;
        for (unsigned int i = 0; i < 50; ++i)
          end = hamiltonian.leapfrog(end, 0.11);
        EXPECT_GT(distance(end.position, start.position), 0.1);

        // by steps back in time, and with the momentum turned around
        auto back = end;
        auto turned =
          hamiltonian.with_momentum(end, {-end.momentum[0], -end.momentum[1]});
        for (unsigned int i = 0; i < 50; ++i)
          {
            back   = hamiltonian.leapfrog(back, -0.11);
            turned = hamiltonian.leapfrog(turned, 0.11);
          }
        EXPECT_LT(distance(back.position, start.position), 1e-11);
        EXPECT_LT(distance(turned.position, start.position), 1e-11);
        for (unsigned int i = 0; i < 2; ++i)
          {
            EXPECT_NEAR(back.momentum[i], start.momentum[i], 1e-11);
            EXPECT_NEAR(turned.momentum[i], -start.momentum[i], 1e-11);
          }
      }
  }



  TEST(Hamiltonian, EnergyErrorIsOfSecondOrder)
  {
    Hamiltonian hamiltonian(quartic, 2);
    ASSERT_TRUE(hamiltonian.metric.set_covariance(dense_covariance()));
    const auto start = some_point(hamiltonian);

    const auto error_after_one = [&](const unsigned int n_steps) {
      auto point = start;
      for (unsigned int i = 0; i < n_steps; ++i)
        point = hamiltonian.leapfrog(point, 1. / n_steps);
      return point.energy - start.energy;
    };
    for (const unsigned int n : {20, 40, 80})
      EXPECT_NEAR(error_after_one(n) / error_after_one(2 * n),
                  4.,
                  400. / (n * n));
  }



  // For the oscillator the method keeps p² + q² (1 − h²/4) exactly.
  TEST(Hamiltonian, OscillatorKeepsItsModifiedEnergy)
  {
    const Hamiltonian hamiltonian(normal, 1);
    const double      h     = 1.3;
    auto              point = hamiltonian.with_momentum(
      hamiltonian.at_rest(torch::tensor({0.4}, torch::kFloat64)), {0.9});
    const auto modified = [h](const PhasePoint &point) {
      const double q = point.position.item<double>();
      return point.momentum[0] * point.momentum[0] + q * q * (1. - h * h / 4.);
    };
    const double before = modified(point), energy = point.energy;
    double       largest_error = 0;
    for (unsigned int i = 0; i < 100; ++i)
      {
        point = hamiltonian.leapfrog(point, h);
        EXPECT_NEAR(modified(point), before, 1e-13);
        largest_error =
          std::max(largest_error, std::abs(point.energy - energy));
      }
    // which is another one than the energy
    EXPECT_GT(largest_error, 0.05);
  }



  // The determinant of the map from (q, p) to (q, p) is one.
  TEST(Hamiltonian, StepsPreserveVolumes)
  {
    Hamiltonian hamiltonian(quartic, 2);
    ASSERT_TRUE(hamiltonian.metric.set_covariance(dense_covariance()));
    const auto map = [&](const torch::Tensor &z) {
      const auto point = hamiltonian.leapfrog(
        hamiltonian.with_momentum(hamiltonian.at_rest(z.slice(0, 0, 2).clone()),
                                  {z[2].item<double>(), z[3].item<double>()}),
        0.4);
      return torch::cat(
        {point.position, torch::tensor(point.momentum, torch::kFloat64)});
    };
    const auto z = torch::tensor({0.3, -0.8, 0.7, 0.4}, torch::kFloat64);
    std::vector<torch::Tensor> columns;
    for (long i = 0; i < 4; ++i)
      {
        auto plus = z.clone(), minus = z.clone();
        plus[i] += 1e-5;
        minus[i] -= 1e-5;
        columns.push_back((map(plus) - map(minus)) / 2e-5);
      }
    const auto jacobian = torch::stack(columns, 1);
    EXPECT_NEAR(at::linalg_det(jacobian).item<double>(), 1., 1e-8);
    EXPECT_GT(distance(jacobian, torch::eye(4, torch::kFloat64)), 0.1);
  }



  // Momenta have the inverse of Σ as covariance.
  TEST(Metric, DrawsMomenta)
  {
    const long n = 20000;
    for (const auto &covariance :
         {torch::tensor({4., 0.25}, torch::kFloat64), dense_covariance()})
      {
        Metric metric(2);
        ASSERT_TRUE(metric.set_covariance(covariance));
        CounterRandom random(7, CounterRandom::Stream::check, 0);
        auto          draws = torch::empty({n, 2}, torch::kFloat64);
        for (long i = 0; i < n; ++i)
          draws[i] = torch::tensor(metric.draw(random), torch::kFloat64);

        const auto mass = at::linalg_inv(
          covariance.dim() == 2 ? covariance : covariance.diag());
        const auto found = torch::mm(draws.t(), draws) / double(n);
        const auto scale = mass.diagonal();
        // the standard error of an entry is √((m_ii m_jj + m_ij²)/n)
        const auto error =
          ((torch::outer(scale, scale) + mass.square()) / double(n)).sqrt();
        EXPECT_LT(((found - mass) / error).abs().max().item<double>(), 4.);
      }
  }



  TEST(Metric, DiagonalIsDenseWithoutTheRest)
  {
    Metric     diagonal(3), dense(3);
    const auto variances = torch::tensor({0.5, 3., 1e-4}, torch::kFloat64);
    ASSERT_TRUE(diagonal.set_covariance(variances));
    ASSERT_TRUE(dense.set_covariance(variances.diag()));
    CounterRandom random(1, CounterRandom::Stream::check, 0), same = random;
    const auto    a = diagonal.draw(random), b = dense.draw(same);
    const auto    u = diagonal.velocity(a), v = dense.velocity(b);
    for (unsigned int i = 0; i < 3; ++i)
      {
        EXPECT_DOUBLE_EQ(a[i], b[i]);
        EXPECT_DOUBLE_EQ(u[i], v[i]);
        EXPECT_DOUBLE_EQ(u[i], variances[i].item<double>() * a[i]);
      }
  }



  TEST(Metric, RefusesWhatIsNoCovariance)
  {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    Metric       metric(2);
    ASSERT_TRUE(metric.set_covariance(dense_covariance()));
    for (const auto &wrong :
         {torch::tensor({1., 0.}, torch::kFloat64),
          torch::tensor({1., -1.}, torch::kFloat64),
          torch::tensor({1., nan}, torch::kFloat64),
          torch::tensor({1., 1. / 0.}, torch::kFloat64),
          torch::tensor({{1., 2.}, {2., 1.}}, torch::kFloat64),
          torch::tensor({{1., nan}, {nan, 1.}}, torch::kFloat64),
          torch::tensor({{1. / 0., 0.}, {0., 1.}}, torch::kFloat64)})
      EXPECT_FALSE(metric.set_covariance(wrong)) << wrong;
    EXPECT_TRUE(torch::equal(metric.covariance(), dense_covariance()));
  }



  TEST(Hamiltonian, NowhereAndNoNumberHaveNoEnergy)
  {
    const double infinity = std::numeric_limits<double>::infinity();
    for (const double value : {-infinity, infinity, std::nan("")})
      {
        const Hamiltonian hamiltonian(
          [value](const torch::Tensor &) -> LogDensityValue {
            return {value, {}};
          },
          2);
        const auto point = some_point(hamiltonian);
        EXPECT_EQ(point.energy, infinity);
        // and may be left again, without a force
        EXPECT_EQ(hamiltonian.leapfrog(point, 0.5).energy, infinity);
      }
  }



  TEST(Hamiltonian, GradientOfAnotherShapeIsAnError)
  {
    const Hamiltonian hamiltonian(
      [](const torch::Tensor &) -> LogDensityValue {
        return {0., torch::zeros({3}, torch::kFloat64)};
      },
      2);
    expect_sentence(message_of<InputError>([&]() {
                      hamiltonian.at_rest(torch::zeros({2}, torch::kFloat64));
                    }),
                    {"the log density", "gradient", "[3]", "[2]"});
    const Hamiltonian without(
      [](const torch::Tensor &) -> LogDensityValue {
        return {0., torch::Tensor()};
      },
      2);
    expect_sentence(message_of<InputError>([&]() {
                      without.at_rest(torch::zeros({2}, torch::kFloat64));
                    }),
                    {"gradient", "undefined", "[2]"});
  }



  // A function may fill one tensor over and over.
  TEST(Hamiltonian, KeepsGradientsOfItsOwn)
  {
    const auto        buffer = torch::zeros({1}, torch::kFloat64);
    const Hamiltonian hamiltonian(
      [buffer](const torch::Tensor &q) -> LogDensityValue {
        buffer.copy_(-q);
        return {-0.5 * q.dot(q).item<double>(), buffer};
      },
      1);
    const auto one = hamiltonian.at_rest(torch::tensor({1.}, torch::kFloat64));
    hamiltonian.at_rest(torch::tensor({2.}, torch::kFloat64));
    EXPECT_EQ(one.gradient.item<double>(), -1.);
  }
} // namespace
