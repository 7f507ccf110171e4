// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_pod_network_h
#define neuraldeal_surrogates_pod_network_h

#include <neuraldeal/surrogates/linear_regression.h>
#include <neuraldeal/surrogates/perceptron.h>
#include <neuraldeal/surrogates/surrogate.h>

namespace neuraldeal
{
  /**
   * An ensemble of POD networks (PCA-Net: Bhattacharya, Hosseini, Kovachki
   * and Stuart, "Model reduction and neural networks for parametric PDEs",
   * SMAI J. Comp. Math. 7, 2021) on the correction to a coarse solution.
   *
   * Let ρ be the norm of the coarse solution p. The answer to the input
   * (μ, p) is p + ρ V t(μ, p/ρ): V is the POD basis of the corrections, p/ρ
   * enters by its coefficients in a POD basis of the coarse solutions, and
   * t is the mean of several perceptrons that differ by their random start.
   * The last layer of each is a Bayesian linear regression, which learns new
   * snapshots in closed form.
   *
   * Predicted covariance of t: the spread of the members, and the noise
   * σ_j² (1 + leverage) of the last layer, whose σ_j² is measured on the
   * held-out snapshots. The scale adds what the basis does not hold.
   *
   * The symmetries of the problem multiply the snapshots: every snapshot is
   * learned in all its images, and left out with all of them.
   */
  class PODNetwork : public Surrogate
  {
  public:
    PODNetwork(const std::vector<InputRange> &inputs,
               const nlohmann::json          &parameters);

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

    HeldOutScores
    held_out_scores() const override;

    torch::Tensor
    held_out_mean(const long index, const torch::Tensor &prior) const override;

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

    /** Make this class known under the name "POD network". */
    static void
    register_type();

  private:
    /** One network of the ensemble. */
    struct Member
    {
      Perceptron       perceptron;
      LinearRegression last_layer;
    };

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

    /** The inputs of the perceptrons, each of order one, [n, d + q]. */
    torch::Tensor
    scaled_inputs(const torch::Tensor &parameters,
                  const torch::Tensor &prior_coefficients) const;

    /** Predictions of all members for the coefficients t. */
    struct MemberPredictions
    {
      torch::Tensor mean;     ///< [n, r]
      torch::Tensor spread;   ///< [n, members, r], deviations from the mean
      torch::Tensor leverage; ///< [n], mean over the members
    };

    MemberPredictions
    combine(const std::vector<torch::Tensor> &means,
            const std::vector<torch::Tensor> &leverages) const;

    /** Predicted ‖error of t‖, [n]. */
    torch::Tensor
    coefficient_scale(const MemberPredictions &predictions) const;

    /** The held-out snapshots, each predicted without itself. */
    MemberPredictions
    leave_each_out() const;

    /** After new data: posteriors, noise, range of the leverages. */
    void
    refresh();

    const std::vector<InputRange> ranges;
    const nlohmann::json          parameters;

    torch::Tensor modes;            ///< V, [N, r] float32
    torch::Tensor projector;        ///< M V, [N, r] float32
    torch::Tensor prior_projector;  ///< [N, q] float32
    torch::Tensor symmetries;       ///< on correction coefficients, [G, r, r]
    torch::Tensor prior_symmetries; ///< on prior coefficients, [G, q, q]
    torch::Tensor parameter_symmetries; ///< [G, d] int64

    torch::Tensor input_center, input_scale; ///< [d]
    torch::Tensor prior_scale;               ///< [q]
    torch::Tensor truncation;                ///< [1], relative to ρ

    std::vector<Member> members;

    torch::Tensor     held_out_summaries;
    std::vector<long> held_out_ids;
    long              snapshots_learned = 0;

    torch::Tensor     noise; ///< σ_j², [r]
    double            max_leverage = 0;
    MemberPredictions left_out; ///< of the held-out snapshots

    Communicator group;
  };
} // namespace neuraldeal

#endif
