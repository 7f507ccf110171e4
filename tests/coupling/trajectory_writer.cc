// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/fe/fe_q.h>

#include <neuraldeal/coupling/campaign.h>
#include <neuraldeal/coupling/trajectory_writer.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <stdexcept>

#include "spaces.h"
#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  using Distributed = LinearAlgebra::distributed::Vector<double>;

  /** An L-shaped mesh with hanging nodes, and its layout. */
  struct Place
  {
    explicit Place(const MPI_Comm     communicator,
                   const unsigned int n_refinements = 2)
      : space(communicator, Spaces::Mesh::l_shape, n_refinements, FE_Q<2>(1))
      , layout(space.dof_handler, space.constraints)
    {}

    /**
     * This rank's values, in canonical order, of state @p k of trajectory
     * @p id: all of them differ.
     */
    torch::Tensor
    state(const long id, const long k) const
    {
      return ((torch::arange(layout.n_values(), torch::kFloat64) + 0.1) *
                std::sqrt(2. + id) +
              std::sqrt(3. + k))
        .slice(0,
               layout.first_value(),
               layout.first_value() + layout.n_local_values())
        .clone();
    }

    template <typename VectorType = Distributed>
    VectorType
    field(const long id, const long k) const
    {
      VectorType result;
      if constexpr (std::is_same_v<VectorType, Vector<double>>)
        result.reinit(space.dof_handler.n_dofs());
      else
        result.reinit(space.dof_handler.locally_owned_dofs(),
                      layout.communicator());
      layout.from_tensor(state(id, k), result);
      return result;
    }

    /** The values that are stored of it: from_tensor() has constraints. */
    torch::Tensor
    stored(const long id, const long k) const
    {
      return layout.to_tensor(field(id, k));
    }

    /** This rank's part of whole fields. */
    torch::Tensor
    mine(const torch::Tensor &fields) const
    {
      return fields.slice(1,
                          layout.first_value(),
                          layout.first_value() + layout.n_local_values());
    }

    Spaces::Space<2> space;
    FieldLayout      layout;
  };

  SnapshotRecord
  record_of(const long id)
  {
    SnapshotRecord result;
    result.id         = id;
    result.parameters = {1. / 3. + id, -0.5 * id};
    result.seconds    = 12.;
    return result;
  }

  double
  time_of(const long k)
  {
    return 0.1 * k;
  }

  /** A trajectory of @p n steps. */
  template <typename VectorType = Distributed>
  void
  write(const SnapshotWriter &store,
        const Place          &place,
        const long            id,
        const long            n,
        const unsigned int    steps_in_memory)
  {
    TrajectoryWriter writer(store, id, steps_in_memory);
    for (long k = 0; k < n; ++k)
      writer.step(time_of(k), place.template field<VectorType>(id, k));
    EXPECT_EQ(writer.n_steps(), n);
    writer.finish(record_of(id));
  }

  StoreDescription
  description()
  {
    StoreDescription result;
    result.campaign        = "by hand";
    result.parameter_names = {"a", "b"};
    result.field_names     = {"temperature"};
    result.field_units     = {"K"};
    return result;
  }

  /** That two stores hold the same trajectories. */
  void
  expect_equal_trajectories(const std::string &a, const std::string &b)
  {
    const SnapshotReader x(a), y(b);
    ASSERT_FALSE(y.trajectory_ids().empty());
    ASSERT_EQ(x.trajectory_ids(), y.trajectory_ids());
    EXPECT_EQ(x.failures(), y.failures());
    for (const long id : y.trajectory_ids())
      {
        const auto times = y.times(id);
        EXPECT_TRUE(torch::equal(x.times(id), times));
        EXPECT_TRUE(torch::equal(x.trajectory_parameters(id),
                                 y.trajectory_parameters(id)));
        EXPECT_TRUE(torch::equal(x.read_steps(id, 0, times.numel()),
                                 y.read_steps(id, 0, times.numel())));
      }
  }
} // namespace



template <typename VectorType>
class TrajectoryWriterTest : public testing::Test
{};

TYPED_TEST_SUITE(TrajectoryWriterTest, Spaces::VectorTypes);



