// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "parameters.h"

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>

#include <cmath>
#include <fstream>
#include <sstream>

namespace ThermalBlock
{
  using neuraldeal::InputError;

  Parameters::Parameters(const std::string &filename)
    : filename(filename)
  {
    std::ifstream file(filename);
    if (!file)
      throw neuraldeal::FileError(filename,
                                  "there is no such parameter file, or it is "
                                  "unreadable");
    std::ostringstream content;
    content << file.rdbuf();
    text = content.str();

    ParameterHandler prm;
    declare(prm, filename);
    prm.parse_input(filename);
    parse(prm);
  }



  void
  Parameters::print_defaults(std::ostream &out)
  {
    ParameterHandler prm;
    declare(prm, "the defaults");
    prm.print_parameters(out, ParameterHandler::PRM);
  }



  void
  Parameters::declare(ParameterHandler &prm, const std::string &filename)
  {
    prm.enter_subsection("Problem");
    prm.declare_entry("Dimension", "3", Patterns::Integer(), "2 or 3.");
    prm.declare_entry("Linear algebra",
                      "Trilinos",
                      Patterns::Anything(),
                      "Trilinos or PETSc.");
    prm.declare_entry("Conductivity",
                      "blocks",
                      Patterns::Anything(),
                      "blocks (one number for each of the 2^dim sub-blocks) "
                      "or log-normal field.");
    prm.declare_entry("Cells",
                      "32",
                      Patterns::Integer(),
                      "Cells along an edge of the host's mesh.");
    prm.declare_entry("Newton tolerance",
                      "1e-8",
                      Patterns::Double(),
                      "Residual relative to the load.");
    prm.declare_entry("Modes per direction",
                      "4",
                      Patterns::Integer(),
                      "Of the log-normal field, the constant one included.");
    prm.declare_entry("Standard deviation",
                      "0.5",
                      Patterns::Double(),
                      "Of the logarithm of the log-normal field.");
    prm.leave_subsection();

    prm.enter_subsection("Coarse solve");
    prm.declare_entry("Cells",
                      "8",
                      Patterns::Integer(),
                      "Cells along an edge of the coarse mesh.");
    prm.declare_entry("Linear solver",
                      "ilu",
                      Patterns::Anything(),
                      "direct, ilu or amg.");
    prm.declare_entry("Newton tolerance",
                      "1e-4",
                      Patterns::Double(),
                      "Residual relative to the load; the discretisation's "
                      "error is far above it.");
    prm.leave_subsection();

    prm.enter_subsection("Adaptive solver");
    neuraldeal::AdaptiveSolverData::declare_parameters(prm, filename);
    prm.leave_subsection();

    prm.enter_subsection("Run");
    prm.declare_entry("Output folder",
                      ".",
                      Patterns::Anything(),
                      "Snapshots, model, logs and report go here.");
    prm.declare_entry("Queries",
                      "500",
                      Patterns::Integer(),
                      "Inputs that are served.");
    prm.declare_entry("Checked answers",
                      "60",
                      Patterns::Integer(),
                      "Accepted answers that are compared with the full "
                      "solve, chosen at random; -1 is all.");
    prm.declare_entry("Group size",
                      "1",
                      Patterns::Integer(),
                      "Ranks that share one solve.");
    prm.declare_entry("Threads",
                      "1",
                      Patterns::Integer(),
                      "Threads a rank; 0: as the environment says.");
    prm.declare_entry("Compare meshes",
                      "true",
                      Patterns::Bool(),
                      "Look for the coarser mesh with the same error.");
    prm.leave_subsection();
  }



