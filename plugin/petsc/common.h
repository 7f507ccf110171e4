// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_petsc_common_h
#define neuraldeal_plugin_petsc_common_h

#include <petsc/private/kspimpl.h>
#include <petsc/private/pcimpl.h>

#include <neuraldeal/plugin/coarse_space.h>
#include <neuraldeal/plugin/solution_space.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <exception>
#include <functional>
#include <string>
#include <vector>

#ifdef PETSC_USE_COMPLEX
#  error "neuraldeal_petsc needs a PETSc with real scalars."
#endif
static_assert(sizeof(PetscScalar) == sizeof(double),
              "neuraldeal_petsc needs a PETSc with double precision.");

/**
 * @file
 * What the files of the library for PETSc share: between its error codes and
 * exceptions, and between its vectors and arrays of owned values.
 */
namespace neuraldeal::petsc
{
  constexpr PetscErrorCode success = static_cast<PetscErrorCode>(0);

  /** The name of everything that the library registers. */
  constexpr char type_name[] = "surrogate";

  /** An error that PETSc has reported already. */
  struct Failure
  {
    PetscErrorCode code;
  };

  inline void
  throw_if(const PetscErrorCode code)
  {
    if (code != success)
      throw Failure{code};
  }

  /**
   * Call @p function, which may throw, for @p object. What users have done
   * wrong is found by all its processes together, and said once; anything
   * else by the process that it happens to.
   */
  template <typename Function>
  PetscErrorCode
  without_exceptions(const PetscObject object, const Function &function)
  {
    PetscFunctionBegin;
    std::string mistake;
    try
      {
        PetscCall(function());
      }
    catch (const Failure &failure)
      {
        PetscCall(failure.code);
      }
    catch (const InputError &error)
      {
        mistake = error.what();
      }
    catch (const FileError &error)
      {
        mistake = error.what();
      }
    catch (const std::exception &exception)
      {
        SETERRQ(PETSC_COMM_SELF,
                PETSC_ERR_LIB,
                "neuraldeal_petsc: %s",
                exception.what());
      }
    PetscCheck(mistake.empty(),
               PetscObjectComm(object),
               PETSC_ERR_USER_INPUT,
               "%s",
               mistake.c_str());
    PetscFunctionReturn(success);
  }

  /** The prefix of the options of @p object, where it has one. */
  inline std::string
  prefix_of(const PetscObject object)
  {
    return object->prefix ? object->prefix : "";
  }

  /** Sums over the processes of a communicator. */
  inline LocalSystem::Sum
  sum_over(const MPI_Comm communicator)
  {
    return [communicator](double *numbers, const int n) {
      MPI_Allreduce(
        MPI_IN_PLACE, numbers, n, MPI_DOUBLE, MPI_SUM, communicator);
    };
  }

  inline unsigned int
  process_number(const MPI_Comm communicator)
  {
    int rank;
    MPI_Comm_rank(communicator, &rank);
    return static_cast<unsigned int>(rank);
  }

  /** An operation on vectors of PETSc as one on arrays of owned values. */
  class ArrayOperation
  {
  public:
    using Operation = std::function<PetscErrorCode(Vec src, Vec dst)>;

    /** @param like a vector of the kind that @p operation takes. */
    ArrayOperation(const Vec like, const Operation &operation);

    ArrayOperation(const ArrayOperation &) = delete;

    ~ArrayOperation();

    /**
     * Collective.
     * @throw Failure
     */
    void
    operator()(double *dst, const double *src) const;

  private:
    Operation operation;
    PetscInt  n_local     = 0;
    Vec       source      = nullptr;
    Vec       destination = nullptr;
  };

  /** Whether MatrixRows can read @p matrix. */
  bool
  has_rows(const Mat matrix);

  /** This process's rows of a matrix of the kind AIJ, to be looked at. */
  class MatrixRows
  {
  public:
    /** @p matrix has_rows(). */
    explicit MatrixRows(const Mat matrix);

    MatrixRows(const MatrixRows &) = delete;

    ~MatrixRows();

    const LocalMatrix &
    local() const
    {
      return rows;
    }

  private:
    /** That of the own columns, and that of the ghosts, if any. */
    struct Part
    {
      Mat                matrix;
      PetscInt           n_rows;
      const PetscInt    *starts, *columns;
      const PetscScalar *values;
    };
    std::vector<Part> parts;
    LocalMatrix       rows;
  };

  /**
   * A number that changes with the matrix, where PETSc has one: matrices
   * that are functions may change behind its back.
   */
  LocalSystem::Version
  version_of(const Mat matrix);
} // namespace neuraldeal::petsc

#endif
