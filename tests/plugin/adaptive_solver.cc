// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/trained_surrogate.h>
#include <neuraldeal/plugin/adaptive_solver.h>
#include <neuraldeal/plugin/surrogate_solver.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>

#include "../coupling/poisson_host.h"
#include "../coupling/test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  using Distributed = LinearAlgebra::distributed::Vector<double>;

  constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

  /** A host, its surrogate, and how the two are used in a test. */
  template <typename VectorType>
  class Service
  {
  public:
    ProcessGroups                 groups;
    PoissonHost::Host<VectorType> host;
    FullOrderModel<VectorType>    model;
    InputDistribution             inputs;
    AdaptiveSolverData            data;

    std::unique_ptr<AdaptiveSolver<VectorType>> solver;

    Service(const MPI_Comm     world,
            const unsigned int group_size,
            const std::string &folder,
            const bool         can_verify = false)
      : groups(world, group_size, "test.prm")
      , host(groups.group(), 8, 4)
      , model(host.model(can_verify))
      , inputs(host.inputs())
    {
      data.folder               = folder;
      data.n_training           = 32;
      data.n_held_out           = 40;
      data.batch_size           = 4;
      data.round_size           = 25;
      data.surrogate_parameters = {{"members", 2},
                                   {"width", 16},
                                   {"depth", 1},
                                   {"epochs", 100}};
      // Near the predicted errors, so that every decision occurs.
      data.gate.tolerance      = 0.002;
      data.gate.confidence     = 0.9;
      data.gate.audit_fraction = 0.1;
      data.gate.source         = "test.prm";
      data.source              = "test.prm";
    }

    typename AdaptiveSolver<VectorType>::Preparation
    prepare()
    {
      solver = std::make_unique<AdaptiveSolver<VectorType>>(
        model, host.layout, inputs, groups, data);
      return solver->prepare();
    }

    Input
    query(const long i) const
    {
      return inputs.draw(data.seed, CounterRandom::Stream::queries, i);
    }

    std::vector<SolveReport>
    serve(const long                                           n,
          const typename AdaptiveSolver<VectorType>::Consumer &consumer = {})
    {
      return solver->serve(
        n, [this](const long i) { return query(i); }, consumer);
    }

    /** What the host itself answers. */
    VectorType
    truth(const Input &input)
    {
      VectorType x;
      host.fine.reinit(x);
      host.fine.solve(input, x);
      return x;
    }

    /** ‖x − y‖ / ‖y‖ */
    double
    distance(const VectorType &x, const VectorType &y) const
    {
      VectorType difference(x);
      difference -= y;
      return host.layout.norm(difference) / host.layout.norm(y);
    }

    /** Full solves since the last call, by all groups. */
    unsigned int
    count_solves()
    {
      const unsigned int mine = groups.is_group_root() ? host.n_solves : 0;
      host.n_solves           = 0;
      return Utilities::MPI::sum(mine, groups.world);
    }

    bool
    is_last_of_group() const
    {
      return rank(groups.group()) + 1 == n_ranks(groups.group());
    }
  };

  /** Whether a number is the same, or in both cases unknown. */
  bool
  same(const double a, const double b, const double tolerance = 0.)
  {
    return (std::isnan(a) && std::isnan(b)) ||
           std::abs(a - b) <= tolerance * std::abs(b);
  }

  /** That reports say the same, numbers up to a relative tolerance. */
  void
  expect_equal_reports(const std::vector<SolveReport> &a,
                       const std::vector<SolveReport> &b,
                       const double                    tolerance = 0.)
  {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
      {
        EXPECT_EQ(a[i].query, b[i].query);
        EXPECT_EQ(a[i].decision, b[i].decision) << "query " << i;
        EXPECT_EQ(a[i].reason, b[i].reason) << "query " << i;
        EXPECT_EQ(a[i].audited, b[i].audited) << "query " << i;
        EXPECT_EQ(a[i].failed, b[i].failed) << "query " << i;
        EXPECT_EQ(a[i].failure, b[i].failure) << "query " << i;
        EXPECT_EQ(a[i].model, b[i].model) << "query " << i;
        EXPECT_TRUE(same(a[i].scale, b[i].scale, tolerance))
          << "query " << i << ": " << a[i].scale << " " << b[i].scale;
        EXPECT_TRUE(same(a[i].prior_scale, b[i].prior_scale, tolerance));
        EXPECT_TRUE(same(a[i].bound, b[i].bound, tolerance));
        EXPECT_TRUE(same(a[i].estimate, b[i].estimate, tolerance));
        EXPECT_TRUE(same(a[i].error, b[i].error, tolerance))
          << "query " << i << ": " << a[i].error << " " << b[i].error;
      }
  }

  /** The decision log, without the columns that depend on the run. */
  std::vector<std::string>
  decision_log(const std::string &folder)
  {
    std::ifstream            in(folder + "/decisions.csv");
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);)
      {
        std::istringstream words(line);
        std::string        kept, word;
        for (unsigned int column = 0; std::getline(words, word, ','); ++column)
          if (column != 10 && column != 12) // seconds, group
            kept += word + ",";
        lines.push_back(kept);
      }
    return lines;
  }

  /** P(X ≥ k) for X binomial with n trials of probability p. */
  double
  tail(const unsigned int k, const unsigned int n, const double p)
  {
    return k == 0 ? 1. : 1. - binomial_cdf(k - 1, n, p);
  }

  /** The answers that a rank has given, with the true errors. */
  struct Answers
  {
    unsigned int n_accepted = 0, n_wrong = 0, n_verified = 0,
                 n_verified_wrong = 0, n_full = 0, n_audited = 0;
    double largest_error_of_full = 0;

    /** Of all groups together. */
    void
    add_up(const ProcessGroups &groups)
    {
      for (auto *const number : {&n_accepted,
                                 &n_wrong,
                                 &n_verified,
                                 &n_verified_wrong,
                                 &n_full,
                                 &n_audited})
        *number = Utilities::MPI::sum(groups.is_group_root() ? *number : 0,
                                      groups.world);
      largest_error_of_full =
        Utilities::MPI::max(largest_error_of_full, groups.world);
    }
  };

  /** Compares every answer with the host's. */
  template <typename VectorType>
  typename AdaptiveSolver<VectorType>::Consumer
  checker(Service<VectorType> &service, Answers &answers)
  {
    return [&](const Input       &input,
               const VectorType  &answer,
               const SolveReport &report) {
      const double error = service.distance(answer, service.truth(input));
      if (report.full_solve())
        {
          ++answers.n_full;
          answers.n_audited += report.audited;
          answers.largest_error_of_full =
            std::max(answers.largest_error_of_full, error);
        }
      else if (report.decision == Decision::accept)
        {
          ++answers.n_accepted;
          answers.n_wrong += !(error <= service.data.gate.tolerance);
        }
      else
        {
          ++answers.n_verified;
          answers.n_verified_wrong += !(error <= service.data.gate.tolerance);
        }
    };
  }
} // namespace



template <typename VectorType>
class AdaptiveSolverTest : public testing::Test
{};

using AdaptiveSolverTypes =
  ::testing::Types<Distributed, TrilinosWrappers::MPI::Vector>;
TYPED_TEST_SUITE(AdaptiveSolverTest, AdaptiveSolverTypes);



