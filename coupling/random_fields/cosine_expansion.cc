// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/random_fields/cosine_expansion.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    /** ∑_{k ≥ 0} exp(−(πk/L)² t), by itself or by Poisson's formula. */
    double
    theta(const double length, const double t)
    {
      // Either sum has its terms below rounding after a few.
      const double pi    = M_PI;
      const double ratio = t / (length * length);
      double       sum   = 0.;
      if (ratio > 1. / pi)
        {
          for (unsigned int k = 1; k < 8; ++k)
            sum += std::exp(-pi * pi * k * k * ratio);
          return 1. + sum;
        }
      for (unsigned int m = 1; m < 8; ++m)
        sum += std::exp(-1. * m * m / ratio);
      return 0.5 + (0.5 + sum) / std::sqrt(pi * ratio);
    }



    /**
     * ∑_k (∑_d (πk_d/L_d)² + κ²)^{−α} over all k ≥ 0: with Euler's integral,
     *   1/Γ(α) ∫_0^∞ t^{α−1} exp(−κ²t) ∏_d θ_d(t) dt,
     * whose integrand is analytic and falls exponentially in log t, where the
     * trapezoidal rule is exact to rounding.
     */
    template <std::size_t dim>
    double
    infinite_sum(const std::array<double, dim> &lengths,
                 const double                   kappa,
                 const double                   alpha)
    {
      constexpr double step = 0.0625;
      double           sum = 0., largest = 0.;
      // Downwards from where exp(−κ²t) has ended all.
      const double end = std::log(800. / (kappa * kappa));
      for (unsigned int i = 0;; ++i)
        {
          const double s = end - step * i, t = std::exp(s);
          double       term = alpha * s - kappa * kappa * t;
          for (const double length : lengths)
            term += std::log(theta(length, t));
          term = std::exp(term - std::lgamma(alpha));
          sum += step * term;
          largest = std::max(largest, term);
          if (t * kappa * kappa < 1. && term < 1e-18 * largest)
            return sum;
        }
    }
  } // namespace



  template <int dim>
  CosineExpansion<dim>::CosineExpansion(const Point<dim>     &lower,
                                        const Point<dim>     &upper,
                                        const AdditionalData &data)
    : lower(lower)
    , data(data)
  {
    const auto complain = [&](const std::string &entry,
                              const std::string &value,
                              const std::string &valid) {
      throw InputError(data.source, entry, value, valid);
    };
    for (unsigned int d = 0; d < dim; ++d)
      {
        lengths[d] = upper[d] - lower[d];
        if (!(lengths[d] > 0. && std::isfinite(lengths[d])))
          complain("the box's length in direction " + std::to_string(d),
                   fmt::format("{}", lengths[d]),
                   "a finite positive number");
      }
    if (!(data.scale > 0. && std::isfinite(data.scale)))
      complain("scale",
               fmt::format("{}", data.scale),
               "a finite positive number");
    if (!(data.inverse_length > 0. && std::isfinite(data.inverse_length)))
      complain("inverse length",
               fmt::format("{}", data.inverse_length),
               "a finite positive number");
    // Close to d/2 the sum all but diverges, and no truncation is one.
    if (!(data.exponent >= 0.5 * dim + 0.1 && data.exponent <= 100.))
      complain("exponent",
               fmt::format("{}", data.exponent),
               fmt::format("a number from {} to 100 in {}d",
                           0.5 * dim + 0.1,
                           dim));
    if (data.n_per_direction < 1 ||
        std::pow(data.n_per_direction, dim) > 1 << 28)
      complain("modes per direction",
               std::to_string(data.n_per_direction),
               "an integer from 1, with at most 2^28 modes in all");

    // |k|² by the same terms in the same order, whatever the direction that
    // each is from: modes that are equal by symmetry are so to the last bit.
    const auto        n = data.n_per_direction;
    std::vector<Mode> modes;
    for (std::size_t i = data.constant_mode ? 0 : 1; i < std::pow(n, dim); ++i)
      {
        Mode                    mode;
        std::array<double, dim> squares;
        std::size_t             rest = i;
        for (unsigned int d = dim; d-- > 0; rest /= n)
          {
            mode.k[d]  = rest % n;
            squares[d] = std::pow(M_PI * mode.k[d] / lengths[d], 2);
          }
        std::sort(squares.begin(), squares.end());
        double sum = 0.;
        for (const double square : squares)
          sum += square;
        mode.variance =
          data.scale * data.scale *
          std::pow(sum + data.inverse_length * data.inverse_length,
                   -data.exponent);
        modes.push_back(mode);
      }
    std::sort(modes.begin(), modes.end(), [](const Mode &a, const Mode &b) {
      return a.variance > b.variance || (a.variance == b.variance && a.k < b.k);
    });
    if (modes.empty() || data.n_modes > modes.size())
      complain("modes",
               std::to_string(data.n_modes),
               fmt::format("an integer up to {}, how many modes there are",
                           modes.size()));
    if (data.n_modes > 0)
      modes.resize(data.n_modes);
    all_modes = std::make_shared<const std::vector<Mode>>(std::move(modes));
  }



  template <int dim>
  double
  CosineExpansion<dim>::mean_variance() const
  {
    double result = 0.;
    // The small ones first.
    for (auto mode = modes().rbegin(); mode != modes().rend(); ++mode)
      result += mode->variance;
    for (const double length : lengths)
      result /= length;
    return result;
  }



  template <int dim>
  double
  CosineExpansion<dim>::kept_share() const
  {
    double all = infinite_sum(lengths, data.inverse_length, data.exponent);
    if (!data.constant_mode)
      all -= std::pow(data.inverse_length, -2. * data.exponent);
    all *= data.scale * data.scale;
    for (const double length : lengths)
      all /= length;
    return mean_variance() / all;
  }



  template <int dim>
  std::array<std::vector<double>, dim>
  CosineExpansion<dim>::factors(const Point<dim> &x) const
  {
    std::array<std::vector<double>, dim> result;
    for (unsigned int d = 0; d < dim; ++d)
      {
        result[d].resize(data.n_per_direction);
        for (unsigned int j = 0; j < data.n_per_direction; ++j)
          result[d][j] = std::sqrt((j == 0 ? 1. : 2.) / lengths[d]) *
                         std::cos(M_PI * j * (x[d] - lower[d]) / lengths[d]);
      }
    return result;
  }



  template <int dim>
  double
  CosineExpansion<dim>::mode_value(
    const Mode                                 &mode,
    const std::array<std::vector<double>, dim> &factors)
  {
    double result = 1.;
    for (unsigned int d = 0; d < dim; ++d)
      result *= factors[d][mode.k[d]];
    return result;
  }



  template <int dim>
  double
  CosineExpansion<dim>::covariance(const Point<dim> &x,
                                   const Point<dim> &y) const
  {
    const auto at_x = factors(x), at_y = factors(y);
    double     result = 0.;
    for (const auto &mode : modes())
      result += mode.variance * mode_value(mode, at_x) * mode_value(mode, at_y);
    return result;
  }



  template <int dim>
  std::vector<double>
  CosineExpansion<dim>::draw(const std::uint64_t         seed,
                             const CounterRandom::Stream stream,
                             const std::uint64_t         index) const
  {
    CounterRandom       random(seed, stream, index);
    std::vector<double> result(modes().size());
    for (auto &xi : result)
      xi = random.normal();
    return result;
  }



  template <int dim>
  void
  CosineExpansion<dim>::add_to(InputDistribution &inputs,
                               const std::string &name) const
  {
    for (std::size_t i = 0; i < modes().size(); ++i)
      inputs.add_normal(name + "_" + std::to_string(i), 0., 1.);
  }



  template <int dim>
  double
  CosineExpansion<dim>::value(const std::vector<double> &coefficients,
                              const Point<dim>          &x) const
  {
    AssertDimension(coefficients.size(), modes().size());
    const auto at_x   = factors(x);
    double     result = 0.;
    for (std::size_t i = 0; i < coefficients.size(); ++i)
      result += coefficients[i] * std::sqrt(modes()[i].variance) *
                mode_value(modes()[i], at_x);
    return result;
  }



  template <int dim>
  std::unique_ptr<Function<dim>>
  CosineExpansion<dim>::function(const std::vector<double> &coefficients,
                                 const FieldTransform      &transform) const
  {
    class Sample : public Function<dim>
    {
    public:
      Sample(const CosineExpansion     &expansion,
             const std::vector<double> &coefficients,
             const FieldTransform      &transform)
        : expansion(expansion)
        , coefficients(coefficients)
        , transform(transform)
      {}

      virtual double
      value(const Point<dim> &x, const unsigned int = 0) const override
      {
        const double g = expansion.value(coefficients, x);
        return transform ? transform(g) : g;
      }

    private:
      const CosineExpansion     expansion;
      const std::vector<double> coefficients;
      const FieldTransform      transform;
    };
    AssertDimension(coefficients.size(), modes().size());
    return std::make_unique<Sample>(*this, coefficients, transform);
  }



  template class CosineExpansion<2>;
  template class CosineExpansion<3>;
} // namespace neuraldeal
