// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "darcy_problem.h"

#include <deal.II/base/quadrature_lib.h>

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_values.h>
#include <deal.II/fe/mapping_q1.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/solver_cg.h>
#include <deal.II/lac/trilinos_precondition.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal::performance
{
  namespace
  {
    using dealii::Vector;

    /** A vector on the vertices as [n + 1, n + 1], in the same memory. */
    torch::Tensor
    as_grid(const Vector<double> &vector)
    {
      const auto n = std::lround(std::sqrt(double(vector.size())));
      return torch::from_blob(const_cast<double *>(vector.begin()),
                              {n, n},
                              torch::kFloat64);
    }



    /** See DarcyProblem::Preconditioner::constant_coefficient. */
    class ConstantCoefficientInverse
    {
    public:
      ConstantCoefficientInverse(const torch::Tensor &sines,
                                 const torch::Tensor &inverse_eigenvalues)
        : sines(sines)
        , inverse_eigenvalues(inverse_eigenvalues)
      {}

      void
      vmult(Vector<double> &destination, const Vector<double> &source) const
      {
        const auto n        = sines.size(0);
        const auto interior = [n](const Vector<double> &vector) {
          return as_grid(vector).narrow(0, 1, n).narrow(1, 1, n);
        };
        // The equations of the boundary are u = 0, uncoupled.
        destination = source;
        auto modes  = torch::mm(torch::mm(sines, interior(source)), sines);
        modes.mul_(inverse_eigenvalues);
        interior(destination).copy_(torch::mm(torch::mm(sines, modes), sines));
      }

    private:
      const torch::Tensor &sines, &inverse_eigenvalues;
    };
  } // namespace



  DarcyProblem::DarcyProblem(const unsigned int n_cells)
    : n_cells(n_cells)
    , fe(1)
    , dof_handler(triangulation)
  {
    set_up();
  }



  void
  DarcyProblem::set_up()
  {
    using namespace dealii;
    GridGenerator::subdivided_hyper_cube(triangulation, n_cells);
    dof_handler.distribute_dofs(fe);

    // Along x first, so that a vector is a matrix of values at the vertices.
    std::vector<Point<2>> points(dof_handler.n_dofs());
    DoFTools::map_dofs_to_support_points(StaticMappingQ1<2>::mapping,
                                         dof_handler,
                                         points);
    std::vector<types::global_dof_index> numbers(points.size());
    for (unsigned int i = 0; i < points.size(); ++i)
      {
        const auto column = std::lround(points[i][0] * n_cells),
                   row    = std::lround(points[i][1] * n_cells);
        numbers[i]        = row * (n_cells + 1) + column;
        if (std::min(row, column) == 0 || std::max(row, column) == n_cells)
          boundary.push_back(numbers[i]);
      }
    dof_handler.renumber_dofs(numbers);

    DynamicSparsityPattern dynamic_pattern(dof_handler.n_dofs());
    DoFTools::make_sparsity_pattern(dof_handler, dynamic_pattern);
    sparsity_pattern.copy_from(dynamic_pattern);
    system_matrix.reinit(sparsity_pattern);
    right_hand_side.reinit(dof_handler.n_dofs());

    // On squares the gradients' products do not depend on the size of a
    // cell, so that one matrix serves all.
    const QGauss<2> quadrature(2);
    FEValues<2>     fe_values(fe,
                          quadrature,
                          update_values | update_gradients | update_JxW_values);
    fe_values.reinit(dof_handler.begin_active());
    std::array<double, 4> cell_vector{};
    cell_matrix.fill(0.);
    for (const unsigned int q : fe_values.quadrature_point_indices())
      for (const unsigned int i : fe_values.dof_indices())
        {
          cell_vector[i] += fe_values.shape_value(i, q) * fe_values.JxW(q);
          for (const unsigned int j : fe_values.dof_indices())
            cell_matrix[4 * i + j] += fe_values.shape_grad(i, q) *
                                      fe_values.shape_grad(j, q) *
                                      fe_values.JxW(q);
        }

    places.resize(triangulation.n_active_cells());
    std::vector<types::global_dof_index> dofs(4);
    for (const auto &cell : dof_handler.active_cell_iterators())
      {
        const auto center = cell->center();
        auto      &place =
          places[static_cast<unsigned int>(center[1] * n_cells) * n_cells +
                 static_cast<unsigned int>(center[0] * n_cells)];
        cell->get_dof_indices(dofs);
        for (unsigned int i = 0; i < 4; ++i)
          {
            right_hand_side(dofs[i]) += cell_vector[i];
            for (unsigned int j = 0; j < 4; ++j)
              place[4 * i + j] = sparsity_pattern(dofs[i], dofs[j]);
          }
      }
    for (const auto dof : boundary)
      right_hand_side(dof) = 0.;

    // Sines diagonalise the mass and the stiffness matrix of an interval,
    // M and K; the matrix for a = 1 is K ⊗ M + M ⊗ K.
    const int    n  = n_cells - 1;
    const double pi = std::acos(-1.), h = 1. / n_cells;
    const auto   index = torch::arange(1, n + 1, torch::kFloat64);
    sines = std::sqrt(2. * h) * (torch::outer(index, index) * (pi * h)).sin();
    const auto cosines   = (index * (pi * h)).cos();
    const auto stiffness = (2. - 2. * cosines) / h,
               mass      = (4. + 2. * cosines) * (h / 6.);
    inverse_eigenvalues =
      (torch::outer(stiffness, mass) + torch::outer(mass, stiffness))
        .reciprocal();
  }



  void
  DarcyProblem::assemble(const torch::Tensor &coefficient)
  {
    AssertThrow(coefficient.dim() == 2 && coefficient.size(0) == n_cells &&
                  coefficient.size(1) == n_cells,
                dealii::ExcDimensionMismatch(coefficient.numel(),
                                             std::size_t(n_cells) * n_cells));
    const auto values = coefficient.to(torch::kFloat64).contiguous();
    const auto a      = values.data_ptr<double>();
    using Iterator    = dealii::SparseMatrix<double>::iterator;

    system_matrix = 0.;
    for (std::size_t cell = 0; cell < places.size(); ++cell)
      for (unsigned int k = 0; k < 16; ++k)
        Iterator(&system_matrix, places[cell][k])->value() +=
          a[cell] * cell_matrix[k];

    // The boundary values are zero: no equation needs them.
    for (const unsigned int dof : boundary)
      for (auto entry = system_matrix.begin(dof);
           entry != system_matrix.end(dof);
           ++entry)
        {
          const auto other = entry->column();
          if (other == dof)
            entry->value() = 1.;
          else
            {
              entry->value() = 0.;
              system_matrix.set(other, dof, 0.);
            }
        }
  }



  torch::Tensor
  DarcyProblem::solve(const torch::Tensor &coefficient,
                      const Preconditioner preconditioner)
  {
    using namespace dealii;
    assemble(coefficient);

    Vector<double> solution(dof_handler.n_dofs());
    SolverControl  control(max_iterations, 1e-10 * right_hand_side.l2_norm());
    SolverCG<Vector<double>> solver(control);
    iterations = max_iterations;
    if (preconditioner == Preconditioner::constant_coefficient)
      solver.solve(system_matrix,
                   solution,
                   right_hand_side,
                   ConstantCoefficientInverse(sines, inverse_eigenvalues));
    else
      {
        TrilinosWrappers::PreconditionAMG multigrid;
        multigrid.initialize(system_matrix);
        solver.solve(system_matrix, solution, right_hand_side, multigrid);
      }
    iterations = control.last_step();
    return as_grid(solution).clone();
  }
} // namespace neuraldeal::performance
