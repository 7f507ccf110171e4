// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "gnuplot.h"
#include "html.h"

namespace neuraldeal::examples
{
  using html::count;
  using html::escape;
  using html::number;

  namespace
  {
    /** How one class of points is drawn, and shown in a legend. */
    struct Sign
    {
      const char *colour;
      int         point_type; ///< of gnuplot
      const char *symbol;     ///< the same for a legend
    };

    // The colours of Okabe and Ito, which all kinds of colour vision tell
    // apart.
    constexpr const char *orange     = "#E69F00";
    constexpr const char *sky_blue   = "#56B4E9";
    constexpr const char *green      = "#009E73";
    constexpr const char *blue       = "#0072B2";
    constexpr const char *vermillion = "#D55E00";
    constexpr const char *purple     = "#CC79A7";
    constexpr const char *ink        = "#1d2126";
    constexpr const char *dark_grey  = "#454d55";
    constexpr const char *grey       = "#6b747e";
    constexpr const char *line_grey  = "#555d66";
    constexpr const char *grid_grey  = "#e4e7ea";

    /** Words that say what a class is, wherever it appears on the page. */
    struct KnownClass
    {
      const char *stem;
      Sign        sign;
    };

    /** In the order of a ladder: from the cheapest answer to the dearest. */
    const std::array<KnownClass, 7> ladder = {{
      {"accept", {green, 7, "●"}},
      {"verif", {sky_blue, 5, "■"}},
      {"reduc", {blue, 6, "○"}},
      {"correct", {orange, 9, "▲"}},
      {"resolve", {vermillion, 11, "▼"}},
      {"fail", {ink, 2, "×"}},
      {"audit", {purple, 13, "◆"}},
    }};

    constexpr std::size_t audit_class = 6;



    /** The place on the ladder that the word @p name speaks of. */
    std::size_t
    known_class(const std::string &name)
    {
      std::string lower = name;
      for (char &c : lower)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      if (lower.find(ladder[audit_class].stem) != std::string::npos &&
          lower.find("not audit") == std::string::npos)
        return audit_class;
      for (std::size_t i = 0; i < ladder.size(); ++i)
        if (lower.compare(0,
                          std::char_traits<char>::length(ladder[i].stem),
                          ladder[i].stem) == 0)
          return i;
      return ladder.size();
    }



    /**
     * A sign for each of @p names: the one it is known by, if no name before
     * has taken it; else one that is free, as long as there are any.
     */
    std::vector<Sign>
    signs_of(const std::vector<std::string> &names)
    {
      std::array<bool, ladder.size()> taken = {};
      std::vector<Sign>               signs(names.size(), {grey, 6, "○"});
      std::vector<bool>               has_sign(names.size(), false);
      const auto take = [&](const std::size_t name, const std::size_t sign) {
        if (has_sign[name] || taken[sign])
          return;
        signs[name]    = ladder[sign].sign;
        has_sign[name] = true;
        taken[sign]    = true;
      };
      for (std::size_t i = 0; i < names.size(); ++i)
        if (known_class(names[i]) < ladder.size())
          take(i, known_class(names[i]));
      // Last the colours that say most.
      for (std::size_t i = 0; i < names.size(); ++i)
        for (const std::size_t sign : {2, 1, 3, 6, 4, 0, 5})
          take(i, sign);
      return signs;
    }



    /** The classes of a figure, in the order in which they are listed. */
    class Classes
    {
    public:
      explicit Classes(const std::vector<std::string> &all)
      {
        for (const auto &name : all)
          if (sizes[name]++ == 0)
            names.push_back(name);
        std::stable_sort(names.begin(),
                         names.end(),
                         [](const std::string &a, const std::string &b) {
                           return known_class(a) < known_class(b);
                         });
        signs = signs_of(names);
      }

      std::vector<std::string>           names;
      std::vector<Sign>                  signs;
      std::map<std::string, std::size_t> sizes;
    };



    std::string
    legend_point(const Sign &sign, const std::string &text)
    {
      return fmt::format("<li><span style=\"color:{}\">{}</span>{}</li>\n",
                         sign.colour,
                         sign.symbol,
                         escape(text));
    }



