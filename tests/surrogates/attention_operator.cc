// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/attention_operator.h>
#include <neuraldeal/surrogates/operators/point_fields.h>
#include <neuraldeal/surrogates/perceptron.h>
#include <neuraldeal/surrogates/training/schedules.h>
#include <torch/optim/adam.h>

#include <cmath>
#include <limits>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  AttentionOperator::Parameters
  small()
  {
    AttentionOperator::Parameters parameters;
    parameters.width  = 6;
    parameters.layers = 2;
    parameters.heads  = 2;
    parameters.slices = 3;
    return parameters;
  }



  TEST(AttentionOperator, PermutedPointsGivePermutedValues)
  {
    torch::NoGradGuard  no_gradients;
    const OperatorShape shape{2, 3, 2};
    AttentionOperator   op(shape, small());
    randomize_weights(op, 0.5, 1);
    const auto fields      = random_normal({2, 2, 9}, 30);
    const auto points      = random_normal({2, 9, 2}, 31);
    const auto permutation = torch::tensor({3, 0, 8, 1, 7, 2, 6, 4, 5});

    const auto value = op.forward({fields, points});
    EXPECT_EQ(value.sizes().vec(), (std::vector<std::int64_t>{2, 3, 9}));
    const auto permuted = op.forward({fields.index_select(2, permutation),
                                      points.index_select(1, permutation)});
    EXPECT_LT(distance(permuted, value.index_select(2, permutation)), 1e-12);
    // and not all points are alike
    EXPECT_GT(distance(permuted, value), 1e-2);
    // Where the points are matters.
    EXPECT_GT(distance(op.forward({fields, points + 0.1}), value), 1e-3);
  }



  TEST(AttentionOperator, MaskedPointsDoNotMatter)
  {
    torch::NoGradGuard  no_gradients;
    const OperatorShape shape{1, 2, 2};
    AttentionOperator   op(shape, small());
    randomize_weights(op, 0.5, 2);
    const auto fields = random_normal({1, 1, 8}, 32);
    const auto points = random_normal({8, 2}, 33);
    const auto few = op.forward({fields.slice(2, 0, 5), points.slice(0, 0, 5)});

    // Clouds of five and of eight points side by side.
    auto both        = fields.repeat({2, 1, 1});
    auto both_points = points.repeat({2, 1, 1});
    both[0].slice(1, 5).fill_(std::numeric_limits<double>::quiet_NaN());
    both_points[0].slice(0, 5).fill_(1e300);
    auto mask           = torch::ones({2, 8}, torch::kBool);
    mask[0].slice(0, 5) = false;
    const auto value    = op.forward({both, both_points, mask});
    EXPECT_LT(distance(value[0].slice(1, 0, 5), few[0]), 1e-12);
    EXPECT_EQ(value[0].slice(1, 5).abs().max().item<double>(), 0.);
    EXPECT_LT(distance(value[1], op.forward({fields, points})[0]), 1e-12);
    EXPECT_GT(distance(value[1].slice(1, 0, 5), few[0]), 1e-3);
  }



  // Nor do they with convolutions, which read neighbours.
  TEST(AttentionOperator, MaskedPointsOfAGridDoNotMatter)
  {
    torch::NoGradGuard  no_gradients;
    const OperatorShape shape{1, 1, 2};
    auto                parameters = small();
    parameters.local_convolution   = true;
    parameters.local_network       = true;
    AttentionOperator op(shape, parameters);
    randomize_weights(op, 0.3, 3);
    auto fields   = random_normal({1, 1, 4, 3}, 34);
    auto mask     = torch::ones({1, 4, 3}, torch::kBool);
    mask[0][1][1] = mask[0][3][2] = false;
    const auto value              = op.forward({fields, {}, mask});
    EXPECT_EQ(value[0][0][1][1].item<double>(), 0.);
    EXPECT_NE(value[0][0][1][2].item<double>(), 0.);

    fields[0][0][1][1] = 1e3;
    fields[0][0][3][2] = std::numeric_limits<double>::infinity();
    EXPECT_TRUE(torch::equal(op.forward({fields, {}, mask}), value));
  }



  TEST(AttentionOperator, GridsArePointCloudsToo)
  {
    torch::NoGradGuard no_gradients;
    for (const auto &sizes :
         std::vector<std::vector<std::int64_t>>{{7}, {4, 3}, {2, 3, 2}})
      {
        const OperatorShape shape{2, 1, long(sizes.size())};
        AttentionOperator   op(shape, small());
        randomize_weights(op, 0.5, 4);
        std::vector<std::int64_t> all = {3, 2};
        all.insert(all.end(), sizes.begin(), sizes.end());
        const auto fields = random_normal(all, 35);
        const auto value  = op.forward({fields});
        all[1]            = 1;
        EXPECT_EQ(value.sizes().vec(), all);
        EXPECT_LT(distance(value.flatten(2),
                           op.forward({fields.flatten(2),
                                       grid_points(sizes, torch::kFloat64)})),
                  1e-13);
      }
  }



  // One layer without its attention is a network on each point.
  TEST(AttentionOperator, IsMadeOfItsLayers)
  {
    torch::NoGradGuard  no_gradients;
    const OperatorShape shape{1, 1, 1};
    auto                parameters = small();
    parameters.layers              = 1;
    parameters.mlp_ratio           = 1.5;
    AttentionOperator op(shape, parameters);
    randomize_weights(op, 0.5, 5);
    const auto weights = op.named_parameters();
    weights["attention_0.output.weight"].zero_();

    const auto fields = random_normal({1, 1, 4}, 36);
    const auto points = random_normal({4, 1}, 37);
    const auto linear = [&](const torch::Tensor &x, const std::string &name) {
      const auto y = torch::mm(x, weights[name + ".weight"].t());
      return weights.contains(name + ".bias") ? y + weights[name + ".bias"] : y;
    };
    const auto network = [&](const torch::Tensor &x, const std::string &name) {
      const auto y = linear(x, name + ".layer_0");
      return linear(0.5 * y * (1. + torch::erf(y / std::sqrt(2.))),
                    name + ".layer_1");
    };
    const auto norm = [&](const torch::Tensor &x) {
      const auto centred = x - x.mean(1, true);
      return centred / (centred.square().mean(1, true) + 1e-5).sqrt();
    };
    auto v = network(torch::cat({fields[0].t(), points}, 1), "lifting");
    v      = v + network(norm(v), "network_0");
    EXPECT_LT(distance(op.forward({fields, points})[0].t(),
                       linear(norm(v), "projection")),
              1e-12);
    EXPECT_EQ(weights["network_0.layer_0.weight"].size(0), 9);
  }



  // A value reaches the neighbours, and without attention no others.
  TEST(AttentionOperator, LocalNetworksReachTheNeighbours)
  {
    torch::NoGradGuard no_gradients;
    auto               parameters = small();
    parameters.layers             = 1;
    parameters.local_network      = true;
    AttentionOperator op({1, 1, 2}, parameters);
    randomize_weights(op, 0.5, 8);
    op.named_parameters()["attention_0.output.weight"].zero_();
    auto       fields      = random_normal({1, 1, 6, 5}, 45);
    const auto before      = op.forward({fields});
    fields[0][0][2][3]     = 3.;
    const auto has_changed = (op.forward({fields}) - before).abs() > 1e-9;
    auto       expected    = torch::zeros({1, 1, 6, 5}, torch::kBool);
    expected.slice(2, 1, 4).slice(3, 2, 5).fill_(true);
    EXPECT_TRUE(torch::equal(has_changed, expected));
  }



  TEST(AttentionOperator, GradientsAreDifferenceQuotients)
  {
    const auto fields = random_normal({2, 1, 3, 2}, 38);
    const auto g      = random_normal({2, 1, 3, 2}, 39);
    for (const bool local : {false, true})
      {
        auto parameters              = small();
        parameters.width             = 4;
        parameters.layers            = 1;
        parameters.local_convolution = local;
        parameters.local_network     = local;
        AttentionOperator op({1, 1, 2}, parameters);
        randomize_weights(op, 0.5, 6);
        check_gradients(op, [&]() { return (op.forward({fields}) * g).sum(); });
      }
  }



  /**
   * f and u with −u″ = f and u = 0 at both ends, at points of (0, 1) that are
   * drawn anew for each problem, one in each of equal intervals. The amounts
   * of two sines in f are independent normal numbers.
   */
  struct PoissonProblems
  {
    PoissonProblems(const long n, const long n_points, const long number)
    {
      const auto cells =
        torch::arange(n_points, torch::kFloat64).reshape({n_points, 1});
      const auto x =
        (cells + random_uniform({n, n_points, 1}, 0., 1., number)) /
        double(n_points);
      const auto k     = torch::arange(1, 3, torch::kFloat64) * M_PI;
      const auto modes = torch::sin(x * k) * random_normal({n, 1, 2}, number);
      points           = x.to(torch::kFloat32);
      f                = modes.sum(2).unsqueeze(1).to(torch::kFloat32);
      u = (modes / k.square()).sum(2).unsqueeze(1).to(torch::kFloat32);
    }

    torch::Tensor points, f, u;
  };



  /**
   * The relative error of the best function of f(x) and x alone, which is
   * linear in f(x): E[u | f] = E[u f] / E[f²] f.
   */
  double
  best_error_of_a_pointwise_map()
  {
    const auto x      = torch::arange(0.0005, 1., 0.001, torch::kFloat64);
    const auto first  = torch::sin(M_PI * x).square();
    const auto second = torch::sin(2. * M_PI * x).square();
    const auto u_u = first + second / 16., u_f = first + second / 4.;
    return ((u_u - u_f.square() / (first + second)).sum() / u_u.sum())
      .sqrt()
      .item<double>();
  }



  TEST(AttentionOperator, SolvesPoissonProblemsAtRandomPoints)
  {
    const PoissonProblems training(512, 24, 40), others(64, 32, 41);

    const auto op =
      make_operator("attention",
                    {1, 1, 1},
                    {{"width", 24}, {"layers", 1}, {"heads", 2}, {"slices", 8}},
                    "test",
                    1);
    const auto relative_error = [&](const PoissonProblems &problems) {
      const auto error =
        0.1 * op->forward({problems.f, problems.points}) - problems.u;
      return error.square().sum() / problems.u.square().sum();
    };

    torch::optim::Adam optimizer(op->parameters(), 6e-3);
    const long         n_steps = 1200, n_batches = 32, size = 16;
    for (long step = 0; step < n_steps; ++step)
      {
        const long first = step % n_batches * size;
        auto       batch = training;
        for (auto *tensor : {&batch.points, &batch.f, &batch.u})
          *tensor = tensor->slice(0, first, first + size);
        static_cast<torch::optim::AdamOptions &>(
          optimizer.param_groups()[0].options())
          .lr(one_cycle(6e-3, step, n_steps));
        optimizer.zero_grad();
        relative_error(batch).backward();
        optimizer.step();
      }

    // On other problems, and at more points.
    torch::NoGradGuard no_gradients;
    const double       error = relative_error(others).sqrt().item<double>();
    RecordProperty("relative_error", std::to_string(error));
    EXPECT_LT(error, 0.1);
    EXPECT_GT(best_error_of_a_pointwise_map(), 4. * error);
  }



  TEST(AttentionOperator, IsMadeByNameAndSeed)
  {
    const auto made = [](const nlohmann::json &given, const long seed = 1) {
      return make_operator("attention", {1, 1, 2}, given, "input.json", seed);
    };
    const nlohmann::json given  = {{"width", 8},
                                   {"layers", 1},
                                   {"heads", 2},
                                   {"slices", 5},
                                   {"MLP ratio", 3},
                                   {"local convolution", true}};
    const auto           fields = torch::ones({1, 1, 4, 4});
    const auto           value  = made(given)->forward({fields});
    EXPECT_TRUE(torch::equal(made(given)->forward({fields}), value));
    EXPECT_FALSE(torch::allclose(made(given, 2)->forward({fields}), value));

    const auto weights = made(given)->named_parameters();
    EXPECT_EQ(weights["attention_0.convolution.weight"].sizes().vec(),
              (std::vector<std::int64_t>{8, 8, 3, 3}));
    EXPECT_EQ(weights["attention_0.slices"].size(0), 5);
    EXPECT_EQ(weights["attention_0.temperature_offset"].size(0), 2);
    EXPECT_FALSE(weights.contains("attention_0.temperature"));
    EXPECT_TRUE(made({{"point temperature", true}})
                  ->named_parameters()
                  .contains("attention_0.temperature"));
    EXPECT_EQ(weights["network_0.layer_0.weight"].size(0), 24);
    EXPECT_FALSE(weights.contains("attention_1.slices"));

    // Dropout and noise are those of training.
    for (const nlohmann::json &chance : {nlohmann::json{{"dropout", 0.5}},
                                         nlohmann::json{{"slice noise", true}}})
      {
        const auto op = made(chance);
        EXPECT_FALSE(
          torch::equal(op->forward({fields}), op->forward({fields})));
        op->eval();
        EXPECT_TRUE(torch::equal(op->forward({fields}), op->forward({fields})));
      }
  }



  TEST(AttentionOperator, MistakesAreNamed)
  {
    const auto complaint = [](const nlohmann::json &given) {
      return message_of<InputError>([&]() {
        make_operator("attention", {1, 1, 2}, given, "input.json", 1);
      });
    };
    expect_sentence(complaint({{"heads", 0}}), {"input.json", "heads", "'0'"});
    expect_sentence(complaint({{"width", 30}}),
                    {"attention", "width", "'30'", "multiple of heads"});

    for (const std::string name : {"local convolution", "local network"})
      expect_sentence(
        message_of<InputError>([&]() {
          make_operator("attention", {1, 1, 2}, {{name, true}}, "input.json", 1)
            ->forward({torch::ones({1, 1, 5}), torch::ones({5, 2})});
        }),
        {name, "true", "points"});
    const auto op = make_operator("attention", {1, 1, 2}, {}, "input.json", 1);
    expect_sentence(message_of<InputError>([&]() {
                      op->forward({torch::ones({1, 1, 5})});
                    }),
                    {"attention", "fields", "[1, 1, 5]", "2 dimensions"});
  }
} // namespace
