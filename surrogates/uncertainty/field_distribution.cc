// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/field_distribution.h>

#include <cmath>

namespace neuraldeal
{
  torch::Tensor
  FieldDistribution::pointwise_variance() const
  {
    torch::Tensor result = variance;
    if (factor.defined())
      {
        const auto common = factor.square().sum(-1);
        result            = result.defined() ? result + common : common;
      }
    return result.defined() ? result : torch::zeros_like(mean);
  }



  FieldDistribution
  FieldDistribution::flattened() const
  {
    FieldDistribution result;
    result.mean  = mean.flatten(1);
    const auto n = result.mean.size(0), n_values = result.mean.size(1);
    result.factor   = factor.defined() ?
                        factor.reshape({n, n_values, factor.size(-1)}) :
                        torch::empty({n, n_values, 0}, mean.options());
    result.variance = variance.defined() ? variance.reshape({n, n_values}) :
                                           torch::zeros_like(result.mean);
    return result;
  }



  torch::Tensor
  FieldDistribution::mean_square_distance(
    const std::function<torch::Tensor(const torch::Tensor &)> &square,
    const torch::Tensor                                       &diagonal) const
  {
    torch::Tensor result;
    if (variance.defined())
      result = (variance * diagonal).flatten(1).sum(1);
    // One direction after another: all together would be large.
    if (factor.defined())
      for (long k = 0; k < factor.size(-1); ++k)
        {
          const auto of_direction = square(factor.select(-1, k));
          result = result.defined() ? result + of_direction : of_direction;
        }
    return result.defined() ? result : mean.new_zeros({mean.size(0)});
  }



  FieldDistribution
  FieldDistribution::of_samples(const torch::Tensor &samples)
  {
    const long m = samples.size(0);
    if (m < 2)
      throw InputError("the program",
                       "the number of samples of a distribution",
                       std::to_string(m),
                       "two or more");
    FieldDistribution result;
    // Where all samples are the same so is their mean, to the last bit: in
    // values that are known.
    result.mean = samples[0] + (samples - samples[0]).mean(0);
    result.factor =
      (samples - result.mean).movedim(0, -1) / std::sqrt(double(m - 1));
    return result;
  }
} // namespace neuraldeal
