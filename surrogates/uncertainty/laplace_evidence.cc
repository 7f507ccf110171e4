// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/uncertainty/laplace.h>

#include <cmath>

namespace neuraldeal
{
  namespace
  {
    // Logarithms of precisions and noise go this far from where they start:
    // where they would go on to infinity, nothing changes any more.
    constexpr double farthest = 30.;

    // Steps in logarithms, and derivatives in units of one weight or value,
    // below which the search ends.
    constexpr double longest_step        = 4.;
    constexpr double smallest_derivative = 1e-7;
    constexpr int    most_steps          = 200;
  } // namespace



  double
  LaplaceApproximation::log_evidence() const
  {
    check_fitted();
    return -0.5 * (n_counted * std::log(2. * M_PI * noise_scale) + log_ratios +
                   squared_errors / noise_scale -
                   (group_sizes * delta.log()).sum().item<double>() +
                   (group_squares * delta).sum().item<double>() +
                   matrix->log_determinant());
  }



  torch::Tensor
  LaplaceApproximation::log_evidence_gradient() const
  {
    check_fitted();
    // δ_g trace Σ_gg: the number of weights that the data say nothing of.
    const auto free =
      delta * torch::zeros_like(delta).index_add_(0,
                                                  group_of_weight,
                                                  matrix->variances());
    const auto by_noise =
      squared_errors / noise_scale - n_counted + (group_sizes - free).sum();
    return 0.5 * torch::cat({group_sizes - free - delta * group_squares,
                             by_noise.unsqueeze(0)});
  }



  void
  LaplaceApproximation::maximize_evidence()
  {
    check_fitted();

    // In logarithms the evidence at fixed weights is concave, log det Σ e^x A
    // being convex for positive semidefinite A: there is one maximum, and
    // steps of BFGS (Nocedal and Wright, Numerical Optimization, 2006, section
    // 6.1) that go uphill find it.
    choose_scales(
      (group_sizes / group_squares.clamp_min(1e-300)).clamp(1e-12, 1e12),
      std::max(squared_errors / n_counted, 1e-300));
    const auto start =
      torch::cat({delta, torch::full_like(delta.slice(0, 0, 1), noise_scale)})
        .log();
    const auto go_to = [this](const torch::Tensor &x) {
      const long n = x.size(0) - 1;
      choose_scales(x.slice(0, 0, n).exp(), std::exp(x[n].item<double>()));
    };
    auto x = start.clone(), gradient = log_evidence_gradient();
    auto inverse = torch::diag(
      1. / torch::cat(
             {group_sizes, torch::full_like(start.slice(0, 0, 1), n_counted)}));
    double value = log_evidence();
    for (int step = 0; step < most_steps; ++step)
      {
        // At an end of its range a variable stays where it is.
        const auto inside = (gradient > 0.) * (x < start + farthest) +
                            (gradient < 0.) * (x > start - farthest);
        const auto uphill = gradient * inside;
        if (uphill.abs().max().item<double>() < smallest_derivative)
          break;
        auto direction = torch::mv(inverse, uphill) * inside;
        direction *=
          std::min(1., longest_step / direction.abs().max().item<double>());
        const double slope = (direction * gradient).sum().item<double>();

        double        t = 1.;
        torch::Tensor next;
        double        next_value = value;
        for (; t > 1e-10; t *= 0.5)
          {
            next = torch::minimum(torch::maximum(x + t * direction,
                                                 start - farthest),
                                  start + farthest);
            go_to(next);
            next_value = log_evidence();
            if (next_value >= value + 1e-4 * t * slope)
              break;
          }
        if (!(next_value > value))
          break;
        const auto   next_gradient = log_evidence_gradient();
        const auto   s = next - x, y = gradient - next_gradient;
        const double sy = (s * y).sum().item<double>();
        if (sy > 1e-300)
          {
            const auto eye = torch::eye(s.size(0), s.options());
            const auto A   = eye - torch::outer(s, y) / sy;
            inverse =
              torch::mm(torch::mm(A, inverse), A.t()) + torch::outer(s, s) / sy;
          }
        x        = next;
        value    = next_value;
        gradient = next_gradient;
      }
    go_to(x);
    set_scales(delta, noise_scale);
  }
} // namespace neuraldeal
