// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_solution_operators_h
#define neuraldeal_tests_surrogates_solution_operators_h

#include <neuraldeal/surrogates/operators/operator_model.h>

#include <cmath>
#include <functional>
#include <vector>

#include "test_tools.h"

namespace neuraldeal::tests
{
  // Problems with solutions in closed form. Data are random finite series,
  // evaluated: the same function of space on any grid, and no discretisation
  // anywhere. The number tells draws apart; it decides the functions alone, so
  // that one number on two grids gives the same functions on both.

  /** k ↦ factor by which the solution operator multiplies a function. */
  using Multiplier = std::function<double(const double)>;



  /**
   * Random series Σ_{k=1}^K k^{−decay} (a_k cos 2πkx + b_k sin 2πkx) at the s
   * points i/s of the circle, and what the operator makes of them that
   * multiplies frequency ω = 2πk by @p multiplier and turns it by the angle
   * @p angle, that is u(x) = Σ m(ω) (a_k cos(ωx − θ(ω)) + …).
   */
  inline OperatorData
  on_the_circle(const long          n,
                const long          s,
                const long          n_frequencies,
                const double        decay,
                const Multiplier   &multiplier,
                const Multiplier   &angle,
                const std::uint64_t number)
  {
    const auto x          = torch::arange(s, torch::kFloat64) / double(s);
    const auto amplitudes = random_normal({n, n_frequencies, 2}, number);
    auto       f = torch::zeros({n, s}, torch::kFloat64), u = f.clone();
    for (long k = 1; k <= n_frequencies; ++k)
      {
        const double omega = 2. * M_PI * double(k);
        const auto   a     = amplitudes.select(1, k - 1) * std::pow(k, -decay);
        const auto   wave  = [&](const double theta) {
          return a.slice(1, 0, 1) * (omega * x - theta).cos() +
                 a.slice(1, 1, 2) * (omega * x - theta).sin();
        };
        f += wave(0.);
        u += multiplier(omega) * wave(angle(omega));
      }
    OperatorData data;
    data.input.fields = f.unsqueeze(1);
    data.target       = u.unsqueeze(1);
    return data;
  }

  inline double
  no_angle(const double)
  {
    return 0.;
  }

  /** u with −u″ + u = f on a circle of length one, three frequencies. */
  inline OperatorData
  periodic_problems(const long n, const long s, const std::uint64_t number)
  {
    return on_the_circle(
      n,
      s,
      3,
      0.,
      [](const double omega) { return 1. / (1. + omega * omega); },
      no_angle,
      number);
  }



  /**
   * Random series Σ_{k=1}^K k^{−decay} a_k sin(πkx) at @p x, [n, 1, P], with
   * the values at the ends zero, and what operators make of them that multiply
   * sin(ωx), ω = πk, by each of @p multipliers: [n, operators, P].
   */
  inline OperatorData
  on_the_interval(const long                     n,
                  const torch::Tensor           &x,
                  const long                     n_frequencies,
                  const double                   decay,
                  const std::vector<Multiplier> &multipliers,
                  const std::uint64_t            number)
  {
    const auto   k     = torch::arange(1, n_frequencies + 1, torch::kFloat64);
    const auto   sines = torch::sin(M_PI * torch::outer(k, x));
    const auto   a = random_normal({n, n_frequencies}, number) * k.pow(-decay);
    OperatorData data;
    data.input.fields = torch::mm(a, sines).unsqueeze(1);
    std::vector<torch::Tensor> solutions;
    for (const auto &multiplier : multipliers)
      {
        auto factors = torch::empty_like(k);
        for (long i = 0; i < n_frequencies; ++i)
          factors[i] = multiplier(M_PI * double(i + 1));
        solutions.push_back(torch::mm(a * factors, sines));
      }
    data.target = torch::stack(solutions, 1);
    return data;
  }

  /** The points of a grid with @p s points on (0, 1), ends included. */
  inline torch::Tensor
  interval_grid(const long s)
  {
    return torch::linspace(0., 1., s, torch::kFloat64);
  }



  /**
   * −Δu = f on the unit square, u = 0 on its boundary, on s × s points: f a
   * random sum of sin(πjx) sin(πky) with j, k ≤ K and amplitudes in proportion
   * to (j² + k²)^{−1/2}, of which the solution is a (j² + k²)π²-th.
   */
  inline OperatorData
  poisson_on_the_square(const long          n,
                        const long          s,
                        const long          n_frequencies,
                        const std::uint64_t number)
  {
    const auto k     = torch::arange(1, n_frequencies + 1, torch::kFloat64);
    const auto sines = torch::sin(M_PI * torch::outer(k, interval_grid(s)));
    const auto sum   = k.square().unsqueeze(1) + k.square();
    const auto a =
      random_normal({n, n_frequencies, n_frequencies}, number) / sum.sqrt();
    const auto series = [&](const torch::Tensor &amplitudes) {
      return torch::matmul(sines.t(), torch::matmul(amplitudes, sines))
        .unsqueeze(1);
    };
    OperatorData data;
    data.input.fields = series(a);
    data.target       = series(a / (M_PI * M_PI * sum));
    return data;
  }
} // namespace neuraldeal::tests

#endif
