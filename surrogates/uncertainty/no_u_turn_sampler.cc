// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/progress.h>
#include <neuraldeal/surrogates/uncertainty/no_u_turn_sampler.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

namespace neuraldeal
{
  namespace
  {
    using Point = std::shared_ptr<const PhasePoint>;

    constexpr double infinity = std::numeric_limits<double>::infinity();
    const char      *name     = "no-U-turn sampler";

    /** Step sizes that a search does not leave: an improper density has none.
     */
    constexpr double min_step_size = 1e-12, max_step_size = 1e7;

    double
    product(const std::vector<double> &a, const std::vector<double> &b)
    {
      double sum = 0;
      for (std::size_t i = 0; i < a.size(); ++i)
        sum += a[i] * b[i];
      return sum;
    }

    std::vector<double>
    sum_of(std::vector<double> a, const std::vector<double> &b)
    {
      for (std::size_t i = 0; i < a.size(); ++i)
        a[i] += b[i];
      return a;
    }

    /** log(exp(a) + exp(b)) */
    double
    log_sum(const double a, const double b)
    {
      const double larger = std::max(a, b);
      return larger == -infinity ?
               -infinity :
               larger + std::log1p(std::exp(std::min(a, b) - larger));
    }

    /**
     * Whether a stretch of a trajectory still leads away from both its ends:
     * the sum of its momenta against the velocities there.
     */
    bool
    leads_away(const PhasePoint          &one_end,
               const PhasePoint          &other_end,
               const std::vector<double> &momentum_sum)
    {
      return product(one_end.velocity, momentum_sum) > 0. &&
             product(other_end.velocity, momentum_sum) > 0.;
    }

    CounterRandom
    random_of(const std::uint64_t seed, const long chain, const long number)
    {
      return CounterRandom(seed,
                           CounterRandom::Stream::chains,
                           (std::uint64_t(chain) << 32) |
                             std::uint64_t(number));
    }

    bool
    is_finite(const PhasePoint &point)
    {
      return std::isfinite(point.log_density) &&
             torch::isfinite(point.gradient).all().item<bool>();
    }

    nlohmann::json
    to_json(const NoUTurnSampler::Parameters &parameters)
    {
      return {{"warm-up", parameters.warm_up},
              {"samples", parameters.samples},
              {"target acceptance", parameters.target_acceptance},
              {"largest depth", parameters.max_depth},
              {"largest energy error", parameters.max_energy_error},
              {"metric", parameters.metric},
              {"step size", parameters.step_size},
              {"first chain", parameters.first_chain},
              {"seed", parameters.seed}};
    }

    /** What is kept of each sample, by the names it has in files. */
    std::vector<std::pair<std::string, const torch::Tensor *>>
    tensors_of(const NoUTurnSampler::Samples &samples)
    {
      return {{"values", &samples.values},
              {"log_density", &samples.log_density},
              {"energy", &samples.energy},
              {"acceptance", &samples.acceptance},
              {"depth", &samples.depth},
              {"n_steps", &samples.n_steps},
              {"divergent", &samples.divergent},
              {"outside", &samples.outside}};
    }
  } // namespace



  /**
   * A stretch of a trajectory, from the point `first` to the point `last` in
   * the order in which it was grown, which may be that of time or the
   * opposite: no question that is asked of it depends on which.
   */
  struct NoUTurnSampler::Tree
  {
    Point               first, last;
    Point               sample;       ///< drawn by the weights exp(−energy)
    std::vector<double> momentum_sum; ///< of all points
    double              log_weight;   ///< of all points together
    bool goes_on = true; ///< neither turned back nor diverged, nor a part

    /** A single point; weights are relative to that of @p start_energy. */
    Tree(const Point &point, const double start_energy)
      : first(point)
      , last(point)
      , sample(point)
      , momentum_sum(point->momentum)
      , log_weight(start_energy - point->energy)
    {}

    /**
     * Append @p next, which begins one step behind `last`.
     * @param acceptance the probability to take the sample from there.
     */
    void
    append(const Tree &next, const double acceptance, CounterRandom &random)
    {
      if (random.uniform() < acceptance)
        sample = next.sample;
      log_weight = log_sum(log_weight, next.log_weight);

      const auto all = sum_of(momentum_sum, next.momentum_sum);
      goes_on        = leads_away(*first, *next.last, all) &&
                leads_away(*first,
                           *next.first,
                           sum_of(momentum_sum, next.first->momentum)) &&
                leads_away(*last,
                           *next.last,
                           sum_of(next.momentum_sum, last->momentum));
      momentum_sum = all;
      last         = next.last;
    }
  };



