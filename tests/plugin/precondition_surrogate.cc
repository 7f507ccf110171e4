// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/lac/solver_gmres.h>

#include <neuraldeal/plugin/precondition_surrogate.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <cmath>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>

#include "poisson.h"
#include "vector_types.h"

using namespace dealii;
using namespace neuraldeal;

template <typename VectorType>
class PreconditionSurrogateTest : public testing::Test
{
public:
  using Preconditioner = PreconditionSurrogate<VectorType>;
  using LearnedInverse = typename Preconditioner::LearnedInverse;

  Poisson::Problem<VectorType> problem{4};

  /** The same with another diffusion. */
  Poisson::Problem<VectorType> other{4};

  PreconditionSurrogateTest()
  {
    Tensor<1, 2> velocity;
    velocity[0]     = 20.;
    velocity[1]     = 5.;
    auto logarithms = problem.logarithms(7);
    problem.assemble(logarithms, velocity);
    for (unsigned int k = 0; k < 4; ++k)
      logarithms[k] += k % 2 == 0 ? 0.2 : -0.2;
    other.assemble(logarithms, velocity);
  }

  VectorType
  zero() const
  {
    VectorType x;
    problem.reinit(x);
    return x;
  }

  /**
   * An operator with an error of some percent, which is not linear: a few
   * steps of GMRES, with another diffusion.
   */
  LearnedInverse
  approximate_inverse() const
  {
    return [this](VectorType &x, const VectorType &b) {
      SolverControl control(10000, 1e-2 * b.l2_norm());
      SolverGMRES<VectorType>(control).solve(
        other.matrix, x, b, Poisson::Jacobi<VectorType>(other.matrix, b));
    };
  }