TYPED_TEST(AdaptiveSolverTest, KeepsItsPromise)
{
  using VectorType = TypeParam;
  const ScratchFolder folder;
  Service<VectorType> service(MPI_COMM_WORLD, 1, folder.path);
  service.prepare();
  EXPECT_EQ(service.count_solves(), 72u);
  const TrustGate gate_before = service.solver->gate();

  const unsigned int n = 150;
  Answers            answers;
  const auto reports = service.serve(n, checker<VectorType>(service, answers));
  answers.add_up(service.groups);

  // Every query has one report, the same on all ranks, and one answer.
  ASSERT_EQ(reports.size(), n);
  unsigned int        n_accepted = 0, n_audited = 0;
  std::set<long>      full;
  std::vector<double> numbers;
  for (unsigned int i = 0; i < n; ++i)
    {
      const auto &report = reports[i];
      EXPECT_EQ(report.query, i);
      EXPECT_FALSE(report.failed);
      EXPECT_TRUE(report.failure.empty());
      EXPECT_GT(report.seconds, 0.);
      EXPECT_LT(report.group, service.groups.n_groups());
      if (report.full_solve())
        {
          full.insert(i);
          EXPECT_GT(report.iterations, 0u);
          EXPECT_GT(report.error, 0.);
        }
      else
        {
          EXPECT_EQ(report.iterations, 0u);
          EXPECT_TRUE(std::isnan(report.error));
          EXPECT_EQ(report.decision, Decision::accept);
          EXPECT_LE(report.bound, service.data.gate.tolerance);
        }
      EXPECT_TRUE(std::isnan(report.estimate)); // the host has no residual
      n_accepted += (report.decision == Decision::accept);
      n_audited += report.audited;
      EXPECT_EQ(report.audited,
                report.decision == Decision::accept &&
                  service.solver->gate().is_audited(i));
      if (i < service.data.round_size)
        {
          EXPECT_EQ(report.model, 72);
          EXPECT_EQ(report.bound,
                    gate_before.acceptance().factor * report.scale);
        }
      numbers.insert(numbers.end(),
                     {double(report.decision),
                      report.scale,
                      report.bound,
                      double(report.group)});
    }
  EXPECT_TRUE(same_on_all_ranks(numbers));
  EXPECT_EQ(service.count_solves(), full.size());
  EXPECT_EQ(answers.n_full, full.size());
  EXPECT_EQ(answers.n_accepted, n - full.size());
  EXPECT_EQ(answers.n_audited, n_audited);

  // Both kinds of answers are there, or nothing is shown by the rest.
  EXPECT_GT(answers.n_accepted, n / 5);
  EXPECT_GT(full.size(), n / 20);
  EXPECT_GT(n_audited, 0u);

  // Among the accepted, not more are wrong than the confidence allows (but
  // for chance, once in a thousand); full solves are the host's own.
  EXPECT_GT(tail(answers.n_wrong,
                 answers.n_accepted,
                 1. - service.data.gate.confidence),
            1e-3)
    << answers.n_wrong << " of " << answers.n_accepted;
  EXPECT_LE(answers.largest_error_of_full, 1e3 * PoissonHost::tolerance);

  // All full solves are learned from, after the round.
  EXPECT_EQ(service.solver->surrogate().n_snapshots(), 72 + long(full.size()));
  const SnapshotReader served(folder / "served");
  std::set<long>       stored;
  for (const long id : served.ids())
    stored.insert(id - AdaptiveSolver<VectorType>::first_served_id);
  EXPECT_EQ(stored, full);

  EXPECT_EQ(decision_log(folder.path).size(), n + 1);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    std::cout << "accepted " << answers.n_accepted << ", wrong "
              << answers.n_wrong << ", audited " << n_audited
              << ", full solves " << full.size() << std::endl;
}



TYPED_TEST(AdaptiveSolverTest, VerifiesWhatItIsNotSureOf)
{
  using VectorType = TypeParam;
  const ScratchFolder folder;
  Service<VectorType> service(MPI_COMM_WORLD, 1, folder.path, true);
  service.prepare();
  Answers    answers;
  const auto reports =
    service.serve(150, checker<VectorType>(service, answers));
  answers.add_up(service.groups);

  unsigned int n_verified = 0, n_full = 0;
  for (const auto &report : reports)
    {
      // The estimate is that of the residual's bound, where it was asked for.
      EXPECT_EQ(std::isnan(report.estimate),
                report.decision == Decision::accept);
      if (report.decision == Decision::verify)
        {
          EXPECT_LE(report.estimate, service.data.gate.tolerance);
        }
      if (report.decision == Decision::correct)
        {
          EXPECT_GT(report.estimate, service.data.gate.tolerance);
        }
      n_verified += (report.decision == Decision::verify && !report.audited);
      n_full += report.full_solve();
    }
  EXPECT_EQ(answers.n_verified, n_verified);
  EXPECT_EQ(answers.n_full, n_full);
  EXPECT_GT(n_verified, 0u);
  EXPECT_GT(n_full, 0u);
  EXPECT_GT(tail(answers.n_wrong,
                 answers.n_accepted,
                 1. - service.data.gate.confidence),
            1e-3)
    << answers.n_wrong << " of " << answers.n_accepted;
  EXPECT_GT(tail(answers.n_verified_wrong,
                 answers.n_verified,
                 1. - service.data.gate.confidence),
            1e-3)
    << answers.n_verified_wrong << " of " << answers.n_verified;
  EXPECT_LE(answers.largest_error_of_full, 1e3 * PoissonHost::tolerance);

  // Outside the training range nothing is accepted on uncertainty alone.
  VectorType x;
  service.host.fine.reinit(x);
  for (const Input &input : {Input{3.001, 1., 1., 1.},
                             Input{1., 1., 1., 0.299},
                             Input{10., 10., 10., 10.}})
    {
      const auto report = service.solver->solve(input, x);
      EXPECT_NE(report.decision, Decision::accept);
      const double error = service.distance(x, service.truth(input));
      if (report.full_solve())
        {
          EXPECT_LE(error, 1e3 * PoissonHost::tolerance);
        }
      else
        {
          EXPECT_EQ(report.reason, Reason::outside_range);
          EXPECT_LE(error, 2. * service.data.gate.tolerance);
        }
    }
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    std::cout << "accepted " << answers.n_accepted << " (wrong "
              << answers.n_wrong << "), verified " << n_verified << " (wrong "
              << answers.n_verified_wrong << "), full solves " << n_full
              << std::endl;
}



TYPED_TEST(AdaptiveSolverTest, DecisionsDoNotDependOnTheNumberOfRanks)
{
  using VectorType = TypeParam;
  const ScratchFolder      folder;
  const long               n = 75;
  std::vector<SolveReport> reference;
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    {
      Service<VectorType> alone(MPI_COMM_SELF, 1, folder / "one", true);
      std::filesystem::create_directories(folder / "one");
      alone.prepare();
      reference = alone.serve(n);
      // It is a sequence that has something to decide.
      unsigned int accepted = 0;
      for (const auto &report : reference)
        accepted += (report.decision == Decision::accept);
      EXPECT_GT(accepted, 0u);
      EXPECT_LT(accepted, n);
    }
  MPI_Barrier(MPI_COMM_WORLD);

  Service<VectorType> all(MPI_COMM_WORLD, 1, folder / "all", true);
  all.prepare();
  const auto reports = all.serve(n);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    expect_equal_reports(reports, reference);
  EXPECT_EQ(decision_log(folder / "all"), decision_log(folder / "one"));

  // Groups of several ranks round otherwise.
  Service<VectorType> together(MPI_COMM_WORLD,
                               n_ranks(),
                               folder / "together",
                               true);
  together.prepare();
  const auto others = together.serve(n);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    expect_equal_reports(others, reference, 1e-4);
  MPI_Barrier(MPI_COMM_WORLD);
}



