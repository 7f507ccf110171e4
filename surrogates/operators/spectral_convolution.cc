// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/operators/layer_observer.h>
#include <neuraldeal/surrogates/operators/spectral_convolution.h>
#include <torch/fft.h>
#include <torch/nn/init.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace neuraldeal
{
  namespace
  {
    // In all that follows z is a tensor [M, R, s, 2] or [M, R, s]: M modes of
    // the directions that have been transformed, R rows (fields, channels and
    // the points of other directions), and the points of the direction at
    // hand, with real and imaginary part.

    /** One direction of a grid: s points at 0, …, s−1 of a circle. */
    struct Direction
    {
      long   s;
      double period; ///< length of the circle

      bool
      operator<(const Direction &other) const
      {
        return std::tie(s, period) < std::tie(other.s, other.period);
      }
    };



    /**
     * The angles 2π k x/period of the @p n_modes frequencies from @p first on
     * at the points: [n_modes, s]. Multiples of 2π are removed before, so that
     * lower precisions see no large numbers.
     */
    torch::Tensor
    angles(const long first, const long n_modes, const Direction &direction)
    {
      const auto k = torch::arange(first, first + n_modes, torch::kFloat64);
      const auto x = torch::arange(direction.s, torch::kFloat64);
      return (k.unsqueeze(1) * x.unsqueeze(0)).remainder(direction.period) *
             (2. * M_PI / direction.period);
    }



    /**
     * The part of the circle for which each point stands in an integral, [s]:
     * those of the trapezoidal rule, since between the last point and the
     * first one the circle may have another length than elsewhere.
     */
    torch::Tensor
    integration_weights(const Direction &direction)
    {
      const auto   s      = direction.s;
      const double gap    = direction.period - double(s - 1);
      auto         result = torch::ones({s}, torch::kFloat64);
      result[0] += (gap - 1.) / 2.;
      result[s - 1] += (gap - 1.) / 2.;
      return result / direction.period;
    }



    /**
     * The real matrix by which a row of s complex values (real and imaginary
     * part in turn) becomes its coefficients of the frequencies −m, …, m−1:
     * [2 s, 4 m].
     */
    torch::Tensor
    complex_analysis(const Direction &direction, const long m)
    {
      const auto a = angles(-m, 2 * m, direction).t(); // [s, 2m]
      const auto w = integration_weights(direction).unsqueeze(1);
      const auto c = a.cos() * w, d = a.sin() * w;
      // (x + iy) e^{-ia}
      return torch::stack({torch::stack({c, -d}, 2), torch::stack({d, c}, 2)},
                          1)
        .reshape({2 * direction.s, 4 * m});
    }



    /** Its inverse on these frequencies: [4 m, 2 s]. */
    torch::Tensor
    complex_synthesis(const Direction &direction, const long m)
    {
      const auto a = angles(-m, 2 * m, direction); // [2m, s]
      const auto c = a.cos(), d = a.sin();
      return torch::stack({torch::stack({c, d}, 2), torch::stack({-d, c}, 2)},
                          1)
        .reshape({4 * m, 2 * direction.s});
    }



    /** From s real values to the frequencies 0, …, m−1: [s, 2 m]. */
    torch::Tensor
    real_analysis(const Direction &direction, const long m)
    {
      const auto a = angles(0, m, direction).t() /* [s, m] */;
      return (torch::stack({a.cos(), -a.sin()}, 2) *
              integration_weights(direction).reshape({-1, 1, 1}))
        .reshape({direction.s, 2 * m});
    }



    /**
     * Back to real values, [2 m, s]: every frequency but 0 stands for its
     * negative as well.
     */
    torch::Tensor
    real_synthesis(const Direction &direction, const long m)
    {
      const auto a      = angles(0, m, direction);
      auto       factor = torch::full({m, 1, 1}, 2., torch::kFloat64);
      factor[0]         = 1.;
      return (torch::stack({a.cos(), -a.sin()}, 1) * factor)
        .reshape({2 * m, direction.s});
    }



    using MatrixFunction = torch::Tensor (*)(const Direction &, const long);

    /**
     * The matrix of @p function in the type and on the device of @p like.
     * Every one is computed once in a thread: there are as many as sizes of
     * grids.
     */
    const torch::Tensor &
    cached(const MatrixFunction function,
           const Direction     &direction,
           const long           m,
           const torch::Tensor &like)
    {
      static thread_local std::map<std::tuple<MatrixFunction,
                                              Direction,
                                              long,
                                              torch::ScalarType,
                                              std::string>,
                                   torch::Tensor>
        matrices;

      auto &matrix = matrices[{
        function, direction, m, like.scalar_type(), like.device().str()}];
      if (!matrix.defined())
        matrix = function(direction, m).to(like.options().requires_grad(false));
      return matrix;
    }



    /**
     * Where the kept coefficients stand among those of a fast transform, in
     * the order of the weights: [K_d·K_{d−1}·…·K_1]. Computed once in a
     * thread.
     */
    const torch::Tensor &
    cached_positions(const std::vector<std::int64_t> &sizes,
                     const std::vector<long>         &kept,
                     const torch::Device             &device)
    {
      static thread_local std::map<
        std::tuple<std::vector<std::int64_t>, std::vector<long>, std::string>,
        torch::Tensor>
        all;

      auto &positions = all[{sizes, kept, device.str()}];
      if (!positions.defined())
        {
          const long d      = sizes.size();
          long       stride = sizes[d - 1] / 2 + 1;
          positions         = torch::arange(kept[d - 1], torch::kInt64);
          for (long j = d - 2; j >= 0; --j)
            {
              const auto k = torch::arange(-kept[j], kept[j], torch::kInt64)
                               .remainder(sizes[j]);
              positions = (positions.unsqueeze(1) + stride * k).flatten();
              stride *= sizes[j];
            }
          positions = positions.to(device);
        }
      return positions;
    }



    /** [M, R, K, 2] → [M·K, R, 2] */
    torch::Tensor
    modes_to_the_front(const torch::Tensor &z)
    {
      return z.transpose(1, 2).reshape({-1, z.size(1), 2});
    }



    /** Who observes a convolution; groups of them are nobody's layer. */
    LayerObserver *
    observer_of(const long groups)
    {
      return groups == 1 ? LayerObserver::current() : nullptr;
    }
  } // namespace



  SpectralConvolution::SpectralConvolution(const long in_channels,
                                           const long out_channels,
                                           const std::vector<long> &modes,
                                           const Transform          transform,
                                           const long               groups)
    : transform(transform)
    , in_channels(in_channels)
    , out_channels(out_channels)
    , groups(groups)
    , modes(modes)
  {
    std::vector<std::int64_t> shape(modes.rbegin(), modes.rend());
    for (std::size_t j = 1; j < shape.size(); ++j)
      shape[j] *= 2;
    if (groups > 1)
      shape.push_back(groups);
    for (const long n : {in_channels, out_channels, 2L})
      shape.push_back(n);
    // Keeps the variance of white noise in the kept modes.
    weights = register_parameter("weights",
                                 torch::randn(shape) /
                                   std::sqrt(2. * double(in_channels)));
  }



  std::vector<long>
  SpectralConvolution::resolved_modes(const std::vector<long> &sizes) const
  {
    // The highest frequency of a grid with an even number of points has no
    // phase; it is left out.
    std::vector<long> result(modes.size());
    for (std::size_t j = 0; j + 1 < modes.size(); ++j)
      result[j] = std::min(modes[j], sizes[j] / 2);
    result.back() = std::min(modes.back(), (sizes.back() + 1) / 2);
    return result;
  }



  torch::Tensor
  SpectralConvolution::numbers_of(const std::vector<long> &kept) const
  {
    const long d      = modes.size();
    auto       result = torch::zeros({1}, torch::kInt64);
    // The order of the weights: the last direction is the slowest.
    for (long j = d - 1; j >= 0; --j)
      {
        const bool is_last = j == d - 1;
        const long n_modes = is_last ? modes[j] : 2 * modes[j];
        const long begin   = is_last ? 0 : modes[j] - kept[j];
        const long end     = is_last ? kept[j] : modes[j] + kept[j];
        result             = (result.unsqueeze(1) * n_modes +
                  torch::arange(begin, end, torch::kInt64))
                   .flatten();
      }
    return result;
  }



  torch::Tensor
  SpectralConvolution::multiply(const torch::Tensor     &coefficients,
                                const std::vector<long> &kept) const
  {
    auto       w = weights;
    const long d = modes.size();
    for (long j = 0; j < d; ++j)
      if (kept[j] != modes[j])
        w = (j == d - 1) ?
              w.slice(0, 0, kept[j]) :
              w.slice(d - 1 - j, modes[j] - kept[j], modes[j] + kept[j]);

    // (x + iy)(a + ib): one real product gives xa, xb, ya and yb, and the
    // weights stay as they are.
    const long n_modes = coefficients.size(0), n = coefficients.size(1),
               n_maps = n_modes * groups;
    const auto products =
      torch::bmm(coefficients.reshape({n_modes, n, groups, in_channels, 2})
                   .permute({0, 2, 4, 1, 3})
                   .reshape({n_maps, 2 * n, in_channels}),
                 w.reshape({n_maps, in_channels, 2 * out_channels}))
        .reshape({n_modes, groups, 2, n, out_channels, 2});
    const auto x = products.select(2, 0), y = products.select(2, 1);
    // [modes, groups, n, out, 2] → [modes, n, groups·out, 2]
    const auto result = torch::stack({x.select(-1, 0) - y.select(-1, 1),
                                      x.select(-1, 1) + y.select(-1, 0)},
                                     -1)
                          .transpose(1, 2)
                          .reshape({n_modes, n, groups * out_channels, 2});
    if (auto *const observer = observer_of(groups))
      observer->add({ObservedLayer::Kind::spectral,
                     weights,
                     {},
                     coefficients,
                     result,
                     numbers_of(kept)});
    return result;
  }



  torch::Tensor
  SpectralConvolution::analyse(const torch::Tensor       &fields,
                               const std::vector<long>   &kept,
                               const std::vector<double> &periods) const
  {
    const auto sizes = fields.sizes().slice(2);
    const long d     = sizes.size();

    // The last direction: [R, s] → [K, R, 2]
    auto z = torch::mm(fields.reshape({-1, sizes[d - 1]}),
                       cached(real_analysis,
                              {sizes[d - 1], periods[d - 1]},
                              kept[d - 1],
                              fields));
    z      = modes_to_the_front(z.reshape({1, z.size(0), kept[d - 1], 2}));
    for (long j = d - 2; j >= 0; --j)
      {
        // [M, R·s, 2] → [M·K, R, 2]
        const long n_modes = z.size(0);
        z                  = torch::mm(
          z.reshape({-1, 2 * sizes[j]}),
          cached(complex_analysis, {sizes[j], periods[j]}, kept[j], fields));
        z = modes_to_the_front(z.reshape({n_modes, -1, 2 * kept[j], 2}));
      }
    return z; // [M, n·in, 2]
  }



  torch::Tensor
  SpectralConvolution::synthesise(const torch::Tensor       &coefficients,
                                  const std::vector<long>   &sizes,
                                  const std::vector<double> &periods) const
  {
    const auto kept = resolved_modes(sizes);
    const long d    = sizes.size();
    auto       z    = coefficients; // [M, R, 2]
    for (long j = 0; j < d - 1; ++j)
      {
        // [M·K, R, 2] → [M, R, K, 2] → [M, R·s, 2]
        const long n_modes = z.size(0) / (2 * kept[j]), n_rows = z.size(1);
        z = z.reshape({n_modes, 2 * kept[j], n_rows, 2})
              .transpose(1, 2)
              .reshape({n_modes * n_rows, 4 * kept[j]});
        z = torch::mm(
              z, cached(complex_synthesis, {sizes[j], periods[j]}, kept[j], z))
              .reshape({n_modes, -1, 2});
      }
    z = z.transpose(0, 1).reshape({-1, 2 * kept[d - 1]});
    return torch::mm(
      z,
      cached(real_synthesis, {sizes[d - 1], periods[d - 1]}, kept[d - 1], z));
  }



  torch::Tensor
  SpectralConvolution::forward(const torch::Tensor &fields)
  {
    return forward(fields, {fields.sizes().begin() + 2, fields.sizes().end()});
  }



  torch::Tensor
  SpectralConvolution::forward(const torch::Tensor       &fields,
                               const std::vector<double> &periods)
  {
    const long              n = fields.size(0);
    const std::vector<long> sizes(fields.sizes().begin() + 2,
                                  fields.sizes().end());
    const auto              kept           = resolved_modes(sizes);
    const auto              observed_layer = [&]() -> ObservedLayer              *{
      auto *const observer = observer_of(groups);
      return observer ? observer->youngest_of(weights) : nullptr;
    };
    if (transform == Transform::fft)
      {
        TORCH_INTERNAL_ASSERT(
          std::equal(sizes.begin(), sizes.end(), periods.begin()));
        const auto result = forward_by_fft(fields, kept);
        if (auto *const observed = observed_layer())
          observed->field = result;
        return result;
      }

    const auto z = multiply(
      analyse(fields, kept, periods).reshape({-1, n, groups * in_channels, 2}),
      kept);
    const auto synthesis = [this, sizes, periods](const torch::Tensor &c) {
      std::vector<std::int64_t> shape(sizes.begin(), sizes.end());
      shape.insert(shape.begin(), {c.size(1), c.size(2)});
      return synthesise(c.reshape({c.size(0), -1, 2}), sizes, periods)
        .reshape(shape);
    };
    const auto result = synthesis(z);
    if (auto *const observed = observed_layer())
      {
        observed->field     = result;
        observed->synthesis = synthesis;
      }
    return result;
  }



  torch::Tensor
  SpectralConvolution::forward_by_fft(const torch::Tensor     &fields,
                                      const std::vector<long> &kept)
  {
    const long                n = fields.size(0), d = modes.size();
    const auto                sizes = fields.sizes().slice(2);
    std::vector<std::int64_t> directions(d);
    std::iota(directions.begin(), directions.end(), 2);

    const long half      = sizes[d - 1] / 2 + 1;
    const auto positions = cached_positions(sizes.vec(), kept, fields.device());

    const auto all =
      torch::view_as_real(
        torch::fft::rfftn(fields, c10::nullopt, directions, "forward"))
        .reshape({n, groups * in_channels, -1, 2});
    // [n, c, M, 2] → [M, n, c, 2]
    const auto z =
      multiply(all.index_select(2, positions).permute({2, 0, 1, 3}), kept)
        .permute({1, 2, 0, 3});

    auto shape   = fields.sizes().vec();
    shape[1]     = groups * out_channels;
    shape[d + 1] = half;
    shape.push_back(2);
    const auto coefficients =
      torch::zeros({n, groups * out_channels, all.size(2), 2}, fields.options())
        .index_copy(2, positions, z)
        .reshape(shape);
    auto result = torch::view_as_complex(coefficients);
    // Direction by direction, since what belongs to frequency 0 of the last
    // one need not be the transform of anything real.
    directions.pop_back();
    if (!directions.empty())
      result = torch::fft::ifftn(result, c10::nullopt, directions, "forward");
    return torch::fft::irfft(result, sizes[d - 1], -1, "forward");
  }
} // namespace neuraldeal
