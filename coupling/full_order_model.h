// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_full_order_model_h
#define neuraldeal_coupling_full_order_model_h

#include <neuraldeal/coupling/time_budget.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /** An input of the host's problem: the entries of an InputDistribution. */
  using Input = std::vector<double>;

  /**
   * What the host program hands over: its own solver, as functions, in the
   * way of deal.II's SUNDIALS::KINSOL. All of them run on the communicator
   * of the host's group. A function that throws on one rank must still
   * return on all others.
   */
  template <typename VectorType>
  struct FullOrderModel
  {
    /** Give a vector the size and the parallel layout of a solution. */
    std::function<void(VectorType &vector)> reinit_vector;

    /**
     * Solve for @p input. On entry @p solution is the initial guess: zero
     * where the host is to start from its own.
     * @return the number of iterations, for the records.
     */
    std::function<unsigned int(const Input &input, VectorType &solution)> solve;

    /**
     * Optional: solve on a coarse mesh and prolongate the solution to the
     * fine one. Deterministic, and cheap; the surrogate predicts what is to
     * be added. Without it the prior is zero.
     */
    std::function<void(const Input &input, VectorType &solution)> coarse_solve;

    /** Optional: a slower but safer solver, tried where solve() has failed. */
    std::function<unsigned int(const Input &input, VectorType &solution)>
      fallback_solve;

    /**
     * Optional, with riesz_solve(): the residual of @p candidate. Enables
     * verification, and active learning by residuals (see ResidualNorm).
     */
    std::function<void(const Input      &input,
                       const VectorType &candidate,
                       VectorType       &residual)>
      residual;

    /**
     * Optional: the number that a solution is wanted for, such as a mean, a
     * flux or a largest value; the same on all ranks of the group. Active
     * learning near a threshold or towards the best value learns it.
     */
    std::function<double(const Input &input, const VectorType &solution)>
      quantity_of_interest;

    /**
     * Optional, both or none: what the host tells of each solve beside its
     * iterations (Newton steps, final residual, …), by name, and the numbers
     * of the last one. Those of the first rank of a group are stored.
     */
    std::vector<std::string>             statistic_names;
    std::function<std::vector<double>()> statistics;

    /**
     * Optional: apply the inverse of a parameter-independent, symmetric
     * positive definite operator, whose norm is then that of the errors.
     */
    std::function<void(const VectorType &functional,
                       VectorType       &representative)>
      riesz_solve;

    /** Who takes the time steps of the moment, if anybody; copies share it. */
    std::shared_ptr<std::function<void(const double, const VectorType &)>>
      step_receiver = std::make_shared<
        std::function<void(const double, const VectorType &)>>();

    /**
     * For a host that steps in time, whose solve() tells it each state that
     * is worth keeping, the initial one among them, on all ranks of the group:
     * times increase. A Campaign of trajectories stores them as they come;
     * otherwise nothing is done. What it throws, it throws on all ranks, and
     * solve() is to let it pass.
     */
    std::function<void(const double time, const VectorType &solution)>
      output_step = [receiver = step_receiver](const double      time,
                                               const VectorType &solution) {
        if (*receiver)
          (*receiver)(time, solution);
      };

    /** The time that the call of the moment may take; copies share it. */
    std::shared_ptr<TimeBudget> time_budget = std::make_shared<TimeBudget>();

    /**
     * For the host, whose own loops may ask it, all ranks of the group the
     * same number of times: whether the time budget of this call is over (see
     * Campaign). A solver that is told so throws, or returns with whatever
     * it has: the solve counts as failed. False where there is no budget.
     */
    std::function<bool()> should_stop = [budget = time_budget]() {
      return budget->is_over();
    };
  };
} // namespace neuraldeal

#endif
