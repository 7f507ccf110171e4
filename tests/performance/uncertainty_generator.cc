// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "uncertainty_generator.h"

#include "burgers_field.h"
#include "darcy_field.h"
#include "sample_writer.h"

namespace neuraldeal::performance
{
  namespace
  {
    using Equation = UncertaintyProblem::Equation;

    /** What a file says of the problem and of how it was solved. */
    void
    describe(const Equation equation, nlohmann::json &metadata)
    {
      switch (equation)
        {
          case Equation::darcy:
            metadata["description"] =
              "-div(a grad u) = 1 on the unit square, u = 0 on the boundary; a "
              "has the larger value where a Gaussian random field with "
              "covariance (-Laplace + tau^2)^-2 is at least 0, tau = 3 / "
              "factor in the shorter sets and 3 else, values 6 * 2^f and 6 * "
              "2^-f, f = factor in the larger sets and 1 else; FE_Q(1), values "
              "at cell centres";
            metadata["solver"] =
              "CG preconditioned by the constant-coefficient inverse, residual "
              "1e-10 of the right hand side";
            break;
          case Equation::log_normal:
            metadata["description"] =
              "-div(a grad u) = 1 on the unit square, u = 0 on the boundary; a "
              "= exp(sigma g), g a Gaussian random field with covariance "
              "proportional to (-Laplace + tau^2)^-2 and mean variance 1, tau "
              "= 3 / factor in the shorter sets and 3 else, sigma = factor in "
              "the larger sets and 1 else; FE_Q(1), values at cell centres";
            metadata["solver"] =
              "CG preconditioned by algebraic multigrid, residual 1e-10 of the "
              "right hand side";
            break;
          case Equation::burgers:
            metadata["description"] =
              "u_t + u u_x = 0.01 u_xx on the unit interval, periodic; u(0) "
              "Gaussian with covariance proportional to (-d^2/dx^2 + "
              "tau^2)^-2, tau = 5 / factor in the shorter sets and 5 else, "
              "frequencies below 64, standard deviation 0.5 times factor in "
              "the larger sets and 0.5 else; u at the times 0.1, 0.2, ..., 1";
            metadata["solver"] =
              "FE_Q(2), ARS(4,4,3), steps of half a distance between nodes";
        }
    }
  } // namespace



  UncertaintyGenerator::UncertaintyGenerator(const UncertaintyProblem &problem)
    : problem(problem)
  {
    if (problem.equation == Equation::burgers)
      burgers = std::make_unique<BurgersProblem>(problem.n_cells);
    else
      darcy = std::make_unique<DarcyProblem>(problem.n_cells);
  }



  torch::Tensor
  UncertaintyGenerator::draw(const UncertaintySet &set,
                             const std::int64_t    index) const
  {
    if (problem.equation == Equation::burgers)
      return PeriodicField(64,
                           5. / set.length_factor(),
                           0.5 * set.amplitude_factor())
        .sample(set.seed, index, 2 * problem.n_cells);

    DarcyField field(problem.n_cells, 3. / set.length_factor());
    if (problem.equation == Equation::darcy)
      return darcy_coefficient(field.sample(set.seed, index),
                               set.amplitude_factor());
    const double sigma = set.amplitude_factor();
    field.normalise(sigma * sigma);
    return field.sample(set.seed, index).exp();
  }



