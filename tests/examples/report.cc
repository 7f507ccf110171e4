// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// The page that shows a run of an example program.

#include "common/report.h"

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::examples;

  constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

  /** Text that means something to HTML, to gnuplot and to a shell. */
  const std::string nasty = "<b>&\"quoted'`x`$y{z}_^@%\\</b>";

  /** The same in a page. */
  const std::string escaped = "&lt;b&gt;&amp;&quot;quoted&#39;`x`$y{z}_^@%\\"
                              "&lt;/b&gt;";



  std::size_t
  count(const std::string &text, const std::string &part)
  {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos;
         at             = text.find(part, at + part.size()))
      ++n;
    return n;
  }



  std::string
  read(const std::string &filename)
  {
    std::ifstream      in(filename, std::ios::binary);
    std::ostringstream content;
    content << in.rdbuf();
    return content.str();
  }



  bool
  has_gnuplot()
  {
    static const bool has =
      std::system("gnuplot --version > /dev/null 2>&1") == 0;
    return has;
  }



  CutField
  field(const std::string &name, const bool logarithmic)
  {
    CutField result;
    result.name        = name;
    result.unit        = name;
    result.nx          = 9;
    result.ny          = 5;
    result.logarithmic = logarithmic;
    for (unsigned int j = 0; j < result.ny; ++j)
      for (unsigned int i = 0; i < result.nx; ++i)
        result.values.push_back(std::sin(0.3 * i) * std::cos(0.2 * j));
    return result;
  }



  /** A report with everything in it, @p text being each of its strings. */
  ReportData
  full_report(const std::string &text)
  {
    ReportData data;
    data.title       = text;
    data.subtitle    = text;
    data.key_figures = {{text, text, text, true}, {text, text, text, false}};
    data.table       = {text, {text, text}, {{text, text}, {text}}, {text}};
    data.error_name  = text;
    data.parameters  = text;

    data.learning_curve.points             = {{8, 0.02, 0.05},
                                              {16, 0.01, 0.03},
                                              {32, 0.004, 0.02}};
    data.learning_curve.coarse_median      = 0.01;
    data.learning_curve.coarse_quantile_95 = 0.03;
    data.learning_curve.tolerance          = 0.01;
    data.learning_curve.caption            = text;

    data.bounds.points     = {{0.010, 0.004, text},
                              {0.008, 0.005, text + "2"},
                              {0.006, 0.007, "audited"},
                              {0.009, 0.012, "accepted, checked"}};
    data.bounds.tolerances = {0.01};
    data.bounds.caption    = text;

    for (unsigned int i = 0; i < 40; ++i)
      data.history.queries.push_back({i,
                                      i % 7 == 0 ? text :
                                      i % 3 == 0 ? "correct" :
                                                   "accept",
                                      i % 10 == 1,
                                      i % 3 == 0 ? 0.9 : 0.01 + 0.0001 * i});
    data.history.round_size        = 10;
    data.history.reference_times   = {{text, 0.9}, {text, 0.1}};
    data.history.decisions_caption = text;
    data.history.cost_caption      = text;

    Cut cut;
    cut.name    = text;
    cut.caption = text;
    cut.x_label = text;
    cut.y_label = text;
    cut.fields  = {field(text, false), field(text, true), field(text, true)};
    cut.fields[1].scale = cut.fields[2].scale = text;
    data.cuts                                 = {cut, cut};
    return data;
  }

  constexpr unsigned int n_charts = 4;
  constexpr unsigned int n_fields = 6;



  /** A folder for the page and one for temporary files, both empty. */
  class Report : public ::testing::Test
  {
  protected:
    Report()
    {
      std::string name =
        (std::filesystem::temp_directory_path() / "report-test-XXXXXX")
          .string();
      if (::mkdtemp(name.data()) == nullptr)
        throw std::runtime_error("no folder for the test");
      folder = name;
      std::filesystem::create_directory(folder / "temporary");
      const char *const variable = std::getenv("TMPDIR");
      previous                   = (variable ? variable : "");
      ::setenv("TMPDIR", (folder / "temporary").c_str(), 1);
    }

    ~Report() override
    {
      if (previous.empty())
        ::unsetenv("TMPDIR");
      else
        ::setenv("TMPDIR", previous.c_str(), 1);
      std::filesystem::remove_all(folder);
    }

    /** The page of @p data; nothing else may be left behind. */
    std::string
    page(const ReportData &data, const std::string &gnuplot = "gnuplot")
    {
      const std::string filename = (folder / "report.html").string();
      warning                    = write_report(filename, data, gnuplot);
      EXPECT_TRUE(std::filesystem::is_empty(folder / "temporary"));
      EXPECT_FALSE(std::filesystem::exists(filename + ".tmp"));
      return read(filename);
    }

    std::filesystem::path folder;
    std::string           previous;
    std::string           warning;
  };



  void
  expect_self_contained(const std::string &html)
  {
    EXPECT_EQ(count(html, "http://"), 0u);
    EXPECT_EQ(count(html, "https://"), 0u);
    EXPECT_EQ(count(html, "<script"), 0u);
    EXPECT_EQ(count(html, "<link"), 0u);
    EXPECT_EQ(count(html, "@import"), 0u);
    EXPECT_EQ(count(html, "src="), count(html, "src=\"data:image/png;base64,"));
    EXPECT_EQ(count(html, "href="),
              count(html, "href='#") + count(html, "href=\"#"));
    EXPECT_EQ(count(html, "url("), count(html, "url(#"));
    EXPECT_EQ(count(html, "</html>"), 1u);
  }
} // namespace



