// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_elasticity_hole_h
#define neuraldeal_tests_performance_elasticity_hole_h

#include <torch/types.h>

#include <array>
#include <cstdint>

namespace neuraldeal::performance
{
  /**
   * A hole in the middle of the unit square, with the radius
   *   r(θ) = 0.2 + 0.2 / (1 + exp(r̃(θ))),
   * where r̃ is a Gaussian random field on the circle with covariance
   * 16 (−∂²/∂θ² + 9)⁻¹ (Li, Huang, Liu and Anandkumar, "Fourier neural
   * operator with learned deformations for PDEs on general geometries",
   * arXiv:2207.05209, section 4.1), by its Karhunen–Loève expansion
   *   r̃(θ) = 4/3 ξ_0 / √(2π)
   *          + ∑_k 4/√(k² + 9) (ξ_{2k−1} cos kθ + ξ_{2k} sin kθ) / √π
   * with independent standard normal ξ. It is cut off behind k = 6, so that
   * the meshes resolve it; the full series is not differentiable.
   */
  class ElasticityHole
  {
  public:
    static constexpr unsigned int n_modes = 6;

    /** ξ; all zero: a circle with the radius 0.3. */
    using Coefficients = std::array<double, 2 * n_modes + 1>;

    explicit ElasticityHole(const Coefficients &coefficients = {});

    /**
     * The hole number @p index of the sequence @p seed; it depends on these
     * two alone.
     */
    static ElasticityHole
    sample(const std::uint64_t seed, const std::uint64_t index);

    /** r(θ), between 0.2 and 0.4. */
    double
    radius(const double angle) const;

    /** The mirror image, x → 1 − x. */
    ElasticityHole
    mirrored() const;

    /**
     * The square around the hole as the image of a rectangle: 0 ≤ s ≤ 1 from
     * the hole to the square's boundary, 0 ≤ t < 4 around, counterclockwise
     * with equal steps along the edges, from the corner (1, 0). Lines of
     * constant t are rays from the middle of the square. x → 1 − x maps t to
     * 3 − t.
     */
    std::array<double, 2>
    point(const double t, const double s) const;

    /**
     * The distances of @p points [P, 2] float64 to the hole's boundary, [P]:
     * to a polygon of 1024 corners on it.
     */
    torch::Tensor
    distance(const torch::Tensor &points) const;

    const Coefficients coefficients;
  };
} // namespace neuraldeal::performance

#endif
