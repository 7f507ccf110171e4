// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// PiecewiseCoarseSpace: P, A P and E⁻¹ against products with the whole matrix
// of a small problem, on any number of processes.

#include <gtest/gtest.h>
#include <neuraldeal/plugin/coarse_space.h>

#include <cmath>
#include <limits>
#include <vector>

using namespace neuraldeal;

namespace
{
  constexpr int width = 12, n_all = width * width;

  using Array = std::vector<double>;

  /**
   * −∇·(a ∇u) + w ∂u/∂x on a square grid with five-point differences, by
   * strips of rows; the first and the last unknown are decoupled.
   */
  class Grid
  {
  public:
    explicit Grid(const double contrast, const double wind)
      : entries(n_all * n_all, 0.)
    {
      int rank, size;
      MPI_Comm_rank(MPI_COMM_WORLD, &rank);
      MPI_Comm_size(MPI_COMM_WORLD, &size);
      for (int p = 0; p <= size; ++p)
        ranges.push_back(n_all * p / size);
      begin = ranges[rank];
      end   = ranges[rank + 1];

      const auto a = [&](const int i, const int j) {
        return 1. + contrast * ((i * 7 + j * 3) % 5);
      };
      for (int i = 0; i < n_all; ++i)
        {
          entries[i * n_all + i] = 0.1;
          for (const int step : {-1, 1, -width, width})
            {
              const int j = i + step;
              if (j < 0 || j >= n_all ||
                  (std::abs(step) == 1 && j / width != i / width))
                continue;
              const double c = a(std::min(i, j), std::max(i, j));
              entries[i * n_all + j] -= c;
              entries[i * n_all + i] += c;
              if (step == -1)
                {
                  entries[i * n_all + j] -= wind;
                  entries[i * n_all + i] += wind;
                }
            }
        }
      for (const int i : {0, n_all - 1})
        {
          for (int j = 0; j < n_all; ++j)
            entries[i * n_all + j] = entries[j * n_all + i] = 0.;
          entries[i * n_all + i] = 2.;
        }

      std::vector<int> ghosts;
      starts[0] = starts[1] = {0};
      for (int i = begin; i < end; ++i)
        {
          for (int j = 0; j < n_all; ++j)
            {
              // The pattern is that of the grid, also where entries are zero.
              const bool neighbours =
                i == j || std::abs(i - j) == width ||
                (std::abs(i - j) == 1 && i / width == j / width);
              if (!neighbours)
                continue;
              const bool own = j >= begin && j < end;
              if (own)
                columns[0].push_back(j - begin);
              else
                {
                  columns[1].push_back(static_cast<int>(ghosts.size()));
                  for (std::size_t g = 0; g < ghosts.size(); ++g)
                    if (ghosts[g] == j)
                      columns[1].back() = static_cast<int>(g);
                  if (columns[1].back() == static_cast<int>(ghosts.size()))
                    ghosts.push_back(j);
                }
              values[own ? 0 : 1].push_back(entries[i * n_all + j]);
            }
          for (int b = 0; b < 2; ++b)
            starts[b].push_back(static_cast<int>(columns[b].size()));
        }
      matrix.n_rows = n_local();
      for (int b = 0; b < 2; ++b)
        matrix.blocks.push_back({starts[b].data(),
                                 columns[b].data(),
                                 values[b].data(),
                                 b == 0 ? 0 : end - begin});
      for (const int j : ghosts)
        {
          int owner = 0;
          while (ranges[owner + 1] <= j)
            ++owner;
          matrix.ghosts.emplace_back(owner, j - ranges[owner]);
        }
      matrix.communicator = MPI_COMM_WORLD;
    }

    Grid(const Grid &) = delete;

    std::size_t
    n_local() const
    {
      return end - begin;
    }

    Array
    gather(const Array &x) const
    {
      Array result(n_all, 0.);
      std::copy(x.begin(), x.end(), result.begin() + begin);
      MPI_Allreduce(MPI_IN_PLACE,
                    result.data(),
                    n_all,
                    MPI_DOUBLE,
                    MPI_SUM,
                    MPI_COMM_WORLD);
      return result;
    }

    /** The whole matrix times @p x, own rows. */
    Array
    multiply(const Array &x) const
    {
      const Array all = gather(x);
      Array       result(n_local(), 0.);
      for (int i = begin; i < end; ++i)
        for (int j = 0; j < n_all; ++j)
          result[i - begin] += entries[i * n_all + j] * all[j];
      return result;
    }

    /** Something smooth, number @p k. */
    Array
    mode(const int k) const
    {
      Array result;
      for (int i = begin; i < end; ++i)
        result.push_back(
          i == 0 || i == n_all - 1 ?
            0. :
            std::sin(0.3 * (k + 1) * (i % width) + k) +
              std::cos(0.2 * (k + 2) * static_cast<double>(i / width)));
      return result;
    }

