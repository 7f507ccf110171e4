// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/bounded_search.h>
#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/covariance_factor.h>
#include <neuraldeal/surrogates/sparse_kernel_regression.h>
#include <neuraldeal/surrogates/triangular_solves.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace neuraldeal
{
  namespace
  {
    /** Rows that are learned at once, which bounds the memory for them. */
    constexpr long block_size = 1024;
  } // namespace



  SparseKernelRegression::SparseKernelRegression(const CovarianceKernel &kernel)
    : kernel(kernel)
    , log_noise(std::log(1e-4))
    , last(0, 0)
  {}



  double
  SparseKernelRegression::noise() const
  {
    return std::exp(log_noise);
  }



  torch::Tensor
  SparseKernelRegression::hyperparameters() const
  {
    return torch::cat(
      {kernel.hyperparameters(), torch::full({1}, log_noise, torch::kFloat64)});
  }



  void
  SparseKernelRegression::set_hyperparameters(const torch::Tensor &values)
  {
    kernel.set_hyperparameters(values.slice(0, 0, -1));
    log_noise = values[-1].item<double>();
    if (z.defined())
      set_inducing(z);
  }



  torch::Tensor
  SparseKernelRegression::inducing_factor() const
  {
    // Without noise it always needs something on its diagonal.
    const auto matrix = kernel.matrix(z, z);
    return covariance_factor(matrix,
                             matrix.diagonal().mean().item<double>(),
                             1e-12);
  }



  void
  SparseKernelRegression::set_inducing(const torch::Tensor &inputs)
  {
    z       = inputs.clone();
    lower   = inducing_factor();
    last    = LinearRegression(0, 0);
    weights = torch::Tensor();
  }



  void
  SparseKernelRegression::choose_inducing(const torch::Tensor &x,
                                          const long           maximum)
  {
    const long n        = x.size(0);
    const auto diagonal = kernel.diagonal(x);
    // The bound moves by the sum of what is untold over λ; and below the
    // precision of the diagonal there is nothing to choose by.
    const double enough    = 1e-6 * noise(),
                 precision = 1e-13 * double(n) * diagonal.mean().item<double>();
    auto              untold_part = diagonal.clone();
    auto              rows        = torch::zeros({std::min(maximum, n), n},
                             torch::kFloat64); // of Lᵀ, by inducing inputs
    std::vector<long> chosen;
    while (long(chosen.size()) < rows.size(0) &&
           (chosen.empty() ||
            untold_part.sum().item<double>() > std::max(enough, precision)))
      {
        const long i     = untold_part.argmax().item<long>();
        const long m     = chosen.size();
        auto       row   = kernel.matrix(x.slice(0, i, i + 1), x).squeeze(0);
        const auto above = rows.slice(0, 0, m);
        row -= torch::mv(above.t(), above.select(1, i));
        row /= untold_part[i].sqrt();
        rows[m].copy_(row);
        untold_part    = (untold_part - row.square()).clamp_min(0.);
        untold_part[i] = 0.;
        chosen.push_back(i);
      }
    set_inducing(x.index_select(
      0,
      torch::tensor(std::vector<std::int64_t>(chosen.begin(), chosen.end()),
                    torch::kInt64)));
  }



  torch::Tensor
  SparseKernelRegression::features(const torch::Tensor &x) const
  {
    return solve_lower(lower, kernel.matrix(z, x)).t();
  }



  torch::Tensor
  SparseKernelRegression::untold(const torch::Tensor &x,
                                 const torch::Tensor &phi) const
  {
    // By rounding it may be negative; what is no number stays none.
    return (kernel.diagonal(x) - phi.square().sum(1)).clamp_min(0.);
  }



  std::pair<double, torch::Tensor>
  SparseKernelRegression::cost(const torch::Tensor &x,
                               const torch::Tensor &y) const
  {
    const long   n = x.size(0), n_outputs = y.size(1), m = z.size(0);
    const double lambda   = noise();
    const auto   k_zx     = kernel.matrix(z, x);
    const auto   phi_t    = solve_lower(lower, k_zx); // Φᵀ
    const auto   one      = torch::eye(m, torch::kFloat64);
    const auto   gram     = torch::mm(phi_t, phi_t.t());
    const auto   factor   = compat::cholesky(gram + lambda * one);
    const auto   inverse  = torch::cholesky_inverse(factor); // A⁻¹
    const auto   w        = torch::cholesky_solve(torch::mm(phi_t, y), factor);
    const auto   residual = y - torch::mm(phi_t.t(), w);
    const auto   alpha    = residual / lambda; // C⁻¹ y
    // y C⁻¹ y as a sum of squares, which does not cancel. Outputs that are
    // all zero cost nothing.
    const auto q =
      (residual.square().sum(0) / lambda + w.square().sum(0)).clamp_min(1e-300);
    const double untold_sum = (kernel.diagonal(x).sum() - phi_t.square().sum())
                                .clamp_min(0.)
                                .item<double>();

    const double value =
      n * q.log().sum().item<double>() +
      n_outputs * (2. * factor.diagonal().log().sum().item<double>() +
                   (n - m) * log_noise + untold_sum / lambda);

    // With W = r C⁻¹ − n Σ_j α_j α_jᵀ/q_j, S = W − r/λ I and P = K_zz⁻¹ K_zx,
    //   d cost = 2 Σ P S ∘ dK_zx − Σ P S Pᵀ ∘ dK_zz + r/λ Σ_i dk(x_i, x_i)
    // at fixed λ. Since P = L⁻ᵀ Φᵀ, C⁻¹ = (I − Φ A⁻¹ Φᵀ)/λ and Φᵀ α = w,
    //   P S = L⁻ᵀ (−r/λ (I − λ A⁻¹) Φᵀ − Σ_j n/q_j w_j α_jᵀ).
    const auto from_left = [&](const torch::Tensor &matrix) {
      return solve_lower_transposed(lower, matrix);
    };
    const auto of_rows =
      from_left((n_outputs / lambda) * (one - lambda * inverse));
    const auto of_outputs = from_left(w * (double(n) / q).unsqueeze(0));
    const auto by_k_zx =
      -torch::mm(of_rows, phi_t) - torch::mm(of_outputs, alpha.t());
    const auto half = -torch::mm(of_rows, gram) - torch::mm(of_outputs, w.t());
    const auto by_k_zz = from_left(half.t());
    const auto by_kernel =
      2. * kernel.gradient(by_k_zx, z, x) - kernel.gradient(by_k_zz, z, z) +
      kernel.gradient_of_diagonal(
        torch::full({n}, n_outputs / lambda, torch::kFloat64), x);
    const double by_noise =
      n_outputs * (lambda * inverse.diagonal().sum().item<double>() + n - m -
                   untold_sum / lambda) -
      n * lambda * (alpha.square().sum(0) / q).sum().item<double>();
    return {value,
            torch::cat(
              {by_kernel, torch::full({1}, by_noise, torch::kFloat64)})};
  }



  void
  SparseKernelRegression::maximize_evidence(const torch::Tensor &x,
                                            const torch::Tensor &y,
                                            const long           maximum,
                                            const long           max_iterations)
  {
    const double scale = 1. / double(y.numel());
    for (unsigned int search = 0; search < 2; ++search)
      {
        choose_inducing(x, maximum);
        set_hyperparameters(bounded_search(
          hyperparameters(),
          7.,
          [&](const torch::Tensor &values) {
            set_hyperparameters(values);
            const auto [value, gradient] = cost(x, y);
            return std::make_pair(scale * value, scale * gradient);
          },
          max_iterations));
      }
    choose_inducing(x, maximum);
  }



  void
  SparseKernelRegression::add(const torch::Tensor &x, const torch::Tensor &y)
  {
    if (last.n_rows == 0)
      last = LinearRegression(z.size(0), y.size(1));
    for (long begin = 0; begin < x.size(0); begin += block_size)
      last.add(features(x.slice(0, begin, begin + block_size)),
               y.slice(0, begin, begin + block_size));
    update_posterior();
  }



  void
  SparseKernelRegression::update_posterior()
  {
    last.set_regularization(noise());
    weights = solve_lower_transposed(lower, last.solve(last.moments));
  }



  torch::Tensor
  SparseKernelRegression::predict(const torch::Tensor &x) const
  {
    return torch::mm(kernel.matrix(x, z), weights);
  }



  torch::Tensor
  SparseKernelRegression::leverage(const torch::Tensor &x) const
  {
    const auto phi = features(x);
    return untold(x, phi) / noise() + last.leverage(phi);
  }



  SparseKernelRegression::LeftOut
  SparseKernelRegression::leave_out(const torch::Tensor &x,
                                    const torch::Tensor &y) const
  {
    // Rows may come with another rounding than they were learned with.
    const auto distance = torch::cdist(z, x, 2., /*not by matrices*/ 2);
    const auto inducing =
      (distance <= 1e-10 * (1. + x.square().sum(1)).sqrt()).any(1);
    const auto columns = torch::eye(z.size(0), torch::kFloat64)
                           .index_select(1, inducing.nonzero().squeeze(1));
    const auto t = std::get<0>(at::linalg_qr(solve_lower(lower, columns)));

    const auto phi      = features(x);
    const auto solved_t = last.solve(t);
    const auto solved   = last.solve(phi.t());
    const auto reduced  = // (A⁻¹ − …) φ
      solved - torch::mm(solved_t,
                         at::linalg_solve(torch::mm(t.t(), solved_t),
                                          torch::mm(t.t(), solved)));
    const auto hat = torch::mm(phi, reduced);
    const auto inverse =
      at::linalg_inv(torch::eye(hat.size(0), torch::kFloat64) - hat);
    const auto mean = torch::mm(reduced.t(), last.moments);
    return {y - torch::mm(inverse, y - mean),
            (untold(x, phi) + torch::mm(phi, t).square().sum(1)) / noise() +
              torch::mm(hat, inverse).diagonal()};
  }



  torch::Tensor
  SparseKernelRegression::noise_variance() const
  {
    return last.noise_variance();
  }



  SparseKernelRegression::State
  SparseKernelRegression::state() const
  {
    return {
      hyperparameters(), z, last.gram, last.moments, last.squares, last.n_rows};
  }



  void
  SparseKernelRegression::set_state(const State &state)
  {
    set_hyperparameters(state.hyperparameters);
    set_inducing(state.inducing);
    last.gram    = state.gram;
    last.moments = state.moments;
    last.squares = state.squares;
    last.n_rows  = state.n_rows;
    update_posterior();
  }
} // namespace neuraldeal
