// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/deflation.h>
#include <neuraldeal/plugin/petsc/ksp.h>
#include <neuraldeal/plugin/petsc/learned_systems.h>
#include <neuraldeal/plugin/petsc/pc.h>

#include <memory>

namespace neuraldeal::petsc
{
  namespace
  {
    /** The data of one PC. */
    struct Deflation
    {
      LearningOptions learning;
      PC              inner = nullptr;
      bool            own   = true; ///< whether inner was made here

      /** Of the solve that goes on; how many calls have begun it. */
      LearnedSystem system;
      unsigned int  depth = 0;

      /** For the matrix of this version and so many directions. */
      std::unique_ptr<LocalDeflation> deflation;
      LocalSystem::Version            version      = {0, 0};
      std::size_t                     n_directions = 0;
      bool                            general      = false; ///< not symmetric
      bool by_pieces = false; ///< of what was learned
      bool stopped   = false;

      /** The inner preconditioner and its transpose. */
      std::unique_ptr<ArrayOperation> apply_inner, apply_inner_transpose;
    };

    Deflation &
    data_of(const PC pc)
    {
      return *static_cast<Deflation *>(pc->data);
    }

    /**
     * Make the inner PC and read its options; by default it is what PETSc
     * takes for the matrix, which must be there for that.
     */
    PetscErrorCode
    set_inner_from_options(const PC pc)
    {
      PetscFunctionBegin;
      auto &data = data_of(pc);
      if (!data.own || pc->pmat == nullptr)
        PetscFunctionReturn(success);
      if (data.inner == nullptr)
        {
          PetscCall(PCCreate(PetscObjectComm((PetscObject)pc), &data.inner));
          PetscCall(PetscObjectIncrementTabLevel((PetscObject)data.inner,
                                                 (PetscObject)pc,
                                                 1));
          DM dm;
          PetscCall(PCGetDM(pc, &dm));
          if (dm != nullptr)
            PetscCall(PCSetDM(data.inner, dm));
        }
      PetscCall(PCSetOperators(data.inner, pc->mat, pc->pmat));
      // The prefix may have changed since.
      PetscCall(PCSetOptionsPrefix(data.inner, ((PetscObject)pc)->prefix));
      PetscCall(PCAppendOptionsPrefix(data.inner, "pc_surrogate_"));
      PetscCall(PCSetFromOptions(data.inner));
      PetscFunctionReturn(success);
    }

