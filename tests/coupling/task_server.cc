// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/task_server.h>

#include <algorithm>
#include <numeric>

#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;



TEST(TaskServer, CountForAllRanks)
{
  TaskServer server(MPI_COMM_WORLD, true);
  ASSERT_TRUE(server.is_reachable());
  // Every round begins at zero, and no value comes twice.
  for (const unsigned int round : {1u, 2u, 7u})
    {
      const unsigned int         n = 200;
      std::vector<std::uint64_t> mine;
      for (unsigned int i = 0; i < n; ++i)
        mine.push_back(server.fetch_and_add(round, 1));
      EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
      std::vector<std::uint64_t> all(n * n_ranks());
      MPI_Allgather(mine.data(),
                    n,
                    MPI_UINT64_T,
                    all.data(),
                    n,
                    MPI_UINT64_T,
                    MPI_COMM_WORLD);
      std::sort(all.begin(), all.end());
      std::vector<std::uint64_t> expected(n * n_ranks());
      std::iota(expected.begin(), expected.end(), 0);
      EXPECT_EQ(all, expected);
    }
}



TEST(TaskServer, CountLargeNumbers)
{
  TaskServer          server(MPI_COMM_WORLD, true);
  const std::uint64_t large = std::uint64_t(1) << 40;
  server.fetch_and_add(1, large);
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_EQ(server.fetch_and_add(1, 0), large * n_ranks());
  MPI_Barrier(MPI_COMM_WORLD);
}



TEST(TaskServer, CountForSomeRanks)
{
  const bool asks = (rank() + 1 == n_ranks());
  TaskServer server(MPI_COMM_WORLD, asks);
  EXPECT_TRUE(server.is_reachable());
  if (asks)
    {
      EXPECT_EQ(server.fetch_and_add(1, 5), 0u);
      EXPECT_EQ(server.fetch_and_add(1, 1), 5u);
      EXPECT_EQ(server.fetch_and_add(2, 1), 0u);
    }
  MPI_Barrier(MPI_COMM_WORLD);
}



TEST(TaskServer, KeepApartFromOthers)
{
  TaskServer a(MPI_COMM_WORLD, true), b(MPI_COMM_WORLD, true);
  a.fetch_and_add(1, 3);
  b.fetch_and_add(1, 4);
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_EQ(a.fetch_and_add(1, 0), 3u * n_ranks());
  EXPECT_EQ(b.fetch_and_add(1, 0), 4u * n_ranks());
  MPI_Barrier(MPI_COMM_WORLD);
}
