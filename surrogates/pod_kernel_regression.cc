// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/pod_kernel_regression.h>

#include <algorithm>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *name = "POD kernel regression";

    /** Inducing inputs, unless the parameters have their number. */
    constexpr long default_inducing = 1000;

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
       "ones; the cost of a step is cubic in it and its images."},
      {"kernel",
       "Matern 5/2",
       0,
       0,
       "Covariance of the Gaussian process, from rough to smooth: " +
         CovarianceKernel::shapes() + "."},
      {"length scales",
       "each group",
       0,
       0,
       "Lengths of the kernel: " + CovarianceKernel::length_scale_choices() +
         ". The groups are the parameters and the coefficients of the coarse "
         "solution; one for each input needs more evidence snapshots."},
      {"inducing points",
       0,
       0,
       1e5,
       "Points by which a sparse Gaussian process stands for all snapshots: a "
       "prediction costs their number squared. 0: none up to the exact rows, "
       "1000 beyond."},
      {"exact rows",
       3000,
       1,
       1e6,
       "Largest number of snapshots, times the symmetries, that is regressed "
       "without inducing points where their number is 0; a prediction costs "
       "their number squared, fitting its cube."}};
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
    , exact(
        CovarianceKernel({}, parameters["kernel"], parameters["length scales"]))
  {}



  CovarianceKernel
  PODKernelRegression::kernel() const
  {
    return CovarianceKernel({n_parameters(), prior_scales().size(0)},
                            parameters["kernel"],
                            parameters["length scales"]);
  }



  bool
  PODKernelRegression::are_many(const long n_rows) const
  {
    return parameters["inducing points"] > 0 ||
           n_rows > parameters["exact rows"].get<long>();
  }



  long
  PODKernelRegression::max_inducing() const
  {
    const long given = parameters["inducing points"];
    return given > 0 ? given : default_inducing;
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
    exact        = KernelRegression(kernel());
    sparse       = std::nullopt;
    const long n = x.size(0) / n_symmetries();
    const long n_few =
      n_symmetries() * std::min<long>(n, parameters["evidence snapshots"]);
    const auto inputs  = by_snapshot(weighted(x), n),
               outputs = by_snapshot(y, n);
    exact.maximize_evidence(inputs.slice(0, 0, n_few),
                            outputs.slice(0, 0, n_few));
    if (are_many(x.size(0)))
      {
        // A step costs in proportion to the rows, of which a multiple of the
        // inducing inputs says enough of so few hyperparameters.
        const long n_many =
          n_symmetries() *
          std::min<long>(n, 1 + 4 * max_inducing() / n_symmetries());
        sparse.emplace(kernel());
        sparse->set_hyperparameters(exact.hyperparameters());
        sparse->maximize_evidence(inputs.slice(0, 0, n_many),
                                  outputs.slice(0, 0, n_many),
                                  max_inducing());
        if (n_many < x.size(0))
          sparse->choose_inducing(inputs, max_inducing());
      }
  }



  void
  PODKernelRegression::learn_rows(const torch::Tensor &x,
                                  const torch::Tensor &y,
                                  const long           n)
  {
    if (n == 0)
      return;
    const auto inputs  = by_snapshot(weighted(x), n),
               outputs = by_snapshot(y, n);
    if (!sparse && are_many(exact.n_rows() + x.size(0)))
      {
        const auto before = exact.state();
        sparse.emplace(kernel());
        sparse->set_hyperparameters(before.hyperparameters);
        sparse->choose_inducing(torch::cat({before.inputs, inputs}),
                                max_inducing());
        sparse->add(before.inputs, before.outputs);
        exact = KernelRegression(kernel());
      }
    if (sparse)
      sparse->add(inputs, outputs);
    else
      exact.add(inputs, outputs);
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
    return sparse ? alone(sparse->predict(inputs), sparse->leverage(inputs)) :
                    alone(exact.predict(inputs), exact.leverage(inputs));
  }



  PODKernelRegression::MemberPredictions
  PODKernelRegression::regress_without(const long           index,
                                       const torch::Tensor &x,
                                       const torch::Tensor &y) const
  {
    if (sparse)
      {
        const auto without = sparse->leave_out(weighted(x), y);
        return alone(without.mean, without.leverage);
      }
    const auto without =
      exact.leave_out(index * n_symmetries(), (index + 1) * n_symmetries());
    return alone(without.mean, without.leverage);
  }



  torch::Tensor
  PODKernelRegression::noise_estimate() const
  {
    return sparse ? sparse->noise_variance() : exact.noise_variance();
  }



  void
  PODKernelRegression::save_regression(ModelFile &file) const
  {
    file.metadata["kernel"] = {{"shape", parameters["kernel"]},
                               {"length scales", parameters["length scales"]}};
    if (sparse)
      {
        const auto state                       = sparse->state();
        file.metadata["kernel rows"]           = state.n_rows;
        file.tensors["kernel.hyperparameters"] = state.hyperparameters;
        file.tensors["kernel.inducing"]        = state.inducing;
        file.tensors["kernel.gram"]            = state.gram;
        file.tensors["kernel.moments"]         = state.moments;
        file.tensors["kernel.squares"]         = state.squares;
        return;
      }
    const auto state                       = exact.state();
    file.tensors["kernel.hyperparameters"] = state.hyperparameters;
    file.tensors["kernel.inputs"]          = state.inputs;
    file.tensors["kernel.outputs"]         = state.outputs;
    file.tensors["kernel.factor"]          = state.factor;
    file.tensors["kernel.whitened"]        = state.whitened;
  }



  void
  PODKernelRegression::load_regression(const ModelFile &file)
  {
    const auto described = [](const nlohmann::json &shape,
                              const nlohmann::json &length_scales) {
      return nlohmann::json{{"shape", shape}, {"length scales", length_scales}};
    };
    const auto own =
      described(parameters["kernel"], parameters["length scales"]);
    // Files of the time before there was a choice have the defaults.
    const auto found = file.metadata.contains("kernel") ?
                         file.get<nlohmann::json>("kernel") :
                         described("Matern 5/2", "each group");
    if (found != own)
      throw FileError(file.filename,
                      fmt::format("its kernel is {}, that of this program's "
                                  "parameters {}",
                                  found.dump(),
                                  own.dump()));
    exact  = KernelRegression(kernel());
    sparse = std::nullopt;

    const auto hyperparameters = file.tensor("kernel.hyperparameters");
    if (hyperparameters.sizes() != exact.hyperparameters().sizes())
      throw FileError(file.filename,
                      fmt::format("its kernel has {} hyperparameters, that of "
                                  "this program's parameters {}",
                                  hyperparameters.numel(),
                                  exact.hyperparameters().numel()));
    if (file.tensors.count("kernel.inducing") > 0)
      {
        sparse.emplace(kernel());
        sparse->set_state({hyperparameters,
                           file.tensor("kernel.inducing"),
                           file.tensor("kernel.gram"),
                           file.tensor("kernel.moments"),
                           file.tensor("kernel.squares"),
                           file.get<long>("kernel rows")});
      }
    else
      exact.set_state({hyperparameters,
                       file.tensor("kernel.inputs"),
                       file.tensor("kernel.outputs"),
                       file.tensor("kernel.factor"),
                       file.tensor("kernel.whitened")});
  }
} // namespace neuraldeal
