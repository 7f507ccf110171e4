// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi_remote_point_evaluation.h>

#include <deal.II/fe/fe_dgp.h>
#include <deal.II/fe/fe_dgq.h>
#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/fe_system.h>
#include <deal.II/fe/mapping_q.h>

#include <deal.II/numerics/vector_tools_evaluate.h>

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/fields/field_grid.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "../spaces.h"
#include "../test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;
using Spaces::Mesh;
using Spaces::Space;

namespace
{
  using Distributed = LinearAlgebra::distributed::Vector<double>;

  template <int dim>
  using Value = std::function<double(const Point<dim> &, unsigned int)>;

  enum class Domain
  {
    cube,  ///< [0, 1]^dim
    shell, ///< 0.5 < |x| < 1
    ball   ///< |x| < 1
  };

  /** A space on a mesh of curved cells, refined on one side. */
  template <int dim>
  class CurvedSpace
  {
  public:
    parallel::distributed::Triangulation<dim> triangulation;
    MappingQ<dim>                             mapping;
    std::unique_ptr<FiniteElement<dim>>       fe;
    DoFHandler<dim>                           dof_handler;
    AffineConstraints<double>                 constraints;

    CurvedSpace(const MPI_Comm            communicator,
                const Domain              domain,
                const unsigned int        mapping_degree,
                const unsigned int        n_refinements,
                const FiniteElement<dim> &element,
                const bool                adaptive = true)
      : triangulation(communicator)
      , mapping(mapping_degree)
      , fe(element.clone())
      , dof_handler(triangulation)
    {
      if (domain == Domain::cube)
        GridGenerator::hyper_cube(triangulation);
      else if (domain == Domain::shell)
        GridGenerator::hyper_shell(triangulation, Point<dim>(), 0.5, 1.);
      else
        GridGenerator::hyper_ball(triangulation);
      triangulation.refine_global(n_refinements);
      for (const auto &cell : triangulation.active_cell_iterators())
        if (adaptive && cell->is_locally_owned() && cell->center()[0] > 0.3)
          cell->set_refine_flag();
      triangulation.execute_coarsening_and_refinement();
      dof_handler.distribute_dofs(*fe);
      IndexSet relevant;
      DoFTools::extract_locally_relevant_dofs(dof_handler, relevant);
      constraints.reinit(relevant);
      DoFTools::make_hanging_node_constraints(dof_handler, constraints);
      constraints.close();
    }

    /** The support points of the owned degrees of freedom. */
    std::map<types::global_dof_index, Point<dim>>
    support_points() const
    {
      std::map<types::global_dof_index, Point<dim>> points;
      DoFTools::map_dofs_to_support_points(mapping, dof_handler, points);
      return points;
    }

    Distributed
    make_vector() const
    {
      return Distributed(dof_handler.locally_owned_dofs(),
                         triangulation.get_communicator());
    }

    /** The values at the support points, hanging nodes included. */
    Distributed
    interpolate(const Value<dim> &value) const
    {
      auto                                 x      = make_vector();
      const auto                           points = support_points();
      std::vector<types::global_dof_index> dofs(fe->n_dofs_per_cell());
      for (const auto &cell : dof_handler.active_cell_iterators())
        if (cell->is_locally_owned())
          {
            cell->get_dof_indices(dofs);
            for (unsigned int i = 0; i < dofs.size(); ++i)
              if (x.get_partitioner()->in_local_range(dofs[i]))
                x(dofs[i]) = value(points.at(dofs[i]),
                                   fe->system_to_component_index(i).first);
          }
      return x;
    }

    FieldGrid<dim>
    grid(const std::array<unsigned int, dim> &n_points) const
    {
      typename FieldGrid<dim>::AdditionalData data;
      data.n_points = n_points;
      return FieldGrid<dim>(dof_handler, mapping, constraints, data);
    }
  };

  template <int dim>
  std::array<unsigned int, dim>
  all(const unsigned int n)
  {
    std::array<unsigned int, dim> result;
    result.fill(n);
    return result;
  }

