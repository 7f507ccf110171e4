// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fcntl.h>
#include <neuraldeal/plugin/petsc/learned_file.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <sstream>

namespace neuraldeal::petsc
{
  namespace
  {
    constexpr char magic[] = "neuraldeal_petsc";
    constexpr int  version = 1;

    /** An MPI file that is closed in any case. */
    class File
    {
    public:
      File(const std::string &name, const MPI_Comm communicator, const int mode)
        // Open MPI 4 has no luck with a name of one letter alone.
        : opened(MPI_File_open(
                   communicator,
                   (name.find('/') == std::string::npos ? "./" + name : name)
                     .c_str(),
                   mode,
                   MPI_INFO_NULL,
                   &file) == MPI_SUCCESS)
      {}

      File(const File &) = delete;

      ~File()
      {
        close();
      }

      bool
      close()
      {
        const bool closed = !opened || MPI_File_close(&file) == MPI_SUCCESS;
        opened            = false;
        return closed;
      }

      MPI_File file = MPI_FILE_NULL;
      bool     opened;
    };

    /** Whether @p ok is true on all processes. */
    bool
    on_all(const bool ok, const MPI_Comm communicator)
    {
      int all = ok;
      MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, communicator);
      return all != 0;
    }

    int
    rank_of(const MPI_Comm communicator)
    {
      int rank;
      MPI_Comm_rank(communicator, &rank);
      return rank;
    }

    /** The text that process 0 has. */
    std::string
    broadcast(std::string text, const MPI_Comm communicator)
    {
      unsigned long long size = text.size();
      MPI_Bcast(&size, 1, MPI_UNSIGNED_LONG_LONG, 0, communicator);
      text.resize(size);
      MPI_Bcast(text.data(), static_cast<int>(size), MPI_CHAR, 0, communicator);
      return text;
    }

    /** Do @p work on process 0; it returns what is wrong, or nothing. */
    template <typename Work>
    void
    on_process_0(const std::string &name,
                 const MPI_Comm     communicator,
                 const Work        &work)
    {
      const std::string problem =
        broadcast(rank_of(communicator) == 0 ? work() : std::string(),
                  communicator);
      if (!problem.empty())
        throw FileError(name, problem);
    }

    /**
     * Add to @p sums, modulo 2⁶⁴, the sum of @p words, and the sum of each
     * one's number, which starts with @p first, times its value. That finds a
     * changed word and an exchange of two, and needs no order.
     */
    template <typename Word>
    void
    add_sums(std::uint64_t       sums[2],
             const Word         *words,
             const std::size_t   n,
             const std::uint64_t first)
    {
      for (std::size_t i = 0; i < n; ++i)
        {
          std::uint64_t bits = 0;
          std::memcpy(&bits, &words[i], sizeof(Word));
          sums[0] += bits;
          sums[1] += (first + i) * bits;
        }
    }

