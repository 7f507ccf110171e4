// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_snapshot_reader_h
#define neuraldeal_surrogates_snapshot_reader_h

#include <neuraldeal/surrogates/field_space.h>
#include <neuraldeal/surrogates/snapshots.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Reads a snapshot store, which is a folder:
   *
   * `space.h5`: what all snapshots share. Data sets `points` [dim, N] (that of
   * each value; the components of a vector have the same one),
   * `mass_rows`, `mass_columns`, `mass_values` [nonzeros],
   * `symmetry_matrices` [G, dim·dim], `symmetry_offsets` [G, dim],
   * `symmetry_parameters` [G, d], `parameter_names` [d].
   *
   * `batch-000000.h5`, …: the snapshots. Data sets `sample` [n] (ids),
   * `parameters` [n, d], `prior` and `solution` [n, N], `status` [n] (0 the
   * host's solver, 1 its fallback, 2 failed), `reason` [n], `seconds` [n],
   * `iterations` [n]; since the files have the attribute `campaign` also
   * `campaign` [n] (its number, id / campaign_size) and, where the host tells
   * them, `statistics` [n, k] (not a number where a solve has failed). The
   * attributes `names` and `units` of `parameters`, of `prior` and `solution`
   * (their components) and of `statistics` say what the columns are.
   *
   * `trajectory-000000/`, …: samples that are sequences of states in time, a
   * folder each, with the id of the sample. `trajectory.h5` has the data sets
   * of a batch of one sample but for the fields, and `steps` [1], their number,
   * and `steps_a_file` [1], how many the files `steps-000000.h5`, … have: the
   * data sets `time` [steps] and `solution` [steps, N]. Of the same names
   * `trajectory.h5` has virtual data sets, for those who read all at once.
   * Where a solve has failed there are no steps.
   *
   * `index.h5`: links to all of them, for people; nothing here needs it.
   *
   * Every file has the attribute `problem`, a hash of the mesh, the element
   * and the inputs; files of different problems do not mix. It says nothing
   * of who has chosen the inputs: that is the campaign's, named by the
   * attributes `campaign`, `design` and `seed` of a batch. Campaign number c,
   * in the order in which they came to the store, has the ids from
   * c · campaign_size on. `provenance`, `parameter file` (a hash) and
   * `versions` are for people.
   */
  class SnapshotReader : public SnapshotSource
  {
  public:
    /**
     * Take stock of the batches in @p folder, which may also be the file of
     * one batch.
     * @param problem the problem's hash that is expected; empty for any.
     * @throw FileError where a file is foreign, damaged or of another problem
     */
    SnapshotReader(const std::string &folder, const std::string &problem = "");

    /** A reader of the samples @p ids of @p other, in that order. */
    SnapshotReader(const SnapshotReader &other, const std::vector<long> &ids);

    long
    size() const override
    {
      return samples.size();
    }

    /** @throw FileError naming the sample where a value is not finite. */
    Snapshots
    read(const long begin, const long end) const override;

    torch::Tensor
    parameters() const override;

    /** Ids of a campaign; see above. */
    static constexpr long campaign_size = 1000000000;

    /** A campaign, as its first file describes it. */
    struct CampaignDescription
    {
      long        number;
      std::string name;   ///< empty in stores of earlier versions
      std::string design; ///< likewise
      std::string seed;   ///< likewise
    };

    /** The campaigns that have files in the store, by number. */
    const std::vector<CampaignDescription> &
    campaigns() const
    {
      return all_campaigns;
    }

    /**
     * The first id of the campaign called @p name: that of a new one, after
     * all others, where the store has none of that name.
     */
    long
    first_id(const std::string &name) const;

    /**
     * The number @p name that the host has told of each sample, [size()];
     * not a number where it has told none.
     */
    torch::Tensor
    statistics(const std::string &name) const;

    /** A sample without its fields. */
    struct Record
    {
      long                          id;
      std::vector<double>           parameters;
      bool                          succeeded;
      double                        seconds;
      std::int64_t                  iterations; ///< 0 where nobody has told
      std::map<std::string, double> statistics;
    };

    /** All samples, failed ones among them, by ascending id. */
    const std::vector<Record> &
    records() const
    {
      return all_records;
    }

    /**
     * The attribute @p what (`names` or `units`) of the columns of
     * @p data_set; empty where the store does not say.
     */
    std::vector<std::string>
    columns(const std::string &data_set, const std::string &what) const;

    /** What surrogates learn from trajectories, see trajectories(). */
    enum class TrajectoryView
    {
      states, ///< the parameters and the time → the state
      pairs   ///< the parameters, the time, the state before → the state
    };

    /** Ids of the samples that are trajectories, ascending. */
    std::vector<long>
    trajectory_ids() const;

    /** The parameters of a trajectory, [d]. */
    torch::Tensor
    trajectory_parameters(const long id) const;

    /** The times of its steps, increasing, [steps]. */
    torch::Tensor
    times(const long id) const;

    /** Its steps @p begin, …, @p end − 1, a row each, [end − begin, N]. */
    torch::Tensor
    read_steps(const long id, const long begin, const long end) const;

    /** More steps than this has no trajectory. */
    static constexpr long max_steps = 1000000;

    /**
     * A reader whose samples are the steps of all trajectories. Step k of the
     * trajectory with number id is sample id · max_steps + k; its last
     * parameter is its time, the solution its state. Of states the prior is
     * zero; of pairs, which begin with k = 1, it is the state before, so that
     * a surrogate that corrects its prior steps in time. Seconds are those of
     * the trajectory over the number of its steps.
     * @throw FileError where pairs are wanted and the time between two steps
     * is not the same everywhere: it is no parameter.
     */
    SnapshotReader
    trajectories(const TrajectoryView view) const;

    /**
     * A reader of the same samples, where a prior that is zero everywhere has
     * this value everywhere instead: for surrogates that measure all by the
     * size of the prior, and samples that have none. Who asks such a
     * surrogate has to hand it the same.
     */
    SnapshotReader
    with_prior(const double value) const;

    /** The solved samples' ids, ascending (or as given). */
    std::vector<long>
    ids() const;

    /** Samples that have failed, with the reason. */
    const std::vector<std::pair<long, std::string>> &
    failures() const
    {
      return failed;
    }

    /** The files of the batches, in the order of their names. */
    const std::vector<std::string> &
    batch_files() const
    {
      return files;
    }

    /** The file of what all snapshots share; see read_space(). */
    std::string
    space_file() const
    {
      return folder + "/space.h5";
    }

    /** Wall times of the host's solver in seconds, [size()]. */
    torch::Tensor
    seconds() const;

    /** Mean wall time of the host's solver, in seconds. */
    double
    mean_seconds() const;

    /** The space of `space.h5`; its points are a row each, [N, dim]. */
    FieldSpace
    read_space() const;

    /** The hash that all files carry. */
    const std::string &
    problem() const
    {
      return problem_hash;
    }

    /** The file name of batch number @p batch. */
    static std::string
    batch_file(const std::string &folder, const long batch);

    /** The folder of trajectory @p id of a store. */
    static std::string
    trajectory_folder(const std::string &folder, const long id);

    /** Whether a folder of a store is, by its name, that of a trajectory. */
    static bool
    is_trajectory(const std::string &name);

    /**
     * File number @p number of the steps of a trajectory.
     * @param folder of the trajectory; empty for the name alone.
     */
    static std::string
    steps_file(const std::string &folder, const long number);

  private:
    /** A row of the data set `solution` of a file. */
    struct Place
    {
      std::string file;
      long        row = 0;
    };

    struct Sample
    {
      long                id;
      std::string         file;
      long                row;
      double              seconds;
      std::vector<double> parameters;

      std::map<std::string, double> statistics;

      /**
       * Of a step: where its prior is, among the solutions; in no file where
       * it is zero.
       */
      bool  is_step = false;
      Place prior;
    };

    struct Trajectory
    {
      long                id;
      std::string         folder;
      long                n_steps, steps_a_file;
      double              seconds;
      std::vector<double> parameters;
    };

    /** @throw FileError where there is none of that id. */
    const Trajectory &
    trajectory(const long id) const;

    static Place
    place_of(const Trajectory &trajectory, const long step);

    /** The names of the trajectories' files; see columns(). */
    std::vector<std::string> trajectory_files;
    std::vector<Trajectory>  all_trajectories; ///< by id

    /** Whether the samples are steps, whose last parameter is the time. */
    bool has_time = false;

    /** See with_prior(). */
    double default_prior = 0.;

    std::string                               folder;
    std::vector<std::string>                  files;
    std::string                               problem_hash;
    std::vector<Sample>                       samples;
    std::vector<std::pair<long, std::string>> failed;
    std::vector<CampaignDescription>          all_campaigns;
    std::vector<Record>                       all_records;
  };

  /**
   * What there is to say of @p failures (samples and reasons): a line for each
   * kind, the most frequent one first, with the number of samples, the first
   * of them, and its reason. Reasons that differ in nothing but their numbers
   * are of the same kind. Empty where there are none.
   */
  std::string
  summarize_failures(const std::vector<std::pair<long, std::string>> &failures);
} // namespace neuraldeal

#endif
