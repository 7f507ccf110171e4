// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_shared_libraries_h
#define neuraldeal_coupling_shared_libraries_h

#include <deal.II/base/parameter_handler.h>

#include <mpi.h>

#include <functional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * load_shared_libraries() on all processes of @p communicator, with the same
   * error on all of them where one process fails.
   */
  void
  load_shared_libraries(const std::vector<std::string> &paths,
                        const std::string              &source,
                        const MPI_Comm                  communicator);

  /**
   * Declare the entry "Additional shared libraries" in the current subsection
   * of @p prm: a list of paths, separated by commas. They are loaded as soon
   * as the entry is read (or set), so that what they register may be named,
   * and have sections of its own, in what follows in the file. Where MPI is
   * running all processes have to read it.
   *
   * @param declare called after they are loaded, in the same subsection, to
   * declare what is new.
   * @param source the file, for error messages.
   */
  void
  declare_shared_libraries(dealii::ParameterHandler    &prm,
                           const std::function<void()> &declare,
                           const std::string           &source);

  /** The paths, from the current subsection. */
  std::vector<std::string>
  parse_shared_libraries(const dealii::ParameterHandler &prm);
} // namespace neuraldeal

#endif
