// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_fields_field_grid_h
#define neuraldeal_coupling_fields_field_grid_h

#include <deal.II/base/bounding_box.h>
#include <deal.II/base/mpi_noncontiguous_partitioner.h>
#include <deal.II/base/partitioner.h>

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/fe/mapping.h>

#include <deal.II/lac/affine_constraints.h>

#include <neuraldeal/coupling/torch_interface.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * How fields of a finite element space become values on a regular grid, as
   * convolutions and Fourier transforms want them, and back. (As values at the
   * support points: FieldLayout; as coefficients of a basis: FieldModes.)
   *
   * A grid is a tensor [channels, ny, nx], in 3d [channels, nz, ny, nx], of
   * float64, a channel for each component of the element. Point (i, j) is at
   * lower + (i hx, j hy) with i the last index; the first and the last points
   * are on the faces of the box. The mesh may be distributed, adaptively
   * refined and curved; its cells are quadrilaterals or hexahedra.
   *
   * From the mesh to the grid: each rank has a slice of the grid, a
   * contiguous range of the slowest direction (y, in 3d z), see first_row(). A
   * point's value is that of one cell it is in, the first along p4est's curve,
   * whatever the number of ranks; so a point on a border between ranks, where
   * a discontinuous field has several, has one. Points outside of the domain
   * have the value zero, and inside() tells which they are. Between the curved
   * faces of cells of different sizes there may be gaps that belong to no
   * cell; points in them are evaluated by the larger one beside it.
   *
   * A regular grid needs no search: each rank goes over its cells, and knows
   * from a cell's bounding box which points may be in it. Their places in the
   * cell, and with them the values of the shape functions, are found once, so
   * that a transfer is a product with a sparse matrix.
   *
   * From the grid to the mesh: multilinear interpolation at the support
   * points, as Functions::InterpolatedUniformGridData has it, and then the
   * constraints, so that hanging nodes and boundary values are exact. Next to a
   * curved boundary a support point is between grid points of which some are
   * outside of the domain. What a grid says there is not looked at. Instead
   * the field is continued to them by the linear polynomial that fits the
   * points inside best, in the least squares weighted by one over the squared
   * distance (moving least squares; Lancaster and Salkauskas, Math. Comp. 37,
   * 1981), taken from a neighbourhood that is just large enough. The error of a
   * smooth field is of the order h² up to the boundary, where the nearest value
   * or a harmonic continuation leave h, and linear fields are exact.
   */
  template <int dim>
  class FieldGrid
  {
  public:
    struct AdditionalData
    {
      /** Points in the direction of each axis, x first; at least two. */
      std::array<unsigned int, dim> n_points = {};

      /**
       * The box of the grid, in units of the mesh; without one, the smallest
       * with all support points. One that does not hold all of these makes
       * grids of a part of the domain, and from_tensor() is not possible.
       */
      std::optional<dealii::BoundingBox<dim>> box;

      /**
       * How far outside of a cell a point may be and still be of it, in the
       * coordinates of the unit cell.
       */
      double tolerance = 1e-6;

      std::string source = "the program"; ///< for error messages
    };

    /**
     * Find the grid's points in the mesh, and the support points in the grid.
     * Collective.
     * @param dof_handler of a scalar or vector-valued Lagrange element, with
     * a contiguous range of numbers on each rank. Not referred to after
     * construction; once the mesh has changed the object is of no more use.
     * @param mapping that of the host, curved or not.
     * @param constraints hanging nodes and boundary values, imposed on every
     * field that comes from a grid. Referred to: inhomogeneities may change,
     * the rest has to stay.
     * @throw InputError, on all ranks, for @p data that are not as above.
     */
    FieldGrid(const dealii::DoFHandler<dim>           &dof_handler,
              const dealii::Mapping<dim>              &mapping,
              const dealii::AffineConstraints<double> &constraints,
              const AdditionalData                    &data);

    /** One for each component of the element. */
    unsigned int
    n_channels() const
    {
      return n_components;
    }

    /** The sizes of a grid on all ranks: [channels, (nz,) ny, nx]. */
    std::vector<std::int64_t>
    shape() const
    {
      return sizes(n_rows);
    }

    /** The box of the grid. */
    const dealii::BoundingBox<dim> &
    bounding_box() const
    {
      return box;
    }

    /**
     * This rank's slice of a grid are the rows first_row(), …, first_row() +
     * n_local_rows() − 1 of the slowest direction. With more ranks than rows
     * some have none.
     */
    long
    first_row() const
    {
      return row_begin;
    }

    long
    n_local_rows() const
    {
      return n_my_rows;
    }

    /** The coordinates of this rank's points, [dim, (nz,) ny, nx] float64. */
    torch::Tensor
    points() const;

    /** Which of this rank's points are in the domain, [(nz,) ny, nx] bool. */
    torch::Tensor
    inside() const
    {
      return mask;
    }

    /**
     * This rank's slice of the grid of @p field, [channels, (nz,) ny, nx];
     * zero outside of the domain. Collective.
     * @param field that satisfies the constraints, of any of deal.II's
     * algebras, without ghost entries.
     */
    template <typename VectorType>
    torch::Tensor
    to_tensor(const VectorType &field) const;

    /**
     * The field that @p grid describes; the constraints hold afterwards.
     * Collective.
     * @param grid all of it, shape(), the same on all ranks.
     * @param field with the locally owned entries; set.
     * @throw InputError, on all ranks, where the box does not hold all support
     * points or no grid point is in the domain.
     */
    template <typename VectorType>
    void
    from_tensor(const torch::Tensor &grid, VectorType &field) const;

    /**
     * Put slices together, on all ranks: for grids that are small. Collective.
     * @param slice this rank's, [(channels,) rows, …], of any type of numbers
     * with at most eight bytes.
     */
    torch::Tensor
    gather(const torch::Tensor &slice) const;

    /** What a transfer has to move and to do on this rank. */
    struct Work
    {
      std::size_t n_evaluations = 0; ///< of a component at a point
      std::size_t n_bytes       = 0; ///< that are read or written
    };

    Work
    work_to_tensor() const;

    Work
    work_from_tensor() const;

    MPI_Comm
    communicator() const
    {
      return mpi_communicator;
    }

  private:
    /** Entries of other ranks' parts of a vector. */
    struct GhostEntries
    {
      std::shared_ptr<dealii::Utilities::MPI::Partitioner> partitioner;
      mutable std::vector<double>                          values, storage;

      void
      reinit(const dealii::IndexSet &owned,
             const dealii::IndexSet &ghosts,
             const MPI_Comm          communicator);

      /** Among @p owned entries and then these: the place of @p index. */
      std::uint32_t
      place(const dealii::types::global_dof_index index) const;

      /** Get them; @p owned are this rank's entries. Collective. */
      void
      update(const double *owned) const;
    };

    /** Sparse rows: row i has the entries begin[i], …, begin[i + 1] − 1. */
    struct SparseRows
    {
      std::vector<std::uint32_t> rows, columns;
      std::vector<std::size_t>   begin = {0};
      std::vector<double>        weights;
    };

    struct Found;

    std::vector<std::int64_t>
    sizes(const long n_slices) const;

    dealii::Point<dim>
    point(const std::uint32_t index) const;

    /** Support points and components of the owned degrees of freedom. */
    void
    find_support_points(const dealii::DoFHandler<dim>   &dof_handler,
                        const dealii::Mapping<dim>      &mapping,
                        std::vector<dealii::Point<dim>> &support_points,
                        std::vector<unsigned int>       &components) const;

    void
    make_box(const std::vector<dealii::Point<dim>> &support_points,
             const AdditionalData                  &data);

    /** The grid's points that are in this rank's cells, in their order. */
    std::vector<Found>
    find_points(const dealii::DoFHandler<dim> &dof_handler,
                const dealii::Mapping<dim>    &mapping,
                const double                   tolerance) const;

    /** Leave one rank to each point, and set the mask. Collective. */
    void
    share_points(std::vector<Found> &found);

    void
    make_evaluation(const dealii::DoFHandler<dim> &dof_handler,
                    const std::vector<Found>      &found);

    void
    make_interpolation(const std::vector<dealii::Point<dim>> &support_points,
                       const std::vector<unsigned int>       &components);

    /** What continues a field to grid point @p index outside the domain. */
    void
    make_continuation(const std::uint32_t         index,
                      const std::vector<uint8_t> &all_inside);

    void
    make_constraint_rows();

    MPI_Comm                                 mpi_communicator;
    unsigned int                             n_components;
    const dealii::AffineConstraints<double> *constraints;
    dealii::IndexSet                         owned;
    std::string                              source;

    // The grid.
    std::array<unsigned int, dim> n_points;
    dealii::BoundingBox<dim>      box;
    std::array<double, dim>       spacing;
    long                          n_rows, row_begin, n_my_rows;
    std::size_t                   row_size; ///< points in a row
    torch::Tensor                 mask;

    // From the mesh to the grid: cells with points, the entries of their
    // degrees of freedom, component by component, and, for each point, the
    // values of the shape functions of each base element.
    GhostEntries               cell_ghosts;
    std::vector<std::uint32_t> cell_points; ///< first point of each cell
    std::vector<std::uint32_t> cell_entries;
    std::vector<double>        shape_values;
    std::size_t                n_cell_entries = 0, n_shape_values = 0;

    /** Of each component: where its shape values begin, and how many. */
    std::vector<std::pair<unsigned int, unsigned int>> component_shapes;

    /** From the points in cells to those of slices, all channels. */
    dealii::Utilities::MPI::NoncontiguousPartitioner points_to_slices;

    // From the grid to the mesh: for each owned entry, the corner of the
    // grid's cell with the smallest index, channels included, and the place
    // in that cell.
    struct Interpolation
    {
      std::array<double, dim> place;
      std::uint32_t           corner;
    };
    std::vector<Interpolation> interpolations;
    SparseRows                 continuation;
    bool                       all_in_box = true, any_inside = true;

    GhostEntries constraint_ghosts;
    SparseRows   constraint_rows;
  };
} // namespace neuraldeal

#endif
