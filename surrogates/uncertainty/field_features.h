// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_field_features_h
#define neuraldeal_surrogates_uncertainty_field_features_h

#include <neuraldeal/surrogates/operators/operator_model.h>

namespace neuraldeal
{
  /**
   * A few numbers of every channel that say what kind of field it is: mean,
   * smallest and largest value, the logarithms of the deviation and, on grids,
   * of the root mean square differences at distances of 1, 2, 4, … points
   * (structure functions, which have the spectrum of a field in them: Monin and
   * Yaglom, Statistical Fluid Mechanics II, 1975, section 13). They do not
   * change if a field is turned or mirrored, and all are in units of the
   * channel's root mean square over the fields of fit().
   */
  class FieldFeatures
  {
  public:
    /** Features per channel that are no differences. */
    static constexpr long n_moments = 4;

    /** Take the units from @p data. */
    void
    fit(const OperatorData &data);

    /**
     * Of the input, of a coarse solution and of points that every sample has
     * its own of, [n, F] float64 on the device of @p data. Masked values do not
     * count.
     */
    torch::Tensor
    of(const OperatorData &data) const;

    /** Put the units into @p file, as @p name. */
    void
    save(ModelFile &file, const std::string &name) const;

    /**
     * Restore what save() has written.
     * @throw FileError where that is damaged.
     */
    static FieldFeatures
    load(const ModelFile &file, const std::string &name);

    long
    n_channels() const
    {
      return root_mean_square.size(0);
    }

  private:
    /** The same of so few samples that copies of them do no harm. */
    torch::Tensor
    of_few(const OperatorData &data) const;

    torch::Tensor root_mean_square; ///< [c] float64
  };
} // namespace neuraldeal

#endif
