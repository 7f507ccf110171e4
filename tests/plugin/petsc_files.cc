// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

/**
 * @file
 * The files in which the library neuraldeal_petsc keeps what it has learned.
 */

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <limits>
#include <sstream>

#include "petsc_runs.h"

using namespace PETScRuns;

namespace
{
  std::string
  save(const std::string &file)
  {
    return " -ksp_guess_surrogate_save " + file;
  }

  std::string
  load(const std::string &file)
  {
    return " -ksp_guess_surrogate_load " + file;
  }

  std::string
  contents(const std::string &name)
  {
    std::ifstream file(name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file),
                       std::istreambuf_iterator<char>());
  }

  void
  write(const std::string &name, const std::string &contents)
  {
    std::ofstream(name, std::ios::binary) << contents;
  }

  /** The two sums of the library's README. */
  template <typename Word>
  std::string
  sums(const std::vector<Word> &words)
  {
    std::uint64_t a = 0, b = 0;
    for (std::size_t i = 0; i < words.size(); ++i)
      {
        std::uint64_t bits = 0;
        std::memcpy(&bits, &words[i], sizeof(Word));
        a += bits;
        b += (i + 1) * bits;
      }
    std::ostringstream text;
    text << std::hex << a << ' ' << b << '\n';
    return text.str();
  }

  /**
   * Change all numbers of a file with one system, and its sums with them, as
   * the library's README describes it.
   */
  std::string
  changed(const std::string                                &file,
          const std::function<double(std::size_t, double)> &change)
  {
    const auto          data = file.find('\n', file.find("\nend ") + 1) + 1;
    std::vector<double> numbers((file.size() - data) / sizeof(double));
    std::memcpy(numbers.data(), &file[data], file.size() - data);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = change(i, numbers[i]);

    const std::string header =
      file.substr(0, file.find("\nsums ") + 6) + sums(numbers);
    std::string result =
      header + "end " +
      sums(std::vector<unsigned char>(header.begin(), header.end()));
    result.append(reinterpret_cast<const char *>(numbers.data()),
                  numbers.size() * sizeof(double));
    return result;
  }
} // namespace



/** The next run begins where the one before has ended. */
TEST(PETScFiles, NextRunKnows)
{
  const std::string file    = new_folder("next_run") + "/learned";
  const auto        without = solves("cg", "");
  for (const std::string &use : all_uses)
    {
      SCOPED_TRACE(use);
      const auto first  = solves("cg", use + save(file));
      const auto second = solves("cg", use + load(file));
      expect_same_solutions(without, first);
      expect_same_solutions(without, second);
      EXPECT_EQ(without[0].n_iterations, first[0].n_iterations);
      for (std::size_t i = 0; i < first.size(); ++i)
        EXPECT_LT(2 * second[i].n_iterations, without[i].n_iterations);
    }
  EXPECT_TRUE(contents(file + ".new").empty());
}



/** Whatever is written and read by any of the three serves the others. */
TEST(PETScFiles, ServesAllTypes)
{
  ONLY_ON_RANKS(3u);
  const std::string file    = new_folder("all_types") + "/learned";
  const auto        without = solves("gmres", "");
  solves("gmres", load_library + " -pc_type surrogate" + save(file));
  const auto with =
    solves("gmres",
           load_library +
             " -ksp_type surrogate -ksp_guess_surrogate_learn false" +
             load(file));
  expect_same_solutions(without, with);
  EXPECT_LT(2 * iterations(with, 16), iterations(without, 16));
}



TEST(PETScFiles, HasManySystems)
{
  const std::string file    = new_folder("many_systems") + "/learned";
  const auto        without = solves("meshes", "");
  solves("meshes", use_guess + save(file));
  const auto with = solves("meshes", use_guess + load(file) + save(file));
  expect_same_solutions(without, with);
  ASSERT_EQ(with.size(), 24u);
  for (std::size_t i = 0; i < with.size(); ++i)
    EXPECT_LT(2 * with[i].n_iterations, without[i].n_iterations);
}



