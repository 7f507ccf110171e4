// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "elasticity_hole.h"

#include <neuraldeal/surrogates/random.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal::performance
{
  namespace
  {
    constexpr double pi = 3.14159265358979323846;
  }



  ElasticityHole::ElasticityHole(const Coefficients &coefficients)
    : coefficients(coefficients)
  {}



  ElasticityHole
  ElasticityHole::sample(const std::uint64_t seed, const std::uint64_t index)
  {
    CounterRandom random(seed, CounterRandom::Stream::design, index);
    Coefficients  coefficients;
    for (double &xi : coefficients)
      xi = random.normal();
    return ElasticityHole(coefficients);
  }



  double
  ElasticityHole::radius(const double angle) const
  {
    double field = 4. / 3. * coefficients[0] / std::sqrt(2. * pi);
    for (unsigned int k = 1; k <= n_modes; ++k)
      field += 4. / std::sqrt((k * k + 9.) * pi) *
               (coefficients[2 * k - 1] * std::cos(k * angle) +
                coefficients[2 * k] * std::sin(k * angle));
    return 0.2 + 0.2 / (1. + std::exp(field));
  }



  ElasticityHole
  ElasticityHole::mirrored() const
  {
    // cos k(π − θ) = (−1)^k cos kθ, and the other sign for sines
    auto result = coefficients;
    for (unsigned int k = 1; k <= n_modes; ++k)
      result[k % 2 == 1 ? 2 * k - 1 : 2 * k] *= -1.;
    return ElasticityHole(result);
  }



  std::array<double, 2>
  ElasticityHole::point(const double t, const double s) const
  {
    const unsigned int edge  = static_cast<unsigned int>(t) % 4;
    const double       along = t - std::floor(t) - 0.5;
    // the point of the boundary, from the middle of the square
    const std::array<double, 2> outer =
      edge == 0 ? std::array<double, 2>{{0.5, along}} :
      edge == 1 ? std::array<double, 2>{{-along, 0.5}} :
      edge == 2 ? std::array<double, 2>{{-0.5, -along}} :
                  std::array<double, 2>{{along, -0.5}};
    const double part = s + (1. - s) * radius(std::atan2(outer[1], outer[0])) /
                              std::hypot(outer[0], outer[1]);
    return {{0.5 + part * outer[0], 0.5 + part * outer[1]}};
  }



  torch::Tensor
  ElasticityHole::distance(const torch::Tensor &points) const
  {
    constexpr unsigned int        n_corners = 1024;
    std::array<double, n_corners> x, y;
    for (unsigned int i = 0; i < n_corners; ++i)
      {
        const double angle = 2. * pi * i / n_corners;
        x[i]               = 0.5 + radius(angle) * std::cos(angle);
        y[i]               = 0.5 + radius(angle) * std::sin(angle);
      }
    auto       result = torch::empty({points.size(0)}, torch::kFloat64);
    const auto at     = points.accessor<double, 2>();
    auto       values = result.accessor<double, 1>();
    for (std::int64_t p = 0; p < points.size(0); ++p)
      {
        double smallest = 1e300;
        for (unsigned int i = 0; i < n_corners; ++i)
          {
            const unsigned int j  = (i + 1) % n_corners;
            const double       ex = x[j] - x[i], ey = y[j] - y[i],
                         px = at[p][0] - x[i], py = at[p][1] - y[i];
            const double part =
              std::clamp((px * ex + py * ey) / (ex * ex + ey * ey), 0., 1.);
            const double dx = px - part * ex, dy = py - part * ey;
            smallest = std::min(smallest, dx * dx + dy * dy);
          }
        values[p] = std::sqrt(smallest);
      }
    return result;
  }
} // namespace neuraldeal::performance
