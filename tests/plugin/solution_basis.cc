// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/lac/precondition.h>
#include <deal.II/lac/solver_gmres.h>

#include <deal.II/numerics/matrix_tools.h>

#include <neuraldeal/plugin/solution_basis.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <iostream>
#include <limits>

#include "poisson.h"
#include "vector_types.h"

using namespace dealii;
using namespace neuraldeal;

template <typename VectorType>
class SolutionBasisTest : public testing::Test
{};

TYPED_TEST_SUITE(SolutionBasisTest, VectorTypes);



TYPED_TEST(SolutionBasisTest, SavesIterationsOfCG)
{
  using VectorType = TypeParam;
  for (const bool path : {false, true})
    {
      Poisson::Problem<VectorType> problem(4);
      SolutionBasis<VectorType>    basis;
      unsigned int from_zero = 0, from_previous = 0, from_guess = 0;
      VectorType   previous;
      problem.reinit(previous);
      for (unsigned int i = 0; i < 30; ++i)
        {
          problem.assemble(path ? problem.path(i) : problem.logarithms(i));
          VectorType zero, guess;
          problem.reinit(zero);
          problem.reinit(guess);

          const auto         report   = basis.guess(problem.matrix,
                                          problem.right_hand_side,
                                          guess,
                                          Symmetry::definite);
          const double       residual = problem.residual_norm(guess);
          const unsigned int n_zero   = problem.solve_cg(zero);
          const unsigned int n_guess  = problem.solve_cg(guess);
          if (i > 0)
            {
              EXPECT_EQ(report.method, Projection::Method::galerkin);
              EXPECT_NEAR(report.residual,
                          residual,
                          1e-8 * problem.right_hand_side.l2_norm());
            }

          // The same answer, to the tolerance of the solver.
          EXPECT_LE(problem.residual_norm(guess), 1.01 * problem.tolerance());
          EXPECT_LE(problem.distance(guess, zero), 1e-7);
          if (i >= 20)
            {
              from_zero += n_zero;
              from_guess += n_guess;
              from_previous += problem.solve_cg(previous);
            }
          previous = guess;
          ASSERT_TRUE(basis.learn(guess));
        }
      EXPECT_EQ(basis.size(), 20u);
      EXPECT_LT(2 * from_guess, from_zero);
      EXPECT_LT(2 * from_guess, from_previous);
      if (Poisson::is_root())
        std::cout << "CG iterations a solve, "
                  << (path ? "slow change" : "random") << ": from zero "
                  << 0.1 * from_zero << ", from the previous solution "
                  << 0.1 * from_previous << ", from the guess "
                  << 0.1 * from_guess << std::endl;
    }
}



TYPED_TEST(SolutionBasisTest, SavesIterationsOfGMRES)
{
  using VectorType = TypeParam;
  Poisson::Problem<VectorType> problem(4);
  SolutionBasis<VectorType>    basis;
  unsigned int                 from_zero = 0, from_guess = 0;
  for (unsigned int i = 0; i < 25; ++i)
    {
      problem.assemble(problem.path(i), Point<2>(10., 5.));
      const auto solve = [&](VectorType &x) {
        SolverControl control(10000, problem.tolerance());
        typename SolverGMRES<VectorType>::AdditionalData data;
        data.right_preconditioning = true;
        SolverGMRES<VectorType>(control, data)
          .solve(problem.matrix,
                 x,
                 problem.right_hand_side,
                 Poisson::Jacobi<VectorType>(problem.matrix, x));
        return control.last_step();
      };
      VectorType zero, guess;
      problem.reinit(zero);
      problem.reinit(guess);
      const auto report =
        basis.guess(problem.matrix, problem.right_hand_side, guess);
      const unsigned int n_guess = solve(guess), n_zero = solve(zero);
      if (i > 2)
        {
          EXPECT_EQ(report.method, Projection::Method::least_squares);
          EXPECT_LT(report.residual, report.host_residual);
        }
      EXPECT_LE(problem.residual_norm(guess), 1.01 * problem.tolerance());
      EXPECT_LE(problem.distance(guess, zero), 1e-6);
      if (i >= 15)
        {
          from_zero += n_zero;
          from_guess += n_guess;
        }
      basis.learn(guess);
    }
  EXPECT_LT(1.25 * from_guess, from_zero);
  if (Poisson::is_root())
    std::cout << "GMRES iterations a solve: from zero " << 0.1 * from_zero
              << ", from the guess " << 0.1 * from_guess << std::endl;
}



TYPED_TEST(SolutionBasisTest, KeepsProductsWithAConstantMatrix)
{
  using VectorType = TypeParam;
  Poisson::Problem<VectorType> problem(3);
  using Data = typename SolutionBasis<VectorType>::AdditionalData;
  SolutionBasis<VectorType> kept(Data(4, true)), computed(Data(4));
  problem.assemble(problem.logarithms(0));
  VectorType load(problem.right_hand_side);
  for (unsigned int i = 0; i < 8; ++i)
    {
      // Other loads with the same matrix: time steps.
      problem.right_hand_side.equ(1., load);
      VectorType x, y;
      problem.reinit(x);
      problem.reinit(y);
      const auto report = kept.guess(problem.matrix,
                                     problem.right_hand_side,
                                     x,
                                     Symmetry::definite);
      computed.guess(problem.matrix,
                     problem.right_hand_side,
                     y,
                     Symmetry::definite);
      if (i > 0)
        {
          EXPECT_LE(problem.distance(x, y), 1e-9);
          EXPECT_LE(report.n_matrix_products, i == 1 ? 4u : 2u);
        }
      problem.solve_cg(x);
      kept.learn(x);
      computed.learn(x);
      load.equ(1., x);
    }
}



