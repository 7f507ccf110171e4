// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/petsc/common.h>

#include <algorithm>

namespace neuraldeal::petsc
{
  ArrayOperation::ArrayOperation(const Vec like, const Operation &operation)
    : operation(operation)
  {
    throw_if(VecGetLocalSize(like, &n_local));
    throw_if(VecDuplicate(like, &source));
    throw_if(VecDuplicate(like, &destination));
  }



  ArrayOperation::~ArrayOperation()
  {
    VecDestroy(&source);
    VecDestroy(&destination);
  }



  void
  ArrayOperation::operator()(double *dst, const double *src) const
  {
    PetscScalar       *writable;
    const PetscScalar *readable;
    throw_if(VecGetArrayWrite(source, &writable));
    std::copy_n(src, n_local, writable);
    throw_if(VecRestoreArrayWrite(source, &writable));
    throw_if(operation(source, destination));
    throw_if(VecGetArrayRead(destination, &readable));
    std::copy_n(readable, n_local, dst);
    throw_if(VecRestoreArrayRead(destination, &readable));
  }



  LocalSystem::Version
  version_of(const Mat matrix)
  {
    PetscBool stored;
    throw_if(PetscObjectTypeCompareAny((PetscObject)matrix,
                                       &stored,
                                       MATSEQAIJ,
                                       MATMPIAIJ,
                                       MATSEQBAIJ,
                                       MATMPIBAIJ,
                                       MATSEQSBAIJ,
                                       MATMPISBAIJ,
                                       MATSEQDENSE,
                                       MATMPIDENSE,
                                       ""));
    if (!stored)
      return {0, 0};
    PetscObjectId    id;
    PetscObjectState state;
    throw_if(PetscObjectGetId((PetscObject)matrix, &id));
    throw_if(PetscObjectStateGet((PetscObject)matrix, &state));
    return {static_cast<std::uint64_t>(id), static_cast<std::uint64_t>(state)};
  }

} // namespace neuraldeal::petsc
