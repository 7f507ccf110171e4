// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_gaussian_operator_h
#define neuraldeal_surrogates_uncertainty_gaussian_operator_h

#include <neuraldeal/surrogates/training/losses.h>
#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

namespace neuraldeal
{
  /**
   * One operator that answers with a Gaussian in every value: it has two output
   * channels for each of the field, mean and logarithm of the variance, and is
   * trained by their likelihood (Nix and Weigend, ICNN 1994; Kendall and Gal,
   * arXiv:1703.04977). What it learns is the noise of the targets, that is what
   * the inputs do not tell of them; of what the network does not know it learns
   * as much as there are errors left on the samples that it is trained with.
   * Errors of different points are taken for independent. Where targets have no
   * noise this is too little by far, and has to be calibrated on others.
   *
   * In the notation of OperatorModel, with N = (μ, r),
   *   u_c(a, p) = p + φ s (μ + e^{σ/2} ξ),  ξ ~ N(0, 1),
   * with the log-variance σ that GaussianLikelihood makes of r. Where φ is zero
   * the mean is exact and the variance zero, and nothing is learned. The
   * variance starts at φ² s², near the mean square of all targets, that is of
   * the errors of a zero prediction. A share of the epochs is for the means
   * alone: variances that are small before the means are right send the weights
   * astray, and those that are learned for long become as small as the errors
   * on the samples that it is trained with, where targets have no noise. β
   * weighs errors by the predicted variance, without which they are learned
   * last where they are largest (Seitzer, Tavakoli, Antic and Martius,
   * arXiv:2203.09168).
   *
   * It fits operators whose channels are fields by themselves: not those on
   * given modes, and not those whose channels are times.
   */
  class GaussianOperator : public ProbabilisticOperator
  {
  public:
    struct Parameters
    {
      double mean_first = 0.5; ///< share of the epochs for means alone
      double beta       = 0.;  ///< as in GaussianLikelihood, afterwards
      double bound = 20.; ///< likewise; of the variance over that of targets
    };

    explicit GaussianOperator(const Parameters &parameters);

    bool
    fits(const std::string &type) const override;

    void
    fit(const Task &task) override;

    FieldDistribution
    predict(const OperatorData &data) const override;

    void
    save(ModelFile &file) const override;

    void
    load(const ModelFile &file) override;

    void
    to(const torch::TensorOptions &options) override;

    /** Make this class known under the name "Gaussian likelihood". */
    static void
    register_type();

  private:
    /** The coarse solution as channels of the input, and nothing else. */
    OperatorData
    of_network(const OperatorData &data) const;

    /** φ s, as what @p fields are multiplied by. */
    torch::Tensor
    unit(const torch::Tensor &fields) const;

    Parameters                     chosen;
    std::shared_ptr<OperatorModel> model;  ///< from all inputs to μ and r
    torch::Tensor                  scale;  ///< s, [c]
    torch::Tensor                  factor; ///< φ, [1] or broadcast to fields
  };
} // namespace neuraldeal

#endif