  /** The function's values at this rank's points, [channels, …]. */
  template <int dim>
  torch::Tensor
  values_at_points(const FieldGrid<dim> &grid, const Value<dim> &value)
  {
    const auto points = grid.points().reshape({dim, -1});
    const auto n      = points.size(1);
    auto       result =
      torch::empty({long(grid.n_channels()), long(n)}, torch::kFloat64);
    for (unsigned int c = 0; c < grid.n_channels(); ++c)
      for (long i = 0; i < n; ++i)
        {
          Point<dim> p;
          for (unsigned int d = 0; d < dim; ++d)
            p[d] = points[d][i].template item<double>();
          result[c][i] = value(p, c);
        }
    auto shape = grid.shape();
    shape[1]   = grid.n_local_rows();
    return result.reshape(shape);
  }

  /** The largest difference on all ranks; what is no number is infinite. */
  double
  difference(const torch::Tensor &a, const torch::Tensor &b)
  {
    EXPECT_EQ(a.sizes().vec(), b.sizes().vec());
    double result = 0.;
    if (a.numel() > 0)
      result = (a - b).abs().max().item<double>();
    if (!std::isfinite(result))
      result = std::numeric_limits<double>::max();
    return Utilities::MPI::max(result, MPI_COMM_WORLD);
  }

  double
  difference(const Distributed &a, const Distributed &b)
  {
    auto c = a;
    c -= b;
    return c.linfty_norm();
  }

  /** A linear function, another one for each component. */
  template <int dim>
  double
  linear(const Point<dim> &p, const unsigned int c)
  {
    return 1. + c + (2. - c) * p[0] - 3. * p[1] + (dim == 3 ? 0.5 * p[2] : 0.);
  }

  template <int dim>
  double
  smooth(const Point<dim> &p, const unsigned int c)
  {
    return std::sin(2. * p[0] + c) * std::cos(p[1]) +
           (dim == 3 ? p[0] * p[2] : 0.) + p[1] * p[1];
  }

  template <int dim>
  void
  check_linear_on_cube(const FiniteElement<dim>            &element,
                       const std::array<unsigned int, dim> &n_points)
  {
    SCOPED_TRACE(element.get_name());
    const CurvedSpace<dim> space(MPI_COMM_WORLD, Domain::cube, 1, 2, element);
    const auto             grid  = space.grid(n_points);
    const auto             field = space.interpolate(linear<dim>);
    const auto             slice = grid.to_tensor(field);
    EXPECT_EQ(slice.scalar_type(), torch::kFloat64);
    EXPECT_TRUE(grid.inside().all().template item<bool>());
    EXPECT_LE(difference(slice, values_at_points<dim>(grid, linear<dim>)),
              1e-12);
    auto back = space.make_vector();
    back      = 17.;
    grid.from_tensor(grid.gather(slice), back);
    EXPECT_LE(difference(back, field), 1e-12);
  }

  /** The analytic domain: 1 inside, 0 outside, −1 too close to tell. */
  template <int dim>
  int
  is_inside(const Domain domain, const Point<dim> &p, const double error)
  {
    const double r = p.norm();
    if (std::abs(r - 1.) < error ||
        (domain == Domain::shell && std::abs(r - 0.5) < error))
      return -1;
    return r < 1. && (domain == Domain::ball || r > 0.5);
  }

