// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/input_table.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>

#include <cmath>
#include <fstream>
#include <sstream>

namespace neuraldeal
{
  namespace
  {
    /** What a sentence shows of a value that may be anything. */
    constexpr std::size_t longest_shown = 40;



    /** One of the numbers of @p range, from @p text at @p where. */
    double
    parsed(const std::string &text,
           const InputRange  &range,
           const std::string &where)
    {
      const auto value = finite_number(text);
      if (!value || *value < range.lower || *value > range.upper)
        throw InputError(
          where,
          "'" + range.name + "'",
          printable(text, longest_shown),
          std::isfinite(range.lower) && std::isfinite(range.upper) ?
            fmt::format("a number from {} to {}", range.lower, range.upper) :
          std::isfinite(range.lower) ?
            fmt::format("a finite number from {} on", range.lower) :
          std::isfinite(range.upper) ?
            fmt::format("a finite number up to {}", range.upper) :
            "a finite number");
      return *value;
    }
  } // namespace



  std::vector<Input>
  read_input_table(const std::string       &filename,
                   const InputDistribution &inputs,
                   const ProcessGroups     &groups)
  {
    std::vector<Input> result;
    groups.on_root([&]() {
      std::ifstream in(filename);
      if (!in)
        throw FileError(filename, "there is no such file, or it is unreadable");
      const auto  ranges = inputs.ranges();
      std::string line;
      for (unsigned long number = 1; std::getline(in, line); ++number)
        {
          std::istringstream stream(line.substr(0, line.find('#')));
          const std::string  where =
            fmt::format("{}, line {}", filename, number);
          std::vector<std::string> words;
          for (std::string word; stream >> word;)
            words.push_back(word);
          if (words.empty())
            continue;
          if (words.size() != ranges.size())
            throw InputError(where,
                             "the number of its values",
                             std::to_string(words.size()),
                             fmt::format("{}, one for each of {}",
                                         ranges.size(),
                                         listed(inputs.names())));
          Input row;
          for (std::size_t i = 0; i < ranges.size(); ++i)
            row.push_back(parsed(words[i], ranges[i], where));
          result.push_back(row);
        }
      if (in.bad())
        throw FileError(filename, "it cannot be read to its end");
      if (result.empty())
        throw InputError(filename,
                         "the number of its rows",
                         "0",
                         "one at least, with a number for each input");
    });
    return dealii::Utilities::MPI::broadcast(groups.world, result);
  }
} // namespace neuraldeal
