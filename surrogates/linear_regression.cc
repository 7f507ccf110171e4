// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/linear_regression.h>

#include <cmath>
#include <limits>

namespace neuraldeal
{
  LinearRegression::LinearRegression(const long n_features,
                                     const long n_outputs)
    : gram(torch::zeros({n_features, n_features}, torch::kFloat64))
    , moments(torch::zeros({n_features, n_outputs}, torch::kFloat64))
    , squares(torch::zeros({n_outputs}, torch::kFloat64))
  {}



  void
  LinearRegression::add(const torch::Tensor &features,
                        const torch::Tensor &outputs)
  {
    // Not in place: copies of this object, and files it has been saved to,
    // share the tensors.
    gram    = gram + torch::mm(features.t(), features);
    moments = moments + torch::mm(features.t(), outputs);
    squares = squares + outputs.square().sum(0);
    n_rows += features.size(0);
  }



  void
  LinearRegression::maximize_evidence()
  {
    // In the eigenbasis of Φᵀ Φ every λ costs O(p r).
    const auto [eigenvalues, eigenvectors] = compat::symmetric_eigen(gram);
    const auto d                           = eigenvalues.clamp_min(0.);
    const auto projected = torch::mm(eigenvectors.t(), moments).square();
    const long n_outputs = squares.size(0);

    // Σ y² − |A^(−1/2) Φᵀ y|² of every output, with the eigenvalues of A.
    const auto residual_of = [&](const torch::Tensor &shifted) {
      return (squares - (projected / shifted.unsqueeze(1)).sum(0))
        .clamp_min(1e-300);
    };

    // Minus twice the log evidence, up to a constant, at λ = exp(t).
    const auto cost = [&](const double t) {
      const double l        = std::exp(t);
      const auto   residual = residual_of(d + l);
      return n_rows * residual.log().sum().item<double>() +
             n_outputs * ((d + l).log().sum().item<double>() - d.size(0) * t);
    };

    // Its derivative by t.
    const auto slope = [&](const double t) {
      const double l        = std::exp(t);
      const auto   shifted  = d + l;
      const auto   residual = residual_of(shifted);
      const auto   growth = (projected / shifted.square().unsqueeze(1)).sum(0);
      return l * (n_rows * (growth / residual).sum().item<double>() +
                  n_outputs * (1. / shifted).sum().item<double>()) -
             n_outputs * d.size(0);
    };

    // The evidence may have several maxima: look on a grid over 16 decades
    // (relative to the mean eigenvalue), then bisect the slope until the
    // result is a smooth function of the data, whatever their last digits.
    const double center = std::log(
      std::max(d.mean().item<double>(), std::numeric_limits<double>::min()));
    double       best = center, best_cost = cost(center);
    const double step = std::log(10.);
    for (int decade = -12; decade <= 4; ++decade)
      if (const double c = cost(center + decade * step); c < best_cost)
        {
          best      = center + decade * step;
          best_cost = c;
        }
    double left = best - step, right = best + step;
    while (right - left > 1e-9)
      {
        const double middle                 = 0.5 * (left + right);
        (slope(middle) > 0. ? right : left) = middle;
      }
    set_regularization(std::exp(0.5 * (left + right)));
  }



  void
  LinearRegression::set_regularization(const double value)
  {
    lambda = value;
    factor = compat::cholesky(
      gram + lambda * torch::eye(gram.size(0), torch::kFloat64));
    weights = solve(moments);
  }



  torch::Tensor
  LinearRegression::solve(const torch::Tensor &right_hand_sides) const
  {
    return torch::cholesky_solve(right_hand_sides, factor);
  }



  torch::Tensor
  LinearRegression::predict(const torch::Tensor &features) const
  {
    return torch::mm(features, weights);
  }



  torch::Tensor
  LinearRegression::leverage(const torch::Tensor &features) const
  {
    return (features.t() * solve(features.t())).sum(0);
  }



  LinearRegression::LeftOut
  LinearRegression::leave_out(const torch::Tensor &features,
                              const torch::Tensor &outputs) const
  {
    const auto hat = torch::mm(features, solve(features.t()));
    const auto inverse =
      at::linalg_inv(torch::eye(hat.size(0), torch::kFloat64) - hat);
    return {outputs - torch::mm(inverse, outputs - predict(features)),
            torch::mm(hat, inverse).diagonal().contiguous()};
  }



  torch::Tensor
  LinearRegression::noise_variance() const
  {
    return (squares - (moments * weights).sum(0)).clamp_min(0.) /
           double(std::max(n_rows, 1l));
  }
} // namespace neuraldeal
