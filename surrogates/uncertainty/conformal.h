// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_conformal_h
#define neuraldeal_surrogates_uncertainty_conformal_h

#include <torch/types.h>

#include <string>
#include <vector>

/**
 * @file
 * Bounds that hold with a stated probability whatever the distribution of the
 * errors is, because new errors are like those of the samples that calibrate
 * (they are exchangeable: chosen at random, see CalibrationSample).
 *
 * The probability is marginal, over samples and new inputs together. Among the
 * answers that a threshold lets through it may be less: what controls the risk
 * among the accepted is calibrate() (calibration.h).
 *
 * Everywhere here, an error that is not a number is infinite, and so is a scale
 * that is not one, as is the bound made from it. Shapes that do not fit are
 * programming errors (c10::Error); a confidence that the samples cannot support
 * is a user's (InputError), in a sentence with the number needed, where
 * @p source names whose confidence it is.
 */
namespace neuraldeal
{
  /**
   * ⌈(n + 1) c⌉: the number, in ascending order, of the one among @p n_samples
   * scores that a new score does not exceed with probability @p confidence c at
   * least. More than n if there is none.
   */
  unsigned int
  conformal_rank(const unsigned int n_samples, const double confidence);

  /** The smallest n with conformal_rank() ≤ n: 19 for 95 %. */
  unsigned int
  conformal_samples_needed(const double confidence);

  /**
   * Score number conformal_rank() along the first dimension, [n, …] → […],
   * float64. For continuous scores a new one is at most this with probability
   * rank/(n + 1), which is less than c + 1/(n + 1).
   */
  torch::Tensor
  conformal_quantile(const torch::Tensor &scores,
                     const double         confidence,
                     const std::string   &source);

  /**
   * errors/scales, which calibration takes as scores; zero where an error is,
   * infinite where it is not a number. Float64, in the common shape.
   */
  torch::Tensor
  normalized_errors(const torch::Tensor &errors, const torch::Tensor &scales);

  /** From the predicted scale of an error to a bound of it. */
  struct ConformalFactor
  {
    torch::Tensor factor;         ///< float64, a number or one for each point
    double        confidence = 0; ///< c
    unsigned int  n_samples  = 0; ///< it rests on these

    /**
     * (Σ w)²/Σ w² of the samples' weights: about as many without weights would
     * say as much.
     */
    double n_effective = 0;

    /**
     * The bound where the predicted scale is @p scales, [n] or [n, N] to go
     * with the factor: their product.
     */
    torch::Tensor
    bound(const torch::Tensor &scales) const;
  };

  /**
   * Split conformal prediction with normalised scores (Lei, G'Sell, Rinaldo,
   * Tibshirani and Wasserman, JASA 113, 2018, section 5.2): with probability
   * @p confidence the error of a new input is at most factor · scale.
   *
   * @param errors not negative: [n], the norms of whole fields in the norm of
   * the tolerance, for one bound; or [n, N], absolute values at points, for a
   * bound at every point. Each of those holds with the confidence by itself; it
   * is not to be expected that all hold together, for which see
   * field_conformal_factor().
   * @param scales as @p errors, the predicted size of each; undefined for the
   * same scale everywhere, without normalisation.
   */
  ConformalFactor
  conformal_factor(const torch::Tensor &errors,
                   const torch::Tensor &scales,
                   const double         confidence,
                   const std::string   &source);

  /**
   * A band around whole fields: with probability @p confidence, the errors of a
   * new field are within factor · scale at a share of @p coverage of its points
   * at least. With a coverage of 1 that is all of them at once, by the maximum
   * over the points of error/scale. With less it is, for each sample, the
   * smallest factor whose band covers that share, which a few bad points do not
   * enlarge (Ma, Pitt, Azizzadenesheli and Anandkumar, arXiv:2402.01960, where
   * 1 − confidence is called α and 1 − coverage δ).
   *
   * The statement is one on the points of the samples. It needs no correction
   * for a finite number of them as long as a new field has the same points.
   *
   * @param errors absolute values, [n, N].
   * @param scales [n, N], or undefined.
   * @param coverage in (0, 1].
   * @param weights [N], not negative: what each point stands for, such as the
   * diagonal of a lumped mass matrix, if shares are those of the volume.
   */
  ConformalFactor
  field_conformal_factor(const torch::Tensor &errors,
                         const torch::Tensor &scales,
                         const double         coverage,
                         const double         confidence,
                         const std::string   &source,
                         const torch::Tensor &weights = torch::Tensor());

  /**
   * As conformal_factor(), from samples that were drawn with known, different
   * probabilities, as audits are: sample i counts 1/p_i (Tibshirani, Foygel
   * Barber, Candès and Ramdas, arXiv:1904.06019, with the density of all
   * queries over that of the audited ones). The bound is for a query out of
   * all, audited or not.
   * @param errors, @param scales [n]; scales may be undefined.
   * @param probabilities p_i in (0, 1], [n]: with which sample i would be among
   * the samples, known before its error was.
   * @param new_probability that of the new input. A bound for all inputs takes
   * the smallest there is.
   */
  ConformalFactor
  weighted_conformal_factor(const torch::Tensor &errors,
                            const torch::Tensor &scales,
                            const torch::Tensor &probabilities,
                            const double         new_probability,
                            const double         confidence,
                            const std::string   &source);

