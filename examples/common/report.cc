// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "report.h"

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <map>
#include <sstream>
#include <vector>

#include "charts.h"
#include "field_pictures.h"
#include "gnuplot.h"
#include "html.h"

namespace neuraldeal::examples
{
  using html::base64;
  using html::count;
  using html::escape;
  using html::number;

  namespace
  {
    const char *const style_sheet = R"css(
:root { color-scheme: light dark;
  --paper: #fbfbfa; --ink: #1d2126; --soft: #58616b; --line: #dcdfe3;
  --card: #ffffff; --met: #00785a; --missed: #b34a00; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --ink: #e3e6e8; --soft: #9ca6b0; --line: #2f363d;
  --card: #1b1f24; --met: #3cc7a0; --missed: #f0a15e; --accent: #6bbcf0; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans",
    "Liberation Sans", "DejaVu Sans", sans-serif; }
main { max-width: 1140px; margin: 0 auto; padding: 40px 28px 56px; }
header { margin-bottom: 28px; }
h1, h2 { font-family: Charter, "Bitstream Charter", "Iowan Old Style",
    "Palatino Linotype", Georgia, "Liberation Serif", "DejaVu Serif", serif;
  font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: 32px; margin: 0 0 8px; letter-spacing: -0.01em; }
h2 { font-size: 21px; margin: 44px 0 14px; }
.subtitle { color: var(--soft); margin: 0; max-width: 75ch; }
.tiles { display: flex; flex-wrap: wrap; gap: 14px; margin: 0; padding: 0;
  list-style: none; }
.tiles li { flex: 1 1 170px; max-width: 280px; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 14px 16px 12px; display: flex;
  flex-direction: column; break-inside: avoid; }
.tiles .label { font-size: 13.5px; line-height: 1.35; color: var(--soft); }
.tiles .value { font-size: 27px; line-height: 1.25; font-weight: 600;
  margin: 2px 0 4px; font-variant-numeric: tabular-nums;
  letter-spacing: -0.01em; }
.tiles .goal { font-size: 13px; line-height: 1.4; color: var(--soft);
  margin-top: auto; }
.met, .missed { font-weight: 600; white-space: nowrap; }
.met { color: var(--met); } .missed { color: var(--missed); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px;
  font-variant-numeric: tabular-nums; line-height: 1.4;
  border-top: 2px solid var(--ink); border-bottom: 2px solid var(--ink); }
th { font-weight: 600; text-align: left; vertical-align: bottom;
  border-bottom: 1px solid var(--ink); }
th, td { padding: 7px 12px 7px 0; }
th + th, td + td { padding-left: 12px; }
th:last-child, td:last-child { padding-right: 0; }
td { border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
.seen { font-size: 14px; color: var(--soft); margin: -6px 0 10px; }
.n { text-align: right; }
td.n { white-space: nowrap; }
.notes { font-size: 14px; line-height: 1.5; color: var(--soft);
  margin: 10px 0 0; max-width: 90ch; }
.figures { display: grid; gap: 32px 28px;
  grid-template-columns: repeat(2, minmax(0, 1fr)); align-items: start; }
figure { margin: 0; break-inside: avoid; min-width: 0; }
.card { background: #ffffff; color: #1d2126; border: 1px solid var(--line);
  border-radius: 8px; padding: 14px 14px 8px; }
.card svg, .card img { display: block; width: 100%; height: auto; }
.card svg, .card svg g, .card svg tspan {
  font-family: system-ui, -apple-system, "Segoe UI", "Noto Sans",
    "Liberation Sans", "DejaVu Sans", sans-serif; }
.legend { list-style: none; margin: 0 0 8px; padding: 0 2px; display: flex;
  flex-wrap: wrap; gap: 2px 16px; font-size: 13px; line-height: 1.5; }
.legend li { display: flex; align-items: center; gap: 6px; }
.legend span { width: 1em; text-align: center; }
.legend i { width: 22px; height: 0; }
figcaption { font-size: 14px; line-height: 1.5; color: var(--soft);
  margin-top: 10px; }
figcaption b { color: var(--ink); }
.absent { border: 1px dashed var(--line); border-radius: 8px; margin: 0;
  padding: 18px 16px; font-size: 14px; color: var(--soft); }
.cut { margin-top: 30px; }
.cut:first-of-type { margin-top: 0; }
.cut h3 { font-size: 16px; font-weight: 600; margin: 0 0 10px; }
.panels { display: grid; gap: 22px 20px; align-items: end; }
.panel { min-width: 0; font-size: 12.5px; line-height: 1.3; }
.panel .name { font-size: 14px; margin: 0 0 6px 21px; font-weight: 600; }
.plane { display: grid; grid-template-columns: 15px minmax(0, 1fr);
  gap: 3px 6px; color: var(--soft); font-size: 12px; line-height: 1.2; }
.plane img { display: block; width: 100%; height: auto;
  outline: 1px solid var(--line); background: #d3d6d9; }
.plane .absent { font-size: 12.5px; }
.y, .x { display: flex; justify-content: space-between; gap: 6px; }
.y { writing-mode: vertical-rl; transform: rotate(180deg); }
.x { grid-column: 2; }
.bar { margin: 10px 0 0 21px; height: 10px; border-radius: 2px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.ticks { position: relative; height: 21px; margin-left: 21px;
  font-variant-numeric: tabular-nums; }
.ticks span { position: absolute; top: 0; padding-top: 6px;
  transform: translateX(-50%); white-space: nowrap; }
.ticks span::before { content: ""; position: absolute; top: 0; left: 50%;
  height: 4px; border-left: 1px solid var(--soft); }
sup { font-size: 0.75em; line-height: 0; }
.unit { margin-left: 21px; color: var(--soft); min-height: 1.3em; }
details { margin-top: 44px; border-top: 1px solid var(--line);
  padding-top: 14px; }
summary { cursor: pointer; font-weight: 600; }
pre { font: 13px/1.45 ui-monospace, "SF Mono", Menlo, Consolas,
    "Liberation Mono", "DejaVu Sans Mono", monospace;
  overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 14px 16px; }
footer { margin-top: 44px; font-size: 13px; color: var(--soft); }
@media screen and (max-width: 800px) {
  main { padding: 24px 16px 40px; }
  h1 { font-size: 26px; }
  .figures { grid-template-columns: minmax(0, 1fr); }
  .tiles { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr));
    gap: 10px; }
  .tiles li { padding: 11px 12px 10px; }
  .tiles .value { font-size: 23px; }
  .card { padding: 10px 8px 6px; }
  .panels { grid-template-columns: repeat(2, minmax(0, 1fr)) !important;
    gap: 20px 14px; }
  .flat { grid-template-columns: minmax(0, 1fr) !important; }
  table { font-size: 14px; }
  th, td { padding: 6px 7px 6px 0; }
  th + th, td + td { padding-left: 7px; }
  td:first-child, th:first-child { min-width: 8em; } }
@media print {
  @page { margin: 16mm 14mm; }
  :root { color-scheme: light; --paper: #ffffff; --ink: #000000;
    --soft: #3b4148; --line: #c9cdd2; --card: #ffffff; --met: #00785a;
    --missed: #b34a00; }
  main { max-width: none; padding: 0 12px; zoom: 0.75; }
  h2, h3 { break-after: avoid; }
  tr { break-inside: avoid; }
  details::details-content { content-visibility: visible; display: block; }
  pre { white-space: pre-wrap; }
  .plane img, .legend span, .card { print-color-adjust: exact;
    -webkit-print-color-adjust: exact; } }
)css";



    /** Height by width of the pictures of @p cut. */
    double
    aspect_ratio(const Cut &cut)
    {
      const double ratio = (cut.y_range.second - cut.y_range.first) /
                           (cut.x_range.second - cut.x_range.first);
      return ratio > 0 && std::isfinite(ratio) ?
               std::min(4., std::max(0.1, ratio)) :
               1.;
    }



    /** Whether the left border is too short for what is written along it. */
    bool
    is_flat(const Cut &cut)
    {
      return aspect_ratio(cut) < 0.5;
    }



    /** Cut gnuplot's SVG to what belongs inside a page. */
    std::string
    inline_svg(const std::string &svg,
               const Chart       &chart,
               const std::string &prefix)
    {
      const std::size_t tag = svg.find("<svg");
      const std::size_t end =
        (tag == std::string::npos ? tag : svg.find('>', tag));
      if (end == std::string::npos || svg.find("</svg>", end) == end)
        throw GnuplotError("gnuplot has drawn something that is no SVG");

      std::string result =
        fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" "
                    "aria-label=\"{}\">",
                    chart.width,
                    chart.height,
                    escape(chart.description));
      for (std::size_t at = end + 1; at < svg.size();)
        if (svg.compare(at, 7, "<title>") == 0)
          at = std::min(svg.size(), svg.find("</title>", at) + 8);
        else if (svg.compare(at, 6, "<desc>") == 0)
          at = std::min(svg.size(), svg.find("</desc>", at) + 7);
        else if (svg[at] == '<')
          {
            // The names in all pictures are the same; in a page they are to
            // be different.
            const std::size_t close = std::min(svg.size(), svg.find('>', at));
            while (at < close)
              {
                const auto is = [&](const char *const text) {
                  return svg.compare(at,
                                     std::char_traits<char>::length(text),
                                     text) == 0;
                };
                if (is("xlink:href="))
                  at += 6;
                else if (is(" id='") || is(" id=\""))
                  {
                    result += svg.substr(at, 5) + prefix;
                    at += 5;
                  }
                else if (is("href='#") || is("href=\"#"))
                  {
                    result += svg.substr(at, 7) + prefix;
                    at += 7;
                  }
                else if (is("url(#"))
                  {
                    result += svg.substr(at, 5) + prefix;
                    at += 5;
                  }
                else
                  result += svg[at++];
              }
          }
        else
          {
            // Blank lines and indentation would be a fifth of the page.
            const char c = svg[at++];
            if (!(c == '\n' || c == '\t') || result.back() != '\n')
              result += (c == '\t' ? ' ' : c);
          }
      return result;
    }



