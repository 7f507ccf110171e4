// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/conformal.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace neuraldeal
{
  namespace
  {
    constexpr double infinity = std::numeric_limits<double>::infinity();



    torch::Tensor
    as_double(const torch::Tensor &values)
    {
      return values.to(torch::kFloat64);
    }



    /** What is not a number is never good news. */
    torch::Tensor
    nan_is_infinite(const torch::Tensor &values)
    {
      return values.masked_fill(values.isnan(), infinity);
    }



    void
    check_confidence(const double confidence, const std::string &source)
    {
      if (!(confidence > 0. && confidence < 1.))
        throw InputError(source,
                         "the confidence",
                         fmt::format("{}", confidence),
                         "a number between 0 and 1, without these");
    }



    [[noreturn]] void
    refuse(const double       confidence,
           const long         n_samples,
           const double       needed,
           const std::string &source)
    {
      throw InputError(source,
                       "the confidence",
                       fmt::format("{}", confidence),
                       fmt::format("one that {} samples support; this one "
                                   "needs {:.0f}",
                                   n_samples,
                                   needed));
    }



    void
    check_same_shape(const torch::Tensor &a, const torch::Tensor &b)
    {
      TORCH_CHECK(a.sizes() == b.sizes(),
                  "The shapes ",
                  a.sizes(),
                  " and ",
                  b.sizes(),
                  " should be equal.");
    }



    /** Scores of undefined scales are the errors themselves. */
    torch::Tensor
    scores_of(const torch::Tensor &errors, const torch::Tensor &scales)
    {
      return normalized_errors(errors,
                               scales.defined() ? scales :
                                                  torch::ones_like(errors));
    }



    /** @p radii in the shape of @p predictions; see jackknife_plus(). */
    torch::Tensor
    expanded(const torch::Tensor &radii, const torch::Tensor &predictions)
    {
      TORCH_CHECK(predictions.dim() > 0 && radii.dim() > 0 &&
                    radii.size(0) == predictions.size(0),
                  "Predictions of the shape ",
                  predictions.sizes(),
                  " and radii of the shape ",
                  radii.sizes(),
                  " should have as many samples.");
      auto result = as_double(radii);
      if (radii.dim() == 1)
        {
          std::vector<std::int64_t> shape(predictions.dim(), 1);
          shape[0] = radii.size(0);
          result   = result.reshape(shape).expand(predictions.sizes());
        }
      check_same_shape(result, predictions);
      return result;
    }



    /**
     * The conformal quantile of @p sorted scores at confidence 1 − @p level, of
     * any size.
     */
    double
    quantile_at(const std::vector<double> &sorted, const double level)
    {
      if (level <= 0.)
        return infinity;
      if (level >= 1.)
        return -infinity;
      const std::size_t rank = conformal_rank(sorted.size(), 1. - level);
      return rank > sorted.size() ? infinity : sorted[std::max(rank, 1ul) - 1];
    }



    std::vector<double>
    sorted_scores(const torch::Tensor &scores)
    {
      TORCH_CHECK(scores.dim() == 1,
                  "Scores of a stream have the shape [n], not ",
                  scores.sizes(),
                  ".");
      const auto values =
        std::get<0>(nan_is_infinite(as_double(scores).cpu()).sort())
          .contiguous();
      const double *const data = values.data_ptr<double>();
      return {data, data + values.numel()};
    }



    double
    weighted_sum(const std::vector<double> &weights,
                 const std::vector<double> &values)
    {
      double sum = 0, total = 0;
      for (std::size_t i = 0; i < weights.size(); ++i)
        {
          sum += weights[i] * values[i];
          total += weights[i];
        }
      return sum / total;
    }
  } // namespace



  unsigned int
  conformal_rank(const unsigned int n_samples, const double confidence)
  {
    // (100 · 0.07 is a little more than 7 in floating point.)
    return std::ceil((double(n_samples) + 1.) * confidence - 1e-9);
  }



  unsigned int
  conformal_samples_needed(const double confidence)
  {
    // n ≥ c/(1 − c) up to rounding, in which the rank decides.
    unsigned int n =
      std::max(1., std::floor(confidence / (1. - confidence)) - 1.);
    while (conformal_rank(n, confidence) > n)
      ++n;
    return n;
  }



  torch::Tensor
  conformal_quantile(const torch::Tensor &scores,
                     const double         confidence,
                     const std::string   &source)
  {
    check_confidence(confidence, source);
    TORCH_CHECK(scores.dim() > 0, "Scores have the shape [n, ...].");
    const long         n    = scores.size(0);
    const unsigned int rank = conformal_rank(n, confidence);
    if (rank > n)
      refuse(confidence, n, conformal_samples_needed(confidence), source);
    const auto sorted = std::get<0>(nan_is_infinite(as_double(scores)).sort(0));
    return sorted[std::max(rank, 1u) - 1].clone();
  }



  torch::Tensor
  normalized_errors(const torch::Tensor &errors, const torch::Tensor &scales)
  {
    check_same_shape(errors, scales);
    const auto e     = nan_is_infinite(as_double(errors));
    const auto ratio = e / nan_is_infinite(as_double(scales));
    // Zero over zero is an exact answer; infinity over infinity is no bound.
    return ratio.masked_fill(e == 0., 0.).masked_fill(e == infinity, infinity);
  }



  torch::Tensor
  ConformalFactor::bound(const torch::Tensor &scales) const
  {
    // (Zero times infinity is no number, and no bound.)
    return nan_is_infinite(factor * as_double(scales));
  }



  ConformalFactor
  conformal_factor(const torch::Tensor &errors,
                   const torch::Tensor &scales,
                   const double         confidence,
                   const std::string   &source)
  {
    const unsigned int n = errors.size(0);
    return {conformal_quantile(scores_of(errors, scales), confidence, source),
            confidence,
            n,
            double(n)};
  }



  ConformalFactor
  field_conformal_factor(const torch::Tensor &errors,
                         const torch::Tensor &scales,
                         const double         coverage,
                         const double         confidence,
                         const std::string   &source,
                         const torch::Tensor &weights)
  {
    TORCH_CHECK(errors.dim() == 2 && errors.size(1) > 0,
                "Errors of fields have the shape [n, N], not ",
                errors.sizes(),
                ".");
    if (!(coverage > 0. && coverage <= 1.))
      throw InputError(source,
                       "the share of points that is covered",
                       fmt::format("{}", coverage),
                       "a number above 0 and up to 1");
    const auto scores = scores_of(errors, scales);
    const auto shares = weights.defined() ?
                          as_double(weights).to(scores.device()) :
                          torch::ones({errors.size(1)}, scores.options());
    check_same_shape(shares, errors[0]);
    TORCH_CHECK((shares >= 0.).all().item<bool>() &&
                  shares.sum().item<double>() > 0.,
                "Weights of points are not negative, and not all are zero.");

    // The smallest factor that covers the share: where the weights of all
    // points up to it, in the order of their scores, reach it.
    const auto [sorted, order] = scores.sort(1);
    const auto covered = shares.expand_as(scores).gather(1, order).cumsum(1);
    const auto too_few =
      covered < (coverage * (1. - 1e-12)) * covered.slice(1, -1);
    const auto number = too_few.to(torch::kInt64).sum(1, true);
    return conformal_factor(sorted.gather(1, number).squeeze(1),
                            torch::Tensor(),
                            confidence,
                            source);
  }



  ConformalFactor
  weighted_conformal_factor(const torch::Tensor &errors,
                            const torch::Tensor &scales,
                            const torch::Tensor &probabilities,
                            const double         new_probability,
                            const double         confidence,
                            const std::string   &source)
  {
    check_confidence(confidence, source);
    TORCH_CHECK(errors.dim() == 1, "Errors have the shape [n].");
    check_same_shape(errors, probabilities);
    const auto   p    = as_double(probabilities);
    const double last = new_probability;
    TORCH_CHECK(((p > 0.) & (p <= 1.)).all().item<bool>() && last > 0. &&
                  last <= 1.,
                "Probabilities of samples are above 0 and up to 1.");

    // The new input counts as a score that is infinite.
    const long   n          = errors.size(0);
    const auto   weights    = 1. / p;
    const double new_weight = 1. / last;
    const double sum        = weights.sum().item<double>();
    const double wanted = confidence * (sum + new_weight) - 1e-9 * new_weight;
    if (n == 0 || sum < wanted)
      // as many again of the same weights as it takes
      refuse(confidence,
             n,
             std::ceil(confidence / (1. - confidence) * new_weight /
                         (n == 0 ? 1. : sum / double(n)) -
                       1e-9),
             source);
    const auto [sorted, order] = scores_of(errors, scales).sort();
    const auto reached         = weights.index_select(0, order).cumsum(0);
    const long number = std::min((reached < wanted).sum().item<long>(), n - 1);
    return {sorted[number].clone(),
            confidence,
            static_cast<unsigned int>(n),
            sum * sum / weights.square().sum().item<double>()};
  }



  ConformalInterval
  jackknife_plus(const torch::Tensor &predictions,
                 const torch::Tensor &radii,
                 const double         confidence,
                 const std::string   &source)
  {
    const auto r = expanded(radii, predictions);
    const auto y = as_double(predictions);
    // The lower end is number ⌊α (n + 1)⌋ of y − r: the same from above.
    return {-conformal_quantile(r - y, confidence, source),
            conformal_quantile(r + y, confidence, source),
            confidence,
            static_cast<unsigned int>(predictions.size(0))};
  }



  ConformalInterval
  cv_plus(const torch::Tensor &fold_predictions,
          const torch::Tensor &folds,
          const torch::Tensor &radii,
          const double         confidence,
          const std::string   &source)
  {
    return jackknife_plus(fold_predictions.index_select(0, folds),
                          radii,
                          confidence,
                          source);
  }



  torch::Tensor
  cross_conformal_p_values(const torch::Tensor &predictions,
                           const torch::Tensor &radii,
                           const torch::Tensor &candidates)
  {
    const auto r = nan_is_infinite(expanded(radii, predictions));
    check_same_shape(predictions[0], candidates);
    const auto y       = as_double(candidates);
    const auto unknown = y.isnan();
    // What has been predicted as no number says nothing against a candidate.
    const auto distance = (y - as_double(predictions)).abs();
    const auto agrees   = ((distance <= r) | distance.isnan()) & ~unknown;
    return (agrees.to(torch::kFloat64).sum(0) + 1.) /
           double(predictions.size(0) + 1);
  }



  AdaptiveConformal::AdaptiveConformal(const double               confidence,
                                       const std::vector<double> &steps,
                                       const unsigned int         interval,
                                       const std::string         &source)
    : alpha(1. - confidence)
    , steps(steps)
    , interval(interval)
    , levels(steps.size(), alpha)
    , weights(steps.size(), 1. / double(steps.size()))
  {
    check_confidence(confidence, source);
    if (steps.empty())
      throw InputError(source, "the number of steps", "0", "one or more steps");
    for (const double step : steps)
      if (!(step > 0. && step < infinity))
        throw InputError(source,
                         "the step of a level",
                         fmt::format("{}", step),
                         "a positive number");
    if (interval == 0)
      throw InputError(source,
                       "the interval of the weights of steps",
                       "0",
                       "one outcome or more");
  }



  double
  AdaptiveConformal::level() const
  {
    return weighted_sum(weights, levels);
  }



  double
  AdaptiveConformal::quantile(const torch::Tensor &scores) const
  {
    return quantile_at(sorted_scores(scores), level());
  }



  void
  AdaptiveConformal::update(const torch::Tensor &scores, const double score)
  {
    const auto   sorted = sorted_scores(scores);
    const double value  = std::isnan(score) ? infinity : score;
    const auto   missed = [&](const double at_level) {
      return !(value <= quantile_at(sorted, at_level));
    };
    ++outcomes;
    misses += missed(level());

    // The level up to which the score would have been covered.
    const double beta =
      1. - double(std::lower_bound(sorted.begin(), sorted.end(), value) -
                  sorted.begin()) /
             double(sorted.size() + 1);
    // arXiv:2208.08401: the weight of the past and the mixing of weights that
    // are best over an interval of this length, with the mean square of the
    // loss where beta is uniform and the level is alpha.
    const double k      = double(steps.size());
    const double length = double(interval);
    const double mixing = 0.5 / length;
    const double square = alpha * alpha * (1. - alpha) * (1. - alpha) / 3.;
    const double falling =
      std::sqrt((std::log(k * length) + 2.) / (length * square));
    double total = 0;
    for (std::size_t i = 0; i < steps.size(); ++i)
      {
        const double difference = beta - levels[i];
        const double loss       = alpha * difference - std::min(0., difference);
        weights[i] *= std::exp(-falling * loss);
        total += weights[i];
        levels[i] += steps[i] * (alpha - (missed(levels[i]) ? 1. : 0.));
      }
    for (auto &weight : weights)
      weight =
        total > 0. ? (1. - mixing) * weight / total + mixing / k : 1. / k;
  }



  unsigned long
  AdaptiveConformal::n_outcomes() const
  {
    return outcomes;
  }



  unsigned long
  AdaptiveConformal::n_missed() const
  {
    return misses;
  }



  double
  AdaptiveConformal::long_run_bound() const
  {
    if (steps.size() > 1 || outcomes == 0)
      return infinity;
    return (std::max(alpha, 1. - alpha) + steps[0]) /
           (double(outcomes) * steps[0]);
  }



  torch::Tensor
  AdaptiveConformal::state() const
  {
    std::vector<double> numbers = {double(outcomes), double(misses)};
    numbers.insert(numbers.end(), levels.begin(), levels.end());
    numbers.insert(numbers.end(), weights.begin(), weights.end());
    return torch::tensor(numbers, torch::kFloat64);
  }



  void
  AdaptiveConformal::set_state(const torch::Tensor &state,
                               const std::string   &source)
  {
    const std::size_t k = steps.size();
    if (!state.defined() || state.dim() != 1 ||
        state.size(0) != long(2 + 2 * k))
      throw InputError(source,
                       "the shape of the state of adaptive levels",
                       state.defined() ? c10::str(state.sizes()) : "nothing",
                       fmt::format("[{}]", 2 + 2 * k));
    const auto    numbers = as_double(state).cpu().contiguous();
    const double *data    = numbers.data_ptr<double>();
    for (std::size_t i = 0; i < 2 + 2 * k; ++i)
      {
        const bool is_level = i >= 2 && i < 2 + k;
        if (!std::isfinite(data[i]) || (!is_level && data[i] < 0.) ||
            (i == 1 && data[1] > data[0]))
          throw InputError(source,
                           fmt::format("number {} of the state of adaptive "
                                       "levels",
                                       i),
                           fmt::format("{}", data[i]),
                           "what state() has returned");
      }
    double total = 0;
    for (std::size_t i = 0; i < k; ++i)
      total += data[2 + k + i];
    if (!(total > 0.))
      throw InputError(source,
                       "the sum of the weights of adaptive levels",
                       fmt::format("{}", total),
                       "what state() has returned");
    outcomes = static_cast<unsigned long>(data[0]);
    misses   = static_cast<unsigned long>(data[1]);
    levels.assign(data + 2, data + 2 + k);
    weights.assign(data + 2 + k, data + 2 + 2 * k);
  }
} // namespace neuraldeal
