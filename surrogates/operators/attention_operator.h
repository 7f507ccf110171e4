// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_attention_operator_h
#define neuraldeal_surrogates_operators_attention_operator_h

#include <neuraldeal/surrogates/operators/neural_operator.h>
#include <neuraldeal/surrogates/operators/slice_attention.h>

#include <vector>

namespace neuraldeal
{
  /**
   * A transformer over learned slices of the domain (Wu et al., Transolver,
   * arXiv:2402.02366), for clouds of points, unstructured meshes and grids in
   * any dimension; linear in the number of points. Channels and coordinates
   * are lifted to `width` features v of a point by a network
   * of one hidden layer; each of the layers maps v ← v + S(N v),  v ← v + F(N
   * v) with a SliceAttention S, layer norms N, and a pointwise network F of one
   * hidden layer, `MLP ratio` times as wide; a last norm and a linear map
   * give the output.
   *
   * Points have no order and no neighbours: permute them, and the output is
   * permuted. With `local convolution`, for grids, neighbours count in the
   * choice of slices, with `local network` in the networks between as well.
   *
   * An ensemble of operators is evaluated in one pass: `members` of them, which
   * have nothing in common but the input, or, with a `shared trunk`, all but
   * the F of the last layer (of a local one its linear map) and the linear map
   * behind it.
   */
  class AttentionOperator : public NeuralOperator
  {
  public:
    struct Parameters
    {
      long   width             = 64; ///< a multiple of heads
      long   layers            = 4;
      long   heads             = 4;
      long   slices            = 32;
      double mlp_ratio         = 2.;
      double dropout           = 0.;
      bool   local_convolution = false;
      bool   local_network     = false;
      bool   slice_noise       = false;
      bool   point_temperature = false;
      long   members           = 1;
      bool   shared_trunk      = false;
    };

    /** @throw InputError if the parameters do not go together. */
    AttentionOperator(const OperatorShape &shape, const Parameters &parameters);

    /**
     * With OperatorInput::mask, masked points have no influence on others,
     * and the output is zero in them.
     * @throw InputError if the tensors of @p input do not fit.
     */
    torch::Tensor
    forward(const OperatorInput &input) override;

    long
    n_members() const override
    {
      return settings.members;
    }

    /** Make this class known under the name "attention". */
    static void
    register_type();

  private:
    struct Layer
    {
      std::shared_ptr<SliceAttention> attention;

      // F, where it is pointwise, and in two parts where it is not.
      std::shared_ptr<FeatureNetwork>     network;
      std::shared_ptr<FeatureConvolution> network_in;
      std::shared_ptr<FeatureLinear>      network_out;
    };

    const OperatorShape shape;
    const Parameters    settings; // not to hide Module::parameters()

    std::shared_ptr<FeatureNetwork> lifting;
    std::vector<Layer>              layers;
    std::shared_ptr<FeatureLinear>  projection;
  };
} // namespace neuraldeal

#endif
