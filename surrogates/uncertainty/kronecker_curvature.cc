// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/operators/layer_observer.h>
#include <neuraldeal/surrogates/uncertainty/kronecker_curvature.h>
#include <neuraldeal/surrogates/uncertainty/random_tensors.h>
#include <torch/autograd.h>

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

namespace neuraldeal
{
  namespace
  {
    /** [n, …] float64 as complex numbers, without derivatives. */
    torch::Tensor
    complex_of(const torch::Tensor &parts)
    {
      return torch::view_as_complex(
        parts.detach().to(torch::kFloat64).contiguous());
    }



    /** Xᴴ X of each of K matrices, [K, n, m] → [K, m, m]. */
    torch::Tensor
    gram(const torch::Tensor &X)
    {
      return torch::bmm(X.conj().transpose(1, 2), X);
    }



    /** The rows of a real layer, [n, points, features] float64. */
    torch::Tensor
    rows_of(const torch::Tensor &tensor, const ObservedLayer::Kind kind)
    {
      const auto x = tensor.detach().to(torch::kFloat64);
      if (kind == ObservedLayer::Kind::channels_first)
        return x.transpose(1, 2);
      return x.dim() == 2 ? x.unsqueeze(1) : x.flatten(1, -2);
    }



    /** The frequency zero among the modes of spectral weights. */
    long
    frequency_zero(const torch::Tensor &weights)
    {
      long result = 0;
      for (long j = 1; j < weights.dim() - 3; ++j)
        result = result * weights.size(j) + weights.size(j) / 2;
      return result;
    }



    /** The numbers of a tensor of weights, in its shape. */
    torch::Tensor
    numbers_of(const WeightSelection::Part &part)
    {
      return torch::arange(part.begin, part.end, torch::kInt64)
        .view(part.tensor.sizes())
        .to(part.tensor.device());
    }
  } // namespace



  /** The sums of which a layer's factors are made. */
  struct KroneckerCurvature::Factors
  {
    bool          has_weight, has_bias;
    torch::Tensor inputs, outputs; ///< [K, in, in] and [K, out, out]
    torch::Tensor count;           ///< rows of the inputs, [K]

    /** Of a spectral layer at frequency zero, [1, 2·out, 2·out]. */
    torch::Tensor outputs_at_zero;

    void
    add_input(const ObservedLayer &layer, const bool reduce)
    {
      if (layer.kind == ObservedLayer::Kind::spectral)
        {
          const auto x = complex_of(layer.input);
          if (!inputs.defined())
            {
              const long K = layer.weight.numel() / layer.weight.size(-1) /
                             layer.weight.size(-2) / layer.weight.size(-3);
              inputs = torch::zeros({K, x.size(2), x.size(2)}, x.options());
              count  = torch::zeros({K}, x.options().dtype(torch::kFloat64));
            }
          const auto modes = layer.modes.to(x.device());
          inputs.index_add_(0, modes, gram(x));
          count.index_add_(0,
                           modes,
                           torch::full({x.size(0)},
                                       double(x.size(1)),
                                       count.options()));
          return;
        }
      auto       x    = rows_of(layer.input, layer.kind);
      const auto ones = torch::ones({x.size(0), x.size(1), 1}, x.options());
      if (!has_weight)
        x = ones;
      else if (has_bias)
        x = torch::cat({x, ones}, 2);
      if (reduce)
        x = x.mean(1, true);
      const auto rows = x.flatten(0, 1).unsqueeze(0);
      const auto n    = torch::full({1}, double(rows.size(1)), x.options());
      inputs          = inputs.defined() ? inputs + gram(rows) : gram(rows);
      count           = count.defined() ? count + n : n;
    }

    void
    add_output(const ObservedLayer &layer,
               const torch::Tensor &gradient,
               const double         factor,
               const bool           reduce)
    {
      if (layer.kind == ObservedLayer::Kind::spectral)
        {
          const auto g = complex_of(gradient);
          if (!outputs.defined())
            outputs =
              torch::zeros({count.size(0), g.size(2), g.size(2)}, g.options());
          const auto modes = layer.modes.to(g.device());
          outputs.index_add_(0, modes, factor * gram(g));

          const auto zero =
            torch::view_as_real(
              g.index_select(
                0, (modes == frequency_zero(layer.weight)).nonzero().flatten()))
              .flatten(2);
          const auto real = factor * gram(zero);
          outputs_at_zero =
            outputs_at_zero.defined() ? outputs_at_zero + real : real;
          return;
        }
      auto g = rows_of(gradient, layer.kind);
      if (reduce)
        g = g.sum(1, true);
      const auto sum = factor * gram(g.flatten(0, 1).unsqueeze(0));
      outputs        = outputs.defined() ? outputs + sum : sum;
    }
  };



