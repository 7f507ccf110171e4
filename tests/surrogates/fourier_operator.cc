// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/fourier_operator.h>
#include <torch/utils.h>

#include <cmath>

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



  // An ensemble in one pass is the operators one by one.
  TEST(FourierOperator, MembersAreOperators)
  {
    const torch::NoGradGuard no_gradients;
    constexpr long           members = 3;
    for (const auto transform : {Transform::matrix_product, Transform::fft})
      for (const bool shared_trunk : {false, true})
        for (const bool mixing : {false, true})
          {
            FourierOperator::Parameters parameters;
            parameters.width         = 4;
            parameters.layers        = 2;
            parameters.modes         = {2, 3};
            parameters.padding       = 0;
            parameters.mixing_layers = mixing;
            parameters.transform     = transform;
            const OperatorShape shape{2, 2, 2};
            FourierOperator     single(shape, parameters);
            parameters.members      = members;
            parameters.shared_trunk = shared_trunk;
            FourierOperator ensemble(shape, parameters);
            single.to(torch::kFloat64);
            ensemble.to(torch::kFloat64);
            EXPECT_EQ(single.n_members(), 1);
            EXPECT_EQ(ensemble.n_members(), members);

            const auto v       = random_normal({2, 2, 6, 7}, 47);
            const auto answers = ensemble.forward({v});
            ASSERT_EQ(answers.sizes(),
                      (std::vector<std::int64_t>{members, 2, 2, 6, 7}));
            const auto own    = single.named_parameters();
            const auto of_all = ensemble.named_parameters();
            for (long i = 0; i < members; ++i)
              {
                for (const auto &item : of_all)
                  {
                    auto       mine   = own[item.key()];
                    const auto theirs = item.value();
                    // Groups stand before [in, out, 2] or [out, in], and are
                    // side by side where all read the same.
                    const auto part =
                      theirs.sizes() == mine.sizes() ?
                        theirs :
                      theirs.dim() == mine.dim() ?
                        theirs.chunk(members)[i] :
                        theirs.select(theirs.dim() == 3 ? 0 : -4, i);
                    // Heads have fewer channels, others are without weight.
                    mine.zero_();
                    for (long j = 0; j < part.dim(); ++j)
                      mine = mine.slice(j, 0, part.size(j));
                    mine.copy_(part);
                  }
                EXPECT_LT(distance(single.forward({v}), answers[i]), 1e-13);
              }
            EXPECT_GT(distance(answers[0], answers[1]), 1e-3);
          }
  }



  TEST(FourierOperator, DropoutTakesWholeChannels)
  {
    const torch::NoGradGuard    no_gradients;
    FourierOperator::Parameters parameters;
    parameters.width         = 1;
    parameters.layers        = 1;
    parameters.modes         = {2};
    parameters.mixing_layers = false;
    parameters.dropout       = 0.3;
    torch::manual_seed(2);
    FourierOperator network({1, 1, 1}, parameters);
    network.to(torch::kFloat64);
    constexpr long n = 2000;
    const auto     v = random_normal({1, 1, 8}, 48).expand({n, 1, 8});
    network.train();
    const auto answers = network.forward({v}).squeeze(1);
    const auto are_constant =
      (answers - answers.select(1, 0).unsqueeze(1)).abs().amax(1).lt(1e-14);
    // Four standard deviations of a binomial number
    EXPECT_NEAR(are_constant.to(torch::kFloat64).mean().item<double>(),
                0.3,
                4. * std::sqrt(0.3 * 0.7 / n));
    const auto others = answers.index({are_constant.logical_not()});
    EXPECT_LT(distance(others, others[0].expand_as(others)), 1e-13);

    // What remains is as much larger as there is less of it.
    network.eval();
    const auto whole = network.forward({v});
    EXPECT_LT(distance(whole, whole.slice(0, 0, 1).expand_as(whole)), 1e-13);
    auto weight = network.named_parameters()["projection_in.weight"];
    weight.div_(0.7);
    EXPECT_LT(distance(network.forward({v}).squeeze(1)[0], others[0]), 1e-13);
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
