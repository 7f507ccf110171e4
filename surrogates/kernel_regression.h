// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_kernel_regression_h
#define neuraldeal_surrogates_kernel_regression_h

#include <neuraldeal/surrogates/covariance_kernel.h>

#include <utility>
#include <vector>

namespace neuraldeal
{
  /**
   * Kernel regression of r outputs on d inputs, which is the mean of a
   * Gaussian process: y_j = f_j(x) + ε_j with f_j ~ GP(0, σ_j² k) and noise
   * ε_j ~ N(0, σ_j² λ) (Rasmussen and Williams, "Gaussian processes for
   * machine learning", 2006, chapters 2 and 5), with k by CovarianceKernel.
   *
   * The predictive variance is σ_j² λ (1 + leverage) with
   *   leverage = (k(x, x) − k_xᵀ C⁻¹ k_x)/λ,  C = K + λ I,
   * which is the leverage of LinearRegression for its kernel. All tensors
   * are float64. Where C is too close to singular to be factored, noise is
   * added, as covariance_factor() says.
   *
   * With n rows a prediction costs O(n (d + r)) operations for the mean and
   * O(n²) for the leverage; SparseKernelRegression is for more than a few
   * thousand.
   */
  class KernelRegression
  {
  public:
    /** Without rows; λ = 1e-4 at first. */
    explicit KernelRegression(const CovarianceKernel &kernel);

    /**
     * With the default kernel.
     * @param groups the number of inputs of each group, which add up to d.
     */
    explicit KernelRegression(const std::vector<long> &groups);

    /**
     * Choose lengths, b and λ by the largest marginal likelihood of these
     * rows, [n, d] and [n, r], with the σ_j² profiled out (Rasmussen and
     * Williams, section 5.4.1); L-BFGS with analytic gradients. The rows are
     * not learned.
     */
    void
    maximize_evidence(const torch::Tensor &x, const torch::Tensor &y);

    /**
     * Minus the logarithm of the marginal likelihood, up to a constant, and
     * its gradient by hyperparameters().
     */
    std::pair<double, torch::Tensor>
    cost(const torch::Tensor &x, const torch::Tensor &y) const;

    /**
     * Learn rows: the Cholesky factor of C grows by a block, in O(n² m)
     * operations for m rows after n.
     */
    void
    add(const torch::Tensor &x, const torch::Tensor &y);

    /** The posterior mean, [n, d] → [n, r]. */
    torch::Tensor
    predict(const torch::Tensor &x) const;

    /** The leverage of each row, [n, d] → [n]. */
    torch::Tensor
    leverage(const torch::Tensor &x) const;

    struct LeftOut
    {
      torch::Tensor mean;     ///< [m, r]
      torch::Tensor leverage; ///< [m]
    };

    /**
     * What would be predicted for the learned rows begin, …, end − 1 had
     * they not been learned, all of them together: with B = (C⁻¹)_BB the
     * residuals are B⁻¹ (C⁻¹ y)_B, the predictive variances diag(B⁻¹) (the
     * same book, section 5.4.2).
     */
    LeftOut
    leave_out(const long begin, const long end) const;

    /**
     * leave_out() of every learned row by itself, all at once in O(n³)
     * operations.
     */
    LeftOut
    leave_one_out() const;

    /** The noise variance σ_j² λ of each output, [r]. */
    torch::Tensor
    noise_variance() const;

    /** How many rows have been learned. */
    long
    n_rows() const
    {
      return x_rows.defined() ? x_rows.size(0) : 0;
    }

    const CovarianceKernel &
    covariance() const
    {
      return kernel;
    }

    /** As CovarianceKernel has them, then log λ. */
    torch::Tensor
    hyperparameters() const;

    /** Set them; rows that have been learned are kept. */
    void
    set_hyperparameters(const torch::Tensor &values);

    /**
     * Everything that has been learned. Taking it back gives the same
     * predictions bit for bit, which learning the rows again would not: the
     * factor depends on the blocks that they came in.
     */
    struct State
    {
      torch::Tensor hyperparameters; ///< as hyperparameters() gives them
      torch::Tensor inputs;          ///< x, [n, d]
      torch::Tensor outputs;         ///< y, [n, r]
      torch::Tensor factor;          ///< L with C = L Lᵀ, [n, n]
      torch::Tensor whitened;        ///< L⁻¹ y, [n, r]
    };

    State
    state() const
    {
      return {hyperparameters(), x_rows, y_rows, factor, whitened};
    }

    void
    set_state(const State &state);

  private:
    double
    noise() const;

    /** Change the hyperparameters and nothing else. */
    void
    take_hyperparameters(const torch::Tensor &values);

    CovarianceKernel kernel;
    double           log_noise;
    torch::Tensor    x_rows, y_rows;
    torch::Tensor    factor;   ///< L with C = L Lᵀ
    torch::Tensor    whitened; ///< L⁻¹ y
    torch::Tensor    weights;  ///< C⁻¹ y
  };
} // namespace neuraldeal

#endif
