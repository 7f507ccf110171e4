// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/acquisition/active_learner.h>
#include <neuraldeal/surrogates/acquisition/feasibility_model.h>
#include <neuraldeal/surrogates/acquisition/quantity_model.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "analytic_family.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  using Ids = std::vector<std::uint64_t>;

  constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

  Ids
  counted(const long n, const std::uint64_t first = 0)
  {
    Ids result(n);
    std::iota(result.begin(), result.end(), first);
    return result;
  }

  torch::Tensor
  column(const std::vector<double> &values)
  {
    return torch::tensor(values, torch::kFloat64).unsqueeze(1);
  }

  /** The learner of a host without predictions. */
  nlohmann::json
  without_surrogate(const std::string &acquisition)
  {
    return {{"surrogate", "none"}, {"acquisition", acquisition}};
  }

  const std::vector<InputRange> one_input = {{"x", -1., 1., false}};

  /** Candidates of equal scales, of which nothing else is known. */
  Candidates
  equal_candidates(const long n)
  {
    Candidates result;
    result.ids   = counted(n);
    result.scale = torch::ones({n}, torch::kFloat64);
    return result;
  }

  ActiveLearner::Priors
  priors_of(const Snapshots &snapshots)
  {
    return [snapshots](const long begin, const long end) {
      return snapshots.prior.slice(0, begin, end);
    };
  }

  Ids
  chosen_ids(const ActiveLearner &learner)
  {
    Ids result;
    for (const auto &decision : learner.acquisition().decisions())
      result.push_back(decision.id);
    return result;
  }



  TEST(ActiveLearner, FindsRepeatedRows)
  {
    const auto x =
      torch::tensor({{1., 2.}, {3., 4.}, {1., 2.}, {0., 5.}}, torch::kFloat64);
    const auto y = torch::tensor({{-0., 5.}, {2., 1.}}, torch::kFloat64);
    EXPECT_TRUE(torch::equal(repeated_rows(x, y),
                             torch::tensor({false, false, true, true})));
    // One bit is a difference.
    auto z = x.slice(0, 0, 1).clone();
    EXPECT_TRUE(repeated_rows(z, x).item<bool>());
    z[0][0] = std::nextafter(1., 2.);
    EXPECT_FALSE(repeated_rows(z, x).item<bool>());
  }



  // The largest of the scales that the surrogate by itself says, in one batch.
  TEST(ActiveLearner, ChoosesWhatTheSurrogateKnowsLeastOf)
  {
    const AnalyticFamily family;
    const auto           solved = family.draw(20, 1), pool = family.draw(50, 2);
    const auto           surrogate = make_surrogate("POD kernel regression",
                                          family.ranges(),
                                          nlohmann::json::object(),
                                          "a test");
    surrogate->fit(SnapshotsInMemory(solved), family.space, Communicator());
    const auto prediction = surrogate->predict(pool);
    const auto scale      = prediction.scale / prediction.norm;
    const auto best       = std::get<1>(scale.sort(0, /*descending=*/true));

    ActiveLearner learner(family.ranges(),
                          {{"acquisition", "largest uncertainty"},
                           {"acquisition parameters", {{"batch", "top"}}}},
                          1);
    SolvedPoints  points;
    points.inputs     = solved.parameters;
    const auto choice = learner.round(SnapshotsInMemory(solved),
                                      family.space,
                                      points,
                                      counted(50),
                                      pool.parameters,
                                      priors_of(pool),
                                      5);
    ASSERT_EQ(choice.rows.size(), 5u);
    for (long i = 0; i < 5; ++i)
      {
        EXPECT_EQ(choice.rows[i], best[i].item<std::int64_t>());
        EXPECT_NEAR(learner.acquisition().decisions()[i].score,
                    std::log(scale[best[i]].item<double>()),
                    1e-9);
        EXPECT_TRUE(std::isnan(choice.costs[i]));
      }
  }



  // As for a host that hands over the fields themselves, in coordinates in
  // which their norm is Euclidean. What has failed is left out.
  TEST(ActiveLearner, IntegratedErrorsAreOfTheSolvedFields)
  {
    const AnalyticFamily family;
    const auto           all = family.draw(25, 1), pool = family.draw(40, 2);
    const auto rest = torch::cat({torch::arange(7), torch::arange(8, 25)});
    const auto solved =
      family.solve(all.parameters.index_select(0, rest).contiguous());

    ActiveLearner learner(family.ranges(), nlohmann::json::object(), 1);
    SolvedPoints  points;
    points.inputs       = all.parameters;
    points.succeeded    = torch::ones({25}, torch::kBool);
    points.succeeded[7] = false;
    const auto choice   = learner.round(SnapshotsInMemory(solved),
                                      family.space,
                                      points,
                                      counted(40),
                                      pool.parameters,
                                      priors_of(pool),
                                      6);

    Candidates candidates = equal_candidates(40);
    const auto even       = [](const torch::Tensor &inputs) {
      auto result = inputs.clone();
      // The logarithmic ones, from −1 to 1 as the last is.
      const double lower = std::log(0.2), upper = std::log(2.);
      result.slice(1, 0, 2)
        .log_()
        .sub_(0.5 * (lower + upper))
        .div_(0.5 * (upper - lower));
      return result;
    };
    candidates.features        = even(pool.parameters);
    candidates.marked          = repeated_rows(pool.parameters, all.parameters);
    candidates.chosen_features = even(solved.parameters);
    candidates.chosen_values =
      (solved.solution - solved.prior)
        .matmul(at::linalg_cholesky(family.space.mass.to_dense()));
    candidates.chosen_norms = family.space.norm(solved.solution);
    Acquisition acquisition("integrated error", nlohmann::json::object(), 1);
    EXPECT_EQ(choice.rows, acquisition.choose(candidates, 6));

    // Other values, other choices: they are what counts.
    candidates.chosen_values = candidates.chosen_values.flip(0).contiguous();
    Acquisition other("integrated error", nlohmann::json::object(), 1);
    EXPECT_NE(choice.rows, other.choose(candidates, 6));
  }



  // What has been solved is in one half of the range of an input, the
  // candidates in both: the other half is chosen, by every kind of method.
  TEST(ActiveLearner, GoesWhereNothingHasBeenSolved)
  {
    const AnalyticFamily family;
    const auto           all = family.draw(60, 3);
    const auto           low = torch::nonzero(all.parameters.select(1, 2) < 0.);
    const auto   solved_inputs = all.parameters.index_select(0, low.squeeze(1));
    const auto   solved        = family.solve(solved_inputs);
    const auto   pool          = family.draw(64, 4);
    SolvedPoints points;
    points.inputs = solved_inputs;
    for (const std::string acquisition : {"integrated error",
                                          "largest uncertainty",
                                          "core set",
                                          "power sampling"})
      for (const std::string features : {"inputs", "surrogate"})
        {
          nlohmann::json parameters = {{"acquisition", acquisition},
                                       {"features", features}};
          if (acquisition == "power sampling")
            parameters["acquisition parameters"] = {{"power", 4.}};
          ActiveLearner learner(family.ranges(), parameters, 1);
          const auto    choice = learner.round(SnapshotsInMemory(solved),
                                            family.space,
                                            points,
                                            counted(64),
                                            pool.parameters,
                                            priors_of(pool),
                                            4);
          ASSERT_EQ(choice.rows.size(), 4u);
          for (const long row : choice.rows)
            EXPECT_GT(pool.parameters[row][2].item<double>(), 0.)
              << acquisition << ", " << features;
        }
  }



  TEST(ActiveLearner, GoesOnFromItsState)
  {
    const AnalyticFamily family;
    const auto           pool = family.draw(40, 5);
    const auto           run  = [&](const bool interrupted) {
      const nlohmann::json parameters = {{"acquisition", "power sampling"},
                                         {"cost model", "linear"}};
      auto                 learner =
        std::make_unique<ActiveLearner>(family.ranges(), parameters, 7);
      auto solved = family.draw(12, 6);
      for (unsigned int round = 0; round < 3; ++round)
        {
          SolvedPoints points;
          points.inputs     = solved.parameters;
          points.costs      = 2. + solved.parameters.select(1, 2);
          const auto choice = learner->round(SnapshotsInMemory(solved),
                                             family.space,
                                             points,
                                             counted(40),
                                             pool.parameters,
                                             priors_of(pool),
                                             3);
          const auto rows =
            torch::tensor(std::vector<std::int64_t>(choice.rows.begin(),
                                                    choice.rows.end()),
                          torch::kInt64);
          solved =
            joined(solved, family.solve(pool.parameters.index_select(0, rows)));
          if (interrupted)
            {
              const auto text = learner->state().dump();
              learner =
                std::make_unique<ActiveLearner>(family.ranges(), parameters, 7);
              learner->restore(nlohmann::json::parse(text), "a file");
            }
        }
      return learner->state();
    };
    const auto without = run(false);
    EXPECT_EQ(without["acquisition"]["decisions"].size(), 9u);
    EXPECT_EQ(run(true).dump(), without.dump());
  }



  TEST(ActiveLearner, NeverChoosesTwiceOrWhatIsHeldOut)
  {
    // Twelve candidates of nine inputs: 3 and 8 are the same, 4 and 11, 9
    // and 10. Solved is 0, held out 1, marked 3, without prediction 5, and 10,
    // which is no reason to leave out 9, its equal.
    auto inputs = torch::linspace(-0.9, 0.9, 12, torch::kFloat64).unsqueeze(1);
    inputs[8]   = inputs[3];
    inputs[11]  = inputs[4];
    inputs[10]  = inputs[9];
    Candidates candidates = equal_candidates(12);
    candidates.scale[10]  = nan_value;
    candidates.scale[5]   = nan_value;
    candidates.marked     = torch::zeros({12}, torch::kBool);
    candidates.marked[3]  = true;
    SolvedPoints solved;
    solved.inputs    = torch::cat({inputs.slice(0, 0, 1), column({0.999})});
    solved.succeeded = torch::tensor({false, true});
    solved.held_out  = inputs.slice(0, 1, 2);

    const std::set<std::uint64_t> expected = {2, 4, 6, 7, 9};
    for (const std::string acquisition : {"random",
                                          "largest uncertainty",
                                          "core set",
                                          "largest cluster",
                                          "integrated error"})
      {
        ActiveLearner learner(one_input, without_surrogate(acquisition), 3);
        // The candidates come in any order.
        const auto order =
          torch::tensor({7, 11, 0, 3, 8, 5, 1, 4, 2, 10, 9, 6}, torch::kInt64);
        Candidates other = candidates;
        for (long i = 0; i < 12; ++i)
          other.ids[i] = candidates.ids[order[i].item<std::int64_t>()];
        other.scale  = candidates.scale.index_select(0, order);
        other.marked = candidates.marked.index_select(0, order);
        ActiveLearner same(one_input, without_surrogate(acquisition), 3);
        for (const long k : {2, 3, 10})
          {
            learner.choose(candidates, inputs, solved, k);
            same.choose(other, inputs.index_select(0, order), solved, k);
          }
        const auto ids = chosen_ids(learner);
        EXPECT_EQ(ids.size(), expected.size()) << acquisition;
        EXPECT_EQ(std::set<std::uint64_t>(ids.begin(), ids.end()), expected)
          << acquisition;
        EXPECT_EQ(chosen_ids(same), ids) << acquisition;
      }
  }



  TEST(ActiveLearner, CostsAreLearnedAndCount)
  {
    // The cost is exp(3 x), so that with equal scales the least x comes first.
    const auto   x = torch::linspace(-1., 1., 9, torch::kFloat64).unsqueeze(1);
    SolvedPoints solved;
    solved.inputs = x;
    solved.costs  = (3. * x).exp().squeeze(1);
    // Unknown ones are no costs.
    solved.costs[4]          = nan_value;
    const auto inputs        = column({0.7, -0.3, 0.35, -0.8, 0.1});
    auto       parameters    = without_surrogate("largest uncertainty");
    parameters["cost model"] = "linear";
    parameters["acquisition parameters"] = {{"cost power", 1.},
                                            {"batch", "top"}};
    ActiveLearner learner(one_input, parameters, 1);
    const auto choice = learner.choose(equal_candidates(5), inputs, solved, 5);
    EXPECT_EQ(choice.rows, (std::vector<long>{3, 1, 4, 2, 0}));
    for (long i = 0; i < 5; ++i)
      EXPECT_NEAR(choice.costs[i] /
                    std::exp(3. * inputs[choice.rows[i]].item<double>()),
                  1.,
                  1e-6);

    // The host's own costs have precedence.
    Candidates candidates = equal_candidates(5);
    candidates.cost = torch::tensor({1., 2., 3., 4., 5.}, torch::kFloat64);
    ActiveLearner other(one_input, parameters, 1);
    EXPECT_EQ(other.choose(candidates, inputs, solved, 5).rows,
              (std::vector<long>{0, 1, 2, 3, 4}));

    // Without any cost, one that asks for costs says so.
    solved.costs = torch::Tensor();
    ActiveLearner third(one_input, parameters, 1);
    expect_sentence(message_of<InputError>([&] {
                      third.choose(equal_candidates(5), inputs, solved, 5);
                    }),
                    {"cost", "missing"});
    EXPECT_EQ(third.acquisition().n_rounds(), 0u);
  }



  TEST(ActiveLearner, FailedSolvesAreLearned)
  {
    const auto   x = torch::linspace(-1., 1., 21, torch::kFloat64).unsqueeze(1);
    SolvedPoints solved;
    solved.inputs    = x;
    solved.succeeded = (x < 0.2).squeeze(1);
    const auto inputs =
      torch::linspace(-0.97, 0.97, 16, torch::kFloat64).unsqueeze(1);
    const long n_feasible = (inputs < 0.2).sum().item<std::int64_t>();
    auto       parameters = without_surrogate("largest uncertainty");
    parameters["acquisition parameters"] = {{"batch", "top"}};
    // Among equal ones the smallest id is chosen: those that fail.
    Candidates candidates = equal_candidates(16);
    std::reverse(candidates.ids.begin(), candidates.ids.end());
    for (const bool model : {true, false})
      {
        parameters["feasibility model"] = model;
        ActiveLearner learner(one_input, parameters, 1);
        const auto    choice =
          learner.choose(candidates, inputs, solved, n_feasible);
        long n_chosen = 0;
        for (const long row : choice.rows)
          n_chosen += (inputs[row].item<double>() < 0.2);
        EXPECT_EQ(n_chosen, model ? n_feasible : 2 * n_feasible - 16);
      }
  }



  // The quantity is (x − 0.3)², which has been computed at nine inputs: the
  // choices are those of a host that fills in mean and deviation itself, near
  // what is looked for. What has failed has no quantity.
  TEST(ActiveLearner, QuantitiesAreLearned)
  {
    const auto f = [](const torch::Tensor &x) {
      return (x - 0.3).square().squeeze(1);
    };
    SolvedPoints solved;
    solved.inputs   = torch::linspace(-1., 1., 9, torch::kFloat64).unsqueeze(1);
    solved.quantity = f(solved.inputs);
    solved.succeeded       = torch::ones({9}, torch::kBool);
    solved.succeeded[4]    = false;
    solved.quantity[4]     = nan_value;
    const auto   inputs    = random_uniform({60, 1}, -1., 1., 31);
    const auto   rest      = torch::tensor({0, 1, 2, 3, 5, 6, 7, 8});
    const auto   known     = solved.inputs.index_select(0, rest);
    const double threshold = 0.6;

    QuantityModel model;
    model.fit(known, f(known));
    Candidates filled;
    filled.ids       = counted(60);
    filled.features  = inputs;
    filled.mean      = model.predict(inputs).mean;
    filled.deviation = model.predict(inputs).deviation;

    struct Case
    {
      std::string    acquisition;
      nlohmann::json parameters;
      double         threshold; ///< of the candidates that are filled in
      double         near;      ///< x of what is looked for
    };
    const double limit     = 0.3 - std::sqrt(threshold);
    const auto   with_best = [](const std::string &goal) {
      return nlohmann::json{{"batch", "top"}, {"goal", goal}};
    };
    const std::vector<Case> cases = {
      {"U function", {{"batch", "top"}}, threshold, limit},
      {"expected feasibility", {{"batch", "top"}}, threshold, limit},
      {"expected improvement",
       with_best("minimize"),
       f(known).min().item<double>(),
       0.3},
      {"expected improvement",
       with_best("maximize"),
       f(known).max().item<double>(),
       -1.},
      {"power sampling",
       {{"score", "U function"}, {"power", 1e6}},
       threshold,
       limit}};
    for (const auto &[acquisition, parameters, best, near] : cases)
      {
        SCOPED_TRACE(acquisition + " " + parameters.dump());
        auto settings                      = without_surrogate(acquisition);
        settings["acquisition parameters"] = parameters;
        ActiveLearner learner(one_input, settings, 1);
        Candidates    candidates;
        candidates.ids       = counted(60);
        candidates.threshold = threshold;
        const auto choice    = learner.choose(candidates, inputs, solved, 4);

        Acquisition itself(acquisition, parameters, 1);
        filled.threshold = best;
        EXPECT_EQ(choice.rows, itself.choose(filled, 4));
        EXPECT_EQ(learner.state()["acquisition"], itself.state());
        EXPECT_NEAR(inputs[choice.rows[0]].item<double>(), near, 0.1);
      }

    // The failed one is no candidate that it would learn from either.
    auto          settings = without_surrogate("U function");
    ActiveLearner learner(one_input, settings, 1);
    Candidates    candidates;
    candidates.ids = counted(60);
    expect_sentence(message_of<InputError>(
                      [&] { learner.choose(candidates, inputs, solved, 1); }),
                    {"threshold", "nan", "'U function'"});
    candidates.threshold = threshold;
    auto none            = solved;
    none.quantity        = torch::Tensor();
    expect_sentence(message_of<InputError>(
                      [&] { learner.choose(candidates, inputs, none, 1); }),
                    {"missing", "'U function'"});
    none.quantity    = torch::full({9}, nan_value, torch::kFloat64);
    none.quantity[2] = 1.;
    expect_sentence(message_of<InputError>(
                      [&] { learner.choose(candidates, inputs, none, 1); }),
                    {"quantity of interest", "'1'", "two at least"});
    none.quantity = torch::ones({3}, torch::kFloat64);
    expect_sentence(message_of<InputError>(
                      [&] { learner.choose(candidates, inputs, none, 1); }),
                    {"quantity of interest", "[3]", "[9]"});
    EXPECT_EQ(learner.acquisition().n_rounds(), 0u);
  }



  // The probability of success is a factor of scores, as for all methods.
  TEST(ActiveLearner, QuantitiesOfWhatCanBeSolved)
  {
    SolvedPoints solved;
    solved.inputs = torch::linspace(-1., 1., 41, torch::kFloat64).unsqueeze(1);
    solved.succeeded        = (solved.inputs < 0.2).squeeze(1);
    solved.quantity         = torch::where(solved.succeeded,
                                   solved.inputs.squeeze(1).square(),
                                   torch::full({41}, nan_value));
    const auto       inputs = column({-0.77, 0.12, 0.74});
    FeasibilityModel succeeds;
    succeeds.fit(solved.inputs, solved.succeeded);
    const auto logarithm               = succeeds.probability(inputs).log();
    auto       settings                = without_surrogate("U function");
    settings["acquisition parameters"] = {{"batch", "top"}};
    std::map<std::uint64_t, double> scores[2];
    for (const bool model : {false, true})
      {
        settings["feasibility model"] = model;
        ActiveLearner learner(one_input, settings, 1);
        Candidates    candidates;
        candidates.ids       = counted(3);
        candidates.threshold = 0.5;
        const auto choice    = learner.choose(candidates, inputs, solved, 3);
        // Where nothing has been solved nothing is known of the quantity.
        EXPECT_EQ(choice.rows[0], 2);
        for (const auto &decision : learner.acquisition().decisions())
          scores[model][decision.id] = decision.score;
      }
    for (long i = 0; i < 3; ++i)
      EXPECT_NEAR(scores[true][i] - scores[false][i],
                  logarithm[i].item<double>(),
                  1e-9 * std::abs(scores[false][i]));
    EXPECT_LT(logarithm[2].item<double>(), -1.);
  }



  // Residuals are the host's to compute; where there is none, nothing is
  // chosen.
  TEST(ActiveLearner, ResidualsChoose)
  {
    const auto inputs                  = column({-0.8, -0.4, 0., 0.4, 0.8});
    auto       settings                = without_surrogate("residual");
    settings["acquisition parameters"] = {{"batch", "top"}};
    ActiveLearner learner(one_input, settings, 1);
    EXPECT_TRUE(learner.acquisition().needs().residual);
    Candidates candidates;
    candidates.ids = counted(5);
    candidates.residual =
      torch::tensor({0.1, nan_value, 0.3, 0.2, 1. / 0.}, torch::kFloat64);
    SolvedPoints solved;
    solved.inputs = column({0.9});
    EXPECT_EQ(learner.choose(candidates, inputs, solved, 5).rows,
              (std::vector<long>{2, 3, 0}));
  }



  // In the middle of the logarithms nothing has been solved.
  TEST(ActiveLearner, LogarithmsWhereTheInputIsLogarithmic)
  {
    SolvedPoints solved;
    solved.inputs     = column({1e-3, 1.});
    const auto inputs = column({0.5, std::sqrt(1e-3)});
    for (const bool logarithmic : {true, false})
      {
        ActiveLearner learner({{"x", 1e-3, 1., logarithmic}},
                              without_surrogate("core set"),
                              1);
        EXPECT_EQ(
          learner.choose(equal_candidates(2), inputs, solved, 1).rows[0],
          logarithmic ? 1 : 0);
      }
  }



  TEST(ActiveLearner, SaysWhatIsWrong)
  {
    const auto made_of = [](const nlohmann::json &parameters) {
      return message_of<InputError>(
        [&] { ActiveLearner(one_input, parameters, 1, "a.prm"); });
    };
    expect_sentence(made_of({{"surrogate", "oracle"}}),
                    {"a.prm", "oracle", "POD network"});
    expect_sentence(made_of({{"acquisition", "intuition"}}),
                    {"a.prm", "intuition", "core set"});
    expect_sentence(made_of({{"cost model", "free"}}),
                    {"a.prm", "cost model", "free", "linear"});
    expect_sentence(made_of({{"surrogate", "none"}, {"features", "surrogate"}}),
                    {"a.prm", "features"});
    expect_sentence(made_of({{"round size", 0}}), {"a.prm", "round size", "0"});

    // A surrogate is needed for a scale.
    SolvedPoints solved;
    solved.inputs = column({0.});
    ActiveLearner learner(one_input,
                          without_surrogate("largest uncertainty"),
                          1);
    Candidates    candidates;
    candidates.ids = counted(2);
    expect_sentence(message_of<InputError>([&] {
                      learner.choose(candidates, column({0.1, 0.2}), solved, 1);
                    }),
                    {"scale", "largest uncertainty"});
    expect_sentence(message_of<InputError>([&] {
                      learner.choose(candidates, column({0.1}), solved, 1);
                    }),
                    {"number of inputs"});

    // States of others, or none.
    const auto refused = [&](nlohmann::json state) {
      const auto before = learner.state();
      const auto message =
        message_of<FileError>([&] { learner.restore(state, "a file"); });
      EXPECT_EQ(learner.state(), before);
      return message;
    };
    expect_sentence(refused(5), {"a file"});
    const auto state = learner.state();
    for (const char *entry : {"seed", "parameters", "inputs", "acquisition"})
      {
        auto other = state;
        other.erase(entry);
        expect_sentence(refused(other), {"a file", entry});
      }
    auto other    = state;
    other["seed"] = 2;
    expect_sentence(refused(other), {"seed", "'", "2", "1"});
    other                             = state;
    other["parameters"]["round size"] = 3;
    expect_sentence(refused(other), {"round size", "3", "8"});
    other                             = state;
    other["acquisition"]["decisions"] = 3;
    expect_sentence(refused(other), {"decisions"});
  }
} // namespace
