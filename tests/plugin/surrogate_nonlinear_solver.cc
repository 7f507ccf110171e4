// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/sundials/kinsol.h>

#include <neuraldeal/plugin/surrogate_nonlinear_solver.h>

#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "nonlinear_poisson.h"
#include "vector_types.h"

using namespace dealii;
using namespace neuraldeal;

template <typename VectorType>
class SurrogateNonlinearSolverTest : public testing::Test
{
public:
  using Solver = SurrogateNonlinearSolver<VectorType>;
  using Data   = typename Solver::AdditionalData;

  Poisson::NonlinearProblem<VectorType> problem{3};

  SurrogateNonlinearSolverTest()
  {
    problem.boundary = 0.3;
  }

  /** Data with the constraints of the problem. */
  Data
  constrained() const
  {
    Data data;
    data.distribute = [this](VectorType &u) { problem.distribute(u); };
    return data;
  }

  typename Solver::Residual
  residual() const
  {
    return
      [this](const VectorType &u, VectorType &f) { problem.residual(u, f); };
  }

  /** Newton steps of a solve with @p solver from @p u. */
  unsigned int
  solve(Solver &solver, VectorType &u)
  {
    unsigned int n_steps = 0;
    solver.solve(
      residual(), [&](VectorType &x) { n_steps = problem.newton(x); }, u);
    return n_steps;
  }

  /** KINSOL for the problem, with a Jacobian of its own for each step. */
  std::unique_ptr<SUNDIALS::KINSOL<VectorType>>
  kinsol()
  {
    using KINSOL = SUNDIALS::KINSOL<VectorType>;
    typename KINSOL::AdditionalData data;
    data.function_tolerance  = 1e-10;
    data.maximum_setup_calls = 1;
    auto solver = std::make_unique<KINSOL>(data, problem.communicator);
    solver->reinit_vector = [this](VectorType &x) { problem.reinit(x); };
    solver->residual      = [this](const VectorType &u, VectorType &f) {
      problem.residual(u, f);
      return 0;
    };
    solver->setup_jacobian = [this](const VectorType &u, const VectorType &) {
      problem.assemble_jacobian(u);
      return 0;
    };
    solver->solve_with_jacobian =
      [this](const VectorType &f, VectorType &update, const double) {
        problem.solve_jacobian(f, update);
        return 0;
      };
    return solver;
  }

  bool
  is_last_rank() const
  {
    return Utilities::MPI::this_mpi_process(problem.communicator) + 1 ==
           Utilities::MPI::n_mpi_processes(problem.communicator);
  }

  static void
  fill(VectorType &x, const std::function<double(double)> &f)
  {
    for (const auto i : x.locally_owned_elements())
      x(i) = f(static_cast<double>(i));
    x.compress(VectorOperation::insert);
  }
};

TYPED_TEST_SUITE(SurrogateNonlinearSolverTest, VectorTypes);



TYPED_TEST(SurrogateNonlinearSolverTest, LearnsFromItsOwnSolves)
{
  using VectorType = TypeParam;
  // Steps of Newton's method and of KINSOL, each with and without.
  unsigned int                 steps[2][2] = {{0, 0}, {0, 0}};
  typename TestFixture::Solver for_newton(this->constrained()),
    for_kinsol(this->constrained());
  const auto kinsol = this->kinsol();
  for (unsigned int i = 0; i < 20; ++i)
    {
      this->problem.choose(i);
      VectorType reference = this->problem.start(), u = reference,
                 v = reference, w = reference;
      const unsigned int n[2][2] = {
        {this->problem.newton(reference), this->solve(for_newton, u)},
        {kinsol->solve(v), for_kinsol.solve(*kinsol, w)}};
      for (const VectorType *x : {&u, &v, &w})
        EXPECT_LE(this->problem.distance(*x, reference), 1e-8);
      if (i >= 12)
        for (unsigned int k = 0; k < 4; ++k)
          steps[k / 2][k % 2] += n[k / 2][k % 2];
    }
  for (const auto &[without, with] : steps)
    EXPECT_LE(1.4 * with, without);
  if (Poisson::is_root())
    std::cout << "Newton steps a solve: " << steps[0][0] / 8. << ", with the "
              << "surrogate " << steps[0][1] / 8.
              << "; KINSOL: " << steps[1][0] / 8. << ", with the surrogate "
              << steps[1][1] / 8. << std::endl;
}