TEST(AdaptiveSolver, PreparesOnce)
{
  const ScratchFolder  folder;
  Service<Distributed> first(MPI_COMM_WORLD, 1, folder.path, true);
  const auto           fresh = first.prepare();
  EXPECT_EQ(fresh.n_full_solves, 72u);
  EXPECT_EQ(fresh.n_failed, 0u);
  EXPECT_FALSE(fresh.model_was_there);
  EXPECT_GT(fresh.seconds_a_full_solve, 0.);
  EXPECT_EQ(first.count_solves(), 72u);
  EXPECT_EQ(first.solver->training_ids(first.solver->snapshots()).size(), 32u);
  EXPECT_EQ(first.solver->held_out_ids(first.solver->snapshots()).size(), 40u);
  EXPECT_EQ(first.solver->surrogate().n_snapshots(), 72);

  // Another program run, in the same folder.
  Service<Distributed> second(MPI_COMM_WORLD, 1, folder.path, true);
  const auto           again = second.prepare();
  EXPECT_TRUE(again.model_was_there);
  EXPECT_EQ(second.count_solves(), 0u);
  EXPECT_EQ(again.seconds_a_full_solve, fresh.seconds_a_full_solve);
  for (const auto &[a, b] : {std::make_pair(first.solver->gate().acceptance(),
                                            second.solver->gate().acceptance()),
                             std::make_pair(first.solver->gate().estimator(),
                                            second.solver->gate().estimator())})
    {
      EXPECT_EQ(a.factor, b.factor);
      EXPECT_EQ(a.threshold, b.threshold);
      EXPECT_EQ(a.n_samples, b.n_samples);
    }
  expect_equal_reports(second.serve(50), first.serve(50));

  // Another surrogate is trained on the same snapshots.
  Service<Distributed> third(MPI_COMM_WORLD, 1, folder.path, true);
  third.data.surrogate_parameters["width"] = 8;
  EXPECT_FALSE(third.prepare().model_was_there);
  EXPECT_EQ(third.count_solves(), 0u);

  // More held-out solves: only those are made.
  Service<Distributed> fourth(MPI_COMM_WORLD, 1, folder.path, true);
  fourth.data.n_held_out = 43;
  EXPECT_FALSE(fourth.prepare().model_was_there);
  EXPECT_EQ(fourth.count_solves(), 3u);
  EXPECT_EQ(fourth.solver->held_out_ids(fourth.solver->snapshots()).size(),
            43u);
}



// Operators see whole fields: they serve groups of one rank.
TEST(AdaptiveSolver, NeuralOperatorsAnswer)
{
  const ScratchFolder folder;
  const auto          choose_operator = [](AdaptiveSolverData &data) {
    data.surrogate            = "neural operator";
    data.surrogate_parameters = {
      {"operator", "attention"},
      {"operator parameters",
       {{"width", 16}, {"layers", 2}, {"heads", 2}, {"slices", 8}}},
      {"training",
       {{"epochs", 100}, {"batch size", 4}, {"learning rate", 5e-3}}},
      {"uncertainty", "none"},
      {"training share", 0.5},
      {"device", "cpu"}};
    data.n_training     = 96;
    data.gate.tolerance = 0.04;
  };
  Service<Distributed> service(MPI_COMM_WORLD, 1, folder.path);
  choose_operator(service.data);
  service.prepare();
  service.count_solves();

  Answers    answers;
  const auto reports =
    service.serve(60, checker<Distributed>(service, answers));
  answers.add_up(service.groups);
  EXPECT_GT(answers.n_accepted, 20u);
  EXPECT_EQ(answers.n_accepted + answers.n_full, 60u);
  EXPECT_GT(tail(answers.n_wrong,
                 answers.n_accepted,
                 1. - service.data.gate.confidence),
            1e-3)
    << answers.n_wrong << " of " << answers.n_accepted;

  // From the file the same decisions come.
  Service<Distributed> again(MPI_COMM_WORLD, 1, folder.path);
  choose_operator(again.data);
  EXPECT_TRUE(again.prepare().model_was_there);
  expect_equal_reports(again.serve(60), reports);

  if (n_ranks() > 1)
    {
      Service<Distributed> group(MPI_COMM_WORLD, n_ranks(), folder.path);
      choose_operator(group.data);
      expect_sentence(message_of([&]() { group.prepare(); }),
                      {"test.prm", "neural operator"});
    }
}



// The command makes the same model as the program: files of one are taken by
// the other, and say the same, bit for bit.
TEST(AdaptiveSolver, TakesWhatTheCommandHasTrained)
{
  const ScratchFolder  folder;
  Service<Distributed> first(MPI_COMM_WORLD, 1, folder.path);
  first.data.train_here = false;
  const auto task       = folder / "training.json";
  const auto model      = folder / "model.safetensors";
  const auto complaint  = message_of([&]() { first.prepare(); });
  expect_sentence(complaint, {model, "'neuraldeal-train " + task + "'"});
  EXPECT_TRUE(same_on_all_ranks(complaint));
  EXPECT_EQ(first.count_solves(), 72u);
  EXPECT_FALSE(std::filesystem::exists(model));

  // It may be anywhere: the folder is moved meanwhile.
  MPI_Barrier(MPI_COMM_WORLD);
  int status = 0;
  if (rank() == 0)
    {
      const std::string elsewhere = folder.path + "-elsewhere";
      std::filesystem::rename(folder.path, elsewhere);
      status = std::system(
        ("\"" NEURALDEAL_TRAIN "\" --quiet " + elsewhere + "/training.json")
          .c_str());
      std::filesystem::rename(elsewhere, folder.path);
    }
  EXPECT_EQ(Utilities::MPI::max(status, MPI_COMM_WORLD), 0);

  Service<Distributed> second(MPI_COMM_WORLD, 1, folder.path);
  second.data.train_here = false;
  EXPECT_TRUE(second.prepare().model_was_there);
  EXPECT_EQ(second.count_solves(), 0u);

  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    std::filesystem::remove(model);
  MPI_Barrier(MPI_COMM_WORLD);
  Service<Distributed> third(MPI_COMM_WORLD, 1, folder.path);
  EXPECT_FALSE(third.prepare().model_was_there);
  for (unsigned int i = 0; i < 5; ++i)
    {
      Distributed a, b, deviation_a, deviation_b;
      for (auto *const vector : {&a, &b, &deviation_a, &deviation_b})
        second.host.fine.reinit(*vector);
      second.solver->predict(second.query(i), a, &deviation_a);
      third.solver->predict(third.query(i), b, &deviation_b);
      EXPECT_GT(a.l2_norm(), 0.);
      EXPECT_GT(deviation_a.l2_norm(), 0.);
      a -= b;
      deviation_a -= deviation_b;
      EXPECT_EQ(a.linfty_norm(), 0.);
      EXPECT_EQ(deviation_a.linfty_norm(), 0.);
    }
  EXPECT_EQ(second.solver->gate().acceptance().threshold,
            third.solver->gate().acceptance().threshold);

  // Other parameters ask for another model.
  Service<Distributed> fourth(MPI_COMM_WORLD, 1, folder.path);
  fourth.data.train_here                    = false;
  fourth.data.surrogate_parameters["width"] = 8;
  expect_sentence(message_of([&]() { fourth.prepare(); }), {model, task});
}



