// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_distribution_h
#define neuraldeal_coupling_distribution_h

#include <neuraldeal/surrogates/registry.h>

#include <functional>
#include <memory>
#include <string>

namespace neuraldeal
{
  /**
   * The distribution of one number, by its quantile function: what draws
   * and designs need, since both start from points of the unit cube.
   */
  class Distribution
  {
  public:
    virtual ~Distribution() = default;

    /**
     * The smallest x with P(X ≤ x) ≥ @p probability, which is in (0, 1).
     * Nondecreasing.
     */
    virtual double
    quantile(const double probability) const = 0;

    /** The interval outside of which nothing is drawn; may be infinite. */
    virtual double
    lower() const = 0;

    virtual double
    upper() const = 0;

    /** Whether surrogates should look at the logarithm. */
    virtual bool
    logarithmic() const
    {
      return false;
    }
  };

  /**
   * Builds a distribution from the complete parameters of its class.
   * @throw InputError naming @p source where they make no distribution.
   */
  using DistributionFactory = std::function<std::unique_ptr<
    Distribution>(const nlohmann::json &parameters, const std::string &source)>;

  using DistributionRegistry = Registry<Distribution, DistributionFactory>;

  /**
   * Register the distributions of this library: uniform, log-uniform,
   * normal, log-normal, truncated normal, triangular, beta, gamma, discrete.
   * (A static library drops object files that nobody refers to, with the
   * registrations in them.)
   */
  void
  register_distributions();

  /**
   * Build the distribution called @p type.
   * @param parameters overrides of its defaults.
   * @param source what it is the distribution of, for error messages.
   * @throw InputError for an unknown name, an unknown parameter, or values
   * that make no distribution.
   */
  std::unique_ptr<Distribution>
  make_distribution(const std::string    &type,
                    const nlohmann::json &parameters,
                    const std::string    &source);
} // namespace neuraldeal

#endif
