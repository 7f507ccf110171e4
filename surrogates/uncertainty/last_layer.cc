// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/uncertainty/last_layer.h>
#include <torch/autograd.h>

#include <algorithm>
#include <vector>

namespace neuraldeal
{
  LastLayer
  LastLayer::of(const ObservedLayer &layer, const torch::Tensor &y)
  {
    if (layer.kind == ObservedLayer::Kind::spectral || layer.input.dim() < 3)
      return {};
    auto h = layer.input.detach();
    auto g = derivative_of_sum(y, layer.output);
    if (layer.kind == ObservedLayer::Kind::features_last)
      {
        h = h.transpose(1, -1);
        g = g.transpose(1, -1);
      }
    h = h.flatten(2);
    g = g.flatten(2);
    if (g.size(0) != y.size(0) || g.size(1) != y.size(1) ||
        g.numel() != y.numel() || h.size(0) != g.size(0) ||
        h.size(2) != g.size(2))
      return {};
    return {h, g};
  }



  torch::Tensor
  LastLayer::numbers(const WeightSelection::Part *weight,
                     const WeightSelection::Part *bias)
  {
    std::vector<torch::Tensor> result;
    for (const auto *part : {weight, bias})
      if (part)
        {
          const long out = part->tensor.size(0);
          result.push_back(torch::arange(part->begin, part->end, torch::kInt64)
                             .reshape({out, -1}));
        }
    return torch::cat(result, 1);
  }



  torch::Tensor
  derivative_of_sum(const torch::Tensor &y,
                    const torch::Tensor &variable,
                    const long           channel)
  {
    if (y.requires_grad() && variable.requires_grad())
      {
        auto counted = torch::ones_like(y.detach());
        if (channel >= 0)
          counted.zero_().select(1, channel).fill_(1.);
        const auto gradient = torch::autograd::grad(
          {y}, {variable}, {counted}, true, false, true)[0];
        if (gradient.defined())
          return gradient.to(y.scalar_type());
      }
    return torch::zeros_like(variable.detach(), y.scalar_type());
  }



  void
  for_each_block(
    const torch::Device                                       &device,
    const long                                                 n_samples,
    const long                                                 n_points,
    const std::function<void(long i, long j, long p, long q)> &work)
  {
    const long samples = device.is_cpu() ? 1 : n_samples,
               points  = device.is_cpu() ? 1024 : n_points;
    for (long i = 0; i < n_samples; i += samples)
      for (long p = 0; p < n_points; p += points)
        work(i,
             std::min(i + samples, n_samples),
             p,
             std::min(p + points, n_points));
  }
} // namespace neuraldeal
