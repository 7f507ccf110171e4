// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_analytic_family_h
#define neuraldeal_tests_surrogates_analytic_family_h

#include <neuraldeal/surrogates/surrogate.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "square_grid.h"
#include "test_tools.h"

namespace neuraldeal::tests
{
  /**
   * Fields on the unit square that depend smoothly on three parameters,
   *   u(x, y) = sin(π y) exp(μ₂ y) / (1 + μ₀ x² + μ₁ (1 − x)²),
   * with a "coarse solution" that is wrong by several per cent in a smooth
   * way. The reflection x → 1 − x swaps μ₀ and μ₁.
   */
  class AnalyticFamily
  {
  public:
    explicit AnalyticFamily(const long n = 9)
      : grid(n)
      , points(grid.points())
    {
      space.mass   = grid.dense_mass().to_sparse();
      space.points = points.t().contiguous();
      space.symmetries.push_back({torch::arange(3), torch::arange(n * n)});
      space.symmetries.push_back(
        {torch::tensor({1, 0, 2}, torch::kInt64), grid.reflection()});
    }

    virtual ~AnalyticFamily() = default;

    virtual std::vector<InputRange>
    ranges() const
    {
      return {{"left", 0.2, 2., true},
              {"right", 0.2, 2., true},
              {"height", -1., 1., false}};
    }

    /** Snapshots of @p n inputs; @p number tells draws apart. */
    Snapshots
    draw(const long n, const std::uint64_t number) const
    {
      const long d          = ranges().size();
      auto       parameters = random_uniform({n, d}, 0., 1., number);
      for (long i = 0; i < d; ++i)
        {
          const auto range = ranges()[i];
          auto       entry = parameters.select(1, i);
          if (range.logarithmic)
            entry.copy_(
              range.lower *
              torch::exp(std::log(range.upper / range.lower) * entry));
          else
            entry.copy_(range.lower + (range.upper - range.lower) * entry);
        }
      return solve(parameters);
    }

    /** The snapshots of given parameters, [n, 3]. */
    virtual Snapshots
    solve(const torch::Tensor &parameters) const
    {
      const auto x = points[0].unsqueeze(0), y = points[1].unsqueeze(0);
      const auto left   = parameters.slice(1, 0, 1),
                 right  = parameters.slice(1, 1, 2),
                 height = parameters.slice(1, 2, 3);
      Snapshots result;
      result.parameters = parameters;
      result.solution   = torch::sin(M_PI * y) * torch::exp(height * y) /
                        (1. + left * x.square() + right * (1. - x).square());
      result.prior =
        result.solution *
          (1. + 0.05 * torch::cos((left * x + right * (1. - x)) * y)) +
        0.02 * (1. + height) * torch::sin(2. * M_PI * y) *
          torch::cos(M_PI * (x - 0.5) * (1. + 0.3 * left * right));
      return result;
    }

    /** The images of @p snapshots under symmetry number @p g. */
    Snapshots
    image(const Snapshots &snapshots, const long g) const
    {
      const auto &symmetry = space.symmetries[g];
      Snapshots   result;
      result.parameters =
        snapshots.parameters.index_select(1, symmetry.parameters);
      result.prior    = snapshots.prior.index_select(1, symmetry.points);
      result.solution = snapshots.solution.index_select(1, symmetry.points);
      return result;
    }

    Surrogate::Norms
    norms(const Snapshots &snapshots) const
    {
      return {space.norm(snapshots.solution - snapshots.prior),
              space.norm(snapshots.solution)};
    }

    /** ‖field − solution‖ / ‖solution‖ of each row. */
    torch::Tensor
    error(const torch::Tensor &fields, const Snapshots &snapshots) const
    {
      return space.norm(fields - snapshots.solution) /
             space.norm(snapshots.solution);
    }

    SquareGrid    grid;
    torch::Tensor points;
    FieldSpace    space;
  };



  /**
   * The same with four parameters, one for each side, which go round with
   * the square: the symmetries are the quarter turns, of which not all are
   * their own inverse.
   */
  class TurningFamily : public AnalyticFamily
  {
  public:
    explicit TurningFamily(const long n = 9)
      : AnalyticFamily(n)
    {
      space.symmetries = {{torch::arange(4), torch::arange(n * n)}};
      const auto turn  = torch::tensor({3, 0, 1, 2}, torch::kInt64);
      for (unsigned int i = 0; i < 3; ++i)
        {
          const auto last = space.symmetries.back();
          space.symmetries.push_back(
            {last.parameters.index_select(0, turn),
             last.points.index_select(0, grid.rotation())});
        }
    }

    std::vector<InputRange>
    ranges() const override
    {
      return {{"right", 0.2, 2., true},
              {"top", 0.2, 2., true},
              {"left", 0.2, 2., true},
              {"bottom", 0.2, 2., true}};
    }

    Snapshots
    solve(const torch::Tensor &parameters) const override
    {
      const auto x = points[0].unsqueeze(0), y = points[1].unsqueeze(0);
      const auto sum = torch::mm(
        parameters,
        torch::cat(
          {x.square(), y.square(), (1. - x).square(), (1. - y).square()}));
      Snapshots result;
      result.parameters = parameters;
      result.solution   = 1. / (1. + sum);
      result.prior      = 1. / (1.1 + sum + 0.01 * sum.square());
      return result;
    }
  };



  /** Tell @p surrogate of held-out @p snapshots, whose ids are 0, 1, …. */
  inline void
  update(Surrogate            &surrogate,
         const AnalyticFamily &family,
         const Snapshots      &snapshots)
  {
    std::vector<long> ids(snapshots.parameters.size(0));
    std::iota(ids.begin(), ids.end(), 0);
    surrogate.update(surrogate.summarize(snapshots, family.norms(snapshots)),
                     ids,
                     true);
  }



  /** Rows @p begin, …, @p end − 1 of @p all. */
  inline Snapshots
  rows(const Snapshots &all, const long begin, const long end)
  {
    return SnapshotsInMemory(all).read(begin, end);
  }



  /** @p a followed by @p b. */
  inline Snapshots
  joined(const Snapshots &a, const Snapshots &b)
  {
    Snapshots result;
    result.parameters = torch::cat({a.parameters, b.parameters});
    result.prior      = torch::cat({a.prior, b.prior});
    result.solution   = torch::cat({a.solution, b.solution});
    return result;
  }
} // namespace neuraldeal::tests

#endif