TEST_F(Report, NeedsNoOtherFile)
{
  expect_self_contained(page(full_report("text")));
}



TEST_F(Report, HasAllPictures)
{
  if (!has_gnuplot())
    GTEST_SKIP() << "gnuplot is not installed";
  const std::string html = page(full_report("text"));
  EXPECT_EQ(warning, "");
  EXPECT_EQ(count(html, "<svg"), n_charts);
  EXPECT_EQ(count(html, "</svg>"), n_charts);
  EXPECT_EQ(count(html, "<img"), n_fields);
  EXPECT_EQ(count(html, "<figure"), n_charts + 2);
  EXPECT_EQ(count(html, "<b>Figure 6.</b>"), 1u);
}



TEST_F(Report, GivesEveryPictureItsOwnNames)
{
  if (!has_gnuplot())
    GTEST_SKIP() << "gnuplot is not installed";
  const std::string     html = page(full_report("text"));
  std::set<std::string> ids;
  for (std::size_t at = html.find(" id="); at != std::string::npos;
       at             = html.find(" id=", at + 1))
    {
                  const std::size_t end = html.find(html[at + 4], at + 5);
                  EXPECT_TRUE(ids.insert(html.substr(at + 5, end - at - 5)).second);
    }
  EXPECT_GT(ids.size(), n_charts);
}



TEST_F(Report, EscapesEveryString)
{
  const std::string html = page(full_report(nasty));
  expect_self_contained(html);
  EXPECT_EQ(count(html, "<b>&"), 0u);
  // Title twice, subtitle, 6 in tiles, 6 in the table, 4 captions, 2 classes
  // of points, 2 legends of decisions, 2 reference times, the parameters; for
  // each of 2 cuts its name and caption, and 4 in each of 3 panels, of which
  // 2 are named again as logarithmic.
  EXPECT_GE(count(html, escaped), 27u + 2 * 16);
}



TEST_F(Report, TakesAnyTextAsALabel)
{
  if (!has_gnuplot())
    GTEST_SKIP() << "gnuplot is not installed";
  for (const std::string &text :
       {nasty, std::string("two\nlines"), std::string("'"), std::string("\\")})
    {
      const std::string html = page(full_report(text));
      EXPECT_EQ(warning, "") << text;
      EXPECT_EQ(count(html, "<svg"), n_charts);
    }
}



TEST_F(Report, LeavesOutWhatIsEmpty)
{
  ReportData data;
  data.title             = "Nothing";
  const std::string html = page(data);
  EXPECT_EQ(warning, "");
  expect_self_contained(html);
  EXPECT_EQ(count(html, "<h1>Nothing</h1>"), 1u);
  for (const char *const tag :
       {"<h2", "<figure", "<table", "<details", "<ul", "<svg", "<img"})
    EXPECT_EQ(count(html, tag), 0u) << tag;
}



TEST_F(Report, LeavesOutTimesThatAreUnknown)
{
  ReportData data     = full_report("text");
  data.learning_curve = LearningCurve();
  data.bounds         = BoundsAgainstErrors();
  data.cuts.clear();
  for (auto &query : data.history.queries)
    query.seconds = QueryHistory::unknown;
  EXPECT_EQ(count(page(data), "<figure"), 1u);
}



TEST_F(Report, SurvivesWithoutGnuplot)
{
  const std::string html = page(full_report("text"), "no-such-gnuplot");
  EXPECT_EQ(count(warning, "\n"), 0u);
  EXPECT_NE(warning.find("10 of 10 pictures are missing"), std::string::npos)
    << warning;
  EXPECT_NE(warning.find("no-such-gnuplot"), std::string::npos) << warning;
  EXPECT_EQ(count(html, "<svg") + count(html, "<img"), 0u);
  EXPECT_EQ(count(html, "This picture is missing"), n_charts + n_fields);
  EXPECT_EQ(count(html, "<table>"), 1u);
  EXPECT_EQ(count(html, "<figcaption>"), n_charts + 2);
}



