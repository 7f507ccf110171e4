// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/uncertainty/kronecker_curvature.h>

#include <cmath>

#include "small_operators.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** Weights of values that differ from each other. */
  torch::Tensor
  value_weights(const SmallOperator &net)
  {
    return random_uniform(net.data.target.sizes().vec(), 0.5, 2., 701);
  }

  /** The Gauss–Newton matrix, and what the Kronecker form has of it. */
  struct Both
  {
    Both(const SmallOperator &net,
         const std::string   &which,
         const bool           reduce  = false,
         const long           n_draws = 0)
      : weights(*net.model, which, "test")
      , form(weights,
             weights.groups(WeightSelection::Groups::one),
             reduce,
             n_draws,
             1)
    {
      const GaussNewton H(net.model, weights, net.data, value_weights(net), 2);
      exact = H.dense();
      form.fit(H);
      found =
        form.curvature_product(torch::eye(weights.size(), torch::kFloat64));
    }

    /** The entries between weights of two parts. */
    static torch::Tensor
    between(const torch::Tensor         &H,
            const WeightSelection::Part &a,
            const WeightSelection::Part &b)
    {
      return H.slice(0, a.begin, a.end).slice(1, b.begin, b.end);
    }

    const WeightSelection weights;
    KroneckerCurvature    form;
    torch::Tensor         exact, found;
  };



  // All channels of a last layer see the same inputs.
  TEST(KroneckerCurvature, LastLayersAreExactInEachChannel)
  {
    for (const std::string type : {"Fourier", "attention"})
      {
        auto                  net = small_operator(type, 3);
        const WeightSelection last(*net.model, "last layer", "test");
        KroneckerCurvature    form(
          last, last.groups(WeightSelection::Groups::one), false, 0, 1);
        const auto w = torch::tensor({0.5, 3.}, torch::kFloat64)
                         .reshape({1, 2, 1, 1})
                         .expand_as(net.data.target);
        const GaussNewton H(net.model, last, net.data, w, 2);
        form.fit(H);
        const auto exact = H.dense();
        EXPECT_LT(distance(form.curvature_product(
                             torch::eye(last.size(), torch::kFloat64)),
                           exact),
                  1e-11 * exact.abs().max().item<double>())
          << type;
      }
  }



  // With one sample every layer of a branch has seen one input.
  TEST(KroneckerCurvature, OneSampleIsExact)
  {
    const Both  both(small_operator("DeepONet", 1), "branch");
    const auto  size  = both.exact.abs().max().item<double>();
    const auto &parts = both.weights.parts();
    ASSERT_EQ(parts.size(), 4u);
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j)
        {
          const auto found = Both::between(both.found, parts[i], parts[j]);
          if (i / 2 == j / 2)
            EXPECT_LT(distance(found,
                               Both::between(both.exact, parts[i], parts[j])),
                      1e-11 * size)
              << parts[i].name << parts[j].name;
          else
            EXPECT_EQ(found.abs().max().item<double>(), 0.);
        }
  }



  // Weights and bias with other priors are blocks of their own.
  TEST(KroneckerCurvature, BiasesWithTheirOwnPrior)
  {
    const auto            net = small_operator("DeepONet", 1);
    const WeightSelection weights(*net.model, "branch.layer_1", "test");
    KroneckerCurvature    form(weights,
                            weights.groups(WeightSelection::Groups::per_tensor),
                            false,
                            0,
                            1);
    const GaussNewton H(net.model, weights, net.data, value_weights(net), 1);
    form.fit(H);
    EXPECT_EQ(form.all_blocks().size(), 2u);
    const auto exact = H.dense();
    const auto found =
      form.curvature_product(torch::eye(weights.size(), torch::kFloat64));
    for (const auto &a : weights.parts())
      for (const auto &b : weights.parts())
        if (a.name == b.name)
          EXPECT_LT(distance(Both::between(found, a, b),
                             Both::between(exact, a, b)),
                    1e-11 * exact.abs().max().item<double>());
        else
          EXPECT_EQ(Both::between(found, a, b).abs().max().item<double>(), 0.);
  }



  /** The product with the imaginary unit of pairs (re, im), [P, P]. */
  torch::Tensor
  imaginary_unit(const long n)
  {
    return torch::kron(torch::eye(n / 2, torch::kFloat64),
                       torch::tensor({{0., -1.}, {1., 0.}}, torch::kFloat64));
  }



  // With one sample the block of a mode is the part of the exact one that
  // commutes with the imaginary unit, and that of frequency zero is exact; both
  // also where a layer has a part of the modes only.
  TEST(KroneckerCurvature, ModesAreComplexLayers)
  {
    for (const long modes : {2, 3})
      {
        const auto net = small_operator("Fourier", 1, {{"modes", modes}});
        const Both both(net, "convolution_1");
        const long n       = 3 * 3 * 2; // weights of a mode
        const auto i       = imaginary_unit(n);
        const long n_modes = both.weights.size() / n, zero = modes;
        ASSERT_EQ(n_modes, modes * 2 * modes);
        const double size = both.exact.abs().max().item<double>();
        for (long k = 0; k < n_modes; ++k)
          for (long l = 0; l < n_modes; ++l)
            {
              const auto block = [&](const torch::Tensor &H) {
                return H.slice(0, k * n, (k + 1) * n)
                  .slice(1, l * n, (l + 1) * n);
              };
              const auto found = block(both.found), exact = block(both.exact);
              if (k != l)
                EXPECT_EQ(found.abs().max().item<double>(), 0.);
              else if (k == zero)
                EXPECT_LT(distance(found, exact), 1e-11 * size);
              else
                {
                  EXPECT_LT(distance(found,
                                     0.5 *
                                       (exact +
                                        torch::mm(torch::mm(i, exact), i.t()))),
                            1e-11 * size)
                    << k;
                  EXPECT_NEAR(found.trace().item<double>(),
                              exact.trace().item<double>(),
                              1e-11 * n * size);
                }
            }
      }
  }



  // The gradients of noise at many points are circular, as is claimed: the part
  // that is left away is small beside the other one.
  TEST(KroneckerCurvature, GradientsOfModesAreCircular)
  {
    const auto net = small_operator("Fourier", 1, {{"padding", 0.}});
    const Both both(net, "convolution_1");
    const long n         = 3 * 3 * 2;
    double     left_away = 0., all = 0.;
    for (long k = 0; k < both.weights.size() / n; ++k)
      if (k != 2)
        {
          const auto block = [&](const torch::Tensor &H) {
            return H.slice(0, k * n, (k + 1) * n).slice(1, k * n, (k + 1) * n);
          };
          left_away += (block(both.found) - block(both.exact))
                         .square()
                         .sum()
                         .item<double>();
          all += block(both.exact).square().sum().item<double>();
        }
    EXPECT_LT(left_away, 0.1 * all);
    EXPECT_GT(all, 0.);
  }



  // Where a layer sees the same in all points, the sum over points is one
  // gradient.
  TEST(KroneckerCurvature, ReduceIsExactForEqualPoints)
  {
    auto net              = small_operator("attention", 1);
    net.data.input.fields = torch::ones({1, 2, 6}, torch::kFloat64);
    net.data.input.points = torch::full({6, 2}, 0.3, torch::kFloat64);
    net.data.target       = torch::ones({1, 2, 6}, torch::kFloat64);
    const Both   reduce(net, "lifting.layer_0", true);
    const Both   expand(net, "lifting.layer_0", false);
    const double size = reduce.exact.abs().max().item<double>();
    EXPECT_LT(distance(reduce.found, reduce.exact), 1e-11 * size);
    EXPECT_GT(distance(expand.found, expand.exact), 1e-2 * size);
  }



  // No linear layer has them.
  TEST(KroneckerCurvature, OtherWeightsHaveTheDiagonal)
  {
    const Both both(small_operator("attention", 2), "attention_0.slices");
    EXPECT_LT(distance(both.found, torch::diag(both.exact.diagonal())),
              1e-11 * both.exact.abs().max().item<double>());
    EXPECT_EQ(both.form.all_blocks().size(), 0u);
  }



  TEST(KroneckerCurvature, DrawsHaveTheFactorsInTheMean)
  {
    for (const std::string type : {"Fourier", "attention", "DeepONet"})
      {
        const auto net = small_operator(type, 2);
        const Both exact(net, "all"), random(net, "all", false, 300);
        const auto difference =
          (random.found - exact.found).norm() / exact.found.norm();
        EXPECT_LT(difference.item<double>(), 0.25) << type;
        EXPECT_GT(difference.item<double>(), 1e-6) << type;
        EXPECT_NEAR((random.found.trace() / exact.found.trace()).item<double>(),
                    1.,
                    0.1)
          << type;
      }
  }
} // namespace
