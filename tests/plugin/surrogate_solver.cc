// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/surrogate_solver.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "poisson.h"
#include "vector_types.h"

using namespace dealii;
using namespace neuraldeal;

template <typename VectorType>
class SurrogateSolverTest : public testing::Test
{
public:
  using Solver = SurrogateSolver<VectorType>;
  using Data   = typename Solver::AdditionalData;
  using Basis  = SolutionBasis<VectorType>;

  Poisson::Problem<VectorType> problem{4};

  /** The solution and the iterations from zero, without a surrogate. */
  std::pair<VectorType, unsigned int>
  reference() const
  {
    VectorType x;
    problem.reinit(x);
    const unsigned int n_iterations = problem.solve_cg(x);
    return {x, n_iterations};
  }

  /** Iterations of @p solver from @p x. */
  unsigned int
  solve(VectorType                    &x,
        const Data                    &data,
        typename Solver::Report *const report = nullptr) const
  {
    SolverControl control(10000, problem.tolerance());
    Solver        solver(control, data);
    solver.solve(problem.matrix,
                 x,
                 problem.right_hand_side,
                 Poisson::Jacobi<VectorType>(problem.matrix, x));
    if (report)
      *report = solver.last_report();
    EXPECT_EQ(control.last_check(), SolverControl::success);
    return control.last_step();
  }

  void
  expect_solution(const VectorType &x, const VectorType &reference) const
  {
    EXPECT_LE(problem.residual_norm(x), 1.01 * problem.tolerance());
    EXPECT_LE(problem.distance(x, reference), 1e-7);
  }
};

TYPED_TEST_SUITE(SurrogateSolverTest, VectorTypes);



TYPED_TEST(SurrogateSolverTest, LearnsFromItsOwnSolves)
{
  using VectorType       = TypeParam;
  unsigned int from_zero = 0, with_surrogate = 0;
  for (unsigned int i = 0; i < 30; ++i)
    {
      this->problem.assemble(this->problem.logarithms(i));
      const auto [solution, n_zero] = this->reference();

      // A solver object for each solve, as in most programs.
      VectorType x;
      this->problem.reinit(x);
      typename TestFixture::Data data;
      data.name            = "LearnsFromItsOwnSolves";
      const unsigned int n = this->solve(x, data);
      this->expect_solution(x, solution);
      if (i >= 20)
        {
          from_zero += n_zero;
          with_surrogate += n;
        }
    }
  EXPECT_LT(2 * with_surrogate, from_zero);
  if (Poisson::is_root())
    std::cout << "CG iterations a solve: from zero " << 0.1 * from_zero
              << ", with the surrogate " << 0.1 * with_surrogate << std::endl;
}



TYPED_TEST(SurrogateSolverTest, UsesAPrediction)
{
  using VectorType = TypeParam;
  this->problem.assemble(this->problem.logarithms(3));
  const auto [solution, n_zero] = this->reference();

  // Ones that err by one hundredth of a tenth of the diagonal.
  const VectorType jacobi_step = [&]() {
    VectorType y(solution);
    Poisson::Jacobi<VectorType>(this->problem.matrix, y)
      .vmult(y, this->problem.right_hand_side);
    return y;
  }();
  typename TestFixture::Data data(
    "cg", std::make_shared<SolutionBasis<VectorType>>());
  data.predictor = [&](VectorType &prediction) {
    prediction = solution;
    prediction.add(1e-2, jacobi_step);
  };
  VectorType x;
  this->problem.reinit(x);
  typename TestFixture::Solver::Report report;
  const unsigned int                   n = this->solve(x, data, &report);
  this->expect_solution(x, solution);
  EXPECT_EQ(report.start.dimension, 1u);
  EXPECT_EQ(report.start.method, Projection::Method::galerkin);
  EXPECT_TRUE(report.failed_prediction.empty());
  EXPECT_LT(n, n_zero);

  // A perfect one.
  data.basis     = std::make_shared<SolutionBasis<VectorType>>();
  data.predictor = [&](VectorType &prediction) { prediction = solution; };
  this->problem.reinit(x);
  EXPECT_LE(this->solve(x, data), 2u);
  this->expect_solution(x, solution);
}



