// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/progress.h>
#include <neuraldeal/surrogates/random.h>
#include <neuraldeal/surrogates/training/schedules.h>
#include <neuraldeal/surrogates/training/trainer.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <cmath>
#include <limits>

namespace neuraldeal
{
  namespace
  {
    /** η of every step, [n]. */
    torch::Tensor
    learning_rates(const Trainer::Parameters &parameters,
                   const long                 steps_per_epoch)
    {
      const long n_steps = parameters.epochs * steps_per_epoch;
      const auto schedule =
        make_schedule(parameters.schedule,
                      parameters.schedule_parameters,
                      "the training's parameters",
                      {parameters.learning_rate, n_steps, steps_per_epoch});
      auto result = torch::empty({n_steps}, torch::kFloat64);
      for (long step = 0; step < n_steps; ++step)
        result[step] = schedule(step);
      return result;
    }



    AdamW::Options
    optimizer_options(const Trainer::Parameters &parameters)
    {
      AdamW::Options options;
      options.weight_decay = parameters.weight_decay;
      options.clip         = parameters.clip;
      options.average      = parameters.average;
      return options;
    }



    std::unique_ptr<LossScaler>
    make_scaler(const Trainer::Parameters  &parameters,
                const torch::TensorOptions &type)
    {
      if (parameters.precision != "half" && parameters.loss_scale <= 0)
        return nullptr;
      LossScaler::Options options;
      options.interval = parameters.scale_interval;
      if (parameters.loss_scale > 0)
        options.initial =
          std::exp2(std::round(std::log2(parameters.loss_scale)));
      return std::make_unique<LossScaler>(type, options);
    }
  } // namespace



  std::vector<ParameterDescription>
  Trainer::descriptions()
  {
    const Parameters defaults;
    return {
      {"epochs", defaults.epochs, 1, 1e7, "Runs through all samples."},
      {"batch size", defaults.batch_size, 1, 1e6, "Samples of a step."},
      {"learning rate",
       defaults.learning_rate,
       1e-12,
       10.,
       "The largest of the schedule."},
      {"weight decay", defaults.weight_decay, 0., 1., "That of AdamW."},
      {"clip",
       defaults.clip,
       0.,
       1e30,
       "Largest norm of a gradient; 0 for any."},
      {"average",
       defaults.average,
       0.,
       0.999999,
       "Factor of the exponential moving average of the weights, a step; 0 for "
       "none."},
      {"schedule",
       defaults.schedule,
       0,
       0,
       "Name of the learning rate's schedule."},
      {"schedule parameters",
       defaults.schedule_parameters,
       0,
       0,
       "Parameters of the schedule."},
      {"precision",
       defaults.precision,
       0,
       0,
       "Of products of matrices: single, tf32, bfloat16 or half (float16, with "
       "scaled losses)."},
      {"loss scale",
       defaults.loss_scale,
       0.,
       1073741824.,
       "First factor of the loss, rounded to a power of two; 0 for 65536 with "
       "half precision and none otherwise."},
      {"scale interval",
       defaults.scale_interval,
       1,
       1e9,
       "Steps with finite gradients after which that factor is doubled."},
      {"patience",
       defaults.patience,
       0,
       1e7,
       "Epochs without a better held-out loss after which the training stops; "
       "0 for never."},
      {"check interval",
       defaults.check_interval,
       1,
       1e7,
       "Epochs from one held-out loss to the next."},
      {"bucket size",
       defaults.bucket_size,
       1e-6,
       1e6,
       "MB of gradients that are added up over ranks at once; small networks "
       "take smaller pieces."},
      {"seed", defaults.seed, 0, 1e15, "Of everything random."}};
  }



  Trainer::Parameters
  Trainer::parse(const nlohmann::json &given, const std::string &source)
  {
    const auto all = complete_parameters(descriptions(), given, source);
    Parameters result;
    result.epochs              = all["epochs"];
    result.batch_size          = all["batch size"];
    result.learning_rate       = all["learning rate"];
    result.weight_decay        = all["weight decay"];
    result.clip                = all["clip"];
    result.average             = all["average"];
    result.schedule            = all["schedule"];
    result.schedule_parameters = all["schedule parameters"];
    result.precision           = all["precision"];
    result.patience            = all["patience"];
    result.check_interval      = all["check interval"];
    result.loss_scale          = all["loss scale"];
    result.scale_interval      = all["scale interval"];
    result.bucket_size         = all["bucket size"];
    result.seed                = all["seed"];
    check_choice(source,
                 "precision",
                 result.precision,
                 {"single", "tf32", "bfloat16", "half"});
    return result;
  }



