// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_bounded_search_h
#define neuraldeal_surrogates_bounded_search_h

#include <torch/types.h>

#include <functional>
#include <utility>

namespace neuraldeal
{
  /**
   * A minimum of a smooth function of a few numbers, each within @p radius of
   * where the search starts: L-BFGS with a line search for the strong Wolfe
   * conditions (Nocedal and Wright, "Numerical optimization", 2006, chapters
   * 3 and 7). Beyond the bounds the function is continued by its value on
   * them and a quadratic penalty.
   * @param start [n] float64.
   * @param cost the function and its gradient, [n]; of order one.
   * @return [n], within the bounds.
   */
  torch::Tensor
  bounded_search(
    const torch::Tensor &start,
    const double         radius,
    const std::function<std::pair<double, torch::Tensor>(const torch::Tensor &)>
              &cost,
    const long max_iterations);
} // namespace neuraldeal

#endif
