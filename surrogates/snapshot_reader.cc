// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

namespace neuraldeal
{
  namespace
  {
    /**
     * For each column of @p images the number of the column of @p points
     * that is the same point.
     */
    torch::Tensor
    match_points(const torch::Tensor &points,
                 const torch::Tensor &images,
                 const std::string   &file)
    {
      const auto key = [](const torch::Tensor &coordinates, const long i) {
        std::vector<long> rounded;
        for (long d = 0; d < coordinates.size(0); ++d)
          rounded.push_back(std::lround(
            coordinates.data_ptr<double>()[d * coordinates.size(1) + i] * 1e8));
        return rounded;
      };
      std::map<std::vector<long>, long> numbers;
      for (long i = 0; i < points.size(1); ++i)
        numbers[key(points, i)] = i;
      auto  result = torch::empty({points.size(1)}, torch::kInt64);
      auto *index  = result.data_ptr<std::int64_t>();
      for (long i = 0; i < points.size(1); ++i)
        {
          const auto found = numbers.find(key(images, i));
          if (found == numbers.end())
            throw FileError(file,
                            "a symmetry maps its points to others that are "
                            "none; valid is a symmetry of the mesh");
          index[i] = found->second;
        }
      return result;
    }
  } // namespace



  SnapshotReader::SnapshotReader(const std::string &folder,
                                 const std::string &problem)
    : folder(folder)
    , problem_hash(problem)
  {
    namespace fs = std::filesystem;
    if (!fs::is_directory(folder))
      throw FileError(folder, "there is no such folder of snapshots");
    std::vector<std::string> files;
    for (const auto &entry : fs::directory_iterator(folder))
      {
        const auto name = entry.path().filename().string();
        if (name.rfind("batch-", 0) == 0 && entry.path().extension() == ".h5")
          files.push_back(entry.path().string());
      }
    std::sort(files.begin(), files.end());

    for (const auto &name : files)
      {
        const HDF5File file(name);
        const auto     found = file.read_attribute("problem");
        if (problem_hash.empty())
          problem_hash = found;
        if (found != problem_hash)
          throw FileError(name,
                          "its attribute 'problem' is " + found +
                            ", that of another problem; valid is " +
                            problem_hash);
        const auto ids     = file.read<std::int64_t>("sample");
        const auto status  = file.read<std::int64_t>("status");
        const auto reasons = file.read_strings("reason");
        const auto seconds = file.read<double>("seconds");
        const auto shape   = file.shape("parameters");
        const auto values  = file.read<double>("parameters");
        if (shape.size() != 2 || shape[0] != ids.size() ||
            status.size() != ids.size() || reasons.size() != ids.size() ||
            seconds.size() != ids.size())
          throw FileError(name, "its data sets disagree in size");
        for (std::size_t row = 0; row < ids.size(); ++row)
          if (status[row] == 2)
            failed.emplace_back(ids[row], reasons[row]);
          else
            samples.push_back(
              {ids[row],
               name,
               long(row),
               seconds[row],
               std::vector<double>(values.begin() + row * shape[1],
                                   values.begin() + (row + 1) * shape[1])});
      }
    std::sort(samples.begin(), samples.end(), [](const auto &a, const auto &b) {
      return a.id < b.id;
    });
    const auto twice = std::adjacent_find(samples.begin(),
                                          samples.end(),
                                          [](const auto &a, const auto &b) {
                                            return a.id == b.id;
                                          });
    if (twice != samples.end())
      throw FileError(twice->file,
                      fmt::format("sample {} is in it and in another file",
                                  twice->id));
  }



  SnapshotReader::SnapshotReader(const SnapshotReader    &other,
                                 const std::vector<long> &ids)
    : folder(other.folder)
    , problem_hash(other.problem_hash)
    , failed(other.failed)
  {
    std::map<long, const Sample *> by_id;
    for (const auto &sample : other.samples)
      by_id[sample.id] = &sample;
    for (const long id : ids)
      {
        if (by_id.count(id) == 0)
          throw FileError(folder, fmt::format("it has no sample {}", id));
        samples.push_back(*by_id[id]);
      }
  }



