// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "simulation.h"

#include <deal.II/base/mpi.h>
#include <deal.II/base/timer.h>

#include <fmt/format.h>
#include <neuraldeal/surrogates/progress.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "output.h"

namespace ThermalBlock
{
  using namespace neuraldeal;

  namespace
  {

    template <typename Heat>
    typename Heat::AdditionalData
    heat_data(const unsigned int           cells,
              const Algebras::LinearSolver solver,
              const double                 tolerance)
    {
      typename Heat::AdditionalData data;
      data.cells            = cells;
      data.linear_solver    = solver;
      data.newton_tolerance = tolerance;
      return data;
    }
  } // namespace



  // The host's problem lives on the communicator of a group; the coarse one
  // is so small that every rank solves it by itself.
  template <int dim, typename LA>
  Simulation<dim, LA>::Simulation(const Parameters &parameters)
    : parameters(parameters)
    , groups(MPI_COMM_WORLD, parameters.group_size, parameters.filename)
    , conductivity(parameters.make_conductivity<dim>())
    , inputs(parameters.make_inputs())
    , host(groups.group(),
           *conductivity,
           heat_data<NonlinearHeat<dim, LA>>(parameters.cells,
                                             Algebras::LinearSolver::amg,
                                             parameters.newton_tolerance))
    , coarse(MPI_COMM_SELF,
             *conductivity,
             heat_data<Coarse>(parameters.coarse_cells,
                               parameters.coarse_solver,
                               parameters.coarse_newton_tolerance))
    , prolongation(coarse.get_dof_handler(), host.get_dof_handler())
    , layout(host.get_dof_handler(),
             host.get_constraints(),
             parameters.make_symmetries<dim>())
  {
    setup_model();
    solver = std::make_unique<AdaptiveSolver<VectorType>>(
      model, layout, inputs, groups, parameters.solver);
  }



  template <int dim, typename LA>
  void
  Simulation<dim, LA>::setup_model()
  {
    model.reinit_vector = [this](VectorType &vector) {
      host.reinit_vector(vector);
    };
    model.solve = [this](const Input &input, VectorType &solution) {
      return host.solve(input, solution).linear_iterations;
    };
    model.coarse_solve = [this](const Input &input, VectorType &solution) {
      Vector<double> temperature;
      coarse.reinit_vector(temperature);
      coarse.solve(input, temperature);
      prolongation.vmult(solution, temperature);
    };
    model.residual = [this](const Input      &input,
                            const VectorType &candidate,
                            VectorType       &residual) {
      host.residual(input, candidate, residual);
    };
    model.riesz_solve = [this](const VectorType &functional,
                               VectorType       &representative) {
      host.riesz_solve(functional, representative, 1e-2);
    };
  }



  template <int dim, typename LA>
  Input
  Simulation<dim, LA>::query(const long query) const
  {
    return inputs.draw(parameters.solver.seed,
                       CounterRandom::Stream::queries,
                       query);
  }



  template <int dim, typename LA>
  Results
  Simulation<dim, LA>::run()
  {
    Timer timer(groups.world);
    results.ranks        = Utilities::MPI::n_mpi_processes(groups.world);
    results.dimension    = dim;
    results.cells        = parameters.cells;
    results.coarse_cells = parameters.coarse_cells;
    results.tolerance    = parameters.solver.gate.tolerance;
    results.confidence   = parameters.solver.gate.confidence;
    results.round_size   = parameters.solver.round_size;
    results.machine      = machine_name();

    print(fmt::format("Nonlinear heat conduction, {} cells, {} unknowns, {}",
                      Utilities::fixed_power<dim>(parameters.cells),
                      host.get_dof_handler().n_dofs(),
                      LA::name));

    print("\nPreparing: campaign, training, calibration");
    const auto preparation             = solver->prepare();
    results.full_solves_before_serving = preparation.n_full_solves;
    results.seconds_campaign           = preparation.seconds_campaign;
    results.seconds_training           = preparation.seconds_training;
    results.seconds_calibration        = preparation.seconds_calibration;
    results.seconds_preparation        = preparation.seconds_from_nothing;
    print(fmt::format("  {} full solves in {:.1f} s, training {:.1f} s{}, "
                      "calibration {:.1f} s",
                      preparation.n_full_solves,
                      preparation.seconds_campaign,
                      preparation.seconds_training,
                      preparation.model_was_there ? " (model was there)" : "",
                      preparation.seconds_calibration));
    const auto &accepted  = solver->gate().acceptance();
    const auto &estimated = solver->gate().estimator();
    print(fmt::format("  acceptance rests on {} held-out snapshots: bound "
                      "{:.2f} x predicted error, accepted up to a predicted "
                      "error of {:.3f} %",
                      accepted.n_samples,
                      accepted.factor,
                      100. * accepted.threshold));
    print(fmt::format("  estimator: bound {:.3f} x dual norm of the residual, "
                      "accepted up to {:.3f}",
                      estimated.factor,
                      estimated.threshold));

    print("\nServing");
    serve();

    print("\nChecking accepted answers against the full solve");
    check_answers();

    print("\nComparing");
    make_learning_curve();
    measure_times();
    if (parameters.compare_meshes)
      compare_meshes();

    Output<dim, LA> output(
      parameters, results, groups, host, layout, *solver, model);
    output.write_fields([this](const long i) { return query(i); });
    results.seconds_total = timer.wall_time();
    output.write_results();
    return results;
  }



