// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/pod.h>

#include <cmath>

#include "simulated_ranks.h"
#include "square_grid.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** Fields on a small square grid, with a group of its symmetries. */
  class PODTest : public testing::Test
  {
  protected:
    PODTest()
      : grid(6)
      , dense_mass(grid.dense_mass())
    {
      space.mass = dense_mass.to_sparse();

      // Smooth fields whose energy falls from one to the next.
      const auto x = grid.points()[0], y = grid.points()[1];
      const auto a = random_normal({n_fields, 4, 4}, 100);
      for (long i = 0; i < n_fields; ++i)
        {
          auto field = torch::zeros({36}, torch::kFloat64);
          for (long k = 0; k < 4; ++k)
            for (long l = 0; l < 4; ++l)
              field += a[i][k][l] * std::pow(0.3, k + l) *
                       torch::cos(M_PI * k * x + 0.3 * k) *
                       torch::cos(M_PI * l * y + 0.1 * l);
          fields.push_back(field);
        }
      all_fields = torch::stack(fields);
    }

    void
    add_symmetry(const torch::Tensor &points)
    {
      space.symmetries.push_back({torch::arange(2), points});
    }

    /** Without symmetries: the group of one element. */
    void
    trivial_group()
    {
      add_symmetry(torch::arange(36));
    }

    /** The symmetries of the square, which do not commute. */
    void
    dihedral_group()
    {
      auto turned = torch::arange(36);
      for (unsigned int i = 0; i < 4; ++i)
        {
          add_symmetry(turned);
          add_symmetry(grid.reflection().index_select(0, turned));
          turned = turned.index_select(0, grid.rotation());
        }
    }

    POD
    compute(const double        tolerance,
            const long          max_modes,
            const Communicator &communicator = {}) const
    {
      return compute_pod(
        all_fields.size(0),
        [this](const long begin, const long end) {
          return all_fields.slice(0, begin, end);
        },
        space,
        tolerance,
        max_modes,
        communicator);
    }

    /** All images of all fields, [n·G, N]. */
    torch::Tensor
    images() const
    {
      std::vector<torch::Tensor> result;
      for (const auto &symmetry : space.symmetries)
        result.push_back(all_fields.index_select(1, symmetry.points));
      return torch::cat(result);
    }

    /** Root mean square distance of the images to the span of the modes. */
    double
    residual(const POD &pod) const
    {
      const auto u = images();
      const auto rest =
        u - torch::mm(torch::mm(u, pod.projector), pod.modes.t());
      return std::sqrt(
        (rest * torch::mm(rest, dense_mass)).sum(1).mean().item<double>());
    }

    /**
     * All modes and the square roots of their energies by a singular value
     * decomposition of what the Cholesky factor makes of the images.
     */
    std::pair<torch::Tensor, torch::Tensor>
    direct() const
    {
      const auto factor = at::linalg_cholesky(dense_mass); // M = L Lᵀ
      const auto u      = images();
      const auto [left, values, right] =
        at::linalg_svd(torch::mm(factor.t(), u.t()), false);
      (void)right;
      return {torch::mm(at::linalg_inv(factor.t()), left),
              values / std::sqrt(u.size(0))};
    }

    static constexpr long n_fields = 40; // more than are read at once

    SquareGrid                 grid;
    torch::Tensor              dense_mass;
    FieldSpace                 space;
    std::vector<torch::Tensor> fields;
    torch::Tensor              all_fields;
  };



  TEST_F(PODTest, ModesAreOrthonormal)
  {
    for (const bool symmetric : {false, true})
      {
        space.symmetries.clear();
        symmetric ? dihedral_group() : trivial_group();
        const auto pod = compute(1e-3, 100);
        const long r   = pod.modes.size(1);
        EXPECT_GT(r, 5);
        EXPECT_LT(distance(torch::mm(pod.modes.t(),
                                     torch::mm(dense_mass, pod.modes)),
                           torch::eye(r, torch::kFloat64)),
                  1e-9);
        EXPECT_LT(distance(pod.projector, torch::mm(dense_mass, pod.modes)),
                  1e-13);
      }
  }



  TEST_F(PODTest, SpanIsTheBestOne)
  {
    for (const bool symmetric : {false, true})
      {
        space.symmetries.clear();
        symmetric ? dihedral_group() : trivial_group();
        const auto pod               = compute(1e-2, 100);
        const long r                 = pod.modes.size(1);
        const auto [modes, energies] = direct();
        const auto best              = modes.slice(1, 0, r);
        EXPECT_LT(distance(torch::mm(pod.modes, pod.modes.t()),
                           torch::mm(best, best.t())),
                  1e-8);

        // and no mode more than is needed (two for a double one)
        const auto left = [&, energies = energies](const long from) {
          return energies.slice(0, from).square().sum().sqrt().item<double>();
        };
        EXPECT_LE(left(r), 1e-2);
        EXPECT_GT(left(r - 2), 1e-2);
        EXPECT_NEAR(pod.truncation, left(r), 1e-12);
      }
  }



  TEST_F(PODTest, TruncationIsTheMeasuredResidual)
  {
    dihedral_group();
    for (const long max_modes : {1, 5, 12})
      {
        const auto pod = compute(1e-12, max_modes);
        EXPECT_LE(pod.modes.size(1), max_modes);
        EXPECT_GT(pod.truncation, 1e-4);
        EXPECT_NEAR(pod.truncation, residual(pod), 1e-9);
      }
  }



  TEST_F(PODTest, ToleranceHolds)
  {
    dihedral_group();
    for (double tolerance = 1.; tolerance > 1e-5; tolerance *= 0.7)
      {
        const auto pod = compute(tolerance, 100);
        EXPECT_LE(pod.truncation, tolerance);
        EXPECT_LE(residual(pod), tolerance + 1e-9);
      }
  }



  // P_g V = V S_g with orthogonal S_g that multiply as the P_g do.
  TEST_F(PODTest, SymmetriesActOnTheSpan)
  {
    dihedral_group();
    for (const long max_modes : {3, 4, 5, 6, 7, 8, 20})
      {
        const auto pod = compute(1e-3, max_modes);
        const long r   = pod.modes.size(1);
        const auto one = torch::eye(r, torch::kFloat64);
        for (std::size_t g = 0; g < 8; ++g)
          {
            const auto &points = space.symmetries[g].points;
            EXPECT_LT(distance(pod.modes.index_select(0, points),
                               torch::mm(pod.modes, pod.symmetries[g])),
                      1e-8);
            EXPECT_LT(distance(torch::mm(pod.symmetries[g],
                                         pod.symmetries[g].t()),
                               one),
                      1e-8);
            const auto coefficients = torch::mm(all_fields, pod.projector);
            EXPECT_LT(distance(torch::mm(all_fields.index_select(1, points),
                                         pod.projector),
                               torch::mm(coefficients, pod.symmetries[g].t())),
                      1e-8);
          }
        EXPECT_LT(distance(pod.symmetries[0], one), 1e-9);
      }
  }



  TEST_F(PODTest, RankOfTheFieldsIsFound)
  {
    trivial_group();
    all_fields =
      torch::mm(random_normal({50, 3}, 101), all_fields.slice(0, 0, 3));
    const auto pod = compute(1e-12, 100);
    EXPECT_EQ(pod.modes.size(1), 3);
    EXPECT_LT(residual(pod), 1e-7);
  }



  // Where the coarse solution is the fine one, there is nothing to correct.
  TEST_F(PODTest, ZeroFieldsGiveNumbers)
  {
    dihedral_group();
    all_fields     = torch::zeros_like(all_fields);
    const auto pod = compute(1e-6, 100);
    EXPECT_EQ(pod.modes.size(1), 1);
    EXPECT_EQ(pod.truncation, 0.);
    EXPECT_EQ(pod.modes.abs().max().item<double>(), 0.);
    EXPECT_EQ(pod.symmetries.abs().max().item<double>(), 0.);
  }



  TEST_F(PODTest, SameBitsOnAnyNumberOfRanks)
  {
    dihedral_group();
    all_fields       = torch::cat({all_fields, all_fields.roll(1, 1)});
    const auto alone = compute(1e-4, 100);
    for (const int size : {2, 3})
      {
        std::vector<POD> results(size);
        SimulatedRanks   ranks(size);
        ranks.run([&](const Communicator &communicator) {
          results[communicator.rank] = compute(1e-4, 100, communicator);
        });
        for (const auto &result : results)
          {
            EXPECT_TRUE(torch::equal(result.modes, alone.modes));
            EXPECT_TRUE(torch::equal(result.projector, alone.projector));
            EXPECT_TRUE(torch::equal(result.symmetries, alone.symmetries));
            EXPECT_EQ(result.truncation, alone.truncation);
          }
      }
  }



  // The symmetries of the square make pairs of equal eigenvalues, whose
  // eigenvectors are arbitrary; so are the signs of all the others.
  TEST_F(PODTest, ModesDependContinuouslyOnTheFields)
  {
    dihedral_group();
    const auto pod   = compute(1e-3, 100);
    const auto exact = all_fields;
    for (const double size : {1e-6, 1e-8})
      {
        all_fields         = exact + size * random_normal({n_fields, 36}, 102);
        const auto changed = compute(1e-3, 100);
        ASSERT_EQ(changed.modes.size(1), pod.modes.size(1));
        const double change = distance(changed.modes, pod.modes);
        EXPECT_GT(change, 0.);
        // The smallest modes have singular values of some 1e-3.
        EXPECT_LT(change, 1e4 * size);
      }
  }



  TEST_F(PODTest, SymmetriesHaveToBeAGroup)
  {
    trivial_group();
    add_symmetry(grid.rotation());
    EXPECT_THROW(compute(1e-4, 100), std::exception);
  }
} // namespace
