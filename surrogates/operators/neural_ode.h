// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_neural_ode_h
#define neuraldeal_surrogates_operators_neural_ode_h

#include <neuraldeal/surrogates/operators/runge_kutta.h>
#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * The right-hand side f of z' = f(z, t, c), with weights θ: the parameters of
   * the module. It is to be smooth, since a method of order five follows it,
   * and the same function whenever it is called (no dropout).
   */
  class VectorField : public torch::nn::Module
  {
  public:
    /**
     * [n, k] → [n, k]
     * @param context c, [n, m], constant in time; m may be zero.
     */
    virtual torch::Tensor
    forward(const torch::Tensor &z,
            const double         t,
            const torch::Tensor &context) = 0;
  };



  /** How the solution of an ODE is differentiated. */
  enum class ODEGradients
  {
    /**
     * By the adjoint equation, solved backwards: nothing is kept but the
     * solution at the output times, whatever the number of steps. The
     * gradients are as accurate as the tolerances say, and have no
     * derivatives themselves.
     */
    adjoint,

    /**
     * By autograd, through every operation of every accepted step: exact for
     * the steps that have been made, with memory in proportion to them.
     */
    steps
  };



  /**
   * Solve z' = f(z, t, c), z(0) = z_0 with a neural network f (Chen, Rubanova,
   * Bettencourt and Duvenaud, arXiv:1806.07366) by the method of DormandPrince.
   *
   * Adjoint gradients (there, algorithm 1 and appendix B; Kidger,
   * arXiv:2202.02435, section 5.1.2): with a = ∂L/∂z(t), from the last time
   * back to 0,
   *   z' = f,   a' = −(∂f/∂z)ᵀ a,   g_c' = −(∂f/∂c)ᵀ a,   g_θ' = −(∂f/∂θ)ᵀ a,
   * where at every output time ∂L/∂z(t_i) is added to a, and z starts anew from
   * what is kept. Between two output times z is found by going back, which
   * multiplies errors by what the flow contracts in between: for strong
   * damping, put output times closer or take ODEGradients::steps. Two choices
   * of ours: as the equation is linear in a, it is solved for
   * a / max |∂L/∂z(t_i)|, so that the absolute tolerance does not depend on the
   * unit of the loss; and z and a alone control the steps, since errors of the
   * integrals g_c and g_θ influence nothing else (Kidger, Chen and Lyons,
   * arXiv:2009.09457).
   *
   * Weights have to stay as they are between this call and backward().
   * It computes at least in single precision, also under autocast, whose
   * rounding would be taken for errors of the steps. Samples with entries
   * that are not numbers have none in the result, and do not disturb others.
   *
   * @param start z_0, [n, k]
   * @param context c, [n, m], of the type of @p start
   * @param times not negative, ascending; @p start is at time 0.
   * @param source who asks, for error messages.
   * @param course where given, is told the steps forward.
   * @return [n, times, k], differentiable by @p start, @p context and θ.
   * @throw InputError as DormandPrince does, also from within backward().
   */
  torch::Tensor
  solve_neural_ode(const std::shared_ptr<VectorField> &field,
                   const torch::Tensor                &start,
                   const torch::Tensor                &context,
                   const std::vector<double>          &times,
                   const DormandPrince::Parameters    &parameters,
                   const ODEGradients                  gradients,
                   const std::string                  &source,
                   DormandPrince::Course              *course = nullptr);
} // namespace neuraldeal

#endif
