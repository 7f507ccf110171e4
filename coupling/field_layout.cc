// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/quadrature_lib.h>

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_values.h>
#include <deal.II/fe/mapping_q1.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/full_matrix.h>
#include <deal.II/lac/sparsity_tools.h>

#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/parallel_file.h>
#include <neuraldeal/coupling/vector_access.h>
#include <neuraldeal/surrogates/file_tools.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace neuraldeal
{
  namespace
  {
    using namespace dealii;

    /**
     * The locally owned cells along p4est's curve, which is the order of
     * their names: the number of a coarse cell in a CellId is that of its
     * tree in p4est, not its index in the triangulation.
     */
    template <int dim>
    std::vector<typename DoFHandler<dim>::active_cell_iterator>
    cells_in_canonical_order(const DoFHandler<dim> &dof_handler)
    {
      using Cell = typename DoFHandler<dim>::active_cell_iterator;
      std::vector<std::pair<CellId, Cell>> named;
      for (const auto &cell : dof_handler.active_cell_iterators())
        if (cell->is_locally_owned())
          named.push_back({cell->id(), cell});
      std::sort(named.begin(), named.end(), [](const auto &a, const auto &b) {
        return a.first < b.first;
      });
      std::vector<Cell> cells;
      for (const auto &entry : named)
        cells.push_back(entry.second);
      return cells;
    }



    /** The L² inner product, constrained values included. */
    template <int dim>
    void
    assemble_mass(const DoFHandler<dim>          &dof_handler,
                  const Mapping<dim>             &mapping,
                  const IndexSet                 &owned,
                  const IndexSet                 &relevant,
                  const MPI_Comm                  communicator,
                  TrilinosWrappers::SparseMatrix &mass)
    {
      const auto            &fe = dof_handler.get_fe();
      DynamicSparsityPattern sparsity(relevant);
      DoFTools::make_sparsity_pattern(dof_handler, sparsity);
      SparsityTools::distribute_sparsity_pattern(sparsity,
                                                 owned,
                                                 communicator,
                                                 relevant);
      mass.reinit(owned, owned, sparsity, communicator);

      const QGauss<dim>                    quadrature(fe.degree + 1);
      FEValues<dim>                        values(mapping,
                           fe,
                           quadrature,
                           update_values | update_JxW_values);
      const unsigned int                   n_dofs = fe.n_dofs_per_cell();
      FullMatrix<double>                   cell_matrix(n_dofs, n_dofs);
      std::vector<types::global_dof_index> dofs(n_dofs);
      for (const auto &cell : dof_handler.active_cell_iterators())
        if (cell->is_locally_owned())
          {
            values.reinit(cell);
            cell_matrix = 0;
            for (unsigned int q = 0; q < quadrature.size(); ++q)
              for (unsigned int i = 0; i < n_dofs; ++i)
                for (unsigned int j = 0; j < n_dofs; ++j)
                  for (unsigned int c = 0; c < fe.n_components(); ++c)
                    cell_matrix(i, j) += values.shape_value_component(i, q, c) *
                                         values.shape_value_component(j, q, c) *
                                         values.JxW(q);
            cell->get_dof_indices(dofs);
            mass.add(dofs, cell_matrix);
          }
      mass.compress(VectorOperation::add);
    }
  } // namespace



  template <int dim>
  FieldLayout::FieldLayout(
    const DoFHandler<dim>                     &dof_handler,
    const AffineConstraints<double>           &constraints,
    const std::vector<GeometricSymmetry<dim>> &symmetries)
    : FieldLayout(dof_handler, MappingQ1<dim>(), constraints, symmetries)
  {}



  template <int dim>
  FieldLayout::FieldLayout(
    const DoFHandler<dim>                     &dof_handler,
    const Mapping<dim>                        &mapping,
    const AffineConstraints<double>           &constraints,
    const std::vector<GeometricSymmetry<dim>> &symmetries)
    : mpi_communicator(compat::communicator(dof_handler))
    , n_global(dof_handler.n_dofs())
    , spacedim(dim)
    , constraints(&constraints)
    , owned(dof_handler.locally_owned_dofs())
  {
    AssertThrow(dof_handler.get_fe().has_support_points(),
                ExcMessage("The element " + dof_handler.get_fe().get_name() +
                           " has no support points; fields of Lagrange "
                           "elements can be learned."));
    AssertThrow(owned.is_ascending_and_one_to_one(mpi_communicator),
                ExcMessage("The numbers of a rank's degrees of freedom do not "
                           "follow each other, as after "
                           "DoFRenumbering::component_wise() on several "
                           "ranks; fields in the numbering of "
                           "DoFHandler::distribute_dofs() can be learned."));
    IndexSet relevant;
    DoFTools::extract_locally_relevant_dofs(dof_handler, relevant);

    // A rank's values are those of its cells that no lower rank has: p4est
    // gives lower ranks the earlier cells, and deal.II the shared degrees of
    // freedom to the lowest rank.
    const types::global_dof_index begin =
      owned.n_elements() > 0 ? owned.nth_index_in_set(0) : 0;
    first = begin;
    std::vector<bool>                    seen(owned.n_elements(), false);
    std::vector<types::global_dof_index> dofs(
      dof_handler.get_fe().n_dofs_per_cell());
    canonical.reinit(owned, relevant, mpi_communicator);
    for (const auto &cell : cells_in_canonical_order(dof_handler))
      {
        cell->get_dof_indices(dofs);
        for (const auto dof : dofs)
          if (owned.is_element(dof) && !seen[dof - begin])
            {
              seen[dof - begin] = true;
              canonical(dof)    = first + local_index.size();
              local_index.push_back(dof - begin);
            }
      }
    AssertThrow(local_index.size() == owned.n_elements(), ExcInternalError());
    canonical.update_ghost_values();

    std::map<types::global_dof_index, Point<dim>> support_points;
    DoFTools::map_dofs_to_support_points(mapping, dof_handler, support_points);
    std::uint64_t local_hash = 0;
    for (unsigned int i = 0; i < local_index.size(); ++i)
      {
        std::array<std::int64_t, dim + 1> key;
        key[dim] = first + i;
        for (unsigned int d = 0; d < dim; ++d)
          {
            points.push_back(support_points[begin + local_index[i]][d]);
            key[d] = std::llround(points.back() * 1e9);
          }
        local_hash += fnv1a(key.data(), sizeof(key));
      }
    // The sum does not depend on who adds what.
    MPI_Allreduce(
      &local_hash, &points_hash, 1, MPI_UINT64_T, MPI_SUM, mpi_communicator);
    const auto name = dof_handler.get_fe().get_name();
    points_hash     = fnv1a(name.data(), name.size(), points_hash);

    assemble_mass(
      dof_handler, mapping, owned, relevant, mpi_communicator, mass);

    AssertThrow(symmetries.empty() || dof_handler.get_fe().n_components() == 1,
                ExcNotImplemented("Symmetries of vector-valued fields"));
    for (const auto &symmetry : symmetries)
      {
        symmetry_matrices.emplace_back();
        for (unsigned int i = 0; i < dim; ++i)
          for (unsigned int j = 0; j < dim; ++j)
            symmetry_matrices.back().push_back(symmetry.matrix[i][j]);
        symmetry_offsets.emplace_back(symmetry.offset.begin_raw(),
                                      symmetry.offset.end_raw());
        symmetry_parameters.emplace_back(symmetry.parameters.begin(),
                                         symmetry.parameters.end());
      }
  }



  template <typename VectorType>
  torch::Tensor
  FieldLayout::to_tensor(const VectorType &field) const
  {
    auto          tensor = torch::empty({n_local_values()}, torch::kFloat64);
    double *const values = tensor.data_ptr<double>();
    read_local(field, [&](const double *local) {
      for (std::size_t i = 0; i < local_index.size(); ++i)
        values[i] = local[local_index[i]];
    });
    return tensor;
  }



  template <typename VectorType>
  void
  FieldLayout::from_tensor(const torch::Tensor &tensor, VectorType &field) const
  {
    AssertDimension(tensor.numel(), n_local_values());
    const auto    contiguous = tensor.to(torch::kFloat64).contiguous();
    const double *values     = contiguous.template data_ptr<double>();
    write_local(field, [&](double *local) {
      for (std::size_t i = 0; i < local_index.size(); ++i)
        local[local_index[i]] = values[i];
    });
    constraints->distribute(field);
  }



  template <typename VectorType>
  double
  FieldLayout::norm(const VectorType &field) const
  {
    TrilinosWrappers::MPI::Vector x(owned, mpi_communicator),
      product(owned, mpi_communicator);
    read_local(field, [&](const double *values) {
      std::copy(values, values + owned.n_elements(), x.begin());
    });
    mass.vmult(product, x);
    // Rounding may make it negative, but what is no number stays none.
    const double square = x * product;
    return square < 0. ? 0. : std::sqrt(square);
  }



  torch::Tensor
  FieldLayout::apply_mass(const torch::Tensor &values) const
  {
    TrilinosWrappers::MPI::Vector x(owned, mpi_communicator),
      product(owned, mpi_communicator);
    AssertDimension(values.numel(), n_local_values());
    const auto          contiguous = values.to(torch::kFloat64).contiguous();
    const double *const from       = contiguous.data_ptr<double>();
    for (std::size_t i = 0; i < local_index.size(); ++i)
      x.begin()[local_index[i]] = from[i];
    mass.vmult(product, x);
    return to_tensor(product);
  }



  void
  FieldLayout::write(const std::string              &filename,
                     const std::string              &problem,
                     const std::vector<std::string> &parameter_names) const
  {
    const std::size_t n_parameters = parameter_names.size();

    // This rank's rows of the mass matrix, in canonical numbers. (Each of
    // deal.II's iterators over a row clears an array as long as the matrix.)
    std::vector<std::int64_t> rows, columns;
    std::vector<double>       values;
    const Epetra_CrsMatrix   &matrix = mass.trilinos_matrix();
    for (int row = 0; row < matrix.NumMyRows(); ++row)
      {
        int       n_in_row = 0, *local_columns = nullptr;
        double   *entries = nullptr;
        const int error =
          matrix.ExtractMyRowView(row, n_in_row, entries, local_columns);
        AssertThrow(error == 0, ExcTrilinosError(error));
        rows.insert(rows.end(),
                    n_in_row,
                    std::llround(canonical(matrix.GRID64(row))));
        values.insert(values.end(), entries, entries + n_in_row);
        for (int k = 0; k < n_in_row; ++k)
          columns.push_back(
            std::llround(canonical(matrix.GCID64(local_columns[k]))));
      }
    const std::uint64_t n_entries = values.size();
    std::uint64_t       end = 0, total = 0;
    MPI_Scan(&n_entries, &end, 1, MPI_UINT64_T, MPI_SUM, mpi_communicator);
    MPI_Allreduce(
      &n_entries, &total, 1, MPI_UINT64_T, MPI_SUM, mpi_communicator);
    const std::uint64_t begin = end - n_entries;

    // Coordinate by coordinate, so that the ranks' parts are columns.
    std::vector<double> coordinates;
    for (unsigned int d = 0; d < spacedim; ++d)
      for (std::size_t i = 0; i < local_index.size(); ++i)
        coordinates.push_back(points[i * spacedim + d]);

    std::vector<double> matrices, offsets;
    for (unsigned int i = 0; i < spacedim; ++i)
      for (unsigned int j = 0; j < spacedim; ++j)
        matrices.push_back(i == j);
    offsets.resize(spacedim, 0.);
    std::vector<std::int64_t> permutations(n_parameters);
    std::iota(permutations.begin(), permutations.end(), 0);
    for (std::size_t g = 0; g < symmetry_matrices.size(); ++g)
      {
        AssertDimension(symmetry_parameters[g].size(), n_parameters);
        matrices.insert(matrices.end(),
                        symmetry_matrices[g].begin(),
                        symmetry_matrices[g].end());
        offsets.insert(offsets.end(),
                       symmetry_offsets[g].begin(),
                       symmetry_offsets[g].end());
        permutations.insert(permutations.end(),
                            symmetry_parameters[g].begin(),
                            symmetry_parameters[g].end());
      }
    const hsize_t n_symmetries = symmetry_matrices.size() + 1;

    write_parallel_file(filename, mpi_communicator, [&](HDF5File &file) {
      file.write_attribute("format", "neural.deal space 1");
      file.write_attribute("problem", problem);
      file.write_strings("parameter_names",
                         parameter_names,
                         "name of each entry of an input");
      file.write("points",
                 {spacedim, hsize_t(n_global)},
                 coordinates.data(),
                 first,
                 local_index.size(),
                 "support point of each value: coordinate, value; in units of "
                 "the mesh");
      file.write("mass_rows",
                 {total},
                 rows.data(),
                 begin,
                 n_entries,
                 "row of each entry of the mass matrix");
      file.write("mass_columns",
                 {total},
                 columns.data(),
                 begin,
                 n_entries,
                 "column of each entry of the mass matrix");
      file.write("mass_values",
                 {total},
                 values.data(),
                 begin,
                 n_entries,
                 "entries of the mass matrix of the L2 inner product");
      file.write("symmetry_matrices",
                 {n_symmetries, spacedim * spacedim},
                 matrices.data(),
                 0,
                 spacedim * spacedim,
                 "linear part A of each symmetry: new field at x is the old "
                 "one at A x + b");
      file.write("symmetry_offsets",
                 {n_symmetries, spacedim},
                 offsets.data(),
                 0,
                 spacedim,
                 "translation b of each symmetry");
      file.write("symmetry_parameters",
                 {n_symmetries, n_parameters},
                 permutations.data(),
                 0,
                 n_parameters,
                 "new parameter k of each symmetry is the old one with this "
                 "number");
    });
  }



#define NEURALDEAL_INSTANTIATE_VECTOR(VectorType)                             \
  template torch::Tensor FieldLayout::to_tensor(const VectorType &) const;    \
  template void FieldLayout::from_tensor(const torch::Tensor &, VectorType &) \
    const;                                                                    \
  template double FieldLayout::norm(const VectorType &) const;

  NEURALDEAL_INSTANTIATE_VECTOR(Vector<double>)
  NEURALDEAL_INSTANTIATE_VECTOR(LinearAlgebra::distributed::Vector<double>)
  NEURALDEAL_INSTANTIATE_VECTOR(TrilinosWrappers::MPI::Vector)
  NEURALDEAL_INSTANTIATE_VECTOR(PETScWrappers::MPI::Vector)

#define NEURALDEAL_INSTANTIATE_DIMENSION(dim)     \
  template FieldLayout::FieldLayout(              \
    const DoFHandler<dim> &,                      \
    const AffineConstraints<double> &,            \
    const std::vector<GeometricSymmetry<dim>> &); \
  template FieldLayout::FieldLayout(              \
    const DoFHandler<dim> &,                      \
    const Mapping<dim> &,                         \
    const AffineConstraints<double> &,            \
    const std::vector<GeometricSymmetry<dim>> &);

  NEURALDEAL_INSTANTIATE_DIMENSION(2)
  NEURALDEAL_INSTANTIATE_DIMENSION(3)
} // namespace neuraldeal
