// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_file_tools_h
#define neuraldeal_surrogates_file_tools_h

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Make a finished file visible: sync @p temporary to the disk, rename it
   * to @p filename, sync the folder. After a crash at any instant the file
   * is either whole or absent.
   * @throw FileError
   */
  void
  publish_file(const std::string &temporary, const std::string &filename);

  /**
   * Write @p text into a file, which after a crash at any instant is whole or
   * as it was before.
   * @throw FileError
   */
  void
  publish_text(const std::string &filename, const std::string &text);

  /** The 64-bit FNV-1a hash (Fowler, Noll and Vo) of some bytes. */
  std::uint64_t
  fnv1a(const void         *data,
        const std::size_t   n_bytes,
        const std::uint64_t start = 0xcbf29ce484222325ull);

  /** @p hash as 16 hexadecimal digits. */
  std::string
  hexadecimal(const std::uint64_t hash);

  /** The finite number that @p text is, all of it; nothing where it is none. */
  std::optional<double>
  finite_number(const std::string &text);

  /**
   * @p text from a file as it can stand in a line or a sentence: '?' in the
   * place of each control character, '…' in that of what is beyond
   * @p max_bytes.
   */
  std::string
  printable(const std::string &text,
            const std::size_t  max_bytes = std::string::npos);
} // namespace neuraldeal

#endif
