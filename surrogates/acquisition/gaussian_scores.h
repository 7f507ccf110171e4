// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_acquisition_gaussian_scores_h
#define neuraldeal_surrogates_acquisition_gaussian_scores_h

#include <torch/types.h>

/**
 * What a further value of a quantity would tell, which is known as a Gaussian
 * with mean m and standard deviation s: closed forms, by their logarithms,
 * since candidates have an order where the scores themselves are smaller than
 * the smallest number. Tensors are [n] float64; s ≥ 0. Where s = 0 nothing is
 * left to learn, and scores are zero (−∞ here), but for a certain improvement.
 */
namespace neuraldeal::gaussian_scores
{
  /**
   * log E[max(Z + z, 0)] = log(φ(z) + z Φ(z)) of a standard normal Z. For
   * z < −1 the sum cancels, and is taken apart as by Ament, Daulton, Eriksson,
   * Balandat and Bakshy, "Unexpected improvements to expected improvement"
   * (NeurIPS 2023, arXiv:2310.20708). Relative errors of the
   * expectation are below 1e-7, for z > −100 below 1e-11.
   */
  torch::Tensor
  log_expected_excess(const torch::Tensor &z);

  /**
   * log E[max(b − g, 0)] for g ~ N(m, s²) and the least value b so far: the
   * expected improvement (Jones, Schonlau and Welch, "Efficient global
   * optimization of expensive black-box functions", J. Global Optim. 13, 1998,
   * equation 15).
   */
  torch::Tensor
  log_expected_improvement(const torch::Tensor &mean,
                           const torch::Tensor &deviation,
                           const double         best);

  /**
   * log E[max(ε − |t − g|, 0)] with ε = w s: the expected feasibility function
   * (Bichon, Eldred, Swiler, Mahadevan and McFarland, "Efficient global
   * reliability analysis for nonlinear implicit performance functions", AIAA
   * J. 46, 2008, where w = 2), large where g may be close to the
   * threshold t. The tent is the sum of three max(·, 0).
   */
  torch::Tensor
  log_expected_feasibility(const torch::Tensor &mean,
                           const torch::Tensor &deviation,
                           const double         threshold,
                           const double         half_width = 2.);

  /**
   * U = |m − t|/s (Echard, Gayton and Lemaire, "AK-MCS: an active learning
   * reliability method combining kriging and Monte Carlo simulation",
   * Structural Safety 33, 2011): ∞ where s = 0.
   */
  torch::Tensor
  u_function(const torch::Tensor &mean,
             const torch::Tensor &deviation,
             const double         threshold);

  /**
   * log Φ(−U): the probability that m is on the wrong side of the threshold,
   * which falls with U.
   */
  torch::Tensor
  log_misclassification(const torch::Tensor &mean,
                        const torch::Tensor &deviation,
                        const double         threshold);
} // namespace neuraldeal::gaussian_scores

#endif
