// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// What SurrogateSolver has to be in the eyes of deal.II: its SolverControls,
// its signals, its inverse_operator().

#include <deal.II/lac/linear_operator.h>
#include <deal.II/lac/packaged_operation.h>
#include <deal.II/lac/petsc_solver.h>
#include <deal.II/lac/sparse_direct.h>
#include <deal.II/lac/trilinos_linear_operator.h>
#include <deal.II/lac/trilinos_solver.h>

#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/plugin/solver_selector.h>
#include <neuraldeal/plugin/surrogate_solver.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <memory>
#include <string>
#include <vector>

#include "poisson.h"
#include "vector_types.h"

using namespace dealii;
using namespace neuraldeal;

namespace
{
  template <typename VectorType>
  void
  solve_directly(const Poisson::Problem<VectorType> &problem, VectorType &x)
  {
    SolverControl control;
    if constexpr (Poisson::is_serial<VectorType>)
      {
        SparseDirectUMFPACK inverse;
        inverse.initialize(problem.matrix);
        inverse.vmult(x, problem.right_hand_side);
      }
    else if constexpr (std::is_same_v<VectorType, PETScWrappers::MPI::Vector>)
      compat::petsc_solver<PETScWrappers::SparseDirectMUMPS>(
        control, problem.communicator)
        .solve(problem.matrix, x, problem.right_hand_side);
    else
      TrilinosWrappers::SolverDirect(control).solve(problem.matrix,
                                                    x,
                                                    problem.right_hand_side);
  }



  template <typename VectorType>
  auto
  as_operator(const Poisson::MatrixFor<VectorType> &matrix)
  {
    if constexpr (std::is_same_v<VectorType, TrilinosWrappers::MPI::Vector>)
      return TrilinosWrappers::linear_operator<VectorType, VectorType>(matrix);
    else
      return linear_operator<VectorType, VectorType>(matrix);
  }
} // namespace

template <typename VectorType>
class SurrogateSolverInterface : public testing::Test
{
public:
  using Solver    = SurrogateSolver<VectorType>;
  using Data      = typename Solver::AdditionalData;
  using Registry  = SolverRegistry<VectorType>;
  using Reference = OperatorReference<VectorType>;

  Poisson::Problem<VectorType>                 problem{3};
  VectorType                                   solution;
  unsigned int                                 n_from_zero = 0;
  std::unique_ptr<Poisson::Jacobi<VectorType>> jacobi;

  void
  SetUp() override
  {
    problem.assemble(problem.logarithms(3));
    problem.reinit(solution);
    solve_directly(problem, solution);
    VectorType x;
    problem.reinit(x);
    n_from_zero = problem.solve_cg(x);
    jacobi =
      std::make_unique<Poisson::Jacobi<VectorType>>(problem.matrix, solution);
  }

  /** A solver's data with a basis of its own. */
  Data
  data(const std::string                &inner_solver = "cg",
       const typename Solver::Predictor &predictor    = nullptr) const
  {
    return Data(inner_solver,
                std::make_shared<SolutionBasis<VectorType>>(),
                predictor);
  }

  /** Ten per cent off, and rough. */
  void
  predict_roughly(VectorType &prediction) const
  {
    for (const auto i : prediction.locally_owned_elements())
      prediction(i) = solution(i) * (1. + 0.1 * std::sin(1. * i * i));
    prediction.compress(VectorOperation::insert);
  }

  void
  solve(Solver &solver, VectorType &x) const
  {
    solver.solve(problem.matrix, x, problem.right_hand_side, *jacobi);
  }
};

TYPED_TEST_SUITE(SurrogateSolverInterface, VectorTypes);



TYPED_TEST(SurrogateSolverInterface, AStartThatIsGoodEnoughIsReturnedInStepZero)
{
  for (const auto &name :
       neuraldeal::SolverSelector<TypeParam>::get_inner_solver_names())
    {
      SCOPED_TRACE(name);
      TypeParam x;
      this->problem.reinit(x);
      SolverControl                control(100,
                            1e-6 * this->problem.right_hand_side.l2_norm());
      typename TestFixture::Solver solver(
        control, this->data(name, [&](auto &p) { p = this->solution; }));
      this->solve(solver, x);
      EXPECT_EQ(control.last_check(), SolverControl::success);
      EXPECT_EQ(control.last_step(), 0u);
      EXPECT_LE(control.last_value(), control.tolerance());
      EXPECT_LE(this->problem.residual_norm(x), control.tolerance());
      EXPECT_FALSE(solver.last_report().repeated);
    }
}



