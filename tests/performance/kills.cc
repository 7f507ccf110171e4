// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// kills FOLDER [quick]
//
// Kills campaigns a hundred times and more, and compares what they leave with
// what those leave that nobody has killed. See README.md.

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <iostream>
#include <thread>

#include "killed_campaigns.h"

int
main(int argc, char *argv[])
{
  using namespace neuraldeal::performance;
  try
    {
      KillsData  data;
      const bool quick  = argc > 2 && std::string(argv[2]) == "quick";
      data.folder       = argc > 1 ? argv[1] : "kills";
      data.n_samples    = 24;
      data.n_kills      = quick ? 20 : 100;
      data.n_in_writes  = quick ? 5 : 20;
      data.verbose      = true;
      const auto result = kill_campaigns(data);
      for (const auto &difference : result.differences)
        std::cout << difference << "\n";
      std::cout
        << nlohmann::json{{"benchmark", "kills"},
                          {"figures",
                           {{"kills", result.n_kills},
                            {"kills_in_a_write", result.n_in_writes},
                            {"campaigns", result.n_campaigns},
                            {"samples", result.n_samples},
                            {"samples_kept", result.n_kept},
                            {"differences", result.differences.size()}}},
                          {"seeds", {data.seed}},
                          {"machine",
                           fmt::format("{} cores",
                                       std::thread::hardware_concurrency())}}
             .dump()
        << std::endl;
      return result.differences.empty() ? 0 : 1;
    }
  catch (const std::exception &error)
    {
      std::cerr << "kills: " << error.what() << std::endl;
      return 1;
    }
}