TYPED_TEST(SurrogateNonlinearSolverTest, ExtrapolatesSlowChanges)
{
  using VectorType = TypeParam;
  typename TestFixture::Solver solver(this->constrained());
  unsigned int                 without = 0, with = 0;
  for (unsigned int i = 0; i < 12; ++i)
    {
      this->problem.logarithms     = this->problem.path(i);
      VectorType         reference = this->problem.start(), u = reference;
      const unsigned int n_reference = this->problem.newton(reference),
                         n           = this->solve(solver, u);
      EXPECT_LE(this->problem.distance(u, reference), 1e-8);
      if (i >= 2)
        {
          EXPECT_EQ(solver.last_report().start.source, "the extrapolation");
          without += n_reference;
          with += n;
        }
    }
  EXPECT_LE(1.5 * with, without);
}



TYPED_TEST(SurrogateNonlinearSolverTest, TakesTheHostsJacobian)
{
  using VectorType            = TypeParam;
  auto         data           = this->constrained();
  unsigned int n_steps[2]     = {0, 0};
  unsigned int n_residuals[2] = {0, 0};
  for (const bool with_jacobian : {false, true})
    {
      // It is wanted at one point only.
      bool is_assembled = false;
      if (with_jacobian)
        data.jacobian = [&](const VectorType &u,
                            const VectorType &direction,
                            VectorType       &product) {
          if (!is_assembled)
            this->problem.assemble_jacobian(u);
          is_assembled = true;
          this->problem.matrix.vmult(product, direction);
        };
      typename TestFixture::Solver solver(data);
      for (unsigned int i = 0; i < 12; ++i)
        {
          this->problem.choose(i);
          is_assembled = false;
          VectorType u = this->problem.start();
          n_steps[with_jacobian] += this->solve(solver, u);
          const auto &start = solver.last_report().start;
          n_residuals[with_jacobian] += start.n_residuals;
          EXPECT_EQ(start.n_jacobian_products,
                    with_jacobian ? start.dimension : 0u);
        }
    }
  EXPECT_LT(1.5 * n_residuals[1], n_residuals[0]);
  EXPECT_LE(n_steps[1], n_steps[0] + 2);
}



TYPED_TEST(SurrogateNonlinearSolverTest, UsesAPrediction)
{
  using VectorType = TypeParam;
  this->problem.choose(3);
  VectorType         solution = this->problem.start();
  const unsigned int n_host   = this->problem.newton(solution);

  // One that is right up to a hundredth, and wrong in the constrained
  // unknowns.
  auto data      = this->constrained();
  data.predictor = [&](VectorType &prediction) {
    prediction = solution;
    prediction *= 1.01;
  };
  typename TestFixture::Solver solver(data);
  VectorType                   u = this->problem.start();
  EXPECT_LT(this->solve(solver, u), n_host);
  EXPECT_LE(this->problem.distance(u, solution), 1e-8);
  EXPECT_EQ(solver.last_report().start.source, "the prediction");
  EXPECT_TRUE(solver.last_report().start.left_out.empty());
  EXPECT_FALSE(solver.last_report().repeated);

  // A perfect one.
  data.predictor = [&](VectorType &prediction) { prediction = solution; };
  typename TestFixture::Solver other(data);
  u = this->problem.start();
  EXPECT_EQ(this->solve(other, u), 0u);
}



TYPED_TEST(SurrogateNonlinearSolverTest, BadPredictionsNeverChangeTheAnswer)
{
  using VectorType = TypeParam;
  this->problem.choose(0);
  VectorType past = this->problem.start();
  this->problem.newton(past);
  this->problem.choose(2);
  VectorType         solution = this->problem.start();
  const unsigned int n_host   = this->problem.newton(solution);

  const bool   last_rank = this->is_last_rank();
  const double nan       = std::numeric_limits<double>::quiet_NaN();
  std::map<std::string, std::function<void(VectorType &)>> predictors;
  predictors["zero"]    = [](VectorType &x) { x = 0.; };
  predictors["nothing"] = [](VectorType &) {};
  predictors["garbage"] = [&](VectorType &x) {
    this->fill(x, [](const double i) { return std::sin(i * i); });
  };
  predictors["huge garbage"] = [&](VectorType &x) {
    this->fill(x, [](const double i) { return 1e30 * std::cos(i * i); });
  };
  predictors["overflow"] = [&](VectorType &x) {
    this->fill(x, [](const double) { return 1e300; });
  };
  predictors["tiny garbage"] = [&](VectorType &x) {
    this->fill(x, [](const double i) { return 1e-300 * std::cos(i * i); });
  };
  predictors["not a number"] = [&](VectorType &x) {
    this->fill(x, [&](const double) { return nan; });
  };
  predictors["not a number on one rank"] = [&](VectorType &x) {
    this->fill(x, [&](const double) { return last_rank ? nan : 1.; });
  };
  predictors["failure"] = [](VectorType &) {
    throw std::runtime_error("no model");
  };
  predictors["failure on one rank"] = [&](VectorType &x) {
    x = 1.;
    if (last_rank)
      throw std::runtime_error("no model");
  };
  predictors["other constrained values"] = [&](VectorType &x) {
    x = solution;
    x.add(0.5);
  };

  for (const bool with_constraints : {false, true})
    for (const bool with_past : {false, true})
      for (const auto &[name, predictor] : predictors)
        {
          SCOPED_TRACE(name);
          typename TestFixture::Data data;
          if (with_constraints)
            data = this->constrained();
          data.predictor = predictor;
          typename TestFixture::Solver solver(data);
          if (with_past)
            solver.learn(past);
          VectorType         u = this->problem.start();
          const unsigned int n = this->solve(solver, u);
          EXPECT_LE(this->problem.distance(u, solution), 1e-8);
          EXPECT_LE(n, n_host + 1);
          const auto &left_out = solver.last_report().start.left_out;
          if (name.find("failure") == 0)
            {
              ASSERT_FALSE(left_out.empty());
              EXPECT_EQ(left_out.back(), "the prediction: no model");
            }
          else if (name.find("not a number") == 0)
            {
              ASSERT_FALSE(left_out.empty());
              EXPECT_EQ(left_out.front(), "the prediction: not finite");
            }
          else if (name == "other constrained values" && !with_constraints)
            {
              ASSERT_FALSE(left_out.empty());
              EXPECT_EQ(left_out.front(),
                        "the prediction: other values where F does not see "
                        "them; give the constraints");
            }
        }
}



