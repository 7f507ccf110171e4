// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_simulated_ranks_h
#define neuraldeal_tests_surrogates_simulated_ranks_h

#include <neuraldeal/surrogates/communicator.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace neuraldeal::tests
{
  /**
   * Threads in the place of processes: the surrogates room knows no MPI, so
   * its Communicator can be anything that adds tensors.
   */
  class SimulatedRanks
  {
  public:
    explicit SimulatedRanks(const int size)
      : contributions(size)
    {}

    /**
     * Run @p work once a rank, all at once. An exception on one rank ends the
     * others at their next sum, and is thrown on.
     */
    void
    run(const std::function<void(const Communicator &)> &work)
    {
      const int                n = contributions.size();
      std::exception_ptr       failure;
      std::vector<std::thread> threads;
      for (int rank = 0; rank < n; ++rank)
        threads.emplace_back([&, rank]() {
          try
            {
              Communicator communicator;
              communicator.rank = rank;
              communicator.size = n;
              communicator.sum  = [this, rank](torch::Tensor &tensor) {
                sum(rank, tensor);
              };
              work(communicator);
            }
          catch (...)
            {
              const std::lock_guard<std::mutex> lock(mutex);
              if (!failure)
                failure = std::current_exception();
              broken = true;
              all_here.notify_all();
            }
        });
      for (auto &thread : threads)
        thread.join();
      if (failure)
        std::rethrow_exception(failure);
    }

  private:
    void
    sum(const int rank, torch::Tensor &tensor)
    {
      // what goes with MPI
      if (!tensor.is_contiguous() || tensor.requires_grad() ||
          !tensor.is_floating_point())
        throw std::logic_error("only plain contiguous tensors can be sent");
      contributions[rank] = tensor.clone();
      wait_for_all();
      auto total = contributions[0].clone();
      for (std::size_t r = 1; r < contributions.size(); ++r)
        total += contributions[r];
      wait_for_all();
      tensor.copy_(total);
    }

    void
    wait_for_all()
    {
      std::unique_lock<std::mutex> lock(mutex);
      const long                   mine = round;
      if (++waiting == long(contributions.size()))
        {
          waiting = 0;
          ++round;
          all_here.notify_all();
        }
      else
        all_here.wait(lock, [&]() { return round != mine || broken; });
      if (broken)
        throw std::runtime_error("another rank has failed");
    }

    std::vector<torch::Tensor> contributions;
    std::mutex                 mutex;
    std::condition_variable    all_here;
    long                       waiting = 0;
    long                       round   = 0;
    bool                       broken  = false;
  };
} // namespace neuraldeal::tests

#endif
