// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_residual_norm_h
#define neuraldeal_coupling_residual_norm_h

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/full_order_model.h>
#include <neuraldeal/coupling/mpi_tools.h>

namespace neuraldeal
{
  /**
   * The dual norm of the finite element residual r(u) of a field u,
   *   ‖r(u)‖ = √(r(u)ᵀ R⁻¹ r(u)),
   * where R⁻¹ is FullOrderModel::riesz_solve(): a measure of the error of u
   * that needs no solution. For a linear problem with the symmetric positive
   * definite matrix R it is the energy norm of the error; for another coercive
   * problem, between multiples of the error in the norm of R (Prud'homme,
   * Rovas, Veroy, Machiels, Maday, Patera and Turinici, J. Fluids Eng. 124,
   * 2002). The Euclidean norm of r, by contrast, depends on the mesh.
   *
   * It costs a residual and a solve with R, of a linear problem about one of
   * the host's own solves by the same method, but no assembly where R stays.
   */
  template <typename VectorType>
  class ResidualNorm
  {
  public:
    /** All arguments are referred to. */
    ResidualNorm(const FullOrderModel<VectorType> &model,
                 const FieldLayout                &layout,
                 const ProcessGroups              &groups);

    /** Whether the host has the two functions that it takes. */
    bool
    is_available() const
    {
      return model.residual && model.riesz_solve;
    }

    /**
     * ‖r(u)‖ of the field @p candidate at @p input. Collective over the ranks
     * of the group, with the same result on all of them. Not a number where
     * one of the host's functions throws on any rank, where the residual is
     * not finite, and where rᵀ R⁻¹ r is no square.
     */
    double
    operator()(const Input &input, const VectorType &candidate) const;

  private:
    const FullOrderModel<VectorType> &model;
    const FieldLayout                &layout;
    const ProcessGroups              &groups;
  };
} // namespace neuraldeal

#endif
