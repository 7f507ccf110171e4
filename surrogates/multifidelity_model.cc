// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
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
      SnapshotDifferences(const SnapshotSource &fine,
                          const SnapshotSource &coarse,
                          const FieldSpace     &space,
                          const long            level)
        : fine(fine)
        , coarse(coarse)
        , rows(matching_rows(fine.parameters(), coarse.parameters(), level))
        , rho(best_factor(space))
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
       * Orthonormal columns whose span are the affine functions of the inputs,
       * or the constants alone where there are too few samples, [n, 1 + d].
       */
      torch::Tensor
      trends() const
      {
        const auto x = fine.parameters();
        const long n = x.size(0);
        const auto one =
          torch::full({n, 1}, 1. / std::sqrt(double(n)), torch::kFloat64);
        if (n < x.size(1) + 4)
          return one;
        const auto centred   = x - x.mean(0, true);
        const auto deviation = centred.square().mean(0).sqrt();
        const auto parts =
          at::linalg_svd(centred / torch::where(deviation > 0.,
                                                deviation,
                                                torch::ones_like(deviation)),
                         false);
        // (What does not vary, or goes with another input, has no direction.)
        const auto &sizes = std::get<1>(parts);
        const auto  there =
          torch::nonzero(sizes > 1e-10 * std::sqrt(double(n))).squeeze(1);
        return torch::cat({one, std::get<0>(parts).index_select(1, there)}, 1);
      }

      /** ρ; see FidelityLevels. */
      double
      best_factor(const FieldSpace &space) const
      {
        const long n = fine.size();
        if (n < 3)
          return 0.;
        // Products of all fields minus those of their components along the
        // trends. The first snapshot is taken off before, as the constants are
        // what is large.
        const auto    along      = trends();
        double        squares[2] = {0., 0.}, products = 0.;
        torch::Tensor first[2], components[2];
        for (long begin = 0; begin < n; begin += block_size)
          {
            const long end       = std::min(begin + block_size, n);
            const auto snapshots = fine.read(begin, end);
            const auto rows      = along.slice(0, begin, end).t();

            torch::Tensor fields[2] = {snapshots.solution - snapshots.prior,
                                       coarse_corrections(begin, end)};
            torch::Tensor weighted[2];
            for (int i = 0; i < 2; ++i)
              {
                if (begin == 0)
                  first[i] = fields[i].slice(0, 0, 1).clone();
                fields[i]       = fields[i] - first[i];
                weighted[i]     = space.apply_mass(fields[i]);
                const auto here = torch::mm(rows, fields[i]);
                components[i]   = begin == 0 ? here : components[i] + here;
                squares[i] += (fields[i] * weighted[i]).sum().item<double>();
              }
            products += (fields[0] * weighted[1]).sum().item<double>();
          }
        const auto product = [&](const int i, const int j) {
          return (components[i] * space.apply_mass(components[j]))
            .sum()
            .item<double>();
        };
        const double all[2] = {squares[0], squares[1]};
        for (int i = 0; i < 2; ++i)
          squares[i] -= product(i, i);
        products -= product(0, 1);

        // Where the coarser level has nothing but a trend there is nothing to
        // follow; differences of equal numbers are rounding.
        if (!(squares[0] > 1e-14 * all[0]) || !(squares[1] > 1e-14 * all[1]))
          return 0.;
        const double explained = products * products / squares[1];
        const double rest      = std::max(squares[0] - explained, 0.);
        // 1/F
        const double shrinkage =
          rest / (double(n - along.size(1) - 1) * explained);
        return products / squares[1] * std::max(0., 1. - shrinkage);
      }

      const SnapshotSource   &fine, &coarse;
      const std::vector<long> rows;
      const double            rho;
    };
  } // namespace



  FidelityLevels::FidelityLevels(
    const std::vector<const SnapshotSource *> &levels,
    const FieldSpace                          &space)
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
        auto difference = std::make_unique<SnapshotDifferences>(*levels[l],
                                                                *levels[l - 1],
                                                                space,
                                                                l);
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
