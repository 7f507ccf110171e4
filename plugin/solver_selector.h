// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_solver_selector_h
#define neuraldeal_plugin_solver_selector_h

#include <deal.II/base/parameter_handler.h>

#include <deal.II/lac/solver_selector.h>

#include <neuraldeal/plugin/operator_reference.h>
#include <neuraldeal/plugin/surrogate_solver.h>
#include <neuraldeal/surrogates/registry.h>

#include <functional>
#include <string>
#include <vector>

namespace neuraldeal
{
  template <typename VectorType>
  class SolverSelector;

  /**
   * A solver that anyone may add: solve A x = b with a preconditioner until
   * @p control says that it is enough, or throw
   * dealii::SolverControl::NoConvergence. The parameters are those that the
   * solver was registered with, by default or as given.
   *
   * A solver that returns without the last word of @p control having been
   * success counts as one that has not converged.
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
   * makes "my solver" a name that SolverSelector knows. The line may stand in
   * a shared library that SolverSelector::declare_parameters() finds in a .prm
   * file. A name of deal.II's solvers, or "surrogate", is not to be taken.
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
   * One that also wants the parameters of the solvers in its .prm file lets
   * them be declared:
   * @code
   * prm.enter_subsection("Linear solver");
   * neuraldeal::SolverSelector<VectorType>::declare_parameters(prm, file);
   * prm.leave_subsection();
   * prm.parse_input(file);
   * ...
   * neuraldeal::SolverSelector<VectorType> solver;
   * prm.enter_subsection("Linear solver");
   * solver.parse_parameters(prm, file);
   * prm.leave_subsection();
   * solver.set_control(control);
   * solver.solve(A, x, b, preconditioner);
   * @endcode
   * with, in the file,
   * @code
   * subsection Linear solver
   *   set Additional shared libraries = ./libmy_solver.so
   *   set Type = surrogate
   *   subsection surrogate
   *     set Inner solver = my solver
   *   end
   *   subsection my solver
   *     set Damping = 0.7
   *   end
   * end
   * @endcode
   * Implemented for the vectors of SurrogateSolver.
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

    /**
     * Solve with @p control from now on. It may stand where an earlier one that
     * is gone stood, as those of a function do that is called again; deal.II's
     * pointer takes it for the one that is gone then.
     */
    void
    set_control(dealii::SolverControl &control);

    using dealii::SolverSelector<VectorType>::set_data;

    /** For the solver "surrogate". */
    void
    set_data(const typename SurrogateSolver<VectorType>::AdditionalData &data);

    /** For registered solvers: what is not as by default. */
    void
    set_parameters(const nlohmann::json &parameters);

    /**
     * Declare in the current subsection "Additional shared libraries" (see
     * declare_shared_libraries()), "Type", the name of the solver, and a
     * subsection with the parameters of each solver that has any.
     * @param source the file, for what is said while it is read.
     */
    static void
    declare_parameters(dealii::ParameterHandler &prm,
                       const std::string        &source = "the parameter file");

    /**
     * Select the solver, and take its parameters, from these entries; for
     * "surrogate" those of the inner solver as well.
     * @param source the file, for error messages.
     * @throw InputError for a wrong one.
     */
    void
    parse_parameters(dealii::ParameterHandler &prm, const std::string &source);

    /** The name of the selected solver. */
    const std::string &
    selected() const
    {
      return this->solver_name;
    }

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

    /**
     * All names, separated as a Patterns::Selection wants them.
     * @throw InputError if one is registered that was taken.
     */
    static std::string
    get_solver_names();

    /** Those that a SurrogateSolver may work with. */
    static std::vector<std::string>
    get_inner_solver_names();

  private:
    /**
     * Set the data of deal.II's solver @p name, or the parameters of the
     * registered one, from its subsection.
     */
    void
    parse_solver(dealii::ParameterHandler &prm,
                 const std::string        &source,
                 const std::string        &name);

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

  /**
   * Make @p control not remember any success, so that one which it knows of
   * after a solve is that of the solve.
   */
  void
  forget_last_check(dealii::SolverControl &control);
} // namespace neuraldeal

#endif
