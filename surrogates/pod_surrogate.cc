// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/pod.h>
#include <neuraldeal/surrogates/pod_surrogate.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace neuraldeal
{
  namespace
  {
    constexpr long read_block = 32;

    torch::Tensor
    read_all(const SnapshotSource                                  &data,
             const std::function<torch::Tensor(const Snapshots &)> &map)
    {
      std::vector<torch::Tensor> blocks;
      for (long begin = 0; begin < data.size(); begin += read_block)
        blocks.push_back(
          map(data.read(begin, std::min(begin + read_block, data.size()))));
      return torch::cat(blocks);
    }
  } // namespace



  PODSurrogate::PODSurrogate(const std::string             &type,
                             const std::vector<InputRange> &inputs,
                             const nlohmann::json          &parameters)
    : type(type)
    , parameters(parameters)
    , ranges(inputs)
  {}



  std::vector<ParameterDescription>
  PODSurrogate::common_parameters()
  {
    return {{"POD tolerance",
             2e-4,
             1e-12,
             1.,
             "Root mean square of what the basis of the corrections leaves, "
             "relative to the solution."},
            {"maximal modes", 80, 1, 10000, "Largest size of that basis."},
            {"prior modes",
             25,
             1,
             10000,
             "Coefficients by which the coarse solution enters."}};
  }



  void
  PODSurrogate::fit(const SnapshotSource &data,
                    const FieldSpace     &space,
                    const Communicator   &communicator)
  {
    // All is relative to the coarse solutions; a host without them gives zeros.
    if (space.norm(data.read(0, 1).prior).item<double>() == 0.)
      throw InputError("the surrogate '" + type + "'",
                       "the coarse solution of a snapshot",
                       "zero",
                       "one that is not zero; the surrogate 'neural operator' "
                       "needs none");

    // The bases of the coarse solutions and of their corrections, both
    // relative to the coarse solution's norm.
    const auto prior_pod = compute_pod(
      data.size(),
      [&](const long begin, const long end) {
        const auto prior = data.read(begin, end).prior;
        return prior / space.norm(prior).unsqueeze(1);
      },
      space,
      1e-6,
      parameters["prior modes"],
      communicator);
    prior_projector  = prior_pod.projector.to(torch::kFloat32);
    prior_symmetries = prior_pod.symmetries;

    const auto pod = compute_pod(
      data.size(),
      [&](const long begin, const long end) {
        const auto snapshots = data.read(begin, end);
        return (snapshots.solution - snapshots.prior) /
               project_prior(snapshots.prior).second.unsqueeze(1);
      },
      space,
      parameters["POD tolerance"],
      parameters["maximal modes"],
      communicator);
    modes      = pod.modes.to(torch::kFloat32);
    projector  = pod.projector.to(torch::kFloat32);
    symmetries = pod.symmetries;
    truncation = torch::full({1}, pod.truncation, torch::kFloat64);

    std::vector<torch::Tensor> permutations;
    for (const auto &symmetry : space.symmetries)
      permutations.push_back(symmetry.parameters);
    parameter_symmetries = torch::stack(permutations);

    const auto summaries = read_all(data, [&](const Snapshots &snapshots) {
      Norms norms;
      norms.correction = space.norm(snapshots.solution - snapshots.prior);
      norms.solution   = space.norm(snapshots.solution);
      return summarize(snapshots, norms);
    });

    // Scales that make every input of the networks of order one.
    input_center     = torch::zeros({long(ranges.size())}, torch::kFloat64);
    input_scale      = torch::ones({long(ranges.size())}, torch::kFloat64);
    const auto given = data.parameters();
    for (unsigned int i = 0; i < ranges.size(); ++i)
      {
        const auto &range  = ranges[i];
        auto        values = given.select(1, i);
        double      lower = range.lower, upper = range.upper;
        if (range.logarithmic)
          {
            values = values.log();
            lower  = std::log(lower);
            upper  = std::log(upper);
          }
        if (std::isfinite(lower) && std::isfinite(upper))
          {
            input_center[i] = 0.5 * (lower + upper);
            input_scale[i]  = 0.5 * (upper - lower);
          }
        else
          {
            input_center[i] = values.mean();
            input_scale[i]  = values.std().clamp_min(1e-12);
          }
      }

    const auto training = images(reduce(summaries));
    prior_scale         = training.prior.std(0, false).clamp_min(1e-12);
    // Of a prior that is always the same the deviations are rounding, and
    // nothing to learn from. (Coefficients are those of a prior of norm one.)
    if (prior_scale.max().item<double>() < 1e-5)
      prior_scale.fill_(1.);
    const auto x = scaled_inputs(training.parameters, training.prior);
    train_regression(x, training.correction, communicator);

    held_out_summaries = torch::empty({0, summaries.size(1)}, torch::kFloat64);
    held_out_ids.clear();
    held_out_numbers.clear();
    snapshots_learned = 0;
    update(summaries, std::vector<long>(data.size(), -1), false);
  }



  std::pair<torch::Tensor, torch::Tensor>
  PODSurrogate::project_prior(const torch::Tensor &prior) const
  {
    auto coefficients =
      torch::mm(prior.to(torch::kFloat32), prior_projector).to(torch::kFloat64);
    group.sum(coefficients);
    const auto norm = coefficients.square().sum(1).sqrt().clamp_min(
      std::numeric_limits<double>::min());
    return {coefficients / norm.unsqueeze(1), norm};
  }



  torch::Tensor
  PODSurrogate::scaled_inputs(const torch::Tensor &given,
                              const torch::Tensor &prior_coefficients) const
  {
    auto x = given.clone();
    for (unsigned int i = 0; i < ranges.size(); ++i)
      if (ranges[i].logarithmic)
        x.select(1, i).log_();
    return torch::cat({(x - input_center) / input_scale,
                       prior_coefficients / prior_scale},
                      1);
  }



  torch::Tensor
  PODSurrogate::correction_coefficients(const torch::Tensor &fields) const
  {
    auto coefficients =
      torch::mm(fields.to(torch::kFloat32), projector).to(torch::kFloat64);
    group.sum(coefficients);
    return coefficients;
  }



  torch::Tensor
  PODSurrogate::summarize(const Snapshots &snapshots, const Norms &norms) const
  {
    const auto [prior, rho] = project_prior(snapshots.prior);
    const auto correction =
      correction_coefficients(snapshots.solution - snapshots.prior);
    return torch::cat({snapshots.parameters,
                       prior,
                       correction / rho.unsqueeze(1),
                       (norms.correction / rho).unsqueeze(1),
                       (norms.solution / rho).unsqueeze(1)},
                      1);
  }



  PODSurrogate::Reduced
  PODSurrogate::reduce(const torch::Tensor &summaries) const
  {
    const auto parts = summaries.split_with_sizes(
      {long(ranges.size()), prior_projector.size(1), modes.size(1), 1, 1}, 1);
    return {
      parts[0], parts[1], parts[2], parts[3].squeeze(1), parts[4].squeeze(1)};
  }



  PODSurrogate::Reduced
  PODSurrogate::images(const Reduced &reduced) const
  {
    std::vector<torch::Tensor> all_parameters, all_priors, all_corrections;
    for (long g = 0; g < symmetries.size(0); ++g)
      {
        all_parameters.push_back(
          reduced.parameters.index_select(1, parameter_symmetries[g]));
        all_priors.push_back(torch::mm(reduced.prior, prior_symmetries[g].t()));
        all_corrections.push_back(
          torch::mm(reduced.correction, symmetries[g].t()));
      }
    Reduced result         = reduced;
    result.parameters      = torch::cat(all_parameters);
    result.prior           = torch::cat(all_priors);
    result.correction      = torch::cat(all_corrections);
    result.correction_norm = reduced.correction_norm.repeat(symmetries.size(0));
    result.solution_norm   = reduced.solution_norm.repeat(symmetries.size(0));
    return result;
  }



  void
  PODSurrogate::update(const torch::Tensor     &summaries,
                       const std::vector<long> &ids,
                       const bool               held_out)
  {
    TORCH_INTERNAL_ASSERT(summaries.size(0) == long(ids.size()));
    const auto data = images(reduce(summaries));
    learn_rows(scaled_inputs(data.parameters, data.prior),
               data.correction,
               ids.size());
    if (held_out)
      {
        held_out_summaries = torch::cat({held_out_summaries, summaries});
        for (std::size_t i = 0; i < ids.size(); ++i)
          {
            held_out_ids.push_back(ids[i]);
            held_out_numbers.push_back(snapshots_learned + i);
          }
      }
    snapshots_learned += ids.size();
    refresh();
  }



  void
  PODSurrogate::refresh()
  {
    update_posterior();
    if (held_out_ids.empty())
      {
        noise        = noise_estimate();
        max_leverage = 1.;
        return;
      }

    left_out            = leave_each_out(held_out_summaries, held_out_numbers);
    const auto residual = reduce(held_out_summaries).correction - left_out.mean;
    noise = (residual.square() / (1. + left_out.leverage).unsqueeze(1)).mean(0);
    // A leverage above all that were seen on the n held-out snapshots has
    // probability 1/(n+1) for an input like them; twice that is outside.
    max_leverage = 2. * left_out.leverage.max().item<double>();
  }



  PODSurrogate::MemberPredictions
  PODSurrogate::combine(const std::vector<torch::Tensor> &means,
                        const std::vector<torch::Tensor> &leverages)
  {
    MemberPredictions result;
    const auto        stacked = torch::stack(means, 1);
    result.mean               = stacked.mean(1);
    result.spread             = stacked - result.mean.unsqueeze(1);
    result.leverage           = torch::stack(leverages, 1).mean(1);
    return result;
  }



  PODSurrogate::MemberPredictions
  PODSurrogate::leave_each_out(const torch::Tensor     &summaries,
                               const std::vector<long> &numbers) const
  {
    std::vector<torch::Tensor> means, spreads, leverages;
    for (std::size_t i = 0; i < numbers.size(); ++i)
      {
        const auto data = images(reduce(summaries.slice(0, i, i + 1)));
        const auto without =
          regress_without(numbers[i],
                          scaled_inputs(data.parameters, data.prior),
                          data.correction);
        // The first image is the snapshot itself.
        means.push_back(without.mean.slice(0, 0, 1));
        spreads.push_back(without.spread.slice(0, 0, 1));
        leverages.push_back(without.leverage.slice(0, 0, 1));
      }
    return {torch::cat(means), torch::cat(spreads), torch::cat(leverages)};
  }



  torch::Tensor
  PODSurrogate::coefficient_scale(const MemberPredictions &predictions) const
  {
    return (predictions.spread.square().mean(1).sum(1) +
            noise.sum() * (1. + predictions.leverage) + truncation.square())
      .sqrt();
  }



  Prediction
  PODSurrogate::predict(const Inputs          &inputs,
                        const PredictionParts &parts) const
  {
    const torch::NoGradGuard no_gradients;
    const auto [prior, rho] = project_prior(inputs.prior);
    const auto x            = scaled_inputs(inputs.parameters, prior);

    const auto predictions = regress(x);

    Prediction result;
    const auto correction =
      (predictions.mean * rho.unsqueeze(1)).to(torch::kFloat32);
    result.mean       = inputs.prior + torch::mm(correction, modes.t());
    result.norm       = rho;
    result.scale      = rho * coefficient_scale(predictions);
    result.correction = rho * predictions.mean.square().sum(1).sqrt();

    result.novelty = predictions.leverage / max_leverage;
    for (unsigned int i = 0; i < ranges.size(); ++i)
      {
        // Just above 1 outside the declared interval, whatever the distance.
        const auto value = inputs.parameters.select(1, i);
        const auto outside =
          (value < ranges[i].lower).logical_or(value > ranges[i].upper);
        result.novelty =
          torch::where(outside, result.novelty.clamp_min(2.), result.novelty);
      }

    if (parts.standard_deviation || parts.covariance_factor)
      {
        // Cov = V C Vᵀ with C = F Fᵀ: the members' spread and the noise.
        const double n_members  = predictions.spread.size(1);
        const auto   noise_part = torch::diag_embed(
          (noise * (1. + predictions.leverage).unsqueeze(1)).sqrt());
        const auto factor =
          (torch::cat({predictions.spread / std::sqrt(n_members), noise_part},
                      1) *
           rho.reshape({-1, 1, 1}))
            .to(torch::kFloat32);
        // [n, k, r] × [r, N] → [n, N, k]
        const auto decoded =
          torch::matmul(factor, modes.t()).transpose(1, 2).to(torch::kFloat64);
        if (parts.standard_deviation)
          result.standard_deviation = decoded.square().sum(2).sqrt();
        if (parts.covariance_factor)
          result.covariance_factor = decoded;
      }
    return result;
  }



  torch::Tensor
  PODSurrogate::features(const Inputs &inputs) const
  {
    const auto x =
      scaled_inputs(inputs.parameters, project_prior(inputs.prior).first);
    const long d = n_parameters();
    return torch::cat({x.slice(1, 0, d),
                       x.slice(1, d) *
                         (prior_scale / prior_scale.square().mean().sqrt())},
                      1);
  }



  HeldOutScores
  PODSurrogate::held_out_scores() const
  {
    HeldOutScores scores;
    if (held_out_ids.empty())
      scores.scale = scores.error = scores.prior_error = scores.prior_scale =
        torch::empty({0}, torch::kFloat64);
    else
      scores = score(held_out_summaries, left_out);
    scores.ids = torch::tensor(std::vector<std::int64_t>(held_out_ids.begin(),
                                                         held_out_ids.end()),
                               torch::kInt64);
    return scores;
  }



  HeldOutScores
  PODSurrogate::training_scores(const torch::Tensor &summaries) const
  {
    std::vector<long> numbers(summaries.size(0));
    std::iota(numbers.begin(), numbers.end(), 0);
    return score(summaries, leave_each_out(summaries, numbers));
  }



  HeldOutScores
  PODSurrogate::score(const torch::Tensor     &summaries,
                      const MemberPredictions &predictions) const
  {
    HeldOutScores scores;
    const auto    data  = reduce(summaries);
    const auto    scale = coefficient_scale(predictions);
    // What the basis does not hold of a correction is error as well.
    const auto outside =
      (data.correction_norm.square() - data.correction.square().sum(1))
        .clamp_min(0.);
    scores.scale = scale / data.solution_norm;
    scores.error =
      ((data.correction - predictions.mean).square().sum(1) + outside).sqrt() /
      data.solution_norm;
    scores.prior_error = data.correction_norm / data.solution_norm;
    scores.prior_scale =
      (predictions.mean.square().sum(1) + scale.square()).sqrt() /
      data.solution_norm;
    return scores;
  }



  torch::Tensor
  PODSurrogate::held_out_mean(const long           index,
                              const torch::Tensor &prior) const
  {
    const auto rho        = project_prior(prior.unsqueeze(0)).second;
    const auto correction = (left_out.mean[index] * rho).to(torch::kFloat32);
    return prior + torch::mv(modes, correction);
  }



  void
  PODSurrogate::save(ModelFile &file) const
  {
    file.metadata["surrogate"]["type"]       = type;
    file.metadata["surrogate"]["parameters"] = parameters;
    file.metadata["snapshots"]               = snapshots_learned;
    file.tensors["modes"]                    = modes;
    file.tensors["projector"]                = projector;
    file.tensors["prior_projector"]          = prior_projector;
    file.tensors["symmetries"]               = symmetries;
    file.tensors["prior_symmetries"]         = prior_symmetries;
    file.tensors["parameter_symmetries"]     = parameter_symmetries;
    file.tensors["input_center"]             = input_center;
    file.tensors["input_scale"]              = input_scale;
    file.tensors["prior_scale"]              = prior_scale;
    file.tensors["truncation"]               = truncation;
    file.tensors["held_out.summaries"]       = held_out_summaries;
    file.tensors["held_out.ids"] =
      torch::tensor(std::vector<std::int64_t>(held_out_ids.begin(),
                                              held_out_ids.end()),
                    torch::kInt64);
    file.tensors["held_out.numbers"] =
      torch::tensor(std::vector<std::int64_t>(held_out_numbers.begin(),
                                              held_out_numbers.end()),
                    torch::kInt64);
    save_regression(file);
  }



  void
  PODSurrogate::load(const ModelFile    &file,
                     const long          first_value,
                     const long          n_values,
                     const Communicator &group_)
  {
    group                = group_;
    const long of_fields = file.tensor("modes").size(0);
    auto       together  = torch::full({1}, double(n_values), torch::kFloat64);
    group.sum(together);
    if (together.item<double>() != of_fields)
      throw FileError(file.filename,
                      fmt::format("its fields have {} values, those of this "
                                  "program {}",
                                  of_fields,
                                  together.item<double>()));
    const long of_inputs = file.tensor("input_center").size(0);
    if (of_inputs != long(ranges.size()))
      throw FileError(file.filename,
                      fmt::format("its inputs have {} entries, those of this "
                                  "program {}",
                                  of_inputs,
                                  ranges.size()));
    const auto slice = [&](const std::string &name) {
      return file.tensor(name)
        .slice(0, first_value, first_value + n_values)
        .contiguous();
    };
    modes           = slice("modes");
    projector       = slice("projector");
    prior_projector = slice("prior_projector");
    // Coefficients of a mode that are not its own were made by no fit.
    auto products = torch::mm(projector.t(), modes).to(torch::kFloat64);
    group.sum(products);
    const auto deviation =
      (products - torch::eye(modes.size(1), torch::kFloat64)).abs().max();
    if (!(deviation.item<double>() < 1e-3) &&
        !(products.count_nonzero().item<long>() == 0))
      throw FileError(file.filename,
                      fmt::format("its modes are not orthonormal, by {:.2g}",
                                  deviation.item<double>()));
    symmetries           = file.tensor("symmetries");
    prior_symmetries     = file.tensor("prior_symmetries");
    parameter_symmetries = file.tensor("parameter_symmetries");
    input_center         = file.tensor("input_center");
    input_scale          = file.tensor("input_scale");
    prior_scale          = file.tensor("prior_scale");
    truncation           = file.tensor("truncation");
    held_out_summaries   = file.tensor("held_out.summaries");
    const auto ids       = file.tensor("held_out.ids");
    held_out_ids.assign(ids.data_ptr<std::int64_t>(),
                        ids.data_ptr<std::int64_t>() + ids.numel());
    const auto numbers = file.tensor("held_out.numbers");
    held_out_numbers.assign(numbers.data_ptr<std::int64_t>(),
                            numbers.data_ptr<std::int64_t>() + numbers.numel());
    snapshots_learned = file.get<long>("snapshots");
    load_regression(file);
    refresh();
  }
} // namespace neuraldeal
