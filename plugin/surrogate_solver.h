// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_surrogate_solver_h
#define neuraldeal_plugin_surrogate_solver_h

#include <deal.II/lac/solver_control.h>
#include <deal.II/lac/vector.h>

#include <boost/signals2/connection.hpp>

#include <neuraldeal/plugin/operator_reference.h>
#include <neuraldeal/plugin/solution_basis.h>

#include <functional>
#include <memory>
#include <string>

namespace neuraldeal
{
  template <typename VectorType>
  class SolverSelector;

  template <typename VectorType>
  class ObservedControl;

  /**
   * A Krylov solver that starts from what is already known: from the
   * solutions it has returned before (SolutionBasis), and from a prediction,
   * where the program has one to offer. The call is that of deal.II's own
   * solvers,
   * @code
   * SurrogateSolver<VectorType> solver(control);
   * solver.solve(A, x, b, preconditioner);
   * @endcode
   * (or `inverse_operator(A, solver, preconditioner)`), and so is the result:
   * it is that of the solver called inner_solver and satisfies @p control.
   * Predictions change nothing but its start. One that is of no use is not
   * used, as SolutionSpace::project() says; a solve that fails from a start
   * that was found here is tried again from the program's own. A start that
   * satisfies @p control is returned as it is, after step 0.
   *
   * Use a SolverControl with an absolute tolerance. A ReductionControl is
   * relative to the residual of the start: it asks for more from a better
   * one. An IterationNumberControl does as many steps from a better one.
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
    /** As inverse_operator() wants to know it. */
    using vector_type = VectorType;

    /**
     * Writes a prediction into a vector that has the layout of the solution.
     * make_predictor() makes one from a trained Surrogate.
     */
    using Predictor = std::function<void(VectorType &prediction)>;

    struct AdditionalData
    {
      /**
       * @param inner_solver a name that SolverSelector knows, except
       * "surrogate".
       * @throw InputError for another one, naming those.
       */
      explicit AdditionalData(
        const std::string                                &inner_solver = "cg",
        const std::shared_ptr<SolutionBasis<VectorType>> &basis     = nullptr,
        const Predictor                                  &predictor = nullptr,
        const std::string                                &name  = "surrogate",
        const bool                                        learn = true,
        const typename SolutionBasis<VectorType>::AdditionalData &basis_data =
          typename SolutionBasis<VectorType>::AdditionalData());

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

      /** Without a @p basis: the data of the shared one. */
      typename SolutionBasis<VectorType>::AdditionalData basis_data;
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

    ~SurrogateSolver();

    /**
     * The inner solver, for the data that it has of its own:
     * `inner_solver().set_data(...)`.
     */
    SolverSelector<VectorType> &
    inner_solver();

    /** The prediction for the next solves; none for nullptr. */
    void
    set_predictor(const Predictor &predictor);

    /**
     * As dealii::SolverBase::connect(): @p slot is called with each step of
     * the inner solver, with the value that decides about convergence and
     * with the vector @p x of solve(), which is what deal.II's solvers hand
     * over (and which not all of them change in each step). It has a say in
     * whether to go on. Where it says failure, that is final; a solve that is
     * tried again for another reason begins with step 0 once more.
     *
     * A registered solver then gets a SolverControl that asks the program's
     * own and the slots, with the same number of steps and tolerance.
     */
    boost::signals2::connection
    connect(const std::function<dealii::SolverControl::State(
              const unsigned int iteration,
              const double       check_value,
              const VectorType  &current_iterate)> &slot);

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
    /**
     * The prediction for systems with solutions like @p x, or nothing;
     * agreed upon by their processes.
     */
    std::unique_ptr<VectorType>
    predict(const VectorType &x);

    dealii::SolverControl                       &control;
    AdditionalData                               data;
    std::unique_ptr<ObservedControl<VectorType>> observed;
    std::unique_ptr<SolverSelector<VectorType>>  inner;
    Report                                       report;
  };
} // namespace neuraldeal

#endif
