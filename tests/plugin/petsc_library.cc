// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

/**
 * @file
 * The library neuraldeal_petsc in a program that knows nothing of it.
 */

#include <regex>
#include <sstream>

#include "petsc_runs.h"

using namespace PETScRuns;

TEST(PETScLibrary, SavesIterations)
{
  for (const std::string sequence : {"cg", "previous", "gmres", "time"})
    {
      SCOPED_TRACE(sequence);
      const auto without = solves(sequence, "");
      const auto with    = solves(sequence, use_guess);
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
  const auto with =
    solves("cg", use_guess + " -ksp_guess_surrogate_learn false");
  ASSERT_EQ(without.size(), with.size());
  for (std::size_t i = 0; i < without.size(); ++i)
    EXPECT_EQ(without[i].n_iterations, with[i].n_iterations);

  // Loaded, but not asked for.
  const auto idle = solves("cg", load_library);
  for (std::size_t i = 0; i < without.size(); ++i)
    EXPECT_EQ(without[i].n_iterations, idle[i].n_iterations);
}



TEST(PETScLibrary, KeepsProductsWithAMatrixThatStays)
{
  ONLY_ON_RANKS(1);
  const Outcome result =
    run(PETSC_PROGRAM " time", use_guess + " -ksp_guess_surrogate_monitor");
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
  const auto with    = solves("meshes", use_guess);
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
  const auto with    = solves("groups", use_guess);
  expect_same_solutions(without, with);
  ASSERT_EQ(with.size(), 12u);
  EXPECT_LT(1.5 * iterations(with, 6), iterations(without, 6));
  report("groups", without, with, 6);
}



TEST(PETScLibrary, LeavesDirectSolversAlone)
{
  ONLY_ON_RANKS(2);
  const auto without = solves("direct", "");
  const auto with    = solves("direct", use_guess);
  expect_same_solutions(without, with);
  EXPECT_EQ(with.size(), 4u);
}



TEST(PETScLibrary, IsShownAndExplained)
{
  ONLY_ON_RANKS(1);
  const Outcome shown = run(PETSC_PROGRAM " cg", use_guess + " -ksp_view");
  EXPECT_EQ(shown.status, 0);
  EXPECT_NE(shown.output.find("type: surrogate"), std::string::npos);
  EXPECT_NE(shown.output.find("16 solutions learned for this system"),
            std::string::npos)
    << shown.output;

  const Outcome help = run(PETSC_PROGRAM " cg", use_guess + " -help");
  EXPECT_NE(help.output.find("-ksp_guess_surrogate_size"), std::string::npos);
}



/** The deflated space saves more than the start alone. */
TEST(PETScLibrary, DeflatesAsPreconditioner)
{
  const auto without = solves("cg", "");
  const auto guess   = solves("cg", use_guess);
  for (const std::string with_guess : {"", " -ksp_guess_type surrogate"})
    {
      SCOPED_TRACE(with_guess);
      const auto with =
        solves("cg", load_library + " -pc_type surrogate" + with_guess);
      expect_same_solutions(without, with);
      ASSERT_EQ(with.size(), 16u);
      EXPECT_LT(1.2 * iterations(with, 8), iterations(guess, 8));
      report("PC" + with_guess, without, with, 8);
    }
}



/**
 * Everything by one option: as good as both, and the residuals pass the
 * program's own test, in the norm with its own preconditioner.
 */
TEST(PETScLibrary, SolvesByOneOption)
{
  for (const std::string sequence : {"cg", "gmres", "time", "previous"})
    {
      SCOPED_TRACE(sequence);
      const auto without = solves(sequence, "");
      const auto with = solves(sequence, load_library + " -ksp_type surrogate");
      expect_same_solutions(without, with);
      ASSERT_EQ(with.size(), 16u);
      EXPECT_EQ(without[0].n_iterations, with[0].n_iterations);
      EXPECT_LT(1.5 * iterations(with, 8), iterations(without, 8));
      for (const auto &solve : with)
        EXPECT_LE(solve.residual, 1. + 1e-6);
      report("KSP, " + sequence, without, with, 8);
    }
}



/** Of a matrix that is not symmetric the inner preconditioner is left. */
TEST(PETScLibrary, PreconditionsGeneralMatrices)
{
  ONLY_ON_RANKS(2u);
  const auto without = solves("gmres", "");
  const auto with    = solves("gmres", load_library + " -pc_type surrogate");
  expect_same_solutions(without, with);
  const Outcome shown =
    run(PETSC_PROGRAM " gmres", load_library + " -pc_type surrogate -ksp_view");
  EXPECT_NE(shown.output.find("coarse space of 0 directions, as the matrix is "
                              "not symmetric positive definite"),
            std::string::npos)
    << shown.output;
}



TEST(PETScLibrary, ChoosesInnerSolvers)
{
  ONLY_ON_RANKS(2u);
  const auto without = solves("cg", "");
  for (const std::string options :
       {" -pc_type surrogate -pc_surrogate_pc_type jacobi",
        " -ksp_type surrogate -ksp_surrogate_ksp_type fgmres",
        " -ksp_type surrogate -ksp_surrogate_ksp_type minres",
        " -ksp_type surrogate -ksp_norm_type unpreconditioned",
        " -ksp_type surrogate -ksp_norm_type natural",
        " -ksp_type surrogate -pc_type surrogate",
        " -ksp_type surrogate -ksp_guess_type fischer"})
    {
      SCOPED_TRACE(options);
      const auto with = solves("cg", load_library + options);
      expect_same_solutions(without, with);
      ASSERT_EQ(with.size(), 16u);
      EXPECT_LT(1.5 * iterations(with, 8), 8 * with[0].n_iterations);
    }
}



/** What the monitor shows and what is recorded is what has happened. */
TEST(PETScLibrary, IsMonitored)
{
  ONLY_ON_RANKS(1u);
  const Outcome result = run(PETSC_PROGRAM " cg",
                             load_library + " -ksp_type surrogate -ksp_monitor "
                                            "-ksp_converged_reason");
  EXPECT_EQ(result.status, 0) << result.output;
  const std::regex   residual(" *([0-9]+) KSP Residual norm.*");
  const std::regex   reason(".* converged due to .* iterations ([0-9]+)");
  const std::regex   end("solve [^:]*: ([0-9]+) iterations.*");
  std::istringstream lines(result.output);
  std::smatch        match;
  int                next     = 0;
  unsigned int       n_solves = 0;
  for (std::string line; std::getline(lines, line);)
    if (std::regex_match(line, match, residual))
      EXPECT_EQ(std::stoi(match[1].str()), next++) << result.output;
    else if (std::regex_match(line, match, reason))
      EXPECT_EQ(std::stoi(match[1].str()), next - 1) << result.output;
    else if (std::regex_match(line, match, end))
      {
        EXPECT_EQ(std::stoi(match[1].str()), next - 1) << result.output;
        next = 0;
        ++n_solves;
      }
  EXPECT_EQ(n_solves, 16u) << result.output;
}



TEST(PETScLibrary, KeepsPrefixesApart)
{
  ONLY_ON_RANKS(2u);
  const auto without = solves("prefixes", "");
  for (const std::string options : {" -a_ksp_guess_type surrogate",
                                    " -a_pc_type surrogate",
                                    " -a_ksp_type surrogate"})
    {
      SCOPED_TRACE(options);
      const auto with = solves("prefixes", load_library + options);
      expect_same_solutions(without, with);
      ASSERT_EQ(with.size(), 16u);
      for (unsigned int i = 1; i < 16; i += 2)
        EXPECT_EQ(with[i].n_iterations, without[i].n_iterations);
      EXPECT_LT(1.2 * with[14].n_iterations, without[14].n_iterations);
    }
}



TEST(PETScLibrary, NamesWhatIsWrong)
{
  ONLY_ON_RANKS(1u);
  const struct
  {
    std::string options, message;
  } wrong[] = {
    {"-dll_append /nowhere/libneuraldeal_petsc.so -ksp_guess_type surrogate",
     "Unable to locate dynamic library: /nowhere/libneuraldeal_petsc.so"},
    {"-ksp_guess_type surrogate",
     "Unable to find requested KSPGuess type surrogate"},
    {load_library + " -ksp_guess_type surogate",
     "Unable to find requested KSPGuess type surogate"},
    {load_library + " -ksp_type surogate",
     "Unable to find requested KSP type surogate"},
    {load_library + " -pc_type surogate",
     "Unable to find requested PC type surogate"},
    {load_library + " -ksp_type surrogate -ksp_surrogate_ksp_type surrogate",
     "-ksp_surrogate_ksp_type is surrogate; valid is any other method of "
     "PETSc"},
    {load_library + " -pc_type surrogate -ksp_guess_surrogate_size 0",
     "-ksp_guess_surrogate_size is 0; valid is a number from 1 to 1000"},
    {use_guess + " -ksp_guess_surrogate_symmetric perhaps",
     "-ksp_guess_surrogate_symmetric is perhaps; valid is one of: auto, true, "
     "false"},
    {use_guess + " -ksp_guess_surrogate_size 0",
     "-ksp_guess_surrogate_size is 0; valid is a number from 1 to 1000"},
    {use_guess + " -ksp_guess_surrogate_size many",
     "Input string many has no integer value"},
    {use_guess + " -ksp_guess_surrogate_forgetting 1.5",
     "-ksp_guess_surrogate_forgetting is 1.5; valid is a number above 0, up "
     "to 1"}};
  for (const auto &[options, message] : wrong)
    expect_failure("cg", options, message);
  expect_failure("direct",
                 load_library + " -pc_type surrogate",
                 "-pc_type is surrogate, in the place of a direct solver; "
                 "valid is surrogate with the prefix of an iterative solver");
}
