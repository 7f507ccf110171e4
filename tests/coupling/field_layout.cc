// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/quadrature_lib.h>

#include <deal.II/fe/fe_dgp.h>
#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/fe_system.h>
#include <deal.II/fe/fe_values.h>

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

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
  using Distributed = LinearAlgebra::distributed::Vector<double>;

  template <int dim>
  FieldLayout
  layout_of(const Space<dim> &space)
  {
    return FieldLayout(space.dof_handler, space.constraints);
  }

  /** What `space.h5` holds of points and mass matrix. */
  struct Stored
  {
    long                n = 0;
    std::vector<double> points; ///< coordinate by coordinate
    torch::Tensor       mass;   ///< sparse

    explicit Stored(const std::string &filename)
    {
      const HDF5File file(filename);
      n                  = file.shape("points").at(1);
      points             = file.read<double>("points");
      const auto rows    = file.read<std::int64_t>("mass_rows");
      const auto columns = file.read<std::int64_t>("mass_columns");
      const auto values  = file.read<double>("mass_values");
      mass = torch::sparse_coo_tensor(torch::stack({torch::tensor(rows),
                                                    torch::tensor(columns)}),
                                      torch::tensor(values, torch::kFloat64),
                                      {n, n})
               .coalesce();
    }

    torch::Tensor
    points_tensor() const
    {
      return torch::tensor(points, torch::kFloat64).reshape({-1, n});
    }
  };

  /** The meshes of the tests: some cells on each of three ranks. */
  template <int dim>
  std::vector<std::pair<Mesh, unsigned int>>
  meshes()
  {
    if (dim == 2)
      return {{Mesh::cube, 3}, {Mesh::l_shape, 2}, {Mesh::bricks, 1}};
    return {{Mesh::cube, 2}, {Mesh::l_shape, 1}, {Mesh::bricks, 0}};
  }

  /** |domain| and ∫ x_0² over it. */
  template <int dim>
  std::pair<double, double>
  integrals(const Mesh mesh)
  {
    if (mesh == Mesh::l_shape)
      return {std::pow(2., dim) - 1., (std::pow(2., dim) - 1.) / 3.};
    return {1., 1. / 3.};
  }

  template <int dim>
  void
  check_numbering()
  {
    for (const auto &[mesh, n_refinements] : meshes<dim>())
      {
        const Space<dim> space(MPI_COMM_WORLD,
                               mesh,
                               n_refinements,
                               FE_Q<dim>(2));
        const auto       layout = layout_of(space);
        EXPECT_EQ(layout.n_values(), long(space.dof_handler.n_dofs()));
        EXPECT_EQ(layout.n_local_values(),
                  long(space.dof_handler.n_locally_owned_dofs()));

        // The ranks' ranges follow each other.
        const auto sizes  = all_gather(layout.n_local_values());
        long       before = 0, all = 0;
        for (unsigned int r = 0; r < sizes.size(); ++r)
          {
            before += (r < rank() ? sizes[r] : 0);
            all += sizes[r];
          }
        EXPECT_EQ(all, layout.n_values());
        EXPECT_EQ(layout.first_value(), before);

        // Every degree of freedom has one place.
        auto x = space.template make_vector<Distributed>();
        space.fill(x, [](const unsigned int i) { return double(i); });
        const auto          values = layout.to_tensor(x);
        std::vector<double> numbers(values.template data_ptr<double>(),
                                    values.template data_ptr<double>() +
                                      values.numel());
        std::sort(numbers.begin(), numbers.end());
        std::vector<double> expected;
        for (const auto i : space.dof_handler.locally_owned_dofs())
          expected.push_back(i);
        EXPECT_EQ(numbers, expected);
      }
  }

  template <int dim>
  void
  check_independence_of_ranks(const FiniteElement<dim> &element)
  {
    const ScratchFolder folder;
    for (const auto &[mesh, n_refinements] : meshes<dim>())
      for (const bool renumber : {false, true})
        {
          SCOPED_TRACE(element.get_name() + ", mesh " +
                       std::to_string(int(mesh)) +
                       (renumber ? ", renumbered" : ""));
          const Space<dim> space(
            MPI_COMM_WORLD, mesh, n_refinements, element, renumber);
          const auto layout = layout_of(space);
          layout.write(folder / "all.h5", "abc", {"a", "b"});
          // The first rank alone, with the numbering that deal.II gives.
          std::uint64_t hash_of_one = 0;
          if (rank() == 0)
            {
              const Space<dim> alone(MPI_COMM_SELF,
                                     mesh,
                                     n_refinements,
                                     element);
              const auto       layout_of_one = layout_of(alone);
              layout_of_one.write(folder / "one.h5", "abc", {"a", "b"});
              hash_of_one = layout_of_one.hash();
            }
          hash_of_one = Utilities::MPI::broadcast(MPI_COMM_WORLD, hash_of_one);
          EXPECT_EQ(layout.hash(), hash_of_one);

          const Stored all(folder / "all.h5"), one(folder / "one.h5");
          ASSERT_EQ(all.n, one.n);
          EXPECT_EQ(all.n, layout.n_values());
          ASSERT_EQ(all.points.size(), one.points.size());
          double distance = 0;
          for (std::size_t i = 0; i < all.points.size(); ++i)
            distance =
              std::max(distance, std::abs(all.points[i] - one.points[i]));
          EXPECT_LE(distance, 1e-14);

          EXPECT_EQ(all.mass._nnz(), one.mass._nnz());
          EXPECT_TRUE(torch::equal(all.mass.indices(), one.mass.indices()));
          EXPECT_LE((all.mass - one.mass)
                      .coalesce()
                      .values()
                      .abs()
                      .max()
                      .item<double>(),
                    1e-14);
          MPI_Barrier(MPI_COMM_WORLD);
        }
  }

  template <int dim>
  void
  check_points_and_mass()
  {
    const ScratchFolder folder;
    for (const auto &[mesh, n_refinements] : meshes<dim>())
      {
        Space<dim> space(MPI_COMM_WORLD, mesh, n_refinements, FE_Q<dim>(2));
        const auto layout = layout_of(space);
        layout.write(folder / "space.h5", "abc", {"a", "b"});
        const Stored   stored(folder / "space.h5");
        const HDF5File file(folder / "space.h5");
        EXPECT_EQ(file.read_attribute("problem"), "abc");
        EXPECT_EQ(file.read_strings("parameter_names"),
                  (std::vector<std::string>{"a", "b"}));
        EXPECT_EQ(stored.points.size(), dim * stored.n);

        // A coordinate as a field is the points' coordinate.
        const auto points = stored.points_tensor();
        auto       x      = space.template make_vector<Distributed>();
        for (unsigned int d = 0; d < dim; ++d)
          {
            space.interpolate(x, [d](const Point<dim> &p, unsigned int) {
              return p[d];
            });
            const auto mine =
              points[d].slice(0,
                              layout.first_value(),
                              layout.first_value() + layout.n_local_values());
            EXPECT_TRUE(torch::equal(layout.to_tensor(x), mine));
          }

        // The matrix is symmetric and integrates: one and x_0².
        const auto mass = stored.mass.to_dense();
        EXPECT_LE((mass - mass.t()).abs().max().template item<double>(), 1e-15);
        const auto [volume, second_moment] = integrals<dim>(mesh);
        EXPECT_NEAR(mass.sum().template item<double>(), volume, 1e-12);
        EXPECT_NEAR(
          points[0].dot(torch::mv(mass, points[0])).template item<double>(),
          second_moment,
          1e-12);
        MPI_Barrier(MPI_COMM_WORLD);
      }
  }

  /** The largest jump of a field over the faces of this rank's cells. */
  template <int dim>
  double
  largest_jump(const Space<dim> &space, const Distributed &ghosted)
  {
    const QGauss<dim - 1>       quadrature(4);
    FEFaceValues<dim>           fine(*space.fe, quadrature, update_values);
    FESubfaceValues<dim>        coarse(*space.fe, quadrature, update_values);
    const unsigned int          n_components = space.fe->n_components();
    std::vector<Vector<double>> a(quadrature.size(),
                                  Vector<double>(n_components)),
      b                  = a;
    double       jump    = 0;
    unsigned int n_faces = 0;
    for (const auto &cell : space.dof_handler.active_cell_iterators())
      if (cell->is_locally_owned())
        for (const auto f : cell->face_indices())
          if (!cell->face(f)->at_boundary() && cell->neighbor_is_coarser(f))
            {
              const auto [face, subface] =
                cell->neighbor_of_coarser_neighbor(f);
              fine.reinit(cell, f);
              coarse.reinit(cell->neighbor(f), face, subface);
              fine.get_function_values(ghosted, a);
              coarse.get_function_values(ghosted, b);
              for (unsigned int q = 0; q < quadrature.size(); ++q)
                {
                  a[q] -= b[q];
                  jump = std::max(jump, a[q].linfty_norm());
                }
              ++n_faces;
            }
    EXPECT_GT(Utilities::MPI::sum(n_faces, space.communicator()), 0u);
    return Utilities::MPI::max(jump, space.communicator());
  }

  /** The largest error of the boundary values. */
  template <int dim>
  double
  boundary_error(const Space<dim> &space, const Distributed &ghosted)
  {
    const QGauss<dim - 1>             quadrature(4);
    FEFaceValues<dim>                 values(*space.fe,
                             quadrature,
                             update_values | update_quadrature_points);
    const unsigned int                n_components = space.fe->n_components();
    const Spaces::BoundaryValues<dim> exact(n_components);
    std::vector<Vector<double>>       u(quadrature.size(),
                                  Vector<double>(n_components));
    double                            error = 0;
    for (const auto &cell : space.dof_handler.active_cell_iterators())
      if (cell->is_locally_owned())
        for (const auto f : cell->face_indices())
          if (cell->face(f)->at_boundary())
            {
              values.reinit(cell, f);
              values.get_function_values(ghosted, u);
              for (unsigned int q = 0; q < quadrature.size(); ++q)
                for (unsigned int c = 0; c < n_components; ++c)
                  error =
                    std::max(error,
                             std::abs(u[q](c) -
                                      exact.value(values.quadrature_point(q))));
            }
    return Utilities::MPI::max(error, space.communicator());
  }

  template <int dim, typename VectorType>
  void
  check_transfer(const FiniteElement<dim> &element)
  {
    for (const auto &[mesh, n_refinements] : meshes<dim>())
      {
        Space<dim> space(Spaces::communicator_for<VectorType>(),
                         mesh,
                         n_refinements,
                         element);
        const auto layout = layout_of(space);
        const auto owned  = space.dof_handler.locally_owned_dofs();

        // A field that satisfies the constraints comes back as it was.
        auto x = space.template make_vector<VectorType>();
        space.fill(x, Spaces::noise);
        space.constraints.distribute(x);
        const auto values = layout.to_tensor(x);
        ASSERT_EQ(values.numel(), layout.n_local_values());
        EXPECT_EQ(values.scalar_type(), torch::kFloat64);
        auto y = space.template make_vector<VectorType>();
        layout.from_tensor(values, y);
        double distance = 0;
        for (const auto i : owned)
          distance = std::max(distance, std::abs(x(i) - y(i)));
        EXPECT_LE(distance, 1e-15);

        // Values that do not satisfy them are made to.
        auto noise = torch::empty({layout.n_local_values()}, torch::kFloat64);
        for (long i = 0; i < layout.n_local_values(); ++i)
          noise[i] = Spaces::noise(layout.first_value() + i);
        layout.from_tensor(noise, y);
        const auto ghosted = space.with_ghosts(y);
        EXPECT_LE(largest_jump(space, ghosted), 1e-14);
        EXPECT_LE(boundary_error(space, ghosted), 1e-14);
        // The others are taken as they are.
        const auto back = layout.to_tensor(y);
        space.fill(x, [&](const unsigned int i) {
          return double(space.constraints.is_constrained(i));
        });
        const auto free = layout.to_tensor(x) == 0.;
        EXPECT_TRUE(
          torch::equal(back.masked_select(free), noise.masked_select(free)));
        EXPECT_GT(free.sum().template item<std::int64_t>(), 0);

        // From single precision and from a row of a matrix, too.
        const auto matrix = torch::stack({noise, noise}, 1);
        layout.from_tensor(matrix.select(1, 0), x);
        EXPECT_TRUE(torch::equal(layout.to_tensor(x), back));
        layout.from_tensor(noise.to(torch::kFloat32), x);
        EXPECT_LE(
          (layout.to_tensor(x) - back).abs().max().template item<double>(),
          1e-6);
      }
  }
} // namespace



