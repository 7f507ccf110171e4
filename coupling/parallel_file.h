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
   * HDF5 does not survive that the closing of a file fails, as on a full disk:
   * it frees the file, keeps its number, and ends the program at exit, where
   * it closes all numbers that it has. So it never writes to a disk here: each
   * rank has it make the file in memory, without the values, and then writes
   * its values to where they belong, by the system's own functions. Ranks that
   * have a common file system need no other means, and no parallel HDF5.
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
