// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// The data of the elasticity benchmark, displacements around holes of random
// shapes:
//
//   mpirun -np 2 elasticity_fields FOLDER       (--check for a few solves only)

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "elasticity_generator.h"
#include "fields_program.h"
#include "sample_writer.h"
#include "solver_table.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;

  /**
   * The distances of several meshes to one finer than all, in the points of
   * the cloud: what the samples are worth, and what coarse solutions are.
   */
  void
  check(const ElasticitySet &set)
  {
    const unsigned int                n_samples = 20;
    const std::vector<ElasticityMesh> meshes    = {{16, 4, 1},
                                                   {32, 8, 1},
                                                   {64, 16, 1},
                                                   {128, 32, 1},
                                                   {16, 4, 2},
                                                   {32, 8, 2},
                                                   {64, 16, 2},
                                                   {128, 32, 2}};
    std::vector<torch::Tensor>        references;
    ElasticityProblem                 finest(set.fine.refined());
    for (unsigned int i = 0; i < n_samples; ++i)
      references.push_back(finest.mesh.at_vertices(
        finest.solve(ElasticityHole::sample(set.seed, i)), set.cloud));

    std::cout << fmt::format(
      "{} samples against {}\n\n"
      "  cells and degree     seconds a solve   relative L2 error (mean, "
      "largest)\n",
      n_samples,
      finest.mesh.name());
    for (const auto &mesh : meshes)
      {
        ElasticityProblem problem(mesh);
        double            sum = 0, largest = 0, seconds = 0;
        for (unsigned int i = 0; i < n_samples; ++i)
          {
            const double start = thread_seconds();
            const auto   solution =
              problem.solve(ElasticityHole::sample(set.seed, i));
            seconds += thread_seconds() - start;
            const double error =
              ((mesh.at_vertices(solution, set.cloud) - references[i]).norm() /
               references[i].norm())
                .item<double>();
            sum += error;
            largest = std::max(largest, error);
          }
        std::cout << fmt::format("{:20}   {:13.5f}   {:8.4f} %   {:8.4f} %\n",
                                 mesh.name(),
                                 seconds / n_samples,
                                 100. * sum / n_samples,
                                 100. * largest)
                  << std::flush;
      }
  }



  void
  print_table(const ElasticityData &data)
  {
    std::vector<std::string> meshes = {data.fine.name()};
    for (const auto &mesh : ElasticityData::coarse_meshes)
      meshes.push_back(mesh.name());
    print_solver_table(data,
                       fmt::format("{} points", data.points.size(1)),
                       meshes);
  }
} // namespace



int
main(int argc, char *argv[])
{
  return run_fields_program(argc,
                            argv,
                            "elasticity_fields",
                            1,
                            "the folder to write to (or --check)",
                            [](const std::vector<std::string> &given,
                               const ProcessGroups            &ranks) {
                              const ElasticitySet set;
                              if (given[0] == "--check")
                                {
                                  if (ranks.is_root())
                                    check(set);
                                  return;
                                }
                              const auto filename =
                                ElasticityGenerator(set).write(given[0], ranks);
                              if (ranks.is_root())
                                {
                                  std::cout << filename << std::endl;
                                  print_table(ElasticityData::read(filename));
                                }
                            });
}
