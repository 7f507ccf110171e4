// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_linear_regression_h
#define neuraldeal_surrogates_linear_regression_h

#include <torch/types.h>

namespace neuraldeal
{
  /**
   * Bayesian linear regression of r outputs on p features, used as the last
   * layer of a network: y_j = φᵀ w_j + ε_j with noise ε_j ~ N(0, σ_j²) and
   * prior w_j ~ N(0, σ_j²/λ · I). The posterior is closed form (Bishop,
   * "Pattern Recognition and Machine Learning", 2006, section 3.3):
   *   w_j = A⁻¹ Φᵀ y_j,  A = λ I + Φᵀ Φ,
   * with predictive variance σ_j² (1 + φᵀ A⁻¹ φ). The number φᵀ A⁻¹ φ is
   * called leverage. Since λ scales with the noise, all outputs share A.
   */
  class LinearRegression
  {
  public:
    /** Without data. All tensors here are float64. */
    LinearRegression(const long n_features, const long n_outputs);

    /** Learn the rows of @p features, [n, p], and @p outputs, [n, r]. */
    void
    add(const torch::Tensor &features, const torch::Tensor &outputs);

    /**
     * Choose λ by the largest marginal likelihood, with the σ_j profiled
     * out (Bishop, section 3.5), then compute the posterior.
     */
    void
    maximize_evidence();

    /** Choose λ = @p value, then compute the posterior. */
    void
    set_regularization(const double value);

    /** The posterior mean, [n, p] → [n, r]. */
    torch::Tensor
    predict(const torch::Tensor &features) const;

    /** The leverage of each row, [n, p] → [n]. */
    torch::Tensor
    leverage(const torch::Tensor &features) const;

    struct LeftOut
    {
      torch::Tensor mean;     ///< [n, r]
      torch::Tensor leverage; ///< [n]
    };

    /**
     * What would be predicted for these rows had they not been added, all of
     * them together: with H = Φ_B A⁻¹ Φ_Bᵀ the residuals become
     * (I − H)⁻¹ e_B, the leverages the diagonal of H (I − H)⁻¹.
     */
    LeftOut
    leave_out(const torch::Tensor &features,
              const torch::Tensor &outputs) const;

    /** The noise variance of each output by marginal likelihood, [r]. */
    torch::Tensor
    noise_variance() const;

    /** A⁻¹ b, [p, k] → [p, k], after one of the functions that choose λ. */
    torch::Tensor
    solve(const torch::Tensor &right_hand_sides) const;

    double
    regularization() const
    {
      return lambda;
    }

    /** Sufficient statistics, which are also what is stored in a file. */
    torch::Tensor gram;    ///< Φᵀ Φ, [p, p]
    torch::Tensor moments; ///< Φᵀ Y, [p, r]
    torch::Tensor squares; ///< Σ y_j², [r]
    long          n_rows = 0;

  private:
    double        lambda = 1.;
    torch::Tensor factor;  ///< the Cholesky factor of A
    torch::Tensor weights; ///< [p, r]
  };
} // namespace neuraldeal

#endif
