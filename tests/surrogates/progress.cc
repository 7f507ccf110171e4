// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/progress.h>

#include <algorithm>
#include <string>

namespace
{
  using neuraldeal::Progress;

  /** What @p n updates print, with a standard output that is no terminal. */
  std::string
  printed(const long total, const long n, const bool enabled)
  {
    testing::internal::CaptureStdout();
    {
      Progress progress("solving", total, enabled);
      for (long i = 0; i <= n; ++i)
        progress.update(static_cast<long>(double(i) / n * total));
    }
    return testing::internal::GetCapturedStdout();
  }



  long
  n_lines(const std::string &text)
  {
    return std::count(text.begin(), text.end(), '\n');
  }



  TEST(Progress, LogHasALineEveryTenth)
  {
    for (const long total : {10l, 999l, 100000l, 1l << 56})
      {
        const auto text = printed(total, 2000, true);
        EXPECT_LE(n_lines(text), 11) << text;
        EXPECT_GE(n_lines(text), 10) << text;
        EXPECT_NE(text.find("solving: " + std::to_string(total) + "/" +
                            std::to_string(total) + " after"),
                  std::string::npos)
          << text;
        EXPECT_EQ(text.find('\r'), std::string::npos);
      }
  }



  TEST(Progress, FewStepsAreFewLines)
  {
    EXPECT_EQ(n_lines(printed(3, 3, true)), 4);
    EXPECT_EQ(n_lines(printed(1, 1, true)), 2);
  }



  TEST(Progress, NothingToDoIsNoError)
  {
    testing::internal::CaptureStdout();
    Progress("solving", 0, true).update(0);
    EXPECT_EQ(n_lines(testing::internal::GetCapturedStdout()), 1);
  }



  TEST(Progress, QuietProcessesAreSilent)
  {
    Progress::set_quiet(true);
    EXPECT_EQ(printed(10, 10, true), "");
    Progress::set_quiet(false);
    EXPECT_NE(printed(10, 10, true), "");
  }



  TEST(Progress, OtherRanksAreSilent)
  {
    EXPECT_EQ(printed(100, 100, false), "");
  }
} // namespace
