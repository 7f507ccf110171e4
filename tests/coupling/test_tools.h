// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_coupling_test_tools_h
#define neuraldeal_tests_coupling_test_tools_h

#include <deal.II/base/mpi.h>

#include <gtest/gtest.h>

#include <exception>
#include <string>
#include <type_traits>
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
    explicit ScratchFolder(const MPI_Comm communicator = MPI_COMM_WORLD);

    ~ScratchFolder();

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
  std::vector<std::string>
  files_in(const std::string &folder);

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

  /** The text of the first rank. */
  std::string
  broadcast(const std::string &text,
            const MPI_Comm     communicator = MPI_COMM_WORLD);

  /** The numbers of all ranks, in their order. */
  std::vector<long>
  all_gather(const long number, const MPI_Comm communicator = MPI_COMM_WORLD);

  /** The bytes of a value, of the numbers or texts that it is made of. */
  inline std::string
  bytes_of(const std::string &text)
  {
    return std::to_string(text.size()) + ":" + text;
  }

  template <typename Number>
  std::enable_if_t<std::is_arithmetic_v<Number>, std::string>
  bytes_of(const Number number)
  {
    return std::string(reinterpret_cast<const char *>(&number), sizeof(number));
  }

  template <typename T>
  std::string
  bytes_of(const std::vector<T> &values)
  {
    std::string result = std::to_string(values.size()) + ":";
    for (const auto &value : values)
      result += bytes_of(T(value));
    return result;
  }

  /** Whether all ranks have the same value, bit for bit. */
  template <typename T>
  bool
  same_on_all_ranks(const T       &value,
                    const MPI_Comm communicator = MPI_COMM_WORLD)
  {
    const auto mine = bytes_of(value);
    const bool same = broadcast(mine, communicator) == mine;
    return Utilities::MPI::min(int(same), communicator) == 1;
  }

  /** That a message is one line, ends as a sentence does, and has @p parts. */
  void
  expect_sentence(const std::string              &message,
                  const std::vector<std::string> &parts);
} // namespace TestTools

#endif
