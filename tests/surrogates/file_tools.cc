// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  // Test vectors of the hash's authors.
  TEST(FileTools, HashGivesThePublishedNumbers)
  {
    EXPECT_EQ(fnv1a(nullptr, 0), 0xcbf29ce484222325ull);
    EXPECT_EQ(fnv1a("a", 1), 0xaf63dc4c8601ec8cull);
    EXPECT_EQ(fnv1a("foobar", 6), 0x85944171f73967e8ull);
    EXPECT_EQ(fnv1a("bar", 3, fnv1a("foo", 3)), fnv1a("foobar", 6));
  }



  TEST(FileTools, HexadecimalHasSixteenDigits)
  {
    EXPECT_EQ(hexadecimal(0), "0000000000000000");
    EXPECT_EQ(hexadecimal(0xfedcba9876543210ull), "fedcba9876543210");
  }



  TEST(FileTools, PrintableStaysInItsLine)
  {
    EXPECT_EQ(printable(""), "");
    EXPECT_EQ(printable("ζ = 1/2, ~"), "ζ = 1/2, ~");
    EXPECT_EQ(printable(std::string("a\nb\tc\x1b[2J\x7f\0d", 12)),
              "a?b?c?[2J??d");
    EXPECT_EQ(printable("four", 4), "four");
    EXPECT_EQ(printable("a\nlong one", 4), "a?lo…");
    EXPECT_EQ(printable(std::string(1000, 'x')), std::string(1000, 'x'));
  }



  TEST(FileTools, PublishMovesTheFile)
  {
    const TemporaryFolder folder;
    write_bytes(folder / "old", "before");
    write_bytes(folder / "new", "after");
    publish_file(folder / "new", folder / "old");
    EXPECT_EQ(read_bytes(folder / "old"), "after");
    EXPECT_FALSE(std::filesystem::exists(folder / "new"));
  }



  TEST(FileTools, PublishedTextIsThereOrAsBefore)
  {
    const TemporaryFolder folder;
    write_bytes(folder / "file", "before, and longer than after");
    publish_text(folder / "file", "after\n");
    EXPECT_EQ(read_bytes(folder / "file"), "after\n");
    EXPECT_FALSE(std::filesystem::exists(folder / "file.tmp"));
    // What cannot be written leaves it alone.
    std::filesystem::create_directories(folder / "file.tmp");
    expect_sentence(message_of<FileError>(
                      [&]() { publish_text(folder / "file", "nothing"); }),
                    {folder / "file.tmp", "could not be written"});
    EXPECT_EQ(read_bytes(folder / "file"), "after\n");
  }



  TEST(FileTools, FiniteNumbers)
  {
    EXPECT_EQ(finite_number("-2.5e-3"), -2.5e-3);
    EXPECT_EQ(finite_number("+7"), 7.);
    for (const std::string text :
         {"", "a", "1,5", "1 2", "1.5x", "nan", "-inf", "1e999"})
      EXPECT_FALSE(finite_number(text)) << text;
  }



  TEST(FileTools, PublishSaysWhatIsWrong)
  {
    const TemporaryFolder folder;
    expect_sentence(message_of<FileError>([&]() {
                      publish_file(folder / "absent", folder / "file");
                    }),
                    {folder / "absent"});

    write_bytes(folder / "new", "after");
    std::filesystem::create_directories(folder / "file/full");
    expect_sentence(message_of<FileError>(
                      [&]() { publish_file(folder / "new", folder / "file"); }),
                    {folder / "file"});
  }
} // namespace
