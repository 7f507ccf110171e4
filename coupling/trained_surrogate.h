// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_trained_surrogate_h
#define neuraldeal_coupling_trained_surrogate_h

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/full_order_model.h>
#include <neuraldeal/surrogates/surrogate.h>

#include <functional>
#include <memory>
#include <string>

namespace neuraldeal
{
  /**
   * The surrogate in @p model_file, which AdaptiveSolver or neuraldeal-train
   * has written, for fields of @p layout. Each rank has its slice of them.
   * Collective over the communicator of the layout.
   * @throw FileError where the file cannot be used, holds values that are not
   * finite, or is for fields of another size.
   * @throw InputError where it names a surrogate that is not registered.
   */
  std::unique_ptr<Surrogate>
  load_surrogate(const std::string &model_file, const FieldLayout &layout);

  /** See FullOrderModel::coarse_solve; may be empty. */
  template <typename VectorType>
  using CoarseSolve = std::function<void(const Input &, VectorType &)>;

  /**
   * What @p surrogate says of @p input, its mean as a field. Collective over
   * the communicator of @p layout.
   * @param coarse_solve that of the snapshots it was trained on; without one
   * the prior is zero.
   * @param mean of the layout of a solution.
   */
  template <typename VectorType>
  Prediction
  predict_field(const Surrogate               &surrogate,
                const FieldLayout             &layout,
                const Input                   &input,
                const CoarseSolve<VectorType> &coarse_solve,
                VectorType                    &mean,
                const PredictionParts         &parts = {});

  /**
   * The prediction for @p input as a function, as a SurrogateSolver takes it:
   * @code
   * const auto surrogate = load_surrogate("model.safetensors", layout);
   * SurrogateSolver<VectorType> solver(control);
   * ...
   * solver.set_predictor(
   *   make_predictor<VectorType>(*surrogate, layout, {conductivity, beta}));
   * solver.solve(A, x, b, preconditioner);
   * @endcode
   * @p surrogate and @p layout are referred to.
   */
  template <typename VectorType>
  std::function<void(VectorType &)>
  make_predictor(const Surrogate               &surrogate,
                 const FieldLayout             &layout,
                 const Input                   &input,
                 const CoarseSolve<VectorType> &coarse_solve = {})
  {
    return [&surrogate, &layout, input, coarse_solve](VectorType &prediction) {
      predict_field(surrogate, layout, input, coarse_solve, prediction);
    };
  }
} // namespace neuraldeal

#endif
