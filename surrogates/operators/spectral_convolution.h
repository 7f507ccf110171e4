// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_spectral_convolution_h
#define neuraldeal_surrogates_operators_spectral_convolution_h

#include <torch/nn/module.h>

#include <map>
#include <string>
#include <vector>

namespace neuraldeal
{
  /** How a SpectralConvolution computes its transforms. */
  enum class Transform
  {
    /**
     * Products with the rows of the Fourier matrix that are kept: the faster
     * one wherever it has been measured.
     */
    matrix_product,
    /** Fast Fourier transforms of which most coefficients are dropped. */
    fft
  };



  /**
   * A convolution with a smooth kernel on a periodic grid in one, two or three
   * dimensions, written as a product of Fourier coefficients (Li et al.,
   * arXiv:2010.08895, equation 4): the coefficients of the lowest frequencies
   * are multiplied by a complex matrix each, all others are dropped.
   *
   * With m_j modes in direction j these are the frequencies −m_j, …, m_j − 1,
   * in the last direction 0, …, m_d − 1 (the fields are real). A grid too
   * coarse for them uses those that it resolves. Coefficients are integrals
   * over the period, so that they do not depend on the grid: what has been
   * trained on one can be evaluated on another.
   *
   * With several groups these are as many convolutions side by side, each from
   * its own share of the channels to its own share of the output.
   *
   * Weights are stored real, the last index being real and imaginary part:
   * optimisers, files and lower precisions need to know nothing of complex
   * numbers.
   */
  class SpectralConvolution : public torch::nn::Module
  {
  public:
    /**
     * @param in_channels, out_channels of each group.
     * @param modes m_1, …, m_d.
     */
    SpectralConvolution(const long               in_channels,
                        const long               out_channels,
                        const std::vector<long> &modes,
                        const Transform transform = Transform::matrix_product,
                        const long      groups    = 1);

    /**
     * [n, groups·in, s_1, …] → [n, groups·out, s_1, …], on grids that have as
     * many spacings as points from one period to the next.
     */
    torch::Tensor
    forward(const torch::Tensor &fields);

    /**
     * The same for functions with the period @p periods [d] in spacings of the
     * grid, which need not be whole numbers: from the last point on to the
     * first one it is then more or less than a spacing. Not by fast transforms.
     */
    torch::Tensor
    forward(const torch::Tensor &fields, const std::vector<double> &periods);

    const Transform transform;

  private:
    /**
     * The lowest frequencies of @p fields with the modes in front, real and
     * imaginary parts side by side: [K_d, K_1, …, K_{d−1}, n, 2, in].
     */
    torch::Tensor
    analyse(const torch::Tensor       &fields,
            const std::vector<long>   &kept,
            const std::vector<double> &periods) const;

    /** From [K_d, K_1, …, K_{d−1}, n, 2, out] to fields on a grid. */
    torch::Tensor
    synthesise(const torch::Tensor       &coefficients,
               const std::vector<long>   &sizes,
               const std::vector<double> &periods) const;

    torch::Tensor
    forward_by_fft(const torch::Tensor &fields, const std::vector<long> &kept);

    /** Modes of each direction that a grid of these sizes resolves. */
    std::vector<long>
    resolved_modes(const std::vector<long> &sizes) const;

    /** Where the weights of @p kept modes stand among those of all, [K]. */
    torch::Tensor
    numbers_of(const std::vector<long> &kept) const;

    /**
     * Coefficients of @p kept modes, [K_d·K_1·…·K_{d−1}, n, groups·in, 2],
     * times the weights of these modes:
     * [K_d·K_1·…·K_{d−1}, n, groups·out, 2].
     */
    torch::Tensor
    multiply(const torch::Tensor     &coefficients,
             const std::vector<long> &kept) const;

    const long              in_channels, out_channels, groups;
    const std::vector<long> modes;

    /**
     * [K_d, K_1, …, K_{d−1}, in, out, 2] with K_j = 2 m_j, K_d = m_d; several
     * groups stand before `in`.
     */
    torch::Tensor weights;
  };
} // namespace neuraldeal

#endif
