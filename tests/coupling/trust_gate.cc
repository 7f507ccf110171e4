// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/trust_gate.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/random.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity  = std::numeric_limits<double>::infinity();

  TrustGate::AdditionalData
  data()
  {
    TrustGate::AdditionalData result;
    result.tolerance      = 0.01;
    result.confidence     = 0.9;
    result.significance   = 0.1;
    result.audit_fraction = 0.2;
    result.source         = "test.prm";
    return result;
  }

  HeldOutScores
  make_scores(const std::vector<double> &scale,
              const std::vector<double> &error,
              const std::int64_t         first_id = 0)
  {
    HeldOutScores scores;
    scores.ids =
      torch::arange(first_id, first_id + long(scale.size()), torch::kInt64);
    scores.scale       = torch::tensor(scale, torch::kFloat64);
    scores.error       = torch::tensor(error, torch::kFloat64);
    scores.prior_error = scores.error;
    scores.prior_scale = scores.scale;
    return scores;
  }

  /**
   * n = 99 samples with scores k·2.1e-4, k = 1, …, 99, and errors of score
   * times k'/99, where k' is k times 7 modulo 100: each of the ratios k'/99
   * once. Their conformal quantile at 90 % is number 90 of 99.
   */
  void
  make_samples(std::vector<double> &scale, std::vector<double> &error)
  {
    for (unsigned int k = 1; k < 100; ++k)
      {
        scale.push_back(k * 2.1e-4);
        error.push_back(scale.back() * (7 * k % 100) / 99.);
      }
  }

  TrustGate
  calibrated_gate()
  {
    std::vector<double> scale, error;
    make_samples(scale, error);
    TrustGate gate(data(), 1);
    gate.calibrate(make_scores(scale, error));
    return gate;
  }
} // namespace



TEST(TrustGate, CalibratesByTheBook)
{
  std::vector<double> scale, error;
  make_samples(scale, error);
  const auto gate        = calibrated_gate();
  const auto calibration = gate.acceptance();
  EXPECT_NEAR(calibration.factor, 90. / 99., 1e-12);
  EXPECT_EQ(calibration.n_samples, 99u);

  // The largest score whose bound is within the tolerance: among the samples
  // there the errors are all below it, so that the risk is no obstacle.
  double expected = 0;
  for (const double s : scale)
    if (s * 90. / 99. <= 0.01)
      expected = s;
  EXPECT_DOUBLE_EQ(calibration.threshold, expected);
  EXPECT_EQ(calibration.n_violations, 0u);

  // Errors beyond the tolerance among small scores: the risk forbids them.
  TrustGate misled(data(), 1);
  for (unsigned int i = 0; i < 5; ++i)
    error[i] = 0.02;
  misled.calibrate(make_scores(scale, error));
  EXPECT_EQ(misled.acceptance().threshold, 0.);
  EXPECT_NE(misled.decide(scale[0], 0.5).decision, Decision::accept);
}



TEST(TrustGate, TooFewSamplesAreSaid)
{
  // 0.9^21 = 0.109 is above the significance, 0.9^22 = 0.098 is not.
  TrustGate                 gate(data(), 1);
  const std::vector<double> few(21, 1e-3), enough(22, 1e-3);
  const auto too_few = [&]() { gate.calibrate(make_scores(few, few)); };
  EXPECT_THROW(too_few(), InputError);
  expect_sentence(message_of(too_few),
                  {"test.prm", "confidence", "'0.9'", "21", "needs 22"});
  EXPECT_NO_THROW(gate.calibrate(make_scores(enough, enough)));
  EXPECT_EQ(gate.acceptance().threshold, 1e-3);
}



