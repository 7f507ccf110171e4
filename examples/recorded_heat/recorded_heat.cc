// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// The heat equation on a square, for several diffusivities and sources: a
// serial program as in deal.II's tutorial, without MPI, without callbacks. Its
// README explains it. What makes it record is marked by "recorder:".

#include <deal.II/base/function.h>
#include <deal.II/base/parameter_handler.h>
#include <deal.II/base/quadrature_lib.h>

#include <deal.II/dofs/dof_handler.h>
#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_q.h>

#include <deal.II/grid/grid_generator.h>
#include <deal.II/grid/tria.h>

#include <deal.II/lac/affine_constraints.h>
#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/precondition.h>
#include <deal.II/lac/solver_cg.h>
#include <deal.II/lac/solver_control.h>
#include <deal.II/lac/sparse_matrix.h>
#include <deal.II/lac/vector.h>

#include <deal.II/numerics/matrix_creator.h>
#include <deal.II/numerics/matrix_tools.h>
#include <deal.II/numerics/vector_tools_boundary.h>
#include <deal.II/numerics/vector_tools_rhs.h>

#include <cmath>
#include <iostream>

// recorder: the header
#include <neuraldeal/coupling/snapshot_recorder.h>

namespace RecordedHeat
{
  using namespace dealii;

  /** What the parameter file says. */
  struct Parameters
  {
    unsigned int n_refinements  = 4;
    unsigned int n_steps        = 20;
    double       end_time       = 1.;
    unsigned int n_trajectories = 24;
    std::string  folder         = "recorded";
    std::string  learn          = "states";

    explicit Parameters(const std::string &filename)
    {
      ParameterHandler prm;
      prm.add_parameter("Refinements",
                        n_refinements,
                        "Of the unit square",
                        Patterns::Integer(1, 10));
      prm.add_parameter("Time steps",
                        n_steps,
                        "Of equal length",
                        Patterns::Integer(1));
      prm.add_parameter("End time",
                        end_time,
                        "Of the simulation",
                        Patterns::Double(1e-10));
      prm.add_parameter("Trajectories",
                        n_trajectories,
                        "Pairs of diffusivity and frequency to solve for",
                        Patterns::Integer(1));
      prm.add_parameter("Output folder",
                        folder,
                        "Of what is recorded",
                        Patterns::Anything());
      prm.add_parameter("Learn",
                        learn,
                        "What a surrogate is to learn: the state from the "
                        "parameters and the time, or each state from the one "
                        "before",
                        Patterns::Selection("states|pairs"));
      if (!filename.empty())
        prm.parse_input(filename);
    }
  };



  /** A spot of heat that goes round, @p frequency times a unit of time. */
  class Source : public Function<2>
  {
  public:
    explicit Source(const double frequency)
      : frequency(frequency)
    {}

    double
    value(const Point<2> &p, const unsigned int = 0) const override
    {
      const double   angle = 2. * numbers::PI * frequency * this->get_time();
      const Point<2> centre(0.5 + 0.25 * std::cos(angle),
                            0.5 + 0.25 * std::sin(angle));
      return 10. * std::exp(-40. * centre.distance_square(p));
    }

  private:
    const double frequency;
  };



  class HeatEquation
  {
  public:
    explicit HeatEquation(const Parameters &parameters);

    void
    run();

  private:
    void
    setup();

    /** One step of the implicit Euler method, from old_solution. */
    void
    solve_time_step(Source &source, const double diffusivity);

    const Parameters parameters;
    const double     time_step;

    Triangulation<2> triangulation;
    const FE_Q<2>    fe;
    DoFHandler<2>    dof_handler;

    SparsityPattern      sparsity;
    SparseMatrix<double> mass_matrix, laplace_matrix, system_matrix;
    Vector<double>       solution, old_solution, right_hand_side;
  };



  HeatEquation::HeatEquation(const Parameters &parameters)
    : parameters(parameters)
    , time_step(parameters.end_time / parameters.n_steps)
    , fe(1)
    , dof_handler(triangulation)
  {}



