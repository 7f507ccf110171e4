// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/communicator.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <string>
#include <vector>

#include "simulated_ranks.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** What came of an attempt on one rank. */
  struct Outcome
  {
    bool        failed = false; ///< its work
    std::string type;           ///< of what was thrown together; "" for nothing
    std::string message;
    double      sum = 0; ///< of ones over all ranks, afterwards
  };

  Outcome
  outcome(const std::function<void()> &work, const Communicator &communicator)
  {
    Outcome       result;
    const Attempt attempt(work);
    result.failed = attempt.failed();
    try
      {
        attempt.throw_together(communicator);
      }
    catch (const FileError &error)
      {
        result.type    = "FileError";
        result.message = error.what();
      }
    catch (const std::runtime_error &error)
      {
        result.type    = "std::runtime_error";
        result.message = error.what();
      }
    catch (const int)
      {
        result.type = "int";
      }
    auto one = torch::ones({1}, torch::kFloat64);
    communicator.sum(one);
    result.sum = one.item<double>();
    return result;
  }

  /** The outcomes on three ranks that do @p work, which takes the rank. */
  std::vector<Outcome>
  outcomes(const std::function<void(const int)> &work)
  {
    std::vector<Outcome> result(3);
    SimulatedRanks       ranks(result.size());
    ranks.run([&](const Communicator &communicator) {
      result[communicator.rank] =
        outcome([&]() { work(communicator.rank); }, communicator);
    });
    for (const auto &one : result)
      EXPECT_EQ(one.sum, 3.);
    return result;
  }



  TEST(Attempt, WorkThatSucceeds)
  {
    std::vector<int> calls(3, 0);
    for (const auto &one : outcomes([&](const int rank) { ++calls[rank]; }))
      {
        EXPECT_FALSE(one.failed);
        EXPECT_EQ(one.type, "");
      }
    EXPECT_EQ(calls, std::vector<int>(3, 1));
  }



  TEST(Attempt, TheFirstFailureIsThatOfAll)
  {
    const auto all = outcomes([](const int rank) {
      if (rank > 0)
        throw FileError("file " + std::to_string(rank), "it is damaged");
    });
    for (int rank = 0; rank < 3; ++rank)
      {
        EXPECT_EQ(all[rank].failed, rank > 0);
        EXPECT_EQ(all[rank].message, "file 1: it is damaged.");
        // What it is, is only known where it was thrown.
        EXPECT_EQ(all[rank].type,
                  rank == 1 ? "FileError" : "std::runtime_error");
      }
  }



  TEST(Attempt, RanksThatSayTheSameThrowTheirOwn)
  {
    for (const auto &one :
         outcomes([](const int) { throw FileError("file", "it is damaged"); }))
      {
        EXPECT_TRUE(one.failed);
        EXPECT_EQ(one.type, "FileError");
        EXPECT_EQ(one.message, "file: it is damaged.");
      }
  }



  TEST(Attempt, FailuresWithoutWords)
  {
    const auto silent = outcomes([](const int rank) {
      if (rank == 2)
        throw std::runtime_error("");
    });
    const auto number = outcomes([](const int rank) {
      if (rank == 2)
        throw 5;
    });
    for (int rank = 0; rank < 3; ++rank)
      {
        EXPECT_EQ(silent[rank].type, "std::runtime_error");
        EXPECT_EQ(number[rank].type, rank == 2 ? "int" : "std::runtime_error");
        if (rank != 2)
          {
            EXPECT_EQ(silent[rank].message, "an unknown failure");
            EXPECT_EQ(number[rank].message, "an unknown failure");
          }
      }
  }



  TEST(Attempt, OneProcessThrowsItsOwn)
  {
    const auto failed =
      outcome([]() { throw FileError("file", "it is gone"); }, Communicator());
    EXPECT_EQ(failed.type, "FileError");
    EXPECT_EQ(failed.message, "file: it is gone.");
    EXPECT_EQ(outcome([]() {}, Communicator()).type, "");
  }
} // namespace
