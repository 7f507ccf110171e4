// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/operators/operator_model.h>

namespace neuraldeal
{
  namespace
  {
    /** Apply @p map to every tensor that is there. */
    template <typename Map>
    OperatorData
    transform(const OperatorData &data, const Map &map)
    {
      const auto apply = [&](const torch::Tensor &tensor) {
        return tensor.defined() ? map(tensor) : tensor;
      };
      OperatorData result;
      result.input.fields = apply(data.input.fields);
      // Points that all samples share have two indices.
      const auto &points = data.input.points;
      result.input.points =
        points.defined() && points.dim() == 2 ? points : apply(points);
      result.input.mask = apply(data.input.mask);
      result.prior      = apply(data.prior);
      result.target     = apply(data.target);
      return result;
    }



    /** Root mean square of every channel, never zero. */
    torch::Tensor
    root_mean_square(const torch::Tensor &fields)
    {
      return fields.transpose(0, 1)
        .flatten(1)
        .square()
        .mean(1)
        .sqrt()
        .clamp_min(1e-30);
    }
  } // namespace



  torch::Tensor
  by_channel(const torch::Tensor &values, const torch::Tensor &fields)
  {
    std::vector<std::int64_t> shape(fields.dim(), 1);
    shape[1] = -1;
    return values.reshape(shape);
  }



  OperatorData
  OperatorData::select(const torch::Tensor &numbers) const
  {
    return transform(*this, [&](const torch::Tensor &tensor) {
      return tensor.index_select(0, numbers);
    });
  }



  OperatorData
  OperatorData::slice(const long begin, const long end) const
  {
    return transform(*this, [&](const torch::Tensor &tensor) {
      return tensor.slice(0, begin, end);
    });
  }



  OperatorData
  OperatorData::turned(const torch::Tensor &points,
                       const torch::Tensor &channels) const
  {
    const auto turn = [&](const torch::Tensor &fields) {
      if (!fields.defined())
        return fields;
      const auto rows = fields.flatten(2);
      return rows
        .gather(
          2, (points.dim() == 1 ? points : points.unsqueeze(1)).expand_as(rows))
        .reshape(fields.sizes());
    };
    auto result         = *this;
    result.input.fields = turn(input.fields);
    if (channels.defined())
      {
        const auto rows = result.input.fields.flatten(2);
        result.input.fields =
          rows
            .gather(1,
                    (channels.dim() == 1 ? channels.unsqueeze(0) : channels)
                      .unsqueeze(2)
                      .expand_as(rows))
            .reshape(input.fields.sizes());
      }
    if (input.mask.defined())
      result.input.mask = turn(input.mask.unsqueeze(1)).squeeze(1);
    result.prior  = turn(prior);
    result.target = turn(target);
    return result;
  }



  OperatorData
  OperatorData::to(const torch::TensorOptions &options) const
  {
    auto result = transform(*this, [&](const torch::Tensor &tensor) {
      return tensor.to(options);
    });
    if (input.points.defined())
      result.input.points = input.points.to(options);
    // What is not zero could be so in a smaller type.
    if (input.mask.defined())
      result.input.mask =
        input.mask.to(options.dtype(input.mask.scalar_type()));
    return result;
  }



  OperatorModel::OperatorModel(const std::string    &type,
                               const OperatorShape  &shape,
                               const nlohmann::json &parameters,
                               const bool            with_prior,
                               const std::string    &source,
                               const std::uint64_t   seed)
    : type(type)
    , shape(shape)
    , choices(parameters)
    , with_prior(with_prior)
  {
    auto with_channels = shape;
    if (with_prior)
      with_channels.in_channels += shape.out_channels;
    network = register_module(
      "network", make_operator(type, with_channels, parameters, source, seed));
    input_mean =
      register_buffer("input_mean", torch::zeros({shape.in_channels}));
    input_scale =
      register_buffer("input_scale", torch::ones({shape.in_channels}));
    prior_scale =
      register_buffer("prior_scale", torch::ones({shape.out_channels}));
    output_scale =
      register_buffer("output_scale", torch::ones({shape.out_channels}));
    factor = register_buffer("factor", torch::ones({1}));
  }



