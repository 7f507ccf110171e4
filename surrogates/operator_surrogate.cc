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
    constexpr const char *name         = "neural operator";
    constexpr const char *default_loss = "relative L2";

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



    /** Of a sparse matrix, [N, N] → [N]. */
    torch::Tensor
    matrix_diagonal(const torch::Tensor &matrix)
    {
      const auto indices     = matrix.indices();
      const auto on_diagonal = indices[0].eq(indices[1]).nonzero().squeeze(1);
      return torch::zeros({matrix.size(0)}, matrix.values().options())
        .index_add_(0,
                    indices[0].index_select(0, on_diagonal),
                    matrix.values().index_select(0, on_diagonal));
    }



    torch::Device
    choose_device(const std::string &device)
    {
      check_choice(myself(), "device", device, {"auto", "cpu", "cuda"});
      const bool there = device != "cpu" && torch::cuda::is_available();
      if (device == "cuda" && !there)
        throw InputError(myself(),
                         "device",
                         device,
                         "auto or cpu, since LibTorch finds no CUDA device");
      return there ? torch::kCUDA : torch::kCPU;
    }



    /** The valid uncertainties, in a sentence. */
    std::string
    methods()
    {
      register_probabilistic_operators();
      return "none, " + ProbabilisticOperatorRegistry::names();
    }



    /** Those that fit the operators of @p type, with their defaults. */
    std::string
    methods_that_fit(const std::string &type)
    {
      std::string result = "none";
      for (const auto &[method, entry] :
           ProbabilisticOperatorRegistry::entries())
        if (make_probabilistic_operator(method, nlohmann::json::object(), name)
              ->fits(type))
          result += ", " + method;
      return result;
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
      {"uncertainty",
       "cross-fitted",
       0,
       0,
       "How the operator knows how sure it is: " + methods() +
         ". With \"none\" it is trained once."},
      {"uncertainty parameters",
       nlohmann::json::object(),
       0,
       0,
       "Parameters of that method, as a JSON object."},
      {"loss",
       default_loss,
       0,
       0,
       "Name of what the training minimises; the uncertainties but \"none\" "
       "have losses of their own."},
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
      {"data parallel",
       false,
       0,
       0,
       "Whether all processes train each operator together, with a part of "
       "every batch each. The model then depends on their number by rounding. "
       "Otherwise the operators of an uncertainty are shared out among them."},
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

    register_probabilistic_operators();
    const std::string uncertainty = parameters["uncertainty"];
    if (!is_probabilistic())
      {
        if (!parameters["uncertainty parameters"].empty())
          throw InputError(myself(),
                           "uncertainty parameters",
                           parameters["uncertainty parameters"].dump(),
                           "{}, since the uncertainty 'none' has none");
        return;
      }
    if (ProbabilisticOperatorRegistry::entries().count(uncertainty) == 0)
      throw InputError(myself(),
                       "uncertainty",
                       uncertainty,
                       "one of: " + methods());
    if (!make_method()->fits(type))
      throw InputError(myself(),
                       "uncertainty",
                       uncertainty,
                       "one of these, which fit the operator '" + type +
                         "': " + methods_that_fit(type));
    if (parameters["loss"] != default_loss)
      throw InputError(myself(),
                       "loss",
                       parameters["loss"],
                       std::string(default_loss) + " with the uncertainty '" +
                         uncertainty +
                         "', which has a loss of its own, or any loss with "
                         "the uncertainty 'none'");
    if (!parameters["loss parameters"].empty())
      throw InputError(myself(),
                       "loss parameters",
                       parameters["loss parameters"].dump(),
                       "{} with the uncertainty '" + uncertainty +
                         "', which has a loss of its own, or any with the "
                         "uncertainty 'none'");
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



  std::unique_ptr<ProbabilisticOperator>
  OperatorSurrogate::make_method() const
  {
    return make_probabilistic_operator(parameters["uncertainty"],
                                       parameters["uncertainty parameters"],
                                       inside("uncertainty parameters"));
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

    with_prior       = training.prior.count_nonzero().item<long>() > 0;
    const bool alone = !parameters["data parallel"] &&
                       !(is_probabilistic() && make_method()->is_shared_out());
    const Attempt attempt([&]() {
      if (communicator.rank == 0 || !alone)
        train(training, known, space, alone ? Communicator() : communicator);
    });
    attempt.throw_together(communicator);
    // What is computed after the training may be rounded otherwise on another
    // kind of processor.
    if (communicator.size > 1)
      {
        ModelFile file;
        if (communicator.rank == 0)
          save_operator(file);
        file.broadcast(communicator);
        if (communicator.rank > 0)
          load_operator(file);
      }
  }



  ProbabilisticOperator::Task
  OperatorSurrogate::make_task(const Snapshots     &training,
                               const torch::Tensor &known,
                               const FieldSpace    &space) const
  {
    ProbabilisticOperator::Task task;
    task.source     = myself();
    task.type       = parameters["operator"];
    task.parameters = parameters["operator parameters"];
    if (operator_has_parameter(task.type, "sensors") &&
        task.parameters.value("sensors", 0l) == 0)
      task.parameters["sensors"] = order.n_points();
    task.shape    = {long(ranges.size()), order.n_components(), order.dim()};
    task.training = operator_data(training, with_prior);
    task.training.target = order.to_channels(training.solution)
                             .to(task.training.input.fields.options());
    task.factor =
      1. - order.to_channels(known.to(torch::kFloat32).unsqueeze(0)).to(device);
    task.norm = quadratic_form(
      order.to_channels_matrix(space.mass).to(device, torch::kFloat32),
      myself(),
      "the mass matrix");

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
    if (points.size() > 1)
      {
        task.symmetries         = torch::stack(points).to(device);
        task.channel_symmetries = torch::stack(channels);
      }

    task.options = Trainer::parse(parameters["training"], inside("training"));
    if (!parameters["training"].contains("seed"))
      task.options.seed = parameters["seed"];
    task.options.batch_size =
      std::min<long>(task.options.batch_size, task.training.size());
    return task;
  }



  void
  OperatorSurrogate::train(const Snapshots     &training,
                           const torch::Tensor &known,
                           const FieldSpace    &space,
                           const Communicator  &communicator)
  {
    auto task          = make_task(training, known, space);
    task.communicator  = communicator;
    task.data_parallel = parameters["data parallel"];
    const auto untrained =
      std::make_shared<OperatorModel>(task.type,
                                      task.shape,
                                      task.parameters,
                                      with_prior,
                                      inside("operator parameters"),
                                      parameters["seed"]);
    untrained->to(device);
    auto scales = task.training;
    // The parameters have been scaled in double precision.
    const auto one      = torch::ones({1, long(ranges.size()), 1},
                                 task.training.input.fields.options());
    scales.input.fields = torch::cat({one, -one});
    untrained->set_scales(scales);
    untrained->set_factor(task.factor);

    // Whether it can read these points at all, said in a sentence.
    try
      {
        const torch::NoGradGuard no_gradients;
        untrained->eval();
        untrained->forward(task.training.slice(0, 1));
      }
    catch (const c10::Error &error)
      {
        throw InputError(myself(),
                         "operator",
                         parameters["operator"],
                         std::string("an operator that can read ") +
                           (order.is_grid() ? "this grid" : "these points"));
      }

    if (is_probabilistic())
      {
        method = make_method();
        method->fit(task);
      }
    else
      train_alone(task, untrained, space);
  }



  void
  OperatorSurrogate::train_alone(
    const ProbabilisticOperator::Task    &task,
    const std::shared_ptr<OperatorModel> &untrained,
    const FieldSpace                     &space)
  {
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
    model           = untrained;
    Trainer trainer(model,
                    task.training,
                    {},
                    loss,
                    task.symmetries,
                    task.options,
                    task.data_parallel ? task.communicator : Communicator());
    if (task.channel_symmetries.defined())
      trainer.set_channel_symmetries(task.channel_symmetries);
    trainer.run(task.communicator.rank == 0);
  }



  CorrectedMapSurrogate::Answer
  OperatorSurrogate::map(const Inputs &inputs) const
  {
    const torch::NoGradGuard no_gradients;
    const auto               data = operator_data(inputs, with_prior);
    // The coarse solution is added in double precision.
    const auto with_coarse = [&](const torch::Tensor &correction) {
      const auto rows =
        order.to_rows(correction.to(torch::kCPU, torch::kFloat64));
      return with_prior ? inputs.prior + rows : rows;
    };
    if (!is_probabilistic())
      return {with_coarse(model->correction(data)), torch::Tensor()};

    auto said = method->predict(data);
    for (auto *part : {&said.mean, &said.factor, &said.variance})
      if (part->defined())
        *part = part->to(torch::kCPU, torch::kFloat64);
    const auto squares = said.mean_square_distance(
      [this](const torch::Tensor &fields) {
        return field_space().norm(order.to_rows(fields)).square();
      },
      order.to_channels(matrix_diagonal(field_space().mass).unsqueeze(0)));
    return {with_coarse(with_prior ?
                          said.mean -
                            data.prior.to(torch::kCPU, torch::kFloat64) :
                          said.mean),
            squares.sqrt()};
  }



  void
  OperatorSurrogate::save_operator(ModelFile &file) const
  {
    file.metadata["coarse solution"] = with_prior;
    if (is_probabilistic())
      method->save(file);
    else
      model->save(file);
  }



  void
  OperatorSurrogate::load_operator(const ModelFile &file)
  {
    with_prior = file.get<bool>("coarse solution");
    const torch::TensorOptions options(torch::kFloat32);
    if (is_probabilistic())
      {
        method = make_method();
        method->load(file);
        method->to(options.device(device));
        return;
      }
    if (file.metadata.contains("uncertainty"))
      throw FileError(file.filename,
                      "its operator has an uncertainty, but that of the "
                      "surrogate '" +
                        std::string(name) + "' is 'none'");
    model = OperatorModel::load(file);
    if (model->with_prior != with_prior)
      throw FileError(file.filename,
                      "its operator does not fit to its inputs and fields");
    model->to(device);
    model->eval();
  }



  void
  OperatorSurrogate::save_map(ModelFile &file) const
  {
    save_operator(file);
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
    const long d     = ranges.size();
    if (parameter_center.numel() != d || parameter_scale.numel() != d ||
        logarithmic.numel() != d)
      throw FileError(file.filename, "its scales do not fit to its inputs");

    // Whether all of it fits together is seen when it is asked.
    try
      {
        load_operator(file);
        Inputs inputs;
        inputs.parameters =
          torch::where(logarithmic, parameter_center.exp(), parameter_center)
            .reshape({1, d});
        inputs.prior      = torch::zeros({1, n_values()}, torch::kFloat64);
        const auto answer = map(inputs);
        if (answer.field.sizes() == inputs.prior.sizes())
          return;
      }
    catch (const FileError &)
      {
        throw;
      }
    catch (const std::exception &)
      {}
    throw FileError(file.filename,
                    "its operator does not fit to its inputs and fields");
  }
} // namespace neuraldeal
