// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_surrogate_h
#define neuraldeal_surrogates_surrogate_h

#include <neuraldeal/surrogates/communicator.h>
#include <neuraldeal/surrogates/field_space.h>
#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/registry.h>
#include <neuraldeal/surrogates/snapshots.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * One entry of an input vector: its name and the interval from which
   * inputs are drawn, which is also where the surrogate may be trusted.
   */
  struct InputRange
  {
    std::string name;
    double      lower       = -1;    ///< −∞ for an unbounded distribution
    double      upper       = 1;     ///< +∞ for an unbounded distribution
    bool        logarithmic = false; ///< spread evenly in the logarithm
  };

  /** What a surrogate answers to a batch of n questions. */
  struct Prediction
  {
    torch::Tensor mean; ///< [n, N] float64: the field

    /** [n] estimate of the norm of the mean (with the mass matrix M). */
    torch::Tensor norm;

    /** [n] predicted error of the field in that norm, √trace(M·Cov). */
    torch::Tensor scale;

    /** [n] norm of the mean minus the coarse solution. */
    torch::Tensor correction;

    /** [n] distance to the training data; above 1 is outside their range. */
    torch::Tensor novelty;

    torch::Tensor standard_deviation; ///< [n, N], where asked for
    torch::Tensor covariance_factor; ///< [n, N, k] F with Cov = F Fᵀ, likewise
  };

  /** Which of the costly parts of a Prediction are wanted. */
  struct PredictionParts
  {
    bool standard_deviation = false;
    bool covariance_factor  = false;
  };

  /**
   * What the held-out snapshots say of the surrogate as it is now: each is
   * predicted without its own data, and compared with the truth.
   */
  struct HeldOutScores
  {
    torch::Tensor ids;         ///< [n] int64, the samples
    torch::Tensor scale;       ///< [n] predicted error over the solution's norm
    torch::Tensor error;       ///< [n] true error over the solution's norm
    torch::Tensor prior_error; ///< [n] the same of the coarse solution alone
    /** [n] predicted error of the coarse solution: the learned correction. */
    torch::Tensor prior_scale;
  };

  /**
   * A map from inputs to fields that says how wrong it may be. Everything
   * behind this class is replaceable; see SurrogateRegistry for what there
   * is.
   *
   * The norm of a field is that of the FieldSpace which fit() is given. In a
   * group of several processes each holds a slice of every field, and
   * @p group, set by load(), adds up what the slices contribute.
   */
  class Surrogate
  {
  public:
    virtual ~Surrogate() = default;

    /** Learn from scratch. Collective over @p communicator. */
    virtual void
    fit(const SnapshotSource &data,
        const FieldSpace     &space,
        const Communicator   &communicator) = 0;

    /** Measured norms of a snapshot, which need the host's mass matrix. */
    struct Norms
    {
      torch::Tensor correction; ///< [n] ‖solution − prior‖
      torch::Tensor solution;   ///< [n] ‖solution‖
    };

    /**
     * What a new snapshot has to tell the surrogate: a few numbers, so that
     * they can be exchanged between processes that do not share fields.
     * @return [n, k] float64.
     */
    virtual torch::Tensor
    summarize(const Snapshots &snapshots, const Norms &norms) const = 0;

    /**
     * Learn from new snapshots in closed form, without training.
     * @param summaries what summarize() said of them.
     * @param ids their sample ids.
     * @param held_out whether they were chosen at random and so may be used
     * for calibration: held_out_scores() then includes them.
     */
    virtual void
    update(const torch::Tensor     &summaries,
           const std::vector<long> &ids,
           const bool               held_out) = 0;

    /** Answer a batch of questions. */
    virtual Prediction
    predict(const Inputs &inputs, const PredictionParts &parts = {}) const = 0;

    /**
     * Where questions are as the surrogate sees them, [n, F] float64, so that
     * close ones have similar answers; undefined where a class does not say.
     */
    virtual torch::Tensor
    features(const Inputs &) const
    {
      return torch::Tensor();
    }

    /** See HeldOutScores. The order is that of the updates. */
    virtual HeldOutScores
    held_out_scores() const = 0;

    /**
     * The prediction for the held-out snapshot number @p index as it is
     * without that snapshot's own data.
     * @param prior [N] its coarse solution.
     * @return [N]
     */
    virtual torch::Tensor
    held_out_mean(const long index, const torch::Tensor &prior) const = 0;

    /** The number of values of a field (of this process's slice). */
    virtual long
    n_values() const = 0;

    /** How many snapshots have been learned from, by fit() and update(). */
    virtual long
    n_snapshots() const = 0;

    /** Put everything into @p file, under names of this class's own. */
    virtual void
    save(ModelFile &file) const = 0;

    /**
     * Restore what save() has written.
     * @param first_value, @p n_values this process's slice of the fields.
     * @param group the processes that hold the other slices.
     */
    virtual void
    load(const ModelFile    &file,
         const long          first_value,
         const long          n_values,
         const Communicator &group) = 0;

    virtual bool
    supports_covariance() const = 0;

    /**
     * Whether load() takes the slices of a group of several processes. Where
     * it does not, a group has to be one process.
     */
    virtual bool
    supports_slices() const
    {
      return true;
    }
  };

  /**
   * The surrogates there are. A factory takes the ranges of the inputs and
   * the complete parameters of the class.
   */
  using SurrogateFactory = std::function<
    std::unique_ptr<Surrogate>(const std::vector<InputRange> &inputs,
                               const nlohmann::json          &parameters)>;
  using SurrogateRegistry = Registry<Surrogate, SurrogateFactory>;

  /**
   * Register the surrogates of this library. (A static library drops object
   * files that nobody refers to, with the registrations in them.)
   */
  void
  register_surrogates();

  /**
   * Build the surrogate called @p type.
   * @param parameters overrides of its defaults.
   * @param source where @p parameters come from, for error messages.
   */
  std::unique_ptr<Surrogate>
  make_surrogate(const std::string             &type,
                 const std::vector<InputRange> &inputs,
                 const nlohmann::json          &parameters,
                 const std::string             &source);
} // namespace neuraldeal

#endif
