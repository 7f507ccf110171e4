// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// The example that records itself: what it leaves is trained on, and it may be
// killed in the middle of a trajectory.

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/snapshot_reader.h>
#include <neuraldeal/surrogates/training_task.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "job.h"

namespace
{
  using neuraldeal::SnapshotReader;

  std::string
  write_parameters(const std::string &folder,
                   const int          n_trajectories,
                   const int          n_steps)
  {
    const std::string name = folder + "/job.prm";
    std::ofstream(name) << "set Refinements = 4\n"
                        << "set Time steps = " << n_steps << "\n"
                        << "set Trajectories = " << n_trajectories << "\n"
                        << "set Output folder = " << folder << "/recorded\n";
    return name;
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



TEST(RecordedHeat, IsTrainedOn)
{
  const auto folder     = job::make_folder("recorded_heat");
  const auto parameters = write_parameters(folder, 16, 10);
  const auto run =
    job::run_command({PROGRAM, parameters}, folder + "/output.txt");
  ASSERT_EQ(run.status, 0) << run.output;

  const SnapshotReader store(folder + "/recorded/snapshots");
  ASSERT_EQ(store.trajectory_ids(), first_ids(16));
  for (const long id : store.trajectory_ids())
    {
      const auto times  = store.times(id);
      const auto states = store.read_steps(id, 0, times.numel());
      ASSERT_EQ(times.numel(), 11);
      EXPECT_DOUBLE_EQ(times[10].item<double>(), 1.);
      // It is zero where it begins, then there is heat, as much as the
      // diffusivity lets stay: u ≤ max f · t, and ≤ max f / (8 κ), the
      // solution for a constant source on a square being below that.
      EXPECT_EQ(states[0].abs().max().item<double>(), 0.);
      EXPECT_GT(states[10].max().item<double>(), 0.05);
      EXPECT_LT(states[10].max().item<double>(), 10.);
      EXPECT_GT(states[10].min().item<double>(), -1e-2);
    }

  const auto training =
    job::run_command({TRAIN, folder + "/recorded/training.json"},
                     folder + "/training.txt");
  ASSERT_EQ(training.status, 0) << training.output;
  EXPECT_TRUE(std::filesystem::exists(folder + "/recorded/model.safetensors"));
  const std::string before = "relative to the solution: median ";
  const auto        place  = training.output.find(before);
  ASSERT_NE(place, std::string::npos) << training.output;
  // Of trajectories that it has not seen, twelve others being all it has.
  EXPECT_LT(std::stod(training.output.substr(place + before.size())), 20.)
    << training.output;
}



TEST(RecordedHeat, KilledInATrajectory)
{
  const auto whole           = job::make_folder("recorded_whole"),
             killed          = job::make_folder("recorded_killed");
  const job::Command command = {PROGRAM, write_parameters(killed, 3, 30)};
  const std::string  partial =
    killed + "/recorded/snapshots/trajectory-000001.tmp/steps-000001.h5";
  ASSERT_TRUE(
    job::run_and_kill_command(command, killed + "/output.txt", 1, [&]() {
      return std::filesystem::exists(partial);
    }));
  // It has died within: there are steps, and nobody takes them for anything.
  ASSERT_TRUE(std::filesystem::exists(partial));
  EXPECT_EQ(SnapshotReader(killed + "/recorded/snapshots").trajectory_ids(),
            first_ids(1));
  EXPECT_EQ(SnapshotReader(killed + "/recorded/snapshots").size(), 0);

  const auto again = job::run_command(command, killed + "/output.txt");
  ASSERT_EQ(again.status, 0) << again.output;
  EXPECT_EQ(again.output.find("Trajectory 0:"), std::string::npos)
    << again.output;
  EXPECT_NE(again.output.find("Trajectory 1:"), std::string::npos)
    << again.output;
  const auto run = job::run_command({PROGRAM, write_parameters(whole, 3, 30)},
                                    whole + "/output.txt");
  ASSERT_EQ(run.status, 0) << run.output;
  const SnapshotReader a(whole + "/recorded/snapshots"),
    b(killed + "/recorded/snapshots");
  ASSERT_EQ(a.trajectory_ids(), first_ids(3));
  ASSERT_EQ(b.trajectory_ids(), first_ids(3));
  for (const long id : a.trajectory_ids())
    {
      EXPECT_TRUE(torch::equal(a.times(id), b.times(id)));
      EXPECT_TRUE(
        torch::equal(a.trajectory_parameters(id), b.trajectory_parameters(id)));
      EXPECT_TRUE(
        torch::equal(a.read_steps(id, 0, 31), b.read_steps(id, 0, 31)));
    }
  for (const auto &entry :
       std::filesystem::directory_iterator(killed + "/recorded/snapshots"))
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
}
