// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_examples_common_report_h
#define neuraldeal_examples_common_report_h

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace neuraldeal::examples
{
  /** A number worth a tile at the top of the page. */
  struct KeyFigure
  {
    std::string label; ///< what it is
    std::string value; ///< with its unit
    std::string goal;  ///< what it should be, or a word of explanation

    /** Whether the goal is met; the tile is neutral where this is not set. */
    std::optional<bool> goal_met;
  };



  /** A table, and what is to be said below it. */
  struct ReportTable
  {
    std::string                           caption;
    std::vector<std::string>              header;
    std::vector<std::vector<std::string>> rows;
    std::vector<std::string>              notes; ///< a paragraph each
  };



  /** The error of the surrogate against what it has learned from. */
  struct LearningCurve
  {
    struct Point
    {
      unsigned int n_snapshots;
      double       median;
      double       quantile_95;
    };

    std::vector<Point> points;

    /** Of the coarse solve alone: horizontal lines. */
    std::optional<double> coarse_median;
    std::optional<double> coarse_quantile_95;

    std::optional<double> tolerance;

    /** What one sees; how to read it is said by the page itself. */
    std::string caption =
      "Error of the surrogate against the number of full solves it has "
      "learned from.";
  };



  /** Predicted bounds, held against the true errors. */
  struct BoundsAgainstErrors
  {
    struct Point
    {
      double      bound;
      double      error;
      std::string group; ///< such as "accepted, checked" or "audited"
    };

    std::vector<Point>  points;
    std::vector<double> tolerances;

    /** What one sees; how to read it is said by the page itself. */
    std::string caption =
      "Predicted error bound and true error of the queries whose true error "
      "is known.";
  };



  /** How the queries were answered, and what that took. */
  struct QueryHistory
  {
    static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

    struct Query
    {
      unsigned long index; ///< counted from zero
      std::string   decision;
      bool          audited = false;
      double        seconds = unknown; ///< wall time of the answer
    };

    /** A time to compare with, drawn as a horizontal line. */
    struct ReferenceTime
    {
      std::string label; ///< such as "full solve"
      double      seconds;
    };

    std::vector<Query> queries;

    /** Queries served by one state of the surrogate; 0: not in rounds. */
    unsigned int round_size = 0;

    /** Drawn where wall times are known. */
    std::vector<ReferenceTime> reference_times;

    /** What one sees; how to read it is said by the page itself. */
    std::string decisions_caption =
      "How the queries were answered, in the order in which they came.";
    std::string cost_caption = "Wall time of every query.";
  };



  /** One field on a plane: one of the small pictures of a Cut. */
  struct CutField
  {
    enum class Palette
    {
      viridis, ///< for solutions
      magma    ///< for deviations and errors
    };

    std::string name;
    std::string unit; ///< may stay empty

    /**
     * Values at nx × ny points, equally spaced from border to border of the
     * plane, x fastest, y upwards. Not a number: outside of the domain.
     */
    unsigned int        nx = 0;
    unsigned int        ny = 0;
    std::vector<double> values;

    bool    logarithmic = false;
    Palette palette     = Palette::viridis;

    /**
     * Fields of a cut that have the same (not empty) name here share their
     * colour scale.
     */
    std::string scale;

    /** The colour scale's ends, where they are to be these. */
    std::optional<std::pair<double, double>> range;
  };



  /** Fields on one plane through the domain, for one query. */
  struct Cut
  {
    std::string name; ///< such as "Accepted query 17"

    /** Where the plane lies, what the query is, what came out. */
    std::string caption;

    std::string               x_label = "x"; ///< with its unit
    std::string               y_label = "y";
    std::pair<double, double> x_range = {0., 1.};
    std::pair<double, double> y_range = {0., 1.};

    std::vector<CutField> fields;
  };



  /**
   * What a report shows of a run. A part that is left empty is left out of
   * the page. Strings are plain text in UTF-8.
   */
  struct ReportData
  {
    std::string title;
    std::string subtitle; ///< the problem and the machine; a line each

    std::vector<KeyFigure> key_figures;
    ReportTable            table;

    /** What the errors are, and whether to write 0.01 as 1 %. */
    std::string error_name       = "relative error";
    bool        error_in_percent = true;

    LearningCurve       learning_curve;
    BoundsAgainstErrors bounds;
    QueryHistory        history;
    std::vector<Cut>    cuts;

    /** The parameter file of the run, shown on demand. */
    std::string parameters;
  };



  /**
   * Write @p data as the page @p filename: one HTML file that needs no other.
   * Its pictures are drawn by gnuplot; for those that cannot be drawn, a
   * sentence stands in their place. The file appears whole or not at all.
   *
   * @param gnuplot name or path of the program.
   * @return a warning to be printed: one sentence if pictures are missing,
   *   otherwise empty.
   * @throw FileError if the page cannot be written, InputError if a field has
   *   not as many values as points.
   */
  [[nodiscard]] std::string
  write_report(const std::string &filename,
               const ReportData  &data,
               const std::string &gnuplot = "gnuplot");
} // namespace neuraldeal::examples

#endif
