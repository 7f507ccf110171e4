// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/uncertainty/gaussian_operator.h>

#include <cmath>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *name = "Gaussian likelihood";

    /** Which points @p data has, broadcast to its fields; may be undefined. */
    torch::Tensor
    points_there(const OperatorData &data)
    {
      const auto &mask = data.input.mask;
      if (!mask.defined())
        return {};
      auto shape = data.input.fields.sizes().vec();
      shape[1]   = 1;
      return mask.to(torch::kBool).reshape(shape);
    }
  } // namespace



  GaussianOperator::GaussianOperator(const Parameters &parameters)
    : chosen(parameters)
  {}



  bool
  GaussianOperator::fits(const std::string &type) const
  {
    return type != "POD DeepONet" && type != "latent ODE";
  }



  OperatorData
  GaussianOperator::of_network(const OperatorData &data) const
  {
    OperatorData result;
    result.input = data.input;
    if (data.prior.defined())
      result.input.fields = torch::cat({data.input.fields, data.prior}, 1);
    return result;
  }



  torch::Tensor
  GaussianOperator::unit(const torch::Tensor &fields) const
  {
    return factor.to(fields.options()) *
           by_channel(scale.to(fields.options()), fields);
  }



  void
  GaussianOperator::fit(const Task &task)
  {
    check_fits(name, task);
    const auto &data = task.training;
    const auto  corrections =
      data.prior.defined() ? data.target - data.prior : data.target;
    factor = task.factor.defined() ? task.factor.to(corrections.options()) :
                                     torch::ones({1}, corrections.options());

    // Values of which there is something to learn.
    auto       counted = factor.ne(0.).expand_as(corrections);
    const auto there   = points_there(data);
    if (there.defined())
      counted = counted.logical_and(there);
    scale = torch::ones({task.shape.out_channels}, corrections.options());
    const auto relative =
      (corrections / factor).masked_fill(counted.logical_not(), 0.);
    const auto channel_sums = [](const torch::Tensor &values) {
      return values.transpose(0, 1).flatten(1).sum(1);
    };
    scale = (channel_sums(relative.square()) /
             channel_sums(counted.to(relative.options())).clamp_min(1.))
              .sqrt()
              .clamp_min(1e-30);

    auto inner     = task;
    inner.training = of_network(data);
    inner.training.target =
      (corrections / unit(corrections)).masked_fill(counted.logical_not(), 0.);
    inner.shape.out_channels = 2 * task.shape.out_channels;
    // Zero for mean and logarithm alike, which says nothing of the others,
    if (task.factor.defined())
      inner.factor = factor.ne(0.).to(factor.options());
    // where it has channels, of which there are twice as many now
    const long d = data.target.dim() - 1;
    if (inner.factor.defined() && inner.factor.dim() >= d &&
        inner.factor.size(-d) > 1)
      inner.factor = torch::cat({inner.factor, inner.factor}, -d);
    if (data.prior.defined())
      {
        inner.shape.in_channels += task.shape.out_channels;
        if (task.channel_symmetries.defined())
          {
            const auto &before = task.channel_symmetries;
            inner.channel_symmetries =
              torch::cat({before,
                          torch::arange(task.shape.in_channels,
                                        inner.shape.in_channels,
                                        before.options())
                            .expand({before.size(0), -1})},
                         1);
          }
      }
    auto scales   = inner.training;
    scales.target = torch::ones_like(
      torch::cat({inner.training.target, inner.training.target}, 1));
    const long for_means =
      std::lround(chosen.mean_first * double(task.options.epochs));
    const auto loss =
      std::make_shared<GaussianLikelihood>(chosen.bound, chosen.beta);
    // With β = 1 means learn as if there were no variances, and these from
    // them; what follows starts with the weights that come out.
    inner.options.epochs = for_means > 0 ? for_means : task.options.epochs;
    model =
      train_operator(inner,
                     task.parameters,
                     for_means > 0 ?
                       std::make_shared<GaussianLikelihood>(chosen.bound, 1.) :
                       loss,
                     task.options.seed,
                     &scales);
    inner.options.epochs = task.options.epochs - inner.options.epochs;
    if (inner.options.epochs > 0)
      train_further(inner, model, loss, task.options.seed);
  }



  FieldDistribution
  GaussianOperator::predict(const OperatorData &data) const
  {
    const torch::NoGradGuard no_gradients;
    const auto        parts = model->forward(of_network(data)).chunk(2, 1);
    const auto        one   = unit(parts[0]);
    FieldDistribution result;
    result.mean = one * parts[0];
    if (data.prior.defined())
      result.mean = data.prior + result.mean;
    result.variance =
      one.square() *
      GaussianLikelihood(chosen.bound).log_variance(parts[1]).exp();
    const auto there = points_there(data);
    if (there.defined())
      result.variance = result.variance.masked_fill(there.logical_not(), 0.);
    return result;
  }



  void
  GaussianOperator::save(ModelFile &file) const
  {
    file.metadata["uncertainty"] = {{"method", name}, {"bound", chosen.bound}};
    model->save(file);
    file.tensors["gaussian.scale"]  = scale.to(torch::kCPU).clone();
    file.tensors["gaussian.factor"] = factor.to(torch::kCPU).clone();
  }



  void
  GaussianOperator::load(const ModelFile &file)
  {
    const auto description = description_in(file, name);
    const auto bound       = description.value("bound", nlohmann::json());
    if (!bound.is_number() || !(bound.get<double>() > 0.))
      throw FileError(
        file.filename,
        "the bound of its logarithms of variances is not positive");
    model = OperatorModel::load(file);
    model->eval();
    chosen.bound = bound;
    scale        = file.tensor("gaussian.scale").clone();
    factor       = file.tensor("gaussian.factor").clone();
    if (model->shape.out_channels % 2 != 0 || scale.dim() != 1 ||
        2 * scale.size(0) != model->shape.out_channels)
      throw FileError(file.filename,
                      "its tensor gaussian.scale does not fit its operator");
  }



  void
  GaussianOperator::to(const torch::TensorOptions &options)
  {
    model->to(options.device(), options.dtype().toScalarType());
    scale  = scale.to(options);
    factor = factor.to(options);
  }



  void
  GaussianOperator::register_type()
  {
    static const ProbabilisticOperatorRegistry::Registration registration(
      name,
      "One operator for mean and variance of every value, by their likelihood.",
      {{"mean first",
        Parameters().mean_first,
        0.,
        1.,
        "Share of the epochs in which means are learned as from squared errors."},
       {"beta",
        Parameters().beta,
        0.,
        1.,
        "Power of the predicted variance by which errors are weighted; 0 for "
        "the likelihood alone, 1 for means as if there were no variances."},
       {"bound",
        Parameters().bound,
        1.,
        60.,
        "The log of the variance over that of the targets stays between plus "
        "and minus this."}},
      [](const nlohmann::json &given) {
        return std::make_unique<GaussianOperator>(
          Parameters{given["mean first"], given["beta"], given["bound"]});
      });
  }
} // namespace neuraldeal