TEST(FieldLayout, NumbersAreABijectionAndContiguous)
{
  check_numbering<2>();
  check_numbering<3>();
}



TEST(FieldLayout, DoesNotDependOnTheNumberOfRanks)
{
  check_independence_of_ranks<2>(FE_Q<2>(1));
  check_independence_of_ranks<2>(FE_Q<2>(3));
  check_independence_of_ranks<3>(FE_Q<3>(1));
}



TEST(FieldLayout, DoesNotDependOnTheNumberOfRanksForSystems)
{
  check_independence_of_ranks<2>(FESystem<2>(FE_Q<2>(2), 2, FE_Q<2>(1), 1));
#ifndef DEBUG // where this takes long
  check_independence_of_ranks<3>(FESystem<3>(FE_Q<3>(1), 3));
#endif
}



TEST(FieldLayout, WritesPointsAndMassMatrix)
{
  check_points_and_mass<2>();
  check_points_and_mass<3>();
}



TEST(FieldLayout, HashTellsSpacesApart)
{
  std::vector<std::uint64_t> hashes;
  const auto                 add = [&](const Mesh              mesh,
                       const unsigned int      n_refinements,
                       const FiniteElement<2> &element) {
    const Space<2> space(MPI_COMM_WORLD, mesh, n_refinements, element);
    hashes.push_back(layout_of(space).hash());
    EXPECT_TRUE(same_on_all_ranks(hashes.back()));
  };
  add(Mesh::cube, 2, FE_Q<2>(1));
  add(Mesh::cube, 3, FE_Q<2>(1));
  add(Mesh::cube, 2, FE_Q<2>(2));
  add(Mesh::bricks, 2, FE_Q<2>(1));
  add(Mesh::l_shape, 2, FE_Q<2>(1));
  add(Mesh::cube, 2, FESystem<2>(FE_Q<2>(1), 2));
  auto sorted = hashes;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(std::adjacent_find(sorted.begin(), sorted.end()), sorted.end());
  add(Mesh::cube, 2, FE_Q<2>(1));
  EXPECT_EQ(hashes.back(), hashes.front());
}



