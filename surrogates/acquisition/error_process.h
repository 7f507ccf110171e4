// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_acquisition_error_process_h
#define neuraldeal_surrogates_acquisition_error_process_h

#include <neuraldeal/surrogates/kernel_regression.h>

#include <optional>
#include <string>

namespace neuraldeal
{
  /**
   * What solved samples tell of the errors elsewhere: a Gaussian process with
   * one length for each feature, which may vary from place to place (see
   * CovarianceKernel), and how much larger or smaller errors are in one place
   * than in another beyond that.
   *
   * Its variance c(x) = v(x) + λ, over the one of the process, depends on where
   * the samples are. Each of them, left out, has an error e_i and had the
   * variance c_i. A second process, on the same features, learns log(e_i²/c_i),
   * and the expected square of the error at x is level(x) c(x).
   *
   * Lengths are those of the largest evidence of the modes (principal
   * components) that hold most of the values: in the evidence of all of them,
   * where each has a variance of its own, the many that are hardly there would
   * outweigh the few that matter. The search starts at the best length that all
   * features share and at the usual place, and the better end counts. From
   * there on lengths may vary. Of both, and of those of other samples where
   * there are more than their number for the evidence, the ones with the
   * smallest mean error of samples that are left out are taken.
   *
   * All tensors are float64 on the CPU.
   */
  class ErrorProcess
  {
  public:
    struct Parameters
    {
      std::string kernel = "Matern 5/2"; ///< of CovarianceKernel

      /** Samples, evenly among all, whose evidence chooses the lengths. */
      long evidence_samples = 160;

      /** What the other modes may have of Σ_i |y_i|². */
      double neglected = 0.02;

      /** Whether lengths may vary. */
      bool varying = true;

      /**
       * Whether errors have another level in other places; otherwise that is
       * one everywhere.
       */
      bool local = true;
    };

    /**
     * @param features [m, F], m ≥ 2, of the same order of magnitude.
     * @param values y_i [m, r], in an orthonormal basis: the norm of a row is
     * that of a field.
     * @param norms by which errors are to be divided, [m] positive; undefined:
     * not at all.
     */
    ErrorProcess(const torch::Tensor &features,
                 const torch::Tensor &values,
                 const torch::Tensor &norms,
                 const Parameters    &parameters);

    ErrorProcess(const torch::Tensor &features,
                 const torch::Tensor &values,
                 const torch::Tensor &norms = torch::Tensor())
      : ErrorProcess(features, values, norms, Parameters())
    {}

    /** The process that has learned all values. */
    const KernelRegression &
    regression() const
    {
      return process;
    }

    /** Its kernel. */
    const CovarianceKernel &
    covariance() const
    {
      return process.covariance();
    }

    /** λ */
    double
    noise() const;

    /**
     * Each sample's error when it is left out, over its norm, [m]. The lengths
     * have seen it.
     */
    const torch::Tensor &
    left_out_errors() const
    {
      return errors;
    }

    /** The variances c_i that they had, over that of the process, [m]. */
    const torch::Tensor &
    left_out_variances() const
    {
      return variances;
    }

    /** Expected squares of errors over c, [n, F] → [n]. */
    torch::Tensor
    level(const torch::Tensor &features) const;

  private:
    KernelRegression                process;
    torch::Tensor                   errors, variances;
    std::optional<KernelRegression> logarithms; ///< of the level
    double                          mean = 0., span = 0.;
  };
} // namespace neuraldeal

#endif
