// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_surrogate_nonlinear_solver_h
#define neuraldeal_plugin_surrogate_nonlinear_solver_h

#include <mpi.h>
#include <neuraldeal/plugin/nonlinear_space.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace neuraldeal
{
  /**
   * A better start for the host's nonlinear solver: from the solutions that
   * were returned before, and from a prediction, where the host has one to
   * offer. With deal.II's solvers it is one line,
   * @code
   * SUNDIALS::KINSOL<VectorType> kinsol(data);
   * kinsol.residual = ...
   * surrogate.solve(kinsol, u);          // was: kinsol.solve(u)
   * @endcode
   * and the same for NonlinearSolverSelector, TrilinosWrappers::NOXSolver and
   * PETScWrappers::NonlinearSolver, where deal.II has them; a Newton loop of
   * the host's own is handed over with its residual:
   * @code
   * surrogate.solve([&](const VectorType &u, VectorType &f) { residual(u, f);
   * },
   *                 [&](VectorType &u) { newton(u); },
   *                 u);
   * @endcode
   * @p u brings the host's own start and gets what the host's solver returns:
   * predictions change nothing but its start. NonlinearSpace says how that is
   * found, and that the host's own remains where nothing is better. A solve
   * that fails from another start is repeated from the host's own.
   *
   * The residual is what starts are compared by. Instead of F the host may
   * give another function that is zero at the solution only: a preconditioned
   * F is a better measure of the distance to it.
   *
   * One object is for one kind of problem, and for as long as that is solved:
   * what was learned is in it. A vector of another size, or distributed
   * differently, makes it forget everything. Implemented for the vectors that
   * SUNDIALS::KINSOL takes: deal.II's own, those of Trilinos and of PETSc, and
   * their block vectors, without ghost entries. All functions that take a
   * vector are collective over its processes. A function of the host's that
   * throws on one of them must still return on all others.
   */
  template <typename VectorType>
  class SurrogateNonlinearSolver
  {
  public:
    /** Writes F(u) into @p f. */
    using Residual = std::function<void(const VectorType &u, VectorType &f)>;

    struct AdditionalData
    {
      /**
       * @throw InputError naming the entry if @p tolerance is negative or not
       * finite.
       */
      explicit AdditionalData(const unsigned int max_size  = 10,
                              const unsigned int n_steps   = 3,
                              const double       tolerance = 0.,
                              const bool         learn     = true);

      /**
       * Number of directions of past solutions that are kept and searched; a
       * start costs an evaluation of the residual, or a product with the
       * Jacobian, for each. Zero: past solutions are starts, not directions.
       */
      unsigned int max_size;

      /** Number of steps in the span of past solutions; zero: none. */
      unsigned int n_steps;

      /**
       * The Euclidean norm of the residual above which a solve has failed,
       * for solvers that do not say so themselves: KINSOL throws in Debug mode
       * only. With zero, what is worse than the start has failed.
       */
      double tolerance;

      /** Whether solutions are learned. */
      bool learn;

      /**
       * Optional: write a prediction into a vector that has the layout of
       * the solution and is zero. Where it throws, there is none.
       */
      std::function<void(VectorType &prediction)> predictor;

      /**
       * Give the constrained unknowns their values, usually
       * `constraints.distribute(u)`, with those of the solution. Needed where
       * the host's solver never changes them: see NonlinearSpace.
       */
      std::function<void(VectorType &u)> distribute;

      /**
       * Optional: the product of the Jacobian at @p u with @p direction.
       * Without it, finite differences of the residual.
       */
      std::function<void(const VectorType &u,
                         const VectorType &direction,
                         VectorType       &product)>
        jacobian;
    };

    /** What happened in the last solve. */
    struct Report
    {
      /** How the start was found. */
      NonlinearStart start;

      /** Why the first solve failed, where the host's start was needed. */
      std::string failure;

      /** Whether the host's own start had to be used in the end. */
      bool repeated = false;

      /** ‖F‖ of what was returned. */
      double residual = 0.;
    };

    explicit SurrogateNonlinearSolver(
      const AdditionalData &data = AdditionalData());

    /**
     * Solve with @p solver, which has `residual` and `solve(u)` as those of
     * deal.II have.
     * @return what its solve() returns, usually a number of steps.
     * @throw InputError where it has no residual (KINSOL's fixed point
     * iteration): then use the other function, with G(u) − u.
     */
    template <typename SolverType>
    auto
    solve(SolverType &solver, VectorType &u)
    {
      if (!solver.residual)
        throw InputError("the program",
                         "the residual of a nonlinear solver",
                         "empty",
                         "a function, as starts are compared by it");
      using Result = decltype(solver.solve(u));
      if constexpr (std::is_void_v<Result>)
        solve(
          throwing(solver.residual),
          [&solver](VectorType &x) { solver.solve(x); },
          u);
      else
        {
          Result result = Result();
          solve(
            throwing(solver.residual),
            [&](VectorType &x) { result = solver.solve(x); },
            u);
          return result;
        }
    }

    /**
     * Solve F(u) = 0 with the function @p solver.
     * @throw what @p solver throws from the host's own start.
     */
    void
    solve(const Residual                          &residual,
          const std::function<void(VectorType &)> &solver,
          VectorType                              &u);

    /**
     * The start alone: replace the host's own, @p u, by the best one. To be
     * followed by the host's solver, and learn().
     */
    NonlinearStart
    find_start(const Residual &residual, VectorType &u);

    /**
     * Learn the solution @p u.
     * @return whether it was of use: not zero and finite.
     */
    bool
    learn(const VectorType &u);

    const Report &
    last_report() const
    {
      return report;
    }

  private:
    /**
     * @p function, which may return an error code as KINSOL's callbacks did,
     * as one that throws.
     */
    template <typename Function>
    static Residual
    throwing(const Function &function)
    {
      return [&function](const VectorType &u, VectorType &f) {
        if constexpr (std::is_void_v<decltype(function(u, f))>)
          function(u, f);
        else if (const auto code = function(u, f); code != 0)
          throw std::runtime_error("the residual has returned " +
                                   std::to_string(code));
      };
    }

    /** A space for vectors like @p u; agreed upon by their processes. */
    void
    reinit(const VectorType &u);

    const AdditionalData            data;
    std::unique_ptr<NonlinearSpace> space;
    Report                          report;
  };
} // namespace neuraldeal

#endif
