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
  /** Print what identifies a solution. */
  void
  print(const std::string &name, const unsigned int n, const VectorType &x)
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
      std::printf("solve %s: %u iterations, solution %.12e %.12e %.12e\n",
                  name.c_str(),
                  n,
                  norm,
                  products[0],
                  products[1]);
    std::fflush(stdout);
  }

  template <typename SolverType>
  unsigned int
  solve(const Problem                         &problem,
        VectorType                            &x,
        const PETScWrappers::PreconditionBase &preconditioner)
  {
    SolverControl control(10000, problem.tolerance());
    SolverType    solver =
      neuraldeal::compat::petsc_solver<SolverType>(control,
                                                   problem.communicator);
    solver.solve(problem.matrix, x, problem.right_hand_side, preconditioner);
    return control.last_step();
  }

  unsigned int
  solve_cg(const Problem &problem, VectorType &x)
  {
    return solve<PETScWrappers::SolverCG>(
      problem, x, PETScWrappers::PreconditionBlockJacobi(problem.matrix));
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
              VectorType x = which == "previous" ? previous : zero(problem);
              const unsigned int n =
                which == "gmres" ?
                  solve<PETScWrappers::SolverGMRES>(
                    problem,
                    x,
                    PETScWrappers::PreconditionBlockJacobi(problem.matrix)) :
                  solve_cg(problem, x);
              print(std::to_string(i), n, x);
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
              print(std::to_string(i), control.last_step(), x);
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
                VectorType         x = zero(problem);
                const unsigned int n = solve_cg(problem, x);
                print(std::to_string(i) + "/" + std::to_string(n_refinements),
                      n,
                      x);
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
