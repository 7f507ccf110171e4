// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef thermal_block_conductivity_h
#define thermal_block_conductivity_h

#include <deal.II/base/numbers.h>
#include <deal.II/base/point.h>
#include <deal.II/base/tensor.h>
#include <deal.II/base/utilities.h>

#include <array>
#include <cmath>
#include <vector>

namespace ThermalBlock
{
  using namespace dealii;

  /**
   * The conductivity κ(x; μ) at temperature zero, as a function of the first
   * n_parameters() entries of an input.
   */
  template <int dim>
  class Conductivity
  {
  public:
    virtual ~Conductivity() = default;

    /** How many entries of the input describe the conductivity. */
    virtual unsigned int
    n_parameters() const = 0;

    /** κ at the point @p p of the unit cube. */
    virtual double
    value(const std::vector<double> &input, const Point<dim> &p) const = 0;
  };



  /**
   * The thermal block of the model-reduction literature: one conductivity for
   * each of the 2^dim sub-blocks, ordered lexicographically (x fastest).
   */
  template <int dim>
  class BlockConductivity : public Conductivity<dim>
  {
  public:
    unsigned int
    n_parameters() const override
    {
      return 1u << dim;
    }

    double
    value(const std::vector<double> &input, const Point<dim> &p) const override
    {
      unsigned int block = 0;
      for (unsigned int d = 0; d < dim; ++d)
        if (p[d] > 0.5)
          block |= 1u << d;
      return input[block];
    }
  };



  /**
   * A log-normal random field: κ = exp(σ Σ_k √λ_k ξ_k φ_k(x)) with the cosine
   * basis φ_k of the unit square and λ_k ∝ (π²|k|² + τ²)^(-s), the covariance
   * operator (−Δ + τ²)^(-s) with Neumann conditions, scaled such that the
   * field has unit variance on average. The input holds the independent
   * standard normal coefficients ξ_k of the modes with the largest λ_k.
   */
  template <int dim>
  class LogNormalConductivity : public Conductivity<dim>
  {
  public:
    /** The @p n_per_direction^dim − 1 lowest modes, without the constant. */
    LogNormalConductivity(const unsigned int n_per_direction,
                          const double       standard_deviation,
                          const double       inverse_length = 3.,
                          const double       exponent       = 2.)
    {
      const unsigned int n   = Utilities::fixed_power<dim>(n_per_direction);
      double             sum = 0;
      for (unsigned int i = 1; i < n; ++i)
        {
          Mode         mode;
          double       squared = 0;
          unsigned int rest    = i;
          mode.factor          = 1;
          for (unsigned int d = 0; d < dim; ++d)
            {
              mode.wave_number[d] = rest % n_per_direction;
              rest /= n_per_direction;
              squared += mode.wave_number[d] * mode.wave_number[d];
              if (mode.wave_number[d] > 0)
                mode.factor *= std::sqrt(2.);
            }
          const double eigenvalue =
            std::pow(numbers::PI * numbers::PI * squared +
                       inverse_length * inverse_length,
                     -exponent);
          sum += eigenvalue;
          mode.factor *= std::sqrt(eigenvalue);
          modes.push_back(mode);
        }
      for (auto &mode : modes)
        mode.factor *= standard_deviation / std::sqrt(sum);
    }

    unsigned int
    n_parameters() const override
    {
      return modes.size();
    }

    double
    value(const std::vector<double> &input, const Point<dim> &p) const override
    {
      double exponent = 0;
      for (unsigned int i = 0; i < modes.size(); ++i)
        {
          double mode = modes[i].factor;
          for (unsigned int d = 0; d < dim; ++d)
            mode *= std::cos(numbers::PI * modes[i].wave_number[d] * p[d]);
          exponent += input[i] * mode;
        }
      return std::exp(exponent);
    }

  private:
    struct Mode
    {
      std::array<unsigned int, dim> wave_number;
      double                        factor;
    };
    std::vector<Mode> modes;
  };
} // namespace ThermalBlock

#endif
