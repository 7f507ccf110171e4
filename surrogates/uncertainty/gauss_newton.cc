// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/uncertainty/gauss_newton.h>
#include <neuraldeal/surrogates/uncertainty/random_tensors.h>

#include <algorithm>

namespace neuraldeal
{
  EvaluationMode::EvaluationMode(torch::nn::Module &module)
    : module(module)
    , was_training(module.is_training())
  {
    module.eval();
  }



  EvaluationMode::~EvaluationMode()
  {
    module.train(was_training);
  }



  GaussNewton::GaussNewton(const std::shared_ptr<OperatorModel> &model,
                           const WeightSelection                &weights,
                           const OperatorData                   &data,
                           const torch::Tensor                  &value_weights,
                           const long                            batch_size)
    : model(model)
    , weights(weights)
    , data(data)
    , value_weights(value_weights.to(torch::kFloat64))
    , batch_size(batch_size)
  {}



  void
  GaussNewton::for_each_batch(const Work &work, const long size) const
  {
    const EvaluationMode evaluation(*model);
    const long           step = size > 0 ? size : batch_size;
    for (long begin = 0; begin < data.size(); begin += step)
      {
        const long end = std::min(begin + step, data.size());
        work(data.slice(begin, end), value_weights.slice(0, begin, end));
      }
  }



  Linearization
  GaussNewton::linearize(const OperatorData &batch) const
  {
    return Linearization([&]() { return model->forward(batch); }, weights);
  }



  torch::Tensor
  GaussNewton::product(const torch::Tensor &vectors) const
  {
    auto result = torch::zeros_like(vectors);
    for_each_batch([&](const OperatorData &batch, const torch::Tensor &w) {
      const auto J = linearize(batch);
      for (long j = 0; j < vectors.size(1); ++j)
        result.select(1, j).add_(
          J.transposed_product(w * J.product(vectors.select(1, j))));
    });
    return result;
  }



  torch::Tensor
  GaussNewton::dense() const
  {
    torch::Tensor result;
    for_each_batch([&](const OperatorData &batch, const torch::Tensor &w) {
      const auto J = linearize(batch).dense();
      const auto H = torch::mm(J.t(), w.reshape({-1, 1}) * J);
      result       = result.defined() ? result + H : H;
    });
    return result;
  }



  torch::Tensor
  GaussNewton::diagonal(const long n_draws, const std::uint64_t seed) const
  {
    auto          result = torch::zeros_like(weights.values());
    std::uint64_t index  = 0;
    for_each_batch([&](const OperatorData &batch, const torch::Tensor &w) {
      const auto J = linearize(batch);
      if (n_draws == 0)
        result += torch::mv(J.dense().square().t(), w.flatten());
      else
        for (long draw = 0; draw < n_draws; ++draw)
          result +=
            J.transposed_product(
               w.sqrt() * sign_tensor(w.sizes(), seed, index++).to(w.device()))
              .square() /
            double(n_draws);
    });
    return result;
  }
} // namespace neuraldeal
