// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>

#include <gtest/gtest.h>
#include <mpi.h>

#include <algorithm>
#include <string>

namespace
{
  /** Says on which rank a check failed. */
  class RankOfFailure : public testing::EmptyTestEventListener
  {
    void
    OnTestPartResult(const testing::TestPartResult &result) override
    {
      if (result.failed())
        {
          std::cout << "[  rank "
                    << dealii::Utilities::MPI::this_mpi_process(MPI_COMM_WORLD)
                    << "  ] " << result.file_name() << ":"
                    << result.line_number() << ": " << result.summary()
                    << std::endl;
        }
    }
  };
} // namespace

/** The main function of tests that may run on several ranks. */
int
main(int argc, char **argv)
{
  dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  testing::InitGoogleTest(&argc, argv);

  auto &listeners = testing::UnitTest::GetInstance()->listeners();
  if (dealii::Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) != 0)
    {
      delete listeners.Release(listeners.default_result_printer());
      listeners.Append(new RankOfFailure);
    }

  // A test has failed if it has on one of the ranks.
  return dealii::Utilities::MPI::max(RUN_ALL_TESTS(), MPI_COMM_WORLD);
}
