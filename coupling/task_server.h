// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_task_server_h
#define neuraldeal_coupling_task_server_h

#include <mpi.h>

#include <cstdint>
#include <memory>

namespace neuraldeal
{
  /**
   * A counter that all ranks share, on whatever hosts they are, and a watch
   * over these hosts. It does not wait for rank 0: a request is answered while
   * the latter is within a solve.
   *
   * One-sided MPI does not give that on every network. Open MPI 4.1 has no
   * one-sided operations at all between hosts with TCP alone, unless asked to
   * send them as messages, and these wait until the target calls MPI. A thread
   * that calls MPI for it would need MPI_THREAD_MULTIPLE, where deal.II asks
   * for MPI_THREAD_SERIALIZED. So requests are datagrams (UDP over IPv4, about
   * 100 bytes each) to a thread of rank 0, which calls nothing of MPI and
   * sleeps where there is none. What is lost is sent again, and counts once.
   *
   * The first rank of each host tells rank 0 every second that it is there.
   * Where one has not been heard of, or does not hear of rank 0, for
   * patience() seconds, its connection is lost for MPI as well, which may wait
   * for ever: the process says so in one sentence and ends. What starts the
   * ranks then ends the others.
   *
   * The hosts have to be of one byte order, and the ports that the system
   * chooses open between them.
   */
  class TaskServer
  {
  public:
    /**
     * Collective.
     *
     * @param asks whether fetch_and_add() will be called on this rank.
     */
    TaskServer(const MPI_Comm world, const bool asks);

    /**
     * Not collective, so that it may be part of handling an exception; but no
     * other rank may ask any more when that of rank 0 goes.
     */
    ~TaskServer();

    TaskServer(const TaskServer &) = delete;
    TaskServer &
    operator=(const TaskServer &) = delete;

    /**
     * Whether all ranks have reached rank 0, the same on all ranks. Where they
     * have not, the object is of no use.
     */
    bool
    is_reachable() const;

    /**
     * Add @p amount to the counter of @p round, which begins at zero.
     *
     * @param round not less than in any earlier call on any rank.
     * @return its value before.
     */
    std::uint64_t
    fetch_and_add(const std::uint32_t round, const std::uint64_t amount);

    /** Seconds of silence after which a host counts as lost. */
    static constexpr unsigned int
    patience()
    {
      return 30;
    }

  private:
    class Implementation;
    std::unique_ptr<Implementation> implementation;
  };
} // namespace neuraldeal

#endif
