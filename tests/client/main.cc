// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// A client of all rooms: one class of each, from an installed neural.deal.

#include <deal.II/base/mpi.h>
#include <deal.II/base/parameter_handler.h>

#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/trilinos_vector.h>

#include <neuraldeal/coupling/trust_gate.h>
#include <neuraldeal/plugin/adaptive_solver.h>
#include <neuraldeal/plugin/solver_selector.h>
#include <neuraldeal/surrogates/random.h>

#include <iostream>
#include <string>

int
main(int argc, char **argv)
{
  using VectorType = dealii::LinearAlgebra::distributed::Vector<double>;
  using Solver     = neuraldeal::AdaptiveSolver<VectorType>;

  dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);

  neuraldeal::CounterRandom random(1,
                                   neuraldeal::CounterRandom::Stream::design,
                                   0);
  const double              x = random.uniform();

  neuraldeal::TrustGate::AdditionalData gate;
  gate.check();

  dealii::ParameterHandler prm;
  Solver::AdditionalData::declare_parameters(prm);
  Solver::AdditionalData data;
  data.parse_parameters(prm, "the client");

  std::cout << "x = " << x << ", confidence " << gate.confidence
            << ", surrogate " << data.surrogate << std::endl;

  // A solver from a library that its parameters name.
  using Selector =
    neuraldeal::SolverSelector<dealii::TrilinosWrappers::MPI::Vector>;
  dealii::ParameterHandler solver_prm;
  Selector::declare_parameters(solver_prm);
  solver_prm.parse_input_from_string(
    std::string("set Additional shared libraries = ") + argv[1] +
    "\nset Type = steepest descent\n");
  Selector selector;
  selector.parse_parameters(solver_prm, "the client");
  std::cout << "solver " << selector.selected() << std::endl;

  return x > 0 && x < 1 && selector.selected() == "steepest descent" ? 0 : 1;
}
