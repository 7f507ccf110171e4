// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_deflation_h
#define neuraldeal_plugin_deflation_h

#include <neuraldeal/plugin/coarse_space.h>
#include <neuraldeal/plugin/solution_space.h>

#include <memory>
#include <vector>

namespace neuraldeal
{
  /**
   * The span of a learned basis Z as a coarse space around a preconditioner
   * M⁻¹ for a symmetric positive definite matrix A: with
   *   E = Zᵀ A Z,  Q = Z E⁻¹ Zᵀ,  P = I − A Q,
   * the operator Pᵀ M⁻¹ P + Q. In the comparison of Tang, Nabben, Vuik and
   * Erlangga, "Comparison of two-level preconditioners derived from
   * deflation, domain decomposition and multigrid methods" (J. Sci. Comput.
   * 39, 2009) this is BNN: linear, symmetric and positive definite whenever
   * M is, so that CG and MINRES work with it from any start, with as many
   * eigenvalues moved to one as Z has columns. (A-DEF2, Pᵀ M⁻¹ + Q, saves
   * one of four passes over Z, but is symmetric only from special starts.)
   *
   * This class works on arrays of owned values, see LocalSystem.
   */
  class LocalDeflation
  {
  public:
    /**
     * @param directions Z, not necessarily orthonormal.
     * @param matrix A, needed here only.
     * @param process the number of this process.
     * @throw InputError if A is not symmetric and positive definite on the
     * span.
     */
    LocalDeflation(const std::vector<std::vector<double>> &directions,
                   const std::size_t                       n_local,
                   const LocalSystem::Apply               &matrix,
                   const LocalSystem::Sum                 &sum,
                   const unsigned int                      process);

    /** With a space and a symmetric positive definite matrix on it. */
    LocalDeflation(const std::shared_ptr<const CoarseSpace> &space,
                   const std::size_t                         n_local);

    /**
     * Apply the operator. @p dst and @p src may be the same.
     * @param inner M⁻¹, called once with two arrays of this object's.
     */
    void
    vmult(double                   *dst,
          const double             *src,
          const LocalSystem::Apply &inner) const;

    unsigned int
    n_directions() const
    {
      return space ? space->size() : 0;
    }

  private:
    std::size_t                        n;
    std::shared_ptr<const CoarseSpace> space; ///< none: the inner one alone
  };
} // namespace neuraldeal

#endif
