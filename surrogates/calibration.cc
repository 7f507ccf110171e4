// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/calibration.h>
#include <neuraldeal/surrogates/exceptions.h>

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
    // quantile needs (n + 1)·confidence ≤ n besides.
    const double tail      = std::log(significance) / std::log(confidence);
    const double conformal = confidence / (1. - confidence);
    return std::ceil(std::max(tail, conformal) - 1e-9);
  }



  Calibration
  calibrate(const std::vector<CalibrationSample> &samples,
            const double                          tolerance,
            const double                          confidence,
            const double                          significance,
            const Extrapolation                   extrapolation,
            const std::string                    &source)
  {
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

    // The conformal quantile needs samples of the whole distribution.
    std::vector<double> ratios;
    for (const auto &sample : sorted)
      if (sample.drawn_below == infinity)
        ratios.push_back(sample.error == infinity ? infinity :
                         sample.error == 0.       ? 0. :
                                                    sample.error / sample.score);
    const unsigned int needed = samples_needed(confidence, significance);
    if (ratios.size() < needed)
      throw InputError(source,
                       "the confidence",
                       fmt::format("{}", confidence),
                       fmt::format("one that {} held-out snapshots support; "
                                   "this one needs {}",
                                   ratios.size(),
                                   needed));
    std::sort(ratios.begin(), ratios.end());
    const std::size_t rank = std::ceil((ratios.size() + 1) * confidence - 1e-9);
    result.factor          = ratios[std::min(rank, ratios.size()) - 1];

    bool passed = true;
    for (const auto &candidate : sorted)
      {
        // (Infinity times zero is no number, and no bound.)
        if (!(candidate.score * result.factor <= tolerance))
          break;
        unsigned int below = 0, violations = 0;
        for (const auto &sample : sorted)
          if (sample.score <= candidate.score &&
              sample.drawn_below >= candidate.score)
            {
              ++below;
              violations += (sample.error > tolerance);
            }
        if (std::pow(confidence, below) > significance)
          continue; // too few to pass, whatever they say
        if (binomial_cdf(violations, below, 1. - confidence) > significance)
          {
            passed = false;
            break;
          }
        result.threshold    = candidate.score;
        result.n_below      = below;
        result.n_violations = violations;
      }
    if (passed && result.threshold > 0. &&
        extrapolation == Extrapolation::proportional)
      result.threshold = tolerance / result.factor;
    return result;
  }
} // namespace neuraldeal
