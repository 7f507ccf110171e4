// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_solver_selector_h
#define neuraldeal_plugin_solver_selector_h

#include <deal.II/lac/solver_selector.h>

#include <neuraldeal/plugin/operator_reference.h>
#include <neuraldeal/plugin/surrogate_solver.h>
#include <neuraldeal/surrogates/registry.h>

#include <functional>
#include <string>

namespace neuraldeal
{
  template <typename VectorType>
  class SolverSelector;

  /**
   * A solver that anyone may add: solve A x = b with a preconditioner until
   * @p control says that it is enough, or throw
   * dealii::SolverControl::NoConvergence. The parameters are those that the
   * solver was registered with, by default or as given.
   */
  template <typename VectorType>
  using RegisteredSolver =
    std::function<void(dealii::SolverControl               &control,
                       const OperatorReference<VectorType> &A,
                       VectorType                          &x,
                       const VectorType                    &b,
                       const OperatorReference<VectorType> &preconditioner,
                       const nlohmann::json                &parameters)>;

  /**
   * The solvers that were added for one vector class. One line,
   * @code
   * static const SolverRegistry<VectorType>::Registration
   *   my_solver("my solver", "what it is", {}, my_solve);
   * @endcode
   * makes "my solver" a name that SolverSelector knows.
   */
  template <typename VectorType>
  using SolverRegistry =
    Registry<SolverSelector<VectorType>, RegisteredSolver<VectorType>>;

  /**
   * deal.II's SolverSelector, which is closed, opened: it also knows
   * "surrogate", the SurrogateSolver, and what is in the SolverRegistry. A
   * program that chooses its solver by name in a .prm file changes the class
   * and nothing else:
   * @code
   * prm.declare_entry("Solver", "cg",
   *   Patterns::Selection(
   *     neuraldeal::SolverSelector<VectorType>::get_solver_names()));
   * ...
   * neuraldeal::SolverSelector<VectorType> solver(prm.get("Solver"), control);
   * solver.solve(A, x, b, preconditioner);
   * @endcode
   */
  template <typename VectorType = dealii::Vector<double>>
  class SolverSelector : public dealii::SolverSelector<VectorType>
  {
  public:
    /** To be followed by select() and set_control(). */
    SolverSelector() = default;

    /** @throw InputError if there is no solver @p name, listing those. */
    SolverSelector(const std::string &name, dealii::SolverControl &control);

    /** @throw InputError if there is no solver @p name, listing those. */
    void
    select(const std::string &name);

    using dealii::SolverSelector<VectorType>::set_data;

    /** For the solver "surrogate". */
    void
    set_data(const typename SurrogateSolver<VectorType>::AdditionalData &data);

    /** For registered solvers: what is not as by default. */
    void
    set_parameters(const nlohmann::json &parameters);

    /**
     * Solve with the selected solver.
     * @throw dealii::SolverControl::NoConvergence
     * @throw InputError for a parameter that the solver does not have.
     */
    template <typename MatrixType, typename PreconditionerType>
    void
    solve(const MatrixType         &A,
          VectorType               &x,
          const VectorType         &b,
          const PreconditionerType &preconditioner) const
    {
      if (!is_own())
        dealii::SolverSelector<VectorType>::solve(A, x, b, preconditioner);
      else
        solve_own(A, x, b, preconditioner);
    }

    /** All names, separated as a Patterns::Selection wants them. */
    static std::string
    get_solver_names();

  private:
    /** @throw InputError if there is no solver @p name. */
    static void
    check_name(const std::string &name);

    /** Whether deal.II's class does not know the selected solver. */
    bool
    is_own() const;

    void
    solve_own(const OperatorReference<VectorType> &A,
              VectorType                          &x,
              const VectorType                    &b,
              const OperatorReference<VectorType> &preconditioner) const;

    typename SurrogateSolver<VectorType>::AdditionalData surrogate_data;
    nlohmann::json parameters = nlohmann::json::object();
  };

  /** Whether @p name is one of the @p names "a|b|c". */
  bool
  is_in_selection(const std::string &name, const std::string &names);

  /** The names "a|b|c" as "a, b, c". */
  std::string
  selection_as_list(const std::string &names);
} // namespace neuraldeal

#endif
