// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/plugin/solution_space.h>

#include <cmath>
#include <limits>
#include <vector>

namespace
{
  using namespace neuraldeal;
  using Array = std::vector<double>;

  /** A small dense system of one process. */
  struct Dense
  {
    std::size_t n;
    Array       matrix, right_hand_side;

    LocalSystem
    system(const Symmetry symmetry) const
    {
      LocalSystem result;
      result.sum   = [](double *, const int) {};
      result.apply = [this](double *dst, const double *src) {
        for (std::size_t i = 0; i < n; ++i)
          {
            dst[i] = 0.;
            for (std::size_t j = 0; j < n; ++j)
              dst[i] += matrix[i * n + j] * src[j];
          }
      };
      result.right_hand_side = right_hand_side.data();
      result.symmetry        = symmetry;
      return result;
    }
  };

  /** −u'' by finite differences, plus @p convection u'. */
  Dense
  difference_matrix(const std::size_t n, const double convection = 0.)
  {
    Dense result{n, Array(n * n, 0.), Array(n)};
    for (std::size_t i = 0; i < n; ++i)
      {
        result.matrix[i * n + i] = 2.;
        if (i > 0)
          result.matrix[i * n + i - 1] = -1. - convection;
        if (i + 1 < n)
          result.matrix[i * n + i + 1] = -1. + convection;
        result.right_hand_side[i] = std::sin(1. + i * i);
      }
    return result;
  }

  Array
  vector_number(const unsigned int k, const std::size_t n)
  {
    Array result(n);
    for (std::size_t i = 0; i < n; ++i)
      result[i] = std::cos((k + 1.3) * (i + 0.7)) + 0.1 * k;
    return result;
  }

  double
  dot(const Array &x, const Array &y)
  {
    return inner_products({x.data()}, {y.data()}, x.size())[0];
  }

  Array
  product(const Dense &a, const Array &x)
  {
    Array result(x.size());
    a.system(Symmetry::automatic).apply(result.data(), x.data());
    return result;
  }

  double
  energy(const Dense &a, const Array &x)
  {
    return 0.5 * dot(x, product(a, x)) - dot(x, a.right_hand_side);
  }

  double
  residual(const Dense &a, const Array &x)
  {
    Array r = product(a, x);
    for (std::size_t i = 0; i < r.size(); ++i)
      r[i] = a.right_hand_side[i] - r[i];
    return std::sqrt(dot(r, r));
  }

  const auto no_sum = [](double *, const int) {};
} // namespace



TEST(PseudoInverse, SolvesInTheRange)
{
  // Eigenvalues 3, 1 and 0, in units that differ by twelve decades.
  const double s[] = {1e-6, 1., 1e6};
  const double m[] = {2., 1., 1., 1., 2., -1., 1., -1., 2.};
  Array        matrix(9);
  for (unsigned int i = 0; i < 9; ++i)
    matrix[i] = m[i] * s[i / 3] * s[i % 3];
  bool        definite = false;
  const Array inverse  = pseudo_inverse(matrix, definite);
  EXPECT_TRUE(definite);

  const Array x = multiply(inverse, {3. * s[0], 3. * s[1], 0.});
  const Array b = multiply(matrix, x);
  EXPECT_NEAR(b[0] / s[0], 3., 1e-10);
  EXPECT_NEAR(b[1] / s[1], 3., 1e-10);
  EXPECT_NEAR(b[2] / s[2], 0., 1e-10);

  pseudo_inverse({1., 2., 2., 1.}, definite);
  EXPECT_FALSE(definite);
}



TEST(DecoupledRows, AreFoundAndSolved)
{
  Dense a = difference_matrix(12, 0.3);
  for (const std::size_t row : {0, 7, 11})
    for (std::size_t j = 0; j < 12; ++j)
      a.matrix[row * 12 + j] = row == j ? 2. + row : 0.; // columns stay
  DecoupledRows rows;
  rows.find(a.system(Symmetry::automatic).apply, 12, 0);

  Array x(12, 5.);
  rows.clear_entries(x.data());
  for (std::size_t i = 0; i < 12; ++i)
    EXPECT_EQ(x[i], i == 0 || i == 7 || i == 11 ? 0. : 5.);
  const Array b(12, 3.);
  rows.solve(x.data(), b.data());
  EXPECT_NEAR(x[7], 3. / 9., 1e-14);
  EXPECT_EQ(x[8], 5.);
}



TEST(SolutionSpace, IsOrthonormalAndBounded)
{
  SolutionSpace space(30, 4, 0.5);
  for (unsigned int k = 0; k < 11; ++k)
    {
      ASSERT_TRUE(space.learn(vector_number(k, 30).data(), no_sum));
      ASSERT_EQ(space.directions().size(), std::min(4u, k + 1));
      for (std::size_t i = 0; i < space.directions().size(); ++i)
        for (std::size_t j = 0; j <= i; ++j)
          EXPECT_NEAR(dot(space.directions()[i], space.directions()[j]),
                      i == j ? 1. : 0.,
                      1e-13);

      // The newest solution is always in the span.
      const Array newest    = vector_number(k, 30);
      double      projected = 0.;
      for (const auto &direction : space.directions())
        projected += std::pow(dot(direction, newest), 2);
      EXPECT_NEAR(projected, dot(newest, newest), 1e-11);
    }
  EXPECT_EQ(space.n_learned(), 11u);
}



