// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

/**
 * @file
 * Starts of Krylov methods for sequences of linear systems: from zero, from
 * the previous solution, by PETSc's own guesses and by ours, alone and with
 * our coarse space around the preconditioner where the matrix is symmetric,
 * with one KSP for all systems of a sequence and with a new one for each. All
 * get the same systems. See README.md.
 */

#include <deal.II/base/mpi.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <iostream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "solver_sequences.h"

using namespace neuraldeal::performance;

namespace
{
  void
  check(const PetscErrorCode code)
  {
    if (code != 0)
      throw std::runtime_error(
        fmt::format("PETSc error {}", static_cast<int>(code)));
  }

  /** How the start of a solver is found. */
  struct Start
  {
    std::string name;
    std::string options; ///< of PETSc, without a prefix
    bool        previous = false;

    /** One of PETSc's guesses at a size that is not the default. */
    bool tuned = false;

    /** With our coarse space around the preconditioner. */
    bool deflated = false;
  };

  std::vector<Start>
  starts(const bool quick)
  {
    std::vector<Start>     result = {{"zero", ""},
                                     {"previous solution", "", true},
                                     {"fischer", "-ksp_guess_type fischer"},
                                     {"pod", "-ksp_guess_type pod"}};
    const std::vector<int> sizes =
      quick ? std::vector<int>{50} : std::vector<int>{5, 20, 50, 100};
    for (const int size : sizes)
      {
        result.push_back(
          {fmt::format("fischer, {}", size),
           fmt::format("-ksp_guess_type fischer -ksp_guess_fischer_model 1,{}",
                       size),
           false,
           true});
        result.push_back(
          {fmt::format("pod, {}", size),
           fmt::format("-ksp_guess_type pod -ksp_guess_pod_size {}", size),
           false,
           true});
      }
    result.push_back({"surrogate", "-ksp_guess_type surrogate"});
    result.push_back({"surrogate with PC",
                      "-ksp_guess_type surrogate -pc_type surrogate",
                      false,
                      false,
                      true});
    return result;
  }

  struct Result
  {
    int    iterations = 0;
    double set_up = 0., solve = 0.; ///< seconds
  };

  /** The options with a prefix. */
  void
  set_options(const std::string &prefix, const std::string &options)
  {
    std::istringstream words(options);
    std::string        all;
    for (std::string word; words >> word;)
      all += word[0] == '-' ? " -" + prefix + word.substr(1) : " " + word;
    check(PetscOptionsInsertString(nullptr, all.c_str()));
  }

  Result
  run(const SystemSequence &sequence,
      const std::string    &preconditioner,
      const Start          &start,
      const bool            persistent)
  {
    // What is learned is kept by prefix.
    static int        n_runs = 0;
    const std::string prefix = fmt::format("run{}_", n_runs++);
    set_options(prefix, start.options);
    const std::string pc_type   = preconditioner == "jacobi" ? PCJACOBI :
                                  preconditioner == "ilu"    ? PCBJACOBI :
                                                               PCGAMG;
    const std::string pc_prefix = start.deflated ? "-pc_surrogate_" : "-";
    if (start.deflated)
      set_options(prefix, pc_prefix + "pc_type " + pc_type);
    if (preconditioner == "ilu")
      set_options(prefix,
                  pc_prefix + "sub_pc_type " +
                    (sequence.symmetric ? "icc" : "ilu"));

    Mat          matrix;
    MatNullSpace near_kernel;
    check(MatDuplicate(sequence.matrix(0), MAT_COPY_VALUES, &matrix));
    check(MatGetNearNullSpace(sequence.matrix(0), &near_kernel));
    check(MatSetNearNullSpace(matrix, near_kernel));
    if (sequence.symmetric)
      check(MatSetOption(matrix, MAT_SPD, PETSC_TRUE));
    Vec x, residual;
    check(VecDuplicate(sequence.right_hand_sides[0], &x));
    check(VecDuplicate(x, &residual));
    check(VecSet(x, 0.));

    KSP        ksp    = nullptr;
    const auto create = [&]() {
      check(KSPDestroy(&ksp));
      check(KSPCreate(MPI_COMM_WORLD, &ksp));
      check(KSPSetOptionsPrefix(ksp, prefix.c_str()));
      check(KSPSetOperators(ksp, matrix, matrix));
      check(KSPSetType(ksp, sequence.symmetric ? KSPCG : KSPGMRES));
      if (sequence.symmetric)
        check(KSPSetNormType(ksp, KSP_NORM_UNPRECONDITIONED));
      else
        {
          check(KSPSetPCSide(ksp, PC_RIGHT));
          check(KSPGMRESSetRestart(ksp, 100));
        }
      PC pc;
      check(KSPGetPC(ksp, &pc));
      check(PCSetType(pc, pc_type.c_str()));
      check(KSPSetFromOptions(ksp));
    };

    Result result;
    for (std::size_t i = 0; i < sequence.right_hand_sides.size(); ++i)
      {
        const Vec b = sequence.right_hand_sides[i];
        PetscReal norm;
        check(VecNorm(b, NORM_2, &norm));
        if (i > 0 && sequence.matrices.size() > 1)
          check(MatCopy(sequence.matrix(i), matrix, SAME_NONZERO_PATTERN));
        if (!start.previous)
          check(VecSet(x, 0.));

        const auto seconds = []() {
          MPI_Barrier(MPI_COMM_WORLD);
          return std::chrono::duration<double>(
                   std::chrono::steady_clock::now().time_since_epoch())
            .count();
        };
        const double begin = seconds();
        if (ksp == nullptr || !persistent)
          create();
        check(KSPSetTolerances(ksp, 0., 1e-8 * norm, 1e10, 10000));
        check(
          KSPSetInitialGuessNonzero(ksp,
                                    start.previous ? PETSC_TRUE : PETSC_FALSE));
        check(KSPSetOperators(ksp, matrix, matrix));
        check(KSPSetUp(ksp));
        check(KSPSetUpOnBlocks(ksp));
        const double is_set_up = seconds();
        check(KSPSolve(ksp, b, x));
        result.solve += seconds() - is_set_up;
        result.set_up += is_set_up - begin;

        PetscInt n_iterations;
        check(KSPGetIterationNumber(ksp, &n_iterations));
        result.iterations += static_cast<int>(n_iterations);

        // Whoever is fast has to be right.
        check(MatMult(matrix, x, residual));
        check(VecAXPY(residual, -1., b));
        PetscReal residual_norm;
        check(VecNorm(residual, NORM_2, &residual_norm));
        if (!(residual_norm <= 1.01e-8 * norm))
          throw std::runtime_error(
            fmt::format("{} with {} from {}: system {} was left with a "
                        "relative residual of {:.1e}",
                        sequence.name,
                        preconditioner,
                        start.name,
                        i,
                        residual_norm / norm));
      }
    check(KSPDestroy(&ksp));
    check(VecDestroy(&x));
    check(VecDestroy(&residual));
    check(MatDestroy(&matrix));
    return result;
  }
} // namespace



