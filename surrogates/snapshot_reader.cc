// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>
#include <limits>
#include <map>
#include <regex>

namespace neuraldeal
{
  namespace
  {
    /** Whether @p index is a permutation of 0, …, its size − 1. */
    bool
    is_permutation(const torch::Tensor &index)
    {
      return torch::equal(std::get<0>(index.sort()),
                          torch::arange(index.size(0)));
    }



    /**
     * For each column of @p images the number of the column of @p points
     * that is the same point.
     */
    torch::Tensor
    match_points(const torch::Tensor &points,
                 const torch::Tensor &images,
                 const std::string   &file)
    {
      const auto fail = [&file]() {
        throw FileError(file,
                        "a symmetry does not map its points onto each other; "
                        "valid is a symmetry of the mesh");
      };
      if (!torch::isfinite(images).all().item<bool>())
        fail();

      // Points are the same up to 1e-8 of the mesh's size. They are sorted
      // into boxes of that width; the shift, no simple fraction of it, keeps
      // those of a regular mesh away from where boxes meet.
      const auto lowest = std::get<0>(points.min(1, true));
      const auto size   = (points - lowest).max();
      const auto key    = [&](const torch::Tensor &coordinates) {
        return ((coordinates - lowest) / size * 1e8 + 0.3819660113)
          .floor()
          .clamp(-1e12, 1e12)
          .to(torch::kInt64)
          .t()
          .contiguous();
      };
      const auto numbers_of = [](const torch::Tensor &keys, const long i) {
        const auto *row = keys.data_ptr<std::int64_t>() + i * keys.size(1);
        return std::vector<std::int64_t>(row, row + keys.size(1));
      };
      const auto point_keys = key(points), image_keys = key(images);
      std::map<std::vector<std::int64_t>, long> numbers;
      for (long i = 0; i < points.size(1); ++i)
        numbers[numbers_of(point_keys, i)] = i;
      if (long(numbers.size()) != points.size(1))
        throw FileError(file,
                        "several of its values belong to the same point, so "
                        "that a symmetry says too little of them");
      auto  result = torch::empty({points.size(1)}, torch::kInt64);
      auto *index  = result.data_ptr<std::int64_t>();
      for (long i = 0; i < points.size(1); ++i)
        {
          const auto found = numbers.find(numbers_of(image_keys, i));
          if (found == numbers.end())
            fail();
          index[i] = found->second;
        }
      if (!is_permutation(result))
        fail();
      return result;
    }



    /**
     * The space that @p file describes.
     * @param has_time whether there is another parameter, the time.
     * @throw std::exception of LibTorch where sizes do not fit.
     */
    FieldSpace
    assemble_space(const HDF5File &file,
                   const long      n_values,
                   const bool      has_time)
    {
      const auto reals = [&](const std::string &name) {
        return torch::tensor(file.read<double>(name), torch::kFloat64);
      };
      const auto integers = [&](const std::string &name) {
        return torch::tensor(file.read<std::int64_t>(name), torch::kInt64);
      };

      FieldSpace space;
      const auto values = reals("mass_values");
      const auto indices =
        torch::stack({integers("mass_rows"), integers("mass_columns")});
      // LibTorch from 2.0 on believes what it is given here.
      if (indices.size(1) != values.numel())
        throw FileError(file.name(),
                        fmt::format("its mass matrix has {} values at {} "
                                    "places",
                                    values.numel(),
                                    indices.size(1)));
      if (((indices < 0) | (indices >= n_values)).any().item<bool>())
        throw FileError(file.name(),
                        fmt::format("an entry of its mass matrix is outside "
                                    "of its {} rows and columns",
                                    n_values));
      space.mass =
        torch::sparse_coo_tensor(indices, values, {n_values, n_values})
          .coalesce();
      if (!torch::isfinite(values).all().item<bool>())
        throw FileError(file.name(),
                        "an entry of its mass matrix is no finite number");

      const auto points   = reals("points").reshape({-1, n_values});
      const long dim      = points.size(0);
      space.points        = points.t().contiguous();
      const auto matrices = reals("symmetry_matrices").reshape({-1, dim, dim});
      const long n        = matrices.size(0);
      const auto offsets  = reals("symmetry_offsets").reshape({n, dim, 1});
      const auto found    = integers("symmetry_parameters");
      auto parameters     = found.reshape({n, found.numel() / std::max(n, 1l)});
      // Time is the same for all of them.
      if (has_time)
        parameters =
          torch::cat({parameters,
                      torch::full({n, 1}, parameters.size(1), torch::kInt64)},
                     1);
      for (long g = 0; g < n; ++g)
        {
          const auto permutation = parameters[g].contiguous();
          if (!is_permutation(permutation))
            throw FileError(file.name(),
                            "the parameters of a symmetry are no permutation");
          space.symmetries.push_back(
            {permutation,
             g == 0 ? torch::arange(n_values) :
                      match_points(points,
                                   torch::mm(matrices[g], points) + offsets[g],
                                   file.name())});
        }
      return space;
    }
  } // namespace