    std::vector<bool>
    decoupled() const
    {
      std::vector<bool> result;
      for (int i = begin; i < end; ++i)
        result.push_back(i == 0 || i == n_all - 1);
      return result;
    }

    LocalMatrix matrix;
    int         begin, end;

  private:
    std::vector<int> ranges, starts[2], columns[2];
    Array            values[2], entries;
  };

  constexpr int n_modes = 4;

  /** Four directions, in sets of about 18 unknowns. */
  PiecewiseCoarseSpace
  make_space(const Grid &grid)
  {
    std::vector<Array> modes;
    for (int k = 0; k < n_modes; ++k)
      modes.push_back(grid.mode(k));
    std::vector<const double *> directions;
    for (const auto &mode : modes)
      directions.push_back(mode.data());
    Array root(n_modes * n_modes, 0.);
    for (int k = 0; k < n_modes; ++k)
      root[k * n_modes + k] = 1.;
    PiecewiseCoarseSpace space(grid.matrix, grid.decoupled(), 8);
    space.set_modes(directions, root, n_modes);
    return space;
  }

  double
  largest_difference(const Array &x, const Array &y)
  {
    EXPECT_EQ(x.size(), y.size());
    double result = 0.;
    for (std::size_t i = 0; i < x.size(); ++i)
      result = std::max(result, std::abs(x[i] - y[i]));
    MPI_Allreduce(
      MPI_IN_PLACE, &result, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return result;
  }

  Array
  some_coefficients(const unsigned int n)
  {
    Array c(n);
    for (unsigned int i = 0; i < n; ++i)
      c[i] = std::sin(1. + 2.3 * i);
    return c;
  }
} // namespace



// A P by parts is the whole matrix times P, and E its projection.
TEST(PiecewiseCoarseSpace, ProductsAreThoseOfTheMatrix)
{
  for (const double wind : {0., 0.7})
    {
      const Grid grid(0.5, wind);
      auto       space = make_space(grid);
      ASSERT_TRUE(space.set_matrix(grid.matrix, Symmetry::automatic));
      EXPECT_EQ(space.is_definite(), wind == 0.);
      ASSERT_GT(space.size(), 4u * n_modes);

      const Array c = some_coefficients(space.size());
      Array       pc(grid.n_local(), 0.), apc(grid.n_local(), 0.);
      space.add(pc.data(), 2., c);
      space.add_product(apc.data(), 2., c);
      const Array expected = grid.multiply(pc);
      EXPECT_LT(largest_difference(apc, expected), 1e-12);
      EXPECT_GT(largest_difference(apc, Array(grid.n_local(), 0.)), 0.1);

      // E⁻¹ Pᵀ A P = 1, if all modes are there.
      Array twice_c = c;
      for (auto &value : twice_c)
        value *= 2.;
      EXPECT_LT(largest_difference(space.solve(apc.data()), twice_c), 1e-9);

      if (wind == 0.)
        {
          const Array y = grid.mode(9);
          EXPECT_LT(largest_difference(space.solve_transposed(y.data()),
                                       space.solve(grid.multiply(y).data())),
                    1e-10);
        }
    }
}



// What was learned is in the span, and so are its pieces.
TEST(PiecewiseCoarseSpace, FindsWhatWasLearned)
{
  const Grid grid(2., 0.);
  auto       space = make_space(grid);
  ASSERT_TRUE(space.set_matrix(grid.matrix, Symmetry::definite));
  const Array x = grid.mode(2);
  Array       found(grid.n_local(), 0.);
  space.add(found.data(), 1., space.solve(grid.multiply(x).data()));
  EXPECT_LT(largest_difference(found, x), 1e-10);
}



// Another graph, other decoupled rows and an indefinite matrix are noticed.
TEST(PiecewiseCoarseSpace, KnowsItsMatrix)
{
  const Grid grid(0.5, 0.), other(3., 0.);
  auto       space = make_space(grid);
  EXPECT_TRUE(space.fits(other.matrix, other.decoupled()));
  auto marks = grid.decoupled();
  if (grid.begin == 0)
    marks[5] = true;
  EXPECT_FALSE(space.fits(grid.matrix, marks));

  Array       negative[2];
  LocalMatrix indefinite = grid.matrix;
  for (unsigned int b = 0; b < 2; ++b)
    {
      auto &block = indefinite.blocks[b];
      for (int e = 0; e < block.starts[grid.n_local()]; ++e)
        negative[b].push_back(-block.values[e]);
      block.values = negative[b].data();
    }
  EXPECT_FALSE(space.set_matrix(indefinite, Symmetry::definite));
}