TYPED_TEST(SurrogateNonlinearSolverTest, KeepsTheHostsStartWhereItIsBetter)
{
  using VectorType = TypeParam;
  auto data        = this->constrained();
  data.n_steps     = 0;
  data.predictor   = [&](VectorType &x) {
    this->fill(x, [](const double i) { return 10. * std::sin(i); });
  };
  typename TestFixture::Solver solver(data);
  for (const unsigned int i : {0, 1})
    {
      this->problem.choose(i);
      VectorType past = this->problem.start();
      this->problem.newton(past);
      solver.learn(past);
    }
  this->problem.choose(2);
  VectorType solution = this->problem.start();
  this->problem.newton(solution);
  VectorType good_start(solution);
  good_start *= 1.001;
  this->problem.distribute(good_start);

  VectorType u(good_start), seen(good_start);
  seen                      = 0.;
  this->problem.n_residuals = 0;
  solver.solve(
    this->residual(),
    [&](VectorType &x) {
      seen = x;
      // Its own start, the prediction, the newest, the extrapolation.
      EXPECT_EQ(this->problem.n_residuals, 4u);
      this->problem.newton(x);
    },
    u);
  EXPECT_EQ(this->problem.distance(seen, good_start), 0.);
  const auto &start = solver.last_report().start;
  EXPECT_FALSE(start.changed());
  EXPECT_EQ(start.source, "the host's");
  EXPECT_EQ(start.n_residuals, 4u);
  EXPECT_LE(this->problem.distance(u, solution), 1e-8);
}



TYPED_TEST(SurrogateNonlinearSolverTest, RepeatsAFailedSolveFromTheHostsStart)
{
  using VectorType = TypeParam;
  this->problem.choose(2);
  VectorType solution = this->problem.start();
  this->problem.newton(solution);

  auto data      = this->constrained();
  data.predictor = [&](VectorType &x) {
    x = solution;
    x *= 1.1;
  };
  const auto throws_on_one = [&](VectorType &x) {
    x = 7.;
    if (this->is_last_rank())
      throw std::runtime_error("no convergence");
  };
  const auto throws  = [](VectorType &) { throw std::logic_error("broken"); };
  const auto worse   = [](VectorType &x) { x = 7.; };
  const auto nothing = [](VectorType &) {};
  // One by one: in Debug, deal.II's vectors refuse to be set to it.
  const auto not_finite = [&](VectorType &x) {
    this->fill(x, [](const double) {
      return std::numeric_limits<double>::infinity();
    });
  };
  const std::vector<std::pair<std::function<void(VectorType &)>, double>>
    failures = {{throws_on_one, 0.},
                {throws, 0.},
                {worse, 0.},
                {not_finite, 0.},
                {nothing, 1e-8}};
  for (const auto &[failure, tolerance] : failures)
    {
      data.tolerance = tolerance;
      typename TestFixture::Solver solver(data);
      unsigned int                 n_calls = 0;
      VectorType                   u       = this->problem.start();
      const VectorType             own(u);
      solver.solve(
        this->residual(),
        [&](VectorType &x) {
          if (n_calls++ == 0)
            {
              EXPECT_GT(this->problem.distance(x, own), 0.);
              failure(x);
            }
          else
            {
              EXPECT_EQ(this->problem.distance(x, own), 0.);
              this->problem.newton(x);
            }
        },
        u);
      EXPECT_EQ(n_calls, 2u);
      EXPECT_TRUE(solver.last_report().repeated);
      EXPECT_FALSE(solver.last_report().failure.empty());
      EXPECT_LE(this->problem.distance(u, solution), 1e-8);
    }
}



