// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_progress_h
#define neuraldeal_surrogates_progress_h

#include <chrono>
#include <string>

namespace neuraldeal
{
  /**
   * How far a long phase has come: a bar that is redrawn on a terminal,
   * a plain line every tenth of the way in a log file.
   */
  class Progress
  {
  public:
    /**
     * @param enabled false on all ranks but one.
     */
    Progress(const std::string &phase, const long total, const bool enabled);

    /** Finishes the bar's line. */
    ~Progress();

    /** Show that @p done of the total are done. */
    void
    update(const long done);

    /** Show lines of text, which end with a line break. */
    void
    say(const std::string &text);

    /** Whether to show nothing at all from now on, in this process. */
    static void
    set_quiet(const bool quiet);

  private:
    double
    seconds() const;

    static bool quiet;

    const std::string                           phase;
    const long                                  total;
    const bool                                  enabled;
    const bool                                  terminal;
    const std::chrono::steady_clock::time_point start;
    long                                        shown = -1;
  };
} // namespace neuraldeal

#endif
