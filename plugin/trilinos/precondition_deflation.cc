// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <Epetra_MultiVector.h>
#include <Epetra_Operator.h>
#include <neuraldeal/plugin/local_vector.h>
#include <neuraldeal/plugin/precondition_deflation.h>
#include <neuraldeal/plugin/trilinos/precondition_deflation.h>

namespace neuraldeal::trilinos
{
  namespace
  {
    using VectorType = dealii::TrilinosWrappers::MPI::Vector;

    /**
     * The operator that Trilinos applies. It is an inverse: as with Ifpack,
     * what is asked for is ApplyInverse().
     */
    class DeflationOperator : public Epetra_Operator
    {
    public:
      DeflationOperator(const dealii::TrilinosWrappers::SparseMatrix &matrix,
                        const Epetra_Operator                        &inner,
                        const SolutionBasis<VectorType>              &basis)
        : inner(inner)
        , communicator(matrix.trilinos_matrix().Comm().Clone())
        , domain_map(matrix.trilinos_matrix().OperatorDomainMap())
        , range_map(matrix.trilinos_matrix().OperatorRangeMap())
        , deflation(
            basis.solution_space() ? basis.solution_space()->directions() :
                                     std::vector<std::vector<double>>(),
            domain_map.NumMyElements(),
            [this, &matrix](double *dst, const double *src) {
              Epetra_Vector x(View, domain_map, mutable_array(src));
              Epetra_Vector y(View, range_map, dst);
              matrix.trilinos_matrix().Apply(x, y);
            },
            [this](double *numbers, const int n) {
              const std::vector<double> mine(numbers, numbers + n);
              communicator->SumAll(mutable_array(mine.data()), numbers, n);
            },
            communicator->MyPID())
      {}

      int
      ApplyInverse(const Epetra_MultiVector &x,
                   Epetra_MultiVector       &y) const override
      {
        int error = 0;
        for (int column = 0; column < x.NumVectors(); ++column)
          deflation.vmult(
            y[column], x[column], [&](double *dst, const double *src) {
              Epetra_Vector source(View, range_map, mutable_array(src));
              Epetra_Vector destination(View, domain_map, dst);
              const int     result = inner.ApplyInverse(source, destination);
              error                = error != 0 ? error : result;
            });
        return error;
      }

      /** Not known, as the operator is an inverse. */
      int
      Apply(const Epetra_MultiVector &, Epetra_MultiVector &) const override
      {
        return -1;
      }

      /** It is symmetric. */
      int
      SetUseTranspose(bool) override
      {
        return 0;
      }

      bool
      UseTranspose() const override
      {
        return false;
      }

      double
      NormInf() const override
      {
        return -1.;
      }

      bool
      HasNormInf() const override
      {
        return false;
      }

      const char *
      Label() const override
      {
        return "neuraldeal deflation";
      }

      const Epetra_Comm &
      Comm() const override
      {
        return *communicator;
      }

      const Epetra_Map &
      OperatorDomainMap() const override
      {
        return domain_map;
      }

      const Epetra_Map &
      OperatorRangeMap() const override
      {
        return range_map;
      }

    private:
      /** Epetra does not know const arrays; it does not write into these. */
      static double *
      mutable_array(const double *array)
      {
        return const_cast<double *>(array);
      }

      const Epetra_Operator             &inner;
      const std::unique_ptr<Epetra_Comm> communicator;
      const Epetra_Map                   domain_map, range_map;
      const LocalDeflation               deflation;
    };
  } // namespace



  void
  PreconditionDeflation::initialize(
    const dealii::TrilinosWrappers::SparseMatrix     &matrix,
    const dealii::TrilinosWrappers::PreconditionBase &inner,
    const SolutionBasis<VectorType>                  &basis)
  {
    preconditioner = Teuchos::rcp(
      new DeflationOperator(matrix, inner.trilinos_operator(), basis));
  }
} // namespace neuraldeal::trilinos
