// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_field_distribution_h
#define neuraldeal_surrogates_uncertainty_field_distribution_h

#include <torch/types.h>

namespace neuraldeal
{
  /**
   * A normal distribution of fields for each of n inputs. Its covariance is
   * F Fᵀ + diag(v): what the errors of points have in common, in a few
   * directions, and what each has by itself.
   */
  struct FieldDistribution
  {
    torch::Tensor mean;     ///< [n, c, …]
    torch::Tensor factor;   ///< [k, n, c, …], the columns of F; or undefined
    torch::Tensor variance; ///< [n, c, …], v; not defined where it is zero

    /** What it says of every point, [n, c, …]: the diagonal of F Fᵀ + v. */
    torch::Tensor
    pointwise_variance() const;

    /**
     * The distribution with the mean and the covariance of samples,
     * [m, n, c, …] with m ≥ 2: F holds their deviations over √(m − 1).
     */
    static FieldDistribution
    of_samples(const torch::Tensor &samples);
  };
} // namespace neuraldeal

#endif
