// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_train_surrogate_h
#define neuraldeal_surrogates_train_surrogate_h

#include <neuraldeal/surrogates/training_task.h>

namespace neuraldeal
{
  /**
   * Train @p surrogate as @p task says: fit() on the training samples, then
   * update() with the held-out ones, which it is calibrated on. Collective
   * over @p communicator.
   * @param store the snapshots of the task.
   * @return the wall time, in seconds.
   */
  double
  train_surrogate(Surrogate            &surrogate,
                  const TrainingTask   &task,
                  const SnapshotReader &store,
                  const Communicator   &communicator);

  /**
   * @p surrogate as a model file that AdaptiveSolver takes. Metadata beside
   * what the surrogate itself writes: `format`, `problem` and `training` (the
   * hashes of @p task, the latter that of @p store), `inputs` and `costs`.
   * @param costs `seconds_full_solve`, `seconds_training`.
   */
  ModelFile
  make_model_file(const Surrogate      &surrogate,
                  const TrainingTask   &task,
                  const SnapshotReader &store,
                  const nlohmann::json &costs);

  /**
   * The surrogate that make_model_file() has put into @p file, as a factory
   * makes it: load() has the rest.
   * @throw FileError where the file has no surrogate
   * @throw InputError for one that is not registered, naming those that are
   */
  std::unique_ptr<Surrogate>
  make_surrogate(const ModelFile &file);

  /** What HeldOutScores come to: medians and 95 % quantiles. */
  struct HeldOutSummary
  {
    long   n            = 0; ///< snapshots; all else is zero without any
    double error_median = 0; ///< of the error over the solution's norm
    double error_95     = 0;
    double prior_median = 0; ///< the same of the coarse solution alone
    double prior_95     = 0;
  };

  HeldOutSummary
  summarize_scores(const HeldOutScores &scores);
} // namespace neuraldeal

#endif
