// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/kernel_regression.h>
#include <neuraldeal/surrogates/sparse_kernel_regression.h>

#include <cmath>
#include <limits>

#include "kernel_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const KernelChoice usual = {"Matern 5/2", "each group"};

  constexpr double noise = 1e-2;

  /** Those of @p kernel and the noise. */
  torch::Tensor
  with_noise(const CovarianceKernel &kernel)
  {
    return torch::cat({kernel.hyperparameters(),
                       torch::full({1}, std::log(noise), torch::kFloat64)});
  }

  template <typename Regression>
  Regression
  make(const KernelChoice &choice)
  {
    const auto kernel = make_kernel(choice);
    Regression regression(kernel);
    regression.set_hyperparameters(with_noise(kernel));
    return regression;
  }

  KernelRegression
  exact(const KernelChoice  &choice,
        const torch::Tensor &x,
        const torch::Tensor &y)
  {
    auto regression = make<KernelRegression>(choice);
    regression.add(x, y);
    return regression;
  }

  /** With the inducing inputs @p z. */
  SparseKernelRegression
  sparse(const KernelChoice  &choice,
         const torch::Tensor &z,
         const torch::Tensor &x,
         const torch::Tensor &y)
  {
    auto regression = make<SparseKernelRegression>(choice);
    regression.set_inducing(z);
    regression.add(x, y);
    return regression;
  }

  /** All rows but begin, …, end − 1. */
  torch::Tensor
  without(const torch::Tensor &rows, const long begin, const long end)
  {
    return torch::cat({rows.slice(0, 0, begin), rows.slice(0, end)});
  }



  class SparseKernelRegressionTest : public testing::TestWithParam<KernelChoice>
  {};

  INSTANTIATE_TEST_SUITE_P(All,
                           SparseKernelRegressionTest,
                           testing::ValuesIn(kernel_choices()),
                           name_of_choice);



  TEST_P(SparseKernelRegressionTest, AllInputsAsInducingAreTheExactProcess)
  {
    const KernelData data(60);
    const auto       whole = exact(GetParam(), data.x, data.y);
    const auto       found = sparse(GetParam(), data.x, data.x, data.y);
    EXPECT_LT(distance(found.predict(data.at), whole.predict(data.at)), 1e-8);
    EXPECT_LT(distance(found.leverage(data.at), whole.leverage(data.at)), 1e-8);
    EXPECT_LT(distance(found.noise_variance(), whole.noise_variance()), 1e-8);
    const auto [cost, gradient]        = found.cost(data.x, data.y);
    const auto [of_whole, of_gradient] = whole.cost(data.x, data.y);
    EXPECT_NEAR(cost, of_whole, 1e-8 * std::abs(of_whole));
    EXPECT_LT(distance(gradient, of_gradient),
              1e-8 * of_gradient.abs().max().item<double>());
    for (const long count : {1, 4})
      {
        const auto left_out = found.leave_out(data.x.slice(0, 7, 7 + count),
                                              data.y.slice(0, 7, 7 + count));
        const auto expected = whole.leave_out(7, 7 + count);
        EXPECT_LT(distance(left_out.mean, expected.mean), 1e-8);
        EXPECT_LT(distance(left_out.leverage, expected.leverage), 1e-8);
      }
  }



  TEST_P(SparseKernelRegressionTest, GradientIsADifferenceQuotient)
  {
    const KernelData data(50);
    auto             regression = make<SparseKernelRegression>(GetParam());
    regression.set_inducing(random_normal({12, 5}, 14));
    const auto at       = regression.hyperparameters();
    const auto gradient = regression.cost(data.x, data.y).second;
    check_gradient(
      [&](const torch::Tensor &values) {
        regression.set_hyperparameters(values);
        return regression.cost(data.x, data.y).first;
      },
      gradient,
      at,
      1e-7);
  }



  // Titsias's bound by whole matrices, whose determinant and trace are those
  // of n rows.
  TEST_P(SparseKernelRegressionTest, CostIsTheBound)
  {
    const KernelData data(50);
    const auto       z          = random_normal({12, 5}, 14);
    const auto       kernel     = make_kernel(GetParam());
    auto             regression = make<SparseKernelRegression>(GetParam());
    regression.set_inducing(z);

    const auto   k = kernel.matrix(data.x, z);
    const auto   q = torch::mm(k, at::linalg_solve(kernel.matrix(z, z), k.t()));
    const auto   c = q + noise * torch::eye(50, torch::kFloat64);
    const auto   fit = (data.y * at::linalg_solve(c, data.y)).sum(0);
    const double left =
      (kernel.diagonal(data.x) - q.diagonal()).sum().item<double>();
    const double expected =
      50. * fit.log().sum().item<double>() +
      3. * (at::linalg_eigvalsh(c).log().sum().item<double>() + left / noise);
    EXPECT_NEAR(regression.cost(data.x, data.y).first,
                expected,
                1e-9 * std::abs(expected));
  }



  // The variance is the prior's, less what z tells, more what the rows leave
  // unknown of z; by whole matrices as Titsias's section 3 has it.
  TEST(SparseKernelRegression, PosteriorIsThatOfThePaper)
  {
    const KernelData data(50);
    const auto       z          = random_normal({12, 5}, 14);
    const auto       kernel     = make_kernel(usual);
    const auto       regression = sparse(usual, z, data.x, data.y);

    const auto k_zz = kernel.matrix(z, z), k_zx = kernel.matrix(z, data.x),
               k_az  = kernel.matrix(data.at, z);
    const auto sigma = at::linalg_inv(k_zz + torch::mm(k_zx, k_zx.t()) / noise);
    EXPECT_LT(distance(regression.predict(data.at),
                       torch::mm(k_az,
                                 torch::mm(sigma, torch::mm(k_zx, data.y))) /
                         noise),
              1e-9);
    const auto variance =
      kernel.diagonal(data.at) -
      torch::mm(torch::mm(k_az, at::linalg_inv(k_zz) - sigma), k_az.t())
        .diagonal();
    EXPECT_LT(distance(regression.leverage(data.at), variance / noise), 1e-8);
  }



  TEST(SparseKernelRegression, BoundGrowsTowardsTheEvidence)
  {
    const KernelData data(120);
    const double     evidence =
      make<KernelRegression>(usual).cost(data.x, data.y).first;
    double before = std::numeric_limits<double>::infinity();
    for (const long m : {5, 10, 20, 40, 80, 119, 120})
      {
        auto regression = make<SparseKernelRegression>(usual);
        regression.choose_inducing(data.x, m);
        ASSERT_EQ(regression.inducing().size(0), m);
        const double cost = regression.cost(data.x, data.y).first;
        EXPECT_LT(cost, before);
        EXPECT_GT(cost, evidence - 1e-7);
        before = cost;
      }
    EXPECT_NEAR(before, evidence, 1e-7);
  }



  TEST(SparseKernelRegression, PredictionsConverge)
  {
    // Dense, so that few inputs tell the others.
    const auto x = 0.3 * random_normal({400, 5}, 31),
               y = torch::cat({x.sum(1, true).sin(), x.prod(1, true)}, 1) +
                   0.01 * random_normal({400, 2}, 32),
               at        = 0.3 * random_normal({100, 5}, 33);
    const auto whole     = exact(usual, x, y);
    const auto mean      = whole.predict(at);
    const auto expected  = whole.leverage(at);
    double     before[2] = {1e300, 1e300};
    for (const long m : {10, 40, 120, 300})
      {
        auto regression = make<SparseKernelRegression>(usual);
        regression.choose_inducing(x, m);
        regression.add(x, y);
        const auto   leverage = regression.leverage(at);
        const double errors[] = {distance(regression.predict(at), mean),
                                 distance(leverage, expected)};
        std::printf("%ld: mean %.1e, leverage %.1e of %.1e\n",
                    m,
                    errors[0],
                    errors[1],
                    expected.max().item<double>());
        for (const int i : {0, 1})
          {
            EXPECT_LT(errors[i], 0.8 * before[i]) << m;
            before[i] = errors[i];
          }
      }
    EXPECT_LT(before[0], 3e-3);
    EXPECT_LT(before[1], 0.05 * expected.max().item<double>());
  }



  TEST(SparseKernelRegression, InducingInputsAreThoseThatAreToldLeast)
  {
    const KernelData data(40);
    const auto       kernel     = make_kernel(usual);
    auto             regression = make<SparseKernelRegression>(usual);
    regression.choose_inducing(data.x, 15);
    const auto z = regression.inducing();
    for (long m = 0; m < 15; ++m)
      {
        // The variance of all inputs, given the values at the first m.
        auto variance = kernel.diagonal(data.x);
        if (m > 0)
          {
            const auto first = z.slice(0, 0, m);
            const auto k     = kernel.matrix(data.x, first);
            variance =
              variance -
              (k * at::linalg_solve(kernel.matrix(first, first), k.t()).t())
                .sum(1);
          }
        EXPECT_TRUE(torch::equal(data.x[variance.argmax().item<long>()], z[m]))
          << m;
      }
  }



  TEST(SparseKernelRegression, WhatIsToldIsNotTakenTwice)
  {
    const KernelData data(30);
    const auto       x = data.x.repeat({3, 1}), y = data.y.repeat({3, 1});
    for (const auto &choice : kernel_choices())
      {
        auto regression = make<SparseKernelRegression>(choice);
        regression.choose_inducing(x, 90);
        EXPECT_EQ(regression.inducing().size(0), 30);
        regression.add(x, y);
        EXPECT_LT(distance(regression.predict(data.at),
                           exact(choice, x, y).predict(data.at)),
                  1e-8);
      }
  }



  TEST(SparseKernelRegression, BlocksAddUp)
  {
    const KernelData data(3000); // more than are added at once
    const auto       z    = data.x.slice(0, 0, 20);
    const auto       once = sparse(usual, z, data.x, data.y);
    auto             many =
      sparse(usual, z, data.x.slice(0, 0, 11), data.y.slice(0, 0, 11));
    many.add(data.x.slice(0, 11, 12), data.y.slice(0, 11, 12));
    many.add(data.x.slice(0, 12), data.y.slice(0, 12));
    EXPECT_LT(distance(once.predict(data.at), many.predict(data.at)), 1e-10);
    EXPECT_LT(distance(once.leverage(data.at), many.leverage(data.at)), 1e-10);
    EXPECT_LT(distance(once.noise_variance(), many.noise_variance()), 1e-10);
    EXPECT_EQ(many.state().n_rows, 3000);
  }



  // The first rows are inducing inputs as well.
  TEST(SparseKernelRegression, LeavingOutIsRefitting)
  {
    const KernelData data(80);
    const auto       z     = data.x.slice(0, 0, 20);
    const auto       whole = sparse(usual, z, data.x, data.y);
    for (const auto &[begin, end] :
         std::vector<std::pair<long, long>>{{0, 1}, {5, 9}, {18, 23}, {40, 47}})
      {
        const auto rows = data.x.slice(0, begin, end);
        const auto left_out =
          whole.leave_out(rows, data.y.slice(0, begin, end));
        const auto refitted =
          sparse(usual,
                 without(z, std::min(begin, 20l), std::min(end, 20l)),
                 without(data.x, begin, end),
                 without(data.y, begin, end));
        EXPECT_LT(distance(left_out.mean, refitted.predict(rows)), 1e-9);
        EXPECT_LT(distance(left_out.leverage, refitted.leverage(rows)), 1e-8);
      }
  }



  // Rows that come again with another rounding are still found among the
  // inducing inputs.
  TEST(SparseKernelRegression, LeavingOutBearsRounding)
  {
    const KernelData data(80);
    const auto       z     = data.x.slice(0, 0, 20);
    const auto       whole = sparse(usual, z, data.x, data.y);
    const auto       rows = data.x.slice(0, 3, 5), y = data.y.slice(0, 3, 5);
    const auto       expected = whole.leave_out(rows, y),
               found          = whole.leave_out(rows * (1. + 1e-14), y);
    EXPECT_LT(distance(found.mean, expected.mean), 1e-9);
    EXPECT_LT(distance(found.leverage, expected.leverage), 1e-7);
  }



  // What is kept, and with it the operations of a prediction.
  TEST(SparseKernelRegression, NothingGrowsWithTheRows)
  {
    const KernelData few(100), many(2000);
    const auto       z = few.x.slice(0, 0, 20);
    const auto       a = sparse(usual, z, few.x, few.y).state(),
               b       = sparse(usual, z, many.x, many.y).state();
    const std::vector<std::int64_t> gram = {20, 20}, moments = {20, 3};
    for (const auto &state : {a, b})
      {
        EXPECT_EQ(state.inducing.sizes().vec(), z.sizes().vec());
        EXPECT_EQ(state.gram.sizes().vec(), gram);
        EXPECT_EQ(state.moments.sizes().vec(), moments);
        EXPECT_EQ(state.squares.numel(), 3);
      }
    EXPECT_EQ(a.n_rows, 100);
    EXPECT_EQ(b.n_rows, 2000);
  }



  TEST(SparseKernelRegression, StateIsEverything)
  {
    const KernelData       data(80);
    const auto             found = sparse(usual, data.at, data.x, data.y);
    SparseKernelRegression copy(make_kernel({"Matern 5/2", "each group"}));
    copy.set_state(found.state());
    EXPECT_TRUE(torch::equal(copy.predict(data.at), found.predict(data.at)));
    EXPECT_TRUE(torch::equal(copy.leverage(data.at), found.leverage(data.at)));
    const auto a = copy.leave_out(data.x.slice(0, 2, 4), data.y.slice(0, 2, 4)),
               b =
                 found.leave_out(data.x.slice(0, 2, 4), data.y.slice(0, 2, 4));
    EXPECT_TRUE(torch::equal(a.mean, b.mean));
    EXPECT_TRUE(torch::equal(a.leverage, b.leverage));
    // The file that it has been read from is not written to.
    const auto gram = copy.state().gram.clone();
    const auto kept = copy.state();
    copy.add(data.x, data.y);
    EXPECT_TRUE(torch::equal(kept.gram, gram));
  }



  // Noise and lengths that data have been made with are found again, by a
  // bound that is close to the evidence.
  TEST(SparseKernelRegression, BoundFindsTheNoise)
  {
    const auto kernel = make_kernel(usual);
    const auto x      = 0.15 * random_normal({300, 5}, 21);
    const auto l      = at::linalg_cholesky(
      kernel.matrix(x, x) + noise * torch::eye(300, torch::kFloat64));
    const auto             y = torch::mm(l, random_normal({300, 12}, 22));
    SparseKernelRegression regression(CovarianceKernel({2, 3}));
    regression.maximize_evidence(x, y, 150);
    EXPECT_EQ(regression.inducing().size(0), 150);
    const auto found    = regression.hyperparameters();
    const auto expected = with_noise(kernel);
    EXPECT_NEAR(found[0].item<double>(), expected[0].item<double>(), 0.2);
    EXPECT_NEAR(found[1].item<double>(), expected[1].item<double>(), 0.2);
    EXPECT_NEAR(found[3].item<double>(), std::log(noise), 0.3);

    KernelRegression whole(CovarianceKernel({2, 3}));
    whole.set_hyperparameters(found);
    const double per_number =
      (regression.cost(x, y).first - whole.cost(x, y).first) / y.numel();
    std::printf("the bound is %.2g below the evidence, for each number\n",
                per_number);
    EXPECT_GT(per_number, 0.);
    EXPECT_LT(per_number, 0.2);
  }



  TEST(SparseKernelRegression, FarFromEverythingNothingIsKnown)
  {
    const KernelData data(80);
    const auto       regression = sparse(usual, data.at, data.x, data.y);
    const double     near = regression.leverage(data.at).max().item<double>();
    const auto       far  = torch::full({1, 5}, 50., torch::kFloat64);
    EXPECT_GT(regression.leverage(far).item<double>(), 1. / noise);
    EXPECT_LT(near, 0.5 / noise);
    EXPECT_TRUE(std::isnan(
      regression.leverage(far * std::numeric_limits<double>::quiet_NaN())
        .item<double>()));
  }



  TEST(SparseKernelRegression, OutputsThatAreZeroStayZero)
  {
    const KernelData       data(40);
    const auto             zero = torch::zeros_like(data.y);
    SparseKernelRegression regression(CovarianceKernel({2, 3}));
    regression.maximize_evidence(data.x, zero, 10);
    regression.add(data.x, zero);
    EXPECT_EQ(regression.predict(data.at).abs().max().item<double>(), 0.);
    EXPECT_EQ(regression.noise_variance().max().item<double>(), 0.);
  }
} // namespace
