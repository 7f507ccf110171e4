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
#include <neuraldeal/coupling/trajectory_writer.h>
#include <neuraldeal/surrogates/acquisition/cost_model.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/progress.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <set>
#include <stdexcept>

namespace neuraldeal
{
  namespace
  {
    /** More recorded costs than these are not worth the time to learn them. */
    constexpr long most_to_learn_costs = 256;

    /** With fewer, factors of influences are all that is learned. */
    constexpr long fewest_for_kernel = 64;

    /**
     * What solves of @p wanted are expected to cost, in seconds, by those of
     * @p store; empty where these say nothing. An order is no reason to end a
     * campaign: nothing is thrown, but @p failure says what went wrong.
     */
    std::vector<double>
    learn_costs(const SnapshotReader     &store,
                const std::vector<Input> &wanted,
                const long                fewest,
                std::string              &failure)
    {
      try
        {
          const auto seconds = store.seconds();
          const auto known =
            torch::nonzero((seconds > 0.) & torch::isfinite(seconds))
              .squeeze(1);
          const long n = known.size(0);
          if (n < fewest || wanted.empty())
            return {};
          const long m = std::min(n, most_to_learn_costs);
          const auto some =
            known.index({torch::linspace(0., n - 1., m, torch::kFloat64)
                           .round()
                           .to(torch::kInt64)});
          auto x = store.parameters().index({some});
          auto y = torch::empty({long(wanted.size()), x.size(1)}, x.options());
          for (std::size_t i = 0; i < wanted.size(); ++i)
            y[i] = torch::tensor(wanted[i], x.options());
          // Inputs that are spread by factors act by their logarithm.
          const auto smallest = torch::minimum(std::get<0>(x.min(0)),
                                               std::get<0>(y.min(0))),
                     largest  = std::get<0>(x.max(0));
          const auto is_log   = (smallest > 0.) & (largest > 3. * smallest);
          x = torch::where(is_log, x.clamp_min(1e-300).log(), x);
          y = torch::where(is_log, y.clamp_min(1e-300).log(), y);
          // Few say no more than in which directions costs grow.
          CostModel model(nlohmann::json{
            {"regression", m < fewest_for_kernel ? "linear" : "kernel"}});
          model.fit(x, seconds.index({some}));
          const auto costs = model.predict(y).expected.contiguous();
          return std::vector<double>(costs.data_ptr<double>(),
                                     costs.data_ptr<double>() + costs.numel());
        }
      catch (const std::exception &error)
        {
          failure = error.what();
          return {};
        }
    }
  } // namespace



  template <typename VectorType>
  Campaign<VectorType>::Campaign(const FullOrderModel<VectorType> &model,
                                 const FieldLayout                &layout,
                                 const ProcessGroups              &groups,
                                 const AdditionalData             &data)
    : model(model)
    , layout(layout)
    , groups(groups)
    , data(data)
    , watchdog(data.time_budget > 0. && groups.is_group_root() ?
                 std::make_unique<Watchdog>(data.patience * data.time_budget) :
                 nullptr)
  {}



  template <typename VectorType>
  std::string
  Campaign<VectorType>::note_file(const long id) const
  {
    return fmt::format("{}/hung-{:06}.txt", data.folder, id);
  }



