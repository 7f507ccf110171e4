// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace neuraldeal::examples::html
{
  std::string
  escape(const std::string &text)
  {
    std::string escaped;
    escaped.reserve(text.size());
    for (const char c : text)
      switch (c)
        {
          case '&':
            escaped += "&amp;";
            break;
          case '<':
            escaped += "&lt;";
            break;
          case '>':
            escaped += "&gt;";
            break;
          case '"':
            escaped += "&quot;";
            break;
          case '\'':
            escaped += "&#39;";
            break;
          default:
            escaped += c;
        }
    return escaped;
  }



  std::string
  number(const double value)
  {
    std::string       text     = fmt::format("{:.3g}", value);
    const std::size_t exponent = text.find('e');
    if (exponent != std::string::npos)
      {
        const int         power    = std::stoi(text.substr(exponent + 1));
        const std::string mantissa = text.substr(0, exponent);
        const std::string ten      = fmt::format("10<sup>{}{}</sup>",
                                            power < 0 ? "−" : "",
                                            std::abs(power));
        text                       = (mantissa == "1"  ? ten :
                                      mantissa == "-1" ? "-" + ten :
                                                         mantissa + "·" + ten);
      }
    if (text[0] == '-')
      text.replace(0, 1, "−");
    return text;
  }



  std::string
  count(const std::size_t n, const std::string &noun, const std::string &many)
  {
    return fmt::format("{} {}", n, n == 1 ? noun : many);
  }



  std::string
  base64(const std::string &bytes)
  {
    static const char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3)
      {
        const std::size_t n     = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t     block = 0;
        for (std::size_t k = 0; k < 3; ++k)
          block = (block << 8) |
                  (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0u);
        for (std::size_t k = 0; k < 4; ++k)
          text += (k <= n ? digits[(block >> (18 - 6 * k)) & 63] : '=');
      }
    return text;
  }
} // namespace neuraldeal::examples::html