int
main(int argc, char *argv[])
{
  dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  // [quick] [names of sequences]
  const bool quick = argc > 1 && std::string(argv[1]) == "quick";
  const std::vector<std::string> wanted(argv + (quick ? 2 : 1), argv + argc);
  const bool                     root =
    dealii::Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) == 0;
  try
    {
      const std::string machine = neuraldeal::set_threads(1, MPI_COMM_WORLD);
      if (root)
        std::cout << machine << std::endl;
      nlohmann::json figures;
      for (const auto &name : wanted.empty() ? sequence_names() : wanted)
        {
          const bool in_3d = name == "elasticity";
          const auto sequence =
            make_sequence(name,
                          quick ? (in_3d ? 3 : 6) : (in_3d ? 4 : 7),
                          quick ? 50 : 200);
          if (root)
            fmt::print("\n{}: {}, {} systems\n",
                       name,
                       sequence->description,
                       sequence->right_hand_sides.size());
          for (const std::string preconditioner :
               {"jacobi", "ilu", "multigrid"})
            for (const bool persistent : {true, false})
              {
                // The fewest iterations of others, at the default and at all
                // sizes, and the shortest time.
                double fewest[2] = {std::numeric_limits<double>::max(),
                                    std::numeric_limits<double>::max()};
                double shortest  = fewest[0];
                double from_zero = 0.;
                Result ours, deflated;
                for (const auto &start : starts(quick))
                  {
                    if (start.deflated && !sequence->symmetric)
                      continue;
                    const Result result =
                      run(*sequence, preconditioner, start, persistent);
                    if (root)
                      fmt::print(
                        "{:11} {:10} {:9} {:18} {:7} iterations, set-up "
                        "{:8.3f} s, solve {:8.3f} s\n",
                        name,
                        preconditioner,
                        persistent ? "one KSP" : "new KSPs",
                        start.name,
                        result.iterations,
                        result.set_up,
                        result.solve);
                    std::cout << std::flush;
                    if (start.deflated)
                      deflated = result;
                    else if (start.name == "surrogate")
                      ours = result;
                    else
                      {
                        if (start.name == "zero")
                          from_zero = result.iterations;
                        if (!start.tuned)
                          fewest[0] =
                            std::min<double>(fewest[0], result.iterations);
                        fewest[1] =
                          std::min<double>(fewest[1], result.iterations);
                        shortest =
                          std::min(shortest, result.set_up + result.solve);
                      }
                  }
                const std::string key =
                  fmt::format("{} {} {} ",
                              name,
                              preconditioner,
                              persistent ? "persistent" : "anew");
                figures[key + "iterations / peer at default"] =
                  ours.iterations / fewest[0];
                figures[key + "iterations / peer at any size"] =
                  ours.iterations / fewest[1];
                figures[key + "time / fastest peer"] =
                  (ours.set_up + ours.solve) / shortest;
                if (sequence->symmetric)
                  {
                    figures[key + "with PC, iterations / from zero"] =
                      deflated.iterations / from_zero;
                    figures[key + "with PC, time / fastest peer"] =
                      (deflated.set_up + deflated.solve) / shortest;
                  }
              }
        }
      if (root)
        std::cout << nlohmann::json(
                       {{"benchmark", "solver_interface"},
                        {"figures", figures},
                        {"seeds", {1}},
                        {"machine", machine.substr(0, machine.find('\n'))}})
                  << std::endl;
    }
  catch (const std::exception &exception)
    {
      std::cerr << "solver_interface: " << exception.what() << std::endl;
      MPI_Abort(MPI_COMM_WORLD, 1);
    }
}
