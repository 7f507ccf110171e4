// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_gauss_newton_h
#define neuraldeal_surrogates_uncertainty_gauss_newton_h

#include <neuraldeal/surrogates/operators/operator_model.h>
#include <neuraldeal/surrogates/uncertainty/linearization.h>

#include <functional>
#include <memory>

namespace neuraldeal
{
  /** A model in eval mode, and in the one it was in again at the end. */
  class EvaluationMode
  {
  public:
    explicit EvaluationMode(torch::nn::Module &module);

    ~EvaluationMode();

    EvaluationMode(const EvaluationMode &) = delete;
    EvaluationMode &
    operator=(const EvaluationMode &) = delete;

  private:
    torch::nn::Module &module;
    const bool         was_training;
  };



  /**
   * The generalised Gauss–Newton matrix of an operator on its training data,
   *   H = Σ_i J_iᵀ W_i J_i,
   * the sum over all samples with a diagonal matrix W_i of weights of values:
   * for a Gaussian likelihood it is the Fisher matrix, and the Hessian of the
   * loss without the second derivatives of the network.
   */
  class GaussNewton
  {
  public:
    /**
     * @param value_weights the diagonals of all W_i, ≥ 0, in the shape of the
     * targets of @p data.
     * @param batch_size how many samples a pass evaluates at once.
     */
    GaussNewton(const std::shared_ptr<OperatorModel> &model,
                const WeightSelection                &weights,
                const OperatorData                   &data,
                const torch::Tensor                  &value_weights,
                const long                            batch_size);

    /** H V, [P, k] → [P, k], without H: a pass forth and k there and back. */
    torch::Tensor
    product(const torch::Tensor &vectors) const;

    /**
     * H, [P, P] float64. Of a last layer alone it is made of the layer's
     * inputs, in a forward pass for each batch, if those agree with a product
     * of the Jacobian; otherwise of dense Jacobians.
     */
    torch::Tensor
    dense() const;

    /**
     * The diagonal of H, [P] float64.
     * @param n_draws 0: exact, by a backward pass for every value of every
     * sample (or a product for every weight where these are fewer). Otherwise
     * by random signs v: with E[v vᵀ] = I,
     * H = E[(Jᵀ W^{1/2} v)(Jᵀ W^{1/2} v)ᵀ], so that the mean square of that
     * many gradients of every batch has the right expectation.
     */
    torch::Tensor
    diagonal(const long n_draws, const std::uint64_t seed) const;

    /** What to do with a batch and its weights of values. */
    using Work = std::function<void(const OperatorData  &batch,
                                    const torch::Tensor &value_weights)>;

    /**
     * In order, with the model in eval mode.
     * @param size of a batch; 0: as the constructor says.
     */
    void
    for_each_batch(const Work &work, const long size = 0) const;

    const std::shared_ptr<OperatorModel> model;
    const WeightSelection                weights;

  private:
    Linearization
    linearize(const OperatorData &batch) const;

    /** dense() of a last layer; not defined where there is another layer. */
    torch::Tensor
    dense_of_last_layer() const;

    const OperatorData  data;
    const torch::Tensor value_weights;
    const long          batch_size;
  };
} // namespace neuraldeal

#endif