  template <int dim>
  void
  check_mask(const Domain       domain,
             const unsigned int degree,
             const unsigned int n_refinements,
             const unsigned int n,
             const double       error)
  {
    SCOPED_TRACE(std::to_string(dim) + "d, domain " +
                 std::to_string(int(domain)) + ", degree " +
                 std::to_string(degree));
    const CurvedSpace<dim> space(
      MPI_COMM_WORLD, domain, degree, n_refinements, FE_Q<dim>(1));
    typename FieldGrid<dim>::AdditionalData data;
    data.n_points = all<dim>(n);
    Point<dim> corner;
    for (unsigned int d = 0; d < dim; ++d)
      corner[d] = 1.;
    data.box = BoundingBox<dim>(std::make_pair(-1. * corner, corner));
    const FieldGrid<dim> grid(space.dof_handler,
                              space.mapping,
                              space.constraints,
                              data);
    const auto           points    = grid.points().reshape({dim, -1});
    const auto           inside    = grid.inside().reshape({-1});
    int                  n_outside = 0, n_close = 0, n_wrong = 0;
    for (long i = 0; i < points.size(1); ++i)
      {
        Point<dim> p;
        for (unsigned int d = 0; d < dim; ++d)
          p[d] = points[d][i].template item<double>();
        const int exact = is_inside(domain, p, error);
        n_close += exact == -1;
        n_outside += exact == 0;
        const bool wrong =
          exact != -1 && exact != inside[i].template item<bool>();
        n_wrong += wrong;
        EXPECT_FALSE(wrong) << p << " at the distance " << p.norm();
      }
    EXPECT_EQ(Utilities::MPI::sum(n_wrong, MPI_COMM_WORLD), 0);
    // That there is something to tell apart.
    const double all_points = std::pow(n, dim);
    EXPECT_GT(Utilities::MPI::sum(n_outside, MPI_COMM_WORLD), 0.1 * all_points);
    EXPECT_LT(Utilities::MPI::sum(n_close, MPI_COMM_WORLD), 0.05 * all_points);
  }

  /** Values without a pattern, the same on any number of ranks. */
  template <int dim>
  Distributed
  noise_on(const CurvedSpace<dim> &space)
  {
    const FieldLayout layout(space.dof_handler,
                             space.mapping,
                             space.constraints);
    auto values = torch::empty({layout.n_local_values()}, torch::kFloat64);
    for (long i = 0; i < layout.n_local_values(); ++i)
      values[i] = Spaces::noise(layout.first_value() + i);
    auto x = space.make_vector();
    layout.from_tensor(values, x);
    return x;
  }

  template <int dim>
  void
  check_independence_of_ranks(const Domain              domain,
                              const FiniteElement<dim> &element,
                              const unsigned int        n)
  {
    SCOPED_TRACE(element.get_name());
    const unsigned int     degree        = domain == Domain::cube ? 1 : 3;
    const unsigned int     n_refinements = domain == Domain::cube ? 2 : 1;
    const CurvedSpace<dim> space(
      MPI_COMM_WORLD, domain, degree, n_refinements, element);
    const auto grid = space.grid(all<dim>(n));
    const auto mask = grid.gather(grid.inside());
    const auto full = grid.gather(grid.to_tensor(noise_on(space)));
    EXPECT_EQ(full.sizes().vec(), grid.shape());
    auto decoded = space.make_vector();
    grid.from_tensor(full, decoded);
    const double norm = decoded.l2_norm();
    if (rank() == 0)
      {
        const CurvedSpace<dim> alone(
          MPI_COMM_SELF, domain, degree, n_refinements, element);
        const auto grid_of_one = alone.grid(all<dim>(n));
        EXPECT_TRUE(torch::equal(mask, grid_of_one.inside()));
        const auto of_one = grid_of_one.to_tensor(noise_on(alone));
        EXPECT_LE((full - of_one).abs().max().template item<double>(), 1e-10);
        EXPECT_GT(of_one.abs().max().template item<double>(), 0.5);
        auto decoded_by_one = alone.make_vector();
        grid_of_one.from_tensor(of_one, decoded_by_one);
        EXPECT_NEAR(norm, decoded_by_one.l2_norm(), 1e-9 * norm);
      }
  }

  /** The root mean square of all ranks' values. */
  double
  mean_square_root(const torch::Tensor &values)
  {
    const double n =
                   Utilities::MPI::sum(double(values.numel()), MPI_COMM_WORLD),
                 sum = Utilities::MPI::sum(
                   values.numel() > 0 ? (values * values).sum().item<double>() :
                                        0.,
                   MPI_COMM_WORLD);
    return std::sqrt(sum / n);
  }

