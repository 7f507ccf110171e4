// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <dlfcn.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/shared_library.h>

/** Is there for its name, by which it is known whether names are exported. */
extern "C" void
neuraldeal_symbols_are_exported()
{}



namespace neuraldeal
{
  namespace
  {
    /** @return nothing, or what would be valid in the place of @p path. */
    std::string
    load(const std::string &path)
    {
      if (path.empty()) // which the system takes for the program itself
        return "the path of a shared library";
      // Otherwise the library would have registries of its own, and all that
      // it registers be unknown.
      if (dlsym(RTLD_DEFAULT, "neuraldeal_symbols_are_exported") !=
          reinterpret_cast<void *>(&neuraldeal_symbols_are_exported))
        return "nothing in this program, which does not export its symbols "
               "(with CMake: ENABLE_EXPORTS)";
      if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr)
        return "";
      const char *const reason = dlerror();
      return std::string("a shared library that can be loaded (") +
             (reason ? reason : "no reason is known") + ")";
    }
  } // namespace



  void
  load_shared_libraries(
    const std::vector<std::string>                        &paths,
    const std::string                                     &source,
    const std::string                                     &entry,
    const std::function<std::string(const std::string &)> &agree)
  {
    for (const auto &path : paths)
      {
        std::string problem = load(path);
        if (agree)
          problem = agree(problem);
        if (!problem.empty())
          throw InputError(source, entry, printable(path, 200), problem);
      }
  }
} // namespace neuraldeal
