// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/vector.h>

#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/trained_surrogate.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/train_surrogate.h>

namespace neuraldeal
{
  std::unique_ptr<Surrogate>
  load_surrogate(const std::string &model_file, const FieldLayout &layout)
  {
    const auto file = ModelFile::read(model_file);
    file.check_finite();

    auto surrogate = make_surrogate(file);
    // One field's values, over all ranks, are the rows of the modes.
    const auto modes = file.tensors.find("modes");
    if (modes != file.tensors.end() &&
        modes->second.size(0) != layout.n_values())
      throw FileError(model_file,
                      "its fields have " +
                        std::to_string(modes->second.size(0)) +
                        " values; valid is a model for this mesh and element, "
                        "with " +
                        std::to_string(layout.n_values()));
    const auto group = mpi_communicator(layout.communicator());
    if (group.size > 1 && !surrogate->supports_slices())
      throw FileError(model_file,
                      "its surrogate works on one rank; valid is a "
                      "communicator of one for the mesh");
    surrogate->load(file, layout.first_value(), layout.n_local_values(), group);
    return surrogate;
  }



  template <typename VectorType>
  Prediction
  predict_field(const Surrogate               &surrogate,
                const FieldLayout             &layout,
                const Input                   &input,
                const CoarseSolve<VectorType> &coarse_solve,
                VectorType                    &mean,
                const PredictionParts         &parts)
  {
    Inputs inputs;
    inputs.parameters = torch::tensor(input, torch::kFloat64).unsqueeze(0);
    inputs.prior = torch::zeros({1, layout.n_local_values()}, torch::kFloat64);
    if (coarse_solve)
      {
        // It may fail on one rank, and the ranks predict together.
        const Attempt attempt([&]() { coarse_solve(input, mean); });
        attempt.throw_together(mpi_communicator(layout.communicator()));
        inputs.prior = layout.to_tensor(mean).unsqueeze(0);
      }
    auto prediction = surrogate.predict(inputs, parts);
    layout.from_tensor(prediction.mean[0], mean);
    return prediction;
  }



#define INSTANTIATE(VectorType)                                      \
  template Prediction predict_field(const Surrogate &,               \
                                    const FieldLayout &,             \
                                    const Input &,                   \
                                    const CoarseSolve<VectorType> &, \
                                    VectorType &,                    \
                                    const PredictionParts &)
  INSTANTIATE(dealii::Vector<double>);
  INSTANTIATE(dealii::LinearAlgebra::distributed::Vector<double>);
  INSTANTIATE(dealii::TrilinosWrappers::MPI::Vector);
  INSTANTIATE(dealii::PETScWrappers::MPI::Vector);
#undef INSTANTIATE
} // namespace neuraldeal
