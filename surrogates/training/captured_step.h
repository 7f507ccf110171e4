// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_captured_step_h
#define neuraldeal_surrogates_training_captured_step_h

#include <torch/types.h>

#include <functional>
#include <memory>

namespace neuraldeal
{
  /**
   * Work on a device that is done again and again on the same tensors. On a
   * GPU its kernels are recorded once as a graph and then started together,
   * which costs one call instead of hundreds; elsewhere the function is
   * called.
   *
   * The function must read and write the same tensors every time, must not
   * wait for the device, and must not decide anything by what is on it.
   */
  class CapturedStep
  {
  public:
    /**
     * @param capture whether to record; needs a CUDA device.
     * @param warm_up runs before the recording, which count as calls.
     */
    CapturedStep(const std::function<void()> &function,
                 const torch::Device         &device,
                 const bool                   capture,
                 const unsigned int           warm_up = 3);

    ~CapturedStep();

    void
    operator()();

    /** Whether this build and @p device can record. */
    static bool
    possible(const torch::Device &device);

  private:
    struct Graph;

    const std::function<void()> function;
    const torch::Device         device;
    const bool                  capture;
    unsigned int                remaining_warm_up;
    std::unique_ptr<Graph>      graph;
  };
} // namespace neuraldeal

#endif
