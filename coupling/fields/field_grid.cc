// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>
#include <deal.II/base/symmetric_tensor.h>

#include <deal.II/fe/fe_values.h>
#include <deal.II/fe/mapping_q.h>

#include <deal.II/grid/reference_cell.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/coupling/fields/field_grid.h>
#include <neuraldeal/coupling/vector_access.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    /** Rounding, in coordinates of the unit cell and of the grid. */
    constexpr double rounding = 1e-10;

    /**
     * How far a curved cell may reach beyond the box of its mapping's support
     * points, and over a gap between cells, in parts of its size. An arc of
     * 90° by three points reaches 0.06 beyond them.
     */
    constexpr double curvature = 0.15;

    /** Grid points around one to which a field is continued linearly. */
    constexpr int largest_neighbourhood = 4;

    /**
     * The variance of their positions in any direction, in squared grid
     * spacings, from which on the slope of the continuation is determined.
     */
    constexpr double smallest_variance = 0.1;



    template <int dim>
    std::vector<typename DoFHandler<dim>::active_cell_iterator>
    locally_owned_cells(const DoFHandler<dim> &dof_handler)
    {
      std::vector<typename DoFHandler<dim>::active_cell_iterator> cells;
      for (const auto &cell : dof_handler.active_cell_iterators())
        if (cell->is_locally_owned())
          cells.push_back(cell);
      return cells;
    }



    /**
     * How good a grid point is in a cell. There is a gap between a cell and
     * its smaller neighbours where it is just outside of both: a point that is
     * outside of one only may be outside of the domain.
     */
    enum Rating : unsigned int
    {
      in_cell,       ///< but for rounding
      by_tolerance,  ///< just outside
      next_to_small, ///< outside, by a face with smaller neighbours
      next_to_large, ///< outside, by a face with a larger neighbour
      not_in_cell
    };
  } // namespace



  template <int dim>
  void
  FieldGrid<dim>::GhostEntries::reinit(const IndexSet &owned,
                                       const IndexSet &ghosts,
                                       const MPI_Comm  communicator)
  {
    partitioner = std::make_shared<Utilities::MPI::Partitioner>(owned,
                                                                ghosts,
                                                                communicator);
    values.resize(partitioner->n_ghost_indices());
    storage.resize(partitioner->n_import_indices());
  }



  template <int dim>
  std::uint32_t
  FieldGrid<dim>::GhostEntries::place(const types::global_dof_index index) const
  {
    return partitioner->global_to_local(index);
  }



  template <int dim>
  void
  FieldGrid<dim>::GhostEntries::update(const double *const owned) const
  {
    std::vector<MPI_Request> requests;
    partitioner
      ->template export_to_ghosted_array_start<double, MemorySpace::Host>(
        0,
        ArrayView<const double>(owned, partitioner->locally_owned_size()),
        ArrayView<double>(storage.data(), storage.size()),
        ArrayView<double>(values.data(), values.size()),
        requests);
    partitioner
      ->template export_to_ghosted_array_finish<double, MemorySpace::Host>(
        ArrayView<double>(values.data(), values.size()), requests);
  }



  /** A grid point in a cell of this rank. */
  template <int dim>
  struct FieldGrid<dim>::Found
  {
    std::uint32_t index; ///< of the point
    std::uint32_t cell;  ///< among the locally owned
    unsigned int  rating;
    Point<dim>    unit_point;
  };



  template <int dim>
  FieldGrid<dim>::FieldGrid(const DoFHandler<dim>           &dof_handler,
                            const Mapping<dim>              &mapping,
                            const AffineConstraints<double> &constraints,
                            const AdditionalData            &data)
    : mpi_communicator(compat::communicator(dof_handler))
    , n_components(dof_handler.get_fe().n_components())
    , constraints(&constraints)
    , owned(dof_handler.locally_owned_dofs())
    , source(data.source)
    , n_points(data.n_points)
  {
    AssertThrow(dof_handler.get_fe().has_support_points(),
                ExcMessage("The element " + dof_handler.get_fe().get_name() +
                           " has no support points; fields of Lagrange "
                           "elements can be put on a grid."));
    AssertThrow(dof_handler.get_fe().reference_cell() ==
                  ReferenceCells::get_hypercube<dim>(),
                ExcMessage("Fields on quadrilaterals and hexahedra can be put "
                           "on a grid."));
    AssertThrow(owned.is_ascending_and_one_to_one(mpi_communicator),
                ExcMessage("The numbers of a rank's degrees of freedom do not "
                           "follow each other, as after "
                           "DoFRenumbering::component_wise() on several "
                           "ranks; fields in the numbering of "
                           "DoFHandler::distribute_dofs() can be put on a "
                           "grid."));

    std::vector<Point<dim>>   support_points;
    std::vector<unsigned int> components;
    find_support_points(dof_handler, mapping, support_points, components);
    make_box(support_points, data);

    auto found = find_points(dof_handler, mapping, data.tolerance);
    share_points(found);
    make_evaluation(dof_handler, found);

    if (all_in_box)
      {
        make_interpolation(support_points, components);
        make_constraint_rows();
      }
  }



  template <int dim>
  std::vector<std::int64_t>
  FieldGrid<dim>::sizes(const long n_slices) const
  {
    std::vector<std::int64_t> result = {n_components, n_slices};
    for (int d = dim - 2; d >= 0; --d)
      result.push_back(n_points[d]);
    return result;
  }



  template <int dim>
  Point<dim>
  FieldGrid<dim>::point(const std::uint32_t index) const
  {
    const auto   &corners = box.get_boundary_points();
    Point<dim>    result;
    std::uint32_t rest = index;
    for (unsigned int d = 0; d < dim; ++d)
      {
        const std::uint32_t i = rest % n_points[d];
        rest /= n_points[d];
        result[d] = i + 1 == n_points[d] ? corners.second[d] :
                                           corners.first[d] + i * spacing[d];
      }
    return result;
  }



  template <int dim>
  torch::Tensor
  FieldGrid<dim>::points() const
  {
    auto shape          = sizes(n_my_rows);
    shape[0]            = dim;
    auto          all   = torch::empty(shape, torch::kFloat64);
    double *const value = all.template data_ptr<double>();
    const auto    n     = n_my_rows * row_size;
    for (std::size_t i = 0; i < n; ++i)
      {
        const auto p = point(row_begin * row_size + i);
        for (unsigned int d = 0; d < dim; ++d)
          value[d * n + i] = p[d];
      }
    return all;
  }



  template <int dim>
  void
  FieldGrid<dim>::find_support_points(
    const DoFHandler<dim>     &dof_handler,
    const Mapping<dim>        &mapping,
    std::vector<Point<dim>>   &support_points,
    std::vector<unsigned int> &components) const
  {
    const auto                          &fe = dof_handler.get_fe();
    FEValues<dim>                        values(mapping,
                         fe,
                         Quadrature<dim>(fe.get_unit_support_points()),
                         update_quadrature_points);
    std::vector<types::global_dof_index> dofs(fe.n_dofs_per_cell());
    support_points.resize(owned.n_elements());
    components.resize(owned.n_elements());
    const types::global_dof_index begin =
      owned.n_elements() > 0 ? owned.nth_index_in_set(0) : 0;
    for (const auto &cell : dof_handler.active_cell_iterators())
      if (cell->is_locally_owned())
        {
          values.reinit(cell);
          cell->get_dof_indices(dofs);
          for (unsigned int i = 0; i < dofs.size(); ++i)
            if (dofs[i] >= begin && dofs[i] - begin < owned.n_elements())
              {
                support_points[dofs[i] - begin] = values.quadrature_point(i);
                components[dofs[i] - begin] =
                  fe.system_to_component_index(i).first;
              }
        }
  }



  template <int dim>
  void
  FieldGrid<dim>::make_box(const std::vector<Point<dim>> &support_points,
                           const AdditionalData          &data)
  {
    // The corners of the smallest box, the lower one with the other sign.
    std::array<double, 2 * dim> corners;
    corners.fill(-std::numeric_limits<double>::max());
    for (const auto &p : support_points)
      for (unsigned int d = 0; d < dim; ++d)
        {
          corners[d]       = std::max(corners[d], -p[d]);
          corners[dim + d] = std::max(corners[dim + d], p[d]);
        }
    MPI_Allreduce(MPI_IN_PLACE,
                  corners.data(),
                  2 * dim,
                  MPI_DOUBLE,
                  MPI_MAX,
                  mpi_communicator);
    std::pair<Point<dim>, Point<dim>> smallest;
    for (unsigned int d = 0; d < dim; ++d)
      {
        smallest.first[d]  = -corners[d];
        smallest.second[d] = corners[dim + d];
      }
    box = data.box ? *data.box : BoundingBox<dim>(smallest);

    std::string wanted;
    double      n_values = n_components;
    for (unsigned int d = 0; d < dim; ++d)
      {
        wanted += (d > 0 ? ", " : "") + std::to_string(n_points[d]);
        n_values *= n_points[d];
      }
    if (*std::min_element(n_points.begin(), n_points.end()) < 2 ||
        n_values >= std::pow(2., 31))
      throw InputError(source,
                       "number of grid points",
                       wanted,
                       fmt::format("{} numbers from 2, with less than 2^31 "
                                   "values in all",
                                   dim));
    if (!(data.tolerance > 0. && data.tolerance <= curvature))
      throw InputError(source,
                       "tolerance",
                       fmt::format("{}", data.tolerance),
                       fmt::format("a number between 0 and {}", curvature));
    const auto &limits = box.get_boundary_points();
    for (unsigned int d = 0; d < dim; ++d)
      {
        const double length = limits.second[d] - limits.first[d];
        if (!(length > 0. && std::isfinite(length)))
          throw InputError(source,
                           "box of the grid",
                           fmt::format("{} to {} in direction {}",
                                       limits.first[d],
                                       limits.second[d],
                                       d),
                           "a box with finite sides of positive length");
        spacing[d] = length / (n_points[d] - 1);
        all_in_box = all_in_box &&
                     smallest.first[d] >= limits.first[d] - rounding * length &&
                     smallest.second[d] <= limits.second[d] + rounding * length;
      }

    row_size = 1;
    for (unsigned int d = 0; d + 1 < dim; ++d)
      row_size *= n_points[d];
    n_rows         = n_points[dim - 1];
    const long n   = Utilities::MPI::n_mpi_processes(mpi_communicator);
    const long own = Utilities::MPI::this_mpi_process(mpi_communicator);
    row_begin      = own * n_rows / n;
    n_my_rows      = (own + 1) * n_rows / n - row_begin;
  }



  template <int dim>
  std::vector<typename FieldGrid<dim>::Found>
  FieldGrid<dim>::find_points(const DoFHandler<dim> &dof_handler,
                              const Mapping<dim>    &mapping,
                              const double           tolerance) const
  {
    // A cell whose edges are straight lies in the box of its vertices.
    const auto *const mapping_q = dynamic_cast<const MappingQ<dim> *>(&mapping);
    const bool straight = mapping_q != nullptr && mapping_q->get_degree() == 1;

    const auto                 cells  = locally_owned_cells(dof_handler);
    const auto                &limits = box.get_boundary_points();
    std::vector<Found>         found;
    std::vector<Point<dim>>    real_points, unit_points;
    std::vector<std::uint32_t> indices;
    for (unsigned int c = 0; c < cells.size(); ++c)
      {
        const auto bounds =
          mapping.get_bounding_box(cells[c]).get_boundary_points();
        const double margin = (bounds.second - bounds.first).norm() *
                              (straight ? tolerance : curvature);

        // The grid's points in it.
        std::array<std::uint32_t, dim> first, last;
        bool                           empty = false;
        for (unsigned int d = 0; d < dim; ++d)
          {
            const auto place = [&](const double x) {
              return (x - limits.first[d]) / spacing[d];
            };
            const double from =
              std::max(std::ceil(place(bounds.first[d] - margin)), 0.);
            const double to =
              std::min(std::floor(place(bounds.second[d] + margin)),
                       n_points[d] - 1.);
            if (!(from <= to))
              {
                empty = true;
                break;
              }
            first[d] = from;
            last[d]  = to;
          }
        if (empty)
          continue;
        real_points.clear();
        indices.clear();
        for (auto i = first;;)
          {
            std::uint32_t index = 0;
            for (int d = dim - 1; d >= 0; --d)
              index = index * n_points[d] + i[d];
            indices.push_back(index);
            real_points.push_back(point(index));
            unsigned int d = 0;
            for (; d < dim && i[d] == last[d]; ++d)
              i[d] = first[d];
            if (d == dim)
              break;
            ++i[d];
          }

        // Where they are in the cell. (Those that the mapping does not find
        // have infinite coordinates.)
        unit_points.resize(real_points.size());
        mapping.transform_points_real_to_unit_cell(
          cells[c],
          ArrayView<const Point<dim>>(real_points.data(), real_points.size()),
          ArrayView<Point<dim>>(unit_points.data(), unit_points.size()));
        for (unsigned int i = 0; i < indices.size(); ++i)
          {
            double       outside  = 0.;
            unsigned int n_beyond = 0, face = 0;
            for (unsigned int d = 0; d < dim; ++d)
              {
                const double x      = unit_points[i][d];
                const double beyond = std::max(-x, x - 1.);
                if (!(beyond <= tolerance))
                  {
                    ++n_beyond;
                    face = 2 * d + (x > 0.5 ? 1 : 0);
                  }
                // What is no number is outside.
                outside =
                  beyond <= outside  ? outside :
                  std::isnan(beyond) ? std::numeric_limits<double>::max() :
                                       beyond;
              }
            unsigned int rating = not_in_cell;
            if (outside <= rounding)
              rating = in_cell;
            else if (outside <= tolerance)
              rating = by_tolerance;
            else if (!straight && n_beyond == 1 && outside <= curvature &&
                     !cells[c]->at_boundary(face))
              {
                if (cells[c]->neighbor_is_coarser(face))
                  rating = next_to_large;
                else if (cells[c]->neighbor(face)->has_children())
                  rating = next_to_small;
              }
            if (rating != not_in_cell)
              found.push_back({indices[i], c, rating, unit_points[i]});
          }
      }

    // One cell for each point, the first of the best along p4est's curve, and
    // two where it may be in a gap.
    std::sort(found.begin(), found.end(), [&](const Found &a, const Found &b) {
      if (a.index != b.index)
        return a.index < b.index;
      if (a.rating != b.rating)
        return a.rating < b.rating;
      return a.cell != b.cell && cells[a.cell]->id() < cells[b.cell]->id();
    });
    found.erase(std::unique(found.begin(),
                            found.end(),
                            [](const Found &a, const Found &b) {
                              return a.index == b.index &&
                                     (a.rating < next_to_small ||
                                      a.rating == b.rating);
                            }),
                found.end());
    std::sort(found.begin(), found.end(), [](const Found &a, const Found &b) {
      return a.cell != b.cell ? a.cell < b.cell : a.index < b.index;
    });
    return found;
  }



  template <int dim>
  void
  FieldGrid<dim>::share_points(std::vector<Found> &found)
  {
    // To the rank that has a point in its slice go the claims of all that have
    // it in a cell: its index and how good it is there.
    const long n_ranks = Utilities::MPI::n_mpi_processes(mpi_communicator);
    const auto rank_of = [&](const std::uint32_t index) -> unsigned int {
      return ((index / row_size + 1) * n_ranks - 1) / n_rows;
    };
    std::map<unsigned int, std::vector<std::uint64_t>> claims;
    for (const auto &entry : found)
      claims[rank_of(entry.index)].push_back(4 * std::uint64_t(entry.index) +
                                             entry.rating);
    const auto received =
      Utilities::MPI::some_to_some(mpi_communicator, claims);

    // The best one gets it, of equal ones the lowest rank, which has the
    // earlier cells of p4est's curve. In a gap are points with cells of both
    // sizes, of which the large one has the better rating.
    const std::size_t n_mine = n_my_rows * row_size;
    const std::size_t begin  = row_begin * row_size;
    std::vector<std::pair<unsigned int, unsigned int>> best(n_mine,
                                                            {not_in_cell, 0u});
    std::vector<char> next_to_both(n_mine, false);
    for (const auto &[rank, points] : received)
      for (const auto claim : points)
        {
          const auto i    = claim / 4 - begin;
          best[i]         = std::min(best[i], {unsigned(claim % 4), rank});
          next_to_both[i] = next_to_both[i] || claim % 4 == next_to_large;
        }
    for (std::size_t i = 0; i < n_mine; ++i)
      if (best[i].first == next_to_large ||
          (best[i].first == next_to_small && !next_to_both[i]))
        best[i].first = not_in_cell;
    std::map<unsigned int, std::vector<char>> answers;
    for (const auto &[rank, points] : received)
      for (const auto claim : points)
        answers[rank].push_back(best[claim / 4 - begin] ==
                                std::make_pair(unsigned(claim % 4), rank));
    const auto granted =
      Utilities::MPI::some_to_some(mpi_communicator, answers);

    std::map<unsigned int, std::size_t> n_read;
    std::vector<Found>                  kept;
    for (const auto &entry : found)
      {
        const auto rank = rank_of(entry.index);
        if (granted.at(rank)[n_read[rank]++])
          kept.push_back(entry);
      }
    found = kept;

    auto shape = sizes(n_my_rows);
    shape.erase(shape.begin());
    mask = torch::empty(shape, torch::kBool);
    bool *const                          is_in = mask.template data_ptr<bool>();
    const auto                           n_all = n_rows * row_size;
    std::vector<types::global_dof_index> in_cells, in_slice;
    for (std::size_t i = 0; i < n_mine; ++i)
      is_in[i] = best[i].first != not_in_cell;
    any_inside =
      Utilities::MPI::max(int(!found.empty()), mpi_communicator) == 1;
    // (deal.II's partitioner divides by the number of its indices.)
    if (!any_inside)
      return;
    for (unsigned int c = 0; c < n_components; ++c)
      {
        for (const auto &entry : found)
          in_cells.push_back(c * n_all + entry.index);
        for (std::size_t i = 0; i < n_mine; ++i)
          in_slice.push_back(is_in[i] ? c * n_all + begin + i :
                                        numbers::invalid_dof_index);
      }
    points_to_slices.reinit(in_cells, in_slice, mpi_communicator);
  }



  template <int dim>
  void
  FieldGrid<dim>::make_evaluation(const DoFHandler<dim>    &dof_handler,
                                  const std::vector<Found> &found)
  {
    const auto &fe    = dof_handler.get_fe();
    const auto  cells = locally_owned_cells(dof_handler);

    // A component's shape functions are those of its base element, in its
    // order; those of equal base elements have the same values.
    std::vector<unsigned int> base_begin;
    for (unsigned int b = 0; b < fe.n_base_elements(); ++b)
      {
        base_begin.push_back(n_shape_values);
        n_shape_values += fe.base_element(b).n_dofs_per_cell();
      }
    std::vector<unsigned int> order;
    for (unsigned int c = 0; c < n_components; ++c)
      {
        const unsigned int b = fe.component_to_base_index(c).first;
        const unsigned int n = fe.base_element(b).n_dofs_per_cell();
        component_shapes.emplace_back(base_begin[b], n);
        for (unsigned int k = 0; k < n; ++k)
          order.push_back(fe.component_to_system_index(c, k));
      }
    n_cell_entries = order.size();

    std::vector<types::global_dof_index> dofs(fe.n_dofs_per_cell()), others;
    for (unsigned int pass = 0; pass < 2; ++pass)
      {
        for (std::size_t i = 0; i < found.size(); ++i)
          if (i == 0 || found[i].cell != found[i - 1].cell)
            {
              cells[found[i].cell]->get_dof_indices(dofs);
              if (pass == 1)
                {
                  cell_points.push_back(i);
                  for (const auto k : order)
                    cell_entries.push_back(cell_ghosts.place(dofs[k]));
                }
              else
                for (const auto dof : dofs)
                  if (!owned.is_element(dof))
                    others.push_back(dof);
            }
        if (pass == 1)
          break;
        std::sort(others.begin(), others.end());
        IndexSet ghosts(owned.size());
        ghosts.add_indices(others.begin(), others.end());
        cell_ghosts.reinit(owned, ghosts, mpi_communicator);
      }
    cell_points.push_back(found.size());

    shape_values.reserve(found.size() * n_shape_values);
    for (const auto &entry : found)
      for (unsigned int b = 0; b < fe.n_base_elements(); ++b)
        for (unsigned int k = 0; k < fe.base_element(b).n_dofs_per_cell(); ++k)
          shape_values.push_back(
            fe.base_element(b).shape_value(k, entry.unit_point));
  }



  template <int dim>
  void
  FieldGrid<dim>::make_interpolation(
    const std::vector<Point<dim>>   &support_points,
    const std::vector<unsigned int> &components)
  {
    const auto                 everywhere = gather(mask);
    const auto *const          flags = everywhere.template data_ptr<bool>();
    const std::vector<uint8_t> all_inside(flags, flags + everywhere.numel());

    const auto          &limits = box.get_boundary_points();
    std::vector<uint8_t> asked_for(all_inside.size(), 0);
    interpolations.reserve(support_points.size());
    for (std::size_t i = 0; i < support_points.size(); ++i)
      {
        Interpolation entry;
        entry.corner         = components[i];
        std::uint32_t corner = 0;
        for (int d = dim - 1; d >= 0; --d)
          {
            const double x =
              std::min(std::max((support_points[i][d] - limits.first[d]) /
                                  spacing[d],
                                0.),
                       n_points[d] - 1.);
            const double cell = std::min(std::floor(x), n_points[d] - 2.);
            entry.place[d]    = x - cell;
            corner            = corner * n_points[d] + std::uint32_t(cell);
          }
        entry.corner = components[i] * all_inside.size() + corner;
        interpolations.push_back(entry);

        for (unsigned int v = 0; v < GeometryInfo<dim>::vertices_per_cell; ++v)
          {
            std::uint32_t index = corner, stride = 1;
            for (unsigned int d = 0; d < dim; ++d)
              {
                index += ((v >> d) & 1) * stride;
                stride *= n_points[d];
              }
            asked_for[index] = 1;
          }
      }
    if (any_inside)
      for (std::uint32_t i = 0; i < asked_for.size(); ++i)
        if (asked_for[i] && !all_inside[i])
          make_continuation(i, all_inside);
  }



  template <int dim>
  void
  FieldGrid<dim>::make_continuation(const std::uint32_t         index,
                                    const std::vector<uint8_t> &all_inside)
  {
    std::array<int, dim> centre;
    std::uint32_t        rest = index;
    for (unsigned int d = 0; d < dim; ++d)
      {
        centre[d] = rest % n_points[d];
        rest /= n_points[d];
      }

    // In grid spacings, from the point that has no value.
    std::vector<std::uint32_t>  neighbours;
    std::vector<Tensor<1, dim>> positions;
    std::vector<double>         weights;
    for (int radius = 1;; ++radius)
      {
        neighbours.clear();
        positions.clear();
        weights.clear();
        double         sum = 0.;
        Tensor<1, dim> mean;
        const int      width = 2 * radius + 1;
        int            n     = 1;
        for (unsigned int d = 0; d < dim; ++d)
          n *= width;
        for (int k = 0; k < n; ++k)
          {
            std::uint32_t  neighbour = 0, stride = 1;
            Tensor<1, dim> position;
            bool           on_grid   = true;
            int            remainder = k;
            for (unsigned int d = 0; d < dim; ++d)
              {
                const int offset = remainder % width - radius;
                remainder /= width;
                const int i = centre[d] + offset;
                on_grid     = on_grid && i >= 0 && i < int(n_points[d]);
                position[d] = offset;
                neighbour += i * stride;
                stride *= n_points[d];
              }
            if (!on_grid || !all_inside[neighbour])
              continue;
            neighbours.push_back(neighbour);
            positions.push_back(position);
            weights.push_back(1. / position.norm_square());
            sum += weights.back();
            mean += weights.back() * position;
          }
        if (neighbours.empty())
          continue;
        mean /= sum;
        SymmetricTensor<2, dim> covariance;
        for (std::size_t j = 0; j < neighbours.size(); ++j)
          {
            weights[j] /= sum;
            positions[j] -= mean;
            covariance += weights[j] *
                          symmetrize(outer_product(positions[j], positions[j]));
          }
        if (eigenvalues(covariance)[dim - 1] >= smallest_variance)
          {
            // The value at zero of mean + slope · (x − x̄).
            const Tensor<1, dim> slope = -(invert(covariance) * mean);
            for (std::size_t j = 0; j < neighbours.size(); ++j)
              weights[j] *= 1. + slope * positions[j];
            break;
          }
        // Too few in all that is near: their mean.
        if (radius >= largest_neighbourhood)
          break;
      }

    continuation.rows.push_back(index);
    continuation.columns.insert(continuation.columns.end(),
                                neighbours.begin(),
                                neighbours.end());
    continuation.weights.insert(continuation.weights.end(),
                                weights.begin(),
                                weights.end());
    continuation.begin.push_back(continuation.columns.size());
  }



  template <int dim>
  void
  FieldGrid<dim>::make_constraint_rows()
  {
    std::vector<types::global_dof_index> others;
    for (const auto dof : owned)
      if (constraints->is_constrained(dof))
        for (const auto &entry : *constraints->get_constraint_entries(dof))
          if (!owned.is_element(entry.first))
            others.push_back(entry.first);
    std::sort(others.begin(), others.end());
    IndexSet ghosts(owned.size());
    ghosts.add_indices(others.begin(), others.end());
    constraint_ghosts.reinit(owned, ghosts, mpi_communicator);

    for (const auto dof : owned)
      if (constraints->is_constrained(dof))
        {
          constraint_rows.rows.push_back(constraint_ghosts.place(dof));
          for (const auto &entry : *constraints->get_constraint_entries(dof))
            {
              constraint_rows.columns.push_back(
                constraint_ghosts.place(entry.first));
              constraint_rows.weights.push_back(entry.second);
            }
          constraint_rows.begin.push_back(constraint_rows.columns.size());
        }
  }



  template <int dim>
  template <typename VectorType>
  torch::Tensor
  FieldGrid<dim>::to_tensor(const VectorType &field) const
  {
    const std::size_t   n = cell_points.back(), n_owned = owned.n_elements();
    std::vector<double> values(n_components * n);
    read_local(field, [&](const double *const entries) {
      cell_ghosts.update(entries);
      const double *const ghosts = cell_ghosts.values.data();
      for (std::size_t cell = 0; cell + 1 < cell_points.size(); ++cell)
        {
          const std::uint32_t *dofs = &cell_entries[cell * n_cell_entries];
          for (unsigned int c = 0; c < n_components; ++c)
            {
              const auto [first, n_shapes] = component_shapes[c];
              for (auto p = cell_points[cell]; p < cell_points[cell + 1]; ++p)
                {
                  const double *const shapes =
                    &shape_values[p * n_shape_values + first];
                  double sum = 0.;
                  for (unsigned int k = 0; k < n_shapes; ++k)
                    sum += shapes[k] * (dofs[k] < n_owned ?
                                          entries[dofs[k]] :
                                          ghosts[dofs[k] - n_owned]);
                  values[c * n + p] = sum;
                }
              dofs += n_shapes;
            }
        }
    });
    auto slice = torch::zeros(sizes(n_my_rows), torch::kFloat64);
    if (any_inside)
      points_to_slices.template export_to_ghosted_array<double>(
        ArrayView<const double>(values.data(), values.size()),
        ArrayView<double>(slice.template data_ptr<double>(), slice.numel()));
    return slice;
  }



  template <int dim>
  template <typename VectorType>
  void
  FieldGrid<dim>::from_tensor(const torch::Tensor &grid,
                              VectorType          &field) const
  {
    Assert(grid.sizes().vec() == shape(),
           ExcMessage("A grid has the sizes of shape()."));
    if (!all_in_box)
      throw InputError(source,
                       "box of the grid",
                       "smaller than the mesh",
                       "one with all support points, where a field is to be "
                       "had from a grid");
    if (!any_inside)
      throw InputError(source,
                       "number of grid points",
                       "one with no point in the domain",
                       "one that is large enough for the domain's width");

    // Continued out of the domain.
    auto       continued = grid.to(torch::kFloat64).contiguous();
    const long n_all     = n_rows * row_size;
    if (!continuation.rows.empty())
      {
        const auto          source_values = continued;
        const double *const from = source_values.template data_ptr<double>();
        continued                = continued.clone();
        double *const to         = continued.template data_ptr<double>();
        for (std::size_t i = 0; i < continuation.rows.size(); ++i)
          for (unsigned int c = 0; c < n_components; ++c)
            {
              double sum = 0.;
              for (auto k = continuation.begin[i];
                   k < continuation.begin[i + 1];
                   ++k)
                sum += continuation.weights[k] *
                       from[c * n_all + continuation.columns[k]];
              to[c * n_all + continuation.rows[i]] = sum;
            }
      }

    const double *const values  = continued.template data_ptr<double>();
    const std::size_t   n_owned = owned.n_elements();
    write_local(field, [&](double *const entries) {
      const std::size_t nx = n_points[0];
      for (std::size_t i = 0; i < n_owned; ++i)
        {
          const auto &place = interpolations[i].place;
          const auto  line  = [&](const double *const v) {
            return v[0] + place[0] * (v[1] - v[0]);
          };
          const auto plane = [&](const double *const v) {
            const double below = line(v);
            return below + place[1] * (line(v + nx) - below);
          };
          const double *const corner = values + interpolations[i].corner;
          entries[i]                 = plane(corner);
          if constexpr (dim == 3)
            entries[i] += place[2] * (plane(corner + row_size) - entries[i]);
        }

      // As AffineConstraints::distribute() does it, which sets its
      // communication up each time.
      constraint_ghosts.update(entries);
      const double *const           ghosts = constraint_ghosts.values.data();
      const types::global_dof_index begin =
        n_owned > 0 ? owned.nth_index_in_set(0) : 0;
      for (std::size_t i = 0; i < constraint_rows.rows.size(); ++i)
        {
          const auto row   = constraint_rows.rows[i];
          double     value = constraints->get_inhomogeneity(begin + row);
          for (auto k = constraint_rows.begin[i];
               k < constraint_rows.begin[i + 1];
               ++k)
            {
              const auto column = constraint_rows.columns[k];
              value +=
                constraint_rows.weights[k] *
                (column < n_owned ? entries[column] : ghosts[column - n_owned]);
            }
          entries[row] = value;
        }
    });
  }



  template <int dim>
  torch::Tensor
  FieldGrid<dim>::gather(const torch::Tensor &slice) const
  {
    const bool        has_channels = slice.dim() == dim + 1;
    const std::size_t n_channels   = has_channels ? slice.size(0) : 1;
    auto              shape        = slice.sizes().vec();
    AssertDimension(shape[has_channels], n_my_rows);
    shape[has_channels] = n_rows;
    const auto part     = slice.contiguous();
    auto       all      = torch::empty(shape, slice.options());

    const long       n = Utilities::MPI::n_mpi_processes(mpi_communicator);
    std::vector<int> counts, begins;
    for (long rank = 0; rank < n; ++rank)
      {
        begins.push_back(rank * n_rows / n * row_size);
        counts.push_back((rank + 1) * n_rows / n * row_size - begins.back());
      }
    MPI_Datatype type;
    MPI_Type_contiguous(slice.element_size(), MPI_BYTE, &type);
    MPI_Type_commit(&type);
    const auto n_bytes = slice.element_size() * row_size;
    for (std::size_t c = 0; c < n_channels; ++c)
      MPI_Allgatherv(static_cast<const char *>(part.data_ptr()) +
                       c * n_my_rows * n_bytes,
                     n_my_rows * row_size,
                     type,
                     static_cast<char *>(all.data_ptr()) + c * n_rows * n_bytes,
                     counts.data(),
                     begins.data(),
                     type,
                     mpi_communicator);
    MPI_Type_free(&type);
    return all;
  }



  template <int dim>
  typename FieldGrid<dim>::Work
  FieldGrid<dim>::work_to_tensor() const
  {
    // What was found at set-up, the entries of a vector that a point needs
    // (each at least once), and its value, four times: from the cell to a
    // message, and from that to the slice.
    Work work;
    work.n_evaluations = n_components * std::size_t(cell_points.back());
    work.n_bytes =
      sizeof(double) *
        (shape_values.size() + cell_entries.size() + 4 * work.n_evaluations) +
      sizeof(std::uint32_t) * (cell_entries.size() + cell_points.size());
    return work;
  }



  template <int dim>
  typename FieldGrid<dim>::Work
  FieldGrid<dim>::work_from_tensor() const
  {
    Work work;
    work.n_evaluations = interpolations.size();
    work.n_bytes =
      interpolations.size() * (sizeof(Interpolation) + sizeof(double)) +
      sizeof(double) * n_components * n_rows * row_size +
      (sizeof(double) + sizeof(std::uint32_t)) *
        (continuation.columns.size() + constraint_rows.columns.size());
    return work;
  }



#define NEURALDEAL_INSTANTIATE(dim, VectorType)                               \
  template torch::Tensor FieldGrid<dim>::to_tensor(const VectorType &) const; \
  template void          FieldGrid<dim>::from_tensor(const torch::Tensor &,   \
                                            VectorType &) const;

#define NEURALDEAL_INSTANTIATE_DIMENSION(dim)                             \
  template class FieldGrid<dim>;                                          \
  NEURALDEAL_INSTANTIATE(dim, Vector<double>)                             \
  NEURALDEAL_INSTANTIATE(dim, LinearAlgebra::distributed::Vector<double>) \
  NEURALDEAL_INSTANTIATE(dim, TrilinosWrappers::MPI::Vector)              \
  NEURALDEAL_INSTANTIATE(dim, PETScWrappers::MPI::Vector)

  NEURALDEAL_INSTANTIATE_DIMENSION(2)
  NEURALDEAL_INSTANTIATE_DIMENSION(3)
} // namespace neuraldeal
