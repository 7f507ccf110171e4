// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/utilities.h>

#include <deal.II/lac/block_vector.h>
#include <deal.II/lac/la_parallel_block_vector.h>
#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_block_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_parallel_block_vector.h>
#include <deal.II/lac/trilinos_vector.h>

#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/coupling/registry_parameters.h>
#include <neuraldeal/coupling/shared_libraries.h>
#include <neuraldeal/plugin/solver_selector.h>

#include <algorithm>
#include <limits>
#include <memory>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    /** What a .prm file is told of a solver. */
    struct Description
    {
      std::string                       name;
      std::string                       documentation;
      std::vector<ParameterDescription> parameters;
    };



    /** deal.II's own. Defaults are those of its classes. */
    template <typename VectorType>
    std::vector<Description>
    deal_ii_solvers()
    {
      constexpr double max_size = 100000;
      const typename SolverRichardson<VectorType>::AdditionalData richardson;
      const typename SolverBicgstab<VectorType>::AdditionalData   bicgstab;
      const typename SolverGMRES<VectorType>::AdditionalData      gmres;
      const typename SolverFGMRES<VectorType>::AdditionalData     fgmres;
      return {{"richardson",
               "steps along the preconditioned residual",
               {{"damping",
                 richardson.omega,
                 0.,
                 std::numeric_limits<double>::max(),
                 "Length of a step."}}},
              {"cg",
               "conjugate gradients, for symmetric positive definite matrices",
               {}},
              {"bicgstab",
               "BiCGStab, for any matrix",
               {{"exact residual",
                 bicgstab.exact_residual,
                 0.,
                 1.,
                 "Whether the residual is computed anew in each step."}}},
              {"gmres",
               "GMRES, for any matrix",
               {{"basis size",
                 compat::gmres_basis_size(gmres),
                 1.,
                 max_size,
                 "Directions between two restarts."},
                {"right preconditioning",
                 gmres.right_preconditioning,
                 0.,
                 1.,
                 "Whether to stop by the residual itself, not by the "
                 "preconditioned one."}}},
              {"fgmres",
               "GMRES with a preconditioner that may change or be nonlinear",
               {{"basis size",
                 fgmres.max_basis_size,
                 1.,
                 max_size,
                 "Directions between two restarts."}}},
              {"minres", "MINRES, for symmetric matrices", {}}};
    }



    /** The parameters of a SurrogateSolver that are numbers or flags. */
    template <typename VectorType>
    std::vector<ParameterDescription>
    surrogate_parameters()
    {
      const typename SolutionBasis<VectorType>::AdditionalData basis;
      return {{"learn", true, 0., 1., "Whether solutions are learned."},
              {"directions",
               basis.max_size,
               1.,
               1000.,
               "Of past solutions that are kept; each costs a product with "
               "the matrix a solve, and the memory of two vectors."},
              {"constant matrix",
               basis.constant_matrix,
               0.,
               1.,
               "Whether all systems have the same matrix."},
              {"forgetting",
               basis.forgetting,
               1e-6,
               1.,
               "Weight of the past at each new solution: small for slow "
               "changes in time, 1 for samples in no order."}};
    }



    /** The names "a|b|c" one by one. */
    std::vector<std::string>
    split(const std::string &names)
    {
      return Utilities::split_string_list(names, '|');
    }



    /** The inverse of split(). */
    std::string
    as_selection(const std::vector<std::string> &names)
    {
      std::string result;
      for (const auto &name : names)
        result += (result.empty() ? "" : "|") + name;
      return result;
    }



    bool
    contains(const std::vector<std::string> &names, const std::string &name)
    {
      return std::find(names.begin(), names.end(), name) != names.end();
    }



    /** Declare a choice, again where its names are new, and keep its value. */
    void
    declare_choice(ParameterHandler               &prm,
                   const std::string              &entry,
                   const std::vector<std::string> &names,
                   const std::string              &documentation,
                   const bool                      again)
    {
      const std::string value = again ? prm.get(entry) : "cg";
      prm.declare_entry(entry,
                        "cg",
                        Patterns::Selection(as_selection(names)),
                        documentation);
      prm.set(entry, value);
    }
  } // namespace



  template <typename VectorType>
  SolverSelector<VectorType>::SolverSelector(const std::string     &name,
                                             dealii::SolverControl &control)
  {
    select(name);
    set_control(control);
  }



  template <typename VectorType>
  void
  SolverSelector<VectorType>::set_control(SolverControl &control)
  {
    this->control = nullptr;
    this->control = &control;
  }



  template <typename VectorType>
  void
  SolverSelector<VectorType>::select(const std::string &name)
  {
    check_choice("the program", "the solver", name, split(get_solver_names()));
    dealii::SolverSelector<VectorType>::select(name);
  }



  template <typename VectorType>
  void
  SolverSelector<VectorType>::set_data(
    const typename SurrogateSolver<VectorType>::AdditionalData &data)
  {
    surrogate_data = data;
  }



  template <typename VectorType>
  void
  SolverSelector<VectorType>::set_parameters(const nlohmann::json &given)
  {
    parameters = given;
  }



  template <typename VectorType>
  std::string
  SolverSelector<VectorType>::get_solver_names()
  {
    std::string names =
      dealii::SolverSelector<VectorType>::get_solver_names() + "|surrogate";
    const auto own = split(names);
    for (const auto &[name, entry] : SolverRegistry<VectorType>::entries())
      {
        if (contains(own, name))
          throw InputError("the program",
                           "the name of a registered solver",
                           name,
                           "one that is not taken, as are: " + listed(own));
        names += "|" + name;
      }
    return names;
  }



  template <typename VectorType>
  std::vector<std::string>
  SolverSelector<VectorType>::get_inner_solver_names()
  {
    auto names = split(get_solver_names());
    names.erase(std::find(names.begin(), names.end(), "surrogate"));
    return names;
  }



  template <typename VectorType>
  void
  SolverSelector<VectorType>::declare_parameters(ParameterHandler  &prm,
                                                 const std::string &source)
  {
    const auto declared = std::make_shared<DeclaredClasses>();
    const auto declare  = [&prm, declared](const bool again) {
      std::string documentation = "The solver. ";
      for (const auto &solver : deal_ii_solvers<VectorType>())
        documentation += solver.name + ": " + solver.documentation + "; ";
      documentation += "surrogate: the inner solver, started from what past "
                        "solutions say of the next one";
      for (const auto &[name, entry] : SolverRegistry<VectorType>::entries())
        documentation += "; " + name + ": " + entry.documentation;
      declare_choice(
        prm, "Type", split(get_solver_names()), documentation + ".", again);
      prm.enter_subsection("surrogate");
      declare_choice(prm,
                     "Inner solver",
                     get_inner_solver_names(),
                     "The solver that does the work.",
                     again);
      prm.leave_subsection();
      declare_classes<SolverRegistry<VectorType>>(prm, *declared);
    };
    declare_shared_libraries(
      prm, [declare]() { declare(true); }, source);
    declare(false);

    for (const auto &solver : deal_ii_solvers<VectorType>())
      if (!solver.parameters.empty())
        {
          prm.enter_subsection(solver.name);
          declare_entries(prm, solver.parameters);
          prm.leave_subsection();
        }
    prm.enter_subsection("surrogate");
    prm.declare_entry("Name",
                      "surrogate",
                      Patterns::Anything(),
                      "Of what is learned: solvers with the same name learn "
                      "from each other.");
    declare_entries(prm, surrogate_parameters<VectorType>());
    prm.leave_subsection();
  }



  template <typename VectorType>
  void
  SolverSelector<VectorType>::parse_solver(ParameterHandler  &prm,
                                           const std::string &source,
                                           const std::string &name)
  {
    const auto solvers = deal_ii_solvers<VectorType>();
    const auto solver =
      std::find_if(solvers.begin(), solvers.end(), [&](const auto &s) {
        return s.name == name;
      });
    if (solver == solvers.end())
      {
        if (SolverRegistry<VectorType>::entries().count(name) > 0)
          parameters =
            parse_class<SolverRegistry<VectorType>>(prm, source, "Type", name);
        return;
      }
    if (solver->parameters.empty())
      return;
    prm.enter_subsection(name);
    const auto given = parse_entries(prm, solver->parameters, source);
    prm.leave_subsection();
    if (name == "richardson")
      {
        typename SolverRichardson<VectorType>::AdditionalData data;
        data.omega = given.at("damping");
        set_data(data);
      }
    else if (name == "bicgstab")
      {
        typename SolverBicgstab<VectorType>::AdditionalData data;
        data.exact_residual = given.at("exact residual");
        set_data(data);
      }
    else if (name == "gmres")
      {
        typename SolverGMRES<VectorType>::AdditionalData data;
        compat::set_gmres_basis_size(data, given.at("basis size"));
        data.right_preconditioning = given.at("right preconditioning");
        set_data(data);
      }
    else if (name == "fgmres")
      {
        typename SolverFGMRES<VectorType>::AdditionalData data;
        data.max_basis_size = given.at("basis size");
        set_data(data);
      }
    else
      Assert(false, ExcInternalError());
  }



  template <typename VectorType>
  void
  SolverSelector<VectorType>::parse_parameters(ParameterHandler  &prm,
                                               const std::string &source)
  {
    const std::string name = prm.get("Type");
    check_choice(source, "Type", name, split(get_solver_names()));
    dealii::SolverSelector<VectorType>::select(name);
    if (name != "surrogate")
      {
        parse_solver(prm, source, name);
        return;
      }
    prm.enter_subsection("surrogate");
    const std::string inner = prm.get("Inner solver");
    check_choice(source,
                 "surrogate/Inner solver",
                 inner,
                 get_inner_solver_names());
    const auto given =
      parse_entries(prm, surrogate_parameters<VectorType>(), source);
    surrogate_data.inner_solver = inner;
    surrogate_data.name         = prm.get("Name");
    surrogate_data.learn        = given.at("learn");
    surrogate_data.basis_data =
      typename SolutionBasis<VectorType>::AdditionalData(
        given.at("directions"),
        given.at("constant matrix"),
        given.at("forgetting"));
    prm.leave_subsection();
    parse_solver(prm, source, inner);
  }



  template <typename VectorType>
  bool
  SolverSelector<VectorType>::is_own() const
  {
    return !contains(split(
                       dealii::SolverSelector<VectorType>::get_solver_names()),
                     this->solver_name);
  }



  void
  forget_last_check(SolverControl &control)
  {
    struct Access : public SolverControl
    {
      static void
      forget(SolverControl &control)
      {
        control.*(&Access::lcheck) = iterate;
      }
    };
    Access::forget(control);
  }



  template <typename VectorType>
  void
  SolverSelector<VectorType>::solve_own(
    const OperatorReference<VectorType> &A,
    VectorType                          &x,
    const VectorType                    &b,
    const OperatorReference<VectorType> &preconditioner) const
  {
    if (this->solver_name == "surrogate")
      {
        SurrogateSolver<VectorType> solver(*this->control, surrogate_data);
        // All that was set here is meant for the inner solver.
        solver.inner_solver() = *this;
        solver.inner_solver().select(surrogate_data.inner_solver);
        solver.solve(A, x, b, preconditioner);
        return;
      }
    check_choice("the program",
                 "the solver",
                 this->solver_name,
                 split(get_solver_names()));
    const auto &entry =
      SolverRegistry<VectorType>::entries().at(this->solver_name);
    auto &control = *this->control;
    forget_last_check(control);
    entry.factory(control,
                  A,
                  x,
                  b,
                  preconditioner,
                  complete_parameters(entry.parameters,
                                      parameters,
                                      "the solver " + this->solver_name));
    if (control.last_check() != SolverControl::success)
      throw SolverControl::NoConvergence(control.last_step(),
                                         control.last_value());
  }



  template class SolverSelector<Vector<double>>;
  template class SolverSelector<LinearAlgebra::distributed::Vector<double>>;
  template class SolverSelector<TrilinosWrappers::MPI::Vector>;
  template class SolverSelector<PETScWrappers::MPI::Vector>;
  template class SolverSelector<BlockVector<double>>;
  template class SolverSelector<
    LinearAlgebra::distributed::BlockVector<double>>;
  template class SolverSelector<TrilinosWrappers::MPI::BlockVector>;
  template class SolverSelector<PETScWrappers::MPI::BlockVector>;
} // namespace neuraldeal
