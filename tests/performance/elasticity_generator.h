// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_elasticity_generator_h
#define neuraldeal_tests_performance_elasticity_generator_h

#include <neuraldeal/coupling/mpi_tools.h>

#include <array>
#include <memory>
#include <string>

#include "elasticity_data.h"
#include "elasticity_problem.h"

namespace neuraldeal::performance
{
  /**
   * Solves the samples of an ElasticitySet, each on one rank. Sample i is the
   * same on any number of ranks, times apart.
   */
  class ElasticityGenerator
  {
  public:
    explicit ElasticityGenerator(const ElasticitySet &set);

    /** One sample, as in ElasticityData, without the first index. */
    struct Sample
    {
      torch::Tensor points, distance, solution;

      /** In the nodes of the coarse meshes, [2, l + 1, a]. */
      std::array<torch::Tensor, ElasticityData::coarse_meshes.size()> coarse;

      std::array<double, ElasticityData::coarse_meshes.size() + 1> seconds;
    };

    /** Sample @p index, on this process alone. */
    Sample
    solve(const std::int64_t index);

    /**
     * Solve all and write `elasticity.safetensors` into @p folder, which is
     * made where it is missing; collective. It goes on where it was stopped
     * (see SampleWriter).
     * @return the file's name. Where it is there already, nothing is done.
     * @throw FileError where the blocks belong to another set.
     */
    std::string
    write(const std::string &folder, const ProcessGroups &ranks);

    /** Samples that this process has solved. */
    std::int64_t n_solved = 0;

  private:
    const ElasticitySet set;
    ElasticityProblem   fine_problem;
    std::array<std::unique_ptr<ElasticityProblem>,
               ElasticityData::coarse_meshes.size()>
      coarse_problems;
  };
} // namespace neuraldeal::performance

#endif