TEST(SolutionSpace, KeepsWhatHasEnergy)
{
  // Two directions that come again and again, and noise.
  SolutionSpace space(40, 4, 0.9);
  for (unsigned int k = 0; k < 30; ++k)
    {
      const Array noise = vector_number(20 + k, 40);
      Array       x(40, 0.);
      for (std::size_t i = 0; i < 40; ++i)
        x[i] = 1e-3 * noise[i];
      x[3] += std::cos(k);
      x[5] += std::sin(k);
      space.learn(x.data(), no_sum);
    }
  for (const std::size_t i : {3, 5})
    {
      double projected = 0.;
      for (const auto &direction : space.directions())
        projected += direction[i] * direction[i];
      EXPECT_GT(projected, 1. - 1e-4);
    }
}



TEST(SolutionSpace, LearnsOnlyFiniteSolutions)
{
  SolutionSpace space(3, 4, 0.5);
  EXPECT_FALSE(space.learn(Array(3, 0.).data(), no_sum));
  EXPECT_FALSE(
    space.learn(Array(3, std::numeric_limits<double>::quiet_NaN()).data(),
                no_sum));
  EXPECT_FALSE(
    space.learn(Array(3, std::numeric_limits<double>::infinity()).data(),
                no_sum));
  EXPECT_TRUE(space.directions().empty());
  EXPECT_EQ(space.n_learned(), 0u);
}



TEST(SolutionSpace, GalerkinProjectionHasTheLowestEnergy)
{
  const std::size_t n = 40;
  const Dense       a = difference_matrix(n);
  SolutionSpace     space(n, 6, 0.5);
  for (unsigned int k = 0; k < 6; ++k)
    space.learn(vector_number(k, n).data(), no_sum);

  Array            x(n, 0.);
  const Projection result =
    space.project(a.system(Symmetry::definite), {}, x.data());
  ASSERT_EQ(result.method, Projection::Method::galerkin);
  EXPECT_EQ(result.dimension, 6u);
  EXPECT_NEAR(result.residual, residual(a, x), 1e-12);
  EXPECT_LT(energy(a, x), 0.);
  for (unsigned int k = 0; k < 6; ++k)
    for (const double step : {-1e-3, 1e-3})
      {
        Array other = x;
        for (std::size_t i = 0; i < n; ++i)
          other[i] += step * space.directions()[k][i];
        EXPECT_LT(energy(a, x), energy(a, other));
      }
}



TEST(SolutionSpace, LeastSquaresHaveTheSmallestResidual)
{
  const std::size_t n = 40;
  const Dense       a = difference_matrix(n, 0.7);
  SolutionSpace     space(n, 6, 0.5);
  for (unsigned int k = 0; k < 6; ++k)
    space.learn(vector_number(k, n).data(), no_sum);

  for (const Symmetry symmetry : {Symmetry::general, Symmetry::automatic})
    {
      Array            x(n, 0.);
      const Projection result = space.project(a.system(symmetry), {}, x.data());
      ASSERT_EQ(result.method, Projection::Method::least_squares);
      EXPECT_NEAR(result.residual, residual(a, x), 1e-12);
      EXPECT_LT(result.residual, result.host_residual);
      for (unsigned int k = 0; k < 6; ++k)
        for (const double step : {-1e-3, 1e-3})
          {
            Array other = x;
            for (std::size_t i = 0; i < n; ++i)
              other[i] += step * space.directions()[k][i];
            EXPECT_LT(residual(a, x), residual(a, other));
          }
    }
}



TEST(SolutionSpace, FindsTheSolutionInItsSpan)
{
  const std::size_t n = 25;
  for (const double convection : {0., 0.4})
    {
      Dense         a = difference_matrix(n, convection);
      SolutionSpace space(n, 8, 0.5);
      Array         solution(n, 0.);
      for (unsigned int k = 0; k < 5; ++k)
        {
          const Array v = vector_number(k, n);
          space.learn(v.data(), no_sum);
          for (std::size_t i = 0; i < n; ++i)
            solution[i] += (k - 1.7) * v[i];
        }
      a.right_hand_side = product(a, solution);

      Array x = vector_number(9, n); // also from a start of the host's
      EXPECT_EQ(
        space.project(a.system(Symmetry::automatic), {}, x.data()).method,
        convection == 0. ? Projection::Method::galerkin :
                           Projection::Method::least_squares);
      for (std::size_t i = 0; i < n; ++i)
        EXPECT_NEAR(x[i], solution[i], 1e-9);
    }
}



TEST(SolutionSpace, KeepsAGoodStartOfTheHost)
{
  const std::size_t n = 25;
  Dense             a = difference_matrix(n);
  SolutionSpace     space(n, 3, 0.5);
  for (unsigned int k = 0; k < 3; ++k)
    space.learn(vector_number(k, n).data(), no_sum);
  const Array solution = vector_number(7, n);
  a.right_hand_side    = product(a, solution);

  Array x = solution;
  space.project(a.system(Symmetry::definite), {}, x.data());
  EXPECT_LT(residual(a, x), 1e-11);
}



