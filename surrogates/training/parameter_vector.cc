// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/training/parameter_vector.h>

namespace neuraldeal
{
  ParameterVector::ParameterVector(torch::nn::Module &module)
    : ParameterVector(module.parameters())
  {}



  ParameterVector::ParameterVector(const std::vector<torch::Tensor> &parameters)
  {
    constexpr long alignment = 32;
    const auto     round_up  = [](const long i) {
      return (i + alignment - 1) / alignment * alignment;
    };

    long size = 0;
    for (const auto &parameter : parameters)
      {
        n += parameter.numel();
        size += round_up(parameter.numel());
      }
    const auto options = parameters.at(0).options().requires_grad(false);
    all_values         = torch::zeros({size}, options);
    all_gradients      = torch::zeros({size}, options);

    long begin = 0;
    for (auto parameter : parameters)
      {
        const auto view = [&](const torch::Tensor &all) {
          return all.slice(0, begin, begin + parameter.numel())
            .view(parameter.sizes());
        };
        view(all_values).copy_(parameter.detach());
        parameter.set_data(view(all_values));
        parameter.mutable_grad() = view(all_gradients);
        const long end           = begin + round_up(parameter.numel());
        all_parts.push_back({parameter, begin, end});
        begin = end;
      }
  }
} // namespace neuraldeal
