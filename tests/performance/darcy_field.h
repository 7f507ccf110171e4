// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_darcy_field_h
#define neuraldeal_tests_performance_darcy_field_h

#include <torch/types.h>

#include <array>
#include <cstdint>

/**
 * @file
 * The inputs of the standard Darcy benchmark of operator learning: Li,
 * Kovachki, Azizzadenesheli, Liu, Bhattacharya, Stuart and Anandkumar,
 * "Fourier neural operator for parametric partial differential equations"
 * (ICLR 2021), section 5.2. Values on the n × n cells of the unit square are
 * tensors [n, n], rows along y, columns along x.
 */

namespace neuraldeal::performance
{
  /**
   * The Gaussian random field with mean zero and covariance (−Δ + τ²)⁻² with
   * Neumann conditions, by its Karhunen–Loève expansion
   * ∑ ξ_kl / (π² (k² + l²) + τ²) φ_k(y) φ_l(x), φ_0 = 1, φ_k(x) = √2 cos(πkx),
   * with independent standard normal ξ_kl, k, l < n, at the centres of n × n
   * cells. 1/τ is its correlation length.
   *
   * With τ = 3 this is the field of the published generator (GRF.m, in
   * data_generation/darcy of neuraloperator/neuraloperator): the same n²
   * frequencies, points and weights, and the constant mode is left out, as
   * there. It differs in its random numbers, and in the factor 3 that
   * multiplies the field there, which does not change its sign.
   */
  class DarcyField
  {
  public:
    explicit DarcyField(const unsigned int n_cells, const double tau = 3.);

    /**
     * The pointwise variance, its mean over the square: the sum of the
     * variances of the modes, since these are orthonormal (on the square, and
     * as means over the centres of the cells too). The variance itself is
     * larger at the boundary than inside.
     */
    double
    mean_variance() const;

    /** Multiply the field so that mean_variance() is @p variance. */
    void
    normalise(const double variance);

    /**
     * The field number @p index of the sequence @p seed, [n, n] float64. It
     * depends on these two and on n alone.
     */
    torch::Tensor
    sample(const std::uint64_t seed, const std::uint64_t index) const;

    /** The fields with the coefficients ξ, @p xi [n, n] float64. */
    torch::Tensor
    evaluate(const torch::Tensor &xi) const;

  private:
    /** φ_k at the centre of cell i, [i, k]. */
    torch::Tensor modes;

    /** The standard deviations of the modes, [n, n]. */
    torch::Tensor deviations;
  };



  /**
   * The two values of a binary coefficient, 6 · 2^−f and 6 · 2^f: 3 and 12
   * where @p contrast f is 1.
   */
  std::array<double, 2>
  darcy_values(const double contrast = 1.);

  /**
   * The coefficient: 12 where @p field is at least zero, 3 elsewhere, or the
   * other values of darcy_values().
   */
  torch::Tensor
  darcy_coefficient(const torch::Tensor &field, const double contrast = 1.);



  /**
   * The square's eight symmetries, as permutations of the n × n points in the
   * order of the memory, [8, n²] int64: as the Trainer takes them.
   */
  torch::Tensor
  symmetries_of_square(const std::int64_t n);



  /** What a coarse cell takes from the fine cells that it overlaps. */
  enum class CellMean
  {
    arithmetic,
    geometric,
    harmonic
  };

  /**
   * The mean of @p coefficient [n, n], weighted by area, over each of
   * @p n_coarse² cells, which may cut through the fine ones.
   * @return [n_coarse, n_coarse] float64
   */
  torch::Tensor
  coarse_coefficient(const torch::Tensor &coefficient,
                     const unsigned int   n_coarse,
                     const CellMean       mean);



  /**
   * Bilinear functions on n² cells at the points (x_j, y_i) with the
   * coordinates (@p stride · i + 1/2) / @p n_grid: with stride 1 the centres
   * of n_grid² cells, with a larger one every stride-th of them, from the
   * first one on.
   *
   * @param nodal values at the vertices, [..., n + 1, n + 1].
   * @return [..., p, p] of the same type, where p = ⌈n_grid / stride⌉.
   */
  torch::Tensor
  evaluate_at_centres(const torch::Tensor &nodal,
                      const unsigned int   n_grid,
                      const unsigned int   stride);



  /**
   * One bit for each value of a binary coefficient, set where it is the larger
   * one of darcy_values().
   * @param coefficient [m, n, n]
   * @return [m, ⌈n² / 8⌉] uint8: cell c = n·row + column is bit c mod 8 of
   * byte c / 8, the least significant bit first (numpy.unpackbits with
   * bitorder="little").
   */
  torch::Tensor
  pack_coefficient(const torch::Tensor &coefficient);

  /**
   * The inverse: @p bytes [m, ⌈n² / 8⌉] as [m, n, n] float32 with the two
   * @p values, the smaller one first.
   */
  torch::Tensor
  unpack_coefficient(const torch::Tensor         &bytes,
                     const unsigned int           n,
                     const std::array<double, 2> &values = darcy_values());
} // namespace neuraldeal::performance

#endif
