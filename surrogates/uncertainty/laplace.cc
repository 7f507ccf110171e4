// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/operators/point_fields.h>
#include <neuraldeal/surrogates/uncertainty/kronecker_curvature.h>
#include <neuraldeal/surrogates/uncertainty/laplace.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  namespace
  {
    std::unique_ptr<Curvature>
    make_curvature(const LaplaceApproximation::Parameters &parameters,
                   const WeightSelection                  &weights,
                   const std::vector<long>                &groups)
    {
      if (parameters.form == "full")
        return std::make_unique<FullCurvature>();
      if (parameters.form == "diagonal")
        return std::make_unique<DiagonalCurvature>(parameters.draws,
                                                   parameters.seed);
      if (parameters.form == "low rank")
        return std::make_unique<LowRankCurvature>(parameters.rank,
                                                  parameters.seed);
      return std::make_unique<KroneckerCurvature>(weights,
                                                  groups,
                                                  parameters.sharing ==
                                                    "reduce",
                                                  parameters.draws,
                                                  parameters.seed);
    }



    WeightSelection::Groups
    groups_by_name(const std::string &name)
    {
      return name == "one"       ? WeightSelection::Groups::one :
             name == "per layer" ? WeightSelection::Groups::per_layer :
                                   WeightSelection::Groups::per_tensor;
    }



    /** Sums over samples and points, [n, c, …] → [c]. */
    torch::Tensor
    channel_sums(const torch::Tensor &fields)
    {
      return fields.transpose(0, 1).flatten(1).sum(1);
    }
  } // namespace



  std::vector<ParameterDescription>
  LaplaceApproximation::descriptions()
  {
    const Parameters defaults;
    return {
      {"form",
       defaults.form,
       0,
       0,
       "Form of the Gauss-Newton matrix: full, diagonal, Kronecker, low rank."},
      {"weights",
       defaults.weights,
       0,
       0,
       "Weights that are uncertain: all, last layer, or a regular expression "
       "that is searched in their names."},
      {"prior",
       defaults.prior,
       0,
       0,
       "Weights with the same prior variance: one for all, per layer, per "
       "tensor."},
      {"noise",
       defaults.noise,
       0,
       0,
       "Noise of the same variance in all channels (one), or per channel."},
      {"sharing",
       defaults.sharing,
       0,
       0,
       "How the Kronecker form treats a layer that is used in many points: "
       "expand or reduce."},
      {"rank", defaults.rank, 1, 1e5, "Number of eigenpairs of low rank."},
      {"draws",
       defaults.draws,
       0,
       1e5,
       "Gradients of random combinations of values, per batch, from which "
       "diagonal and Kronecker are made; 0: of every value by itself."},
      {"batch size", defaults.batch_size, 1, 1e6, "Samples in a pass."},
      {"closed form",
       defaults.closed_form,
       0,
       1,
       "Whether variances of last layers are computed in closed form."},
      {"seed", defaults.seed, 0, 9e15, "What random directions depend on."}};
  }



  LaplaceApproximation::Parameters
  LaplaceApproximation::parse(const nlohmann::json &given,
                              const std::string    &source)
  {
    const auto all = complete_parameters(descriptions(), given, source);
    Parameters result;
    result.form        = all["form"];
    result.weights     = all["weights"];
    result.prior       = all["prior"];
    result.noise       = all["noise"];
    result.sharing     = all["sharing"];
    result.rank        = all["rank"];
    result.draws       = all["draws"];
    result.batch_size  = all["batch size"];
    result.closed_form = all["closed form"];
    result.seed        = all["seed"];
    return result;
  }



  LaplaceApproximation::LaplaceApproximation(
    const std::shared_ptr<OperatorModel> &model,
    const Parameters                     &parameters,
    const std::string                    &source)
    : model(model)
    , parameters(parameters)
    , source(source)
    , chosen(*model, parameters.weights, source)
  {
    check_choice(source,
                 "form",
                 parameters.form,
                 {"full", "diagonal", "Kronecker", "low rank"});
    check_choice(source,
                 "prior",
                 parameters.prior,
                 {"one", "per layer", "per tensor"});
    check_choice(source, "noise", parameters.noise, {"one", "per channel"});
    check_choice(source, "sharing", parameters.sharing, {"expand", "reduce"});

    const auto groups = chosen.groups(groups_by_name(parameters.prior));
    const auto device = chosen.values().device();
    std::vector<torch::Tensor> numbers;
    for (std::size_t i = 0; i < groups.size(); ++i)
      numbers.push_back(
        torch::full({chosen.parts()[i].end - chosen.parts()[i].begin},
                    std::int64_t(groups[i]),
                    torch::kInt64));
    group_of_weight = torch::cat(numbers).to(device);
    group_sizes     = torch::bincount(group_of_weight).to(torch::kFloat64);
    matrix          = make_curvature(parameters, chosen, groups);
  }



  torch::Tensor
  LaplaceApproximation::count_values(const OperatorData  &data,
                                     const torch::Tensor &counted) const
  {
    const auto &target = data.target;
    if (!target.defined())
      throw InputError(source,
                       "the targets of the training data",
                       "not defined",
                       "what the operator has been trained to answer");
    const auto fields = target.options().dtype(torch::kFloat64);
    auto result = counted.defined() ? counted.to(fields).expand_as(target) :
                                      torch::ones(target.sizes(), fields);
    if (data.input.mask.defined())
      result = result * data.input.mask.to(torch::kBool).unsqueeze(1);
    if (!(result.sum().item<double>() > 0.))
      throw InputError(source,
                       "the number of values that count",
                       "0",
                       "one at least");
    return result;
  }



  void
  LaplaceApproximation::fit(const OperatorData  &training,
                            const torch::Tensor &counted)
  {
    const auto  count  = count_values(training, counted);
    const auto &target = training.target;
    const auto  fields = count.options();
    n_counted          = count.sum().item<double>();

    // Masked values hold anything.
    auto squares = torch::zeros(target.sizes(), fields);
    {
      const torch::NoGradGuard no_gradients;
      const GaussNewton        H(
        model, chosen, training, count, parameters.batch_size);
      long begin = 0;
      H.for_each_batch([&](const OperatorData &batch, const torch::Tensor &w) {
        const auto error = (model->forward(batch) - batch.target).to(fields);
        squares.slice(0, begin, begin + batch.size())
          .copy_(error.square().masked_fill(w == 0., 0.) * w);
        begin += batch.size();
      });
    }
    const auto sums = channel_sums(squares), numbers = channel_sums(count);
    if (parameters.noise == "one")
      noise_ratios = torch::ones_like(sums);
    else
      {
        // A channel that is met exactly has no noise, but a logarithm.
        const auto means = sums / numbers.clamp_min(1.);
        noise_ratios =
          means.clamp_min(1e-12 * means.max().item<double>()).clamp_min(1e-300);
      }
    squared_errors = (sums / noise_ratios).sum().item<double>();
    log_ratios     = (numbers * noise_ratios.log()).sum().item<double>();

    matrix->fit(GaussNewton(model,
                            chosen,
                            training,
                            count / by_channel(noise_ratios, count),
                            parameters.batch_size));

    const auto squared_weights = chosen.values().square();
    group_squares              = torch::zeros_like(group_sizes)
                      .index_add_(0, group_of_weight, squared_weights);
    choose_scales(torch::ones_like(group_sizes),
                  std::max(squared_errors / n_counted, 1e-300));
    prepare_closed_form();
    closed_form_holds = closed_form_agrees(training.slice(0, 1));
    if (!closed_form_holds)
      closed_form.reset();
  }



  void
  LaplaceApproximation::update(const OperatorData  &data,
                               const torch::Tensor &counted)
  {
    check_fitted();
    const auto count   = count_values(data, counted);
    const auto weights = count / by_channel(noise_ratios, count);

    // The residuals of the old weights
    auto gradient = torch::zeros({chosen.size()}, group_sizes.options());
    const GaussNewton H(model, chosen, data, weights, parameters.batch_size);
    H.for_each_batch([&](const OperatorData &batch, const torch::Tensor &w) {
      const Linearization J([&]() { return model->forward(batch); }, chosen);
      const auto          error = (batch.target - J.answer()).to(w.options());
      gradient += J.transposed_product(
        (w * error.masked_fill(w == 0., 0.)).to(J.answer().options()));
    });
    if (!matrix->add(H))
      throw InputError(source,
                       "form",
                       parameters.form,
                       "full, of which alone more samples can be learned "
                       "without the old ones");
    set_scales(delta, noise_scale);

    const auto change = chosen.split(
      matrix->multiply(gradient.unsqueeze(1)).squeeze(1) / noise_scale);
    const torch::NoGradGuard no_gradients;
    for (std::size_t i = 0; i < change.size(); ++i)
      {
        auto weight = chosen.parts()[i].tensor;
        weight.add_(change[i]);
      }
  }



  void
  LaplaceApproximation::set_scales(const torch::Tensor &prior_precision,
                                   const double         noise_scale_)
  {
    choose_scales(prior_precision, noise_scale_);
    if (closed_form_holds)
      prepare_closed_form();
  }



  void
  LaplaceApproximation::choose_scales(const torch::Tensor &prior_precision,
                                      const double         noise_scale_)
  {
    const bool valid = (prior_precision > 0.).all().item<bool>() &&
                       prior_precision.isfinite().all().item<bool>();
    if (n_counted == 0.)
      check_fitted();
    if (!valid)
      throw InputError(source,
                       "the prior precision",
                       "not positive",
                       "a positive number for each group of weights");
    if (!(noise_scale_ > 0. && std::isfinite(noise_scale_)))
      throw InputError(source,
                       "the scale of the noise",
                       std::to_string(noise_scale_),
                       "a positive number");
    delta =
      prior_precision.to(group_sizes.options()).expand_as(group_sizes).clone();
    noise_scale = noise_scale_;
    matrix->set_scales(delta.index_select(0, group_of_weight),
                       1. / noise_scale);
  }



  void
  LaplaceApproximation::check_fitted() const
  {
    if (!delta.defined())
      throw InputError(source,
                       "the curvature",
                       "not there",
                       "what fit() computes before anything is predicted");
  }



  Linearization
  LaplaceApproximation::linearize(const OperatorData &data) const
  {
    check_fitted();
    const EvaluationMode evaluation(*model);
    return Linearization([&]() { return model->forward(data); }, chosen);
  }



  torch::Tensor
  LaplaceApproximation::mean(const OperatorData &data) const
  {
    const EvaluationMode     evaluation(*model);
    const torch::NoGradGuard no_gradients;
    return model->forward(data);
  }



  void
  LaplaceApproximation::to(const torch::Device &device)
  {
    for (auto *tensor : {&group_of_weight,
                         &group_sizes,
                         &group_squares,
                         &noise_ratios,
                         &delta})
      if (tensor->defined())
        *tensor = tensor->to(device);
    if (!delta.defined())
      return;
    auto state = matrix->state();
    for (auto &item : state)
      item.second = item.second.to(device);
    matrix->set_state(state, chosen);
    set_scales(delta, noise_scale);
  }



  LaplaceApproximation::Answer
  LaplaceApproximation::predict_by_products(const OperatorData &sample,
                                            const long          rank) const
  {
    const auto J = linearize(sample);
    const auto y = J.answer();
    Answer     result;
    result.mean = y;
    if (y.numel() > chosen.size())
      {
        // Columns of J R, where R Rᵀ = Σ.
        const auto R = matrix->multiply_root(
          torch::eye(chosen.size(), group_sizes.options()));
        auto variance = torch::zeros_like(y, torch::kFloat64);
        for (long k = 0; k < chosen.size(); ++k)
          variance += J.product(R.select(1, k)).square();
        result.variance = variance.to(y.scalar_type());
      }
    else
      {
        const auto columns = J.dense().t();
        result.variance    = (columns * matrix->multiply(columns))
                            .sum(0)
                            .reshape(y.sizes())
                            .to(y.scalar_type());
      }
    if (rank > 0)
      result.factor =
        factor_by_products(J, rank).unsqueeze(0).to(y.scalar_type());
    return result;
  }



  LaplaceApproximation::Answer
  LaplaceApproximation::predict(const OperatorData &data, const long rank) const
  {
    check_fitted();
    std::vector<torch::Tensor> means, variances, factors;
    // A GPU is not busy with few samples.
    const long at_once = group_sizes.device().is_cpu() ?
                           parameters.batch_size :
                           std::max(parameters.batch_size, 32l);
    for (long begin = 0; begin < data.size();)
      {
        const long step = closed_form ? at_once : 1;
        const auto batch =
          data.slice(begin, std::min(begin + step, data.size()));
        auto answer = predict_in_closed_form(batch, rank);
        if (!answer.variance.defined())
          {
            answer = predict_by_products(batch.slice(0, 1), rank);
            ++begin;
          }
        else
          {
            if (rank > 0 && !answer.factor.defined())
              {
                std::vector<torch::Tensor> of_samples;
                for (long i = 0; i < batch.size(); ++i)
                  of_samples.push_back(
                    factor_by_products(linearize(batch.slice(i, i + 1)), rank)
                      .to(answer.mean.scalar_type()));
                answer.factor = torch::stack(of_samples);
              }
            begin += step;
          }
        means.push_back(answer.mean);
        variances.push_back(answer.variance);
        factors.push_back(answer.factor);
      }
    const auto joined = [](const std::vector<torch::Tensor> &tensors) {
      return tensors.size() == 1 ? tensors[0] : torch::cat(tensors);
    };
    Answer result;
    result.mean     = joined(means);
    result.variance = joined(variances);
    if (rank > 0)
      {
        auto shape = result.mean.sizes().vec();
        shape.push_back(-1);
        result.factor = joined(factors).reshape(shape);
      }
    return result;
  }



  torch::Tensor
  LaplaceApproximation::sampled_variance(const OperatorData &data,
                                         const long          n_draws,
                                         const std::uint64_t seed) const
  {
    return (sample(data, n_draws, seed) - mean(data)).square().mean(0);
  }



  torch::Tensor
  LaplaceApproximation::covariance(const OperatorData  &data,
                                   const torch::Tensor &numbers) const
  {
    const auto rows = linearize(data).rows(numbers);
    return torch::mm(rows, matrix->multiply(rows.t()));
  }
} // namespace neuraldeal
