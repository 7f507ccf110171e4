// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/acquisition/quantity_model.h>

#include <cmath>
#include <limits>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** Of three inputs, the last of no influence. */
  torch::Tensor
  smooth(const torch::Tensor &x)
  {
    return (2. * x.select(1, 0)).sin() + x.select(1, 1).square();
  }



  // Kriging by dense linear algebra, with the same lengths; the variance from
  // processes that have not learned the sample.
  TEST(QuantityModel, IsKrigingByTheBook)
  {
    const long    n  = 18;
    const auto    x  = random_uniform({n, 3}, -1., 1., 1);
    const auto    q  = 40. + 7. * smooth(x) + 0.3 * random_normal({n}, 2);
    const auto    at = random_uniform({9, 3}, -1.5, 1.5, 3);
    QuantityModel model;
    model.fit(x, q);
    const auto found = model.predict(at);

    const auto   shift = x.mean(0), unit = x.std(0, /*unbiased=*/false);
    const auto   a = (x - shift) / unit, b = (at - shift) / unit;
    const auto   y      = q - q.mean();
    const auto   k      = model.process().covariance();
    const double lambda = model.process().noise();
    /** Mean, and variance over that of the process, with noise. */
    const auto kriging = [&](const torch::Tensor &known,
                             const torch::Tensor &values,
                             const torch::Tensor &wanted) {
      const auto c = k.matrix(known, known) +
                     lambda * torch::eye(known.size(0), torch::kFloat64);
      const auto across = k.matrix(wanted, known);
      const auto solved = torch::mm(at::linalg_inv(c), across.t());
      return std::make_pair(torch::mv(solved.t(), values),
                            k.diagonal(wanted) + lambda -
                              (across * solved.t()).sum(1));
    };
    double sigma_2 = 0.;
    for (long i = 0; i < n; ++i)
      {
        const auto [mean, variance] =
          kriging(torch::cat({a.slice(0, 0, i), a.slice(0, i + 1)}),
                  torch::cat({y.slice(0, 0, i), y.slice(0, i + 1)}),
                  a.slice(0, i, i + 1));
        sigma_2 += ((mean - y[i]).square() / variance).item<double>() / n;
      }
    const auto [mean, variance] = kriging(a, y, b);
    EXPECT_LT(distance(found.mean, q.mean() + mean), 1e-6);
    EXPECT_LT(distance(found.deviation / (sigma_2 * variance).sqrt(),
                       torch::ones({9}, torch::kFloat64)),
              1e-6);
  }



  TEST(QuantityModel, LearnsAFunctionAndItsInputs)
  {
    const auto    x  = random_uniform({80, 3}, -1., 1., 4);
    const auto    at = random_uniform({200, 3}, -0.9, 0.9, 5);
    QuantityModel model;
    model.fit(x, smooth(x));
    const auto found = model.predict(at);
    const auto truth = smooth(at);
    EXPECT_LT((found.mean - truth).square().mean().sqrt().item<double>(),
              0.02 * truth.std().item<double>());
    // The input without influence has the longest length.
    const auto lengths = model.process().covariance().hyperparameters();
    EXPECT_GT((lengths[2] - lengths[0]).item<double>(), 1.);
    EXPECT_GT((lengths[2] - lengths[1]).item<double>(), 1.);
    // Far from all that is known it knows less.
    const auto far  = torch::tensor({{3., -3., 0.}}, torch::kFloat64);
    const auto near = x.slice(0, 0, 1) + 1e-3;
    EXPECT_GT(model.predict(far).deviation.item<double>(),
              10. * model.predict(near).deviation.item<double>());
    EXPECT_GT(model.predict(far).deviation.item<double>(),
              10. * found.deviation.median().item<double>());
  }



  // Draws of Gaussian processes are within one deviation and within two as
  // often as Gaussians are.
  TEST(QuantityModel, DeviationsCoverWhatTheyShould)
  {
    const long       n = 40, n_more = 100, n_draws = 40;
    CovarianceKernel kernel({2}, "Matern 5/2", "each input");
    kernel.set_hyperparameters(
      torch::tensor({std::log(0.5), std::log(1.2), -2.}, torch::kFloat64));
    double within_one = 0., within_two = 0.;
    for (long draw = 0; draw < n_draws; ++draw)
      {
        const auto x = random_uniform({n + n_more, 2}, -1., 1., 100 + draw);
        const auto factor = at::linalg_cholesky(
          kernel.matrix(x, x) + 1e-9 * torch::eye(n + n_more, torch::kFloat64));
        const auto q =
          3. + 0.2 * torch::mv(factor, random_normal({n + n_more}, 200 + draw));
        QuantityModel model;
        model.fit(x.slice(0, 0, n), q.slice(0, 0, n));
        const auto found = model.predict(x.slice(0, n));
        const auto errors =
          ((found.mean - q.slice(0, n)) / found.deviation).abs();
        within_one +=
          (errors < 1.).to(torch::kFloat64).mean().item<double>() / n_draws;
        within_two +=
          (errors < 2.).to(torch::kFloat64).mean().item<double>() / n_draws;
      }
    EXPECT_NEAR(within_one, std::erf(std::sqrt(0.5)), 0.08);
    EXPECT_NEAR(within_two, std::erf(std::sqrt(2.)), 0.04);
  }



  TEST(QuantityModel, ChangesWithTheUnit)
  {
    const auto    x  = random_uniform({25, 3}, -1., 1., 6);
    const auto    at = random_uniform({7, 3}, -1., 1., 7);
    QuantityModel model, other;
    model.fit(x, smooth(x));
    other.fit(x, 5. - 1024. * smooth(x));
    const auto a = model.predict(at), b = other.predict(at);
    EXPECT_TRUE(torch::allclose(b.mean, 5. - 1024. * a.mean, 1e-6, 1e-6));
    EXPECT_TRUE(torch::allclose(b.deviation, 1024. * a.deviation, 1e-6, 0.));
  }



  // Two values, the same value everywhere, inputs that come twice.
  TEST(QuantityModel, FewAndEqualValues)
  {
    QuantityModel model;
    const auto    x  = random_uniform({12, 2}, -1., 1., 8);
    const auto    at = random_uniform({5, 2}, -2., 2., 9);
    model.fit(x, torch::full({12}, 0.1, torch::kFloat64));
    auto found = model.predict(at);
    EXPECT_LT(distance(found.mean, torch::full({5}, 0.1, torch::kFloat64)),
              1e-15);
    EXPECT_EQ(found.deviation.abs().max().item<double>(), 0.);

    model.fit(x.slice(0, 0, 2), torch::tensor({1., 2.}, torch::kFloat64));
    found = model.predict(at);
    EXPECT_TRUE(found.mean.isfinite().all().item<bool>());
    EXPECT_TRUE(found.deviation.isfinite().all().item<bool>());
    EXPECT_GT(found.deviation.min().item<double>(), 0.);

    const auto twice = x.repeat({2, 1});
    model.fit(twice, twice.select(1, 0).sin());
    found = model.predict(x);
    EXPECT_LT(distance(found.mean, x.select(1, 0).sin()), 1e-4);
    EXPECT_TRUE(found.deviation.isfinite().all().item<bool>());
  }



  TEST(QuantityModel, MistakesAreSentences)
  {
    QuantityModel model;
    const auto    x = random_normal({4, 2}, 10);
    auto          q = random_normal({4}, 11);
    expect_sentence(message_of<InputError>(
                      [&] { model.fit(x.slice(0, 0, 1), q.slice(0, 0, 1)); }),
                    {"inputs", "[1, 2]", "two rows"});
    expect_sentence(message_of<InputError>(
                      [&] { model.fit(x, q.slice(0, 0, 3)); }),
                    {"values", "[3]", "[4]"});
    model.fit(x, q);
    expect_sentence(message_of<InputError>(
                      [&] { model.predict(x.slice(1, 0, 1)); }),
                    {"quantity model", "[4, 1]", "[n, 2]"});
    q[2] = std::numeric_limits<double>::infinity();
    expect_sentence(message_of<InputError>([&] { model.fit(x, q); }),
                    {"value 2", "'inf'", "finite"});
  }
} // namespace