    std::string
    legend_line(const std::string &css_style,
                const std::string &colour,
                const std::string &text)
    {
      return fmt::format("<li><i style=\"border-top:2px {} {}\"></i>{}</li>\n",
                         css_style,
                         colour,
                         escape(text));
    }



    /** The look that all pictures with axes share. */
    std::string
    plain_axes()
    {
      // The page sets xlabel_shift: line heights depend on the terminal.
      return fmt::format("set border 3 linewidth 1 linecolor rgb '{1}'\n"
                         "set tics nomirror out scale 0.7,0.35 "
                         "textcolor rgb '{0}'\n"
                         "set grid linetype 1 linewidth 0.8 "
                         "linecolor rgb '{2}'\n"
                         "set xtics offset 0,0.35\nset ytics offset 0.5,0\n"
                         "set xlabel offset 0,xlabel_shift "
                         "textcolor rgb '{0}'\n"
                         "set ylabel offset 1.6,0 textcolor rgb '{0}'\n"
                         "unset key\nset lmargin 7.5\nset rmargin 3.5\n"
                         "set tmargin 0.8\nset bmargin 2.8\n",
                         ink,
                         line_grey,
                         grid_grey);
    }



    /** A logarithmic axis, @p axis being x or y, around some values. */
    class LogAxis
    {
    public:
      void
      add(const double value)
      {
        if (std::isfinite(value) && value > 0)
          {
            low  = std::min(low, value);
            high = std::max(high, value);
          }
      }

      bool
      empty() const
      {
        return high == 0;
      }

      /** Leave room at both ends, and for at least some tics. */
      void
      finish()
      {
        const double factor = std::max(1.25, std::sqrt(5. * low / high));
        low /= factor;
        high *= factor;
      }

      std::string
      commands(const char axis) const
      {
        const double           decades = std::log10(high / low);
        const std::vector<int> labelled =
          (decades > 2.6 ? std::vector<int>{1} :
           decades > 1.2 ? std::vector<int>{1, 3} :
                           std::vector<int>{1, 2, 5});
        const int stride = static_cast<int>(std::ceil(decades / 8));
        const int first  = static_cast<int>(std::floor(std::log10(low)));
        const int last   = static_cast<int>(std::ceil(std::log10(high)));

        std::string tics;
        for (int power = first; power <= last; ++power)
          for (int digit = 1; digit < 10; ++digit)
            {
              const double value = digit * std::pow(10., power);
              if (value < low || value > high || (digit > 1 && stride > 1))
                continue;
              const bool major =
                (power % stride == 0 &&
                 std::count(labelled.begin(), labelled.end(), digit) > 0);
              if (!tics.empty())
                tics += ", ";
              tics += fmt::format("'{}' {:.9g} {}",
                                  major ? label(digit, power) : "",
                                  value,
                                  major ? 0 : 1);
            }
        return fmt::format("set logscale {0}\nset {0}range [{1:.9g}:{2:.9g}]\n"
                           "set {0}tics ({3})\n",
                           axis,
                           low,
                           high,
                           tics);
      }

      double low  = std::numeric_limits<double>::max();
      double high = 0;

    private:
      static std::string
      label(const int digit, const int power)
      {
        if (power >= -3 && power <= 4)
          return fmt::format("{:.6g}", digit * std::pow(10., power));
        return digit == 1 ? fmt::format("10^{{{}}}", power) :
                            fmt::format("{}·10^{{{}}}", digit, power);
      }
    };



    /**
     * A straight line across the chart. Lines of different dashes need
     * different colours: gnuplot's SVG joins neighbours of one colour.
     */
    void
    add_line(std::string       &commands,
             const double       value,
             const char        *colour,
             const std::string &dashes,
             const bool         vertical = false)
    {
      // Nothing else has a place on a logarithmic axis.
      if (!(std::isfinite(value) && value > 0))
        return;
      commands += fmt::format(
        "set arrow from {0} to {1} nohead back linewidth 1.4 dashtype {3} "
        "linecolor rgb '{2}'\n",
        vertical ? fmt::format("{:.9g}, graph 0", value) :
                   fmt::format("graph 0, first {:.9g}", value),
        vertical ? fmt::format("{:.9g}, graph 1", value) :
                   fmt::format("graph 1, first {:.9g}", value),
        colour,
        dashes);
    }

