// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// neuraldeal-train: from a snapshot store to a model file.

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/progress.h>
#include <neuraldeal/surrogates/train_surrogate.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#ifdef __GLIBC__
#  include <malloc.h>
#endif

#include "program.h"

namespace
{
  using namespace neuraldeal;

  struct Options
  {
    std::string              task;
    std::string              output;
    std::vector<std::string> changes;
    bool                     quiet = false;
  };



  /**
   * A training step frees what it has allocated, field by field. Pages that go
   * back to the system each time have to be found and cleared again, which
   * takes a fifth of the time of a Fourier operator's step on the CPU.
   */
  void
  keep_freed_memory()
  {
#ifdef __GLIBC__
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, -1);
#endif
  }



  int
  train(const Options &options)
  {
    keep_freed_memory();
    auto task = TrainingTask::read(options.task);
    if (!options.output.empty())
      task.model = options.output;
    // Said now, not after the training.
    const auto folder = std::filesystem::path(task.model).parent_path();
    const auto where  = folder.empty() ? "." : folder.string();
    if (std::filesystem::is_directory(task.model) ||
        !std::filesystem::is_directory(where) ||
        ::access(where.c_str(), W_OK) != 0)
      throw InputError(
        options.output.empty() ? options.task : "--output",
        "the model file",
        task.model,
        "a file in a folder that is there and may be written to");

    const SnapshotReader store = task.open_store();
    task.check_snapshots(store);
    for (const auto &change : options.changes)
      task.set(change);
    const auto surrogate =
      make_surrogate(task.surrogate, task.inputs, task.parameters, task.source);

    const auto print = [&](const std::string &line) {
      if (!options.quiet)
        fmt::print("{}\n", line);
      std::fflush(stdout);
    };
    Progress::set_quiet(options.quiet);
    print(fmt::format("{}: training the surrogate '{}' on {} snapshots, {} "
                      "more held out",
                      task.source,
                      task.surrogate,
                      task.training_samples.size(),
                      task.held_out_samples.size()));
    const double seconds =
      train_surrogate(*surrogate, task, store, Communicator());
    const auto file =
      make_model_file(*surrogate,
                      task,
                      store,
                      {{"seconds_full_solve", store.mean_seconds()},
                       {"seconds_training", seconds}});
    file.write(task.model);

    const auto held_out = summarize_scores(surrogate->held_out_scores());
    print(fmt::format("trained in {:.1f} s, {} modes",
                      seconds,
                      file.tensor("modes").size(1)));
    print(fmt::format("error on {} held-out snapshots, relative to the "
                      "solution: median {:.3g} %, 95 % quantile {:.3g} %",
                      held_out.n,
                      100. * held_out.error_median,
                      100. * held_out.error_95));
    print(fmt::format("  of the coarse solution alone: median {:.3g} %, 95 % "
                      "quantile {:.3g} %",
                      100. * held_out.prior_median,
                      100. * held_out.prior_95));
    print(fmt::format("written: {}, {:.3g} MB",
                      task.model,
                      1e-6 * std::filesystem::file_size(task.model)));
    if (!options.changes.empty())
      print("The host program takes this model if its parameter file has the "
            "same changes; otherwise it trains one of its own.");
    return 0;
  }
} // namespace



int
main(int argc, char *argv[])
{
  Options  options;
  CLI::App app("Trains a surrogate from the snapshots of a campaign. Needs "
               "neither the host program nor deal.II: copy the folder with "
               "training.json and the snapshots to any machine, train there, "
               "and copy the model file back.",
               "neuraldeal-train");
  app
    .add_option("task",
                options.task,
                "training.json, which the host program has written beside "
                "its snapshots")
    ->type_name("FILE")
    ->required();
  app
    .add_option("-o,--output",
                options.output,
                "model file to write, in place of the one that the task "
                "names; whole or not at all")
    ->type_name("FILE");
  app
    .add_option("-s,--set",
                options.changes,
                "replace a parameter of the surrogate, as in --set width=64 "
                "or --set training/epochs=500; may be repeated")
    ->type_name("NAME=VALUE")
    ->allow_extra_args(false);
  app.add_flag("-q,--quiet", options.quiet, "print errors only");
  app.footer("Exit status: 0 if the model was written, 1 after an error, 2 "
             "after a wrong call.");
  return run_command(app, argc, argv, [&]() { return train(options); });
}
