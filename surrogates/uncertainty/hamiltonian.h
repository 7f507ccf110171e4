// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_hamiltonian_h
#define neuraldeal_surrogates_uncertainty_hamiltonian_h

#include <neuraldeal/surrogates/random.h>
#include <neuraldeal/surrogates/uncertainty/log_density.h>
#include <torch/types.h>

#include <vector>

namespace neuraldeal
{
  /**
   * The mass matrix M of Hamiltonian dynamics, given by its inverse Σ, which
   * is best near the covariance of the density (Betancourt, arXiv:1701.02434,
   * section 4.2). It is diagonal or dense.
   *
   * All sums run in the order of the indices, so that they do not depend on
   * threads or on a library.
   */
  class Metric
  {
  public:
    /** Σ = I in @p dimension dimensions. */
    explicit Metric(const long dimension);

    /**
     * @param covariance Σ: its diagonal [d], or all of it, [d, d].
     * @return false, and nothing has changed, where it is not finite or not
     * positive definite.
     */
    bool
    set_covariance(const torch::Tensor &covariance);

    /** Σ, as it was set. */
    const torch::Tensor &
    covariance() const
    {
      return sigma;
    }

    /** Velocity Σ p of a momentum. */
    std::vector<double>
    velocity(const std::vector<double> &momentum) const;

    /** A momentum from N(0, M). */
    std::vector<double>
    draw(CounterRandom &random) const;

  private:
    long          d;
    torch::Tensor sigma;  ///< [d] or [d, d]
    torch::Tensor factor; ///< of a dense one: L with Σ = L Lᵀ
  };



  /** Where a trajectory is. The tensors are shared by copies, and constant. */
  struct PhasePoint
  {
    torch::Tensor       position;    ///< q, [d]
    torch::Tensor       gradient;    ///< of the log density at q, [d]
    double              log_density; ///< log π(q), up to a constant
    std::vector<double> momentum;    ///< p
    std::vector<double> velocity;    ///< Σ p
    double              energy;      ///< −log π(q) + ½ pᵀ Σ p
  };



  /**
   * The motion of a particle with the potential energy −log π(q) and the
   * kinetic energy ½ pᵀ Σ p.
   */
  class Hamiltonian
  {
  public:
    Hamiltonian(const LogDensity &log_density, const long dimension);

    /**
     * The particle at rest at @p position, [d]: momentum and velocity are
     * zero. Where the density is zero (or the value is no number, or +∞) the
     * energy is +∞ and the gradient zero.
     * @throw InputError where the log density gives a gradient of another
     * shape.
     */
    PhasePoint
    at_rest(const torch::Tensor &position) const;

    /** @p point with another momentum. */
    PhasePoint
    with_momentum(const PhasePoint          &point,
                  const std::vector<double> &momentum) const;

    /**
     * A step of size @p h, negative to go back, of the leapfrog method: half a
     * step of the momentum, a whole one of the position, half of the momentum.
     * It preserves volumes, is its own inverse with the sign of the momentum
     * or of h changed, and over a given time changes the energy by O(h²)
     * (Betancourt, section 5.1). It evaluates the density once.
     */
    PhasePoint
    leapfrog(const PhasePoint &point, const double h) const;

    Metric metric;

    /** How often the density has been evaluated. */
    long
    n_evaluations() const
    {
      return evaluations;
    }

  private:
    LogDensity   log_density;
    long         d;
    mutable long evaluations = 0;
  };
} // namespace neuraldeal

#endif
