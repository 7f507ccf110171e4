// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// What it costs to put a field on a grid and to take it from there, beside one
// solve on the same mesh by the same ranks.

#include <deal.II/base/function_lib.h>
#include <deal.II/base/mpi_remote_point_evaluation.h>
#include <deal.II/base/quadrature_lib.h>

#include <deal.II/distributed/tria.h>

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/fe_values.h>
#include <deal.II/fe/mapping_q.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/full_matrix.h>
#include <deal.II/lac/precondition.h>
#include <deal.II/lac/solver_cg.h>
#include <deal.II/lac/solver_control.h>
#include <deal.II/lac/sparsity_tools.h>
#include <deal.II/lac/trilinos_precondition.h>
#include <deal.II/lac/trilinos_sparse_matrix.h>
#include <deal.II/lac/trilinos_vector.h>

#include <deal.II/matrix_free/matrix_free.h>
#include <deal.II/matrix_free/operators.h>

#include <deal.II/multigrid/mg_coarse.h>
#include <deal.II/multigrid/mg_constrained_dofs.h>
#include <deal.II/multigrid/mg_matrix.h>
#include <deal.II/multigrid/mg_smoother.h>
#include <deal.II/multigrid/mg_transfer_matrix_free.h>
#include <deal.II/multigrid/multigrid.h>

#include <deal.II/numerics/vector_tools_boundary.h>
#include <deal.II/numerics/vector_tools_evaluate.h>
#include <deal.II/numerics/vector_tools_interpolate.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/fields/field_grid.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <nlohmann/json.hpp>
#include <time.h>

#include <cstring>
#include <iostream>
#include <map>

#include "timing.h"

using namespace dealii;
using namespace neuraldeal;

namespace
{
  constexpr int          dim    = 2;
  constexpr unsigned int degree = 2;

  /** The relative residual at which a solve ends. */
  constexpr double tolerance = 1e-6;

  constexpr unsigned int n_repetitions = 5;

  using Distributed = LinearAlgebra::distributed::Vector<double>;
  using LevelVector = LinearAlgebra::distributed::Vector<float>;
  template <typename VectorType>
  using Laplace = MatrixFreeOperators::
    LaplaceOperator<dim, degree, degree + 1, 1, VectorType>;
  using LevelLaplace = Laplace<LevelVector>;

