// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// Compiled once for all programs that solve the problem: its algebras take
// longer to compile than what is tested with them.

#include "poisson_host.h"

#include <deal.II/base/function.h>
#include <deal.II/base/quadrature_lib.h>

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_values.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/full_matrix.h>
#include <deal.II/lac/precondition.h>
#include <deal.II/lac/solver_cg.h>
#include <deal.II/lac/solver_control.h>
#include <deal.II/lac/sparsity_tools.h>

#include <deal.II/numerics/vector_tools_boundary.h>

namespace PoissonHost
{
  template <typename VectorType>
  Problem<VectorType>::Problem(const MPI_Comm     communicator,
                               const unsigned int n_cells,
                               const bool         corner)
    : communicator(communicator)
    , triangulation(communicator)
    , fe(1)
    , dof_handler(triangulation)
  {
    // As few coarse cells as possible: those are not distributed.
    unsigned int n_coarse = n_cells, n_refinements = 0;
    for (; n_coarse % 2 == 0; n_coarse /= 2)
      ++n_refinements;
    GridGenerator::subdivided_hyper_cube(triangulation, n_coarse);
    triangulation.refine_global(n_refinements);
    if (corner)
      {
        for (const auto &cell : triangulation.active_cell_iterators())
          if (cell->is_locally_owned() && cell->center()[0] < 0.25 &&
              cell->center()[1] < 0.25)
            cell->set_refine_flag();
        triangulation.execute_coarsening_and_refinement();
      }
    dof_handler.distribute_dofs(fe);

    IndexSet relevant;
    DoFTools::extract_locally_relevant_dofs(dof_handler, relevant);
    constraints.reinit(relevant);
    DoFTools::make_hanging_node_constraints(dof_handler, constraints);
    VectorTools::interpolate_boundary_values(dof_handler,
                                             0,
                                             Functions::ZeroFunction<2>(),
                                             constraints);
    constraints.close();

    const IndexSet        &owned = dof_handler.locally_owned_dofs();
    DynamicSparsityPattern sparsity(relevant);
    DoFTools::make_sparsity_pattern(dof_handler, sparsity, constraints, false);
    SparsityTools::distribute_sparsity_pattern(sparsity,
                                               owned,
                                               communicator,
                                               relevant);
    if constexpr (is_serial)
      pattern.copy_from(sparsity);
    for (auto *const m : {&matrix, &riesz_matrix})
      if constexpr (is_serial)
        m->reinit(pattern);
      else
        m->reinit(owned, owned, sparsity, communicator);
    // What is assembled on cells touches entries of other ranks.
    if constexpr (std::is_same_v<VectorType,
                                 LinearAlgebra::distributed::Vector<double>>)
      load.reinit(owned, relevant, communicator);
    else
      reinit(load);
    assemble({1., 1., 1., 1.}, riesz_matrix);
  }


  template <typename VectorType>
  void
  Problem<VectorType>::reinit(VectorType &x) const
  {
    if constexpr (is_serial)
      x.reinit(dof_handler.n_dofs());
    else
      x.reinit(dof_handler.locally_owned_dofs(), communicator);
  }


  template <typename VectorType>
  unsigned int
  Problem<VectorType>::solve(const std::vector<double> &coefficients,
                             VectorType                &x,
                             const unsigned int         max_iterations)
  {
    assemble(coefficients, matrix);
    return invert(matrix, load, x, max_iterations);
  }


  template <typename VectorType>
  void
  Problem<VectorType>::residual(const std::vector<double> &coefficients,
                                const VectorType          &x,
                                VectorType                &result)
  {
    assemble(coefficients, matrix);
    matrix.vmult(result, x);
    result.sadd(-1., 1., load);
    constraints.set_zero(result);
  }


  template <typename VectorType>
  void
  Problem<VectorType>::riesz_solve(const VectorType &functional,
                                   VectorType       &x) const
  {
    x = 0.;
    invert(riesz_matrix, functional, x, 2000);
  }


