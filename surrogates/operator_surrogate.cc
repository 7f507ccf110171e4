// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/operator_surrogate.h>
#include <neuraldeal/surrogates/training/schedules.h>
#include <neuraldeal/surrogates/training/trainer.h>
#include <torch/cuda.h>

#include <algorithm>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *name = "neural operator";

    /** Who complains of an entry inside of the entry @p entry. */
    std::string
    inside(const std::string &entry)
    {
      return std::string("the entry '") + entry + "' of the surrogate '" +
             name + "'";
    }



    std::string
    myself()
    {
      return std::string("the surrogate '") + name + "'";
    }



    torch::Device
    choose_device(const std::string &device)
    {
      if (device != "auto" && device != "cpu" && device != "cuda")
        throw InputError(myself(), "device", device, "one of: auto, cpu, cuda");
      const bool there = device != "cpu" && torch::cuda::is_available();
      if (device == "cuda" && !there)
        throw InputError(myself(),
                         "device",
                         device,
                         "auto or cpu, since LibTorch finds no CUDA device");
      return there ? torch::kCUDA : torch::kCPU;
    }



  } // namespace



  void
  OperatorSurrogate::register_type()
  {
    const std::vector<ParameterDescription> own = {
      {"operator",
       "attention",
       0,
       0,
       "Name of the neural operator; some need a regular grid."},
      {"operator parameters",
       nlohmann::json::object(),
       0,
       0,
       "Parameters of the operator, as a JSON object."},
      {"training",
       nlohmann::json::object(),
       0,
       0,
       "Parameters of the training, as a JSON object."},
      {"loss", "relative L2", 0, 0, "Name of what the training minimises."},
      {"loss parameters",
       nlohmann::json::object(),
       0,
       0,
       "Parameters of the loss, as a JSON object."},
      {"training share",
       0.8,
       0.1,
       0.95,
       "Share of the training snapshots that the operator is trained on; the "
       "others say what it leaves."},
      {"seed", 1, 0, 1e15, "Of everything random."},
      {"device",
       "auto",
       0,
       0,
       "Where the operator works: cpu, cuda, or auto for cuda if there is."}};
    static const SurrogateRegistry::Registration registration(
      name,
      "A neural operator from the parameters and the coarse solution to the "
      "field, and kernel regression of what it leaves.",
      joined(own, remainder_parameters()),
      [](const std::vector<InputRange> &inputs,
         const nlohmann::json          &parameters) {
        return std::make_unique<OperatorSurrogate>(inputs, parameters);
      });
  }



  OperatorSurrogate::OperatorSurrogate(const std::vector<InputRange> &inputs,
                                       const nlohmann::json &parameters)
    : CorrectedMapSurrogate(name,
                            inputs,
                            parameters,
                            parameters.at("training share"),
                            parameters.at("seed"))
    , device(choose_device(parameters.at("device")))
  {
    // Mistakes are said before anything is solved.
    if (inputs.empty())
      throw InputError(myself(),
                       "the number of parameters of the problem",
                       "0",
                       "1 at least");
    register_operators();
    const std::string type = parameters["operator"];
    const auto &entry      = OperatorRegistry::find(myself(), "operator", type);
    if (type == "POD DeepONet")
      throw InputError(myself(),
                       "operator",
                       type,
                       "another operator, since its basis cannot be set here");
    complete_parameters(entry.parameters,
                        parameters["operator parameters"],
                        inside("operator parameters"));
    const auto training =
      Trainer::parse(parameters["training"], inside("training"));
    if (training.patience != 0)
      throw InputError(inside("training"),
                       "patience",
                       std::to_string(training.patience),
                       "0, since no snapshots are held out from the training");
    make_schedule(training.schedule,
                  training.schedule_parameters,
                  inside("training"),
                  {training.learning_rate, training.epochs * 1000000, 1000000});
    register_losses();
    const auto &loss = LossRegistry::find(myself(), "loss", parameters["loss"]);
    complete_parameters(loss.parameters,
                        parameters["loss parameters"],
                        inside("loss parameters"));
  }



  torch::Tensor
  OperatorSurrogate::transformed(const torch::Tensor &given) const
  {
    return torch::where(logarithmic, given.log(), given);
  }



  OperatorData
  OperatorSurrogate::operator_data(const Inputs &inputs,
                                   const bool    with_prior) const
  {
    const auto scaled =
      (transformed(inputs.parameters) - parameter_center) / parameter_scale;
    const auto single = torch::TensorOptions(torch::kFloat32).device(device);

    OperatorData result;
    const auto   channels = order.to_channels(inputs.prior);
    if (with_prior)
      result.prior = channels.to(single);
    // Constant channels take no memory before a batch is gathered.
    auto shape = channels.sizes().vec();
    shape[1]   = ranges.size();
    std::vector<std::int64_t> ones(shape.size(), 1);
    ones[0]             = shape[0];
    ones[1]             = shape[1];
    result.input.fields = scaled.to(single).reshape(ones).expand(shape);
    if (!order.is_grid())
      result.input.points = order.unit_points.to(single);
    return result;
  }



  std::shared_ptr<OperatorModel>
  OperatorSurrogate::make_model(const bool with_prior) const
  {
    const std::string type    = parameters["operator"];
    auto              choices = parameters["operator parameters"];
    if (operator_has_parameter(type, "sensors") && choices.value("sensors", 0l) == 0)
      choices["sensors"] = order.n_points();
    const OperatorShape shape  = {long(ranges.size()),
                                  order.n_components(),
                                  order.dim()};
    auto                result = std::make_shared<OperatorModel>(type,
                                                  shape,
                                                  choices,
                                                  with_prior,
                                                  inside("operator parameters"),
                                                  parameters["seed"]);
    result->to(device);
    return result;
  }



  void
  OperatorSurrogate::fit_map(const Snapshots     &training,
                             const torch::Tensor &known,
                             const FieldSpace    &space,
                             const Communicator  &communicator)
  {
    order                  = PointOrder(space.points, myself());
    const std::string type = parameters["operator"];
    if (type == "Fourier" && !order.is_grid())
      throw InputError(myself(),
                       "operator",
                       type,
                       "an operator for points, since the points of the "
                       "fields are no regular grid");

    // The same scale for all parameters that a symmetry exchanges.
    const long d = ranges.size();
    logarithmic  = torch::zeros({d}, torch::kBool);
    for (long i = 0; i < d; ++i)
      logarithmic[i] = ranges[i].logarithmic;
    const auto own = logarithmic;
    for (const auto &symmetry : space.symmetries)
      logarithmic =
        logarithmic.logical_and(own.index_select(0, symmetry.parameters));
    std::vector<torch::Tensor> images = {transformed(training.parameters)};
    for (const auto &symmetry : space.symmetries)
      images.push_back(
        transformed(training.parameters.index_select(1, symmetry.parameters)));
    const auto all   = torch::cat(images);
    parameter_center = all.mean(0);
    parameter_scale  = all.std(0, false);
    // A parameter that has never changed
    parameter_scale = torch::where(parameter_scale > 0.,
                                   parameter_scale,
                                   torch::ones_like(parameter_scale));

    // One process trains: then the model is the same on any number of them.
    const bool    with_prior = training.prior.count_nonzero().item<long>() > 0;
    const Attempt attempt([&]() {
      if (communicator.rank == 0)
        train(training, known, space, with_prior);
    });
    attempt.throw_together(communicator);

    if (communicator.rank > 0)
      {
        model = make_model(with_prior);
        // (a buffer of the right shape)
        model->set_factor(
          order.to_channels(known.to(torch::kFloat32).unsqueeze(0)));
        model->eval();
      }
    if (communicator.size > 1)
      {
        const torch::NoGradGuard   no_gradients;
        std::vector<torch::Tensor> state = model->parameters();
        for (const auto &buffer : model->buffers())
          state.push_back(buffer);
        for (auto &tensor : state)
          {
            auto value = tensor.detach()
                           .to(torch::kCPU, torch::kFloat64)
                           .contiguous()
                           .clone();
            if (communicator.rank > 0)
              value.zero_();
            communicator.sum(value);
            tensor.copy_(value);
          }
      }
  }



  void
  OperatorSurrogate::train(const Snapshots     &training,
                           const torch::Tensor &known,
                           const FieldSpace    &space,
                           const bool           with_prior)
  {
    auto data = operator_data(training, with_prior);
    data.target =
      order.to_channels(training.solution).to(data.input.fields.options());

    model       = make_model(with_prior);
    auto scales = data;
    // The parameters have been scaled in double precision.
    const auto one =
      torch::ones({1, long(ranges.size()), 1}, data.input.fields.options());
    scales.input.fields = torch::cat({one, -one});
    model->set_scales(scales);
    model->set_factor(
      1. - order.to_channels(known.to(torch::kFloat32).unsqueeze(0)));

    LossContext context;
    if (order.is_grid() && parameters["loss"] == "relative H1")
      context.spacing = order.spacing;
    else
      context.mass =
        order.to_channels_matrix(space.mass).to(device, torch::kFloat32);
    const auto loss = make_loss(parameters["loss"],
                                parameters["loss parameters"],
                                inside("loss parameters"),
                                context);

    std::vector<torch::Tensor> points, channels;
    for (const auto &symmetry : space.symmetries)
      {
        const auto permutation = order.point_permutation(symmetry.points);
        if (permutation.defined())
          {
            points.push_back(permutation);
            channels.push_back(symmetry.parameters);
          }
      }

    // Whether it can read these points at all, said in a sentence.
    try
      {
        const torch::NoGradGuard no_gradients;
        model->eval();
        model->forward(data.slice(0, 1));
      }
    catch (const c10::Error &error)
      {
        throw InputError(myself(),
                         "operator",
                         parameters["operator"],
                         std::string("an operator that can read ") +
                           (order.is_grid() ? "this grid" : "these points"));
      }

    auto options = Trainer::parse(parameters["training"], inside("training"));
    if (!parameters["training"].contains("seed"))
      options.seed = parameters["seed"];
    options.batch_size        = std::min<long>(options.batch_size, data.size());
    const bool has_symmetries = points.size() > 1;
    Trainer    trainer(model,
                    data,
                    {},
                    loss,
                    has_symmetries ? torch::stack(points).to(device) :
                                        torch::Tensor(),
                    options);
    if (has_symmetries)
      trainer.set_channel_symmetries(torch::stack(channels));
    trainer.run(true);
  }



  torch::Tensor
  OperatorSurrogate::map(const Inputs &inputs) const
  {
    const auto correction =
      model->correction(operator_data(inputs, model->with_prior));
    const auto rows =
      order.to_rows(correction.to(torch::kCPU, torch::kFloat64));
    return model->with_prior ? inputs.prior + rows : rows;
  }



  void
  OperatorSurrogate::save_map(ModelFile &file) const
  {
    model->save(file);
    file.tensors["points.order"]           = order.order;
    file.tensors["points.unit"]            = order.unit_points;
    file.tensors["points.grid"]            = order.grid;
    file.tensors["parameters.center"]      = parameter_center;
    file.tensors["parameters.scale"]       = parameter_scale;
    file.tensors["parameters.logarithmic"] = logarithmic.to(torch::kUInt8);
  }



  void
  OperatorSurrogate::load_map(const ModelFile &file)
  {
    const auto numbers = file.tensor("points.order"),
               points  = file.tensor("points.unit"),
               grid    = file.tensor("points.grid");
    if (numbers.numel() != n_values() || points.dim() != 2 ||
        numbers.numel() % std::max<long>(points.size(0), 1) != 0 ||
        (grid.numel() > 0 && grid.prod().item<long>() != points.size(0)) ||
        !torch::equal(std::get<0>(numbers.sort()),
                      torch::arange(n_values(), torch::kInt64)))
      throw FileError(file.filename, "its points do not fit to its fields");
    order            = PointOrder(numbers, points, grid);
    parameter_center = file.tensor("parameters.center");
    parameter_scale  = file.tensor("parameters.scale");
    logarithmic      = file.tensor("parameters.logarithmic").to(torch::kBool);
    model            = OperatorModel::load(file);
    if (model->shape.in_channels != long(ranges.size()) ||
        parameter_center.numel() != long(ranges.size()) ||
        parameter_scale.numel() != long(ranges.size()) ||
        logarithmic.numel() != long(ranges.size()) ||
        model->shape.out_channels != order.n_components())
      throw FileError(file.filename,
                      "its operator does not fit to its inputs and fields");
    model->to(device);
    model->eval();
  }
} // namespace neuraldeal
