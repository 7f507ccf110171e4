// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_kernel_tools_h
#define neuraldeal_tests_surrogates_kernel_tools_h

#include <neuraldeal/surrogates/covariance_kernel.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "test_tools.h"

namespace neuraldeal::tests
{
  /** Names of a kernel's shape and of how its lengths are shared. */
  using KernelChoice = std::pair<std::string, std::string>;

  inline std::vector<KernelChoice>
  kernel_choices()
  {
    std::vector<KernelChoice> result;
    for (const char *shape :
         {"Matern 1/2", "Matern 3/2", "Matern 5/2", "squared exponential"})
      for (const char *lengths :
           {"each group", "each input", "shared", "varying"})
        result.emplace_back(shape, lengths);
    return result;
  }

  /** For GoogleTest's names of tests. */
  inline std::string
  name_of_choice(const testing::TestParamInfo<KernelChoice> &info)
  {
    return test_name(info.param.first + " " + info.param.second);
  }

  /** On groups of two and three inputs, all lengths different. */
  inline CovarianceKernel
  make_kernel(const KernelChoice &choice)
  {
    CovarianceKernel kernel({2, 3}, choice.first, choice.second);
    auto             values = 0.2 * kernel.hyperparameters();
    for (long i = 0; i < values.size(0); ++i)
      values[i] += 0.3 - 0.13 * i;
    values[-1] = std::log(0.4);
    kernel.set_hyperparameters(values);
    return kernel;
  }

  /** Expects @p gradient to be that of @p value, by differences. */
  inline void
  check_gradient(const std::function<double(const torch::Tensor &)> &value,
                 const torch::Tensor                                &gradient,
                 const torch::Tensor                                &at,
                 const double                                        tolerance)
  {
    ASSERT_EQ(gradient.sizes(), at.sizes());
    const double h = 1e-3;
    for (long i = 0; i < at.size(0); ++i)
      {
        const auto moved = [&](const double step) {
          auto result = at.clone();
          result[i] += step;
          return value(result);
        };
        const double found    = gradient[i].item<double>(),
                     expected = (8. * (moved(h) - moved(-h)) -
                                 (moved(2. * h) - moved(-2. * h))) /
                                (12. * h);
        EXPECT_GT(std::abs(found), 1e-5) << "number " << i;
        EXPECT_NEAR(found, expected, tolerance * (1. + std::abs(expected)))
          << "number " << i;
      }
  }

  /** Five inputs and three outputs, one of them affine. */
  struct KernelData
  {
    explicit KernelData(const long n)
      : x(random_normal({n, 5}, 11))
      , y(torch::cat({x.slice(1, 0, 1).sin(),
                      x.slice(1, 1, 2) * x.slice(1, 2, 3),
                      x.sum(1, true)},
                     1) +
          0.05 * random_normal({n, 3}, 12))
    {}

    torch::Tensor x, y;
    torch::Tensor at = random_normal({7, 5}, 13);
  };
} // namespace neuraldeal::tests

#endif