  /** An interval for every value of what is predicted. */
  struct ConformalInterval
  {
    torch::Tensor lower, upper;   ///< float64
    double        confidence = 0; ///< that was asked for, 1 − α
    unsigned int  n_samples  = 0; ///< it rests on these
  };

  /**
   * Jackknife+ (Barber, Candès, Ramdas and Tibshirani, arXiv:1905.02928): all
   * samples train *and* calibrate. The truth is within with probability
   * 1 − 2α at least, whatever the regression does, and with about 1 − α where
   * its answer hardly depends on a single sample. Surrogate::held_out_mean()
   * and LinearRegression::leave_out() are such regressions in closed form.
   * @param predictions [n, …]: those for the new inputs (or points) that have
   * been learned without sample i.
   * @param radii the error at sample i of what has been learned without it:
   * [n] if it is one number, [n, …] otherwise. Normalised scores are those
   * errors, divided by their scales, times the scales at the new inputs.
   */
  ConformalInterval
  jackknife_plus(const torch::Tensor &predictions,
                 const torch::Tensor &radii,
                 const double         confidence,
                 const std::string   &source);

  /**
   * CV+ (the same paper, section 3): samples are left out fold by fold. The
   * truth is within with probability 1 − 2α − √(2/n) at least; for K folds of
   * equal size with 1 − 2α − min(2 (1 − 1/K)/(n/K + 1), (1 − K/n)/(K + 1)).
   * @param fold_predictions [K, …]: those for the new inputs that have been
   * learned without fold k.
   * @param folds [n] int64: in which fold sample i is.
   * @param radii as for jackknife_plus().
   */
  ConformalInterval
  cv_plus(const torch::Tensor &fold_predictions,
          const torch::Tensor &folds,
          const torch::Tensor &radii,
          const double         confidence,
          const std::string   &source);

  /**
   * Cross-conformal p-values (Vovk, arXiv:1208.0806; as in arXiv:1905.02928,
   * section 3) of values that the truth might have,
   *   (1 + #{i : |y − prediction_i| ≤ radius_i})/(n + 1).
   * Those above α are a set which is part of the interval of jackknife_plus()
   * (or cv_plus(), if predictions are those of the fold of sample i), with the
   * same guarantee. What is not a number has the p-value 1/(n + 1).
   * @param predictions, @param radii as for jackknife_plus().
   * @param candidates […], y.
   * @return […]
   */
  torch::Tensor
  cross_conformal_p_values(const torch::Tensor &predictions,
                           const torch::Tensor &radii,
                           const torch::Tensor &candidates);

  /**
   * Adaptive conformal inference for a stream whose distribution may change:
   * the level α_t of the quantile is moved by every outcome, towards wider
   * bounds after a miss and towards narrower ones otherwise,
   *   α_{t+1} = α_t + γ (α − [missed at t]),
   * so that in the long run a share α is missed on any stream whatsoever
   * (Gibbs and Candès, arXiv:2106.00660).
   *
   * With several steps γ_i there is an α_t for each, and the one in use is
   * their mean with weights that fall with the losses they had (DtACI: Gibbs
   * and Candès, arXiv:2208.08401, with the deterministic mean). That follows
   * fast and slow changes without a choice of γ, but gives no such bound on the
   * share for every stream.
   *
   * The scores with which a new one is compared, usually the last few hundred,
   * are the caller's to keep: the state here is a few numbers.
   */
  class AdaptiveConformal
  {
  public:
    /**
     * @param confidence 1 − α, in (0, 1).
     * @param steps the γ_i, positive. Large ones follow fast and fluctuate.
     * @param interval over how many outcomes weights of steps should be best;
     * without influence on a single step.
     * @throw InputError for numbers out of range; @p source names whose they
     * are.
     */
    explicit AdaptiveConformal(const double               confidence,
                               const std::vector<double> &steps    = {0.01},
                               const unsigned int         interval = 500,
                               const std::string &source = "the program");

    /** α_t; a single one remains in [−γ, 1 + γ]. */
    double
    level() const;

    /**
     * What the next score is expected not to exceed: the conformal quantile of
     * @p scores, [n], at confidence 1 − level(). Infinite, with its sign, where
     * no score is large or small enough: unlike elsewhere this is no error but
     * what the long-run guarantee rests on.
     */
    double
    quantile(const torch::Tensor &scores) const;

    /** Learn that the next @p score came, beside the same @p scores. */
    void
    update(const torch::Tensor &scores, const double score);

    /** The number of outcomes, and of those that were above quantile(). */
    unsigned long
    n_outcomes() const;

    unsigned long
    n_missed() const;

    /**
     * How far the share that was missed can be from α, on any stream
     * (arXiv:2106.00660, proposition 4.1, with α_1 = α):
     *   (max(α, 1 − α) + γ)/(T γ).
     * Infinite with several steps.
     */
    double
    long_run_bound() const;

    /** All that updates have changed, [2 + 2 k] float64 for k steps. */
    torch::Tensor
    state() const;

    /**
     * Go on from a state().
     * @throw InputError if it is not one of as many steps; @p source says where
     * it comes from.
     */
    void
    set_state(const torch::Tensor &state, const std::string &source);

  private:
    const double              alpha;
    const std::vector<double> steps;
    const unsigned int        interval;

    std::vector<double> levels, weights;
    unsigned long       outcomes = 0, misses = 0;
  };
} // namespace neuraldeal

#endif
