// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/spectral_convolution.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <cmath>
#include <complex>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  SpectralConvolution
  make(const long               in,
       const long               out,
       const std::vector<long> &modes,
       const Transform          transform = Transform::matrix_product)
  {
    torch::manual_seed(3);
    SpectralConvolution result(in, out, modes, transform);
    result.to(torch::kFloat64);
    return result;
  }



  TEST(SpectralConvolution, ProductsAreTheFastTransform)
  {
    // Odd and even sizes, and grids too coarse for some of the modes.
    const struct
    {
      std::vector<long>         modes;
      std::vector<std::int64_t> sizes;
    } cases[] = {{{4}, {15}},
                 {{4}, {16}},
                 {{5}, {7}},
                 {{3, 4}, {12, 9}},
                 {{4, 4}, {6, 5}},
                 {{2, 3, 2}, {8, 7, 6}},
                 {{4, 1, 3}, {5, 6, 4}}};
    for (const auto &[modes, sizes] : cases)
      {
        std::vector<std::int64_t> shape = {2, 3};
        shape.insert(shape.end(), sizes.begin(), sizes.end());
        const auto fields = random_normal(shape, 31);
        auto       a      = make(3, 2, modes);
        auto       b      = make(3, 2, modes, Transform::fft);
        EXPECT_LT(distance(a.forward(fields), b.forward(fields)), 1e-13);
      }
  }



  // By the definition: Fourier coefficients times a matrix, summed up.
  TEST(SpectralConvolution, IsAProductOfCoefficients)
  {
    using Complex  = std::complex<double>;
    const long   s = 9, m = 3;
    auto         map    = make(2, 2, {m});
    const auto   v      = random_normal({1, 2, s}, 32);
    const auto   w      = map.parameters()[0].detach(); // [m, in, out, 2]
    const auto   u      = map.forward(v).detach();
    const double two_pi = 2. * M_PI;
    for (long out = 0; out < 2; ++out)
      for (long x = 0; x < s; ++x)
        {
          Complex sum = 0;
          for (long k = 0; k < m; ++k)
            for (long in = 0; in < 2; ++in)
              {
                Complex coefficient = 0;
                for (long y = 0; y < s; ++y)
                  coefficient += v[0][in][y].item<double>() / double(s) *
                                 std::polar(1., -two_pi * k * y / s);
                const Complex weight(w[k][in][out][0].item<double>(),
                                     w[k][in][out][1].item<double>());
                sum += (k == 0 ? 1. : 2.) * coefficient * weight *
                       std::polar(1., two_pi * k * x / s);
              }
          EXPECT_NEAR(u[0][out][x].item<double>(), sum.real(), 1e-13);
        }
  }



  // A convolution does not know where it is.
  TEST(SpectralConvolution, TranslationsCommute)
  {
    auto       map = make(2, 3, {3, 4});
    const auto v   = random_normal({2, 2, 10, 11}, 33);
    EXPECT_LT(distance(map.forward(v.roll({3, 5}, {2, 3})),
                       map.forward(v).roll({3, 5}, {2, 3})),
              1e-13);
  }



  // What is band limited is the same function on any grid.
  TEST(SpectralConvolution, GridsDoNotMatter)
  {
    auto       map = make(1, 1, {3, 3});
    const auto at  = [](const long s) {
      const auto x =
        torch::arange(s, torch::kFloat64).unsqueeze(1) * (2. * M_PI / s);
      const auto y = x.t();
      return (0.3 + (x + 2. * y).cos() + (2. * x - y).sin() * 0.7)
        .reshape({1, 1, s, s});
    };
    const auto coarse = map.forward(at(12)), fine = map.forward(at(36));
    EXPECT_LT(distance(coarse, fine.slice(2, 0, 36, 3).slice(3, 0, 36, 3)),
              1e-13);
  }



  // Nor does it matter whether the period is a whole number of spacings. Where
  // it is not, integrals have the trapezoidal rule's error of one interval
  // that is shorter than the others: of third order.
  TEST(SpectralConvolution, PeriodsNeedNotBeWholeNumbers)
  {
    const double extent = 1.25;
    // f(x) = sin 2πx/1.25, and 0.2 cos 4πx/1.25, at x = j h < 1.25
    const auto function = [extent](const torch::Tensor &x) {
      const auto a = x * (2. * M_PI / extent);
      return 0.3 + a.sin() + 0.2 * (2. * a).cos();
    };
    auto       map     = make(1, 1, {3});
    const auto at_half = [&](const long intervals) {
      const long n = std::lround(extent * double(intervals));
      const auto x = torch::arange(n, torch::kFloat64) / double(intervals);
      const auto u = map.forward(function(x).reshape({1, 1, n}),
                                 {extent * double(intervals)});
      return u[0][0][intervals / 2].item<double>();
    };
    const double exact = at_half(20), coarse = at_half(90), fine = at_half(270);
    EXPECT_NEAR(at_half(40), exact, 1e-13);
    EXPECT_LT(std::abs(coarse - exact), 0.01);
    EXPECT_GT(std::abs(coarse - exact), 1e-8);
    EXPECT_GT((coarse - exact) / (fine - exact), 20.);
  }



  TEST(SpectralConvolution, Gradients)
  {
    for (const auto transform : {Transform::matrix_product, Transform::fft})
      {
        auto       map = make(2, 2, {2, 2}, transform);
        const auto v   = random_normal({2, 2, 7, 6}, 34),
                   u   = random_normal({2, 2, 7, 6}, 35);
        check_gradients(map,
                        [&]() { return (map.forward(v) - u).square().sum(); });

        // and by the fields
        const auto fields = v.clone().requires_grad_(true);
        (map.forward(fields) * u).sum().backward();
        const auto   direction = random_normal({2, 2, 7, 6}, 36);
        const double h         = 1e-5;
        const double quotient =
          (((map.forward(v + h * direction) - map.forward(v - h * direction)) *
            u)
             .sum() /
           (2. * h))
            .item<double>();
        EXPECT_NEAR((fields.grad() * direction).sum().item<double>(),
                    quotient,
                    1e-9);
      }
  }
} // namespace
