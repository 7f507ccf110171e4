// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/parameter_handler.h>

#include <gtest/gtest.h>
#include <neuraldeal/plugin/solver_selector.h>

#include <string>

#include "poisson.h"

using namespace dealii;

namespace
{
  using VectorType = TrilinosWrappers::MPI::Vector;
  using Selector   = neuraldeal::SolverSelector<VectorType>;

  /** Steps x += ω P (b − A x). */
  void
  damped_iteration(SolverControl                                   &control,
                   const neuraldeal::OperatorReference<VectorType> &A,
                   VectorType                                      &x,
                   const VectorType                                &b,
                   const neuraldeal::OperatorReference<VectorType> &P,
                   const nlohmann::json                            &parameters)
  {
    VectorType r(b), z(b);
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
        x.add(parameters.at("damping").get<double>(), z);
      }
  }

  // The one line that adds a solver.
  const neuraldeal::SolverRegistry<VectorType>::Registration
    registration("damped iteration",
                 "steps along the preconditioned residual",
                 {{"damping", 0.5, 0., 1., "length of the steps"}},
                 damped_iteration);

  const std::string all_names =
    "richardson|cg|bicgstab|gmres|fgmres|minres|surrogate|damped iteration";
} // namespace



TEST(SolverSelector, KnowsAllNames)
{
  EXPECT_EQ(Selector::get_solver_names(), all_names);
  EXPECT_EQ(neuraldeal::SolverSelector<>::get_solver_names(),
            dealii::SolverSelector<>::get_solver_names() + "|surrogate");
}



TEST(SolverSelector, SolvesWithEachOfThem)
{
  Poisson::Problem<VectorType> problem(3);
  problem.assemble(problem.logarithms(0));
  VectorType solution;
  problem.reinit(solution);
  problem.solve_cg(solution);

  // By name from a parameter file, as programs do.
  ParameterHandler prm;
  prm.declare_entry("Solver",
                    "cg",
                    Patterns::Selection(Selector::get_solver_names()));
  for (const std::string name : {"richardson",
                                 "cg",
                                 "bicgstab",
                                 "gmres",
                                 "fgmres",
                                 "minres",
                                 "surrogate",
                                 "damped iteration"})
    {
      SCOPED_TRACE(name);
      prm.parse_input_from_string("set Solver = " + name);
      VectorType x;
      problem.reinit(x);
      SolverControl control(20000, 1e-10);
      Selector      selector(prm.get("Solver"), control);
      selector.solve(problem.matrix,
                     x,
                     problem.right_hand_side,
                     Poisson::Jacobi<VectorType>(problem.matrix, x));
      EXPECT_LE(problem.distance(x, solution), 1e-5);
      EXPECT_EQ(control.last_check(), SolverControl::success);
    }
}



TEST(SolverSelector, SurrogateRemembers)
{
  Poisson::Problem<VectorType> problem(3);
  problem.assemble(problem.logarithms(1));
  unsigned int n_iterations[2];
  for (unsigned int &n : n_iterations)
    {
      VectorType x;
      problem.reinit(x);
      SolverControl control(10000, problem.tolerance());
      Selector      selector("surrogate", control);
      neuraldeal::SurrogateSolver<VectorType>::AdditionalData data;
      data.name = "SurrogateRemembers";
      selector.set_data(data);
      selector.solve(problem.matrix,
                     x,
                     problem.right_hand_side,
                     Poisson::Jacobi<VectorType>(problem.matrix, x));
      n = control.last_step();
    }
  EXPECT_GT(n_iterations[0], 10u);
  EXPECT_LE(n_iterations[1], 2u);
}



TEST(SolverSelector, NamesWhatIsValid)
{
  SolverControl     control;
  const std::string text =
    "the program: the solver is 'conjugate gradients'; valid is one of: "
    "richardson, cg, bicgstab, gmres, fgmres, minres, surrogate, damped "
    "iteration.";
  for (const bool by_constructor : {true, false})
    try
      {
        if (by_constructor)
          Selector selector("conjugate gradients", control);
        else
          {
            Selector selector;
            selector.select("conjugate gradients");
          }
        FAIL();
      }
    catch (const neuraldeal::InputError &error)
      {
        EXPECT_EQ(error.what(), text);
      }
  // Not even in Release, and not by a trick with the separator.
  EXPECT_THROW(Selector("", control), neuraldeal::InputError);
  EXPECT_THROW(Selector("cg|gmres", control), neuraldeal::InputError);

  // Nothing was selected.
  Poisson::Problem<VectorType> problem(2);
  VectorType                   x(problem.right_hand_side);
  Selector                     selector;
  selector.set_control(control);
  EXPECT_THROW(selector.solve(problem.matrix,
                              x,
                              problem.right_hand_side,
                              PreconditionIdentity()),
               neuraldeal::InputError);
}



TEST(SolverSelector, ChecksParametersOfRegisteredSolvers)
{
  Poisson::Problem<VectorType> problem(2);
  problem.assemble(problem.logarithms(1));
  VectorType x;
  problem.reinit(x);
  SolverControl control(20000, 1e-10);
  Selector      selector("damped iteration", control);
  const auto    solve = [&]() {
    selector.solve(problem.matrix,
                   x,
                   problem.right_hand_side,
                   Poisson::Jacobi<VectorType>(problem.matrix, x));
  };
  selector.set_parameters({{"damping", 0.7}});
  EXPECT_NO_THROW(solve());
  for (const nlohmann::json &wrong :
       {nlohmann::json{{"damping", 2.}}, nlohmann::json{{"dampening", 0.5}}})
    {
      selector.set_parameters(wrong);
      EXPECT_THROW(solve(), neuraldeal::InputError);
    }
}
