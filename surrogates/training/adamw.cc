// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/training/adamw.h>
#include <torch/utils.h>

#include <vector>

namespace neuraldeal
{
  AdamW::AdamW(const torch::Tensor &values,
               const torch::Tensor &learning_rates,
               const Options       &options)
    : options(options)
    , values(values)
    , learning_rates(learning_rates.to(values.options()))
    , state(torch::zeros({1}, values.options().dtype(torch::kInt64)))
    , first(torch::zeros_like(values))
    , second(torch::zeros_like(values))
    , average(options.average > 0 ? values.clone() :
                                    torch::empty({0}, values.options()))
  {}



  void
  AdamW::step(const torch::Tensor &gradients, const torch::Tensor &skip)
  {
    const torch::NoGradGuard no_gradients;
    if (!skip.defined())
      {
        take_step(gradients);
        return;
      }
    // Factors of zero would not do: zero times infinity is none.
    const std::vector<torch::Tensor> all = {
      values, state, first, second, average};
    std::vector<torch::Tensor> before;
    for (const auto &tensor : all)
      before.push_back(tensor.clone());
    take_step(gradients);
    for (std::size_t i = 0; i < all.size(); ++i)
      all[i].copy_(torch::where(skip, before[i], all[i]));
  }



  void
  AdamW::take_step(const torch::Tensor &gradients)
  {
    const auto rate =
      learning_rates.index_select(0,
                                  state.clamp_max(learning_rates.size(0) - 1));
    state.add_(1);
    const auto t = state.to(values.scalar_type());

    if (options.clip > 0)
      gradients.mul_((options.clip / (gradients.norm() + 1e-30)).clamp_max(1.));
    first.lerp_(gradients, 1. - options.beta_1);
    second.mul_(options.beta_2)
      .addcmul_(gradients, gradients, 1. - options.beta_2);

    // √(v/c₂) + ε with the bias corrections c₁ and c₂ in two numbers
    const auto correction_1 = 1. - torch::pow(options.beta_1, t);
    const auto correction_2 = (1. - torch::pow(options.beta_2, t)).sqrt();
    const auto denominator =
      second.sqrt().div_(correction_2).add_(options.epsilon);
    values.mul_(1. - options.weight_decay * rate);
    values.sub_(first.div(denominator).mul_(rate / correction_1));

    if (options.average > 0)
      average.add_((values - average) *
                   (1. - ((1. + t) / (10. + t)).clamp_max(options.average)));
  }



  void
  AdamW::set_state(const State &other)
  {
    const torch::NoGradGuard no_gradients;
    state.copy_(other.steps);
    first.copy_(other.first);
    second.copy_(other.second);
    average.copy_(other.average);
  }
} // namespace neuraldeal
