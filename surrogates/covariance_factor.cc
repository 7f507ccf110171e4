// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/covariance_factor.h>

#include <algorithm>

namespace neuraldeal
{
  namespace
  {
    /** The first and the last share of the variance that is added. */
    constexpr double first = 1e-14, last = 1e-4;
  } // namespace



  torch::Tensor
  covariance_factor(const torch::Tensor &matrix,
                    const double         variance,
                    const double         least)
  {
    const auto regularized = [&](const double added) {
      return added > 0. ?
               matrix + added * torch::eye(matrix.size(0), torch::kFloat64) :
               matrix;
    };
    double added = least * variance;
    // (The shares are products, which round.)
    while (added < 0.5 * last * variance)
      {
        const auto [factor, failed] =
          at::linalg_cholesky_ex(regularized(added));
        if (failed.item<long>() == 0)
          return factor;
        added = std::max(100. * added, first * variance);
      }
    // What is no number has no factor; it says so.
    return compat::cholesky(regularized(added));
  }



  torch::Tensor
  covariance_factor(const torch::Tensor &matrix)
  {
    return covariance_factor(matrix, matrix.diagonal().max().item<double>());
  }
} // namespace neuraldeal
