// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/acquisition/acquisition_tools.h>
#include <neuraldeal/surrogates/acquisition/error_process.h>
#include <neuraldeal/surrogates/covariance_factor.h>
#include <neuraldeal/surrogates/triangular_solves.h>

#include <algorithm>
#include <cmath>
#include <numeric>

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

      /**
       * By what Σ_j l_j (var_j + λ)^h falls with the candidates @p rows, [k],
       * for h ≤ 1: the whole difference, of which reduction() is the first
       * order, for l_j h (var_j + λ)^(h − 1) as weights.
       */
      torch::Tensor
      reduction(const torch::Tensor &rows,
                const torch::Tensor &levels,
                const double         half_power) const
      {
        auto covariances = covariance.index_select(0, rows);
        if (n_rows > n_before)
          covariances =
            covariances -
            torch::mm(
              whitened.slice(0, n_before, n_rows).index_select(1, rows).t(),
              of_reference.slice(0, n_before, n_rows));
        const auto now  = (variance_of_reference + noise).unsqueeze(0);
        const auto fall = covariances.square() /
                          (variance.index_select(0, rows) + noise).unsqueeze(1);
        // x^h − y^h = x^h (1 − (1 − f)^h), with f = 1 − y/x ≤ 1.
        const auto share = (fall / now).clamp(0., 1.);
        return torch::mv(now.pow(half_power) *
                           -torch::expm1(half_power * torch::log1p(-share)),
                         levels);
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
        const std::string type   = "integrated error";
        const auto        weight = log_weight(candidates, parameters, type);
        const auto        x      = places(candidates, parameters, type);
        const auto        reference =
          x.reference.defined() ? x.reference : some(candidates, x, random);

        // Without values nothing is known of lengths and errors.
        double           power = 2.;
        CovarianceKernel kernel({x.candidates.size(1)},
                                parameters["kernel"],
                                "each input");
        double           noise = parameters["noise"];
        auto levels  = torch::ones({reference.size(0)}, torch::kFloat64);
        auto weights = levels;
        if (candidates.chosen_values.defined() && x.chosen.size(0) > 1)
          {
            power = parameters["norm"];
            ErrorProcess::Parameters choices;
            choices.kernel           = parameters["kernel"];
            choices.evidence_samples = parameters["evidence samples"];
            choices.varying          = parameters["varying lengths"];
            choices.local            = parameters["local errors"];
            const ErrorProcess errors(x.chosen,
                                      candidates.chosen_values,
                                      candidates.chosen_norms,
                                      choices);
            kernel = errors.covariance();
            noise  = errors.noise();
            levels = errors.level(reference).pow(0.5 * power);
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
                const auto exact =
                  weight.index_select(0, index) +
                  process.reduction(index, levels, 0.5 * power).log();
                const long best =
                  largest(exact, std::vector<char>(rows.size(), 0));
                row   = rows[best];
                score = exact[best].item<double>();
              }
            taken[row] = 1;
            result.push_back({row, score});
            if (long(result.size()) == k)
              return result;
            process.add(row);
          }
      }

    private:
      /** "reference points" of the candidates, or all of them. */
      torch::Tensor
      some(const Candidates  &candidates,
           const Places      &x,
           const RoundRandom &random) const
      {
        const long n       = long(candidates.ids.size());
        const long maximum = parameters["reference points"];
        if (n <= maximum)
          return x.candidates;
        std::vector<std::int64_t> rows(n);
        std::iota(rows.begin(), rows.end(), 0);
        std::vector<double> numbers(n);
        for (long i = 0; i < n; ++i)
          numbers[i] = random.uniform(candidates.ids[i]);
        std::stable_sort(rows.begin(),
                         rows.end(),
                         [&](const auto a, const auto b) {
                           return numbers[a] < numbers[b];
                         });
        rows.resize(maximum);
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