  std::vector<ParameterDescription>
  NoUTurnSampler::descriptions()
  {
    const Parameters defaults;
    return {{"warm-up",
             defaults.warm_up,
             0,
             1e9,
             "Transitions in which step sizes and metric are adapted, and "
             "which are not kept."},
            {"samples", defaults.samples, 0, 1e9, "Of each chain."},
            {"target acceptance",
             defaults.target_acceptance,
             0.01,
             0.999,
             "Mean acceptance that the step size is adapted to; near one for "
             "densities with narrow places."},
            {"largest depth",
             defaults.max_depth,
             1,
             20,
             "A trajectory has fewer steps than two to the power of this."},
            {"largest energy error",
             defaults.max_energy_error,
             1.,
             1e9,
             "A trajectory with a larger one is called divergent, and ends."},
            {"metric",
             defaults.metric,
             0,
             0,
             "Adapted to the variances or the covariance, or left alone: "
             "diagonal, dense or unit."},
            {"step size",
             defaults.step_size,
             0.,
             max_step_size,
             "To start with, and without a warm-up for good; 0 for one that "
             "is found."},
            {"first chain",
             defaults.first_chain,
             0,
             4e9,
             "Number of the first chain: processes that share chains tell "
             "theirs apart by it."},
            {"seed", defaults.seed, 0, 1e15, "Of everything random."}};
  }



  NoUTurnSampler::Parameters
  NoUTurnSampler::parse(const nlohmann::json &given, const std::string &source)
  {
    const auto all = complete_parameters(descriptions(), given, source);
    Parameters result;
    result.warm_up           = all["warm-up"];
    result.samples           = all["samples"];
    result.target_acceptance = all["target acceptance"];
    result.max_depth         = all["largest depth"];
    result.max_energy_error  = all["largest energy error"];
    result.metric            = all["metric"];
    result.step_size         = all["step size"];
    result.first_chain       = all["first chain"];
    result.seed              = all["seed"];
    check_choice(source,
                 "metric",
                 result.metric,
                 {"diagonal", "dense", "unit"});
    return result;
  }



  NoUTurnSampler::NoUTurnSampler(const LogDensity    &log_density,
                                 const torch::Tensor &start,
                                 const Parameters    &given)
    : parameters(parse(to_json(given), name))
    , windows(adaptation_windows(parameters.warm_up))
  {
    if (start.dim() != 2 || start.size(0) == 0 || start.size(1) == 0)
      throw InputError(name,
                       "the shape of the points to start from",
                       c10::str(start.sizes()),
                       "[chains, d], with at least one of each");
    d = start.size(1);
    const auto points =
      start.detach().to(torch::kCPU, torch::kFloat64).contiguous();
    for (std::int64_t i = 0; i < points.size(0); ++i)
      {
        Chain chain{Hamiltonian(log_density, d), {}, 0., {}, {}, 0};
        chain.point     = chain.hamiltonian.at_rest(points[i].clone());
        chain.step_size = parameters.step_size;
        if (chain.step_size > 0.)
          chain.search.restart(chain.step_size);
        chain.moments = reset_moments();
        if (parameters.metric == "dense")
          chain.hamiltonian.metric.set_covariance(
            torch::eye(d, torch::kFloat64));
        if (!is_finite(chain.point))
          throw InputError(name,
                           fmt::format("the log density where chain {} starts",
                                       parameters.first_chain + i),
                           std::isfinite(chain.point.log_density) ?
                             "finite, but not its gradient" :
                             fmt::format("{}", chain.point.log_density),
                           "a finite number with a finite gradient");
        chains.push_back(std::move(chain));
      }
    allocate();
  }



