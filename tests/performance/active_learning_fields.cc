// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// The solves of the benchmark of active learning:
//
//   mpirun -np 2 active_learning_fields FOLDER [quick]

#include <deal.II/base/mpi.h>

#include <neuraldeal/surrogates/exceptions.h>

#include <iostream>

#include "active_learning_problems.h"

int
main(int argc, char *argv[])
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;
  dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  return run_program([&]() {
    const std::vector<std::string> given(argv + 1, argv + argc);
    const std::string              name = "active_learning_fields";
    if (given.empty() || given.size() > 2 ||
        (given.size() == 2 && given[1] != "quick"))
      throw InputError(name,
                       "the arguments",
                       std::to_string(given.size()) + " of them",
                       "FOLDER [quick]");
    const ProcessGroups ranks(MPI_COMM_WORLD, 1, name);
    const auto          threads = set_threads(1, MPI_COMM_WORLD);
    if (ranks.is_root())
      std::cout << threads << std::endl;
    for (const auto &problem : active_learning_problems())
      write_active_learning_data(make_active_learning_problem(problem),
                                 given[0],
                                 given.size() == 2,
                                 ranks);
  });
}
