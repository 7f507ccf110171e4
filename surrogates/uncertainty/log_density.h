// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_log_density_h
#define neuraldeal_surrogates_uncertainty_log_density_h

#include <torch/types.h>

#include <functional>
#include <vector>

namespace neuraldeal
{
  /** The logarithm of a density at a point, and its gradient there. */
  struct LogDensityValue
  {
    double        value;
    torch::Tensor gradient; ///< [d]; not looked at where value is not finite
  };

  /**
   * The logarithm of a probability density on ℝ^d, up to a constant, as a
   * function of a point [d], float64 on the CPU. Where the density is zero the
   * value is −∞ or not a number; it is never +∞. The tensor that is given may
   * be kept, and must not be changed.
   */
  using LogDensity = std::function<LogDensityValue(const torch::Tensor &)>;

  /**
   * @p function, from [d] to a tensor of one entry, with its gradient by
   * autograd. It may compute on another device and in another type than those
   * of its argument.
   */
  LogDensity
  differentiated(
    const std::function<torch::Tensor(const torch::Tensor &)> &function);

  /**
   * The same as a function of weights that are leaves of a graph, such as the
   * parameters of a module: they are set to the entries of the argument, one
   * tensor after the other in row-major order, then @p function, which has no
   * arguments and computes with them, is differentiated. The weights keep the
   * last values that were tried. A log density asks for weights in float64:
   * in float32 the energy of a trajectory is lost to rounding where there are
   * many data.
   */
  LogDensity
  density_of_weights(const std::vector<torch::Tensor>     &weights,
                     const std::function<torch::Tensor()> &function);

  /** @p weights as density_of_weights() takes them, [d] float64 on the CPU. */
  torch::Tensor
  flat_weights(const std::vector<torch::Tensor> &weights);

  /** Set @p weights to the entries of @p flat, [d]. */
  void
  set_flat_weights(const std::vector<torch::Tensor> &weights,
                   const torch::Tensor              &flat);

  /**
   * The posterior of the weights w of a Bayesian last layer, with its
   * normalisation: log p(y | w) + log p(w) for y = Φ w + ε with noise
   * ε ~ N(0, σ² I) and prior w ~ N(0, I/δ) (Bishop, "Pattern Recognition and
   * Machine Learning", 2006, section 3.3). It is the posterior of
   * LinearRegression for λ = δ σ². The gradient is in closed form.
   * @param features Φ, [n, p]
   * @param outputs y, [n]
   * @param prior_precision δ
   * @param noise_variance σ²
   * @throw InputError where δ or σ² is not positive, or shapes do not fit.
   */
  LogDensity
  last_layer_posterior(const torch::Tensor &features,
                       const torch::Tensor &outputs,
                       const double         prior_precision,
                       const double         noise_variance);

  /**
   * The posterior of the weights w of a network f, with its normalisation:
   *   Σ_i log N(y_i; f(w)_i, σ_i²) + Σ_j log N(w_j; 0, 1/δ_j),
   * differentiated by autograd.
   * @param forward from the weights [p], float64, to the network's outputs for
   * all data, of the shape of @p outputs.
   * @param outputs y, of any shape.
   * @param prior_precision δ: one entry, or [p].
   * @param noise_variance σ²: of any shape that can be expanded to that of
   * @p outputs, such as [c, 1] for a variance each channel of [n, c, N].
   * @throw InputError where δ or σ² is not positive; in an evaluation where
   * shapes do not fit.
   */
  LogDensity
  network_posterior(
    const std::function<torch::Tensor(const torch::Tensor &)> &forward,
    const torch::Tensor                                       &outputs,
    const torch::Tensor                                       &prior_precision,
    const torch::Tensor                                       &noise_variance);
} // namespace neuraldeal

#endif