  Trainer::Trainer(const std::shared_ptr<OperatorModel> &model,
                   const OperatorData                   &training,
                   const OperatorData                   &held_out,
                   const std::shared_ptr<const Loss>    &loss,
                   const torch::Tensor                  &symmetries,
                   const Parameters                     &parameters,
                   const Communicator                   &communicator)
    : model(model)
    , training(training)
    , held_out(held_out)
    , loss(loss)
    , symmetries(symmetries)
    , parameters(parameters)
    , communicator(communicator)
    , steps_per_epoch((training.size() + parameters.batch_size - 1) /
                      parameters.batch_size)
    , weights(*model)
    , optimizer(weights.values(),
                learning_rates(parameters, steps_per_epoch),
                optimizer_options(parameters))
    , scaler(make_scaler(parameters, weights.values().options()))
    , gradient_sum(weights,
                   communicator,
                   1e6 * parameters.bucket_size,
                   parameters.overlap)
    , captured([this]() { step(); },
               weights.values().device(),
               parameters.capture && communicator.size == 1 &&
                 model->is_recordable())
  {
    const auto first_of = [&](const long rank) {
      return rank * parameters.batch_size / communicator.size;
    };
    batch_begin      = first_of(communicator.rank);
    const long share = first_of(communicator.rank + 1) - batch_begin;
    const auto whole = weights.values().options().dtype(torch::kInt64);
    batch            = torch::zeros({share}, whole);
    turns            = torch::zeros({share}, whole);
    loss_sum         = torch::zeros({1}, weights.values().options());
    if (parameters.precision == "half")
      check_half_precision();
  }



  void
  Trainer::check_half_precision()
  {
    const auto sample = training.slice(0, 1);
    const auto runs   = [&](const bool half) {
      torch::Tensor prediction;
      {
        const compat::Autocast autocast(weights.values().device(),
                                        half,
                                        torch::kHalf);
        prediction = model->forward(sample);
      }
      loss->value(prediction, sample.target).backward();
      weights.gradients().zero_();
    };
    runs(false);
    try
      {
        runs(true);
      }
    catch (const c10::Error &error)
      {
        throw InputError(
          "the training's parameters",
          "precision",
          "half",
          "single, tf32 or bfloat16: this version of LibTorch cannot compute "
          "in float16 on the device '" +
            weights.values().device().str() + "', it says \"" +
            error.what_without_backtrace() + "\"");
      }
  }



  void
  Trainer::set_channel_symmetries(const torch::Tensor &channels)
  {
    TORCH_INTERNAL_ASSERT(symmetries.defined() &&
                          channels.size(0) == symmetries.size(0) &&
                          channels.size(1) == training.input.fields.size(1));
    channel_symmetries = channels.to(symmetries.device());
  }



  torch::Tensor
  Trainer::batch_loss(const OperatorData &data)
  {
    torch::Tensor prediction;
    {
      const bool             half = parameters.precision == "half";
      const compat::Autocast autocast(weights.values().device(),
                                      half ||
                                        parameters.precision == "bfloat16",
                                      half ? torch::kHalf : torch::kBFloat16);
      prediction = model->forward(data);
    }
    return loss->value(prediction, data.target);
  }



  void
  Trainer::backward()
  {
    if (batch.size(0) == 0)
      return;
    auto data = training.select(batch);
    if (symmetries.defined())
      data = data.turned(symmetries.index_select(0, turns),
                         channel_symmetries.defined() ?
                           channel_symmetries.index_select(0, turns) :
                           torch::Tensor());
    // Means over this rank's samples, as parts of a mean over all of them.
    auto value = batch_loss(data);
    if (communicator.size > 1)
      value = value * (double(batch.size(0)) / double(parameters.batch_size));
    (scaler ? scaler->scale(value) : value).backward();
    loss_sum.add_(value.detach());
  }



  void
  Trainer::step()
  {
    const compat::TensorFloat32 precision(parameters.precision == "tf32");
    weights.gradients().zero_();
    gradient_sum([this]() { backward(); });
    // What is not finite on one rank is not in the sum either.
    if (scaler)
      {
        const auto skip = scaler->unscale(weights.gradients());
        optimizer.step(weights.gradients(), skip);
      }
    else
      optimizer.step(weights.gradients());
  }