    /** The page as it grows. */
    class Page
    {
    public:
      Page(const ReportData &data, const std::string &gnuplot)
        : data(data)
        , gnuplot(gnuplot)
      {}

      std::string
      write()
      {
        page = "<!doctype html>\n<html lang=\"en\">\n<head>\n"
               "<meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width, "
               "initial-scale=1\">\n";
        page += fmt::format("<title>{}</title>\n<style>{}{}</style>\n"
                            "</head>\n<body>\n<main>\n",
                            escape(data.title),
                            style_sheet,
                            palette_styles());
        write_header();
        write_key_figures();
        write_table();
        write_figures();
        write_cuts();
        if (!data.parameters.empty())
          page += fmt::format("<details>\n<summary>Parameters of this run"
                              "</summary>\n<pre>{}</pre>\n</details>\n",
                              escape(data.parameters));
        page += "<footer>Written by neural.deal. This page is complete in "
                "itself.</footer>\n</main>\n</body>\n</html>\n";
        return page;
      }

      /** What is to be said of pictures that are missing, if any are. */
      std::string
      warning() const
      {
        if (n_missing == 0)
          return "";
        return fmt::format("{} of {} {} missing: {}.",
                           n_missing,
                           count(n_pictures, "picture", "pictures"),
                           n_missing == 1 ? "is" : "are",
                           reason);
      }

