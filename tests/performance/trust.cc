// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// The thermal block with every accepted answer held against the full solve.

#include <deal.II/base/mpi.h>

#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/surrogates/calibration.h>

#include <filesystem>
#include <iostream>
#include <string>

#include "parameters.h"
#include "simulation.h"

int
main(int argc, char *argv[])
{
  dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  return neuraldeal::run_program([&]() {
    using namespace ThermalBlock;
    const bool quick = (argc > 1 && std::string(argv[1]) == "quick");
    const bool root =
      dealii::Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) == 0;

    Parameters parameters(THERMAL_BLOCK_PRM);
    parameters.n_queries = quick ? 100 : 500;
    parameters.n_checked = parameters.n_queries;
    parameters.cells     = quick ? 16 : 32;
    const auto threads =
      neuraldeal::set_threads(parameters.n_threads, MPI_COMM_WORLD);
    if (root)
      std::cout << threads << std::endl;

    // Solved afresh every time: what is measured is the whole job.
    if (root)
      for (const char *name : {"snapshots", "served", "model.safetensors"})
        std::filesystem::remove_all(name);
    MPI_Barrier(MPI_COMM_WORLD);

    const auto results = Simulation<3, Algebras::Trilinos>(parameters).run();
    if (!root)
      return;

    const double n      = results.reports.size();
    const auto interval = neuraldeal::binomial_interval(results.n_violations(),
                                                        results.checked.size(),
                                                        0.95);
    nlohmann::json json;
    json["benchmark"]                     = "trust";
    json["machine"]                       = results.machine;
    json["seeds"]                         = {parameters.solver.seed};
    auto &figures                         = json["figures"];
    figures["queries"]                    = n;
    figures["without_full_solve"]         = 1. - results.n_full_solves() / n;
    figures["full_solves_before_serving"] = results.full_solves_before_serving;
    figures["full_solves_while_serving"]  = results.n_full_solves();
    figures["checked"]                    = results.checked.size();
    figures["violations"]                 = results.n_violations();
    figures["violation_rate_upper_95"]    = interval.second;
    figures["error_quantile_95"]          = results.error_quantile;
    figures["coarse_within_tolerance"]    = results.coarse_within_tolerance;
    figures["seconds_full_solve"]         = results.seconds_full_solve;
    figures["seconds_accepted_answer"]    = results.seconds_accepted_answer;
    figures["speedup_full_solve"] =
      results.seconds_full_solve / results.seconds_accepted_answer;
    if (results.equal_error_mesh > 0)
      {
        figures["equal_error_mesh"] = results.equal_error_mesh;
        figures["speedup_equal_error_mesh"] =
          results.seconds_equal_error_mesh / results.seconds_accepted_answer;
      }
    figures["break_even_full_solve"] =
      results.break_even(results.seconds_full_solve);
    figures["seconds_total"] = results.seconds_total;
    std::cout << json.dump() << std::endl;
  });
}
