// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_plugin_nonlinear_poisson_h
#define neuraldeal_tests_plugin_nonlinear_poisson_h

#include <deal.II/lac/solver_bicgstab.h>

#include <stdexcept>

#include "poisson.h"

namespace Poisson
{
  /**
   * −∇·(a (1 + u²) ∇u) = f with the mesh, the elements and the coefficient of
   * Problem, u = g on the boundary, and Newton's method for it, as programs
   * have it: the residual is zero in the rows of constrained unknowns, and
   * they are right in the start and never change.
   */
  template <typename VectorType>
  class NonlinearProblem : public Problem<VectorType>
  {
  public:
    std::array<double, 4> logarithms = {};
    double                load       = 10.;
    double                boundary   = 0.;

    /** How often what has been called. */
    mutable unsigned int n_residuals = 0, n_jacobians = 0;

    using Problem<VectorType>::Problem;

    /** Sample number @p i of a sequence without a pattern. */
    void
    choose(const unsigned int i)
    {
      logarithms = this->Problem<VectorType>::logarithms(i);
      for (double &logarithm : logarithms)
        logarithm *= 0.5;
      load = 10. + 10. * std::fmod(0.3 + i * std::sqrt(7.), 1.);
    }

    /** The values of the constrained unknowns. */
    void
    distribute(VectorType &u) const
    {
      AffineConstraints<double> all(
        DoFTools::extract_locally_relevant_dofs(this->dof_handler));
      DoFTools::make_hanging_node_constraints(this->dof_handler, all);
      VectorTools::interpolate_boundary_values(
        this->dof_handler, 0, Functions::ConstantFunction<2>(boundary), all);
      all.close();
      all.distribute(u);
    }

    /** The host's own start: g everywhere. */
    VectorType
    start() const
    {
      VectorType u;
      this->reinit(u);
      u = boundary;
      return u;
    }

    void
    residual(const VectorType &u, VectorType &f) const
    {
      ++n_residuals;
      assemble(u, &f, nullptr);
    }

    void
    assemble_jacobian(const VectorType &u)
    {
      ++n_jacobians;
      assemble(u, nullptr, &this->matrix);
    }

    /** Solve with the Jacobian that was assembled last. */
    void
    solve_jacobian(const VectorType &f, VectorType &update) const
    {
      SolverControl control(1000, 1e-10 * f.l2_norm());
      update = 0.;
      SolverBicgstab<VectorType>(control).solve(
        this->matrix, update, f, Jacobi<VectorType>(this->matrix, f));
      this->constraints.distribute(update);
    }

    static constexpr double tolerance = 1e-9;

    /** Newton's method from @p u; @return the number of steps. */
    unsigned int
    newton(VectorType &u)
    {
      VectorType f(u), update(u);
      for (unsigned int step = 0; step < 30; ++step)
        {
          residual(u, f);
          if (f.l2_norm() < tolerance)
            return step;
          assemble_jacobian(u);
          solve_jacobian(f, update);
          u.add(-1., update);
        }
      throw std::runtime_error("Newton's method has not converged");
    }

  private:
    void
    assemble(const VectorType                         &u,
             VectorType                               *f,
             typename Problem<VectorType>::MatrixType *jacobian) const
    {
      const IndexSet &owned = this->dof_handler.locally_owned_dofs();
      const IndexSet  relevant =
        DoFTools::extract_locally_relevant_dofs(this->dof_handler);
      VectorType ghosted, sums;
      if constexpr (is_serial<VectorType>)
        ghosted = u;
      else
        {
          ghosted.reinit(owned, relevant, this->communicator);
          ghosted = u;
        }
      ghosted.update_ghost_values();
      if constexpr (is_distributed<VectorType>)
        sums.reinit(owned, relevant, this->communicator);
      else
        this->reinit(sums);
      if (jacobian)
        *jacobian = 0.;

      const QGauss<2>                      quadrature(2);
      FEValues<2>                          values(this->fe,
                         quadrature,
                         update_values | update_gradients | update_JxW_values);
      const unsigned int                   n = this->fe.n_dofs_per_cell();
      FullMatrix<double>                   cell_matrix(n, n);
      Vector<double>                       cell_vector(n);
      std::vector<types::global_dof_index> indices(n);
      std::vector<double>                  u_values(quadrature.size());
      std::vector<Tensor<1, 2>>            u_gradients(quadrature.size());
      for (const auto &cell : this->dof_handler.active_cell_iterators())
        if (cell->is_locally_owned())
          {
            values.reinit(cell);
            values.get_function_values(ghosted, u_values);
            values.get_function_gradients(ghosted, u_gradients);
            const double a =
              std::exp(logarithms[(cell->center()[0] > 0.5) +
                                  2 * (cell->center()[1] > 0.5)]);
            cell_matrix = 0.;
            cell_vector = 0.;
            for (unsigned int q = 0; q < quadrature.size(); ++q)
              for (unsigned int i = 0; i < n; ++i)
                {
                  const double        weight = values.JxW(q);
                  const Tensor<1, 2> &grad_i = values.shape_grad(i, q);
                  const double        v      = u_values[q];
                  cell_vector(i) +=
                    (a * (1. + v * v) * (u_gradients[q] * grad_i) -
                     load * values.shape_value(i, q)) *
                    weight;
                  if (jacobian)
                    for (unsigned int j = 0; j < n; ++j)
                      cell_matrix(i, j) +=
                        a *
                        ((1. + v * v) * (values.shape_grad(j, q) * grad_i) +
                         2. * v * values.shape_value(j, q) *
                           (u_gradients[q] * grad_i)) *
                        weight;
                }
            cell->get_dof_indices(indices);
            if (jacobian)
              this->constraints.distribute_local_to_global(cell_matrix,
                                                           indices,
                                                           *jacobian);
            if (f)
              this->constraints.distribute_local_to_global(cell_vector,
                                                           indices,
                                                           sums);
          }
      if (jacobian)
        jacobian->compress(VectorOperation::add);
      if (!f)
        return;
      sums.compress(VectorOperation::add);
      if constexpr (is_distributed<VectorType>)
        f->copy_locally_owned_data_from(sums);
      else
        *f = sums;
    }
  };
} // namespace Poisson

#endif