  bool
  Trainer::train_epoch()
  {
    const long number = epochs.size() + 1;
    model->train();
    // For layers that draw random numbers themselves.
    torch::manual_seed(parameters.seed + 1000003ull * number);

    CounterRandom random(parameters.seed,
                         CounterRandom::Stream::training,
                         number);
    auto          order = random.permutation(training.size());
    // The last batch is filled up with the first samples of the epoch.
    for (long i = 0; long(order.size()) % parameters.batch_size != 0; ++i)
      order.push_back(order[i]);
    std::vector<std::int64_t> chosen(order.begin(), order.end()), symmetry;
    const long n_symmetries = symmetries.defined() ? symmetries.size(0) : 1;
    for (std::size_t i = 0; i < order.size(); ++i)
      symmetry.push_back(
        std::min<long>(random.uniform() * n_symmetries, n_symmetries - 1));
    const auto all_samples = torch::tensor(chosen).to(batch.device()),
               all_turns   = torch::tensor(symmetry).to(batch.device());

    loss_sum.zero_();
    for (long k = 0; k < steps_per_epoch; ++k)
      {
        const long begin = k * parameters.batch_size + batch_begin;
        batch.copy_(all_samples.slice(0, begin, begin + batch.size(0)));
        turns.copy_(all_turns.slice(0, begin, begin + batch.size(0)));
        captured();
      }
    // A rank that fails here would leave the others waiting at their next sum.
    auto          sum           = torch::zeros({1}, torch::kFloat64);
    double        held_out_loss = std::numeric_limits<double>::quiet_NaN();
    const bool    last          = number == parameters.epochs;
    const Attempt evaluation([&]() {
      sum.copy_(loss_sum);
      if (held_out.input.fields.defined() &&
          (last || number % parameters.check_interval == 0))
        held_out_loss = evaluate(held_out);
    });
    evaluation.throw_together(communicator);

    communicator.sum(sum);
    const double training_loss = sum.item<double>() / double(steps_per_epoch);
    if (!std::isfinite(training_loss))
      throw std::runtime_error("the training diverged in epoch " +
                               std::to_string(number) +
                               ": choose a smaller learning rate than " +
                               std::to_string(parameters.learning_rate) + ".");
    if (held_out_loss < best_held_out)
      {
        best_held_out = held_out_loss;
        best_epoch    = number;
        if (parameters.patience > 0)
          best_weights = optimizer.averaged().clone();
      }
    epochs.push_back({number, training_loss, held_out_loss});
    return !last && (parameters.patience == 0 || best_epoch == 0 ||
                     number - best_epoch < parameters.patience);
  }



  double
  Trainer::evaluate(const OperatorData &data)
  {
    const torch::NoGradGuard no_gradients;
    model->eval();
    const auto current = weights.values().clone();
    weights.values().copy_(optimizer.averaged());
    auto sum = torch::zeros({}, weights.values().options());
    for (long begin = 0; begin < data.size(); begin += parameters.batch_size)
      {
        const auto block =
          data.slice(begin,
                     std::min(begin + parameters.batch_size, data.size()));
        sum += batch_loss(block) * double(block.size());
      }
    weights.values().copy_(current);
    model->train();
    return sum.item<double>() / double(data.size());
  }



  void
  Trainer::finish()
  {
    const torch::NoGradGuard no_gradients;
    weights.values().copy_(best_weights.defined() ? best_weights :
                                                    optimizer.averaged());
    model->eval();
  }



  void
  Trainer::run(const bool show)
  {
    Progress progress("training", parameters.epochs, show);
    bool     more = long(epochs.size()) < parameters.epochs;
    while (more)
      {
        more = train_epoch();
        progress.update(epochs.size());
      }
    finish();
  }



  void
  Trainer::save(ModelFile &file) const
  {
    const auto put = [&](const std::string &name, const torch::Tensor &tensor) {
      file.tensors["training." + name] =
        tensor.detach().to(torch::kCPU).clone();
    };
    put("weights", weights.values());
    const auto state = optimizer.get_state();
    put("steps", state.steps);
    put("first", state.first);
    put("second", state.second);
    put("average", state.average);
    put("best_weights",
        best_weights.defined() ? best_weights : state.average.slice(0, 0, 0));
    std::vector<double> numbers;
    for (const auto &epoch : epochs)
      {
        numbers.push_back(epoch.training_loss);
        numbers.push_back(epoch.held_out_loss);
      }
    put("history", torch::tensor(numbers, torch::kFloat64).reshape({-1, 2}));
    if (scaler)
      {
        put("scale", scaler->get_state().scale);
        put("clean_steps", scaler->get_state().clean);
      }
    put("best",
        torch::tensor({double(best_epoch), best_held_out}, torch::kFloat64));
  }



  void
  Trainer::load(const ModelFile &file)
  {
    const torch::NoGradGuard no_gradients;
    const auto               get = [&](const std::string &name) {
      return file.tensor("training." + name);
    };
    const auto state = optimizer.get_state();
    if (get("weights").sizes() != weights.values().sizes() ||
        get("average").sizes() != state.average.sizes())
      throw FileError(file.filename,
                      "it is the checkpoint of another model, or of another "
                      "choice whether to average");
    weights.values().copy_(get("weights"));
    optimizer.set_state(
      {get("steps"), get("first"), get("second"), get("average")});
    if (scaler)
      scaler->set_state({get("scale"), get("clean_steps")});
    const auto history = get("history");
    epochs.clear();
    for (long i = 0; i < history.size(0); ++i)
      epochs.push_back(
        {i + 1, history[i][0].item<double>(), history[i][1].item<double>()});
    best_epoch    = get("best")[0].item<double>();
    best_held_out = get("best")[1].item<double>();
    if (get("best_weights").numel() > 0)
      best_weights = get("best_weights").to(weights.values().device()).clone();
  }
} // namespace neuraldeal
