// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/operators/slice_attention.h>

#include <cmath>
#include <vector>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** softmax(q kᵀ/√m) v for one head, number by number. */
  torch::Tensor
  attention_by_loops(const torch::Tensor &query,
                     const torch::Tensor &key,
                     const torch::Tensor &value)
  {
    const long n = query.size(0), n_keys = key.size(0), m = query.size(1);
    const auto q = query.accessor<double, 2>(), k = key.accessor<double, 2>();
    auto       result = torch::zeros({n, value.size(1)}, torch::kFloat64);
    for (long i = 0; i < n; ++i)
      {
        std::vector<double> weights(n_keys);
        double              sum = 0;
        for (long j = 0; j < n_keys; ++j)
          {
            double product = 0;
            for (long f = 0; f < m; ++f)
              product += q[i][f] * k[j][f];
            weights[j] = std::exp(product / std::sqrt(double(m)));
            sum += weights[j];
          }
        for (long j = 0; j < n_keys; ++j)
          result[i] += weights[j] / sum * value[j];
      }
    return result;
  }



  // What LibTorch has, and what takes its place where it has nothing.
  TEST(ScaledDotProductAttention, FusedAndComposedAreThatOfLoops)
  {
    const auto q = random_normal({2, 3, 4, 8}, 20);
    const auto k = random_normal({2, 3, 6, 8}, 21);
    const auto v = random_normal({2, 3, 6, 8}, 22);

    const auto fused    = compat::scaled_dot_product_attention(q, k, v);
    const auto composed = compat::composed_attention(q, k, v);
    for (long n = 0; n < 2; ++n)
      for (long h = 0; h < 3; ++h)
        {
          const auto expected = attention_by_loops(q[n][h], k[n][h], v[n][h]);
          EXPECT_LT(distance(fused[n][h], expected), 1e-13);
          EXPECT_LT(distance(composed[n][h], expected), 1e-13);
        }
  }



  // The formulas in the documentation of the class, number by number.
  torch::Tensor
  slice_attention_by_loops(SliceAttention      &attention,
                           const torch::Tensor &features,
                           const torch::Tensor &y,
                           const torch::Tensor &mask,
                           const long           heads)
  {
    const auto weights  = attention.named_parameters();
    const auto A        = weights["slices"];
    const auto a        = weights["slices_bias"].squeeze(1);
    const auto c        = weights.contains("temperature") ?
                            weights["temperature"] :
                            torch::zeros({1, A.size(1)}, torch::kFloat64);
    const auto b        = weights["temperature_offset"];
    const auto qkv      = weights["query_key_value.weight"];
    const long n_points = features.size(1), width = features.size(2);
    const long m = width / heads, n_slices = A.size(0);

    auto result = torch::zeros_like(features);
    for (long n = 0; n < features.size(0); ++n)
      {
        auto z = torch::zeros({n_points, width}, torch::kFloat64);
        for (long h = 0; h < heads; ++h)
          {
            const auto y_h = y[n].slice(1, h * m, (h + 1) * m);
            auto       w = torch::zeros({n_points, n_slices}, torch::kFloat64);
            auto       s = torch::zeros({n_slices, m}, torch::kFloat64);
            auto       total = torch::zeros({n_slices}, torch::kFloat64);
            for (long i = 0; i < n_points; ++i)
              {
                const double tau =
                  0.01 +
                  std::log1p(std::exp(b[h].item<double>() +
                                      torch::dot(c[0], y_h[i]).item<double>()));
                double sum = 0;
                for (long j = 0; j < n_slices; ++j)
                  {
                    w[i][j] = std::exp(
                      (torch::dot(A[j], y_h[i]) + a[j]).item<double>() / tau);
                    sum += w[i][j].item<double>();
                  }
                for (long j = 0; j < n_slices; ++j)
                  {
                    w[i][j] /= sum;
                    if (!mask.defined() || mask[n][i].item<bool>())
                      {
                        s[j] += w[i][j] * y_h[i];
                        total[j] += w[i][j];
                      }
                  }
              }
            for (long j = 0; j < n_slices; ++j)
              s[j] /= total[j];
            const auto t =
              attention_by_loops(torch::mm(s, qkv.slice(0, 0, m).t()),
                                 torch::mm(s, qkv.slice(0, m, 2 * m).t()),
                                 torch::mm(s, qkv.slice(0, 2 * m).t()));
            for (long i = 0; i < n_points; ++i)
              for (long j = 0; j < n_slices; ++j)
                z[i].slice(0, h * m, (h + 1) * m) += w[i][j] * t[j];
          }
        result[n] = torch::mm(z, weights["output.weight"].t());
      }
    return result;
  }



  SliceAttention::Parameters
  small()
  {
    SliceAttention::Parameters parameters;
    parameters.width  = 6;
    parameters.heads  = 2;
    parameters.slices = 4;
    return parameters;
  }



  TEST(SliceAttention, IsThatOfLoops)
  {
    torch::NoGradGuard no_gradients;
    for (const bool point_temperature : {false, true})
      {
        auto parameters              = small();
        parameters.point_temperature = point_temperature;
        SliceAttention attention(parameters);
        randomize_weights(attention, 0.6, 1);
        const auto weights = attention.named_parameters();
        EXPECT_EQ(weights.contains("temperature"), point_temperature);
        const auto x = random_normal({2, 7, 6}, 23);
        const auto y = torch::matmul(x, weights["projection.weight"].t());

        EXPECT_LT(distance(attention.forward(x),
                           slice_attention_by_loops(attention, x, y, {}, 2)),
                  1e-12);

        auto mask  = torch::ones({2, 7}, torch::kBool);
        mask[0][2] = mask[0][6] = mask[1][0] = false;
        const auto masked                    = attention.forward(x, mask);
        EXPECT_LT(distance(masked,
                           slice_attention_by_loops(attention, x, y, mask, 2)),
                  1e-12);
        EXPECT_GT(distance(masked, attention.forward(x)), 1e-3);
      }
  }



  // Neighbours on the grid are those of the convolution, in every dimension.
  TEST(SliceAttention, ConvolutionIsThatOfLoops)
  {
    torch::NoGradGuard                           no_gradients;
    const std::vector<std::vector<std::int64_t>> grids = {{5},
                                                          {4, 3},
                                                          {2, 3, 4}};
    for (const auto &grid : grids)
      {
        auto parameters            = small();
        parameters.convolution_dim = grid.size();
        SliceAttention attention(parameters);
        randomize_weights(attention, 0.3, 2);
        const auto weights = attention.named_parameters();

        // Everything on a 3d grid; missing directions have one point.
        std::vector<std::int64_t> s(3 - grid.size(), 1);
        s.insert(s.end(), grid.begin(), grid.end());
        const long n_points = s[0] * s[1] * s[2];
        const auto kernel   = weights["convolution.weight"];
        const auto x        = random_normal({2, n_points, 6}, 24);
        auto       mask     = torch::ones({2, n_points}, torch::kBool);
        mask[1][1]          = false;

        auto y = torch::zeros({2, n_points, 6}, torch::kFloat64);
        for (long n = 0; n < 2; ++n)
          for (long i = 0; i < n_points; ++i)
            {
              for (long j = 0; j < n_points; ++j)
                {
                  const long d[] = {j / (s[1] * s[2]) - i / (s[1] * s[2]),
                                    j / s[2] % s[1] - i / s[2] % s[1],
                                    j % s[2] - i % s[2]};
                  if (std::abs(d[0]) > 1 || std::abs(d[1]) > 1 ||
                      std::abs(d[2]) > 1 || !mask[n][j].item<bool>())
                    continue;
                  auto entry = kernel;
                  for (std::size_t k = 3 - grid.size(); k < 3; ++k)
                    entry = entry.select(2, d[k] + 1);
                  y[n][i] += torch::mv(entry, x[n][j]);
                }
            }
        EXPECT_LT(distance(attention.forward(x, mask, grid),
                           slice_attention_by_loops(attention, x, y, mask, 2)),
                  1e-12)
          << grid.size() << "d";
      }
  }



  TEST(SliceAttention, GradientsAreDifferenceQuotients)
  {
    const auto x    = random_normal({2, 6, 6}, 25);
    const auto g    = random_normal({2, 6, 6}, 26);
    auto       mask = torch::ones({2, 6}, torch::kBool);
    mask[1][4]      = false;
    const std::vector<std::vector<std::int64_t>> grids = {{}, {3, 2}};
    for (const auto &grid : grids)
      {
        auto parameters              = small();
        parameters.convolution_dim   = grid.size();
        parameters.point_temperature = grid.empty();
        SliceAttention attention(parameters);
        randomize_weights(attention, 0.5, 3);
        check_gradients(attention, [&]() {
          return (attention.forward(x, mask, grid) * g).sum();
        });
      }
  }



  // A slice that no point belongs to, and a cloud without points.
  TEST(SliceAttention, NothingIsDividedByNothing)
  {
    SliceAttention attention(small());
    attention.to(torch::kFloat64);
    {
      torch::NoGradGuard no_gradients;
      attention.named_parameters()["slices_bias"][1] = -1e6;
    }
    auto mask  = torch::ones({2, 5}, torch::kBool);
    mask[1]    = false;
    auto x     = random_normal({2, 5, 6}, 27).requires_grad_(true);
    auto value = attention.forward(x, mask);
    EXPECT_TRUE(value.isfinite().all().item<bool>());
    value.square().sum().backward();
    EXPECT_TRUE(x.grad().isfinite().all().item<bool>());
    for (const auto &parameter : attention.parameters())
      EXPECT_TRUE(parameter.grad().isfinite().all().item<bool>());
  }



  TEST(SliceAttention, ChanceIsForTraining)
  {
    const auto x = random_normal({1, 9, 6}, 28);
    for (const bool noise : {true, false})
      {
        auto parameters    = small();
        parameters.noise   = noise;
        parameters.dropout = noise ? 0. : 0.5;
        SliceAttention attention(parameters);
        randomize_weights(attention, 0.5, 4);
        EXPECT_GT(distance(attention.forward(x), attention.forward(x)), 1e-3);
        attention.eval();
        EXPECT_TRUE(torch::equal(attention.forward(x), attention.forward(x)));

        SliceAttention without(small());
        randomize_weights(without, 0.5, 4);
        EXPECT_TRUE(torch::equal(attention.forward(x), without.forward(x)));
      }
  }



  TEST(SliceAttention, StartsWithTheTemperatureOfThePaper)
  {
    torch::NoGradGuard no_gradients;
    auto               parameters = small();
    parameters.point_temperature  = true;
    SliceAttention attention(parameters);
    attention.to(torch::kFloat64);
    const auto weights = attention.named_parameters();
    const auto tau =
      0.01 + torch::log1p(torch::exp(weights["temperature_offset"]));
    EXPECT_LT(distance(tau, torch::full_like(tau, 0.5)), 1e-6);
    EXPECT_EQ(weights["temperature"].abs().max().item<double>(), 0.);
    // four slices of three features each: orthonormal columns
    const auto A = weights["slices"];
    EXPECT_LT(distance(torch::mm(A.t(), A), torch::eye(3, torch::kFloat64)),
              1e-6);
  }



  TEST(SliceAttention, WidthIsAMultipleOfHeads)
  {
    auto parameters  = small();
    parameters.heads = 4;
    expect_sentence(message_of<InputError>(
                      [&]() { SliceAttention attention(parameters); }),
                    {"width", "'6'", "multiple of heads", "4"});
  }
} // namespace