  SnapshotReader::SnapshotReader(const std::string &folder_,
                                 const std::string &problem)
    : folder(folder_)
    , problem_hash(problem)
  {
    namespace fs = std::filesystem;
    if (fs::is_regular_file(folder_))
      {
        files  = {folder_};
        folder = fs::path(folder_).parent_path().string();
        if (folder.empty())
          folder = ".";
      }
    else if (!fs::is_directory(folder))
      throw FileError(folder, "there is no such folder of snapshots");
    else
      for (const auto &entry : fs::directory_iterator(folder))
        {
          const auto name = entry.path().filename().string();
          if (name.rfind("batch-", 0) == 0 && entry.path().extension() == ".h5")
            files.push_back(entry.path().string());
          else if (is_trajectory(name))
            trajectory_files.push_back(entry.path().string() +
                                       "/trajectory.h5");
        }
    std::sort(files.begin(), files.end());
    std::sort(trajectory_files.begin(), trajectory_files.end());

    auto all_files = files;
    all_files.insert(all_files.end(),
                     trajectory_files.begin(),
                     trajectory_files.end());
    long n_parameters = -1;
    for (const auto &name : all_files)
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
        if (n_parameters < 0)
          n_parameters = shape[1];
        if (long(shape[1]) != n_parameters)
          throw FileError(name,
                          fmt::format("its data set 'parameters' has {} "
                                      "columns; valid is {}, as in other files",
                                      shape[1],
                                      n_parameters));

        const long number = ids.empty() ? 0 : ids[0] / campaign_size;
        const auto text   = [&](const std::string &attribute) {
          return file.has_attribute(attribute) ?
                     file.read_attribute(attribute) :
                     std::string();
        };
        const CampaignDescription campaign{number,
                                           text("campaign"),
                                           text("design"),
                                           text("seed")};
        const auto                same = std::find_if(all_campaigns.begin(),
                                       all_campaigns.end(),
                                       [&](const CampaignDescription &other) {
                                         return other.number == number;
                                       });
        if (same == all_campaigns.end())
          all_campaigns.push_back(campaign);
        else if (same->name != campaign.name)
          throw FileError(name,
                          fmt::format("its samples are of campaign {} by "
                                      "number, which is '{}', and of '{}' by "
                                      "name",
                                      number,
                                      same->name,
                                      campaign.name));
        for (const long id : ids)
          if (id < 0 || id / campaign_size != number)
            throw FileError(name, "its samples are of several campaigns");

        std::vector<std::string> statistic_names;
        std::vector<double>      statistics;
        if (file.has("statistics"))
          {
            statistic_names = file.read_annotation("statistics", "names");
            statistics      = file.read<double>("statistics");
            if (statistics.size() != ids.size() * statistic_names.size())
              throw FileError(name, "its data sets disagree in size");
          }
        const auto iterations = file.has("iterations") ?
                                  file.read<std::int64_t>("iterations") :
                                  std::vector<std::int64_t>(ids.size(), 0);
        if (iterations.size() != ids.size())
          throw FileError(name, "its data sets disagree in size");
        for (std::size_t row = 0; row < ids.size(); ++row)
          {
            all_records.push_back(
              {ids[row],
               std::vector<double>(values.begin() + row * shape[1],
                                   values.begin() + (row + 1) * shape[1]),
               status[row] != 2,
               seconds[row],
               iterations[row],
               {}});
            for (std::size_t k = 0; k < statistic_names.size(); ++k)
              all_records.back().statistics[statistic_names[k]] =
                statistics[row * statistic_names.size() + k];
          }
        const bool is_sequence = file.has("steps");
        for (std::size_t row = 0; row < ids.size(); ++row)
          if (status[row] == 2)
            failed.emplace_back(ids[row], reasons[row]);
          else if (is_sequence)
            {
              const auto n      = file.read<std::int64_t>("steps");
              const auto a_file = file.read<std::int64_t>("steps_a_file");
              if (n.size() != 1 || a_file.size() != 1 || ids.size() != 1 ||
                  n[0] < 0 || n[0] > max_steps || a_file[0] < 1)
                throw FileError(name, "its data sets disagree in size");
              all_trajectories.push_back({ids[0],
                                          fs::path(name).parent_path().string(),
                                          n[0],
                                          a_file[0],
                                          seconds[0],
                                          values});
              for (long first = 0; first < n[0]; first += a_file[0])
                if (const auto part = place_of(all_trajectories.back(), first);
                    !fs::exists(part.file))
                  throw FileError(part.file,
                                  "there is no such file, although the "
                                  "trajectory has steps in it");
            }
          else
            {
              samples.push_back(
                {ids[row],
                 name,
                 long(row),
                 seconds[row],
                 std::vector<double>(values.begin() + row * shape[1],
                                     values.begin() + (row + 1) * shape[1]),
                 {},
                 false,
                 {}});
              for (std::size_t k = 0; k < statistic_names.size(); ++k)
                samples.back().statistics[statistic_names[k]] =
                  statistics[row * statistic_names.size() + k];
            }
      }
    std::sort(all_campaigns.begin(),
              all_campaigns.end(),
              [](const auto &a, const auto &b) { return a.number < b.number; });
    const auto by_id = [](const auto &a, const auto &b) { return a.id < b.id; };
    std::sort(samples.begin(), samples.end(), by_id);
    std::sort(all_records.begin(), all_records.end(), by_id);
    std::sort(all_trajectories.begin(), all_trajectories.end(), by_id);
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
    : trajectory_files(other.trajectory_files)
    , all_trajectories(other.all_trajectories)
    , has_time(other.has_time)
    , default_prior(other.default_prior)
    , folder(other.folder)
    , files(other.files)
    , problem_hash(other.problem_hash)
    , failed(other.failed)
    , all_campaigns(other.all_campaigns)
    , all_records(other.all_records)
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
    const long n                       = end - begin;
    result.parameters                  = parameters().slice(0, begin, end);
    long                      n_values = -1;
    std::string               open_name;
    std::unique_ptr<HDF5File> file;
    for (long i = 0; i < n; ++i)
      {
        const auto &sample = samples[begin + i];
        for (const double value : sample.parameters)
          if (!std::isfinite(value))
            throw FileError(sample.file,
                            fmt::format("the parameters of sample {} have a "
                                        "{} among them; valid is a finite "
                                        "number",
                                        sample.id,
                                        value));
        // The solution of a step is read first: its prior may be zero, of the
        // same size.
        for (const bool prior : {!sample.is_step, sample.is_step})
          {
            const std::string name =
              prior && !sample.is_step ? "prior" : "solution";
            const Place place = prior && sample.is_step ?
                                  sample.prior :
                                  Place{sample.file, sample.row};
            auto       &field = prior ? result.prior : result.solution;
            if (place.file.empty())
              {
                if (!field.defined())
                  field = torch::zeros({n, n_values}, torch::kFloat64);
                continue;
              }
            if (place.file != open_name)
              {
                file      = std::make_unique<HDF5File>(place.file);
                open_name = place.file;
              }
            const auto shape = file->shape(name);
            if (shape.size() == 2 && n_values < 0)
              n_values = shape[1];
            if (shape.size() != 2 || long(shape[1]) != n_values)
              throw FileError(place.file,
                              "its data set '" + name +
                                "' is of another size than other fields");
            if (!field.defined())
              field = torch::zeros({n, n_values}, torch::kFloat64);
            auto row = field[i];
            file->read_block(
              name, place.row, 1, 0, shape[1], row.data_ptr<double>());
            if (!torch::isfinite(row).all().item<bool>())
              {
                const auto where =
                  torch::nonzero(torch::isfinite(row).logical_not())[0]
                    .item<std::int64_t>();
                throw FileError(
                  place.file,
                  fmt::format("the {} of sample {} is {} at value {}; valid "
                              "is a finite number",
                              prior ? "prior" : "solution",
                              sample.id,
                              row[where].item<double>(),
                              where));
              }
          }
      }
    if (default_prior != 0.)
      for (long i = 0; i < n; ++i)
        if (auto row = result.prior[i]; row.count_nonzero().item<long>() == 0)
          row.fill_(default_prior);
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



