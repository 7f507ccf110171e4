// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "active_learning_problems.h"

#include <deal.II/base/function.h>
#include <deal.II/base/quadrature_lib.h>

#include <deal.II/numerics/vector_tools_rhs.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/design.h>
#include <neuraldeal/coupling/prolongation.h>
#include <neuraldeal/coupling/random_fields/cosine_expansion.h>

#include <cmath>
#include <memory>

#include "burgers_problem.h"
#include "convection_diffusion.h"
#include "darcy_problem.h"
#include "nonlinear_heat.h"
#include "parameters.h"
#include "sample_writer.h"

namespace neuraldeal::performance
{
  namespace
  {
    using Solution = ActiveLearningProblem::Solution;

    torch::Tensor
    as_tensor(const dealii::Vector<double> &vector)
    {
      auto result =
        torch::empty({std::int64_t(vector.size())}, torch::kFloat64);
      std::copy(vector.begin(), vector.end(), result.data_ptr<double>());
      return result;
    }



    ActiveLearningProblem
    thermal_block()
    {
      using Heat =
        ThermalBlock::NonlinearHeat<3, ThermalBlock::Algebras::Native>;
      const ThermalBlock::Parameters parameters(THERMAL_BLOCK_PRM);

      struct Host
      {
        std::unique_ptr<ThermalBlock::Conductivity<3>> conductivity;
        std::unique_ptr<Heat>                          fine, coarse;
        std::unique_ptr<Prolongation<3>>               prolongation;
      };
      const auto host    = std::make_shared<Host>();
      host->conductivity = parameters.make_conductivity<3>();
      Heat::AdditionalData data;
      data.cells         = 8;
      data.linear_solver = ThermalBlock::Algebras::LinearSolver::ilu;
      host->fine =
        std::make_unique<Heat>(MPI_COMM_SELF, *host->conductivity, data);
      data.cells            = 4;
      data.newton_tolerance = parameters.coarse_newton_tolerance;
      host->coarse =
        std::make_unique<Heat>(MPI_COMM_SELF, *host->conductivity, data);
      host->prolongation =
        std::make_unique<Prolongation<3>>(host->coarse->get_dof_handler(),
                                          host->fine->get_dof_handler());

      ActiveLearningProblem problem;
      problem.description =
        "nonlinear heat conduction in eight blocks, 8^3 cells, the prior on 4^3";
      problem.inputs = parameters.make_inputs();

      dealii::Vector<double> weights(host->fine->get_dof_handler().n_dofs());
      dealii::VectorTools::create_right_hand_side(
        host->fine->get_dof_handler(),
        dealii::QGauss<3>(2),
        dealii::Functions::ConstantFunction<3>(1.),
        weights);
      problem.weights = as_tensor(weights);

      problem.solve = [host](const Input &input) {
        dealii::Vector<double> coarse, prior, values;
        host->coarse->reinit_vector(coarse);
        host->coarse->solve(input, coarse);
        host->fine->reinit_vector(prior);
        host->prolongation->vmult(prior, coarse);
        values                = prior;
        const auto statistics = host->fine->solve(input, values);
        return Solution{as_tensor(values),
                        as_tensor(prior),
                        double(statistics.newton_steps)};
      };
      return problem;
    }



    ActiveLearningProblem
    darcy()
    {
      constexpr std::int64_t n = 32;

      CosineExpansion<2>::AdditionalData data;
      data.n_modes       = 16;
      data.constant_mode = false;
      const auto expansion =
        std::make_shared<CosineExpansion<2>>(dealii::Point<2>(0., 0.),
                                             dealii::Point<2>(1., 1.),
                                             data);
      const auto darcy = std::make_shared<DarcyProblem>(n);

      ActiveLearningProblem problem;
      problem.description =
        "-div(a grad u) = 1 on 32^2 cells, a = 12 or 3 by the sign of a field of "
        "16 cosines, covariance (-Laplace + 9)^-2";
      expansion->add_to(problem.inputs);
      // u is zero on the boundary: what is inside has equal weights.
      problem.weights =
        torch::full({(n + 1) * (n + 1)}, 1. / (n * n), torch::kFloat64);
      problem.solve = [expansion, darcy](const Input &input) {
        auto coefficient = torch::empty({n, n}, torch::kFloat64);
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t j = 0; j < n; ++j)
            coefficient.data_ptr<double>()[i * n + j] =
              expansion->value(input,
                               dealii::Point<2>((j + 0.5) / n,
                                                (i + 0.5) / n)) >= 0. ?
                12. :
                3.;
        const auto values = darcy->solve(coefficient).flatten();
        return Solution{values, {}, double(darcy->n_iterations())};
      };
      return problem;
    }



