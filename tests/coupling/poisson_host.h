// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_coupling_poisson_host_h
#define neuraldeal_tests_coupling_poisson_host_h

#include <deal.II/distributed/tria.h>

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/fe/fe_q.h>

#include <deal.II/lac/affine_constraints.h>
#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_sparse_matrix.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/sparse_matrix.h>
#include <deal.II/lac/trilinos_sparse_matrix.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/full_order_model.h>
#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/coupling/prolongation.h>

#include <type_traits>
#include <vector>

/**
 * A small host program: −∇·(a ∇u) = 1 on the unit square, u = 0 on its
 * boundary, with a constant coefficient a on each quarter of the square,
 * linear elements, hanging nodes, conjugate gradients. In all algebras, on
 * any communicator.
 */
namespace PoissonHost
{
  using namespace dealii;

  /** The relative residual that its linear solver stops at. */
  constexpr double tolerance = 1e-10;

  template <typename VectorType>
  class Problem
  {
  public:
    static constexpr bool is_serial =
      std::is_same_v<VectorType, Vector<double>>;

    using MatrixType = std::conditional_t<
      is_serial,
      SparseMatrix<double>,
      std::conditional_t<std::is_same_v<VectorType, PETScWrappers::MPI::Vector>,
                         PETScWrappers::MPI::SparseMatrix,
                         TrilinosWrappers::SparseMatrix>>;

    /** On @p n_cells squares each way, and with @p corner a finer corner. */
    Problem(const MPI_Comm     communicator,
            const unsigned int n_cells,
            const bool         corner);

    void
    reinit(VectorType &x) const;

    /** Iterations from the start @p x, which becomes the solution. */
    unsigned int
    solve(const std::vector<double> &coefficients,
          VectorType                &x,
          const unsigned int         max_iterations = 2000);

    /** Load minus what @p x balances. */
    void
    residual(const std::vector<double> &coefficients,
             const VectorType          &x,
             VectorType                &result);

    /** The inverse of the Laplacian with a = 1. */
    void
    riesz_solve(const VectorType &functional, VectorType &x) const;

    const DoFHandler<2> &
    get_dof_handler() const
    {
      return dof_handler;
    }

    const AffineConstraints<double> &
    get_constraints() const
    {
      return constraints;
    }

  private:
    void
    assemble(const std::vector<double> &coefficients, MatrixType &result);

    unsigned int
    invert(const MatrixType  &what,
           const VectorType  &right_hand_side,
           VectorType        &x,
           const unsigned int max_iterations) const;

    const MPI_Comm                          communicator;
    parallel::distributed::Triangulation<2> triangulation;
    const FE_Q<2>                           fe;
    DoFHandler<2>                           dof_handler;
    AffineConstraints<double>               constraints;
    SparsityPattern                         pattern;
    MatrixType                              matrix, riesz_matrix;
    VectorType                              load;
  };



  /** The problem on a fine mesh, with a coarse one as its prior. */
  template <typename VectorType>
  class Host
  {
  public:
    explicit Host(const MPI_Comm     communicator,
                  const unsigned int n_cells  = 8,
                  const unsigned int n_coarse = 3);

    /** Its functions; they refer to this object. */
    neuraldeal::FullOrderModel<VectorType>
    model(const bool can_verify = false);

    /** Its input: the four coefficients. */
    static neuraldeal::InputDistribution
    inputs();

    Problem<VectorType>         fine;
    Problem<Vector<double>>     coarse;
    neuraldeal::Prolongation<2> prolongation;
    neuraldeal::FieldLayout     layout;

    /** Calls of the model's solve() on this rank. */
    unsigned int n_solves = 0;
  };
} // namespace PoissonHost

#endif
