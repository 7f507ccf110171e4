// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "nonlinear_heat.h"

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_values.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/full_matrix.h>
#include <deal.II/lac/sparsity_tools.h>

#include <deal.II/numerics/vector_tools_boundary.h>

namespace ThermalBlock
{
  template <int dim, typename LA>
  NonlinearHeat<dim, LA>::NonlinearHeat(const MPI_Comm           communicator,
                                        const Conductivity<dim> &conductivity,
                                        const AdditionalData    &data)
    : communicator(communicator)
    , conductivity(conductivity)
    , data(data)
    , triangulation(communicator)
    , fe(1)
    , quadrature(2)
    , face_quadrature(2)
    , dof_handler(triangulation)
  {
    make_mesh();
    setup_system();
  }



  template <int dim, typename LA>
  void
  NonlinearHeat<dim, LA>::make_mesh()
  {
    // As few coarse cells as possible: refinement is what p4est distributes.
    unsigned int coarse_cells = data.cells, refinements = 0;
    while (coarse_cells % 2 == 0)
      {
        coarse_cells /= 2;
        ++refinements;
      }
    GridGenerator::subdivided_hyper_cube(
      triangulation, coarse_cells, 0., 1., true);
    triangulation.refine_global(refinements);
  }



  template <int dim, typename LA>
  void
  NonlinearHeat<dim, LA>::setup_system()
  {
    dof_handler.distribute_dofs(fe);
    locally_owned = dof_handler.locally_owned_dofs();
    DoFTools::extract_locally_relevant_dofs(dof_handler, locally_relevant);

    constraints.reinit(locally_relevant);
    VectorTools::interpolate_boundary_values(dof_handler,
                                             2 * dim - 2,
                                             Functions::ZeroFunction<dim>(),
                                             constraints);
    constraints.close();

    reinit_matrix(jacobian, jacobian_pattern);
    LA::reinit_ghosted(relevant_temperature,
                       locally_owned,
                       locally_relevant,
                       communicator);

    // The load is the flux through the top alone: the residual at zero.
    cell_conductivity.assign(triangulation.n_active_cells(), 1.);
    VectorType zero, load;
    reinit_vector(zero);
    reinit_vector(load);
    assemble(zero, load, nullptr);
    load_norm = load.l2_norm();
  }



  template <int dim, typename LA>
  void
  NonlinearHeat<dim, LA>::reinit_vector(VectorType &vector) const
  {
    LA::reinit(vector, locally_owned, communicator);
  }



  template <int dim, typename LA>
  void
  NonlinearHeat<dim, LA>::reinit_matrix(MatrixType            &matrix,
                                        std::shared_ptr<void> &pattern) const
  {
    DynamicSparsityPattern sparsity(locally_relevant);
    DoFTools::make_sparsity_pattern(dof_handler, sparsity, constraints, false);
    // Rows that this rank adds to but does not own go to their owners.
    SparsityTools::distribute_sparsity_pattern(sparsity,
                                               locally_owned,
                                               communicator,
                                               locally_relevant);
    LA::reinit(matrix, pattern, sparsity, locally_owned, communicator);
  }



  template <int dim, typename LA>
  void
  NonlinearHeat<dim, LA>::set_input(const std::vector<double> &input)
  {
    AssertDimension(input.size(), conductivity.n_parameters() + 2);
    for (const auto &cell : triangulation.active_cell_iterators())
      if (cell->is_locally_owned())
        cell_conductivity[cell->active_cell_index()] =
          conductivity.value(input, cell->center());
    beta = input[input.size() - 2];
    film = input[input.size() - 1];
  }



