// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/surrogate.h>

#include <memory>
#include <numeric>

#include "analytic_family.h"
#include "kernel_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** Its choices of a kernel, and inducing points; see pod_surrogates.cc. */
  class PODKernelRegressionTest : public testing::Test
  {
  protected:
    static constexpr long n_training = 80, n_held_out = 30;

    std::unique_ptr<Surrogate>
    make(nlohmann::json changes = nlohmann::json::object()) const
    {
      changes["prior modes"] = 6;
      return make_surrogate("POD kernel regression",
                            family.ranges(),
                            changes,
                            "the test");
    }

    std::unique_ptr<Surrogate>
    fitted(const nlohmann::json &changes = nlohmann::json::object()) const
    {
      auto result = make(changes);
      result->fit(SnapshotsInMemory(training), family.space, {});
      return result;
    }

    /** The same with some of the held-out snapshots. */
    void
    learn(Surrogate &surrogate, const Snapshots &snapshots) const
    {
      std::vector<long> ids(snapshots.parameters.size(0));
      std::iota(ids.begin(), ids.end(), 500);
      surrogate.update(surrogate.summarize(snapshots, family.norms(snapshots)),
                       ids,
                       true);
    }

    std::unique_ptr<Surrogate>
    calibrated(const nlohmann::json &changes = nlohmann::json::object()) const
    {
      auto result = fitted(changes);
      learn(*result, held_out);
      return result;
    }

    static ModelFile
    file_of(const Surrogate &surrogate)
    {
      ModelFile file;
      surrogate.save(file);
      return file;
    }

    std::unique_ptr<Surrogate>
    loaded(const ModelFile      &file,
           const nlohmann::json &changes = nlohmann::json::object()) const
    {
      auto result = make(changes);
      result->load(file, 0, family.space.size(), {});
      return result;
    }

    /** Root mean square over that of the coarse solutions. */
    double
    relative_error(const Surrogate &surrogate) const
    {
      const auto square = [this](const torch::Tensor &fields) {
        return family.error(fields, fresh).square().mean().item<double>();
      };
      return std::sqrt(square(surrogate.predict(fresh).mean) /
                       square(fresh.prior));
    }

    static void
    expect_equal(const Prediction &a, const Prediction &b)
    {
      EXPECT_TRUE(torch::equal(a.mean, b.mean));
      EXPECT_TRUE(torch::equal(a.scale, b.scale));
      EXPECT_TRUE(torch::equal(a.novelty, b.novelty));
    }

    const AnalyticFamily family;
    const Snapshots      training = family.draw(n_training, 1),
                    held_out      = family.draw(n_held_out, 2),
                    fresh         = family.draw(100, 3);
  };



  TEST_F(PODKernelRegressionTest, KernelsByName)
  {
    for (const auto &[shape, length_scales] : kernel_choices())
      {
        SCOPED_TRACE(shape + ", " + length_scales);
        const nlohmann::json chosen    = {{"kernel", shape},
                                          {"length scales", length_scales},
                                          {"evidence snapshots", 50}};
        const auto           surrogate = calibrated(chosen);
        const double         error     = relative_error(*surrogate);
        std::printf("%s, %s: %.3g of the coarse solution's error\n",
                    shape.c_str(),
                    length_scales.c_str(),
                    error);
        EXPECT_LT(error, shape == "Matern 1/2" ? 0.06 : 0.02);
        const auto file = file_of(*surrogate);
        expect_equal(loaded(file, chosen)->predict(fresh),
                     surrogate->predict(fresh));
        const nlohmann::json other = {{"kernel", shape},
                                      {"length scales",
                                       length_scales == "shared" ?
                                         "each group" :
                                         "shared"}};
        expect_sentence(message_of<FileError>([&] { loaded(file, other); }),
                        {file.filename,
                         shape,
                         "\"" + length_scales + "\"",
                         "\"" + other["length scales"].get<std::string>() +
                           "\""});
      }
  }



  TEST_F(PODKernelRegressionTest, DefaultsHaveNames)
  {
    expect_equal(calibrated()->predict(fresh),
                 calibrated({{"kernel", "Matern 5/2"},
                             {"length scales", "each group"},
                             {"inducing points", 0}})
                   ->predict(fresh));
  }



  TEST_F(PODKernelRegressionTest, FilesWithoutAKernelHaveTheDefault)
  {
    const auto surrogate = calibrated();
    auto       file      = file_of(*surrogate);
    file.metadata.erase("kernel");
    expect_equal(loaded(file)->predict(fresh), surrogate->predict(fresh));
    expect_sentence(message_of<FileError>([&] {
                      loaded(file, {{"kernel", "Matern 3/2"}});
                    }),
                    {file.filename, "Matern 5/2", "Matern 3/2"});
    file.tensors["kernel.hyperparameters"] = torch::zeros({7}, torch::kFloat64);
    expect_sentence(message_of<FileError>([&] { loaded(file); }),
                    {file.filename, "7 hyperparameters", "parameters 4"});
  }



  TEST_F(PODKernelRegressionTest, UnknownNames)
  {
    expect_sentence(message_of<InputError>([&] {
                      make({{"kernel", "Gauss"}});
                    }),
                    {"the test", "kernel", "'Gauss'", "squared exponential"});
    expect_sentence(message_of<InputError>([&] {
                      make({{"length scales", "all"}});
                    }),
                    {"the test", "length scales", "'all'", "each input"});
  }



  TEST_F(PODKernelRegressionTest, InducingPoints)
  {
    const auto             whole   = calibrated();
    const std::vector<int> numbers = {20, 60};
    for (const long m : numbers)
      {
        const nlohmann::json chosen    = {{"inducing points", m}};
        const auto           surrogate = calibrated(chosen);
        const auto           file      = file_of(*surrogate);
        EXPECT_EQ(file.tensor("kernel.inducing").size(0), m);
        EXPECT_EQ(file.get<long>("kernel rows"), 2 * (n_training + n_held_out));
        EXPECT_EQ(file.tensors.count("kernel.factor"), 0u);
        const auto prediction = surrogate->predict(fresh);
        const auto ratio = family.space.norm(prediction.mean - fresh.solution) /
                           prediction.scale;
        const double size = ratio.square().mean().sqrt().item<double>();
        std::printf("%ld points: %.3g of the coarse solution's error, "
                    "%.3g with all; error over scale %.2g\n",
                    m,
                    relative_error(*surrogate),
                    relative_error(*whole),
                    size);
        EXPECT_LT(relative_error(*surrogate), m == 20 ? 0.03 : 0.02);
        EXPECT_GT(size, 0.5);
        EXPECT_LT(size, 1.5);
        expect_equal(loaded(file, chosen)->predict(fresh), prediction);
        // The file says which it is, whatever the number asked for.
        expect_equal(loaded(file)->predict(fresh), prediction);
      }
  }



  // Predictions of a held-out snapshot without its data are those of a
  // surrogate that has learned the others only.
  TEST_F(PODKernelRegressionTest, LeavingOutIsNotLearning)
  {
    const nlohmann::json chosen    = {{"inducing points", 60}};
    const auto           surrogate = fitted(chosen);
    const auto           file      = file_of(*surrogate);
    learn(*surrogate, held_out);
    for (const long i : {0, 17, 29})
      {
        const auto others =
          joined(rows(held_out, 0, i), rows(held_out, i + 1, n_held_out));
        const auto without = loaded(file, chosen);
        learn(*without, others);
        const auto expected =
          without->predict(rows(held_out, i, i + 1)).mean[0];
        EXPECT_LT(distance(surrogate->held_out_mean(i, held_out.prior[i]),
                           expected),
                  1e-6);
      }
  }



  // All rows become inducing points here, held-out ones among them, so that
  // nothing may change.
  TEST_F(PODKernelRegressionTest, UpdatesPastTheExactRows)
  {
    const nlohmann::json chosen = {{"exact rows", 2 * n_training}};
    const auto           before = fitted(chosen);
    EXPECT_EQ(file_of(*before).tensors.count("kernel.factor"), 1u);
    EXPECT_EQ(file_of(*before).tensors.count("kernel.inducing"), 0u);
    const auto surrogate = calibrated(chosen);
    const auto file      = file_of(*surrogate);
    EXPECT_EQ(file.tensors.count("kernel.factor"), 0u);
    std::printf("%ld inducing points for %ld rows\n",
                long(file.tensor("kernel.inducing").size(0)),
                2 * (n_training + n_held_out));
    EXPECT_EQ(file.get<long>("kernel rows"), 2 * (n_training + n_held_out));

    const auto whole    = calibrated();
    const auto found    = surrogate->predict(fresh),
               expected = whole->predict(fresh);
    const auto relative = [](const torch::Tensor &a, const torch::Tensor &b) {
      return ((a - b) / b).abs().max().item<double>();
    };
    EXPECT_LT(distance(found.mean, expected.mean), 1e-6);
    EXPECT_LT(relative(found.scale, expected.scale), 1e-3);
    const auto scores   = surrogate->held_out_scores(),
               of_whole = whole->held_out_scores();
    EXPECT_LT(relative(scores.scale, of_whole.scale), 1e-3);
    EXPECT_LT(relative(scores.error, of_whole.error), 1e-3);
  }



  TEST_F(PODKernelRegressionTest, FitPastTheExactRows)
  {
    const nlohmann::json chosen    = {{"exact rows", 2 * n_training - 1}};
    auto                 surrogate = calibrated(chosen);
    EXPECT_EQ(file_of(*surrogate).tensors.count("kernel.inducing"), 1u);
    EXPECT_LT(relative_error(*surrogate), 0.02);
    // Fewer rows are regressed exactly again, and the rest is forgotten.
    const auto few = rows(training, 0, 40);
    surrogate->fit(SnapshotsInMemory(few), family.space, {});
    EXPECT_EQ(file_of(*surrogate).tensors.count("kernel.inducing"), 0u);
    auto once = make(chosen);
    once->fit(SnapshotsInMemory(few), family.space, {});
    expect_equal(surrogate->predict(fresh), once->predict(fresh));
  }
} // namespace
