// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <filesystem>
#include <fstream>

#include "../examples/job.h"
#include "killed_campaigns.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;
  namespace fs = std::filesystem;

  /** Replace the first value of a data set in a file. */
  template <typename Number>
  void
  change_value(const std::string &name,
               const char        *data_set,
               const Number       value)
  {
    const hid_t file = H5Fopen(name.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    const hid_t set  = H5Dopen2(file, data_set, H5P_DEFAULT);
    const hid_t type =
      std::is_same_v<Number, double> ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64;
    const hid_t         space = H5Dget_space(set);
    std::vector<Number> values(H5Sget_simple_extent_npoints(space));
    H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    values[0] = value;
    H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(file);
  }
} // namespace



TEST(Kills, ComparisonFindsWhatIsDifferent)
{
  const auto folder    = job::make_folder("kills-comparison");
  const auto reference = folder + "/reference", store = folder + "/store";
  const auto ran =
    job::run_command(campaign_command(reference, 6, 1), folder + "/output.txt");
  ASSERT_EQ(ran.status, 0) << ran.output;
  EXPECT_EQ(ids_in_store(reference), (std::multiset<long>{0, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(compare_stores(reference, reference).empty());

  const auto differences = [&](const auto &change, const bool subset = false) {
    fs::remove_all(store);
    fs::copy(reference, store);
    change();
    const auto  found = compare_stores(store, reference, subset);
    std::string all;
    for (const auto &difference : found)
      all += difference;
    return all;
  };
  const auto batch = store + "/batch-000002.h5";
  EXPECT_EQ(differences([]() {}), "");
  EXPECT_NE(differences([&]() { fs::remove(batch); }).find("sample 3 is lost"),
            std::string::npos);
  EXPECT_EQ(differences([&]() { fs::remove(batch); }, true), "");
  // The last bit of a value
  const double value =
    HDF5File(reference + "/batch-000002.h5").read<double>("solution").at(0);
  EXPECT_NE(differences([&]() {
              change_value(batch, "solution", std::nextafter(value, 1e300));
            }).find("sample 2 has other values"),
            std::string::npos);
  EXPECT_EQ(differences([&]() { change_value(batch, "solution", value); }), "");
  EXPECT_EQ(differences([&]() { change_value(batch, "seconds", 1e3); }), "");
  EXPECT_NE(differences([&]() {
              change_value(batch, "status", std::int64_t(2));
            }).find("sample 2 ended otherwise"),
            std::string::npos);
  EXPECT_NE(differences([&]() {
              change_value(batch, "sample", std::int64_t(17));
            }).find("sample 17 should not be there"),
            std::string::npos);
  EXPECT_NE(differences([&]() {
              change_value(store + "/space.h5", "points", 0.123);
            }).find("points"),
            std::string::npos);
  EXPECT_NE(differences([&]() { fs::resize_file(batch, 700); }, true), "");
  EXPECT_NE(differences([&]() {
              std::ofstream(store + "/batch-000002.h5.tmp") << "half";
            }).find("left over"),
            std::string::npos);
  // The failed one is there, as it is in the file, twice.
  EXPECT_NE(differences([&]() {
              fs::copy(store + "/batch-000004.h5", store + "/batch-000009.h5");
              change_value(store + "/batch-000009.h5",
                           "sample",
                           std::int64_t(4));
            }),
            "");
}



TEST(Kills, NothingIsLostAndNothingTwice)
{
  KillsData data;
  data.folder       = job::make_folder("kills-short") + "/stores";
  data.n_samples    = 12;
  data.n_kills      = 5;
  data.n_in_writes  = 2;
  const auto result = kill_campaigns(data);
  EXPECT_GE(result.n_kills, 5u);
  EXPECT_GE(result.n_in_writes, 2u);
  EXPECT_EQ(result.n_samples, 12 * result.n_campaigns);
  EXPECT_EQ(result.differences, std::vector<std::string>());
}



TEST(Kills, JobThatHangsEndsAndGoesOnWithoutTheSample)
{
  const auto folder = job::make_folder("kills-hang");
  for (const unsigned int size : {1, 2})
    {
      const auto store = folder + "/" + std::to_string(size);
      const auto start = [&]() {
        return job::run_command(
          campaign_command(store, 6, size, {"--hang", "2", "1.5"}),
          folder + "/output.txt");
      };
      const auto hung = start();
      EXPECT_NE(hung.status, 0);
      for (const std::string &part :
           {"Error: the campaign in " + store,
            std::string("solve() of sample 2 did not return within 3 s, 2 "
                        "times the time budget; start the job again, and it "
                        "goes on without this sample.\n")})
        EXPECT_NE(hung.output.find(part), std::string::npos) << hung.output;
      EXPECT_TRUE(fs::exists(store + "/hung-000002.txt"));

      // Started again it ends, and has learned which one it was.
      const auto again = start();
      EXPECT_EQ(again.status, 0) << again.output;
      EXPECT_FALSE(fs::exists(store + "/hung-000002.txt"));
      EXPECT_NE(again.output.find("solves have failed"), std::string::npos)
        << again.output;
      const SnapshotReader reader(store);
      EXPECT_EQ(reader.ids(), (std::vector<long>{0, 1, 3, 5}));
      ASSERT_EQ(reader.failures().size(), 2u);
      EXPECT_EQ(reader.failures()[0].first, 2);
      EXPECT_EQ(reader.failures()[0].second,
                "time budget: solve() did not return within 3 s, 2 times its "
                "budget, and the job was ended");
      EXPECT_EQ(reader.failures()[1].first, 4);
      // And then nothing is left to do.
      EXPECT_EQ(start().status, 0);
    }
}
