// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/acquisition/error_process.h>
#include <neuraldeal/surrogates/compat.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace neuraldeal
{
  namespace
  {
    /** Principal components of the rows but for a share of their squares. */
    torch::Tensor
    largest_modes(const torch::Tensor &values, const double neglected)
    {
      auto [squares, vectors] =
        compat::symmetric_eigen(torch::mm(values, values.t()));
      // Ascending.
      squares              = squares.clamp_min(0.);
      const auto tail      = squares.cumsum(0);
      const long n_dropped = std::min<long>(
        (tail <= neglected * tail[-1]).sum().item<std::int64_t>(),
        squares.size(0) - 1);
      return vectors.slice(1, n_dropped) * squares.slice(0, n_dropped).sqrt();
    }



    /** Kernels with the largest evidence of x and y, and log λ. */
    std::vector<KernelRegression>
    search(const std::string   &shape,
           const bool           may_vary,
           const torch::Tensor &x,
           const torch::Tensor &y)
    {
      const long       d = x.size(1);
      KernelRegression shared(CovarianceKernel({d}, shape, "shared"));
      shared.maximize_evidence(x, y);
      const auto common = shared.hyperparameters();

      KernelRegression each(CovarianceKernel({d}, shape, "each input"));
      const auto       usual = each.hyperparameters().clone();
      auto             best =
        torch::cat({common.slice(0, 0, 1).repeat({d}), common.slice(0, 1)});
      double least = shared.cost(x, y).first;
      for (const auto &start : {best.clone(), usual})
        {
          each.set_hyperparameters(start);
          each.maximize_evidence(x, y);
          if (const double cost = each.cost(x, y).first; cost < least)
            {
              least = cost;
              best  = each.hyperparameters().clone();
            }
        }
      each.set_hyperparameters(best);
      if (!may_vary)
        return {each};

      KernelRegression varying(CovarianceKernel({d}, shape, "varying"));
      auto             start = varying.hyperparameters().clone();
      start.slice(0, 0, d).copy_(best.slice(0, 0, d));
      start.slice(0, 3 * d).copy_(best.slice(0, d));
      varying.set_hyperparameters(start);
      varying.maximize_evidence(x, y);
      return {each, varying};
    }



    /** Rows of samples, evenly among all @p m; from @p begin on, in [0, 1). */
    torch::Tensor
    evidence_rows(const long                      m,
                  const ErrorProcess::Parameters &parameters,
                  const double                    begin = 0.)
    {
      const long n = std::min(m, parameters.evidence_samples);
      return ((torch::arange(n, torch::kFloat64) + begin) *
              (double(m) / double(n)))
        .floor()
        .to(torch::kInt64);
    }



    /** Errors of samples that are left out, over their norms, [m]. */
    torch::Tensor
    errors_of(const KernelRegression::LeftOut &left_out,
              const torch::Tensor             &values,
              const torch::Tensor             &norms)
    {
      const auto result = (values - left_out.mean).norm(2, {1});
      return norms.defined() ? result / norms : result;
    }



    KernelRegression
    best_process(const torch::Tensor            &features,
                 const torch::Tensor            &values,
                 const torch::Tensor            &norms,
                 const ErrorProcess::Parameters &parameters)
    {
      const long m = features.size(0);
      TORCH_INTERNAL_ASSERT(m >= 2 && values.dim() == 2 && values.size(0) == m);
      const auto modes = largest_modes(values, parameters.neglected);

      std::vector<KernelRegression> found;
      for (const double begin : {0., 0.5})
        if (begin == 0. || m > parameters.evidence_samples)
          {
            const auto rows = evidence_rows(m, parameters, begin);
            for (auto &process : search(parameters.kernel,
                                        parameters.varying,
                                        features.index_select(0, rows),
                                        modes.index_select(0, rows)))
              found.push_back(std::move(process));
          }
      std::size_t best  = 0;
      double      least = std::numeric_limits<double>::infinity();
      for (std::size_t i = 0; i < found.size(); ++i)
        {
          found[i].add(features, values);
          if (found.size() == 1)
            break;
          const double error =
            errors_of(found[i].leave_one_out(), values, norms)
              .mean()
              .item<double>();
          if (error < least)
            {
              least = error;
              best  = i;
            }
        }
      return std::move(found[best]);
    }
  } // namespace



  ErrorProcess::ErrorProcess(const torch::Tensor &features,
                             const torch::Tensor &values,
                             const torch::Tensor &norms,
                             const Parameters    &parameters)
    : process(best_process(features, values, norms, parameters))
  {
    const auto without = process.leave_one_out();
    errors             = errors_of(without, values, norms);
    variances          = noise() * (1. + without.leverage);
    // What is zero has no logarithm.
    const auto given = (errors.square() / variances)
                         .clamp_min(std::numeric_limits<double>::min())
                         .log();
    mean = given.mean().item<double>();
    span = 2. * given.std(0, /*unbiased=*/false).item<double>();
    if (!parameters.local || !(span > 0.))
      return;
    logarithms.emplace(
      CovarianceKernel({features.size(1)}, parameters.kernel, "each input"));
    // A single error tells little of their size: the search starts at a noise
    // that is as large as what there is to learn.
    auto start = logarithms->hyperparameters().clone();
    start[-1]  = 0.;
    logarithms->set_hyperparameters(start);
    const auto deviation = (given - mean).unsqueeze(1);
    const auto index     = evidence_rows(features.size(0), parameters);
    logarithms->maximize_evidence(features.index_select(0, index),
                                  deviation.index_select(0, index));
    logarithms->add(features, deviation);
  }



  double
  ErrorProcess::noise() const
  {
    return std::exp(process.hyperparameters()[-1].item<double>());
  }



  torch::Tensor
  ErrorProcess::level(const torch::Tensor &features) const
  {
    auto result = torch::full({features.size(0)}, mean, torch::kFloat64);
    if (logarithms)
      result =
        result + logarithms->predict(features).squeeze(1).clamp(-span, span);
    return result.exp();
  }
} // namespace neuraldeal
