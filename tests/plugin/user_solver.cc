// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// A shared library of somebody else's, with a solver in it.

#include <deal.II/lac/trilinos_vector.h>

#include <neuraldeal/plugin/solver_selector.h>

using namespace dealii;

namespace
{
  using VectorType = TrilinosWrappers::MPI::Vector;

  /** Steps along the preconditioned residual, up to the lowest energy. */
  void
  descend(SolverControl                                   &control,
          const neuraldeal::OperatorReference<VectorType> &A,
          VectorType                                      &x,
          const VectorType                                &b,
          const neuraldeal::OperatorReference<VectorType> &P,
          const nlohmann::json                            &parameters)
  {
    VectorType r(b), z(b), q(b);
    for (unsigned int step = 0;; ++step)
      {
        A.vmult(r, x);
        r.sadd(-1., 1., b);
        const auto state = control.check(step, r.l2_norm());
        if (state == SolverControl::success)
          return;
        if (state == SolverControl::failure)
          throw SolverControl::NoConvergence(step, r.l2_norm());
        P.vmult(z, r);
        A.vmult(q, z);
        x.add(parameters.at("relaxation").get<double>() * (r * z) / (q * z), z);
      }
  }

  const neuraldeal::SolverRegistry<VectorType>::Registration
    registration("steepest descent",
                 "from a library of the user's",
                 {{"relaxation", 1., 0.1, 1.9, "Of the length of a step."}},
                 descend);
} // namespace
