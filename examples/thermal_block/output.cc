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
  void
  Output<dim, LA>::write(const std::function<Input(const long)> &query) const
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

    // The first group alone draws.
    if (Utilities::MPI::this_mpi_process(groups.world) >= parameters.group_size)
      return;
    std::vector<Pictured> pictured;
    for (const auto &[name, number] : choose_queries())
      {
        pictured.push_back(solve_pictured(name, query(number)));
        write_vtu(pictured.back());
      }
    write_report(pictured);
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
  Output<dim, LA>::write_report(const std::vector<Pictured> &) const
  {}



  template class Output<2, Algebras::Trilinos>;
  template class Output<2, Algebras::PETSc>;
  template class Output<3, Algebras::Trilinos>;
  template class Output<3, Algebras::PETSc>;
} // namespace ThermalBlock
