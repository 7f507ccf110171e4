// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_time_budget_h
#define neuraldeal_coupling_time_budget_h

#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace neuraldeal
{
  /**
   * How long a call of the host's may take. The clock of the first rank of a
   * group decides for all of its ranks, so that they stop together. Where no
   * budget runs, no clock is read and nothing is sent.
   */
  class TimeBudget
  {
  public:
    /**
     * From now on, @p seconds for the ranks of @p communicator. 0: no limit.
     */
    void
    begin(const MPI_Comm communicator, const double seconds);

    /** The call has returned. */
    void
    end();

    /**
     * Whether the time is over; once it is, it stays so until end().
     * Collective over the communicator while a budget runs.
     */
    bool
    is_over();

    /** Whether is_over() has said so since begin(). Not collective. */
    bool
    was_over() const
    {
      return over;
    }

  private:
    bool                                  runs         = false;
    bool                                  over         = false;
    MPI_Comm                              communicator = MPI_COMM_NULL;
    std::chrono::steady_clock::time_point deadline;
  };

  /**
   * Watches, in a thread of its own, over calls that may never return, and
   * then ends the job: nothing else can be done about a host that hangs.
   */
  class Watchdog
  {
  public:
    /** Calls may take @p seconds. */
    explicit Watchdog(const double seconds);

    ~Watchdog();

    Watchdog(const Watchdog &) = delete;

    /**
     * A call begins.
     * @param last_words called by the thread before it ends the job, where
     * the call does not return in time. No MPI in there.
     */
    void
    begin(const std::function<void()> &last_words);

    /** It has returned. */
    void
    end();

  private:
    void
    watch();

    /** End all ranks of the job, from any thread. */
    [[noreturn]] static void
    end_job();

    const std::chrono::duration<double> patience;

    std::mutex              mutex; ///< of all below
    std::condition_variable changed;
    bool                    leaving  = false;
    bool                    watching = false;
    /** Tells a call from the next one. */
    unsigned long                         n_calls = 0;
    std::chrono::steady_clock::time_point deadline;
    std::function<void()>                 last_words;

    std::thread thread; ///< the last: it uses all others
  };
} // namespace neuraldeal

#endif
