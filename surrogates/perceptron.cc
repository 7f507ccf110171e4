// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/perceptron.h>
#include <neuraldeal/surrogates/training/adamw.h>
#include <neuraldeal/surrogates/training/parameter_vector.h>
#include <neuraldeal/surrogates/training/schedules.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  namespace
  {
    torch::Tensor
    uniform(const std::vector<std::int64_t> &shape,
            const double                     bound,
            CounterRandom                   &random)
    {
      auto    tensor = torch::empty(shape, torch::kFloat64);
      double *values = tensor.data_ptr<double>();
      for (std::int64_t i = 0; i < tensor.numel(); ++i)
        values[i] = bound * (2. * random.uniform() - 1.);
      return tensor;
    }
  } // namespace



  Perceptron::Perceptron(const long     n_inputs,
                         const long     n_outputs,
                         const long     width,
                         const long     depth,
                         CounterRandom &random)
  {
    long fan_in = n_inputs;
    for (long layer = 0; layer < depth; ++layer)
      {
        const double bound = 1. / std::sqrt(fan_in);
        hidden.push_back(uniform({fan_in, width}, bound, random));
        hidden.push_back(uniform({width}, bound, random));
        fan_in = width;
      }
    output = torch::zeros({width + n_inputs + 1, n_outputs}, torch::kFloat64);
  }



  Perceptron::Perceptron(const std::vector<torch::Tensor> &hidden)
    : hidden(hidden)
  {}



  torch::Tensor
  Perceptron::features(const torch::Tensor &inputs) const
  {
    auto x = inputs;
    for (std::size_t layer = 0; layer < hidden.size(); layer += 2)
      x = torch::silu(torch::addmm(hidden[layer + 1], x, hidden[layer]));
    return torch::cat(
      {x, inputs, torch::ones({inputs.size(0), 1}, inputs.options())}, 1);
  }



  double
  Perceptron::train(const torch::Tensor   &inputs,
                    const torch::Tensor   &outputs,
                    const TrainingOptions &options,
                    CounterRandom         &random)
  {
    auto parameters = hidden;
    parameters.push_back(output);
    for (auto &parameter : parameters)
      parameter.requires_grad_(true);

    const long n_rows     = inputs.size(0);
    const long batch_size = std::min(options.batch_size, n_rows);
    const long n_batches  = n_rows / batch_size;
    const long n_steps    = options.epochs * n_batches;
    auto       rates      = torch::empty({n_steps}, torch::kFloat64);
    for (long step = 0; step < n_steps; ++step)
      rates.data_ptr<double>()[step] =
        one_cycle(options.learning_rate, step, n_steps);
    AdamW::Options choices;
    choices.weight_decay = options.weight_decay;
    choices.epsilon      = options.epsilon;
    const ParameterVector weights(parameters);
    AdamW                 optimizer(weights.values(), rates, choices);

    double loss_sum = 0;
    for (long epoch = 0; epoch < options.epochs; ++epoch)
      {
        auto                      order = random.permutation(n_rows);
        std::vector<std::int64_t> indices(order.begin(), order.end());
        const auto shuffled = torch::tensor(indices, torch::kInt64);
        loss_sum            = 0;
        for (long batch = 0; batch < n_batches; ++batch)
          {
            const auto rows =
              shuffled.slice(0, batch * batch_size, (batch + 1) * batch_size);
            const auto difference =
              torch::mm(features(inputs.index_select(0, rows)), output) -
              outputs.index_select(0, rows);
            const auto loss = difference.square().sum(1).mean();
            weights.gradients().zero_();
            loss.backward();
            optimizer.step(weights.gradients());
            loss_sum += loss.item<double>();
          }
      }

    for (auto &parameter : parameters)
      {
        parameter.requires_grad_(false);
        parameter.mutable_grad() = torch::Tensor();
      }
    return loss_sum / n_batches;
  }

} // namespace neuraldeal