    /** How the points of a class of @p n, among @p n_all, are drawn. */
    std::string
    point_style(const Sign &sign, const std::size_t n, const std::size_t n_all)
    {
      // Where they crowd, they let one see how many there are.
      const char *const transparency = (n > 2000 ? "A0" :
                                        n > 200  ? "60" :
                                                   "10");
      return fmt::format(
        "with points pointtype {} pointsize {} linecolor rgb '#{}{}'",
        sign.point_type,
        n_all > 4000 ? 0.25 : 0.4,
        transparency,
        sign.colour + 1);
    }



    constexpr const char *dashed = "(6,4)";
    constexpr const char *dotted = "(1.5,3)";



    /** Errors in the unit in which the page shows them. */
    struct ErrorUnit
    {
      explicit ErrorUnit(const ReportData &data)
        : factor(data.error_in_percent ? 100. : 1.)
        , suffix(data.error_in_percent ? " %" : "")
        , axis_suffix(data.error_in_percent ? " in %" : "")
      {}

      std::string
      operator()(const double error) const
      {
        return number(factor * error) + suffix;
      }

      const double      factor;
      const std::string suffix;
      const std::string axis_suffix;
    };



    /** Whether @p point can be shown on logarithmic axes. */
    bool
    is_drawable(const BoundsAgainstErrors::Point &point)
    {
      return std::isfinite(point.bound) && point.bound > 0 &&
             std::isfinite(point.error) && point.error > 0;
    }



    std::string
    explain_bounds(const BoundsAgainstErrors &bounds, const ErrorUnit &unit)
    {
      std::size_t n_drawn = 0, n_failed = 0;
      for (const auto &point : bounds.points)
        if (is_drawable(point))
          {
            ++n_drawn;
            n_failed += (point.error > point.bound ? 1 : 0);
          }
      if (n_drawn == 0)
        return "No point has a finite bound and a finite error.";
      std::string text = fmt::format(
        "A point above the diagonal, in the shaded triangle, is a bound that "
        "failed: {} of {} ({}&nbsp;%).",
        n_failed,
        n_drawn,
        number(100. * n_failed / n_drawn));
      for (const double tolerance : bounds.tolerances)
        {
          std::size_t n_left = 0, n_bad = 0;
          for (const auto &point : bounds.points)
            if (is_drawable(point) && point.bound <= tolerance)
              {
                ++n_left;
                n_bad += (point.error > tolerance ? 1 : 0);
              }
          if (n_left == 0)
            {
              text += fmt::format(" No point lies left of the tolerance of {}.",
                                  unit(tolerance));
              continue;
            }
          text +=
            fmt::format(" Of {} left of the tolerance of {}, {} above it{}.",
                        n_left == 1 ? "the one point" :
                                      fmt::format("the {} points", n_left),
                        unit(tolerance),
                        n_bad == 0 ? "none lies" :
                        n_bad == 1 ? "one lies" :
                                     fmt::format("{} lie", n_bad),
                        n_bad == 0 ?
                          ": it was right to trust their bounds" :
                          ": within the tolerance by the bound, not in truth");
        }
      const std::size_t n_absent = bounds.points.size() - n_drawn;
      if (n_absent > 0)
        text += fmt::format(" Not drawn: {} whose bound or error is zero or "
                            "not finite.",
                            count(n_absent, "query", "queries"));
      return text;
    }



    /** The rounds of a history, so few that bars have a width. */
    class Rounds
    {
    public:
      explicit Rounds(const QueryHistory &history)
      {
        unsigned long n_queries = 0;
        for (const auto &query : history.queries)
          n_queries = std::max(n_queries, query.index + 1);
        in_rounds = history.round_size > 0;
        size      = (in_rounds ? history.round_size :
                                 std::max<unsigned long>(1, n_queries / 24));
        merged    = 1 + (n_queries - 1) / size / 40;
        size *= merged;
        n = (n_queries + size - 1) / size;
      }

      bool          in_rounds;
      unsigned long merged; ///< of the history's rounds, in one of these
      unsigned long size;   ///< in queries
      unsigned long n;
    };



