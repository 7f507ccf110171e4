// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>

#include <deal.II/lac/block_vector.h>
#include <deal.II/lac/la_parallel_block_vector.h>
#include <deal.II/lac/petsc_block_vector.h>
#include <deal.II/lac/trilinos_parallel_block_vector.h>

#include <deal.II/sundials/kinsol.h>

#include <neuraldeal/plugin/local_vector.h>
#include <neuraldeal/plugin/surrogate_nonlinear_solver.h>

#include <cmath>

#include "vector_types.h"

// All vectors that KINSOL takes, with a small system whose Jacobian is a
// diagonal matrix and one of rank one:
//   F_i(u) = u_i³ + d_i u_i + (Σ_j u_j)/n − b_i.

#ifdef DEAL_II_WITH_SUNDIALS
using namespace dealii;
using namespace neuraldeal;

template <typename VectorType>
class KINSOLVectors : public testing::Test
{
public:
  static constexpr bool is_serial =
    std::is_same_v<VectorType, Vector<double>> ||
    std::is_same_v<VectorType, BlockVector<double>>;

  const MPI_Comm communicator     = is_serial ? MPI_COMM_SELF : MPI_COMM_WORLD;
  static constexpr unsigned int n = 24; // of a block

  /** d_i of this process, and what b_i = parameter · i depends upon. */
  std::vector<double> d, b;

  void
  reinit(VectorType &u) const
  {
    const unsigned int size = Utilities::MPI::n_mpi_processes(communicator);
    const unsigned int rank = Utilities::MPI::this_mpi_process(communicator);
    IndexSet           owned(n);
    owned.add_range(n * rank / size, n * (rank + 1) / size);
    const std::vector<IndexSet> both(2, owned);
    if constexpr (std::is_same_v<VectorType, Vector<double>>)
      u.reinit(n);
    else if constexpr (std::is_same_v<VectorType, BlockVector<double>>)
      u.reinit(2, n);
    else if constexpr (IsBlockVector<VectorType>::value)
      u.reinit(VectorType(both, communicator));
    else
      u.reinit(owned, communicator);
  }

  void
  choose(const double parameter)
  {
    VectorType u;
    reinit(u);
    const unsigned int rank = Utilities::MPI::this_mpi_process(communicator);
    d.resize(n_local_values(u));
    b.resize(d.size());
    for (unsigned int i = 0; i < d.size(); ++i)
      {
        d[i] = 1. + 0.1 * ((7 * i + rank) % 5);
        b[i] = 4. * std::sin(0.3 * i + rank + parameter);
      }
  }

  void
  residual(const VectorType &u, VectorType &f) const
  {
    const std::vector<double> x    = local_values(u);
    std::vector<double>       y    = x;
    const double              mean = sum(x) / u.size();
    for (unsigned int i = 0; i < y.size(); ++i)
      y[i] = x[i] * x[i] * x[i] + d[i] * x[i] + mean - b[i];
    set_local_values(f, y.data());
  }

  /** With the diagonal, by the formula of Sherman and Morrison. */
  void
  solve_jacobian(const VectorType &u, const VectorType &f, VectorType &update)
  {
    const std::vector<double> x = local_values(u);
    std::vector<double>       y = local_values(f), z(y.size());
    for (unsigned int i = 0; i < y.size(); ++i)
      {
        z[i] = 1. / (3. * x[i] * x[i] + d[i]);
        y[i] *= z[i];
      }
    const double factor = sum(y) / (u.size() + sum(z));
    for (unsigned int i = 0; i < y.size(); ++i)
      y[i] -= factor * z[i];
    set_local_values(update, y.data());
  }

private:
  double
  sum(const std::vector<double> &values) const
  {
    double result = 0.;
    for (const double value : values)
      result += value;
    return Utilities::MPI::sum(result, communicator);
  }
};

using AllVectorTypes =
  testing::Types<Vector<double>,
                 LinearAlgebra::distributed::Vector<double>,
                 TrilinosWrappers::MPI::Vector,
                 PETScWrappers::MPI::Vector,
                 BlockVector<double>,
                 LinearAlgebra::distributed::BlockVector<double>,
                 TrilinosWrappers::MPI::BlockVector,
                 PETScWrappers::MPI::BlockVector>;

TYPED_TEST_SUITE(KINSOLVectors, AllVectorTypes);



TYPED_TEST(KINSOLVectors, StartFromPastSolutions)
{
  using VectorType = TypeParam;
  using KINSOL     = SUNDIALS::KINSOL<VectorType>;
  typename KINSOL::AdditionalData data;
  data.function_tolerance  = 1e-10;
  data.maximum_setup_calls = 1;
  // Otherwise a multiple of the norm of the start, which is zero.
  data.maximum_newton_step = 100.;
  KINSOL     kinsol(data, this->communicator);
  VectorType linearized;
  this->reinit(linearized);
  kinsol.reinit_vector = [&](VectorType &x) { this->reinit(x); };
  kinsol.residual      = [&](const VectorType &u, VectorType &f) {
    this->residual(u, f);
    return 0;
  };
  kinsol.setup_jacobian = [&](const VectorType &u, const VectorType &) {
    linearized = u;
    return 0;
  };
  kinsol.solve_with_jacobian =
    [&](const VectorType &f, VectorType &update, const double) {
      this->solve_jacobian(linearized, f, update);
      return 0;
    };

  SurrogateNonlinearSolver<VectorType> surrogate;
  unsigned int                         without = 0, with = 0;
  for (unsigned int i = 0; i < 12; ++i)
    {
      this->choose(0.2 * i);
      VectorType reference, u;
      this->reinit(reference);
      this->reinit(u);
      const unsigned int n_reference = kinsol.solve(reference);
      const unsigned int n           = surrogate.solve(kinsol, u);
      if (i >= 6)
        {
          without += n_reference;
          with += n;
        }
      const double norm = reference.l2_norm();
      reference.add(-1., u);
      EXPECT_LE(reference.l2_norm(), 1e-8 * norm);
      EXPECT_FALSE(surrogate.last_report().repeated);
    }
  // A step a solve at least.
  EXPECT_LE(with + 6, without);
}
#endif
