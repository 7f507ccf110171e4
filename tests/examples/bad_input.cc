// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// What a user may do wrong, each ending in one sentence that names the file,
// the entry, the value and what would be valid; all ranks end together, and
// what was computed before is still there.

#include <gtest/gtest.h>
#include <hdf5.h>
#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "job.h"

namespace
{
  namespace fs = std::filesystem;

  /** The sentence after "Error: "; there has to be exactly one. */
  std::string
  error_of(const job::Result &result)
  {
    EXPECT_NE(result.status, 0) << result.output;
    const auto begin = result.output.find("Error: ");
    EXPECT_NE(begin, std::string::npos) << result.output;
    if (begin == std::string::npos)
      return "";
    EXPECT_EQ(result.output.find("Error: ", begin + 1), std::string::npos)
      << result.output;
    return result.output.substr(begin, result.output.find('\n', begin) - begin);
  }

  void
  expect_error(const std::string              &name,
               const job::Changes             &changes,
               const std::vector<std::string> &words)
  {
    const auto folder = job::make_folder("bad_" + name);
    job::write_parameters(folder, changes);
    const auto sentence = error_of(job::run(folder, 2));
    for (const auto &word : words)
      EXPECT_NE(sentence.find(word), std::string::npos)
        << "'" << word << "' is not in: " << sentence;
  }

  /** A finished job, to be damaged in a copy. */
  std::string
  copy_of_finished_job(const std::string &name)
  {
    static const std::string finished = [] {
      const auto folder = job::make_folder("bad_finished");
      job::write_parameters(folder);
      const auto result = job::run(folder, 2);
      EXPECT_EQ(result.status, 0) << result.output;
      return folder;
    }();
    const auto folder = job::make_folder("bad_" + name);
    fs::copy(finished, folder, fs::copy_options::recursive);
    job::write_parameters(folder);
    return folder;
  }
} // namespace



TEST(BadInput, ParametersOutOfRange)
{
  expect_error("tolerance",
               {{"Adaptive solver/Trust/Tolerance", "2"}},
               {"job.prm", "Tolerance", "'2'", "below 1"});
  expect_error("confidence",
               {{"Adaptive solver/Trust/Confidence", "-0.5"}},
               {"job.prm", "Confidence", "'-0.5'", "above 0"});
  expect_error("supported",
               {{"Adaptive solver/Trust/Confidence", "0.99"}},
               {"job.prm", "Held-out solves", "'64'", "at least", "0.99"});
  expect_error("number",
               {{"Adaptive solver/Trust/Tolerance", "small"}},
               {"job.prm", "Tolerance", "small"});
  expect_error("group",
               {{"Run/Group size", "3"}},
               {"job.prm", "Group size", "'3'", "divisor"});
}



TEST(BadInput, UnknownNamesListTheValidOnes)
{
  expect_error("surrogate",
               {{"Adaptive solver/Surrogate/Type", "crystal ball"}},
               {"job.prm", "Type", "crystal ball", "POD network"});
  expect_error("algebra",
               {{"Problem/Linear algebra", "Eigen"}},
               {"job.prm", "Linear algebra", "Eigen", "Trilinos", "PETSc"});
  expect_error("conductivity",
               {{"Problem/Conductivity", "marble"}},
               {"job.prm", "marble", "blocks", "log-normal field"});
  expect_error("coarse_solver",
               {{"Coarse solve/Linear solver", "magic"}},
               {"job.prm", "magic", "direct", "ilu", "amg"});
  expect_error("entry", {{"Run/Querys", "5"}}, {"job.prm", "Querys"});
}



TEST(BadInput, NoParameterFile)
{
  const auto folder = job::make_folder("bad_no_file");
  EXPECT_NE(error_of(job::run(folder, 2)).find("job.prm"), std::string::npos);
}



TEST(BadInput, ForeignSnapshotFile)
{
  const auto folder = copy_of_finished_job("foreign");
  const auto name   = folder + "/snapshots/batch-000006.h5";
  std::ofstream(name) << "This is a shopping list.\n";
  const auto sentence = error_of(job::run(folder, 2));
  EXPECT_NE(sentence.find("batch-000006.h5"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("HDF5"), std::string::npos) << sentence;
  // The other snapshots are still there.
  fs::remove(name);
  EXPECT_EQ(neuraldeal::SnapshotReader(folder + "/snapshots").size(), 78);
}



TEST(BadInput, SnapshotsOfAnotherProblem)
{
  const auto folder = copy_of_finished_job("other_problem");
  fs::remove(folder + "/model.safetensors");
  job::write_parameters(folder, {{"Problem/Cells", "6"}});
  const auto sentence = error_of(job::run(folder, 2));
  EXPECT_NE(sentence.find(".h5"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("problem"), std::string::npos) << sentence;
  EXPECT_EQ(neuraldeal::SnapshotReader(folder + "/snapshots").size(), 80);
}



TEST(BadInput, ModelOfAnotherProblem)
{
  const auto folder = copy_of_finished_job("other_model");
  fs::remove_all(folder + "/snapshots");
  job::write_parameters(folder, {{"Problem/Cells", "6"}});
  const auto sentence = error_of(job::run(folder, 2));
  EXPECT_NE(sentence.find("model.safetensors"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("another problem"), std::string::npos) << sentence;
  // It is said before anything is solved.
  EXPECT_FALSE(fs::exists(folder + "/snapshots"));
}



TEST(BadInput, DamagedModel)
{
  const auto folder = copy_of_finished_job("damaged_model");
  const auto name   = folder + "/model.safetensors";
  fs::resize_file(name, fs::file_size(name) / 2);
  const auto sentence = error_of(job::run(folder, 2));
  EXPECT_NE(sentence.find("model.safetensors"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("undamaged"), std::string::npos) << sentence;
}



TEST(BadInput, NotANumberInASnapshot)
{
  const auto folder = copy_of_finished_job("nan");
  fs::remove(folder + "/model.safetensors");
  const auto name = folder + "/snapshots/batch-000002.h5";
  {
    const hid_t   file     = H5Fopen(name.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    const hid_t   dataset  = H5Dopen2(file, "solution", H5P_DEFAULT);
    const hid_t   space    = H5Dget_space(dataset);
    const hsize_t offset[] = {1, 17}, one[] = {1, 1};
    const hid_t   memory = H5Screate_simple(2, one, nullptr);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, offset, nullptr, one, nullptr);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    ASSERT_GE(
      H5Dwrite(dataset, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, &nan),
      0);
    H5Sclose(memory);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
  }
  const auto sentence = error_of(job::run(folder, 2));
  for (const char *word :
       {"batch-000002.h5", "solution", "sample 3", "nan", "value 17"})
    EXPECT_NE(sentence.find(word), std::string::npos) << sentence;
}



TEST(BadInput, HostThatDoesNotConverge)
{
  const auto folder = job::make_folder("bad_host");
  job::write_parameters(folder, {{"Problem/Newton tolerance", "1e-30"}});
  const auto sentence = error_of(job::run(folder, 2));
  EXPECT_NE(sentence.find("failed solves"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("did not converge"), std::string::npos) << sentence;
  // Every failure that was met is on record, with its reason.
  const neuraldeal::SnapshotReader store(folder + "/snapshots");
  ASSERT_FALSE(store.failures().empty());
  EXPECT_NE(store.failures()[0].second.find("did not converge"),
            std::string::npos);
}
