// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef thermal_block_results_h
#define thermal_block_results_h

#include <neuraldeal/coupling/solve_report.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace ThermalBlock
{
  /** What the table, `results.json` and the report are made of. */
  struct Results
  {
    // What was asked.
    unsigned int ranks = 1, dimension = 3, cells = 0, coarse_cells = 0;
    double       tolerance = 0, confidence = 0;
    unsigned int round_size = 1;
    std::string  machine;

    // Preparation, in wall seconds on all ranks.
    unsigned int full_solves_before_serving = 0;
    double seconds_campaign = 0, seconds_training = 0, seconds_calibration = 0;

    /** The same from nothing, where an earlier run has done part of it. */
    double seconds_preparation = 0;

    // Serving.
    std::vector<neuraldeal::SolveReport> reports;
    double                               seconds_serving = 0;

    // The check of accepted answers.
    struct Checked
    {
      long   query;
      double error, bound;
    };
    std::vector<Checked> checked;
    double               error_quantile = 0; ///< 95 % of the checked

    // Time of one query on one rank, the others idle; medians.
    double seconds_full_solve = 0, seconds_accepted_answer = 0,
           seconds_verified_answer = 0;

    /** One mesh and solver of the comparison. */
    struct Mesh
    {
      unsigned int cells;
      std::string  solver;
      double       seconds;
      double       error_quantile; ///< NaN where it was not the fastest
    };
    std::vector<Mesh> meshes;
    unsigned int      equal_error_mesh         = 0;
    double            seconds_equal_error_mesh = 0;
    std::string       equal_error_solver;

    /** Queries that the coarse solve alone could answer behind the gate. */
    unsigned int coarse_alone = 0;

    /**
     * Share of the checked queries whose coarse solution is within the
     * tolerance: what a gate that knows the true error would let through.
     */
    double coarse_within_tolerance = 0;

    struct LearningPoint
    {
      unsigned int snapshots;
      double       median, quantile;
    };
    std::vector<LearningPoint> learning_curve;
    double                     coarse_median = 0, coarse_quantile = 0;

    double seconds_total = 0;

    /** How many queries were answered that way, audits not counted. */
    unsigned int
    count(const neuraldeal::Decision decision) const;

    unsigned int
    n_audited() const;

    /** All full solves that were spent while serving. */
    unsigned int
    n_full_solves() const;

    unsigned int
    n_violations() const;

    /**
     * After how many queries preparation has paid for itself, where each
     * costs @p seconds otherwise on one rank; infinite where it never does.
     */
    double
    break_even(const double seconds) const;

    /** The table of the program's end: header and rows. */
    std::vector<std::vector<std::string>>
    table() const;

    /** The keys of `results.json`. */
    nlohmann::json
    to_json() const;
  };
} // namespace ThermalBlock

#endif
