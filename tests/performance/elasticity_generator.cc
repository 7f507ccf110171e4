// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "elasticity_generator.h"

#include "sample_writer.h"

namespace neuraldeal::performance
{
  namespace
  {
    std::array<unsigned int, 3>
    sizes(const ElasticityMesh &mesh)
    {
      return {{mesh.n_angles, mesh.n_layers, mesh.degree}};
    }
  } // namespace



  ElasticityGenerator::ElasticityGenerator(const ElasticitySet &set)
    : set(set)
    , fine_problem(set.fine)
  {
    for (unsigned int level = 0; level < coarse_problems.size(); ++level)
      coarse_problems[level] = std::make_unique<ElasticityProblem>(
        ElasticityData::coarse_meshes[level]);
  }



  ElasticityGenerator::Sample
  ElasticityGenerator::solve(const std::int64_t index)
  {
    const auto hole        = ElasticityHole::sample(set.seed, index);
    const auto solve_timed = [&](ElasticityProblem &problem, double &seconds) {
      const double start    = thread_seconds();
      const auto   solution = problem.solve(hole);
      seconds               = thread_seconds() - start;
      return solution;
    };
    const auto in_cloud = [&](const torch::Tensor &nodal) {
      return set.fine.at_vertices(nodal, set.cloud).flatten(1);
    };

    Sample sample;
    sample.points   = in_cloud(fine_problem.nodes(hole)).t().contiguous();
    sample.distance = hole.distance(sample.points);
    sample.solution = in_cloud(solve_timed(fine_problem, sample.seconds[0]));
    for (unsigned int level = 0; level < coarse_problems.size(); ++level)
      sample.coarse[level] =
        solve_timed(*coarse_problems[level], sample.seconds[level + 1]);
    ++n_solved;
    return sample;
  }



  std::string
  ElasticityGenerator::write(const std::string   &folder,
                             const ProcessGroups &ranks)
  {
    constexpr auto &coarse_meshes = ElasticityData::coarse_meshes;

    SampleWriter writer;
    writer.title       = "Elasticity on " + set.fine.name();
    writer.set         = "elasticity";
    writer.n_samples   = set.n_train + set.n_test;
    writer.block_size  = set.block_size;
    writer.description = {{"cloud", sizes(set.cloud)},
                          {"fine", sizes(set.fine)},
                          {"seed", set.seed}};

    writer.zeros = [&](const std::int64_t n) {
      const std::int64_t    P = (set.cloud.n_layers + 1) * set.cloud.n_angles;
      SampleWriter::Tensors tensors;
      tensors["points"]   = torch::zeros({n, P, 2}, torch::kFloat32);
      tensors["distance"] = torch::zeros({n, P}, torch::kFloat32);
      tensors["solution"] = torch::zeros({n, 2, P}, torch::kFloat32);
      tensors["seconds"] =
        torch::zeros({n, std::int64_t(coarse_meshes.size()) + 1},
                     torch::kFloat64);
      for (const auto &mesh : coarse_meshes)
        tensors[ElasticityData::tensor_name(mesh)] =
          torch::zeros({n, 2, mesh.n_layer_nodes(), mesh.n_angle_nodes()},
                       torch::kFloat32);
      return tensors;
    };

    writer.solve = [&](const std::int64_t index) {
      const auto            sample = solve(index);
      SampleWriter::Tensors tensors;
      tensors["points"]   = sample.points;
      tensors["distance"] = sample.distance;
      tensors["solution"] = sample.solution;
      tensors["seconds"] =
        torch::zeros({std::int64_t(sample.seconds.size())}, torch::kFloat64);
      for (unsigned int k = 0; k < sample.seconds.size(); ++k)
        tensors["seconds"][k].fill_(sample.seconds[k]);
      for (unsigned int level = 0; level < coarse_meshes.size(); ++level)
        tensors[ElasticityData::tensor_name(coarse_meshes[level])] =
          sample.coarse[level];
      return tensors;
    };

    writer.finish = [&](ModelFile &file) {
      const auto seconds = file.tensors["seconds"].mean(0);
      file.tensors.erase("seconds");
      file.metadata = {
        {"n_train", set.n_train},
        {"n_test", set.n_test},
        {"seed", set.seed},
        {"cloud", sizes(set.cloud)},
        {"fine", sizes(set.fine)},
        {"problem",
         "linear elasticity in plane strain, Young's modulus 1, Poisson's "
         "ratio 0.3, on the unit square around a hole with the radius 0.2 + "
         "0.2 / (1 + exp(f)), f a Gaussian random field on the circle with "
         "covariance 16 (-Laplace + 9)^-1 cut off behind mode 6; clamped at "
         "the bottom, traction (0, 1) at the top; the displacement"},
        {"solver", "isoparametric elements, UMFPACK"},
        {"seconds", {{set.fine.name(), seconds[0].item<double>()}}}};
      for (unsigned int level = 0; level < coarse_meshes.size(); ++level)
        file.metadata["seconds"][coarse_meshes[level].name()] =
          seconds[level + 1].item<double>();
    };
    return writer.write(folder + "/elasticity", ranks);
  }
} // namespace neuraldeal::performance
