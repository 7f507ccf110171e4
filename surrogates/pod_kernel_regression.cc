// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/pod_kernel_regression.h>

#include <algorithm>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *name = "POD kernel regression";

    /** Rows g·n + i, image g of snapshot i, as i·G + g. */
    torch::Tensor
    by_snapshot(const torch::Tensor &rows, const long n)
    {
      return rows.reshape({-1, n, rows.size(1)})
        .transpose(0, 1)
        .reshape({-1, rows.size(1)});
    }
  } // namespace



  void
  PODKernelRegression::register_type()
  {
    const std::vector<ParameterDescription> own = {
      {"evidence snapshots",
       128,
       2,
       1e6,
       "Snapshots whose likelihood chooses the hyperparameters, the first "
       "ones; the cost of a step is cubic in it and its images."}};
    static const SurrogateRegistry::Registration registration(
      name,
      "Gaussian process regression from the parameters and the coarse "
      "solution to the POD coefficients of its correction: no network, closed "
      "form.",
      joined(own, common_parameters()),
      [](const std::vector<InputRange> &inputs,
         const nlohmann::json          &parameters) {
        return std::make_unique<PODKernelRegression>(inputs, parameters);
      });
  }



  PODKernelRegression::PODKernelRegression(
    const std::vector<InputRange> &inputs,
    const nlohmann::json          &parameters)
    : PODSurrogate(name, inputs, parameters)
    , regression({})
  {}



  std::vector<long>
  PODKernelRegression::groups() const
  {
    return {n_parameters(), prior_scales().size(0)};
  }



  torch::Tensor
  PODKernelRegression::weighted(const torch::Tensor &x) const
  {
    const auto &scales  = prior_scales();
    const auto  weights = scales / scales.square().mean().sqrt();
    return torch::cat({x.slice(1, 0, n_parameters()),
                       x.slice(1, n_parameters()) * weights},
                      1);
  }



  void
  PODKernelRegression::train_regression(const torch::Tensor &x,
                                        const torch::Tensor &y,
                                        const Communicator &)
  {
    regression   = KernelRegression(groups());
    const long n = x.size(0) / n_symmetries();
    const long n_few =
      n_symmetries() * std::min<long>(n, parameters["evidence snapshots"]);
    regression.maximize_evidence(by_snapshot(weighted(x), n).slice(0, 0, n_few),
                                 by_snapshot(y, n).slice(0, 0, n_few));
  }



  void
  PODKernelRegression::learn_rows(const torch::Tensor &x,
                                  const torch::Tensor &y,
                                  const long           n)
  {
    if (n > 0)
      regression.add(by_snapshot(weighted(x), n), by_snapshot(y, n));
  }



  PODKernelRegression::MemberPredictions
  PODKernelRegression::alone(const torch::Tensor &mean,
                             const torch::Tensor &leverage)
  {
    return {mean, torch::zeros_like(mean).unsqueeze(1), leverage};
  }



  PODKernelRegression::MemberPredictions
  PODKernelRegression::regress(const torch::Tensor &x) const
  {
    const auto inputs = weighted(x);
    return alone(regression.predict(inputs), regression.leverage(inputs));
  }



  PODKernelRegression::MemberPredictions
  PODKernelRegression::regress_without(const long index,
                                       const torch::Tensor &,
                                       const torch::Tensor &) const
  {
    const auto without = regression.leave_out(index * n_symmetries(),
                                              (index + 1) * n_symmetries());
    return alone(without.mean, without.leverage);
  }



  torch::Tensor
  PODKernelRegression::noise_estimate() const
  {
    return regression.noise_variance();
  }



  void
  PODKernelRegression::save_regression(ModelFile &file) const
  {
    const auto state                       = regression.state();
    file.tensors["kernel.hyperparameters"] = state.hyperparameters;
    file.tensors["kernel.inputs"]          = state.inputs;
    file.tensors["kernel.outputs"]         = state.outputs;
    file.tensors["kernel.factor"]          = state.factor;
    file.tensors["kernel.whitened"]        = state.whitened;
  }



  void
  PODKernelRegression::load_regression(const ModelFile &file)
  {
    regression = KernelRegression(groups());
    regression.set_state({file.tensor("kernel.hyperparameters"),
                          file.tensor("kernel.inputs"),
                          file.tensor("kernel.outputs"),
                          file.tensor("kernel.factor"),
                          file.tensor("kernel.whitened")});
  }
} // namespace neuraldeal