    /** The sums over all processes of the directions of a system. */
    void
    sums_of(std::uint64_t                           sums[2],
            const std::vector<std::vector<double>> &directions,
            const std::uint64_t                     n_unknowns,
            const LocalRange                       &range,
            const MPI_Comm                          communicator)
    {
      sums[0] = sums[1] = 0;
      for (std::size_t i = 0; i < directions.size(); ++i)
        add_sums(sums,
                 directions[i].data(),
                 directions[i].size(),
                 1 + i * n_unknowns + range.begin);
      MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_UINT64_T, MPI_SUM, communicator);
    }

    /** The last line of a header. */
    std::string
    end_line(const std::string &header)
    {
      std::uint64_t sums[2] = {0, 0};
      add_sums(sums, header.data(), header.size(), 1);
      std::ostringstream line;
      line << "end " << std::hex << sums[0] << ' ' << sums[1] << '\n';
      return line.str();
    }

    MPI_Offset
    position(const StoredSystem &system,
             const std::size_t   direction,
             const LocalRange   &range)
    {
      return static_cast<MPI_Offset>(
        system.offset +
        8 * (direction * system.identity.n_unknowns + range.begin));
    }

    /** What an entry of a header needs to be read. */
    template <typename Number>
    bool
    read_number(const std::string &text, Number &number)
    {
      std::istringstream stream(text);
      return static_cast<bool>(stream >> number) && stream.eof();
    }
  } // namespace



  LearnedFile::LearnedFile(const std::string &name, const MPI_Comm communicator)
    : name(name)
    , communicator(communicator)
  {
    // Process 0 reads the header and finds what is wrong with it.
    std::string        header;
    unsigned long long size = 0;
    on_process_0(name, communicator, [&]() -> std::string {
      errno = 0;
      std::ifstream file(name, std::ios::binary);
      if (!file)
        return std::string("cannot be read (") + std::strerror(errno) +
               "); valid is a file that -ksp_guess_surrogate_save has stored";
      std::string line;
      std::getline(file, line);
      const std::string first_word = line.substr(0, line.find(' '));
      if (first_word != magic)
        return std::string("is not a file that -ksp_guess_surrogate_save has "
                           "stored: it does not begin with '") +
               magic + "'";
      if (line != magic + (' ' + std::to_string(version)))
        return "is of the version '" + line.substr(line.find(' ') + 1) +
               "'; valid is " + std::to_string(version);
      const std::string text = line + '\n';
      header                 = text;
      while (std::getline(file, line) && line.substr(0, 4) != "end ")
        header += line + '\n';
      if (!file)
        return "is damaged: its header has no end";
      if (line + '\n' != end_line(header))
        return "is damaged: its header does not have the sums that it should";
      header += line + '\n';
      file.seekg(0, std::ios::end);
      size = static_cast<unsigned long long>(file.tellg());
      return "";
    });
    header = broadcast(header, communicator);
    MPI_Bcast(&size, 1, MPI_UNSIGNED_LONG_LONG, 0, communicator);

    const std::uint64_t n_bytes = [&]() -> std::uint64_t {
      std::istringstream lines(header);
      std::string        line;
      std::getline(lines, line);
      std::uint64_t offset = header.size();
      bool          valid  = true;
      while (std::getline(lines, line))
        {
          const auto        space = line.find(' ');
          const std::string key   = line.substr(0, space);
          const std::string value =
            space == std::string::npos ? "" : line.substr(space + 1);
          if (key == "processes")
            valid = valid && read_number(value, processes);
          else if (key == "prefix")
            {
              stored.emplace_back();
              stored.back().identity.prefix = value;
            }
          else if (key != "end" && !stored.empty())
            {
              StoredSystem      &system   = stored.back();
              SystemIdentity    &identity = system.identity;
              std::istringstream hexadecimal(value);
              hexadecimal >> std::hex;
              if (key == "transpose")
                valid = valid && read_number(value, identity.transpose);
              else if (key == "unknowns")
                valid = valid && read_number(value, identity.n_unknowns);
              else if (key == "nonzeros")
                valid = valid && read_number(value, identity.n_nonzeros);
              else if (key == "pattern")
                valid = valid && (hexadecimal >> identity.pattern);
              else if (key == "first")
                valid = valid && read_number(value, system.first);
              else if (key == "directions")
                valid = valid && read_number(value, system.n_directions);
              else if (key == "sums")
                {
                  valid =
                    valid && (hexadecimal >> system.sums[0] >> system.sums[1]);
                  // The last line of a system.
                  system.offset = offset;
                  offset += 8 * system.n_directions * identity.n_unknowns;
                }
              else
                valid = false;
            }
        }
      if (!valid)
        throw FileError(name, "has a header with an entry that is not valid");
      return offset;
    }();
    if (n_bytes != size)
      throw FileError(name,
                      "is damaged: it has " + std::to_string(size) +
                        " bytes, and " + std::to_string(n_bytes) +
                        " by its header");
  }



  std::vector<std::vector<double>>
  LearnedFile::read(const StoredSystem &system, const LocalRange &range) const
  {
    std::vector<std::vector<double>> result(system.n_directions,
                                            std::vector<double>(range.end -
                                                                range.begin));
    File                             file(name, communicator, MPI_MODE_RDONLY);
    bool                             ok = file.opened;
    if (on_all(ok, communicator))
      for (std::size_t i = 0; i < result.size(); ++i)
        {
          MPI_Status status;
          int        n_read = 0;
          ok                = MPI_File_read_at_all(file.file,
                                    position(system, i, range),
                                    result[i].data(),
                                    static_cast<int>(result[i].size()),
                                    MPI_DOUBLE,
                                    &status) == MPI_SUCCESS &&
               ok;
          MPI_Get_count(&status, MPI_DOUBLE, &n_read);
          ok = ok && n_read == static_cast<int>(result[i].size());
        }
    if (!on_all(ok, communicator))
      throw FileError(name, "cannot be read by all processes");

    std::uint64_t sums[2];
    sums_of(sums, result, system.identity.n_unknowns, range, communicator);
    if (sums[0] != system.sums[0] || sums[1] != system.sums[1])
      throw FileError(name,
                      "is damaged: the values for " +
                        std::to_string(system.identity.n_unknowns) +
                        " unknowns do not have the sums that they should");
    return result;
  }



  void
  LearnedFile::check_writable(const std::string &name,
                              const MPI_Comm     communicator)
  {
    on_process_0(name, communicator, [&]() -> std::string {
      const std::string new_name = name + ".new";
      const int         file = open(new_name.c_str(), O_WRONLY | O_CREAT, 0666);
      if (file < 0)
        return std::string("cannot be stored (") + std::strerror(errno) +
               "); valid is a file in a folder that exists and may be written";
      close(file);
      unlink(new_name.c_str());
      return "";
    });
  }



  void
  LearnedFile::write(const std::string                &name,
                     const std::vector<SystemToStore> &systems,
                     const MPI_Comm                    communicator)
  {
    int n_processes;
    MPI_Comm_size(communicator, &n_processes);
    std::ostringstream lines;
    lines << magic << ' ' << version << "\nprocesses " << n_processes << '\n';
    const std::vector<std::vector<double>> none;
    std::vector<StoredSystem>              stored;
    for (const auto &system : systems)
      {
        const auto  &directions = system.directions ? *system.directions : none;
        StoredSystem s;
        s.identity     = system.identity;
        s.n_directions = directions.size();
        sums_of(s.sums,
                directions,
                s.identity.n_unknowns,
                system.range,
                communicator);
        stored.push_back(s);
        lines << "prefix " << s.identity.prefix << "\ntranspose "
              << s.identity.transpose << "\nunknowns " << s.identity.n_unknowns
              << "\nnonzeros " << s.identity.n_nonzeros << "\npattern "
              << std::hex << s.identity.pattern << std::dec << "\nfirst "
              << system.first << "\ndirections " << s.n_directions << "\nsums "
              << std::hex << s.sums[0] << ' ' << s.sums[1] << std::dec << '\n';
      }
    const std::string header   = lines.str() + end_line(lines.str());
    const std::string new_name = name + ".new";

    // A file that was left there may be longer than this one.
    if (rank_of(communicator) == 0)
      unlink(new_name.c_str());
    MPI_Barrier(communicator);
    File file(new_name, communicator, MPI_MODE_WRONLY | MPI_MODE_CREATE);
    bool ok = file.opened;
    if (on_all(ok, communicator))
      {
        if (rank_of(communicator) == 0)
          ok = MPI_File_write_at(file.file,
                                 0,
                                 header.data(),
                                 static_cast<int>(header.size()),
                                 MPI_CHAR,
                                 MPI_STATUS_IGNORE) == MPI_SUCCESS;
        std::uint64_t offset = header.size();
        for (std::size_t s = 0; s < systems.size(); ++s)
          {
            stored[s].offset = offset;
            offset +=
              8 * stored[s].n_directions * stored[s].identity.n_unknowns;
            for (std::size_t i = 0; i < stored[s].n_directions; ++i)
              {
                const auto &values = (*systems[s].directions)[i];
                ok                 = MPI_File_write_at_all(file.file,
                                           position(stored[s],
                                                    i,
                                                    systems[s].range),
                                           values.data(),
                                           static_cast<int>(values.size()),
                                           MPI_DOUBLE,
                                           MPI_STATUS_IGNORE) == MPI_SUCCESS &&
                     ok;
              }
          }
        ok = MPI_File_sync(file.file) == MPI_SUCCESS && ok;
        ok = file.close() && ok;
      }
    ok = on_all(ok, communicator);

    on_process_0(name, communicator, [&]() -> std::string {
      const auto synchronized = [](const std::string &path, const int mode) {
        const int  descriptor = open(path.c_str(), mode);
        const bool done       = descriptor >= 0 && fsync(descriptor) == 0;
        if (descriptor >= 0)
          close(descriptor);
        return done;
      };
      errno = 0;
      if (ok && synchronized(new_name, O_RDWR) &&
          std::rename(new_name.c_str(), name.c_str()) == 0)
        {
          const auto slash = name.rfind('/');
          synchronized(slash == std::string::npos ? "." :
                                                    name.substr(0, slash + 1),
                       O_RDONLY);
          return "";
        }
      const std::string reason =
        errno != 0 ? std::strerror(errno) : "MPI could not write it";
      unlink(new_name.c_str());
      return "could not be stored (" + reason + ")";
    });
  }
} // namespace neuraldeal::petsc
