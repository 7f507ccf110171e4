// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_perceptron_h
#define neuraldeal_surrogates_perceptron_h

#include <neuraldeal/surrogates/random.h>
#include <torch/types.h>

#include <vector>

namespace neuraldeal
{
  /**
   * A multilayer perceptron with SiLU activations. Its features are the last
   * hidden layer, the inputs themselves and a constant, so that the layer on
   * top of them holds every affine map.
   */
  class Perceptron
  {
  public:
    /** Weights uniform in ±1/√fan-in, drawn from @p random. */
    Perceptron(const long     n_inputs,
               const long     n_outputs,
               const long     width,
               const long     depth,
               CounterRandom &random);

    /** From weights as hidden_parameters() gives them. */
    explicit Perceptron(const std::vector<torch::Tensor> &hidden);

    /** [n, inputs] → [n, width + inputs + 1] */
    torch::Tensor
    features(const torch::Tensor &inputs) const;

    struct TrainingOptions
    {
      long   epochs        = 400;
      long   batch_size    = 256;
      double learning_rate = 3e-3;
      double weight_decay  = 1e-4;

      /**
       * What AdamW adds to the root of the mean squared gradient, for outputs
       * of order one. The usual 1e-8 would have weights with no gradient to
       * speak of follow the last digits of the data at full speed, and the
       * network with them.
       */
      double epsilon = 1e-4;
    };

    /**
     * Minimise the mean of |y − f(x)|² by AdamW under the one-cycle schedule
     * (Smith and Topin, arXiv:1708.07120): a cosine from a twenty-fifth of
     * the learning rate up to it in 30 % of the steps, then down to zero.
     * @return the mean squared error of the last epoch.
     */
    double
    train(const torch::Tensor   &inputs,
          const torch::Tensor   &outputs,
          const TrainingOptions &options,
          CounterRandom         &random);

    /** Weight and bias of each hidden layer, in turn. */
    const std::vector<torch::Tensor> &
    hidden_parameters() const
    {
      return hidden;
    }

  private:
    std::vector<torch::Tensor> hidden;
    torch::Tensor              output; ///< [features, outputs]
  };
} // namespace neuraldeal

#endif
