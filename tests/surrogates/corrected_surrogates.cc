// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/surrogate.h>
#include <neuraldeal/surrogates/training/trainer.h>

#include <memory>

#include "analytic_family.h"
#include "script_module.h"
#include "simulated_ranks.h"

// What holds for every surrogate is tested in pod_surrogates.cc; here is what
// only those have that are a map and its remainder.

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const nlohmann::json fourier = {
    {"operator", "Fourier"},
    {"operator parameters",
     {{"width", 8}, {"layers", 2}, {"modes", 4}, {"padding", 0.25}}},
    {"training", {{"epochs", 30}, {"batch size", 16}, {"learning rate", 1e-2}}},
    {"uncertainty", "none"},
    {"device", "cpu"},
    {"prior modes", 8}};

  const nlohmann::json attention = {
    {"operator", "attention"},
    {"operator parameters",
     {{"width", 16}, {"layers", 1}, {"heads", 2}, {"slices", 8}}},
    {"training", {{"epochs", 30}, {"batch size", 16}, {"learning rate", 5e-3}}},
    {"uncertainty", "none"},
    {"device", "cpu"},
    {"prior modes", 8}};

  nlohmann::json
  with(nlohmann::json parameters, const nlohmann::json &changes)
  {
    parameters.update(changes);
    return parameters;
  }



  std::unique_ptr<Surrogate>
  make(const AnalyticFamily &family,
       const nlohmann::json &parameters,
       const std::string    &type = "neural operator")
  {
    return make_surrogate(type, family.ranges(), parameters, "run.prm");
  }



  /** Fitted with 60 snapshots and calibrated with 30. */
  std::unique_ptr<Surrogate>
  fitted(const AnalyticFamily &family,
         const nlohmann::json &parameters,
         const std::string    &type = "neural operator")
  {
    auto result = make(family, parameters, type);
    result->fit(SnapshotsInMemory(family.draw(60, 1)), family.space, {});
    update(*result, family, family.draw(30, 2));
    return result;
  }



  double
  root_mean_square(const torch::Tensor &values)
  {
    return values.square().mean().sqrt().item<double>();
  }



  /** A map of a family's fields that leaves what is known of them alone. */
  const char *damping = R"(
    def forward(self, parameters, prior):
        return prior * (0.97 + 0.01 * torch.tanh(parameters[:, 2:3]))
  )";



  /** The family with values on its boundary that the coarse solution has. */
  class BoundaryFamily : public AnalyticFamily
  {
  public:
    BoundaryFamily()
    {
      const auto x = points[0], y = points[1];
      boundary = ((x - 0.5).abs() > 0.49) | ((y - 0.5).abs() > 0.49);
    }

    Snapshots
    solve(const torch::Tensor &parameters) const override
    {
      auto       result = AnalyticFamily::solve(parameters);
      const auto values = (0.3 + points[1]).expand_as(result.prior);
      result.prior      = torch::where(boundary, values, result.prior);
      result.solution   = torch::where(boundary, values, result.solution);
      return result;
    }

    torch::Tensor boundary;
  };



  TEST(CorrectedSurrogates, BoundaryValuesAreExact)
  {
    const TemporaryFolder folder;
    write_script_module(folder / "module.pt", damping);
    const BoundaryFamily family;
    const auto           fresh = family.draw(50, 3);
    for (const bool script : {false, true})
      {
        const auto surrogate =
          script ?
            fitted(family, {{"file", folder / "module.pt"}}, "TorchScript") :
            fitted(family, fourier);
        const auto boundary = family.boundary.nonzero().squeeze(1),
                   interior =
                     family.boundary.logical_not().nonzero().squeeze(1);
        ASSERT_EQ(boundary.numel(), 32);
        const auto on = [](const torch::Tensor &fields,
                           const torch::Tensor &where) {
          return fields.index_select(1, where);
        };
        const auto mean = surrogate->predict(fresh).mean;
        EXPECT_TRUE(
          torch::equal(on(mean, boundary), on(fresh.prior, boundary)));
        EXPECT_GT((on(mean, interior) - on(fresh.prior, interior))
                    .abs()
                    .min()
                    .item<double>(),
                  0.);
        // for other boundary values as well: nothing is learned of them
        auto others  = fresh;
        others.prior = fresh.prior + 0.01;
        EXPECT_TRUE(torch::equal(on(surrogate->predict(others).mean, boundary),
                                 on(others.prior, boundary)));
        EXPECT_TRUE(torch::equal(
          on(surrogate->held_out_mean(3, fresh.prior[0]).unsqueeze(0),
             boundary),
          on(fresh.prior.slice(0, 0, 1), boundary)));
      }
  }



  // The remainder is learned from snapshots that the map has not seen, and
  // there are as many of them as the share says.
  TEST(CorrectedSurrogates, RemainderLearnsFromOthers)
  {
    const TemporaryFolder folder;
    write_script_module(folder / "module.pt", damping);
    const AnalyticFamily family;
    const auto           data      = family.draw(50, 1);
    const auto           n_learned = [&](const Surrogate &surrogate) {
      ModelFile file;
      surrogate.save(file);
      EXPECT_EQ(surrogate.n_snapshots(), 50);
      return file.tensor("kernel.inputs").size(0) / 2; // two images each
    };
    for (const auto &[share, n] :
         {std::pair<double, long>{0.8, 10}, {0.5, 25}, {0.1, 45}})
      {
        const auto surrogate = make(family,
                                    with(fourier,
                                         {{"training share", share},
                                          {"training", {{"epochs", 1}}}}));
        surrogate->fit(SnapshotsInMemory(data), family.space, {});
        EXPECT_EQ(n_learned(*surrogate), n);
      }
    const auto script =
      make(family, {{"file", folder / "module.pt"}}, "TorchScript");
    script->fit(SnapshotsInMemory(data), family.space, {});
    EXPECT_EQ(n_learned(*script), 50);

    // Three are the fewest.
    const auto few =
      make(family, with(fourier, {{"training", {{"epochs", 1}}}}));
    few->fit(SnapshotsInMemory(rows(data, 0, 3)), family.space, {});
    EXPECT_EQ(few->n_snapshots(), 3);
    expect_sentence(message_of<InputError>([&]() {
                      few->fit(SnapshotsInMemory(rows(data, 0, 2)),
                               family.space,
                               {});
                    }),
                    {"neural operator", "'2'", "3 at least"});
  }



  // An operator that fits its own snapshots closely, and others badly, is not
  // believed: the scale is that of the errors which are made.
  TEST(CorrectedSurrogates, OverfittingIsNoticed)
  {
    const AnalyticFamily family;
    const auto           fresh = family.draw(100, 3);
    auto                 wild  = attention;
    wild["training"]           = {{"epochs", 300},
                                  {"batch size", 8},
                                  {"learning rate", 2e-2},
                                  {"weight decay", 0.}};
    const auto surrogate       = make(family, wild);
    surrogate->fit(SnapshotsInMemory(family.draw(15, 1)), family.space, {});
    update(*surrogate, family, family.draw(60, 2));
    const auto prediction = surrogate->predict(fresh);
    const auto ratio =
      family.space.norm(prediction.mean - fresh.solution) / prediction.scale;
    std::printf("ratio rms %g max %g\n",
                root_mean_square(ratio),
                ratio.max().item<double>());
    EXPECT_LT(root_mean_square(ratio), 1.5);
    EXPECT_GT(root_mean_square(ratio), 0.5);
  }



  // What is said of the coarse solution is about that of the host, not about
  // the map; all norms are computed once more with the full mass matrix.
  TEST(CorrectedSurrogates, ScoresAreThoseOfTheHost)
  {
    const AnalyticFamily family;
    const auto           held_out  = family.draw(30, 2);
    const auto           surrogate = fitted(family, fourier);
    const auto           mass      = family.grid.dense_mass();
    const auto           norm      = [&](const torch::Tensor &fields) {
      return (torch::mm(fields, mass) * fields).sum(1).sqrt();
    };
    const auto solution = norm(held_out.solution);

    std::vector<torch::Tensor> means;
    for (long i = 0; i < 30; ++i)
      means.push_back(surrogate->held_out_mean(i, held_out.prior[i]));
    const auto mean   = torch::stack(means);
    const auto scores = surrogate->held_out_scores();
    const auto check  = [&](const torch::Tensor &found,
                           const torch::Tensor &expected,
                           const double         tolerance) {
      EXPECT_LT(((found - expected) / expected).abs().max().item<double>(),
                tolerance);
    };
    // single precision in the coefficients of what is left
    check(scores.prior_error,
          norm(held_out.solution - held_out.prior) / solution,
          1e-12);
    check(scores.error, norm(held_out.solution - mean) / solution, 1e-3);
    const auto correction = norm(mean - held_out.prior) / solution;
    check(scores.prior_scale,
          (correction.square() + scores.scale.square()).sqrt(),
          1e-5);

    const auto fresh      = family.draw(20, 3);
    const auto prediction = surrogate->predict(fresh, {true, true});
    check(prediction.norm, norm(prediction.mean), 1e-12);
    check(prediction.correction, norm(prediction.mean - fresh.prior), 1e-12);
    // The scale holds the covariance, and what its basis does not.
    const auto &factor = prediction.covariance_factor;
    const auto  trace  = torch::einsum("nik,ij,njk->n", {factor, mass, factor});
    EXPECT_TRUE(((prediction.scale.square() - trace) > 0.).all().item<bool>());
    EXPECT_LT(distance(prediction.standard_deviation,
                       factor.square().sum(2).sqrt()),
              1e-14);
  }



  // Symmetries hold for the answers, whatever the map is like, and not only
  // for those that are their own inverse.
  TEST(CorrectedSurrogates, AnswersAreSymmetric)
  {
    const TemporaryFolder folder;
    write_script_module(folder / "module.pt", damping);
    const TurningFamily family;
    const auto          fresh = family.draw(30, 3);
    for (const bool script : {false, true})
      {
        const auto surrogate =
          script ?
            fitted(family, {{"file", folder / "module.pt"}}, "TorchScript") :
            fitted(family, fourier);
        auto predicted     = fresh;
        predicted.solution = surrogate->predict(fresh).mean;
        for (const long g : {1, 2, 3})
          {
            const auto of_image =
              surrogate->predict(family.image(fresh, g)).mean;
            const auto image_of = family.image(predicted, g).solution;
            EXPECT_LT(distance(of_image, image_of), 2e-6);
            EXPECT_GT(distance(of_image, predicted.solution), 1e-3);
          }
        const double prior = root_mean_square(family.error(fresh.prior, fresh));
        const double found =
          root_mean_square(family.error(predicted.solution, fresh));
        std::printf("prior %g found %g\n", prior, found);
        EXPECT_LT(found, 0.2 * prior);
      }
  }



  // What a random symmetry does to a sample in training: channels and points.
  TEST(CorrectedSurrogates, TrainerTurnsChannels)
  {
    const AnalyticFamily family;
    const auto           data = family.draw(12, 1);
    OperatorData         samples;
    samples.input.fields = data.parameters.to(torch::kFloat32)
                             .reshape({12, 3, 1, 1})
                             .expand({12, 3, 9, 9});
    samples.prior    = data.prior.to(torch::kFloat32).reshape({12, 1, 9, 9});
    samples.target   = data.solution.to(torch::kFloat32).reshape({12, 1, 9, 9});
    const auto image = family.image(data, 1);
    auto       turned   = samples;
    turned.input.fields = image.parameters.to(torch::kFloat32)
                            .reshape({12, 3, 1, 1})
                            .expand({12, 3, 9, 9});
    turned.prior  = image.prior.to(torch::kFloat32).reshape({12, 1, 9, 9});
    turned.target = image.solution.to(torch::kFloat32).reshape({12, 1, 9, 9});

    auto parameters   = Trainer::parse(fourier["training"], "the test");
    parameters.epochs = 2;
    std::vector<std::vector<torch::Tensor>> weights;
    for (const bool by_trainer : {true, false})
      {
        const auto model =
          std::make_shared<OperatorModel>("Fourier",
                                          OperatorShape{3, 1, 2},
                                          fourier["operator parameters"],
                                          true,
                                          "the test",
                                          1);
        model->set_scales(turned);
        const auto &symmetry = family.space.symmetries[1];
        Trainer     trainer(
          model,
          by_trainer ? samples : turned,
          {},
          make_loss("relative L2", nlohmann::json::object(), "the test"),
          by_trainer ? symmetry.points.unsqueeze(0) : torch::Tensor(),
          parameters);
        if (by_trainer)
          trainer.set_channel_symmetries(symmetry.parameters.unsqueeze(0));
        trainer.run(false);
        weights.push_back(model->parameters());
      }
    for (std::size_t i = 0; i < weights[0].size(); ++i)
      EXPECT_TRUE(torch::equal(weights[0][i], weights[1][i]));
  }



  /** The family with its values in another order. */
  class ShuffledFamily : public AnalyticFamily
  {
  public:
    ShuffledFamily()
      : numbers(random_uniform({81}, 0., 1., 50).argsort())
    {
      const auto back = numbers.argsort();
      space.mass      = grid.dense_mass()
                     .index_select(0, numbers)
                     .index_select(1, numbers)
                     .to_sparse();
      space.points = space.points.index_select(0, numbers);
      for (auto &symmetry : space.symmetries)
        symmetry.points =
          back.index_select(0, symmetry.points.index_select(0, numbers));
    }

    Snapshots
    solve(const torch::Tensor &parameters) const override
    {
      auto result     = AnalyticFamily::solve(parameters);
      result.prior    = result.prior.index_select(1, numbers);
      result.solution = result.solution.index_select(1, numbers);
      return result;
    }

    const torch::Tensor numbers;
  };



  // The order of the values, which is that of a mesh, does not matter.
  TEST(CorrectedSurrogates, GridsAreFoundInAnyOrder)
  {
    const AnalyticFamily family;
    const ShuffledFamily shuffled;
    const auto a = fitted(family, fourier), b = fitted(shuffled, fourier);
    const auto mean =
      a->predict(family.draw(40, 3)).mean.index_select(1, shuffled.numbers);
    EXPECT_LT(distance(b->predict(shuffled.draw(40, 3)).mean, mean), 1e-5);
  }



  /** The family at random points, with the trapezoidal rule's weights. */
  class CloudFamily : public AnalyticFamily
  {
  public:
    CloudFamily()
    {
      points       = random_uniform({2, 81}, 0., 1., 51);
      space.points = points.t().contiguous();
      space.mass =
        torch::diag(torch::full({81}, 1. / 81., torch::kFloat64)).to_sparse();
      space.symmetries = {{torch::arange(3), torch::arange(81)}};
    }
  };



  TEST(CorrectedSurrogates, PointsNeedNoGrid)
  {
    const CloudFamily family;
    const auto        fresh     = family.draw(100, 3);
    const auto        surrogate = fitted(family, attention);
    const auto        mean      = surrogate->predict(fresh).mean;
    const double prior = root_mean_square(family.error(fresh.prior, fresh)),
                 found = root_mean_square(family.error(mean, fresh));
    std::printf("prior %g found %g\n", prior, found);
    EXPECT_LT(found, 0.3 * prior);

    // operators with sensors are told how many there are
    const auto onet =
      fitted(family,
             with(attention,
                  {{"operator", "DeepONet"},
                   {"operator parameters", {{"width", 16}, {"basis", 8}}}}));
    EXPECT_LT(root_mean_square(family.error(onet->predict(fresh).mean, fresh)),
              0.5 * prior);

    const auto refused = make(family, fourier);
    expect_sentence(message_of<InputError>([&]() {
                      refused->fit(SnapshotsInMemory(family.draw(5, 1)),
                                   family.space,
                                   {});
                    }),
                    {"neural operator", "Fourier", "no regular grid"});
    auto nowhere   = family.space;
    nowhere.points = torch::Tensor();
    expect_sentence(message_of<InputError>([&]() {
                      refused->fit(SnapshotsInMemory(family.draw(5, 1)),
                                   nowhere,
                                   {});
                    }),
                    {"neural operator", "points", "not given"});
  }



  /**
   * Two components at each point, one after the other: two different fields
   * of different size, or two that the reflection exchanges.
   */
  class VectorFamily : public AnalyticFamily
  {
  public:
    explicit VectorFamily(const bool exchange)
      : exchange(exchange)
    {
      const auto mass = grid.dense_mass();
      const auto two  = torch::eye(2, torch::kFloat64);
      space.mass      = torch::einsum("ij,kl->ikjl", {mass, two})
                     .reshape({162, 162})
                     .to_sparse();
      space.points     = points.t().repeat_interleave(2, 0).contiguous();
      space.symmetries = {{torch::arange(3), torch::arange(162)}};
      if (exchange)
        {
          const auto image = grid.reflection();
          space.symmetries.push_back(
            {torch::tensor({1, 0, 2}, torch::kInt64),
             torch::stack({2 * image + 1, 2 * image}, 1).reshape({-1})});
        }
    }

    Snapshots
    solve(const torch::Tensor &parameters) const override
    {
      auto       result = AnalyticFamily::solve(parameters);
      const auto image  = AnalyticFamily::solve(
        parameters.index_select(1, torch::tensor({1, 0, 2}, torch::kInt64)));
      const auto x    = points[0];
      const auto both = [&](const torch::Tensor &a, const torch::Tensor &b) {
        return torch::stack({exchange ? a * (1. + x) : a,
                             exchange ? a * (2. - x) : 10. * b},
                            2)
          .flatten(1);
      };
      result.prior    = both(result.prior, image.prior);
      result.solution = both(result.solution, image.solution);
      return result;
    }

    const bool exchange;
  };



  TEST(CorrectedSurrogates, ComponentsAreChannels)
  {
    for (const bool exchange : {false, true})
      {
        const VectorFamily family(exchange);
        const auto         fresh = family.draw(60, 3);
        // that the symmetry is one
        const long last  = family.space.symmetries.size() - 1;
        const auto image = family.image(fresh, last);
        ASSERT_LT(distance(family.solve(image.parameters).solution,
                           image.solution),
                  1e-13);
        const auto surrogate = fitted(family, fourier);
        ModelFile  file;
        surrogate->save(file);
        EXPECT_EQ(file.metadata["operator"]["out channels"], 2);
        const double prior = root_mean_square(family.error(fresh.prior, fresh)),
                     found = root_mean_square(
                       family.error(surrogate->predict(fresh).mean, fresh));
        std::printf("prior %g found %g\n", prior, found);
        EXPECT_LT(found, 0.3 * prior);
      }
  }



  // A host without a coarse solution gives zeros.
  TEST(CorrectedSurrogates, CoarseSolutionsMayBeAbsent)
  {
    const AnalyticFamily family;
    const auto           without = [](Snapshots snapshots) {
      snapshots.prior = torch::zeros_like(snapshots.prior);
      return snapshots;
    };
    const auto surrogate = make(family, fourier);
    surrogate->fit(SnapshotsInMemory(without(family.draw(60, 1))),
                   family.space,
                   {});
    const auto held_out = without(family.draw(30, 2)),
               fresh    = without(family.draw(100, 3));
    update(*surrogate, family, held_out);
    ModelFile file;
    surrogate->save(file);
    EXPECT_FALSE(file.metadata["operator"]["coarse solution"].get<bool>());
    const auto   prediction = surrogate->predict(fresh);
    const double found = root_mean_square(family.error(prediction.mean, fresh));
    const double ratio = root_mean_square(
      family.space.norm(prediction.mean - fresh.solution) / prediction.scale);
    std::printf("found %g ratio %g\n", found, ratio);
    EXPECT_LT(found, 0.1);
    EXPECT_LT(ratio, 1.5);
    EXPECT_GT(ratio, 0.5);
    EXPECT_LT(surrogate->held_out_scores()
                .prior_error.sub(1.)
                .abs()
                .max()
                .item<double>(),
              1e-12);
  }



  // The surrogates that begin with a coarse solution say that they need one.
  TEST(CorrectedSurrogates, OthersNeedCoarseSolutions)
  {
    const AnalyticFamily family;
    auto                 data = family.draw(10, 1);
    data.prior.zero_();
    for (const std::string type : {"POD kernel regression", "POD network"})
      {
        const auto surrogate = make(family, nlohmann::json::object(), type);
        EXPECT_TRUE(surrogate->supports_slices());
        expect_sentence(message_of<InputError>([&]() {
                          surrogate->fit(SnapshotsInMemory(data),
                                         family.space,
                                         {});
                        }),
                        {type, "coarse solution", "zero"});
      }
  }



  TEST(CorrectedSurrogates, SeedDecides)
  {
    const AnalyticFamily family;
    const auto           data  = family.draw(20, 1);
    const auto           fresh = family.draw(10, 3);
    const auto           field = [&](const long seed) {
      const auto surrogate =
        make(family,
             with(attention, {{"seed", seed}, {"training", {{"epochs", 3}}}}));
      surrogate->fit(SnapshotsInMemory(data), family.space, {});
      return surrogate->predict(fresh).mean;
    };
    const auto one = field(1);
    EXPECT_TRUE(torch::equal(one, field(1)));
    EXPECT_FALSE(torch::equal(one, field(2)));
  }



  TEST(CorrectedSurrogates, GroupsAreRefused)
  {
    const AnalyticFamily family;
    const auto           surrogate =
      make(family, with(fourier, {{"training", {{"epochs", 1}}}}));
    surrogate->fit(SnapshotsInMemory(family.draw(10, 1)), family.space, {});
    ModelFile file;
    surrogate->save(file);
    file.filename = "some/model";
    EXPECT_FALSE(surrogate->supports_slices());
    Communicator two;
    two.size = 2;
    expect_sentence(message_of<FileError>(
                      [&]() { make(family, fourier)->load(file, 0, 40, two); }),
                    {"some/model", "neural operator", "whole fields", "2"});
  }



  TEST(CorrectedSurrogates, FailuresReachAllRanks)
  {
    const AnalyticFamily family;
    auto                 data = family.draw(10, 1);
    data.solution.fill_(NAN);
    std::vector<std::string> messages(2);
    SimulatedRanks           ranks(2);
    ranks.run([&](const Communicator &communicator) {
      const auto surrogate = make(family, fourier);
      try
        {
          surrogate->fit(SnapshotsInMemory(data), family.space, communicator);
        }
      catch (const std::runtime_error &error)
        {
          messages[communicator.rank] = error.what();
        }
    });
    for (const auto &message : messages)
      expect_sentence(message, {"diverged", "epoch 1"});
  }



  TEST(CorrectedSurrogates, WrongParametersAreExplained)
  {
    const AnalyticFamily family;
    const auto           check = [&](const nlohmann::json           &changes,
                           const std::vector<std::string> &parts) {
      auto all = parts;
      all.push_back("run.prm");
      all.push_back("neural operator");
      expect_sentence(message_of<InputError>(
                        [&]() { make(family, with(fourier, changes)); }),
                      all);
    };
    check({{"operator", "Furier"}}, {"operator", "Furier", "attention"});
    check({{"operator parameters", {{"widht", 8}}}},
          {"operator parameters", "widht", "width"});
    check({{"operator parameters", {{"width", 0}}}},
          {"operator parameters", "width", "'0'"});
    check({{"training", {{"epochs", -1}}}}, {"training", "epochs", "-1"});
    check({{"training", {{"schedule", "none"}}}},
          {"training", "none", "cosine"});
    check({{"training", {{"patience", 3}}}}, {"training", "patience", "'3'"});
    check({{"loss", "L3"}}, {"loss", "L3", "relative L2"});
    check({{"loss parameters", {{"flor", 1.}}}}, {"loss parameters", "flor"});
    check({{"device", "gpu"}}, {"device", "gpu", "auto"});
    // an object is meant
    expect_sentence(message_of<InputError>([&]() {
                      make(family, with(fourier, {{"training", "fast"}}));
                    }),
                    {"run.prm", "training", "fast", "{}"});
  }



  TEST(CorrectedSurrogates, LossesAreTheUsersChoice)
  {
    const AnalyticFamily family;
    const auto           data = family.draw(10, 1), fresh = family.draw(5, 3);
    const auto           fit = [&](const nlohmann::json &changes) {
      const auto surrogate =
        make(family,
             with(with(fourier, {{"training", {{"epochs", 2}}}}), changes));
      surrogate->fit(SnapshotsInMemory(data), family.space, {});
      return surrogate->predict(fresh).mean;
    };
    EXPECT_FALSE(torch::equal(fit(nlohmann::json::object()),
                              fit({{"loss", "relative H1"}})));
    expect_sentence(message_of<InputError>([&]() {
                      fit({{"loss", "relative energy"}});
                    }),
                    {"neural operator", "stiffness"});
  }



  class TorchScript : public testing::Test
  {
  protected:
    /** Fit a module of that source, or of those bytes. */
    void
    fit(const std::string &source)
    {
      write_script_module(file, source);
      fit_file();
    }

    void
    fit_file()
    {
      surrogate = make(family, {{"file", file}}, "TorchScript");
      surrogate->fit(SnapshotsInMemory(family.draw(20, 1)), family.space, {});
    }

    void
    expect_refusal(const std::string              &source,
                   const std::vector<std::string> &parts)
    {
      auto all = parts;
      all.push_back(file);
      expect_sentence(message_of<FileError>([&]() { fit(source); }), all);
    }

    const AnalyticFamily       family;
    const TemporaryFolder      folder;
    const std::string          file = folder / "module.pt";
    std::unique_ptr<Surrogate> surrogate;
  };



  TEST_F(TorchScript, BothTypesOfNumbersWillDo)
  {
    const auto fresh = family.draw(10, 3);
    fit(damping);
    const auto mean = surrogate->predict(fresh).mean;
    fit(R"(
      def forward(self, parameters, prior):
          return prior.double() * (0.97 + 0.01 * torch.tanh(parameters[:, 2:3]))
    )");
    EXPECT_LT(distance(surrogate->predict(fresh).mean, mean), 1e-4);
  }



  TEST_F(TorchScript, BrokenContractsAreExplained)
  {
    expect_refusal(R"(
      def forward(self, parameters):
          return parameters
    )",
                   {"1 arguments", "two"});
    expect_refusal(R"(
      def forward(self, a, b, c):
          return a
    )",
                   {"3 arguments", "two"});
    expect_refusal(R"(
      def run(self, parameters, prior):
          return prior
    )",
                   {"forward"});
    expect_refusal(R"(
      def forward(self, parameters, prior):
          return prior[:, 1:]
    )",
                   {"[5, 80]", "[5, 81]"});
    expect_refusal(R"(
      def forward(self, parameters, prior):
          return prior.half()
    )",
                   {"Half", "float32"});
    expect_refusal(R"(
      def forward(self, parameters, prior):
          return (prior, prior)
    )",
                   {"Tuple", "tensor"});
    expect_refusal(R"(
      def forward(self, parameters, prior):
          return prior / torch.zeros_like(prior)
    )",
                   {"not finite"});
    expect_refusal(R"(
      def forward(self, parameters, prior):
          return prior + 0.1 * torch.rand_like(prior)
    )",
                   {"two answers"});
    expect_refusal(R"(
      def forward(self, parameters, prior):
          return prior - prior.mean(0, True)
    )",
                   {"others of the batch"});
    expect_refusal(R"(
      def forward(self, parameters, prior):
          return torch.mm(prior, parameters)
    )",
                   {"fails", "[5, 3]", "[5, 81]"});
    write_bytes(file, "no module");
    expect_sentence(message_of<FileError>([&]() { fit_file(); }),
                    {file, "TorchScript"});
  }



  TEST_F(TorchScript, OnlyTheModuleThatWasFittedIsExecuted)
  {
    fit(damping);
    ModelFile model;
    surrogate->save(model);
    model.filename   = "some/model";
    const auto fresh = family.draw(10, 3);
    const auto mean  = surrogate->predict(fresh).mean;
    const auto load  = [&]() {
      const auto loaded = make(family, {{"file", file}}, "TorchScript");
      loaded->load(model, 0, 81, {});
      return loaded->predict(fresh).mean;
    };
    EXPECT_TRUE(torch::equal(load(), mean));
    // no code, no weights are in the model's file
    const auto bytes = read_bytes(file);
    EXPECT_EQ(model.metadata["module"]["hash"].get<std::string>(),
              hexadecimal(fnv1a(bytes.data(), bytes.size())));

    // Another one, which would tell by failing that it had been executed.
    write_script_module(file, R"(
      def forward(self, parameters, prior):
          assert False
          return prior
    )");
    expect_sentence(message_of<FileError>(load),
                    {file, "hash", "some/model", "fitted anew"});
    auto damaged = bytes;
    damaged[damaged.size() / 2] ^= 1;
    write_bytes(file, damaged);
    expect_sentence(message_of<FileError>(load), {file, "hash"});
    write_bytes(file, bytes);
    EXPECT_TRUE(torch::equal(load(), mean));

    model.metadata.erase("module");
    expect_sentence(message_of<FileError>(load), {"some/model", "module"});
    expect_sentence(message_of<InputError>([&]() {
                      make(family, nlohmann::json::object(), "TorchScript");
                    }),
                    {"run.prm", "TorchScript", "file", "torch.jit.save"});
    expect_sentence(message_of<FileError>([&]() {
                      make(family, {{"file", folder / "no.pt"}}, "TorchScript");
                    }),
                    {"no.pt", "no such file"});
  }



  // A module may be sure of itself where its input is no number.
  TEST_F(TorchScript, NotANumberStaysOne)
  {
    fit(R"(
      def forward(self, parameters, prior):
          return torch.nan_to_num(prior) + 0.01
    )");
    auto inputs           = family.draw(3, 3);
    inputs.prior[1][5]    = NAN;
    const auto prediction = surrogate->predict(inputs);
    EXPECT_TRUE(std::isfinite(prediction.scale[0].item<double>()));
    EXPECT_FALSE(std::isfinite(prediction.scale[1].item<double>()));
    EXPECT_TRUE(std::isfinite(prediction.scale[2].item<double>()));
    EXPECT_TRUE(torch::isnan(prediction.mean[1]).any().item<bool>());
  }
} // namespace
