// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_triangular_solves_h
#define neuraldeal_surrogates_triangular_solves_h

#include <torch/types.h>

namespace neuraldeal
{
  /** L⁻¹ B for a lower triangular L, [n, n], and B, [n, k]. */
  inline torch::Tensor
  solve_lower(const torch::Tensor &lower, const torch::Tensor &b)
  {
    return at::linalg_solve_triangular(lower, b, /*upper=*/false);
  }

  /** L⁻ᵀ B. */
  inline torch::Tensor
  solve_lower_transposed(const torch::Tensor &lower, const torch::Tensor &b)
  {
    return at::linalg_solve_triangular(lower.t(), b, /*upper=*/true);
  }
} // namespace neuraldeal

#endif
