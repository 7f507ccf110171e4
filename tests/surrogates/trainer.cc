// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/training/trainer.h>
#include <torch/autograd.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include <cmath>

#include "solution_operators.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const nlohmann::json small = {{"width", 8},
                                {"layers", 2},
                                {"modes", 4},
                                {"padding", 0.},
                                {"mixing layers", false}};

  std::shared_ptr<OperatorModel>
  make_model(const OperatorData &data, const std::uint64_t seed = 7)
  {
    auto model = std::make_shared<OperatorModel>(
      "Fourier", OperatorShape{1, 1, 1}, small, false, "test", seed);
    model->set_scales(data);
    model->to(torch::kFloat64);
    return model;
  }

  std::shared_ptr<const Loss>
  relative_l2()
  {
    return make_loss("relative L2", nlohmann::json::object(), "test", {});
  }

  Trainer::Parameters
  few_epochs()
  {
    Trainer::Parameters parameters;
    parameters.epochs        = 6;
    parameters.batch_size    = 8;
    parameters.learning_rate = 5e-3;
    parameters.average       = 0.9;
    return parameters;
  }

  std::vector<torch::Tensor>
  weights_of(OperatorModel &model)
  {
    std::vector<torch::Tensor> result;
    for (const auto &parameter : model.parameters())
      result.push_back(parameter.detach().clone());
    return result;
  }

  bool
  equal(const std::vector<torch::Tensor> &a,
        const std::vector<torch::Tensor> &b)
  {
    bool result = a.size() == b.size();
    for (std::size_t i = 0; i < a.size() && result; ++i)
      result = torch::equal(a[i], b[i]);
    return result;
  }



  TEST(ParameterVector, ParametersAreViews)
  {
    const auto            data          = periodic_problems(4, 12, 51);
    const auto            model         = make_model(data);
    const auto            before        = weights_of(*model);
    const auto            values_before = model->forward(data).detach();
    const ParameterVector vector(*model);
    EXPECT_TRUE(equal(before, weights_of(*model)));
    EXPECT_TRUE(torch::equal(values_before, model->forward(data)));

    long n = 0;
    for (const auto &weight : before)
      n += weight.numel();
    EXPECT_EQ(vector.n_weights(), n);
    EXPECT_EQ(vector.values().numel() % 32, 0);

    // Gradients arrive, twice where they are computed twice.
    const auto loss = [&]() {
      return (model->forward(data) - data.target).square().sum();
    };
    loss().backward();
    const auto once = vector.gradients().clone();
    EXPECT_GT(once.abs().max().item<double>(), 1e-6);
    loss().backward();
    EXPECT_LT(distance(vector.gradients(), 2. * once), 1e-12);

    // and steps are seen by the module.
    {
      const torch::NoGradGuard no_gradients;
      vector.values().sub_(1e-3 * once);
    }
    EXPECT_LT(loss().item<double>(),
              (values_before - data.target).square().sum().item<double>());
  }



  TEST(AdamW, IsThatOfTheLibrary)
  {
    const auto start  = random_normal({40}, 52);
    const auto matrix = random_normal({60, 40}, 53);
    const auto right  = random_normal({60}, 54);
    const long n      = 30;
    auto       rates  = torch::empty({n}, torch::kFloat64);
    for (long i = 0; i < n; ++i)
      rates[i] = 1e-2 / (1. + i);

    auto                reference = start.clone().requires_grad_(true);
    torch::optim::AdamW library(
      {reference}, torch::optim::AdamWOptions(1e-2).weight_decay(0.1));
    const auto     values = start.clone();
    AdamW::Options options;
    options.weight_decay = 0.1;
    AdamW ours(values, rates, options);
    for (long i = 0; i < n; ++i)
      {
        static_cast<torch::optim::AdamWOptions &>(
          library.param_groups()[0].options())
          .lr(rates[i].item<double>());
        library.zero_grad();
        (matrix.mv(reference) - right).square().sum().backward();
        library.step();
        ours.step(2. * matrix.t().mv(matrix.mv(values) - right));
      }
    EXPECT_EQ(ours.n_steps(), n);
    EXPECT_LT(distance(values, reference.detach()), 1e-12);
    EXPECT_GT(distance(values, start), 1e-2);
  }



  TEST(AdamW, ClipsAndAverages)
  {
    AdamW::Options options;
    options.weight_decay = 0.;
    options.clip         = 0.5;
    options.average      = 0.8;
    const auto values    = random_normal({10}, 55);
    auto       average   = values.clone();
    AdamW optimizer(values, torch::full({1}, 1e-2, torch::kFloat64), options);
    for (long t = 1; t <= 20; ++t)
      {
        auto       gradient = t % 2 == 0 ? random_normal({10}, 60 + t) :
                                           1e-2 * random_normal({10}, 60 + t);
        const auto before   = gradient.clone();
        optimizer.step(gradient);
        const double norm = before.norm().item<double>();
        EXPECT_LT(distance(gradient, before * std::min(1., 0.5 / norm)), 1e-15);
        const double alpha = std::min(0.8, (1. + t) / (10. + t));
        average            = alpha * average + (1. - alpha) * values;
        EXPECT_LT(distance(optimizer.averaged(), average), 1e-14);
      }
  }



  TEST(CapturedStep, CallsTheFunction)
  {
    long         calls = 0;
    CapturedStep step([&]() { ++calls; }, torch::kCPU, true);
    for (int i = 0; i < 5; ++i)
      step();
    EXPECT_EQ(calls, 5);
    EXPECT_FALSE(CapturedStep::possible(torch::kCPU));
  }



  TEST(Trainer, SeedsDecide)
  {
    const auto data    = periodic_problems(20, 12, 74);
    const auto trained = [&](const std::uint64_t seed) {
      const auto model      = make_model(data);
      auto       parameters = few_epochs();
      parameters.seed       = seed;
      Trainer(model, data, {}, relative_l2(), {}, parameters).run(false);
      return weights_of(*model);
    };
    EXPECT_TRUE(equal(trained(1), trained(1)));
    EXPECT_FALSE(equal(trained(1), trained(2)));
  }



  TEST(Trainer, GoesOnBitForBit)
  {
    const auto data           = periodic_problems(20, 12, 75),
               held_out       = periodic_problems(10, 12, 76);
    auto parameters           = few_epochs();
    parameters.check_interval = 2;
    parameters.patience       = 4;

    const auto whole = make_model(data);
    Trainer    reference(whole, data, held_out, relative_l2(), {}, parameters);
    reference.run(false);

    const TemporaryFolder folder;
    {
      const auto model = make_model(data);
      Trainer    trainer(model, data, held_out, relative_l2(), {}, parameters);
      for (int epoch = 0; epoch < 3; ++epoch)
        trainer.train_epoch();
      ModelFile file;
      trainer.save(file);
      file.write(folder / "checkpoint.safetensors");
    }
    const auto rest = make_model(data, 8); // other weights
    Trainer    trainer(rest, data, held_out, relative_l2(), {}, parameters);
    trainer.load(ModelFile::read(folder / "checkpoint.safetensors"));
    trainer.run(false);
    EXPECT_TRUE(equal(weights_of(*whole), weights_of(*rest)));
    ASSERT_EQ(trainer.history().size(), reference.history().size());
    for (std::size_t i = 0; i < trainer.history().size(); ++i)
      {
        EXPECT_EQ(trainer.history()[i].training_loss,
                  reference.history()[i].training_loss);
        EXPECT_EQ(std::isnan(trainer.history()[i].held_out_loss), i % 2 == 0);
      }

    // The checkpoint of another model is refused.
    ModelFile file = ModelFile::read(folder / "checkpoint.safetensors");
    file.tensors["training.weights"] = torch::zeros({3}, torch::kFloat64);
    expect_sentence(message_of<FileError>([&]() { trainer.load(file); }),
                    {"checkpoint.safetensors"});
  }



  // Held-out samples of another problem get worse while the training goes on.
  TEST(Trainer, StopsEarlyWithTheBestWeights)
  {
    const auto data           = periodic_problems(20, 12, 77);
    auto       held_out       = periodic_problems(10, 12, 78);
    held_out.target           = -held_out.target;
    auto parameters           = few_epochs();
    parameters.epochs         = 60;
    parameters.check_interval = 1;
    parameters.patience       = 5;
    const auto model          = make_model(data);
    Trainer    trainer(model, data, held_out, relative_l2(), {}, parameters);
    trainer.run(false);
    const auto &history = trainer.history();
    EXPECT_LT(history.size(), 60u);
    double best = history.front().held_out_loss;
    for (const auto &epoch : history)
      best = std::min(best, epoch.held_out_loss);
    const double found = relative_l2()
                           ->value(model->forward(held_out), held_out.target)
                           .item<double>();
    EXPECT_NEAR(found, best, 1e-12);
    EXPECT_LT(found, history.back().held_out_loss);
  }



  // With the reflection x ↦ −x as a symmetry, one half of the samples says
  // what the other half would.
  TEST(Trainer, SymmetriesTurnSamples)
  {
    const long s        = 12;
    const auto data     = periodic_problems(16, s, 79);
    const auto flip     = (-torch::arange(s, torch::kInt64)).remainder(s);
    auto       turned   = data;
    turned.input.fields = data.input.fields.index_select(2, flip);
    turned.target       = data.target.index_select(2, flip);
    auto parameters     = few_epochs();

    // A group of nothing but the reflection turns every sample.
    const auto a = make_model(data), b = make_model(data);
    Trainer(a, data, {}, relative_l2(), flip.unsqueeze(0), parameters)
      .run(false);
    Trainer(b, turned, {}, relative_l2(), {}, parameters).run(false);
    EXPECT_TRUE(equal(weights_of(*a), weights_of(*b)));
  }



  // Two ranks take a half of every batch each, and add their gradients up.
  TEST(Trainer, RanksShareBatches)
  {
    const auto data       = periodic_problems(16, 12, 80);
    auto       parameters = few_epochs();
    parameters.epochs     = 1;
    parameters.batch_size = 16;

    // One step of all samples, by one rank.
    const auto alone = make_model(data);
    Trainer(alone, data, {}, relative_l2(), {}, parameters).train_epoch();

    // The same by the second of two ranks; the first one's share of the
    // gradient is what the callback adds.
    Communicator two;
    two.size = 2;
    torch::Tensor other;
    for (const int rank : {0, 1})
      {
        const auto fresh = make_model(data);
        two.rank         = rank;
        two.sum          = [&](torch::Tensor &sum) {
          if (sum.numel() == 1)
            return; // the loss
          if (rank == 0)
            other = sum.clone();
          else
            sum.add_(other);
        };
        Trainer(fresh, data, {}, relative_l2(), {}, parameters, two)
          .train_epoch();
        if (rank == 1)
          {
            const auto a = weights_of(*fresh), b = weights_of(*alone);
            ASSERT_EQ(a.size(), b.size());
            for (std::size_t i = 0; i < a.size(); ++i)
              EXPECT_LT(distance(a[i], b[i]), 1e-9);
          }
      }
  }



  TEST(Trainer, DivergenceIsSaid)
  {
    auto       data  = periodic_problems(8, 12, 81);
    const auto model = make_model(data);
    data.target[3]   = NAN;
    Trainer trainer(model, data, {}, relative_l2(), {}, few_epochs());
    expect_sentence(message_of<std::runtime_error>(
                      [&]() { trainer.train_epoch(); }),
                    {"epoch 1", "learning rate"});
  }



  TEST(Trainer, WrongParametersAreExplained)
  {
    expect_sentence(message_of<InputError>([]() {
                      Trainer::parse({{"epoch", 3}}, "run.json");
                    }),
                    {"run.json", "epoch", "batch size"});
    expect_sentence(message_of<InputError>([]() {
                      Trainer::parse({{"precision", "double"}}, "run.json");
                    }),
                    {"run.json", "precision", "double", "tf32"});
    EXPECT_EQ(Trainer::parse({{"epochs", 3}}, "run.json").epochs, 3);
  }
} // namespace
