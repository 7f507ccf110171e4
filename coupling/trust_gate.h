// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_trust_gate_h
#define neuraldeal_coupling_trust_gate_h

#include <deal.II/base/parameter_handler.h>

#include <neuraldeal/coupling/solve_report.h>
#include <neuraldeal/coupling/torch_interface.h>
#include <neuraldeal/surrogates/calibration.h>
#include <neuraldeal/surrogates/surrogate.h>

#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Decides whether a prediction is good enough. It looks at numbers only,
   * so that all ranks come to the same decision, whatever their number.
   *
   * Accepting on uncertainty alone needs a calibrated bound within the
   * tolerance, a score that is not above the threshold at which the risk
   * among accepted answers is controlled, and an input inside the training
   * range. Everything else is verified, and solved where that fails.
   */
  class TrustGate
  {
  public:
    struct AdditionalData
    {
      /** Largest relative error that the user wants to see. */
      double tolerance = 0.01;

      /** At most 1 − confidence of the accepted answers may exceed it. */
      double confidence = 0.95;

      /** Probability with which the calibration may be misled by chance. */
      double significance = 0.1;

      /** Share of all queries whose answer is checked by a full solve. */
      double audit_fraction = 0.02;

      /** Where these entries come from, for error messages. */
      std::string source = "the program";

      static void
      declare_parameters(dealii::ParameterHandler &prm);

      void
      parse_parameters(dealii::ParameterHandler &prm,
                       const std::string        &source);

      /** @throw InputError where an entry is out of range. */
      void
      check() const;
    };

    struct Verdict
    {
      Decision decision;
      Reason   reason;
      double   bound; ///< error bound at the confidence asked for
    };

    /** @throw InputError; see AdditionalData::check(). */
    TrustGate(const AdditionalData &data, const std::uint64_t seed);

    /**
     * Calibrate on the held-out snapshots (audits among them) as the
     * surrogate sees them now.
     * @throw InputError where they are too few for the confidence.
     */
    void
    calibrate(const HeldOutScores &scores);

    /**
     * Calibrate the residual's estimator on predictions whose true error is
     * known: both relative to the solution's norm.
     */
    void
    calibrate_estimator(const std::vector<CalibrationSample> &samples);

    /** On uncertainty alone: accept, or verify. */
    Verdict
    decide(const double scale, const double novelty) const;

    /** With the estimator's value: verify (accepted), correct or resolve. */
    Verdict
    decide_verified(const double estimate, const Verdict &before) const;

    /**
     * Whether the answer to query @p query is to be audited. The draw is
     * blind to the decision: what it calibrates on is like all queries, where
     * those that were solved because they had to be are harder.
     */
    bool
    is_audited(const long query) const;

    /**
     * Whether every query will be solved, however sure the surrogate is:
     * then none is solved for being hard, and all of them calibrate.
     */
    bool
    solves_everything() const
    {
      return !(acceptance_calibration.threshold > 0.) &&
             !(estimator_calibration.threshold > 0.);
    }

    const Calibration &
    acceptance() const
    {
      return acceptance_calibration;
    }

    const Calibration &
    estimator() const
    {
      return estimator_calibration;
    }

    const AdditionalData &
    parameters() const
    {
      return data;
    }

  private:
    const AdditionalData data;
    const std::uint64_t  seed;
    Calibration          acceptance_calibration;
    Calibration          estimator_calibration;
  };
} // namespace neuraldeal

#endif
