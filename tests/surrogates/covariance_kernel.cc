// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/covariance_kernel.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <cmath>

#include "kernel_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** Matérn's function by its order: Rasmussen and Williams, (4.14). */
  double
  matern(const double order, const double r)
  {
    const double s = std::sqrt(2. * order) * r;
    return s == 0. ? 1. :
                     std::pow(2., 1. - order) / std::tgamma(order) *
                       std::pow(s, order) * std::cyl_bessel_k(order, s);
  }

  double
  function(const std::string &shape, const double r)
  {
    return shape == "squared exponential" ?
             std::exp(-0.5 * r * r) :
             matern(std::stod(shape.substr(7)) / 2., r);
  }

  /** The length of each of five inputs at @p x, in groups of two and three. */
  torch::Tensor
  lengths(const std::string   &choice,
          const torch::Tensor &logarithms,
          const torch::Tensor &x)
  {
    const auto all = logarithms.slice(0, 0, -1).exp();
    if (choice == "varying")
      {
        const auto along  = x.dot(logarithms.slice(0, 10, 15)).item<double>();
        auto       result = torch::empty({5}, torch::kFloat64);
        for (long i = 0; i < 5; ++i)
          result[i] =
            all[i] * std::exp(3. * std::tanh(logarithms[5 + i].item<double>() *
                                             along / 3.));
        return result;
      }
    if (choice == "each input")
      return all;
    if (choice == "shared")
      return all.expand({5});
    return torch::cat({all[0].expand({2}), all[1].expand({3})});
  }



  class CovarianceKernelTest : public testing::TestWithParam<KernelChoice>
  {};

  INSTANTIATE_TEST_SUITE_P(All,
                           CovarianceKernelTest,
                           testing::ValuesIn(kernel_choices()),
                           name_of_choice);



  TEST_P(CovarianceKernelTest, IsTheTextbooks)
  {
    const auto   kernel = make_kernel(GetParam());
    const auto   x = random_normal({6, 5}, 1), y = random_normal({8, 5}, 2);
    const double b     = std::exp(kernel.hyperparameters()[-1].item<double>());
    const auto   found = kernel.matrix(x, y);
    for (long i = 0; i < 6; ++i)
      for (long j = 0; j < 8; ++j)
        {
          const auto of_x = lengths(GetParam().second,
                                    kernel.hyperparameters(),
                                    x[i]),
                     of_y = lengths(GetParam().second,
                                    kernel.hyperparameters(),
                                    y[j]);
          const auto   s  = 0.5 * (of_x.square() + of_y.square());
          const double r  = ((x[i] - y[j]) / s.sqrt()).norm().item<double>();
          const double factor =
            std::sqrt((of_x * of_y / s).prod().item<double>());
          EXPECT_NEAR(found[i][j].item<double>(),
                      factor * function(GetParam().first, r) +
                        b * (1. + x[i].dot(y[j]).item<double>() / 5.),
                      1e-13);
        }
    EXPECT_LT(distance(kernel.diagonal(x), kernel.matrix(x, x).diagonal()),
              1e-14);
  }



  TEST_P(CovarianceKernelTest, GradientIsADifferenceQuotient)
  {
    auto kernel = make_kernel(GetParam());
    // Two points are the same, where the root of r² has no derivative.
    const auto x = random_normal({6, 5}, 1),
               y = torch::cat({random_normal({8, 5}, 2), x.slice(0, 2, 3)});
    const auto w = random_normal({6, 9}, 3), v = random_normal({6}, 4);
    const auto value = [&](const torch::Tensor &hyperparameters) {
      kernel.set_hyperparameters(hyperparameters);
      return (w * kernel.matrix(x, y)).sum().item<double>() +
             (v * kernel.diagonal(x)).sum().item<double>();
    };
    const auto at = kernel.hyperparameters();
    const auto gradient =
      kernel.gradient(w, x, y) + kernel.gradient_of_diagonal(v, x);
    check_gradient(value, gradient, at, 1e-9);
  }



  TEST(CovarianceKernel, EqualPointsAreAtDistanceZero)
  {
    // What the root makes of rounding would be seen.
    const auto x = 10. + random_normal({20, 5}, 5);
    for (const auto &choice : kernel_choices())
      EXPECT_LT(distance(make_kernel(choice).matrix(x, x).diagonal(),
                         make_kernel(choice).diagonal(x)),
                1e-11)
        << choice.first << ", " << choice.second;
  }



  TEST(CovarianceKernel, DefaultsAreMaternByGroups)
  {
    const std::vector<long> groups = {2, 3};
    const CovarianceKernel  kernel(groups),
      same(groups, "Matern 5/2", "each group");
    const auto x = random_normal({6, 5}, 1);
    EXPECT_TRUE(torch::equal(kernel.matrix(x, x), same.matrix(x, x)));
    EXPECT_EQ(kernel.hyperparameters().size(0), 3);
    EXPECT_EQ(CovarianceKernel(groups, "Matern 5/2", "each input")
                .hyperparameters()
                .size(0),
              6);
    EXPECT_EQ(CovarianceKernel(groups, "Matern 5/2", "shared")
                .hyperparameters()
                .size(0),
              2);
    EXPECT_EQ(CovarianceKernel(groups, "Matern 5/2", "varying")
                .hyperparameters()
                .size(0),
              16);
  }



  // Until something is known of it, a length that may vary does not.
  TEST(CovarianceKernel, LengthsVaryFromEachInputOn)
  {
    const auto x = random_normal({6, 5}, 1), y = random_normal({8, 5}, 2);
    EXPECT_LT(
      distance(
        CovarianceKernel({2, 3}, "Matern 5/2", "varying").matrix(x, y),
        CovarianceKernel({2, 3}, "Matern 5/2", "each input").matrix(x, y)),
      1e-14);
  }



  // Far outside of what has been learned, lengths and covariances are finite.
  TEST(CovarianceKernel, LengthsThatVaryAreBounded)
  {
    const auto kernel = make_kernel({"Matern 5/2", "varying"});
    const auto x      = 1e3 * random_normal({6, 5}, 1);
    const auto found  = kernel.matrix(x, x);
    EXPECT_TRUE(found.isfinite().all().item<bool>());
    EXPECT_LT(distance(found.diagonal(), kernel.diagonal(x)),
              1e-11 * kernel.diagonal(x).norm().item<double>());
  }



  TEST(CovarianceKernel, UnknownNames)
  {
    const std::vector<long> groups = {2, 3};
    expect_sentence(message_of<InputError>(
                      [&] { CovarianceKernel(groups, "Matern 7/2"); }),
                    {"kernel", "'Matern 7/2'", CovarianceKernel::shapes()});
    expect_sentence(message_of<InputError>([&] {
                      CovarianceKernel(groups, "Matern 3/2", "every input");
                    }),
                    {"length scales",
                     "'every input'",
                     CovarianceKernel::length_scale_choices()});
  }
} // namespace
