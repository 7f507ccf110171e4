// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/time_budget.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace neuraldeal
{
  namespace
  {
    using Clock = std::chrono::steady_clock;

    Clock::time_point
    from_now(const double seconds)
    {
      // No clock runs longer than this; it may not overflow either.
      return Clock::now() +
             std::chrono::duration_cast<Clock::duration>(
               std::chrono::duration<double>(std::min(seconds, 1e9)));
    }
  } // namespace



  void
  TimeBudget::begin(const MPI_Comm communicator_, const double seconds)
  {
    communicator = communicator_;
    runs         = seconds > 0.;
    over         = false;
    if (runs)
      deadline = from_now(seconds);
  }



  void
  TimeBudget::end()
  {
    runs = false;
    over = false;
  }



  bool
  TimeBudget::is_over()
  {
    if (!runs || over)
      return over;
    int stop = Clock::now() >= deadline;
    MPI_Bcast(&stop, 1, MPI_INT, 0, communicator);
    over = (stop != 0);
    return over;
  }



  Watchdog::Watchdog(const double seconds)
    : patience(seconds)
    , thread([this]() { watch(); })
  {}



  Watchdog::~Watchdog()
  {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      leaving = true;
    }
    changed.notify_one();
    thread.join();
  }



  void
  Watchdog::begin(const std::function<void()> &words)
  {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      watching   = true;
      deadline   = from_now(patience.count());
      last_words = words;
      ++n_calls;
    }
    changed.notify_one();
  }



  void
  Watchdog::end()
  {
    // While the last words are spoken, this waits: they are true then.
    const std::lock_guard<std::mutex> lock(mutex);
    watching   = false;
    last_words = nullptr;
  }



  void
  Watchdog::watch()
  {
    std::unique_lock<std::mutex> lock(mutex);
    while (true)
      {
        changed.wait(lock, [&]() { return leaving || watching; });
        if (leaving)
          return;
        const auto call   = n_calls;
        const auto moment = deadline;
        if (changed.wait_until(lock, moment, [&]() {
              return leaving || !watching || n_calls != call;
            }))
          continue;
        last_words();
        end_job();
      }
  }



  void
  Watchdog::end_job()
  {
    // MPI may be busy in the thread that hangs, and never come to this; that
    // a process ends without MPI_Finalize ends a job as well.
    std::thread([]() {
      std::this_thread::sleep_for(std::chrono::seconds(5));
      _exit(EXIT_FAILURE);
    }).detach();
    int initialized = 0;
    MPI_Initialized(&initialized);
    if (initialized)
      MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
    _exit(EXIT_FAILURE);
  }
} // namespace neuraldeal