TEST(TrustGate, DecidesOnUncertainty)
{
  const auto   gate      = calibrated_gate();
  const double threshold = gate.acceptance().threshold;
  const double above     = std::nextafter(threshold, 1.);
  struct Case
  {
    double   scale, novelty;
    Decision decision;
    Reason   reason;
  };
  const std::vector<Case> cases = {
    {threshold, 0.5, Decision::accept, Reason::within_tolerance},
    {0.1 * threshold, 1., Decision::accept, Reason::within_tolerance},
    {0., 0., Decision::accept, Reason::within_tolerance},
    {above, 0.5, Decision::verify, Reason::bound_too_large},
    {1., 0.5, Decision::verify, Reason::bound_too_large},
    // However sure the surrogate is of itself.
    {0., std::nextafter(1., 2.), Decision::verify, Reason::outside_range},
    {threshold, 2., Decision::verify, Reason::outside_range},
    {1., 2., Decision::verify, Reason::outside_range},
    {nan_value, 0.5, Decision::verify, Reason::not_finite},
    {infinity, 0.5, Decision::verify, Reason::not_finite},
    {0., nan_value, Decision::verify, Reason::not_finite},
    {0., infinity, Decision::verify, Reason::not_finite},
    {nan_value, nan_value, Decision::verify, Reason::not_finite}};
  for (const auto &c : cases)
    {
      const auto verdict = gate.decide(c.scale, c.novelty);
      EXPECT_EQ(verdict.decision, c.decision) << c.scale << " " << c.novelty;
      EXPECT_EQ(verdict.reason, c.reason) << c.scale << " " << c.novelty;
      if (std::isfinite(c.scale))
        {
          EXPECT_DOUBLE_EQ(verdict.bound, gate.acceptance().factor * c.scale);
        }
    }
}



TEST(TrustGate, AcceptsNothingBeforeItIsCalibrated)
{
  const TrustGate gate(data(), 1);
  for (const double scale : {0., 1e-300, 1e-3})
    {
      EXPECT_NE(gate.decide(scale, 0.).decision, Decision::accept);
      EXPECT_NE(gate
                  .decide_verified(
                    scale, {Decision::verify, Reason::bound_too_large, 0.})
                  .decision,
                Decision::verify);
    }
}



TEST(TrustGate, DecidesOnTheEstimate)
{
  // Errors of half the estimate: the factor is 0.5, the estimator may be
  // extrapolated, and its threshold is where the bound is the tolerance.
  TrustGate                      gate(data(), 1);
  std::vector<CalibrationSample> samples;
  for (unsigned int k = 1; k < 100; ++k)
    samples.push_back({k * 1e-4, k * 0.5e-4});
  gate.calibrate_estimator(samples);
  EXPECT_NEAR(gate.estimator().factor, 0.5, 1e-12);
  EXPECT_NEAR(gate.estimator().threshold, 0.02, 1e-12);

  const TrustGate::Verdict
    large   = {Decision::verify, Reason::bound_too_large, 0.1},
    outside = {Decision::verify, Reason::outside_range, 0.1},
    broken  = {Decision::verify, Reason::not_finite, nan_value};
  struct Case
  {
    double             estimate;
    TrustGate::Verdict before;
    Decision           decision;
    Reason             reason;
  };
  const std::vector<Case> cases = {
    {0.0199, large, Decision::verify, Reason::bound_too_large},
    {0.0199, outside, Decision::verify, Reason::outside_range},
    {0.0201, large, Decision::correct, Reason::estimate_too_large},
    {0.0201, outside, Decision::correct, Reason::estimate_too_large},
    // A bound of one half is no better a start than the host's own.
    {0.99, large, Decision::correct, Reason::estimate_too_large},
    {1.01, large, Decision::resolve, Reason::estimate_too_large},
    {nan_value, large, Decision::resolve, Reason::estimate_too_large},
    {infinity, outside, Decision::resolve, Reason::estimate_too_large},
    // A prediction that is no number is not looked at.
    {0.001, broken, Decision::resolve, Reason::not_finite},
    {nan_value, broken, Decision::resolve, Reason::not_finite}};
  for (const auto &c : cases)
    {
      const auto verdict = gate.decide_verified(c.estimate, c.before);
      EXPECT_EQ(verdict.decision, c.decision) << c.estimate;
      EXPECT_EQ(verdict.reason, c.reason) << c.estimate;
      if (std::isfinite(c.estimate))
        {
          EXPECT_DOUBLE_EQ(verdict.bound, 0.5 * c.estimate);
        }
    }
}



