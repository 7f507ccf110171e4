// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_simulated_ranks_h
#define neuraldeal_tests_surrogates_simulated_ranks_h

#include <neuraldeal/surrogates/communicator.h>

#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace neuraldeal::tests
{
  /**
   * Threads in the place of processes: the surrogates room knows no MPI, so
   * its Communicator can be anything that adds tensors. A sum that is started
   * ends when it is waited for, and has left the tensor as it was until then.
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
              communicator.start_sum = [this,
                                        rank](const torch::Tensor &tensor) {
                return std::make_unique<LateSum>(*this, rank, tensor);
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
    class LateSum : public Communicator::PendingSum
    {
    public:
      LateSum(SimulatedRanks      &ranks,
              const int            rank,
              const torch::Tensor &tensor)
        : ranks(ranks)
        , rank(rank)
        , tensor(tensor)
        , started(tensor.clone())
      {}

      bool
      test() override
      {
        return false;
      }

      void
      wait() override
      {
        // Bit for bit, for what is sent may be no number.
        if (std::memcmp(tensor.data_ptr(),
                        started.data_ptr(),
                        tensor.nbytes()) != 0)
          throw std::logic_error("a tensor has changed while it was sent");
        ranks.sum(rank, tensor);
      }

    private:
      SimulatedRanks     &ranks;
      const int           rank;
      torch::Tensor       tensor;
      const torch::Tensor started;
    };

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
