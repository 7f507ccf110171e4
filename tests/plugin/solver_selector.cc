// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/parameter_handler.h>

#include <gtest/gtest.h>
#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/plugin/solver_selector.h>

#include <sstream>
#include <string>
#include <vector>

#include "../coupling/test_tools.h"
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



TEST(SolverSelector, NamesAreNotTakenTwice)
{
  using Registry = neuraldeal::SolverRegistry<VectorType>;
  SolverControl control;
  for (const std::string name : {"cg", "surrogate"})
    {
      const Registry::Registration another(name, "", {}, damped_iteration);
      TestTools::expect_sentence(
        TestTools::message_of([&]() { Selector("gmres", control); }),
        {"the name of a registered solver is '" + name + "'",
         "one that is not taken"});
      Registry::entries().erase(name);
    }
  EXPECT_NO_THROW(Selector("gmres", control));
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



TEST(SolverSelector, ParametersComeFromAFile)
{
  const auto parse = [](const std::string &text, Selector &selector) {
    ParameterHandler prm;
    prm.enter_subsection("Linear solver");
    Selector::declare_parameters(prm, "test.prm");
    prm.leave_subsection();
    prm.parse_input_from_string("subsection Linear solver\n" + text + "end\n");
    prm.enter_subsection("Linear solver");
    selector.parse_parameters(prm, "test.prm");
    prm.leave_subsection();
  };
  Poisson::Problem<VectorType> problem(3);
  problem.assemble(problem.logarithms(1));
  const auto steps = [&](const std::string &text) {
    Selector selector;
    parse(text, selector);
    VectorType x;
    problem.reinit(x);
    SolverControl control(20000, problem.tolerance());
    selector.set_control(control);
    selector.solve(problem.matrix,
                   x,
                   problem.right_hand_side,
                   Poisson::Jacobi<VectorType>(problem.matrix, x));
    return control.last_step();
  };
  const auto with_data = [&](const std::string &name, const auto &data) {
    VectorType x;
    problem.reinit(x);
    SolverControl                      control(20000, problem.tolerance());
    dealii::SolverSelector<VectorType> selector(name, control);
    selector.set_data(data);
    selector.solve(problem.matrix,
                   x,
                   problem.right_hand_side,
                   Poisson::Jacobi<VectorType>(problem.matrix, x));
    return control.last_step();
  };

  // Without a word it is conjugate gradients, and as deal.II's class does it.
  Selector selector;
  parse("", selector);
  EXPECT_EQ(selector.selected(), "cg");
  EXPECT_EQ(steps(""), with_data("cg", SolverCG<VectorType>::AdditionalData()));
  const SolverGMRES<VectorType>::AdditionalData gmres;
  EXPECT_EQ(steps("set Type = gmres\n"), with_data("gmres", gmres));

  // Parameters arrive.
  SolverGMRES<VectorType>::AdditionalData small;
  neuraldeal::compat::set_gmres_basis_size(small, 5);
  const std::string gmres_section = "subsection gmres\n"
                                    "  set Basis size = 5\n"
                                    "end\n";
  EXPECT_EQ(steps("set Type = gmres\n" + gmres_section),
            with_data("gmres", small));
  EXPECT_NE(with_data("gmres", small), with_data("gmres", gmres));
  EXPECT_EQ(steps("set Type = fgmres\n"
                  "subsection fgmres\n"
                  "  set Basis size = 7\n"
                  "end\n"),
            with_data("fgmres", SolverFGMRES<VectorType>::AdditionalData(7)));
  EXPECT_EQ(steps("set Type = richardson\n"
                  "subsection richardson\n"
                  "  set Damping = 0.8\n"
                  "end\n"),
            with_data("richardson",
                      SolverRichardson<VectorType>::AdditionalData(0.8)));
  EXPECT_EQ(steps("set Type = bicgstab\n"
                  "subsection bicgstab\n"
                  "  set Exact residual = false\n"
                  "end\n"),
            with_data("bicgstab",
                      SolverBicgstab<VectorType>::AdditionalData(false)));
  const unsigned int half = steps("set Type = damped iteration\n"),
                     most = steps("set Type = damped iteration\n"
                                  "subsection damped iteration\n"
                                  "  set Damping = 0.9\n"
                                  "end\n");
  EXPECT_LT(most, half);

  // Those of the inner solver as well, and of what is learned.
  const std::string surrogate = "set Type = surrogate\n"
                                "subsection surrogate\n"
                                "  set Inner solver = gmres\n"
                                "  set Name = ParametersComeFromAFile\n";
  EXPECT_EQ(steps(surrogate + "set Learn = false\nend\n" + gmres_section),
            with_data("gmres", small));
  EXPECT_EQ(steps(surrogate + "set Learn = false\nend\n" + gmres_section),
            with_data("gmres", small));
  EXPECT_EQ(steps(surrogate + "end\n"), with_data("gmres", gmres));
  EXPECT_LE(steps(surrogate + "end\n"), 2u);
  const auto kept =
    neuraldeal::SolutionBasis<VectorType>::shared("ParametersComeFromAFile",
                                                  problem.right_hand_side);
  EXPECT_EQ(kept->size(), 1u);
  EXPECT_EQ(steps("set Type = surrogate\n"
                  "subsection surrogate\n"
                  "  set Inner solver = damped iteration\n"
                  "  set Name = nothing learned\n"
                  "  set Learn = false\n"
                  "end\n"
                  "subsection damped iteration\n"
                  "  set Damping = 0.9\n"
                  "end\n"),
            most);

  // The file documents itself.
  ParameterHandler prm;
  Selector::declare_parameters(prm);
  std::ostringstream documentation;
  prm.print_parameters(documentation, ParameterHandler::JSON);
  for (
    const std::string text :
    {"cg: conjugate gradients, for symmetric positive definite matrices",
     "damped iteration: steps along the preconditioned residual",
     "[Selection richardson|cg|bicgstab|gmres|fgmres|minres|surrogate|damped "
     "iteration ]",
     "length of the steps",
     "Directions between two restarts"})
    EXPECT_NE(documentation.str().find(text), std::string::npos) << text;

  const auto refused = [&](const std::string              &text,
                           const std::vector<std::string> &parts) {
    // (deal.II breaks lines.)
    std::istringstream words(
      TestTools::message_of([&]() { parse(text, selector); }));
    std::string message;
    for (std::string word; words >> word;)
      message += word + " ";
    for (const auto &part : parts)
      EXPECT_NE(message.find(part), std::string::npos)
        << "'" << part << "' is not in:\n"
        << message;
  };
  refused("set Type = multigrid\n", {"Type", "multigrid", "damped iteration"});
  refused("set Type = surrogate\n"
          "subsection surrogate\n"
          "  set Inner solver = surrogate\n"
          "end\n",
          {"Inner solver", "surrogate", "minres|damped iteration"});
  refused("set Type = gmres\n"
          "subsection gmres\n"
          "  set Basis size = 0\n"
          "end\n",
          {"test.prm: basis size is '0'; valid is an integer from 1"});
  refused("set Type = damped iteration\n"
          "subsection damped iteration\n"
          "  set Damping = 2\n"
          "end\n",
          {"test.prm: damping is '2'; valid is a number from 0 to 1."});
  refused("set Type = surrogate\n"
          "subsection surrogate\n"
          "  set Forgetting = 0\n"
          "end\n",
          {"test.prm: forgetting is '0'; valid is a number from"});
}



// The last one: what is loaded stays.
TEST(SolverSelector, TakesSolversFromSharedLibraries)
{
  using neuraldeal::InputError;
  Selector   selector;
  const auto parse = [&](const std::string &text) {
    ParameterHandler prm;
    Selector::declare_parameters(prm, "test.prm");
    prm.parse_input_from_string(text);
    selector.parse_parameters(prm, "test.prm");
  };
  const std::string entry    = "set Additional shared libraries = ";
  const auto        complain = [&](const std::string &library) {
    const auto text = "set Type = gmres\n" + entry + library;
    EXPECT_THROW(parse(text), InputError);
    return TestTools::message_of([&]() { parse(text); });
  };
  TestTools::expect_sentence(
    complain("/nowhere/libmine.so"),
    {"test.prm: Additional shared libraries is "
     "'/nowhere/libmine.so'; valid is a shared library "
     "that can be loaded",
     "No such file"});
  TestTools::expect_sentence(complain("/bin/sh"), {"'/bin/sh'", "loaded ("});
  TestTools::expect_sentence(complain(USER_SOLVER ", , m"),
                             {"test.prm: Additional shared libraries is ''"});
  // All processes say the same where one of them cannot load it.
  const bool is_last  = TestTools::rank() + 1 == TestTools::n_ranks();
  const auto sentence = complain(is_last ? "/nowhere/libmine.so" : USER_SOLVER);
  EXPECT_NE(sentence.find("No such file"), std::string::npos) << sentence;

  const std::string text = "set Type = gmres\n" + entry +
                           USER_SOLVER "\n"
                                       "set Type = steepest descent\n"
                                       "subsection steepest descent\n"
                                       "  set Relaxation = 0.9\n"
                                       "end\n"
                                       "subsection surrogate\n"
                                       "  set Inner solver = steepest descent\n"
                                       "end\n";
  parse(text);
  EXPECT_EQ(selector.selected(), "steepest descent");
  Poisson::Problem<VectorType> problem(3);
  problem.assemble(problem.logarithms(1));
  VectorType solution, x;
  problem.reinit(solution);
  problem.solve_cg(solution);
  const auto steps = [&]() {
    problem.reinit(x);
    SolverControl control(20000, problem.tolerance());
    selector.set_control(control);
    selector.solve(problem.matrix,
                   x,
                   problem.right_hand_side,
                   Poisson::Jacobi<VectorType>(problem.matrix, x));
    EXPECT_EQ(control.last_check(), SolverControl::success);
    EXPECT_LE(problem.distance(x, solution), 1e-6);
    return control.last_step();
  };
  const unsigned int n = steps();
  EXPECT_GT(n, 10u);
  parse("set Type = steepest descent\n"
        "subsection steepest descent\n"
        "  set Relaxation = 1.0\n"
        "end\n");
  EXPECT_NE(steps(), n);
  parse("set Type = surrogate\n"
        "subsection surrogate\n"
        "  set Inner solver = steepest descent\n"
        "  set Name         = TakesSolversFromSharedLibraries\n"
        "end\n"
        "subsection steepest descent\n"
        "  set Relaxation = 0.9\n"
        "end\n");
  EXPECT_EQ(steps(), n);

  // What was read before the library remains.
  ParameterHandler prm;
  Selector::declare_parameters(prm, "test.prm");
  prm.parse_input_from_string("set Type = minres\n" + entry + USER_SOLVER);
  EXPECT_EQ(prm.get("Type"), "minres");
  EXPECT_NE(Selector::get_solver_names().find("|steepest descent"),
            std::string::npos);
}
