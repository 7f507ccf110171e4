// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "elasticity_problem.h"

#include <deal.II/base/quadrature_lib.h>

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/fe_values.h>
#include <deal.II/fe/mapping_q_cache.h>

#include <deal.II/lac/affine_constraints.h>
#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/full_matrix.h>
#include <deal.II/lac/sparse_direct.h>
#include <deal.II/lac/sparse_matrix.h>
#include <deal.II/lac/vector.h>

#include <cmath>

namespace neuraldeal::performance
{
  using namespace dealii;

  ElasticityProblem::ElasticityProblem(const ElasticityMesh &mesh)
    : mesh(mesh)
    , fe(FE_Q<2>(mesh.degree), 2)
    , dof_handler(triangulation)
  {
    AssertThrow(mesh.n_angles % 4 == 0 && mesh.n_layers > 0 &&
                  (mesh.degree == 1 || mesh.degree == 2),
                ExcMessage("The corners of the square have to be vertices, and "
                           "the degree 1 or 2."));

    // The triangulation around a circle: which cells there are and what
    // touches what. Where they are is said by a mapping, for each hole anew.
    const ElasticityHole     circle;
    const ElasticityMesh     vertices = {mesh.n_angles, mesh.n_layers, 1};
    std::vector<Point<2>>    points;
    std::vector<CellData<2>> cells;
    SubCellData              boundary;
    const auto vertex = [&](const unsigned int i, const unsigned int j) {
      return i * mesh.n_angles + j % mesh.n_angles;
    };
    for (unsigned int i = 0; i < vertices.n_layer_nodes(); ++i)
      for (unsigned int j = 0; j < mesh.n_angles; ++j)
        {
          const auto at =
            circle.point(4. * j / mesh.n_angles, double(i) / mesh.n_layers);
          points.emplace_back(at[0], at[1]);
        }
    for (unsigned int i = 0; i < mesh.n_layers; ++i)
      for (unsigned int j = 0; j < mesh.n_angles; ++j)
        {
          CellData<2> cell;
          cell.vertices = {vertex(i, j),
                           vertex(i + 1, j),
                           vertex(i, j + 1),
                           vertex(i + 1, j + 1)};
          cells.push_back(cell);
        }
    for (unsigned int j = 0; j < mesh.n_angles; ++j)
      for (const bool outer : {false, true})
        {
          const unsigned int i = outer ? mesh.n_layers : 0;
          CellData<1>        line;
          line.vertices    = {vertex(i, j), vertex(i, j + 1)};
          line.boundary_id = outer ? 4 * j / mesh.n_angles : hole;
          boundary.boundary_lines.push_back(line);
        }
    triangulation.create_triangulation(points, cells, boundary);
    dof_handler.distribute_dofs(fe);

    // Cells keep the order that they were given in, and their axes.
    const unsigned int degree  = mesh.degree;
    const auto        &support = fe.base_element(0).get_unit_support_points();
    dofs.resize(2 * mesh.n_layer_nodes() * mesh.n_angle_nodes());
    std::vector<types::global_dof_index> cell_dofs(fe.n_dofs_per_cell());
    for (const auto &cell : dof_handler.active_cell_iterators())
      {
        const unsigned int index = cell->active_cell_index(),
                           i = index / mesh.n_angles, j = index % mesh.n_angles;
        AssertThrow(cell->vertex_index(0) == vertex(i, j) &&
                      cell->vertex_index(1) == vertex(i + 1, j),
                    ExcInternalError());
        cell_nodes.emplace_back();
        for (const auto &p : support)
          cell_nodes.back().push_back(
            {i * degree + static_cast<unsigned int>(std::lround(p[0] * degree)),
             (j * degree +
              static_cast<unsigned int>(std::lround(p[1] * degree))) %
               mesh.n_angle_nodes()});
        cell->get_dof_indices(cell_dofs);
        for (unsigned int k = 0; k < cell_dofs.size(); ++k)
          {
            const auto [component, number] = fe.system_to_component_index(k);
            const auto &node               = cell_nodes.back()[number];
            dofs[(component * mesh.n_layer_nodes() + node.layer) *
                   mesh.n_angle_nodes() +
                 node.angle]               = cell_dofs[k];
          }
      }

    DynamicSparsityPattern pattern(dof_handler.n_dofs());
    DoFTools::make_sparsity_pattern(dof_handler, pattern);
    sparsity_pattern.copy_from(pattern);
  }



  ElasticityProblem::Loads::Vector
  ElasticityProblem::benchmark_traction(const Boundary boundary)
  {
    Loads::Vector result;
    result[1] = boundary == top ? 1. : 0.;
    return result;
  }



  Point<2>
  ElasticityProblem::place(const ElasticityHole &shape, const Node &node) const
  {
    const auto at =
      shape.point(4. * node.angle / mesh.n_angle_nodes(),
                  double(node.layer) / (mesh.n_layer_nodes() - 1));
    return Point<2>(at[0], at[1]);
  }



