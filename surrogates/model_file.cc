// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/model_file.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <vector>

namespace neuraldeal
{
  namespace
  {
    struct DataType
    {
      const char  *name;
      torch::Dtype type;
      std::size_t  bytes;
    };

    const std::array<DataType, 4> data_types = {{{"F32", torch::kFloat32, 4},
                                                 {"F64", torch::kFloat64, 8},
                                                 {"I64", torch::kInt64, 8},
                                                 {"U8", torch::kUInt8, 1}}};

    /**
     * A header is a few kilobytes; more than this is a damaged length. What a
     * parser makes of a text takes up to thirty times its memory.
     */
    constexpr std::uint64_t max_header_bytes = 1u << 20;

    /**
     * Whoever copies or writes a JSON document calls himself for each of its
     * levels, and a hundred thousand of them overflow the stack. No document
     * of this project has more than a handful.
     */
    constexpr int max_depth = 64;

    /** No tensor of this project has more extents, or larger strides. */
    constexpr std::size_t   max_dimension = 8;
    constexpr std::uint64_t max_stride    = std::uint64_t(1) << 48;

    /**
     * The JSON document in @p text.
     * @throw FileError where it has too many levels, and
     * nlohmann::json::exception where it is none.
     */
    nlohmann::json
    parse_json(const std::string &text, const std::string &filename)
    {
      const auto look =
        [&](const int depth, nlohmann::json::parse_event_t, nlohmann::json &) {
          if (depth > max_depth)
            throw FileError(filename,
                            "this is no undamaged model file: its header has "
                            "more than " +
                              std::to_string(max_depth) + " levels");
          return true;
        };
      return nlohmann::json::parse(text, look);
    }



    /** What a file says, as it can stand in a sentence. */
    std::string
    quoted(const std::string &text)
    {
      return "'" + printable(text, 60) + "'";
    }



    /** A list of integers; −1 in the place of what is none, or too large. */
    std::vector<std::int64_t>
    integers(const nlohmann::json &list)
    {
      if (!list.is_array())
        return {-1};
      std::vector<std::int64_t> result;
      for (const auto &number : list)
        result.push_back(
          number.is_number_integer() ?
            std::max<std::int64_t>(number.get<std::int64_t>(), -1) :
            -1);
      return result;
    }



    /** Continue the checksum @p start with a header that has none yet. */
    std::uint64_t
    checksum_of_header(const nlohmann::json &header, const std::uint64_t start)
    {
      const std::string text = header.dump();
      return fnv1a(text.data(), text.size(), start);
    }
    /**
     * The bytes of the first process become those of all. All there is are sums
     * of numbers: of integers of four bytes, which are exact, while sums of the
     * numbers themselves would lose the sign of a zero.
     */
    void
    broadcast_bytes(void               *bytes,
                    const std::size_t   n,
                    const Communicator &communicator)
    {
      if (n == 0)
        return;
      auto words = torch::zeros({long(n + 3) / 4}, torch::kInt32);
      if (communicator.rank == 0)
        std::memcpy(words.data_ptr(), bytes, n);
      auto numbers = words.to(torch::kFloat64);
      communicator.sum(numbers);
      words = numbers.to(torch::kInt32);
      std::memcpy(bytes, words.data_ptr(), n);
    }
  } // namespace



  const torch::Tensor &
  ModelFile::tensor(const std::string &name) const
  {
    const auto entry = tensors.find(name);
    if (entry == tensors.end())
      throw FileError(filename, "it has no tensor '" + name + "'");
    return entry->second;
  }



  void
  ModelFile::fail_entry(const std::string &key) const
  {
    throw FileError(filename,
                    "its entry '" + key +
                      "' is absent or of another type than this version "
                      "writes");
  }



  void
  ModelFile::write(const std::string &filename) const
  {
    nlohmann::json             header = nlohmann::json::object();
    std::vector<torch::Tensor> data;
    std::size_t                offset   = 0;
    std::uint64_t              checksum = fnv1a(nullptr, 0);
    for (const auto &[name, tensor] : tensors)
      {
        const auto stored = tensor.detach().to(torch::kCPU).contiguous();
        const auto type   = std::find_if(data_types.begin(),
                                       data_types.end(),
                                       [&](const DataType &t) {
                                         return t.type == stored.scalar_type();
                                       });
        TORCH_INTERNAL_ASSERT(type != data_types.end());
        const std::size_t bytes = stored.numel() * type->bytes;
        header[name]            = {{"dtype", type->name},
                                   {"shape", stored.sizes().vec()},
                                   {"data_offsets", {offset, offset + bytes}}};
        checksum                = fnv1a(stored.data_ptr(), bytes, checksum);
        offset += bytes;
        data.push_back(stored);
      }
    header["__metadata__"] = {{"neural.deal", metadata.dump()}};
    header["__metadata__"]["checksum"] =
      hexadecimal(checksum_of_header(header, checksum));
    std::string text = header.dump();
    if (text.size() > max_header_bytes)
      throw FileError(filename,
                      "its names and its JSON document take " +
                        std::to_string(text.size()) +
                        " bytes where a header may have " +
                        std::to_string(max_header_bytes));
    text.resize((text.size() + 7) / 8 * 8, ' ');

    const std::string temporary = filename + ".tmp";
    {
      std::ofstream       out(temporary, std::ios::binary);
      const std::uint64_t length = text.size();
      out.write(reinterpret_cast<const char *>(&length), sizeof(length));
      out.write(text.data(), text.size());
      for (const auto &tensor : data)
        out.write(static_cast<const char *>(tensor.data_ptr()),
                  tensor.nbytes());
      out.flush();
      if (!out)
        throw FileError(temporary, "could not be written");
    }
    publish_file(temporary, filename);
  }



