// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "algebras.h"

#include <deal.II/lac/petsc_precondition.h>
#include <deal.II/lac/petsc_solver.h>
#include <deal.II/lac/solver_cg.h>
#include <deal.II/lac/solver_gmres.h>
#include <deal.II/lac/sparse_direct.h>
#include <deal.II/lac/sparse_ilu.h>
#include <deal.II/lac/trilinos_precondition.h>
#include <deal.II/lac/trilinos_solver.h>

namespace ThermalBlock::Algebras
{
  namespace
  {
    constexpr unsigned int max_iterations = 500;

    /** AMG for the scalar elliptic operators of heat conduction. */
    TrilinosWrappers::PreconditionAMG::AdditionalData
    amg_data(const bool symmetric)
    {
      TrilinosWrappers::PreconditionAMG::AdditionalData data;
      data.elliptic              = symmetric;
      data.higher_order_elements = false;
      data.n_cycles              = 1;
      data.aggregation_threshold = 0.02;
      data.smoother_sweeps       = symmetric ? 2 : 1;
      return data;
    }



    /**
     * GMRES or CG of deal.II around a preconditioner; the vectors decide
     * whether that runs serially or over MPI.
     */
    template <typename LA, typename Preconditioner>
    class Iterative : public LA::Inverse
    {
    public:
      using VectorType = typename LA::VectorType;
      using MatrixType = typename LA::MatrixType;

      Iterative(const MatrixType &matrix, const bool symmetric)
        : matrix(matrix)
        , symmetric(symmetric)
      {}

      unsigned int
      solve(VectorType       &solution,
            const VectorType &right_hand_side,
            const double      tolerance) override
      {
        SolverControl control(max_iterations,
                              tolerance * right_hand_side.l2_norm());
        if (symmetric)
          SolverCG<VectorType>(control).solve(matrix,
                                              solution,
                                              right_hand_side,
                                              preconditioner);
        else
          {
            // Right preconditioning: the residual that is tested is the
            // true one.
            typename SolverGMRES<VectorType>::AdditionalData data;
            data.right_preconditioning = true;
            SolverGMRES<VectorType>(control, data)
              .solve(matrix, solution, right_hand_side, preconditioner);
          }
        return control.last_step();
      }

      const MatrixType &matrix;
      const bool        symmetric;
      Preconditioner    preconditioner;
    };



    class NativeDirect : public Native::Inverse
    {
    public:
      explicit NativeDirect(const Native::MatrixType &matrix)
      {
        factorisation.initialize(matrix);
      }

      unsigned int
      solve(Vector<double>       &solution,
            const Vector<double> &right_hand_side,
            const double) override
      {
        factorisation.vmult(solution, right_hand_side);
        return 1;
      }

    private:
      SparseDirectUMFPACK factorisation;
    };



    class TrilinosDirect : public Trilinos::Inverse
    {
    public:
      explicit TrilinosDirect(const Trilinos::MatrixType &matrix)
        : factorisation(control)
      {
        factorisation.initialize(matrix);
      }

      unsigned int
      solve(Trilinos::VectorType       &solution,
            const Trilinos::VectorType &right_hand_side,
            const double) override
      {
        factorisation.solve(solution, right_hand_side);
        return 1;
      }

    private:
      SolverControl                  control;
      TrilinosWrappers::SolverDirect factorisation;
    };



    class PETScDirect : public PETSc::Inverse
    {
    public:
      explicit PETScDirect(const PETSc::MatrixType &matrix)
        : matrix(matrix)
        , factorisation(control, matrix.get_mpi_communicator())
      {}

      unsigned int
      solve(PETSc::VectorType       &solution,
            const PETSc::VectorType &right_hand_side,
            const double) override
      {
        factorisation.solve(matrix, solution, right_hand_side);
        return 1;
      }

    private:
      const PETSc::MatrixType         &matrix;
      SolverControl                    control;
      PETScWrappers::SparseDirectMUMPS factorisation;
    };
  } // namespace



  LinearSolver
  linear_solver_from_string(const std::string &name)
  {
    if (name == "direct")
      return LinearSolver::direct;
    if (name == "ilu")
      return LinearSolver::ilu;
    AssertThrow(name == "amg",
                ExcMessage("There is no linear solver '" + name +
                           "'; valid are direct, ilu and amg."));
    return LinearSolver::amg;
  }



  std::string
  to_string(const LinearSolver solver)
  {
    switch (solver)
      {
        case LinearSolver::direct:
          return "direct";
        case LinearSolver::ilu:
          return "ilu";
        default:
          return "amg";
      }
  }



  void
  Native::reinit(VectorType &vector, const IndexSet &owned, const MPI_Comm)
  {
    vector.reinit(owned.size());
  }



