// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/linear_regression.h>
#include <neuraldeal/surrogates/uncertainty/chain_diagnostics.h>
#include <neuraldeal/surrogates/uncertainty/log_density.h>
#include <neuraldeal/surrogates/uncertainty/no_u_turn_sampler.h>

#include <cmath>
#include <limits>
#include <vector>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  torch::Tensor
  number(const double value)
  {
    return torch::full({}, value, torch::kFloat64);
  }



  /** That the gradient at @p x is the difference quotient. */
  void
  expect_gradient(const LogDensity &density, const torch::Tensor &x)
  {
    const auto found = density(x);
    ASSERT_EQ(found.gradient.sizes(), x.sizes());
    ASSERT_EQ(found.gradient.scalar_type(), torch::kFloat64);
    EXPECT_GT(found.gradient.abs().min().item<double>(), 1e-6);
    for (std::int64_t i = 0; i < x.size(0); ++i)
      {
        const double step = 1e-5;
        auto         plus = x.clone(), minus = x.clone();
        plus[i] += step;
        minus[i] -= step;
        const double quotient =
          (density(plus).value - density(minus).value) / (2. * step);
        EXPECT_NEAR(found.gradient[i].item<double>(),
                    quotient,
                    1e-6 * (1. + std::abs(quotient)));
      }
  }



  /** log N(x; 0, variance) */
  double
  log_normal(const double x, const double variance)
  {
    return -0.5 * (std::log(2. * M_PI * variance) + x * x / variance);
  }



  /**
   * Expects the mean of @p values, [chains, n] or [chains, n, k], to be
   * @p exact, up to four of its standard errors.
   */
  void
  expect_mean(const torch::Tensor &values, const torch::Tensor &exact)
  {
    const auto error = monte_carlo_error(values);
    const auto z     = (values.flatten(0, 1).mean(0) - exact) / error;
    EXPECT_LT(z.abs().max().item<double>(), 4.) << z;
  }



  torch::Tensor
  function_of_three(const torch::Tensor &x)
  {
    return torch::sin(x[0]) * x[1] - x[2].square() * x[0].exp();
  }



  TEST(LogDensity, DifferentiatesFunctions)
  {
    const auto density = differentiated(function_of_three);
    const auto x       = torch::tensor({0.3, -0.7, 1.1}, torch::kFloat64);
    EXPECT_NEAR(density(x).value,
                std::sin(0.3) * -0.7 - 1.21 * std::exp(0.3),
                1e-15);
    expect_gradient(density, x);

    // also where gradients are switched off, which they stay
    const torch::NoGradGuard no_gradients;
    const auto               found = density(x);
    EXPECT_FALSE(torch::GradMode::is_enabled());
    EXPECT_FALSE(found.gradient.requires_grad());
    EXPECT_NEAR(found.gradient[1].item<double>(), std::sin(0.3), 1e-15);
    EXPECT_FALSE(x.requires_grad());
  }



  TEST(LogDensity, ComputesInAnotherType)
  {
    const auto density = differentiated([](const torch::Tensor &x) {
      return function_of_three(x.to(torch::kFloat32));
    });
    const auto x       = torch::tensor({0.3, -0.7, 1.1}, torch::kFloat64);
    const auto exact   = differentiated(function_of_three)(x);
    const auto found   = density(x);
    EXPECT_EQ(found.gradient.scalar_type(), torch::kFloat64);
    EXPECT_LT(distance(found.gradient, exact.gradient), 1e-5);
  }



  TEST(LogDensity, WhereThereIsNoSlope)
  {
    const auto x    = torch::tensor({0.3, -0.7}, torch::kFloat64);
    const auto zero = torch::zeros({2}, torch::kFloat64);
    // a constant, and one that is recorded
    EXPECT_TRUE(torch::equal(differentiated([](const torch::Tensor &) {
                               return number(2.);
                             })(x)
                               .gradient,
                             zero));
    const auto other = torch::ones({}, torch::kFloat64).requires_grad_(true);
    EXPECT_TRUE(torch::equal(differentiated([&](const torch::Tensor &) {
                               return 2. * other;
                             })(x)
                               .gradient,
                             zero));
    // where there is no density, there is nothing to differentiate
    EXPECT_EQ(differentiated([](const torch::Tensor &x) {
                return x.sum() * 0. - std::numeric_limits<double>::infinity();
              })(x)
                .value,
              -std::numeric_limits<double>::infinity());
    expect_sentence(message_of<InputError>([&]() {
                      differentiated([](const torch::Tensor &x) { return x; })(
                        x);
                    }),
                    {"value", "[2]", "one entry"});
  }



  TEST(LogDensity, WeightsOfAModule)
  {
    const std::vector<torch::Tensor> weights = {
      random_normal({3, 2}, 1).requires_grad_(true),
      random_normal({2}, 2).requires_grad_(true),
      random_normal({4}, 3).requires_grad_(true)};
    const auto inputs = random_normal({5, 3}, 4);
    // the last tensor has no influence
    const auto function = [&]() {
      return -(torch::mm(inputs, weights[0]) + weights[1])
                .tanh()
                .square()
                .sum();
    };
    const auto density = density_of_weights(weights, function);

    const auto flat = flat_weights(weights);
    ASSERT_EQ(flat.sizes(), (std::vector<std::int64_t>{12}));
    EXPECT_FALSE(flat.requires_grad());
    EXPECT_EQ(flat[1].item<double>(), weights[0][0][1].item<double>());
    EXPECT_EQ(flat[6].item<double>(), weights[1][0].item<double>());

    const auto same  = differentiated([&](const torch::Tensor &w) {
      return -(torch::mm(inputs, w.slice(0, 0, 6).reshape({3, 2})) +
               w.slice(0, 6, 8))
                .tanh()
                .square()
                .sum();
    });
    const auto w     = random_normal({12}, 5);
    const auto found = density(w), exact = same(w);
    EXPECT_DOUBLE_EQ(found.value, exact.value);
    EXPECT_LT(distance(found.gradient, exact.gradient), 1e-14);
    EXPECT_TRUE(torch::equal(flat_weights(weights), w));

    set_flat_weights(weights, flat);
    EXPECT_TRUE(torch::equal(flat_weights(weights), flat));
    EXPECT_TRUE(weights[0].requires_grad());
    expect_sentence(message_of<InputError>(
                      [&]() { set_flat_weights(weights, flat.slice(0, 1)); }),
                    {"[11]", "[12]"});
  }



  /** Data of a last layer. */
  struct LastLayer
  {
    LastLayer(const long n, const long p, const double noise)
      : features(random_normal({n, p}, 11))
      , outputs(torch::mv(features, random_normal({p}, 12)) +
                noise * random_normal({n}, 13))
    {}

    torch::Tensor features, outputs;
  };



  TEST(LogDensity, LastLayerIsThatOfItsFactors)
  {
    const LastLayer data(6, 4, 0.3);
    const double    precision = 2.5, variance = 0.09;
    const auto      density =
      last_layer_posterior(data.features, data.outputs, precision, variance);
    const auto w = random_normal({4}, 14);

    double exact = 0;
    for (long i = 0; i < 6; ++i)
      exact +=
        log_normal((data.outputs[i] - data.features[i].dot(w)).item<double>(),
                   variance);
    for (long i = 0; i < 4; ++i)
      exact += log_normal(w[i].item<double>(), 1. / precision);
    EXPECT_NEAR(density(w).value, exact, 1e-11);
    expect_gradient(density, w);

    // Linear, a network has the same posterior.
    const auto network = network_posterior(
      [&](const torch::Tensor &w) { return torch::mv(data.features, w); },
      data.outputs,
      number(precision),
      number(variance));
    EXPECT_NEAR(network(w).value, exact, 1e-11);
    EXPECT_LT(distance(network(w).gradient, density(w).gradient), 1e-11);
  }



  // p(y | w) p(w) = p(w | y) p(y) for all w, with the evidence
  // p(y) = N(y; 0, σ² I + Φ Φᵀ/δ).
  TEST(LogDensity, LastLayerIsNormalised)
  {
    const LastLayer data(5, 3, 0.5);
    const double    precision = 0.8, variance = 0.25;
    const auto      density =
      last_layer_posterior(data.features, data.outputs, precision, variance);
    const auto log_gaussian = [](const torch::Tensor &x,
                                 const torch::Tensor &covariance) {
      return -0.5 * (x.dot(torch::mv(at::linalg_inv(covariance), x)) +
                     torch::log(at::linalg_det(2. * M_PI * covariance)))
                      .item<double>();
    };
    const auto evidence =
      log_gaussian(data.outputs,
                   variance * torch::eye(5, torch::kFloat64) +
                     torch::mm(data.features, data.features.t()) / precision);
    const auto covariance =
      at::linalg_inv(torch::mm(data.features.t(), data.features) / variance +
                     precision * torch::eye(3, torch::kFloat64));
    const auto mean =
      torch::mv(covariance,
                torch::mv(data.features.t(), data.outputs) / variance);
    for (const std::uint64_t i : {15, 16, 17})
      {
        const auto w = random_normal({3}, i);
        EXPECT_NEAR(density(w).value - log_gaussian(w - mean, covariance),
                    evidence,
                    1e-10);
      }
  }



  TEST(LogDensity, SampledLastLayerIsTheClosedForm)
  {
    const LastLayer  data(30, 5, 0.4);
    LinearRegression regression(5, 1);
    regression.add(data.features, data.outputs.unsqueeze(1));
    regression.maximize_evidence();
    const double variance  = regression.noise_variance()[0].item<double>();
    const double precision = regression.regularization() / variance;

    NoUTurnSampler::Parameters parameters;
    parameters.warm_up = 300;
    parameters.samples = 1500;
    NoUTurnSampler sampler(
      last_layer_posterior(data.features, data.outputs, precision, variance),
      random_normal({4, 5}, 18),
      parameters);
    sampler.run();

    // what it predicts elsewhere, [chains, n, 8]
    const auto elsewhere = random_normal({8, 5}, 19);
    const auto predictions =
      torch::matmul(sampler.samples().values, elsewhere.t());
    EXPECT_LT(split_r_hat(predictions).max().item<double>(), 1.01);
    EXPECT_GT(bulk_effective_sample_size(predictions).min().item<double>(),
              2000.);
    const auto mean = regression.predict(elsewhere).squeeze(1);
    expect_mean(predictions, mean);
    expect_mean((predictions - mean).square(),
                variance * regression.leverage(elsewhere));
  }



  TEST(LogDensity, NetworkHasADensityOfItsOwnForEachOutput)
  {
    // outputs [n, c, N] of a network that multiplies two weights
    const auto outputs = random_normal({2, 3, 4}, 20);
    const auto noise   = torch::tensor({0.1, 0.5, 2.}, torch::kFloat64);
    const auto shape   = random_normal({2, 3, 4}, 21);
    const auto delta   = torch::tensor({1., 4.}, torch::kFloat64);
    const auto density = network_posterior(
      [&](const torch::Tensor &w) { return w[0] * (w[1] * shape).sin(); },
      outputs,
      delta,
      noise.unsqueeze(1));
    const auto w     = torch::tensor({0.7, -1.2}, torch::kFloat64);
    double     exact = log_normal(0.7, 1.) + log_normal(-1.2, 0.25);
    for (long i = 0; i < 2; ++i)
      for (long c = 0; c < 3; ++c)
        for (long j = 0; j < 4; ++j)
          exact +=
            log_normal(outputs[i][c][j].item<double>() -
                         0.7 * std::sin(-1.2 * shape[i][c][j].item<double>()),
                       noise[c].item<double>());
    EXPECT_NEAR(density(w).value, exact, 1e-10);
    expect_gradient(density, w);
  }



  // f(x) = w_1 tanh(w_0 x): two equal modes that chains do not change between,
  // but what is even in w is the same in both. Against a sum on a grid.
  TEST(LogDensity, SampledNetworkIsTheIntegral)
  {
    const auto inputs  = torch::tensor({-1., -0.4, 0.3, 1.2}, torch::kFloat64);
    const auto outputs = torch::tensor({-0.9, -0.5, 0.2, 1.1}, torch::kFloat64);
    const auto forward = [&](const torch::Tensor &w) {
      return w[1] * (w[0] * inputs).tanh();
    };
    const auto density =
      network_posterior(forward, outputs, number(0.25), number(0.04));

    const long n    = 400;
    const auto axis = torch::linspace(-8., 8., n, torch::kFloat64);
    const auto w_0 = axis.unsqueeze(1), w_1 = axis.unsqueeze(0);
    auto       logarithm = -0.125 * (w_0.square() + w_1.square());
    for (long i = 0; i < 4; ++i)
      logarithm = logarithm -
                  (outputs[i] - w_1 * (w_0 * inputs[i]).tanh()).square() / 0.08;
    const auto weight = torch::softmax(logarithm.flatten(), 0).reshape({n, n});
    const auto integral = [&](const torch::Tensor &f) {
      return (weight * f).sum().item<double>();
    };
    // the grid is long enough
    EXPECT_LT(weight[0].sum().item<double>() +
                weight.select(1, 0).sum().item<double>(),
              1e-5);

    NoUTurnSampler::Parameters parameters;
    parameters.warm_up           = 200;
    parameters.samples           = 600;
    parameters.target_acceptance = 0.9;
    NoUTurnSampler sampler(density,
                           torch::tensor({{1., 1.}, {-1., -1.}},
                                         torch::kFloat64),
                           parameters);
    sampler.run();
    const auto samples = sampler.samples();
    const auto a = samples.values.select(2, 0), b = samples.values.select(2, 1);
    const auto prediction = b * (0.7 * a).tanh();
    const auto exact      = w_1 * (0.7 * w_0).tanh();
    expect_mean(prediction, number(integral(exact)));
    const double variance =
      integral(exact.square()) - std::pow(integral(exact), 2);
    expect_mean((prediction - integral(exact)).square(), number(variance));
    expect_mean(a * b, number(integral(w_0 * w_1)));
    expect_mean(a.abs(), number(integral(w_0.abs().expand({n, n}))));
    expect_mean(b.square(), number(integral(w_1.square().expand({n, n}))));
  }



  TEST(LogDensity, MistakesAreSentences)
  {
    const auto phi = random_normal({6, 3}, 30), y = random_normal({6}, 31);
    const auto nan = std::nan("");
    for (const double wrong : {0., -1., nan, 1. / 0.})
      {
        expect_sentence(message_of<InputError>(
                          [&]() { last_layer_posterior(phi, y, wrong, 1.); }),
                        {"last layer", "prior precision", "above zero"});
        expect_sentence(message_of<InputError>(
                          [&]() { last_layer_posterior(phi, y, 1., wrong); }),
                        {"last layer", "noise variance", "above zero"});
      }
    expect_sentence(message_of<InputError>(
                      [&]() { last_layer_posterior(y, y, 1., 1.); }),
                    {"features", "[6]", "[n, p]"});
    expect_sentence(message_of<InputError>(
                      [&]() { last_layer_posterior(phi, phi, 1., 1.); }),
                    {"outputs", "[6, 3]", "[6]"});
    expect_sentence(message_of<InputError>(
                      [&]() { last_layer_posterior(phi, y, 1., 1.)(y); }),
                    {"weights", "[6]", "[3]"});

    const auto forward = [&](const torch::Tensor &w) {
      return torch::mv(phi, w);
    };
    const auto one = number(1.);
    expect_sentence(message_of<InputError>(
                      [&]() { network_posterior(forward, y, -one, one); }),
                    {"network", "prior precision", "above zero"});
    expect_sentence(message_of<InputError>([&]() {
                      network_posterior(forward, y, one, one.expand({3}));
                    }),
                    {"noise variance", "[3]", "[6]"});
    expect_sentence(message_of<InputError>([&]() {
                      network_posterior(forward, y, one.expand({2, 2}), one);
                    }),
                    {"prior precision", "[2, 2]", "[p]"});
    const auto w = random_normal({3}, 32);
    expect_sentence(message_of<InputError>([&]() {
                      network_posterior(forward,
                                        y,
                                        torch::ones({2}, torch::kFloat64),
                                        one)(w);
                    }),
                    {"prior precision", "[2]", "[3]"});
    expect_sentence(message_of<InputError>(
                      [&]() { network_posterior(forward, phi, one, one)(w); }),
                    {"the network's outputs", "[6]", "[6, 3]"});
  }
} // namespace
