// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_small_campaign_h
#define neuraldeal_tests_surrogates_small_campaign_h

#include <neuraldeal/surrogates/training_task.h>

#include <numeric>
#include <string>

#include "analytic_family.h"
#include "small_store.h"

namespace neuraldeal::tests
{
  /** What a host program leaves in a folder after its campaign. */
  class SmallCampaign
  {
  public:
    static constexpr long n_training = 30, n_held_out = 20;

    /** Writes the store, with sample 50 failed, and `training.json`. */
    explicit SmallCampaign(const TemporaryFolder &folder)
      : training(family.draw(n_training, 1))
      , held_out(family.draw(n_held_out, 2))
    {
      const std::string store = folder / "snapshots";
      std::filesystem::create_directories(store);
      SmallSpace space(9);
      space.add_reflection();
      space.write(store + "/space.h5");
      write(SnapshotReader::batch_file(store, 0), training, 0);
      write(SnapshotReader::batch_file(store, 1), held_out, n_training);

      task.store      = store;
      task.design     = space.problem;
      task.model      = folder / "model.safetensors";
      task.problem    = "00000000c0ffee00";
      task.surrogate  = "POD kernel regression";
      task.parameters = complete(task.surrogate, nlohmann::json::object());
      task.inputs     = family.ranges();
      task.training_samples.resize(n_training);
      task.held_out_samples.resize(n_held_out);
      std::iota(task.training_samples.begin(), task.training_samples.end(), 0);
      std::iota(task.held_out_samples.begin(),
                task.held_out_samples.end(),
                n_training);
      task.training = task.hash(SnapshotReader(store));
      task.write(folder / "training.json");
    }

    /** The same for another surrogate, as a file. */
    void
    choose(const std::string    &surrogate,
           const nlohmann::json &parameters,
           const std::string    &filename)
    {
      task.surrogate  = surrogate;
      task.parameters = complete(surrogate, parameters);
      task.training   = task.hash(SnapshotReader(task.store));
      task.write(filename);
    }

    AnalyticFamily family;
    Snapshots      training, held_out;
    TrainingTask   task;

  private:
    static nlohmann::json
    complete(const std::string &surrogate, const nlohmann::json &parameters)
    {
      register_surrogates();
      return complete_parameters(
        SurrogateRegistry::find("a test", "type", surrogate).parameters,
        parameters,
        "a test");
    }

    static void
    write(const std::string &filename,
          const Snapshots   &snapshots,
          const long         first_id)
    {
      const long                n = snapshots.parameters.size(0);
      std::vector<std::int64_t> ids(n);
      std::iota(ids.begin(), ids.end(), first_id);
      const bool last = first_id > 0;
      if (last)
        ids.push_back(first_id + n);
      SmallBatch batch(ids, snapshots.prior.size(1));
      for (long i = 0; i < n; ++i)
        {
          batch.parameters[i] = snapshots.parameters[i];
          batch.prior[i]      = snapshots.prior[i];
          batch.solution[i]   = snapshots.solution[i];
          batch.seconds[i]    = 1. + first_id + i;
        }
      if (last)
        {
          batch.status[n - 1]  = 1;
          batch.status.back()  = 2;
          batch.seconds.back() = 1e6;
          batch.reasons.back() = "no convergence";
          batch.solution[n]    = NAN;
        }
      batch.write(filename);
    }
  };
} // namespace neuraldeal::tests

#endif
