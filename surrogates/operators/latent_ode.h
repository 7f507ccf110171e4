// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_latent_ode_h
#define neuraldeal_surrogates_operators_latent_ode_h

#include <neuraldeal/surrogates/operators/deep_onet.h>
#include <neuraldeal/surrogates/operators/neural_ode.h>

namespace neuraldeal
{
  /** A VectorField by a FeatureNetwork of z, c and t. */
  class LatentField : public VectorField
  {
  public:
    /**
     * @param n_states k
     * @param n_context m
     * @param width, n_hidden_layers of the network; without hidden layers
     * z' is affine in z, c and t.
     */
    LatentField(const long       n_states,
                const long       n_context,
                const long       width,
                const long       n_hidden_layers,
                const Activation activation);

    torch::Tensor
    forward(const torch::Tensor &z,
            const double         t,
            const torch::Tensor &context) override;

  private:
    std::shared_ptr<FeatureNetwork> network;
  };



  /**
   * From an initial state and coefficients to a scalar field at the times
   * t_1 < … < t_T, through an ordinary differential equation in a few latent
   * variables (Chen, Rubanova, Bettencourt and Duvenaud, arXiv:1806.07366,
   * section 5, without its random encoder):
   *   (z_0, c) = E(v),   dz/ds = f(z, s, c),   z(0) = z_0,   s = t/t_T,
   *   u(x, t_i) = r^{−1/2} Σ_{k=1}^r D_k(z(t_i)) φ_k(x) + b.
   * E is the branch network of a DeepONet, which reads the given fields v at
   * fixed sensors: the latent state needs all of a field in a fixed order to
   * be a state of it, where pooled features would lose the places, and fields
   * on a mesh stay at its points. D is a network of the latent state, and φ is
   * the trunk network of a DeepONet, shared by all times, so that the field
   * can be had at any points. Time runs in units of the last one: the latent
   * equation does not depend on the unit of the times.
   *
   * Channel i of the output is the field at time t_i. One step size holds for
   * all samples of a batch, each of which is as accurate as it would be alone.
   */
  class LatentODE : public BranchOperator
  {
  public:
    struct Parameters
    {
      /**
       * Sensors, width, layers and activation as in a DeepONet; `basis` is
       * the number r of functions of the decoder.
       */
      BranchOperator::Parameters networks;

      std::vector<double> times   = {1.}; ///< t_1, …, t_T
      long                latent  = 8;    ///< number k of latent variables
      long                context = 4;    ///< number m of constants c

      /** Hidden layers of f, of networks.width features. */
      long field_layers = 1;

      /** Hidden layers of D; with none, fields are affine in z. */
      long decoder_layers = 0;

      DormandPrince::Parameters integration;
      ODEGradients              gradients = ODEGradients::adjoint;
    };

    /**
     * @throw InputError without sensors, and unless there are as many times
     * as channels go out, not negative, ascending and not just zero.
     */
    LatentODE(const OperatorShape &shape, const Parameters &parameters);

    /**
     * [n, in, …] with as many points as sensors → [n, T, Q] at the Q points
     * of @p input, or [n, T, …] on its grid.
     */
    torch::Tensor
    forward(const OperatorInput &input) override;

    /**
     * z at the times, [n, in, …] → [n, T, k].
     * @param course where given, is told the steps.
     */
    torch::Tensor
    latent_states(const torch::Tensor   &fields,
                  DormandPrince::Course *course = nullptr);

    /** Not so: how many steps there are is decided while they are made. */
    bool
    is_recordable() const override
    {
      return false;
    }

    /** Make this class known under the name "latent ODE". */
    static void
    register_type();

  private:
    const Parameters                chosen;
    std::vector<double>             scaled_times;
    std::shared_ptr<LatentField>    field;
    std::shared_ptr<FeatureNetwork> decoder, trunk;
    torch::Tensor                   bias; ///< [1]
  };
} // namespace neuraldeal

#endif
