// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/operators/layer_observer.h>
#include <neuraldeal/surrogates/operators/pointwise.h>

#include <cmath>

namespace neuraldeal
{
  namespace
  {
    /** One map for all rows; groups of them are nobody's linear layer. */
    void
    observe(const torch::Tensor &weight,
            const torch::Tensor &bias,
            const torch::Tensor &input,
            const torch::Tensor &output)
    {
      auto *const observer = LayerObserver::current();
      if (observer && weight.dim() == 2)
        observer->add(
          {ObservedLayer::Kind::channels_first, weight, bias, input, output});
    }
  } // namespace



  PointwiseLinear::PointwiseLinear(const long in_channels,
                                   const long out_channels,
                                   const long groups)
    : groups(groups)
  {
    const double              bound = 1. / std::sqrt(double(in_channels));
    std::vector<std::int64_t> weight_shape = {out_channels, in_channels},
                              bias_shape   = {out_channels, 1};
    if (groups > 1)
      for (auto *shape : {&weight_shape, &bias_shape})
        shape->insert(shape->begin(), groups);
    weight =
      register_parameter("weight",
                         torch::empty(weight_shape).uniform_(-bound, bound));
    bias = register_parameter("bias",
                              torch::empty(bias_shape).uniform_(-bound, bound));
  }



  torch::Tensor
  PointwiseLinear::rows(const torch::Tensor &fields) const
  {
    return fields.reshape(
      {fields.size(0) * groups, fields.size(1) / groups, -1});
  }



  torch::Tensor
  PointwiseLinear::weights_of_rows(const long n_rows) const
  {
    if (groups == 1)
      return weight.expand({n_rows, -1, -1});
    return weight.expand({n_rows / groups, -1, -1, -1}).flatten(0, 1);
  }



  torch::Tensor
  PointwiseLinear::bias_of_rows(const long n_rows) const
  {
    if (groups == 1)
      return bias;
    return bias.expand({n_rows / groups, -1, -1, -1}).flatten(0, 1);
  }



  torch::Tensor
  PointwiseLinear::forward(const torch::Tensor &fields)
  {
    const auto x     = rows(fields);
    auto       shape = fields.sizes().vec();
    shape[1]         = groups * weight.size(-2);
    const auto result =
      torch::baddbmm(bias_of_rows(x.size(0)), weights_of_rows(x.size(0)), x);
    observe(weight, bias, x, result);
    return result.reshape(shape);
  }



  torch::Tensor
  PointwiseLinear::add_to(const torch::Tensor &sum, const torch::Tensor &fields)
  {
    const auto x       = rows(fields);
    const auto weights = weights_of_rows(x.size(0));
    auto       start   = rows(sum) + bias_of_rows(x.size(0));
    // What is added to need not be copied, unless lower precisions mix types.
    if (start.scalar_type() == weights.scalar_type() &&
        start.scalar_type() == x.scalar_type())
      start.baddbmm_(weights, x);
    else
      start = torch::baddbmm(start, weights, x);
    observe(weight, bias, x, start);
    return start.reshape(sum.sizes());
  }
} // namespace neuraldeal
