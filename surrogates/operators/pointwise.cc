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
    const auto rows    = fields.flatten(2);
    const auto weights = weight.expand({rows.size(0), -1, -1});
    auto       start   = sum.flatten(2) + bias;
    // What is added to need not be copied, unless lower precisions mix types.
    if (start.scalar_type() == weights.scalar_type() &&
        start.scalar_type() == rows.scalar_type())
      start.baddbmm_(weights, rows);
    else
      start = torch::baddbmm(start, weights, rows);
    return start.reshape(sum.sizes());
  }
} // namespace neuraldeal
