// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_neural_operator_h
#define neuraldeal_surrogates_operators_neural_operator_h

#include <neuraldeal/surrogates/registry.h>
#include <torch/nn/module.h>

#include <memory>
#include <string>

namespace neuraldeal
{
  /** What a neural operator reads: n samples. */
  struct OperatorInput
  {
    /**
     * Values of c channels, [n, c, s_1, …, s_d] on a grid that spans the
     * unit box, or [n, c, P] at points.
     */
    torch::Tensor fields;

    /** Where the points are, [P, d] or [n, P, d]; not defined on a grid. */
    torch::Tensor points = {};

    /**
     * Which points count, [n, P], for clouds of different sizes side by side:
     * zero or false where there is none. Not defined: all of them. Masked
     * points do not influence others, and the output is zero in them;
     * operators that do not know masks say so.
     */
    torch::Tensor mask = {};
  };



  /**
   * A map between fields with weights that can be trained, evaluable on
   * other grids or points than it was trained on. Fields go in and come out
   * as they are: scales, coarse solutions and boundary values are the
   * business of OperatorModel.
   */
  class NeuralOperator : public torch::nn::Module
  {
  public:
    /**
     * [n, in, …] → [n, out, …] on the same grid or points; of several members
     * [members, n, out, …].
     */
    virtual torch::Tensor
    forward(const OperatorInput &input) = 0;

    /** How many operators these are, which answer side by side. */
    virtual long
    n_members() const
    {
      return 1;
    }

    /**
     * What some operators look at before they are trained: @p outputs as
     * forward() will have to give them, [n, out, …]. Others take no notice.
     */
    virtual void
    look_at_outputs(const torch::Tensor &outputs);

    /**
     * Whether forward() does the same operations at every call, so that a GPU
     * can record them: not so where the host looks at values and decides.
     */
    virtual bool
    is_recordable() const
    {
      return true;
    }
  };



  /** The sizes that every operator is built for. */
  struct OperatorShape
  {
    long in_channels  = 1;
    long out_channels = 1;
    long dim          = 2;
  };

  /**
   * The operators there are. A factory takes the shape and the complete
   * parameters of the class; weights are drawn from LibTorch's generator.
   */
  using OperatorFactory =
    std::function<std::shared_ptr<NeuralOperator>(const OperatorShape &shape,
                                                  const nlohmann::json &)>;
  using OperatorRegistry = Registry<NeuralOperator, OperatorFactory>;

  /** Register the operators of this library. */
  void
  register_operators();

  /** Whether the operator called @p type has a parameter called @p name. */
  bool
  operator_has_parameter(const std::string &type, const std::string &name);

  /**
   * Build the operator called @p type.
   * @param parameters overrides of its defaults.
   * @param source where @p parameters come from, for error messages.
   * @param seed the weights depend on it and on nothing else.
   */
  std::shared_ptr<NeuralOperator>
  make_operator(const std::string    &type,
                const OperatorShape  &shape,
                const nlohmann::json &parameters,
                const std::string    &source,
                const std::uint64_t   seed);
} // namespace neuraldeal

#endif
