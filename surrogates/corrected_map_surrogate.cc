// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/corrected_map_surrogate.h>
#include <neuraldeal/surrogates/pod_kernel_regression.h>
#include <neuraldeal/surrogates/random.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *remainder_type = "POD kernel regression";
    constexpr long        block_size     = 32;

    /** Blocks of snapshots, one after another. */
    class SnapshotList
    {
    public:
      void
      add(const Snapshots &snapshots, const torch::Tensor &rows)
      {
        if (rows.numel() == 0)
          return;
        parameters.push_back(snapshots.parameters.index_select(0, rows));
        prior.push_back(snapshots.prior.index_select(0, rows));
        solution.push_back(snapshots.solution.index_select(0, rows));
      }

      Snapshots
      joined() const
      {
        Snapshots result;
        if (!parameters.empty())
          {
            result.parameters = torch::cat(parameters);
            result.prior      = torch::cat(prior);
            result.solution   = torch::cat(solution);
          }
        return result;
      }

    private:
      std::vector<torch::Tensor> parameters, prior, solution;
    };



    /** Whether a map's answer can be a model's: it is finite. */
    void
    require_finite(const torch::Tensor &values,
                   const std::string   &type,
                   const std::string   &what)
    {
      if (!torch::isfinite(values).all().item<bool>())
        throw InputError("the surrogate '" + type + "'",
                         what,
                         "not finite",
                         "a finite number for every value");
    }



    /**
     * The γ in [0, 1] with the largest likelihood; see CorrectedMapSurrogate.
     * @param log_squares logarithms of e²/s_r², [n].
     * @param log_growth w = log κ/κ̄, [n], with the mean zero.
     */
    double
    most_likely_exponent(const torch::Tensor &log_squares,
                         const torch::Tensor &log_growth)
    {
      const double n = log_squares.numel();
      if (n < 5.)
        return 0.;
      // The logarithm of the mean of the squares is convex in γ.
      const auto scaled = [&](const double gamma) {
        return log_squares - 2. * gamma * log_growth;
      };
      const auto falls = [&](const double gamma) {
        return (scaled(gamma).softmax(0) * log_growth).sum().item<double>() >
               0.;
      };
      double gamma = 1.;
      if (!falls(1.))
        {
          double lower = 0.;
          for (unsigned int i = 0; i < 50; ++i)
            {
              const double middle             = 0.5 * (lower + gamma);
              (falls(middle) ? lower : gamma) = middle;
            }
        }

      // That of a Gamma distribution of the most likely mean and shape k, up to
      // a constant; for k see Choi and Wette, Technometrics 11, 1969.
      const double mean       = log_squares.mean().item<double>();
      const auto   likelihood = [&](const double gamma) {
        const double d = std::max(scaled(gamma).logsumexp(0).item<double>() -
                                    std::log(n) - mean,
                                  1e-10);
        const double k =
          (3. - d + std::sqrt((3. - d) * (3. - d) + 24. * d)) / (12. * d);
        return n * (k * std::log(k) - std::lgamma(k) - k - k * d);
      };
      const double cost = 3. * n / (n - 4.) - 2. * n / (n - 3.);
      return likelihood(gamma) - likelihood(0.) > cost ? gamma : 0.;
    }



    /** Whether all entries of each row are finite, [n] bool. */
    torch::Tensor
    finite_rows(const torch::Tensor &rows)
    {
      return torch::isfinite(rows).all(1);
    }
  } // namespace



  CorrectedMapSurrogate::CorrectedMapSurrogate(
    const std::string             &type,
    const std::vector<InputRange> &inputs,
    const nlohmann::json          &parameters,
    const double                   training_share,
    const std::uint64_t            seed)
    : type(type)
    , ranges(inputs)
    , parameters(parameters)
    , training_share(training_share)
    , seed(seed)
    , remainder(make_remainder())
    , known(torch::empty({0}, torch::kBool))
  {}



  std::vector<ParameterDescription>
  CorrectedMapSurrogate::remainder_parameters()
  {
    PODKernelRegression::register_type();
    return SurrogateRegistry::entries().at(remainder_type).parameters;
  }



  std::unique_ptr<PODSurrogate>
  CorrectedMapSurrogate::make_remainder() const
  {
    nlohmann::json given;
    for (const auto &parameter : remainder_parameters())
      given[parameter.name] = parameters.at(parameter.name);
    return std::make_unique<PODKernelRegression>(ranges, given);
  }



  void
  CorrectedMapSurrogate::fit(const SnapshotSource &data,
                             const FieldSpace     &given_space,
                             const Communicator   &communicator)
  {
    const long n = data.size();
    if (n < 3)
      throw InputError("the surrogate '" + type + "'",
                       "the number of snapshots to fit",
                       std::to_string(n),
                       "3 at least, since some train the map and others say "
                       "what it leaves");
    // The remainder is given two snapshots at least.
    n_map_snapshots =
      training_share > 0. ?
        std::clamp<long>(std::lround(training_share * n), 1, n - 2) :
        0;
    const auto order =
      CounterRandom(seed, CounterRandom::Stream::splitting, 0).permutation(n);
    auto in_training = torch::zeros({n}, torch::kBool);
    for (long i = 0; i < n_map_snapshots; ++i)
      in_training[order[i]] = true;

    space            = FieldSpace();
    space.mass       = given_space.mass.coalesce();
    space.symmetries = given_space.symmetries;
    SnapshotList training, others;
    known = torch::ones({space.size()}, torch::kBool);
    for (long begin = 0; begin < n; begin += block_size)
      {
        const long end    = std::min(begin + block_size, n);
        const auto block  = data.read(begin, end);
        const auto chosen = in_training.slice(0, begin, end);
        training.add(block, chosen.nonzero().squeeze(1));
        others.add(block, chosen.logical_not().nonzero().squeeze(1));
        known = known.logical_and(block.solution.eq(block.prior).all(0));
      }
    const auto of_snapshots = known;
    for (const auto &symmetry : space.symmetries)
      known = known.logical_and(of_snapshots.index_select(0, symmetry.points));

    fit_map(training.joined(), known, given_space, communicator);

    auto rest = others.joined();
    verify_map(rest);
    const auto answer = evaluate_map(rest);
    rest.prior        = answer.field;
    require_finite(rest.prior, type, "its map of a snapshot");
    if (answer.scale.defined())
      require_finite(answer.scale, type, "what its map says of its error");
    remainder = make_remainder();
    remainder->fit(SnapshotsInMemory(rest), space, communicator);
    n_modes =
      remainder->correction_coefficients(rest.prior.slice(0, 0, 1)).size(1);
    Norms norms;
    norms.correction     = space.norm(rest.solution - rest.prior);
    norms.solution       = space.norm(rest.solution);
    const auto summaries = remainder->summarize(rest, norms);
    held_out =
      torch::empty({0, summaries.size(1) + 4 + n_modes}, torch::kFloat64);
    log_opinion = log_min_opinion = exponent = 0.;
    if (answer.scale.defined())
      {
        const auto scores = remainder->training_scores(summaries);
        // The last column is ‖u‖/ρ.
        weigh_opinions(scores.error / scores.scale,
                       relative(answer.scale,
                                norms.solution / summaries.select(1, -1)));
      }
    refresh();
  }



  torch::Tensor
  CorrectedMapSurrogate::relative(const torch::Tensor &q,
                                  const torch::Tensor &rho)
  {
    return q.defined() ? q / rho : torch::ones_like(rho);
  }



  void
  CorrectedMapSurrogate::weigh_opinions(const torch::Tensor &errors,
                                        const torch::Tensor &opinions)
  {
    const auto logarithms = opinions.clamp_min(1e-100).log();
    log_opinion           = logarithms.mean().item<double>();
    log_min_opinion       = logarithms.min().item<double>();
    exponent = most_likely_exponent(errors.square().clamp_min(1e-100).log(),
                                    logarithms - log_opinion);
  }



  torch::Tensor
  CorrectedMapSurrogate::growth(const torch::Tensor &opinions) const
  {
    return level * (exponent *
                    (opinions.log().clamp_min(log_min_opinion) - log_opinion))
                     .exp();
  }



  CorrectedMapSurrogate::Answer
  CorrectedMapSurrogate::evaluate_map(const Inputs &inputs) const
  {
    const torch::NoGradGuard   no_gradients;
    std::vector<torch::Tensor> blocks, squares;
    const long                 n = inputs.parameters.size(0);
    for (long begin = 0; begin < n; begin += block_size)
      {
        Inputs block;
        block.parameters =
          inputs.parameters.slice(0, begin, begin + block_size);
        block.prior = inputs.prior.slice(0, begin, begin + block_size);

        // The mean over all images, each turned back.
        torch::Tensor sum, sum_of_squares;
        for (const auto &symmetry : space.symmetries)
          {
            Inputs image;
            image.parameters =
              block.parameters.index_select(1, symmetry.parameters);
            image.prior       = block.prior.index_select(1, symmetry.points);
            const auto answer = map(image);
            const auto back   = torch::empty_like(answer.field)
                                .index_copy_(1, symmetry.points, answer.field);
            sum = sum.defined() ? sum + back : back;
            if (answer.scale.defined())
              {
                const auto square = answer.scale.square();
                sum_of_squares =
                  sum_of_squares.defined() ? sum_of_squares + square : square;
              }
          }
        const double n_symmetries = space.symmetries.size();
        auto       field = torch::where(known, block.prior, sum / n_symmetries);
        const auto valid =
          finite_rows(block.parameters).logical_and(finite_rows(block.prior));
        field.masked_fill_(valid.logical_not().unsqueeze(1), NAN);
        blocks.push_back(field);
        if (sum_of_squares.defined())
          squares.push_back((sum_of_squares / n_symmetries)
                              .masked_fill(valid.logical_not(), NAN));
      }
    return {n == 0 ? inputs.prior : torch::cat(blocks),
            squares.empty() ? torch::Tensor() : torch::cat(squares).sqrt()};
  }



  torch::Tensor
  CorrectedMapSurrogate::summarize(const Snapshots &snapshots,
                                   const Norms     &norms) const
  {
    const auto answer    = evaluate_map(snapshots);
    auto       corrected = snapshots;
    corrected.prior      = answer.field;
    Norms of_remainder;
    of_remainder.correction = space.norm(snapshots.solution - corrected.prior);
    of_remainder.solution   = norms.solution;
    const auto summary      = remainder->summarize(corrected, of_remainder);

    const auto map_correction = corrected.prior - snapshots.prior;
    const auto coefficients =
      remainder->correction_coefficients(map_correction);
    const long r = coefficients.size(1), width = summary.size(1);
    const auto inside = summary.slice(1, width - 2 - r, width - 2),
               whole  = summary.select(1, width - 2);
    return torch::cat(
      {summary,
       (space.norm(map_correction) / norms.solution).unsqueeze(1),
       (whole.square() - inside.square().sum(1))
         .clamp_min(0.)
         .sqrt()
         .unsqueeze(1),
       (norms.correction / norms.solution).unsqueeze(1),
       relative(answer.scale, norms.solution / summary.select(1, width - 1))
         .unsqueeze(1),
       coefficients / norms.solution.unsqueeze(1)},
      1);
  }



  CorrectedMapSurrogate::OwnSummary
  CorrectedMapSurrogate::own_summary(const torch::Tensor &summaries) const
  {
    const long width = remainder_width();
    OwnSummary result;
    // The remainder's last column is ‖u‖/ρ.
    result.norm             = 1. / summaries.select(1, width - 1);
    result.map_correction   = summaries.select(1, width);
    result.outside          = summaries.select(1, width + 1);
    result.prior_error      = summaries.select(1, width + 2);
    result.opinion          = summaries.select(1, width + 3);
    result.map_coefficients = summaries.slice(1, width + 4);
    return result;
  }



  void
  CorrectedMapSurrogate::update(const torch::Tensor     &summaries,
                                const std::vector<long> &ids,
                                const bool               is_held_out)
  {
    remainder->update(summaries.slice(1, 0, remainder_width()).contiguous(),
                      ids,
                      is_held_out);
    if (is_held_out)
      held_out = torch::cat({held_out, summaries});
    refresh();
  }



  void
  CorrectedMapSurrogate::refresh()
  {
    outside_square = 0.;
    level          = 1.;
    if (held_out.size(0) == 0)
      return;
    const auto own = own_summary(held_out);
    outside_square = own.outside.square().mean().item<double>();
    if (exponent > 0.)
      {
        const auto   scores  = scores_without_opinions();
        const auto   squares = (scores.error / scores.scale).square();
        const double before  = squares.mean().item<double>(),
                     after   = (squares / growth(own.opinion).square())
                               .mean()
                               .item<double>();
        // (no errors, no level)
        if (before > 0.)
          level = std::sqrt(after / before);
      }
  }



  Prediction
  CorrectedMapSurrogate::predict(const Inputs          &inputs,
                                 const PredictionParts &parts) const
  {
    const auto answer    = evaluate_map(inputs);
    auto       corrected = inputs;
    corrected.prior      = answer.field;
    auto       result    = remainder->predict(corrected, parts);
    const auto factor    = growth(relative(answer.scale, result.norm));
    result.scale =
      factor *
      (result.scale.square() + outside_square * result.norm.square()).sqrt();
    if (result.standard_deviation.defined())
      result.standard_deviation *= factor.unsqueeze(1);
    if (result.covariance_factor.defined())
      result.covariance_factor *= factor.reshape({-1, 1, 1});
    result.norm       = space.norm(result.mean);
    result.correction = space.norm(result.mean - inputs.prior);
    return result;
  }



  HeldOutScores
  CorrectedMapSurrogate::scores_without_opinions() const
  {
    auto       scores = remainder->held_out_scores();
    const auto norm   = own_summary(held_out).norm;
    scores.scale =
      (scores.scale.square() + outside_square * norm.square()).sqrt();
    return scores;
  }



  HeldOutScores
  CorrectedMapSurrogate::held_out_scores() const
  {
    if (held_out.size(0) == 0)
      return remainder->held_out_scores();
    auto       scores = scores_without_opinions();
    const auto own    = own_summary(held_out);
    scores.scale *= growth(own.opinion);
    scores.prior_error = own.prior_error;
    // ‖m + ρ V t‖², of which V t is orthonormal.
    const auto learned =
      own.norm.unsqueeze(1) * remainder->held_out_coefficients();
    const auto correction_square =
      (own.map_correction.square() +
       (learned * (2. * own.map_coefficients + learned)).sum(1))
        .clamp_min(0.);
    scores.prior_scale = (correction_square + scores.scale.square()).sqrt();
    return scores;
  }



  torch::Tensor
  CorrectedMapSurrogate::held_out_mean(const long           index,
                                       const torch::Tensor &prior) const
  {
    Inputs inputs;
    inputs.parameters =
      held_out.slice(0, index, index + 1).slice(1, 0, ranges.size());
    inputs.prior = prior.unsqueeze(0);
    return remainder->held_out_mean(index, evaluate_map(inputs).field[0]);
  }



  void
  CorrectedMapSurrogate::save(ModelFile &file) const
  {
    remainder->save(file);
    file.metadata["surrogate"]["type"]       = type;
    file.metadata["surrogate"]["parameters"] = parameters;
    file.metadata["map snapshots"]           = n_map_snapshots;
    file.tensors["mass.indices"]             = space.mass.indices();
    file.tensors["mass.values"]              = space.mass.values();
    std::vector<torch::Tensor> of_parameters, of_points;
    for (const auto &symmetry : space.symmetries)
      {
        of_parameters.push_back(symmetry.parameters);
        of_points.push_back(symmetry.points);
      }
    file.tensors["map.parameter_symmetries"] = torch::stack(of_parameters);
    file.tensors["map.point_symmetries"]     = torch::stack(of_points);
    file.tensors["known"]                    = known.to(torch::kUInt8);
    file.tensors["held_out.corrected"]       = held_out;
    file.tensors["map.opinion"] =
      torch::tensor({log_opinion, log_min_opinion, exponent}, torch::kFloat64);
    save_map(file);
  }



  void
  CorrectedMapSurrogate::load(const ModelFile    &file,
                              const long          first_value,
                              const long          n_values,
                              const Communicator &group)
  {
    if (group.size > 1)
      throw FileError(file.filename,
                      "its surrogate '" + type + "' needs whole fields, but " +
                        std::to_string(group.size) +
                        " processes of a group share them; valid is a group "
                        "size of 1");
    auto loaded = make_remainder();
    loaded->load(file, first_value, n_values, group);

    const auto indices = file.tensor("mass.indices"),
               values  = file.tensor("mass.values");
    if (indices.dim() != 2 || indices.size(0) != 2 || values.dim() != 1 ||
        indices.size(1) != values.size(0) ||
        ((indices < 0) | (indices >= n_values)).any().item<bool>())
      throw FileError(file.filename,
                      "its mass matrix does not fit to its fields");
    space      = FieldSpace();
    space.mass = torch::sparse_coo_tensor(indices, values, {n_values, n_values})
                   .coalesce();

    const auto of_parameters    = file.tensor("map.parameter_symmetries"),
               of_points        = file.tensor("map.point_symmetries");
    const auto are_permutations = [](const torch::Tensor &rows, const long n) {
      return rows.dim() == 2 && rows.size(0) > 0 && rows.size(1) == n &&
             torch::equal(std::get<0>(rows.sort(1)),
                          torch::arange(n, torch::kInt64).expand_as(rows));
    };
    if (!are_permutations(of_parameters, ranges.size()) ||
        !are_permutations(of_points, n_values) ||
        of_parameters.size(0) != of_points.size(0))
      throw FileError(file.filename, "its symmetries are no permutations");
    for (long g = 0; g < of_points.size(0); ++g)
      space.symmetries.push_back({of_parameters[g], of_points[g]});

    known           = file.tensor("known").to(torch::kBool);
    held_out        = file.tensor("held_out.corrected");
    n_map_snapshots = file.get<long>("map snapshots");
    remainder       = std::move(loaded);
    n_modes =
      remainder->correction_coefficients(torch::zeros({1, n_values})).size(1);
    const auto opinion   = file.tensor("map.opinion"),
               summaries = file.tensor("held_out.summaries");
    if (known.dim() != 1 || known.size(0) != n_values || held_out.dim() != 2 ||
        remainder_width() != summaries.size(1) ||
        held_out.size(0) != summaries.size(0) ||
        held_out.scalar_type() != torch::kFloat64 || opinion.dim() != 1 ||
        opinion.size(0) != 3 || opinion.scalar_type() != torch::kFloat64 ||
        !torch::isfinite(opinion).all().item<bool>() ||
        opinion[2].item<double>() < 0. || opinion[2].item<double>() > 1.)
      throw FileError(file.filename, "what it says of its map is damaged");
    log_opinion     = opinion[0].item<double>();
    log_min_opinion = opinion[1].item<double>();
    exponent        = opinion[2].item<double>();
    refresh();
    load_map(file);
  }
} // namespace neuraldeal
