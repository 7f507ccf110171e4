// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_last_layer_h
#define neuraldeal_surrogates_uncertainty_last_layer_h

#include <neuraldeal/surrogates/operators/layer_observer.h>
#include <neuraldeal/surrogates/uncertainty/weight_selection.h>

#include <functional>

namespace neuraldeal
{
  /**
   * How an answer y depends on the weights w and b of a layer after which
   * values are at most multiplied by numbers,
   *   y_c(p) = … + g_c(p) (w_c · h(p) + b_c),
   * for the channels c and the points p of each sample. Whether that is so for
   * a network is not seen here: its Jacobian has to be compared.
   */
  struct LastLayer
  {
    torch::Tensor features; ///< h, [n, k, P], in the layer's precision
    torch::Tensor slopes;   ///< g, [n, out, P], in that of y

    /**
     * @param y whose derivatives are recorded from the output of @p layer on.
     * @return tensors that are not defined where shapes say that it cannot be.
     */
    static LastLayer
    of(const ObservedLayer &layer, const torch::Tensor &y);

    /**
     * Where the weights of each output stand among the chosen ones, then its
     * bias, as far as they are chosen: [out, k or k + 1] int64 on the CPU.
     * @param weight, bias nullptr for what is not chosen.
     */
    static torch::Tensor
    numbers(const WeightSelection::Part *weight,
            const WeightSelection::Part *bias);
  };

  /**
   * The derivatives of Σ y by @p variable, zeros if they are independent, in
   * the precision of y. The graph of y is kept.
   * @param channel of y that is summed; −1: all of them.
   */
  torch::Tensor
  derivative_of_sum(const torch::Tensor &y,
                    const torch::Tensor &variable,
                    const long           channel = -1);

  /**
   * Call @p work for blocks of samples, [i, j), and of points, [p, q), that
   * together are all of them: small enough for the cache of a processor, large
   * enough for a GPU.
   */
  void
  for_each_block(
    const torch::Device                                       &device,
    const long                                                 n_samples,
    const long                                                 n_points,
    const std::function<void(long i, long j, long p, long q)> &work);
} // namespace neuraldeal

#endif
