// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_darcy_problem_h
#define neuraldeal_tests_performance_darcy_problem_h

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/fe/fe_q.h>

#include <deal.II/grid/tria.h>

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
   * Darcy flow on the unit square: −∇·(a ∇u) = 1, u = 0 on the boundary,
   * with FE_Q(1) on n × n cells and a constant coefficient in each cell.
   *
   * The published data (solve_gwf.m beside GRF.m, see DarcyField) come from
   * another discretisation of the same problem: five-point finite differences
   * on n × n vertices, with the coefficient brought from the cell centres to
   * the vertices by a cubic spline, which overshoots at its jumps, and the
   * solution brought back to the centres by another one.
   *
   * Everything that does not depend on the coefficient is set up once; a
   * solve is serial.
   */
  class DarcyProblem
  {
  public:
    /** What preconditions the conjugate gradient method. */
    enum class Preconditioner
    {
      /**
       * The inverse of the same problem with a constant coefficient, by fast
       * diagonalisation with sine transforms (Lynch, Rice and Thomas, Numer.
       * Math. 6, 1964): two pairs of dense matrix products. The condition
       * number is at most max a / min a, on any mesh, and there is nothing to
       * set up. That is 4 for the coefficients 3 and 12; where a varies much
       * more, multigrid is faster. It wants a uniform mesh, as this one is. A
       * solve takes 0.28 s on 421² cells and 2 ms on 64² (one core, 23 and 21
       * steps).
       */
      constant_coefficient,
      /**
       * Algebraic multigrid of Trilinos ML: what works on any mesh. 0.34 s
       * and 8 ms, 13 and 11 steps.
       */
      algebraic_multigrid
    };

    explicit DarcyProblem(const unsigned int n_cells);

    /**
     * Assemble and solve, until the residual is below 1e-10 times the right
     * hand side in the Euclidean norm. A solve that has not come there after
     * max_iterations ends with dealii::SolverControl::NoConvergence.
     *
     * @param coefficient [n, n], rows along y, columns along x.
     * @return the values at the vertices, [n + 1, n + 1] float64
     */
    torch::Tensor
    solve(const torch::Tensor &coefficient,
          const Preconditioner preconditioner =
            Preconditioner::constant_coefficient);

    static constexpr unsigned int max_iterations = 1000;

    /**
     * Steps of the conjugate gradient method in the last solve, also in one
     * that has failed.
     */
    unsigned int
    n_iterations() const
    {
      return iterations;
    }

    /**
     * The matrix of the last solve. Vertices count along x first; rows and
     * columns of vertices on the boundary are empty but for the diagonal.
     */
    const dealii::SparseMatrix<double> &
    matrix() const
    {
      return system_matrix;
    }

    const unsigned int n_cells;

  private:
    void
    set_up();

    void
    assemble(const torch::Tensor &coefficient);

    dealii::Triangulation<2>     triangulation;
    const dealii::FE_Q<2>        fe;
    dealii::DoFHandler<2>        dof_handler;
    dealii::SparsityPattern      sparsity_pattern;
    dealii::SparseMatrix<double> system_matrix;
    dealii::Vector<double>       right_hand_side;

    /** The matrix of a cell with the coefficient 1: that of all cells. */
    std::array<double, 16> cell_matrix;

    /**
     * Where the entries of a cell's matrix belong among the entries of the
     * system matrix; cells count along x first.
     */
    std::vector<std::array<std::uint32_t, 16>> places;

    /** The vertices of the boundary. */
    std::vector<unsigned int> boundary;

    /** Sines and inverse eigenvalues of the preconditioner, [n − 1, n − 1]. */
    torch::Tensor sines, inverse_eigenvalues;

    unsigned int iterations = 0;
  };
} // namespace neuraldeal::performance

#endif