  torch::Tensor
  NoUTurnSampler::scattered(const LogDensity    &log_density,
                            const torch::Tensor &center,
                            const double         radius,
                            const long           n,
                            const std::uint64_t  seed)
  {
    const Hamiltonian hamiltonian(log_density, center.size(0));
    const auto        origin =
      center.detach().to(torch::kCPU, torch::kFloat64).contiguous();
    auto result = torch::empty({n, center.size(0)}, torch::kFloat64);
    for (long i = 0; i < n; ++i)
      {
        // (No chain has so many transitions that it would meet this number.)
        auto random  = random_of(seed, i, 0xffffffffL);
        bool is_good = false;
        for (unsigned int attempt = 0; attempt < 100 && !is_good; ++attempt)
          {
            auto    point = origin.clone();
            double *x     = point.data_ptr<double>();
            for (std::int64_t j = 0; j < point.size(0); ++j)
              x[j] += radius * (2. * random.uniform() - 1.);
            is_good = is_finite(hamiltonian.at_rest(point.clone()));
            if (is_good)
              result[i] = point;
          }
        if (!is_good)
          throw InputError(name,
                           "the radius to scatter points in",
                           fmt::format("{}", radius),
                           "one in which the log density is finite: it is not "
                           "at a hundred random points");
      }
    return result;
  }



  void
  NoUTurnSampler::allocate()
  {
    const long n_chains = chains.size(), n = parameters.samples;
    const auto numbers = [&](const torch::Dtype type) {
      return torch::zeros({n_chains, n}, type);
    };
    found.values      = torch::empty({n_chains, n, d}, torch::kFloat64);
    found.log_density = numbers(torch::kFloat64);
    found.energy      = numbers(torch::kFloat64);
    found.acceptance  = numbers(torch::kFloat64);
    found.depth       = numbers(torch::kInt64);
    found.n_steps     = numbers(torch::kInt64);
    found.divergent   = numbers(torch::kUInt8);
    found.outside     = numbers(torch::kUInt8);
  }



  NoUTurnSampler::Samples
  NoUTurnSampler::samples() const
  {
    return first_samples(std::max(n_done() - parameters.warm_up, 0L));
  }



  NoUTurnSampler::Samples
  NoUTurnSampler::first_samples(const long n) const
  {
    const auto part = [n](const torch::Tensor &all) {
      return all.slice(1, 0, n);
    };
    Samples result;
    result.values      = part(found.values);
    result.log_density = part(found.log_density);
    result.energy      = part(found.energy);
    result.acceptance  = part(found.acceptance);
    result.depth       = part(found.depth);
    result.n_steps     = part(found.n_steps);
    result.divergent   = part(found.divergent);
    result.outside     = part(found.outside);

    std::vector<torch::Tensor> metrics;
    result.step_size = torch::empty({long(chains.size())}, torch::kFloat64);
    for (std::size_t i = 0; i < chains.size(); ++i)
      {
        metrics.push_back(chains[i].hamiltonian.metric.covariance());
        result.step_size.data_ptr<double>()[i] = chains[i].step_size;
      }
    result.metric = torch::stack(metrics);
    return result;
  }



  long
  NoUTurnSampler::n_done() const
  {
    long result = chains[0].n_done;
    for (const auto &chain : chains)
      result = std::min(result, chain.n_done);
    return result;
  }



  long
  NoUTurnSampler::n_evaluations() const
  {
    long result = 0;
    for (const auto &chain : chains)
      result += chain.hamiltonian.n_evaluations();
    return result;
  }



  bool
  NoUTurnSampler::step()
  {
    const long total = parameters.warm_up + parameters.samples;
    const long now   = n_done();
    if (now >= total)
      return false;
    // A chain may be ahead of the others, if one of them has thrown.
    for (std::size_t i = 0; i < chains.size(); ++i)
      if (chains[i].n_done == now)
        transition(i);
    return now + 1 < total;
  }



  void
  NoUTurnSampler::run(const bool show, const std::function<bool()> &should_stop)
  {
    const long total = parameters.warm_up + parameters.samples;
    Progress   progress("sampling", total, show);
    bool       more = n_done() < total;
    while (more)
      {
        more = step() && !(should_stop && should_stop());
        progress.update(n_done());
      }
  }



