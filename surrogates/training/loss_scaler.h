// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_loss_scaler_h
#define neuraldeal_surrogates_training_loss_scaler_h

#include <torch/types.h>

namespace neuraldeal
{
  /**
   * The factor S of a loss whose gradients are computed in half precision,
   * where what is below 6e-8 would be zero: dynamic loss scaling
   * (Micikevicius et al., arXiv:1710.03740, section 3.2). S is doubled after
   * `interval` steps with finite gradients in a row, and halved after a step
   * without, which is not taken. It is a power of two, so that it costs no
   * digits, between 2^-14 and 2^30.
   *
   * All state lives on the device of the weights, and nothing depends on the
   * host, so that a recorded step can be played again (see AdamW).
   */
  class LossScaler
  {
  public:
    struct Options
    {
      double initial  = 65536; ///< S of the first step, a power of two
      long   interval = 2000;
    };

    /** @param type of the gradients, and their device. */
    LossScaler(const torch::TensorOptions &type, const Options &options);

    /** S·loss for a loss of one entry, which can be differentiated. */
    torch::Tensor
    scale(const torch::Tensor &loss) const;

    /**
     * Divide @p gradients by S, in place, and choose the next S.
     * @return [1] bool: whether an entry of them is not finite, so that the
     * step has to be skipped.
     */
    torch::Tensor
    unscale(const torch::Tensor &gradients);

    /** S, for the eyes of the host. */
    double
    factor() const
    {
      return state_scale.item<double>();
    }

    /** What a file has to hold to go on bit for bit. */
    struct State
    {
      torch::Tensor scale; ///< S, [1]
      torch::Tensor clean; ///< finite steps since S has changed, [1] int64
    };

    /** The tensors themselves, not copies. */
    State
    get_state() const
    {
      return {state_scale, state_clean};
    }

    /** Copies from @p other. */
    void
    set_state(const State &other);

  private:
    const long    interval;
    torch::Tensor state_scale, state_clean;
  };
} // namespace neuraldeal

#endif
