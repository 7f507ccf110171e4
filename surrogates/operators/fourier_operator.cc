// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/operators/fourier_operator.h>
#include <neuraldeal/surrogates/operators/point_fields.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  FourierOperator::FourierOperator(const OperatorShape &shape,
                                   const Parameters    &parameters)
    : chosen(parameters)
  {
    const long width = parameters.width, members = parameters.members,
               trunks    = parameters.shared_trunk ? 1 : members;
    const auto pointwise = [this](const std::string &name,
                                  const long         in,
                                  const long         out,
                                  const long         groups) {
      return register_module(
        name, std::make_shared<PointwiseLinear>(in, out, groups));
    };
    // What all members read is not copied for each of them.
    lifting =
      pointwise("lifting", shape.in_channels + shape.dim, trunks * width, 1);
    for (long l = 0; l < parameters.layers; ++l)
      {
        const auto suffix = "_" + std::to_string(l);
        Layer      layer;
        layer.convolution = register_module(
          "convolution" + suffix,
          std::make_shared<SpectralConvolution>(
            width, width, parameters.modes, parameters.transform, trunks));
        layer.pointwise = pointwise("pointwise" + suffix, width, width, trunks);
        if (parameters.mixing_layers)
          {
            layer.mixing_in =
              pointwise("mixing_in" + suffix, width, width, trunks);
            layer.mixing_out =
              pointwise("mixing_out" + suffix, width, width, trunks);
          }
        layers.push_back(layer);
      }
    // Members with a shared trunk share the width of the projection as well:
    // all of them cost what one operator does.
    const long hidden =
      parameters.shared_trunk ? (4 * width + members - 1) / members : 4 * width;
    projection_in = parameters.shared_trunk ?
                      pointwise("projection_in", width, members * hidden, 1) :
                      pointwise("projection_in", width, hidden, members);
    projection_out =
      pointwise("projection_out", hidden, shape.out_channels, members);
  }



  double
  FourierOperator::period(const long size) const
  {
    return std::max((1. + chosen.padding) * double(size - 1), double(size));
  }



  torch::Tensor
  FourierOperator::without_some_channels(const torch::Tensor &v) const
  {
    if (chosen.dropout == 0. || !is_training())
      return v;
    std::vector<std::int64_t> shape(v.dim(), 1);
    shape[0] = v.size(0);
    shape[1] = v.size(1);
    return v * torch::dropout(torch::ones(shape, v.options()),
                              chosen.dropout,
                              true);
  }



  torch::Tensor
  FourierOperator::with_coordinates(const torch::Tensor &fields) const
  {
    const auto                 sizes    = fields.sizes().slice(2);
    std::vector<torch::Tensor> channels = {fields};
    for (unsigned int j = 0; j < sizes.size(); ++j)
      {
        std::vector<std::int64_t> shape(fields.dim(), 1),
          expanded(fields.sizes().begin(), fields.sizes().end());
        shape[2 + j] = sizes[j];
        expanded[1]  = 1;
        channels.push_back(torch::linspace(0., 1., sizes[j], fields.options())
                             .reshape(shape)
                             .expand(expanded));
      }
    return torch::cat(channels, 1);
  }



  torch::Tensor
  FourierOperator::forward(const OperatorInput &input)
  {
    if (input.mask.defined())
      throw InputError("the operator 'Fourier'",
                       "the shape of the mask",
                       shape_of(input.mask),
                       "no mask at all, since its modes are those of the whole "
                       "grid");
    auto v = lifting->forward(with_coordinates(input.fields));

    const auto                sizes = input.fields.sizes().slice(2).vec();
    std::vector<double>       periods;
    std::vector<std::int64_t> padding; // the last direction first
    for (const auto size : sizes)
      {
        periods.push_back(period(size));
        padding.insert(padding.begin(),
                       {0, std::lround(periods.back()) - size});
      }
    if (chosen.padding > 0)
      v = torch::constant_pad_nd(v, padding);

    for (unsigned int l = 0; l < layers.size(); ++l)
      {
        auto convolved = layers[l].convolution->forward(v, periods);
        if (chosen.mixing_layers)
          convolved = layers[l].mixing_out->forward(
            torch::gelu(layers[l].mixing_in->forward(convolved)));
        v = layers[l].pointwise->add_to(convolved, v);
        if (l + 1 < layers.size())
          v = torch::gelu(v);
        v = without_some_channels(v);
      }

    if (chosen.padding > 0)
      for (unsigned int j = 0; j < sizes.size(); ++j)
        v = v.slice(2 + j, 0, sizes[j]);
    const auto result =
      projection_out->forward(torch::gelu(projection_in->forward(v)));
    if (chosen.members == 1)
      return result;
    auto shape = result.sizes().vec();
    shape[1] /= chosen.members;
    shape.insert(shape.begin() + 1, chosen.members);
    return result.reshape(shape).transpose(0, 1);
  }



  void
  FourierOperator::register_type()
  {
    const Parameters                            defaults;
    static const OperatorRegistry::Registration registration(
      "Fourier",
      "Fourier neural operator, for fields on regular grids.",
      {{"width", defaults.width, 1, 4096, "Number of channels inside."},
       {"layers", defaults.layers, 1, 100, "Number of spectral convolutions."},
       {"modes",
        12,
        1,
        4096,
        "Frequencies kept in every direction, of either sign."},
       {"padding",
        defaults.padding,
        0.,
        1.,
        "Zeros beyond the grid, as a fraction of its extent; 0 for periodic "
        "fields."},
       {"mixing layers",
        defaults.mixing_layers,
        0,
        1,
        "Whether two pointwise layers follow every spectral convolution."},
       {"dropout",
        defaults.dropout,
        0.,
        0.9,
        "Fraction of channels that are dropped at random behind each layer in "
        "training."},
       {"members",
        defaults.members,
        1,
        256,
        "Number of operators side by side."},
       {"shared trunk",
        defaults.shared_trunk,
        0,
        1,
        "Whether members differ by their last two layers only."}},
      [](const OperatorShape &shape, const nlohmann::json &given) {
        Parameters parameters;
        parameters.width         = given["width"];
        parameters.layers        = given["layers"];
        parameters.modes         = std::vector<long>(shape.dim, given["modes"]);
        parameters.padding       = given["padding"];
        parameters.mixing_layers = given["mixing layers"];
        parameters.dropout       = given["dropout"];
        parameters.members       = given["members"];
        parameters.shared_trunk  = given["shared trunk"];
        return std::make_shared<FourierOperator>(shape, parameters);
      });
  }
} // namespace neuraldeal