TEST(AdaptiveSolver, HeldOutSnapshotsAreDrawnLikeQueries)
{
  const ScratchFolder  folder;
  Service<Distributed> service(MPI_COMM_WORLD, 1, folder.path);
  service.solver =
    std::make_unique<AdaptiveSolver<Distributed>>(service.model,
                                                  service.host.layout,
                                                  service.inputs,
                                                  service.groups,
                                                  service.data);
  for (long id = 0; id < 32; ++id)
    EXPECT_EQ(service.solver->design(id),
              service.inputs.latin_hypercube(1, id, 32));
  std::set<Input> seen;
  for (long id = 32; id < 72; ++id)
    {
      EXPECT_EQ(service.solver->design(id),
                service.inputs.draw(1, CounterRandom::Stream::design, id));
      seen.insert(service.solver->design(id));
    }
  // None of them is asked later.
  for (long i = 0; i < 200; ++i)
    EXPECT_EQ(seen.count(service.query(i)), 0u);
}



TEST(AdaptiveSolver, SolvesOneQuery)
{
  const ScratchFolder folder;
  for (const auto size : group_sizes())
    {
      Service<Distributed> service(MPI_COMM_WORLD,
                                   size,
                                   folder / std::to_string(size));
      service.prepare();
      service.count_solves();
      Distributed  x;
      unsigned int n_full = 0;
      service.host.fine.reinit(x);
      for (long i = 0; i < 20; ++i)
        {
          // Each group asks for itself.
          const auto input  = service.query(i);
          const auto report = service.solver->solve(input, x);
          const auto truth  = service.truth(input);
          n_full += report.full_solve();
          EXPECT_TRUE(
            same_on_all_ranks(double(report.decision), service.groups.group()));
          EXPECT_GT(report.seconds, 0.);
          Distributed mean, deviation;
          service.host.fine.reinit(mean);
          service.host.fine.reinit(deviation);
          service.solver->predict(input, mean, &deviation);
          if (report.full_solve())
            {
              EXPECT_LE(service.distance(x, truth),
                        1e3 * PoissonHost::tolerance);
              EXPECT_NEAR(report.error,
                          service.distance(mean, truth),
                          1e-6 * report.error + 1e-12);
            }
          else
            {
              EXPECT_TRUE(same(service.distance(x, truth),
                               service.distance(mean, truth),
                               1e-9));
            }
          // A predicted field satisfies the boundary values.
          Distributed constrained(mean);
          service.host.fine.get_constraints().distribute(constrained);
          constrained -= mean;
          EXPECT_EQ(constrained.linfty_norm(), 0.);
          EXPECT_GT(deviation.linfty_norm(), 0.);
          EXPECT_TRUE(std::isfinite(deviation.l2_norm()));
        }
      EXPECT_EQ(service.count_solves(), n_full * service.groups.n_groups());
      EXPECT_GT(n_full, 0u);
      EXPECT_LT(n_full, 20u);
    }
}



TEST(AdaptiveSolver, AFailedSolveIsReportedAndLeavesTheOthersAlone)
{
  const ScratchFolder folder;
  for (const auto size : group_sizes())
    {
      const auto           name = folder / std::to_string(size);
      Service<Distributed> good(MPI_COMM_WORLD, size, name, true);
      good.prepare();
      const auto expected = good.serve(50);
      // One that is solved because it has to be, in each round.
      long first = -1, second = -1;
      for (const auto &report : expected)
        if (report.decision == Decision::correct ||
            report.decision == Decision::resolve)
          (report.query < 25 ? first : second) = report.query;
      ASSERT_GE(first, 0);
      ASSERT_GE(second, 0);

      Service<Distributed> bad(MPI_COMM_WORLD, size, name, true);
      bad.prepare();
      const auto solve = bad.model.solve;
      bad.model.solve  = [&](const Input &input, Distributed &x) {
        const unsigned int n = solve(input, x);
        if (bad.is_last_of_group() && input == bad.query(first))
          throw std::runtime_error("the licence server is down");
        if (bad.is_last_of_group() && input == bad.query(second))
          x.local_element(0) = nan_value;
        return n;
      };
      Answers    answers;
      const auto reports = bad.serve(50, checker<Distributed>(bad, answers));
      answers.add_up(bad.groups);
      ASSERT_EQ(reports.size(), 50u);
      for (const auto &report : reports)
        {
          EXPECT_EQ(report.failed,
                    report.query == first || report.query == second);
          if (report.query == first)
            {
              EXPECT_EQ(report.failure, "the licence server is down");
            }
          if (report.query == second)
            {
              EXPECT_NE(report.failure.find("not finite"), std::string::npos)
                << report.failure;
            }
          // In the round of the first failure nothing else has changed.
          const auto &other = expected[report.query];
          if (report.query < 25)
            {
              EXPECT_EQ(report.decision, other.decision);
              EXPECT_EQ(report.scale, other.scale);
              EXPECT_EQ(report.bound, other.bound);
            }
          EXPECT_TRUE(std::isfinite(report.scale));
        }
      // Whoever has failed has no answer, and the rest are as they should be.
      EXPECT_EQ(answers.n_full + answers.n_accepted + answers.n_verified, 48u);
      EXPECT_LE(answers.largest_error_of_full, 1e3 * PoissonHost::tolerance);
      // The log says why.
      const auto log = decision_log(name);
      ASSERT_EQ(log.size(), 51u);
      EXPECT_NE(log[1 + first].find("the licence server is down"),
                std::string::npos);

      // A single query has nobody else to go on for.
      Distributed x;
      bad.host.fine.reinit(x);
      const auto message =
        message_of([&]() { bad.solver->solve(bad.query(first), x); });
      EXPECT_NE(message.find("the licence server is down"), std::string::npos)
        << message;
      EXPECT_TRUE(same_on_all_ranks(message));

      // The fallback answers instead.
      bad.model.fallback_solve = [&](const Input &input, Distributed &y) {
        return bad.host.fine.solve(input, y);
      };
      const auto report = bad.solver->solve(bad.query(first), x);
      EXPECT_FALSE(report.failed);
      EXPECT_LE(bad.distance(x, bad.truth(bad.query(first))),
                1e3 * PoissonHost::tolerance);
      MPI_Barrier(MPI_COMM_WORLD);
    }
}



