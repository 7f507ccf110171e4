// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_model_file_fuzzer_h
#define neuraldeal_tests_surrogates_model_file_fuzzer_h

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/random.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace neuraldeal::tests
{
  /**
   * Damages a model file at random, and looks at what ModelFile::read() makes
   * of it: a readable file, or a FileError of one short sentence. Mutation
   * number i of a seed is always the same one.
   *
   * Three of four mutations change the text of the header where it says
   * something (numbers, names, brackets, keys given twice, letters that are
   * none) and then put the right length and checksum, so that the reader
   * does not stop there; the others change bytes anywhere.
   */
  class ModelFileFuzzer
  {
  public:
    /** @param folder for files that are written and removed again. */
    ModelFileFuzzer(const std::uint64_t seed, const std::string &folder)
      : seed(seed)
      , filename(folder + "/fuzzed")
    {
      ModelFile file;
      file.tensors["weights.0"] = torch::arange(12, torch::kFloat32);
      file.tensors["weights.1"] =
        torch::arange(8, torch::kFloat64).reshape({2, 2, 2});
      file.tensors["numbers"] = torch::arange(3);
      file.tensors["bytes"]   = torch::arange(5).to(torch::kUInt8);
      file.tensors["empty"]   = torch::zeros({0, 4}, torch::kFloat64);
      file.metadata           = {{"format", "neural.deal model 1"},
                                 {"surrogate", {{"type", "\"µ\"\n"}, {"width", 7}}},
                                 {"costs", {0.5, 1e-3, -2}}};
      file.write(filename);
      original = bytes_of(filename);
      std::remove(filename.c_str());
    }

    /** What has become of mutation number @p i. */
    enum class Outcome
    {
      refused,
      read
    };

    /**
     * Read mutation number @p i.
     * @throw std::logic_error where the reader breaks its promises; other
     * exceptions are the reader's.
     */
    Outcome
    execute(const std::uint64_t i)
    {
      std::string bytes = mutation(i);
      largest           = std::max(largest, bytes.size());
      std::remove(filename.c_str());
      std::ofstream(filename, std::ios::binary) << bytes;
      n_bytes = bytes.size();
      bytes   = std::string();
      try
        {
          if (before_reading)
            before_reading();
          const auto file = ModelFile::read(filename);
          if (after_reading)
            after_reading(n_bytes);
          // What can be read can be written, and is then the same.
          const std::string again = filename + ".again";
          file.write(again);
          const auto copy = ModelFile::read(again);
          std::remove(again.c_str());
          if (copy.metadata != file.metadata ||
              copy.tensors.size() != file.tensors.size())
            throw std::logic_error("a file that was read has been written as "
                                   "another one");
          return Outcome::read;
        }
      catch (const FileError &error)
        {
          if (after_reading)
            after_reading(n_bytes);
          const std::string message = error.what();
          if (message.find('\n') != std::string::npos ||
              message.size() > filename.size() + 400 || message.back() != '.')
            throw std::logic_error("this is no short sentence: " +
                                   message.substr(0, 600));
          ++reasons[reason(message)];
          return Outcome::refused;
        }
    }

    /** Called around ModelFile::read(), the second one with the file's size. */
    std::function<void()>            before_reading;
    std::function<void(std::size_t)> after_reading;

    /** How often each reason was given. */
    std::map<std::string, long> reasons;

    /** Size of the largest file so far. */
    std::size_t largest = 0;

    /** The bytes of mutation number @p i. */
    std::string
    mutation(const std::uint64_t i) const
    {
      CounterRandom random(seed, CounterRandom::Stream::check, i);
      const auto    below = [&](const std::size_t n) {
        return std::min<std::size_t>(n * random.uniform(), n - 1);
      };
      if (below(4) == 0)
        return damaged_bytes(below);

      auto        text = original.substr(8, header_length());
      std::string data = original.substr(8 + header_length());
      for (std::size_t n = 1 + below(3); n > 0; --n)
        damage_text(text, data, below);
      if (below(4) > 0)
        repair_checksum(text, data);
      if (below(8) == 0)
        repeat_a_key(text, below);
      return assembled(text, data);
    }

  private:
    static std::string
    bytes_of(const std::string &filename)
    {
      std::ifstream in(filename, std::ios::binary);
      return {std::istreambuf_iterator<char>(in),
              std::istreambuf_iterator<char>()};
    }



    std::uint64_t
    header_length() const
    {
      std::uint64_t length;
      std::memcpy(&length, original.data(), sizeof(length));
      return length;
    }



    static std::string
    assembled(const std::string &text, const std::string &data)
    {
      const std::uint64_t length = text.size();
      return std::string(reinterpret_cast<const char *>(&length), 8) + text +
             data;
    }



    /** Without the file's name and without numbers and names. */
    std::string
    reason(const std::string &message) const
    {
      std::string result;
      bool        quoted = false;
      for (const char c : message.substr(filename.size()))
        {
          if (c == '\'')
            quoted = !quoted;
          if (!quoted && (c < '0' || c > '9'))
            result += c;
        }
      return result.substr(0, result.find("has the type"));
    }



    /** Bits, bytes, pieces, and the length of the header. */
    template <typename Below>
    std::string
    damaged_bytes(const Below &below) const
    {
      std::string bytes = original;
      for (std::size_t n = 1 + below(4); n > 0 && !bytes.empty(); --n)
        switch (below(6))
          {
            case 0:
              bytes.resize(below(bytes.size() + 1));
              break;
            case 1:
              bytes[below(bytes.size())] ^= 1 << below(8);
              break;
            case 2:
              bytes[below(bytes.size())] = below(256);
              break;
            case 3:
              {
                const std::size_t from = below(bytes.size());
                bytes.erase(from, below(100));
                break;
              }
            case 4:
              {
                const std::size_t from = below(bytes.size());
                bytes.insert(below(bytes.size()),
                             bytes.substr(from, below(100)));
                break;
              }
            default:
              {
                const std::uint64_t lengths[] = {0,
                                                 1,
                                                 header_length() - 1,
                                                 header_length() + 1,
                                                 bytes.size(),
                                                 1u << 20,
                                                 1u << 31,
                                                 std::uint64_t(1) << 40,
                                                 std::uint64_t(0) - 1,
                                                 std::uint64_t(0) - 8};
                bytes.resize(std::max<std::size_t>(bytes.size(), 8));
                std::memcpy(bytes.data(), lengths + below(10), 8);
              }
          }
      return bytes;
    }



    /** Something that is no number like those of the format. */
    template <typename Below>
    static std::string
    strange_value(const Below &below)
    {
      static const char *const values[] = {"0",
                                           "-0",
                                           "-1",
                                           "1",
                                           "2",
                                           "3",
                                           "48",
                                           "1.5",
                                           "2.0",
                                           "1e3",
                                           "1e300",
                                           "-1e300",
                                           "1e-400",
                                           "1e999",
                                           "2147483648",
                                           "4294967296",
                                           "281474976710656",
                                           "4611686018427387904",
                                           "9223372036854775807",
                                           "9223372036854775808",
                                           "18446744073709551615",
                                           "18446744073709551616",
                                           "-9223372036854775808",
                                           "null",
                                           "true",
                                           "\"\"",
                                           "\"F32\"",
                                           "\"I64\"",
                                           "\"\\u0000\"",
                                           "\"\\n\\r\\u001b[1m\"",
                                           "\"\\ud800\"",
                                           "\"\\ud83d\\ude00\"",
                                           "{}",
                                           "[]",
                                           "[0,0]",
                                           "[1,1,1,1,1,1,1,1,1]",
                                           "[4611686018427387904,4]",
                                           "[0,9223372036854775807]",
                                           "{\"dtype\":\"F64\"}",
                                           "NaN",
                                           "01",
                                           "+1",
                                           "0x10"};
      constexpr std::size_t    n        = sizeof(values) / sizeof(values[0]);
      switch (below(40))
        {
          case 0: // deep
            {
              const std::size_t depth = std::size_t(1) << below(19);
              return below(2) == 0 ?
                       std::string(depth, '[') + std::string(depth, ']') :
                       nested_objects(depth);
            }
          case 1: // long
            {
              std::string list = "[1";
              for (std::size_t i = std::size_t(1) << below(19); i > 0; --i)
                list += i % 2 == 0 ? ",1" : ",[]";
              return list + "]";
            }
          case 2: // wordy, with a letter that needs an escape in front
            return "\"\\n" + std::string(std::size_t(1) << below(20), 'x') +
                   "\"";
          case 3: // no UTF-8
            return std::string("\"\xc3\x28 \xff \xed\xa0\x80 \xf8\"");
          default:
            return values[below(n)];
        }
    }



    static std::string
    nested_objects(const std::size_t depth)
    {
      std::string text;
      text.reserve(6 * depth);
      for (std::size_t i = 0; i < depth; ++i)
        text += "{\"a\":";
      return text + "0" + std::string(depth, '}');
    }



    /** One change of the header's text, or of the data behind it. */
    template <typename Below>
    static void
    damage_text(std::string &text, std::string &data, const Below &below)
    {
      // Where a value or a name begins and ends.
      std::vector<std::pair<std::size_t, std::size_t>> numbers, strings, lists;
      for (std::size_t i = 0; i < std::min<std::size_t>(text.size(), 5000);)
        {
          const std::size_t begin = i++;
          if (text[begin] == '"')
            {
              while (i < text.size() && text[i] != '"')
                i += text[i] == '\\' ? 2 : 1;
              ++i;
              strings.emplace_back(begin, std::min(i, text.size()) - begin);
            }
          else if (text[begin] >= '0' && text[begin] <= '9')
            {
              while (i < text.size() && text[i] >= '0' && text[i] <= '9')
                ++i;
              numbers.emplace_back(begin, i - begin);
            }
          else if (text[begin] == '[')
            lists.emplace_back(begin, text.find(']', begin) - begin + 1);
        }
      const auto replace = [&](const auto &places) {
        if (places.empty())
          return;
        const auto [begin, length] = places[below(places.size())];
        text.replace(begin,
                     std::min(length, text.size() - begin),
                     strange_value(below));
      };
      switch (below(10))
        {
          case 0:
          case 1:
            return replace(numbers);
          case 2:
          case 3:
            return replace(strings);
          case 4:
            return replace(lists);
          case 5: // an entry more, in front or beside the metadata
            {
              const std::string entry =
                (below(2) == 0 ? "\"extra\":" : "\"a\\n\":") +
                strange_value(below) + ",";
              const std::string place =
                below(2) == 0 ? "{" : "\"__metadata__\":{";
              const auto begin = text.find(place);
              if (begin != std::string::npos)
                text.insert(begin + place.size(), entry);
              return;
            }
          case 6:
          case 7: // another document
            {
              const auto        document = below(2) == 0 ?
                                             strange_value(below) :
                                             "{\"a\":" + strange_value(below) + "}";
              const std::string key      = "\"neural.deal\":";
              const auto        begin    = text.find(key + '"');
              const auto        end      = text.find("\"}", begin);
              if (begin != std::string::npos && end != std::string::npos)
                text.replace(
                  begin + key.size(),
                  end + 1 - begin - key.size(),
                  nlohmann::json(document).dump(
                    -1, ' ', false, nlohmann::json::error_handler_t::replace));
              return;
            }
          case 8:
            if (!text.empty())
              text[below(text.size())] = "[]{}\",:\\ 0-eE.\xff\0"[below(16)];
            return;
          default:
            data.resize(below(2 * data.size() + 2), '\x7f');
        }
    }



    /** The checksum that the file would have had, if it says anything. */
    static void
    repair_checksum(std::string &text, const std::string &data)
    {
      bool      too_deep = false;
      const int deepest  = 1000; // for our own sake
      auto      header   = nlohmann::json::parse(
        text,
        [&](const int depth, nlohmann::json::parse_event_t, nlohmann::json &) {
          too_deep = too_deep || depth > deepest;
          return depth <= deepest;
        },
        false);
      if (too_deep || !header.is_object() ||
          header.find("__metadata__") == header.end() ||
          !header["__metadata__"].is_object())
        return;
      header["__metadata__"].erase("checksum");
      const std::string rest     = header.dump();
      const auto        checksum = hexadecimal(
        fnv1a(rest.data(), rest.size(), fnv1a(data.data(), data.size())));
      const std::string key   = "\"checksum\":\"";
      const auto        place = text.find(key);
      if (place != std::string::npos)
        text.replace(place + key.size(), checksum.size(), checksum);
    }



    /** An entry of the header a second time, as another one. */
    template <typename Below>
    static void
    repeat_a_key(std::string &text, const Below &below)
    {
      static const char *const keys[] = {
        "__metadata__", "weights.0", "empty", "dtype", "shape"};
      const auto end = text.rfind('}');
      if (end != std::string::npos)
        text.insert(end,
                    std::string(",\"") + keys[below(5)] +
                      "\":" + strange_value(below));
    }

    const std::uint64_t seed;
    const std::string   filename;
    std::string         original;
    std::size_t         n_bytes = 0;
  };
} // namespace neuraldeal::tests

#endif
