// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/triangular_solves.h>
#include <neuraldeal/surrogates/uncertainty/curvature.h>

#include <stdexcept>

namespace neuraldeal
{
  torch::Tensor
  Curvature::find(const State             &state,
                  const std::string       &name,
                  const std::vector<long> &sizes)
  {
    const auto &result = state.at(name);
    bool        fits   = result.dim() == long(sizes.size());
    for (std::size_t i = 0; fits && i < sizes.size(); ++i)
      fits = sizes[i] < 0 || result.size(i) == sizes[i];
    if (!fits)
      throw std::out_of_range(name);
    return result;
  }



  void
  FullCurvature::fit(const GaussNewton &H)
  {
    matrix = H.dense();
  }



  bool
  FullCurvature::add(const GaussNewton &H)
  {
    matrix = matrix + H.dense();
    return true;
  }



  void
  FullCurvature::set_scales(const torch::Tensor &prior_precision,
                            const double         beta)
  {
    factor = compat::cholesky(beta * matrix + torch::diag(prior_precision));
  }



  double
  FullCurvature::log_determinant() const
  {
    return 2. * factor.diagonal().log().sum().item<double>();
  }



  torch::Tensor
  FullCurvature::variances() const
  {
    return torch::cholesky_inverse(factor).diagonal().contiguous();
  }



  torch::Tensor
  FullCurvature::multiply(const torch::Tensor &vectors) const
  {
    return torch::cholesky_solve(vectors, factor);
  }



  torch::Tensor
  FullCurvature::multiply_root(const torch::Tensor &vectors) const
  {
    return solve_lower_transposed(factor, vectors);
  }



  torch::Tensor
  FullCurvature::curvature_product(const torch::Tensor &vectors) const
  {
    return torch::mm(matrix, vectors);
  }



  DiagonalCurvature::DiagonalCurvature(const long          n_draws,
                                       const std::uint64_t seed)
    : n_draws(n_draws)
    , seed(seed)
  {}



  void
  DiagonalCurvature::fit(const GaussNewton &H)
  {
    diagonal = H.diagonal(n_draws, seed);
  }



  void
  DiagonalCurvature::set_scales(const torch::Tensor &prior_precision,
                                const double         beta)
  {
    precision = beta * diagonal + prior_precision;
  }



  double
  DiagonalCurvature::log_determinant() const
  {
    return precision.log().sum().item<double>();
  }



  torch::Tensor
  DiagonalCurvature::variances() const
  {
    return 1. / precision;
  }



  torch::Tensor
  DiagonalCurvature::multiply(const torch::Tensor &vectors) const
  {
    return vectors / precision.unsqueeze(1);
  }



  torch::Tensor
  DiagonalCurvature::multiply_root(const torch::Tensor &vectors) const
  {
    return vectors / precision.sqrt().unsqueeze(1);
  }



  torch::Tensor
  DiagonalCurvature::curvature_product(const torch::Tensor &vectors) const
  {
    return vectors * diagonal.unsqueeze(1);
  }



  Curvature::State
  FullCurvature::state() const
  {
    return {{"matrix", matrix}};
  }



  void
  FullCurvature::set_state(const State &state, const WeightSelection &weights)
  {
    matrix = find(state, "matrix", {weights.size(), weights.size()});
  }



  Curvature::State
  DiagonalCurvature::state() const
  {
    return {{"diagonal", diagonal}};
  }



  void
  DiagonalCurvature::set_state(const State           &state,
                               const WeightSelection &weights)
  {
    diagonal = find(state, "diagonal", {weights.size()});
  }
} // namespace neuraldeal
