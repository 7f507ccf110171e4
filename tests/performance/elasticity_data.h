// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_elasticity_data_h
#define neuraldeal_tests_performance_elasticity_data_h

#include <neuraldeal/surrogates/operators/operator_model.h>

#include <array>
#include <cstdint>
#include <string>

#include "elasticity_mesh.h"

namespace neuraldeal::performance
{
  /** Which samples of the elasticity benchmark are solved, and on what. */
  struct ElasticitySet
  {
    std::int64_t  n_train = 1000, n_test = 200;
    std::uint64_t seed = 972;

    /** The points that are kept are its vertices. */
    ElasticityMesh cloud = {64, 16, 1};

    /** The mesh that the samples are solved on. */
    ElasticityMesh fine = {128, 32, 2};

    /** Samples that are solved between two writes to the disk. */
    std::int64_t block_size = 50;
  };



  /**
   * Displacements of a square around holes of random shapes (see
   * ElasticityProblem and ElasticityHole), the first n_train of them to train
   * with. They stand in a ModelFile with the tensors
   *
   * - `points` [n, P, 2] float32: the cloud, another one in each sample.
   *   Point a·i + j is the one of layer i and angle j (ElasticityMesh), so
   *   that the first a points lie on the hole's boundary, counterclockwise,
   *   and the last a on that of the square, where they are the same ones in
   *   all samples,
   * - `distance` [n, P] float32: of the points to the hole's boundary,
   * - `solution` [n, 2, P] float32: both components of the displacement,
   * - `coarse_16x4_1`, … [n, 2, l + 1, a] float32: the solutions on the
   *   coarse meshes, in their nodes.
   *
   * Metadata: `n_train`, `n_test`, `seed`, `cloud` and `fine`: cells around,
   * cells outwards and degree of these meshes, `problem` and `solver` in
   * words, `seconds`: the mean processor time of a solve, assembly included,
   * on one core, by the name of the mesh.
   */
  struct ElasticityData
  {
    /** The meshes of the coarse solutions. */
    static constexpr std::array<ElasticityMesh, 3> coarse_meshes = {
      {{16, 4, 1}, {16, 4, 2}, {32, 8, 2}}};

    /** The name of the tensor of a coarse mesh. */
    static std::string
    tensor_name(const ElasticityMesh &mesh);

    /** @throw FileError where @p filename is something else, or damaged. */
    static ElasticityData
    read(const std::string &filename);

    torch::Tensor points;   ///< [n, P, 2] float32
    torch::Tensor distance; ///< [n, P] float32
    torch::Tensor solution; ///< [n, 2, P] float32

    /** In the points, [n, 2, P] float32, of each coarse mesh. */
    std::array<torch::Tensor, coarse_meshes.size()> coarse;

    std::int64_t   n_train, n_test;
    ElasticityMesh cloud, fine;

    /** Mean processor time of a solve in seconds: fine, then the coarse ones.
     */
    std::array<double, coarse_meshes.size() + 1> seconds;

    /** What operators read and start from. */
    struct Choice
    {
      /** The name of the mesh whose solution is the prior; "": none. */
      std::string coarse_mesh;

      /**
       * Whether they are told, as two more channels, how far each point was
       * moved from where it is around a circle with the radius 0.3. A program
       * that moves the nodes of one mesh knows that; a cloud of points alone
       * does not.
       */
      bool mesh_displacement;
    };

    /**
     * The samples @p begin, …, @p end − 1 for an operator with two output
     * channels. The first input channel is the distance to the hole: what the
     * displacement depends on is the geometry alone, which is in the points,
     * and the distance says in each point what part of it is near.
     *
     * @throw InputError where there is no such coarse mesh; @p source names the
     * parameter file.
     */
    OperatorData
    samples(const std::int64_t begin,
            const std::int64_t end,
            const Choice      &choice,
            const std::string &source) const;

    /**
     * Relative Euclidean distances of coarse solution @p level to the fine
     * ones, over both components in all points, [n] float64.
     */
    torch::Tensor
    coarse_errors(const unsigned int level) const;
  };

  /**
   * @p data and its images under x → 1 − x, which are samples of the problem
   * as well: the points are reflected, and the first components of
   * displacements, those of the mesh among them, change their sign. Twice as
   * many samples.
   */
  OperatorData
  with_mirror_images(const OperatorData &data);
} // namespace neuraldeal::performance

#endif
