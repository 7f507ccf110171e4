// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/uncertainty/laplace_operator.h>

namespace neuraldeal
{
  LaplaceOperator::LaplaceOperator(
    const std::string                      &name,
    const LaplaceApproximation::Parameters &parameters,
    const long                              rank)
    : name(name)
    , parameters(parameters)
    , rank(rank)
  {}



  void
  LaplaceOperator::fit(const Task &task)
  {
    model = train_operator(task,
                           task.parameters,
                           std::make_shared<RelativeNorm>(task.norm),
                           task.options.seed);
    approximation =
      std::make_unique<LaplaceApproximation>(model, parameters, task.source);
    // Where the solution is known there is no noise to learn from.
    approximation->fit(task.training, model->unknown());
    approximation->maximize_evidence();
  }



  void
  LaplaceOperator::update(const OperatorData &data)
  {
    approximation->update(data, model->unknown());
  }



  FieldDistribution
  LaplaceOperator::predict(const OperatorData &data) const
  {
    const auto        answer = approximation->predict(data, rank);
    FieldDistribution result;
    result.mean   = answer.mean;
    result.factor = answer.factor;

    auto own = answer.variance;
    if (rank > 0)
      // What is in common takes nothing away from what there is in all.
      own = (own - answer.factor.square().sum(-1)).clamp_min(0.);
    result.variance =
      (own +
       by_channel(approximation->noise_variance().to(own.options()), own)) *
      model->unknown().to(own.options());
    return result;
  }



  void
  LaplaceOperator::save(ModelFile &file) const
  {
    file.metadata["uncertainty"] = {{"method", name}};
    model->save(file);
    approximation->save(file);
  }



  void
  LaplaceOperator::load(const ModelFile &file)
  {
    description_in(file, name);
    model = OperatorModel::load(file);
    model->eval();
    approximation = std::make_unique<LaplaceApproximation>(
      LaplaceApproximation::load(file, model));
  }



  void
  LaplaceOperator::to(const torch::TensorOptions &options)
  {
    model->to(options.device(), options.dtype().toScalarType());
    approximation->to(options.device());
  }



  void
  LaplaceOperator::register_type()
  {
    const std::vector<ParameterDescription> rank = {
      {"covariance rank",
       20,
       0,
       1e5,
       "Directions in which errors of points are predicted in common; 0 for "
       "variances alone."}};
    static const ProbabilisticOperatorRegistry::Registration last_layer(
      "last layer",
      "Bayesian linear regression in the place of the last layer.",
      rank,
      [](const nlohmann::json &given) {
        LaplaceApproximation::Parameters parameters;
        parameters.form    = "full";
        parameters.weights = "last layer";
        return std::make_unique<LaplaceOperator>("last layer",
                                                 parameters,
                                                 given["covariance rank"]);
      });
    static const ProbabilisticOperatorRegistry::Registration laplace(
      "Laplace",
      "A Gaussian around trained weights, all of them or some.",
      joined(rank, LaplaceApproximation::descriptions()),
      [](const nlohmann::json &given) {
        auto of_approximation = given;
        of_approximation.erase("covariance rank");
        return std::make_unique<LaplaceOperator>(
          "Laplace",
          LaplaceApproximation::parse(of_approximation,
                                      "the uncertainty 'Laplace'"),
          given["covariance rank"]);
      });
  }
} // namespace neuraldeal
