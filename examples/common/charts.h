// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_examples_common_charts_h
#define neuraldeal_examples_common_charts_h

#include <cstddef>
#include <string>

#include "report.h"

namespace neuraldeal::examples
{
  /** A picture with axes: what gnuplot draws, and what a page adds to it. */
  struct Chart
  {
    std::string  commands;    ///< for gnuplot
    std::string  legend;      ///< HTML: items of a list
    std::string  description; ///< for those who do not see it
    std::string  how_to_read; ///< HTML: the end of the caption
    unsigned int width   = 480;
    unsigned int height  = 360;
    std::size_t  n_marks = 0;
  };

  Chart
  learning_curve_chart(const ReportData &data);

  Chart
  bounds_chart(const ReportData &data);

  Chart
  decisions_chart(const QueryHistory &history);

  /** Whether there is anything to draw in the following. */
  bool
  has_times(const QueryHistory &history);

  Chart
  cost_chart(const QueryHistory &history);
} // namespace neuraldeal::examples

#endif
