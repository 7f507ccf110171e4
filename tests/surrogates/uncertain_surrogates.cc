// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/corrected_map_surrogate.h>
#include <neuraldeal/surrogates/pod_kernel_regression.h>
#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

#include <algorithm>
#include <memory>

#include "analytic_family.h"
#include "simulated_ranks.h"

// Maps that know how sure they are, and what a surrogate makes of it.

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;
  using nlohmann::json;

  double
  number(const torch::Tensor &value)
  {
    return value.item<double>();
  }

  torch::Tensor
  column(const torch::Tensor &rows, const long i)
  {
    return rows.select(1, i);
  }

  /** The coarse solution as the map, and any opinion of its error. */
  class CoarseMap : public CorrectedMapSurrogate
  {
  public:
    using Opinion = std::function<torch::Tensor(const Inputs &)>;

    /** @param opinion q, [n]; undefined for none. */
    CoarseMap(const AnalyticFamily &family,
              const json           &parameters,
              const Opinion        &opinion)
      : CorrectedMapSurrogate("coarse map", family.ranges(), parameters, 0., 1)
      , opinion(opinion)
    {}

    /** The parameters of the remainder's regression. */
    static json
    remainder()
    {
      return complete_parameters(remainder_parameters(),
                                 {{"evidence snapshots", 40},
                                  {"prior modes", 12}},
                                 "the test");
    }

  private:
    void
    fit_map(const Snapshots &,
            const torch::Tensor &,
            const FieldSpace &,
            const Communicator &) override
    {}

    Answer
    map(const Inputs &inputs) const override
    {
      return {inputs.prior, opinion ? opinion(inputs) : torch::Tensor()};
    }

    void
    save_map(ModelFile &) const override
    {}

    void
    load_map(const ModelFile &) override
    {}

    const Opinion opinion;
  };



  class Opinions : public testing::Test
  {
  protected:
    /**
     * Coarse solutions whose errors are random combinations of four fields, of
     * the expected norm @p amplitude [n] times 1 % of the coarse solution's.
     */
    Snapshots
    errors(const long n, const std::uint64_t seed, const double growth) const
    {
      auto                       result = family.draw(n, seed);
      const auto                 x = family.points[0], y = family.points[1];
      std::vector<torch::Tensor> fields;
      for (const double i : {1., 2.})
        for (const double j : {1., 2.})
          fields.push_back(torch::sin(i * M_PI * x) * torch::sin(j * M_PI * y));
      const auto random =
        torch::mm(random_normal({n, 4}, 1000 + seed), torch::stack(fields));
      const auto amplitude = 0.01 *
                             (growth * column(result.parameters, 2)).exp() *
                             family.space.norm(result.prior);
      result.solution = result.prior + amplitude.unsqueeze(1) * random;
      return result;
    }

    /** What is right for errors() with that growth, and any factor. */
    CoarseMap::Opinion
    right_opinion(const double growth) const
    {
      return [this, growth](const Inputs &inputs) {
        return 3. * (growth * column(inputs.parameters, 2)).exp() *
               family.space.norm(inputs.prior);
      };
    }

    /** One that has nothing to do with anything. */
    CoarseMap::Opinion
    noise() const
    {
      return [this](const Inputs &inputs) {
        return (1.5 * torch::sin(1e4 * column(inputs.parameters, 2))).exp() *
               family.space.norm(inputs.prior);
      };
    }

    std::unique_ptr<CoarseMap>
    fitted(const Snapshots &data, const CoarseMap::Opinion &opinion) const
    {
      auto result =
        std::make_unique<CoarseMap>(family, CoarseMap::remainder(), opinion);
      result->fit(SnapshotsInMemory(data), family.space, {});
      return result;
    }

    const AnalyticFamily family;
  };



  // The exponent again, by trying all of them on what the regression of the
  // remainder says of snapshots that it is not given.
  TEST_F(Opinions, CountAsMuchAsTheyAreWorth)
  {
    for (const double growth : {1., 0.5})
      {
        const auto data    = errors(60, 1, growth);
        const auto opinion = right_opinion(1.);
        const auto gamma   = fitted(data, opinion)->scale_exponent();

        PODKernelRegression remainder(family.ranges(), CoarseMap::remainder());
        remainder.fit(SnapshotsInMemory(data), family.space, {});
        const auto summaries  = remainder.summarize(data, family.norms(data));
        const auto scores     = remainder.training_scores(summaries);
        const auto squares    = (scores.error / scores.scale).square();
        const auto kappa      = opinion(data) / family.space.norm(data.prior);
        const auto log_growth = kappa.log() - kappa.log().mean();
        double     best = -1., lowest = 1e300;
        for (double trial = 0.; trial <= 1.; trial += 1e-3)
          {
            const double sum =
              number((squares * (-2. * trial * log_growth).exp()).sum());
            if (sum < lowest)
              {
                lowest = sum;
                best   = trial;
              }
          }
        EXPECT_NEAR(gamma, best, 2e-3);
        EXPECT_NEAR(gamma, growth, 0.2);

        // That those snapshots are not given: given ones have smaller errors.
        const auto given = family.error(remainder.predict(data).mean, data);
        EXPECT_GT(number((scores.error / given).log().mean()), 0.01);
      }
  }



  TEST_F(Opinions, NoiseIsWorthNothing)
  {
    long n_zero = 0;
    for (long i = 0; i < 16; ++i)
      {
        const double gamma =
          fitted(errors(40, 10 + i, 0.), noise())->scale_exponent();
        n_zero += gamma == 0.;
        EXPECT_LT(gamma, 0.4);
        // The opposite of what is right is worth nothing either.
        EXPECT_EQ(
          fitted(errors(40, 10 + i, 1.), right_opinion(-1.))->scale_exponent(),
          0.);
      }
    EXPECT_GE(n_zero, 12);
  }



  // With γ = 0 everything is what it is without an opinion, bit for bit.
  TEST_F(Opinions, NothingChangesWithoutThem)
  {
    const auto data = errors(40, 1, 1.), held_out = errors(30, 2, 1.),
               fresh   = errors(20, 3, 1.);
    const auto without = fitted(data, {}),
               wrong   = fitted(data, right_opinion(-1.));
    ASSERT_EQ(wrong->scale_exponent(), 0.);
    for (auto *surrogate : {without.get(), wrong.get()})
      update(*surrogate, family, held_out);
    const auto a = without->predict(fresh, {true, true}),
               b = wrong->predict(fresh, {true, true});
    EXPECT_TRUE(torch::equal(a.mean, b.mean));
    EXPECT_TRUE(torch::equal(a.scale, b.scale));
    EXPECT_TRUE(torch::equal(a.covariance_factor, b.covariance_factor));
    EXPECT_TRUE(torch::equal(a.standard_deviation, b.standard_deviation));
    EXPECT_TRUE(torch::equal(without->held_out_scores().scale,
                             wrong->held_out_scores().scale));
  }



  // The scales of held-out snapshots, which calibrate, are the same function
  // of the input as those of predictions.
  TEST_F(Opinions, ScalesAreOneFunction)
  {
    const auto data = errors(60, 1, 1.), held_out = errors(40, 2, 1.),
               fresh   = errors(50, 3, 1.);
    const auto without = fitted(data, {}),
               with    = fitted(data, right_opinion(1.));
    const double gamma = with->scale_exponent();
    ASSERT_GT(gamma, 0.5);
    for (auto *surrogate : {without.get(), with.get()})
      update(*surrogate, family, held_out);

    const auto before = without->held_out_scores(),
               after  = with->held_out_scores();
    EXPECT_TRUE(torch::equal(before.error, after.error));
    const auto growth = after.scale / before.scale;
    const auto p      = without->predict(held_out, {true, true}),
               q      = with->predict(held_out, {true, true});
    EXPECT_LT(distance(q.scale / p.scale, growth), 1e-9);
    EXPECT_LT(distance(q.covariance_factor,
                       p.covariance_factor * growth.reshape({-1, 1, 1})),
              1e-9 * number(q.covariance_factor.abs().max()));
    EXPECT_LT(distance(q.standard_deviation,
                       p.standard_deviation * growth.unsqueeze(1)),
              1e-9 * number(q.standard_deviation.abs().max()));
    EXPECT_TRUE(torch::equal(p.mean, q.mean));
    EXPECT_TRUE(torch::equal(p.novelty, q.novelty));

    // The power of what is said, never below that of the surest snapshot,
    const auto least = column(data.parameters, 2).min();
    const auto shape =
      (gamma * column(held_out.parameters, 2).maximum(least)).exp();
    const auto level = growth / shape;
    EXPECT_LT(number(level.max() / level.min()) - 1., 1e-4);
    Inputs sure     = fresh;
    sure.parameters = fresh.parameters.clone();
    column(sure.parameters, 2).copy_(torch::linspace(-5., 1., 50));
    const auto factor =
      with->predict(sure).scale / without->predict(sure).scale;
    EXPECT_LT(distance(factor[0], factor[1]), 1e-4 * number(factor[0]));
    EXPECT_GT(number(factor[49] / factor[0]), 3.);

    // and of the same size in the mean.
    EXPECT_NEAR(number((after.error / after.scale).square().mean()) /
                  number((before.error / before.scale).square().mean()),
                1.,
                1e-9);

    // It pays: the likelihood of fresh errors is larger.
    const auto minus_log_likelihood = [&](const CoarseMap &surrogate) {
      const auto said = surrogate.predict(fresh);
      const auto square =
        (family.space.norm(said.mean - fresh.solution) / said.scale).square();
      return number((said.scale.log() + 0.5 * square).mean());
    };
    const double gain =
      minus_log_likelihood(*without) - minus_log_likelihood(*with);
    std::printf("gamma %g gain %g\n", gamma, gain);
    EXPECT_GT(gain, 0.1);

    ModelFile file;
    with->save(file);
    CoarseMap loaded(family, CoarseMap::remainder(), right_opinion(1.));
    loaded.load(file, 0, 81, {});
    EXPECT_EQ(loaded.scale_exponent(), gamma);
    EXPECT_TRUE(
      torch::equal(loaded.predict(fresh).scale, with->predict(fresh).scale));
    EXPECT_TRUE(torch::equal(loaded.held_out_scores().scale, after.scale));

    const auto refused = [&](const torch::Tensor &opinion) {
      auto broken                   = file;
      broken.tensors["map.opinion"] = opinion;
      expect_sentence(message_of<FileError>(
                        [&]() { loaded.load(broken, 0, 81, {}); }),
                      {"map", "damaged"});
    };
    const auto said = file.tensor("map.opinion");
    refused(said.slice(0, 0, 2));
    refused(said.to(torch::kFloat32));
    refused(said * NAN);
    refused(said + 1.);
  }



  // What is said of an input and of its images counts together: for all of
  // them it is the root of the mean square.
  TEST_F(Opinions, ImagesCountTogether)
  {
    const auto one_sided = [](const Inputs &inputs) {
      return column(inputs.parameters, 0) * 1.;
    };
    const auto surrogate = fitted(errors(10, 1, 0.), one_sided);
    const auto data      = errors(5, 2, 0.);
    const auto summaries = surrogate->summarize(data, family.norms(data));
    ModelFile  file;
    surrogate->save(file);
    const long r = file.tensor("modes").size(1);
    const auto p = data.parameters;
    EXPECT_LT(
      distance(column(summaries, -1 - r),
               (0.5 * (column(p, 0).square() + column(p, 1).square())).sqrt() /
                 family.space.norm(data.prior)),
      1e-4);

    EXPECT_THROW(fitted(errors(10, 1, 0.),
                        [](const Inputs &inputs) {
                          return column(inputs.parameters, 0) * NAN;
                        }),
                 InputError);
  }



  // Methods of uncertainty by their names.

  const json small = {
    {"operator", "Fourier"},
    {"operator parameters",
     {{"width", 4}, {"layers", 1}, {"modes", 3}, {"padding", 0.25}}},
    {"training", {{"epochs", 4}, {"batch size", 16}, {"learning rate", 1e-2}}},
    {"training share", 0.6},
    {"device", "cpu"},
    {"prior modes", 8}};

  /** Little of everything that a method can have much of. */
  json
  few(const std::string &method)
  {
    const json all    = {{"members", 3},
                         {"samples", 8},
                         {"covariance rank", 3},
                         {"steps", 20},
                         {"folds", 2}};
    json       result = json::object();
    for (const auto &parameter :
         ProbabilisticOperatorRegistry::entries().at(method).parameters)
      if (all.contains(parameter.name))
        result[parameter.name] = all[parameter.name];
    return result;
  }

  std::vector<std::string>
  method_names()
  {
    register_probabilistic_operators();
    std::vector<std::string> result;
    for (const auto &entry : ProbabilisticOperatorRegistry::entries())
      result.push_back(entry.first);
    return result;
  }

  json
  by_method(const std::string &method, const json &changes = json::object())
  {
    auto result           = small;
    result["uncertainty"] = method;
    if (method != "none")
      result["uncertainty parameters"] = few(method);
    result.update(changes);
    return result;
  }

  std::unique_ptr<Surrogate>
  make(const AnalyticFamily &family, const json &parameters)
  {
    return make_surrogate("neural operator",
                          family.ranges(),
                          parameters,
                          "run.prm");
  }

  /** κ of @p snapshots. */
  torch::Tensor
  opinions(const Surrogate      &surrogate,
           const AnalyticFamily &family,
           const Snapshots      &snapshots)
  {
    ModelFile file;
    surrogate.save(file);
    return column(surrogate.summarize(snapshots, family.norms(snapshots)),
                  -1 - file.tensor("modes").size(1));
  }

  class MethodsOfSurrogates : public testing::TestWithParam<std::string>
  {
  protected:
    std::unique_ptr<Surrogate>
    fitted(const json &changes = json::object()) const
    {
      auto result = make(family, by_method(GetParam(), changes));
      result->fit(SnapshotsInMemory(family.draw(40, 1)), family.space, {});
      return result;
    }

    const AnalyticFamily family;
  };



  TEST_P(MethodsOfSurrogates, FitPredictAndAreKept)
  {
    const auto surrogate = fitted();
    update(*surrogate, family, family.draw(20, 2));
    const auto fresh      = family.draw(10, 3);
    const auto prediction = surrogate->predict(fresh);
    const auto said       = opinions(*surrogate, family, fresh);
    EXPECT_TRUE(said.isfinite().all().item<bool>());
    EXPECT_GT(number(said.min()), 0.);
    EXPECT_GT(number(said.max() - said.min()), 1e-3 * number(said.max()));
    EXPECT_LT(number(family.error(prediction.mean, fresh).square().mean()),
              number(family.error(fresh.prior, fresh).square().mean()));
    const auto ratio =
      family.space.norm(prediction.mean - fresh.solution) / prediction.scale;
    EXPECT_LT(number(ratio.square().mean().sqrt()), 3.);
    EXPECT_GT(number(ratio.square().mean().sqrt()), 0.2);
    // What is said of an input does not depend on the others.
    EXPECT_LT(distance(opinions(*surrogate, family, rows(fresh, 4, 5)),
                       said.slice(0, 4, 5)),
              1e-4 * number(said.max()));

    ModelFile file;
    surrogate->save(file);
    file.filename   = "some/model";
    const auto copy = make(family, by_method(GetParam()));
    copy->load(file, 0, 81, {});
    const auto again = copy->predict(fresh);
    EXPECT_TRUE(torch::equal(again.mean, prediction.mean));
    EXPECT_TRUE(torch::equal(again.scale, prediction.scale));
    EXPECT_TRUE(torch::equal(copy->held_out_scores().scale,
                             surrogate->held_out_scores().scale));
    EXPECT_TRUE(torch::equal(opinions(*copy, family, fresh), said));

    // Anything else than what has been saved is refused.
    const std::string another =
      GetParam() == "dropout" ? "last layer" : "dropout";
    for (const std::string &method : {another, std::string("none")})
      expect_sentence(message_of<FileError>([&]() {
                        make(family, by_method(method))->load(file, 0, 81, {});
                      }),
                      {"some/model", "uncertainty", method});
    auto broken = file;
    broken.metadata.erase("uncertainty");
    expect_sentence(message_of<FileError>(
                      [&]() { copy->load(broken, 0, 81, {}); }),
                    {"some/model"});
    for (const auto &entry : file.tensors)
      if (entry.first.find("operator") == 0 ||
          entry.first.find("gaussian process") == 0)
        {
          broken = file;
          broken.tensors[entry.first] =
            torch::zeros({2, 3, 2}, entry.second.options());
          expect_sentence(message_of<FileError>(
                            [&]() { copy->load(broken, 0, 81, {}); }),
                          {"some/model"});
        }
  }



  // Threads share what a process has by itself, random numbers among them:
  // answers that draw them cannot be compared, nor can several operators be
  // trained at once (for these there is a test with processes).
  TEST_P(MethodsOfSurrogates, RanksHaveTheSame)
  {
    if (make_probabilistic_operator(GetParam(), few(GetParam()), "a test")
          ->is_shared_out())
      GTEST_SKIP() << "in tests/coupling/operator_training.cc";
    const auto data = family.draw(16, 1), fresh = family.draw(5, 3);
    const auto fit = [&](const Communicator &communicator) {
      auto surrogate =
        make(family, by_method(GetParam(), {{"training", {{"epochs", 1}}}}));
      surrogate->fit(SnapshotsInMemory(data), family.space, communicator);
      return surrogate;
    };
    std::vector<std::unique_ptr<Surrogate>> surrogates(2);
    SimulatedRanks                          ranks(2);
    ranks.run([&](const Communicator &communicator) {
      surrogates[communicator.rank] = fit(communicator);
    });
    surrogates.push_back(fit({}));

    std::vector<ModelFile> files(3);
    for (std::size_t i = 0; i < 3; ++i)
      surrogates[i]->save(files[i]);
    const auto expected = surrogates[0]->predict(fresh);
    for (std::size_t i = 1; i < 3; ++i)
      {
        EXPECT_EQ(files[i].metadata, files[0].metadata);
        ASSERT_EQ(files[i].tensors.size(), files[0].tensors.size());
        if (GetParam() == "dropout")
          continue;
        for (const auto &[name, tensor] : files[0].tensors)
          EXPECT_TRUE(torch::equal(files[i].tensor(name), tensor)) << name;
        const auto prediction = surrogates[i]->predict(fresh);
        EXPECT_TRUE(torch::equal(prediction.mean, expected.mean));
        EXPECT_TRUE(torch::equal(prediction.scale, expected.scale));
      }
  }

  INSTANTIATE_TEST_SUITE_P(All,
                           MethodsOfSurrogates,
                           testing::ValuesIn(method_names()),
                           [](const testing::TestParamInfo<std::string> &info) {
                             return test_name(info.param);
                           });



  // Parameters outside of those of the training.
  TEST(UncertainSurrogates, UnusualInputsAreNoticed)
  {
    const AnalyticFamily family;
    auto                 usual = family.draw(20, 3).parameters;
    auto                 far   = usual.clone();
    column(far, 2).copy_(torch::sign(column(far, 2)) * 3.);
    const auto near_data = family.solve(usual), far_data = family.solve(far);
    for (const std::string method : {"cross-fitted", "deep ensemble"})
      {
        auto parameters                               = by_method(method);
        parameters["training"]                        = {{"epochs", 60},
                                                         {"batch size", 16},
                                                         {"learning rate", 1e-2}};
        parameters["uncertainty parameters"]["steps"] = 200;
        if (method != "cross-fitted")
          parameters["uncertainty parameters"].erase("steps");
        const auto surrogate = make(family, parameters);
        surrogate->fit(SnapshotsInMemory(family.draw(60, 1)), family.space, {});
        update(*surrogate, family, family.draw(30, 2));
        const auto median = [](const torch::Tensor &values) {
          return number(values.median());
        };
        const auto relative_scale = [&](const Snapshots &data) {
          const auto prediction = surrogate->predict(data);
          return median(prediction.scale / prediction.norm);
        };
        const double opinion = median(opinions(*surrogate, family, far_data)) /
                               median(opinions(*surrogate, family, near_data)),
                     scale =
                       relative_scale(far_data) / relative_scale(near_data);
        std::printf("%s: opinion %g scale %g\n",
                    method.c_str(),
                    opinion,
                    scale);
        EXPECT_GT(opinion, 1.5);
        EXPECT_GT(scale, 2.);
      }
  }



  TEST(UncertainSurrogates, TheDefaultIsCrossFitted)
  {
    const AnalyticFamily family;
    register_surrogates();
    for (const auto &parameter :
         SurrogateRegistry::entries().at("neural operator").parameters)
      if (parameter.name == "uncertainty")
        {
          EXPECT_EQ(parameter.default_value, "cross-fitted");
          for (const auto &method : method_names())
            EXPECT_NE(parameter.documentation.find(method), std::string::npos)
              << method;
        }
    auto parameters                      = small;
    parameters["uncertainty parameters"] = few("cross-fitted");
    const auto surrogate                 = make(family, parameters);
    surrogate->fit(SnapshotsInMemory(family.draw(10, 1)), family.space, {});
    ModelFile file;
    surrogate->save(file);
    EXPECT_EQ(file.metadata["uncertainty"]["method"], "cross-fitted");
    // (with the parameters given: three heads)
    EXPECT_EQ(OperatorModel::load(file)->n_members(), 3);

    auto nothing  = family.draw(10, 3);
    nothing.prior = torch::zeros_like(nothing.prior);
    surrogate->fit(SnapshotsInMemory(nothing), family.space, {});
    EXPECT_TRUE(
      surrogate->predict(nothing).scale.isfinite().all().item<bool>());
  }



  TEST(UncertainSurrogates, MistakesAreExplained)
  {
    const AnalyticFamily family;
    const auto           check = [&](const json                     &changes,
                           const std::vector<std::string> &parts) {
      auto all = parts;
      all.push_back("run.prm");
      all.push_back("neural operator");
      auto given = small;
      given.update(changes);
      expect_sentence(message_of<InputError>([&]() { make(family, given); }),
                      all);
    };
    check({{"uncertainty", "oracle"}},
          {"uncertainty is 'oracle'", "none", "cross-fitted", "Laplace"});
    check({{"uncertainty parameters", {{"folds", 1}}}},
          {"uncertainty parameters", "folds", "'1'"});
    check({{"uncertainty", "deep ensemble"},
           {"uncertainty parameters", {{"folds", 3}}}},
          {"uncertainty parameters", "folds", "members"});
    check({{"uncertainty", "none"}, {"uncertainty parameters", {{"folds", 3}}}},
          {"uncertainty parameters", "folds", "none"});
    check({{"uncertainty", "dropout"},
           {"operator", "DeepONet"},
           {"operator parameters", json::object()}},
          {"uncertainty is 'dropout'",
           "DeepONet",
           "none, Gaussian likelihood"});
    check({{"loss", "relative H1"}},
          {"loss is 'relative H1'", "relative L2", "cross-fitted", "'none'"});
    check({{"loss parameters", {{"floor", 0.1}}}},
          {"loss parameters", "floor", "cross-fitted"});
  }



  TEST(UncertainSurrogates, BasesAreOnesOfTheTraining)
  {
    const AnalyticFamily family;
    const auto           data = family.draw(60, 1), fresh = family.draw(20, 3);
    for (const std::string method : {"none", "last layer"})
      {
        auto parameters                   = by_method(method);
        parameters["operator"]            = "POD DeepONet";
        parameters["operator parameters"] = {{"basis", 8}, {"width", 16}};
        parameters["training"]            = {{"epochs", 40},
                                             {"batch size", 16},
                                             {"learning rate", 5e-3}};
        std::vector<torch::Tensor> means(2);
        SimulatedRanks             ranks(2);
        ranks.run([&](const Communicator &communicator) {
          const auto surrogate = make(family, parameters);
          surrogate->fit(SnapshotsInMemory(data), family.space, communicator);
          means[communicator.rank] = surrogate->predict(fresh).mean;
        });
        EXPECT_TRUE(torch::equal(means[0], means[1]));
        const auto norm = [](const torch::Tensor &values) {
          return number(values.square().mean().sqrt());
        };
        const double error = norm(family.error(means[0], fresh)),
                     prior = norm(family.error(fresh.prior, fresh));
        std::printf("%s: %g, coarse %g\n", method.c_str(), error, prior);
        EXPECT_LT(error, 0.3 * prior);
      }
  }
} // namespace