  void
  Parameters::parse(ParameterHandler &prm)
  {
    const auto integer =
      [&](const std::string &entry, const long minimum, const long maximum) {
        const long value = prm.get_integer(entry);
        if (value < minimum || value > maximum)
          throw InputError(filename,
                           entry,
                           std::to_string(value),
                           "an integer from " + std::to_string(minimum) +
                             " to " + std::to_string(maximum));
        return value;
      };
    const auto number =
      [&](const std::string &entry, const double low, const double high) {
        const double value = prm.get_double(entry);
        if (!(value > low && value < high))
          throw InputError(filename,
                           entry,
                           prm.get(entry),
                           "a number above " + std::to_string(low) +
                             " and below " + std::to_string(high));
        return value;
      };
    const auto choice = [&](const std::string              &entry,
                            const std::vector<std::string> &valid) {
      const std::string value = prm.get(entry);
      std::string       names;
      for (const auto &name : valid)
        {
          if (name == value)
            return value;
          names += (names.empty() ? "" : ", ") + name;
        }
      throw InputError(filename, entry, value, "one of: " + names);
    };

    prm.enter_subsection("Problem");
    dimension        = integer("Dimension", 2, 3);
    linear_algebra   = choice("Linear algebra", {"Trilinos", "PETSc"});
    conductivity     = choice("Conductivity", {"blocks", "log-normal field"});
    cells            = integer("Cells", 2, 4096);
    newton_tolerance = number("Newton tolerance", 0., 1.);
    modes_per_direction = integer("Modes per direction", 2, 64);
    field_deviation     = number("Standard deviation", 0., 10.);
    prm.leave_subsection();

    prm.enter_subsection("Coarse solve");
    coarse_cells  = integer("Cells", 2, cells);
    coarse_solver = Algebras::linear_solver_from_string(
      choice("Linear solver", {"direct", "ilu", "amg"}));
    coarse_newton_tolerance = number("Newton tolerance", 0., 1.);
    prm.leave_subsection();

    prm.enter_subsection("Adaptive solver");
    solver.parse_parameters(prm, filename);
    prm.leave_subsection();

    prm.enter_subsection("Run");
    output_folder  = prm.get("Output folder");
    n_queries      = integer("Queries", 1, 100000000);
    const long all = integer("Checked answers", -1, 100000000);
    n_checked      = all < 0 ? n_queries : all;
    group_size     = integer("Group size", 1, 1000000);
    n_threads      = integer("Threads", 0, 1024);
    compare_meshes = prm.get_bool("Compare meshes");
    prm.leave_subsection();

    solver.folder = output_folder;
    solver.parameter_file =
      neuraldeal::hexadecimal(neuraldeal::fnv1a(text.data(), text.size()));
    solver.provenance = "parameter file " + solver.parameter_file + ", seed " +
                        std::to_string(solver.seed);
    // All numbers of the problem are without units.
    solver.field_names = {"temperature"};
    solver.field_units = {"1"};
  }



  template <int dim>
  std::unique_ptr<Conductivity<dim>>
  Parameters::make_conductivity() const
  {
    if (conductivity == "blocks")
      return std::make_unique<BlockConductivity<dim>>();
    return std::make_unique<LogNormalConductivity<dim>>(modes_per_direction,
                                                        field_deviation);
  }



  neuraldeal::InputDistribution
  Parameters::make_inputs() const
  {
    neuraldeal::InputDistribution inputs;
    if (conductivity == "blocks")
      for (unsigned int block = 0; block < (1u << dimension); ++block)
        inputs.add_log_uniform("kappa_" + std::to_string(block), 1. / 3., 3.);
    else
      {
        const unsigned int n =
          (dimension == 2 ? Utilities::fixed_power<2>(modes_per_direction) :
                            Utilities::fixed_power<3>(modes_per_direction)) -
          1;
        for (unsigned int mode = 0; mode < n; ++mode)
          inputs.add_normal("xi_" + std::to_string(mode), 0., 1.);
      }
    inputs.add_uniform("beta", 0., 2.);
    inputs.add_log_uniform("h", 0.1, 1.);
    return inputs;
  }



  template <int dim>
  std::vector<neuraldeal::GeometricSymmetry<dim>>
  Parameters::make_symmetries() const
  {
    std::vector<neuraldeal::GeometricSymmetry<dim>> result;
    if (conductivity != "blocks")
      return result;

    // Reflections of each horizontal coordinate, and in 3d the exchange of
    // the two: x ↦ A x + b. Bit d of a block's number is its half along d.
    const unsigned int n_flips = 1u << (dim - 1);
    for (unsigned int swap = 0; swap < (dim == 3 ? 2u : 1u); ++swap)
      for (unsigned int flips = 0; flips < n_flips; ++flips)
        if (swap + flips > 0)
          {
            neuraldeal::GeometricSymmetry<dim> symmetry;
            std::array<unsigned int, dim>      source;
            for (unsigned int d = 0; d < dim; ++d)
              {
                source[d]       = (swap && d < 2) ? 1 - d : d;
                const bool flip = (d < dim - 1) && ((flips >> d) & 1);
                symmetry.matrix[d][source[d]] = flip ? -1. : 1.;
                symmetry.offset[d]            = flip ? 1. : 0.;
              }
            for (unsigned int block = 0; block < (1u << dim); ++block)
              {
                unsigned int image = 0;
                for (unsigned int d = 0; d < dim; ++d)
                  {
                    const bool half = (block >> source[d]) & 1;
                    const bool flip = (d < dim - 1) && ((flips >> d) & 1);
                    image |= (half != flip ? 1u : 0u) << d;
                  }
                symmetry.parameters.push_back(image);
              }
            symmetry.parameters.push_back(1u << dim);
            symmetry.parameters.push_back((1u << dim) + 1);
            result.push_back(symmetry);
          }
    return result;
  }



  template std::unique_ptr<Conductivity<2>>
  Parameters::make_conductivity<2>() const;
  template std::unique_ptr<Conductivity<3>>
  Parameters::make_conductivity<3>() const;
  template std::vector<neuraldeal::GeometricSymmetry<2>>
  Parameters::make_symmetries<2>() const;
  template std::vector<neuraldeal::GeometricSymmetry<3>>
  Parameters::make_symmetries<3>() const;
} // namespace ThermalBlock
