// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/petsc/ksp.h>
#include <neuraldeal/plugin/petsc/ksp_guess.h>
#include <neuraldeal/plugin/petsc/learned_systems.h>
#include <neuraldeal/plugin/petsc/pc.h>

/** What PETSc calls when it has loaded libneuraldeal_petsc.so. */
PETSC_EXTERN PETSC_VISIBILITY_PUBLIC PetscErrorCode
PetscDLLibraryRegister_neuraldeal_petsc()
{
  using namespace neuraldeal::petsc;
  PetscFunctionBegin;
  // The structures behind PETSc's types are those of one version.
  PetscInt major, minor;
  PetscCall(PetscGetVersionNumber(&major, &minor, nullptr, nullptr));
  PetscCheck(major == PETSC_VERSION_MAJOR && minor == PETSC_VERSION_MINOR,
             PETSC_COMM_SELF,
             PETSC_ERR_LIB,
             "libneuraldeal_petsc was built for PETSc %d.%d; this is PETSc "
             "%d.%d",
             PETSC_VERSION_MAJOR,
             PETSC_VERSION_MINOR,
             static_cast<int>(major),
             static_cast<int>(minor));
  PetscCall(KSPGuessRegister(type_name, create_ksp_guess));
  PetscCall(PCRegister(type_name, create_pc));
  PetscCall(KSPRegister(type_name, create_ksp));
  PetscCall(PetscRegisterFinalize(finalize_learned_systems));
  PetscFunctionReturn(success);
}
