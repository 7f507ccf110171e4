// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "burgers_problem.h"

#include <deal.II/base/quadrature_lib.h>

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_values.h>
#include <deal.II/fe/mapping_q1.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/full_matrix.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal::performance
{
  namespace
  {
    using dealii::Vector;

    constexpr unsigned int n_stages = 4;

    /** The coefficient of all implicit stages themselves. */
    constexpr double diagonal = 0.5;

    /** The lower triangle of the implicit method; stages count from 1. */
    constexpr double implicit_weights[n_stages][n_stages] = {
      {0.5, 0., 0., 0.},
      {1. / 6., 0.5, 0., 0.},
      {-0.5, 0.5, 0.5, 0.},
      {1.5, -1.5, 0.5, 0.5}};

    /** The same of the explicit one, whose stages begin with the old values. */
    constexpr double explicit_weights[n_stages][n_stages] = {
      {0.5, 0., 0., 0.},
      {11. / 18., 1. / 18., 0., 0.},
      {5. / 6., -5. / 6., 0.5, 0.},
      {0.25, 1.75, 0.75, -1.75}};
  } // namespace



  BurgersProblem::BurgersProblem(const unsigned int n_cells,
                                 const double       viscosity)
    : n_cells(n_cells)
    , viscosity(viscosity)
    , fe(2)
    , dof_handler(triangulation)
  {
    set_up();
  }



  void
  BurgersProblem::set_up()
  {
    using namespace dealii;
    GridGenerator::subdivided_hyper_cube(triangulation, n_cells);
    dof_handler.distribute_dofs(fe);

    // Along x, so that a vector is a row of values in the nodes. The last
    // node is the first one once more.
    std::vector<Point<1>> points(dof_handler.n_dofs());
    DoFTools::map_dofs_to_support_points(StaticMappingQ1<1>::mapping,
                                         dof_handler,
                                         points);
    std::vector<types::global_dof_index> numbers(points.size());
    for (unsigned int i = 0; i < points.size(); ++i)
      numbers[i] = std::lround(points[i][0] * 2 * n_cells);
    dof_handler.renumber_dofs(numbers);
    const unsigned int last = 2 * n_cells;
    constraints.add_line(last);
    constraints.add_entry(last, 0, 1.);
    constraints.close();

    DynamicSparsityPattern dynamic_pattern(dof_handler.n_dofs());
    DoFTools::make_sparsity_pattern(dof_handler, dynamic_pattern, constraints);
    sparsity_pattern.copy_from(dynamic_pattern);
    mass_matrix.reinit(sparsity_pattern);
    stiffness_matrix.reinit(sparsity_pattern);
    system_matrix.reinit(sparsity_pattern);

    // Of degree 5: exact for u² times a derivative.
    const QGauss<1>                      quadrature(3);
    FEValues<1>                          fe_values(fe,
                          quadrature,
                          update_values | update_gradients | update_JxW_values);
    FullMatrix<double>                   cell_mass(3, 3), cell_stiffness(3, 3);
    std::vector<types::global_dof_index> dofs(3);
    for (const auto &cell : dof_handler.active_cell_iterators())
      {
        fe_values.reinit(cell);
        cell_mass      = 0.;
        cell_stiffness = 0.;
        for (const unsigned int q : fe_values.quadrature_point_indices())
          for (const unsigned int i : fe_values.dof_indices())
            for (const unsigned int j : fe_values.dof_indices())
              {
                cell_mass(i, j) += fe_values.shape_value(i, q) *
                                   fe_values.shape_value(j, q) *
                                   fe_values.JxW(q);
                cell_stiffness(i, j) += fe_values.shape_grad(i, q) *
                                        fe_values.shape_grad(j, q) *
                                        fe_values.JxW(q);
              }
        cell->get_dof_indices(dofs);
        constraints.distribute_local_to_global(cell_mass, dofs, mass_matrix);
        constraints.distribute_local_to_global(cell_stiffness,
                                               dofs,
                                               stiffness_matrix);
        std::array<unsigned int, 3> unknown;
        for (unsigned int i = 0; i < 3; ++i)
          unknown[i] = dofs[i] % last;
        unknowns.push_back(unknown);

        // The size of a cell cancels: the same in all.
        if (shapes.empty())
          for (const unsigned int q : fe_values.quadrature_point_indices())
            {
              shapes.emplace_back();
              for (const unsigned int i : fe_values.dof_indices())
                {
                  shapes[q].values[i] = fe_values.shape_value(i, q);
                  shapes[q].weighted_derivatives[i] =
                    fe_values.shape_grad(i, q)[0] * fe_values.JxW(q);
                }
            }
      }
  }



  void
  BurgersProblem::convection(const Vector<double> &u,
                             Vector<double>       &result) const
  {
    result = 0.;
    for (const auto &unknown : unknowns)
      for (const auto &shape : shapes)
        {
          double value = 0.;
          for (unsigned int i = 0; i < 3; ++i)
            value += shape.values[i] * u(unknown[i]);
          for (unsigned int i = 0; i < 3; ++i)
            result(unknown[i]) +=
              0.5 * value * value * shape.weighted_derivatives[i];
        }
  }



  unsigned int
  BurgersProblem::recommended_steps(const torch::Tensor &initial,
                                    const double         interval) const
  {
    const double speed = initial.abs().max().item<double>();
    return std::max(std::ceil(200. * interval),
                    std::ceil(interval * speed * 4. * n_cells));
  }



  torch::Tensor
  BurgersProblem::solve(const torch::Tensor &initial,
                        const unsigned int   n_outputs,
                        const double         interval,
                        unsigned int         n_steps)
  {
    using namespace dealii;
    const unsigned int n = 2 * n_cells;
    AssertThrow(initial.dim() == 1 && initial.size(0) == n,
                ExcDimensionMismatch(initial.numel(), n));
    if (n_steps == 0)
      n_steps = recommended_steps(initial, interval);
    const double step = interval / n_steps;

    system_matrix.copy_from(mass_matrix);
    system_matrix.add(diagonal * step * viscosity, stiffness_matrix);
    SparseDirectUMFPACK inverse;
    inverse.initialize(system_matrix);

    Vector<double> u(n + 1), old(n + 1), right_hand_side(n + 1);
    std::array<Vector<double>, n_stages> convections, diffusions;
    for (auto &vector : convections)
      vector.reinit(n + 1);
    for (auto &vector : diffusions)
      vector.reinit(n + 1);
    const auto start = initial.to(torch::kFloat64).contiguous();
    std::copy_n(start.data_ptr<double>(), n, u.begin());

    auto result =
      torch::empty({std::int64_t(n_outputs), std::int64_t(n)}, torch::kFloat64);
    for (unsigned int output = 0; output < n_outputs; ++output)
      {
        for (unsigned int k = 0; k < n_steps; ++k)
          {
            mass_matrix.vmult(old, u);
            for (unsigned int stage = 0; stage < n_stages; ++stage)
              {
                convection(u, convections[stage]);
                right_hand_side = old;
                for (unsigned int i = 0; i <= stage; ++i)
                  right_hand_side.add(step * explicit_weights[stage][i],
                                      convections[i]);
                for (unsigned int i = 0; i < stage; ++i)
                  right_hand_side.add(-step * viscosity *
                                        implicit_weights[stage][i],
                                      diffusions[i]);
                inverse.vmult(u, right_hand_side);
                // The last stage is the new solution.
                if (stage + 1 < n_stages)
                  stiffness_matrix.vmult(diffusions[stage], u);
              }
          }
        std::copy_n(u.begin(),
                    n,
                    result.data_ptr<double>() + std::size_t(output) * n);
      }
    return result;
  }



  double
  BurgersProblem::mass(const torch::Tensor &u) const
  {
    const auto     values = u.to(torch::kFloat64).contiguous();
    Vector<double> vector(2 * n_cells + 1), product(2 * n_cells + 1);
    std::copy_n(values.data_ptr<double>(), 2 * n_cells, vector.begin());
    mass_matrix.vmult(product, vector);
    // The row of the last node is that of a constraint.
    double sum = 0.;
    for (unsigned int i = 0; i < 2 * n_cells; ++i)
      sum += product(i);
    return sum;
  }
} // namespace neuraldeal::performance