TYPED_TEST(TrajectoryWriterTest, WhatIsWrittenIsRead)
{
  using VectorType                  = TypeParam;
  const auto           communicator = Spaces::communicator_for<VectorType>();
  const ScratchFolder  folder(communicator);
  const Place          place(communicator);
  const SnapshotWriter store(
    folder.path, place.layout, "abcd", "by hand", description());
  place.layout.write(folder / "space.h5", "abcd", {"a", "b"});
  // Files that are full at the end, that are not, and one alone.
  write<VectorType>(store, place, 0, 8, 4);
  write<VectorType>(store, place, 1, 7, 3);
  write<VectorType>(store, place, 2, 2, 5);
  MPI_Barrier(communicator);

  const SnapshotReader reader(folder.path, "abcd");
  EXPECT_EQ(reader.size(), 0);
  EXPECT_EQ(reader.trajectory_ids(), (std::vector<long>{0, 1, 2}));
  EXPECT_EQ(reader.columns("solution", "units"), std::vector<std::string>{"K"});
  const std::vector<long> lengths = {8, 7, 2};
  for (long id = 0; id < 3; ++id)
    {
      EXPECT_TRUE(
        torch::equal(reader.trajectory_parameters(id),
                     torch::tensor(record_of(id).parameters, torch::kFloat64)));
      const auto times = reader.times(id);
      ASSERT_EQ(times.numel(), lengths[id]);
      const auto states = reader.read_steps(id, 0, lengths[id]);
      ASSERT_EQ(states.sizes(),
                (std::vector<long>{lengths[id], place.layout.n_values()}));
      for (long k = 0; k < lengths[id]; ++k)
        {
          EXPECT_EQ(times[k].template item<double>(), time_of(k));
          EXPECT_TRUE(torch::equal(place.mine(states)[k], place.stored(id, k)));
          EXPECT_TRUE(
            torch::equal(reader.read_steps(id, k, k + 1)[0], states[k]));
        }
    }
  EXPECT_TRUE(torch::equal(reader.read_steps(1, 2, 5),
                           reader.read_steps(1, 0, 7).slice(0, 2, 5)));
  expect_sentence(message_of([&]() { reader.read_steps(1, 3, 8); }),
                  {"3, …, 7", "0, …, 6"});
  expect_sentence(message_of([&]() { reader.times(3); }), {"trajectory 3"});

  // The file of all steps, as those see it who do not use the reader.
  const HDF5File file(SnapshotReader::trajectory_folder(folder.path, 1) +
                      "/trajectory.h5");
  EXPECT_EQ(file.shape("time"), std::vector<hsize_t>{7});
  auto whole = torch::empty({7, place.layout.n_values()}, torch::kFloat64);
  file.read_block("solution",
                  0,
                  7,
                  0,
                  place.layout.n_values(),
                  whole.template data_ptr<double>());
  EXPECT_TRUE(torch::equal(whole, reader.read_steps(1, 0, 7)));
}