TEST(FieldLayout, WorksWithRanksThatHaveNothing)
{
  // One cell: all but one rank have no values.
  const ScratchFolder                     folder;
  parallel::distributed::Triangulation<2> triangulation(MPI_COMM_WORLD);
  GridGenerator::hyper_cube(triangulation);
  const FE_Q<2> fe(1);
  DoFHandler<2> dof_handler(triangulation);
  dof_handler.distribute_dofs(fe);
  AffineConstraints<double> constraints;
  constraints.close();
  const FieldLayout layout(dof_handler, constraints);
  EXPECT_EQ(Utilities::MPI::sum(layout.n_local_values(), MPI_COMM_WORLD), 4);
  EXPECT_EQ(layout.n_values(), 4);

  Distributed x(dof_handler.locally_owned_dofs(), MPI_COMM_WORLD);
  auto        values = torch::ones({layout.n_local_values()}, torch::kFloat64);
  layout.from_tensor(values, x);
  EXPECT_TRUE(torch::equal(layout.to_tensor(x), values));
  EXPECT_NEAR(layout.norm(x), 1., 1e-14);
  layout.write(folder / "space.h5", "abc", {});
  EXPECT_NEAR(Stored(folder / "space.h5").mass.to_dense().sum().item<double>(),
              1.,
              1e-14);
}



