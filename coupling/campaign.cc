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
        });
        if (!record.reason.empty())
          record.status = SnapshotRecord::Status::failed;
      }

    const auto attempt = [&](const auto &solver) {
      return groups.try_on_group([&]() {
        solution          = 0.;
        record.iterations = solver(input, solution);
        record.solution   = layout.to_tensor(solution);
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
      record.solution =
        torch::zeros({layout.n_local_values()}, torch::kFloat64);
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

    const SnapshotWriter writer(data.folder, layout, problem, data.provenance);

    // One group writes what all snapshots share; reading the store checks
    // that what is there belongs to this problem.
    const std::string space_file = data.folder + "/space.h5";
    const bool        first_group =
      groups.n_groups() == 1 ||
      dealii::Utilities::MPI::this_mpi_process(groups.world) <
        dealii::Utilities::MPI::n_mpi_processes(groups.group());
    bool exists = fs::exists(space_file);
    MPI_Bcast(&exists, 1, MPI_CXX_BOOL, 0, groups.world);
    failure = "";
    if (first_group && !exists)
      try
        {
          layout.write(space_file, problem, parameter_names);
        }
      catch (const std::exception &exception)
        {
          failure = exception.what();
        }
    std::vector<unsigned int> missing;
    const unsigned int        n_batches =
      (n_samples + data.batch_size - 1) / data.batch_size;
    const auto failed_in_store = [&]() -> unsigned int {
      return SnapshotReader(data.folder, problem).failures().size();
    };
    if (groups.is_root() && failure.empty())
      try
        {
          failed_in_store();
          HDF5File file(space_file);
          if (file.read_attribute("problem") != problem)
            throw FileError(space_file,
                            "its attribute 'problem' is " +
                              file.read_attribute("problem") +
                              ", that of another problem; valid is " + problem);
          for (unsigned int batch = 0; batch < n_batches; ++batch)
            if (!fs::exists(SnapshotReader::batch_file(data.folder, batch)))
              missing.push_back(batch);
        }
      catch (const std::exception &exception)
        {
          failure = exception.what();
        }
    failure = first_message(failure, groups.world);
    if (!failure.empty())
      throw std::runtime_error(failure);
    missing = dealii::Utilities::MPI::broadcast(groups.world, missing);

    unsigned int solves = 0, failures = 0;
    Progress     progress("full solves", n_samples, groups.is_root());
    groups.distribute(
      missing.size(),
      [&](const unsigned int task) {
        const unsigned int          batch = missing[task];
        std::vector<SnapshotRecord> records;
        for (unsigned int id = batch * data.batch_size;
             id < std::min((batch + 1) * data.batch_size, n_samples);
             ++id)
          {
            records.push_back(solve(id, input(id)));
            ++solves;
            failures +=
              (records.back().status == SnapshotRecord::Status::failed);
          }
        writer.write(batch, records);
        // A group's own failures bound those of all from below.
        if (failures > data.max_failures * n_samples)
          throw InputError("the campaign in " + data.folder,
                           "the number of failed solves",
                           std::to_string(failures),
                           fmt::format("at most {} of {} (the last said: {})",
                                       int(data.max_failures * n_samples),
                                       n_samples,
                                       records.back().reason));
      },
      [&](const unsigned int handed_out) {
        if (!missing.empty())
          progress.update((n_batches - missing.size() + handed_out) *
                          data.batch_size);
      });

    if (groups.is_root())
      try
        {
          writer.write_index();
          if (failed_in_store() > data.max_failures * n_samples)
            throw InputError("the campaign in " + data.folder,
                             "the number of failed solves",
                             std::to_string(failed_in_store()),
                             fmt::format("at most {} of {}",
                                         int(data.max_failures * n_samples),
                                         n_samples));
        }
      catch (const std::exception &exception)
        {
          failure = exception.what();
        }
    failure = first_message(failure, groups.world);
    if (!failure.empty())
      throw std::runtime_error(failure);

    const unsigned int mine = groups.is_group_root() ? solves : 0;
    return dealii::Utilities::MPI::sum(mine, groups.world);
  }



  template class Campaign<dealii::Vector<double>>;
  template class Campaign<dealii::LinearAlgebra::distributed::Vector<double>>;
  template class Campaign<dealii::TrilinosWrappers::MPI::Vector>;
  template class Campaign<dealii::PETScWrappers::MPI::Vector>;
} // namespace neuraldeal
