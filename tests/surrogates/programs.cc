// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fcntl.h>
#include <gtest/gtest.h>
#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/surrogate.h>
#include <signal.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <functional>

#include "small_campaign.h"

// The commands as a user calls them: what they print and how they end.

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;
  using nlohmann::json;

  class ProgramsTest : public testing::Test
  {
  protected:
    struct Result
    {
      int         status;
      std::string output, error;
    };

    Result
    run(const std::string &command) const
    {
      const int status =
        std::system(("cd " + folder.name() + " && " + command + " >" +
                     (folder / "output") + " 2>" + (folder / "error"))
                      .c_str());
      return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
              read_bytes(folder / "output"),
              read_bytes(folder / "error")};
    }

    Result
    train(const std::string &arguments) const
    {
      return run("\"" NEURALDEAL_TRAIN "\" " + arguments);
    }

    Result
    inspect(const std::string &arguments) const
    {
      return run("\"" NEURALDEAL_INSPECT "\" " + arguments);
    }

    /** One sentence after "Error: ", with @p parts, and nothing else. */
    static void
    expect_error(const Result &result, const std::vector<std::string> &parts)
    {
      EXPECT_EQ(result.status, 1);
      EXPECT_EQ(result.error.rfind("Error: ", 0), 0u) << result.error;
      ASSERT_FALSE(result.error.empty());
      EXPECT_EQ(result.error.back(), '\n');
      expect_sentence(result.error.substr(0, result.error.size() - 1), parts);
    }

    static void
    expect_parts(const std::string &text, const std::vector<std::string> &parts)
    {
      for (const auto &part : parts)
        EXPECT_NE(text.find(part), std::string::npos)
          << "'" << part << "' is not in:\n"
          << text;
    }

    const TemporaryFolder folder;
    SmallCampaign         campaign{folder};
  };



  TEST_F(ProgramsTest, Train)
  {
    auto result = train("training.json");
    EXPECT_EQ(result.status, 0) << result.error;
    EXPECT_EQ(result.error, "");
    expect_parts(result.output,
                 {"training.json: training the surrogate 'POD kernel "
                  "regression' on 30 snapshots, 20 more held out",
                  "trained in ",
                  "error on 20 held-out snapshots",
                  "95 % quantile",
                  "written: model.safetensors, "});
    const auto file = ModelFile::read(campaign.task.model);
    EXPECT_EQ(file.metadata["training"], campaign.task.training);

    // With other parameters, to another file, without a word.
    result =
      train("--set \"prior modes=4\" -s \"maximal modes=3\" training.json "
            "--quiet --output other.safetensors");
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.output + result.error, "");
    const auto other = ModelFile::read(folder / "other.safetensors");
    campaign.task.set("prior modes=4");
    campaign.task.set("maximal modes=3");
    EXPECT_EQ(other.metadata["surrogate"]["parameters"],
              campaign.task.parameters);
    EXPECT_EQ(other.metadata["training"],
              campaign.task.hash(SnapshotReader(campaign.task.store)));
    EXPECT_EQ(other.tensor("modes").size(1), 3);

    result = inspect("snapshots model.safetensors other.safetensors");
    EXPECT_EQ(result.status, 0);
    expect_parts(result.output,
                 {"snapshots: snapshots\n",
                  "model.safetensors: model\n",
                  "other.safetensors: model\n"});
  }



  TEST_F(ProgramsTest, TrainANeuralOperator)
  {
    campaign.choose("neural operator",
                    {{"operator", "Fourier"},
                     {"operator parameters", {{"width", 4}, {"modes", 3}}},
                     {"uncertainty", "none"},
                     {"training", {{"epochs", 100}}}},
                    folder / "training.json");
    const auto result = train("-q training.json --set training/epochs=10");
    EXPECT_EQ(result.status, 0) << result.error;
    EXPECT_EQ(result.output + result.error, "");
    const auto file = ModelFile::read(campaign.task.model);
    EXPECT_EQ(file.metadata["surrogate"]["parameters"]["training"],
              json({{"epochs", 10}}));
    EXPECT_EQ(file.metadata["operator"]["type"], "Fourier");
  }



  TEST_F(ProgramsTest, TrainASurrogateOfTheUsers)
  {
    const auto with = [&](const json &libraries) {
      auto document = json::parse(read_bytes(folder / "training.json"));
      document.erase("training"); // the hash, also of the parameters
      document["surrogate"] = {{"type", "user's surrogate"},
                               {"parameters", {{"maximal modes", 3}}}};
      if (!libraries.is_null())
        document["libraries"] = libraries;
      write_bytes(folder / "users.json", document.dump());
      return train("-q users.json");
    };
    expect_error(with(nullptr),
                 {"users.json", "'user's surrogate'", "POD network"});
    expect_error(with(json::array({"./nowhere.so"})),
                 {"users.json", "'libraries'", "nowhere.so", "No such file"});
    expect_error(with("nowhere.so"), {"'libraries'", "a list of texts"});

    std::filesystem::create_directories(folder / "lib");
    std::filesystem::copy(USER_SURROGATE, folder / "lib/libusers.so");
    const auto result = with(json::array({"lib/libusers.so"}));
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.output + result.error, "");
    const auto file = ModelFile::read(campaign.task.model);
    EXPECT_EQ(file.metadata["surrogate"]["type"], "user's surrogate");
    EXPECT_EQ(file.tensor("modes").size(1), 3);

    expect_parts(inspect("model.safetensors").output,
                 {"'user's surrogate'", "valid is one of", "POD network"});
    const auto inspected =
      inspect("--library lib/libusers.so model.safetensors");
    EXPECT_EQ(inspected.status, 0) << inspected.error;
    expect_parts(inspected.output, {"user's surrogate", "held-out"});
    EXPECT_EQ(inspected.output.find("valid is"), std::string::npos);
    expect_error(run(HIDDEN_PROGRAM " " USER_SURROGATE),
                 {"a library is '" USER_SURROGATE "'", "ENABLE_EXPORTS"});
    expect_error(inspect("--library ./nowhere.so model.safetensors"),
                 {"--library", "'./nowhere.so'", "No such file"});
  }



  TEST_F(ProgramsTest, Help)
  {
    for (const auto &result : {train("--help"), inspect("-h")})
      {
        EXPECT_EQ(result.status, 0);
        EXPECT_EQ(result.error, "");
        expect_parts(result.output, {"Usage: neuraldeal-", "Exit status: 0"});
      }
  }



  TEST_F(ProgramsTest, WrongCalls)
  {
    for (const auto &result :
         {train(""), train("--wrong training.json"), inspect("")})
      {
        EXPECT_EQ(result.status, 2);
        EXPECT_EQ(result.output, "");
        EXPECT_NE(result.error, "");
      }
  }



  TEST_F(ProgramsTest, WrongInputsLeaveTheModelAlone)
  {
    write_bytes(campaign.task.model, "what was there");
    const auto with = [&](const std::function<void(json &)> &change) {
      auto document = json::parse(read_bytes(folder / "training.json"));
      change(document);
      write_bytes(folder / "changed.json", document.dump());
      return train("changed.json");
    };
    expect_error(train("nowhere.json"), {"nowhere.json", "no such file"});
    expect_error(with([](json &d) { d["surrogate"]["type"] = "oracle"; }),
                 {"changed.json", "'oracle'", "POD network"});
    expect_error(with([](json &d) { d["design"] = "another"; }),
                 {"snapshots/batch-000000.h5", "another"});
    std::filesystem::create_directories(folder / "empty");
    expect_error(with([](json &d) { d["store"] = "empty"; }),
                 {"empty", "no snapshots"});
    expect_error(train("training.json --set width=3"),
                 {"--set", "'width'", "prior modes"});
    expect_error(train("training.json -o nowhere/model"),
                 {"--output", "'nowhere/model'", "a folder that is there"});
    campaign.choose("TorchScript",
                    {{"file", "nowhere.pt"}},
                    folder / "script.json");
    expect_error(train("script.json"), {"nowhere.pt"});

    // Damage that is met in the midst of the training
    const auto        name  = SnapshotReader::batch_file("snapshots", 0);
    const auto        file  = folder / name;
    auto              bytes = read_bytes(file);
    const double      value = campaign.training.solution[7][40].item<double>();
    const std::string pattern(reinterpret_cast<const char *>(&value), 8);
    const double      nan = NAN;
    const auto        at  = bytes.find(pattern);
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at, 8, reinterpret_cast<const char *>(&nan), 8);
    write_bytes(file, bytes);
    expect_error(train("training.json --quiet"),
                 {name, "sample 7", "value 40"});
    write_bytes(file, bytes.substr(0, bytes.size() / 2));
    expect_error(train("training.json"), {name});

    EXPECT_EQ(read_bytes(campaign.task.model), "what was there");
    EXPECT_FALSE(std::filesystem::exists(campaign.task.model + ".tmp"));
  }



  TEST_F(ProgramsTest, InterruptedLeavesTheModelAlone)
  {
    write_bytes(campaign.task.model, "what was there");
    campaign.choose("neural operator",
                    {{"operator", "Fourier"},
                     {"operator parameters", {{"width", 4}, {"modes", 3}}},
                     {"uncertainty", "none"},
                     {"training", {{"epochs", 100000}}}},
                    folder / "training.json");
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0)
      {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        const auto task = folder / "training.json";
        execl(NEURALDEAL_TRAIN, NEURALDEAL_TRAIN, task.c_str(), nullptr);
        _exit(127);
      }
    close(ends[1]);
    // What it says first, it says before it trains, for hours.
    char letter = 0;
    EXPECT_EQ(read(ends[0], &letter, 1), 1);
    kill(child, SIGINT);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    close(ends[0]);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    EXPECT_EQ(read_bytes(campaign.task.model), "what was there");
    EXPECT_FALSE(std::filesystem::exists(campaign.task.model + ".tmp"));
  }



  TEST_F(ProgramsTest, InspectGoesOnAfterAnError)
  {
    write_bytes(folder / "damaged.safetensors", "01234567890");
    const auto text = inspect("damaged.safetensors nowhere snapshots");
    EXPECT_EQ(text.status, 1);
    expect_parts(text.output, {"snapshots: snapshots\n", "1 failed"});
    expect_parts(text.error,
                 {"Error: damaged.safetensors: ",
                  "Error: nowhere: there is no such file or folder.\n"});

    const auto result = inspect("--json damaged.safetensors snapshots");
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.error, "");
    const auto reports = json::parse(result.output);
    ASSERT_EQ(reports.size(), 2u);
    EXPECT_EQ(reports[0]["file"], "damaged.safetensors");
    expect_sentence(reports[0]["error"], {"damaged.safetensors"});
    EXPECT_EQ(reports[1]["file"], "snapshots");
    EXPECT_EQ(reports[1]["solved"], 49);
    EXPECT_FALSE(reports[1].contains("error"));
    EXPECT_EQ(inspect("--json snapshots").status, 0);
  }
} // namespace