  void
  Native::reinit_ghosted(VectorType     &vector,
                         const IndexSet &owned,
                         const IndexSet &,
                         const MPI_Comm)
  {
    vector.reinit(owned.size());
  }



  void
  Native::reinit(MatrixType                   &matrix,
                 std::shared_ptr<void>        &pattern,
                 const DynamicSparsityPattern &sparsity,
                 const IndexSet &,
                 const MPI_Comm)
  {
    auto stored = std::make_shared<SparsityPattern>();
    stored->copy_from(sparsity);
    matrix.reinit(*stored);
    pattern = stored;
  }



  std::unique_ptr<Native::Inverse>
  Native::inverse(const MatrixType  &matrix,
                  const LinearSolver solver,
                  const bool         symmetric)
  {
    switch (solver)
      {
        case LinearSolver::direct:
          return std::make_unique<NativeDirect>(matrix);
        case LinearSolver::ilu:
          {
            auto inverse =
              std::make_unique<Iterative<Native, SparseILU<double>>>(matrix,
                                                                     symmetric);
            inverse->preconditioner.initialize(matrix);
            return inverse;
          }
        default:
          {
            auto inverse = std::make_unique<
              Iterative<Native, TrilinosWrappers::PreconditionAMG>>(matrix,
                                                                    symmetric);
            inverse->preconditioner.initialize(matrix, amg_data(symmetric));
            return inverse;
          }
      }
  }



  void
  Trilinos::reinit(VectorType     &vector,
                   const IndexSet &owned,
                   const MPI_Comm  communicator)
  {
    vector.reinit(owned, communicator);
  }



  void
  Trilinos::reinit_ghosted(VectorType     &vector,
                           const IndexSet &owned,
                           const IndexSet &relevant,
                           const MPI_Comm  communicator)
  {
    vector.reinit(owned, relevant, communicator);
  }



  void
  Trilinos::reinit(MatrixType &matrix,
                   std::shared_ptr<void> &,
                   const DynamicSparsityPattern &sparsity,
                   const IndexSet               &owned,
                   const MPI_Comm                communicator)
  {
    matrix.reinit(owned, owned, sparsity, communicator);
  }



  std::unique_ptr<Trilinos::Inverse>
  Trilinos::inverse(const MatrixType  &matrix,
                    const LinearSolver solver,
                    const bool         symmetric)
  {
    switch (solver)
      {
        case LinearSolver::direct:
          return std::make_unique<TrilinosDirect>(matrix);
        case LinearSolver::ilu:
          {
            auto inverse = std::make_unique<
              Iterative<Trilinos, TrilinosWrappers::PreconditionILU>>(
              matrix, symmetric);
            inverse->preconditioner.initialize(matrix);
            return inverse;
          }
        default:
          {
            auto inverse = std::make_unique<
              Iterative<Trilinos, TrilinosWrappers::PreconditionAMG>>(
              matrix, symmetric);
            inverse->preconditioner.initialize(matrix, amg_data(symmetric));
            return inverse;
          }
      }
  }



  void
  PETSc::reinit(VectorType     &vector,
                const IndexSet &owned,
                const MPI_Comm  communicator)
  {
    vector.reinit(owned, communicator);
  }



  void
  PETSc::reinit_ghosted(VectorType     &vector,
                        const IndexSet &owned,
                        const IndexSet &relevant,
                        const MPI_Comm  communicator)
  {
    vector.reinit(owned, relevant, communicator);
  }



  void
  PETSc::reinit(MatrixType &matrix,
                std::shared_ptr<void> &,
                const DynamicSparsityPattern &sparsity,
                const IndexSet               &owned,
                const MPI_Comm                communicator)
  {
    matrix.reinit(owned, owned, sparsity, communicator);
  }



  std::unique_ptr<PETSc::Inverse>
  PETSc::inverse(const MatrixType  &matrix,
                 const LinearSolver solver,
                 const bool         symmetric)
  {
    switch (solver)
      {
        case LinearSolver::direct:
          return std::make_unique<PETScDirect>(matrix);
        case LinearSolver::ilu:
          {
            auto inverse = std::make_unique<
              Iterative<PETSc, PETScWrappers::PreconditionBlockJacobi>>(
              matrix, symmetric);
            inverse->preconditioner.initialize(matrix);
            return inverse;
          }
        default:
          {
            auto inverse = std::make_unique<
              Iterative<PETSc, PETScWrappers::PreconditionBoomerAMG>>(
              matrix, symmetric);
            PETScWrappers::PreconditionBoomerAMG::AdditionalData data;
            data.symmetric_operator = symmetric;
            inverse->preconditioner.initialize(matrix, data);
            return inverse;
          }
      }
  }
} // namespace ThermalBlock::Algebras
