// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_quantity_model_h
#define neuraldeal_surrogates_quantity_model_h

#include <neuraldeal/surrogates/acquisition/error_process.h>
#include <neuraldeal/surrogates/acquisition/standardized_inputs.h>

#include <optional>

namespace neuraldeal
{
  /**
   * What solved inputs tell of a number that solutions have, a quantity of
   * interest q(x), elsewhere: the Gaussian process of ErrorProcess, with a
   * length for each input, on the values themselves. (That of kriging, as the
   * methods by thresholds and improvements want it: see gaussian_scores.)
   *
   * Its mean and covariance follow from the lengths up to a factor σ², the
   * variance of the process. That is the one by which the errors e_i of the
   * solved inputs, each left out, are as large as they were expected to be:
   *   σ² = (1/m) Σ_i e_i²/c_i
   * with c_i the variances that they had (Sundararajan and Keerthi, Neural
   * Computation 13, 2001, by whose criterion it is the best one).
   * Other than the variance of the largest likelihood it does not rest on the
   * values being those of such a process.
   */
  class QuantityModel
  {
  public:
    /**
     * Learn these values, and forget others. O(n³) operations.
     * @param inputs [n, d], n ≥ 2; inputs that act by their logarithm are best
     * given so.
     * @param values [n], finite, in any unit.
     * @throw InputError for shapes that do not fit, values that are not
     * finite, and fewer than two of them.
     */
    void
    fit(const torch::Tensor &inputs, const torch::Tensor &values);

    /** All [n] float64, in the unit of the values. */
    struct Prediction
    {
      torch::Tensor mean;

      /**
       * Of what a solve would give, noise included; zero where all values
       * have been the same.
       */
      torch::Tensor deviation;
    };

    /** The quantity at other inputs, [n, d]. */
    Prediction
    predict(const torch::Tensor &inputs) const;

    /** The process of (q − center())/unit(), on standardized inputs. */
    const ErrorProcess &
    process() const;

    /** The mean of the values. */
    double
    center() const
    {
      return mean;
    }

    /** The largest distance of a value from that. */
    double
    unit() const
    {
      return largest;
    }

  private:
    StandardizedInputs          standardized;
    std::optional<ErrorProcess> learned;
    double                      mean = 0., largest = 1.;
    double                      variance = 0.; ///< σ² of the process
  };
} // namespace neuraldeal

#endif
