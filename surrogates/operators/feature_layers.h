// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_feature_layers_h
#define neuraldeal_surrogates_operators_feature_layers_h

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  // Layers on tensors with the features last, [rows …, features]: rows are
  // points, slices or samples. (PointwiseLinear has the channels in front.)

  /** The same affine map of the features of every row. */
  class FeatureLinear : public torch::nn::Module
  {
  public:
    /** Weights and bias uniform in ±1/√n_inputs. */
    FeatureLinear(const long n_inputs,
                  const long n_outputs,
                  const bool has_bias = true);

    /** [rows …, inputs] → [rows …, outputs] */
    torch::Tensor
    forward(const torch::Tensor &rows);

  private:
    torch::Tensor weight; ///< [outputs, inputs]
    torch::Tensor bias;   ///< [outputs], or not defined
  };



  /**
   * A linear map of the features of every point of a grid and its neighbours,
   * three points in every direction; beyond the grid is zero.
   */
  class FeatureConvolution : public torch::nn::Module
  {
  public:
    /** Weights uniform in ±1/√(3^dim n_inputs). One to three dimensions. */
    FeatureConvolution(const long n_inputs,
                       const long n_outputs,
                       const long dim);

    /**
     * [n, P, inputs] → [n, P, outputs]
     * @param grid s_1, …, s_d with the product P.
     */
    torch::Tensor
    forward(const torch::Tensor &rows, const at::IntArrayRef grid);

  private:
    torch::Tensor weight; ///< [outputs, inputs, 3, …, 3]
  };



  /**
   * The features of every row, [rows …, features], shifted and scaled to mean
   * 0 and variance 1 (Ba, Kiros and Hinton, arXiv:1607.06450). The factors and
   * shifts of that paper are left to the linear map that follows.
   */
  torch::Tensor
  normalized_features(const torch::Tensor &rows);



  /** What stands between the layers of a FeatureNetwork. */
  enum class Activation
  {
    gelu,
    tanh
  };

  /**
   * The one called "GELU" or "tanh".
   * @throw InputError naming @p source for another @p name.
   */
  Activation
  activation_by_name(const std::string &name, const std::string &source);

  /** A multilayer perceptron on the features of every row. */
  class FeatureNetwork : public torch::nn::Module
  {
  public:
    /**
     * @param n_hidden_layers of @p width features each; without any the
     * network is an affine map.
     * @param has_bias of all layers: whether they are affine or linear.
     */
    FeatureNetwork(const long       n_inputs,
                   const long       n_outputs,
                   const long       width,
                   const long       n_hidden_layers,
                   const Activation activation = Activation::gelu,
                   const bool       has_bias   = true);

    /** [rows …, inputs] → [rows …, outputs] */
    torch::Tensor
    forward(const torch::Tensor &rows);

  private:
    const Activation                            activation;
    std::vector<std::shared_ptr<FeatureLinear>> layers;
  };
} // namespace neuraldeal

#endif
