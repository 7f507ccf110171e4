// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_pod_surrogate_h
#define neuraldeal_surrogates_pod_surrogate_h

#include <neuraldeal/surrogates/surrogate.h>

namespace neuraldeal
{
  /**
   * What the surrogates on POD coefficients have in common; they differ by
   * the regression in between, which derived classes bring.
   *
   * Let ρ be the norm of the coarse solution p. The answer to the input
   * (μ, p) is p + ρ V t(μ, p/ρ): V is the POD basis of the corrections, p/ρ
   * enters by its coefficients in a POD basis of the coarse solutions, and
   * t is the mean of one or several regressions (members).
   *
   * Predicted covariance of t: the spread of the members, and noise
   * σ_j² (1 + leverage), whose σ_j² is measured on the held-out snapshots.
   * The scale adds what the basis does not hold.
   *
   * The symmetries of the problem multiply the snapshots: every snapshot is
   * learned in all its images, and left out with all of them.
   */
  class PODSurrogate : public Surrogate
  {
  public:
    void
    fit(const SnapshotSource &data,
        const FieldSpace     &space,
        const Communicator   &communicator) override;

    torch::Tensor
    summarize(const Snapshots &snapshots, const Norms &norms) const override;

    void
    update(const torch::Tensor     &summaries,
           const std::vector<long> &ids,
           const bool               held_out) override;

    Prediction
    predict(const Inputs          &inputs,
            const PredictionParts &parts = {}) const override;

    /**
     * Parameters scaled to their ranges, then the coefficients of the coarse
     * solution in units of their common standard deviation.
     */
    torch::Tensor
    features(const Inputs &inputs) const override;

    HeldOutScores
    held_out_scores() const override;

    torch::Tensor
    held_out_mean(const long index, const torch::Tensor &prior) const override;

    /**
     * As held_out_scores(), of the snapshots of fit(): each is predicted
     * without its own data, though by bases and hyperparameters that have seen
     * it. There are no ids.
     * @param summaries what summarize() says of these snapshots, of all of them
     * in their order.
     */
    HeldOutScores
    training_scores(const torch::Tensor &summaries) const;

    /**
     * Coefficients of @p fields, [n, N], in the basis of the corrections,
     * [n, r] float64: the inner products with the modes.
     */
    torch::Tensor
    correction_coefficients(const torch::Tensor &fields) const;

    /**
     * The coefficients t of the held-out snapshots as they are predicted
     * without their own data, [n, r]; the field is p + ρ V t.
     */
    const torch::Tensor &
    held_out_coefficients() const
    {
      return left_out.mean;
    }

    long
    n_values() const override
    {
      return modes.size(0);
    }

    long
    n_snapshots() const override
    {
      return snapshots_learned;
    }

    void
    save(ModelFile &file) const override;

    void
    load(const ModelFile    &file,
         const long          first_value,
         const long          n_values,
         const Communicator &group) override;

    bool
    supports_covariance() const override
    {
      return true;
    }

  protected:
    /** @param type the name that the class is registered under. */
    PODSurrogate(const std::string             &type,
                 const std::vector<InputRange> &inputs,
                 const nlohmann::json          &parameters);

    /** The parameters that every class of this kind has. */
    static std::vector<ParameterDescription>
    common_parameters();

    /** Predictions of all members for the coefficients t of n inputs. */
    struct MemberPredictions
    {
      torch::Tensor mean;     ///< [n, r]
      torch::Tensor spread;   ///< [n, members, r], deviations from the mean
      torch::Tensor leverage; ///< [n], mean over the members
    };

    /** From what each member says of the mean, [n, r], and leverage, [n]. */
    static MemberPredictions
    combine(const std::vector<torch::Tensor> &means,
            const std::vector<torch::Tensor> &leverages);

    /**
     * Forget everything and choose whatever updates do not change (hidden
     * layers, kernels). The rows are learned by learn_rows() afterwards.
     *
     * @param x scaled inputs, [n·G, d + q], of order one: parameters, then
     * coefficients of the coarse solution. Row g·n + i is image g of i.
     * @param y coefficients of the corrections, [n·G, r].
     */
    virtual void
    train_regression(const torch::Tensor &x,
                     const torch::Tensor &y,
                     const Communicator  &communicator) = 0;