    ActiveLearningProblem
    burgers(const bool uniform)
    {
      constexpr std::int64_t n_cells  = 64;
      constexpr double       end_time = 0.5;

      ActiveLearningProblem problem;
      problem.description =
        "u_t + u u_x = nu u_xx on the periodic unit interval at time 0.5, 64 "
        "cells of degree 2";
      if (uniform)
        problem.inputs.add_uniform("viscosity", 0.01, 0.3);
      else
        problem.inputs.add_log_uniform("viscosity", 0.01, 0.3);
      problem.inputs.add_uniform("mean", 0.3, 0.8);
      for (const char *name : {"cos_1", "sin_1"})
        problem.inputs.add_normal(name, 0., 0.6);
      for (const char *name : {"cos_2", "sin_2"})
        problem.inputs.add_normal(name, 0., 0.3);
      problem.weights =
        torch::full({2 * n_cells}, 0.5 / n_cells, torch::kFloat64);
      problem.solve = [](const Input &input) {
        BurgersProblem burgers(n_cells, input[0]);
        const auto     x =
          torch::arange(2 * n_cells, torch::kFloat64) * (M_PI / n_cells);
        const auto initial = input[1] + input[2] * x.cos() +
                             input[3] * x.sin() + input[4] * (2. * x).cos() +
                             input[5] * (2. * x).sin();
        const unsigned int n_steps =
          burgers.recommended_steps(initial, end_time);
        return Solution{burgers.solve(initial, 1, end_time, n_steps)[0],
                        {},
                        double(n_steps)};
      };
      return problem;
    }



    /**
     * A step on the left and the lower side, where the arc length is counted
     * from the corner between them, up the left side as negative: @p first
     * before its place, one behind it.
     */
    class Step : public dealii::Function<2>
    {
    public:
      Step(const double place, const double first, const double width)
        : place(place)
        , first(first)
        , width(width)
      {}

      double
      value(const dealii::Point<2> &p, const unsigned int = 0) const override
      {
        if (std::max(p[0], p[1]) > 1. - 1e-10 || std::min(p[0], p[1]) > 1e-10)
          return 0.;
        return first + (1. - first) * 0.5 *
                         (1. + std::tanh((p[0] - p[1] - place) / width));
      }

    private:
      const double place, first, width;
    };



    /** What comes in, a step of the given width, is carried away. */
    ActiveLearningProblem
    flow(const InputDistribution &diffusion,
         const std::string       &inflow,
         const double             width)
    {
      const auto host = std::make_shared<ConvectionDiffusion>(32);

      ActiveLearningProblem problem;
      problem.description = "-eps Laplace u + b grad u = 0, |b| = 1, u is " +
                            inflow +
                            " on the inflow boundary, 32^2 cells, SUPG";
      problem.inputs = diffusion;
      problem.inputs.add_uniform("angle", 0., 0.5 * M_PI);
      problem.inputs.add_uniform("place", -0.8, 0.8);
      problem.inputs.add_uniform("first", 0., 1.);
      problem.weights = as_tensor(host->weights());
      problem.solve   = [host, width](const Input &input) {
        dealii::Tensor<1, 2> velocity;
        velocity[0] = std::cos(input[1]);
        velocity[1] = std::sin(input[1]);
        return Solution{as_tensor(
                          host->solve(input[0],
                                      velocity,
                                      dealii::Functions::ZeroFunction<2>(),
                                      Step(input[2], input[3], width))),
                        {},
                        1.};
      };
      return problem;
    }



    ActiveLearningProblem
    convection()
    {
      InputDistribution diffusion;
      diffusion.add_log_uniform("diffusion", 0.005, 10.);
      return flow(diffusion, "a step", 0.05);
    }



