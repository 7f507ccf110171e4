// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/laplace.h>
#include <neuraldeal/surrogates/uncertainty/random_tensors.h>

#include <algorithm>

namespace neuraldeal
{
  namespace
  {
    // Random directions beyond the rank that is wanted.
    constexpr long oversampling = 8;

    // Draws of functions, and directions of factors, come from items of their
    // own of the stream of random numbers.
    constexpr std::uint64_t item_of_samples = 1ULL << 40;
    constexpr std::uint64_t item_of_factors = 2ULL << 40;
  } // namespace



  torch::Tensor
  LaplaceApproximation::sample(const OperatorData &data,
                               const long          n_draws,
                               const std::uint64_t seed) const
  {
    check_fitted();
    // The draws of weights are the same for all samples: one function each.
    std::vector<torch::Tensor> directions;
    for (long k = 0; k < n_draws; ++k)
      directions.push_back(
        normal_tensor({chosen.size()}, seed, item_of_samples + k));
    const auto draws = matrix->multiply_root(
      torch::stack(directions, 1).to(group_sizes.device()));

    std::vector<torch::Tensor> results;
    for (long begin = 0; begin < data.size(); begin += parameters.batch_size)
      {
        const auto J = linearize(
          data.slice(begin,
                     std::min(begin + parameters.batch_size, data.size())));
        std::vector<torch::Tensor> functions;
        for (long k = 0; k < n_draws; ++k)
          functions.push_back(J.answer() + J.product(draws.select(1, k)));
        results.push_back(torch::stack(functions));
      }
    return torch::cat(results, 1);
  }



  torch::Tensor
  LaplaceApproximation::covariance_factor(const OperatorData &data,
                                          const long          rank) const
  {
    check_fitted();
    if (rank < 1)
      throw InputError(source,
                       "the rank of a covariance factor",
                       std::to_string(rank),
                       "1 at least");
    std::vector<torch::Tensor> results;
    const long                 step = closed_form ? parameters.batch_size : 1;
    for (long begin = 0; begin < data.size(); begin += step)
      {
        const long end   = std::min(begin + step, data.size());
        const auto batch = data.slice(begin, end);
        const auto found = predict_in_closed_form(batch, rank).factor;
        if (found.defined())
          results.push_back(found.flatten(1, -2));
        else
          for (long i = begin; i < end; ++i)
            {
              const auto J = linearize(data.slice(i, i + 1));
              results.push_back(factor_by_products(J, rank).unsqueeze(0).to(
                J.answer().scalar_type()));
            }
      }
    return torch::cat(results);
  }



  torch::Tensor
  LaplaceApproximation::factor_by_products(const Linearization &J,
                                           const long           rank) const
  {
    const long n_values = J.answer().numel();
    const auto columns  = [&](const torch::Tensor &weights) {
      std::vector<torch::Tensor> products;
      for (long k = 0; k < weights.size(1); ++k)
        products.push_back(J.product(weights.select(1, k)).flatten());
      return torch::stack(products, 1);
    };
    if (chosen.size() <= rank)
      return columns(matrix->multiply_root(
        torch::eye(chosen.size(), group_sizes.options())));

    // The covariance C times an orthonormal basis Q: all of it where it is
    // wanted, otherwise the range of C times random directions.
    const auto times_covariance = [&](const torch::Tensor &vectors) {
      std::vector<torch::Tensor> pulled_back;
      for (long k = 0; k < vectors.size(1); ++k)
        pulled_back.push_back(J.transposed_product(vectors.select(1, k)));
      return columns(matrix->multiply(torch::stack(pulled_back, 1)));
    };
    const long n_directions = std::min(rank + oversampling, n_values);
    auto       Q            = torch::eye(n_values, group_sizes.options());
    if (n_directions < n_values)
      Q = std::get<0>(
        at::linalg_qr(times_covariance(normal_tensor({n_values, n_directions},
                                                     parameters.seed,
                                                     item_of_factors)
                                         .to(group_sizes.device()))));

    // C ≈ (C Q)(Qᵀ C Q)⁻¹(C Q)ᵀ, of which the leading eigenpairs are kept;
    // what is zero up to rounding has no inverse.
    const auto CQ          = times_covariance(Q);
    const auto inner       = torch::mm(Q.t(), CQ);
    const auto [mu, U]     = compat::symmetric_eigen(0.5 * (inner + inner.t()));
    const double threshold = 1e-13 * mu[-1].item<double>();
    const auto   inverse =
      torch::where(mu > threshold, mu, torch::ones_like(mu)).rsqrt() *
      (mu > threshold);
    const auto F           = torch::mm(CQ, U * inverse);
    const auto [values, V] = compat::symmetric_eigen(torch::mm(F.t(), F));
    const long first       = std::max(0l, F.size(1) - std::min(rank, n_values));
    return torch::mm(F, V.slice(1, first));
  }
} // namespace neuraldeal
