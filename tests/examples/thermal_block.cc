// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// The main job from outside: ranks, kills, algebras.

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/snapshot_reader.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "job.h"

using neuraldeal::SnapshotReader;

namespace
{
  /** The job on one rank, which the others are compared with. */
  const std::string &
  reference()
  {
    static const std::string folder = [] {
      const auto name = job::make_folder("reference");
      job::write_parameters(name);
      const auto result = job::run(name, 1);
      EXPECT_EQ(result.status, 0) << result.output;
      return name;
    }();
    return folder;
  }

  struct Difference
  {
    double parameters, prior, solution;
  };

  /** The largest difference of two stores, relative to the largest value. */
  Difference
  compare_stores(const std::string &a, const std::string &b)
  {
    const SnapshotReader first(a + "/snapshots"), second(b + "/snapshots");
    EXPECT_EQ(first.ids(), second.ids());
    EXPECT_EQ(first.size(), 80);
    EXPECT_TRUE(first.failures().empty());
    Difference result = {0, 0, 0};
    for (long i = 0; i < std::min(first.size(), second.size()); ++i)
      {
        const auto x = first.read(i, i + 1), y = second.read(i, i + 1);
        const auto distance = [](const torch::Tensor &u,
                                 const torch::Tensor &v) {
          return ((u - v).abs().max() / u.abs().max()).item<double>();
        };
        result.parameters =
          std::max(result.parameters, distance(x.parameters, y.parameters));
        result.prior = std::max(result.prior, distance(x.prior, y.prior));
        result.solution =
          std::max(result.solution, distance(x.solution, y.solution));
      }
    return result;
  }

  /** What was decided about each query, and whether it was audited. */
  std::vector<std::vector<std::string>>
  decisions(const std::string &folder)
  {
    return job::decision_log(folder, {"query", "decision", "audited"});
  }

  /**
   * Jobs whose snapshots agree to the solver's tolerance decide the same
   * wherever bound and estimate of both are not within 1e-4 of the tolerance,
   * relative to it; and those numbers agree to that as well.
   */
  void
  expect_equal_decisions(const std::string &a, const std::string &b)
  {
    const auto columns = {"query", "decision", "bound", "estimate"};
    const auto first   = job::decision_log(a, {columns.begin(), columns.end()});
    const auto second  = job::decision_log(b, {columns.begin(), columns.end()});
    ASSERT_EQ(first.size(), 50u);
    ASSERT_EQ(second.size(), 50u);
    for (std::size_t i = 0; i < first.size(); ++i)
      {
        SCOPED_TRACE("query " + first[i][0]);
        bool at_the_threshold = false;
        for (const unsigned int column : {2, 3})
          {
            const double x = std::stod(first[i][column]),
                         y = std::stod(second[i][column]);
            EXPECT_EQ(std::isnan(x), std::isnan(y));
            if (!std::isnan(x))
              {
                EXPECT_NEAR(x, y, 1e-4 * job::tolerance);
              }
            at_the_threshold |=
              std::abs(x - job::tolerance) <= 1e-4 * job::tolerance;
          }
        if (!at_the_threshold)
          {
            EXPECT_EQ(first[i][1], second[i][1]);
          }
      }
  }
} // namespace



TEST(ThermalBlock, SameSnapshotsAndDecisionsOnAnyNumberOfRanks)
{
  const auto expected = decisions(reference());
  ASSERT_EQ(expected.size(), 50u);
  // The tolerance is such that there is something to decide.
  for (const std::string kind : {"accept", "verify", "correct"})
    EXPECT_TRUE(
      std::any_of(expected.begin(),
                  expected.end(),
                  [&](const auto &entries) { return entries[1] == kind; }))
      << kind;
  for (const unsigned int ranks : {2u, 3u})
    {
      const auto folder = job::make_folder("ranks_" + std::to_string(ranks));
      job::write_parameters(folder);
      const auto result = job::run(folder, ranks);
      ASSERT_EQ(result.status, 0) << result.output;
      const auto difference = compare_stores(reference(), folder);
      EXPECT_EQ(difference.parameters, 0.);
      EXPECT_EQ(difference.prior, 0.);
      EXPECT_EQ(difference.solution, 0.);
      EXPECT_EQ(decisions(folder), expected);
    }
}



TEST(ThermalBlock, GroupsOfSeveralRanksSolveAndDecideTheSame)
{
  const auto folder = job::make_folder("groups");
  job::write_parameters(folder, {{"Run/Group size", "2"}});
  const auto result = job::run(folder, 2);
  ASSERT_EQ(result.status, 0) << result.output;
  const auto difference = compare_stores(reference(), folder);
  EXPECT_EQ(difference.parameters, 0.);
  // Every rank solves the coarse problem by itself, whatever the group.
  EXPECT_EQ(difference.prior, 0.);
  // Newton stops at 1e-8 of the load.
  EXPECT_LT(difference.solution, 1e-6);
  EXPECT_GT(difference.solution, 0.);
  expect_equal_decisions(reference(), folder);
}



