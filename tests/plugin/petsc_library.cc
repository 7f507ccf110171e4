// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

/**
 * @file
 * Runs programs with and without the library neuraldeal_petsc, under mpiexec
 * and in processes of their own, and compares their output. The number of
 * ranks is the environment's NEURALDEAL_RANKS.
 */

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{
  /** What a program has printed, and how it has ended. */
  struct Outcome
  {
    int         status;
    std::string output;
  };

  struct Solve
  {
    unsigned int        n_iterations;
    std::vector<double> solution;
  };

  unsigned int
  n_ranks()
  {
    const char *ranks = std::getenv("NEURALDEAL_RANKS");
    return ranks ? std::stoi(ranks) : 1;
  }

  Outcome
  run_once(const std::string &command)
  {
    Outcome result{0, ""};
    FILE   *pipe = popen(command.c_str(), "r");
    if (pipe == nullptr)
      throw std::runtime_error("cannot run " + command);
    char buffer[4096];
    while (const std::size_t n = std::fread(buffer, 1, sizeof(buffer), pipe))
      result.output.append(buffer, n);
    const int status = pclose(pipe);
    result.status    = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return result;
  }

  /**
   * Run @p program on all ranks. The mpiexec of Open MPI 4 sometimes waits
   * for itself forever after all its processes have ended; a run that takes
   * too long is therefore tried once more.
   */
  Outcome
  run(const std::string &program, const std::string &petsc_options)
  {
    const std::string command =
      "PETSC_OPTIONS='" + petsc_options + "' timeout -k 5 180 " MPIEXEC " " +
      std::to_string(n_ranks()) + " " + program + " 2>&1";
    Outcome result = run_once(command);
    if (result.status == 124 || result.status == 137)
      {
        std::cout << "Once more, as it took too long: " << command << std::endl;
        result = run_once(command);
      }
    return result;
  }

  const std::string load = "-dll_append " NEURALDEAL_PETSC_LIBRARY;
  const std::string use  = load + " -ksp_guess_type surrogate";

  /** The solves of petsc_program, whose argument is @p sequence. */
  std::vector<Solve>
  solves(const std::string &sequence, const std::string &petsc_options)
  {
    const Outcome result = run(PETSC_PROGRAM " " + sequence, petsc_options);
    EXPECT_EQ(result.status, 0) << result.output;
    const std::regex   line("solve [^:]*: ([0-9]+) iterations, solution (.*)");
    std::vector<Solve> found;
    for (std::sregex_iterator i(result.output.begin(),
                                result.output.end(),
                                line);
         i != std::sregex_iterator();
         ++i)
      {
        std::istringstream numbers((*i)[2].str());
        found.push_back({static_cast<unsigned int>(std::stoul((*i)[1].str())),
                         {std::istream_iterator<double>(numbers),
                          std::istream_iterator<double>()}});
      }
    return found;
  }

  /** The same solutions, to the tolerance of the solvers. */
  void
  expect_same_solutions(const std::vector<Solve> &a,
                        const std::vector<Solve> &b)
  {
    ASSERT_EQ(a.size(), b.size());
    ASSERT_FALSE(a.empty());
    for (std::size_t i = 0; i < a.size(); ++i)
      {
        ASSERT_EQ(a[i].solution.size(), 3u);
        ASSERT_EQ(b[i].solution.size(), 3u);
        for (unsigned int k = 0; k < 3; ++k)
          EXPECT_NEAR(a[i].solution[k],
                      b[i].solution[k],
                      1e-6 * a[i].solution[0]);
      }
  }

  /** Iterations of the last @p n solves. */
  unsigned int
  iterations(const std::vector<Solve> &all, const unsigned int n)
  {
    unsigned int sum = 0;
    for (std::size_t i = all.size() - n; i < all.size(); ++i)
      sum += all[i].n_iterations;
    return sum;
  }

  void
  report(const std::string        &name,
         const std::vector<Solve> &without,
         const std::vector<Solve> &with,
         const unsigned int        n)
  {
    std::cout << name << ", " << n_ranks() << " ranks, iterations a solve: "
              << double(iterations(without, n)) / n << " without the library, "
              << double(iterations(with, n)) / n << " with it" << std::endl;
  }

  /** For tests that take long, or of what does not depend on the ranks. */
#define ONLY_ON_RANKS(n) \
  if (n_ranks() != n)    \
  GTEST_SKIP() << "This is tested on " << n << " ranks only."
} // namespace



