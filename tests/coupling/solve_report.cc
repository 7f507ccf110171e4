// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/solve_report.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <fstream>
#include <set>

#include "test_tools.h"

using namespace neuraldeal;
using namespace TestTools;

namespace
{
  std::vector<std::string>
  lines_of(const std::string &filename)
  {
    std::ifstream            in(filename);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);)
      lines.push_back(line);
    return lines;
  }
} // namespace



TEST(SolveReport, KnowsWhatIsAFullSolve)
{
  for (const auto decision : {Decision::accept,
                              Decision::verify,
                              Decision::correct,
                              Decision::resolve})
    for (const bool audited : {false, true})
      {
        SolveReport report;
        report.decision = decision;
        report.audited  = audited;
        EXPECT_EQ(report.full_solve(),
                  audited || decision == Decision::correct ||
                    decision == Decision::resolve);
      }
  // What is not known is not zero.
  const SolveReport report;
  for (const double number : {report.scale,
                              report.prior_scale,
                              report.bound,
                              report.estimate,
                              report.error})
    EXPECT_TRUE(std::isnan(number));
}



TEST(SolveReport, NamesDecisionsAndReasons)
{
  EXPECT_EQ(to_string(Decision::accept), "accept");
  EXPECT_EQ(to_string(Decision::verify), "verify");
  EXPECT_EQ(to_string(Decision::correct), "correct");
  EXPECT_EQ(to_string(Decision::resolve), "resolve");
  std::set<std::string> reasons;
  for (const auto reason : {Reason::within_tolerance,
                            Reason::bound_too_large,
                            Reason::outside_range,
                            Reason::estimate_too_large,
                            Reason::not_finite})
    {
      reasons.insert(to_string(reason));
      // They stand in a column of a table.
      EXPECT_EQ(to_string(reason).find(','), std::string::npos);
    }
  EXPECT_EQ(reasons.size(), 5u);
}



TEST(SolveReport, DecisionLog)
{
  const ScratchFolder      folder(MPI_COMM_SELF);
  const auto               filename = folder / "decisions.csv";
  std::vector<SolveReport> reports(3);
  reports[0].query      = 0;
  reports[0].decision   = Decision::accept;
  reports[0].reason     = Reason::within_tolerance;
  reports[0].audited    = true;
  reports[0].scale      = 0.00123456789;
  reports[0].bound      = 0.0025;
  reports[0].error      = 0.0004;
  reports[0].iterations = 42;
  reports[0].seconds    = 0.5;
  reports[0].model      = 112;
  reports[0].group      = 3;
  reports[1].query      = 1;
  reports[1].decision   = Decision::correct;
  reports[1].reason     = Reason::estimate_too_large;
  reports[1].scale      = 0.1;
  reports[1].bound      = 0.2;
  reports[1].estimate   = 0.3;
  reports[2].query      = 2;
  reports[2].decision   = Decision::resolve;
  reports[2].reason     = Reason::not_finite;
  reports[2].failed     = true;
  reports[2].failure    = "it said \"no\", twice";

  write_decision_log(filename, reports);
  const auto lines = lines_of(filename);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0],
            "query,decision,audited,failed,reason,scale,bound,estimate,"
            "true_error,iterations,seconds,model,group,failure");
  EXPECT_EQ(lines[1],
            "0,accept,1,0,bound within the tolerance,0.00123457,0.0025,nan,"
            "0.0004,42,0.5,112,3,\"\"");
  EXPECT_EQ(lines[2],
            "1,correct,0,0,residual estimate above the tolerance,0.1,0.2,0.3,"
            "nan,0,0,0,0,\"\"");
  // Quotes within a text are doubled, as in all such tables.
  EXPECT_EQ(lines[3],
            "2,resolve,0,1,prediction not finite,nan,nan,nan,nan,0,0,0,0,"
            "\"it said \"\"no\"\", twice\"");

  // A new one replaces it, whole.
  write_decision_log(filename, {});
  EXPECT_EQ(lines_of(filename).size(), 1u);
  EXPECT_EQ(files_in(folder.path), std::vector<std::string>{"decisions.csv"});
}



TEST(SolveReport, DecisionLogThatCannotBeWritten)
{
  const ScratchFolder folder(MPI_COMM_SELF);
  const auto          write = [&]() {
    write_decision_log(folder / "nowhere/decisions.csv", {SolveReport()});
  };
  EXPECT_THROW(write(), FileError);
  expect_sentence(message_of(write), {folder / "nowhere/decisions.csv"});
}
