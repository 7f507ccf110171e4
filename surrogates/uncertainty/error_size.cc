// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/triangular_solves.h>
#include <neuraldeal/surrogates/uncertainty/error_size.h>

#include <limits>

namespace neuraldeal
{
  namespace
  {
    /** How many deviations features may be away from their mean. */
    constexpr double farthest = 3.;

    /** Features that differ by less are the same. */
    constexpr double smallest_deviation = 0.01;

    /** Errors that are smaller than that of the mean one are not told apart. */
    constexpr double smallest_square = 1e-8;

    /** Weights of the ridge, in those of as many rows as there are. */
    constexpr double ridges[] = {0.01, 0.03, 0.1, 0.3, 1., 3., 10., 100.};



    torch::Tensor
    rows(const torch::Tensor &values, const torch::Tensor &wanted)
    {
      return values.index_select(0, wanted.nonzero().squeeze(1));
    }
  } // namespace



  ErrorSize::ErrorSize(const torch::Tensor &features,
                       const torch::Tensor &logarithms,
                       const double         ridge)
    : center(features.mean(0))
    , deviation(features.std(0, false).clamp_min(smallest_deviation))
    , level(logarithms.mean(0))
  {
    const auto x = ((features - center) / deviation).clamp(-farthest, farthest);
    const double n      = x.size(0);
    const auto   factor = compat::cholesky(
      torch::mm(x.t(), x) + ridge * n * torch::eye(x.size(1), x.options()));
    const auto half = solve_lower(factor, torch::mm(x.t(), logarithms - level));
    // (in the order of a file, whose products round as this one's)
    weights = solve_lower_transposed(factor, half).contiguous();
  }



  void
  ErrorSize::fit(const torch::Tensor &features,
                 const torch::Tensor &squares,
                 const torch::Tensor &folds)
  {
    const auto x      = features.to(torch::kCPU, torch::kFloat64),
               number = folds.to(torch::kCPU);
    auto made         = squares.to(torch::kCPU, torch::kFloat64);
    made =
      torch::maximum(made, smallest_square * made.mean(0)).clamp_min(1e-300);
    const auto y       = made.log();
    const long n_folds = number.max().item<std::int64_t>() + 1;
    TORCH_CHECK(n_folds >= 2, "error sizes need two folds at least");

    double        least = std::numeric_limits<double>::infinity(), best = 0.;
    torch::Tensor of_best;
    for (const double ridge : ridges)
      {
        auto said = torch::empty_like(y);
        for (long fold = 0; fold < n_folds; ++fold)
          {
            const auto      here   = number.eq(fold);
            const auto      others = here.logical_not();
            const ErrorSize without(rows(x, others), rows(y, others), ridge);
            said.index_put_({here}, without.logarithms(rows(x, here)));
          }
        // The likelihood with the level by which it is largest
        const double error =
          (said.mean(0) + (y - said).exp().mean(0).log()).sum().item<double>();
        // (NaN is never less.)
        if (error < least || !of_best.defined())
          {
            least   = error;
            best    = ridge;
            of_best = said;
          }
      }
    *this            = ErrorSize(x, y, best);
    left_out         = of_best.exp();
    const auto ratio = (made / left_out).sqrt().mean(0).square();
    left_out         = left_out * ratio;
    level            = level + ratio.log();
  }



  torch::Tensor
  ErrorSize::squares(const torch::Tensor &features) const
  {
    return logarithms(features).exp();
  }



  torch::Tensor
  ErrorSize::logarithms(const torch::Tensor &features) const
  {
    const auto device = features.device();
    const auto x      = ((features - center.to(device)) / deviation.to(device))
                     .clamp(-farthest, farthest);
    return torch::mm(x, weights.to(device)) + level.to(device);
  }



  void
  ErrorSize::save(ModelFile &file, const std::string &name) const
  {
    file.tensors[name + ".center"]    = center;
    file.tensors[name + ".deviation"] = deviation;
    file.tensors[name + ".weights"]   = weights;
    file.tensors[name + ".level"]     = level;
  }



  ErrorSize
  ErrorSize::load(const ModelFile &file, const std::string &name)
  {
    ErrorSize result;
    result.center    = file.tensor(name + ".center");
    result.deviation = file.tensor(name + ".deviation");
    result.weights   = file.tensor(name + ".weights");
    result.level     = file.tensor(name + ".level");
    if (result.center.dim() != 1 || result.level.dim() != 1 ||
        result.deviation.sizes() != result.center.sizes() ||
        result.weights.sizes() !=
          at::IntArrayRef({result.center.size(0), result.level.size(0)}) ||
        !result.deviation.gt(0.).all().item<bool>())
      throw FileError(file.filename,
                      "the sizes of its errors, " + name + ", are damaged");
    return result;
  }
} // namespace neuraldeal
