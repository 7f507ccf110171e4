// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/acquisition/cost_model.h>

#include <cmath>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  // Factors by inputs, and one for each level: 8^l.
  torch::Tensor
  costs_of(const torch::Tensor &inputs, const torch::Tensor &levels)
  {
    const auto a = torch::tensor({0.7, -0.3, 0.}, torch::kFloat64);
    return (torch::mv(inputs, a) - 2. +
            std::log(8.) * levels.to(torch::kFloat64))
      .exp();
  }

  torch::Tensor
  levels_of(const long n, const long n_levels)
  {
    return torch::arange(n, torch::kInt64).remainder(n_levels);
  }



  TEST(CostModel, LogLinearCostsAreFound)
  {
    const auto x      = random_uniform({60, 3}, -2., 5., 1),
               other  = random_uniform({40, 3}, -2., 5., 2);
    const auto levels = levels_of(60, 3), other_levels = levels_of(40, 2);
    for (const std::string regression : {"linear", "kernel"})
      {
        const nlohmann::json parameters = {{"regression", regression}};
        CostModel            model(parameters);
        model.fit(x, costs_of(x, levels), levels);
        const auto found    = model.predict(other, other_levels);
        const auto expected = costs_of(other, other_levels);
        // The kernel's noise is bounded below, at 1e-5 of its variance.
        const double bound = regression == "linear" ? 1e-6 : 1e-2;
        EXPECT_LT(distance(found.median / expected, torch::ones_like(expected)),
                  bound)
          << regression;
      }
  }



  // One fidelity needs no name of it. A cost that is not log-linear is learned
  // by the kernel and not by the line.
  TEST(CostModel, KernelLearnsMoreThanFactors)
  {
    const auto f = [](const torch::Tensor &x) {
      return (torch::sin(3. * x.select(1, 0)) + x.select(1, 1)).exp();
    };
    const auto x = random_uniform({80, 2}, -1., 1., 3),
               t = random_uniform({50, 2}, -0.9, 0.9, 4);
    std::vector<double> errors;
    for (const std::string regression : {"linear", "kernel"})
      {
        const nlohmann::json parameters = {{"regression", regression}};
        CostModel            model(parameters);
        model.fit(x, f(x));
        errors.push_back((model.predict(t).median / f(t))
                           .log()
                           .square()
                           .mean()
                           .sqrt()
                           .item<double>());
      }
    EXPECT_GT(errors[0], 0.1);
    EXPECT_LT(errors[1], 0.1 * errors[0]);
  }



  // Lognormal noise: deviation and expectation are those it has, within four
  // standard errors of their estimates.
  TEST(CostModel, NoiseIsTold)
  {
    const long   n     = 900;
    const double sigma = 0.5;
    const auto x = random_uniform({n, 3}, -1., 1., 5), levels = levels_of(n, 3);
    const auto cost =
      costs_of(x, levels) * (sigma * random_normal({n}, 6)).exp();
    const nlohmann::json parameters = {{"regression", "linear"}};
    CostModel            model(parameters);
    model.fit(x, cost, levels);
    const auto found = model.predict(x, levels);
    EXPECT_LT(distance(found.log_deviation, torch::full_like(cost, sigma)),
              4. * sigma / std::sqrt(2. * n) + 0.01 * sigma);
    const auto ratio =
      found.expected / (costs_of(x, levels) * std::exp(0.5 * sigma * sigma));
    // six coefficients are known up to σ/√n
    EXPECT_LT((ratio.log().mean().abs().item<double>()),
              4. * sigma / std::sqrt(double(n)));
    // and the logarithms of the costs are covered as often as they should be
    const auto inside =
      ((cost / found.median).log().abs() < found.log_deviation)
        .to(torch::kFloat64)
        .mean()
        .item<double>();
    const double p = std::erf(std::sqrt(0.5));
    EXPECT_NEAR(inside, p, 4. * std::sqrt(p * (1. - p) / n));
  }



  TEST(CostModel, FewCosts)
  {
    for (const std::string regression : {"linear", "kernel"})
      {
        const nlohmann::json parameters = {{"regression", regression}};
        CostModel            model(parameters);
        const auto           x = torch::ones({1, 2}, torch::kFloat64);
        model.fit(x, torch::full({1}, 3., torch::kFloat64));
        EXPECT_NEAR(model.predict(x).median.item<double>(), 3., 1e-12);
        EXPECT_TRUE(
          std::isfinite(model.predict(5. * x).expected.item<double>()));
        // equal costs at different places
        const auto y = random_normal({10, 2}, 7);
        model.fit(y, torch::full({10}, 3., torch::kFloat64));
        EXPECT_LT(distance(model.predict(2. * y).expected,
                           torch::full({10}, 3., torch::kFloat64)),
                  1e-9);
      }
  }



  TEST(CostModel, MistakesAreSentences)
  {
    expect_sentence(message_of<InputError>([] {
                      CostModel({{"regression", "cubic"}}, "a.prm");
                    }),
                    {"a.prm", "regression", "cubic", "kernel, linear"});
    const auto x    = random_normal({4, 2}, 8);
    auto       cost = torch::ones({4}, torch::kFloat64);
    CostModel  model;
    model.fit(x, cost, levels_of(4, 2));
    expect_sentence(message_of<InputError>(
                      [&] { model.predict(x, levels_of(4, 3)); }),
                    {"fidelity", "'2'", "0, 1"});
    expect_sentence(message_of<InputError>([&] { model.predict(x); }),
                    {"fidelities", "nothing"});
    expect_sentence(message_of<InputError>([&] {
                      model.predict(x.slice(1, 0, 1), levels_of(4, 2));
                    }),
                    {"inputs", "[4, 1]", "[n, 2]"});
    cost[2] = 0.;
    expect_sentence(message_of<InputError>([&] { model.fit(x, cost); }),
                    {"cost 2", "'0'", "positive"});
  }
} // namespace
