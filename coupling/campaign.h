// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_campaign_h
#define neuraldeal_coupling_campaign_h

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/full_order_model.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/snapshot_writer.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Solves the host's problem for a counted design and stores the snapshots.
   * Sample i, and the batch that it belongs to, are the same on any number
   * of ranks; samples that are there already, failed ones among them, are not
   * solved again, so a campaign that was killed goes on where it was, and so
   * does one that is to become larger.
   *
   * With a time budget, each call of the host's solvers may take that long: a
   * host that asks FullOrderModel::should_stop() ends it then, and the sample
   * has failed for the reason "time budget" (or goes to the fallback, which
   * has the budget once more). A host that does not ask and returns late is
   * none the worse for it. One that does not return within a multiple of the
   * budget ends the job: the sample is noted in the store's folder, as
   * `hung-000012.txt`, and when the job is started again has failed for that
   * reason without being solved again.
   */
  template <typename VectorType>
  class Campaign
  {
  public:
    struct AdditionalData
    {
      std::string  folder     = "snapshots";
      unsigned int batch_size = 2; ///< samples a file

      /**
       * Whether the samples are trajectories: what the host's solve() hands
       * to FullOrderModel::output_step(), each of them a folder of its own
       * (see TrajectoryWriter). What solve() returns is not stored then, and
       * coarse_solve() not called.
       */
      bool trajectories = false;

      /** Steps that are held in memory, and written together. */
      unsigned int steps_in_memory = 8;

      /** The campaign stops when more than this share of solves fails. */
      double max_failures = 0.1;

      /** Seconds that a call of the host may take; 0: no limit. */
      double time_budget = 0.;

      /** A call that takes this many times its budget ends the job. */
      double patience = 10.;

      std::string provenance; ///< goes into every file

      /**
       * Goes into every file; run() adds the names of parameters and
       * statistics.
       */
      StoreDescription description;
    };

    Campaign(const FullOrderModel<VectorType> &model,
             const FieldLayout                &layout,
             const ProcessGroups              &groups,
             const AdditionalData             &data);

    /** How to solve one sample; also what a re-solve does. */
    SnapshotRecord
    solve(const long id, const Input &input) const;

    /**
     * Make the store hold the points 0, …, @p n_samples − 1 of the campaign
     * that AdditionalData::description names. Their ids follow from
     * SnapshotReader::first_id(): those of other campaigns in the store, of
     * another design or seed, are left alone.
     *
     * @param input gives the input of each point.
     * @param problem hash of the problem; a store of another one is refused.
     * @param costs what the solves of the points are expected to cost, in any
     * unit, not a number where that is unknown; those of rank 0 count. Long
     * solves are then begun first (ProcessGroups::distribute()), a batch
     * costing the sum of its samples. Without them the costs are learned
     * (CostModel) from the seconds of what the store has of this problem,
     * where these are @ref fewest_to_learn_costs solves or more. What is
     * stored depends neither on them nor on the order.
     * @return the number of full solves spent (fewer when resumed).
     * @throw std::runtime_error on all ranks, with the same message, where a
     * file cannot be written, is damaged or of another problem, or where too
     * many solves fail. What was solved until then is in the store. At the
     * end the root says which solves have failed, and why.
     */
    unsigned int
    run(const unsigned int                      n_samples,
        const std::function<Input(const long)> &input,
        const std::string                      &problem,
        const std::vector<std::string>         &parameter_names,
        const std::vector<double>              &costs = {}) const;

    /** With fewer recorded solves the order is that of the points. */
    static constexpr unsigned int fewest_to_learn_costs = 10;

  private:
    /**
     * Solve one sample that is a trajectory, by the host's solver or its
     * fallback, and write it while it is solved.
     * @throw std::runtime_error on all ranks of the group where it cannot be
     * written.
     */
    SnapshotRecord
    solve_trajectory(const SnapshotWriter &writer,
                     const long            id,
                     const Input          &input) const;

    /**
     * Call @p work of the group, the host's @p name, within the time budget.
     * @return as ProcessGroups::try_on_group()
     */
    std::string
    call_host(const long                   id,
              const std::string           &name,
              const std::function<void()> &work) const;

    using Solver =
      std::function<unsigned int(const Input &input, VectorType &solution)>;

    /** Call one of the host's solvers; what it tells goes into @p record. */
    void
    call_solver(const Solver   &solver,
                const Input    &input,
                VectorType     &solution,
                SnapshotRecord &record) const;

    /** The group's first rank speaks: all of them write the same. */
    void
    share_statistics(SnapshotRecord &record) const;

    /** @p record has failed: no values, and the reason. */
    void
    mark_failed(SnapshotRecord &record, const std::string &reason) const;

    /** The file that says that a sample hung. */
    std::string
    note_file(const long id) const;

    const FullOrderModel<VectorType> &model;
    const FieldLayout                &layout;
    const ProcessGroups              &groups;
    const AdditionalData              data;

    /** On the first rank of a group with a time budget. */
    const std::unique_ptr<Watchdog> watchdog;
  };
} // namespace neuraldeal

#endif
