// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "darcy_field.h"

#include <neuraldeal/surrogates/random.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace neuraldeal::performance
{
  namespace
  {
    /** Between the two values of a coefficient, whatever its contrast. */
    constexpr double middle = 6.;

    /** Bits of a byte, the least significant first. */
    torch::Tensor
    powers_of_two()
    {
      return torch::tensor({1, 2, 4, 8, 16, 32, 64, 128}, torch::kInt64);
    }

    /** Shares of the coarse intervals that the fine ones make up, [m, n]. */
    torch::Tensor
    overlaps(const unsigned int n_fine, const unsigned int n_coarse)
    {
      auto result = torch::zeros({n_coarse, n_fine}, torch::kFloat64);
      auto shares = result.accessor<double, 2>();
      // In integers, in units of 1 / (n_fine n_coarse): no cell is missed
      // or met twice through rounding.
      for (std::int64_t i = 0; i < n_coarse; ++i)
        for (std::int64_t j = 0; j < n_fine; ++j)
          shares[i][j] = static_cast<double>(std::max<std::int64_t>(
                           0,
                           std::min((i + 1) * n_fine, (j + 1) * n_coarse) -
                             std::max(i * n_fine, j * n_coarse))) /
                         n_fine;
      return result;
    }

    /** Values of the hat functions at the points, [p, n + 1]. */
    torch::Tensor
    hat_functions(const unsigned int n_cells,
                  const unsigned int n_grid,
                  const unsigned int stride)
    {
      const unsigned int n_points = (n_grid + stride - 1) / stride;
      auto result = torch::zeros({n_points, n_cells + 1}, torch::kFloat64);
      auto values = result.accessor<double, 2>();
      for (unsigned int i = 0; i < n_points; ++i)
        {
          const double       x    = (i * stride + 0.5) / n_grid * n_cells;
          const unsigned int cell = std::min<unsigned int>(x, n_cells - 1);
          values[i][cell]         = cell + 1 - x;
          values[i][cell + 1]     = x - cell;
        }
      return result;
    }
  } // namespace



  DarcyField::DarcyField(const unsigned int n_cells, const double tau)
    : modes(torch::empty({n_cells, n_cells}, torch::kFloat64))
    , deviations(torch::empty({n_cells, n_cells}, torch::kFloat64))
  {
    const double pi        = std::acos(-1.);
    auto         mode      = modes.accessor<double, 2>();
    auto         deviation = deviations.accessor<double, 2>();
    for (unsigned int i = 0; i < n_cells; ++i)
      for (unsigned int k = 0; k < n_cells; ++k)
        {
          mode[i][k] =
            (k == 0 ? 1. :
                      std::sqrt(2.) * std::cos(pi * k * (i + 0.5) / n_cells));
          deviation[i][k] =
            1. / (pi * pi * (1. * i * i + 1. * k * k) + tau * tau);
        }
    deviation[0][0] = 0.;
  }



  double
  DarcyField::mean_variance() const
  {
    return deviations.square().sum().item<double>();
  }



  void
  DarcyField::normalise(const double variance)
  {
    deviations.mul_(std::sqrt(variance / mean_variance()));
  }



  torch::Tensor
  DarcyField::sample(const std::uint64_t seed, const std::uint64_t index) const
  {
    CounterRandom random(seed, CounterRandom::Stream::design, index);
    auto          xi     = torch::empty_like(deviations);
    double       *values = xi.data_ptr<double>();
    for (std::int64_t i = 0; i < xi.numel(); ++i)
      values[i] = random.normal();
    return evaluate(xi);
  }



  torch::Tensor
  DarcyField::evaluate(const torch::Tensor &xi) const
  {
    return torch::mm(torch::mm(modes, deviations * xi), modes.t());
  }



  std::array<double, 2>
  darcy_values(const double contrast)
  {
    return {{middle * std::exp2(-contrast), middle * std::exp2(contrast)}};
  }



  torch::Tensor
  darcy_coefficient(const torch::Tensor &field, const double contrast)
  {
    const auto values = darcy_values(contrast);
    return torch::where(field >= 0,
                        torch::full_like(field, values[1]),
                        torch::full_like(field, values[0]));
  }



  torch::Tensor
  symmetries_of_square(const std::int64_t n)
  {
    const auto points = torch::arange(n * n, torch::kInt64).reshape({n, n});
    std::vector<torch::Tensor> result;
    for (const auto &turned : {points, points.t()})
      for (const auto &directions :
           std::vector<std::vector<std::int64_t>>{{}, {0}, {1}, {0, 1}})
        result.push_back(turned.flip(directions).flatten());
    return torch::stack(result);
  }



  torch::Tensor
  coarse_coefficient(const torch::Tensor &coefficient,
                     const unsigned int   n_coarse,
                     const CellMean       mean)
  {
    const auto shares  = overlaps(coefficient.size(0), n_coarse);
    const auto average = [&](const torch::Tensor &values) {
      return torch::mm(torch::mm(shares, values), shares.t());
    };
    const auto fine = coefficient.to(torch::kFloat64);
    switch (mean)
      {
        case CellMean::geometric:
          return average(fine.log()).exp();
        case CellMean::harmonic:
          return average(fine.reciprocal()).reciprocal();
        default:
          return average(fine);
      }
  }



  torch::Tensor
  evaluate_at_centres(const torch::Tensor &nodal,
                      const unsigned int   n_grid,
                      const unsigned int   stride)
  {
    const auto hats =
      hat_functions(nodal.size(-1) - 1, n_grid, stride).to(nodal.scalar_type());
    return torch::matmul(torch::matmul(hats, nodal), hats.t());
  }



  torch::Tensor
  pack_coefficient(const torch::Tensor &coefficient)
  {
    const auto m       = coefficient.size(0);
    const auto bits    = (coefficient.reshape({m, -1}) > middle);
    const auto n_bits  = bits.size(1);
    const auto n_bytes = (n_bits + 7) / 8;
    auto       padded  = torch::zeros({m, 8 * n_bytes}, torch::kInt64);
    padded.narrow(1, 0, n_bits).copy_(bits);
    return (padded.reshape({m, n_bytes, 8}) * powers_of_two())
      .sum(2)
      .to(torch::kUInt8);
  }



  torch::Tensor
  unpack_coefficient(const torch::Tensor         &bytes,
                     const unsigned int           n,
                     const std::array<double, 2> &values)
  {
    const auto m    = bytes.size(0);
    const auto bits = bytes.to(torch::kInt64)
                        .unsqueeze(2)
                        .bitwise_and(powers_of_two())
                        .ne(0)
                        .reshape({m, -1})
                        .narrow(1, 0, std::int64_t(n) * n)
                        .reshape({m, n, n});
    const auto value = [&](const unsigned int i) {
      return torch::full({1}, values[i], torch::kFloat32);
    };
    return torch::where(bits, value(1), value(0));
  }
} // namespace neuraldeal::performance
