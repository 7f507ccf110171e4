// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "burgers_field.h"

#include <neuraldeal/surrogates/random.h>

#include <cmath>

namespace neuraldeal::performance
{
  namespace
  {
    const double pi = std::acos(-1.);
  }



  PeriodicField::PeriodicField(const unsigned int n_modes,
                               const double       tau,
                               const double       deviation)
    : deviations(torch::empty({2 * std::int64_t(n_modes) - 1}, torch::kFloat64))
  {
    double *values   = deviations.data_ptr<double>();
    double  variance = 0.;
    for (std::int64_t i = 0; i < deviations.numel(); ++i)
      {
        const double frequency = 2. * pi * ((i + 1) / 2);
        values[i]              = 1. / (frequency * frequency + tau * tau);
        variance += values[i] * values[i];
      }
    // A cosine and the sine beside it have the mean square 1 in every point.
    deviations.mul_(deviation / std::sqrt(variance));
  }



  torch::Tensor
  PeriodicField::sample(const std::uint64_t seed,
                        const std::uint64_t index,
                        const unsigned int  n_points) const
  {
    CounterRandom random(seed, CounterRandom::Stream::design, index);
    auto          xi     = torch::empty_like(deviations);
    double       *values = xi.data_ptr<double>();
    for (std::int64_t i = 0; i < xi.numel(); ++i)
      values[i] = random.normal();
    return evaluate(xi, n_points);
  }



  torch::Tensor
  PeriodicField::evaluate(const torch::Tensor &xi,
                          const unsigned int   n_points) const
  {
    const auto n_modes = (deviations.numel() + 1) / 2;
    // The angles as whole parts of the circle: these are exact.
    const auto angles =
      torch::outer(torch::arange(std::int64_t(n_points), torch::kInt64),
                   torch::arange(1, n_modes, torch::kInt64))
        .remainder(std::int64_t(n_points))
        .to(torch::kFloat64) *
      (2. * pi / n_points);
    auto modes =
      torch::ones({std::int64_t(n_points), xi.numel()}, torch::kFloat64);
    using at::indexing::Slice;
    const auto none = at::indexing::None;
    modes.index_put_({Slice(), Slice(1, none, 2)},
                     std::sqrt(2.) * angles.cos());
    modes.index_put_({Slice(), Slice(2, none, 2)},
                     std::sqrt(2.) * angles.sin());
    return torch::mv(modes, deviations * xi);
  }
} // namespace neuraldeal::performance
