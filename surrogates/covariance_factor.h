// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_covariance_factor_h
#define neuraldeal_surrogates_covariance_factor_h

#include <torch/types.h>

namespace neuraldeal
{
  /**
   * The lower Cholesky factor of a covariance matrix C, [n, n] float64.
   *
   * In exact arithmetic there is one. By rounding there may be none: where
   * samples are in the same place, or nearly so, and the noise on the diagonal
   * is below the precision of the largest variance. Then it is the factor of
   * C + ε v I with the first of ε = 1e-14, 1e-12, …, 1e-4 that has one: what
   * is added is noise, of a variance that is never above 1e-4 v. A matrix that
   * has a factor gets none of it.
   *
   * @param variance v, the size of the variances.
   * @param least the ε to begin with; that of zero is C as it is.
   * @throw c10::Error for a matrix that has no factor even so, such as one of
   * what is no number.
   */
  torch::Tensor
  covariance_factor(const torch::Tensor &matrix,
                    const double         variance,
                    const double         least = 0.);

  /** The same, with the largest variance on the diagonal of C. */
  torch::Tensor
  covariance_factor(const torch::Tensor &matrix);
} // namespace neuraldeal

#endif
