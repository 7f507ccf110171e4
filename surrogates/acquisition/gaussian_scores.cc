// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/acquisition/gaussian_scores.h>

#include <cmath>
#include <limits>

namespace neuraldeal::gaussian_scores
{
  namespace
  {
    constexpr double infinity = std::numeric_limits<double>::infinity();

    const double log_root_two_pi = 0.5 * std::log(2. * M_PI);

    /** @p values where @p where, @p other elsewhere. */
    torch::Tensor
    chosen(const torch::Tensor &where,
           const torch::Tensor &values,
           const double         other)
    {
      return torch::where(where, values, torch::full_like(values, other));
    }
  } // namespace



  torch::Tensor
  log_expected_excess(const torch::Tensor &z)
  {
    // Each formula is evaluated where it holds, since what it has elsewhere
    // may be no number.
    const auto above = z.clamp_min(-1.);
    const auto sum   = ((-0.5 * above.square() - log_root_two_pi).exp() +
                      above * 0.5 * torch::erfc(-above / std::sqrt(2.)))
                       .log();

    // φ(z) (1 + z Φ(z)/φ(z)); the bracket is nearly 1/z².
    const auto   below    = z.clamp_max(-1.);
    const double farthest = -1e4;
    const auto   moderate = below.clamp_min(farthest);
    const auto   bracket =
      torch::where(below < farthest,
                   -2. * (-below).log(),
                   torch::log1p(moderate * std::sqrt(0.5 * M_PI) *
                                at::special_erfcx(-moderate / std::sqrt(2.))));
    return torch::where(z < -1.,
                        bracket - 0.5 * below.square() - log_root_two_pi,
                        sum);
  }



  torch::Tensor
  log_expected_improvement(const torch::Tensor &mean,
                           const torch::Tensor &deviation,
                           const double         best)
  {
    const auto certain = (best - mean).clamp_min(0.).log();
    const auto s       = chosen(deviation > 0., deviation, 1.);
    return torch::where(deviation > 0.,
                        s.log() + log_expected_excess((best - mean) / s),
                        certain);
  }



  torch::Tensor
  log_expected_feasibility(const torch::Tensor &mean,
                           const torch::Tensor &deviation,
                           const double         threshold,
                           const double         half_width)
  {
    // E[max(w − |Z − u|, 0)] = h(w − a) − 2 h(−a) + h(−w − a) with a = |u|,
    // whose first term is the largest.
    const auto s      = chosen(deviation > 0., deviation, 1.);
    const auto a      = ((threshold - mean) / s).abs();
    const auto first  = log_expected_excess(half_width - a);
    const auto second = log_expected_excess(-a);
    const auto third  = log_expected_excess(-half_width - a);
    const auto result =
      s.log() + first +
      torch::log1p(-2. * (second - first).exp() + (third - first).exp());
    return chosen((deviation > 0.) & (first > -infinity), result, -infinity);
  }



  torch::Tensor
  u_function(const torch::Tensor &mean,
             const torch::Tensor &deviation,
             const double         threshold)
  {
    const auto s = chosen(deviation > 0., deviation, 1.);
    return chosen(deviation > 0., (mean - threshold).abs() / s, infinity);
  }



  torch::Tensor
  log_misclassification(const torch::Tensor &mean,
                        const torch::Tensor &deviation,
                        const double         threshold)
  {
    return at::special_log_ndtr(-u_function(mean, deviation, threshold));
  }
} // namespace neuraldeal::gaussian_scores
