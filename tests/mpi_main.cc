// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>

#include <gtest/gtest.h>

// The main() of tests with MPI: a failure on one rank fails all of them, and
// only the first rank reports.
int
main(int argc, char *argv[])
{
  dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  testing::InitGoogleTest(&argc, argv);
  if (dealii::Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) > 0)
    {
      auto &listeners = testing::UnitTest::GetInstance()->listeners();
      // Failures of other ranks are still printed.
      class FailuresOnly : public testing::EmptyTestEventListener
      {
        void
        OnTestPartResult(const testing::TestPartResult &result) override
        {
          if (result.failed())
            std::cerr << result.file_name() << ":" << result.line_number()
                      << " (another rank) " << result.message() << std::endl;
        }
      };
      delete listeners.Release(listeners.default_result_printer());
      listeners.Append(new FailuresOnly);
    }
  return dealii::Utilities::MPI::max(RUN_ALL_TESTS(), MPI_COMM_WORLD);
}
