// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_data_test_tools_h
#define neuraldeal_tests_performance_data_test_tools_h

#include <gtest/gtest.h>
#include <torch/types.h>

namespace neuraldeal::performance
{
  constexpr double pi = 3.14159265358979323846;

  /** The largest difference. */
  inline double
  distance(const torch::Tensor &a, const torch::Tensor &b)
  {
    EXPECT_EQ(a.sizes(), b.sizes());
    return (a.to(torch::kFloat64) - b.to(torch::kFloat64))
      .abs()
      .max()
      .item<double>();
  }
} // namespace neuraldeal::performance

#endif
