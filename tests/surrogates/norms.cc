// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/training/norms.h>

#include <cmath>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** A symmetric positive definite matrix. */
  torch::Tensor
  spd(const long n, const std::uint64_t number)
  {
    const auto factor = random_normal({n, n}, number);
    return torch::mm(factor, factor.t());
  }



  /** A product of sin(a_j x_j + 0.3) on the unit box, [1, 1, s, …]. */
  torch::Tensor
  wave(const std::vector<double> &a, const long s)
  {
    const auto x      = torch::linspace(0., 1., s, torch::kFloat64);
    auto       result = torch::ones({1, 1}, torch::kFloat64);
    for (const double a_j : a)
      result = result.unsqueeze(-1) * torch::sin(a_j * x + 0.3);
    return result;
  }

  /** ∫ of sin² (or, with @p sign −1, cos²) of a x + 0.3 over (0, 1). */
  double
  integral_of_square(const double a, const double sign)
  {
    return 0.5 - sign * (std::sin(2. * (a + 0.3)) - std::sin(0.6)) / (4. * a);
  }



  TEST(Norms, MeanSquareIsOverPoints)
  {
    const auto v =
      torch::tensor({1., 2., 3., 4., 5., 6., 0., 0., 1., 0., 0., 2.},
                    torch::kFloat64)
        .reshape({2, 2, 3}); // two channels, three points
    EXPECT_LT(distance(mean_square()(v),
                       torch::tensor({91. / 3., 5. / 3.}, torch::kFloat64)),
              1e-14);
    EXPECT_LT(distance(mean_square()(v.reshape({2, 2, 3, 1})),
                       mean_square()(v)),
              1e-14);
  }



  TEST(Norms, QuadraticFormIsDenseProduct)
  {
    const auto fields = random_normal({3, 2, 2, 3}, 1);
    const auto values = fields.reshape({3, 2, 6});

    const auto of_points = spd(6, 2), of_values = spd(12, 3);
    const auto diagonal = random_uniform({6}, 0.1, 2., 4);

    for (long i = 0; i < 3; ++i)
      {
        double expected = 0, weighted = 0;
        for (long c = 0; c < 2; ++c)
          {
            const auto v = values[i][c];
            expected += torch::dot(v, torch::mv(of_points, v)).item<double>();
            weighted += (v * v * diagonal).sum().item<double>();
          }
        const auto all    = values[i].reshape({12});
        const auto result = [&](const torch::Tensor &matrix) {
          return quadratic_form(matrix)(fields)[i].item<double>();
        };
        EXPECT_NEAR(result(of_points.to_sparse()), expected, 1e-12 * expected);
        EXPECT_NEAR(result(diagonal), weighted, 1e-12 * weighted);
        EXPECT_NEAR(result(of_values.to_sparse()),
                    torch::dot(all, torch::mv(of_values, all)).item<double>(),
                    1e-10);
      }

    // the gradient is 2 A v
    const auto v = fields.clone().requires_grad_(true);
    quadratic_form(of_points.to_sparse())(v).sum().backward();
    EXPECT_LT(distance(v.grad().reshape({6, 6}),
                       2. * torch::mm(fields.reshape({6, 6}), of_points)),
              1e-12);

    // in the type of the fields
    const auto single =
      quadratic_form(of_points.to_sparse())(fields.to(torch::kFloat32));
    EXPECT_EQ(single.scalar_type(), torch::kFloat32);
    EXPECT_LT(((single - quadratic_form(of_points.to_sparse())(fields)) /
               single)
                .abs()
                .max()
                .item<double>(),
              1e-5);
  }



  TEST(Norms, GridConvergesWithSecondOrder)
  {
    const std::vector<double> frequencies = {2.1, 3.3, 1.7};
    for (long dim = 1; dim <= 3; ++dim)
      {
        const std::vector<double> a(frequencies.begin(),
                                    frequencies.begin() + dim);
        double                    value = 1, gradient = 0;
        for (const double a_j : a)
          value *= integral_of_square(a_j, 1.);
        for (const double a_j : a)
          gradient += value / integral_of_square(a_j, 1.) * a_j * a_j *
                      integral_of_square(a_j, -1.);

        const double gamma = 0.4;
        const auto   error = [&](const long s) {
          return std::abs(grid_h1(gamma)(wave(a, s)).item<double>() - value -
                          gamma * gradient);
        };
        const long   s      = 17;
        const double coarse = error(s), fine = error(2 * s - 1);
        EXPECT_LT(fine, 5e-3) << dim;
        EXPECT_NEAR(std::log2(coarse / fine), 2., 0.05) << dim;

        // the same on a box of other sizes, several channels and samples
        std::vector<double> h(dim);
        double              volume = 1, scaled = 0;
        for (long j = 0; j < dim; ++j)
          {
            h[j] = (j + 2.) / (s - 1.);
            volume *= j + 2.;
            scaled += value / integral_of_square(a[j], 1.) * a[j] * a[j] *
                      integral_of_square(a[j], -1.) / ((j + 2.) * (j + 2.));
          }
        const auto u     = wave(a, s);
        const auto many  = torch::cat({torch::cat({u, 2. * u}, 1),
                                       torch::cat({-3. * u, 0. * u}, 1)},
                                     0);
        const auto norms = grid_h1(gamma, false, h)(many);
        EXPECT_NEAR(norms[0].item<double>(),
                    5. * volume * (value + gamma * scaled),
                    0.05 * norms[0].item<double>());
        EXPECT_NEAR(norms[1].item<double>(),
                    9. / 5. * norms[0].item<double>(),
                    1e-12 * norms[0].item<double>());
      }
  }



  // The derivative of linear functions is exact, up to the boundary.
  TEST(Norms, GridTakesTheGradientOfLinearFunctions)
  {
    const auto x = torch::linspace(0., 1., 5, torch::kFloat64);
    const auto y = torch::linspace(0., 1., 4, torch::kFloat64);
    const auto v =
      (1. + 2. * x.unsqueeze(1) - 3. * y.unsqueeze(0)).reshape({1, 1, 5, 4});
    EXPECT_NEAR((grid_h1(1.)(v) - grid_h1(0.)(v)).item<double>(), 13., 1e-12);
  }



  TEST(Norms, PeriodicGrid)
  {
    // Of sin(2π k x) the trapezoidal rule is exact, and differences have the
    // symbol 2 s sin(π k/s).
    const long   s = 12, k = 3;
    const auto   x      = torch::arange(s, torch::kFloat64) / double(s);
    const auto   v      = torch::sin(2. * M_PI * double(k) * x + 0.2);
    const double symbol = 2. * s * std::sin(M_PI * k / s);
    EXPECT_NEAR(grid_h1(0.7, true)(v.reshape({1, 1, s})).item<double>(),
                0.5 * (1. + 0.7 * symbol * symbol),
                1e-11);

    // A shift in either direction changes nothing.
    const auto u = random_normal({2, 1, 5, 6}, 5);
    EXPECT_LT(distance(grid_h1(1., true)(u),
                       grid_h1(1., true)(u.roll(2, 2).roll(1, 3))),
              1e-11);
  }



  TEST(Norms, GridSeesOscillations)
  {
    const long s    = 9;
    auto       v    = torch::ones({1, 1, s}, torch::kFloat64);
    const auto even = v.clone();
    for (long i = 0; i < s; i += 2)
      v[0][0][i] = -1.;
    EXPECT_NEAR((grid_h1()(v) - grid_h1()(even)).item<double>(),
                4. * (s - 1) * (s - 1),
                1e-10);
  }



  // On a line it is the stiffness matrix of linear elements, with a lumped
  // mass matrix.
  TEST(Norms, GridIsFiniteElementsWithNodalQuadrature)
  {
    const long   s         = 6;
    const double h         = 0.3;
    auto         stiffness = torch::zeros({s, s}, torch::kFloat64);
    auto         mass      = torch::zeros({s}, torch::kFloat64);
    for (long i = 0; i + 1 < s; ++i)
      for (const long j : {i, i + 1})
        {
          mass[j] += 0.5 * h;
          for (const long k : {i, i + 1})
            stiffness[j][k] += (j == k ? 1. : -1.) / h;
        }
    const auto v = random_normal({3, 2, s}, 6);
    EXPECT_LT(distance(grid_h1(0.8, false, {h})(v),
                       sum(quadratic_form(mass),
                           0.8,
                           quadratic_form(stiffness.to_sparse()))(v)),
              1e-11);
  }



  TEST(Norms, RootHasADerivativeAtZero)
  {
    for (const auto type : {torch::kFloat32, torch::kFloat64})
      {
        const auto x = torch::tensor({0., 4.}, type).requires_grad_(true);
        root(x).sum().backward();
        EXPECT_EQ(x.grad()[0].item<double>(), 0.);
        EXPECT_EQ(x.grad()[1].item<double>(), 0.25);
        EXPECT_EQ(root(x.detach())[0].item<double>(), 0.);
        EXPECT_EQ(root(x.detach())[1].item<double>(), 2.);
      }
    EXPECT_TRUE(
      std::isnan(root(torch::full({1}, NAN, torch::kFloat64)).item<double>()));
  }



  TEST(Norms, MistakesAreSentences)
  {
    const auto construction = [](const torch::Tensor &matrix) {
      return message_of<InputError>(
        [&]() { quadratic_form(matrix, "case.json", "the mass matrix"); });
    };
    expect_sentence(construction(torch::Tensor()),
                    {"case.json", "the mass matrix is 'not given'"});
    expect_sentence(construction(spd(3, 7)), {"[3, 3] and not sparse"});
    expect_sentence(construction(spd(3, 7).slice(0, 0, 2).to_sparse()),
                    {"[2, 3]", "symmetric"});
    expect_sentence(construction(random_uniform({3, 3}, 0., 1., 8).to_sparse()),
                    {"'not symmetric'"});
    expect_sentence(construction((-spd(3, 7)).to_sparse()),
                    {"negative numbers on its diagonal"});
    expect_sentence(construction(torch::tensor({1., -1.}, torch::kFloat64)),
                    {"a diagonal with negative numbers"});
    expect_sentence(construction(
                      torch::tensor({1., std::nan("")}, torch::kFloat64)),
                    {"a diagonal with negative numbers"});

    const auto evaluation = [](const SquaredNorm               &norm,
                               const std::vector<std::int64_t> &shape) {
      return message_of<InputError>(
        [&]() { norm(torch::ones(shape, torch::kFloat64)); });
    };
    expect_sentence(
      evaluation(
        quadratic_form(spd(3, 7).to_sparse(), "case.json", "the mass matrix"),
        {2, 2, 4}),
      {"case.json", "the mass matrix is 'of size 3'", "[2, 2, 4]"});
    expect_sentence(evaluation(grid_h1(), {2, 3}), {"[2, 3]"});
    expect_sentence(evaluation(grid_h1(), {2, 1, 3, 3, 3, 3}),
                    {"one to three directions"});
    expect_sentence(evaluation(grid_h1(1., false, {0.1, 0.1}), {2, 1, 3}),
                    {"2 directions"});
    expect_sentence(evaluation(grid_h1(), {2, 1, 3, 1}),
                    {"is '1'", "two or more"});
  }
} // namespace
