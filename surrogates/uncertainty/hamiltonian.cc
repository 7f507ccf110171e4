// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/hamiltonian.h>

#include <cmath>
#include <limits>
#include <utility>

namespace neuraldeal
{
  namespace
  {
    /**
     * The lower Cholesky factor of @p matrix, [d, d], by rows; undefined where
     * it has none.
     */
    torch::Tensor
    cholesky_factor(const torch::Tensor &matrix)
    {
      const auto    d      = matrix.size(0);
      auto          result = torch::zeros({d, d}, torch::kFloat64);
      const double *a      = matrix.data_ptr<double>();
      double       *l      = result.data_ptr<double>();
      for (std::int64_t i = 0; i < d; ++i)
        for (std::int64_t j = 0; j <= i; ++j)
          {
            double sum = a[i * d + j];
            for (std::int64_t k = 0; k < j; ++k)
              sum -= l[i * d + k] * l[j * d + k];
            if (i != j)
              l[i * d + j] = sum / l[j * d + j];
            else if (sum > 0. && std::isfinite(sum))
              l[i * d + i] = std::sqrt(sum);
            else
              return {};
          }
      return result;
    }
  } // namespace



  Metric::Metric(const long dimension)
    : d(dimension)
    , sigma(torch::ones({dimension}, torch::kFloat64))
  {}



  bool
  Metric::set_covariance(const torch::Tensor &covariance)
  {
    const auto values =
      covariance.detach().to(torch::kCPU, torch::kFloat64).contiguous().clone();
    if (values.dim() == 1)
      {
        if (!((values > 0.) & torch::isfinite(values)).all().item<bool>())
          return false;
        sigma  = values;
        factor = torch::Tensor();
        return true;
      }
    const auto found = cholesky_factor(values);
    if (!found.defined())
      return false;
    sigma  = values;
    factor = found;
    return true;
  }



  std::vector<double>
  Metric::velocity(const std::vector<double> &momentum) const
  {
    std::vector<double> result(d);
    const double       *s = sigma.data_ptr<double>();
    if (!factor.defined())
      for (long i = 0; i < d; ++i)
        result[i] = s[i] * momentum[i];
    else
      for (long i = 0; i < d; ++i)
        {
          double sum = 0;
          for (long j = 0; j < d; ++j)
            sum += s[i * d + j] * momentum[j];
          result[i] = sum;
        }
    return result;
  }



  std::vector<double>
  Metric::draw(CounterRandom &random) const
  {
    std::vector<double> result(d);
    for (double &entry : result)
      entry = random.normal();
    if (!factor.defined())
      {
        const double *s = sigma.data_ptr<double>();
        for (long i = 0; i < d; ++i)
          result[i] /= std::sqrt(s[i]);
        return result;
      }
    // M = L⁻ᵀ L⁻¹, so that L⁻ᵀ times standard normal numbers is N(0, M).
    const double *l = factor.data_ptr<double>();
    for (long i = d - 1; i >= 0; --i)
      {
        for (long k = i + 1; k < d; ++k)
          result[i] -= l[k * d + i] * result[k];
        result[i] /= l[i * d + i];
      }
    return result;
  }



  Hamiltonian::Hamiltonian(const LogDensity &log_density, const long dimension)
    : metric(dimension)
    , log_density(log_density)
    , d(dimension)
  {}



  PhasePoint
  Hamiltonian::at_rest(const torch::Tensor &position) const
  {
    ++evaluations;
    const auto found = log_density(position);

    PhasePoint result;
    result.position    = position;
    result.log_density = found.value;
    result.momentum.assign(d, 0.);
    result.velocity.assign(d, 0.);
    if (!std::isfinite(found.value))
      {
        result.gradient = torch::zeros({d}, torch::kFloat64);
        result.energy   = std::numeric_limits<double>::infinity();
        return result;
      }
    if (!found.gradient.defined() || found.gradient.dim() != 1 ||
        found.gradient.size(0) != d)
      {
        std::string shape = "undefined";
        if (found.gradient.defined())
          shape = c10::str(found.gradient.sizes());
        throw InputError("the log density",
                         "the shape of its gradient",
                         shape,
                         fmt::format("[{}], that of the position", d));
      }
    // Copied: the function may fill the same tensor each time.
    result.gradient = found.gradient.detach()
                        .to(torch::kCPU, torch::kFloat64)
                        .contiguous()
                        .clone();
    result.energy = -found.value;
    return result;
  }



  PhasePoint
  Hamiltonian::with_momentum(const PhasePoint          &point,
                             const std::vector<double> &momentum) const
  {
    PhasePoint result = point;
    result.momentum   = momentum;
    result.velocity   = metric.velocity(momentum);
    double kinetic    = 0;
    for (long i = 0; i < d; ++i)
      kinetic += 0.5 * result.momentum[i] * result.velocity[i];
    result.energy = std::isfinite(point.log_density) ?
                      kinetic - point.log_density :
                      std::numeric_limits<double>::infinity();
    return result;
  }



  PhasePoint
  Hamiltonian::leapfrog(const PhasePoint &point, const double h) const
  {
    auto          half = point.momentum;
    const double *g    = point.gradient.data_ptr<double>();
    for (long i = 0; i < d; ++i)
      half[i] += 0.5 * h * g[i];

    const auto    velocity = metric.velocity(half);
    auto          position = torch::empty({d}, torch::kFloat64);
    const double *q        = point.position.data_ptr<double>();
    double       *q_new    = position.data_ptr<double>();
    for (long i = 0; i < d; ++i)
      q_new[i] = q[i] + h * velocity[i];

    const auto    moved = at_rest(position);
    const double *g_new = moved.gradient.data_ptr<double>();
    for (long i = 0; i < d; ++i)
      half[i] += 0.5 * h * g_new[i];
    return with_momentum(moved, half);
  }
} // namespace neuraldeal
