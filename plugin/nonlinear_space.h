// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_nonlinear_space_h
#define neuraldeal_plugin_nonlinear_space_h

#include <neuraldeal/plugin/solution_space.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace neuraldeal
{
  /**
   * One process's share of a nonlinear system F(u) = 0, as plain arrays: the
   * values of the unknowns that this process owns.
   */
  struct LocalNonlinearSystem
  {
    /**
     * Evaluate F (collective).
     * @return false, on all processes, where that cannot be done.
     */
    std::function<bool(double *dst, const double *src)> residual;

    /**
     * Optional: the product of the Jacobian at @p u with @p direction
     * (collective). Finite differences without it.
     * @return as of residual().
     */
    std::function<bool(double *dst, const double *u, const double *direction)>
      jacobian;

    /**
     * Optional: give the constrained unknowns of @p u their values, as
     * AffineConstraints::distribute() does (collective).
     */
    std::function<void(double *u)> distribute;

    LocalSystem::Sum sum;

    /** The number of this process. */
    unsigned int process = 0;
  };

  /** How a start for a nonlinear solver was found, see NonlinearSpace. */
  struct NonlinearStart
  {
    /** Which one was the best: "the host's" or the name of a candidate. */
    std::string source = "the host's";

    /** Directions that it was improved in, and steps that were of use. */
    unsigned int dimension = 0, n_steps = 0;

    /** ‖F‖ of the host's own start and of the one returned. */
    double host_residual = 0., residual = 0.;

    /** Evaluations of F, and products with its Jacobian, that this took. */
    unsigned int n_residuals = 0, n_jacobian_products = 0;

    /** What could not be used, and why: a sentence each. */
    std::vector<std::string> left_out;

    /** Whether the start is another one than the host's own. */
    bool
    changed() const
    {
      return residual < host_residual;
    }
  };

  /**
   * SolutionSpace for nonlinear systems F(u) = 0: what past solutions say of
   * the next one, as a start for Newton's method or any other.
   *
   * The start is the best of the host's own, of predictions that it offers,
   * of the newest solution u_m and of the extrapolation 2 u_m − u_{m−1}: the
   * one with the smallest Euclidean norm of the residual. It is then improved
   * in the span V of past solutions: the least squares problem
   *   min_c ‖F(u + V c)‖
   * is solved by a few Gauss-Newton steps, the first with the derivative
   * J(u) V, the following with Broyden's updates of it, at the price of one
   * evaluation of F each (Broyden, Math. Comp. 19, 1965). The method is that
   * of least squares Petrov-Galerkin projection (Carlberg, Bou-Mosleh and
   * Farhat, "Efficient non-linear model reduction via a least-squares
   * Petrov-Galerkin projection and compressive tensor approximations", Int.
   * J. Numer. Meth. Engrg. 86, 2011), stopped early, as the host's solver does
   * the rest.
   *
   * F may be blind: hosts often set it to zero in the rows of Dirichlet and
   * hanging nodes, and never change these unknowns. A start with other values
   * there would lead to another solution. With
   * LocalNonlinearSystem::distribute they are set right; without it, the rows
   * that F does not see are found by another evaluation, and whatever
   * differs there from the host's start is left out.
   *
   * Nothing here knows a vector class, MPI or any library, as in
   * SolutionSpace. All functions are collective.
   */
  class NonlinearSpace
  {
  public:
    using Array = SolutionSpace::Array;

    /**
     * @param n_local number of unknowns of this process.
     * @param max_size largest number of directions; zero: none.
     * @param n_steps largest number of Gauss-Newton steps; zero: none.
     */
    NonlinearSpace(const std::size_t  n_local,
                   const unsigned int max_size,
                   const unsigned int n_steps);

    /**
     * Learn the solution @p x.
     * @return whether it was of use: not zero and finite.
     */
    bool
    learn(const double *x, const LocalSystem::Sum &sum);

    /** A start that somebody offers: its name, and its values. */
    using Candidate = std::pair<std::string, const double *>;

    /**
     * Replace the host's own start @p x by the best one. It stays as it is
     * unless another one has a smaller residual.
     */
    NonlinearStart
    find_start(const LocalNonlinearSystem   &system,
               const std::vector<Candidate> &candidates,
               double                       *x) const;

    std::size_t
    n_local() const
    {
      return space.n_local();
    }

    /** Number of solutions learned. */
    std::uint64_t
    n_learned() const
    {
      return space.n_learned();
    }

  private:
    /** The state of one search. */
    class Search;

    SolutionSpace      space;
    const unsigned int max_size, n_steps;
    std::vector<Array> newest; ///< the last two solutions, the newest first
  };
} // namespace neuraldeal

#endif