  /**
   * Errors of the transfers where the sizes of the mesh's cells and of the
   * grid are halved together. The largest ones of the round trip are at the
   * boundary, where they depend on how it happens to cut the grid. The linear
   * continuation from the first and the second row inside has the error of one
   * second derivative, which is at most 5 here, times h²; that from points that
   * lie less well, with the mesh's error, three of them.
   */
  template <int dim>
  void
  check_orders(const Domain                     domain,
               const FiniteElement<dim>        &element,
               const std::vector<unsigned int> &refinements,
               const unsigned int               n)
  {
    SCOPED_TRACE(std::to_string(dim) + "d, domain " +
                 std::to_string(int(domain)));
    std::vector<double> there, back, there_max, back_max;
    unsigned int        n_intervals = n;
    for (const auto n_refinements : refinements)
      {
        const CurvedSpace<dim> space(
          MPI_COMM_WORLD, domain, 3, n_refinements, element);
        const auto grid  = space.grid(all<dim>(n_intervals + 1));
        auto       exact = space.interpolate(smooth<dim>);
        space.constraints.distribute(exact);
        const auto slice = grid.to_tensor(exact);
        const auto error = slice - values_at_points<dim>(grid, smooth<dim>) *
                                     grid.inside().unsqueeze(0);
        there.push_back(mean_square_root(error));
        there_max.push_back(difference(error, torch::zeros_like(error)));
        auto again = space.make_vector();
        grid.from_tensor(grid.gather(slice), again);
        again -= exact;
        back.push_back(again.l2_norm() / std::sqrt(double(again.size())));
        back_max.push_back(again.linfty_norm());
        n_intervals *= 2;
      }
    const unsigned int last = there.size() - 1;
    for (unsigned int i = 1; i <= last; ++i)
      {
        EXPECT_GE(std::log2(there[i - 1] / there[i]), 1.75) << there[i];
        EXPECT_GE(std::log2(back[i - 1] / back[i]), 1.75) << back[i];
      }
    for (unsigned int i = 0; i <= last; ++i)
      {
        const double h = 2. / (n << i);
        EXPECT_LE(back_max[i], 3. * 5. * h * h);
      }
    EXPECT_GE(std::log2(there_max[last - 1] / there_max[last]), 1.75);
  }

  /**
   * A grid of a linear function, without its values outside of the domain,
   * gives it exactly, but for what the hanging nodes of curved cells make of
   * it.
   */
  template <int dim>
  void
  check_linear_to_curved(const Domain                         domain,
                         const unsigned int                   n_refinements,
                         const FiniteElement<dim>            &element,
                         const std::array<unsigned int, dim> &n_points)
  {
    const CurvedSpace<dim> space(
      MPI_COMM_WORLD, domain, 3, n_refinements, element);
    const auto grid  = space.grid(n_points);
    auto       exact = space.interpolate(linear<dim>);
    space.constraints.distribute(exact);
    auto slice = values_at_points<dim>(grid, linear<dim>);
    slice.masked_fill_(grid.inside().logical_not().unsqueeze(0),
                       std::numeric_limits<double>::quiet_NaN());
    const auto full = grid.gather(slice);
    EXPECT_TRUE(full.isnan().any().template item<bool>());
    auto field = space.make_vector();
    grid.from_tensor(full, field);
    EXPECT_LE(difference(field, exact), 1e-12);
  }

