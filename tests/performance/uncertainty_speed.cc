// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <neuraldeal/surrogates/uncertainty/laplace.h>
#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>
#include <torch/cuda.h>
#include <torch/utils.h>

#include <algorithm>
#include <iostream>

#include "timing.h"

// What it costs that an operator says how sure it is: a Fourier operator on 64²
// points, width 32, four layers, 12 modes. Laplace's approximation in closed
// form beside 30 networks with weights drawn from the same posterior; every
// method beside one network; and how long the approximation itself takes.
//
//   uncertainty_speed [quick]

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;

  constexpr long n_points = 64, width = 32, n_layers = 4, n_modes = 12,
                 n_draws = 30;

  nlohmann::json
  network_parameters(const bool mixing)
  {
    return {{"width", width},
            {"layers", n_layers},
            {"modes", n_modes},
            {"mixing layers", mixing}};
  }



  /** Smooth inputs, and answers that are not far from them. */
  OperatorData
  samples(const long n, const torch::Device &device)
  {
    torch::manual_seed(1);
    const auto   x = torch::linspace(0., 1., n_points);
    OperatorData data;
    data.input.fields = torch::zeros({n, 1, n_points, n_points});
    for (long k = 1; k <= 4; ++k)
      for (long l = 1; l <= 4; ++l)
        data.input.fields += torch::randn({n, 1, 1, 1}) / double(k + l) *
                             ((M_PI * double(k)) * x).cos().unsqueeze(1) *
                             ((M_PI * double(l)) * x).cos();
    data.target =
      data.input.fields.sin() + 0.01 * torch::randn({n, 1, n_points, n_points});
    return data.to(device);
  }



  std::shared_ptr<OperatorModel>
  make_model(const bool mixing, const OperatorData &data)
  {
    auto model = std::make_shared<OperatorModel>("Fourier",
                                                 OperatorShape{1, 1, 2},
                                                 network_parameters(mixing),
                                                 false,
                                                 "uncertainty_speed",
                                                 1);
    model->to(data.target.device());
    model->set_scales(data);
    model->eval();
    return model;
  }



  /** Medians of both, in turns, so that whatever else goes on meets both. */
  std::pair<double, double>
  in_turns(const torch::Device         &device,
           const bool                   quick,
           const std::function<void()> &first,
           const std::function<void()> &second)
  {
    const long          n_times = quick ? 3 : device.is_cuda() ? 50 : 15;
    std::vector<double> a, b;
    for (long k = 0; k < n_times + 2; ++k)
      {
        const double time_a = milliseconds(device, first),
                     time_b = milliseconds(device, second);
        if (k < 2)
          continue; // they warm up
        a.push_back(time_a);
        b.push_back(time_b);
      }
    return {median(a), median(b)};
  }



  /**
   * Mean and variance of the answers of networks with weights of the same
   * posterior, which have been drawn before.
   */
  class WeightSampling
  {
  public:
    WeightSampling(const std::shared_ptr<OperatorModel> &model,
                   const LaplaceApproximation           &laplace)
      : model(model)
      , weights(laplace.weights())
      , center(weights.values())
    {
      torch::manual_seed(2);
      const auto noise =
        torch::randn({weights.size(), n_draws}, torch::kFloat64)
          .to(center.device());
      draws = laplace.curvature().multiply_root(noise) + center.unsqueeze(1);
    }

    LaplaceApproximation::Answer
    predict(const OperatorData &data) const
    {
      const torch::NoGradGuard   no_gradients;
      std::vector<torch::Tensor> answers;
      for (long k = 0; k < n_draws; ++k)
        {
          set(draws.select(1, k));
          answers.push_back(model->forward(data));
        }
      set(center);
      const auto all = torch::stack(answers);
      return {all.mean(0), all.var(0), {}};
    }

  private:
    void
    set(const torch::Tensor &values) const
    {
      const auto parts   = weights.split(values);
      const auto tensors = weights.tensors();
      for (std::size_t i = 0; i < parts.size(); ++i)
        torch::Tensor(tensors[i]).copy_(parts[i]);
    }

    const std::shared_ptr<OperatorModel> model;
    const WeightSelection                weights;
    const torch::Tensor                  center;
    torch::Tensor                        draws;
  };



  void
  closed_forms(const torch::Device &device,
               const bool           mixing,
               const bool           quick,
               nlohmann::json      &figures)
  {
    const auto training = samples(16, device);
    for (const std::string weights : {"last layer", "last convolution"})
      {
        const auto           model = make_model(mixing, training);
        LaplaceApproximation laplace(
          model,
          LaplaceApproximation::parse(
            {{"form", weights == "last layer" ? "full" : "Kronecker"},
             {"weights",
              weights == "last layer" ?
                weights :
                fmt::format("convolution_{}", n_layers - 1)}},
            "uncertainty_speed"),
          "uncertainty_speed");
        laplace.fit(training);
        laplace.maximize_evidence();
        const WeightSampling peer(model, laplace);
        for (const long n : {1, 20})
          {
            const auto data           = samples(n, device);
            const auto [ours, theirs] = in_turns(
              device,
              quick,
              [&]() { laplace.predict(data); },
              [&]() { peer.predict(data); });
            const double ratio = (peer.predict(data).variance.mean() /
                                  laplace.predict(data).variance.mean())
                                   .item<double>();
            const auto name =
              fmt::format("{}_{}_{}_batch_{}",
                          device.is_cuda() ? "gpu" : "cpu",
                          weights == "last layer" ? "layer" : "convolution",
                          mixing ? "mixing" : "plain",
                          n);
            figures["ms_" + name]      = ours;
            figures["speedup_" + name] = theirs / ours;
            fmt::print("{}, {}, {}, batch {}: mean and variance {:.2f} ms; {} "
                       "networks {:.1f} ms ({:.1f} times), with {:.2f} times "
                       "the variance\n",
                       device.is_cuda() ? "GPU" : "CPU",
                       mixing ? "mixing" : "plain",
                       weights,
                       n,
                       ours,
                       n_draws,
                       theirs,
                       theirs / ours,
                       ratio);
            std::cout.flush();
          }
      }
  }



  /** What predict() of every method costs, in forward passes of a network. */
  void
  methods(const torch::Device &device,
          const bool           mixing,
          const bool           quick,
          nlohmann::json      &figures)
  {
    register_probabilistic_operators();
    ProbabilisticOperator::Task task;
    task.type           = "Fourier";
    task.parameters     = network_parameters(mixing);
    task.shape          = {1, 1, 2};
    task.training       = samples(4, device);
    task.source         = "uncertainty_speed";
    task.options.epochs = 1;
    const auto network  = make_model(mixing, task.training);

    std::vector<std::pair<std::string, nlohmann::json>> all;
    for (const auto &item : ProbabilisticOperatorRegistry::entries())
      all.emplace_back(item.first, nlohmann::json::object());
    all.emplace_back(
      "Laplace",
      nlohmann::json{{"weights", fmt::format("convolution_{}", n_layers - 1)}});
    for (const auto &[name, parameters] : all)
      {
        const auto method =
          make_probabilistic_operator(name, parameters, "uncertainty_speed");
        method->fit(task);
        for (const long n : {1, 20})
          {
            const auto data            = samples(n, device);
            const auto [with, without] = in_turns(
              device,
              quick,
              [&]() { method->predict(data); },
              [&]() {
                const torch::NoGradGuard no_gradients;
                network->forward(data);
              });
            auto label = parameters.empty() ? name : name + " convolution";
            std::replace(label.begin(), label.end(), ' ', '_');
            std::replace(label.begin(), label.end(), '-', '_');
            figures[fmt::format("forward_passes_{}_{}_{}_batch_{}",
                                device.is_cuda() ? "gpu" : "cpu",
                                label,
                                mixing ? "mixing" : "plain",
                                n)] = with / without;
            fmt::print("{}, {}, batch {}: '{}' {:.2f} ms, a network {:.2f} ms: "
                       "{:.2f} times\n",
                       device.is_cuda() ? "GPU" : "CPU",
                       mixing ? "mixing" : "plain",
                       n,
                       label,
                       with,
                       without,
                       with / without);
            std::cout.flush();
          }
      }
  }



  /** Seconds for curvature and evidence. */
  void
  fits(const torch::Device &device, const bool quick, nlohmann::json &figures)
  {
    for (const std::string weights : {"last layer", "all"})
      {
        const bool full = weights == "last layer";
        const long n    = quick ? 32 : full || device.is_cuda() ? 1024 : 128;
        const auto training = samples(n, device);
        const auto model    = make_model(false, training);
        LaplaceApproximation laplace(
          model,
          LaplaceApproximation::parse({{"form", full ? "full" : "Kronecker"},
                                       {"weights", weights}},
                                      "uncertainty_speed"),
          "uncertainty_speed");
        // libraries are loaded
        laplace.fit(training.slice(0, 8));
        const double of_curvature =
          milliseconds(device, [&]() { laplace.fit(training); }) / 1000.;
        const double of_evidence =
          milliseconds(device, [&]() { laplace.maximize_evidence(); }) / 1000.;
        const auto name                     = fmt::format("{}_{}",
                                      device.is_cuda() ? "gpu" : "cpu",
                                      full ? "layer" : "all");
        figures["samples_fit_" + name]      = n;
        figures["seconds_fit_" + name]      = of_curvature;
        figures["seconds_evidence_" + name] = of_evidence;
        fmt::print("{}, {} weights ({}), {} samples: curvature {:.1f} s, "
                   "evidence {:.1f} s\n",
                   device.is_cuda() ? "GPU" : "CPU",
                   weights,
                   laplace.weights().size(),
                   n,
                   of_curvature,
                   of_evidence);
        std::cout.flush();
      }
  }
} // namespace



int
main(int argc, char *argv[])
{
  try
    {
      const bool quick = argc > 1 && std::string(argv[1]) == "quick";

      nlohmann::json             figures = nlohmann::json::object();
      std::vector<torch::Device> devices = {torch::kCPU};
      if (torch::cuda::is_available())
        devices.emplace_back(torch::kCUDA);
      for (const auto &device : devices)
        {
          for (const bool mixing : {false, true})
            {
              closed_forms(device, mixing, quick, figures);
              methods(device, mixing, quick, figures);
            }
          fits(device, quick, figures);
        }
      fmt::print("{}\n",
                 nlohmann::json{{"benchmark", "uncertainty_speed"},
                                {"figures", figures},
                                {"seeds", {1, 2}},
                                {"machine",
                                 fmt::format("{} thread(s){}",
                                             at::get_num_threads(),
                                             devices.size() > 1 ? ", one GPU" :
                                                                  "")}}
                   .dump());
      return 0;
    }
  catch (const std::exception &error)
    {
      std::cerr << "uncertainty_speed: " << error.what() << std::endl;
      return 1;
    }
}