    /** What comes in is smooth, so that all layers are made by the flow. */
    ActiveLearningProblem
    layer()
    {
      InputDistribution diffusion;
      diffusion.add_uniform("diffusion", 0.005, 1.);
      return flow(diffusion, "a ramp", 1.);
    }
  } // namespace



  std::vector<std::string>
  active_learning_problems()
  {
    return {"layer",
            "convection",
            "burgers-uniform",
            "burgers",
            "thermal-block",
            "darcy"};
  }



  ActiveLearningProblem
  make_active_learning_problem(const std::string &name)
  {
    check_choice("active_learning",
                 "problem",
                 name,
                 active_learning_problems());
    auto result = name == "layer"           ? layer() :
                  name == "convection"      ? convection() :
                  name == "burgers-uniform" ? burgers(true) :
                  name == "burgers"         ? burgers(false) :
                  name == "thermal-block"   ? thermal_block() :
                                              darcy();
    result.name = name;
    return result;
  }



  std::string
  ActiveLearningSet::name() const
  {
    switch (kind)
      {
        case Kind::test:
          return "test";
        case Kind::pool:
          return "pool";
        case Kind::sobol:
          return fmt::format("Sobol, seed {}", seed);
        default:
          return fmt::format("Latin hypercube, seed {}, {} points", seed, n);
      }
  }



  std::vector<ActiveLearningSet>
  active_learning_sets(const bool quick)
  {
    using Kind                            = ActiveLearningSet::Kind;
    std::vector<ActiveLearningSet> result = {
      {Kind::test, 1, quick ? 300 : 1000},
      {Kind::pool, 1, quick ? 1024 : 3072}};
    const std::int64_t largest = quick ? 128 : 512;
    for (std::uint64_t seed = 1; seed <= (quick ? 2 : 5); ++seed)
      {
        result.push_back({Kind::sobol, seed, largest});
        for (const std::int64_t n : {largest / 4, largest})
          result.push_back({Kind::latin_hypercube, seed, n});
      }
    return result;
  }



  std::string
  write_active_learning_data(const ActiveLearningProblem &problem,
                             const std::string           &folder,
                             const bool                   quick,
                             const ProcessGroups         &ranks)
  {
    using Kind        = ActiveLearningSet::Kind;
    const auto   sets = active_learning_sets(quick);
    SampleWriter writer;
    writer.title                      = "Solves of " + problem.name;
    writer.set                        = problem.name;
    writer.block_size                 = 1000;
    writer.description["problem"]     = problem.name;
    writer.description["description"] = problem.description;
    std::vector<Input> inputs;
    for (const auto &set : sets)
      {
        writer.description["sets"].push_back(
          {{"name", set.name()}, {"begin", writer.n_samples}, {"n", set.n}});
        writer.n_samples += set.n;
        const auto sobol = set.kind == Kind::sobol ?
                             make_design("scrambled Sobol",
                                         set.seed,
                                         problem.inputs.size(),
                                         set.n,
                                         "active_learning") :
                             nullptr;
        for (std::int64_t i = 0; i < set.n; ++i)
          inputs.push_back(
            sobol ? problem.inputs.at(sobol->point(i)) :
            set.kind == Kind::latin_hypercube ?
                    problem.inputs.latin_hypercube(set.seed, i, set.n) :
                    problem.inputs.draw(set.seed,
                                        set.kind == Kind::test ?
                                          CounterRandom::Stream::check :
                                          CounterRandom::Stream::queries,
                                        i));
      }

    const std::int64_t n_values  = problem.weights.size(0);
    const bool         has_prior = problem.solve(inputs[0]).prior.defined();
    writer.zeros                 = [&](const std::int64_t n) {
      SampleWriter::Tensors tensors;
      tensors["inputs"] =
        torch::zeros({n, problem.inputs.size()}, torch::kFloat64);
      tensors["values"] = torch::zeros({n, n_values}, torch::kFloat32);
      if (has_prior)
        tensors["prior"] = torch::zeros({n, n_values}, torch::kFloat32);
      tensors["cost"]    = torch::zeros({n}, torch::kFloat64);
      tensors["seconds"] = torch::zeros({n}, torch::kFloat64);
      return tensors;
    };
    writer.solve = [&](const std::int64_t index) {
      const double          start    = thread_seconds();
      const auto            solution = problem.solve(inputs[index]);
      SampleWriter::Tensors tensors;
      tensors["inputs"] = torch::tensor(inputs[index], torch::kFloat64);
      tensors["values"] = solution.values;
      tensors["cost"]   = torch::full({}, solution.cost, torch::kFloat64);
      tensors["seconds"] =
        torch::full({}, thread_seconds() - start, torch::kFloat64);
      if (has_prior)
        tensors["prior"] = solution.prior;
      return tensors;
    };
    writer.finish = [&](ModelFile &file) {
      file.metadata = writer.description;
      for (const auto &range : problem.inputs.ranges())
        file.metadata["inputs"].push_back(
          {{"name", range.name},
           {"lower",
            std::isfinite(range.lower) ? nlohmann::json(range.lower) :
                                         nlohmann::json()},
           {"upper",
            std::isfinite(range.upper) ? nlohmann::json(range.upper) :
                                         nlohmann::json()},
           {"logarithmic", range.logarithmic}});
      file.metadata["seconds_a_solve"] =
        file.tensors["seconds"].mean().item<double>();
      file.tensors.erase("seconds");
      file.tensors["weights"] = problem.weights;
    };
    return writer.write(folder + "/active-learning-" + problem.name +
                          (quick ? "-quick" : ""),
                        ranks);
  }
} // namespace neuraldeal::performance
