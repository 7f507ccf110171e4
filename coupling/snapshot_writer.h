// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_snapshot_writer_h
#define neuraldeal_coupling_snapshot_writer_h

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/full_order_model.h>
#include <neuraldeal/surrogates/hdf5_file.h>

#include <string>
#include <vector>

namespace neuraldeal
{
  /** One solved (or failed) sample on its way into a store. */
  struct SnapshotRecord
  {
    /** How the solution was obtained; the values are those in the files. */
    enum class Status
    {
      solved   = 0,
      fallback = 1,
      failed   = 2
    };

    long          id = 0;
    Input         parameters;
    torch::Tensor prior;    ///< this rank's values in canonical order
    torch::Tensor solution; ///< likewise; zero where failed
    Status        status = Status::solved;
    std::string   reason; ///< why it has failed, or the fallback was needed
    double        seconds    = 0;
    unsigned int  iterations = 0;

    /** What the host tells of the solve; see StoreDescription. */
    std::vector<double> statistics;
  };

  /** What a store says of itself, to people and to later campaigns. */
  struct StoreDescription
  {
    /**
     * Who has chosen the inputs: all that point i of a campaign depends on,
     * besides i. Campaigns of different names never share ids.
     */
    std::string campaign;

    std::string design;         ///< name of the design
    std::string seed;           ///< its seed
    std::string parameter_file; ///< hash of the parameter file

    /** Of the inputs; of the components of the solution; may be empty. */
    std::vector<std::string> parameter_names, parameter_units;
    std::vector<std::string> field_names, field_units;

    /** Of the numbers that the host tells of each solve. */
    std::vector<std::string> statistic_names;
  };

  /**
   * Writes a snapshot store in the layout that SnapshotReader documents: the
   * ranks of a group write their values of each field together, a whole
   * batch under a temporary name that is renamed at its end.
   */
  class SnapshotWriter
  {
  public:
    /**
     * @param problem hash that goes into every file.
     * @param provenance text that goes into every file (the parameter file's
     * hash, the seed, …).
     * @param description attributes of the files and their data sets.
     */
    SnapshotWriter(const std::string      &folder,
                   const FieldLayout      &layout,
                   const std::string      &problem,
                   const std::string      &provenance,
                   const StoreDescription &description = StoreDescription());

    /**
     * Write a batch. The number in the file's name is the id of its first
     * sample. Collective over the layout's group.
     */
    void
    write(const std::vector<SnapshotRecord> &records) const;

    /**
     * Write what every file of samples has: the attributes, and all data sets
     * but the fields. Collective over the ranks that have opened the file.
     * @param format the attribute of that name.
     */
    void
    write_header(HDF5File                          &file,
                 const std::string                 &format,
                 const std::vector<SnapshotRecord> &records) const;

    /** Give the fields in @p data_set the names and units of the host. */
    void
    annotate_fields(HDF5File &file, const std::string &data_set) const;

    /**
     * Write `index.h5`, which links to all files that are there. On one
     * rank, when nobody writes batches.
     */
    void
    write_index() const;

    const std::string  folder;
    const FieldLayout &layout;
    const std::string  problem;

  private:
    const std::string      provenance;
    const StoreDescription description;
  };
} // namespace neuraldeal

#endif