  void
  NoUTurnSampler::transition(const std::size_t number)
  {
    // What fails leaves the chain as it was.
    Chain chain  = chains[number];
    auto  random = random_of(parameters.seed,
                            parameters.first_chain + long(number),
                            chain.n_done);
    if (chain.step_size == 0.)
      {
        chain.step_size = find_step_size(chain, random);
        chain.search.restart(chain.step_size);
      }

    Course course;
    chain.point             = next_point(chain, random, course);
    const double acceptance = course.acceptance_sum / double(course.n_steps);

    const long sample = chain.n_done - parameters.warm_up;
    if (sample < 0)
      adapt(chain, acceptance, random);
    ++chain.n_done;
    chains[number] = std::move(chain);
    if (sample < 0)
      return;

    const auto &point = chains[number].point;
    const long  place = long(number) * parameters.samples + sample;
    std::copy_n(point.position.data_ptr<double>(),
                d,
                found.values.data_ptr<double>() + place * d);
    found.log_density.data_ptr<double>()[place]     = point.log_density;
    found.energy.data_ptr<double>()[place]          = point.energy;
    found.acceptance.data_ptr<double>()[place]      = acceptance;
    found.depth.data_ptr<std::int64_t>()[place]     = course.depth;
    found.n_steps.data_ptr<std::int64_t>()[place]   = course.n_steps;
    found.divergent.data_ptr<std::uint8_t>()[place] = course.divergent;
    found.outside.data_ptr<std::uint8_t>()[place]   = course.outside;
  }



  PhasePoint
  NoUTurnSampler::next_point(const Chain   &chain,
                             CounterRandom &random,
                             Course        &course) const
  {
    const auto &hamiltonian = chain.hamiltonian;
    const Point start       = std::make_shared<PhasePoint>(
      hamiltonian.with_momentum(chain.point, hamiltonian.metric.draw(random)));
    const double energy = start->energy;

    Tree tree(start, energy);
    bool forward = true;
    while (tree.goes_on && course.depth < parameters.max_depth)
      {
        // Trees grow at their last point; turn this one to the end where it
        // is to grow.
        const bool to_future = random.uniform() < 0.5;
        if (to_future != forward)
          std::swap(tree.first, tree.last);
        forward = to_future;

        const auto next = grow(chain,
                               *tree.last,
                               to_future ? chain.step_size : -chain.step_size,
                               course.depth,
                               energy,
                               random,
                               course);
        // Points from which this part would not have been grown are none to
        // end in: from there, the trajectory would have been another one.
        if (!next.goes_on)
          break;
        ++course.depth;
        // The new half is preferred: it is farther away.
        tree.append(next, std::exp(next.log_weight - tree.log_weight), random);
      }
    return *tree.sample;
  }



  NoUTurnSampler::Tree
  NoUTurnSampler::grow(const Chain      &chain,
                       const PhasePoint &edge,
                       const double      h,
                       const long        depth,
                       const double      start_energy,
                       CounterRandom    &random,
                       Course           &course) const
  {
    if (depth == 0)
      {
        const Point point =
          std::make_shared<PhasePoint>(chain.hamiltonian.leapfrog(edge, h));
        const double error = point->energy - start_energy;
        ++course.n_steps;
        if (!std::isnan(error))
          course.acceptance_sum += std::min(1., std::exp(-error));

        Tree tree(point, start_energy);
        tree.goes_on = error <= parameters.max_energy_error;
        if (!tree.goes_on)
          (std::isfinite(point->log_density) ? course.divergent :
                                               course.outside) = true;
        return tree;
      }

    auto tree = grow(chain, edge, h, depth - 1, start_energy, random, course);
    if (!tree.goes_on)
      return tree;
    const auto next =
      grow(chain, *tree.last, h, depth - 1, start_energy, random, course);
    if (!next.goes_on)
      {
        tree.goes_on = false;
        return tree;
      }
    // By the weights alone, of one half against those of both.
    tree.append(next,
                std::exp(next.log_weight -
                         log_sum(tree.log_weight, next.log_weight)),
                random);
    return tree;
  }



  double
  NoUTurnSampler::find_step_size(const Chain   &chain,
                                 CounterRandom &random) const
  {
    // Hoffman and Gelman, algorithm 4, with a new momentum for each attempt.
    const double target       = std::log(parameters.target_acceptance);
    const auto   is_too_small = [&](const double h) {
      const auto start =
        chain.hamiltonian.with_momentum(chain.point,
                                        chain.hamiltonian.metric.draw(random));
      const auto end = chain.hamiltonian.leapfrog(start, h);
      // (No number is bad, and bad steps are too large.)
      return start.energy - end.energy > target;
    };
    double     result = chain.step_size > 0. ? chain.step_size : 1.;
    const bool grow   = is_too_small(result);
    do
      result *= grow ? 2. : 0.5;
    while (result > min_step_size && result < max_step_size &&
           is_too_small(result) == grow);
    return result;
  }



  void
  NoUTurnSampler::StepSizeSearch::restart(const double step_size)
  {
    center = std::log(10. * step_size);
    count  = 0;
    bias   = 0;
    mean   = 0;
  }



