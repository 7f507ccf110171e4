// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/covariance_kernel.h>
#include <neuraldeal/surrogates/registry.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace neuraldeal
{
  namespace
  {
    const double sqrt_3 = std::sqrt(3.), sqrt_5 = std::sqrt(5.);

    // In the order of CovarianceKernel::Shape.
    const std::vector<std::string> shape_names = {"Matern 1/2",
                                                  "Matern 3/2",
                                                  "Matern 5/2",
                                                  "squared exponential"};

    const std::vector<std::string> length_scale_names = {"each group",
                                                         "each input",
                                                         "shared"};

    /** Where @p name stands among @p names. */
    long
    number_of(const std::string              &entry,
              const std::string              &name,
              const std::vector<std::string> &names)
    {
      check_choice("the regression's kernel", entry, name, names);
      return std::find(names.begin(), names.end(), name) - names.begin();
    }
  } // namespace



  CovarianceKernel::CovarianceKernel(const std::vector<long> &groups,
                                     const std::string       &shape_name,
                                     const std::string       &length_scales)
    : shape(Shape(number_of("kernel", shape_name, shape_names)))
    , each_input(
        number_of("length scales", length_scales, length_scale_names) == 1)
    , blocks(
        length_scales == "each group" ?
          groups :
          std::vector<long>{std::accumulate(groups.begin(), groups.end(), 0l)})
    , logarithms(
        torch::zeros({(each_input ? blocks[0] : long(blocks.size())) + 1},
                     torch::kFloat64))
  {
    // Inputs are of order one: a length of √d makes neighbours of them.
    for (long l = 0; l + 1 < logarithms.size(0); ++l)
      logarithms[l] = 0.5 * std::log(double(blocks[each_input ? 0 : l]));
  }



  std::string
  CovarianceKernel::shapes()
  {
    return listed(shape_names);
  }



  std::string
  CovarianceKernel::length_scale_choices()
  {
    return listed(length_scale_names);
  }



  void
  CovarianceKernel::set_hyperparameters(const torch::Tensor &values)
  {
    TORCH_INTERNAL_ASSERT(values.sizes() == logarithms.sizes());
    logarithms = values.clone();
  }



  double
  CovarianceKernel::affine() const
  {
    return std::exp(logarithms[-1].item<double>());
  }



  torch::Tensor
  CovarianceKernel::scaled(const torch::Tensor &x,
                           const std::size_t    block) const
  {
    const long begin =
      std::accumulate(blocks.begin(), blocks.begin() + block, 0l);
    const auto inputs = x.slice(1, begin, begin + blocks[block]);
    return each_input ? inputs / logarithms.slice(0, 0, -1).exp() :
                        inputs / std::exp(logarithms[block].item<double>());
  }



  std::vector<torch::Tensor>
  CovarianceKernel::squared_distances(const torch::Tensor &x,
                                      const torch::Tensor &y) const
  {
    std::vector<torch::Tensor> result;
    for (std::size_t block = 0; block < blocks.size(); ++block)
      {
        const auto a = scaled(x, block), b = scaled(y, block);
        // The expanded square is wrong by 1e-16: nothing to functions of r²,
        // but 1e-8 to the root of it.
        result.push_back(
          shape == Shape::matern_1_2 ?
            torch::cdist(a, b, 2., /*not by products of matrices*/ 2).square() :
            (a.square().sum(1).unsqueeze(1) + b.square().sum(1).unsqueeze(0) -
             2. * torch::mm(a, b.t()))
              .clamp_min(0.));
      }
    return result;
  }



  torch::Tensor
  CovarianceKernel::matrix(const torch::Tensor &x, const torch::Tensor &y) const
  {
    auto square = torch::zeros({x.size(0), y.size(0)}, torch::kFloat64);
    for (const auto &part : squared_distances(x, y))
      square += part;
    const auto affine_part =
      affine() * (1. + torch::mm(x, y.t()) / double(x.size(1)));
    switch (shape)
      {
        case Shape::matern_1_2:
          return (-square.sqrt()).exp() + affine_part;
        case Shape::matern_3_2:
          {
            const auto s = sqrt_3 * square.sqrt();
            return (1. + s) * (-s).exp() + affine_part;
          }
        case Shape::matern_5_2:
          {
            const auto s = sqrt_5 * square.sqrt();
            return (1. + s + 5. / 3. * square) * (-s).exp() + affine_part;
          }
        default:
          return (-0.5 * square).exp() + affine_part;
      }
  }



  torch::Tensor
  CovarianceKernel::slope(const torch::Tensor &square) const
  {
    switch (shape)
      {
        case Shape::matern_1_2:
          {
            // Infinite at r = 0, where it is only ever multiplied by r².
            const auto r = square.sqrt();
            return torch::where(r > 0., (-r).exp() / r, torch::zeros_like(r));
          }
        case Shape::matern_3_2:
          return 3. * (-sqrt_3 * square.sqrt()).exp();
        case Shape::matern_5_2:
          {
            const auto s = sqrt_5 * square.sqrt();
            return 5. / 3. * (1. + s) * (-s).exp();
          }
        default:
          return (-0.5 * square).exp();
      }
  }



  torch::Tensor
  CovarianceKernel::diagonal(const torch::Tensor &x) const
  {
    return 1. + affine() * (1. + x.square().sum(1) / double(x.size(1)));
  }



  torch::Tensor
  CovarianceKernel::gradient(const torch::Tensor &w,
                             const torch::Tensor &x,
                             const torch::Tensor &y) const
  {
    const auto parts  = squared_distances(x, y);
    auto       square = torch::zeros({x.size(0), y.size(0)}, torch::kFloat64);
    for (const auto &part : parts)
      square += part;
    const auto by_square = slope(square) * w;

    auto result = torch::zeros_like(logarithms);
    if (each_input)
      {
        // Σ_ij v_ij (a_i − b_j)² of each input, multiplied out: no matrix of
        // pairs for each of them.
        const auto a = scaled(x, 0), b = scaled(y, 0);
        result.slice(0, 0, -1).copy_(
          torch::mv(a.t().square(), by_square.sum(1)) +
          torch::mv(b.t().square(), by_square.sum(0)) -
          2. * (a * torch::mm(by_square, b)).sum(0));
      }
    else
      for (std::size_t g = 0; g < parts.size(); ++g)
        result[g] = (by_square * parts[g]).sum();
    result[-1] =
      affine() * (w * (1. + torch::mm(x, y.t()) / double(x.size(1)))).sum();
    return result;
  }



  torch::Tensor
  CovarianceKernel::gradient_of_diagonal(const torch::Tensor &w,
                                         const torch::Tensor &x) const
  {
    auto result = torch::zeros_like(logarithms);
    result[-1] =
      affine() * (w * (1. + x.square().sum(1) / double(x.size(1)))).sum();
    return result;
  }
} // namespace neuraldeal
