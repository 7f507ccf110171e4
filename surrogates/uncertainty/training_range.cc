// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/triangular_solves.h>
#include <neuraldeal/surrogates/uncertainty/conformal.h>
#include <neuraldeal/surrogates/uncertainty/training_range.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  namespace
  {
    constexpr long n_folds = 8;

    // Beside a channel's root mean square.
    constexpr double smallest_deviation = 0.01;

    // Of the standard normal distribution, at TrainingRange::confidence.
    constexpr double normal_quantile = 2.0537489;
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



  void
  TrainingRange::fit(const OperatorData &data)
  {
    features.fit(data);
    const auto all = features.of(data).to(torch::kCPU);
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
    return distances_of(features.of(data));
  }



  torch::Tensor
  TrainingRange::distances_of(const torch::Tensor &all) const
  {
    return torch::mm(all - center.to(all.device()), whitening.to(all.device()))
             .norm(2, 1) /
           unit;
  }



  void
  TrainingRange::save(ModelFile &file, const std::string &name) const
  {
    features.save(file, name);
    file.tensors[name + ".center"]    = center;
    file.tensors[name + ".whitening"] = whitening.contiguous();
    file.tensors[name + ".unit"]      = torch::full({1}, unit, torch::kFloat64);
  }



  TrainingRange
  TrainingRange::load(const ModelFile &file, const std::string &name)
  {
    TrainingRange result;
    result.features    = FieldFeatures::load(file, name);
    result.center      = file.tensor(name + ".center");
    result.whitening   = file.tensor(name + ".whitening");
    const auto &unit   = file.tensor(name + ".unit");
    const auto &center = result.center;
    if (center.dim() != 1 ||
        result.whitening.sizes() !=
          at::IntArrayRef({center.size(0), center.size(0)}) ||
        center.size(0) <
          FieldFeatures::n_moments * result.features.n_channels() ||
        unit.numel() != 1 || !(unit.item<double>() > 0.))
      throw FileError(file.filename, "its training range is damaged");
    result.unit = unit.item<double>();
    return result;
  }
} // namespace neuraldeal
