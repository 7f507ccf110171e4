// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_random_fields_separable_expansion_h
#define neuraldeal_coupling_random_fields_separable_expansion_h

#include <neuraldeal/coupling/random_fields/karhunen_loeve.h>

namespace neuraldeal
{
  /**
   * The KarhunenLoeve expansion of a covariance that is a product,
   *   C(x, y) = σ² ∏_d c(|x_d − y_d|/ℓ),
   * with c as CovarianceKernel has it by name: for "Matern 1/2" that is
   * σ² exp(−∑_d |x_d − y_d|/ℓ), the textbook's example (Ghanem and Spanos,
   * "Stochastic finite elements", 1991, section 2.3.3), for "squared
   * exponential" the isotropic σ² exp(−|x − y|²/(2ℓ²)). The variance is the
   * same everywhere.
   *
   * The eigenproblems of the directions, ∫ c φ = λ φ, are solved by Galerkin's
   * method with Legendre polynomials. Where c has a kink, which is "Matern 1/2"
   * alone, λ is good to about 10⁻⁴ of the largest.
   */
  template <int dim>
  class SeparableExpansion : public KarhunenLoeve<dim>
  {
  public:
    struct AdditionalData
    {
      double      standard_deviation = 1.;           ///< σ
      double      correlation_length = 0.2;          ///< ℓ, as the mesh
      std::string covariance         = "Matern 3/2"; ///< name of c

      unsigned int n_per_direction = 16; ///< k_d is less than this

      /** How many of these, the largest λ_k first; 0: all. */
      unsigned int n_modes = 0;

      std::string source = "the program"; ///< for error messages
    };

    /**
     * @param lower, upper corners of the box.
     * @throw InputError for an empty box and for values that are not as above.
     */
    SeparableExpansion(const dealii::Point<dim> &lower,
                       const dealii::Point<dim> &upper,
                       const AdditionalData     &data);
  };
} // namespace neuraldeal

#endif
