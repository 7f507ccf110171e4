// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>
#include <deal.II/base/timer.h>

#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/input_table.h>
#include <neuraldeal/coupling/shared_libraries.h>
#include <neuraldeal/coupling/trained_surrogate.h>
#include <neuraldeal/plugin/adaptive_solver.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/progress.h>
#include <neuraldeal/surrogates/train_surrogate.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    /** The numbers of a report, so that ranks can add them to zeros. */
    std::vector<double>
    to_numbers(const SolveReport &report)
    {
      return {double(static_cast<int>(report.decision)),
              double(static_cast<int>(report.reason)),
              double(report.audited),
              double(report.failed),
              report.scale,
              report.prior_scale,
              report.bound,
              report.estimate,
              report.error,
              double(report.iterations),
              report.seconds,
              double(report.model),
              double(report.group)};
    }

    SolveReport
    from_numbers(const long query, const double *numbers)
    {
      SolveReport report;
      report.query       = query;
      report.decision    = static_cast<Decision>(int(*numbers++));
      report.reason      = static_cast<Reason>(int(*numbers++));
      report.audited     = (*numbers++ != 0.);
      report.failed      = (*numbers++ != 0.);
      report.scale       = *numbers++;
      report.prior_scale = *numbers++;
      report.bound       = *numbers++;
      report.estimate    = *numbers++;
      report.error       = *numbers++;
      report.iterations  = *numbers++;
      report.seconds     = *numbers++;
      report.model       = *numbers++;
      report.group       = *numbers++;
      return report;
    }

    /** The samples of @p store with ids @p begin, …, @p end − 1. */
    std::vector<long>
    ids_between(const SnapshotReader &store, const long begin, const long end)
    {
      std::vector<long> result;
      for (const long id : store.ids())
        if (id >= begin && id < end)
          result.push_back(id);
      return result;
    }

    torch::Tensor
    as_row(const std::vector<double> &values)
    {
      return torch::tensor(values, torch::kFloat64).unsqueeze(0);
    }
  } // namespace



  template <typename VectorType>
  AdaptiveSolver<VectorType>::AdaptiveSolver(
    const FullOrderModel<VectorType> &model,
    const FieldLayout                &layout,
    const InputDistribution          &inputs,
    const ProcessGroups              &groups,
    const AdditionalData             &data)
    : model(model)
    , layout(layout)
    , inputs(inputs)
    , groups(groups)
    , data(data)
    , first_held_out(data.n_training)
    , residual_norm(model, layout, groups)
    , trust_gate(data.gate, data.seed)
  {
    AssertThrow(model.reinit_vector && model.solve,
                ExcMessage("A FullOrderModel needs at least reinit_vector "
                           "and solve."));
    // Said before anything is solved: a confidence that the held-out
    // snapshots cannot support, an unknown surrogate.
    const unsigned int needed =
      samples_needed(data.gate.confidence, data.gate.significance);
    if (data.n_held_out < needed)
      throw InputError(data.source,
                       "Held-out solves",
                       std::to_string(data.n_held_out),
                       fmt::format("at least {}, which the confidence {} "
                                   "with significance {} rests on",
                                   needed,
                                   data.gate.confidence,
                                   data.gate.significance));
    load_shared_libraries(data.shared_libraries, data.source, groups.world);
    training_design =
      make_design(data.design,
                  data.seed,
                  inputs.size(),
                  data.active ? data.n_initial : data.n_training,
                  data.source);
    trained = make_surrogate(data.surrogate,
                             inputs.ranges(),
                             data.surrogate_parameters,
                             data.source);
    if (data.active)
      {
        if (data.active_candidates == "table")
          candidates = read_input_table(data.active_table, inputs, groups);
        ActiveCampaign<VectorType>(
          model, layout, inputs, groups, active_campaign_data({}));
      }
    check_group_size(groups,
                     data.surrogate,
                     trained->supports_slices(),
                     data.source);
  }



  template <typename VectorType>
  typename ActiveCampaign<VectorType>::AdditionalData
  AdaptiveSolver<VectorType>::active_campaign_data(
    const typename Campaign<VectorType>::AdditionalData &campaign_data) const
  {
    typename ActiveCampaign<VectorType>::AdditionalData result;
    result.campaign   = campaign_data;
    result.learner    = data.active_parameters;
    result.design     = data.design;
    result.n_initial  = data.n_initial;
    result.candidates = data.active_candidates;
    result.table      = candidates;
    result.cost       = data.active_cost;
    result.threshold  = data.active_threshold;
    result.n_solves   = data.n_training;
    result.n_held_out = data.n_held_out;
    result.seed       = data.seed;
    result.source     = data.source;
    return result;
  }



  template <typename VectorType>
  std::string
  AdaptiveSolver<VectorType>::problem_hash() const
  {
    const std::uint64_t parts[] = {layout.hash(), inputs.hash()};
    return hexadecimal(fnv1a(parts, sizeof(parts)));
  }



  template <typename VectorType>
  TrainingTask
  AdaptiveSolver<VectorType>::training_task(const SnapshotReader &store) const
  {
    TrainingTask task;
    task.store      = data.folder + "/snapshots";
    task.design     = store.problem();
    task.model      = data.folder + "/model.safetensors";
    task.problem    = problem_hash();
    task.surrogate  = data.surrogate;
    task.parameters = complete_parameters(
      SurrogateRegistry::find(data.source, "Surrogate/Type", data.surrogate)
        .parameters,
      data.surrogate_parameters,
      data.source);
    task.libraries        = data.shared_libraries;
    task.inputs           = inputs.ranges();
    task.training_samples = training_ids(store);
    task.held_out_samples = held_out_ids(store);
    task.source           = data.source;
    task.training         = task.hash(store);
    return task;
  }



  template <typename VectorType>
  Input
  AdaptiveSolver<VectorType>::design(const long id) const
  {
    return id >= first_training && id < first_training + long(data.n_training) ?
             training_input(id - first_training) :
             held_out_input(id - first_held_out);
  }



  template <typename VectorType>
  bool
  AdaptiveSolver<VectorType>::design_grows() const
  {
    return data.active ||
           DesignRegistry::find(data.source, "Design", data.design)
             .factory.grows;
  }



  template <typename VectorType>
  Input
  AdaptiveSolver<VectorType>::training_input(const long number) const
  {
    return data.active ? chosen_inputs.at(number) :
                         inputs.at(training_design->point(number));
  }



  template <typename VectorType>
  Input
  AdaptiveSolver<VectorType>::held_out_input(const long number) const
  {
    // Held-out snapshots calibrate, so they have to be drawn like queries,
    // and never twice.
    return design_grows() ? inputs.held_out(data.seed, number) :
                            inputs.draw(data.seed,
                                        CounterRandom::Stream::design,
                                        data.n_training + number);
  }



  template <typename VectorType>
  void
  AdaptiveSolver<VectorType>::run_campaigns()
  {
    typename Campaign<VectorType>::AdditionalData campaign_data;
    campaign_data.folder       = data.folder + "/snapshots";
    campaign_data.batch_size   = data.batch_size;
    campaign_data.max_failures = data.max_failures;
    campaign_data.time_budget  = data.time_budget;
    campaign_data.provenance   = data.provenance;

    auto &description           = campaign_data.description;
    description.seed            = std::to_string(data.seed);
    description.parameter_file  = data.parameter_file;
    description.parameter_units = inputs.units();
    description.field_names     = data.field_names;
    description.field_units     = data.field_units;

    // The problem is mesh, element and inputs. In stores of earlier versions
    // it is also the design, the only one, which had no name.
    std::string       problem = problem_hash();
    const std::string former =
      fmt::format("{}-{}-{}", problem, data.n_training, data.seed);
    bool is_former = false;
    groups.on_root([&]() {
      const std::string file = campaign_data.folder + "/space.h5";
      is_former = !design_grows() && std::filesystem::exists(file) &&
                  HDF5File(file).read_attribute("problem") == former;
    });
    MPI_Bcast(&is_former, 1, MPI_CXX_BOOL, 0, groups.world);
    if (is_former)
      problem = former;

    const auto run = [&](const std::string                      &name,
                         const std::string                      &design_name,
                         const unsigned int                      n,
                         const std::function<Input(const long)> &input) {
      description.campaign = name;
      description.design   = design_name;
      Campaign<VectorType>(model, layout, groups, campaign_data)
        .run(n, input, problem, inputs.names());
      return snapshots().first_id(name);
    };
    if (data.active)
      {
        const auto result =
          ActiveCampaign<VectorType>(
            model, layout, inputs, groups, active_campaign_data(campaign_data))
            .run(problem);
        chosen_inputs  = result.points;
        first_training = result.first_id;
        first_held_out = result.first_held_out_id;
        return;
      }
    const auto training = [this](const long i) { return training_input(i); };
    const auto held_out = [this](const long i) { return held_out_input(i); };
    if (design_grows())
      {
        first_training = run(fmt::format("{}, seed {}", data.design, data.seed),
                             data.design,
                             data.n_training,
                             training);
        first_held_out = run(InputDistribution::held_out_name(data.seed),
                             "Monte Carlo",
                             data.n_held_out,
                             held_out);
      }
    else
      {
        const long n   = data.n_training;
        first_training = run(
          is_former ?
            "" :
            fmt::format("{} of {} points, seed {}", data.design, n, data.seed),
          data.design + ", then Monte Carlo",
          n + data.n_held_out,
          [&](const long i) { return i < n ? training(i) : held_out(i - n); });
        first_held_out = first_training + n;
      }
  }



  template <typename VectorType>
  SnapshotReader
  AdaptiveSolver<VectorType>::snapshots() const
  {
    return SnapshotReader(data.folder + "/snapshots");
  }



  template <typename VectorType>
  std::vector<long>
  AdaptiveSolver<VectorType>::training_ids(const SnapshotReader &store) const
  {
    return ids_between(store, first_training, first_training + data.n_training);
  }



  template <typename VectorType>
  std::vector<long>
  AdaptiveSolver<VectorType>::held_out_ids(const SnapshotReader &store) const
  {
    return ids_between(store, first_held_out, first_held_out + data.n_held_out);
  }



  template <typename VectorType>
  typename AdaptiveSolver<VectorType>::Preparation
  AdaptiveSolver<VectorType>::prepare()
  {
    Preparation result;
    Timer       timer(groups.world);

    // A model of another problem is refused before anything is solved.
    const std::string model_file = data.folder + "/model.safetensors";
    std::string       trained_on;
    groups.on_root([&]() {
      if (!std::filesystem::exists(model_file))
        return;
      const auto file  = ModelFile::read(model_file);
      const auto found = file.get<std::string>("problem");
      if (found != problem_hash())
        throw FileError(model_file,
                        "its entry 'problem' is " + found +
                          ", so it was trained for another problem; "
                          "valid is " +
                          problem_hash());
      trained_on = file.get<std::string>("training");
    });

    run_campaigns();
    // (A table may have fewer candidates.)
    const unsigned int n_samples =
      (data.active ? chosen_inputs.size() : data.n_training) + data.n_held_out;
    const SnapshotReader store = snapshots();
    result.n_failed =
      n_samples - training_ids(store).size() - held_out_ids(store).size();
    result.n_full_solves        = n_samples;
    result.seconds_campaign     = timer.wall_time();
    result.seconds_a_full_solve = store.mean_seconds();
    costs["seconds_full_solve"] = store.mean_seconds();

    timer.restart();
    const auto        task      = training_task(store);
    const std::string task_file = data.folder + "/training.json";
    groups.on_root([&]() { task.write(task_file); });

    bool is_there = groups.is_root() && trained_on == task.training;
    MPI_Bcast(&is_there, 1, MPI_CXX_BOOL, 0, groups.world);
    if (!is_there)
      {
        if (!data.train_here)
          throw FileError(model_file,
                          "no model has been trained on the snapshots with "
                          "these parameters; train one by 'neuraldeal-train " +
                            task_file +
                            "', here or on another machine, and start this "
                            "program again");
        costs["seconds_training"] = train_surrogate(
          *trained, task, store, mpi_communicator(groups.world));
        save(model_file);
      }
    load(model_file);
    result.model_was_there  = is_there;
    result.seconds_training = timer.wall_time();

    timer.restart();
    trust_gate.calibrate(trained->held_out_scores());
    if (residual_norm.is_available())
      calibrate_estimator(store);
    result.seconds_calibration = timer.wall_time();
    result.seconds_from_nothing =
      store.mean_seconds() * n_samples / groups.n_groups() +
      costs.value("seconds_training", 0.) + result.seconds_calibration;
    return result;
  }



  template <typename VectorType>
  void
  AdaptiveSolver<VectorType>::save(const std::string &filename) const
  {
    // All ranks have the same surrogate, each with its slice of the fields;
    // only where a slice is everything can one rank write the file.
    AssertThrow(trained->n_values() == layout.n_values(),
                ExcMessage("A model is saved before it is distributed over "
                           "the ranks of a group."));
    groups.on_root([&]() {
      const auto store = snapshots();
      make_model_file(*trained, training_task(store), store, costs)
        .write(filename);
    });
  }



  template <typename VectorType>
  void
  AdaptiveSolver<VectorType>::load(const std::string &model_file)
  {
    const auto file = ModelFile::read(model_file);
    file.check_finite();
    costs = file.metadata["costs"];
    trained->load(file,
                  layout.first_value(),
                  layout.n_local_values(),
                  mpi_communicator(groups.group()));
  }



  template <typename VectorType>
  void
  AdaptiveSolver<VectorType>::calibrate_estimator(const SnapshotReader &store)
  {
    const auto scores = trained->held_out_scores();
    const long n      = scores.ids.numel();
    auto       values = torch::zeros({n}, torch::kFloat64);
    Progress   progress("calibrating the estimator", n, groups.is_root());
    groups.distribute(
      n,
      [&](const unsigned int i) {
        const long           id = scores.ids[i].template item<std::int64_t>();
        const SnapshotReader one(store, {id});
        const auto           prior = layout.local_part(one.read(0, 1).prior[0]);
        VectorType           candidate;
        model.reinit_vector(candidate);
        layout.from_tensor(trained->held_out_mean(i, prior), candidate);
        const double norm  = layout.norm(candidate);
        const double value = residual_norm(design(id), candidate) / norm;
        if (groups.is_group_root())
          values[i] = value;
      },
      [&](const unsigned int done) { progress.update(done); });
    mpi_communicator(groups.world).sum(values);

    estimator_samples.clear();
    for (long i = 0; i < n; ++i)
      estimator_samples.push_back({values[i].template item<double>(),
                                   scores.error[i].template item<double>()});
    trust_gate.calibrate_estimator(estimator_samples);
  }



  template <typename VectorType>
  typename AdaptiveSolver<VectorType>::Answer
  AdaptiveSolver<VectorType>::answer(const Input &input,
                                     VectorType  &solution) const
  {
    Answer result;
    auto  &report = result.report;
    report.model  = trained->n_snapshots();

    result.prior = torch::zeros({1, layout.n_local_values()}, torch::kFloat64);
    TrustGate::Verdict verdict{Decision::resolve,
                               Reason::not_finite,
                               SolveReport::unknown};
    // A coarse solve that fails, maybe on one rank only, leaves no prediction
    // to start from.
    std::string failure = groups.try_on_group([&]() {
      if (model.coarse_solve)
        {
          model.coarse_solve(input, solution);
          result.prior = layout.to_tensor(solution).unsqueeze(0);
          AssertThrow(torch::isfinite(result.prior).all().template item<bool>(),
                      ExcMessage("the coarse solution is not finite"));
        }
    });
    double      norm    = SolveReport::unknown;
    if (failure.empty())
      failure = groups.try_on_group([&]() {
        const auto prediction = trained->predict({as_row(input), result.prior});
        norm                  = prediction.norm.template item<double>();
        report.scale          = prediction.scale.template item<double>() / norm;
        report.prior_scale =
          std::hypot(report.scale,
                     prediction.correction.template item<double>() / norm);
        layout.from_tensor(prediction.mean[0], solution);
        verdict = trust_gate.decide(std::isfinite(norm) ? report.scale :
                                                          SolveReport::unknown,
                                    prediction.novelty.template item<double>());
        report.bound = verdict.bound;
      });
    if (!failure.empty())
      verdict = {Decision::resolve, Reason::not_finite, SolveReport::unknown};

    if (verdict.decision == Decision::verify)
      {
        if (verdict.reason == Reason::not_finite)
          verdict.decision = Decision::resolve;
        else if (residual_norm.is_available())
          {
            verdict =
              trust_gate.decide_verified(residual_norm(input, solution) / norm,
                                         verdict);
            report.estimate = verdict.bound;
          }
        else
          verdict.decision = Decision::correct;
      }
    report.decision = verdict.decision;
    report.reason   = verdict.reason;
    return result;
  }



  template <typename VectorType>
  torch::Tensor
  AdaptiveSolver<VectorType>::full_solve(const Input &input,
                                         Answer      &answer,
                                         VectorType  &solution) const
  {
    auto      &report = answer.report;
    VectorType prediction;
    model.reinit_vector(prediction);
    prediction = solution;

    const auto attempt = [&](const auto &solver, const bool from_prediction) {
      return groups.try_on_group([&]() {
        if (from_prediction)
          solution = prediction;
        else
          solution = 0.;
        report.iterations = solver(input, solution);
        // Looked at by each rank alone: another one may have thrown.
        AssertThrow(torch::isfinite(layout.to_tensor(solution))
                      .all()
                      .template item<bool>(),
                    ExcMessage("the solution is not finite"));
      });
    };
    report.failure = attempt(model.solve, report.decision == Decision::correct);
    if (!report.failure.empty() && model.fallback_solve)
      {
        const auto again = attempt(model.fallback_solve, false);
        report.failure =
          again.empty() ? "" : report.failure + "; the fallback: " + again;
      }
    report.failed = !report.failure.empty();
    if (report.failed || report.reason == Reason::not_finite)
      return {};

    Surrogate::Norms norms;
    const double     norm = layout.norm(solution);
    prediction -= solution;
    report.error   = layout.norm(prediction) / norm;
    norms.solution = torch::full({1}, norm, torch::kFloat64);
    VectorType correction;
    model.reinit_vector(correction);
    layout.from_tensor(answer.prior[0], correction);
    correction -= solution;
    norms.correction =
      torch::full({1}, layout.norm(correction), torch::kFloat64);

    Snapshots snapshot;
    snapshot.parameters = as_row(input);
    snapshot.prior      = answer.prior;
    snapshot.solution   = layout.to_tensor(solution).unsqueeze(0);
    return trained->summarize(snapshot, norms);
  }



  template <typename VectorType>
  SolveReport
  AdaptiveSolver<VectorType>::solve(const Input &input,
                                    VectorType  &solution) const
  {
    const Timer timer;
    auto        result = answer(input, solution);
    if (result.report.full_solve())
      {
        full_solve(input, result, solution);
        if (result.report.failed)
          throw std::runtime_error("The host's solver has failed: " +
                                   result.report.failure);
      }
    result.report.seconds = timer.wall_time();
    return result.report;
  }



  template <typename VectorType>
  void
  AdaptiveSolver<VectorType>::predict(const Input &input,
                                      VectorType  &mean,
                                      VectorType  *standard_deviation) const
  {
    PredictionParts parts;
    parts.standard_deviation = (standard_deviation != nullptr);
    const auto prediction =
      predict_field(*trained, layout, input, model.coarse_solve, mean, parts);
    if (standard_deviation != nullptr)
      layout.from_tensor(prediction.standard_deviation[0], *standard_deviation);
  }



  template <typename VectorType>
  std::vector<SolveReport>
  AdaptiveSolver<VectorType>::serve(
    const long                              n_queries,
    const std::function<Input(const long)> &input,
    const Consumer                         &consumer)
  {
    const auto       everybody = mpi_communicator(groups.world);
    StoreDescription description;
    description.campaign        = "served";
    description.design          = "queries";
    description.seed            = std::to_string(data.seed);
    description.parameter_file  = data.parameter_file;
    description.parameter_names = inputs.names();
    description.parameter_units = inputs.units();
    description.field_names     = data.field_names;
    description.field_units     = data.field_units;
    const SnapshotWriter writer(data.folder + "/served",
                                layout,
                                problem_hash() + "-served",
                                data.provenance,
                                description);
    if (groups.is_root())
      std::filesystem::create_directories(data.folder + "/served");
    const unsigned int my_group =
      Utilities::MPI::this_mpi_process(groups.world) /
      Utilities::MPI::n_mpi_processes(groups.group());

    std::vector<SolveReport> reports;
    Progress                 progress("queries", n_queries, groups.is_root());
    const std::size_t        n_numbers = to_numbers(SolveReport()).size();
    for (long begin = 0; begin < n_queries; begin += data.round_size)
      {
        const long n = std::min<long>(data.round_size, n_queries - begin);
        const bool solves_everything = trust_gate.solves_everything();

        // First every query gets a prediction and a decision.
        auto numbers = torch::zeros({n, long(n_numbers)}, torch::kFloat64);
        groups.distribute(n, [&](const unsigned int i) {
          const long  query = begin + i;
          const Input x     = input(query);
          VectorType  solution;
          model.reinit_vector(solution);
          const Timer timer;
          auto        result = answer(x, solution);
          auto       &report = result.report;
          report.query       = query;
          report.group       = my_group;
          report.audited = !report.full_solve() && trust_gate.is_audited(query);
          report.seconds = timer.wall_time();
          if (consumer && !report.full_solve())
            consumer(x, solution, report);
          if (groups.is_group_root())
            numbers[i].copy_(as_row(to_numbers(report))[0]);
        });
        everybody.sum(numbers);

        std::vector<long> tasks;
        for (long i = 0; i < n; ++i)
          {
            reports.push_back(
              from_numbers(begin + i, numbers[i].data_ptr<double>()));
            if (reports.back().full_solve())
              tasks.push_back(begin + i);
          }

        // Then the full solves, balanced over the groups by themselves. Who
        // solves predicts again: that costs less than moving a field.
        numbers =
          torch::zeros({long(tasks.size()), long(n_numbers)}, torch::kFloat64);
        torch::Tensor            summaries;
        std::vector<std::string> failures(tasks.size());
        groups.distribute(tasks.size(), [&](const unsigned int i) {
          const long  query = tasks[i];
          const Input x     = input(query);
          VectorType  solution;
          model.reinit_vector(solution);
          const Timer timer;
          auto        result = answer(x, solution);
          auto       &report = result.report;
          report.query       = query;
          report.group       = my_group;
          report.audited     = reports[query].audited;
          const auto summary = full_solve(x, result, solution);
          report.seconds     = timer.wall_time();
          failures[i]        = report.failure;
          if (summary.defined())
            {
              SnapshotRecord record;
              record.id         = first_served_id + query;
              record.parameters = x;
              record.prior      = result.prior[0];
              record.solution   = layout.to_tensor(solution);
              record.seconds    = report.seconds;
              record.iterations = report.iterations;
              writer.write({record});
              if (!summaries.defined())
                summaries = torch::zeros({long(tasks.size()), summary.size(1)},
                                         torch::kFloat64);
              if (groups.is_group_root())
                summaries[i].copy_(summary[0]);
            }
          if (groups.is_group_root())
            numbers[i].copy_(as_row(to_numbers(report))[0]);
          if (consumer && !report.failed)
            consumer(x, solution, report);
        });
        everybody.sum(numbers);
        for (const auto &others :
             Utilities::MPI::all_gather(groups.world, failures))
          for (std::size_t i = 0; i < tasks.size(); ++i)
            if (failures[i].empty())
              failures[i] = others[i];

        // All learn the same, in the order of the queries.
        long width = summaries.defined() ? summaries.size(1) : 0;
        width      = Utilities::MPI::max(width, groups.world);
        if (!summaries.defined())
          summaries =
            torch::zeros({long(tasks.size()), width}, torch::kFloat64);
        everybody.sum(summaries);
        for (const bool calibrates : {true, false})
          {
            std::vector<long>          ids;
            std::vector<torch::Tensor> rows;
            for (std::size_t i = 0; i < tasks.size(); ++i)
              {
                auto &report = reports[tasks[i]];
                report = from_numbers(tasks[i], numbers[i].data_ptr<double>());
                report.failure = failures[i];
                if (report.failed || report.reason == Reason::not_finite ||
                    calibrates !=
                      (solves_everything || trust_gate.is_audited(tasks[i])))
                  continue;
                ids.push_back(first_served_id + tasks[i]);
                rows.push_back(summaries[i].unsqueeze(0));
                if (solves_everything && std::isfinite(report.estimate))
                  estimator_samples.push_back(
                    {report.estimate / trust_gate.estimator().factor,
                     report.error});
              }
            if (!ids.empty())
              trained->update(torch::cat(rows), ids, calibrates);
          }
        if (!tasks.empty())
          trust_gate.calibrate(trained->held_out_scores());
        if (solves_everything && residual_norm.is_available())
          trust_gate.calibrate_estimator(estimator_samples);

        if (groups.is_root())
          write_decision_log(data.folder + "/decisions.csv", reports);
        progress.update(begin + n);
      }
    return reports;
  }



  template class AdaptiveSolver<Vector<double>>;
  template class AdaptiveSolver<LinearAlgebra::distributed::Vector<double>>;
  template class AdaptiveSolver<TrilinosWrappers::MPI::Vector>;
  template class AdaptiveSolver<PETScWrappers::MPI::Vector>;
} // namespace neuraldeal
