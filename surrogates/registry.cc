// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/registry.h>

#include <algorithm>

namespace neuraldeal
{
  namespace
  {
    bool
    same_kind(const nlohmann::json &a, const nlohmann::json &b)
    {
      if (b.is_number_float())
        return a.is_number();
      if (b.is_number_integer())
        return a.is_number_integer();
      return a.type() == b.type();
    }

    std::string
    valid_values(const ParameterDescription &parameter)
    {
      const auto &value = parameter.default_value;
      if (!value.is_number())
        return "a value like " + value.dump();
      return fmt::format("{} from {} to {}",
                         value.is_number_integer() ? "an integer" : "a number",
                         parameter.minimum,
                         parameter.maximum);
    }
  } // namespace



  std::string
  listed(const std::vector<std::string> &names)
  {
    std::string result;
    for (const auto &name : names)
      result += (result.empty() ? "" : ", ") + name;
    return result;
  }



  void
  check_choice(const std::string              &source,
               const std::string              &entry,
               const std::string              &value,
               const std::vector<std::string> &valid)
  {
    if (std::find(valid.begin(), valid.end(), value) == valid.end())
      throw InputError(source, entry, value, "one of: " + listed(valid));
  }



  std::vector<ParameterDescription>
  joined(std::vector<ParameterDescription>        own,
         const std::vector<ParameterDescription> &common)
  {
    own.insert(own.end(), common.begin(), common.end());
    return own;
  }



  nlohmann::json
  complete_parameters(const std::vector<ParameterDescription> &parameters,
                      const nlohmann::json                    &given,
                      const std::string                       &source)
  {
    nlohmann::json result = nlohmann::json::object();
    std::string    names;
    for (const auto &parameter : parameters)
      {
        result[parameter.name] = parameter.default_value;
        names += (names.empty() ? "" : ", ") + parameter.name;
      }

    for (const auto &[name, value] : given.items())
      {
        const auto known =
          std::find_if(parameters.begin(),
                       parameters.end(),
                       [&name = name](const ParameterDescription &p) {
                         return p.name == name;
                       });
        if (known == parameters.end())
          throw InputError(source, "the entry", name, "one of: " + names);
        if (!same_kind(value, known->default_value) ||
            (value.is_number() && !(value.get<double>() >= known->minimum &&
                                    value.get<double>() <= known->maximum)))
          throw InputError(source, name, value.dump(), valid_values(*known));
        result[name] = value;
      }
    return result;
  }
} // namespace neuraldeal
