// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_snapshot_reader_h
#define neuraldeal_surrogates_snapshot_reader_h

#include <neuraldeal/surrogates/field_space.h>
#include <neuraldeal/surrogates/snapshots.h>

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
   * `iterations` [n].
   *
   * `index.h5`: links to all of them, for people; nothing here needs it.
   *
   * Every file has the attribute `problem`, a hash of the mesh, the element
   * and the inputs; files of different problems do not mix.
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

  private:
    struct Sample
    {
      long                id;
      std::string         file;
      long                row;
      double              seconds;
      std::vector<double> parameters;
    };

    std::string                               folder;
    std::vector<std::string>                  files;
    std::string                               problem_hash;
    std::vector<Sample>                       samples;
    std::vector<std::pair<long, std::string>> failed;
  };
} // namespace neuraldeal

#endif
