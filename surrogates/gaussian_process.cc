// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/gaussian_process.h>

#include <algorithm>
#include <numeric>

namespace neuraldeal
{
  namespace
  {
    /** Inducing inputs, unless the parameters have their number. */
    constexpr long default_inducing = 1000;
  } // namespace



  GaussianProcess::GaussianProcess(const std::vector<long> &groups,
                                   const Parameters        &parameters)
    : groups(groups)
    , parameters(parameters)
    , exact(kernel())
  {}



  CovarianceKernel
  GaussianProcess::kernel() const
  {
    return CovarianceKernel(groups,
                            parameters.kernel,
                            parameters.length_scales);
  }



  bool
  GaussianProcess::are_many(const long n_rows) const
  {
    return parameters.inducing_points > 0 || n_rows > parameters.exact_rows;
  }



  long
  GaussianProcess::max_inducing() const
  {
    return parameters.inducing_points > 0 ? parameters.inducing_points :
                                            default_inducing;
  }



  void
  GaussianProcess::maximize_evidence(const torch::Tensor &x,
                                     const torch::Tensor &y,
                                     const long           n_evidence,
                                     const long           n_images)
  {
    exact            = KernelRegression(kernel());
    sparse           = std::nullopt;
    const long n     = x.size(0) / n_images;
    const long n_few = n_images * std::min(n, n_evidence);
    exact.maximize_evidence(x.slice(0, 0, n_few), y.slice(0, 0, n_few));
    if (are_many(x.size(0)) && parameters.search_bound)
      {
        // A step costs in proportion to the rows, of which a multiple of the
        // inducing inputs says enough of so few hyperparameters.
        const long n_many =
          n_images * std::min(n, 1 + 4 * max_inducing() / n_images);
        sparse.emplace(kernel());
        sparse->set_hyperparameters(exact.hyperparameters());
        sparse->maximize_evidence(x.slice(0, 0, n_many),
                                  y.slice(0, 0, n_many),
                                  max_inducing());
        if (n_many < x.size(0))
          sparse->choose_inducing(x, max_inducing());
      }
  }



  void
  GaussianProcess::add(const torch::Tensor &x, const torch::Tensor &y)
  {
    if (x.size(0) == 0)
      return;
    if (!sparse && are_many(exact.n_rows() + x.size(0)))
      {
        const auto before   = exact.state();
        const bool has_rows = before.inputs.defined();
        const auto all      = has_rows ? torch::cat({before.inputs, x}) : x;
        sparse.emplace(kernel());
        sparse->set_hyperparameters(before.hyperparameters);
        sparse->choose_inducing(all, max_inducing());
        if (has_rows)
          sparse->add(before.inputs, before.outputs);
        exact = KernelRegression(kernel());
      }
    if (sparse)
      sparse->add(x, y);
    else
      exact.add(x, y);
  }



  torch::Tensor
  GaussianProcess::predict(const torch::Tensor &x) const
  {
    return sparse ? sparse->predict(x) : exact.predict(x);
  }



  torch::Tensor
  GaussianProcess::leverage(const torch::Tensor &x) const
  {
    return sparse ? sparse->leverage(x) : exact.leverage(x);
  }



  KernelRegression::LeftOut
  GaussianProcess::leave_out(const long           begin,
                             const long           end,
                             const torch::Tensor &x,
                             const torch::Tensor &y) const
  {
    if (!sparse)
      return exact.leave_out(begin, end);
    const auto without = sparse->leave_out(x, y);
    return {without.mean, without.leverage};
  }



  torch::Tensor
  GaussianProcess::noise_variance() const
  {
    return sparse ? sparse->noise_variance() : exact.noise_variance();
  }



  torch::Tensor
  GaussianProcess::hyperparameters() const
  {
    return sparse ? sparse->hyperparameters() : exact.hyperparameters();
  }



  void
  GaussianProcess::save(ModelFile &file, const std::string &name) const
  {
    file.metadata[name] = {{"shape", parameters.kernel},
                           {"length scales", parameters.length_scales}};
    const auto put = [&](const std::string &part, const torch::Tensor &tensor) {
      file.tensors[name + "." + part] = tensor;
    };
    if (sparse)
      {
        const auto state              = sparse->state();
        file.metadata[name + " rows"] = state.n_rows;
        put("hyperparameters", state.hyperparameters);
        put("inducing", state.inducing);
        put("gram", state.gram);
        put("moments", state.moments);
        put("squares", state.squares);
        return;
      }
    const auto state = exact.state();
    put("hyperparameters", state.hyperparameters);
    put("inputs", state.inputs);
    put("outputs", state.outputs);
    put("factor", state.factor);
    put("whitened", state.whitened);
  }



  void
  GaussianProcess::load(const ModelFile &file, const std::string &name)
  {
    const auto described = [](const nlohmann::json &shape,
                              const nlohmann::json &length_scales) {
      return nlohmann::json{{"shape", shape}, {"length scales", length_scales}};
    };
    const auto own = described(parameters.kernel, parameters.length_scales);
    // Files of the time before there was a choice have the defaults.
    const auto found = file.metadata.contains(name) ?
                         file.get<nlohmann::json>(name) :
                         described("Matern 5/2", "each group");
    if (found != own)
      throw FileError(file.filename,
                      fmt::format("its kernel is {}, that of this program's "
                                  "parameters {}",
                                  found.dump(),
                                  own.dump()));
    exact  = KernelRegression(kernel());
    sparse = std::nullopt;

    const auto hyperparameters = file.tensor(name + ".hyperparameters");
    if (hyperparameters.sizes() != exact.hyperparameters().sizes())
      throw FileError(file.filename,
                      fmt::format("its kernel has {} hyperparameters, that of "
                                  "this program's parameters {}",
                                  hyperparameters.numel(),
                                  exact.hyperparameters().numel()));
    const long n_inputs = std::accumulate(groups.begin(), groups.end(), 0l);
    const auto take     = [&](const std::string               &part,
                          const std::vector<std::int64_t> &shape) {
      const auto &tensor = file.tensor(name + "." + part);
      const bool  fits =
        tensor.scalar_type() == torch::kFloat64 &&
        tensor.dim() == static_cast<std::int64_t>(shape.size()) &&
        std::equal(shape.begin(),
                   shape.end(),
                   tensor.sizes().begin(),
                   [](const std::int64_t wanted, const std::int64_t size) {
                     return wanted < 0 || wanted == size;
                   });
      if (!fits)
        throw FileError(file.filename,
                        "its tensor " + name + "." + part +
                          " has another shape or type than its kernel");
      return tensor;
    };
    if (file.tensors.count(name + ".inducing") > 0)
      {
        const auto inducing = take("inducing", {-1, n_inputs});
        const auto m        = inducing.size(0);
        const auto moments  = take("moments", {m, -1});
        sparse.emplace(kernel());
        sparse->set_state({hyperparameters,
                           inducing,
                           take("gram", {m, m}),
                           moments,
                           take("squares", {moments.size(1)}),
                           file.get<long>(name + " rows")});
        return;
      }
    const auto inputs  = take("inputs", {-1, n_inputs});
    const auto n       = inputs.size(0);
    const auto outputs = take("outputs", {n, -1});
    exact.set_state({hyperparameters,
                     inputs,
                     outputs,
                     take("factor", {n, n}),
                     take("whitened", {n, outputs.size(1)})});
  }
} // namespace neuraldeal
