// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_uncertainty_generator_h
#define neuraldeal_tests_performance_uncertainty_generator_h

#include <neuraldeal/coupling/mpi_tools.h>

#include <memory>
#include <string>

#include "burgers_problem.h"
#include "darcy_problem.h"
#include "uncertainty_data.h"

namespace neuraldeal::performance
{
  /**
   * Solves the samples of an UncertaintyProblem, each on one rank. Sample i of
   * a set is the same on any number of ranks, times apart.
   */
  class UncertaintyGenerator
  {
  public:
    explicit UncertaintyGenerator(const UncertaintyProblem &problem);

    /** One sample, in double precision. */
    struct Sample
    {
      torch::Tensor input;    ///< [1, n, n] or [1, n]
      torch::Tensor solution; ///< [1, n, n] or [10, n]
      double        seconds;  ///< of the solve
    };

    /**
     * The coefficient of sample @p index, [n_cells, n_cells] float64, or the
     * initial values in the nodes of the mesh, [2 n_cells].
     */
    torch::Tensor
    draw(const UncertaintySet &set, const std::int64_t index) const;

    /** Sample @p index of @p set, on this process alone. */
    Sample
    solve(const UncertaintySet &set, const std::int64_t index);

    /**
     * Solve all and write the files of the problem into @p folder, which is
     * made where it is missing; collective. It goes on where it was stopped
     * (see SampleWriter), and does nothing for files that are there already.
     * @throw FileError where the blocks belong to other sets.
     */
    void
    write(const std::string &folder, const ProcessGroups &ranks);

    /** Samples that this process has solved. */
    std::int64_t n_solved = 0;

  private:
    /** One of the two files. */
    void
    write(const std::string   &folder,
          const bool           shifted,
          const ProcessGroups &ranks);

    const UncertaintyProblem problem;

    /** The one that is wanted. */
    std::unique_ptr<DarcyProblem>   darcy;
    std::unique_ptr<BurgersProblem> burgers;
  };
} // namespace neuraldeal::performance

#endif