  void
  OperatorModel::set_scales(const OperatorData &data)
  {
    const torch::NoGradGuard no_gradients;
    const auto               counted = [&](const torch::Tensor &fields) {
      // Masked points hold anything: [n, c, …] becomes [1, c, points].
      return data.input.mask.defined() ?
                             fields.flatten(2)
                 .transpose(1, 2)
                 .index({data.input.mask.flatten(1).to(torch::kBool)})
                 .t()
                 .unsqueeze(0) :
                             fields;
    };
    const auto fields = counted(data.input.fields);
    input_mean.copy_(fields.transpose(0, 1).flatten(1).mean(1));
    input_scale.copy_(
      root_mean_square(fields - by_channel(input_mean, fields)));
    if (with_prior)
      prior_scale.copy_(root_mean_square(counted(data.prior)));
    const auto corrections =
      with_prior ? data.target - data.prior : data.target;
    output_scale.copy_(root_mean_square(counted(corrections)));
    network->look_at_outputs(corrections /
                             by_channel(output_scale, corrections));
  }



  void
  OperatorModel::set_factor(const torch::Tensor &factor_)
  {
    factor.set_data(factor_.to(factor.options()).clone());
  }



  torch::Tensor
  OperatorModel::forward(const OperatorData &data)
  {
    const auto sum = correction(data);
    return with_prior ? data.prior + sum : sum;
  }



  torch::Tensor
  OperatorModel::correction(const OperatorData &data)
  {
    const auto &fields = data.input.fields;
    auto        input  = data.input;
    input.fields       = (fields - by_channel(input_mean, fields)) /
                   by_channel(input_scale, fields);
    if (with_prior)
      input.fields = torch::cat(
        {input.fields, data.prior / by_channel(prior_scale, data.prior)}, 1);
    const auto output = network->forward(input);
    // Whatever the precision inside, sums are made in that of the data.
    return output.to(fields.scalar_type()) * by_channel(output_scale, fields) *
           factor;
  }



  std::vector<std::pair<std::string, torch::Tensor>>
  OperatorModel::state() const
  {
    std::vector<std::pair<std::string, torch::Tensor>> result;
    for (const auto &item : named_parameters())
      result.emplace_back(item.key(), item.value());
    for (const auto &item : named_buffers())
      result.emplace_back(item.key(), item.value());
    return result;
  }



  void
  OperatorModel::save(ModelFile &file, const std::string &name) const
  {
    file.metadata[name] = {{"type", type},
                           {"in channels", shape.in_channels},
                           {"out channels", shape.out_channels},
                           {"dimension", shape.dim},
                           {"coarse solution", with_prior},
                           {"parameters", choices}};
    for (const auto &[part, tensor] : state())
      file.tensors[name + "." + part] =
        tensor.detach().to(torch::kCPU).contiguous().clone();
  }



  std::shared_ptr<OperatorModel>
  OperatorModel::load(const ModelFile &file, const std::string &name)
  {
    const auto    description = file.get<nlohmann::json>(name);
    OperatorShape shape;
    std::string   type;
    bool          with_prior;
    try
      {
        shape      = {description.at("in channels").get<long>(),
                      description.at("out channels").get<long>(),
                      description.at("dimension").get<long>()};
        type       = description.at("type").get<std::string>();
        with_prior = description.at("coarse solution").get<bool>();
      }
    catch (const nlohmann::json::exception &)
      {
        throw FileError(file.filename,
                        "what it says of its operator is not complete");
      }
    auto result = std::make_shared<OperatorModel>(
      type,
      shape,
      description.value("parameters", nlohmann::json::object()),
      with_prior,
      file.filename,
      0);
    const torch::NoGradGuard no_gradients;
    for (auto [part, tensor] : result->state())
      {
        const auto &stored = file.tensor(name + "." + part);
        if (part != "factor" && stored.sizes() != tensor.sizes())
          throw FileError(file.filename,
                          "its tensor " + name + "." + part +
                            " has another shape than its operator");
        // Of the type that it was saved in.
        tensor.set_data(stored.clone());
      }
    return result;
  }



  torch::Tensor
  symmetric_mean(OperatorModel       &model,
                 const OperatorData  &data,
                 const torch::Tensor &symmetries)
  {
    torch::Tensor sum;
    for (long g = 0; g < symmetries.size(0); ++g)
      {
        const auto answer = model.forward(data.turned(symmetries[g]));
        const auto rows   = answer.flatten(2);
        const auto back   = torch::empty_like(rows)
                            .index_copy_(2, symmetries[g], rows)
                            .reshape(answer.sizes());
        sum = sum.defined() ? sum + back : back;
      }
    return sum / double(symmetries.size(0));
  }
} // namespace neuraldeal
