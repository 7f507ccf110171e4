// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef thermal_block_output_h
#define thermal_block_output_h

#include <neuraldeal/plugin/adaptive_solver.h>

#include <functional>
#include <optional>
#include <string>

#include "nonlinear_heat.h"
#include "parameters.h"
#include "results.h"

namespace ThermalBlock
{
  /** The processor's name, cores and memory. */
  std::string
  machine_name();

  /** Writes what a run leaves: table, results.json, .vtu files, report. */
  template <int dim, typename LA>
  class Output
  {
  public:
    using VectorType = typename LA::VectorType;

    Output(const Parameters                             &parameters,
           const Results                                &results,
           const neuraldeal::ProcessGroups              &groups,
           const NonlinearHeat<dim, LA>                 &host,
           const neuraldeal::FieldLayout                &layout,
           const neuraldeal::AdaptiveSolver<VectorType> &solver,
           const neuraldeal::FullOrderModel<VectorType> &model);

    /** Solve what the pictures show. @p query gives the input of a query. */
    void
    write_fields(const std::function<neuraldeal::Input(const long)> &query);

    /** Table, results.json and report. */
    void
    write_results() const;

  private:
    /** The fields of one query that are worth a picture. */
    struct Pictured
    {
      std::string name;
      VectorType  solution, mean, standard_deviation, error;
    };

    /**
     * The first query that was accepted, and the first that was not; where
     * all were accepted, the one with the largest bound.
     */
    std::vector<std::pair<std::string, long>>
    choose_queries() const;

    Pictured
    solve_pictured(const std::string       &name,
                   const neuraldeal::Input &input) const;

    void
    write_vtu(const Pictured &pictured) const;

    void
    print_table() const;

    void
    write_report() const;

    /** Is this rank of the first group, which alone draws? */
    bool
    draws() const;

    /**
     * The values of a field on the nodes of the vertical plane in the middle
     * (3d), or of the square (2d), row by row from the bottom; on rank 0.
     */
    std::vector<double>
    cut(const VectorType &field, unsigned int &n_columns) const;

    /** Entries of an input. */
    unsigned int
    query_size() const;

    const Parameters                             &parameters;
    const Results                                &results;
    const neuraldeal::ProcessGroups              &groups;
    const NonlinearHeat<dim, LA>                 &host;
    const neuraldeal::FieldLayout                &layout;
    const neuraldeal::AdaptiveSolver<VectorType> &solver;
    const neuraldeal::FullOrderModel<VectorType> &model;
    std::vector<Pictured>                         pictured;
  };
} // namespace ThermalBlock

#endif
