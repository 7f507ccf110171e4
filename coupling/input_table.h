// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_input_table_h
#define neuraldeal_coupling_input_table_h

#include <neuraldeal/coupling/full_order_model.h>
#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/coupling/mpi_tools.h>

#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Inputs from a text file: one a line, its numbers in the order of
   * @p inputs, with spaces or tabs in between. What follows on a '#' is
   * comment; lines with nothing else are left out.
   *
   * The first rank reads. Collective over all ranks, with the same result.
   * @throw FileError for a file that cannot be read, InputError for a line
   * that is no input, or a number that @p inputs are never drawn with, and for
   * a file without any; on all ranks, with the same words.
   */
  std::vector<Input>
  read_input_table(const std::string       &filename,
                   const InputDistribution &inputs,
                   const ProcessGroups     &groups);
} // namespace neuraldeal

#endif
