// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/registry_parameters.h>
#include <neuraldeal/coupling/shared_libraries.h>
#include <neuraldeal/plugin/adaptive_solver.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/file_tools.h>

#include <cmath>
#include <memory>

namespace neuraldeal
{
  using namespace dealii;

  void
  AdaptiveSolverData::declare_parameters(ParameterHandler  &prm,
                                         const std::string &source)
  {
    const AdaptiveSolverData defaults;
    const auto               declared = std::make_shared<DeclaredClasses>();
    const auto               declare_surrogates = [&prm, declared]() {
      prm.enter_subsection("Surrogate");
      declare_classes<SurrogateRegistry>(prm, *declared);
      prm.leave_subsection();
    };
    declare_shared_libraries(prm, declare_surrogates, source);
    prm.declare_entry("Training solves",
                      std::to_string(defaults.n_training),
                      Patterns::Integer(),
                      "Full solves to train on.");
    register_designs();
    std::string designs;
    for (const auto &[name, entry] : DesignRegistry::entries())
      designs +=
        (designs.empty() ? "" : "; ") + name + ": " + entry.documentation;
    prm.declare_entry("Design",
                      defaults.design,
                      Patterns::Anything(),
                      "How the inputs to train on are chosen. " + designs +
                        ".");
    prm.declare_entry("Train",
                      defaults.train_here ? "here" : "elsewhere",
                      Patterns::Anything(),
                      "Where the surrogate is trained if there is no model of "
                      "these snapshots: here, or elsewhere, by the command "
                      "neuraldeal-train and the file training.json.");
    prm.declare_entry("Held-out solves",
                      std::to_string(defaults.n_held_out),
                      Patterns::Integer(),
                      "Full solves to calibrate on.");
    prm.declare_entry("Snapshots per file",
                      std::to_string(defaults.batch_size),
                      Patterns::Integer(),
                      "Full solves that a kill may cost.");
    prm.declare_entry("Failed solves",
                      fmt::format("{}", defaults.max_failures),
                      Patterns::Double(),
                      "Share of the campaign's solves that may fail.");
    prm.declare_entry("Time budget",
                      fmt::format("{}", defaults.time_budget),
                      Patterns::Double(),
                      "Seconds that a solve of the campaign may take where the "
                      "program asks should_stop(); past ten times as many the "
                      "job ends, and goes on without the sample when it is "
                      "started again. 0: no limit.");
    prm.declare_entry("Round size",
                      std::to_string(defaults.round_size),
                      Patterns::Integer(),
                      "Queries between two updates of the surrogate.");
    prm.declare_entry("Seed",
                      std::to_string(defaults.seed),
                      Patterns::Integer(),
                      "Seed of everything random.");
    prm.enter_subsection("Active learning");
    prm.declare_entry("Choose inputs",
                      defaults.active ? "true" : "false",
                      Patterns::Bool(),
                      "Whether the inputs to train on are chosen in rounds, by "
                      "what the solves of the rounds before say, until all "
                      "training solves are spent. Otherwise they are those of "
                      "the design, and nothing else here counts.");
    prm.declare_entry("Initial solves",
                      std::to_string(defaults.n_initial),
                      Patterns::Integer(),
                      "Training solves of the design, before the first round.");
    prm.declare_entry(
      "Candidates from",
      defaults.active_candidates,
      Patterns::Anything(),
      "Whether the candidates of all rounds are the same random ones, pool, "
      "fresh ones in each, stream, or those of a file, table.");
    prm.declare_entry("Table",
                      defaults.active_table,
                      Patterns::Anything(),
                      "For candidates from a table: the name of a text file "
                      "with a candidate a line, a number for each input. What "
                      "follows on # is comment.");
    prm.declare_entry("Cost",
                      defaults.active_cost,
                      Patterns::Anything(),
                      "What the cost model learns: seconds, iterations, or a "
                      "number that the program tells of its solves. With "
                      "seconds, which are measured, another run may choose "
                      "other inputs.");
    prm.declare_entry("Threshold",
                      "",
                      Patterns::Anything(),
                      "What the program's quantity of interest is compared "
                      "with, in its units, where the acquisition looks for a "
                      "threshold (U function, expected feasibility).");
    declare_entries(prm, ActiveLearner::parameters());
    prm.leave_subsection();
    prm.enter_subsection("Trust");
    TrustGate::AdditionalData::declare_parameters(prm);
    prm.leave_subsection();

    prm.enter_subsection("Surrogate");
    prm.declare_entry("Type",
                      defaults.surrogate,
                      Patterns::Anything(),
                      "One of the registered surrogates.");
    prm.leave_subsection();
    register_surrogates();
    declare_surrogates();
  }



  void
  AdaptiveSolverData::parse_parameters(ParameterHandler  &prm,
                                       const std::string &source_)
  {
    source             = source_;
    shared_libraries   = parse_shared_libraries(prm);
    const auto integer = [&](const std::string &entry, const long minimum) {
      const long value = prm.get_integer(entry);
      if (value < minimum)
        throw InputError(source,
                         entry,
                         std::to_string(value),
                         "an integer from " + std::to_string(minimum));
      return value;
    };
    n_training = integer("Training solves", 2);
    n_held_out = integer("Held-out solves", 1);
    design     = prm.get("Design");
    DesignRegistry::find(source, "Design", design);
    batch_size   = integer("Snapshots per file", 1);
    round_size   = integer("Round size", 1);
    seed         = integer("Seed", 0);
    max_failures = prm.get_double("Failed solves");
    if (!(max_failures >= 0. && max_failures <= 1.))
      throw InputError(source,
                       "Failed solves",
                       fmt::format("{}", max_failures),
                       "a number from 0 to 1");
    time_budget = prm.get_double("Time budget");
    if (!(time_budget >= 0.) || std::isinf(time_budget))
      throw InputError(source,
                       "Time budget",
                       fmt::format("{}", time_budget),
                       "a number of seconds, or 0 for no limit");
    const std::string where = prm.get("Train");
    if (where != "here" && where != "elsewhere")
      throw InputError(source, "Train", where, "here or elsewhere");
    train_here = (where == "here");
    prm.enter_subsection("Active learning");
    active            = prm.get_bool("Choose inputs");
    n_initial         = integer("Initial solves", 2);
    active_candidates = prm.get("Candidates from");
    check_choice(source,
                 "Active learning/Candidates from",
                 active_candidates,
                 {"pool", "stream", "table"});
    active_table = prm.get("Table");
    if (active_candidates == "table" && active_table.empty())
      throw InputError(source,
                       "Active learning/Table",
                       "",
                       "the name of a file of candidates, which the entry "
                       "'Candidates from' wants");
    active_cost = prm.get("Cost");
    if (const std::string text = prm.get("Threshold"); !text.empty())
      {
        const auto value = finite_number(text);
        if (!value)
          throw InputError(source,
                           "Active learning/Threshold",
                           text,
                           "a finite number, or nothing");
        active_threshold = *value;
      }
    active_parameters = parse_entries(prm, ActiveLearner::parameters(), source);
    prm.leave_subsection();
    prm.enter_subsection("Trust");
    gate.parse_parameters(prm, source);
    prm.leave_subsection();

    prm.enter_subsection("Surrogate");
    surrogate = prm.get("Type");
    surrogate_parameters =
      parse_class<SurrogateRegistry>(prm, source, "Surrogate/Type", surrogate);
    prm.leave_subsection();
  }
} // namespace neuraldeal
