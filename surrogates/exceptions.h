// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_exceptions_h
#define neuraldeal_surrogates_exceptions_h

#include <stdexcept>
#include <string>

namespace neuraldeal
{
  /**
   * A mistake in what the user gave: a file, an entry in it, a value. The
   * message is one sentence that names them and says what would be valid.
   */
  class InputError : public std::runtime_error
  {
  public:
    /**
     * @param source where the mistake is: a file, or "the program".
     * @param entry the entry, key or object in it.
     * @param value the value found.
     * @param valid what would be valid, to follow the words "valid is".
     */
    InputError(const std::string &source,
               const std::string &entry,
               const std::string &value,
               const std::string &valid)
      : std::runtime_error(source + ": " + entry + " is '" + value +
                           "'; valid is " + valid + ".")
    {}

    /** @p error, where @p source is what the wrong entry came from. */
    InputError(const std::string &source, const InputError &error)
      : std::runtime_error(source + ": " + error.what())
    {}
  };

  /**
   * A file that cannot be used as what it is wanted for: absent, unreadable,
   * damaged, or made for something else.
   */
  class FileError : public std::runtime_error
  {
  public:
    /** @param problem what is wrong, as the end of a sentence. */
    FileError(const std::string &file, const std::string &problem)
      : std::runtime_error(file + ": " + problem + ".")
    {}
  };
} // namespace neuraldeal

#endif
