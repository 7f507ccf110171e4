// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef tests_examples_job_h
#define tests_examples_job_h

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

/**
 * The main job as a user runs it: a parameter file, a folder, mpirun. All of
 * it is small (8³ cells), and all of its solves are real.
 */
namespace job
{
  /** The tolerance that write_parameters() sets. */
  constexpr double tolerance = 0.0042;

  /** What is to be replaced in the parameter file: entry, new value. */
  using Changes = std::vector<std::pair<std::string, std::string>>;

  /** A fresh folder under the build tree. */
  std::string
  make_folder(const std::string &name);

  /**
   * Write `job.prm` into @p folder: the small job with @p changes. An entry
   * is given with its section, as "Trust/Tolerance".
   * @return its name.
   */
  std::string
  write_parameters(const std::string &folder, const Changes &changes = {});

  struct Result
  {
    int         status; ///< exit status; −1 when killed
    std::string output; ///< standard output and error
  };

  /** Run the job of @p folder to its end. */
  Result
  run(const std::string &folder, const unsigned int ranks);

  /**
   * Start the job and kill all of its processes by SIGKILL at the moment
   * when @p now says so.
   * @return whether it was killed before it ended by itself.
   */
  bool
  run_and_kill(const std::string           &folder,
               const unsigned int           ranks,
               const std::function<bool()> &now);

  /** A program and its arguments. */
  using Command = std::vector<std::string>;

  /** Run any other command to its end; what it says goes through @p file. */
  Result
  run_command(const Command &command, const std::string &file);

  /**
   * As run_and_kill(), for any other command, whose processes are @p n with
   * their descendants.
   */
  bool
  run_and_kill_command(const Command               &command,
                       const std::string           &file,
                       const unsigned int           n,
                       const std::function<bool()> &now);

  /** These columns of the decision log, an entry a query. */
  std::vector<std::vector<std::string>>
  decision_log(const std::string              &folder,
               const std::vector<std::string> &columns);
} // namespace job

#endif
