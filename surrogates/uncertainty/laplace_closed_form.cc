// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/operators/layer_observer.h>
#include <neuraldeal/surrogates/uncertainty/kronecker_curvature.h>
#include <neuraldeal/surrogates/uncertainty/laplace.h>
#include <torch/autograd.h>

#include <functional>
#include <vector>

namespace neuraldeal
{
  namespace
  {
    using Block = KroneckerCurvature::Block;

    // How far values of the closed form and of products of the Jacobian may be
    // from each other, relative to the largest: that of single precision.
    constexpr double agreement = 1e-4;

    // Where the covariance of all weights is formed there must not be more.
    constexpr long most_weights = 4096;

    bool
    are_same(const torch::Tensor &a, const torch::Tensor &b)
    {
      return a.defined() && b.defined() && a.is_same(b);
    }



    /** The derivatives of Σ y by @p variable, float64. */
    torch::Tensor
    derivative_of_sum(const torch::Tensor &y, const torch::Tensor &variable)
    {
      const auto gradient =
        torch::autograd::grad({y.sum()}, {variable}, {}, true, false, true)[0];
      return gradient.defined() ?
               gradient.to(torch::kFloat64) :
               torch::zeros_like(variable.detach(), torch::kFloat64);
    }



    /** xᵀ C x for x [n, k, P], with C [k, k] or [n, k, k]: [n, P]. */
    torch::Tensor
    quadratic(const torch::Tensor &x, const torch::Tensor &C)
    {
      return (x * torch::matmul(C, x)).sum(1);
    }



    /** The covariance of the weights of one output in a block, [k, k]. */
    torch::Tensor
    output_covariance(const Block &block, const long output)
    {
      const auto variances =
        torch::mv(block.variance[0].t(), block.row_vectors[0][output].square());
      const auto &V = block.column_vectors[0];
      return torch::mm(V * variances, V.t());
    }



    /**
     * What the weights of modes add to the covariance of the channels of the
     * field that a spectral layer gives, the same at all points: with the
     * coefficients x of a mode, in which the point is a phase that drops out,
     *   f² Re Σ_j t_j V_j V_jᴴ,  t_j = Σ_i |(Uᴴ x̄)_i|² s_ij,
     * where s are the eigenvalues of Σ.
     * @param x [n, in] of each of the K modes of @p block, complex.
     * @param f [K], 2 for modes that stand for their negative as well.
     * @return [n, out, out]
     */
    torch::Tensor
    field_covariance(const Block         &block,
                     const torch::Tensor &positions,
                     const torch::Tensor &x,
                     const torch::Tensor &f)
    {
      const auto s = block.variance.index_select(0, positions);
      if (!block.is_complex)
        {
          // Frequency zero. Rows are outputs, real and imaginary parts in turn,
          // of which the real ones count.
          const auto xhat =
            torch::matmul(torch::real(x)[0], block.column_vectors[0]);
          const auto t = torch::mm(xhat.square(), s[0].t());
          const auto U = block.row_vectors[0].slice(0, 0, c10::nullopt, 2);
          return torch::matmul(U * t.unsqueeze(1), U.t()) * f[0].square();
        }
      const auto U    = block.row_vectors.index_select(0, positions);
      const auto V    = block.column_vectors.index_select(0, positions);
      const auto xhat = torch::matmul(x.conj(), U.conj()).abs().square();
      const auto t =
        torch::bmm(xhat, s) * f.square().reshape({-1, 1, 1}); // [K, n, out]

      // Re(v w̄) by its two products.
      torch::Tensor result;
      for (const auto &part : {torch::real(V), torch::imag(V)})
        {
          const auto sum = torch::einsum("kno,kpo,kqo->npq", {t, part, part});
          result         = result.defined() ? result + sum : sum;
        }
      return result;
    }



    /** How many of the modes of a spectral layer have one last frequency. */
    long
    modes_of_a_frequency(const torch::Tensor &weight)
    {
      long result = 1;
      for (long j = 1; j < weight.dim() - 3; ++j)
        result *= weight.size(j);
      return result;
    }



    /**
     * Add to the variances of each channel, [n, P], what a spectral layer's
     * weights contribute, if all that follows is pointwise.
     * @return whether the shapes allow that.
     */
    bool
    add_spectral_layer(std::vector<torch::Tensor> &variances,
                       const torch::Tensor        &y,
                       const ObservedLayer        &layer,
                       const KroneckerCurvature   &kronecker)
    {
      const auto &field = layer.field;
      bool        fits  = field.defined() && field.dim() == y.dim();
      for (long j = 2; fits && j < y.dim(); ++j)
        fits = field.size(j) >= y.size(j);
      if (!fits)
        return false;

      const auto x = torch::view_as_complex(
        layer.input.detach().to(torch::kFloat64).contiguous());
      const auto f = (1. + (layer.modes >= modes_of_a_frequency(layer.weight))
                             .to(torch::kFloat64))
                       .to(x.device());
      torch::Tensor covariance;
      for (const auto &block : kronecker.all_blocks())
        if (are_same(block.weight, layer.weight))
          {
            // Pairs of equal modes here and there: a grid may be too coarse
            // for some.
            const auto pairs =
              (layer.modes.unsqueeze(1) == block.modes.unsqueeze(0))
                .nonzero()
                .to(x.device());
            const auto here = pairs.select(1, 0);
            if (here.size(0) == 0)
              continue;
            const auto C = field_covariance(block,
                                            pairs.select(1, 1),
                                            x.index_select(0, here),
                                            f.index_select(0, here));
            covariance   = covariance.defined() ? covariance + C : C;
          }
      if (!covariance.defined())
        return false;
      for (std::size_t c = 0; c < variances.size(); ++c)
        {
          auto D = derivative_of_sum(y.select(1, c), field);
          // Beyond the grid there is padding.
          for (long j = 2; j < y.dim(); ++j)
            D = D.slice(j, 0, y.size(j));
          variances[c] = variances[c] + quadratic(D.flatten(2), covariance);
        }
      return true;
    }