    /** Called by PETSc with types that depend on its version. */
    template <typename Items>
    PetscErrorCode
    set_from_options(PC pc, Items)
    {
      PetscFunctionBegin;
      PetscCall(data_of(pc).learning.set_from_options((PetscObject)pc));
      PetscCall(set_inner_from_options(pc));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    set_up(PC pc)
    {
      PetscFunctionBegin;
      auto &data = data_of(pc);
      if (data.inner == nullptr)
        PetscCall(set_inner_from_options(pc));
      if (data.own)
        {
          PetscCall(PCSetOperators(data.inner, pc->mat, pc->pmat));
          PetscCall(
            PCSetReusePreconditioner(data.inner, pc->reusepreconditioner));
        }
      PetscCall(PCSetUp(data.inner));
      PCFailedReason reason;
      PetscCall(PCGetFailedReason(data.inner, &reason));
      PetscCall(PCSetFailedReason(pc, reason));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    set_up_on_blocks(PC pc)
    {
      PetscFunctionBegin;
      PetscCall(PCSetUpOnBlocks(data_of(pc).inner));
      PetscFunctionReturn(success);
    }

    /** Set the coarse space up, if that is due. */
    void
    set_up_deflation(const PC pc, const Vec x)
    {
      auto                      &data       = data_of(pc);
      const auto                &directions = data.system->directions();
      const LocalSystem::Version version    = version_of(pc->mat);
      const bool full = directions.size() == data.system->max_n_directions();
      if (!data.by_pieces && version != LocalSystem::Version{0, 0} &&
          version == data.version &&
          directions.size() < 2 * data.n_directions &&
          !(full && data.n_directions < directions.size()))
        return;
      data.deflation.reset();
      data.general      = false;
      data.by_pieces    = false;
      data.version      = version;
      data.n_directions = directions.size();
      if (directions.empty())
        return;

      const MPI_Comm       communicator = PetscObjectComm((PetscObject)pc);
      const ArrayOperation product(x, [pc](Vec src, Vec dst) {
        return MatMult(pc->mat, src, dst);
      });
      data.apply_inner =
        std::make_unique<ArrayOperation>(x, [pc](Vec src, Vec dst) {
          return PCApply(data_of(pc).inner, src, dst);
        });
      data.apply_inner_transpose =
        std::make_unique<ArrayOperation>(x, [pc](Vec src, Vec dst) {
          return PCApplyTranspose(data_of(pc).inner, src, dst);
        });
      if (has_rows(pc->mat))
        {
          PetscBool known, definite;
          throw_if(MatIsSPDKnown(pc->mat, &known, &definite));
          const MatrixRows rows(pc->mat);
          const auto       pieces =
            data.system->pieces(rows.local(),
                                version,
                                known && definite ? Symmetry::definite :
                                                    Symmetry::automatic,
                                SolutionSpace::Pieces::preconditioner);
          if (pieces && pieces->is_definite())
            {
              data.by_pieces = true;
              data.deflation =
                std::make_unique<LocalDeflation>(pieces,
                                                 data.system->n_local());
              return;
            }
        }
      try
        {
          data.deflation =
            std::make_unique<LocalDeflation>(directions,
                                             data.system->n_local(),
                                             std::cref(product),
                                             sum_over(communicator),
                                             process_number(communicator));
        }
      catch (const InputError &)
        {
          data.general = true;
          throw_if(PetscInfo(pc,
                             "The matrix is not symmetric positive definite on "
                             "what was learned: the inner preconditioner is "
                             "used alone\n"));
        }
    }

    PetscErrorCode
    apply_either(const PC pc, const Vec r, const Vec z, const bool transpose)
    {
      PetscFunctionBegin;
      const auto &data = data_of(pc);
      if (!deflates(pc))
        {
          PetscCall(transpose ? PCApplyTranspose(data.inner, r, z) :
                                PCApply(data.inner, r, z));
          PetscFunctionReturn(success);
        }
      const PetscScalar *src;
      PetscScalar       *dst;
      PetscCall(VecGetArrayRead(r, &src));
      PetscCall(VecGetArrayWrite(z, &dst));
      PetscCall(without_exceptions((PetscObject)pc, [&]() {
        // The matrix is symmetric: the transpose is that with the inner one's.
        data.deflation->vmult(dst,
                              src,
                              std::cref(transpose ?
                                          *data.apply_inner_transpose :
                                          *data.apply_inner));
        return success;
      }));
      PetscCall(VecRestoreArrayWrite(z, &dst));
      PetscCall(VecRestoreArrayRead(r, &src));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    apply(PC pc, Vec r, Vec z)
    {
      return apply_either(pc, r, z, false);
    }

    PetscErrorCode
    apply_transpose(PC pc, Vec r, Vec z)
    {
      return apply_either(pc, r, z, true);
    }

    PetscErrorCode
    pre_solve(PC pc, KSP ksp, Vec, Vec x)
    {
      return begin_solve(pc, ksp, x);
    }

    PetscErrorCode
    post_solve(PC pc, KSP ksp, Vec, Vec x)
    {
      return end_solve(pc, ksp, x);
    }

    PetscErrorCode
    view(PC pc, PetscViewer viewer)
    {
      PetscFunctionBegin;
      const auto &data = data_of(pc);
      PetscBool   ascii;
      PetscCall(
        PetscObjectTypeCompare((PetscObject)viewer, PETSCVIEWERASCII, &ascii));
      if (!ascii)
        PetscFunctionReturn(success);
      PetscCall(PetscViewerASCIIPrintf(
        viewer,
        "  coarse space of %u directions%s\n",
        data.deflation ? data.deflation->n_directions() : 0,
        data.general ? ", as the matrix is not symmetric positive definite on "
                       "what was learned" :
                       ""));
      if (data.inner != nullptr)
        {
          PetscCall(
            PetscViewerASCIIPrintf(viewer, "  inner preconditioner:\n"));
          PetscCall(PetscViewerASCIIPushTab(viewer));
          PetscCall(PCView(data.inner, viewer));
          PetscCall(PetscViewerASCIIPopTab(viewer));
        }
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    reset(PC pc)
    {
      PetscFunctionBegin;
      auto &data = data_of(pc);
      data.deflation.reset();
      data.apply_inner.reset();
      data.apply_inner_transpose.reset();
      data.version      = {0, 0};
      data.n_directions = 0;
      if (data.own && data.inner != nullptr)
        PetscCall(PCReset(data.inner));
      PetscFunctionReturn(success);
    }

    PetscErrorCode
    destroy(PC pc)
    {
      PetscFunctionBegin;
      PetscCall(PCDestroy(&data_of(pc).inner));
      delete static_cast<Deflation *>(pc->data);
      pc->data = nullptr;
      PetscFunctionReturn(success);
    }
  } // namespace



  PetscErrorCode
  create_pc(PC pc)
  {
    PetscFunctionBegin;
    PetscCall(without_exceptions((PetscObject)pc, [&]() {
      pc->data = new Deflation;
      return success;
    }));
    pc->ops->setfromoptions = set_from_options;
    pc->ops->setup          = set_up;
    pc->ops->setuponblocks  = set_up_on_blocks;
    pc->ops->apply          = apply;
    pc->ops->applytranspose = apply_transpose;
    pc->ops->presolve       = pre_solve;
    pc->ops->postsolve      = post_solve;
    pc->ops->view           = view;
    pc->ops->reset          = reset;
    pc->ops->destroy        = destroy;
    PetscFunctionReturn(success);
  }



  PetscErrorCode
  set_inner_pc(const PC pc, const PC inner)
  {
    PetscFunctionBegin;
    auto &data = data_of(pc);
    PetscCall(PetscObjectReference((PetscObject)inner));
    PetscCall(PCDestroy(&data.inner));
    data.inner = inner;
    data.own   = false;
    PetscCall(data.learning.set_from_options((PetscObject)pc));
    PetscFunctionReturn(success);
  }



  PetscErrorCode
  begin_solve(const PC pc, const KSP ksp, const Vec x)
  {
    PetscFunctionBegin;
    auto &data = data_of(pc);
    if (data.depth++ > 0)
      PetscFunctionReturn(success);
    data.stopped = false;
    data.system.reset();
    PetscBool direct;
    PetscCall(PetscObjectTypeCompareAny(
      (PetscObject)data.inner, &direct, PCLU, PCCHOLESKY, ""));
    PetscBool once;
    PetscCall(PetscObjectTypeCompare((PetscObject)ksp, KSPPREONLY, &once));
    PetscCheck(!once || direct,
               PetscObjectComm((PetscObject)pc),
               PETSC_ERR_USER_INPUT,
               "-%spc_type is surrogate, in the place of a direct solver; "
               "valid is surrogate with the prefix of an iterative solver",
               prefix_of((PetscObject)pc).c_str());
    if (data.own)
      PetscCall(PCSetReusePreconditioner(data.inner, pc->reusepreconditioner));
    PetscCall(without_exceptions((PetscObject)pc, [&]() {
      if (is_iterative(ksp))
        {
          data.system = find_learned_system(ksp, pc->mat, x, data.learning);
          set_up_deflation(pc, x);
        }
      return success;
    }));
    PetscFunctionReturn(success);
  }



  PetscErrorCode
  end_solve(const PC pc, const KSP ksp, const Vec x)
  {
    PetscFunctionBegin;
    auto &data = data_of(pc);
    if (--data.depth > 0 || !data.system || !data.learning.learn)
      PetscFunctionReturn(success);
    PetscBool by_guess = PETSC_FALSE;
    if (ksp->guess != nullptr)
      PetscCall(
        PetscObjectTypeCompare((PetscObject)ksp->guess, type_name, &by_guess));
    if (!by_guess)
      PetscCall(without_exceptions((PetscObject)pc, [&]() {
        learn_solution(*data.system, ksp, x);
        return success;
      }));
    PetscFunctionReturn(success);
  }



  bool
  deflates(const PC pc)
  {
    const auto &data = data_of(pc);
    return data.deflation && !data.stopped;
  }



  void
  stop_deflating(const PC pc)
  {
    data_of(pc).stopped = true;
  }
} // namespace neuraldeal::petsc
