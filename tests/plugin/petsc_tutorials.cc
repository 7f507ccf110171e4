// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

/**
 * @file
 * The library neuraldeal_petsc in tutorial programs of deal.II, compiled as
 * they are. All that is seen of them is what they print and the solutions,
 * which PETSc writes to a file when an option asks for that. Long ones are
 * ended when they have printed enough.
 */

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <regex>

#include "petsc_runs.h"

using namespace PETScRuns;

namespace
{
  struct Tutorial
  {
    std::vector<unsigned int>        n_iterations;
    std::vector<std::vector<double>> solutions;
  };

  /** The numbers of a file, of type @p Number with the highest byte first. */
  template <typename Number>
  Number
  read(std::istream &file)
  {
    char bytes[sizeof(Number)];
    file.read(bytes, sizeof(Number));
    std::uint64_t bits = 0;
    for (const char byte : bytes)
      bits = bits << 8 | static_cast<unsigned char>(byte);
    Number result;
    if constexpr (sizeof(Number) == 8)
      std::memcpy(&result, &bits, 8);
    else
      result = static_cast<Number>(bits);
    return result;
  }

  /**
   * Run @p program in a folder of its own, see run().
   * @param pattern what it prints of each solve, with the number of
   * iterations.
   */
  Tutorial
  run_tutorial(const std::string &program,
               const std::string &name,
               const std::string &petsc_options,
               const std::string &pattern,
               const std::string &stop_at = "")
  {
    Tutorial          result;
    const std::string folder = new_folder(name);
    const Outcome     outcome =
      run("sh -c \"cd " + folder + " && exec " + program + "\"",
          petsc_options + " -ksp_view_solution binary:" + folder +
            "/solutions::append",
          stop_at);
    EXPECT_EQ(outcome.status, 0) << outcome.output;

    const std::regex expression(pattern);
    for (std::sregex_iterator i(outcome.output.begin(),
                                outcome.output.end(),
                                expression);
         i != std::sregex_iterator();
         ++i)
      result.n_iterations.push_back(
        static_cast<unsigned int>(std::stoul((*i)[1].str())));

    // PETSc's format: what this is, the size, the numbers. A program that was
    // ended may have gone on for a moment.
    std::ifstream file(folder + "/solutions", std::ios::binary);
    while (result.solutions.size() < result.n_iterations.size())
      {
        EXPECT_EQ(read<std::uint32_t>(file), 1211214u);
        std::vector<double> solution(read<std::uint32_t>(file));
        for (double &value : solution)
          value = read<double>(file);
        if (!file)
          {
            ADD_FAILURE() << name << " has not written all of its solutions";
            break;
          }
        result.solutions.push_back(solution);
      }
    EXPECT_FALSE(result.solutions.empty()) << outcome.output;
    return result;
  }

  void
  expect_same_solutions(const Tutorial &a,
                        const Tutorial &b,
                        const double    tolerance)
  {
    ASSERT_EQ(a.solutions.size(), b.solutions.size());
    double largest = 0.;
    for (std::size_t i = 0; i < a.solutions.size(); ++i)
      {
        const auto &u = a.solutions[i], &v = b.solutions[i];
        ASSERT_EQ(u.size(), v.size());
        double difference = 0., norm = 0.;
        for (std::size_t k = 0; k < u.size(); ++k)
          {
            difference += (u[k] - v[k]) * (u[k] - v[k]);
            norm += u[k] * u[k];
          }
        largest = std::max(largest, std::sqrt(difference / norm));
      }
    EXPECT_LE(largest, tolerance);
    std::cout << "relative difference of the solutions: " << largest
              << std::endl;
  }

  void
  report(const std::string &name, const Tutorial &a, const Tutorial &b)
  {
    std::cout << name << ", " << n_ranks()
              << " ranks, iterations without and with the library:";
    for (std::size_t i = 0; i < a.n_iterations.size(); ++i)
      std::cout << ' ' << a.n_iterations[i] << '/' << b.n_iterations[i];
    std::cout << std::endl;
  }
} // namespace



/**
 * Elasticity, each cycle on a new mesh: nothing to gain in one run, and
 * everything in the next one.
 */