TEST(AdaptiveSolver, WithoutAPredictionTheHostAnswers)
{
  // Everything that leads to a prediction fails for some queries, on one
  // rank of a group: those are solved, the others do not notice.
  const ScratchFolder folder;
  for (const auto size : group_sizes())
    {
      Service<Distributed> service(MPI_COMM_WORLD,
                                   size,
                                   folder / std::to_string(size),
                                   true);
      service.prepare();
      const auto coarse_solve    = service.model.coarse_solve;
      service.model.coarse_solve = [&](const Input &input, Distributed &x) {
        coarse_solve(input, x);
        if (service.is_last_of_group() && input == service.query(3))
          throw std::runtime_error("no coarse solution");
        if (service.is_last_of_group() && input == service.query(8))
          x.local_element(0) = nan_value;
      };
      const auto residual = service.model.residual;
      service.model.residual =
        [&](const Input &input, const Distributed &x, Distributed &r) {
          residual(input, x, r);
          if (service.is_last_of_group() && input[0] < 0.6)
            throw std::runtime_error("no residual");
          if (service.is_last_of_group() && input[0] < 0.9)
            r.local_element(0) = nan_value;
        };
      const long n_learned = service.solver->surrogate().n_snapshots();
      Answers    answers;
      const auto reports =
        service.serve(75, checker<Distributed>(service, answers));
      answers.add_up(service.groups);

      unsigned int n_full = 0, n_without_residual = 0;
      for (const auto &report : reports)
        {
          n_full += report.full_solve();
          EXPECT_FALSE(report.failed);
          if (report.query == 3 || report.query == 8)
            {
              EXPECT_EQ(report.decision, Decision::resolve);
              EXPECT_EQ(report.reason, Reason::not_finite);
              continue;
            }
          // What has no prediction teaches nothing, least of all nonsense.
          EXPECT_TRUE(std::isfinite(report.scale)) << report.query;
          if (service.query(report.query)[0] < 0.9 &&
              report.decision != Decision::accept)
            {
              EXPECT_EQ(report.decision, Decision::resolve) << report.query;
              ++n_without_residual;
            }
        }
      EXPECT_GT(n_without_residual, 0u);
      EXPECT_EQ(answers.n_full, n_full);
      EXPECT_LE(answers.largest_error_of_full, 1e3 * PoissonHost::tolerance);
      EXPECT_GT(answers.n_accepted, 0u);
      EXPECT_GT(tail(answers.n_wrong,
                     answers.n_accepted,
                     1. - service.data.gate.confidence),
                1e-3);
      EXPECT_EQ(service.solver->surrogate().n_snapshots(),
                n_learned + n_full - 2);

      Distributed x;
      service.host.fine.reinit(x);
      const auto report = service.solver->solve(service.query(8), x);
      EXPECT_EQ(report.decision, Decision::resolve);
      EXPECT_LE(service.distance(x, service.truth(service.query(8))),
                1e3 * PoissonHost::tolerance);
      MPI_Barrier(MPI_COMM_WORLD);
    }
}



TEST(AdaptiveSolver, TooFewHeldOutSnapshotsAreSaidFirst)
{
  const ScratchFolder  folder;
  Service<Distributed> service(MPI_COMM_WORLD, 1, folder.path);
  service.data.n_held_out = 21;
  EXPECT_THROW(service.prepare(), InputError);
  expect_sentence(message_of([&]() { service.prepare(); }),
                  {"test.prm", "Held-out solves is '21'", "at least 22"});
  service.data.n_held_out      = 40;
  service.data.gate.confidence = 0.95;
  expect_sentence(message_of([&]() { service.prepare(); }),
                  {"test.prm", "Held-out solves is '40'", "at least 45"});
  EXPECT_EQ(service.count_solves(), 0u);
  EXPECT_TRUE(files_in(folder.path).empty());

  // Enough were planned, but too many have failed.
  service.data.gate.confidence = 0.9;
  service.data.n_held_out      = 23;
  service.data.max_failures    = 0.5;
  const auto solve             = service.model.solve;
  service.model.solve          = [&](const Input &input, Distributed &x) {
    for (const long id : {40, 41})
      AssertThrow(input != service.solver->design(id), ExcMessage("It fails."));
    return solve(input, x);
  };
  const auto message = message_of([&]() { service.prepare(); });
  expect_sentence(message, {"test.prm", "confidence", "21", "needs 22"});
  EXPECT_TRUE(same_on_all_ranks(message));
}



// Held-out snapshots that were wrong by chance may leave nothing to accept.
// All queries are solved then, whatever they are like, so that they calibrate,
// and the gate opens once they say that most answers are good.
TEST(AdaptiveSolver, ComesBackFromAcceptingNothing)
{
  const ScratchFolder  folder;
  Service<Distributed> service(MPI_COMM_WORLD, 1, folder.path);
  service.data.gate.tolerance = 0.01;
  const auto solve            = service.model.solve;
  service.model.solve         = [&](const Input &input, Distributed &x) {
    const auto iterations = solve(input, x);
    for (const long id : {40, 50})
      if (input == service.solver->design(id))
        x *= 1.02;
    return iterations;
  };
  service.prepare();
  ASSERT_EQ(service.solver->gate().acceptance().threshold, 0.);
  ASSERT_TRUE(service.solver->gate().solves_everything());

  Answers    answers;
  const auto reports =
    service.serve(75, checker<Distributed>(service, answers));
  unsigned int n_full_at_first = 0, n_accepted = 0;
  for (const auto &report : reports)
    {
      n_full_at_first += report.query < 25 && report.full_solve();
      n_accepted += !report.full_solve();
    }
  EXPECT_EQ(n_full_at_first, 25u);
  EXPECT_GT(n_accepted, 10u);
  EXPECT_GE(service.solver->gate().acceptance().n_samples, 65u);
  EXPECT_FALSE(service.solver->gate().solves_everything());
  answers.add_up(service.groups);
  EXPECT_GT(tail(answers.n_wrong,
                 answers.n_accepted,
                 1. - service.data.gate.confidence),
            1e-3)
    << answers.n_wrong << " of " << answers.n_accepted;
}



TEST(AdaptiveSolver, FailedSolvesOfTheDesignAreLeftOut)
{
  const ScratchFolder  folder;
  Service<Distributed> service(MPI_COMM_WORLD, 1, folder.path);
  const auto           solve = service.model.solve;
  service.model.solve        = [&](const Input &input, Distributed &x) {
    for (const long id : {5, 40})
      AssertThrow(input != service.solver->design(id), ExcMessage("It fails."));
    return solve(input, x);
  };
  const auto preparation = service.prepare();
  EXPECT_EQ(preparation.n_failed, 2u);
  EXPECT_EQ(service.solver->training_ids(service.solver->snapshots()).size(),
            31u);
  EXPECT_EQ(service.solver->held_out_ids(service.solver->snapshots()).size(),
            39u);
  EXPECT_EQ(service.solver->gate().acceptance().n_samples, 39u);
  EXPECT_EQ(service.solver->surrogate().n_snapshots(), 70);
}



TEST(AdaptiveSolver, RefusesWhatBelongsToAnotherProblem)
{
  const ScratchFolder folder;
  {
    Service<Distributed> service(MPI_COMM_WORLD, 1, folder / "a");
    service.prepare();
  }

  // A model alone: nothing is solved before it is refused.
  Service<Distributed> other(MPI_COMM_WORLD, 1, folder / "b");
  other.inputs = InputDistribution();
  for (const char *name : {"a0", "a1", "a2", "a3"})
    other.inputs.add_log_uniform(name, 0.3, 3.5);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    {
      std::filesystem::create_directories(folder / "b");
      std::filesystem::copy(folder / "a/model.safetensors",
                            folder / "b/model.safetensors");
    }
  MPI_Barrier(MPI_COMM_WORLD);
  const auto message = message_of([&]() { other.prepare(); });
  expect_sentence(message,
                  {folder / "b/model.safetensors",
                   "'problem'",
                   "another problem",
                   "valid is"});
  EXPECT_TRUE(same_on_all_ranks(message));
  EXPECT_EQ(other.count_solves(), 0u);

  // Snapshots of other inputs.
  if (rank() == 0)
    std::filesystem::remove(folder / "a/model.safetensors");
  MPI_Barrier(MPI_COMM_WORLD);
  other.data.folder = folder / "a";
  const auto store  = message_of([&]() { other.prepare(); });
  expect_sentence(store, {folder / "a/snapshots", "'problem'", "valid is"});
  EXPECT_EQ(other.count_solves(), 0u);
  MPI_Barrier(MPI_COMM_WORLD);
}



