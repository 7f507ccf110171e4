// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_calibration_h
#define neuraldeal_surrogates_calibration_h

#include <string>
#include <utility>
#include <vector>

namespace neuraldeal
{
  /**
   * A prediction whose true error is known, and which was chosen for that
   * whatever the score and the error are: a held-out snapshot or an audit.
   */
  struct CalibrationSample
  {
    double score; ///< what the surrogate or the estimator said
    double error; ///< what was true
  };

  /** What follows from calibration samples. */
  struct Calibration
  {
    /**
     * error ≤ factor · score holds for a new input with the confidence
     * asked for: the factor of conformal_factor().
     */
    double factor = 0;

    /**
     * Answers with at most this score may be accepted: their bound is within
     * the tolerance, *and* with probability 1 − significance at most
     * 1 − confidence of the accepted ones are beyond it.
     */
    double threshold = 0;

    unsigned int n_samples    = 0; ///< it rests on these
    unsigned int n_below      = 0; ///< of them with a score up to threshold
    unsigned int n_violations = 0; ///< of those with an error beyond tolerance
  };

  /** What is assumed of scores above all that were seen. */
  enum class Extrapolation
  {
    none,        ///< nothing: they are never accepted
    proportional ///< that the error still is at most factor · score
  };

  /**
   * Calibrate at @p tolerance. The threshold controls the risk among the
   * accepted by fixed-sequence testing (Angelopoulos, Bates, Candès, Jordan
   * and Lei, "Learn then test", arXiv:2110.01052; selective risk as in
   * Geifman and El-Yaniv, arXiv:1705.08500): thresholds grow for as long as
   * the binomial tail P(X ≤ violations), X ~ B(below, 1 − confidence), is at
   * most the significance.
   *
   * Where to start decides what can be found. From the fewest samples that
   * can pass, with no violation among them, the sequence finds the part of
   * the answers that is good where not all are. It ends at once if one of the
   * best scores was wrong by chance; from the most samples that can pass,
   * with a few violations, most answers are accepted nevertheless. Where the
   * samples support both starts (93 at 95 %), each has half of
   * @p significance, and the larger threshold counts.
   *
   * Past the largest score seen it follows @p extrapolation: none for the
   * score of a statistical model, proportional for the estimator of a
   * residual, which is equivalent to the error whatever its size.
   *
   * @throw InputError where the samples are too few for the confidence, with
   * the number that is needed; @p source names whose confidence it is.
   */
  Calibration
  calibrate(const std::vector<CalibrationSample> &samples,
            const double                          tolerance,
            const double                          confidence,
            const double                          significance,
            const Extrapolation                   extrapolation,
            const std::string                    &source);

  /** P(X ≤ k) for X binomial with @p n trials of probability @p p. */
  double
  binomial_cdf(const unsigned int k, const unsigned int n, const double p);

  /**
   * The exact interval of Clopper and Pearson (Biometrika 26, 1934) for the
   * probability behind @p k successes in @p n trials.
   */
  std::pair<double, double>
  binomial_interval(const unsigned int k,
                    const unsigned int n,
                    const double       confidence);

  /** The smallest number of samples that support a confidence at all. */
  unsigned int
  samples_needed(const double confidence, const double significance);
} // namespace neuraldeal

#endif
