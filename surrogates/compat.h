// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_compat_h
#define neuraldeal_surrogates_compat_h

/**
 * @file
 * Every difference between the LibTorch versions 1.13 to 2.14 that this
 * project meets. Nothing outside this file asks for a version.
 */

#include <torch/types.h>
#include <torch/version.h>

#include <tuple>

namespace neuraldeal::compat
{
  /**
   * Eigenvalues, ascending, and eigenvectors of a symmetric matrix. (The
   * `torch::linalg` functions lost their C++ home in 2.x; the `at::linalg_*`
   * ones exist everywhere.)
   */
  inline std::tuple<torch::Tensor, torch::Tensor>
  symmetric_eigen(const torch::Tensor &matrix)
  {
    return at::linalg_eigh(matrix);
  }

  /** The lower Cholesky factor of a symmetric positive definite matrix. */
  inline torch::Tensor
  cholesky(const torch::Tensor &matrix)
  {
    return at::linalg_cholesky(matrix);
  }
} // namespace neuraldeal::compat

#endif