  template <typename VectorType>
  void
  Problem<VectorType>::assemble(const std::vector<double> &coefficients,
                                MatrixType                &result)
  {
    result = 0.;
    load   = 0.;
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
          const double a = coefficients.at((cell->center()[0] > 0.5) +
                                           2 * (cell->center()[1] > 0.5));
          cell_matrix    = 0.;
          cell_vector    = 0.;
          for (unsigned int q = 0; q < quadrature.size(); ++q)
            for (unsigned int i = 0; i < n; ++i)
              {
                for (unsigned int j = 0; j < n; ++j)
                  cell_matrix(i, j) += a * values.shape_grad(i, q) *
                                       values.shape_grad(j, q) * values.JxW(q);
                cell_vector(i) += values.shape_value(i, q) * values.JxW(q);
              }
          cell->get_dof_indices(indices);
          constraints.distribute_local_to_global(
            cell_matrix, cell_vector, indices, result, load);
        }
    result.compress(VectorOperation::add);
    load.compress(VectorOperation::add);
  }


  template <typename VectorType>
  unsigned int
  Problem<VectorType>::invert(const MatrixType  &what,
                              const VectorType  &right_hand_side,
                              VectorType        &x,
                              const unsigned int max_iterations) const
  {
    SolverControl control(max_iterations,
                          tolerance * right_hand_side.l2_norm());
    SolverCG<VectorType>(control).solve(what,
                                        x,
                                        right_hand_side,
                                        PreconditionIdentity());
    constraints.distribute(x);
    return control.last_step();
  }


  template <typename VectorType>
  Host<VectorType>::Host(const MPI_Comm     communicator,
                         const unsigned int n_cells,
                         const unsigned int n_coarse)
    : fine(communicator, n_cells, true)
    , coarse(MPI_COMM_SELF, n_coarse, false)
    , prolongation(coarse.get_dof_handler(), fine.get_dof_handler())
    , layout(fine.get_dof_handler(), fine.get_constraints())
  {}


  template <typename VectorType>
  neuraldeal::FullOrderModel<VectorType>
  Host<VectorType>::model(const bool can_verify)
  {
    neuraldeal::FullOrderModel<VectorType> result;
    result.reinit_vector = [this](VectorType &x) { fine.reinit(x); };
    result.solve = [this](const neuraldeal::Input &input, VectorType &x) {
      ++n_solves;
      return fine.solve(input, x);
    };
    result.coarse_solve = [this](const neuraldeal::Input &input,
                                 VectorType              &x) {
      Vector<double> u;
      coarse.reinit(u);
      coarse.solve(input, u);
      prolongation.vmult(x, u);
    };
    if (can_verify)
      {
        result.residual    = [this](const neuraldeal::Input &input,
                                 const VectorType        &x,
                                 VectorType &r) { fine.residual(input, x, r); };
        result.riesz_solve = [this](const VectorType &r, VectorType &x) {
          fine.riesz_solve(r, x);
        };
      }
    return result;
  }


  template <typename VectorType>
  neuraldeal::InputDistribution
  Host<VectorType>::inputs()
  {
    neuraldeal::InputDistribution result;
    for (const char *name : {"a0", "a1", "a2", "a3"})
      result.add_log_uniform(name, 0.3, 3.);
    return result;
  }


  template class Problem<Vector<double>>;
  template class Problem<LinearAlgebra::distributed::Vector<double>>;
  template class Problem<PETScWrappers::MPI::Vector>;
  template class Problem<TrilinosWrappers::MPI::Vector>;

  template class Host<Vector<double>>;
  template class Host<LinearAlgebra::distributed::Vector<double>>;
  template class Host<PETScWrappers::MPI::Vector>;
  template class Host<TrilinosWrappers::MPI::Vector>;
} // namespace PoissonHost
