// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_parallel_file_h
#define neuraldeal_coupling_parallel_file_h

#include <mpi.h>
#include <neuraldeal/surrogates/hdf5_file.h>

#include <functional>
#include <string>

namespace neuraldeal
{
  /**
   * Write an HDF5 file together with all ranks of @p communicator, under a
   * temporary name that is synced and renamed at the end: whoever looks
   * finds the whole file or none, whenever the job dies.
   *
   * @param write called on all ranks; its calls of HDF5File are collective.
   * @throw std::runtime_error on all ranks, where one of them has failed:
   * with the same message. A file that was there before is left alone.
   */
  void
  write_parallel_file(const std::string                     &filename,
                      const MPI_Comm                         communicator,
                      const std::function<void(HDF5File &)> &write);
} // namespace neuraldeal

#endif
