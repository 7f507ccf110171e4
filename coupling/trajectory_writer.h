// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_trajectory_writer_h
#define neuraldeal_coupling_trajectory_writer_h

#include <neuraldeal/coupling/snapshot_writer.h>

#include <limits>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * The values of @p field that this rank owns, in canonical order; the field
   * may have ghost entries.
   * @throw InputError where it is not of the mesh of @p layout or has values
   * that are not finite. Not collective: other ranks may see nothing wrong.
   */
  template <typename VectorType>
  torch::Tensor
  field_values(const FieldLayout &layout, const VectorType &field);

  /**
   * Writes one trajectory into a snapshot store, a sample with parameters and
   * a sequence of times, while the host computes it. The steps go into files
   * of a few steps each (see SnapshotReader), in a folder with a temporary
   * name, which is synced and renamed when all is there: whoever looks finds
   * the whole trajectory or none. What the class holds in memory is the
   * steps of one file, however many there are.
   *
   * All members but the destructor are collective over the layout's group,
   * and what they throw, they throw on all of its ranks.
   */
  class TrajectoryWriter
  {
  public:
    /**
     * @param store where it belongs; referred to.
     * @param id number of the sample.
     * @param steps_in_memory steps that are collected before they are written,
     * those of a file.
     * @throw std::runtime_error where there is such a trajectory, or the
     * folder cannot be made.
     */
    TrajectoryWriter(const SnapshotWriter &store,
                     const long            id,
                     const unsigned int    steps_in_memory = 8);

    /** What has not been finished leaves nothing. */
    ~TrajectoryWriter();

    TrajectoryWriter(const TrajectoryWriter &) = delete;
    TrajectoryWriter &
    operator=(const TrajectoryWriter &) = delete;

    /**
     * Append a step.
     * @param time later than that of the step before, in units of the host.
     * @throw std::runtime_error with the words of InputError where the field
     * is not of the store's mesh, or where it or the time is no good; of
     * FileError where it cannot be written. There is no going on then.
     */
    template <typename VectorType>
    void
    step(const double time, const VectorType &field);

    /**
     * Make it visible.
     * @param record parameters, status and all else but the fields. Where
     * that says that the solve has failed, the steps are left out.
     */
    void
    finish(const SnapshotRecord &record);

    /** The steps so far. */
    long
    n_steps() const
    {
      return n_written + times.size();
    }

    /** What the steps take in this object's memory, on this rank, in bytes. */
    std::size_t
    memory_consumption() const
    {
      return (times.capacity() + values.capacity()) * sizeof(double);
    }

    /** What has kept it from being written; empty where nothing has. */
    const std::string &
    write_failure() const
    {
      return failure_to_write;
    }

  private:
    /** Write the steps that are in memory. */
    void
    flush();

    /** Call @p work; what it throws is thrown on all ranks. */
    void
    together(const std::function<void()> &work) const;

    const SnapshotWriter &store;
    const long            id;
    const unsigned int    steps_in_memory;
    const std::string     name, temporary;
    bool                  is_open = false;

    long                n_written = 0; ///< steps in files
    double              last_time = -std::numeric_limits<double>::infinity();
    std::vector<double> times;  ///< of the steps in memory
    std::vector<double> values; ///< [steps in memory, n_local_values()]
    std::string         failure_to_write;
  };
} // namespace neuraldeal

#endif
