// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/campaign.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/snapshot_reader.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <stdexcept>
#include <thread>

#include "poisson_host.h"
#include "spaces.h"
#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  using Distributed = LinearAlgebra::distributed::Vector<double>;

  constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

  Input
  design(const long id)
  {
    return PoissonHost::Host<Distributed>::inputs().draw(
      1, CounterRandom::Stream::design, id);
  }

  /** The host in groups of ranks, and how it is called in a test. */
  template <typename VectorType>
  struct Ensemble
  {
    ProcessGroups                                 groups;
    PoissonHost::Host<VectorType>                 host;
    FullOrderModel<VectorType>                    model;
    typename Campaign<VectorType>::AdditionalData data;
    std::string                                   problem = "abc";

    Ensemble(const MPI_Comm     world,
             const unsigned int group_size,
             const std::string &folder)
      : groups(world, group_size, "test.prm")
      , host(groups.group())
      , model(host.model())
    {
      data.folder     = folder;
      data.provenance = "a test";
    }

    unsigned int
    run(const unsigned int n_samples, const std::vector<double> &costs = {})
    {
      return Campaign<VectorType>(model, host.layout, groups, data)
        .run(n_samples, design, problem, {"a0", "a1", "a2", "a3"}, costs);
    }

    /** Full solves since the last call, by all groups. */
    unsigned int
    count_solves()
    {
      const unsigned int mine = groups.is_group_root() ? host.n_solves : 0;
      host.n_solves           = 0;
      return Utilities::MPI::sum(mine, groups.world);
    }

    bool
    is_last_of_group() const
    {
      return rank(groups.group()) + 1 == n_ranks(groups.group());
    }
  };

  /** A store of the first rank's alone: what all others are compared with. */
  template <typename VectorType>
  void
  make_reference(const std::string &folder, const unsigned int n_samples)
  {
    if (rank() == 0)
      Ensemble<VectorType>(MPI_COMM_SELF, 1, folder).run(n_samples);
    MPI_Barrier(MPI_COMM_WORLD);
  }

  /** That two stores hold the same samples, fields up to @p tolerance. */
  void
  expect_equal_stores(const std::string &folder,
                      const std::string &reference,
                      const double       tolerance = 0.)
  {
    const SnapshotReader a(folder, "abc"), b(reference, "abc");
    ASSERT_EQ(a.ids(), b.ids());
    EXPECT_EQ(a.failures(), b.failures());
    ASSERT_GT(a.size(), 0);
    const auto x = a.read(0, a.size()), y = b.read(0, b.size());
    EXPECT_TRUE(torch::equal(x.parameters, y.parameters));
    // The coarse problem is solved by every rank alone: always the same.
    EXPECT_TRUE(torch::equal(x.prior, y.prior));
    if (tolerance == 0.)
      {
        EXPECT_TRUE(torch::equal(x.solution, y.solution));
      }
    else
      EXPECT_LE((x.solution - y.solution).abs().max().item<double>(),
                tolerance * y.solution.abs().max().item<double>());
    // What is compared is worth it: no field is the same as another.
    EXPECT_GT(y.solution.std(0).max().item<double>(), 1e-3);
    EXPECT_GT((y.solution - y.prior).abs().max().item<double>(), 1e-4);
  }

  /** One integer or one text of every sample, by id. */
  template <typename T>
  std::map<long, T>
  by_sample(const std::string &folder, const std::string &name)
  {
    std::map<long, T> result;
    for (const auto &file_name : files_in(folder))
      if (file_name.rfind("batch-", 0) == 0)
        {
          const HDF5File file(folder + "/" + file_name);
          const auto     ids    = file.read<std::int64_t>("sample");
          const auto     values = [&]() {
            if constexpr (std::is_same_v<T, std::string>)
              return file.read_strings(name);
            else
              return file.read<T>(name);
          }();
          for (std::size_t i = 0; i < ids.size(); ++i)
            result[ids[i]] = values[i];
        }
    return result;
  }

  std::vector<long>
  first_ids(const long n)
  {
    std::vector<long> result;
    for (long id = 0; id < n; ++id)
      result.push_back(id);
    return result;
  }
} // namespace



template <typename VectorType>
class CampaignTest : public testing::Test
{};

TYPED_TEST_SUITE(CampaignTest, Spaces::VectorTypes);



TYPED_TEST(CampaignTest, StoresDoNotDependOnTheNumberOfRanks)
{
  using VectorType = TypeParam;
  const ScratchFolder folder;
  make_reference<VectorType>(folder / "one", 7);
  Ensemble<VectorType> all(MPI_COMM_WORLD, 1, folder / "all");
  EXPECT_EQ(all.run(7), 7u);
  EXPECT_EQ(all.count_solves(), 7u);
  EXPECT_EQ(SnapshotReader(folder / "all").ids(), first_ids(7));
  expect_equal_stores(folder / "all", folder / "one");
}



