// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_examples_common_field_pictures_h
#define neuraldeal_examples_common_field_pictures_h

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "report.h"

namespace neuraldeal::examples
{
  /** "viridis" or "magma". */
  std::string
  to_string(const CutField::Palette palette);

  /** Nine colours of @p palette, equally spaced from low to high. */
  const std::array<const char *, 9> &
  palette_colours(const CutField::Palette palette);

  /** Which values have a colour of their own; those beyond are clipped. */
  class ColourScale
  {
  public:
    /** Widen the scale for @p field. */
    void
    add(const CutField &field);

    /** Make what was added a scale that has a width. */
    void
    finish(const bool logarithmic);

    /** 0 at the low end, 1 at the high one. */
    double
    position(const double value) const;

    /** Round numbers between the ends. */
    std::vector<double>
    tics() const;

  private:
    double low         = std::numeric_limits<double>::max();
    double high        = std::numeric_limits<double>::lowest();
    bool   logarithmic = false;
  };

  /**
   * @p field on @p width × @p height pixels, bilinear between its points, as
   * positions on the colour scale; row by row, the lowest first.
   * @throw InputError if the field has not as many values as points.
   */
  std::vector<float>
  rasterise(const CutField    &field,
            const ColourScale &scale,
            const unsigned int width,
            const unsigned int height);
} // namespace neuraldeal::examples

#endif
