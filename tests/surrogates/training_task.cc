// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/training_task.h>

#include <functional>
#include <limits>

#include "small_campaign.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;
  using nlohmann::json;

  class TrainingTaskTest : public testing::Test
  {
  protected:
    /** What is said of the task after @p change, when it is used. */
    std::string
    complaint(const std::function<void(json &)> &change) const
    {
      auto document = json::parse(read_bytes(folder / "training.json"));
      change(document);
      write_bytes(filename, document.dump());
      return message_of<std::runtime_error>([&]() {
        const auto           task = TrainingTask::read(filename);
        const SnapshotReader store(task.store, task.design);
        task.check_snapshots(store);
      });
    }

    std::string
    complaint_of_change(const std::string &change)
    {
      return message_of<InputError>([&]() { campaign.task.set(change); });
    }

    const TemporaryFolder folder;
    SmallCampaign         campaign{folder};
    const std::string     filename = folder / "changed.json";
  };



  TEST_F(TrainingTaskTest, LibrariesAreFoundFromItsFolder)
  {
    campaign.task.libraries = {folder / "a.so", folder / "b/c.so", "d.so"};
    campaign.task.write(filename);
    EXPECT_EQ(json::parse(read_bytes(filename))["libraries"],
              json::array({"./a.so", "b/c.so", "d.so"}));
    // They are not there; where they would be, this says.
    EXPECT_NE(complaint([](json &d) {
                d["libraries"] = {"b/c.so"};
              }).find("'" + (folder / "b/c.so") + "'"),
              std::string::npos);
  }



  TEST_F(TrainingTaskTest, IsTheSameFromAFile)
  {
    constexpr double infinity     = std::numeric_limits<double>::infinity();
    campaign.task.inputs[1]       = {"x y", -infinity, infinity, false};
    campaign.task.inputs[2].lower = 0.1 + 0.2;
    campaign.task.write(filename);
    const auto &a = campaign.task;
    const auto  b = TrainingTask::read(filename);
    EXPECT_EQ(std::filesystem::path(b.store).lexically_normal(), a.store);
    EXPECT_EQ(std::filesystem::path(b.model).lexically_normal(), a.model);
    EXPECT_EQ(a.design, b.design);
    EXPECT_EQ(a.problem, b.problem);
    EXPECT_EQ(a.training, b.training);
    EXPECT_EQ(a.surrogate, b.surrogate);
    EXPECT_EQ(a.parameters, b.parameters);
    EXPECT_EQ(a.parameters.dump(), b.parameters.dump()); // the kinds as well
    EXPECT_EQ(a.training_samples, b.training_samples);
    EXPECT_EQ(a.held_out_samples, b.held_out_samples);
    EXPECT_EQ(b.source, filename);
    ASSERT_EQ(b.inputs.size(), 3u);
    for (unsigned int i = 0; i < 3; ++i)
      {
        EXPECT_EQ(a.inputs[i].name, b.inputs[i].name);
        EXPECT_EQ(a.inputs[i].lower, b.inputs[i].lower);
        EXPECT_EQ(a.inputs[i].upper, b.inputs[i].upper);
        EXPECT_EQ(a.inputs[i].logarithmic, b.inputs[i].logarithmic);
      }
    EXPECT_EQ(b.hash(SnapshotReader(b.store)), a.training);
    const auto document = json::parse(read_bytes(filename));
    EXPECT_EQ(document["store"], "snapshots");
    EXPECT_EQ(document["inputs"][1]["lower"], "-inf");
    EXPECT_FALSE(document.contains("libraries"));
    EXPECT_FALSE(std::filesystem::exists(filename + ".tmp"));
  }



  // By hand one may leave out what a program knows, and write numbers as text.
  TEST_F(TrainingTaskTest, ByHand)
  {
    auto document = json::parse(read_bytes(folder / "training.json"));
    document.erase("design");
    document.erase("training");
    document["surrogate"].erase("parameters");
    document["inputs"][0]["lower"] = "0.2";
    write_bytes(filename, document.dump());
    const auto           task = TrainingTask::read(filename);
    const SnapshotReader store(task.store, task.design);
    task.check_snapshots(store);
    EXPECT_EQ(task.inputs[0].lower, 0.2);
    EXPECT_EQ(task.parameters, campaign.task.parameters);
    EXPECT_EQ(task.hash(store), campaign.task.training);
  }



  TEST_F(TrainingTaskTest, HashTellsTrainingsApart)
  {
    const SnapshotReader store(campaign.task.store);
    const auto           differs = [&](const auto &change) {
      auto other = campaign.task;
      change(other);
      EXPECT_NE(other.hash(store), campaign.task.training);
    };
    differs([](TrainingTask &task) { task.surrogate = "POD network"; });
    differs([](TrainingTask &task) { task.set("prior modes=7"); });
    differs([](TrainingTask &task) { task.training_samples.pop_back(); });
    differs([](TrainingTask &task) {
      std::swap(task.held_out_samples[0], task.held_out_samples[1]);
    });
    auto same = campaign.task;
    same.set("prior modes=7");
    same.set("prior modes=25");
    EXPECT_EQ(same.hash(store), campaign.task.training);
  }



  TEST_F(TrainingTaskTest, Changes)
  {
    campaign.choose("neural operator",
                    {{"training", {{"epochs", 3}}}},
                    filename);
    auto &task = campaign.task;
    task.set("training/epochs=5");
    task.set("training/learning rate=1e-2");
    task.set("operator=Fourier");
    task.set("operator parameters={\"width\": 8}");
    EXPECT_EQ(task.parameters["training"],
              json({{"epochs", 5}, {"learning rate", 1e-2}}));
    EXPECT_EQ(task.parameters["operator"], "Fourier");
    EXPECT_EQ(task.parameters["operator parameters"], json({{"width", 8}}));
    task.set("uncertainty=energy score");
    task.set("uncertainty parameters/members=4");
    EXPECT_EQ(task.parameters["uncertainty"], "energy score");
    EXPECT_EQ(task.parameters["uncertainty parameters"],
              json({{"members", 4}}));

    expect_sentence(complaint_of_change("epochs"), {"--set", "'epochs'"});
    expect_sentence(complaint_of_change("=3"), {"--set", "'=3'"});
    expect_sentence(complaint_of_change("epochs=3"),
                    {"--set", "'epochs'", "one of: operator, "});
    expect_sentence(complaint_of_change("seed=1.5"),
                    {"--set", "seed is '1.5'", "an integer from 0"});
    expect_sentence(complaint_of_change("seed="), {"--set", "seed is '\"\"'"});
    expect_sentence(complaint_of_change("operator/width=8"),
                    {"--set", "'operator'", "operator parameters", "training"});
    campaign.choose("POD network", json::object(), filename);
    expect_sentence(complaint_of_change("training/epochs=8"),
                    {"--set", "'training'", "POD network"});
  }



  TEST_F(TrainingTaskTest, WrongEntries)
  {
    const auto refused = [this](const std::function<void(json &)> &change,
                                const std::vector<std::string>    &parts) {
      expect_sentence(complaint(change), parts);
    };
    for (const auto *name : {"format",
                             "store",
                             "model",
                             "problem",
                             "surrogate",
                             "inputs",
                             "training samples",
                             "held-out samples"})
      {
        refused([&](json &d) { d.erase(name); }, {filename, name, "valid is"});
        refused([&](json &d) { d[name] = 7; }, {filename, name, "'7'"});
      }
    for (const auto *name : {"design", "training", "store", "model"})
      refused([&](json &d) { d[name] = ""; }, {filename, name, "''"});
    refused([](json &d) { d["extra"] = 1; },
            {filename, "'extra'", "one of: format, store"});
    refused([](json &d) { d["format"] = "neural.deal training 2"; },
            {filename, "training 2", "neural.deal training 1"});

    refused([](json &d) { d["surrogate"]["type"] = "oracle"; },
            {filename, "'oracle'", "POD network", "neural operator"});
    refused([](json &d) { d["surrogate"]["type"] = 1; },
            {filename, "'type'", "'1'"});
    refused([](json &d) { d["surrogate"]["parameters"] = {1}; },
            {filename, "'parameters'", "'[1]'"});
    refused([](json &d) { d["surrogate"]["name"] = "x"; },
            {filename, "'name'", "type, parameters"});
    refused([](json &d) { d["surrogate"]["parameters"]["prior modes"] = "9"; },
            {filename, "prior modes is '\"9\"'", "an integer from 1"});
    refused([](json &d) { d["surrogate"]["parameters"]["prior modes"] = 9; },
            {filename, "'training'", campaign.task.training, "--set"});
    refused([](json &d) { d["surrogate"]["parameters"]["mode"] = 9; },
            {filename, "'mode'", "prior modes"});

    refused([](json &d) { d["inputs"] = json::array(); },
            {filename, "'inputs'", "'[]'"});
    refused([](json &d) { d["inputs"][1] = 3; }, {filename, "input", "'3'"});
    refused([](json &d) { d["inputs"][1]["lower"] = "low"; },
            {filename, "'lower'", "'low'", "-inf"});
    refused([](json &d) { d["inputs"][1]["upper"] = json(); },
            {filename, "'upper'", "'null'"});
    refused([](json &d) { d["inputs"][1]["lower"] = 3; },
            {filename, "right", "[3, 2]"});
    refused([](json &d) { d["inputs"][1]["lower"] = 0; },
            {filename, "right", "[0, 2]", "positive"});
    refused([](json &d) { d["inputs"][1]["logarithmic"] = "yes"; },
            {filename, "'logarithmic'", "'yes'", "true or false"});
    refused([](json &d) { d["inputs"][1]["log"] = true; },
            {filename, "'log'", "logarithmic"});

    for (const auto &[name, minimum] :
         {std::pair<const char *, const char *>{"training samples",
                                                "2 or more"},
          {"held-out samples", "1 or more"}})
      {
        for (const json &wrong : {json("a"), json(1.5), json(-1), json(31)})
          refused(
            [&](json &d) {
              d[name][0] = wrong;
              d[name][1] = 31;
            },
            {filename, name, minimum});
        refused([&](json &d) { d[name] = json::array(); },
                {filename, name, "'[]'", minimum});
      }
    refused([](json &d) { d["held-out samples"][3] = 2; },
            {filename, "held-out", "'2'", "not among the training samples"});
  }



  TEST_F(TrainingTaskTest, WrongStores)
  {
    const auto &store = campaign.task.store;
    expect_sentence(complaint([](json &d) { d["store"] = "nowhere"; }),
                    {folder / "nowhere"});
    std::filesystem::create_directories(folder / "empty");
    expect_sentence(complaint([](json &d) { d["store"] = "empty"; }),
                    {folder / "empty", "no snapshots"});
    expect_sentence(
      complaint([](json &d) { d["design"] = "fedcba9876543210"; }),
      {store + "/batch-000000.h5", campaign.task.design, "fedcba9876543210"});
    expect_sentence(
      complaint([](json &d) { d["training"] = "fedcba9876543210"; }),
      {filename, "fedcba9876543210", store, campaign.task.training});
    expect_sentence(complaint([](json &d) { d["held-out samples"][3] = 999; }),
                    {store, "no sample 999"});
    expect_sentence(complaint([](json &d) { d["held-out samples"][3] = 50; }),
                    {store, "no sample 50"}); // it has failed

    // Samples of the same numbers, but with other inputs.
    SmallBatch other({0, 1, 2}, 81);
    other.write(SnapshotReader::batch_file(store, 0));
    expect_sentence(complaint([](json &) {}), {store, "no sample 3"});
    std::vector<std::int64_t> ids(30);
    std::iota(ids.begin(), ids.end(), 0);
    SmallBatch(ids, 81).write(SnapshotReader::batch_file(store, 0));
    expect_sentence(complaint([](json &) {}),
                    {filename, campaign.task.training, store});
    write_bytes(SnapshotReader::batch_file(store, 0), "no HDF5");
    expect_sentence(complaint([](json &) {}),
                    {SnapshotReader::batch_file(store, 0)});
  }



  TEST_F(TrainingTaskTest, FilesThatAreNoTasks)
  {
    const auto refused = [this](const std::string              &name,
                                const std::vector<std::string> &parts) {
      expect_sentence(message_of<FileError>(
                        [&]() { TrainingTask::read(folder / name); }),
                      parts);
    };
    refused("nothing.json", {folder / "nothing.json", "no such file"});
    refused("snapshots", {folder / "snapshots", "no such file"});
    const auto wrong = [&](const std::string &text, const std::string &part) {
      write_bytes(filename, text);
      refused("changed.json", {filename, part});
    };
    wrong("", "line 1");
    wrong("{\"format\": 1,\n\n\"store\": }", "line 3");
    wrong("{\"format\": \"\xff\"}", "line 1");
    wrong("[1, 2]", "no JSON object");
    const auto whole = read_bytes(folder / "training.json");
    wrong(whole.substr(0, whole.size() / 2), "no JSON document");
  }
} // namespace
