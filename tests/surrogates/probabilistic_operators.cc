// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/uncertainty/monte_carlo_dropout.h>
#include <neuraldeal/surrogates/uncertainty/operator_ensemble.h>
#include <torch/utils.h>

#include <cmath>

#include "small_tasks.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const nlohmann::json none = nlohmann::json::object();

  /** Without the average of weights, in small batches. */
  ProbabilisticOperator::Task
  make_plain_task(const OperatorData &data, const long epochs)
  {
    auto task               = make_task(data, epochs);
    task.options.batch_size = 8;
    task.options.average    = 0;
    return task;
  }

  double
  number(const torch::Tensor &value)
  {
    return value.item<double>();
  }

  /** Mean over samples of the norm of the standard deviation. */
  double
  spread(const FieldDistribution &distribution)
  {
    return number(
      distribution.pointwise_variance().flatten(1).mean(1).sqrt().mean());
  }



  TEST(FieldDistribution, OfSamples)
  {
    const auto samples      = random_normal({6, 2, 1, 5}, 60);
    const auto distribution = FieldDistribution::of_samples(samples);
    EXPECT_LT(distance(distribution.mean, samples.mean(0)), 1e-14);
    EXPECT_LT(distance(distribution.pointwise_variance(), samples.var(0)),
              1e-14);
    for (long i = 0; i < 2; ++i)
      {
        const auto F = distribution.factor[i].flatten(0, 1);
        const auto X = (samples - samples.mean(0)).select(1, i).flatten(1);
        EXPECT_LT(distance(torch::mm(F, F.t()), torch::mm(X.t(), X) / 5.),
                  1e-14);
      }
    expect_sentence(message_of<InputError>([&]() {
                      FieldDistribution::of_samples(samples.slice(0, 0, 1));
                    }),
                    {"samples", "1", "two or more"});

    // What points have by themselves comes on top.
    auto with_own     = distribution;
    with_own.variance = torch::full({2, 1, 5}, 0.3, torch::kFloat64);
    EXPECT_LT(distance(with_own.pointwise_variance(), samples.var(0) + 0.3),
              1e-14);
    with_own.factor = torch::Tensor();
    EXPECT_LT(distance(with_own.pointwise_variance(), with_own.variance),
              1e-14);
    with_own.variance = torch::Tensor();
    const auto flat   = with_own.flattened();
    EXPECT_EQ(flat.factor.sizes(), (std::vector<std::int64_t>{2, 5, 0}));
    EXPECT_EQ(flat.variance.sizes(), (std::vector<std::int64_t>{2, 5}));
    EXPECT_LT(distance(distribution.flattened().pointwise_variance(),
                       samples.var(0).flatten(1)),
              1e-14);
    EXPECT_EQ(number(with_own.pointwise_variance().abs().max()), 0.);
  }



  TEST(OperatorEnsemble, OneLearnsAsIfItWereAlone)
  {
    const auto data = periodic_problems(16, 16, 81);
    const auto norm = mean_square();
    const auto loss = std::make_shared<RelativeNorm>(norm);
    auto       task = make_plain_task(data, 8);

    auto of_several       = task.parameters;
    of_several["members"] = 3;
    const auto several =
      train_operator(task,
                     of_several,
                     std::make_shared<EnsembleLoss>(loss, norm),
                     task.options.seed);
    // The second of three, with the weights that they have at the start.
    OperatorModel start("Fourier", task.shape, of_several, false, "test", 1);
    const auto    alone = std::make_shared<OperatorModel>(
      "Fourier", task.shape, task.parameters, false, "test", 1);
    {
      const torch::NoGradGuard no_gradients;
      const auto               of_all = start.named_parameters();
      for (auto &item : alone->named_parameters())
        {
          const auto all = of_all[item.key()];
          item.value().copy_(all.dim() == item.value().dim() ?
                               all.chunk(3)[1] :
                               all.select(all.dim() == 3 ? 0 : -4, 1));
        }
    }
    alone->to(torch::kFloat64);
    alone->set_scales(data);
    auto options = task.options;
    options.seed = 1;
    Trainer(alone, data, {}, loss, {}, options).run(false);

    const auto answers = several->forward(data).detach();
    EXPECT_LT(distance(answers[1], alone->forward(data).detach()), 1e-4);
    EXPECT_GT(distance(answers[0], answers[1]), 1e-2);
    EXPECT_GT(distance(answers[1], start.forward(data.to(torch::kFloat32))[1]),
              1e-2);
  }



  TEST(OperatorEnsemble, SpreadGrowsAwayFromTheData)
  {
    const auto data  = periodic_problems(32, 16, 81),
               fresh = periodic_problems(32, 16, 82);
    auto far         = fresh;
    far.input.fields = 8. * fresh.input.fields;
    for (const std::string name :
         {"deep ensemble", "multi-head ensemble", "energy score"})
      {
        const auto method =
          make_probabilistic_operator(name, {{"members", 4}}, "test");
        method->fit(make_plain_task(data, 60));
        const auto inside = method->predict(fresh);
        EXPECT_EQ(inside.mean.sizes(), fresh.target.sizes());
        EXPECT_EQ(inside.factor.size(-1), 4);
        EXPECT_LT(number((inside.mean - fresh.target).norm() /
                         fresh.target.norm()),
                  0.3)
          << name;
        // Relative to what is predicted, and where the spread is the distance
        // of networks and not the noise that they have seen.
        if (name != "energy score")
          {
            EXPECT_GT(spread(method->predict(far)) / 8., 1.5 * spread(inside))
              << name;
          }

        ModelFile file;
        method->save(file);
        const auto copy =
          make_probabilistic_operator(name, {{"members", 4}}, "test");
        copy->load(file);
        EXPECT_TRUE(torch::equal(copy->predict(fresh).factor, inside.factor));
        const auto other = make_probabilistic_operator("dropout", none, "test");
        expect_sentence(message_of<FileError>([&]() { other->load(file); }),
                        {"dropout"});
      }
  }



  // Targets are (4 + ξ) sin 2πx with ξ ~ N(0, 1), all of one input: members
  // are samples of that, or all of them its mean.
  TEST(OperatorEnsemble, EnergyScoresLearnDistributions)
  {
    const long n      = 256;
    auto       data   = periodic_problems(n, 16, 81);
    const auto x      = torch::arange(16, torch::kFloat64) * (2. * M_PI / 16.);
    data.input.fields = x.cos().expand({n, 1, 16});
    data.target =
      (4. + random_normal({n, 1, 1}, 83)) * x.sin().reshape({1, 1, 16});
    const auto of = [&](const std::string &name) {
      const auto method =
        make_probabilistic_operator(name, {{"members", 6}}, "test");
      method->fit(make_plain_task(data, 20));
      return spread(method->predict(data.slice(0, 1)));
    };
    const double expected = std::sqrt(0.5); // of sin² in the mean
    EXPECT_NEAR(of("energy score"), expected, 0.3 * expected);
    EXPECT_LT(of("deep ensemble"), 0.2 * expected);
  }



  // Operators without members are trained one after another.
  TEST(OperatorEnsemble, OfOtherOperators)
  {
    auto task       = make_plain_task(periodic_problems(8, 16, 81), 2);
    task.type       = "latent ODE";
    task.parameters = {{"sensors", 16}, {"width", 8}, {"basis", 4}};
    const auto ensemble =
      make_probabilistic_operator("deep ensemble", {{"members", 3}}, "test");
    ensemble->fit(task);
    const auto said = ensemble->predict(task.training);
    EXPECT_EQ(said.factor.size(-1), 3);
    EXPECT_GT(spread(said), 1e-6);
    ModelFile file;
    ensemble->save(file);
    ensemble->load(file);
    EXPECT_TRUE(
      torch::equal(ensemble->predict(task.training).factor, said.factor));

    const auto heads =
      make_probabilistic_operator("multi-head ensemble", none, "test");
    expect_sentence(message_of<InputError>([&]() { heads->fit(task); }),
                    {"test", "multi-head ensemble", "latent ODE", "Fourier"});
  }



  TEST(MonteCarloDropout, TheSameInputGetsTheSameAnswer)
  {
    const auto data = periodic_problems(32, 16, 81);
    const auto method =
      make_probabilistic_operator("dropout",
                                  {{"dropout", 0.1}, {"samples", 40}},
                                  "test");
    method->fit(make_plain_task(data, 30));
    torch::manual_seed(5);
    const auto first = method->predict(data);
    EXPECT_TRUE(torch::equal(first.factor, method->predict(data).factor));
    // whatever else is asked
    EXPECT_TRUE(torch::equal(first.factor.slice(0, 7, 9),
                             method->predict(data.slice(7, 9)).factor));
    EXPECT_GT(spread(first), 1e-3);
    EXPECT_LT(number((first.mean - data.target).norm() / data.target.norm()),
              0.4);
    // and nobody else's random numbers change.
    const auto drawn = torch::rand({3});
    torch::manual_seed(5);
    EXPECT_TRUE(torch::equal(torch::rand({3}), drawn));

    ModelFile file;
    method->save(file);
    const auto copy =
      make_probabilistic_operator("dropout", {{"samples", 40}}, "test");
    copy->load(file);
    EXPECT_TRUE(torch::equal(copy->predict(data).factor, first.factor));

    auto task       = make_plain_task(data, 1);
    task.type       = "DeepONet";
    task.parameters = {{"sensors", 16}};
    expect_sentence(message_of<InputError>([&]() { method->fit(task); }),
                    {"test", "dropout"});
  }



  TEST(LaplaceOperator, IsOneOperatorWithItsVariance)
  {
    const auto data  = periodic_problems(24, 16, 81),
               fresh = periodic_problems(6, 16, 82);
    const auto task  = make_plain_task(data, 40);
    const auto alone = train_operator(task,
                                      task.parameters,
                                      std::make_shared<RelativeNorm>(task.norm),
                                      task.options.seed);
    for (const std::string name : {"last layer", "Laplace"})
      {
        const nlohmann::json parameters = {{"covariance rank", 4}};
        const auto           method =
          make_probabilistic_operator(name, parameters, "test");
        method->fit(task);
        const auto said = method->predict(fresh);
        EXPECT_LT(distance(said.mean, alone->forward(fresh).detach()), 1e-12);
        EXPECT_EQ(said.factor.sizes(),
                  (std::vector<std::int64_t>{6, 1, 16, 4}));

        // As much in all, however much of it is in common.
        const auto variances =
          make_probabilistic_operator(name, {{"covariance rank", 0}}, "test");
        variances->fit(task);
        const auto without = variances->predict(fresh);
        EXPECT_FALSE(without.factor.defined());
        EXPECT_LT(distance(without.variance, said.pointwise_variance()),
                  1e-6 * number(without.variance.max()));
        EXPECT_GT(number(without.variance.min()), 0.);

        ModelFile file;
        method->save(file);
        const auto copy = make_probabilistic_operator(name, parameters, "test");
        copy->load(file);
        EXPECT_LT(distance(copy->predict(fresh).variance, said.variance),
                  1e-12);
        const auto other = make_probabilistic_operator("dropout", none, "test");
        expect_sentence(message_of<FileError>([&]() { other->load(file); }),
                        {"dropout"});
      }
  }



  TEST(ProbabilisticOperators, WrongNamesAreExplained)
  {
    expect_sentence(message_of<InputError>([]() {
                      make_probabilistic_operator("ensemble", none, "run.json");
                    }),
                    {"run.json", "ensemble", "deep ensemble", "dropout"});
    expect_sentence(
      message_of<InputError>([]() {
        make_probabilistic_operator("dropout", {{"dropout", 2.}}, "run.json");
      }),
      {"run.json", "dropout", "2"});
  }
} // namespace