  /** Iterations of FGMRES with @p preconditioner from zero to @p x. */
  template <typename PreconditionerType>
  unsigned int
  solve(const PreconditionerType &preconditioner, VectorType &x) const
  {
    x = zero();
    SolverControl control(1000, problem.tolerance());
    SolverFGMRES<VectorType>(
      control, typename SolverFGMRES<VectorType>::AdditionalData(200))
      .solve(problem.matrix, x, problem.right_hand_side, preconditioner);
    EXPECT_LE(problem.residual_norm(x), 1.01 * problem.tolerance());
    return control.last_step();
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

TYPED_TEST_SUITE(PreconditionSurrogateTest, VectorTypes);



TYPED_TEST(PreconditionSurrogateTest, SavesIterations)
{
  using VectorType                    = TypeParam;
  VectorType                        x = this->zero(), y(x);
  const Poisson::Jacobi<VectorType> jacobi(this->problem.matrix, x);
  const unsigned int                plain = this->solve(jacobi, x);

  const PreconditionSurrogate<VectorType> preconditioner(
    this->problem.matrix, jacobi, this->approximate_inverse(), x);
  const unsigned int with = this->solve(preconditioner, y);
  EXPECT_LE(this->problem.distance(y, x), 1e-6);
  EXPECT_LE(3 * with, plain);

  const auto &report = preconditioner.report();
  EXPECT_GE(2 * report.n_used, report.n_applications);
  if (Poisson::is_root())
    std::cout << "Iterations: " << plain << ", with the learned operator "
              << with << std::endl;
}



TYPED_TEST(PreconditionSurrogateTest, AnExactInverseLeavesNothingToDo)
{
  using VectorType                    = TypeParam;
  VectorType                        x = this->zero();
  const Poisson::Jacobi<VectorType> jacobi(this->problem.matrix, x);
  this->solve(jacobi, x);
  // With a scale that is wrong: α mends it.
  const PreconditionSurrogate<VectorType> preconditioner(
    this->problem.matrix,
    jacobi,
    [&](VectorType &z, const VectorType &) { z.equ(-1e5, x); },
    x);
  VectorType y(x);
  EXPECT_LE(this->solve(preconditioner, y), 2u);
}



TYPED_TEST(PreconditionSurrogateTest, IsTheFormula)
{
  using VectorType                    = TypeParam;
  VectorType                        r = this->zero();
  const Poisson::Jacobi<VectorType> jacobi(this->problem.matrix, r);
  this->fill(r, [](const double i) { return std::sin(1. + 0.1 * i); });

  VectorType seen(r), z(r), az(r), expected(r), result(r), remainder(r);
  const PreconditionSurrogate<VectorType> preconditioner(
    this->problem.matrix,
    jacobi,
    [&](VectorType &x, const VectorType &b) {
      EXPECT_EQ(x.l2_norm(), 0.);
      seen = b;
      this->approximate_inverse()(x, b);
      z = x;
    },
    r,
    typename PreconditionSurrogate<VectorType>::AdditionalData(0.));
  for (const double scale : {1e-8, 1., 1e8})
    {
      VectorType source(r);
      source *= scale;
      preconditioner.vmult(result, source);
      EXPECT_NEAR(seen.l2_norm(), 1., 1e-12);
      this->problem.matrix.vmult(az, z);
      const double alpha = (seen * az) / (az * az);
      remainder          = seen;
      remainder.add(-alpha, az);
      EXPECT_NEAR(remainder * az, 0., 1e-12 * az.l2_norm());
      jacobi.vmult(expected, remainder);
      expected.add(alpha, z);
      expected *= source.l2_norm();
      EXPECT_LE(this->problem.distance(result, expected), 1e-12);
    }
}



TYPED_TEST(PreconditionSurrogateTest, BadOperatorsCostNoIterations)
{
  using VectorType                    = TypeParam;
  VectorType                        x = this->zero(), y(x);
  const Poisson::Jacobi<VectorType> jacobi(this->problem.matrix, x);
  const unsigned int                plain = this->solve(jacobi, x);
  const bool                        last  = this->is_last_rank();
  const double nan = std::numeric_limits<double>::quiet_NaN();

  std::map<std::string, typename TestFixture::LearnedInverse> operators;
  operators["nothing"] = [](VectorType &, const VectorType &) {};
  operators["garbage"] = [&](VectorType &z, const VectorType &) {
    this->fill(z, [](const double i) { return std::sin(i * i); });
  };
  operators["overflow"] = [&](VectorType &z, const VectorType &) {
    this->fill(z, [](const double) { return 1e300; });
  };
  operators["underflow"] = [&](VectorType &z, const VectorType &) {
    this->fill(z, [](const double) { return 1e-300; });
  };
  operators["not a number on one rank"] = [&](VectorType &z,
                                              const VectorType &) {
    this->fill(z, [&](const double) { return last ? nan : 1.; });
  };
  operators["failure on one rank"] = [&](VectorType &z, const VectorType &) {
    z = 1.;
    if (last)
      throw std::runtime_error("no model");
  };
  for (const auto &[name, learned_inverse] : operators)
    {
      SCOPED_TRACE(name);
      const PreconditionSurrogate<VectorType> preconditioner(
        this->problem.matrix, jacobi, learned_inverse, x);
      EXPECT_EQ(this->solve(preconditioner, y), plain);
      EXPECT_LE(this->problem.distance(y, x), 1e-6);
      const auto &report = preconditioner.report();
      EXPECT_EQ(report.n_used, 0u);
      EXPECT_FALSE(report.failure.empty());
      // After 1, 2, 4, … applications without it.
      EXPECT_GE(report.n_evaluations, 2u);
      EXPECT_LE(report.n_evaluations, 6 + report.n_applications / 33);
      if (name == "failure on one rank")
        {
          EXPECT_EQ(report.failure, "no model");
        }
    }
}



TYPED_TEST(PreconditionSurrogateTest, ComesBackWhenItIsOfUseAgain)
{
  using VectorType                          = TypeParam;
  VectorType                              x = this->zero();
  const Poisson::Jacobi<VectorType>       jacobi(this->problem.matrix, x);
  bool                                    is_good = false;
  const PreconditionSurrogate<VectorType> preconditioner(
    this->problem.matrix,
    jacobi,
    [&](VectorType &z, const VectorType &b) {
      if (is_good)
        this->approximate_inverse()(z, b);
    },
    x);
  VectorType y(x);
  this->solve(preconditioner, y);
  is_good                     = true;
  const unsigned int n_before = preconditioner.report().n_used;
  EXPECT_EQ(n_before, 0u);
  for (unsigned int i = 0; i < 33; ++i)
    preconditioner.vmult(y, this->problem.right_hand_side);
  EXPECT_GE(preconditioner.report().n_used, 1u);
  const unsigned int n_used = preconditioner.report().n_used;
  for (unsigned int i = 0; i < 5; ++i)
    preconditioner.vmult(y, this->problem.right_hand_side);
  EXPECT_EQ(preconditioner.report().n_used, n_used + 5);
}



TYPED_TEST(PreconditionSurrogateTest, ZeroAndWrongData)
{
  using VectorType                          = TypeParam;
  VectorType                              x = this->zero(), y(x);
  const Poisson::Jacobi<VectorType>       jacobi(this->problem.matrix, x);
  const PreconditionSurrogate<VectorType> preconditioner(
    this->problem.matrix, jacobi, this->approximate_inverse(), x);
  y = 1.;
  preconditioner.vmult(y, x);
  EXPECT_EQ(y.l2_norm(), 0.);
  EXPECT_EQ(preconditioner.report().n_evaluations, 0u);

  using Data = typename PreconditionSurrogate<VectorType>::AdditionalData;
  for (const double gain : {-0.1, 1., std::numeric_limits<double>::quiet_NaN()})
    try
      {
        const Data data(gain);
        FAIL() << gain << " is taken";
      }
    catch (const InputError &error)
      {
        EXPECT_NE(std::string(error.what()).find("minimum_gain"),
                  std::string::npos);
      }
}
