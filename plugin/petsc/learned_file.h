// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_petsc_learned_file_h
#define neuraldeal_plugin_petsc_learned_file_h

#include <mpi.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

/**
 * @file
 * Files of what was learned. README.md beside this file describes them.
 * Arrays are in the global numbering of the unknowns and are read and
 * written by all processes at once, each its part.
 */
namespace neuraldeal::petsc
{
  /** What tells one system from another. */
  struct SystemIdentity
  {
    std::string   prefix;
    bool          transpose  = false;
    std::uint64_t n_unknowns = 0;

    /**
     * Number of nonzeros of the matrix, and the sum, modulo 2⁶⁴, of a hash of
     * each one's global row and column: the numbering of the unknowns, which
     * in deal.II depends on the number of processes. Zeros for a matrix
     * without entries to look at.
     */
    std::uint64_t n_nonzeros = 0, pattern = 0;

    bool
    operator==(const SystemIdentity &other) const
    {
      return prefix == other.prefix && transpose == other.transpose &&
             n_unknowns == other.n_unknowns && n_nonzeros == other.n_nonzeros &&
             pattern == other.pattern;
    }
  };

  /** The values of this process's unknowns, from @p begin to @p end. */
  struct LocalRange
  {
    std::uint64_t begin = 0, end = 0;
  };

  /** A system of a file. */
  struct StoredSystem
  {
    SystemIdentity identity;

    /** Whether it was the first one of its prefix in the run that stored. */
    bool first = false;

    std::uint64_t n_directions = 0;

    /** See sums_of(), over all directions, one after the other. */
    std::uint64_t sums[2] = {0, 0};

    /** Of its first number, in bytes. */
    std::uint64_t offset = 0;
  };

  /** A system to be stored. */
  struct SystemToStore
  {
    SystemIdentity                          identity;
    bool                                    first      = false;
    const std::vector<std::vector<double>> *directions = nullptr; ///< or none
    LocalRange                              range;
  };

  class LearnedFile
  {
  public:
    /**
     * Read what is in the file @p name, without the arrays. Collective, as
     * the other functions are.
     * @throw FileError on all processes, if it cannot be read or is damaged.
     */
    LearnedFile(const std::string &name, const MPI_Comm communicator);

    const std::vector<StoredSystem> &
    systems() const
    {
      return stored;
    }

    /** Number of processes of the run that stored. */
    int
    n_processes() const
    {
      return processes;
    }

    /**
     * Read the directions of one of the systems.
     * @throw FileError on all processes, as above.
     */
    std::vector<std::vector<double>>
    read(const StoredSystem &system, const LocalRange &range) const;

    /**
     * Write a file with @p systems, whole or not at all: under another name,
     * which is changed when everything is on the disk.
     * @throw FileError on all processes, if that fails.
     */
    static void
    write(const std::string                &name,
          const std::vector<SystemToStore> &systems,
          const MPI_Comm                    communicator);

    /**
     * @throw FileError on all processes, if a file of this name cannot be
     * written.
     */
    static void
    check_writable(const std::string &name, const MPI_Comm communicator);

  private:
    const std::string         name;
    const MPI_Comm            communicator;
    int                       processes = 0;
    std::vector<StoredSystem> stored;
  };
} // namespace neuraldeal::petsc

#endif
