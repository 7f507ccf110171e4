// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/acquisition/acquisition_tools.h>
#include <neuraldeal/surrogates/acquisition/gaussian_scores.h>
#include <neuraldeal/surrogates/covariance_factor.h>
#include <neuraldeal/surrogates/covariance_kernel.h>
#include <neuraldeal/surrogates/triangular_solves.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  using namespace acquisition_tools;

  namespace
  {
    /**
     * The logarithm of a score, [n], where scales have been multiplied by the
     * factors, [n].
     */
    using Score = std::function<torch::Tensor(const Candidates    &candidates,
                                              const torch::Tensor &factor)>;

    struct ScoreDescription
    {
      std::string                       type;
      std::string                       documentation;
      std::vector<ParameterDescription> parameters;
      std::function<Score(const nlohmann::json &parameters,
                          const std::string    &source)>
                                                                        make;
      std::function<AcquisitionNeeds(const nlohmann::json &parameters)> needs;
    };



    AcquisitionNeeds
    needs_nothing(const nlohmann::json &)
    {
      return {};
    }

    AcquisitionNeeds
    needs_residual(const nlohmann::json &)
    {
      AcquisitionNeeds result;
      result.residual = true;
      return result;
    }

    AcquisitionNeeds
    needs_threshold(const nlohmann::json &)
    {
      AcquisitionNeeds result;
      result.quantity = true;
      return result;
    }

    AcquisitionNeeds
    needs_best(const nlohmann::json &parameters)
    {
      AcquisitionNeeds result;
      result.quantity  = true;
      result.threshold = parameters["goal"] == "minimize" ?
                           AcquisitionNeeds::Threshold::smallest :
                           AcquisitionNeeds::Threshold::largest;
      return result;
    }



    /** The threshold, which has to be there. */
    double
    needed_threshold(const Candidates &candidates, const std::string &type)
    {
      if (!std::isfinite(candidates.threshold))
        throw InputError("the candidates",
                         "threshold",
                         std::to_string(candidates.threshold),
                         "a finite number, which '" + type + "' needs");
      return candidates.threshold;
    }



    /** The scores there are. */
    const std::vector<ScoreDescription> &
    scores()
    {
      static const std::vector<ScoreDescription> all = {
        {"largest uncertainty",
         "The candidates with the largest predicted scale.",
         {},
         [](const nlohmann::json &, const std::string &) -> Score {
           return [](const Candidates &c, const torch::Tensor &factor) {
             return (needed(c.scale, "scale", "largest uncertainty") * factor)
               .log();
           };
         },
         needs_nothing},
        {"residual",
         "The candidates with the largest scores that the host hands in, such "
         "as dual norms of the residual.",
         {},
         [](const nlohmann::json &, const std::string &) -> Score {
           return [](const Candidates &c, const torch::Tensor &factor) {
             return (needed(c.residual, "residual", "residual") * factor).log();
           };
         },
         needs_residual},
        {"U function",
         "The candidates that are most likely on the wrong side of a threshold "
         "(AK-MCS).",
         {},
         [](const nlohmann::json &, const std::string &) -> Score {
           return [](const Candidates &c, const torch::Tensor &factor) {
             const std::string type = "U function";
             return gaussian_scores::log_misclassification(
               needed(c.mean, "mean", type),
               needed(c.deviation, "deviation", type) * factor,
               needed_threshold(c, type));
           };
         },
         needs_threshold},
        {"expected feasibility",
         "The candidates that may be closest to a threshold (EGRA).",
         {{"half width",
           2.,
           0.01,
           100.,
           "What is close to the threshold, in standard deviations."}},
         [](const nlohmann::json &parameters, const std::string &) -> Score {
           return [width = parameters["half width"].get<double>()](
                    const Candidates &c, const torch::Tensor &factor) {
             const std::string type = "expected feasibility";
             return gaussian_scores::log_expected_feasibility(
               needed(c.mean, "mean", type),
               needed(c.deviation, "deviation", type) * factor,
               needed_threshold(c, type),
               width);
           };
         },
         needs_threshold},
        {"expected improvement",
         "The candidates that are expected to improve most on the best value "
         "so far.",
         {{"goal", "minimize", 0., 0., "What is best: minimize or maximize."}},
         [](const nlohmann::json &parameters,
            const std::string    &source) -> Score {
           const std::string goal = parameters["goal"];
           check_choice(source, "goal", goal, {"minimize", "maximize"});
           return
             [sign = goal == "minimize" ?
                       1. :
                       -1.](const Candidates &c, const torch::Tensor &factor) {
               const std::string type = "expected improvement";
               return gaussian_scores::log_expected_improvement(
                 sign * needed(c.mean, "mean", type),
                 needed(c.deviation, "deviation", type) * factor,
                 sign * needed_threshold(c, type));
             };
         },
         needs_best}};
      return all;
    }



    /**
     * Variances of a Gaussian process at the candidates, given those that are
     * chosen one after another: Cholesky's method on the rows that are chosen.
     */
    class ConditionalVariance
    {
    public:
      ConditionalVariance(const Places         &x,
                          const nlohmann::json &parameters,
                          const long            k)
        : points(x.candidates)
        , kernel({x.candidates.size(1)}, parameters["kernel"], "shared")
        , noise(parameters["noise"])
      {
        auto hyperparameters = kernel.hyperparameters().clone();
        hyperparameters[0] +=
          std::log(parameters["length scale"].get<double>());
        // Nothing but the stationary part: the distance is what counts.
        hyperparameters[1] = -700.;
        kernel.set_hyperparameters(hyperparameters);

        const long n = points.size(0), m = x.chosen.size(0);
        n_rows   = m;
        whitened = torch::zeros({m + k, n}, torch::kFloat64);
        variance = kernel.diagonal(points);
        if (m > 0)
          {
            const auto factor =
              covariance_factor(kernel.matrix(x.chosen, x.chosen) +
                                noise * torch::eye(m, torch::kFloat64));
            whitened.slice(0, 0, m).copy_(
              solve_lower(factor, kernel.matrix(x.chosen, points)));
            variance = variance - whitened.slice(0, 0, m).square().sum(0);
          }
        variance = variance.clamp_min(0.);
        before   = variance;
      }

      /** Choose one more. */
      void
      add(const long row)
      {
        const auto rows = whitened.slice(0, 0, n_rows);
        const auto covariance =
          kernel.matrix(points.slice(0, row, row + 1), points)[0] -
          torch::mv(rows.t(), rows.select(1, row));
        const auto last =
          covariance / std::sqrt(variance[row].item<double>() + noise);
        whitened[n_rows++].copy_(last);
        variance = (variance - last.square()).clamp_min(0.);
      }

      /** √(v'/v); zero where nothing was unknown before. */
      torch::Tensor
      factor() const
      {
        return torch::where(before > 0.,
                            (variance / before).sqrt(),
                            torch::zeros_like(before));
      }

    private:
      torch::Tensor    points;
      CovarianceKernel kernel;
      double           noise;
      torch::Tensor whitened; ///< L⁻¹ k(chosen, points), rows as they come
      long          n_rows;
      torch::Tensor variance, before;
    };



    class ScoredAcquisition : public AcquisitionFunction
    {
    public:
      ScoredAcquisition(const ScoreDescription &description,
                        const nlohmann::json   &parameters,
                        const std::string      &source)
        : type(description.type)
        , score(description.make(parameters, source))
        , needed_too(description.needs(parameters))
        , parameters(parameters)
        , batch(parameters["batch"])
      {
        check_choice(source,
                     "batch",
                     batch,
                     {"top", "conditioning", "diversity"});
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
      choose(const Candidates &candidates,
             const long        k,
             const RoundRandom &) const override
      {
        const long n      = long(candidates.ids.size());
        const auto weight = log_weight(candidates, parameters, type);
        const auto one    = torch::ones({n}, torch::kFloat64);
        auto       values = weight + score(candidates, one);

        if (k > 1 && batch == "diversity")
          return diverse(candidates, values, k);

        std::vector<char>   taken(n, 0);
        std::vector<Choice> result;
        const auto          take = [&] {
          const long row = largest(values, taken);
          result.push_back({row, values[row].item<double>()});
          taken[row] = 1;
          return row;
        };
        if (k == 1 || batch == "top")
          while (long(result.size()) < k)
            take();
        else
          {
            ConditionalVariance process(places(candidates,
                                               parameters,
                                               by("conditioning")),
                                        parameters,
                                        k);
            while (long(result.size()) < k)
              {
                process.add(take());
                values = weight + score(candidates, process.factor());
              }
          }
        return result;
      }

      AcquisitionNeeds
      needs() const override
      {
        return needed_too;
      }

    private:
      /** What needs something, for a sentence. */
      std::string
      by(const std::string &way) const
      {
        return type + "' with the 'batch' '" + way;
      }

      std::vector<Choice>
      diverse(const Candidates    &candidates,
              const torch::Tensor &values,
              const long           k) const
      {
        const auto x = places(candidates, parameters, by("diversity"));
        const long n = values.size(0);
        const long n_pool =
          std::min(n, parameters["pool factor"].get<long>() * k);

        // All but the pool are as good as taken.
        std::vector<char> in_pool(n, 0), taken(n, 1);
        const long        first = largest(values, in_pool);
        for (long i = 0; i < n_pool; ++i)
          {
            const long row = largest(values, in_pool);
            in_pool[row]   = 1;
            taken[row]     = 0;
          }

        NearestCenter centers(x.candidates);
        for (long i = 0; i < x.chosen.size(0); ++i)
          centers.add(x.chosen[i]);
        std::vector<Choice> result;
        while (long(result.size()) < k)
          {
            const long row =
              result.empty() ?
                first :
                largest(torch::tensor(centers.squares, torch::kFloat64), taken);
            taken[row] = 1;
            centers.add(x.candidates[row]);
            result.push_back({row, values[row].item<double>()});
          }
        return result;
      }

      const std::string      type;
      const Score            score;
      const AcquisitionNeeds needed_too;
      const nlohmann::json   parameters;
      const std::string      batch;
    };



    class PowerSampling : public AcquisitionFunction
    {
    public:
      PowerSampling(const nlohmann::json &parameters, const std::string &source)
        : parameters(parameters)
      {
        const std::string        wanted = parameters["score"];
        std::vector<std::string> names;
        for (const auto &description : scores())
          {
            names.push_back(description.type);
            if (description.type == wanted)
              {
                const auto complete =
                  complete_parameters(description.parameters,
                                      parameters["score parameters"],
                                      source);
                score      = description.make(complete, source);
                needed_too = description.needs(complete);
              }
          }
        check_choice(source, "score", wanted, names);
      }

      std::vector<Choice>
      choose(const Candidates  &candidates,
             const long         k,
             const RoundRandom &random) const override
      {
        const long   n     = long(candidates.ids.size());
        const double power = parameters["power"];
        const auto   logarithm =
          (log_weight(candidates, parameters, "power sampling") +
           score(candidates, torch::ones({n}, torch::kFloat64)))
            .contiguous();
        auto    values = torch::empty({n}, torch::kFloat64);
        double *data   = values.data_ptr<double>();
        for (long i = 0; i < n; ++i)
          {
            const double s = logarithm.data_ptr<double>()[i];
            // (With β = 0 all are equal, even those without a score.)
            data[i] =
              (power > 0. ? power * s : 0.) + random.gumbel(candidates.ids[i]);
          }
        std::vector<char>   taken(n, 0);
        std::vector<Choice> result;
        while (long(result.size()) < k)
          {
            const long row = largest(values, taken);
            taken[row]     = 1;
            result.push_back({row, data[row]});
          }
        return result;
      }

      AcquisitionNeeds
      needs() const override
      {
        return needed_too;
      }

    private:
      const nlohmann::json parameters;
      Score                score;
      AcquisitionNeeds     needed_too;
    };



    class RandomAcquisition : public AcquisitionFunction
    {
    public:
      std::vector<Choice>
      choose(const Candidates  &candidates,
             const long         k,
             const RoundRandom &random) const override
      {
        std::vector<Choice> all;
        for (long i = 0; i < long(candidates.ids.size()); ++i)
          all.push_back({i, random.uniform(candidates.ids[i])});
        std::stable_sort(all.begin(),
                         all.end(),
                         [](const Choice &a, const Choice &b) {
                           return a.score > b.score;
                         });
        all.resize(k);
        return all;
      }
    };
  } // namespace



  void
  register_scored_acquisitions()
  {
    AcquisitionRegistry::Registration(
      "random",
      "Candidates drawn at random, all with the same probability.",
      {},
      [](const nlohmann::json &, const std::string &) {
        return std::make_unique<RandomAcquisition>();
      });

    AcquisitionRegistry::Registration(
      "power sampling",
      "Candidates drawn at random, with probabilities that grow with a power "
      "of a score.",
      {{"power",
        1.,
        0.,
        1e6,
        "β of probabilities ∝ score^β: 0 for equal ones; the larger, the "
        "closer to the largest scores."},
       {"score",
        "largest uncertainty",
        0.,
        0.,
        "The name of the acquisition function whose score it is."},
       {"score parameters",
        nlohmann::json::object(),
        0.,
        0.,
        "Parameters that belong to that score alone, such as the goal."},
       cost_power()},
      [](const nlohmann::json &parameters, const std::string &source) {
        return std::make_unique<PowerSampling>(parameters, source);
      });

    const std::vector<ParameterDescription> common = {
      {"batch",
       "conditioning",
       0.,
       0.,
       "How the candidates of a round know of each other: top (not at all), "
       "conditioning, or diversity."},
      {"kernel",
       "Matern 5/2",
       0.,
       0.,
       "For conditioning: " + CovarianceKernel::shapes() + "."},
      {"length scale",
       1.,
       1e-6,
       1e6,
       "For conditioning: the length of the kernel over the root of the number "
       "of features."},
      {"noise",
       1e-6,
       1e-12,
       1e6,
       "For conditioning: the variance of noise over that of the process."},
      {"pool factor",
       10,
       1,
       1e6,
       "For diversity: among how many of the largest scores, over the number "
       "to be chosen."},
      cost_power(),
      feature_choice()};
    for (const auto &description : scores())
      AcquisitionRegistry::Registration(
        description.type,
        description.documentation,
        joined(description.parameters, common),
        [&description](const nlohmann::json &parameters,
                       const std::string    &source) {
          return std::make_unique<ScoredAcquisition>(description,
                                                     parameters,
                                                     source);
        });
  }
} // namespace neuraldeal
