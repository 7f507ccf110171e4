// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/petsc/ksp.h>
#include <neuraldeal/plugin/petsc/pc.h>

#include <cmath>
#include <string>

namespace neuraldeal::petsc
{
  namespace
  {
    /** The data of one KSP. */
    struct Surrogate
    {
      /** The type that the KSP has had before; empty: none. */
      std::string host_type;

      KSP inner = nullptr;

      /** Whether the guess was made here. */
      bool own_guess = false;

      /** Iterations of this solve before those of the inner KSP. */
      PetscInt n_before = 0;
    };

    Surrogate &
    data_of(const KSP ksp)
    {
      return *static_cast<Surrogate *>(ksp->data);
    }

    /** Monitor of the inner KSP: that is an iteration of the outer one. */
    PetscErrorCode
    monitor(KSP, PetscInt n, PetscReal norm, void *outer)
    {
      PetscFunctionBegin;
      const KSP  ksp      = static_cast<KSP>(outer);
      const auto n_before = data_of(ksp).n_before;
      if (n_before > 0 && n == 0) // said already
        PetscFunctionReturn(success);
      ksp->its   = n_before + n;
      ksp->rnorm = norm;
      PetscCall(KSPLogResidualHistory(ksp, norm));
      PetscCall(KSPMonitor(ksp, ksp->its, norm));
      PetscFunctionReturn(success);
    }

