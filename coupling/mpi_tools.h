// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_mpi_tools_h
#define neuraldeal_coupling_mpi_tools_h

#include <mpi.h>
#include <neuraldeal/coupling/torch_interface.h>
#include <neuraldeal/surrogates/communicator.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  class TaskServer;

  /**
   * The processes of @p communicator as the surrogates room sees them. Sums
   * are MPI_Allreduce, those that are started MPI_Iallreduce; on more than two
   * ranks these may round differently. The latter need an MPI with
   * MPI_THREAD_SERIALIZED, which deal.II's MPI_InitFinalize asks for, and are
   * absent without it.
   */
  Communicator
  mpi_communicator(const MPI_Comm communicator);

  /**
   * The ranks of a communicator split into groups of equal size. A group
   * solves one problem at a time on a communicator of its own.
   */
  class ProcessGroups
  {
  public:
    /** How groups agree on who does which task; see distribute(). */
    enum class HandOut
    {
      automatic,     ///< the first of those below that all ranks can use
      shared_memory, ///< a counter in memory; all ranks on one host
      messages,      ///< a counter served by a thread of rank 0: TaskServer
      fixed          ///< none: dealt out in turns, however long they take
    };

    /**
     * @param group_size ranks in a group; has to divide the number of ranks.
     * @param hand_out what distribute() does; for tests and benchmarks.
     * @throw InputError where @p group_size does not divide or @p hand_out
     * cannot be had; @p source names the parameter file.
     */
    ProcessGroups(const MPI_Comm     world,
                  const unsigned int group_size,
                  const std::string &source,
                  const HandOut      hand_out = HandOut::automatic);

    ~ProcessGroups();

    ProcessGroups(const ProcessGroups &) = delete;
    ProcessGroups &
    operator=(const ProcessGroups &) = delete;

    /** All ranks. */
    const MPI_Comm world;

    /** The ranks of this process's group. */
    MPI_Comm
    group() const
    {
      return group_communicator;
    }

    unsigned int
    n_groups() const;

    /** Whether this process speaks for its group. */
    bool
    is_group_root() const;

    /** Whether this process speaks for all. */
    bool
    is_root() const;

    /** What distribute() does, the same on all ranks; never automatic. */
    HandOut
    hand_out() const
    {
      return way;
    }

    /**
     * Hand out the tasks 0, …, @p n_tasks − 1 to the groups, each as soon as
     * it is free. @p work is called on all ranks of a group. The first
     * exception of a task is thrown again on all ranks of the world once every
     * group has finished what it had begun. Collective.
     *
     * No rank is a master, and none waits for rank 0 to come out of a task:
     * on one host groups share an atomic counter in memory, on several a
     * thread of rank 0 keeps it, see TaskServer. Where a rank cannot reach
     * that one (no IPv4, or a firewall between the hosts) the tasks are dealt
     * out in turns instead: then no group does more of them because it is
     * free, and a failure ends the group that meets it, not the others.
     *
     * @param report called with the number of tasks handed out so far (where
     * they are dealt out in turns: of those that would be, were all equal).
     * @param costs what the tasks are expected to cost, in any unit, @p n_tasks
     * numbers or none, as many on all ranks. The longest are handed out first
     * (those of the same cost in their order, those of unknown cost, NaN,
     * before all), so that with m groups the last one ends within 4/3 − 1/(3m)
     * of the best schedule, were the costs true (R. L. Graham, Bounds on
     * multiprocessing timing anomalies, SIAM J. Appl. Math. 17 (1969),
     * theorem 3). The costs of rank 0 count, so that measured ones may differ
     * between ranks. What a task does must not depend on the order.
     */
    void
    distribute(const unsigned int                             n_tasks,
               const std::function<void(const unsigned int)> &work,
               const std::function<void(const unsigned int)> &report = {},
               const std::vector<double>                     &costs = {}) const;

    /** try_together() on the ranks of the group. */
    std::string
    try_on_group(const std::function<void()> &work) const;

    /**
     * Call @p work on the first rank of all. What it throws there is thrown
     * on the others as well, as a std::runtime_error that says the same (see
     * Attempt). Collective.
     */
    void
    on_root(const std::function<void()> &work) const;

  private:
    MPI_Comm                    group_communicator;
    HandOut                     way;
    std::unique_ptr<TaskServer> server;

    /** How often distribute() has been called. */
    mutable std::uint32_t round = 0;
  };

  /**
   * Groups of several ranks have slices of the fields.
   * @param surrogate what is to work in @p groups, by name.
   * @param supports_slices see Surrogate::supports_slices().
   * @throw InputError where these do not go together; @p source is where the
   * two are from.
   */
  void
  check_group_size(const ProcessGroups &groups,
                   const std::string   &surrogate,
                   const bool           supports_slices,
                   const std::string   &source);

  /**
   * The string of the lowest rank that has one that is not empty.
   */
  std::string
  first_message(const std::string &message, const MPI_Comm communicator);

  /**
   * Call @p work, which may throw on some ranks only.
   * @return the same on all of them: an empty string, or what the first of
   * the failed ranks says. Every rank has to return from @p work.
   */
  std::string
  try_together(const std::function<void()> &work, const MPI_Comm communicator);

  /**
   * Run @p program, the body of main(). What it throws is printed as one
   * sentence, and all ranks end together.
   * @return the exit status.
   */
  int
  run_program(const std::function<void()> &program);

  /**
   * One thread a rank for LibTorch and BLAS unless told otherwise.
   * @param n_threads 0: as the environment says.
   * @return a line that says what was found and set.
   */
  std::string
  set_threads(const unsigned int n_threads, const MPI_Comm world);
} // namespace neuraldeal

#endif
