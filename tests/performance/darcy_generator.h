// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_darcy_generator_h
#define neuraldeal_tests_performance_darcy_generator_h

#include <neuraldeal/coupling/mpi_tools.h>

#include <array>
#include <memory>
#include <string>

#include "darcy_data.h"
#include "darcy_field.h"
#include "darcy_problem.h"

namespace neuraldeal::performance
{
  /**
   * Solves the samples of a DarcySet, each on one rank. Sample i is the same
   * on any number of ranks, times apart.
   */
  class DarcyGenerator
  {
  public:
    explicit DarcyGenerator(const DarcySet &set);

    /**
     * What coarse cells take of the coefficient. Mean relative L² errors of
     * the coarse solutions over ten samples of the set "421" (of "64"), in
     * percent:
     *
     * | cells | arithmetic  | geometric   | harmonic    |
     * | ----: | ----------: | ----------: | ----------: |
     * |   16² | 3.52 (3.75) | 1.54 (1.45) | 2.95 (3.00) |
     * |   32² | 1.78 (1.65) | 0.61 (0.50) | 1.52 (1.41) |
     *
     * The arithmetic mean conducts too well and the harmonic one too badly;
     * in two dimensions the geometric mean is exact for random two-phase
     * media whose phases are statistically alike (Dykhne, Sov. Phys. JETP 32,
     * 1971), as they are here. `darcy_fields SET --check` measures it anew.
     */
    static constexpr CellMean coarse_mean = CellMean::geometric;

    /** One sample. */
    struct Sample
    {
      /** As in DarcyData, without the first index. */
      torch::Tensor                coefficient, solution;
      std::array<torch::Tensor, 2> coarse;
      std::array<double, 3>        seconds;
    };

    /** Sample @p index, on this process alone. */
    Sample
    solve(const std::int64_t index);

    /**
     * Solve all and write `darcy-NAME.safetensors` into @p folder, which is
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
    const DarcySet                               set;
    const DarcyField                             field;
    DarcyProblem                                 fine_problem;
    std::array<std::unique_ptr<DarcyProblem>, 2> coarse_problems;
  };
} // namespace neuraldeal::performance

#endif
