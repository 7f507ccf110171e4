// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

/**
 * @file
 * A program with deal.II's PETSc wrappers that knows nothing of
 * neuraldeal_petsc. It solves one linear system after the other, with a
 * solver object for each as the tutorials have it, and prints for each the
 * number of iterations and some numbers of the solution. The library is
 * tested by what it changes in this output.
 *
 * Arguments: which sequence, see main().
 */

#include <deal.II/base/conditional_ostream.h>
#include <deal.II/base/mpi.h>

#include <deal.II/lac/petsc_precondition.h>
#include <deal.II/lac/petsc_solver.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "poisson.h"

using namespace dealii;
using VectorType = PETScWrappers::MPI::Vector;
using Problem    = Poisson::Problem<VectorType>;

namespace
{
  /** What a solve has taken, and how far it has come. */
  struct Solve
  {
    unsigned int n_iterations = 0;

    /**
     * Norm of the preconditioned residual, computed anew and with the
     * program's own preconditioner, over the tolerance of the solver.
     */
    double residual = 0.;
  };

  /** Print what identifies a solution. */
  void
  print(const std::string &name, const Solve &solve, const VectorType &x)
  {
    VectorType weights(x);
    double     products[2];
    for (unsigned int k = 0; k < 2; ++k)
      {
        for (const auto i : x.locally_owned_elements())
          weights(i) = std::sin(1. + (0.1 + k) * i);
        weights.compress(VectorOperation::insert);
        products[k] = weights * x;
      }
    const double norm = x.l2_norm();
    if (Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) == 0)
      std::printf("solve %s: %u iterations, residual %.6e, solution %.12e "
                  "%.12e %.12e\n",
                  name.c_str(),
                  solve.n_iterations,
                  solve.residual,
                  norm,
                  products[0],
                  products[1]);
    std::fflush(stdout);
  }

  template <typename SolverType>
  Solve
  solve(const Problem &problem, VectorType &x, const std::string &prefix = "")
  {
    const PETScWrappers::PreconditionBlockJacobi preconditioner(problem.matrix);
    SolverControl control(10000, problem.tolerance());
    SolverType    solver =
      neuraldeal::compat::petsc_solver<SolverType>(control,
                                                   problem.communicator);
    solver.set_prefix(prefix);
    solver.solve(problem.matrix, x, problem.right_hand_side, preconditioner);

    VectorType residual(x), preconditioned(x);
    problem.matrix.residual(residual, x, problem.right_hand_side);
    preconditioner.vmult(preconditioned, residual);
    return {control.last_step(),
            preconditioned.l2_norm() / problem.tolerance()};
  }

  Solve
  solve_cg(const Problem     &problem,
           VectorType        &x,
           const std::string &prefix = "")
  {
    return solve<PETScWrappers::SolverCG>(problem, x, prefix);
  }

  VectorType
  zero(const Problem &problem)
  {
    VectorType x;
    problem.reinit(x);
    return x;
  }
} // namespace



int
main(int argc, char *argv[])
{
  Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  const std::string                which = argc > 1 ? argv[1] : "";
  const unsigned int rank = Utilities::MPI::this_mpi_process(MPI_COMM_WORLD);

  try
    {
      if (which == "cg" || which == "gmres" || which == "previous")
        {
          // Matrices that change. "previous": the last solution is the start.
          Problem    problem(4);
          VectorType previous = zero(problem);
          for (unsigned int i = 0; i < 16; ++i)
            {
              problem.assemble(problem.path(i),
                               which == "gmres" ? Point<2>(10., 5.) :
                                                  Point<2>());
              VectorType  x = which == "previous" ? previous : zero(problem);
              const Solve result =
                which == "gmres" ?
                  solve<PETScWrappers::SolverGMRES>(problem, x) :
                  solve_cg(problem, x);
              print(std::to_string(i), result, x);
              previous = x;
            }
        }
      else if (which == "time")
        {
          // Time steps u' = −A u + f(t): the matrix stays the same.
          Problem problem(4);
          problem.assemble(problem.path(0));
          const VectorType load(problem.right_hand_side);
          VectorType       x = zero(problem);
          for (unsigned int i = 0; i < 16; ++i)
            {
              for (const auto k : x.locally_owned_elements())
                problem.right_hand_side(k) =
                  load(k) * (1. + std::sin(0.1 * i + 0.02 * k)) + 1e-2 * x(k);
              problem.right_hand_side.compress(VectorOperation::insert);
              x = zero(problem);
              print(std::to_string(i), solve_cg(problem, x), x);
            }
        }
      else if (which == "direct")
        {
          // A direct solver must be left alone.
          Problem problem(3);
          for (unsigned int i = 0; i < 4; ++i)
            {
              problem.assemble(problem.path(i));
              VectorType    x = zero(problem);
              SolverControl control(10, 1e-10);
              auto          solver = neuraldeal::compat::petsc_solver<
                PETScWrappers::SparseDirectMUMPS>(control,
                                                  problem.communicator);
              solver.solve(problem.matrix, x, problem.right_hand_side);
              print(std::to_string(i), {control.last_step(), 0.}, x);
            }
        }
      else if (which == "meshes")
        {
          // Systems of many sizes in turn, each with its own sequence.
          for (unsigned int i = 0; i < 8; ++i)
            for (const unsigned int n_refinements : {3, 4, 2})
              {
                Problem problem(n_refinements);
                problem.assemble(problem.path(i));
                VectorType  x      = zero(problem);
                const Solve result = solve_cg(problem, x);
                print(std::to_string(i) + "/" + std::to_string(n_refinements),
                      result,
                      x);
              }
        }
      else if (which == "prefixes")
        {
          // Two solvers whose options have prefixes.
          Problem problem(4);
          for (unsigned int i = 0; i < 16; ++i)
            {
              problem.assemble(problem.path(i));
              VectorType  x      = zero(problem);
              const Solve result = solve_cg(problem, x, i % 2 ? "b_" : "a_");
              print(std::to_string(i), result, x);
            }
        }
      else if (which == "groups")
        {
          // Communicators that come and go; on rank 0 more solves than on
          // the others, so that it has more to remember and to forget.
          for (unsigned int i = 0; i < 12; ++i)
            {
              MPI_Comm group;
              MPI_Comm_split(MPI_COMM_WORLD, rank == 0 ? 0 : 1, rank, &group);
              for (unsigned int k = 0; k < (rank == 0 ? 3u : 1u); ++k)
                {
                  Problem problem(2 + k, group);
                  problem.assemble(problem.path(i));
                  VectorType x = zero(problem);
                  solve_cg(problem, x);
                }
              MPI_Comm_free(&group);

              Problem problem(4);
              problem.assemble(problem.path(i));
              VectorType x = zero(problem);
              print(std::to_string(i), solve_cg(problem, x), x);
            }
        }
      else
        throw std::runtime_error("there is no sequence '" + which + "'");
    }
  catch (const std::exception &exception)
    {
      std::cerr << "petsc_program: " << exception.what() << std::endl;
      return 1;
    }
}
