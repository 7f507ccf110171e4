// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_burgers_problem_h
#define neuraldeal_tests_performance_burgers_problem_h

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/fe/fe_q.h>

#include <deal.II/grid/tria.h>

#include <deal.II/lac/affine_constraints.h>
#include <deal.II/lac/sparse_direct.h>
#include <deal.II/lac/sparse_matrix.h>
#include <deal.II/lac/sparsity_pattern.h>
#include <deal.II/lac/vector.h>

#include <neuraldeal/coupling/torch_interface.h>

#include <array>
#include <cstdint>
#include <vector>

namespace neuraldeal::performance
{
  /**
   * Burgers' equation u_t + (u²/2)_x = ν u_xx on the unit interval, periodic,
   * with FE_Q(2) on n equal cells.
   *
   * The steps in time are those of the implicit-explicit Runge–Kutta method
   * ARS(4,4,3) of Ascher, Ruuth and Spiteri (Appl. Numer. Math. 25, 1997,
   * section 2.8), of order 3, L-stable for diffusion, which is implicit with
   * one matrix for all stages. Convection is explicit: tested with a constant,
   * its weak form is zero, so that mass is conserved up to rounding, and
   * integrated exactly, so that it does no work either.
   *
   * A solve is serial.
   */
  class BurgersProblem
  {
  public:
    explicit BurgersProblem(const unsigned int n_cells,
                            const double       viscosity = 0.01);

    /**
     * The solutions after 1, …, @p n_outputs times @p interval.
     *
     * @param initial the values in the nodes i / (2n), [2n] float64.
     * @param n_steps in each interval; 0: as recommended_steps() says.
     * @return [n_outputs, 2n] float64
     */
    torch::Tensor
    solve(const torch::Tensor &initial,
          const unsigned int   n_outputs,
          const double         interval,
          const unsigned int   n_steps = 0);

    /**
     * Steps for an interval in which the fastest part of @p initial goes by at
     * most half of the distance between two nodes in a step: max |u| does not
     * grow. At least 20 for an interval of 0.1.
     */
    unsigned int
    recommended_steps(const torch::Tensor &initial,
                      const double         interval) const;

    /** The integral of nodal values @p u [2n] over the interval. */
    double
    mass(const torch::Tensor &u) const;

    const unsigned int n_cells;
    const double       viscosity;

  private:
    void
    set_up();

    /** @p result = the weak form of −(u²/2)_x. */
    void
    convection(const dealii::Vector<double> &u,
               dealii::Vector<double>       &result) const;

    dealii::Triangulation<1>          triangulation;
    const dealii::FE_Q<1>             fe;
    dealii::DoFHandler<1>             dof_handler;
    dealii::AffineConstraints<double> constraints;
    dealii::SparsityPattern           sparsity_pattern;
    dealii::SparseMatrix<double>      mass_matrix, stiffness_matrix;
    dealii::SparseMatrix<double>      system_matrix;

    /** The unknowns of each cell; that at x = 1 is the one at x = 0. */
    std::vector<std::array<unsigned int, 3>> unknowns;

    /** Values and weighted derivatives of the shape functions, at a point. */
    struct Shapes
    {
      std::array<double, 3> values, weighted_derivatives;
    };
    std::vector<Shapes> shapes;
  };
} // namespace neuraldeal::performance

#endif