  KroneckerCurvature::KroneckerCurvature(const WeightSelection   &weights,
                                         const std::vector<long> &groups,
                                         const bool               reduce,
                                         const long               n_draws,
                                         const std::uint64_t      seed)
    : weights(weights)
    , groups(groups)
    , reduce(reduce)
    , n_draws(n_draws)
    , seed(seed)
  {}



  void
  KroneckerCurvature::fit(const GaussNewton &H)
  {
    const auto &parts     = weights.parts();
    const auto  find_part = [&](const torch::Tensor &tensor) {
      if (tensor.defined())
        for (std::size_t i = 0; i < parts.size(); ++i)
          if (parts[i].tensor.is_same(tensor))
            return long(i);
      return -1l;
    };

    // By the numbers of weight and bias, or −1 for what is in no such block.
    std::map<std::pair<long, long>, Factors> factors;
    std::vector<long>                        without_layer;
    auto          squares = torch::zeros_like(weights.values());
    std::uint64_t index   = 0;

    const auto add_batch = [&](const OperatorData  &batch,
                               const torch::Tensor &value_weights) {
      const torch::AutoGradMode with_gradients(true);
      LayerObserver             observer;
      const auto                answer = H.model->forward(batch);

      // The blocks that each layer belongs to, two where its bias has another
      // prior than its weights.
      std::vector<std::pair<const ObservedLayer *, Factors *>> layers;
      std::set<long>                                           found;
      torch::autograd::variable_list                           variables;
      for (const auto &layer : observer.layers)
        {
          const long w = find_part(layer.weight), b = find_part(layer.bias);
          std::vector<std::pair<long, long>> keys;
          if (w >= 0 && b >= 0 && groups[w] == groups[b])
            keys = {{w, b}};
          else
            {
              if (w >= 0)
                keys.push_back({w, -1});
              if (b >= 0)
                keys.push_back({-1, b});
            }
          for (const auto &key : keys)
            {
              auto &f      = factors[key];
              f.has_weight = key.first >= 0;
              f.has_bias   = key.second >= 0;
              f.add_input(layer, reduce);
              layers.emplace_back(&layer, &f);
              variables.push_back(layer.output);
            }
          found.insert({w, b});
        }
      without_layer.clear();
      for (long i = 0; i < long(parts.size()); ++i)
        if (!found.count(i))
          {
            without_layer.push_back(i);
            variables.push_back(parts[i].tensor);
          }

      const auto add_gradients = [&](const torch::Tensor &v,
                                     const double         factor) {
        const auto gradients = torch::autograd::grad(
          {answer},
          variables,
          {v.reshape(answer.sizes()).to(answer.scalar_type())},
          true,
          false,
          true);
        for (std::size_t l = 0; l < layers.size(); ++l)
          if (gradients[l].defined())
            layers[l].second->add_output(*layers[l].first,
                                         gradients[l],
                                         factor,
                                         reduce);
        for (std::size_t i = 0; i < without_layer.size(); ++i)
          if (gradients[layers.size() + i].defined())
            {
              const auto &part = parts[without_layer[i]];
              squares.slice(0, part.begin, part.end) +=
                factor * gradients[layers.size() + i]
                           .to(torch::kFloat64)
                           .square()
                           .flatten();
            }
      };

      const auto roots = value_weights.sqrt();
      for (long draw = 0; draw < n_draws; ++draw)
        add_gradients(
          roots * sign_tensor(roots.sizes(), seed, index++).to(roots.device()),
          1. / double(n_draws));
      if (n_draws == 0)
        for (long i = 0; i < roots.numel(); ++i)
          {
            auto v = torch::zeros_like(roots.flatten());
            v[i]   = roots.flatten()[i];
            add_gradients(v, 1.);
          }
    };
    // Value by value, those of different samples must not meet.
    H.for_each_batch(add_batch, n_draws == 0 ? 1 : 0);

    blocks.clear();
    const auto add_block = [this](Block                block,
                                  const torch::Tensor &numbers,
                                  const torch::Tensor &row_factor,
                                  const torch::Tensor &column_factor) {
      block.index             = numbers;
      block.is_complex        = row_factor.is_complex();
      const auto [rows, U]    = compat::symmetric_eigen(row_factor);
      const auto [columns, V] = compat::symmetric_eigen(column_factor);
      block.row_vectors       = U.contiguous();
      block.column_vectors    = V.contiguous();
      block.curvature         = (block.is_complex ? 0.5 : 1.) *
                        rows.clamp_min(0.).unsqueeze(2) *
                        columns.clamp_min(0.).unsqueeze(1);
      blocks.push_back(block);
    };
    for (auto &[key, f] : factors)
      {
        if (!f.outputs.defined())
          {
            // Without influence on the answer, and so without curvature.
            for (const long i : {key.first, key.second})
              if (i >= 0)
                without_layer.push_back(i);
            continue;
          }
        Block block;
        if (f.has_weight)
          block.weight = parts[key.first].tensor;
        if (f.has_bias)
          block.bias = parts[key.second].tensor;
        const auto A = f.inputs / f.count.clamp_min(1.).reshape({-1, 1, 1});
        if (A.is_complex())
          {
            const auto &part = parts[key.first];
            const long  in = A.size(1), out = f.outputs.size(1);
            const auto  numbers = numbers_of(part).view({-1, in, out, 2});
            const long  zero    = frequency_zero(part.tensor);
            const auto  others  = torch::cat(
              {torch::arange(zero, torch::kInt64),
                 torch::arange(zero + 1, numbers.size(0), torch::kInt64)});
            block.modes = torch::full({1}, zero, torch::kInt64);
            add_block(block,
                      numbers[zero].permute({1, 2, 0}).reshape(
                        {1, 2 * out, in}),
                      f.outputs_at_zero,
                      torch::real(A.slice(0, zero, zero + 1)).contiguous());
            if (others.size(0) > 0)
              {
                const auto these = others.to(A.device());
                block.modes      = others;
                add_block(block,
                          numbers.index_select(0, these),
                          A.index_select(0, these),
                          f.outputs.index_select(0, these));
              }
            continue;
          }
        std::vector<torch::Tensor> numbers;
        if (f.has_weight)
          numbers.push_back(numbers_of(parts[key.first]));
        if (f.has_bias)
          numbers.push_back(numbers_of(parts[key.second]).view({-1, 1}));
        add_block(block, torch::cat(numbers, 1).unsqueeze(0), f.outputs, A);
      }

    std::vector<torch::Tensor> numbers = {
      torch::empty({0}, squares.options().dtype(torch::kInt64))};
    for (const long i : without_layer)
      numbers.push_back(numbers_of(parts[i]).flatten());
    rest           = torch::cat(numbers);
    rest_curvature = squares.index_select(0, rest);
  }



