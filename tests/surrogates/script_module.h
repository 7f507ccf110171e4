// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_script_module_h
#define neuraldeal_tests_surrogates_script_module_h

#include <string>

namespace neuraldeal::tests
{
  /**
   * Write a TorchScript module with the methods of @p source to @p filename.
   * (The headers that this takes are compiled once.)
   */
  void
  write_script_module(const std::string &filename, const std::string &source);
} // namespace neuraldeal::tests

#endif
