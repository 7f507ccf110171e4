// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_plugin_poisson_h
#define neuraldeal_tests_plugin_poisson_h

#include <deal.II/base/function.h>
#include <deal.II/base/index_set.h>
#include <deal.II/base/quadrature_lib.h>
#include <deal.II/base/tensor.h>

#include <deal.II/distributed/tria.h>

#include <deal.II/dofs/dof_handler.h>
#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/fe_values.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/affine_constraints.h>
#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_sparse_matrix.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/solver_cg.h>
#include <deal.II/lac/solver_control.h>
#include <deal.II/lac/sparse_matrix.h>
#include <deal.II/lac/sparsity_pattern.h>
#include <deal.II/lac/sparsity_tools.h>
#include <deal.II/lac/trilinos_sparse_matrix.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <deal.II/numerics/vector_tools.h>

#include <gtest/gtest.h>
#include <neuraldeal/coupling/compat.h>

#include <array>
#include <cmath>
#include <type_traits>

/**
 * The problem that the tests of the solver interface solve again and again:
 * −∇·(a ∇u) + β·∇u = 1 on the unit square, u = 0 on its boundary, linear
 * elements, hanging nodes, with a constant coefficient a on each quarter of
 * the square. In all linear algebras.
 */
namespace Poisson
{
  using namespace dealii;

  template <typename VectorType>
  constexpr bool is_serial = std::is_same_v<VectorType, Vector<double>>;

  template <typename VectorType>
  constexpr bool is_distributed =
    std::is_same_v<VectorType, LinearAlgebra::distributed::Vector<double>>;

  /** The matrix that goes with a vector. */
  template <typename VectorType>
  using MatrixFor = std::conditional_t<
    is_serial<VectorType>,
    SparseMatrix<double>,
    std::conditional_t<std::is_same_v<VectorType, PETScWrappers::MPI::Vector>,
                       PETScWrappers::MPI::SparseMatrix,
                       TrilinosWrappers::SparseMatrix>>;

  /** One over the diagonal of a matrix, for any algebra. */
  template <typename VectorType>
  class Jacobi
  {
  public:
    template <typename MatrixType>
    Jacobi(const MatrixType &matrix, const VectorType &x)
      : inverse(x)
    {
      for (const auto i : x.locally_owned_elements())
        inverse(i) = 1. / matrix.diag_element(i);
      inverse.compress(VectorOperation::insert);
    }

    void
    vmult(VectorType &dst, const VectorType &src) const
    {
      dst = src;
      dst.scale(inverse);
    }

  private:
    VectorType inverse;
  };

  template <typename VectorType>
  class Problem
  {
  public:
    using MatrixType = MatrixFor<VectorType>;

    const MPI_Comm communicator;

    MatrixType matrix;
    VectorType right_hand_side;

    /** On a mesh of 2^n_refinements squares each way, and a finer corner. */
    Problem(const unsigned int n_refinements,
            const MPI_Comm     communicator = is_serial<VectorType> ?
                                                MPI_COMM_SELF :
                                                MPI_COMM_WORLD)
      : communicator(communicator)
      , triangulation(communicator)
      , fe(1)
      , dof_handler(triangulation)
    {
      GridGenerator::hyper_cube(triangulation);
      triangulation.refine_global(n_refinements);
      for (const auto &cell : triangulation.active_cell_iterators())
        if (cell->is_locally_owned() && cell->center()[0] < 0.25 &&
            cell->center()[1] < 0.25)
          cell->set_refine_flag();
      triangulation.execute_coarsening_and_refinement();

      dof_handler.distribute_dofs(fe);
      const IndexSet relevant =
        DoFTools::extract_locally_relevant_dofs(dof_handler);
      constraints.reinit(relevant);
      DoFTools::make_hanging_node_constraints(dof_handler, constraints);
      VectorTools::interpolate_boundary_values(dof_handler,
                                               0,
                                               Functions::ZeroFunction<2>(),
                                               constraints);
      constraints.close();

      const IndexSet        &owned = dof_handler.locally_owned_dofs();
      DynamicSparsityPattern sparsity(relevant);
      DoFTools::make_sparsity_pattern(dof_handler,
                                      sparsity,
                                      constraints,
                                      false);
      SparsityTools::distribute_sparsity_pattern(sparsity,
                                                 owned,
                                                 communicator,
                                                 relevant);
      if constexpr (is_serial<VectorType>)
        {
          pattern.copy_from(sparsity);
          matrix.reinit(pattern);
        }
      else
        matrix.reinit(owned, owned, sparsity, communicator);
      reinit(right_hand_side);
    }

