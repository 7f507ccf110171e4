// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// What it costs to hand out the tasks of a campaign, and how well ranks are
// used. Other ways to call it are for several hosts, see two_hosts.

#include <deal.II/base/mpi.h>

#include <deal.II/distributed/tria.h>

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/fe/fe_q.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/la_parallel_vector.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/campaign.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/task_server.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/random.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <iostream>
#include <numeric>
#include <queue>
#include <string>
#include <thread>

#include "timing.h"

using namespace neuraldeal;

namespace
{
  using HandOut = ProcessGroups::HandOut;

  constexpr unsigned int seed = 1;

  /** A point of time; the same on all ranks of a host. */
  double
  now()
  {
    return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
  }

  void
  keep_busy(const double seconds)
  {
    const double end = now() + seconds;
    while (now() < end)
      ;
  }

  bool
  is_root()
  {
    return dealii::Utilities::MPI::this_mpi_process(MPI_COMM_WORLD) == 0;
  }

  unsigned int
  n_ranks()
  {
    return dealii::Utilities::MPI::n_mpi_processes(MPI_COMM_WORLD);
  }

  void
  print(const std::string &line)
  {
    if (is_root())
      std::cout << line << std::endl;
  }

  /** Log-normal durations with the mean 1 and the median e^(−σ²/2). */
  std::vector<double>
  durations(const unsigned int n, const double sigma)
  {
    std::vector<double> result;
    for (unsigned int i = 0; i < n; ++i)
      result.push_back(std::exp(
        sigma * CounterRandom(seed, CounterRandom::Stream::check, i).normal() -
        sigma * sigma / 2.));
    return result;
  }

  /** Seconds until all ranks are done. */
  double
  seconds(const MPI_Comm communicator, const std::function<void()> &work)
  {
    MPI_Barrier(communicator);
    const double start = now();
    work();
    MPI_Barrier(communicator);
    return now() - start;
  }

  /** What a rank spends on an empty task, in microseconds. */
  double
  overhead(const ProcessGroups &groups, const unsigned int n_tasks)
  {
    std::vector<double> samples;
    for (unsigned int repetition = 0; repetition < 3; ++repetition)
      samples.push_back(seconds(groups.world, [&]() {
        groups.distribute(n_tasks, [](const unsigned int) {});
      }));
    return performance::median(samples) * groups.n_groups() / n_tasks * 1e6;
  }

  /** The parts that handing out could be made of, a row each. */
  void
  print_parts(const unsigned int n)
  {
    MPI_Win        window;
    std::uint64_t *word = nullptr;
    MPI_Win_allocate(is_root() ? 2 * sizeof(*word) : 0,
                     sizeof(*word),
                     MPI_INFO_NULL,
                     MPI_COMM_WORLD,
                     &word,
                     &window);
    MPI_Win_lock_all(0, window);
    if (is_root())
      {
        word[0] = word[1] = 0;
        MPI_Win_sync(window);
      }
    MPI_Barrier(MPI_COMM_WORLD);
    std::uint64_t       value = 0, one = 1;
    int                 number = 0;
    const ProcessGroups groups(MPI_COMM_WORLD, 1, "campaign");
    const auto row = [&](const char *name, const std::function<void()> &part) {
      const double t = seconds(MPI_COMM_WORLD, [&]() {
        for (unsigned int i = 0; i < n; ++i)
          part();
      });
      print(fmt::format("  {:<52} {:8.3f} µs", name, t / n * 1e6));
    };
    row("MPI_Fetch_and_op and MPI_Win_flush, all ranks at once", [&]() {
      MPI_Fetch_and_op(&one, &value, MPI_UINT64_T, 0, 0, MPI_SUM, window);
      MPI_Win_flush(0, window);
    });
    row("MPI_Bcast in a group of one",
        [&]() { MPI_Bcast(&number, 1, MPI_INT, 0, groups.group()); });
    row("MPI_Allreduce in a group of one", [&]() {
      MPI_Allreduce(MPI_IN_PLACE, &number, 1, MPI_INT, MPI_MIN, groups.group());
    });
    row("try_on_group() in a group of one",
        [&]() { groups.try_on_group([]() {}); });
    MPI_Win_unlock_all(window);
    MPI_Win_free(&window);
  }

  struct Service
  {
    double round_trip = 0.; ///< microseconds from a request to its answer
    double service    = 0.; ///< those of the processor that the server spends
  };

  double
  processor_seconds()
  {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
           1e-6 * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  }

  /** By requests to rank 0 while it sleeps, for @p length seconds. */
  Service
  measure_server(const double length)
  {
    TaskServer server(MPI_COMM_WORLD, true);
    AssertThrow(server.is_reachable(), dealii::ExcMessage("no network"));
    MPI_Barrier(MPI_COMM_WORLD);
    const double  end        = now() + length;
    const double  before     = processor_seconds();
    double        spent      = 0.;
    unsigned long n_requests = 0;
    if (is_root())
      {
        std::this_thread::sleep_for(std::chrono::duration<double>(length));
        spent = processor_seconds() - before;
      }
    else
      for (; now() < end; ++n_requests)
        server.fetch_and_add(1, 1);
    const auto n = dealii::Utilities::MPI::sum(n_requests, MPI_COMM_WORLD);
    spent        = dealii::Utilities::MPI::sum(spent, MPI_COMM_WORLD);
    return {1e6 * length * (n_ranks() - 1) / n, 1e6 * spent / n};
  }



