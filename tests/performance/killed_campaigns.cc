// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "killed_campaigns.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/random.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <new>
#include <stdexcept>
#include <thread>

#include "../examples/job.h"
#include "slow_writes.h"

namespace neuraldeal::performance
{
  namespace fs = std::filesystem;

  namespace
  {
    /** All that counts of a sample. */
    struct Sample
    {
      std::int64_t        status, iterations;
      std::string         reason;
      std::vector<double> values; ///< inputs, prior, solution
    };

    /** Bit for bit: what is not a number may be the same as well. */
    bool
    same_bits(const std::vector<double> &a, const std::vector<double> &b)
    {
      return a.size() == b.size() &&
             std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
    }



    /** Those of a store; whether they are whole is seen when they are read. */
    std::vector<std::string>
    batch_files(const std::string &store)
    {
      std::vector<std::string> result;
      for (const auto &entry : fs::directory_iterator(store))
        if (entry.path().filename().string().rfind("batch-", 0) == 0 &&
            entry.path().extension() == ".h5")
          result.push_back(entry.path().string());
      return result;
    }



    std::multimap<long, Sample>
    read_samples(const std::string &store)
    {
      std::multimap<long, Sample> result;
      for (const auto &name : batch_files(store))
        {
          const HDF5File file(name);
          const auto     ids        = file.read<std::int64_t>("sample");
          const auto     status     = file.read<std::int64_t>("status");
          const auto     iterations = file.read<std::int64_t>("iterations");
          const auto     reasons    = file.read_strings("reason");
          for (std::size_t i = 0; i < ids.size(); ++i)
            {
              Sample sample{status.at(i), iterations.at(i), reasons.at(i), {}};
              for (const char *field : {"parameters", "prior", "solution"})
                {
                  const auto n     = file.shape(field).at(1);
                  const auto begin = sample.values.size();
                  sample.values.resize(begin + n);
                  file.read_block(
                    field, i, 1, 0, n, sample.values.data() + begin);
                }
              result.emplace(ids[i], sample);
            }
        }
      return result;
    }



    /** The state of the slow writes, in a file of its own. */
    class State
    {
    public:
      explicit State(const std::string &name)
      {
        const int file = ::open(name.c_str(), O_RDWR | O_CREAT, 0600);
        if (file < 0 || ftruncate(file, sizeof(SlowWrites)) != 0)
          throw std::runtime_error(name + " cannot be created.");
        void *const memory = mmap(nullptr,
                                  sizeof(SlowWrites),
                                  PROT_READ | PROT_WRITE,
                                  MAP_SHARED,
                                  file,
                                  0);
        ::close(file);
        if (memory == MAP_FAILED)
          throw std::runtime_error(name + " cannot be mapped.");
        writes = new (memory) SlowWrites;
      }

      ~State()
      {
        munmap(writes, sizeof(SlowWrites));
      }

      State(const State &) = delete;

      void
      restart(const int microseconds)
      {
        writes->begun        = 0;
        writes->inside       = 0;
        writes->microseconds = microseconds;
      }

      SlowWrites *writes;
    };
  } // namespace



  std::multiset<long>
  ids_in_store(const std::string &store)
  {
    std::multiset<long> result;
    if (fs::is_directory(store))
      for (const auto &name : batch_files(store))
        for (const auto id : HDF5File(name).read<std::int64_t>("sample"))
          result.insert(id);
    return result;
  }