TEST(ThermalBlock, PETScSolvesAndDecidesTheSame)
{
  const auto folder = job::make_folder("petsc");
  job::write_parameters(folder, {{"Problem/Linear algebra", "PETSc"}});
  const auto result = job::run(folder, 2);
  ASSERT_EQ(result.status, 0) << result.output;
  const auto difference = compare_stores(reference(), folder);
  EXPECT_EQ(difference.prior, 0.);
  EXPECT_LT(difference.solution, 1e-6);
  expect_equal_decisions(reference(), folder);
}



TEST(ThermalBlock, RandomFieldInTwoDimensions)
{
  const auto folder = job::make_folder("random_field");
  job::write_parameters(folder,
                        {{"Problem/Dimension", "2"},
                         {"Problem/Conductivity", "log-normal field"},
                         {"Problem/Modes per direction", "3"},
                         {"Problem/Cells", "32"},
                         {"Adaptive solver/Training solves", "32"}});
  const auto result = job::run(folder, 2);
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(decisions(folder).size(), 50u);
}



// Killed at random instants, and again and again inside a write, the job goes
// on where it was, and ends with the store of the job that nobody disturbed.
TEST(ThermalBlock, GoesOnAfterKills)
{
  namespace fs      = std::filesystem;
  const auto folder = job::make_folder("killed");
  job::write_parameters(folder);
  const fs::path store = folder + "/snapshots";

  const auto count = [&](const std::string &extension) {
    unsigned int    n = 0;
    std::error_code error;
    for (fs::directory_iterator entry(store, error), end; entry != end;
         entry.increment(error))
      n += (entry->path().extension() == extension &&
            entry->path().filename().string().rfind("batch-", 0) == 0);
    return n;
  };

  std::mt19937 random(7);
  unsigned int kills = 0, inside_a_write = 0, most_batches = 0;
  for (unsigned int attempt = 0; attempt < 40 && inside_a_write < 3; ++attempt)
    {
      const bool         wait_for_write = (attempt % 4 != 3);
      const unsigned int batches        = count(".h5");
      const auto         start          = std::chrono::steady_clock::now();
      const auto delay  = std::chrono::milliseconds(1000 + random() % 1500);
      const bool killed = job::run_and_kill(folder, 2, [&]() {
        return wait_for_write ?
                 count(".h5") >= batches + 2 && count(".tmp") > 0 :
                 std::chrono::steady_clock::now() - start > delay;
      });
      if (!killed)
        break;
      ++kills;
      inside_a_write += (count(".tmp") > 0);
      // Nothing that was there is lost.
      EXPECT_GE(count(".h5"), batches);
      most_batches = std::max(most_batches, count(".h5"));
    }
  EXPECT_GE(kills, 3u);
  EXPECT_GE(inside_a_write, 2u);
  EXPECT_GT(most_batches, 0u);

  const auto result = job::run(folder, 2);
  ASSERT_EQ(result.status, 0) << result.output;
  const auto difference = compare_stores(reference(), folder);
  EXPECT_EQ(difference.parameters, 0.);
  EXPECT_EQ(difference.prior, 0.);
  EXPECT_EQ(difference.solution, 0.);
  EXPECT_EQ(count(".tmp"), 0u);
  EXPECT_EQ(decisions(folder), decisions(reference()));
}



// A second run finds everything done: no campaign, no training.
TEST(ThermalBlock, RunsAgainAtOnce)
{
  const auto before = decisions(reference());
  const auto result = job::run(reference(), 1);
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_NE(result.output.find("model was there"), std::string::npos);
  EXPECT_EQ(result.output.find("full solves: "), std::string::npos)
    << "the campaign was run again:\n"
    << result.output;
  EXPECT_EQ(decisions(reference()), before);
}



TEST(ThermalBlock, LeavesWhatItPromises)
{
  for (const char *name : {"results.json",
                           "decisions.csv",
                           "model.safetensors",
                           "accepted.vtu",
                           "report.html",
                           "snapshots/index.h5",
                           "snapshots/space.h5"})
    EXPECT_TRUE(std::filesystem::exists(reference() + "/" + name)) << name;
  std::ifstream file(reference() + "/results.json");
  const auto    json = nlohmann::json::parse(file);
  for (const char *key : {"queries",
                          "full_solves_before_serving",
                          "accepted",
                          "verified",
                          "corrected",
                          "resolved",
                          "checked",
                          "violations",
                          "seconds_full_solve",
                          "seconds_accepted_answer",
                          "equal_error_mesh",
                          "seconds_equal_error_mesh",
                          "seconds_total",
                          "ranks"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["queries"], 50);
  EXPECT_EQ(json["full_solves_before_serving"], 80);
  EXPECT_EQ(json["accepted"].get<int>() + json["verified"].get<int>() +
              json["corrected"].get<int>() + json["resolved"].get<int>() +
              json["audited"].get<int>(),
            50);
}
