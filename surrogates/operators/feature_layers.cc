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
                               const bool has_bias)
  {
    const double bound = 1. / std::sqrt(double(n_inputs));
    weight             = register_parameter(
      "weight", torch::empty({n_outputs, n_inputs}).uniform_(-bound, bound));
    if (has_bias)
      bias =
        register_parameter("bias",
                           torch::empty({n_outputs}).uniform_(-bound, bound));
  }



  torch::Tensor
  FeatureLinear::forward(const torch::Tensor &rows)
  {
    const auto result = bias.defined() ? at::linear(rows, weight, bias) :
                                         at::linear(rows, weight);
    if (auto *const observer = LayerObserver::current())
      observer->layers.push_back(
        {ObservedLayer::Kind::features_last, weight, bias, rows, result});
    return result;
  }



  FeatureConvolution::FeatureConvolution(const long n_inputs,
                                         const long n_outputs,
                                         const long dim)
  {
    const double bound = 1. / std::sqrt(n_inputs * std::pow(3., dim));
    std::vector<std::int64_t> shape(2 + dim, 3);
    shape[0] = n_outputs;
    shape[1] = n_inputs;
    weight =
      register_parameter("weight", torch::empty(shape).uniform_(-bound, bound));
  }



  torch::Tensor
  FeatureConvolution::forward(const torch::Tensor  &rows,
                              const at::IntArrayRef grid)
  {
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
          x = at::conv1d(x, weight, {}, 1, 1);
          break;
        case 2:
          x = at::conv2d(x, weight, {}, 1, 1);
          break;
        default:
          x = at::conv3d(x, weight, {}, 1, 1);
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
                                 const bool       has_bias)
    : activation(activation)
  {
    for (long l = 0; l <= n_hidden_layers; ++l)
      layers.push_back(
        register_module("layer_" + std::to_string(l),
                        std::make_shared<FeatureLinear>(
                          l == 0 ? n_inputs : width,
                          l == n_hidden_layers ? n_outputs : width,
                          has_bias)));
  }



  torch::Tensor
  FeatureNetwork::forward(const torch::Tensor &rows)
  {
    auto x = layers.front()->forward(rows);
    for (std::size_t l = 1; l < layers.size(); ++l)
      x = layers[l]->forward(activation == Activation::gelu ? at::gelu(x) :
                                                              at::tanh(x));
    return x;
  }
} // namespace neuraldeal
