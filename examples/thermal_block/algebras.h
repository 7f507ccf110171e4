// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef thermal_block_algebras_h
#define thermal_block_algebras_h

#include <deal.II/base/index_set.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/petsc_sparse_matrix.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/sparse_matrix.h>
#include <deal.II/lac/sparsity_pattern.h>
#include <deal.II/lac/trilinos_sparse_matrix.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <memory>
#include <string>

/**
 * The three linear algebras that the heat problem can be solved with. Each
 * is a struct of types and of the few calls whose arguments differ between
 * them; the physics in nonlinear_heat.h is written once.
 *
 * `Native` is deal.II's own serial algebra. It serves the coarse meshes,
 * where the overhead of a distributed matrix costs more than the solve.
 */
namespace ThermalBlock::Algebras
{
  using namespace dealii;

  /** How the linear systems of Newton's method are solved. */
  enum class LinearSolver
  {
    direct,
    ilu,
    amg
  };

  /** "direct", "ilu" or "amg", as in the parameter file. */
  LinearSolver
  linear_solver_from_string(const std::string &name);

  /** The inverse of linear_solver_from_string(). */
  std::string
  to_string(const LinearSolver solver);

  /**
   * What every algebra has below: storage, and one class that solves with a
   * matrix, kept between calls so that a preconditioner can be used again.
   */
  template <typename VectorType_, typename MatrixType_>
  struct Algebra
  {
    using VectorType = VectorType_;
    using MatrixType = MatrixType_;

    /**
     * A linear solver together with its preconditioner. GMRES for the
     * Jacobian, which is not symmetric, and CG for the symmetric Riesz map.
     */
    class Inverse
    {
    public:
      virtual ~Inverse() = default;

      /**
       * Solve to the relative residual @p tolerance.
       * @return the number of iterations (one for a direct solver).
       * @throw dealii::SolverControl::NoConvergence
       */
      virtual unsigned int
      solve(VectorType       &solution,
            const VectorType &right_hand_side,
            const double      tolerance) = 0;
    };
  };

  struct Native : Algebra<Vector<double>, SparseMatrix<double>>
  {
    static constexpr const char *name = "native";

    static void
    reinit(VectorType &vector, const IndexSet &owned, const MPI_Comm);

    static void
    reinit_ghosted(VectorType     &vector,
                   const IndexSet &owned,
                   const IndexSet &relevant,
                   const MPI_Comm);

    /** The pattern must outlive the matrix; it is kept in @p pattern. */
    static void
    reinit(MatrixType                   &matrix,
           std::shared_ptr<void>        &pattern,
           const DynamicSparsityPattern &sparsity,
           const IndexSet               &owned,
           const MPI_Comm);

    static std::unique_ptr<Inverse>
    inverse(const MatrixType  &matrix,
            const LinearSolver solver,
            const bool         symmetric);
  };

  struct Trilinos
    : Algebra<TrilinosWrappers::MPI::Vector, TrilinosWrappers::SparseMatrix>
  {
    static constexpr const char *name = "Trilinos";

    static void
    reinit(VectorType     &vector,
           const IndexSet &owned,
           const MPI_Comm  communicator);

    static void
    reinit_ghosted(VectorType     &vector,
                   const IndexSet &owned,
                   const IndexSet &relevant,
                   const MPI_Comm  communicator);

    static void
    reinit(MatrixType                   &matrix,
           std::shared_ptr<void>        &pattern,
           const DynamicSparsityPattern &sparsity,
           const IndexSet               &owned,
           const MPI_Comm                communicator);

    static std::unique_ptr<Inverse>
    inverse(const MatrixType  &matrix,
            const LinearSolver solver,
            const bool         symmetric);
  };

  struct PETSc
    : Algebra<PETScWrappers::MPI::Vector, PETScWrappers::MPI::SparseMatrix>
  {
    static constexpr const char *name = "PETSc";

    static void
    reinit(VectorType     &vector,
           const IndexSet &owned,
           const MPI_Comm  communicator);

    static void
    reinit_ghosted(VectorType     &vector,
                   const IndexSet &owned,
                   const IndexSet &relevant,
                   const MPI_Comm  communicator);

    static void
    reinit(MatrixType                   &matrix,
           std::shared_ptr<void>        &pattern,
           const DynamicSparsityPattern &sparsity,
           const IndexSet               &owned,
           const MPI_Comm                communicator);

    static std::unique_ptr<Inverse>
    inverse(const MatrixType  &matrix,
            const LinearSolver solver,
            const bool         symmetric);
  };
} // namespace ThermalBlock::Algebras

#endif
