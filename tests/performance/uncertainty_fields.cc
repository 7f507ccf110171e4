// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// The data of the benchmark of uncertainty, to train with, held out, and
// shifted:
//
//   mpirun -np 2 uncertainty_fields darcy|log-normal|burgers FOLDER
//                                                (--check for a few solves
//                                                only)

#include <deal.II/lac/solver_control.h>

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <string>

#include "fields_program.h"
#include "sample_writer.h"
#include "uncertainty_generator.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;

  /** Which preconditioner is the faster one, in each set. */
  void
  check_preconditioners(const UncertaintyProblem &problem)
  {
    using Preconditioner           = DarcyProblem::Preconditioner;
    const unsigned int   n_samples = 10;
    UncertaintyGenerator generator(problem);
    DarcyProblem         darcy(problem.n_cells);
    std::cout << fmt::format(
      "{} samples of each set on {}² cells, mean steps and seconds a solve\n\n"
      "                  constant coefficient    algebraic multigrid"
      "   largest difference, relative\n",
      n_samples,
      problem.n_cells);
    for (const auto &set : problem.sets)
      {
        double steps[2] = {0., 0.}, seconds[2] = {0., 0.}, difference = 0.;
        unsigned int n_failed = 0;
        for (unsigned int i = 0; i < n_samples; ++i)
          {
            const auto    coefficient = generator.draw(set, i);
            torch::Tensor solutions[2];
            for (const unsigned int k : {0, 1})
              {
                const double start = thread_seconds();
                try
                  {
                    solutions[k] =
                      darcy.solve(coefficient,
                                  k == 0 ?
                                    Preconditioner::constant_coefficient :
                                    Preconditioner::algebraic_multigrid);
                  }
                catch (const dealii::SolverControl::NoConvergence &)
                  {
                    ++n_failed;
                  }
                seconds[k] += (thread_seconds() - start) / n_samples;
                steps[k] += 1. * darcy.n_iterations() / n_samples;
              }
            if (!solutions[0].defined() || !solutions[1].defined())
              continue;
            difference =
              std::max(difference, relative_error(solutions[1], solutions[0]));
          }
        std::cout << fmt::format("{:14}   {:8.1f} {:11.5f}   {:8.1f} {:11.5f}"
                                 "   {:>7}{}\n",
                                 set.name,
                                 steps[0],
                                 seconds[0],
                                 steps[1],
                                 seconds[1],
                                 n_failed == n_samples ?
                                   "-" :
                                   fmt::format("{:.1e}", difference),
                                 n_failed == 0 ?
                                   "" :
                                   fmt::format("   {} solves gave up after "
                                               "{} steps",
                                               n_failed,
                                               DarcyProblem::max_iterations))
                  << std::flush;
      }
  }



  /** What half as long steps and cells change, in each set. */
  void
  check_resolution(const UncertaintyProblem &problem)
  {
    const unsigned int   n_samples = 5;
    UncertaintyGenerator generator(problem);
    auto                 finer = problem;
    finer.n_cells *= 2;
    UncertaintyGenerator reference(finer);
    std::cout << fmt::format(
      "{} samples of each set on {} cells: steps and seconds a solve, largest "
      "change by twice as many cells and steps (relative L2)\n\n",
      n_samples,
      problem.n_cells);
    for (const auto &set : problem.sets)
      {
        double steps = 0., seconds = 0., difference = 0.;
        for (unsigned int i = 0; i < n_samples; ++i)
          {
            const auto sample = generator.solve(set, i);
            steps +=
              UncertaintyProblem::n_times *
              BurgersProblem(problem.n_cells)
                .recommended_steps(sample.input, UncertaintyProblem::interval) /
              (1. * n_samples);
            seconds += sample.seconds / n_samples;
            difference =
              std::max(difference,
                       relative_error(sample.solution,
                                      reference.solve(set, i).solution));
          }
        std::cout << fmt::format("{:14}   {:8.0f} {:11.5f}   {:.2e}\n",
                                 set.name,
                                 steps,
                                 seconds,
                                 difference)
                  << std::flush;
      }
  }



  /** The sets, what a solve cost, and how large things are. */
  void
  print_table(const UncertaintyData &data)
  {
    std::cout << "\n  set            samples   seconds a solve   root mean "
                 "square of inputs and solutions\n";
    const auto size = [](const torch::Tensor &values) {
      return values.to(torch::kFloat64).square().mean().sqrt().item<double>();
    };
    for (const auto &set : data.sets)
      std::cout << fmt::format("  {:14} {:7}   {:15.5f}   {:10.4g} {:10.4g}\n",
                               set.name,
                               set.n_samples,
                               set.seconds,
                               size(set.input),
                               size(set.solution));
    std::cout << std::flush;
  }
} // namespace



int
main(int argc, char *argv[])
{
  return run_fields_program(
    argc,
    argv,
    "uncertainty_fields",
    2,
    "the problem, darcy, log-normal or burgers, and the folder to write to (or "
    "--check)",
    [](const std::vector<std::string> &given, const ProcessGroups &ranks) {
      const auto problem = UncertaintyProblem::by_name(given[0]);
      if (given[1] == "--check")
        {
          if (!ranks.is_root())
            return;
          if (problem.equation == UncertaintyProblem::Equation::burgers)
            check_resolution(problem);
          else
            check_preconditioners(problem);
          return;
        }
      UncertaintyGenerator(problem).write(given[1], ranks);
      if (ranks.is_root())
        print_table(UncertaintyData::read(given[1], problem.name));
    });
}
