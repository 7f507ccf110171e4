// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/local_vector.h>
#include <neuraldeal/plugin/solver_selector.h>
#include <neuraldeal/plugin/surrogate_solver.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <exception>

namespace neuraldeal
{
  template <typename VectorType>
  SurrogateSolver<VectorType>::AdditionalData::AdditionalData(
    const std::string                                &inner_solver,
    const std::shared_ptr<SolutionBasis<VectorType>> &basis,
    const Predictor                                  &predictor,
    const std::string                                &name,
    const bool                                        learn)
    : inner_solver(inner_solver)
    , basis(basis)
    , predictor(predictor)
    , name(name)
    , learn(learn)
  {
    const std::string names =
      dealii::SolverSelector<VectorType>::get_solver_names();
    if (!is_in_selection(inner_solver, names))
      throw InputError("the program",
                       "the inner solver of a SurrogateSolver",
                       inner_solver,
                       "one of: " + selection_as_list(names));
  }



  template <typename VectorType>
  SurrogateSolver<VectorType>::SurrogateSolver(dealii::SolverControl &control,
                                               const AdditionalData  &data)
    : control(control)
    , data(data)
    , inner(data.inner_solver, control)
  {}



  template <typename VectorType>
  dealii::SolverSelector<VectorType> &
  SurrogateSolver<VectorType>::inner_solver()
  {
    return inner;
  }



  template <typename VectorType>
  void
  SurrogateSolver<VectorType>::solve(
    const OperatorReference<VectorType> &A,
    VectorType                          &x,
    const VectorType                    &b,
    const OperatorReference<VectorType> &preconditioner)
  {
    report = Report();
    const auto basis =
      data.basis ? data.basis : SolutionBasis<VectorType>::shared(data.name, x);

    VectorType                      prediction(x);
    std::vector<const VectorType *> candidates;
    if (data.predictor)
      {
        try
          {
            prediction = 0.;
            data.predictor(prediction);
          }
        catch (const std::exception &exception)
          {
            report.failed_prediction = exception.what();
          }
        int failed = !report.failed_prediction.empty();
        MPI_Allreduce(
          MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, communicator_of(x));
        if (!failed)
          candidates.push_back(&prediction);
        else if (report.failed_prediction.empty())
          report.failed_prediction = "it failed on another process";
      }

    VectorType own_start(x);
    report.start = basis->guess(A,
                                b,
                                x,
                                data.inner_solver == "cg" ? Symmetry::definite :
                                                            Symmetry::automatic,
                                candidates);
    try
      {
        inner.solve(A, x, b, preconditioner);
      }
    catch (const dealii::SolverControl::NoConvergence &)
      {
        if (report.start.method == Projection::Method::none)
          throw;
        report.repeated = true;
        x               = own_start;
        inner.solve(A, x, b, preconditioner);
      }

    if (data.learn)
      basis->learn(x);
  }



  template class SurrogateSolver<dealii::Vector<double>>;
  template class SurrogateSolver<
    dealii::LinearAlgebra::distributed::Vector<double>>;
  template class SurrogateSolver<dealii::TrilinosWrappers::MPI::Vector>;
  template class SurrogateSolver<dealii::PETScWrappers::MPI::Vector>;
} // namespace neuraldeal
