// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_monte_carlo_dropout_h
#define neuraldeal_surrogates_uncertainty_monte_carlo_dropout_h

#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

namespace neuraldeal
{
  /**
   * An operator that drops channels (or attention) at random, in answers as in
   * training; their mean and covariance is the distribution (Gal and
   * Ghahramani, arXiv:1506.02142). The same input gets the same answer: the
   * random numbers start anew with each, so that all are answered by the same
   * networks.
   */
  class MonteCarloDropout : public ProbabilisticOperator
  {
  public:
    struct Parameters
    {
      double dropout; ///< fraction that is dropped
      long   samples; ///< answers of which one is made
    };

    explicit MonteCarloDropout(const Parameters &parameters);

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

    /** Make this class known under the name "dropout". */
    static void
    register_type();

  private:
    const Parameters               chosen;
    std::shared_ptr<OperatorModel> model;
  };
} // namespace neuraldeal

#endif
