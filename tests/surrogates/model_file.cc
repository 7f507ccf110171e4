// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/model_file.h>
#include <sys/resource.h>

#include <cstring>
#include <limits>

#include "model_file_fuzzer.h"
#include "simulated_ranks.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  ModelFile
  example()
  {
    ModelFile file;
    file.tensors["f32"] = random_normal({3, 4}, 300).to(torch::kFloat32);
    file.tensors["f64"] = random_normal({2, 3, 2}, 301);
    file.tensors["i64"] = torch::arange(-3, 4);
    file.tensors["u8"]  = torch::tensor({0, 1, 128, 200, 255}, torch::kUInt8);
    file.tensors["scalar"] = torch::scalar_tensor(0.1, torch::kFloat64);
    file.tensors["empty"]  = torch::empty({0, 5}, torch::kFloat64);
    file.metadata          = {{"text", "a \"quoted\" µ\n"},
                              {"number", 0.1},
                              {"count", 12345678901},
                              {"nested", {{"list", {1, 2.5, nullptr, true}}}}};
    return file;
  }



  bool
  same(const ModelFile &a, const ModelFile &b)
  {
    if (a.metadata != b.metadata || a.tensors.size() != b.tensors.size())
      return false;
    for (const auto &[name, tensor] : a.tensors)
      if (b.tensors.count(name) == 0 ||
          b.tensors.at(name).scalar_type() != tensor.scalar_type() ||
          !torch::equal(b.tensors.at(name), tensor))
        return false;
    return true;
  }



  /** A file with the header and as many bytes of data. */
  std::string
  assemble(const nlohmann::json &header, const std::size_t n_bytes)
  {
    const std::string   text   = header.dump();
    const std::uint64_t length = text.size();
    std::string         bytes(sizeof(length), '\0');
    std::memcpy(bytes.data(), &length, sizeof(length));
    return bytes + text + std::string(n_bytes, '\1');
  }



  /** Reads a file of these bytes, which has to fail with its name. */
  void
  expect_refused(const std::string &filename, const std::string &bytes)
  {
    write_bytes(filename, bytes);
    expect_sentence(message_of<FileError>([&]() { ModelFile::read(filename); }),
                    {filename});
  }



  /** Largest memory that this process has had, in bytes. */
  double
  peak_memory()
  {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return 1024. * usage.ru_maxrss;
  }



  TEST(ModelFile, RoundTrip)
  {
    const TemporaryFolder folder;
    const auto            file = example();
    file.write(folder / "model");
    const auto read = ModelFile::read(folder / "model");
    EXPECT_TRUE(same(file, read));
    EXPECT_EQ(read.filename, folder / "model");
    EXPECT_EQ(read.get<double>("number"), 0.1);
    EXPECT_EQ(read.get<long>("count"), 12345678901);
    EXPECT_EQ(read.get<std::string>("text"), "a \"quoted\" µ\n");
    EXPECT_FALSE(std::filesystem::exists(folder / "model.tmp"));

    // the same content is the same bytes
    read.write(folder / "again");
    EXPECT_EQ(read_bytes(folder / "model"), read_bytes(folder / "again"));
  }



  TEST(ModelFile, NumbersKeepTheirBits)
  {
    const TemporaryFolder folder;
    ModelFile             file;
    file.tensors["odd"] =
      torch::tensor({-0.,
                     std::numeric_limits<double>::denorm_min(),
                     std::numeric_limits<double>::infinity(),
                     std::numeric_limits<double>::quiet_NaN()},
                    torch::kFloat64);
    file.write(folder / "model");
    const auto read = ModelFile::read(folder / "model").tensor("odd");
    EXPECT_EQ(std::memcmp(read.data_ptr(),
                          file.tensors["odd"].data_ptr(),
                          4 * sizeof(double)),
              0);
  }



  TEST(ModelFile, OtherRanksHaveTheSameBits)
  {
    constexpr double nan      = std::numeric_limits<double>::quiet_NaN();
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const std::vector<double> special = {0., -0., nan, -nan, infinity, 5e-324};
    std::vector<ModelFile>    files(3);
    for (auto &file : files)
      {
        file                    = example();
        file.tensors["special"] = torch::tensor(special, torch::kFloat64);
        file.tensors["single"] =
          torch::tensor({-0.f, 1e-45f, 3.f}, torch::kFloat32);
        file.tensors["large"] =
          torch::tensor({std::numeric_limits<std::int64_t>::min(),
                         std::int64_t(1)},
                        torch::kInt64);
        file.tensors["view"] = random_normal({4, 5}, 302).t().slice(0, 1, 4);
      }
    const auto expected = files[0];
    files[1]            = ModelFile();
    files[2].tensors["f64"].zero_();
    files[2].tensors["another"] = torch::zeros({2});
    files[2].metadata           = {{"nothing", "of this"}};
    SimulatedRanks ranks(3);
    ranks.run([&](const Communicator &communicator) {
      files[communicator.rank].broadcast(communicator);
    });
    for (const auto &file : files)
      {
        EXPECT_EQ(file.metadata, expected.metadata);
        ASSERT_EQ(file.tensors.size(), expected.tensors.size());
        for (const auto &[name, tensor] : expected.tensors)
          {
            const auto given = tensor.contiguous(),
                       found = file.tensor(name).contiguous();
            EXPECT_EQ(found.scalar_type(), given.scalar_type()) << name;
            EXPECT_EQ(found.sizes(), given.sizes()) << name;
            ASSERT_EQ(found.nbytes(), given.nbytes()) << name;
            EXPECT_EQ(std::memcmp(found.data_ptr(),
                                  given.data_ptr(),
                                  given.nbytes()),
                      0)
              << name;
          }
      }
  }



  TEST(ModelFile, ViewsAreWrittenAsTheyLook)
  {
    const TemporaryFolder folder;
    ModelFile             file;
    const auto            matrix = random_normal({4, 3}, 302);
    file.tensors["turned"]       = matrix.t();
    file.tensors["part"]         = matrix.slice(1, 1, 3);
    file.write(folder / "model");
    const auto read = ModelFile::read(folder / "model");
    EXPECT_TRUE(torch::equal(read.tensor("turned"), matrix.t()));
    EXPECT_TRUE(torch::equal(read.tensor("part"), matrix.slice(1, 1, 3)));
  }



  // As https://github.com/huggingface/safetensors says.
  TEST(ModelFile, LayoutIsThatOfSafetensors)
  {
    const TemporaryFolder folder;
    const auto            file = example();
    file.write(folder / "model");
    const auto    bytes = read_bytes(folder / "model");
    std::uint64_t length;
    std::memcpy(&length, bytes.data(), 8);
    EXPECT_EQ(length % 8, 0);
    const auto header = nlohmann::json::parse(bytes.substr(8, length));
    for (const auto &value : header.at("__metadata__"))
      EXPECT_TRUE(value.is_string());
    const auto &entry = header.at("f64");
    EXPECT_EQ(entry.at("dtype"), "F64");
    EXPECT_EQ(entry.at("shape"), nlohmann::json({2, 3, 2}));
    const auto offsets =
      entry.at("data_offsets").get<std::vector<std::size_t>>();
    ASSERT_EQ(offsets[1] - offsets[0], 12 * 8);
    EXPECT_EQ(std::memcmp(bytes.data() + 8 + length + offsets[0],
                          file.tensors.at("f64").data_ptr(),
                          12 * 8),
              0);

    const auto &packed = header.at("u8");
    EXPECT_EQ(packed.at("dtype"), "U8");
    EXPECT_EQ(packed.at("shape"), nlohmann::json({5}));
    const auto start = packed.at("data_offsets").at(0).get<std::size_t>();
    EXPECT_EQ(packed.at("data_offsets").at(1).get<std::size_t>(), start + 5);
    EXPECT_EQ(bytes.substr(8 + length + start, 5),
              std::string("\0\1\x80\xc8\xff", 5));
  }



  TEST(ModelFile, AbsentEntriesAreErrors)
  {
    const TemporaryFolder folder;
    example().write(folder / "model");
    const auto file = ModelFile::read(folder / "model");
    expect_sentence(message_of<FileError>([&]() { file.tensor("weights"); }),
                    {folder / "model", "weights"});
    expect_sentence(message_of<FileError>([&]() { file.get<int>("seed"); }),
                    {folder / "model", "seed"});
    expect_sentence(message_of<FileError>([&]() { file.get<int>("text"); }),
                    {folder / "model", "text"});
  }



  TEST(ModelFile, AbsentFilesAreErrors)
  {
    const TemporaryFolder folder;
    expect_sentence(message_of<FileError>(
                      [&]() { ModelFile::read(folder / "absent"); }),
                    {folder / "absent"});
    expect_sentence(message_of<FileError>(
                      [&]() { ModelFile::read(folder.name()); }),
                    {folder.name()});
  }



  TEST(ModelFile, CutAnywhere)
  {
    const TemporaryFolder folder;
    example().write(folder / "model");
    const auto bytes = read_bytes(folder / "model");
    for (std::size_t n = 0; n < bytes.size(); ++n)
      expect_refused(folder / "cut", bytes.substr(0, n));
    expect_refused(folder / "cut", bytes + '\0');
    expect_refused(folder / "cut", bytes.substr(1));
  }



  // Every bit of the file: names, metadata and data.
  TEST(ModelFile, AnyBitFlipped)
  {
    const TemporaryFolder folder;
    example().write(folder / "model");
    const auto bytes = read_bytes(folder / "model");
    for (std::size_t i = 0; i < 8 * bytes.size(); ++i)
      {
        auto damaged = bytes;
        damaged[i / 8] ^= (1 << (i % 8));
        write_bytes(folder / "damaged", damaged);
        try
          {
            ModelFile::read(folder / "damaged");
            ADD_FAILURE() << "bit " << i % 8 << " of byte " << i / 8 << ", '"
                          << bytes[i / 8] << "', has changed unnoticed";
          }
        catch (const FileError &)
          {}
      }
  }



  TEST(ModelFile, GarbageInTheMiddle)
  {
    const TemporaryFolder folder;
    example().write(folder / "model");
    const auto bytes = read_bytes(folder / "model");
    for (unsigned int i = 0; i < 500; ++i)
      {
        CounterRandom random(1, CounterRandom::Stream::check, i);
        const auto    at = [&](const std::size_t n) {
          return static_cast<std::size_t>(n * random.uniform());
        };
        auto damaged = bytes;
        for (std::size_t j = at(damaged.size()), n = 1 + at(40);
             j < damaged.size() && n > 0;
             ++j, --n)
          damaged[j] ^= 1 + at(255);
        expect_refused(folder / "damaged", damaged);
      }
  }



  TEST(ModelFile, OtherFiles)
  {
    const TemporaryFolder folder;
    expect_refused(folder / "file", "");
    expect_refused(folder / "file", "solution of step 40\n");
    expect_refused(folder / "file", std::string(10000, '\0'));
    expect_refused(folder / "file",
                   "\x89HDF\r\n\x1a\n" + std::string(99, '\0'));
    expect_refused(folder / "file", std::string(100000, '['));
    for (const nlohmann::json &header :
         {nlohmann::json::object(),
          nlohmann::json::array(),
          nlohmann::json(17),
          nlohmann::json({{"__metadata__", 17}}),
          nlohmann::json({{"__metadata__", {{"format", "pt"}}}}),
          nlohmann::json({{"__metadata__", {{"neural.deal", "{"}}}}),
          nlohmann::json({{"__metadata__", {{"neural.deal", "{}"}}}})})
      expect_refused(folder / "file", assemble(header, 0));
    // deeply nested
    const std::string deep =
      std::string(200000, '[') + std::string(200000, ']');
    const std::uint64_t length = deep.size();
    expect_refused(folder / "file",
                   std::string(reinterpret_cast<const char *>(&length), 8) +
                     deep);
  }



  TEST(ModelFile, AbsurdClaimsAllocateNothing)
  {
    const TemporaryFolder folder;
    const double          before = peak_memory();

    for (const std::uint64_t length : {std::uint64_t(1) << 24,
                                       std::uint64_t(1) << 40,
                                       std::uint64_t(0) - 8,
                                       std::uint64_t(0) - 1})
      expect_refused(folder / "file",
                     std::string(reinterpret_cast<const char *>(&length), 8) +
                       "{}");

    // A correct file but for one entry.
    const auto with = [](const nlohmann::json &entry) {
      return assemble({{"__metadata__",
                        {{"neural.deal", "{}"}, {"checksum", "00"}}},
                       {"weights", entry}},
                      16);
    };
    const auto entry = [](const std::string    &type,
                          const nlohmann::json &shape,
                          const nlohmann::json &offsets) -> nlohmann::json {
      return {{"dtype", type}, {"shape", shape}, {"data_offsets", offsets}};
    };
    const long       large = 1l << 62;
    constexpr double nan   = std::numeric_limits<double>::quiet_NaN();
    using List             = std::vector<std::int64_t>;
    for (const auto &shape : {List{1l << 40},
                              List{large, 4},
                              List{large, 2, 2},
                              List{1l << 32, 1l << 32},
                              List{0, large, large},
                              List{large, 0, large},
                              List{-2},
                              List{-1, -2},
                              List{1},
                              List{3},
                              List(100000, 1),
                              List{}})
      for (const auto &offsets :
           {List{0, 16}, List{0, 0}, List{0, 1l << 40}, List{0, -8}})
        if (shape != List{} || offsets != List{0, 8})
          expect_refused(folder / "file", with(entry("F64", shape, offsets)));
    for (const auto &offsets : {List{},
                                List{0},
                                List{0, 16, 32},
                                List{16, 0},
                                List{8, 24},
                                List{large, large + 16},
                                List{-16, 0}})
      expect_refused(folder / "file", with(entry("F64", {2}, offsets)));
    for (const auto &type : {"F16", "BF16", "I8", "BOOL", "", "f64"})
      expect_refused(folder / "file", with(entry(type, {2}, {0, 16})));
    expect_refused(folder / "file", with(entry("F64", "2", {0, 16})));
    expect_refused(folder / "file", with(entry("F64", {nan}, {0, 16})));
    expect_refused(folder / "file", with({{"dtype", "F64"}}));
    expect_refused(folder / "file", with(17));
    // all is well but the checksum
    expect_refused(folder / "file", with(entry("F64", {2}, {0, 16})));

    EXPECT_LT(peak_memory() - before, 1e8);
  }



  // See model_file_fuzzer.h; fuzz_model_file goes on from here.
  TEST(ModelFile, Fuzzed)
  {
    const TemporaryFolder folder;
    ModelFileFuzzer       fuzzer(1, folder.name());
    const double          before  = peak_memory();
    long                  read    = 0;
    const unsigned int    n_files = 2000;
    for (unsigned int i = 0; i < n_files; ++i)
      try
        {
          read += fuzzer.execute(i) == ModelFileFuzzer::Outcome::read;
        }
      catch (const std::exception &exception)
        {
          FAIL() << "mutation " << i << ": " << exception.what();
        }
    // The mutations reach all of the reader, behind the checksum as well.
    EXPECT_GT(read, n_files / 100);
    EXPECT_LT(read, n_files / 2);
    EXPECT_GE(fuzzer.reasons.size(), 8u);
    EXPECT_GT(fuzzer.largest, 1u << 20);
    EXPECT_LT(peak_memory() - before, 4. * double(fuzzer.largest) + 6.4e7);
  }



  // Levels that would overflow a stack when the document is copied.
  TEST(ModelFile, DeepDocumentsAreRefused)
  {
    const TemporaryFolder folder;
    ModelFile             file;
    for (int level = 0; level < 40; ++level)
      file.metadata = {{"a", file.metadata}};
    file.write(folder / "model");
    EXPECT_TRUE(same(ModelFile::read(folder / "model"), file));
    for (int level = 0; level < 40; ++level)
      file.metadata = {{"a", file.metadata}};
    file.write(folder / "model");
    expect_sentence(message_of<FileError>(
                      [&]() { ModelFile::read(folder / "model"); }),
                    {folder / "model", "levels"});
  }



  TEST(ModelFile, LargeHeadersAreNotWritten)
  {
    const TemporaryFolder folder;
    ModelFile             file;
    file.metadata["text"] = std::string(1 << 20, 'x');
    expect_sentence(message_of<FileError>(
                      [&]() { file.write(folder / "model"); }),
                    {folder / "model", "bytes"});
    EXPECT_FALSE(std::filesystem::exists(folder / "model"));
  }



  TEST(ModelFile, OldFileSurvivesAFailure)
  {
    const TemporaryFolder folder;
    example().write(folder / "model");
    const auto before = read_bytes(folder / "model");

    // the temporary file cannot be created
    std::filesystem::create_directories(folder / "model.tmp/full");
    ModelFile other;
    other.tensors["new"] = torch::zeros({3}, torch::kFloat64);
    expect_sentence(message_of<FileError>(
                      [&]() { other.write(folder / "model"); }),
                    {folder / "model"});
    EXPECT_EQ(read_bytes(folder / "model"), before);

    // what a crash has left of an earlier attempt does no harm
    std::filesystem::remove_all(folder / "model.tmp");
    write_bytes(folder / "model.tmp", "half a fi");
    other.write(folder / "model");
    EXPECT_TRUE(same(ModelFile::read(folder / "model"), other));

    expect_sentence(message_of<FileError>(
                      [&]() { other.write(folder / "no such folder/model"); }),
                    {folder / "no such folder/model"});
  }
} // namespace
