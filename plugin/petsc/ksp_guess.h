// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_petsc_ksp_guess_h
#define neuraldeal_plugin_petsc_ksp_guess_h

#include <neuraldeal/plugin/petsc/common.h>

namespace neuraldeal::petsc
{
  /**
   * Make @p guess the initial guess `surrogate`: the best start in the span
   * of past solutions, see SolutionSpace.
   */
  PetscErrorCode
  create_ksp_guess(KSPGuess guess);
} // namespace neuraldeal::petsc

#endif
