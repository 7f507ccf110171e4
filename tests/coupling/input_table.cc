// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/input_table.h>

#include <fstream>

#include "test_tools.h"

using namespace neuraldeal;
using namespace TestTools;

namespace
{
  class InputTable : public testing::Test
  {
  protected:
    InputTable()
      : groups(MPI_COMM_WORLD, 1, "a test")
    {
      inputs.add_log_uniform("conductivity", 0.3, 3.);
      inputs.add_normal("shift", 0., 1.);
      inputs.add("waiting time", "gamma", {{"shape", 2.}, {"scale", 1.}});
    }

    /** What is read from a file with @p text in it. */
    std::vector<Input>
    read(const std::string &text)
    {
      if (rank() == 0)
        std::ofstream(file) << text;
      return read_input_table(file, inputs, groups);
    }

    ScratchFolder     folder;
    const std::string file = folder / "candidates.txt";
    ProcessGroups     groups;
    InputDistribution inputs;
  };



  TEST_F(InputTable, RowsAndComments)
  {
    const auto rows = read("# conductivity, shift, waiting time\n"
                           "\n"
                           "  0.5\t-1e-3  4   # the first\r\n"
                           "3 100 +0.1");
    EXPECT_EQ(rows, (std::vector<Input>{{0.5, -1e-3, 4.}, {3., 100., 0.1}}));
    EXPECT_TRUE(same_on_all_ranks(rows));
  }



  TEST_F(InputTable, MistakesAreSentencesOnAllRanks)
  {
    const auto wrong = [this](const std::string              &text,
                              const std::vector<std::string> &parts) {
      const auto message = message_of([&]() { read(text); });
      expect_sentence(message, parts);
      expect_sentence(message, {file});
      EXPECT_TRUE(same_on_all_ranks(message));
    };
    wrong("1 2 3\n# comment\n1 2\n",
          {"line 3",
           "number of its values is '2'",
           "3, one for each of conductivity, shift, waiting time"});
    wrong("1 2 3\n1 two 3\n", {"line 2", "'shift' is 'two'", "finite number"});
    wrong("1 2, 3\n", {"line 1", "'shift' is '2,'"});
    wrong("1 nan 3\n", {"line 1", "'shift' is 'nan'", "a finite number"});
    wrong("\n4 2 3\n",
          {"line 2", "'conductivity' is '4'", "a number from 0.3 to 3"});
    wrong("1 2 -3\n", {"'waiting time' is '-3'", "a finite number from 0 on"});
    wrong("# nothing\n\n", {"number of its rows is '0'", "one at least"});
    const std::string absent = folder / "absent.txt";
    const auto        message =
      message_of([&]() { read_input_table(absent, inputs, groups); });
    expect_sentence(message, {absent, "no such file"});
    EXPECT_TRUE(same_on_all_ranks(message));
    EXPECT_FALSE(message_of([&]() {
                   read_input_table(folder.path, inputs, groups);
                 }).empty());
  }
} // namespace
