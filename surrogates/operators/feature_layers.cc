// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/operators/feature_layers.h>
#include <neuraldeal/surrogates/operators/layer_observer.h>

#include <cmath>

namespace neuraldeal
{
  FeatureLinear::FeatureLinear(const long n_inputs,
                               const long n_outputs,
                               const bool has_bias,
                               const long members)
    : members(members)
  {
    const double              bound        = 1. / std::sqrt(double(n_inputs));
    std::vector<std::int64_t> weight_shape = {n_outputs, n_inputs},
                              bias_shape   = {n_outputs};
    if (members > 1)
      for (auto *shape : {&weight_shape, &bias_shape})
        shape->insert(shape->begin(), members);
    weight =
      register_parameter("weight",
                         torch::empty(weight_shape).uniform_(-bound, bound));
    if (has_bias)
      bias =
        register_parameter("bias",
                           torch::empty(bias_shape).uniform_(-bound, bound));
  }



  torch::Tensor
  FeatureLinear::of_members(const torch::Tensor &rows, const bool shared) const
  {
    if (shared)
      {
        // What all members read is not copied for each of them.
        const auto all = weight.flatten(0, 1);
        const auto x = bias.defined() ? at::linear(rows, all, bias.flatten()) :
                                        at::linear(rows, all);
        auto       shape = rows.sizes().vec();
        shape.back()     = members;
        shape.push_back(-1);
        return x.reshape(shape).movedim(-2, 0);
      }
    auto       shape = rows.sizes().vec();
    const auto x     = rows.reshape({members, -1, shape.back()});
    const auto w     = weight.transpose(1, 2);
    shape.back()     = weight.size(1);
    return (bias.defined() ? torch::baddbmm(bias.unsqueeze(1), x, w) :
                             torch::bmm(x, w))
      .reshape(shape);
  }



  torch::Tensor
  FeatureLinear::forward(const torch::Tensor &rows, const bool shared)
  {
    if (members > 1)
      return of_members(rows, shared);
    const auto result = bias.defined() ? at::linear(rows, weight, bias) :
                                         at::linear(rows, weight);
    if (auto *const observer = LayerObserver::current())
      observer->add(
        {ObservedLayer::Kind::features_last, weight, bias, rows, result});
    return result;
  }



  FeatureConvolution::FeatureConvolution(const long n_inputs,
                                         const long n_outputs,
                                         const long dim,
                                         const long members)
    : members(members)
  {
    const double bound = 1. / std::sqrt(n_inputs * std::pow(3., dim));
    std::vector<std::int64_t> shape(2 + dim, 3);
    shape[0] = n_outputs;
    shape[1] = n_inputs;
    if (members > 1)
      shape.insert(shape.begin(), members);
    weight =
      register_parameter("weight", torch::empty(shape).uniform_(-bound, bound));
  }



  torch::Tensor
  FeatureConvolution::forward(const torch::Tensor  &rows,
                              const at::IntArrayRef grid)
  {
    if (members == 1)
      return convolved(rows, grid);
    // Groups of channels side by side, and back.
    return convolved(rows.permute({1, 2, 0, 3}).flatten(2), grid)
      .reshape({rows.size(1), rows.size(2), members, -1})
      .permute({2, 0, 1, 3});
  }



  torch::Tensor
  FeatureConvolution::convolved(const torch::Tensor  &rows,
                                const at::IntArrayRef grid) const
  {
    const auto filters = members > 1 ? weight.flatten(0, 1) : weight;
    // The features stay the fastest index, which needs no copies, and is what
    // convolutions on a GPU want.
    const long                d     = grid.size();
    std::vector<std::int64_t> shape = {rows.size(0)}, to_front = {0, d + 1},
                              to_back = {0};
    shape.insert(shape.end(), grid.begin(), grid.end());
    shape.push_back(rows.size(2));
    for (long j = 1; j <= d; ++j)
      {
        to_front.push_back(j);
        to_back.push_back(j + 1);
      }
    to_back.push_back(1);
    auto x = rows.reshape(shape).permute(to_front);
    switch (d)
      {
        case 1:
          x = at::conv1d(x, filters, {}, 1, 1, 1, members);
          break;
        case 2:
          x = at::conv2d(x, filters, {}, 1, 1, 1, members);
          break;
        default:
          x = at::conv3d(x, filters, {}, 1, 1, 1, members);
      }
    return x.permute(to_back).flatten(1, d);
  }



  torch::Tensor
  normalized_features(const torch::Tensor &rows)
  {
    return at::layer_norm(rows, rows.sizes().slice(rows.dim() - 1));
  }



  Activation
  activation_by_name(const std::string &name, const std::string &source)
  {
    if (name == "GELU")
      return Activation::gelu;
    if (name == "tanh")
      return Activation::tanh;
    throw InputError(source, "activation", name, "one of: GELU, tanh");
  }



  FeatureNetwork::FeatureNetwork(const long       n_inputs,
                                 const long       n_outputs,
                                 const long       width,
                                 const long       n_hidden_layers,
                                 const Activation activation,
                                 const bool       has_bias,
                                 const long       members,
                                 const bool       shared_layers)
    : activation(activation)
    , shared_layers(shared_layers)
  {
    for (long l = 0; l <= n_hidden_layers; ++l)
      layers.push_back(
        register_module("layer_" + std::to_string(l),
                        std::make_shared<FeatureLinear>(
                          l == 0 ? n_inputs : width,
                          l == n_hidden_layers ? n_outputs : width,
                          has_bias,
                          shared_layers && l < n_hidden_layers ? 1 : members)));
  }



  torch::Tensor
  FeatureNetwork::forward(const torch::Tensor &rows, const bool shared)
  {
    auto x = layers.front()->forward(rows, shared || shared_layers);
    for (std::size_t l = 1; l < layers.size(); ++l)
      x = layers[l]->forward(activation == Activation::gelu ? at::gelu(x) :
                                                              at::tanh(x),
                             shared_layers);
    return x;
  }
} // namespace neuraldeal
