// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

/**
 * @file
 * The initial guess `surrogate` for PETSc's Krylov methods. README.md beside
 * this file says how it is used.
 *
 * PETSc destroys a KSPGuess with its KSP, and deal.II destroys the KSP with
 * its solver, which in most programs is after each solve. What is learned
 * therefore lives here, in a table whose key says for which processes, which
 * solver and which layout it is.
 */

#include <petsc/private/kspimpl.h>

#include <neuraldeal/plugin/solution_space.h>

#include <algorithm>
#include <exception>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#ifdef PETSC_USE_COMPLEX
#  error "neuraldeal_petsc needs a PETSc with real scalars."
#endif
static_assert(sizeof(PetscScalar) == sizeof(double),
              "neuraldeal_petsc needs a PETSc with double precision.");

namespace neuraldeal
{
  namespace
  {
    constexpr PetscErrorCode success = static_cast<PetscErrorCode>(0);

    /** The options of a guess, by default. */
    struct Options
    {
      PetscInt  size       = 20;
      PetscReal forgetting = 0.5;
      PetscInt  symmetric  = 0; ///< an index of symmetric_names
      PetscBool learn      = PETSC_TRUE;
      PetscBool monitor    = PETSC_FALSE;
    };

    const char *const symmetric_names[] = {"auto", "true", "false"};

    /** The data of one KSPGuess. */
    struct Guess
    {
      Options options;

      /** Of the current system; in the table as well. */
      std::shared_ptr<SolutionSpace> space;

      /** Whether the program itself wanted to start from zero. */
      PetscBool  host_guess_zero = PETSC_TRUE;
      bool       formed          = false;
      Projection projection;
    };

    /** An error that PETSc has reported already. */
    struct PETScFailure
    {
      PetscErrorCode code;
    };

    void
    throw_if(const PetscErrorCode code)
    {
      if (code != success)
        throw PETScFailure{code};
    }

    /**
     * For the processes given by their ranks in MPI_COMM_WORLD, the spaces
     * by layout (where each process's unknowns begin), options and prefix,
     * the last used first. All processes of a group see the same sequence of
     * its systems, and so forget the same ones; with a table for all groups
     * together they would not.
     */
    using Key =
      std::tuple<std::string, bool, PetscInt, PetscReal, std::vector<PetscInt>>;
    using Group = std::list<std::pair<Key, std::shared_ptr<SolutionSpace>>>;

    std::map<std::vector<int>, Group> &
    table()
    {
      static std::map<std::vector<int>, Group> groups;
      return groups;
    }

    /** So many systems of a group of processes are remembered. */
    constexpr std::size_t n_remembered = 8;

    std::vector<int>
    world_ranks(const MPI_Comm communicator)
    {
      int size;
      MPI_Comm_size(communicator, &size);
      MPI_Group group, world;
      MPI_Comm_group(communicator, &group);
      MPI_Comm_group(MPI_COMM_WORLD, &world);
      std::vector<int> ranks(size), result(size);
      for (int i = 0; i < size; ++i)
        ranks[i] = i;
      MPI_Group_translate_ranks(
        group, size, ranks.data(), world, result.data());
      MPI_Group_free(&group);
      MPI_Group_free(&world);
      return result;
    }

    PetscErrorCode
    find_space(const KSPGuess guess, const Vec x)
    {
      PetscFunctionBegin;
      auto           &data   = *static_cast<Guess *>(guess->data);
      const char     *prefix = ((PetscObject)guess)->prefix;
      const PetscInt *ranges;
      PetscCall(VecGetOwnershipRanges(x, &ranges));
      PetscMPIInt n_processes;
      MPI_Comm    communicator = PetscObjectComm((PetscObject)guess->ksp);
      PetscCallMPI(MPI_Comm_size(communicator, &n_processes));
      PetscInt n_local;
      PetscCall(VecGetLocalSize(x, &n_local));

      const Key key(prefix ? prefix : "",
                    guess->ksp->transpose_solve == PETSC_TRUE,
                    data.options.size,
                    data.options.forgetting,
                    std::vector<PetscInt>(ranges, ranges + n_processes + 1));
      Group &group = table()[world_ranks(communicator)];
      auto   found = group.begin();
      while (found != group.end() && found->first != key)
        ++found;
      if (found == group.end())
        {
          group.emplace_front(key,
                              std::make_shared<SolutionSpace>(
                                n_local,
                                static_cast<unsigned int>(data.options.size),
                                data.options.forgetting));
          if (group.size() > n_remembered)
            group.pop_back();
        }
      else
        group.splice(group.begin(), group, found);
      data.space = group.front().second;
      PetscFunctionReturn(success);
    }

