// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_slice_attention_h
#define neuraldeal_surrogates_operators_slice_attention_h

#include <neuraldeal/surrogates/operators/feature_layers.h>

namespace neuraldeal
{
  /**
   * Physics attention (Wu et al., Transolver, arXiv:2402.02366, equations 2
   * to 4): points are softly assigned to a few slices, the slices attend to
   * each other, and what comes out goes back to the points by the same
   * weights. Time and memory are linear in the number P of points.
   *
   * In each head, with y_i ∈ R^m the projected features of point i,
   *   w_i = softmax((A y_i + a) / τ_i)             weights of the slices,
   *   s_j = Σ_i w_ij y_i / Σ_i w_ij                slices,
   *   t   = softmax(Q s (K s)ᵀ / √m) V s,
   *   z_i = Σ_j w_ij t_j,
   * and the z of all heads together are mapped to the result. A, Q, K, V
   * and a are the same in all heads.
   *
   * As in Transolver++ (Luo et al., arXiv:2502.02414, equations 3 and 4)
   * there is one projection y for weights and slices. The temperature is that
   * of the head, τ = 0.01 + ln(1 + exp(b)), which starts as the 0.5 of
   * Transolver. On demand it depends on the point, b + cᵀ y_i in the place of
   * b, which is smooth and above zero where the τ₀ + cᵀ y_i of the second
   * paper need not be; and its Gumbel noise is drawn in training.
   */
  class SliceAttention : public torch::nn::Module
  {
  public:
    struct Parameters
    {
      long   width   = 64; ///< features of a point, a multiple of heads
      long   heads   = 4;
      long   slices  = 32;
      double dropout = 0.;    ///< of attention and result, in training
      bool   noise   = false; ///< Gumbel noise on the weights, in training
      bool   point_temperature = false; ///< whether τ depends on the point

      /**
       * Dimension of the grids on which the projection is a convolution over
       * three points in every direction; 0: it is pointwise.
       */
      long convolution_dim = 0;

      /** Attentions that are evaluated together; see FeatureLinear. */
      long members = 1;
    };

    /** @throw InputError if width is not a multiple of heads. */
    SliceAttention(const Parameters &parameters);

    /**
     * [n, P, width] → [n, P, width]; of several members
     * [members, n, P, width] → [members, n, P, width].
     * @param mask truth values, [n, P], or not defined. Masked points add
     * nothing to any slice; what is returned in them means nothing.
     * @param grid s_1, …, s_d; needed by the convolution.
     */
    torch::Tensor
    forward(const torch::Tensor  &features,
            const torch::Tensor  &mask = {},
            const at::IntArrayRef grid = {});

  private:
    /** y of all heads, [n, P, width] or [members, n, P, width]. */
    torch::Tensor
    project(const torch::Tensor  &features,
            const torch::Tensor  &mask,
            const at::IntArrayRef grid);

    /**
     * w, from y and ones as [n, heads, P, m + 8] to [n, heads, P, slices], or
     * with the members before n.
     */
    torch::Tensor
    slice_weights(const torch::Tensor &y);

    const Parameters settings; // not to hide Module::parameters()

    std::shared_ptr<FeatureLinear>      projection;
    std::shared_ptr<FeatureConvolution> convolution;

    /**
     * @p weights of the slices, or their temperature, before which samples and
     * heads are put as indices of size one behind the members'.
     */
    torch::Tensor
    for_all_heads(const torch::Tensor &weights) const;

    // Of several members each with these before the others.
    torch::Tensor slices;             ///< A, [slices, m]
    torch::Tensor slices_bias;        ///< a, [slices, 1]
    torch::Tensor temperature;        ///< c, [1, m], where points have τ_i
    torch::Tensor temperature_offset; ///< b, [heads, 1, 1]

    std::shared_ptr<FeatureLinear> query_key_value, output;
  };
} // namespace neuraldeal

#endif