  long
  SnapshotReader::first_id(const std::string &name) const
  {
    for (const auto &campaign : all_campaigns)
      if (campaign.name == name)
        return campaign.number * campaign_size;
    return all_campaigns.empty() ?
             0 :
             (all_campaigns.back().number + 1) * campaign_size;
  }



  torch::Tensor
  SnapshotReader::statistics(const std::string &name) const
  {
    auto result = torch::full({size()},
                              std::numeric_limits<double>::quiet_NaN(),
                              torch::kFloat64);
    for (long i = 0; i < size(); ++i)
      {
        const auto found = samples[i].statistics.find(name);
        if (found != samples[i].statistics.end())
          result[i] = found->second;
      }
    return result;
  }



  std::vector<std::string>
  SnapshotReader::columns(const std::string &data_set,
                          const std::string &what) const
  {
    auto all_files = files;
    all_files.insert(all_files.end(),
                     trajectory_files.begin(),
                     trajectory_files.end());
    for (const auto &name : all_files)
      {
        const HDF5File file(name);
        if (file.has(data_set))
          {
            const auto found = file.read_annotation(data_set, what);
            if (!found.empty())
              return found;
          }
      }
    return {};
  }



  torch::Tensor
  SnapshotReader::seconds() const
  {
    auto result = torch::empty({size()}, torch::kFloat64);
    for (long i = 0; i < size(); ++i)
      result[i] = samples[i].seconds;
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
    const HDF5File file(space_file());
    const auto     found = file.read_attribute("problem");
    if (found != problem_hash && !problem_hash.empty())
      throw FileError(file.name(),
                      "its attribute 'problem' is " + found +
                        ", that of another problem; valid is " + problem_hash);
    const auto shape = file.shape("points");
    if (shape.size() != 2)
      throw FileError(file.name(), "its data set 'points' is no matrix");
    try
      {
        return assemble_space(file, shape[1], has_time);
      }
    catch (const FileError &)
      {
        throw;
      }
    catch (const std::exception &)
      {
        throw FileError(file.name(), "its data sets disagree in size");
      }
  }



