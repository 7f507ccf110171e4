// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_operator_model_h
#define neuraldeal_surrogates_operators_operator_model_h

#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/operators/neural_operator.h>

namespace neuraldeal
{
  /** One value a channel, [c], in a shape to go with @p fields [n, c, …]. */
  torch::Tensor
  by_channel(const torch::Tensor &values, const torch::Tensor &fields);



  /** Samples as a simulation knows them. */
  struct OperatorData
  {
    /** What is given, [n, in, …], in physical units. */
    OperatorInput input;

    /**
     * The coarse solutions, interpolated to the same grid or points,
     * [n, out, …]; not defined where there are none.
     */
    torch::Tensor prior;

    /** What is to be predicted, [n, out, …]; not needed for predictions. */
    torch::Tensor target;

    /** The samples of these numbers, [k] int64 on the same device. */
    OperatorData
    select(const torch::Tensor &numbers) const;

    /** The samples @p begin, …, @p end − 1, as views. */
    OperatorData
    slice(const long begin, const long end) const;

    /**
     * The samples' images under a symmetry: new values at point i are the old
     * ones at points[i], for all channels and the mask. Clouds of points stay
     * where they are.
     * @param points [P] or, a symmetry for each sample, [n, P] int64.
     * @param channels if defined: where the symmetry permutes what is given as
     * well, channel k of the input is the old one channels[k]; [in] or
     * [n, in] int64.
     */
    OperatorData
    turned(const torch::Tensor &points,
           const torch::Tensor &channels = torch::Tensor()) const;

    /**
     * All tensors in the type and on the device of @p options; a mask keeps its
     * type.
     */
    OperatorData
    to(const torch::TensorOptions &options) const;

    long
    size() const
    {
      return input.fields.size(0);
    }
  };



  /**
   * A neural operator in physical units:
   *   G(a, p) = p + φ · s · N((a − ā)/s_a, p/s_p),
   * where N is the network, p the coarse solution (p = 0, and no channels of
   * N, where there is none), ā, s_a, s_p scales of the channels, s the scale
   * of what is to be predicted, and φ a factor that is zero where the
   * solution is known to be what p is: φ = 1 unless set_factor() is called.
   */
  class OperatorModel : public torch::nn::Module
  {
  public:
    /**
     * @param type, parameters of the operator, as in make_operator().
     * @param shape channels of a, of the prediction, and the dimension.
     * @param with_prior whether coarse solutions are given.
     */
    OperatorModel(const std::string    &type,
                  const OperatorShape  &shape,
                  const nlohmann::json &parameters,
                  const bool            with_prior,
                  const std::string    &source,
                  const std::uint64_t   seed);

    /**
     * Take the scales from @p data: root mean squares over all points. An
     * operator that has a basis takes it from there as well (see
     * NeuralOperator::look_at_outputs()).
     */
    void
    set_scales(const OperatorData &data);

    /** φ on the grid or points, broadcast to [n, out, …]. */
    void
    set_factor(const torch::Tensor &factor);

    /** 1 where the solution is to be found, 0 where φ says that it is known. */
    torch::Tensor
    unknown() const
    {
      return factor.ne(0.).to(factor.options());
    }

    /** [n, out, …], of several members [members, n, out, …] */
    torch::Tensor
    forward(const OperatorData &data);

    /**
     * What forward() adds to the coarse solution, [n, out, …]: whoever has
     * that in double precision can add it there.
     */
    torch::Tensor
    correction(const OperatorData &data);

    /** As NeuralOperator says. */
    long
    n_members() const
    {
      return network->n_members();
    }

    /** As NeuralOperator says. */
    bool
    is_recordable() const
    {
      return network->is_recordable();
    }

    /** Put weights, scales and parameters into @p file, as @p name. */
    void
    save(ModelFile &file, const std::string &name = "operator") const;

    /** Build what save() has written. */
    static std::shared_ptr<OperatorModel>
    load(const ModelFile &file, const std::string &name = "operator");

    const std::string    type;
    const OperatorShape  shape;
    const nlohmann::json choices; ///< the parameters of the operator
    const bool           with_prior;

  private:
    /** Name and tensor of all weights and scales. */
    std::vector<std::pair<std::string, torch::Tensor>>
    state() const;

    std::shared_ptr<NeuralOperator> network;
    torch::Tensor                   input_mean, input_scale; ///< [in]
    torch::Tensor                   prior_scale;             ///< [out]
    torch::Tensor                   output_scale;            ///< [out]
    torch::Tensor                   factor;
  };



  /**
   * What @p model says of all images of @p data, each turned back, in the mean.
   * Where the problem has these symmetries this mean has them as well, and its
   * squared error is at most the mean of those of the images; it costs as much
   * as G answers.
   * @param symmetries [G, P] int64, a group of permutations of the points.
   * @return [n, out, …]
   */
  torch::Tensor
  symmetric_mean(OperatorModel       &model,
                 const OperatorData  &data,
                 const torch::Tensor &symmetries);
} // namespace neuraldeal

#endif
