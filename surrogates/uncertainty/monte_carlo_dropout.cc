// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <ATen/core/Generator.h>
#include <neuraldeal/surrogates/uncertainty/monte_carlo_dropout.h>
#include <torch/utils.h>

#include <mutex>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *name = "dropout";

    /** LibTorch's random numbers from @p seed on; afterwards as before. */
    class SeededNumbers
    {
    public:
      SeededNumbers(const torch::Device &device, const std::uint64_t seed)
        : generator(at::globalContext().defaultGenerator(device))
      {
        const std::lock_guard<std::mutex> lock(generator.mutex());
        state = generator.get_state();
        generator.set_current_seed(seed);
      }

      ~SeededNumbers()
      {
        const std::lock_guard<std::mutex> lock(generator.mutex());
        generator.set_state(state);
      }

    private:
      at::Generator generator;
      torch::Tensor state;
    };
  } // namespace



  MonteCarloDropout::MonteCarloDropout(const Parameters &parameters)
    : chosen(parameters)
  {}



  bool
  MonteCarloDropout::fits(const std::string &type) const
  {
    return operator_has_parameter(type, "dropout");
  }



  void
  MonteCarloDropout::fit(const Task &task)
  {
    check_fits(name, task);
    auto parameters       = task.parameters;
    parameters["dropout"] = chosen.dropout;
    model                 = train_operator(task,
                           parameters,
                           std::make_shared<RelativeNorm>(task.norm),
                           task.options.seed);
  }



  FieldDistribution
  MonteCarloDropout::predict(const OperatorData &data) const
  {
    const torch::NoGradGuard   no_gradients;
    const auto                 device = data.input.fields.device();
    std::vector<torch::Tensor> samples;
    model->train();
    // Every input by itself, by the same networks: what is said of one does not
    // depend on its place among others.
    for (long i = 0; i < data.size(); ++i)
      {
        const SeededNumbers numbers(device, 1);
        samples.push_back(model->forward(data.select(
          torch::full({chosen.samples},
                      i,
                      torch::TensorOptions(torch::kInt64).device(device)))));
      }
    model->eval();
    return FieldDistribution::of_samples(torch::stack(samples, 1));
  }



  void
  MonteCarloDropout::save(ModelFile &file) const
  {
    file.metadata["uncertainty"] = {{"method", name}};
    model->save(file);
  }



  void
  MonteCarloDropout::load(const ModelFile &file)
  {
    description_in(file, name);
    model = OperatorModel::load(file);
    model->eval();
  }



  void
  MonteCarloDropout::to(const torch::TensorOptions &options)
  {
    model->to(options.device(), options.dtype().toScalarType());
  }



  void
  MonteCarloDropout::register_type()
  {
    static const ProbabilisticOperatorRegistry::Registration registration(
      name,
      "Channels or attention that are dropped at random in answers as well.",
      {{"dropout", 0.1, 0.001, 0.9, "Fraction that is dropped."},
       {"samples", 30, 2, 10000, "Number of answers of which one is made."}},
      [](const nlohmann::json &given) {
        return std::make_unique<MonteCarloDropout>(
          Parameters{given["dropout"], given["samples"]});
      });
  }
} // namespace neuraldeal
