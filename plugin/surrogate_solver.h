// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_surrogate_solver_h
#define neuraldeal_plugin_surrogate_solver_h

#include <deal.II/lac/solver_control.h>
#include <deal.II/lac/solver_selector.h>
#include <deal.II/lac/vector.h>

#include <neuraldeal/plugin/operator_reference.h>
#include <neuraldeal/plugin/solution_basis.h>

#include <functional>
#include <memory>
#include <string>

namespace neuraldeal
{
  /**
   * A Krylov solver that starts from what is already known: from the
   * solutions it has returned before (SolutionBasis), and from a prediction,
   * where the program has one to offer. The call is that of deal.II's own
   * solvers,
   * @code
   * SurrogateSolver<VectorType> solver(control);
   * solver.solve(A, x, b, preconditioner);
   * @endcode
   * and so is the result: it is that of one of deal.II's solvers and
   * satisfies @p control. Predictions change nothing but its start. One that
   * is of no use is not used, as SolutionSpace::project() says; a solve that
   * fails from a start that was found here is tried again from the program's
   * own.
   *
   * Use a SolverControl with an absolute tolerance. A ReductionControl is
   * relative to the residual of the start: it asks for more from a better
   * one.
   *
   * What is learned is kept in a SolutionBasis that outlives the solver: the
   * one in the AdditionalData or, without one, SolutionBasis::shared().
   * Implemented for the vectors of SolutionBasis. Matrix and preconditioner
   * may be of any class with vmult().
   */
  template <typename VectorType = dealii::Vector<double>>
  class SurrogateSolver
  {
  public:
    /** Writes a prediction into a vector that has the layout of the solution.
     */
    using Predictor = std::function<void(VectorType &prediction)>;

    struct AdditionalData
    {
      /**
       * @param inner_solver a name that deal.II's SolverSelector knows.
       * @throw InputError for another one, naming those.
       */
      explicit AdditionalData(
        const std::string                                &inner_solver = "cg",
        const std::shared_ptr<SolutionBasis<VectorType>> &basis     = nullptr,
        const Predictor                                  &predictor = nullptr,
        const std::string                                &name  = "surrogate",
        const bool                                        learn = true);

      /**
       * The solver that does the work. With "cg" the matrix is taken to be
       * symmetric and positive definite.
       */
      std::string inner_solver;

      /** Where solutions are kept; see also @p name. */
      std::shared_ptr<SolutionBasis<VectorType>> basis;

      /**
       * Called once a solve, on all processes. Where it throws on any of
       * them, there is no prediction.
       */
      Predictor predictor;

      /** Without a @p basis: which of the shared ones. */
      std::string name;

      /** Whether solutions are learned. */
      bool learn;
    };

    /** What happened in the last solve. */
    struct Report
    {
      /** How the start was found. */
      Projection start;

      /** Why there was no prediction, where there should have been one. */
      std::string failed_prediction;

      /** Whether the program's own start had to be used in the end. */
      bool repeated = false;
    };

    /** @param control decides when the solver stops, as ever. */
    SurrogateSolver(dealii::SolverControl &control,
                    const AdditionalData  &data = AdditionalData());

    /**
     * The inner solver, for the data that deal.II's solvers have of their
     * own: `inner_solver().set_data(...)`.
     */
    dealii::SolverSelector<VectorType> &
    inner_solver();

    /**
     * Solve A @p x = @p b, with the program's own start in @p x.
     * @throw dealii::SolverControl::NoConvergence
     */
    void
    solve(const OperatorReference<VectorType> &A,
          VectorType                          &x,
          const VectorType                    &b,
          const OperatorReference<VectorType> &preconditioner);

    const Report &
    last_report() const
    {
      return report;
    }

  private:
    dealii::SolverControl             &control;
    const AdditionalData               data;
    dealii::SolverSelector<VectorType> inner;
    Report                             report;
  };
} // namespace neuraldeal

#endif
