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
#include <map>

#include "accuracy_problems.h"

// How accurate the operators are on the Darcy and the elasticity benchmark:
// relative L² errors on the test samples, for every row of a JSON file and
// three seeds, beside those of the coarse finite element solutions alone.
// Models are kept; where there is one already it is not trained again, so that
// what a GPU has trained is evaluated anywhere, and seeds may be trained on
// several of them.
//
//   operators_accuracy ROWS.json DATA_FOLDER MODEL_FOLDER [quick] [SEED ...]

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::performance;

  /**
   * ‖p − t‖/‖t‖, mean over the samples.
   * @param symmetries if defined: of their symmetric mean.
   */
  double
  mean_error(OperatorModel       &model,
             const OperatorData  &data,
             const torch::Tensor &symmetries)
  {
    const torch::NoGradGuard no_gradients;
    constexpr long           block_size = 20;
    double                   sum        = 0;
    for (long begin = 0; begin < data.size(); begin += block_size)
      {
        const auto block =
          data.slice(begin, std::min(begin + block_size, data.size()));
        const auto answer = symmetries.defined() ?
                              symmetric_mean(model, block, symmetries) :
                              model.forward(block);
        sum += ((answer - block.target).flatten(1).norm(2, 1) /
                block.target.flatten(1).norm(2, 1))
                 .sum()
                 .item<double>();
      }
    return sum / double(data.size());
  }



  /** Train the model of @p row, on the device of @p data. */
  std::shared_ptr<OperatorModel>
  train(const nlohmann::json  &row,
        const AccuracyProblem &problem,
        const OperatorData    &data,
        const std::uint64_t    seed,
        const bool             quick)
  {
    const std::string source     = row.at("row");
    auto              parameters = Trainer::parse(row.at("training"), source);
    parameters.seed              = seed;
    if (quick)
      parameters.epochs = 2;
    auto model = std::make_shared<OperatorModel>(row.at("operator"),
                                                 problem.shape(row),
                                                 row.at("parameters"),
                                                 data.prior.defined(),
                                                 source,
                                                 seed);
    model->set_scales(data.to(torch::kCPU));
    model->to(data.target.device());
    auto symmetries = problem.symmetries();
    if (symmetries.defined())
      symmetries = symmetries.to(data.target.device());
    Trainer trainer(
      model,
      data,
      {},
      make_loss("relative L2", nlohmann::json::object(), source, {}),
      symmetries,
      parameters);
    trainer.run(true);
    return model;
  }



  void
  run(const std::string         &rows_file,
      const std::string         &data_folder,
      const std::string         &model_folder,
      const bool                 quick,
      std::vector<std::uint64_t> seeds)
  {
    std::ifstream stream(rows_file);
    if (!stream)
      throw FileError(rows_file, "it cannot be read");
    const auto          rows = nlohmann::json::parse(stream);
    const torch::Device device(torch::cuda::is_available() ? torch::kCUDA :
                                                             torch::kCPU);
    if (seeds.empty())
      seeds = quick ? std::vector<std::uint64_t>{1} :
                      std::vector<std::uint64_t>{1, 2, 3};

    std::map<std::string, std::shared_ptr<const AccuracyProblem>> problems;
    std::vector<std::string>                                      table;
    nlohmann::json                                                figures;
    const auto use = [&](const nlohmann::json &row) -> const AccuracyProblem & {
      auto &problem = problems[AccuracyProblem::data_file(row)];
      if (!problem)
        {
          problem = AccuracyProblem::read(row, data_folder, rows_file);
          for (const auto &coarse : problem->coarse_solutions())
            {
              table.push_back(fmt::format("{}: {:50} {:7.3f} %",
                                          problem->points(),
                                          coarse.row,
                                          1e2 * coarse.error));
              figures[coarse.figure] = coarse.error;
            }
        }
      return *problem;
    };

    for (const auto &row : rows)
      {
        // For a first look, data that take minutes to make need not be there.
        if (quick &&
            !std::ifstream(data_folder + "/" + AccuracyProblem::data_file(row))
               .good())
          {
            fmt::print("{}: left out, since its data have not been made\n",
                       row.at("row").get<std::string>());
            continue;
          }
        const auto &problem = use(row);
        const long  n =
          quick ? 40 : row.value("training samples", problem.n_train());
        const auto training      = problem.training(row, n).to(device),
                   test          = problem.test(row).to(device);
        const std::string figure = row.at("figure");
        // A row may look at the models of another one in its own way.
        const std::string models = row.value("models of", figure);
        torch::Tensor     symmetries;
        if (row.value("symmetric mean", false))
          symmetries = problem.symmetries().to(device);
        std::string errors;
        double      sum = 0, seconds = 0;
        for (const auto seed : seeds)
          {
            const auto name =
              fmt::format("{}/{}-{}.safetensors", model_folder, models, seed);
            std::shared_ptr<OperatorModel> model;
            if (std::ifstream(name).good())
              {
                const auto file = ModelFile::read(name);
                model           = OperatorModel::load(file);
                model->to(device);
                model->eval();
                seconds += file.get<double>("seconds");
              }
            else
              {
                const auto start = std::chrono::steady_clock::now();
                model            = train(row, problem, training, seed, quick);
                ModelFile file;
                model->save(file);
                file.metadata["seconds"] =
                  std::chrono::duration<double>(
                    std::chrono::steady_clock::now() - start)
                    .count();
                seconds += file.metadata["seconds"].get<double>();
                file.write(name);
              }
            const double error = mean_error(*model, test, symmetries);
            sum += error;
            errors += fmt::format(" {:.3f}", 1e2 * error);
          }
        figures[figure] = sum / double(seeds.size());
        table.push_back(
          fmt::format("{}: {:50} {:7.3f} %  ({} ), {:.0f} s a training",
                      problem.points(),
                      row.at("row").get<std::string>(),
                      1e2 * sum / double(seeds.size()),
                      errors,
                      seconds / double(seeds.size())));
        fmt::print("{}\n", table.back());
        std::fflush(stdout);
      }

    fmt::print("\nmean relative L2 error of the test samples{}\n",
               quick ? "; quick: hardly trained" : " (of each seed)");
    for (const auto &line : table)
      fmt::print("{}\n", line);
    fmt::print("{}\n",
               nlohmann::json{{"benchmark", "operators_accuracy"},
                              {"figures", figures},
                              {"seeds", seeds},
                              {"machine", device.str()}}
                 .dump());
  }
} // namespace



int
main(int argc, char *argv[])
{
  try
    {
      if (argc < 4)
        throw std::runtime_error(
          "operators_accuracy ROWS.json DATA_FOLDER MODEL_FOLDER [quick] "
          "[SEED ...]");
      bool                       quick = false;
      std::vector<std::uint64_t> seeds;
      for (int i = 4; i < argc; ++i)
        if (std::string(argv[i]) == "quick")
          quick = true;
        else
          seeds.push_back(std::stoul(argv[i]));
      run(argv[1], argv[2], argv[3], quick, seeds);
      return 0;
    }
  catch (const std::exception &error)
    {
      std::cerr << "operators_accuracy: " << error.what() << std::endl;
      return 1;
    }
}
