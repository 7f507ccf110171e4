// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_pod_h
#define neuraldeal_surrogates_pod_h

#include <neuraldeal/surrogates/communicator.h>
#include <neuraldeal/surrogates/field_space.h>

#include <functional>

namespace neuraldeal
{
  /**
   * A proper orthogonal decomposition: the r fields, orthonormal in the
   * inner product of the mass matrix M, whose span is closest to a set of
   * fields in the mean square (Sirovich, "Turbulence and the dynamics of
   * coherent structures", Quart. Appl. Math. 45, 1987; method of snapshots).
   *
   * The set is closed under the symmetries P_g of the problem, and so is the
   * span: on coefficients a symmetry is the matrix Vᵀ M P_g V.
   */
  struct POD
  {
    torch::Tensor modes;      ///< V, [N, r] float64
    torch::Tensor projector;  ///< M V, [N, r]: coefficients are (M V)ᵀ u
    torch::Tensor symmetries; ///< Vᵀ M P_g V, [G, r, r]

    /** Root mean square, over the fields, of what the span does not hold. */
    double truncation = 0;
  };

  /**
   * Compute the POD of @p n_fields fields and their images under the
   * symmetries of @p space, with the fewest modes that leave a root mean
   * square of at most @p tolerance, but no more than @p max_modes. A
   * multiple eigenvalue is never split, and the basis of its eigenspace is
   * fixed by a convention: fields that hardly differ have modes that hardly
   * differ, signs included.
   *
   * @param read gives the fields begin, …, end − 1 as [end − begin, N]. They
   * are read several times, in blocks, and never held all at once.
   *
   * Gram matrix: n²·N·G operations, shared out over @p communicator; images
   * need none of their own since M commutes with every P_g.
   */
  POD
  compute_pod(
    const long n_fields,
    const std::function<torch::Tensor(const long begin, const long end)> &read,
    const FieldSpace                                                     &space,
    const double        tolerance,
    const long          max_modes,
    const Communicator &communicator);
} // namespace neuraldeal

#endif
