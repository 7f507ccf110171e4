// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_layer_observer_h
#define neuraldeal_surrogates_operators_layer_observer_h

#include <torch/types.h>

#include <functional>
#include <vector>

namespace neuraldeal
{
  /** What has gone into a linear layer, and what has come out. */
  struct ObservedLayer
  {
    enum class Kind
    {
      channels_first, ///< PointwiseLinear, [n, in, P] → [n, out, P]
      features_last,  ///< FeatureLinear, [rows …, in] → [rows …, out]
      spectral        ///< SpectralConvolution, [K, n, in, 2] → [K, n, out, 2]
    };

    Kind          kind;
    torch::Tensor weight;
    torch::Tensor bias; ///< not defined where there is none
    torch::Tensor input;
    torch::Tensor output; ///< with its place in the graph of derivatives

    /** Which of a spectral layer's modes these are, [K]; see weights. */
    torch::Tensor modes = {};

    /** The field that a spectral layer's output is the coefficients of. */
    torch::Tensor field = {};

    /**
     * How: [K, n, out, 2] → [n, out, …], linear, for any n; not defined where
     * fast transforms are used.
     */
    std::function<torch::Tensor(const torch::Tensor &coefficients)> synthesis =
      {};
  };



  /**
   * While it lives, the linear layers that this thread evaluates are written
   * down, in the order in which they are called: for methods that need the
   * inputs of layers and the derivatives by their outputs. (LibTorch has no
   * hooks on the modules of C++.) Of two of them, the younger one observes.
   */
  class LayerObserver
  {
  public:
    /**
     * Derivatives are recorded, or not, as they are without it.
     */
    LayerObserver();

    /**
     * Those alone whose weight or bias is one of @p weights. Derivatives are
     * recorded from the output of the first one on: what comes before costs
     * what it costs without derivatives. Afterwards it is as before.
     */
    explicit LayerObserver(const std::vector<torch::Tensor> &weights);

    ~LayerObserver();

    LayerObserver(const LayerObserver &) = delete;
    LayerObserver &
    operator=(const LayerObserver &) = delete;

    /** The one that observes this thread, or nullptr. */
    static LayerObserver *
    current();

    /** What layers call. */
    void
    add(const ObservedLayer &layer);

    /** The youngest one if it has this @p weight, or nullptr. */
    ObservedLayer *
    youngest_of(const torch::Tensor &weight);

    std::vector<ObservedLayer> layers;

  private:
    LayerObserver *const             before;
    const std::vector<torch::Tensor> chosen;
    const bool                       recorded_before;
  };
} // namespace neuraldeal

#endif
