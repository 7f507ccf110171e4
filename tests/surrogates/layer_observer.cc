// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/layer_observer.h>
#include <neuraldeal/surrogates/operators/spectral_convolution.h>
#include <torch/autograd.h>

#include <set>

#include "small_operators.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  // What is written down of a layer is what the layer does.
  TEST(LayerObserver, LayersAreSeenAsTheyAre)
  {
    const torch::NoGradGuard no_gradients;
    for (const std::string type : {"Fourier", "attention", "DeepONet"})
      {
        const auto             net = small_operator(type, 2);
        LayerObserver          observer;
        const auto             answer = net.model->forward(net.data);
        std::set<const void *> seen;
        for (std::size_t l = 0; l < observer.layers.size(); ++l)
          {
            const auto &layer = observer.layers[l];
            seen.insert(layer.weight.unsafeGetTensorImpl());
            torch::Tensor wanted;
            switch (layer.kind)
              {
                case ObservedLayer::Kind::channels_first:
                  wanted =
                    torch::matmul(layer.weight, layer.input) + layer.bias;
                  break;
                case ObservedLayer::Kind::features_last:
                  wanted = torch::matmul(layer.input, layer.weight.t());
                  if (layer.bias.defined())
                    wanted = wanted + layer.bias;
                  break;
                default:
                  wanted = torch::view_as_real(torch::matmul(
                    torch::view_as_complex(layer.input.contiguous()),
                    torch::view_as_complex(
                      layer.weight.flatten(0, -4).index_select(0,
                                                               layer.modes))));
              }
            ASSERT_EQ(layer.output.sizes(), wanted.sizes());
            // Some are added to what the layer before has given.
            if (l > 0 && layer.kind == ObservedLayer::Kind::channels_first &&
                observer.layers[l - 1].output.sizes() == wanted.sizes() &&
                layer.input.sizes() == wanted.sizes() &&
                distance(layer.output, wanted) > 1e-3)
              wanted = wanted + observer.layers[l - 1].output;
            EXPECT_LT(distance(layer.output, wanted), 1e-12) << type;
          }
        for (const auto &parameter : net.model->named_parameters())
          {
            if (parameter.key().find("weight") != std::string::npos)
              {
                EXPECT_EQ(seen.count(parameter.value().unsafeGetTensorImpl()),
                          1u)
                  << parameter.key();
              }
          }
        EXPECT_TRUE(torch::equal(answer, net.model->forward(net.data)));
      }
  }



  // By both transforms, on a grid that is too coarse for most of the modes.
  TEST(LayerObserver, ModesAreThoseOfTheWeights)
  {
    const torch::NoGradGuard no_gradients;
    for (const auto transform : {Transform::matrix_product, Transform::fft})
      {
        SpectralConvolution layer(2, 2, {3, 4}, transform);
        randomize_weights(layer, 1., 80);
        const auto fields = random_normal({1, 2, 4, 5}, 702);
        const auto weight = layer.parameters()[0];

        torch::Tensor modes, before;
        {
          LayerObserver observer;
          before = layer.forward(fields);
          ASSERT_EQ(observer.layers.size(), 1u);
          EXPECT_TRUE(torch::equal(observer.layers[0].field, before));
          modes = observer.layers[0].modes;
        }
        EXPECT_EQ(modes.size(0), 4 * 3);

        // Weights of others have no influence, each of these has.
        for (long k = 0; k < 6 * 4; ++k)
          {
            const auto of_mode = weight.flatten(0, 1)[k];
            const auto values  = of_mode.clone();
            of_mode.add_(1.);
            const double change = distance(layer.forward(fields), before);
            of_mode.copy_(values);
            EXPECT_EQ(change > 1e-6, (modes == k).any().item<bool>()) << k;
          }
      }
  }



  TEST(LayerObserver, TheYoungestObserves)
  {
    const auto net = small_operator("DeepONet", 1);
    EXPECT_EQ(LayerObserver::current(), nullptr);
    LayerObserver outer;
    {
      LayerObserver inner;
      net.model->forward(net.data);
      EXPECT_EQ(inner.layers.size(), 4u);
      EXPECT_TRUE(outer.layers.empty());
    }
    net.model->forward(net.data);
    EXPECT_EQ(outer.layers.size(), 4u);
  }



  // Of the layers with chosen weights alone, from the first of which on there
  // are derivatives: those that there are otherwise.
  TEST(LayerObserver, DerivativesFromALayerOn)
  {
    for (const std::string name :
         {"convolution_1.weights", "pointwise_0.bias", "projection_out.weight"})
      {
        const auto net    = small_operator("Fourier", 2);
        const auto weight = net.model->named_parameters()["network." + name];
        const auto gradient_of = [&](const LayerObserver &observer,
                                     const torch::Tensor &answer) {
          for (const auto &layer : observer.layers)
            if (layer.weight.is_same(weight) || layer.bias.is_same(weight))
              return torch::autograd::grad({answer},
                                           {layer.output},
                                           {torch::ones_like(answer)})[0];
          return torch::Tensor();
        };
        torch::Tensor wanted, found;
        {
          LayerObserver all;
          wanted = gradient_of(all, net.model->forward(net.data));
        }
        {
          LayerObserver from_here({weight});
          EXPECT_FALSE(torch::GradMode::is_enabled());
          const auto answer = net.model->forward(net.data);
          EXPECT_TRUE(torch::GradMode::is_enabled());
          ASSERT_EQ(from_here.layers.size(), 1u);
          EXPECT_FALSE(from_here.layers[0].input.requires_grad());
          found = gradient_of(from_here, answer);
        }
        EXPECT_TRUE(torch::GradMode::is_enabled());
        EXPECT_GT(wanted.abs().max().item<double>(), 1e-3);
        EXPECT_LT(distance(found, wanted), 1e-12) << name;
        {
          const torch::NoGradGuard no_gradients;
          {
            LayerObserver from_here({weight});
            net.model->forward(net.data);
          }
          EXPECT_FALSE(torch::GradMode::is_enabled());
        }
      }
  }
} // namespace
