// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/point_order.h>

namespace neuraldeal
{
  namespace
  {
    /**
     * The number of the line that each of the coordinates @p x belongs to, in
     * ascending order: a gap wider than @p tolerance separates two lines.
     */
    torch::Tensor
    line_numbers(const torch::Tensor &x, const double tolerance)
    {
      const auto [sorted, order] = x.sort();
      const auto gaps =
        (sorted.slice(0, 1) - sorted.slice(0, 0, -1) > tolerance)
          .to(torch::kInt64);
      const auto numbers =
        torch::cat({torch::zeros({1}, torch::kInt64), gaps.cumsum(0)});
      return torch::empty_like(numbers).scatter_(0, order, numbers);
    }
  } // namespace



  PointOrder::PointOrder(const torch::Tensor &points, const std::string &source)
  {
    const auto check =
      [&](const bool good, const std::string &found, const std::string &valid) {
        if (!good)
          throw InputError(source, "the points of the fields", found, valid);
      };
    check(points.defined() && points.dim() == 2 && points.numel() > 0 &&
            torch::isfinite(points).all().item<bool>(),
          points.defined() ? c10::str("of shape ", points.sizes()) :
                             "not given",
          "a finite point [dim] for each value of a field");
    const auto lowest  = std::get<0>(points.min(0, true)),
               highest = std::get<0>(points.max(0, true));
    const double size  = (highest - lowest).max().item<double>();
    check(size > 0., "a single one", "several points");

    // Points by the numbers of their lines, the last direction fastest. The
    // keys are counted anew for every direction, so that they stay small.
    const long                n = points.size(0), dim = points.size(1);
    auto                      keys     = torch::zeros({n}, torch::kInt64);
    long                      n_points = 1, n_of_grid = 1;
    bool                      regular = true;
    std::vector<std::int64_t> sizes;
    for (long d = 0; d < dim; ++d)
      {
        const auto x       = points.select(1, d);
        const auto lines   = line_numbers(x, 1e-8 * size);
        const long n_lines = lines.max().item<std::int64_t>() + 1;
        const auto unique =
          at::_unique2(keys * n_lines + lines, true, true, false);
        keys     = std::get<1>(unique);
        n_points = std::get<0>(unique).numel();
        sizes.push_back(n_lines);

        // (as a floating point number, their product cannot overflow)
        const double left = lowest[0][d].item<double>(),
                     edge = highest[0][d].item<double>() - left,
                     h    = edge / std::max<double>(n_lines - 1, 1);
        spacing.push_back(h);
        regular =
          regular && n_lines > 1 && double(n_of_grid) * n_lines <= double(n) &&
          ((x - left - h * lines).abs() <= 1e-6 * edge).all().item<bool>();
        n_of_grid = regular ? n_of_grid * n_lines : 1;
      }
    const bool is_a_grid = regular && n_of_grid == n_points;
    grid = is_a_grid ? torch::tensor(sizes) : torch::empty({0}, torch::kInt64);
    if (!is_a_grid)
      spacing.clear();

    const auto counts = torch::bincount(keys, {}, n_points);
    const long least  = counts.min().item<std::int64_t>(),
               most   = counts.max().item<std::int64_t>();
    check(least == most,
          fmt::format("those of {} to {} values each", least, most),
          "the same number of values at all points, which are taken for the "
          "components of a vector; others cannot be told apart");

    // By point, and in a point by number.
    const auto by_point =
      std::get<1>((keys * n + torch::arange(n, torch::kInt64)).sort())
        .reshape({n_points, -1});
    order   = by_point.t().reshape({-1}).contiguous();
    inverse = order.argsort();
    unit_points =
      (points.index_select(0, by_point.select(1, 0)) - lowest) / size;
  }



  PointOrder::PointOrder(const torch::Tensor &order,
                         const torch::Tensor &points,
                         const torch::Tensor &grid_sizes)
    : order(order)
    , unit_points(points)
    , grid(grid_sizes)
    , inverse(order.argsort())
  {}



  torch::Tensor
  PointOrder::to_channels(const torch::Tensor &rows) const
  {
    std::vector<std::int64_t> shape = {rows.size(0), n_components()};
    if (is_grid())
      for (long d = 0; d < grid.numel(); ++d)
        shape.push_back(grid[d].item<std::int64_t>());
    else
      shape.push_back(n_points());
    return rows.index_select(1, order).reshape(shape);
  }



  torch::Tensor
  PointOrder::to_rows(const torch::Tensor &channels) const
  {
    return channels.flatten(1).index_select(1, inverse);
  }



  torch::Tensor
  PointOrder::to_channels_matrix(const torch::Tensor &matrix) const
  {
    const auto entries = matrix.coalesce();
    const auto indices = entries.indices();
    return torch::sparse_coo_tensor(inverse
                                      .index_select(0, indices.reshape({-1}))
                                      .reshape(indices.sizes()),
                                    entries.values(),
                                    matrix.sizes())
      .coalesce();
  }



  torch::Tensor
  PointOrder::point_permutation(const torch::Tensor &values) const
  {
    // Place c·P + p receives what stood in the place images[c][p].
    const auto images = inverse.index_select(0, values.index_select(0, order))
                          .reshape({n_components(), n_points()});
    const auto first = images[0];
    const auto others =
      first +
      n_points() * torch::arange(n_components(), torch::kInt64).unsqueeze(1);
    return torch::equal(images, others) ? first.contiguous() : torch::Tensor();
  }
} // namespace neuraldeal
