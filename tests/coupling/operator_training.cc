// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/mpi_tools.h>
// Headers of LibTorch once more (see torch_interface.h).
#pragma push_macro("Assert")
#undef Assert
#include "../surrogates/analytic_family.h"
#include "../surrogates/small_tasks.h"
#pragma pop_macro("Assert")

#include "test_tools.h"

using namespace neuraldeal;
using TestTools::message_of;
using TestTools::n_ranks;
using TestTools::rank;

namespace
{
  /** A loss that counts the samples that it has seen on this rank. */
  class CountingLoss : public Loss
  {
  public:
    mutable long samples = 0;
    bool         fails   = false;

  private:
    torch::Tensor
    compute(const torch::Tensor &prediction,
            const torch::Tensor &target,
            const torch::Tensor &) const override
    {
      if (fails)
        throw std::runtime_error("rank " + std::to_string(rank()) +
                                 " has lost its patience");
      samples += target.size(0);
      return (prediction - target).square().mean();
    }
  };

  constexpr long n_samples = 32, epochs = 2;

  ProbabilisticOperator::Task
  shared_task()
  {
    auto task =
      tests::make_task(tests::periodic_problems(n_samples, 12, 90), epochs);
    task.communicator = mpi_communicator(MPI_COMM_WORLD);
    return task;
  }

  std::vector<double>
  weights_of(const std::vector<std::shared_ptr<OperatorModel>> &models)
  {
    std::vector<double> result;
    for (const auto &model : models)
      for (const auto &weights : tests::weights_of(*model))
        {
          const auto values = weights.contiguous();
          result.insert(result.end(),
                        values.data_ptr<double>(),
                        values.data_ptr<double>() + values.numel());
        }
    return result;
  }
} // namespace



// Each operator is trained on one rank, and all have all of them in the end,
// bit for bit those of a process by itself.
TEST(OperatorTraining, OperatorsAreSharedOut)
{
  constexpr long n      = 5;
  auto           task   = shared_task();
  const auto     loss   = std::make_shared<CountingLoss>();
  const auto     models = train_operators(task, task.parameters, loss, n);
  ASSERT_EQ(models.size(), std::size_t(n));
  long mine = 0;
  for (long i = 0; i < n; ++i)
    mine += (i % long(n_ranks()) == long(rank()));
  EXPECT_EQ(loss->samples, mine * epochs * n_samples);
  for (const auto &model : models)
    EXPECT_FALSE(model->is_training());

  task.communicator = Communicator();
  const auto alone  = train_operators(task, task.parameters, loss, n);
  EXPECT_EQ(weights_of(models), weights_of(alone));
  EXPECT_NE(weights_of({alone[0]}), weights_of({alone[1]}));
  EXPECT_EQ(weights_of({alone[1]}),
            weights_of({train_operator(
              task, task.parameters, loss, task.options.seed + 1)}));
}



// With a part of each batch on every rank.
TEST(OperatorTraining, OperatorsAreTrainedTogether)
{
  auto task          = shared_task();
  task.data_parallel = true;
  const auto loss    = std::make_shared<CountingLoss>();
  const auto models  = train_operators(task, task.parameters, loss, 2);
  const auto seen    = TestTools::all_gather(loss->samples);
  long       total   = 0;
  for (const long samples : seen)
    {
      EXPECT_GT(samples, 0);
      total += samples;
    }
  EXPECT_EQ(total, 2 * epochs * n_samples);
  const auto together = weights_of(models);
  EXPECT_TRUE(TestTools::same_on_all_ranks(together));

  task.communicator = Communicator();
  const auto alone =
    weights_of(train_operators(task, task.parameters, loss, 2));
  ASSERT_EQ(together.size(), alone.size());
  for (std::size_t i = 0; i < alone.size(); ++i)
    ASSERT_NEAR(together[i], alone[i], 1e-9);
}



TEST(OperatorTraining, MethodsAreTheSameOnAnyNumberOfRanks)
{
  const auto fresh = tests::periodic_problems(4, 12, 91);
  for (const std::string name : {"deep ensemble", "cross-fitted"})
    {
      nlohmann::json parameters = {{"members", 3}};
      if (name == "cross-fitted")
        parameters["folds"] = 3;
      const auto predict = [&](const bool shared) {
        auto task = shared_task();
        if (!shared)
          task.communicator = Communicator();
        const auto method =
          make_probabilistic_operator(name, parameters, "test");
        method->fit(task);
        const auto said = method->predict(fresh);
        return torch::stack({said.mean, said.pointwise_variance()});
      };
      EXPECT_TRUE(torch::equal(predict(true), predict(false))) << name;
    }
}



// The whole way of a surrogate, by every method.
TEST(OperatorTraining, SurrogatesAreTheSameOnAnyNumberOfRanks)
{
  const tests::AnalyticFamily family;
  const auto data = family.draw(16, 1), fresh = family.draw(5, 3);
  register_probabilistic_operators();
  for (const auto &[name, entry] : ProbabilisticOperatorRegistry::entries())
    {
      nlohmann::json few = nlohmann::json::object();
      for (const auto &parameter : entry.parameters)
        if (parameter.name == "members" || parameter.name == "folds")
          few[parameter.name] = 3;
        else if (parameter.name == "samples" || parameter.name == "steps")
          few[parameter.name] = 8;
      const nlohmann::json parameters = {
        {"operator", "Fourier"},
        {"operator parameters",
         {{"width", 4}, {"layers", 1}, {"modes", 3}, {"padding", 0.25}}},
        {"training", {{"epochs", 1}, {"batch size", 16}}},
        {"uncertainty", name},
        {"uncertainty parameters", few},
        {"training share", 0.6},
        {"device", "cpu"},
        {"prior modes", 8}};
      const auto fit = [&](const Communicator &communicator) {
        auto surrogate = make_surrogate("neural operator",
                                        family.ranges(),
                                        parameters,
                                        "test");
        surrogate->fit(SnapshotsInMemory(data), family.space, communicator);
        ModelFile file;
        surrogate->save(file);
        return std::make_pair(file, surrogate->predict(fresh));
      };
      const auto [file, said]        = fit(mpi_communicator(MPI_COMM_WORLD));
      const auto [alone, alone_said] = fit(Communicator());
      EXPECT_EQ(file.metadata, alone.metadata) << name;
      ASSERT_EQ(file.tensors.size(), alone.tensors.size()) << name;
      for (const auto &[key, tensor] : alone.tensors)
        EXPECT_TRUE(torch::equal(file.tensor(key), tensor))
          << name << ", " << key;
      EXPECT_TRUE(torch::equal(said.mean, alone_said.mean)) << name;
      EXPECT_TRUE(torch::equal(said.scale, alone_said.scale)) << name;
    }
}



// What fails on one rank ends the training on all, whoever waits for it.
TEST(OperatorTraining, FailuresReachAllRanks)
{
  const auto task = shared_task();
  const auto loss = std::make_shared<CountingLoss>();
  loss->fails     = (rank() + 1 == n_ranks());
  EXPECT_EQ(message_of([&]() {
              train_operators(task, task.parameters, loss, n_ranks() + 1);
            }),
            "rank " + std::to_string(n_ranks() - 1) + " has lost its patience");
}
