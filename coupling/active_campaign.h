// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_active_campaign_h
#define neuraldeal_coupling_active_campaign_h

#include <neuraldeal/coupling/campaign.h>
#include <neuraldeal/coupling/design.h>
#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/surrogates/acquisition/active_learner.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Active learning: solves the host's problem for an initial design, then in
   * rounds for those of the candidates from which ActiveLearner expects most,
   * until a budget is spent or the error on held-out points is small enough.
   *
   * All solves are one campaign of a store, in the order in which they were
   * chosen; held-out points, independent draws of the inputs' distribution,
   * are another one, and are neither learned from nor chosen.
   *
   * Before the solves of a round begin, its choice is in the file
   * state_file(), a JSON document, whole or as before after a kill at any
   * instant. So a run that was killed goes on where it was, and ends with the
   * points that it would have had. Those of a larger budget begin with those
   * of a smaller one, where no round was cut short.
   *
   * Where the acquisition chooses by residuals, ResidualNorm says how wrong
   * the prediction of each candidate is, relative to its norm as all errors
   * are. Where it chooses by a quantity of interest, that of each solution is
   * computed from the store, once in a run, and QuantityModel learns it.
   *
   * Where the host solves on coarser levels as well (AdditionalData::coarser),
   * a round chooses inputs and the level up to which each is solved, by what
   * that is expected to lower the error for its cost; what is learned is a
   * MultifidelityModel. The solves of a level are a campaign of their own,
   * level_name(): full solves and coarser ones are never taken for each other.
   * All of it is a campaign by another name than one without levels. Where a
   * solve on a level fails, the finer ones of that input are not tried, and
   * have failed.
   *
   * With groups of one rank points and snapshots are the same bit for bit on
   * any number of ranks, unless they depend on measured seconds: see
   * AdditionalData::cost.
   */
  template <typename VectorType>
  class ActiveCampaign
  {
  public:
    /** A level of fidelity below that of the full solves, such as a mesh. */
    struct Level
    {
      std::string name;

      /**
       * As FullOrderModel::solve(): to a solution in the layout of the full
       * one, such as that on a coarser mesh after a Prolongation. It may tell
       * statistics.
       */
      std::function<unsigned int(const Input &input, VectorType &solution)>
        solve;

      /**
       * What every solve costs, in the unit of AdditionalData::cost. Without
       * it, it is learned as that of full solves is.
       */
      double cost = std::numeric_limits<double>::quiet_NaN();
    };

    struct AdditionalData
    {
      /**
       * The store, its files and their attributes. Campaign and design are
       * filled in.
       */
      typename Campaign<VectorType>::AdditionalData campaign;

      /** See ActiveLearner::parameters(). */
      nlohmann::json learner = nlohmann::json::object();

      /** The solves that come first; see register_designs(). */
      std::string  design    = "scrambled Sobol";
      unsigned int n_initial = 16;

      /**
       * Where the candidates of a round come from: the same draws of the
       * inputs' distribution in each, "pool"; fresh ones in each, "stream";
       * the host's own @ref table, "table". Draws are functions of seed and
       * number in a stream of random numbers of their own.
       */
      std::string        candidates = "stream";
      std::vector<Input> table;

      /**
       * Full solves of all rounds together, with those that fail. Coarser ones
       * do not count, but for this: where they have cost as much as so many
       * full ones, the rounds end.
       */
      unsigned int n_solves = 64;

      /**
       * Levels to solve on beside that of the full solves, cheapest first.
       * Points of the initial design are solved on all of them. They are worth
       * it where coarser solutions follow the full ones and cost much less, but
       * too much to be the prior of every query.
       */
      std::vector<Level> coarser;

      /**
       * A round takes no more than what is expected to be left of this, in
       * the unit of @ref cost.
       */
      double cost_budget = std::numeric_limits<double>::infinity();

      /**
       * What a solve costs: "seconds", "iterations", or the name of a number
       * that the host tells. Models of costs learn it. Seconds are measured,
       * so that another run may choose otherwise where they count.
       */
      std::string cost = "seconds";

      /**
       * What acquisitions such as "U function" compare the quantity of
       * interest with, in its units; the others do not ask.
       */
      double threshold = std::numeric_limits<double>::quiet_NaN();

      /** Full solves to measure the error on; not part of the budget. */
      unsigned int n_held_out = 0;

      /**
       * The rounds end when the mean relative error on the held-out points is
       * not above this.
       */
      double error_goal = 0.;

      std::uint64_t seed = 1;

      /** Where all this is from, for error messages. */
      std::string source = "the program";
    };

    /** How far the loop had come after a round. */
    struct Round
    {
      unsigned int n_points   = 0; ///< asked for so far
      unsigned int n_failed   = 0;
      double       cost       = 0; ///< of those that have one
      double       mean_error = std::numeric_limits<double>::quiet_NaN();
      double       error_95   = std::numeric_limits<double>::quiet_NaN();

      /** Points asked for on each coarser level, full ones among them. */
      std::vector<unsigned int> n_coarser = {};
    };

    /** What has become of a coarser level. */
    struct LevelResult
    {
      std::vector<Input> points;   ///< in the order of the choices
      long               first_id; ///< sample i has the id first_id + i
    };

    struct Result
    {
      std::vector<Input> points;   ///< in the order of the choices
      std::vector<Round> rounds;   ///< the initial design is the first
      long               first_id; ///< sample i has the id first_id + i
      long               first_held_out_id;
      unsigned int       n_solved; ///< by this call, on any level, held-out
                                   ///< ones too
      std::string end;             ///< why there is no further round

      std::vector<LevelResult> coarser; ///< as AdditionalData::coarser
    };

    /**
     * All arguments but @p data are referred to.
     * @throw InputError for a wrong entry of @p data.
     */
    ActiveCampaign(const FullOrderModel<VectorType> &model,
                   const FieldLayout                &layout,
                   const InputDistribution          &inputs,
                   const ProcessGroups              &groups,
                   const AdditionalData             &data);

    /**
     * Go on until a budget is spent, the goal is reached, or no candidate is
     * left. Collective over all ranks, with the same result on all.
     * @param problem hash of the problem; a store of another one is refused.
     * @throw FileError for a state file that is damaged or does not belong to
     * the store, and whatever Campaign::run() throws.
     */
    Result
    run(const std::string &problem) const;

    /** The name of the campaign: what its points depend on. */
    std::string
    campaign_name() const;

    /** The name of the campaign on coarser level @p level. */
    std::string
    level_name(const unsigned int level) const;

    /** The file of the choices, in the store's folder. */
    std::string
    state_file() const;

    /** Held-out point @p number. */
    Input
    held_out_input(const long number) const;

    /** The name of their campaign. */
    std::string
    held_out_name() const;

  private:
    /** What has been asked for on one level. */
    struct Asked
    {
      std::vector<Input>  points;
      std::vector<double> expected; ///< costs of the points, NaN if unknown
    };

    /** What is known between two rounds, the same on all ranks. */
    struct State : Asked
    {
      ActiveLearner      learner;
      std::vector<Round> rounds; ///< that have been measured

      /** On the coarser levels, what has been asked for above among it. */
      std::vector<Asked> coarser;

      /** Quantities of interest of the first points; not in the file. */
      std::vector<double> quantities;
    };

    /** What the first rank has, on all of them; and in the file, if any. */
    void
    publish(State &state, const bool write) const;

    nlohmann::json
    to_json(const State &state) const;

    void
    from_json(const nlohmann::json &json, State &state) const;

    /** @throw InputError for levels that cannot be. */
    void
    check_levels(const ActiveLearner &learner) const;

    /**
     * Whether there are as many points on each level as the initial design and
     * the choices make, all of them of the right size.
     */
    bool
    is_consistent(const State &state) const;

    /** All that choices depend on, but for the learner's own parameters. */
    nlohmann::json
    settings() const;

    /** The candidates of a round, and what they are called. */
    std::vector<Input>
    candidates_of(const std::uint64_t         round,
                  const long                  n,
                  std::vector<std::uint64_t> &ids) const;

    /**
     * Add the candidates of earlier rounds that have been solved on some levels
     * and not on all.
     */
    void
    add_unfinished(const State                &state,
                   std::vector<Input>         &candidates,
                   std::vector<std::uint64_t> &ids) const;

    /**
     * Make the store hold these points, solved by @p solver.
     * @return the solves spent.
     */
    unsigned int
    solve(const FullOrderModel<VectorType> &solver,
          const std::string                &name,
          const std::string                &design,
          const Asked                      &asked,
          const std::string                &problem) const;

    /** The same on all levels, the cheapest first. */
    unsigned int
    solve_levels(const State &state, const std::string &problem) const;

    /**
     * What has become of the points.
     * @throw FileError where the store has other inputs.
     */
    SolvedPoints
    solved(const SnapshotReader &store, const State &state) const;

    /**
     * The quantity of interest of each point, [n], not a number where there is
     * none, by all groups; what is not known yet is computed.
     */
    torch::Tensor
    quantities(const SnapshotReader &store, State &state) const;

    /** The same of the points of one level, of campaign @p name. */
    SolvedPoints
    solved(const SnapshotReader &store,
           const std::string    &name,
           const Asked          &asked) const;

    /** Why no further round is to be chosen; empty if one is. */
    std::string
    budget_is_spent(const State &state, const SolvedPoints &points) const;

    /**
     * Choose among levels, on one rank, and add what has been chosen to the
     * state.
     * @return why nothing has been; empty if something has.
     */
    std::string
    choose_levels(const Candidates         &known,
                  const std::vector<Input> &candidates,
                  const SolvedPoints       &points,
                  State                    &state) const;

    /** Fit, and hand out the slices. */
    void
    fit(const SnapshotReader &store, State &state) const;

    /** Relative errors on the held-out points that have been solved, [n]. */
    torch::Tensor
    held_out_errors(const SnapshotReader &store, const State &state) const;

    /** Scores of candidates, computed by all groups, on all ranks. */
    ActiveLearner::Scores
    score(const torch::Tensor     &inputs,
          const std::vector<long> &rows,
          const State             &state) const;

    /**
     * Whether the host can tell what the acquisition of @p learner needs.
     * @throw InputError
     */
    void
    check_needs(const ActiveLearner &learner) const;

    /**
     * Residuals of the predictions @p scores of the candidates @p begin, …,
     * @p end − 1 of @p rows, over the predictions' norms, [end − begin]; not a
     * number where there is none. Collective over the group.
     */
    torch::Tensor
    residuals(const torch::Tensor         &all,
              const std::vector<long>     &rows,
              const long                   begin,
              const long                   end,
              const ActiveLearner::Scores &scores) const;

    const FullOrderModel<VectorType> &model;
    const FieldLayout                &layout;
    const InputDistribution          &inputs;
    const ProcessGroups              &groups;
    const AdditionalData              data;
    AcquisitionNeeds                  needs;
  };
} // namespace neuraldeal

#endif