    std::string
    explain_decisions(const QueryHistory &history)
    {
      const Rounds rounds(history);
      std::string  text = fmt::format(
        "Each bar is {}; its colours stand for what was done.",
        !rounds.in_rounds ?
           count(rounds.size, "query", "queries") :
         rounds.merged == 1 ?
           fmt::format("a round of {}, in which the surrogate "
                       "does not change",
                      count(rounds.size, "query", "queries")) :
           fmt::format("{} rounds, {} queries", rounds.merged, rounds.size));
      if (std::any_of(history.queries.begin(),
                      history.queries.end(),
                      [](const auto &query) { return query.audited; }))
        text += " A diamond gives the number of them that were audited: "
                "answered, and then solved in full as a check.";
      return text;
    }



    bool
    has_time(const QueryHistory::Query &query)
    {
      return std::isfinite(query.seconds) && query.seconds > 0;
    }



    std::string
    explain_cost(const QueryHistory &history)
    {
      std::string text =
        "The solid line is the mean over all queries up to there; the axis is "
        "logarithmic.";
      if (std::any_of(history.queries.begin(),
                      history.queries.end(),
                      [](const auto &query) { return query.audited; }))
        text += " Of audited queries the time includes the full solve that "
                "checks them.";
      return text;
    }
  } // namespace



  Chart
  learning_curve_chart(const ReportData &data)
  {
    const LearningCurve &curve = data.learning_curve;
    const ErrorUnit      unit(data);
    Chart                chart;
    chart.description = data.error_name + " against the number of snapshots";

    LogAxis y;
    double  first = std::numeric_limits<double>::max();
    double  last  = 0;
    for (const auto &point : curve.points)
      {
        y.add(unit.factor * point.median);
        y.add(unit.factor * point.quantile_95);
        first = std::min<double>(first, point.n_snapshots);
        last  = std::max<double>(last, point.n_snapshots);
      }
    for (const auto &line :
         {curve.coarse_median, curve.coarse_quantile_95, curve.tolerance})
      if (line)
        y.add(unit.factor * *line);
    if (y.empty())
      y.add(1.);
    y.finish();

    std::string &commands = chart.commands;
    commands              = plain_axes() + y.commands('y');

    std::vector<LearningCurve::Point> points = curve.points;
    std::stable_sort(points.begin(),
                     points.end(),
                     [](const auto &a, const auto &b) {
                       return a.n_snapshots < b.n_snapshots;
                     });

    // Tics where the points are, as long as their labels have room.
    const bool logarithmic = (first > 0 && last >= 6 * first);
    const auto position    = [&](const double x) {
      return logarithmic ? std::log(x) : x;
    };
    const double width =
      std::max(position(last) - position(first), logarithmic ? 0.1 : 1.);
    std::string tics;
    double      previous = std::numeric_limits<double>::lowest();
    for (const auto &point : points)
      if (position(point.n_snapshots) - previous >= 0.08 * width)
        {
          tics +=
            fmt::format("{}{}", tics.empty() ? "" : ", ", point.n_snapshots);
          previous = position(point.n_snapshots);
        }
    const double pad = 0.05 * width;
    commands += fmt::format(
      "{}set xrange [{:.9g}:{:.9g}]\nset xtics ({})\n"
      "set xlabel 'number of snapshots'\nset ylabel {} noenhanced\n",
      logarithmic ? "set logscale x\n" : "",
      logarithmic ? first * std::exp(-pad) : first - pad,
      logarithmic ? last * std::exp(pad) : last + pad,
      tics,
      Gnuplot::quote(data.error_name + unit.axis_suffix));

    const Sign middle = {blue, 7, "●"};
    const Sign upper  = {vermillion, 9, "▲"};
    chart.legend += legend_point(upper, "95 % quantile");
    chart.legend += legend_point(middle, "median");
    if (curve.coarse_quantile_95)
      {
        add_line(commands,
                 unit.factor * *curve.coarse_quantile_95,
                 upper.colour,
                 dashed);
        chart.legend += legend_line("dashed",
                                    upper.colour,
                                    "coarse solve alone, 95 % quantile");
      }
    if (curve.coarse_median)
      {
        add_line(commands,
                 unit.factor * *curve.coarse_median,
                 middle.colour,
                 dashed);
        chart.legend +=
          legend_line("dashed", middle.colour, "coarse solve alone, median");
      }
    if (curve.tolerance)
      {
        add_line(commands, unit.factor * *curve.tolerance, dark_grey, dotted);
        chart.legend += legend_line("dotted", dark_grey, "tolerance");
      }

    commands += "$data << EOD\n";
    for (const auto &point : points)
      commands += fmt::format("{} {:.9g} {:.9g}\n",
                              point.n_snapshots,
                              unit.factor * point.median,
                              unit.factor * point.quantile_95);
    commands += fmt::format(
      "EOD\nplot $data using 1:3 with linespoints linewidth 2 pointtype {} "
      "pointsize 0.6 linecolor rgb '{}', $data using 1:2 with linespoints "
      "linewidth 2 pointtype {} pointsize 0.55 linecolor rgb '{}'\n",
      upper.point_type,
      upper.colour,
      middle.point_type,
      middle.colour);
    chart.n_marks = 2 * curve.points.size();
    chart.how_to_read =
      "Half of the test inputs have an error below the circles, 95 % of "
      "them below the triangles.";
    if (curve.coarse_median || curve.coarse_quantile_95)
      chart.how_to_read += " Where a curve lies below the dashed line of its "
                           "colour, learning adds to the coarse solve.";
    return chart;
  }



