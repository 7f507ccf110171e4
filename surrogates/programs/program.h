// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_programs_program_h
#define neuraldeal_surrogates_programs_program_h

#include <CLI/CLI.hpp>

#include <exception>
#include <iostream>
#include <string>

namespace neuraldeal
{
  /** The first line of what @p exception says, as a sentence. */
  inline std::string
  sentence_of(const std::exception &exception)
  {
    // LibTorch adds where it was thrown, line by line.
    std::string text = exception.what();
    text             = text.substr(0, text.find('\n'));
    return text.empty() || text.back() != '.' ? text + "." : text;
  }



  /**
   * Read the command line, then do @p work, which returns the exit status.
   * @return 0 where all is well, 1 after an error, 2 where the command was
   * called in a wrong way.
   */
  template <typename Work>
  int
  run_command(CLI::App &app, int argc, char *argv[], const Work &work)
  {
    try
      {
        app.parse(argc, argv);
      }
    catch (const CLI::ParseError &error)
      {
        return app.exit(error) == 0 ? 0 : 2;
      }
    try
      {
        return work();
      }
    catch (const std::exception &exception)
      {
        std::cout.flush();
        std::cerr << "Error: " + sentence_of(exception) + "\n";
        return 1;
      }
  }
} // namespace neuraldeal

#endif