  /**
   * Discrete events: @p n_ranks ranks ask one counter, which answers one
   * request at a time, for the tasks in their order.
   *
   * @return the sum of the durations over ranks times the time of the last.
   */
  double
  efficiency(const std::vector<double> &tasks,
             const unsigned int         n_ranks,
             const double               service,
             const double               round_trip)
  {
    // When a request is at the counter; the first is served first.
    const double way = std::max(0., (round_trip - service) / 2.);
    std::priority_queue<double, std::vector<double>, std::greater<double>>
      requests;
    for (unsigned int i = 0; i < n_ranks; ++i)
      requests.push(way);
    double free = 0., last = 0.;
    for (const double task : tasks)
      {
        free = std::max(free, requests.top()) + service;
        requests.pop();
        const double done = free + way + task;
        last              = std::max(last, done);
        requests.push(done + way);
      }
    return std::accumulate(tasks.begin(), tasks.end(), 0.) / (n_ranks * last);
  }



  void
  print_schedules(const Service &measured, nlohmann::json &figures)
  {
    const unsigned int tasks_a_rank = 20;
    const double       sigma        = 1.;
    print(fmt::format("\nSimulated: {} tasks a rank, log-normal durations (σ = "
                      "{}), {:.1f} µs a request, {:.1f} µs round trip:",
                      tasks_a_rank,
                      sigma,
                      measured.service,
                      measured.round_trip));
    print("  ranks   mean 10 ms: in order, longest first   mean 1 s: in order, "
          "longest first   best possible");
    std::ofstream file("schedules.dat");
    file << "# efficiency over ranks; a mean task of 10 ms: in order, longest "
            "first; of 1 s: in order, longest first; no schedule is better\n";
    for (const unsigned int n : {1, 3, 10, 30, 100, 300, 1000, 3000, 10000})
      {
        const auto          unit = durations(n * tasks_a_rank, sigma);
        std::vector<double> e;
        for (const double mean : {0.01, 1.})
          {
            auto tasks = unit;
            for (auto &task : tasks)
              task *= mean;
            for (const bool sorted : {false, true})
              {
                if (sorted)
                  std::sort(tasks.rbegin(), tasks.rend());
                e.push_back(efficiency(tasks,
                                       n,
                                       1e-6 * measured.service,
                                       1e-6 * measured.round_trip));
              }
          }
        // No task is shared: the longest one bounds them all.
        const double sum = std::accumulate(unit.begin(), unit.end(), 0.);
        const double best =
          std::min(1., sum / n / *std::max_element(unit.begin(), unit.end()));
        const auto line = fmt::format("{:7} {:10.4f} {:10.4f} {:10.4f} "
                                      "{:10.4f} {:10.4f}",
                                      n,
                                      e[0],
                                      e[1],
                                      e[2],
                                      e[3],
                                      best);
        print(line);
        file << line << '\n';
        if (n == 1000 || n == 10000)
          {
            const auto name = "_" + std::to_string(n);
            figures["efficiency_short_in_order" + name]      = e[0];
            figures["efficiency_short_longest_first" + name] = e[1];
            figures["efficiency_in_order" + name]            = e[2];
            figures["efficiency_longest_first" + name]       = e[3];
            figures["efficiency_best" + name]                = best;
          }
      }
  }



