// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/calibration.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/conformal.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  constexpr double infinity     = std::numeric_limits<double>::infinity();
  constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

  torch::Tensor
  numbers(const std::vector<double> &values)
  {
    return torch::tensor(values, torch::kFloat64);
  }

  torch::Tensor
  quantile_of(const torch::Tensor &scores, const double confidence)
  {
    return conformal_quantile(scores, confidence, "the test");
  }

  double
  mean_of(const torch::Tensor &values)
  {
    return values.mean().item<double>();
  }



  TEST(Conformal, Rank)
  {
    EXPECT_EQ(conformal_rank(99, 0.9), 90); // exactly
    EXPECT_EQ(conformal_rank(99, 0.07), 7); // in spite of rounding
    EXPECT_EQ(conformal_rank(100, 0.9), 91);
    EXPECT_EQ(conformal_rank(19, 0.95), 19);
    EXPECT_EQ(conformal_rank(18, 0.95), 19);
    EXPECT_EQ(conformal_rank(0, 0.5), 1);
  }



  TEST(Conformal, SamplesNeeded)
  {
    EXPECT_EQ(conformal_samples_needed(0.1), 1);
    EXPECT_EQ(conformal_samples_needed(0.5), 1);
    EXPECT_EQ(conformal_samples_needed(0.9), 9);
    EXPECT_EQ(conformal_samples_needed(0.95), 19);
    EXPECT_EQ(conformal_samples_needed(0.99), 99);
    EXPECT_EQ(conformal_samples_needed(0.85), 6);
    for (const double confidence : {0.6, 0.77, 0.9, 0.95, 0.997, 0.9999})
      {
        const auto n = conformal_samples_needed(confidence);
        EXPECT_LE(conformal_rank(n, confidence), n);
        EXPECT_GT(conformal_rank(n - 1, confidence), n - 1);
      }
  }



  TEST(ConformalQuantile, ByHand)
  {
    const auto scores = numbers({5., 1., 4., 2., 3.});
    EXPECT_EQ(quantile_of(scores, 0.01).item<double>(), 1.);
    EXPECT_EQ(quantile_of(scores, 0.5).item<double>(), 3.);
    EXPECT_EQ(quantile_of(scores, 0.51).item<double>(), 4.);
    EXPECT_EQ(quantile_of(scores, 0.8).item<double>(), 5.);
    // every column by itself; what is no number is the largest
    EXPECT_TRUE(torch::equal(
      quantile_of(
        numbers({3., 30., not_a_number, 10., 2., 20.}).reshape({3, 2}), 0.5),
      numbers({3., 20.})));
    EXPECT_EQ(quantile_of(numbers({3., not_a_number, 2.}), 0.75).item<double>(),
              infinity);
  }



  TEST(ConformalQuantile, TooFewSamplesAreRefused)
  {
    EXPECT_NO_THROW(quantile_of(torch::ones({19, 2}), 0.95));
    expect_sentence(message_of<InputError>([]() {
                      quantile_of(torch::ones({18, 2}), 0.95);
                    }),
                    {"the test", "the confidence", "0.95", "18", "19"});
    expect_sentence(message_of<InputError>(
                      []() { quantile_of(torch::ones({0}), 0.5); }),
                    {"0.5", "0 samples", "needs 1"});
    for (const double confidence : {0., 1., -0.1, 2., not_a_number})
      expect_sentence(message_of<InputError>(
                        [&]() { quantile_of(torch::ones({100}), confidence); }),
                      {"the test", "the confidence", "between 0 and 1"});
    // and so by all that rest on it
    const auto few = torch::ones({8}), fields = torch::ones({8, 3});
    const auto none = torch::Tensor();
    EXPECT_THROW(conformal_factor(few, few, 0.9, ""), InputError);
    EXPECT_THROW(field_conformal_factor(fields, none, 0.5, 0.9, ""),
                 InputError);
    EXPECT_THROW(weighted_conformal_factor(few, none, few, 1., 0.9, ""),
                 InputError);
    EXPECT_THROW(jackknife_plus(few, few, 0.9, ""), InputError);
    EXPECT_THROW(
      cv_plus(few.slice(0, 0, 2), torch::arange(8) % 2, few, 0.9, ""),
      InputError);
  }



  TEST(ConformalFactor, ByHand)
  {
    // ratios 2, ½, 3, 1
    const auto errors = numbers({2., 2., 3., 1.}),
               scales = numbers({1., 4., 1., 1.});
    const auto factor = conformal_factor(errors, scales, 0.6, "the test");
    EXPECT_EQ(factor.factor.item<double>(), 2.);
    EXPECT_EQ(factor.n_samples, 4);
    EXPECT_EQ(factor.n_effective, 4.);
    EXPECT_EQ(factor.confidence, 0.6);
    EXPECT_TRUE(
      torch::equal(factor.bound(numbers({0.5, 3.})), numbers({1., 6.})));
    // without scales the bound is the same everywhere
    EXPECT_EQ(conformal_factor(errors, torch::Tensor(), 0.8, "the test")
                .factor.item<double>(),
              3.);
  }



  TEST(ConformalFactor, IsThatOfTheCalibration)
  {
    std::vector<CalibrationSample> samples;
    std::vector<double>            errors, scales;
    CounterRandom                  random(11, CounterRandom::Stream::check, 0);
    for (unsigned int i = 0; i < 123; ++i)
      {
        samples.push_back({std::exp(random.normal()), random.uniform()});
        if (i % 40 == 7)
          samples.back().score = not_a_number;
        if (i % 40 == 11)
          samples.back().error = not_a_number;
        if (i % 40 == 13)
          samples.back() = {0., 0.};
        errors.push_back(samples.back().error);
        scales.push_back(samples.back().score);
      }
    for (const double confidence : {0.5, 0.9, 0.95})
      EXPECT_EQ(
        calibrate(samples, 1., confidence, 0.3, Extrapolation::none, "the test")
          .factor,
        conformal_factor(numbers(errors), numbers(scales), confidence, "")
          .factor.item<double>());
  }



  TEST(ConformalFactor, WhatIsNoNumberIsNoBound)
  {
    // an error of zero is one whatever the scale, a scale of infinity bounds
    // all that is finite
    EXPECT_TRUE(torch::equal(
      normalized_errors(
        numbers({0., 0., 1., 1., not_a_number, infinity, 1., infinity}),
        numbers({0., 1., 0., not_a_number, 1., 1., infinity, infinity})),
      numbers({0., 0., infinity, 0., infinity, infinity, 0., infinity})));
    const ConformalFactor zero{numbers({0.}), 0.9, 9, 9.},
      infinite{numbers({infinity}), 0.9, 9, 9.};
    EXPECT_TRUE(torch::equal(zero.bound(numbers({1., infinity, not_a_number})),
                             numbers({0., infinity, infinity})));
    EXPECT_TRUE(torch::equal(infinite.bound(numbers({1., 0., not_a_number})),
                             numbers({infinity, infinity, infinity})));
  }



  // The scores of n samples and of m new inputs are continuous and
  // exchangeable, so all orders of the n + m are equally likely. The share p
  // of the distribution below the k-th smallest of n is Beta(k, n + 1 − k), the
  // law of the k-th of n uniform numbers, and given p the m new ones are below
  // it independently: how many are is Beta-binomial, with (a = k, b = n + 1 −
  // k)
  //   mean m a/(a + b),
  //   variance m a b (a + b + m)/((a + b)² (a + b + 1)).
  // The mean over R independent splits has this mean, and its standard error
  // is the root of variance/R; that of their empirical variance v comes from
  // the fourth moment, as the root of (m₄ − v²)/R.
  class Coverage
  {
  public:
    static constexpr unsigned int n_splits = 1000, n = 49, m = 20;
    static constexpr double       confidence = 0.9;

    void
    add(const torch::Tensor &covered)
    {
      counts.push_back(covered.to(torch::kFloat64).sum());
    }

    void
    expect_exact() const
    {
      const double a = conformal_rank(n, confidence), b = n + 1. - a;
      const double expected = m * a / (a + b);
      const double variance =
        m * a * b * (a + b + m) / ((a + b) * (a + b) * (a + b + 1.));
      ASSERT_EQ(counts.size(), n_splits);
      const auto all = torch::stack(counts);
      EXPECT_NEAR(mean_of(all), expected, 4. * std::sqrt(variance / n_splits));
      const auto   squares = (all - expected).square();
      const double error =
        squares.std().item<double>() / std::sqrt(double(n_splits));
      EXPECT_NEAR(mean_of(squares), variance, 4. * error);
      // an interval that says something
      EXPECT_LT(4. * error, 0.4 * variance);
    }

    double
    share() const
    {
      return mean_of(torch::stack(counts)) / m;
    }

  private:
    std::vector<torch::Tensor> counts;
  };



  // Errors of fields with correlated points of different size, and scales that
  // say something of them, but not all.
  TEST(ConformalFactor, CoverageIsExact)
  {
    const long   n = Coverage::n, m = Coverage::m, n_points = 6;
    const auto   sizes = torch::arange(1., n_points + 0.5, torch::kFloat64);
    Coverage     scalar, plain, band, most, weighted, together;
    Coverage     points[n_points];
    const auto   weights    = numbers({1., 2., 3., 4., 5., 0.});
    const double confidence = Coverage::confidence;
    const auto   none       = torch::Tensor();
    for (unsigned int split = 0; split < Coverage::n_splits; ++split)
      {
        const auto common = random_normal({n + m, 1}, 10 * split),
                   own    = random_normal({n + m, n_points}, 10 * split + 1),
                   scale  = torch::exp(
                     random_normal({n + m, n_points}, 10 * split + 2));
        const auto errors = ((0.7 * common + own) * sizes * scale).abs();
        const auto old_e = errors.slice(0, 0, n), new_e = errors.slice(0, n),
                   old_s = scale.slice(0, 0, n), new_s = scale.slice(0, n);

        const auto norm_e = errors.square().sum(1).sqrt(),
                   norm_s = scale.square().sum(1).sqrt();
        scalar.add(norm_e.slice(0, n) <= conformal_factor(norm_e.slice(0, 0, n),
                                                          norm_s.slice(0, 0, n),
                                                          confidence,
                                                          "")
                                           .bound(norm_s.slice(0, n)));
        plain.add(
          norm_e.slice(0, n) <=
          conformal_factor(norm_e.slice(0, 0, n), none, confidence, "").factor);

        const auto pointwise = conformal_factor(old_e, old_s, confidence, "");
        ASSERT_EQ(pointwise.factor.sizes(), at::IntArrayRef({n_points}));
        const auto covered = new_e <= pointwise.bound(new_s);
        for (long j = 0; j < n_points; ++j)
          points[j].add(covered.select(1, j));
        together.add(covered.all(1));

        const auto share_of = [&](const ConformalFactor &factor,
                                  const torch::Tensor   &weights) {
          const auto within =
            (new_e <= factor.bound(new_s)).to(torch::kFloat64);
          return (within * weights).sum(1) / weights.sum();
        };
        const auto ones = torch::ones_like(weights);
        band.add(
          share_of(field_conformal_factor(old_e, old_s, 1., confidence, ""),
                   ones) == 1.);
        most.add(
          share_of(field_conformal_factor(old_e, old_s, 0.6, confidence, ""),
                   ones) >= 0.6);
        weighted.add(share_of(field_conformal_factor(
                                old_e, old_s, 0.6, confidence, "", weights),
                              weights) >= 0.6 - 1e-9);
      }
    for (const auto *coverage : {&scalar, &plain, &band, &most, &weighted})
      coverage->expect_exact();
    for (const auto &point : points)
      point.expect_exact();
    // bounds of points are no band
    EXPECT_LT(together.share(), 0.8);
  }



  TEST(FieldConformalFactor, ByHand)
  {
    // ratios of three fields at four points, ordered: 1 2 3 4, 2 2 6 8, 1 1 1 9
    const auto errors =
      numbers({4., 3., 2., 1., 4., 2., 6., 4., 1., 9., 1., 1.}).reshape({3, 4});
    const auto scales =
      torch::ones({3, 4}).index_put_({1}, torch::tensor({0.5f, 1.f, 1.f, 2.f}));
    const auto factor = [&](const double         coverage,
                            const double         confidence,
                            const torch::Tensor &weights = torch::Tensor()) {
      const auto result = field_conformal_factor(
        errors, scales, coverage, confidence, "the test", weights);
      EXPECT_EQ(result.n_samples, 3);
      return result.factor.item<double>();
    };
    EXPECT_EQ(factor(1., 0.25), 4.); // of 4 8 9
    EXPECT_EQ(factor(1., 0.5), 8.);
    EXPECT_EQ(factor(1., 0.75), 9.);
    EXPECT_EQ(factor(0.75, 0.25), 1.); // of 3 6 1
    EXPECT_EQ(factor(0.75, 0.75), 6.);
    EXPECT_EQ(factor(0.76, 0.75), 9.); // all four again
    EXPECT_EQ(factor(0.5, 0.75), 2.);  // of 2 2 1
    EXPECT_EQ(factor(0.01, 0.75), 2.); // of 1 2 1
    // half of the weight at the first point, none at the second: 4 8 1
    const auto weights = numbers({0.5, 0., 0.25, 0.25});
    EXPECT_EQ(factor(1., 0.75, weights), 8.);
    // up to half: 2 (the last two), 6 (likewise, ratios 6 and 2), 1
    EXPECT_EQ(factor(0.5, 0.75, weights), 6.);
    EXPECT_EQ(factor(0.5, 0.5, weights), 2.);

    for (const double coverage : {0., 1.1, not_a_number})
      expect_sentence(message_of<InputError>([&]() { factor(coverage, 0.5); }),
                      {"the test", "share of points"});
    EXPECT_THROW(factor(0.5, 0.5, numbers({1., 1.})), c10::Error);
    EXPECT_THROW(factor(0.5, 0.5, numbers({1., 1., 1., -1.})), c10::Error);
    EXPECT_THROW(
      field_conformal_factor(errors[0], scales[0], 1., 0.5, "the test"),
      c10::Error);
  }



  TEST(WeightedConformalFactor, ByHand)
  {
    // weights 1, 2, 1, and 1 for the new one: 5 in all
    const auto errors = numbers({1., 3., 2.}), p = numbers({1., 1., 0.5});
    const auto factor = [&](const double confidence,
                            const double new_probability) {
      const auto result = weighted_conformal_factor(
        errors, torch::Tensor(), p, new_probability, confidence, "the test");
      EXPECT_EQ(result.n_samples, 3);
      EXPECT_NEAR(result.n_effective, 16. / 6., 1e-14);
      return result.factor.item<double>();
    };
    EXPECT_EQ(factor(0.2, 1.), 1.);
    EXPECT_EQ(factor(0.21, 1.), 2.);
    EXPECT_EQ(factor(0.6, 1.), 2.);
    EXPECT_EQ(factor(0.61, 1.), 3.);
    EXPECT_EQ(factor(0.8, 1.), 3.);
    // 0.81/0.19 · 1/(4/3) samples = 3.2
    expect_sentence(message_of<InputError>([&]() { factor(0.81, 1.); }),
                    {"the test", "0.81", "3 samples", "needs 4"});
    // what is rarely sampled weighs more: 4 + 4 in all
    EXPECT_EQ(factor(0.5, 0.25), 3.);
    expect_sentence(message_of<InputError>([&]() { factor(0.51, 0.25); }),
                    {"needs 4"});
    EXPECT_THROW(factor(0.5, 0.), c10::Error);
    EXPECT_THROW(weighted_conformal_factor(
                   errors, torch::Tensor(), 2. * p, 1., 0.5, "the test"),
                 c10::Error);
  }



  TEST(WeightedConformalFactor, EqualWeightsAreNone)
  {
    for (const long n : {9, 49, 99, 100})
      {
        const auto errors = random_uniform({n}, 0., 1., n),
                   scales = random_uniform({n}, 0.5, 2., n + 1);
        for (const double confidence : {0.1, 0.5, 0.77, 0.9})
          for (const double p : {1., 0.3, 0.07})
            {
              const auto weighted =
                weighted_conformal_factor(errors,
                                          scales,
                                          torch::full({n}, p, torch::kFloat64),
                                          p,
                                          confidence,
                                          "");
              EXPECT_EQ(weighted.factor.item<double>(),
                        conformal_factor(errors, scales, confidence, "")
                          .factor.item<double>())
                << n << " " << confidence << " " << p;
              EXPECT_NEAR(weighted.n_effective, n, 1e-9);
            }
      }
  }



  // Audits that prefer easy queries: without weights the bound is too small.
  TEST(WeightedConformalFactor, CoversAllQueries)
  {
    const unsigned int n_repetitions = 1000;
    const long         n_queries = 300, n_new = 10;
    const double       confidence  = 0.9;
    const auto         probability = [](const torch::Tensor &x) {
      return 0.9 - 0.8 * x;
    };
    std::vector<double> weighted, unweighted;
    double              excess = 0;
    for (unsigned int repetition = 0; repetition < n_repetitions; ++repetition)
      {
        const auto x =
          random_uniform({n_queries + n_new}, 0., 1., 2 * repetition);
        const auto errors =
          (random_normal({n_queries + n_new}, repetition) * (0.2 + x)).abs();
        const auto p = probability(x);
        const auto audited =
          (random_uniform({n_queries}, 0., 1., 2 * repetition + 1) <
           p.slice(0, 0, n_queries))
            .nonzero()
            .squeeze(1);
        const auto old_e = errors.index_select(0, audited),
                   old_p = p.index_select(0, audited);
        unweighted.push_back(mean_of(
          (errors.slice(0, n_queries) <=
           conformal_factor(old_e, torch::Tensor(), confidence, "").factor)
            .to(torch::kFloat64)));
        double share = 0;
        for (long i = n_queries; i < n_queries + n_new; ++i)
          share += (errors[i] <= weighted_conformal_factor(old_e,
                                                           torch::Tensor(),
                                                           old_p,
                                                           p[i].item<double>(),
                                                           confidence,
                                                           "")
                                   .factor)
                     .item<bool>() /
                   double(n_new);
        weighted.push_back(share);
        // The quantile passes the confidence by one weight at most.
        excess += ((1. / old_p).max() / (1. / old_p).sum()).item<double>() /
                  n_repetitions;
      }
    const auto error = [&](const std::vector<double> &shares) {
      return numbers(shares).std().item<double>() / std::sqrt(n_repetitions);
    };
    EXPECT_GT(mean_of(numbers(weighted)), confidence - 4. * error(weighted));
    // (and the new one counts as infinite, which adds its weight)
    EXPECT_LT(mean_of(numbers(weighted)),
              confidence + 2. * excess + 4. * error(weighted));
    EXPECT_LT(2. * excess + 4. * error(weighted), 0.09);
    EXPECT_LT(mean_of(numbers(unweighted)),
              confidence - 8. * error(unweighted));
  }



  TEST(JackknifePlus, ByHand)
  {
    // ends 1 ± 1, 2 ± 4, 3 ± 1, 9 ± 2, that is −2 0 2 7 and 2 4 6 11
    const auto predictions = numbers({1., 2., 3., 9.}),
               radii       = numbers({1., 4., 1., 2.});
    const auto interval    = [&](const double confidence) {
      const auto result =
        jackknife_plus(predictions, radii, confidence, "the test");
      EXPECT_EQ(result.n_samples, 4);
      EXPECT_EQ(result.confidence, confidence);
      return std::make_pair(result.lower.item<double>(),
                            result.upper.item<double>());
    };
    // number ⌊5 α⌋ and ⌈5 (1 − α)⌉
    EXPECT_EQ(interval(0.8), std::make_pair(-2., 11.));
    EXPECT_EQ(interval(0.7), std::make_pair(-2., 11.));
    EXPECT_EQ(interval(0.6), std::make_pair(0., 6.));
    EXPECT_EQ(interval(0.5), std::make_pair(0., 6.));
    // what is no number has no ends
    EXPECT_EQ(jackknife_plus(numbers({1., not_a_number, 2., 3.}),
                             torch::zeros({4}),
                             0.8,
                             "the test")
                .lower.item<double>(),
              -infinity);
    EXPECT_EQ(jackknife_plus(predictions,
                             numbers({1., not_a_number, 2., 3.}),
                             0.8,
                             "the test")
                .upper.item<double>(),
              infinity);
  }



  TEST(JackknifePlus, OneRadiusForAllOrOneEach)
  {
    const auto predictions = random_normal({30, 4}, 40),
               radii       = random_uniform({30}, 0., 1., 41);
    const auto all = jackknife_plus(predictions, radii, 0.8, "the test");
    for (long j = 0; j < 4; ++j)
      {
        const auto one =
          jackknife_plus(predictions.select(1, j), radii, 0.8, "the test");
        EXPECT_TRUE(torch::equal(one.lower, all.lower[j]));
        EXPECT_TRUE(torch::equal(one.upper, all.upper[j]));
      }
    const auto each = jackknife_plus(predictions,
                                     radii.unsqueeze(1).expand({30, 4}),
                                     0.8,
                                     "the test");
    EXPECT_TRUE(torch::equal(each.lower, all.lower));
    EXPECT_TRUE(torch::equal(each.upper, all.upper));
    EXPECT_THROW(
      jackknife_plus(predictions, radii.slice(0, 1), 0.8, "the test"),
      c10::Error);
    EXPECT_THROW(
      jackknife_plus(predictions, radii.unsqueeze(1), 0.8, "the test"),
      c10::Error);
  }



  /** Ridge regression of n samples on p features, and what it leaves out. */
  struct Ridge
  {
    Ridge(const torch::Tensor &features,
          const torch::Tensor &outputs,
          const double         lambda)
      : features(features)
      , outputs(outputs)
      , inverse(at::linalg_inv(torch::mm(features.t(), features) +
                               lambda *
                                 torch::eye(features.size(1), torch::kFloat64)))
      , weights(torch::mv(inverse, torch::mv(features.t(), outputs)))
    {}

    /**
     * The predictions at @p x, [q, p], without fold k for every k, and the
     * errors at the samples without their fold.
     */
    std::pair<torch::Tensor, torch::Tensor>
    leave_out(const torch::Tensor &x, const std::vector<torch::Tensor> &folds)
    {
      std::vector<torch::Tensor> predictions;
      auto                       errors = torch::empty_like(outputs);
      for (const auto &fold : folds)
        {
          const auto phi = features.index_select(0, fold),
                     y   = outputs.index_select(0, fold);
          const auto g   = torch::mm(phi, inverse);
          const auto e =
            torch::mv(at::linalg_inv(torch::eye(phi.size(0), torch::kFloat64) -
                                     torch::mm(g, phi.t())),
                      y - torch::mv(phi, weights));
          predictions.push_back(torch::mv(x, weights - torch::mv(g.t(), e)));
          errors.index_copy_(0, fold, e.abs());
        }
      return {torch::stack(predictions), errors};
    }

    torch::Tensor features, outputs, inverse, weights;
  };

  /** The folds 0, 1, …, K − 1, 0, 1, … of n samples. */
  std::vector<torch::Tensor>
  folds_of(const long n, const long n_folds)
  {
    std::vector<torch::Tensor> folds;
    for (long k = 0; k < n_folds; ++k)
      folds.push_back(torch::arange(k, n, n_folds));
    return folds;
  }



  TEST(JackknifePlus, RidgeOfTheTestsLeavesOut)
  {
    const auto features = random_normal({12, 3}, 50),
               outputs = random_normal({12}, 51), x = random_normal({2, 3}, 52);
    Ridge ridge(features, outputs, 0.3);
    const auto [predictions, errors] = ridge.leave_out(x, folds_of(12, 4));
    const auto  rest                 = torch::arange(12) % 4 != 1;
    const Ridge without(features.index({rest}), outputs.index({rest}), 0.3);
    EXPECT_LT(distance(predictions[1], torch::mv(x, without.weights)), 1e-12);
    EXPECT_NEAR(
      errors[5].item<double>(),
      (outputs[5] - features[5].dot(without.weights)).abs().item<double>(),
      1e-12);
  }



  /** Of how many out of so many repetitions intervals held the truth. */
  struct Holding
  {
    unsigned int jackknife = 0, jackknife_plus = 0, cv_plus = 0;
    unsigned int p_values = 0, outside = 0;
  };

  Holding
  repeat(const unsigned int n_repetitions,
         const long         n,
         const long         n_features,
         const double       lambda)
  {
    const double confidence = 0.9;
    const long   n_folds    = 5;
    Holding      result;
    for (unsigned int repetition = 0; repetition < n_repetitions; ++repetition)
      {
        const auto features =
          random_normal({n + 1, n_features}, 3 * repetition + 60000);
        const auto outputs = features.sum(1) / std::sqrt(double(n_features)) +
                             random_normal({n + 1}, 3 * repetition + 60001);
        const auto x = features.slice(0, n);
        const auto y = outputs.slice(0, n);
        Ridge ridge(features.slice(0, 0, n), outputs.slice(0, 0, n), lambda);
        const auto holds = [&](const auto &interval) {
          return ((interval.lower <= y) & (y <= interval.upper))
            .all()
            .template item<bool>();
        };

        const auto [each, errors] = ridge.leave_out(x, folds_of(n, n));
        result.jackknife_plus +=
          holds(jackknife_plus(each, errors, confidence, ""));
        // the older one, around the prediction with all samples
        const auto centre = torch::mv(x, ridge.weights);
        const auto radius = quantile_of(errors, confidence);
        result.jackknife +=
          holds(ConformalInterval{centre - radius, centre + radius, 0., 0});

        const auto [folds, fold_errors] =
          ridge.leave_out(x, folds_of(n, n_folds));
        const auto number = torch::arange(n) % n_folds;
        const auto interval =
          cv_plus(folds, number, fold_errors, confidence, "");
        result.cv_plus += holds(interval);
        const auto p = cross_conformal_p_values(folds.index_select(0, number),
                                                fold_errors,
                                                y);
        const bool in_set = (p > 1. - confidence + 1e-9).all().item<bool>();
        result.p_values += in_set;
        result.outside += in_set && !holds(interval);
      }
    return result;
  }



  // Forty samples for three weights, each of which matters little: the
  // coverage is near that of the rank, 37/41. The promise is 80 %.
  TEST(JackknifePlus, CoversAsAskedWhereRegressionIsStable)
  {
    const unsigned int n_repetitions = 1000;
    const auto         held          = repeat(n_repetitions, 40, 3, 0.1);
    for (const auto k : {held.jackknife_plus, held.cv_plus, held.p_values})
      {
        const auto [lower, upper] = binomial_interval(k, n_repetitions, 0.999);
        EXPECT_GT(lower, 0.8) << k;
        EXPECT_GE(upper, 37. / 41. - 0.01) << k;
        EXPECT_LE(lower, 37. / 41. + 0.02) << k;
      }
    EXPECT_EQ(held.outside, 0);
  }



  // As many samples as weights, where one sample more or less changes all (as
  // in the paper's figure 2): the promise of 1 − 2α is kept, which the
  // jackknife around the prediction with all samples does not.
  TEST(JackknifePlus, KeepsItsPromiseWhereRegressionIsNot)
  {
    const unsigned int n_repetitions = 1000;
    const auto         held          = repeat(n_repetitions, 20, 20, 1e-6);
    for (const auto k : {held.jackknife_plus, held.cv_plus, held.p_values})
      EXPECT_GT(binomial_interval(k, n_repetitions, 0.999).first, 0.8) << k;
    EXPECT_LT(binomial_interval(held.jackknife, n_repetitions, 0.999).second,
              0.8)
      << held.jackknife;
    EXPECT_EQ(held.outside, 0);
  }



  TEST(CVPlus, IsJackknifePlusWithThePredictionsOfFolds)
  {
    const auto folds       = torch::tensor({0, 1, 2, 1, 0, 2, 2});
    const auto predictions = random_normal({3, 5}, 70),
               radii       = random_uniform({7, 5}, 0., 1., 71);
    const auto a = cv_plus(predictions, folds, radii, 0.7, "the test");
    const auto b = jackknife_plus(predictions.index_select(0, folds),
                                  radii,
                                  0.7,
                                  "the test");
    EXPECT_TRUE(torch::equal(a.lower, b.lower));
    EXPECT_TRUE(torch::equal(a.upper, b.upper));
    EXPECT_EQ(a.n_samples, 7);
  }



  TEST(CrossConformal, PValuesByHand)
  {
    // distances of 2 from 1, 4, 2 are 1, 2, 0, radii 1, 1, 0: two agree
    const auto predictions = numbers({1., 4., 2.}).unsqueeze(1).expand({3, 3}),
               radii       = numbers({1., 1., 0.});
    const auto p           = cross_conformal_p_values(predictions,
                                            radii,
                                            numbers({2., 10., not_a_number}));
    EXPECT_TRUE(torch::equal(p, numbers({0.75, 0.25, 0.25})));
    // what was predicted as no number, or is off by no number, never disagrees
    EXPECT_EQ(cross_conformal_p_values(numbers({not_a_number, 1., 1.}),
                                       numbers({0., not_a_number, 0.}),
                                       torch::tensor(5., torch::kFloat64))
                .item<double>(),
              0.75);
  }



  // The set of large p-values lies in the interval (it need not be one).
  TEST(CrossConformal, SetIsPartOfTheInterval)
  {
    const long n = 23, n_candidates = 400;
    for (std::uint64_t number = 0; number < 20; ++number)
      {
        const auto predictions = random_normal({n, 1}, 80 + 2 * number),
                   radii       = random_uniform({n}, 0., 1.5, 81 + 2 * number);
        const auto y = torch::linspace(-5., 5., n_candidates, torch::kFloat64);
        const auto p =
          cross_conformal_p_values(predictions.expand({n, n_candidates}),
                                   radii,
                                   y);
        const auto interval =
          jackknife_plus(predictions, radii, 0.8, "the test");
        const auto in_set = p > 0.2 + 1e-9,
                   inside = (y >= interval.lower) & (y <= interval.upper);
        EXPECT_TRUE(in_set.any().item<bool>());
        EXPECT_FALSE((in_set & ~inside).any().item<bool>());
        EXPECT_TRUE((~inside).any().item<bool>());
      }
  }



  /** The size of errors at time t: jumps up and down. */
  double
  size_of_errors(const unsigned int t)
  {
    return std::array<double, 4>{{1., 6., 0.3, 2.}}[(t / 700) % 4];
  }

  /** What a stream of errors made of a method. */
  struct Stream
  {
    double       missed   = 0;        ///< share
    double       worst    = 0;        ///< the same in the worst 200 in a row
    double       lowest   = infinity; ///< level
    double       highest  = -infinity;
    unsigned int infinite = 0;
  };

  Stream
  follow(AdaptiveConformal &method, const bool moving_window)
  {
    const unsigned int  n_steps = 4200, n_scores = 100;
    CounterRandom       random(12, CounterRandom::Stream::check, 0);
    std::vector<double> past, misses;
    for (unsigned int i = 0; i < n_scores; ++i)
      past.push_back(std::abs(random.normal()));
    Stream result;
    for (unsigned int t = 0; t < n_steps; ++t)
      {
        const double score  = size_of_errors(t) * std::abs(random.normal());
        const auto   scores = numbers(past);
        const double bound  = method.quantile(scores);
        misses.push_back(score > bound);
        result.infinite += std::isinf(bound);
        result.missed += misses.back() / n_steps;
        method.update(scores, score);
        result.lowest  = std::min(result.lowest, method.level());
        result.highest = std::max(result.highest, method.level());
        if (moving_window)
          past[t % n_scores] = score;
      }
    for (unsigned int t = 0; t + 200 <= n_steps; ++t)
      {
        double sum = 0;
        for (unsigned int i = t; i < t + 200; ++i)
          sum += misses[i] / 200.;
        result.worst = std::max(result.worst, sum);
      }
    EXPECT_EQ(method.n_outcomes(), n_steps);
    EXPECT_NEAR(method.n_missed() / double(n_steps), result.missed, 1e-12);
    return result;
  }



  TEST(AdaptiveConformal, LongRunRateIsWithinTheProvenBound)
  {
    for (const double step : {0.005, 0.02, 0.1})
      for (const bool moving_window : {false, true})
        {
          AdaptiveConformal method(0.9, {step});
          const auto        result = follow(method, moving_window);
          // proposition 4.1, written out
          const double bound = (0.9 + step) / (step * 4200.);
          EXPECT_DOUBLE_EQ(method.long_run_bound(), bound);
          EXPECT_LE(std::abs(result.missed - 0.1), bound) << step;
          // lemma 4.1
          EXPECT_GE(result.lowest, -step);
          EXPECT_LE(result.highest, 1. + step);
        }
    // without adaptation the rate is another one
    AdaptiveConformal fixed(0.9, {1e-9});
    EXPECT_GT(follow(fixed, false).missed, 0.3);
  }



  // A stream that always exceeds a bound that is finite, and is zero where it
  // is not.
  TEST(AdaptiveConformal, BoundHoldsAgainstAnAdversary)
  {
    const auto        scores = torch::arange(1., 50.5, torch::kFloat64);
    const double      step   = 0.03;
    AdaptiveConformal method(0.8, {step});
    double            missed = 0;
    for (unsigned int t = 1; t <= 3000; ++t)
      {
        const double bound = method.quantile(scores);
        const double score = std::isinf(bound) ? 0. : bound + 1.;
        missed += (score > bound);
        method.update(scores, score);
        EXPECT_LE(std::abs(missed / t - 0.2), method.long_run_bound() + 1e-12);
      }
    EXPECT_EQ(method.n_missed(), missed);
    EXPECT_LT(method.long_run_bound(), 0.01);
  }



  TEST(AdaptiveConformal, ByHand)
  {
    const auto scores = torch::arange(1., 9.5, torch::kFloat64); // 1 … 9
    AdaptiveConformal method(0.8, {0.15});
    EXPECT_EQ(method.quantile(scores), 8.); // number ⌈10 · 0.8⌉
    method.update(scores, 8.);
    EXPECT_NEAR(method.level(), 0.2 + 0.15 * 0.2, 1e-14);
    EXPECT_EQ(method.quantile(scores), 8.); // ⌈7.7⌉
    method.update(scores, 8.5);
    EXPECT_NEAR(method.level(), 0.23 - 0.15 * 0.8, 1e-14);
    EXPECT_EQ(method.quantile(scores), 9.); // ⌈8.9⌉
    method.update(scores, not_a_number);
    EXPECT_NEAR(method.level(), -0.01, 1e-14);
    EXPECT_EQ(method.quantile(scores), infinity);
    method.update(scores, 1e9);
    EXPECT_NEAR(method.level(), 0.02, 1e-14);
    EXPECT_EQ(method.quantile(scores), infinity); // number 10 of 9
    EXPECT_EQ(method.n_outcomes(), 4);
    EXPECT_EQ(method.n_missed(), 2);
    EXPECT_EQ(AdaptiveConformal(0.9).quantile(numbers({})), infinity);
    // the other end: any outcome is a miss
    AdaptiveConformal eager(0.1, {1.});
    eager.update(scores, 0.);
    EXPECT_NEAR(eager.level(), 1.8, 1e-14);
    EXPECT_EQ(eager.quantile(scores), -infinity);
    eager.update(scores, 0.);
    EXPECT_NEAR(eager.level(), 1.7, 1e-14);
  }



  // One outcome with two steps, from the formulas of the paper.
  TEST(AdaptiveConformal, SeveralStepsByHand)
  {
    const double      alpha = 0.1, length = 100.;
    const auto        scores = torch::arange(1., 99.5, torch::kFloat64);
    AdaptiveConformal method(1. - alpha, {0.01, 0.2}, 100);
    method.update(scores, 95.5); // both missed; 95 of 99 are below
    const double first = alpha - 0.01 * 0.9, second = alpha - 0.2 * 0.9;
    EXPECT_NEAR(method.level(), 0.5 * (first + second), 1e-14);
    method.update(scores, 20.5); // both covered; beta = 1 − 20/100
    const double eta = std::sqrt(
      3. / length * (std::log(2. * length) + 2.) /
      (0.9 * 0.9 * std::pow(alpha, 3) + alpha * alpha * std::pow(0.9, 3)));
    const double w     = std::exp(-eta * alpha * (0.8 - first)),
                 v     = std::exp(-eta * alpha * (0.8 - second));
    const double share = (1. - 0.5 / length) * w / (w + v) + 0.5 / length / 2.;
    EXPECT_NEAR(method.level(),
                share * (first + 0.01 * alpha) +
                  (1. - share) * (second + 0.2 * alpha),
                1e-12);
    EXPECT_EQ(method.long_run_bound(), infinity);
  }



  // Several steps, without a choice of one: in the worst stretch nearer to the
  // best of the single ones than to the slowest, which takes hundreds of
  // outcomes to follow.
  TEST(AdaptiveConformal, SeveralStepsFollowJumps)
  {
    const std::vector<double> steps = {0.001, 0.004, 0.016, 0.064};
    double                    best = 1., slowest = 0.;
    for (const double step : steps)
      {
        AdaptiveConformal single(0.9, {step});
        const auto        result = follow(single, false);
        best                     = std::min(best, result.worst);
        slowest                  = std::max(slowest, result.worst);
      }
    AdaptiveConformal method(0.9, steps);
    const auto        result = follow(method, false);
    EXPECT_NEAR(result.missed, 0.1, 0.03);
    EXPECT_LT(result.worst, best + 0.2) << best;
    EXPECT_GT(slowest, result.worst + 0.3);
  }



  TEST(AdaptiveConformal, GoesOnFromItsState)
  {
    for (const auto &steps :
         {std::vector<double>{0.02}, std::vector<double>{0.01, 0.05, 0.2}})
      {
        const auto        scores = random_uniform({60}, 0., 1., 90);
        CounterRandom     random(13, CounterRandom::Stream::check, 0);
        AdaptiveConformal one(0.9, steps);
        for (unsigned int t = 0; t < 100; ++t)
          one.update(scores, 1.1 * random.uniform());
        AdaptiveConformal other(0.9, steps);
        other.set_state(one.state(), "the test");
        EXPECT_EQ(other.level(), one.level());
        for (unsigned int t = 0; t < 100; ++t)
          {
            const double score = 1.1 * random.uniform();
            one.update(scores, score);
            other.update(scores, score);
            ASSERT_EQ(other.level(), one.level());
          }
        EXPECT_TRUE(torch::equal(other.state(), one.state()));
        EXPECT_EQ(other.n_outcomes(), 200);
        EXPECT_EQ(other.n_missed(), one.n_missed());
        EXPECT_GT(one.n_missed(), 0);
      }
  }



  TEST(AdaptiveConformal, MistakesAreSentences)
  {
    const auto make = [](const double               confidence,
                         const std::vector<double> &steps,
                         const unsigned int         interval = 10) {
      return message_of<InputError>(
        [&]() { AdaptiveConformal(confidence, steps, interval, "the test"); });
    };
    expect_sentence(make(1., {0.1}), {"the test", "the confidence", "'1'"});
    expect_sentence(make(0.9, {}), {"the test", "steps", "'0'"});
    expect_sentence(make(0.9, {0.1, -0.2}), {"the step", "'-0.2'", "positive"});
    expect_sentence(make(0.9, {not_a_number}), {"the step", "'nan'"});
    expect_sentence(make(0.9, {0.1}, 0), {"interval", "'0'"});

    AdaptiveConformal method(0.9, {0.1, 0.2});
    const auto        set = [&](const torch::Tensor &state) {
      return message_of<InputError>(
        [&]() { method.set_state(state, "the file"); });
    };
    const auto before = method.state();
    expect_sentence(set(torch::zeros({4})), {"the file", "[4]", "[6]"});
    expect_sentence(set(torch::Tensor()), {"the file", "nothing", "[6]"});
    expect_sentence(set(numbers({1., 2., 0.1, 0.1, 0.5, 0.5})),
                    {"the file", "number 1", "'2'"});
    expect_sentence(set(numbers({3., 2., 0.1, not_a_number, 0.5, 0.5})),
                    {"number 3", "'nan'"});
    expect_sentence(set(numbers({3., 2., 0.1, 0.1, -0.5, 1.5})),
                    {"number 4", "'-0.5'"});
    expect_sentence(set(numbers({3., 2., 0.1, 0.1, 0., 0.})), {"sum", "'0'"});
    // nothing of a wrong state has been taken
    EXPECT_TRUE(torch::equal(method.state(), before));
    EXPECT_THROW(method.update(torch::zeros({2, 2}), 1.), c10::Error);
  }
} // namespace
