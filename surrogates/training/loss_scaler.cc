// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/training/loss_scaler.h>
#include <torch/utils.h>

#include <cmath>

namespace neuraldeal
{
  LossScaler::LossScaler(const torch::TensorOptions &type,
                         const Options              &options)
    : interval(options.interval)
    , state_scale(torch::full({1}, options.initial, type))
    , state_clean(torch::zeros({1}, type.dtype(torch::kInt64)))
  {}



  torch::Tensor
  LossScaler::scale(const torch::Tensor &loss) const
  {
    return loss * state_scale;
  }



  torch::Tensor
  LossScaler::unscale(const torch::Tensor &gradients)
  {
    const torch::NoGradGuard no_gradients;
    const auto skip = torch::isfinite(gradients).all().logical_not().reshape(1);
    gradients.div_(state_scale);

    const auto clean =
      torch::where(skip, torch::zeros_like(state_clean), state_clean + 1);
    const auto grows = clean.ge(interval);
    state_scale.copy_(
      torch::where(skip,
                   state_scale * 0.5,
                   torch::where(grows, state_scale * 2., state_scale))
        .clamp(std::ldexp(1., -14), std::ldexp(1., 30)));
    state_clean.copy_(clean.masked_fill(grows, 0));
    return skip;
  }



  void
  LossScaler::set_state(const State &other)
  {
    const torch::NoGradGuard no_gradients;
    state_scale.copy_(other.scale);
    state_clean.copy_(other.clean);
  }
} // namespace neuraldeal
