// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <neuraldeal/coupling/residual_norm.h>

#include <cmath>
#include <limits>

namespace neuraldeal
{
  using namespace dealii;

  template <typename VectorType>
  ResidualNorm<VectorType>::ResidualNorm(
    const FullOrderModel<VectorType> &model,
    const FieldLayout                &layout,
    const ProcessGroups              &groups)
    : model(model)
    , layout(layout)
    , groups(groups)
  {}



  template <typename VectorType>
  double
  ResidualNorm<VectorType>::operator()(const Input      &input,
                                       const VectorType &candidate) const
  {
    Assert(is_available(), ExcMessage("The host has no residual."));
    VectorType residual, representative;
    model.reinit_vector(residual);
    model.reinit_vector(representative);
    // Either may fail on some ranks only: all have to know before they go on
    // together.
    std::string failure = groups.try_on_group([&]() {
      model.residual(input, candidate, residual);
      // No solver is to see it; those of deal.II abort a Debug build.
      AssertThrow(
        torch::isfinite(layout.to_tensor(residual)).all().template item<bool>(),
        ExcMessage("the residual is not finite"));
    });
    if (failure.empty())
      failure = groups.try_on_group(
        [&]() { model.riesz_solve(residual, representative); });
    // What is no number, or no square of a norm, is no norm either.
    return failure.empty() ? std::sqrt(residual * representative) :
                             std::numeric_limits<double>::quiet_NaN();
  }



  template class ResidualNorm<Vector<double>>;
  template class ResidualNorm<LinearAlgebra::distributed::Vector<double>>;
  template class ResidualNorm<TrilinosWrappers::MPI::Vector>;
  template class ResidualNorm<PETScWrappers::MPI::Vector>;
} // namespace neuraldeal
