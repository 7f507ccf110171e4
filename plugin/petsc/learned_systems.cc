// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/petsc/learned_file.h>
#include <neuraldeal/plugin/petsc/learned_systems.h>

#include <algorithm>
#include <list>
#include <map>
#include <set>
#include <tuple>
#include <vector>

namespace neuraldeal::petsc
{
  namespace
  {
    /**
     * Prefix, whether transposed, size, forgetting, and where each process's
     * unknowns begin.
     */
    using Key =
      std::tuple<std::string, bool, PetscInt, PetscReal, std::vector<PetscInt>>;

    /** A system of the table. */
    struct Entry
    {
      Key           key;
      LearnedSystem system;

      // Where there are files:
      bool           identified = false;
      SystemIdentity identity;
      LocalRange     range;
      std::string    save;
    };

    /**
     * For the processes given by their ranks in MPI_COMM_WORLD, their
     * systems, the last used first. All processes of a group see the same
     * sequence of its systems, and so forget the same ones; with a table for
     * all groups together they would not.
     */
    struct Table
    {
      std::map<std::vector<int>, std::list<Entry>> groups;

      /**
       * The first systems of all processes together, by prefix and whether
       * transposed, and the files that can be written.
       */
      std::map<std::pair<std::string, bool>, SystemIdentity> first;
      std::set<std::string>                                  writable;
    };

    Table &
    table()
    {
      static Table the_table;
      return the_table;
    }

    /** So many systems of a group of processes are remembered. */
    constexpr std::size_t n_remembered = 8;

    std::vector<int>
    world_ranks(const MPI_Comm communicator)
    {
      int size;
      MPI_Comm_size(communicator, &size);
      MPI_Group group, world;
      MPI_Comm_group(communicator, &group);
      MPI_Comm_group(MPI_COMM_WORLD, &world);
      std::vector<int> ranks(size), result(size);
      for (int i = 0; i < size; ++i)
        ranks[i] = i;
      MPI_Group_translate_ranks(
        group, size, ranks.data(), world, result.data());
      MPI_Group_free(&group);
      MPI_Group_free(&world);
      return result;
    }

    /** Those of all processes together, the only ones in files. */
    std::vector<int>
    all_ranks()
    {
      return world_ranks(MPI_COMM_WORLD);
    }

    SystemIdentity
    identity_of(const std::string &prefix,
                const bool         transpose,
                const Mat          A,
                const MPI_Comm     communicator)
    {
      SystemIdentity result;
      result.prefix    = prefix;
      result.transpose = transpose;
      PetscInt n_unknowns;
      throw_if(MatGetSize(A, &n_unknowns, nullptr));
      result.n_unknowns = static_cast<std::uint64_t>(n_unknowns);

      PetscBool has_rows;
      throw_if(PetscObjectTypeCompareAny((PetscObject)A,
                                         &has_rows,
                                         MATSEQAIJ,
                                         MATMPIAIJ,
                                         MATSEQBAIJ,
                                         MATMPIBAIJ,
                                         ""));
      std::uint64_t sums[2] = {0, 0};
      if (has_rows)
        {
          PetscInt begin, end;
          throw_if(MatGetOwnershipRange(A, &begin, &end));
          for (PetscInt row = begin; row < end; ++row)
            {
              PetscInt        n;
              const PetscInt *columns;
              throw_if(MatGetRow(A, row, &n, &columns, nullptr));
              sums[0] += static_cast<std::uint64_t>(n);
              for (PetscInt i = 0; i < n; ++i)
                {
                  // The finalizer of splitmix64 (Steele, Lea, Flood, "Fast
                  // splittable pseudorandom number generators", 2014).
                  std::uint64_t h =
                    static_cast<std::uint64_t>(row) * result.n_unknowns +
                    static_cast<std::uint64_t>(columns[i]) +
                    0x9e3779b97f4a7c15u;
                  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
                  h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
                  sums[1] += h ^ (h >> 31);
                }
              throw_if(MatRestoreRow(A, row, &n, &columns, nullptr));
            }
          MPI_Allreduce(
            MPI_IN_PLACE, sums, 2, MPI_UINT64_T, MPI_SUM, communicator);
        }
      result.n_nonzeros = sums[0];
      result.pattern    = sums[1];
      return result;
    }

    std::string
    description(const SystemIdentity &identity)
    {
      return (identity.transpose ? "a transposed one" : "one") +
             std::string(" with the prefix '") + identity.prefix + "', " +
             std::to_string(identity.n_unknowns) + " unknowns and " +
             std::to_string(identity.n_nonzeros) + " nonzeros";
    }

