// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/uncertainty/curvature.h>
#include <neuraldeal/surrogates/uncertainty/random_tensors.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  namespace
  {
    // The spectra of Gauss–Newton matrices fall fast, so that few additional
    // directions and sweeps are enough.
    constexpr long oversampling = 8;
    constexpr int  n_sweeps     = 2;

    torch::Tensor
    orthonormal(const torch::Tensor &columns)
    {
      return std::get<0>(at::linalg_qr(columns));
    }
  } // namespace



  LowRankCurvature::LowRankCurvature(const long rank, const std::uint64_t seed)
    : rank(rank)
    , seed(seed)
  {}



  void
  LowRankCurvature::fit(const GaussNewton &H)
  {
    const long n_weights = H.weights.size();
    const long n_columns = std::min(rank + oversampling, n_weights);
    auto       Q = orthonormal(normal_tensor({n_weights, n_columns}, seed, 0)
                           .to(H.weights.values().device()));
    for (int sweep = 0; sweep < n_sweeps && n_columns < n_weights; ++sweep)
      Q = orthonormal(H.product(Q));
    const auto T = torch::mm(Q.t(), H.product(Q));
    // Rayleigh and Ritz; eigenvalues come in ascending order.
    const auto [values, vectors] = compat::symmetric_eigen(0.5 * (T + T.t()));
    const long first             = std::max(0l, n_columns - rank);
    L                            = torch::mm(Q, vectors.slice(1, first)) *
        values.slice(0, first).clamp_min(0.).sqrt();
  }



  void
  LowRankCurvature::set_scales(const torch::Tensor &prior_precision,
                               const double         beta)
  {
    root_precision               = prior_precision.sqrt().unsqueeze(1);
    const auto B                 = std::sqrt(beta) * L / root_precision;
    const auto [values, vectors] = compat::symmetric_eigen(torch::mm(B.t(), B));
    lambda                       = values.clamp_min(0.);
    BV                           = torch::mm(B, vectors);
  }



  double
  LowRankCurvature::log_determinant() const
  {
    return 2. * root_precision.log().sum().item<double>() +
           lambda.log1p().sum().item<double>();
  }



  torch::Tensor
  LowRankCurvature::variances() const
  {
    return (1. - (BV.square() / (1. + lambda)).sum(1)) /
           root_precision.squeeze(1).square();
  }



  torch::Tensor
  LowRankCurvature::multiply(const torch::Tensor &vectors) const
  {
    const auto v = vectors / root_precision;
    return (v -
            torch::mm(BV, torch::mm(BV.t(), v) / (1. + lambda).unsqueeze(1))) /
           root_precision;
  }



  torch::Tensor
  LowRankCurvature::multiply_root(const torch::Tensor &vectors) const
  {
    // (I + BBᵀ)^{−1/2} = I − B V f Vᵀ Bᵀ with f = (1 − 1/s)/λ and s² = 1 + λ,
    // written without a difference of almost equal numbers.
    const auto s = (1. + lambda).sqrt();
    const auto f = 1. / (s * (1. + s));
    return (vectors -
            torch::mm(BV, torch::mm(BV.t(), vectors) * f.unsqueeze(1))) /
           root_precision;
  }



  torch::Tensor
  LowRankCurvature::curvature_product(const torch::Tensor &vectors) const
  {
    return torch::mm(L, torch::mm(L.t(), vectors));
  }



  Curvature::State
  LowRankCurvature::state() const
  {
    return {{"factor", L}};
  }



  void
  LowRankCurvature::set_state(const State           &state,
                              const WeightSelection &weights)
  {
    L = find(state, "factor", {weights.size(), -1});
  }
} // namespace neuraldeal
