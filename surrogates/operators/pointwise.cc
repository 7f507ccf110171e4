// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/operators/pointwise.h>

#include <cmath>

namespace neuraldeal
{
  PointwiseLinear::PointwiseLinear(const long in_channels,
                                   const long out_channels)
  {
    const double bound = 1. / std::sqrt(double(in_channels));
    weight             = register_parameter(
      "weight",
      torch::empty({out_channels, in_channels}).uniform_(-bound, bound));
    bias = register_parameter(
      "bias", torch::empty({out_channels, 1}).uniform_(-bound, bound));
  }



  torch::Tensor
  PointwiseLinear::forward(const torch::Tensor &fields)
  {
    auto shape      = fields.sizes().vec();
    shape[1]        = weight.size(0);
    const auto rows = fields.flatten(2);
    return torch::baddbmm(bias, weight.expand({rows.size(0), -1, -1}), rows)
      .reshape(shape);
  }



  torch::Tensor
  PointwiseLinear::add_to(const torch::Tensor &sum, const torch::Tensor &fields)
  {
    const auto rows = fields.flatten(2);
    return (sum.flatten(2) + bias)
      .baddbmm_(weight.expand({rows.size(0), -1, -1}), rows)
      .reshape(sum.sizes());
  }
} // namespace neuraldeal
