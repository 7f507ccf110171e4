// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/acquisition/acquisition.h>
#include <neuraldeal/surrogates/acquisition/acquisition_tools.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/random.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <set>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *format = "neural.deal acquisition 1";

    constexpr const char *source_of_candidates = "the candidates";

    constexpr double infinity = std::numeric_limits<double>::infinity();



    /** @p values in float64 on the CPU; what is undefined stays so. */
    torch::Tensor
    as_double(const torch::Tensor &values)
    {
      return values.defined() ?
               values.detach().to(torch::kCPU, torch::kFloat64).contiguous() :
               values;
    }



    std::string
    shape_of(const torch::Tensor &values)
    {
      return c10::str(values.sizes());
    }



    /**
     * @throw InputError unless @p values, where they are known, are n finite
     * numbers in [@p lower, @p upper], @p lower itself only if @p closed.
     */
    void
    check_numbers(const std::string   &name,
                  const torch::Tensor &values,
                  const long           n,
                  const double         lower,
                  const double         upper,
                  const bool           closed,
                  const std::string   &valid)
    {
      if (!values.defined())
        return;
      if (values.dim() != 1 || values.size(0) != n)
        throw InputError(source_of_candidates,
                         "the shape of " + name,
                         shape_of(values),
                         fmt::format("[{}]", n));
      const double *data = values.data_ptr<double>();
      for (long i = 0; i < n; ++i)
        if (!std::isfinite(data[i]) || data[i] < lower || data[i] > upper ||
            (!closed && data[i] == lower))
          throw InputError(source_of_candidates,
                           fmt::format("{} of row {}", name, i),
                           fmt::format("{}", data[i]),
                           valid);
    }



    void
    check_features(const std::string   &name,
                   const torch::Tensor &values,
                   const long           n_rows,
                   const long           n_features)
    {
      if (!values.defined())
        return;
      if (values.dim() != 2 || values.size(1) != n_features ||
          (n_rows >= 0 && values.size(0) != n_rows))
        throw InputError(source_of_candidates,
                         "the shape of " + name,
                         shape_of(values),
                         fmt::format("[{}, {}]",
                                     n_rows >= 0 ? std::to_string(n_rows) : "m",
                                     n_features));
      if (!values.isfinite().all().item<bool>())
        throw InputError(source_of_candidates,
                         "an entry of " + name,
                         "no finite number",
                         "any finite number");
    }



    /**
     * Check the values and norms of @p what, the candidates or one of their
     * levels; those of no features are forgotten.
     */
    template <typename Chosen>
    void
    check_chosen_values(Chosen &what)
    {
      const long n_chosen =
        what.chosen_features.defined() ? what.chosen_features.size(0) : 0;
      if (n_chosen == 0)
        what.chosen_values = what.chosen_norms = torch::Tensor();
      if (what.chosen_values.defined())
        check_features("chosen_values",
                       what.chosen_values,
                       n_chosen,
                       what.chosen_values.dim() == 2 ?
                         what.chosen_values.size(1) :
                         1);
      check_numbers("chosen_norms",
                    what.chosen_norms,
                    n_chosen,
                    0.,
                    infinity,
                    false,
                    "a positive number");
    }



    /** The levels of @p candidates, in float64 on the CPU and checked. */
    void
    check_levels(Candidates &candidates, const long n, const long n_features)
    {
      if (candidates.levels.empty())
        return;
      for (std::size_t l = 0; l < candidates.levels.size(); ++l)
        {
          auto             &level = candidates.levels[l];
          const std::string of    = fmt::format(" on level {}", l);
          for (auto *values : {&level.cost,
                               &level.scale,
                               &level.chosen_features,
                               &level.chosen_values,
                               &level.chosen_norms})
            *values = as_double(*values);
          acquisition_tools::needed(level.cost, "cost" + of, "levels");
          check_numbers("cost" + of,
                        level.cost,
                        n,
                        0.,
                        infinity,
                        false,
                        "a positive number");
          check_numbers("scale" + of,
                        level.scale,
                        n,
                        0.,
                        infinity,
                        true,
                        "a finite number that is not negative");
          check_features("chosen_features" + of,
                         level.chosen_features,
                         -1,
                         n_features);
          check_chosen_values(level);
        }
      if (!candidates.n_solved.defined())
        candidates.n_solved = torch::zeros({n}, torch::kInt64);
      candidates.n_solved = candidates.n_solved.cpu().clone();
      if (candidates.n_solved.dim() != 1 || candidates.n_solved.size(0) != n ||
          candidates.n_solved.scalar_type() != torch::kInt64)
        throw InputError(source_of_candidates,
                         "the shape of n_solved",
                         shape_of(candidates.n_solved) + " " +
                           c10::toString(candidates.n_solved.scalar_type()),
                         fmt::format("[{}] Long", n));
      const long n_levels = long(candidates.levels.size());
      if (((candidates.n_solved < 0) | (candidates.n_solved > n_levels))
            .any()
            .item<bool>())
        throw InputError(source_of_candidates,
                         "an entry of n_solved",
                         "no number of levels",
                         fmt::format("an integer from 0 to {}", n_levels));
    }



    /** In float64 on the CPU. @throw InputError for what cannot be. */
    Candidates
    checked(const Candidates &given)
    {
      Candidates result         = given;
      result.features           = as_double(given.features);
      result.scale              = as_double(given.scale);
      result.residual           = as_double(given.residual);
      result.mean               = as_double(given.mean);
      result.deviation          = as_double(given.deviation);
      result.cost               = as_double(given.cost);
      result.feasibility        = as_double(given.feasibility);
      result.chosen_features    = as_double(given.chosen_features);
      result.chosen_values      = as_double(given.chosen_values);
      result.chosen_norms       = as_double(given.chosen_norms);
      result.reference_features = as_double(given.reference_features);

      const long n = long(given.ids.size());
      if (std::set<std::uint64_t>(given.ids.begin(), given.ids.end()).size() !=
          given.ids.size())
        {
          auto sorted = given.ids;
          std::sort(sorted.begin(), sorted.end());
          throw InputError(source_of_candidates,
                           "an id of two of them",
                           std::to_string(
                             *std::adjacent_find(sorted.begin(), sorted.end())),
                           "an id that no other candidate has");
        }
      const std::string not_negative = "a finite number that is not negative";
      check_numbers("scale", result.scale, n, 0., infinity, true, not_negative);
      check_numbers(
        "residual", result.residual, n, 0., infinity, true, not_negative);
      check_numbers(
        "deviation", result.deviation, n, 0., infinity, true, not_negative);
      check_numbers(
        "mean", result.mean, n, -infinity, infinity, true, "a finite number");
      check_numbers(
        "cost", result.cost, n, 0., infinity, false, "a positive number");
      check_numbers("feasibility",
                    result.feasibility,
                    n,
                    0.,
                    1.,
                    true,
                    "a number from 0 to 1");

      const long n_features =
        result.features.defined() && result.features.dim() == 2 ?
          result.features.size(1) :
          1;
      check_features("features", result.features, n, n_features);
      // (What has no rows may come without columns.)
      if (result.chosen_features.defined() &&
          result.chosen_features.size(0) == 0)
        result.chosen_features = torch::Tensor();
      if (result.features.defined())
        check_features("chosen_features",
                       result.chosen_features,
                       -1,
                       n_features);
      if (result.features.defined())
        check_features("reference_features",
                       result.reference_features,
                       -1,
                       n_features);
      check_chosen_values(result);

      check_levels(result, n, n_features);

      if (given.marked.defined())
        {
          if (given.marked.dim() != 1 || given.marked.size(0) != n ||
              given.marked.scalar_type() != torch::kBool)
            throw InputError(source_of_candidates,
                             "what is marked",
                             shape_of(given.marked) + " " +
                               c10::toString(given.marked.scalar_type()),
                             fmt::format("[{}] Bool", n));
          result.marked = given.marked.cpu().contiguous();
        }
      return result;
    }



    /** The candidates in the given rows, without Candidates::marked. */
    Candidates
    rows_of(const Candidates &all, const std::vector<long> &rows)
    {
      const auto index =
        torch::tensor(std::vector<std::int64_t>(rows.begin(), rows.end()),
                      torch::kInt64);
      const auto selected = [&](const torch::Tensor &values) {
        return values.defined() ? values.index_select(0, index) : values;
      };
      Candidates result;
      for (const long row : rows)
        result.ids.push_back(all.ids[row]);
      result.features           = selected(all.features);
      result.scale              = selected(all.scale);
      result.residual           = selected(all.residual);
      result.mean               = selected(all.mean);
      result.deviation          = selected(all.deviation);
      result.cost               = selected(all.cost);
      result.feasibility        = selected(all.feasibility);
      result.chosen_features    = all.chosen_features;
      result.chosen_values      = all.chosen_values;
      result.chosen_norms       = all.chosen_norms;
      result.reference_features = all.reference_features;
      result.threshold          = all.threshold;
      result.levels             = all.levels;
      for (auto &level : result.levels)
        {
          level.cost  = selected(level.cost);
          level.scale = selected(level.scale);
        }
      result.n_solved = selected(all.n_solved);
      result.limits   = all.limits;
      return result;
    }
  } // namespace



  void
  Candidates::set_level_scales(const torch::Tensor &scales)
  {
    levels.resize(scales.size(1));
    for (std::size_t l = 0; l < levels.size(); ++l)
      levels[l].scale = scales.select(1, l);
  }



  RoundRandom::RoundRandom(const std::uint64_t seed, const std::uint64_t round)
    // 53 random bits for a seed of this round.
    : seed(std::uint64_t(std::ldexp(
        CounterRandom(seed, CounterRandom::Stream::acquisition, round)
          .uniform(),
        53)))
  {}



  double
  RoundRandom::uniform(const std::uint64_t id) const
  {
    return CounterRandom(seed, CounterRandom::Stream::acquisition, id)
      .uniform();
  }



  double
  RoundRandom::gumbel(const std::uint64_t id) const
  {
    return -std::log(-std::log(uniform(id)));
  }



  void
  register_acquisitions()
  {
    static const bool once = [] {
      register_scored_acquisitions();
      register_distance_acquisitions();
      register_integrated_acquisitions();
      return true;
    }();
    (void)once;
  }



  Acquisition::Acquisition(const std::string    &type,
                           const nlohmann::json &given,
                           const std::uint64_t   seed,
                           const std::string    &source)
    : type(type)
    , seed(seed)
  {
    register_acquisitions();
    const auto &entry =
      AcquisitionRegistry::find(source, "acquisition function", type);
    parameters = complete_parameters(entry.parameters, given, source);
    function   = entry.factory(parameters, source);
  }



  std::vector<long>
  Acquisition::choose(const Candidates &given, const long k)
  {
    if (k < 0)
      throw InputError("the program",
                       "the number of candidates to choose",
                       std::to_string(k),
                       "an integer that is not negative");
    auto all = checked(given);

    // What has been chosen before, with levels how high.
    const long                    n_levels = long(all.levels.size());
    std::map<std::uint64_t, long> before;
    for (const auto &decision : made)
      before[decision.id] = decision.level + 1;
    std::vector<long> free;
    for (long row = 0; row < long(all.ids.size()); ++row)
      {
        const auto decided = before.find(all.ids[row]);
        bool       is_free = decided == before.end();
        if (n_levels > 0)
          {
            auto &n_solved = all.n_solved.data_ptr<std::int64_t>()[row];
            if (!is_free)
              n_solved = std::max<std::int64_t>(n_solved, decided->second);
            is_free = n_solved < n_levels;
          }
        if (is_free &&
            !(all.marked.defined() && all.marked.data_ptr<bool>()[row]))
          free.push_back(row);
      }
    std::sort(free.begin(), free.end(), [&](const long a, const long b) {
      return all.ids[a] < all.ids[b];
    });

    const long n          = std::min(k, long(free.size()));
    const auto candidates = rows_of(all, free);
    const auto choices =
      n > 0 ? function->choose(candidates, n, RoundRandom(seed, round)) :
              std::vector<AcquisitionFunction::Choice>();

    std::vector<long>                              levels;
    std::optional<acquisition_tools::LevelChoices> taken;
    if (n_levels > 0)
      taken.emplace(candidates);
    for (const auto &choice : choices)
      {
        long level = choice.level;
        if (taken)
          {
            if (level < 0)
              level = taken->best_level(choice.row);
            if (taken->enough() || !taken->take(choice.row, level))
              break;
          }
        levels.push_back(level);
      }

    std::vector<long> result;
    for (std::size_t i = 0; i < levels.size(); ++i)
      {
        result.push_back(free[choices[i].row]);
        made.push_back(
          {round, all.ids[result.back()], choices[i].score, levels[i]});
      }
    ++round;
    return result;
  }



  nlohmann::json
  Acquisition::state() const
  {
    auto decisions = nlohmann::json::array();
    for (const auto &decision : made)
      {
        decisions.push_back({decision.round,
                             decision.id,
                             std::isfinite(decision.score) ?
                               nlohmann::json(decision.score) :
                               nlohmann::json()});
        if (decision.level >= 0)
          decisions.back().push_back(std::uint64_t(decision.level));
      }
    return {{"format", format},
            {"type", type},
            {"parameters", parameters},
            {"seed", seed},
            {"rounds", round},
            {"decisions", decisions}};
  }



  Acquisition
  Acquisition::from_state(const nlohmann::json &state,
                          const std::string    &source)
  {
    if (!state.is_object() || state.value("format", nlohmann::json()) != format)
      throw FileError(source,
                      std::string("it is no state of an acquisition in the "
                                  "format '") +
                        format + "'");
    const auto entry = [&](const char *name) {
      const auto found = state.find(name);
      return found == state.end() ? nlohmann::json() : *found;
    };
    const auto damaged = [&](const std::string &name) {
      return FileError(source, "the entry '" + name + "' is damaged");
    };
    for (const char *name : {"seed", "rounds"})
      if (!entry(name).is_number_unsigned())
        throw damaged(name);
    if (!entry("type").is_string())
      throw damaged("type");
    if (!entry("parameters").is_object())
      throw damaged("parameters");
    if (!entry("decisions").is_array())
      throw damaged("decisions");

    Acquisition result(entry("type").get<std::string>(),
                       entry("parameters"),
                       entry("seed").get<std::uint64_t>(),
                       source);
    result.round = entry("rounds").get<std::uint64_t>();
    std::map<std::uint64_t, long> before;
    std::uint64_t                 last = 0;
    for (const auto &decision : entry("decisions"))
      {
        const bool has_level = decision.is_array() && decision.size() == 4;
        if (!decision.is_array() || (decision.size() != 3 && !has_level) ||
            (has_level && !decision[3].is_number_unsigned()) ||
            !decision[0].is_number_unsigned() ||
            !decision[1].is_number_unsigned() ||
            !(decision[2].is_number() || decision[2].is_null()))
          throw damaged("decisions");
        const Decision read = {decision[0].get<std::uint64_t>(),
                               decision[1].get<std::uint64_t>(),
                               decision[2].is_null() ?
                                 -infinity :
                                 decision[2].get<double>(),
                               has_level ? decision[3].get<long>() : -1};
        // Only on a higher level is a candidate chosen again.
        const auto same = before.find(read.id);
        if (read.round < last || read.round >= result.round ||
            (same != before.end() && same->second >= read.level))
          throw damaged("decisions");
        before[read.id] = read.level;
        last            = read.round;
        result.made.push_back(read);
      }
    return result;
  }



  void
  Acquisition::save(const std::string &filename) const
  {
    publish_text(filename, state().dump(1) + "\n");
  }



  Acquisition
  Acquisition::load(const std::string &filename)
  {
    std::ifstream in(filename, std::ios::binary);
    if (!in)
      throw FileError(filename, "there is no such file, or it is unreadable");
    const std::string text{std::istreambuf_iterator<char>(in),
                           std::istreambuf_iterator<char>()};
    const auto        state = nlohmann::json::parse(text, nullptr, false);
    if (state.is_discarded())
      throw FileError(filename, "it is damaged, or no JSON");
    return from_state(state, filename);
  }



  namespace acquisition_tools
  {
    ParameterDescription
    cost_power()
    {
      return {"cost power",
              0.,
              0.,
              100.,
              "The power of the predicted cost that scores are divided by; 0 "
              "for no influence of it."};
    }



    ParameterDescription
    feature_choice()
    {
      return {"features",
              "standardized",
              0.,
              0.,
              "Whether features are divided by their standard deviations, "
              "standardized or as given."};
    }



    void
    check_features(const nlohmann::json &parameters, const std::string &source)
    {
      check_choice(source,
                   "features",
                   parameters["features"],
                   {"standardized", "as given"});
    }



    const torch::Tensor &
    needed(const torch::Tensor &values,
           const std::string   &name,
           const std::string   &type)
    {
      if (!values.defined())
        throw InputError(source_of_candidates,
                         name,
                         "missing",
                         "a tensor with a row for each of them, which '" +
                           type + "' needs");
      return values;
    }



    torch::Tensor
    log_weight(const Candidates     &candidates,
               const nlohmann::json &parameters,
               const std::string    &type)
    {
      auto result =
        torch::zeros({long(candidates.ids.size())}, torch::kFloat64);
      if (candidates.feasibility.defined())
        result = result + candidates.feasibility.log();
      const double power = parameters["cost power"];
      if (power > 0.)
        result =
          result -
          power * needed(candidates.cost, "cost", type + "' with a 'cost power")
                    .log();
      return result;
    }



    LevelChoices::LevelChoices(const Candidates &candidates)
      : candidates(candidates)
    {
      const auto *data = candidates.n_solved.data_ptr<std::int64_t>();
      solved.assign(data, data + candidates.n_solved.size(0));
    }



    long
    LevelChoices::best_level(const long row) const
    {
      long   best  = -1;
      double share = 0., cost_of_share = 0., largest = 0.;
      for (long l = solved[row]; l < long(candidates.levels.size()); ++l)
        {
          const auto &level = candidates.levels[l];
          share += std::pow(needed(level.scale,
                                   fmt::format("scale on level {}", l),
                                   "a choice among levels")[row]
                              .item<double>(),
                            2);
          cost_of_share += level.cost[row].item<double>();
          if (best < 0 || share / cost_of_share >= largest)
            {
              best    = l;
              largest = share / cost_of_share;
            }
        }
      return best;
    }



    bool
    LevelChoices::take(const long row, const long level)
    {
      const bool is_finest = level + 1 == long(candidates.levels.size());
      double     sum       = cost;
      for (long l = solved[row]; l <= level; ++l)
        sum += candidates.levels[l].cost[row].item<double>();
      if (sum > candidates.limits.cost ||
          (is_finest && n_finest >= candidates.limits.n_finest))
        return false;
      cost        = sum;
      solved[row] = level + 1;
      n_finest += is_finest;
      return true;
    }



    Places
    places(const Candidates     &candidates,
           const nlohmann::json &parameters,
           const std::string    &type)
    {
      const auto &x      = needed(candidates.features, "features", type);
      const auto  chosen = candidates.chosen_features.defined() ?
                             candidates.chosen_features :
                             torch::zeros({0, x.size(1)}, torch::kFloat64);
      if (parameters["features"] == "as given")
        return {x, chosen, candidates.reference_features};
      const auto all       = torch::cat({x, chosen});
      const auto deviation = all.std(0, /*unbiased=*/false);
      // The deviation of equal numbers may be a rounding error.
      const auto factor =
        torch::where((std::get<0>(all.max(0)) > std::get<0>(all.min(0))) &
                       (deviation > 0.),
                     1. / deviation,
                     torch::ones_like(deviation));
      return {x * factor,
              chosen * factor,
              candidates.reference_features.defined() ?
                candidates.reference_features * factor :
                candidates.reference_features};
    }



    NearestCenter::NearestCenter(const torch::Tensor &points)
      : squares(points.size(0), infinity)
      , nearest(points.size(0), -1)
      , points(points.contiguous())
    {}



    void
    NearestCenter::add(const torch::Tensor &center)
    {
      const auto    row = center.contiguous();
      const double *x = points.data_ptr<double>(), *c = row.data_ptr<double>();
      const long    n_features = points.size(1);
      // One sum after the other, so that equal points have equal distances.
      for (std::size_t i = 0; i < squares.size(); ++i, x += n_features)
        {
          double square = 0;
          for (long f = 0; f < n_features; ++f)
            square += (x[f] - c[f]) * (x[f] - c[f]);
          if (square < squares[i])
            {
              squares[i] = square;
              nearest[i] = n_centers;
            }
        }
      ++n_centers;
    }



    long
    largest(const torch::Tensor &values, const std::vector<char> &taken)
    {
      const auto    row  = values.contiguous();
      const double *data = row.data_ptr<double>();
      long          best = -1;
      for (long i = 0; i < row.size(0); ++i)
        if (!taken[i] && (best < 0 || data[i] > data[best]))
          best = i;
      return best;
    }
  } // namespace acquisition_tools
} // namespace neuraldeal
