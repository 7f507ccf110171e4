// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_kronecker_curvature_h
#define neuraldeal_surrogates_uncertainty_kronecker_curvature_h

#include <neuraldeal/surrogates/uncertainty/curvature.h>

#include <vector>

namespace neuraldeal
{
  /**
   * A block of H for each linear layer, as a Kronecker product (Martens and
   * Grosse, arXiv:1503.05671): the gradient of the weights M of a layer with
   * the input a is g aᵀ, g being that of its output, and
   *   E[(g aᵀ) ⊗ (g aᵀ)] ≈ E[g gᵀ] ⊗ E[a aᵀ] = B ⊗ A,  H M ≈ B M A.
   * Exact where one of the two is the same in all samples and points. A bias is
   * a weight of the input 1, as far as both are chosen and have the same prior.
   *
   * A layer that is used in R points has the gradient Σ_r g_r a_rᵀ, for which
   * there are two forms (Eschenhagen et al., arXiv:2311.00636; the first one is
   * that of Grosse and Martens, arXiv:1602.01407):
   *   expand: points are independent as samples are,
   *           A = mean over samples and points, B = sum over both;
   *           exact for what acts at each point by itself, as a last layer;
   *   reduce: A of mean_r a_r, B of Σ_r g_r;
   *           exact where the answer is a mean over points.
   *
   * A mode of a spectral convolution is a layer of its own, z = Wᵀ x in complex
   * numbers, with the gradient x̄ gᵀ. What is random here is circular: the
   * phases of g are those of white noise at the points of the output, so that
   * E[g gᵀ] = 0 and only E[g gᴴ] counts. Then the block is complex linear,
   *   H W ≈ ½ A W B,  A = E[x̄ xᵀ],  B = E[ḡ gᵀ],
   * the ½ from the two real numbers of which a complex one is made. The mode of
   * frequency zero is real: x is, and so is the part of z that is used. It is
   * taken as a real layer with twice the outputs.
   *
   * Weights of other kinds (slices and temperatures of an attention, biases
   * without a layer, convolutions over neighbours) have the diagonal of H.
   *
   * Gradients are those of random signs times W^{1/2}, see
   * GaussNewton::diagonal(), or, with no draws, of every value of every sample.
   */
  class KroneckerCurvature : public Curvature
  {
  public:
    /**
     * @param groups of each part of @p weights: those with the same prior.
     * @param reduce instead of expand.
     * @param n_draws per batch; 0: every value by itself.
     */
    KroneckerCurvature(const WeightSelection   &weights,
                       const std::vector<long> &groups,
                       const bool               reduce,
                       const long               n_draws,
                       const std::uint64_t      seed);

    void
    fit(const GaussNewton &H) override;

    void
    set_scales(const torch::Tensor &prior_precision,
               const double         beta) override;

    double
    log_determinant() const override;

    torch::Tensor
    variances() const override;

    torch::Tensor
    multiply(const torch::Tensor &vectors) const override;

    torch::Tensor
    multiply_root(const torch::Tensor &vectors) const override;

    torch::Tensor
    curvature_product(const torch::Tensor &vectors) const override;

    State
    state() const override;

    void
    set_state(const State &state, const WeightSelection &weights) override;

    /**
     * K layers of the same shape, real or complex: with the eigenvectors U, V
     * of the factors of rows and columns, H and Σ multiply the entries of
     * Uᴴ M V by numbers.
     */
    struct Block
    {
      /** Whose weights these are; what is not chosen is not defined. */
      torch::Tensor weight, bias;

      /** Of a spectral layer: which of its modes, [K]. */
      torch::Tensor modes;

      /** Where M stands among the weights, int64 [K, rows, columns]. */
      torch::Tensor index;

      /** Of complex weights index is [K, rows, columns, 2]. */
      bool is_complex = false;

      torch::Tensor row_vectors, column_vectors; ///< U, V
      torch::Tensor curvature; ///< eigenvalues of H, [K, rows, columns]
      torch::Tensor variance;  ///< eigenvalues of Σ, likewise
    };

    /** Those of all layers. */
    const std::vector<Block> &
    all_blocks() const
    {
      return blocks;
    }

  private:
    struct Factors;

    /** Apply @p eigenvalues in the bases of all blocks and the rest. */
    template <typename Eigenvalues>
    torch::Tensor
    apply(const torch::Tensor &vectors,
          const torch::Tensor &of_rest,
          const Eigenvalues   &eigenvalues) const;

    const WeightSelection   weights;
    const std::vector<long> groups;
    const bool              reduce;
    const long              n_draws;
    const std::uint64_t     seed;

    std::vector<Block> blocks;
    torch::Tensor      rest; ///< numbers of the weights without a block
    torch::Tensor      rest_curvature, rest_variance;
  };
} // namespace neuraldeal

#endif
