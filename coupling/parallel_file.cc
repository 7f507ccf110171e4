// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/parallel_file.h>
#include <neuraldeal/surrogates/file_tools.h>

#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace neuraldeal
{
  namespace
  {
    /** Property lists for writing on a communicator. */
    struct PropertyLists
    {
      explicit PropertyLists(const MPI_Comm communicator)
      {
        int size = 0;
        MPI_Comm_size(communicator, &size);
        if (size > 1)
          {
            access = H5Pcreate(H5P_FILE_ACCESS);
            H5Pset_fapl_mpio(access, communicator, MPI_INFO_NULL);
            transfer = H5Pcreate(H5P_DATASET_XFER);
            H5Pset_dxpl_mpio(transfer, H5FD_MPIO_COLLECTIVE);
          }
        else
          {
            // One process puts it together in memory: HDF5 does not survive a
            // disk that is full when a file is closed.
            access = H5Pcreate(H5P_FILE_ACCESS);
            H5Pset_fapl_core(access, 1 << 20, false);
          }
      }

      ~PropertyLists()
      {
        H5Pclose(access);
        if (transfer != H5P_DEFAULT)
          H5Pclose(transfer);
      }

      hid_t access   = H5P_DEFAULT;
      hid_t transfer = H5P_DEFAULT;
    };
  } // namespace



  void
  write_parallel_file(const std::string                     &filename,
                      const MPI_Comm                         communicator,
                      const std::function<void(HDF5File &)> &write)
  {
    const std::string temporary = filename + ".tmp";
    const Attempt     writing([&]() {
      const PropertyLists lists(communicator);
      HDF5File            file(temporary, lists.access, lists.transfer);
      write(file);
      if (lists.transfer == H5P_DEFAULT)
        {
          const auto bytes = file.image();
          file.close();
          write_bytes(temporary, bytes);
        }
      else
        file.close();
    });
    std::string       failure = first_message(writing.words(), communicator);

    int rank = 0;
    MPI_Comm_rank(communicator, &rank);
    if (failure.empty())
      {
        const Attempt publishing([&]() {
          if (rank == 0)
            publish_file(temporary, filename);
        });
        failure = first_message(publishing.words(), communicator);
      }
    if (!failure.empty())
      {
        // What is left of it is of use to nobody.
        std::error_code ignored;
        if (rank == 0)
          std::filesystem::remove(temporary, ignored);
        throw std::runtime_error(failure);
      }
  }
} // namespace neuraldeal
