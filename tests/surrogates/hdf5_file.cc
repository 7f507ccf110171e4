// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <nlohmann/json.hpp>

#include <cstdlib>

#include "../python.h"
#include "small_store.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;
  using Integers = std::vector<std::int64_t>;
  using Doubles  = std::vector<double>;
  using Strings  = std::vector<std::string>;
  using Extents  = std::vector<hsize_t>;

  /** Writes an attribute @p name of @p n texts, as another program might. */
  void
  write_array_attribute(const hid_t file, const char *name, const hsize_t n)
  {
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, 16);
    const hid_t space = H5Screate_simple(1, &n, nullptr);
    const hid_t attribute =
      H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, type, std::string(16 * n, 'x').data());
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
  }



  TEST(HDF5File, RoundTrip)
  {
    const TemporaryFolder folder;
    const Doubles         values = {0.1, -2.5e300, 3., 4., 5., 6.};
    const Integers        whole  = {-1, 0, std::int64_t(1) << 62};
    const Strings         texts  = {"", "short", "a much longer one, µ"};
    {
      HDF5File file(folder / "file.h5", H5P_DEFAULT, H5P_DEFAULT);
      file.write("matrix", {2, 3}, values.data(), 0, 3, "two rows");
      file.write("values", values, "in one row");
      file.write("integers", whole, "whole numbers");
      file.write("nothing", Doubles(), "no numbers");
      file.write_strings("texts", texts, "of several lengths");
      file.write_attribute("problem", "0123");
      file.write_attribute("empty", "");
      file.close();
    }
    const HDF5File file(folder / "file.h5");
    EXPECT_EQ(file.name(), folder / "file.h5");
    EXPECT_TRUE(file.has("matrix"));
    EXPECT_FALSE(file.has("tensor"));
    EXPECT_EQ(file.shape("matrix"), (Extents{2, 3}));
    EXPECT_EQ(file.read<double>("matrix"), values);
    EXPECT_EQ(file.read<double>("values"), values);
    EXPECT_EQ(file.read<std::int64_t>("integers"), whole);
    EXPECT_TRUE(file.read<double>("nothing").empty());
    EXPECT_EQ(file.read_strings("texts"), texts);
    EXPECT_EQ(file.read_attribute("problem"), "0123");
    EXPECT_EQ(file.read_attribute("empty"), "");

    double block[4];
    file.read_block("matrix", 0, 2, 1, 2, block);
    EXPECT_EQ(Doubles(block, block + 4), (Doubles{-2.5e300, 3., 5., 6.}));
    file.read_block("matrix", 1, 1, 0, 3, block);
    EXPECT_EQ(Doubles(block, block + 3), (Doubles{4., 5., 6.}));
  }



  TEST(HDF5File, ColumnsOfSeveralWriters)
  {
    const TemporaryFolder folder;
    {
      HDF5File      file(folder / "file.h5", H5P_DEFAULT, H5P_DEFAULT);
      const Doubles part = {1., 2., 3., 4.};
      file.write("matrix", {2, 5}, part.data(), 3, 2, "the last two columns");
      file.close();
    }
    EXPECT_EQ(HDF5File(folder / "file.h5").read<double>("matrix"),
              (Doubles{0., 0., 0., 1., 2., 0., 0., 0., 3., 4.}));
  }



  TEST(HDF5File, WhatIsNotThereIsNamed)
  {
    const TemporaryFolder folder;
    const auto            name = folder / "file.h5";
    SmallBatch({1, 2}).write(name);
    const HDF5File file(name);
    double         value[100];
    expect_sentence(message_of<FileError>([&]() { file.shape("velocity"); }),
                    {name, "velocity"});
    expect_sentence(message_of<FileError>(
                      [&]() { file.read<double>("velocity"); }),
                    {name, "velocity"});
    expect_sentence(message_of<FileError>(
                      [&]() { file.read_strings("velocity"); }),
                    {name, "velocity"});
    expect_sentence(message_of<FileError>(
                      [&]() { file.read_attribute("velocity"); }),
                    {name, "velocity"});
    // of another type
    expect_sentence(message_of<FileError>(
                      [&]() { file.read_strings("sample"); }),
                    {name, "sample"});
    expect_sentence(message_of<FileError>(
                      [&]() { file.read<double>("reason"); }),
                    {name, "reason"});
    // outside, and of another dimension
    for (const hsize_t row : {1, 2, 1000000})
      expect_sentence(message_of<FileError>([&]() {
                        file.read_block("prior", row, 2, 0, 16, value);
                      }),
                      {name, "prior"});
    expect_sentence(message_of<FileError>(
                      [&]() { file.read_block("prior", 0, 1, 1, 16, value); }),
                    {name, "prior"});
    expect_sentence(message_of<FileError>(
                      [&]() { file.read_block("sample", 0, 1, 0, 1, value); }),
                    {name, "sample"});
  }



  TEST(HDF5File, OtherFilesAreErrors)
  {
    const TemporaryFolder folder;
    write_bytes(folder / "text.h5", "x y z\n0 0 0\n");
    for (const std::string name : {"text.h5", "absent.h5", "no/folder.h5"})
      expect_sentence(message_of<FileError>(
                        [&]() { HDF5File file(folder / name); }),
                      {folder / name});
    expect_sentence(message_of<FileError>([&]() {
                      HDF5File(folder / "no/folder.h5",
                               H5P_DEFAULT,
                               H5P_DEFAULT);
                    }),
                    {folder / "no/folder.h5"});
  }



  TEST(HDF5File, CutFilesAreErrors)
  {
    const TemporaryFolder folder;
    SmallBatch({1, 2, 3}).write(folder / "file.h5");
    const auto bytes = read_bytes(folder / "file.h5");
    for (unsigned int i = 0; i < 50; ++i)
      {
        write_bytes(folder / "cut.h5", bytes.substr(0, i * bytes.size() / 50));
        expect_sentence(message_of<FileError>(
                          [&]() { HDF5File file(folder / "cut.h5"); }),
                        {folder / "cut.h5"});
      }
  }



  // What other programs put under the same names does not overrun anything.
  TEST(HDF5File, OtherShapesAreErrors)
  {
    const TemporaryFolder folder;
    const auto            name = folder / "file.h5";
    const hid_t           raw =
      H5Fcreate(name.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    write_array_attribute(raw, "problem", 1000);

    const hid_t   text        = H5Tcopy(H5T_C_S1);
    const hsize_t matrix[]    = {50, 50};
    const hid_t   matrix_type = H5Screate_simple(2, matrix, nullptr);
    const hid_t   scalar      = H5Screate(H5S_SCALAR);
    const auto    create      = [raw](const char *data_set,
                              const hid_t type,
                              const hid_t space,
                              const hid_t properties) {
      const hid_t created = H5Dcreate2(
        raw, data_set, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
      ASSERT_GE(created, 0);
      H5Dclose(created);
    };
    create("text_matrix", text, matrix_type, H5P_DEFAULT);
    create("text_scalar", text, scalar, H5P_DEFAULT);
    create("scalar", H5T_NATIVE_DOUBLE, scalar, H5P_DEFAULT);

    // 2^60 numbers of which none is stored
    const hsize_t huge = hsize_t(1) << 60, chunk = 1024;
    const hid_t   huge_space = H5Screate_simple(1, &huge, nullptr);
    const hid_t   chunked    = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(chunked, 1, &chunk);
    create("huge", H5T_NATIVE_DOUBLE, huge_space, chunked);
    create("huge_text", text, huge_space, chunked);
    H5Gclose(H5Gcreate2(raw, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    for (const hid_t space : {matrix_type, scalar, huge_space})
      H5Sclose(space);
    H5Pclose(chunked);
    H5Tclose(text);
    H5Fclose(raw);

    const HDF5File file(name);
    expect_sentence(message_of<FileError>(
                      [&]() { file.read_attribute("problem"); }),
                    {name, "problem"});
    for (const std::string data_set :
         {"text_matrix", "text_scalar", "huge_text", "group"})
      expect_sentence(message_of<FileError>(
                        [&]() { file.read_strings(data_set); }),
                      {name, data_set});
    for (const std::string data_set : {"huge", "group"})
      expect_sentence(message_of<FileError>(
                        [&]() { file.read<double>(data_set); }),
                      {name, data_set});
  }



  TEST(HDF5File, LinksLeadToOtherFiles)
  {
    const TemporaryFolder folder;
    SmallBatch({4, 5}).write(folder / "batch.h5");
    {
      HDF5File file(folder / "index.h5", H5P_DEFAULT, H5P_DEFAULT);
      file.link("batch", "batch.h5");
      file.close();
    }
    EXPECT_EQ(HDF5File(folder / "index.h5").read<std::int64_t>("batch/sample"),
              (Integers{4, 5}));
  }



  TEST(HDF5File, ReadableFromPython)
  {
    const auto interpreter = python_with_h5py();
    if (interpreter.empty())
      GTEST_SKIP() << "there is no Python with h5py";

    const TemporaryFolder folder;
    SmallBatch            batch({7, 9});
    batch.status[1]  = 2;
    batch.reasons[1] = "diverged, µ too large";
    batch.write(folder / "batch.h5");
    const auto [output, success] =
      python(interpreter,
             "import h5py, json\n"
             "f = h5py.File(\"" +
               (folder / "batch.h5") +
               "\", \"r\")\n"
               "text = lambda t: t.decode() if isinstance(t, bytes) else t\n"
               "print(json.dumps({\n"
               "  \"names\": sorted(f.keys()),\n"
               "  \"problem\": text(f.attrs[\"problem\"]),\n"
               "  \"units\": text(f[\"solution\"].attrs[\"description\"]),\n"
               "  \"described\": all(\"description\" in d.attrs\n"
               "                   for d in f.values()),\n"
               "  \"reasons\": [text(t) for t in f[\"reason\"][...]],\n"
               "  \"sample\": f[\"sample\"][...].tolist(),\n"
               "  \"status\": f[\"status\"][...].tolist(),\n"
               "  \"parameters\": f[\"parameters\"][...].tolist(),\n"
               "  \"solution\": f[\"solution\"][...].tolist()}))\n");
    ASSERT_TRUE(success) << output;
    const auto found = nlohmann::json::parse(output);
    EXPECT_EQ(found["names"],
              nlohmann::json({"iterations",
                              "parameters",
                              "prior",
                              "reason",
                              "sample",
                              "seconds",
                              "solution",
                              "status"}));
    EXPECT_EQ(found["problem"], batch.problem);
    EXPECT_EQ(found["units"], "solutions in K");
    EXPECT_EQ(found["described"], true);
    EXPECT_EQ(found["reasons"], nlohmann::json(batch.reasons));
    EXPECT_EQ(found["sample"], nlohmann::json(batch.ids));
    EXPECT_EQ(found["status"], nlohmann::json(batch.status));
    for (long i = 0; i < 2; ++i)
      {
        for (long k = 0; k < 3; ++k)
          EXPECT_EQ(found["parameters"][i][k],
                    batch.parameters[i][k].item<double>());
        for (long k = 0; k < 16; ++k)
          EXPECT_EQ(found["solution"][i][k],
                    batch.solution[i][k].item<double>());
      }
  }
} // namespace
