// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/uncertainty/gauss_newton.h>
#include <neuraldeal/surrogates/uncertainty/last_layer.h>
#include <neuraldeal/surrogates/uncertainty/random_tensors.h>

#include <algorithm>

namespace neuraldeal
{
  namespace
  {
    // How far a product with the Jacobian of a last layer may be from one with
    // that of the network, relative to its size: what single precision loses.
    constexpr double agreement = 1e-3;



    /** What the last layer of an answer has read, or nothing. */
    LastLayer
    find_last_layer(const WeightSelection &weights,
                    const LayerObserver   &observer,
                    const torch::Tensor   &y,
                    torch::Tensor         &numbers)
    {
      const auto part_of = [&](const torch::Tensor &tensor) {
        for (const auto &part : weights.parts())
          if (part.tensor.is_same(tensor))
            return &part;
        return static_cast<const WeightSelection::Part *>(nullptr);
      };
      const ObservedLayer *layer = nullptr;
      for (const auto &other : observer.layers)
        if (part_of(other.weight) || part_of(other.bias))
          {
            if (layer)
              return {};
            layer = &other;
          }
      if (!layer)
        return {};
      const auto *const weight = part_of(layer->weight),
                        *bias  = part_of(layer->bias);
      if ((weight != nullptr) + (bias != nullptr) !=
          long(weights.parts().size()))
        return {};
      auto result = LastLayer::of(*layer, y);
      if (!result.features.defined())
        return {};
      // Of rows of another layout there are other numbers of outputs.
      numbers = LastLayer::numbers(weight, bias);
      if (numbers.size(0) != y.size(1))
        return {};
      if (!weight)
        result.features = result.features.slice(1, 0, 0);
      if (bias)
        result.features = torch::cat(
          {result.features,
           torch::ones({result.features.size(0), 1, result.slopes.size(2)},
                       result.features.options())},
          1);
      return result;
    }
  } // namespace



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
  GaussNewton::dense_of_last_layer() const
  {
    const torch::NoGradGuard   no_gradients;
    bool                       holds = true;
    torch::Tensor              numbers;
    std::vector<torch::Tensor> sums; // for each output, [k, k]
    for_each_batch([&](const OperatorData &batch, const torch::Tensor &w) {
      if (!holds)
        return;
      torch::Tensor y;
      LastLayer     layer;
      {
        LayerObserver observer(weights.tensors());
        y     = model->forward(batch);
        layer = find_last_layer(weights, observer, y, numbers);
      }
      holds = layer.features.defined();
      if (!holds)
        return;
      const auto &h = layer.features, &g = layer.slopes;
      if (sums.empty())
        {
          // A product with all of the weights, at all values of a sample.
          const auto v = normal_tensor({weights.size()}, 1, 0).to(y.device());
          const auto J = linearize(batch.slice(0, 1));
          const auto wanted = J.product(v).flatten(2);
          const auto found =
            g.slice(0, 0, 1).to(torch::kFloat64) *
            torch::matmul(v.index_select(0, numbers.flatten().to(y.device()))
                            .reshape(numbers.sizes()),
                          h.slice(0, 0, 1).to(torch::kFloat64));
          const double error = (found - wanted).norm().item<double>();
          holds = error <= agreement * wanted.norm().item<double>();
          if (!holds)
            return;
          sums.assign(y.size(1),
                      torch::zeros({h.size(1), h.size(1)}, v.options()));
        }
      const auto factors =
        w.reshape(g.sizes()) * g.to(torch::kFloat64).square();
      for_each_block(
        y.device(),
        h.size(0),
        h.size(2),
        [&](const long i, const long j, const long p, const long q) {
          const auto x = h.slice(0, i, j)
                           .slice(2, p, q)
                           .to(torch::kFloat64)
                           .transpose(0, 1)
                           .reshape({h.size(1), -1});
          for (std::size_t c = 0; c < sums.size(); ++c)
            {
              const auto f =
                factors.slice(0, i, j).select(1, c).slice(1, p, q).reshape(
                  {1, -1});
              sums[c] = torch::addmm(sums[c], x * f, x.t());
            }
        });
    });
    if (!holds)
      return {};
    auto result =
      torch::zeros({weights.size(), weights.size()}, sums.at(0).options());
    for (std::size_t c = 0; c < sums.size(); ++c)
      {
        const auto these = numbers[c].to(result.device());
        // rounding of the two halves
        result.index_put_({these.unsqueeze(1), these.unsqueeze(0)},
                          0.5 * (sums[c] + sums[c].t()));
      }
    return result;
  }



  torch::Tensor
  GaussNewton::dense() const
  {
    if (const auto of_last_layer = dense_of_last_layer();
        of_last_layer.defined())
      return of_last_layer;
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
