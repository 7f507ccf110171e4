// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_communicator_h
#define neuraldeal_surrogates_communicator_h

#include <torch/types.h>

#include <exception>
#include <functional>
#include <memory>
#include <string>

namespace neuraldeal
{
  /**
   * The processes that work together, as this room sees them. It knows no
   * MPI: `coupling` fills in the reduction (see mpi_communicator()), and the
   * default is a process by itself.
   *
   * Work is shared out in fixed units, and each unit's result is put into
   * its own slot of a tensor that is zero elsewhere. Adding the tensors of
   * all ranks then moves results without rounding, so that they are the same
   * bit for bit on any number of ranks.
   */
  struct Communicator
  {
    int rank = 0;
    int size = 1;

    /** Replace the contiguous CPU tensor by its sum over all ranks. */
    std::function<void(torch::Tensor &)> sum = [](torch::Tensor &) {};

    /** A sum that has been started. */
    class PendingSum
    {
    public:
      virtual ~PendingSum() = default;

      /**
       * Let it get on, without waiting.
       * @return whether it has ended.
       */
      virtual bool
      test() = 0;

      /** Until it has ended. */
      virtual void
      wait() = 0;
    };

    /**
     * Start what sum() does, and return; empty where this is not possible.
     * The tensor, which shares its memory with the caller's, must be left
     * alone until the sum has ended, and the sum must be waited for. All
     * ranks start the same sums in the same order, with no sum() from the
     * first start to the last wait. It may be called by another thread than
     * the main one, but by one at a time.
     */
    std::function<std::unique_ptr<PendingSum>(const torch::Tensor &)> start_sum;

    /** Whether the unit of work @p unit is this rank's. */
    bool
    owns(const long unit) const
    {
      return unit % size == rank;
    }
  };

  /**
   * The string of the lowest rank that has one which is not empty; empty if
   * there is none. Every rank of @p communicator has to call it.
   */
  std::string
  first_message(const std::string &message, const Communicator &communicator);

  /**
   * Work that may fail on some of the processes that work together. What it
   * throws is kept until all of them can be told: one that left early would
   * let the others wait for its part of their next sum.
   */
  class Attempt
  {
  public:
    /**
     * Call @p work, and keep what it throws.
     * @param describe finds the words for what is a std::exception; what()
     * without it.
     */
    explicit Attempt(
      const std::function<void()>                              &work,
      const std::function<std::string(const std::exception &)> &describe = {});

    /** Whether the work has failed on this process. */
    bool
    failed() const
    {
      return bool(failure);
    }

    /** The words for it, never empty where the work has failed. */
    const std::string &
    words() const
    {
      return message;
    }

    /**
     * Where the work has failed on some processes, throw on all: on the first
     * of them, and on those that say the same, what it has thrown, on the
     * others a std::runtime_error with its words. Collective.
     */
    void
    throw_together(const Communicator &communicator) const;

  private:
    std::exception_ptr failure;
    std::string        message;
  };
} // namespace neuraldeal

#endif
