// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operator_surrogate_h
#define neuraldeal_surrogates_operator_surrogate_h

#include <neuraldeal/surrogates/corrected_map_surrogate.h>
#include <neuraldeal/surrogates/point_order.h>
#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

namespace neuraldeal
{
  /**
   * A neural operator, trained on a share of the snapshots, and a remainder
   * with the uncertainty (see CorrectedMapSurrogate).
   *
   * The operator says itself how sure it is, by a method of
   * ProbabilisticOperatorRegistry, which trains it by the loss that it needs:
   * this is what tells inputs apart at equal distance to the data. With the
   * uncertainty "none" it is the operator alone, trained once by any loss.
   *
   * The operator sees the parameters as constant channels (their logarithms
   * where the range is logarithmic; centred and divided by their standard
   * deviation) and the coarse solution, if there is one that is not zero
   * everywhere, as OperatorModel does. Where the points are a regular grid it
   * sees a grid, elsewhere points; components of a vector are channels (see
   * PointOrder).
   *
   * Every sample is turned by a random symmetry in each step, parameters
   * included. Symmetries that permute components are not used for that; those
   * of a FieldSpace know no signs, so that reflections of vectors are not
   * among them.
   *
   * With the seed and the number of threads the model is determined, bit for
   * bit on the CPU. In a group of processes the operators of an uncertainty,
   * where it has several, are shared out (see train_operators()), and with
   * "data parallel" all train each of them together. In the end all have what
   * the first one would put into a model file.
   */
  class OperatorSurrogate : public CorrectedMapSurrogate
  {
  public:
    /** @throw InputError naming the entry, nested ones included */
    OperatorSurrogate(const std::vector<InputRange> &inputs,
                      const nlohmann::json          &parameters);

    /** Make this class known under the name "neural operator". */
    static void
    register_type();

  private:
    void
    fit_map(const Snapshots     &training,
            const torch::Tensor &known,
            const FieldSpace    &space,
            const Communicator  &communicator) override;

    Answer
    map(const Inputs &inputs) const override;

    void
    save_map(ModelFile &file) const override;

    void
    load_map(const ModelFile &file) override;

    /** The parameters, logarithms where they are taken, [n, d] float64. */
    torch::Tensor
    transformed(const torch::Tensor &given) const;

    /** What the operator reads, on the device. */
    OperatorData
    operator_data(const Inputs &inputs, const bool with_prior) const;

    /** Everything that the training needs, with the norm of the space. */
    ProbabilisticOperator::Task
    make_task(const Snapshots     &training,
              const torch::Tensor &known,
              const FieldSpace    &space) const;

    /** Whether there is a method that says how sure the operator is. */
    bool
    is_probabilistic() const
    {
      return parameters["uncertainty"] != "none";
    }

    /** A method that knows nothing yet. */
    std::unique_ptr<ProbabilisticOperator>
    make_method() const;

    /** Train, with the other processes where these have a share in it. */
    void
    train(const Snapshots     &training,
          const torch::Tensor &known,
          const FieldSpace    &space,
          const Communicator  &communicator);

    /** Train the operator alone. @p untrained has its scales. */
    void
    train_alone(const ProbabilisticOperator::Task    &task,
                const std::shared_ptr<OperatorModel> &untrained,
                const FieldSpace                     &space);

    /** Put into @p file what has been trained, and nothing else. */
    void
    save_operator(ModelFile &file) const;

    void
    load_operator(const ModelFile &file);

    const torch::Device device;

    PointOrder    order;
    torch::Tensor logarithmic;                       ///< [d] bool
    torch::Tensor parameter_center, parameter_scale; ///< [d]

    /** Whether coarse solutions are given. */
    bool with_prior = false;

    std::unique_ptr<ProbabilisticOperator> method; ///< or else
    std::shared_ptr<OperatorModel>         model;
  };
} // namespace neuraldeal

#endif
