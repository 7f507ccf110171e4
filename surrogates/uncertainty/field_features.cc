// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/field_features.h>

#include <algorithm>
#include <limits>

namespace neuraldeal
{
  namespace
  {
    constexpr long block_size = 32;

    // Beside a channel's root mean square.
    constexpr double smallest_difference = 1e-3;



    /** Everything that is read of a sample as channels, [n, c, …]. */
    torch::Tensor
    channels_of(const OperatorData &data)
    {
      std::vector<torch::Tensor> result = {
        data.input.fields.to(torch::kFloat64)};
      const auto &prior = data.prior;
      if (prior.defined() &&
          prior.sizes().slice(2) == data.input.fields.sizes().slice(2))
        result.push_back(prior.to(torch::kFloat64));
      const auto &points = data.input.points;
      if (points.defined() && points.dim() == 3 &&
          points.size(1) == data.input.fields.size(2))
        result.push_back(points.transpose(1, 2).to(torch::kFloat64));
      return torch::cat(result, 1);
    }



    /**
     * Mean squares of the differences of values @p distance points apart, over
     * all directions that are that long, [n, c].
     */
    torch::Tensor
    mean_square_differences(const torch::Tensor &channels, const long distance)
    {
      torch::Tensor sum;
      long          count = 0;
      for (long j = 2; j < channels.dim(); ++j)
        if (const long size = channels.size(j); size > distance)
          {
            const auto square = (channels.slice(j, distance) -
                                 channels.slice(j, 0, size - distance))
                                  .square()
                                  .flatten(2)
                                  .mean(2);
            sum = sum.defined() ? sum + square : square;
            ++count;
          }
      return sum / double(count);
    }
  } // namespace



  void
  FieldFeatures::fit(const OperatorData &data)
  {
    torch::Tensor sum;
    for (long begin = 0; begin < data.size(); begin += block_size)
      {
        const auto channels = channels_of(
          data.slice(begin, std::min(begin + block_size, data.size())));
        const auto squares = channels.square().flatten(2).mean(2).sum(0);
        sum                = sum.defined() ? sum + squares : squares;
      }
    root_mean_square =
      (sum / double(data.size())).sqrt().clamp_min(1e-300).to(torch::kCPU);
  }



  torch::Tensor
  FieldFeatures::of(const OperatorData &data) const
  {
    std::vector<torch::Tensor> result;
    // (of no samples, once)
    for (long begin = 0; begin == 0 || begin < data.size(); begin += block_size)
      result.push_back(
        of_few(data.slice(begin, std::min(begin + block_size, data.size()))));
    return torch::cat(result);
  }



  torch::Tensor
  FieldFeatures::of_few(const OperatorData &data) const
  {
    const auto scaled = [&](const torch::Tensor &values) {
      return values / root_mean_square.to(values.device());
    };
    const auto    channels = channels_of(data);
    const auto    flat     = channels.flatten(2);
    torch::Tensor counted;
    if (data.input.mask.defined())
      counted = data.input.mask.unsqueeze(1).expand_as(flat).ne(0);
    const auto masked = [&](const torch::Tensor &values, const double other) {
      return counted.defined() ?
               torch::where(counted, values, torch::full_like(values, other)) :
               values;
    };
    const auto mean_of = [&](const torch::Tensor &values) {
      return counted.defined() ?
               masked(values, 0.).sum(2) / counted.sum(2).clamp_min(1) :
               values.mean(2);
    };
    const double infinity = std::numeric_limits<double>::infinity();

    const auto mean      = mean_of(flat);
    const auto variance  = mean_of((flat - mean.unsqueeze(2)).square());
    const auto logarithm = [&](const torch::Tensor &square) {
      return (scaled(square.sqrt()) + smallest_difference).log();
    };
    std::vector<torch::Tensor> result = {scaled(mean),
                                         scaled(masked(flat, infinity).amin(2)),
                                         scaled(
                                           masked(flat, -infinity).amax(2)),
                                         logarithm(variance)};
    if (!data.input.points.defined())
      {
        const auto sizes = channels.sizes().slice(2);
        const long size  = *std::max_element(sizes.begin(), sizes.end());
        for (long distance = 1; 4 * distance <= size; distance *= 2)
          result.push_back(
            logarithm(mean_square_differences(channels, distance)));
      }
    return torch::cat(result, 1);
  }



  void
  FieldFeatures::save(ModelFile &file, const std::string &name) const
  {
    file.tensors[name + ".root_mean_square"] = root_mean_square;
  }



  FieldFeatures
  FieldFeatures::load(const ModelFile &file, const std::string &name)
  {
    FieldFeatures result;
    result.root_mean_square = file.tensor(name + ".root_mean_square");
    if (result.root_mean_square.dim() != 1 ||
        !result.root_mean_square.gt(0.).all().item<bool>())
      throw FileError(file.filename,
                      "the units of its features, " + name + ", are damaged");
    return result;
  }
} // namespace neuraldeal
