// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "convection_diffusion.h"

#include <deal.II/base/quadrature_lib.h>

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_values.h>
#include <deal.II/fe/mapping_q1.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/sparse_direct.h>

#include <deal.II/numerics/matrix_tools.h>
#include <deal.II/numerics/vector_tools_boundary.h>

#include <cmath>
#include <map>

namespace neuraldeal::performance
{
  using namespace dealii;

  ConvectionDiffusion::ConvectionDiffusion(const unsigned int n_cells)
    : n_cells(n_cells)
    , fe(1)
    , dof_handler(triangulation)
  {
    GridGenerator::subdivided_hyper_cube(triangulation, n_cells);
    dof_handler.distribute_dofs(fe);

    // Along x first, then along y.
    std::vector<Point<2>> points(dof_handler.n_dofs());
    DoFTools::map_dofs_to_support_points(StaticMappingQ1<2>::mapping,
                                         dof_handler,
                                         points);
    std::vector<types::global_dof_index> numbers(points.size());
    for (unsigned int i = 0; i < points.size(); ++i)
      numbers[i] = std::lround(points[i][0] * n_cells) +
                   (n_cells + 1) * std::lround(points[i][1] * n_cells);
    dof_handler.renumber_dofs(numbers);

    DynamicSparsityPattern dynamic_pattern(dof_handler.n_dofs());
    DoFTools::make_sparsity_pattern(dof_handler, dynamic_pattern);
    sparsity_pattern.copy_from(dynamic_pattern);
    mass.reinit(sparsity_pattern);
    for (unsigned int k = 0; k < 2; ++k)
      {
        convection[k].reinit(sparsity_pattern);
        for (unsigned int l = 0; l < 2; ++l)
          stiffness[k][l].reinit(sparsity_pattern);
      }

    const QGauss<2>                      quadrature(2);
    FEValues<2>                          fe_values(fe,
                          quadrature,
                          update_values | update_gradients | update_JxW_values);
    std::vector<types::global_dof_index> dofs(fe.n_dofs_per_cell());
    for (const auto &cell : dof_handler.active_cell_iterators())
      {
        fe_values.reinit(cell);
        cell->get_dof_indices(dofs);
        for (const unsigned int q : fe_values.quadrature_point_indices())
          for (const unsigned int i : fe_values.dof_indices())
            for (const unsigned int j : fe_values.dof_indices())
              {
                const double value =
                  fe_values.shape_value(j, q) * fe_values.JxW(q);
                const auto gradient =
                  fe_values.shape_grad(j, q) * fe_values.JxW(q);
                mass.add(dofs[i], dofs[j], fe_values.shape_value(i, q) * value);
                for (unsigned int k = 0; k < 2; ++k)
                  {
                    const double derivative = fe_values.shape_grad(i, q)[k];
                    convection[k].add(dofs[i], dofs[j], derivative * value);
                    for (unsigned int l = 0; l < 2; ++l)
                      stiffness[k][l].add(dofs[i],
                                          dofs[j],
                                          derivative * gradient[l]);
                  }
              }
      }
  }



  Vector<double>
  ConvectionDiffusion::solve(const double        diffusion,
                             const Tensor<1, 2> &velocity,
                             const Function<2>  &right_hand_side,
                             const Function<2>  &boundary_values) const
  {
    const double speed = velocity.norm(), h = 1. / n_cells;
    double       tau = 0.;
    if (speed > 0.)
      {
        const double peclet = speed * h / (2. * diffusion);
        // (coth P − 1/P cancels where P is small.)
        tau =
          h / (2. * speed) *
          (peclet < 1e-3 ? peclet / 3. : 1. / std::tanh(peclet) - 1. / peclet);
      }

    // Test functions are v + τ b·∇v. Within a cell, Δu is zero.
    SparseMatrix<double> matrix(sparsity_pattern), load(sparsity_pattern);
    load.copy_from(mass);
    for (unsigned int k = 0; k < 2; ++k)
      {
        matrix.add(diffusion, stiffness[k][k]);
        load.add(tau * velocity[k], convection[k]);
        for (unsigned int l = 0; l < 2; ++l)
          matrix.add(tau * velocity[k] * velocity[l], stiffness[k][l]);
      }
    Vector<double> f(dof_handler.n_dofs()), b(dof_handler.n_dofs()),
      u(dof_handler.n_dofs());
    const unsigned int n = n_cells + 1;
    for (unsigned int i = 0; i < f.size(); ++i)
      f(i) = right_hand_side.value(Point<2>((i % n) * h, (i / n) * h));
    load.vmult(b, f);
    // ∫ v b·∇u is the transposed of ∫ b·∇v u.
    for (unsigned int i = 0; i < f.size(); ++i)
      for (auto entry = matrix.begin(i); entry != matrix.end(i); ++entry)
        entry->value() += velocity[0] * convection[0](entry->column(), i) +
                          velocity[1] * convection[1](entry->column(), i);

    std::map<types::global_dof_index, double> values;
    VectorTools::interpolate_boundary_values(
      StaticMappingQ1<2>::mapping, dof_handler, 0, boundary_values, values);
    MatrixTools::apply_boundary_values(values, matrix, u, b);
    SparseDirectUMFPACK inverse;
    inverse.initialize(matrix);
    inverse.vmult(u, b);
    return u;
  }



  Vector<double>
  ConvectionDiffusion::weights() const
  {
    Vector<double> one(dof_handler.n_dofs()), result(dof_handler.n_dofs());
    one = 1.;
    mass.vmult(result, one);
    return result;
  }
} // namespace neuraldeal::performance