    /** Convergence test of the inner KSP: that of the outer one. */
    PetscErrorCode
    test(KSP,
         PetscInt            n,
         PetscReal           norm,
         KSPConvergedReason *reason,
         void               *outer)
    {
      PetscFunctionBegin;
      const KSP ksp = static_cast<KSP>(outer);
      ksp->its      = data_of(ksp).n_before + n;
      ksp->rnorm    = norm;
      PetscCall((*ksp->converged)(ksp, ksp->its, norm, reason, ksp->cnvP));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    create_inner(const KSP ksp)
    {
      PetscFunctionBegin;
      auto &data = data_of(ksp);
      PC    pc;
      PetscCall(KSPGetPC(ksp, &pc));

      std::string type = data.host_type;
      if (type.empty())
        {
          PetscBool known = PETSC_FALSE, definite = PETSC_FALSE;
          Mat       A;
          PetscCall(PCGetOperators(pc, &A, nullptr));
          PetscCall(MatIsSPDKnown(A, &known, &definite));
          type = known && definite ? KSPCG : KSPGMRES;
        }

      PetscCall(KSPCreate(PetscObjectComm((PetscObject)ksp), &data.inner));
      PetscCall(PetscObjectIncrementTabLevel((PetscObject)data.inner,
                                             (PetscObject)ksp,
                                             1));
      PetscCall(KSPSetOptionsPrefix(data.inner, ((PetscObject)ksp)->prefix));
      PetscCall(KSPAppendOptionsPrefix(data.inner, "ksp_surrogate_"));
      PetscCall(KSPSetType(data.inner, type.c_str()));
      if (ksp->pc_side_set != PC_SIDE_DEFAULT)
        PetscCall(KSPSetPCSide(data.inner, ksp->pc_side_set));
      if (ksp->normtype_set != KSP_NORM_DEFAULT)
        PetscCall(KSPSetNormType(data.inner, ksp->normtype_set));
      PetscCall(KSPSetSkipPCSetFromOptions(data.inner, PETSC_TRUE));
      PetscCall(KSPSetFromOptions(data.inner));
      PetscBool itself;
      PetscCall(
        PetscObjectTypeCompare((PetscObject)data.inner, type_name, &itself));
      PetscCheck(!itself,
                 PetscObjectComm((PetscObject)ksp),
                 PETSC_ERR_USER_INPUT,
                 "-ksp_surrogate_ksp_type is surrogate; valid is any other "
                 "method of PETSc");
      PetscCall(KSPMonitorSet(data.inner, monitor, ksp, nullptr));
      PetscCall(KSPSetConvergenceTest(data.inner, test, ksp, nullptr));

      // Around the preconditioner that is there, unless that is what a direct
      // solver consists of, or one of ours already.
      PetscBool deflated;
      PetscCall(PetscObjectTypeCompare((PetscObject)pc, type_name, &deflated));
      bool iterative = false;
      PetscCall(without_exceptions((PetscObject)ksp, [&]() {
        iterative = is_iterative(data.inner);
        return success;
      }));
      if (deflated || !iterative)
        PetscCall(KSPSetPC(data.inner, pc));
      else
        {
          PC inner_pc;
          PetscCall(KSPGetPC(data.inner, &inner_pc));
          PetscCall(PCSetOptionsPrefix(inner_pc, ((PetscObject)ksp)->prefix));
          PetscCall(PCSetType(inner_pc, type_name));
          PetscCall(set_inner_pc(inner_pc, pc));
        }
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    set_up(KSP ksp)
    {
      PetscFunctionBegin;
      auto &data = data_of(ksp);
      if (data.inner == nullptr)
        PetscCall(create_inner(ksp));
      if (ksp->guess == nullptr ||
          ((PetscObject)ksp->guess)->type_name == nullptr)
        {
          KSPGuess guess;
          PetscCall(KSPGetGuess(ksp, &guess));
          PetscCall(KSPGuessSetType(guess, type_name));
          PetscCall(KSPGuessSetFromOptions(guess));
          data.own_guess = true;
        }
      PetscFunctionReturn(success);
    }

    /** Let the inner KSP go on for what is left of the iterations. */
    PetscErrorCode
    run_inner(const KSP ksp, const bool from_zero)
    {
      PetscFunctionBegin;
      const auto &data = data_of(ksp);
      PetscCall(
        KSPSetInitialGuessNonzero(data.inner,
                                  from_zero ? PETSC_FALSE : PETSC_TRUE));
      PetscCall(KSPSetTolerances(data.inner,
                                 ksp->rtol,
                                 ksp->abstol,
                                 ksp->divtol,
                                 ksp->max_it - data.n_before));
      if (ksp->transpose_solve)
        PetscCall(KSPSolveTranspose(data.inner, ksp->vec_rhs, ksp->vec_sol));
      else
        PetscCall(KSPSolve(data.inner, ksp->vec_rhs, ksp->vec_sol));
      PetscInt n;
      PetscCall(KSPGetIterationNumber(data.inner, &n));
      PetscCall(KSPGetResidualNorm(data.inner, &ksp->rnorm));
      PetscCall(KSPGetConvergedReason(data.inner, &ksp->reason));
      ksp->its = data.n_before + n;
      PetscFunctionReturn(success);
    }

    /**
     * Let the test of @p ksp judge the solution in the norm that the inner
     * method would have used without deflation.
     */
    PetscErrorCode
    test_solution(const KSP ksp)
    {
      PetscFunctionBegin;
      Mat A;
      Vec residual, preconditioned;
      PetscCall(KSPGetOperators(ksp, &A, nullptr));
      PetscCall(VecDuplicate(ksp->vec_rhs, &residual));
      PetscCall(VecDuplicate(ksp->vec_rhs, &preconditioned));
      PetscCall(KSP_MatMult(ksp, A, ksp->vec_sol, residual));
      PetscCall(VecAYPX(residual, -1., ksp->vec_rhs));
      PetscCall(KSP_PCApply(ksp, residual, preconditioned));
      if (ksp->normtype == KSP_NORM_NATURAL)
        {
          PetscScalar square;
          PetscCall(VecDot(residual, preconditioned, &square));
          ksp->rnorm = std::sqrt(std::abs(square));
        }
      else
        PetscCall(VecNorm(preconditioned, NORM_2, &ksp->rnorm));
      PetscCall(VecDestroy(&residual));
      PetscCall(VecDestroy(&preconditioned));
      PetscCall(
        (*ksp->converged)(ksp, ksp->its, ksp->rnorm, &ksp->reason, ksp->cnvP));
      PetscFunctionReturn(success);
    }

    /** Solve with deflation, and if need be go on without. */
    PetscErrorCode
    solve_deflated(const KSP ksp, const PC deflation)
    {
      PetscFunctionBegin;
      auto      &data            = data_of(ksp);
      const bool host_guess_zero = ksp->guess_zero == PETSC_TRUE;
      Vec        start;
      PetscCall(VecDuplicate(ksp->vec_sol, &start));
      PetscCall(VecCopy(ksp->vec_sol, start));

      // The test is to compare with the right hand side in the host's norm,
      // not with the first residual in that with deflation.
      ksp->guess_zero = PETSC_FALSE;
      PetscCall(run_inner(ksp, host_guess_zero));

      // Norms without preconditioner are the host's.
      const bool same_norm =
        ksp->pc_side == PC_RIGHT || (ksp->normtype != KSP_NORM_NATURAL &&
                                     ksp->normtype != KSP_NORM_PRECONDITIONED);
      if (ksp->reason > 0 && !same_norm)
        PetscCall(test_solution(ksp));
      if (ksp->reason <= 0 && ksp->reason != KSP_DIVERGED_ITS)
        {
          const bool restart = ksp->reason < 0;
          PetscCall(PetscInfo(ksp,
                              "Deflation is given up after %" PetscInt_FMT
                              " iterations (%s)\n",
                              ksp->its,
                              KSPConvergedReasons[ksp->reason]));
          if (restart)
            PetscCall(VecCopy(start, ksp->vec_sol));
          data.n_before = ksp->its;
          stop_deflating(deflation);
          PetscCall(run_inner(ksp, restart && host_guess_zero));
        }
      PetscCall(VecDestroy(&start));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    solve(KSP ksp)
    {
      PetscFunctionBegin;
      auto &data    = data_of(ksp);
      data.n_before = 0;
      Mat A, P;
      PC  host_pc, pc;
      PetscCall(KSPGetOperators(ksp, &A, &P));
      PetscCall(KSPSetOperators(data.inner, A, P));
      PetscCall(KSPSetUp(data.inner));
      PetscCall(KSPGetPC(ksp, &host_pc));
      PetscCall(KSPGetPC(data.inner, &pc));

      // The norm that the test is told, and that the host's method has.
      ksp->normtype = data.inner->normtype;
      ksp->pc_side  = data.inner->pc_side;

      if (pc == host_pc)
        {
          PetscCall(run_inner(ksp, ksp->guess_zero == PETSC_TRUE));
          PetscFunctionReturn(success);
        }
      PetscCall(begin_solve(pc, ksp, ksp->vec_sol));
      if (deflates(pc))
        PetscCall(solve_deflated(ksp, pc));
      else
        PetscCall(run_inner(ksp, ksp->guess_zero == PETSC_TRUE));
      PetscCall(end_solve(pc, ksp, ksp->vec_sol));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    build_solution(KSP ksp, Vec v, Vec *V)
    {
      PetscFunctionBegin;
      PetscCall(KSPBuildSolution(data_of(ksp).inner, v, V));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    view(KSP ksp, PetscViewer viewer)
    {
      PetscFunctionBegin;
      const auto &data = data_of(ksp);
      PetscBool   ascii;
      PetscCall(
        PetscObjectTypeCompare((PetscObject)viewer, PETSCVIEWERASCII, &ascii));
      if (ascii && data.inner != nullptr)
        {
          PetscCall(PetscViewerASCIIPrintf(viewer, "  inner method:\n"));
          PetscCall(PetscViewerASCIIPushTab(viewer));
          PetscCall(KSPView(data.inner, viewer));
          PetscCall(PetscViewerASCIIPopTab(viewer));
        }
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    reset(KSP ksp)
    {
      PetscFunctionBegin;
      // Not KSPReset(), which would reset the PC of the program as well.
      PetscCall(KSPDestroy(&data_of(ksp).inner));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    destroy(KSP ksp)
    {
      PetscFunctionBegin;
      PetscCall(reset(ksp));
      if (data_of(ksp).own_guess)
        PetscCall(KSPGuessDestroy(&ksp->guess));
      delete static_cast<Surrogate *>(ksp->data);
      ksp->data = nullptr;
      PetscFunctionReturn(success);
    }
  } // namespace



  PetscErrorCode
  create_ksp(KSP ksp)
  {
    PetscFunctionBegin;
    PetscCall(without_exceptions((PetscObject)ksp, [&]() {
      // PETSc changes the name after this function.
      const char *const host_type = ((PetscObject)ksp)->type_name;
      auto *const       data      = new Surrogate;
      ksp->data                   = data;
      if (host_type != nullptr)
        data->host_type = host_type;
      return success;
    }));
    PetscCall(KSPSetSupportedNorm(ksp, KSP_NORM_PRECONDITIONED, PC_LEFT, 3));
    PetscCall(KSPSetSupportedNorm(ksp, KSP_NORM_UNPRECONDITIONED, PC_RIGHT, 2));
    PetscCall(KSPSetSupportedNorm(ksp, KSP_NORM_UNPRECONDITIONED, PC_LEFT, 1));
    PetscCall(KSPSetSupportedNorm(ksp, KSP_NORM_NATURAL, PC_LEFT, 1));
    PetscCall(KSPSetSupportedNorm(ksp, KSP_NORM_NONE, PC_LEFT, 1));
    PetscCall(KSPSetSupportedNorm(ksp, KSP_NORM_NONE, PC_RIGHT, 1));
    ksp->ops->setup         = set_up;
    ksp->ops->solve         = solve;
    ksp->ops->buildsolution = build_solution;
    ksp->ops->view          = view;
    ksp->ops->reset         = reset;
    ksp->ops->destroy       = destroy;
    PetscFunctionReturn(success);
  }



  KSP
  krylov_method(const KSP ksp)
  {
    PetscBool of_this_type;
    throw_if(
      PetscObjectTypeCompare((PetscObject)ksp, type_name, &of_this_type));
    return of_this_type && data_of(ksp).inner != nullptr ? data_of(ksp).inner :
                                                           ksp;
  }



  bool
  is_iterative(const KSP ksp)
  {
    PetscBool needs_zero, scaled;
    throw_if(PetscObjectTypeCompareAny((PetscObject)krylov_method(ksp),
                                       &needs_zero,
                                       KSPPREONLY,
                                       KSPNASH,
                                       KSPSTCG,
                                       KSPGLTR,
                                       KSPQCG,
                                       ""));
    // With this option the matrix is scaled already, and the right hand side
    // is not yet.
    throw_if(KSPGetDiagonalScale(ksp, &scaled));
    return !needs_zero && !scaled;
  }
} // namespace neuraldeal::petsc
