// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/deflation.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace neuraldeal
{
  namespace
  {
    std::vector<const double *>
    pointers(const std::vector<std::vector<double>> &arrays)
    {
      std::vector<const double *> result;
      for (const auto &array : arrays)
        result.push_back(array.data());
      return result;
    }
  } // namespace



  LocalDeflation::LocalDeflation(
    const std::vector<std::vector<double>> &directions,
    const std::size_t                       n_local,
    const LocalSystem::Apply               &matrix,
    const LocalSystem::Sum                 &sum,
    const unsigned int                      process)
    : n(n_local)
    , sum(sum)
    , z(directions)
  {
    if (z.empty())
      return;
    if (z[0].size() != n)
      throw InputError("the program",
                       "the basis of a PreconditionDeflation",
                       "for " + std::to_string(z[0].size()) +
                         " unknowns of this process",
                       "one for as many as the matrix has, " +
                         std::to_string(n));

    // In the decoupled rows the preconditioner is left alone.
    DecoupledRows decoupled;
    decoupled.find(matrix, n, process);
    for (auto &direction : z)
      {
        decoupled.clear_entries(direction.data());
        az.emplace_back(n);
        matrix(az.back().data(), direction.data());
        decoupled.clear_entries(az.back().data());
      }

    const std::size_t   k = z.size();
    std::vector<double> e = inner_products(pointers(z), pointers(az), n);
    sum(e.data(), static_cast<int>(e.size()));
    double size = 0., asymmetry = 0.;
    for (std::size_t i = 0; i < k; ++i)
      for (std::size_t j = 0; j < k; ++j)
        {
          size += e[i * k + j] * e[i * k + j];
          asymmetry += std::pow(e[i * k + j] - e[j * k + i], 2);
        }
    bool definite = true;
    inverse       = pseudo_inverse(e, definite);
    if (!definite || !(asymmetry <= 1e-16 * size))
      throw InputError("the program",
                       "the matrix of a PreconditionDeflation",
                       definite ? "not symmetric" : "not positive definite",
                       "a symmetric positive definite matrix");
  }



  void
  LocalDeflation::vmult(double                   *dst,
                        const double             *src,
                        const LocalSystem::Apply &inner) const
  {
    std::vector<double> r(src, src + n), y(n);
    std::vector<double> coarse;
    if (!z.empty())
      {
        coarse = inner_products(pointers(z), {r.data()}, n);
        sum(coarse.data(), static_cast<int>(coarse.size()));
        coarse = multiply(inverse, coarse);
        add_combination(r.data(), -1., pointers(az), coarse, n); // P r
      }
    inner(y.data(), r.data());
    if (!z.empty())
      {
        // Pᵀ y + Q r = y + Z (E⁻¹ Zᵀ r − E⁻¹ (A Z)ᵀ y)
        std::vector<double> c = inner_products(pointers(az), {y.data()}, n);
        sum(c.data(), static_cast<int>(c.size()));
        c = multiply(inverse, c);
        for (std::size_t i = 0; i < c.size(); ++i)
          c[i] = coarse[i] - c[i];
        add_combination(y.data(), 1., pointers(z), c, n);
      }
    std::copy(y.begin(), y.end(), dst);
  }
} // namespace neuraldeal
