// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/lac/trilinos_precondition.h>
#include <deal.II/lac/trilinos_solver.h>

#include <neuraldeal/plugin/precondition_deflation.h>
#include <neuraldeal/plugin/trilinos/precondition_deflation.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <iostream>

#include "poisson.h"
#include "vector_types.h"

using namespace dealii;
using namespace neuraldeal;

template <typename VectorType>
class PreconditionDeflationTest : public testing::Test
{
public:
  Poisson::Problem<VectorType> problem{4};
  SolutionBasis<VectorType>    basis;

  /** Learn the solutions of the first samples. */
  void
  learn(const unsigned int n)
  {
    for (unsigned int i = 0; i < n; ++i)
      {
        problem.assemble(problem.logarithms(i));
        VectorType x;
        problem.reinit(x);
        problem.solve_cg(x);
        basis.learn(x);
      }
  }

  VectorType
  some_vector(const unsigned int k) const
  {
    VectorType x;
    problem.reinit(x);
    for (const auto i : x.locally_owned_elements())
      x(i) = std::sin(1. + k + i * (k + 0.3));
    x.compress(VectorOperation::insert);
    return x;
  }
};

TYPED_TEST_SUITE(PreconditionDeflationTest, VectorTypes);



TYPED_TEST(PreconditionDeflationTest, IsSymmetricPositiveAndLinear)
{
  using VectorType = TypeParam;
  this->learn(8);
  this->problem.assemble(this->problem.logarithms(50));
  VectorType                              x = this->some_vector(0);
  const Poisson::Jacobi<VectorType>       jacobi(this->problem.matrix, x);
  const PreconditionDeflation<VectorType> preconditioner(this->problem.matrix,
                                                         jacobi,
                                                         this->basis,
                                                         x);
  EXPECT_EQ(preconditioner.n_directions(), 8u);

  VectorType y = this->some_vector(1), px(x), py(x), sum(x), psum(x);
  preconditioner.vmult(px, x);
  preconditioner.vmult(py, y);
  EXPECT_NEAR(y * px, x * py, 1e-10 * px.l2_norm() * y.l2_norm());
  EXPECT_GT(x * px, 0.);
  EXPECT_GT(y * py, 0.);
  sum.add(-3., y);
  preconditioner.vmult(psum, sum);
  psum.add(-1., px);
  psum.add(3., py);
  EXPECT_LE(psum.l2_norm(), 1e-11 * px.l2_norm());

  // On the span it is the inverse of the matrix.
  VectorType z(x), az(x), paz(x);
  this->problem.reinit(z);
  this->basis.guess(this->problem.matrix,
                    this->problem.right_hand_side,
                    z,
                    Symmetry::definite);
  this->problem.matrix.vmult(az, z);
  preconditioner.vmult(paz, az);
  EXPECT_LE(this->problem.distance(paz, z), 1e-9);
}



TYPED_TEST(PreconditionDeflationTest, SavesIterations)
{
  using VectorType = TypeParam;
  this->learn(20);
  unsigned int plain = 0, deflated = 0, guessed = 0, both = 0;
  for (unsigned int i = 20; i < 30; ++i)
    {
      this->problem.assemble(this->problem.logarithms(i));
      VectorType reference;
      this->problem.reinit(reference);
      plain += this->problem.solve_cg(reference);
      const Poisson::Jacobi<VectorType> jacobi(this->problem.matrix, reference);
      const PreconditionDeflation<VectorType> preconditioner(
        this->problem.matrix, jacobi, this->basis, reference);
      for (const bool with_guess : {false, true})
        {
          VectorType x;
          this->problem.reinit(x);
          if (with_guess)
            {
              this->basis.guess(this->problem.matrix,
                                this->problem.right_hand_side,
                                x,
                                Symmetry::definite);
              VectorType y(x);
              guessed += this->problem.solve_cg(y);
            }
          SolverControl control(10000, this->problem.tolerance());
          SolverCG<VectorType>(control).solve(this->problem.matrix,
                                              x,
                                              this->problem.right_hand_side,
                                              preconditioner);
          (with_guess ? both : deflated) += control.last_step();
          EXPECT_LE(this->problem.residual_norm(x),
                    1.01 * this->problem.tolerance());
          EXPECT_LE(this->problem.distance(x, reference), 1e-7);
        }
    }
  EXPECT_LT(1.5 * deflated, plain);
  EXPECT_LE(both, guessed);
  if (Poisson::is_root())
    std::cout << "CG iterations a solve: Jacobi " << 0.1 * plain
              << ", with deflation " << 0.1 * deflated << ", with the guess "
              << 0.1 * guessed << ", with both " << 0.1 * both << std::endl;
}



