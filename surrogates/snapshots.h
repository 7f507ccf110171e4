// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_snapshots_h
#define neuraldeal_surrogates_snapshots_h

#include <torch/types.h>

namespace neuraldeal
{
  /** A batch of questions: what a surrogate predicts from. */
  struct Inputs
  {
    torch::Tensor parameters; ///< [n, d] float64, as the host gives them
    torch::Tensor prior;      ///< [n, N] float64, the coarse solution
  };

  /** A batch of solved questions: what a surrogate learns from. */
  struct Snapshots : Inputs
  {
    torch::Tensor solution; ///< [n, N] float64, the host's own solution
  };

  /**
   * Snapshots that need not fit into memory: they are read in blocks.
   */
  class SnapshotSource
  {
  public:
    virtual ~SnapshotSource() = default;

    /** The number of snapshots. */
    virtual long
    size() const = 0;

    /** The snapshots @p begin, …, @p end − 1. */
    virtual Snapshots
    read(const long begin, const long end) const = 0;

    /** All parameters at once, [size(), d]. */
    virtual torch::Tensor
    parameters() const = 0;
  };

  /** Snapshots in memory, as a source. */
  class SnapshotsInMemory : public SnapshotSource
  {
  public:
    explicit SnapshotsInMemory(const Snapshots &snapshots)
      : snapshots(snapshots)
    {}

    long
    size() const override
    {
      return snapshots.parameters.size(0);
    }

    Snapshots
    read(const long begin, const long end) const override
    {
      Snapshots result;
      result.parameters = snapshots.parameters.slice(0, begin, end);
      result.prior      = snapshots.prior.slice(0, begin, end);
      result.solution   = snapshots.solution.slice(0, begin, end);
      return result;
    }

    torch::Tensor
    parameters() const override
    {
      return snapshots.parameters;
    }

  private:
    const Snapshots snapshots;
  };
} // namespace neuraldeal

#endif
