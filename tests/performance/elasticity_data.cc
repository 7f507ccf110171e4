// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "elasticity_data.h"

#include <neuraldeal/surrogates/exceptions.h>

#include <vector>

#include "elasticity_hole.h"

namespace neuraldeal::performance
{
  namespace
  {
    /** The points of @p cloud around a circle, [P, 2] float32. */
    torch::Tensor
    around_circle(const ElasticityMesh &cloud)
    {
      const ElasticityHole circle;
      auto                 result =
        torch::empty({cloud.n_layers + 1, cloud.n_angles, 2}, torch::kFloat32);
      auto values = result.accessor<float, 3>();
      for (unsigned int i = 0; i <= cloud.n_layers; ++i)
        for (unsigned int j = 0; j < cloud.n_angles; ++j)
          {
            const auto at =
              circle.point(4. * j / cloud.n_angles, double(i) / cloud.n_layers);
            for (unsigned int d = 0; d < 2; ++d)
              values[i][j][d] = at[d];
          }
      return result.flatten(0, 1);
    }
  } // namespace



  std::string
  ElasticityData::tensor_name(const ElasticityMesh &mesh)
  {
    return "coarse_" + std::to_string(mesh.n_angles) + "x" +
           std::to_string(mesh.n_layers) + "_" + std::to_string(mesh.degree);
  }



  ElasticityData
  ElasticityData::read(const std::string &filename)
  {
    const auto     file = ModelFile::read(filename);
    ElasticityData data;
    data.n_train = file.get<std::int64_t>("n_train");
    data.n_test  = file.get<std::int64_t>("n_test");

    const auto mesh = [&](const std::string &key) -> ElasticityMesh {
      const auto sizes = file.get<std::array<unsigned int, 3>>(key);
      return {sizes[0], sizes[1], sizes[2]};
    };
    data.cloud = mesh("cloud");
    data.fine  = mesh("fine");

    const auto get = [&](const std::string              &name,
                         const std::vector<std::int64_t> shape) {
      const auto tensor = file.tensor(name);
      if (tensor.scalar_type() != torch::kFloat32 ||
          tensor.sizes().vec() != shape)
        throw FileError(filename,
                        "its tensor '" + name +
                          "' has another shape or type than data of the "
                          "elasticity benchmark have");
      return tensor;
    };
    const std::int64_t n = data.n_train + data.n_test,
                       P = (data.cloud.n_layers + 1) * data.cloud.n_angles;
    data.points          = get("points", {n, P, 2});
    data.distance        = get("distance", {n, P});
    data.solution        = get("solution", {n, 2, P});

    const auto seconds = file.get<nlohmann::json>("seconds");
    data.seconds[0]    = seconds.value(data.fine.name(), 0.);
    for (unsigned int level = 0; level < coarse_meshes.size(); ++level)
      {
        const auto &coarse = coarse_meshes[level];
        const auto  nodal =
          get(tensor_name(coarse),
              {n, 2, coarse.n_layer_nodes(), coarse.n_angle_nodes()});
        data.coarse[level] = coarse.at_vertices(nodal, data.cloud).flatten(2);
        data.seconds[level + 1] = seconds.value(coarse.name(), 0.);
      }
    return data;
  }



  OperatorData
  ElasticityData::samples(const std::int64_t begin,
                          const std::int64_t end,
                          const Choice      &choice,
                          const std::string &source) const
  {
    OperatorData result;
    result.input.fields = distance.unsqueeze(1);
    result.input.points = points;
    result.target       = solution;
    if (choice.mesh_displacement)
      result.input.fields =
        torch::cat({result.input.fields,
                    (points - around_circle(cloud)).transpose(1, 2)},
                   1);
    std::string names;
    for (unsigned int level = 0; level < coarse_meshes.size(); ++level)
      {
        names += "'" + coarse_meshes[level].name() + "', ";
        if (coarse_meshes[level].name() == choice.coarse_mesh)
          result.prior = coarse[level];
      }
    if (!choice.coarse_mesh.empty() && !result.prior.defined())
      throw InputError(source,
                       "the coarse mesh",
                       choice.coarse_mesh,
                       names + "or nothing");
    return result.slice(begin, end);
  }



  torch::Tensor
  ElasticityData::coarse_errors(const unsigned int level) const
  {
    const auto reference = solution.to(torch::kFloat64).flatten(1);
    const auto values    = coarse.at(level).to(torch::kFloat64).flatten(1);
    return (values - reference).norm(2, {1}) / reference.norm(2, {1});
  }



  OperatorData
  with_mirror_images(const OperatorData &data)
  {
    const auto both = [](const torch::Tensor &original,
                         const torch::Tensor &image) {
      return torch::cat({original, image});
    };
    const auto mirrored = [&](const torch::Tensor &displacement) {
      const auto signs =
        torch::tensor({-1., 1.}, displacement.options()).reshape({1, 2, 1});
      return both(displacement, displacement * signs);
    };
    const auto  &points = data.input.points;
    OperatorData result;
    auto         fields = data.input.fields.clone();
    if (fields.size(1) > 1)
      fields.select(1, 1).neg_();
    result.input.fields = both(data.input.fields, fields);
    result.input.points =
      both(points,
           torch::stack({1. - points.select(2, 0), points.select(2, 1)}, 2));
    if (data.prior.defined())
      result.prior = mirrored(data.prior);
    if (data.target.defined())
      result.target = mirrored(data.target);
    return result;
  }
} // namespace neuraldeal::performance