  void
  HeatEquation::setup()
  {
    GridGenerator::hyper_cube(triangulation);
    triangulation.refine_global(parameters.n_refinements);
    dof_handler.distribute_dofs(fe);

    DynamicSparsityPattern dynamic(dof_handler.n_dofs());
    DoFTools::make_sparsity_pattern(dof_handler, dynamic);
    sparsity.copy_from(dynamic);
    for (auto *const matrix : {&mass_matrix, &laplace_matrix, &system_matrix})
      matrix->reinit(sparsity);
    const QGauss<2> quadrature(fe.degree + 1);
    MatrixCreator::create_mass_matrix(dof_handler, quadrature, mass_matrix);
    MatrixCreator::create_laplace_matrix(dof_handler,
                                         quadrature,
                                         laplace_matrix);
    for (auto *const vector : {&solution, &old_solution, &right_hand_side})
      vector->reinit(dof_handler.n_dofs());
  }



  void
  HeatEquation::solve_time_step(Source &source, const double diffusivity)
  {
    VectorTools::create_right_hand_side(dof_handler,
                                        QGauss<2>(fe.degree + 1),
                                        source,
                                        right_hand_side);
    right_hand_side *= time_step;
    mass_matrix.vmult_add(right_hand_side, old_solution);

    system_matrix.copy_from(mass_matrix);
    system_matrix.add(time_step * diffusivity, laplace_matrix);

    std::map<types::global_dof_index, double> boundary_values;
    VectorTools::interpolate_boundary_values(dof_handler,
                                             0,
                                             Functions::ZeroFunction<2>(),
                                             boundary_values);
    MatrixTools::apply_boundary_values(boundary_values,
                                       system_matrix,
                                       solution,
                                       right_hand_side);

    SolverControl            control(1000, 1e-10 * right_hand_side.l2_norm());
    SolverCG<Vector<double>> solver(control);
    PreconditionSSOR<SparseMatrix<double>> preconditioner;
    preconditioner.initialize(system_matrix, 1.2);
    solver.solve(system_matrix, solution, right_hand_side, preconditioner);
  }



  void
  HeatEquation::run()
  {
    setup();

    // recorder: made once, when there are degrees of freedom
    neuraldeal::SnapshotRecorderData data;
    data.trajectories = parameters.learn;
    neuraldeal::SnapshotRecorder recorder(parameters.folder,
                                          dof_handler,
                                          {"diffusivity", "frequency"},
                                          data);

    for (unsigned int i = 0; i < parameters.n_trajectories; ++i)
      {
        // Points that fill a rectangle evenly, however many there are.
        const double x           = std::fmod(0.5 + 0.7548776662466927 * i, 1.);
        const double y           = std::fmod(0.5 + 0.5698402909980532 * i, 1.);
        const double diffusivity = 0.05 * std::pow(10., x);
        const double frequency   = 0.5 + 0.5 * y;

        // recorder: what an earlier run has recorded need not be solved again
        if (recorder.has({diffusivity, frequency}))
          continue;
        std::cout << "Trajectory " << i << ": diffusivity " << diffusivity
                  << ", frequency " << frequency << std::endl;

        Source source(frequency);
        solution     = 0.;
        old_solution = 0.;

        // recorder: here begins a trajectory, with its initial state
        recorder.begin({diffusivity, frequency});
        recorder.step(0., solution);

        for (unsigned int step = 1; step <= parameters.n_steps; ++step)
          {
            const double time = step * time_step;
            source.set_time(time);
            solve_time_step(source, diffusivity);

            // recorder: one line in the loop
            recorder.step(time, solution);

            old_solution = solution;
          }
      }
  }
} // namespace RecordedHeat



int
main(int argc, char *argv[])
{
  try
    {
      RecordedHeat::HeatEquation(
        RecordedHeat::Parameters(argc > 1 ? argv[1] : ""))
        .run();
    }
  catch (const std::exception &exception)
    {
      std::cerr << "\nError: " << exception.what() << std::endl;
      return 1;
    }
  return 0;
}