  std::string
  SnapshotReader::batch_file(const std::string &folder, const long batch)
  {
    return fmt::format("{}/batch-{:06}.h5", folder, batch);
  }



  std::string
  SnapshotReader::trajectory_folder(const std::string &folder, const long id)
  {
    return fmt::format("{}/trajectory-{:06}", folder, id);
  }



  bool
  SnapshotReader::is_trajectory(const std::string &name)
  {
    const std::string start = "trajectory-";
    return name.rfind(start, 0) == 0 && name.size() > start.size() &&
           name.find_first_not_of("0123456789", start.size()) ==
             std::string::npos;
  }



  std::string
  SnapshotReader::steps_file(const std::string &folder, const long number)
  {
    return fmt::format("{}{}steps-{:06}.h5",
                       folder,
                       folder.empty() ? "" : "/",
                       number);
  }



  SnapshotReader::Place
  SnapshotReader::place_of(const Trajectory &trajectory, const long step)
  {
    return {steps_file(trajectory.folder, step / trajectory.steps_a_file),
            step % trajectory.steps_a_file};
  }



  const SnapshotReader::Trajectory &
  SnapshotReader::trajectory(const long id) const
  {
    const auto found =
      std::lower_bound(all_trajectories.begin(),
                       all_trajectories.end(),
                       id,
                       [](const auto &a, const long b) { return a.id < b; });
    if (found == all_trajectories.end() || found->id != id)
      throw FileError(folder, fmt::format("it has no trajectory {}", id));
    return *found;
  }



  std::vector<long>
  SnapshotReader::trajectory_ids() const
  {
    std::vector<long> result;
    for (const auto &trajectory : all_trajectories)
      result.push_back(trajectory.id);
    return result;
  }



  torch::Tensor
  SnapshotReader::trajectory_parameters(const long id) const
  {
    return torch::tensor(trajectory(id).parameters, torch::kFloat64);
  }



