// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_linearization_h
#define neuraldeal_surrogates_uncertainty_linearization_h

#include <neuraldeal/surrogates/uncertainty/weight_selection.h>

#include <functional>

namespace neuraldeal
{
  /**
   * An answer y(w) of a network, and its derivative J = ∂y/∂w by chosen weights
   * at their present values, as products: neither J nor anything of its size is
   * formed unless dense() is called.
   *
   * Jᵀu is a backward pass. u ↦ Jᵀu is linear, so that its own backward pass is
   * v ↦ J v, whatever the u (Pearlmutter, Neural Computation 6, 1994, has
   * derivatives in a direction; the detour over two backward passes is that of
   * Townsend, "A new trick for calculating Jacobian vector products", 2017).
   * It needs no forward derivatives, which LibTorch has for some operations
   * only; every operation has to be differentiable twice, which those with
   * derivatives of their own (the adjoint of NeuralODE) are not.
   *
   * The object keeps the graph of the answer: one batch at a time.
   */
  class Linearization
  {
  public:
    /**
     * @param answer computes y, called once; in eval mode, since otherwise it
     * may be another function at every call.
     */
    Linearization(const std::function<torch::Tensor()> &answer,
                  const WeightSelection                &weights);

    /** y, in the shape that it has come in. */
    torch::Tensor
    answer() const
    {
      return y.detach();
    }

    /** J v, [P] → float64 in the shape of y. */
    torch::Tensor
    product(const torch::Tensor &v) const;

    /** Jᵀ u, in the shape of y → [P] float64. */
    torch::Tensor
    transposed_product(const torch::Tensor &u) const;

    /**
     * The rows of J that belong to the values with these numbers.
     * @param numbers [m] int64, in y.flatten().
     * @return [m, P] float64, by m backward passes.
     */
    torch::Tensor
    rows(const torch::Tensor &numbers) const;

    /** J, [values, P] float64, by rows or columns, whichever are fewer. */
    torch::Tensor
    dense() const;

  private:
    const WeightSelection weights;
    torch::Tensor         y;

    /** u, and the parts of Jᵀu as functions of it; made when asked for. */
    mutable torch::Tensor              u;
    mutable std::vector<torch::Tensor> pulled_back;
  };
} // namespace neuraldeal

#endif
