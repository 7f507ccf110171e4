// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_standardized_inputs_h
#define neuraldeal_surrogates_standardized_inputs_h

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <torch/types.h>

#include <string>

namespace neuraldeal
{
  /**
   * Inputs in deviations from the mean of those that something is learned
   * from, as the regressions of costs, failures and quantities take them. An
   * input that all of these share stays in its own units.
   */
  class StandardizedInputs
  {
  public:
    /** Of no inputs; nothing can be asked of it. */
    StandardizedInputs() = default;

    /**
     * @param inputs [n, d]; where n = 0 all stay in their own units.
     * @param owner what they are inputs of, for error messages.
     */
    StandardizedInputs(const torch::Tensor &inputs, const std::string &owner)
      : owner(owner)
      , center(torch::zeros({inputs.size(1)}, torch::kFloat64))
      , deviation(torch::ones({inputs.size(1)}, torch::kFloat64))
    {
      if (inputs.size(0) == 0)
        return;
      const auto x = inputs.detach().to(torch::kCPU, torch::kFloat64);
      center       = x.mean(0);
      deviation    = x.std(0, /*unbiased=*/false);
      // The deviation of equal numbers may be a rounding error.
      deviation = torch::where(std::get<0>(x.max(0)) > std::get<0>(x.min(0)),
                               deviation.clamp_min(1e-300),
                               torch::ones_like(deviation));
    }

    /**
     * [n, d] → [n, d] float64 on the CPU.
     * @throw InputError for another number of inputs.
     */
    torch::Tensor
    operator()(const torch::Tensor &inputs) const
    {
      TORCH_CHECK(center.defined(), "The " + owner + " has learned nothing.");
      if (inputs.dim() != 2 || inputs.size(1) != center.size(0))
        throw InputError("the program",
                         "the shape of the " + owner + "'s inputs",
                         c10::str(inputs.sizes()),
                         fmt::format("[n, {}]", center.size(0)));
      return (inputs.detach().to(torch::kCPU, torch::kFloat64) - center) /
             deviation;
    }

  private:
    std::string   owner = "regression";
    torch::Tensor center, deviation; ///< [d]
  };
} // namespace neuraldeal

#endif