  template <int dim>
  void
  check_against_point_values(const Domain              domain,
                             const FiniteElement<dim> &element,
                             const unsigned int        n)
  {
    const CurvedSpace<dim>  space(MPI_COMM_WORLD, domain, 3, 1, element);
    const auto              grid   = space.grid(all<dim>(n));
    const auto              points = grid.points().reshape({dim, -1});
    std::vector<Point<dim>> list(points.size(1));
    for (std::size_t i = 0; i < list.size(); ++i)
      for (unsigned int d = 0; d < dim; ++d)
        list[i][d] = points[d][i].template item<double>();
    const auto x = noise_on(space);
    IndexSet   relevant;
    DoFTools::extract_locally_relevant_dofs(space.dof_handler, relevant);
    Distributed ghosted(space.dof_handler.locally_owned_dofs(),
                        relevant,
                        MPI_COMM_WORLD);
    ghosted.copy_locally_owned_data_from(x);
    ghosted.update_ghost_values();
    Utilities::MPI::RemotePointEvaluation<dim> cache;
    const auto values = VectorTools::point_values<1>(
      space.mapping, space.dof_handler, ghosted, list, cache);
    const auto slice  = grid.to_tensor(x).reshape({-1});
    const auto inside = grid.inside().reshape({-1});
    double     error  = 0.;
    int        n_both = 0;
    for (std::size_t i = 0; i < list.size(); ++i)
      if (cache.point_found(i))
        {
          EXPECT_TRUE(inside[i].template item<bool>()) << list[i];
          error =
            std::max(error,
                     std::abs(values[i] - slice[i].template item<double>()));
          ++n_both;
        }
      else
        {
          EXPECT_EQ(slice[i].template item<double>(), 0.);
        }
    EXPECT_LE(error, 1e-8);
    EXPECT_GT(Utilities::MPI::sum(n_both, MPI_COMM_WORLD),
              0.5 * grid.shape()[1]);
  }
} // namespace



TEST(FieldGrid, LinearFunctionsAreExactOnTheCube)
{
  // Points on the vertices of cells, and elsewhere.
  check_linear_on_cube<2>(FE_Q<2>(1), {{9, 9}});
  check_linear_on_cube<2>(FE_Q<2>(1), {{7, 12}});
  check_linear_on_cube<2>(FE_Q<2>(3), {{10, 33}});
  check_linear_on_cube<2>(FESystem<2>(FE_Q<2>(2), 2), {{9, 6}});
  check_linear_on_cube<2>(FESystem<2>(FE_Q<2>(2), 2, FE_Q<2>(1), 1), {{7, 9}});
  check_linear_on_cube<3>(FE_Q<3>(1), {{5, 6, 9}});
  check_linear_on_cube<3>(FESystem<3>(FE_Q<3>(1), 3), {{4, 9, 5}});
}



TEST(FieldGrid, LinearFunctionsComeToCurvedMeshesExactly)
{
  for (const auto domain : {Domain::shell, Domain::ball})
    {
      check_linear_to_curved<2>(domain,
                                2,
                                FESystem<2>(FE_Q<2>(2), 2),
                                {{21, 33}});
      check_linear_to_curved<3>(domain, 1, FE_Q<3>(1), {{13, 12, 17}});
    }
}



TEST(FieldGrid, AgreesWithPointValues)
{
#ifdef DEBUG
  GTEST_SKIP()
    << "in Debug deal.II's own search for points, of which 9.4 takes "
       "a refined neighbour for an active cell, ends at an assertion";
#endif
  check_against_point_values<2>(Domain::shell, FE_Q<2>(2), 20);
  check_against_point_values<2>(Domain::ball, FE_Q<2>(1), 16);
  check_against_point_values<3>(Domain::ball, FE_Q<3>(1), 8);
}



TEST(FieldGrid, MaskIsTheInsideOfTheDomain)
{
  // With the error of the mapping; coarse curved cells of two sizes, with gaps
  // between them, included. The parabola (1 − (1 − 1/√2) s², s/√2) through
  // three points of an arc of 90° is at most 0.0108 off, at s² = 1/2.
  check_mask<2>(Domain::ball, 2, 0, 64, 0.0109);
  check_mask<2>(Domain::shell, 2, 0, 64, 0.005);
  for (const auto domain : {Domain::shell, Domain::ball})
    {
      check_mask<2>(domain, 2, 2, 64, 1e-4);
      check_mask<2>(domain, 4, 1, 64, 1e-5);
#ifndef DEBUG // where these take long
      check_mask<3>(domain, 2, 1, 20, 5e-3);
#endif
    }
#ifndef DEBUG
  check_mask<3>(Domain::shell, 4, 0, 24, 2e-3);
#else
  check_mask<3>(Domain::ball, 2, 1, 10, 5e-3);
#endif
}



