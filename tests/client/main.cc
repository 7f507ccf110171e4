// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// A client of all rooms: one class of each, from an installed neural.deal, and
// a surrogate from a library of its own.

#include <deal.II/base/mpi.h>
#include <deal.II/base/parameter_handler.h>

#include <deal.II/lac/la_parallel_vector.h>

#include <neuraldeal/coupling/trust_gate.h>
#include <neuraldeal/plugin/adaptive_solver.h>
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
  prm.parse_input_from_string(
    std::string("set Additional shared libraries = ") + argv[1] +
    "\nsubsection Surrogate\n  set Type = user's surrogate\nend\n");
  Solver::AdditionalData data;
  data.parse_parameters(prm, "the client");

  std::cout << "x = " << x << ", confidence " << gate.confidence
            << ", surrogate " << data.surrogate << std::endl;
  return x > 0 && x < 1 && data.surrogate == "user's surrogate" ? 0 : 1;
}
