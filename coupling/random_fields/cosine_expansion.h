// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_random_fields_cosine_expansion_h
#define neuraldeal_coupling_random_fields_cosine_expansion_h

#include <neuraldeal/coupling/random_fields/karhunen_loeve.h>

namespace neuraldeal
{
  /**
   * A KarhunenLoeve expansion in cosines,
   *   λ_k = σ² (∑_d (π k_d/L_d)² + κ²)^{−α},
   *   φ_0 = 1/√L_d, φ_j(x_d) = √(2/L_d) cos(π j (x_d − a_d)/L_d),
   * on [a_1, a_1 + L_1] × …: covariance σ² (κ² − Δ)^{−α} with zero flux through
   * the boundary, where the variance is larger than inside. On the unit square
   * with σ = 1, κ = 3, α = 2 and without the constant mode it is the input of
   * the standard Darcy benchmark (Li et al., "Fourier neural operator for
   * parametric partial differential equations", ICLR 2021, section 5.2).
   */
  template <int dim>
  class CosineExpansion : public KarhunenLoeve<dim>
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

    /**
     * @param lower, upper corners of the box.
     * @throw InputError for an empty box and for values that are not as above.
     */
    CosineExpansion(const dealii::Point<dim> &lower,
                    const dealii::Point<dim> &upper,
                    const AdditionalData     &data);
  };
} // namespace neuraldeal

#endif
