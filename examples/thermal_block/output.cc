// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "output.h"

#include <deal.II/base/mpi.h>

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/numerics/data_out.h>

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <thread>

#include "common/report.h"


namespace ThermalBlock
{
  using namespace neuraldeal;

  std::string
  machine_name()
  {
    std::string   line, processor = "unknown processor";
    std::ifstream cpus("/proc/cpuinfo");
    while (std::getline(cpus, line))
      if (line.rfind("model name", 0) == 0)
        {
          processor = line.substr(line.find(':') + 2);
          break;
        }
    const double gigabytes =
      double(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE) / (1 << 30);
    return fmt::format("{}, {} cores, {:.0f} GiB",
                       processor,
                       std::thread::hardware_concurrency(),
                       gigabytes);
  }



  template <int dim, typename LA>
  Output<dim, LA>::Output(const Parameters                 &parameters,
                          const Results                    &results,
                          const ProcessGroups              &groups,
                          const NonlinearHeat<dim, LA>     &host,
                          const FieldLayout                &layout,
                          const AdaptiveSolver<VectorType> &solver,
                          const FullOrderModel<VectorType> &model)
    : parameters(parameters)
    , results(results)
    , groups(groups)
    , host(host)
    , layout(layout)
    , solver(solver)
    , model(model)
  {}



  template <int dim, typename LA>
  bool
  Output<dim, LA>::draws() const
  {
    return Utilities::MPI::this_mpi_process(groups.world) <
           parameters.group_size;
  }



  template <int dim, typename LA>
  void
  Output<dim, LA>::write_fields(const std::function<Input(const long)> &query)
  {
    if (draws())
      for (const auto &[name, number] : choose_queries())
        {
          pictured.push_back(solve_pictured(name, query(number)));
          write_vtu(pictured.back());
        }
  }



  template <int dim, typename LA>
  void
  Output<dim, LA>::write_results() const
  {
    if (groups.is_root())
      {
        print_table();
        const std::string filename = parameters.output_folder + "/results.json";
        {
          std::ofstream json(filename + ".tmp");
          json << results.to_json().dump(2) << "\n";
        }
        publish_file(filename + ".tmp", filename);
      }
    if (draws())
      write_report();
  }



  template <int dim, typename LA>
  void
  Output<dim, LA>::print_table() const
  {
    const auto  table = results.table();
    std::size_t first = 0, second = 0;
    for (const auto &row : table)
      {
        first  = std::max(first, row[0].size());
        second = std::max(second, row[1].size());
      }
    std::cout << "\n";
    for (const auto &row : table)
      std::cout << fmt::format(
        "{:<{}}  {:>{}}  {}\n", row[0], first, row[1], second, row[2]);
    std::cout << fmt::format("\nTotal {:.1f} s on {} ranks; {}\n",
                             results.seconds_total,
                             results.ranks,
                             results.machine)
              << std::flush;
  }



  template <int dim, typename LA>
  std::vector<std::pair<std::string, long>>
  Output<dim, LA>::choose_queries() const
  {
    std::vector<std::pair<std::string, long>> result;
    const auto                               &reports = results.reports;
    const auto                                accepted =
      std::find_if(reports.begin(), reports.end(), [](const auto &report) {
        return report.decision == Decision::accept;
      });
    if (accepted != reports.end())
      result.emplace_back(fmt::format("accepted query {}", accepted->query),
                          accepted->query);
    auto rejected =
      std::find_if(reports.begin(), reports.end(), [](const auto &report) {
        return report.decision != Decision::accept &&
               report.decision != Decision::verify;
      });
    if (rejected == reports.end())
      rejected =
        std::find_if(reports.begin(), reports.end(), [](const auto &report) {
          return report.decision != Decision::accept;
        });
    if (rejected != reports.end())
      result.emplace_back(fmt::format("query {}, not accepted at once ({})",
                                      rejected->query,
                                      to_string(rejected->decision)),
                          rejected->query);
    else if (!reports.empty())
      {
        const auto largest = std::max_element(reports.begin(),
                                              reports.end(),
                                              [](const auto &a, const auto &b) {
                                                return a.bound < b.bound;
                                              });
        result.emplace_back(
          fmt::format("query {}, accepted with the largest bound of all",
                      largest->query),
          largest->query);
      }
    return result;
  }