  Snapshots
  SnapshotReader::read(const long begin, const long end) const
  {
    Snapshots  result;
    const long n      = end - begin;
    result.parameters = parameters().slice(0, begin, end);
    std::string               open_name;
    std::unique_ptr<HDF5File> file;
    for (long i = 0; i < n; ++i)
      {
        const auto &sample = samples[begin + i];
        if (sample.file != open_name)
          {
            file      = std::make_unique<HDF5File>(sample.file);
            open_name = sample.file;
          }
        for (const bool prior : {true, false})
          {
            const std::string name  = prior ? "prior" : "solution";
            auto             &field = prior ? result.prior : result.solution;
            const auto        shape = file->shape(name);
            if (!field.defined())
              field = torch::empty({n, long(shape.at(1))}, torch::kFloat64);
            if (shape.size() != 2 || long(shape[1]) != field.size(1))
              throw FileError(sample.file,
                              "its data set '" + name +
                                "' is of another size than in other files");
            auto row = field[i];
            file->read_block(
              name, sample.row, 1, 0, shape[1], row.data_ptr<double>());
            if (!torch::isfinite(row).all().item<bool>())
              {
                const auto where =
                  torch::nonzero(torch::isfinite(row).logical_not())[0]
                    .item<std::int64_t>();
                throw FileError(
                  sample.file,
                  fmt::format("the {} of sample {} is {} at value {}; valid "
                              "is a finite number",
                              name,
                              sample.id,
                              row[where].item<double>(),
                              where));
              }
          }
      }
    return result;
  }



  torch::Tensor
  SnapshotReader::parameters() const
  {
    const long d      = samples.empty() ? 0 : samples[0].parameters.size();
    auto       result = torch::empty({size(), d}, torch::kFloat64);
    for (long i = 0; i < size(); ++i)
      std::copy(samples[i].parameters.begin(),
                samples[i].parameters.end(),
                result[i].data_ptr<double>());
    return result;
  }



  std::vector<long>
  SnapshotReader::ids() const
  {
    std::vector<long> result;
    for (const auto &sample : samples)
      result.push_back(sample.id);
    return result;
  }



  double
  SnapshotReader::mean_seconds() const
  {
    double sum = 0;
    for (const auto &sample : samples)
      sum += sample.seconds;
    return samples.empty() ? 0. : sum / samples.size();
  }



  FieldSpace
  SnapshotReader::read_space() const
  {
    const HDF5File file(folder + "/space.h5");
    const auto     found = file.read_attribute("problem");
    if (found != problem_hash && !problem_hash.empty())
      throw FileError(file.name(),
                      "its attribute 'problem' is " + found +
                        ", that of another problem; valid is " + problem_hash);
    const long n_values = file.shape("points").at(1);
    const auto rows     = file.read<std::int64_t>("mass_rows");
    const auto columns  = file.read<std::int64_t>("mass_columns");
    const auto values   = file.read<double>("mass_values");
    FieldSpace space;
    space.mass =
      torch::sparse_coo_tensor(torch::stack(
                                 {torch::tensor(rows), torch::tensor(columns)}),
                               torch::tensor(values, torch::kFloat64),
                               {n_values, n_values})
        .coalesce();
    const auto shape  = file.shape("symmetry_parameters");
    const auto tensor = [&](const std::string &name) {
      return torch::tensor(file.read<double>(name), torch::kFloat64);
    };
    const auto points   = tensor("points").reshape({-1, n_values});
    const long dim      = points.size(0);
    const auto matrices = tensor("symmetry_matrices").reshape({-1, dim, dim});
    const auto offsets  = tensor("symmetry_offsets").reshape({-1, dim, 1});
    const auto parameters =
      torch::tensor(file.read<std::int64_t>("symmetry_parameters"))
        .reshape({long(shape.at(0)), -1});
    space.symmetries.push_back(
      {parameters[0].contiguous(), torch::arange(n_values)});
    for (long g = 1; g < long(shape[0]); ++g)
      space.symmetries.push_back(
        {parameters[g].contiguous(),
         match_points(points,
                      torch::mm(matrices[g], points) + offsets[g],
                      file.name())});
    return space;
  }



  std::string
  SnapshotReader::batch_file(const std::string &folder, const long batch)
  {
    return fmt::format("{}/batch-{:06}.h5", folder, batch);
  }
} // namespace neuraldeal
