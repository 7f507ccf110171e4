// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/chain_diagnostics.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

namespace neuraldeal
{
  namespace
  {
    constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

    /** [chains, n] → [2 chains, n/2]; the middle one of an odd n is left out.
     */
    torch::Tensor
    split(const torch::Tensor &samples)
    {
      const auto n = samples.size(1), half = n / 2;
      return torch::cat({samples.slice(1, 0, half), samples.slice(1, n - half)})
        .contiguous();
    }



    /** @p function of the split samples of every quantity. */
    torch::Tensor
    of_each(const torch::Tensor                                 &samples,
            const std::function<double(const torch::Tensor &x)> &function)
    {
      TORCH_CHECK(samples.dim() == 2 || samples.dim() == 3,
                  "samples are [chains, n] or [chains, n, d]");
      const torch::NoGradGuard no_gradients;
      const auto all    = samples.detach().to(torch::kCPU, torch::kFloat64);
      const auto of_one = [&](const torch::Tensor &x) {
        if (x.size(0) == 0 || x.size(1) < 4 ||
            !torch::isfinite(x).all().item<bool>() ||
            x.max().item<double>() == x.min().item<double>())
          return not_a_number;
        return function(split(x));
      };
      if (all.dim() == 2)
        return torch::full({}, of_one(all), torch::kFloat64);
      auto result = torch::empty({all.size(2)}, torch::kFloat64);
      for (std::int64_t i = 0; i < all.size(2); ++i)
        result.data_ptr<double>()[i] = of_one(all.select(2, i));
      return result;
    }



    double
    median_of(const torch::Tensor &x)
    {
      const auto sorted = std::get<0>(x.flatten().sort());
      const auto n      = sorted.size(0);
      return 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]).item<double>();
    }



    /**
     * Normal quantiles of the ranks r among all S samples,
     * Φ⁻¹((r − 3/8)/(S + 1/4)), with the mean rank of equal ones.
     */
    torch::Tensor
    rank_normalized(const torch::Tensor &x)
    {
      const auto                flat   = x.flatten();
      const double             *values = flat.data_ptr<double>();
      const std::size_t         n      = flat.size(0);
      std::vector<std::int64_t> order(n);
      std::iota(order.begin(), order.end(), std::int64_t(0));
      std::sort(order.begin(),
                order.end(),
                [values](const std::int64_t i, const std::int64_t j) {
                  return values[i] < values[j];
                });

      auto    ranks = torch::empty_like(flat);
      double *r     = ranks.data_ptr<double>();
      for (std::size_t begin = 0, end; begin < n; begin = end)
        {
          end = begin + 1;
          while (end < n && values[order[end]] == values[order[begin]])
            ++end;
          for (std::size_t i = begin; i < end; ++i)
            r[order[i]] = 0.5 * double(begin + 1 + end);
        }
      return at::special_ndtri((ranks - 0.375) / (double(n) + 0.25))
        .reshape(x.sizes());
    }



    /** Of chains that have been split, [m, n]. */
    double
    r_hat(const torch::Tensor &x)
    {
      const double n       = x.size(1);
      const double within  = x.var(1).mean().item<double>();
      const double between = x.mean(1).var().item<double>();
      if (within == 0. && between == 0.)
        return not_a_number;
      return std::sqrt((n - 1.) / n + between / within);
    }



    /** Of chains that have been split, [m, n]. */
    double
    effective_size(const torch::Tensor &x)
    {
      const std::int64_t n        = x.size(1);
      const double       n_values = x.numel();

      // Mean over the chains of their autocovariances, by a Fourier transform
      // of twice the length, in which no lag meets another one.
      const auto transformed = at::fft_rfft(x - x.mean(1, true), 2 * n);
      const auto covariances =
        at::fft_irfft(torch::real(transformed * transformed.conj()), 2 * n)
          .slice(1, 0, n)
          .mean(0)
          .div(double(n))
          .contiguous();
      const double *c      = covariances.data_ptr<double>();
      const double  within = c[0] * double(n) / double(n - 1);
      const double  total  = c[0] + x.mean(1).var().item<double>();
      if (!(total > 0.))
        return not_a_number;

      const auto correlation = [&](const std::int64_t lag) {
        return lag == 0 ? 1. : 1. - (within - c[lag]) / total;
      };
      double time     = -1.;
      double previous = std::numeric_limits<double>::infinity();
      for (std::int64_t lag = 0; lag + 1 < n; lag += 2)
        {
          const double even = correlation(lag);
          const double pair = even + correlation(lag + 1);
          if (!(pair > 0.))
            {
              // For chains that swing: half a pair.
              time += std::max(even, 0.);
              break;
            }
          previous = std::min(pair, previous);
          time += 2. * previous;
        }
      return n_values / std::max(time, 1. / std::log10(n_values));
    }



    double
    effective_size_of_quantile(const torch::Tensor &x, const double p)
    {
      const auto   sorted   = std::get<0>(x.flatten().sort());
      const double position = p * double(sorted.size(0) - 1);
      const auto   below    = std::int64_t(position);
      const double value    = sorted[below].item<double>();
      const double next =
        sorted[std::min(below + 1, sorted.size(0) - 1)].item<double>();
      const double quantile =
        value + (position - double(below)) * (next - value);
      return effective_size((x <= quantile).to(torch::kFloat64));
    }
  } // namespace



  torch::Tensor
  split_r_hat(const torch::Tensor &samples)
  {
    return of_each(samples, [](const torch::Tensor &x) {
      // (Folded samples may be equal where the samples are not.)
      return std::fmax(r_hat(rank_normalized(x)),
                       r_hat(rank_normalized((x - median_of(x)).abs())));
    });
  }



  torch::Tensor
  effective_sample_size(const torch::Tensor &samples)
  {
    return of_each(samples, effective_size);
  }



  torch::Tensor
  bulk_effective_sample_size(const torch::Tensor &samples)
  {
    return of_each(samples, [](const torch::Tensor &x) {
      return effective_size(rank_normalized(x));
    });
  }



  torch::Tensor
  quantile_effective_sample_size(const torch::Tensor &samples, const double p)
  {
    if (!(p > 0. && p < 1.))
      throw InputError("chain diagnostics",
                       "the probability of a quantile",
                       fmt::format("{}", p),
                       "a number between zero and one");
    return of_each(samples, [p](const torch::Tensor &x) {
      return effective_size_of_quantile(x, p);
    });
  }



  torch::Tensor
  tail_effective_sample_size(const torch::Tensor &samples)
  {
    return torch::minimum(quantile_effective_sample_size(samples, 0.05),
                          quantile_effective_sample_size(samples, 0.95));
  }



  torch::Tensor
  monte_carlo_error(const torch::Tensor &samples)
  {
    const auto size = effective_sample_size(samples);
    const auto variance =
      samples.detach().to(torch::kCPU, torch::kFloat64).flatten(0, 1).var(0);
    return (variance / size).sqrt();
  }
} // namespace neuraldeal
