// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/random.h>
#include <neuraldeal/surrogates/uncertainty/cross_fitted_operator.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *name = "cross-fitted";

    /** Samples that are evaluated at once. */
    constexpr long block_size = 32;

    /**
     * Errors that are learned from, if there are symmetries; of
     * large fields as many as have this number of values.
     */
    constexpr long n_errors_wanted = 2048, most_values = 100000000;

    /** Samples of a batch for the small operator. */
    constexpr long variance_batch = 32;

    /** How often it sees an error: of few errors it would learn the noise. */
    constexpr long most_variance_epochs = 50;

    /** How far the small operator can go: e⁵ times the variance or less. */
    constexpr double largest_logarithm = 5.;



    /** [n] or [n, c] in a shape to go with @p fields, [n, c, …]. */
    torch::Tensor
    by_sample(const torch::Tensor &values, const torch::Tensor &fields)
    {
      auto shape = values.sizes().vec();
      shape.resize(fields.dim(), 1);
      return values.to(fields.options()).reshape(shape);
    }



    /** The likelihood of errors with mean zero, of ℓ by what is read. */
    class ShapeLikelihood : public Loss
    {
    public:
      /** ℓ, of which the exponential has the mean 1 over the field. */
      static torch::Tensor
      log_shape(const torch::Tensor &r)
      {
        const auto s = GaussianLikelihood(largest_logarithm).log_variance(r);
        const auto level =
          s.flatten(2).logsumexp(2) - std::log(double(s[0][0].numel()));
        return s - by_sample(level, s);
      }

    private:
      torch::Tensor
      compute(const torch::Tensor &prediction,
              const torch::Tensor &target,
              const torch::Tensor &) const override
      {
        const auto s = log_shape(prediction);
        return 0.5 * (s + target.square() * torch::exp(-s)).mean();
      }
    };



    /** A small operator for fields as those of @p data. */
    std::string
    variance_type(const OperatorData &data)
    {
      return data.input.points.defined() ? "attention" : "Fourier";
    }



    nlohmann::json
    variance_choices(const ProbabilisticOperator::Task &task,
                     const OperatorData                &data)
    {
      if (data.input.points.defined())
        return {{"width", 32}, {"layers", 2}, {"heads", 4}, {"slices", 16}};
      nlohmann::json result = {{"width", 16}, {"layers", 2}, {"modes", 8}};
      if (task.type == "Fourier" && task.parameters.contains("padding"))
        result["padding"] = task.parameters["padding"];
      return result;
    }



    /** Whether what is given and what is predicted stand at the same points. */
    bool
    at_same_points(const torch::Tensor &a, const torch::Tensor &b)
    {
      return a.sizes().slice(2) == b.sizes().slice(2);
    }



    /** @p fields that are predicted of @p data, and how they correct it. */
    OperatorData
    as_input(const OperatorData &data, const torch::Tensor &fields)
    {
      OperatorData result;
      result.input.fields = fields;
      result.input.points = data.input.points;
      if (at_same_points(data.input.fields, fields))
        result.input.mask = data.input.mask;
      if (data.prior.defined())
        result.prior = fields - data.prior;
      return result;
    }



    /** The mean over what counts of every field, [n, c, …] → [n, c]. */
    torch::Tensor
    field_mean(const torch::Tensor &fields, const torch::Tensor &counted)
    {
      const auto sum = [](const torch::Tensor &values) {
        return values.to(torch::kFloat64).flatten(2).sum(2);
      };
      return sum(fields * counted) /
             sum(counted.expand_as(fields)).clamp_min(1.);
    }



    /** 1 for values that are unknown and not masked, of [n, c, …]. */
    torch::Tensor
    counted_values(const OperatorModel &model,
                   const OperatorData  &data,
                   const torch::Tensor &fields)
    {
      auto result = model.unknown().to(fields.options());
      if (data.input.mask.defined())
        result = result * data.input.mask.to(fields.options()).unsqueeze(1);
      return result;
    }
  } // namespace



  CrossFittedOperator::CrossFittedOperator(const Parameters &parameters)
    : chosen(parameters)
  {}



  CrossFittedOperator::Answer
  CrossFittedOperator::ask(OperatorModel &model, const OperatorData &data)
  {
    const torch::NoGradGuard no_gradients;
    const auto               answer = model.forward(data);
    Answer                   result;
    if (model.n_members() == 1)
      {
        result.mean = answer;
        return result;
      }
    const auto distribution = FieldDistribution::of_samples(answer);
    result.mean             = distribution.mean;
    result.factor           = distribution.factor;
    result.spread           = distribution.factor.square().sum(-1);
    result.mean_spread =
      field_mean(result.spread, counted_values(model, data, result.spread));
    return result;
  }



  CrossFittedOperator::Unseen
  CrossFittedOperator::cross_fit(
    const Task                                        &task,
    const std::vector<torch::Tensor>                  &left_out,
    const std::vector<std::shared_ptr<OperatorModel>> &of_others) const
  {
    const long n = task.training.size(), folds = left_out.size();
    const auto device = task.training.input.fields.device();
    const long n_symmetries =
      task.symmetries.defined() ? task.symmetries.size(0) : 1;
    const long values_of_sample =
      (task.training.input.fields.numel() + task.training.target.numel()) / n;
    const long n_images = std::clamp<long>(
      std::min(n_errors_wanted, most_values / values_of_sample) / n,
      1,
      n_symmetries);

    std::vector<OperatorData> data;
    std::vector<Answer>       answers;
    std::vector<std::int64_t> fold_of;
    for (long fold = 0; fold < folds; ++fold)
      {
        // Answers to images are errors as well, others than to the samples.
        const auto rest = task.training.select(left_out[fold]);
        for (long image = 0; image < n_images; ++image)
          for (long begin = 0; begin < rest.size(); begin += block_size)
            {
              const long end   = std::min(begin + block_size, rest.size());
              auto       block = rest.slice(begin, end);
              if (task.symmetries.defined())
                {
                  const auto turns =
                    ((torch::arange(begin, end, torch::kInt64) + image) %
                     n_symmetries)
                      .to(device);
                  block = block.turned(
                    task.symmetries.to(device).index_select(0, turns),
                    task.channel_symmetries.defined() ?
                      task.channel_symmetries.to(device).index_select(0,
                                                                      turns) :
                      torch::Tensor());
                }
              answers.push_back(ask(*of_others[fold], block));
              answers.back().factor = torch::Tensor();
              fold_of.insert(fold_of.end(), block.size(), fold);
              data.push_back(block);
            }
      }

    const auto joined = [&](const auto &part) {
      std::vector<torch::Tensor> parts;
      for (std::size_t i = 0; i < data.size(); ++i)
        parts.push_back(part(data[i], answers[i]));
      return parts[0].defined() ? torch::cat(parts) : parts[0];
    };
    Unseen result;
    result.data.input.fields =
      joined([](const auto &d, const auto &) { return d.input.fields; });
    const auto &points       = task.training.input.points;
    result.data.input.points = points;
    if (points.defined() && points.dim() == 3)
      result.data.input.points =
        joined([](const auto &d, const auto &) { return d.input.points; });
    result.data.input.mask =
      joined([](const auto &d, const auto &) { return d.input.mask; });
    result.data.prior =
      joined([](const auto &d, const auto &) { return d.prior; });
    result.answer.mean =
      joined([](const auto &, const auto &a) { return a.mean; });
    result.answer.spread =
      joined([](const auto &, const auto &a) { return a.spread; });
    result.answer.mean_spread =
      joined([](const auto &, const auto &a) { return a.mean_spread; });
    result.error =
      joined([](const auto &d, const auto &) { return d.target; }) -
      result.answer.mean;
    result.folds = torch::tensor(fold_of);
    return result;
  }



  CrossFittedOperator::Shape
  CrossFittedOperator::shape_of_spread(const Answer &answer) const
  {
    Shape result;
    if (!answer.spread.defined())
      {
        result.sum = torch::ones_like(answer.mean);
        result.own = torch::ones({1}, answer.mean.options());
        return result;
      }
    const auto typical = mean_spread.to(answer.spread.device());
    const auto own     = 1. / (1. + answer.mean_spread / typical);
    result.own         = by_sample(own, answer.spread);
    result.common      = by_sample(own / typical, answer.spread);
    result.sum         = result.own + result.common * answer.spread;
    return result;
  }



  OperatorData
  CrossFittedOperator::variance_data(const OperatorData  &data,
                                     const Answer        &answer,
                                     const torch::Tensor &w) const
  {
    OperatorData               result;
    std::vector<torch::Tensor> channels = {answer.mean};
    if (at_same_points(data.input.fields, answer.mean))
      channels.push_back(data.input.fields);
    if (data.prior.defined())
      channels.push_back(answer.mean - data.prior);
    if (answer.spread.defined())
      channels.push_back(w.log());
    result.input.fields = torch::cat(channels, 1);
    result.input.points = data.input.points;
    result.input.mask   = data.input.mask;
    return result;
  }



  torch::Tensor
  CrossFittedOperator::size_features(const torch::Tensor &of_input,
                                     const OperatorData  &data,
                                     const Answer        &answer) const
  {
    std::vector<torch::Tensor> result = {
      of_input, answer_features.of(as_input(data, answer.mean))};
    if (answer.spread.defined())
      result.push_back(
        (answer.mean_spread + 1e-6 * mean_spread.to(of_input.device())).log());
    return torch::cat(result, 1);
  }



  void
  CrossFittedOperator::fit(const Task &task)
  {
    check_fits(name, task);
    const long n = task.training.size();
    if (n < 2)
      throw InputError(task.source,
                       "the number of samples for the uncertainty '" +
                         std::string(name) + "'",
                       std::to_string(n),
                       "2 at least");

    auto                        choices = task.parameters;
    std::shared_ptr<const Loss> loss =
      std::make_shared<RelativeNorm>(task.norm);
    if (operator_has_parameter(task.type, "shared trunk"))
      {
        choices["members"]      = chosen.members;
        choices["shared trunk"] = true;
        loss =
          std::make_shared<EnsembleLoss>(loss, task.norm, chosen.diversity);
      }
    // The first learns all samples, the others leave out a part each.
    const long folds = std::min(chosen.folds, n);
    const auto order =
      CounterRandom(task.options.seed, CounterRandom::Stream::splitting, 0)
        .permutation(n);
    const auto samples = [&](const auto &belong) {
      std::vector<std::int64_t> numbers;
      for (long i = 0; i < n; ++i)
        if (belong(i % folds))
          numbers.push_back(order[i]);
      return torch::tensor(numbers).to(task.training.input.fields.device());
    };
    auto models =
      train_operators(task, choices, loss, 1 + folds, [&](const long i) {
        Task own = task;
        if (i == 0)
          return own;
        own.training = task.training.select(
          samples([&](const long fold) { return fold != i - 1; }));
        // As many steps as with all samples
        own.options.epochs = task.options.epochs * n / own.training.size();
        return own;
      });
    model = models[0];
    models.erase(models.begin());
    std::vector<torch::Tensor> left_out;
    for (long i = 0; i < folds; ++i)
      left_out.push_back(samples([&](const long fold) { return fold == i; }));

    range.fit(task.training);

    const auto unseen  = cross_fit(task, left_out, models);
    const auto counted = counted_values(*model, unseen.data, unseen.error);
    const auto squares = field_mean(unseen.error.square(), counted);
    mean_spread        = unseen.answer.spread.defined() ?
                           unseen.answer.mean_spread.mean(0).clamp_min(1e-300) :
                           torch::ones_like(squares[0]);
    answer_features.fit(as_input(task.training, task.training.target));
    error_size.fit(size_features(range.get_features().of(unseen.data),
                                 unseen.data,
                                 unseen.answer),
                   squares,
                   unseen.folds);

    // Where nothing is to be found out there is nothing to be learned: there
    // errors are as large as expected.
    Task       of_errors;
    const auto w       = shape_of_spread(unseen.answer).sum;
    of_errors.training = variance_data(unseen.data, unseen.answer, w);
    of_errors.training.target =
      torch::where(counted.expand_as(unseen.error) > 0.,
                   unseen.error /
                     (by_sample(error_size.left_out_squares(), w) * w).sqrt(),
                   torch::ones_like(unseen.error));
    const auto &fields      = of_errors.training.input.fields;
    of_errors.type          = variance_type(of_errors.training);
    of_errors.parameters    = variance_choices(task, of_errors.training);
    of_errors.shape         = {fields.size(1),
                               unseen.error.size(1),
                       of_errors.training.input.points.defined() ?
                                 task.shape.dim :
                                 fields.dim() - 2};
    of_errors.source        = task.source;
    of_errors.communicator  = task.communicator;
    of_errors.data_parallel = task.data_parallel;
    auto &options           = of_errors.options;
    options                 = Trainer::Parameters();
    options.batch_size      = std::min(variance_batch, fields.size(0));
    // No more steps than the first operator has had.
    const long steps =
      std::min(chosen.steps, task.options.epochs * n / task.options.batch_size);
    options.epochs =
      std::clamp<long>(steps * options.batch_size / fields.size(0),
                       1,
                       most_variance_epochs);
    options.learning_rate = 2e-3;
    options.average       = 0.99;
    options.precision     = task.options.precision;
    variance_model        = train_operator(of_errors,
                                    of_errors.parameters,
                                    std::make_shared<ShapeLikelihood>(),
                                    task.options.seed);
  }



  FieldDistribution
  CrossFittedOperator::predict(const OperatorData &data) const
  {
    const torch::NoGradGuard no_gradients;
    const auto               answer   = ask(*model, data);
    const auto               of_input = range.get_features().of(data);
    const auto               squares =
      error_size.squares(size_features(of_input, data, answer)) *
      range.distances_of(of_input).clamp_min(1.).square().unsqueeze(1);
    const auto w = shape_of_spread(answer);
    const auto v =
      by_sample(squares, answer.mean) *
      ShapeLikelihood::log_shape(
        variance_model->forward(variance_data(data, answer, w.sum)))
        .exp() *
      model->unknown().to(answer.mean.options());

    FieldDistribution result;
    result.mean     = answer.mean;
    result.variance = w.own * v;
    if (answer.factor.defined())
      result.factor = answer.factor * (w.common * v).sqrt().unsqueeze(-1);
    return result;
  }



  void
  CrossFittedOperator::save(ModelFile &file) const
  {
    file.metadata["uncertainty"] = {{"method", name}};
    model->save(file);
    variance_model->save(file, "variance");
    range.save(file, "range");
    answer_features.save(file, "answer");
    error_size.save(file, "error_size");
    file.tensors["uncertainty.mean_spread"] = mean_spread.to(torch::kCPU);
  }



  void
  CrossFittedOperator::load(const ModelFile &file)
  {
    description_in(file, name);
    model           = OperatorModel::load(file);
    variance_model  = OperatorModel::load(file, "variance");
    range           = TrainingRange::load(file, "range");
    answer_features = FieldFeatures::load(file, "answer");
    error_size      = ErrorSize::load(file, "error_size");
    mean_spread     = file.tensor("uncertainty.mean_spread");
    if (mean_spread.dim() != 1 ||
        mean_spread.size(0) != model->shape.out_channels ||
        error_size.n_channels() != mean_spread.size(0))
      throw FileError(file.filename,
                      "the sizes of its errors do not fit to its operator");
    model->eval();
    variance_model->eval();
  }



  void
  CrossFittedOperator::to(const torch::TensorOptions &options)
  {
    for (const auto &each : {model, variance_model})
      each->to(options.device(), options.dtype().toScalarType());
  }



  void
  CrossFittedOperator::register_type()
  {
    static const ProbabilisticOperatorRegistry::Registration registration(
      name,
      "One operator, and beside it what has learned the size and the places of "
      "its errors from those on samples that were left out.",
      {{"members",
        8,
        2,
        256,
        "Number of heads, if the operator can have them."},
       {"diversity",
        0.5,
        0.,
        0.5,
        "Weight of the distance between heads in what is minimised; one half "
        "makes it a proper score."},
       {"folds", 4, 2, 1000, "Parts of the samples that are left out in turn."},
       {"steps",
        800,
        1,
        1e7,
        "Of the training of the small operator; no more than the first has."}},
      [](const nlohmann::json &given) {
        return std::make_unique<CrossFittedOperator>(
          Parameters{given["members"],
                     given["diversity"],
                     given["folds"],
                     given["steps"]});
      });
  }
} // namespace neuraldeal