  void
  benchmark(const bool quick)
  {
    const auto machine = set_threads(1, MPI_COMM_WORLD);
    print(machine);
    nlohmann::json     figures = nlohmann::json::object();
    const unsigned int n_empty = quick ? 20000 : 100000;
    figures["ranks"]           = n_ranks();

    print(fmt::format("\nA group's time for an empty task, {} tasks on {} "
                      "rank(s), median of 3:",
                      n_empty,
                      n_ranks()));
    for (const auto &way :
         {std::make_pair("shared_memory", HandOut::shared_memory),
          std::make_pair("messages", HandOut::messages)})
      {
        const ProcessGroups groups(MPI_COMM_WORLD, 1, "campaign", way.second);
        const double        t = overhead(groups, n_empty);
        print(fmt::format("  {:<52} {:8.3f} µs", way.first, t));
        figures[std::string("microseconds_") + way.first] = t;
      }
    print("What it could be made of:");
    print_parts(n_empty);

    Service server;
    if (n_ranks() > 1)
      {
        server                             = measure_server(quick ? 0.5 : 2.);
        figures["microseconds_server"]     = server.service;
        figures["microseconds_round_trip"] = server.round_trip;
        print(fmt::format("A request to the server while rank 0 sleeps: {:.1f} "
                          "µs of its processor, {:.1f} µs until the answer.",
                          server.service,
                          server.round_trip));
      }

    const unsigned int n_tasks = quick ? 100 : 400;
    const auto         tasks   = durations(n_tasks, 1.5);
    const double       mean    = 0.02;
    print(
      fmt::format("\nA campaign of {} tasks of {} ms in the mean "
                  "(log-normal, σ = 1.5, the longest {:.0f} ms):",
                  n_tasks,
                  1e3 * mean,
                  1e3 * mean * *std::max_element(tasks.begin(), tasks.end())));
    const auto run = [&](const MPI_Comm             communicator,
                         const std::vector<double> &costs) {
      const ProcessGroups groups(communicator, 1, "campaign");
      return seconds(communicator, [&]() {
        groups.distribute(
          n_tasks,
          [&](const unsigned int task) { keep_busy(mean * tasks[task]); },
          {},
          costs);
      });
    };
    double alone = 0.;
    if (is_root())
      alone = run(MPI_COMM_SELF, {});
    MPI_Bcast(&alone, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    const double in_order = run(MPI_COMM_WORLD, {}) / alone,
                 sorted   = run(MPI_COMM_WORLD, tasks) / alone;
    print(fmt::format("  one rank {:.2f} s; {} ranks: {:.4f} of it, longest "
                      "first {:.4f}",
                      alone,
                      n_ranks(),
                      in_order,
                      sorted));
    figures["time_in_order"]      = in_order;
    figures["time_longest_first"] = sorted;

    if (is_root() && n_ranks() > 1)
      print_schedules(server, figures);
    print(nlohmann::json{{"benchmark", "campaign"},
                         {"figures", figures},
                         {"seeds", {seed}},
                         {"machine", machine.substr(0, machine.find('\n'))}}
            .dump());
  }



  /** How long others wait while rank 0 is in a task of five seconds. */
  void
  waiting()
  {
    const ProcessGroups groups(MPI_COMM_WORLD, 1, "campaign");
    double              last = 0., longest = 0., sum = 0.;
    unsigned int        n     = 0;
    const double        start = now();
    groups.distribute(400, [&](const unsigned int) {
      if (is_root())
        {
          keep_busy(5.);
          return;
        }
      if (last > 0.)
        {
          longest = std::max(longest, now() - last);
          sum += now() - last;
          ++n;
        }
      if (now() - start < 4.)
        keep_busy(0.01);
      last = now();
    });
    const auto all  = dealii::Utilities::MPI::max(longest, MPI_COMM_WORLD);
    const auto mean = dealii::Utilities::MPI::sum(sum, MPI_COMM_WORLD) /
                      dealii::Utilities::MPI::sum(n, MPI_COMM_WORLD);
    print(fmt::format("way {}, others waited {:.3f} ms in the mean and {:.3f} "
                      "ms at most for a task while rank 0 was in one of 5 s",
                      int(groups.hand_out()),
                      1e3 * mean,
                      1e3 * all));
  }



  /** A campaign whose solves do nothing but take their time. */
  void
  store(const std::string &folder,
        const unsigned int n_samples,
        const double       seconds_a_solve)
  {
    using VectorType = dealii::LinearAlgebra::distributed::Vector<double>;
    const ProcessGroups groups(MPI_COMM_WORLD, 1, "campaign");
    dealii::parallel::distributed::Triangulation<2> triangulation(
      groups.group());
    dealii::GridGenerator::hyper_cube(triangulation);
    triangulation.refine_global(3);
    const dealii::FE_Q<2> fe(1);
    dealii::DoFHandler<2> dof_handler(triangulation);
    dof_handler.distribute_dofs(fe);
    dealii::AffineConstraints<double> constraints;
    constraints.close();
    const FieldLayout layout(dof_handler, constraints);

    FullOrderModel<VectorType> model;
    model.reinit_vector = [&](VectorType &v) {
      v.reinit(dof_handler.locally_owned_dofs(), groups.group());
    };
    model.solve = [&](const Input &input, VectorType &solution) {
      keep_busy(seconds_a_solve);
      solution = input[0];
      return 1u;
    };
    Campaign<VectorType>::AdditionalData data;
    data.folder         = folder;
    data.batch_size     = 1;
    const auto n_solves = Campaign<VectorType>(model, layout, groups, data)
                            .run(n_samples,
                                 [](const long id) { return Input{1. + id}; },
                                 "two hosts",
                                 {"value"});
    print(fmt::format("{} of {} samples were solved", n_solves, n_samples));
  }
} // namespace



int
main(int argc, char *argv[])
{
  dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  return run_program([&]() {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    const std::string command = arguments.empty() ? "" : arguments[0];
    if (command == "waiting")
      waiting();
    else if (command == "store" && arguments.size() == 4)
      store(arguments[1], std::stoul(arguments[2]), std::stod(arguments[3]));
    else if (command.empty() || command == "quick")
      benchmark(command == "quick");
    else
      throw InputError("campaign",
                       "the command line",
                       command,
                       "nothing, quick, waiting, or store FOLDER SAMPLES "
                       "SECONDS");
  });
}