TYPED_TEST(PreconditionDeflationTest, WithoutABasisIsTheInnerOne)
{
  using VectorType = TypeParam;
  this->problem.assemble(this->problem.logarithms(0));
  const VectorType                        x = this->some_vector(0);
  const Poisson::Jacobi<VectorType>       jacobi(this->problem.matrix, x);
  const PreconditionDeflation<VectorType> preconditioner(this->problem.matrix,
                                                         jacobi,
                                                         this->basis,
                                                         x);
  VectorType                              y(x), z(x);
  preconditioner.vmult(y, x);
  jacobi.vmult(z, x);
  EXPECT_EQ(this->problem.distance(y, z), 0.);
}



TYPED_TEST(PreconditionDeflationTest, WantsASymmetricMatrix)
{
  using VectorType = TypeParam;
  this->learn(4);
  const VectorType x = this->some_vector(0);
  this->problem.assemble(this->problem.logarithms(0), Point<2>(100., 30.));
  const Poisson::Jacobi<VectorType> jacobi(this->problem.matrix, x);
  const auto                        make = [&]() {
    PreconditionDeflation<VectorType>(this->problem.matrix,
                                      jacobi,
                                      this->basis,
                                      x);
  };
  EXPECT_THROW(make(), InputError);

  this->problem.assemble(this->problem.logarithms(0));
  this->problem.matrix *= -1.;
  EXPECT_THROW(make(), InputError);
}



/** With the solvers of Trilinos itself. */
TEST(TrilinosPreconditionDeflation, SavesIterationsOfAztecOO)
{
  using VectorType = TrilinosWrappers::MPI::Vector;
  Poisson::Problem<VectorType> problem(4);
  SolutionBasis<VectorType>    basis;
  unsigned int                 plain = 0, deflated = 0;
  for (unsigned int i = 0; i < 25; ++i)
    {
      problem.assemble(problem.logarithms(i));
      TrilinosWrappers::PreconditionJacobi jacobi;
      jacobi.initialize(problem.matrix);
      trilinos::PreconditionDeflation preconditioner;
      preconditioner.initialize(problem.matrix, jacobi, basis);

      VectorType x, y;
      problem.reinit(x);
      problem.reinit(y);
      SolverControl control(10000, problem.tolerance());
      TrilinosWrappers::SolverCG(control).solve(problem.matrix,
                                                x,
                                                problem.right_hand_side,
                                                jacobi);
      const unsigned int n_plain = control.last_step();
      TrilinosWrappers::SolverCG(control).solve(problem.matrix,
                                                y,
                                                problem.right_hand_side,
                                                preconditioner);
      EXPECT_LE(problem.residual_norm(y), 1.01 * problem.tolerance());
      EXPECT_LE(problem.distance(y, x), 1e-7);

      // The same operator as for deal.II's solvers.
      const PreconditionDeflation<VectorType> native(problem.matrix,
                                                     jacobi,
                                                     basis,
                                                     x);
      VectorType                              z(x), w(x);
      preconditioner.vmult(z, x);
      native.vmult(w, x);
      EXPECT_LE(problem.distance(z, w), 1e-12);

      if (i >= 15)
        {
          plain += n_plain;
          deflated += control.last_step();
        }
      basis.learn(x);
    }
  EXPECT_LT(1.5 * deflated, plain);
  if (Poisson::is_root())
    std::cout << "AztecOO CG iterations a solve: Jacobi " << 0.1 * plain
              << ", with deflation " << 0.1 * deflated << std::endl;
}
