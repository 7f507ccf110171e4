// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/covariance_factor.h>

#include <limits>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  torch::Tensor
  product(const torch::Tensor &factor)
  {
    return torch::mm(factor, factor.t());
  }



  // What has a factor keeps it, bit for bit.
  TEST(CovarianceFactor, AddsNothingWhereItNeedsNothing)
  {
    const auto a = random_normal({20, 20}, 1);
    const auto c = torch::mm(a, a.t()) + 0.1 * torch::eye(20, torch::kFloat64);
    EXPECT_TRUE(torch::equal(covariance_factor(c), compat::cholesky(c)));
    const auto more = c + 1e-12 * 3. * torch::eye(20, torch::kFloat64);
    EXPECT_TRUE(
      torch::equal(covariance_factor(c, 3., 1e-12), compat::cholesky(more)));
  }



  // Rows that are the same ones: the rank is five, and what is added to the
  // diagonal, the same everywhere, is within a hundred times of what the
  // smallest eigenvalue lacks.
  TEST(CovarianceFactor, AddsAsLittleAsItCan)
  {
    for (const double variance : {1e-6, 1., 1e9})
      {
        const auto a      = random_normal({5, 5}, 2).repeat({8, 1});
        const auto c      = variance * torch::mm(a, a.t());
        const auto factor = covariance_factor(c);
        ASSERT_TRUE(factor.isfinite().all().item<bool>());
        EXPECT_TRUE(torch::equal(factor, factor.tril()));
        EXPECT_LT(distance(product(factor) / variance, c / variance), 1e-10);
      }
    for (const double lacking : {1e-11, 1e-7, 3e-5})
      {
        auto c  = torch::eye(4, torch::kFloat64);
        c[3][3] = -lacking;
        const auto added =
          (product(covariance_factor(c)) - c).diagonal().contiguous();
        for (long i = 0; i < 4; ++i)
          {
            EXPECT_GE(added[i].item<double>(), lacking - 1e-15);
            EXPECT_LE(added[i].item<double>(), 100. * lacking + 1e-15);
            EXPECT_LE(added[i].item<double>(), 1e-4 + 1e-15);
          }
      }
  }



  TEST(CovarianceFactor, RefusesWhatIsNoCovariance)
  {
    auto c  = torch::eye(4, torch::kFloat64);
    c[3][3] = -1e-3;
    EXPECT_THROW(covariance_factor(c), c10::Error);
    EXPECT_THROW(covariance_factor(-torch::eye(3, torch::kFloat64)),
                 c10::Error);
  }
} // namespace
