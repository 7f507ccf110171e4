// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_random_fields_cosine_expansion_h
#define neuraldeal_coupling_random_fields_cosine_expansion_h

#include <deal.II/base/function.h>
#include <deal.II/base/point.h>

#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/coupling/random_fields/field_transform.h>
#include <neuraldeal/surrogates/random.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * A Gaussian field on a box by its Karhunen–Loève expansion in cosines,
   *   u(x) = ∑_k ξ_k √λ_k φ_k(x),  λ_k = σ² (∑_d (π k_d/L_d)² + κ²)^{−α},
   *   φ_k(x) = ∏_d φ_{k_d}(x_d),  φ_0 = 1/√L_d,
   *   φ_j(x_d) = √(2/L_d) cos(π j (x_d − a_d)/L_d),
   * on [a_1, a_1 + L_1] × …, with independent standard normal ξ_k: mean zero,
   * covariance σ² (κ² − Δ)^{−α} with zero flux through the boundary, in closed
   * form at any point of any mesh. On the unit square with σ = 1, κ = 3, α = 2
   * and without the constant mode it is the input of the standard Darcy
   * benchmark (Li et al., "Fourier neural operator for parametric partial
   * differential equations", ICLR 2021, section 5.2).
   *
   * The modes are in the order of falling λ_k (equal ones in that of k). The
   * ξ are drawn, or are the parameters of a campaign:
   * @code
   * CosineExpansion<dim>::AdditionalData data;
   * data.n_modes = 20;
   * const CosineExpansion<dim> expansion(lower, upper, data);
   * InputDistribution inputs;
   * expansion.add_to(inputs);                        // xi_0, …, xi_19
   * FullOrderModel<VectorType> model;
   * model.solve = [&](const auto &input, auto &solution) {
   *   const auto u = expansion.function(input);      // a dealii::Function
   *   ... assemble with std::exp(u->value(point))
   * };
   * @endcode
   */
  template <int dim>
  class CosineExpansion
  {
  public:
    struct AdditionalData
    {
      double scale          = 1.; ///< σ
      double inverse_length = 3.; ///< κ, in one over units of the mesh
      double exponent       = 2.; ///< α > d/2

      unsigned int n_per_direction = 32; ///< k_d is less than this

      /** How many of these, the largest λ_k first; 0: all. */
      unsigned int n_modes = 0;

      bool constant_mode = true; ///< whether k = 0 is one of them

      std::string source = "the program"; ///< for error messages
    };

    /** One term of the sum. */
    struct Mode
    {
      std::array<unsigned int, dim> k;
      double                        variance; ///< λ_k
    };

    /**
     * @param lower, upper corners of the box.
     * @throw InputError for an empty box and for values that are not as above.
     */
    CosineExpansion(const dealii::Point<dim> &lower,
                    const dealii::Point<dim> &upper,
                    const AdditionalData     &data);

    const std::vector<Mode> &
    modes() const
    {
      return *all_modes;
    }

    /**
     * The variance of the field, its mean over the box: ∑ λ_k / |box| over the
     * modes that are kept. It is larger at the boundary than inside.
     */
    double
    mean_variance() const;

    /**
     * The share of the variance of the infinite sum (constant mode included
     * where it is wanted) that the modes keep.
     */
    double
    kept_share() const;

    /** The covariance of the truncated field at two points. */
    double
    covariance(const dealii::Point<dim> &x, const dealii::Point<dim> &y) const;

    /**
     * The ξ of sample number @p index, one for each mode; a longer expansion
     * has the same ones first.
     */
    std::vector<double>
    draw(const std::uint64_t         seed,
         const CounterRandom::Stream stream,
         const std::uint64_t         index) const;

    /** Append the ξ as standard normal entries, @p name_0, @p name_1, …. */
    void
    add_to(InputDistribution &inputs, const std::string &name = "xi") const;

    /** u(x) for these @p coefficients ξ, one for each mode. */
    double
    value(const std::vector<double> &coefficients,
          const dealii::Point<dim>  &x) const;

    /** The same, with a transform, as a function. It refers to nothing. */
    std::unique_ptr<dealii::Function<dim>>
    function(const std::vector<double> &coefficients,
             const FieldTransform      &transform = {}) const;

  private:
    /** φ_j(x_d) at [d][j]. */
    std::array<std::vector<double>, dim>
    factors(const dealii::Point<dim> &x) const;

    /** φ_k from these. */
    static double
    mode_value(const Mode                                 &mode,
               const std::array<std::vector<double>, dim> &factors);

    dealii::Point<dim>                       lower;
    std::array<double, dim>                  lengths;
    AdditionalData                           data;
    std::shared_ptr<const std::vector<Mode>> all_modes;
  };
} // namespace neuraldeal

#endif
