// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_random_tensors_h
#define neuraldeal_surrogates_uncertainty_random_tensors_h

#include <torch/types.h>

#include <cstdint>

namespace neuraldeal
{
  /**
   * Independent standard normal numbers, float64 on the CPU: those of the item
   * @p index in CounterRandom's stream of directions.
   */
  torch::Tensor
  normal_tensor(const at::IntArrayRef sizes,
                const std::uint64_t   seed,
                const std::uint64_t   index);

  /** Likewise, signs: independent, −1 or 1 with equal probability. */
  torch::Tensor
  sign_tensor(const at::IntArrayRef sizes,
              const std::uint64_t   seed,
              const std::uint64_t   index);
} // namespace neuraldeal

#endif