    /** A vector of zeros. */
    void
    reinit(VectorType &x) const
    {
      if constexpr (is_serial<VectorType>)
        x.reinit(dof_handler.n_dofs());
      else
        x.reinit(dof_handler.locally_owned_dofs(), communicator);
    }

    /** The matrix for the logarithms of a on the quarters, and for β. */
    void
    assemble(const std::array<double, 4> &logarithms,
             const Tensor<1, 2>          &velocity = Tensor<1, 2>())
    {
      matrix = 0.;
      // Only with ghost entries does a vector of deal.II's own take entries
      // for other processes.
      VectorType load;
      if constexpr (is_distributed<VectorType>)
        load.reinit(dof_handler.locally_owned_dofs(),
                    constraints.get_local_lines(),
                    communicator);
      else
        reinit(load);
      const QGauss<2>                      quadrature(2);
      FEValues<2>                          values(fe,
                         quadrature,
                         update_values | update_gradients | update_JxW_values);
      const unsigned int                   n = fe.n_dofs_per_cell();
      FullMatrix<double>                   cell_matrix(n, n);
      Vector<double>                       cell_vector(n);
      std::vector<types::global_dof_index> indices(n);
      for (const auto &cell : dof_handler.active_cell_iterators())
        if (cell->is_locally_owned())
          {
            values.reinit(cell);
            const double a =
              std::exp(logarithms[(cell->center()[0] > 0.5) +
                                  2 * (cell->center()[1] > 0.5)]);
            cell_matrix = 0.;
            cell_vector = 0.;
            for (unsigned int q = 0; q < quadrature.size(); ++q)
              for (unsigned int i = 0; i < n; ++i)
                {
                  for (unsigned int j = 0; j < n; ++j)
                    cell_matrix(i, j) +=
                      (a * values.shape_grad(i, q) * values.shape_grad(j, q) +
                       values.shape_value(i, q) *
                         (velocity * values.shape_grad(j, q))) *
                      values.JxW(q);
                  cell_vector(i) += values.shape_value(i, q) * values.JxW(q);
                }
            cell->get_dof_indices(indices);
            constraints.distribute_local_to_global(
              cell_matrix, cell_vector, indices, matrix, load);
          }
      matrix.compress(VectorOperation::add);
      load.compress(VectorOperation::add);
      if constexpr (is_distributed<VectorType>)
        right_hand_side.copy_locally_owned_data_from(load);
      else
        right_hand_side = load;
    }

    /** Of sample number @p i of a sequence without a pattern. */
    static std::array<double, 4>
    logarithms(const unsigned int i)
    {
      std::array<double, 4> result;
      for (unsigned int k = 0; k < 4; ++k)
        result[k] =
          3. * (std::fmod(0.5 + i * std::sqrt(2. + 3. * k), 1.) - 0.5);
      return result;
    }

    /** Of step number @p i of one that changes slowly. */
    static std::array<double, 4>
    path(const unsigned int i)
    {
      std::array<double, 4> result;
      for (unsigned int k = 0; k < 4; ++k)
        result[k] = std::sin(0.05 * i * (k + 1) + k);
      return result;
    }

    /** The tolerance that all solvers are given. */
    double
    tolerance() const
    {
      return 1e-9 * right_hand_side.l2_norm();
    }

    /** Iterations of CG from the start @p x, which becomes the solution. */
    unsigned int
    solve_cg(VectorType &x) const
    {
      SolverControl control(10000, tolerance());
      SolverCG<VectorType>(control).solve(matrix,
                                          x,
                                          right_hand_side,
                                          Jacobi<VectorType>(matrix, x));
      return control.last_step();
    }

    double
    residual_norm(const VectorType &x) const
    {
      VectorType residual(x);
      matrix.vmult(residual, x);
      residual.sadd(-1., 1., right_hand_side);
      return residual.l2_norm();
    }

    /** ‖x − y‖ / ‖y‖ */
    static double
    distance(const VectorType &x, const VectorType &y)
    {
      VectorType difference(x);
      difference.add(-1., y);
      return difference.l2_norm() / y.l2_norm();
    }

  protected:
    parallel::distributed::Triangulation<2> triangulation;
    const FE_Q<2>                           fe;
    DoFHandler<2>                           dof_handler;
    AffineConstraints<double>               constraints;
    SparsityPattern                         pattern;
  };

  /** Whether this is the process that prints figures. */
  inline bool
  is_root()
  {
    return Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) == 0;
  }
} // namespace Poisson

#endif