TEST(AdaptiveSolver, OtherDesignsAndSeedsAreAppended)
{
  const ScratchFolder folder;
  const auto          run = [&](const std::string  &design,
                       const std::uint64_t seed,
                       const unsigned int  n_training,
                       const unsigned int  expected_solves,
                       const long          expected_first) {
    Service<Distributed> service(MPI_COMM_WORLD, 1, folder.path);
    service.data.design     = design;
    service.data.seed       = seed;
    service.data.n_training = n_training;
    service.prepare();
    EXPECT_EQ(service.count_solves(), expected_solves) << design << seed;
    const auto store    = service.solver->snapshots();
    const auto training = service.solver->training_ids(store),
               held_out = service.solver->held_out_ids(store);
    EXPECT_EQ(training.size(), n_training);
    EXPECT_EQ(held_out.size(), service.data.n_held_out);
    EXPECT_EQ(training[0], expected_first) << design << seed;
    // Each sample of the design has the input that the design says.
    for (const auto *ids : {&training, &held_out})
      for (const long id : *ids)
        {
          const auto x = SnapshotReader(store, {id}).parameters()[0];
          const auto y = service.solver->design(id);
          for (unsigned int k = 0; k < 4; ++k)
            EXPECT_EQ(x[k].item<double>(), y[k]);
        }
    return store;
  };
  constexpr long campaign = SnapshotReader::campaign_size;
  run("Latin hypercube", 1, 32, 72, 0);
  run("Latin hypercube", 2, 32, 72, campaign);
  // Back to the first: nothing to solve.
  run("Latin hypercube", 1, 32, 0, 0);
  // A design that grows, and then does.
  run("scrambled Sobol", 1, 32, 72, 2 * campaign);
  const auto store = run("scrambled Sobol", 1, 40, 8, 2 * campaign);
  ASSERT_EQ(store.campaigns().size(), 4u);
  EXPECT_EQ(store.campaigns()[0].name, "Latin hypercube of 32 points, seed 1");
  EXPECT_EQ(store.campaigns()[2].name, "scrambled Sobol, seed 1");
  EXPECT_EQ(store.campaigns()[3].name, "held out, seed 1");
  EXPECT_EQ(store.size(), 72 + 72 + 80);
  // No input is there twice.
  EXPECT_EQ(std::get<0>(torch::unique_dim(store.parameters(), 0)).size(0),
            store.size());
}



TEST(AdaptiveSolver, InputsToTrainOnAreChosen)
{
  // The same on one rank and on all; what is chosen is not the design.
  const ScratchFolder folder;
  const auto          run = [&](const MPI_Comm world, const std::string &name) {
    Service<Distributed> service(world, 1, folder / name);
    service.data.active            = true;
    service.data.n_initial         = 12;
    service.data.design            = "scrambled Sobol";
    service.data.active_parameters = {{"candidates", 40}, {"round size", 10}};
    service.data.surrogate         = "POD kernel regression";
    service.data.surrogate_parameters = nlohmann::json::object();
    const auto preparation            = service.prepare();
    EXPECT_EQ(preparation.n_full_solves, 72u);
    EXPECT_EQ(preparation.n_failed, 0u);
    const auto store    = service.solver->snapshots();
    const auto training = service.solver->training_ids(store);
    EXPECT_EQ(training.size(), 32u);
    EXPECT_EQ(service.solver->held_out_ids(store).size(), 40u);
    std::vector<Input> inputs;
    for (const long id : training)
      {
        inputs.push_back(service.solver->design(id));
        const auto x = SnapshotReader(store, {id}).parameters()[0];
        for (unsigned int k = 0; k < 4; ++k)
          EXPECT_EQ(x[k].item<double>(), inputs.back()[k]);
      }
    // Another start finds the choices, and the model.
    service.count_solves();
    EXPECT_TRUE(service.prepare().model_was_there);
    EXPECT_EQ(service.count_solves(), 0u);
    return inputs;
  };
  const auto all = run(MPI_COMM_WORLD, "all");
  if (rank() == 0)
    {
      EXPECT_EQ(run(MPI_COMM_SELF, "one"), all);
    }
  MPI_Barrier(MPI_COMM_WORLD);
  const auto design = make_design("scrambled Sobol", 1, 4, 12, "a test");
  const auto inputs = PoissonHost::Host<Distributed>::inputs();
  for (unsigned int i = 0; i < 32; ++i)
    EXPECT_EQ(all[i] == inputs.at(design->point(i)), i < 12);
}



// Candidates of a file, near a threshold of the host's quantity. There are
// fewer of them than solves that they may have.
TEST(AdaptiveSolver, CandidatesComeFromAFile)
{
  const ScratchFolder folder;
  const std::string   table = folder / "candidates.txt";
  const auto          row   = [](const unsigned int i) {
    return PoissonHost::Host<Distributed>::inputs().draw(
      7, CounterRandom::Stream::check, i);
  };
  const unsigned int n_rows = 15;
  if (rank() == 0)
    {
      std::ofstream file(table);
      file << "# a0 a1 a2 a3\n";
      for (unsigned int i = 0; i < n_rows; ++i)
        {
          for (const double x : row(i))
            file << fmt::format("{:.17g} ", x);
          file << "# " << i << "\n";
        }
    }
  MPI_Barrier(MPI_COMM_WORLD);

  const auto prepare = [&](const unsigned int n_training,
                           const std::string &file) {
    Service<Distributed> service(MPI_COMM_WORLD, 1, folder / "run");
    service.model.quantity_of_interest = [&](const Input &, const auto &x) {
      return service.host.layout.norm(x);
    };
    service.data.active               = true;
    service.data.n_initial            = 12;
    service.data.n_training           = n_training;
    service.data.design               = "scrambled Sobol";
    service.data.active_candidates    = "table";
    service.data.active_table         = file;
    service.data.active_cost          = "iterations";
    service.data.active_threshold     = 0.05;
    service.data.active_parameters    = {{"acquisition", "U function"},
                                         {"round size", 4}};
    service.data.surrogate            = "POD kernel regression";
    service.data.surrogate_parameters = nlohmann::json::object();
    const auto preparation            = service.prepare();
    EXPECT_EQ(preparation.n_failed, 0u);
    const auto store    = service.solver->snapshots();
    const auto training = service.solver->training_ids(store);
    EXPECT_EQ(preparation.n_full_solves, training.size() + 40u);
    std::set<Input> chosen;
    for (std::size_t i = 12; i < training.size(); ++i)
      chosen.insert(service.solver->design(training[i]));
    return chosen;
  };
  std::set<Input> rows;
  for (unsigned int i = 0; i < n_rows; ++i)
    rows.insert(row(i));
  const auto few = prepare(16, table);
  EXPECT_EQ(few.size(), 4u);
  EXPECT_TRUE(std::includes(rows.begin(), rows.end(), few.begin(), few.end()));
  EXPECT_EQ(prepare(40, table), rows);

  const auto message =
    message_of([&]() { prepare(16, folder / "absent.txt"); });
  expect_sentence(message, {"absent.txt"});
  EXPECT_TRUE(same_on_all_ranks(message));
}



