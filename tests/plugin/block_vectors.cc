// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// Two Poisson problems that exchange heat, as a 2x2 block system in the block
// vectors of all algebras.

#include <deal.II/lac/block_vector.h>
#include <deal.II/lac/la_parallel_block_vector.h>
#include <deal.II/lac/petsc_block_vector.h>
#include <deal.II/lac/trilinos_parallel_block_vector.h>

#include <neuraldeal/plugin/local_vector.h>
#include <neuraldeal/plugin/precondition_deflation.h>
#include <neuraldeal/plugin/solver_selector.h>
#include <neuraldeal/plugin/surrogate_solver.h>

#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "poisson.h"

using namespace dealii;
using namespace neuraldeal;

namespace
{
  /** [K₁ + c I, −c I; −c I, K₂ + c I] and its Jacobi preconditioner. */
  template <typename VectorType>
  class CoupledProblem
  {
  public:
    using BlockType = typename VectorType::BlockType;

    static constexpr double exchange = 0.3;

    Poisson::Problem<BlockType> first{3}, second{3};

    /** With sample number @p i of a slow path; the blocks differ. */
    void
    assemble(const unsigned int i)
    {
      first.assemble(first.path(i));
      second.assemble(second.path(i + 7));
      inverse_diagonal = make_vector();
      for (const unsigned int b : {0, 1})
        {
          auto &block = inverse_diagonal.block(b);
          for (const auto k : block.locally_owned_elements())
            block(k) = 1. / ((b == 0 ? first : second).matrix.diag_element(k) +
                             exchange);
          block.compress(VectorOperation::insert);
        }
      right_hand_side          = make_vector();
      right_hand_side.block(0) = first.right_hand_side;
      right_hand_side.block(1) = second.right_hand_side;
      right_hand_side.block(1) *= -3.;
    }

    VectorType
    make_vector() const
    {
      VectorType x;
      x.reinit(2);
      first.reinit(x.block(0));
      second.reinit(x.block(1));
      x.collect_sizes();
      return x;
    }

    /** The matrix. */
    void
    vmult(VectorType &dst, const VectorType &src) const
    {
      first.matrix.vmult(dst.block(0), src.block(0));
      second.matrix.vmult(dst.block(1), src.block(1));
      for (const unsigned int b : {0, 1})
        {
          dst.block(b).add(exchange, src.block(b));
          dst.block(b).add(-exchange, src.block(1 - b));
        }
    }

    struct Jacobi
    {
      const CoupledProblem &problem;

      void
      vmult(VectorType &dst, const VectorType &src) const
      {
        dst = src;
        dst.scale(problem.inverse_diagonal);
      }
    };

    double
    tolerance() const
    {
      return 1e-9 * right_hand_side.l2_norm();
    }

    double
    residual_norm(const VectorType &x) const
    {
      VectorType residual(x);
      vmult(residual, x);
      residual.sadd(-1., 1., right_hand_side);
      return residual.l2_norm();
    }

    VectorType right_hand_side, inverse_diagonal;
  };
} // namespace

template <typename VectorType>
class BlockVectors : public testing::Test
{
public:
  using Solver = SurrogateSolver<VectorType>;

  CoupledProblem<VectorType> problem;

  /** The solution by CG from zero, and its iterations. */
  VectorType
  reference(unsigned int &n_iterations) const
  {
    VectorType    x = problem.make_vector();
    SolverControl control(1000, problem.tolerance());
    SolverCG<VectorType>(control).solve(problem,
                                        x,
                                        problem.right_hand_side,
                                        jacobi);
    n_iterations = control.last_step();
    return x;
  }

  static double
  distance(const VectorType &x, const VectorType &y)
  {
    VectorType difference(x);
    difference.add(-1., y);
    return difference.l2_norm() / y.l2_norm();
  }

  const typename CoupledProblem<VectorType>::Jacobi jacobi{problem};
};

using BlockVectorTypes =
  testing::Types<BlockVector<double>,
                 LinearAlgebra::distributed::BlockVector<double>,
                 TrilinosWrappers::MPI::BlockVector,
                 PETScWrappers::MPI::BlockVector>;
TYPED_TEST_SUITE(BlockVectors, BlockVectorTypes);



TYPED_TEST(BlockVectors, ValuesAreCopiedBlockByBlock)
{
  TypeParam x = this->problem.make_vector();
  EXPECT_EQ(n_local_values(x), x.locally_owned_elements().n_elements());
  for (const auto i : x.locally_owned_elements())
    x(i) = 1. + i;
  x.compress(VectorOperation::insert);
  const auto  values = local_values(x);
  std::size_t k      = 0;
  for (const unsigned int b : {0, 1})
    for (const auto i : x.block(b).locally_owned_elements())
      EXPECT_EQ(values[k++], 1. + i + b * x.block(0).size());
  EXPECT_EQ(k, values.size());
  TypeParam y = this->problem.make_vector();
  set_local_values(y, values.data());
  EXPECT_EQ(this->distance(y, x), 0.);
}



