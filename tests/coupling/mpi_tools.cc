// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <ATen/Parallel.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  /** What @p groups make of tasks: which, and in which order, by this rank. */
  std::vector<unsigned int>
  tasks_of_this_rank(const ProcessGroups &groups, const unsigned int n_tasks)
  {
    std::vector<unsigned int> tasks;
    groups.distribute(n_tasks,
                      [&](const unsigned int task) { tasks.push_back(task); });
    return tasks;
  }

  using HandOut = ProcessGroups::HandOut;

  constexpr HandOut all_ways[] = {HandOut::automatic,
                                  HandOut::shared_memory,
                                  HandOut::messages,
                                  HandOut::fixed};

  /** Those where who is free gets the next one. */
  constexpr HandOut dynamic_ways[] = {HandOut::shared_memory,
                                      HandOut::messages};

  /** How many groups have done each task. */
  std::vector<unsigned int>
  count(const ProcessGroups             &groups,
        const std::vector<unsigned int> &tasks,
        const unsigned int               n_tasks)
  {
    std::vector<unsigned int> times(n_tasks, 0);
    if (groups.is_group_root())
      for (const auto task : tasks)
        ++times.at(task);
    for (auto &n : times)
      n = Utilities::MPI::sum(n, groups.world);
    return times;
  }
} // namespace



TEST(ProcessGroups, SplitTheRanks)
{
  for (const auto size : group_sizes())
    {
      const ProcessGroups groups(MPI_COMM_WORLD, size, "test.prm");
      EXPECT_EQ(groups.n_groups(), n_ranks() / size);
      EXPECT_EQ(n_ranks(groups.group()), size);
      EXPECT_EQ(groups.is_root(), rank() == 0);
      EXPECT_EQ(groups.is_group_root(), rank() % size == 0);
      // The ranks of a group are neighbours, in their order.
      const auto members = all_gather(rank(), groups.group());
      for (unsigned int i = 0; i < size; ++i)
        EXPECT_EQ(members[i], long(rank() / size * size + i));
    }
}



TEST(ProcessGroups, RefuseASizeThatDoesNotDivide)
{
  for (const unsigned int size : {0u, n_ranks() + 1, 2 * n_ranks() + 1})
    {
      const auto make = [&]() {
        ProcessGroups groups(MPI_COMM_WORLD, size, "test.prm");
      };
      EXPECT_THROW(make(), InputError);
      expect_sentence(message_of(make),
                      {"test.prm",
                       "Group size is '" + std::to_string(size) + "'",
                       "valid is a divisor",
                       std::to_string(n_ranks())});
    }
  if (n_ranks() == 3)
    {
      EXPECT_THROW(ProcessGroups(MPI_COMM_WORLD, 2, "test.prm"), InputError);
    }
}



TEST(ProcessGroups, ChooseHowToHandOut)
{
  for (const auto size : group_sizes())
    for (const auto way : all_ways)
      {
        const ProcessGroups groups(MPI_COMM_WORLD, size, "test.prm", way);
        const auto          expected = (way != HandOut::automatic) ? way :
                                       (size == n_ranks()) ? HandOut::fixed :
                                                             HandOut::shared_memory;
        EXPECT_EQ(groups.hand_out(), expected);
      }
}



TEST(ProcessGroups, DoEveryTaskOnce)
{
  for (const auto size : group_sizes())
    for (const auto way : all_ways)
      {
        const ProcessGroups groups(MPI_COMM_WORLD, size, "test.prm", way);
        for (const unsigned int n_tasks : {0u, 1u, 2u, 100u})
          {
            const auto tasks = tasks_of_this_rank(groups, n_tasks);
            EXPECT_EQ(count(groups, tasks, n_tasks),
                      std::vector<unsigned int>(n_tasks, 1));
            // The whole group does the same, in the order of the tasks.
            EXPECT_TRUE(same_on_all_ranks(tasks, groups.group()));
            EXPECT_TRUE(std::is_sorted(tasks.begin(), tasks.end()));
          }
      }
}



TEST(ProcessGroups, HandOutTasksToWhoIsFree)
{
  // One group takes long over its first task: the others do the rest.
  for (const auto way : dynamic_ways)
    {
      const ProcessGroups       groups(MPI_COMM_WORLD, 1, "test.prm", way);
      std::vector<unsigned int> tasks;
      groups.distribute(30, [&](const unsigned int task) {
        tasks.push_back(task);
        const bool slow = (task == 0);
        std::this_thread::sleep_for(std::chrono::milliseconds(slow ? 1000 : 2));
      });
      EXPECT_EQ(count(groups, tasks, 30), std::vector<unsigned int>(30, 1));
      const bool had_the_slow_one = !tasks.empty() && tasks[0] == 0;
      if (n_ranks() > 1 && had_the_slow_one)
        {
          EXPECT_LT(tasks.size(), 10u);
        }
    }
}