    /** Whether methods of this type take any start. */
    PetscErrorCode
    takes_start(const KSP ksp, PetscBool *result)
    {
      PetscFunctionBegin;
      PetscBool needs_zero;
      PetscCall(PetscObjectTypeCompareAny((PetscObject)ksp,
                                          &needs_zero,
                                          KSPPREONLY,
                                          KSPNASH,
                                          KSPSTCG,
                                          KSPGLTR,
                                          KSPQCG,
                                          ""));
      // With this option the matrix is scaled already, and the right hand
      // side is not yet.
      PetscBool scaled;
      PetscCall(KSPGetDiagonalScale(ksp, &scaled));
      *result = needs_zero || scaled ? PETSC_FALSE : PETSC_TRUE;
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    find_symmetry(const KSPGuess guess, Symmetry *result)
    {
      PetscFunctionBegin;
      const auto &data = *static_cast<Guess *>(guess->data);
      *result          = Symmetry::automatic;
      if (data.options.symmetric != 0)
        *result =
          data.options.symmetric == 1 ? Symmetry::definite : Symmetry::general;
      else
        {
          // Who chooses one of these says that the matrix is so.
          PetscBool conjugate_gradients, known, definite;
          PetscCall(PetscObjectTypeCompareAny((PetscObject)guess->ksp,
                                              &conjugate_gradients,
                                              KSPCG,
                                              KSPPIPECG,
                                              KSPPIPECGRR,
                                              KSPPIPELCG,
                                              KSPPIPEPRCG,
                                              KSPPIPECG2,
                                              KSPGROPPCG,
                                              KSPFCG,
                                              KSPPIPEFCG,
                                              ""));
          PetscCall(MatIsSPDKnown(guess->A, &known, &definite));
          if (conjugate_gradients || (known && definite))
            *result = Symmetry::definite;
        }
      PetscFunctionReturn(success);
    }

    /**
     * A number that changes with the matrix, where PETSc has one: matrices
     * that are functions may change behind its back.
     */
    PetscErrorCode
    find_version(const Mat matrix, LocalSystem::Version *version)
    {
      PetscFunctionBegin;
      PetscBool stored;
      PetscCall(PetscObjectTypeCompareAny((PetscObject)matrix,
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
      if (stored)
        {
          PetscObjectId    id;
          PetscObjectState state;
          PetscCall(PetscObjectGetId((PetscObject)matrix, &id));
          PetscCall(PetscObjectStateGet((PetscObject)matrix, &state));
          *version = {static_cast<std::uint64_t>(id),
                      static_cast<std::uint64_t>(state)};
        }
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    project(const KSPGuess guess, const Vec b, const Vec x)
    {
      PetscFunctionBegin;
      auto       &data = *static_cast<Guess *>(guess->data);
      LocalSystem system;
      PetscCall(find_symmetry(guess, &system.symmetry));
      PetscCall(find_version(guess->A, &system.matrix_version));

      const MPI_Comm communicator = PetscObjectComm((PetscObject)guess->ksp);
      system.sum = [communicator](double *numbers, const int n) {
        MPI_Allreduce(
          MPI_IN_PLACE, numbers, n, MPI_DOUBLE, MPI_SUM, communicator);
      };

      PetscMPIInt rank;
      PetscCallMPI(MPI_Comm_rank(communicator, &rank));
      system.process = static_cast<unsigned int>(rank);

      Vec source, destination;
      PetscCall(VecDuplicate(x, &source));
      PetscCall(VecDuplicate(x, &destination));
      const std::size_t n = data.space->n_local();
      system.apply        = [&](double *dst, const double *src) {
        PetscScalar       *writable;
        const PetscScalar *readable;
        throw_if(VecGetArrayWrite(source, &writable));
        std::copy_n(src, n, writable);
        throw_if(VecRestoreArrayWrite(source, &writable));
        throw_if(KSP_MatMult(guess->ksp, guess->A, source, destination));
        throw_if(VecGetArrayRead(destination, &readable));
        std::copy_n(readable, n, dst);
        throw_if(VecRestoreArrayRead(destination, &readable));
      };

      const PetscScalar *right_hand_side, *start;
      PetscCall(VecGetArrayRead(x, &start));
      std::vector<double> values(start, start + n);
      PetscCall(VecRestoreArrayRead(x, &start));
      PetscCall(VecGetArrayRead(b, &right_hand_side));
      system.right_hand_side = right_hand_side;
      data.projection        = data.space->project(system, {}, values.data());
      PetscCall(VecRestoreArrayRead(b, &right_hand_side));

      if (data.projection.method != Projection::Method::none)
        {
          PetscScalar *array;
          PetscCall(VecGetArrayWrite(x, &array));
          std::copy(values.begin(), values.end(), array);
          PetscCall(VecRestoreArrayWrite(x, &array));
        }
      PetscCall(VecDestroy(&source));
      PetscCall(VecDestroy(&destination));
      PetscFunctionReturn(success);
    }

    /** Call @p function, which may throw. */
    template <typename Function>
    PetscErrorCode
    without_exceptions(const Function &function)
    {
      PetscFunctionBegin;
      try
        {
          PetscCall(function());
        }
      catch (const PETScFailure &failure)
        {
          PetscCall(failure.code);
        }
      catch (const std::exception &exception)
        {
          SETERRQ(PETSC_COMM_SELF,
                  PETSC_ERR_LIB,
                  "KSPGuess surrogate: %s",
                  exception.what());
        }
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    form_guess(KSPGuess guess, Vec b, Vec x)
    {
      PetscFunctionBegin;
      auto &data           = *static_cast<Guess *>(guess->data);
      KSP   ksp            = guess->ksp;
      data.host_guess_zero = ksp->guess_zero;
      data.formed          = true;
      data.projection      = Projection();
      data.space.reset();

      PetscBool possible = PETSC_FALSE;
      PetscCall(takes_start(ksp, &possible));
      PetscLayout rows, columns;
      PetscCall(MatGetLayouts(guess->A, &rows, &columns));
      PetscBool square = PETSC_FALSE;
      PetscCall(PetscLayoutCompare(rows, columns, &square));
      if (possible && square)
        {
          if (ksp->guess_zero)
            PetscCall(VecSet(x, 0.));
          PetscCall(without_exceptions([&]() {
            PetscFunctionBegin;
            PetscCall(find_space(guess, x));
            PetscCall(project(guess, b, x));
            PetscFunctionReturn(success);
          }));
        }
      // Unless the vector has changed PETSc starts from zero, also where the
      // program has another start.
      if (!data.host_guess_zero &&
          data.projection.method == Projection::Method::none)
        PetscCall(PetscObjectStateIncrease((PetscObject)x));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    update(KSPGuess guess, Vec, Vec x)
    {
      PetscFunctionBegin;
      auto &data = *static_cast<Guess *>(guess->data);
      KSP   ksp  = guess->ksp;
      if (data.formed)
        ksp->guess_zero = data.host_guess_zero;
      data.formed = false;
      if (!data.space)
        PetscFunctionReturn(success);

      if (data.options.learn && ksp->reason > 0 &&
          ksp->reason != KSP_CONVERGED_ITS)
        PetscCall(without_exceptions([&]() {
          PetscFunctionBegin;
          const MPI_Comm     communicator = PetscObjectComm((PetscObject)ksp);
          const PetscScalar *array;
          PetscCall(VecGetArrayRead(x, &array));
          data.space->learn(array, [communicator](double *numbers, int n) {
            MPI_Allreduce(
              MPI_IN_PLACE, numbers, n, MPI_DOUBLE, MPI_SUM, communicator);
          });
          PetscCall(VecRestoreArrayRead(x, &array));
          PetscFunctionReturn(success);
        }));

      if (data.options.monitor)
        {
          const Projection &start = data.projection;
          const char *const method =
            start.method == Projection::Method::galerkin ?
              "a Galerkin projection" :
            start.method == Projection::Method::least_squares ?
              "least squares" :
              "the program";
          PetscCall(PetscPrintf(
            PetscObjectComm((PetscObject)ksp),
            "KSPGuess surrogate: %sstart by %s in %u dimensions with %u "
            "products, residual %.2e instead of %.2e, %" PetscInt_FMT
            " iterations, %u solutions learned\n",
            ((PetscObject)ksp)->prefix ? ((PetscObject)ksp)->prefix : "",
            method,
            start.dimension,
            start.n_matrix_products,
            start.residual,
            start.host_residual,
            ksp->its,
            static_cast<unsigned int>(data.space->n_learned())));
        }
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    set_from_options(KSPGuess guess)
    {
      PetscFunctionBegin;
      Options &options = static_cast<Guess *>(guess->data)->options;
      // Not by PetscOptionsEList(): what PETSc 3.18 writes of a name that it
      // does not know ends a byte beyond its memory.
      char symmetric[16];
      PetscCall(PetscStrncpy(symmetric,
                             symmetric_names[options.symmetric],
                             sizeof(symmetric)));
      PetscOptionsBegin(PetscObjectComm((PetscObject)guess),
                        ((PetscObject)guess)->prefix,
                        "Initial guess from past solutions (neural.deal)",
                        "KSPGuess");
      PetscCall(PetscOptionsInt("-ksp_guess_surrogate_size",
                                "Number of directions that are kept",
                                "README.md",
                                options.size,
                                &options.size,
                                nullptr));
      PetscCall(PetscOptionsString(
        "-ksp_guess_surrogate_symmetric",
        "Whether matrices are symmetric positive definite: auto true false",
        "README.md",
        symmetric_names[options.symmetric],
        symmetric,
        sizeof(symmetric),
        nullptr));
      PetscCall(PetscOptionsReal("-ksp_guess_surrogate_forgetting",
                                 "How much the past counts at each solve",
                                 "README.md",
                                 options.forgetting,
                                 &options.forgetting,
                                 nullptr));
      PetscCall(PetscOptionsBool("-ksp_guess_surrogate_learn",
                                 "Whether solutions are learned",
                                 "README.md",
                                 options.learn,
                                 &options.learn,
                                 nullptr));
      PetscCall(PetscOptionsBool("-ksp_guess_surrogate_monitor",
                                 "Print a line for each solve",
                                 "README.md",
                                 options.monitor,
                                 &options.monitor,
                                 nullptr));
      PetscOptionsEnd();
      PetscBool known = PETSC_FALSE;
      for (PetscInt i = 0; i < 3 && !known; ++i)
        {
          PetscCall(PetscStrcasecmp(symmetric, symmetric_names[i], &known));
          if (known)
            options.symmetric = i;
        }
      PetscCheck(known,
                 PetscObjectComm((PetscObject)guess),
                 PETSC_ERR_ARG_OUTOFRANGE,
                 "-ksp_guess_surrogate_symmetric is %s; valid is one of: auto, "
                 "true, false",
                 symmetric);
      PetscCheck(options.size >= 1 && options.size <= 1000,
                 PetscObjectComm((PetscObject)guess),
                 PETSC_ERR_ARG_OUTOFRANGE,
                 "-ksp_guess_surrogate_size is %" PetscInt_FMT
                 "; valid is a number from 1 to 1000",
                 options.size);
      PetscCheck(options.forgetting > 0. && options.forgetting <= 1.,
                 PetscObjectComm((PetscObject)guess),
                 PETSC_ERR_ARG_OUTOFRANGE,
                 "-ksp_guess_surrogate_forgetting is %g; valid is a number "
                 "above 0, up to 1",
                 static_cast<double>(options.forgetting));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    view(KSPGuess guess, PetscViewer viewer)
    {
      PetscFunctionBegin;
      const auto &data = *static_cast<Guess *>(guess->data);
      PetscCall(PetscViewerASCIIPrintf(
        viewer,
        "up to %" PetscInt_FMT
        " directions, symmetric: %s, %u solutions learned for this system\n",
        data.options.size,
        symmetric_names[data.options.symmetric],
        data.space ? static_cast<unsigned int>(data.space->n_learned()) : 0));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    destroy(KSPGuess guess)
    {
      PetscFunctionBegin;
      delete static_cast<Guess *>(guess->data);
      guess->data = nullptr;
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    create(KSPGuess guess)
    {
      PetscFunctionBegin;
      PetscCall(without_exceptions([&]() {
        guess->data = new Guess;
        return success;
      }));
      guess->ops->formguess      = form_guess;
      guess->ops->update         = update;
      guess->ops->setfromoptions = set_from_options;
      guess->ops->view           = view;
      guess->ops->destroy        = destroy;
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    finalize()
    {
      PetscFunctionBegin;
      table().clear();
      PetscFunctionReturn(success);
    }
  } // namespace
} // namespace neuraldeal



/** What PETSc calls when it has loaded libneuraldeal_petsc.so. */
PETSC_EXTERN PETSC_VISIBILITY_PUBLIC PetscErrorCode
PetscDLLibraryRegister_neuraldeal_petsc()
{
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
  PetscCall(KSPGuessRegister("surrogate", neuraldeal::create));
  PetscCall(PetscRegisterFinalize(neuraldeal::finalize));
  PetscFunctionReturn(neuraldeal::success);
}
