// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_elasticity_mesh_h
#define neuraldeal_tests_performance_elasticity_mesh_h

#include <torch/types.h>

#include <string>

namespace neuraldeal::performance
{
  /**
   * A mesh between the hole and the square: n_angles cells around times
   * n_layers cells outwards, with the nodes of elements of degree 1 or 2. The
   * nodes are a grid on the rectangle of ElasticityHole::point(), of which
   * the mesh is the image: that of layer i and angle j has s = i / l and
   * t = 4 j / a, with l = n_layers · degree and a = n_angles · degree. Nodal
   * values are tensors [..., l + 1, a].
   */
  struct ElasticityMesh
  {
    unsigned int n_angles; ///< a multiple of four: corners are nodes
    unsigned int n_layers;
    unsigned int degree;

    unsigned int
    n_angle_nodes() const
    {
      return n_angles * degree;
    }

    unsigned int
    n_layer_nodes() const
    {
      return n_layers * degree + 1;
    }

    /** As "16x4, degree 1". */
    std::string
    name() const;

    /** The mesh with twice as many cells in both directions. */
    ElasticityMesh
    refined() const
    {
      return {2 * n_angles, 2 * n_layers, degree};
    }

    /**
     * The finite element functions with the nodal values @p values
     * [..., l + 1, a] in the vertices of @p other: the values at the same
     * (t, s), as a program has them that moves the nodes of its meshes.
     * @return [..., other.n_layers + 1, other.n_angles] of the same type
     */
    torch::Tensor
    at_vertices(const torch::Tensor &values, const ElasticityMesh &other) const;
  };
} // namespace neuraldeal::performance

#endif
