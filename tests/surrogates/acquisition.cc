// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/acquisition/acquisition.h>
#include <neuraldeal/surrogates/acquisition/error_process.h>
#include <neuraldeal/surrogates/acquisition/gaussian_scores.h>
#include <neuraldeal/surrogates/kernel_regression.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  using Ids = std::vector<std::uint64_t>;

  torch::Tensor
  row(const std::vector<double> &values)
  {
    return torch::tensor(values, torch::kFloat64);
  }



  /** 0, 1, …, n − 1 */
  Ids
  counted(const long n)
  {
    Ids result(n);
    std::iota(result.begin(), result.end(), 0);
    return result;
  }



  /** Candidates of which everything is known; @p number tells them apart. */
  Candidates
  known_candidates(const long n, const std::uint64_t number, const long m = 6)
  {
    Candidates c;
    c.ids             = counted(n);
    c.features        = random_normal({n, 3}, 10 * number);
    c.chosen_features = random_normal({m, 3}, 10 * number + 1);
    c.scale           = random_uniform({n}, 0.1, 1., 10 * number + 2);
    c.residual        = random_uniform({n}, 0.1, 1., 10 * number + 3);
    c.mean            = random_normal({n}, 10 * number + 4);
    c.deviation       = random_uniform({n}, 0.1, 1., 10 * number + 5);
    c.cost            = random_uniform({n}, 1., 9., 10 * number + 6);
    c.feasibility     = random_uniform({n}, 0.2, 1., 10 * number + 7);
    c.threshold       = 0.2;
    if (m > 0)
      {
        c.chosen_values = random_normal({m, 4}, 10 * number + 8);
        c.chosen_norms  = random_uniform({m}, 0.5, 2., 10 * number + 9);
      }
    return c;
  }



  /** The same candidates, row i of the result being row order[i]. */
  Candidates
  reordered(const Candidates &c, const std::vector<std::int64_t> &order)
  {
    const auto index  = torch::tensor(order, torch::kInt64);
    Candidates result = c;
    for (std::size_t i = 0; i < order.size(); ++i)
      result.ids[i] = c.ids[order[i]];
    for (auto *values : {&result.features,
                         &result.scale,
                         &result.residual,
                         &result.mean,
                         &result.deviation,
                         &result.cost,
                         &result.feasibility,
                         &result.marked})
      if (values->defined())
        *values = values->index_select(0, index);
    return result;
  }



  /** Every method with every way that it has to make a batch. */
  std::vector<std::pair<std::string, nlohmann::json>>
  methods()
  {
    register_acquisitions();
    std::vector<std::pair<std::string, nlohmann::json>> result;
    for (const auto &[name, entry] : AcquisitionRegistry::entries())
      {
        nlohmann::json parameters = nlohmann::json::object();
        bool           batches    = false;
        for (const auto &parameter : entry.parameters)
          {
            EXPECT_GT(parameter.documentation.size(), 20) << parameter.name;
            if (parameter.name == "cost power")
              parameters["cost power"] = 0.5;
            if (parameter.name == "uncertainty power")
              parameters["uncertainty power"] = 1.;
            batches = batches || parameter.name == "batch";
          }
        if (batches)
          for (const char *batch : {"top", "conditioning", "diversity"})
            {
              parameters["batch"]       = batch;
              parameters["pool factor"] = 3;
              result.emplace_back(name, parameters);
            }
        else
          result.emplace_back(name, parameters);
      }
    return result;
  }



  /** Ids and scores as one may compare them bit for bit. */
  std::string
  record(const Acquisition &acquisition)
  {
    return acquisition.state().dump();
  }



  Ids
  chosen_ids(const Acquisition &acquisition)
  {
    Ids result;
    for (const auto &decision : acquisition.decisions())
      result.push_back(decision.id);
    return result;
  }



  /** What one round of one method chooses. */
  Ids
  one_round(const std::string    &type,
            const nlohmann::json &parameters,
            const Candidates     &candidates,
            const long            k)
  {
    Acquisition acquisition(type, parameters, 1);
    acquisition.choose(candidates, k);
    return chosen_ids(acquisition);
  }



  /** The chance of a χ² with @p n degrees of freedom to be larger. */
  double
  tail(const double chi_square, const double n)
  {
    return at::special_gammaincc(torch::tensor(0.5 * n, torch::kFloat64),
                                 torch::tensor(0.5 * chi_square,
                                               torch::kFloat64))
      .item<double>();
  }



  TEST(Acquisition, AllNamesAreThere)
  {
    std::set<std::string> names;
    for (const auto &[name, parameters] : methods())
      names.insert(name);
    EXPECT_EQ(names,
              (std::set<std::string>{"random",
                                     "largest uncertainty",
                                     "power sampling",
                                     "largest cluster",
                                     "integrated error",
                                     "core set",
                                     "residual",
                                     "U function",
                                     "expected feasibility",
                                     "expected improvement"}));
  }



  // Rounds until nothing is left: every candidate once, but those marked.
  TEST(Acquisition, NoneTwiceAndNoneMarked)
  {
    const long n = 23;
    for (const auto &[name, parameters] : methods())
      {
        auto c   = known_candidates(n, 1);
        c.marked = torch::arange(n).remainder(5).eq(2);
        Acquisition    acquisition(name, parameters, 3);
        std::set<long> rows;
        for (unsigned int round = 0; round < 5; ++round)
          {
            const auto more = acquisition.choose(c, 4);
            EXPECT_EQ(more.size(), round < 4 ? 4 : 2) << name;
            for (const long r : more)
              {
                EXPECT_TRUE(rows.insert(r).second) << name;
                EXPECT_NE(r % 5, 2) << name;
              }
          }
        EXPECT_TRUE(acquisition.choose(c, 4).empty()) << name;
        EXPECT_EQ(acquisition.n_rounds(), 6);
      }
  }



  // Every row is returned where the ids say it is, and the same ids with the
  // same scores come from any order. Some candidates are equal in all.
  TEST(Acquisition, OrderOfCandidatesIsOfNoInfluence)
  {
    const long n = 40;
    for (const auto &[name, parameters] : methods())
      {
        auto c = known_candidates(n, 2);
        for (auto *values : {&c.features,
                             &c.scale,
                             &c.residual,
                             &c.mean,
                             &c.deviation,
                             &c.cost,
                             &c.feasibility})
          values->slice(0, 30, 40).copy_(values->slice(0, 10, 20).clone());
        for (auto &id : c.ids)
          id = (id * 17) % 101;
        Acquisition first(name, parameters, 5);
        for (unsigned int round = 0; round < 3; ++round)
          first.choose(c, 5);
        for (std::uint64_t draw = 0; draw < 3; ++draw)
          {
            const auto permutation =
              CounterRandom(1, CounterRandom::Stream::check, draw)
                .permutation(n);
            const auto other =
              reordered(c, {permutation.begin(), permutation.end()});
            Acquisition second(name, parameters, 5);
            for (unsigned int round = 0; round < 3; ++round)
              {
                const auto rows = second.choose(other, 5);
                for (unsigned int i = 0; i < 5; ++i)
                  EXPECT_EQ(other.ids[rows[i]],
                            second.decisions()[5 * round + i].id);
              }
            EXPECT_EQ(record(first), record(second)) << name;
          }
      }
  }



  TEST(Acquisition, SmallestIdAmongEqualOnes)
  {
    Candidates c;
    c.ids          = {9, 4, 7, 2, 11};
    const auto one = torch::ones({5}, torch::kFloat64);
    c.features     = torch::ones({5, 2}, torch::kFloat64);
    c.scale = c.residual = c.mean = c.deviation = c.cost = c.feasibility = one;
    c.threshold                                                          = 1.5;
    for (const auto &[name, parameters] : methods())
      if (name != "random" && name != "power sampling")
        {
          Acquisition acquisition(name, parameters, 1);
          acquisition.choose(c, 3);
          EXPECT_EQ(chosen_ids(acquisition), (Ids{2, 4, 7})) << name;
        }
  }



  // Stopped after any round and in between, with what is known changing from
  // round to round as it does when a surrogate learns.
  TEST(Acquisition, ResumedIsUninterrupted)
  {
    const TemporaryFolder folder;
    const auto            file = folder / "state.json";
    for (const auto &[name, parameters] : methods())
      {
        Acquisition uninterrupted(name, parameters, 0xfedcba9876543210);
        Acquisition stopped = uninterrupted;
        for (unsigned int round = 0; round < 5; ++round)
          {
            auto c = known_candidates(60, 20 + round, 2 * round);
            if (round == 3) // a score of −∞ has to survive as well
              c.feasibility = torch::zeros({60}, torch::kFloat64);
            const auto rows = uninterrupted.choose(c, round);
            // (A disk takes its time: not all of them go through a file.)
            const bool by_file = name == "power sampling";
            if (by_file)
              stopped.save(file);
            Acquisition resumed =
              by_file ? Acquisition::load(file) :
                        Acquisition::from_state(nlohmann::json::parse(
                                                  stopped.state().dump()),
                                                "the test");
            EXPECT_EQ(resumed.choose(c, round), rows) << name;
            EXPECT_EQ(record(resumed), record(uninterrupted)) << name;
            ASSERT_EQ(resumed.decisions().size(),
                      uninterrupted.decisions().size());
            for (std::size_t i = 0; i < resumed.decisions().size(); ++i)
              EXPECT_EQ(resumed.decisions()[i].score,
                        uninterrupted.decisions()[i].score);
            stopped = resumed;
          }
        EXPECT_EQ(uninterrupted.decisions().size(), 10);
      }
  }



  TEST(Acquisition, RandomIsUniformAndOfItsSeed)
  {
    const long                              n = 6, n_draws = 3000;
    Candidates                              c;
    std::map<std::pair<long, long>, double> counts;
    c.ids = counted(n);
    for (long seed = 0; seed < n_draws; ++seed)
      {
        Acquisition acquisition("random", nlohmann::json::object(), seed);
        const auto  rows = acquisition.choose(c, 2);
        ++counts[{rows[0], rows[1]}];
      }
    ASSERT_EQ(counts.size(), n * (n - 1));
    const double expected   = double(n_draws) / double(n * (n - 1));
    double       chi_square = 0;
    for (const auto &[pair, count] : counts)
      chi_square += (count - expected) * (count - expected) / expected;
    EXPECT_GT(tail(chi_square, n * (n - 1) - 1), 1e-4);
    EXPECT_LT(tail(chi_square, n * (n - 1) - 1), 1. - 1e-4);
  }



  // Rounds of a loop, too, are independent draws; a candidate's number does
  // not depend on which others there are.
  TEST(Acquisition, RoundsAreIndependent)
  {
    double     mean = 0, product = 0;
    const long n = 4000;
    for (long id = 0; id < n; ++id)
      {
        const double a = RoundRandom(7, 0).uniform(id) - 0.5,
                     b = RoundRandom(7, 1).uniform(id) - 0.5;
        mean += (a + b) / (2. * n);
        product += 12. * a * b / n;
      }
    EXPECT_LT(std::abs(mean), 4. / std::sqrt(24. * n));
    EXPECT_LT(std::abs(product), 4. / std::sqrt(double(n)));

    auto       c   = known_candidates(30, 3);
    const auto all = one_round("power sampling", {{"power", 2.}}, c, 30);
    c.marked       = torch::zeros({30}, torch::kBool);
    c.marked[long(all[3])] = true;
    auto without           = all;
    without.erase(without.begin() + 3);
    EXPECT_EQ(one_round("power sampling", {{"power", 2.}}, c, 30), without);
  }



  // Pairs without replacement: P(i, j) = p_i p_j/(1 − p_i) with p the softmax
  // of β log s.
  TEST(Acquisition, PowerSamplingIsSoftmaxWithoutReplacement)
  {
    const long   n = 5, n_draws = 4000;
    const double beta = 1.7;
    Candidates   c;
    c.ids        = {3, 8, 1, 40, 22};
    c.scale      = row({0.5, 0.2, 0.9, 0.4, 0.6});
    const auto p = torch::softmax(beta * c.scale.log(), 0);

    std::map<std::pair<long, long>, double> counts;
    for (long seed = 0; seed < n_draws; ++seed)
      {
        Acquisition acquisition("power sampling", {{"power", beta}}, seed);
        const auto  rows = acquisition.choose(c, 2);
        ++counts[{rows[0], rows[1]}];
      }
    double chi_square = 0;
    for (long i = 0; i < n; ++i)
      for (long j = 0; j < n; ++j)
        if (i != j)
          {
            const double p_i = p[i].item<double>(), p_j = p[j].item<double>();
            const double expected = n_draws * p_i * p_j / (1. - p_i);
            ASSERT_GT(expected, 5.);
            const double count = counts[{i, j}];
            chi_square += (count - expected) * (count - expected) / expected;
          }
    EXPECT_GT(tail(chi_square, n * (n - 1) - 1), 1e-4);
    EXPECT_LT(tail(chi_square, n * (n - 1) - 1), 1. - 1e-4);
  }



  TEST(Acquisition, PowerSamplingBetweenRandomAndTheLargest)
  {
    const auto c    = known_candidates(30, 4);
    const auto best = one_round("expected improvement",
                                {{"goal", "maximize"}, {"batch", "top"}},
                                c,
                                5);
    EXPECT_EQ(one_round("power sampling",
                        {{"power", 1e6},
                         {"score", "expected improvement"},
                         {"score parameters", {{"goal", "maximize"}}}},
                        c,
                        5),
              best);
    // With β = 0 the order is that of the random numbers.
    EXPECT_EQ(one_round("power sampling", {{"power", 0.}}, c, 30),
              one_round("random", nlohmann::json::object(), c, 30));
  }



  // "top" is the order of the score in its closed form.
  TEST(Acquisition, ScoresGiveTheOrder)
  {
    const long                                 n = 50;
    const auto                                 c = known_candidates(n, 5);
    const auto                                 m = c.mean, s = c.deviation;
    const std::map<std::string, torch::Tensor> scores = {
      {"largest uncertainty", c.scale},
      {"residual", c.residual},
      // small U first
      {"U function", torch::erfc((m - 0.2).abs() / s / std::sqrt(2.)) / 2.},
      {"expected feasibility",
       gaussian_scores::log_expected_feasibility(m, s, 0.2).exp()},
      {"expected improvement",
       gaussian_scores::log_expected_improvement(m, s, 0.2).exp()}};
    for (const auto &[name, score] : scores)
      for (const double power : {0., 1., 2.})
        {
          Acquisition acquisition(name,
                                  {{"batch", "top"}, {"cost power", power}},
                                  1);
          acquisition.choose(c, n);
          const auto weighted =
            score * c.feasibility / torch::pow(c.cost, power);
          const auto order = weighted.argsort(0, true);
          for (long i = 0; i < n; ++i)
            {
              const auto &decision = acquisition.decisions()[i];
              EXPECT_EQ(decision.id, order[i].item<std::int64_t>()) << name;
              EXPECT_NEAR(decision.score,
                          std::log(weighted[order[i]].item<double>()),
                          1e-9)
                << name;
            }
        }
    // U itself, where its probability is below the smallest number
    Candidates far;
    far.ids       = counted(4);
    far.mean      = row({90., 50., -60., 300.});
    far.deviation = row({1., 1., 1., 1.});
    far.threshold = 0.;
    EXPECT_EQ(one_round("U function", {{"batch", "top"}}, far, 4),
              (Ids{1, 2, 0, 3}));
    // the goal
    EXPECT_EQ(one_round("expected improvement",
                        {{"goal", "maximize"}, {"batch", "top"}},
                        far,
                        4),
              (Ids{3, 0, 1, 2}));
  }



  // Against a regression that learns the choices one by one, from the start.
  TEST(Acquisition, ConditioningIsThatOfAGaussianProcess)
  {
    const long n = 40, k = 12;
    for (const long m : {0, 7})
      {
        auto c             = known_candidates(n, 6, m);
        c.feasibility      = torch::Tensor();
        const double noise = 1e-3, length = 0.8;
        for (const std::string name : {"largest uncertainty", "U function"})
          {
            Acquisition acquisition(name,
                                    {{"features", "as given"},
                                     {"kernel", "Matern 3/2"},
                                     {"length scale", length},
                                     {"noise", noise}},
                                    1);
            acquisition.choose(c, k);

            const double log_length = std::log(length * std::sqrt(3.));
            const auto   variance   = [&](const torch::Tensor &known) {
              if (known.size(0) == 0)
                return torch::ones({n}, torch::kFloat64);
              KernelRegression regression(
                CovarianceKernel({3}, "Matern 3/2", "shared"));
              regression.set_hyperparameters(
                row({log_length, -600., std::log(noise)}));
              regression.add(known,
                             torch::zeros({known.size(0), 1}, torch::kFloat64));
              return noise * regression.leverage(c.features);
            };
            const auto              before = variance(c.chosen_features);
            auto                    known  = c.chosen_features;
            std::set<std::uint64_t> taken;
            for (const auto &decision : acquisition.decisions())
              {
                const auto factor = (variance(known) / before).sqrt();
                const auto score =
                  name == "U function" ?
                    -(c.mean - c.threshold).abs() / (c.deviation * factor) :
                    (c.scale * factor).log();
                long best = -1;
                for (long i = 0; i < n; ++i)
                  if (taken.count(i) == 0 &&
                      (best < 0 ||
                       score[i].item<double>() > score[best].item<double>()))
                    best = i;
                EXPECT_EQ(decision.id, best) << name;
                if (name != "U function")
                  {
                    EXPECT_NEAR(decision.score,
                                score[best].item<double>(),
                                1e-8);
                  }
                taken.insert(decision.id);
                known =
                  torch::cat({known, c.features.slice(0, best, best + 1)});
              }
          }
      }
  }



  // Against regressions that learn the choices and each candidate in turn: by
  // how much the sum of the powers of expected errors is smaller.
  TEST(Acquisition, IntegratedErrorIsWhatVariancesFallBy)
  {
    const long   n = 25, k = 6;
    const double length = 0.8, noise = 1e-2, power = 1.5;
    for (const long m : {0, 12})
      for (const bool values : {false, true})
        for (const bool reference : {false, true})
          {
            auto c = known_candidates(n, 11, m);
            if (!values)
              c.chosen_values = c.chosen_norms = torch::Tensor();
            // Something to be learned: where all is noise, sums fall by no
            // more than rounding.
            else if (m > 0)
              c.chosen_values =
                torch::cat({c.chosen_features.sum(1, true).sin(),
                            c.chosen_features.slice(1, 0, 1).square()},
                           1);
            if (reference)
              c.reference_features = random_normal({17, 3}, 119);
            Acquisition acquisition("integrated error",
                                    {{"features", "as given"},
                                     {"kernel", "Matern 3/2"},
                                     {"length scale", length},
                                     {"noise", noise},
                                     {"cost power", 0.5},
                                     {"norm", power}},
                                    1);
            acquisition.choose(c, k);
            ASSERT_EQ(acquisition.decisions().size(), k);

            const auto      &at = reference ? c.reference_features : c.features;
            KernelRegression process(
              CovarianceKernel({3}, "Matern 3/2", "each input"));
            const double log_length = std::log(length * std::sqrt(3.));
            process.set_hyperparameters(row(
              {log_length, log_length, log_length, -700., std::log(noise)}));
            auto levels =
              torch::full({at.size(0)}, 1. / at.size(0), torch::kFloat64);
            double half_power = 1.;
            if (values && m > 0)
              {
                ErrorProcess::Parameters parameters;
                parameters.kernel = "Matern 3/2";
                const ErrorProcess errors(c.chosen_features,
                                          c.chosen_values,
                                          c.chosen_norms,
                                          parameters);
                process = KernelRegression(errors.covariance());
                process.set_hyperparameters(
                  errors.regression().hyperparameters());
                half_power = 0.5 * power;
                levels     = errors.level(at).pow(half_power);
              }
            const double lambda =
              std::exp(process.hyperparameters()[-1].item<double>());

            const auto sum = [&](const torch::Tensor &known) {
              if (known.size(0) == 0)
                {
                  CovarianceKernel kernel({3}, "Matern 3/2", "each input");
                  kernel.set_hyperparameters(
                    process.hyperparameters().slice(0, 0, -1));
                  return (levels *
                          (kernel.diagonal(at) + lambda).pow(half_power))
                    .sum()
                    .item<double>();
                }
              auto regression = process;
              regression.add(known,
                             torch::zeros({known.size(0), 1}, torch::kFloat64));
              return (levels *
                      (lambda * (1. + regression.leverage(at))).pow(half_power))
                .sum()
                .item<double>();
            };
            auto           known = c.chosen_features;
            std::set<long> taken;
            for (const auto &decision : acquisition.decisions())
              {
                const double before = sum(known);
                long         best   = -1;
                double       score  = 0.;
                for (long i = 0; i < n; ++i)
                  {
                    const double fall =
                      before -
                      sum(torch::cat({known, c.features.slice(0, i, i + 1)}));
                    const double value =
                      std::log(fall * c.feasibility[i].item<double>() /
                               std::sqrt(c.cost[i].item<double>()));
                    if (taken.count(i) == 0 && (best < 0 || value > score))
                      {
                        best  = i;
                        score = value;
                      }
                  }
                EXPECT_EQ(long(decision.id), best);
                EXPECT_NEAR(decision.score, score, 1e-6);
                taken.insert(best);
                known =
                  torch::cat({known, c.features.slice(0, best, best + 1)});
              }
          }
  }



  // A function that oscillates in the right half of the interval and is affine
  // in the left: samples go to the right, though only if left-out errors are
  // asked, or lengths may vary.
  TEST(Acquisition, IntegratedErrorGoesWhereErrorsAreLarge)
  {
    // Several outputs: the square of a single one may be small by chance.
    const auto function = [](const torch::Tensor &x) {
      const auto phases = torch::arange(4, torch::kFloat64) * (0.25 * M_PI);
      return x + (x - 0.5).clamp_min(0.) * (30. * x + phases).sin();
    };
    const auto share = [&](const bool local, const bool varying) {
      Candidates c;
      c.ids      = counted(400);
      c.features = (torch::arange(400, torch::kFloat64) / 400.).unsqueeze(1);
      c.chosen_features =
        ((torch::arange(24, torch::kFloat64) + 0.5) / 24.).unsqueeze(1);
      Acquisition acquisition("integrated error",
                              {{"local errors", local},
                               {"varying lengths", varying},
                               {"norm", 2.}},
                              1);
      for (unsigned int round = 0; round < 4; ++round)
        {
          c.chosen_values = function(c.chosen_features);
          for (const long i : acquisition.choose(c, 5))
            c.chosen_features =
              torch::cat({c.chosen_features, c.features.slice(0, i, i + 1)});
        }
      return (c.chosen_features.slice(0, 24) > 0.5)
        .to(torch::kFloat64)
        .mean()
        .item<double>();
    };
    EXPECT_NEAR(share(false, false), 0.5, 0.15);
    // Beyond what that one may have.
    EXPECT_GT(share(true, false), 0.65);
    EXPECT_GT(share(false, true), 0.65);
    EXPECT_GT(share(true, true), 0.65);
  }



  // A cluster of the largest scores in one place: "top" takes all of it, the
  // other ways take one of it first and then what is elsewhere.
  TEST(Acquisition, BatchesAreSpread)
  {
    Candidates c;
    c.ids             = counted(8);
    c.features        = torch::tensor({{0., 0.},
                                       {0.001, 0.},
                                       {0., 0.001},
                                       {0.001, 0.001},
                                       {5., 0.},
                                       {0., 5.},
                                       {5., 5.},
                                       {2.5, 2.5}},
                               torch::kFloat64);
    c.scale           = row({1., 0.99, 0.98, 0.97, 0.5, 0.49, 0.48, 0.01});
    const auto chosen = [&](const nlohmann::json &parameters) {
      return one_round("largest uncertainty", parameters, c, 4);
    };
    EXPECT_EQ(chosen({{"batch", "top"}}), (Ids{0, 1, 2, 3}));
    EXPECT_EQ(chosen({{"batch", "conditioning"}, {"length scale", 0.3}}),
              (Ids{0, 4, 5, 6}));
    // With the whole pool the farthest one of all comes second.
    EXPECT_EQ(chosen({{"batch", "diversity"}, {"features", "as given"}}),
              (Ids{0, 6, 4, 5}));
    // A pool of four is "top" in another order.
    auto narrow = chosen({{"batch", "diversity"}, {"pool factor", 1}});
    EXPECT_EQ(narrow[0], 0);
    std::sort(narrow.begin(), narrow.end());
    EXPECT_EQ(narrow, (Ids{0, 1, 2, 3}));
    // What has been chosen before is a place to keep away from as well.
    c.chosen_features = row({5.1, 5.1}).unsqueeze(0);
    const auto away =
      chosen({{"batch", "diversity"}, {"features", "as given"}});
    EXPECT_EQ(away, (Ids{0, 4, 5, 7}));
  }



  // For all sets of k centers, besides the fixed ones.
  TEST(Acquisition, CoreSetIsWithinTwiceTheOptimum)
  {
    const long n = 11, k = 3;
    double     worst = 0;
    for (std::uint64_t draw = 0; draw < 10; ++draw)
      for (const long m : {0, 2})
        {
          Candidates c;
          c.ids             = counted(n);
          c.features        = random_normal({n, 2}, 500 + draw);
          c.chosen_features = random_normal({m, 2}, 600 + draw);
          const auto radius = [&](const Ids &centers) {
            auto all = c.chosen_features;
            for (const auto id : centers)
              all = torch::cat({all, c.features.slice(0, id, id + 1)});
            return std::get<0>(torch::cdist(c.features, all).min(1))
              .max()
              .item<double>();
          };
          double best = 1e300;
          for (unsigned int set = 0; set < (1u << n); ++set)
            {
              Ids centers;
              for (long i = 0; i < n; ++i)
                if (set & (1u << i))
                  centers.push_back(i);
              if (long(centers.size()) == k)
                best = std::min(best, radius(centers));
            }
          const double found =
            radius(one_round("core set", {{"features", "as given"}}, c, k));
          EXPECT_GE(found, best - 1e-12);
          EXPECT_LE(found, 2. * best + 1e-12);
          worst = std::max(worst, found / best);
        }
    // (It is not the optimum that is found.)
    EXPECT_GT(worst, 1.05);
  }



  // On a line, by hand. The mean of all is 3.4, that of id 3 nearest.
  TEST(Acquisition, CoreSetByHand)
  {
    Candidates c;
    c.ids      = counted(5);
    c.features = row({0., 1., 2., 4., 10.}).unsqueeze(1);
    EXPECT_EQ(one_round("core set", nlohmann::json::object(), c, 5),
              (Ids{3, 4, 0, 2, 1}));
    // weighted: from 0 the distances 1, 2, 4, 10 with weights
    c.chosen_features = row({0.}).unsqueeze(1);
    c.scale           = row({1., 1., 1., 0.9, 0.3});
    Acquisition acquisition(
      "core set", {{"features", "as given"}, {"uncertainty power", 1.}}, 1);
    acquisition.choose(c, 3);
    EXPECT_EQ(chosen_ids(acquisition), (Ids{3, 2, 4}));
    EXPECT_NEAR(acquisition.decisions()[0].score, 3.6, 1e-14);
    EXPECT_NEAR(acquisition.decisions()[1].score, 2., 1e-14);
    EXPECT_NEAR(acquisition.decisions()[2].score, 1.8, 1e-14);
    // and with costs
    c.cost = row({1., 1., 1., 9., 1.});
    EXPECT_EQ(one_round("core set",
                        {{"features", "as given"},
                         {"uncertainty power", 1.},
                         {"cost power", 1.}},
                        c,
                        1),
              (Ids{4}));
  }



  // Around 0 many candidates at small distances, around 100 a single one at a
  // larger distance: the core set takes that, LCMD the farthest of the many.
  TEST(Acquisition, LargestClusterByHand)
  {
    Candidates c;
    c.ids      = counted(7);
    c.features = row({-2., -1.9, 1.8, 1.9, 2.1, 97., 100.5}).unsqueeze(1);
    c.chosen_features             = row({0., 100.}).unsqueeze(1);
    const nlohmann::json as_given = {{"features", "as given"}};
    EXPECT_EQ(one_round("core set", as_given, c, 1), (Ids{5}));
    // Sums of squares around 0: 4 + 3.61 + 3.24 + 3.61 + 4.41 = 18.87, around
    // 100: 9.25. Then -2 and -1.9 remain at 0 (7.61), 97 is the farthest of
    // the largest. Then -2 of 7.61, beside 0.25 at 100 and 0.13 at 2.1.
    // Then 100.5 with 0.25 beside 0.13 at 2.1 and 0.01 at -2.
    EXPECT_EQ(one_round("largest cluster", as_given, c, 4), (Ids{4, 5, 0, 6}));
    // A weight that makes the right cluster the larger one
    c.scale = row({1., 1., 1., 1., 1., 2., 1.});
    EXPECT_EQ(one_round("largest cluster",
                        {{"features", "as given"}, {"uncertainty power", 1.}},
                        c,
                        1),
              (Ids{5}));
  }



  // The definition, computed anew for each choice from all distances.
  TEST(Acquisition, LargestClusterByDefinition)
  {
    const long n = 60, k = 20;
    auto       c  = known_candidates(n, 7, 3);
    c.feasibility = torch::Tensor();
    const auto found =
      one_round("largest cluster", {{"features", "as given"}}, c, k);
    auto centers = c.chosen_features;
    for (const auto id : found)
      {
        const auto [square, nearest] =
          torch::cdist(c.features, centers, 2., 2).square().min(1);
        const auto sizes = torch::zeros({centers.size(0)}, torch::kFloat64)
                             .index_add(0, nearest, square);
        const auto member = nearest.eq(sizes.argmax());
        EXPECT_EQ((square * member).argmax().item<std::int64_t>(), id);
        centers = torch::cat({centers, c.features.slice(0, id, id + 1)});
      }
  }



  // Units of features are of no influence, those without variation neither.
  TEST(Acquisition, FeaturesAreStandardized)
  {
    for (const auto &[name, parameters] : methods())
      {
        const auto c     = known_candidates(40, 8);
        auto       other = c;
        const auto units = row({1024., 1., 1. / 4096.});
        other.features   = torch::cat(
          {c.features * units, torch::full({40, 1}, 0.1, torch::kFloat64)}, 1);
        other.chosen_features =
          torch::cat({c.chosen_features * units,
                      torch::full({6, 1}, 0.1, torch::kFloat64)},
                     1);
        // (The kernel's length is that of so many features.)
        auto changed = parameters;
        if (changed.value("batch", "") == "conditioning")
          changed["length scale"] = std::sqrt(3. / 4.);
        EXPECT_EQ(one_round(name, parameters, c, 8),
                  one_round(name, changed, other, 8))
          << name;
      }
  }



  TEST(Acquisition, SinglePrecisionAndMissingRowsAreTaken)
  {
    auto c            = known_candidates(20, 9);
    c.features        = c.features.to(torch::kFloat32);
    c.scale           = c.scale.to(torch::kFloat32);
    c.chosen_features = torch::zeros({0, 0});
    EXPECT_EQ(
      one_round("largest uncertainty", nlohmann::json::object(), c, 5).size(),
      5);
    EXPECT_EQ(one_round("core set", nlohmann::json::object(), c, 5).size(), 5);
  }



  TEST(Acquisition, MistakesAreSentences)
  {
    const auto wrong = [](const std::string    &type,
                          const nlohmann::json &parameters) {
      return message_of<InputError>(
        [&] { Acquisition(type, parameters, 1, "a.prm"); });
    };
    expect_sentence(wrong("best", nlohmann::json::object()),
                    {"a.prm", "acquisition function", "best", "core set"});
    expect_sentence(wrong("residual", {{"batch", "all"}}),
                    {"a.prm", "batch", "all", "top, conditioning, diversity"});
    expect_sentence(wrong("residual", {{"kernel", "cubic"}}),
                    {"a.prm", "kernel", "cubic", "Matern 5/2"});
    expect_sentence(wrong("core set", {{"features", "raw"}}),
                    {"a.prm", "features", "raw", "standardized, as given"});
    expect_sentence(wrong("expected improvement", {{"goal", "win"}}),
                    {"a.prm", "goal", "win", "minimize, maximize"});
    expect_sentence(wrong("integrated error", {{"norm", 0.}}),
                    {"a.prm", "norm", "0"});
    expect_sentence(wrong("integrated error", {{"kernel", "cubic"}}),
                    {"a.prm", "kernel", "cubic", "Matern 5/2"});
    expect_sentence(wrong("power sampling", {{"power", -1.}}),
                    {"a.prm", "power", "-1"});
    expect_sentence(wrong("power sampling", {{"score", "random"}}),
                    {"a.prm", "score", "random", "U function"});

    const auto refused = [](const std::string    &type,
                            const Candidates     &c,
                            const nlohmann::json &parameters =
                              nlohmann::json::object()) {
      Acquisition acquisition(type, parameters, 1);
      const auto  message =
        message_of<InputError>([&] { acquisition.choose(c, 2); });
      EXPECT_EQ(acquisition.n_rounds(), 0);
      return message;
    };
    const auto good = known_candidates(5, 9);
    auto       c    = good;
    c.scale         = torch::Tensor();
    expect_sentence(refused("largest uncertainty", c),
                    {"scale", "missing", "largest uncertainty"});
    c          = good;
    c.features = torch::Tensor();
    expect_sentence(refused("residual", c),
                    {"features", "'residual'", "conditioning"});
    c      = good;
    c.cost = torch::Tensor();
    expect_sentence(refused("core set", c, {{"cost power", 1.}}),
                    {"cost", "core set", "cost power"});
    c          = good;
    c.scale    = good.scale.clone();
    c.scale[3] = std::nan("");
    expect_sentence(refused("random", c), {"scale of row 3", "nan"});
    c             = good;
    c.feasibility = 2. * torch::ones({5});
    expect_sentence(refused("random", c),
                    {"feasibility of row 0", "'2'", "0 to 1"});
    c      = good;
    c.cost = torch::zeros({5});
    expect_sentence(refused("random", c), {"cost of row 0", "'0'", "positive"});
    c           = good;
    c.threshold = std::nan("");
    expect_sentence(refused("U function", c), {"threshold", "U function"});
    c     = good;
    c.ids = {1, 2, 3, 2, 0};
    expect_sentence(refused("random", c), {"id", "'2'", "no other"});
    c                 = good;
    c.chosen_features = torch::zeros({4, 2});
    expect_sentence(refused("random", c), {"chosen_features", "[4, 2]"});
    c               = good;
    c.chosen_values = torch::zeros({4, 2});
    expect_sentence(refused("random", c),
                    {"chosen_values", "[4, 2]", "[6, 2]"});
    c              = good;
    c.chosen_norms = torch::zeros({6});
    expect_sentence(refused("random", c),
                    {"chosen_norms of row 0", "'0'", "positive"});
    c                    = good;
    c.reference_features = torch::zeros({4, 2});
    expect_sentence(refused("random", c), {"reference_features", "[4, 2]"});
    c          = good;
    c.features = torch::Tensor();
    expect_sentence(refused("integrated error", c),
                    {"features", "'integrated error'"});
    c        = good;
    c.marked = torch::zeros({5});
    expect_sentence(refused("random", c), {"marked", "[5] Bool"});
    c      = good;
    c.mean = torch::zeros({5, 1});
    expect_sentence(refused("random", c), {"mean", "[5, 1]", "[5]"});
  }



  TEST(Acquisition, DamagedStatesAreRefused)
  {
    const TemporaryFolder folder;
    expect_sentence(message_of<FileError>(
                      [&] { Acquisition::load(folder / "none.json"); }),
                    {"none.json", "no such file"});
    write_bytes(folder / "half.json", "{\"format\": ");
    expect_sentence(message_of<FileError>(
                      [&] { Acquisition::load(folder / "half.json"); }),
                    {"half.json", "JSON"});

    Acquisition acquisition("random", nlohmann::json::object(), 1);
    acquisition.choose(known_candidates(9, 1), 3);
    const auto                                  good   = acquisition.state();
    const std::map<std::string, nlohmann::json> damage = {
      {"format", "neural.deal acquisition 0"},
      {"seed", -1},
      {"rounds", 0u}, // fewer than there are decisions of
      {"type", 5},
      {"parameters", nlohmann::json::array()},
      {"decisions", nlohmann::json::parse("[[0, 3, 0.5], [0, 3, 0.4]]")}};
    for (const auto &[name, value] : damage)
      {
        auto bad  = good;
        bad[name] = value;
        expect_sentence(message_of<FileError>(
                          [&] { Acquisition::from_state(bad, "a.json"); }),
                        {"a.json"});
        bad.erase(name);
        expect_sentence(message_of<FileError>(
                          [&] { Acquisition::from_state(bad, "a.json"); }),
                        {"a.json"});
      }
    EXPECT_EQ(Acquisition::from_state(good, "a.json").state(), good);
  }



  TEST(Acquisition, SaysWhatItNeeds)
  {
    using Threshold = AcquisitionNeeds::Threshold;
    struct Case
    {
      std::string type;
      bool        residual, quantity;
      Threshold   threshold;
    };
    const auto same = [](const AcquisitionNeeds &needs, const Case &expected) {
      return needs.residual == expected.residual &&
             needs.quantity == expected.quantity &&
             needs.threshold == expected.threshold;
    };
    const std::vector<Case> scored = {
      {"largest uncertainty", false, false, Threshold::given},
      {"residual", true, false, Threshold::given},
      {"U function", false, true, Threshold::given},
      {"expected feasibility", false, true, Threshold::given},
      {"expected improvement", false, true, Threshold::smallest}};
    for (const auto &expected : scored)
      {
        EXPECT_TRUE(
          same(Acquisition(expected.type, nlohmann::json::object(), 1).needs(),
               expected))
          << expected.type;
        const Acquisition sampled("power sampling",
                                  {{"score", expected.type}},
                                  1);
        EXPECT_TRUE(same(sampled.needs(), expected)) << expected.type;
        EXPECT_EQ(sampled.needs().given_threshold(),
                  expected.quantity && expected.threshold == Threshold::given);
      }
    EXPECT_EQ(Acquisition("expected improvement", {{"goal", "maximize"}}, 1)
                .needs()
                .threshold,
              Threshold::largest);
    EXPECT_EQ(Acquisition("power sampling",
                          {{"score", "expected improvement"},
                           {"score parameters", {{"goal", "maximize"}}}},
                          1)
                .needs()
                .threshold,
              Threshold::largest);
    for (const std::string type :
         {"random", "core set", "largest cluster", "integrated error"})
      EXPECT_TRUE(same(Acquisition(type, nlohmann::json::object(), 1).needs(),
                       {type, false, false, Threshold::given}));
  }
} // namespace
