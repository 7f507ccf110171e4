// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fcntl.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/parallel_file.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace neuraldeal
{
  namespace
  {
    /** A file as the system has it; errors are FileError, with its reason. */
    class RawFile
    {
    public:
      /** Open for writing; with O_CREAT | O_TRUNC among @p flags a new one. */
      RawFile(const std::string &filename, const int flags)
        : filename(filename)
        , file(::open(filename.c_str(),
                      O_WRONLY | O_CLOEXEC | flags,
                      mode_t(0666)))
      {
        if (file < 0)
          fail("it could not be created");
      }

      ~RawFile()
      {
        if (file >= 0)
          ::close(file);
      }

      RawFile(const RawFile &) = delete;

      void
      write(const char *data, const std::size_t n_bytes, const off_t offset)
      {
        for (std::size_t done = 0; done < n_bytes;)
          {
            const ssize_t n =
              ::pwrite(file, data + done, n_bytes - done, offset + done);
            if (n > 0)
              done += n;
            else if (n == 0 || errno != EINTR)
              {
                if (n == 0)
                  errno = ENOSPC;
                fail("it could not be written to its end");
              }
          }
      }

      void
      resize(const off_t n_bytes)
      {
        if (::ftruncate(file, n_bytes) != 0)
          fail("it could not be written to its end");
      }

      /** With @p sync, what this process has written is on the disk then. */
      void
      close(const bool sync)
      {
        const bool synced  = !sync || ::fsync(file) == 0;
        const int  error   = errno;
        const int  closing = file;
        file               = -1;
        // Some file systems find out as late as this.
        const bool closed = ::close(closing) == 0;
        if (!synced)
          errno = error;
        if (!synced || !closed)
          fail("it could not be written to its end");
      }

    private:
      [[noreturn]] void
      fail(const std::string &what) const
      {
        throw FileError(filename, what + ": " + std::strerror(errno));
      }

      const std::string filename;
      int               file;
    };



    /**
     * A file in memory, whose holes take none; where the system has no such
     * folder, among its temporary files. HDF5 needs a name to open it by.
     */
    class MemoryFile
    {
    public:
      /** @param filename of what it is for, to be said in errors. */
      explicit MemoryFile(const std::string &filename)
      {
        std::error_code ignored;
        const auto      others = std::filesystem::temp_directory_path(ignored);
        for (const auto &folder : {std::filesystem::path("/dev/shm"), others})
          if (file < 0)
            {
              path = folder / "neural.deal-XXXXXX";
              file = ::mkostemp(path.data(), O_CLOEXEC);
            }
        if (file < 0)
          throw FileError(filename,
                          std::string("it could not be put together: ") +
                            std::strerror(errno));
      }

      ~MemoryFile()
      {
        remove_name();
        ::close(file);
      }

      MemoryFile(const MemoryFile &) = delete;

      const std::string &
      name() const
      {
        return path;
      }

      /** Once it is open it goes with the process, however that ends. */
      void
      remove_name()
      {
        if (!path.empty())
          ::unlink(path.c_str());
        path.clear();
      }

      void
      copy_to(RawFile &other) const
      {
        const off_t       end = ::lseek(file, 0, SEEK_END);
        std::vector<char> buffer(1 << 16);
        for (off_t begin = 0; begin < end;)
          {
            // No data from here on is an error there.
            begin = ::lseek(file, begin, SEEK_DATA);
            if (begin < 0)
              break;
            const off_t   hole = ::lseek(file, begin, SEEK_HOLE);
            const ssize_t n =
              ::pread(file,
                      buffer.data(),
                      std::min<off_t>(buffer.size(),
                                      (hole < 0 ? end : hole) - begin),
                      begin);
            if (n <= 0)
              break;
            other.write(buffer.data(), n, begin);
            begin += n;
          }
        other.resize(end);
      }

    private:
      std::string path;
      int         file = -1;
    };
  } // namespace



  void
  write_parallel_file(const std::string                     &filename,
                      const MPI_Comm                         communicator,
                      const std::function<void(HDF5File &)> &write)
  {
    int rank = 0, size = 1;
    MPI_Comm_rank(communicator, &rank);
    MPI_Comm_size(communicator, &size);
    const std::string            temporary = filename + ".tmp";
    std::vector<HDF5File::Piece> pieces;
    const Attempt                beginning([&]() {
      // Where the sizes of files are limited, those in memory are as well.
      rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
      ::getrlimit(RLIMIT_FSIZE, &limit);
      std::unique_ptr<MemoryFile> memory;
      if (limit.rlim_cur == RLIM_INFINITY)
        memory = std::make_unique<MemoryFile>(temporary);
      HDF5File file(temporary, memory ? memory->name() : "");
      if (memory)
        memory->remove_name();
      write(file);
      pieces = file.pieces();
      std::vector<char> bytes;
      if (!memory && rank == 0)
        bytes = file.image();
      file.close();
      if (rank == 0)
        {
          RawFile target(temporary, O_CREAT | O_TRUNC);
          if (memory)
            memory->copy_to(target);
          else
            target.write(bytes.data(), bytes.size(), 0);
          target.close(false);
        }
    });
    std::string failure = first_message(beginning.words(), communicator);

    if (failure.empty() && size > 1)
      {
        // The places have to be the same everywhere.
        std::uint64_t places = fnv1a(nullptr, 0);
        for (const auto &piece : pieces)
          for (const std::uint64_t number :
               {piece.begin, piece.stride, piece.n_rows})
            places = fnv1a(&number, sizeof(number), places);
        std::uint64_t ends[] = {places, ~places};
        MPI_Allreduce(
          MPI_IN_PLACE, ends, 2, MPI_UINT64_T, MPI_MIN, communicator);
        if (ends[0] != ~ends[1])
          failure = filename + ": the ranks that write it together have data "
                               "sets of other sizes.";
      }
    if (failure.empty())
      {
        // What all ranks have is written by the first.
        std::vector<int> by_first;
        for (const auto &piece : pieces)
          by_first.push_back(piece.is_whole ? 1 : 0);
        if (size > 1)
          MPI_Allreduce(MPI_IN_PLACE,
                        by_first.data(),
                        by_first.size(),
                        MPI_INT,
                        MPI_MIN,
                        communicator);
        const Attempt writing([&]() {
          RawFile target(temporary, 0);
          for (std::size_t i = 0; i < pieces.size(); ++i)
            if (rank == 0 || by_first[i] == 0)
              {
                const auto &piece = pieces[i];
                const auto  width =
                  piece.n_rows > 0 ? piece.bytes.size() / piece.n_rows : 0;
                for (std::uint64_t row = 0; row < piece.n_rows && width > 0;
                     ++row)
                  target.write(piece.bytes.data() + row * width,
                               width,
                               piece.begin + piece.offset + row * piece.stride);
              }
          // What the first rank has written is synced at the end.
          target.close(rank > 0);
        });
        failure = first_message(writing.words(), communicator);
      }

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