  UncertaintyGenerator::Sample
  UncertaintyGenerator::solve(const UncertaintySet &set,
                              const std::int64_t    index)
  {
    const auto input = draw(set, index);
    Sample     sample;
    const auto start = thread_seconds();
    if (burgers)
      {
        const auto solution = burgers->solve(input,
                                             UncertaintyProblem::n_times,
                                             UncertaintyProblem::interval);
        sample.seconds      = thread_seconds() - start;
        // Every so many nodes are points.
        using at::indexing::Slice;
        const Slice kept(at::indexing::None,
                         at::indexing::None,
                         2 * problem.n_cells / problem.n_points);
        sample.input    = input.index({kept}).unsqueeze(0);
        sample.solution = solution.index({Slice(), kept});
      }
    else
      {
        using Preconditioner = DarcyProblem::Preconditioner;
        const auto solution =
          darcy->solve(input,
                       problem.equation == Equation::darcy ?
                         Preconditioner::constant_coefficient :
                         Preconditioner::algebraic_multigrid);
        sample.seconds = thread_seconds() - start;
        sample.input   = input.unsqueeze(0);
        sample.solution =
          evaluate_at_centres(solution, problem.n_points, 1).unsqueeze(0);
      }
    ++n_solved;
    return sample;
  }



  void
  UncertaintyGenerator::write(const std::string   &folder,
                              const bool           shifted,
                              const ProcessGroups &ranks)
  {
    const auto sets = problem.sets_of_file(shifted);

    // Which sample of which set has this number in the file.
    const auto find = [&](std::int64_t number) {
      std::size_t set = 0;
      while (number >= sets[set].n_samples)
        number -= sets[set++].n_samples;
      return std::make_pair(set, number);
    };

    SampleWriter writer;
    writer.title = "Samples of " + problem.name +
                   (shifted ? ", shifted" : ", to train with");
    writer.set        = problem.name;
    writer.block_size = problem.block_size;
    for (const auto &set : sets)
      {
        writer.n_samples += set.n_samples;
        writer.description["sets"].push_back({{"name", set.name},
                                              {"kind", to_string(set.kind)},
                                              {"factor", set.factor},
                                              {"samples", set.n_samples},
                                              {"seed", set.seed}});
      }
    writer.description["problem"]  = problem.name;
    writer.description["n_points"] = problem.n_points;
    writer.description["n_cells"]  = problem.n_cells;

    writer.zeros = [&](const std::int64_t n) {
      SampleWriter::Tensors tensors;
      const auto            zeros = [n](std::vector<std::int64_t> shape) {
        shape.insert(shape.begin(), n);
        return torch::zeros(shape, torch::kFloat32);
      };
      tensors["input"]    = zeros(problem.input_shape());
      tensors["solution"] = zeros(problem.solution_shape());
      tensors["seconds"]  = torch::zeros({n}, torch::kFloat64);
      return tensors;
    };

    writer.solve = [&](const std::int64_t number) {
      const auto            at     = find(number);
      const auto            sample = solve(sets[at.first], at.second);
      SampleWriter::Tensors tensors;
      tensors["input"]    = sample.input;
      tensors["solution"] = sample.solution;
      tensors["seconds"]  = torch::full({}, sample.seconds, torch::kFloat64);
      return tensors;
    };

    writer.finish = [&](ModelFile &file) {
      file.metadata      = writer.description;
      const auto   time  = file.tensors["seconds"];
      std::int64_t begin = 0;
      for (std::size_t i = 0; i < sets.size(); ++i)
        {
          auto &entry = file.metadata["sets"][i];
          entry["seconds"] =
            time.narrow(0, begin, sets[i].n_samples).mean().item<double>();
          if (problem.equation == Equation::darcy)
            entry["values"] = darcy_values(sets[i].amplitude_factor());
          begin += sets[i].n_samples;
        }
      file.tensors.erase("seconds");
      if (problem.equation == Equation::darcy)
        file.tensors["input"] = pack_coefficient(file.tensors["input"]);
      describe(problem.equation, file.metadata);
    };

    const std::string name = problem.filename(folder, shifted);
    writer.write(name.substr(0, name.rfind('.')), ranks);
  }



  void
  UncertaintyGenerator::write(const std::string   &folder,
                              const ProcessGroups &ranks)
  {
    for (const bool shifted : {false, true})
      write(folder, shifted, ranks);
  }
} // namespace neuraldeal::performance