TEST(FieldGrid, DoesNotDependOnTheNumberOfRanks)
{
  check_independence_of_ranks<2>(Domain::shell, FE_Q<2>(2), 33);
  check_independence_of_ranks<2>(Domain::ball, FESystem<2>(FE_Q<2>(1), 2), 20);
  check_independence_of_ranks<3>(Domain::ball, FE_Q<3>(1), 11);
  // With several values at the points on the faces of cells.
  check_independence_of_ranks<2>(Domain::cube, FE_DGQ<2>(1), 17);
  check_independence_of_ranks<3>(Domain::cube, FE_DGQ<3>(1), 9);
}



TEST(FieldGrid, ErrorsOfSmoothFieldsAreOfOrderTwo)
{
  check_orders<2>(Domain::shell, FE_Q<2>(1), {1, 2, 3, 4}, 16);
#ifndef DEBUG // where these take long
  check_orders<2>(Domain::ball, FESystem<2>(FE_Q<2>(1), 2), {2, 3, 4}, 32);
  check_orders<3>(Domain::shell, FE_Q<3>(1), {1, 2, 3}, 8);
#endif
}



TEST(FieldGrid, PartOfTheDomainAndMoreThanIt)
{
  const CurvedSpace<2> space(MPI_COMM_WORLD, Domain::cube, 1, 2, FE_Q<2>(1));
  const auto           field = space.interpolate(linear<2>);
  FieldGrid<2>::AdditionalData data;
  data.n_points = {{11, 7}};
  data.source   = "program.prm";
  data.box =
    BoundingBox<2>(std::make_pair(Point<2>(0.3, 0.1), Point<2>(0.8, 0.5)));
  const FieldGrid<2> part(space.dof_handler,
                          space.mapping,
                          space.constraints,
                          data);
  EXPECT_LE(difference(part.to_tensor(field),
                       values_at_points<2>(part, linear<2>)),
            1e-12);
  auto       x       = space.make_vector();
  const auto message = message_of([&]() {
    part.from_tensor(torch::zeros(part.shape(), torch::kFloat64), x);
  });
  expect_sentence(message, {"program.prm", "box of the grid", "smaller"});

  // Spacing 1/4, with the cube from the third point to the seventh.
  data.n_points = {{9, 9}};
  data.box =
    BoundingBox<2>(std::make_pair(Point<2>(-0.5, -0.5), Point<2>(1.5, 1.5)));
  const FieldGrid<2> more(space.dof_handler,
                          space.mapping,
                          space.constraints,
                          data);
  auto               expected = torch::zeros({9, 9}, torch::kBool);
  expected.slice(0, 2, 7).slice(1, 2, 7).fill_(true);
  EXPECT_TRUE(torch::equal(more.gather(more.inside()), expected));
  const auto slice = more.to_tensor(field);
  EXPECT_LE(difference(slice,
                       values_at_points<2>(more, linear<2>) *
                         more.inside().unsqueeze(0)),
            1e-12);
  more.from_tensor(more.gather(slice), x);
  EXPECT_LE(difference(x, field), 1e-12);
}



TEST(FieldGrid, SlicesAreTheRowsOfAllRanks)
{
  const CurvedSpace<2> space(MPI_COMM_WORLD, Domain::cube, 1, 1, FE_Q<2>(1));
  // With fewer rows than ranks, too.
  for (const unsigned int n_rows : {2, 5, 8})
    {
      const auto grid   = space.grid({{3, n_rows}});
      const auto n      = all_gather(grid.n_local_rows());
      long       before = 0, sum = 0;
      for (unsigned int r = 0; r < n.size(); ++r)
        {
          before += r < rank() ? n[r] : 0;
          sum += n[r];
        }
      EXPECT_EQ(grid.first_row(), before);
      EXPECT_EQ(sum, n_rows);
      EXPECT_EQ(grid.shape(), (std::vector<std::int64_t>{1, n_rows, 3}));
      const auto points = grid.gather(grid.points());
      const auto x      = torch::linspace(0., 1., 3, torch::kFloat64);
      const auto y      = torch::linspace(0., 1., n_rows, torch::kFloat64);
      EXPECT_LE(difference(points[0],
                           x.unsqueeze(0).expand({n_rows, 3}).contiguous()),
                1e-15);
      EXPECT_LE(difference(points[1],
                           y.unsqueeze(1).expand({n_rows, 3}).contiguous()),
                1e-15);
      EXPECT_LE(difference(grid.to_tensor(space.interpolate(linear<2>)),
                           values_at_points<2>(grid, linear<2>)),
                1e-12);
    }
}



