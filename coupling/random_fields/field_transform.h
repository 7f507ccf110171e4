// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_random_fields_field_transform_h
#define neuraldeal_coupling_random_fields_field_transform_h

#include <neuraldeal/surrogates/registry.h>

#include <functional>
#include <string>

namespace neuraldeal
{
  /**
   * What becomes of a Gaussian field's value at a point. An empty one leaves
   * it as it is.
   */
  using FieldTransform = std::function<double(const double)>;

  /** The transforms there are. A factory takes complete parameters. */
  using FieldTransformFactory =
    std::function<FieldTransform(const nlohmann::json &)>;
  using FieldTransformRegistry =
    Registry<FieldTransform, FieldTransformFactory>;

  /** Register the transforms of this library. */
  void
  register_field_transforms();

  /**
   * Build the transform called @p type of a value g:
   *   affine      mean + factor · g
   *   log-normal  exp(mean + factor · g)
   *   threshold   the value "above" where g is at least "level", else "below"
   * @param parameters overrides of the defaults, which are mean 0, factor 1,
   * level 0, above 12 and below 3.
   * @param source where @p parameters come from, for error messages.
   * @throw InputError for a wrong entry.
   */
  FieldTransform
  make_field_transform(const std::string    &type,
                       const nlohmann::json &parameters,
                       const std::string    &source);
} // namespace neuraldeal

#endif