  Chart
  bounds_chart(const ReportData &data)
  {
    const BoundsAgainstErrors &bounds = data.bounds;
    const ErrorUnit            unit(data);
    Chart                      chart;
    chart.description = "true error against predicted error bound";

    // The same range on both axes: the diagonal runs from corner to corner.
    LogAxis                  axis;
    std::vector<std::string> groups;
    for (const auto &point : bounds.points)
      if (is_drawable(point))
        {
          axis.add(unit.factor * point.bound);
          axis.add(unit.factor * point.error);
          groups.push_back(point.group);
        }
    for (const double tolerance : bounds.tolerances)
      axis.add(unit.factor * tolerance);
    if (axis.empty())
      axis.add(1.);
    axis.finish();
    const Classes classes(groups);

    std::string &commands = chart.commands;
    commands =
      plain_axes() + axis.commands('x') + axis.commands('y') +
      fmt::format("set xlabel {} noenhanced\nset ylabel {} noenhanced\n"
                  "set object 1 polygon from {a:.9g},{a:.9g} to "
                  "{b:.9g},{b:.9g} to {a:.9g},{b:.9g} to {a:.9g},{a:.9g} "
                  "fillcolor rgb '{c}' fillstyle solid 0.07 noborder back\n"
                  "set arrow from {a:.9g},{a:.9g} to {b:.9g},{b:.9g} nohead "
                  "back linewidth 1.4 linecolor rgb '{d}'\n"
                  "set label 'the bound fails' at graph 0.025,0.95 "
                  "textcolor rgb '#a34700'\n",
                  Gnuplot::quote("predicted bound of the " + data.error_name +
                                 unit.axis_suffix),
                  Gnuplot::quote("true " + data.error_name + unit.axis_suffix),
                  fmt::arg("a", axis.low),
                  fmt::arg("b", axis.high),
                  fmt::arg("c", vermillion),
                  fmt::arg("d", line_grey));
    for (const double tolerance : bounds.tolerances)
      {
        add_line(commands, unit.factor * tolerance, ink, dashed);
        add_line(commands, unit.factor * tolerance, ink, dashed, true);
      }

    // The most frequent class goes first, so that it hides no other one.
    std::vector<std::size_t> order(classes.names.size());
    for (std::size_t i = 0; i < order.size(); ++i)
      order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
      return classes.sizes.at(classes.names[a]) >
             classes.sizes.at(classes.names[b]);
    });
    std::string plots;
    for (const std::size_t i : order)
      {
        commands += fmt::format("$class{} << EOD\n", i);
        for (const auto &point : bounds.points)
          if (is_drawable(point) && point.group == classes.names[i])
            commands += fmt::format("{:.6g} {:.6g}\n",
                                    unit.factor * point.bound,
                                    unit.factor * point.error);
        commands += "EOD\n";
        plots += fmt::format("{}$class{} using 1:2 {}",
                             plots.empty() ? "" : ", ",
                             i,
                             point_style(classes.signs[i],
                                         classes.sizes.at(classes.names[i]),
                                         groups.size()));
      }
    commands += "plot " + (plots.empty() ? "1/0" : plots) + "\n";
    for (std::size_t i = 0; i < classes.names.size(); ++i)
      chart.legend +=
        legend_point(classes.signs[i],
                     fmt::format("{} ({})",
                                 classes.names[i],
                                 classes.sizes.at(classes.names[i])));
    for (std::size_t i = 0; i < bounds.tolerances.size(); ++i)
      if (i == 0)
        chart.legend +=
          legend_line("dashed",
                      ink,
                      bounds.tolerances.size() == 1 ? "tolerance" :
                                                      "tolerances");
    chart.n_marks     = groups.size();
    chart.how_to_read = explain_bounds(bounds, unit);
    return chart;
  }



  Chart
  decisions_chart(const QueryHistory &history)
  {
    const Rounds             rounds(history);
    std::vector<std::string> decisions;
    std::size_t              n_audits = 0;
    for (const auto &query : history.queries)
      {
        decisions.push_back(query.decision);
        n_audits += (query.audited ? 1 : 0);
      }
    const Classes classes(decisions);

    std::vector<std::vector<unsigned int>> counts(
      classes.names.size(), std::vector<unsigned int>(rounds.n, 0));
    std::vector<unsigned int> audits(rounds.n, 0);
    for (const auto &query : history.queries)
      {
        const std::size_t round = query.index / rounds.size;
        const auto        name =
          std::find(classes.names.begin(), classes.names.end(), query.decision);
        ++counts[name - classes.names.begin()][round];
        audits[round] += (query.audited ? 1 : 0);
      }

    Chart chart;
    chart.description = "how many queries were answered in which way";
    chart.commands =
      plain_axes() +
      fmt::format("unset grid\nset grid noxtics ytics linetype 1 "
                  "linewidth 0.8 linecolor rgb '{}'\n"
                  "set xrange [0:{}]\nset yrange [0:*]\n"
                  "set xlabel 'query'\nset ylabel 'queries{}'\n",
                  grid_grey,
                  rounds.n * rounds.size,
                  !rounds.in_rounds  ? fmt::format(" of {}", rounds.size) :
                  rounds.merged == 1 ? " per round" :
                                       fmt::format(" per {} rounds",
                                                   rounds.merged));

    std::string               plots;
    std::vector<unsigned int> below(rounds.n, 0);
    const double              gap = 0.07 * rounds.size;
    for (std::size_t i = 0; i < classes.names.size(); ++i)
      {
        chart.commands += fmt::format("$class{} << EOD\n", i);
        for (std::size_t r = 0; r < rounds.n; ++r)
          if (counts[i][r] > 0)
            {
              const double left = static_cast<double>(r * rounds.size);
              chart.commands += fmt::format("{} {} {} {} {} {}\n",
                                            left + 0.5 * rounds.size,
                                            below[r] + counts[i][r],
                                            left + gap,
                                            left + rounds.size - gap,
                                            below[r],
                                            below[r] + counts[i][r]);
              below[r] += counts[i][r];
            }
        chart.commands += "EOD\n";
        plots += fmt::format(
          "{}$class{} using 1:2:3:4:5:6 with boxxyerror fillstyle solid 1 "
          "border linecolor rgb '#ffffff' linewidth 0.7 fillcolor rgb '{}'",
          plots.empty() ? "" : ", ",
          i,
          classes.signs[i].colour);
        chart.legend +=
          legend_point({classes.signs[i].colour, 0, "■"},
                       fmt::format("{} ({})",
                                   classes.names[i],
                                   classes.sizes.at(classes.names[i])));
      }
    if (n_audits > 0)
      {
        chart.commands += "$audits << EOD\n";
        for (std::size_t r = 0; r < rounds.n; ++r)
          if (audits[r] > 0)
            chart.commands +=
              fmt::format("{} {}\n", (r + 0.5) * rounds.size, audits[r]);
        // A white rim, so that the sign stands out from the bars.
        plots += fmt::format(
          ", $audits using 1:2 with points pointtype {0} pointsize {2} "
          "linecolor rgb '#ffffff', $audits using 1:2 with points "
          "pointtype {0} pointsize {3} linecolor rgb '{1}'",
          ladder[audit_class].sign.point_type,
          ladder[audit_class].sign.colour,
          rounds.n > 20 ? 0.75 : 0.95,
          rounds.n > 20 ? 0.5 : 0.65);
        chart.commands += "EOD\n";
        chart.legend +=
          legend_point(ladder[audit_class].sign,
                       fmt::format("of these audited ({})", n_audits));
      }
    chart.commands += "plot " + plots + "\n";
    chart.how_to_read = explain_decisions(history);
    return chart;
  }



  bool
  has_times(const QueryHistory &history)
  {
    return std::any_of(history.queries.begin(),
                       history.queries.end(),
                       has_time);
  }



  Chart
  cost_chart(const QueryHistory &history)
  {
    Chart                            chart;
    LogAxis                          y;
    std::vector<std::string>         decisions;
    std::vector<QueryHistory::Query> queries;
    for (const auto &query : history.queries)
      if (has_time(query))
        {
          y.add(query.seconds);
          queries.push_back(query);
          if (query.audited)
            queries.back().decision += ", audited";
          decisions.push_back(queries.back().decision);
        }
    for (const auto &line : history.reference_times)
      y.add(line.seconds);
    y.finish();
    const Classes classes(decisions);
    std::stable_sort(queries.begin(),
                     queries.end(),
                     [](const auto &a, const auto &b) {
                       return a.index < b.index;
                     });

    chart.description     = "wall time of every query";
    std::string &commands = chart.commands;
    commands              = plain_axes() + y.commands('y') +
               fmt::format("set xrange [0:{}]\nset xlabel 'query'\n"
                           "set ylabel 'wall time in s'\n",
                           queries.back().index + 1);

    std::string plots;
    for (std::size_t i = 0; i < classes.names.size(); ++i)
      {
        commands += fmt::format("$class{} << EOD\n", i);
        for (const auto &query : queries)
          if (query.decision == classes.names[i])
            commands +=
              fmt::format("{} {:.6g}\n", query.index + 0.5, query.seconds);
        commands += "EOD\n";
        plots += fmt::format("{}$class{} using 1:2 {}",
                             plots.empty() ? "" : ", ",
                             i,
                             point_style(classes.signs[i],
                                         classes.sizes.at(classes.names[i]),
                                         queries.size()));
        chart.legend += legend_point(classes.signs[i], classes.names[i]);
      }

    // A line of a few hundred points is as good as one of all.
    const std::size_t stride = 1 + queries.size() / 400;
    double            sum    = 0;
    commands += "$mean << EOD\n";
    for (std::size_t i = 0; i < queries.size(); ++i)
      {
        sum += queries[i].seconds;
        if (i % stride == 0 || i + 1 == queries.size())
          commands +=
            fmt::format("{} {:.6g}\n", queries[i].index + 0.5, sum / (i + 1));
      }
    commands += "EOD\n";
    plots += fmt::format(", $mean using 1:2 with lines linewidth 4.5 "
                         "linecolor rgb '#ffffff', $mean using 1:2 with "
                         "lines linewidth 2 linecolor rgb '{}'",
                         ink);
    chart.legend += legend_line("solid", ink, "mean so far");

    for (std::size_t i = 0; i < history.reference_times.size(); ++i)
      {
        const auto &line = history.reference_times[i];
        if (!(std::isfinite(line.seconds) && line.seconds > 0))
          continue;
        add_line(commands,
                 line.seconds,
                 i == 0 ? ink :
                 i == 1 ? dark_grey :
                          grey,
                 i == 1 ? dotted : dashed);
        chart.legend += legend_line(i == 1 ? "dotted" : "dashed",
                                    i == 0 ? ink :
                                    i == 1 ? dark_grey :
                                             grey,
                                    line.label);
      }
    commands += "plot " + plots + "\n";
    chart.n_marks     = queries.size();
    chart.how_to_read = explain_cost(history);
    return chart;
  }
} // namespace neuraldeal::examples
