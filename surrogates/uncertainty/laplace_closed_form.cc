// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/uncertainty/kronecker_curvature.h>
#include <neuraldeal/surrogates/uncertainty/laplace.h>
#include <neuraldeal/surrogates/uncertainty/last_layer.h>
#include <neuraldeal/surrogates/uncertainty/random_tensors.h>
#include <torch/autograd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * The posterior as closed forms need it, in the precision of the network:
   * what products of a layer's input with it lose to rounding is no more than
   * what the last bits of that input say.
   */
  struct LaplaceApproximation::ClosedForm
  {
    /**
     * Of layers that may be the last one. With the covariance of the weights
     * of the outputs c and d, Σ_cd = R_c T_c T_dᵀ R_dᵀ, T_c T_cᵀ = 1:
     */
    struct Last
    {
      torch::Tensor weight, bias;
      torch::Tensor roots; ///< R_c, [out, k, k]

      /**
       * T_c, [out, k, q] float64, where the layer has all weights that are
       * uncertain; otherwise not defined.
       */
      torch::Tensor common;
    };

    /** A block of Kronecker's form that belongs to a spectral layer. */
    struct Spectral
    {
      torch::Tensor weight, modes;
      bool          is_complex;

      /** U, V and eigenvalues of Σ of each mode; complex as [K, m, m, 2]. */
      torch::Tensor row_vectors, column_vectors, variance;
    };

    std::vector<Last>     last_layers;
    std::vector<Spectral> spectral_blocks;
  };



  namespace
  {
    using Block = KroneckerCurvature::Block;

    // How far values of the closed form and of products of the Jacobian may be
    // from each other, relative to the largest: that of single precision.
    constexpr double agreement = 1e-4;

    // Where a root of the covariance of all weights is formed there must not
    // be more.
    constexpr long most_weights = 4096;

    // Random directions beyond the rank of a factor, and products with its
    // matrix before they are made orthogonal.
    constexpr long oversampling = 8;
    constexpr int  n_products   = 3;

    // Where there are more points than that many for each weight of an output,
    // some are enough to say which directions count most.
    constexpr long points_a_weight = 8;

    // The stream of random numbers that they are from.
    constexpr std::uint64_t item_of_directions = 3ULL << 40;

    bool
    are_same(const torch::Tensor &a, const torch::Tensor &b)
    {
      return a.defined() && b.defined() && a.is_same(b);
    }



    bool
    ends_with(const std::string &name, const std::string &end)
    {
      return name.size() >= end.size() &&
             name.compare(name.size() - end.size(), end.size(), end) == 0;
    }



    /** "network.projection_out" of "network.projection_out.weight". */
    std::string
    module_of(const std::string &name)
    {
      return name.substr(0, name.find_last_of('.') + 1);
    }



    const WeightSelection::Part *
    find_part(const WeightSelection &weights, const torch::Tensor &tensor)
    {
      for (const auto &part : weights.parts())
        if (are_same(part.tensor, tensor))
          return &part;
      return nullptr;
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



    /** R with R Rᵀ = C for a positive semidefinite C [k, k]. */
    torch::Tensor
    symmetric_root(const torch::Tensor &C)
    {
      const auto [values, vectors] = compat::symmetric_eigen(C);
      return vectors * values.clamp_min(0.).sqrt();
    }



    /** Re and Im side by side, [..., m, m, 2] → [..., m, 2 m]. */
    torch::Tensor
    side_by_side(const torch::Tensor &parts)
    {
      return torch::cat({parts.select(-1, 0), parts.select(-1, 1)}, -1);
    }



    /**
     * Square roots of what the weights of modes add to the covariance of the
     * channels of the field that a spectral layer gives, the same at all
     * points: with the coefficients x of a mode, in which the point is a phase
     * that drops out,
     *   f² Re Σ_j t_j V_j V_jᴴ,  t_j = Σ_i |(Uᴴ x̄)_i|² s_ij,
     * where s are the eigenvalues of Σ and f is 2 for modes that stand for
     * their negative as well: f² G Gᵀ, where G has the real parts of the
     * columns √t_j V_j, then the imaginary ones.
     * @param x [K, n, in, 2], of each of the K modes.
     * @return G, [n, K, out, 2 out].
     */
    template <typename Spectral>
    torch::Tensor
    mode_roots(const Spectral      &block,
               const torch::Tensor &positions,
               const torch::Tensor &x)
    {
      const long n = x.size(1);
      const auto s = block.variance.index_select(0, positions);
      if (!block.is_complex)
        {
          // Frequency zero. Rows are outputs, real and imaginary parts in turn,
          // of which the real ones count.
          const auto xhat =
            torch::matmul(x[0].select(-1, 0), block.column_vectors[0]);
          const auto t = torch::mm(xhat.square(), s[0].t()); // [n, 2 out]
          const auto U = block.row_vectors[0].slice(0, 0, c10::nullopt, 2);
          return (U * t.sqrt().unsqueeze(1)).unsqueeze(1);
        }
      const auto U  = block.row_vectors.index_select(0, positions);
      const auto V  = block.column_vectors.index_select(0, positions);
      const long in = x.size(2);
      // Of x̄ᵀ Ū only the absolute value counts: that of x U.
      const auto products =
        torch::bmm(x.transpose(2, 3).reshape({-1, 2 * n, in}), side_by_side(U))
          .reshape({-1, n, 2, 2, in});
      const auto re = products.select(2, 0).select(2, 0) -
                      products.select(2, 1).select(2, 1),
                 im = products.select(2, 0).select(2, 1) +
                      products.select(2, 1).select(2, 0);
      const auto t    = torch::bmm(re.square() + im.square(), s); // [K, n, out]
      const auto root = t.sqrt().transpose(0, 1);
      return side_by_side(V).unsqueeze(0) *
             torch::cat({root, root}, 2).unsqueeze(2);
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



    /** What a spectral layer's weights mean for an answer, for each sample. */
    struct SpectralRoots
    {
      /** The derivatives of each channel by the layer's field, [n, out, P]. */
      std::vector<torch::Tensor> slopes;

      /** Of each block: which of the layer's modes, their roots, and f. */
      std::vector<torch::Tensor> modes, roots, factors;
      std::vector<bool>          is_complex;
    };



    /**
     * @return roots without slopes if shapes do not allow that all that follows
     * is pointwise.
     */
    template <typename Spectral>
    SpectralRoots
    spectral_roots(const torch::Tensor         &y,
                   const ObservedLayer         &layer,
                   const std::vector<Spectral> &blocks)
    {
      SpectralRoots result;
      const auto   &field = layer.field;
      bool          fits  = field.defined() && field.dim() == y.dim();
      for (long j = 2; fits && j < y.dim(); ++j)
        fits = field.size(j) >= y.size(j);
      if (!fits)
        return result;

      const auto x = layer.input.detach().to(y.scalar_type());
      for (const auto &block : blocks)
        if (are_same(block.weight, layer.weight))
          {
            // Pairs of equal modes here and there: a grid may be too coarse
            // for some.
            const auto pairs =
              (layer.modes.unsqueeze(1) == block.modes.unsqueeze(0)).nonzero();
            if (pairs.size(0) == 0)
              continue;
            const auto here = pairs.select(1, 0);
            const auto f    = 1. + (layer.modes.index_select(0, here) >=
                                 modes_of_a_frequency(layer.weight))
                                  .to(y.scalar_type());
            result.is_complex.push_back(block.is_complex);
            result.modes.push_back(here.to(x.device()));
            result.factors.push_back(f.to(x.device()));
            result.roots.push_back(
              mode_roots(block,
                         pairs.select(1, 1).to(x.device()),
                         x.index_select(0, result.modes.back())));
          }
      if (result.roots.empty())
        return result;
      for (long c = 0; c < y.size(1); ++c)
        {
          auto D = derivative_of_sum(y, field, c);
          // Beyond the grid there is padding.
          for (long j = 2; j < y.dim(); ++j)
            D = D.slice(j, 0, y.size(j));
          result.slopes.push_back(D.flatten(2));
        }
      return result;
    }



    /** Add what a spectral layer contributes to the variances, [n, out, P]. */
    void
    add_spectral_layer(torch::Tensor &variances, const SpectralRoots &layer)
    {
      torch::Tensor covariance; // of the field's channels, [n, out, out]
      for (std::size_t b = 0; b < layer.roots.size(); ++b)
        {
          const auto G = layer.roots[b] * layer.factors[b].reshape({-1, 1, 1});
          const auto all =
            G.transpose(1, 2).reshape({G.size(0), G.size(2), -1});
          const auto C = torch::bmm(all, all.transpose(1, 2));
          covariance   = covariance.defined() ? covariance + C : C;
        }
      for (std::size_t c = 0; c < layer.slopes.size(); ++c)
        {
          const auto &D = layer.slopes[c];
          variances.select(1, c) += (D * torch::matmul(covariance, D)).sum(1);
        }
    }



    /**
     * C V for the covariance C = J Σ Jᵀ of sample @p i, J being that of a
     * spectral layer's weights: back to the coefficients of the field, whose
     * covariance has a block for each mode, and forth again.
     * @param y the answer.
     * @param vectors V, [m, out, P].
     */
    torch::Tensor
    times_covariance(const torch::Tensor &y,
                     const ObservedLayer &observed,
                     const SpectralRoots &layer,
                     const long           i,
                     const torch::Tensor &vectors)
    {
      const long    m = vectors.size(0);
      torch::Tensor coefficients, field;
      {
        const torch::AutoGradMode with_gradients(true);
        coefficients =
          torch::zeros({observed.modes.size(0), m, observed.field.size(1), 2},
                       vectors.options())
            .requires_grad_(true);
        field = observed.synthesis(coefficients);
      }
      const auto without_padding = [&](torch::Tensor fields) {
        for (long j = 2; j < y.dim(); ++j)
          fields = fields.slice(j, 0, y.size(j));
        return fields;
      };
      auto by_field = torch::zeros_like(field.detach());
      auto inside   = without_padding(by_field);
      for (std::size_t c = 0; c < layer.slopes.size(); ++c)
        inside += (layer.slopes[c][i] * vectors.slice(1, c, c + 1))
                    .reshape(inside.sizes());
      const auto g =
        torch::autograd::grad({field}, {coefficients}, {by_field})[0];

      // Coefficients are V̄ √t ξ with ξ of independent real and imaginary parts;
      // of frequency zero the real part alone is there.
      auto z = torch::zeros_like(g);
      for (std::size_t b = 0; b < layer.roots.size(); ++b)
        {
          const auto &here       = layer.modes[b];
          const auto  G          = layer.roots[b][i]; // [K, out, r]
          const long  out        = G.size(1);
          const bool  is_complex = layer.is_complex[b];
          const auto  R =
            is_complex ?
               torch::cat(
                {G, torch::cat({-G.slice(2, out), G.slice(2, 0, out)}, 2)},
                1) :
               G; // [K, out or 2 out, r]
          const auto of_modes = g.index_select(0, here);
          const auto parts =
            is_complex ? side_by_side(of_modes) : of_modes.select(-1, 0);
          const auto result =
            torch::bmm(torch::bmm(parts, R), R.transpose(1, 2));
          const auto real = result.slice(2, 0, out);
          z.index_copy_(0,
                        here,
                        torch::stack({real,
                                      is_complex ? result.slice(2, out) :
                                                   torch::zeros_like(real)},
                                     3));
        }
      const auto of_field =
        without_padding(observed.synthesis(z)).flatten(2); // [m, width, P]
      std::vector<torch::Tensor> of_channels;
      for (const auto &slope : layer.slopes)
        of_channels.push_back((slope[i] * of_field).sum(1));
      return torch::stack(of_channels, 1);
    }



    /**
     * A covariance factor from products with random directions alone, F =
     * (C Ω) (Ωᵀ C Ω)^{−1/2}, and its leading directions (Tropp et al.,
     * arXiv:1706.05736).
     * @return [n, out, P, k]
     */
    torch::Tensor
    factor_of_spectral_layer(const torch::Tensor &y,
                             const ObservedLayer &observed,
                             const SpectralRoots &layer,
                             const long           rank,
                             const std::uint64_t  seed)
    {
      const long n_values = y[0].numel(), out = y.size(1);
      const long m       = std::min(rank + oversampling, n_values);
      const auto options = y.options().requires_grad(false);
      const auto directions =
        m == n_values ?
          torch::eye(m, options) :
          normal_tensor({m, n_values}, seed, item_of_directions).to(options);
      // What is zero up to rounding has no inverse.
      const double smallest = y.scalar_type() == torch::kFloat64 ? 1e-13 : 1e-6;
      std::vector<torch::Tensor> results;
      for (long i = 0; i < y.size(0); ++i)
        {
          // A few at a time, whose fields stay in the cache of a processor.
          const long                 step = y.device().is_cpu() ? 4 : m;
          std::vector<torch::Tensor> parts;
          for (long k = 0; k < m; k += step)
            parts.push_back(
              times_covariance(y,
                               observed,
                               layer,
                               i,
                               directions.slice(0, k, std::min(k + step, m))
                                 .reshape({-1, out, n_values / out}))
                .flatten(1));
          const auto products = torch::cat(parts); // [m, N]
          const auto inner =
            torch::mm(directions, products.t()).to(torch::kFloat64);
          const auto [mu, U] =
            compat::symmetric_eigen(0.5 * (inner + inner.t()));
          const auto is_there = mu > smallest * mu[-1];
          const auto inverse =
            torch::where(is_there, mu, torch::ones_like(mu)).rsqrt() * is_there;
          const auto W    = U * inverse;
          const auto gram = torch::mm(products, products.t());
          const auto squares =
            torch::mm(torch::mm(W.t(), gram.to(torch::kFloat64)), W);
          const auto V =
            std::get<1>(compat::symmetric_eigen(0.5 * (squares + squares.t())));
          const auto leading =
            torch::mm(W, V.slice(1, m - std::min(rank, n_values)));
          results.push_back(torch::mm(products.t(), leading.to(y.scalar_type()))
                              .reshape({out, -1, leading.size(1)}));
        }
      return torch::stack(results);
    }



    /**
     * Add g_c² |R_cᵀ (h, 1)|² to the variances, [n, out, P].
     * @param roots R_c, [out, k, k].
     * @param gram where to add Σ_p a aᵀ, a = g_c R_cᵀ (h, 1), if it is defined,
     * [n, out, k, k] float64; of many points, over some of them.
     */
    void
    add_last_layer(torch::Tensor       &variances,
                   const LastLayer     &layer,
                   const torch::Tensor &roots,
                   const bool           has_weight,
                   const bool           has_bias,
                   torch::Tensor        gram)
    {
      const auto &g         = layer.slopes;
      const auto  h         = layer.features.to(roots.scalar_type());
      const long  n_weights = has_weight ? h.size(1) : 0;
      // An odd distance meets all rows and columns of a grid in the course of
      // time.
      const long stride =
        (std::max(1l, g.size(2) / (points_a_weight * roots.size(1))) - 1) / 2 *
          2 +
        1;
      for_each_block(
        g.device(),
        g.size(0),
        g.size(2),
        [&](const long i, const long j, const long p, const long q) {
          const auto x = h.slice(0, i, j).slice(2, p, q);
          for (long c = 0; c < roots.size(0); ++c)
            {
              const auto R = roots[c].t();
              const auto bias =
                R.slice(1, n_weights).unsqueeze(0); // [1, k, 0 or 1]
              const auto W =
                R.slice(1, 0, n_weights).unsqueeze(0).expand({j - i, -1, -1});
              auto a = !has_weight ? bias.expand({j - i, -1, q - p}) :
                       has_bias    ? torch::baddbmm(bias, W, x) :
                                     torch::bmm(W, x);
              a      = a * g.slice(0, i, j).slice(1, c, c + 1).slice(2, p, q);
              variances.slice(0, i, j).select(1, c).slice(1, p, q) +=
                (a * a).sum(1);
              if (!gram.defined())
                continue;
              const auto b = a.slice(2, 0, c10::nullopt, stride);
              gram.slice(0, i, j).select(1, c) +=
                torch::bmm(b, b.transpose(1, 2));
            }
        });
    }



    /**
     * The leading directions of J Σ Jᵀ by randomised subspace iteration (Halko,
     * Martinsson and Tropp, SIAM Review 53, 2011, section 4.5) in the space of
     * the weights, from the matrices of add_last_layer().
     * @param common T_c, [out, k, q].
     * @return T_c W for an orthonormal W [q, r] of each sample,
     * [n, out, k, r] float64.
     */
    torch::Tensor
    leading_directions(const torch::Tensor &gram,
                       const torch::Tensor &common,
                       const long           rank,
                       const long           n_values,
                       const std::uint64_t  seed)
    {
      const long n = gram.size(0), q = common.size(2);
      // Of one output it is all of them.
      const bool is_one = gram.size(1) == 1;
      if (q <= rank)
        return common.unsqueeze(0).expand({n, -1, -1, -1});
      const auto scale =
        gram.diagonal(0, 2, 3).sum({1, 2}).clamp_min(1e-300).reshape({n, 1, 1});
      const auto multiply = [&](const torch::Tensor &X) {
        if (is_one)
          return torch::bmm(gram.select(1, 0), X) / scale;
        const auto at_outputs = torch::matmul(common, X.unsqueeze(1));
        return torch::matmul(common.transpose(1, 2),
                             torch::matmul(gram, at_outputs))
                 .sum(1) /
               scale;
      };
      const long    m = rank + oversampling;
      torch::Tensor Q;
      // Where all are wanted that there are, none is drawn.
      if (n_values <= rank || 2 * m >= q)
        Q = torch::eye(q, gram.options()).expand({n, q, q});
      else
        {
          Q = normal_tensor({q, m}, seed, item_of_directions)
                .to(gram.device())
                .expand({n, q, m});
          for (int k = 0; k < n_products; ++k)
            Q = multiply(Q);
          Q = std::get<0>(at::linalg_qr(Q));
        }
      const auto inner = torch::matmul(Q.transpose(1, 2), multiply(Q));
      const auto V     = std::get<1>(
        compat::symmetric_eigen(0.5 * (inner + inner.transpose(1, 2))));
      const auto W =
        torch::matmul(Q, V.slice(2, V.size(2) - std::min(rank, n_values)));
      return is_one ? W.unsqueeze(1) : torch::matmul(common, W.unsqueeze(1));
    }



    /** g_c Dᵀ R_cᵀ (h, 1) for directions D_c, [n, out, P, r]. */
    torch::Tensor
    factor_of_last_layer(const LastLayer     &layer,
                         const torch::Tensor &roots,
                         const torch::Tensor &directions,
                         const bool           has_weight,
                         const bool           has_bias)
    {
      const auto &g = layer.slopes;
      const auto  h = layer.features.to(roots.scalar_type()).transpose(1, 2);
      const long  n_weights = has_weight ? h.size(2) : 0;
      const auto  D         = directions.to(roots.scalar_type());
      std::vector<torch::Tensor> of_outputs;
      for (long c = 0; c < roots.size(0); ++c)
        {
          const auto maps = torch::matmul(roots[c], D.select(1, c));
          const auto bias = maps.slice(1, n_weights); // [n, 0 or 1, r]
          const auto W    = maps.slice(1, 0, n_weights);
          const auto F    = !has_weight ? bias.expand({-1, g.size(2), -1}) :
                            has_bias    ? torch::baddbmm(bias, h, W) :
                                          torch::bmm(h, W);
          of_outputs.push_back(has_weight ?
                                 F.mul_(g.select(1, c).unsqueeze(2)) :
                                 F * g.select(1, c).unsqueeze(2));
        }
      return of_outputs.size() == 1 ? of_outputs[0].unsqueeze(1) :
                                      torch::stack(of_outputs, 1);
    }
  } // namespace



  void
  LaplaceApproximation::prepare_closed_form()
  {
    const torch::NoGradGuard no_gradients;
    closed_form.reset();
    if (!parameters.closed_form)
      return;
    const auto *const kronecker =
      dynamic_cast<const KroneckerCurvature *>(matrix.get());
    const bool few = chosen.size() <= most_weights;
    if (!kronecker && !few)
      return;
    const auto in_precision = [](const torch::Tensor &tensor,
                                 const torch::Tensor &like) {
      return (tensor.is_complex() ? torch::view_as_real(tensor) : tensor)
        .to(like.options().requires_grad(false));
    };
    const auto result = std::make_shared<ClosedForm>();

    // Layers with as many outputs as the operator.
    torch::Tensor root;
    const auto   &parts = chosen.parts();
    for (std::size_t i = 0; i < parts.size(); ++i)
      {
        const bool is_weight = ends_with(parts[i].name, "weight");
        if ((!is_weight && !ends_with(parts[i].name, "bias")) ||
            parts[i].tensor.size(0) != model->shape.out_channels ||
            parts[i].tensor.dim() > 2)
          continue;
        const auto module = module_of(parts[i].name);
        // A weight's bias, or one alone.
        const WeightSelection::Part *weight = is_weight ? &parts[i] : nullptr,
                                    *bias   = is_weight ? nullptr : &parts[i];
        bool has_weight                     = false;
        for (const auto &other : parts)
          if (module_of(other.name) == module)
            {
              if (is_weight && ends_with(other.name, "bias"))
                bias = &other;
              has_weight = has_weight || ends_with(other.name, "weight");
            }
        if (!is_weight && has_weight)
          continue;

        const auto                 numbers = LastLayer::numbers(weight, bias);
        const long                 out = numbers.size(0), k = numbers.size(1);
        std::vector<torch::Tensor> roots, common;
        for (long c = 0; c < out; ++c)
          if (few)
            {
              if (!root.defined())
                root = matrix->multiply_root(
                  torch::eye(chosen.size(), group_sizes.options()));
              // Rows of the root, with as many columns as there are weights.
              const auto rows =
                root.index_select(0, numbers[c].to(root.device()));
              if (out == 1 && rows.size(1) == k)
                {
                  roots.push_back(rows);
                  common.push_back(torch::eye(k, rows.options()));
                  continue;
                }
              const auto [Q, L] = at::linalg_qr(rows.t());
              roots.push_back(L.t());
              common.push_back(Q.t());
            }
          else
            {
              auto covariance = torch::zeros({k, k}, group_sizes.options());
              for (const auto &block : kronecker->all_blocks())
                if (weight && are_same(block.weight, weight->tensor))
                  {
                    const auto of_block = output_covariance(block, c);
                    covariance.slice(0, 0, of_block.size(0))
                      .slice(1, 0, of_block.size(0))
                      .copy_(of_block);
                  }
                else if (bias && are_same(block.bias, bias->tensor))
                  covariance[k - 1][k - 1] = output_covariance(block, c)[0][0];
              roots.push_back(symmetric_root(covariance));
            }
        ClosedForm::Last layer;
        if (weight)
          layer.weight = weight->tensor;
        if (bias)
          layer.bias = bias->tensor;
        layer.roots = in_precision(torch::stack(roots), parts[i].tensor);
        if (few && out * k == chosen.size())
          layer.common = torch::stack(common);
        result->last_layers.push_back(layer);
      }

    if (kronecker)
      for (const auto &block : kronecker->all_blocks())
        if (block.modes.defined() && block.weight.defined())
          {
            const auto as_layer = [&](const torch::Tensor &tensor) {
              return in_precision(tensor, block.weight);
            };
            result->spectral_blocks.push_back({block.weight,
                                               block.modes.cpu(),
                                               block.is_complex,
                                               as_layer(block.row_vectors),
                                               as_layer(block.column_vectors),
                                               as_layer(block.variance)});
          }
    closed_form = result;
  }



  LaplaceApproximation::Answer
  LaplaceApproximation::predict_in_closed_form(const OperatorData &data,
                                               const long          rank) const
  {
    if (!closed_form)
      return {};
    const EvaluationMode         evaluation(*model);
    const torch::NoGradGuard     no_gradients;
    const compat::TensorFloat32  whole_products(false);
    std::optional<LayerObserver> observer(chosen.tensors());
    const auto                   y      = model->forward(data);
    const auto                   layers = observer->layers;
    observer.reset();

    Answer result;
    auto   variances    = torch::zeros({y.size(0), y.size(1), y[0][0].numel()},
                                  y.options().requires_grad(false));
    std::size_t n_parts = 0;
    for (const auto &layer : layers)
      {
        const bool has_weight = find_part(chosen, layer.weight),
                   has_bias   = find_part(chosen, layer.bias);
        if (!has_weight && !has_bias)
          continue;
        n_parts += has_weight + has_bias;

        if (layer.kind == ObservedLayer::Kind::spectral)
          {
            const auto roots =
              spectral_roots(y, layer, closed_form->spectral_blocks);
            if (roots.slopes.empty())
              return {};
            add_spectral_layer(variances, roots);
            if (rank > 0 && layer.synthesis && chosen.parts().size() == 1)
              result.factor = factor_of_spectral_layer(
                y.detach(), layer, roots, rank, parameters.seed);
            continue;
          }
        const ClosedForm::Last *posterior = nullptr;
        for (const auto &other : closed_form->last_layers)
          if ((has_weight && are_same(other.weight, layer.weight)) ||
              (has_bias && are_same(other.bias, layer.bias)))
            posterior = &other;
        const auto last = LastLayer::of(layer, y);
        if (!posterior || !last.features.defined())
          return {};
        const auto   &R = posterior->roots;
        torch::Tensor gram;
        if (rank > 0 && posterior->common.defined())
          gram = torch::zeros({y.size(0), R.size(0), R.size(1), R.size(2)},
                              group_sizes.options());
        add_last_layer(variances, last, R, has_weight, has_bias, gram);
        if (gram.defined())
          result.factor =
            factor_of_last_layer(last,
                                 R,
                                 leading_directions(gram,
                                                    posterior->common,
                                                    rank,
                                                    y[0].numel(),
                                                    parameters.seed),
                                 has_weight,
                                 has_bias);
      }
    if (n_parts != chosen.parts().size())
      return {};
    result.mean     = y.detach();
    result.variance = variances.reshape(y.sizes());
    return result;
  }



  bool
  LaplaceApproximation::closed_form_agrees(const OperatorData &sample) const
  {
    const auto found = predict_in_closed_form(sample, 0).variance;
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
