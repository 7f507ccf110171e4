// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <cmath>
#include <limits>

#include "small_store.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;
  using Ids = std::vector<long>;

  /** A folder with a space and batches, which a test may spoil. */
  class SnapshotReaderTest : public testing::Test
  {
  protected:
    std::string
    batch_name(const long number) const
    {
      return SnapshotReader::batch_file(folder.name(), number);
    }

    /** Five samples in two files, not in order, one of them failed. */
    void
    write_store()
    {
      space.write(folder / "space.h5");
      SmallBatch first({3, 1, 4});
      first.status[2]  = 2;
      first.reasons[2] = "no convergence";
      first.seconds    = {1., 2., 100.};
      first.write(batch_name(0));
      SmallBatch second({0, 2});
      second.status[1]  = 1;
      second.reasons[1] = "fallback";
      second.seconds    = {3., 6.};
      second.write(batch_name(1));
    }

    std::string
    complaint_when_opened() const
    {
      return message_of<FileError>(
        [this]() { SnapshotReader reader(folder.name()); });
    }

    std::string
    complaint_when_read() const
    {
      const SnapshotReader reader(folder.name());
      return message_of<FileError>([&]() { reader.read(0, reader.size()); });
    }

    std::string
    complaint_of_the_space() const
    {
      return message_of<FileError>(
        [this]() { SnapshotReader(folder.name()).read_space(); });
    }

    TemporaryFolder folder;
    SmallSpace      space;
  };



  TEST_F(SnapshotReaderTest, ReadsWhatWasWritten)
  {
    write_store();
    const SnapshotReader reader(folder.name());
    EXPECT_EQ(reader.problem(), "0123456789abcdef");
    ASSERT_EQ(reader.size(), 4);
    EXPECT_EQ(reader.ids(), (Ids{0, 1, 2, 3}));
    ASSERT_EQ(reader.failures().size(), 1);
    EXPECT_EQ(reader.failures()[0].first, 4);
    EXPECT_EQ(reader.failures()[0].second, "no convergence");
    EXPECT_DOUBLE_EQ(reader.mean_seconds(), 3.);

    const SmallBatch expected({0, 1, 2, 3});
    EXPECT_TRUE(torch::equal(reader.parameters(), expected.parameters));
    for (const long begin : {0, 1, 3})
      for (const long end : {3, 4})
        {
          const auto found = reader.read(begin, end);
          const auto part  = [&](const torch::Tensor &all) {
            return all.slice(0, begin, end);
          };
          if (begin == end)
            continue;
          EXPECT_TRUE(
            torch::equal(found.parameters, part(expected.parameters)));
          EXPECT_TRUE(torch::equal(found.prior, part(expected.prior)));
          EXPECT_TRUE(torch::equal(found.solution, part(expected.solution)));
        }
  }



  TEST_F(SnapshotReaderTest, PartsInAnyOrder)
  {
    write_store();
    const SnapshotReader all(folder.name());
    const SnapshotReader part(all, {3, 0});
    EXPECT_EQ(part.ids(), (Ids{3, 0}));
    EXPECT_TRUE(
      torch::equal(part.read(0, 2).solution, SmallBatch({3, 0}).solution));
    EXPECT_EQ(part.failures().size(), 1);

    // a sample that is not there, and one that failed
    for (const long id : {5, 4, -1})
      expect_sentence(message_of<FileError>([&]() {
                        SnapshotReader(all, {0, id});
                      }),
                      {folder.name(), "sample " + std::to_string(id)});
  }



  TEST_F(SnapshotReaderTest, EmptyStore)
  {
    const SnapshotReader reader(folder.name());
    EXPECT_EQ(reader.size(), 0);
    EXPECT_EQ(reader.mean_seconds(), 0.);
    EXPECT_EQ(reader.parameters().size(0), 0);
  }



  // Temporary files and those of other people are left alone.
  TEST_F(SnapshotReaderTest, OtherNamesAreIgnored)
  {
    write_store();
    write_bytes(folder / "batch-000002.h5.tmp", "half a fi");
    write_bytes(folder / "notes.txt", "measured on a Monday");
    EXPECT_EQ(SnapshotReader(folder.name()).size(), 4);
  }



  TEST_F(SnapshotReaderTest, NoFolder)
  {
    expect_sentence(message_of<FileError>(
                      [&]() { SnapshotReader reader(folder / "absent"); }),
                    {folder / "absent"});
    write_bytes(folder / "file", "");
    expect_sentence(message_of<FileError>(
                      [&]() { SnapshotReader reader(folder / "file"); }),
                    {folder / "file"});
  }



  TEST_F(SnapshotReaderTest, ForeignFiles)
  {
    write_bytes(batch_name(0), "not a batch\n");
    expect_sentence(complaint_when_opened(), {batch_name(0)});

    // HDF5, but of somebody else
    space.write(batch_name(0));
    expect_sentence(complaint_when_opened(), {batch_name(0), "sample"});
    {
      HDF5File file(batch_name(0), H5P_DEFAULT, H5P_DEFAULT);
      file.write("velocity", std::vector<double>{1., 2.}, "in m/s");
    }
    expect_sentence(complaint_when_opened(), {batch_name(0), "problem"});
  }



  TEST_F(SnapshotReaderTest, OtherProblem)
  {
    SmallBatch({0, 1}).write(batch_name(0));
    SmallBatch other({2});
    other.problem = "fedcba9876543210";
    other.write(batch_name(1));
    expect_sentence(complaint_when_opened(),
                    {batch_name(1), "fedcba9876543210", "0123456789abcdef"});
    expect_sentence(message_of<FileError>([&]() {
                      SnapshotReader(folder.name(), "fedcba9876543210");
                    }),
                    {batch_name(0), "fedcba9876543210", "0123456789abcdef"});

    std::filesystem::remove(batch_name(1));
    space.problem = "fedcba9876543210";
    space.write(folder / "space.h5");
    expect_sentence(complaint_of_the_space(),
                    {folder / "space.h5",
                     "fedcba9876543210",
                     "0123456789abcdef"});
  }



  TEST_F(SnapshotReaderTest, NotANumber)
  {
    for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity()})
      for (const bool prior : {true, false})
        {
          SmallBatch batch({10, 11, 12});
          (prior ? batch.prior : batch.solution)[1][7] = bad;
          batch.write(batch_name(0));
          expect_sentence(complaint_when_read(),
                          {batch_name(0),
                           prior ? "prior" : "solution",
                           "sample 11",
                           "value 7",
                           std::isnan(bad) ? "nan" : "inf"});
          // the others can be read
          const SnapshotReader reader(folder.name());
          EXPECT_NO_THROW(SnapshotReader(reader, {10, 12}).read(0, 2));
        }

    SmallBatch batch({10, 11, 12});
    batch.parameters[1][2] = std::numeric_limits<double>::quiet_NaN();
    batch.write(batch_name(0));
    expect_sentence(complaint_when_read(),
                    {batch_name(0), "parameters", "sample 11", "nan"});
  }



  // A failed solve may have left anything.
  TEST_F(SnapshotReaderTest, FailedSamplesMayHoldAnything)
  {
    SmallBatch batch({10, 11});
    batch.status[1] = 2;
    batch.solution[1].fill_(std::numeric_limits<double>::quiet_NaN());
    batch.write(batch_name(0));
    const SnapshotReader reader(folder.name());
    EXPECT_EQ(reader.size(), 1);
    EXPECT_NO_THROW(reader.read(0, 1));
  }



  TEST_F(SnapshotReaderTest, DuplicateSample)
  {
    SmallBatch({0, 1}).write(batch_name(0));
    SmallBatch({2, 1}).write(batch_name(1));
    const auto message = complaint_when_opened();
    expect_sentence(message, {folder.name(), "sample 1 "});
  }



  TEST_F(SnapshotReaderTest, DataSetsThatDisagree)
  {
    const auto refused = [this](const auto &spoil) {
      SmallBatch batch({0, 1});
      spoil(batch);
      batch.write(batch_name(0));
      expect_sentence(complaint_when_opened(), {batch_name(0)});
    };
    refused([](SmallBatch &batch) { batch.ids.push_back(2); });
    refused([](SmallBatch &batch) { batch.status.pop_back(); });
    refused([](SmallBatch &batch) { batch.seconds.clear(); });
    refused([](SmallBatch &batch) { batch.reasons.push_back(""); });

    // another number of parameters than in the other files
    SmallBatch({0, 1}).write(batch_name(0));
    SmallBatch batch({2});
    batch.parameters = random_normal({1, 5}, 1);
    batch.write(batch_name(1));
    expect_sentence(complaint_when_opened(), {batch_name(1), "parameters"});

    // other numbers of values
    SmallBatch({2}, 25).write(batch_name(1));
    expect_sentence(complaint_when_read(), {batch_name(1)});
    std::filesystem::remove(batch_name(1));
    SmallBatch two({0, 1});
    two.solution = random_normal({2, 25}, 1);
    two.write(batch_name(0));
    expect_sentence(complaint_when_read(), {batch_name(0), "solution"});
  }



  TEST_F(SnapshotReaderTest, VectorsInPlaceOfMatrices)
  {
    for (const std::string flat : {"parameters", "prior", "solution"})
      {
        {
          HDF5File file(batch_name(0), H5P_DEFAULT, H5P_DEFAULT);
          const std::vector<double>       values(16, 0.);
          const std::vector<std::int64_t> id = {0};
          file.write_attribute("problem", space.problem);
          file.write("sample", id, "");
          file.write("status", id, "");
          file.write_strings("reason", {""}, "");
          file.write("seconds", std::vector<double>{1.}, "");
          for (const std::string name : {"parameters", "prior", "solution"})
            if (name == flat)
              file.write(name, values, "");
            else
              file.write(name, {1, 16}, values.data(), 0, 16, "");
        }
        expect_sentence(message_of<FileError>(
                          [&]() { SnapshotReader(folder.name()).read(0, 1); }),
                        {batch_name(0)});
      }
  }



  TEST_F(SnapshotReaderTest, CutFiles)
  {
    write_store();
    const auto bytes = read_bytes(batch_name(0));
    for (unsigned int i = 0; i < 40; ++i)
      {
        write_bytes(batch_name(0), bytes.substr(0, i * bytes.size() / 40));
        expect_sentence(complaint_when_opened(), {batch_name(0)});
      }
    write_bytes(batch_name(0), bytes);
    EXPECT_EQ(SnapshotReader(folder.name()).size(), 4);

    // removed, or cut after the reader has taken stock
    const SnapshotReader reader(folder.name());
    write_bytes(batch_name(1), "");
    expect_sentence(message_of<FileError>([&]() { reader.read(0, 4); }),
                    {batch_name(1)});
    std::filesystem::remove(batch_name(1));
    expect_sentence(message_of<FileError>([&]() { reader.read(0, 4); }),
                    {batch_name(1)});
  }



  TEST_F(SnapshotReaderTest, Space)
  {
    space.add_reflection();
    write_store();
    const auto found = SnapshotReader(folder.name()).read_space();
    EXPECT_EQ(found.size(), 16);
    EXPECT_TRUE(torch::equal(found.points, space.grid.points().t()));
    EXPECT_LT(distance(found.mass.to_dense(), space.grid.dense_mass()), 1e-16);
    ASSERT_EQ(found.symmetries.size(), 2);
    EXPECT_TRUE(torch::equal(found.symmetries[0].points, torch::arange(16)));
    EXPECT_TRUE(torch::equal(found.symmetries[0].parameters, torch::arange(3)));
    EXPECT_TRUE(
      torch::equal(found.symmetries[1].points, space.grid.reflection()));
    EXPECT_TRUE(torch::equal(found.symmetries[1].parameters,
                             torch::tensor({1, 0, 2}, torch::kInt64)));

    // ‖1‖ is the area, ‖x‖ the second moment of the unit square
    const auto fields = torch::stack(
      {torch::ones({16}, torch::kFloat64), space.grid.points()[0]});
    const auto norms = found.norm(fields);
    EXPECT_NEAR(norms[0].item<double>(), 1., 1e-14);
    EXPECT_NEAR(norms[1].item<double>(), std::sqrt(1. / 3.), 1e-14);
  }



  // new[i] = old[index[i]] with index[i] the point A x_i + b, which differs
  // from its inverse for a quarter turn.
  TEST_F(SnapshotReaderTest, TurnedFieldsAreReadAtTurnedPoints)
  {
    space.matrices.insert(space.matrices.end(), {0., 1., -1., 0.});
    space.offsets.insert(space.offsets.end(), {0., 1.});
    space.parameters.insert(space.parameters.end(), {1, 2, 0});
    write_store();
    const auto symmetry =
      SnapshotReader(folder.name()).read_space().symmetries.at(1);
    const auto x = space.points[0], y = space.points[1];
    const auto field = [](const torch::Tensor &x, const torch::Tensor &y) {
      return x + 10. * y * y;
    };
    EXPECT_LT(distance(field(x, y).index_select(0, symmetry.points),
                       field(y, 1. - x)),
              1e-14);
  }



  // Meshes in nanometres and in kilometres, with the rounding errors of a
  // mesh generator.
  TEST_F(SnapshotReaderTest, SymmetriesOfMeshesOfAnySize)
  {
    for (const double width : {1e-9, 1e-3, 0.3, 7e5})
      {
        space = SmallSpace(9);
        space.points =
          width * space.points * (1. + 1e-15 * random_normal({2, 81}, 1));
        space.add_reflection(width);
        space.write(folder / "space.h5");
        EXPECT_TRUE(torch::equal(
          SnapshotReader(folder.name()).read_space().symmetries.at(1).points,
          space.grid.reflection()))
          << width;
      }
  }



  // The same for fine meshes, whose points are not to be told apart by
  // where a rounding goes.
  TEST_F(SnapshotReaderTest, SymmetriesOfFineMeshes)
  {
    const long n = 513;
    space.points = torch::stack({torch::linspace(0., 1., n, torch::kFloat64),
                                 torch::zeros({n}, torch::kFloat64)}) +
                   1e-16 * random_normal({2, n}, 1);
    space.rows = space.columns = {0};
    space.values               = {1.};
    space.add_reflection();
    space.write(folder / "space.h5");
    EXPECT_TRUE(torch::equal(
      SnapshotReader(folder.name()).read_space().symmetries.at(1).points,
      torch::arange(n).flip(0)));
  }



  TEST_F(SnapshotReaderTest, WrongSymmetriesAreRefused)
  {
    const auto refused = [this](const std::vector<double>       &matrix,
                                const std::vector<double>       &offset,
                                const std::vector<std::int64_t> &parameters) {
      space = SmallSpace();
      space.matrices.insert(space.matrices.end(), matrix.begin(), matrix.end());
      space.offsets.insert(space.offsets.end(), offset.begin(), offset.end());
      space.parameters.insert(space.parameters.end(),
                              parameters.begin(),
                              parameters.end());
      write_store();
      expect_sentence(complaint_of_the_space(),
                      {folder / "space.h5", "symmetry"});
    };
    refused({1., 0., 0., 1.}, {0.1, 0.}, {0, 1, 2});  // a translation
    refused({-1., 0., 0., 1.}, {0.9, 0.}, {0, 1, 2}); // about another axis
    const double s = std::sqrt(0.5);
    refused({s, -s, s, s}, {0.5, 0.5 - s}, {0, 1, 2}); // an eighth of a turn
    refused({0., 0., 0., 1.}, {0., 0.}, {0, 1, 2});    // onto a side
    const double nan = std::numeric_limits<double>::quiet_NaN();
    refused({nan, 0., 0., 1.}, {0., 0.}, {0, 1, 2});
    refused({-1., 0., 0., 1.}, {1e300, 0.}, {0, 1, 2});
    // parameters that are no permutation
    refused({-1., 0., 0., 1.}, {1., 0.}, {0, 1, 3});
    refused({-1., 0., 0., 1.}, {1., 0.}, {0, 0, 2});
    refused({-1., 0., 0., 1.}, {1., 0.}, {0, -1, 2});
  }



  TEST_F(SnapshotReaderTest, SpacesThatDisagreeWithThemselves)
  {
    const auto refused = [this](const auto &spoil) {
      space = SmallSpace();
      spoil(space);
      write_store();
      expect_sentence(complaint_of_the_space(), {folder / "space.h5"});
    };
    refused([](SmallSpace &space) { space.rows.pop_back(); });
    refused([](SmallSpace &space) { space.values.pop_back(); });
    refused([](SmallSpace &space) { space.columns[3] = 16; });
    refused([](SmallSpace &space) { space.columns[3] = -1; });
    refused([](SmallSpace &space) { space.values[3] = NAN; });
    refused([](SmallSpace &space) { space.matrices.push_back(0.); });

    write_store();
    std::filesystem::remove(folder / "space.h5");
    expect_sentence(complaint_of_the_space(), {folder / "space.h5"});
  }



  TEST(SummarizeFailures, ByKind)
  {
    EXPECT_EQ(summarize_failures({}), "");
    EXPECT_EQ(summarize_failures(
                {{7, "no convergence in step 3, residual 1.5e-3"},
                 {9, "the solution is\nnot finite"},
                 {2, "no convergence in step 100, residual -2e+10"}}),
              "    2 × (first: sample 2) no convergence in step 100, residual "
              "-2e+10\n"
              "    1 × (first: sample 9) the solution is?not finite\n");
    // As many of each: the first one first.
    EXPECT_EQ(summarize_failures({{3, "b"}, {4, "a"}}),
              "    1 × (first: sample 3) b\n"
              "    1 × (first: sample 4) a\n");
  }
} // namespace