  template <int dim, typename LA>
  typename Output<dim, LA>::Pictured
  Output<dim, LA>::solve_pictured(const std::string &name,
                                  const Input       &input) const
  {
    Pictured result;
    result.name = name;
    for (VectorType *vector : {&result.solution,
                               &result.mean,
                               &result.standard_deviation,
                               &result.error})
      host.reinit_vector(*vector);
    solver.predict(input, result.mean, &result.standard_deviation);
    model.solve(input, result.solution);
    result.error = result.solution;
    result.error -= result.mean;
    return result;
  }



  template <int dim, typename LA>
  void
  Output<dim, LA>::write_vtu(const Pictured &pictured) const
  {
    const auto &dof_handler = host.get_dof_handler();
    IndexSet    relevant;
    DoFTools::extract_locally_relevant_dofs(dof_handler, relevant);
    DataOut<dim> data_out;
    data_out.attach_dof_handler(dof_handler);
    std::vector<VectorType> ghosted(4);
    const VectorType       *fields[] = {&pictured.solution,
                                        &pictured.mean,
                                        &pictured.standard_deviation,
                                        &pictured.error};
    const char             *names[]  = {"temperature",
                                        "predicted_mean",
                                        "predicted_standard_deviation",
                                        "error_of_the_mean"};
    for (unsigned int i = 0; i < 4; ++i)
      {
        LA::reinit_ghosted(ghosted[i],
                           dof_handler.locally_owned_dofs(),
                           relevant,
                           groups.group());
        ghosted[i] = *fields[i];
        data_out.add_data_vector(ghosted[i], names[i]);
      }
    data_out.build_patches();
    const bool accepted = (pictured.name.rfind("accepted", 0) == 0);
    data_out.write_vtu_in_parallel(
      parameters.output_folder + (accepted ? "/accepted.vtu" : "/rejected.vtu"),
      groups.group());
  }



  template <int dim, typename LA>
  std::vector<double>
  Output<dim, LA>::cut(const VectorType &field, unsigned int &n_columns) const
  {
    // Nodes of the plane y = 1/2, or the plane of nodes next to it.
    const unsigned int n     = parameters.cells + 1;
    const double       plane = (parameters.cells / 2) / double(n - 1);
    n_columns                = n;
    std::vector<double>                           values(n * n, 0.);
    std::map<types::global_dof_index, Point<dim>> points;
    DoFTools::map_dofs_to_support_points(MappingQ1<dim>(),
                                         host.get_dof_handler(),
                                         points);
    for (const auto dof : host.get_dof_handler().locally_owned_dofs())
      {
        const auto &p = points[dof];
        if (dim == 3 && std::abs(p[1] - plane) > 1e-8)
          continue;
        const auto column        = std::lround(p[0] * (n - 1));
        const auto row           = std::lround(p[dim - 1] * (n - 1));
        values[row * n + column] = field(dof);
      }
    std::vector<double> all(values.size());
    Utilities::MPI::sum(values, groups.group(), all);
    return all;
  }



