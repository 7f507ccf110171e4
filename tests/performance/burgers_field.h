// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_burgers_field_h
#define neuraldeal_tests_performance_burgers_field_h

#include <torch/types.h>

#include <cstdint>

namespace neuraldeal::performance
{
  /**
   * The Gaussian random field on the unit interval, periodic, with mean zero
   * and covariance proportional to (−d²/dx² + τ²)⁻², by its Karhunen–Loève
   * expansion: a constant, and cosines and sines of 2πkx, k = 1, …, n − 1,
   * with standard deviations proportional to 1 / ((2πk)² + τ²). 1/τ is its
   * correlation length. The constant is a mode as all others are: the mean of
   * a sample over the interval is not zero.
   */
  class PeriodicField
  {
  public:
    /**
     * @param n_modes n, frequencies.
     * @param deviation the standard deviation at any point, to which the modes
     * are scaled.
     */
    PeriodicField(const unsigned int n_modes,
                  const double       tau,
                  const double       deviation);

    /**
     * The field number @p index of the sequence @p seed at the points
     * i / @p n_points, [n_points] float64. Its modes depend on @p seed and
     * @p index alone: more points see the same field.
     */
    torch::Tensor
    sample(const std::uint64_t seed,
           const std::uint64_t index,
           const unsigned int  n_points) const;

    /**
     * The field with the coefficients @p xi [2n − 1] float64: of the constant,
     * then of √2 cos(2πkx) and √2 sin(2πkx) by turns.
     */
    torch::Tensor
    evaluate(const torch::Tensor &xi, const unsigned int n_points) const;

  private:
    /** The standard deviations of the coefficients, [2n − 1]. */
    torch::Tensor deviations;
  };
} // namespace neuraldeal::performance

#endif
