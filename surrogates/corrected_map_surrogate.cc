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
    rest.prior = evaluate_map(rest);
    if (!torch::isfinite(rest.prior).all().item<bool>())
      throw InputError("the surrogate '" + type + "'",
                       "its map of a snapshot",
                       "not finite",
                       "a finite number for every value");
    remainder = make_remainder();
    remainder->fit(SnapshotsInMemory(rest), space, communicator);
    n_modes =
      remainder->correction_coefficients(rest.prior.slice(0, 0, 1)).size(1);
    Norms norms;
    norms.correction = norms.solution = torch::ones({1}, torch::kFloat64);
    held_out =
      summarize(SnapshotsInMemory(rest).read(0, 1), norms).slice(0, 0, 0);
    refresh();
  }



  torch::Tensor
  CorrectedMapSurrogate::evaluate_map(const Inputs &inputs) const
  {
    const torch::NoGradGuard   no_gradients;
    std::vector<torch::Tensor> blocks;
    const long                 n = inputs.parameters.size(0);
    for (long begin = 0; begin < n; begin += block_size)
      {
        Inputs block;
        block.parameters =
          inputs.parameters.slice(0, begin, begin + block_size);
        block.prior = inputs.prior.slice(0, begin, begin + block_size);

        // The mean over all images, each turned back.
        torch::Tensor sum;
        for (const auto &symmetry : space.symmetries)
          {
            Inputs image;
            image.parameters =
              block.parameters.index_select(1, symmetry.parameters);
            image.prior      = block.prior.index_select(1, symmetry.points);
            const auto field = map(image);
            const auto back =
              torch::empty_like(field).index_copy_(1, symmetry.points, field);
            sum = sum.defined() ? sum + back : back;
          }
        auto       field = torch::where(known,
                                  block.prior,
                                  sum / double(space.symmetries.size()));
        const auto valid =
          finite_rows(block.parameters).logical_and(finite_rows(block.prior));
        field.masked_fill_(valid.logical_not().unsqueeze(1), NAN);
        blocks.push_back(field);
      }
    return n == 0 ? inputs.prior : torch::cat(blocks);
  }



  torch::Tensor
  CorrectedMapSurrogate::summarize(const Snapshots &snapshots,
                                   const Norms     &norms) const
  {
    auto corrected  = snapshots;
    corrected.prior = evaluate_map(snapshots);
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
    result.map_coefficients = summaries.slice(1, width + 3);
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
    outside_square =
      held_out.size(0) > 0 ?
        own_summary(held_out).outside.square().mean().item<double>() :
        0.;
  }



  Prediction
  CorrectedMapSurrogate::predict(const Inputs          &inputs,
                                 const PredictionParts &parts) const
  {
    auto corrected  = inputs;
    corrected.prior = evaluate_map(inputs);
    auto result     = remainder->predict(corrected, parts);
    result.scale =
      (result.scale.square() + outside_square * result.norm.square()).sqrt();
    result.norm       = space.norm(result.mean);
    result.correction = space.norm(result.mean - inputs.prior);
    return result;
  }



  HeldOutScores
  CorrectedMapSurrogate::held_out_scores() const
  {
    auto scores = remainder->held_out_scores();
    if (held_out.size(0) == 0)
      return scores;
    const auto own = own_summary(held_out);
    scores.scale =
      (scores.scale.square() + outside_square * own.norm.square()).sqrt();
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
    return remainder->held_out_mean(index, evaluate_map(inputs)[0]);
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
    if (known.dim() != 1 || known.size(0) != n_values || held_out.dim() != 2 ||
        remainder_width() < long(ranges.size()) + 2 ||
        held_out.size(0) != file.tensor("held_out.ids").size(0))
      throw FileError(file.filename, "what it says of its map is damaged");
    refresh();
    load_map(file);
  }
} // namespace neuraldeal
