// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/training/trainer.h>
#include <torch/cuda.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "timing.h"

// How fast a Fourier operator trains and answers: 85² points, width 32, four
// layers, 12 modes, batches of 20. On the CPU beside the same network of the
// Python library neuraloperator, if its folder is given; on a GPU the captured
// training step beside the eager one, and beside what the arithmetic and the
// traffic of memory need at least.
//
//   operators_speed [quick] [PEER_FOLDER]

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;

  constexpr long n_points = 85, width = 32, n_layers = 4, n_modes = 12,
                 batch_size = 20;

  /** Batches of noise: no time depends on what stands in them. */
  OperatorData
  samples(const long n, const torch::Device &device)
  {
    torch::manual_seed(1);
    OperatorData data;
    data.input.fields = torch::randn({n, 1, n_points, n_points}).to(device);
    data.target       = torch::randn({n, 1, n_points, n_points}).to(device);
    return data;
  }



  std::shared_ptr<OperatorModel>
  make_model(const bool mixing, const torch::Device &device)
  {
    auto model =
      std::make_shared<OperatorModel>("Fourier",
                                      OperatorShape{1, 1, 2},
                                      nlohmann::json{{"width", width},
                                                     {"layers", n_layers},
                                                     {"modes", n_modes},
                                                     {"mixing layers", mixing}},
                                      false,
                                      "operators_speed",
                                      1);
    model->to(device);
    return model;
  }



  std::shared_ptr<const Loss>
  relative_l2()
  {
    return make_loss("relative L2",
                     nlohmann::json::object(),
                     "operators_speed",
                     {});
  }



  /** A training step by the Trainer; median of @p n_epochs epochs. */
  double
  training_step(const bool           mixing,
                const torch::Device &device,
                const std::string   &precision,
                const bool           capture,
                const long           n_steps,
                const long           n_epochs)
  {
    Trainer::Parameters parameters;
    parameters.epochs     = 1000;
    parameters.batch_size = batch_size;
    parameters.precision  = precision;
    parameters.capture    = capture;
    Trainer trainer(make_model(mixing, device),
                    samples(n_steps * batch_size, device),
                    {},
                    relative_l2(),
                    {},
                    parameters);
    trainer.train_epoch(); // warms up, and records
    std::vector<double> times;
    for (long epoch = 0; epoch < n_epochs; ++epoch)
      times.push_back(milliseconds(device, [&]() { trainer.train_epoch(); }) /
                      double(n_steps));
    return median(times);
  }



  /** The same as LibTorch's users write it, with its own optimiser. */
  double
  step_with_library_optimizer(const bool           mixing,
                              const torch::Device &device,
                              const std::string   &precision,
                              const long           n_steps,
                              const long           n_epochs)
  {
    const compat::TensorFloat32 products(precision == "tf32");
    const auto                  model = make_model(mixing, device);
    const auto                  data  = samples(batch_size, device);
    const auto                  loss  = relative_l2();
    torch::optim::AdamW         optimizer(model->parameters(),
                                  torch::optim::AdamWOptions(1e-3));
    const auto                  epoch = [&]() {
      for (long step = 0; step < n_steps; ++step)
        {
          optimizer.zero_grad();
          loss->value(model->forward(data), data.target).backward();
          optimizer.step();
        }
    };
    epoch();
    std::vector<double> times;
    for (long k = 0; k < n_epochs; ++k)
      times.push_back(milliseconds(device, epoch) / double(n_steps));
    return median(times);
  }



  /** The answer to a single input. */
  double
  inference(const bool           mixing,
            const torch::Device &device,
            const bool           capture,
            const long           n_times)
  {
    const torch::NoGradGuard no_gradients;
    const auto               model = make_model(mixing, device);
    model->eval();
    const auto          data = samples(1, device);
    torch::Tensor       answer;
    CapturedStep        step([&]() { answer = model->forward(data); },
                      device,
                      capture);
    std::vector<double> times;
    for (long k = 0; k < 5 + n_times; ++k)
      {
        const double time = milliseconds(device, [&]() { step(); });
        if (k >= 5)
          times.push_back(time);
      }
    return median(times);
  }



  /** What a training step needs at least. */
  struct Floor
  {
    double flops, bytes;
  };

  Floor
  floor_of_a_step(const bool mixing)
  {
    const double n = batch_size, P = n_points * n_points, s = n_points,
                 w = width, m = n_modes, pointwise = mixing ? 3 : 1;
    // Products with matrices that are learned come three times (values,
    // gradients of inputs and of matrices), Fourier transforms twice.
    const double learned =
      n * P * (3. * w + n_layers * pointwise * w * w + 4. * w * w + 4. * w) +
      n_layers * 2. * m * m * n * 4. * w * w;
    const double transforms =
      n_layers * 2. * (n * w * s * s * 2. * m + n * w * m * 2. * s * 4. * m);
    // Every layer reads its field and writes one; backwards it reads field and
    // gradient and writes a gradient; whatever is in between stays in the
    // chip. AdamW reads weights, gradients and two moments, and writes all but
    // the gradients, which have been written before.
    const double field   = 4. * n * w * P;
    const double weights = n_layers * (4. * m * m * w * w + pointwise * w * w);
    return {2. * (3. * learned + 2. * transforms),
            5. * n_layers * field + 8. * 4. * weights};
  }



  /** What the peer's program prints: its times in milliseconds. */
  nlohmann::json
  run_peer(const std::string &folder, const bool mixing, const bool quick)
  {
    const auto command =
      fmt::format("python3 '{}' '{}' {} {} {} {} {} {} {} {}",
                  OPERATORS_SPEED_PEER,
                  folder,
                  n_points,
                  width,
                  n_layers,
                  n_modes,
                  batch_size,
                  int(mixing),
                  at::get_num_threads(),
                  quick ? 3 : 10);
    std::string text;
    FILE *const pipe = popen(command.c_str(), "r");
    if (pipe == nullptr)
      throw std::runtime_error("no program can be started: " + command);
    char buffer[256];
    while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr)
      text += buffer;
    if (pclose(pipe) != 0)
      throw std::runtime_error("the peer has failed: " + command);
    return nlohmann::json::parse(text);
  }



  void
  on_cpu(const bool quick, const std::string &peer, nlohmann::json &figures)
  {
    const torch::Device cpu(torch::kCPU);
    const long          n_rounds = quick ? 1 : 5;
    for (const bool mixing : {false, true})
      {
        const std::string name = mixing ? "mixing" : "plain";
        // In turns, so that whatever else goes on meets both.
        std::vector<double> training, answers, peer_training, peer_answers;
        for (long round = 0; round < n_rounds; ++round)
          {
            training.push_back(
              training_step(mixing, cpu, "single", false, quick ? 1 : 2, 3));
            answers.push_back(inference(mixing, cpu, false, quick ? 10 : 40));
            if (peer.empty())
              continue;
            const auto times = run_peer(peer, mixing, quick);
            peer_training.push_back(times.at("training"));
            peer_answers.push_back(times.at("inference"));
          }
        figures["cpu_training_ms_" + name]  = median(training);
        figures["cpu_inference_ms_" + name] = median(answers);
        fmt::print("CPU, {} thread(s), {}: training step {:.0f} ms, single "
                   "input {:.2f} ms\n",
                   at::get_num_threads(),
                   name,
                   median(training),
                   median(answers));
        if (!peer.empty())
          {
            figures["cpu_training_speedup_" + name] =
              median(peer_training) / median(training);
            figures["cpu_inference_speedup_" + name] =
              median(peer_answers) / median(answers);
            fmt::print(
              "    neuraloperator: {:.0f} ms ({:.2f} times), {:.2f} ms "
              "({:.2f} times)\n",
              median(peer_training),
              median(peer_training) / median(training),
              median(peer_answers),
              median(peer_answers) / median(answers));
          }
        std::fflush(stdout);
      }
  }



  void
  on_gpu(const bool quick, nlohmann::json &figures)
  {
    const torch::Device gpu(torch::kCUDA);
    const long          n_steps = quick ? 20 : 50, n_epochs = 7;
    for (const bool mixing : {false, true})
      for (const std::string precision : {"tf32", "single"})
        {
          const std::string name = (mixing ? "mixing_" : "plain_") + precision;
          const double      library = step_with_library_optimizer(
                         mixing, gpu, precision, n_steps, n_epochs),
                       eager = training_step(
                         mixing, gpu, precision, false, n_steps, n_epochs),
                       captured = training_step(
                         mixing, gpu, precision, true, n_steps, n_epochs);
          const auto least                        = floor_of_a_step(mixing);
          figures["gpu_step_library_ms_" + name]  = library;
          figures["gpu_step_eager_ms_" + name]    = eager;
          figures["gpu_step_captured_ms_" + name] = captured;
          figures["gpu_tflops_" + name] = least.flops / captured / 1e9;
          figures["gpu_terabytes_a_second_" + name] =
            least.bytes / captured / 1e9;
          fmt::print("GPU, {}: step with LibTorch's AdamW {:.2f} ms, eager "
                     "{:.2f} ms, captured {:.2f} ms = 1/{:.2f} = 1/{:.2f}; "
                     "{:.1f} TFLOP/s and {:.2f} TB/s of what is needed at "
                     "least\n",
                     name,
                     library,
                     eager,
                     captured,
                     library / captured,
                     eager / captured,
                     least.flops / captured / 1e9,
                     least.bytes / captured / 1e9);
          std::fflush(stdout);
        }
    for (const bool mixing : {false, true})
      {
        const std::string name  = mixing ? "mixing" : "plain";
        const double      eager = inference(mixing, gpu, false, 50),
                     captured   = inference(mixing, gpu, true, 50);
        figures["gpu_inference_eager_ms_" + name]    = eager;
        figures["gpu_inference_captured_ms_" + name] = captured;
        fmt::print("GPU, {}: single input {:.2f} ms, captured {:.2f} ms\n",
                   name,
                   eager,
                   captured);
      }
  }
} // namespace



int
main(int argc, char *argv[])
{
  try
    {
      bool        quick = false;
      std::string peer;
      for (int i = 1; i < argc; ++i)
        if (std::string(argv[i]) == "quick")
          quick = true;
        else
          peer = argv[i];

      nlohmann::json figures = nlohmann::json::object();
      on_cpu(quick, peer, figures);
      if (torch::cuda::is_available())
        on_gpu(quick, figures);
      fmt::print("{}\n",
                 nlohmann::json{{"benchmark", "operators_speed"},
                                {"figures", figures},
                                {"seeds", {1}},
                                {"machine",
                                 fmt::format("{} thread(s){}",
                                             at::get_num_threads(),
                                             torch::cuda::is_available() ?
                                               ", one GPU" :
                                               "")}}
                   .dump());
      return 0;
    }
  catch (const std::exception &error)
    {
      std::cerr << "operators_speed: " << error.what() << std::endl;
      return 1;
    }
}