  template <int dim, typename LA>
  void
  Simulation<dim, LA>::serve()
  {
    // The answers to be checked are chosen at random before anything is
    // known of them: the first accepted ones in a random order. Three times
    // as many are kept as will be needed.
    std::vector<std::size_t> place(parameters.n_queries);
    {
      CounterRandom random(parameters.solver.seed,
                           CounterRandom::Stream::check,
                           0);
      const auto    order = random.permutation(parameters.n_queries);
      for (std::size_t i = 0; i < order.size(); ++i)
        place[order[i]] = i;
    }

    Timer timer(groups.world);
    results.reports = solver->serve(
      parameters.n_queries,
      [this](const long i) { return query(i); },
      [&](const Input &, const VectorType &answer, const SolveReport &report) {
        if (report.decision == Decision::accept && !report.full_solve() &&
            place[report.query] < 3 * parameters.n_checked)
          {
            auto &entry  = kept[report.query];
            entry.answer = answer;
            entry.report = report;
          }
      });
    results.seconds_serving = timer.wall_time();

    std::vector<long> chosen;
    for (const auto &report : results.reports)
      if (report.decision == Decision::accept && !report.full_solve())
        chosen.push_back(report.query);
    std::sort(chosen.begin(), chosen.end(), [&](const long a, const long b) {
      return place[a] < place[b];
    });
    chosen.resize(std::min<std::size_t>(chosen.size(), parameters.n_checked));
    std::sort(chosen.begin(), chosen.end());
    for (auto entry = kept.begin(); entry != kept.end();)
      if (std::binary_search(chosen.begin(), chosen.end(), entry->first))
        ++entry;
      else
        entry = kept.erase(entry);

    // What the coarse solve alone could have answered, had it known its
    // error as well as the surrogate knows the correction.
    const auto scores = solver->surrogate().held_out_scores();
    std::vector<CalibrationSample> samples;
    for (long i = 0; i < scores.ids.numel(); ++i)
      if (scores.ids[i].template item<std::int64_t>() <
          AdaptiveSolver<VectorType>::first_served_id)
        samples.push_back({scores.prior_scale[i].template item<double>(),
                           scores.prior_error[i].template item<double>()});
    const auto &gate       = parameters.solver.gate;
    const auto  calibrated = calibrate(samples,
                                      gate.tolerance,
                                      gate.confidence,
                                      gate.significance,
                                      Extrapolation::none,
                                      parameters.filename);
    for (const auto &report : results.reports)
      results.coarse_alone += (report.prior_scale <= calibrated.threshold);
  }



  template <int dim, typename LA>
  void
  Simulation<dim, LA>::check_answers()
  {
    std::vector<double> errors, queries, bounds;
    const long          n_all =
      Utilities::MPI::sum(groups.is_group_root() ? long(kept.size()) : 0l,
                          groups.world);
    Progress progress("checked", n_all, groups.is_root());
    for (auto &[number, entry] : kept)
      {
        host.reinit_vector(entry.truth);
        host.solve(query(number), entry.truth);
        VectorType difference(entry.answer);
        difference -= entry.truth;
        errors.push_back(layout.norm(difference) / layout.norm(entry.truth));
        queries.push_back(number);
        bounds.push_back(entry.report.bound);
        progress.update(errors.size() * groups.n_groups());
      }
    MPI_Barrier(groups.world);
    progress.update(n_all);
    // The same for the coarse solution, which costs next to nothing here.
    std::vector<double> coarse_errors;
    VectorType          difference;
    host.reinit_vector(difference);
    for (const auto &[number, entry] : kept)
      {
        model.coarse_solve(query(number), difference);
        difference -= entry.truth;
        coarse_errors.push_back(layout.norm(difference) /
                                layout.norm(entry.truth));
      }
    for (const double error : gather(coarse_errors))
      results.coarse_within_tolerance +=
        (error <= results.tolerance ? 1. : 0.) / n_all;

    const auto all_queries = gather(queries);
    const auto all_errors  = gather(errors);
    const auto all_bounds  = gather(bounds);
    for (std::size_t i = 0; i < all_errors.size(); ++i)
      results.checked.push_back(
        {long(all_queries[i]), all_errors[i], all_bounds[i]});
    std::sort(results.checked.begin(),
              results.checked.end(),
              [](const auto &a, const auto &b) { return a.query < b.query; });
    results.error_quantile = quantile_95(errors);
  }