TEST(TrustGate, AnUncertaintyThatIsNoNumberIsNeverAccepted)
{
  // Scores of a broken surrogate: nothing can be learned from them.
  TrustGate                 gate(data(), 1);
  const std::vector<double> broken(50, nan_value), errors(50, 1e-3);
  gate.calibrate(make_scores(broken, errors));
  for (const double scale : {0., 1e-10, 1., nan_value})
    EXPECT_NE(gate.decide(scale, 0.5).decision, Decision::accept) << scale;
  gate.calibrate(make_scores(errors, broken));
  for (const double scale : {0., 1e-10, 1., nan_value})
    EXPECT_NE(gate.decide(scale, 0.5).decision, Decision::accept) << scale;
}



TEST(TrustGate, AuditsAreReproducibleAndAsManyAsAskedFor)
{
  const unsigned int n = 5000;
  const auto audits_of = [&](const double fraction, const std::uint64_t seed) {
    auto parameters           = data();
    parameters.audit_fraction = fraction;
    const TrustGate           gate(parameters, seed);
    std::vector<unsigned int> audits;
    for (unsigned int query = 0; query < n; ++query)
      if (gate.is_audited(query))
        audits.push_back(query);
    return audits;
  };
  const auto audits = audits_of(0.2, 1);
  // Four standard deviations of the binomial distribution.
  EXPECT_NEAR(audits.size(), 0.2 * n, 4. * std::sqrt(n * 0.2 * 0.8));
  EXPECT_EQ(audits_of(0.2, 1), audits);
  EXPECT_NE(audits_of(0.2, 2), audits);
  EXPECT_TRUE(same_on_all_ranks(audits));
  EXPECT_EQ(audits_of(0., 1).size(), 0u);
  EXPECT_EQ(audits_of(1., 1).size(), n);
  // Whoever asks for more audits gets those of before as well.
  const auto more = audits_of(0.4, 1);
  EXPECT_TRUE(
    std::includes(more.begin(), more.end(), audits.begin(), audits.end()));
  // They are spread over the queries.
  EXPECT_NEAR(std::count_if(audits.begin(),
                            audits.end(),
                            [&](const unsigned int q) { return q < n / 2; }),
              0.1 * n,
              4. * std::sqrt(n * 0.1 * 0.9));
}



TEST(TrustGate, RefusesParametersOutOfRange)
{
  const auto refused =
    [](const char *entry, const std::string &value, const std::string &valid) {
      const auto parse = [&]() {
        ParameterHandler prm;
        TrustGate::AdditionalData::declare_parameters(prm);
        prm.set(entry, value);
        TrustGate::AdditionalData parameters;
        parameters.parse_parameters(prm, "folder/test.prm");
      };
      EXPECT_THROW(parse(), InputError) << entry << " " << value;
      EXPECT_EQ(message_of(parse),
                "folder/test.prm: " + std::string(entry) + " is '" + value +
                  "'; valid is " + valid + ".");
    };
  for (const char *entry : {"Tolerance", "Confidence", "Significance"})
    for (const char *value : {"0", "1", "-0.1", "1.5"})
      refused(entry, value, "a number above 0 and below 1");
  for (const char *value : {"-0.1", "1.5"})
    refused("Audit fraction", value, "a number from 0 to 1");

  // From a program the same.
  auto parameters      = data();
  parameters.tolerance = nan_value;
  EXPECT_THROW(TrustGate(parameters, 1), InputError);

  ParameterHandler prm;
  TrustGate::AdditionalData::declare_parameters(prm);
  prm.set("Tolerance", "0.05");
  prm.set("Confidence", "0.8");
  prm.set("Significance", "0.3");
  prm.set("Audit fraction", "1");
  parameters.parse_parameters(prm, "test.prm");
  EXPECT_EQ(parameters.tolerance, 0.05);
  EXPECT_EQ(parameters.confidence, 0.8);
  EXPECT_EQ(parameters.significance, 0.3);
  EXPECT_EQ(parameters.audit_fraction, 1.);
}