  template <typename VectorType>
  std::string
  Campaign<VectorType>::call_host(const long                   id,
                                  const std::string           &name,
                                  const std::function<void()> &work) const
  {
    if (data.time_budget <= 0.)
      return groups.try_on_group(work);

    // The first rank leaves the attempt after all others have: its watchdog
    // is enough for the group.
    if (watchdog)
      watchdog->begin([this, id, name]() {
        const std::string reason =
          fmt::format("time budget: {} did not return within {:g} s, {:g} "
                      "times its budget, and the job was ended",
                      name,
                      data.patience * data.time_budget,
                      data.patience);
        std::string what_next = "start the job again, and it goes on without "
                                "this sample";
        try
          {
            publish_text(note_file(id), reason + "\n");
          }
        catch (const std::exception &error)
          {
            what_next = std::string("this could not be noted (") +
                        error.what() + "), so that it would hang again";
          }
        std::cerr
          << fmt::format(
               "\nError: the campaign in {}: {} of sample {} did not "
               "return within {:g} s, {:g} times the time budget; {}.\n",
               data.folder,
               name,
               id,
               data.patience * data.time_budget,
               data.patience,
               what_next)
          << std::flush;
      });
    model.time_budget->begin(groups.group(), data.time_budget);
    std::string failure = groups.try_on_group(work);
    // All ranks have been told the same.
    if (model.time_budget->was_over())
      failure =
        fmt::format("time budget: {} was stopped after {:g} s{}",
                    name,
                    data.time_budget,
                    failure.empty() ? "" : " (it said: " + failure + ")");
    model.time_budget->end();
    if (watchdog)
      watchdog->end();
    return failure;
  }



  template <typename VectorType>
  void
  Campaign<VectorType>::call_solver(const Solver   &solver,
                                    const Input    &input,
                                    VectorType     &solution,
                                    SnapshotRecord &record) const
  {
    record.iterations = solver(input, solution);
    record.statistics =
      model.statistics ? model.statistics() : std::vector<double>();
    if (record.statistics.size() != model.statistic_names.size())
      throw std::runtime_error(
        fmt::format("the host tells {} statistics and names {}",
                    record.statistics.size(),
                    model.statistic_names.size()));
  }



  template <typename VectorType>
  void
  Campaign<VectorType>::share_statistics(SnapshotRecord &record) const
  {
    MPI_Bcast(record.statistics.data(),
              record.statistics.size(),
              MPI_DOUBLE,
              0,
              groups.group());
  }



  template <typename VectorType>
  void
  Campaign<VectorType>::mark_failed(SnapshotRecord    &record,
                                    const std::string &reason) const
  {
    record.status   = SnapshotRecord::Status::failed;
    record.reason   = reason;
    record.prior    = torch::zeros({layout.n_local_values()}, torch::kFloat64);
    record.solution = torch::zeros_like(record.prior);
    record.statistics.assign(model.statistic_names.size(),
                             std::numeric_limits<double>::quiet_NaN());
  }



  template <typename VectorType>
  SnapshotRecord
  Campaign<VectorType>::solve(const long id, const Input &input) const
  {
    SnapshotRecord record;
    record.id         = id;
    record.parameters = input;
    record.prior = torch::zeros({layout.n_local_values()}, torch::kFloat64);

    // What a call of the host leaves in a fresh vector.
    const auto attempt = [&](const std::string &name,
                             const std::string &what,
                             const auto        &solver,
                             torch::Tensor     &result) {
      VectorType solution;
      model.reinit_vector(solution);
      const auto n = solution.locally_owned_elements().n_elements();
      return call_host(id, name, [&]() {
        solution = 0.;
        solver(solution);
        const auto found = solution.locally_owned_elements().n_elements();
        if (found != n)
          throw std::runtime_error(
            fmt::format("{} has {} entries where reinit_vector() gives it {}",
                        what,
                        found,
                        n));
        result = layout.to_tensor(solution);
        if (!torch::isfinite(result).all().template item<bool>())
          throw std::runtime_error(what + " is not finite");
      });
    };

    if (model.coarse_solve)
      {
        record.reason = attempt(
          "coarse_solve()",
          "the coarse solution",
          [&](VectorType &solution) { model.coarse_solve(input, solution); },
          record.prior);
        if (!record.reason.empty())
          record.status = SnapshotRecord::Status::failed;
      }

    const auto solve_by = [&](const std::string &name, const auto &solver) {
      return attempt(
        name,
        "the solution",
        [&](VectorType &solution) {
          call_solver(solver, input, solution, record);
        },
        record.solution);
    };
    const dealii::Timer timer;
    if (record.status != SnapshotRecord::Status::failed)
      {
        record.reason = solve_by("solve()", model.solve);
        if (!record.reason.empty())
          {
            record.status = SnapshotRecord::Status::failed;
            if (model.fallback_solve)
              {
                const auto again =
                  solve_by("fallback_solve()", model.fallback_solve);
                if (again.empty())
                  record.status = SnapshotRecord::Status::fallback;
                else
                  record.reason += "; the fallback: " + again;
              }
          }
      }
    record.seconds = timer.wall_time();
    if (record.status == SnapshotRecord::Status::failed)
      mark_failed(record, record.reason);
    share_statistics(record);
    return record;
  }