TEST(FieldGrid, WorksWithRanksThatHaveNothing)
{
  parallel::distributed::Triangulation<2> triangulation(MPI_COMM_WORLD);
  GridGenerator::hyper_cube(triangulation);
  const FE_Q<2> fe(1);
  DoFHandler<2> dof_handler(triangulation);
  dof_handler.distribute_dofs(fe);
  AffineConstraints<double> constraints;
  constraints.close();
  FieldGrid<2>::AdditionalData data;
  data.n_points = {{5, 5}};
  const MappingQ<2>  mapping(1);
  const FieldGrid<2> grid(dof_handler, mapping, constraints, data);
  Distributed        x(dof_handler.locally_owned_dofs(), MPI_COMM_WORLD);
  grid.from_tensor(torch::full({1, 5, 5}, 2., torch::kFloat64), x);
  EXPECT_NEAR(x.l1_norm(), 8., 1e-14);
  const auto slice = grid.to_tensor(x);
  EXPECT_LE(difference(slice, torch::full_like(slice, 2.)), 1e-14);
}



TEST(FieldGrid, MistakesAreSentences)
{
  const CurvedSpace<2> space(MPI_COMM_WORLD, Domain::shell, 2, 1, FE_Q<2>(1));
  const auto           make = [&](const std::array<unsigned int, 2> &n,
                        const double                       tolerance,
                        const double                       width) {
    FieldGrid<2>::AdditionalData data;
    data.n_points  = n;
    data.tolerance = tolerance;
    data.source    = "program.prm";
    data.box       = BoundingBox<2>(
      std::make_pair(Point<2>(-1., -1.), Point<2>(1., -1. + width)));
    return FieldGrid<2>(space.dof_handler,
                        space.mapping,
                        space.constraints,
                        data);
  };
  expect_sentence(message_of([&]() {
                    make({{1, 5}}, 1e-6, 2.);
                  }),
                  {"program.prm", "number of grid points", "1, 5", "from 2"});
  expect_sentence(message_of([&]() {
                    make({{65536, 65536}}, 1e-6, 2.);
                  }),
                  {"number of grid points", "2^31"});
  expect_sentence(message_of([&]() {
                    make({{5, 5}}, 0., 2.);
                  }),
                  {"program.prm", "tolerance", "'0'"});
  expect_sentence(message_of([&]() {
                    make({{5, 5}}, 1e-6, 0.);
                  }),
                  {"program.prm", "box of the grid", "direction 1"});
  // The corners of a square alone are not in the shell.
  auto       x    = space.make_vector();
  const auto grid = space.grid({{2, 2}});
  EXPECT_FALSE(grid.gather(grid.inside()).any().item<bool>());
  expect_sentence(message_of([&]() {
                    grid.from_tensor(torch::zeros({1, 2, 2}), x);
                  }),
                  {"number of grid points", "no point in the domain"});

  const CurvedSpace<2> no_points(
    MPI_COMM_WORLD, Domain::cube, 1, 1, FE_DGP<2>(1));
  EXPECT_NE(message_of([&]() {
              no_points.grid({{5, 5}});
            }).find("has no support points"),
            std::string::npos);
}



template <typename VectorType>
class FieldGridTest : public testing::Test
{};

TYPED_TEST_SUITE(FieldGridTest, Spaces::VectorTypes);



