// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_fourier_operator_h
#define neuraldeal_surrogates_operators_fourier_operator_h

#include <neuraldeal/surrogates/operators/neural_operator.h>
#include <neuraldeal/surrogates/operators/pointwise.h>
#include <neuraldeal/surrogates/operators/spectral_convolution.h>

#include <vector>

namespace neuraldeal
{
  /**
   * The Fourier neural operator (Li et al., arXiv:2010.08895) on grids in one,
   * two or three dimensions. Channels and coordinates are lifted to `width`
   * channels v; each of the layers maps
   *   v ← σ(W v + b + P S v)
   * with a spectral convolution S, pointwise W and b, and P either the
   * identity or two pointwise layers with σ in between (`mixing layers`);
   * two pointwise layers project to the output. σ is the Gaussian error
   * linear unit; there is none after the last layer.
   *
   * An ensemble of operators is evaluated in one pass, as groups of channels
   * side by side: `members` of them, which have nothing in common but the
   * input, or, with a `shared trunk`, all but the projections, whose 4 `width`
   * channels they divide among themselves.
   *
   * For fields that are not periodic the grid is continued by zeros, in every
   * direction by the fraction `padding` of its extent. That length, the period
   * of the convolutions, is the same on every grid, though it is rarely a whole
   * number of its spacings: what has been trained on one grid is the same
   * operator on another.
   */
  class FourierOperator : public NeuralOperator
  {
  public:
    struct Parameters
    {
      long              width         = 32;
      long              layers        = 4;
      std::vector<long> modes         = {12, 12}; ///< a direction each
      double            padding       = 0.1;
      bool              mixing_layers = true;
      Transform         transform     = Transform::matrix_product;
      double            dropout       = 0;
      long              members       = 1;
      bool              shared_trunk  = false;
    };

    FourierOperator(const OperatorShape &shape, const Parameters &parameters);

    torch::Tensor
    forward(const OperatorInput &input) override;

    long
    n_members() const override
    {
      return chosen.members;
    }

    /** Make this class known under the name "Fourier". */
    static void
    register_type();

  private:
    struct Layer
    {
      std::shared_ptr<SpectralConvolution> convolution;
      std::shared_ptr<PointwiseLinear>     pointwise;
      std::shared_ptr<PointwiseLinear>     mixing_in, mixing_out;
    };

    /**
     * The period in spacings of a grid with @p size points from end to end:
     * at least as many as there are points.
     */
    double
    period(const long size) const;

    /**
     * @p v with channels set to zero at random, as many as the dropout says,
     * in training; the others make up for it. Whole channels, since neighbours
     * in a field would tell what is missing in a point (Tompson, Goroshin,
     * Jain, LeCun and Bregler, arXiv:1411.4280).
     */
    torch::Tensor
    without_some_channels(const torch::Tensor &v) const;

    /** @p fields with the coordinates of the grid as further channels. */
    torch::Tensor
    with_coordinates(const torch::Tensor &fields) const;

    const Parameters chosen;

    std::shared_ptr<PointwiseLinear> lifting;
    std::vector<Layer>               layers;
    std::shared_ptr<PointwiseLinear> projection_in, projection_out;
  };
} // namespace neuraldeal

#endif