  torch::Tensor
  ElasticityProblem::nodes(const ElasticityHole &shape) const
  {
    auto result = torch::empty({2, mesh.n_layer_nodes(), mesh.n_angle_nodes()},
                               torch::kFloat64);
    auto values = result.accessor<double, 3>();
    for (unsigned int i = 0; i < mesh.n_layer_nodes(); ++i)
      for (unsigned int j = 0; j < mesh.n_angle_nodes(); ++j)
        {
          const auto at   = place(shape, {i, j});
          values[0][i][j] = at[0];
          values[1][i][j] = at[1];
        }
    return result;
  }



  torch::Tensor
  ElasticityProblem::solve(const ElasticityHole &shape, const Loads &loads)
  {
    MappingQCache<2> mapping(mesh.degree);
    mapping.initialize(triangulation,
                       [&](const Triangulation<2>::cell_iterator &cell) {
                         std::vector<Point<2>> points;
                         for (const auto &node :
                              cell_nodes[cell->active_cell_index()])
                           points.push_back(place(shape, node));
                         return points;
                       });

    AffineConstraints<double> constraints;
    const unsigned int        n = mesh.n_angle_nodes();
    for (unsigned int j = 3 * n / 4; j <= n; ++j)
      {
        const Node node{mesh.n_layer_nodes() - 1, j % n};
        const auto value =
          loads.clamped ? loads.clamped(place(shape, node)) : Loads::Vector();
        for (unsigned int component = 0; component < 2; ++component)
          {
            constraints.add_line(dof(component, node));
            constraints.set_inhomogeneity(dof(component, node),
                                          value[component]);
          }
      }
    constraints.close();

    SparseMatrix<double>                 matrix(sparsity_pattern);
    Vector<double>                       right_hand_side(dof_handler.n_dofs());
    FEValues<2>                          fe_values(mapping,
                          fe,
                          QGauss<2>(mesh.degree + 1),
                          update_values | update_gradients |
                            update_quadrature_points | update_JxW_values);
    FEFaceValues<2>                      face_values(mapping,
                                fe,
                                QGauss<1>(mesh.degree + 1),
                                update_values | update_normal_vectors |
                                  update_quadrature_points | update_JxW_values);
    const unsigned int                   n_dofs = fe.n_dofs_per_cell();
    FullMatrix<double>                   cell_matrix(n_dofs, n_dofs);
    Vector<double>                       cell_vector(n_dofs);
    std::vector<types::global_dof_index> cell_dofs(n_dofs);
    std::vector<unsigned int>            component(n_dofs);
    for (unsigned int i = 0; i < n_dofs; ++i)
      component[i] = fe.system_to_component_index(i).first;

    for (const auto &cell : dof_handler.active_cell_iterators())
      {
        fe_values.reinit(cell);
        cell_matrix = 0.;
        cell_vector = 0.;
        for (const unsigned int q : fe_values.quadrature_point_indices())
          {
            const double JxW = fe_values.JxW(q);
            for (unsigned int i = 0; i < n_dofs; ++i)
              {
                // shape functions have one component that is not zero
                const auto         gradient_i = fe_values.shape_grad(i, q);
                const unsigned int a          = component[i];
                for (unsigned int j = 0; j <= i; ++j)
                  {
                    const auto         gradient_j = fe_values.shape_grad(j, q);
                    const unsigned int b          = component[j];
                    double value = lambda * gradient_i[a] * gradient_j[b] +
                                   mu * gradient_i[b] * gradient_j[a];
                    if (a == b)
                      value += mu * (gradient_i * gradient_j);
                    cell_matrix(i, j) += value * JxW;
                  }
              }
            if (loads.body_force)
              {
                const auto force =
                  loads.body_force(fe_values.quadrature_point(q));
                for (unsigned int i = 0; i < n_dofs; ++i)
                  cell_vector(i) +=
                    force[component[i]] * fe_values.shape_value(i, q) * JxW;
              }
          }
        for (unsigned int i = 0; i < n_dofs; ++i)
          for (unsigned int j = i + 1; j < n_dofs; ++j)
            cell_matrix(i, j) = cell_matrix(j, i);

        for (const auto &face : cell->face_iterators())
          if (face->at_boundary() && face->boundary_id() != bottom)
            {
              const auto boundary = static_cast<Boundary>(face->boundary_id());
              face_values.reinit(cell, face);
              for (const unsigned int q :
                   face_values.quadrature_point_indices())
                {
                  const auto traction =
                    loads.traction ?
                      loads.traction(boundary,
                                     face_values.quadrature_point(q),
                                     face_values.normal_vector(q)) :
                      benchmark_traction(boundary);
                  for (unsigned int i = 0; i < n_dofs; ++i)
                    cell_vector(i) += traction[component[i]] *
                                      face_values.shape_value(i, q) *
                                      face_values.JxW(q);
                }
            }
        cell->get_dof_indices(cell_dofs);
        constraints.distribute_local_to_global(
          cell_matrix, cell_vector, cell_dofs, matrix, right_hand_side);
      }

    SparseDirectUMFPACK inverse;
    inverse.initialize(matrix);
    Vector<double> solution(dof_handler.n_dofs());
    inverse.vmult(solution, right_hand_side);
    constraints.distribute(solution);

    auto result = torch::empty({2, mesh.n_layer_nodes(), n}, torch::kFloat64);
    const auto values = result.data_ptr<double>();
    for (std::size_t i = 0; i < dofs.size(); ++i)
      values[i] = solution(dofs[i]);
    return result;
  }
} // namespace neuraldeal::performance
