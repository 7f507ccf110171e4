// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/function.h>
#include <deal.II/base/quadrature_lib.h>

#include <deal.II/fe/fe_values.h>
#include <deal.II/fe/mapping_q1.h>

#include <deal.II/lac/full_matrix.h>

#include <deal.II/numerics/vector_tools_integrate_difference.h>

#include <neuraldeal/coupling/residual_norm.h>
#include <neuraldeal/surrogates/random.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "poisson_host.h"
#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  using Serial      = Vector<double>;
  using Distributed = LinearAlgebra::distributed::Vector<double>;

  constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

  const Input coefficients = {0.4, 2.5, 1.3, 0.7};

  /** A field that solves nothing, by its canonical values. */
  torch::Tensor
  some_values(const long n)
  {
    CounterRandom random(1, CounterRandom::Stream::check, 5);
    auto          result = torch::empty({n}, torch::kFloat64);
    for (long i = 0; i < n; ++i)
      result[i] = 0.1 * random.normal();
    return result;
  }

  /**
   * The host's problem by dense linear algebra, of all degrees of freedom: the
   * constraints are a matrix from the free ones to all.
   */
  class DensePoisson
  {
  public:
    explicit DensePoisson(const PoissonHost::Problem<Serial> &problem)
      : dof_handler(problem.get_dof_handler())
      , n(dof_handler.n_dofs())
      , load(torch::zeros({n}, torch::kFloat64))
    {
      const auto               &constraints = problem.get_constraints();
      std::vector<std::int64_t> free;
      for (long i = 0; i < n; ++i)
        if (!constraints.is_constrained(i))
          free.push_back(i);
      auto all = torch::zeros({n, n}, torch::kFloat64);
      for (long i = 0; i < n; ++i)
        if (!constraints.is_constrained(i))
          all[i][i] = 1.;
        else
          for (const auto &[j, weight] : *constraints.get_constraint_entries(i))
            all[i][j] = weight;
      from_free = all.index_select(1, torch::tensor(free, torch::kInt64));
      laplacian = stiffness({1., 1., 1., 1.});
      load.zero_();
      stiffness(coefficients, /*and load*/ true);
    }

    /** √(rᵀ R⁻¹ r) with r = f − K u on the free ones. */
    double
    dual_norm(const Serial &u)
    {
      auto values = torch::empty({n}, torch::kFloat64);
      for (long i = 0; i < n; ++i)
        values[i] = u[i];
      const auto to_free = from_free.t();
      const auto r =
        torch::mv(to_free, load - torch::mv(stiffness(coefficients), values));
      const auto riesz = torch::mm(to_free, torch::mm(laplacian, from_free));
      return std::sqrt(
        r.dot(torch::mv(at::linalg_inv(riesz), r)).item<double>());
    }

  private:
    torch::Tensor
    stiffness(const Input &a, const bool with_load = false)
    {
      auto            result = torch::zeros({n, n}, torch::kFloat64);
      const QGauss<2> quadrature(3);
      FEValues<2>     values(dof_handler.get_fe(),
                         quadrature,
                         update_values | update_gradients |
                           update_quadrature_points | update_JxW_values);
      std::vector<types::global_dof_index> indices(4);
      for (const auto &cell : dof_handler.active_cell_iterators())
        {
          values.reinit(cell);
          cell->get_dof_indices(indices);
          for (unsigned int q = 0; q < quadrature.size(); ++q)
            {
              const auto  &x = values.quadrature_point(q);
              const double w = values.JxW(q),
                           c = a[(x[0] > 0.5) + 2 * (x[1] > 0.5)];
              for (unsigned int i = 0; i < 4; ++i)
                {
                  for (unsigned int j = 0; j < 4; ++j)
                    result[indices[i]][indices[j]] +=
                      w * c *
                      (values.shape_grad(i, q) * values.shape_grad(j, q));
                  if (with_load)
                    load[indices[i]] += w * values.shape_value(i, q);
                }
            }
        }
      return result;
    }

    const DoFHandler<2> &dof_handler;
    const long           n;
    torch::Tensor        load, from_free, laplacian;
  };

  /** ‖r‖ of @p values in groups of ranks. */
  template <typename VectorType>
  double
  norm_in_groups(const unsigned int   group_size,
                 const Input         &input,
                 const torch::Tensor &values)
  {
    const ProcessGroups            groups(MPI_COMM_WORLD, group_size, "a test");
    PoissonHost::Host<VectorType>  host(groups.group());
    const auto                     model = host.model(/*can_verify=*/true);
    const ResidualNorm<VectorType> norm(model, host.layout, groups);
    EXPECT_TRUE(norm.is_available());
    VectorType candidate;
    model.reinit_vector(candidate);
    host.layout.from_tensor(host.layout.local_part(values), candidate);
    const double result = norm(input, candidate);
    EXPECT_TRUE(same_on_all_ranks(result, groups.group()));
    return result;
  }



  TEST(ResidualNorm, IsTheOneOfDenseLinearAlgebra)
  {
    PoissonHost::Host<Serial> host(MPI_COMM_SELF);
    const auto                values = some_values(host.layout.n_values());
    Serial                    u;
    host.fine.reinit(u);
    host.layout.from_tensor(values, u);
    const double expected = DensePoisson(host.fine).dual_norm(u);
    EXPECT_GT(expected, 0.1);
    EXPECT_NEAR(norm_in_groups<Serial>(1, coefficients, values) / expected,
                1.,
                1e-8);
    for (const auto size : group_sizes())
      {
        EXPECT_NEAR(norm_in_groups<Distributed>(size, coefficients, values) /
                      expected,
                    1.,
                    1e-8);
        EXPECT_NEAR(norm_in_groups<TrilinosWrappers::MPI::Vector>(size,
                                                                  coefficients,
                                                                  values) /
                      expected,
                    1.,
                    1e-8);
        EXPECT_NEAR(norm_in_groups<PETScWrappers::MPI::Vector>(size,
                                                               coefficients,
                                                               values) /
                      expected,
                    1.,
                    1e-8);
      }
  }



  // Where the Riesz map is the problem's own inverse.
  TEST(ResidualNorm, IsTheEnergyNormOfTheErrorOfALinearProblem)
  {
    const Input               one = {1., 1., 1., 1.};
    PoissonHost::Host<Serial> host(MPI_COMM_SELF);
    const auto                values = some_values(host.layout.n_values());
    Serial                    solution, error;
    host.fine.reinit(solution);
    host.fine.reinit(error);
    host.fine.solve(one, solution);
    host.layout.from_tensor(values, error);
    error -= solution;
    const auto    &dof_handler = host.fine.get_dof_handler();
    Vector<double> of_cells;
    VectorTools::integrate_difference(dof_handler,
                                      error,
                                      Functions::ZeroFunction<2>(),
                                      of_cells,
                                      QGauss<2>(3),
                                      VectorTools::H1_seminorm);
    const double energy =
      VectorTools::compute_global_error(dof_handler.get_triangulation(),
                                        of_cells,
                                        VectorTools::H1_seminorm);
    EXPECT_GT(energy, 0.1);
    for (const auto size : group_sizes())
      EXPECT_NEAR(norm_in_groups<Distributed>(size, one, values) / energy,
                  1.,
                  1e-8);
    // And that of the solution is as small as its solver has made it.
    EXPECT_LT(norm_in_groups<Distributed>(1,
                                          one,
                                          host.layout.to_tensor(solution)),
              1e-8 * energy);
  }



  // Whatever goes wrong on one of the ranks, none is left waiting, and there
  // is no number.
  TEST(ResidualNorm, FailuresAreNoNumbers)
  {
    for (const auto size : group_sizes())
      {
        const ProcessGroups            groups(MPI_COMM_WORLD, size, "a test");
        PoissonHost::Host<Distributed> host(groups.group());
        const auto                     good = host.model(true);
        const bool last = rank(groups.group()) + 1 == n_ranks(groups.group());
        const auto norm_of = [&](const FullOrderModel<Distributed> &model) {
          Distributed candidate;
          model.reinit_vector(candidate);
          host.layout.from_tensor(host.layout.local_part(
                                    some_values(host.layout.n_values())),
                                  candidate);
          return ResidualNorm<Distributed>(model,
                                           host.layout,
                                           groups)(coefficients, candidate);
        };
        EXPECT_GT(norm_of(good), 0.);

        auto throws     = good;
        throws.residual = [&](const Input &x, const auto &u, auto &r) {
          good.residual(x, u, r);
          if (last)
            throw std::runtime_error("no residual");
        };
        EXPECT_TRUE(std::isnan(norm_of(throws)));
        auto not_finite     = good;
        not_finite.residual = [&](const Input &x, const auto &u, auto &r) {
          good.residual(x, u, r);
          if (last)
            r = nan_value;
        };
        not_finite.riesz_solve = [](const auto &, auto &) {
          FAIL() << "It has seen what is no number.";
        };
        EXPECT_TRUE(std::isnan(norm_of(not_finite)));
        auto no_solve        = good;
        no_solve.riesz_solve = [&](const auto &r, auto &x) {
          good.riesz_solve(r, x);
          if (last)
            throw std::runtime_error("no representative");
        };
        EXPECT_TRUE(std::isnan(norm_of(no_solve)));
        auto indefinite        = good;
        indefinite.riesz_solve = [&](const auto &r, auto &x) {
          good.riesz_solve(r, x);
          x *= -1.;
        };
        EXPECT_TRUE(std::isnan(norm_of(indefinite)));

        auto without        = good;
        without.riesz_solve = nullptr;
        EXPECT_FALSE(ResidualNorm<Distributed>(without, host.layout, groups)
                       .is_available());
      }
  }
} // namespace