TEST(TrajectoryWriter, StepsAreSamples)
{
  const ScratchFolder  folder;
  const Place          place(MPI_COMM_WORLD);
  const SnapshotWriter store(
    folder.path, place.layout, "abcd", "by hand", description());
  write(store, place, 3, 5, 2);
  write(store, place, 7, 4, 3);
  MPI_Barrier(MPI_COMM_WORLD);
  const SnapshotReader reader(folder.path);

  using View            = SnapshotReader::TrajectoryView;
  constexpr long factor = SnapshotReader::max_steps;
  for (const auto view : {View::states, View::pairs})
    {
      const long           first = view == View::pairs ? 1 : 0;
      const SnapshotReader steps = reader.trajectories(view);
      std::vector<long>    ids;
      for (const auto &[id, n] : {std::pair<long, long>{3, 5}, {7, 4}})
        for (long k = first; k < n; ++k)
          ids.push_back(id * factor + k);
      ASSERT_EQ(steps.ids(), ids);
      // All at once, and chosen ones in another order.
      std::vector<long> turned(ids.rbegin(), ids.rend());
      for (const auto &samples : {steps, SnapshotReader(steps, turned)})
        {
          const auto snapshots = samples.read(0, samples.size());
          const auto all       = samples.ids();
          for (long i = 0; i < samples.size(); ++i)
            {
              const long id = all[i] / factor, k = all[i] % factor;
              EXPECT_EQ(snapshots.parameters[i][0].item<double>(),
                        record_of(id).parameters[0]);
              EXPECT_EQ(snapshots.parameters[i][1].item<double>(),
                        record_of(id).parameters[1]);
              EXPECT_EQ(snapshots.parameters[i][2].item<double>(), time_of(k));
              EXPECT_TRUE(torch::equal(place.mine(snapshots.solution)[i],
                                       place.stored(id, k)));
              EXPECT_TRUE(
                torch::equal(place.mine(snapshots.prior)[i],
                             view == View::pairs ?
                               place.stored(id, k - 1) :
                               torch::zeros_like(place.stored(id, k))));
            }
        }
      EXPECT_DOUBLE_EQ(steps.mean_seconds(),
                       view == View::pairs ? (4 * 12. / 5 + 3 * 12. / 4) / 7 :
                                             (12. + 12.) / 9);
    }

  // A prior in the place of none; those that are there are left alone.
  EXPECT_TRUE(reader.trajectories(View::states)
                .with_prior(2.)
                .read(0, 9)
                .prior.eq(2.)
                .all()
                .item<bool>());
  EXPECT_TRUE(torch::equal(
    reader.trajectories(View::pairs).with_prior(2.).read(0, 7).prior,
    reader.trajectories(View::pairs).read(0, 7).prior));

  // Pairs of several lengths would say nothing of theirs.
  {
    TrajectoryWriter writer(store, 9);
    for (const double time : {0., 0.1, 0.3})
      writer.step(time, place.field(9, 0));
    writer.finish(record_of(9));
  }
  MPI_Barrier(MPI_COMM_WORLD);
  const SnapshotReader again(folder.path);
  EXPECT_EQ(again.trajectories(View::states).size(), 12);
  expect_sentence(message_of([&]() { again.trajectories(View::pairs); }),
                  {"trajectory-000009", "step 2 has the length 0.2"});
}



TEST(TrajectoryWriter, StoresDoNotDependOnTheNumberOfRanks)
{
  const ScratchFolder folder;
  const auto          write_all = [](const MPI_Comm     communicator,
                            const std::string &path) {
    const Place          place(communicator);
    const SnapshotWriter store(path, place.layout, "abcd", "", description());
    for (long id = 0; id < 3; ++id)
      write(store, place, id, 5, 2);
  };
  if (rank() == 0)
    write_all(MPI_COMM_SELF, folder / "one");
  write_all(MPI_COMM_WORLD, folder / "all");
  MPI_Barrier(MPI_COMM_WORLD);
  expect_equal_trajectories(folder / "all", folder / "one");
}



TEST(TrajectoryWriter, MemoryDoesNotGrowWithTheSteps)
{
  const ScratchFolder  folder;
  const Place          place(MPI_COMM_WORLD, 1);
  const SnapshotWriter store(
    folder.path, place.layout, "abcd", "", description());
  TrajectoryWriter writer(store, 0, 4);
  EXPECT_EQ(writer.memory_consumption(), 0u);
  const auto field = place.field(0, 0);
  for (long k = 0; k < 60; ++k)
    {
      writer.step(time_of(k), field);
      EXPECT_EQ(writer.memory_consumption(),
                4 * (1 + place.layout.n_local_values()) * sizeof(double));
    }
  writer.finish(record_of(0));
  EXPECT_EQ(writer.memory_consumption(), 0u);
}



