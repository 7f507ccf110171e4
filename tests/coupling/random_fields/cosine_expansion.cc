// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/random_fields/cosine_expansion.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "../test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  using Stream = CounterRandom::Stream;

  template <int dim>
  using Data = typename CosineExpansion<dim>::AdditionalData;

  /** The box [−1, 2] × [0, 0.5] × [0, 1]. */
  template <int dim>
  std::pair<Point<dim>, Point<dim>>
  box()
  {
    Point<dim> lower, upper;
    for (unsigned int d = 0; d < dim; ++d)
      {
        lower[d] = (d == 0 ? -1. : 0.);
        upper[d] = (d == 0 ? 2. : 0.5 * d);
      }
    return {lower, upper};
  }

  /** The covariance on this box, written out as the sum over all modes. */
  template <int dim>
  double
  sum_over_modes(const Point<dim> &x,
                 const Point<dim> &y,
                 const Data<dim>  &data)
  {
    const auto [lower, upper] = box<dim>();
    double             result = 0.;
    const unsigned int n      = data.n_per_direction;
    for (unsigned int i = data.constant_mode ? 0 : 1; i < std::pow(n, dim); ++i)
      {
        double       squares = data.inverse_length * data.inverse_length;
        double       product = 1.;
        unsigned int rest    = i;
        for (unsigned int d = 0; d < dim; ++d, rest /= n)
          {
            const double length    = upper[d] - lower[d];
            const double frequency = M_PI * (rest % n) / length;
            squares += frequency * frequency;
            product *= (rest % n == 0 ? 1. : 2.) / length *
                       std::cos(frequency * (x[d] - lower[d])) *
                       std::cos(frequency * (y[d] - lower[d]));
          }
        result += std::pow(squares, -data.exponent) * product;
      }
    return data.scale * data.scale * result;
  }

  template <int dim>
  void
  check_covariance()
  {
    const auto [lower, upper] = box<dim>();
    Point<dim> x, y;
    for (unsigned int d = 0; d < dim; ++d)
      {
        x[d] = 0.1 + 0.05 * d;
        y[d] = 0.4 - 0.1 * d;
      }
    for (const bool constant_mode : {false, true})
      {
        Data<dim> data;
        data.scale           = 3.;
        data.inverse_length  = 2.;
        data.exponent        = 1.8;
        data.n_per_direction = 6;
        data.constant_mode   = constant_mode;
        const CosineExpansion<dim> field(lower, upper, data);
        const double               expected = sum_over_modes(x, y, data);
        EXPECT_NEAR(field.covariance(x, y), expected, 1e-13);

        // The map from coefficients to values, and the covariance it makes.
        std::vector<double> unit(field.modes().size(), 0.);
        double              of_units = 0.;
        for (auto &xi : unit)
          {
            xi = 1.;
            of_units += field.value(unit, x) * field.value(unit, y);
            xi = 0.;
          }
        EXPECT_NEAR(of_units, expected, 1e-13);

        // Samples: n Var = C_xx C_yy + C_xy².
        constexpr unsigned int n   = 2000;
        double                 sum = 0.;
        for (unsigned int i = 0; i < n; ++i)
          {
            const auto xi = field.draw(3, Stream::design, i);
            sum += field.value(xi, x) * field.value(xi, y) / n;
          }
        EXPECT_NEAR(sum,
                    expected,
                    4. * std::sqrt((sum_over_modes(x, x, data) *
                                      sum_over_modes(y, y, data) +
                                    expected * expected) /
                                   n));

        // The mean over the box by a midpoint rule, exact for these cosines.
        double             mean = 0.;
        const unsigned int m    = 12;
        for (unsigned int i = 0; i < std::pow(m, dim); ++i)
          {
            Point<dim>   p;
            unsigned int rest = i;
            for (unsigned int d = 0; d < dim; ++d, rest /= m)
              p[d] = lower[d] + (upper[d] - lower[d]) * (rest % m + 0.5) / m;
            mean += field.covariance(p, p) / std::pow(m, dim);
          }
        EXPECT_NEAR(field.mean_variance(), mean, 1e-12);
      }
  }
} // namespace