TEST(PETScTutorials, Step17)
{
#ifndef STEP_17
  GTEST_SKIP() << "The tutorial programs of deal.II are not installed.";
#else
  const std::string learned = new_folder("step-17-learned") + "/learned";
  const std::string pattern = "converged in ([0-9]+) iterations";
  const std::string stop_at = "Cycle 6:";
  const auto        without =
    run_tutorial(STEP_17, "step-17-without", "", pattern, stop_at);
  ASSERT_EQ(without.n_iterations.size(), 6u);
  for (const std::string &use : all_uses)
    {
      SCOPED_TRACE(use);
      const auto with =
        run_tutorial(STEP_17, "step-17-with", use, pattern, stop_at);
      expect_same_solutions(without, with, 1e-6);
      EXPECT_EQ(without.n_iterations, with.n_iterations);
    }

  // The whole program, which saves at its end.
  ONLY_ON_RANKS(2u);
  const std::string use = load_library + " -ksp_type surrogate";
  run_tutorial(STEP_17,
               "step-17-first",
               use + " -ksp_guess_surrogate_save " + learned,
               pattern);
  const auto second =
    run_tutorial(STEP_17,
                 "step-17-second",
                 use + " -ksp_guess_surrogate_load " + learned,
                 pattern,
                 stop_at);
  expect_same_solutions(without, second, 1e-6);
  // The first two of the ten meshes were forgotten.
  for (unsigned int i = 0; i < 6; ++i)
    {
      EXPECT_LE(second.n_iterations[i], i < 2 ? without.n_iterations[i] : 2u);
    }
  report("step-17", without, second);
#endif
}



/**
 * Quasi-static time steps, on one mesh after the first step, with Dirichlet
 * rows whose columns are not eliminated. The right hand sides depend on all
 * solutions before.
 */
TEST(PETScTutorials, Step18)
{
#ifndef STEP_18
  GTEST_SKIP() << "The tutorial programs of deal.II are not installed.";
#else
  const std::string pattern = "converged in ([0-9]+) iterations";
  const std::string stop_at = "Timestep 4";
  const auto        without =
    run_tutorial(STEP_18, "step-18-without", "", pattern, stop_at);
  ASSERT_EQ(without.n_iterations.size(), 4u);
  // One of the ways to use it for each number of ranks, to keep this short.
  const std::string use =
    std::vector<std::string>{" -ksp_guess_type surrogate",
                             " -pc_type surrogate",
                             " -ksp_type surrogate"}[(n_ranks() - 1) % 3];
  const auto with =
    run_tutorial(STEP_18, "step-18-with", load_library + use, pattern, stop_at);
  // The program's tolerance leaves as much: in the first solve PETSc's own
  // preconditioners (bjacobi, that with more blocks, jacobi) are apart by
  // 3e-5 to 9e-5.
  expect_same_solutions(without, with, 2e-4);
  ASSERT_EQ(with.n_iterations.size(), 4u);
  EXPECT_LT(1.5 * with.n_iterations[3], without.n_iterations[3]);
  report("step-18" + use, without, with);
#endif
}



/** Adaptive meshes and algebraic multigrid. */
TEST(PETScTutorials, Step40)
{
#ifndef STEP_40
  GTEST_SKIP() << "The tutorial programs of deal.II are not installed.";
#else
  const std::string pattern = "Solved in ([0-9]+) iterations";
  const std::string stop_at = "Cycle 4:";
  const auto        without =
    run_tutorial(STEP_40, "step-40-without", "", pattern, stop_at);
  ASSERT_EQ(without.n_iterations.size(), 4u);
  for (const std::string &use : all_uses)
    {
      SCOPED_TRACE(use);
      const auto with = run_tutorial(STEP_40,
                                     "step-40-with",
                                     use + " -pc_surrogate_pc_type hypre",
                                     pattern,
                                     stop_at);
      expect_same_solutions(without, with, 1e-7);
      if (use.find("-pc_type") == std::string::npos)
        {
          EXPECT_EQ(without.n_iterations, with.n_iterations);
        }
    }
#endif
}
