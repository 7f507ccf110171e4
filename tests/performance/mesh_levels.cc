// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// Active learning with coarser meshes as levels of fidelity, beside active
// learning with full solves alone, by the error for the same work.

#include <deal.II/base/mpi.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/active_campaign.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/progress.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../coupling/poisson_host.h"

using namespace neuraldeal;

namespace
{
  using VectorType = dealii::LinearAlgebra::distributed::Vector<double>;
  using Active     = ActiveCampaign<VectorType>;

  /** What is compared: a prior, and the levels beside the full solves. */
  struct Case
  {
    std::string               name;
    unsigned int              prior;         ///< cells each way; 0: none
    std::vector<unsigned int> levels;        ///< cells each way
    bool                      wrong = false; ///< levels of another problem
  };

  const std::vector<Case> cases = {{"no prior", 0, {}},
                                   {"no prior, 16", 0, {16}},
                                   {"no prior, 8 and 16", 0, {8, 16}},
                                   {"no prior, wrong 16", 0, {16}, true},
                                   {"prior 4", 4, {}},
                                   {"prior 4, 16", 4, {16}},
                                   {"prior 4, wrong 16", 4, {16}, true}};

  /** A mesh that each rank has for itself, and how its solutions get to the
   * fine one. */
  struct Mesh
  {
    Mesh(const unsigned int                      n_cells,
         const PoissonHost::Problem<VectorType> &fine)
      : problem(MPI_COMM_SELF, n_cells, false)
      , prolongation(problem.get_dof_handler(), fine.get_dof_handler())
    {}

    unsigned int
    solve(const Input &input, VectorType &x)
    {
      dealii::Vector<double> u;
      problem.reinit(u);
      const auto n = problem.solve(input, u);
      prolongation.vmult(x, u);
      return n;
    }

    PoissonHost::Problem<dealii::Vector<double>> problem;
    Prolongation<2>                              prolongation;
  };

  /** One loop within a budget of work, which is counted in iterations times
   * unknowns. */
  Active::Result
  run(const Case        &what,
      const unsigned int n_fine,
      const unsigned int n_solves,
      const unsigned int n_held_out,
      const unsigned int seed,
      const double       budget,
      const std::string &folder)
  {
    const ProcessGroups                groups(MPI_COMM_WORLD, 1, "mesh_levels");
    PoissonHost::Host<VectorType>      host(groups.group(), n_fine, 4);
    std::vector<std::unique_ptr<Mesh>> meshes;
    double                             work  = 0.;
    auto                               model = host.model();
    model.statistic_names                    = {"work"};
    model.statistics = [&]() { return std::vector<double>{work}; };
    model.solve      = [&](const Input &input, VectorType &x) {
      const auto n = host.fine.solve(input, x);
      work         = double(n) * host.fine.get_dof_handler().n_dofs();
      return n;
    };
    // A prior that is the same for all tells nothing.
    if (what.prior == 0)
      model.coarse_solve = [](const Input &, VectorType &x) { x = 1.; };

    Active::AdditionalData data;
    data.campaign.folder = folder;
    data.learner         = {{"candidates", 256}, {"round size", 8}};
    data.n_initial       = 8;
    data.n_solves        = n_solves;
    data.cost_budget     = budget;
    data.n_held_out      = n_held_out;
    data.cost            = "work";
    data.seed            = seed;
    data.source          = "mesh_levels";
    for (const auto n_cells : what.levels)
      {
        meshes.push_back(std::make_unique<Mesh>(n_cells, host.fine));
        auto *mesh = meshes.back().get();
        data.coarser.push_back(
          {fmt::format("{0} x {0}", n_cells),
           [&work, &what, mesh](const Input &given, VectorType &x) {
             auto input = given;
             if (what.wrong)
               for (auto &coefficient : input)
                 coefficient = 1. / coefficient;
             const auto n = mesh->solve(input, x);
             work = double(n) * mesh->problem.get_dof_handler().n_dofs();
             return n;
           }});
      }
    return Active(model, host.layout, host.inputs(), groups, data)
      .run("mesh levels");
  }

