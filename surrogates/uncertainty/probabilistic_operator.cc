// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/uncertainty/cross_fitted_operator.h>
#include <neuraldeal/surrogates/uncertainty/gaussian_operator.h>
#include <neuraldeal/surrogates/uncertainty/gaussian_process_operator.h>
#include <neuraldeal/surrogates/uncertainty/laplace_operator.h>
#include <neuraldeal/surrogates/uncertainty/monte_carlo_dropout.h>
#include <neuraldeal/surrogates/uncertainty/operator_ensemble.h>
#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

namespace neuraldeal
{
  bool
  ProbabilisticOperator::fits(const std::string &) const
  {
    return true;
  }



  void
  ProbabilisticOperator::update(const OperatorData &)
  {
    throw InputError("the program",
                     "an update of a method of uncertainty",
                     "one that needs its training anew",
                     "a method that supports_update()");
  }



  nlohmann::json
  ProbabilisticOperator::description_in(const ModelFile   &file,
                                        const std::string &name)
  {
    const auto result = file.get<nlohmann::json>("uncertainty");
    if (!result.is_object() || result.value("method", nlohmann::json()) != name)
      throw FileError(file.filename,
                      "its uncertainty is not that of the method '" + name +
                        "'");
    return result;
  }



  void
  ProbabilisticOperator::check_fits(const std::string &name,
                                    const Task        &task) const
  {
    register_operators();
    OperatorRegistry::find(task.source, "operator", task.type);
    if (fits(task.type))
      return;
    std::string list;
    for (const auto &entry : OperatorRegistry::entries())
      if (fits(entry.first))
        list += (list.empty() ? "" : ", ") + entry.first;
    throw InputError(task.source,
                     "operator",
                     task.type,
                     "one of these, which fit the uncertainty '" + name +
                       "': " + list);
  }



  void
  register_probabilistic_operators()
  {
    CrossFittedOperator::register_type();
    GaussianOperator::register_type();
    GaussianProcessOperator::register_type();
    LaplaceOperator::register_type();
    MonteCarloDropout::register_type();
    OperatorEnsemble::register_type();
  }



  std::unique_ptr<ProbabilisticOperator>
  make_probabilistic_operator(const std::string    &name,
                              const nlohmann::json &parameters,
                              const std::string    &source)
  {
    register_probabilistic_operators();
    const auto &entry =
      ProbabilisticOperatorRegistry::find(source, "uncertainty", name);
    return entry.factory(
      complete_parameters(entry.parameters, parameters, source));
  }



  namespace
  {
    /** An operator as it is before it is trained. */
    std::shared_ptr<OperatorModel>
    untrained_operator(const ProbabilisticOperator::Task &task,
                       const nlohmann::json              &parameters,
                       const std::uint64_t                seed,
                       const OperatorData                &scales)
    {
      const auto model =
        std::make_shared<OperatorModel>(task.type,
                                        task.shape,
                                        parameters,
                                        task.training.prior.defined(),
                                        task.source,
                                        seed);
      const auto options = task.training.target.options();
      model->to(options.device(), options.dtype().toScalarType());
      model->set_scales(scales);
      if (task.factor.defined())
        model->set_factor(task.factor);
      return model;
    }



    /** Give all processes the weights that @p model has on one of them. */
    void
    send_weights(OperatorModel      &model,
                 const bool          is_sender,
                 const Communicator &communicator)
    {
      const torch::NoGradGuard   no_gradients;
      std::vector<torch::Tensor> values;
      for (const auto &weights : model.parameters())
        values.push_back(weights.detach().reshape({-1}));
      auto sent = torch::cat(values).to(torch::kCPU).contiguous();
      if (!is_sender)
        sent.zero_();
      communicator.sum(sent);
      long begin = 0;
      for (auto &weights : model.parameters())
        {
          weights.copy_(
            sent.narrow(0, begin, weights.numel()).reshape(weights.sizes()));
          begin += weights.numel();
        }
    }
  } // namespace



  std::shared_ptr<OperatorModel>
  train_operator(const ProbabilisticOperator::Task &task,
                 const nlohmann::json              &parameters,
                 const std::shared_ptr<const Loss> &loss,
                 const std::uint64_t                seed,
                 const OperatorData *const          scales)
  {
    const auto model = untrained_operator(task,
                                          parameters,
                                          seed,
                                          scales ? *scales : task.training);
    train_further(task, model, loss, seed);
    return model;
  }



  std::vector<std::shared_ptr<OperatorModel>>
  train_operators(
    const ProbabilisticOperator::Task                            &task,
    const nlohmann::json                                         &parameters,
    const std::shared_ptr<const Loss>                            &loss,
    const long                                                    n,
    const std::function<ProbabilisticOperator::Task(const long)> &task_of)
  {
    const auto &communicator = task.communicator;
    const bool  shared_out   = communicator.size > 1 && !task.data_parallel;

    std::vector<std::shared_ptr<OperatorModel>> models;
    const Attempt                               attempt([&]() {
      for (long i = 0; i < n; ++i)
        {
          const auto          own = task_of ? task_of(i) : task;
          const std::uint64_t seed = task.options.seed + i;
          models.push_back(
            untrained_operator(own, parameters, seed, own.training));
          if (!shared_out || communicator.owns(i))
            train_further(own, models.back(), loss, seed);
        }
    });
    attempt.throw_together(communicator);
    if (shared_out)
      for (long i = 0; i < n; ++i)
        {
          send_weights(*models[i], communicator.owns(i), communicator);
          models[i]->eval();
        }
    return models;
  }



  void
  train_further(const ProbabilisticOperator::Task    &task,
                const std::shared_ptr<OperatorModel> &model,
                const std::shared_ptr<const Loss>    &loss,
                const std::uint64_t                   seed)
  {
    auto choices = task.options;
    choices.seed = seed;
    Trainer trainer(model,
                    task.training,
                    {},
                    loss,
                    task.symmetries,
                    choices,
                    task.data_parallel ? task.communicator : Communicator());
    if (task.channel_symmetries.defined())
      trainer.set_channel_symmetries(task.channel_symmetries);
    trainer.run(false);
    model->eval();
  }
} // namespace neuraldeal
