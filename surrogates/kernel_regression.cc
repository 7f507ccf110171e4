// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/kernel_regression.h>
#include <torch/optim/lbfgs.h>

#include <cmath>

namespace neuraldeal
{
  namespace
  {
    const double sqrt_5 = std::sqrt(5.);

    /** L⁻¹ b for a lower triangular L. */
    torch::Tensor
    solve_lower(const torch::Tensor &lower, const torch::Tensor &b)
    {
      return at::linalg_solve_triangular(lower, b, /*upper=*/false);
    }

    /** L⁻ᵀ b. */
    torch::Tensor
    solve_lower_transposed(const torch::Tensor &lower, const torch::Tensor &b)
    {
      return at::linalg_solve_triangular(lower.t(), b, /*upper=*/true);
    }
  } // namespace



  KernelRegression::KernelRegression(const std::vector<long> &groups)
    : groups(groups)
    , logarithms(torch::zeros({long(groups.size()) + 2}, torch::kFloat64))
  {
    // Inputs are of order one: a length of √d makes neighbours of them.
    for (std::size_t g = 0; g < groups.size(); ++g)
      logarithms[g] = 0.5 * std::log(double(groups[g]));
    logarithms[-1] = std::log(1e-4);
  }



  double
  KernelRegression::noise() const
  {
    return std::exp(logarithms[-1].item<double>());
  }



  std::vector<torch::Tensor>
  KernelRegression::squared_distances(const torch::Tensor &x,
                                      const torch::Tensor &y) const
  {
    std::vector<torch::Tensor> result;
    long                       begin = 0;
    for (std::size_t g = 0; g < groups.size(); ++g)
      {
        const double length = std::exp(logarithms[g].item<double>());
        const auto   a      = x.slice(1, begin, begin + groups[g]) / length,
                   b        = y.slice(1, begin, begin + groups[g]) / length;
        result.push_back((a.square().sum(1).unsqueeze(1) +
                          b.square().sum(1).unsqueeze(0) -
                          2. * torch::mm(a, b.t()))
                           .clamp_min(0.));
        begin += groups[g];
      }
    return result;
  }



  torch::Tensor
  KernelRegression::kernel(const torch::Tensor &x, const torch::Tensor &y) const
  {
    auto square = torch::zeros({x.size(0), y.size(0)}, torch::kFloat64);
    for (const auto &part : squared_distances(x, y))
      square += part;
    const auto   s = sqrt_5 * square.sqrt();
    const double b = std::exp(logarithms[-2].item<double>());
    return (1. + s + 5. / 3. * square) * (-s).exp() +
           b * (1. + torch::mm(x, y.t()) / double(x.size(1)));
  }



  std::pair<double, torch::Tensor>
  KernelRegression::cost(const torch::Tensor &x, const torch::Tensor &y) const
  {
    const long n = x.size(0), n_outputs = y.size(1);
    const auto one     = torch::eye(n, torch::kFloat64);
    const auto l       = compat::cholesky(kernel(x, x) + noise() * one);
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
    const auto parts  = squared_distances(x, x);
    auto       square = torch::zeros({n, n}, torch::kFloat64);
    for (const auto &part : parts)
      square += part;
    const auto s        = sqrt_5 * square.sqrt();
    const auto by_group = 5. / 3. * (1. + s) * (-s).exp() * w;
    auto       gradient = torch::zeros_like(logarithms);
    for (std::size_t g = 0; g < parts.size(); ++g)
      gradient[g] = (by_group * parts[g]).sum();
    gradient[-2] = std::exp(logarithms[-2].item<double>()) *
                   (w * (1. + torch::mm(x, x.t()) / double(x.size(1)))).sum();
    gradient[-1] = noise() * w.diagonal().sum();
    return {value, gradient};
  }



  void
  KernelRegression::maximize_evidence(const torch::Tensor &x,
                                      const torch::Tensor &y)
  {
    // Where the likelihood is flat the search must not leave for infinity.
    const auto   lower = logarithms - 7., upper = logarithms + 7.;
    auto         at      = logarithms.clone();
    const double scale   = 1. / double(y.numel());
    const auto   closure = [&]() {
      logarithms = torch::minimum(torch::maximum(at, lower), upper);
      // An excess comes back by a quadratic penalty.
      const auto excess            = at - logarithms;
      const auto [value, gradient] = cost(x, y);
      at.mutable_grad()            = scale * gradient + 2. * excess;
      return torch::full({},
                         scale * value + excess.square().sum().item<double>(),
                         torch::kFloat64);
    };
    torch::optim::LBFGS optimizer({at},
                                  torch::optim::LBFGSOptions(1.)
                                    .max_iter(60)
                                    .tolerance_grad(1e-5)
                                    .tolerance_change(1e-7)
                                    .line_search_fn("strong_wolfe"));
    optimizer.step(closure);
    set_hyperparameters(torch::minimum(torch::maximum(at, lower), upper));
  }



  void
  KernelRegression::set_hyperparameters(const torch::Tensor &values)
  {
    logarithms = values.clone();
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
    const long m     = x.size(0);
    auto       block = kernel(x, x) + noise() * torch::eye(m, torch::kFloat64);
    if (!x_rows.defined())
      {
        x_rows   = x.clone();
        y_rows   = y.clone();
        factor   = compat::cholesky(block).contiguous();
        whitened = solve_lower(factor, y).contiguous();
      }
    else
      {
        const auto below = solve_lower(factor, kernel(x_rows, x)).t();
        const auto corner =
          compat::cholesky(block - torch::mm(below, below.t()));
        factor = torch::cat(
          {torch::cat(
             {factor, torch::zeros({x_rows.size(0), m}, torch::kFloat64)}, 1),
           torch::cat({below, corner}, 1)});
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
    logarithms = state.hyperparameters;
    x_rows     = state.inputs;
    y_rows     = state.outputs;
    factor     = state.factor;
    whitened   = state.whitened;
    weights    = solve_lower_transposed(factor, whitened);
  }



  torch::Tensor
  KernelRegression::predict(const torch::Tensor &x) const
  {
    return torch::mm(kernel(x, x_rows), weights);
  }



  torch::Tensor
  KernelRegression::leverage(const torch::Tensor &x) const
  {
    const double b     = std::exp(logarithms[-2].item<double>());
    const auto   prior = 1. + b * (1. + x.square().sum(1) / double(x.size(1)));
    const auto   explained =
      solve_lower(factor, kernel(x_rows, x)).square().sum(0);
    // By rounding it may be negative; what is no number stays none.
    return ((prior - explained) / noise()).clamp_min(0.);
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



  torch::Tensor
  KernelRegression::noise_variance() const
  {
    return noise() * whitened.square().sum(0) / double(y_rows.size(0));
  }
} // namespace neuraldeal
