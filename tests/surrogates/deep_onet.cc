// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/deep_onet.h>
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

  BranchOperator::Parameters
  small(const long sensors)
  {
    BranchOperator::Parameters parameters;
    parameters.sensors       = sensors;
    parameters.basis         = 4;
    parameters.width         = 5;
    parameters.branch_layers = 2;
    parameters.trunk_layers  = 1;
    return parameters;
  }

  void
  train(NeuralOperator      &op,
        const OperatorInput &input,
        const torch::Tensor &output,
        const double         learning_rate,
        const long           n_steps)
  {
    torch::optim::Adam optimizer(op.parameters(), learning_rate);
    for (long step = 0; step < n_steps; ++step)
      {
        static_cast<torch::optim::AdamOptions &>(
          optimizer.param_groups()[0].options())
          .lr(one_cycle(learning_rate, step, n_steps));
        optimizer.zero_grad();
        (op.forward(input) - output).square().mean().backward();
        optimizer.step();
      }
  }

  double
  relative_error(const torch::Tensor &a, const torch::Tensor &b)
  {
    return ((a - b).norm() / b.norm()).item<double>();
  }



  // Networks by hand, and sums over all indices.
  TEST(DeepONet, IsTheSumOfItsProducts)
  {
    torch::NoGradGuard  no_gradients;
    const OperatorShape shape{2, 3, 2};
    DeepONet            op(shape, small(6));
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

    const auto fields = random_normal({5, 2, 6}, 50);
    const auto points = random_normal({5, 7, 2}, 51);
    const auto beta   = network(fields.reshape({5, 12}), "branch", 3);
    EXPECT_LT(distance(op.coefficients(fields), beta), 1e-13);
    const auto value = op.forward({fields, points});
    const auto same  = op.forward({fields, points[2]});
    ASSERT_EQ(value.sizes().vec(), (std::vector<std::int64_t>{5, 3, 7}));
    for (long n = 0; n < 5; ++n)
      {
        const auto phi = network(points[n], "trunk", 2);
        for (long c = 0; c < 3; ++c)
          for (long q = 0; q < 7; ++q)
            {
              double sum = weights["bias"][c].item<double>();
              for (long k = 0; k < 4; ++k)
                sum += 0.5 * (beta[n][k] * phi[q][3 * k + c]).item<double>();
              EXPECT_NEAR(value[n][c][q].item<double>(), sum, 1e-13);
            }
      }
    EXPECT_LT(distance(same[2], value[2]), 1e-14);
    EXPECT_GT(distance(same[1], value[1]), 1e-3);
  }



  TEST(DeepONet, OnAGridItIsAtThePointsOfTheGrid)
  {
    torch::NoGradGuard no_gradients;
    DeepONet           op({1, 2, 2}, small(12));
    randomize_weights(op, 0.6, 2);
    const auto fields = random_normal({3, 1, 4, 3}, 52);
    const auto value  = op.forward({fields});
    EXPECT_EQ(value.sizes().vec(), (std::vector<std::int64_t>{3, 2, 4, 3}));
    EXPECT_LT(distance(value.flatten(2),
                       op.forward(
                         {fields, grid_points({4, 3}, torch::kFloat64)})),
              1e-14);
  }



  TEST(DeepONet, GradientsAreDifferenceQuotients)
  {
    const auto fields = random_normal({3, 1, 6}, 53);
    const auto g      = random_normal({3, 2, 5}, 54);
    for (const auto activation : {Activation::gelu, Activation::tanh})
      for (const bool is_shared : {true, false})
        {
          auto parameters       = small(6);
          parameters.activation = activation;
          DeepONet op({1, 2, 1}, parameters);
          randomize_weights(op, 0.6, 3);
          const auto points = is_shared ? random_normal({5, 1}, 55) :
                                          random_normal({3, 5, 1}, 56);
          check_gradients(op, [&]() {
            return (op.forward({fields, points}) * g).sum();
          });
        }
  }



  // The solution operator of −u″ = v on the span of three sines, from ten
  // sensors to points that are elsewhere.
  TEST(DeepONet, LearnsALinearOperator)
  {
    const auto k     = torch::arange(1, 4, torch::kFloat64) * M_PI;
    const auto sines = [&](const torch::Tensor &x) {
      return torch::sin(x * k);
    };
    const auto sensors = torch::arange(0.05, 1., 0.1, torch::kFloat64);
    const auto fields  = [&](const torch::Tensor &a) {
      return torch::mm(a, sines(sensors.unsqueeze(1)).t()).unsqueeze(1);
    };
    const auto solutions = [&](const torch::Tensor &a, const torch::Tensor &x) {
      return torch::mm(10. * a / k.square(), sines(x).t()).unsqueeze(1);
    };
    const auto a = random_normal({60, 3}, 57), b = random_normal({20, 3}, 58);
    const auto x = torch::linspace(0., 1., 41, torch::kFloat64).unsqueeze(1);
    const auto y = random_uniform({33, 1}, 0., 1., 59);

    const auto op = make_operator("DeepONet",
                                  {1, 1, 1},
                                  {{"sensors", 10},
                                   {"basis", 8},
                                   {"width", 24},
                                   {"branch layers", 0},
                                   {"trunk layers", 2},
                                   {"activation", "tanh"}},
                                  "test",
                                  1);
    op->to(torch::kFloat64);
    train(*op, {fields(a), x}, solutions(a, x), 2e-2, 1000);
    torch::NoGradGuard no_gradients;
    const double       error =
      relative_error(op->forward({fields(b), y}), solutions(b, y));
    RecordProperty("relative_error", std::to_string(error));
    EXPECT_LT(error, 0.01);
  }



  TEST(DeepONet, IsMadeByNameAndSeed)
  {
    const auto made = [](const std::string    &type,
                         const nlohmann::json &given,
                         const long            seed = 1) {
      return make_operator(type, {2, 3, 1}, given, "input.json", seed);
    };
    nlohmann::json given  = {{"sensors", 6},
                             {"basis", 7},
                             {"width", 8},
                             {"branch layers", 1},
                             {"activation", "tanh"}};
    auto           trunk  = given;
    trunk["trunk layers"] = 2;

    const auto fields = torch::ones({1, 2, 6});
    const auto value  = made("DeepONet", trunk)->forward({fields});
    EXPECT_TRUE(
      torch::equal(made("DeepONet", trunk)->forward({fields}), value));
    EXPECT_FALSE(
      torch::allclose(made("DeepONet", trunk, 2)->forward({fields}), value));
    const auto weights = made("DeepONet", trunk)->named_parameters();
    EXPECT_EQ(weights["branch.layer_0.weight"].sizes().vec(),
              (std::vector<std::int64_t>{8, 12}));
    EXPECT_EQ(weights["branch.layer_1.weight"].sizes().vec(),
              (std::vector<std::int64_t>{7, 8}));
    EXPECT_EQ(weights["trunk.layer_2.weight"].sizes().vec(),
              (std::vector<std::int64_t>{21, 8}));
    EXPECT_FALSE(weights.contains("trunk.layer_3.weight"));
    trunk["activation"] = "GELU";
    EXPECT_FALSE(
      torch::allclose(made("DeepONet", trunk)->forward({fields}), value));

    const auto pod = made("POD DeepONet", given)->named_buffers();
    EXPECT_EQ(pod["mean"].sizes().vec(), (std::vector<std::int64_t>{3, 6}));
    EXPECT_EQ(pod["modes"].sizes().vec(), (std::vector<std::int64_t>{7, 3, 6}));
  }



  TEST(DeepONet, MistakesAreNamed)
  {
    const auto complaint = [](const std::string    &type,
                              const nlohmann::json &given,
                              const OperatorInput  &input = {}) {
      return message_of<InputError>([&]() {
        make_operator(type, {1, 1, 2}, given, "input.json", 1)->forward(input);
      });
    };
    const nlohmann::json six = {{"sensors", 6}};
    for (const std::string type : {"DeepONet", "POD DeepONet"})
      {
        expect_sentence(complaint(type, nlohmann::json::object()),
                        {type, "sensors", "'0'", "number of points"});
        expect_sentence(complaint(type,
                                  {{"sensors", 6}, {"activation", "sine"}}),
                        {type, "activation", "sine", "GELU, tanh"});
        expect_sentence(complaint(type,
                                  six,
                                  {torch::ones({1, 1, 6}), {}, torch::ones(1)}),
                        {type, "mask", "[1]"});
      }
    expect_sentence(complaint("POD DeepONet", {{"trunk layers", 2}}),
                    {"input.json", "trunk layers", "branch layers"});
    expect_sentence(complaint("DeepONet", six, {torch::ones({3, 1, 2, 2})}),
                    {"DeepONet", "fields", "[3, 1, 2, 2]", "6 points"});
    expect_sentence(complaint("DeepONet", six, {torch::ones({3, 1, 6})}),
                    {"DeepONet", "fields", "[3, 1, 6]", "2 dimensions"});
    expect_sentence(complaint("DeepONet",
                              six,
                              {torch::ones({3, 1, 6}), torch::ones({4, 3})}),
                    {"DeepONet", "points", "[4, 3]", "[P, 2]"});
    expect_sentence(complaint("POD DeepONet", six, {torch::ones({3, 1, 6})}),
                    {"POD DeepONet", "basis", "set_basis()"});
  }



  /** A mean and orthonormal modes of fields with two channels. */
  struct Basis
  {
    Basis(const long n_modes, const long n_points)
      : mean(random_normal({2, n_points}, 60))
      , modes(
          std::get<0>(at::linalg_qr(random_normal({2 * n_points, n_modes}, 61)))
            .t()
            .reshape({n_modes, 2, n_points}))
    {}

    torch::Tensor mean, modes;
  };



  // Coefficients of fields are affine in them: a branch without hidden layers
  // can be told them, and gives the fields back.
  TEST(PODDeepONet, ExactCoefficientsGiveTheFields)
  {
    torch::NoGradGuard no_gradients;
    const Basis        basis(4, 6);
    auto               parameters = small(6);
    parameters.branch_layers      = 0;
    PODDeepONet op({2, 2, 2}, parameters);
    op.to(torch::kFloat64);
    op.set_basis(basis.mean.reshape({2, 2, 3}), basis.modes);

    const auto rows         = basis.modes.flatten(1);
    const auto coefficients = random_normal({5, 4}, 62);
    const auto fields =
      (basis.mean.flatten() + torch::mm(coefficients, rows)).reshape({5, 2, 6});
    EXPECT_LT(distance(op.compose(coefficients), fields), 1e-14);

    const auto weights = op.named_parameters();
    weights["branch.layer_0.weight"].copy_(rows);
    weights["branch.layer_0.bias"].copy_(
      -torch::mv(rows, basis.mean.flatten()));
    EXPECT_LT(distance(op.coefficients(fields), coefficients), 1e-13);
    EXPECT_LT(distance(op.forward({fields, random_normal({6, 2}, 63)}), fields),
              1e-13);
    const auto grid = fields.reshape({5, 2, 3, 2});
    EXPECT_LT(distance(op.forward({grid}), grid), 1e-13);
  }



  TEST(PODDeepONet, GradientsAreDifferenceQuotients)
  {
    const Basis basis(4, 6);
    PODDeepONet op({1, 2, 1}, small(6));
    randomize_weights(op, 0.6, 4);
    op.set_basis(basis.mean, basis.modes);
    const auto fields = random_normal({3, 1, 6}, 64);
    const auto g      = random_normal({3, 2, 6}, 65);
    check_gradients(op, [&]() { return (op.forward({fields}) * g).sum(); });
    // The basis is given and not trained.
    for (const auto &buffer : op.buffers())
      EXPECT_FALSE(buffer.requires_grad());
    EXPECT_FALSE(op.named_parameters().contains("modes"));
  }



  TEST(PODDeepONet, BuffersKeepTheBasis)
  {
    torch::NoGradGuard no_gradients;
    const Basis        basis(4, 6);
    PODDeepONet        op({1, 2, 1}, small(6)), copy({1, 2, 1}, small(6));
    op.set_basis(basis.mean, basis.modes);
    const auto fields = random_normal({3, 1, 6}, 66).to(torch::kFloat32);
    EXPECT_THROW(copy.forward({fields}), InputError);

    for (auto &tensor : copy.named_parameters())
      tensor.value().copy_(op.named_parameters()[tensor.key()]);
    ASSERT_EQ(copy.named_buffers().size(), 2);
    for (auto &tensor : copy.named_buffers())
      tensor.value().copy_(op.named_buffers()[tensor.key()]);
    EXPECT_TRUE(torch::equal(copy.forward({fields}), op.forward({fields})));
  }



  // u = v², on the modes of such solutions.
  TEST(PODDeepONet, LearnsANonlinearOperator)
  {
    const auto x = torch::linspace(0., 1., 20, torch::kFloat64).unsqueeze(0);
    const auto fields = [&](const long n, const long number) {
      const auto a = random_uniform({n, 2}, -1., 1., number);
      return (a.slice(1, 0, 1) * torch::sin(M_PI * x) +
              a.slice(1, 1, 2) * torch::cos(M_PI * x))
        .unsqueeze(1);
    };
    const auto v = fields(150, 67), w = fields(50, 68);

    const auto u    = v.square();
    const auto mean = u.mean(0);
    const auto svd  = at::linalg_svd((u - mean).squeeze(1), false);
    // By the standard deviations of the coefficients, as the class advises.
    const auto modes = std::get<2>(svd).slice(0, 0, 3) *
                       std::get<1>(svd).slice(0, 0, 3).unsqueeze(1) /
                       std::sqrt(150.);

    auto parameters  = small(20);
    parameters.basis = 3;
    parameters.width = 32;
    torch::manual_seed(1);
    PODDeepONet op({1, 1, 1}, parameters);
    op.to(torch::kFloat64);
    op.set_basis(mean, modes.unsqueeze(1));
    train(op, {v}, u, 1e-2, 500);
    torch::NoGradGuard no_gradients;
    const double       error = relative_error(op.forward({w}), w.square());
    RecordProperty("relative_error", std::to_string(error));
    EXPECT_LT(error, 0.03);
  }



  TEST(PODDeepONet, BasesThatDoNotFitAreRefused)
  {
    const Basis basis(4, 6);
    PODDeepONet op({1, 2, 1}, small(6));
    const auto  complaint = [&](const torch::Tensor &mean,
                               const torch::Tensor &modes) {
      return message_of<InputError>([&]() { op.set_basis(mean, modes); });
    };
    expect_sentence(complaint(basis.mean, basis.modes.slice(0, 0, 3)),
                    {"POD DeepONet", "modes", "[3, 2, 6]", "[4, 2, 6]"});
    expect_sentence(complaint(basis.mean, basis.modes.transpose(0, 1)),
                    {"modes", "[2, 4, 6]", "[4, 2, 6]"});
    expect_sentence(complaint(basis.mean.flatten(), basis.modes),
                    {"mean", "[12]", "[2, 6]"});
    expect_sentence(complaint({}, basis.modes), {"mean", "not defined"});
    auto broken  = basis.mean.clone();
    broken[1][2] = std::numeric_limits<double>::infinity();
    expect_sentence(complaint(broken, basis.modes), {"mean", "finite"});
    // and half a basis is none
    EXPECT_THROW(op.forward({torch::ones({1, 1, 6})}), InputError);

    op.set_basis(basis.mean, basis.modes);
    expect_sentence(message_of<InputError>([&]() {
                      op.forward({torch::ones({1, 1, 6}), torch::ones({5, 1})});
                    }),
                    {"POD DeepONet", "points", "[5, 1]", "6 sensors"});
  }
} // namespace
