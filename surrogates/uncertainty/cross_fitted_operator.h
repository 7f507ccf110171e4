// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_cross_fitted_operator_h
#define neuraldeal_surrogates_uncertainty_cross_fitted_operator_h

#include <neuraldeal/surrogates/uncertainty/error_size.h>
#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>
#include <neuraldeal/surrogates/uncertainty/training_range.h>

namespace neuraldeal
{
  /**
   * One operator, and beside it what says how wrong it is: a regression for the
   * size of its errors, and a small operator for where in the field they are.
   * These learn from errors that were really made: the samples are divided into
   * folds, and what an operator trained on all other folds makes
   * of a sample is as wrong as an operator is on what it has not seen (cross
   * fitting: Chernozhukov et al., arXiv:1608.00060, section 1; for variances:
   * Fan and Yao, Biometrika 85, 1998, from residuals).
   *
   * The operator has several heads where its type has members with a shared
   * trunk, trained by the energy score as OperatorEnsemble does; its answer is
   * their mean. Their spread s² (squared, at every value) is too small but in
   * the right places. With its mean square s̄² over unseen samples the variance
   * of each channel is
   *   v = e² max(1, d)² w exp ℓ,  w ~ 1 + s²/s̄²,
   * where w and exp ℓ have the mean 1 over the field. The mean square e² of the
   * error is what ErrorSize says by the FieldFeatures of input, answer and
   * correction, and by the logarithm of the spread; it tells hard inputs from
   * easy ones. ℓ is what the small operator says, having read the input, the
   * answer and log w, trained by the likelihood of the errors over e √w.
   * Nothing was learned outside of the training range; there the size of the
   * error is taken for proportional to the distance d of the input
   * (TrainingRange). Of v, the part with s² is common to all values as the
   * heads' spread is, the other is each value's own. That the operators of the
   * K folds had fewer samples is not made up for: their errors are a little
   * larger.
   *
   * Costs K + 1 trainings, but an answer no more than that of one operator and
   * the small one.
   */
  class CrossFittedOperator : public ProbabilisticOperator
  {
  public:
    struct Parameters
    {
      long   members;
      double diversity; ///< λ of EnsembleLoss
      long   folds;     ///< K
      long   steps;     ///< of the small operator's training
    };

    explicit CrossFittedOperator(const Parameters &parameters);

    bool
    is_shared_out() const override
    {
      return true;
    }

    void
    fit(const Task &task) override;

    FieldDistribution
    predict(const OperatorData &data) const override;

    void
    save(ModelFile &file) const override;

    void
    load(const ModelFile &file) override;

    void
    to(const torch::TensorOptions &options) override;

    /** Make this class known under the name "cross-fitted". */
    static void
    register_type();

  private:
    /** What the operator itself says. */
    struct Answer
    {
      torch::Tensor mean;        ///< [n, c, …]
      torch::Tensor spread;      ///< s², [n, c, …], undefined with one head
      torch::Tensor mean_spread; ///< its mean over the field, [n, c] float64
      torch::Tensor factor; ///< of which s² is the diagonal, [n, c, …, members]
    };

    static Answer
    ask(OperatorModel &model, const OperatorData &data);

    /** What operators make of samples that they have not seen. */
    struct Unseen
    {
      OperatorData  data;
      Answer        answer; ///< without factor
      torch::Tensor error;  ///< [n, c, …]
      torch::Tensor folds;  ///< which it was left out with, [n] int64
    };

    /**
     * The errors of operators on samples that they have not learned.
     * @param left_out the numbers of these, [·] int64, of each operator.
     */
    Unseen
    cross_fit(
      const Task                                        &task,
      const std::vector<torch::Tensor>                  &left_out,
      const std::vector<std::shared_ptr<OperatorModel>> &of_others) const;

    /** w in two parts. */
    struct Shape
    {
      torch::Tensor own;    ///< w without s², [n, c, 1, …]
      torch::Tensor common; ///< what s² is multiplied with, likewise
      torch::Tensor sum;    ///< w, [n, c, …]
    };

    Shape
    shape_of_spread(const Answer &answer) const;

    /** What the small operator reads. */
    OperatorData
    variance_data(const OperatorData  &data,
                  const Answer        &answer,
                  const torch::Tensor &w) const;

    /** What the size of the error is told by, behind those of the input. */
    torch::Tensor
    size_features(const torch::Tensor &of_input,
                  const OperatorData  &data,
                  const Answer        &answer) const;

    const Parameters chosen;

    std::shared_ptr<OperatorModel> model, variance_model;

    TrainingRange range;
    FieldFeatures answer_features;
    ErrorSize     error_size;
    torch::Tensor mean_spread; ///< s̄², [c] float64
  };
} // namespace neuraldeal

#endif
