// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/random_fields/field_transform.h>

#include <cmath>

namespace neuraldeal
{
  namespace
  {
    constexpr double largest = 1e300;

    ParameterDescription
    number(const std::string &name,
           const double       default_value,
           const std::string &documentation)
    {
      return {name, default_value, -largest, largest, documentation};
    }
  } // namespace



  void
  register_field_transforms()
  {
    static const FieldTransformRegistry::Registration affine(
      "affine",
      "The field times a factor, plus a mean.",
      {number("mean", 0., "What is added."),
       number("factor", 1., "What the field is multiplied by.")},
      [](const nlohmann::json &given) -> FieldTransform {
        return [mean   = given["mean"].get<double>(),
                factor = given["factor"].get<double>()](const double g) {
          return mean + factor * g;
        };
      });

    static const FieldTransformRegistry::Registration log_normal(
      "log-normal",
      "The exponential of a factor times the field plus a mean.",
      {number("mean", 0., "Mean of the logarithm."),
       number("factor", 1., "What the field is multiplied by.")},
      [](const nlohmann::json &given) -> FieldTransform {
        return [mean   = given["mean"].get<double>(),
                factor = given["factor"].get<double>()](const double g) {
          return std::exp(mean + factor * g);
        };
      });

    static const FieldTransformRegistry::Registration threshold(
      "threshold",
      "One value where the field is at least some level, another elsewhere.",
      {number("level", 0., "Where the value changes."),
       number("below", 3., "The value below the level."),
       number("above", 12., "The value from the level on.")},
      [](const nlohmann::json &given) -> FieldTransform {
        return [level = given["level"].get<double>(),
                below = given["below"].get<double>(),
                above = given["above"].get<double>()](const double g) {
          return g >= level ? above : below;
        };
      });
  }



  FieldTransform
  make_field_transform(const std::string    &type,
                       const nlohmann::json &parameters,
                       const std::string    &source)
  {
    register_field_transforms();
    const auto &entry = FieldTransformRegistry::find(source, "Transform", type);
    return entry.factory(
      complete_parameters(entry.parameters, parameters, source));
  }
} // namespace neuraldeal