  void
  KroneckerCurvature::set_scales(const torch::Tensor &prior_precision,
                                 const double         beta)
  {
    for (auto &block : blocks)
      block.variance =
        1. / (beta * block.curvature +
              prior_precision[block.index.flatten()[0].item<std::int64_t>()]);
    rest_variance =
      1. / (beta * rest_curvature + prior_precision.index_select(0, rest));
  }



  double
  KroneckerCurvature::log_determinant() const
  {
    double result = -rest_variance.log().sum().item<double>();
    for (const auto &block : blocks)
      result -= (block.is_complex ? 2. : 1.) *
                block.variance.log().sum().item<double>();
    return result;
  }



  torch::Tensor
  KroneckerCurvature::variances() const
  {
    auto result = torch::zeros({weights.size()}, rest_variance.options());
    result.index_copy_(0, rest, rest_variance);
    for (const auto &block : blocks)
      {
        auto diagonal =
          torch::bmm(torch::bmm(block.row_vectors.abs().square(),
                                block.variance),
                     block.column_vectors.abs().square().transpose(1, 2));
        if (block.is_complex)
          diagonal = torch::stack({diagonal, diagonal}, 3);
        result.index_copy_(0, block.index.flatten(), diagonal.flatten());
      }
    return result;
  }



  template <typename Eigenvalues>
  torch::Tensor
  KroneckerCurvature::apply(const torch::Tensor &vectors,
                            const torch::Tensor &of_rest,
                            const Eigenvalues   &eigenvalues) const
  {
    const auto v      = vectors.t();
    auto       result = torch::zeros_like(v, at::MemoryFormat::Contiguous);
    result.index_copy_(1, rest, v.index_select(1, rest) * of_rest);
    for (const auto &block : blocks)
      {
        auto shape = block.index.sizes().vec();
        shape.insert(shape.begin(), v.size(0));
        const auto numbers = block.index.flatten();
        auto       M       = v.index_select(1, numbers).view(shape);
        if (block.is_complex)
          M = torch::view_as_complex(M.contiguous());
        const auto &U = block.row_vectors, &V = block.column_vectors;
        M = torch::matmul(torch::matmul(U.conj().transpose(1, 2), M), V);
        M = torch::matmul(torch::matmul(U, M * eigenvalues(block)),
                          V.conj().transpose(1, 2));
        if (block.is_complex)
          M = torch::view_as_real(M);
        result.index_copy_(1, numbers, M.reshape({v.size(0), -1}));
      }
    return result.t();
  }