  template <int dim, typename LA>
  void
  Simulation<dim, LA>::make_learning_curve()
  {
    const auto store    = solver->snapshots();
    const auto space    = store.read_space();
    const auto training = solver->training_ids(store);
    const auto held_out = SnapshotReader(store, solver->held_out_ids(store));

    const auto add = [this](const unsigned int n, torch::Tensor errors) {
      errors        = std::get<0>(errors.sort());
      const auto at = [&](const double p) {
        return errors[std::min<long>(p * errors.numel(), errors.numel() - 1)]
          .template item<double>();
      };
      results.learning_curve.push_back({n, at(0.5), at(0.95)});
    };

    for (unsigned int n = 8; n < training.size(); n *= 2)
      {
        const auto surrogate =
          make_surrogate(parameters.solver.surrogate,
                         inputs.ranges(),
                         parameters.solver.surrogate_parameters,
                         parameters.filename);
        surrogate->fit(SnapshotReader(store,
                                      std::vector<long>(training.begin(),
                                                        training.begin() + n)),
                       space,
                       mpi_communicator(groups.world));
        std::vector<torch::Tensor> errors;
        for (long i = 0; i < held_out.size(); ++i)
          {
            const auto snapshot = held_out.read(i, i + 1);
            errors.push_back(space.norm(surrogate->predict(snapshot).mean -
                                        snapshot.solution) /
                             space.norm(snapshot.solution));
          }
        add(n, torch::cat(errors));
      }
    // The surrogate that serves: each held-out snapshot without itself.
    const auto scores = solver->surrogate().held_out_scores();
    add(solver->surrogate().n_snapshots() - 1, scores.error);

    const auto coarse_errors = std::get<0>(scores.prior_error.sort());
    results.coarse_median =
      coarse_errors[coarse_errors.numel() / 2].template item<double>();
    results.coarse_quantile =
      coarse_errors[std::min<long>(0.95 * coarse_errors.numel(),
                                   coarse_errors.numel() - 1)]
        .template item<double>();
  }



  template <int dim, typename LA>
  double
  Simulation<dim, LA>::median_time(
    const unsigned int                             n_runs,
    const std::function<void(const unsigned int)> &work) const
  {
    // Only the first group works; the others wait.
    double     result = 0;
    const bool first_group =
      Utilities::MPI::this_mpi_process(groups.world) < parameters.group_size;
    if (first_group)
      {
        std::vector<double> seconds;
        for (unsigned int run = 0; run < n_runs; ++run)
          {
            const Timer timer;
            work(run);
            seconds.push_back(timer.wall_time());
          }
        std::sort(seconds.begin(), seconds.end());
        result = seconds[seconds.size() / 2];
      }
    MPI_Bcast(&result, 1, MPI_DOUBLE, 0, groups.world);
    return result;
  }



  template <int dim, typename LA>
  void
  Simulation<dim, LA>::measure_times()
  {
    std::map<Decision, std::vector<long>> queries;
    for (const auto &report : results.reports)
      if (!report.audited)
        queries[report.decision].push_back(report.query);

    VectorType solution;
    model.reinit_vector(solution);
    results.seconds_full_solve = median_time(5, [&](const unsigned int run) {
      solution = 0.;
      model.solve(query(run), solution);
    });
    // The surrogate has learned since: a query that was accepted is accepted
    // again, or its time does not count.
    for (const auto decision : {Decision::accept, Decision::verify})
      if (!queries[decision].empty())
        (decision == Decision::accept ? results.seconds_accepted_answer :
                                        results.seconds_verified_answer) =
          median_time(
            decision == Decision::accept ? 41 : 5, [&](const unsigned int run) {
              solver->solve(
                query(queries[decision][run % queries[decision].size()]),
                solution);
            });
  }



