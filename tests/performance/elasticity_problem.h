// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_elasticity_problem_h
#define neuraldeal_tests_performance_elasticity_problem_h

#include <deal.II/base/point.h>
#include <deal.II/base/tensor.h>

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/fe/fe_system.h>

#include <deal.II/grid/tria.h>

#include <deal.II/lac/sparsity_pattern.h>

#include <neuraldeal/coupling/torch_interface.h>

#include <functional>
#include <vector>

#include "elasticity_hole.h"
#include "elasticity_mesh.h"

namespace neuraldeal::performance
{
  /**
   * Linear elasticity in plane strain on the unit square around a hole:
   *   −div σ = 0,  σ = λ tr ε I + 2 μ ε,  ε = (∇u + ∇uᵀ)/2,
   * with Young's modulus 1 and Poisson's ratio 0.3; u = 0 at the bottom,
   * y = 0, the traction σn = (0, 1) at the top, y = 1, and σn = 0 on the
   * rest of the boundary, that of the hole included. In a linear problem u
   * scales with the traction and with the inverse of the modulus, so that
   * these two mean nothing; the map from the hole to u is not linear.
   *
   * Continuous elements of the degree of the mesh in both components, on
   * cells of that degree (isoparametric), solved directly.
   *
   * What does not depend on the hole is set up once; a solve is serial.
   */
  class ElasticityProblem
  {
  public:
    static constexpr double young = 1., poisson = 0.3;
    static constexpr double lambda =
      young * poisson / ((1. + poisson) * (1. - 2. * poisson));
    static constexpr double mu = young / (2. * (1. + poisson));

    /** Parts of the boundary. */
    enum Boundary : dealii::types::boundary_id
    {
      right,
      top,
      left,
      bottom,
      hole
    };

    /** What acts on the body. Those of the benchmark, for others to test. */
    struct Loads
    {
      using Vector = dealii::Tensor<1, 2>;
      using Point  = dealii::Point<2>;

      /** −div σ; not set: zero. */
      std::function<Vector(const Point &)> body_force;

      /**
       * σn on all but the bottom, at a point with the outward normal n; not
       * set: benchmark_traction().
       */
      std::function<Vector(const Boundary, const Point &, const Vector &n)>
        traction;

      /** u at the bottom; not set: zero. */
      std::function<Vector(const Point &)> clamped;
    };

    explicit ElasticityProblem(const ElasticityMesh &mesh);

    /**
     * Assemble and solve.
     * @return the displacement in the nodes of the mesh, [2, l + 1, a]
     * float64 (see ElasticityMesh).
     */
    torch::Tensor
    solve(const ElasticityHole &shape, const Loads &loads);

    /** The same with the loads of the benchmark. */
    torch::Tensor
    solve(const ElasticityHole &shape)
    {
      return solve(shape, Loads());
    }

    /** σn of the benchmark. */
    static Loads::Vector
    benchmark_traction(const Boundary boundary);

    /** Where the nodes are, [2, l + 1, a] float64. */
    torch::Tensor
    nodes(const ElasticityHole &shape) const;

    const ElasticityMesh mesh;

  private:
    /** A node by its place in the rectangle. */
    struct Node
    {
      unsigned int layer, angle;
    };

    dealii::Point<2>
    place(const ElasticityHole &shape, const Node &node) const;

    dealii::Triangulation<2>  triangulation;
    const dealii::FESystem<2> fe;
    dealii::DoFHandler<2>     dof_handler;
    dealii::SparsityPattern   sparsity_pattern;

    /** The nodes of every cell, in the order of the scalar element. */
    std::vector<std::vector<Node>> cell_nodes;

    /** The degree of freedom of [component, layer, angle]. */
    std::vector<dealii::types::global_dof_index> dofs;

    dealii::types::global_dof_index
    dof(const unsigned int component, const Node &node) const
    {
      return dofs[(component * (mesh.n_layer_nodes()) + node.layer) *
                    mesh.n_angle_nodes() +
                  node.angle];
    }
  };
} // namespace neuraldeal::performance

#endif
