// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/operators/attention_operator.h>
#include <neuraldeal/surrogates/operators/point_fields.h>

#include <cmath>

namespace neuraldeal
{
  namespace
  {
    /** The parts in which neighbours on a grid may count. */
    std::vector<std::pair<std::string, bool>>
    local_parts(const AttentionOperator::Parameters &parameters)
    {
      return {{"local convolution", parameters.local_convolution},
              {"local network", parameters.local_network}};
    }
  } // namespace



  AttentionOperator::AttentionOperator(const OperatorShape &shape,
                                       const Parameters    &parameters)
    : shape(shape)
    , settings(parameters)
  {
    for (const auto &[name, is_local] : local_parts(parameters))
      if (is_local && shape.dim > 3)
        throw InputError("attention",
                         name,
                         "true",
                         "false in more than three dimensions");

    SliceAttention::Parameters attention;
    attention.width             = parameters.width;
    attention.heads             = parameters.heads;
    attention.slices            = parameters.slices;
    attention.dropout           = parameters.dropout;
    attention.noise             = parameters.slice_noise;
    attention.point_temperature = parameters.point_temperature;
    attention.convolution_dim   = parameters.local_convolution ? shape.dim : 0;

    const long width  = parameters.width;
    const long trunks = parameters.shared_trunk ? 1 : parameters.members;
    attention.members = trunks;
    const long hidden =
      std::max(1l, std::lround(parameters.mlp_ratio * double(width)));
    lifting =
      register_module("lifting",
                      std::make_shared<FeatureNetwork>(shape.in_channels +
                                                         shape.dim,
                                                       width,
                                                       2 * width,
                                                       1,
                                                       Activation::gelu,
                                                       true,
                                                       trunks));
    for (long l = 0; l < parameters.layers; ++l)
      {
        const auto suffix = "_" + std::to_string(l);
        const long members =
          l + 1 == parameters.layers ? parameters.members : trunks;
        Layer layer;
        layer.attention =
          register_module("attention" + suffix,
                          std::make_shared<SliceAttention>(attention));
        if (parameters.local_network)
          {
            layer.network_in =
              register_module("network_in" + suffix,
                              std::make_shared<FeatureConvolution>(
                                width, hidden, shape.dim, trunks));
            layer.network_out = register_module(
              "network_out" + suffix,
              std::make_shared<FeatureLinear>(hidden, width, false, members));
          }
        else
          layer.network = register_module(
            "network" + suffix,
            std::make_shared<FeatureNetwork>(
              width, width, hidden, 1, Activation::gelu, false, members));
        layers.push_back(layer);
      }
    projection =
      register_module("projection",
                      std::make_shared<FeatureLinear>(
                        width, shape.out_channels, true, parameters.members));
  }



  torch::Tensor
  AttentionOperator::forward(const OperatorInput &input)
  {
    const PointFields fields(input, shape, "attention");
    for (const auto &[name, is_local] : local_parts(settings))
      if (is_local && fields.grid.empty())
        throw InputError("attention",
                         name,
                         "true",
                         "false for fields at points, which have no "
                         "neighbours");

    // Sums of many layers are kept in the precision of the data.
    auto v =
      lifting->forward(fields.features, true).to(input.fields.scalar_type());
    for (const auto &layer : layers)
      {
        // Where members part, they still read the same.
        const bool shared = settings.shared_trunk && &layer == &layers.back();
        v                 = v + layer.attention->forward(normalized_features(v),
                                         fields.mask,
                                         fields.grid);
        auto y            = normalized_features(v);
        if (layer.network)
          y = layer.network->forward(y, shared);
        else
          {
            if (fields.mask.defined())
              y = y.masked_fill(fields.mask.logical_not().unsqueeze(2), 0.);
            y = layer.network_out->forward(
              at::gelu(layer.network_in->forward(y, fields.grid)), shared);
          }
        v = v + y;
      }
    return fields.like_input(projection->forward(normalized_features(v)));
  }



  void
  AttentionOperator::register_type()
  {
    const Parameters                            defaults;
    static const OperatorRegistry::Registration registration(
      "attention",
      "Transformer over learned slices, for fields at any points and on grids.",
      {{"width",
        defaults.width,
        1,
        4096,
        "Number of features of a point, a multiple of heads."},
       {"layers", defaults.layers, 1, 100, "Number of attention layers."},
       {"heads", defaults.heads, 1, 256, "Number of attentions side by side."},
       {"slices",
        defaults.slices,
        1,
        4096,
        "Number of slices that the points are assigned to."},
       {"MLP ratio",
        defaults.mlp_ratio,
        0.1,
        16.,
        "Hidden features of the network in every layer, as a multiple of "
        "width."},
       {"dropout",
        defaults.dropout,
        0.,
        0.9,
        "Fraction of attention that is dropped at random in training."},
       {"local convolution",
        defaults.local_convolution,
        0,
        1,
        "Whether slices are chosen by a point and its neighbours; for grids."},
       {"local network",
        defaults.local_network,
        0,
        1,
        "Whether the networks between see a point and its neighbours; for "
        "grids."},
       {"slice noise",
        defaults.slice_noise,
        0,
        1,
        "Whether the choice of slices is disturbed at random in training."},
       {"point temperature",
        defaults.point_temperature,
        0,
        1,
        "Whether each point has its own sharpness of the choice of slices."},
       {"members",
        defaults.members,
        1,
        256,
        "Number of operators side by side."},
       {"shared trunk",
        defaults.shared_trunk,
        0,
        1,
        "Whether members differ by the last network and projection only."}},
      [](const OperatorShape &shape, const nlohmann::json &given) {
        Parameters parameters;
        parameters.width             = given["width"];
        parameters.layers            = given["layers"];
        parameters.heads             = given["heads"];
        parameters.slices            = given["slices"];
        parameters.mlp_ratio         = given["MLP ratio"];
        parameters.dropout           = given["dropout"];
        parameters.local_convolution = given["local convolution"];
        parameters.local_network     = given["local network"];
        parameters.slice_noise       = given["slice noise"];
        parameters.point_temperature = given["point temperature"];
        parameters.members           = given["members"];
        parameters.shared_trunk      = given["shared trunk"];
        return std::make_shared<AttentionOperator>(shape, parameters);
      });
  }
} // namespace neuraldeal