  template <int dim, typename LA>
  void
  Simulation<dim, LA>::compare_meshes()
  {
    // The 95 % quantile that is to be met is that of the checked answers,
    // on the same inputs. Larger meshes cost more, so the first one that
    // meets it is the cheapest; a linear solver that was three times slower
    // than the fastest on one mesh is not tried on a larger one.
    std::vector<Algebras::LinearSolver> solvers = {
      Algebras::LinearSolver::direct,
      Algebras::LinearSolver::ilu,
      Algebras::LinearSolver::amg};
    const unsigned int largest = std::min(30u, parameters.cells - 1);
    if (Utilities::MPI::sum(kept.size(), groups.world) == 0)
      return;
    for (unsigned int cells = 4; cells <= largest; cells += 2)
      {
        std::map<Algebras::LinearSolver, double> seconds;
        Algebras::LinearSolver                   fastest = solvers.front();
        for (const auto linear_solver : solvers)
          {
            Coarse         peer(MPI_COMM_SELF,
                        *conductivity,
                        heat_data<Coarse>(cells,
                                          linear_solver,
                                          parameters.coarse_newton_tolerance));
            Vector<double> temperature;
            peer.reinit_vector(temperature);
            seconds[linear_solver] =
              median_time(5, [&](const unsigned int run) {
                temperature = 0.;
                peer.solve(query(run), temperature);
              });
            if (seconds[linear_solver] < seconds[fastest] ||
                linear_solver == solvers.front())
              fastest = linear_solver;
          }

        Coarse                  peer(MPI_COMM_SELF,
                    *conductivity,
                    heat_data<Coarse>(cells,
                                      fastest,
                                      parameters.coarse_newton_tolerance));
        const Prolongation<dim> to_host(peer.get_dof_handler(),
                                        host.get_dof_handler());
        Vector<double>          temperature;
        peer.reinit_vector(temperature);
        VectorType difference;
        host.reinit_vector(difference);
        std::vector<double> errors;
        for (const auto &[number, entry] : kept)
          {
            temperature = 0.;
            peer.solve(query(number), temperature);
            to_host.vmult(difference, temperature);
            difference -= entry.truth;
            errors.push_back(layout.norm(difference) /
                             layout.norm(entry.truth));
          }
        const double quantile = quantile_95(errors);
        print(fmt::format("  {}{} cells: 95 % of the errors below {:.3f} %, "
                          "{:.1f} ms with {}",
                          cells,
                          dim == 3 ? "³" : "²",
                          100. * quantile,
                          1e3 * seconds[fastest],
                          Algebras::to_string(fastest)));
        for (const auto &[linear_solver, time] : seconds)
          results.meshes.push_back(
            {cells,
             Algebras::to_string(linear_solver),
             time,
             linear_solver == fastest ?
               quantile :
               std::numeric_limits<double>::quiet_NaN()});
        if (quantile <= results.error_quantile)
          {
            results.equal_error_mesh         = cells;
            results.seconds_equal_error_mesh = seconds[fastest];
            results.equal_error_solver       = Algebras::to_string(fastest);
            return;
          }
        solvers.erase(std::remove_if(solvers.begin(),
                                     solvers.end(),
                                     [&](const auto s) {
                                       return seconds[s] >
                                              3. * seconds[fastest];
                                     }),
                      solvers.end());
      }
  }



  template <int dim, typename LA>
  std::vector<double>
  Simulation<dim, LA>::gather(const std::vector<double> &mine) const
  {
    std::vector<double> result;
    for (const auto &part : Utilities::MPI::all_gather(
           groups.world, groups.is_group_root() ? mine : std::vector<double>()))
      result.insert(result.end(), part.begin(), part.end());
    return result;
  }



  template <int dim, typename LA>
  double
  Simulation<dim, LA>::quantile_95(const std::vector<double> &mine) const
  {
    auto all = gather(mine);
    if (all.empty())
      return std::numeric_limits<double>::quiet_NaN();
    std::sort(all.begin(), all.end());
    return all[std::min<std::size_t>(std::ceil(0.95 * all.size()), all.size()) -
               1];
  }



  template <int dim, typename LA>
  void
  Simulation<dim, LA>::print(const std::string &line) const
  {
    if (groups.is_root())
      std::cout << line << std::endl;
  }



  template class Simulation<2, Algebras::Trilinos>;
  template class Simulation<2, Algebras::PETSc>;
  template class Simulation<3, Algebras::Trilinos>;
  template class Simulation<3, Algebras::PETSc>;
} // namespace ThermalBlock
