// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_field_distribution_h
#define neuraldeal_surrogates_uncertainty_field_distribution_h

#include <torch/types.h>

#include <functional>

namespace neuraldeal
{
  /**
   * A normal distribution of fields for each of n inputs. Its covariance is
   * F Fᵀ + diag(v): what the errors of points have in common, in a few
   * directions, and what each has by itself. "…" are any dimensions: channels
   * and points, or all N values.
   */
  struct FieldDistribution
  {
    torch::Tensor mean;     ///< [n, …]
    torch::Tensor factor;   ///< F, [n, …, k] with k ≥ 0; or undefined
    torch::Tensor variance; ///< v, [n, …]; or undefined

    /** What it says of every value, [n, …]: the diagonal of F Fᵀ + v. */
    torch::Tensor
    pointwise_variance() const;

    /**
     * The same of fields without shape: [n, N], [n, N, k] and [n, N], with
     * k = 0 and zeros in the place of what is undefined.
     */
    FieldDistribution
    flattened() const;

    /**
     * The mean square of the distance from the mean, [n]: trace(M·Cov) for
     * ‖e‖² = eᵀ M e.
     * @param square ‖e‖² of fields, [n, …] → [n].
     * @param diagonal the diagonal of M, to be broadcast with [n, …].
     */
    torch::Tensor
    mean_square_distance(
      const std::function<torch::Tensor(const torch::Tensor &)> &square,
      const torch::Tensor &diagonal) const;

    /**
     * The distribution with the mean and the covariance of samples,
     * [m, n, …] with m ≥ 2: F holds their deviations over √(m − 1).
     */
    static FieldDistribution
    of_samples(const torch::Tensor &samples);
  };
} // namespace neuraldeal

#endif
