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



  bool
  has_rows(const Mat matrix)
  {
    PetscBool readable;
    throw_if(PetscObjectTypeCompareAny(
      (PetscObject)matrix, &readable, MATSEQAIJ, MATMPIAIJ, ""));
    return readable == PETSC_TRUE && std::is_same<PetscInt, int>::value;
  }



  MatrixRows::MatrixRows(const Mat matrix)
  {
    PetscBool distributed;
    throw_if(
      PetscObjectTypeCompare((PetscObject)matrix, MATMPIAIJ, &distributed));
    Mat             own = matrix, others = nullptr;
    const PetscInt *ghosts = nullptr;
    if (distributed)
      throw_if(MatMPIAIJGetSeqAIJ(matrix, &own, &others, &ghosts));
    for (const Mat part : {own, others})
      if (part != nullptr)
        {
          Part      read{part, 0, nullptr, nullptr, nullptr};
          PetscBool done;
          throw_if(MatGetRowIJ(part,
                               0,
                               PETSC_FALSE,
                               PETSC_FALSE,
                               &read.n_rows,
                               &read.starts,
                               &read.columns,
                               &done));
          throw_if(MatSeqAIJGetArrayRead(part, &read.values));
          parts.push_back(read);
        }

    rows.n_rows       = static_cast<std::size_t>(parts[0].n_rows);
    rows.communicator = PetscObjectComm((PetscObject)matrix);
    for (std::size_t p = 0; p < parts.size(); ++p)
      rows.blocks.push_back({reinterpret_cast<const int *>(parts[p].starts),
                             reinterpret_cast<const int *>(parts[p].columns),
                             parts[p].values,
                             p == 0 ? 0 : static_cast<int>(rows.n_rows)});
    if (others != nullptr)
      {
        PetscInt        n_ghosts;
        const PetscInt *ranges;
        int             n_processes;
        throw_if(MatGetLocalSize(others, nullptr, &n_ghosts));
        throw_if(MatGetOwnershipRangesColumn(matrix, &ranges));
        MPI_Comm_size(rows.communicator, &n_processes);
        for (PetscInt g = 0; g < n_ghosts; ++g)
          {
            const auto next =
              std::upper_bound(ranges, ranges + n_processes + 1, ghosts[g]);
            rows.ghosts.emplace_back(static_cast<int>(next - ranges - 1),
                                     static_cast<int>(ghosts[g] - next[-1]));
          }
      }
  }



  MatrixRows::~MatrixRows()
  {
    // (A destructor has nobody to tell of errors.)
    for (Part &part : parts)
      {
        PetscBool done;
        (void)MatSeqAIJRestoreArrayRead(part.matrix, &part.values);
        (void)MatRestoreRowIJ(part.matrix,
                              0,
                              PETSC_FALSE,
                              PETSC_FALSE,
                              &part.n_rows,
                              &part.starts,
                              &part.columns,
                              &done);
      }
  }
} // namespace neuraldeal::petsc
