// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/chain_diagnostics.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  using Chains = std::vector<std::vector<double>>;

  /** Stationary chains x_t = ρ x_{t−1} + √(1 − ρ²) ξ_t, [chains, n]. */
  torch::Tensor
  autoregressive(const long          n_chains,
                 const long          n,
                 const double        rho,
                 const std::uint64_t number)
  {
    auto    result = random_normal({n_chains, n}, number);
    double *x      = result.data_ptr<double>();
    for (long c = 0; c < n_chains; ++c)
      for (long i = 1; i < n; ++i)
        x[c * n + i] =
          rho * x[c * n + i - 1] + std::sqrt(1. - rho * rho) * x[c * n + i];
    return result;
  }



  // The definitions once more, by loops over numbers.

  Chains
  halves(const torch::Tensor &samples)
  {
    Chains     result;
    const long n = samples.size(1), half = n / 2;
    for (long c = 0; c < samples.size(0); ++c)
      for (const long begin : {0L, n - half})
        {
          result.emplace_back();
          for (long i = begin; i < begin + half; ++i)
            result.back().push_back(samples[c][i].item<double>());
        }
    return result;
  }

  double
  mean(const std::vector<double> &x)
  {
    double sum = 0;
    for (const double value : x)
      sum += value;
    return sum / x.size();
  }

  double
  covariance(const std::vector<double> &x, const std::size_t lag)
  {
    double sum = 0;
    for (std::size_t i = 0; i + lag < x.size(); ++i)
      sum += (x[i] - mean(x)) * (x[i + lag] - mean(x));
    return sum / x.size();
  }

  /** W and var⁺ of the paper, equations 1 to 3. */
  std::pair<double, double>
  variances(const Chains &chains)
  {
    const double        n      = chains[0].size();
    double              within = 0;
    std::vector<double> means;
    for (const auto &x : chains)
      {
        within += covariance(x, 0) * n / (n - 1.) / chains.size();
        means.push_back(mean(x));
      }
    const double between =
      covariance(means, 0) * means.size() / (means.size() - 1.);
    return {within, (n - 1.) / n * within + between};
  }

  double
  plain_r_hat(const Chains &chains)
  {
    const auto [within, total] = variances(chains);
    return std::sqrt(total / within);
  }

  /** Equations 10 to 14 there; Geyer's sequences pair by pair. */
  double
  plain_size(const Chains &chains)
  {
    const auto [within, total] = variances(chains);
    const std::size_t   n      = chains[0].size();
    std::vector<double> rho;
    for (std::size_t lag = 0; lag < n; ++lag)
      {
        double c = 0;
        for (const auto &x : chains)
          c += covariance(x, lag) / chains.size();
        rho.push_back(lag == 0 ? 1. : 1. - (within - c) / total);
      }
    std::vector<double> pairs;
    double              rest = 0;
    for (std::size_t lag = 0; lag + 1 < n; lag += 2)
      {
        if (rho[lag] + rho[lag + 1] <= 0.)
          {
            rest = std::max(rho[lag], 0.);
            break;
          }
        pairs.push_back(rho[lag] + rho[lag + 1]);
      }
    double time = rest - 1.;
    for (std::size_t i = 0; i < pairs.size(); ++i)
      time += 2. * *std::min_element(pairs.begin(), pairs.begin() + i + 1);
    const double all = double(n * chains.size());
    return time < 1. / std::log10(all) ? all * std::log10(all) : all / time;
  }

  double
  normal_quantile(const double p)
  {
    double left = -10, right = 10;
    while (right - left > 1e-14)
      {
        const double middle = 0.5 * (left + right);
        (0.5 * std::erfc(-middle / std::sqrt(2.)) < p ? left : right) = middle;
      }
    return 0.5 * (left + right);
  }

  Chains
  normalized(const Chains &chains)
  {
    double all = 0;
    for (const auto &x : chains)
      all += x.size();
    Chains result = chains;
    for (std::size_t c = 0; c < chains.size(); ++c)
      for (std::size_t i = 0; i < chains[c].size(); ++i)
        {
          double below = 0, equal = 0;
          for (const auto &y : chains)
            for (const double other : y)
              {
                below += other < chains[c][i];
                equal += other == chains[c][i];
              }
          result[c][i] = normal_quantile((below + 0.5 * (equal + 1.) - 0.375) /
                                         (all + 0.25));
        }
    return result;
  }

  Chains
  mapped(const Chains &chains, const std::function<double(double)> &function)
  {
    Chains result = chains;
    for (auto &x : result)
      for (double &value : x)
        value = function(value);
    return result;
  }



  TEST(ChainDiagnostics, AreWhatTheirDefinitionsSay)
  {
    for (const double rho : {-0.6, 0., 0.7})
      for (const long n : {22, 41})
        {
          // rounded, so that some are equal, and with chains that differ
          const auto x =
            ((autoregressive(3, n, rho, 10 + n) +
              torch::tensor({0., 0.1, 0.3}, torch::kFloat64).unsqueeze(1)) *
             10.)
              .round() /
            10.;
          const auto split = halves(x);
          EXPECT_NEAR(effective_sample_size(x).item<double>(),
                      plain_size(split),
                      1e-9);
          EXPECT_NEAR(bulk_effective_sample_size(x).item<double>(),
                      plain_size(normalized(split)),
                      1e-9);

          std::vector<double> all;
          for (const auto &half : split)
            all.insert(all.end(), half.begin(), half.end());
          std::sort(all.begin(), all.end());
          const auto quantile = [&all](const double p) {
            const double place = p * (all.size() - 1.);
            const auto   i     = std::size_t(place);
            return all[i] + (place - i) * (all[i + 1] - all[i]);
          };
          const auto size_at = [&](const double p) {
            return plain_size(mapped(split, [&](const double value) {
              return double(value <= quantile(p));
            }));
          };
          EXPECT_NEAR(quantile_effective_sample_size(x, 0.3).item<double>(),
                      size_at(0.3),
                      1e-9);
          EXPECT_NEAR(tail_effective_sample_size(x).item<double>(),
                      std::min(size_at(0.05), size_at(0.95)),
                      1e-9);

          const double median = quantile(0.5);
          const auto   folded = mapped(split, [median](const double value) {
            return std::abs(value - median);
          });
          EXPECT_NEAR(split_r_hat(x).item<double>(),
                      std::max(plain_r_hat(normalized(split)),
                               plain_r_hat(normalized(folded))),
                      1e-11);
        }
  }



  // The sum of all autocorrelations ρ^|t| is (1 + ρ)/(1 − ρ).
  TEST(ChainDiagnostics, SizeOfAnAutoregressiveChain)
  {
    for (const double rho : {-0.4, 0., 0.5, 0.9})
      {
        const auto   x     = autoregressive(4, 20000, rho, 20);
        const double exact = 80000. * (1. - rho) / (1. + rho);
        EXPECT_NEAR(effective_sample_size(x).item<double>() / exact, 1., 0.1)
          << rho;
        EXPECT_NEAR(bulk_effective_sample_size(x).item<double>() / exact,
                    1.,
                    0.1)
          << rho;
        EXPECT_LT(split_r_hat(x).item<double>(), 1.01);
      }
  }



  // The standard error is that of the means of many sets of chains.
  TEST(ChainDiagnostics, MonteCarloErrorIsTheErrorOfTheMean)
  {
    const long   n_sets = 400;
    const double rho    = 0.8;
    // [chains, n, sets], a set a quantity
    const auto x = autoregressive(2 * n_sets, 500, rho, 30)
                     .reshape({n_sets, 2, 500})
                     .permute({1, 2, 0});
    const auto error = monte_carlo_error(x);
    const auto mean  = x.flatten(0, 1).mean(0);
    EXPECT_EQ(error.sizes(), (std::vector<std::int64_t>{n_sets}));
    // The mean of 400 squared standard normal numbers is one ± 0.07. (A window
    // of that sum is a random number, hence errors are a little too small.)
    EXPECT_NEAR((mean / error).square().mean().item<double>(), 1., 0.25);
    const double exact = std::sqrt((1. + rho) / (1. - rho) / 1000.);
    EXPECT_NEAR(error.mean().item<double>() / exact, 1., 0.08);
  }



  TEST(ChainDiagnostics, RHatSeesChainsThatDiffer)
  {
    const auto x = random_normal({4, 500}, 40);
    EXPECT_LT(split_r_hat(x).item<double>(), 1.01);

    auto other_place = x.clone();
    other_place[2] += 0.5;
    EXPECT_GT(split_r_hat(other_place).item<double>(), 1.01);

    // Its mean and that of the others are equal, and seen by folding only.
    auto other_scale = x.clone();
    other_scale[2] *= 2.;
    EXPECT_GT(split_r_hat(other_scale).item<double>(), 1.02);
    EXPECT_LT(plain_r_hat(halves(other_scale)), 1.01);

    // One chain that drifts, without another to compare.
    const auto drift =
      x.slice(0, 0, 1) + torch::linspace(-1., 1., 500, torch::kFloat64);
    EXPECT_GT(split_r_hat(drift).item<double>(), 1.05);
  }



  // What is made of ranks needs no variance, and does not change with units.
  TEST(ChainDiagnostics, RanksDoNotDependOnTheScale)
  {
    const auto x = autoregressive(4, 300, 0.6, 50);
    const auto y = (5. * x).exp();
    EXPECT_EQ(bulk_effective_sample_size(x).item<double>(),
              bulk_effective_sample_size(y).item<double>());
    EXPECT_EQ(tail_effective_sample_size(x).item<double>(),
              tail_effective_sample_size(y).item<double>());

    const auto u      = random_uniform({4, 2000}, 0., 1., 51);
    const auto cauchy = (M_PI * (u - 0.5)).tan();
    EXPECT_LT(split_r_hat(cauchy).item<double>(), 1.01);
    EXPECT_NEAR(bulk_effective_sample_size(cauchy).item<double>() / 8000.,
                1.,
                0.15);
  }



  TEST(ChainDiagnostics, EveryQuantityByItself)
  {
    const auto x = torch::stack({autoregressive(3, 101, 0.5, 60),
                                 torch::zeros({3, 101}, torch::kFloat64),
                                 random_normal({3, 101}, 61)},
                                2);
    for (const auto &function : {split_r_hat,
                                 effective_sample_size,
                                 bulk_effective_sample_size,
                                 tail_effective_sample_size,
                                 monte_carlo_error})
      {
        const auto all = function(x);
        ASSERT_EQ(all.sizes(), (std::vector<std::int64_t>{3}));
        for (const long i : {0, 2})
          EXPECT_DOUBLE_EQ(all[i].item<double>(),
                           function(x.select(2, i)).item<double>());
        EXPECT_TRUE(std::isnan(all[1].item<double>()));
      }
  }



  TEST(ChainDiagnostics, WhatSaysNothingIsNoNumber)
  {
    auto infinite = random_normal({2, 100}, 70), no_number = infinite.clone();
    infinite[1][50]  = std::numeric_limits<double>::infinity();
    no_number[1][50] = std::nan("");
    const auto few   = random_normal({4, 3}, 71);
    for (const auto &x :
         {infinite, no_number, few, few.slice(0, 0, 0), few.slice(1, 0, 0)})
      {
        EXPECT_TRUE(std::isnan(split_r_hat(x).item<double>()));
        EXPECT_TRUE(std::isnan(effective_sample_size(x).item<double>()));
        EXPECT_TRUE(std::isnan(bulk_effective_sample_size(x).item<double>()));
        EXPECT_TRUE(std::isnan(tail_effective_sample_size(x).item<double>()));
        EXPECT_TRUE(std::isnan(monte_carlo_error(x).item<double>()));
      }
    // Chains that stand still at different places are far from mixed.
    const auto stuck =
      torch::tensor({0., 1.}, torch::kFloat64).unsqueeze(1).expand({2, 100});
    EXPECT_EQ(split_r_hat(stuck).item<double>(),
              std::numeric_limits<double>::infinity());
    EXPECT_LT(effective_sample_size(stuck).item<double>(), 4.);
  }



  TEST(ChainDiagnostics, ProbabilitiesAreChecked)
  {
    for (const double p : {0., 1., -0.1, std::nan("")})
      expect_sentence(
        message_of<InputError>([&]() {
          quantile_effective_sample_size(random_normal({2, 10}, 80), p);
        }),
        {"quantile", "between zero and one"});
  }
} // namespace