  void
  print(const std::string &line)
  {
    if (Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) == 0)
      std::cout << line << std::endl;
  }

  struct Duration
  {
    double wall      = 0.; ///< milliseconds until all ranks are done
    double processor = 0.; ///< the most that a rank has spent of its processor
  };

  /** On a quiet machine the two are nearly the same. */
  Duration
  measured(const std::function<void()> &work)
  {
    const auto processor = []() {
      timespec t;
      clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
      return 1e3 * t.tv_sec + 1e-6 * t.tv_nsec;
    };
    Duration result;
    MPI_Barrier(MPI_COMM_WORLD);
    result.wall      = performance::milliseconds(torch::kCPU, [&]() {
      const double start = processor();
      work();
      result.processor = processor() - start;
      MPI_Barrier(MPI_COMM_WORLD);
    });
    result.processor = Utilities::MPI::max(result.processor, MPI_COMM_WORLD);
    return result;
  }



  /** −Δu = 1 in a shell, zero on its boundary, in curved elements. */
  struct Problem
  {
    parallel::distributed::Triangulation<dim> triangulation;
    MappingQ<dim>                             mapping;
    FE_Q<dim>                                 fe;
    DoFHandler<dim>                           dof_handler;
    IndexSet                                  owned, relevant;
    AffineConstraints<double>                 constraints;

    Problem(const unsigned int n_refinements, const unsigned int n_adaptive)
      : triangulation(MPI_COMM_WORLD,
                      Triangulation<dim>::limit_level_difference_at_vertices,
                      parallel::distributed::Triangulation<
                        dim>::construct_multigrid_hierarchy)
      , mapping(degree)
      , fe(degree)
      , dof_handler(triangulation)
    {
      GridGenerator::hyper_shell(triangulation, Point<dim>(), 0.5, 1.);
      triangulation.refine_global(n_refinements);
      for (unsigned int i = 0; i < n_adaptive; ++i)
        {
          for (const auto &cell : triangulation.active_cell_iterators())
            if (cell->is_locally_owned() && cell->center()[0] > 0.4 * i)
              cell->set_refine_flag();
          triangulation.execute_coarsening_and_refinement();
        }
      dof_handler.distribute_dofs(fe);
      dof_handler.distribute_mg_dofs();
      owned = dof_handler.locally_owned_dofs();
      DoFTools::extract_locally_relevant_dofs(dof_handler, relevant);
      constraints.reinit(relevant);
      DoFTools::make_hanging_node_constraints(dof_handler, constraints);
      VectorTools::interpolate_boundary_values(
        mapping, dof_handler, 0, Functions::ZeroFunction<dim>(), constraints);
      constraints.close();
    }
  };



  /** CG with algebraic multigrid (ML) on the assembled matrix. */
  class AlgebraicSolver
  {
  public:
    explicit AlgebraicSolver(const Problem &problem)
      : solution(problem.owned, MPI_COMM_WORLD)
      , right_hand_side(problem.owned, MPI_COMM_WORLD)
    {
      DynamicSparsityPattern sparsity(problem.relevant);
      DoFTools::make_sparsity_pattern(problem.dof_handler,
                                      sparsity,
                                      problem.constraints,
                                      false);
      SparsityTools::distribute_sparsity_pattern(sparsity,
                                                 problem.owned,
                                                 MPI_COMM_WORLD,
                                                 problem.relevant);
      matrix.reinit(problem.owned, problem.owned, sparsity, MPI_COMM_WORLD);

      const QGauss<dim>                    quadrature(degree + 1);
      FEValues<dim>                        values(problem.mapping,
                           problem.fe,
                           quadrature,
                           update_values | update_gradients |
                             update_JxW_values);
      const unsigned int                   n = problem.fe.n_dofs_per_cell();
      FullMatrix<double>                   cell_matrix(n, n);
      Vector<double>                       cell_vector(n);
      std::vector<types::global_dof_index> dofs(n);
      for (const auto &cell : problem.dof_handler.active_cell_iterators())
        if (cell->is_locally_owned())
          {
            values.reinit(cell);
            cell_matrix = 0.;
            cell_vector = 0.;
            for (unsigned int q = 0; q < quadrature.size(); ++q)
              for (unsigned int i = 0; i < n; ++i)
                {
                  for (unsigned int j = 0; j < n; ++j)
                    cell_matrix(i, j) += values.shape_grad(i, q) *
                                         values.shape_grad(j, q) *
                                         values.JxW(q);
                  cell_vector(i) += values.shape_value(i, q) * values.JxW(q);
                }
            cell->get_dof_indices(dofs);
            problem.constraints.distribute_local_to_global(
              cell_matrix, cell_vector, dofs, matrix, right_hand_side);
          }
      matrix.compress(VectorOperation::add);
      right_hand_side.compress(VectorOperation::add);

      TrilinosWrappers::PreconditionAMG::AdditionalData data;
      data.elliptic              = true;
      data.higher_order_elements = true;
      preconditioner.initialize(matrix, data);
    }

    unsigned int
    solve()
    {
      solution = 0.;
      ReductionControl                        control(200, 1e-300, tolerance);
      SolverCG<TrilinosWrappers::MPI::Vector> cg(control);
      cg.solve(matrix, solution, right_hand_side, preconditioner);
      return control.last_step();
    }

    TrilinosWrappers::MPI::Vector solution, right_hand_side;

  private:
    TrilinosWrappers::SparseMatrix    matrix;
    TrilinosWrappers::PreconditionAMG preconditioner;
  };



  /**
   * CG with geometric multigrid, matrix-free, in single precision on the
   * levels, by local smoothing (Chebyshev).
   */
  class MultigridSolver
  {
  public:
    MultigridSolver(const Problem                       &problem,
                    const TrilinosWrappers::MPI::Vector &assembled)
      : transfer(mg_constrained)
    {
      const auto &handler = problem.dof_handler;
      {
        typename MatrixFree<dim, double>::AdditionalData data;
        data.mapping_update_flags = update_gradients | update_JxW_values;
        auto storage              = std::make_shared<MatrixFree<dim, double>>();
        storage->reinit(problem.mapping,
                        handler,
                        problem.constraints,
                        QGauss<1>(degree + 1),
                        data);
        matrix.initialize(storage);
        matrix.initialize_dof_vector(solution);
        matrix.initialize_dof_vector(right_hand_side);
        for (const auto i : problem.owned)
          right_hand_side(i) =
            problem.constraints.is_constrained(i) ? 0. : assembled(i);
      }

      const unsigned int n_levels = problem.triangulation.n_global_levels();
      mg_constrained.initialize(handler);
      mg_constrained.make_zero_boundary_constraints(handler, {0});
      level_matrices.resize(0, n_levels - 1);
      for (unsigned int level = 0; level < n_levels; ++level)
        {
          IndexSet relevant;
          DoFTools::extract_locally_relevant_level_dofs(handler,
                                                        level,
                                                        relevant);
          AffineConstraints<double> level_constraints;
          level_constraints.reinit(relevant);
          level_constraints.add_lines(
            mg_constrained.get_boundary_indices(level));
          level_constraints.close();
          typename MatrixFree<dim, float>::AdditionalData data;
          data.mapping_update_flags = update_gradients | update_JxW_values;
          data.mg_level             = level;
          auto storage = std::make_shared<MatrixFree<dim, float>>();
          storage->reinit(problem.mapping,
                          handler,
                          level_constraints,
                          QGauss<1>(degree + 1),
                          data);
          level_matrices[level].initialize(storage, mg_constrained, level);
        }
      transfer.build(handler);

      using Smoother = PreconditionChebyshev<LevelLaplace, LevelVector>;
      MGLevelObject<typename Smoother::AdditionalData> data(0, n_levels - 1);
      for (unsigned int level = 0; level < n_levels; ++level)
        {
          level_matrices[level].compute_diagonal();
          data[level].preconditioner =
            level_matrices[level].get_matrix_diagonal_inverse();
          data[level].smoothing_range = level > 0 ? 15. : 1e-3;
          data[level].degree = level > 0 ? 4 : numbers::invalid_unsigned_int;
          data[level].eig_cg_n_iterations =
            level > 0 ? 10 : level_matrices[0].m();
        }
      smoother.initialize(level_matrices, data);
      coarse.initialize(smoother);
      edges.resize(0, n_levels - 1);
      for (unsigned int level = 0; level < n_levels; ++level)
        edges[level].initialize(level_matrices[level]);
      mg_matrix.initialize(level_matrices);
      mg_edges.initialize(edges);
      multigrid = std::make_unique<Multigrid<LevelVector>>(
        mg_matrix, coarse, transfer, smoother, smoother);
      multigrid->set_edge_matrices(mg_edges, mg_edges);
      preconditioner = std::make_unique<
        PreconditionMG<dim, LevelVector, MGTransferMatrixFree<dim, float>>>(
        handler, *multigrid, transfer);
    }

    unsigned int
    solve()
    {
      solution = 0.;
      ReductionControl      control(200, 1e-300, tolerance);
      SolverCG<Distributed> cg(control);
      cg.solve(matrix, solution, right_hand_side, *preconditioner);
      return control.last_step();
    }

    Distributed solution, right_hand_side;

  private:
    Laplace<Distributed>             matrix;
    MGConstrainedDoFs                mg_constrained;
    MGLevelObject<LevelLaplace>      level_matrices;
    MGTransferMatrixFree<dim, float> transfer;
    mg::SmootherRelaxation<PreconditionChebyshev<LevelLaplace, LevelVector>,
                           LevelVector>
                                           smoother;
    MGCoarseGridApplySmoother<LevelVector> coarse;
    MGLevelObject<MatrixFreeOperators::MGInterfaceOperator<LevelLaplace>> edges;
    mg::Matrix<LevelVector>                 mg_matrix, mg_edges;
    std::unique_ptr<Multigrid<LevelVector>> multigrid;
    std::unique_ptr<
      PreconditionMG<dim, LevelVector, MGTransferMatrixFree<dim, float>>>
      preconditioner;
  };



  /** Bytes a millisecond that this rank reads and writes, others doing so. */
  double
  bandwidth()
  {
    std::vector<double> from(1 << 23, 1.), to(from.size());
    std::vector<double> times;
    for (unsigned int i = 0; i < 5; ++i)
      times.push_back(
        measured([&]() {
          std::memcpy(to.data(), from.data(), from.size() * sizeof(double));
        }).processor);
    return 2. * from.size() * sizeof(double) / performance::median(times);
  }



  void
  benchmark(const bool quick)
  {
    const auto machine = set_threads(1, MPI_COMM_WORLD);
    print(machine);
    const unsigned int n = quick ? 128 : 256;
    const Problem      problem(quick ? 5 : 6, quick ? 1 : 2);
    const unsigned int n_ranks =
      Utilities::MPI::n_mpi_processes(MPI_COMM_WORLD);
    print(fmt::format("\nShell, {} cells of {} sizes, Q{} on curved cells, {} "
                      "unknowns, {} rank(s), a grid of {}² points",
                      problem.triangulation.n_global_active_cells(),
                      quick ? 2 : 3,
                      degree,
                      problem.dof_handler.n_dofs(),
                      n_ranks,
                      n));
    nlohmann::json figures = {{"ranks", n_ranks},
                              {"unknowns", problem.dof_handler.n_dofs()},
                              {"grid_points", n * n}};

    // Set-up of all.
    std::unique_ptr<FieldGrid<dim>>  grid;
    std::unique_ptr<AlgebraicSolver> algebraic;
    std::unique_ptr<MultigridSolver> geometric;
    FieldGrid<dim>::AdditionalData   data;
    data.n_points     = {{n, n}};
    const auto set_up = [&](const std::string           &name,
                            const std::string           &words,
                            const std::function<void()> &work) {
      figures["seconds_setup_" + name] = 1e-3 * measured(work).wall;
      print(fmt::format("  set-up, {:<45} {:9.3f} s",
                        words,
                        figures["seconds_setup_" + name].get<double>()));
    };
    set_up("grid", "the grid", [&]() {
      grid = std::make_unique<FieldGrid<dim>>(problem.dof_handler,
                                              problem.mapping,
                                              problem.constraints,
                                              data);
    });
    set_up("algebraic", "assembly, algebraic multigrid", [&]() {
      algebraic = std::make_unique<AlgebraicSolver>(problem);
    });
    set_up("geometric", "geometric multigrid, matrix-free", [&]() {
      geometric =
        std::make_unique<MultigridSolver>(problem, algebraic->right_hand_side);
    });

    // deal.II's functions: for the points inside, since its search for those
    // outside takes very long.
    const auto              points = grid->points().reshape({dim, -1});
    const auto              inside = grid->inside().reshape({-1});
    std::vector<Point<dim>> inner;
    for (long i = 0; i < inside.numel(); ++i)
      if (inside.data_ptr<bool>()[i])
        inner.emplace_back(points[0][i].item<double>(),
                           points[1][i].item<double>());
    Utilities::MPI::RemotePointEvaluation<dim> cache;
    set_up("point_values", "RemotePointEvaluation (points inside)", [&]() {
      cache.reinit(inner, problem.triangulation, problem.mapping);
    });

    // Transfers and solves in turns.
    std::map<std::string, std::vector<double>> walls, processors;
    unsigned int                               n_algebraic = 0, n_geometric = 0;
    torch::Tensor                              slice, full;
    Distributed solution(problem.owned, MPI_COMM_WORLD), field = solution;
    Distributed ghosted(problem.owned, problem.relevant, MPI_COMM_WORLD);
    Distributed by_interpolate = ghosted;
    std::vector<double> by_point_values;
    for (unsigned int i = 0; i < n_repetitions; ++i)
      {
        const auto measure = [&](const std::string           &name,
                                 const std::function<void()> &work) {
          const auto duration = measured(work);
          walls[name].push_back(duration.wall);
          processors[name].push_back(duration.processor);
        };
        measure("solve_algebraic", [&]() { n_algebraic = algebraic->solve(); });
        measure("solve_geometric", [&]() { n_geometric = geometric->solve(); });
        if (i == 0)
          {
            solution.copy_locally_owned_data_from(geometric->solution);
            problem.constraints.distribute(solution);
          }
        measure("to_grid", [&]() { slice = grid->to_tensor(solution); });
        measure("gather", [&]() { full = grid->gather(slice); });
        measure("point_values", [&]() {
          ghosted.copy_locally_owned_data_from(solution);
          ghosted.update_ghost_values();
          by_point_values =
            VectorTools::point_values<1>(cache, problem.dof_handler, ghosted);
          ghosted.zero_out_ghost_values();
        });
        measure("from_grid", [&]() { grid->from_tensor(full, field); });
        measure("interpolate", [&]() {
          const auto &corners = grid->bounding_box().get_boundary_points();
          std::array<std::pair<double, double>, dim> ends;
          std::array<unsigned int, dim>              n_intervals;
          Table<dim, double>                         table(n, n);
          for (unsigned int d = 0; d < dim; ++d)
            {
              ends[d]        = {corners.first[d], corners.second[d]};
              n_intervals[d] = n - 1;
            }
          const double *const values = full.data_ptr<double>();
          for (unsigned int x = 0; x < n; ++x)
            for (unsigned int y = 0; y < n; ++y)
              table(x, y) = values[y * n + x];
          VectorTools::interpolate(problem.mapping,
                                   problem.dof_handler,
                                   Functions::InterpolatedUniformGridData<dim>(
                                     ends, n_intervals, table),
                                   by_interpolate);
          problem.constraints.distribute(by_interpolate);
        });
      }
    double error = 0.;
    for (long i = 0, k = 0; i < inside.numel(); ++i)
      if (inside.data_ptr<bool>()[i])
        error = std::max(error,
                         std::abs(by_point_values[k++] -
                                  slice.data_ptr<double>()[i]));
    error = Utilities::MPI::max(error, MPI_COMM_WORLD);
    field -= solution;
    by_interpolate.zero_out_ghost_values();
    by_interpolate -= solution;
    const double size           = solution.linfty_norm();
    figures["round_trip_error"] = field.linfty_norm() / size;
    figures["round_trip_error_interpolate"] =
      by_interpolate.linfty_norm() / size;
    print(
      fmt::format("\nLargest distance of the grid to point_values() {:.1e}, "
                  "of the field from the grid to the solution {:.1e}, by "
                  "interpolate() {:.1e}, where the largest value is {:.1e}",
                  error,
                  field.linfty_norm(),
                  by_interpolate.linfty_norm(),
                  size));

    std::map<std::string, Duration> median;
    for (const auto &[name, values] : walls)
      {
        median[name]                    = {performance::median(values),
                                           performance::median(processors[name])};
        figures["milliseconds_" + name] = median[name].wall;
        figures["processor_milliseconds_" + name] = median[name].processor;
      }
    const auto &a = median["solve_algebraic"], &b = median["solve_geometric"];
    // Where other programs run, what is short looks shorter than it is beside
    // what is long and is interrupted: of the two shares the larger one.
    const auto share = [&](const std::string &name) {
      return std::max(median[name].wall / std::min(a.wall, b.wall),
                      median[name].processor /
                        std::min(a.processor, b.processor));
    };
    const double bytes_a_millisecond = bandwidth();
    const auto   floor               = [&](const FieldGrid<dim>::Work &work) {
      return Utilities::MPI::max(work.n_bytes / bytes_a_millisecond,
                                 MPI_COMM_WORLD);
    };
    const auto there = grid->work_to_tensor(), back = grid->work_from_tensor();
    figures["share_to_grid"]                = share("to_grid");
    figures["share_from_grid"]              = share("from_grid");
    figures["milliseconds_floor_to_grid"]   = floor(there);
    figures["milliseconds_floor_from_grid"] = floor(back);
    for (const auto &[name, work] :
         {std::make_pair("to_grid", there), std::make_pair("from_grid", back)})
      {
        figures[std::string("evaluations_") + name] =
          Utilities::MPI::sum(work.n_evaluations, MPI_COMM_WORLD);
        figures[std::string("megabytes_") + name] =
          1e-6 * Utilities::MPI::sum(work.n_bytes, MPI_COMM_WORLD);
      }

    print(fmt::format("\nMedians of {}, in ms (a rank moves {:.1f} GB/s):\n"
                      "  {:<48} {:>9} {:>10} {:>8}",
                      n_repetitions,
                      bytes_a_millisecond * 1e-6,
                      "",
                      "wall",
                      "processor",
                      "share"));
    const auto row = [&](const std::string &words,
                         const std::string &name,
                         const std::string &more) {
      print(fmt::format("  {:<48} {:9.2f} {:10.2f} {:6.2f} %   {}",
                        words,
                        median[name].wall,
                        median[name].processor,
                        100. * share(name),
                        more));
    };
    row(fmt::format("solve, CG and algebraic multigrid, {} steps", n_algebraic),
        "solve_algebraic",
        "");
    row(fmt::format("solve, CG and geometric multigrid, {} steps", n_geometric),
        "solve_geometric",
        "");
    const auto work = [&](const std::string &name) {
      return fmt::format("{} evaluations, {:.1f} MB, floor {:.2f} ms",
                         figures["evaluations_" + name].get<std::size_t>(),
                         figures["megabytes_" + name].get<double>(),
                         figures["milliseconds_floor_" + name].get<double>());
    };
    row("mesh to grid", "to_grid", work("to_grid"));
    row("  its slices to all ranks", "gather", "");
    row("  instead: point_values(), cached", "point_values", "points inside");
    row("grid to mesh", "from_grid", work("from_grid"));
    row("  instead: interpolate(), distribute()",
        "interpolate",
        "without what is outside");
    print(nlohmann::json{{"benchmark", "field_transfer"},
                         {"figures", figures},
                         {"seeds", nlohmann::json::array()},
                         {"machine", machine.substr(0, machine.find('\n'))}}
            .dump());
  }
} // namespace



int
main(int argc, char *argv[])
{
  Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  return run_program([&]() {
    const std::string command = argc > 1 ? argv[1] : "";
    if (!command.empty() && command != "quick")
      throw InputError("field_transfer",
                       "the command line",
                       command,
                       "nothing or quick");
    benchmark(command == "quick");
  });
}
