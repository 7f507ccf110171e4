// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/fe_system.h>

#include <deal.II/numerics/vector_tools_point_value.h>

#include <neuraldeal/coupling/prolongation.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "spaces.h"
#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;
using Spaces::Mesh;
using Spaces::Space;

namespace
{
  /** A space on n cells each way, held by every rank alone. */
  template <int dim>
  class Coarse
  {
  public:
    parallel::distributed::Triangulation<dim> triangulation;
    std::unique_ptr<FiniteElement<dim>>       fe;
    DoFHandler<dim>                           dof_handler;
    Vector<double>                            values;

    Coarse(const unsigned int n, const FiniteElement<dim> &element)
      : triangulation(MPI_COMM_SELF)
      , fe(element.clone())
      , dof_handler(triangulation)
    {
      GridGenerator::subdivided_hyper_cube(triangulation, n);
      dof_handler.distribute_dofs(*fe);
      values.reinit(dof_handler.n_dofs());
    }

    void
    interpolate(
      const std::function<double(const Point<dim> &, unsigned int)> &value)
    {
      std::vector<types::global_dof_index> dofs(fe->n_dofs_per_cell());
      for (const auto &cell : dof_handler.active_cell_iterators())
        {
          cell->get_dof_indices(dofs);
          for (unsigned int i = 0; i < dofs.size(); ++i)
            values(dofs[i]) =
              value(MappingQ1<dim>().transform_unit_to_real_cell(
                      cell, fe->unit_support_point(i)),
                    fe->system_to_component_index(i).first);
        }
    }
  };

  /** Both spaces hold @p value: the transfer is exact. */
  template <int dim, typename VectorType>
  void
  check_exact(
    const unsigned int        n_coarse,
    const FiniteElement<dim> &coarse_element,
    const Mesh                mesh,
    const unsigned int        n_refinements,
    const FiniteElement<dim> &fine_element,
    const std::function<double(const Point<dim> &, unsigned int)> &value)
  {
    const MPI_Comm   communicator = Spaces::communicator_for<VectorType>();
    const Space<dim> fine(communicator, mesh, n_refinements, fine_element);
    Coarse<dim>      coarse(n_coarse, coarse_element);
    const Prolongation<dim> prolongation(coarse.dof_handler, fine.dof_handler);
    coarse.interpolate(value);
    auto x = fine.template make_vector<VectorType>();
    auto y = fine.template make_vector<VectorType>();
    // What was there before does not matter.
    fine.fill(x, Spaces::noise);
    prolongation.vmult(x, coarse.values);
    fine.interpolate(y, value);
    double distance = 0;
    for (const auto i : fine.dof_handler.locally_owned_dofs())
      distance = std::max(distance, std::abs(x(i) - y(i)));
    EXPECT_LE(distance, 1e-12);
  }
} // namespace



template <typename VectorType>
class ProlongationTest : public testing::Test
{};

TYPED_TEST_SUITE(ProlongationTest, Spaces::VectorTypes);



TYPED_TEST(ProlongationTest, IsExactForLinearFunctions)
{
  const auto linear_2d = [](const Point<2> &p, unsigned int) {
    return 1. + 2. * p[0] - 3. * p[1];
  };
  // Nested, and not: six cells on thirty-two.
  check_exact<2, TypeParam>(
    3, FE_Q<2>(1), Mesh::bricks, 1, FE_Q<2>(1), linear_2d);
  check_exact<2, TypeParam>(
    6, FE_Q<2>(1), Mesh::cube, 5, FE_Q<2>(1), linear_2d);
  check_exact<2, TypeParam>(
    6, FE_Q<2>(1), Mesh::cube, 3, FE_Q<2>(2), linear_2d);
  check_exact<3, TypeParam>(3,
                            FE_Q<3>(1),
                            Mesh::cube,
                            2,
                            FE_Q<3>(1),
                            [](const Point<3> &p, unsigned int) {
                              return 1. + 2. * p[0] - 3. * p[1] + 0.5 * p[2];
                            });
}



TYPED_TEST(ProlongationTest, IsExactForQuadraticsAndSystems)
{
  check_exact<2, TypeParam>(5,
                            FE_Q<2>(2),
                            Mesh::cube,
                            3,
                            FE_Q<2>(2),
                            [](const Point<2> &p, unsigned int) {
                              return p[0] * p[0] - p[0] * p[1] * p[1];
                            });
  // Each component its own function.
  const FESystem<2> taylor_hood(FE_Q<2>(2), 2, FE_Q<2>(1), 1);
  check_exact<2, TypeParam>(5,
                            taylor_hood,
                            Mesh::cube,
                            3,
                            taylor_hood,
                            [](const Point<2> &p, const unsigned int c) {
                              return c == 0 ? p[0] * p[1] :
                                     c == 1 ? p[0] * p[0] :
                                              2. - p[1];
                            });
}



TEST(Prolongation, InterpolatesAnyCoarseField)
{
  // Compared with deal.II's own evaluation, point by point.
  const Space<2> fine(MPI_COMM_WORLD, Mesh::cube, 3, FE_Q<2>(1));
  Coarse<2>      coarse(6, FE_Q<2>(1));
  for (unsigned int i = 0; i < coarse.values.size(); ++i)
    coarse.values(i) = Spaces::noise(i);
  const Prolongation<2> prolongation(coarse.dof_handler, fine.dof_handler);
  auto x = fine.make_vector<LinearAlgebra::distributed::Vector<double>>();
  prolongation.vmult(x, coarse.values);
  std::map<types::global_dof_index, Point<2>> points;
  DoFTools::map_dofs_to_support_points(MappingQ1<2>(),
                                       fine.dof_handler,
                                       points);
  for (const auto i : fine.dof_handler.locally_owned_dofs())
    EXPECT_NEAR(x(i),
                VectorTools::point_value(coarse.dof_handler,
                                         coarse.values,
                                         points.at(i)),
                1e-12);
}



TEST(Prolongation, WorksWithRanksThatHaveNothing)
{
  parallel::distributed::Triangulation<2> triangulation(MPI_COMM_WORLD);
  GridGenerator::hyper_cube(triangulation);
  const FE_Q<2> fe(1);
  DoFHandler<2> dof_handler(triangulation);
  dof_handler.distribute_dofs(fe);
  Coarse<2> coarse(3, FE_Q<2>(1));
  coarse.interpolate([](const Point<2> &, unsigned int) { return 2.; });
  const Prolongation<2> prolongation(coarse.dof_handler, dof_handler);
  LinearAlgebra::distributed::Vector<double> x(dof_handler.locally_owned_dofs(),
                                               MPI_COMM_WORLD);
  prolongation.vmult(x, coarse.values);
  EXPECT_NEAR(x.l1_norm(), 8., 1e-12);
}



TEST(Prolongation, SaysWhereTheMeshesDoNotCoverTheSame)
{
  parallel::distributed::Triangulation<2> triangulation(MPI_COMM_SELF);
  GridGenerator::hyper_cube(triangulation, 2., 3.);
  const FE_Q<2> fe(1);
  DoFHandler<2> dof_handler(triangulation);
  dof_handler.distribute_dofs(fe);
  const Coarse<2> coarse(3, FE_Q<2>(1));
  const auto      message = message_of(
    [&]() { Prolongation<2> prolongation(coarse.dof_handler, dof_handler); });
  EXPECT_NE(message.find("A point of the fine mesh lies outside the coarse"),
            std::string::npos)
    << message;
}
