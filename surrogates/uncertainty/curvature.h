// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_curvature_h
#define neuraldeal_surrogates_uncertainty_curvature_h

#include <neuraldeal/surrogates/uncertainty/gauss_newton.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * A form of the Gauss–Newton matrix H that can be inverted: the Gaussian
   *   N(0, Σ),  Σ = (β H + D)⁻¹,
   * of P weights, with the diagonal D of prior precisions and the factor β of
   * the likelihood. Everything is float64.
   */
  class Curvature
  {
  public:
    virtual ~Curvature() = default;

    /** Take H, or what this form holds of it, from @p H. */
    virtual void
    fit(const GaussNewton &H) = 0;

    /**
     * Add that of more data, if this form is able to; set_scales() comes next.
     * @return whether it is.
     */
    virtual bool
    add(const GaussNewton &)
    {
      return false;
    }

    /**
     * Choose D and β, before anything below is called.
     * @param prior_precision the diagonal of D, > 0, [P].
     */
    virtual void
    set_scales(const torch::Tensor &prior_precision, const double beta) = 0;

    /** log det (β H + D) */
    virtual double
    log_determinant() const = 0;

    /** The diagonal of Σ, [P]. */
    virtual torch::Tensor
    variances() const = 0;

    /** Σ V, [P, k] → [P, k]. */
    virtual torch::Tensor
    multiply(const torch::Tensor &vectors) const = 0;

    /** R V with a square R for which R Rᵀ = Σ, [P, k] → [P, k]. */
    virtual torch::Tensor
    multiply_root(const torch::Tensor &vectors) const = 0;

    /** H V as this form has it, [P, k] → [P, k]. */
    virtual torch::Tensor
    curvature_product(const torch::Tensor &vectors) const = 0;

    /** Real tensors by name. */
    using State = std::map<std::string, torch::Tensor>;

    /** What fit() has found. */
    virtual State
    state() const = 0;

    /**
     * Take what state() has given.
     * @param weights those that it is about.
     * @throw std::out_of_range where something is missing, or is of another
     * size.
     */
    virtual void
    set_state(const State &state, const WeightSelection &weights) = 0;

  protected:
    /** The tensor called @p name, of these @p sizes; −1 is any. */
    static torch::Tensor
    find(const State             &state,
         const std::string       &name,
         const std::vector<long> &sizes);
  };



  /** H as it is, [P, P]: for few weights, a last layer for instance. */
  class FullCurvature : public Curvature
  {
  public:
    void
    fit(const GaussNewton &H) override;

    bool
    add(const GaussNewton &H) override;

    void
    set_scales(const torch::Tensor &prior_precision,
               const double         beta) override;

    double
    log_determinant() const override;

    torch::Tensor
    variances() const override;

    torch::Tensor
    multiply(const torch::Tensor &vectors) const override;

    torch::Tensor
    multiply_root(const torch::Tensor &vectors) const override;

    torch::Tensor
    curvature_product(const torch::Tensor &vectors) const override;

    State
    state() const override;

    void
    set_state(const State &state, const WeightSelection &weights) override;

  private:
    torch::Tensor matrix, factor; ///< H and Cholesky's factor of Σ⁻¹
  };



  /** The diagonal of H; see GaussNewton::diagonal(). */
  class DiagonalCurvature : public Curvature
  {
  public:
    DiagonalCurvature(const long n_draws, const std::uint64_t seed);

    void
    fit(const GaussNewton &H) override;

    void
    set_scales(const torch::Tensor &prior_precision,
               const double         beta) override;

    double
    log_determinant() const override;

    torch::Tensor
    variances() const override;

    torch::Tensor
    multiply(const torch::Tensor &vectors) const override;

    torch::Tensor
    multiply_root(const torch::Tensor &vectors) const override;

    torch::Tensor
    curvature_product(const torch::Tensor &vectors) const override;

    State
    state() const override;

    void
    set_state(const State &state, const WeightSelection &weights) override;

  private:
    const long          n_draws;
    const std::uint64_t seed;
    torch::Tensor       diagonal, precision;
  };



  /**
   * The leading k eigenpairs of H by randomised subspace iteration (Halko,
   * Martinsson and Tropp, SIAM Review 53, 2011, algorithms 4.4 and 5.3), from
   * products with H alone: H ≈ L Lᵀ with L [P, k]. Directions beyond keep
   * their prior variance, so that Σ is too large there rather than too small.
   *
   * With B = √β D^{−1/2} L and the eigenpairs V, λ of BᵀB (k × k) one has
   *   Σ = D^{−1/2} (I − B V (1+λ)⁻¹ Vᵀ Bᵀ) D^{−1/2}.
   */
  class LowRankCurvature : public Curvature
  {
  public:
    /** @param rank k; P is enough for all of H. */
    LowRankCurvature(const long rank, const std::uint64_t seed);

    void
    fit(const GaussNewton &H) override;

    void
    set_scales(const torch::Tensor &prior_precision,
               const double         beta) override;

    double
    log_determinant() const override;

    torch::Tensor
    variances() const override;

    torch::Tensor
    multiply(const torch::Tensor &vectors) const override;

    torch::Tensor
    multiply_root(const torch::Tensor &vectors) const override;

    torch::Tensor
    curvature_product(const torch::Tensor &vectors) const override;

    State
    state() const override;

    void
    set_state(const State &state, const WeightSelection &weights) override;

  private:
    const long          rank;
    const std::uint64_t seed;
    torch::Tensor       L;              ///< [P, k]
    torch::Tensor       root_precision; ///< D^{1/2} as [P, 1]
    torch::Tensor       BV, lambda;     ///< [P, k], [k]
  };
} // namespace neuraldeal

#endif
