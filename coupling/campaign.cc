// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>
#include <deal.II/base/timer.h>

#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/campaign.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/progress.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <filesystem>
#include <limits>
#include <set>
#include <stdexcept>

namespace neuraldeal
{
  template <typename VectorType>
  Campaign<VectorType>::Campaign(const FullOrderModel<VectorType> &model,
                                 const FieldLayout                &layout,
                                 const ProcessGroups              &groups,
                                 const AdditionalData             &data)
    : model(model)
    , layout(layout)
    , groups(groups)
    , data(data)
  {}



  template <typename VectorType>
  SnapshotRecord
  Campaign<VectorType>::solve(const long id, const Input &input) const
  {
    SnapshotRecord record;
    record.id         = id;
    record.parameters = input;
    VectorType solution;
    model.reinit_vector(solution);

    record.prior = torch::zeros({layout.n_local_values()}, torch::kFloat64);
    if (model.coarse_solve)
      {
        record.reason = groups.try_on_group([&]() {
          model.coarse_solve(input, solution);
          record.prior = layout.to_tensor(solution);
          if (!torch::isfinite(record.prior).all().template item<bool>())
            throw std::runtime_error("the coarse solution is not finite");
        });
        if (!record.reason.empty())
          {
            record.status = SnapshotRecord::Status::failed;
            record.prior  = torch::zeros_like(record.prior);
          }
      }

    const auto attempt = [&](const auto &solver) {
      return groups.try_on_group([&]() {
        solution          = 0.;
        record.iterations = solver(input, solution);
        if (model.statistics)
          record.statistics = model.statistics();
        if (record.statistics.size() != model.statistic_names.size())
          throw std::runtime_error(
            fmt::format("the host tells {} statistics and names {}",
                        record.statistics.size(),
                        model.statistic_names.size()));
        record.solution = layout.to_tensor(solution);
        if (!torch::isfinite(record.solution).all().template item<bool>())
          throw std::runtime_error("the solution is not finite");
      });
    };
    const dealii::Timer timer;
    if (record.status != SnapshotRecord::Status::failed)
      {
        record.reason = attempt(model.solve);
        if (!record.reason.empty())
          {
            record.status = SnapshotRecord::Status::failed;
            if (model.fallback_solve)
              {
                const auto again = attempt(model.fallback_solve);
                if (again.empty())
                  record.status = SnapshotRecord::Status::fallback;
                else
                  record.reason += "; the fallback: " + again;
              }
          }
      }
    record.seconds = timer.wall_time();
    if (record.status == SnapshotRecord::Status::failed)
      {
        record.solution =
          torch::zeros({layout.n_local_values()}, torch::kFloat64);
        record.statistics.assign(model.statistic_names.size(),
                                 std::numeric_limits<double>::quiet_NaN());
      }
    // All ranks of the group write the same.
    MPI_Bcast(record.statistics.data(),
              record.statistics.size(),
              MPI_DOUBLE,
              0,
              groups.group());
    return record;
  }