  /** The least work of a round with an error of at most @p goal; ∞ if none. */
  double
  work_until(const Active::Result &result, const double goal)
  {
    for (const auto &round : result.rounds)
      if (round.mean_error <= goal)
        return round.cost;
    return std::numeric_limits<double>::infinity();
  }

  void
  benchmark(const bool quick)
  {
    const auto machine = set_threads(1, MPI_COMM_WORLD);
    const bool is_root =
      dealii::Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) == 0;
    const auto print = [&](const std::string &line) {
      if (is_root)
        std::cout << line << std::endl;
    };
    print(machine);
    Progress::set_quiet(true);

    const unsigned int              n_fine     = quick ? 24 : 32;
    const unsigned int              n_solves   = quick ? 24 : 64;
    const unsigned int              n_held_out = quick ? 20 : 100;
    const std::vector<unsigned int> seeds =
      quick ? std::vector<unsigned int>{1} : std::vector<unsigned int>{1, 2, 3};
    nlohmann::json figures = nlohmann::json::object();
    std::map<std::pair<unsigned int, unsigned int>, Active::Result> alone;
    print("case, seed: full solves, coarser ones, mean error in percent at the "
          "end, share of the work of full solves alone for the same error");
    for (const auto &what : cases)
      {
        double error = 0., share = 0., n_full = 0., n_coarser = 0.;
        for (const auto seed : seeds)
          {
            const auto loop = [&](const Case &which, const double budget) {
              const std::string folder = "store";
              if (is_root)
                std::filesystem::remove_all(folder);
              MPI_Barrier(MPI_COMM_WORLD);
              return run(
                which, n_fine, n_solves, n_held_out, seed, budget, folder);
            };
            // Full solves alone, with that prior, are what it is held against.
            const auto key = std::make_pair(what.prior, seed);
            if (alone.count(key) == 0)
              alone[key] = loop({"", what.prior, {}},
                                std::numeric_limits<double>::infinity());
            const auto  &reference = alone[key];
            const double goal      = reference.rounds.back().mean_error;
            const auto   result    = what.levels.empty() ?
                                       reference :
                                       loop(what, reference.rounds.back().cost);
            const double mine =
              work_until(result, goal) / work_until(reference, goal);
            unsigned int coarser = 0;
            for (const auto &level : result.coarser)
              coarser += level.points.size();
            print(fmt::format("{}, seed {}: {} {} {:.4g} {:.3g}",
                              what.name,
                              seed,
                              result.points.size(),
                              coarser,
                              100. * result.rounds.back().mean_error,
                              mine));
            error += result.rounds.back().mean_error / seeds.size();
            share += mine / seeds.size();
            n_full += double(result.points.size()) / seeds.size();
            n_coarser += double(coarser) / seeds.size();
          }
        std::string name = what.name;
        std::replace_if(
          name.begin(),
          name.end(),
          [](const char c) { return c == ' ' || c == ','; },
          '_');
        const auto finite = [](const double x) {
          return std::isfinite(x) ? nlohmann::json(x) : nlohmann::json();
        };
        figures["error_" + name]   = error;
        figures["share_" + name]   = finite(share);
        figures["full_" + name]    = n_full;
        figures["coarser_" + name] = n_coarser;
      }
    if (is_root)
      std::filesystem::remove_all("store");
    print(nlohmann::json({{"benchmark", "mesh_levels"},
                          {"figures", figures},
                          {"seeds", seeds},
                          {"machine", machine.substr(0, machine.find('\n'))}})
            .dump());
  }
} // namespace



int
main(int argc, char *argv[])
{
  dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  return run_program([&]() {
    const std::string command = argc > 1 ? argv[1] : "";
    if (command != "" && command != "quick")
      throw InputError("mesh_levels",
                       "the command line",
                       command,
                       "nothing, or quick");
    benchmark(command == "quick");
  });
}
