// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_compat_h
#define neuraldeal_surrogates_compat_h

/**
 * @file
 * Every difference between the LibTorch versions 1.13 to 2.14 that this
 * project meets. Nothing outside this file asks for a version.
 */

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <torch/types.h>
#include <torch/version.h>

#include <cmath>
#include <tuple>

namespace neuraldeal::compat
{
  /**
   * Eigenvalues, ascending, and eigenvectors of a symmetric matrix. (The
   * `torch::linalg` functions lost their C++ home in 2.x; the `at::linalg_*`
   * ones exist everywhere.)
   */
  inline std::tuple<torch::Tensor, torch::Tensor>
  symmetric_eigen(const torch::Tensor &matrix)
  {
    return at::linalg_eigh(matrix);
  }

  /** The lower Cholesky factor of a symmetric positive definite matrix. */
  inline torch::Tensor
  cholesky(const torch::Tensor &matrix)
  {
    return at::linalg_cholesky(matrix);
  }


  /**
   * Products of single precision matrices on a GPU with ten bits of the
   * factors' mantissas ("TensorFloat-32") while it lives.
   */
  class TensorFloat32
  {
  public:
    explicit TensorFloat32(const bool allowed)
      : before(at::globalContext().allowTF32CuBLAS())
    {
      at::globalContext().setAllowTF32CuBLAS(allowed);
    }

    ~TensorFloat32()
    {
      at::globalContext().setAllowTF32CuBLAS(before);
    }

    TensorFloat32(const TensorFloat32 &) = delete;
    TensorFloat32 &
    operator=(const TensorFloat32 &) = delete;

  private:
    const bool before;
  };



  /**
   * Products of matrices in @p type, bfloat16 or float16, while it lives, if
   * @p active. (From 2.4 on the functions take the device.)
   */
  class Autocast
  {
  public:
    Autocast(const torch::Device &device,
             const bool           active,
             const torch::Dtype   type = torch::kBFloat16)
      : device(device.type())
      , active(active)
    {
      if (!active)
        return;
#if TORCH_VERSION_MAJOR > 2 || \
  (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
      at::autocast::set_autocast_dtype(this->device, type);
#else
      if (this->device == torch::kCUDA)
        at::autocast::set_autocast_gpu_dtype(type);
      else
        at::autocast::set_autocast_cpu_dtype(type);
#endif
      // Weights converted in one step must not be found in the next.
      at::autocast::set_autocast_cache_enabled(false);
      at::autocast::increment_nesting();
      enable(true);
    }

    ~Autocast()
    {
      if (!active)
        return;
      enable(false);
      if (at::autocast::decrement_nesting() == 0)
        at::autocast::clear_cache();
      at::autocast::set_autocast_cache_enabled(true);
    }

    Autocast(const Autocast &) = delete;
    Autocast &
    operator=(const Autocast &) = delete;

  private:
    void
    enable(const bool on) const
    {
#if TORCH_VERSION_MAJOR > 2 || \
  (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
      at::autocast::set_autocast_enabled(device, on);
#else
      if (device == torch::kCUDA)
        at::autocast::set_enabled(on);
      else
        at::autocast::set_cpu_enabled(on);
#endif
    }

    const torch::DeviceType device;
    const bool              active;
  };


  /**
   * softmax(q kᵀ/√m) v by its parts (Vaswani et al., arXiv:1706.03762,
   * equation 1): what scaled_dot_product_attention() is where LibTorch does
   * not have it.
   * @param query […, G, m]
   * @param key, value [… , H, m]
   * @param dropout probability of a weight to be dropped.
   */
  inline torch::Tensor
  composed_attention(const torch::Tensor &query,
                     const torch::Tensor &key,
                     const torch::Tensor &value,
                     const double         dropout = 0.)
  {
    const auto scaled = query / std::sqrt(double(query.size(-1)));
    const auto weights =
      torch::softmax(torch::matmul(scaled, key.transpose(-2, -1)), -1);
    return torch::matmul(torch::dropout(weights, dropout, dropout > 0.), value);
  }

  /**
   * While it lives, what this thread computes can be differentiated twice:
   * attention in one kernel has derivatives of first order only.
   */
  class TwiceDifferentiable
  {
  public:
    TwiceDifferentiable()
      : before(active())
    {
      active() = true;
    }

    ~TwiceDifferentiable()
    {
      active() = before;
    }

    TwiceDifferentiable(const TwiceDifferentiable &) = delete;
    TwiceDifferentiable &
    operator=(const TwiceDifferentiable &) = delete;

    static bool &
    active()
    {
      static thread_local bool value = false;
      return value;
    }

  private:
    const bool before;
  };

  /** The same in one kernel, from LibTorch 2.0 on. */
  inline torch::Tensor
  scaled_dot_product_attention(const torch::Tensor &query,
                               const torch::Tensor &key,
                               const torch::Tensor &value,
                               const double         dropout = 0.)
  {
#if TORCH_VERSION_MAJOR >= 2
    if (!TwiceDifferentiable::active())
      return at::scaled_dot_product_attention(query, key, value, {}, dropout);
#endif
    return composed_attention(query, key, value, dropout);
  }
} // namespace neuraldeal::compat

#endif
