// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_petsc_pc_h
#define neuraldeal_plugin_petsc_pc_h

#include <neuraldeal/plugin/petsc/common.h>

namespace neuraldeal::petsc
{
  /**
   * Make @p pc the preconditioner `surrogate`: the span of past solutions as
   * a coarse space around another preconditioner, see LocalDeflation, if the
   * matrix is symmetric and positive definite there, and that preconditioner
   * alone if not. It learns from the solves that it is used in, unless their
   * KSPGuess does.
   *
   * The coarse space is set up at the beginning of a solve: then prefix and
   * matrix are known, and what earlier solves have taught. That is once for
   * each matrix, and again whenever the space has doubled or become full.
   */
  PetscErrorCode
  create_pc(PC pc);

  /**
   * Work around @p inner instead of a preconditioner chosen by options.
   * @param pc of this type.
   */
  PetscErrorCode
  set_inner_pc(const PC pc, const PC inner);

  /**
   * Begin a solve by @p ksp for something like @p x. PETSc does so itself
   * unless the KSP `surrogate` already has, with the first call counting.
   */
  PetscErrorCode
  begin_solve(const PC pc, const KSP ksp, const Vec x);

  /** End it, with the solution @p x. */
  PetscErrorCode
  end_solve(const PC pc, const KSP ksp, const Vec x);

  /** Whether @p pc has a coarse space in this solve. */
  bool
  deflates(const PC pc);

  /** Do without the coarse space for the rest of this solve. */
  void
  stop_deflating(const PC pc);
} // namespace neuraldeal::petsc

#endif
