// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/active_campaign.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/progress.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>

#include "poisson_host.h"
#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  using VectorType = LinearAlgebra::distributed::Vector<double>;
  using Active     = ActiveCampaign<VectorType>;

  constexpr const char *problem = "abc";

  /** What a test throws where the job is killed. */
  struct Killed : std::runtime_error
  {
    Killed()
      : std::runtime_error("killed")
    {}
  };

  /**
   * The host in groups of ranks, with residuals and a quantity of interest, the
   * norm of the solution; and a small loop on it.
   */
  struct Loop
  {
    ProcessGroups                 groups;
    PoissonHost::Host<VectorType> host;
    InputDistribution             inputs;
    FullOrderModel<VectorType>    model;
    Active::AdditionalData        data;

    /** Calls of reinit_vector() on this rank, and the one that kills it. */
    unsigned int n_calls = 0, killed_at = 0;

    Loop(const MPI_Comm     world,
         const unsigned int group_size,
         const std::string &folder)
      : groups(world, group_size, "test.prm")
      , host(groups.group())
      , inputs(host.inputs())
      , model(host.model(/*can_verify=*/true))
    {
      Progress::set_quiet(true);
      model.reinit_vector = [this](VectorType &x) {
        // Campaign and scores call it where one group's end is that of all.
        if (++n_calls == killed_at)
          throw Killed();
        host.fine.reinit(x);
      };
      model.quantity_of_interest = [this](const Input &, const VectorType &x) {
        return host.layout.norm(x);
      };
      data.threshold             = 0.05;
      data.campaign.folder       = folder;
      data.campaign.batch_size   = 2;
      data.campaign.max_failures = 0.9;
      data.n_initial             = 6;
      data.n_solves              = 12;
      data.n_held_out            = 3;
      data.cost                  = "iterations";
      data.source                = "test.prm";
      data.learner               = {{"candidates", 24}, {"round size", 3}};
    }

    Active::Result
    run()
    {
      return Active(model, host.layout, inputs, groups, data).run(problem);
    }

    std::string
    state_file()
    {
      return Active(model, host.layout, inputs, groups, data).state_file();
    }
  };

  std::string
  bytes_of(const std::string &filename)
  {
    std::ifstream in(filename, std::ios::binary);
    return {std::istreambuf_iterator<char>(in),
            std::istreambuf_iterator<char>()};
  }

  /** The same choices, and the same samples, bit for bit. */
  void
  expect_equal(const std::string &folder,
               const std::string &reference,
               const std::string &state_file)
  {
    const auto name =
      "/" + std::filesystem::path(state_file).filename().string();
    EXPECT_FALSE(bytes_of(reference + name).empty());
    EXPECT_EQ(bytes_of(folder + name), bytes_of(reference + name));
    EXPECT_EQ(files_in(folder), files_in(reference));
    const SnapshotReader a(folder, problem), b(reference, problem);
    ASSERT_EQ(a.ids(), b.ids());
    EXPECT_EQ(a.failures(), b.failures());
    ASSERT_GT(a.size(), 0);
    const auto x = a.read(0, a.size()), y = b.read(0, b.size());
    EXPECT_TRUE(torch::equal(x.parameters, y.parameters));
    EXPECT_TRUE(torch::equal(x.prior, y.prior));
    EXPECT_TRUE(torch::equal(x.solution, y.solution));
  }

  /** A loop of the first rank's alone, what all others are compared with. */
  void
  make_reference(const std::string                 &folder,
                 const std::function<void(Loop &)> &change = {})
  {
    if (rank() == 0)
      {
        Loop loop(MPI_COMM_SELF, 1, folder);
        if (change)
          change(loop);
        loop.run();
      }
    MPI_Barrier(MPI_COMM_WORLD);
  }



  TEST(ActiveCampaign, DoesNotDependOnTheNumberOfRanks)
  {
    const ScratchFolder folder;
    for (const std::string acquisition : {"integrated error",
                                          "largest uncertainty",
                                          "power sampling",
                                          "residual",
                                          "U function",
                                          "random"})
      for (const std::string candidates : {"stream", "pool"})
        {
          const auto change = [&](Loop &loop) {
            loop.data.learner["acquisition"]       = acquisition;
            loop.data.learner["feasibility model"] = true;
            loop.data.learner["cost model"]        = "linear";
            loop.data.learner["features"] =
              candidates == "pool" ? "surrogate" : "inputs";
            loop.data.candidates = candidates;
            loop.data.design =
              candidates == "pool" ? "Latin hypercube" : "scrambled Sobol";
          };
          const auto name = acquisition + " " + candidates;
          make_reference(folder / ("one " + name), change);
          Loop all(MPI_COMM_WORLD, 1, folder / ("all " + name));
          change(all);
          const auto result = all.run();
          expect_equal(folder / ("all " + name),
                       folder / ("one " + name),
                       all.state_file());
          EXPECT_EQ(result.end, "all solves are spent");
          EXPECT_EQ(result.n_solved, 15u);
          ASSERT_EQ(result.points.size(), 12u);
          ASSERT_EQ(result.rounds.size(), 3u);
          EXPECT_TRUE(same_on_all_ranks(result.points));

          // No point twice, none that is held out, none in two streams.
          std::set<Input> different(result.points.begin(), result.points.end());
          const Active    active(
            all.model, all.host.layout, all.inputs, all.groups, all.data);
          for (unsigned int i = 0; i < 3; ++i)
            different.insert(active.held_out_input(i));
          EXPECT_EQ(different.size(), 15u);
        }
  }



  // Whatever was finished when the job was killed, it ends with the same
  // choices and the same store.
  TEST(ActiveCampaign, KilledAnywhereItEndsTheSame)
  {
    const ScratchFolder folder;
    make_reference(folder / "one");
    unsigned int n_calls = 0;
    {
      Loop whole(MPI_COMM_WORLD, 1, folder / "whole");
      whole.run();
      // Who does how much of it is another one each time.
      n_calls = Utilities::MPI::max(whole.n_calls, MPI_COMM_WORLD);
      expect_equal(folder / "whole", folder / "one", whole.state_file());
    }
    unsigned int n_killed = 0, n_states = 0;
    const auto   kill = [&](Loop &loop, const unsigned int at) {
      loop.n_calls   = 0;
      loop.killed_at = at;
      try
        {
          loop.run();
          return false;
        }
      catch (const std::exception &error)
        {
          EXPECT_NE(std::string(error.what()).find("killed"), std::string::npos)
            << error.what();
          ++n_killed;
          n_states += !bytes_of(loop.state_file()).empty();
          MPI_Barrier(MPI_COMM_WORLD);
          // A file that it was writing.
          if (rank() == 0)
            for (const std::string &name :
                 {loop.data.campaign.folder + "/batch-000002.h5",
                  loop.state_file()})
              std::ofstream(name + ".tmp") << "half a file";
          MPI_Barrier(MPI_COMM_WORLD);
          return true;
        }
    };
    const unsigned int n_places = 12;
    for (unsigned int place = 0; place < n_places; ++place)
      {
        const auto name = folder / std::to_string(place);
        Loop       loop(MPI_COMM_WORLD, 1, name);
        kill(loop, 1 + place * n_calls / n_places);
        loop.killed_at = 0;
        loop.run();
        expect_equal(name, folder / "one", loop.state_file());
      }
    // Before the first choice, and after.
    EXPECT_GT(n_killed, n_places / 2);
    EXPECT_GT(n_states, 0u);
    EXPECT_GT(n_killed, n_states + 1);

    // Again and again.
    Loop         loop(MPI_COMM_WORLD, 1, folder / "often");
    unsigned int n_starts = 1;
    for (unsigned int at = 1; kill(loop, at); at += 3)
      ASSERT_LT(++n_starts, 100u);
    EXPECT_GT(n_starts, 5u);
    expect_equal(folder / "often", folder / "one", loop.state_file());

    // Without the file of choices they are made once more, and nothing is
    // solved again.
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank() == 0)
      std::filesystem::remove(loop.state_file());
    MPI_Barrier(MPI_COMM_WORLD);
    loop.killed_at = 0;
    EXPECT_EQ(loop.run().n_solved, 0u);
    expect_equal(folder / "often", folder / "one", loop.state_file());
  }



  TEST(ActiveCampaign, GrowsWithItsBudget)
  {
    const ScratchFolder folder;
    make_reference(folder / "one");
    Loop loop(MPI_COMM_WORLD, 1, folder / "all");
    loop.data.n_solves = 6;
    EXPECT_EQ(loop.run().n_solved, 9u);
    loop.data.n_solves = 9;
    EXPECT_EQ(loop.run().n_solved, 3u);
    EXPECT_EQ(loop.run().n_solved, 0u);
    loop.data.n_solves = 12;
    EXPECT_EQ(loop.run().n_solved, 3u);
    expect_equal(folder / "all", folder / "one", loop.state_file());
  }



  // Groups of several ranks hold slices of the fields.
  TEST(ActiveCampaign, GroupsOfRanks)
  {
    const ScratchFolder folder;
    for (const auto size : group_sizes())
      {
        const auto name = folder / std::to_string(size);
        Loop       loop(MPI_COMM_WORLD, size, name);
        const auto result = loop.run();
        EXPECT_EQ(result.points.size(), 12u);
        EXPECT_TRUE(same_on_all_ranks(result.points));
        EXPECT_EQ(SnapshotReader(name, problem).size(), 15);

        // The errors are those of a surrogate that knows whole fields.
        const SnapshotReader store(name, problem);
        const auto           space     = store.read_space();
        const auto           surrogate = make_surrogate("POD kernel regression",
                                              loop.inputs.ranges(),
                                              nlohmann::json::object(),
                                              "a test");
        for (const auto &round : result.rounds)
          {
            std::vector<long> learned, held_out;
            for (const long id : store.ids())
              if (id >= result.first_id &&
                  id < result.first_id + long(round.n_points))
                learned.push_back(id);
              else if (id >= result.first_held_out_id &&
                       id < result.first_held_out_id + 3)
                held_out.push_back(id);
            ASSERT_EQ(learned.size(), round.n_points);
            ASSERT_EQ(held_out.size(), 3u);
            surrogate->fit(SnapshotReader(store, learned),
                           space,
                           Communicator());
            const auto test = SnapshotReader(store, held_out).read(0, 3);
            const auto error =
              space.norm(surrogate->predict(test).mean - test.solution) /
              space.norm(test.solution);
            EXPECT_NEAR(round.mean_error / error.mean().item<double>(),
                        1.,
                        1e-3);
            EXPECT_NEAR(round.error_95 /
                          torch::quantile(error, 0.95).item<double>(),
                        1.,
                        1e-3);
            EXPECT_EQ(round.n_failed, 0u);
          }
      }
  }



  // A table of few candidates, among them held-out ones, ones of the initial
  // design, and one that is there twice: every other one is chosen once.
  TEST(ActiveCampaign, NeverChoosesTwiceOrWhatIsHeldOut)
  {
    const ScratchFolder folder;
    Loop                loop(MPI_COMM_WORLD, 1, folder.path);
    loop.data.n_solves   = 100;
    loop.data.candidates = "table";
    loop.data.table      = {{1., 1., 1., 1.}};
    const Active active(
      loop.model, loop.host.layout, loop.inputs, loop.groups, loop.data);
    const auto design  = make_design("scrambled Sobol", 1, 4, 6, "a test");
    const auto initial = [&](const long i) {
      return loop.inputs.at(design->point(i));
    };
    const std::vector<Input> others = {{0.5, 1., 1., 1.},
                                       {1., 2., 1., 1.},
                                       {1., 1., 2.5, 1.},
                                       {1., 1., 2.5, std::nextafter(1., 2.)}};
    loop.data.table                 = {active.held_out_input(0),
                                       others[0],
                                       initial(4),
                                       others[1],
                                       active.held_out_input(2),
                                       others[2],
                                       others[0],
                                       initial(0),
                                       others[3]};
    const auto result               = loop.run();
    EXPECT_EQ(result.end, "no candidate is left");
    ASSERT_EQ(result.points.size(), 10u);
    for (unsigned int i = 0; i < 6; ++i)
      EXPECT_EQ(result.points[i], initial(i));
    const std::set<Input> chosen(result.points.begin() + 6,
                                 result.points.end());
    EXPECT_EQ(chosen, std::set<Input>(others.begin(), others.end()));
    EXPECT_EQ(loop.run().n_solved, 0u);
  }



  // What is computed of candidates and solutions comes from the store again
  // where a job was killed, or its budget has grown.
  TEST(ActiveCampaign, ResidualsAndQuantitiesAfterAKill)
  {
    const ScratchFolder folder;
    for (const std::string acquisition : {"residual", "U function"})
      {
        const auto change = [&](Loop &loop) {
          loop.data.learner["acquisition"] = acquisition;
        };
        make_reference(folder / (acquisition + " one"), change);
        Loop whole(MPI_COMM_WORLD, 1, folder / (acquisition + " whole"));
        change(whole);
        whole.run();
        const unsigned int n_calls =
          Utilities::MPI::max(whole.n_calls, MPI_COMM_WORLD);
        unsigned int n_killed = 0;
        Loop         loop(MPI_COMM_WORLD, 1, folder / (acquisition + " often"));
        change(loop);
        for (const unsigned int n_solves : {9u, 12u})
          {
            loop.data.n_solves = n_solves;
            for (const unsigned int part : {4u, 2u})
              {
                loop.n_calls   = 0;
                loop.killed_at = n_calls / part;
                n_killed += !message_of([&]() { loop.run(); }).empty();
                MPI_Barrier(MPI_COMM_WORLD);
              }
          }
        loop.killed_at = 0;
        loop.run();
        EXPECT_GT(n_killed, 1u);
        expect_equal(loop.data.campaign.folder,
                     folder / (acquisition + " one"),
                     loop.state_file());
      }
  }



  // The first choice is that of the largest residuals, computed one by one,
  // over the norms of the predictions.
  TEST(ActiveCampaign, ResidualsAreOfThePredictions)
  {
    const ScratchFolder folder;
    if (rank() == 0)
      {
        Loop loop(MPI_COMM_SELF, 1, folder.path);
        loop.data.learner["acquisition"]            = "residual";
        loop.data.learner["acquisition parameters"] = {{"batch", "top"}};
        loop.data.n_solves                          = 9;
        const auto           result                 = loop.run();
        const SnapshotReader store(folder.path, problem);
        std::vector<long>    ids(6);
        for (long i = 0; i < 6; ++i)
          ids[i] = result.first_id + i;
        const auto surrogate = make_surrogate("POD kernel regression",
                                              loop.inputs.ranges(),
                                              nlohmann::json::object(),
                                              "a test");
        surrogate->fit(SnapshotReader(store, ids),
                       store.read_space(),
                       Communicator());
        auto                                 &host = loop.host;
        std::vector<std::pair<double, Input>> residuals;
        for (unsigned int i = 0; i < 24; ++i)
          {
            const Input x =
              loop.inputs.draw(1, CounterRandom::Stream::candidates, i);
            VectorType u, r, representative;
            for (auto *const vector : {&u, &r, &representative})
              host.fine.reinit(*vector);
            loop.model.coarse_solve(x, u);
            const auto prediction = surrogate->predict(
              {torch::tensor(x, torch::kFloat64).unsqueeze(0),
               host.layout.to_tensor(u).unsqueeze(0)});
            host.layout.from_tensor(prediction.mean[0], u);
            host.fine.residual(x, u, r);
            host.fine.riesz_solve(r, representative);
            residuals.emplace_back(std::sqrt(r * representative) /
                                     host.layout.norm(u),
                                   x);
          }
        std::sort(residuals.rbegin(), residuals.rend());
        for (unsigned int i = 0; i < 3; ++i)
          EXPECT_EQ(result.points[6 + i], residuals[i].second);
        // And the scores are their logarithms.
        const auto  state = nlohmann::json::parse(bytes_of(loop.state_file()));
        const auto &decisions = state["learner"]["acquisition"]["decisions"];
        for (unsigned int i = 0; i < 3; ++i)
          EXPECT_NEAR(decisions[i][2].get<double>(),
                      std::log(residuals[i].first),
                      1e-6);
      }
  }



  // Where the quantity is close to the threshold, which random points are not.
  TEST(ActiveCampaign, GoesToTheLimitSurface)
  {
    const ScratchFolder           folder;
    std::map<std::string, double> distance;
    for (const std::string acquisition : {"U function", "random"})
      {
        Loop loop(MPI_COMM_WORLD, 1, folder / acquisition);
        loop.data.learner           = {{"acquisition", acquisition},
                                       {"candidates", 200},
                                       {"round size", 4},
                                       {"surrogate", "none"}};
        loop.data.n_initial         = 12;
        loop.data.n_solves          = 36;
        loop.data.n_held_out        = 0;
        const auto           result = loop.run();
        const SnapshotReader store(loop.data.campaign.folder, problem);
        const auto           norms =
          store.read_space().norm(store.read(0, store.size()).solution);
        ASSERT_EQ(result.points.size(), 36u);
        distance[acquisition] = (norms.slice(0, 12) - loop.data.threshold)
                                  .abs()
                                  .mean()
                                  .item<double>();
      }
    EXPECT_LT(distance["U function"], 0.5 * distance["random"]);
  }



  // What the host cannot compute, on whichever rank of a group, is not chosen
  // and not learned from; the loop goes on.
  TEST(ActiveCampaign, ResidualsAndQuantitiesThatFail)
  {
    const ScratchFolder folder;
    for (const auto size : group_sizes())
      for (const std::string acquisition : {"residual", "U function"})
        {
          Loop       loop(MPI_COMM_WORLD,
                    size,
                    folder / (acquisition + std::to_string(size)));
          const auto last = [&loop]() {
            return rank(loop.groups.group()) + 1 ==
                   n_ranks(loop.groups.group());
          };
          const auto good = loop.model;
          loop.model.residual =
            [&](const Input &x, const VectorType &u, VectorType &r) {
              good.residual(x, u, r);
              if (x[1] > 1.5)
                r = std::numeric_limits<double>::quiet_NaN();
              if (x[0] > 1. && last())
                throw std::runtime_error("no residual");
            };
          loop.model.quantity_of_interest = [&](const Input      &x,
                                                const VectorType &u) {
            const double q = good.quantity_of_interest(x, u);
            if (x[0] > 1. && last())
              throw std::runtime_error("no quantity");
            return x[1] > 1.5 ? std::numeric_limits<double>::infinity() : q;
          };
          loop.data.learner["acquisition"] = acquisition;
          const auto result                = loop.run();
          EXPECT_EQ(result.points.size(), 12u);
          EXPECT_TRUE(same_on_all_ranks(result.points));
          if (acquisition == "residual")
            for (unsigned int i = 6; i < 12; ++i)
              {
                EXPECT_LE(result.points[i][0], 1.);
                EXPECT_LE(result.points[i][1], 1.5);
              }
        }
  }



  // The host tells a cost that the model learns exactly: the budget is kept.
  TEST(ActiveCampaign, BudgetsAndGoals)
  {
    const ScratchFolder folder;
    const auto          cost = [](const Input &x) {
      return 2. * std::pow(x[0], 0.7) / std::sqrt(x[2]);
    };
    const auto change = [&](Loop &loop) {
      const auto solve           = loop.model.solve;
      const auto last            = std::make_shared<double>(0.);
      loop.model.statistic_names = {"work"};
      loop.model.statistics = [last]() { return std::vector<double>{*last}; };
      loop.model.solve      = [=](const Input &input, VectorType &x) {
        *last = cost(input);
        return solve(input, x);
      };
      loop.data.cost                  = "work";
      loop.data.learner["cost model"] = "linear";
      loop.data.n_solves              = 100;
      loop.data.cost_budget           = 30.;
    };
    std::map<double, std::size_t> n_points;
    for (const double power : {0., 1.})
      {
        Loop loop(MPI_COMM_WORLD, 1, folder / std::to_string(power));
        change(loop);
        loop.data.learner["acquisition parameters"] = {{"cost power", power}};
        const auto result                           = loop.run();
        EXPECT_EQ(result.end, "the cost budget is spent");
        double sum = 0.;
        for (const auto &point : result.points)
          sum += cost(point);
        EXPECT_NEAR(sum, result.rounds.back().cost, 1e-9);
        EXPECT_LE(sum, 30.);
        EXPECT_GT(sum, 24.);
        n_points[power] = result.points.size();
      }
    // More of what is cheap.
    EXPECT_GT(n_points[1.], n_points[0.]);

    Loop loop(MPI_COMM_WORLD, 1, folder / "goal");
    loop.data.error_goal = 1.;
    const auto result    = loop.run();
    EXPECT_EQ(result.end, "the error goal is reached");
    EXPECT_EQ(result.points.size(), 6u);
  }



  // The host cannot solve a part of the input space; its coarse problem cannot
  // either in another part. The first is found out, the second is seen.
  TEST(ActiveCampaign, AvoidsWhatFails)
  {
    const ScratchFolder          folder;
    std::map<bool, unsigned int> n_failed;
    for (const bool model : {false, true})
      {
        Loop loop(MPI_COMM_WORLD, 1, folder / (model ? "with" : "without"));
        const auto solve        = loop.model.solve;
        const auto coarse_solve = loop.model.coarse_solve;
        loop.model.solve        = [&](const Input &input, VectorType &x) {
          const auto n = solve(input, x);
          if (input[0] > 1.)
            throw std::runtime_error("the first coefficient is too large");
          return n;
        };
        loop.model.coarse_solve = [&](const Input &input, VectorType &x) {
          coarse_solve(input, x);
          if (input[1] > 1.5)
            throw std::runtime_error("the second coefficient is too large");
        };
        loop.data.n_initial  = 16;
        loop.data.n_solves   = 34;
        loop.data.n_held_out = 0;
        loop.data.learner    = {{"acquisition", "largest uncertainty"},
                                {"candidates", 48},
                                {"round size", 6},
                                {"feasibility model", model}};
        const auto result    = loop.run();
        for (unsigned int i = 16; i < result.points.size(); ++i)
          {
            EXPECT_LE(result.points[i][1], 1.5) << i;
            n_failed[model] += (result.points[i][0] > 1.);
          }
        // All that fails is told, and none of it learned.
        const SnapshotReader store(loop.data.campaign.folder, problem);
        EXPECT_EQ(store.failures().size(), result.rounds.back().n_failed);
        EXPECT_EQ(store.size() + store.failures().size(), 34u);
      }
    // Where nothing is learned, it remains what is known least.
    EXPECT_GT(n_failed[false], 9u);
    EXPECT_LT(n_failed[true], n_failed[false] / 2);
  }



  // Files of loops on one level have nothing in them of levels: they go on with
  // what was there before there were any.
  TEST(ActiveCampaign, WithoutLevelsTheFileSaysNothingOfThem)
  {
    const ScratchFolder folder;
    Loop                loop(MPI_COMM_WORLD, 1, folder.path);
    const auto          result = loop.run();
    EXPECT_TRUE(result.coarser.empty());
    const auto state   = nlohmann::json::parse(bytes_of(loop.state_file()));
    const auto keys_of = [](const nlohmann::json &object) {
      std::set<std::string> keys;
      for (const auto &[key, value] : object.items())
        keys.insert(key);
      return keys;
    };
    using Keys = std::set<std::string>;
    EXPECT_EQ(keys_of(state),
              (Keys{"format",
                    "campaign",
                    "settings",
                    "learner",
                    "points",
                    "expected costs",
                    "rounds"}));
    EXPECT_EQ(keys_of(state["settings"]),
              (Keys{"design",
                    "initial solves",
                    "candidates",
                    "table",
                    "cost",
                    "distribution"}));
    ASSERT_EQ(state["rounds"].size(), 3u);
    for (const auto &round : state["rounds"])
      EXPECT_EQ(
        keys_of(round),
        (Keys{"points", "failed", "cost", "mean error", "error, 95 %"}));
    const auto &decisions = state["learner"]["acquisition"]["decisions"];
    ASSERT_EQ(decisions.size(), 6u);
    for (const auto &decision : decisions)
      EXPECT_EQ(decision.size(), 3u);
    EXPECT_EQ(SnapshotReader(folder.path, problem).campaigns().size(), 2u);
  }



  /** A loop of a host that also solves on a mesh between the two. */
  struct LevelLoop : Loop
  {
    PoissonHost::Problem<Vector<double>> medium;
    Prolongation<2>                      prolongation;
    double                               work = 0.;

    LevelLoop(const MPI_Comm world, const std::string &folder)
      : Loop(world, 1, folder)
      , medium(MPI_COMM_SELF, 6, false)
      , prolongation(medium.get_dof_handler(), host.fine.get_dof_handler())
    {
      data.n_initial = 5;
      data.n_solves  = 9;
      data.learner   = {{"candidates", 16}, {"round size", 2}};
      // Numbers that are the same everywhere, unlike seconds.
      model.statistic_names = {"work"};
      model.statistics      = [this]() { return std::vector<double>{work}; };
      model.solve           = [this, solve = model.solve](const Input &input,
                                                VectorType  &x) {
        const auto n = solve(input, x);
        work         = double(n) * host.fine.get_dof_handler().n_dofs();
        return n;
      };
      data.cost    = "work";
      data.coarser = {{"medium", [this](const Input &input, VectorType &x) {
                         Vector<double> u;
                         medium.reinit(u);
                         const auto n = medium.solve(input, u);
                         work = double(n) * medium.get_dof_handler().n_dofs();
                         prolongation.vmult(x, u);
                         return n;
                       }}};
    }
  };

  /** The same as make_reference(), on levels. */
  void
  make_level_reference(const std::string                      &folder,
                       const std::function<void(LevelLoop &)> &change = {})
  {
    if (rank() == 0)
      {
        LevelLoop loop(MPI_COMM_SELF, folder);
        if (change)
          change(loop);
        loop.run();
      }
    MPI_Barrier(MPI_COMM_WORLD);
  }



  // Inputs and levels: the same on any number of ranks. Whatever is asked for
  // on a level has been solved on those below, in campaigns of their own.
  TEST(ActiveCampaign, LevelsDoNotDependOnTheNumberOfRanks)
  {
    const ScratchFolder folder;
    for (const std::string candidates : {"stream", "pool"})
      {
        const auto change = [&](LevelLoop &loop) {
          loop.data.candidates = candidates;
          if (candidates == "pool")
            {
              loop.data.learner["acquisition"] = "largest uncertainty";
              loop.data.learner["features"]    = "surrogate";
            }
          else
            loop.data.learner["cost model"] = "linear";
        };
        make_level_reference(folder / ("one " + candidates), change);
        LevelLoop all(MPI_COMM_WORLD, folder / ("all " + candidates));
        change(all);
        const auto result = all.run();
        expect_equal(folder / ("all " + candidates),
                     folder / ("one " + candidates),
                     all.state_file());
        EXPECT_TRUE(same_on_all_ranks(result.points));
        EXPECT_LE(result.points.size(), 9u);
        ASSERT_EQ(result.coarser.size(), 1u);
        const auto &coarser = result.coarser[0];
        EXPECT_TRUE(same_on_all_ranks(coarser.points));
        const std::set<Input> different(coarser.points.begin(),
                                        coarser.points.end());
        EXPECT_EQ(different.size(), coarser.points.size());
        for (const auto &point : result.points)
          EXPECT_EQ(different.count(point), 1u);
        // Some inputs are worth a coarser solve and not a full one.
        EXPECT_GT(coarser.points.size(), result.points.size()) << candidates;
        EXPECT_EQ(result.n_solved,
                  3 + coarser.points.size() + result.points.size());

        const SnapshotReader store(all.data.campaign.folder, problem);
        ASSERT_EQ(store.campaigns().size(), 3u);
        const Active active(
          all.model, all.host.layout, all.inputs, all.groups, all.data);
        EXPECT_EQ(coarser.first_id, store.first_id(active.level_name(0)));
        double work = 0.;
        for (const auto &record : store.records())
          if (record.id < result.first_held_out_id ||
              record.id >=
                result.first_held_out_id + SnapshotReader::campaign_size)
            work += record.statistics.at("work");
        EXPECT_NEAR(result.rounds.back().cost / work, 1., 1e-12);
      }
  }



  // The model of the last round, made by hand from what the result says, has
  // the errors that the loop has measured.
  TEST(ActiveCampaign, LevelsAreLearnedTogether)
  {
    const ScratchFolder  folder;
    LevelLoop            loop(MPI_COMM_WORLD, folder.path);
    const auto           result = loop.run();
    const SnapshotReader store(folder.path, problem);
    const auto           ids = [&](const long first, const std::size_t n) {
      std::vector<long> of_it(n);
      std::iota(of_it.begin(), of_it.end(), first);
      return of_it;
    };
    const SnapshotReader fine(store,
                              ids(result.first_id, result.points.size())),
      coarse(store,
             ids(result.coarser[0].first_id, result.coarser[0].points.size())),
      held_out(store, ids(result.first_held_out_id, 3));
    const auto           space = store.read_space();
    const FidelityLevels levels({&coarse, &fine}, space, loop.inputs.ranges());
    // A mesh that is a bit coarser is followed.
    EXPECT_GT(levels.factor(0), 0.5);
    EXPECT_LT(levels.factor(0), 2.);
    MultifidelityModel model([&]() {
      return make_surrogate("POD kernel regression",
                            loop.inputs.ranges(),
                            nlohmann::json::object(),
                            "a test");
    });
    model.fit(levels, space);
    const auto test = held_out.read(0, 3);
    const auto mean = model.predict(test).mean;
    double     sum  = 0.;
    for (long i = 0; i < 3; ++i)
      {
        // As the host gets it: with hanging nodes made exact.
        VectorType difference, solution;
        loop.host.fine.reinit(difference);
        loop.host.fine.reinit(solution);
        loop.host.layout.from_tensor(mean[i] - test.solution[i], difference);
        loop.host.layout.from_tensor(test.solution[i], solution);
        sum += loop.host.layout.norm(difference) /
               loop.host.layout.norm(solution) / 3.;
      }
    EXPECT_NEAR(result.rounds.back().mean_error / sum, 1., 1e-6);
  }



  TEST(ActiveCampaign, LevelsKilledAnywhereEndTheSame)
  {
    const ScratchFolder folder;
    make_level_reference(folder / "one");
    unsigned int n_calls = 0;
    {
      LevelLoop whole(MPI_COMM_WORLD, folder / "whole");
      whole.run();
      n_calls = Utilities::MPI::max(whole.n_calls, MPI_COMM_WORLD);
    }
    unsigned int       n_killed = 0;
    const unsigned int n_places = 4;
    for (unsigned int place = 0; place < n_places; ++place)
      {
        const auto name = folder / std::to_string(place);
        LevelLoop  loop(MPI_COMM_WORLD, name);
        loop.killed_at = 1 + place * n_calls / n_places;
        try
          {
            loop.run();
          }
        catch (const std::exception &error)
          {
            EXPECT_NE(std::string(error.what()).find("killed"),
                      std::string::npos)
              << error.what();
            ++n_killed;
          }
        MPI_Barrier(MPI_COMM_WORLD);
        loop.killed_at = 0;
        loop.run();
        expect_equal(name, folder / "one", loop.state_file());
        EXPECT_EQ(loop.run().n_solved, 0u);
      }
    EXPECT_GE(n_killed, n_places / 2);
  }



  // Full solves are counted, all of them cost; a level may have a cost of its
  // own, and ends the loop where it never comes to a full solve.
  TEST(ActiveCampaign, BudgetsOfLevels)
  {
    const ScratchFolder folder;
    {
      // Costs that are what is expected of them: the budget is kept.
      LevelLoop  loop(MPI_COMM_WORLD, folder / "budget");
      const auto full  = loop.model.solve;
      loop.model.solve = [&](const Input &input, VectorType &x) {
        const auto n = full(input, x);
        loop.work    = 10.;
        return n;
      };
      loop.data.n_solves              = 100;
      loop.data.learner["round size"] = 2;
      loop.data.n_initial             = 4;
      loop.data.cost_budget           = 115.5;
      loop.data.coarser[0].cost       = 1.;
      const auto result               = loop.run();
      EXPECT_EQ(result.end, "the cost budget is spent");
      EXPECT_LE(result.rounds.back().cost, 115.5);
      EXPECT_GT(result.rounds.back().cost, 115.5 - 11.);
      EXPECT_EQ(result.rounds.back().cost,
                10. * result.points.size() + result.coarser[0].points.size());
      ASSERT_GT(result.rounds.size(), 2u);
      for (std::size_t i = 1; i < result.rounds.size(); ++i)
        {
          const auto &round = result.rounds[i], &before = result.rounds[i - 1];
          // A round spends what two full solves cost, and no more than one
          // solve beyond that.
          const double spent = round.cost - before.cost;
          EXPECT_LE(spent, 33.);
          EXPECT_TRUE(spent >= 22. || round.cost > 115.5 - 11.) << i;
          EXPECT_GE(round.n_coarser[0], before.n_coarser[0]);
        }
    }
    {
      // The full solution is the coarser one: no reason for a full solve.
      LevelLoop  loop(MPI_COMM_WORLD, folder / "same");
      const auto medium         = loop.data.coarser[0].solve;
      loop.model.solve          = medium;
      loop.data.coarser[0].cost = 400.;
      loop.data.n_initial       = 4;
      loop.data.n_solves        = 6;
      const auto result         = loop.run();
      EXPECT_EQ(result.end,
                "the coarser levels have cost as much as all full solves may");
      EXPECT_EQ(result.points.size(), 4u);
    }
  }



  // What fails on a coarser level is not tried on the finer one.
  TEST(ActiveCampaign, FailuresOnALevel)
  {
    const ScratchFolder folder;
    LevelLoop           loop(MPI_COMM_WORLD, folder.path);
    const auto          medium = loop.data.coarser[0].solve;
    const auto          full   = loop.model.solve;
    const auto fails = [](const Input &input) { return input[0] > 1.; };
    loop.data.coarser[0].solve = [&](const Input &input, VectorType &x) {
      const auto n = medium(input, x);
      if (fails(input))
        throw std::runtime_error("the coefficient is too large");
      return n;
    };
    loop.model.solve = [&](const Input &input, VectorType &x) {
      EXPECT_FALSE(fails(input));
      return full(input, x);
    };
    loop.data.n_held_out        = 0;
    const auto           result = loop.run();
    const SnapshotReader store(folder.path, problem);
    const auto           n_failing = [&](const std::vector<Input> &points) {
      return std::count_if(points.begin(), points.end(), fails);
    };
    EXPECT_GT(n_failing(result.points), 0);
    EXPECT_EQ(result.rounds.back().n_failed, n_failing(result.points));
    EXPECT_EQ(long(store.failures().size()),
              n_failing(result.points) + n_failing(result.coarser[0].points));
  }



  TEST(ActiveCampaign, SaysWhatIsWrong)
  {
    const ScratchFolder folder;
    Loop                loop(MPI_COMM_WORLD, 1, folder.path);
    const auto          with =
      [&](const std::function<void(Active::AdditionalData &)> &change) {
        auto data = loop.data;
        change(data);
        return message_of([&]() {
          Active(loop.model, loop.host.layout, loop.inputs, loop.groups, data);
        });
      };
    expect_sentence(with([](auto &d) { d.candidates = "lake"; }),
                    {"test.prm", "candidates", "lake", "pool, stream, table"});
    expect_sentence(with([](auto &d) { d.candidates = "table"; }),
                    {"test.prm", "table", "empty"});
    expect_sentence(with([](auto &d) {
                      d.candidates = "table";
                      d.table      = {{1., 2., 3., 4.}, {1., 2., 3.}};
                    }),
                    {"row 1", "1, 2, 3", "4 finite numbers"});
    expect_sentence(with([](auto &d) { d.n_solves = 5; }),
                    {"number of solves", "'5'", "6 or more"});
    expect_sentence(with([](auto &d) { d.cost = "money"; }),
                    {"cost", "money", "seconds, iterations"});
    expect_sentence(with([](auto &d) { d.cost_budget = 0.; }),
                    {"cost budget", "'0'"});
    expect_sentence(with([](auto &d) {
                      d.error_goal = 0.1;
                      d.n_held_out = 0;
                    }),
                    {"held-out", "error goal"});
    expect_sentence(with([](auto &d) { d.design = "dice"; }),
                    {"test.prm", "dice", "Latin hypercube"});
    expect_sentence(with([](auto &d) { d.learner["acquisition"] = "luck"; }),
                    {"test.prm", "luck", "core set"});

    // What the host cannot tell, before anything is solved.
    const auto of_host =
      [&](const std::string                                       &acquisition,
          const std::function<void(FullOrderModel<VectorType> &)> &change) {
        auto data                   = loop.data;
        data.learner["acquisition"] = acquisition;
        auto model                  = loop.model;
        change(model);
        return message_of([&]() {
          Active(model, loop.host.layout, loop.inputs, loop.groups, data);
        });
      };
    expect_sentence(of_host("residual", [](auto &m) { m.residual = nullptr; }),
                    {"test.prm", "acquisition is 'residual'", "riesz_solve"});
    expect_sentence(of_host("residual",
                            [](auto &m) { m.riesz_solve = nullptr; }),
                    {"test.prm", "acquisition is 'residual'", "riesz_solve"});
    for (const std::string acquisition :
         {"U function", "expected feasibility", "expected improvement"})
      expect_sentence(
        of_host(acquisition, [](auto &m) { m.quantity_of_interest = nullptr; }),
        {"test.prm", acquisition, "quantity_of_interest"});
    expect_sentence(
      with([](auto &d) {
        d.learner["acquisition"]            = "power sampling";
        d.learner["acquisition parameters"] = {{"score", "U function"}};
        d.threshold = std::numeric_limits<double>::quiet_NaN();
      }),
      {"test.prm", "threshold is 'nan'", "finite"});
    expect_sentence(with([](auto &d) {
                      d.learner["acquisition"] = "residual";
                      d.learner["surrogate"]   = "none";
                      d.n_held_out             = 0;
                    }),
                    {"test.prm", "surrogate is 'none'", "'residual'"});
    EXPECT_TRUE(with([](auto &d) {
                  d.learner["acquisition"] = "expected improvement";
                  d.threshold = std::numeric_limits<double>::quiet_NaN();
                }).empty());
    const auto level = [](const std::string &name, const double cost) {
      return Active::Level{name,
                           [](const Input &, VectorType &) { return 0u; },
                           cost};
    };
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    expect_sentence(with([&](auto &d) {
                      d.coarser = {level("a", 1.), level("a", 2.)};
                    }),
                    {"test.prm", "name", "'a'", "no other level"});
    expect_sentence(with([&](auto &d) { d.coarser = {level("", unknown)}; }),
                    {"name", "''"});
    expect_sentence(with([&](auto &d) { d.coarser = {level("a", 0.)}; }),
                    {"cost", "level 'a'", "'0'", "positive"});
    expect_sentence(with([&](auto &d) {
                      d.coarser = {{"a", {}, 1.}};
                    }),
                    {"solver", "'a'", "missing"});
    expect_sentence(with([&](auto &d) {
                      d.coarser                = {level("a", 1.)};
                      d.n_held_out             = 0;
                      d.learner["surrogate"]   = "none";
                      d.learner["acquisition"] = "random";
                    }),
                    {"surrogate", "none", "coarser"});

    // A file of choices that is damaged, or not of this store.
    loop.data.n_solves = 9;
    loop.run();
    MPI_Barrier(MPI_COMM_WORLD);
    const auto file  = loop.state_file();
    const auto whole = bytes_of(file);
    const auto after = [&](const std::string &text) {
      MPI_Barrier(MPI_COMM_WORLD);
      if (rank() == 0)
        std::ofstream(file, std::ios::binary) << text;
      MPI_Barrier(MPI_COMM_WORLD);
      return message_of([&]() { loop.run(); });
    };
    expect_sentence(after(whole.substr(0, whole.size() / 2)), {file});
    auto json            = nlohmann::json::parse(whole);
    json["points"][7][0] = 1.25;
    expect_sentence(after(json.dump()), {file, "point 7", "1.25"});
    json = nlohmann::json::parse(whole);
    json["points"].erase(7);
    expect_sentence(after(json.dump()), {file, "points", "damaged"});
    json                    = nlohmann::json::parse(whole);
    json["learner"]["seed"] = 2;
    expect_sentence(after(json.dump()), {file, "seed"});
    EXPECT_EQ(after(whole), "");
  }
} // namespace
