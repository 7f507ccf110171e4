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
  //
  // Of several members these are as many layers, evaluated together, which know
  // nothing of each other: their weights have the member as first index more,
  // and so have the rows, unless all members read the same ones.

  /** The same affine map of the features of every row. */
  class FeatureLinear : public torch::nn::Module
  {
  public:
    /** Weights and bias uniform in ±1/√n_inputs. */
    FeatureLinear(const long n_inputs,
                  const long n_outputs,
                  const bool has_bias = true,
                  const long members  = 1);

    /**
     * [rows …, inputs] → [rows …, outputs]; of several members
     * [members, rows …, inputs] → [members, rows …, outputs].
     * @param shared whether all members read the same rows, [rows …, inputs].
     */
    torch::Tensor
    forward(const torch::Tensor &rows, const bool shared = false);

  private:
    /** forward() of several members. */
    torch::Tensor
    of_members(const torch::Tensor &rows, const bool shared) const;

    const long    members;
    torch::Tensor weight; ///< [outputs, inputs], [members, outputs, inputs]
    torch::Tensor bias;   ///< [outputs], [members, outputs], or not defined
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
                       const long dim,
                       const long members = 1);

    /**
     * [n, P, inputs] → [n, P, outputs]; of several members
     * [members, n, P, inputs] → [members, n, P, outputs].
     * @param grid s_1, …, s_d with the product P.
     */
    torch::Tensor
    forward(const torch::Tensor &rows, const at::IntArrayRef grid);

  private:
    /** [n, P, members·inputs] → [n, P, members·outputs] */
    torch::Tensor
    convolved(const torch::Tensor &rows, const at::IntArrayRef grid) const;

    const long    members;
    torch::Tensor weight; ///< [outputs, inputs, 3, …], [members, outputs, …]
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
     * @param members number of networks.
     * @param shared_layers whether they differ by their last layers only.
     */
    FeatureNetwork(const long       n_inputs,
                   const long       n_outputs,
                   const long       width,
                   const long       n_hidden_layers,
                   const Activation activation    = Activation::gelu,
                   const bool       has_bias      = true,
                   const long       members       = 1,
                   const bool       shared_layers = false);

    /**
     * [rows …, inputs] → [rows …, outputs]; of several members
     * [members, rows …, outputs].
     * @param shared whether all members read the same rows, as FeatureLinear
     * says; so they do where they share layers, whatever is given here.
     */
    torch::Tensor
    forward(const torch::Tensor &rows, const bool shared = false);

  private:
    const Activation                            activation;
    const bool                                  shared_layers;
    std::vector<std::shared_ptr<FeatureLinear>> layers;
  };
} // namespace neuraldeal

#endif
