// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/parallel_file.h>
#include <neuraldeal/coupling/snapshot_writer.h>
#include <neuraldeal/surrogates/snapshot_reader.h>
#include <torch/version.h>

#include <filesystem>
#include <map>

namespace neuraldeal
{
  SnapshotWriter::SnapshotWriter(const std::string      &folder,
                                 const FieldLayout      &layout,
                                 const std::string      &problem,
                                 const std::string      &provenance,
                                 const StoreDescription &description)
    : folder(folder)
    , layout(layout)
    , problem(problem)
    , provenance(provenance)
    , description(description)
  {}



  void
  SnapshotWriter::write(const std::vector<SnapshotRecord> &records) const
  {
    const hsize_t       n       = records.size();
    const hsize_t       n_local = layout.n_local_values();
    std::vector<double> prior, solution;
    for (const auto &record : records)
      {
        const auto append = [&](std::vector<double> &to,
                                const torch::Tensor &values) {
          const auto from = values.contiguous();
          to.insert(to.end(),
                    from.data_ptr<double>(),
                    from.data_ptr<double>() + from.numel());
        };
        append(prior, record.prior);
        append(solution, record.solution);
      }

    write_parallel_file(
      SnapshotReader::batch_file(folder, records[0].id),
      layout.communicator(),
      [&](HDF5File &file) {
        const hsize_t n_values = layout.n_values();
        write_header(file, "neural.deal snapshots 1", records);
        file.write("prior",
                   {n, n_values},
                   prior.data(),
                   layout.first_value(),
                   n_local,
                   "coarse solutions on the fine mesh, values in the order of "
                   "space.h5, units of the host");
        file.write("solution",
                   {n, n_values},
                   solution.data(),
                   layout.first_value(),
                   n_local,
                   "solutions, values in the order of space.h5, units of the "
                   "host");
        for (const std::string name : {"prior", "solution"})
          annotate_fields(file, name);
      });
  }



  void
  SnapshotWriter::write_header(HDF5File                          &file,
                               const std::string                 &format,
                               const std::vector<SnapshotRecord> &records) const
  {
    const hsize_t             n            = records.size();
    const hsize_t             n_parameters = records.at(0).parameters.size();
    const hsize_t             n_statistics = description.statistic_names.size();
    std::vector<std::int64_t> ids, status, iterations, campaigns;
    std::vector<double>       parameters, seconds, statistics;
    std::vector<std::string>  reasons;
    for (const auto &record : records)
      {
        ids.push_back(record.id);
        campaigns.push_back(record.id / SnapshotReader::campaign_size);
        AssertDimension(record.statistics.size(), n_statistics);
        statistics.insert(statistics.end(),
                          record.statistics.begin(),
                          record.statistics.end());
        status.push_back(static_cast<std::int64_t>(record.status));
        iterations.push_back(record.iterations);
        seconds.push_back(record.seconds);
        reasons.push_back(record.reason);
        parameters.insert(parameters.end(),
                          record.parameters.begin(),
                          record.parameters.end());
      }

    file.write_attribute("format", format);
    file.write_attribute("problem", problem);
    file.write_attribute("provenance", provenance);
    file.write_attribute("campaign", description.campaign);
    file.write_attribute("design", description.design);
    file.write_attribute("seed", description.seed);
    file.write_attribute("parameter file", description.parameter_file);
    file.write_attribute("versions",
                         fmt::format("neural.deal {}, deal.II {}, LibTorch "
                                     "{}, HDF5 {}.{}.{}",
                                     NEURALDEAL_VERSION,
                                     DEAL_II_PACKAGE_VERSION,
                                     TORCH_VERSION,
                                     H5_VERS_MAJOR,
                                     H5_VERS_MINOR,
                                     H5_VERS_RELEASE));
    file.write("sample", ids, "global number of each sample");
    file.write("campaign",
               campaigns,
               "number of the campaign that each sample belongs to");
    file.write("status",
               status,
               "0: the host's solver, 1: its fallback, 2: failed");
    file.write_strings("reason",
                       reasons,
                       "why it has failed or the fallback was needed");
    file.write("seconds", seconds, "wall time of the solve in seconds");
    file.write("iterations", iterations, "iterations of the solver");
    file.write("parameters",
               {n, n_parameters},
               parameters.data(),
               0,
               n_parameters,
               "the inputs; names in space.h5, units of the host");
    file.write_annotation("parameters", "names", description.parameter_names);
    file.write_annotation("parameters", "units", description.parameter_units);
    if (n_statistics > 0)
      {
        file.write("statistics",
                   {n, n_statistics},
                   statistics.data(),
                   0,
                   n_statistics,
                   "what the host tells of each solve; not a number where "
                   "it has failed");
        file.write_annotation("statistics",
                              "names",
                              description.statistic_names);
      }
  }



  void
  SnapshotWriter::annotate_fields(HDF5File          &file,
                                  const std::string &data_set) const
  {
    file.write_annotation(data_set, "names", description.field_names);
    file.write_annotation(data_set, "units", description.field_units);
  }



  void
  SnapshotWriter::write_index() const
  {
    namespace fs = std::filesystem;
    // The name of each link, and the file that it leads to.
    std::map<std::string, std::string> links;
    for (const auto &entry : fs::directory_iterator(folder))
      {
        const auto &path = entry.path();
        const auto  name = path.filename().string();
        if (path.extension() == ".h5" && name != "index.h5")
          links[path.stem().string()] = name;
        else if (SnapshotReader::is_trajectory(name))
          links[name] = name + "/trajectory.h5";
      }
    write_parallel_file(folder + "/index.h5",
                        MPI_COMM_SELF,
                        [&](HDF5File &file) {
                          file.write_attribute("format", "neural.deal index 1");
                          file.write_attribute("problem", problem);
                          for (const auto &[name, target] : links)
                            file.link(name, target);
                        });
  }
} // namespace neuraldeal
