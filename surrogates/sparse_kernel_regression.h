// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_sparse_kernel_regression_h
#define neuraldeal_surrogates_sparse_kernel_regression_h

#include <neuraldeal/surrogates/covariance_kernel.h>
#include <neuraldeal/surrogates/linear_regression.h>

#include <utility>

namespace neuraldeal
{
  /**
   * The Gaussian process of KernelRegression for many rows: what is known of
   * f stands in its values at m inducing inputs z (Titsias, "Variational
   * learning of inducing variables in sparse Gaussian processes", AISTATS
   * 2009). With K_uu = k(z, z) = L Lᵀ and the features φ(x) = L⁻¹ k(z, x) the
   * best posterior of these values is LinearRegression of y on φ with the
   * regularization λ, and
   *   mean      φᵀ w,  w = A⁻¹ Φᵀ y,  A = λ I + Φᵀ Φ,
   *   variance  σ_j² (k(x, x) − φᵀ φ + λ φᵀ A⁻¹ φ) + σ_j² λ
   * (section 3 there). The leverage is the variance of f over that of the
   * noise, σ_j² λ, like that of KernelRegression: what the inducing inputs do
   * not tell counts as unknown.
   *
   * Rows enter by sums only. A row costs O(m²) operations to learn, a
   * prediction O(m (d + r)) for the mean and O(m²) for the leverage, whatever
   * the number of rows. All tensors are float64.
   *
   * K_uu has 1e-12 of its mean diagonal added to the diagonal, more (in
   * powers of 100) where it has no Cholesky factor otherwise. The bound
   * stays one: values at z are then told with that noise.
   */
  class SparseKernelRegression
  {
  public:
    /** Without inducing inputs and rows; λ = 1e-4 at first. */
    explicit SparseKernelRegression(const CovarianceKernel &kernel);

    /**
     * Take at most @p maximum of the rows of @p x, [n, d], as inducing
     * inputs: one after another that whose value the ones before tell least,
     * which is Cholesky's method for k(x, x) with pivots (Fine and Scheinberg,
     * JMLR 2, 2001). They make the bound converge: Burt, Rasmussen and van
     * der Wilk, arXiv:1903.03571 and JMLR 21, 2020. Fewer are taken where the
     * others are told up to a share of λ that changes nothing. O(n m (d + m))
     * operations. Forgets what has been learned.
     */
    void
    choose_inducing(const torch::Tensor &x, const long maximum);

    /** Take the rows of @p z, [m, d], all different, instead. */
    void
    set_inducing(const torch::Tensor &z);

    /**
     * Choose lengths, b and λ by the largest bound for these rows, [n, d] and
     * [n, r], starting at those that are set; L-BFGS with analytic gradients.
     * The inducing inputs are chosen among the rows, at most @p maximum,
     * before the search, after it, and once in between (as the second paper
     * above advises), while they are held fixed in the search. O(n m²)
     * operations a step. The rows are not learned.
     * @param max_iterations of each of the two searches.
     */
    void
    maximize_evidence(const torch::Tensor &x,
                      const torch::Tensor &y,
                      const long           maximum,
                      const long           max_iterations = 10);

    /**
     * Minus twice the bound of the logarithm of the marginal likelihood with
     * the σ_j² profiled out (the collapsed bound), and its gradient by
     * hyperparameters(), inducing inputs held fixed:
     *   n Σ_j log y_jᵀ C⁻¹ y_j + r log |C| + r trace(K − Q)/λ
     * with C = Q + λ I and Q = Φ Φᵀ, which is not below
     * KernelRegression::cost() and sinks with every inducing input.
     */
    std::pair<double, torch::Tensor>
    cost(const torch::Tensor &x, const torch::Tensor &y) const;

    /** Learn rows, [n, d] and [n, r]. */
    void
    add(const torch::Tensor &x, const torch::Tensor &y);

    /** The posterior mean, [n, d] → [n, r]. */
    torch::Tensor
    predict(const torch::Tensor &x) const;

    /** The leverage of each row, [n, d] → [n]. */
    torch::Tensor
    leverage(const torch::Tensor &x) const;

    using LeftOut = LinearRegression::LeftOut;

    /**
     * What would be predicted for rows that have been learned had they not
     * been, all of them together, nor been inducing inputs as far as they
     * are: with T an orthonormal basis of the columns of L⁻¹ that belong to
     * these inputs, φ loses the directions T, and A⁻¹ becomes
     *   A⁻¹ − A⁻¹ T (Tᵀ A⁻¹ T)⁻¹ Tᵀ A⁻¹.
     * The hyperparameters and the other inducing inputs stay. O(m²)
     * operations a row.
     */
    LeftOut
    leave_out(const torch::Tensor &x, const torch::Tensor &y) const;

    /** The noise variance σ_j² λ of each output, [r]. */
    torch::Tensor
    noise_variance() const;

    /** As CovarianceKernel has them, then log λ. */
    torch::Tensor
    hyperparameters() const;

    /** Set them; forgets what has been learned. */
    void
    set_hyperparameters(const torch::Tensor &values);

    /** The inducing inputs z, [m, d]. */
    const torch::Tensor &
    inducing() const
    {
      return z;
    }

    /** Everything that has been learned, as it is stored in a file. */
    struct State
    {
      torch::Tensor hyperparameters; ///< as hyperparameters() gives them
      torch::Tensor inducing;        ///< z, [m, d]
      torch::Tensor gram;            ///< Φᵀ Φ, [m, m]
      torch::Tensor moments;         ///< Φᵀ y, [m, r]
      torch::Tensor squares;         ///< Σ y_j², [r]
      long          n_rows = 0;
    };

    State
    state() const;

    void
    set_state(const State &state);

  private:
    /** The Cholesky factor L of K_uu for the present hyperparameters. */
    torch::Tensor
    inducing_factor() const;

    /** φ of each row, [n, d] → [n, m]. */
    torch::Tensor
    features(const torch::Tensor &x) const;

    /** k(x, x) − |φ|² of each row, [n]. */
    torch::Tensor
    untold(const torch::Tensor &x, const torch::Tensor &phi) const;

    double
    noise() const;

    /** From the sums of rows to what predictions need. */
    void
    update_posterior();

    CovarianceKernel kernel;
    double           log_noise;
    torch::Tensor    z;
    torch::Tensor    lower;   ///< L
    LinearRegression last;    ///< y on φ
    torch::Tensor    weights; ///< L⁻ᵀ w, of k(z, x)
  };
} // namespace neuraldeal

#endif
