// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/acquisition/cost_model.h>

#include <algorithm>

namespace neuraldeal
{
  namespace
  {
    /** With fewer costs nothing is said of what they depend on. */
    constexpr long fewest_for_evidence = 3;

  } // namespace



  std::vector<ParameterDescription>
  CostModel::parameters()
  {
    return {{"regression",
             "kernel",
             0.,
             0.,
             "How the logarithm of the cost depends on the inputs: kernel or "
             "linear."}};
  }



  CostModel::CostModel(const nlohmann::json &given, const std::string &source)
  {
    regression = complete_parameters(parameters(), given, source)["regression"];
    check_choice(source, "regression", regression, {"kernel", "linear"});
  }



  torch::Tensor
  CostModel::features(const torch::Tensor &inputs,
                      const torch::Tensor &fidelities) const
  {
    const auto x = standardized(inputs);
    const long n = x.size(0);
    if (levels.empty() && !fidelities.defined())
      return x;
    if (!fidelities.defined() || fidelities.dim() != 1 ||
        fidelities.size(0) != n || fidelities.scalar_type() != torch::kInt64 ||
        levels.empty())
      throw InputError("the program",
                       "the shape of the cost model's fidelities",
                       fidelities.defined() ?
                         c10::str(fidelities.sizes()) + " " +
                           c10::toString(fidelities.scalar_type()) :
                         "nothing",
                       levels.empty() ?
                         "nothing, for they have not been learned" :
                         fmt::format("[{}] Long", n));

    const auto names = fidelities.cpu().contiguous();
    auto indicators  = torch::zeros({n, long(levels.size())}, torch::kFloat64);
    for (long i = 0; i < n; ++i)
      {
        const std::int64_t name = names.data_ptr<std::int64_t>()[i];
        const auto level = std::lower_bound(levels.begin(), levels.end(), name);
        if (level == levels.end() || *level != name)
          {
            std::vector<std::string> valid;
            for (const auto known : levels)
              valid.push_back(std::to_string(known));
            throw InputError("the program",
                             "a fidelity of the cost model",
                             std::to_string(name),
                             "one of those learned: " + listed(valid));
          }
        indicators[i][level - levels.begin()] = 1.;
      }
    return torch::cat({x, indicators}, 1);
  }



  void
  CostModel::fit(const torch::Tensor &inputs,
                 const torch::Tensor &costs,
                 const torch::Tensor &fidelities)
  {
    if (inputs.dim() != 2 || inputs.size(0) == 0)
      throw InputError("the program",
                       "the shape of the cost model's inputs",
                       c10::str(inputs.sizes()),
                       "[n, d] with one row at least");
    const long n = inputs.size(0), d = inputs.size(1);
    if (costs.dim() != 1 || costs.size(0) != n)
      throw InputError("the program",
                       "the shape of the costs",
                       c10::str(costs.sizes()),
                       fmt::format("[{}]", n));
    const auto cost = costs.detach().to(torch::kCPU, torch::kFloat64);
    for (long i = 0; i < n; ++i)
      if (const double c = cost[i].item<double>();
          !(c > 0. && std::isfinite(c)))
        throw InputError("the program",
                         fmt::format("cost {}", i),
                         fmt::format("{}", c),
                         "a finite positive number");

    levels.clear();
    if (fidelities.defined() && fidelities.dim() == 1 &&
        fidelities.scalar_type() == torch::kInt64)
      {
        const auto  names = fidelities.cpu().contiguous();
        const auto *data  = names.data_ptr<std::int64_t>();
        levels.assign(data, data + names.size(0));
        std::sort(levels.begin(), levels.end());
        levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
      }
    standardized = StandardizedInputs(inputs, "cost model");

    const auto phi = features(inputs, fidelities);
    auto       y   = cost.log();
    mean           = y.mean().item<double>();
    y              = (y - mean).unsqueeze(1);

    linear.reset();
    kernel.reset();
    if (regression == "linear")
      {
        linear.emplace(phi.size(1), 1);
        linear->add(phi, y);
        if (n < fewest_for_evidence)
          linear->set_regularization(1.);
        else
          linear->maximize_evidence();
      }
    else
      {
        std::vector<long> groups(d, 1);
        if (!levels.empty())
          groups.push_back(long(levels.size()));
        kernel.emplace(groups);
        // Recorded times have noise: the search starts where some of it is.
        auto start = kernel->hyperparameters();
        start[-1]  = std::log(0.01);
        kernel->set_hyperparameters(start);
        if (n >= fewest_for_evidence)
          kernel->maximize_evidence(phi, y);
        kernel->add(phi, y);
      }
  }



  CostModel::Prediction
  CostModel::predict(const torch::Tensor &inputs,
                     const torch::Tensor &fidelities) const
  {
    TORCH_CHECK(linear || kernel, "The cost model has learned nothing.");
    const auto phi = features(inputs, fidelities);
    const auto logarithm =
      mean + (linear ? linear->predict(phi) : kernel->predict(phi)).squeeze(1);
    const auto noise =
      linear ? linear->noise_variance() : kernel->noise_variance();
    const auto leverage =
      linear ? linear->leverage(phi) : kernel->leverage(phi);
    const auto variance = noise * (1. + leverage);
    return {(logarithm + 0.5 * variance).exp(),
            logarithm.exp(),
            variance.sqrt()};
  }
} // namespace neuraldeal
