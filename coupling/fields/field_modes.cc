// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/fields/field_modes.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <tuple>

namespace neuraldeal
{
  using namespace dealii;

  FieldModes::FieldModes(const FieldLayout   &layout,
                         const torch::Tensor &modes,
                         const std::string   &source)
    : layout(&layout)
    , basis(modes.to(torch::kFloat64).contiguous())
  {
    Assert(modes.dim() == 2 && modes.size(0) == layout.n_local_values() &&
             modes.size(1) > 0,
           ExcMessage("Modes are this rank's rows of a matrix."));
    projector = torch::empty({basis.size(1), basis.size(0)}, torch::kFloat64);
    for (long k = 0; k < basis.size(1); ++k)
      projector[k] = layout.apply_mass(basis.select(1, k));

    auto gram = torch::mm(projector, basis);
    mpi_communicator(layout.communicator()).sum(gram);
    gram = 0.5 * (gram + gram.t());

    // All ranks have the same numbers. Of the modes, scaled to length one:
    const auto    lengths  = gram.diagonal().clamp_min(0.).sqrt();
    const auto    scaled   = gram / torch::outer(lengths, lengths);
    double        smallest = 0.;
    torch::Tensor values, vectors;
    if (torch::isfinite(scaled).all().item<bool>())
      {
        std::tie(values, vectors) = compat::symmetric_eigen(scaled);
        smallest                  = values.min().item<double>();
      }
    if (!(smallest > 1e-12))
      throw InputError(source,
                       "basis of modes",
                       fmt::format("{} modes of which the Gram matrix, scaled "
                                   "to ones on its diagonal, has the "
                                   "eigenvalue {:.2e}",
                                   n_modes(),
                                   smallest),
                       "a linearly independent one (an eigenvalue of more "
                       "than 1e-12)");
    const auto inverse_root = vectors / lengths.unsqueeze(1);
    projector =
      torch::mm(torch::mm(inverse_root / values, inverse_root.t()), projector);
  }



  template <typename VectorType>
  torch::Tensor
  FieldModes::to_tensor(const VectorType &field) const
  {
    auto coefficients = torch::mv(projector, layout->to_tensor(field));
    mpi_communicator(layout->communicator()).sum(coefficients);
    return coefficients;
  }



  template <typename VectorType>
  void
  FieldModes::from_tensor(const torch::Tensor &coefficients,
                          VectorType          &field) const
  {
    AssertDimension(coefficients.numel(), n_modes());
    layout->from_tensor(
      torch::mv(basis, coefficients.to(torch::kFloat64).reshape({-1})), field);
  }



#define NEURALDEAL_INSTANTIATE(VectorType)                                   \
  template torch::Tensor FieldModes::to_tensor(const VectorType &) const;    \
  template void FieldModes::from_tensor(const torch::Tensor &, VectorType &) \
    const;

  NEURALDEAL_INSTANTIATE(Vector<double>)
  NEURALDEAL_INSTANTIATE(LinearAlgebra::distributed::Vector<double>)
  NEURALDEAL_INSTANTIATE(TrilinosWrappers::MPI::Vector)
  NEURALDEAL_INSTANTIATE(PETScWrappers::MPI::Vector)
} // namespace neuraldeal
