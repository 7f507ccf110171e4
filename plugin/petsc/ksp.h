// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_petsc_ksp_h
#define neuraldeal_plugin_petsc_ksp_h

#include <neuraldeal/plugin/petsc/common.h>

namespace neuraldeal::petsc
{
  /**
   * Make @p ksp the Krylov method `surrogate`: the KSPGuess `surrogate`, and
   * the PC `surrogate` around the preconditioner that @p ksp has, for an
   * inner method, by default the one that @p ksp has been before. Its answer
   * passes the convergence test of @p ksp in the norm of that method with
   * that preconditioner alone, so that no test means something else than
   * without the surrogate; where the deflated iteration misleads or breaks
   * down, the inner method goes on without deflation.
   */
  PetscErrorCode
  create_ksp(KSP ksp);

  /** The inner method of @p ksp if it is of this type, otherwise itself. */
  KSP
  krylov_method(const KSP ksp);

  /**
   * Whether a solve by @p ksp takes any start and leaves the system as it is:
   * only such solves are helped and learned from.
   */
  bool
  is_iterative(const KSP ksp);
} // namespace neuraldeal::petsc

#endif