TEST(SolutionSpace, DropsUselessCandidates)
{
  const std::size_t n = 25;
  const Dense       a = difference_matrix(n);
  const Array       nan(n, std::numeric_limits<double>::quiet_NaN());
  const Array       infinite(n, std::numeric_limits<double>::infinity());
  const Array       zero(n, 0.);
  SolutionSpace     space(n, 3, 0.5);

  // Nothing is left to search in.
  Array      x(n, 0.);
  Projection result = space.project(a.system(Symmetry::definite),
                                    {nan.data(), infinite.data(), zero.data()},
                                    x.data());
  EXPECT_EQ(result.method, Projection::Method::none);
  EXPECT_EQ(x, zero);

  // The others are still of use.
  const Array garbage = vector_number(3, n);
  result              = space.project(a.system(Symmetry::definite),
                         {nan.data(), garbage.data()},
                         x.data());
  EXPECT_EQ(result.dimension, 1u);
  EXPECT_LE(energy(a, x), 0.);
}



TEST(SolutionSpace, SurvivesAHugeStart)
{
  const std::size_t n = 25;
  const Dense       a = difference_matrix(n);
  SolutionSpace     space(n, 3, 0.5);
  for (unsigned int k = 0; k < 3; ++k)
    space.learn(vector_number(k, n).data(), no_sum);

  Array from_zero(n, 0.), from_huge = vector_number(8, n);
  for (auto &value : from_huge)
    value *= 1e12;
  space.project(a.system(Symmetry::definite), {}, from_zero.data());
  const double before = residual(a, from_huge);
  space.project(a.system(Symmetry::definite), {}, from_huge.data());
  EXPECT_LT(residual(a, from_huge), 1e-12 * before);
}



TEST(SolutionSpace, DoesNotBelieveInASymmetryThatIsNotThere)
{
  // Symmetric, but indefinite.
  const std::size_t n = 25;
  Dense             a = difference_matrix(n);
  for (std::size_t i = 0; i < n; ++i)
    a.matrix[i * n + i] -= 2.;
  SolutionSpace space(n, 5, 0.5);
  for (unsigned int k = 0; k < 5; ++k)
    space.learn(vector_number(k, n).data(), no_sum);

  Array x(n, 0.);
  EXPECT_EQ(space.project(a.system(Symmetry::automatic), {}, x.data()).method,
            Projection::Method::least_squares);
  Array y(n, 0.);
  EXPECT_EQ(space.project(a.system(Symmetry::definite), {}, y.data()).method,
            Projection::Method::none);
  EXPECT_EQ(y, Array(n, 0.));
}



TEST(SolutionSpace, SolvesDecoupledRowsExactly)
{
  // A Dirichlet row whose column has not been eliminated: −1 remains in the
  // row beside it. CG needs a start without residual in this row.
  const std::size_t n  = 25;
  Dense             a  = difference_matrix(n);
  a.matrix[1]          = 0.;
  a.right_hand_side[0] = 3.;
  SolutionSpace space(n, 4, 0.5);
  for (unsigned int k = 0; k < 4; ++k)
    space.learn(vector_number(k, n).data(), no_sum);

  Array            x(n, 0.);
  const Projection result =
    space.project(a.system(Symmetry::definite), {}, x.data());
  EXPECT_EQ(result.method, Projection::Method::galerkin);
  EXPECT_NEAR(x[0], 1.5, 1e-14);
  EXPECT_LT(residual(a, x), result.host_residual);
}



TEST(SolutionSpace, KeepsProductsOfAKnownMatrix)
{
  const std::size_t n = 40;
  for (const double convection : {0., 0.4})
    {
      Dense         a = difference_matrix(n, convection);
      SolutionSpace with(n, 5, 0.5), without(n, 5, 0.5);
      for (unsigned int k = 0; k < 12; ++k)
        {
          a.right_hand_side  = vector_number(k + 30, n);
          LocalSystem system = a.system(Symmetry::automatic);
          Array       x(n, 0.), y(n, 0.);
          without.project(system, {}, x.data());
          system.matrix_version   = {1, 0};
          const Projection result = with.project(system, {}, y.data());
          if (k > 1)
            {
              // The new direction, and one check of either method.
              EXPECT_LE(result.n_matrix_products, 3u);
            }
          for (std::size_t i = 0; i < n; ++i)
            EXPECT_NEAR(x[i], y[i], 1e-9);
          with.learn(vector_number(k, n).data(), no_sum);
          without.learn(vector_number(k, n).data(), no_sum);
        }

      // If the version was not true, the start must still be no worse.
      LocalSystem system    = a.system(Symmetry::automatic);
      system.matrix_version = {1, 0};
      for (auto &entry : a.matrix)
        entry *= -100.;
      Array        x      = vector_number(50, n);
      const double before = residual(a, x);
      with.project(system, {}, x.data());
      EXPECT_LE(residual(a, x), before);
    }
}
