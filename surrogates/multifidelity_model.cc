// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/acquisition/error_process.h>
#include <neuraldeal/surrogates/acquisition/standardized_inputs.h>
#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/covariance_factor.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/multifidelity_model.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace neuraldeal
{
  namespace
  {
    constexpr long block_size = 32;

    /** Where the row of each input of @p fine is among those of @p coarse. */
    std::vector<long>
    matching_rows(const torch::Tensor &fine,
                  const torch::Tensor &coarse,
                  const long           level)
    {
      const auto row_of = [](const torch::Tensor &inputs, const long i) {
        const double *data = inputs.data_ptr<double>() + i * inputs.size(1);
        return std::vector<double>(data, data + inputs.size(1));
      };
      const auto x = fine.contiguous(), y = coarse.contiguous();
      std::map<std::vector<double>, long> rows;
      for (long i = 0; i < y.size(0); ++i)
        rows.emplace(row_of(y, i), i);
      std::vector<long> result;
      for (long i = 0; i < x.size(0); ++i)
        {
          const auto found = rows.find(row_of(x, i));
          if (found == rows.end())
            throw InputError(fmt::format("level {} of the solves", level),
                             fmt::format("input {}", i),
                             "not solved on the level below",
                             "one that is solved there as well");
          result.push_back(found->second);
        }
      return result;
    }



    /** p + (u − p) − ρ (v − p) for the solutions v of the level below. */
    class SnapshotDifferences : public SnapshotSource
    {
    public:
      SnapshotDifferences(const SnapshotSource          &fine,
                          const SnapshotSource          &coarse,
                          const FieldSpace              &space,
                          const std::vector<InputRange> &inputs,
                          const long                     level)
        : fine(fine)
        , coarse(coarse)
        , rows(matching_rows(fine.parameters(), coarse.parameters(), level))
        , rho(best_factor(space, inputs))
      {}

      long
      size() const override
      {
        return fine.size();
      }

      Snapshots
      read(const long begin, const long end) const override
      {
        auto result = fine.read(begin, end);
        // What counts for nothing need not be read.
        if (rho != 0.)
          result.solution =
            result.solution - rho * coarse_corrections(begin, end);
        return result;
      }

      torch::Tensor
      parameters() const override
      {
        return fine.parameters();
      }

      double
      factor() const
      {
        return rho;
      }

    private:
      /** v − p of the rows @p begin, …, @p end − 1 of the finer level. */
      torch::Tensor
      coarse_corrections(const long begin, const long end) const
      {
        std::vector<torch::Tensor> blocks;
        for (long i = begin; i < end;)
          {
            // Those that are side by side in the coarser level, at once.
            long n = 1;
            while (i + n < end && rows[i + n] == rows[i] + n)
              ++n;
            const auto snapshots = coarse.read(rows[i], rows[i] + n);
            blocks.push_back(snapshots.solution - snapshots.prior);
            i += n;
          }
        return torch::cat(blocks);
      }

      /**
       * Products (u_i, v_j) of the deviations of the corrections of both levels
       * from their means, [n, n].
       */
      struct Products
      {
        torch::Tensor fine, mixed, coarse;
      };

      Products
      products(const FieldSpace &space) const
      {
        const long n      = fine.size();
        const auto end_of = [&](const long begin) {
          return std::min(begin + block_size, n);
        };
        const auto of_fine = [&](const long begin) {
          const auto snapshots = fine.read(begin, end_of(begin));
          return snapshots.solution - snapshots.prior;
        };
        Products result;
        for (auto *part : {&result.fine, &result.mixed, &result.coarse})
          *part = torch::zeros({n, n}, torch::kFloat64);
        for (long a = 0; a < n; a += block_size)
          {
            const auto u = space.apply_mass(of_fine(a)),
                       v = space.apply_mass(coarse_corrections(a, end_of(a)));
            for (long b = 0; b < n; b += block_size)
              {
                const auto w     = coarse_corrections(b, end_of(b)).t();
                const auto place = [&](torch::Tensor &part) {
                  return part.slice(0, a, end_of(a)).slice(1, b, end_of(b));
                };
                place(result.fine).copy_(torch::mm(u, of_fine(b).t()));
                place(result.mixed).copy_(torch::mm(u, w));
                place(result.coarse).copy_(torch::mm(v, w));
              }
          }
        const auto centre = torch::eye(n, torch::kFloat64) - 1. / double(n);
        for (auto *part : {&result.fine, &result.mixed, &result.coarse})
          *part = torch::mm(torch::mm(centre, *part), centre);
        return result;
      }

      /** ρ; see FidelityLevels. */
      double
      best_factor(const FieldSpace              &space,
                  const std::vector<InputRange> &inputs) const
      {
        const long n = fine.size();
        if (n < 3)
          return 0.;
        const auto all = products(space);
        if (!(all.fine.diagonal().max().item<double>() > 0.) ||
            !(all.coarse.diagonal().max().item<double>() > 0.))
          return 0.;

        // The process that learns the finer corrections, by coordinates of
        // these that have the same products.
        auto given = fine.parameters().clone();
        for (std::size_t i = 0; i < inputs.size(); ++i)
          if (inputs[i].logarithmic)
            given.select(1, long(i)).log_();
        const auto x = StandardizedInputs(given, "level")(given);
        const auto [squares, vectors] =
          compat::symmetric_eigen(0.5 * (all.fine + all.fine.t()));
        ErrorProcess::Parameters choices;
        choices.local   = false;
        choices.varying = false;
        const ErrorProcess process(x,
                                   vectors * squares.clamp_min(0.).sqrt(),
                                   torch::Tensor(),
                                   choices);

        // Left-out errors are W y with W = diag(C⁻¹)⁻¹ C⁻¹ (Rasmussen and
        // Williams, section 5.4.2).
        const auto inverse = torch::cholesky_inverse(
          covariance_factor(process.covariance().matrix(x, x) +
                            process.noise() * torch::eye(n, torch::kFloat64)));
        const auto w   = inverse / inverse.diagonal().unsqueeze(1);
        const auto sum = [&](const torch::Tensor &of) {
          return (torch::mm(w, of) * w).sum().item<double>();
        };
        const double of_fine = sum(all.fine), of_coarse = sum(all.coarse),
                     mixed = sum(all.mixed);
        if (!(of_fine > 0.) || !(of_coarse > 0.))
          return 0.;
        const double explained = mixed * mixed / of_coarse;
        const double rest      = std::max(of_fine - explained, 0.);
        // 1/F
        const double shrinkage = rest / (double(n - 2) * explained);
        return mixed / of_coarse * std::max(0., 1. - shrinkage);
      }

      const SnapshotSource   &fine, &coarse;
      const std::vector<long> rows;
      const double            rho;
    };
  } // namespace



  FidelityLevels::FidelityLevels(
    const std::vector<const SnapshotSource *> &levels,
    const FieldSpace                          &space,
    const std::vector<InputRange>             &inputs)
    : sources(levels)
    , factors(levels.size(), 1.)
  {
    for (long l = 0; l < size(); ++l)
      if (levels[l]->size() == 0)
        throw InputError(fmt::format("level {} of the solves", l),
                         "the number of solves that have succeeded",
                         "0",
                         "one at least, to learn from");
    for (long l = 1; l < size(); ++l)
      {
        auto difference = std::make_unique<SnapshotDifferences>(
          *levels[l], *levels[l - 1], space, inputs, l);
        for (long k = 0; k < l; ++k)
          factors[k] *= difference->factor();
        sources[l] = difference.get();
        differences.push_back(std::move(difference));
      }
  }



  MultifidelityModel::MultifidelityModel(const Factory &factory)
    : factory(factory)
  {}



  void
  MultifidelityModel::fit(const FidelityLevels &levels,
                          const FieldSpace     &space,
                          const Communicator   &communicator)
  {
    std::vector<std::unique_ptr<Surrogate>> fresh;
    std::vector<double>                     fresh_factors;
    for (long l = 0; l < levels.size(); ++l)
      {
        fresh.push_back(factory());
        fresh.back()->fit(levels[l], space, communicator);
        fresh_factors.push_back(levels.factor(l));
      }
    surrogates = std::move(fresh);
    factors    = std::move(fresh_factors);
  }



  void
  MultifidelityModel::distribute(const long          first_value,
                                 const long          n_values,
                                 const Communicator &group)
  {
    for (auto &surrogate : surrogates)
      {
        ModelFile file;
        surrogate->save(file);
        auto slice = factory();
        slice->load(file, first_value, n_values, group);
        surrogate = std::move(slice);
      }
  }



  MultifidelityModel::Prediction
  MultifidelityModel::predict(const Inputs &inputs) const
  {
    TORCH_CHECK(!surrogates.empty(), "The model has not been fitted.");
    if (surrogates.size() == 1)
      return {surrogates.front()->predict(inputs), {}};

    Prediction                 result;
    std::vector<torch::Tensor> scales;
    torch::Tensor              correction;
    for (std::size_t l = 0; l < surrogates.size(); ++l)
      {
        const auto part = surrogates[l]->predict(inputs);
        const auto mine = factors[l] * (part.mean - inputs.prior);
        scales.push_back(std::abs(factors[l]) * part.scale);
        correction = l == 0 ? mine : correction + mine;
        result.novelty =
          l == 0 ? part.novelty : torch::maximum(result.novelty, part.novelty);
        if (l == 0)
          result.norm = part.norm;
      }
    result.mean         = inputs.prior + correction;
    result.level_scales = torch::stack(scales, 1);
    result.scale        = result.level_scales.square().sum(1).sqrt();
    return result;
  }
} // namespace neuraldeal
