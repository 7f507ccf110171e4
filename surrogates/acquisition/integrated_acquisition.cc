// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/acquisition/acquisition_tools.h>
#include <neuraldeal/surrogates/acquisition/error_process.h>
#include <neuraldeal/surrogates/covariance_factor.h>
#include <neuraldeal/surrogates/triangular_solves.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace neuraldeal
{
  using namespace acquisition_tools;

  namespace
  {
    /** Candidates whose scores are computed beyond the first order. */
    constexpr long n_exact = 256;



    /**
     * The rows of the @p n largest values, in ascending order, without those
     * that are @p taken.
     */
    std::vector<long>
    largest_rows(const torch::Tensor     &values,
                 const std::vector<char> &taken,
                 const long               n)
    {
      std::vector<long> rows;
      for (long i = 0; i < long(taken.size()); ++i)
        if (!taken[i])
          rows.push_back(i);
      const double *data = values.data_ptr<double>();
      const auto    end  = rows.begin() + std::min<long>(n, rows.size());
      std::partial_sort(
        rows.begin(), end, rows.end(), [data](const long a, const long b) {
          return data[a] > data[b] || (data[a] == data[b] && a < b);
        });
      rows.erase(end, rows.end());
      std::sort(rows.begin(), rows.end());
      return rows;
    }



    /**
     * By what Σ_j l_j v_j^h falls where the @p values v_j, [R], fall by
     * @p falls, a row for each way, [k, R]: the whole difference, of which
     * Σ_j l_j h v_j^(h − 1) falls_j is the first order. @return [k]
     */
    torch::Tensor
    fall_of_powers(const torch::Tensor &values,
                   const torch::Tensor &falls,
                   const torch::Tensor &levels,
                   const double         h)
    {
      const auto now = values.unsqueeze(0);
      // x^h − y^h = x^h (1 − (1 − f)^h), with f = 1 − y/x ≤ 1.
      const auto share = (falls / now).clamp(0., 1.);
      return torch::mv(now.pow(h) * -torch::expm1(h * torch::log1p(-share)),
                       levels);
    }



    /**
     * Covariances of a Gaussian process, given samples that are chosen one
     * after another, between n candidates and R points that means are taken
     * over: a matrix K − Vᵀ V that is made once, and what is subtracted from it
     * by each further sample as vectors.
     */
    class ConditionalCovariance
    {
    public:
      ConditionalCovariance(const CovarianceKernel &kernel,
                            const double            noise,
                            const torch::Tensor    &chosen,
                            const torch::Tensor    &candidates,
                            const torch::Tensor    &reference,
                            const torch::Tensor    &weights,
                            const long              k)
        : kernel(kernel)
        , noise(noise)
        , candidates(candidates)
        , reference(reference)
        , weights(weights)
      {
        const long n = candidates.size(0), m = chosen.size(0);
        whitened              = torch::zeros({m + k, n}, torch::kFloat64);
        variance_of_reference = kernel.diagonal(reference);
        of_reference =
          torch::zeros({m + k, reference.size(0)}, torch::kFloat64);
        covariance = kernel.matrix(candidates, reference);
        variance   = kernel.diagonal(candidates);
        if (m > 0)
          {
            const auto factor =
              covariance_factor(kernel.matrix(chosen, chosen) +
                                noise * torch::eye(m, torch::kFloat64));
            whitened.slice(0, 0, m).copy_(
              solve_lower(factor, kernel.matrix(chosen, candidates)));
            of_reference.slice(0, 0, m).copy_(
              solve_lower(factor, kernel.matrix(chosen, reference)));
            covariance.sub_(torch::mm(whitened.slice(0, 0, m).t(),
                                      of_reference.slice(0, 0, m)));
            variance = (variance - whitened.slice(0, 0, m).square().sum(0))
                         .clamp_min(0.);
            variance_of_reference =
              (variance_of_reference -
               of_reference.slice(0, 0, m).square().sum(0))
                .clamp_min(0.);
          }
        n_before = n_rows = m;
        sums              = torch::mv(covariance.square(), weights);
      }

      /** By what Σ_j w_j var_j falls with each candidate, [n]. */
      torch::Tensor
      reduction() const
      {
        return sums / (variance + noise);
      }

      /** By what the variances var_j fall with the candidates @p rows, [k, R]. */
      torch::Tensor
      falls(const torch::Tensor &rows) const
      {
        auto covariances = covariance.index_select(0, rows);
        if (n_rows > n_before)
          covariances =
            covariances -
            torch::mm(
              whitened.slice(0, n_before, n_rows).index_select(1, rows).t(),
              of_reference.slice(0, n_before, n_rows));
        return covariances.square() /
               (variance.index_select(0, rows) + noise).unsqueeze(1);
      }

      /** var_j + λ, [R]. */
      torch::Tensor
      at_reference() const
      {
        return variance_of_reference + noise;
      }

      /** Choose one more. */
      void
      add(const long row)
      {
        const double root = std::sqrt(variance[row].item<double>() + noise);
        const auto   last = [&](const torch::Tensor &points,
                              const torch::Tensor &rows) {
          const auto known = rows.slice(0, 0, n_rows);
          return (kernel.matrix(candidates.slice(0, row, row + 1), points)[0] -
                  torch::mv(known.t(),
                            whitened.slice(0, 0, n_rows).select(1, row))) /
                 root;
        };
        const auto a = last(candidates, whitened);
        const auto b = last(reference, of_reference);

        // Σ_j w_j (c_xj − a_x b_j)²
        const auto weighted = weights * b;
        auto       product  = torch::mv(covariance, weighted);
        if (n_rows > n_before)
          product = product -
                    torch::mv(whitened.slice(0, n_before, n_rows).t(),
                              torch::mv(of_reference.slice(0, n_before, n_rows),
                                        weighted));
        sums = (sums - 2. * a * product + a.square() * (weighted * b).sum())
                 .clamp_min(0.);
        variance = (variance - a.square()).clamp_min(0.);
        variance_of_reference =
          (variance_of_reference - b.square()).clamp_min(0.);
        whitened[n_rows].copy_(a);
        of_reference[n_rows].copy_(b);
        ++n_rows;
      }

    private:
      const CovarianceKernel kernel;
      const double           noise;
      const torch::Tensor    candidates, reference, weights;
      torch::Tensor          whitened;     ///< L⁻¹ k(chosen, candidates)
      torch::Tensor          of_reference; ///< L⁻¹ k(chosen, reference)
      torch::Tensor          covariance;   ///< given n_before samples, [n, R]
      torch::Tensor          variance, variance_of_reference, sums;
      long                   n_before, n_rows;
    };



    class IntegratedError : public AcquisitionFunction
    {
    public:
      IntegratedError(const nlohmann::json &parameters,
                      const std::string    &source)
        : parameters(parameters)
      {
        check_features(parameters, source);
        try
          {
            CovarianceKernel({1}, parameters["kernel"], "shared");
          }
        catch (const InputError &error)
          {
            throw InputError(source, error);
          }
      }

      std::vector<Choice>
      choose(const Candidates  &candidates,
             const long         k,
             const RoundRandom &random) const override
      {
        if (!candidates.levels.empty())
          if (const auto choices = choose_levels(candidates, k, random))
            return *choices;

        const auto weight = log_weight(candidates, parameters, type);
        const auto x      = places(candidates, parameters, type);
        const auto reference =
          x.reference.defined() ? x.reference : some(candidates, x, random);

        // Without values nothing is known of lengths and errors.
        double           power = 2.;
        CovarianceKernel kernel({x.candidates.size(1)},
                                parameters["kernel"],
                                "each input");
        double           noise = parameters["noise"];
        auto levels  = torch::ones({reference.size(0)}, torch::kFloat64);
        auto weights = levels;
        if (candidates.levels.empty() && candidates.chosen_values.defined() &&
            x.chosen.size(0) > 1)
          {
            power             = parameters["norm"];
            const auto errors = process_of(x.chosen, candidates);
            kernel            = errors.covariance();
            noise             = errors.noise();
            levels            = errors.level(reference).pow(0.5 * power);
            weights =
              levels * (noise * (1. + errors.regression().leverage(reference)))
                         .pow(0.5 * power - 1.);
          }
        else
          {
            auto hyperparameters = kernel.hyperparameters().clone();
            hyperparameters.slice(0, 0, -1) +=
              std::log(parameters["length scale"].get<double>());
            hyperparameters[-1] = -700.; // nothing but distances counts
            kernel.set_hyperparameters(hyperparameters);
          }
        weights = weights / weights.sum();

        ConditionalCovariance process(
          kernel, noise, x.chosen, x.candidates, reference, weights, k);
        std::vector<char>   taken(candidates.ids.size(), 0);
        std::vector<Choice> result;
        while (true)
          {
            const auto values =
              (weight + process.reduction().log()).contiguous();
            long   row   = largest(values, taken);
            double score = values[row].item<double>();
            // The square is its own first order.
            if (power != 2.)
              {
                const auto rows  = largest_rows(values, taken, n_exact);
                const auto index = torch::tensor(
                  std::vector<std::int64_t>(rows.begin(), rows.end()));
                const auto exact = weight.index_select(0, index) +
                                   fall_of_powers(process.at_reference(),
                                                  process.falls(index),
                                                  levels,
                                                  0.5 * power)
                                     .log();
                const long best =
                  largest(exact, std::vector<char>(rows.size(), 0));
                row   = rows[best];
                score = exact[best].item<double>();
              }
            taken[row] = 1;
            result.push_back({row, score, long(candidates.levels.size()) - 1});
            if (long(result.size()) == k)
              return result;
            process.add(row);
          }
      }

    private:
      static constexpr const char *type = "integrated error";

      /** What the values of @p chosen, the candidates or one of their levels,
       * tell at the places @p x of their features. */
      template <typename Chosen>
      ErrorProcess
      process_of(const torch::Tensor &x, const Chosen &chosen) const
      {
        ErrorProcess::Parameters choices;
        choices.kernel           = parameters["kernel"];
        choices.evidence_samples = parameters["evidence samples"];
        choices.varying          = parameters["varying lengths"];
        choices.local            = parameters["local errors"];
        return ErrorProcess(x,
                            chosen.chosen_values,
                            chosen.chosen_norms,
                            choices);
      }

      /**
       * Candidates and levels, by the formula of register_acquisitions();
       * nothing where the levels do not say enough for it.
       */
      std::optional<std::vector<Choice>>
      choose_levels(const Candidates  &candidates,
                    const long         k,
                    const RoundRandom &random) const
      {
        const auto &levels   = candidates.levels;
        const long  n_levels = long(levels.size());

        // One unit of features for all levels.
        std::vector<torch::Tensor> features;
        std::vector<std::int64_t>  n_chosen;
        for (const auto &level : levels)
          {
            if (!level.chosen_features.defined() ||
                level.chosen_features.size(0) < 2)
              return std::nullopt;
            features.push_back(level.chosen_features);
            n_chosen.push_back(level.chosen_features.size(0));
          }
        Candidates together      = candidates;
        together.chosen_features = torch::cat(features);
        const auto x             = places(together, parameters, type);
        const auto chosen        = x.chosen.split_with_sizes(n_chosen);
        const auto reference =
          x.reference.defined() ? x.reference : some(candidates, x, random);

        // R_l² level_l and the squares of all errors together. What has no
        // values has no errors.
        std::vector<std::optional<ErrorProcess>> errors(n_levels);
        std::vector<torch::Tensor>               size(n_levels);
        auto square = torch::zeros({reference.size(0)}, torch::kFloat64);
        for (long l = 0; l < n_levels; ++l)
          if (levels[l].chosen_values.defined() && levels[l].factor != 0.)
            {
              errors[l].emplace(process_of(chosen[l], levels[l]));
              size[l] = levels[l].factor * levels[l].factor *
                        errors[l]->level(reference);
              square =
                square + size[l] * errors[l]->noise() *
                           (1. + errors[l]->regression().leverage(reference));
            }
        if (!(square.min().item<double>() > 0.))
          return std::nullopt;
        const double power = parameters["norm"];
        const auto   slope = square.pow(0.5 * power - 1.);
        const auto   one   = torch::ones_like(square);

        std::vector<std::optional<ConditionalCovariance>> processes(n_levels);
        for (long l = 0; l < n_levels; ++l)
          if (errors[l])
            {
              // No more than the limits allow.
              const double most =
                candidates.limits.enough / levels[l].cost.min().item<double>() +
                1.;
              processes[l].emplace(errors[l]->covariance(),
                                   errors[l]->noise(),
                                   chosen[l],
                                   x.candidates,
                                   reference,
                                   slope * size[l],
                                   most < double(k) ? long(most) : k);
            }

        const double given      = parameters["cost power"];
        const double cost_power = given > 0. ? given : 1.;
        const long   n          = long(candidates.ids.size());
        const auto   weight     = candidates.feasibility.defined() ?
                                    candidates.feasibility.log() :
                                    torch::zeros({n}, torch::kFloat64);
        LevelChoices taken(candidates);
        auto         n_solved = candidates.n_solved.clone();

        std::vector<Choice> result;
        while (long(result.size()) < k && !taken.enough())
          {
            Choice best{-1, 0., -1};
            auto   gain = torch::zeros({n}, torch::kFloat64);
            auto   cost = torch::zeros({n}, torch::kFloat64);
            square      = torch::zeros_like(square);
            for (long l = 0; l < n_levels; ++l)
              if (processes[l])
                square = square + size[l] * processes[l]->at_reference();
            for (long l = 0; l < n_levels; ++l)
              {
                const auto open = n_solved <= l;
                if (processes[l])
                  gain = gain + open * processes[l]->reduction();
                cost = cost + open * levels[l].cost;
                const auto values =
                  weight + gain.log() - cost_power * cost.log();
                const auto        closed = open.logical_not().contiguous();
                const bool       *marks  = closed.data_ptr<bool>();
                std::vector<char> not_here(marks, marks + n);
                const auto        rows =
                  largest_rows(values.contiguous(), not_here, n_exact);
                if (rows.empty())
                  continue;
                const auto index = torch::tensor(
                  std::vector<std::int64_t>(rows.begin(), rows.end()));
                auto falls = torch::zeros({long(rows.size()), square.size(0)},
                                          torch::kFloat64);
                for (long below = 0; below <= l; ++below)
                  if (processes[below])
                    falls =
                      falls +
                      (n_solved.index_select(0, index) <= below).unsqueeze(1) *
                        size[below] * processes[below]->falls(index);
                const auto exact =
                  weight.index_select(0, index) +
                  fall_of_powers(square, falls, one, 0.5 * power).log() -
                  cost_power * cost.index_select(0, index).log();
                const long row =
                  largest(exact, std::vector<char>(rows.size(), 0));
                const double score = exact[row].item<double>();
                if (best.row < 0 || score > best.score)
                  best = {rows[row], score, l};
              }
            if (best.row < 0)
              break;
            const long first = taken.n_solved(best.row);
            if (!taken.take(best.row, best.level))
              break;
            result.push_back(best);
            n_solved[best.row] = best.level + 1;
            for (long l = first; l <= best.level; ++l)
              if (processes[l])
                processes[l]->add(best.row);
          }
        return result;
      }

      /**
       * "reference points" of the candidates, or all of them. Those that have
       * been solved on a level were chosen for it, and do not tell what will
       * be asked.
       */
      torch::Tensor
      some(const Candidates  &candidates,
           const Places      &x,
           const RoundRandom &random) const
      {
        const long                n       = long(candidates.ids.size());
        const long                maximum = parameters["reference points"];
        std::vector<std::int64_t> rows;
        for (long i = 0; i < n; ++i)
          if (!candidates.n_solved.defined() ||
              candidates.n_solved[i].item<std::int64_t>() == 0)
            rows.push_back(i);
        if (rows.empty() || (long(rows.size()) == n && n <= maximum))
          return x.candidates;
        if (long(rows.size()) > maximum)
          {
            std::vector<double> numbers(n);
            for (long i = 0; i < n; ++i)
              numbers[i] = random.uniform(candidates.ids[i]);
            std::stable_sort(rows.begin(),
                             rows.end(),
                             [&](const auto a, const auto b) {
                               return numbers[a] < numbers[b];
                             });
            rows.resize(maximum);
          }
        return x.candidates.index_select(0, torch::tensor(rows, torch::kInt64));
      }

      const nlohmann::json parameters;
    };
  } // namespace



  void
  register_integrated_acquisitions()
  {
    AcquisitionRegistry::Registration(
      "integrated error",
      "The candidates that lower the expected error of all inputs the most, "
      "errors being larger where they have been larger.",
      {{"norm",
        1.,
        0.5,
        8.,
        "p of the mean of the p-th powers of errors that is to be lowered: 1 "
        "for the mean error, 2 for the mean square, more for the largest ones."},
       {"kernel",
        "Matern 5/2",
        0.,
        0.,
        "Covariance of the process: " + CovarianceKernel::shapes() + "."},
       {"varying lengths",
        true,
        0.,
        0.,
        "Whether the lengths of the kernel may vary with the inputs."},
       {"local errors",
        true,
        0.,
        0.,
        "Whether left-out errors tell where errors are larger."},
       {"evidence samples",
        160,
        2,
        1e6,
        "Samples whose evidence chooses the lengths of the kernel."},
       {"reference points",
        1024,
        1,
        1e6,
        "Candidates that the mean is taken over where no others are given for "
        "that."},
       {"length scale",
        1.,
        1e-6,
        1e6,
        "Where no values are known: the length of the kernel over the root of "
        "the number of features."},
       {"noise",
        1e-4,
        1e-12,
        1e6,
        "Where no values are known: the variance of noise over that of the "
        "process."},
       cost_power(),
       feature_choice()},
      [](const nlohmann::json &parameters, const std::string &source) {
        return std::make_unique<IntegratedError>(parameters, source);
      });
  }
} // namespace neuraldeal