    private:
      static std::string
      palette_styles()
      {
        std::string css;
        for (const auto palette :
             {CutField::Palette::viridis, CutField::Palette::magma})
          {
            css += fmt::format(".{} {{ background: linear-gradient(to right",
                               to_string(palette));
            for (const char *const stop : palette_colours(palette))
              css += fmt::format(", {}", stop);
            css += "); }\n";
          }
        return css;
      }

      void
      write_header()
      {
        page += fmt::format("<header>\n<h1>{}</h1>\n", escape(data.title));
        std::istringstream lines(data.subtitle);
        std::string        line;
        while (std::getline(lines, line))
          page += fmt::format("<p class=\"subtitle\">{}</p>\n", escape(line));
        page += "</header>\n";
      }

      void
      write_key_figures()
      {
        if (data.key_figures.empty())
          return;
        page += "<ul class=\"tiles\">\n";
        for (const auto &figure : data.key_figures)
          {
            page += fmt::format("<li><span class=\"label\">{}</span>"
                                "<span class=\"value\">{}</span>",
                                escape(figure.label),
                                escape(figure.value));
            std::string goal = escape(figure.goal);
            if (figure.goal_met)
              goal += fmt::format("{}<span class=\"{}\">{}</span>",
                                  goal.empty() ? "" : " ",
                                  *figure.goal_met ? "met" : "missed",
                                  *figure.goal_met ? "✓ met" : "✗ missed");
            if (!goal.empty())
              page += fmt::format("<span class=\"goal\">{}</span>", goal);
            page += "</li>\n";
          }
        page += "</ul>\n";
      }