  template <int dim, typename LA>
  void
  NonlinearHeat<dim, LA>::assemble(const VectorType &temperature,
                                   VectorType       &residual,
                                   MatrixType       *jacobian)
  {
    relevant_temperature = temperature;
    residual             = 0;
    if (jacobian)
      *jacobian = 0;

    FEValues<dim>     fe_values(fe,
                            quadrature,
                            update_gradients | update_JxW_values);
    FEFaceValues<dim> fe_face_values(fe,
                                     face_quadrature,
                                     update_values | update_JxW_values);

    const unsigned int n_dofs = fe.n_dofs_per_cell();
    const unsigned int n_q    = quadrature.size();

    // The shape functions' values are the same in every cell.
    FullMatrix<double> shape(n_q, n_dofs);
    for (unsigned int q = 0; q < n_q; ++q)
      for (unsigned int i = 0; i < n_dofs; ++i)
        shape(q, i) = fe.shape_value(i, quadrature.point(q));

    FullMatrix<double>                   cell_matrix(n_dofs, n_dofs);
    Vector<double>                       cell_residual(n_dofs);
    std::vector<types::global_dof_index> dofs(n_dofs);
    std::vector<double>                  values(n_dofs);
    std::vector<Tensor<1, dim>>          gradients(n_dofs);

    for (const auto &cell : dof_handler.active_cell_iterators())
      if (cell->is_locally_owned())
        {
          fe_values.reinit(cell);
          cell->get_dof_indices(dofs);
          for (unsigned int i = 0; i < n_dofs; ++i)
            values[i] = relevant_temperature(dofs[i]);
          cell_matrix   = 0;
          cell_residual = 0;

          const double kappa = cell_conductivity[cell->active_cell_index()];
          for (unsigned int q = 0; q < n_q; ++q)
            {
              double         T = 0;
              Tensor<1, dim> gradient;
              for (unsigned int i = 0; i < n_dofs; ++i)
                {
                  gradients[i] = fe_values.shape_grad(i, q);
                  T += values[i] * shape(q, i);
                  gradient += values[i] * gradients[i];
                }
              const double diffusion =
                kappa * (1. + beta * T * T) * fe_values.JxW(q);
              for (unsigned int i = 0; i < n_dofs; ++i)
                cell_residual(i) -= diffusion * (gradients[i] * gradient);

              if (jacobian)
                {
                  // The derivative of the diffusion adds a convective term,
                  // and makes the Jacobian unsymmetric.
                  const Tensor<1, dim> drift =
                    (2. * kappa * beta * T * fe_values.JxW(q)) * gradient;
                  for (unsigned int i = 0; i < n_dofs; ++i)
                    {
                      const double         convection = gradients[i] * drift;
                      const Tensor<1, dim> flux = diffusion * gradients[i];
                      for (unsigned int j = 0; j < n_dofs; ++j)
                        cell_matrix(i, j) +=
                          flux * gradients[j] + convection * shape(q, j);
                    }
                }
            }

          if (cell->at_boundary())
            for (const unsigned int f : cell->face_indices())
              if (cell->face(f)->at_boundary() &&
                  cell->face(f)->boundary_id() != 2 * dim - 2)
                {
                  const bool top =
                    (cell->face(f)->boundary_id() == 2 * dim - 1);
                  fe_face_values.reinit(cell, f);
                  for (unsigned int q = 0; q < face_quadrature.size(); ++q)
                    {
                      double T = 0;
                      for (unsigned int i = 0; i < n_dofs; ++i)
                        T += values[i] * fe_face_values.shape_value(i, q);
                      const double JxW  = fe_face_values.JxW(q);
                      const double flux = (top ? 1. : -film * T) * JxW;
                      for (unsigned int i = 0; i < n_dofs; ++i)
                        cell_residual(i) +=
                          flux * fe_face_values.shape_value(i, q);
                      if (jacobian && !top)
                        for (unsigned int i = 0; i < n_dofs; ++i)
                          for (unsigned int j = 0; j < n_dofs; ++j)
                            cell_matrix(i, j) +=
                              film * fe_face_values.shape_value(i, q) *
                              fe_face_values.shape_value(j, q) * JxW;
                    }
                }

          if (jacobian)
            constraints.distribute_local_to_global(
              cell_matrix, cell_residual, dofs, *jacobian, residual);
          else
            constraints.distribute_local_to_global(cell_residual,
                                                   dofs,
                                                   residual);
        }

    residual.compress(VectorOperation::add);
    if (jacobian)
      jacobian->compress(VectorOperation::add);
  }



  template <int dim, typename LA>
  typename NonlinearHeat<dim, LA>::Statistics
  NonlinearHeat<dim, LA>::solve(const std::vector<double> &input,
                                VectorType                &solution)
  {
    set_input(input);
    // An initial guess has to satisfy the boundary values: every Newton
    // update then leaves them alone.
    constraints.set_zero(solution);

    VectorType current_residual, update;
    reinit_vector(current_residual);
    reinit_vector(update);

    Statistics statistics;
    while (true)
      {
        // The residual alone costs a third of a Jacobian, so it is looked at
        // first.
        assemble(solution, current_residual, nullptr);
        const double norm = current_residual.l2_norm();
        if (norm <= data.newton_tolerance * load_norm)
          return statistics;
        AssertThrow(statistics.newton_steps < data.max_newton_steps &&
                      numbers::is_finite(norm),
                    ExcNewtonNotConverged(statistics.newton_steps,
                                          norm / load_norm));

        assemble(solution, current_residual, &jacobian);
        update = 0;
        statistics.linear_iterations +=
          LA::inverse(jacobian, data.linear_solver, false)
            ->solve(update, current_residual, data.linear_tolerance);
        constraints.set_zero(update);
        solution += update;
        ++statistics.newton_steps;
      }
  }



  template <int dim, typename LA>
  void
  NonlinearHeat<dim, LA>::residual(const std::vector<double> &input,
                                   const VectorType          &candidate,
                                   VectorType                &result)
  {
    set_input(input);
    assemble(candidate, result, nullptr);
  }



  template <int dim, typename LA>
  void
  NonlinearHeat<dim, LA>::assemble_riesz_map()
  {
    reinit_matrix(riesz_matrix, riesz_pattern);

    // At T = 0 the Jacobian is the symmetric operator that is wanted; κ = 1
    // and the geometric mean of the film coefficients stand in for the
    // parameters.
    std::fill(cell_conductivity.begin(), cell_conductivity.end(), 1.);
    beta = 0;
    film = std::sqrt(0.1);
    VectorType zero, unused;
    reinit_vector(zero);
    reinit_vector(unused);
    assemble(zero, unused, &riesz_matrix);
    riesz_inverse = LA::inverse(riesz_matrix, data.linear_solver, true);
  }



  template <int dim, typename LA>
  unsigned int
  NonlinearHeat<dim, LA>::riesz_solve(const VectorType &functional,
                                      VectorType       &representative,
                                      const double      tolerance)
  {
    if (!riesz_inverse)
      assemble_riesz_map();
    representative = 0;
    return riesz_inverse->solve(representative, functional, tolerance);
  }



  template class NonlinearHeat<2, Algebras::Native>;
  template class NonlinearHeat<2, Algebras::Trilinos>;
  template class NonlinearHeat<2, Algebras::PETSc>;
  template class NonlinearHeat<3, Algebras::Native>;
  template class NonlinearHeat<3, Algebras::Trilinos>;
  template class NonlinearHeat<3, Algebras::PETSc>;
} // namespace ThermalBlock
