// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fcntl.h>
#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace neuraldeal
{
  namespace
  {
    void
    sync_path(const std::string &path)
    {
      const int descriptor = ::open(path.c_str(), O_RDONLY);
      if (descriptor < 0 || ::fsync(descriptor) != 0)
        {
          const std::string reason = std::strerror(errno);
          if (descriptor >= 0)
            ::close(descriptor);
          throw FileError(path, "could not be written to the disk: " + reason);
        }
      ::close(descriptor);
    }
  } // namespace



  void
  publish_file(const std::string &temporary, const std::string &filename)
  {
    sync_path(temporary);
    if (std::rename(temporary.c_str(), filename.c_str()) != 0)
      throw FileError(filename,
                      std::string("could not be created: ") +
                        std::strerror(errno));
    const auto folder = std::filesystem::path(filename).parent_path();
    sync_path(folder.empty() ? "." : folder.string());
  }



  void
  publish_text(const std::string &filename, const std::string &text)
  {
    const std::string temporary = filename + ".tmp";
    {
      std::ofstream out(temporary, std::ios::binary);
      out << text;
      if (!out.flush())
        {
          std::remove(temporary.c_str());
          throw FileError(temporary, "could not be written");
        }
    }
    publish_file(temporary, filename);
  }



  std::uint64_t
  fnv1a(const void *data, const std::size_t n_bytes, const std::uint64_t start)
  {
    const auto   *bytes = static_cast<const unsigned char *>(data);
    std::uint64_t hash  = start;
    for (std::size_t i = 0; i < n_bytes; ++i)
      hash = (hash ^ bytes[i]) * 0x100000001b3ull;
    return hash;
  }



  std::string
  hexadecimal(const std::uint64_t hash)
  {
    return fmt::format("{:016x}", hash);
  }



  std::optional<double>
  finite_number(const std::string &text)
  {
    char        *end   = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || end != text.c_str() + text.size() ||
        !std::isfinite(value))
      return std::nullopt;
    return value;
  }



  std::string
  printable(const std::string &text, const std::size_t max_bytes)
  {
    std::string result;
    for (const char c : text.substr(0, max_bytes))
      result += static_cast<unsigned char>(c) < ' ' || c == 127 ? '?' : c;
    return text.size() > max_bytes ? result + "…" : result;
  }
} // namespace neuraldeal