TYPED_TEST(SurrogateSolverTest, BadPredictionsCostIterationsNeverTheAnswer)
{
  using VectorType = TypeParam;
  this->problem.assemble(this->problem.logarithms(2));
  const auto [solution, n_zero] = this->reference();
  const bool last_rank =
    Utilities::MPI::this_mpi_process(this->problem.communicator) + 1 ==
    Utilities::MPI::n_mpi_processes(this->problem.communicator);

  const auto fill = [](VectorType &x, const std::function<double(double)> &f) {
    for (const auto i : x.locally_owned_elements())
      x(i) = f(static_cast<double>(i));
    x.compress(VectorOperation::insert);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::map<std::string, typename TestFixture::Solver::Predictor> predictors;
  predictors["zero"]    = [](VectorType &x) { x = 0.; };
  predictors["nothing"] = [](VectorType &) {};
  predictors["garbage"] = [&](VectorType &x) {
    fill(x, [](const double i) { return std::sin(i * i); });
  };
  predictors["huge garbage"] = [&](VectorType &x) {
    fill(x, [](const double i) { return 1e30 * std::cos(i * i); });
  };
  predictors["overflow"] = [&](VectorType &x) {
    fill(x, [](const double) { return 1e300; });
  };
  predictors["tiny garbage"] = [&](VectorType &x) {
    fill(x, [](const double i) { return 1e-300 * std::cos(i * i); });
  };
  predictors["NaN"] = [&](VectorType &x) {
    fill(x, [&](const double) { return nan; });
  };
  predictors["NaN on one process"] = [&](VectorType &x) {
    fill(x, [&](const double i) { return last_rank ? nan : i; });
  };
  predictors["infinity"] = [&](VectorType &x) {
    fill(x, [&](const double) { return 1. / 0.; });
  };
  predictors["the wrong sign"] = [&](VectorType &x) {
    x = solution;
    x *= -1.;
  };
  predictors["failure"] = [](VectorType &) {
    throw std::runtime_error("no model");
  };
  predictors["failure on one process"] = [&](VectorType &) {
    if (last_rank)
      throw std::runtime_error("no model");
  };

  for (const auto &[name, predictor] : predictors)
    for (const double factor : {0., 0.1, 1e3})
      {
        // The host's own start: zero, of the right size, and bad.
        VectorType x;
        this->problem.reinit(x);
        fill(x, [&](const double i) { return factor * std::sin(i); });
        VectorType         y(x);
        const unsigned int n_host = this->problem.solve_cg(y);

        typename TestFixture::Data data(
          "cg", std::make_shared<SolutionBasis<VectorType>>(), predictor);
        typename TestFixture::Solver::Report report;
        const unsigned int                   n = this->solve(x, data, &report);
        SCOPED_TRACE(name);
        this->expect_solution(x, solution);
        EXPECT_LE(n, std::max(n_zero, n_host) + 5);
        EXPECT_EQ(report.failed_prediction.empty(),
                  name.find("failure") == std::string::npos);
        if (!report.failed_prediction.empty() && last_rank)
          {
            EXPECT_EQ(report.failed_prediction, "no model");
          }
      }
}



TYPED_TEST(SurrogateSolverTest, SurvivesABadBasis)
{
  using VectorType = TypeParam;
  this->problem.assemble(this->problem.logarithms(2));
  const auto [solution, n_zero] = this->reference();
  const auto basis              = std::make_shared<SolutionBasis<VectorType>>();
  for (unsigned int k = 0; k < 5; ++k)
    {
      VectorType x;
      this->problem.reinit(x);
      for (const auto i : x.locally_owned_elements())
        x(i) = std::pow(10., 20. * k) * std::sin(i * (k + 1.) * (i % 7));
      x.compress(VectorOperation::insert);
      ASSERT_TRUE(basis->learn(x));
    }
  VectorType x;
  this->problem.reinit(x);
  const unsigned int n =
    this->solve(x, typename TestFixture::Data("cg", basis));
  this->expect_solution(x, solution);
  EXPECT_LE(n, n_zero + 5);
}



TYPED_TEST(SurrogateSolverTest, WorksWithAllInnerSolvers)
{
  using VectorType = TypeParam;
  this->problem.assemble(this->problem.logarithms(2));
  const auto [solution, n_zero] = this->reference();
  for (const std::string name :
       {"cg", "minres", "gmres", "fgmres", "bicgstab", "richardson"})
    {
      SCOPED_TRACE(name);
      typename TestFixture::Data data(
        name, std::make_shared<SolutionBasis<VectorType>>());
      for (unsigned int repetition = 0; repetition < 2; ++repetition)
        {
          VectorType x;
          this->problem.reinit(x);
          SolverControl                control(20000, 1e-11);
          typename TestFixture::Solver solver(control, data);
          solver.solve(this->problem.matrix,
                       x,
                       this->problem.right_hand_side,
                       Poisson::Jacobi<VectorType>(this->problem.matrix, x));
          EXPECT_LE(this->problem.distance(x, solution), 1e-6);
          if (repetition == 1)
            {
              // The solution is known already.
              EXPECT_NE(solver.last_report().start.method,
                        Projection::Method::none);
              EXPECT_LT(control.last_step(), n_zero / 2);
            }
        }
    }
}



TYPED_TEST(SurrogateSolverTest, ThrowsWhatTheInnerSolverThrows)
{
  using VectorType = TypeParam;
  this->problem.assemble(this->problem.logarithms(2));
  const auto basis = std::make_shared<SolutionBasis<VectorType>>();
  VectorType x;
  this->problem.reinit(x);
  SolverControl                control(3, this->problem.tolerance());
  typename TestFixture::Solver solver(control,
                                      typename TestFixture::Data("cg", basis));
  EXPECT_THROW(solver.solve(this->problem.matrix,
                            x,
                            this->problem.right_hand_side,
                            Poisson::Jacobi<VectorType>(this->problem.matrix,
                                                        x)),
               SolverControl::NoConvergence);
  EXPECT_EQ(basis->size(), 0u); // what has not converged is not learned
}



TYPED_TEST(SurrogateSolverTest, RepeatsAFailedSolveFromTheHostsStart)
{
  using VectorType = TypeParam;
  this->problem.assemble(this->problem.logarithms(2));
  const auto [solution, n_zero] = this->reference();

  // The host's start is so good that it fails only with another one.
  VectorType x(solution);
  const auto basis = std::make_shared<SolutionBasis<VectorType>>();
  typename TestFixture::Data data("minres", basis);
  unsigned int               n_calls = 0;
  struct Failing
  {
    const Poisson::Jacobi<VectorType> jacobi;
    unsigned int                     &n_calls;
    void
    vmult(VectorType &dst, const VectorType &src) const
    {
      if (n_calls++ == 0)
        throw SolverControl::NoConvergence(0, 0.);
      jacobi.vmult(dst, src);
    }
  } failing{Poisson::Jacobi<VectorType>(this->problem.matrix, x), n_calls};

  VectorType other(this->problem.right_hand_side);
  basis->learn(other);
  data.inner_solver = "cg";
  this->problem.reinit(x);
  SolverControl                control(10000, this->problem.tolerance());
  typename TestFixture::Solver solver(control, data);
  solver.solve(this->problem.matrix, x, this->problem.right_hand_side, failing);
  EXPECT_TRUE(solver.last_report().repeated);
  this->expect_solution(x, solution);
  EXPECT_EQ(control.last_step(), n_zero);
}



TYPED_TEST(SurrogateSolverTest, NamesTheInnerSolversThereAre)
{
  try
    {
      typename TestFixture::Data data("conjugate gradients");
      FAIL();
    }
  catch (const InputError &error)
    {
      EXPECT_STREQ(error.what(),
                   "the program: the inner solver of a SurrogateSolver is "
                   "'conjugate gradients'; valid is one of: richardson, cg, "
                   "bicgstab, gmres, fgmres, minres.");
    }
}
