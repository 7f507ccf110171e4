// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/latent_ode.h>
#include <neuraldeal/surrogates/operators/point_fields.h>
#include <neuraldeal/surrogates/training/trainer.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <cmath>

#include "solution_operators.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  LatentODE::Parameters
  small(const ODEGradients gradients, const double tolerance = 1e-8)
  {
    LatentODE::Parameters parameters;
    parameters.networks.sensors       = 6;
    parameters.networks.basis         = 4;
    parameters.networks.width         = 5;
    parameters.networks.branch_layers = 1;
    parameters.networks.trunk_layers  = 1;
    parameters.times                  = {1., 2.5, 4.};
    parameters.latent                 = 3;
    parameters.context                = 2;
    parameters.decoder_layers         = 1;
    parameters.gradients              = gradients;
    parameters.integration            = {tolerance, tolerance, 10000};
    return parameters;
  }



  // The same by the classical method of Runge and Kutta in many steps, and
  // sums over all indices.
  TEST(LatentODE, IsEncoderEquationAndDecoder)
  {
    torch::NoGradGuard no_gradients;
    LatentODE          op({2, 3, 2}, small(ODEGradients::adjoint, 1e-11));
    randomize_weights(op, 0.6, 1);
    const auto weights = op.named_parameters();
    const auto network = [&](auto x, const std::string &name, const long n) {
      for (long l = 0; l < n; ++l)
        {
          if (l > 0)
            x = 0.5 * x * (1. + torch::erf(x / std::sqrt(2.)));
          const auto layer = name + ".layer_" + std::to_string(l);
          x                = torch::mm(x, weights[layer + ".weight"].t()) +
              weights[layer + ".bias"];
        }
      return x;
    };
    const auto fields  = random_normal({5, 2, 6}, 650);
    const auto points  = random_normal({5, 7, 2}, 651);
    const auto encoded = network(fields.reshape({5, 12}), "branch", 2);
    const auto context = encoded.slice(1, 3, 5);
    auto       z       = encoded.slice(1, 0, 3);

    // In 80 steps a time of 4 units is one, and 1, 2.5 and 4 are reached.
    const auto f = [&](const torch::Tensor &state, const double t) {
      return network(
        torch::cat({state, context, torch::full({5, 1}, t, torch::kFloat64)},
                   1),
        "field.network",
        2);
    };
    std::vector<torch::Tensor> states;
    const double               h = 1. / 80.;
    for (long i = 1; i <= 80; ++i)
      {
        const double t   = double(i - 1) * h;
        const auto   k_1 = f(z, t), k_2 = f(z + h / 2. * k_1, t + h / 2.),
                   k_3 = f(z + h / 2. * k_2, t + h / 2.),
                   k_4 = f(z + h * k_3, t + h);
        z              = z + h / 6. * (k_1 + 2. * k_2 + 2. * k_3 + k_4);
        if (i == 20 || i == 50 || i == 80)
          states.push_back(z);
      }
    const auto latent = op.latent_states(fields);
    EXPECT_LT(distance(latent, torch::stack(states, 1)), 1e-7);
    EXPECT_GT(distance(latent.select(1, 0), latent.select(1, 1)), 1e-2);

    const auto value = op.forward({fields, points});
    const auto same  = op.forward({fields, points[2]});
    ASSERT_EQ(value.sizes().vec(), (std::vector<std::int64_t>{5, 3, 7}));
    for (long n = 0; n < 5; ++n)
      {
        const auto phi = network(points[n], "trunk", 2);
        for (long i = 0; i < 3; ++i)
          {
            const auto beta =
              network(latent[n].slice(0, i, i + 1), "decoder", 2);
            for (long q = 0; q < 7; ++q)
              EXPECT_NEAR(value[n][i][q].item<double>(),
                          (0.5 * (beta[0] * phi[q]).sum() + weights["bias"][0])
                            .item<double>(),
                          1e-12);
          }
      }
    EXPECT_LT(distance(same[2], value[2]), 1e-14);
    EXPECT_GT(distance(same[1], value[1]), 1e-3);

    // and at the points of the grid where there are no others.
    const auto grid = fields.reshape({5, 2, 2, 3});
    EXPECT_LT(distance(op.forward({grid}).flatten(2),
                       op.forward(
                         {fields, grid_points({2, 3}, torch::kFloat64)})),
              1e-14);
  }



  // Through all of it. (Steps change with the weights, so that difference
  // quotients are those of a function with jumps of the size of the tolerance.)
  TEST(LatentODE, GradientsAreDifferenceQuotients)
  {
    const auto fields = random_normal({3, 1, 6}, 652);
    const auto g      = random_normal({3, 3, 5}, 653);
    const auto points = random_normal({5, 1}, 654);
    for (const auto gradients : {ODEGradients::adjoint, ODEGradients::steps})
      {
        LatentODE op({1, 3, 1}, small(gradients));
        randomize_weights(op, 0.5, 2);
        check_gradients(
          op,
          [&]() {
            return (op.forward({fields, points}) * g).sum();
          },
          2e-4);
      }
  }



  // Channels are the times, whose unit does not matter.
  TEST(LatentODE, TimesAreChannels)
  {
    torch::NoGradGuard no_gradients;
    auto               parameters = small(ODEGradients::steps, 1e-9);
    LatentODE          op({1, 3, 1}, parameters);
    randomize_weights(op, 0.5, 3);
    const auto with_times = [&](const std::vector<double> &times) {
      parameters.times = times;
      auto other =
        std::make_shared<LatentODE>(OperatorShape{1, long(times.size()), 1},
                                    parameters);
      other->to(torch::kFloat64);
      for (auto &weight : other->named_parameters())
        weight.value().copy_(op.named_parameters()[weight.key()]);
      return other->forward({random_normal({2, 1, 6}, 655)});
    };
    const auto all = with_times({1., 2.5, 4.});
    EXPECT_LT(distance(with_times({1e-3, 2.5e-3, 4e-3}), all), 1e-12);
    EXPECT_LT(distance(with_times({2.5, 4.}), all.slice(1, 1, 3)), 1e-7);
    EXPECT_GT(distance(all.select(1, 0), all.select(1, 1)), 1e-2);
  }



  // u_t = ν u_xx with u(0) = u(1) = 0 and ν π² = 1/2, from initial data with
  // four random amplitudes to five times, of which sin πx loses 63 % until the
  // last and sin 4πx loses all; other initial data, and at other points.
  TEST(LatentODE, LearnsTheHeatEquation)
  {
    const std::vector<double> times = {0., 0.25, 0.5, 1., 2.};
    std::vector<Multiplier>   decay;
    for (const double t : times)
      decay.push_back([t](const double omega) {
        return std::exp(-0.5 * t * std::pow(omega / M_PI, 2));
      });
    const auto problems = [&](const long n, const std::uint64_t number) {
      return on_the_interval(n, interval_grid(17), 4, 1., decay, number)
        .to(torch::dtype(torch::kFloat32));
    };
    const auto training = problems(128, 656), fresh = problems(64, 657);

    const auto model = std::make_shared<OperatorModel>(
      "latent ODE",
      OperatorShape{1, 5, 1},
      nlohmann::json{{"sensors", 17},
                     {"times", times},
                     {"latent", 6},
                     {"context", 2},
                     {"basis", 12},
                     {"width", 32},
                     {"branch layers", 0},
                     {"field layers", 1},
                     {"trunk layers", 2},
                     {"activation", "tanh"},
                     {"relative tolerance", 1e-3},
                     {"absolute tolerance", 1e-3}},
      false,
      "test",
      1);
    model->set_scales(training);
    Trainer::Parameters choices;
    choices.epochs        = 120;
    choices.batch_size    = 32;
    choices.learning_rate = 2e-2;
    const auto loss =
      make_loss("relative L2", nlohmann::json::object(), "test", {});
    Trainer trainer(model, training, {}, loss, {}, choices);
    trainer.run(false);
    const double error = trainer.evaluate(fresh);

    // The same functions at points between those of the grid.
    const auto x = random_uniform({29}, 0., 1., 658);
    auto       elsewhere =
      on_the_interval(64, x, 4, 1., decay, 657).to(torch::kFloat32);
    elsewhere.input.fields       = fresh.input.fields;
    elsewhere.input.points       = x.unsqueeze(1).to(torch::kFloat32);
    const double error_elsewhere = trainer.evaluate(elsewhere);
    RecordProperty("relative_error", std::to_string(error));
    RecordProperty("relative_error_elsewhere", std::to_string(error_elsewhere));
    EXPECT_LT(error, 0.05);
    EXPECT_LT(error_elsewhere, 0.05);

    // A file keeps all of it, the times included.
    ModelFile file;
    model->save(file);
    EXPECT_TRUE(torch::equal(OperatorModel::load(file)->forward(elsewhere),
                             model->forward(elsewhere)));
  }



  TEST(LatentODE, IsMadeByNameAndSeed)
  {
    const nlohmann::json given = {{"sensors", 6},
                                  {"times", {0, 0.5}},
                                  {"latent", 3},
                                  {"context", 0},
                                  {"basis", 7},
                                  {"width", 8},
                                  {"branch layers", 1},
                                  {"field layers", 2},
                                  {"decoder layers", 1},
                                  {"trunk layers", 1}};
    const auto           made  = [&](const long seed) {
      return make_operator("latent ODE", {2, 2, 1}, given, "input.json", seed);
    };
    const auto fields = torch::ones({1, 2, 6});
    EXPECT_TRUE(
      torch::equal(made(1)->forward({fields}), made(1)->forward({fields})));
    EXPECT_FALSE(
      torch::allclose(made(1)->forward({fields}), made(2)->forward({fields})));
    EXPECT_FALSE(made(1)->is_recordable());

    const auto weights = made(1)->named_parameters();
    const auto shape   = [&](const std::string &name) {
      return weights[name + ".weight"].sizes().vec();
    };
    using Shape = std::vector<std::int64_t>;
    EXPECT_EQ(shape("branch.layer_1"), (Shape{3, 8}));
    EXPECT_EQ(shape("field.network.layer_0"), (Shape{8, 4}));
    EXPECT_EQ(shape("field.network.layer_2"), (Shape{3, 8}));
    EXPECT_EQ(shape("decoder.layer_1"), (Shape{7, 8}));
    EXPECT_EQ(shape("trunk.layer_1"), (Shape{7, 8}));
    EXPECT_EQ(weights.size(), 2u * (2 + 3 + 2 + 2) + 1u);
  }



  // The chosen way of differentiation and the tolerances arrive.
  TEST(LatentODE, ParametersArrive)
  {
    const auto steps_of = [](const double tolerance, const long max_steps) {
      const auto op = std::dynamic_pointer_cast<LatentODE>(
        make_operator("latent ODE",
                      {1, 1, 1},
                      {{"sensors", 6},
                       {"relative tolerance", tolerance},
                       {"absolute tolerance", tolerance},
                       {"maximal steps", max_steps}},
                      "input.json",
                      1));
      randomize_weights(*op, 0.1, 4);
      DormandPrince::Course course;
      op->latent_states(random_normal({2, 1, 6}, 659), &course);
      return course.n_accepted;
    };
    EXPECT_GT(steps_of(1e-10, 1000), 3 * steps_of(1e-4, 1000));
    expect_sentence(message_of<InputError>([&]() { steps_of(1e-10, 5); }),
                    {"latent ODE", "maximal steps", "'5'"});

    const auto once_more = [](const std::string &gradients) {
      const auto op    = make_operator("latent ODE",
                                    {1, 1, 1},
                                    {{"sensors", 6}, {"gradients", gradients}},
                                    "input.json",
                                    1);
      auto       field = torch::ones({1, 1, 6}).requires_grad_(true);
      const auto first = torch::autograd::grad(
        {op->forward({field}).sum()}, {field}, {}, true, true)[0];
      return torch::autograd::grad({first.square().sum()}, {field})[0];
    };
    EXPECT_GT(once_more("steps").abs().max().item<double>(), 0.);
    EXPECT_THROW(once_more("adjoint"), std::runtime_error);
  }



  TEST(LatentODE, MistakesAreNamed)
  {
    const auto complaint = [](const nlohmann::json &changed,
                              const OperatorInput  &input = {}) {
      nlohmann::json given = {{"sensors", 6}, {"times", {1., 2.}}};
      given.update(changed);
      return message_of<InputError>([&]() {
        make_operator("latent ODE", {1, 2, 2}, given, "input.json", 1)
          ->forward(input);
      });
    };
    expect_sentence(complaint({{"sensors", 0}}),
                    {"latent ODE", "sensors", "'0'", "number of points"});
    expect_sentence(complaint({{"activation", "sine"}}),
                    {"latent ODE", "activation", "sine", "GELU, tanh"});
    expect_sentence(complaint({{"gradients", "none"}}),
                    {"latent ODE", "gradients", "none", "adjoint, steps"});
    for (const nlohmann::json &times : {nlohmann::json{1.},
                                        nlohmann::json{1., 1.},
                                        nlohmann::json{2., 1.},
                                        nlohmann::json{-1., 1.},
                                        nlohmann::json::array()})
      expect_sentence(
        complaint({{"times", times}}),
        {"latent ODE", "times", times.dump(), "2 ascending numbers"});
    expect_sentence(complaint({{"times", {1., "later"}}}),
                    {"latent ODE", "times", "later", "numbers"});
    expect_sentence(complaint({{"times", 1.}}), {"input.json", "times", "1.0"});
    expect_sentence(complaint({{"steps", 1}}),
                    {"input.json", "steps", "maximal steps"});
    expect_sentence(complaint(nlohmann::json::object(),
                              {torch::ones({1, 1, 6}), {}, torch::ones(1)}),
                    {"latent ODE", "mask", "[1]"});
    expect_sentence(complaint(nlohmann::json::object(),
                              {torch::ones({3, 1, 6})}),
                    {"latent ODE", "fields", "[3, 1, 6]", "2 dimensions"});
    expect_sentence(complaint(nlohmann::json::object(),
                              {torch::ones({3, 1, 5})}),
                    {"latent ODE", "fields", "[3, 1, 5]", "6 points"});
    expect_sentence(complaint(nlohmann::json::object(),
                              {torch::ones({3, 1, 6}), torch::ones({4, 3})}),
                    {"latent ODE", "points", "[4, 3]", "[P, 2]"});
  }
} // namespace