  std::vector<std::string>
  compare_stores(const std::string &store,
                 const std::string &reference,
                 const bool         subset)
  {
    std::vector<std::string> result;
    const auto               complain = [&](const std::string &what) {
      result.push_back(store + ": " + what + ".");
    };
    if (subset && !fs::is_directory(store))
      return result;
    try
      {
        const auto found  = read_samples(store),
                   wanted = read_samples(reference);
        for (auto i = found.begin(); i != found.end(); ++i)
          {
            const long id = i->first;
            if (i != found.begin() && std::prev(i)->first == id)
              complain(fmt::format("sample {} is there twice", id));
            const auto other = wanted.find(id);
            if (other == wanted.end())
              {
                complain(fmt::format("sample {} should not be there", id));
                continue;
              }
            const Sample &a = i->second, &b = other->second;
            if (a.status != b.status || a.iterations != b.iterations ||
                a.reason != b.reason)
              complain(fmt::format("sample {} ended otherwise", id));
            if (!same_bits(a.values, b.values))
              complain(fmt::format("sample {} has other values", id));
          }
        if (!subset)
          for (const auto &entry : wanted)
            if (found.count(entry.first) == 0)
              complain(fmt::format("sample {} is lost", entry.first));

        const std::string space = "/space.h5";
        if (!subset || fs::exists(store + space))
          {
            const HDF5File a(store + space), b(reference + space);
            for (const char *name : {"points",
                                     "mass_values",
                                     "symmetry_matrices",
                                     "symmetry_offsets"})
              if (!same_bits(a.read<double>(name), b.read<double>(name)))
                complain(std::string("space.h5 has another ") + name);
            for (const char *name :
                 {"mass_rows", "mass_columns", "symmetry_parameters"})
              if (a.read<std::int64_t>(name) != b.read<std::int64_t>(name))
                complain(std::string("space.h5 has another ") + name);
            if (a.read_strings("parameter_names") !=
                b.read_strings("parameter_names"))
              complain("space.h5 has other names");
          }
        if (!subset)
          {
            const HDF5File index(store + "/index.h5");
            for (const auto &name : batch_files(store))
              if (!index.has(fs::path(name).stem().string()))
                complain("index.h5 does not know " + name);
            for (const auto &entry : fs::directory_iterator(store))
              if (entry.path().extension() != ".h5")
                complain(entry.path().filename().string() + " is left over");
          }
      }
    catch (const std::exception &error)
      {
        result.emplace_back(error.what());
      }
    return result;
  }



  std::vector<std::string>
  campaign_command(const std::string              &store,
                   const unsigned int              n_samples,
                   const unsigned int              group_size,
                   const std::vector<std::string> &more)
  {
    std::vector<std::string> result = {MPIEXEC,
                                       "-np",
                                       "2",
                                       "--oversubscribe",
                                       PROGRAM,
                                       store,
                                       std::to_string(n_samples),
                                       std::to_string(group_size)};
    result.insert(result.end(), more.begin(), more.end());
    return result;
  }



