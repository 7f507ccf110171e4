// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/feature_layers.h>

#include <cmath>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  TEST(FeatureLinear, IsAnAffineMapOfTheLastIndex)
  {
    FeatureLinear layer(3, 2), without_bias(3, 2, false);
    layer.to(torch::kFloat64);
    const auto x = random_normal({4, 5, 3}, 1);
    const auto y = layer.forward(x);
    const auto w = layer.named_parameters()["weight"];
    const auto b = layer.named_parameters()["bias"];
    for (long i = 0; i < 4; ++i)
      for (long j = 0; j < 5; ++j)
        EXPECT_LT(distance(y[i][j], torch::mv(w, x[i][j]) + b), 1e-14);
    EXPECT_EQ(without_bias.parameters().size(), 1);
  }



  TEST(FeatureLinear, WeightsStartWithinTheirBound)
  {
    const FeatureLinear layer(16, 300);
    for (const auto &parameter : layer.parameters())
      {
        EXPECT_LE(parameter.abs().max().item<double>(), 0.25);
        EXPECT_GT(parameter.abs().max().item<double>(), 0.23);
      }
  }



  TEST(NormalizedFeatures, HaveMeanZeroAndVarianceOne)
  {
    const auto x = 3. + 5. * random_normal({2, 3, 200}, 2);
    const auto y = normalized_features(x);
    EXPECT_LT(distance(y.mean(-1), torch::zeros({2, 3}, torch::kFloat64)),
              1e-12);
    EXPECT_LT(distance(y.square().mean(-1),
                       torch::ones({2, 3}, torch::kFloat64)),
              1e-5);
    const auto centred = x - x.mean(-1, true);
    EXPECT_LT(distance(y, centred / centred.square().mean(-1, true).sqrt()),
              1e-5);
  }



  TEST(FeatureNetwork, IsItsLayersWithActivationsBetween)
  {
    const auto x = random_normal({7, 3}, 4);
    for (const auto activation : {Activation::gelu, Activation::tanh})
      {
        FeatureNetwork network(3, 2, 5, 2, activation);
        randomize_weights(network, 0.7, 5);
        const auto weights = network.named_parameters();
        ASSERT_EQ(weights.size(), 6);

        auto expected = x;
        for (const std::string l : {"0", "1", "2"})
          {
            if (l != "0")
              expected =
                activation == Activation::tanh ?
                  expected.tanh() :
                  0.5 * expected * (1. + torch::erf(expected / std::sqrt(2.)));
            expected =
              torch::matmul(expected, weights["layer_" + l + ".weight"].t()) +
              weights["layer_" + l + ".bias"];
          }
        EXPECT_LT(distance(network.forward(x), expected), 1e-13);
      }
  }



  TEST(FeatureNetwork, IsAffineWithoutHiddenLayers)
  {
    FeatureNetwork network(3, 2, 5, 0);
    EXPECT_EQ(network.parameters().size(), 2);
    network.to(torch::kFloat64);
    const auto x = random_normal({1, 3}, 6), y = random_normal({1, 3}, 7);
    const auto zero = network.forward(torch::zeros({1, 3}, torch::kFloat64));
    EXPECT_LT(distance(network.forward(x + 2. * y) - zero,
                       network.forward(x) + 2. * network.forward(y) -
                         3. * zero),
              1e-14);
  }
} // namespace
