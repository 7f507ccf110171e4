// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_covariance_kernel_h
#define neuraldeal_surrogates_covariance_kernel_h

#include <torch/types.h>

#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * The covariance of a Gaussian process on d inputs,
   *   k(x, x') = m(r) + b (1 + x·x'/d),  r² = Σ_i (x_i − x'_i)²/ℓ_i²,
   * whose second part holds all affine maps. By the name of the shape, m is
   * (Rasmussen and Williams, "Gaussian processes for machine learning", 2006,
   * section 4.2)
   *   Matern 1/2           exp(−r)
   *   Matern 3/2           (1 + s) exp(−s) with s = √3 r
   *   Matern 5/2           (1 + s + s²/3) exp(−s) with s = √5 r
   *   squared exponential  exp(−r²/2)
   * of which the first is for processes that are continuous and no more, and
   * each of the next for smoother ones. The inputs share lengths ℓ as
   *   each group   one length for each group of inputs
   *   each input   one for each input, so that those without influence fade
   *   shared       one for all
   *   varying      one for each input, and another one from place to place:
   *                ℓ_i(x) = ℓ_i exp(φ_i(x)), φ_i = 3 tanh(γ_i c·x/3), so that
   *                along one direction c of the inputs all lengths change, by
   *                powers γ_i of the same factor, but not more than 20 times.
   *                The first part of k is then
   *                  Π_i (ℓ_i(x) ℓ_i(x')/s_i)^{1/2} m(r),
   *                  r² = Σ_i (x_i − x'_i)²/s_i,
   *                  s_i = (ℓ_i(x)² + ℓ_i(x')²)/2
   *                (Paciorek and Schervish, "Spatial modelling using a new
   *                class of nonstationary covariance functions", Environmetrics
   *                17, 2006, equation 7). For a map that is rougher in a part
   *                of its inputs, as layers are that get thinner
   * All tensors are float64.
   */
  class CovarianceKernel
  {
  public:
    /**
     * @param groups the number of inputs of each group, which add up to d.
     * @param shape, length_scales names as above.
     * @throw InputError for a name that is none of these.
     */
    explicit CovarianceKernel(const std::vector<long> &groups,
                              const std::string       &shape   = "Matern 5/2",
                              const std::string &length_scales = "each group");

    /**
     * log ℓ of each group, each input or all; where lengths vary all γ and all
     * c; then log b.
     */
    const torch::Tensor &
    hyperparameters() const
    {
      return logarithms;
    }

    /** @param values as many as hyperparameters() has. */
    void
    set_hyperparameters(const torch::Tensor &values);

    /** k of all pairs of rows, [n, d] × [m, d] → [n, m]. */
    torch::Tensor
    matrix(const torch::Tensor &x, const torch::Tensor &y) const;

    /** k(x, x) of each row, [n, d] → [n]. */
    torch::Tensor
    diagonal(const torch::Tensor &x) const;

    /**
     * Σ_ij w_ij ∂k(x_i, y_j)/∂θ for the hyperparameters θ: with the
     * derivatives w of a function by the entries of matrix(x, y), [n, m], its
     * gradient by the hyperparameters.
     */
    torch::Tensor
    gradient(const torch::Tensor &w,
             const torch::Tensor &x,
             const torch::Tensor &y) const;

    /** The same for diagonal(x), with w [n]. */
    torch::Tensor
    gradient_of_diagonal(const torch::Tensor &w, const torch::Tensor &x) const;

    /** The names of all shapes, separated by commas. */
    static std::string
    shapes();

    /** The same of the ways to share lengths. */
    static std::string
    length_scale_choices();

  private:
    enum class Shape
    {
      matern_1_2,
      matern_3_2,
      matern_5_2,
      squared_exponential
    };

    /** m(r) of r². */
    torch::Tensor
    radial(const torch::Tensor &square) const;

    /** The inputs of @p block over their lengths, without what varies. */
    torch::Tensor
    scaled(const torch::Tensor &x, const std::size_t block) const;

    /** Where lengths vary: γ, c. */
    torch::Tensor
    powers() const;

    torch::Tensor
    direction() const;

    /** φ_i of each row, [n, d]. */
    torch::Tensor
    exponents(const torch::Tensor &x) const;

    /** What is summed and multiplied over the inputs where lengths vary. */
    struct Varying
    {
      /** (x_i − y_i)²/s_i, one matrix an input. */
      std::vector<torch::Tensor> squares;

      /** ℓ_i(x)²/(ℓ_i(x)² + ℓ_i(y)²), one matrix an input. */
      std::vector<torch::Tensor> shares;

      torch::Tensor factor; ///< Π_i (ℓ_i(x) ℓ_i(y)/s_i)^{1/2}, [n, m]
      torch::Tensor square; ///< r², [n, m]
    };

    Varying
    varying_distances(const torch::Tensor &x, const torch::Tensor &y) const;

    torch::Tensor
    varying_gradient(const torch::Tensor &w,
                     const torch::Tensor &x,
                     const torch::Tensor &y) const;

    /** The terms of r² by groups, a matrix each, or all of r² in one. */
    std::vector<torch::Tensor>
    squared_distances(const torch::Tensor &x, const torch::Tensor &y) const;

    /** −2 dm/d(r²), by which m grows with the logarithms of the lengths. */
    torch::Tensor
    slope(const torch::Tensor &square) const;

    /** b */
    double
    affine() const;

    Shape             shape;
    bool              each_input, varying;
    std::vector<long> blocks; ///< numbers of inputs whose distances add up
    torch::Tensor     logarithms;
  };
} // namespace neuraldeal

#endif