  double
  NoUTurnSampler::StepSizeSearch::update(const double acceptance,
                                         const double target)
  {
    // Hoffman and Gelman, equation 6 and section 3.2.1 with their constants.
    constexpr double gamma = 0.05, delay = 10., kappa = 0.75;
    count += 1.;
    bias += (target - acceptance - bias) / (count + delay);
    const double logarithm = center - std::sqrt(count) / gamma * bias;
    mean += std::pow(count, -kappa) * (logarithm - mean);
    return std::exp(logarithm);
  }



  NoUTurnSampler::Moments
  NoUTurnSampler::reset_moments() const
  {
    std::vector<std::int64_t> shape = {d};
    if (parameters.metric == "dense")
      shape.push_back(d);
    return {0,
            torch::zeros({d}, torch::kFloat64),
            torch::zeros(shape, torch::kFloat64)};
  }



  void
  NoUTurnSampler::adapt(Chain         &chain,
                        const double   acceptance,
                        CounterRandom &random) const
  {
    chain.step_size =
      std::clamp(chain.search.update(acceptance, parameters.target_acceptance),
                 min_step_size,
                 max_step_size);

    const long next = chain.n_done + 1;
    const bool in_window =
      chain.n_done >= windows.front() && chain.n_done < windows.back();
    if (in_window && parameters.metric != "unit")
      {
        const torch::NoGradGuard no_gradients;
        auto                    &moments = chain.moments;
        ++moments.count;
        // Not in place: chains are copied.
        const auto difference = chain.point.position - moments.mean;
        moments.mean    = moments.mean + difference / double(moments.count);
        const auto rest = chain.point.position - moments.mean;
        moments.squares = moments.squares + (parameters.metric == "dense" ?
                                               torch::outer(difference, rest) :
                                               difference * rest);

        if (std::find(windows.begin() + 1, windows.end(), next) !=
            windows.end())
          {
            const double n        = moments.count;
            auto         variance = moments.squares / std::max(n - 1., 1.);
            if (variance.dim() == 2)
              variance = 0.5 * (variance + variance.t());
            const auto diagonal =
              variance.dim() == 2 ? variance.diagonal() : variance;
            const auto moved = diagonal.masked_select(diagonal > 0.);
            if (moved.numel() > 0)
              {
                const auto unit =
                  moved.log().mean().exp() * torch::ones({d}, torch::kFloat64);
                chain.hamiltonian.metric.set_covariance(
                  (n * variance +
                   5e-3 * (variance.dim() == 2 ? unit.diag() : unit)) /
                  (n + 5.));
              }
            moments         = reset_moments();
            chain.step_size = find_step_size(chain, random);
            chain.search.restart(chain.step_size);
          }
      }
    if (next == parameters.warm_up && chain.search.count > 0)
      chain.step_size =
        std::clamp(std::exp(chain.search.mean), min_step_size, max_step_size);
  }



  std::vector<long>
  NoUTurnSampler::adaptation_windows(const long n)
  {
    if (n < 20)
      return {n};
    const bool is_short = n < 150;
    long       begin    = is_short ? long(0.15 * double(n)) : 75;
    const long end      = n - (is_short ? long(0.1 * double(n)) : 50);

    std::vector<long> result = {begin};
    for (long size = 25; begin < end; size *= 2)
      {
        const bool is_last = begin + size + 2 * size > end;
        begin              = is_last ? end : begin + size;
        result.push_back(begin);
      }
    return result;
  }



  void
  NoUTurnSampler::save(ModelFile &file) const
  {
    auto json = to_json(parameters);
    json.erase("samples");
    file.metadata[name] = {{"parameters", json},
                           {"chains", chains.size()},
                           {"dimension", d}};

    const auto put = [&](const std::string   &entry,
                         const torch::Tensor &tensor) {
      file.tensors["sampler." + entry] = tensor.contiguous().clone();
    };
    // All of them, also where a chain is ahead of the others.
    long n = 0;
    for (const auto &chain : chains)
      n = std::max(n, chain.n_done - parameters.warm_up);
    const auto now = first_samples(n);
    for (const auto &[entry, tensor] : tensors_of(now))
      put(entry, *tensor);
    put("metric", now.metric);

    std::vector<torch::Tensor> positions, means, squares;
    std::vector<double>        numbers;
    for (const auto &chain : chains)
      {
        positions.push_back(chain.point.position);
        means.push_back(chain.moments.mean);
        squares.push_back(chain.moments.squares);
        for (const double number : {double(chain.n_done),
                                    chain.point.log_density,
                                    chain.point.energy,
                                    chain.step_size,
                                    chain.search.center,
                                    chain.search.count,
                                    chain.search.bias,
                                    chain.search.mean,
                                    double(chain.moments.count)})
          numbers.push_back(number);
      }
    put("positions", torch::stack(positions));
    put("means", torch::stack(means));
    put("squares", torch::stack(squares));
    put("numbers",
        torch::tensor(numbers, torch::kFloat64)
          .reshape({long(chains.size()), -1}));
  }



