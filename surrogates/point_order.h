// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_point_order_h
#define neuraldeal_surrogates_point_order_h

#include <neuraldeal/surrogates/field_space.h>

#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * How the N values of a field become C components at P points, N = C·P, as
   * neural operators read them, and back.
   *
   * Points are the same, and lines of points straight, up to 1e-8 of the size
   * of the mesh. Where the points are a regular grid on a box with edges along
   * the axes, whatever the order of the values, they are put into the order
   * of the grid, the last direction fastest; any other points are sorted by
   * their coordinates. A grid is regular where its lines are equally spaced in
   * every direction, up to 1e-6 of the box.
   */
  class PointOrder
  {
  public:
    PointOrder() = default;

    /**
     * @param points [N, dim] float64, as in FieldSpace.
     * @param source who asks, for error messages.
     * @throw InputError where there are no points, or where different numbers
     * of values belong to different points, so that nothing tells which
     * components these are (elements like Taylor-Hood's, or discontinuous
     * ones).
     */
    PointOrder(const torch::Tensor &points, const std::string &source);

    /** Restore what has been taken apart into its members. */
    PointOrder(const torch::Tensor &order,
               const torch::Tensor &points,
               const torch::Tensor &grid_sizes);

    bool
    is_grid() const
    {
      return grid.numel() > 0;
    }

    long
    n_components() const
    {
      return order.numel() / n_points();
    }

    long
    n_points() const
    {
      return unit_points.size(0);
    }

    long
    dim() const
    {
      return unit_points.size(1);
    }

    /** [n, N] → [n, C, s_1, …, s_dim] on a grid, [n, C, P] elsewhere. */
    torch::Tensor
    to_channels(const torch::Tensor &rows) const;

    /** The inverse of to_channels(). */
    torch::Tensor
    to_rows(const torch::Tensor &channels) const;

    /** The matrix [N, N] (COO) for values with the first component first. */
    torch::Tensor
    to_channels_matrix(const torch::Tensor &matrix) const;

    /**
     * The permutation of points, [P] int64, that does the same to each
     * component as @p values, [N] int64, does to the field (both gathers).
     * @return an undefined tensor if there is none, since components change
     * places.
     */
    torch::Tensor
    point_permutation(const torch::Tensor &values) const;

    /** Number of the value at component c and point p in place c·P + p. */
    torch::Tensor order;

    /**
     * [P, dim] float64: the points, shifted and scaled so that the box around
     * them has the corner zero and the longest edge one.
     */
    torch::Tensor unit_points;

    /** s_1, …, s_dim, int64; empty where the points are no regular grid. */
    torch::Tensor grid;

    /** Distances of the grid's points in units of the mesh. */
    std::vector<double> spacing;

  private:
    torch::Tensor inverse; ///< of order
  };
} // namespace neuraldeal

#endif
