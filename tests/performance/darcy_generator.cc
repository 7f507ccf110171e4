// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "darcy_generator.h"

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/progress.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <vector>

namespace neuraldeal::performance
{
  namespace
  {
    std::string
    coarse_name(const unsigned int level)
    {
      return "coarse_" + std::to_string(DarcyData::coarse_cells[level]);
    }

    /**
     * Processor time of this thread, which does all the work: the machine may
     * have more to do than this.
     */
    double
    thread_seconds()
    {
      timespec time;
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      return time.tv_sec + 1e-9 * time.tv_nsec;
    }

    /** An error on rank 0, which alone touches files, is one on all. */
    void
    on_root(const ProcessGroups &ranks, const std::function<void()> &work)
    {
      std::string failure;
      if (ranks.is_root())
        try
          {
            work();
          }
        catch (const std::exception &exception)
          {
            failure = exception.what();
          }
      failure = first_message(failure, ranks.world);
      if (!failure.empty())
        throw std::runtime_error(failure);
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



  nlohmann::json
  DarcyGenerator::description(const std::int64_t begin,
                              const std::int64_t end) const
  {
    return {{"n_cells", set.n_cells},
            {"stride", set.stride},
            {"seed", set.seed},
            {"begin", begin},
            {"end", end}};
  }



  void
  DarcyGenerator::write_block(const std::string   &filename,
                              const std::int64_t   begin,
                              const std::int64_t   end,
                              const ProcessGroups &ranks)
  {
    const std::int64_t n = end - begin, s = set.n_points();
    // Each rank fills in its samples; the sum of all has them all.
    std::map<std::string, torch::Tensor> tensors;
    tensors["coefficient"] = torch::zeros({n, s, s}, torch::kFloat32);
    tensors["solution"]    = torch::zeros({n, s, s}, torch::kFloat32);
    tensors["seconds"]     = torch::zeros({n, 3}, torch::kFloat64);
    for (unsigned int level = 0; level < coarse_problems.size(); ++level)
      {
        const std::int64_t m        = DarcyData::coarse_cells[level] + 1;
        tensors[coarse_name(level)] = torch::zeros({n, m, m}, torch::kFloat32);
      }
    ranks.distribute(n, [&](const unsigned int i) {
      const auto sample = solve(begin + i);
      tensors["coefficient"][i].copy_(sample.coefficient);
      tensors["solution"][i].copy_(sample.solution);
      for (unsigned int level = 0; level < coarse_problems.size(); ++level)
        tensors[coarse_name(level)][i].copy_(sample.coarse[level]);
      for (unsigned int k = 0; k < sample.seconds.size(); ++k)
        tensors["seconds"][i][k].fill_(sample.seconds[k]);
    });
    const auto communicator = mpi_communicator(ranks.world);
    if (communicator.sum)
      for (auto &tensor : tensors)
        communicator.sum(tensor.second);

    on_root(ranks, [&]() {
      ModelFile file;
      file.tensors                = tensors;
      file.tensors["coefficient"] = pack_coefficient(tensors["coefficient"]);
      file.metadata               = description(begin, end);
      file.write(filename);
    });
  }



  std::string
  DarcyGenerator::write(const std::string &folder, const ProcessGroups &ranks)
  {
    AssertThrow(ranks.n_groups() ==
                  dealii::Utilities::MPI::n_mpi_processes(ranks.world),
                dealii::ExcMessage("A sample is solved by one rank."));
    const std::string  base       = folder + "/darcy-" + set.name;
    const std::string  filename   = base + ".safetensors";
    const std::string  blocks     = base + ".blocks";
    const std::int64_t n          = set.n_train + set.n_test;
    const auto         block_name = [&](const std::int64_t begin) {
      return blocks + "/" + std::to_string(begin) + ".safetensors";
    };
    const auto is_there = [&](const std::string &name) {
      int result = ranks.is_root() && std::filesystem::exists(name);
      MPI_Bcast(&result, 1, MPI_INT, 0, ranks.world);
      return result == 1;
    };
    if (is_there(filename))
      return filename;
    on_root(ranks, [&]() { std::filesystem::create_directories(blocks); });

    {
      Progress progress("Darcy flow on " + std::to_string(set.n_cells) +
                          "² cells",
                        n,
                        ranks.is_root());
      for (std::int64_t begin = 0; begin < n; begin += set.block_size)
        {
          const auto end = std::min(n, begin + set.block_size);
          if (!is_there(block_name(begin)))
            write_block(block_name(begin), begin, end, ranks);
          progress.update(end);
        }
    }

    on_root(ranks, [&]() {
      std::map<std::string, std::vector<torch::Tensor>> parts;
      for (std::int64_t begin = 0; begin < n; begin += set.block_size)
        {
          const auto block = ModelFile::read(block_name(begin));
          if (block.metadata !=
              description(begin, std::min(n, begin + set.block_size)))
            throw FileError(block.filename,
                            "it holds other samples than those of the set '" +
                              set.name + "' (remove its folder)");
          for (const auto &[name, tensor] : block.tensors)
            parts[name].push_back(tensor);
        }
      ModelFile file;
      for (const auto &[name, part] : parts)
        file.tensors[name] = torch::cat(part);
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
      file.write(filename);
      std::filesystem::remove_all(blocks);
    });
    return filename;
  }
} // namespace neuraldeal::performance