      /** Whether all cells of a column of the table look like numbers. */
      bool
      is_numeric(const std::size_t column) const
      {
        bool has_number = false;
        for (const auto &row : data.table.rows)
          if (column < row.size() && !row[column].empty())
            {
              const std::string &cell = row[column];
              const bool         starts_like_one =
                std::isdigit(static_cast<unsigned char>(cell[0])) ||
                ((cell[0] == '-' || cell[0] == '+' || cell[0] == '<' ||
                  cell[0] == '>' || cell[0] == '.') &&
                 cell.size() > 1) ||
                cell.compare(0, 3, "−") == 0 || cell.compare(0, 3, "≤") == 0 ||
                cell.compare(0, 3, "≥") == 0 || cell.compare(0, 3, "≈") == 0;
              const bool is_blank = (cell == "-" || cell == "–" || cell == "—");
              if (!starts_like_one && !is_blank)
                return false;
              has_number = has_number || starts_like_one;
            }
        return has_number;
      }

      void
      write_table()
      {
        const ReportTable &table = data.table;
        if (table.header.empty() && table.rows.empty() && table.notes.empty())
          return;
        page += "<section>\n<h2>Results</h2>\n";
        if (!(table.header.empty() && table.rows.empty()))
          {
            std::size_t n_columns = table.header.size();
            for (const auto &row : table.rows)
              n_columns = std::max(n_columns, row.size());
            std::vector<std::string> classes(n_columns);
            for (std::size_t i = 1; i < n_columns; ++i)
              if (is_numeric(i))
                classes[i] = " class=\"n\"";
            const auto write_row = [&](const std::vector<std::string> &cells,
                                       const std::string              &tag) {
              page += "<tr>";
              for (std::size_t i = 0; i < n_columns; ++i)
                page += fmt::format("<{0}{1}>{2}</{0}>",
                                    tag,
                                    classes[i],
                                    i < cells.size() ? escape(cells[i]) : "");
              page += "</tr>\n";
            };
            if (!table.caption.empty())
              page += fmt::format("<p class=\"seen\">{}</p>\n",
                                  escape(table.caption));
            page += "<div class=\"scroll\">\n<table>\n";
            if (!table.header.empty())
              {
                page += "<thead>\n";
                write_row(table.header, "th");
                page += "</thead>\n";
              }
            page += "<tbody>\n";
            for (const auto &row : table.rows)
              write_row(row, "td");
            page += "</tbody>\n</table>\n</div>\n";
          }
        for (const auto &note : table.notes)
          page += fmt::format("<p class=\"notes\">{}</p>\n", escape(note));
        page += "</section>\n";
      }

      /** Draw by @p draw, or leave a sentence that says why not. */
      template <typename Draw>
      std::string
      try_drawing(const Draw &draw)
      {
        ++n_pictures;
        try
          {
            return draw();
          }
        catch (const GnuplotError &error)
          {
            if (n_missing++ == 0)
              reason = error.what();
            return fmt::format("<p class=\"absent\">This picture is missing: "
                               "{}.</p>\n",
                               escape(error.what()));
          }
      }

