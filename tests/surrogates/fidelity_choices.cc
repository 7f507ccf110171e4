// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// Choices of candidates and of the level that each is solved on.

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/acquisition/acquisition.h>
#include <neuraldeal/surrogates/acquisition/active_learner.h>
#include <neuraldeal/surrogates/acquisition/error_process.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "square_grid.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  std::vector<std::uint64_t>
  counted(const long n, const std::uint64_t first = 0)
  {
    std::vector<std::uint64_t> result(n);
    std::iota(result.begin(), result.end(), first);
    return result;
  }



  /** Candidates on two levels of which everything is known. */
  Candidates
  known_candidates(const long n)
  {
    Candidates c;
    c.ids         = counted(n);
    c.features    = random_normal({n, 2}, 1);
    c.scale       = random_uniform({n}, 0.1, 1., 2);
    c.feasibility = random_uniform({n}, 0.5, 1., 3);
    c.n_solved    = torch::zeros({n}, torch::kInt64);
    for (const long i : {2, 5, 6})
      c.n_solved[i] = 1;
    c.levels.resize(2);
    for (long l = 0; l < 2; ++l)
      {
        auto      &level = c.levels[l];
        const long m     = l == 0 ? 14 : 8;
        level.cost       = (l == 0 ? 0.25 : 1.) *
                     random_uniform({n}, 0.5, 2., 10 + std::uint64_t(l));
        level.scale =
          random_uniform({n}, 0.1, l == 0 ? 1. : 0.5, 20 + std::uint64_t(l));
        level.chosen_features = random_normal({14, 2}, 30).slice(0, 0, m);
        level.chosen_values   = random_normal({m, 3}, 40 + std::uint64_t(l));
        level.chosen_norms    = random_uniform({m}, 0.5, 2., 50);
        level.factor          = l == 0 ? 0.7 : 1.;
      }
    c.chosen_features = c.levels[1].chosen_features;
    c.cost            = c.levels[0].cost + c.levels[1].cost;
    return c;
  }



  // Against regressions that learn the choices and each pair of a candidate and
  // a level in turn.
  TEST(FidelityChoices, WhatErrorsFallByForTheirCost)
  {
    const long   n = 16, k = 7;
    const double power = 1.5;
    for (const double cost_power : {0., 0.5})
      {
        const auto  c = known_candidates(n);
        Acquisition acquisition("integrated error",
                                {{"features", "as given"},
                                 {"norm", power},
                                 {"cost power", cost_power}},
                                1);
        ASSERT_EQ(acquisition.choose(c, k).size(), std::size_t(k));

        // Those that are solved on no level stand for what will be asked.
        const auto at =
          c.features.index_select(0,
                                  torch::nonzero(c.n_solved == 0).squeeze(1));
        std::vector<ErrorProcess>  errors;
        std::vector<torch::Tensor> sizes, known;
        for (const auto &level : c.levels)
          {
            errors.emplace_back(level.chosen_features,
                                level.chosen_values,
                                level.chosen_norms);
            sizes.push_back(level.factor * level.factor *
                            errors.back().level(at) * errors.back().noise());
            known.push_back(level.chosen_features);
          }
        const auto variances = [&](const long l, const torch::Tensor &points) {
          KernelRegression process(errors[l].covariance());
          process.set_hyperparameters(errors[l].regression().hyperparameters());
          process.add(points,
                      torch::zeros({points.size(0), 1}, torch::kFloat64));
          return sizes[l] * (1. + process.leverage(at));
        };
        const auto sum = [&](const torch::Tensor &squares) {
          return squares.pow(0.5 * power).sum().item<double>();
        };

        auto           n_solved = c.n_solved.clone();
        std::set<long> levels;
        for (const auto &decision : acquisition.decisions())
          {
            long       best = -1, best_level = -1;
            double     score = 0.;
            const auto now   = variances(0, known[0]) + variances(1, known[1]);
            for (long i = 0; i < n; ++i)
              {
                auto   after = now;
                double cost  = 0.;
                for (long l = n_solved[i].item<std::int64_t>(); l < 2; ++l)
                  {
                    after =
                      after - variances(l, known[l]) +
                      variances(l,
                                torch::cat(
                                  {known[l], c.features.slice(0, i, i + 1)}));
                    const double fall = sum(now) - sum(after);
                    cost += c.levels[l].cost[i].item<double>();
                    const double value =
                      std::log(fall * c.feasibility[i].item<double>()) -
                      (cost_power > 0. ? cost_power : 1.) * std::log(cost);
                    if (best < 0 || value > score)
                      {
                        best       = i;
                        best_level = l;
                        score      = value;
                      }
                  }
              }
            EXPECT_EQ(long(decision.id), best);
            EXPECT_EQ(decision.level, best_level);
            EXPECT_NEAR(decision.score, score, 1e-6);
            for (long l = n_solved[best].item<std::int64_t>(); l <= best_level;
                 ++l)
              known[l] =
                torch::cat({known[l], c.features.slice(0, best, best + 1)});
            n_solved[best] = best_level + 1;
            levels.insert(best_level);
          }
        // Something has been compared.
        EXPECT_EQ(levels.size(), 2u);
      }
  }



  // A level of which the finest takes nothing is never paid for; with too few
  // solves to say so, neither.
  TEST(FidelityChoices, WorthlessLevelsAreNotPaidFor)
  {
    for (const bool few : {false, true})
      {
        auto c = known_candidates(16);
        if (few)
          c.levels[1].chosen_features =
            c.levels[1].chosen_features.slice(0, 0, 1),
          c.levels[1].chosen_values = c.levels[1].chosen_norms =
            torch::Tensor();
        else
          c.levels[0].factor = 0.;
        Acquisition acquisition("integrated error",
                                nlohmann::json::object(),
                                1);
        acquisition.choose(c, 6);
        ASSERT_EQ(acquisition.decisions().size(), 6u);
        for (const auto &decision : acquisition.decisions())
          EXPECT_EQ(decision.level, 1);
      }
    // The other way round the finest is not: all that is to be learned is
    // below.
    auto c                    = known_candidates(16);
    c.levels[1].chosen_values = torch::Tensor();
    Acquisition acquisition("integrated error", nlohmann::json::object(), 1);
    acquisition.choose(c, 6);
    for (const auto &decision : acquisition.decisions())
      EXPECT_EQ(decision.level, 0);
  }



  TEST(FidelityChoices, OtherMethodsTakeTheLargestShareForItsCost)
  {
    const auto c = known_candidates(16);
    for (const std::string type :
         {"largest uncertainty", "random", "core set", "power sampling"})
      {
        Acquisition with(type, nlohmann::json::object(), 3),
          without(type, nlohmann::json::object(), 3);
        auto one = c;
        one.levels.clear();
        one.n_solved = torch::Tensor();
        EXPECT_EQ(with.choose(c, 9), without.choose(one, 9)) << type;
        std::set<long> levels;
        for (const auto &decision : with.decisions())
          {
            const long i     = long(decision.id);
            const auto share = [&](const long l) {
              return std::pow(c.levels[l].scale[i].item<double>(), 2);
            };
            const auto cost = [&](const long l) {
              return c.levels[l].cost[i].item<double>();
            };
            const bool first_alone =
              c.n_solved[i].item<std::int64_t>() == 0 &&
              share(0) / cost(0) > (share(0) + share(1)) / (cost(0) + cost(1));
            EXPECT_EQ(decision.level, first_alone ? 0 : 1) << type;
            levels.insert(decision.level);
          }
        EXPECT_EQ(levels.size(), 2u) << type;
      }
  }



  TEST(FidelityChoices, EndByTheirLimits)
  {
    for (const std::string type : {"integrated error", "largest uncertainty"})
      {
        const auto run = [&](const std::function<void(Candidates &)> &change) {
          auto c = known_candidates(16);
          change(c);
          Acquisition acquisition(type, nlohmann::json::object(), 1);
          acquisition.choose(c, 16);
          return acquisition.decisions();
        };
        const auto cost_of = [&](const auto &decisions) {
          const auto c      = known_candidates(16);
          auto       solved = c.n_solved.clone();
          double     result = 0.;
          for (const auto &decision : decisions)
            for (auto &l = solved.data_ptr<std::int64_t>()[decision.id];
                 l <= decision.level;
                 ++l)
              result +=
                c.levels[l].cost[long(decision.id)].template item<double>();
          return result;
        };
        const auto all = run([](auto &) {});
        ASSERT_EQ(all.size(), 16u);
        const auto begins_all = [&](const auto &some) {
          for (std::size_t i = 0; i < some.size(); ++i)
            EXPECT_TRUE(some[i].id == all[i].id &&
                        some[i].level == all[i].level);
          EXPECT_LT(some.size(), all.size());
        };
        const auto some = run([](auto &c) { c.limits.cost = 2.; });
        begins_all(some);
        EXPECT_LE(cost_of(some), 2.);
        EXPECT_GT(cost_of(std::vector<Acquisition::Decision>(
                    all.begin(), all.begin() + some.size() + 1)),
                  2.);

        const auto enough = run([](auto &c) { c.limits.enough = 2.; });
        begins_all(enough);
        EXPECT_GE(cost_of(enough), 2.);
        EXPECT_LT(cost_of(std::vector<Acquisition::Decision>(enough.begin(),
                                                             enough.end() - 1)),
                  2.);

        const auto finest = run([](auto &c) { c.limits.n_finest = 2; });
        begins_all(finest);
        const auto is_finest = [](const auto &d) { return d.level == 1; };
        EXPECT_EQ(std::count_if(finest.begin(), finest.end(), is_finest), 2);
        EXPECT_EQ(all[finest.size()].level, 1);
      }
  }



  // A candidate comes again on a higher level, never on the same; the state
  // says so.
  TEST(FidelityChoices, NoneTwiceOnALevelAndResumed)
  {
    for (const std::string type : {"integrated error", "power sampling"})
      {
        const auto c   = known_candidates(16);
        const auto run = [&](const bool interrupted) {
          Acquisition acquisition(type, nlohmann::json::object(), 5);
          for (unsigned int round = 0; round < 12; ++round)
            {
              acquisition.choose(c, 4);
              if (interrupted)
                // From a file, or as it is in memory.
                acquisition =
                  Acquisition::from_state(round % 2 == 0 ?
                                            nlohmann::json::parse(
                                              acquisition.state().dump()) :
                                            acquisition.state(),
                                          "a file");
            }
          return acquisition;
        };
        const auto acquisition = run(false);
        EXPECT_EQ(run(true).state().dump(), acquisition.state().dump());
        std::map<std::uint64_t, long> levels;
        for (const auto &decision : acquisition.decisions())
          {
            const auto before = levels.find(decision.id);
            if (before != levels.end())
              {
                EXPECT_GT(decision.level, before->second);
              }
            EXPECT_GE(decision.level,
                      c.n_solved[long(decision.id)].item<std::int64_t>());
            levels[decision.id] = decision.level;
          }
        // In the end all are solved on all levels.
        EXPECT_EQ(levels.size(), 16u);
        EXPECT_GT(acquisition.decisions().size(), 16u);
        for (const auto &[id, level] : levels)
          EXPECT_EQ(level, 1) << id;

        auto state = acquisition.state();
        for (auto &decision : state["decisions"])
          decision[3] = 0;
        expect_sentence(message_of<FileError>(
                          [&]() { Acquisition::from_state(state, "a file"); }),
                        {"a file", "decisions"});
      }
  }



  TEST(FidelityChoices, MistakesAreSentences)
  {
    const auto refused = [](const std::function<void(Candidates &)> &change) {
      auto c = known_candidates(16);
      change(c);
      return message_of<InputError>([&]() {
        Acquisition("largest uncertainty", nlohmann::json::object(), 1)
          .choose(c, 2);
      });
    };
    expect_sentence(refused([](auto &c) { c.levels[1].cost.reset(); }),
                    {"cost on level 1", "missing"});
    expect_sentence(refused([](auto &c) { c.levels[0].cost[3] = 0.; }),
                    {"cost on level 0 of row 3", "positive"});
    expect_sentence(refused([](auto &c) { c.levels[0].scale.reset(); }),
                    {"scale on level 0", "missing"});
    expect_sentence(refused([](auto &c) { c.n_solved[3] = 3; }),
                    {"n_solved", "from 0 to 2"});
    expect_sentence(refused([](auto &c) {
                      c.levels[0].chosen_features =
                        c.levels[0].chosen_features.slice(1, 0, 1);
                    }),
                    {"chosen_features on level 0", "[m, 2]"});
  }



  /**
   * A problem on two levels: 1 + Σ_i m_i(y) f_i(x) with functions f_i of two
   * inputs that are not easily learned. The coarser level is the same but for a
   * smooth difference, or something else altogether.
   */
  class TwoLevels
  {
  public:
    TwoLevels()
      : grid(5)
    {
      space.mass = grid.dense_mass().to_sparse();
      space.symmetries.push_back({torch::arange(2), torch::arange(25)});
    }

    Snapshots
    solve(const torch::Tensor &x, const bool fine, const bool follows) const
    {
      const auto points = grid.points();
      const auto a = x.slice(1, 0, 1), b = x.slice(1, 1, 2);
      Snapshots  result;
      result.parameters = x;
      result.prior      = torch::ones({x.size(0), 25}, torch::kFloat64);
      result.solution   = result.prior.clone();
      for (int i = 0; i < 3; ++i)
        {
          auto f = fine || follows ?
                     torch::sin(3. * a + i) * torch::cos(2.5 * b - 2. * i) :
                     torch::cos(2.5 * a + 3. * b + 1. + 2. * i);
          if (!fine && follows)
            f = 0.9 * f + 0.1 * (a + 0.5 * i * b + 0.5 * a * b);
          result.solution =
            result.solution +
            0.2 * f *
              torch::cos(M_PI * i * points[0]).mul(1. + points[1]).unsqueeze(0);
        }
      return result;
    }

    const SquareGrid grid;
    FieldSpace       space;
  };

  const std::vector<InputRange> two_inputs = {{"a", -1., 1., false},
                                              {"b", -1., 1., false}};

  /** Of a coarse solve, where a fine one costs 1. */
  constexpr double coarse_cost = 0.05;

  /** How far a loop has come after a round. */
  struct Record
  {
    double cost;
    long   n_coarse, n_fine;
    double error;
  };

  /** The rounds of a loop until @p budget is spent. */
  std::vector<Record>
  loop(const bool         has_levels,
       const bool         follows,
       const double       budget,
       const std::string &acquisition = "integrated error")
  {
    const TwoLevels problem;
    const auto      test =
      problem.solve(random_uniform({200, 2}, -1., 1., 7), true, follows);
    const auto initial = random_uniform({8, 2}, -1., 1., 8);

    ActiveLearner learner(two_inputs, {{"acquisition", acquisition}}, 1);
    SolvedPoints  points;
    points.inputs     = initial;
    points.fixed_cost = 1.;
    if (has_levels)
      {
        points.coarser.resize(1);
        points.coarser[0].inputs     = initial;
        points.coarser[0].fixed_cost = coarse_cost;
      }
    std::vector<Record> result;
    for (std::uint64_t round = 0;; ++round)
      {
        const SnapshotsInMemory fine(
          problem.solve(points.inputs, true, follows));
        const SnapshotsInMemory             coarse(problem.solve(
          has_levels ? points.coarser[0].inputs : initial, false, follows));
        std::vector<const SnapshotSource *> levels = {&fine};
        if (has_levels)
          levels.insert(levels.begin(), &coarse);
        const auto inputs = random_uniform({128, 2}, -1., 1., 100 + round);
        const auto choice = learner.round(
          levels,
          problem.space,
          points,
          counted(128, 128 * round),
          inputs,
          [](const long begin, const long end) {
            return torch::ones({end - begin, 25}, torch::kFloat64);
          },
          4);
        const double n_coarse =
          has_levels ? points.coarser[0].inputs.size(0) : 0;
        result.push_back(
          {n_coarse * coarse_cost + points.inputs.size(0),
           long(n_coarse),
           points.inputs.size(0),
           (problem.space.norm(learner.surrogate().predict(test).mean -
                               test.solution) /
            problem.space.norm(test.solution))
             .mean()
             .item<double>()});
        if (result.back().cost >= budget)
          return result;
        for (std::size_t i = 0; i < choice.rows.size(); ++i)
          {
            const auto x = inputs.slice(0, choice.rows[i], choice.rows[i] + 1);
            const long first = has_levels ? choice.first_level[i] : 1;
            const long n = has_levels ? long(choice.level_costs[i].size()) : 1;
            for (long l = first; l < first + n; ++l)
              {
                auto &asked  = l == 0 ? points.coarser[0] : points;
                asked.inputs = torch::cat({asked.inputs, x});
                if (has_levels)
                  {
                    EXPECT_EQ(choice.level_costs[i][l - first],
                              l == 0 ? coarse_cost : 1.);
                  }
              }
          }
      }
  }

  // Until the error is that of full solves alone: half of the full solves, and
  // half of the cost with what the coarser ones take, are more than enough.
  TEST(ActiveLearner, CoarserLevelsSpareFullSolves)
  {
    const auto alone = loop(false, true, 32.).back();
    EXPECT_EQ(alone.n_fine, 32);
    for (const std::string acquisition :
         {"integrated error", "largest uncertainty"})
      {
        const auto with = loop(true, true, 12., acquisition);
        const auto there =
          std::find_if(with.begin(), with.end(), [&](const Record &record) {
            return record.error <= alone.error;
          });
        ASSERT_TRUE(there != with.end()) << acquisition;
        EXPECT_LE(2 * there->n_fine, alone.n_fine) << acquisition;
        EXPECT_LE(2. * there->cost, alone.cost) << acquisition;
        EXPECT_GT(there->n_coarse, there->n_fine) << acquisition;
      }
  }



  // A level that is another problem's: what is solved on it goes with full
  // solves, all but a few, and what is learned is hardly worse.
  TEST(ActiveLearner, CoarserLevelsThatSayNothingAreNotPaidFor)
  {
    const auto alone = loop(false, false, 32.).back();
    const auto with  = loop(true, false, 32.).back();
    EXPECT_LT(double(with.n_coarse - with.n_fine) * coarse_cost,
              0.05 * with.cost);
    EXPECT_GT(with.n_fine, 0.9 * alone.n_fine);
    EXPECT_LT(with.error, 1.3 * alone.error);
  }
} // namespace