  template <typename VectorType>
  unsigned int
  Campaign<VectorType>::run(
    const unsigned int                      n_samples,
    const std::function<Input(const long)> &input,
    const std::string                      &problem,
    const std::vector<std::string>         &parameter_names) const
  {
    namespace fs = std::filesystem;
    std::string failure;
    if (groups.is_root())
      try
        {
          fs::create_directories(data.folder);
          // Halves of files that a kill has left.
          for (const auto &entry : fs::directory_iterator(data.folder))
            if (entry.path().extension() == ".tmp")
              fs::remove(entry.path());
        }
      catch (const fs::filesystem_error &error)
        {
          failure = data.folder +
                    ": the folder of snapshots cannot be written: " +
                    error.code().message() + ".";
        }
    failure = first_message(failure, groups.world);
    if (!failure.empty())
      throw std::runtime_error(failure);

    const auto check_failures = [&](const unsigned int n_failed,
                                    const std::string &reason) {
      if (n_failed > data.max_failures * n_samples)
        throw InputError("the campaign in " + data.folder,
                         "the number of failed solves",
                         std::to_string(n_failed),
                         fmt::format("at most {} of {} (one of them said: {})",
                                     int(data.max_failures * n_samples),
                                     n_samples,
                                     reason));
    };
    // Of the samples in the store only those of this campaign count.
    std::int64_t first_id     = 0;
    const auto   own_failures = [&](const SnapshotReader &store) {
      std::vector<std::string> reasons;
      for (const auto &[id, reason] : store.failures())
        if (id >= first_id && id < first_id + SnapshotReader::campaign_size)
          reasons.push_back(reason);
      return reasons;
    };
    const auto check_store = [&](const SnapshotReader &store) {
      const auto reasons = own_failures(store);
      if (!reasons.empty())
        check_failures(reasons.size(), reasons.back());
    };

    // What is there has to belong to this problem.
    const std::string         space_file = data.folder + "/space.h5";
    bool                      has_space  = false;
    unsigned int              failures   = 0;
    std::vector<unsigned int> missing;
    groups.on_root([&]() {
      const SnapshotReader store(data.folder, problem);
      has_space = fs::exists(space_file);
      if (has_space)
        {
          const auto found = HDF5File(space_file).read_attribute("problem");
          if (found != problem)
            throw FileError(space_file,
                            "its attribute 'problem' is " + found +
                              ", that of another problem; valid is " + problem);
        }
      first_id = store.first_id(data.description.campaign);
      check_store(store);
      failures = own_failures(store).size();
      std::set<long> there;
      for (const long id : store.ids())
        there.insert(id);
      for (const auto &failed : store.failures())
        there.insert(failed.first);
      for (unsigned int id = 0; id < n_samples; ++id)
        if (there.count(first_id + id) == 0)
          missing.push_back(id);
    });
    MPI_Bcast(&has_space, 1, MPI_CXX_BOOL, 0, groups.world);
    MPI_Bcast(&failures, 1, MPI_UNSIGNED, 0, groups.world);
    MPI_Bcast(&first_id, 1, MPI_INT64_T, 0, groups.world);
    missing = dealii::Utilities::MPI::broadcast(groups.world, missing);

    // One group writes what all snapshots share.
    const bool first_group =
      dealii::Utilities::MPI::this_mpi_process(groups.world) <
      dealii::Utilities::MPI::n_mpi_processes(groups.group());
    if (first_group && !has_space)
      try
        {
          layout.write(space_file, problem, parameter_names);
        }
      catch (const std::exception &exception)
        {
          failure = exception.what();
        }
    failure = first_message(failure, groups.world);
    if (!failure.empty())
      throw std::runtime_error(failure);

    const unsigned int                     n_there = n_samples - missing.size();
    std::vector<std::vector<unsigned int>> batches;
    std::vector<unsigned int> n_before(1, n_there); // those of each batch
    for (const auto id : missing)
      {
        if (batches.empty() ||
            batches.back().back() / data.batch_size != id / data.batch_size)
          batches.emplace_back();
        batches.back().push_back(id);
      }
    for (const auto &batch : batches)
      n_before.push_back(n_before.back() + batch.size());

    StoreDescription description = data.description;
    description.parameter_names  = parameter_names;
    description.statistic_names  = model.statistic_names;
    const SnapshotWriter writer(
      data.folder, layout, problem, data.provenance, description);
    unsigned int solves = 0;
    std::string  last_reason;
    Progress     progress("full solves", n_samples, groups.is_root());
    groups.distribute(
      batches.size(),
      [&](const unsigned int batch) {
        std::vector<SnapshotRecord> records;
        for (const auto id : batches[batch])
          {
            records.push_back(solve(first_id + id, input(id)));
            ++solves;
            if (records.back().status == SnapshotRecord::Status::failed)
              {
                ++failures;
                last_reason = records.back().reason;
              }
          }
        writer.write(records);
        // A group's own failures bound those of all from below.
        check_failures(failures, last_reason);
      },
      [&](const unsigned int handed_out) {
        if (!batches.empty())
          progress.update(n_before[handed_out]);
      });

    groups.on_root([&]() {
      writer.write_index();
      check_store(SnapshotReader(data.folder, problem));
    });

    const unsigned int mine = groups.is_group_root() ? solves : 0;
    return dealii::Utilities::MPI::sum(mine, groups.world);
  }



  template class Campaign<dealii::Vector<double>>;
  template class Campaign<dealii::LinearAlgebra::distributed::Vector<double>>;
  template class Campaign<dealii::TrilinosWrappers::MPI::Vector>;
  template class Campaign<dealii::PETScWrappers::MPI::Vector>;
} // namespace neuraldeal
