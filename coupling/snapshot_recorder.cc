// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>
#include <deal.II/base/multithread_info.h>
#include <deal.II/base/timer.h>

#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <boost/signals2/connection.hpp>

#include <fmt/format.h>
#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/prolongation.h>
#include <neuraldeal/coupling/snapshot_recorder.h>
#include <neuraldeal/coupling/trajectory_writer.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/random.h>
#include <neuraldeal/surrogates/snapshot_reader.h>
#include <neuraldeal/surrogates/training_task.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>
#include <iostream>
#include <limits>
#include <set>
#include <type_traits>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    /** MPI for programs that have none, until they end. */
    void
    initialize_mpi()
    {
      int is_there = 0;
      MPI_Initialized(&is_there);
      if (is_there)
        return;
      static char                             name[]    = "a serial program";
      static char                            *names[]   = {name, nullptr};
      static char                           **arguments = names;
      static int                              n_names   = 1;
      static Utilities::MPI::MPI_InitFinalize mpi(n_names,
                                                  arguments,
                                                  MultithreadInfo::n_threads());
    }

    MPI_Comm
    communicator_with_mpi(const MPI_Comm communicator)
    {
      initialize_mpi();
      return communicator;
    }
  } // namespace



  class SnapshotRecorder::Implementation
  {
  public:
    template <int dim>
    Implementation(const std::string              &folder,
                   const DoFHandler<dim>          &dof_handler,
                   const std::vector<std::string> &parameter_names,
                   const AdditionalData           &data)
      : communicator(communicator_with_mpi(compat::communicator(dof_handler)))
      , folder(folder)
      , parameter_names(parameter_names)
      , data(data)
      , owned(dof_handler.locally_owned_dofs())
      , layout(dof_handler, no_constraints)
      , problem(hash_of_problem())
      , writer(folder + "/snapshots",
               layout,
               problem,
               data.provenance,
               describe())
    {
      change = dof_handler.get_triangulation().signals.any_change.connect(
        [this]() { mesh_has_changed = true; });
      if constexpr (dim == 2)
        own_2 = &dof_handler;
      else
        own_3 = &dof_handler;

      if (data.trajectories != "states" && data.trajectories != "pairs")
        throw InputError("the program",
                         "SnapshotRecorderData::trajectories",
                         data.trajectories,
                         "one of: states, pairs");
      if (!(data.held_out > 0. && data.held_out < 1.))
        throw InputError("the program",
                         "SnapshotRecorderData::held_out",
                         fmt::format("{}", data.held_out),
                         "a share between 0 and 1");
      if (data.steps_in_memory == 0)
        throw InputError("the program",
                         "SnapshotRecorderData::steps_in_memory",
                         "0",
                         "at least 1");
      open_store();
    }

    void
    check_parameters(const std::vector<double> &parameters) const
    {
      if (parameters.size() != parameter_names.size())
        throw InputError("the program",
                         "the number of recorded parameters",
                         std::to_string(parameters.size()),
                         fmt::format("{}, that of the names which the recorder "
                                     "was given",
                                     parameter_names.size()));
      for (const double value : parameters)
        if (!std::isfinite(value))
          throw InputError("the program",
                           "a recorded parameter",
                           fmt::format("{}", value),
                           "a finite number");
    }

    void
    check_mesh() const
    {
      if (mesh_has_changed)
        throw InputError(
          "the program",
          "the mesh of the recorded fields",
          "another one than before",
          "one that does not change (for a program whose mesh does, make the "
          "recorder with the DoFHandler of a mesh of its own, and tell it the "
          "one of the moment with each solution)");
    }

    /** @p field on the recorder's mesh. */
    template <int dim, typename VectorType>
    LinearAlgebra::distributed::Vector<double>
    transfer(const DoFHandler<dim> &dof_handler, const VectorType &field)
    {
      // Refused on all ranks alike.
      check_mesh();
      const DoFHandler<dim> *own = nullptr;
      if constexpr (dim == 2)
        own = own_2;
      else
        own = own_3;
      if (own == nullptr)
        throw InputError("the program",
                         "the dimension of a field's mesh",
                         std::to_string(dim),
                         "that of the recorder's");
      if (dof_handler.n_locally_owned_dofs() != dof_handler.n_dofs())
        throw InputError("the program",
                         "the mesh of a field that is to be transferred",
                         "distributed over several ranks",
                         "one that each rank has all of");
      if (field.size() != dof_handler.n_dofs())
        throw InputError("the program",
                         "the number of a field's values",
                         std::to_string(field.size()),
                         fmt::format("{}, as its DoFHandler has degrees of "
                                     "freedom",
                                     dof_handler.n_dofs()));
      auto &prolongation = [this]() -> auto &
      {
        if constexpr (dim == 2)
          return to_own_2;
        else
          return to_own_3;
      }
      ();
      // It is good for as long as nothing happens to the other mesh.
      if (!prolongation || source != &dof_handler ||
          source_size != dof_handler.n_dofs())
        {
          prolongation.reset();
          prolongation = std::make_unique<Prolongation<dim>>(dof_handler, *own);
          source       = &dof_handler;
          source_size  = dof_handler.n_dofs();
          source_change =
            dof_handler.get_triangulation().signals.any_change.connect(
              [this]() { source = nullptr; });
        }
      Vector<double> serial(field.size());
      for (types::global_dof_index i = 0; i < field.size(); ++i)
        serial(i) = field(i);
      LinearAlgebra::distributed::Vector<double> result(owned, communicator);
      prolongation->vmult(result, serial);
      return result;
    }

    template <typename VectorType>
    bool
    record(const std::vector<double> &parameters, const VectorType &solution)
    {
      SnapshotRecord record;
      together([&]() {
        check_parameters(parameters);
        check_mesh();
        record.solution = field_values(layout, solution);
      });
      const double seconds = timer.wall_time();
      timer.restart();
      if (known.count(parameters) > 0)
        return false;
      record.id         = next_id++;
      record.parameters = parameters;
      record.prior      = torch::zeros_like(record.solution);
      record.seconds    = Utilities::MPI::max(seconds, communicator);
      write_space();
      writer.write({record});
      known.insert(parameters);
      return true;
    }

    void
    begin(const std::vector<double> &new_parameters)
    {
      together([&]() { check_parameters(new_parameters); });
      if (is_open && new_parameters != parameters)
        end();
      trajectory.reset();
      is_open    = true;
      parameters = new_parameters;
      timer.restart();
    }

    template <typename VectorType>
    void
    step(const double time, const VectorType &solution)
    {
      together([&]() { check_mesh(); });
      if (!is_open)
        begin({});
      if (known.count(parameters) > 0)
        return;
      if (!trajectory)
        {
          write_space();
          if (trajectory_id < 0)
            trajectory_id = next_id++;
          trajectory = std::make_unique<TrajectoryWriter>(writer,
                                                          trajectory_id,
                                                          data.steps_in_memory);
        }
      trajectory->step(time, solution);
    }

    /** The trajectory that is open is whole. */
    void
    end()
    {
      is_open = false;
      if (!trajectory)
        return;
      SnapshotRecord record;
      record.id         = trajectory_id;
      record.parameters = parameters;
      record.seconds    = Utilities::MPI::max(timer.wall_time(), communicator);
      trajectory->finish(record);
      trajectory.reset();
      trajectory_id = -1;
      known.insert(parameters);
    }

    void
    finish()
    {
      if (is_open)
        end();
      together([&]() {
        if (Utilities::MPI::this_mpi_process(communicator) > 0 || known.empty())
          return;
        writer.write_index();
        write_training_task();
      });
    }

    const MPI_Comm                     communicator;
    const std::string                  folder;
    const std::vector<std::string>     parameter_names;
    const AdditionalData               data;
    const IndexSet                     owned;
    const AffineConstraints<double>    no_constraints;
    const FieldLayout                  layout;
    const std::string                  problem;
    const SnapshotWriter               writer;
    boost::signals2::scoped_connection change, source_change;
    bool                               mesh_has_changed = false;

    /** The recorder's space, and the way to it from that of the moment. */
    const DoFHandler<2>             *own_2 = nullptr;
    const DoFHandler<3>             *own_3 = nullptr;
    std::unique_ptr<Prolongation<2>> to_own_2;
    std::unique_ptr<Prolongation<3>> to_own_3;
    const void                      *source      = nullptr;
    types::global_dof_index          source_size = 0;

    bool                          has_space = false;
    long                          next_id   = 0;
    std::set<std::vector<double>> known; ///< parameters of what is stored

    /** Since the last sample, or since a trajectory has begun. */
    Timer               timer;
    bool                is_open = false;
    std::vector<double> parameters;
    long                trajectory_id = -1; ///< once it has a step
    std::unique_ptr<TrajectoryWriter> trajectory;

  private:
    void
    together(const std::function<void()> &work) const
    {
      Attempt(work).throw_together(mpi_communicator(communicator));
    }

    std::string
    hash_of_problem() const
    {
      std::uint64_t result = layout.hash();
      for (const auto &parameter : parameter_names)
        result = fnv1a(parameter.c_str(), parameter.size() + 1, result);
      return hexadecimal(result);
    }

    StoreDescription
    describe() const
    {
      StoreDescription result;
      result.campaign        = name;
      result.design          = "chosen by the program";
      result.parameter_names = parameter_names;
      result.parameter_units = data.parameter_units;
      result.field_names     = data.field_names;
      result.field_units     = data.field_units;
      return result;
    }

    /** What an earlier run has left. */
    void
    open_store()
    {
      namespace fs = std::filesystem;
      together([&]() {
        if (Utilities::MPI::this_mpi_process(communicator) > 0)
          return;
        std::error_code error;
        fs::create_directories(writer.folder, error);
        if (error)
          throw FileError(writer.folder,
                          "the folder of snapshots cannot be made: " +
                            error.message());
        for (const auto &entry : fs::directory_iterator(writer.folder))
          if (entry.path().extension() == ".tmp")
            fs::remove_all(entry.path());
        const SnapshotReader store(writer.folder, problem);
        const std::string    space_file = writer.folder + "/space.h5";
        has_space                       = fs::exists(space_file);
        if (has_space)
          if (const auto found = HDF5File(space_file).read_attribute("problem");
              found != problem)
            throw FileError(space_file,
                            "its attribute 'problem' is " + found +
                              ", that of another mesh, element or names of "
                              "parameters; valid is " +
                              problem);
        // The samples of this recorder, in whatever form, by id.
        const long first = store.first_id(name);
        next_id          = first;
        const auto ids   = store.ids();
        const auto rows  = store.parameters();
        const auto add   = [&](const long id, const torch::Tensor &row) {
          if (id / SnapshotReader::campaign_size !=
              first / SnapshotReader::campaign_size)
            return;
          next_id = std::max(next_id, id + 1);
          known.emplace(row.data_ptr<double>(),
                        row.data_ptr<double>() + row.numel());
        };
        for (long i = 0; i < store.size(); ++i)
          add(ids[i], rows[i]);
        for (const long id : store.trajectory_ids())
          add(id, store.trajectory_parameters(id));
      });
      std::vector<double> numbers = {double(has_space),
                                     double(next_id),
                                     double(known.size())};
      for (const auto &entry : known)
        numbers.insert(numbers.end(), entry.begin(), entry.end());
      numbers             = Utilities::MPI::broadcast(communicator, numbers);
      has_space           = numbers[0] != 0.;
      next_id             = std::lround(numbers[1]);
      const std::size_t d = parameter_names.size();
      for (long i = 0; i < std::lround(numbers[2]); ++i)
        known.emplace(numbers.begin() + 3 + i * d,
                      numbers.begin() + 3 + (i + 1) * d);
    }

    void
    write_space()
    {
      if (!has_space)
        layout.write(writer.folder + "/space.h5", problem, parameter_names);
      has_space = true;
    }

    /** `training.json`, on one rank. */
    void
    write_training_task() const
    {
      TrainingTask task;
      task.store   = writer.folder;
      task.design  = problem;
      task.model   = folder + "/model.safetensors";
      task.problem = problem;
      task.source  = "the program";
      // Snapshots where there are any; otherwise the steps of trajectories.
      const SnapshotReader all(writer.folder, problem);
      if (all.size() == 0)
        task.trajectories = data.trajectories;
      const bool           pairs        = task.trajectories == "pairs";
      const SnapshotReader store        = task.open_store();
      const auto           trajectories = all.trajectory_ids();
      const auto           ids          = store.ids();
      if (ids.size() < 3)
        return;
      // There are no coarse solutions, and most surrogates measure by them: a
      // power of ten as large as the solutions are.
      if (!pairs && data.surrogate != "neural operator")
        {
          const long n_looked_at = std::min<long>(ids.size(), 32);
          double     square      = 0.;
          for (long i = 0; i < n_looked_at; ++i)
            {
              const long sample = i * long(ids.size()) / n_looked_at;
              square += store.read(sample, sample + 1)
                          .solution.square()
                          .mean()
                          .item<double>() /
                        n_looked_at;
            }
          task.prior = square > 0. ?
                         std::pow(10., std::round(0.5 * std::log10(square))) :
                         1.;
        }

      register_surrogates();
      task.surrogate  = data.surrogate;
      task.parameters = complete_parameters(
        SurrogateRegistry::find(task.source,
                                "SnapshotRecorderData::surrogate",
                                data.surrogate)
          .parameters,
        task.parameters,
        task.source);

      // Which samples go together: those of a trajectory, where there are
      // several.
      const bool by_trajectory = all.size() == 0 && trajectories.size() > 2;
      const long n_parts = by_trajectory ? trajectories.size() : ids.size();
      const auto order =
        CounterRandom(data.seed, CounterRandom::Stream::splitting, 0)
          .permutation(n_parts);
      const long n_held_out =
        std::min(std::max(std::lround(data.held_out * n_parts), 1l),
                 n_parts - (by_trajectory ? 1 : 2));
      std::vector<bool> is_held_out(n_parts, false);
      for (long i = 0; i < n_held_out; ++i)
        is_held_out[order[i]] = true;
      for (std::size_t i = 0; i < ids.size(); ++i)
        {
          // Nor is there anything to measure by where a program begins with
          // zero.
          const bool is_first = !task.trajectories.empty() &&
                                ids[i] % SnapshotReader::max_steps == pairs;
          if (is_first)
            {
              const auto first = store.read(i, i + 1);
              if ((pairs ? first.prior : first.solution)
                    .count_nonzero()
                    .item<long>() == 0)
                continue;
            }
          const long part =
            by_trajectory ?
              std::lower_bound(trajectories.begin(),
                               trajectories.end(),
                               ids[i] / SnapshotReader::max_steps) -
                trajectories.begin() :
              i;
          (is_held_out[part] ? task.held_out_samples : task.training_samples)
            .push_back(ids[i]);
        }
      // Trajectories of a single step are a mistake of their own.
      if (task.training_samples.size() < 2 || task.held_out_samples.empty())
        return;

      auto names = parameter_names;
      if (!task.trajectories.empty())
        names.push_back("time");
      const auto parameters = store.parameters();
      if (names.empty())
        return;
      for (std::size_t k = 0; k < names.size(); ++k)
        {
          const auto column = parameters.select(1, k);
          InputRange range;
          range.name  = names[k];
          range.lower = column.min().item<double>();
          range.upper = column.max().item<double>();
          // One that never changes still needs an interval.
          if (range.lower == range.upper)
            {
              const double margin = 1e-3 * std::max(1., std::abs(range.lower));
              range.lower -= margin;
              range.upper += margin;
            }
          task.inputs.push_back(range);
        }
      task.training = task.hash(store);
      task.write(folder + "/training.json");
    }

    static constexpr const char *name = "recorded";
  };



  template <int dim>
  SnapshotRecorder::SnapshotRecorder(
    const std::string              &folder,
    const DoFHandler<dim>          &dof_handler,
    const std::vector<std::string> &parameter_names,
    const AdditionalData           &data)
    : implementation(std::make_unique<Implementation>(folder,
                                                      dof_handler,
                                                      parameter_names,
                                                      data))
    , n_exceptions(std::uncaught_exceptions())
  {}



  SnapshotRecorder::~SnapshotRecorder()
  {
    if (std::uncaught_exceptions() > n_exceptions)
      return;
    try
      {
        finish();
      }
    catch (const std::exception &exception)
      {
        if (Utilities::MPI::this_mpi_process(implementation->communicator) == 0)
          std::cerr << std::string("\nError: ") + exception.what() + "\n"
                    << std::flush;
      }
  }



  bool
  SnapshotRecorder::has(const std::vector<double> &parameters) const
  {
    return implementation->known.count(parameters) > 0;
  }



  template <typename VectorType>
  bool
  SnapshotRecorder::record(const std::vector<double> &parameters,
                           const VectorType          &solution)
  {
    return implementation->record(parameters, solution);
  }



  template <int dim, typename VectorType>
  bool
  SnapshotRecorder::record(const std::vector<double> &parameters,
                           const DoFHandler<dim>     &dof_handler,
                           const VectorType          &solution)
  {
    return implementation->record(parameters,
                                  implementation->transfer(dof_handler,
                                                           solution));
  }



  void
  SnapshotRecorder::begin(const std::vector<double> &parameters)
  {
    implementation->begin(parameters);
  }



  template <typename VectorType>
  void
  SnapshotRecorder::step(const double time, const VectorType &solution)
  {
    implementation->step(time, solution);
  }



  template <int dim, typename VectorType>
  void
  SnapshotRecorder::step(const double           time,
                         const DoFHandler<dim> &dof_handler,
                         const VectorType      &solution)
  {
    implementation->step(time, implementation->transfer(dof_handler, solution));
  }



  void
  SnapshotRecorder::finish()
  {
    implementation->finish();
  }



  std::size_t
  SnapshotRecorder::memory_consumption() const
  {
    return implementation->trajectory ?
             implementation->trajectory->memory_consumption() :
             0;
  }



