// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/uncertainty/operator_ensemble.h>

namespace neuraldeal
{
  OperatorEnsemble::OperatorEnsemble(const Parameters &parameters)
    : chosen(parameters)
  {}



  bool
  OperatorEnsemble::fits(const std::string &type) const
  {
    return operator_has_parameter(type, "members") || is_shared_out();
  }



  void
  OperatorEnsemble::fit(const Task &task)
  {
    check_fits(chosen.name, task);
    models.clear();
    const auto of_member = std::make_shared<RelativeNorm>(task.norm);
    // On a CPU members learn faster one after another than in one pass, and
    // several processes share them out; layers in common need one pass.
    if (operator_has_parameter(task.type, "members") &&
        (!is_shared_out() || !task.training.target.is_cpu()))
      {
        auto parameters            = task.parameters;
        parameters["members"]      = chosen.members;
        parameters["shared trunk"] = chosen.shared_trunk;
        models.push_back(
          train_operator(task,
                         parameters,
                         std::make_shared<EnsembleLoss>(of_member,
                                                        task.norm,
                                                        chosen.diversity),
                         task.options.seed));
        return;
      }
    models = train_operators(task, task.parameters, of_member, chosen.members);
  }



  torch::Tensor
  OperatorEnsemble::members(const OperatorData &data) const
  {
    const torch::NoGradGuard no_gradients;
    if (models.size() == 1)
      return models[0]->forward(data);
    std::vector<torch::Tensor> answers;
    for (const auto &model : models)
      answers.push_back(model->forward(data));
    return torch::stack(answers);
  }



  FieldDistribution
  OperatorEnsemble::predict(const OperatorData &data) const
  {
    return FieldDistribution::of_samples(members(data));
  }



  void
  OperatorEnsemble::save(ModelFile &file) const
  {
    file.metadata["uncertainty"] = {{"method", chosen.name},
                                    {"models", models.size()}};
    for (std::size_t i = 0; i < models.size(); ++i)
      models[i]->save(file, "operator_" + std::to_string(i));
  }



  void
  OperatorEnsemble::load(const ModelFile &file)
  {
    const auto description = description_in(file, chosen.name);
    const auto n           = description.value("models", nlohmann::json());
    if (!n.is_number_integer() || n.get<long>() < 1 || n.get<long>() > 10000)
      throw FileError(file.filename, "its number of operators is damaged");
    models.clear();
    for (long i = 0; i < n.get<long>(); ++i)
      {
        models.push_back(
          OperatorModel::load(file, "operator_" + std::to_string(i)));
        models.back()->eval();
      }
  }



  void
  OperatorEnsemble::to(const torch::TensorOptions &options)
  {
    for (const auto &model : models)
      model->to(options.device(), options.dtype().toScalarType());
  }



  void
  OperatorEnsemble::register_type()
  {
    const auto add = [](const std::string &name,
                        const std::string &documentation,
                        const long         members,
                        const bool         shared_trunk,
                        const double       diversity) {
      std::vector<ParameterDescription> parameters = {
        {"members", members, 2, 256, "Number of members."}};
      if (shared_trunk)
        parameters.push_back({"diversity",
                              diversity,
                              0.,
                              0.5,
                              "Weight of the distance between members in what "
                              "is minimised; one half makes it a proper "
                              "score."});
      ProbabilisticOperatorRegistry::Registration(
        name, documentation, parameters, [=](const nlohmann::json &given) {
          return std::make_unique<OperatorEnsemble>(
            Parameters{name,
                       given["members"],
                       shared_trunk,
                       given.value("diversity", 0.)});
        });
    };
    static const bool once = [&]() {
      add("deep ensemble",
          "Operators with different random starts.",
          5,
          false,
          0.);
      add("multi-head ensemble",
          "Last layers with different random starts, on shared ones.",
          10,
          true,
          0.2);
      add("energy score",
          "Last layers that are trained to be samples of a distribution.",
          10,
          true,
          0.5);
      return true;
    }();
    (void)once;
  }
} // namespace neuraldeal
