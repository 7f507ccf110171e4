// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "test_tools.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace TestTools
{
  ScratchFolder::ScratchFolder(const MPI_Comm communicator)
    : communicator(communicator)
  {
    if (rank(communicator) == 0)
      {
        path = std::filesystem::temp_directory_path() / "neuraldeal-XXXXXX";
        if (mkdtemp(path.data()) == nullptr)
          path = "there is no temporary folder";
      }
    path = broadcast(path, communicator);
  }



  ScratchFolder::~ScratchFolder()
  {
    MPI_Barrier(communicator);
    std::error_code ignored;
    if (rank(communicator) == 0)
      std::filesystem::remove_all(path, ignored);
  }



  std::vector<std::string>
  files_in(const std::string &folder)
  {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(folder))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }



  // (Those of deal.II take any type, which compiles for seconds wherever they
  // are called.)
  std::string
  broadcast(const std::string &text, const MPI_Comm communicator)
  {
    std::string   result = text;
    unsigned long size   = text.size();
    MPI_Bcast(&size, 1, MPI_UNSIGNED_LONG, 0, communicator);
    result.resize(size);
    MPI_Bcast(result.data(), int(size), MPI_CHAR, 0, communicator);
    return result;
  }



  std::vector<long>
  all_gather(const long number, const MPI_Comm communicator)
  {
    std::vector<long> result(n_ranks(communicator));
    MPI_Allgather(
      &number, 1, MPI_LONG, result.data(), 1, MPI_LONG, communicator);
    return result;
  }



  void
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
