// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_laplace_operator_h
#define neuraldeal_surrogates_uncertainty_laplace_operator_h

#include <neuraldeal/surrogates/uncertainty/laplace.h>
#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

namespace neuraldeal
{
  /**
   * One operator, trained as if there were no uncertainty, and Laplace's
   * approximation around its weights afterwards. Under two names: "last layer"
   * is Bayesian linear regression on what the last layer reads, "Laplace" any
   * of the forms and choices of weights of LaplaceApproximation.
   *
   * The distribution has the variance of the linearised operator and that of
   * the noise in every value, and as much of it in common as `rank` says.
   */
  class LaplaceOperator : public ProbabilisticOperator
  {
  public:
    /** @param name one of the two. */
    LaplaceOperator(const std::string                      &name,
                    const LaplaceApproximation::Parameters &parameters,
                    const long                              rank);

    void
    fit(const Task &task) override;

    /** That of a full matrix, as a last layer has it. */
    bool
    supports_update() const override
    {
      return parameters.form == "full";
    }

    void
    update(const OperatorData &data) override;

    FieldDistribution
    predict(const OperatorData &data) const override;

    void
    save(ModelFile &file) const override;

    void
    load(const ModelFile &file) override;

    void
    to(const torch::TensorOptions &options) override;

    /** Make this class known under its names. */
    static void
    register_type();

  private:
    const std::string                      name;
    const LaplaceApproximation::Parameters parameters;
    const long                             rank; ///< of the covariance factor

    std::shared_ptr<OperatorModel>        model;
    std::unique_ptr<LaplaceApproximation> approximation;
  };
} // namespace neuraldeal

#endif