      std::string
      draw(const Chart &chart)
      {
        return try_drawing([&]() -> std::string {
          const std::string size =
            fmt::format("enhanced size {},{}", chart.width, chart.height);
          std::string content;
          // Beyond some thousand points, their pixels are shorter than their
          // list.
          if (chart.n_marks > 4000)
            content = fmt::format(
              "<img alt=\"{}\" src=\"data:image/png;base64,{}\">\n",
              escape(chart.description),
              base64(gnuplot.draw(
                fmt::format("pngcairo enhanced size {},{} font 'sans-serif,10' "
                            "fontscale 2 linewidth 2 pointscale 2 dashlength 2",
                            2 * chart.width,
                            2 * chart.height),
                "xlabel_shift = 0.65\n" + chart.commands)));
          else
            content =
              inline_svg(gnuplot.draw("svg " + size +
                                        " dynamic font 'sans-serif,13' butt",
                                      "xlabel_shift = 0.9\n" + chart.commands),
                         chart,
                         fmt::format("f{}-", n_pictures));
          return fmt::format("<div class=\"card\">\n<ul class=\"legend\">\n{}"
                             "</ul>\n{}</div>\n",
                             chart.legend,
                             content);
        });
      }

      /** A figure of @p chart; @p caption says what one sees. */
      void
      write_figure(const Chart &chart, const std::string &caption)
      {
        page += fmt::format("<figure>\n{}<figcaption><b>Figure {}.</b> {} {}"
                            "</figcaption>\n</figure>\n",
                            draw(chart),
                            ++n_figures,
                            escape(caption),
                            chart.how_to_read);
      }

      void
      write_figures()
      {
        const LearningCurve &curve   = data.learning_curve;
        const QueryHistory  &history = data.history;
        if (curve.points.empty() && data.bounds.points.empty() &&
            history.queries.empty())
          return;
        page += "<section>\n<h2>Accuracy and cost</h2>\n"
                "<div class=\"figures\">\n";
        if (!curve.points.empty())
          write_figure(learning_curve_chart(data), curve.caption);
        if (!data.bounds.points.empty())
          write_figure(bounds_chart(data), data.bounds.caption);
        if (!history.queries.empty())
          write_figure(decisions_chart(history), history.decisions_caption);
        if (has_times(history))
          write_figure(cost_chart(history), history.cost_caption);
        page += "</div>\n</section>\n";
      }

      void
      write_cuts()
      {
        std::size_t n_fields = 0;
        for (const auto &cut : data.cuts)
          n_fields += cut.fields.size();
        if (n_fields == 0)
          return;
        // Fewer pixels for each if there are many, so that the page stays
        // small.
        const unsigned int edge = static_cast<unsigned int>(
          std::min(400., std::max(100., std::sqrt(1.4e6 / n_fields))));

        page += "<section>\n<h2>Fields</h2>\n";
        for (const auto &cut : data.cuts)
          if (!cut.fields.empty())
            write_cut(cut, edge);
        page += "</section>\n";
      }

      void
      write_cut(const Cut &cut, const unsigned int edge)
      {
        std::map<std::string, ColourScale> shared;
        for (const auto &field : cut.fields)
          if (!field.scale.empty())
            shared[field.scale].add(field);

        // Rows of three or four, whichever leaves fewer gaps; no picture gets
        // larger for being alone.
        const std::size_t n = cut.fields.size();
        page += fmt::format("<figure class=\"cut\">\n<h3>{}</h3>\n"
                            "<div class=\"panels{}\" style=\""
                            "grid-template-columns:repeat({},minmax(0,1fr))"
                            "\">\n",
                            escape(cut.name),
                            is_flat(cut) ? " flat" : "",
                            is_flat(cut)                         ? 2 :
                            n <= 3 || n == 5 || n == 6 || n == 9 ? 3 :
                                                                   4);
        std::string logarithmic;
        for (const auto &field : cut.fields)
          {
            ColourScale scale;
            if (field.scale.empty())
              scale.add(field);
            else
              scale = shared.at(field.scale);
            scale.finish(field.logarithmic);
            write_panel(cut, field, scale, edge);
            if (field.logarithmic)
              logarithmic +=
                (logarithmic.empty() ? "" : ", ") + escape(field.name);
          }
        page += fmt::format(
          "</div>\n<figcaption><b>Figure {}.</b> {}{}</figcaption>\n"
          "</figure>\n",
          ++n_figures,
          escape(cut.caption),
          logarithmic.empty() ? "" :
                                " Logarithmic colours: " + logarithmic + ".");
      }

