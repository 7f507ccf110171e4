// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_registry_parameters_h
#define neuraldeal_coupling_registry_parameters_h

#include <deal.II/base/parameter_handler.h>

#include <neuraldeal/surrogates/registry.h>

#include <cctype>
#include <set>
#include <string>
#include <vector>

namespace neuraldeal
{
  /** Parameters in a .prm begin with a capital letter. */
  inline std::string
  entry_name(std::string name)
  {
    name[0] = std::toupper(name[0]);
    return name;
  }

  /** Entries of the current subsection. */
  inline void
  declare_entries(dealii::ParameterHandler                &prm,
                  const std::vector<ParameterDescription> &parameters)
  {
    for (const auto &parameter : parameters)
      prm.declare_entry(entry_name(parameter.name),
                        parameter.default_value.dump(),
                        dealii::Patterns::Anything(),
                        parameter.documentation);
  }

  /**
   * All @p parameters, from the entries of the current subsection.
   * @param source the file, for error messages.
   * @throw InputError for a wrong one.
   */
  inline nlohmann::json
  parse_entries(dealii::ParameterHandler                &prm,
                const std::vector<ParameterDescription> &parameters,
                const std::string                       &source)
  {
    nlohmann::json result = nlohmann::json::object();
    for (const auto &parameter : parameters)
      {
        const std::string text  = prm.get(entry_name(parameter.name));
        auto             &value = result[parameter.name];
        // Text needs no quotes.
        value = nlohmann::json::parse(text, nullptr, false);
        if (value.is_discarded())
          value = text;
      }
    complete_parameters(parameters, result, source); // or throws
    return result;
  }

  /** The names of classes whose sections are declared. */
  using DeclaredClasses = std::set<std::string>;

  /**
   * A subsection for each class of a Registry, with its parameters.
   * @param declared those to be left out, since to declare an entry again
   * would undo what has been read; added to.
   */
  template <typename RegistryType>
  void
  declare_classes(dealii::ParameterHandler &prm, DeclaredClasses &declared)
  {
    for (const auto &[name, entry] : RegistryType::entries())
      if (declared.insert(name).second)
        {
          prm.enter_subsection(name);
          declare_entries(prm, entry.parameters);
          prm.leave_subsection();
        }
  }

  template <typename RegistryType>
  void
  declare_classes(dealii::ParameterHandler &prm)
  {
    DeclaredClasses none;
    declare_classes<RegistryType>(prm, none);
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
    const auto &entry = RegistryType::find(source, key, name);
    prm.enter_subsection(name);
    const auto result = parse_entries(prm, entry.parameters, source);
    prm.leave_subsection();
    return result;
  }
} // namespace neuraldeal

#endif
