// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "darcy_data.h"

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/model_file.h>

#include "darcy_field.h"

namespace neuraldeal::performance
{
  DarcySet
  DarcySet::by_name(const std::string &name)
  {
    if (name == "421")
      return {name, 421, 5, 1000, 200, 421};
    if (name == "64")
      return {name, 64, 1, 1000, 200, 64};
    throw InputError("darcy_fields", "the set", name, "421 or 64");
  }



  DarcyData
  DarcyData::read(const std::string &filename)
  {
    const auto file = ModelFile::read(filename);
    DarcyData  data;
    data.n_train = file.get<std::int64_t>("n_train");
    data.n_test  = file.get<std::int64_t>("n_test");
    data.n_cells = file.get<unsigned int>("n_cells");
    data.stride  = file.get<unsigned int>("stride");

    const auto get = [&](const std::string              &name,
                         const torch::Dtype              type,
                         const std::vector<std::int64_t> shape) {
      const auto tensor = file.tensor(name);
      if (tensor.scalar_type() != type || tensor.sizes().vec() != shape)
        throw FileError(filename,
                        "its tensor '" + name +
                          "' has another shape or type than Darcy data have");
      return tensor;
    };
    const std::int64_t n = data.n_train + data.n_test,
                       s = file.get<unsigned int>("n_points");
    data.coefficient     = unpack_coefficient(
      get("coefficient", torch::kUInt8, {n, (s * s + 7) / 8}), s);
    data.solution = get("solution", torch::kFloat32, {n, s, s});

    const auto seconds = file.get<nlohmann::json>("seconds");
    data.seconds[0]    = seconds.value(std::to_string(data.n_cells), 0.);
    for (unsigned int level = 0; level < coarse_cells.size(); ++level)
      {
        const auto m            = coarse_cells[level];
        data.coarse[level]      = get("coarse_" + std::to_string(m),
                                 torch::kFloat32,
                                 {n, m + 1, m + 1});
        data.seconds[level + 1] = seconds.value(std::to_string(m), 0.);
      }
    return data;
  }



  torch::Tensor
  DarcyData::coarse_errors(const unsigned int level) const
  {
    const auto reference = solution.to(torch::kFloat64).flatten(1);
    const auto values =
      evaluate_at_centres(coarse.at(level).to(torch::kFloat64), n_cells, stride)
        .flatten(1);
    return (values - reference).norm(2, {1}) / reference.norm(2, {1});
  }
} // namespace neuraldeal::performance
