// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/inspect.h>
#include <neuraldeal/surrogates/operators/operator_model.h>
#include <neuraldeal/surrogates/train_surrogate.h>

#include "script_module.h"
#include "small_campaign.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;
  using nlohmann::json;

  void
  expect_range(const json &range, const torch::Tensor &values)
  {
    const auto sorted = std::get<0>(values.sort());
    const long n      = values.numel();
    const auto at     = [&](const long i) { return sorted[i].item<double>(); };
    EXPECT_NEAR(range["minimum"].get<double>(), at(0), 1e-12);
    EXPECT_NEAR(range["maximum"].get<double>(), at(n - 1), 1e-12);
    EXPECT_NEAR(range["median"].get<double>(),
                0.5 * (at((n - 1) / 2) + at(n / 2)),
                1e-12);
    EXPECT_NEAR(range["mean"].get<double>(),
                values.mean().item<double>(),
                1e-12);
  }



  void
  expect_parts(const std::string &text, const std::vector<std::string> &parts)
  {
    for (const auto &part : parts)
      EXPECT_NE(text.find(part), std::string::npos)
        << "'" << part << "' is not in:\n"
        << text;
  }



  class InspectTest : public testing::Test
  {
  protected:
    void
    train(const std::string &type, const json &parameters)
    {
      campaign.choose(type, parameters, folder / "training.json");
      auto &task = campaign.task;
      auto  surrogate =
        make_surrogate(type, task.inputs, task.parameters, "a test");
      const SnapshotReader store(task.store);
      train_surrogate(*surrogate, task, store, Communicator());
      make_model_file(*surrogate, task, store, {{"seconds_full_solve", 0.25}})
        .write(task.model);
      scores = surrogate->held_out_scores();
    }

    std::string
    complaint(const std::string &path) const
    {
      return message_of<FileError>([&]() { inspect(path); });
    }

    const TemporaryFolder folder;
    SmallCampaign         campaign{folder};
    const std::string     store = campaign.task.store;
    HeldOutScores         scores;
  };



  TEST_F(InspectTest, Store)
  {
    const auto  report = inspect(store);
    const auto &family = campaign.family;
    EXPECT_EQ(report["kind"], "snapshots");
    EXPECT_EQ(report["problem"], "0123456789abcdef");
    EXPECT_EQ(report["files"], 2);
    EXPECT_EQ(report["solved"], 49);
    EXPECT_EQ(report["solved by the fallback"], 1);
    EXPECT_EQ(report["failed"],
              json::array({{{"sample", 50}, {"reason", "no convergence"}}}));
    EXPECT_EQ(report["values"], 81);
    EXPECT_EQ(report["symmetries"], 2);
    EXPECT_EQ(report["points"]["lower"], json({0., 0.}));
    EXPECT_EQ(report["points"]["upper"], json({1., 1.}));
    std::uintmax_t bytes = 0;
    for (const auto &file : std::filesystem::directory_iterator(store))
      bytes += file.file_size();
    EXPECT_EQ(report["bytes"], bytes);

    expect_range(report["seconds"], torch::arange(1., 51., torch::kFloat64));
    expect_range(report["iterations"], torch::full({50}, 5., torch::kFloat64));
    const auto solution =
      torch::cat({campaign.training.solution, campaign.held_out.solution});
    const auto prior =
      torch::cat({campaign.training.prior, campaign.held_out.prior});
    expect_range(report["solution"], family.space.norm(solution));
    expect_range(report["correction"], family.space.norm(solution - prior));
    const auto parameters =
      torch::cat({campaign.training.parameters, campaign.held_out.parameters});
    ASSERT_EQ(report["parameters"].size(), 3u);
    for (long i = 0; i < 3; ++i)
      expect_range(report["parameters"][i], parameters.select(1, i));
    EXPECT_EQ(report["parameters"][0]["name"], "left");
    EXPECT_EQ(report["parameters"][2]["name"], "µ");

    expect_parts(inspection_text(report),
                 {store + ": snapshots\n",
                  "49 by the solver, 1 by its fallback; 1 failed",
                  "25.5 s on average, 1 to 50, median 25.5 s",
                  "81 values",
                  "2d, from (0, 0) to (1, 1), 2 symmetries",
                  "sample 50",
                  "no convergence",
                  "µ"});
  }



  TEST_F(InspectTest, SaysWhoHasChosenTheInputs)
  {
    EXPECT_TRUE(inspect(store)["campaigns"].empty());
    SmallBatch batch({1000000000, 1000000001}, 81);
    batch.campaign = {"Sobol of seed 7", "Sobol", "7"};
    batch.units    = {"m", "", "K"};
    batch.write(SnapshotReader::batch_file(store, 1000000000));
    const auto report = inspect(store);
    EXPECT_EQ(report["campaigns"],
              json::array({{{"design", "Sobol"},
                            {"seed", "7"},
                            {"first sample", 1000000000}}}));
    EXPECT_EQ(report["solved"], 51);
    expect_parts(inspection_text(report),
                 {"Sobol, seed 7, from sample 1000000000 on"});

    const auto alone = inspect(SnapshotReader::batch_file(store, 1000000000));
    EXPECT_EQ(alone["parameters"][0]["unit"], "m");
    EXPECT_FALSE(alone["parameters"][1].contains("unit"));
    EXPECT_EQ(alone["parameters"][2]["unit"], "K");
    expect_parts(inspection_text(alone), {" m\n", " K\n"});
  }



  TEST_F(InspectTest, OneBatch)
  {
    const auto batch  = SnapshotReader::batch_file(store, 0);
    auto       report = inspect(batch);
    EXPECT_EQ(report["solved"], 30);
    EXPECT_EQ(report["files"], 1);
    EXPECT_EQ(report["bytes"], std::filesystem::file_size(batch));
    expect_range(report["solution"],
                 campaign.family.space.norm(campaign.training.solution));

    // Without its space it has neither norms nor names.
    std::filesystem::rename(batch, folder / "alone.h5");
    report = inspect(folder / "alone.h5");
    EXPECT_EQ(report["solved"], 30);
    EXPECT_EQ(report["values"], 81);
    EXPECT_FALSE(report.contains("solution"));
    EXPECT_FALSE(report.contains("points"));
    EXPECT_EQ(report["parameters"][1]["name"], "number 1");
    expect_parts(inspection_text(report), {"30 by the solver", "81 values"});
  }



  TEST_F(InspectTest, NothingButFailures)
  {
    SmallBatch batch({0, 1}, 81);
    batch.status  = {2, 2};
    batch.reasons = {"first\nline", ""};
    std::filesystem::remove(SnapshotReader::batch_file(store, 1));
    batch.write(SnapshotReader::batch_file(store, 0));
    const auto report = inspect(store);
    EXPECT_EQ(report["solved"], 0);
    EXPECT_EQ(report["failed"].size(), 2u);
    EXPECT_FALSE(report.contains("seconds"));
    expect_parts(inspection_text(report), {"2 failed", "first?line"});
  }



  TEST_F(InspectTest, Models)
  {
    write_script_module(folder / "module.pt", R"(
    def forward(self, parameters, prior):
        return 0.97 * prior
  )");
    const std::vector<std::pair<std::string, json>> types = {
      {"POD network", {{"members", 1}, {"width", 8}, {"epochs", 2}}},
      {"POD kernel regression", json::object()},
      {"neural operator",
       {{"operator", "Fourier"},
        {"operator parameters", {{"width", 4}, {"modes", 3}}},
        {"uncertainty", "none"},
        {"training", {{"epochs", 1}}}}},
      {"TorchScript", {{"file", folder / "module.pt"}}}};
    for (const auto &[type, parameters] : types)
      {
        SCOPED_TRACE(type);
        train(type, parameters);
        const auto &model  = campaign.task.model;
        const auto  report = inspect(model);
        EXPECT_EQ(report["kind"], "model");
        EXPECT_EQ(report["bytes"], std::filesystem::file_size(model));
        EXPECT_FALSE(report.contains("unusable")) << report["unusable"];
        EXPECT_EQ(report["held-out"]["n"], 20);
        const auto error = std::get<0>(scores.error.sort());
        EXPECT_NEAR(report["held-out"]["median"].get<double>(),
                    0.5 * (error[9] + error[10]).item<double>(),
                    1e-9);
        EXPECT_NEAR(report["held-out"]["95 % quantile"].get<double>(),
                    (0.95 * error[18] + 0.05 * error[19]).item<double>(),
                    1e-9);
        const auto &metadata = report["metadata"];
        EXPECT_EQ(metadata["surrogate"]["type"], type);
        EXPECT_EQ(metadata["costs"]["seconds_full_solve"], 0.25);

        const auto file = ModelFile::read(model);
        ASSERT_EQ(report["tensors"].size(), file.tensors.size());
        std::size_t bytes = 0;
        for (const auto &tensor : report["tensors"])
          {
            const auto &stored = file.tensor(tensor["name"]);
            EXPECT_EQ(tensor["shape"], json(stored.sizes().vec()));
            EXPECT_EQ(tensor["bytes"], stored.nbytes());
            EXPECT_EQ(tensor["type"] == "float64",
                      stored.scalar_type() == torch::kFloat64);
            bytes += stored.nbytes();
          }
        EXPECT_LT(bytes, report["bytes"].get<std::size_t>());
        expect_parts(inspection_text(report),
                     {model + ": model\n",
                      "checksum right",
                      "on 20 held-out snapshots",
                      type,
                      "0.2 to 2, logarithmic",
                      "-1 to 1\n",
                      "modes",
                      "81 x "});
      }

    // What the surrogate needs besides may be somewhere else.
    std::filesystem::remove(folder / "module.pt");
    const auto report = inspect(campaign.task.model);
    EXPECT_FALSE(report.contains("held-out"));
    expect_sentence(report["unusable"], {folder / "module.pt"});
    expect_parts(inspection_text(report),
                 {"cannot be used", folder / "module.pt", "modes"});
  }



  TEST_F(InspectTest, AnOperatorByItself)
  {
    OperatorModel model(
      "Fourier", {2, 1, 2}, {{"width", 4}, {"modes", 3}}, true, "a test", 1);
    ModelFile file;
    model.save(file);
    file.write(folder / "operator.safetensors");
    const auto report = inspect(folder / "operator.safetensors");
    EXPECT_EQ(report["metadata"]["operator"]["type"], "Fourier");
    EXPECT_EQ(report["tensors"].size(), file.tensors.size());
    expect_parts(inspection_text(report),
                 {"Fourier", "in channels", "width", "operator.input_mean"});
  }



  TEST_F(InspectTest, DamageIsFound)
  {
    train("POD kernel regression", json::object());
    const auto &model = campaign.task.model;
    auto        bytes = read_bytes(model);
    bytes[bytes.size() - 100] ^= 1;
    write_bytes(model, bytes);
    expect_sentence(complaint(model), {model, "checksum"});
    write_bytes(model, bytes.substr(0, bytes.size() / 2));
    expect_sentence(complaint(model), {model});

    expect_sentence(complaint(folder / "nowhere"), {folder / "nowhere"});
    expect_sentence(complaint(folder.name()),
                    {folder.name(), "valid is the folder", store});
    expect_sentence(complaint(store + "/space.h5"), {store + "/space.h5"});

    // A value that is not finite, deep in a field.
    auto batch            = SmallBatch({60, 61}, 81);
    batch.solution[1][40] = NAN;
    const auto name       = SnapshotReader::batch_file(store, 2);
    batch.write(name);
    expect_sentence(complaint(store), {name, "sample 61", "value 40"});
    SmallBatch({60, 61}, 80).write(name);
    expect_sentence(complaint(name), {name, "80", "81"});
    write_bytes(name, "");
    expect_sentence(complaint(name), {name});
    std::filesystem::remove(name);
    std::filesystem::remove(store + "/space.h5");
    expect_sentence(complaint(store), {store + "/space.h5"});
    std::filesystem::create_directories(folder / "empty");
    expect_sentence(complaint(folder / "empty"),
                    {folder / "empty", "batch-*.h5"});
  }
} // namespace