  template <int dim, typename LA>
  void
  Output<dim, LA>::write_report() const
  {
    using namespace examples;
    const auto percent = [](const double value) {
      return fmt::format("{:.3g} %", 100. * value);
    };
    const auto milliseconds = [](const double seconds) {
      return seconds < 1. ? fmt::format("{:.3g} ms", 1e3 * seconds) :
                            fmt::format("{:.3g} s", seconds);
    };

    ReportData data;
    data.title    = "The thermal block, answered by a surrogate with a gate";
    data.subtitle = fmt::format(
      "Nonlinear heat conduction in {}d, {} unknowns, {} parameters; "
      "tolerance {} (relative L2 against the host's own solution), "
      "confidence {:.0f} %\n{} ranks on {}",
      dim,
      host.get_dof_handler().n_dofs(),
      query_size(),
      percent(results.tolerance),
      100. * results.confidence,
      results.ranks,
      results.machine);

    const double n       = results.reports.size();
    const double without = 1. - results.n_full_solves() / n;
    data.key_figures     = {
          {"answered without a full solve",
           fmt::format("{:.1f} %", 100. * without),
           "goal: 90 %",
           without >= 0.9},
          {"accepted answers beyond the tolerance",
           fmt::format("{} of {} checked",
                   results.n_violations(),
                   results.checked.size()),
           fmt::format("goal: at most {:.0f} %", 100. * (1 - results.confidence)),
           results.n_violations() <=
             (1. - results.confidence) * results.checked.size()},
          {"an accepted answer",
           milliseconds(results.seconds_accepted_answer),
           fmt::format("1/{:.0f} of the full solve ({})",
                   results.seconds_full_solve / results.seconds_accepted_answer,
                   milliseconds(results.seconds_full_solve)),
           std::nullopt},
          {"full solves before serving",
           fmt::format("{}", results.full_solves_before_serving),
           fmt::format("and {} while serving {} queries",
                   results.n_full_solves(),
                   results.reports.size()),
           std::nullopt}};

    const auto table   = results.table();
    data.table.caption = "What the queries cost, and what one gets";
    data.table.header  = table.front();
    data.table.rows.assign(table.begin() + 1, table.end());
    data.table.notes = {
      "Times are medians of single queries on one rank while the others "
      "wait. The coarser mesh is the cheapest of the even ones whose 95 % "
      "error quantile is not above that of the checked accepted answers, on "
      "the same inputs, with the fastest of a direct solver, ILU and AMG. "
      "Break-even counts campaign, training and calibration."};

    for (const auto &point : results.learning_curve)
      data.learning_curve.points.push_back(
        {point.snapshots, point.median, point.quantile});
    data.learning_curve.coarse_median      = results.coarse_median;
    data.learning_curve.coarse_quantile_95 = results.coarse_quantile;
    data.learning_curve.tolerance          = results.tolerance;

    for (const auto &checked : results.checked)
      data.bounds.points.push_back(
        {checked.bound, checked.error, "accepted, checked"});
    for (const auto &report : results.reports)
      if (report.full_solve() && !report.failed)
        data.bounds.points.push_back(
          {report.bound,
           report.error,
           report.audited ? "accepted, audited" : "not accepted, solved"});
    data.bounds.tolerances = {results.tolerance};

    for (const auto &report : results.reports)
      data.history.queries.push_back({static_cast<unsigned long>(report.query),
                                      to_string(report.decision),
                                      report.audited,
                                      report.seconds});
    data.history.round_size      = results.round_size;
    data.history.reference_times = {{"full solve", results.seconds_full_solve}};
    if (results.equal_error_mesh > 0)
      data.history.reference_times.push_back(
        {"mesh with the same error", results.seconds_equal_error_mesh});

    for (const auto &fields : pictured)
      {
        Cut        one;
        const auto add = [&](const std::string      &name,
                             const VectorType       &field,
                             const CutField::Palette palette,
                             const std::string      &scale) {
          CutField picture;
          picture.name    = name;
          picture.palette = palette;
          picture.scale   = scale;
          picture.values  = cut(field, picture.nx);
          picture.ny      = picture.nx;
          if (palette == CutField::Palette::magma)
            for (auto &value : picture.values)
              value = std::abs(value);
          one.fields.push_back(picture);
        };
        one.name    = fields.name;
        one.caption = dim == 3 ? "Vertical plane in the middle of the block." :
                                 "The whole square.";
        one.x_label = "x";
        one.y_label = dim == 3 ? "z" : "y";
        add("temperature", fields.solution, CutField::Palette::viridis, "T");
        add("predicted mean", fields.mean, CutField::Palette::viridis, "T");
        add("predicted standard deviation",
            fields.standard_deviation,
            CutField::Palette::magma,
            "error");
        add("true error", fields.error, CutField::Palette::magma, "error");
        data.cuts.push_back(one);
      }
    data.parameters = parameters.text;

    if (groups.is_root())
      {
        const std::string filename = parameters.output_folder + "/report.html";
        const auto        warning  = examples::write_report(filename, data);
        if (!warning.empty())
          std::cout << "Warning: " << warning << std::endl;
        std::cout << "Report: " << filename << std::endl;
      }
  }



  template <int dim, typename LA>
  unsigned int
  Output<dim, LA>::query_size() const
  {
    return parameters.make_inputs().size();
  }



  template class Output<2, Algebras::Trilinos>;
  template class Output<2, Algebras::PETSc>;
  template class Output<3, Algebras::Trilinos>;
  template class Output<3, Algebras::PETSc>;
} // namespace ThermalBlock