    /** What to say of a file that has nothing for the system @p wanted. */
    std::string
    mismatch(const LearnedFile    &file,
             const SystemIdentity &wanted,
             const MPI_Comm        communicator)
    {
      int n_processes;
      MPI_Comm_size(communicator, &n_processes);
      std::string found;
      for (const auto &system : file.systems())
        {
          SystemIdentity renumbered = system.identity;
          renumbered.pattern        = wanted.pattern;
          if (renumbered == wanted && file.n_processes() != n_processes)
            return "was stored by a run on " +
                   std::to_string(file.n_processes()) +
                   " ranks, where the unknowns are numbered otherwise; valid "
                   "is one by a run on " +
                   std::to_string(n_processes);
          if (renumbered == wanted)
            return "is for another mesh or another numbering of its unknowns; "
                   "valid is one whose matrix has its " +
                   std::to_string(wanted.n_nonzeros) +
                   " nonzeros where that of this run has them";
          found += (found.empty() ? "" : "; ") + description(system.identity);
        }
      return "is for another problem: the first system of this run is " +
             description(wanted) +
             ", and those of the file are: " + (found.empty() ? "none" : found);
    }

    /** Begin with what the file @p name has for the system of @p entry. */
    void
    load(Entry             &entry,
         const std::string &name,
         const bool         is_first,
         const MPI_Comm     communicator)
    {
      const LearnedFile file(name, communicator);
      bool              known = false;
      for (const auto &stored : file.systems())
        if (stored.identity == entry.identity)
          {
            known = known || stored.first || stored.n_directions > 0;
            const auto directions = file.read(stored, entry.range);

            // The directions that came first are in most solutions, and those
            // learned last count most. What is not finite is not learned.
            const std::size_t n =
              std::min(directions.size(),
                       static_cast<std::size_t>(std::get<2>(entry.key)));
            for (std::size_t i = n; i > 0; --i)
              entry.system->learn(directions[i - 1].data(),
                                  sum_over(communicator));
          }
      // Later systems may be those of meshes that were not stored.
      if (!known && is_first)
        throw FileError(name, mismatch(file, entry.identity, communicator));
    }
  } // namespace



  PetscErrorCode
  LearningOptions::set_from_options(const PetscObject object)
  {
    PetscFunctionBegin;
    char      files[2][PETSC_MAX_PATH_LEN] = {"", ""};
    PetscBool given[2]                     = {PETSC_FALSE, PETSC_FALSE};
    PetscOptionsBegin(PetscObjectComm(object),
                      object->prefix,
                      "What is learned from solves (neural.deal)",
                      "KSPGuess");
    PetscCall(PetscOptionsInt("-ksp_guess_surrogate_size",
                              "Number of directions that are kept",
                              "README.md",
                              size,
                              &size,
                              nullptr));
    PetscCall(PetscOptionsReal("-ksp_guess_surrogate_forgetting",
                               "How much the past counts at each solve",
                               "README.md",
                               forgetting,
                               &forgetting,
                               nullptr));
    PetscCall(PetscOptionsBool("-ksp_guess_surrogate_learn",
                               "Whether solutions are learned",
                               "README.md",
                               learn,
                               &learn,
                               nullptr));
    PetscCall(PetscOptionsString("-ksp_guess_surrogate_load",
                                 "File to begin with",
                                 "README.md",
                                 load.c_str(),
                                 files[0],
                                 sizeof(files[0]),
                                 &given[0]));
    PetscCall(PetscOptionsString("-ksp_guess_surrogate_save",
                                 "File that is written at the end",
                                 "README.md",
                                 save.c_str(),
                                 files[1],
                                 sizeof(files[1]),
                                 &given[1]));
    PetscOptionsEnd();
    PetscCheck(size >= 1 && size <= 1000,
               PetscObjectComm(object),
               PETSC_ERR_USER_INPUT,
               "-ksp_guess_surrogate_size is %" PetscInt_FMT
               "; valid is a number from 1 to 1000",
               size);
    PetscCheck(forgetting > 0. && forgetting <= 1.,
               PetscObjectComm(object),
               PETSC_ERR_USER_INPUT,
               "-ksp_guess_surrogate_forgetting is %g; valid is a number "
               "above 0, up to 1",
               static_cast<double>(forgetting));
    for (unsigned int i = 0; i < 2; ++i)
      if (given[i])
        {
          PetscCheck(files[i][0] != '\0',
                     PetscObjectComm(object),
                     PETSC_ERR_USER_INPUT,
                     "-ksp_guess_surrogate_%s is empty; valid is the name of "
                     "a file",
                     i == 0 ? "load" : "save");
          (i == 0 ? load : save) = files[i];
        }
    PetscFunctionReturn(success);
  }



