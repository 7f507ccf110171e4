// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/quadrature_lib.h>

#include <neuraldeal/coupling/random_fields/separable_expansion.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>

#include "../test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  template <int dim>
  using Data = typename SeparableExpansion<dim>::AdditionalData;

  const Point<2> lower(-1., 0.), upper(1., 0.5);

  /**
   * Eigenvalues of exp(−|x − y|/ℓ) on an interval of length 2a by the closed
   * form, λ = 2c/(w² + c²) with c = 1/ℓ and the positive roots w of
   * (c − w tan(wa)) (w + c tan(wa)) = 0, one in each piece of length π/(2a).
   */
  std::vector<double>
  closed_form(const double correlation_length, const double length, const int n)
  {
    const double        c = 1. / correlation_length, a = 0.5 * length;
    std::vector<double> result;
    for (int k = 0; k < n; ++k)
      {
        const auto residual = [&](const double w) {
          return k % 2 == 0 ? c * std::cos(w * a) - w * std::sin(w * a) :
                              w * std::cos(w * a) + c * std::sin(w * a);
        };
        double       begin = k * M_PI / (2. * a), end = begin + M_PI / (2. * a);
        const double sign = residual(begin + 1e-12);
        for (int i = 0; i < 200; ++i)
          {
            const double middle                          = 0.5 * (begin + end);
            (residual(middle) * sign > 0. ? begin : end) = middle;
          }
        result.push_back(2. * c / (begin * begin + c * c));
      }
    return result;
  }
} // namespace



TEST(SeparableExpansion, ExponentialHasTheEigenvaluesOfTheTextbook)
{
  Data<2> data;
  data.covariance         = "Matern 1/2";
  data.correlation_length = 0.7;
  data.standard_deviation = 1.5;
  data.n_per_direction    = 12;
  const SeparableExpansion<2> expansion(lower, upper, data);
  const auto                  x = closed_form(0.7, 2., 12);
  const auto                  y = closed_form(0.7, 0.5, 12);
  ASSERT_EQ(expansion.modes().size(), 144u);
  for (const auto &mode : expansion.modes())
    EXPECT_NEAR(mode.variance,
                2.25 * x[mode.k[0]] * y[mode.k[1]],
                2e-4 * 2.25 * x[0] * y[0]);
  double sum = 0.;
  for (const double a : x)
    for (const double b : y)
      sum += a * b;
  // Of the variance, which is the same everywhere.
  EXPECT_NEAR(expansion.kept_share(), sum, 1e-3);
  EXPECT_GT(expansion.kept_share(), 0.85);
  EXPECT_LT(expansion.kept_share(), 1.);
}



// With as many modes as matter the sum is the covariance that was asked for.
TEST(SeparableExpansion, SumIsTheCovariance)
{
  const double l = 0.4, r = 3.;
  const auto   matern_3_2 = [&](const double t) {
    const double s = std::sqrt(3.) * std::abs(t) / l;
    return (1. + s) * std::exp(-s);
  };
  const auto matern_5_2 = [&](const double t) {
    const double s = std::sqrt(5.) * std::abs(t) / l;
    return (1. + s + s * s / 3.) * std::exp(-s);
  };
  const auto squared = [&](const double t) {
    return std::exp(-0.5 * t * t / (l * l));
  };
  Data<2> data;
  data.correlation_length = l;
  data.standard_deviation = r;
  data.n_per_direction    = 40;
  const std::vector<
    std::tuple<std::string, std::function<double(double)>, double>>
    cases = {{"Matern 3/2", matern_3_2, 3e-3},
             {"Matern 5/2", matern_5_2, 1e-4},
             {"squared exponential", squared, 1e-11}};
  for (const auto &[name, c, tolerance] : cases)
    {
      data.covariance = name;
      const SeparableExpansion<2> expansion(lower, upper, data);
      for (const Point<2> &x : {Point<2>(-0.9, 0.1), Point<2>(0.3, 0.25)})
        for (const Point<2> &y : {Point<2>(-0.9, 0.1), Point<2>(0.7, 0.49)})
          EXPECT_NEAR(expansion.covariance(x, y),
                      r * r * c(x[0] - y[0]) * c(x[1] - y[1]),
                      r * r * tolerance)
            << name << " at " << x << " and " << y;
      EXPECT_NEAR(expansion.kept_share(), 1., tolerance) << name;
      EXPECT_NEAR(expansion.mean_variance(),
                  r * r * expansion.kept_share(),
                  1e-12);
    }
}



TEST(SeparableExpansion, ModesAreOrthonormal)
{
  Data<3> data;
  data.n_per_direction = 3;
  const Point<3>              a(0., 1., 0.), b(1., 3., 0.5);
  const SeparableExpansion<3> expansion(a, b, data);
  const std::size_t           n = expansion.modes().size();
  ASSERT_EQ(n, 27u);
  const QGauss<3>     quadrature(24);
  std::vector<double> gram(n * n, 0.);
  for (unsigned int q = 0; q < quadrature.size(); ++q)
    {
      Point<3> x;
      for (unsigned int d = 0; d < 3; ++d)
        x[d] = a[d] + quadrature.point(q)[d] * (b[d] - a[d]);
      // √λ φ is what a single coefficient gives.
      std::vector<double> modes(n), xi(n, 0.);
      for (std::size_t i = 0; i < n; ++i)
        {
          xi[i] = 1.;
          modes[i] =
            expansion.value(xi, x) / std::sqrt(expansion.modes()[i].variance);
          xi[i] = 0.;
        }
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
          gram[i * n + j] += quadrature.weight(q) * modes[i] * modes[j];
    }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      EXPECT_NEAR(gram[i * n + j], i == j ? 1. : 0., 1e-6);
}



TEST(SeparableExpansion, MistakesAreOneSentence)
{
  const auto message = [](const auto &change) {
    Data<2> data;
    data.source = "run.prm";
    change(data);
    return message_of([&]() { SeparableExpansion<2>(lower, upper, data); });
  };
  expect_sentence(message([](auto &data) { data.covariance = "Gauss"; }),
                  {"run.prm", "covariance", "Gauss", "squared exponential"});
  expect_sentence(message([](auto &data) { data.correlation_length = 0.; }),
                  {"run.prm", "correlation length", "'0'"});
  expect_sentence(message([](auto &data) { data.n_per_direction = 0; }),
                  {"run.prm", "modes per direction", "'0'", "1 to 500"});
  expect_sentence(message([](auto &data) { data.n_modes = 1000; }),
                  {"run.prm", "modes", "'1000'", "256"});
}
