// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>

#include <neuraldeal/plugin/solver_selector.h>

namespace neuraldeal
{
  bool
  is_in_selection(const std::string &name, const std::string &names)
  {
    return name.find('|') == std::string::npos &&
           ("|" + names + "|").find("|" + name + "|") != std::string::npos;
  }



  std::string
  selection_as_list(const std::string &names)
  {
    std::string list;
    for (const char c : names)
      list += (c == '|' ? std::string(", ") : std::string(1, c));
    return list;
  }



  template <typename VectorType>
  SolverSelector<VectorType>::SolverSelector(const std::string     &name,
                                             dealii::SolverControl &control)
  {
    select(name);
    this->set_control(control);
  }



  template <typename VectorType>
  void
  SolverSelector<VectorType>::check_name(const std::string &name)
  {
    if (!is_in_selection(name, get_solver_names()))
      throw InputError("the program",
                       "the solver",
                       name,
                       "one of: " + selection_as_list(get_solver_names()));
  }



  template <typename VectorType>
  void
  SolverSelector<VectorType>::select(const std::string &name)
  {
    check_name(name);
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
    const std::string registered = SolverRegistry<VectorType>::names("|");
    return registered.empty() ? names : names + "|" + registered;
  }



  template <typename VectorType>
  bool
  SolverSelector<VectorType>::is_own() const
  {
    return !is_in_selection(
      this->solver_name,
      dealii::SolverSelector<VectorType>::get_solver_names());
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
        SurrogateSolver<VectorType>(*this->control, surrogate_data)
          .solve(A, x, b, preconditioner);
        return;
      }
    check_name(this->solver_name);
    const auto &entry =
      SolverRegistry<VectorType>::entries().at(this->solver_name);
    entry.factory(*this->control,
                  A,
                  x,
                  b,
                  preconditioner,
                  complete_parameters(entry.parameters,
                                      parameters,
                                      "the solver " + this->solver_name));
  }



  template class SolverSelector<dealii::Vector<double>>;
  template class SolverSelector<
    dealii::LinearAlgebra::distributed::Vector<double>>;
  template class SolverSelector<dealii::TrilinosWrappers::MPI::Vector>;
  template class SolverSelector<dealii::PETScWrappers::MPI::Vector>;
} // namespace neuraldeal