TEST(ProcessGroups, HandOutWhileTheFirstRankIsInATask)
{
  // Rank 0 calls nothing of MPI in its task, which ends when all others are
  // done.
  if (n_ranks() == 1)
    return;
  for (const auto way : dynamic_ways)
    {
      const ScratchFolder       folder;
      const ProcessGroups       groups(MPI_COMM_WORLD, 1, "test.prm", way);
      const unsigned int        n_tasks = 50;
      std::vector<unsigned int> tasks;
      bool                      all_there = true;
      groups.distribute(n_tasks, [&](const unsigned int task) {
        tasks.push_back(task);
        if (rank() > 0)
          {
            // None before the first rank has its task.
            while (!std::filesystem::exists(folder / "0"))
              std::this_thread::yield();
            std::ofstream(folder / ("done" + std::to_string(task)));
            return;
          }
        std::ofstream(folder / "0");
        const auto end =
          std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (files_in(folder.path).size() < n_tasks && all_there)
          {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            all_there = (std::chrono::steady_clock::now() < end);
          }
      });
      EXPECT_TRUE(all_there);
      EXPECT_EQ(count(groups, tasks, n_tasks),
                std::vector<unsigned int>(n_tasks, 1));
      if (rank() == 0)
        {
          EXPECT_EQ(tasks.size(), 1u);
        }
    }
}



TEST(ProcessGroups, DealTasksOutInTurns)
{
  for (const auto size : group_sizes())
    {
      const ProcessGroups       groups(MPI_COMM_WORLD,
                                 size,
                                 "test.prm",
                                 HandOut::fixed);
      std::vector<unsigned int> expected;
      for (unsigned int i = rank() / size; i < 20; i += groups.n_groups())
        expected.push_back(i);
      EXPECT_EQ(tasks_of_this_rank(groups, 20), expected);
    }
}



TEST(ProcessGroups, BeginWithTheLongestTasks)
{
  const double              unknown = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> costs   = {1., 3., 2., unknown, 3., 0.5, 100., 2.};
  const std::vector<unsigned int> order = {3, 6, 1, 4, 2, 7, 0, 5};
  for (const auto size : group_sizes())
    for (const auto way : all_ways)
      {
        const ProcessGroups groups(MPI_COMM_WORLD, size, "test.prm", way);
        // Where ranks do not agree, the first one's count.
        auto mine = costs;
        if (rank() > 0)
          std::reverse(mine.begin(), mine.end());
        std::vector<unsigned int> tasks, reports;
        groups.distribute(
          8,
          [&](const unsigned int task) {
            tasks.push_back(task);
            // So that others have a turn.
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
          },
          [&](const unsigned int n) { reports.push_back(n); },
          mine);
        EXPECT_EQ(count(groups, tasks, 8), std::vector<unsigned int>(8, 1));
        EXPECT_TRUE(same_on_all_ranks(tasks, groups.group()));
        std::vector<unsigned int> places;
        for (const auto task : tasks)
          places.push_back(std::find(order.begin(), order.end(), task) -
                           order.begin());
        EXPECT_TRUE(std::is_sorted(places.begin(), places.end()));
        EXPECT_TRUE(std::is_sorted(reports.begin(), reports.end()));
        if (groups.n_groups() == 1)
          {
            EXPECT_EQ(tasks, order);
          }
        for (unsigned int i = 0; way == HandOut::fixed && i < places.size();
             ++i)
          EXPECT_EQ(places[i], rank() / size + i * groups.n_groups());
      }

  // Nothing to sort.
  const ProcessGroups groups(MPI_COMM_WORLD, 1, "test.prm");
  groups.distribute(0, [](const unsigned int) { FAIL(); }, {}, {});
}



TEST(ProcessGroups, ReportHowFarTheyAre)
{
  for (const auto size : group_sizes())
    {
      const ProcessGroups       groups(MPI_COMM_WORLD, size, "test.prm");
      std::vector<unsigned int> reports;
      groups.distribute(
        10,
        [](const unsigned int) {},
        [&](const unsigned int n) { reports.push_back(n); });
      EXPECT_EQ(reports.empty(), !groups.is_root());
      EXPECT_TRUE(std::is_sorted(reports.begin(), reports.end()));
      if (groups.is_root() && !reports.empty())
        {
          EXPECT_EQ(reports.back(), 10u);
        }
    }
}