TYPED_TEST(SurrogateNonlinearSolverTest, ThrowsWhatTheSolverThrows)
{
  using VectorType = TypeParam;
  this->problem.choose(2);
  typename TestFixture::Solver solver(this->constrained());
  VectorType                   u = this->problem.start();
  EXPECT_THROW(solver.solve(
                 this->residual(),
                 [](VectorType &) { throw std::logic_error("broken"); },
                 u),
               std::logic_error);

  // Nothing has been learned from that.
  this->solve(solver, u);
  EXPECT_EQ(solver.last_report().start.n_residuals, 0u);
  // But from this; with another size it is forgotten.
  u = this->problem.start();
  this->solve(solver, u);
  EXPECT_GT(solver.last_report().start.n_residuals, 0u);
  Poisson::NonlinearProblem<VectorType> other(2);
  other.choose(2);
  VectorType x = other.start();
  solver.solve([&](const VectorType &v,
                   VectorType       &f) { other.residual(v, f); },
               [&](VectorType &v) { other.newton(v); },
               x);
  EXPECT_EQ(solver.last_report().start.n_residuals, 0u);
}



/** A solver like NOX and SNES in deal.II, and one like their selector. */
template <typename VectorType, typename ResidualResult, typename Result>
struct SomeSolver
{
  std::function<ResidualResult(const VectorType &, VectorType &)> residual;
  std::function<unsigned int(VectorType &)>                       newton;

  Result
  solve(VectorType &u)
  {
    if constexpr (std::is_void_v<Result>)
      newton(u);
    else
      return newton(u);
  }
};



TYPED_TEST(SurrogateNonlinearSolverTest, TakesAnySolverWithAResidual)
{
  using VectorType = TypeParam;
  this->problem.choose(2);
  VectorType         solution = this->problem.start();
  const unsigned int n_host   = this->problem.newton(solution);
  auto               data     = this->constrained();
  data.predictor              = [&](VectorType &x) {
    x = solution;
    x *= 1.01;
  };
  const auto newton = [&](VectorType &u) { return this->problem.newton(u); };

  SomeSolver<VectorType, void, unsigned int> nox{this->residual(), newton};
  typename TestFixture::Solver               for_nox(data);
  VectorType                                 u = this->problem.start();
  EXPECT_LT(for_nox.solve(nox, u), n_host);
  EXPECT_LE(this->problem.distance(u, solution), 1e-8);

  SomeSolver<VectorType, void, void> selector{this->residual(), newton};
  typename TestFixture::Solver       for_selector(data);
  u = this->problem.start();
  for_selector.solve(selector, u);
  EXPECT_EQ(for_selector.last_report().start.source, "the prediction");
  EXPECT_LE(this->problem.distance(u, solution), 1e-8);

  // With the error codes of former versions of KINSOL, here for large
  // solutions and on one rank.
  SomeSolver<VectorType, int, unsigned int> with_codes{
    [&](const VectorType &x, VectorType &f) {
      this->problem.residual(x, f);
      const bool is_large = x.linfty_norm() > 100.;
      return is_large && this->is_last_rank() ? 1 : 0;
    },
    newton};
  data.predictor = [](VectorType &x) { x = 1000.; };
  typename TestFixture::Solver for_codes(data);
  u = this->problem.start();
  EXPECT_EQ(for_codes.solve(with_codes, u), n_host);
  ASSERT_EQ(for_codes.last_report().start.left_out.size(), 1u);
  EXPECT_EQ(for_codes.last_report().start.left_out[0],
            "the prediction: F cannot be evaluated there");

  nox.residual = nullptr;
  try
    {
      for_nox.solve(nox, u);
      FAIL();
    }
  catch (const InputError &error)
    {
      EXPECT_STREQ(error.what(),
                   "the program: the residual of a nonlinear solver is "
                   "'empty'; valid is a function, as starts are compared by "
                   "it.");
    }
}



TEST(SurrogateNonlinearSolverData, HasValidNumbers)
{
  EXPECT_THROW(SurrogateNonlinearSolver<Vector<double>>::AdditionalData(10,
                                                                        3,
                                                                        -1.),
               InputError);
}
