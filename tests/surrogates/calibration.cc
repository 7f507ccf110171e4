// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/calibration.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/random.h>

#include <cmath>
#include <limits>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;
  using Samples = std::vector<CalibrationSample>;

  constexpr double infinity     = std::numeric_limits<double>::infinity();
  constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

  /** Calibrate at tolerance 1. */
  Calibration
  calibrated(const Samples      &samples,
             const double        confidence    = 0.95,
             const double        significance  = 0.1,
             const Extrapolation extrapolation = Extrapolation::none)
  {
    return calibrate(
      samples, 1., confidence, significance, extrapolation, "the test");
  }



  /**
   * @p n held-out samples with scores spread evenly over (0, @p largest) and
   * errors of @p ratio times the score.
   */
  Samples
  even_samples(const unsigned int n,
               const double       largest = 1.,
               const double       ratio   = 0.1)
  {
    Samples samples;
    for (unsigned int i = 0; i < n; ++i)
      {
        const double score = largest * (i + 0.5) / n;
        samples.push_back({score, ratio * score});
      }
    return samples;
  }



  TEST(Calibration, BinomialDistributionFunction)
  {
    EXPECT_NEAR(binomial_cdf(5, 10, 0.5), 638. / 1024., 1e-14);
    EXPECT_NEAR(binomial_cdf(2, 20, 0.1), 0.67692680518947, 1e-13);
    EXPECT_NEAR(binomial_cdf(0, 45, 0.05), std::pow(0.95, 45), 1e-14);
    EXPECT_NEAR(binomial_cdf(12, 400, 0.05), 0.035505904177618, 1e-13);
    EXPECT_NEAR(binomial_cdf(2000, 100000, 0.02), 0.50594700385387, 1e-9);
    // by Pascal's triangle
    for (const double p : {0.01, 0.3, 0.9})
      {
        std::vector<double> mass = {1.};
        for (unsigned int n = 1; n <= 30; ++n)
          {
            mass.push_back(0.);
            for (unsigned int k = n; k > 0; --k)
              mass[k] = (1. - p) * mass[k] + p * mass[k - 1];
            mass[0] *= 1. - p;
            double sum = 0;
            for (unsigned int k = 0; k <= n; ++k)
              {
                sum += mass[k];
                EXPECT_NEAR(binomial_cdf(k, n, p), sum, 1e-12);
              }
          }
      }
    EXPECT_EQ(binomial_cdf(3, 3, 0.5), 1.);
    EXPECT_EQ(binomial_cdf(9, 3, 0.5), 1.);
    EXPECT_EQ(binomial_cdf(0, 3, 0.), 1.);
    EXPECT_EQ(binomial_cdf(2, 3, 1.), 0.);
  }



  // Tabulated values.
  TEST(Calibration, BinomialIntervalIsThatOfClopperAndPearson)
  {
    struct Row
    {
      unsigned int k, n;
      double       confidence, lower, upper;
    };
    for (const auto &row : {Row{0, 10, 0.95, 0., 0.3084971078},
                            Row{1, 10, 0.95, 0.0025285785, 0.4450161170},
                            Row{2, 10, 0.95, 0.0252107263, 0.5560954623},
                            Row{5, 10, 0.95, 0.1870860284, 0.8129139716},
                            Row{10, 10, 0.95, 0.6915028922, 1.},
                            Row{3, 20, 0.95, 0.0320709372, 0.3789268265},
                            Row{10, 100, 0.95, 0.0490046892, 0.1762225977},
                            Row{1, 100, 0.99, 0.0000501242, 0.0719576824},
                            Row{7, 1000, 0.9, 0.0032897874, 0.0131077154}})
      {
        const auto [lower, upper] =
          binomial_interval(row.k, row.n, row.confidence);
        EXPECT_NEAR(lower, row.lower, 1e-9) << row.k << " of " << row.n;
        EXPECT_NEAR(upper, row.upper, 1e-9) << row.k << " of " << row.n;
      }
    EXPECT_EQ(binomial_interval(0, 0, 0.95), std::make_pair(0., 1.));
  }



  TEST(Calibration, SamplesNeeded)
  {
    EXPECT_EQ(samples_needed(0.95, 0.1), 45);
    EXPECT_EQ(samples_needed(0.95, 0.05), 59);
    EXPECT_EQ(samples_needed(0.99, 0.1), 230);
    EXPECT_EQ(samples_needed(0.5, 0.25), 2);   // exactly
    EXPECT_EQ(samples_needed(0.9, 0.9), 9);    // the conformal quantile's
    EXPECT_EQ(samples_needed(0.95, 0.99), 19); // likewise
    for (const double confidence : {0.8, 0.9, 0.97})
      for (const double significance : {0.3, 0.1, 0.01})
        {
          const auto suffices = [&](const unsigned int n) {
            return std::pow(confidence, n) <= significance &&
                   std::ceil((n + 1) * confidence - 1e-9) <= n;
          };
          const auto n = samples_needed(confidence, significance);
          EXPECT_TRUE(suffices(n));
          EXPECT_FALSE(suffices(n - 1));
        }
  }



  TEST(Calibration, TooFewSamplesAreRefused)
  {
    EXPECT_NO_THROW(calibrated(even_samples(45)));
    expect_sentence(message_of<InputError>(
                      []() { calibrated(even_samples(44)); }),
                    {"the test", "the confidence", "0.95", "44", "45"});
    expect_sentence(message_of<InputError>([]() { calibrated({}); }),
                    {"the test", "0.95", "0 held-out", "45"});
  }



  TEST(Calibration, FactorIsTheConformalQuantile)
  {
    // ratios 1, …, n in some order: the factor is number ⌈(n+1)·confidence⌉
    CounterRandom random(1, CounterRandom::Stream::check, 0);
    for (const unsigned int n : {49, 99, 100, 250})
      {
        Samples samples;
        for (const auto i : random.permutation(n))
          {
            const double score = 1e-3 * (0.5 + random.uniform());
            samples.push_back({score, (i + 1) * score});
          }
        EXPECT_NEAR(calibrated(samples, 0.9).factor,
                    std::ceil((n + 1) * 0.9 - 1e-9),
                    1e-9);
      }
  }



  // The coverage is rank/(n+1) on average, whatever scores and errors are.
  TEST(Calibration, FactorCovers)
  {
    const unsigned int n_splits = 1000, n = 99;
    for (const bool useful_score : {true, false})
      {
        unsigned int covered = 0;
        for (unsigned int split = 0; split < n_splits; ++split)
          {
            CounterRandom random(2, CounterRandom::Stream::check, split);
            const auto    draw = [&]() -> CalibrationSample {
              const double score = std::exp(random.normal());
              const double error = std::abs(random.normal());
              return {score, useful_score ? score * error : error};
            };
            Samples samples;
            for (unsigned int i = 0; i < n; ++i)
              samples.push_back(draw());
            const double factor = calibrated(samples, 0.9).factor;
            const auto   other  = draw();
            covered += (other.error <= factor * other.score);
          }
        // 0.9 lies in the interval of what was seen, unless by a chance of
        // one in a thousand
        const auto [lower, upper] = binomial_interval(covered, n_splits, 0.999);
        EXPECT_LE(lower, 0.9) << covered;
        EXPECT_GE(upper, 0.9) << covered;
      }
  }



  // Scores are uniform in (0, 1), and an error is beyond the tolerance with
  // probability s/5: the risk among scores up to t is t/10, so thresholds
  // above 1/2 break the promise of 5 %. It may be broken by the chance that
  // `significance` names.
  TEST(Calibration, RiskAmongTheAcceptedIsControlled)
  {
    const unsigned int n_repetitions = 1000;
    for (const double significance : {0.1, 0.3})
      {
        unsigned int n_bad = 0;
        double       mean  = 0;
        for (unsigned int repetition = 0; repetition < n_repetitions;
             ++repetition)
          {
            CounterRandom random(3, CounterRandom::Stream::check, repetition);
            Samples       samples;
            for (unsigned int i = 0; i < 600; ++i)
              {
                const double score = random.uniform();
                const bool   bad   = random.uniform() < 0.2 * score;
                samples.push_back({score, bad ? 1.001 : 0.01 * score});
              }
            const auto result = calibrated(samples, 0.95, significance);
            n_bad += (result.threshold > 0.5);
            mean += result.threshold / n_repetitions;
          }
        // the share is at most `significance` up to four standard deviations
        const double deviation =
          std::sqrt(significance * (1. - significance) / n_repetitions);
        EXPECT_LE(double(n_bad) / n_repetitions, significance + 4. * deviation);
        // and the promise is not kept by accepting nothing
        EXPECT_GT(mean, 0.1);
        EXPECT_GT(n_bad, 0);
      }
  }



  // A marginal bound would hold here, with 4 % beyond the tolerance among
  // all; among the accepted it would be 20 %.
  TEST(Calibration, MarginalCoverageIsNotEnough)
  {
    Samples samples;
    for (unsigned int i = 0; i < 500; ++i)
      {
        const double score = (i + 0.5) / 500;
        const bool   bad   = i < 100 && i % 5 == 4;
        samples.push_back({score, bad ? 1.001 : 0.01 * score});
      }
    const auto result = calibrated(samples);
    EXPECT_LT(result.factor, 0.02);
    EXPECT_EQ(result.threshold, 0.);
  }



  TEST(Calibration, ThresholdGoesAsFarAsTheTestsPass)
  {
    // No violation up to 0.6, then nothing else: the last to pass is where
    // the tail still is below the significance.
    auto samples = even_samples(200);
    for (auto &sample : samples)
      if (sample.score > 0.6)
        sample.error = 1.001;
    const auto result = calibrated(samples);

    unsigned int violations = 0;
    double       expected   = 0;
    for (unsigned int i = 0; i < 200; ++i)
      {
        violations += (samples[i].score > 0.6);
        if (i < 44)
          continue;
        if (binomial_cdf(violations, i + 1, 0.05) > 0.1)
          break;
        expected = samples[i].score;
        EXPECT_LE(result.factor * expected, 1.5);
      }
    // here the bound itself, 1.001/0.65 times the score, ends it earlier
    EXPECT_GT(result.threshold, 0.55);
    EXPECT_LE(result.threshold, expected);
    EXPECT_EQ(result.n_samples, 200);
    EXPECT_EQ(result.n_below,
              static_cast<unsigned int>(
                std::lround(result.threshold * 200 + 0.5)));
  }



  TEST(Calibration, BoundStaysWithinTheTolerance)
  {
    // error = 4 score: nothing violates below 1/4, and no bound above is
    // within the tolerance
    const auto result = calibrated(even_samples(400, 0.3, 4.));
    EXPECT_NEAR(result.factor, 4., 1e-12);
    EXPECT_LE(result.factor * result.threshold, 1.);
    EXPECT_GT(result.threshold, 0.249);
    EXPECT_EQ(result.n_violations, 0);
  }



  // One that was wrong by chance among the best scores ends the sequence that
  // starts there, but not the one that starts with most samples.
  TEST(Calibration, OneViolationAmongTheBestIsNoEnd)
  {
    const auto with_one = [](const unsigned int n) {
      auto samples     = even_samples(n);
      samples[0].error = 1.001;
      // A bound that stays within the tolerance.
      samples[0].score = 0.9 / n;
      return calibrated(samples);
    };
    // P(X ≤ 1) of 93 at 5 % is the first below half of 10 %.
    ASSERT_GT(binomial_cdf(1, 92, 0.05), 0.05);
    ASSERT_LE(binomial_cdf(1, 93, 0.05), 0.05);
    EXPECT_EQ(with_one(92).threshold, 0.);
    const auto result = with_one(93);
    EXPECT_DOUBLE_EQ(result.threshold, 92.5 / 93);
    EXPECT_EQ(result.n_below, 93);
    EXPECT_EQ(result.n_violations, 1);
  }



  TEST(Calibration, Extrapolation)
  {
    // no sample fails: the score of a model stops at the largest seen, an
    // estimator's threshold is the tolerance over the factor
    const auto clean = even_samples(100, 1e-3, 2.);
    EXPECT_DOUBLE_EQ(calibrated(clean).threshold, 1e-3 * 99.5 / 100);
    EXPECT_DOUBLE_EQ(
      calibrated(clean, 0.95, 0.1, Extrapolation::proportional).threshold, 0.5);

    // where the test has failed on the way there is nothing to extend
    auto failing = even_samples(200, 0.1);
    for (unsigned int i = 100; i < 200; ++i)
      if (i % 12 == 0)
        failing[i].error = 1.001;
    const auto none = calibrated(failing);
    EXPECT_GT(none.threshold, 0.04);
    EXPECT_LT(none.threshold, 0.1);
    EXPECT_EQ(
      calibrated(failing, 0.95, 0.1, Extrapolation::proportional).threshold,
      none.threshold);

    // nor where nothing was accepted
    auto hopeless = even_samples(100, 0.1);
    for (auto &sample : hopeless)
      sample.error = 1.001;
    EXPECT_EQ(
      calibrated(hopeless, 0.95, 0.1, Extrapolation::proportional).threshold,
      0.);
  }



  TEST(Calibration, OrderDoesNotMatter)
  {
    auto          samples = even_samples(100);
    const auto    before  = calibrated(samples);
    CounterRandom random(4, CounterRandom::Stream::check, 0);
    Samples       shuffled;
    for (const auto i : random.permutation(100))
      shuffled.push_back(samples[i]);
    const auto after = calibrated(shuffled);
    EXPECT_EQ(before.factor, after.factor);
    EXPECT_EQ(before.threshold, after.threshold);
    EXPECT_EQ(before.n_below, after.n_below);
  }



  // What is not a number is never good news.
  TEST(Calibration, NotANumberCountsAgainst)
  {
    auto bad_errors = even_samples(100);
    for (unsigned int i = 0; i < 100; i += 3)
      bad_errors[i].error = not_a_number;
    auto result = calibrated(bad_errors);
    EXPECT_EQ(result.threshold, 0.);
    EXPECT_EQ(result.factor, infinity);

    auto bad_scores = even_samples(200);
    for (unsigned int i = 0; i < 200; i += 50)
      bad_scores[i].score = not_a_number;
    result = calibrated(bad_scores);
    EXPECT_TRUE(std::isfinite(result.threshold));
    EXPECT_GT(result.threshold, 0.9);
    EXPECT_NEAR(result.factor, 0.1, 1e-12);

    // even where all other answers are exact, and any bound is zero
    bad_scores          = even_samples(100, 1., 0.);
    bad_scores[7].score = not_a_number;
    result              = calibrated(bad_scores);
    EXPECT_EQ(result.factor, 0.);
    EXPECT_DOUBLE_EQ(result.threshold, 0.995);

    // an exact answer with a score of zero is one
    auto exact     = even_samples(100);
    exact[0].score = exact[0].error = 0.;
    result                          = calibrated(exact);
    EXPECT_NEAR(result.factor, 0.1, 1e-12);
    EXPECT_GT(result.threshold, 0.99);
  }
} // namespace
