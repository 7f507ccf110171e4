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
                                                         "shared",
                                                         "varying"};

    /** The largest |φ|, where lengths vary. */
    constexpr double largest_exponent = 3.;

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
        number_of("length scales", length_scales, length_scale_names) % 2 == 1)
    , varying(length_scales == "varying")
    , blocks(
        length_scales == "each group" ?
          groups :
          std::vector<long>{std::accumulate(groups.begin(), groups.end(), 0l)})
  {
    const long n_lengths = each_input ? blocks[0] : long(blocks.size());
    logarithms =
      torch::zeros({(varying ? 3 : 1) * n_lengths + 1}, torch::kFloat64);
    // Inputs are of order one: a length of √d makes neighbours of them.
    for (long l = 0; l < n_lengths; ++l)
      logarithms[l] = 0.5 * std::log(double(blocks[each_input ? 0 : l]));
    // The same everywhere at first, and all by the same factor.
    if (varying)
      logarithms.slice(0, n_lengths, 2 * n_lengths).fill_(1.);
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
    return each_input ? inputs / logarithms.slice(0, 0, blocks[0]).exp() :
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
  CovarianceKernel::powers() const
  {
    return logarithms.slice(0, blocks[0], 2 * blocks[0]);
  }



  torch::Tensor
  CovarianceKernel::direction() const
  {
    return logarithms.slice(0, 2 * blocks[0], 3 * blocks[0]);
  }



  torch::Tensor
  CovarianceKernel::exponents(const torch::Tensor &x) const
  {
    return largest_exponent * (torch::mv(x, direction()).unsqueeze(1) *
                               powers().unsqueeze(0) / largest_exponent)
                                .tanh();
  }



  CovarianceKernel::Varying
  CovarianceKernel::varying_distances(const torch::Tensor &x,
                                      const torch::Tensor &y) const
  {
    const auto a = scaled(x, 0), b = scaled(y, 0);
    const auto p = exponents(x), q = exponents(y);
    Varying    result;
    result.factor = torch::ones({x.size(0), y.size(0)}, torch::kFloat64);
    result.square = torch::zeros({x.size(0), y.size(0)}, torch::kFloat64);
    for (long i = 0; i < x.size(1); ++i)
      {
        const auto of_x = p.select(1, i).unsqueeze(1),
                   of_y = q.select(1, i).unsqueeze(0);
        // ℓ_i(x)² + ℓ_i(y)² over ℓ_i², that is 2 s_i/ℓ_i².
        const auto squares = (2. * of_x).exp() + (2. * of_y).exp();
        result.squares.push_back(
          2. *
          (a.select(1, i).unsqueeze(1) - b.select(1, i).unsqueeze(0)).square() /
          squares);
        result.shares.push_back((2. * of_x).exp() / squares);
        result.square += result.squares.back();
        result.factor *= (of_x + of_y).exp().div_(0.5 * squares).sqrt_();
      }
    return result;
  }



  torch::Tensor
  CovarianceKernel::radial(const torch::Tensor &square) const
  {
    switch (shape)
      {
        case Shape::matern_1_2:
          return (-square.sqrt()).exp();
        case Shape::matern_3_2:
          {
            const auto s = sqrt_3 * square.sqrt();
            return (1. + s) * (-s).exp();
          }
        case Shape::matern_5_2:
          {
            const auto s = sqrt_5 * square.sqrt();
            return (1. + s + 5. / 3. * square) * (-s).exp();
          }
        default:
          return (-0.5 * square).exp();
      }
  }



  torch::Tensor
  CovarianceKernel::matrix(const torch::Tensor &x, const torch::Tensor &y) const
  {
    const auto affine_part =
      affine() * (1. + torch::mm(x, y.t()) / double(x.size(1)));
    if (varying)
      {
        const auto distances = varying_distances(x, y);
        return distances.factor * radial(distances.square) + affine_part;
      }
    auto square = torch::zeros({x.size(0), y.size(0)}, torch::kFloat64);
    for (const auto &part : squared_distances(x, y))
      square += part;
    return radial(square) + affine_part;
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
    if (varying)
      return varying_gradient(w, x, y);
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
  CovarianceKernel::varying_gradient(const torch::Tensor &w,
                                     const torch::Tensor &x,
                                     const torch::Tensor &y) const
  {
    const long d         = x.size(1);
    const auto distances = varying_distances(x, y);
    const auto weighted  = w * distances.factor;
    const auto value     = weighted * radial(distances.square),
               by_square = weighted * slope(distances.square);

    // By φ_i in x, a longer length shrinks r² and changes the factor.
    auto result = torch::zeros_like(logarithms);
    auto of_x   = torch::empty({x.size(0), d}, torch::kFloat64),
         of_y   = torch::empty({y.size(0), d}, torch::kFloat64);
    for (long i = 0; i < d; ++i)
      {
        const auto &share  = distances.shares[i];
        const auto  pull   = by_square * distances.squares[i];
        const auto  change = value * (0.5 - share) + pull * share;
        result[i]          = pull.sum();
        of_x.select(1, i).copy_(change.sum(1));
        of_y.select(1, i).copy_((pull - change).sum(0));
      }
    for (const auto &[points, by_exponent] :
         {std::make_pair(x, of_x), std::make_pair(y, of_y)})
      {
        const auto by_argument =
          by_exponent * (1. - (exponents(points) / largest_exponent).square());
        result.slice(0, d, 2 * d) +=
          torch::mv(by_argument.t(), torch::mv(points, direction()));
        result.slice(0, 2 * d, 3 * d) +=
          torch::mv(points.t(), torch::mv(by_argument, powers()));
      }
    result[-1] = affine() * (w * (1. + torch::mm(x, y.t()) / double(d))).sum();
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