TYPED_TEST(FieldGridTest, ConstraintsHoldAfterwards)
{
  using VectorType = TypeParam;
  const auto check = [](const Mesh mesh, const FiniteElement<2> &element) {
    const MPI_Comm communicator = Spaces::communicator_for<VectorType>();
    Space<2>       space(communicator, mesh, 2, element);
    FieldGrid<2>::AdditionalData data;
    data.n_points = {{12, 15}};
    const MappingQ1<2> mapping;
    const FieldGrid<2> grid(space.dof_handler,
                            mapping,
                            space.constraints,
                            data);
    auto               noise = torch::empty(grid.shape(), torch::kFloat64);
    for (long i = 0; i < noise.numel(); ++i)
      noise.template data_ptr<double>()[i] = Spaces::noise(i);
    auto x = space.template make_vector<VectorType>();
    space.fill(x, [](const unsigned int) { return 5.; });
    grid.from_tensor(noise, x);

    // Once more, by deal.II, to the last bit.
    auto y = x;
    space.constraints.distribute(y);
    unsigned int n_hanging = 0, n_boundary = 0, n_free = 0;
    const auto   ghosted = space.with_ghosts(x);
    std::map<types::global_dof_index, Point<2>> points;
    DoFTools::map_dofs_to_support_points(mapping, space.dof_handler, points);
    for (const auto i : space.dof_handler.locally_owned_dofs())
      {
        EXPECT_EQ(x(i), y(i));
        if (space.hanging_nodes.is_constrained(i))
          ++n_hanging;
        else if (space.constraints.is_constrained(i))
          {
            EXPECT_EQ(x(i), 1. + points.at(i)[0] + 2. * points.at(i)[1]);
            ++n_boundary;
          }
        else
          ++n_free;
      }
    for (const unsigned int n : {n_hanging, n_boundary, n_free})
      EXPECT_GT(Utilities::MPI::sum(n, communicator), 10u);

    // The boundary values of another time.
    for (const auto i : space.dof_handler.locally_owned_dofs())
      if (!space.hanging_nodes.is_constrained(i) &&
          space.constraints.is_constrained(i))
        space.constraints.set_inhomogeneity(i, 42.);
    grid.from_tensor(noise, x);
    for (const auto i : space.dof_handler.locally_owned_dofs())
      if (!space.hanging_nodes.is_constrained(i) &&
          space.constraints.is_constrained(i))
        {
          EXPECT_EQ(x(i), 42.);
        }
  };
  check(Mesh::l_shape, FE_Q<2>(1));
  check(Mesh::cube, FESystem<2>(FE_Q<2>(2), 2));
}



TYPED_TEST(FieldGridTest, AllAlgebrasGiveTheSame)
{
  using VectorType            = TypeParam;
  const MPI_Comm communicator = Spaces::communicator_for<VectorType>();
  const Space<3> space(communicator, Mesh::l_shape, 1, FE_Q<3>(2));
  FieldGrid<3>::AdditionalData data;
  data.n_points = {{6, 5, 9}};
  const MappingQ1<3> mapping;
  const FieldGrid<3> grid(space.dof_handler,
                          mapping,
                          space.hanging_nodes,
                          data);
  auto               x = space.template make_vector<VectorType>();
  space.interpolate(x, linear<3>);
  const auto slice = grid.to_tensor(x);
  const auto exact =
    values_at_points<3>(grid, linear<3>) * grid.inside().unsqueeze(0);
  EXPECT_LE(difference(slice, exact), 1e-12);
  EXPECT_FALSE(grid.gather(grid.inside()).all().template item<bool>());
  auto y = space.template make_vector<VectorType>();
  space.fill(y, Spaces::noise);
  grid.from_tensor(grid.gather(slice).to(torch::kFloat64), y);
  double error = 0.;
  for (const auto i : space.dof_handler.locally_owned_dofs())
    error = std::max(error, std::abs(x(i) - y(i)));
  EXPECT_LE(error, 1e-12);
}
