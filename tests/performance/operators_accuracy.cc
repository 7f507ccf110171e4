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

#include "darcy_data.h"
#include "darcy_field.h"

// How accurate the operators are on the Darcy benchmark: relative L² errors on
// its test samples, for every row of a JSON file and three seeds, beside those
// of the coarse finite element solutions alone. Models are kept; where there is
// one already it is not trained again, so that what a GPU has trained is
// evaluated anywhere.
//
//   operators_accuracy ROWS.json DATA_FOLDER MODEL_FOLDER [quick]

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
      for (const auto &directions :
           std::vector<std::vector<std::int64_t>>{{}, {0}, {1}, {0, 1}})
        result.push_back(turned.flip(directions).flatten());
    return torch::stack(result);
  }



  /** Coefficients, coarse solutions if wanted, and solutions. */
  OperatorData
  prepare(const DarcyData &data, const long coarse_cells)
  {
    OperatorData result;
    result.input.fields = data.coefficient.unsqueeze(1);
    result.target       = data.solution.unsqueeze(1);
    for (std::size_t level = 0; level < DarcyData::coarse_cells.size(); ++level)
      if (DarcyData::coarse_cells[level] == coarse_cells)
        result.prior =
          evaluate_at_centres(data.coarse[level], data.n_cells, data.stride)
            .to(torch::kFloat32)
            .unsqueeze(1);
    return result;
  }



  /** ‖p − t‖/‖t‖, mean over the samples. */
  double
  mean_error(OperatorModel &model, const OperatorData &data)
  {
    const torch::NoGradGuard no_gradients;
    constexpr long           block_size = 20;
    double                   sum        = 0;
    for (long begin = 0; begin < data.size(); begin += block_size)
      {
        const auto block =
          data.slice(begin, std::min(begin + block_size, data.size()));
        sum += ((model.forward(block) - block.target).flatten(1).norm(2, 1) /
                block.target.flatten(1).norm(2, 1))
                 .sum()
                 .item<double>();
      }
    return sum / double(data.size());
  }



  /** Train the model of @p row, on the device of @p data. */
  std::shared_ptr<OperatorModel>
  train(const nlohmann::json &row,
        const OperatorData   &data,
        const std::uint64_t   seed,
        const bool            quick)
  {
    const std::string source     = row.at("row");
    auto              parameters = Trainer::parse(row.at("training"), source);
    parameters.seed              = seed;
    if (quick)
      parameters.epochs = 2;
    auto model = std::make_shared<OperatorModel>(row.at("operator"),
                                                 OperatorShape{1, 1, 2},
                                                 row.at("parameters"),
                                                 data.prior.defined(),
                                                 source,
                                                 seed);
    model->set_scales(data.to(torch::kCPU));
    model->to(data.target.device());
    Trainer trainer(
      model,
      data,
      {},
      make_loss("relative L2", nlohmann::json::object(), source, {}),
      symmetries_of_the_square(data.target.size(2)).to(data.target.device()),
      parameters);
    trainer.run(true);
    return model;
  }



  void
  run(const std::string &rows_file,
      const std::string &data_folder,
      const std::string &model_folder,
      const bool         quick)
  {
    std::ifstream stream(rows_file);
    if (!stream)
      throw FileError(rows_file, "it cannot be read");
    const auto          rows = nlohmann::json::parse(stream);
    const torch::Device device(torch::cuda::is_available() ? torch::kCUDA :
                                                             torch::kCPU);
    const std::vector<std::uint64_t> seeds =
      quick ? std::vector<std::uint64_t>{1} :
              std::vector<std::uint64_t>{1, 2, 3};

    std::map<std::string, DarcyData> sets;
    std::vector<std::string>         table;
    nlohmann::json                   figures;
    const auto use = [&](const std::string &name) -> const DarcyData & {
      if (sets.count(name) == 0)
        {
          sets[name] =
            DarcyData::read(data_folder + "/darcy-" + name + ".safetensors");
          const auto &data = sets[name];
          for (std::size_t level = 0; level < data.coarse.size(); ++level)
            {
              const double error = data.coarse_errors(level)
                                     .slice(0, data.n_train)
                                     .mean()
                                     .item<double>();
              table.push_back(
                fmt::format("{}² points: {:50} {:7.3f} %",
                            data.solution.size(1),
                            fmt::format("finite elements on {}² cells",
                                        DarcyData::coarse_cells[level]),
                            1e2 * error));
              figures[fmt::format(
                "coarse_{}_{}", DarcyData::coarse_cells[level], name)] = error;
            }
        }
      return sets[name];
    };

    for (const auto &row : rows)
      {
        const auto &data = use(row.at("set"));
        const auto  all =
          prepare(data, row.value("coarse cells", 0L)).to(device);
        const long n = quick ? 40 : row.value("training samples", data.n_train);
        const auto training = all.slice(0, n),
                   test = all.slice(data.n_train, data.n_train + data.n_test);
        std::string errors;
        double      sum = 0, seconds = 0;
        for (const auto seed : seeds)
          {
            const auto name = fmt::format("{}/{}-{}.safetensors",
                                          model_folder,
                                          row.at("figure").get<std::string>(),
                                          seed);
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
                model            = train(row, training, seed, quick);
                ModelFile file;
                model->save(file);
                file.metadata["seconds"] =
                  std::chrono::duration<double>(
                    std::chrono::steady_clock::now() - start)
                    .count();
                seconds += file.metadata["seconds"].get<double>();
                file.write(name);
              }
            const double error = mean_error(*model, test);
            sum += error;
            errors += fmt::format(" {:.3f}", 1e2 * error);
          }
        figures[row.at("figure").get<std::string>()] =
          sum / double(seeds.size());
        table.push_back(
          fmt::format("{}² points: {:50} {:7.3f} %  ({} ), {:.0f} s a training",
                      data.solution.size(1),
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
          "operators_accuracy ROWS.json DATA_FOLDER MODEL_FOLDER [quick]");
      run(argv[1], argv[2], argv[3], argc > 4);
      return 0;
    }
  catch (const std::exception &error)
    {
      std::cerr << "operators_accuracy: " << error.what() << std::endl;
      return 1;
    }
}
