// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/training/captured_step.h>
#include <torch/cuda.h>
#include <torch/utils.h>

#include "small_trainings.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  // What is computed on a GPU is what the CPU computes. Without a GPU there is
  // nothing to test here.
  class GPU : public testing::Test
  {
  protected:
    void
    SetUp() override
    {
      if (!torch::cuda::is_available())
        GTEST_SKIP() << "no GPU";
    }

    const torch::Device gpu{torch::kCUDA};

    /** Weights after training on @p device, copied to the CPU. */
    static torch::Tensor
    trained(const torch::Device &device, const Trainer::Parameters &parameters)
    {
      const auto data  = periodic_problems(24, 16, 81);
      const auto model = make_model(data);
      model->to(device);
      Trainer trainer(model,
                      data.to(
                        torch::TensorOptions(device).dtype(torch::kFloat64)),
                      {},
                      relative_l2(),
                      {},
                      parameters);
      trainer.run(false);
      std::vector<torch::Tensor> weights;
      for (const auto &weight : weights_of(*model))
        weights.push_back(weight.flatten().to(torch::kCPU, torch::kFloat64));
      return torch::cat(weights);
    }
  };



  TEST_F(GPU, OperatorsSayWhatTheySayOnTheCPU)
  {
    struct Case
    {
      std::string    type;
      nlohmann::json parameters;
      bool           on_a_grid;
    };
    const std::vector<Case> cases = {
      {"Fourier", {{"width", 8}, {"modes", 3}, {"padding", 0.2}}, true},
      {"attention",
       {{"width", 8},
        {"heads", 2},
        {"slices", 4},
        {"local convolution", true},
        {"local network", true}},
       true},
      {"attention",
       {{"width", 8}, {"heads", 2}, {"slices", 4}, {"point temperature", true}},
       false},
      {"DeepONet", {{"sensors", 35}}, true}};
    for (const auto &[type, parameters, on_a_grid] : cases)
      {
        const auto op = make_operator(type, {2, 1, 2}, parameters, "gpu.cc", 4);
        op->to(torch::kFloat64);
        OperatorInput input;
        input.fields = random_normal({3, 2, 5, 7}, 82);
        if (!on_a_grid)
          {
            input.fields = input.fields.flatten(2);
            input.points = random_normal({3, 35, 2}, 83);
          }
        const auto expected = op->forward(input).detach();
        op->to(gpu);
        input.fields = input.fields.to(gpu);
        if (input.points.defined())
          input.points = input.points.to(gpu);
        EXPECT_LT(distance(op->forward(input).detach().cpu(), expected), 1e-11)
          << type;
      }
  }



  // Recorded steps, played again, are the steps themselves.
  TEST_F(GPU, TrainingIsThatOfTheCPU)
  {
    auto parameters     = few_epochs();
    parameters.capture  = true;
    const auto captured = trained(gpu, parameters);
    parameters.capture  = false;
    const auto eager    = trained(gpu, parameters);
    const auto on_cpu   = trained(torch::kCPU, parameters);
    EXPECT_LT(distance(captured, eager), 1e-9);
    EXPECT_LT(distance(captured, on_cpu), 1e-7);
    // Weights that have not moved would be equal as well.
    parameters.epochs = 1;
    EXPECT_GT(distance(captured, trained(gpu, parameters)), 1e-2);
  }



  TEST_F(GPU, EveryPrecisionLearns)
  {
    const auto data = periodic_problems(24, 16, 81);
    for (const std::string precision : {"single", "tf32", "bfloat16", "half"})
      for (const bool capture : {false, true})
        {
          const auto model = make_model(data);
          model->to(gpu, torch::kFloat32);
          auto parameters      = few_epochs();
          parameters.epochs    = 40;
          parameters.precision = precision;
          parameters.capture   = capture;
          Trainer trainer(model,
                          data.to(
                            torch::TensorOptions(gpu).dtype(torch::kFloat32)),
                          {},
                          relative_l2(),
                          {},
                          parameters);
          trainer.run(false);
          const auto &history = trainer.history();
          EXPECT_LT(history.back().training_loss,
                    0.25 * history.front().training_loss)
            << precision << (capture ? ", captured" : "");
        }
  }



  // The whole state is in the file, whatever has been recorded.
  TEST_F(GPU, CheckpointsGoOn)
  {
    const auto data = periodic_problems(24, 16, 81);
    for (const std::string precision : {"single", "half"})
      {
        auto parameters      = few_epochs();
        parameters.precision = precision;
        const auto start = [&](const std::shared_ptr<OperatorModel> &model) {
          model->to(gpu, torch::kFloat32);
          return std::make_unique<Trainer>(
            model,
            data.to(torch::TensorOptions(gpu).dtype(torch::kFloat32)),
            OperatorData(),
            relative_l2(),
            torch::Tensor(),
            parameters);
        };
        const auto whole = make_model(data), halved = make_model(data),
                   other = make_model(data, 8);
        start(whole)->run(false);
        const auto first = start(halved);
        for (long epoch = 0; epoch < 3; ++epoch)
          first->train_epoch();
        ModelFile file;
        first->save(file);
        const auto second = start(other);
        second->load(file);
        second->run(false);
        EXPECT_TRUE(equal(weights_of(*other), weights_of(*whole))) << precision;
      }
  }



  TEST_F(GPU, RecordedAnswersAreAnswers)
  {
    const torch::NoGradGuard no_gradients;
    auto                     data  = periodic_problems(2, 16, 84);
    const auto               model = make_model(data);
    model->to(gpu);
    model->eval();
    data = data.to(torch::TensorOptions(gpu).dtype(torch::kFloat64));
    torch::Tensor answer;
    CapturedStep  step([&]() { answer = model->forward(data); }, gpu, true);
    for (int i = 0; i < 5; ++i)
      step();
    // Other inputs in the same place.
    const auto others = periodic_problems(2, 16, 85);
    data.input.fields.copy_(others.input.fields);
    step();
    EXPECT_LT(distance(answer.cpu(), model->forward(data).cpu()), 1e-13);
  }
} // namespace
