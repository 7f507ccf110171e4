// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/acquisition/active_learner.h>
#include <neuraldeal/surrogates/acquisition/cost_model.h>
#include <neuraldeal/surrogates/acquisition/feasibility_model.h>
#include <neuraldeal/surrogates/acquisition/quantity_model.h>
#include <neuraldeal/surrogates/pod.h>
#include <neuraldeal/surrogates/training_task.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *format = "neural.deal active learner 1";

    /** Of what is learned of errors; more would have little to say. */
    constexpr long most_modes = 64;

    /** @throw InputError unless @p values are a row of @p d numbers each. */
    torch::Tensor
    checked_inputs(const torch::Tensor &values,
                   const long           d,
                   const std::string   &what)
    {
      if (!values.defined() || values.dim() != 2 || values.size(1) != d)
        throw InputError("the program",
                         "the shape of " + what,
                         values.defined() ? c10::str(values.sizes()) :
                                            "nothing",
                         fmt::format("[n, {}]", d));
      return values.detach().to(torch::kCPU, torch::kFloat64).contiguous();
    }

    std::vector<double>
    row_of(const torch::Tensor &rows, const long i)
    {
      const long          d    = rows.size(1);
      const double       *data = rows.data_ptr<double>() + i * d;
      std::vector<double> result(data, data + d);
      return result;
    }

    /** [n] bool: the rows of @p inputs that are rows of @p known. */
    torch::Tensor
    rows_among(const torch::Tensor &inputs, const torch::Tensor &known)
    {
      std::set<std::vector<double>> there;
      for (long i = 0; i < known.size(0); ++i)
        there.insert(row_of(known, i));
      auto  result = torch::zeros({inputs.size(0)}, torch::kBool);
      bool *marks  = result.data_ptr<bool>();
      for (long i = 0; i < inputs.size(0); ++i)
        marks[i] = there.count(row_of(inputs, i)) > 0;
      return result;
    }

    /** Of what has been asked for, that which has succeeded, [m] bool. */
    torch::Tensor
    succeeded_of(const SolvedPoints &points, const long m)
    {
      return points.succeeded.defined() ? points.succeeded.cpu() :
                                          torch::ones({m}, torch::kBool);
    }
  } // namespace



  torch::Tensor
  repeated_rows(const torch::Tensor &inputs, const torch::Tensor &known)
  {
    const long d = inputs.dim() == 2 ? inputs.size(1) : 0;
    const auto x = checked_inputs(inputs, d, "the inputs"),
               y = checked_inputs(known, d, "the known inputs");
    std::set<std::vector<double>> there;
    for (long i = 0; i < y.size(0); ++i)
      there.insert(row_of(y, i));
    auto  result = torch::zeros({x.size(0)}, torch::kBool);
    bool *marks  = result.data_ptr<bool>();
    for (long i = 0; i < x.size(0); ++i)
      marks[i] = !there.insert(row_of(x, i)).second;
    return result;
  }



  std::vector<ParameterDescription>
  ActiveLearner::parameters()
  {
    const auto none = nlohmann::json::object();
    return {
      {"surrogate",
       "POD kernel regression",
       0.,
       0.,
       "What learns between rounds, one of the registered surrogates, or none "
       "where the acquisition function needs no predictions."},
      {"surrogate parameters",
       none,
       0.,
       0.,
       "Overrides of its parameters, a JSON object."},
      {"acquisition",
       Acquisition::default_type(),
       0.,
       0.,
       "What chooses, one of the registered acquisition functions."},
      {"acquisition parameters",
       none,
       0.,
       0.,
       "Overrides of its parameters, a JSON object."},
      {"cost model",
       "none",
       0.,
       0.,
       "How costs of solves are learned from the inputs: none, kernel or "
       "linear."},
      {"feasibility model",
       false,
       0.,
       0.,
       "Whether the probability of success is learned from failed solves."},
      {"features",
       "inputs",
       0.,
       0.,
       "What distances between candidates are distances of: inputs, or "
       "surrogate for what that makes of them and of the coarse solution."},
      {"candidates", 1024, 1., 1e9, "Candidates a round."},
      {"round size", 8, 1., 1e9, "Candidates to choose in a round."}};
  }



  ActiveLearner::ActiveLearner(const std::vector<InputRange> &ranges,
                               const nlohmann::json          &given,
                               const std::uint64_t            seed,
                               const std::string             &source)
    : ranges(ranges)
    , source(source)
    , chosen_parameters(complete_parameters(parameters(), given, source))
    , seed(seed)
    , chooser(chosen_parameters["acquisition"].get<std::string>(),
              chosen_parameters["acquisition parameters"],
              seed,
              source)
    , fitted([ranges, source, choices = chosen_parameters]() {
      return make_surrogate(choices["surrogate"],
                            ranges,
                            choices["surrogate parameters"],
                            source);
    })
  {
    check_choice(source,
                 "features",
                 chosen_parameters["features"],
                 {"inputs", "surrogate"});
    check_choice(source,
                 "cost model",
                 chosen_parameters["cost model"],
                 {"none", "kernel", "linear"});
    if (has_surrogate())
      // A wrong parameter is said now.
      make_surrogate(chosen_parameters["surrogate"],
                     ranges,
                     chosen_parameters["surrogate parameters"],
                     source);
    else if (chosen_parameters["features"] == "surrogate")
      throw InputError(source,
                       "features",
                       "surrogate",
                       "inputs where the surrogate is 'none'");
  }



  const MultifidelityModel &
  ActiveLearner::surrogate() const
  {
    TORCH_CHECK(fitted.n_levels() > 0, "The active learner is not fitted.");
    return fitted;
  }



  void
  ActiveLearner::fit(const SnapshotSource &data,
                     const FieldSpace     &space,
                     const Communicator   &communicator)
  {
    fit(std::vector<const SnapshotSource *>{&data}, space, communicator);
  }



  void
  ActiveLearner::fit(const std::vector<const SnapshotSource *> &levels,
                     const FieldSpace                          &space,
                     const Communicator                        &communicator)
  {
    for (std::size_t l = 0; l < levels.size(); ++l)
      if (levels[l]->size() == 0)
        throw InputError(source,
                         "the number of solves that have succeeded" +
                           (levels.size() > 1 ? fmt::format(" on level {}", l) :
                                                ""),
                         "0",
                         "one at least, to learn from");
    const FidelityLevels parts(levels, space, ranges);
    fitted.fit(parts, space, communicator);

    learned.clear();
    factors.clear();
    for (std::size_t l = 0; l < levels.size(); ++l)
      {
        learned.push_back(learn(parts[l], *levels[l], space, communicator));
        factors.push_back(parts.factor(l));
      }
    // Errors of all levels are over norms of the finest one's solutions.
    for (std::size_t l = 0; l + 1 < levels.size(); ++l)
      if (learned[l].norms.defined() && learned.back().norms.defined())
        learned[l].norms = learned[l].norms * (learned.back().norms.mean() /
                                               learned[l].norms.mean());
  }



  ActiveLearner::Learned
  ActiveLearner::learn(const SnapshotSource &data,
                       const SnapshotSource &solved,
                       const FieldSpace     &space,
                       const Communicator   &communicator) const
  {
    Learned    result;
    const auto in_blocks = [&](const auto &of) {
      std::vector<torch::Tensor> blocks;
      for (long begin = 0; begin < data.size(); begin += block_size)
        blocks.push_back(of(begin, std::min(begin + block_size, data.size())));
      return torch::cat(blocks);
    };
    if (chosen_parameters["features"] == "surrogate")
      result.features = in_blocks([&](const long begin, const long end) {
        const auto features = fitted.features(data.read(begin, end));
        if (!features.defined())
          throw InputError(source,
                           "features",
                           "surrogate",
                           "inputs, since the surrogate '" +
                             chosen_parameters["surrogate"].get<std::string>() +
                             "' has no features");
        return features;
      });
    if (chosen_parameters["acquisition"] != "integrated error")
      return result;

    const auto correction = [](const Snapshots &snapshots) {
      return snapshots.solution - snapshots.prior;
    };
    const auto   sizes = in_blocks([&](const long begin, const long end) {
      const auto snapshots = data.read(begin, end);
      return torch::stack({space.norm(correction(snapshots)),
                           space.norm(&solved == &data ?
                                        snapshots.solution :
                                        solved.read(begin, end).solution)},
                          1);
    });
    const double typical =
      sizes.select(1, 0).square().mean().sqrt().item<double>();
    // Where all are what they were expected to be there is nothing to go by.
    if (data.size() < 2 || typical == 0.)
      return result;
    const auto pod = compute_pod(
      data.size(),
      [&](const long begin, const long end) {
        return correction(data.read(begin, end));
      },
      space,
      1e-3 * typical,
      most_modes,
      communicator);
    result.values    = in_blocks([&](const long begin, const long end) {
      return correction(data.read(begin, end)).matmul(pod.projector);
    });
    const auto norms = sizes.select(1, 1);
    result.norms     = norms.clamp_min(1e-12 * norms.max().item<double>());
    return result;
  }



  void
  ActiveLearner::distribute(const long          first_value,
                            const long          n_values,
                            const Communicator &group)
  {
    surrogate(); // which has to be there
    fitted.distribute(first_value, n_values, group);
  }



  ActiveLearner::Scores
  ActiveLearner::score(const Inputs &block) const
  {
    Scores     result;
    const auto prediction = surrogate().predict(block);
    result.scale          = prediction.scale / prediction.norm;
    // A norm of zero leaves nothing to be relative to.
    result.scale = torch::where(result.scale.isfinite(),
                                result.scale,
                                std::numeric_limits<double>::quiet_NaN() *
                                  torch::ones_like(result.scale));
    result.mean  = prediction.mean;
    if (prediction.level_scales.defined())
      result.level_scales =
        prediction.level_scales / prediction.norm.unsqueeze(1);
    if (chosen_parameters["features"] == "surrogate")
      result.features = surrogate().features(block);
    return result;
  }



  torch::Tensor
  ActiveLearner::scaled(const torch::Tensor &inputs) const
  {
    auto result = inputs.clone();
    for (std::size_t d = 0; d < ranges.size(); ++d)
      {
        auto   column = result.select(1, long(d));
        double lower = ranges[d].lower, upper = ranges[d].upper;
        if (ranges[d].logarithmic)
          {
            column.log_();
            lower = std::log(lower);
            upper = std::log(upper);
          }
        // An unbounded input has a unit of its own.
        if (std::isfinite(lower) && std::isfinite(upper) && upper > lower)
          column.sub_(0.5 * (lower + upper)).div_(0.5 * (upper - lower));
      }
    return result;
  }



  torch::Tensor
  ActiveLearner::expected_costs(const torch::Tensor &given,
                                const SolvedPoints  &solved) const
  {
    const long d      = long(ranges.size());
    const auto inputs = checked_inputs(given, d, "the inputs of candidates");
    auto       result = torch::full({inputs.size(0)},
                              std::numeric_limits<double>::quiet_NaN(),
                              torch::kFloat64);
    if (chosen_parameters["cost model"] == "none" || !solved.costs.defined())
      return result;
    const auto x     = checked_inputs(solved.inputs, d, "the solved inputs");
    const auto costs = solved.costs.to(torch::kCPU, torch::kFloat64);
    const auto known = torch::nonzero(costs.isfinite()).squeeze(1);
    if (known.size(0) == 0)
      return result;
    const nlohmann::json parameters = {
      {"regression", chosen_parameters["cost model"]}};
    CostModel model(parameters, source);
    model.fit(scaled(x.index_select(0, known)), costs.index_select(0, known));
    // What is far from all that is known may have no finite expectation.
    return model.predict(scaled(inputs))
      .expected.clamp(std::numeric_limits<double>::min(),
                      std::numeric_limits<double>::max());
  }



  void
  ActiveLearner::add_quantity(Candidates          &candidates,
                              const torch::Tensor &inputs,
                              const SolvedPoints  &solved) const
  {
    using Threshold  = AcquisitionNeeds::Threshold;
    const auto needs = chooser.needs();
    if (!needs.quantity || candidates.mean.defined() ||
        !solved.quantity.defined())
      return;
    const auto x =
      checked_inputs(solved.inputs, long(ranges.size()), "the solved inputs");
    const auto q = solved.quantity.to(torch::kCPU, torch::kFloat64);
    if (q.dim() != 1 || q.size(0) != x.size(0))
      throw InputError("the program",
                       "the shape of the quantity of interest",
                       c10::str(q.sizes()),
                       fmt::format("[{}]", x.size(0)));
    const auto known = torch::nonzero(q.isfinite()).squeeze(1);
    if (known.size(0) < 2)
      throw InputError(source,
                       "the number of solves with a quantity of interest",
                       std::to_string(known.size(0)),
                       "two at least, to learn from");
    const auto    values = q.index_select(0, known);
    QuantityModel model;
    model.fit(scaled(x.index_select(0, known)), values);
    const auto prediction = model.predict(scaled(inputs));
    candidates.mean       = prediction.mean;
    candidates.deviation  = prediction.deviation;
    if (needs.threshold != Threshold::given)
      candidates.threshold =
        (needs.threshold == Threshold::smallest ? values.min() : values.max())
          .item<double>();
  }



  std::vector<torch::Tensor>
  ActiveLearner::expected_level_costs(const torch::Tensor &given,
                                      const SolvedPoints  &solved) const
  {
    const long d        = long(ranges.size());
    const auto inputs   = checked_inputs(given, d, "the inputs of candidates");
    const long n        = inputs.size(0);
    const long n_levels = long(solved.coarser.size()) + 1;

    std::vector<torch::Tensor> result(n_levels), x, costs, names;
    for (long l = 0; l < n_levels; ++l)
      {
        const auto &points = l + 1 < n_levels ? solved.coarser[l] : solved;
        if (std::isfinite(points.fixed_cost))
          {
            result[l] = torch::full({n}, points.fixed_cost, torch::kFloat64);
            continue;
          }
        const auto all   = points.costs.defined() ?
                             points.costs.to(torch::kCPU, torch::kFloat64) :
                             torch::zeros({0}, torch::kFloat64);
        const auto known = torch::nonzero(all.isfinite()).squeeze(1);
        if (known.size(0) == 0)
          throw InputError(source,
                           fmt::format("the cost of a solve on level {}", l),
                           "unknown",
                           "a positive number of one solve at least, or one "
                           "for all");
        costs.push_back(all.index_select(0, known));
        x.push_back(scaled(checked_inputs(points.inputs, d, "the solved inputs")
                             .index_select(0, known)));
        names.push_back(torch::full({known.size(0)}, l, torch::kInt64));
        if (chosen_parameters["cost model"] == "none")
          result[l] = costs.back().mean().expand({n}).contiguous();
      }
    if (names.empty() || chosen_parameters["cost model"] == "none")
      return result;
    const nlohmann::json parameters = {
      {"regression", chosen_parameters["cost model"]}};
    CostModel model(parameters, source);
    model.fit(torch::cat(x), torch::cat(costs), torch::cat(names));
    for (long l = 0; l < n_levels; ++l)
      if (!result[l].defined())
        result[l] =
          model.predict(scaled(inputs), torch::full({n}, l, torch::kInt64))
            .expected.clamp(std::numeric_limits<double>::min(),
                            std::numeric_limits<double>::max());
    return result;
  }



  torch::Tensor
  ActiveLearner::describe_levels(Candidates          &candidates,
                                 const torch::Tensor &inputs,
                                 const SolvedPoints  &solved,
                                 const long           k) const
  {
    const long n        = inputs.size(0);
    auto       failed   = torch::zeros({n}, torch::kBool);
    const long n_levels = long(solved.coarser.size()) + 1;
    if (n_levels == 1)
      return failed;

    const auto costs    = expected_level_costs(inputs, solved);
    candidates.n_solved = torch::zeros({n}, torch::kInt64);
    candidates.levels.resize(n_levels);
    auto all_levels  = torch::zeros({n}, torch::kFloat64);
    auto still_to_do = torch::zeros({n}, torch::kFloat64);
    for (long l = 0; l < n_levels; ++l)
      {
        auto       &level  = candidates.levels[l];
        const auto &points = l + 1 < n_levels ? solved.coarser[l] : solved;
        const auto  x =
          checked_inputs(points.inputs, long(ranges.size()), "solved inputs");
        const auto succeeded = succeeded_of(points, x.size(0));
        const auto asked     = rows_among(inputs, x);
        failed =
          failed |
          rows_among(inputs,
                     x.index_select(0, torch::nonzero(~succeeded).squeeze(1)));
        candidates.n_solved = candidates.n_solved + asked;

        level.cost  = costs[l];
        all_levels  = all_levels + level.cost;
        still_to_do = still_to_do + ~asked * level.cost;
        // What has no prediction is not chosen.
        if (level.scale.defined())
          level.scale = torch::where(level.scale.isfinite(),
                                     level.scale,
                                     torch::zeros_like(level.scale));
        if (!candidates.features.defined())
          level.chosen_features =
            scaled(x.index_select(0, torch::nonzero(succeeded).squeeze(1)));
        if (l >= long(learned.size()))
          continue;
        if (candidates.features.defined())
          level.chosen_features = learned[l].features;
        level.factor = factors[l];
        if (level.chosen_features.defined() && learned[l].values.defined() &&
            level.chosen_features.size(0) == learned[l].values.size(0))
          {
            level.chosen_values = learned[l].values;
            level.chosen_norms  = learned[l].norms;
          }
      }
    // What is solved on all levels is not chosen, whatever it would cost.
    if (!candidates.cost.defined())
      candidates.cost = torch::where(still_to_do > 0., still_to_do, all_levels);
    if (n > 0)
      candidates.limits.enough = double(k) * all_levels.mean().item<double>();
    return failed;
  }



  ActiveLearner::Choice
  ActiveLearner::choose(Candidates           candidates,
                        const torch::Tensor &given,
                        const SolvedPoints  &solved,
                        const long           k)
  {
    const long d      = long(ranges.size());
    const long n      = long(candidates.ids.size());
    const auto inputs = checked_inputs(given, d, "the inputs of candidates");
    if (inputs.size(0) != n)
      throw InputError("the candidates",
                       "the number of inputs",
                       std::to_string(inputs.size(0)),
                       fmt::format("{}, that of ids", n));
    const auto none = torch::zeros({0, d}, torch::kFloat64);
    const auto x    = solved.inputs.defined() ?
                        checked_inputs(solved.inputs, d, "the solved inputs") :
                        none;
    const auto held_out =
      solved.held_out.defined() ?
        checked_inputs(solved.held_out, d, "the held-out inputs") :
        none;
    if (solved.succeeded.defined() &&
        (solved.succeeded.dim() != 1 || solved.succeeded.size(0) != x.size(0)))
      throw InputError("the program",
                       "the shape of what has succeeded",
                       c10::str(solved.succeeded.sizes()),
                       fmt::format("[{}]", x.size(0)));

    // What must not be chosen. Of equal candidates the smallest id counts, in
    // whatever order they come.
    auto       marked = candidates.marked.defined() ?
                          candidates.marked.cpu().clone() :
                          torch::zeros({n}, torch::kBool);
    const auto avoided =
      inputs.index_select(0, torch::nonzero(marked).squeeze(1));
    // (Of what has failed on a coarser level there is no difference to learn.)
    marked = marked | describe_levels(candidates, inputs, solved, k);
    for (auto *const known : {&candidates.scale, &candidates.residual})
      if (known->defined())
        {
          *known            = known->to(torch::kCPU, torch::kFloat64);
          const auto finite = known->isfinite();
          marked            = marked | finite.logical_not();
          *known = torch::where(finite, *known, torch::zeros_like(*known));
        }
    std::vector<std::int64_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(),
                     order.end(),
                     [&](const long a, const long b) {
                       return candidates.ids[a] < candidates.ids[b];
                     });
    const auto by_id    = torch::tensor(order, torch::kInt64);
    const auto repeated = torch::empty({n}, torch::kBool);
    repeated.index_copy_(0,
                         by_id,
                         repeated_rows(inputs.index_select(0, by_id),
                                       torch::cat({x, held_out, avoided})));
    candidates.marked = marked | repeated;

    const bool    has_levels = !solved.coarser.empty();
    const Learned full       = learned.empty() ? Learned() : learned.back();
    // What has no prediction has no features of the surrogate's either.
    if (candidates.features.defined())
      candidates.features =
        torch::where(candidates.features.isfinite().all(1, true),
                     candidates.features,
                     torch::zeros_like(candidates.features));
    if (!candidates.features.defined())
      {
        candidates.features        = scaled(inputs);
        candidates.chosen_features = scaled(x);
        // What has failed has no values, and is no candidate in any case.
        if (full.values.defined() && solved.succeeded.defined())
          candidates.chosen_features = candidates.chosen_features.index_select(
            0, torch::nonzero(solved.succeeded.cpu()).squeeze(1));
      }
    else if (!candidates.chosen_features.defined() && full.features.defined())
      candidates.chosen_features = full.features;
    if (!has_levels && !candidates.chosen_values.defined() &&
        full.values.defined() && candidates.chosen_features.defined() &&
        candidates.chosen_features.size(0) == full.values.size(0))
      {
        candidates.chosen_values = full.values;
        candidates.chosen_norms  = full.norms;
      }

    const auto costs = expected_costs(inputs, solved);
    if (!candidates.cost.defined() && n > 0 &&
        costs.isfinite().all().item<bool>())
      candidates.cost = costs;

    if (!candidates.feasibility.defined() &&
        chosen_parameters["feasibility model"].get<bool>() && x.size(0) > 0)
      {
        FeasibilityModel model;
        model.fit(scaled(x),
                  solved.succeeded.defined() ?
                    solved.succeeded :
                    torch::ones({x.size(0)}, torch::kBool));
        candidates.feasibility = model.probability(scaled(inputs));
      }

    add_quantity(candidates, inputs, solved);

    Choice result;
    if (has_levels)
      {
        result.rows = chooser.choose(candidates, most_choices * k);
        describe_choice(candidates, result);
        return result;
      }
    result.rows = chooser.choose(candidates, k);
    for (const long row : result.rows)
      result.costs.push_back(costs[row].item<double>());
    return result;
  }



  void
  ActiveLearner::describe_choice(const Candidates &candidates,
                                 Choice           &choice) const
  {
    const std::size_t n         = choice.rows.size();
    const auto       &decisions = chooser.decisions();
    auto              n_solved  = candidates.n_solved.clone();
    for (std::size_t i = 0; i < n; ++i)
      {
        const long row   = choice.rows[i];
        const long last  = decisions[decisions.size() - n + i].level;
        const long first = n_solved[row].item<std::int64_t>();
        n_solved[row]    = last + 1;
        choice.first_level.push_back(first);
        choice.level_costs.emplace_back();
        for (long l = first; l <= last; ++l)
          choice.level_costs.back().push_back(
            candidates.levels[l].cost[row].item<double>());
        choice.costs.push_back(
          std::accumulate(choice.level_costs.back().begin(),
                          choice.level_costs.back().end(),
                          0.));
      }
  }



  ActiveLearner::Choice
  ActiveLearner::round(const SnapshotSource             &data,
                       const FieldSpace                 &space,
                       const SolvedPoints               &solved,
                       const std::vector<std::uint64_t> &ids,
                       const torch::Tensor              &inputs,
                       const Priors                     &prior,
                       const long                        k,
                       const double                      threshold)
  {
    return round(std::vector<const SnapshotSource *>{&data},
                 space,
                 solved,
                 ids,
                 inputs,
                 prior,
                 k,
                 threshold);
  }



  ActiveLearner::Choice
  ActiveLearner::round(const std::vector<const SnapshotSource *> &levels,
                       const FieldSpace                          &space,
                       const SolvedPoints                        &solved,
                       const std::vector<std::uint64_t>          &ids,
                       const torch::Tensor                       &inputs,
                       const Priors                              &prior,
                       const long                                 k,
                       const double                               threshold)
  {
    Candidates candidates;
    candidates.ids       = ids;
    candidates.threshold = threshold;
    if (has_surrogate())
      {
        fit(levels, space);
        std::vector<torch::Tensor> scales, features, level_scales;
        const long                 n = long(ids.size());
        for (long begin = 0; begin < n; begin += block_size)
          {
            const long end = std::min(begin + block_size, n);
            Inputs     block;
            block.parameters  = inputs.slice(0, begin, end);
            block.prior       = prior ? prior(begin, end) :
                                        torch::zeros({end - begin, fitted.n_values()},
                                               torch::kFloat64);
            const auto scores = score(block);
            scales.push_back(scores.scale);
            if (scores.features.defined())
              features.push_back(scores.features);
            if (scores.level_scales.defined())
              level_scales.push_back(scores.level_scales);
          }
        if (n > 0)
          candidates.scale = torch::cat(scales);
        if (!features.empty())
          candidates.features = torch::cat(features);
        if (!level_scales.empty())
          candidates.set_level_scales(torch::cat(level_scales));
      }
    return choose(std::move(candidates), inputs, solved, k);
  }



  nlohmann::json
  ActiveLearner::state() const
  {
    return {{"format", format},
            {"parameters", chosen_parameters},
            {"seed", seed},
            {"inputs", to_json(ranges)},
            {"acquisition", chooser.state()}};
  }



  void
  ActiveLearner::restore(const nlohmann::json &given, const std::string &from)
  {
    if (!given.is_object() || given.value("format", nlohmann::json()) != format)
      throw FileError(from,
                      std::string("it is no state of an active learner in the "
                                  "format '") +
                        format + "'");
    const auto mine = state();
    for (const char *name : {"parameters", "seed", "inputs", "acquisition"})
      if (given.find(name) == given.end())
        throw FileError(from, std::string("it has no entry '") + name + "'");
    for (const char *name : {"parameters", "seed", "inputs"})
      if (given[name] != mine[name])
        {
          std::string found = given[name].dump(), valid = mine[name].dump();
          std::string entry = name;
          if (given[name].is_object())
            for (const auto &[key, value] : mine[name].items())
              if (given[name].value(key, nlohmann::json()) != value)
                {
                  entry = key;
                  found = given[name].value(key, nlohmann::json()).dump();
                  valid = value.dump();
                  break;
                }
          throw FileError(from,
                          "its entry '" + entry + "' is " + found +
                            ", that of other choices; valid is " + valid +
                            ", or another folder");
        }
    const auto found = Acquisition::from_state(given["acquisition"], from);
    const auto was = found.state(), is = chooser.state();
    for (const char *name : {"type", "parameters", "seed"})
      if (was[name] != is[name])
        throw FileError(from,
                        std::string("the entry '") + name +
                          "' of its acquisition is damaged");
    chooser = found;
  }
} // namespace neuraldeal
