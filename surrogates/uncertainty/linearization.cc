// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/uncertainty/linearization.h>
#include <torch/autograd.h>

namespace neuraldeal
{
  Linearization::Linearization(const std::function<torch::Tensor()> &answer,
                               const WeightSelection                &weights)
    : weights(weights)
  {
    const torch::AutoGradMode         with_gradients(true);
    const compat::TwiceDifferentiable twice;
    y = answer();
  }



  torch::Tensor
  Linearization::product(const torch::Tensor &v) const
  {
    const torch::AutoGradMode with_gradients(true);
    if (!u.defined())
      {
        u = torch::zeros_like(y.detach()).requires_grad_(true);
        pulled_back =
          torch::autograd::grad({y}, weights.tensors(), {u}, true, true, true);
      }
    torch::autograd::variable_list outputs, directions;
    const auto                     all = weights.split(v);
    for (std::size_t i = 0; i < all.size(); ++i)
      // What the answer does not depend on has no derivative.
      if (pulled_back[i].defined() && pulled_back[i].requires_grad())
        {
          outputs.push_back(pulled_back[i]);
          directions.push_back(all[i]);
        }
    const auto options = y.options().dtype(torch::kFloat64);
    if (outputs.empty())
      return torch::zeros(y.sizes(), options.requires_grad(false));
    const auto result =
      torch::autograd::grad(outputs, {u}, directions, true, false, true)[0];
    return result.defined() ?
             result.detach().to(torch::kFloat64) :
             torch::zeros(y.sizes(), options.requires_grad(false));
  }



  torch::Tensor
  Linearization::transposed_product(const torch::Tensor &u) const
  {
    return weights.join(
      torch::autograd::grad({y},
                            weights.tensors(),
                            {u.reshape(y.sizes()).to(y.scalar_type())},
                            true,
                            false,
                            true));
  }



  torch::Tensor
  Linearization::rows(const torch::Tensor &numbers) const
  {
    std::vector<torch::Tensor> result;
    for (long i = 0; i < numbers.size(0); ++i)
      {
        auto one = torch::zeros({y.numel()}, y.options().requires_grad(false));
        one[numbers[i].item<std::int64_t>()] = 1.;
        result.push_back(transposed_product(one));
      }
    return torch::stack(result);
  }



  torch::Tensor
  Linearization::dense() const
  {
    if (y.numel() <= weights.size())
      return rows(torch::arange(y.numel(), torch::kInt64));
    std::vector<torch::Tensor> columns;
    for (long j = 0; j < weights.size(); ++j)
      {
        auto one =
          torch::zeros({weights.size()},
                       y.options().dtype(torch::kFloat64).requires_grad(false));
        one[j] = 1.;
        columns.push_back(product(one).flatten());
      }
    return torch::stack(columns, 1);
  }
} // namespace neuraldeal
