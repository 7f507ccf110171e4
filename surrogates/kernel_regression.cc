// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/bounded_search.h>
#include <neuraldeal/surrogates/covariance_factor.h>
#include <neuraldeal/surrogates/kernel_regression.h>
#include <neuraldeal/surrogates/triangular_solves.h>

#include <cmath>

namespace neuraldeal
{
  KernelRegression::KernelRegression(const CovarianceKernel &kernel)
    : kernel(kernel)
    , log_noise(std::log(1e-4))
  {}



  KernelRegression::KernelRegression(const std::vector<long> &groups)
    : KernelRegression(CovarianceKernel(groups))
  {}



  double
  KernelRegression::noise() const
  {
    return std::exp(log_noise);
  }



  torch::Tensor
  KernelRegression::hyperparameters() const
  {
    return torch::cat(
      {kernel.hyperparameters(), torch::full({1}, log_noise, torch::kFloat64)});
  }



  void
  KernelRegression::take_hyperparameters(const torch::Tensor &values)
  {
    kernel.set_hyperparameters(values.slice(0, 0, -1));
    log_noise = values[-1].item<double>();
  }



  std::pair<double, torch::Tensor>
  KernelRegression::cost(const torch::Tensor &x, const torch::Tensor &y) const
  {
    const long n = x.size(0), n_outputs = y.size(1);
    const auto one     = torch::eye(n, torch::kFloat64);
    const auto l       = covariance_factor(kernel.matrix(x, x) + noise() * one);
    const auto inverse = torch::cholesky_inverse(l);
    const auto alpha   = torch::mm(inverse, y);
    // Outputs that are all zero cost nothing.
    const auto q = (y * alpha).sum(0).clamp_min(1e-300);

    const double value =
      n * q.log().sum().item<double>() +
      2. * n_outputs * l.diagonal().log().sum().item<double>();

    // d cost = Σ W ∘ dC
    const auto w = n_outputs * inverse -
                   torch::mm(alpha * (double(n) / q).unsqueeze(0), alpha.t());
    const auto by_noise =
      torch::full({1},
                  noise() * w.diagonal().sum().item<double>(),
                  torch::kFloat64);
    return {value, torch::cat({kernel.gradient(w, x, x), by_noise})};
  }



  void
  KernelRegression::maximize_evidence(const torch::Tensor &x,
                                      const torch::Tensor &y)
  {
    // Where the likelihood is flat the search must not leave for infinity.
    const double scale = 1. / double(y.numel());
    set_hyperparameters(bounded_search(
      hyperparameters(),
      7.,
      [&](const torch::Tensor &values) {
        take_hyperparameters(values);
        const auto [value, gradient] = cost(x, y);
        return std::make_pair(scale * value, scale * gradient);
      },
      60));
  }



  void
  KernelRegression::set_hyperparameters(const torch::Tensor &values)
  {
    take_hyperparameters(values);
    if (x_rows.defined())
      {
        const auto x = x_rows, y = y_rows;
        x_rows = y_rows = torch::Tensor();
        add(x, y);
      }
  }



  void
  KernelRegression::add(const torch::Tensor &x, const torch::Tensor &y)
  {
    const long m = x.size(0);
    auto block = kernel.matrix(x, x) + noise() * torch::eye(m, torch::kFloat64);
    if (!x_rows.defined())
      {
        x_rows   = x.clone();
        y_rows   = y.clone();
        factor   = covariance_factor(block).contiguous();
        whitened = solve_lower(factor, y).contiguous();
      }
    else
      {
        const auto below = solve_lower(factor, kernel.matrix(x_rows, x)).t();
        const auto corner =
          covariance_factor(block - torch::mm(below, below.t()),
                            block.diagonal().max().item<double>());
        const long n     = x_rows.size(0);
        auto       grown = torch::zeros({n + m, n + m}, torch::kFloat64);
        grown.slice(0, 0, n).slice(1, 0, n).copy_(factor);
        grown.slice(0, n).slice(1, 0, n).copy_(below);
        grown.slice(0, n).slice(1, n).copy_(corner);
        factor   = grown;
        whitened = torch::cat(
          {whitened, solve_lower(corner, y - torch::mm(below, whitened))});
        x_rows = torch::cat({x_rows, x});
        y_rows = torch::cat({y_rows, y});
      }
    weights = solve_lower_transposed(factor, whitened);
  }



  void
  KernelRegression::set_state(const State &state)
  {
    take_hyperparameters(state.hyperparameters);
    x_rows   = state.inputs;
    y_rows   = state.outputs;
    factor   = state.factor;
    whitened = state.whitened;
    weights  = solve_lower_transposed(factor, whitened);
  }



  torch::Tensor
  KernelRegression::predict(const torch::Tensor &x) const
  {
    return torch::mm(kernel.matrix(x, x_rows), weights);
  }



  torch::Tensor
  KernelRegression::leverage(const torch::Tensor &x) const
  {
    const auto explained =
      solve_lower(factor, kernel.matrix(x_rows, x)).square().sum(0);
    // By rounding it may be negative; what is no number stays none.
    return ((kernel.diagonal(x) - explained) / noise()).clamp_min(0.);
  }



  KernelRegression::LeftOut
  KernelRegression::leave_out(const long begin, const long end) const
  {
    auto columns = torch::zeros({x_rows.size(0), end - begin}, torch::kFloat64);
    columns.slice(0, begin, end)
      .copy_(torch::eye(end - begin, torch::kFloat64));
    const auto half  = solve_lower(factor, columns);
    const auto block = at::linalg_inv(torch::mm(half.t(), half));
    return {y_rows.slice(0, begin, end) -
              torch::mm(block, weights.slice(0, begin, end)),
            (block.diagonal() / noise() - 1.).clamp_min(0.)};
  }



  KernelRegression::LeftOut
  KernelRegression::leave_one_out() const
  {
    const auto diagonal = torch::cholesky_inverse(factor).diagonal();
    return {y_rows - weights / diagonal.unsqueeze(1),
            (1. / (diagonal * noise()) - 1.).clamp_min(0.)};
  }



  torch::Tensor
  KernelRegression::noise_variance() const
  {
    return noise() * whitened.square().sum(0) / double(y_rows.size(0));
  }
} // namespace neuraldeal
