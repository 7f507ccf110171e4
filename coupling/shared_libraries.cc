// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>
#include <deal.II/base/utilities.h>

#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/shared_libraries.h>
#include <neuraldeal/surrogates/shared_library.h>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    const std::string entry = "Additional shared libraries";
  }



  void
  load_shared_libraries(const std::vector<std::string> &paths,
                        const std::string              &source,
                        const MPI_Comm                  communicator)
  {
    if (Utilities::MPI::job_supports_mpi())
      load_shared_libraries(paths,
                            source,
                            entry,
                            [communicator](const std::string &problem) {
                              return first_message(problem, communicator);
                            });
    else
      load_shared_libraries(paths, source, entry);
  }



  void
  declare_shared_libraries(ParameterHandler            &prm,
                           const std::function<void()> &declare,
                           const std::string           &source)
  {
    prm.declare_entry(
      entry,
      "",
      Patterns::List(Patterns::Anything()),
      "Paths of shared libraries whose own classes can be named "
      "in what follows in this section, separated by commas.");
    // deal.II asks that actions leave the ParameterHandler alone. This one
    // adds to it; it leaves the path of the section as it is, and whatever was
    // declared before.
    prm.add_action(entry, [declare, source](const std::string &list) {
      const auto paths = Utilities::split_string_list(list);
      if (paths.empty())
        return;
      load_shared_libraries(paths, source, MPI_COMM_WORLD);
      declare();
    });
  }



  std::vector<std::string>
  parse_shared_libraries(const ParameterHandler &prm)
  {
    return Utilities::split_string_list(prm.get(entry));
  }
} // namespace neuraldeal
