// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/random_fields/cosine_expansion.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    /** ∑_{k ≥ 0} exp(−(πk/L)² t), by itself or by Poisson's formula. */
    double
    theta(const double length, const double t)
    {
      // Either sum has its terms below rounding after a few.
      const double pi    = M_PI;
      const double ratio = t / (length * length);
      double       sum   = 0.;
      if (ratio > 1. / pi)
        {
          for (unsigned int k = 1; k < 8; ++k)
            sum += std::exp(-pi * pi * k * k * ratio);
          return 1. + sum;
        }
      for (unsigned int m = 1; m < 8; ++m)
        sum += std::exp(-1. * m * m / ratio);
      return 0.5 + (0.5 + sum) / std::sqrt(pi * ratio);
    }



    /**
     * ∑_k (∑_d (πk_d/L_d)² + κ²)^{−α} over all k ≥ 0: with Euler's integral,
     *   1/Γ(α) ∫_0^∞ t^{α−1} exp(−κ²t) ∏_d θ_d(t) dt,
     * whose integrand is analytic and falls exponentially in log t, where the
     * trapezoidal rule is exact to rounding.
     */
    template <std::size_t dim>
    double
    infinite_sum(const std::array<double, dim> &lengths,
                 const double                   kappa,
                 const double                   alpha)
    {
      constexpr double step = 0.0625;
      double           sum = 0., largest = 0.;
      // Downwards from where exp(−κ²t) has ended all.
      const double end = std::log(800. / (kappa * kappa));
      for (unsigned int i = 0;; ++i)
        {
          const double s = end - step * i, t = std::exp(s);
          double       term = alpha * s - kappa * kappa * t;
          for (const double length : lengths)
            term += std::log(theta(length, t));
          term = std::exp(term - std::lgamma(alpha));
          sum += step * term;
          largest = std::max(largest, term);
          if (t * kappa * kappa < 1. && term < 1e-18 * largest)
            return sum;
        }
    }
  } // namespace



  template <int dim>
  CosineExpansion<dim>::CosineExpansion(const Point<dim>     &lower,
                                        const Point<dim>     &upper,
                                        const AdditionalData &data)
    : KarhunenLoeve<dim>(lower, upper, data.source)
  {
    if (!(data.scale > 0. && std::isfinite(data.scale)))
      this->complain("scale",
                     fmt::format("{}", data.scale),
                     "a finite positive number");
    if (!(data.inverse_length > 0. && std::isfinite(data.inverse_length)))
      this->complain("inverse length",
                     fmt::format("{}", data.inverse_length),
                     "a finite positive number");
    // Close to d/2 the sum all but diverges, and no truncation is one.
    if (!(data.exponent >= 0.5 * dim + 0.1 && data.exponent <= 100.))
      this->complain("exponent",
                     fmt::format("{}", data.exponent),
                     fmt::format("a number from {} to 100 in {}d",
                                 0.5 * dim + 0.1,
                                 dim));

    std::array<typename KarhunenLoeve<dim>::Direction, dim> directions;
    for (unsigned int d = 0; d < dim; ++d)
      directions[d] = [a      = lower[d],
                       length = this->lengths[d]](const double         x,
                                                  std::vector<double> &values) {
        for (std::size_t j = 0; j < values.size(); ++j)
          values[j] = std::sqrt((j == 0 ? 1. : 2.) / length) *
                      std::cos(M_PI * j * (x - a) / length);
      };
    const double square = data.inverse_length * data.inverse_length;
    double       whole =
      infinite_sum(this->lengths, data.inverse_length, data.exponent);
    if (!data.constant_mode)
      whole -= std::pow(square, -data.exponent);
    whole *= data.scale * data.scale;
    for (const double length : this->lengths)
      whole /= length;
    this->set_modes(
      directions,
      data.n_per_direction,
      [&](const std::array<unsigned int, dim> &k) {
        std::array<double, dim> squares;
        for (unsigned int d = 0; d < dim; ++d)
          squares[d] = std::pow(M_PI * k[d] / this->lengths[d], 2);
        std::sort(squares.begin(), squares.end());
        double sum = 0.;
        for (const double term : squares)
          sum += term;
        return data.scale * data.scale * std::pow(sum + square, -data.exponent);
      },
      data.constant_mode,
      data.n_modes,
      whole);
  }



  template class CosineExpansion<2>;
  template class CosineExpansion<3>;
} // namespace neuraldeal
