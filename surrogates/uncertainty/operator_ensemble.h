// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_operator_ensemble_h
#define neuraldeal_surrogates_uncertainty_operator_ensemble_h

#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

#include <vector>

namespace neuraldeal
{
  /**
   * Several operators that differ by their random start: the mean and the
   * covariance of what they say. Under three names:
   *
   * - "deep ensemble" (Lakshminarayanan, Pritzel and Blundell,
   *   arXiv:1612.01474, without their likelihood): each member learns for
   *   itself;
   * - "multi-head ensemble": members share everything but their last layers,
   *   and are rewarded for differing (see EnsembleLoss);
   * - "energy score": the same with a reward that makes the score a proper one
   *   (Bülte, Scholl and Kutyniok, arXiv:2502.12902): members are samples of
   *   the distribution.
   *
   * Operators that have the parameter "members" are trained and evaluated in
   * one pass where they share layers, or on a GPU. Others, which is "latent
   * ODE" with its adaptive steps, that would have to be those of the most
   * difficult member, cannot share layers: for them there is the first method
   * alone. What is not in one pass is shared out among the processes (see
   * train_operators()); on one core of a CPU it takes less time, too.
   */
  class OperatorEnsemble : public ProbabilisticOperator
  {
  public:
    struct Parameters
    {
      std::string name;
      long        members;
      bool        shared_trunk;
      double      diversity; ///< λ of EnsembleLoss
    };

    explicit OperatorEnsemble(const Parameters &parameters);

    bool
    fits(const std::string &type) const override;

    bool
    is_shared_out() const override
    {
      return !chosen.shared_trunk && chosen.diversity == 0.;
    }

    void
    fit(const Task &task) override;

    FieldDistribution
    predict(const OperatorData &data) const override;

    /** What each member says, [members, n, c, …]. */
    torch::Tensor
    members(const OperatorData &data) const;

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
    const Parameters chosen;

    /** One with all members, or one a member. */
    std::vector<std::shared_ptr<OperatorModel>> models;
  };
} // namespace neuraldeal

#endif
