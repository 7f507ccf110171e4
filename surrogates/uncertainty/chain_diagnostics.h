// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_chain_diagnostics_h
#define neuraldeal_surrogates_uncertainty_chain_diagnostics_h

#include <torch/types.h>

namespace neuraldeal
{
  /**
   * @name What Markov chains are worth
   *
   * Vehtari, Gelman, Simpson, Carpenter and Bürkner, "Rank-normalization,
   * folding, and localization: an improved R̂ for assessing convergence of
   * MCMC", Bayesian Analysis 16, 2021, arXiv:1903.08008. Every chain is split
   * into halves, so that one chain that drifts disagrees with itself.
   *
   * Samples are [chains, n] for one quantity or [chains, n, d] for d of them;
   * results are [] or [d], float64. They are not numbers where samples say
   * nothing: fewer than four of a chain, some that are not finite, or all of
   * them equal.
   */
  /** @{ */

  /**
   * R̂, by which the scale of the samples might shrink if the chains went on:
   * the larger of that of rank-normalised samples, which sees other locations,
   * and of folded ones, which sees other scales (section 4.1 and 4.2 there).
   * Below 1.01 chains may be said to have mixed.
   */
  torch::Tensor
  split_r_hat(const torch::Tensor &samples);

  /**
   * The number of independent samples with the same error of the mean
   * (sections 3.2 and 4.3): by autocorrelations of all chains together, summed
   * up to where sums of neighbours stop being positive and falling (Geyer,
   * Statistical Science 7, 1992). It may exceed the number of samples, up to
   * the factor log₁₀ of that number.
   */
  torch::Tensor
  effective_sample_size(const torch::Tensor &samples);

  /**
   * The same of rank-normalised samples, which exists where there is no
   * variance: how well the bulk is known. Above 100 a chain R̂ and this number
   * itself can be relied on.
   */
  torch::Tensor
  bulk_effective_sample_size(const torch::Tensor &samples);

  /**
   * The same for the estimate of the quantile @p p in (0, 1): that of the
   * indicator of being at most there.
   * @throw InputError where @p p is not between zero and one.
   */
  torch::Tensor
  quantile_effective_sample_size(const torch::Tensor &samples, const double p);

  /** The smaller one for the quantiles 5 % and 95 %: how well tails are. */
  torch::Tensor
  tail_effective_sample_size(const torch::Tensor &samples);

  /** The standard error of the mean of all samples. */
  torch::Tensor
  monte_carlo_error(const torch::Tensor &samples);

  /** @} */
} // namespace neuraldeal

#endif
