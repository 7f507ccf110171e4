// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/fe_system.h>
#include <deal.II/fe/mapping_q.h>

#include <neuraldeal/coupling/fields/field_modes.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/pod.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <algorithm>
#include <cmath>

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

  /** This rank's rows of the fields @p values, one in each column. */
  template <int dim>
  torch::Tensor
  columns(
    const Space<dim>  &space,
    const FieldLayout &layout,
    const std::vector<std::function<double(const Point<dim> &, unsigned int)>>
      &values)
  {
    std::vector<torch::Tensor> all;
    auto                       x = space.template make_vector<Distributed>();
    for (const auto &value : values)
      {
        space.interpolate(x, value);
        all.push_back(layout.to_tensor(x));
      }
    return torch::stack(all, 1);
  }

  /** Cosines on [0, 1]^2, in Q2: smooth, and not orthonormal. */
  std::vector<std::function<double(const Point<2> &, unsigned int)>>
  cosines()
  {
    std::vector<std::function<double(const Point<2> &, unsigned int)>> result;
    for (unsigned int k = 0; k < 5; ++k)
      result.push_back([k](const Point<2> &p, const unsigned int c) {
        return std::cos(k * (p[0] + c)) + p[1];
      });
    return result;
  }
} // namespace



template <typename VectorType>
class FieldModesTest : public testing::Test
{};

TYPED_TEST_SUITE(FieldModesTest, Spaces::VectorTypes);



TYPED_TEST(FieldModesTest, CoefficientsOfWhatIsInTheSpan)
{
  using VectorType = TypeParam;
  const Space<2>    space(Spaces::communicator_for<VectorType>(),
                       Mesh::cube,
                       2,
                       FESystem<2>(FE_Q<2>(2), 2));
  const FieldLayout layout(space.dof_handler, space.hanging_nodes);
  auto              modes = columns(space, layout, cosines());
  const FieldModes  basis(layout, modes);
  ASSERT_EQ(basis.n_modes(), 5);
  const auto coefficients =
    torch::tensor({1., -2., 0.5, 3., 0.25}, torch::kFloat64);
  auto x = space.template make_vector<VectorType>();
  basis.from_tensor(coefficients, x);
  const auto back = basis.to_tensor(x);
  EXPECT_EQ(back.sizes().vec(), (std::vector<std::int64_t>{5}));
  // Hanging nodes move a little in from_tensor(): interpolation of a cosine.
  auto y = space.template make_vector<VectorType>();
  layout.from_tensor(torch::mv(modes, coefficients), y);
  double error = 0.;
  for (const auto i : space.dof_handler.locally_owned_dofs())
    error = std::max(error, std::abs(x(i) - y(i)));
  EXPECT_LE(error, 1e-13);
  EXPECT_LE((back - coefficients).abs().max().template item<double>(), 0.05);

  // With modes that satisfy the constraints it is exact.
  for (long k = 0; k < 5; ++k)
    {
      layout.from_tensor(modes.select(1, k), y);
      modes.select(1, k).copy_(layout.to_tensor(y));
    }
  const FieldModes continuous(layout, modes);
  continuous.from_tensor(coefficients, x);
  EXPECT_LE((continuous.to_tensor(x) - coefficients)
              .abs()
              .max()
              .template item<double>(),
            1e-9);
}



TEST(FieldModes, IsTheBestApproximation)
{
  // What is left is orthogonal to all modes, and the norm that of a closed
  // form: x² − x + 1/6 is orthogonal to 1 and x on [0, 1].
  const Space<2>    space(MPI_COMM_WORLD, Mesh::cube, 3, FE_Q<2>(2));
  const FieldLayout layout(space.dof_handler, space.hanging_nodes);
  const auto        modes =
    columns<2>(space,
               layout,
               {[](const Point<2> &, unsigned int) { return 1.; },
                [](const Point<2> &p, unsigned int) { return p[0]; }});
  const FieldModes basis(layout, modes);
  auto             x = space.make_vector<Distributed>(), y = x;
  space.interpolate(x, [](const Point<2> &p, unsigned int) {
    return p[0] * p[0];
  });
  const auto coefficients = basis.to_tensor(x);
  EXPECT_NEAR(coefficients[0].item<double>(), -1. / 6., 1e-12);
  EXPECT_NEAR(coefficients[1].item<double>(), 1., 1e-12);
  basis.from_tensor(coefficients, y);
  y -= x;
  EXPECT_NEAR(layout.norm(y), std::sqrt(1. / 180.), 1e-12);
  EXPECT_TRUE(same_on_all_ranks(coefficients[0].item<double>()));
}



