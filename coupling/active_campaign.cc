// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>

#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/active_campaign.h>
#include <neuraldeal/coupling/residual_norm.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/progress.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    constexpr const char *format = "neural.deal active campaign 1";

    constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

    /** NaN as null. */
    nlohmann::json
    number(const double value)
    {
      return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
    }

    double
    number_from(const nlohmann::json &value)
    {
      return value.is_null() ? nan_value : value.get<double>();
    }

    /** [n, d]; with @p d columns where there are no rows. */
    torch::Tensor
    as_rows(const std::vector<Input> &points, const long d)
    {
      auto result = torch::empty({long(points.size()), d}, torch::kFloat64);
      for (std::size_t i = 0; i < points.size(); ++i)
        std::copy(points[i].begin(),
                  points[i].end(),
                  result.data_ptr<double>() + long(i) * d);
      return result;
    }

    /** The input in a row of [n, d]. */
    Input
    row_of(const torch::Tensor &rows, const long row)
    {
      const auto *data = rows.data_ptr<double>() + row * rows.size(1);
      Input       result(data, data + rows.size(1));
      return result;
    }

    std::string
    shown(const Input &input)
    {
      std::string result;
      for (const double x : input)
        result += fmt::format("{}{:.17g}", result.empty() ? "" : ", ", x);
      return result;
    }
  } // namespace



  template <typename VectorType>
  ActiveCampaign<VectorType>::ActiveCampaign(
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
  {
    // Said before anything is solved.
    const ActiveLearner learner(inputs.ranges(),
                                data.learner,
                                data.seed,
                                data.source);
    make_design(
      data.design, data.seed, inputs.size(), data.n_initial, data.source);
    if (data.n_initial < 2)
      throw InputError(data.source,
                       "the number of initial solves",
                       std::to_string(data.n_initial),
                       "an integer from 2");
    if (data.n_solves < data.n_initial)
      throw InputError(data.source,
                       "the number of solves",
                       std::to_string(data.n_solves),
                       fmt::format("{} or more, that of initial solves",
                                   data.n_initial));
    check_choice(data.source,
                 "candidates",
                 data.candidates,
                 {"pool", "stream", "table"});
    if (data.candidates == "table")
      {
        if (data.table.empty())
          throw InputError(data.source,
                           "the table of candidates",
                           "empty",
                           "one with a row at least");
        for (std::size_t i = 0; i < data.table.size(); ++i)
          if (data.table[i].size() != inputs.size() ||
              !std::all_of(data.table[i].begin(),
                           data.table[i].end(),
                           [](const double x) { return std::isfinite(x); }))
            throw InputError(
              data.source,
              fmt::format("row {} of the table of candidates", i),
              shown(data.table[i]),
              fmt::format("a row of {} finite numbers", inputs.size()));
      }
    if (!(data.cost_budget > 0.))
      throw InputError(data.source,
                       "the cost budget",
                       fmt::format("{}", data.cost_budget),
                       "a positive number");
    if (!(data.error_goal >= 0.))
      throw InputError(data.source,
                       "the error goal",
                       fmt::format("{}", data.error_goal),
                       "a number that is not negative");
    if (data.error_goal > 0. && data.n_held_out == 0)
      throw InputError(data.source,
                       "the number of held-out solves",
                       "0",
                       "one at least, where there is an error goal");
    if ((data.error_goal > 0. || data.n_held_out > 0) &&
        !learner.has_surrogate())
      throw InputError(data.source,
                       "surrogate",
                       "none",
                       "one of the registered surrogates, where an error is "
                       "to be measured");
    auto costs = model.statistic_names;
    costs.insert(costs.begin(), {"seconds", "iterations"});
    check_choice(data.source, "cost", data.cost, costs);
    if (learner.has_surrogate())
      check_group_size(
        groups,
        learner.settings()["surrogate"],
        make_surrogate(learner.settings()["surrogate"],
                       inputs.ranges(),
                       learner.settings()["surrogate parameters"],
                       data.source)
          ->supports_slices(),
        data.source);
    check_levels(learner);
    needs = learner.acquisition().needs();
    check_needs(learner);
  }



  template <typename VectorType>
  void
  ActiveCampaign<VectorType>::check_needs(const ActiveLearner &learner) const
  {
    const std::string acquisition = learner.settings()["acquisition"];
    if (needs.residual &&
        !ResidualNorm<VectorType>(model, layout, groups).is_available())
      throw InputError(data.source,
                       "acquisition",
                       acquisition,
                       "one without residuals, as the program hands over no "
                       "residual and riesz_solve");
    if (needs.residual && !learner.has_surrogate())
      throw InputError(data.source,
                       "surrogate",
                       "none",
                       "one of the registered surrogates, whose predictions "
                       "have the residuals that '" +
                         acquisition + "' needs");
    if (needs.quantity && !model.quantity_of_interest)
      throw InputError(data.source,
                       "acquisition",
                       acquisition,
                       "one without a quantity of interest, as the program "
                       "hands over no quantity_of_interest");
    if (needs.given_threshold() && !std::isfinite(data.threshold))
      throw InputError(data.source,
                       "threshold",
                       fmt::format("{}", data.threshold),
                       "a finite number, which '" + acquisition + "' needs");
  }



  template <typename VectorType>
  void
  ActiveCampaign<VectorType>::check_levels(const ActiveLearner &learner) const
  {
    std::set<std::string> names;
    for (const auto &level : data.coarser)
      {
        if (level.name.empty() || !names.insert(level.name).second)
          throw InputError(data.source,
                           "the name of a coarser level",
                           level.name,
                           "one that no other level has");
        if (!level.solve)
          throw InputError(data.source,
                           "the solver of the coarser level '" + level.name +
                             "'",
                           "missing",
                           "a function like the host's solve()");
        if (!std::isnan(level.cost) &&
            !(level.cost > 0. && std::isfinite(level.cost)))
          throw InputError(data.source,
                           "the cost of the coarser level '" + level.name + "'",
                           fmt::format("{}", level.cost),
                           "a positive number, or none");
      }
    if (!data.coarser.empty() && !learner.has_surrogate())
      throw InputError(data.source,
                       "surrogate",
                       "none",
                       "one of the registered surrogates, where there are "
                       "coarser levels to learn from");
  }



  template <typename VectorType>
  nlohmann::json
  ActiveCampaign<VectorType>::settings() const
  {
    std::uint64_t table_hash = fnv1a(nullptr, 0);
    if (data.candidates == "table")
      for (const auto &row : data.table)
        table_hash = fnv1a(row.data(), row.size() * sizeof(double), table_hash);
    nlohmann::json result = {{"design", data.design},
                             {"initial solves", data.n_initial},
                             {"candidates", data.candidates},
                             {"table", hexadecimal(table_hash)},
                             {"cost", data.cost},
                             {"distribution", hexadecimal(inputs.hash())}};
    if (needs.given_threshold())
      result["threshold"] = data.threshold;
    for (const auto &level : data.coarser)
      result["coarser levels"].push_back(
        {{"name", level.name}, {"cost", number(level.cost)}});
    return result;
  }



  template <typename VectorType>
  std::string
  ActiveCampaign<VectorType>::campaign_name() const
  {
    const ActiveLearner learner(inputs.ranges(),
                                data.learner,
                                data.seed,
                                data.source);
    const std::string   text = settings().dump() + learner.settings().dump();
    return fmt::format("active learning by {}, seed {}, choices {}",
                       learner.settings()["acquisition"].get<std::string>(),
                       data.seed,
                       hexadecimal(fnv1a(text.data(), text.size())));
  }



  template <typename VectorType>
  std::string
  ActiveCampaign<VectorType>::level_name(const unsigned int level) const
  {
    return campaign_name() + ", level " + data.coarser.at(level).name;
  }



  template <typename VectorType>
  std::string
  ActiveCampaign<VectorType>::state_file() const
  {
    const std::string name = campaign_name();
    return fmt::format("{}/active-{}.json",
                       data.campaign.folder,
                       hexadecimal(fnv1a(name.data(), name.size())));
  }



  template <typename VectorType>
  std::string
  ActiveCampaign<VectorType>::held_out_name() const
  {
    return InputDistribution::held_out_name(data.seed);
  }



  template <typename VectorType>
  Input
  ActiveCampaign<VectorType>::held_out_input(const long number) const
  {
    return inputs.held_out(data.seed, number);
  }



  template <typename VectorType>
  nlohmann::json
  ActiveCampaign<VectorType>::to_json(const State &state) const
  {
    nlohmann::json result = {{"format", format},
                             {"campaign", campaign_name()},
                             {"settings", settings()},
                             {"learner", state.learner.state()},
                             {"points", nlohmann::json::array()},
                             {"expected costs", nlohmann::json::array()},
                             {"rounds", nlohmann::json::array()}};
    const auto     write  = [](const Asked &asked, nlohmann::json &to) {
      for (const auto &point : asked.points)
        to["points"].push_back(point);
      for (const double cost : asked.expected)
        to["expected costs"].push_back(number(cost));
    };
    write(state, result);
    for (const auto &level : state.coarser)
      {
        result["coarser levels"].emplace_back();
        write(level, result["coarser levels"].back());
      }
    for (const auto &round : state.rounds)
      {
        result["rounds"].push_back({{"points", round.n_points},
                                    {"failed", round.n_failed},
                                    {"cost", number(round.cost)},
                                    {"mean error", number(round.mean_error)},
                                    {"error, 95 %", number(round.error_95)}});
        if (!state.coarser.empty())
          result["rounds"].back()["coarser points"] = round.n_coarser;
      }
    return result;
  }



  template <typename VectorType>
  void
  ActiveCampaign<VectorType>::from_json(const nlohmann::json &json,
                                        State                &state) const
  {
    const std::string file = state_file();
    if (!json.is_object() || json.value("format", nlohmann::json()) != format)
      throw FileError(file,
                      std::string("it is no state of an active campaign in the "
                                  "format '") +
                        format + "', or damaged");
    if (json.value("campaign", nlohmann::json()) != campaign_name() ||
        json.value("settings", nlohmann::json()) != settings())
      throw FileError(file, "it is the state of other choices than these");
    state.learner.restore(json.value("learner", nlohmann::json()), file);
    try
      {
        const auto read = [](const nlohmann::json &from, Asked &asked) {
          asked = {};
          for (const auto &point : from.at("points"))
            asked.points.push_back(point.template get<Input>());
          for (const auto &cost : from.at("expected costs"))
            asked.expected.push_back(number_from(cost));
        };
        read(json, state);
        for (std::size_t l = 0; l < state.coarser.size(); ++l)
          read(json.at("coarser levels").at(l), state.coarser[l]);
        state.rounds.clear();
        for (const auto &round : json.at("rounds"))
          {
            state.rounds.push_back({round.at("points").get<unsigned int>(),
                                    round.at("failed").get<unsigned int>(),
                                    number_from(round.at("cost")),
                                    number_from(round.at("mean error")),
                                    number_from(round.at("error, 95 %"))});
            if (!state.coarser.empty())
              state.rounds.back().n_coarser =
                round.at("coarser points").get<std::vector<unsigned int>>();
          }
      }
    catch (const nlohmann::json::exception &)
      {
        throw FileError(file, "an entry of it is damaged");
      }
    if (!is_consistent(state))
      throw FileError(file, "its points are damaged");
  }



  template <typename VectorType>
  bool
  ActiveCampaign<VectorType>::is_consistent(const State &state) const
  {
    // The highest level of each choice.
    std::map<std::uint64_t, long> levels;
    for (const auto &decision : state.learner.acquisition().decisions())
      levels[decision.id] = std::max(decision.level, 0l);
    const auto is_whole = [&](const Asked &asked, const long level) {
      const auto n_chosen =
        std::count_if(levels.begin(), levels.end(), [&](const auto &choice) {
          return choice.second >= level;
        });
      return asked.points.size() == data.n_initial + std::size_t(n_chosen) &&
             asked.expected.size() == asked.points.size() &&
             std::all_of(asked.points.begin(),
                         asked.points.end(),
                         [this](const Input &point) {
                           return point.size() == inputs.size();
                         });
    };
    bool result = is_whole(state, long(state.coarser.size()));
    for (std::size_t l = 0; l < state.coarser.size(); ++l)
      result = result && is_whole(state.coarser[l], long(l));
    return result;
  }



  template <typename VectorType>
  void
  ActiveCampaign<VectorType>::publish(State &state, const bool write) const
  {
    std::string text;
    groups.on_root([&]() {
      text = to_json(state).dump(1) + "\n";
      if (write)
        publish_text(state_file(), text);
    });
    text = Utilities::MPI::broadcast(groups.world, text);
    if (!groups.is_root())
      from_json(nlohmann::json::parse(text), state);
  }



  template <typename VectorType>
  unsigned int
  ActiveCampaign<VectorType>::solve(const FullOrderModel<VectorType> &solver,
                                    const std::string                &name,
                                    const std::string                &design,
                                    const Asked                      &asked,
                                    const std::string &problem) const
  {
    auto campaign_data                 = data.campaign;
    campaign_data.description.campaign = name;
    campaign_data.description.design   = design;
    campaign_data.description.seed     = std::to_string(data.seed);
    if (campaign_data.description.parameter_units.empty())
      campaign_data.description.parameter_units = inputs.units();
    // The campaign learns costs by itself where nothing is known of them; not
    // from a store that has solves of several levels.
    const bool known = !data.coarser.empty() ||
                       std::any_of(asked.expected.begin(),
                                   asked.expected.end(),
                                   [](const double c) { return c >= 0.; });
    return Campaign<VectorType>(solver, layout, groups, campaign_data)
      .run(
        asked.points.size(),
        [&asked](const long i) { return asked.points[i]; },
        problem,
        inputs.names(),
        known ? asked.expected : std::vector<double>());
  }



  template <typename VectorType>
  unsigned int
  ActiveCampaign<VectorType>::solve_levels(const State       &state,
                                           const std::string &problem) const
  {
    const std::string design = data.design + ", then chosen";
    if (state.coarser.empty())
      return solve(model, campaign_name(), design, state, problem);

    // Where a coarser solve has failed there is no difference to learn.
    std::set<Input> failed;
    using Solver =
      std::function<unsigned int(const Input &input, VectorType &solution)>;
    const auto unless_failed = [&failed](const Solver &solver) {
      return Solver(
        [&failed, solver](const Input &input, VectorType &solution) {
          if (failed.count(input) > 0)
            throw std::runtime_error("the solve on a coarser level has failed");
          return solver(input, solution);
        });
    };
    unsigned int result = 0;
    for (std::size_t l = 0; l < state.coarser.size(); ++l)
      {
        FullOrderModel<VectorType> solver = model;
        solver.solve          = unless_failed(data.coarser[l].solve);
        solver.fallback_solve = nullptr;
        result +=
          solve(solver, level_name(l), design, state.coarser[l], problem);
        const SnapshotReader store(data.campaign.folder, problem);
        const auto points = solved(store, level_name(l), state.coarser[l]);
        for (std::size_t i = 0; i < state.coarser[l].points.size(); ++i)
          if (!points.succeeded[i].template item<bool>())
            failed.insert(state.coarser[l].points[i]);
      }
    FullOrderModel<VectorType> solver = model;
    solver.solve                      = unless_failed(model.solve);
    if (model.fallback_solve)
      solver.fallback_solve = unless_failed(model.fallback_solve);
    return result + solve(solver, campaign_name(), design, state, problem);
  }



  template <typename VectorType>
  SolvedPoints
  ActiveCampaign<VectorType>::solved(const SnapshotReader &store,
                                     const std::string    &name,
                                     const Asked          &asked) const
  {
    const long n     = long(asked.points.size());
    const long first = store.first_id(name);

    SolvedPoints result;
    result.inputs      = as_rows(asked.points, inputs.size());
    result.succeeded   = torch::zeros({n}, torch::kBool);
    result.costs       = torch::full({n}, nan_value, torch::kFloat64);
    unsigned int found = 0;
    for (const auto &record : store.records())
      if (record.id >= first && record.id < first + n)
        {
          const long i = record.id - first;
          if (record.parameters != asked.points[i])
            throw FileError(state_file(),
                            fmt::format("its point {} is ({}), where the store "
                                        "has ({}) as sample {}",
                                        i,
                                        shown(asked.points[i]),
                                        shown(record.parameters),
                                        record.id));
          result.succeeded[i] = record.succeeded;
          double cost         = nan_value;
          if (data.cost == "seconds")
            cost = record.seconds;
          else if (data.cost == "iterations")
            cost = double(record.iterations);
          else if (const auto told = record.statistics.find(data.cost);
                   told != record.statistics.end())
            cost = told->second;
          if (std::isfinite(cost) && cost > 0.)
            result.costs[i] = cost;
          ++found;
        }
    AssertThrow(found == asked.points.size(),
                ExcMessage("The campaign has left out a point."));

    return result;
  }



  template <typename VectorType>
  SolvedPoints
  ActiveCampaign<VectorType>::solved(const SnapshotReader &store,
                                     const State          &state) const
  {
    auto result = solved(store, campaign_name(), state);
    for (std::size_t l = 0; l < state.coarser.size(); ++l)
      {
        result.coarser.push_back(
          solved(store, level_name(l), state.coarser[l]));
        auto &level = result.coarser.back();
        if (const double cost = data.coarser[l].cost; std::isfinite(cost))
          {
            level.fixed_cost = cost;
            level.costs.fill_(cost);
          }
      }
    std::vector<Input> held_out;
    for (unsigned int i = 0; i < data.n_held_out; ++i)
      held_out.push_back(held_out_input(i));
    result.held_out = as_rows(held_out, inputs.size());
    return result;
  }



  template <typename VectorType>
  void
  ActiveCampaign<VectorType>::fit(const SnapshotReader &store,
                                  State                &state) const
  {
    const auto reader = [&](const std::string &name, const Asked &asked) {
      // Points that a later choice has added are none of this round's.
      const long        first = store.first_id(name);
      std::vector<long> ids;
      for (const long id : store.ids())
        if (id >= first && id < first + long(asked.points.size()))
          ids.push_back(id);
      return std::make_unique<SnapshotReader>(store, ids);
    };
    std::vector<std::unique_ptr<SnapshotReader>> readers;
    for (std::size_t l = 0; l < state.coarser.size(); ++l)
      readers.push_back(reader(level_name(l), state.coarser[l]));
    readers.push_back(reader(campaign_name(), state));
    std::vector<const SnapshotSource *> levels;
    for (const auto &level : readers)
      levels.push_back(level.get());
    state.learner.fit(levels,
                      store.read_space(),
                      mpi_communicator(groups.world));
    state.learner.distribute(layout.first_value(),
                             layout.n_local_values(),
                             mpi_communicator(groups.group()));
  }



  template <typename VectorType>
  torch::Tensor
  ActiveCampaign<VectorType>::held_out_errors(const SnapshotReader &store,
                                              const State          &state) const
  {
    const long        first = store.first_id(held_out_name());
    std::vector<long> ids;
    for (const long id : store.ids())
      if (id >= first && id < first + long(data.n_held_out))
        ids.push_back(id);
    auto errors = torch::zeros({long(ids.size())}, torch::kFloat64);
    groups.distribute(ids.size(), [&](const unsigned int i) {
      const SnapshotReader one(store, {ids[i]});
      const auto           snapshot = one.read(0, 1);
      VectorType           difference, solution;
      model.reinit_vector(difference);
      model.reinit_vector(solution);
      const auto truth = layout.local_part(snapshot.solution);
      const auto mean =
        state.learner.surrogate()
          .predict({snapshot.parameters, layout.local_part(snapshot.prior)})
          .mean;
      layout.from_tensor((mean - truth)[0], difference);
      layout.from_tensor(truth[0], solution);
      const double error = layout.norm(difference) / layout.norm(solution);
      if (groups.is_group_root())
        errors[i] = error;
    });
    mpi_communicator(groups.world).sum(errors);
    return errors;
  }



  template <typename VectorType>
  torch::Tensor
  ActiveCampaign<VectorType>::quantities(const SnapshotReader &store,
                                         State                &state) const
  {
    const long first = store.first_id(campaign_name()),
               known = long(state.quantities.size()),
               n     = long(state.points.size());
    std::vector<long> ids;
    for (const long id : store.ids())
      if (id >= first + known && id < first + n)
        ids.push_back(id);
    auto values = torch::zeros({long(ids.size())}, torch::kFloat64);
    groups.distribute(ids.size(), [&](const unsigned int i) {
      const auto snapshot = SnapshotReader(store, {ids[i]}).read(0, 1);
      VectorType solution;
      model.reinit_vector(solution);
      layout.from_tensor(layout.local_part(snapshot.solution)[0], solution);
      // Where it fails the sample is as good as none.
      double     value   = nan_value;
      const auto failure = groups.try_on_group([&]() {
        value =
          model.quantity_of_interest(state.points[ids[i] - first], solution);
      });
      if (groups.is_group_root())
        values[i] = failure.empty() ? value : nan_value;
    });
    mpi_communicator(groups.world).sum(values);

    state.quantities.resize(n, nan_value);
    for (std::size_t i = 0; i < ids.size(); ++i)
      state.quantities[ids[i] - first] = values[i].template item<double>();
    return torch::tensor(state.quantities, torch::kFloat64);
  }



  template <typename VectorType>
  std::vector<Input>
  ActiveCampaign<VectorType>::candidates_of(
    const std::uint64_t         round,
    const long                  n,
    std::vector<std::uint64_t> &ids) const
  {
    std::vector<Input> result;
    ids.clear();
    if (data.candidates == "table")
      {
        for (std::uint64_t i = 0; i < data.table.size(); ++i)
          ids.push_back(i);
        return data.table;
      }
    for (long i = 0; i < n; ++i)
      {
        ids.push_back(i + (data.candidates == "stream" ? round * n : 0));
        result.push_back(inputs.draw(data.seed,
                                     CounterRandom::Stream::candidates,
                                     ids.back()));
      }
    return result;
  }



  template <typename VectorType>
  torch::Tensor
  ActiveCampaign<VectorType>::residuals(
    const torch::Tensor         &all,
    const std::vector<long>     &rows,
    const long                   begin,
    const long                   end,
    const ActiveLearner::Scores &scores) const
  {
    const ResidualNorm<VectorType> residual_norm(model, layout, groups);
    auto result = torch::full({end - begin}, nan_value, torch::kFloat64);
    for (long i = 0; i < end - begin; ++i)
      if (std::isfinite(scores.scale[i].template item<double>()))
        {
          VectorType prediction;
          model.reinit_vector(prediction);
          layout.from_tensor(scores.mean[i], prediction);
          const double norm = layout.norm(prediction);
          result[i] =
            residual_norm(row_of(all, rows[begin + i]), prediction) / norm;
        }
    return result;
  }



  template <typename VectorType>
  void
  ActiveCampaign<VectorType>::add_unfinished(
    const State                &state,
    std::vector<Input>         &candidates,
    std::vector<std::uint64_t> &ids) const
  {
    // Only fresh draws leave others behind.
    if (state.coarser.empty() || data.candidates != "stream")
      return;
    std::map<std::uint64_t, long> levels;
    for (const auto &decision : state.learner.acquisition().decisions())
      levels[decision.id] = decision.level;
    for (const auto &[id, level] : levels)
      if (level < long(state.coarser.size()))
        {
          ids.push_back(id);
          candidates.push_back(
            inputs.draw(data.seed, CounterRandom::Stream::candidates, id));
        }
  }



  template <typename VectorType>
  std::string
  ActiveCampaign<VectorType>::budget_is_spent(const State        &state,
                                              const SolvedPoints &points) const
  {
    const Round &now = state.rounds.back();
    if (now.mean_error <= data.error_goal)
      return "the error goal is reached";
    if (state.points.size() >= data.n_solves)
      return "all solves are spent";
    if (now.cost >= data.cost_budget)
      return "the cost budget is spent";
    double coarser_cost = 0.;
    for (const auto &level : points.coarser)
      coarser_cost +=
        torch::nan_to_num(level.costs).sum().template item<double>();
    const auto known =
      points.costs.index_select(0,
                                torch::nonzero(points.costs > 0.).squeeze(1));
    // A level that is ever so cheap is not to be solved for ever.
    if (coarser_cost > 0. && known.numel() > 0 &&
        coarser_cost >= data.n_solves * known.mean().template item<double>())
      return "the coarser levels have cost as much as all full solves may";
    return "";
  }



  template <typename VectorType>
  std::string
  ActiveCampaign<VectorType>::choose_levels(
    const Candidates         &given,
    const std::vector<Input> &candidates,
    const SolvedPoints       &points,
    State                    &state) const
  {
    const auto rows       = as_rows(candidates, inputs.size());
    const auto before     = state.learner.state();
    const long k          = state.learner.settings()["round size"];
    Candidates known      = given;
    known.limits.cost     = data.cost_budget - state.rounds.back().cost;
    known.limits.n_finest = long(data.n_solves) - long(state.points.size());
    const auto choice     = state.learner.choose(known, rows, points, k);
    for (std::size_t i = 0; i < choice.rows.size(); ++i)
      for (std::size_t c = 0; c < choice.level_costs[i].size(); ++c)
        {
          const std::size_t l = choice.first_level[i] + c;
          Asked &level = l < state.coarser.size() ? state.coarser[l] : state;
          level.points.push_back(candidates[choice.rows[i]]);
          level.expected.push_back(choice.level_costs[i][c]);
        }
    if (!choice.rows.empty())
      return "";

    // Is there none, or none that is cheap enough?
    state.learner.restore(before, state_file());
    known.limits.cost = std::numeric_limits<double>::infinity();
    const bool is_there =
      !state.learner.choose(known, rows, points, k).rows.empty();
    state.learner.restore(before, state_file());
    return is_there ? "the cost budget is spent" : "no candidate is left";
  }



  template <typename VectorType>
  ActiveLearner::Scores
  ActiveCampaign<VectorType>::score(const torch::Tensor     &all,
                                    const std::vector<long> &rows,
                                    const State             &state) const
  {
    const long n = all.size(0), n_rows = long(rows.size());
    const long size = ActiveLearner::block_size;

    // Blocks are the same for all numbers of groups, and so are their scores.
    auto          scale    = torch::zeros({n_rows}, torch::kFloat64);
    auto          residual = torch::zeros({n_rows}, torch::kFloat64);
    torch::Tensor features;
    // (With a single level there are none.)
    auto level_scales =
      torch::zeros({n_rows, long(state.coarser.size()) + 1}, torch::kFloat64);
    groups.distribute((n_rows + size - 1) / size, [&](const unsigned int b) {
      const long begin = b * size, end = std::min(begin + size, n_rows);
      const auto index =
        torch::tensor(std::vector<std::int64_t>(rows.begin() + begin,
                                                rows.begin() + end),
                      torch::kInt64);
      Inputs block;
      block.parameters = all.index_select(0, index);
      block.prior =
        torch::zeros({end - begin, layout.n_local_values()}, torch::kFloat64);
      std::vector<bool> has_prior(end - begin, true);
      if (model.coarse_solve)
        for (long i = begin; i < end; ++i)
          {
            const Input input = row_of(all, rows[i]);
            VectorType  solution;
            model.reinit_vector(solution);
            // Where it fails the full solve is not even tried.
            const auto failure   = groups.try_on_group([&]() {
              solution = 0.;
              model.coarse_solve(input, solution);
              const auto prior = layout.to_tensor(solution);
              AssertThrow(torch::isfinite(prior).all().template item<bool>(),
                          ExcMessage("the coarse solution is not finite"));
              block.prior[i - begin].copy_(prior);
            });
            has_prior[i - begin] = failure.empty();
            if (!failure.empty())
              block.prior[i - begin].fill_(1.);
          }
      auto scores = state.learner.score(block);
      for (long i = begin; i < end; ++i)
        if (!has_prior[i - begin])
          scores.scale[i - begin] = nan_value;
      const auto norms = needs.residual ?
                           residuals(all, rows, begin, end, scores) :
                           torch::Tensor();
      if (!groups.is_group_root())
        return;
      scale.slice(0, begin, end).copy_(scores.scale);
      if (norms.defined())
        residual.slice(0, begin, end).copy_(norms);
      if (scores.level_scales.defined())
        level_scales.slice(0, begin, end).copy_(scores.level_scales);
      if (scores.features.defined())
        {
          if (!features.defined())
            features =
              torch::zeros({n_rows, scores.features.size(1)}, torch::kFloat64);
          features.slice(0, begin, end).copy_(scores.features);
        }
    });
    const auto everybody = mpi_communicator(groups.world);
    everybody.sum(scale);
    everybody.sum(residual);
    const long width =
      Utilities::MPI::max(features.defined() ? long(features.size(1)) : 0l,
                          groups.world);

    // Those that nobody has looked at are not to be chosen.
    const auto index =
      torch::tensor(std::vector<std::int64_t>(rows.begin(), rows.end()),
                    torch::kInt64);
    ActiveLearner::Scores result;
    result.scale = torch::full({n}, nan_value, torch::kFloat64);
    result.scale.index_copy_(0, index, scale);
    if (needs.residual)
      {
        result.residual = torch::full({n}, nan_value, torch::kFloat64);
        result.residual.index_copy_(0, index, residual);
      }
    if (!state.coarser.empty())
      {
        everybody.sum(level_scales);
        result.level_scales =
          torch::full({n, level_scales.size(1)}, nan_value, torch::kFloat64);
        result.level_scales.index_copy_(0, index, level_scales);
      }
    if (width > 0)
      {
        if (!features.defined())
          features = torch::zeros({n_rows, width}, torch::kFloat64);
        everybody.sum(features);
        result.features = torch::zeros({n, width}, torch::kFloat64);
        result.features.index_copy_(0, index, features);
      }
    return result;
  }



  template <typename VectorType>
  typename ActiveCampaign<VectorType>::Result
  ActiveCampaign<VectorType>::run(const std::string &problem) const
  {
    State state{
      {},
      ActiveLearner(inputs.ranges(), data.learner, data.seed, data.source),
      {},
      {},
      {}};
    const auto design = make_design(
      data.design, data.seed, inputs.size(), data.n_initial, data.source);
    for (unsigned int i = 0; i < data.n_initial; ++i)
      state.points.push_back(inputs.at(design->point(i)));
    state.expected.assign(data.n_initial, nan_value);
    state.coarser.assign(data.coarser.size(), state);
    const long round_size   = state.learner.settings()["round size"];
    const long n_candidates = state.learner.settings()["candidates"];

    // What an earlier run has chosen.
    groups.on_root([&]() {
      const std::string file = state_file();
      if (!std::filesystem::exists(file))
        return;
      std::ifstream     in(file, std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(in),
                             std::istreambuf_iterator<char>()};
      from_json(nlohmann::json::parse(text, nullptr, false), state);
    });
    publish(state, false);

    Result   result;
    Progress progress("active learning", data.n_solves, groups.is_root());
    result.n_solved = 0;
    if (data.n_held_out > 0)
      {
        Asked held_out;
        for (unsigned int i = 0; i < data.n_held_out; ++i)
          held_out.points.push_back(held_out_input(i));
        held_out.expected.assign(data.n_held_out, nan_value);
        result.n_solved +=
          solve(model, held_out_name(), "Monte Carlo", held_out, problem);
      }

    while (result.end.empty())
      {
        result.n_solved += solve_levels(state, problem);
        const SnapshotReader store(data.campaign.folder, problem);
        auto                 points = solved(store, state);
        const unsigned int   n      = state.points.size();
        result.first_id             = store.first_id(campaign_name());
        result.first_held_out_id    = store.first_id(held_out_name());

        std::vector<unsigned int> n_coarser;
        result.coarser.clear();
        for (std::size_t l = 0; l < state.coarser.size(); ++l)
          {
            n_coarser.push_back(state.coarser[l].points.size());
            result.coarser.push_back(
              {state.coarser[l].points, store.first_id(level_name(l))});
          }

        bool fitted  = false;
        bool changed = false;
        if (state.rounds.empty() || state.rounds.back().n_points != n ||
            state.rounds.back().n_coarser != n_coarser)
          {
            Round round;
            round.n_points  = n;
            round.n_coarser = n_coarser;
            round.n_failed =
              n - points.succeeded.sum().template item<std::int64_t>();
            round.cost =
              torch::nan_to_num(points.costs).sum().template item<double>();
            for (const auto &level : points.coarser)
              round.cost +=
                torch::nan_to_num(level.costs).sum().template item<double>();
            if (data.n_held_out > 0)
              {
                fit(store, state);
                fitted            = true;
                const auto errors = held_out_errors(store, state);
                if (errors.numel() > 0)
                  {
                    round.mean_error = errors.mean().template item<double>();
                    round.error_95 =
                      torch::quantile(errors, 0.95).template item<double>();
                  }
                progress.say(fmt::format("  {} solves: mean error {:.3g}, 95 % "
                                         "below {:.3g}\n",
                                         n,
                                         round.mean_error,
                                         round.error_95));
              }
            state.rounds.push_back(round);
            changed = true;
          }
        const Round &now = state.rounds.back();
        const long   k   = std::min<long>(round_size, long(data.n_solves) - n);
        result.end       = budget_is_spent(state, points);
        if (!result.end.empty())
          {
            if (changed)
              publish(state, true);
            break;
          }

        // Choose.
        std::vector<std::uint64_t> ids;
        auto candidates = candidates_of(state.learner.acquisition().n_rounds(),
                                        n_candidates,
                                        ids);
        add_unfinished(state, candidates, ids);
        const auto rows_of_all = as_rows(candidates, inputs.size());
        Candidates known;
        known.ids       = ids;
        known.threshold = data.threshold;
        if (needs.quantity)
          points.quantity = quantities(store, state);
        if (state.learner.has_surrogate())
          {
            if (!fitted)
              fit(store, state);
            const auto repeated =
              repeated_rows(rows_of_all,
                            torch::cat({points.inputs, points.held_out}));
            std::vector<long> rows;
            for (long i = 0; i < rows_of_all.size(0); ++i)
              if (!repeated[i].template item<bool>())
                rows.push_back(i);
            const auto scores = score(rows_of_all, rows, state);
            known.scale       = scores.scale;
            known.features    = scores.features;
            known.residual    = scores.residual;
            if (scores.level_scales.defined())
              known.set_level_scales(scores.level_scales);
          }
        groups.on_root([&]() {
          if (!state.coarser.empty())
            {
              result.end = choose_levels(known, candidates, points, state);
              return;
            }
          // What a round is expected to cost has to fit into the budget.
          const auto   before = state.learner.state();
          const double mean_cost =
            now.cost /
            std::max<double>(
              1., points.costs.isfinite().sum().template item<std::int64_t>());
          long n_chosen = k;
          while (true)
            {
              const auto choice =
                state.learner.choose(known, rows_of_all, points, n_chosen);
              long   n_affordable = 0;
              double total        = now.cost;
              for (const double cost : choice.costs)
                {
                  total += std::isnan(cost) ? mean_cost : cost;
                  if (total > data.cost_budget)
                    break;
                  ++n_affordable;
                }
              if (n_affordable == long(choice.rows.size()))
                {
                  for (std::size_t i = 0; i < choice.rows.size(); ++i)
                    {
                      state.points.push_back(candidates[choice.rows[i]]);
                      state.expected.push_back(choice.costs[i]);
                    }
                  if (choice.rows.empty())
                    {
                      state.learner.restore(before, state_file());
                      result.end = n_chosen == 0 ? "the cost budget is spent" :
                                                   "no candidate is left";
                    }
                  break;
                }
              state.learner.restore(before, state_file());
              n_chosen = n_affordable;
            }
        });
        result.end = Utilities::MPI::broadcast(groups.world, result.end);
        publish(state, true);
      }
    result.points = state.points;
    result.rounds = state.rounds;
    progress.say(fmt::format("  {} solves, {} of them failed: {}\n",
                             state.points.size(),
                             state.rounds.back().n_failed,
                             result.end));
    return result;
  }



  template class ActiveCampaign<Vector<double>>;
  template class ActiveCampaign<LinearAlgebra::distributed::Vector<double>>;
  template class ActiveCampaign<TrilinosWrappers::MPI::Vector>;
  template class ActiveCampaign<PETScWrappers::MPI::Vector>;
} // namespace neuraldeal
