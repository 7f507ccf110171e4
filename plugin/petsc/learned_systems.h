// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_petsc_learned_systems_h
#define neuraldeal_plugin_petsc_learned_systems_h

#include <neuraldeal/plugin/petsc/common.h>
#include <neuraldeal/plugin/solution_space.h>

#include <memory>
#include <string>

namespace neuraldeal::petsc
{
  /**
   * How is learned. The KSPGuess, the PC and the KSP of one prefix read the
   * same options, so that they find the same systems.
   */
  struct LearningOptions
  {
    PetscInt    size       = 20;
    PetscReal   forgetting = 0.9;
    PetscBool   learn      = PETSC_TRUE;
    std::string load, save; ///< files; empty: none

    /** Read them, with the prefix of @p object. */
    PetscErrorCode
    set_from_options(const PetscObject object);
  };

  /**
   * What was learned of one system.
   *
   * PETSc destroys a KSPGuess and a PC with its KSP, and deal.II destroys the
   * KSP with its solver, which in most programs is after each solve. What is
   * learned therefore lives in a table of this library, until PETSc ends.
   */
  using LearnedSystem = std::shared_ptr<SolutionSpace>;

  /**
   * Find what was learned for the solves of @p ksp with the matrix @p A and
   * solutions like @p x, that is by these processes, with this prefix and
   * these options, for unknowns distributed like these; or begin to learn,
   * from what the file has that is to be loaded. Of each group of processes
   * the eight systems used last are remembered. Collective.
   *
   * @throw InputError or FileError, on all processes, for what is wrong with
   * a file.
   */
  LearnedSystem
  find_learned_system(const KSP              ksp,
                      const Mat              A,
                      const Vec              x,
                      const LearningOptions &options);

  /** Learn the solution @p x that @p ksp has found, if it has. */
  void
  learn_solution(SolutionSpace &system, const KSP ksp, const Vec x);

  /** Write the files that are to be saved, and forget everything. */
  PetscErrorCode
  finalize_learned_systems();
} // namespace neuraldeal::petsc

#endif