    /**
     * Likewise for a layer after which values are at most multiplied by
     * numbers: the derivative of a value by its own weights is the layer's
     * input times that by the layer's output.
     * @param covariance_of of the chosen weights, then the bias if it is
     * chosen, of an output.
     */
    bool
    add_last_layer(std::vector<torch::Tensor>                 &variances,
                   const torch::Tensor                        &y,
                   const ObservedLayer                        &layer,
                   const bool                                  has_weight,
                   const bool                                  has_bias,
                   const std::function<torch::Tensor(long c)> &covariance_of)
    {
      const long n_channels = variances.size();
      if (layer.input.dim() < 3)
        return false;
      auto h = layer.input.detach().to(torch::kFloat64);
      auto g = derivative_of_sum(y, layer.output);
      if (layer.kind == ObservedLayer::Kind::features_last)
        {
          h = h.transpose(1, -1);
          g = g.transpose(1, -1);
        }
      h = h.flatten(2);
      g = g.flatten(2);
      if (g.size(0) != y.size(0) || g.size(1) != n_channels ||
          g.numel() != y.numel())
        return false;
      const auto ones = torch::ones_like(h.slice(1, 0, 1));
      h = !has_weight ? ones : has_bias ? torch::cat({h, ones}, 1) : h;
      for (long c = 0; c < n_channels; ++c)
        variances[c] = variances[c] +
                       g.select(1, c).square() * quadratic(h, covariance_of(c));
      return true;
    }
  } // namespace



  LaplaceApproximation::Answer
  LaplaceApproximation::predict_in_closed_form(const OperatorData &data) const
  {
    const auto *const kronecker =
      dynamic_cast<const KroneckerCurvature *>(matrix.get());
    if (!kronecker && chosen.size() > most_weights)
      return {};
    const auto part_of =
      [this](const torch::Tensor &tensor) -> const WeightSelection::Part * {
      for (const auto &part : chosen.parts())
        if (are_same(part.tensor, tensor))
          return &part;
      return nullptr;
    };

    const EvaluationMode      evaluation(*model);
    const torch::AutoGradMode with_gradients(true);
    LayerObserver             observer;
    const auto                y = model->forward(data);
    const auto                doubles =
      y.options().dtype(torch::kFloat64).requires_grad(false);

    std::vector<torch::Tensor> variances(y.size(1), torch::zeros({1}, doubles));
    torch::Tensor              all_weights; // their covariance, if needed
    std::size_t                n_parts = 0;
    for (const auto &layer : observer.layers)
      {
        const auto *const weight = part_of(layer.weight),
                          *bias  = part_of(layer.bias);
        if (!weight && !bias)
          continue;
        n_parts += (weight != nullptr) + (bias != nullptr);

        if (layer.kind == ObservedLayer::Kind::spectral)
          {
            if (!kronecker ||
                !add_spectral_layer(variances, y, layer, *kronecker))
              return {};
            continue;
          }

        const long n_inputs =
          weight ? layer.weight.numel() / layer.weight.size(0) : 0;
        const long k             = n_inputs + (bias != nullptr);
        const auto covariance_of = [&](const long c) {
          if (!kronecker)
            {
              if (!all_weights.defined())
                all_weights =
                  matrix->multiply(torch::eye(chosen.size(), doubles));
              std::vector<torch::Tensor> numbers;
              if (weight)
                numbers.push_back(
                  torch::arange(weight->begin + c * n_inputs,
                                weight->begin + (c + 1) * n_inputs,
                                torch::kInt64));
              if (bias)
                numbers.push_back(
                  torch::full({1}, bias->begin + c, torch::kInt64));
              const auto these = torch::cat(numbers).to(y.device());
              return all_weights.index_select(0, these).index_select(1, these);
            }
          auto result = torch::zeros({k, k}, doubles);
          for (const auto &block : kronecker->all_blocks())
            if (weight && are_same(block.weight, layer.weight))
              {
                const auto of_block = output_covariance(block, c);
                result.slice(0, 0, of_block.size(0))
                  .slice(1, 0, of_block.size(0))
                  .copy_(of_block);
              }
            else if (bias && are_same(block.bias, layer.bias))
              result[k - 1][k - 1] = output_covariance(block, c)[0][0];
          return result;
        };
        if (!add_last_layer(variances,
                            y,
                            layer,
                            weight != nullptr,
                            bias != nullptr,
                            covariance_of))
          return {};
      }
    if (n_parts != chosen.parts().size())
      return {};
    return {y.detach(), torch::stack(variances, 1).reshape(y.sizes())};
  }



  bool
  LaplaceApproximation::closed_form_agrees(const OperatorData &sample) const
  {
    const auto found = predict_in_closed_form(sample).variance;
    if (!found.defined())
      return false;
    // Some values far from each other, and some that are not zero.
    constexpr long n_checks = 5;
    const auto     spread   = torch::arange(n_checks, torch::kInt64);
    const auto     sorted   = found.flatten().argsort(0, true).cpu();
    const long     n        = found.numel();
    const auto     indices  = torch::cat(
      {((2 * spread + 1) * n).floor_divide(2 * n_checks),
            sorted.index_select(0, (spread * n).floor_divide(2 * n_checks))});
    const auto wanted = covariance(sample, indices).diagonal();
    const auto these =
      found.flatten().index_select(0, indices.to(found.device()));
    return ((these - wanted).abs().max() <= agreement * wanted.abs().max())
      .item<bool>();
  }
} // namespace neuraldeal
