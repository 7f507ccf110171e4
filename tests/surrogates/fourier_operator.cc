// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/fourier_operator.h>
#include <torch/utils.h>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const nlohmann::json tiny = {{"width", 4}, {"layers", 2}, {"modes", 2}};



  TEST(FourierOperator, Gradients)
  {
    for (const bool mixing : {false, true})
      for (const long dim : {1, 2, 3})
        {
          FourierOperator::Parameters parameters;
          parameters.width         = 3;
          parameters.layers        = 2;
          parameters.modes         = std::vector<long>(dim, 2);
          parameters.mixing_layers = mixing;
          torch::manual_seed(2);
          FourierOperator network({2, 1, dim}, parameters);
          network.to(torch::kFloat64);
          std::vector<std::int64_t> in = {2, 2}, out = {2, 1};
          for (long j = 0; j < dim; ++j)
            {
              in.push_back(5 + j);
              out.push_back(5 + j);
            }
          const auto v = random_normal(in, 44), u = random_normal(out, 45);
          check_gradients(network, [&]() {
            return (network.forward({v}) - u).square().sum();
          });
        }
  }



  // Without padding it is a composition of convolutions and pointwise maps of
  // fields and coordinates: turn the channels of the coordinates off, and
  // translations commute.
  TEST(FourierOperator, TranslationsCommuteButForTheCoordinates)
  {
    auto       parameters = tiny;
    const auto v          = random_normal({1, 1, 8, 8}, 46);
    const auto roll       = [](const torch::Tensor &fields) {
      return fields.roll({3, 2}, {2, 3});
    };
    const auto deviation = [&](const double padding, const bool coordinates) {
      parameters["padding"] = padding;
      const auto network =
        make_operator("Fourier", {1, 1, 2}, parameters, "test", 5);
      network->to(torch::kFloat64);
      if (!coordinates)
        network->named_parameters()["lifting.weight"].detach().slice(1, 1, 3) =
          0.;
      return distance(network->forward({roll(v)}), roll(network->forward({v})));
    };
    EXPECT_LT(deviation(0., false), 1e-13);
    EXPECT_GT(deviation(0., true), 1e-3);
    EXPECT_GT(deviation(0.25, false), 1e-3);
  }



  TEST(FourierOperator, SeedsDecide)
  {
    const auto weights = [](const std::uint64_t seed) {
      return make_operator("Fourier", {1, 1, 2}, tiny, "test", seed)
        ->parameters()[0]
        .clone();
    };
    EXPECT_TRUE(torch::equal(weights(1), weights(1)));
    EXPECT_FALSE(torch::equal(weights(1), weights(2)));
  }



  TEST(FourierOperator, WrongNamesAreExplained)
  {
    expect_sentence(message_of<InputError>([]() {
                      make_operator("Furier", {1, 1, 2}, {}, "run.json", 1);
                    }),
                    {"run.json", "Furier", "Fourier"});
    expect_sentence(
      message_of<InputError>([]() {
        make_operator("Fourier", {1, 1, 2}, {{"modes", 0}}, "run.json", 1);
      }),
      {"run.json", "modes", "0"});

    const auto network = make_operator("Fourier", {1, 1, 2}, tiny, "test", 5);
    OperatorInput input;
    input.fields = torch::zeros({3, 1, 6, 6});
    input.mask   = torch::ones({3, 6, 6});
    expect_sentence(message_of<InputError>([&]() { network->forward(input); }),
                    {"Fourier", "mask", "[3, 6, 6]"});
  }
} // namespace
