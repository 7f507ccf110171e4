// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef thermal_block_simulation_h
#define thermal_block_simulation_h

#include <neuraldeal/coupling/prolongation.h>
#include <neuraldeal/plugin/adaptive_solver.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nonlinear_heat.h"
#include "parameters.h"
#include "results.h"

namespace ThermalBlock
{
  /**
   * The main job: the heat problem on the host's mesh and on a coarse one,
   * an adaptive solver around the two, and a check of what comes out.
   */
  template <int dim, typename LA>
  class Simulation
  {
  public:
    using VectorType = typename LA::VectorType;

    explicit Simulation(const Parameters &parameters);

    /** Do everything, print the table and write the files. */
    Results
    run();

  private:
    using Coarse = NonlinearHeat<dim, Algebras::Native>;

    /** Hand the host's solver over as callbacks. */
    void
    setup_model();

    /** Query number @p query of the stream. */
    neuraldeal::Input
    query(const long query) const;

    void
    serve();

    /** Compare the kept accepted answers with the full solve. */
    void
    check_answers();

    /** How well fewer snapshots would have done. */
    void
    make_learning_curve();

    /** One rank, one query at a time, the others idle. */
    void
    measure_times();

    /** Look for the mesh with the accepted answers' error. */
    void
    compare_meshes();

    /** Median of the wall time of @p work over @p n_runs, on rank 0. */
    double
    median_time(const unsigned int                             n_runs,
                const std::function<void(const unsigned int)> &work) const;

    /** The 95 % quantile of numbers that the groups hold in parts. */
    double
    quantile_95(const std::vector<double> &mine) const;

    /** All groups' numbers, on all ranks. */
    std::vector<double>
    gather(const std::vector<double> &mine) const;

    void
    print(const std::string &line) const;

    const Parameters                        &parameters;
    const neuraldeal::ProcessGroups          groups;
    const std::unique_ptr<Conductivity<dim>> conductivity;
    const neuraldeal::InputDistribution      inputs;

    NonlinearHeat<dim, LA>              host;
    Coarse                              coarse;
    const neuraldeal::Prolongation<dim> prolongation;
    const neuraldeal::FieldLayout       layout;

    neuraldeal::FullOrderModel<VectorType>                  model;
    std::unique_ptr<neuraldeal::AdaptiveSolver<VectorType>> solver;

    /** Answers that may be checked, on the group that has given them. */
    struct Kept
    {
      VectorType              answer;
      VectorType              truth;
      neuraldeal::SolveReport report;
    };
    std::map<long, Kept> kept;

    Results results;
  };
} // namespace ThermalBlock

#endif
