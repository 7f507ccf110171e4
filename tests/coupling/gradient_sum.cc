// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/mpi_tools.h>
// Headers of LibTorch once more (see torch_interface.h).
#pragma push_macro("Assert")
#undef Assert
#include "../surrogates/small_trainings.h"
#pragma pop_macro("Assert")

#include "test_tools.h"

using namespace neuraldeal;
using TestTools::message_of;
using TestTools::n_ranks;
using TestTools::rank;

namespace
{
  /** Weights, all in one, and how the last gradient was added up. */
  struct Trained
  {
    torch::Tensor           weights;
    GradientSum::Statistics statistics;
  };

  Trained
  train(const OperatorData        &data,
        const Trainer::Parameters &parameters,
        const Communicator        &communicator)
  {
    const auto model = tests::make_model(data);
    Trainer    trainer(model,
                    data,
                    OperatorData(),
                    tests::relative_l2(),
                    torch::Tensor(),
                    parameters,
                    communicator);
    trainer.run(false);
    std::vector<torch::Tensor> parts;
    for (const auto &weight : tests::weights_of(*model))
      parts.push_back(weight.flatten());
    return {torch::cat(parts), trainer.sum_statistics()};
  }

  /** Whether all ranks have the same, bit for bit. */
  bool
  same_bits_everywhere(const torch::Tensor &tensor)
  {
    const std::vector<double> values(tensor.data_ptr<double>(),
                                     tensor.data_ptr<double>() +
                                       tensor.numel());
    return TestTools::same_on_all_ranks(values);
  }
} // namespace



TEST(MPITools, SumsThatAreStarted)
{
  const auto everybody = mpi_communicator(MPI_COMM_WORLD);
  EXPECT_EQ(bool(everybody.start_sum), n_ranks() > 1);
  if (n_ranks() == 1)
    return;
  const double               factor = n_ranks() * (n_ranks() + 1) / 2;
  std::vector<torch::Tensor> tensors;
  std::vector<std::unique_ptr<Communicator::PendingSum>> pending;
  // Several at once: small ones, large ones, empty ones.
  for (const auto type : {torch::kFloat64, torch::kFloat32})
    for (const long n : {1, 0, 1000, 200000})
      {
        tensors.push_back(torch::arange(n, type).remainder(7.) *
                          double(rank() + 1));
        pending.push_back(everybody.start_sum(tensors.back()));
      }
  // By asking alone they end as well.
  while (!pending[0]->test())
    {}
  for (std::size_t i = 0; i < tensors.size(); ++i)
    {
      pending[i]->wait();
      EXPECT_TRUE(pending[i]->test());
      EXPECT_TRUE(
        torch::equal(tensors[i],
                     torch::arange(tensors[i].numel(), tensors[i].scalar_type())
                         .remainder(7.) *
                       factor));
    }
  EXPECT_NE(message_of(
              [&]() { everybody.start_sum(torch::zeros({2}, torch::kInt64)); }),
            "");
}



TEST(MPITools, FirstMessageBySums)
{
  const auto everybody = mpi_communicator(MPI_COMM_WORLD);
  EXPECT_EQ(first_message("", everybody), "");
  EXPECT_EQ(first_message("from " + std::to_string(rank()), everybody),
            "from 0");
  const bool last = (rank() + 1 == n_ranks());
  EXPECT_EQ(first_message(last ? "the last, µ" : "", everybody), "the last, µ");
}



TEST(Trainer, IsTheSameOnAnyNumberOfRanks)
{
  const auto data       = tests::periodic_problems(20, 12, 90);
  auto       parameters = tests::few_epochs();
  parameters.epochs     = 4;
  const auto alone      = train(data, parameters, Communicator());
  const auto everybody  = mpi_communicator(MPI_COMM_WORLD);
  const auto early      = train(data, parameters, everybody);
  EXPECT_LT((early.weights - alone.weights).abs().max().item<double>(), 1e-9);
  EXPECT_TRUE(same_bits_everywhere(early.weights));
  if (n_ranks() == 1)
    return;

  // Several sums, all but the first layer's started in the backward pass.
  EXPECT_GE(early.statistics.buckets, 3);
  EXPECT_GE(early.statistics.early, early.statistics.buckets - 1);

  auto late_parameters    = parameters;
  late_parameters.overlap = false;
  const auto late         = train(data, late_parameters, everybody);
  EXPECT_EQ(late.statistics.early, 0);
  EXPECT_TRUE(torch::equal(early.weights, late.weights));

  // By MPI_Allreduce, which may add in another order where there are more.
  auto blocking      = everybody;
  blocking.start_sum = {};
  const auto other   = train(data, parameters, blocking);
  EXPECT_TRUE(same_bits_everywhere(other.weights));
  EXPECT_LT((early.weights - other.weights).abs().max().item<double>(), 1e-9);
  if (n_ranks() == 2)
    {
      EXPECT_TRUE(torch::equal(early.weights, other.weights));
    }
}



// One sample a batch: all ranks but one have nothing to do.
TEST(Trainer, RanksWithoutSamples)
{
  const auto data       = tests::periodic_problems(4, 12, 91);
  auto       parameters = tests::few_epochs();
  parameters.epochs     = 2;
  parameters.batch_size = 1;
  const auto alone      = train(data, parameters, Communicator());
  const auto together =
    train(data, parameters, mpi_communicator(MPI_COMM_WORLD));
  EXPECT_LT((together.weights - alone.weights).abs().max().item<double>(),
            1e-9);
  EXPECT_TRUE(same_bits_everywhere(together.weights));
}



TEST(Trainer, FailsOnAllRanksTogether)
{
  const auto everybody = mpi_communicator(MPI_COMM_WORLD);
  // The last rank has a target that no loss accepts.
  auto data = tests::periodic_problems(8, 12, 92);
  if (rank() + 1 == n_ranks())
    data.target = data.target.slice(2, 0, 5);
  const auto message =
    message_of([&]() { train(data, tests::few_epochs(), everybody); });
  EXPECT_NE(message.find("the shape of a prediction"), std::string::npos)
    << message;
  // They are as good as new.
  auto one = torch::ones({1}, torch::kFloat64);
  everybody.sum(one);
  EXPECT_EQ(one.item<double>(), n_ranks());
}
