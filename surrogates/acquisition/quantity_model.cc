// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/acquisition/quantity_model.h>

#include <cmath>

namespace neuraldeal
{
  void
  QuantityModel::fit(const torch::Tensor &inputs, const torch::Tensor &values)
  {
    if (inputs.dim() != 2 || inputs.size(0) < 2)
      throw InputError("the program",
                       "the shape of the quantity model's inputs",
                       c10::str(inputs.sizes()),
                       "[n, d] with two rows at least");
    const long n = inputs.size(0);
    if (values.dim() != 1 || values.size(0) != n)
      throw InputError("the program",
                       "the shape of the quantity's values",
                       c10::str(values.sizes()),
                       fmt::format("[{}]", n));
    const auto q = values.detach().to(torch::kCPU, torch::kFloat64);
    for (long i = 0; i < n; ++i)
      if (const double value = q[i].item<double>(); !std::isfinite(value))
        throw InputError("the program",
                         fmt::format("value {} of the quantity", i),
                         fmt::format("{}", value),
                         "a finite number");

    // Equal values differ from their mean by nothing, not by its rounding.
    const auto from_first = q - q[0];
    const auto deviations = from_first - from_first.mean();
    mean                  = (q[0] + from_first.mean()).item<double>();
    largest               = deviations.abs().max().item<double>();
    if (!(largest > 0.))
      largest = 1.;

    standardized = StandardizedInputs(inputs, "quantity model");
    ErrorProcess::Parameters parameters;
    parameters.local = false;
    // A single output says too little of so many lengths: deviations would be
    // too small.
    parameters.varying = false;
    learned.emplace(standardized(inputs),
                    (deviations / largest).unsqueeze(1),
                    torch::Tensor(),
                    parameters);
    variance =
      (learned->left_out_errors().square() / learned->left_out_variances())
        .mean()
        .item<double>();
  }



  const ErrorProcess &
  QuantityModel::process() const
  {
    TORCH_CHECK(learned, "The quantity model has learned nothing.");
    return *learned;
  }



  QuantityModel::Prediction
  QuantityModel::predict(const torch::Tensor &inputs) const
  {
    const auto &regression = process().regression();
    const auto  x          = standardized(inputs);
    return {
      mean + largest * regression.predict(x).squeeze(1),
      largest *
        (variance * learned->noise() * (1. + regression.leverage(x))).sqrt()};
  }
} // namespace neuraldeal