    /** Learn @p n snapshots in all images; rows as in train_regression(). */
    virtual void
    learn_rows(const torch::Tensor &x,
               const torch::Tensor &y,
               const long           n) = 0;

    /** Compute the posterior after learn_rows(). */
    virtual void
    update_posterior() = 0;

    virtual MemberPredictions
    regress(const torch::Tensor &x) const = 0;

    /**
     * What would be said of the snapshot learned as number @p index had it
     * not been learned, in none of its images.
     * @param x, y its rows, an image each.
     */
    virtual MemberPredictions
    regress_without(const long           index,
                    const torch::Tensor &x,
                    const torch::Tensor &y) const = 0;

    /** Noise σ_j² by the regression's own estimate, [r]. */
    virtual torch::Tensor
    noise_estimate() const = 0;

    virtual void
    save_regression(ModelFile &file) const = 0;

    virtual void
    load_regression(const ModelFile &file) = 0;

    long
    n_parameters() const
    {
      return ranges.size();
    }

    long
    n_symmetries() const
    {
      return symmetries.size(0);
    }

    /**
     * The standard deviations by which the coefficients of the coarse
     * solutions have been divided, [q].
     */
    const torch::Tensor &
    prior_scales() const
    {
      return prior_scale;
    }

    const std::string    type;
    const nlohmann::json parameters;

  private:
    /** What is left of a snapshot after the projections; see summarize(). */
    struct Reduced
    {
      torch::Tensor parameters;      ///< [n, d]
      torch::Tensor prior;           ///< [n, q] coefficients of p/ρ
      torch::Tensor correction;      ///< [n, r] coefficients of (u − p)/ρ
      torch::Tensor correction_norm; ///< [n] ‖u − p‖/ρ
      torch::Tensor solution_norm;   ///< [n] ‖u‖/ρ
    };

    Reduced
    reduce(const torch::Tensor &summaries) const;

    /** The images of @p reduced under all symmetries, [G·n, …]. */
    Reduced
    images(const Reduced &reduced) const;

    /** Coefficients of the coarse solutions, and their norm ρ. */
    std::pair<torch::Tensor, torch::Tensor>
    project_prior(const torch::Tensor &prior) const;

    /** The inputs of the regression, each of order one, [n, d + q]. */
    torch::Tensor
    scaled_inputs(const torch::Tensor &parameters,
                  const torch::Tensor &prior_coefficients) const;

    /** Predicted ‖error of t‖, [n]. */
    torch::Tensor
    coefficient_scale(const MemberPredictions &predictions) const;

    /**
     * Learned snapshots, each predicted without itself.
     * @param numbers of these snapshots, in the order of learning.
     */
    MemberPredictions
    leave_each_out(const torch::Tensor     &summaries,
                   const std::vector<long> &numbers) const;

    /** What @p predictions are worth; without ids. */
    HeldOutScores
    score(const torch::Tensor     &summaries,
          const MemberPredictions &predictions) const;

    /** After new data: posteriors, noise, range of the leverages. */
    void
    refresh();

    const std::vector<InputRange> ranges;

    torch::Tensor modes;            ///< V, [N, r] float32
    torch::Tensor projector;        ///< M V, [N, r] float32
    torch::Tensor prior_projector;  ///< [N, q] float32
    torch::Tensor symmetries;       ///< on correction coefficients, [G, r, r]
    torch::Tensor prior_symmetries; ///< on prior coefficients, [G, q, q]
    torch::Tensor parameter_symmetries; ///< [G, d] int64

    torch::Tensor input_center, input_scale; ///< [d]
    torch::Tensor prior_scale;               ///< [q]
    torch::Tensor truncation;                ///< [1], relative to ρ

    torch::Tensor     held_out_summaries;
    std::vector<long> held_out_ids;
    std::vector<long> held_out_numbers; ///< in the order of learning
    long              snapshots_learned = 0;

    torch::Tensor     noise; ///< σ_j², [r]
    double            max_leverage = 0;
    MemberPredictions left_out; ///< of the held-out snapshots

    Communicator group;
  };
} // namespace neuraldeal

#endif
