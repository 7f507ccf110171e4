// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_solve_report_h
#define neuraldeal_coupling_solve_report_h

#include <limits>
#include <string>
#include <vector>

namespace neuraldeal
{
  /** How a query was answered. */
  enum class Decision
  {
    accept  = 0, ///< the prediction, on its uncertainty alone
    verify  = 1, ///< the prediction, after its residual was looked at
    correct = 2, ///< a full solve, started from the prediction
    resolve = 3  ///< a full solve from the host's own start
  };

  /** Why. */
  enum class Reason
  {
    within_tolerance   = 0, ///< the bound is below the tolerance
    bound_too_large    = 1, ///< the predicted bound exceeds the tolerance
    outside_range      = 2, ///< the input is unlike those learned from
    estimate_too_large = 3, ///< the residual's estimate exceeds it as well
    not_finite         = 4  ///< the prediction is not a number
  };

  /** "accept", "verify", "correct" or "resolve". */
  std::string
  to_string(const Decision decision);

  /** One clause, for people. */
  std::string
  to_string(const Reason reason);

  /**
   * What is said of every answer. Errors are relative to the norm of the
   * solution; NaN where not computed.
   */
  struct SolveReport
  {
    static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

    long     query    = 0;
    Decision decision = Decision::resolve;
    Reason   reason   = Reason::bound_too_large;

    /**
     * A full solve was made to check an answer that was accepted or verified,
     * and is what was returned.
     */
    bool audited = false;

    /** The host's solver failed: there is no answer. */
    bool failed = false;

    double       scale       = unknown; ///< predicted error, not calibrated
    double       prior_scale = unknown; ///< of the coarse solution alone
    double       bound       = unknown; ///< predicted error at the confidence
    double       estimate    = unknown; ///< bound by the residual's estimator
    double       error       = unknown; ///< true error of the prediction
    unsigned int iterations  = 0;       ///< of the host's solver
    double       seconds     = 0;       ///< wall time of the answer
    long         model       = 0; ///< snapshots that the surrogate had learned
    unsigned int group       = 0; ///< who has answered
    std::string  failure;         ///< why the host's solver has failed

    /** Whether a full solve was spent on it. */
    bool
    full_solve() const
    {
      return audited || decision == Decision::correct ||
             decision == Decision::resolve;
    }
  };

  /** Write @p reports as a table with one line of column names. */
  void
  write_decision_log(const std::string              &filename,
                     const std::vector<SolveReport> &reports);
} // namespace neuraldeal

#endif
