// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/plugin/local_vector.h>
#include <neuraldeal/plugin/surrogate_nonlinear_solver.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <limits>

namespace neuraldeal
{
  namespace
  {
    /** A function with the name that OperatorReference asks for. */
    template <typename VectorType>
    struct Operator
    {
      std::function<void(VectorType &, const VectorType &)> vmult;
    };

    /**
     * The norm of @p vector, infinite or NaN where its values are: that of
     * deal.II's own vectors stops the program in Debug.
     */
    template <typename VectorType>
    double
    norm_of(const VectorType &vector)
    {
      double sum = 0.;
      for (const double value : local_values(vector))
        sum += value * value;
      sum_over(communicator_of(vector))(&sum, 1);
      return std::sqrt(sum);
    }

    /**
     * The norm of the residual at @p u; NaN, everywhere, where that fails or
     * @p u is not finite.
     */
    template <typename VectorType, typename Residual>
    double
    residual_norm(const Residual &residual, const VectorType &u)
    {
      if (!std::isfinite(norm_of(u)))
        return std::numeric_limits<double>::quiet_NaN();
      double            norm    = std::numeric_limits<double>::quiet_NaN();
      const std::string failure = try_together(
        [&]() {
          VectorType f(u);
          f = 0.;
          residual(u, f);
          norm = norm_of(f);
        },
        communicator_of(u));
      return failure.empty() ? norm : std::numeric_limits<double>::quiet_NaN();
    }
  } // namespace



  template <typename VectorType>
  SurrogateNonlinearSolver<VectorType>::AdditionalData::AdditionalData(
    const unsigned int max_size,
    const unsigned int n_steps,
    const double       tolerance,
    const bool         learn)
    : max_size(max_size)
    , n_steps(n_steps)
    , tolerance(tolerance)
    , learn(learn)
  {
    if (!(tolerance >= 0. && std::isfinite(tolerance)))
      throw InputError("the program",
                       "the tolerance of a SurrogateNonlinearSolver",
                       std::to_string(tolerance),
                       "a positive number, or zero");
  }



  template <typename VectorType>
  SurrogateNonlinearSolver<VectorType>::SurrogateNonlinearSolver(
    const AdditionalData &data)
    : data(data)
  {}



  template <typename VectorType>
  void
  SurrogateNonlinearSolver<VectorType>::reinit(const VectorType &u)
  {
    // All processes keep the space, or none; those of another communicator may
    // have learned other things.
    const std::size_t n_local = n_local_values(u);
    const long        learned =
      space && space->n_local() == n_local ? space->n_learned() : -1;
    std::array<long, 2> state = {{learned, -learned}};
    MPI_Allreduce(
      MPI_IN_PLACE, state.data(), 2, MPI_LONG, MPI_MAX, communicator_of(u));
    if (learned < 0 || state[0] != -state[1])
      space =
        std::make_unique<NonlinearSpace>(n_local, data.max_size, data.n_steps);
  }



  template <typename VectorType>
  bool
  SurrogateNonlinearSolver<VectorType>::learn(const VectorType &u)
  {
    reinit(u);
    return space->learn(local_values(u).data(), sum_over(communicator_of(u)));
  }



  template <typename VectorType>
  NonlinearStart
  SurrogateNonlinearSolver<VectorType>::find_start(const Residual &residual,
                                                   VectorType     &u)
  {
    reinit(u);
    const MPI_Comm communicator = communicator_of(u);

    const auto together = [communicator](const std::function<void()> &work) {
      return try_together(work, communicator).empty();
    };
    const Operator<VectorType> evaluation{
      [&](VectorType &dst, const VectorType &src) {
        dst = 0.;
        residual(src, dst);
      }};
    const auto           evaluate = apply_to_arrays<VectorType>(evaluation, u);
    LocalNonlinearSystem system;
    system.residual = [&](double *dst, const double *src) {
      return together([&]() { evaluate(dst, src); });
    };

    VectorType                 point(u);
    const Operator<VectorType> derivative{
      [&](VectorType &dst, const VectorType &src) {
        dst = 0.;
        data.jacobian(point, src, dst);
      }};
    const auto differentiate = apply_to_arrays<VectorType>(derivative, u);
    if (data.jacobian)
      system.jacobian =
        [&](double *dst, const double *at, const double *direction) {
          set_local_values(point, at);
          return together([&]() { differentiate(dst, direction); });
        };

    VectorType constrained(u);
    if (data.distribute)
      system.distribute = [&](double *values) {
        set_local_values(constrained, values);
        data.distribute(constrained);
        get_local_values(constrained, values);
      };
    system.sum     = sum_over(communicator);
    system.process = process_number(communicator);

    std::vector<double>                    prediction;
    std::vector<NonlinearSpace::Candidate> candidates;
    std::string                            failure;
    if (data.predictor)
      {
        VectorType vector(u);
        vector  = 0.;
        failure = try_together([&]() { data.predictor(vector); }, communicator);
        if (failure.empty())
          {
            prediction = local_values(vector);
            candidates.emplace_back("the prediction", prediction.data());
          }
      }

    std::vector<double> start = local_values(u);
    NonlinearStart result = space->find_start(system, candidates, start.data());
    if (!failure.empty())
      result.left_out.push_back("the prediction: " + failure);
    if (result.changed())
      set_local_values(u, start.data());
    return result;
  }



  template <typename VectorType>
  void
  SurrogateNonlinearSolver<VectorType>::solve(
    const Residual                          &residual,
    const std::function<void(VectorType &)> &solver,
    VectorType                              &u)
  {
    report = Report();
    const VectorType own_start(u);
    report.start = find_start(residual, u);

    // What fails from the host's own start is the host's affair.
    const auto converged = [&]() {
      report.residual = residual_norm(residual, u);
      return data.tolerance > 0. ? report.residual <= data.tolerance :
                                   std::isfinite(report.residual);
    };
    bool good = false;
    if (report.start.changed())
      {
        report.failure = try_together([&]() { solver(u); }, communicator_of(u));
        // From a very good start, a step may be nothing but rounding.
        good = report.failure.empty() && converged() &&
               report.residual <= std::max({1.000001 * report.start.residual,
                                            1e-12 * report.start.host_residual,
                                            data.tolerance});
        if (!good)
          {
            if (report.failure.empty())
              report.failure = "the solver has returned a residual of " +
                               std::to_string(report.residual);
            report.repeated = true;
            u               = own_start;
          }
      }
    if (!report.start.changed() || report.repeated)
      {
        solver(u);
        good = converged();
      }

    if (good && data.learn)
      learn(u);
  }



  template class SurrogateNonlinearSolver<dealii::Vector<double>>;
  template class SurrogateNonlinearSolver<
    dealii::LinearAlgebra::distributed::Vector<double>>;
  template class SurrogateNonlinearSolver<
    dealii::TrilinosWrappers::MPI::Vector>;
  template class SurrogateNonlinearSolver<dealii::PETScWrappers::MPI::Vector>;
  template class SurrogateNonlinearSolver<dealii::BlockVector<double>>;
  template class SurrogateNonlinearSolver<
    dealii::LinearAlgebra::distributed::BlockVector<double>>;
  template class SurrogateNonlinearSolver<
    dealii::TrilinosWrappers::MPI::BlockVector>;
  template class SurrogateNonlinearSolver<
    dealii::PETScWrappers::MPI::BlockVector>;
} // namespace neuraldeal