TEST_F(Report, SurvivesAGnuplotThatFails)
{
  const std::string html = page(full_report("text"), "false");
  EXPECT_NE(warning.find("gnuplot failed"), std::string::npos) << warning;
  EXPECT_EQ(count(html, "This picture is missing"), n_charts + n_fields);
  EXPECT_EQ(count(html, "<table>"), 1u);
}



TEST_F(Report, SurvivesAGnuplotThatDrawsNothing)
{
  const std::string html = page(full_report("text"), "true");
  EXPECT_NE(warning.find("gnuplot failed"), std::string::npos) << warning;
  EXPECT_EQ(count(html, "This picture is missing"), n_charts + n_fields);
}



TEST_F(Report, SurvivesWithoutAFolderForTemporaryFiles)
{
  ::setenv("TMPDIR", (folder / "absent").c_str(), 1);
  const std::string html = page(full_report("text"));
  EXPECT_NE(warning, "");
  EXPECT_EQ(count(html, "<table>"), 1u);
}



TEST_F(Report, CountsTheBoundsThatFail)
{
  ReportData   data  = full_report("text");
  const double large = std::numeric_limits<double>::infinity();
  data.bounds.points.push_back({large, 0.02, "audited"});
  data.bounds.points.push_back({0.01, 0., "audited"});
  const std::string html = page(data);
  EXPECT_EQ(count(html, "a bound that failed: 2 of 4 (50&nbsp;%)"), 1u);
  EXPECT_EQ(count(html,
                  "Of the 4 points left of the tolerance of 1 %, one lies "
                  "above it"),
            1u);
  EXPECT_EQ(count(html, "Not drawn: 2 queries"), 1u);
}



TEST_F(Report, DrawsWhatIsDegenerate)
{
  if (!has_gnuplot())
    GTEST_SKIP() << "gnuplot is not installed";
  ReportData data;
  data.title                   = "One of each";
  data.learning_curve.points   = {{8, 0.01, 0.01}};
  data.bounds.points           = {{not_a_number, 0., "audited"}};
  data.history.queries         = {{0, "accept", false, 0.01}};
  data.history.reference_times = {{"nothing", not_a_number}, {"zero", 0.}};

  CutField constant = field("constant", false);
  constant.values.assign(constant.values.size(), 3.);
  CutField zero = field("zero", true);
  zero.values.assign(zero.values.size(), 0.);
  CutField absent = field("absent", false);
  absent.values.assign(absent.values.size(), not_a_number);
  CutField point;
  point.nx     = 1;
  point.ny     = 1;
  point.values = {-1e-300};
  Cut cut;
  cut.fields  = {constant, zero, absent, point};
  cut.y_range = {0., 0.};
  data.cuts   = {cut};

  const std::string html = page(data);
  EXPECT_EQ(warning, "");
  EXPECT_EQ(count(html, "<svg"), 4u);
  EXPECT_EQ(count(html, "<img"), 4u);
  EXPECT_EQ(count(html, "nan"), 0u);
}



TEST_F(Report, StaysSmall)
{
  if (!has_gnuplot())
    GTEST_SKIP() << "gnuplot is not installed";
  ReportData data = full_report("text");
  for (unsigned int i = 0; i < 30000; ++i)
    {
      const double bound = 0.01 * std::exp(std::sin(1. * i));
      data.bounds.points.push_back(
        {bound, 0.5 * bound * std::exp(std::sin(0.7 * i)), "audited"});
      data.history.queries.push_back(
        {40 + i, "accept", false, std::exp(std::sin(1. * i) - 3.)});
    }
  for (unsigned int i = 0; i < 20; ++i)
    data.cuts.push_back(data.cuts[0]);
  const std::string html = page(data);
  EXPECT_EQ(warning, "");
  EXPECT_EQ(count(html, "<svg"), 2u);
  EXPECT_EQ(count(html, "<img"), 2u + 22 * 3);
  EXPECT_LT(html.size(), 3000000u);
  expect_self_contained(html);
}



TEST_F(Report, AppearsWholeOrNotAtAll)
{
  const std::string filename = (folder / "absent" / "report.html").string();
  EXPECT_THROW(static_cast<void>(write_report(filename, full_report("text"))),
               FileError);
  EXPECT_TRUE(std::filesystem::is_empty(folder / "temporary"));

  // A mistake in the data leaves an earlier page as it is.
  page(full_report("text"));
  const std::string earlier = read((folder / "report.html").string());
  ReportData        data    = full_report("other");
  data.cuts[1].fields[0].values.pop_back();
  EXPECT_THROW(page(data), InputError);
  EXPECT_EQ(read((folder / "report.html").string()), earlier);
  EXPECT_TRUE(std::filesystem::is_empty(folder / "temporary"));
}