  torch::Tensor
  SnapshotReader::times(const long id) const
  {
    const auto         &found = trajectory(id);
    std::vector<double> result;
    for (long first = 0; first < found.n_steps; first += found.steps_a_file)
      {
        const HDF5File file(place_of(found, first).file);
        const auto     times = file.read<double>("time");
        if (long(times.size()) !=
            std::min(found.steps_a_file, found.n_steps - first))
          throw FileError(file.name(),
                          "its data sets disagree in size with the "
                          "trajectory's");
        result.insert(result.end(), times.begin(), times.end());
      }
    for (std::size_t k = 0; k < result.size(); ++k)
      if (!std::isfinite(result[k]) || (k > 0 && result[k] <= result[k - 1]))
        throw FileError(found.folder,
                        fmt::format("the time of step {} is {}; valid is a "
                                    "number beyond those before",
                                    k,
                                    result[k]));
    return torch::tensor(result, torch::kFloat64);
  }



  torch::Tensor
  SnapshotReader::read_steps(const long id,
                             const long begin,
                             const long end) const
  {
    const auto &found = trajectory(id);
    if (begin < 0 || begin >= end || end > found.n_steps)
      throw InputError("the program",
                       "the range of steps of a trajectory",
                       fmt::format("{}, …, {}", begin, end - 1),
                       fmt::format("one within 0, …, {}", found.n_steps - 1));
    // As samples of which nobody asks the parameters.
    SnapshotReader steps(*this, {});
    for (long k = begin; k < end; ++k)
      {
        const auto place = place_of(found, k);
        steps.samples.push_back(
          {id * max_steps + k, place.file, place.row, 0., {}, {}, true, {}});
      }
    return steps.read(0, end - begin).solution;
  }



  SnapshotReader
  SnapshotReader::trajectories(const TrajectoryView view) const
  {
    SnapshotReader result(*this, {});
    result.has_time   = true;
    const bool pairs  = view == TrajectoryView::pairs;
    double     length = 0.;
    for (const auto &trajectory : all_trajectories)
      {
        const auto    all_times = times(trajectory.id);
        const double *time      = all_times.data_ptr<double>();
        for (long k = pairs ? 1 : 0; k < trajectory.n_steps; ++k)
          {
            if (pairs)
              {
                const double found = time[k] - time[k - 1];
                if (length == 0.)
                  length = found;
                // Times are sums, and have their rounding.
                if (std::abs(found - length) > 1e-6 * length)
                  throw FileError(
                    trajectory.folder,
                    fmt::format("its step {} has the length {:g}; pairs of "
                                "states are to be learned from where all "
                                "steps are as long as the first one, {:g}",
                                k,
                                found,
                                length));
              }
            const auto place      = place_of(trajectory, k);
            auto       parameters = trajectory.parameters;
            parameters.push_back(time[k]);
            result.samples.push_back(
              {trajectory.id * max_steps + k,
               place.file,
               place.row,
               trajectory.seconds / trajectory.n_steps,
               parameters,
               {},
               true,
               pairs ? place_of(trajectory, k - 1) : Place()});
          }
      }
    return result;
  }



  SnapshotReader
  SnapshotReader::with_prior(const double value) const
  {
    SnapshotReader result(*this);
    result.default_prior = value;
    return result;
  }



  std::string
  summarize_failures(const std::vector<std::pair<long, std::string>> &failures)
  {
    struct Kind
    {
      long        n = 0;
      long        first;
      std::string reason;
    };
    const std::regex            number("[-+]?[0-9][0-9.]*([eE][-+]?[0-9]+)?");
    std::map<std::string, Kind> by_words;
    for (const auto &[id, reason] : failures)
      {
        auto &kind = by_words[std::regex_replace(reason, number, "#")];
        if (kind.n == 0 || id < kind.first)
          {
            kind.first  = id;
            kind.reason = reason;
          }
        ++kind.n;
      }
    std::vector<Kind> kinds;
    for (const auto &entry : by_words)
      kinds.push_back(entry.second);
    std::sort(kinds.begin(), kinds.end(), [](const Kind &a, const Kind &b) {
      return a.n != b.n ? a.n > b.n : a.first < b.first;
    });
    std::string result;
    for (const auto &kind : kinds)
      result += fmt::format("    {} × (first: sample {}) {}\n",
                            kind.n,
                            kind.first,
                            printable(kind.reason, 300));
    return result;
  }
} // namespace neuraldeal
