// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_adaptive_solver_h
#define neuraldeal_plugin_adaptive_solver_h

#include <deal.II/base/parameter_handler.h>

#include <neuraldeal/coupling/active_campaign.h>
#include <neuraldeal/coupling/campaign.h>
#include <neuraldeal/coupling/design.h>
#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/full_order_model.h>
#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/residual_norm.h>
#include <neuraldeal/coupling/trust_gate.h>
#include <neuraldeal/surrogates/snapshot_reader.h>
#include <neuraldeal/surrogates/surrogate.h>
#include <neuraldeal/surrogates/training_task.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /** The parameters of an AdaptiveSolver; its AdditionalData. */
  struct AdaptiveSolverData
  {
    /** Snapshots, the model and the decision log go here. */
    std::string folder = ".";

    /** Where surrogates and designs of the user's own come from. */
    std::vector<std::string> shared_libraries;

    std::string    surrogate            = "POD network";
    nlohmann::json surrogate_parameters = nlohmann::json::object();

    /**
     * Whether prepare() trains where there is no model. Otherwise it ends
     * after the campaign with an error that names the command which does.
     */
    bool train_here = true;

    /** Full solves to train on, and the design of their inputs. */
    unsigned int n_training = 64;
    std::string  design     = "Latin hypercube";

    /**
     * Whether the inputs to train on are chosen in rounds, by what is known
     * from those before; the design is that of the first n_initial then. The
     * other entries are those of ActiveCampaign::AdditionalData.
     */
    bool           active            = false;
    unsigned int   n_initial         = 16;
    std::string    active_candidates = "stream";
    std::string    active_table      = ""; ///< file, see read_input_table()
    std::string    active_cost       = "seconds";
    double         active_threshold  = std::numeric_limits<double>::quiet_NaN();
    nlohmann::json active_parameters = nlohmann::json::object();

    /** Full solves to calibrate on, drawn like the queries. */
    unsigned int n_held_out = 48;

    unsigned int  batch_size   = 2;   ///< snapshots a file
    double        max_failures = 0.1; ///< share of solves that may fail
    double        time_budget  = 0.;  ///< seconds a solve may take; 0: no limit
    unsigned int  round_size   = 50;  ///< queries a round
    std::uint64_t seed         = 1;

    TrustGate::AdditionalData gate;

    /** The parameter file's name, for error messages, and its hash. */
    std::string source         = "the program";
    std::string provenance     = "";
    std::string parameter_file = "";

    /** Of the components of a solution, for those who read the store. */
    std::vector<std::string> field_names, field_units;

    /**
     * Declare all entries in the current subsection.
     * @param source the file, for what is said while it is read.
     */
    static void
    declare_parameters(dealii::ParameterHandler &prm,
                       const std::string        &source = "the parameter file");

    void
    parse_parameters(dealii::ParameterHandler &prm, const std::string &source);
  };

  /**
   * Answers the host's solves with a surrogate where a tolerance holds, and
   * with the host's own solver where it does not.
   *
   * prepare() solves a counted design, trains on a part of it, and calibrates
   * on the rest. Then solve() answers one query, and serve() a stream in
   * rounds: within a round the surrogate is frozen, at its end it learns the
   * full solves of the round in closed form, in the order of the queries.
   *
   * All member functions are collective: prepare() and serve() over all
   * ranks, solve() over the ranks of a group.
   */
  template <typename VectorType>
  class AdaptiveSolver
  {
  public:
    using AdditionalData = AdaptiveSolverData;

    /** Wall times of the phases of prepare(), and what it has spent. */
    struct Preparation
    {
      unsigned int n_full_solves        = 0; ///< of the design, resumed or not
      unsigned int n_failed             = 0;
      double       seconds_campaign     = 0;
      double       seconds_training     = 0;
      double       seconds_calibration  = 0;
      bool         model_was_there      = false;
      double       seconds_a_full_solve = 0; ///< mean over the campaign

      /**
       * What the preparation costs from nothing on these ranks, whatever of
       * it was there: the recorded times of the full solves and of training.
       */
      double seconds_from_nothing = 0;
    };

    /** Sample ids of full solves made while serving start here. */
    static constexpr long first_served_id = 1000000;

    /** All arguments but @p data are referred to. */
    AdaptiveSolver(const FullOrderModel<VectorType> &model,
                   const FieldLayout                &layout,
                   const InputDistribution          &inputs,
                   const ProcessGroups              &groups,
                   const AdditionalData             &data);

    /**
     * Campaign, training, calibration. What an earlier run has left in the
     * folder is used: snapshots, and a model that was trained on the same
     * ones with the same parameters. Before it trains it writes
     * `training.json` (see TrainingTask), from which `neuraldeal-train` makes
     * the same model on another machine.
     * @throw FileError where files there belong to another problem, or where
     * there is no model and AdaptiveSolverData::train_here is false.
     */
    Preparation
    prepare();

    /**
     * Answer one query: by the prediction, or by a full solve.
     * @param solution on return the answer.
     */
    SolveReport
    solve(const Input &input, VectorType &solution) const;

    /** What is done with an answer, on the ranks of the answering group. */
    using Consumer = std::function<
      void(const Input &, const VectorType &, const SolveReport &)>;

    /**
     * Answer the queries 0, …, @p n_queries − 1, shared out over the groups.
     * The decision log is written after every round.
     * @return the reports of all queries, on all ranks.
     */
    std::vector<SolveReport>
    serve(const long                              n_queries,
          const std::function<Input(const long)> &input,
          const Consumer                         &consumer = {});

    /**
     * The input of snapshot @p id of the design. Ids begin where the store
     * has room, which prepare() finds out: at zero in one of its own. (See
     * SnapshotReader::first_id(). What other designs or seeds have left in
     * the store is neither trained nor calibrated on.)
     */
    Input
    design(const long id) const;

    /**
     * The prediction for @p input as it is now, without any decision, with
     * @p standard_deviation at every point where it is not null.
     */
    void
    predict(const Input &input,
            VectorType  &mean,
            VectorType  *standard_deviation = nullptr) const;

    const TrustGate &
    gate() const
    {
      return trust_gate;
    }

    const Surrogate &
    surrogate() const
    {
      return *trained;
    }

    /** What the store of the campaign holds. */
    SnapshotReader
    snapshots() const;

    /** The ids in @p store, which is snapshots(), of the training part. */
    std::vector<long>
    training_ids(const SnapshotReader &store) const;

    /** The ids of its held-out part. */
    std::vector<long>
    held_out_ids(const SnapshotReader &store) const;

    /** Write the surrogate as it is now. Collective over all ranks. */
    void
    save(const std::string &filename) const;

  private:
    /** A prediction on its way to a decision. */
    struct Answer
    {
      SolveReport   report;
      torch::Tensor prior; ///< [1, n_local_values]
      double        novelty = 0;
    };

    /** Coarse solve, prediction, decision on uncertainty, verification. */
    Answer
    answer(const Input &input, VectorType &solution) const;

    /**
     * The full solve that @p answer asks for. @p solution is the prediction
     * on entry, the solution on return.
     * @return what the surrogate is to learn from it, [1, k]; undefined where
     * the host's solver has failed, or where there was no prediction, since
     * what has made that impossible would spoil the surrogate.
     */
    torch::Tensor
    full_solve(const Input &input, Answer &answer, VectorType &solution) const;

    void
    load(const std::string &model_file);

    /**
     * The inputs to train on, and those to calibrate on, by number. Of a
     * design that grows each of the two is a campaign, so that either can
     * have more; of another one the latter follow on the former.
     */
    Input
    training_input(const long number) const;

    Input
    held_out_input(const long number) const;

    bool
    design_grows() const;

    /** What the loop of active learning is told. */
    typename ActiveCampaign<VectorType>::AdditionalData
    active_campaign_data(
      const typename Campaign<VectorType>::AdditionalData &campaign_data) const;

    /** Make the store hold the design, and find its ids. */
    void
    run_campaigns();

    void
    calibrate_estimator(const SnapshotReader &store);

    std::string
    problem_hash() const;

    /** What a model must have been trained on and with, to be used again. */
    TrainingTask
    training_task(const SnapshotReader &store) const;

    const FullOrderModel<VectorType> &model;
    const FieldLayout                &layout;
    const InputDistribution          &inputs;
    const ProcessGroups              &groups;
    const AdditionalData              data;

    std::unique_ptr<Design> training_design;
    std::vector<Input>      candidates;    ///< of active learning: the table
    std::vector<Input>      chosen_inputs; ///< of active learning
    long                    first_training = 0, first_held_out;

    /** Of predictions; over their norm it is the estimator. */
    const ResidualNorm<VectorType> residual_norm;

    std::unique_ptr<Surrogate>     trained;
    TrustGate                      trust_gate;
    std::vector<CalibrationSample> estimator_samples;
    nlohmann::json                 costs = nlohmann::json::object();
  };
} // namespace neuraldeal

#endif
