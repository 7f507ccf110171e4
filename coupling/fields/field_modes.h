// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_fields_field_modes_h
#define neuraldeal_coupling_fields_field_modes_h

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/torch_interface.h>

#include <string>

namespace neuraldeal
{
  /**
   * How fields of a finite element space become coefficients of a basis, such
   * as that of a proper orthogonal decomposition (POD::modes), and back. The
   * coefficients are those of the projection that is orthogonal in the inner
   * product of the mass matrix M, (VᵀMV)⁻¹ VᵀM u. Modes need not be
   * orthonormal; where they are, as those of POD, this is VᵀM u.
   *
   * Each rank holds its rows of the basis. What all ranks exchange is as many
   * numbers as there are modes.
   */
  class FieldModes
  {
  public:
    /**
     * Collective.
     * @param layout the canonical order of the rows of @p modes, M, and the
     * constraints. Referred to.
     * @param modes V: this rank's rows, layout.first_value() and so on,
     * [layout.n_local_values(), r], r at least one.
     * @param source for error messages.
     * @throw InputError, on all ranks, where the modes are not linearly
     * independent to working precision.
     */
    FieldModes(const FieldLayout   &layout,
               const torch::Tensor &modes,
               const std::string   &source = "the program");

    long
    n_modes() const
    {
      return projector.size(0);
    }

    /** The coefficients of @p field, [r], the same on all ranks. Collective. */
    template <typename VectorType>
    torch::Tensor
    to_tensor(const VectorType &field) const;

    /**
     * The sum of the modes times @p coefficients, [r], the same on all ranks;
     * the constraints hold afterwards. Collective.
     */
    template <typename VectorType>
    void
    from_tensor(const torch::Tensor &coefficients, VectorType &field) const;

  private:
    const FieldLayout *layout;
    torch::Tensor      basis;     ///< V, [n_local, r]
    torch::Tensor      projector; ///< (VᵀMV)⁻¹ VᵀM, [r, n_local]
  };
} // namespace neuraldeal

#endif
