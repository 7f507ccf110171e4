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

    /** Directions that reach over all unknowns, and A times each of them. */
    class GlobalCoarseSpace : public CoarseSpace
    {
    public:
      GlobalCoarseSpace(const std::vector<std::vector<double>> &directions,
                        const std::size_t                       n_local,
                        const LocalSystem::Apply               &matrix,
                        const LocalSystem::Sum                 &sum,
                        const unsigned int                      process)
        : n(n_local)
        , sum(sum)
        , z(directions)
      {
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

      std::vector<double>
      solve(const double *r) const override
      {
        return coarse_solve(inner_products(pointers(z), {r}, n));
      }

      std::vector<double>
      solve_transposed(const double *y) const override
      {
        return coarse_solve(inner_products(pointers(az), {y}, n));
      }

      void
      add(double                    *x,
          const double               factor,
          const std::vector<double> &c) const override
      {
        add_combination(x, factor, pointers(z), c, n);
      }

      void
      add_product(double                    *x,
                  const double               factor,
                  const std::vector<double> &c) const override
      {
        add_combination(x, factor, pointers(az), c, n);
      }

      unsigned int
      size() const override
      {
        return z.size();
      }

    private:
      std::vector<double>
      coarse_solve(std::vector<double> moments) const
      {
        sum(moments.data(), static_cast<int>(moments.size()));
        return multiply(inverse, moments);
      }

      const std::size_t                n;
      const LocalSystem::Sum           sum;
      std::vector<std::vector<double>> z, az;   ///< Z and A Z
      std::vector<double>              inverse; ///< E⁻¹
    };
  } // namespace



  LocalDeflation::LocalDeflation(
    const std::vector<std::vector<double>> &directions,
    const std::size_t                       n_local,
    const LocalSystem::Apply               &matrix,
    const LocalSystem::Sum                 &sum,
    const unsigned int                      process)
    : n(n_local)
  {
    if (directions.empty())
      return;
    if (directions[0].size() != n)
      throw InputError("the program",
                       "the basis of a PreconditionDeflation",
                       "for " + std::to_string(directions[0].size()) +
                         " unknowns of this process",
                       "one for as many as the matrix has, " +
                         std::to_string(n));
    space =
      std::make_shared<GlobalCoarseSpace>(directions, n, matrix, sum, process);
  }



  LocalDeflation::LocalDeflation(
    const std::shared_ptr<const CoarseSpace> &space,
    const std::size_t                         n_local)
    : n(n_local)
    , space(space)
  {}



  void
  LocalDeflation::vmult(double                   *dst,
                        const double             *src,
                        const LocalSystem::Apply &inner) const
  {
    std::vector<double> r(src, src + n), y(n);
    std::vector<double> coarse;
    if (space)
      {
        coarse = space->solve(r.data());
        space->add_product(r.data(), -1., coarse); // P r
      }
    inner(y.data(), r.data());
    if (space)
      {
        // Pᵀ y + Q r = y + Z (E⁻¹ Zᵀ r − E⁻¹ (A Z)ᵀ y)
        const std::vector<double> c = space->solve_transposed(y.data());
        for (std::size_t i = 0; i < c.size(); ++i)
          coarse[i] -= c[i];
        space->add(y.data(), 1., coarse);
      }
    std::copy(y.begin(), y.end(), dst);
  }
} // namespace neuraldeal
