// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_convection_diffusion_h
#define neuraldeal_tests_performance_convection_diffusion_h

#include <deal.II/base/function.h>
#include <deal.II/base/tensor.h>

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/fe/fe_q.h>

#include <deal.II/grid/tria.h>

#include <deal.II/lac/sparse_matrix.h>
#include <deal.II/lac/sparsity_pattern.h>
#include <deal.II/lac/vector.h>

#include <array>
#include <vector>

namespace neuraldeal::performance
{
  /**
   * Transport and diffusion on the unit square: −ε Δu + b·∇u = f, u = g on the
   * boundary, with constant ε and b; FE_Q(1) on n × n cells, stabilised along
   * the streamlines (Brooks and Hughes, "Streamline upwind/Petrov–Galerkin
   * formulations", Comput. Methods Appl. Mech. Engrg. 32, 1982) with the
   * parameter τ = h/(2|b|) (coth P − 1/P), P = |b| h/(2ε), that makes the
   * values in the nodes exact in 1d.
   *
   * With a small ε, whose layers are as wide as ε/|b| at the outflow and as
   * √(ε/|b|) along the streamlines, u depends on the direction of b much more
   * than with a large one: what is hard to learn is in one part of the inputs.
   *
   * Matrices of the single terms are assembled once, a solve is serial.
   */
  class ConvectionDiffusion
  {
  public:
    explicit ConvectionDiffusion(const unsigned int n_cells);

    /**
     * Assemble and solve directly.
     * @return the values in the nodes, those along x first, [(n + 1)²].
     */
    dealii::Vector<double>
    solve(const double                diffusion,
          const dealii::Tensor<1, 2> &velocity,
          const dealii::Function<2>  &right_hand_side,
          const dealii::Function<2>  &boundary_values) const;

    /** ∫ φ_i of each node: the weights of a discrete L² norm. */
    dealii::Vector<double>
    weights() const;

    const unsigned int n_cells;

  private:
    dealii::Triangulation<2> triangulation;
    const dealii::FE_Q<2>    fe;
    dealii::DoFHandler<2>    dof_handler;
    dealii::SparsityPattern  sparsity_pattern;

    /** ∫ φ_i φ_j, ∫ ∂_k φ_i ∂_l φ_j at [k][l], ∫ ∂_k φ_i φ_j at [k]. */
    dealii::SparseMatrix<double>                               mass;
    std::array<std::array<dealii::SparseMatrix<double>, 2>, 2> stiffness;
    std::array<dealii::SparseMatrix<double>, 2>                convection;
  };
} // namespace neuraldeal::performance

#endif