TEST(TrajectoryWriter, WholeOrAbsent)
{
  const ScratchFolder  folder;
  const Place          place(MPI_COMM_WORLD, 1);
  const SnapshotWriter store(
    folder.path, place.layout, "abcd", "", description());
  const auto expect_nothing = [&]() {
    MPI_Barrier(MPI_COMM_WORLD);
    EXPECT_EQ(SnapshotReader(folder.path).trajectory_ids().size(), 0u);
    EXPECT_EQ(SnapshotReader(folder.path).size(), 0);
    MPI_Barrier(MPI_COMM_WORLD);
  };
  // An exception between steps, some of which are on the disk.
  EXPECT_EQ(message_of([&]() {
              TrajectoryWriter writer(store, 0, 2);
              for (long k = 0; k < 5; ++k)
                writer.step(time_of(k), place.field(0, k));
              expect_nothing();
              EXPECT_FALSE(files_in(folder / "trajectory-000000.tmp").empty());
              MPI_Barrier(MPI_COMM_WORLD);
              throw std::runtime_error("it has diverged");
            }),
            "it has diverged");
  expect_nothing();
  EXPECT_EQ(files_in(folder.path), std::vector<std::string>());
  MPI_Barrier(MPI_COMM_WORLD);

  // What a kill has left is in nobody's way.
  if (rank() == 0)
    {
      std::filesystem::create_directory(folder / "trajectory-000000.tmp");
      std::ofstream(folder / "trajectory-000000.tmp/steps-000007.h5")
        << "half of it";
    }
  MPI_Barrier(MPI_COMM_WORLD);
  expect_nothing();
  write(store, place, 0, 5, 2);
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_EQ(files_in(folder.path),
            std::vector<std::string>{"trajectory-000000"});
  EXPECT_EQ(files_in(folder / "trajectory-000000"),
            (std::vector<std::string>{"steps-000000.h5",
                                      "steps-000001.h5",
                                      "steps-000002.h5",
                                      "trajectory.h5"}));
  MPI_Barrier(MPI_COMM_WORLD);
  // Nor is what is there written over.
  expect_sentence(message_of([&]() { TrajectoryWriter(store, 0); }),
                  {"trajectory-000000", "already"});

  // A part that somebody has removed is missed at once.
  if (rank() == 0)
    std::filesystem::remove(folder / "trajectory-000000/steps-000001.h5");
  MPI_Barrier(MPI_COMM_WORLD);
  expect_sentence(message_of([&]() { SnapshotReader reader(folder.path); }),
                  {"steps-000001.h5", "no such file"});
}



TEST(TrajectoryWriter, MistakesAreSaidOnAllRanks)
{
  const ScratchFolder  folder;
  const Place          place(MPI_COMM_WORLD, 1), finer(MPI_COMM_WORLD, 2);
  const SnapshotWriter store(
    folder.path, place.layout, "abcd", "", description());
  TrajectoryWriter writer(store, 0, 2);
  writer.step(0.5, place.field(0, 0));
  const auto expect_refused = [&](const auto                     &work,
                                  const std::vector<std::string> &parts) {
    const auto message = message_of(work);
    expect_sentence(message, parts);
    EXPECT_TRUE(same_on_all_ranks(message));
    EXPECT_EQ(writer.n_steps(), 1);
  };
  expect_refused([&]() { writer.step(1., finer.field(0, 0)); },
                 {"number of a field's values", "mesh changes"});
  expect_refused([&]() { writer.step(0.5, place.field(0, 0)); },
                 {"time of a step is '0.5'", "beyond 0.5"});
  auto wrong = place.field(0, 0);
  if (rank() + 1 == n_ranks())
    wrong.local_element(0) = std::numeric_limits<double>::quiet_NaN();
  expect_refused([&]() { writer.step(1., wrong); }, {"not finite"});

  // And it can go on.
  writer.step(1., place.field(0, 1));
  writer.finish(record_of(0));
  MPI_Barrier(MPI_COMM_WORLD);
  EXPECT_EQ(SnapshotReader(folder.path).times(0).numel(), 2);

  // Where nothing can be written, that is said, by all.
  const SnapshotWriter nowhere(
    "/proc/nowhere", place.layout, "abcd", "", description());
  const auto message =
    message_of([&]() { TrajectoryWriter other(nowhere, 0); });
  expect_sentence(message, {"/proc/nowhere"});
  EXPECT_TRUE(same_on_all_ranks(message));
}



namespace
{
  /**
   * A host that steps in time: input (a, b) has the states a + b t, at four
   * times and, where a is odd, five. It fails in the third step where b is 2
   * or 3, and has a fallback where b is 3.
   */
  struct TimeHost
  {
    TimeHost(const MPI_Comm     world,
             const unsigned int group_size,
             const std::string &folder)
      : groups(world, group_size, "test.prm")
      , place(groups.group(), 1)
    {
      data.folder          = folder;
      data.trajectories    = true;
      data.steps_in_memory = 2;
      data.max_failures    = 0.5;
      model.reinit_vector  = [&](Distributed &x) {
        x.reinit(place.space.dof_handler.locally_owned_dofs(), groups.group());
      };
      model.solve = [&](const Input &input, Distributed &x) {
        return solve(input, x, true);
      };
      model.fallback_solve = [&](const Input &input, Distributed &x) {
        return solve(input, x, input[1] == 2.);
      };
    }

