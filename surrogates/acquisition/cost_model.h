// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_acquisition_cost_model_h
#define neuraldeal_surrogates_acquisition_cost_model_h

#include <neuraldeal/surrogates/acquisition/standardized_inputs.h>
#include <neuraldeal/surrogates/kernel_regression.h>
#include <neuraldeal/surrogates/linear_regression.h>
#include <neuraldeal/surrogates/registry.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * What a solve will cost, from recorded costs (seconds, or iterations): the
   * regression of the logarithm of the cost on the inputs, which makes factors
   * of influences and cannot predict a negative cost. Solves of several
   * fidelities, such as levels of refinement, are learned together: each has an
   * indicator of its own beside the inputs, so that what is common to them, how
   * the cost depends on the inputs, is learned from all. With "linear"
   * regression fidelities differ by factors, with "kernel" regression, a
   * Gaussian process, in their dependence on the inputs as well.
   *
   * The logarithm is predicted as a Gaussian, so that the cost is lognormal.
   */
  class CostModel
  {
  public:
    /** The parameters there are: "regression", kernel or linear. */
    static std::vector<ParameterDescription>
    parameters();

    /**
     * @param parameters overrides of the defaults.
     * @param source where they come from, for error messages.
     * @throw InputError for a wrong entry.
     */
    explicit CostModel(
      const nlohmann::json &parameters = nlohmann::json::object(),
      const std::string    &source     = "the cost model");

    /**
     * Learn these costs, and forget others.
     * @param inputs [n, d], n ≥ 1; inputs that act by their logarithm are best
     * given so.
     * @param costs [n], positive, in any unit.
     * @param fidelities the name of each one's fidelity, any integer, [n]
     * int64; undefined where there is only one.
     * @throw InputError for shapes that do not fit and costs that are none.
     */
    void
    fit(const torch::Tensor &inputs,
        const torch::Tensor &costs,
        const torch::Tensor &fidelities = torch::Tensor());

    /** All [n] float64. */
    struct Prediction
    {
      torch::Tensor expected;      ///< in the unit of the costs
      torch::Tensor median;        ///< in the unit of the costs
      torch::Tensor log_deviation; ///< of the logarithm of one further cost
    };

    /**
     * The costs of other solves; see fit().
     * @throw InputError for a fidelity of which there has been no cost.
     */
    Prediction
    predict(const torch::Tensor &inputs,
            const torch::Tensor &fidelities = torch::Tensor()) const;

  private:
    /** Inputs in deviations from their mean, then indicators, [n, p]. */
    torch::Tensor
    features(const torch::Tensor &inputs,
             const torch::Tensor &fidelities) const;

    std::string                     regression;
    std::vector<std::int64_t>       levels; ///< ascending
    StandardizedInputs              standardized;
    double                          mean = 0.; ///< of the logarithms
    std::optional<LinearRegression> linear;
    std::optional<KernelRegression> kernel;
  };
} // namespace neuraldeal

#endif
