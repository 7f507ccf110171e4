// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/linearization.h>

#include "small_operators.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const std::vector<std::string> types = {"Fourier", "attention", "DeepONet"};

  Linearization
  linearized(const SmallOperator &net, const WeightSelection &weights)
  {
    return Linearization([&]() { return net.model->forward(net.data); },
                         weights);
  }



  TEST(WeightSelection, WeightsAreChosenByName)
  {
    const auto            net = small_operator("Fourier", 1);
    const WeightSelection all(*net.model, "all", "test");
    long                  count = 0;
    for (const auto &tensor : net.model->parameters())
      count += tensor.numel();
    EXPECT_EQ(all.size(), count);

    const WeightSelection last(*net.model, "last layer", "test");
    ASSERT_EQ(last.parts().size(), 2u);
    EXPECT_EQ(last.parts()[0].name, "network.projection_out.weight");
    EXPECT_EQ(last.parts()[1].name, "network.projection_out.bias");
    EXPECT_EQ(last.size(), 2 * 12 + 2);

    const WeightSelection spectral(*net.model, "convolution_1|lifting", "test");
    ASSERT_EQ(spectral.parts().size(), 3u);
    EXPECT_EQ(spectral.parts()[2].name, "network.convolution_1.weights");
    EXPECT_EQ(spectral.groups(WeightSelection::Groups::one),
              (std::vector<long>{0, 0, 0}));
    EXPECT_EQ(spectral.groups(WeightSelection::Groups::per_layer),
              (std::vector<long>{0, 0, 1}));
    EXPECT_EQ(spectral.groups(WeightSelection::Groups::per_tensor),
              (std::vector<long>{0, 1, 2}));
  }



  TEST(WeightSelection, OneVectorAndItsParts)
  {
    const auto            net = small_operator("DeepONet", 1);
    const WeightSelection weights(*net.model, "trunk", "test");
    const auto            values = weights.values();
    ASSERT_EQ(values.size(0), weights.size());
    const auto parts = weights.split(values);
    for (std::size_t i = 0; i < parts.size(); ++i)
      EXPECT_TRUE(torch::equal(parts[i], weights.parts()[i].tensor));
    EXPECT_TRUE(torch::equal(weights.join(parts), values));
  }



  TEST(WeightSelection, WrongChoicesAreExplained)
  {
    const auto net = small_operator("Fourier", 1);
    expect_sentence(message_of<InputError>([&]() {
                      WeightSelection(*net.model, "branch", "model.json");
                    }),
                    {"model.json", "branch", "network.lifting.weight"});
    expect_sentence(message_of<InputError>([&]() {
                      WeightSelection(*net.model, "(", "model.json");
                    }),
                    {"model.json", "'('", "regular expression"});
  }



  // ⟨u, J v⟩ = ⟨Jᵀ u, v⟩
  TEST(Linearization, ProductsAreAdjointToEachOther)
  {
    for (const auto &type : types)
      for (const std::string which : {"all", "last layer"})
        {
          const auto            net = small_operator(type, 2);
          const WeightSelection weights(*net.model, which, "test");
          const auto            J = linearized(net, weights);
          for (const std::uint64_t i : {1, 2})
            {
              const auto v = random_normal({weights.size()}, 10 + i);
              const auto u = random_normal({2, 2, 4, 5}, 20 + i);
              const auto a = (u * J.product(v)).sum().item<double>();
              const auto b = (J.transposed_product(u) * v).sum().item<double>();
              EXPECT_NEAR(a, b, 1e-11 * (1. + std::abs(a))) << type << which;
              EXPECT_GT(std::abs(a), 1e-3);
            }
        }
  }



  TEST(Linearization, ProductsAreDifferenceQuotients)
  {
    const torch::NoGradGuard no_gradients;
    for (const auto &type : types)
      {
        const auto            net = small_operator(type, 2);
        const WeightSelection weights(*net.model, "all", "test");
        const auto            J     = linearized(net, weights);
        const auto            v     = random_normal({weights.size()}, 30);
        const auto            Jv    = J.product(v);
        const auto            start = weights.values();
        const double          step  = 1e-5;
        const auto            at    = [&](const double t) {
          const auto parts = weights.split(start + t * v);
          for (std::size_t i = 0; i < parts.size(); ++i)
            weights.parts()[i].tensor.detach().copy_(parts[i]);
          return net.model->forward(net.data);
        };
        const auto quotient = (at(step) - at(-step)) / (2. * step);
        at(0.);
        EXPECT_LT(distance(Jv, quotient),
                  1e-7 * quotient.abs().max().item<double>())
          << type;
        // Attention may have other kernels where derivatives are not wanted.
        EXPECT_LT(distance(J.answer(), net.model->forward(net.data)), 1e-12);
      }
  }



  // By rows, by columns and value by value.
  TEST(Linearization, DenseMatrixIsThatOfProducts)
  {
    for (const std::string which : {"all", "last layer"})
      {
        const auto            net = small_operator("Fourier", 2);
        const WeightSelection weights(*net.model, which, "test");
        const auto            J = linearized(net, weights);
        EXPECT_EQ(weights.size() < 80, which == "last layer");
        const auto dense = J.dense();
        EXPECT_EQ(dense.sizes(),
                  (std::vector<std::int64_t>{80, weights.size()}));
        const auto v = random_normal({weights.size()}, 31);
        EXPECT_LT(distance(torch::mv(dense, v), J.product(v).flatten()), 1e-11);
        const auto numbers = torch::tensor({7, 79, 0}, torch::kInt64);
        EXPECT_LT(distance(J.rows(numbers), dense.index_select(0, numbers)),
                  1e-12);
      }
  }



  // In single precision the weights are so, what is summed up is not.
  TEST(Linearization, OtherPrecisionsAndWeightsWithoutInfluence)
  {
    const auto            net = small_operator("DeepONet", 2);
    const WeightSelection in_double(*net.model, "branch.layer_0", "test");
    const auto            v      = random_normal({in_double.size()}, 32);
    const auto            wanted = linearized(net, in_double).product(v);
    net.model->to(torch::kFloat32);
    const WeightSelection in_single(*net.model, "branch.layer_0", "test");
    const auto            data = net.data.to(torch::kFloat32);
    const Linearization   J([&]() { return net.model->forward(data); },
                          in_single);
    const auto            found = J.product(v);
    EXPECT_EQ(found.scalar_type(), torch::kFloat64);
    EXPECT_LT(distance(found, wanted), 1e-4);
    EXPECT_GT(found.abs().max().item<double>(), 1e-2);

    // Answers of the trunk alone do not depend on the branch.
    const auto          trunk = net.model->named_parameters()["network.bias"];
    const Linearization other([&]() { return 2. * trunk; }, in_single);
    EXPECT_EQ(other.product(v).abs().max().item<double>(), 0.);
    EXPECT_EQ(
      other.transposed_product(torch::ones({2, 1})).abs().max().item<double>(),
      0.);
  }
} // namespace
