// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_task_h
#define neuraldeal_surrogates_training_task_h

#include <neuraldeal/surrogates/snapshot_reader.h>
#include <neuraldeal/surrogates/surrogate.h>

#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * What a surrogate is to be trained on and with. As a JSON document it goes
   * to a machine that has neither the host program nor deal.II:
   *
   * | entry | what it holds |
   * | --- | --- |
   * | `format` | "neural.deal training 1" |
   * | `store` | folder of the snapshots, relative to the document's folder |
   * | `trajectories` | optional: "states" or "pairs", where the samples are
   * steps of the trajectories in the store, see SnapshotReader |
   * | `prior` | optional: the value, everywhere, of priors that are zero, see
   * SnapshotReader::with_prior() |
   * | `design` | hash that the files of the store carry |
   * | `model` | file to be written, relative to the document's folder |
   * | `problem` | hash of the problem, for the model file |
   * | `training` | hash() of all this |
   * | `surrogate` | `type`, `parameters`: see SurrogateRegistry |
   * | `libraries` | optional: a list of shared libraries that the surrogate
   * comes from, see load_shared_libraries(); those with a '/' are relative to
   * the document's folder |
   * | `inputs` | a list of `name`, `lower`, `upper`, `logarithmic`; infinite
   * bounds are the texts "-inf" and "inf" |
   * | `training samples` | ids of the snapshots to train on |
   * | `held-out samples` | ids of the snapshots to calibrate on |
   */
  struct TrainingTask
  {
    std::string    store;
    std::string    trajectories; ///< "states", "pairs" or empty
    double         prior = 0.;   ///< of samples that have none, everywhere
    std::string    design;       ///< empty for any
    std::string    model;
    std::string    problem;
    std::string    training; ///< empty where nobody has computed it
    std::string    surrogate;
    nlohmann::json parameters = nlohmann::json::object(); ///< complete
    std::vector<std::string> libraries;                   ///< loaded by read()
    std::vector<InputRange>  inputs;
    std::vector<long>        training_samples;
    std::vector<long>        held_out_samples;

    /** Where this comes from, for error messages. */
    std::string source = "the program";

    /**
     * Hash of the surrogate's name, its parameters and the inputs of its
     * snapshots: models of the same one are the same up to rounding.
     */
    std::string
    hash(const SnapshotReader &store) const;

    /**
     * The samples that the task speaks of.
     * @throw as SnapshotReader does
     */
    SnapshotReader
    open_store() const;

    /**
     * Whether @p store has the snapshots that `training` was computed from.
     * @throw FileError where it does not
     */
    void
    check_snapshots(const SnapshotReader &store) const;

    /**
     * Replace a parameter of the surrogate.
     * @param change "name=value", the value as in JSON, or a text without
     * quotes. An entry of a parameter that is a JSON object is named by
     * "name/entry".
     * @throw InputError
     */
    void
    set(const std::string &change);

    /** The document. Paths are made relative to its folder. */
    void
    write(const std::string &filename) const;

    /**
     * What write() has written, or somebody by hand.
     * @throw FileError where the file is absent or no JSON document
     * @throw InputError naming an entry that is wrong
     */
    static TrainingTask
    read(const std::string &filename);
  };



  /** Ranges as a list of JSON objects, infinite bounds as text. */
  nlohmann::json
  to_json(const std::vector<InputRange> &ranges);

  /**
   * What to_json() has made. Bounds may be numbers or texts.
   * @throw InputError naming @p source
   */
  std::vector<InputRange>
  ranges_from_json(const nlohmann::json &list, const std::string &source);
} // namespace neuraldeal

#endif
