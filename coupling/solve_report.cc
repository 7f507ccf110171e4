// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/solve_report.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>

#include <fstream>

namespace neuraldeal
{
  std::string
  to_string(const Decision decision)
  {
    switch (decision)
      {
        case Decision::accept:
          return "accept";
        case Decision::verify:
          return "verify";
        case Decision::correct:
          return "correct";
        default:
          return "resolve";
      }
  }



  std::string
  to_string(const Reason reason)
  {
    switch (reason)
      {
        case Reason::within_tolerance:
          return "bound within the tolerance";
        case Reason::bound_too_large:
          return "predicted bound above the threshold";
        case Reason::outside_range:
          return "input outside the training range";
        case Reason::estimate_too_large:
          return "residual estimate above the tolerance";
        default:
          return "prediction not finite";
      }
  }



  namespace
  {
    /** A text as a field of a table: in quotes, those within it doubled. */
    std::string
    quoted(const std::string &text)
    {
      std::string result = "\"";
      for (const char c : text)
        result += (c == '"') ? std::string("\"\"") : std::string(1, c);
      return result + "\"";
    }
  } // namespace



  void
  write_decision_log(const std::string              &filename,
                     const std::vector<SolveReport> &reports)
  {
    const std::string temporary = filename + ".tmp";
    {
      std::ofstream out(temporary);
      out << "query,decision,audited,failed,reason,scale,bound,estimate,"
             "true_error,iterations,seconds,model,group,failure\n";
      for (const auto &report : reports)
        out << fmt::format(
          "{},{},{},{},{},{:.6g},{:.6g},{:.6g},{:.6g},{},{:.6g},{},{},{}\n",
          report.query,
          to_string(report.decision),
          int(report.audited),
          int(report.failed),
          to_string(report.reason),
          report.scale,
          report.bound,
          report.estimate,
          report.error,
          report.iterations,
          report.seconds,
          report.model,
          report.group,
          quoted(report.failure));
      out.flush();
      if (!out)
        throw FileError(temporary, "could not be written");
    }
    publish_file(temporary, filename);
  }
} // namespace neuraldeal
