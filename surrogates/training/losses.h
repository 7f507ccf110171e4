// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_losses_h
#define neuraldeal_surrogates_training_losses_h

#include <neuraldeal/surrogates/registry.h>
#include <neuraldeal/surrogates/training/norms.h>
#include <torch/types.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace neuraldeal
{
  /**
   * What training minimises. Losses are evaluated in single precision at
   * least, whatever the type of the prediction; mixed precision should be
   * switched off around them, for it would round the factors of products.
   */
  class Loss
  {
  public:
    virtual ~Loss() = default;

    /**
     * The mean of the loss over the samples of a batch, a scalar that can be
     * differentiated.
     *
     * @param prediction [n, c, …] where a class below does not say otherwise.
     * @param target [n, c, …].
     * @param input what the prediction was made from, for losses that look at
     * it (ResidualLoss).
     * @throw InputError where the shapes do not fit: nothing is broadcast.
     */
    torch::Tensor
    value(const torch::Tensor &prediction,
          const torch::Tensor &target,
          const torch::Tensor &input = torch::Tensor()) const;

  private:
    /** value() with arguments in single precision at least. */
    virtual torch::Tensor
    compute(const torch::Tensor &prediction,
            const torch::Tensor &target,
            const torch::Tensor &input) const = 0;
  };



  /**
   * The mean over the samples of ‖p − t‖/max(‖t‖, δ).
   *
   * The floor δ is the fraction @p floor of the root mean square of all ‖t‖ of
   * the batch, so that it has the fields' own scale. A target of zero counts
   * as one of norm δ; where all targets are zero, the error is an absolute
   * one.
   */
  class RelativeNorm : public Loss
  {
  public:
    explicit RelativeNorm(const SquaredNorm &norm, const double floor = 1e-3);

  private:
    torch::Tensor
    compute(const torch::Tensor &prediction,
            const torch::Tensor &target,
            const torch::Tensor &input) const override;

    const SquaredNorm norm;
    const double      floor;
  };



  /**
   * The negative log likelihood of independent Gaussians, a value each: the
   * mean over samples, channels and points of
   *   ½ (s + (t − μ)² exp(−s)),
   * without the constant ½ log 2π (Nix and Weigend, ICNN 1994), each term
   * times exp(β s), which is not differentiated (Seitzer, Tavakoli, Antic and
   * Martius, arXiv:2203.09168, equation 5): with β = 0 the likelihood, with β =
   * 1 means learn as from squared errors, since otherwise they learn least
   * where errors are large. The prediction
   * is [n, 2c, …]: c channels of means μ, then c of r, with the log of the
   * variance s = b tanh(r/b). For |r| ≪ b this is r; beyond, s stays within
   * ±b, where its exponential is finite and its derivative fades.
   */
  class GaussianLikelihood : public Loss
  {
  public:
    /** @param bound b */
    explicit GaussianLikelihood(const double bound = 20.,
                                const double beta  = 0.);

    /** s from r: what predictions have to be read with. */
    torch::Tensor
    log_variance(const torch::Tensor &r) const;

  private:
    torch::Tensor
    compute(const torch::Tensor &prediction,
            const torch::Tensor &target,
            const torch::Tensor &input) const override;

    const double bound, beta;
  };



  /**
   * The energy score of m members x_i (Gneiting and Raftery, JASA 102, 2007,
   * equation 22) in its fair form, which does not depend on m in expectation
   * (Ferro, QJRMS 140, 2014):
   *   1/m Σ_i ‖x_i − t‖ − 1/(2 m (m − 1)) Σ_ij ‖x_i − x_j‖,
   * divided by max(‖t‖, δ) as in RelativeNorm. The prediction is
   * [m, n, c, …] with m ≥ 2. Single batches may have a negative score.
   *
   * The score itself is smallest in expectation if the members are drawn from
   * the targets' own distribution. Divided by ‖t‖ it is for that distribution
   * with the density over ‖t‖: the same where the spread is small beside the
   * field, as it is behind one input of a surrogate.
   */
  class EnergyScore : public Loss
  {
  public:
    explicit EnergyScore(const SquaredNorm &norm, const double floor = 1e-3);

  private:
    torch::Tensor
    compute(const torch::Tensor &prediction,
            const torch::Tensor &target,
            const torch::Tensor &input) const override;

    const SquaredNorm norm;
    const double      floor;
  };



  /**
   * What the members x_i of an ensemble learn: the mean over them of another
   * loss, less a reward of diversity,
   *   1/m Σ_i loss(x_i, t) − λ/m² Σ_ij ‖x_i − x_j‖/max(‖t‖, δ).
   * With λ = 0 members learn as if they were alone. Of the relative norm with
   * λ = ½ this is the energy score of the m fields as a distribution (Gneiting
   * and Raftery, equation 22), smallest where they divide that of the targets
   * evenly: in one dimension at its quantiles (i − ½)/m. The fair form of
   * EnergyScore is not for them: it takes members for random samples, and sends
   * two of fixed ones to the quantiles 0 and 1. The prediction is
   * [m, n, c, …].
   */
  class EnsembleLoss : public Loss
  {
  public:
    /**
     * @param loss of a member.
     * @param norm, floor of the reward, as in RelativeNorm.
     * @param diversity λ
     */
    EnsembleLoss(const std::shared_ptr<const Loss> &loss,
                 const SquaredNorm                 &norm,
                 const double                       diversity = 0,
                 const double                       floor     = 1e-3);

  private:
    torch::Tensor
    compute(const torch::Tensor &prediction,
            const torch::Tensor &target,
            const torch::Tensor &input) const override;

    const std::shared_ptr<const Loss> loss;
    const SquaredNorm                 norm;
    const double                      diversity, floor;
  };



  /** How far predictions are from solving their equations, in any shape. */
  using Residual = std::function<torch::Tensor(const torch::Tensor &prediction,
                                               const torch::Tensor &input)>;

  /**
   * The mean square of all residual values; targets are not looked at and need
   * not be defined. Meant as a term of a LossMix.
   */
  class ResidualLoss : public Loss
  {
  public:
    explicit ResidualLoss(const Residual &residual);

  private:
    torch::Tensor
    compute(const torch::Tensor &prediction,
            const torch::Tensor &target,
            const torch::Tensor &input) const override;

    const Residual residual;
  };



  /** The sum of losses with a weight each. */
  class LossMix : public Loss
  {
  public:
    using Terms = std::vector<std::pair<double, std::shared_ptr<const Loss>>>;

    /** @param terms one at least. */
    explicit LossMix(const Terms &terms);

  private:
    torch::Tensor
    compute(const torch::Tensor &prediction,
            const torch::Tensor &target,
            const torch::Tensor &input) const override;

    const Terms terms;
  };



  /** What losses may need to know of the fields. All of it is optional. */
  struct LossContext
  {
    torch::Tensor       mass;      ///< as in quadratic_form()
    torch::Tensor       stiffness; ///< as in quadratic_form()
    std::vector<double> spacing;   ///< as in grid_h1()
    Residual            residual;
  };

  /** The losses there are. A factory takes complete parameters. */
  using LossFactory =
    std::function<std::shared_ptr<Loss>(const LossContext &context,
                                        const nlohmann::json &,
                                        const std::string &source)>;
  using LossRegistry = Registry<Loss, LossFactory>;

  /** Register the losses of this library. */
  void
  register_losses();

  /**
   * Build the loss called @p type:
   *   relative L2:         RelativeNorm, of the mass matrix if there is one, of
   *                        mean_square() otherwise
   *   relative H1:         RelativeNorm of mass and stiffness matrix, the
   *                        latter times the "gradient weight"; of grid_h1() if
   *                        there is neither
   *   relative energy:     RelativeNorm of the stiffness matrix
   *   Gaussian likelihood, energy score (norm as for relative L2), residual:
   *                        the classes above
   *   mix:                 LossMix; "terms" is an array of objects with the
   *                        entries "type", "weight" (1 if not given) and
   *                        "parameters"
   *
   * @param parameters overrides of its defaults.
   * @param source where @p parameters come from, for error messages.
   * @throw InputError for a wrong entry and for what @p context lacks.
   */
  std::shared_ptr<Loss>
  make_loss(const std::string    &type,
            const nlohmann::json &parameters,
            const std::string    &source,
            const LossContext    &context = LossContext());
} // namespace neuraldeal

#endif