TEST(CosineExpansion, CovarianceIsTheSum)
{
  check_covariance<2>();
  check_covariance<3>();
}



TEST(CosineExpansion, SpectrumOfTheDarcyBenchmark)
{
  // ξ_kl / (π² (k² + l²) + 9) cos cos on the unit square, no constant mode.
  Data<2> data;
  data.constant_mode   = false;
  data.n_per_direction = 16;
  const CosineExpansion<2> field(Point<2>(), Point<2>(1., 1.), data);
  ASSERT_EQ(field.modes().size(), 255u);
  std::map<std::array<unsigned int, 2>, double> deviations;
  for (const auto &mode : field.modes())
    deviations[mode.k] = std::sqrt(mode.variance);
  EXPECT_EQ(deviations.size(), 255u);
  for (const auto &[k, deviation] : deviations)
    EXPECT_NEAR(deviation,
                1. / (M_PI * M_PI * (k[0] * k[0] + k[1] * k[1]) + 9.),
                1e-15);

  // The functions that belong to them.
  const Point<2> x(0.3, 0.9);
  for (const unsigned int i : {0u, 1u, 7u, 254u})
    {
      std::vector<double> unit(255, 0.);
      unit[i]       = 1.;
      const auto k  = field.modes()[i].k;
      const auto of = [](const unsigned int j, const double t) {
        return j == 0 ? 1. : std::sqrt(2.) * std::cos(M_PI * j * t);
      };
      EXPECT_NEAR(field.value(unit, x),
                  deviations[k] * of(k[0], x[0]) * of(k[1], x[1]),
                  1e-15);
    }
}



TEST(CosineExpansion, KeptShareOfTheVariance)
{
  // α = 2 with L = π: in one direction ∑_k (k² + s²)⁻² is known, so that the
  // double sum over all modes needs one loop, and converges fast.
  const double kappa = 1.5;
  const auto   one   = [](const double s) { // over k ≥ 0
    const double a = M_PI * s;
    return 0.5 * (std::pow(s, -4.) + M_PI / (2. * s * s * s) / std::tanh(a) +
                  M_PI * M_PI / (2. * s * s * std::pow(std::sinh(a), 2)));
  };
  double total = 0.;
  // For large s this is π/(4 s³) up to exponentially small terms and 1/(2 s⁴):
  // what is beyond the loop by the midpoint rule.
  constexpr unsigned int n_loop = 20000;
  for (unsigned int l = n_loop; l-- > 0;)
    total += one(std::sqrt(1. * l * l + kappa * kappa));
  const double cut = n_loop - 0.5;
  total += M_PI / (8. * cut * cut) + 1. / (6. * cut * cut * cut);

  for (const bool constant_mode : {true, false})
    {
      Data<2> data;
      data.scale           = 0.7;
      data.inverse_length  = kappa;
      data.n_per_direction = 5;
      data.constant_mode   = constant_mode;
      const CosineExpansion<2> field(Point<2>(1., 1.),
                                     Point<2>(1. + M_PI, 1. + M_PI),
                                     data);
      double                   kept = 0.;
      for (unsigned int k = 0; k < 5; ++k)
        for (unsigned int l = 0; l < 5; ++l)
          kept += std::pow(k * k + l * l + kappa * kappa, -2.);
      const double constant = constant_mode ? 0. : std::pow(kappa, -4.);
      EXPECT_NEAR(field.kept_share(),
                  (kept - constant) / (total - constant),
                  1e-11);
    }

  // In 3d, on another box, by a sum that converges like n⁻⁷.
  Data<3> data;
  data.exponent             = 5.;
  data.inverse_length       = 2.;
  const auto [lower, upper] = box<3>();
  data.n_per_direction      = 40;
  const CosineExpansion<3> fine(lower, upper, data);
  EXPECT_NEAR(fine.kept_share(), 1., 1e-9);
  data.n_per_direction = 2;
  const CosineExpansion<3> coarse(lower, upper, data);
  EXPECT_NEAR(coarse.kept_share(),
              coarse.mean_variance() / fine.mean_variance(),
              1e-9);
}



