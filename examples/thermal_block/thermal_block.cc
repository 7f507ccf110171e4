// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>

#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <iostream>
#include <string>

#include "parameters.h"
#include "simulation.h"

namespace
{
  template <int dim>
  void
  run(const ThermalBlock::Parameters &parameters)
  {
    using namespace ThermalBlock;
    if (parameters.linear_algebra == "PETSc")
      Simulation<dim, Algebras::PETSc>(parameters).run();
    else
      Simulation<dim, Algebras::Trilinos>(parameters).run();
  }
} // namespace



int
main(int argc, char *argv[])
{
  dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  return neuraldeal::run_program([&]() {
    if (argc < 2)
      throw neuraldeal::InputError("thermal_block",
                                   "its argument",
                                   "",
                                   "the name of a parameter file, or --help "
                                   "for one with all entries explained");
    if (argv[1] == std::string("--help"))
      {
        if (dealii::Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) == 0)
          ThermalBlock::Parameters::print_defaults(std::cout);
        return;
      }
    const ThermalBlock::Parameters parameters(argv[1]);
    const auto                     threads =
      neuraldeal::set_threads(parameters.n_threads, MPI_COMM_WORLD);
    if (dealii::Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) == 0)
      std::cout << threads << std::endl;
    if (parameters.dimension == 2)
      run<2>(parameters);
    else
      run<3>(parameters);
  });
}