  KillsResult
  kill_campaigns(const KillsData &data)
  {
    using Clock = std::chrono::steady_clock;
    fs::remove_all(data.folder);
    fs::create_directories(data.folder);
    // What MPI leaves when it is killed goes with this folder; the names of
    // sockets have to be short.
    std::string scratch = fs::temp_directory_path() / "kills-XXXXXX";
    if (mkdtemp(scratch.data()) == nullptr)
      throw std::runtime_error(scratch + " cannot be created.");
    for (const char *variable : {"OMPI_MCA_orte_tmpdir_base",
                                 "PRTE_MCA_prte_tmpdir_base",
                                 "OMPI_MCA_btl_vader_backing_directory",
                                 "OMPI_MCA_btl_sm_backing_directory"})
      setenv(variable, scratch.c_str(), 1);

    const std::string state_file = scratch + "/state";
    State             state(state_file);
    const auto        command = [&](const std::string &store,
                             const unsigned int group_size) {
      std::vector<std::string> result = {"env",
                                         "NEURALDEAL_SLOW_STATE=" + state_file,
                                         "NEURALDEAL_SLOW_FOLDER=" + store,
                                         std::string("LD_PRELOAD=") +
                                           SLOW_WRITES};
      const auto campaign = campaign_command(store, data.n_samples, group_size);
      result.insert(result.end(), campaign.begin(), campaign.end());
      return result;
    };
    const std::string output = data.folder + "/output.txt";

    // Those that nobody kills: what is expected, and how long it takes.
    KillsResult         result;
    constexpr int       microseconds = 4000;
    std::string         references[2];
    std::vector<double> seconds(2);
    std::vector<int>    n_writes(2);
    for (const unsigned int size : {1, 2})
      {
        auto &reference = references[size - 1];
        reference       = fmt::format("{}/whole-{}", data.folder, size);
        state.restart(microseconds);
        const auto start = Clock::now();
        const auto whole = job::run_command(command(reference, size), output);
        if (whole.status != 0 ||
            ids_in_store(reference).size() != data.n_samples)
          throw std::runtime_error("The campaign does not even run: " +
                                   whole.output);
        seconds[size - 1] =
          std::chrono::duration<double>(Clock::now() - start).count();
        n_writes[size - 1] = state.writes->begun;
        if (n_writes[size - 1] < int(data.n_samples))
          throw std::runtime_error("The writes are not slow: " + whole.output);
      }

    unsigned int n_starts = 0;
    while (result.n_kills < data.n_kills ||
           result.n_in_writes < data.n_in_writes)
      {
        const unsigned int size      = 1 + result.n_campaigns % 2;
        const auto        &reference = references[size - 1];
        const std::string  store =
          fmt::format("{}/killed-{}", data.folder, result.n_campaigns);
        std::multiset<long> before;
        while (true)
          {
            CounterRandom random(data.seed,
                                 CounterRandom::Stream::check,
                                 n_starts++);
            // Early in what is left: most of all kills are to come before the
            // campaign ends.
            const bool by_writes = n_starts % 2 == 0;
            const int  write =
              1 + int(random.uniform() * 0.4 * n_writes[size - 1]);
            const double moment = random.uniform() * seconds[size - 1];
            const auto   start  = Clock::now();
            const bool   enough = result.n_kills >= data.n_kills &&
                                result.n_in_writes >= data.n_in_writes;
            state.restart(microseconds);
            const bool killed =
              job::run_and_kill_command(command(store, size), output, 3, [&]() {
                std::this_thread::sleep_for(std::chrono::microseconds(200));
                return !enough &&
                       (by_writes ? state.writes->begun >= write :
                                    Clock::now() - start >
                                      std::chrono::duration<double>(moment));
              });
            if (!killed)
              break;
            ++result.n_kills;
            const bool in_write = state.writes->inside > 0;
            result.n_in_writes += in_write;

            // What is there is whole, and what was there still is.
            const auto differences = compare_stores(store, reference, true);
            result.differences.insert(result.differences.end(),
                                      differences.begin(),
                                      differences.end());
            std::multiset<long> now;
            if (differences.empty())
              {
                now = ids_in_store(store);
                for (const long id : before)
                  if (now.count(id) == 0)
                    result.differences.push_back(fmt::format(
                      "{}: sample {} was there before a kill.", store, id));
              }
            result.n_kept += now.size();
            if (data.verbose)
              fmt::print(
                "kill {:3} {} {:2} samples stored, {:4} writes begun\n",
                result.n_kills,
                in_write ? "inside a write," : "elsewhere,     ",
                now.size(),
                state.writes->begun.load());
            // The next process would say it once more.
            std::fflush(stdout);
            before = std::move(now);
          }
        const auto differences = compare_stores(store, reference);
        result.differences.insert(result.differences.end(),
                                  differences.begin(),
                                  differences.end());
        ++result.n_campaigns;
        result.n_samples += ids_in_store(store).size();
        if (data.verbose)
          fmt::print("campaign {} of groups of {} has ended: {} differences\n",
                     result.n_campaigns,
                     size,
                     differences.size());
        std::fflush(stdout);
      }
    std::error_code ignored;
    fs::remove_all(scratch, ignored);
    return result;
  }
} // namespace neuraldeal::performance