/** A prediction that is nonsense costs iterations, never the answer. */
TEST(PETScFiles, NonsenseCostsIterationsOnly)
{
  const std::string folder = new_folder("nonsense"), file = folder + "/learned";
  const auto        without = solves("cg", "");
  solves("cg", use_guess + save(file));
  const std::string good = contents(file);

  const struct
  {
    std::string                                name;
    std::function<double(std::size_t, double)> change;
  } changes[] = {
    {"noise", [](const std::size_t i, double) { return std::sin(1. + i * i); }},
    {"large", [](const std::size_t i, double) { return 1e200 * std::cos(i); }},
    {"one_nan",
     [](const std::size_t i, double value) {
       return i % 1000 == 7 ? std::nan("") : value;
     }},
    {"nan", [](std::size_t, double) { return std::nan(""); }},
    {"infinite",
     [](std::size_t, double) {
       return std::numeric_limits<double>::infinity();
     }},
    {"zero", [](std::size_t, double) { return 0.; }}};
  unsigned int n = 0;
  for (const auto &[name, change] : changes)
    {
      const std::string wrong_file = folder + "/" + name;
      write(wrong_file, changed(good, change));
      // Each with other options, to keep this short.
      for (const unsigned int k : {n, n + 1})
        {
          const std::string &use = all_uses[(k + n_ranks()) % all_uses.size()];
          SCOPED_TRACE(name + use);
          const auto with = solves("cg", use + load(wrong_file));
          expect_same_solutions(without, with);
          if (name == "zero" || name == "nan" || name == "infinite")
            {
              // Nothing could be learned from that.
              EXPECT_EQ(without[0].n_iterations, with[0].n_iterations);
              EXPECT_LT(with.back().n_iterations, without.back().n_iterations);
            }
        }
      ++n;
    }

  // What changed() makes is what the library makes.
  EXPECT_EQ(changed(good, [](std::size_t, double value) { return value; }),
            good);
}



TEST(PETScFiles, NamesWhatIsWrong)
{
  ONLY_ON_RANKS(1u);
  const std::string folder = new_folder("wrong"), file = folder + "/learned";
  solves("cg", use_guess + save(file));
  const std::string good = contents(file);

  const auto expect = [&](const std::string &name,
                          const std::string &text,
                          const std::string &message) {
    write(folder + "/" + name, text);
    expect_failure("cg",
                   use_guess + load(folder + "/" + name),
                   folder + "/" + name + ": " + message);
  };
  std::string flipped = good;
  flipped[good.size() / 2] ^= 1;
  expect("flipped",
         flipped,
         "is damaged: the values for 345 unknowns do not have the sums that "
         "they should.");
  flipped = good;
  flipped[good.find("unknowns") + 10] ^= 1;
  expect("header",
         flipped,
         "is damaged: its header does not have the sums that it should.");
  expect("cut",
         good.substr(0, good.size() - 100),
         "is damaged: it has " + std::to_string(good.size() - 100) +
           " bytes, and " + std::to_string(good.size()) + " by its header.");
  expect("short", good.substr(0, 50), "is damaged: its header has no end.");
  std::string later                              = good;
  later[std::string("neuraldeal_petsc ").size()] = '7';
  expect("later", later, "is of the version '7'; valid is 1.");
  expect("other",
         "ASCII text",
         "is not a file that -ksp_guess_surrogate_save has stored: it does not "
         "begin with 'neuraldeal_petsc'.");

  expect_failure("cg",
                 use_guess + load(folder + "/absent"),
                 folder + "/absent: cannot be read (No such file or "
                          "directory); valid is a file that "
                          "-ksp_guess_surrogate_save has stored.");
  expect_failure("cg",
                 use_guess + save(folder + "/absent/file"),
                 folder + "/absent/file: cannot be stored (No such file or "
                          "directory); valid is a file in a folder that exists "
                          "and may be written.");
  expect_failure("cg",
                 use_guess + " -ksp_guess_surrogate_load",
                 "-ksp_guess_surrogate_load is empty; valid is the name of a "
                 "file");
  expect_failure("meshes",
                 use_guess + load(file),
                 file + ": is for another problem: the first system of this "
                        "run is one with the prefix '', 97 unknowns and 461 "
                        "nonzeros, and those of the file are: one with the "
                        "prefix '', 345 unknowns and 2269 nonzeros.");
  expect_failure("prefixes",
                 load_library +
                   " -a_ksp_type surrogate "
                   "-a_ksp_guess_surrogate_load " +
                   file,
                 "the first system of this run is one with the prefix 'a_'");
}



/** The numbering depends on the number of ranks. */
TEST(PETScFiles, IsForANumberOfRanks)
{
  ONLY_ON_RANKS(1u);
  const std::string file = new_folder("ranks") + "/learned";
  setenv("NEURALDEAL_RANKS", "2", 1);
  solves("cg", use_guess + save(file));
  setenv("NEURALDEAL_RANKS", "1", 1);
  expect_failure("cg",
                 use_guess + load(file),
                 file + ": was stored by a run on 2 ranks, where the unknowns "
                        "are numbered otherwise; valid is one by a run on 1.");
}



/** PETSc lets the other ranks wait for a while before they end. */
TEST(PETScFiles, EndsOnAllRanks)
{
  ONLY_ON_RANKS(3u);
  expect_failure("cg",
                 load_library + " -ksp_type surrogate" + load("/nowhere/file"),
                 "/nowhere/file: cannot be read (No such file or directory)");
}
