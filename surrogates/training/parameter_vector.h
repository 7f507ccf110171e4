// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_parameter_vector_h
#define neuraldeal_surrogates_training_parameter_vector_h

#include <torch/nn/module.h>

#include <vector>

namespace neuraldeal
{
  /**
   * All weights of a module as one vector, and all their gradients as
   * another. An optimiser, a norm, an average over ranks or over time is then
   * one operation on one tensor, whatever the module is made of.
   *
   * The module's parameters become views of values(), their gradients views
   * of gradients(), so that neither is ever copied. Every weight begins at a
   * multiple of 32 entries (as devices like it), with zeros in between, which
   * stay zero. The module must be on its device and of its type before, and
   * must not be moved afterwards.
   */
  class ParameterVector
  {
  public:
    explicit ParameterVector(torch::nn::Module &module);

    /** The same for tensors of weights, leaves that require a gradient. */
    explicit ParameterVector(const std::vector<torch::Tensor> &parameters);

    /** [P] */
    const torch::Tensor &
    values() const
    {
      return all_values;
    }

    /** [P]; backward passes add to it. */
    const torch::Tensor &
    gradients() const
    {
      return all_gradients;
    }

    /** Number of weights, without the gaps. */
    long
    n_weights() const
    {
      return n;
    }

    /** One of the weights, and where it stands in the vectors. */
    struct Part
    {
      torch::Tensor parameter;
      long          begin, end; ///< the gap behind it included
    };

    /** In the order of the module's parameters, without gaps. */
    const std::vector<Part> &
    parts() const
    {
      return all_parts;
    }

  private:
    torch::Tensor     all_values, all_gradients;
    std::vector<Part> all_parts;
    long              n = 0;
  };
} // namespace neuraldeal

#endif
