// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_random_fields_karhunen_loeve_h
#define neuraldeal_coupling_random_fields_karhunen_loeve_h

#include <deal.II/base/function.h>
#include <deal.II/base/point.h>

#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/coupling/random_fields/field_transform.h>
#include <neuraldeal/surrogates/random.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * A Gaussian field on a box by its Karhunen–Loève expansion in products,
   *   u(x) = ∑_k ξ_k √λ_k φ_k(x),  φ_k(x) = ∏_d φ_{k_d}(x_d),
   * with independent standard normal ξ_k and φ_k that are orthonormal in L² of
   * the box: mean zero, covariance ∑_k λ_k φ_k(x) φ_k(y), in closed form at any
   * point of any mesh. Which covariance that is, the derived classes say.
   *
   * The modes are in the order of falling λ_k (equal ones in that of k). The
   * ξ are drawn, or are the parameters of a campaign:
   * @code
   * CosineExpansion<dim>::AdditionalData data;
   * data.n_modes = 20;
   * const CosineExpansion<dim> expansion(lower, upper, data);
   * InputDistribution inputs;
   * expansion.add_to(inputs);                        // xi_0, …, xi_19
   * FullOrderModel<VectorType> model;
   * model.solve = [&](const auto &input, auto &solution) {
   *   const auto u = expansion.function(input);      // a dealii::Function
   *   ... assemble with std::exp(u->value(point))
   * };
   * @endcode
   */
  template <int dim>
  class KarhunenLoeve
  {
  public:
    /** One term of the sum. */
    struct Mode
    {
      std::array<unsigned int, dim> k;
      double                        variance; ///< λ_k
    };

    const std::vector<Mode> &
    modes() const
    {
      return *all_modes;
    }

    /**
     * The variance of the field, its mean over the box: ∑ λ_k / |box| over the
     * modes that are kept.
     */
    double
    mean_variance() const;

    /** The share of the variance of the infinite sum that the modes keep. */
    double
    kept_share() const
    {
      return mean_variance() / whole_variance;
    }

    /** The covariance of the truncated field at two points. */
    double
    covariance(const dealii::Point<dim> &x, const dealii::Point<dim> &y) const;

    /**
     * The ξ of sample number @p index, one for each mode; a longer expansion
     * has the same ones first.
     */
    std::vector<double>
    draw(const std::uint64_t         seed,
         const CounterRandom::Stream stream,
         const std::uint64_t         index) const;

    /** Append the ξ as standard normal entries, @p name_0, @p name_1, …. */
    void
    add_to(InputDistribution &inputs, const std::string &name = "xi") const;

    /** u(x) for these @p coefficients ξ, one for each mode. */
    double
    value(const std::vector<double> &coefficients,
          const dealii::Point<dim>  &x) const;

    /** The same, with a transform, as a function. It refers to nothing. */
    std::unique_ptr<dealii::Function<dim>>
    function(const std::vector<double> &coefficients,
             const FieldTransform      &transform = {}) const;

  protected:
    /** φ_0(x_d), φ_1(x_d), … of a direction; the vector has its size. */
    using Direction =
      std::function<void(const double x_d, std::vector<double> &values)>;

    /**
     * @param lower, upper corners of the box.
     * @throw InputError for an empty one; @p source is for error messages.
     */
    KarhunenLoeve(const dealii::Point<dim> &lower,
                  const dealii::Point<dim> &upper,
                  const std::string        &source);

    /**
     * To be called once.
     * @param n_per_direction how many functions each direction has.
     * @param variance λ_k; terms of directions that are alike have to be added
     * or multiplied in an order that does not depend on the direction, so that
     * modes that are equal by symmetry are so to the last bit.
     * @param with_constant whether k = 0 is a mode.
     * @param n_modes how many are kept; 0: all.
     * @param whole_variance of the infinite sum, mean over the box.
     * @throw InputError where there are not as many modes.
     */
    void
    set_modes(
      const std::array<Direction, dim> &directions,
      const unsigned int                n_per_direction,
      const std::function<double(const std::array<unsigned int, dim> &k)>
                        &variance,
      const bool         with_constant,
      const unsigned int n_modes,
      const double       whole_variance);

    /** @throw InputError that names the source. */
    [[noreturn]] void
    complain(const std::string &entry,
             const std::string &value,
             const std::string &valid) const;

    const dealii::Point<dim> lower;
    std::array<double, dim>  lengths;
    const std::string        source;

  private:
    /** φ_j(x_d) at [d][j]. */
    std::array<std::vector<double>, dim>
    factors(const dealii::Point<dim> &x) const;

    /** φ_k from these. */
    static double
    mode_value(const Mode                                 &mode,
               const std::array<std::vector<double>, dim> &factors);

    std::array<Direction, dim>               directions;
    unsigned int                             n_per_direction = 0;
    double                                   whole_variance  = 0.;
    std::shared_ptr<const std::vector<Mode>> all_modes;
  };
} // namespace neuraldeal

#endif