  void
  NoUTurnSampler::load(const ModelFile &file)
  {
    auto expected = to_json(parameters);
    expected.erase("samples");
    const auto document = file.get<nlohmann::json>(name);
    const auto is       = [&](const char *key, const nlohmann::json &value) {
      return document.is_object() && document.contains(key) &&
             document[key] == value;
    };
    if (!is("parameters", expected) || !is("chains", chains.size()) ||
        !is("dimension", d))
      throw FileError(file.filename,
                      "it has been written by a sampler with other "
                      "parameters, chains or dimensions");

    using Shape      = std::vector<std::int64_t>;
    const auto wrong = [&](const std::string &entry) {
      throw FileError(file.filename,
                      "its tensor 'sampler." + entry +
                        "' is not one that this sampler has written");
    };
    const auto get = [&](const std::string  &entry,
                         const torch::Dtype &type,
                         const Shape        &shape) {
      const auto &tensor = file.tensor("sampler." + entry);
      if (tensor.scalar_type() != type || tensor.sizes() != shape)
        wrong(entry);
      return tensor.contiguous();
    };
    const long  m      = chains.size();
    const Shape matrix = reset_moments().squares.sizes().vec();
    Shape       matrices(matrix);
    matrices.insert(matrices.begin(), m);
    const auto positions = get("positions", torch::kFloat64, {m, d}),
               means     = get("means", torch::kFloat64, {m, d}),
               squares   = get("squares", torch::kFloat64, matrices),
               metric    = get("metric", torch::kFloat64, matrices),
               numbers   = get("numbers", torch::kFloat64, {m, 9});

    std::vector<Chain> read   = chains;
    long               n_most = 0;
    for (long i = 0; i < m; ++i)
      {
        auto         &chain = read[i];
        const double *x     = numbers.data_ptr<double>() + 9 * i;
        if (!(x[0] >= 0. && x[0] <= 2e9))
          wrong("numbers");
        chain.n_done = long(x[0]);
        n_most       = std::max(n_most, chain.n_done);
        chain.point  = chain.hamiltonian.at_rest(positions[i].clone());
        // (Evaluated on another machine, it may differ in its last digits.)
        if (!(std::abs(chain.point.log_density - x[1]) <=
              1e-6 * (1. + std::abs(x[1]))))
          throw FileError(file.filename,
                          "its sampler has had another log density where " +
                            fmt::format("chain {} is: {} and not {}",
                                        parameters.first_chain + i,
                                        x[1],
                                        chain.point.log_density));
        chain.point.energy    = x[2];
        chain.step_size       = x[3];
        chain.search.center   = x[4];
        chain.search.count    = x[5];
        chain.search.bias     = x[6];
        chain.search.mean     = x[7];
        chain.moments.count   = long(x[8]);
        chain.moments.mean    = means[i].clone();
        chain.moments.squares = squares[i].clone();
        if (!chain.hamiltonian.metric.set_covariance(metric[i]))
          wrong("metric");
      }

    const long n = std::max(n_most - parameters.warm_up, 0L);
    if (n > parameters.samples)
      throw FileError(file.filename,
                      fmt::format("its sampler has {} samples of each chain, "
                                  "more than the {} that are asked for",
                                  n,
                                  parameters.samples));
    for (const auto &[entry, tensor] : tensors_of(found))
      {
        Shape shape = tensor->sizes().vec();
        shape[1]    = n;
        get(entry, tensor->scalar_type(), shape);
      }
    // Samples that have been given away stay as they are.
    allocate();
    for (const auto &[entry, tensor] : tensors_of(found))
      tensor->slice(1, 0, n).copy_(file.tensor("sampler." + entry));
    chains = read;
  }
} // namespace neuraldeal
