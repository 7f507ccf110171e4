// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_coupling_test_tools_h
#define neuraldeal_tests_coupling_test_tools_h

#include <deal.II/base/mpi.h>

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

/** What the tests of programs with several ranks have in common. */
namespace TestTools
{
  using namespace dealii;

  inline unsigned int
  rank(const MPI_Comm communicator = MPI_COMM_WORLD)
  {
    return Utilities::MPI::this_mpi_process(communicator);
  }

  inline unsigned int
  n_ranks(const MPI_Comm communicator = MPI_COMM_WORLD)
  {
    return Utilities::MPI::n_mpi_processes(communicator);
  }

  /** The sizes that groups of the ranks there are can have. */
  inline std::vector<unsigned int>
  group_sizes()
  {
    std::vector<unsigned int> result;
    for (unsigned int size = 1; size <= n_ranks(); ++size)
      if (n_ranks() % size == 0)
        result.push_back(size);
    return result;
  }

  /** A folder that the ranks share; it goes with the object. */
  class ScratchFolder
  {
  public:
    explicit ScratchFolder(const MPI_Comm communicator = MPI_COMM_WORLD)
      : communicator(communicator)
    {
      if (rank(communicator) == 0)
        {
          path = std::filesystem::temp_directory_path() / "neuraldeal-XXXXXX";
          if (mkdtemp(path.data()) == nullptr)
            path = "there is no temporary folder";
        }
      path = Utilities::MPI::broadcast(communicator, path);
    }

    ~ScratchFolder()
    {
      MPI_Barrier(communicator);
      std::error_code ignored;
      if (rank(communicator) == 0)
        std::filesystem::remove_all(path, ignored);
    }

    ScratchFolder(const ScratchFolder &) = delete;

    std::string
    operator/(const std::string &name) const
    {
      return path + "/" + name;
    }

    std::string path;

  private:
    const MPI_Comm communicator;
  };

  /** The names of the files in a folder, sorted. */
  inline std::vector<std::string>
  files_in(const std::string &folder)
  {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(folder))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  /** What the exception says that @p work throws; empty where it does not. */
  template <typename Work>
  std::string
  message_of(const Work &work)
  {
    try
      {
        work();
      }
    catch (const std::exception &exception)
      {
        const std::string text = exception.what();
        return text.empty() ? "an exception without words" : text;
      }
    return "";
  }

  /** Whether all ranks have the same value. */
  template <typename T>
  bool
  same_on_all_ranks(const T       &value,
                    const MPI_Comm communicator = MPI_COMM_WORLD)
  {
    const auto all = Utilities::MPI::all_gather(communicator, value);
    return std::all_of(all.begin(), all.end(), [&](const T &other) {
      return other == all[0];
    });
  }

  /** That a message is one line, ends as a sentence does, and has @p parts. */
  inline void
  expect_sentence(const std::string              &message,
                  const std::vector<std::string> &parts)
  {
    EXPECT_FALSE(message.empty()) << "nothing was thrown";
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    if (!message.empty())
      {
        EXPECT_EQ(message.back(), '.') << message;
      }
    for (const auto &part : parts)
      EXPECT_NE(message.find(part), std::string::npos)
        << "'" << part << "' is not in: " << message;
  }
} // namespace TestTools

#endif
