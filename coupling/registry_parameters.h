// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_registry_parameters_h
#define neuraldeal_coupling_registry_parameters_h

#include <deal.II/base/parameter_handler.h>

#include <neuraldeal/surrogates/registry.h>

#include <cctype>
#include <string>

namespace neuraldeal
{
  /** Parameters in a .prm begin with a capital letter. */
  inline std::string
  entry_name(std::string name)
  {
    name[0] = std::toupper(name[0]);
    return name;
  }

  /** A subsection for each class of a Registry, with its parameters. */
  template <typename RegistryType>
  void
  declare_classes(dealii::ParameterHandler &prm)
  {
    for (const auto &[name, entry] : RegistryType::entries())
      {
        prm.enter_subsection(name);
        for (const auto &parameter : entry.parameters)
          prm.declare_entry(entry_name(parameter.name),
                            parameter.default_value.dump(),
                            dealii::Patterns::Anything(),
                            parameter.documentation);
        prm.leave_subsection();
      }
  }

  /**
   * All parameters of the class called @p name, from its subsection.
   * @param source the file, for error messages.
   * @param key the entry that names the class.
   * @throw InputError for a name that there is not, and a wrong parameter.
   */
  template <typename RegistryType>
  nlohmann::json
  parse_class(dealii::ParameterHandler &prm,
              const std::string        &source,
              const std::string        &key,
              const std::string        &name)
  {
    nlohmann::json result = nlohmann::json::object();
    const auto    &entry  = RegistryType::find(source, key, name);
    prm.enter_subsection(name);
    for (const auto &parameter : entry.parameters)
      {
        const std::string text  = prm.get(entry_name(parameter.name));
        auto             &value = result[parameter.name];
        // Text needs no quotes.
        value = nlohmann::json::parse(text, nullptr, false);
        if (value.is_discarded())
          value = text;
      }
    prm.leave_subsection();
    complete_parameters(entry.parameters, result, source); // or throws
    return result;
  }
} // namespace neuraldeal

#endif
