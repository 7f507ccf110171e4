// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_acquisition_feasibility_model_h
#define neuraldeal_surrogates_acquisition_feasibility_model_h

#include <neuraldeal/surrogates/acquisition/standardized_inputs.h>
#include <neuraldeal/surrogates/kernel_regression.h>
#include <neuraldeal/surrogates/registry.h>

#include <optional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * The probability that a solve succeeds, from solves that have succeeded and
   * failed. KernelRegression of ±1 on the inputs, its hyperparameters by
   * evidence (least-squares classification, Rasmussen and Williams, "Gaussian
   * processes for machine learning", 2006, section 6.5), gives a number f;
   * probabilities are
   *   p = 1/(1 + exp(−(a f + b)))
   * with a ≥ 0 and b of the largest likelihood for the f of the samples, each
   * predicted with itself left out: Platt's calibration ("Probabilistic
   * outputs for support vector machines", 1999), with his targets, (n₊ + 1)/
   * (n₊ + 2) and 1/(n₋ + 2) in place of 1 and 0, so that p is never certain.
   *
   * Where all samples have had the same fate, p is everywhere (n₊ + 1)/(n + 2),
   * Laplace's rule of succession.
   */
  class FeasibilityModel
  {
  public:
    /** The parameters there are: "kernel", of CovarianceKernel. */
    static std::vector<ParameterDescription>
    parameters();

    /**
     * @param parameters overrides of the defaults.
     * @param source where they come from, for error messages.
     * @throw InputError for a wrong entry.
     */
    explicit FeasibilityModel(
      const nlohmann::json &parameters = nlohmann::json::object(),
      const std::string    &source     = "the feasibility model");

    /**
     * Learn these samples, and forget others. O(n³) operations.
     * @param inputs [n, d]
     * @param succeeded [n] bool
     * @throw InputError for shapes that do not fit.
     */
    void
    fit(const torch::Tensor &inputs, const torch::Tensor &succeeded);

    /** The probability of success, [n, d] → [n] float64 in (0, 1). */
    torch::Tensor
    probability(const torch::Tensor &inputs) const;

  private:
    std::string                     kernel;
    StandardizedInputs              standardized;
    double                          mean = 0.;  ///< of ±1
    std::optional<KernelRegression> regression; ///< unless all are the same
    double                          slope = 0., offset = 0.; ///< a, b
  };
} // namespace neuraldeal

#endif
