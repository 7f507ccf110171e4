// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/kernel_regression.h>

#include <cmath>

#include "kernel_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const std::vector<long> groups = {2, 3};

  torch::Tensor
  hyperparameters()
  {
    return torch::tensor({0.3, -0.2, std::log(0.4), std::log(1e-2)},
                         torch::kFloat64);
  }

  /** k(x, x'), by the book, pair by pair. */
  torch::Tensor
  kernel(const torch::Tensor &x, const torch::Tensor &y)
  {
    auto result = torch::empty({x.size(0), y.size(0)}, torch::kFloat64);
    for (long i = 0; i < x.size(0); ++i)
      for (long j = 0; j < y.size(0); ++j)
        {
          const auto   d = (x[i] - y[j]).square();
          const double r =
            std::sqrt(d.slice(0, 0, 2).sum().item<double>() / std::exp(0.6) +
                      d.slice(0, 2, 5).sum().item<double>() / std::exp(-0.4));
          const double s = std::sqrt(5.) * r;
          result[i][j]   = (1. + s + s * s / 3.) * std::exp(-s) +
                         0.4 * (1. + x[i].dot(y[j]).item<double>() / 5.);
        }
    return result;
  }

  struct Data
  {
    torch::Tensor x = random_normal({40, 5}, 11);
    torch::Tensor y = torch::cat({x.slice(1, 0, 1).sin(),
                                  x.slice(1, 1, 2) * x.slice(1, 2, 3),
                                  x.sum(1, true)},
                                 1) +
                      0.05 * random_normal({40, 3}, 12);
    torch::Tensor at = random_normal({7, 5}, 13);
  };

  KernelRegression
  fitted(const torch::Tensor &x, const torch::Tensor &y)
  {
    KernelRegression regression(groups);
    regression.set_hyperparameters(hyperparameters());
    regression.add(x, y);
    return regression;
  }



  TEST(KernelRegression, PosteriorIsThatOfTheTextbook)
  {
    const Data   data;
    const double noise      = 1e-2;
    const auto   regression = fitted(data.x, data.y);
    const auto   inverse    = at::linalg_inv(
      kernel(data.x, data.x) + noise * torch::eye(40, torch::kFloat64));
    const auto k = kernel(data.at, data.x);
    EXPECT_LT(distance(regression.predict(data.at),
                       torch::mm(torch::mm(k, inverse), data.y)),
              1e-9);
    const auto variance = kernel(data.at, data.at).diagonal() -
                          torch::mm(torch::mm(k, inverse), k.t()).diagonal();
    EXPECT_LT(distance(regression.leverage(data.at), variance / noise), 1e-9);
    const auto expected =
      noise * (data.y * torch::mm(inverse, data.y)).sum(0) / 40.;
    EXPECT_LT(distance(regression.noise_variance(), expected), 1e-10);
  }



  TEST(KernelRegression, BlocksAddUp)
  {
    const Data data;
    const auto once  = fitted(data.x, data.y);
    auto       twice = fitted(data.x.slice(0, 0, 11), data.y.slice(0, 0, 11));
    twice.add(data.x.slice(0, 11, 12), data.y.slice(0, 11, 12));
    twice.add(data.x.slice(0, 12), data.y.slice(0, 12));
    EXPECT_LT(distance(once.predict(data.at), twice.predict(data.at)), 1e-11);
    EXPECT_LT(distance(once.leverage(data.at), twice.leverage(data.at)), 1e-9);
    EXPECT_TRUE(torch::equal(twice.state().inputs, data.x));
    EXPECT_TRUE(torch::equal(twice.state().outputs, data.y));
  }



  // A row at a time, which is how a program's queries come.
  TEST(KernelRegression, ManyUpdatesAreTheBatch)
  {
    const long n = 1000;
    const auto x = random_normal({n, 5}, 14),
               y = torch::cat({x.sum(1, true).sin(), x.slice(1, 0, 1)}, 1) +
                   0.05 * random_normal({n, 2}, 15);
    const Data data;
    auto       one_by_one = fitted(x.slice(0, 0, 1), y.slice(0, 0, 1));
    for (long i = 1; i < n; ++i)
      one_by_one.add(x.slice(0, i, i + 1), y.slice(0, i, i + 1));
    const auto batch = fitted(x, y);
    EXPECT_LT(distance(one_by_one.predict(data.at), batch.predict(data.at)),
              1e-8);
    EXPECT_LT(distance(one_by_one.leverage(data.at), batch.leverage(data.at)),
              1e-8);
    EXPECT_LT(distance(one_by_one.noise_variance(), batch.noise_variance()),
              1e-8);
    const auto a = one_by_one.leave_out(500, 502),
               b = batch.leave_out(500, 502);
    EXPECT_LT(distance(a.mean, b.mean), 1e-8);
    EXPECT_LT(distance(a.leverage, b.leverage), 1e-8);
  }



  TEST(KernelRegression, LeavingOutIsRefitting)
  {
    const Data data;
    const auto regression = fitted(data.x, data.y);
    for (const auto &[begin, end] :
         std::vector<std::pair<long, long>>{{0, 1}, {5, 9}, {32, 40}})
      {
        const auto without =
          fitted(torch::cat({data.x.slice(0, 0, begin), data.x.slice(0, end)}),
                 torch::cat({data.y.slice(0, 0, begin), data.y.slice(0, end)}));
        const auto left_out = regression.leave_out(begin, end);
        const auto rows     = data.x.slice(0, begin, end);
        EXPECT_LT(distance(left_out.mean, without.predict(rows)), 1e-9);
        EXPECT_LT(distance(left_out.leverage, without.leverage(rows)), 1e-8);
      }
    const auto one_by_one = regression.leave_one_out();
    for (long i = 0; i < 40; ++i)
      {
        const auto left_out = regression.leave_out(i, i + 1);
        EXPECT_LT(distance(left_out.mean, one_by_one.mean.slice(0, i, i + 1)),
                  1e-9);
        EXPECT_NEAR(left_out.leverage[0].item<double>(),
                    one_by_one.leverage[i].item<double>(),
                    1e-8);
      }
  }



  class KernelRegressionTest : public testing::TestWithParam<KernelChoice>
  {};

  INSTANTIATE_TEST_SUITE_P(All,
                           KernelRegressionTest,
                           testing::ValuesIn(kernel_choices()),
                           name_of_choice);



  TEST_P(KernelRegressionTest, GradientOfTheEvidence)
  {
    const Data       data;
    const auto       kernel = make_kernel(GetParam());
    KernelRegression regression(kernel);
    const auto       at =
      torch::cat({kernel.hyperparameters(),
                  torch::full({1}, std::log(1e-2), torch::kFloat64)});
    regression.set_hyperparameters(at);
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



  // A better likelihood with each new freedom of the lengths, and predictions
  // that are not far from the truth.
  TEST_P(KernelRegressionTest, EvidenceFindsLengths)
  {
    const auto       x = random_normal({80, 5}, 16);
    const auto       y = torch::sin(x.slice(1, 1, 2)) + x.slice(1, 3, 4);
    KernelRegression regression(
      CovarianceKernel({2, 3}, GetParam().first, GetParam().second));
    const double before = regression.cost(x, y).first;
    regression.maximize_evidence(x, y);
    EXPECT_LT(regression.cost(x, y).first, before);
    if (GetParam().second == "each input")
      {
        // Only the inputs 1 and 3 have influence; input 3 needs no length.
        const auto found = regression.hyperparameters();
        for (const long i : {0, 2, 4})
          EXPECT_GT(found[i].item<double>(), found[1].item<double>() + 1.);
      }
    regression.add(x, y);
    const auto at = random_normal({50, 5}, 17);
    EXPECT_LT((regression.predict(at) - torch::sin(at.slice(1, 1, 2)) -
               at.slice(1, 3, 4))
                .square()
                .mean()
                .sqrt()
                .item<double>(),
              GetParam().second == "each input" ? 0.2 : 0.4);
  }



  // The cost is that of Gaussian vectors with covariance σ_j² C, up to what
  // does not depend on the hyperparameters, at the best σ_j.
  TEST(KernelRegression, CostIsThatOfTheLikelihood)
  {
    const Data       data;
    KernelRegression regression(groups);
    const auto       cost = [&](const double noise) {
      auto values = hyperparameters();
      values[3]   = std::log(noise);
      regression.set_hyperparameters(values);
      return regression.cost(data.x, data.y).first;
    };
    const auto direct = [&](const double noise) {
      const auto c =
        kernel(data.x, data.x) + noise * torch::eye(40, torch::kFloat64);
      const auto eigenvalues = at::linalg_eigvalsh(c);
      const auto q = (data.y * torch::mm(at::linalg_inv(c), data.y)).sum(0);
      return 3. * eigenvalues.log().sum().item<double>() +
             40. * q.log().sum().item<double>();
    };
    EXPECT_NEAR(cost(1e-3) - cost(1e-1), direct(1e-3) - direct(1e-1), 1e-7);
  }



  // Noise and length that data have been made with are found again.
  TEST(KernelRegression, EvidenceFindsTheNoise)
  {
    // Dense enough for neighbours to tell noise from roughness.
    const auto   x     = 0.2 * random_normal({150, 5}, 21);
    const double noise = 1e-2;
    const auto   l     = at::linalg_cholesky(
      kernel(x, x) + noise * torch::eye(150, torch::kFloat64));
    const auto       y = torch::mm(l, random_normal({150, 12}, 22));
    KernelRegression regression(groups);
    regression.maximize_evidence(x, y);
    const auto found = regression.hyperparameters();
    EXPECT_NEAR(found[0].item<double>(), 0.3, 0.15);
    EXPECT_NEAR(found[1].item<double>(), -0.2, 0.15);
    EXPECT_NEAR(found[3].item<double>(), std::log(noise), 0.4);
    // and it is a stationary point
    const auto [value, gradient] = regression.cost(x, y);
    EXPECT_TRUE(std::isfinite(value));
    EXPECT_LT(gradient.abs().max().item<double>() / y.numel(), 1e-3);
  }



  TEST(KernelRegression, OutputsThatAreZeroStayZero)
  {
    const Data       data;
    KernelRegression regression(groups);
    regression.maximize_evidence(data.x, torch::zeros_like(data.y));
    regression.add(data.x, torch::zeros_like(data.y));
    EXPECT_EQ(regression.predict(data.at).abs().max().item<double>(), 0.);
    EXPECT_EQ(regression.noise_variance().max().item<double>(), 0.);
  }
} // namespace
