// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef thermal_block_parameters_h
#define thermal_block_parameters_h

#include <deal.II/base/parameter_handler.h>

#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/plugin/adaptive_solver.h>

#include <memory>
#include <string>

#include "conductivity.h"
#include "nonlinear_heat.h"

namespace ThermalBlock
{
  using namespace dealii;

  /** Everything that the parameter file says. */
  struct Parameters
  {
    /** Read @p filename; "" in the file stands for the defaults below. */
    explicit Parameters(const std::string &filename);

    /** A parameter file of the defaults, with what every entry means. */
    static void
    print_defaults(std::ostream &out);

    std::string filename;
    std::string text; ///< the file, for the report

    // Problem
    unsigned int dimension           = 3;
    std::string  linear_algebra      = "Trilinos";
    std::string  conductivity        = "blocks";
    unsigned int cells               = 32;
    double       newton_tolerance    = 1e-8;
    unsigned int modes_per_direction = 4;
    double       field_deviation     = 0.5;

    // Coarse
    unsigned int           coarse_cells  = 8;
    Algebras::LinearSolver coarse_solver = Algebras::LinearSolver::ilu;
    double                 coarse_newton_tolerance = 1e-4;

    // Run
    std::string  output_folder  = ".";
    unsigned int n_queries      = 500;
    unsigned int n_checked      = 60;
    unsigned int group_size     = 1;
    unsigned int n_threads      = 1;
    bool         compare_meshes = true;

    neuraldeal::AdaptiveSolverData solver;

    /** The conductivity that is asked for. */
    template <int dim>
    std::unique_ptr<Conductivity<dim>>
    make_conductivity() const;

    /** The distribution of the inputs (μ, β, h). */
    neuraldeal::InputDistribution
    make_inputs() const;

    /**
     * The symmetries of the problem. Those of the thermal block are the
     * symmetries of the horizontal cross-section, which permute the blocks;
     * a random field has none that permutes its coefficients.
     */
    template <int dim>
    std::vector<neuraldeal::GeometricSymmetry<dim>>
    make_symmetries() const;

  private:
    static void
    declare(ParameterHandler &prm, const std::string &filename);

    void
    parse(ParameterHandler &prm);
  };
} // namespace ThermalBlock

#endif