TYPED_TEST(SolutionBasisTest, ForgetsOtherLayouts)
{
  using VectorType = TypeParam;
  Poisson::Problem<VectorType> coarse(2), fine(3);
  SolutionBasis<VectorType>    basis;
  for (const auto problem : {&coarse, &fine, &coarse})
    {
      problem->assemble(problem->logarithms(1));
      VectorType x, y;
      problem->reinit(x);
      problem->reinit(y);
      EXPECT_EQ(
        basis.guess(problem->matrix, problem->right_hand_side, x).method,
        Projection::Method::none);
      problem->solve_cg(x);
      EXPECT_TRUE(basis.learn(x));
      EXPECT_EQ(basis.size(), 1u);
      basis.guess(problem->matrix, problem->right_hand_side, y);
      EXPECT_LE(problem->distance(y, x), 1e-7);
    }
  basis.clear();
  EXPECT_EQ(basis.size(), 0u);
}



TYPED_TEST(SolutionBasisTest, IsSharedByNameAndSize)
{
  using VectorType = TypeParam;
  Poisson::Problem<VectorType> coarse(2), fine(3);
  using Basis      = SolutionBasis<VectorType>;
  const auto basis = Basis::shared("a", coarse.right_hand_side);
  EXPECT_EQ(basis, Basis::shared("a", coarse.right_hand_side));
  EXPECT_NE(basis, Basis::shared("b", coarse.right_hand_side));
  EXPECT_NE(basis, Basis::shared("a", fine.right_hand_side));
  EXPECT_EQ(basis, Basis::shared("a", coarse.right_hand_side));
}



TYPED_TEST(SolutionBasisTest, RejectsImpossibleData)
{
  using Data = typename SolutionBasis<TypeParam>::AdditionalData;
  EXPECT_THROW(Data(0), InputError);
  EXPECT_THROW(Data(5, false, 0.), InputError);
  EXPECT_THROW(Data(5, false, 1.1), InputError);
  try
    {
      Data(0);
    }
  catch (const InputError &error)
    {
      EXPECT_STREQ(error.what(),
                   "the program: the size of a SolutionBasis is '0'; valid "
                   "is a positive number.");
    }
}



/**
 * MatrixTools::apply_boundary_values can leave the columns of Dirichlet rows
 * as they are. The matrix is then not symmetric, and CG works only while the
 * residual in these rows is zero.
 */
TEST(SolutionBasisTest, RespectsRowsWithoutEliminatedColumns)
{
  Triangulation<2> triangulation;
  GridGenerator::hyper_cube(triangulation);
  triangulation.refine_global(4);
  const FE_Q<2> fe(1);
  DoFHandler<2> dof_handler(triangulation);
  dof_handler.distribute_dofs(fe);
  DynamicSparsityPattern sparsity(dof_handler.n_dofs());
  DoFTools::make_sparsity_pattern(dof_handler, sparsity);
  SparsityPattern pattern;
  pattern.copy_from(sparsity);
  SparseMatrix<double>          matrix(pattern);
  SolutionBasis<Vector<double>> basis;

  unsigned int from_zero = 0, from_guess = 0;
  for (unsigned int step = 0; step < 12; ++step)
    {
      const QGauss<2>                           quadrature(2);
      const ScalarFunctionFromFunctionObject<2> coefficient(
        [step](const Point<2> &p) {
          return 1. + 0.9 * std::sin(0.1 * step + 7. * p[0]);
        });
      const ScalarFunctionFromFunctionObject<2> boundary(
        [step](const Point<2> &p) {
          return 3. + p[0] + std::cos(0.2 * step + 3. * p[1]);
        });
      Vector<double> start(dof_handler.n_dofs()), b(dof_handler.n_dofs());
      matrix = 0.;
      MatrixCreator::create_laplace_matrix(dof_handler,
                                           quadrature,
                                           matrix,
                                           static_cast<const Function<2> *>(
                                             &coefficient));
      std::map<types::global_dof_index, double> values;
      VectorTools::interpolate_boundary_values(dof_handler,
                                               0,
                                               boundary,
                                               values);
      MatrixTools::apply_boundary_values(values, matrix, start, b, false);

      const auto solve = [&](Vector<double> &x) {
        SolverControl control(1000, 1e-10 * b.l2_norm());
        SolverCG<Vector<double>>(control).solve(matrix,
                                                x,
                                                b,
                                                PreconditionIdentity());
        return control.last_step();
      };
      Vector<double> zero(start), guess(start);
      basis.guess(matrix, b, guess, Symmetry::definite);
      for (const auto &[i, value] : values)
        ASSERT_NEAR(guess[i], value, 1e-12);
      const unsigned int n_zero = solve(zero), n_guess = solve(guess);
      guess -= zero;
      EXPECT_LE(guess.l2_norm(), 1e-6 * zero.l2_norm());
      if (step >= 6)
        {
          from_zero += n_zero;
          from_guess += n_guess;
        }
      basis.learn(zero);
    }
  EXPECT_LT(1.5 * from_guess, from_zero);
  if (Poisson::is_root())
    std::cout << "CG iterations in all, columns not eliminated: from zero "
              << from_zero << ", from the guess " << from_guess << std::endl;
}