  template <typename VectorType>
  SnapshotRecord
  Campaign<VectorType>::solve_trajectory(const SnapshotWriter &writer,
                                         const long            id,
                                         const Input          &input) const
  {
    using Status = SnapshotRecord::Status;
    SnapshotRecord record;
    record.id         = id;
    record.parameters = input;
    const dealii::Timer both;
    const auto          solve_by =
      [&](const std::string &name, const auto &solver, const Status status) {
        const dealii::Timer timer;
        TrajectoryWriter    trajectory(writer, id, data.steps_in_memory);
        VectorType          solution;
        model.reinit_vector(solution);
        *model.step_receiver = [&](const double time, const VectorType &state) {
          trajectory.step(time, state);
        };
        const std::string failure = call_host(id, name, [&]() {
          solution = 0.;
          call_solver(solver, input, solution, record);
          if (trajectory.n_steps() == 0)
            throw std::runtime_error(
              name + " has handed no step to FullOrderModel::output_step()");
        });
        *model.step_receiver      = nullptr;
        // A full disk is not the host's failure, which would be for good.
        if (!trajectory.write_failure().empty())
          throw std::runtime_error(trajectory.write_failure());
        if (failure.empty())
          {
            record.status  = status;
            record.seconds = timer.wall_time();
            share_statistics(record);
            trajectory.finish(record);
          }
        return failure;
      };

    record.reason = solve_by("solve()", model.solve, Status::solved);
    if (record.reason.empty())
      return record;
    if (model.fallback_solve)
      {
        // The reason is stored with it.
        const auto again =
          solve_by("fallback_solve()", model.fallback_solve, Status::fallback);
        if (again.empty())
          return record;
        record.reason += "; the fallback: " + again;
      }
    record.seconds = both.wall_time();
    mark_failed(record, record.reason);
    TrajectoryWriter(writer, id).finish(record);
    return record;
  }



