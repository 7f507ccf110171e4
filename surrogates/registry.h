// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_registry_h
#define neuraldeal_surrogates_registry_h

#include <neuraldeal/surrogates/exceptions.h>
#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace neuraldeal
{
  /** @p names, separated by commas. */
  std::string
  listed(const std::vector<std::string> &names);

  /**
   * @throw InputError that lists the valid names unless @p value is one of
   * @p valid; @p source and @p entry say where it comes from.
   */
  void
  check_choice(const std::string              &source,
               const std::string              &entry,
               const std::string              &value,
               const std::vector<std::string> &valid);



  /** One parameter of a registered class, as a .prm or JSON file names it. */
  struct ParameterDescription
  {
    std::string    name;
    nlohmann::json default_value; ///< its type is the parameter's type
    double         minimum;       ///< smallest valid value of a number
    double         maximum;       ///< largest valid value of a number
    std::string    documentation;
  };

  /**
   * The classes that can take the place of a @p Product, by name. One line,
   *   static const Registration<Product> r("name", "what it is", parameters,
   *                                        factory);
   * ties a class, its name, its documentation, its parameters and its
   * factory together; lists of valid names in error messages and parameter
   * files come from here.
   */
  template <typename Product, typename Factory>
  class Registry
  {
  public:
    struct Entry
    {
      std::string                       documentation;
      std::vector<ParameterDescription> parameters;
      Factory                           factory;
    };

    static std::map<std::string, Entry> &
    entries()
    {
      static std::map<std::string, Entry> all;
      return all;
    }

    /** The names of all registered classes, separated by @p separator. */
    static std::string
    names(const std::string &separator = ", ")
    {
      std::string result;
      for (const auto &entry : entries())
        result += (result.empty() ? "" : separator) + entry.first;
      return result;
    }

    /**
     * The entry called @p name.
     * @throw InputError that lists the valid names; @p source and @p key say
     * where the wrong one came from.
     */
    static const Entry &
    find(const std::string &source,
         const std::string &key,
         const std::string &name)
    {
      const auto entry = entries().find(name);
      if (entry == entries().end())
        throw InputError(source, key, name, "one of: " + names());
      return entry->second;
    }

    /** Registers a class; meant to be a static object beside the class. */
    struct Registration
    {
      Registration(const std::string                       &name,
                   const std::string                       &documentation,
                   const std::vector<ParameterDescription> &parameters,
                   const Factory                           &factory)
      {
        entries()[name] = Entry{documentation, parameters, factory};
      }
    };
  };

  /** What a class has by itself, then what all classes of its kind have. */
  std::vector<ParameterDescription>
  joined(std::vector<ParameterDescription>        own,
         const std::vector<ParameterDescription> &common);

  /**
   * Read @p given over the defaults of @p parameters.
   * @throw InputError naming @p source for an unknown name, a value of the
   * wrong type or one that is out of range.
   */
  nlohmann::json
  complete_parameters(const std::vector<ParameterDescription> &parameters,
                      const nlohmann::json                    &given,
                      const std::string                       &source);
} // namespace neuraldeal

#endif
