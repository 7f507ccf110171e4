// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/trust_gate.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/random.h>

#include <cmath>
#include <limits>

namespace neuraldeal
{
  void
  TrustGate::AdditionalData::declare_parameters(dealii::ParameterHandler &prm)
  {
    // Ranges are checked by check(), whose message says what is valid.
    const AdditionalData defaults;
    using namespace dealii;
    prm.declare_entry("Tolerance",
                      fmt::format("{}", defaults.tolerance),
                      Patterns::Double(),
                      "Largest error of an answer, relative L2 against the "
                      "host's own solution.");
    prm.declare_entry("Confidence",
                      fmt::format("{}", defaults.confidence),
                      Patterns::Double(),
                      "At most one minus this share of the accepted answers "
                      "may be beyond the tolerance.");
    prm.declare_entry("Significance",
                      fmt::format("{}", defaults.significance),
                      Patterns::Double(),
                      "Probability with which the calibration itself may be "
                      "misled by chance.");
    prm.declare_entry("Audit fraction",
                      fmt::format("{}", defaults.audit_fraction),
                      Patterns::Double(),
                      "Share of all queries whose answer is checked by a full "
                      "solve, at random.");
  }



  void
  TrustGate::AdditionalData::parse_parameters(dealii::ParameterHandler &prm,
                                              const std::string        &source_)
  {
    tolerance      = prm.get_double("Tolerance");
    confidence     = prm.get_double("Confidence");
    significance   = prm.get_double("Significance");
    audit_fraction = prm.get_double("Audit fraction");
    source         = source_;
    check();
  }



  void
  TrustGate::AdditionalData::check() const
  {
    const auto require = [this](const bool   holds,
                                const char  *entry,
                                const double value,
                                const char  *valid) {
      if (!holds)
        throw InputError(source, entry, fmt::format("{}", value), valid);
    };
    require(tolerance > 0. && tolerance < 1.,
            "Tolerance",
            tolerance,
            "a number above 0 and below 1");
    require(confidence > 0. && confidence < 1.,
            "Confidence",
            confidence,
            "a number above 0 and below 1");
    require(significance > 0. && significance < 1.,
            "Significance",
            significance,
            "a number above 0 and below 1");
    require(audit_fraction >= 0. && audit_fraction <= 1.,
            "Audit fraction",
            audit_fraction,
            "a number from 0 to 1");
  }



  TrustGate::TrustGate(const AdditionalData &data, const std::uint64_t seed)
    : data(data)
    , seed(seed)
  {
    data.check();
  }



  void
  TrustGate::calibrate(const HeldOutScores &scores)
  {
    std::vector<CalibrationSample> samples;
    for (long i = 0; i < scores.error.numel(); ++i)
      samples.push_back(
        {scores.scale[i].item<double>(), scores.error[i].item<double>()});
    acceptance_calibration = neuraldeal::calibrate(samples,
                                                   data.tolerance,
                                                   data.confidence,
                                                   data.significance,
                                                   Extrapolation::none,
                                                   data.source);
  }



  void
  TrustGate::calibrate_estimator(const std::vector<CalibrationSample> &samples)
  {
    estimator_calibration = neuraldeal::calibrate(samples,
                                                  data.tolerance,
                                                  data.confidence,
                                                  data.significance,
                                                  Extrapolation::proportional,
                                                  data.source);
  }



  TrustGate::Verdict
  TrustGate::decide(const double scale, const double novelty) const
  {
    const double bound = acceptance_calibration.factor * scale;
    if (!std::isfinite(scale) || !std::isfinite(novelty))
      return {Decision::verify, Reason::not_finite, bound};
    if (novelty > 1.)
      return {Decision::verify, Reason::outside_range, bound};
    // Without a calibration the threshold is zero, and so may a scale be.
    if (!(acceptance_calibration.threshold > 0. &&
          scale <= acceptance_calibration.threshold && bound <= data.tolerance))
      return {Decision::verify, Reason::bound_too_large, bound};
    return {Decision::accept, Reason::within_tolerance, bound};
  }



  TrustGate::Verdict
  TrustGate::decide_verified(const double estimate, const Verdict &before) const
  {
    const double bound = estimator_calibration.factor * estimate;
    if (std::isfinite(bound) && before.reason != Reason::not_finite)
      {
        if (estimator_calibration.threshold > 0. &&
            estimate <= estimator_calibration.threshold)
          return {Decision::verify, before.reason, bound};
        // A prediction that is wrong by less than this is a better start
        // than the host's own.
        if (bound < 0.5)
          return {Decision::correct, Reason::estimate_too_large, bound};
      }
    return {Decision::resolve,
            before.reason == Reason::not_finite ? before.reason :
                                                  Reason::estimate_too_large,
            bound};
  }



  bool
  TrustGate::is_audited(const long query) const
  {
    return CounterRandom(seed, CounterRandom::Stream::audits, query).uniform() <
           data.audit_fraction;
  }
} // namespace neuraldeal