TEST(AdaptiveSolver, NoWrongAnswerLeavesADamagedModelAsAccepted)
{
  const ScratchFolder folder;
  std::string         model_file;
  {
    Service<Distributed> service(MPI_COMM_WORLD, 1, folder.path);
    service.prepare();
    model_file = folder / "model.safetensors";
  }
  const auto good = ModelFile::read(model_file);
  MPI_Barrier(MPI_COMM_WORLD);

  // One bit of the data: the checksum knows.
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 0)
    {
      std::fstream file(model_file,
                        std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(-9, std::ios::end);
      const char byte = file.get() ^ 16;
      file.seekp(-9, std::ios::end);
      file.put(byte);
    }
  MPI_Barrier(MPI_COMM_WORLD);
  {
    Service<Distributed> service(MPI_COMM_WORLD, 1, folder.path);
    const auto           message = message_of([&]() { service.prepare(); });
    expect_sentence(message, {model_file, "checksum"});
    EXPECT_TRUE(same_on_all_ranks(message));
  }

  // Files that are whole, but hold nonsense.
  unsigned int n_refused = 0, n_served = 0;
  for (const auto &[name, tensor] : good.tensors)
    for (const bool not_a_number : {true, false})
      {
        if (tensor.numel() < 2 || !tensor.is_floating_point())
          continue;
        auto damaged = good;
        if (not_a_number)
          {
            damaged.tensors[name] = tensor.clone();
            damaged.tensors[name].view({-1})[tensor.numel() / 2] = nan_value;
          }
        else
          damaged.tensors[name] =
            tensor.view({-1}).flip(0).view_as(tensor).clone();
        MPI_Barrier(MPI_COMM_WORLD);
        if (rank() == 0)
          damaged.write(model_file);
        MPI_Barrier(MPI_COMM_WORLD);

        Service<Distributed> service(MPI_COMM_WORLD, 1, folder.path);
        const auto           message = message_of([&]() { service.prepare(); });
        EXPECT_TRUE(same_on_all_ranks(message));
        if (!message.empty())
          {
            expect_sentence(message, {model_file});
            ++n_refused;
            continue;
          }
        EXPECT_FALSE(not_a_number) << name;
        ++n_served;
        Answers answers;
        service.serve(25, checker<Distributed>(service, answers));
        answers.add_up(service.groups);
        EXPECT_GT(tail(answers.n_wrong,
                       answers.n_accepted,
                       1. - service.data.gate.confidence),
                  1e-3)
          << name << ": " << answers.n_wrong << " of " << answers.n_accepted;
        EXPECT_LE(answers.largest_error_of_full, 1e3 * PoissonHost::tolerance);
        MPI_Barrier(MPI_COMM_WORLD);
        if (rank() == 0)
          std::cout << name << ": accepted " << answers.n_accepted << ", wrong "
                    << answers.n_wrong << std::endl;
      }
  EXPECT_GT(n_refused, 0u);
  EXPECT_GT(n_served, 0u);
}



TEST(AdaptiveSolver, ParametersComeFromAFile)
{
  const auto parse = [](const std::string &text) {
    ParameterHandler prm;
    AdaptiveSolverData::declare_parameters(prm);
    prm.parse_input_from_string(text);
    AdaptiveSolverData data;
    data.parse_parameters(prm, "test.prm");
    return data;
  };
  const AdaptiveSolverData defaults, data = parse("");
  EXPECT_EQ(data.n_training, defaults.n_training);
  EXPECT_EQ(data.design, defaults.design);
  EXPECT_EQ(data.n_held_out, defaults.n_held_out);
  EXPECT_EQ(data.batch_size, defaults.batch_size);
  EXPECT_EQ(data.max_failures, defaults.max_failures);
  EXPECT_EQ(data.round_size, defaults.round_size);
  EXPECT_EQ(data.time_budget, 0.);
  EXPECT_EQ(data.seed, defaults.seed);
  EXPECT_EQ(data.surrogate, "POD network");
  EXPECT_TRUE(data.train_here);
  EXPECT_FALSE(data.active);
  EXPECT_EQ(data.gate.tolerance, defaults.gate.tolerance);
  EXPECT_EQ(data.source, "test.prm");
  EXPECT_EQ(data.gate.source, "test.prm");

  const auto other =
    parse("set Training solves = 10\n"
          "set Design = scrambled Sobol\n"
          "set Held-out solves = 50\n"
          "set Snapshots per file = 5\n"
          "set Failed solves = 0.25\n"
          "set Time budget = 60\n"
          "set Round size = 7\n"
          "set Seed = 12\n"
          "set Train = elsewhere\n"
          "subsection Trust\n"
          "  set Tolerance = 0.02\n"
          "end\n"
          "subsection Active learning\n"
          "  set Choose inputs = true\n"
          "  set Acquisition = core set\n"
          "  set Acquisition parameters = {\"cost power\": 1}\n"
          "  set Round size = 3\n"
          "  set Cost = iterations\n"
          "  set Candidates from = table\n"
          "  set Table = candidates.txt\n"
          "  set Threshold = -2.5e-3\n"
          "end\n"
          "subsection Surrogate\n"
          "  subsection POD network\n"
          "    set Width = 8\n"
          "    set Learning rate = 0.01\n"
          "    set POD tolerance = 1e-3\n"
          "  end\n"
          "end\n");
  EXPECT_EQ(other.n_training, 10u);
  EXPECT_EQ(other.design, "scrambled Sobol");
  // What there is to choose from is in the file's own documentation.
  ParameterHandler documented;
  AdaptiveSolverData::declare_parameters(documented);
  std::ostringstream documentation;
  documented.print_parameters(documentation, ParameterHandler::JSON);
  for (const auto &[name, entry] : DesignRegistry::entries())
    EXPECT_NE(documentation.str().find(name + ": " + entry.documentation),
              std::string::npos);
  EXPECT_EQ(other.n_held_out, 50u);
  EXPECT_EQ(other.batch_size, 5u);
  EXPECT_EQ(other.max_failures, 0.25);
  EXPECT_EQ(other.time_budget, 60.);
  EXPECT_EQ(other.round_size, 7u);
  EXPECT_EQ(other.seed, 12u);
  EXPECT_FALSE(other.train_here);
  EXPECT_EQ(other.gate.tolerance, 0.02);
  EXPECT_TRUE(other.active);
  EXPECT_EQ(other.active_parameters["acquisition"], "core set");
  EXPECT_EQ(other.active_parameters["acquisition parameters"]["cost power"], 1);
  EXPECT_EQ(other.active_parameters["round size"], 3);
  EXPECT_EQ(other.active_cost, "iterations");
  EXPECT_EQ(other.active_candidates, "table");
  EXPECT_EQ(other.active_table, "candidates.txt");
  EXPECT_EQ(other.active_threshold, -2.5e-3);
  EXPECT_TRUE(std::isnan(data.active_threshold));
  EXPECT_EQ(other.surrogate_parameters["width"], 8);
  EXPECT_EQ(other.surrogate_parameters["learning rate"], 0.01);
  EXPECT_EQ(other.surrogate_parameters["POD tolerance"], 1e-3);
  EXPECT_EQ(other.surrogate_parameters["depth"],
            data.surrogate_parameters["depth"]);

  // Names, and objects as in JSON.
  const std::string to_operator = "subsection Surrogate\n"
                                  "  set Type = neural operator\n"
                                  "  subsection neural operator\n";
  EXPECT_EQ(parse(to_operator + "end\nend").surrogate_parameters["uncertainty"],
            "cross-fitted");
  const auto by_ensemble =
    parse(to_operator + "    set Uncertainty            = energy score\n"
                        "    set Uncertainty parameters = {\"members\": 4}\n"
                        "  end\n"
                        "end\n")
      .surrogate_parameters;
  EXPECT_EQ(by_ensemble["uncertainty"], "energy score");
  EXPECT_EQ(by_ensemble["uncertainty parameters"]["members"], 4);

  const auto refused = [&](const std::string              &text,
                           const std::vector<std::string> &parts) {
    EXPECT_THROW(parse(text), InputError) << text;
    expect_sentence(message_of([&]() { parse(text); }), parts);
  };
  refused("set Design = Halton",
          {"test.prm",
           "Design is 'Halton'",
           "Latin hypercube, Monte Carlo, scrambled Sobol"});
  refused("set Training solves = 1",
          {"test.prm", "Training solves is '1'", "valid is an integer from 2"});
  refused("set Held-out solves = 0", {"test.prm", "Held-out solves is '0'"});
  refused("set Snapshots per file = 0", {"Snapshots per file is '0'"});
  refused("set Round size = -3", {"Round size is '-3'"});
  refused("set Train = there", {"test.prm", "Train is 'there'", "elsewhere"});
  refused("set Seed = -1", {"Seed is '-1'"});
  refused("set Failed solves = 1.5",
          {"test.prm", "Failed solves is '1.5'", "a number from 0 to 1"});
  refused("set Time budget = -1", {"test.prm", "Time budget is '-1'"});
  const std::string choices = "subsection Active learning\n";
  refused(choices + "set Threshold = high\nend",
          {"test.prm", "Active learning/Threshold is 'high'", "finite"});
  refused(choices + "set Candidates from = table\nend",
          {"test.prm", "Active learning/Table is ''", "name of a file"});
  refused(choices + "set Candidates from = lake\nend",
          {"test.prm", "'lake'", "pool, stream, table"});
  refused("subsection Trust\nset Confidence = 1\nend",
          {"test.prm", "Confidence is '1'", "above 0 and below 1"});
  refused("subsection Surrogate\nset Type = oracle\nend",
          {"test.prm", "Type", "'oracle'", "POD network"});
  refused(to_operator + "set Uncertainty parameters = 4\nend\nend",
          {"test.prm", "uncertainty parameters", "'4'"});
  refused("subsection Surrogate\nsubsection POD network\nset Width = 0\n"
          "end\nend",
          {"test.prm", "width", "'0'", "an integer from 1 to 4096"});
  refused("subsection Surrogate\nsubsection POD network\nset Width = wide\n"
          "end\nend",
          {"test.prm", "width", "wide"});
}



