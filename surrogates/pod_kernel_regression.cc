// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/pod_kernel_regression.h>

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
    , process({}, choices())
  {}



  GaussianProcess::Parameters
  PODKernelRegression::choices() const
  {
    return {parameters["kernel"],
            parameters["length scales"],
            parameters["inducing points"],
            parameters["exact rows"]};
  }



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
    process      = GaussianProcess(groups(), choices());
    const long n = x.size(0) / n_symmetries();
    process.maximize_evidence(by_snapshot(weighted(x), n),
                              by_snapshot(y, n),
                              parameters["evidence snapshots"],
                              n_symmetries());
  }



  void
  PODKernelRegression::learn_rows(const torch::Tensor &x,
                                  const torch::Tensor &y,
                                  const long           n)
  {
    if (n > 0)
      process.add(by_snapshot(weighted(x), n), by_snapshot(y, n));
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
    return alone(process.predict(inputs), process.leverage(inputs));
  }



  PODKernelRegression::MemberPredictions
  PODKernelRegression::regress_without(const long           index,
                                       const torch::Tensor &x,
                                       const torch::Tensor &y) const
  {
    const auto without = process.leave_out(index * n_symmetries(),
                                           (index + 1) * n_symmetries(),
                                           weighted(x),
                                           y);
    return alone(without.mean, without.leverage);
  }



  torch::Tensor
  PODKernelRegression::noise_estimate() const
  {
    return process.noise_variance();
  }



  void
  PODKernelRegression::save_regression(ModelFile &file) const
  {
    process.save(file, "kernel");
  }



  void
  PODKernelRegression::load_regression(const ModelFile &file)
  {
    process = GaussianProcess(groups(), choices());
    process.load(file, "kernel");
  }
} // namespace neuraldeal