  template <typename VectorType>
  unsigned int
  Campaign<VectorType>::run(const unsigned int                      n_samples,
                            const std::function<Input(const long)> &input,
                            const std::string                      &problem,
                            const std::vector<std::string> &parameter_names,
                            const std::vector<double>      &costs) const
  {
    Assert(costs.empty() || costs.size() == n_samples,
           dealii::ExcDimensionMismatch(costs.size(), n_samples));
    namespace fs = std::filesystem;
    groups.on_root([&]() {
      try
        {
          fs::create_directories(data.folder);
          // Halves of files that a kill has left.
          for (const auto &entry : fs::directory_iterator(data.folder))
            if (entry.path().extension() == ".tmp")
              fs::remove_all(entry.path());
        }
      catch (const fs::filesystem_error &error)
        {
          throw FileError(data.folder,
                          "the folder of snapshots cannot be written: " +
                            error.code().message());
        }
    });

    const auto check_failures = [&](const unsigned int n_failed,
                                    const std::pair<long, std::string> &last) {
      if (n_failed > data.max_failures * n_samples)
        {
          // It stands within a sentence.
          auto reason = last.second;
          while (!reason.empty() && reason.back() == '.')
            reason.pop_back();
          throw InputError("the campaign in " + data.folder,
                           "the number of failed solves",
                           std::to_string(n_failed),
                           fmt::format("at most {} of {}, a share of {:g} "
                                       "(sample {} failed: {}); what has been "
                                       "solved is kept",
                                       int(data.max_failures * n_samples),
                                       n_samples,
                                       data.max_failures,
                                       last.first,
                                       reason));
        }
    };
    // Of the samples in the store only those of this campaign count.
    std::int64_t first_id     = 0;
    const auto   own_failures = [&](const SnapshotReader &store) {
      auto failed = store.failures();
      failed.erase(std::remove_if(failed.begin(),
                                  failed.end(),
                                  [&](const auto &sample) {
                                    return sample.first < first_id ||
                                           sample.first >=
                                             first_id +
                                               SnapshotReader::campaign_size;
                                  }),
                   failed.end());
      return failed;
    };
    const auto check_store = [&](const SnapshotReader &store) {
      const auto mine = own_failures(store);
      if (!mine.empty())
        check_failures(mine.size(), mine.back());
    };

    // What is there has to belong to this problem.
    const std::string         space_file = data.folder + "/space.h5";
    bool                      has_space  = false;
    unsigned int              failures   = 0;
    std::vector<unsigned int> missing, hung;
    std::vector<std::string>  hung_reasons;
    // Those of the missing samples, on the root; none where nobody asks.
    const bool          order_matters = groups.n_groups() > 1;
    std::vector<double> missing_costs;
    std::string         costs_say;
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
      std::error_code ignored;
      std::set<long>  there;
      for (const long id : store.ids())
        there.insert(id);
      for (const long id : store.trajectory_ids())
        there.insert(id);
      for (const auto &failed : store.failures())
        there.insert(failed.first);
      for (unsigned int id = 0; id < n_samples; ++id)
        if (there.count(first_id + id) > 0)
          // A kill came between the sample and its note's end.
          fs::remove(note_file(first_id + id), ignored);
        else
          {
            missing.push_back(id);
            std::string   reason;
            std::ifstream note(note_file(first_id + id));
            if (std::getline(note, reason))
              {
                hung.push_back(id);
                hung_reasons.push_back(reason);
              }
          }

      if (!order_matters || missing.size() <= groups.n_groups())
        return;
      if (!costs.empty())
        {
          for (const auto id : missing)
            missing_costs.push_back(costs[id]);
          costs_say = "long solves come first, by the costs that are given";
        }
      else
        {
          std::vector<Input> wanted;
          for (const auto id : missing)
            wanted.push_back(input(id));
          std::string failure;
          missing_costs =
            learn_costs(store, wanted, fewest_to_learn_costs, failure);
          if (!missing_costs.empty())
            costs_say = fmt::format("long solves come first, by the seconds of "
                                    "the {} in the store",
                                    store.size());
          else if (!failure.empty())
            costs_say = "the costs of solves could not be learned: " +
                        printable(failure, 300);
        }
      // What has hung is not solved again.
      for (std::size_t i = 0; i < missing_costs.size(); ++i)
        if (std::binary_search(hung.begin(), hung.end(), missing[i]))
          missing_costs[i] = 0.;
    });
    MPI_Bcast(&has_space, 1, MPI_CXX_BOOL, 0, groups.world);
    MPI_Bcast(&failures, 1, MPI_UNSIGNED, 0, groups.world);
    MPI_Bcast(&first_id, 1, MPI_INT64_T, 0, groups.world);
    missing = dealii::Utilities::MPI::broadcast(groups.world, missing);
    hung    = dealii::Utilities::MPI::broadcast(groups.world, hung);
    hung_reasons =
      dealii::Utilities::MPI::broadcast(groups.world, hung_reasons);
    std::map<unsigned int, std::string> reason_of;
    for (unsigned int i = 0; i < hung.size(); ++i)
      reason_of[hung[i]] = hung_reasons[i];

    // One group writes what all snapshots share.
    const bool first_group =
      dealii::Utilities::MPI::this_mpi_process(groups.world) <
      dealii::Utilities::MPI::n_mpi_processes(groups.group());
    const Attempt describing([&]() {
      if (first_group && !has_space)
        layout.write(space_file, problem, parameter_names);
    });
    describing.throw_together(mpi_communicator(groups.world));

    const unsigned int                     n_there = n_samples - missing.size();
    std::vector<std::vector<unsigned int>> batches;
    std::vector<unsigned int> n_before(1, n_there); // those of each batch
    for (const auto id : missing)
      {
        // A trajectory is written by itself.
        if (batches.empty() || data.trajectories ||
            batches.back().back() / data.batch_size != id / data.batch_size)
          batches.emplace_back();
        batches.back().push_back(id);
      }
    for (const auto &batch : batches)
      n_before.push_back(n_before.back() + batch.size());

    // The root's costs count, the others have as many.
    bool has_costs = !missing_costs.empty();
    MPI_Bcast(&has_costs, 1, MPI_CXX_BOOL, 0, groups.world);
    std::vector<double> batch_costs(has_costs ? batches.size() : 0, 0.);
    if (!missing_costs.empty())
      for (std::size_t i = 0, b = 0; b < batches.size(); ++b)
        for (std::size_t k = 0; k < batches[b].size(); ++k, ++i)
          batch_costs[b] += missing_costs[i];

    StoreDescription description = data.description;
    description.parameter_names  = parameter_names;
    description.statistic_names  = model.statistic_names;
    const SnapshotWriter writer(
      data.folder, layout, problem, data.provenance, description);
    unsigned int                 solves = 0;
    std::pair<long, std::string> last_failure;
    Progress progress("full solves", n_samples, groups.is_root());
    if (!costs_say.empty())
      progress.say("  " + costs_say + "\n");
    groups.distribute(
      batches.size(),
      [&](const unsigned int batch) {
        std::vector<SnapshotRecord> records;
        for (const auto id : batches[batch])
          {
            const auto hung_before = reason_of.find(id);
            if (hung_before == reason_of.end())
              {
                records.push_back(
                  data.trajectories ?
                    solve_trajectory(writer, first_id + id, input(id)) :
                    solve(first_id + id, input(id)));
                ++solves;
              }
            else
              {
                SnapshotRecord record;
                record.id         = first_id + id;
                record.parameters = input(id);
                mark_failed(record, hung_before->second);
                if (data.trajectories)
                  TrajectoryWriter(writer, record.id).finish(record);
                records.push_back(record);
              }
            if (records.back().status == SnapshotRecord::Status::failed)
              {
                ++failures;
                last_failure = {id, records.back().reason};
              }
          }
        if (!data.trajectories)
          writer.write(records);
        // What the store says needs no note any more.
        std::error_code ignored;
        for (const auto &record : records)
          if (groups.is_group_root() && reason_of.count(record.id) > 0)
            fs::remove(note_file(record.id), ignored);
        // A group's own failures bound those of all from below.
        check_failures(failures, last_failure);
      },
      [&](const unsigned int handed_out) {
        // In another order that is so up to a batch that is not full.
        if (!batches.empty())
          progress.update(n_before[handed_out]);
      },
      batch_costs);

    groups.on_root([&]() {
      writer.write_index();
      const SnapshotReader store(data.folder, problem);
      const auto           failed = own_failures(store);
      if (!failed.empty())
        progress.say(fmt::format("  {} of {} solves have failed, and are not "
                                 "learned from:\n{}",
                                 failed.size(),
                                 n_samples,
                                 summarize_failures(failed)));
      check_store(store);
    });

    const unsigned int mine = groups.is_group_root() ? solves : 0;
    return dealii::Utilities::MPI::sum(mine, groups.world);
  }



  template class Campaign<dealii::Vector<double>>;
  template class Campaign<dealii::LinearAlgebra::distributed::Vector<double>>;
  template class Campaign<dealii::TrilinosWrappers::MPI::Vector>;
  template class Campaign<dealii::PETScWrappers::MPI::Vector>;
} // namespace neuraldeal