// A model trained here, or by neuraldeal-train, starts one-line solvers as
// well.
TEST(AdaptiveSolver, ItsModelPredictsForASurrogateSolver)
{
  const ScratchFolder  folder;
  Service<Distributed> service(MPI_COMM_WORLD, n_ranks(), folder.path);
  service.data.surrogate            = "POD kernel regression";
  service.data.surrogate_parameters = nlohmann::json::object();
  service.prepare();
  const auto &layout    = service.host.layout;
  const auto  file      = folder / "model.safetensors";
  const auto  surrogate = load_surrogate(file, layout);

  const Input       input = service.query(0);
  const Distributed truth = service.truth(input);
  Distributed       x, expected;
  service.model.reinit_vector(x);
  expected.reinit(x);
  const auto predictor = make_predictor<Distributed>(
    *surrogate, layout, input, service.model.coarse_solve);
  predictor(x);
  service.solver->predict(input, expected);
  EXPECT_LE(service.distance(x, expected), 1e-12);
  EXPECT_LT(service.distance(x, truth), 0.02);

  // The inverse of the Laplacian will do as the matrix of a system.
  struct Inverse
  {
    Service<Distributed> &service;
    void
    vmult(Distributed &dst, const Distributed &src) const
    {
      service.host.fine.riesz_solve(src, dst);
    }
  };
  struct Identity
  {
    void
    vmult(Distributed &dst, const Distributed &src) const
    {
      dst = src;
    }
  };
  const Inverse matrix{service};
  Distributed   b(truth);
  matrix.vmult(b, truth);
  unsigned int n_steps[2];
  for (const bool with_model : {false, true})
    {
      SolverControl                control(100, 1e-2 * b.l2_norm());
      SurrogateSolver<Distributed> solver(
        control,
        SurrogateSolver<Distributed>::AdditionalData(
          "cg",
          std::make_shared<SolutionBasis<Distributed>>(),
          with_model ? predictor : nullptr));
      x = 0.;
      solver.solve(matrix, x, b, Identity());
      EXPECT_EQ(control.last_check(), SolverControl::success);
      EXPECT_TRUE(solver.last_report().failed_prediction.empty());
      n_steps[with_model] = control.last_step();
    }
  EXPECT_GT(n_steps[0], 0u);
  EXPECT_LT(n_steps[1], n_steps[0]);

  // A coarse solve that fails on one rank is no prediction on any.
  const auto failing = make_predictor<Distributed>(
    *surrogate, layout, input, [&](const Input &, Distributed &) {
      if (service.is_last_of_group())
        throw std::runtime_error("too coarse");
    });
  EXPECT_EQ(message_of([&]() { failing(x); }), "too coarse");

  // Another mesh, and another name.
  const PoissonHost::Host<Distributed> other(service.groups.group(), 4, 2);
  expect_sentence(message_of([&]() { load_surrogate(file, other.layout); }),
                  {file,
                   "its fields have " + std::to_string(layout.n_values()),
                   std::to_string(other.layout.n_values())});
  auto model                          = ModelFile::read(file);
  model.metadata["surrogate"]["type"] = "oracle";
  const auto nameless                 = folder / "nameless.safetensors";
  service.groups.on_root([&]() { model.write(nameless); });
  expect_sentence(message_of([&]() { load_surrogate(nameless, layout); }),
                  {nameless, "'oracle'", "POD kernel regression"});
}



// The last one: what is loaded stays.
TEST(AdaptiveSolver, SurrogatesComeFromSharedLibraries)
{
  const auto parse = [](const std::string &text) {
    ParameterHandler prm;
    AdaptiveSolverData::declare_parameters(prm, "test.prm");
    prm.parse_input_from_string(text);
    AdaptiveSolverData data;
    data.parse_parameters(prm, "test.prm");
    return data;
  };
  const std::string entry = "set Additional shared libraries = ",
                    users = "subsection Surrogate\n"
                            "  set Type = user's surrogate\n";
  expect_sentence(message_of([&]() { parse(users + "end\n"); }),
                  {"test.prm: Surrogate/Type is 'user's surrogate'",
                   "POD kernel regression"});
  expect_sentence(message_of([&]() { parse(entry + "./nowhere.so"); }),
                  {"test.prm: Additional shared libraries is './nowhere.so'",
                   "No such file"});

  const auto data = parse(entry + USER_SURROGATE "\n" + users +
                          "  subsection user's surrogate\n"
                          "    set Maximal modes = 2\n"
                          "  end\n"
                          "end\n");
  EXPECT_EQ(data.shared_libraries, std::vector<std::string>{USER_SURROGATE});
  EXPECT_EQ(data.surrogate, "user's surrogate");
  EXPECT_EQ(data.surrogate_parameters["maximal modes"], 2);

  // It trains, and what neuraldeal-train is told names the library.
  const ScratchFolder  folder;
  Service<Distributed> service(MPI_COMM_WORLD, 1, folder.path);
  service.data.shared_libraries     = data.shared_libraries;
  service.data.surrogate            = data.surrogate;
  service.data.surrogate_parameters = data.surrogate_parameters;
  service.prepare();
  EXPECT_EQ(service.solver->surrogate().n_snapshots(), 72);
  const auto task = TrainingTask::read(folder / "training.json");
  ASSERT_EQ(task.libraries.size(), 1u);
  EXPECT_TRUE(std::filesystem::equivalent(task.libraries[0], USER_SURROGATE));
  EXPECT_EQ(
    ModelFile::read(folder / "model.safetensors").tensor("modes").size(1), 2);
}
