// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/local_vector.h>
#include <neuraldeal/plugin/precondition_deflation.h>

namespace neuraldeal
{
  template <typename VectorType>
  PreconditionDeflation<VectorType>::PreconditionDeflation(
    const OperatorReference<VectorType> &matrix,
    const OperatorReference<VectorType> &inner,
    const SolutionBasis<VectorType>     &basis,
    const VectorType                    &x)
    : deflation(basis.solution_space() ? basis.solution_space()->directions() :
                                         std::vector<std::vector<double>>(),
                n_local_values(x),
                apply_to_arrays(matrix, x),
                sum_over(communicator_of(x)),
                process_number(communicator_of(x)))
    , inner(apply_to_arrays(inner, x))
  {}



  template <typename VectorType>
  void
  PreconditionDeflation<VectorType>::vmult(VectorType       &dst,
                                           const VectorType &src) const
  {
    std::vector<double> values = local_values(src);
    deflation.vmult(values.data(), values.data(), inner);
    set_local_values(dst, values.data());
  }



  template <typename VectorType>
  void
  PreconditionDeflation<VectorType>::Tvmult(VectorType       &dst,
                                            const VectorType &src) const
  {
    vmult(dst, src);
  }



  template class PreconditionDeflation<dealii::Vector<double>>;
  template class PreconditionDeflation<
    dealii::LinearAlgebra::distributed::Vector<double>>;
  template class PreconditionDeflation<dealii::TrilinosWrappers::MPI::Vector>;
  template class PreconditionDeflation<dealii::PETScWrappers::MPI::Vector>;
  template class PreconditionDeflation<dealii::BlockVector<double>>;
  template class PreconditionDeflation<
    dealii::LinearAlgebra::distributed::BlockVector<double>>;
  template class PreconditionDeflation<
    dealii::TrilinosWrappers::MPI::BlockVector>;
  template class PreconditionDeflation<dealii::PETScWrappers::MPI::BlockVector>;
} // namespace neuraldeal