TYPED_TEST(CampaignTest, GroupsOfRanksAgreeToTheSolversTolerance)
{
  using VectorType = TypeParam;
  if (PoissonHost::Problem<VectorType>::is_serial)
    return;
  const ScratchFolder folder;
  make_reference<VectorType>(folder / "one", 5);
  for (const auto size : group_sizes())
    {
      const auto           name = folder / std::to_string(size);
      Ensemble<VectorType> all(MPI_COMM_WORLD, size, name);
      EXPECT_EQ(all.run(5), 5u);
      expect_equal_stores(name, folder / "one", 1e3 * PoissonHost::tolerance);
    }
}



TEST(Campaign, StoresTheTruth)
{
  // The solution of the store solves the host's problem, for its parameters.
  const ScratchFolder   folder;
  Ensemble<Distributed> all(MPI_COMM_WORLD, 1, folder.path);
  all.run(3);
  const SnapshotReader store(folder.path, "abc");
  const auto           snapshots = store.read(0, 3);
  const auto           space     = store.read_space();
  for (unsigned int i = 0; i < 3; ++i)
    {
      const Input input = design(i);
      for (unsigned int k = 0; k < 4; ++k)
        EXPECT_EQ(snapshots.parameters[i][k].item<double>(), input[k]);
      Distributed x, r, zero;
      all.host.fine.reinit(x);
      all.host.fine.reinit(r);
      all.host.fine.reinit(zero);
      all.host.layout.from_tensor(snapshots.solution[i], x);
      all.host.fine.residual(input, x, r);
      const double norm = r.l2_norm();
      all.host.fine.residual(input, zero, r);
      EXPECT_LE(norm, 1.1 * PoissonHost::tolerance * r.l2_norm());
      EXPECT_NEAR(space.norm(snapshots.solution)[i].item<double>(),
                  all.host.layout.norm(x),
                  1e-14);
    }
  EXPECT_GT(store.mean_seconds(), 0.);
  EXPECT_EQ(store.seconds().numel(), 3);
  EXPECT_NEAR(store.seconds().mean().item<double>(),
              store.mean_seconds(),
              1e-12 * store.mean_seconds());
  for (const auto &[id, n] : by_sample<std::int64_t>(folder.path, "iterations"))
    EXPECT_GT(n, 5) << id;
}



