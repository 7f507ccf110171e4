// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_error_size_h
#define neuraldeal_surrogates_uncertainty_error_size_h

#include <neuraldeal/surrogates/model_file.h>

namespace neuraldeal
{
  /**
   * Mean squares of the errors of fields from a few features of each: ridge
   * regression (Hoerl and Kennard, Technometrics 12, 1970) of the logarithms of
   * those that were made. The weight of the ridge is the one, of a few, by
   * which each fold's errors, from the regression of the other folds, have the
   * largest likelihood as Gaussian ones of any level; with the largest weight
   * there is nearly nothing left but that. The level is then the one by which
   * the roots of these squares are right in the relative mean, which a single
   * large error moves less than the likelihood's level.
   *
   * Features are taken in deviations from their mean, three at most in either
   * direction: beyond of what was learned the answer stays what it was at the
   * border.
   */
  class ErrorSize
  {
  public:
    ErrorSize() = default;

    /**
     * @param features [n, F], on any device.
     * @param squares mean squares of the errors of c channels, [n, c].
     * @param folds which fold a row is in, [n] int64; what is not independent
     * of each other belongs into the same, and there are two at least.
     */
    void
    fit(const torch::Tensor &features,
        const torch::Tensor &squares,
        const torch::Tensor &folds);

    /** What mean squares are expected, [n, c] float64. */
    torch::Tensor
    squares(const torch::Tensor &features) const;

    /**
     * The same of the rows that fit() was given, each by the regression of the
     * other folds, so that they are as good as those of new fields.
     */
    const torch::Tensor &
    left_out_squares() const
    {
      return left_out;
    }

    /** Put the regression into @p file, as @p name. */
    void
    save(ModelFile &file, const std::string &name) const;

    /**
     * Restore what save() has written, without left_out_squares().
     * @throw FileError where that is damaged.
     */
    static ErrorSize
    load(const ModelFile &file, const std::string &name);

    long
    n_channels() const
    {
      return level.size(0);
    }

  private:
    /** The logarithms of squares(). */
    torch::Tensor
    logarithms(const torch::Tensor &features) const;

    /** A regression with the given weight of the ridge. */
    ErrorSize(const torch::Tensor &features,
              const torch::Tensor &logarithms,
              const double         ridge);

    torch::Tensor center, deviation; ///< [F]
    torch::Tensor weights;           ///< [F, c]
    torch::Tensor level;             ///< [c]
    torch::Tensor left_out;          ///< [n, c]
  };
} // namespace neuraldeal

#endif