TEST(ProcessGroups, TellAllRanksWhatHasFailedOnOne)
{
  const unsigned int n_tasks = 1000;
  for (const auto size : group_sizes())
    for (const auto way : dynamic_ways)
      {
        const ProcessGroups       groups(MPI_COMM_WORLD, size, "test.prm", way);
        std::vector<unsigned int> tasks;
        const auto                message = message_of([&]() {
          groups.distribute(n_tasks, [&](const unsigned int task) {
            tasks.push_back(task);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            // On the last rank of the group that happens to have the task.
            if (task == 5 && rank(groups.group()) + 1 == size)
              throw std::runtime_error("task five is impossible");
          });
        });
        EXPECT_EQ(message, "task five is impossible");

        const auto times = count(groups, tasks, n_tasks);
        EXPECT_LE(*std::max_element(times.begin(), times.end()), 1u);
        // Those handed out before were done, the failing group began none
        // after, and the others have noticed long before the end.
        for (unsigned int task = 0; task <= 5; ++task)
          EXPECT_EQ(times[task], 1u);
        if (std::find(tasks.begin(), tasks.end(), 5u) != tasks.end())
          {
            EXPECT_EQ(tasks.back(), 5u);
          }
        EXPECT_LT(std::accumulate(times.begin(), times.end(), 0u), n_tasks / 2);

        // The groups are as good as new.
        EXPECT_EQ(count(groups, tasks_of_this_rank(groups, 20), 20),
                  std::vector<unsigned int>(20, 1));
      }
}



TEST(ProcessGroups, TellAllRanksWhatHasFailedInTurns)
{
  // Nobody is told before the end: the other groups do all of theirs.
  for (const auto size : group_sizes())
    {
      const ProcessGroups       groups(MPI_COMM_WORLD,
                                 size,
                                 "test.prm",
                                 HandOut::fixed);
      const unsigned int        n_groups = groups.n_groups();
      std::vector<unsigned int> tasks;
      const auto                message = message_of([&]() {
        groups.distribute(30, [&](const unsigned int task) {
          tasks.push_back(task);
          if (task == n_groups && rank(groups.group()) + 1 == size)
            throw std::runtime_error("impossible");
        });
      });
      EXPECT_EQ(message, "impossible");
      const auto times = count(groups, tasks, 30);
      for (unsigned int task = 0; task < 30; ++task)
        EXPECT_EQ(times[task],
                  task % n_groups > 0 || task <= n_groups ? 1u : 0u);
    }
}



TEST(ProcessGroups, FailTogetherWhereAllFail)
{
  for (const auto size : group_sizes())
    for (const auto way : all_ways)
      {
        const ProcessGroups groups(MPI_COMM_WORLD, size, "test.prm", way);
        const auto          message = message_of([&]() {
          groups.distribute(50, [&](const unsigned int) {
            throw InputError("test.prm", "Width", "-1", "a positive number");
          });
        });
        EXPECT_EQ(message,
                  "test.prm: Width is '-1'; valid is a positive number.");
      }
}



TEST(ProcessGroups, TryOnGroup)
{
  for (const auto size : group_sizes())
    {
      const ProcessGroups groups(MPI_COMM_WORLD, size, "test.prm");
      const unsigned int  last = size - 1, me = rank(groups.group());
      EXPECT_EQ(groups.try_on_group([]() {}), "");
      EXPECT_EQ(groups.try_on_group([&]() {
        if (me == last)
          throw std::runtime_error("the last one");
      }),
                "the last one");
      // Two that fail: the first one's word counts.
      EXPECT_EQ(groups.try_on_group([&]() {
        throw std::runtime_error("rank " + std::to_string(me));
      }),
                "rank 0");
      // A failure without words is one as well.
      EXPECT_FALSE(
        groups.try_on_group([&]() { throw std::runtime_error(""); }).empty());
      // Of deal.II's many lines only what has happened.
      const auto message = groups.try_on_group([&]() {
        if (me == last)
          AssertThrow(false, ExcMessage("It does not\n  converge."));
      });
      EXPECT_EQ(message, "It does not converge.");
      // One group's failure is none of the others'.
      const bool first_group = (rank() < size);
      const auto other       = groups.try_on_group([&]() {
        if (first_group)
          throw std::runtime_error("only here");
      });
      EXPECT_EQ(other, first_group ? "only here" : "");
    }
}



TEST(ProcessGroups, OnRoot)
{
  for (const auto size : group_sizes())
    {
      const ProcessGroups groups(MPI_COMM_WORLD, size, "test.prm");
      unsigned int        calls = 0;
      groups.on_root([&]() { ++calls; });
      EXPECT_EQ(calls, rank() == 0 ? 1u : 0u);

      // All ranks say what only the first has seen.
      const auto message = message_of([&]() {
        groups.on_root([&]() {
          ++calls;
          throw InputError("test.prm", "Folder", "/µ", "another\none");
        });
      });
      EXPECT_EQ(message, "test.prm: Folder is '/µ'; valid is another\none.");
      EXPECT_EQ(calls, rank() == 0 ? 2u : 0u);
      // A failure without words is one as well.
      EXPECT_NE(message_of([&]() {
                  groups.on_root([]() { throw std::runtime_error(""); });
                }),
                "");

      // They are as good as new.
      EXPECT_EQ(Utilities::MPI::sum(1u, MPI_COMM_WORLD), n_ranks());
      groups.on_root([&]() { ++calls; });
      EXPECT_EQ(calls, rank() == 0 ? 3u : 0u);
    }
}