TEST(PETScLibrary, SavesIterations)
{
  for (const std::string sequence : {"cg", "previous", "gmres", "time"})
    {
      SCOPED_TRACE(sequence);
      const auto without = solves(sequence, "");
      const auto with    = solves(sequence, use);
      expect_same_solutions(without, with);
      ASSERT_EQ(with.size(), 16u);
      EXPECT_EQ(without[0].n_iterations, with[0].n_iterations);
      EXPECT_LT(1.5 * iterations(with, 8), iterations(without, 8));
      report(sequence, without, with, 8);
    }
}



TEST(PETScLibrary, OnlyLearnsWhenTold)
{
  ONLY_ON_RANKS(1);
  const auto without = solves("cg", "");
  const auto with    = solves("cg", use + " -ksp_guess_surrogate_learn false");
  ASSERT_EQ(without.size(), with.size());
  for (std::size_t i = 0; i < without.size(); ++i)
    EXPECT_EQ(without[i].n_iterations, with[i].n_iterations);

  // Loaded, but not asked for.
  const auto idle = solves("cg", load);
  for (std::size_t i = 0; i < without.size(); ++i)
    EXPECT_EQ(without[i].n_iterations, idle[i].n_iterations);
}



TEST(PETScLibrary, KeepsProductsWithAMatrixThatStays)
{
  ONLY_ON_RANKS(1);
  const Outcome result =
    run(PETSC_PROGRAM " time", use + " -ksp_guess_surrogate_monitor");
  const std::regex products("with ([0-9]+) products");
  unsigned int     n = 0;
  for (std::sregex_iterator i(result.output.begin(),
                              result.output.end(),
                              products);
       i != std::sregex_iterator();
       ++i, ++n)
    if (n > 1)
      {
        // The new direction and the check.
        EXPECT_LE(std::stoi((*i)[1].str()), 2) << result.output;
      }
  EXPECT_EQ(n, 16u) << result.output;
}



TEST(PETScLibrary, KeepsMeshesApart)
{
  const auto without = solves("meshes", "");
  const auto with    = solves("meshes", use);
  expect_same_solutions(without, with);
  ASSERT_EQ(with.size(), 24u);
  for (unsigned int i = 0; i < 3; ++i)
    EXPECT_EQ(without[i].n_iterations, with[i].n_iterations);
  EXPECT_LT(1.2 * iterations(with, 9), iterations(without, 9));
  report("meshes", without, with, 9);
}



TEST(PETScLibrary, KeepsCommunicatorsApart)
{
  const auto without = solves("groups", "");
  const auto with    = solves("groups", use);
  expect_same_solutions(without, with);
  ASSERT_EQ(with.size(), 12u);
  EXPECT_LT(1.5 * iterations(with, 6), iterations(without, 6));
  report("groups", without, with, 6);
}



TEST(PETScLibrary, LeavesDirectSolversAlone)
{
  ONLY_ON_RANKS(2);
  const auto without = solves("direct", "");
  const auto with    = solves("direct", use);
  expect_same_solutions(without, with);
  EXPECT_EQ(with.size(), 4u);
}



TEST(PETScLibrary, IsShownAndExplained)
{
  ONLY_ON_RANKS(1);
  const Outcome shown = run(PETSC_PROGRAM " cg", use + " -ksp_view");
  EXPECT_EQ(shown.status, 0);
  EXPECT_NE(shown.output.find("type: surrogate"), std::string::npos);
  EXPECT_NE(shown.output.find("16 solutions learned for this system"),
            std::string::npos)
    << shown.output;

  const Outcome help = run(PETSC_PROGRAM " cg", use + " -help");
  EXPECT_NE(help.output.find("-ksp_guess_surrogate_size"), std::string::npos);
}



