// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_examples_common_html_h
#define neuraldeal_examples_common_html_h

#include <cstddef>
#include <string>

namespace neuraldeal::examples::html
{
  /** Plain @p text, safe in a page and in the quoted value of an attribute. */
  std::string
  escape(const std::string &text);

  /** @p value in three digits. */
  std::string
  number(const double value);

  /** "1 point" or "7 points". */
  std::string
  count(const std::size_t n, const std::string &noun, const std::string &many);

  /** @p bytes as a data URI holds them. */
  std::string
  base64(const std::string &bytes);
} // namespace neuraldeal::examples::html

#endif
