// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_adamw_h
#define neuraldeal_surrogates_training_adamw_h

#include <torch/types.h>

namespace neuraldeal
{
  /**
   * AdamW (Loshchilov and Hutter, arXiv:1711.05101, algorithm 2) on one
   * vector of weights, with clipping and an exponential moving average.
   * With the gradient g, clipped to a norm of at most `clip`,
   *   m ← β₁ m + (1 − β₁) g,    v ← β₂ v + (1 − β₂) g²,
   *   w ← (1 − η λ) w − η m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε),
   *   a ← a + (1 − α_t) (w − a),  α_t = min(α, (1 + t)/(10 + t)).
   *
   * All state lives on the device of the weights, the number t of the step
   * and the learning rates η_t of all steps included: nothing that step()
   * does depends on the host, so that a recorded step can be played again.
   */
  class AdamW
  {
  public:
    struct Options
    {
      double beta_1       = 0.9;
      double beta_2       = 0.999;
      double epsilon      = 1e-8;
      double weight_decay = 1e-4; ///< λ
      double clip         = 0;    ///< largest norm of a gradient; 0: any
      double average      = 0;    ///< α; 0: no average
    };

    /**
     * @param values the weights w, [P], which step() changes.
     * @param learning_rates η_t of the steps t = 1, …, n, [n]; later steps
     * take the last one.
     */
    AdamW(const torch::Tensor &values,
          const torch::Tensor &learning_rates,
          const Options       &options);

    /**
     * One step along @p gradients, [P], which are clipped in place.
     * @param skip [1] bool on the device of the weights: where it is true, all
     * is left bit for bit as it was, the number of the step included. It is
     * not looked at by the host. May be undefined.
     */
    void
    step(const torch::Tensor &gradients,
         const torch::Tensor &skip = torch::Tensor());

    /** The averaged weights a, or the weights where there is no average. */
    const torch::Tensor &
    averaged() const
    {
      return options.average > 0 ? average : values;
    }

    /** Number of steps taken. */
    long
    n_steps() const
    {
      return state[0].item<long>();
    }

    /** What a file has to hold to go on bit for bit, besides the weights. */
    struct State
    {
      torch::Tensor steps;   ///< [1] int64
      torch::Tensor first;   ///< m, [P]
      torch::Tensor second;  ///< v, [P]
      torch::Tensor average; ///< a, [P]; empty without an average
    };

    /** The tensors themselves, not copies. */
    State
    get_state() const
    {
      return {state, first, second, average};
    }

    /** Copies from @p other. */
    void
    set_state(const State &other);

  private:
    /** step() without a choice. */
    void
    take_step(const torch::Tensor &gradients);

    const Options options;
    torch::Tensor values, learning_rates;
    torch::Tensor state; ///< t, [1] int64
    torch::Tensor first, second, average;
  };
} // namespace neuraldeal

#endif