  torch::Tensor
  KroneckerCurvature::multiply(const torch::Tensor &vectors) const
  {
    return apply(vectors, rest_variance, [](const Block &block) {
      return block.variance;
    });
  }



  torch::Tensor
  KroneckerCurvature::multiply_root(const torch::Tensor &vectors) const
  {
    return apply(vectors, rest_variance.sqrt(), [](const Block &block) {
      return block.variance.sqrt();
    });
  }



  torch::Tensor
  KroneckerCurvature::curvature_product(const torch::Tensor &vectors) const
  {
    return apply(vectors, rest_curvature, [](const Block &block) {
      return block.curvature;
    });
  }



  Curvature::State
  KroneckerCurvature::state() const
  {
    const auto part_of = [this](const torch::Tensor &tensor) {
      for (std::size_t i = 0; i < weights.parts().size(); ++i)
        if (tensor.defined() && weights.parts()[i].tensor.is_same(tensor))
          return std::int64_t(i);
      return std::int64_t(-1);
    };
    const auto real = [](const torch::Tensor &tensor) {
      return tensor.is_complex() ? torch::view_as_real(tensor) : tensor;
    };
    State result = {{"rest", rest}, {"rest.curvature", rest_curvature}};
    for (std::size_t i = 0; i < blocks.size(); ++i)
      {
        const auto &block = blocks[i];
        const auto  name  = "block_" + std::to_string(i);
        result[name + ".parts"] =
          torch::tensor({part_of(block.weight), part_of(block.bias)},
                        torch::kInt64);
        if (block.modes.defined())
          result[name + ".modes"] = block.modes;
        result[name + ".index"]     = block.index;
        result[name + ".rows"]      = real(block.row_vectors);
        result[name + ".columns"]   = real(block.column_vectors);
        result[name + ".curvature"] = block.curvature;
      }
    return result;
  }



  void
  KroneckerCurvature::set_state(const State           &state,
                                const WeightSelection &selection)
  {
    const auto check = [](const bool good) {
      if (!good)
        throw std::out_of_range("block");
    };
    // Each weight is in one place.
    auto       seen = torch::zeros({selection.size()}, torch::kInt64);
    const auto see  = [&](const torch::Tensor &numbers) {
      const auto these = numbers.flatten().cpu();
      check(these.scalar_type() == torch::kInt64);
      if (these.numel() == 0)
        return;
      check(these.min().item<std::int64_t>() >= 0 &&
            these.max().item<std::int64_t>() < selection.size());
      seen.index_add_(0, these, torch::ones_like(these));
    };

    std::vector<Block> new_blocks;
    for (long i = 0; state.count("block_" + std::to_string(i) + ".parts"); ++i)
      {
        const auto name = "block_" + std::to_string(i);
        Block      block;
        const auto parts = find(state, name + ".parts", {2}).cpu();
        for (const long j : {0, 1})
          {
            const auto part = parts[j].item<std::int64_t>();
            check(part >= -1 && part < long(selection.parts().size()));
            if (part >= 0)
              (j == 0 ? block.weight : block.bias) =
                selection.parts()[part].tensor;
          }
        block.curvature = find(state, name + ".curvature", {-1, -1, -1});
        const long K = block.curvature.size(0), r = block.curvature.size(1),
                   c            = block.curvature.size(2);
        block.index             = state.at(name + ".index");
        block.is_complex        = block.index.dim() == 4;
        std::vector<long> index = {K, r, c}, rows = {K, r, r},
                          columns = {K, c, c};
        if (block.is_complex)
          for (auto *sizes : {&index, &rows, &columns})
            sizes->push_back(2);
        see(find(state, name + ".index", index));
        const auto stored = [&](const torch::Tensor &vectors) {
          return block.is_complex ?
                   torch::view_as_complex(vectors.contiguous()) :
                   vectors;
        };
        block.row_vectors    = stored(find(state, name + ".rows", rows));
        block.column_vectors = stored(find(state, name + ".columns", columns));
        // Weights of modes have more indices than a matrix.
        if (block.weight.defined() && block.weight.dim() > 2)
          block.modes = find(state, name + ".modes", {K}).cpu();
        new_blocks.push_back(block);
      }
    const auto new_rest = find(state, "rest", {-1});
    see(new_rest);
    check((seen == 1).all().item<bool>());
    rest_curvature = find(state, "rest.curvature", {new_rest.size(0)});
    rest           = new_rest;
    blocks         = new_blocks;
  }
} // namespace neuraldeal