TYPED_TEST(SurrogateSolverInterface, HonoursReductionControl)
{
  TypeParam x;
  this->problem.reinit(x);
  ReductionControl             control(1000, 1e-30, 1e-3);
  typename TestFixture::Solver solver(control, this->data("cg", [&](auto &p) {
    this->predict_roughly(p);
  }));
  this->solve(solver, x);
  const auto &start = solver.last_report().start;
  ASSERT_NE(start.method, Projection::Method::none);
  EXPECT_EQ(control.last_check(), SolverControl::success);
  // Relative to the start that was found.
  EXPECT_NEAR(control.initial_value(), start.residual, 1e-9 * start.residual);
  EXPECT_LE(control.last_value(), 1e-3 * control.initial_value());
  EXPECT_LE(this->problem.residual_norm(x), 1.01e-3 * start.residual);
}



TYPED_TEST(SurrogateSolverInterface, HonoursIterationNumberControl)
{
  double residual[2];
  for (const bool with_prediction : {false, true})
    {
      TypeParam x;
      this->problem.reinit(x);
      IterationNumberControl control(4, 1e-30);
      auto                   data = this->data();
      if (with_prediction)
        data.predictor = [&](auto &p) {
          p = this->solution;
          p.add(1e-3, this->problem.right_hand_side);
        };
      typename TestFixture::Solver solver(control, data);
      this->solve(solver, x);
      EXPECT_EQ(control.last_check(), SolverControl::success);
      EXPECT_EQ(control.last_step(), 4u);
      residual[with_prediction] = this->problem.residual_norm(x);
    }
  EXPECT_LT(residual[1], residual[0]);
}



TYPED_TEST(SurrogateSolverInterface, WhoIsConnectedSeesEachStep)
{
  SolverControl control(1000, this->problem.tolerance());
  control.enable_history_data();
  typename TestFixture::Solver solver(control, this->data());
  std::vector<double>          values;
  const TypeParam             *last       = nullptr;
  const auto                   connection = solver.connect(
    [&](const unsigned int step, const double value, const TypeParam &iterate) {
      EXPECT_EQ(step, values.size());
      values.push_back(value);
      last = &iterate;
      return SolverControl::success;
    });
  TypeParam x;
  this->problem.reinit(x);
  this->solve(solver, x);
  EXPECT_EQ(last, &x);
  EXPECT_EQ(values, control.get_history_data());
  EXPECT_EQ(values.size(), this->n_from_zero + 1);
  EXPECT_EQ(control.last_step(), this->n_from_zero);
  EXPECT_LE(this->problem.residual_norm(x), 1.01 * this->problem.tolerance());

  // Who leaves sees nothing, and nobody is needed.
  connection.disconnect();
  this->problem.reinit(x);
  this->solve(solver, x);
  EXPECT_EQ(values.size(), this->n_from_zero + 1);
  EXPECT_EQ(control.last_check(), SolverControl::success);
}



TYPED_TEST(SurrogateSolverInterface, WhoIsConnectedHasASay)
{
  const auto basis = std::make_shared<SolutionBasis<TypeParam>>();
  for (const std::string name : {"cg", "gmres", "minres"})
    {
      SCOPED_TRACE(name);
      // Two more steps than the control wants.
      SolverControl control(1000, this->problem.tolerance());
      unsigned int  n_content = 0;
      {
        typename TestFixture::Solver solver(control, this->data(name));
        solver.connect(
          [&](const unsigned int, const double value, const auto &) {
            n_content += value <= this->problem.tolerance();
            return n_content > 2 ? SolverControl::success :
                                   SolverControl::iterate;
          });
        TypeParam x;
        this->problem.reinit(x);
        this->solve(solver, x);
        EXPECT_EQ(n_content, 3u);
      }
      // The end, with no second attempt, although there is a prediction.
      {
        typename TestFixture::Solver solver(control,
                                            this->data(name, [&](auto &p) {
                                              this->predict_roughly(p);
                                            }));
        unsigned int                 n_calls = 0;
        solver.connect(
          [&](const unsigned int step, const double, const auto &) {
            ++n_calls;
            return step == 3 ? SolverControl::failure : SolverControl::success;
          });
        TypeParam x;
        this->problem.reinit(x);
        EXPECT_THROW(this->solve(solver, x), SolverControl::NoConvergence);
        EXPECT_EQ(n_calls, 4u);
        EXPECT_NE(solver.last_report().start.method, Projection::Method::none);
        EXPECT_FALSE(solver.last_report().repeated);
      }
    }
}



