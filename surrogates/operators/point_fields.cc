// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/operators/point_fields.h>

namespace neuraldeal
{
  torch::Tensor
  grid_points(const at::IntArrayRef sizes, const torch::TensorOptions &options)
  {
    std::vector<torch::Tensor> coordinates;
    for (std::size_t j = 0; j < sizes.size(); ++j)
      {
        std::vector<std::int64_t> shape(sizes.size(), 1);
        shape[j] = sizes[j];
        coordinates.push_back(torch::linspace(0., 1., sizes[j], options)
                                .reshape(shape)
                                .expand(sizes)
                                .reshape({-1}));
      }
    return torch::stack(coordinates, 1);
  }



  std::string
  shape_of(const torch::Tensor &tensor)
  {
    if (!tensor.defined())
      return "not defined";
    std::string result;
    for (const auto size : tensor.sizes())
      result += (result.empty() ? "" : ", ") + std::to_string(size);
    return "[" + result + "]";
  }



  void
  check_fields(const torch::Tensor &fields,
               const OperatorShape &shape,
               const std::string   &operator_name)
  {
    if (!fields.defined() || fields.dim() < 3 ||
        fields.size(1) != shape.in_channels)
      throw InputError(operator_name,
                       "the shape of the fields",
                       shape_of(fields),
                       fmt::format("[n, {}, points …]", shape.in_channels));
  }



  void
  check_points(const torch::Tensor &points,
               const long           n_samples,
               const OperatorShape &shape,
               const std::string   &operator_name)
  {
    const long dim = points.dim();
    if ((dim != 2 && dim != 3) || points.size(-1) != shape.dim ||
        (dim == 3 && points.size(0) != n_samples))
      throw InputError(operator_name,
                       "the shape of the points",
                       shape_of(points),
                       fmt::format("[P, {0}] or [{1}, P, {0}]",
                                   shape.dim,
                                   n_samples));
  }



  namespace
  {
    /** s_1, …, s_d of @p fields that come without points. */
    at::IntArrayRef
    grid_sizes(const torch::Tensor &fields,
               const OperatorShape &shape,
               const std::string   &operator_name)
    {
      const auto sizes = fields.sizes().slice(2);
      if (long(sizes.size()) != shape.dim)
        throw InputError(
          operator_name,
          "the shape of the fields",
          shape_of(fields),
          fmt::format("a grid in {} dimensions, or points beside the fields",
                      shape.dim));
      return sizes;
    }
  } // namespace



  OutputPoints::OutputPoints(const OperatorInput        &input,
                             const OperatorShape        &shape,
                             const torch::TensorOptions &options,
                             const std::string          &operator_name)
  {
    const long n = input.fields.size(0);
    if (input.points.defined())
      {
        check_points(input.points, n, shape, operator_name);
        coordinates = input.points.to(options);
        field_shape = {n, shape.out_channels, coordinates.size(-2)};
        return;
      }
    coordinates =
      grid_points(grid_sizes(input.fields, shape, operator_name), options);
    field_shape    = input.fields.sizes().vec();
    field_shape[1] = shape.out_channels;
  }



  PointFields::PointFields(const OperatorInput &input,
                           const OperatorShape &shape,
                           const std::string   &operator_name)
  {
    check_fields(input.fields, shape, operator_name);
    const auto values   = input.fields.flatten(2).transpose(1, 2);
    const long n        = values.size(0);
    const long n_points = values.size(1);

    auto points = input.points;
    if (points.defined())
      {
        check_points(points, n, shape, operator_name);
        if (input.fields.dim() != 3 || points.size(-2) != n_points)
          throw InputError(operator_name,
                           "the shape of the fields",
                           shape_of(input.fields),
                           fmt::format("[n, {}, {}] with these points",
                                       shape.in_channels,
                                       points.size(-2)));
        points = points.to(values.options());
      }
    else
      {
        grid   = grid_sizes(input.fields, shape, operator_name).vec();
        points = grid_points(grid, values.options());
      }
    features = torch::cat({values, points.expand({n, n_points, -1})}, 2);

    if (input.mask.defined())
      {
        if (input.mask.dim() < 2 || input.mask.size(0) != n ||
            input.mask.numel() != n * n_points)
          throw InputError(operator_name,
                           "the shape of the mask",
                           shape_of(input.mask),
                           fmt::format("[{}, {}]", n, n_points));
        mask = input.mask.flatten(1).to(features.device(), torch::kBool);
        // Not a product: what is not a number has to go as well.
        features = features.masked_fill(mask.logical_not().unsqueeze(2), 0.);
      }
  }



  torch::Tensor
  PointFields::like_input(const torch::Tensor &rows) const
  {
    auto fields = mask.defined() ?
                    rows.masked_fill(mask.logical_not().unsqueeze(2), 0.) :
                    rows;
    fields      = fields.transpose(-2, -1).contiguous();
    if (grid.empty())
      return fields;
    auto shape = fields.sizes().vec(); // […, out, P]
    shape.pop_back();
    shape.insert(shape.end(), grid.begin(), grid.end());
    return fields.reshape(shape);
  }
} // namespace neuraldeal
