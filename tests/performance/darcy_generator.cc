// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "darcy_generator.h"

#include "sample_writer.h"

namespace neuraldeal::performance
{
  namespace
  {
    std::string
    coarse_name(const unsigned int level)
    {
      return "coarse_" + std::to_string(DarcyData::coarse_cells[level]);
    }
  } // namespace



  DarcyGenerator::DarcyGenerator(const DarcySet &set)
    : set(set)
    , field(set.n_cells)
    , fine_problem(set.n_cells)
  {
    for (unsigned int level = 0; level < coarse_problems.size(); ++level)
      coarse_problems[level] =
        std::make_unique<DarcyProblem>(DarcyData::coarse_cells[level]);
  }



  DarcyGenerator::Sample
  DarcyGenerator::solve(const std::int64_t index)
  {
    const auto solve_timed = [](DarcyProblem        &problem,
                                const torch::Tensor &coefficient,
                                double              &seconds) {
      const double start    = thread_seconds();
      const auto   solution = problem.solve(coefficient);
      seconds               = thread_seconds() - start;
      return solution;
    };
    const auto coefficient = darcy_coefficient(field.sample(set.seed, index));

    Sample     sample;
    const auto solution =
      solve_timed(fine_problem, coefficient, sample.seconds[0]);
    sample.solution = evaluate_at_centres(solution, set.n_cells, set.stride);
    for (unsigned int level = 0; level < coarse_problems.size(); ++level)
      sample.coarse[level] =
        solve_timed(*coarse_problems[level],
                    coarse_coefficient(coefficient,
                                       DarcyData::coarse_cells[level],
                                       coarse_mean),
                    sample.seconds[level + 1]);
    using at::indexing::Slice;
    const Slice kept(at::indexing::None, at::indexing::None, set.stride);
    sample.coefficient = coefficient.index({kept, kept});
    ++n_solved;
    return sample;
  }



  std::string
  DarcyGenerator::write(const std::string &folder, const ProcessGroups &ranks)
  {
    SampleWriter writer;
    writer.title = "Darcy flow on " + std::to_string(set.n_cells) + "² cells";
    writer.set   = set.name;
    writer.n_samples   = set.n_train + set.n_test;
    writer.block_size  = set.block_size;
    writer.description = {{"n_cells", set.n_cells},
                          {"stride", set.stride},
                          {"seed", set.seed}};

    writer.zeros = [&](const std::int64_t n) {
      const std::int64_t    s = set.n_points();
      SampleWriter::Tensors tensors;
      tensors["coefficient"] = torch::zeros({n, s, s}, torch::kFloat32);
      tensors["solution"]    = torch::zeros({n, s, s}, torch::kFloat32);
      tensors["seconds"]     = torch::zeros({n, 3}, torch::kFloat64);
      for (unsigned int level = 0; level < coarse_problems.size(); ++level)
        {
          const std::int64_t m = DarcyData::coarse_cells[level] + 1;
          tensors[coarse_name(level)] =
            torch::zeros({n, m, m}, torch::kFloat32);
        }
      return tensors;
    };

    writer.solve = [&](const std::int64_t index) {
      const auto            sample = solve(index);
      SampleWriter::Tensors tensors;
      tensors["coefficient"] = sample.coefficient;
      tensors["solution"]    = sample.solution;
      tensors["seconds"]     = torch::zeros({3}, torch::kFloat64);
      for (unsigned int k = 0; k < sample.seconds.size(); ++k)
        tensors["seconds"][k].fill_(sample.seconds[k]);
      for (unsigned int level = 0; level < coarse_problems.size(); ++level)
        tensors[coarse_name(level)] = sample.coarse[level];
      return tensors;
    };

    writer.finish = [&](ModelFile &file) {
      file.tensors["coefficient"] =
        pack_coefficient(file.tensors["coefficient"]);
      const auto seconds = file.tensors["seconds"].mean(0);
      file.tensors.erase("seconds");
      file.metadata = {
        {"set", set.name},
        {"n_train", set.n_train},
        {"n_test", set.n_test},
        {"n_cells", set.n_cells},
        {"n_points", set.n_points()},
        {"stride", set.stride},
        {"seed", set.seed},
        {"problem",
         "-div(a grad u) = 1 on the unit square, u = 0 on the boundary; a = "
         "12 where a Gaussian random field with covariance (-Laplace + 9)^-2 "
         "is at least 0, and 3 elsewhere; FE_Q(1), values at cell centres"},
        {"solver",
         "CG preconditioned by the constant-coefficient inverse, residual "
         "1e-10 of the right hand side"},
        {"seconds",
         {{std::to_string(set.n_cells), seconds[0].item<double>()}}}};
      for (unsigned int level = 0; level < coarse_problems.size(); ++level)
        file
          .metadata["seconds"][std::to_string(DarcyData::coarse_cells[level])] =
          seconds[level + 1].item<double>();
    };
    return writer.write(folder + "/darcy-" + set.name, ranks);
  }
} // namespace neuraldeal::performance
