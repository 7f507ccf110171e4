// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/training/trainer.h>
#include <torch/autograd.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include <cmath>
#include <mutex>

#include "simulated_ranks.h"
#include "small_trainings.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;



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



  /** What a training on some ranks has come to. */
  struct OnRanks
  {
    std::vector<std::vector<torch::Tensor>>  weights; ///< of every rank
    std::vector<std::vector<Trainer::Epoch>> history;
    std::vector<GradientSum::Statistics>     statistics;
  };

  OnRanks
  train_on(const int                  n_ranks,
           const OperatorData        &data,
           const Trainer::Parameters &parameters,
           const bool                 can_start_sums = true)
  {
    OnRanks result;
    result.weights.resize(n_ranks);
    result.history.resize(n_ranks);
    result.statistics.resize(n_ranks);
    // Threads share the generator that models are made with.
    std::vector<std::shared_ptr<OperatorModel>> models;
    for (int rank = 0; rank < n_ranks; ++rank)
      models.push_back(make_model(data));
    SimulatedRanks ranks(n_ranks);
    ranks.run([&](Communicator communicator) {
      if (!can_start_sums)
        communicator.start_sum = {};
      const auto model = models[communicator.rank];
      Trainer    trainer(
        model, data, {}, relative_l2(), {}, parameters, communicator);
      trainer.run(false);
      result.weights[communicator.rank]    = weights_of(*model);
      result.history[communicator.rank]    = trainer.history();
      result.statistics[communicator.rank] = trainer.sum_statistics();
    });
    return result;
  }



  // Shares of every size, none among them.
  TEST(Trainer, RanksShareBatches)
  {
    const auto data = periodic_problems(10, 12, 80);
    for (const long batch_size : {8, 2})
      {
        auto parameters       = few_epochs();
        parameters.epochs     = 3;
        parameters.batch_size = batch_size;
        const auto alone      = train_on(1, data, parameters);
        for (const int n_ranks : {2, 3, 5})
          {
            const auto together = train_on(n_ranks, data, parameters);
            for (int rank = 0; rank < n_ranks; ++rank)
              {
                EXPECT_TRUE(equal(together.weights[rank], together.weights[0]));
                for (std::size_t e = 0; e < 3; ++e)
                  EXPECT_NEAR(together.history[rank][e].training_loss,
                              alone.history[0][e].training_loss,
                              1e-10);
              }
            for (std::size_t i = 0; i < alone.weights[0].size(); ++i)
              EXPECT_LT(distance(together.weights[0][i], alone.weights[0][i]),
                        1e-9);
          }
      }
  }



  TEST(Trainer, EarlySumsAreTheSameBitForBit)
  {
    const auto data           = periodic_problems(12, 12, 82);
    auto       parameters     = few_epochs();
    parameters.epochs         = 2;
    const auto early          = train_on(3, data, parameters);
    parameters.overlap        = false;
    const auto late           = train_on(3, data, parameters);
    const auto one_by_one     = train_on(3, data, parameters, false);
    parameters.overlap        = true;
    parameters.bucket_size    = 1e-6;
    const auto a_tensor_each  = train_on(3, data, parameters);
    const auto without_starts = train_on(3, data, parameters, false);
    for (const auto *other :
         {&late, &one_by_one, &a_tensor_each, &without_starts})
      EXPECT_TRUE(equal(early.weights[0], other->weights[0]));

    for (int rank = 0; rank < 3; ++rank)
      {
        // All but the bucket of the first layer, which comes last.
        EXPECT_GE(early.statistics[rank].buckets, 3);
        EXPECT_LE(early.statistics[rank].buckets, 10);
        EXPECT_GE(early.statistics[rank].early,
                  early.statistics[rank].buckets - 1);
        EXPECT_EQ(late.statistics[rank].early, 0);
        EXPECT_EQ(late.statistics[rank].buckets,
                  early.statistics[rank].buckets);
        EXPECT_EQ(a_tensor_each.statistics[rank].buckets,
                  long(early.weights[0].size()));
        EXPECT_EQ(without_starts.statistics[rank].early, 0);
      }
  }



  /** Tensors that are used or not, in any order. */
  TEST(GradientSum, TensorsWithoutAGradient)
  {
    const long     n = 4;
    SimulatedRanks ranks(3);
    ranks.run([&](const Communicator &communicator) {
      std::vector<torch::Tensor> tensors;
      for (long i = 0; i < n; ++i)
        tensors.push_back(
          torch::full({i + 1}, double(i), torch::kFloat64).requires_grad_());
      const ParameterVector weights(tensors);
      GradientSum           sum(weights, communicator, 1., true);
      for (const long left_out : {0l, 2l, 3l, n})
        {
          weights.gradients().zero_();
          sum([&]() {
            auto value = torch::zeros({}, torch::kFloat64);
            // Every rank in an order of its own.
            for (long k = 0; k < n; ++k)
              {
                const long i =
                  (k * (communicator.rank + 1) + communicator.rank) % n;
                if (i != left_out && (i != 1 || communicator.rank == 1))
                  value = value + tensors[i].sum() *
                                    double(communicator.rank + 1 + 10 * i);
              }
            value.backward();
          });
          EXPECT_EQ(sum.statistics().buckets, n);
          for (long i = 0; i < n; ++i)
            {
              std::vector<long> used(n, 0);
              double            expected = 0;
              for (int rank = 0; rank < 3; ++rank)
                for (long k = 0; k < n; ++k)
                  if ((k * (rank + 1) + rank) % n == i && i != left_out &&
                      (i != 1 || rank == 1))
                    expected += rank + 1 + 10 * i;
              EXPECT_TRUE(
                torch::equal(tensors[i].grad(),
                             torch::full({i + 1}, expected, torch::kFloat64)))
                << i << ": " << tensors[i].grad() << " is not " << expected;
            }
        }
      // Backward passes of others do not start anything, here or later.
      (tensors[0].sum() + tensors[3].sum()).backward();
    });
  }



  /** Fails, or has a gradient without a value, at some of its calls. */
  class TrickyLoss : public Loss
  {
  public:
    TrickyLoss(const long failing, const long infinite)
      : failing(failing)
      , infinite(infinite)
    {}

  private:
    torch::Tensor
    compute(const torch::Tensor &prediction,
            const torch::Tensor &target,
            const torch::Tensor &) const override
    {
      if (++calls == failing)
        throw std::runtime_error("call " + std::to_string(calls) +
                                 " of the loss is impossible");
      auto value = (prediction - target).square().mean();
      if (calls == infinite)
        value = value + (0. * prediction.sum()).sqrt();
      return value;
    }

    const long   failing, infinite;
    mutable long calls = 0;
  };



  // In a step, and in the evaluation behind the steps.
  TEST(Trainer, AFailureOnOneRankEndsAll)
  {
    const auto data           = periodic_problems(12, 12, 83);
    auto       parameters     = few_epochs(); // two steps an epoch
    parameters.check_interval = 1;
    for (const bool can_start_sums : {true, false})
      for (const long call : {1, 2, 3, 5})
        {
          std::mutex               mutex;
          std::vector<std::string> messages(3);
          SimulatedRanks           ranks(3);
          ranks.run([&](Communicator communicator) {
            if (!can_start_sums)
              communicator.start_sum = {};
            const auto tricky =
              std::make_shared<TrickyLoss>(communicator.rank == 1 ? call : -1,
                                           -1);
            Trainer     trainer(make_model(data),
                            data,
                            data,
                            tricky,
                            {},
                            parameters,
                            communicator);
            std::string message;
            try
              {
                trainer.run(false);
              }
            catch (const std::runtime_error &error)
              {
                message = error.what();
              }
            const std::lock_guard<std::mutex> lock(mutex);
            messages[communicator.rank] = message;
          });
          for (const auto &message : messages)
            EXPECT_EQ(message,
                      "call " + std::to_string(call) +
                        " of the loss is impossible");
        }
  }



  TEST(AdamW, SkippedStepsLeaveEverything)
  {
    AdamW::Options options;
    options.weight_decay = 0.1;
    options.clip         = 0.5;
    options.average      = 0.8;
    const auto rates     = torch::linspace(1e-2, 1e-3, 6, torch::kFloat64);
    const auto start     = random_normal({10}, 56);
    start[3]             = -0.;
    const auto values = start.clone(), expected = start.clone();
    AdamW      with(values, rates, options), without(expected, rates, options);
    for (long t = 0; t < 12; ++t)
      {
        const auto gradient = random_normal({10}, 80 + t);
        const bool skip     = t == 0 || t == 4 || t == 5 || t == 9;
        if (!skip)
          without.step(gradient.clone());
        else
          gradient[t % 10] = t == 4 ? NAN : INFINITY;
        with.step(gradient, torch::full({1}, skip, torch::kBool));
        const auto a = with.get_state(), b = without.get_state();
        const auto same_bits = [](const torch::Tensor &x,
                                  const torch::Tensor &y) {
          return torch::equal(x.view(torch::kInt64), y.view(torch::kInt64));
        };
        EXPECT_TRUE(same_bits(values, expected));
        EXPECT_TRUE(same_bits(a.steps, b.steps));
        EXPECT_TRUE(same_bits(a.first, b.first));
        EXPECT_TRUE(same_bits(a.second, b.second));
        EXPECT_TRUE(same_bits(a.average, b.average));
      }
    EXPECT_EQ(with.n_steps(), 8);
  }



  TEST(LossScaler, SequenceByHand)
  {
    LossScaler::Options options;
    options.initial  = 8;
    options.interval = 3;
    LossScaler scaler(torch::kFloat32, options);
    struct Step
    {
      bool   finite;
      double next; ///< the factor after it
    };
    const Step steps[] = {{true, 8},
                          {true, 8},
                          {true, 16},
                          {true, 16},
                          {true, 16},
                          {false, 8},
                          {true, 8},
                          {true, 8},
                          {false, 4},
                          {false, 2},
                          {true, 2},
                          {true, 2},
                          {true, 4},
                          {true, 4},
                          {true, 4},
                          {true, 8}};
    double     factor  = 8;
    long       number  = 90;
    for (const auto &step : steps)
      {
        const auto gradient = random_normal({7}, ++number).to(torch::kFloat32);
        auto       scaled   = gradient * factor;
        EXPECT_EQ(scaler.scale(torch::full({}, 3.f)).item<float>(),
                  3. * factor);
        if (!step.finite)
          scaled[number % 7] = number % 2 == 0 ? NAN : -INFINITY;
        EXPECT_EQ(scaler.unscale(scaled).item<bool>(), !step.finite);
        if (step.finite)
          {
            EXPECT_TRUE(torch::equal(scaled, gradient));
          }
        EXPECT_EQ(scaler.factor(), step.next);
        factor = step.next;
      }

    // Another one goes on from the state of the first.
    EXPECT_EQ(LossScaler(torch::kFloat32, {}).factor(), 65536);
    options.initial = 1;
    LossScaler other(torch::kFloat32, options);
    other.set_state(scaler.get_state());
    for (int i = 0; i < 3; ++i)
      {
        other.unscale(torch::ones({2}));
        scaler.unscale(torch::ones({2}));
        EXPECT_EQ(other.factor(), scaler.factor());
      }
    EXPECT_EQ(other.factor(), 16);

    // It neither vanishes nor overflows.
    for (int i = 0; i < 60; ++i)
      scaler.unscale(torch::full({2}, NAN));
    EXPECT_EQ(scaler.factor(), std::ldexp(1., -14));
    for (int i = 0; i < 200; ++i)
      scaler.unscale(torch::ones({2}));
    EXPECT_EQ(scaler.factor(), std::ldexp(1., 30));
  }



  // A power of two costs no digits, whatever it is; and what a file holds of
  // it is what a run that was not stopped has.
  TEST(Trainer, ScaledLossesChangeNothing)
  {
    const auto data       = periodic_problems(20, 12, 84);
    const auto plain      = make_model(data);
    auto       parameters = few_epochs(); // three steps an epoch
    parameters.clip       = 0.1;
    Trainer(plain, data, {}, relative_l2(), {}, parameters).run(false);

    parameters.loss_scale     = 1000; // 1024
    parameters.scale_interval = 4;
    const auto scaled         = make_model(data);
    Trainer    reference(scaled, data, {}, relative_l2(), {}, parameters);
    reference.run(false);
    EXPECT_TRUE(equal(weights_of(*plain), weights_of(*scaled)));
    ModelFile end;
    reference.save(end);
    EXPECT_EQ(end.tensor("training.scale").item<double>(), 1024 * 16);
    EXPECT_EQ(end.tensor("training.clean_steps").item<long>(), 2);

    const TemporaryFolder folder;
    {
      Trainer trainer(
        make_model(data), data, {}, relative_l2(), {}, parameters);
      for (int epoch = 0; epoch < 3; ++epoch)
        trainer.train_epoch();
      ModelFile file;
      trainer.save(file);
      file.write(folder / "checkpoint.safetensors");
    }
    const auto rest = make_model(data, 8);
    Trainer    trainer(rest, data, {}, relative_l2(), {}, parameters);
    trainer.load(ModelFile::read(folder / "checkpoint.safetensors"));
    trainer.run(false);
    EXPECT_TRUE(equal(weights_of(*scaled), weights_of(*rest)));
    ModelFile again;
    trainer.save(again);
    for (const auto &[name, tensor] : end.tensors)
      {
        const bool same = torch::equal(tensor, again.tensor(name));
        // (In the history nan is no nan.)
        EXPECT_TRUE(same || name == "training.history") << name;
      }
  }



  TEST(Trainer, InfiniteGradientsAreSkipped)
  {
    const auto data       = periodic_problems(8, 12, 85);
    auto       parameters = few_epochs(); // one step an epoch
    parameters.loss_scale = 64;
    for (const int n_ranks : {1, 2})
      {
        const std::vector<std::shared_ptr<OperatorModel>> models = {
          make_model(data), make_model(data)};
        SimulatedRanks ranks(n_ranks);
        ranks.run([&](const Communicator &communicator) {
          const auto model = models[communicator.rank];
          // On the last rank only; all of them skip the step.
          const auto tricky = std::make_shared<TrickyLoss>(
            -1, communicator.rank + 1 == communicator.size ? 3 : -1);
          Trainer trainer(
            model, data, {}, tricky, {}, parameters, communicator);
          for (long epoch = 1; epoch <= 6; ++epoch)
            {
              const auto before = weights_of(*model);
              ModelFile  earlier, later;
              trainer.save(earlier);
              trainer.train_epoch();
              trainer.save(later);
              const bool skipped = epoch == 3;
              EXPECT_EQ(equal(before, weights_of(*model)), skipped);
              for (const char *name : {"first", "second", "average", "steps"})
                EXPECT_EQ(
                  torch::equal(earlier.tensor(std::string("training.") + name),
                               later.tensor(std::string("training.") + name)),
                  skipped)
                  << name;
              EXPECT_EQ(later.tensor("training.scale").item<double>(),
                        epoch < 3 ? 64 : 32);
            }
        });
      }
  }



  /** Whether LibTorch computes in float16 on the CPU, as from 2.1 on. */
  bool
  has_half_precision()
  {
    try
      {
        const auto matrix =
          torch::ones({2, 2, 2}, torch::kFloat16).requires_grad_(true);
        torch::gelu(torch::baddbmm(matrix, matrix, matrix)).sum().backward();
        return true;
      }
    catch (const c10::Error &)
      {
        return false;
      }
  }



  // Where it does not, the user is told.
  TEST(Trainer, HalfPrecision)
  {
    const auto data  = periodic_problems(32, 16, 86).to(torch::kFloat32);
    const auto model = make_model(data);
    model->to(torch::kFloat32);
    auto parameters      = few_epochs();
    parameters.epochs    = 40;
    parameters.precision = "half";
    std::unique_ptr<Trainer> trainer;
    try
      {
        trainer = std::make_unique<Trainer>(model,
                                            data,
                                            OperatorData(),
                                            relative_l2(),
                                            torch::Tensor(),
                                            parameters);
      }
    catch (const InputError &error)
      {
        expect_sentence(error.what(), {"precision is 'half'", "bfloat16"});
        EXPECT_FALSE(has_half_precision());
        return;
      }
    trainer->run(false);
    EXPECT_LT(trainer->evaluate(data), 0.2);
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
                    {"run.json", "precision", "double", "tf32", "half"});
    EXPECT_EQ(Trainer::parse({{"epochs", 3}}, "run.json").epochs, 3);
  }
} // namespace
