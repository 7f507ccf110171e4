// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_scores_h
#define neuraldeal_surrogates_uncertainty_scores_h

#include <neuraldeal/surrogates/training/norms.h>
#include <neuraldeal/surrogates/uncertainty/field_distribution.h>
#include <torch/types.h>

#include <cstdint>

/**
 * How good a predicted distribution was, once the truth is known.
 *
 * All scores are computed in float64, whatever the type of the arguments, and
 * smaller is better where a score is one that should be small. Shapes have to
 * be equal where they are called so here: nothing is broadcast, and what does
 * not fit is a programming error (c10::Error). The first dimension numbers the
 * n samples; "…" stands for any others, channels and points.
 *
 * What is not a number in an argument is not one in any score that it takes
 * part in, and never silently a bad or a good value. The same goes for a
 * standard deviation or a variance that cannot be one.
 *
 * Proper scores (Gneiting and Raftery, "Strictly proper scoring rules,
 * prediction, and estimation", JASA 102, 2007) are smallest in expectation for
 * the distribution that the truth is drawn from: likelihoods, CRPS, energy
 * scores. The others look at one property each, and can be perfect for a
 * useless prediction.
 */
namespace neuraldeal::scores
{
  /**
   * The negative log likelihood of independent Gaussians, a value each, in the
   * shape of the arguments:
   *   ½ log 2π + log σ + (y − μ)²/(2 σ²).
   * @param standard_deviation positive.
   */
  torch::Tensor
  gaussian_likelihood(const torch::Tensor &mean,
                      const torch::Tensor &standard_deviation,
                      const torch::Tensor &truth);

  /**
   * The continuous ranked probability score of Gaussians, a value each, in the
   * shape and the units of the arguments (Gneiting and Raftery, equation 21,
   * with its sign turned): with z = (y − μ)/σ,
   *   σ (z (2 Φ(z) − 1) + 2 φ(z) − 1/√π).
   * @param standard_deviation not negative; |y − μ| remains where it is zero.
   */
  torch::Tensor
  gaussian_crps(const torch::Tensor &mean,
                const torch::Tensor &standard_deviation,
                const torch::Tensor &truth);

  /** Which score of an ensemble. */
  enum class EnsembleForm
  {
    /**
     * The score of the ensemble taken as a distribution of m atoms; what the
     * ensemble was drawn from is better than this by 1/m of its spread.
     */
    atoms,
    /**
     * An estimate without bias of the score of the distribution that the
     * members are drawn from (Ferro, QJRMS 140, 2014): the same in expectation
     * for any m ≥ 2. It may be negative.
     */
    fair
  };

  /**
   * The continuous ranked probability score of m values x_i for each y,
   *   1/m Σ_i |x_i − y| − 1/(2 m²) Σ_ij |x_i − x_j|,
   * with m (m − 1) in place of m² in the fair form. O(m log m).
   * @param members [m, n, …], m ≥ 1, or m ≥ 2 for the fair form.
   * @param truth [n, …]
   * @return [n, …]
   */
  torch::Tensor
  ensemble_crps(const torch::Tensor &members,
                const torch::Tensor &truth,
                const EnsembleForm   form);

  /**
   * The energy score of m fields x_i (Gneiting and Raftery, equation 22),
   *   1/m Σ_i ‖x_i − y‖ − 1/(2 m²) Σ_ij ‖x_i − x_j‖,
   * with m (m − 1) in place of m² in the fair form. In one dimension it is the
   * continuous ranked probability score. The loss of the same name
   * (training/losses.h) is its fair form, relative to ‖y‖.
   * @param members [m, n, c, …], or [m, n, N] for one channel; m ≥ 1, or m ≥ 2
   * for the fair form.
   * @param truth [n, c, …] or [n, N]
   * @param norm of fields [n, c, …]; those of one channel come as [n, 1, N].
   * @return [n]
   */
  torch::Tensor
  energy_score(const torch::Tensor &members,
               const torch::Tensor &truth,
               const SquaredNorm   &norm,
               const EnsembleForm   form);

  /**
   * The negative log likelihood of whole fields with N values,
   *   ½ (N log 2π + log det C + (y − μ)ᵀ C⁻¹ (y − μ)),  C = F Fᵀ + D,
   * where D = diag(v) has to be positive,
   * by the determinant lemma, det C = det D · det(I + Fᵀ D⁻¹ F), and as in
   * field_chi_square(). O(n N k²) operations, no matrix of size N.
   * @param truth [n, …]
   * @return [n]
   */
  torch::Tensor
  field_likelihood(const FieldDistribution &prediction,
                   const torch::Tensor     &truth);

