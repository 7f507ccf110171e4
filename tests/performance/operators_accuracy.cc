// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/training/trainer.h>
#include <torch/cuda.h>
#include <torch/utils.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "darcy_data.h"
#include "darcy_field.h"

// Trains one operator on the Darcy benchmark, as a JSON file says, and prints
// its relative L2 errors on the test samples.
//
//   operators_accuracy DATA RUN.json MODEL [--evaluate]
//
// MODEL is where the trained model is written; with --evaluate it is read
// instead, and only its errors are computed. A GPU is used if there is one.

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;

  /** The square's eight symmetries as permutations of s × s points, [8, s²]. */
  torch::Tensor
  symmetries_of_the_square(const long s)
  {
    const auto points = torch::arange(s * s, torch::kInt64).reshape({s, s});
    std::vector<torch::Tensor> result;
    for (const auto &turned : {points, points.t()})
      for (const bool x : {false, true})
        for (const bool y : {false, true})
          {
            auto image = turned;
            if (x)
              image = image.flip(0);
            if (y)
              image = image.flip(1);
            result.push_back(image.flatten());
          }
    return torch::stack(result);
  }



  /** Coefficients, coarse solutions and solutions, a channel each. */
  OperatorData
  prepare(const DarcyData &data, const long coarse_cells)
  {
    OperatorData result;
    result.input.fields = data.coefficient.unsqueeze(1);
    result.target       = data.solution.unsqueeze(1);
    for (unsigned int level = 0; level < DarcyData::coarse_cells.size();
         ++level)
      if (DarcyData::coarse_cells[level] == coarse_cells)
        result.prior =
          evaluate_at_centres(data.coarse[level], data.n_cells, data.stride)
            .to(torch::kFloat32)
            .unsqueeze(1);
    return result;
  }



  /** ‖p − t‖/‖t‖ of every sample, [n]. */
  torch::Tensor
  relative_errors(OperatorModel &model, const OperatorData &data)
  {
    const torch::NoGradGuard no_gradients;
    model.eval();
    std::vector<torch::Tensor> errors;
    for (long begin = 0; begin < data.size(); begin += 20)
      {
        const auto block =
          data.slice(begin, std::min<long>(begin + 20, data.size()));
        errors.push_back(
          ((model.forward(block) - block.target).flatten(1).norm(2, 1) /
           block.target.flatten(1).norm(2, 1)));
      }
    return torch::cat(errors).to(torch::kCPU, torch::kFloat64);
  }



  int
  run(const std::string &data_file,
      const std::string &run_file,
      const std::string &model_file,
      const bool         only_evaluate)
  {
    const auto parameters =
      nlohmann::json::parse(std::ifstream(run_file), nullptr, true, true);
    const torch::Device device(torch::cuda::is_available() ? torch::kCUDA :
                                                             torch::kCPU);
    const auto          data   = DarcyData::read(data_file);
    const long          coarse = parameters.value("coarse cells", 0L);
    const auto          all    = prepare(data, coarse).to(device);
    const long n_train  = parameters.value("training samples", data.n_train);
    const auto training = all.slice(0, n_train),
               test     = all.slice(data.n_train, data.n_train + data.n_test);

    if (only_evaluate)
      {
        const auto model = OperatorModel::load(ModelFile::read(model_file));
        model->to(device);
        const auto errors = relative_errors(*model, test);
        fmt::print("{}: test error {:.4f} %\n",
                   model_file,
                   1e2 * errors.mean().item<double>());
        return 0;
      }

    const auto trainer_parameters =
      Trainer::parse(parameters.value("training", nlohmann::json::object()),
                     run_file);
    auto model = std::make_shared<OperatorModel>(parameters.at("operator"),
                                                 OperatorShape{1, 1, 2},
                                                 parameters.at("parameters"),
                                                 coarse > 0,
                                                 run_file,
                                                 trainer_parameters.seed);
    model->set_scales(training.to(torch::kCPU));
    model->to(device);
    LossContext context;
    const auto  loss =
      make_loss(parameters.value("loss", "relative L2"),
                parameters.value("loss parameters", nlohmann::json::object()),
                run_file,
                context);
    Trainer    trainer(model,
                    training,
                    {},
                    std::shared_ptr<const Loss>(loss),
                    symmetries_of_the_square(data.solution.size(1)).to(device),
                    trainer_parameters);
    const auto start   = std::chrono::steady_clock::now();
    const auto seconds = [&]() {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                           start)
        .count();
    };
    bool more = true;
    while (more)
      {
        more              = trainer.train_epoch();
        const auto &epoch = trainer.history().back();
        if (epoch.number % std::max<long>(trainer_parameters.epochs / 10, 1) ==
            0)
          {
            fmt::print("epoch {} after {:.0f} s: training loss {:.5f}\n",
                       epoch.number,
                       seconds(),
                       epoch.training_loss);
            std::fflush(stdout);
          }
      }
    trainer.finish();
    const auto errors = relative_errors(*model, test);
    fmt::print("{}: test error {:.4f} %, training error {:.4f} %, {:.0f} s\n",
               run_file,
               1e2 * errors.mean().item<double>(),
               1e2 * relative_errors(*model, training).mean().item<double>(),
               seconds());
    ModelFile file;
    model->save(file);
    file.write(model_file);
    return 0;
  }
} // namespace



int
main(int argc, char *argv[])
{
  try
    {
      if (argc < 4)
        throw std::runtime_error(
          "usage: operators_accuracy DATA RUN.json MODEL [--evaluate]");
      return run(argv[1], argv[2], argv[3], argc > 4);
    }
  catch (const std::exception &error)
    {
      std::cerr << "operators_accuracy: " << error.what() << std::endl;
      return 1;
    }
}
