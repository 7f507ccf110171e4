// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/calibration.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/conformal.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace neuraldeal
{
  double
  binomial_cdf(const unsigned int k, const unsigned int n, const double p)
  {
    if (k >= n || p <= 0.)
      return 1.;
    if (p >= 1.)
      return 0.;
    double sum = 0;
    for (unsigned int i = 0; i <= k; ++i)
      sum += std::exp(std::lgamma(n + 1.) - std::lgamma(i + 1.) -
                      std::lgamma(n - i + 1.) + i * std::log(p) +
                      (n - i) * std::log1p(-p));
    return std::min(sum, 1.);
  }



  std::pair<double, double>
  binomial_interval(const unsigned int k,
                    const unsigned int n,
                    const double       confidence)
  {
    const double tail = 0.5 * (1. - confidence);
    // Both ends by bisection: the distribution function falls with p.
    const auto solve = [](const auto &is_below) {
      double left = 0, right = 1;
      for (unsigned int i = 0; i < 60; ++i)
        {
          const double middle               = 0.5 * (left + right);
          (is_below(middle) ? left : right) = middle;
        }
      return 0.5 * (left + right);
    };
    const double lower = k == 0 ? 0. : solve([&](const double p) {
      return 1. - binomial_cdf(k - 1, n, p) < tail;
    });
    const double upper = k == n ? 1. : solve([&](const double p) {
      return binomial_cdf(k, n, p) > tail;
    });
    return {lower, upper};
  }



  unsigned int
  samples_needed(const double confidence, const double significance)
  {
    // No violation among n has probability confidence^n; the conformal
    // quantile needs some besides.
    const double tail = std::log(significance) / std::log(confidence);
    return std::max<unsigned int>(std::ceil(tail - 1e-9),
                                  conformal_samples_needed(confidence));
  }



  namespace
  {
    /** Where the test starts, and at which significance. */
    struct Start
    {
      unsigned int n_below;
      double       significance;
    };

    std::vector<Start>
    sequences(const unsigned int n_samples,
              const double       confidence,
              const double       significance)
    {
      // The fewest samples that pass with so many violations among them;
      // more violations need more samples.
      const auto fewest_that_pass = [confidence](const unsigned int violations,
                                                 const double       level,
                                                 unsigned int       n) {
        while (binomial_cdf(violations, n, 1. - confidence) > level)
          ++n;
        return n;
      };

      const double       half  = 0.5 * significance;
      const unsigned int first = fewest_that_pass(0, half, 1);
      unsigned int       last  = first;
      for (unsigned int violations = 1;; ++violations)
        {
          const auto n = fewest_that_pass(violations, half, last + 1);
          if (n > n_samples)
            break;
          last = n;
        }
      if (last == first)
        return {{fewest_that_pass(0, significance, 1), significance}};
      return {{first, half}, {last, half}};
    }
  } // namespace



  Calibration
  calibrate(const std::vector<CalibrationSample> &samples,
            const double                          tolerance,
            const double                          confidence,
            const double                          significance,
            const Extrapolation                   extrapolation,
            const std::string                    &source)
  {
    const unsigned int needed = samples_needed(confidence, significance);
    if (samples.size() < needed)
      throw InputError(source,
                       "the confidence",
                       fmt::format("{}", confidence),
                       fmt::format("one that {} held-out snapshots support; "
                                   "this one needs {}",
                                   samples.size(),
                                   needed));

    // What is not a number is never good news.
    std::vector<CalibrationSample> sorted = samples;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    for (auto &sample : sorted)
      {
        if (std::isnan(sample.score))
          sample.score = infinity;
        if (std::isnan(sample.error))
          sample.error = infinity;
      }
    std::sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) {
      return a.score < b.score;
    });

    Calibration result;
    result.n_samples = sorted.size();

    std::vector<double> errors, scores;
    for (const auto &sample : sorted)
      {
        errors.push_back(sample.error);
        scores.push_back(sample.score);
      }
    result.factor = conformal_factor(torch::tensor(errors, torch::kFloat64),
                                     torch::tensor(scores, torch::kFloat64),
                                     confidence,
                                     source)
                      .factor.item<double>();

    bool to_the_end = false;
    for (const auto &start : sequences(sorted.size(), confidence, significance))
      {
        bool         goes_on = true, has_passed = false;
        unsigned int violations = 0;
        for (unsigned int i = 0; i < sorted.size(); ++i)
          {
            const double score = sorted[i].score;
            // (Infinity times zero is no number, and no bound.)
            if (!(score * result.factor <= tolerance))
              break;
            violations += (sorted[i].error > tolerance);
            const unsigned int below = i + 1;
            // Equal scores are accepted together.
            if (below < start.n_below ||
                (below < sorted.size() && sorted[below].score == score))
              continue;
            if (binomial_cdf(violations, below, 1. - confidence) >
                start.significance)
              {
                goes_on = false;
                break;
              }
            has_passed = true;
            if (score >= result.threshold)
              {
                result.threshold    = score;
                result.n_below      = below;
                result.n_violations = violations;
              }
          }
        to_the_end |= goes_on && has_passed;
      }
    if (to_the_end && extrapolation == Extrapolation::proportional)
      result.threshold = tolerance / result.factor;
    return result;
  }
} // namespace neuraldeal
