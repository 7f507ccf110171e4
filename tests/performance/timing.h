// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_timing_h
#define neuraldeal_tests_performance_timing_h

#include <torch/cuda.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

namespace neuraldeal::performance
{
  /** @param values one at least. */
  inline double
  median(std::vector<double> values)
  {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }



  /** Milliseconds that @p function takes, once the device has done it. */
  inline double
  milliseconds(const torch::Device         &device,
               const std::function<void()> &function)
  {
    const auto wait = [&]() {
      if (device.is_cuda())
        torch::cuda::synchronize();
    };
    wait();
    const auto start = std::chrono::steady_clock::now();
    function();
    wait();
    return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now() - start)
      .count();
  }
} // namespace neuraldeal::performance

#endif
