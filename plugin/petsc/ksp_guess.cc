// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/petsc/ksp.h>
#include <neuraldeal/plugin/petsc/ksp_guess.h>
#include <neuraldeal/plugin/petsc/learned_systems.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace neuraldeal::petsc
{
  namespace
  {
    const char *const symmetric_names[] = {"auto", "true", "false"};

    /** The data of one KSPGuess. */
    struct Guess
    {
      LearningOptions learning;
      PetscInt        symmetric = 0; ///< an index of symmetric_names
      PetscBool       monitor   = PETSC_FALSE;

      /** The current one. */
      LearnedSystem system;

      /** Whether the program itself wanted to start from zero. */
      PetscBool  host_guess_zero = PETSC_TRUE;
      bool       formed          = false;
      Projection projection;
    };

    Guess &
    data_of(const KSPGuess guess)
    {
      return *static_cast<Guess *>(guess->data);
    }

    Symmetry
    find_symmetry(const KSPGuess guess)
    {
      const auto &data = data_of(guess);
      if (data.symmetric != 0)
        return data.symmetric == 1 ? Symmetry::definite : Symmetry::general;

      // Who chooses one of these says that the matrix is so.
      PetscBool conjugate_gradients, known, definite;
      throw_if(PetscObjectTypeCompareAny((PetscObject)krylov_method(guess->ksp),
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
      throw_if(MatIsSPDKnown(guess->A, &known, &definite));
      return conjugate_gradients || (known && definite) ? Symmetry::definite :
                                                          Symmetry::automatic;
    }

    Projection
    project(const KSPGuess guess, const Vec b, const Vec x)
    {
      const MPI_Comm communicator = PetscObjectComm((PetscObject)guess->ksp);
      const ArrayOperation product(x, [guess](Vec src, Vec dst) {
        return KSP_MatMult(guess->ksp, guess->A, src, dst);
      });

      LocalSystem system;
      system.symmetry       = find_symmetry(guess);
      system.matrix_version = version_of(guess->A);
      system.sum            = sum_over(communicator);
      system.process        = process_number(communicator);
      system.apply          = std::cref(product);
      std::unique_ptr<MatrixRows> rows;
      if (guess->ksp->transpose_solve == PETSC_FALSE && has_rows(guess->A))
        {
          rows        = std::make_unique<MatrixRows>(guess->A);
          system.rows = &rows->local();
        }

      SolutionSpace     &space = *data_of(guess).system;
      const PetscScalar *right_hand_side, *start;
      throw_if(VecGetArrayRead(x, &start));
      std::vector<double> values(start, start + space.n_local());
      throw_if(VecRestoreArrayRead(x, &start));
      throw_if(VecGetArrayRead(b, &right_hand_side));
      system.right_hand_side  = right_hand_side;
      const Projection result = space.project(system, {}, values.data());
      throw_if(VecRestoreArrayRead(b, &right_hand_side));

      if (result.method != Projection::Method::none)
        {
          PetscScalar *array;
          throw_if(VecGetArrayWrite(x, &array));
          std::copy(values.begin(), values.end(), array);
          throw_if(VecRestoreArrayWrite(x, &array));
        }
      return result;
    }

    PetscErrorCode
    form_guess(KSPGuess guess, Vec b, Vec x)
    {
      PetscFunctionBegin;
      auto &data           = data_of(guess);
      KSP   ksp            = guess->ksp;
      data.host_guess_zero = ksp->guess_zero;
      data.formed          = true;
      data.projection      = Projection();
      data.system.reset();

      PetscLayout rows, columns;
      PetscCall(MatGetLayouts(guess->A, &rows, &columns));
      PetscBool square = PETSC_FALSE;
      PetscCall(PetscLayoutCompare(rows, columns, &square));
      PetscCall(without_exceptions((PetscObject)guess, [&]() {
        PetscFunctionBegin;
        if (square && is_iterative(ksp))
          {
            if (ksp->guess_zero)
              PetscCall(VecSet(x, 0.));
            data.system = find_learned_system(ksp, guess->A, x, data.learning);
            data.projection = project(guess, b, x);
          }
        PetscFunctionReturn(success);
      }));
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
      auto &data = data_of(guess);
      KSP   ksp  = guess->ksp;
      if (data.formed)
        ksp->guess_zero = data.host_guess_zero;
      data.formed = false;
      if (!data.system)
        PetscFunctionReturn(success);

      if (data.learning.learn)
        PetscCall(without_exceptions((PetscObject)guess, [&]() {
          learn_solution(*data.system, ksp, x);
          return success;
        }));

      if (data.monitor)
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
            prefix_of((PetscObject)ksp).c_str(),
            method,
            start.dimension,
            start.n_matrix_products,
            start.residual,
            start.host_residual,
            ksp->its,
            static_cast<unsigned int>(data.system->n_learned())));
        }
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    set_from_options(KSPGuess guess)
    {
      PetscFunctionBegin;
      auto &data = data_of(guess);
      PetscCall(data.learning.set_from_options((PetscObject)guess));

      // Not by PetscOptionsEList(): what PETSc 3.18 writes of a name that it
      // does not know ends a byte beyond its memory.
      char symmetric[16];
      PetscCall(PetscStrncpy(symmetric,
                             symmetric_names[data.symmetric],
                             sizeof(symmetric)));
      PetscOptionsBegin(PetscObjectComm((PetscObject)guess),
                        ((PetscObject)guess)->prefix,
                        "Initial guess from past solutions (neural.deal)",
                        "KSPGuess");
      PetscCall(PetscOptionsString(
        "-ksp_guess_surrogate_symmetric",
        "Whether matrices are symmetric positive definite: auto true false",
        "README.md",
        symmetric_names[data.symmetric],
        symmetric,
        sizeof(symmetric),
        nullptr));
      PetscCall(PetscOptionsBool("-ksp_guess_surrogate_monitor",
                                 "Print a line for each solve",
                                 "README.md",
                                 data.monitor,
                                 &data.monitor,
                                 nullptr));
      PetscOptionsEnd();
      PetscBool known = PETSC_FALSE;
      for (PetscInt i = 0; i < 3 && !known; ++i)
        {
          PetscCall(PetscStrcasecmp(symmetric, symmetric_names[i], &known));
          if (known)
            data.symmetric = i;
        }
      PetscCheck(known,
                 PetscObjectComm((PetscObject)guess),
                 PETSC_ERR_USER_INPUT,
                 "-ksp_guess_surrogate_symmetric is %s; valid is one of: auto, "
                 "true, false",
                 symmetric);
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    view(KSPGuess guess, PetscViewer viewer)
    {
      PetscFunctionBegin;
      const auto &data = data_of(guess);
      PetscCall(PetscViewerASCIIPrintf(
        viewer,
        "up to %u directions, symmetric: %s, %u solutions learned for this "
        "system\n",
        data.system ? data.system->max_n_directions() : 0,
        symmetric_names[data.symmetric],
        data.system ? static_cast<unsigned int>(data.system->n_learned()) : 0));
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
  } // namespace



  PetscErrorCode
  create_ksp_guess(KSPGuess guess)
  {
    PetscFunctionBegin;
    PetscCall(without_exceptions((PetscObject)guess, [&]() {
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
} // namespace neuraldeal::petsc
