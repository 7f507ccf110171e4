// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/triangular_solves.h>
#include <neuraldeal/surrogates/uncertainty/conformal.h>
#include <neuraldeal/surrogates/uncertainty/training_range.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace neuraldeal
{
  namespace
  {
    constexpr long n_folds = 8, block_size = 32;

    // Beside a channel's root mean square.
    constexpr double smallest_deviation = 0.01, smallest_difference = 1e-3;

    // Of the standard normal distribution, at TrainingRange::confidence.
    constexpr double normal_quantile = 2.0537489;



    /** Everything that is read of a sample as channels, [n, c, …]. */
    torch::Tensor
    channels_of(const OperatorData &data)
    {
      std::vector<torch::Tensor> result = {
        data.input.fields.to(torch::kFloat64)};
      const auto &prior = data.prior;
      if (prior.defined() &&
          prior.sizes().slice(2) == data.input.fields.sizes().slice(2))
        result.push_back(prior.to(torch::kFloat64));
      const auto &points = data.input.points;
      if (points.defined() && points.dim() == 3 &&
          points.size(1) == data.input.fields.size(2))
        result.push_back(points.transpose(1, 2).to(torch::kFloat64));
      return torch::cat(result, 1);
    }



    /**
     * Mean squares of the differences of values @p distance points apart, over
     * all directions that are that long, [n, c].
     */
    torch::Tensor
    mean_square_differences(const torch::Tensor &channels, const long distance)
    {
      torch::Tensor sum;
      long          count = 0;
      for (long j = 2; j < channels.dim(); ++j)
        if (const long size = channels.size(j); size > distance)
          {
            const auto square = (channels.slice(j, distance) -
                                 channels.slice(j, 0, size - distance))
                                  .square()
                                  .flatten(2)
                                  .mean(2);
            sum = sum.defined() ? sum + square : square;
            ++count;
          }
      return sum / double(count);
    }
  } // namespace



  TrainingRange::Metric::Metric(const torch::Tensor &features,
                                const torch::Tensor &smallest)
  {
    const double n = features.size(0), k = features.size(1);
    center                 = features.mean(0);
    const auto   deviation = torch::maximum(features.std(0, n > 1), smallest);
    const auto   scaled    = (features - center) / deviation;
    const auto   identity  = torch::eye(features.size(1), features.options());
    const double share     = k / (k + n);
    const auto   correlation =
      (1. - share) * torch::mm(scaled.t(), scaled) / std::max(n - 1., 1.) +
      share * identity;
    // R = L Lᵀ, of which L⁻¹ makes unit deviations.
    whitening = solve_lower(compat::cholesky(correlation), identity).t() /
                deviation.unsqueeze(1);
  }



  torch::Tensor
  TrainingRange::features(const OperatorData &data) const
  {
    std::vector<torch::Tensor> result;
    // (of no samples, once)
    for (long begin = 0; begin == 0 || begin < data.size(); begin += block_size)
      result.push_back(features_of_few(
        data.slice(begin, std::min(begin + block_size, data.size()))));
    return torch::cat(result);
  }



  torch::Tensor
  TrainingRange::features_of_few(const OperatorData &data) const
  {
    const auto scaled = [&](const torch::Tensor &values) {
      return values / root_mean_square.to(values.device());
    };
    const auto channels = channels_of(data);
    const auto flat     = channels.flatten(2);
    const auto counted  = data.input.mask.defined() ?
                            data.input.mask.unsqueeze(1).expand_as(flat).ne(0) :
                            torch::ones_like(flat, torch::kBool);
    const auto number   = counted.sum(2).clamp_min(1);
    const auto masked   = [&](const torch::Tensor &values, const double other) {
      return torch::where(counted, values, torch::full_like(values, other));
    };
    const double infinity = std::numeric_limits<double>::infinity();

    const auto mean = masked(flat, 0.).sum(2) / number;
    const auto variance =
      masked((flat - mean.unsqueeze(2)).square(), 0.).sum(2) / number;
    const auto logarithm = [&](const torch::Tensor &square) {
      return (scaled(square.sqrt()) + smallest_difference).log();
    };
    std::vector<torch::Tensor> result = {scaled(mean),
                                         scaled(masked(flat, infinity).amin(2)),
                                         scaled(
                                           masked(flat, -infinity).amax(2)),
                                         logarithm(variance)};
    if (!data.input.points.defined())
      {
        const auto sizes = channels.sizes().slice(2);
        const long size  = *std::max_element(sizes.begin(), sizes.end());
        for (long distance = 1; 4 * distance <= size; distance *= 2)
          result.push_back(
            logarithm(mean_square_differences(channels, distance)));
      }
    return torch::cat(result, 1);
  }



  void
  TrainingRange::fit(const OperatorData &data)
  {
    torch::Tensor sum;
    for (long begin = 0; begin < data.size(); begin += block_size)
      {
        const auto channels = channels_of(
          data.slice(begin, std::min(begin + block_size, data.size())));
        const auto squares = channels.square().flatten(2).mean(2).sum(0);
        sum                = sum.defined() ? sum + squares : squares;
      }
    root_mean_square =
      (sum / double(data.size())).sqrt().clamp_min(1e-300).to(torch::kCPU);
    const auto all = features(data).to(torch::kCPU);
    const auto smallest =
      torch::full({all.size(1)}, smallest_deviation, torch::kFloat64);
    const long n = all.size(0);
    TORCH_CHECK(n >= 2, "a training range needs two samples at least");

    const long n_parts = std::min(n, n_folds);
    auto       own     = torch::zeros({n}, torch::kFloat64);
    for (long fold = 0; fold < n_parts; ++fold)
      {
        const auto inside = (torch::arange(n) % n_parts).eq(fold);
        const auto here   = inside.nonzero().squeeze(1),
                   others = inside.logical_not().nonzero().squeeze(1);
        const Metric metric(all.index_select(0, others), smallest);
        own.index_copy_(0,
                        here,
                        torch::mm(all.index_select(0, here) - metric.center,
                                  metric.whitening)
                          .norm(2, 1));
      }
    const auto         sorted = std::get<0>(own.sort());
    const unsigned int rank   = conformal_rank(n, confidence);
    if (rank <= n)
      unit = sorted[rank - 1].item<double>();
    else
      {
        const auto   logarithms = sorted.clamp_min(1e-300).log();
        const double quantile =
          std::exp(logarithms.mean().item<double>() +
                   normal_quantile * std::sqrt(1. + 1. / double(n)) *
                     logarithms.std(0, true).item<double>());
        unit = std::max(sorted[-1].item<double>(), quantile);
      }
    unit = std::max(unit, 1e-300);

    const Metric metric(all, smallest);
    center    = metric.center;
    whitening = metric.whitening;
  }



  torch::Tensor
  TrainingRange::distances(const OperatorData &data) const
  {
    const auto all = features(data);
    return torch::mm(all - center.to(all.device()), whitening.to(all.device()))
             .norm(2, 1) /
           unit;
  }



  void
  TrainingRange::save(ModelFile &file, const std::string &name) const
  {
    file.tensors[name + ".root_mean_square"] = root_mean_square;
    file.tensors[name + ".center"]           = center;
    file.tensors[name + ".whitening"]        = whitening.contiguous();
    file.tensors[name + ".unit"] = torch::full({1}, unit, torch::kFloat64);
  }



  TrainingRange
  TrainingRange::load(const ModelFile &file, const std::string &name)
  {
    TrainingRange result;
    result.root_mean_square = file.tensor(name + ".root_mean_square");
    result.center           = file.tensor(name + ".center");
    result.whitening        = file.tensor(name + ".whitening");
    const auto &unit        = file.tensor(name + ".unit");
    const auto &center      = result.center;
    if (result.root_mean_square.dim() != 1 || center.dim() != 1 ||
        result.whitening.sizes() !=
          at::IntArrayRef({center.size(0), center.size(0)}) ||
        center.size(0) < n_moments * result.root_mean_square.size(0) ||
        unit.numel() != 1 || !(unit.item<double>() > 0.))
      throw FileError(file.filename, "its training range is damaged");
    result.unit = unit.item<double>();
    return result;
  }
} // namespace neuraldeal
