// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_python_h
#define neuraldeal_tests_python_h

#include <cstdio>
#include <string>
#include <utility>

namespace neuraldeal::tests
{
  /** What a Python program prints, and whether it has succeeded. */
  inline std::pair<std::string, bool>
  python(const std::string &interpreter, const std::string &program)
  {
    const auto command = interpreter + " -c '" + program + "' 2>&1";
    FILE      *pipe    = popen(command.c_str(), "r");
    if (pipe == nullptr)
      return {"", false};
    std::string output;
    char        buffer[4096];
    while (const std::size_t n = fread(buffer, 1, sizeof(buffer), pipe))
      output.append(buffer, n);
    return {output, pclose(pipe) == 0};
  }

  /**
   * A Python that has h5py; empty where there is none. Debian's own has
   * Debian's h5py, where another one comes first in the path.
   */
  inline std::string
  python_with_h5py()
  {
    for (const std::string interpreter : {"python3", "/usr/bin/python3"})
      if (python(interpreter, "import h5py").second)
        return interpreter;
    return "";
  }
} // namespace neuraldeal::tests

#endif
