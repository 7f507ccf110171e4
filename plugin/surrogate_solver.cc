// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <boost/signals2/signal.hpp>

#include <neuraldeal/plugin/local_vector.h>
#include <neuraldeal/plugin/solver_selector.h>
#include <neuraldeal/plugin/surrogate_solver.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <exception>

namespace neuraldeal
{
  /**
   * The program's SolverControl, and those who are connected to a solver. It
   * reaches into any solver, also into one that is no dealii::SolverBase.
   */
  template <typename VectorType>
  class ObservedControl : public dealii::SolverControl
  {
  public:
    /** As in dealii::SolverBase: failure is final, and all have to be content.
     */
    struct StateCombiner
    {
      using result_type = State;

      static State
      combined(const State a, const State b)
      {
        if (a == failure || b == failure)
          return failure;
        return a == iterate || b == iterate ? iterate : success;
      }

      template <typename Iterator>
      State
      operator()(Iterator begin, const Iterator end) const
      {
        State result = success;
        for (; begin != end; ++begin)
          result = combined(result, *begin);
        return result;
      }
    };

    explicit ObservedControl(dealii::SolverControl &control)
      : control(control)
    {}

    /** Before a solve that writes into @p x. */
    void
    begin(const VectorType &x)
    {
      forget_last_check(control);
      this->set_max_steps(control.max_steps());
      this->set_tolerance(control.tolerance());
      iterate_vector = &x;
      stopped        = false;
    }

    State
    check(const unsigned int step, const double check_value) override
    {
      const State own   = control.check(step, check_value);
      const State slots = signal(step, check_value, *iterate_vector);
      stopped           = stopped || slots == failure;
      this->lstep       = step;
      this->lvalue      = check_value;
      this->lcheck      = StateCombiner::combined(own, slots);
      return this->lcheck;
    }

    boost::signals2::signal<
      State(const unsigned int, const double, const VectorType &),
      StateCombiner>
      signal;

    /** Whether a slot has said failure. */
    bool stopped = false;

  private:
    dealii::SolverControl &control;
    const VectorType      *iterate_vector = nullptr;
  };



  template <typename VectorType>
  SurrogateSolver<VectorType>::AdditionalData::AdditionalData(
    const std::string                                        &inner_solver,
    const std::shared_ptr<SolutionBasis<VectorType>>         &basis,
    const Predictor                                          &predictor,
    const std::string                                        &name,
    const bool                                                learn,
    const typename SolutionBasis<VectorType>::AdditionalData &basis_data)
    : inner_solver(inner_solver)
    , basis(basis)
    , predictor(predictor)
    , name(name)
    , learn(learn)
    , basis_data(basis_data)
  {
    check_choice("the program",
                 "the inner solver of a SurrogateSolver",
                 inner_solver,
                 SolverSelector<VectorType>::get_inner_solver_names());
  }



  template <typename VectorType>
  SurrogateSolver<VectorType>::SurrogateSolver(dealii::SolverControl &control,
                                               const AdditionalData  &data)
    : control(control)
    , data(data)
    , inner(std::make_unique<SolverSelector<VectorType>>(data.inner_solver,
                                                         control))
  {}



  template <typename VectorType>
  SurrogateSolver<VectorType>::~SurrogateSolver() = default;



  template <typename VectorType>
  SolverSelector<VectorType> &
  SurrogateSolver<VectorType>::inner_solver()
  {
    return *inner;
  }



  template <typename VectorType>
  void
  SurrogateSolver<VectorType>::set_predictor(const Predictor &predictor)
  {
    data.predictor = predictor;
  }



  template <typename VectorType>
  boost::signals2::connection
  SurrogateSolver<VectorType>::connect(
    const std::function<dealii::SolverControl::State(const unsigned int,
                                                     const double,
                                                     const VectorType &)> &slot)
  {
    if (!observed)
      observed = std::make_unique<ObservedControl<VectorType>>(control);
    return observed->signal.connect(slot);
  }



  template <typename VectorType>
  std::unique_ptr<VectorType>
  SurrogateSolver<VectorType>::predict(const VectorType &x)
  {
    if (!data.predictor)
      return nullptr;
    auto prediction = std::make_unique<VectorType>(x);
    try
      {
        *prediction = 0.;
        data.predictor(*prediction);
        if (n_local_values(*prediction) != n_local_values(x))
          report.failed_prediction = "it has another layout than the solution";
      }
    catch (const std::exception &exception)
      {
        report.failed_prediction = exception.what();
        if (report.failed_prediction.empty())
          report.failed_prediction = "it failed";
      }
    int failed = !report.failed_prediction.empty();
    MPI_Allreduce(
      MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, communicator_of(x));
    if (!failed)
      return prediction;
    if (report.failed_prediction.empty())
      report.failed_prediction = "it failed on another process";
    return nullptr;
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
      data.basis ?
        data.basis :
        SolutionBasis<VectorType>::shared(data.name, x, data.basis_data);
    const VectorType                own_start(x);
    std::vector<const VectorType *> candidates;
    const auto                      prediction = predict(x);
    if (prediction)
      candidates.push_back(prediction.get());
    report.start = basis->guess(A,
                                b,
                                x,
                                inner->selected() == "cg" ? Symmetry::definite :
                                                            Symmetry::automatic,
                                candidates);

    const auto solve_from_x = [&]() {
      if (observed)
        {
          observed->begin(x);
          inner->set_control(*observed);
        }
      inner->solve(A, x, b, preconditioner);
    };
    try
      {
        solve_from_x();
      }
    catch (const dealii::SolverControl::NoConvergence &)
      {
        if (report.start.method == Projection::Method::none ||
            (observed && observed->stopped))
          throw;
        report.repeated = true;
        x               = own_start;
        solve_from_x();
      }

    if (data.learn)
      basis->learn(x);
  }



  template class SurrogateSolver<dealii::Vector<double>>;
  template class SurrogateSolver<
    dealii::LinearAlgebra::distributed::Vector<double>>;
  template class SurrogateSolver<dealii::TrilinosWrappers::MPI::Vector>;
  template class SurrogateSolver<dealii::PETScWrappers::MPI::Vector>;
  template class SurrogateSolver<dealii::BlockVector<double>>;
  template class SurrogateSolver<
    dealii::LinearAlgebra::distributed::BlockVector<double>>;
  template class SurrogateSolver<dealii::TrilinosWrappers::MPI::BlockVector>;
  template class SurrogateSolver<dealii::PETScWrappers::MPI::BlockVector>;
} // namespace neuraldeal
