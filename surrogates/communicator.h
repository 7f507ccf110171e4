// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_communicator_h
#define neuraldeal_surrogates_communicator_h

#include <torch/types.h>

#include <functional>

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

    /** Whether the unit of work @p unit is this rank's. */
    bool
    owns(const long unit) const
    {
      return unit % size == rank;
    }
  };
} // namespace neuraldeal

#endif
