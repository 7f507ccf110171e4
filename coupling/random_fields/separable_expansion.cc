// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/quadrature_lib.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/random_fields/separable_expansion.h>
#include <neuraldeal/coupling/torch_interface.h>
#include <neuraldeal/surrogates/covariance_kernel.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    /** √(2p + 1) P_p(2t − 1) for all p < n: orthonormal on (0, 1). */
    void
    legendre(const double t, const std::size_t n, double *const values)
    {
      const double x        = 2. * t - 1.;
      double       previous = 0., current = 1.;
      for (std::size_t p = 0; p < n; ++p)
        {
          values[p] = std::sqrt(2. * p + 1.) * current;
          const double next =
            ((2. * p + 1.) * x * current - p * previous) / (p + 1.);
          previous = current;
          current  = next;
        }
    }



    /** Eigenvalues and functions of c(|s − t|/ℓ) on (0, 1). */
    struct Eigenpairs
    {
      std::vector<double> values;
      std::size_t         degree;       ///< number of polynomials
      std::vector<double> coefficients; ///< [values.size(), degree]
    };

    Eigenpairs
    solve(const CovarianceKernel &kernel, const unsigned int n)
    {
      // Eigenfunction j has j zeros.
      const long degree   = 3 * n + 20;
      const long n_points = std::max(400l, 3 * degree);

      const QGauss<1> quadrature(n_points);
      auto            points = torch::empty({n_points, 1}, torch::kFloat64);
      auto            basis = torch::empty({n_points, degree}, torch::kFloat64);
      for (long q = 0; q < n_points; ++q)
        {
          const double t = quadrature.point(q)[0];
          points[q][0]   = t;
          legendre(t, degree, basis[q].data_ptr<double>());
          basis[q] *= quadrature.weight(q);
        }
      const auto matrix =
        basis.t().matmul(kernel.matrix(points, points)).matmul(basis);
      const auto [values, vectors] = at::linalg_eigh(matrix);
      const auto largest           = vectors.flip(1).t().contiguous();

      Eigenpairs result;
      result.degree = degree;
      for (unsigned int j = 0; j < n; ++j)
        {
          // Those of smooth covariances fall below rounding.
          result.values.push_back(
            std::max(values[degree - 1 - j].template item<double>(), 0.));
          // The sign is free: positive at the lower end.
          const auto   row = largest[j].contiguous();
          const double sign =
            (row * basis[0] / quadrature.weight(0)).sum().item<double>() < 0. ?
              -1. :
              1.;
          for (long p = 0; p < degree; ++p)
            result.coefficients.push_back(sign * row[p].item<double>());
        }
      return result;
    }
  } // namespace



  template <int dim>
  SeparableExpansion<dim>::SeparableExpansion(const Point<dim>     &lower,
                                              const Point<dim>     &upper,
                                              const AdditionalData &data)
    : KarhunenLoeve<dim>(lower, upper, data.source)
  {
    for (const auto &[entry, value] :
         {std::make_pair("standard deviation", data.standard_deviation),
          std::make_pair("correlation length", data.correlation_length)})
      if (!(value > 0. && std::isfinite(value)))
        this->complain(entry,
                       fmt::format("{}", value),
                       "a finite positive number");
    if (data.n_per_direction < 1 || data.n_per_direction > 500)
      this->complain("modes per direction",
                     std::to_string(data.n_per_direction),
                     "an integer from 1 to 500");

    const auto make_kernel = [&]() {
      try
        {
          return CovarianceKernel({1}, data.covariance, "shared");
        }
      catch (const InputError &)
        {
          this->complain("covariance",
                         data.covariance,
                         "one of: " + CovarianceKernel::shapes());
        }
    };

    std::array<typename KarhunenLoeve<dim>::Direction, dim> directions;
    std::array<std::vector<double>, dim>                    eigenvalues;
    for (unsigned int d = 0; d < dim; ++d)
      {
        const double length = this->lengths[d];
        auto         kernel = make_kernel();
        // (Without its affine part.)
        kernel.set_hyperparameters(
          torch::tensor({std::log(data.correlation_length / length), -700.},
                        torch::kFloat64));
        const auto pairs = std::make_shared<const Eigenpairs>(
          solve(kernel, data.n_per_direction));
        for (const double value : pairs->values)
          eigenvalues[d].push_back(length * value);
        directions[d] = [a = lower[d],
                         length,
                         pairs](const double x, std::vector<double> &values) {
          std::vector<double> polynomials(pairs->degree);
          legendre((x - a) / length, pairs->degree, polynomials.data());
          const double *coefficient = pairs->coefficients.data();
          for (double &value : values)
            {
              value = 0.;
              for (const double polynomial : polynomials)
                value += *(coefficient++) * polynomial;
              value /= std::sqrt(length);
            }
        };
      }
    const double variance = data.standard_deviation * data.standard_deviation;
    this->set_modes(
      directions,
      data.n_per_direction,
      [&](const std::array<unsigned int, dim> &k) {
        std::array<double, dim> factors;
        for (unsigned int d = 0; d < dim; ++d)
          factors[d] = eigenvalues[d][k[d]];
        std::sort(factors.begin(), factors.end());
        double result = variance;
        for (const double factor : factors)
          result *= factor;
        return result;
      },
      true,
      data.n_modes,
      variance);
  }



  template class SeparableExpansion<2>;
  template class SeparableExpansion<3>;
} // namespace neuraldeal
