// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// The data of the standard Darcy benchmark of operator learning, made anew:
//
//   mpirun -np 2 darcy_fields 64|421 FOLDER     (--check for a few solves only)

#include <fmt/format.h>

#include <chrono>
#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "darcy_generator.h"
#include "fields_program.h"
#include "solver_table.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;

  /**
   * The choices that the generator has made, measured on a few samples: the
   * preconditioner, and the mean that gives coarse cells their coefficient.
   */
  void
  check(const DarcySet &set)
  {
    const unsigned int                                  n_samples = 10;
    const DarcyField                                    field(set.n_cells);
    DarcyProblem                                        problem(set.n_cells);
    std::map<std::pair<unsigned int, CellMean>, double> errors;
    for (unsigned int i = 0; i < n_samples; ++i)
      {
        const auto coefficient = darcy_coefficient(field.sample(set.seed, i));
        const auto seconds     = [&](const auto &solve) {
          const auto start = std::chrono::steady_clock::now();
          solve();
          return std::chrono::duration<double>(
                   std::chrono::steady_clock::now() - start)
            .count();
        };
        torch::Tensor solution, other;
        const double  fast =
          seconds([&]() { solution = problem.solve(coefficient); });
        std::cout << fmt::format("sample {}: {} steps, {:.3f} s",
                                 i,
                                 problem.n_iterations(),
                                 fast);
        if (i < 3)
          {
            using Preconditioner   = DarcyProblem::Preconditioner;
            const double multigrid = seconds([&]() {
              other =
                problem.solve(coefficient, Preconditioner::algebraic_multigrid);
            });
            std::cout << fmt::format(
              "; with algebraic multigrid: {} steps, {:.3f} s, relative "
              "difference {:.1e}",
              problem.n_iterations(),
              multigrid,
              relative_error(other, solution));
          }
        std::cout << std::endl;

        const auto reference =
          evaluate_at_centres(solution, set.n_cells, set.stride);
        for (const unsigned int n : DarcyData::coarse_cells)
          for (const auto mean :
               {CellMean::arithmetic, CellMean::geometric, CellMean::harmonic})
            errors[{n, mean}] +=
              relative_error(
                evaluate_at_centres(DarcyProblem(n).solve(
                                      coarse_coefficient(coefficient, n, mean)),
                                    set.n_cells,
                                    set.stride),
                reference) /
              n_samples;
      }
    std::cout << "\nRelative L2 error of coarse solutions, by the mean that "
                 "their cells take\n      arithmetic  geometric   harmonic\n";
    for (const unsigned int n : DarcyData::coarse_cells)
      std::cout << fmt::format("{:3}²  {:8.3f} % {:8.3f} % {:8.3f} %\n",
                               n,
                               100. * errors[{n, CellMean::arithmetic}],
                               100. * errors[{n, CellMean::geometric}],
                               100. * errors[{n, CellMean::harmonic}]);
  }



  void
  print_table(const DarcyData &data)
  {
    std::vector<std::string> meshes = {fmt::format("{}²", data.n_cells)};
    for (const unsigned int n : DarcyData::coarse_cells)
      meshes.push_back(fmt::format("{}²", n));
    print_solver_table(data,
                       fmt::format("{}² values", data.solution.size(1)),
                       meshes);
  }
} // namespace



int
main(int argc, char *argv[])
{
  return run_fields_program(
    argc,
    argv,
    "darcy_fields",
    2,
    "the set, 421 or 64, and the folder to write to (or --check)",
    [](const std::vector<std::string> &given, const ProcessGroups &ranks) {
      const auto set = DarcySet::by_name(given[0]);
      if (given[1] == "--check")
        {
          if (ranks.is_root())
            check(set);
          return;
        }
      const auto filename = DarcyGenerator(set).write(given[1], ranks);
      if (ranks.is_root())
        {
          std::cout << filename << std::endl;
          print_table(DarcyData::read(filename));
        }
    });
}
