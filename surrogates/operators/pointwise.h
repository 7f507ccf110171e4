// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_pointwise_h
#define neuraldeal_surrogates_operators_pointwise_h

#include <torch/nn/module.h>

namespace neuraldeal
{
  /**
   * The same affine map of the channels in every point, on fields with the
   * channels in front of any number of directions.
   *
   * With several groups these are as many maps side by side, each from its own
   * share of the channels to its own share of the output: networks that are
   * evaluated together and know nothing of each other.
   */
  class PointwiseLinear : public torch::nn::Module
  {
  public:
    /**
     * Weights and bias uniform in ±1/√in_channels.
     * @param in_channels, out_channels of each group.
     */
    PointwiseLinear(const long in_channels,
                    const long out_channels,
                    const long groups = 1);

    /** [n, groups·in, …] → [n, groups·out, …] */
    torch::Tensor
    forward(const torch::Tensor &fields);

    /** The same, added to @p sum, [n, groups·out, …]. */
    torch::Tensor
    add_to(const torch::Tensor &sum, const torch::Tensor &fields);

  private:
    /** [n, groups·in, …] → [n·groups, in, P], without copies. */
    torch::Tensor
    rows(const torch::Tensor &fields) const;

    /** A map for each of these rows, [n·groups, out, in]. */
    torch::Tensor
    weights_of_rows(const long n_rows) const;

    /** The bias in the shape of what it is added to, [n·groups, out, 1]. */
    torch::Tensor
    bias_of_rows(const long n_rows) const;

    const long    groups;
    torch::Tensor weight; ///< [out, in], or [groups, out, in] of several
    torch::Tensor bias;   ///< [out, 1], or [groups, out, 1]
  };
} // namespace neuraldeal

#endif
