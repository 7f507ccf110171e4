// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_trilinos_precondition_deflation_h
#define neuraldeal_plugin_trilinos_precondition_deflation_h

#include <deal.II/lac/trilinos_precondition.h>
#include <deal.II/lac/trilinos_sparse_matrix.h>
#include <deal.II/lac/trilinos_vector.h>

#include <neuraldeal/plugin/solution_basis.h>

namespace neuraldeal
{
  /** What is made for the interfaces of Trilinos. */
  namespace trilinos
  {
    /**
     * neuraldeal::PreconditionDeflation as one of the preconditioners of
     * dealii::TrilinosWrappers, so that also the solvers of Trilinos itself
     * (`TrilinosWrappers::SolverCG` and the like, AztecOO underneath) take
     * it. The method is explained with LocalDeflation.
     */
    class PreconditionDeflation
      : public dealii::TrilinosWrappers::PreconditionBase
    {
    public:
      /**
       * Set up for a matrix, with a product with it for each direction and a
       * copy of the basis.
       *
       * @param matrix symmetric and positive definite; not used later.
       * @param inner the preconditioner, which must outlive this object.
       * @throw InputError if the matrix is not symmetric and positive
       * definite on the span of the basis.
       */
      void
      initialize(
        const dealii::TrilinosWrappers::SparseMatrix               &matrix,
        const dealii::TrilinosWrappers::PreconditionBase           &inner,
        const SolutionBasis<dealii::TrilinosWrappers::MPI::Vector> &basis);
    };
  } // namespace trilinos
} // namespace neuraldeal

#endif
