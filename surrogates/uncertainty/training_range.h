// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_training_range_h
#define neuraldeal_surrogates_uncertainty_training_range_h

#include <neuraldeal/surrogates/uncertainty/field_features.h>

namespace neuraldeal
{
  /**
   * Where the inputs of a training were, to tell those that are elsewhere: of
   * them a method's opinion of its own error is worth nothing.
   *
   * The distance of an input is that of its FieldFeatures by Mahalanobis (Proc.
   * Nat. Inst. Sci. India 2, 1936; for telling what is new: Lee, Lee, Lee and
   * Shin, arXiv:1807.03888), with the correlations of n training inputs shrunk
   * towards none by the fraction F/(F + n) of F features, and deviations of a
   * hundredth of a channel's root mean square at least, so that a feature that
   * was the same in all of them is not expected to be so to the last digit.
   *
   * Distances are given in units of that which a new input of the same kind
   * exceeds with the probability 1 − `confidence` at most: the corresponding
   * order statistic (conformal_rank()) of the training inputs' own distances,
   * each measured without its fold. Of too few inputs for that it is the larger
   * of their largest and of the quantile of a log-normal distribution with the
   * mean and the deviation of their logarithms. Farther than 1 is outside.
   */
  class TrainingRange
  {
  public:
    /** Probability of being called inside for an input of the same kind. */
    static constexpr double confidence = 0.98;

    /** Take the range from @p data, two samples at least. */
    void
    fit(const OperatorData &data);

    /** How far each sample of @p data is, [n] float64 on its device. */
    torch::Tensor
    distances(const OperatorData &data) const;

    /** The same of inputs that have these get_features(), [n, F]. */
    torch::Tensor
    distances_of(const torch::Tensor &features) const;

    /** What inputs are told by. */
    const FieldFeatures &
    get_features() const
    {
      return features;
    }

    /** Put the range into @p file, as @p name. */
    void
    save(ModelFile &file, const std::string &name) const;

    /** Restore what save() has written. */
    static TrainingRange
    load(const ModelFile &file, const std::string &name);

  private:
    /** Centre and metric of some inputs' features. */
    struct Metric
    {
      /** @param features [n, F], @param smallest deviations, [F]. */
      Metric(const torch::Tensor &features, const torch::Tensor &smallest);

      torch::Tensor center;    ///< [F]
      torch::Tensor whitening; ///< [F, F], to independent unit deviations
    };

    FieldFeatures features;

    torch::Tensor center, whitening;
    double        unit = 1.;
  };
} // namespace neuraldeal

#endif