  /**
   * (y − μ)ᵀ C⁻¹ (y − μ)/N for every field, 1 in expectation (with variance
   * 2/N) if the prediction is the truth's own distribution.
   *
   * Woodbury's formula takes the difference of two numbers that may be much
   * larger than their difference. With G = D^(−1/2) F, r = D^(−1/2) (y − μ) and
   * w = (I + GᵀG)⁻¹ Gᵀ r, it equals the minimum |r − G w|² + |w|² of the
   * regularised least squares problem that w solves, which has no such
   * difference and takes errors of w in second order only.
   * @param truth [n, …]
   * @return [n]
   */
  torch::Tensor
  field_chi_square(const FieldDistribution &prediction,
                   const torch::Tensor     &truth);

  /**
   * The mean of ((y − μ)/σ)² over the values of every sample: as
   * field_chi_square() if there were no correlations. 1 in expectation still
   * where there are, with more spread.
   * @param mean, @param standard_deviation, @param truth [n, …]
   * @return [n]
   */
  torch::Tensor
  chi_square(const torch::Tensor &mean,
             const torch::Tensor &standard_deviation,
             const torch::Tensor &truth);

  /** What comes from samples, with how sure it is. */
  struct SampledScore
  {
    torch::Tensor value;          ///< [n]
    torch::Tensor standard_error; ///< [n] of the value, from the samples
  };

  /**
   * The energy score of Gaussian fields by sampling,
   *   E‖x − y‖ − ½ E‖x − x'‖ = E‖μ − y + e‖ − E‖e‖/√2,  e ~ N(0, C),
   * since the difference of two independent draws is √2 e: no pairs are
   * needed, and one draw after the other is all that is kept.
   * @param truth [n, c, …], or [n, N] for one channel.
   * @param norm of fields [n, c, …]; those of one channel come as [n, 1, N].
   * @param n_samples two or more.
   * @param seed the draws for sample i are a function of seed and i alone.
   */
  SampledScore
  energy_score(const FieldDistribution &prediction,
               const torch::Tensor     &truth,
               const SquaredNorm       &norm,
               const unsigned int       n_samples,
               const std::uint64_t      seed);

  /** What intervals were worth, each the mean over the values of a sample. */
  struct IntervalScores
  {
    torch::Tensor coverage; ///< [n] share of values within, ends included
    torch::Tensor width;    ///< [n]
  };

  /**
   * Coverage and mean width of the intervals [lower, upper].
   * @param lower, @param upper, @param truth [n, …]
   */
  IntervalScores
  interval_scores(const torch::Tensor &lower,
                  const torch::Tensor &upper,
                  const torch::Tensor &truth);

  /**
   * Predicted against observed frequencies of y not being above the predicted
   * quantile of level p (Kuleshov, Fenner and Ermon, "Accurate uncertainties
   * for deep learning using calibrated regression", ICML 2018,
   * arXiv:1807.00263).
   */
  struct QuantileCalibration
  {
    torch::Tensor levels;      ///< p_j, [q]
    torch::Tensor frequencies; ///< p̂_j, [q]
    double        error;       ///< the mean of |p_j − p̂_j|
    double mean_square; ///< of p_j − p̂_j: equation 9 with weights 1/q
  };

  /**
   * From the quantiles of any predictor.
   * @param quantiles [q, n, …], the predicted quantile of each level. For an
   * ensemble, its members sorted have the levels j/(m + 1).
   * @param levels [q], q ≥ 1, in (0, 1).
   * @param truth [n, …], with values in it.
   */
  QuantileCalibration
  quantile_calibration(const torch::Tensor &quantiles,
                       const torch::Tensor &levels,
                       const torch::Tensor &truth);

  /**
   * From Gaussians with @p mean and (positive) @p standard_deviation, at the
   * levels j/(q + 1).
   */
  QuantileCalibration
  gaussian_calibration(const torch::Tensor &mean,
                       const torch::Tensor &standard_deviation,
                       const torch::Tensor &truth,
                       const unsigned int   n_levels = 19);

  /**
   * Spearman's rank correlation, for instance of predicted and true errors:
   * the correlation of the ranks, where values that are equal share the mean
   * of theirs. Not a number where all values of @p a or of @p b are equal, or
   * with less than two of them.
   * @param a, @param b one-dimensional, as long as each other.
   */
  double
  rank_correlation(const torch::Tensor &a, const torch::Tensor &b);

  /**
   * Quantiles of all entries of @p values, of any shape: the smallest of them
   * such that a share @p levels is not above it (number ⌈p n⌉).
   * @param levels [q], in (0, 1].
   * @return [q]
   */
  torch::Tensor
  quantiles(const torch::Tensor &values, const torch::Tensor &levels);
} // namespace neuraldeal::scores

#endif
