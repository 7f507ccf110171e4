// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/parallel_file.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  /** Rank r of a group writes r + 1 columns of two rows (rank 1 none). */
  std::size_t
  n_columns(const unsigned int rank)
  {
    return rank == 1 ? 0 : rank + 1;
  }

  std::vector<double>
  all_columns(const unsigned int n_ranks, const double sign)
  {
    std::size_t n = 0;
    for (unsigned int r = 0; r < n_ranks; ++r)
      n += n_columns(r);
    std::vector<double> result;
    for (unsigned int row = 0; row < 2; ++row)
      for (std::size_t column = 0; column < n; ++column)
        result.push_back(sign * (10. * row + column));
    return result;
  }

  void
  write(const std::string &filename, const MPI_Comm group, const double sign)
  {
    const auto        all   = all_columns(n_ranks(group), sign);
    const std::size_t n     = all.size() / 2;
    std::size_t       first = 0;
    for (unsigned int r = 0; r < rank(group); ++r)
      first += n_columns(r);
    const std::size_t   n_mine = n_columns(rank(group));
    std::vector<double> mine;
    for (unsigned int row = 0; row < 2; ++row)
      mine.insert(mine.end(),
                  all.begin() + row * n + first,
                  all.begin() + row * n + first + n_mine);
    write_parallel_file(filename, group, [&](HDF5File &file) {
      file.write_attribute("format", "a test");
      file.write("field", {2, n}, mine.data(), first, n_mine, "two rows");
      file.write("ids", std::vector<std::int64_t>{3, 1, 4}, "some numbers");
      file.write_strings("reasons", {"", "a longer one"}, "some words");
    });
  }
} // namespace



TEST(ParallelFile, IsWrittenTogetherAndReadByOne)
{
  const ScratchFolder folder;
  for (const auto size : group_sizes())
    {
      const ProcessGroups groups(MPI_COMM_WORLD, size, "test.prm");
      // A file a group; the second time it replaces the first.
      const std::string name =
        std::to_string(size) + "-" + std::to_string(rank() / size) + ".h5";
      for (const double sign : {1., -1.})
        {
          write(folder / name, groups.group(), sign);
          const HDF5File file(folder / name);
          EXPECT_EQ(file.read<double>("field"), all_columns(size, sign));
          EXPECT_EQ(file.shape("field")[0], 2u);
          EXPECT_EQ(file.read<std::int64_t>("ids"),
                    (std::vector<std::int64_t>{3, 1, 4}));
          EXPECT_EQ(file.read_strings("reasons"),
                    (std::vector<std::string>{"", "a longer one"}));
          EXPECT_EQ(file.read_attribute("format"), "a test");
          // Nobody replaces what others still read.
          MPI_Barrier(MPI_COMM_WORLD);
        }
    }
  for (const auto &name : files_in(folder.path))
    EXPECT_EQ(std::filesystem::path(name).extension(), ".h5") << name;
}



TEST(ParallelFile, FailsOnAllRanksWhereTheFolderCannotBeWritten)
{
  const ScratchFolder folder;
  // Not even root can write into a folder that is a file, or not there.
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    std::ofstream(folder / "file") << "no folder";
  MPI_Barrier(MPI_COMM_WORLD);
  for (const auto &name : {folder / "nowhere/x.h5", folder / "file/x.h5"})
    {
      const auto message =
        message_of([&]() { write(name, MPI_COMM_WORLD, 1.); });
      expect_sentence(message, {name, "could not be created"});
      EXPECT_TRUE(same_on_all_ranks(message));
    }
}



TEST(ParallelFile, AFailureLeavesWhatWasThere)
{
  const ScratchFolder folder;
  const auto          name = folder / "x.h5";
  write(name, MPI_COMM_WORLD, 1.);
  const auto message = message_of([&]() {
    write_parallel_file(name, MPI_COMM_WORLD, [](HDF5File &file) {
      file.write_attribute("format", "half a file");
      throw FileError("x.h5", "the disk is full");
    });
  });
  EXPECT_EQ(message, "x.h5: the disk is full.");
  EXPECT_EQ(HDF5File(name).read_attribute("format"), "a test");
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_EQ(files_in(folder.path), std::vector<std::string>{"x.h5"});

  // A name that is taken by a folder: only the last step fails, and only on
  // one rank.
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    std::filesystem::create_directories(folder / "taken.h5/inside");
  MPI_Barrier(MPI_COMM_WORLD);
  const auto taken =
    message_of([&]() { write(folder / "taken.h5", MPI_COMM_WORLD, 1.); });
  expect_sentence(taken, {folder / "taken.h5", "could not be created"});
  EXPECT_TRUE(same_on_all_ranks(taken));
  EXPECT_EQ(files_in(folder.path),
            (std::vector<std::string>{"taken.h5", "x.h5"}));
}



TEST(ParallelFile, OfDifferentDataSetsIsNotWritten)
{
  // A mistake that would put values in the places of others.
  const ScratchFolder folder;
  const auto          name    = folder / "x.h5";
  const auto          message = message_of([&]() {
    write_parallel_file(name, MPI_COMM_WORLD, [](HDF5File &file) {
      const std::size_t n = 5 + rank();
      file.write("first", std::vector<double>(n), "of other sizes");
      file.write("second", std::vector<double>(5), "elsewhere");
    });
  });
  EXPECT_EQ(message.empty(), n_ranks() == 1);
  EXPECT_TRUE(same_on_all_ranks(message));
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_EQ(files_in(folder.path).size(), n_ranks() == 1 ? 1u : 0u);
}