TEST(Campaign, FilesSayWhatTheyAre)
{
  const ScratchFolder   folder;
  Ensemble<Distributed> all(MPI_COMM_WORLD, n_ranks(), folder.path);
  all.run(3);
  EXPECT_EQ(files_in(folder.path),
            (std::vector<std::string>{
              "batch-000000.h5", "batch-000002.h5", "index.h5", "space.h5"}));
  for (const auto &name : files_in(folder.path))
    {
      const HDF5File file(folder / name);
      EXPECT_EQ(file.read_attribute("problem"), "abc");
      EXPECT_NE(file.read_attribute("format").find("neural.deal"),
                std::string::npos);
    }
  EXPECT_EQ(HDF5File(folder / "batch-000002.h5").read_attribute("provenance"),
            "a test");
  // One file leads to all others.
  const HDF5File index(folder / "index.h5");
  EXPECT_EQ(index.read<std::int64_t>("batch-000000/sample"),
            (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(index.read<std::int64_t>("batch-000002/sample"),
            (std::vector<std::int64_t>{2}));
  EXPECT_EQ(index.shape("space/points"),
            (std::vector<hsize_t>{2, hsize_t(all.host.layout.n_values())}));
}



TEST(Campaign, GoesOnWhereItWas)
{
  const ScratchFolder folder;
  const auto          store = folder / "all";
  make_reference<Distributed>(folder / "one", 7);
  Ensemble<Distributed> all(MPI_COMM_WORLD, 1, store);
  all.run(7);
  all.count_solves();

  // Nothing is missing: nothing is solved.
  EXPECT_EQ(all.run(7), 0u);
  EXPECT_EQ(all.count_solves(), 0u);

  // What a killed job leaves: batches that are not there, among them the
  // last one, and the half of a file.
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    {
      std::filesystem::remove(store + "/batch-000002.h5");
      std::filesystem::remove(store + "/batch-000006.h5");
      std::filesystem::remove(store + "/index.h5");
      std::ofstream(store + "/batch-000002.h5.tmp") << "half a file";
    }
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_EQ(all.run(7), 3u);
  EXPECT_EQ(all.count_solves(), 3u);
  expect_equal_stores(store, folder / "one");
  EXPECT_EQ(files_in(store), files_in(folder / "one"));

  // Not even the space was finished.
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    for (const auto &name : files_in(store))
      std::filesystem::rename(store + "/" + name, store + "/" + name + ".tmp");
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_EQ(all.run(7), 7u);
  expect_equal_stores(store, folder / "one");
  EXPECT_EQ(files_in(store), files_in(folder / "one"));
}



TEST(Campaign, GoesOnWithMoreSamplesAndOtherBatches)
{
  const ScratchFolder folder;
  const auto          store = folder / "all";
  make_reference<Distributed>(folder / "one", 11);
  Ensemble<Distributed> all(MPI_COMM_WORLD, 1, store);
  all.run(5);
  EXPECT_EQ(all.run(7), 2u);
  all.data.batch_size = 3;
  EXPECT_EQ(all.run(10), 3u);
  all.data.batch_size = 1;
  EXPECT_EQ(all.run(11), 1u);
  EXPECT_EQ(SnapshotReader(store).ids(), first_ids(11));
  expect_equal_stores(store, folder / "one");

  // Fewer are wanted than are there.
  EXPECT_EQ(all.run(4), 0u);
}



TEST(Campaign, FailedSolvesAreRecorded)
{
  const ScratchFolder folder;
  for (const auto size : group_sizes())
    for (const bool with_fallback : {false, true})
      {
        const auto store =
          folder / (std::to_string(size) + (with_fallback ? "f" : ""));
        Ensemble<Distributed> all(MPI_COMM_WORLD, size, store);
        all.data.max_failures = 0.7;
        const auto solve      = all.model.solve;
        all.model.solve       = [&](const Input &input, Distributed &x) {
          if (input == design(4))
            return all.host.fine.solve(input, x, 3);
          const unsigned int n = solve(input, x);
          if (all.is_last_of_group() && input == design(1))
            throw std::runtime_error("the last rank has no more memory");
          if (all.is_last_of_group() && input == design(2))
            x.local_element(0) = nan_value;
          if (input == design(3))
            x = std::numeric_limits<double>::infinity();
          return n;
        };
        // The coarse problem can fail as well, on all ranks or on one.
        const auto coarse_solve = all.model.coarse_solve;
        all.model.coarse_solve  = [&](const Input &input, Distributed &x) {
          coarse_solve(input, x);
          if (all.is_last_of_group() && input == design(6))
            throw std::runtime_error("the coarse mesh is too coarse");
          if (all.is_last_of_group() && input == design(7))
            x.local_element(0) = nan_value;
        };
        if (with_fallback)
          all.model.fallback_solve = [&](const Input &input, Distributed &x) {
            // It starts afresh, not from what has failed.
            AssertThrow(x.l2_norm() == 0., ExcMessage("it is not zero"));
            const unsigned int n = all.host.fine.solve(input, x);
            AssertThrow(input != design(4), ExcMessage("No way."));
            return n;
          };

        EXPECT_EQ(all.run(10), 10u);
        const SnapshotReader        reader(store, "abc");
        std::map<long, std::string> failed(reader.failures().begin(),
                                           reader.failures().end());
        const auto status  = by_sample<std::int64_t>(store, "status");
        const auto reasons = by_sample<std::string>(store, "reason");
        const auto says    = [&](const long id, const std::string &text) {
          EXPECT_NE(reasons.at(id).find(text), std::string::npos)
            << id << ": " << reasons.at(id);
        };
        ASSERT_EQ(status.size(), 10u);
        says(1, "no more memory");
        says(2, "not finite");
        says(3, "not finite");
        says(4, "3"); // iterations, in deal.II's words
        says(6, "the coarse mesh is too coarse");
        says(7, "coarse");
        for (const long id : {0, 5, 8, 9})
          {
            EXPECT_EQ(status.at(id), 0) << id;
            EXPECT_EQ(reasons.at(id), "") << id;
          }
        for (const long id : {1, 2, 3})
          EXPECT_EQ(status.at(id), with_fallback ? 1 : 2) << id;
        for (const long id : {4, 6, 7})
          EXPECT_EQ(status.at(id), 2) << id;
        if (with_fallback)
          says(4, "No way.");

        // Only what has been solved is learned from.
        const auto expected_ids = with_fallback ?
                                    std::vector<long>{0, 1, 2, 3, 5, 8, 9} :
                                    std::vector<long>{0, 5, 8, 9};
        EXPECT_EQ(reader.ids(), expected_ids);
        EXPECT_EQ(failed.size(), 10 - expected_ids.size());
        for (const auto &[id, reason] : failed)
          EXPECT_EQ(reason, reasons.at(id));
        const auto snapshots = reader.read(0, reader.size());
        EXPECT_TRUE(
          torch::isfinite(snapshots.solution).all().template item<bool>());

        // Failures are facts: going on does not repeat them.
        EXPECT_EQ(all.run(10), 0u);
        MPI_Barrier(MPI_COMM_WORLD);
      }

  // What the fallback has found is what the solver would have.
  make_reference<Distributed>(folder / "one", 10);
  const SnapshotReader one(folder / "one"), with(folder / "1f");
  const auto           x = SnapshotReader(one, {1, 2, 3}).read(0, 3).solution;
  const auto           y = SnapshotReader(with, {1, 2, 3}).read(0, 3).solution;
  EXPECT_TRUE(torch::equal(x, y));
}



TEST(Campaign, StopsWhereTooManyFail)
{
  const ScratchFolder folder;
  for (const auto size : group_sizes())
    {
      const auto            store = folder / std::to_string(size);
      Ensemble<Distributed> all(MPI_COMM_WORLD, size, store);
      all.data.max_failures = 0.25;
      const auto solve      = all.model.solve;
      all.model.solve       = [&](const Input &input, Distributed &x) {
        for (long id = 2; id < 16; id += 2)
          AssertThrow(input != design(id), ExcMessage("Even ones fail."));
        return solve(input, x);
      };
      const auto message = message_of([&]() { all.run(16); });
      expect_sentence(message,
                      {"the campaign in " + store,
                       "number of failed solves",
                       "at most 4 of 16, a share of 0.25 (sample ",
                       " failed: Even ones fail); what has been solved is "
                       "kept."});
      EXPECT_TRUE(same_on_all_ranks(message));

      // What was solved is still there, and whole.
      const SnapshotReader reader(store, "abc");
      EXPECT_GT(reader.size(), 0);
      EXPECT_EQ(reader.ids()[0], 0);
      const auto snapshots = reader.read(0, reader.size());
      EXPECT_TRUE(
        torch::isfinite(snapshots.solution).all().template item<bool>());
      for (const auto &name : files_in(store))
        EXPECT_EQ(std::filesystem::path(name).extension(), ".h5") << name;

      // Asked again, it does not spend more on it.
      all.count_solves();
      const auto again = message_of([&]() { all.run(16); });
      expect_sentence(again, {"number of failed solves", "at most 4 of 16"});
      EXPECT_EQ(all.count_solves(), 0u);
      // Whoever can live with the failures goes on with the same store.
      all.data.max_failures = 0.5;
      EXPECT_EQ(message_of([&]() { all.run(16); }), "");
      EXPECT_EQ(SnapshotReader(store).size(), 9);
      EXPECT_EQ(SnapshotReader(store).failures().size(), 7u);
    }
}



TEST(Campaign, RefusesTheStoreOfAnotherProblem)
{
  const ScratchFolder   folder;
  Ensemble<Distributed> all(MPI_COMM_WORLD, 1, folder.path);
  all.run(4);
  const auto before = files_in(folder.path);
  all.problem       = "xyz";
  all.count_solves();
  const auto refused = [&](const std::string &file) {
    const auto message = message_of([&]() { all.run(4); });
    expect_sentence(message,
                    {folder / file, "'problem'", "abc", "valid is xyz"});
    EXPECT_TRUE(same_on_all_ranks(message));
    EXPECT_EQ(all.count_solves(), 0u);
  };
  refused("batch-000000.h5");
  EXPECT_EQ(files_in(folder.path), before);

  // Where nothing but the space is left of it.
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    for (const auto &name : before)
      if (name != "space.h5")
        std::filesystem::remove(folder / name);
  MPI_Barrier(MPI_COMM_WORLD);
  refused("space.h5");
}



TEST(Campaign, NamesWhatItCannotUse)
{
  const ScratchFolder   folder;
  Ensemble<Distributed> all(MPI_COMM_WORLD, 1, folder / "all");
  all.run(4);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    {
      // A damaged file, and a folder that is a file.
      std::filesystem::resize_file(folder / "all/batch-000002.h5", 700);
      std::ofstream(folder / "file") << "no folder";
    }
  MPI_Barrier(MPI_COMM_WORLD);
  const auto damaged = message_of([&]() { all.run(4); });
  expect_sentence(damaged, {folder / "all/batch-000002.h5"});
  EXPECT_TRUE(same_on_all_ranks(damaged));

  Ensemble<Distributed> nowhere(MPI_COMM_WORLD, 1, folder / "file/store");
  const auto            message = message_of([&]() { nowhere.run(4); });
  expect_sentence(message, {folder / "file/store", "cannot be written"});
  EXPECT_TRUE(same_on_all_ranks(message));
}



TEST(Campaign, SolvesWithoutACoarseSolve)
{
  const ScratchFolder   folder;
  Ensemble<Distributed> all(MPI_COMM_WORLD, 1, folder.path);
  all.model.coarse_solve = nullptr;
  EXPECT_EQ(all.run(3), 3u);
  const auto snapshots = SnapshotReader(folder.path).read(0, 3);
  EXPECT_EQ(snapshots.prior.abs().max().item<double>(), 0.);
  EXPECT_GT(snapshots.solution.abs().max().item<double>(), 0.);
}



namespace
{
  /** The points that this rank's group solves, in its order. */
  std::vector<long>
  record_points(Ensemble<Distributed>     &all,
                const std::vector<double> &costs = {})
  {
    std::vector<long> points;
    const auto        solve = all.model.solve;
    all.model.solve         = [&](const Input &input, Distributed &x) {
      for (long i = 0; i < 40; ++i)
        if (input == design(i))
          points.push_back(i);
      // So that others have a turn.
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      return solve(input, x);
    };
    all.run(40, costs);
    all.model.solve = solve;
    return points;
  }

  /** As if each solve in the store had taken @p seconds of its inputs. */
  void
  set_seconds(const std::string                          &folder,
              const std::function<double(const Input &)> &seconds)
  {
    MPI_Barrier(MPI_COMM_WORLD);
    for (const auto &name : files_in(folder))
      if (rank() == 0 && name.rfind("batch-", 0) == 0)
        {
          const auto ids =
            HDF5File(folder + "/" + name).read<std::int64_t>("sample");
          std::vector<double> values;
          for (const long id : ids)
            values.push_back(seconds(design(id)));
          const hid_t file =
            H5Fopen((folder + "/" + name).c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
          const hid_t set = H5Dopen2(file, "seconds", H5P_DEFAULT);
          EXPECT_GE(H5Dwrite(set,
                             H5T_NATIVE_DOUBLE,
                             H5S_ALL,
                             H5S_ALL,
                             H5P_DEFAULT,
                             values.data()),
                    0);
          H5Dclose(set);
          H5Fclose(file);
        }
    MPI_Barrier(MPI_COMM_WORLD);
  }
} // namespace



TEST(Campaign, LongSolvesComeFirst)
{
  const ScratchFolder folder;
  make_reference<Distributed>(folder / "one", 40);
  for (const auto size : group_sizes())
    {
      const auto            store = folder / ("given" + std::to_string(size));
      Ensemble<Distributed> all(MPI_COMM_WORLD, size, store);
      // In batches of two: {0, 1} is unknown, {38, 39} the longest, and of
      // others the sum of both counts.
      std::vector<double> costs;
      for (long id = 0; id < 40; ++id)
        costs.push_back(id % 2 == 0 ? id : 240. - 3. * id);
      costs[1]              = nan_value;
      costs[39]             = 1e6;
      const auto batch_cost = [&](const long id) {
        const double sum = costs[id / 2 * 2] + costs[id / 2 * 2 + 1];
        return std::isnan(sum) ? 1e300 : sum;
      };
      // Those of the first rank count.
      auto mine = costs;
      if (rank() > 0)
        std::reverse(mine.begin(), mine.end());
      const auto points = record_points(all, mine);
      if (all.groups.n_groups() == 1)
        {
          EXPECT_EQ(points, first_ids(40));
        }
      else
        for (std::size_t i = 1; i < points.size(); ++i)
          {
            EXPECT_GE(batch_cost(points[i - 1]), batch_cost(points[i]));
            // Within a batch they are in their order.
            if (points[i] % 2 == 1)
              {
                EXPECT_EQ(points[i - 1], points[i] - 1);
              }
          }
      expect_equal_stores(store, folder / "one", 1e3 * PoissonHost::tolerance);
      EXPECT_EQ(files_in(store), files_in(folder / "one"));
    }
}



TEST(Campaign, LearnsFromTheStoreWhichSolvesAreLong)
{
  const ScratchFolder folder;
  make_reference<Distributed>(folder / "one", 40);
  const auto seconds = [](const Input &input) {
    return 3. * input[0] * input[0] / input[2];
  };
  for (const auto size : group_sizes())
    for (const unsigned int n_there : {8u, 20u})
      {
        const auto store =
          folder / (std::to_string(size) + "-" + std::to_string(n_there));
        Ensemble<Distributed> all(MPI_COMM_WORLD, size, store);
        all.data.batch_size = 1;
        all.run(n_there);
        set_seconds(store, seconds);
        const auto points = record_points(all);
        // With too few, or one group alone, they are in their order.
        const bool learned =
          all.groups.n_groups() > 1 &&
          n_there >= Campaign<Distributed>::fewest_to_learn_costs;
        if (!learned)
          {
            EXPECT_TRUE(std::is_sorted(points.begin(), points.end()));
          }
        else
          for (std::size_t i = 1; i < points.size(); ++i)
            EXPECT_GE(1.1 * seconds(design(points[i - 1])),
                      seconds(design(points[i])))
              << points[i - 1] << " was before " << points[i];
        expect_equal_stores(store,
                            folder / "one",
                            1e3 * PoissonHost::tolerance);
        MPI_Barrier(MPI_COMM_WORLD);
      }
}



TEST(Campaign, TimeBudgetEndsSolvesThatAsk)
{
  const ScratchFolder folder;
  for (const auto size : group_sizes())
    for (const bool with_fallback : {false, true})
      {
        const auto store =
          folder / (std::to_string(size) + (with_fallback ? "f" : ""));
        Ensemble<Distributed> all(MPI_COMM_WORLD, size, store);
        all.data.max_failures  = 0.7;
        all.data.time_budget   = 0.01;
        all.data.patience      = 1e6;
        const auto should_stop = all.model.should_stop;
        const auto solve       = all.model.solve;
        // One that would go on for ever.
        const auto wait = [&]() {
          unsigned int n = 0;
          while (!should_stop())
            ++n;
          EXPECT_TRUE(should_stop());
          // All ranks stop in the same iteration.
          EXPECT_TRUE(same_on_all_ranks(n, all.groups.group()));
          return n;
        };
        all.model.solve = [&](const Input &input, Distributed &x) {
          if (input == design(1))
            return wait();
          if (input == design(2))
            {
              wait();
              if (all.is_last_of_group())
                throw std::runtime_error("told to stop");
              return 0u;
            }
          return solve(input, x);
        };
        // The coarse solve has a budget as well, of its own.
        const auto coarse_solve = all.model.coarse_solve;
        all.model.coarse_solve  = [&](const Input &input, Distributed &x) {
          if (input == design(3))
            wait();
          coarse_solve(input, x);
        };
        if (with_fallback)
          all.model.fallback_solve = [&](const Input &input, Distributed &x) {
            if (input == design(2))
              wait();
            return all.host.fine.solve(input, x);
          };
        EXPECT_EQ(all.run(6), 6u);
        EXPECT_FALSE(all.model.should_stop());

        const auto        status  = by_sample<std::int64_t>(store, "status");
        const auto        reasons = by_sample<std::string>(store, "reason");
        const std::string stopped =
          "time budget: solve() was stopped after 0.01 s";
        const std::string said = " (it said: told to stop)";
        EXPECT_EQ(reasons.at(1), stopped);
        EXPECT_EQ(status.at(1), with_fallback ? 1 : 2);
        EXPECT_EQ(reasons.at(2),
                  stopped + said +
                    (with_fallback ? "; the fallback: time budget: "
                                     "fallback_solve() was stopped after "
                                     "0.01 s" :
                                     ""));
        EXPECT_EQ(status.at(2), 2);
        EXPECT_EQ(reasons.at(3),
                  "time budget: coarse_solve() was stopped after 0.01 s");
        EXPECT_EQ(status.at(3), 2);
        for (const long id : {0, 4, 5})
          EXPECT_EQ(status.at(id), 0) << id << ": " << reasons.at(id);
      }
}



TEST(Campaign, WithoutATimeBudgetNobodyIsStopped)
{
  const ScratchFolder folder;
  make_reference<Distributed>(folder / "one", 3);
  Ensemble<Distributed> all(MPI_COMM_WORLD, 1, folder / "all");
  const auto            solve = all.model.solve;
  all.model.solve             = [&](const Input &input, Distributed &x) {
    EXPECT_FALSE(all.model.should_stop());
    return solve(input, x);
  };
  all.run(3);
  expect_equal_stores(folder / "all", folder / "one");
}



TEST(Campaign, KeepsTheInputsOfWhatFails)
{
  const ScratchFolder folder;
  for (const auto size : group_sizes())
    {
      const auto            store = folder / std::to_string(size);
      Ensemble<Distributed> all(MPI_COMM_WORLD, size, store);
      all.data.max_failures = 0.5;
      const auto solve      = all.model.solve;
      all.model.solve       = [&](const Input &input, Distributed &x) {
        const unsigned int n = solve(input, x);
        // A vector of another size, on one rank.
        if (input == design(1) && all.is_last_of_group())
          x.reinit(5);
        // As libraries do that know no std::exception.
        if (input == design(4))
          throw 17;
        return n;
      };
      EXPECT_EQ(all.run(6), 6u);
      const auto reasons = by_sample<std::string>(store, "reason");
      EXPECT_EQ(reasons.at(1).rfind("the solution has 5 entries where "
                                    "reinit_vector() gives it ",
                                    0),
                0u)
        << reasons.at(1);
      EXPECT_EQ(reasons.at(4), "an unknown failure");
      const SnapshotReader reader(store);
      EXPECT_EQ(reader.ids(), (std::vector<long>{0, 2, 3, 5}));
      ASSERT_EQ(reader.failures().size(), 2u);
      for (const auto &[id, reason] : reader.failures())
        {
          EXPECT_EQ(reason, reasons.at(id));
          const HDF5File file(SnapshotReader::batch_file(store, id / 2 * 2));
          const Input    wanted = design(id);
          std::vector<double> found(wanted.size());
          file.read_block(
            "parameters", id % 2, 1, 0, found.size(), found.data());
          EXPECT_EQ(found, wanted);
        }
      // What follows a wrong vector is right.
      make_reference<Distributed>(store + "-one", 6);
      EXPECT_LE((SnapshotReader(reader, {0, 2, 3, 5}).read(0, 4).solution -
                 SnapshotReader(SnapshotReader(store + "-one"), {0, 2, 3, 5})
                   .read(0, 4)
                   .solution)
                  .abs()
                  .max()
                  .item<double>(),
                1e3 * PoissonHost::tolerance);
    }
}



namespace
{
  /** Limits the size of files that this process writes, without a signal. */
  class FileSizeLimit
  {
  public:
    FileSizeLimit()
      : action(std::signal(SIGXFSZ, SIG_IGN))
    {
      getrlimit(RLIMIT_FSIZE, &before);
    }

    ~FileSizeLimit()
    {
      set(before.rlim_cur);
      std::signal(SIGXFSZ, action);
    }

    void
    set(const rlim_t bytes) const
    {
      rlimit limit   = before;
      limit.rlim_cur = bytes;
      setrlimit(RLIMIT_FSIZE, &limit);
    }

  private:
    void (*const action)(int);
    rlimit before;
  };



  /** A file system in memory, seen by all ranks, if root may have one. */
  class SmallDisk
  {
  public:
    SmallDisk(const std::string &path, const std::string &size)
      : path(path)
    {
      if (rank() == 0)
        {
          std::filesystem::create_directories(path);
          if (mount("tmpfs", path.c_str(), "tmpfs", 0, size.c_str()) != 0)
            why_not = std::strerror(errno);
        }
      why_not = first_message(why_not, MPI_COMM_WORLD);
    }

    ~SmallDisk()
    {
      MPI_Barrier(MPI_COMM_WORLD);
      if (rank() == 0 && why_not.empty())
        umount2(path.c_str(), MNT_DETACH);
      MPI_Barrier(MPI_COMM_WORLD);
    }

    void
    change(const unsigned long flags, const std::string &size) const
    {
      MPI_Barrier(MPI_COMM_WORLD);
      if (rank() == 0)
        {
          EXPECT_EQ(mount("tmpfs",
                          path.c_str(),
                          "tmpfs",
                          MS_REMOUNT | flags,
                          size.c_str()),
                    0)
            << std::strerror(errno);
        }
      MPI_Barrier(MPI_COMM_WORLD);
    }

    const std::string path;
    std::string       why_not;
  };



  /** That a campaign which cannot write says so, and has lost nothing. */
  void
  expect_refusal(Ensemble<Distributed>          &all,
                 const unsigned int              n_samples,
                 const std::string              &reference,
                 const std::vector<std::string> &parts)
  {
    const auto before = SnapshotReader(all.data.folder).ids();
    MPI_Barrier(MPI_COMM_WORLD);
    const auto message = message_of([&]() { all.run(n_samples); });
    expect_sentence(message, parts);
    EXPECT_TRUE(same_on_all_ranks(message));
    const SnapshotReader store(all.data.folder, "abc");
    const auto           ids = store.ids();
    EXPECT_TRUE(
      std::includes(ids.begin(), ids.end(), before.begin(), before.end()));
    EXPECT_LT(ids.size(), n_samples);
    const auto found = store.read(0, store.size());
    const auto wanted =
      SnapshotReader(SnapshotReader(reference), ids).read(0, ids.size());
    EXPECT_LE((found.solution - wanted.solution).abs().max().item<double>(),
              1e3 * PoissonHost::tolerance);
    MPI_Barrier(MPI_COMM_WORLD);
  }
} // namespace



TEST(Campaign, FilesThatMayNotGrowAreAnErrorOnAllRanks)
{
  const ScratchFolder folder;
  make_reference<Distributed>(folder / "one", 10);
  for (const auto size : group_sizes())
    {
      const auto            store = folder / std::to_string(size);
      Ensemble<Distributed> all(MPI_COMM_WORLD, size, store);
      all.run(4);
      const auto solve = all.model.solve;
      {
        const FileSizeLimit limit;
        // MPI has files of its own: the limit comes when it has made them.
        all.model.solve = [&](const Input &input, Distributed &x) {
          limit.set(4096);
          return solve(input, x);
        };
        expect_refusal(all, 10, folder / "one", {store + "/batch-0", ".h5"});
      }
      // Without the limit it goes on.
      all.model.solve = solve;
      EXPECT_EQ(message_of([&]() { all.run(10); }), "");
      expect_equal_stores(store, folder / "one", 1e3 * PoissonHost::tolerance);
      EXPECT_EQ(files_in(store), files_in(folder / "one"));
    }
}



TEST(Campaign, FullDiskIsAnErrorOnAllRanks)
{
  const ScratchFolder folder;
  make_reference<Distributed>(folder / "one", 40);
  for (const auto size : group_sizes())
    {
      const SmallDisk disk(folder / std::to_string(size), "size=128k");
      if (!disk.why_not.empty())
        GTEST_SKIP() << "no file system can be mounted: " << disk.why_not;
      const auto            store = disk.path + "/store";
      Ensemble<Distributed> all(MPI_COMM_WORLD, size, store);
      EXPECT_EQ(message_of([&]() { all.run(4); }), "");
      expect_refusal(all, 40, folder / "one", {store, "could not be "});
      disk.change(0, "size=16m");
      EXPECT_EQ(message_of([&]() { all.run(40); }), "");
      expect_equal_stores(store, folder / "one", 1e3 * PoissonHost::tolerance);
      EXPECT_EQ(files_in(store), files_in(folder / "one"));
    }
}



TEST(Campaign, ReadOnlyFolderIsAnErrorOnAllRanks)
{
  const ScratchFolder folder;
  make_reference<Distributed>(folder / "one", 8);
  for (const auto size : group_sizes())
    {
      // Permissions do not keep root from writing.
      const bool      is_root = geteuid() == 0;
      const SmallDisk disk(folder / std::to_string(size), "size=16m");
      if (is_root && !disk.why_not.empty())
        GTEST_SKIP() << "no file system can be mounted: " << disk.why_not;
      Ensemble<Distributed> all(MPI_COMM_WORLD, size, disk.path);
      all.run(4);
      const auto set_writable = [&](const bool writable) {
        if (is_root)
          disk.change(writable ? 0 : MS_RDONLY, "");
        MPI_Barrier(MPI_COMM_WORLD);
        if (!is_root && rank() == 0)
          std::filesystem::permissions(disk.path,
                                       std::filesystem::perms(writable ? 0755 :
                                                                         0555));
        MPI_Barrier(MPI_COMM_WORLD);
      };
      set_writable(false);
      expect_refusal(all,
                     8,
                     folder / "one",
                     {disk.path + "/batch-0", "could not be created"});
      set_writable(true);
      EXPECT_EQ(message_of([&]() { all.run(8); }), "");
      expect_equal_stores(disk.path,
                          folder / "one",
                          1e3 * PoissonHost::tolerance);
    }
}



TEST(Campaign, LostFolderIsAnErrorOnAllRanks)
{
  const ScratchFolder folder;
  make_reference<Distributed>(folder / "one", 8);
  for (const auto size : group_sizes())
    {
      const auto            store = folder / std::to_string(size);
      Ensemble<Distributed> all(MPI_COMM_WORLD, size, store);
      const auto            solve = all.model.solve;
      all.model.solve             = [&](const Input &input, Distributed &x) {
        const unsigned int n = solve(input, x);
        // Whoever comes to the last sample takes it away.
        std::error_code ignored;
        if (input == design(7) && all.groups.is_group_root())
          std::filesystem::rename(store, store + "-lost", ignored);
        return n;
      };
      const auto message = message_of([&]() { all.run(8); });
      expect_sentence(message, {store + "/batch-0"});
      EXPECT_TRUE(same_on_all_ranks(message));
      MPI_Barrier(MPI_COMM_WORLD);
      // What is elsewhere now is whole.
      const SnapshotReader lost(store + "-lost", "abc");
      if (lost.size() > 0)
        {
          EXPECT_TRUE(torch::isfinite(lost.read(0, lost.size()).solution)
                        .all()
                        .template item<bool>());
        }
      all.model.solve = solve;
      EXPECT_EQ(message_of([&]() { all.run(8); }), "");
      expect_equal_stores(store, folder / "one", 1e3 * PoissonHost::tolerance);
    }
}