TYPED_TEST(SurrogateSolverInterface, ARegisteredSolverCanDoTheWork)
{
  using Reference       = typename TestFixture::Reference;
  using RegisteredType  = typename TestFixture::Registry::Registration;
  unsigned int n_calls  = 0;
  bool         gives_up = false;
  // As most would: one of the solvers of the library the host works with.
  const RegisteredType mine("mine",
                            "conjugate gradients, or nothing",
                            {},
                            [&](SolverControl   &control,
                                const Reference &A,
                                TypeParam       &x,
                                const TypeParam &b,
                                const Reference &preconditioner,
                                const nlohmann::json &) {
                              ++n_calls;
                              if (!gives_up)
                                SolverCG<TypeParam>(control).solve(
                                  A, x, b, preconditioner);
                            });

  SolverControl                control(1000, this->problem.tolerance());
  typename TestFixture::Solver solver(control, this->data("mine"));
  unsigned int                 n_steps = 0;
  solver.connect([&](const unsigned int, const double, const auto &) {
    ++n_steps;
    return SolverControl::success;
  });
  TypeParam x;
  this->problem.reinit(x);
  this->solve(solver, x);
  EXPECT_EQ(n_calls, 1u);
  EXPECT_EQ(n_steps, this->n_from_zero + 1);
  EXPECT_LE(this->problem.distance(x, this->solution), 1e-7);

  // One that returns as if all were well, after a solve that was: from the
  // prediction first, then from the host's own start.
  gives_up = true;
  this->problem.reinit(x);
  EXPECT_THROW(this->solve(solver, x), SolverControl::NoConvergence);
  EXPECT_EQ(n_calls, 3u);
  EXPECT_TRUE(solver.last_report().repeated);
  EXPECT_NE(control.last_check(), SolverControl::success);
  TestFixture::Registry::entries().erase("mine");
}



TYPED_TEST(SurrogateSolverInterface, IsASolverOfInverseOperator)
{
  SolverControl                control(1000, 1e-3 * this->problem.tolerance());
  typename TestFixture::Solver solver(control, this->data());
  const auto                   A = as_operator<TypeParam>(this->problem.matrix);
  const auto inverse             = inverse_operator(A, solver, *this->jacobi);

  TypeParam x(this->solution);
  x = inverse * this->problem.right_hand_side;
  EXPECT_GT(control.last_step(), 10u);
  EXPECT_LE(this->problem.distance(x, this->solution), 1e-10);
  x = 0.;
  inverse.Tvmult(x, this->problem.right_hand_side); // A is symmetric
  EXPECT_LE(this->problem.distance(x, this->solution), 1e-10);
  EXPECT_LE(control.last_step(), 2u); // and the solution known

  // In an expression, and with its own kind as the preconditioner.
  TypeParam y(this->solution);
  y = (2. * inverse * A) * this->solution;
  y *= 0.5;
  EXPECT_LE(this->problem.distance(y, this->solution), 1e-10);
  const auto plain = inverse_operator(A, solver, identity_operator(A));
  y                = plain * this->problem.right_hand_side;
  EXPECT_LE(this->problem.distance(y, this->solution), 1e-10);
}



TYPED_TEST(SurrogateSolverInterface, APredictionOfAnotherSizeIsNone)
{
  TypeParam x;
  this->problem.reinit(x);
  SolverControl                control(1000, this->problem.tolerance());
  typename TestFixture::Solver solver(control, this->data("cg", [](auto &p) {
    p = TypeParam();
  }));
  this->solve(solver, x);
  EXPECT_EQ(solver.last_report().failed_prediction,
            "it has another layout than the solution");
  EXPECT_LE(this->problem.distance(x, this->solution), 1e-7);

  // Another predictor, and none.
  this->problem.reinit(x);
  solver.set_predictor([&](auto &p) { p = this->solution; });
  this->solve(solver, x);
  EXPECT_TRUE(solver.last_report().failed_prediction.empty());
  EXPECT_LE(control.last_step(), 1u);
  this->problem.reinit(x);
  solver.set_predictor(nullptr);
  this->solve(solver, x);
  EXPECT_TRUE(solver.last_report().failed_prediction.empty());
}
