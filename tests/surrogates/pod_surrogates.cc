// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/linear_regression.h>
#include <neuraldeal/surrogates/perceptron.h>
#include <neuraldeal/surrogates/surrogate.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <numeric>

#include "analytic_family.h"
#include "script_module.h"
#include "simulated_ranks.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  constexpr double infinity     = std::numeric_limits<double>::infinity();
  constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

  // Members predict in double precision, but the modes are stored in single
  // precision: a field is known to this, relative to its correction.
  constexpr double single_precision = 1e-6;

  /** Parameters of the surrogates that are tested, by their names. */
  const std::map<std::string, nlohmann::json> parameters = {
    {"POD network",
     {{"members", 3},
      {"width", 24},
      {"epochs", 150},
      {"POD tolerance", 1e-4},
      {"prior modes", 8}}},
    {"POD kernel regression",
     {{"evidence snapshots", 60}, {"POD tolerance", 1e-4}, {"prior modes", 8}}},
    {"neural operator",
     {{"operator", "attention"},
      {"operator parameters",
       {{"width", 16}, {"layers", 1}, {"heads", 2}, {"slices", 8}}},
      {"training",
       {{"epochs", 40}, {"batch size", 16}, {"learning rate", 5e-3}}},
      {"uncertainty", "none"},
      {"training share", 0.6},
      {"device", "cpu"},
      {"evidence snapshots", 60},
      {"POD tolerance", 1e-4},
      {"prior modes", 8}}},
    {"TorchScript",
     {{"evidence snapshots", 60},
      {"POD tolerance", 1e-4},
      {"prior modes", 8}}}};

  /** A module whose answers have nothing of the symmetries. */
  const char *script = R"(
    def forward(self, parameters, prior):
        return prior * (0.99 + 0.01 * torch.tanh(parameters[:, 0:1]))
  )";

  /** The file of that module. */
  std::string
  script_file()
  {
    struct File
    {
      File()
        : name((std::filesystem::temp_directory_path() /
                ("neuraldeal-script-" + std::to_string(::getpid()) + ".pt"))
                 .string())
      {
        write_script_module(name, script);
      }

      ~File()
      {
        std::error_code ignored;
        std::filesystem::remove(name, ignored);
      }

      const std::string name;
    };
    static const File file;
    return file.name;
  }

  /** Which of them the running test is about. */
  std::string type;

  /** @param changes as far as the surrogate has such parameters. */
  std::unique_ptr<Surrogate>
  make(const AnalyticFamily &family, const nlohmann::json &changes = {})
  {
    auto        given = parameters.at(type);
    const auto &known =
      SurrogateRegistry::find("the test", "type", type).parameters;
    for (const auto &[name, value] : changes.items())
      if (std::any_of(known.begin(),
                      known.end(),
                      [&name = name](const ParameterDescription &parameter) {
                        return parameter.name == name;
                      }))
        given[name] = value;
    if (type == "TorchScript")
      given["file"] = script_file();
    if (type == "neural operator" && changes.contains("epochs"))
      given["training"]["epochs"] = changes["epochs"];
    return make_surrogate(type, family.ranges(), given, "the test");
  }



  void
  update(Surrogate               &surrogate,
         const AnalyticFamily    &family,
         const Snapshots         &snapshots,
         const std::vector<long> &ids,
         const bool               held_out)
  {
    surrogate.update(surrogate.summarize(snapshots, family.norms(snapshots)),
                     ids,
                     held_out);
  }



  /** @p n consecutive numbers from @p first. */
  std::vector<long>
  numbered(const long first, const long n)
  {
    std::vector<long> result(n);
    std::iota(result.begin(), result.end(), first);
    return result;
  }



  bool
  equal(const Prediction &a, const Prediction &b)
  {
    return torch::equal(a.mean, b.mean) && torch::equal(a.norm, b.norm) &&
           torch::equal(a.scale, b.scale) &&
           torch::equal(a.correction, b.correction) &&
           torch::equal(a.novelty, b.novelty);
  }



  double
  root_mean_square(const torch::Tensor &values)
  {
    return values.square().mean().sqrt().item<double>();
  }



  double
  largest(const torch::Tensor &values)
  {
    return values.max().item<double>();
  }



  /**
   * A surrogate of each type trained once for all tests: `trained` has seen
   * the training snapshots, `calibrated` the held-out ones as well. Copies
   * are made through files.
   */
  class TrainedOnce : public testing::Test
  {
  protected:
    struct Trained
    {
      std::unique_ptr<Surrogate> calibrated;
      ModelFile                  trained_file, calibrated_file;
    };

    void
    use(const std::string &new_type)
    {
      type = new_type;
      register_surrogates();
      if (!family)
        {
          family   = std::make_unique<AnalyticFamily>();
          training = family->draw(120, 1);
          held_out = family->draw(60, 2);
          fresh    = family->draw(200, 3);
        }
      auto &result = all[type];
      if (!result.calibrated)
        {
          result.calibrated = make(*family);
          result.calibrated->fit(SnapshotsInMemory(training),
                                 family->space,
                                 {});
          result.calibrated->save(result.trained_file);
          update(
            *result.calibrated, *family, held_out, numbered(500, 60), true);
          result.calibrated->save(result.calibrated_file);
        }
      calibrated      = result.calibrated.get();
      trained_file    = result.trained_file;
      calibrated_file = result.calibrated_file;
    }

    static std::unique_ptr<Surrogate>
    loaded(const ModelFile &file)
    {
      auto surrogate = make(*family);
      surrogate->load(file, 0, family->space.size(), {});
      return surrogate;
    }

    static std::unique_ptr<AnalyticFamily> family;
    static Snapshots                       training, held_out, fresh;
    static std::map<std::string, Trained>  all;
    const Surrogate                       *calibrated = nullptr;
    ModelFile                              trained_file, calibrated_file;
  };

  std::unique_ptr<AnalyticFamily>             TrainedOnce::family;
  Snapshots                                   TrainedOnce::training;
  Snapshots                                   TrainedOnce::held_out;
  Snapshots                                   TrainedOnce::fresh;
  std::map<std::string, TrainedOnce::Trained> TrainedOnce::all;



  /** What holds for every surrogate. */
  class SurrogateTest : public TrainedOnce,
                        public testing::WithParamInterface<std::string>
  {
  protected:
    void
    SetUp() override
    {
      use(GetParam());
    }
  };

  /** What holds for every surrogate that is nothing but POD coefficients. */
  class PODSurrogateTest : public SurrogateTest
  {};

  std::string
  with_underscores(const testing::TestParamInfo<std::string> &info)
  {
    std::string name = info.param;
    std::replace(name.begin(), name.end(), ' ', '_');
    return name;
  }

  INSTANTIATE_TEST_SUITE_P(All,
                           SurrogateTest,
                           testing::Values("POD network",
                                           "POD kernel regression",
                                           "neural operator",
                                           "TorchScript"),
                           with_underscores);

  INSTANTIATE_TEST_SUITE_P(All,
                           PODSurrogateTest,
                           testing::Values("POD network",
                                           "POD kernel regression"),
                           with_underscores);

  /** What only the networks have. */
  class PODNetworkTest : public TrainedOnce
  {
  protected:
    void
    SetUp() override
    {
      use("POD network");
    }
  };



  TEST_P(SurrogateTest, IsBetterThanItsPrior)
  {
    const auto   prediction = calibrated->predict(fresh);
    const double prior = root_mean_square(family->error(fresh.prior, fresh));
    const double found =
      root_mean_square(family->error(prediction.mean, fresh));
    std::printf("prior %g found %g\n", prior, found);
    EXPECT_GT(prior, 0.03);
    EXPECT_LT(found, 0.1 * prior);
  }



  TEST_P(SurrogateTest, ScaleIsTheSizeOfTheError)
  {
    const auto prediction = calibrated->predict(fresh);
    const auto ratio =
      family->space.norm(prediction.mean - fresh.solution) / prediction.scale;
    std::printf("ratio rms %g max %g\n",
                root_mean_square(ratio),
                largest(ratio));
    EXPECT_LT(root_mean_square(ratio), 1.5);
    EXPECT_GT(root_mean_square(ratio), 0.5);
    EXPECT_LT(largest(ratio), 6.);
  }



  TEST_P(PODSurrogateTest, NormsAreThoseOfTheFields)
  {
    const auto prediction = calibrated->predict(fresh);
    // up to what the basis of the coarse solutions leaves of them
    const auto prior = family->space.norm(fresh.prior);
    EXPECT_LT(largest(((prediction.norm - prior) / prior).abs()), 1e-2);
    const auto correction = family->space.norm(prediction.mean - fresh.prior);
    EXPECT_LT(largest((prediction.correction - correction).abs() / prior),
              single_precision);
  }



  /** What predictions are made of, as it stands in a file. */
  class Parts
  {
  public:
    Parts(const ModelFile &file, const std::vector<InputRange> &ranges)
      : file(file)
      , ranges(ranges)
    {}

    torch::Tensor
    tensor(const std::string &name) const
    {
      return file.tensor(name).to(torch::kFloat64);
    }

    /** Coefficients of the coarse solutions over their norm, and the norm. */
    std::pair<torch::Tensor, torch::Tensor>
    prior(const Inputs &inputs) const
    {
      const auto c = torch::mm(inputs.prior, tensor("prior_projector"));
      return {c / c.norm(2, 1, true), c.norm(2, 1, true)};
    }

    torch::Tensor
    features(const Inputs &inputs, const std::string &member) const
    {
      auto mu = inputs.parameters.clone();
      for (std::size_t i = 0; i < ranges.size(); ++i)
        if (ranges[i].logarithmic)
          mu.select(1, i).log_();
      std::vector<torch::Tensor> hidden;
      for (unsigned int l = 0; l < 4; ++l)
        hidden.push_back(tensor(member + "hidden." + std::to_string(l)));
      return Perceptron(hidden).features(
        torch::cat({(mu - tensor("input_center")) / tensor("input_scale"),
                    prior(inputs).first / tensor("prior_scale")},
                   1));
    }

    torch::Tensor
    targets(const Snapshots &snapshots) const
    {
      return torch::mm(snapshots.solution - snapshots.prior,
                       tensor("projector")) /
             prior(snapshots).second;
    }

    /**
     * The last layer of @p member, from snapshots in all their images; the
     * sums in the file have to be those of this data.
     */
    LinearRegression
    last_layer(const Snapshots &images, const std::string &member) const
    {
      const auto       x = features(images, member), y = targets(images);
      LinearRegression result(x.size(1), y.size(1));
      result.add(x, y);
      const auto compare = [&](const torch::Tensor &found,
                               const std::string   &name) {
        const auto expected = tensor(member + name);
        EXPECT_LT(distance(found, expected),
                  10. * single_precision * largest(expected.abs()))
          << name;
      };
      compare(result.gram, "last.gram");
      compare(result.moments, "last.moments");
      compare(result.squares, "last.squares");
      result.maximize_evidence();
      return result;
    }

  private:
    const ModelFile               file;
    const std::vector<InputRange> ranges;
  };



  // Everything a prediction is made of stands in the file; here it is put
  // together once more, with the data in place of what has been summed up.
  TEST_F(PODNetworkTest, PredictionIsTheDocumentedFormula)
  {
    const Parts parts(calibrated_file, family->ranges());
    // every snapshot counts in both its images
    const auto all    = joined(training, held_out);
    const auto images = joined(all, family->image(all, 1));

    auto mean = torch::zeros_like(parts.targets(fresh));
    for (const std::string member : {"member.0.", "member.1.", "member.2."})
      mean += parts.last_layer(images, member)
                .predict(parts.features(fresh, member)) /
              3.;
    const auto expected =
      fresh.prior +
      parts.prior(fresh).second * torch::mm(mean, parts.tensor("modes").t());
    EXPECT_LT(distance(calibrated->predict(fresh).mean, expected), 1e-5);
    EXPECT_EQ(calibrated_file.get<long>("snapshots"), 180);
    EXPECT_EQ(calibrated->n_snapshots(), 180);
  }



  // The same for symmetries that differ from their inverses.
  TEST_F(PODNetworkTest, ImagesAreThoseOfTheFields)
  {
    const TurningFamily turning;
    const auto          data   = turning.draw(40, 7);
    auto                images = data;
    for (const long g : {1, 2, 3})
      {
        const auto image = turning.image(data, g);
        // that the family is what it says
        ASSERT_LT(distance(image.solution,
                           turning.solve(image.parameters).solution),
                  1e-14);
        images = joined(images, image);
      }
    const auto surrogate = make(turning, {{"epochs", 5}});
    surrogate->fit(SnapshotsInMemory(data), turning.space, {});
    ModelFile file;
    surrogate->save(file);
    const Parts parts(file, turning.ranges());
    for (const std::string member : {"member.0.", "member.1.", "member.2."})
      parts.last_layer(images, member);
  }



  TEST_P(SurrogateTest, TwoUpdatesAreOne)
  {
    const auto once = loaded(trained_file), twice = loaded(trained_file);
    update(*once, *family, held_out, numbered(0, 60), true);
    update(*twice, *family, rows(held_out, 0, 13), numbered(0, 13), true);
    update(*twice, *family, rows(held_out, 13, 60), numbered(13, 47), true);
    const auto a = once->predict(fresh), b = twice->predict(fresh);
    EXPECT_LT(distance(a.mean, b.mean), 0.1 * single_precision);
    // Leverages, and with them what is left out, come from normal equations,
    // whose condition is up to 1e12.
    EXPECT_LT(largest(((a.scale - b.scale) / a.scale).abs()), 1e-4);
    EXPECT_LT(largest(((a.novelty - b.novelty) / a.novelty).abs()), 1e-4);
    EXPECT_TRUE(
      torch::equal(once->held_out_scores().ids, twice->held_out_scores().ids));
    const auto e = once->held_out_scores().error,
               f = twice->held_out_scores().error;
    // Networks are evaluated in single precision and in batches, whose size
    // changes the last bits of what is to be corrected.
    const double rounding = type == "neural operator" ? single_precision : 0.;
    EXPECT_LT(largest((e - f).abs() - 1e-4 * e), rounding);
    EXPECT_EQ(once->n_snapshots(), 180);
    EXPECT_EQ(twice->n_snapshots(), 180);
  }



  // Networks trained with few snapshots, whose last layer sees more.
  TEST_P(SurrogateTest, UpdatesImprove)
  {
    const auto surrogate = make(*family);
    surrogate->fit(SnapshotsInMemory(rows(training, 0, 30)), family->space, {});
    const auto error = [&]() {
      return root_mean_square(
        family->error(surrogate->predict(fresh).mean, fresh));
    };
    const double before = error();
    update(*surrogate, *family, family->draw(300, 4), numbered(0, 300), false);
    std::printf("before %g after %g\n", before, error());
    EXPECT_LT(error(), 0.7 * before);
    EXPECT_EQ(surrogate->n_snapshots(), 330);
  }



  TEST_P(SurrogateTest, WhetherHeldOutMattersForScoresOnly)
  {
    const auto a = loaded(trained_file), b = loaded(trained_file);
    update(*a, *family, held_out, numbered(0, 60), true);
    update(*b, *family, held_out, numbered(0, 60), false);
    EXPECT_TRUE(torch::equal(a->predict(fresh).mean, b->predict(fresh).mean));
    EXPECT_EQ(a->held_out_scores().error.numel(), 60);
    EXPECT_EQ(b->held_out_scores().error.numel(), 0);
    EXPECT_EQ(b->held_out_scores().ids.numel(), 0);
    EXPECT_EQ(b->held_out_scores().scale.numel(), 0);
  }



  // A snapshot is predicted as if it had never been seen, in none of its
  // images. In closed form λ stays as it is, while the surrogate without the
  // snapshot looks for its own; that moves predictions by a small part of
  // their scale.
  TEST_P(SurrogateTest, HeldOutPredictionsHaveNotSeenTheirSnapshot)
  {
    const auto scores = calibrated->held_out_scores();
    double     worst = 0, worst_scale = 0, seen = 0;
    for (const long i : {0, 7, 31, 59})
      {
        const auto without = loaded(trained_file);
        auto       ids     = numbered(500, 60);
        ids.erase(ids.begin() + i);
        update(*without,
               *family,
               joined(rows(held_out, 0, i), rows(held_out, i + 1, 60)),
               ids,
               true);
        const auto one        = rows(held_out, i, i + 1);
        const auto prediction = without->predict(one);
        const auto mean =
          calibrated->held_out_mean(i, one.prior[0]).unsqueeze(0);
        const double scale = prediction.scale.item<double>();
        worst =
          std::max(worst,
                   family->space.norm(mean - prediction.mean).item<double>() /
                     scale);
        const double relative =
          scale / family->space.norm(one.solution).item<double>();
        worst_scale =
          std::max(worst_scale,
                   std::abs(scores.scale[i].item<double>() / relative - 1.));
        seen +=
          family->space.norm(calibrated->predict(one).mean - prediction.mean)
            .item<double>() /
          scale / 4.;

        // The score is what the prediction is wrong by; it follows from
        // squares of single precision, relative to the correction's.
        const double score      = scores.error[i].item<double>(),
                     error      = family->error(mean, one).item<double>(),
                     correction = family->error(one.prior, one).item<double>();
        EXPECT_NEAR(score * score,
                    error * error,
                    3. * single_precision * correction * correction);
        EXPECT_NEAR(scores.prior_error[i].item<double>(),
                    family->error(one.prior, one).item<double>(),
                    single_precision);
        EXPECT_EQ(scores.ids[i].item<long>(), 500 + i);
      }
    std::printf("worst %g scale %g seen %g\n", worst, worst_scale, seen);
    EXPECT_LT(worst, 0.02);
    EXPECT_LT(worst_scale, 0.2);
    // what a surrogate that has seen them says is much further away
    EXPECT_GT(seen, 5. * worst);
  }



  TEST_P(SurrogateTest, HeldOutScoresForetellNewErrors)
  {
    const auto   scores = calibrated->held_out_scores();
    const double seen   = root_mean_square(scores.error);
    const double found =
      root_mean_square(family->error(calibrated->predict(fresh).mean, fresh));
    std::printf("held out %g new %g\n", seen, found);
    EXPECT_LT(found, 1.5 * seen);
    EXPECT_GT(found, seen / 1.5);
    // the learned correction tells how wrong the coarse solution is
    EXPECT_LT(largest((scores.prior_scale / scores.prior_error).log().abs()),
              std::log(1.5));
  }



  // The networks see all images of a snapshot, but are not equivariant by
  // construction: an image's prediction is as far from the prediction's image
  // as both are from the truth.
  TEST_F(PODNetworkTest, EquivariantUpToItsError)
  {
    const auto image      = family->image(fresh, 1);
    const auto of_image   = calibrated->predict(image);
    Snapshots  predicted  = fresh;
    predicted.solution    = calibrated->predict(fresh).mean;
    const auto   image_of = family->image(predicted, 1).solution;
    const double difference =
      root_mean_square(family->space.norm(of_image.mean - image_of) /
                       family->space.norm(image.solution));
    const double error = root_mean_square(family->error(of_image.mean, image));
    std::printf("equivariance %g error %g\n", difference, error);
    EXPECT_LT(difference, 2. * error);
    EXPECT_GT(difference, 0.);
  }



  TEST_P(PODSurrogateTest, CovarianceAddsUp)
  {
    const auto inputs = rows(fresh, 0, 20);
    const auto all    = calibrated->predict(inputs, {true, true});
    ASSERT_TRUE(calibrated->supports_covariance());

    const auto &factor = all.covariance_factor;
    ASSERT_EQ(factor.size(0), 20);
    ASSERT_EQ(factor.size(1), 81);
    EXPECT_LT(distance(all.standard_deviation, factor.square().sum(2).sqrt()),
              1e-14);

    // scale² = trace(M Cov) + what the basis does not hold
    const auto   mass  = family->grid.dense_mass();
    const auto   trace = torch::einsum("nik,ij,njk->n", {factor, mass, factor});
    const double truncation = trained_file.tensor("truncation").item<double>();
    EXPECT_GT(truncation, 0.);
    const auto expected = (trace + (truncation * all.norm).square()).sqrt();
    EXPECT_LT(largest(((all.scale - expected) / expected).abs()), 1e-5);

    // the parts do not change the rest, and come alone
    const auto plain     = calibrated->predict(inputs);
    const auto deviation = calibrated->predict(inputs, {true, false});
    EXPECT_TRUE(equal(plain, all));
    EXPECT_FALSE(plain.standard_deviation.defined());
    EXPECT_FALSE(plain.covariance_factor.defined());
    EXPECT_TRUE(
      torch::equal(deviation.standard_deviation, all.standard_deviation));
    EXPECT_FALSE(deviation.covariance_factor.defined());
  }



  TEST_P(SurrogateTest, NewInputsAreNoNovelty)
  {
    const auto   novelty = calibrated->predict(fresh).novelty;
    const double share =
      (novelty > 1.).to(torch::kFloat64).mean().item<double>();
    std::printf("novel share %g\n", share);
    EXPECT_GE(novelty.min().item<double>(), 0.);
    EXPECT_LT(share, 0.03);
  }



  TEST_P(SurrogateTest, OutsideTheRangesIsNovel)
  {
    const auto inside =
      torch::tensor({0.2, 2., 0.5}, torch::kFloat64).unsqueeze(0);
    // ends are inside
    EXPECT_LT(largest(calibrated->predict(family->solve(inside)).novelty), 2.);
    for (const auto &[entry, value] : {std::pair<long, double>{0, 0.199},
                                       {0, 2.01},
                                       {1, 1e-3},
                                       {1, 50.},
                                       {2, -1.001},
                                       {2, 1.001},
                                       {2, 1e6},
                                       {2, infinity}})
      {
        auto outside      = inside.clone();
        outside[0][entry] = value;
        auto inputs       = family->solve(inside);
        inputs.parameters = outside;
        // (not at most 1: infinity gives what is not a number)
        EXPECT_FALSE(calibrated->predict(inputs).novelty.item<double>() <= 1.)
          << value;
      }
  }



  // A coarse solution unlike those seen is novel, whatever the parameters.
  TEST_P(SurrogateTest, UnknownPriorsAreNovel)
  {
    auto inputs  = rows(fresh, 0, 20);
    inputs.prior = inputs.prior.flip(0).clone();
    inputs.prior *= 1. + 0.5 * random_normal({20, 81}, 400);
    const auto novelty = calibrated->predict(inputs).novelty;
    std::printf("novelty of noise: least %g\n", novelty.min().item<double>());
    EXPECT_GT(novelty.min().item<double>(), 1.);
  }



  // Nothing that is not a number may turn into one.
  TEST_P(SurrogateTest, NotANumberStaysOne)
  {
    for (const double bad : {not_a_number, infinity, -infinity, -1.})
      for (const long entry : {0, 1, 2})
        {
          if (bad == -1. && entry == 2)
            continue; // minus one is fine, but has no logarithm
          auto inputs                 = rows(fresh, 0, 3);
          inputs.parameters           = inputs.parameters.clone();
          inputs.parameters[1][entry] = bad;
          const auto prediction       = calibrated->predict(inputs);
          EXPECT_FALSE(std::isfinite(prediction.scale[1].item<double>()))
            << bad << " as parameter " << entry;
          EXPECT_FALSE(prediction.novelty[1].item<double>() <= 1.);
          // other rows of the batch are not touched
          EXPECT_TRUE(torch::isfinite(prediction.mean[0]).all().item<bool>());
          EXPECT_TRUE(std::isfinite(prediction.scale[2].item<double>()));
        }
    for (const double bad : {not_a_number, infinity})
      {
        auto inputs        = rows(fresh, 0, 2);
        inputs.prior       = inputs.prior.clone();
        inputs.prior[1][5] = bad;
        EXPECT_FALSE(
          std::isfinite(calibrated->predict(inputs).scale[1].item<double>()))
          << bad << " in the prior";
      }
  }



  TEST_P(SurrogateTest, FilesKeepEveryBit)
  {
    const TemporaryFolder folder;
    calibrated_file.write(folder / "model");
    const auto read = loaded(ModelFile::read(folder / "model"));
    EXPECT_TRUE(equal(read->predict(fresh, {true, true}),
                      calibrated->predict(fresh, {true, true})));
    EXPECT_TRUE(
      torch::equal(read->predict(fresh, {true, true}).covariance_factor,
                   calibrated->predict(fresh, {true, true}).covariance_factor));
    const auto a = read->held_out_scores(), b = calibrated->held_out_scores();
    EXPECT_TRUE(torch::equal(a.ids, b.ids));
    EXPECT_TRUE(torch::equal(a.scale, b.scale));
    EXPECT_TRUE(torch::equal(a.error, b.error));
    EXPECT_TRUE(torch::equal(a.prior_scale, b.prior_scale));
    EXPECT_EQ(read->n_snapshots(), calibrated->n_snapshots());
    EXPECT_EQ(read->n_values(), 81);

    // and what comes later is the same as well
    const auto more = family->draw(5, 5);
    const auto kept = loaded(calibrated_file);
    update(*kept, *family, more, numbered(0, 5), true);
    update(*read, *family, more, numbered(0, 5), true);
    EXPECT_TRUE(equal(read->predict(fresh), kept->predict(fresh)));
  }



  TEST_P(SurrogateTest, WhatIsSavedDoesNotChangeLater)
  {
    const auto surrogate = loaded(trained_file);
    ModelFile  file;
    surrogate->save(file);
    const auto before = loaded(file)->predict(fresh);
    update(*surrogate, *family, held_out, numbered(0, 60), true);
    EXPECT_TRUE(equal(loaded(file)->predict(fresh), before));
    EXPECT_FALSE(torch::equal(surrogate->predict(fresh).mean, before.mean));
  }



  TEST_P(SurrogateTest, IncompleteFilesAreErrors)
  {
    for (const auto &entry : calibrated_file.tensors)
      {
        auto file     = calibrated_file;
        file.filename = "some/model";
        file.tensors.erase(entry.first);
        expect_sentence(message_of<FileError>([&]() { loaded(file); }),
                        {"some/model", entry.first});
      }
    for (const std::string key : {"snapshots"})
      {
        auto file     = calibrated_file;
        file.filename = "some/model";
        file.metadata.erase(key);
        expect_sentence(message_of<FileError>([&]() { loaded(file); }),
                        {"some/model", key});
      }
  }



  TEST_P(SurrogateTest, FieldsOfAnotherSizeAreErrors)
  {
    auto file     = calibrated_file;
    file.filename = "some/model";
    for (const long n_values : {82, 1000})
      expect_sentence(message_of<FileError>(
                        [&]() { make(*family)->load(file, 0, n_values, {}); }),
                      {"some/model", "81"});
    expect_sentence(message_of<FileError>(
                      [&]() { make(*family)->load(file, 41, 41, {}); }),
                    {"some/model", "81"});
  }



  // Every rank of a group has a slice of the fields; what is left of them
  // after the projections is the sum over the ranks.
  TEST_P(PODSurrogateTest, GroupsShareTheFields)
  {
    const auto whole   = calibrated->predict(fresh, {true, true});
    const auto more    = family->draw(5, 6);
    auto       learned = loaded(calibrated_file);
    update(*learned, *family, more, numbered(0, 5), true);
    const auto whole_learned = learned->predict(fresh);
    for (const int size : {2, 3})
      {
        std::vector<Prediction> parts(size), parts_learned(size);
        std::vector<long>       begin(size + 1, 0);
        for (int rank = 0; rank < size; ++rank)
          begin[rank + 1] = 81 * (rank + 1) / size - (rank + 1 < size ? 4 : 0);
        SimulatedRanks ranks(size);
        ranks.run([&](const Communicator &communicator) {
          const int  rank  = communicator.rank;
          const auto slice = [&](const Snapshots &all) {
            Snapshots result;
            result.parameters = all.parameters;
            result.prior = all.prior.slice(1, begin[rank], begin[rank + 1]);
            result.solution =
              all.solution.slice(1, begin[rank], begin[rank + 1]);
            return result;
          };
          const auto part = make(*family);
          part->load(calibrated_file,
                     begin[rank],
                     begin[rank + 1] - begin[rank],
                     communicator);
          parts[rank] = part->predict(slice(fresh), {true, true});
          part->update(part->summarize(slice(more), family->norms(more)),
                       numbered(0, 5),
                       true);
          parts_learned[rank] = part->predict(slice(fresh));
        });

        std::vector<torch::Tensor> means, deviations, factors, learned_means;
        for (int rank = 0; rank < size; ++rank)
          {
            means.push_back(parts[rank].mean);
            deviations.push_back(parts[rank].standard_deviation);
            factors.push_back(parts[rank].covariance_factor);
            learned_means.push_back(parts_learned[rank].mean);
            // all ranks see the same numbers
            EXPECT_TRUE(torch::equal(parts[rank].scale, parts[0].scale));
            EXPECT_TRUE(torch::equal(parts[rank].norm, parts[0].norm));
            EXPECT_TRUE(torch::equal(parts[rank].novelty, parts[0].novelty));
          }
        EXPECT_LT(distance(torch::cat(means, 1), whole.mean), single_precision);
        EXPECT_LT(distance(torch::cat(deviations, 1), whole.standard_deviation),
                  single_precision);
        EXPECT_LT(distance(torch::cat(factors, 1), whole.covariance_factor),
                  single_precision);
        EXPECT_LT(distance(parts[0].norm, whole.norm), single_precision);
        EXPECT_LT(largest(((parts[0].scale - whole.scale) / whole.scale).abs()),
                  1e-4);
        EXPECT_LT(distance(torch::cat(learned_means, 1), whole_learned.mean),
                  1e-5);
      }
  }



  // Members are trained by different ranks and the Gram matrices shared out.
  TEST_P(SurrogateTest, SameBitsOnAnyNumberOfRanks)
  {
    const nlohmann::json quick = {{"epochs", 5}};
    const auto           data  = rows(training, 0, 40);
    const auto           alone = make(*family, quick);
    alone->fit(SnapshotsInMemory(data), family->space, {});
    const auto expected = alone->predict(fresh);
    for (const int size : {2, 3, 4})
      {
        std::vector<Prediction> found(size);
        SimulatedRanks          ranks(size);
        ranks.run([&](const Communicator &communicator) {
          const auto surrogate = make(*family, quick);
          surrogate->fit(SnapshotsInMemory(data), family->space, communicator);
          found[communicator.rank] = surrogate->predict(fresh);
        });
        for (const auto &prediction : found)
          EXPECT_TRUE(equal(prediction, expected));
      }
  }



  TEST_F(PODNetworkTest, SeedDecides)
  {
    const auto data  = rows(training, 0, 40);
    const auto field = [&](const long seed) {
      const auto surrogate = make(*family, {{"epochs", 5}, {"seed", seed}});
      surrogate->fit(SnapshotsInMemory(data), family->space, {});
      return surrogate->predict(fresh).mean;
    };
    const auto one = field(1);
    EXPECT_TRUE(torch::equal(one, field(1)));
    EXPECT_FALSE(torch::equal(one, field(2)));
  }



  TEST_P(SurrogateTest, FittingAgainForgets)
  {
    const nlohmann::json quick = {{"epochs", 5}};
    const auto           data  = rows(training, 0, 40);
    const auto once = make(*family, quick), again = make(*family, quick);
    once->fit(SnapshotsInMemory(data), family->space, {});
    again->fit(SnapshotsInMemory(rows(training, 40, 90)), family->space, {});
    update(*again, *family, held_out, numbered(0, 60), true);
    again->fit(SnapshotsInMemory(data), family->space, {});
    EXPECT_TRUE(equal(once->predict(fresh), again->predict(fresh)));
    EXPECT_EQ(again->n_snapshots(), 40);
    EXPECT_EQ(again->held_out_scores().ids.numel(), 0);
  }



  // Networks see inputs of order one, whether an interval says what to
  // expect or only the data.
  TEST_F(PODNetworkTest, InputsAreScaled)
  {
    for (const bool bounded : {true, false})
      {
        auto ranges = family->ranges();
        for (auto &range : ranges)
          {
            // as for Young's moduli, of which the logarithm counts
            const double factor = range.logarithmic ? 1e11 : 1.;
            range.lower         = bounded           ? factor * range.lower :
                                  range.logarithmic ? 0. :
                                                      -infinity;
            range.upper         = bounded ? factor * range.upper : infinity;
          }
        const auto scaled = [](Snapshots snapshots) {
          snapshots.parameters = snapshots.parameters.clone();
          snapshots.parameters.slice(1, 0, 2) *= 1e11;
          return snapshots;
        };
        auto given      = parameters.at(type);
        given["epochs"] = 5;
        auto surrogate =
          make_surrogate("POD network", ranges, given, "the test");
        surrogate->fit(SnapshotsInMemory(scaled(training)), family->space, {});
        ModelFile file;
        surrogate->save(file);
        const auto inputs =
          Parts(file, ranges).features(scaled(fresh), "member.0.");
        for (const long i : {0, 1, 2})
          {
            const auto input = inputs.select(1, 24 + i);
            // Four standard errors of the two means that are compared.
            EXPECT_NEAR(input.mean().item<double>(),
                        0.,
                        4. * std::sqrt(1. / input.numel() +
                                       1. / training.parameters.size(0)));
            // a uniform distribution in (−1, 1), or one of variance one
            EXPECT_NEAR(input.std().item<double>(),
                        bounded ? std::sqrt(1. / 3.) : 1.,
                        0.1);
          }
      }
  }



  // A host whose coarse solution is its fine one.
  TEST_P(SurrogateTest, NothingToCorrect)
  {
    const auto exact = [](Snapshots snapshots) {
      snapshots.prior = snapshots.solution;
      return snapshots;
    };
    const auto surrogate = make(*family, {{"epochs", 5}});
    surrogate->fit(SnapshotsInMemory(exact(training)), family->space, {});
    update(*surrogate, *family, exact(held_out), numbered(0, 60), true);
    const auto prediction = surrogate->predict(exact(fresh));
    EXPECT_TRUE(torch::equal(prediction.mean, fresh.solution));
    EXPECT_EQ(largest(prediction.scale), 0.);
    EXPECT_EQ(largest(surrogate->held_out_scores().error), 0.);
  }
} // namespace
