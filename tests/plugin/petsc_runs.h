// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_plugin_petsc_runs_h
#define neuraldeal_tests_plugin_petsc_runs_h

#include <gtest/gtest.h>

#include <string>
#include <vector>

/**
 * Programs run under mpiexec, in processes of their own, with and without the
 * library neuraldeal_petsc. The number of ranks is the environment's
 * NEURALDEAL_RANKS.
 */
namespace PETScRuns
{
  /** What a program has printed, and how it has ended. */
  struct Outcome
  {
    int         status;
    std::string output;
  };

  /** A solve of petsc_program. */
  struct Solve
  {
    unsigned int        n_iterations;
    double              residual; ///< over the tolerance
    std::vector<double> solution;
  };

  unsigned int
  n_ranks();

  /**
   * Run @p program on all ranks.
   * @param stop_at if not empty, the program is ended when it has printed
   * this; that is no failure.
   */
  Outcome
  run(const std::string &program,
      const std::string &petsc_options,
      const std::string &stop_at = "");

  /** The options that load the library. */
  extern const std::string load_library;

  /** And use the initial guess. */
  extern const std::string use_guess;

  /** And each of the ways to use it. */
  extern const std::vector<std::string> all_uses;

  /** The solves of petsc_program, whose argument is @p sequence. */
  std::vector<Solve>
  solves(const std::string &sequence, const std::string &petsc_options);

  /** The same solutions, to the tolerance of the solvers. */
  void
  expect_same_solutions(const std::vector<Solve> &a,
                        const std::vector<Solve> &b);

  /**
   * Run petsc_program, which must fail and say @p message; spaces and breaks
   * between lines are the same.
   */
  void
  expect_failure(const std::string &sequence,
                 const std::string &petsc_options,
                 const std::string &message);

  /** Iterations of the last @p n solves. */
  unsigned int
  iterations(const std::vector<Solve> &all, const unsigned int n);

  /** Print what was saved. */
  void
  report(const std::string        &name,
         const std::vector<Solve> &without,
         const std::vector<Solve> &with,
         const unsigned int        n);

  /** An empty folder of this name for this number of ranks. */
  std::string
  new_folder(const std::string &name);
} // namespace PETScRuns

/** For tests that take long, or of what does not depend on the ranks. */
#define ONLY_ON_RANKS(n)           \
  if (PETScRuns::n_ranks() != (n)) \
  GTEST_SKIP() << "This is tested on " << (n) << " ranks only."

#endif
