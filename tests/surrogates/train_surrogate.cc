// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/train_surrogate.h>

#include "script_module.h"
#include "small_campaign.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** Every surrogate that there is, quickly trained. */
  std::vector<std::pair<std::string, nlohmann::json>>
  surrogates(const TemporaryFolder &folder)
  {
    write_script_module(folder / "module.pt", R"(
    def forward(self, parameters, prior):
        return prior * (0.97 + 0.01 * torch.tanh(parameters[:, 2:3]))
  )");
    return {{"POD network", {{"members", 2}, {"width", 8}, {"epochs", 5}}},
            {"POD kernel regression", nlohmann::json::object()},
            {"neural operator",
             {{"operator", "Fourier"},
              {"operator parameters", {{"width", 4}, {"modes", 3}}},
              {"training", {{"epochs", 2}, {"batch size", 8}}},
              {"uncertainty", "none"},
              {"device", "auto"}}},
            {"TorchScript", {{"file", folder / "module.pt"}}}};
  }



  // Against the surrogate that is handed the snapshots in memory, and the
  // norms of the analytic family.
  TEST(TrainSurrogate, TheModelIsThatOfTheSnapshots)
  {
    const TemporaryFolder folder;
    SmallCampaign         campaign(folder);
    const auto           &family = campaign.family;
    const auto            fresh  = family.draw(10, 3);
    for (const auto &[type, parameters] : surrogates(folder))
      {
        SCOPED_TRACE(type);
        const auto filename = folder / "task.json";
        campaign.choose(type, parameters, filename);
        const auto           task = TrainingTask::read(filename);
        const SnapshotReader store(task.store, task.design);
        task.check_snapshots(store);
        const auto trained =
          make_surrogate(type, task.inputs, task.parameters, filename);
        const double seconds =
          train_surrogate(*trained, task, store, Communicator());
        EXPECT_GT(seconds, 0.);
        make_model_file(*trained, task, store, {{"seconds_training", seconds}})
          .write(task.model);

        const auto expected =
          make_surrogate(type, family.ranges(), parameters, "a test");
        expected->fit(SnapshotsInMemory(campaign.training), family.space, {});
        expected->update(expected->summarize(campaign.held_out,
                                             family.norms(campaign.held_out)),
                         campaign.task.held_out_samples,
                         true);

        const auto file = ModelFile::read(task.model);
        EXPECT_EQ(file.metadata["format"], "neural.deal model 1");
        EXPECT_EQ(file.metadata["problem"], "00000000c0ffee00");
        EXPECT_EQ(file.metadata["training"], campaign.task.training);
        EXPECT_EQ(file.metadata["costs"]["seconds_training"], seconds);
        EXPECT_EQ(file.metadata["inputs"].size(), 3u);
        EXPECT_EQ(file.metadata["inputs"][1]["name"], "right");
        EXPECT_EQ(file.metadata["surrogate"]["type"], type);
        const auto found =
          make_surrogate(type,
                         ranges_from_json(file.metadata["inputs"], task.model),
                         file.metadata["surrogate"]["parameters"],
                         task.model);
        found->load(file, 0, 81, Communicator());
        EXPECT_EQ(found->n_snapshots(), 50);
        const auto a = found->predict(fresh), b = expected->predict(fresh);
        EXPECT_LT(family.error(a.mean, fresh).max().item<double>(), 0.3);
        // Projections are in single precision, and their blocks differ.
        EXPECT_LT(distance(a.mean, b.mean), 1e-6);
        EXPECT_LT(distance(a.scale, b.scale), 1e-6);
        const auto scores = found->held_out_scores();
        EXPECT_TRUE(torch::equal(scores.ids, torch::arange(30, 50)));
        EXPECT_LT(distance(scores.error, expected->held_out_scores().error),
                  1e-6);
        const auto prior_error =
          family.error(campaign.held_out.prior, campaign.held_out);
        EXPECT_LT(distance(scores.prior_error, prior_error), 1e-9);
      }
  }



  TEST(TrainSurrogate, InputsThatTheSnapshotsDoNotHave)
  {
    const TemporaryFolder folder;
    SmallCampaign         campaign(folder);
    auto                 &task = campaign.task;
    task.inputs.pop_back();
    const auto surrogate =
      make_surrogate(task.surrogate, task.inputs, task.parameters, "a test");
    expect_sentence(message_of<InputError>([&]() {
                      train_surrogate(*surrogate,
                                      task,
                                      SnapshotReader(task.store),
                                      Communicator());
                    }),
                    {"the program", "inputs is '2'", "3", task.store});
  }



  TEST(TrainSurrogate, ScoresInBrief)
  {
    HeldOutScores scores;
    scores.ids         = torch::arange(21);
    scores.error       = torch::arange(21, torch::kFloat64).flip(0);
    scores.prior_error = 100. + 2. * scores.error;
    const auto brief   = summarize_scores(scores);
    EXPECT_EQ(brief.n, 21);
    EXPECT_NEAR(brief.error_median, 10., 1e-12);
    EXPECT_NEAR(brief.error_95, 19., 1e-12);
    EXPECT_NEAR(brief.prior_median, 120., 1e-12);
    EXPECT_NEAR(brief.prior_95, 138., 1e-12);
    scores.ids = torch::empty({0}, torch::kInt64);
    EXPECT_EQ(summarize_scores(scores).n, 0);
  }
} // namespace
