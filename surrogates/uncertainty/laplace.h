// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_laplace_h
#define neuraldeal_surrogates_uncertainty_laplace_h

#include <neuraldeal/surrogates/registry.h>
#include <neuraldeal/surrogates/uncertainty/curvature.h>

#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Laplace's approximation of the posterior of an operator's weights (MacKay,
   * Neural Computation 4, 1992; Daxberger et al., arXiv:2106.14806): with
   *   y = G(a; w) + noise,  noise ~ N(0, σ_c²) in every value of channel c,
   *   w ~ N(0, 1/δ_g) for the weights of group g,
   * and trained weights ŵ,
   *   w | data ≈ N(ŵ, Σ),  Σ⁻¹ = Σ_i J_iᵀ diag(1/σ²) J_i + diag(δ),
   * where J_i is the derivative of G at sample i (generalised Gauss–Newton). Of
   * a network that is trained already: nothing is trained anew.
   *
   * Predictions are those of the linearised network (Immer, Korzepa and Bauer,
   * arXiv:2008.08400), for operators a Gaussian process with values in a space
   * of functions (Magnani, Pförtner, Weber and Hennig, arXiv:2406.05072):
   *   mean G(a; ŵ),  covariance J Σ Jᵀ.
   * This is what the weights do not know; σ² is not in it.
   *
   * δ and σ² are those of the largest marginal likelihood at fixed ŵ (Immer et
   * al., arXiv:2104.04975, equation 6). σ_c² = s² r_c: the ratios r_c of the
   * channels follow from the residuals, s is chosen together with δ.
   *
   * The matrix has one of the forms "full", "diagonal", "Kronecker" and "low
   * rank"; see FullCurvature, DiagonalCurvature, KroneckerCurvature and
   * LowRankCurvature. Statistics are float64, whatever the weights are; a value
   * is a number of an answer, counted over samples, channels and points.
   */
  class LaplaceApproximation
  {
  public:
    /** See descriptions(), where each is explained. */
    struct Parameters
    {
      std::string   form        = "Kronecker";
      std::string   weights     = "last layer";
      std::string   prior       = "one";
      std::string   noise       = "per channel";
      std::string   sharing     = "expand";
      long          rank        = 20;
      long          draws       = 4;
      long          batch_size  = 8;
      bool          closed_form = true;
      std::uint64_t seed        = 1;
    };

    /** How a JSON file names them. */
    static std::vector<ParameterDescription>
    descriptions();

    /**
     * From a JSON object, over the defaults.
     * @param source where it comes from, for error messages.
     */
    static Parameters
    parse(const nlohmann::json &given, const std::string &source);

    /**
     * @param model trained, and not to be trained any more.
     * @param source where @p parameters come from, for error messages.
     */
    LaplaceApproximation(const std::shared_ptr<OperatorModel> &model,
                         const Parameters                     &parameters,
                         const std::string                    &source);

    /**
     * Compute the curvature on @p training, what the model has been trained
     * with, and start with δ = 1 and s² that of the residuals.
     * @param counted which values count, 0 or 1, broadcast to the targets; not
     * defined: all but those that a mask takes away. Values that are known
     * beforehand (where a factor of the model is zero) should not, since they
     * would make the noise too small.
     * @throw InputError without targets, or where nothing is counted.
     */
    void
    fit(const OperatorData  &training,
        const torch::Tensor &counted = torch::Tensor());

    /**
     * Learn more samples, without the old ones and without training: weights
     * and covariance become those of Bayesian regression with the present
     * posterior as its prior,
     *   Σ ← (Σ⁻¹ + s⁻² Jᵀ W J)⁻¹,  ŵ ← ŵ + s⁻² Σ Jᵀ W (y − G(a; ŵ)),
     * in which W holds 1/r_c where values count (recursive least squares:
     * Young, Recursive Estimation and Time-Series Analysis, 2011, chapter 3).
     * Where the answer is linear in the weights, as in those of a last layer,
     * this is exact, whether samples come one by one or together; elsewhere it
     * is a step by the linearised operator. δ and s² stay as they are, and the
     * weights of the model change.
     * @throw InputError for other forms than "full", which cannot add up.
     */
    void
    update(const OperatorData  &data,
           const torch::Tensor &counted = torch::Tensor());

    /**
     * Choose δ and s².
     * @param prior_precision δ, [groups] or [1] for all of them, > 0.
     * @param noise_scale s² > 0.
     */
    void
    set_scales(const torch::Tensor &prior_precision, const double noise_scale);

    /** Likewise, by the largest evidence. */
    void
    maximize_evidence();

    /**
     * The logarithm of the marginal likelihood of the training data,
     *   log p(y | ŵ) + ½ log det D − ½ ŵᵀ D ŵ − ½ log det Σ⁻¹.
     */
    double
    log_evidence() const;

    /** Its derivatives by the log δ_g, then by log s², [groups + 1]. */
    torch::Tensor
    log_evidence_gradient() const;

    /** δ, [groups]. */
    const torch::Tensor &
    prior_precision() const
    {
      return delta;
    }

    /** s² */
    double
    noise_factor() const
    {
      return noise_scale;
    }

    /** σ_c² = s² r_c, [channels], in the units of the targets squared. */
    torch::Tensor
    noise_variance() const
    {
      return noise_scale * noise_ratios;
    }

    /** G(a; ŵ), [n, out, …]. */
    torch::Tensor
    mean(const OperatorData &data) const;

    /** Of every value, [n, out, …], in the precision of the answers. */
    struct Answer
    {
      torch::Tensor mean;     ///< G(a; ŵ)
      torch::Tensor variance; ///< the diagonal of J Σ Jᵀ
      torch::Tensor factor;   ///< [n, out, …, k], see covariance_factor()
    };

    /**
     * Mean and variance together: in closed form where the weights allow it
     * (see has_closed_form()), otherwise exact with as many products as there
     * are weights or values of a sample, whichever are fewer.
     * @param rank of a covariance factor that comes with them; 0 for none.
     */
    Answer
    predict(const OperatorData &data, const long rank = 0) const;

    /** The variance alone, for the same costs. */
    torch::Tensor
    variance(const OperatorData &data) const
    {
      return predict(data).variance;
    }

    /**
     * The same from @p n_draws draws: relative standard deviation
     * √(2/n_draws), for that many products with J for all samples together.
     */
    torch::Tensor
    sampled_variance(const OperatorData &data,
                     const long          n_draws,
                     const std::uint64_t seed) const;

    /**
     * The covariance between chosen values, of one sample or of several, by a
     * backward pass for each of them.
     * @param numbers [m] int64 in mean(data).flatten().
     * @return [m, m] float64
     */
    torch::Tensor
    covariance(const OperatorData &data, const torch::Tensor &numbers) const;

    /**
     * F with J Σ Jᵀ ≈ F Fᵀ for each sample, as Prediction::covariance_factor:
     * [n, N, k] in the precision of the answers, N counting channels and
     * points. Exact where @p rank is the number of weights or N at least; of
     * smaller rank by Nyström's method from random directions (Tropp et al.,
     * arXiv:1706.05736, algorithm 3), which leaves variance away and adds none.
     * For a last layer in closed form it is a projection in the space of the
     * weights, which does the same.
     */
    torch::Tensor
    covariance_factor(const OperatorData &data, const long rank) const;

    /**
     * Draws of the linearised operator: @p n_draws functions, each at all
     * samples of @p data, [n_draws, n, out, …] float64.
     */
    torch::Tensor
    sample(const OperatorData &data,
           const long          n_draws,
           const std::uint64_t seed) const;

    /**
     * Whether predict() costs about what mean() does: for
     * weights of the last pointwise layer, and with the form "Kronecker" of the
     * last spectral convolution as well, between which and the output
     * everything is pointwise. Whether that is so is found by fit(), which
     * compares some values with products of the Jacobian.
     */
    bool
    has_closed_form() const
    {
      return closed_form_holds;
    }

    /** The weights that are uncertain. */
    const WeightSelection &
    weights() const
    {
      return chosen;
    }

    /** The posterior of the weights around ŵ. */
    const Curvature &
    curvature() const
    {
      return *matrix;
    }

    /** Move to @p device, as the model has been before. */
    void
    to(const torch::Device &device);

    /** Put everything but the model into @p file. */
    void
    save(ModelFile &file) const;

    /**
     * What save() has written.
     * @param model the same, with the same weights.
     * @throw FileError where something is missing or does not fit @p model.
     */
    static LaplaceApproximation
    load(const ModelFile &file, const std::shared_ptr<OperatorModel> &model);

  private:
    Linearization
    linearize(const OperatorData &data) const;

    /** set_scales() without what predictions need. */
    void
    choose_scales(const torch::Tensor &prior_precision,
                  const double         noise_scale);

    /** predict() for one sample, by products. */
    Answer
    predict_by_products(const OperatorData &sample, const long rank) const;

    /** covariance_factor() for one sample, by products. */
    torch::Tensor
    factor_by_products(const Linearization &J, const long rank) const;

    /** What the closed form needs of the posterior. */
    struct ClosedForm;

    /** Compute that, if the form and the number of weights allow it. */
    void
    prepare_closed_form();

    /**
     * predict() in closed form, as has_closed_form() says; without a variance
     * where the layers are others, and without a factor where it has no closed
     * form.
     */
    Answer
    predict_in_closed_form(const OperatorData &data, const long rank) const;

    /** Whether that agrees with products of the Jacobian. */
    bool
    closed_form_agrees(const OperatorData &sample) const;

    /**
     * Which values of @p data count, in its targets' shape, float64.
     * @throw InputError without targets, or where nothing is counted.
     */
    torch::Tensor
    count_values(const OperatorData &data, const torch::Tensor &counted) const;

    /** @throw InputError before fit(). */
    void
    check_fitted() const;

    const std::shared_ptr<OperatorModel> model;
    const Parameters                     parameters;
    const std::string                    source;
    const WeightSelection                chosen;
    std::unique_ptr<Curvature>           matrix;

    torch::Tensor group_of_weight; ///< [P] int64
    torch::Tensor group_sizes;     ///< [groups]
    torch::Tensor group_squares;   ///< Σ ŵ², [groups]

    double        n_counted      = 0; ///< values that count
    double        squared_errors = 0; ///< Σ residual²/r_c
    double        log_ratios     = 0; ///< Σ log r_c over these values
    torch::Tensor noise_ratios;       ///< r_c, [channels]
    torch::Tensor delta;
    double        noise_scale       = 1.;
    bool          closed_form_holds = false;

    std::shared_ptr<const ClosedForm> closed_form;
  };
} // namespace neuraldeal

#endif