  void
  ModelFile::broadcast(const Communicator &communicator)
  {
    if (communicator.size == 1)
      return;
    const bool  first = communicator.rank == 0;
    std::string text;
    if (first)
      {
        nlohmann::json header = {{"metadata", metadata},
                                 {"tensors", nlohmann::json::array()}};
        for (const auto &[name, tensor] : tensors)
          header["tensors"].push_back({{"name", name},
                                       {"type", int(tensor.scalar_type())},
                                       {"shape", tensor.sizes().vec()}});
        text = header.dump();
      }
    const auto header =
      nlohmann::json::parse(first_message(text, communicator));

    metadata = header["metadata"];
    std::map<std::string, torch::Tensor> sent;
    for (const auto &entry : header["tensors"])
      {
        const std::string name = entry["name"];
        const auto        tensor =
          first ?
                   tensors.at(name).detach().to(torch::kCPU).contiguous() :
                   torch::empty(entry["shape"].get<std::vector<std::int64_t>>(),
                         static_cast<torch::Dtype>(entry["type"].get<int>()));
        broadcast_bytes(tensor.data_ptr(), tensor.nbytes(), communicator);
        sent[name] = tensor;
      }
    tensors = sent;
  }



  void
  ModelFile::check_finite() const
  {
    for (const auto &[name, tensor] : tensors)
      if (!torch::isfinite(tensor).all().item<bool>())
        throw FileError(filename,
                        "its tensor '" + name +
                          "' holds a value that is not finite");
  }



  ModelFile
  ModelFile::read(const std::string &filename)
  {
    std::ifstream in(filename, std::ios::binary | std::ios::ate);
    if (!in)
      throw FileError(filename, "there is no such file, or it is unreadable");
    const std::uint64_t file_bytes = in.tellg();
    in.seekg(0);

    const auto fail = [&](const std::string &what) {
      throw FileError(filename, "this is no undamaged model file: " + what);
    };

    std::uint64_t length = 0;
    if (file_bytes < sizeof(length))
      fail("it has only " + std::to_string(file_bytes) + " bytes");
    in.read(reinterpret_cast<char *>(&length), sizeof(length));
    if (length > max_header_bytes || length > file_bytes - sizeof(length))
      fail("its header is said to have " + std::to_string(length) + " bytes");
    std::string text(length, ' ');
    in.read(text.data(), length);
    // (The parser would take a zero for the end.)
    if (text.find('\0') != std::string::npos)
      fail("its header cannot be read");
    const std::uint64_t data_bytes = file_bytes - sizeof(length) - length;

    ModelFile     result;
    std::uint64_t expected_offset = 0, checksum = fnv1a(nullptr, 0);
    result.filename = filename;
    try
      {
        auto       header = parse_json(text, filename);
        const auto stored = header.at("__metadata__");
        result.metadata =
          parse_json(stored.at("neural.deal").get<std::string>(), filename);

        for (const auto &[name, entry] : header.items())
          if (name != "__metadata__")
            {
              const auto type_name = entry.at("dtype").get<std::string>();
              const auto type      = std::find_if(data_types.begin(),
                                             data_types.end(),
                                             [&](const DataType &t) {
                                               return t.name == type_name;
                                             });
              if (type == data_types.end())
                fail("tensor " + quoted(name) + " has the type " +
                     quoted(type_name));
              const auto shape   = integers(entry.at("shape"));
              const auto offsets = integers(entry.at("data_offsets"));

              // Nothing is allocated before the sizes are known to agree
              // with the bytes that are there.
              std::uint64_t numel = 1, stride = 1;
              for (const auto n : shape)
                {
                  if (n < 0 || shape.size() > max_dimension ||
                      (n > 0 && stride > max_stride / n))
                    fail("tensor " + quoted(name) + " has an absurd shape");
                  numel *= n;
                  stride *= std::max<std::int64_t>(n, 1);
                }
              if (offsets.size() != 2 || offsets[0] != long(expected_offset) ||
                  offsets[1] < offsets[0] ||
                  std::uint64_t(offsets[1]) > data_bytes ||
                  std::uint64_t(offsets[1] - offsets[0]) != numel * type->bytes)
                fail("tensor " + quoted(name) +
                     " lies outside the file's data");
              expected_offset = offsets[1];

              auto tensor = torch::empty(shape, type->type);
              in.read(static_cast<char *>(tensor.data_ptr()),
                      offsets[1] - offsets[0]);
              checksum = fnv1a(tensor.data_ptr(), tensor.nbytes(), checksum);
              result.tensors[name] = tensor;
            }
        if (!in || expected_offset != data_bytes)
          fail("it has " + std::to_string(data_bytes) +
               " bytes of data where its header announces " +
               std::to_string(expected_offset));
        header["__metadata__"].erase("checksum");
        if (stored.at("checksum").get<std::string>() !=
            hexadecimal(checksum_of_header(header, checksum)))
          fail("its checksum is wrong");
      }
    catch (const nlohmann::json::exception &)
      {
        fail("its header cannot be read");
      }
    return result;
  }
} // namespace neuraldeal
