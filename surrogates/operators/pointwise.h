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
   */
  class PointwiseLinear : public torch::nn::Module
  {
  public:
    /** Weights and bias uniform in ±1/√in_channels. */
    PointwiseLinear(const long in_channels, const long out_channels);

    /** [n, in, …] → [n, out, …] */
    torch::Tensor
    forward(const torch::Tensor &fields);

    /** The same, added to @p sum, [n, out, …]. */
    torch::Tensor
    add_to(const torch::Tensor &sum, const torch::Tensor &fields);

  private:
    torch::Tensor weight; ///< [out, in]
    torch::Tensor bias;   ///< [out, 1]
  };
} // namespace neuraldeal

#endif
