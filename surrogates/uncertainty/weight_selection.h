// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_weight_selection_h
#define neuraldeal_surrogates_uncertainty_weight_selection_h

#include <torch/nn/module.h>

#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Some of the weights of a module, as one vector w of P numbers in float64:
   * those that a posterior is wanted of.
   */
  class WeightSelection
  {
  public:
    /**
     * @param which "all"; "last layer", which are the weights of the module
     * that has been registered last (the projection of an operator, the last
     * layer of a DeepONet's trunk); or a regular expression (ECMAScript) that
     * is searched in the names, "convolution_3" for instance.
     * @param source where @p which comes from, for error messages.
     * @throw InputError if it is no regular expression, or chooses nothing.
     */
    WeightSelection(const torch::nn::Module &module,
                    const std::string       &which,
                    const std::string       &source);

    /** One tensor of weights, and where it stands in w. */
    struct Part
    {
      std::string   name;
      torch::Tensor tensor; ///< shares its values with the module
      long          begin, end;
    };

    /** In the order of the module's parameters. */
    const std::vector<Part> &
    parts() const
    {
      return all_parts;
    }

    /** The tensors alone. */
    std::vector<torch::Tensor>
    tensors() const;

    /** P */
    long
    size() const
    {
      return all_parts.back().end;
    }

    /** w as it is now, [P] float64 on the weights' device. */
    torch::Tensor
    values() const;

    /** From [P] to tensors of the weights' shapes and types. */
    std::vector<torch::Tensor>
    split(const torch::Tensor &vector) const;

    /**
     * From tensors of the weights' shapes to [P] float64; those that are not
     * defined are zeros.
     */
    torch::Tensor
    join(const std::vector<torch::Tensor> &tensors) const;

    /** How weights are put together. */
    enum class Groups
    {
      one,       ///< all of them
      per_layer, ///< those of a module, without its submodules
      per_tensor
    };

    /** The group of each part, numbered from 0 on without gaps. */
    std::vector<long>
    groups(const Groups kind) const;

  private:
    std::vector<Part> all_parts;
  };
} // namespace neuraldeal

#endif