      void
      write_panel(const Cut         &cut,
                  const CutField    &field,
                  const ColourScale &scale,
                  const unsigned int edge)
      {
        const double       shape = aspect_ratio(cut);
        const unsigned int height =
          std::max(2u, static_cast<unsigned int>(std::lround(edge * shape)));

        const std::string picture = try_drawing([&]() -> std::string {
          std::string palette;
          for (std::size_t i = 0; i < palette_colours(field.palette).size();
               ++i)
            palette += fmt::format("{}{} '{}'",
                                   i == 0 ? "" : ", ",
                                   i,
                                   palette_colours(field.palette)[i]);
          const std::string commands = fmt::format(
            "set lmargin at screen 0\nset rmargin at screen 1\n"
            "set bmargin at screen 0\nset tmargin at screen 1\n"
            "unset border\nunset tics\nunset colorbox\nunset key\n"
            "set xrange [-0.5:{}]\nset yrange [-0.5:{}]\nset cbrange [0:1]\n"
            "set palette maxcolors 0 defined ({})\n"
            "plot {} binary array=({},{}) format='%float' with image\n",
            edge - 0.5,
            height - 0.5,
            palette,
            gnuplot.write_binary(rasterise(field, scale, edge, height)),
            edge,
            height);
          return fmt::format(
            "<img alt=\"{}\" width=\"{}\" height=\"{}\" "
            "src=\"data:image/png;base64,{}\">\n",
            escape(field.name + ", " + cut.name),
            edge,
            height,
            base64(gnuplot.draw(
              fmt::format("pngcairo transparent size {},{}", edge, height),
              commands)));
        });

        const std::string lower   = number(cut.y_range.first);
        const std::string upper   = number(cut.y_range.second);
        std::string       x_label = escape(cut.x_label);
        std::string       y_axis;
        if (is_flat(cut))
          x_label += fmt::format("; {} from {} to {}",
                                 escape(cut.y_label),
                                 lower,
                                 upper);
        else
          y_axis = fmt::format("<span>{}</span><span>{}</span><span>{}</span>",
                               lower,
                               escape(cut.y_label),
                               upper);
        page += fmt::format(
          "<div class=\"panel\">\n<p class=\"name\">{}</p>\n"
          "<div class=\"plane\"><div class=\"y\">{}</div>\n{}"
          "<div class=\"x\"><span>{}</span><span>{}</span><span>{}</span>"
          "</div></div>\n<div class=\"bar {}\"></div>\n<div class=\"ticks\">",
          escape(field.name),
          y_axis,
          picture,
          number(cut.x_range.first),
          x_label,
          number(cut.x_range.second),
          to_string(field.palette));
        for (const double tic : scale.tics())
          page += fmt::format("<span style=\"left:{:.1f}%\">{}</span>",
                              100 * scale.position(tic),
                              number(tic));
        page += "</div>\n";
        // Also without a unit, so that the pictures of a row are in line.
        page += fmt::format("<div class=\"unit\">{}</div>\n</div>\n",
                            escape(field.unit));
      }

      const ReportData &data;
      Gnuplot           gnuplot;
      std::string       page;
      unsigned int      n_figures  = 0;
      unsigned int      n_pictures = 0;
      unsigned int      n_missing  = 0;
      std::string       reason;
    };
  } // namespace



  std::string
  write_report(const std::string &filename,
               const ReportData  &data,
               const std::string &gnuplot)
  {
    Page              page(data, gnuplot);
    const std::string html = page.write();

    publish_text(filename, html);

    const std::string warning = page.warning();
    return warning.empty() ? "" : filename + ": " + warning;
  }
} // namespace neuraldeal::examples
