// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_square_grid_h
#define neuraldeal_tests_surrogates_square_grid_h

#include <neuraldeal/surrogates/field_space.h>

#include <functional>
#include <vector>

namespace neuraldeal::tests
{
  /** Bilinear elements on the unit square, n × n points, x fastest. */
  class SquareGrid
  {
  public:
    explicit SquareGrid(const long n)
      : n(n)
    {}

    /** The points, [2, n²]. */
    torch::Tensor
    points() const
    {
      const auto line = torch::linspace(0., 1., n, torch::kFloat64);
      return torch::stack(
        {line.repeat({n}), line.unsqueeze(1).repeat({1, n}).reshape({-1})});
    }

    /** The mass matrix as a full one: a product of those of the lines. */
    torch::Tensor
    dense_mass() const
    {
      auto line = torch::zeros({n, n}, torch::kFloat64);
      for (long i = 0; i + 1 < n; ++i)
        for (const long j : {i, i + 1})
          for (const long k : {i, i + 1})
            line[j][k] += (j == k ? 1. / 3. : 1. / 6.) / (n - 1);
      return torch::einsum("ij,kl->ikjl", {line, line}).reshape({n * n, n * n});
    }

    /** A gather for the map (i, j) → (i', j') of the points' indices. */
    torch::Tensor
    gather(const std::function<std::pair<long, long>(long, long)> &map) const
    {
      std::vector<std::int64_t> index;
      for (long j = 0; j < n; ++j)
        for (long i = 0; i < n; ++i)
          {
            const auto [x, y] = map(i, j);
            index.push_back(y * n + x);
          }
      return torch::tensor(index, torch::kInt64);
    }

    /** The reflection x → 1 − x. */
    torch::Tensor
    reflection() const
    {
      return gather([this](const long i, const long j) {
        return std::make_pair(n - 1 - i, j);
      });
    }

    /** The quarter turn. */
    torch::Tensor
    rotation() const
    {
      return gather([this](const long i, const long j) {
        return std::make_pair(j, n - 1 - i);
      });
    }

    long n;
  };
} // namespace neuraldeal::tests

#endif
