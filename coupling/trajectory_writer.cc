// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>

#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/parallel_file.h>
#include <neuraldeal/coupling/trajectory_writer.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <cmath>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <type_traits>

namespace neuraldeal
{
  namespace fs = std::filesystem;

  template <typename VectorType>
  torch::Tensor
  field_values(const FieldLayout &layout, const VectorType &field)
  {
    const long n = field.locally_owned_elements().n_elements();
    if (n != layout.n_local_values())
      throw InputError("the program",
                       "the number of a field's values on a rank",
                       std::to_string(n),
                       std::to_string(layout.n_local_values()) +
                         ", that of the mesh whose fields are stored; where "
                         "the mesh changes, fields have to be transferred to "
                         "one that does not");
    torch::Tensor result;
    if constexpr (std::is_same_v<VectorType,
                                 dealii::TrilinosWrappers::MPI::Vector>)
      if (field.has_ghost_elements())
        {
          VectorType owned(field.locally_owned_elements(),
                           layout.communicator());
          owned  = field;
          result = layout.to_tensor(owned);
        }
    if (!result.defined())
      result = layout.to_tensor(field);
    if (!torch::isfinite(result).all().template item<bool>())
      throw InputError("the program",
                       "a value of a field",
                       "not finite",
                       "a finite number");
    return result;
  }



  TrajectoryWriter::TrajectoryWriter(const SnapshotWriter &store,
                                     const long            id,
                                     const unsigned int    steps_in_memory)
    : store(store)
    , id(id)
    , steps_in_memory(steps_in_memory)
    , name(SnapshotReader::trajectory_folder(store.folder, id))
    , temporary(name + ".tmp")
  {
    AssertThrow(steps_in_memory > 0,
                dealii::ExcMessage("A trajectory is written in files of at "
                                   "least one step each."));
    together([&]() {
      if (dealii::Utilities::MPI::this_mpi_process(
            store.layout.communicator()) > 0)
        return;
      std::error_code error;
      if (fs::exists(name, error))
        throw FileError(name, "there is a trajectory of this name already");
      // What a kill may have left.
      fs::remove_all(temporary, error);
      fs::create_directories(temporary, error);
      if (error)
        throw FileError(temporary,
                        "the folder of a trajectory cannot be made: " +
                          error.message());
    });
    is_open = true;
  }



  TrajectoryWriter::~TrajectoryWriter()
  {
    // Nothing collective: this may be the only rank that comes here.
    std::error_code ignored;
    if (is_open && dealii::Utilities::MPI::this_mpi_process(
                     store.layout.communicator()) == 0)
      fs::remove_all(temporary, ignored);
  }



  void
  TrajectoryWriter::together(const std::function<void()> &work) const
  {
    Attempt(work).throw_together(mpi_communicator(store.layout.communicator()));
  }



  template <typename VectorType>
  void
  TrajectoryWriter::step(const double time, const VectorType &field)
  {
    AssertThrow(is_open, dealii::ExcMessage("The trajectory is finished."));
    torch::Tensor local;
    together([&]() {
      local = field_values(store.layout, field);
      if (!std::isfinite(time) || time <= last_time)
        throw InputError("the program",
                         "the time of a step",
                         fmt::format("{}", time),
                         n_steps() == 0 ?
                           "a finite number" :
                           fmt::format("a number beyond {}, that of the step "
                                       "before",
                                       last_time));
      if (n_steps() == SnapshotReader::max_steps)
        throw InputError("the program",
                         "the number of steps of a trajectory",
                         std::to_string(n_steps() + 1),
                         fmt::format("at most {}", SnapshotReader::max_steps));
    });
    // All memory at once, so that it is the same from here on.
    times.reserve(steps_in_memory);
    values.reserve(steps_in_memory * local.numel());
    last_time = time;
    times.push_back(time);
    values.insert(values.end(),
                  local.data_ptr<double>(),
                  local.data_ptr<double>() + local.numel());
    if (times.size() == steps_in_memory)
      flush();
  }



  void
  TrajectoryWriter::flush()
  {
    if (times.empty())
      return;
    try
      {
        write_parallel_file(
          SnapshotReader::steps_file(temporary, n_written / steps_in_memory),
          store.layout.communicator(),
          [&](HDF5File &file) {
            const hsize_t n_values = store.layout.n_values();
            file.write_attribute("format", "neural.deal steps 1");
            file.write_attribute("problem", store.problem);
            file.write("time", times, "times, units of the host");
            file.write("solution",
                       {times.size(), n_values},
                       values.data(),
                       store.layout.first_value(),
                       store.layout.n_local_values(),
                       "solutions at these times, values in the order of "
                       "space.h5, units of the host");
            store.annotate_fields(file, "solution");
          });
      }
    catch (const std::exception &exception)
      {
        failure_to_write = exception.what();
        throw;
      }
    n_written += times.size();
    times.clear();
    values.clear();
  }



  void
  TrajectoryWriter::finish(const SnapshotRecord &record)
  {
    AssertThrow(is_open, dealii::ExcMessage("The trajectory is finished."));
    AssertDimension(record.id, id);
    const bool failed = record.status == SnapshotRecord::Status::failed;
    if (!failed)
      flush();
    together([&]() {
      if (dealii::Utilities::MPI::this_mpi_process(
            store.layout.communicator()) > 0)
        return;
      if (failed)
        for (const auto &entry : fs::directory_iterator(temporary))
          fs::remove_all(entry.path());
      write_parallel_file(
        temporary + "/trajectory.h5", MPI_COMM_SELF, [&](HDF5File &file) {
          store.write_header(file, "neural.deal trajectory 1", {record});
          const hsize_t n = failed ? 0 : n_steps();
          file.write("steps",
                     std::vector<std::int64_t>{std::int64_t(n)},
                     "number of steps");
          file.write("steps_a_file",
                     std::vector<std::int64_t>{steps_in_memory},
                     "of these, how many each file steps-*.h5 has but the "
                     "last one");
          if (n == 0)
            return;
          std::vector<std::pair<std::string, hsize_t>> parts;
          for (hsize_t first = 0; first < n; first += steps_in_memory)
            parts.emplace_back(
              SnapshotReader::steps_file("", first / steps_in_memory),
              std::min<hsize_t>(steps_in_memory, n - first));
          file.write_virtual("time",
                             {n},
                             parts,
                             "times, units of the host; the numbers are in "
                             "the files steps-*.h5");
          file.write_virtual("solution",
                             {n, hsize_t(store.layout.n_values())},
                             parts,
                             "solutions at these times, values in the order "
                             "of space.h5, units of the host; the numbers are "
                             "in the files steps-*.h5");
          store.annotate_fields(file, "solution");
        });
      publish_file(temporary, name);
    });
    is_open = false;
    times   = std::vector<double>();
    values  = std::vector<double>();
  }



#define NEURALDEAL_INSTANTIATE_VECTOR(VectorType)          \
  template torch::Tensor field_values(const FieldLayout &, \
                                      const VectorType &); \
  template void TrajectoryWriter::step(const double, const VectorType &);

  NEURALDEAL_INSTANTIATE_VECTOR(dealii::Vector<double>)
  NEURALDEAL_INSTANTIATE_VECTOR(
    dealii::LinearAlgebra::distributed::Vector<double>)
  NEURALDEAL_INSTANTIATE_VECTOR(dealii::TrilinosWrappers::MPI::Vector)
  NEURALDEAL_INSTANTIATE_VECTOR(dealii::PETScWrappers::MPI::Vector)
} // namespace neuraldeal
