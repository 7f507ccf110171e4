// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/coupling/random_fields/karhunen_loeve.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  using namespace dealii;

  template <int dim>
  KarhunenLoeve<dim>::KarhunenLoeve(const Point<dim>  &lower,
                                    const Point<dim>  &upper,
                                    const std::string &source)
    : lower(lower)
    , source(source)
  {
    for (unsigned int d = 0; d < dim; ++d)
      {
        lengths[d] = upper[d] - lower[d];
        if (!(lengths[d] > 0. && std::isfinite(lengths[d])))
          complain("the box's length in direction " + std::to_string(d),
                   fmt::format("{}", lengths[d]),
                   "a finite positive number");
      }
  }



  template <int dim>
  void
  KarhunenLoeve<dim>::complain(const std::string &entry,
                               const std::string &value,
                               const std::string &valid) const
  {
    throw InputError(source, entry, value, valid);
  }



  template <int dim>
  void
  KarhunenLoeve<dim>::set_modes(
    const std::array<Direction, dim> &all_directions,
    const unsigned int                n,
    const std::function<double(const std::array<unsigned int, dim> &k)>
                      &variance,
    const bool         with_constant,
    const unsigned int n_modes,
    const double       variance_of_all)
  {
    if (n < 1 || std::pow(n, dim) > 1 << 28)
      complain("modes per direction",
               std::to_string(n),
               "an integer from 1, with at most 2^28 modes in all");
    directions      = all_directions;
    n_per_direction = n;
    whole_variance  = variance_of_all;
    std::vector<Mode> modes;
    for (std::size_t i = with_constant ? 0 : 1; i < std::pow(n, dim); ++i)
      {
        Mode        mode;
        std::size_t rest = i;
        for (unsigned int d = dim; d-- > 0; rest /= n)
          mode.k[d] = rest % n;
        mode.variance = variance(mode.k);
        modes.push_back(mode);
      }
    std::sort(modes.begin(), modes.end(), [](const Mode &a, const Mode &b) {
      return a.variance > b.variance || (a.variance == b.variance && a.k < b.k);
    });
    if (modes.empty() || n_modes > modes.size())
      complain("modes",
               std::to_string(n_modes),
               fmt::format("an integer up to {}, how many modes there are",
                           modes.size()));
    if (n_modes > 0)
      modes.resize(n_modes);
    all_modes = std::make_shared<const std::vector<Mode>>(std::move(modes));
  }



  template <int dim>
  double
  KarhunenLoeve<dim>::mean_variance() const
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
  std::array<std::vector<double>, dim>
  KarhunenLoeve<dim>::factors(const Point<dim> &x) const
  {
    std::array<std::vector<double>, dim> result;
    for (unsigned int d = 0; d < dim; ++d)
      {
        result[d].resize(n_per_direction);
        directions[d](x[d], result[d]);
      }
    return result;
  }



  template <int dim>
  double
  KarhunenLoeve<dim>::mode_value(
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
  KarhunenLoeve<dim>::covariance(const Point<dim> &x, const Point<dim> &y) const
  {
    const auto at_x = factors(x), at_y = factors(y);
    double     result = 0.;
    for (const auto &mode : modes())
      result += mode.variance * mode_value(mode, at_x) * mode_value(mode, at_y);
    return result;
  }



  template <int dim>
  std::vector<double>
  KarhunenLoeve<dim>::draw(const std::uint64_t         seed,
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
  KarhunenLoeve<dim>::add_to(InputDistribution &inputs,
                             const std::string &name) const
  {
    for (std::size_t i = 0; i < modes().size(); ++i)
      inputs.add_normal(name + "_" + std::to_string(i), 0., 1.);
  }



  template <int dim>
  double
  KarhunenLoeve<dim>::value(const std::vector<double> &coefficients,
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
  KarhunenLoeve<dim>::function(const std::vector<double> &coefficients,
                               const FieldTransform      &transform) const
  {
    class Sample : public Function<dim>
    {
    public:
      Sample(const KarhunenLoeve       &expansion,
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
      const KarhunenLoeve       expansion;
      const std::vector<double> coefficients;
      const FieldTransform      transform;
    };
    AssertDimension(coefficients.size(), modes().size());
    return std::make_unique<Sample>(*this, coefficients, transform);
  }



  template class KarhunenLoeve<2>;
  template class KarhunenLoeve<3>;
} // namespace neuraldeal
