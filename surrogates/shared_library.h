// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_shared_library_h
#define neuraldeal_surrogates_shared_library_h

#include <functional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Load shared libraries, for the Registration objects in them: what they
   * register has a name from then on, as if it were part of the program. A
   * library stays until the program ends; loading it again does nothing.
   *
   * There is one Registry of each kind if the library takes it from the
   * program, so that
   * - the program exports its symbols. All that are linked by CMake with the
   *   targets of this project do (`-rdynamic`);
   * - the library does not bring a second copy of this project along: it is
   *   compiled against the headers, and linked with none of its libraries (the
   *   CMake function neuraldeal_setup_library() sees to that).
   *
   * @param paths those with a '/' in them are paths, others are names that
   * are looked for where the system looks for libraries.
   * @param source, @param entry where they come from, for error messages.
   * @param agree called for each of them with what is wrong with it on this
   * process, or nothing, and returns what is wrong on any.
   * @throw InputError with the system's reason if one cannot be loaded, and
   * where the program does not export its symbols.
   */
  void
  load_shared_libraries(
    const std::vector<std::string>                        &paths,
    const std::string                                     &source,
    const std::string                                     &entry,
    const std::function<std::string(const std::string &)> &agree = {});
} // namespace neuraldeal

#endif