  LearnedSystem
  find_learned_system(const KSP              ksp,
                      const Mat              A,
                      const Vec              x,
                      const LearningOptions &options)
  {
    const MPI_Comm         communicator = PetscObjectComm((PetscObject)ksp);
    const std::vector<int> ranks        = world_ranks(communicator);
    const std::string      prefix       = prefix_of((PetscObject)ksp);
    const bool             transpose    = ksp->transpose_solve == PETSC_TRUE;
    const PetscInt        *ranges;
    throw_if(VecGetOwnershipRanges(x, &ranges));

    const Key key(prefix,
                  transpose,
                  options.size,
                  options.forgetting,
                  std::vector<PetscInt>(ranges, ranges + ranks.size() + 1));

    std::list<Entry> &group = table().groups[ranks];
    auto              found = group.begin();
    while (found != group.end() && found->key != key)
      ++found;
    const bool is_new = found == group.end();
    if (is_new)
      {
        const unsigned int process = process_number(communicator);
        Entry              entry;
        entry.key         = key;
        entry.range.begin = static_cast<std::uint64_t>(ranges[process]);
        entry.range.end   = static_cast<std::uint64_t>(ranges[process + 1]);
        entry.system =
          std::make_shared<SolutionSpace>(entry.range.end - entry.range.begin,
                                          static_cast<unsigned int>(
                                            options.size),
                                          options.forgetting);
        group.push_front(std::move(entry));
        if (group.size() > n_remembered)
          group.pop_back();
      }
    else
      group.splice(group.begin(), group, found);
    Entry &entry = group.front();

    if (!(options.load.empty() && options.save.empty()) && ranks == all_ranks())
      {
        if (!entry.identified)
          {
            entry.identity   = identity_of(prefix, transpose, A, communicator);
            entry.identified = true;
          }
        const bool is_first =
          table()
            .first.emplace(std::make_pair(prefix, transpose), entry.identity)
            .second;
        if (is_new && !options.load.empty())
          load(entry, options.load, is_first, communicator);
        if (!options.save.empty() &&
            table().writable.insert(options.save).second)
          LearnedFile::check_writable(options.save, communicator);
        entry.save = options.save;
      }
    return entry.system;
  }



  void
  learn_solution(SolutionSpace &system, const KSP ksp, const Vec x)
  {
    if (ksp->reason <= 0 || ksp->reason == KSP_CONVERGED_ITS)
      return;
    const PetscScalar *values;
    throw_if(VecGetArrayRead(x, &values));
    system.learn(values, sum_over(PetscObjectComm((PetscObject)ksp)));
    throw_if(VecRestoreArrayRead(x, &values));
  }



  PetscErrorCode
  finalize_learned_systems()
  {
    PetscFunctionBegin;
    // By file, in the order of their names: the same on all processes.
    const auto group = table().groups.find(all_ranks());
    std::map<std::string, std::vector<SystemToStore>> files;
    if (group != table().groups.end())
      for (const Entry &entry : group->second)
        if (!entry.save.empty() && !entry.system->directions().empty())
          files[entry.save].push_back(
            {entry.identity, false, &entry.system->directions(), entry.range});

    for (auto &[name, systems] : files)
      {
        // The first system of each prefix is told even if it was forgotten.
        for (const auto &[key, identity] : table().first)
          {
            const bool concerned =
              std::any_of(systems.begin(),
                          systems.end(),
                          [&prefix = key.first](const SystemToStore &system) {
                            return system.identity.prefix == prefix;
                          });
            const auto same =
              std::find_if(systems.begin(),
                           systems.end(),
                           [&identity = identity](const SystemToStore &system) {
                             return system.identity == identity;
                           });
            if (same != systems.end())
              same->first = true;
            else if (concerned)
              systems.push_back({identity, true, nullptr, LocalRange()});
          }
        // The program has done its work: this must not be its end.
        try
          {
            LearnedFile::write(name, systems, MPI_COMM_WORLD);
          }
        catch (const FileError &error)
          {
            PetscCall(PetscFPrintf(MPI_COMM_WORLD,
                                   PETSC_STDERR,
                                   "neuraldeal_petsc: %s\n",
                                   error.what()));
          }
      }
    table() = Table();
    PetscFunctionReturn(success);
  }
} // namespace neuraldeal::petsc
