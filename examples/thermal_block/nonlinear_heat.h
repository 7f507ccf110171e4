// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef thermal_block_nonlinear_heat_h
#define thermal_block_nonlinear_heat_h

#include <deal.II/base/quadrature_lib.h>

#include <deal.II/distributed/tria.h>

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/mapping_q1.h>

#include <deal.II/lac/affine_constraints.h>

#include <memory>
#include <vector>

#include "algebras.h"
#include "conductivity.h"

namespace ThermalBlock
{
  using namespace dealii;

  /**
   * Stationary nonlinear heat conduction on the unit cube,
   *   −∇·(κ(x;μ)(1+βT²)∇T) = 0,
   * with T = 0 on the bottom, heat flux 1 on the top and convection
   * κ(1+βT²)∂T/∂n = −hT on the sides ("top" and "bottom" in the last
   * coordinate). An input is the vector (μ, β, h).
   *
   * This is an ordinary deal.II program: linear elements, Newton's method,
   * and nothing in it knows of a surrogate.
   */
  template <int dim, typename LA>
  class NonlinearHeat
  {
  public:
    using VectorType = typename LA::VectorType;
    using MatrixType = typename LA::MatrixType;

    struct AdditionalData
    {
      /** The mesh has this many cells along each edge of the cube. */
      unsigned int cells = 32;

      Algebras::LinearSolver linear_solver = Algebras::LinearSolver::amg;

      /** Newton stops when the residual is below this share of the load. */
      double newton_tolerance = 1e-8;

      /** Relative tolerance of the linear solve in each Newton step. */
      double linear_tolerance = 1e-3;

      unsigned int max_newton_steps = 25;
    };

    /** What a solve has cost. */
    struct Statistics
    {
      unsigned int newton_steps      = 0;
      unsigned int linear_iterations = 0;
    };

    DeclException2(ExcNewtonNotConverged,
                   unsigned int,
                   double,
                   << "Newton's method did not converge in " << arg1
                   << " steps: the residual is " << arg2
                   << " of the load's norm.");

    NonlinearHeat(const MPI_Comm           communicator,
                  const Conductivity<dim> &conductivity,
                  const AdditionalData    &data);

    /** Give @p vector the size and the parallel layout of a solution. */
    void
    reinit_vector(VectorType &vector) const;

    /**
     * Solve for @p input by Newton's method from the temperature in
     * @p solution, which may be zero.
     * @throw ExcNewtonNotConverged, SolverControl::NoConvergence
     */
    Statistics
    solve(const std::vector<double> &input, VectorType &solution);

    /** The residual (load minus heat balance) of @p candidate. */
    void
    residual(const std::vector<double> &input,
             const VectorType          &candidate,
             VectorType                &result);

    /**
     * Solve with the Riesz map of H¹, v ↦ ∫∇·∇v + ∫_sides h̄ · v, which depends
     * on no parameter and is set up at the first call.
     * @return the number of iterations.
     */
    unsigned int
    riesz_solve(const VectorType &functional,
                VectorType       &representative,
                const double      tolerance);

    const DoFHandler<dim> &
    get_dof_handler() const
    {
      return dof_handler;
    }

    const AffineConstraints<double> &
    get_constraints() const
    {
      return constraints;
    }

  private:
    void
    make_mesh();

    void
    setup_system();

    /** Give @p matrix the sparsity of the mesh's couplings. */
    void
    reinit_matrix(MatrixType &matrix, std::shared_ptr<void> &pattern) const;

    /** Evaluate κ in every cell for the coming assembly. */
    void
    set_input(const std::vector<double> &input);

    /**
     * Assemble the residual of @p temperature and, where @p jacobian is not
     * null, the Jacobian of the heat balance.
     */
    void
    assemble(const VectorType &temperature,
             VectorType       &residual,
             MatrixType       *jacobian);

    /** The matrix of the Riesz map. */
    void
    assemble_riesz_map();

    const MPI_Comm           communicator;
    const Conductivity<dim> &conductivity;
    const AdditionalData     data;

    parallel::distributed::Triangulation<dim> triangulation;
    const FE_Q<dim>                           fe;
    const QGauss<dim>                         quadrature;
    const QGauss<dim - 1>                     face_quadrature;
    DoFHandler<dim>                           dof_handler;
    AffineConstraints<double>                 constraints;
    IndexSet                                  locally_owned;
    IndexSet                                  locally_relevant;

    std::vector<double> cell_conductivity;
    double              beta      = 0;
    double              film      = 0;
    double              load_norm = 0;

    std::shared_ptr<void> jacobian_pattern, riesz_pattern;
    MatrixType            jacobian, riesz_matrix;
    VectorType            relevant_temperature;

    std::unique_ptr<typename LA::Inverse> riesz_inverse;
  };
} // namespace ThermalBlock

#endif
