// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

/**
 * @file
 * Reads damaged model files until its time is over:
 *   fuzz_model_file [seconds = 60] [seed = 1] [first mutation = 0]
 * Ends with a failure, and the number of the mutation, where one is neither
 * read nor refused by a FileError; and, in a build with the address
 * sanitizer, where reading a file of b bytes holds more than 4 b + 64 MB at
 * once.
 */

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "model_file_fuzzer.h"

#if defined(__SANITIZE_ADDRESS__)
// <sanitizer/allocator_interface.h>, which not all compilers bring along
extern "C" int
__sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void *,
                                                   size_t),
                                          void (*)(const volatile void *));
extern "C" size_t
__sanitizer_get_allocated_size(const volatile void *);
#endif

namespace
{
  /** Bytes that are held, and the most since it was asked last. */
  long held = 0, peak = 0;

#if defined(__SANITIZE_ADDRESS__)
  void
  count_malloc(const volatile void *, const size_t size)
  {
    held += size;
    peak = std::max(peak, held);
  }

  void
  count_free(const volatile void *pointer)
  {
    if (pointer != nullptr)
      held -= __sanitizer_get_allocated_size(pointer);
  }

  const bool counts =
    __sanitizer_install_malloc_and_free_hooks(count_malloc, count_free) > 0;
#else
  const bool counts = false;
#endif
} // namespace



int
main(const int argc, char **argv)
{
  using namespace neuraldeal::tests;
  const double        seconds = argc > 1 ? std::atof(argv[1]) : 60.;
  const std::uint64_t seed    = argc > 2 ? std::atoll(argv[2]) : 1;
  std::uint64_t       i       = argc > 3 ? std::atoll(argv[3]) : 0;

  const auto folder = std::filesystem::temp_directory_path() /
                      ("neuraldeal-fuzz-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  int  status = EXIT_SUCCESS;
  long n_read = 0, n_refused = 0, most = 0;
  try
    {
      ModelFileFuzzer fuzzer(seed, folder.string());
      long            before = 0;
      fuzzer.before_reading  = [&]() { peak = before = held; };
      fuzzer.after_reading   = [&](const std::size_t n_bytes) {
        most = std::max(most, peak - before);
        if (peak - before > long(4 * n_bytes) + (64l << 20))
          throw std::logic_error("reading " + std::to_string(n_bytes) +
                                 " bytes has taken " +
                                 std::to_string(peak - before));
      };
      const auto start = std::chrono::steady_clock::now();
      const auto over  = [&]() {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                             start)
                 .count() > seconds;
      };
      for (long next = 1000; !over(); ++i)
        {
          ++(fuzzer.execute(i) == ModelFileFuzzer::Outcome::read ? n_read :
                                                                   n_refused);
          if (n_read + n_refused == next)
            {
              std::cout << next << " files" << std::endl;
              next *= 2;
            }
        }
      std::cout << n_read + n_refused << " files up to " << fuzzer.largest
                << " bytes: " << n_read << " read, " << n_refused
                << " refused\n";
      for (const auto &[reason, n] : fuzzer.reasons)
        std::cout << "  " << n << reason << '\n';
      if (counts)
        std::cout << "at most " << most << " bytes held by a reader\n";
      std::cout << std::flush;
    }
  catch (const std::exception &exception)
    {
      std::cerr << "mutation " << i << " of seed " << seed << ": "
                << exception.what() << std::endl;
      status = EXIT_FAILURE;
    }
  std::filesystem::remove_all(folder);
  return status;
}
