// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_field_space_h
#define neuraldeal_surrogates_field_space_h

#include <torch/types.h>

#include <vector>

namespace neuraldeal
{
  /**
   * A symmetry of the host's problem: where @p parameters are replaced by
   * themselves permuted, the solution is the old one with its values
   * permuted. Both are written as gathers: new[i] = old[index[i]].
   */
  struct FieldSymmetry
  {
    torch::Tensor parameters; ///< [d] int64
    torch::Tensor points;     ///< [N] int64
  };

  /**
   * What a surrogate has to know of the space of discrete fields: its inner
   * product, the symmetries of the problem, and where the values are. A field
   * is a row of N values.
   */
  struct FieldSpace
  {
    /** The mass matrix, [N, N], sparse (COO), float64. */
    torch::Tensor mass;

    /** All elements of the symmetry group; the first is the identity. */
    std::vector<FieldSymmetry> symmetries;

    /**
     * The point of each value, [N, dim] float64. Values of the same point are
     * components of a vector-valued field, in the order of their numbers.
     * Needed by neural operators only; undefined where nobody asks.
     */
    torch::Tensor points = {};

    /** Number of values of a field. */
    long
    size() const
    {
      return mass.size(0);
    }

    /** The rows of @p fields, [n, N], multiplied by the mass matrix. */
    torch::Tensor
    apply_mass(const torch::Tensor &fields) const
    {
      return torch::mm(mass, fields.t().contiguous()).t();
    }

    /** The norm of each row of @p fields, [n, N] → [n]. */
    torch::Tensor
    norm(const torch::Tensor &fields) const
    {
      return (fields * apply_mass(fields)).sum(1).clamp_min(0.).sqrt();
    }
  };
} // namespace neuraldeal

#endif