TEST(MPITools, FirstMessage)
{
  EXPECT_EQ(first_message("", MPI_COMM_WORLD), "");
  EXPECT_EQ(first_message("from " + std::to_string(rank()), MPI_COMM_WORLD),
            "from 0");
  const bool last = (rank() + 1 == n_ranks());
  EXPECT_EQ(first_message(last ? "the\nlast" : "", MPI_COMM_WORLD),
            "the\nlast");
  const std::string long_text(100000, 'x');
  EXPECT_EQ(first_message(last ? long_text : "", MPI_COMM_WORLD), long_text);
  EXPECT_EQ(first_message(last ? "mine" : "", MPI_COMM_SELF),
            last ? "mine" : "");
}



TEST(MPITools, CommunicatorOfTheSurrogates)
{
  const auto everybody = mpi_communicator(MPI_COMM_WORLD);
  EXPECT_EQ(everybody.rank, int(rank()));
  EXPECT_EQ(everybody.size, int(n_ranks()));

  for (const auto type : {torch::kFloat64, torch::kFloat32})
    {
      auto x = torch::arange(6, type).reshape({2, 3}) * double(rank() + 1);
      everybody.sum(x);
      const double factor = n_ranks() * (n_ranks() + 1) / 2;
      EXPECT_TRUE(
        torch::equal(x, torch::arange(6, type).reshape({2, 3}) * factor));
      EXPECT_EQ(x.scalar_type(), type);
    }
  auto nothing = torch::zeros({0, 3}, torch::kFloat64);
  everybody.sum(nothing);
  EXPECT_EQ(nothing.numel(), 0);

  // Moving a result by adding zeros does not round it.
  const double value = 0.1 + 1e-17;
  auto         moved = torch::zeros({1}, torch::kFloat64);
  if (everybody.owns(n_ranks() - 1))
    moved[0] = value;
  everybody.sum(moved);
  EXPECT_EQ(moved.item<double>(), value);

  // Each unit of work has one owner.
  for (long unit = 0; unit < 10; ++unit)
    EXPECT_EQ(Utilities::MPI::sum(int(everybody.owns(unit)), MPI_COMM_WORLD),
              1);

  // What it cannot add up it refuses on all ranks.
  if (n_ranks() > 1)
    {
      auto transposed = torch::zeros({2, 3}, torch::kFloat64).t();
      auto integers   = torch::zeros({2}, torch::kInt64);
      EXPECT_NE(message_of([&]() { everybody.sum(transposed); }), "");
      EXPECT_NE(message_of([&]() { everybody.sum(integers); }), "");
    }

  const auto alone = mpi_communicator(MPI_COMM_SELF);
  EXPECT_EQ(alone.rank, 0);
  EXPECT_EQ(alone.size, 1);
  auto mine = torch::full({1}, double(rank()), torch::kFloat64);
  alone.sum(mine);
  EXPECT_EQ(mine.item<double>(), rank());
}



TEST(MPITools, RunProgram)
{
  bool has_run = false;
  EXPECT_EQ(run_program([&]() { has_run = true; }), EXIT_SUCCESS);
  EXPECT_TRUE(has_run);
  // With more ranks a failure ends all of them, this test included.
  if (n_ranks() == 1)
    {
      testing::internal::CaptureStderr();
      const int status = run_program(
        []() { AssertThrow(false, ExcMessage("Nothing\n    works.")); });
      EXPECT_EQ(testing::internal::GetCapturedStderr(),
                "\nError: Nothing works.\n");
      EXPECT_EQ(status, EXIT_FAILURE);
    }
}



TEST(MPITools, SetThreads)
{
  const int  before = at::get_num_threads();
  const auto line   = set_threads(1, MPI_COMM_WORLD);
  EXPECT_EQ(at::get_num_threads(), 1);
  const std::string ranks =
    std::to_string(n_ranks()) + (n_ranks() == 1 ? " rank " : " ranks ");
  EXPECT_EQ(line.rfind(ranks + "with 1 thread each", 0), 0u) << line;
  EXPECT_NE(line.find("BLAS"), std::string::npos) << line;
  EXPECT_EQ(line.find("more ranks and threads than cores") != std::string::npos,
            n_ranks() > std::thread::hardware_concurrency())
    << line;
  at::set_num_threads(before);
}
