// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/operators/runge_kutta.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace neuraldeal
{
  namespace
  {
    // Dormand and Prince 1980, table 2.
    constexpr int n_stages = 7;

    constexpr std::array<double, n_stages> nodes = {
      {0., 1. / 5., 3. / 10., 4. / 5., 8. / 9., 1., 1.}};

    /** Row i: how stage i + 2 begins; the last one is the solution itself. */
    constexpr std::array<std::array<double, n_stages - 1>, n_stages - 1>
      weights = {{{{1. / 5., 0., 0., 0., 0., 0.}},
                  {{3. / 40., 9. / 40., 0., 0., 0., 0.}},
                  {{44. / 45., -56. / 15., 32. / 9., 0., 0., 0.}},
                  {{19372. / 6561.,
                    -25360. / 2187.,
                    64448. / 6561.,
                    -212. / 729.,
                    0.,
                    0.}},
                  {{9017. / 3168.,
                    -355. / 33.,
                    46732. / 5247.,
                    49. / 176.,
                    -5103. / 18656.,
                    0.}},
                  {{35. / 384.,
                    0.,
                    500. / 1113.,
                    125. / 192.,
                    -2187. / 6784.,
                    11. / 84.}}}};

    /** Weights of order five minus those of order four. */
    constexpr std::array<double, n_stages> error_weights = {{71. / 57600.,
                                                             0.,
                                                             -71. / 16695.,
                                                             71. / 1920.,
                                                             -17253. / 339200.,
                                                             22. / 525.,
                                                             -1. / 40.}};



    torch::Tensor
    largest_row(const torch::Tensor &errors)
    {
      if (errors.dim() < 2)
        return errors.square().mean().sqrt();
      return errors.flatten(1).square().mean(1).max().sqrt();
    }
  } // namespace



  DormandPrince::DormandPrince(const Parameters  &parameters,
                               const std::string &source,
                               const Norm        &norm)
    : parameters(parameters)
    , source(source)
    , norm(norm ? norm : largest_row)
  {}



  DormandPrince::Step
  DormandPrince::step(const RightHandSide &f,
                      const torch::Tensor &z,
                      const double         t,
                      const double         h,
                      const torch::Tensor &slope)
  {
    std::array<torch::Tensor, n_stages> slopes;
    slopes[0] = slope;
    Step result;
    for (int i = 1; i < n_stages; ++i)
      {
        auto stage = torch::add(z, slopes[0], h * weights[i - 1][0]);
        for (int j = 1; j < i; ++j)
          if (weights[i - 1][j] != 0.)
            stage.add_(slopes[j], h * weights[i - 1][j]);
        slopes[i]  = f(stage, t + nodes[i] * h);
        result.end = stage;
      }
    result.slope = slopes.back();

    const torch::NoGradGuard no_gradients;
    result.error = slopes[0] * (h * error_weights[0]);
    for (int i = 1; i < n_stages; ++i)
      if (error_weights[i] != 0.)
        result.error.add_(slopes[i], h * error_weights[i]);
    return result;
  }



  double
  DormandPrince::size_of(const torch::Tensor &errors,
                         const torch::Tensor &z,
                         const torch::Tensor &other,
                         const torch::Tensor &ignored) const
  {
    auto scale = z.abs();
    if (other.defined())
      scale = torch::maximum(scale, other.abs());
    scale.mul_(parameters.relative_tolerance)
      .add_(parameters.absolute_tolerance);
    auto scaled = errors / scale;
    if (ignored.defined())
      scaled.masked_fill_(ignored, 0.);
    return norm(scaled).item<double>();
  }



  double
  DormandPrince::first_step(const RightHandSide &f,
                            const torch::Tensor &z,
                            const double         t,
                            const double         direction,
                            const torch::Tensor &slope,
                            const torch::Tensor &ignored) const
  {
    const double d_0   = size_of(z, z, {}, ignored);
    const double d_1   = size_of(slope, z, {}, ignored);
    const double small = 1e-5;
    const double h_0 = d_0 < small || !(d_1 >= small) ? 1e-6 : 0.01 * d_0 / d_1;
    const auto   there = f(z + direction * h_0 * slope, t + direction * h_0);
    const double d_2   = size_of(there - slope, z, {}, ignored) / h_0;
    const double d     = std::max(d_1, d_2);
    const double h_1 =
      d > 1e-15 ? std::pow(0.01 / d, 0.2) : std::max(1e-6, 1e-3 * h_0);
    return std::isfinite(h_1) ? std::min(100. * h_0, h_1) : h_0;
  }



  std::vector<torch::Tensor>
  DormandPrince::integrate(const RightHandSide       &f,
                           const torch::Tensor       &start,
                           const double               begin,
                           const std::vector<double> &times,
                           Course                    &course) const
  {
    std::vector<torch::Tensor> result;
    if (times.empty())
      return result;
    const double direction = times.back() < begin ? -1. : 1.;

    // Looked at once, as every look is a wait on a device.
    auto ignored = start.detach().isfinite().logical_not();
    if (!ignored.any().item<bool>())
      ignored = torch::Tensor();

    auto   z     = start;
    double t     = begin;
    auto   slope = f(z, t);
    ++course.n_evaluations;
    if (!(course.step > 0.))
      {
        const torch::NoGradGuard no_gradients;
        course.step = first_step(f, z, t, direction, slope, ignored);
        ++course.n_evaluations;
      }

    // Hairer, Nørsett and Wanner take β = 0.04 for this method.
    const double beta = 0.04, alpha = 0.2 - 0.75 * beta, safety = 0.9;
    double       previous_size = 1e-4;
    bool         was_rejected  = false;
    for (const double time : times)
      {
        while (direction * (time - t) > 0.)
          {
            const double remaining = std::abs(time - t);
            // Two halves rather than a whole step and a sliver.
            const bool   is_last = remaining <= 1.01 * course.step;
            const double h =
              is_last ? remaining : std::min(course.step, 0.5 * remaining);
            const auto reached = [&]() {
              return fmt::format("it has come to the time {:.4g} on its way "
                                 "from {:.4g} to {:.4g}, with steps of {:.2g}",
                                 t,
                                 begin,
                                 times.back(),
                                 h);
            };
            if (course.n_accepted + course.n_rejected >= parameters.max_steps)
              throw InputError(source,
                               "maximal steps",
                               std::to_string(parameters.max_steps),
                               "more of them for these tolerances: " +
                                 reached());
            if (h < 1e-14 * std::max(std::abs(t), std::abs(time)))
              throw InputError(source,
                               "relative tolerance",
                               fmt::format("{:g}",
                                           parameters.relative_tolerance),
                               "for solutions without jumps and poles: " +
                                 reached());

            const auto next = step(f, z, t, direction * h, slope);
            double     size = 0.;
            {
              const torch::NoGradGuard no_gradients;
              size =
                size_of(next.error, z.detach(), next.end.detach(), ignored);
            }
            course.n_evaluations += n_stages - 1;

            // Written so that a size which is not a number is not accepted.
            if (size <= 1.)
              {
                ++course.n_accepted;
                size          = std::max(size, 1e-10);
                double factor = safety * std::pow(size, -alpha) *
                                std::pow(previous_size, beta);
                factor = std::clamp(factor, 0.2, was_rejected ? 1. : 10.);
                // What has been cut short says nothing against its size.
                course.step   = h < course.step ?
                                  std::max(course.step, h * factor) :
                                  h * factor;
                previous_size = std::max(size, 1e-4);
                was_rejected  = false;
                t             = is_last ? time : t + direction * h;
                z             = next.end;
                slope         = next.slope;
              }
            else
              {
                ++course.n_rejected;
                const double factor =
                  std::isfinite(size) ? safety * std::pow(size, -0.2) : 0.1;
                course.step  = h * std::clamp(factor, 0.1, safety);
                was_rejected = true;
              }
          }
        result.push_back(z);
      }
    return result;
  }
} // namespace neuraldeal
