// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// neuraldeal-inspect: what is in snapshot stores and model files.

#include <fmt/format.h>
#include <neuraldeal/surrogates/inspect.h>
#include <neuraldeal/surrogates/shared_library.h>

#include <cstdio>

#include "program.h"

int
main(int argc, char *argv[])
{
  using namespace neuraldeal;

  std::vector<std::string> paths, libraries;
  bool                     as_json = false;
  CLI::App app("Shows what is in snapshot stores and model files. All of a "
               "file is read, so that damage is found.",
               "neuraldeal-inspect");
  app
    .add_option("files",
                paths,
                "folders of snapshots, single batches (batch-*.h5), or models "
                "(*.safetensors)")
    ->type_name("FILE")
    ->required();
  app
    .add_option("-l,--library",
                libraries,
                "shared library with surrogates that models are of; may be "
                "repeated")
    ->type_name("FILE")
    ->allow_extra_args(false);
  app.add_flag("--json",
               as_json,
               "print a JSON list with an object for each file; one that "
               "cannot be read has the entries file and error");
  app.footer("Exit status: 0 if all files could be read, 1 if not, 2 after a "
             "wrong call.");

  return run_command(app, argc, argv, [&]() {
    load_shared_libraries(libraries, "the command line", "--library");
    int  status  = 0;
    auto reports = nlohmann::json::array();
    for (const auto &path : paths)
      try
        {
          const auto report = inspect(path);
          if (as_json)
            reports.push_back(report);
          else
            fmt::print("{}", inspection_text(report));
          std::fflush(stdout);
        }
      catch (const std::exception &exception)
        {
          status = 1;
          if (as_json)
            reports.push_back(
              {{"file", path}, {"error", sentence_of(exception)}});
          else
            std::cerr << "Error: " + sentence_of(exception) + "\n";
        }
    if (as_json)
      fmt::print(
        "{}\n",
        reports.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return status;
  });
}
