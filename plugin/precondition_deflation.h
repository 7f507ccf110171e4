// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_precondition_deflation_h
#define neuraldeal_plugin_precondition_deflation_h

#include <neuraldeal/plugin/deflation.h>
#include <neuraldeal/plugin/operator_reference.h>
#include <neuraldeal/plugin/solution_basis.h>

namespace neuraldeal
{
  /**
   * LocalDeflation for deal.II's vectors, with any preconditioner inside:
   * @code
   * PreconditionDeflation<VectorType> preconditioner(A, amg, basis);
   * SolverCG<VectorType>(control).solve(A, x, b, preconditioner);
   * @endcode
   * It is set up anew for each matrix, with a product with the matrix for
   * each direction, and keeps a copy of the basis, so that solutions may be
   * learned while it is used.
   */
  template <typename VectorType>
  class PreconditionDeflation
  {
  public:
    /**
     * @param matrix symmetric and positive definite; not used later.
     * @param inner the preconditioner, which must outlive this object.
     * @param x any vector of the system.
     * @throw InputError if the matrix is not symmetric and positive definite
     * on the span of the basis.
     */
    PreconditionDeflation(const OperatorReference<VectorType> &matrix,
                          const OperatorReference<VectorType> &inner,
                          const SolutionBasis<VectorType>     &basis,
                          const VectorType                    &x);

    /** Apply the preconditioner. */
    void
    vmult(VectorType &dst, const VectorType &src) const;

    /** The same: it is symmetric. */
    void
    Tvmult(VectorType &dst, const VectorType &src) const;

    /** Number of directions that are deflated. */
    unsigned int
    n_directions() const
    {
      return deflation.n_directions();
    }

  private:
    const LocalDeflation     deflation;
    const LocalSystem::Apply inner;
  };
} // namespace neuraldeal

#endif