#define NEURALDEAL_INSTANTIATE(dim, VectorType)                       \
  template bool SnapshotRecorder::record(const std::vector<double> &, \
                                         const DoFHandler<dim> &,     \
                                         const VectorType &);         \
  template void SnapshotRecorder::step(const double,                  \
                                       const DoFHandler<dim> &,       \
                                       const VectorType &);

#define NEURALDEAL_INSTANTIATE_VECTOR(VectorType)                         \
  template bool SnapshotRecorder::record(const std::vector<double> &,     \
                                         const VectorType &);             \
  template void SnapshotRecorder::step(const double, const VectorType &); \
  NEURALDEAL_INSTANTIATE(2, VectorType)                                   \
  NEURALDEAL_INSTANTIATE(3, VectorType)

  NEURALDEAL_INSTANTIATE_VECTOR(Vector<double>)
  NEURALDEAL_INSTANTIATE_VECTOR(LinearAlgebra::distributed::Vector<double>)
  NEURALDEAL_INSTANTIATE_VECTOR(TrilinosWrappers::MPI::Vector)
  NEURALDEAL_INSTANTIATE_VECTOR(PETScWrappers::MPI::Vector)

#define NEURALDEAL_INSTANTIATE_DIMENSION(dim)  \
  template SnapshotRecorder::SnapshotRecorder( \
    const std::string &,                       \
    const DoFHandler<dim> &,                   \
    const std::vector<std::string> &,          \
    const AdditionalData &);

  NEURALDEAL_INSTANTIATE_DIMENSION(2)
  NEURALDEAL_INSTANTIATE_DIMENSION(3)
} // namespace neuraldeal
