// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/random.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace neuraldeal
{
  std::array<std::uint32_t, 4>
  philox4x32(const std::array<std::uint32_t, 4> &counter,
             const std::array<std::uint32_t, 2> &key)
  {
    constexpr std::uint64_t multiplier_0 = 0xD2511F53u;
    constexpr std::uint64_t multiplier_1 = 0xCD9E8D57u;
    constexpr std::uint32_t weyl_0       = 0x9E3779B9u;
    constexpr std::uint32_t weyl_1       = 0xBB67AE85u;

    auto x = counter;
    auto k = key;
    for (unsigned int round = 0; round < 10; ++round)
      {
        const std::uint64_t product_0 = multiplier_0 * x[0];
        const std::uint64_t product_1 = multiplier_1 * x[2];
        x = {{static_cast<std::uint32_t>(product_1 >> 32) ^ x[1] ^ k[0],
              static_cast<std::uint32_t>(product_1),
              static_cast<std::uint32_t>(product_0 >> 32) ^ x[3] ^ k[1],
              static_cast<std::uint32_t>(product_0)}};
        k[0] += weyl_0;
        k[1] += weyl_1;
      }
    return x;
  }



  CounterRandom::CounterRandom(const std::uint64_t seed,
                               const Stream        stream,
                               const std::uint64_t index)
    : key{{static_cast<std::uint32_t>(seed),
           static_cast<std::uint32_t>(seed >> 32)}}
    , counter{{0,
               static_cast<std::uint32_t>(stream),
               static_cast<std::uint32_t>(index),
               static_cast<std::uint32_t>(index >> 32)}}
  {}



  std::uint32_t
  CounterRandom::next()
  {
    if (used == 4)
      {
        block = philox4x32(counter, key);
        ++counter[0];
        used = 0;
      }
    return block[used++];
  }



  double
  CounterRandom::uniform()
  {
    const std::uint64_t high = next() >> 5, low = next() >> 6;
    // The half is lost to rounding where all bits are ones.
    return std::min((static_cast<double>((high << 26) | low) + 0.5) * 0x1p-53,
                    1. - 0x1p-53);
  }



  double
  CounterRandom::normal()
  {
    const double radius = std::sqrt(-2. * std::log(uniform()));
    return radius * std::cos(2. * 3.14159265358979323846 * uniform());
  }



  std::vector<std::size_t>
  CounterRandom::permutation(const std::size_t n)
  {
    std::vector<std::size_t> result(n);
    std::iota(result.begin(), result.end(), std::size_t(0));
    for (std::size_t i = n; i > 1; --i)
      std::swap(result[i - 1], result[static_cast<std::size_t>(uniform() * i)]);
    return result;
  }
} // namespace neuraldeal
