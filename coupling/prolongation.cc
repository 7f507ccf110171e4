// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/mapping_q1.h>

#include <deal.II/grid/grid_tools.h>
#include <deal.II/grid/grid_tools_cache.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>

#include <neuraldeal/coupling/prolongation.h>
#include <neuraldeal/coupling/vector_access.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace neuraldeal
{
  using namespace dealii;

  template <int dim>
  Prolongation<dim>::Prolongation(const DoFHandler<dim> &coarse,
                                  const DoFHandler<dim> &fine)
  {
    const MappingQ1<dim>        mapping;
    const GridTools::Cache<dim> cache(coarse.get_triangulation(), mapping);
    const IndexSet              owned = fine.locally_owned_dofs();
    std::map<types::global_dof_index, Point<dim>> points;
    DoFTools::map_dofs_to_support_points(mapping, fine, points);

    // The component of every fine degree of freedom.
    std::vector<unsigned int>            component(owned.n_elements(), 0);
    std::vector<types::global_dof_index> dofs(fine.get_fe().n_dofs_per_cell());
    if (fine.get_fe().n_components() > 1)
      for (const auto &cell : fine.active_cell_iterators())
        if (cell->is_locally_owned())
          {
            cell->get_dof_indices(dofs);
            for (unsigned int i = 0; i < dofs.size(); ++i)
              if (owned.is_element(dofs[i]))
                component[owned.index_within_set(dofs[i])] =
                  fine.get_fe().system_to_component_index(i).first;
          }

    struct Entry
    {
      unsigned int            row;
      types::global_dof_index column;
      double                  weight;
    };
    std::vector<Entry> entries;
    const auto        &fe   = coarse.get_fe();
    auto               hint = coarse.get_triangulation().begin_active();
    dofs.resize(fe.n_dofs_per_cell());
    for (unsigned int row = 0; row < owned.n_elements(); ++row)
      {
        const auto [cell, unit_point] =
          GridTools::find_active_cell_around_point(
            cache, points.at(owned.nth_index_in_set(row)), hint);
        AssertThrow(cell != coarse.get_triangulation().end(),
                    ExcMessage("A point of the fine mesh lies outside the "
                               "coarse one."));
        hint = cell;
        const typename DoFHandler<dim>::active_cell_iterator dof_cell(
          &coarse.get_triangulation(), cell->level(), cell->index(), &coarse);
        dof_cell->get_dof_indices(dofs);
        for (unsigned int i = 0; i < dofs.size(); ++i)
          {
            const double weight =
              fe.shape_value_component(i,
                                       GeometryInfo<dim>::project_to_unit_cell(
                                         unit_point),
                                       component[row]);
            if (std::abs(weight) > 1e-12)
              entries.push_back({row, dofs[i], weight});
          }
      }

    // A rank may have no cells of the fine mesh, and a matrix has rows.
    interpolated.reinit(owned.n_elements());
    if (owned.n_elements() == 0)
      return;
    DynamicSparsityPattern dynamic(owned.n_elements(), coarse.n_dofs());
    for (const auto &entry : entries)
      dynamic.add(entry.row, entry.column);
    sparsity.copy_from(dynamic);
    matrix.reinit(sparsity);
    for (const auto &entry : entries)
      matrix.set(entry.row, entry.column, entry.weight);
  }



  template <int dim>
  template <typename VectorType>
  void
  Prolongation<dim>::vmult(VectorType &fine, const Vector<double> &coarse) const
  {
    if (interpolated.size() > 0)
      matrix.vmult(interpolated, coarse);
    write_local(fine, [this](double *values) {
      std::copy(interpolated.begin(), interpolated.end(), values);
    });
  }



#define NEURALDEAL_INSTANTIATE(dim, VectorType)                                \
  template void Prolongation<dim>::vmult(VectorType &, const Vector<double> &) \
    const;

#define NEURALDEAL_INSTANTIATE_DIMENSION(dim)                             \
  template class Prolongation<dim>;                                       \
  NEURALDEAL_INSTANTIATE(dim, Vector<double>)                             \
  NEURALDEAL_INSTANTIATE(dim, LinearAlgebra::distributed::Vector<double>) \
  NEURALDEAL_INSTANTIATE(dim, TrilinosWrappers::MPI::Vector)              \
  NEURALDEAL_INSTANTIATE(dim, PETScWrappers::MPI::Vector)

  NEURALDEAL_INSTANTIATE_DIMENSION(2)
  NEURALDEAL_INSTANTIATE_DIMENSION(3)
} // namespace neuraldeal
