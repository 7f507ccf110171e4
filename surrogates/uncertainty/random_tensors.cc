// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/random.h>
#include <neuraldeal/surrogates/uncertainty/random_tensors.h>

namespace neuraldeal
{
  namespace
  {
    template <typename Draw>
    torch::Tensor
    tensor_of(const at::IntArrayRef sizes,
              const std::uint64_t   seed,
              const std::uint64_t   index,
              const Draw           &draw)
    {
      CounterRandom random(seed, CounterRandom::Stream::directions, index);
      auto          result = torch::empty(sizes, torch::kFloat64);
      double *const values = result.data_ptr<double>();
      for (std::int64_t i = 0; i < result.numel(); ++i)
        values[i] = draw(random);
      return result;
    }
  } // namespace



  torch::Tensor
  normal_tensor(const at::IntArrayRef sizes,
                const std::uint64_t   seed,
                const std::uint64_t   index)
  {
    return tensor_of(sizes, seed, index, [](CounterRandom &random) {
      return random.normal();
    });
  }



  torch::Tensor
  sign_tensor(const at::IntArrayRef sizes,
              const std::uint64_t   seed,
              const std::uint64_t   index)
  {
    return tensor_of(sizes, seed, index, [](CounterRandom &random) {
      return random.uniform() < 0.5 ? -1. : 1.;
    });
  }
} // namespace neuraldeal
