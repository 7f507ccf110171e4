// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/progress.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace neuraldeal
{
  namespace
  {
    /**
     * Whether a person is watching. mpirun gives every rank a terminal of
     * its own, whatever its own output is: there the parent is asked.
     */
    bool
    output_is_terminal()
    {
      if (isatty(STDOUT_FILENO) == 0)
        return false;
      if (std::getenv("OMPI_COMM_WORLD_SIZE") == nullptr &&
          std::getenv("PMIX_RANK") == nullptr)
        return true;
      char              target[256];
      const std::string link  = fmt::format("/proc/{}/fd/1", getppid());
      const ssize_t     bytes = readlink(link.c_str(), target, sizeof(target));
      return bytes > 0 && std::string(target, bytes).rfind("/dev/pts/", 0) == 0;
    }
  } // namespace



  bool Progress::quiet = false;



  void
  Progress::set_quiet(const bool quiet_)
  {
    quiet = quiet_;
  }



  Progress::Progress(const std::string &phase,
                     const long         total,
                     const bool         enabled)
    : phase(phase)
    , total(std::max(total, 1l))
    , enabled(enabled && !quiet)
    , terminal(output_is_terminal())
    , start(std::chrono::steady_clock::now())
  {}



  Progress::~Progress()
  {
    if (enabled && terminal && shown >= 0)
      fmt::print("\n");
    if (enabled)
      std::fflush(stdout);
  }



  double
  Progress::seconds() const
  {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         start)
      .count();
  }



  void
  Progress::update(const long done)
  {
    if (!enabled)
      return;
    const long steps = terminal ? 40 : 10;
    const long step  = steps * std::min(done, total) / total;
    if (step == shown && !terminal)
      return;
    shown = step;
    if (terminal)
      fmt::print("\r  {:<28} [{:-<40}] {}/{}  {:.0f} s ",
                 phase,
                 std::string(step, '#'),
                 done,
                 total,
                 seconds());
    else
      fmt::print("  {}: {}/{} after {:.1f} s\n", phase, done, total, seconds());
    std::fflush(stdout);
  }



  void
  Progress::say(const std::string &text)
  {
    if (!enabled)
      return;
    // Below the bar, which is not drawn again over it.
    fmt::print("{}{}", terminal && shown >= 0 ? "\n" : "", text);
    shown = -1;
    std::fflush(stdout);
  }
} // namespace neuraldeal
