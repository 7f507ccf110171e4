// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/acquisition/feasibility_model.h>

#include <cmath>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** The probability of success in the tests. */
  torch::Tensor
  truth(const torch::Tensor &x)
  {
    return torch::sigmoid(4. * (1. - x.square().sum(1)));
  }

  torch::Tensor
  drawn(const torch::Tensor &p, const std::uint64_t number)
  {
    return random_uniform({p.size(0)}, 0., 1., number) < p;
  }



  // Probabilities that come true: in each fifth of the predictions the share
  // of successes, of as many new samples as make it known, is the mean
  // prediction; and predictions are closer to the truth than one number is.
  TEST(FeasibilityModel, ProbabilitiesComeTrue)
  {
    const auto       x = random_uniform({250, 2}, -1.6, 1.6, 1);
    FeasibilityModel model;
    model.fit(x, drawn(truth(x), 2));

    const auto t = random_uniform({4000, 2}, -1.6, 1.6, 3), p = truth(t);
    const auto found  = model.probability(t);
    const auto error  = (found - p).square().mean().sqrt().item<double>();
    const auto spread = p.std(0, false).item<double>();
    EXPECT_LT(error, 0.35 * spread);

    const auto order = found.argsort();
    const long share = 800;
    for (long part = 0; part < 5; ++part)
      {
        const auto rows = order.slice(0, part * share, (part + 1) * share);
        // of 250 samples a fifth, 50, have told this probability
        const double expected = p.index_select(0, rows).mean().item<double>();
        const double margin =
          4. * std::sqrt(std::max(expected * (1. - expected), 0.01) / 50.);
        EXPECT_NEAR(found.index_select(0, rows).mean().item<double>(),
                    expected,
                    margin)
          << "part " << part;
      }
  }



  // Failures on one side of a plane
  TEST(FeasibilityModel, BorderIsFound)
  {
    const auto x      = random_uniform({80, 3}, 0., 10., 4);
    const auto inside = [](const torch::Tensor &y) {
      return y.select(1, 0) + y.select(1, 2) < 11.;
    };
    const nlohmann::json parameters = {{"kernel", "Matern 3/2"}};
    FeasibilityModel     model(parameters);
    model.fit(x, inside(x));
    const auto t     = random_uniform({500, 3}, 0., 10., 5);
    const auto found = model.probability(t);
    const auto right = (found > 0.5).eq(inside(t)).to(torch::kFloat64);
    EXPECT_GT(right.mean().item<double>(), 0.93);
    EXPECT_TRUE(((found > 0.) & (found < 1.)).all().item<bool>());
    // deep in either side
    EXPECT_GT(model.probability(torch::full({1, 3}, 1., torch::kFloat64))
                .item<double>(),
              0.9);
    EXPECT_LT(model.probability(torch::full({1, 3}, 9., torch::kFloat64))
                .item<double>(),
              0.1);
  }



  TEST(FeasibilityModel, OneFateIsLaplacesRule)
  {
    const auto x = random_normal({18, 2}, 6), t = random_normal({5, 2}, 7);
    FeasibilityModel model;
    model.fit(x, torch::ones({18}, torch::kBool));
    EXPECT_LT(distance(model.probability(t),
                       torch::full({5}, 19. / 20., torch::kFloat64)),
              1e-14);
    model.fit(x, torch::zeros({18}, torch::kBool));
    EXPECT_LT(distance(model.probability(t),
                       torch::full({5}, 1. / 20., torch::kFloat64)),
              1e-14);
    // without any sample, as likely as not
    model.fit(x.slice(0, 0, 0), torch::ones({0}, torch::kBool));
    EXPECT_LT(distance(model.probability(t),
                       torch::full({5}, 0.5, torch::kFloat64)),
              1e-14);
  }



  // Where inputs say nothing, the probability hardly depends on them.
  TEST(FeasibilityModel, ChanceIsNotExplained)
  {
    const auto       x = random_normal({200, 3}, 8);
    FeasibilityModel model;
    const auto       p = torch::full({200}, 0.8, torch::kFloat64);
    model.fit(x, drawn(p, 9));
    const auto found = model.probability(random_normal({300, 3}, 10));
    EXPECT_NEAR(found.mean().item<double>(), 0.8, 4. * std::sqrt(0.16 / 200.));
    EXPECT_LT(found.std(0, false).item<double>(), 0.1);
  }



  TEST(FeasibilityModel, MistakesAreSentences)
  {
    expect_sentence(message_of<InputError>([] {
                      FeasibilityModel({{"kernel", "cubic"}}, "a.prm");
                    }),
                    {"a.prm", "kernel", "cubic", "Matern 5/2"});
    FeasibilityModel model;
    const auto       x = random_normal({4, 2}, 11);
    expect_sentence(message_of<InputError>(
                      [&] { model.fit(x, torch::ones({4}, torch::kFloat64)); }),
                    {"success", "[4] Double", "[4] Bool"});
    model.fit(x, torch::ones({4}, torch::kBool));
    expect_sentence(message_of<InputError>(
                      [&] { model.probability(x.slice(1, 0, 1)); }),
                    {"inputs", "[4, 1]", "[n, 2]"});
  }
} // namespace