TEST(PETScLibrary, NamesWhatIsWrong)
{
  ONLY_ON_RANKS(1);
  const struct
  {
    std::string options, message;
  } wrong[] = {
    {"-dll_append /nowhere/libneuraldeal_petsc.so -ksp_guess_type surrogate",
     "Unable to locate dynamic library: /nowhere/libneuraldeal_petsc.so"},
    {"-ksp_guess_type surrogate",
     "Unable to find requested KSPGuess type surrogate"},
    {load + " -ksp_guess_type surogate",
     "Unable to find requested KSPGuess type surogate"},
    {use + " -ksp_guess_surrogate_symmetric perhaps",
     "-ksp_guess_surrogate_symmetric is perhaps; valid is one of: auto, true, "
     "false"},
    {use + " -ksp_guess_surrogate_size 0",
     "-ksp_guess_surrogate_size is 0; valid is a number from 1 to 1000"},
    {use + " -ksp_guess_surrogate_size many",
     "Input string many has no integer value"},
    {use + " -ksp_guess_surrogate_forgetting 1.5",
     "-ksp_guess_surrogate_forgetting is 1.5; valid is a number above 0, up "
     "to 1"}};
  for (const auto &[options, message] : wrong)
    {
      SCOPED_TRACE(options);
      const Outcome result = run(PETSC_PROGRAM " cg", options);
      EXPECT_NE(result.status, 0);
      // Versions of PETSc break their lines at other places.
      const auto output =
        std::regex_replace(result.output, std::regex("\\s+"), " ");
      EXPECT_NE(output.find(message), std::string::npos) << result.output;
    }
}



/** On a new mesh each time there is nothing to gain, and nothing changes. */
TEST(PETScLibrary, LeavesStep17AsItIs)
{
#ifndef STEP_17
  GTEST_SKIP() << "The tutorial programs of deal.II are not installed.";
#else
  ONLY_ON_RANKS(3);
  const auto file_contents = [](const std::string &name) {
    std::ifstream file(name);
    return std::string(std::istreambuf_iterator<char>(file),
                       std::istreambuf_iterator<char>());
  };
  const std::string names[] = {"step-17-without", "step-17-with"};
  Outcome           results[2];
  for (unsigned int i = 0; i < 2; ++i)
    {
      const std::string folder = names[i] + ".np" + std::to_string(n_ranks());
      ASSERT_EQ(
        std::system(("rm -rf " + folder + " && mkdir " + folder).c_str()), 0);
      results[i] =
        run("sh -c 'cd " + folder + " && exec " STEP_17 "'", i == 0 ? "" : use);
      ASSERT_EQ(results[i].status, 0) << results[i].output;
    }
  EXPECT_EQ(results[0].output, results[1].output);
  for (unsigned int cycle = 0; cycle < 10; ++cycle)
    {
      const std::string file = ".np" + std::to_string(n_ranks()) +
                               "/solution-" + std::to_string(cycle) + ".vtk";
      const std::string without = file_contents(names[0] + file);
      EXPECT_FALSE(without.empty());
      // Not even in the last digit, but for the date in the first lines.
      const auto data = without.find("DATASET");
      EXPECT_EQ(without.substr(data),
                file_contents(names[1] + file).substr(data));
    }
#endif
}



/**
 * Quasi-static time steps, on one mesh after the first step, with Dirichlet
 * rows whose columns are not eliminated.
 */
TEST(PETScLibrary, SavesIterationsOfStep18)
{
#ifndef STEP_18
  GTEST_SKIP() << "The tutorial programs of deal.II are not installed.";
#else
  ONLY_ON_RANKS(2);
  std::vector<double> n_iterations[2], norms[2];
  for (unsigned int i = 0; i < 2; ++i)
    {
      const Outcome result = run(STEP_18, i == 0 ? "" : use);
      ASSERT_EQ(result.status, 0) << result.output;
      std::smatch       match;
      const std::string text = result.output;
      for (const auto &[pattern, numbers] :
           {std::make_pair("converged in ([0-9]+) iterations",
                           &n_iterations[i]),
            std::make_pair("norm of rhs is ([^ \n]+)", &norms[i])})
        {
          const std::regex expression(pattern);
          for (std::sregex_iterator m(text.begin(), text.end(), expression);
               m != std::sregex_iterator();
               ++m)
            numbers->push_back(std::stod((*m)[1].str()));
        }
    }
  // The right hand sides depend on all solutions before.
  ASSERT_EQ(norms[0].size(), norms[1].size());
  ASSERT_FALSE(norms[0].empty());
  for (std::size_t i = 0; i < norms[0].size(); ++i)
    EXPECT_NEAR(norms[1][i] / norms[0][i], 1., 1e-4);
  ASSERT_EQ(n_iterations[0].size(), n_iterations[1].size());
  ASSERT_GE(n_iterations[0].size(), 3u);
  EXPECT_LT(1.5 * n_iterations[1].back(), n_iterations[0].back());
  std::cout << "step-18, iterations without and with the library:";
  for (std::size_t i = 0; i < n_iterations[0].size(); ++i)
    std::cout << ' ' << n_iterations[0][i] << '/' << n_iterations[1][i];
  std::cout << std::endl;
#endif
}
