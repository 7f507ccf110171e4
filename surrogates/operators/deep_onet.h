// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_deep_onet_h
#define neuraldeal_surrogates_operators_deep_onet_h

#include <neuraldeal/surrogates/operators/feature_layers.h>
#include <neuraldeal/surrogates/operators/neural_operator.h>

namespace neuraldeal
{
  /**
   * What DeepONet and PODDeepONet share: a branch network that reads the
   * fields at a fixed set of points, the sensors, in a fixed order, and gives
   * the coefficients β_1, …, β_r of functions φ_k.
   */
  class BranchOperator : public NeuralOperator
  {
  public:
    struct Parameters
    {
      long sensors = 0;  ///< number of points of the fields
      long basis   = 64; ///< number r of functions
      long width   = 128;

      /** Hidden layers; with none, coefficients are affine in the fields. */
      long       branch_layers = 3;
      long       trunk_layers  = 3;
      Activation activation    = Activation::gelu;

      /**
       * Operators side by side, which have nothing in common but the input,
       * or, with `shared_trunk`, all but the last layers of branch and trunk.
       * (A LatentODE is one operator, whatever stands here.)
       */
      long members      = 1;
      bool shared_trunk = false;
    };

    /**
     * The coefficients, [n, in, …] → [n, r]; of several members
     * [members, n, r].
     * @throw InputError unless there are as many points as sensors.
     */
    torch::Tensor
    coefficients(const torch::Tensor &fields);

    long
    n_members() const override
    {
      return settings.members;
    }

  protected:
    /** @throw InputError without sensors. */
    BranchOperator(const std::string   &name,
                   const OperatorShape &shape,
                   const Parameters    &parameters);

    /** @throw InputError if @p input has a mask: sensors are always there. */
    void
    check_mask(const OperatorInput &input) const;

    const std::string   name; ///< for error messages
    const OperatorShape shape;
    const Parameters    settings; // not to hide Module::parameters()

  private:
    std::shared_ptr<FeatureNetwork> branch;
  };



  /**
   * The deep operator network (Lu, Jin, Pang, Zhang and Karniadakis, Nature
   * Machine Intelligence 3, 2021): with coefficients β_k(v) from a branch
   * network of the values of v at the sensors, and functions φ_k from a trunk
   * network of the coordinates,
   *   u_c(x) = r^{−1/2} Σ_{k=1}^r β_k(v) φ_{kc}(x) + b_c
   * for each channel c. The functions are vector valued, so that channels
   * share coefficients. (The factor, which is not in the paper, makes the
   * output start at the same size whatever r.)
   *
   * The sensors are fixed, and where the output is wanted is free:
   * OperatorInput::points need not be the sensors, nor as many. Without
   * points the output is on the grid of the fields.
   */
  class DeepONet : public BranchOperator
  {
  public:
    using Parameters = BranchOperator::Parameters;

    /** @throw InputError without sensors. */
    DeepONet(const OperatorShape &shape, const Parameters &parameters);

    /**
     * [n, in, …] with as many points as sensors → [n, out, Q] at the Q points
     * of @p input, or [n, out, …] on its grid; of several members
     * [members, n, out, …].
     */
    torch::Tensor
    forward(const OperatorInput &input) override;

    /** Make this class known under the name "DeepONet". */
    static void
    register_type();

  private:
    std::shared_ptr<FeatureNetwork> trunk;
    torch::Tensor                   bias; ///< [out, 1], [members, out, 1]
  };



  /**
   * A deep operator network with given functions in place of the trunk (Lu et
   * al., CMAME 393, 2022, arXiv:2111.05512, section 3.1.3): with the mean φ_0
   * and modes φ_k of solutions, at the sensors,
   *   u_c = φ_{0c} + Σ_{k=1}^r β_k(v) φ_{kc}.
   * The branch learns best what has the size one: scale the modes by the
   * standard deviations of their coefficients.
   *
   * Mean and modes are buffers of the module, "mean" and "modes", whose sizes
   * follow from the parameters: whatever keeps the buffers keeps the basis.
   * Several members have the same ones.
   */
  class PODDeepONet : public BranchOperator
  {
  public:
    using Parameters = BranchOperator::Parameters;

    /** `trunk_layers` means nothing here. @throw InputError without sensors. */
    PODDeepONet(const OperatorShape &shape, const Parameters &parameters);

    /**
     * Copy these into the buffers; nothing is computed before.
     * @param mean [out, …] at as many points as sensors.
     * @param modes [r, out, …]
     * @throw InputError for other sizes, or what is not a finite number.
     */
    void
    set_basis(const torch::Tensor &mean, const torch::Tensor &modes);

    /**
     * set_basis() from @p outputs, [n, out, …]: their mean, and their first r
     * modes in the mean square of all values, by the standard deviations of
     * their coefficients. Modes that n fields do not have are zero.
     */
    void
    look_at_outputs(const torch::Tensor &outputs) override;

    /**
     * The fields of these coefficients, [n, r] → [n, out, sensors]; with more
     * indices before these.
     */
    torch::Tensor
    compose(const torch::Tensor &coefficients) const;

    /**
     * [n, in, …] → [n, out, …] with as many points as sensors; of several
     * members [members, n, out, …].
     * @throw InputError as long as there is no basis.
     */
    torch::Tensor
    forward(const OperatorInput &input) override;

    /** Make this class known under the name "POD DeepONet". */
    static void
    register_type();

  private:
    torch::Tensor mean;  ///< [out, sensors], not numbers until it is set
    torch::Tensor modes; ///< [r, out, sensors]
    bool          has_basis = false;
  };
} // namespace neuraldeal

#endif
