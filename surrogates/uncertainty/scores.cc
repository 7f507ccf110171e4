// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/random.h>
#include <neuraldeal/surrogates/uncertainty/scores.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace neuraldeal::scores
{
  namespace
  {
    constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();



    torch::Tensor
    as_double(const torch::Tensor &values)
    {
      return values.to(torch::kFloat64);
    }



    void
    check_shape(const torch::Tensor   &values,
                const at::IntArrayRef &expected,
                const char *const      name)
    {
      TORCH_CHECK(values.defined() && values.sizes() == expected,
                  name,
                  " has the shape ",
                  values.defined() ? c10::str(values.sizes()) : "of nothing",
                  "; expected is ",
                  expected,
                  ".");
    }



    /** [n, …] → [n]: the mean over all but the first dimension. */
    torch::Tensor
    sample_mean(const torch::Tensor &values)
    {
      TORCH_CHECK(values.dim() > 0 && values.numel() > 0,
                  "There are no samples to score in the shape ",
                  values.sizes(),
                  ".");
      return values.reshape({values.size(0), -1}).mean(1);
    }



    /** (y − μ)/σ, where σ > 0. */
    torch::Tensor
    standardized(const torch::Tensor &mean,
                 const torch::Tensor &standard_deviation,
                 const torch::Tensor &truth)
    {
      check_shape(mean, truth.sizes(), "the mean");
      check_shape(standard_deviation, truth.sizes(), "the deviation");
      const auto sigma = as_double(standard_deviation);
      return (as_double(truth) - as_double(mean)) /
             sigma.masked_fill(sigma <= 0., not_a_number);
    }



    /** The number of pairs by which the spread of an ensemble is divided. */
    double
    n_pairs(const long m, const EnsembleForm form)
    {
      TORCH_CHECK(m >= (form == EnsembleForm::fair ? 2 : 1),
                  m,
                  " members are too few for a score.");
      return form == EnsembleForm::fair ? double(m) * (m - 1) : double(m) * m;
    }



    torch::Tensor
    with_channels(const torch::Tensor &fields)
    {
      return fields.dim() == 2 ? fields.unsqueeze(1) : fields;
    }



    /** ‖v‖ of every sample; rounding may have made squares negative. */
    torch::Tensor
    lengths(const SquaredNorm &norm, const torch::Tensor &fields)
    {
      return norm(fields).clamp_min(0.).sqrt();
    }



    /** What likelihood and χ² of a field have in common. */
    struct Whitened
    {
      torch::Tensor square;      ///< (y − μ)ᵀ C⁻¹ (y − μ), [n]
      torch::Tensor determinant; ///< log det C, [n]
    };

    /** @p prediction without shape, if it has that of @p truth. */
    FieldDistribution
    flattened(const FieldDistribution &prediction, const torch::Tensor &truth)
    {
      TORCH_CHECK(truth.dim() > 1 && truth.numel() > 0,
                  "The true fields have the shape ",
                  truth.sizes(),
                  "; expected is [n, …].");
      check_shape(prediction.mean, truth.sizes(), "the mean");
      if (prediction.variance.defined())
        check_shape(prediction.variance, truth.sizes(), "the variance");
      if (prediction.factor.defined())
        {
          TORCH_CHECK(prediction.factor.dim() == truth.dim() + 1,
                      "The factor of a covariance needs the shape [n, …, k].");
          auto shape = truth.sizes().vec();
          shape.push_back(prediction.factor.size(-1));
          check_shape(prediction.factor, shape, "the factor");
        }
      return prediction.flattened();
    }



    Whitened
    whiten(const FieldDistribution &given, const torch::Tensor &truth)
    {
      const auto prediction = flattened(given, truth);
      const auto variance   = as_double(prediction.variance);
      const auto d         = variance.masked_fill(variance <= 0., not_a_number);
      const auto deviation = d.sqrt().unsqueeze(2);
      const auto r = (as_double(truth.flatten(1)) - as_double(prediction.mean))
                       .unsqueeze(2) /
                     deviation;
      const auto g = as_double(prediction.factor) / deviation;

      // Samples with what is no number among them must neither stop the
      // factorisation of the others nor come out of it as numbers.
      const long k    = g.size(2);
      const auto unit = torch::eye(k, g.options()).unsqueeze(0);
      const auto gram = unit + torch::bmm(g.transpose(1, 2), g);
      const auto bad =
        (gram.sum({1, 2}) + r.sum({1, 2}) + d.sum(1)).isfinite().logical_not();
      const auto cholesky = std::get<0>(at::linalg_cholesky_ex(
        torch::where(bad.reshape({-1, 1, 1}), unit, gram)));
      const auto w =
        torch::cholesky_solve(torch::bmm(g.transpose(1, 2), r), cholesky);
      const auto square =
        (r - torch::bmm(g, w)).square().sum({1, 2}) + w.square().sum({1, 2});
      const auto determinant =
        d.log().sum(1) + 2. * cholesky.diagonal(0, 1, 2).log().sum(1);
      return {square.masked_fill(bad, not_a_number),
              determinant.masked_fill(bad, not_a_number)};
    }



    /** p̂ and its distance from @p levels. */
    QuantileCalibration
    compared(const torch::Tensor &levels, const torch::Tensor &frequencies)
    {
      const auto difference = levels - frequencies;
      return {levels,
              frequencies,
              difference.abs().mean().item<double>(),
              difference.square().mean().item<double>()};
    }



    /** Ranks from 0 on; equal values share the mean of theirs. */
    std::vector<double>
    ranks(const torch::Tensor &values)
    {
      const long          n    = values.size(0);
      const double *const data = values.data_ptr<double>();
      std::vector<long>   order(n);
      std::iota(order.begin(), order.end(), 0l);
      std::sort(order.begin(), order.end(), [data](const long i, const long j) {
        return data[i] < data[j];
      });
      std::vector<double> result(n);
      for (long begin = 0, end; begin < n; begin = end)
        {
          for (end = begin; end < n && data[order[end]] == data[order[begin]];)
            ++end;
          for (long i = begin; i < end; ++i)
            result[order[i]] = 0.5 * double(begin + end - 1);
        }
      return result;
    }
  } // namespace



  torch::Tensor
  gaussian_likelihood(const torch::Tensor &mean,
                      const torch::Tensor &standard_deviation,
                      const torch::Tensor &truth)
  {
    const auto z = standardized(mean, standard_deviation, truth);
    return 0.5 * std::log(2. * M_PI) + as_double(standard_deviation).log() +
           0.5 * z.square();
  }



  torch::Tensor
  gaussian_crps(const torch::Tensor &mean,
                const torch::Tensor &standard_deviation,
                const torch::Tensor &truth)
  {
    const auto z     = standardized(mean, standard_deviation, truth);
    const auto sigma = as_double(standard_deviation);
    const auto error = (as_double(truth) - as_double(mean)).abs();
    const auto crps =
      sigma * (z * torch::erf(z / std::sqrt(2.)) +
               std::sqrt(2. / M_PI) * torch::exp(-0.5 * z.square()) -
               1. / std::sqrt(M_PI));
    return torch::where(sigma == 0., error, crps);
  }



  torch::Tensor
  ensemble_crps(const torch::Tensor &members,
                const torch::Tensor &truth,
                const EnsembleForm   form)
  {
    TORCH_CHECK(members.dim() > 0, "An ensemble needs the shape [m, n, ...].");
    check_shape(members[0], truth.sizes(), "a member");
    const long   m     = members.size(0);
    const double pairs = n_pairs(m, form);

    // In ascending order, Σ_ij |x_i − x_j| = 2 Σ_i (2 i − m + 1) x_i with i
    // from 0 on. Differences from the truth are of the size of the result,
    // which keeps digits.
    const auto differences = as_double(members) - as_double(truth);
    const auto sorted      = std::get<0>(differences.sort(0));
    auto       shape       = std::vector<std::int64_t>(members.dim(), 1);
    shape[0]               = m;
    const auto weights =
      (2. * torch::arange(m, sorted.options()) - double(m - 1)).reshape(shape);
    return differences.abs().mean(0) - (weights * sorted).sum(0) / pairs;
  }



  torch::Tensor
  energy_score(const torch::Tensor &members,
               const torch::Tensor &truth,
               const SquaredNorm   &norm,
               const EnsembleForm   form)
  {
    TORCH_CHECK(members.dim() > 2 && members.size(0) > 0,
                "An ensemble of fields needs the shape [m, n, c, ...].");
    check_shape(members[0], truth.sizes(), "a member");
    const long   m      = members.size(0);
    const double pairs  = n_pairs(m, form);
    const auto   target = with_channels(as_double(truth));
    const auto   member = [&](const long i) {
      return with_channels(as_double(members[i]));
    };

    // Member by member: all pairs at once would need m times the memory.
    auto distance = torch::zeros({truth.size(0)}, target.options());
    auto spread   = distance;
    for (long i = 0; i < m; ++i)
      {
        distance = distance + lengths(norm, member(i) - target);
        // Every pair once: the double sum has it twice.
        for (long j = 0; j < i; ++j)
          spread = spread + lengths(norm, member(i) - member(j));
      }
    return distance / double(m) - spread / pairs;
  }



  torch::Tensor
  field_likelihood(const FieldDistribution &prediction,
                   const torch::Tensor     &truth)
  {
    const auto whitened = whiten(prediction, truth);
    return 0.5 * (double(truth[0].numel()) * std::log(2. * M_PI) +
                  whitened.determinant + whitened.square);
  }



  torch::Tensor
  field_chi_square(const FieldDistribution &prediction,
                   const torch::Tensor     &truth)
  {
    return whiten(prediction, truth).square / double(truth[0].numel());
  }



  torch::Tensor
  chi_square(const torch::Tensor &mean,
             const torch::Tensor &standard_deviation,
             const torch::Tensor &truth)
  {
    return sample_mean(standardized(mean, standard_deviation, truth).square());
  }



  SampledScore
  energy_score(const FieldDistribution &given,
               const torch::Tensor     &truth,
               const SquaredNorm       &norm,
               const unsigned int       n_samples,
               const std::uint64_t      seed)
  {
    const auto prediction = flattened(given, truth);
    TORCH_CHECK(n_samples > 1, n_samples, " samples are too few for a score.");
    const long n = prediction.mean.size(0), n_values = prediction.mean.size(1),
               k = prediction.factor.size(2);
    const auto offset =
      as_double(prediction.mean) - as_double(truth.flatten(1));
    const auto like_truth = [&](const torch::Tensor &fields) {
      return with_channels(fields.reshape(truth.sizes()));
    };
    const auto factor = as_double(prediction.factor);
    // (The root of a negative number is none.)
    const auto deviation = as_double(prediction.variance).sqrt();

    std::vector<CounterRandom> random;
    for (long i = 0; i < n; ++i)
      random.emplace_back(seed, CounterRandom::Stream::scores, i);
    auto values = torch::empty({n_samples, n}, offset.options());
    for (unsigned int s = 0; s < n_samples; ++s)
      {
        auto numbers       = torch::empty({n, n_values + k}, torch::kFloat64);
        double *const data = numbers.data_ptr<double>();
        for (long i = 0; i < n; ++i)
          for (long j = 0; j < n_values + k; ++j)
            data[i * (n_values + k) + j] = random[i].normal();
        numbers = numbers.to(offset.device());
        const auto draw =
          torch::bmm(factor, numbers.slice(1, 0, k).unsqueeze(2)).squeeze(2) +
          deviation * numbers.slice(1, k);
        values[s] = lengths(norm, like_truth(offset + draw)) -
                    lengths(norm, like_truth(draw)) / std::sqrt(2.);
      }
    // (std(0) would take the number for the switch of another function.)
    const auto mean    = values.mean(0);
    const auto squares = (values - mean).square().sum(0);
    return {mean,
            (squares / (double(n_samples) * double(n_samples - 1))).sqrt()};
  }



  IntervalScores
  interval_scores(const torch::Tensor &lower,
                  const torch::Tensor &upper,
                  const torch::Tensor &truth)
  {
    check_shape(lower, truth.sizes(), "the lower end");
    check_shape(upper, truth.sizes(), "the upper end");
    const auto l = as_double(lower), u = as_double(upper), y = as_double(truth);
    // Comparisons of what is no number are false, which would be an answer.
    const auto unknown = l.isnan() | u.isnan() | y.isnan();
    const auto covered = ((l <= y) & (y <= u)).to(torch::kFloat64);
    return {sample_mean(covered.masked_fill(unknown, not_a_number)),
            sample_mean((u - l).masked_fill(unknown, not_a_number))};
  }



  QuantileCalibration
  quantile_calibration(const torch::Tensor &quantiles,
                       const torch::Tensor &levels,
                       const torch::Tensor &truth)
  {
    TORCH_CHECK(levels.dim() == 1 && levels.size(0) > 0 && truth.numel() > 0,
                "Levels of the shape ",
                levels.sizes(),
                " and values of the shape ",
                truth.sizes(),
                " cannot be compared.");
    auto shape = truth.sizes().vec();
    shape.insert(shape.begin(), levels.size(0));
    check_shape(quantiles, shape, "the quantiles");

    const auto q = as_double(quantiles), y = as_double(truth);
    const auto below   = (y <= q).to(torch::kFloat64);
    const auto unknown = q.isnan() | y.isnan();
    return compared(as_double(levels),
                    below.masked_fill(unknown, not_a_number)
                      .reshape({levels.size(0), -1})
                      .mean(1));
  }



  QuantileCalibration
  gaussian_calibration(const torch::Tensor &mean,
                       const torch::Tensor &standard_deviation,
                       const torch::Tensor &truth,
                       const unsigned int   n_levels)
  {
    TORCH_CHECK(n_levels > 0 && truth.numel() > 0,
                "There is nothing to compare.");
    const auto z = standardized(mean, standard_deviation, truth).reshape({-1});
    const auto levels =
      torch::arange(1., n_levels + 0.5, z.options()) / double(n_levels + 1);
    // y is not above the quantile of level p if Φ(z) ≤ p: one number for all
    // levels, sorted and searched instead of compared with each.
    const auto transforms =
      std::get<0>((0.5 * torch::erfc(-z / std::sqrt(2.))).sort());
    const auto below = torch::searchsorted(transforms, levels, false, true);
    auto       frequencies = below.to(torch::kFloat64) / double(z.numel());
    if (z.isnan().any().item<bool>())
      frequencies = torch::full_like(frequencies, not_a_number);
    return compared(levels, frequencies);
  }



  double
  rank_correlation(const torch::Tensor &a, const torch::Tensor &b)
  {
    TORCH_CHECK(a.dim() == 1 && b.dim() == 1,
                "Ranks are those of one-dimensional tensors.");
    check_shape(b, a.sizes(), "the second");
    const auto x = as_double(a).cpu().contiguous(),
               y = as_double(b).cpu().contiguous();
    if ((x.isnan() | y.isnan()).any().item<bool>())
      return not_a_number;
    const auto   ranks_x = ranks(x), ranks_y = ranks(y);
    const double mean = 0.5 * double(x.size(0) - 1);
    double       xx = 0, xy = 0, yy = 0;
    for (std::size_t i = 0; i < ranks_x.size(); ++i)
      {
        const double dx = ranks_x[i] - mean, dy = ranks_y[i] - mean;
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
      }
    return xx > 0. && yy > 0. ? xy / (std::sqrt(xx) * std::sqrt(yy)) :
                                not_a_number;
  }



  torch::Tensor
  quantiles(const torch::Tensor &values, const torch::Tensor &levels)
  {
    const long n = values.numel();
    TORCH_CHECK(n > 0 && levels.dim() == 1,
                "Quantiles need values, and levels in one dimension.");
    const auto p = as_double(levels);
    TORCH_CHECK(((p > 0.) & (p <= 1.)).all().item<bool>(),
                "Levels of quantiles are in (0, 1].");
    const auto flat = as_double(values).reshape({-1});
    if (flat.isnan().any().item<bool>())
      return torch::full_like(p, not_a_number);
    // (0.95 · 20 is a little more than 19 in floating point.)
    const auto number =
      (p * double(n) - 1e-9).ceil().to(torch::kInt64).clamp(1, n);
    return std::get<0>(flat.sort())
      .index_select(0, (number - 1).to(flat.device()));
  }
} // namespace neuraldeal::scores
