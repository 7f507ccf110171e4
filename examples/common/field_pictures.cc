// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "field_pictures.h"

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace neuraldeal::examples
{
  namespace
  {
    void
    check(const CutField &field)
    {
      if (field.nx == 0 || field.ny == 0 ||
          field.values.size() != static_cast<std::size_t>(field.nx) * field.ny)
        throw InputError("the report",
                         "the size of the field '" + field.name + "'",
                         std::to_string(field.values.size()),
                         fmt::format("{} × {}, at least one",
                                     field.nx,
                                     field.ny));
    }
  } // namespace



  std::string
  to_string(const CutField::Palette palette)
  {
    return palette == CutField::Palette::magma ? "magma" : "viridis";
  }



  const std::array<const char *, 9> &
  palette_colours(const CutField::Palette palette)
  {
    static const std::array<const char *, 9> viridis = {{"#440154",
                                                         "#472c7a",
                                                         "#3b518b",
                                                         "#2c718e",
                                                         "#21908d",
                                                         "#27ad81",
                                                         "#5cc863",
                                                         "#aadc32",
                                                         "#fde725"}};
    static const std::array<const char *, 9> magma   = {{"#000004",
                                                         "#1c1044",
                                                         "#4f127b",
                                                         "#812581",
                                                         "#b5367a",
                                                         "#e55964",
                                                         "#fb8761",
                                                         "#fec287",
                                                         "#fbfdbf"}};
    return palette == CutField::Palette::magma ? magma : viridis;
  }



  void
  ColourScale::add(const CutField &field)
  {
    if (field.range)
      {
        low  = std::min(low, field.range->first);
        high = std::max(high, field.range->second);
        return;
      }
    for (const double value : field.values)
      if (std::isfinite(value) && (!field.logarithmic || value > 0))
        {
          low  = std::min(low, value);
          high = std::max(high, value);
        }
  }



  void
  ColourScale::finish(const bool is_logarithmic)
  {
    logarithmic = is_logarithmic;
    if (!(low <= high) || (logarithmic && high <= 0))
      low = high = 1.;
    if (logarithmic)
      {
        // Zeros of an error would take all colours for themselves.
        low = std::max(low, 1e-3 * high);
        if (high < 1.05 * low)
          {
            low /= 1.5;
            high *= 1.5;
          }
      }
    else if (high - low <= 1e-12 * std::max(std::abs(low), std::abs(high)))
      {
        const double width = std::max(0.1 * std::abs(low), 1e-12);
        low -= width;
        high += width;
      }
  }



  double
  ColourScale::position(const double value) const
  {
    const double x =
      (logarithmic ?
         (value <= 0 ? 0. : std::log(value / low) / std::log(high / low)) :
         (value - low) / (high - low));
    return std::isnan(x) ? x : std::min(1., std::max(0., x));
  }



  std::vector<double>
  ColourScale::tics() const
  {
    std::vector<double> result;
    if (logarithmic)
      {
        const double decades = std::log10(high / low);
        const int    stride  = std::max(1, static_cast<int>(decades / 2.5));
        for (int power = static_cast<int>(std::floor(std::log10(low)));
             power <= std::log10(high) + 1e-9;
             ++power)
          for (const int digit : {1, 2, 5})
            {
              const double value = digit * std::pow(10., power);
              if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9) &&
                  (digit == 1 ? power % stride == 0 : decades < 1.3))
                result.push_back(value);
            }
        if (!result.empty())
          return result;
        return {low, high};
      }
    const double rough = (high - low) / 3.2;
    const double power = std::pow(10., std::floor(std::log10(rough)));
    const double step  = (rough / power < 1.5 ? 1. :
                          rough / power < 3.5 ? 2. :
                          rough / power < 7.5 ? 5. :
                                                10.) *
                        power;
    for (double k = std::ceil(low / step - 1e-6); k <= high / step + 1e-6;
         k += 1.)
      result.push_back(k == 0. ? 0. : k * step);
    return result;
  }



  std::vector<float>
  rasterise(const CutField    &field,
            const ColourScale &scale,
            const unsigned int width,
            const unsigned int height)
  {
    check(field);
    const auto locate =
      [](const unsigned int i, const unsigned int n, const unsigned int m) {
        const double       x = (m > 1 ? (m - 1.) * i / (n - 1.) : 0.);
        const unsigned int lower =
          std::min(static_cast<unsigned int>(x), m > 1 ? m - 2 : 0);
        return std::make_pair(lower, x - lower);
      };
    std::vector<float> pixels;
    pixels.reserve(static_cast<std::size_t>(width) * height);
    for (unsigned int j = 0; j < height; ++j)
      for (unsigned int i = 0; i < width; ++i)
        {
          const auto [x, dx] = locate(i, width, field.nx);
          const auto [y, dy] = locate(j, height, field.ny);
          double value = 0, weights = 0;
          for (const unsigned int b : {0u, 1u})
            for (const unsigned int a : {0u, 1u})
              {
                const double weight =
                  (a == 0 ? 1 - dx : dx) * (b == 0 ? 1 - dy : dy);
                if (weight == 0)
                  continue;
                const double corner =
                  field
                    .values[static_cast<std::size_t>(y + b) * field.nx + x + a];
                if (std::isnan(corner))
                  continue;
                value += weight * corner;
                weights += weight;
              }
          // The border of the domain runs half-way to points outside.
          value = (weights < 0.5 ? std::numeric_limits<double>::quiet_NaN() :
                                   value / weights);
          pixels.push_back(static_cast<float>(scale.position(value)));
        }
    return pixels;
  }
} // namespace neuraldeal::examples
