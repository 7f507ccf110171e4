// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_fields_program_h
#define neuraldeal_tests_performance_fields_program_h

#include <deal.II/base/mpi.h>

#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <functional>
#include <iostream>
#include <string>
#include <vector>

namespace neuraldeal::performance
{
  /** ‖values − reference‖ over ‖reference‖. */
  inline double
  relative_error(const torch::Tensor &values, const torch::Tensor &reference)
  {
    return ((values - reference).norm() / reference.norm()).item<double>();
  }



  /**
   * main() of a program that makes the data of a benchmark.
   * @param arguments how many there have to be, the last one the folder or
   * "--check"; @param meaning what they are, in words.
   * @param work is given them, on all ranks.
   */
  inline int
  run_fields_program(
    int                                                    argc,
    char                                                  *argv[],
    const std::string                                     &name,
    const std::size_t                                      arguments,
    const std::string                                     &meaning,
    const std::function<void(const std::vector<std::string> &given,
                             const ProcessGroups            &ranks)> &work)
  {
    dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
    return run_program([&]() {
      const std::vector<std::string> given(argv + 1, argv + argc);
      if (given.size() != arguments)
        throw InputError(name,
                         "the number of arguments",
                         std::to_string(given.size()),
                         std::to_string(arguments) + ": " + meaning);
      const ProcessGroups ranks(MPI_COMM_WORLD, 1, name);
      const auto          threads = set_threads(1, MPI_COMM_WORLD);
      if (ranks.is_root())
        std::cout << threads << std::endl;
      work(given, ranks);
    });
  }
} // namespace neuraldeal::performance

#endif