    unsigned int
    solve(const Input &input, Distributed &x, const bool may_fail)
    {
      ++n_solves;
      const long n = long(input[0]) % 2 == 1 ? 5 : 4;
      for (long k = 0; k < n; ++k)
        {
          if (may_fail && k == 2 && (input[1] == 2. || input[1] == 3.))
            throw std::runtime_error("the third step has diverged");
          x = input[0] + input[1] * time_of(k);
          if (hands_over)
            model.output_step(time_of(k), x);
        }
      return n;
    }

    unsigned int
    run(const unsigned int n)
    {
      return Campaign<Distributed>(model, place.layout, groups, data)
        .run(n,
             [](const long i) {
               return Input{1. + i, double(i)};
             },
             "abcd",
             {"a", "b"});
    }

    ProcessGroups                                  groups;
    Place                                          place;
    FullOrderModel<Distributed>                    model;
    typename Campaign<Distributed>::AdditionalData data;
    unsigned int                                   n_solves   = 0;
    bool                                           hands_over = true;
  };
} // namespace



TEST(TrajectoryWriter, CampaignsOfTrajectories)
{
  const ScratchFolder folder;
  if (rank() == 0)
    TimeHost(MPI_COMM_SELF, 1, folder / "one").run(6);
  MPI_Barrier(MPI_COMM_WORLD);
  for (const auto group_size : group_sizes())
    {
      const auto path = folder / std::to_string(group_size);
      TimeHost   host(MPI_COMM_WORLD, group_size, path);
      // In two parts: what is there, whole or failed, is not solved again.
      EXPECT_EQ(host.run(4), 4u);
      EXPECT_EQ(host.run(6), 2u);
      EXPECT_EQ(host.run(6), 0u);
      expect_equal_trajectories(path, folder / "one");

      const SnapshotReader reader(path, "abcd");
      EXPECT_EQ(reader.trajectory_ids(), (std::vector<long>{0, 1, 3, 4, 5}));
      ASSERT_EQ(reader.failures().size(), 1u);
      EXPECT_EQ(reader.failures()[0].first, 2);
      expect_sentence(reader.failures()[0].second + ".",
                      {"third step has diverged", "the fallback"});
      for (const long id : reader.trajectory_ids())
        {
          const auto times  = reader.times(id);
          const auto states = reader.read_steps(id, 0, times.numel());
          ASSERT_EQ(times.numel(), id % 2 == 0 ? 5 : 4);
          for (long k = 0; k < times.numel(); ++k)
            {
              const double expected = 1. + id + id * time_of(k);
              EXPECT_EQ(times[k].item<double>(), time_of(k));
              EXPECT_EQ(states[k].min().item<double>(), expected);
              EXPECT_EQ(states[k].max().item<double>(), expected);
            }
        }
      for (const auto &name : files_in(path))
        EXPECT_EQ(name.find(".tmp"), std::string::npos) << name;
      const HDF5File solved_again(SnapshotReader::trajectory_folder(path, 3) +
                                  "/trajectory.h5");
      EXPECT_EQ(solved_again.read<std::int64_t>("status")[0], 1);
      const HDF5File failed(SnapshotReader::trajectory_folder(path, 2) +
                            "/trajectory.h5");
      EXPECT_EQ(failed.read<std::int64_t>("steps")[0], 0);
      EXPECT_FALSE(failed.has("solution"));

      // A host that tells no steps has failed, and the user is told why.
      TimeHost silent(MPI_COMM_WORLD, group_size, path + "-silent");
      silent.hands_over           = false;
      silent.model.fallback_solve = nullptr;
      expect_sentence(message_of([&]() { silent.run(1); }), {"output_step()"});
      // In a campaign of solutions they are nobody's.
      TimeHost plain(MPI_COMM_WORLD, group_size, path + "-plain");
      plain.data.trajectories = false;
      EXPECT_EQ(plain.run(2), 2u);
      EXPECT_EQ(SnapshotReader(path + "-plain").size(), 2);
      EXPECT_EQ(SnapshotReader(path + "-plain").trajectory_ids().size(), 0u);
    }
}
