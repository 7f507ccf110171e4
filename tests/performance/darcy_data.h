// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_darcy_data_h
#define neuraldeal_tests_performance_darcy_data_h

#include <nlohmann/json.hpp>
#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>

namespace neuraldeal::performance
{
  /** Which inputs of the Darcy benchmark are solved, and what is kept. */
  struct DarcySet
  {
    /**
     * "421": 421² cells, of which every fifth one is kept (85²), as most
     * results in the literature have it. "64": 64² cells, all kept.
     * @throw InputError for other names.
     */
    static DarcySet
    by_name(const std::string &name);

    std::string   name;
    unsigned int  n_cells, stride;
    std::int64_t  n_train, n_test;
    std::uint64_t seed;

    /** Samples that are solved between two writes to the disk. */
    std::int64_t block_size = 100;

    /** Cells kept along an edge. */
    unsigned int
    n_points() const
    {
      return (n_cells + stride - 1) / stride;
    }
  };



  /**
   * Inputs of the Darcy benchmark with their solutions, the first n_train of
   * them to train with. They stand in a ModelFile with the tensors
   *
   * - `coefficient` [n, ⌈s² / 8⌉] uint8, packed as pack_coefficient() does,
   * - `solution` [n, s, s] float32, both at the centres of the cells kept,
   * - `coarse_16` [n, 17, 17], `coarse_32` [n, 33, 33] float32: the vertices'
   *   values of the solutions on 16² and 32² cells, where a cell has the
   *   geometric mean of the fine cells' coefficients. These have seen all
   *   fine cells, those between the cells kept as well.
   *
   * Rows are along y, columns along x. Metadata: `set`, `n_train`, `n_test`,
   * `n_cells` along an edge of the fine mesh, `n_points` s, `stride`, `seed`,
   * `problem` and `solver` in words, `seconds`: the mean processor times of a
   * solve, assembly included, on one core with `n_cells`, 16 and 32 cells along
   * an edge.
   */
  struct DarcyData
  {
    /** Cells along an edge of the coarse meshes. */
    static constexpr std::array<unsigned int, 2> coarse_cells = {{16, 32}};

    /** @throw FileError where @p filename is something else, or damaged. */
    static DarcyData
    read(const std::string &filename);

    /** 3 and 12, [n, s, s] float32. */
    torch::Tensor coefficient;

    /** [n, s, s] float32. */
    torch::Tensor solution;

    /** At the vertices, [n, m + 1, m + 1] float32, of each coarse mesh. */
    std::array<torch::Tensor, 2> coarse;

    std::int64_t n_train, n_test;
    unsigned int n_cells, stride;

    /** Mean processor time of a solve in seconds: fine, then the coarse ones.
     */
    std::array<double, 3> seconds;

    /**
     * Relative Euclidean distances of coarse solution @p level to the fine
     * ones, in the points kept, [n] float64.
     */
    torch::Tensor
    coarse_errors(const unsigned int level) const;
  };
} // namespace neuraldeal::performance

#endif
