// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/operators/slice_attention.h>
#include <torch/nn/init.h>

#include <cmath>

namespace neuraldeal
{
  namespace
  {
    // Below this temperature the softmax is a choice, and its gradient noise.
    constexpr double lowest_temperature = 0.01;

    // Where Transolver starts.
    constexpr double first_temperature = 0.5;

    // A feature that is one in every point, eight times: products on a GPU are
    // slow for sizes that are no multiples of eight.
    constexpr long n_ones = 8;

    // A slice to which no point belongs is zero and not a quotient of zeros.
    constexpr double smallest_slice = 1e-6;
  } // namespace



  SliceAttention::SliceAttention(const Parameters &parameters)
    : settings(parameters)
  {
    const long width = parameters.width;
    if (width % parameters.heads != 0)
      throw InputError("attention",
                       "width",
                       std::to_string(width),
                       "a multiple of heads, which is " +
                         std::to_string(parameters.heads));
    const long m = width / parameters.heads;

    if (parameters.convolution_dim == 0)
      projection = register_module("projection",
                                   std::make_shared<FeatureLinear>(
                                     width, width, false, parameters.members));
    else
      convolution = register_module(
        "convolution",
        std::make_shared<FeatureConvolution>(
          width, width, parameters.convolution_dim, parameters.members));

    // Orthogonal as in Transolver: slices that differ from the beginning.
    std::vector<torch::Tensor> of_members;
    for (long i = 0; i < parameters.members; ++i)
      of_members.push_back(
        torch::nn::init::orthogonal_(torch::empty({parameters.slices, m})));
    const auto shape = [&](std::vector<std::int64_t> sizes) {
      if (parameters.members > 1)
        sizes.insert(sizes.begin(), parameters.members);
      return sizes;
    };
    slices = register_parameter(
      "slices",
      torch::stack(of_members).reshape(shape({parameters.slices, m})));
    slices_bias =
      register_parameter("slices_bias",
                         torch::zeros(shape({parameters.slices, 1})));
    if (parameters.point_temperature)
      temperature =
        register_parameter("temperature", torch::zeros(shape({1, m})));
    temperature_offset =
      register_parameter("temperature_offset",
                         torch::full(shape({parameters.heads, 1, 1}),
                                     std::log(std::expm1(first_temperature -
                                                         lowest_temperature))));

    // Without biases, whose gradients are sums over all points: that of the
    // keys would change nothing at all, those of others little.
    query_key_value = register_module(
      "query_key_value",
      std::make_shared<FeatureLinear>(m, 3 * m, false, parameters.members));
    output = register_module(
      "output",
      std::make_shared<FeatureLinear>(width, width, false, parameters.members));
  }



  torch::Tensor
  SliceAttention::project(const torch::Tensor  &features,
                          const torch::Tensor  &mask,
                          const at::IntArrayRef grid)
  {
    if (projection)
      return projection->forward(features);

    // A convolution reads the neighbours, masked ones among them.
    return convolution->forward(
      mask.defined() ?
        features.masked_fill(mask.logical_not().unsqueeze(2), 0.) :
        features,
      grid);
  }



  torch::Tensor
  SliceAttention::for_all_heads(const torch::Tensor &weights) const
  {
    return settings.members > 1 ? weights.unsqueeze(1).unsqueeze(1) : weights;
  }



  torch::Tensor
  SliceAttention::slice_weights(const torch::Tensor &y)
  {
    auto offset = settings.members > 1 ? temperature_offset.unsqueeze(1) :
                                         temperature_offset;
    if (settings.point_temperature)
      {
        const auto features = y.slice(-1, 0, slices.size(-1));
        offset =
          offset +
          (settings.members > 1 ?
             torch::matmul(features,
                           for_all_heads(temperature).transpose(-2, -1)) :
             at::linear(features, temperature));
      }
    const auto tau = at::softplus(offset) + lowest_temperature;
    const auto A   = for_all_heads(
      torch::constant_pad_nd(torch::cat({slices, slices_bias}, -1),
                             {0, n_ones - 1}));
    // The temperature divides features or slices and not the weights, of
    // which there are many.
    auto logits =
      settings.point_temperature ?
        (settings.members > 1 ? torch::matmul(y / tau, A.transpose(-2, -1)) :
                                at::linear(y / tau, A)) :
        torch::matmul(y, (A / tau).transpose(-2, -1));
    if (settings.noise && is_training())
      // A logarithm of exponential numbers has Gumbel's distribution.
      logits = logits - torch::empty_like(logits).exponential_().log() / tau;
    // This function keeps the type, torch::softmax makes mixed precision
    // single; its sums are single in any case.
    return at::_softmax(logits, -1, false);
  }



  torch::Tensor
  SliceAttention::forward(const torch::Tensor  &features,
                          const torch::Tensor  &mask,
                          const at::IntArrayRef grid)
  {
    auto heads   = features.sizes().vec(); // […, P, heads, m]
    heads.back() = settings.heads;
    heads.push_back(-1);

    // The ones carry the slices' bias, and count the points: one product
    // gives numerators and denominators.
    const auto y = torch::constant_pad_nd(
      project(features, mask, grid).reshape(heads).transpose(-3, -2),
      {0, n_ones},
      1.);
    const auto w = slice_weights(y);

    const long m = slices.size(-1);
    const auto counted =
      mask.defined() ?
        y.masked_fill(mask.logical_not().unsqueeze(1).unsqueeze(3), 0.) :
        y;
    const auto sums = torch::matmul(w.transpose(-2, -1), counted);
    const auto s =
      sums.slice(-1, 0, m) / sums.slice(-1, m, m + 1).clamp_min(smallest_slice);

    const double dropout = is_training() ? settings.dropout : 0.;
    const auto   qkv     = query_key_value->forward(s).chunk(3, -1);
    // Members are further samples here, for kernels know four indices.
    const auto of_samples = [](const torch::Tensor &tensor) {
      return tensor.flatten(0, -4);
    };
    const auto t = compat::scaled_dot_product_attention(of_samples(qkv[0]),
                                                        of_samples(qkv[1]),
                                                        of_samples(qkv[2]),
                                                        dropout)
                     .reshape(s.sizes());

    const auto z = torch::matmul(w, t).transpose(-3, -2).flatten(-2);
    return torch::dropout(output->forward(z), dropout, is_training());
  }
} // namespace neuraldeal