TEST(FieldModes, AgreesWithPOD)
{
  // The surrogates' own projector, from the stored mass matrix.
  const ScratchFolder folder;
  const Space<2>      space(MPI_COMM_WORLD, Mesh::bricks, 1, FE_Q<2>(1));
  const FieldLayout   layout(space.dof_handler, space.hanging_nodes);
  const auto          local = columns(space, layout, cosines());
  auto all = torch::zeros({layout.n_values(), local.size(1)}, torch::kFloat64);
  const auto mine = [&](const torch::Tensor &rows) {
    return rows.slice(0,
                      layout.first_value(),
                      layout.first_value() + layout.n_local_values());
  };
  mine(all).copy_(local);
  MPI_Allreduce(MPI_IN_PLACE,
                all.data_ptr<double>(),
                all.numel(),
                MPI_DOUBLE,
                MPI_SUM,
                MPI_COMM_WORLD);

  // The mass matrix, column by column.
  auto mass =
    torch::zeros({layout.n_values(), layout.n_values()}, torch::kFloat64);
  for (long j = 0; j < layout.n_values(); ++j)
    {
      auto unit = torch::zeros({layout.n_values()}, torch::kFloat64);
      unit[j]   = 1.;
      mine(mass).select(1, j).copy_(layout.apply_mass(mine(unit)));
    }
  MPI_Allreduce(MPI_IN_PLACE,
                mass.data_ptr<double>(),
                mass.numel(),
                MPI_DOUBLE,
                MPI_SUM,
                MPI_COMM_WORLD);
  FieldSpace fields;
  fields.mass = mass.to_sparse();
  fields.symmetries.push_back(
    {torch::arange(1), torch::arange(layout.n_values())});
  const auto pod = compute_pod(
    all.size(1),
    [&](const long begin, const long end) {
      return all.slice(1, begin, end).t().contiguous();
    },
    fields,
    1e-6,
    3,
    Communicator());

  const FieldModes basis(layout, mine(pod.modes));
  auto             x = space.make_vector<Distributed>();
  layout.from_tensor(local.select(1, 4), x);
  auto distributed = torch::zeros({layout.n_values()}, torch::kFloat64);
  mine(distributed).copy_(layout.to_tensor(x));
  MPI_Allreduce(MPI_IN_PLACE,
                distributed.data_ptr<double>(),
                distributed.numel(),
                MPI_DOUBLE,
                MPI_SUM,
                MPI_COMM_WORLD);
  const auto expected = torch::mv(pod.projector.t(), distributed);
  EXPECT_GE(expected.abs().max().item<double>(), 0.1);
  EXPECT_LE((basis.to_tensor(x) - expected).abs().max().item<double>(), 1e-11);
}



TEST(FieldModes, InnerProductOfCurvedCells)
{
  // ∫ 1 and ∫ r² over the disk: π and π/2, where the mapping is curved.
  parallel::distributed::Triangulation<2> triangulation(MPI_COMM_WORLD);
  GridGenerator::hyper_ball(triangulation);
  triangulation.refine_global(2);
  const FE_Q<2> fe(2);
  DoFHandler<2> dof_handler(triangulation);
  dof_handler.distribute_dofs(fe);
  AffineConstraints<double> constraints;
  constraints.close();
  const MappingQ<2> mapping(4);
  const FieldLayout layout(dof_handler, mapping, constraints);
  Distributed       x(dof_handler.locally_owned_dofs(), MPI_COMM_WORLD);
  x = 1.;
  EXPECT_NEAR(layout.norm(x) * layout.norm(x), M_PI, 1e-5);
  EXPECT_GT(std::abs(
              std::pow(FieldLayout(dof_handler, constraints).norm(x), 2.) -
              M_PI),
            1e-3);
  const FieldModes basis(layout, layout.to_tensor(x).unsqueeze(1));
  std::map<types::global_dof_index, Point<2>> points;
  DoFTools::map_dofs_to_support_points(mapping, dof_handler, points);
  for (const auto i : dof_handler.locally_owned_dofs())
    x(i) = points.at(i).norm_square();
  EXPECT_NEAR(basis.to_tensor(x)[0].item<double>(), 0.5, 1e-3);
}



TEST(FieldModes, ConstraintsHoldAfterwards)
{
  const Space<2>    space(MPI_COMM_WORLD, Mesh::l_shape, 2, FE_Q<2>(1));
  const FieldLayout layout(space.dof_handler, space.constraints);
  const FieldModes  basis(layout, columns(space, layout, cosines()));
  auto              x = space.make_vector<Distributed>();
  basis.from_tensor(torch::ones({5}, torch::kFloat64), x);
  auto y = x;
  space.constraints.distribute(y);
  for (const auto i : space.dof_handler.locally_owned_dofs())
    EXPECT_EQ(x(i), y(i));
}



TEST(FieldModes, DependentModesAreAMistake)
{
  const Space<2>    space(MPI_COMM_WORLD, Mesh::cube, 2, FE_Q<2>(1));
  const FieldLayout layout(space.dof_handler, space.hanging_nodes);
  auto              modes = columns(space, layout, cosines());
  const auto        make  = [&]() {
    const FieldModes basis(layout, modes, "program.prm");
  };
  EXPECT_EQ(message_of(make), "");
  modes.select(1, 3).copy_(2. * modes.select(1, 1));
  expect_sentence(message_of(make),
                  {"program.prm", "basis of modes", "5 modes"});
  modes.select(1, 3).fill_(0.);
  expect_sentence(message_of(make), {"program.prm", "basis of modes"});
}
