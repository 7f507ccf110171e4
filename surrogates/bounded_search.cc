// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/bounded_search.h>
#include <torch/optim/lbfgs.h>

namespace neuraldeal
{
  torch::Tensor
  bounded_search(
    const torch::Tensor &start,
    const double         radius,
    const std::function<std::pair<double, torch::Tensor>(const torch::Tensor &)>
              &cost,
    const long max_iterations)
  {
    const auto lower = start - radius, upper = start + radius;
    const auto within = [&](const torch::Tensor &values) {
      return torch::minimum(torch::maximum(values, lower), upper);
    };
    auto       at      = start.clone();
    const auto closure = [&]() {
      const auto inside = within(at);
      // An excess comes back by a quadratic penalty.
      const auto excess            = at - inside;
      const auto [value, gradient] = cost(inside);
      at.mutable_grad()            = gradient + 2. * excess;
      return torch::full({},
                         value + excess.square().sum().item<double>(),
                         torch::kFloat64);
    };
    torch::optim::LBFGS optimizer({at},
                                  torch::optim::LBFGSOptions(1.)
                                    .max_iter(max_iterations)
                                    .tolerance_grad(1e-5)
                                    .tolerance_change(1e-7)
                                    .line_search_fn("strong_wolfe"));
    optimizer.step(closure);
    return within(at);
  }
} // namespace neuraldeal