TEST(CosineExpansion, TheFirstModesAreTheLargest)
{
  Data<3> data;
  data.n_per_direction = 4;
  data.n_modes         = 10;
  const CosineExpansion<3> few(Point<3>(), Point<3>(1., 1., 1.), data);
  data.n_modes = 0;
  const CosineExpansion<3> all(Point<3>(), Point<3>(1., 1., 1.), data);
  ASSERT_EQ(few.modes().size(), 10u);
  ASSERT_EQ(all.modes().size(), 64u);
  EXPECT_LT(few.kept_share(), all.kept_share());
  for (unsigned int i = 0; i < 10; ++i)
    EXPECT_EQ(few.modes()[i].k, all.modes()[i].k);
  for (unsigned int i = 1; i < 64; ++i)
    EXPECT_GE(all.modes()[i - 1].variance, all.modes()[i].variance);
  // The three of |k| = 1 are equal to the last bit, in the order of k.
  using K = std::array<unsigned int, 3>;
  EXPECT_EQ(all.modes()[1].k, (K{{0, 0, 1}}));
  EXPECT_EQ(all.modes()[2].k, (K{{0, 1, 0}}));
  EXPECT_EQ(all.modes()[3].k, (K{{1, 0, 0}}));
  EXPECT_EQ(all.modes()[1].variance, all.modes()[3].variance);

  // A longer expansion has the same coefficients first.
  auto       long_one  = all.draw(4, Stream::queries, 9);
  const auto short_one = few.draw(4, Stream::queries, 9);
  EXPECT_TRUE(same_on_all_ranks(short_one));
  long_one.resize(10);
  EXPECT_EQ(short_one, long_one);
}



TEST(CosineExpansion, AsParametersOfACampaign)
{
  Data<2> data;
  data.n_modes = 12;
  std::unique_ptr<Function<2>> function;
  InputDistribution            inputs;
  std::vector<double>          input;
  double                       expected = 0.;
  const Point<2>               x(0.2, 0.7);
  {
    const CosineExpansion<2> field(Point<2>(), Point<2>(1., 1.), data);
    inputs.add_uniform("beta", 0., 1.);
    field.add_to(inputs, "kappa");
    ASSERT_EQ(inputs.size(), 13u);
    EXPECT_EQ(inputs.ranges()[1].name, "kappa_0");
    EXPECT_EQ(inputs.ranges()[12].name, "kappa_11");
    input = inputs.draw(1, Stream::design, 2);
    input.erase(input.begin());
    expected = field.value(input, x);
    function =
      field.function(input, [](const double g) { return 2. + 3. * g; });
    EXPECT_EQ(field.function(input)->value(x), expected);
  }
  // It refers to nothing that has gone.
  EXPECT_EQ(function->value(x), 2. + 3. * expected);
}



TEST(CosineExpansion, MistakesAreOneSentence)
{
  const auto message = [&](const std::function<void(Data<2> &)> &change,
                           const double                          length = 1.) {
    Data<2> data;
    data.source = "a.prm";
    change(data);
    return message_of(
      [&] { CosineExpansion<2>(Point<2>(), Point<2>(1., length), data); });
  };
  expect_sentence(message([](auto &) {}, -1.), {"a.prm", "direction 1", "-1"});
  expect_sentence(message([](auto &d) { d.scale = -2.; }),
                  {"a.prm", "scale", "-2"});
  expect_sentence(message([](auto &d) { d.inverse_length = 0.; }),
                  {"a.prm", "inverse length", "'0'"});
  expect_sentence(message([](auto &d) { d.exponent = 1.; }),
                  {"a.prm", "exponent", "'1'", "1.1"});
  expect_sentence(message([](auto &d) { d.n_per_direction = 0; }),
                  {"a.prm", "modes per direction", "'0'"});
  expect_sentence(message([](auto &d) { d.n_modes = 1025; }),
                  {"a.prm", "modes", "1025", "1024"});
}