TYPED_TEST(BlockVectors, LearnFromEarlierSolves)
{
  unsigned int from_zero = 0, with_surrogate = 0;
  for (unsigned int i = 0; i < 12; ++i)
    {
      this->problem.assemble(i);
      unsigned int    n_zero;
      const TypeParam solution = this->reference(n_zero);

      TypeParam     x = this->problem.make_vector();
      SolverControl control(1000, this->problem.tolerance());
      typename TestFixture::Solver::AdditionalData data;
      data.name = "LearnFromEarlierSolves";
      typename TestFixture::Solver solver(control, data);
      solver.solve(this->problem,
                   x,
                   this->problem.right_hand_side,
                   this->jacobi);
      EXPECT_LE(this->problem.residual_norm(x),
                1.01 * this->problem.tolerance());
      EXPECT_LE(this->distance(x, solution), 1e-6);
      if (i >= 8)
        {
          from_zero += n_zero;
          with_surrogate += control.last_step();
        }
    }
  EXPECT_LT(3 * with_surrogate, 2 * from_zero);
  if (Poisson::is_root())
    std::cout << "CG iterations a solve: from zero " << 0.25 * from_zero
              << ", with the surrogate " << 0.25 * with_surrogate << std::endl;

  // The same values in blocks of other sizes are another system.
  TypeParam x        = this->problem.make_vector();
  using Basis        = SolutionBasis<TypeParam>;
  const auto learned = Basis::shared("LearnFromEarlierSolves", x);
  EXPECT_GT(learned->size(), 0u);
  TypeParam other;
  other.reinit(1);
  this->problem.first.reinit(other.block(0));
  other.collect_sizes();
  EXPECT_EQ(Basis::shared("LearnFromEarlierSolves", other)->size(), 0u);
  EXPECT_EQ(Basis::shared("LearnFromEarlierSolves", x), learned);
  EXPECT_EQ(Basis::shared("LearnFromEarlierSolves",
                          x,
                          typename Basis::AdditionalData(5))
              ->size(),
            0u);
}



TYPED_TEST(BlockVectors, AllSolversByName)
{
  this->problem.assemble(1);
  unsigned int    n_zero;
  const TypeParam solution = this->reference(n_zero);
  for (const std::string name : {"richardson",
                                 "cg",
                                 "bicgstab",
                                 "gmres",
                                 "fgmres",
                                 "minres",
                                 "surrogate"})
    {
      SCOPED_TRACE(name);
      TypeParam     x = this->problem.make_vector();
      SolverControl control(10000, this->problem.tolerance());
      neuraldeal::SolverSelector<TypeParam> selector(name, control);
      selector.solve(this->problem,
                     x,
                     this->problem.right_hand_side,
                     this->jacobi);
      EXPECT_EQ(control.last_check(), SolverControl::success);
      EXPECT_LE(this->distance(x, solution), 1e-6);
    }
}



TYPED_TEST(BlockVectors, BadPredictionsCostNothing)
{
  this->problem.assemble(2);
  unsigned int    n_zero;
  const TypeParam solution = this->reference(n_zero);
  for (const std::string name :
       {"huge", "NaN in one block of one process", "failure on one process"})
    {
      SCOPED_TRACE(name);
      const auto predictor = [&](TypeParam &p) {
        const bool is_first =
          Utilities::MPI::this_mpi_process(communicator_of(p)) == 0;
        if (name == "huge")
          p.add(1e300);
        else if (name == "failure on one process")
          {
            if (is_first)
              throw std::runtime_error("no model");
          }
        else
          {
            if (is_first)
              for (const auto i : p.block(1).locally_owned_elements())
                p.block(1)(i) = std::numeric_limits<double>::quiet_NaN();
            p.compress(VectorOperation::insert);
          }
      };
      TypeParam                    x = this->problem.make_vector();
      SolverControl                control(1000, this->problem.tolerance());
      typename TestFixture::Solver solver(
        control,
        typename TestFixture::Solver::AdditionalData(
          "cg", std::make_shared<SolutionBasis<TypeParam>>(), predictor));
      solver.solve(this->problem,
                   x,
                   this->problem.right_hand_side,
                   this->jacobi);
      EXPECT_EQ(control.last_check(), SolverControl::success);
      EXPECT_LE(control.last_step(), n_zero + 5);
      EXPECT_LE(this->distance(x, solution), 1e-6);
      EXPECT_NE(solver.last_report().failed_prediction.empty(),
                name == "failure on one process");
    }
}



TYPED_TEST(BlockVectors, AreDeflated)
{
  SolutionBasis<TypeParam> basis(
    typename SolutionBasis<TypeParam>::AdditionalData(8, false, 1.));
  unsigned int n_zero;
  for (unsigned int i = 0; i < 8; ++i)
    {
      this->problem.assemble(5 * i);
      basis.learn(this->reference(n_zero));
    }
  this->problem.assemble(3);
  const TypeParam                        solution = this->reference(n_zero);
  TypeParam                              x        = this->problem.make_vector();
  const PreconditionDeflation<TypeParam> preconditioner(this->problem,
                                                        this->jacobi,
                                                        basis,
                                                        x);
  EXPECT_EQ(preconditioner.n_directions(), 8u);
  SolverControl control(1000, this->problem.tolerance());
  SolverCG<TypeParam>(control).solve(this->problem,
                                     x,
                                     this->problem.right_hand_side,
                                     preconditioner);
  EXPECT_LT(control.last_step(), n_zero);
  EXPECT_LE(this->distance(x, solution), 1e-6);
  if (Poisson::is_root())
    std::cout << "CG iterations: " << n_zero << ", deflated "
              << control.last_step() << std::endl;
}
