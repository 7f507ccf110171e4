// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/progress.h>
#include <neuraldeal/surrogates/train_surrogate.h>

#include <chrono>

namespace neuraldeal
{
  double
  train_surrogate(Surrogate            &surrogate,
                  const TrainingTask   &task,
                  const SnapshotReader &store,
                  const Communicator   &communicator)
  {
    const auto           start = std::chrono::steady_clock::now();
    const auto           space = store.read_space();
    const SnapshotReader training(store, task.training_samples);
    const long           n_inputs = training.parameters().size(1);
    if (n_inputs != long(task.inputs.size()))
      throw InputError(task.source,
                       "the number of inputs",
                       std::to_string(task.inputs.size()),
                       fmt::format("{}, as the snapshots in {} have",
                                   n_inputs,
                                   task.store));
    surrogate.fit(training, space, communicator);

    // The networks have not seen the held-out snapshots; only the last
    // layers learn them, and there each can be left out exactly.
    const SnapshotReader       held_out(store, task.held_out_samples);
    std::vector<torch::Tensor> summaries;
    for (long i = 0; i < held_out.size(); ++i)
      {
        const auto       snapshot = held_out.read(i, i + 1);
        Surrogate::Norms norms;
        norms.correction = space.norm(snapshot.solution - snapshot.prior);
        norms.solution   = space.norm(snapshot.solution);
        summaries.push_back(surrogate.summarize(snapshot, norms));
      }
    surrogate.update(torch::cat(summaries), held_out.ids(), true);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         start)
      .count();
  }



  ModelFile
  make_model_file(const Surrogate      &surrogate,
                  const TrainingTask   &task,
                  const SnapshotReader &store,
                  const nlohmann::json &costs)
  {
    ModelFile file;
    surrogate.save(file);
    file.metadata["format"]   = "neural.deal model 1";
    file.metadata["problem"]  = task.problem;
    file.metadata["training"] = task.hash(store);
    file.metadata["costs"]    = costs;
    for (const auto &range : task.inputs)
      file.metadata["inputs"].push_back(
        {{"name", range.name},
         {"lower", fmt::format("{}", range.lower)},
         {"upper", fmt::format("{}", range.upper)},
         {"logarithmic", range.logarithmic}});
    return file;
  }



  std::unique_ptr<Surrogate>
  make_surrogate(const ModelFile &file)
  {
    const auto described = file.get<nlohmann::json>("surrogate");
    if (!described.is_object() || !described.contains("type") ||
        !described["type"].is_string() || !described.contains("parameters"))
      throw FileError(file.filename,
                      "its entry 'surrogate' has no type and parameters");
    return make_surrogate(described["type"],
                          ranges_from_json(file.get<nlohmann::json>("inputs"),
                                           file.filename),
                          described["parameters"],
                          file.filename);
  }



  HeldOutSummary
  summarize_scores(const HeldOutScores &scores)
  {
    HeldOutSummary result;
    result.n = scores.ids.numel();
    if (result.n == 0)
      return result;
    const auto quantile = [](const torch::Tensor &values, const double level) {
      return torch::quantile(values, level).item<double>();
    };
    result.error_median = quantile(scores.error, 0.5);
    result.error_95     = quantile(scores.error, 0.95);
    result.prior_median = quantile(scores.prior_error, 0.5);
    result.prior_95     = quantile(scores.prior_error, 0.95);
    return result;
  }
} // namespace neuraldeal