TEST(FieldLayout, RefusesElementsWithoutSupportPoints)
{
  const Space<2>  space(MPI_COMM_WORLD, Mesh::cube, 2, FE_Q<2>(1));
  DoFHandler<2>   dof_handler(space.triangulation);
  const FE_DGP<2> fe(1);
  dof_handler.distribute_dofs(fe);
  const auto message =
    message_of([&]() { FieldLayout layout(dof_handler, space.constraints); });
  EXPECT_NE(message.find("FE_DGP<2>(1) has no support points"),
            std::string::npos)
    << message;
}



TEST(FieldLayout, RefusesNumbersThatAreScattered)
{
  Space<2> space(MPI_COMM_WORLD, Mesh::cube, 3, FESystem<2>(FE_Q<2>(1), 2));
  DoFRenumbering::component_wise(space.dof_handler);
  const auto message = message_of([&]() { layout_of(space); });
  EXPECT_EQ(message.find("component_wise") != std::string::npos, n_ranks() > 1)
    << message;
}



TEST(FieldLayout, WritesSymmetries)
{
  // The unit square, uniformly refined, and two of its symmetries: with the
  // identity and the half turn they form a group.
  const ScratchFolder                     folder;
  parallel::distributed::Triangulation<2> triangulation(MPI_COMM_WORLD);
  GridGenerator::hyper_cube(triangulation);
  triangulation.refine_global(3);
  const FE_Q<2> fe(1);
  DoFHandler<2> dof_handler(triangulation);
  dof_handler.distribute_dofs(fe);
  AffineConstraints<double> constraints;
  constraints.close();

  GeometricSymmetry<2> mirror, swap, both;
  mirror.matrix     = Tensor<2, 2>({{-1., 0.}, {0., 1.}});
  mirror.offset     = Tensor<1, 2>({1., 0.});
  mirror.parameters = {1, 0, 2};
  both.matrix       = Tensor<2, 2>({{-1., 0.}, {0., -1.}});
  both.offset       = Tensor<1, 2>({1., 1.});
  both.parameters   = {1, 0, 2};
  swap.matrix       = Tensor<2, 2>({{1., 0.}, {0., -1.}});
  swap.offset       = Tensor<1, 2>({0., 1.});
  swap.parameters   = {0, 1, 2};
  const FieldLayout layout(dof_handler, constraints, {mirror, swap, both});
  layout.write(folder / "space.h5", "abc", {"a", "b", "c"});

  const Stored stored(folder / "space.h5");
  const auto   points = stored.points_tensor();
  const auto   space  = SnapshotReader(folder.path, "abc").read_space();
  ASSERT_EQ(space.symmetries.size(), 4u);
  EXPECT_EQ(space.size(), 81);
  const std::vector<std::pair<Tensor<2, 2>, Tensor<1, 2>>> maps = {
    {Tensor<2, 2>({{1., 0.}, {0., 1.}}), Tensor<1, 2>()},
    {mirror.matrix, mirror.offset},
    {swap.matrix, swap.offset},
    {both.matrix, both.offset}};
  for (unsigned int g = 0; g < 4; ++g)
    for (long i = 0; i < stored.n; ++i)
      {
        // new[i] = old[index[i]]: the point with that index is the image.
        const auto j = space.symmetries[g].points[i].item<std::int64_t>();
        Point<2>   p(points[0][i].item<double>(), points[1][i].item<double>());
        const Tensor<1, 2> image = maps[g].first * p + maps[g].second;
        EXPECT_NEAR(points[0][j].item<double>(), image[0], 1e-12);
        EXPECT_NEAR(points[1][j].item<double>(), image[1], 1e-12);
      }
  const auto permutation = [&](const unsigned int g) {
    const auto &p = space.symmetries[g].parameters;
    return std::vector<std::int64_t>(p.data_ptr<std::int64_t>(),
                                     p.data_ptr<std::int64_t>() + p.numel());
  };
  EXPECT_EQ(permutation(0), (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(permutation(1), (std::vector<std::int64_t>{1, 0, 2}));
}



template <typename VectorType>
class FieldLayoutTest : public testing::Test
{};

TYPED_TEST_SUITE(FieldLayoutTest, Spaces::VectorTypes);



TYPED_TEST(FieldLayoutTest, FieldsGoToTensorsAndBack)
{
  check_transfer<2, TypeParam>(FE_Q<2>(1));
  check_transfer<2, TypeParam>(FE_Q<2>(2));
  check_transfer<3, TypeParam>(FE_Q<3>(1));
}



TYPED_TEST(FieldLayoutTest, VectorValuedFieldsGoToTensorsAndBack)
{
  check_transfer<2, TypeParam>(FESystem<2>(FE_Q<2>(2), 2, FE_Q<2>(1), 1));
}



TYPED_TEST(FieldLayoutTest, GhostEntriesAreNotTakenForOwnedOnes)
{
  using VectorType = TypeParam;
  if constexpr (!std::is_same_v<VectorType, Vector<double>>)
    {
      const Space<2> space(MPI_COMM_WORLD, Mesh::cube, 3, FE_Q<2>(1));
      const auto     layout = layout_of(space);
      const auto     values =
        torch::arange(layout.n_local_values(), torch::kFloat64);
      auto owned = space.template make_vector<VectorType>();
      layout.from_tensor(values, owned);
      const auto expected = layout.to_tensor(owned);

      // What most programs have for output, with entries of other ranks.
      VectorType ghosted;
      ghosted.reinit(space.dof_handler.locally_owned_dofs(),
                     space.relevant,
                     MPI_COMM_WORLD);
      ghosted = owned;
      if constexpr (std::is_same_v<VectorType, Distributed>)
        {
          ghosted.update_ghost_values();
          EXPECT_TRUE(torch::equal(layout.to_tensor(ghosted), expected));
          layout.from_tensor(2. * values, ghosted);
          layout.from_tensor(2. * values, owned);
          owned -= ghosted;
          EXPECT_EQ(owned.linfty_norm(), 0.);
        }
      else if (n_ranks() > 1)
        {
          const auto message =
            message_of([&]() { layout.from_tensor(2. * values, ghosted); });
          EXPECT_NE(message.find("reinit_vector"), std::string::npos)
            << message;
          // To read is either right or refused.
          torch::Tensor read;
          if (message_of([&]() { read = layout.to_tensor(ghosted); }).empty())
            {
              EXPECT_TRUE(torch::equal(read, expected));
            }
        }
    }
}



TYPED_TEST(FieldLayoutTest, Norm)
{
  using VectorType = TypeParam;
  for (const auto &[mesh, n_refinements] : meshes<2>())
    {
      const MPI_Comm communicator = Spaces::communicator_for<VectorType>();
      const auto [volume, second_moment] = integrals<2>(mesh);
      {
        Space<2>   space(communicator, mesh, n_refinements, FE_Q<2>(2));
        const auto layout = layout_of(space);
        auto       x      = space.template make_vector<VectorType>();
        EXPECT_EQ(layout.norm(x), 0.);
        space.interpolate(x,
                          [](const Point<2> &p, unsigned int) { return p[0]; });
        EXPECT_NEAR(layout.norm(x), std::sqrt(second_moment), 1e-13);
        if (mesh != Mesh::l_shape)
          {
            // ∫ (x² + y)² = 1/5 + 1/3 + 1/3
            space.interpolate(x, [](const Point<2> &p, unsigned int) {
              return p[0] * p[0] + p[1];
            });
            EXPECT_NEAR(layout.norm(x), std::sqrt(13. / 15.), 1e-13);
          }
        // The norm of a field that is no field is no number.
        space.fill(x, [](const unsigned int i) {
          return i == 0 ? std::numeric_limits<double>::quiet_NaN() : 1.;
        });
        EXPECT_TRUE(std::isnan(layout.norm(x)));
      }
      {
        // (x, y, 2) in the elements of Taylor and Hood
        Space<2>   space(communicator,
                       mesh,
                       n_refinements,
                       FESystem<2>(FE_Q<2>(2), 2, FE_Q<2>(1), 1));
        const auto layout = layout_of(space);
        auto       x      = space.template make_vector<VectorType>();
        space.interpolate(x, [](const Point<2> &p, const unsigned int c) {
          return c < 2 ? p[c] : 2.;
        });
        EXPECT_NEAR(layout.norm(x),
                    std::sqrt(2. * second_moment + 4. * volume),
                    1e-12);
      }
    }
}
