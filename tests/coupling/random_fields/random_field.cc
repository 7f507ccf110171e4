// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/fe/fe_dgq.h>
#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/mapping_q1.h>

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/random_fields/cosine_expansion.h>
#include <neuraldeal/coupling/random_fields/random_field.h>
#include <neuraldeal/surrogates/exceptions.h>

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
  using Stream = CounterRandom::Stream;

  template <typename VectorType>
  class RandomFieldOfVector : public testing::Test
  {};

  TYPED_TEST_SUITE(RandomFieldOfVector, Spaces::VectorTypes);

  /** The field that a .prm describes. */
  template <int dim>
  std::unique_ptr<RandomField<dim>>
  from_prm(const std::string &text, const Space<dim> &space)
  {
    ParameterHandler prm;
    prm.enter_subsection("Conductivity");
    declare_random_field<dim>(prm);
    prm.leave_subsection();
    prm.parse_input_from_string("subsection Conductivity\n" + text + "\nend");
    prm.enter_subsection("Conductivity");
    return make_random_field<dim>(prm,
                                  "a.prm",
                                  space.dof_handler,
                                  MappingQ1<dim>());
  }
} // namespace



TYPED_TEST(RandomFieldOfVector, IsTheTransformOfTheGaussianField)
{
  // Cosines on the box around an L, [−1, 1]², in closed form.
  const Space<2> space(Spaces::communicator_for<TypeParam>(),
                       Mesh::l_shape,
                       2,
                       FE_Q<2>(2));
  const auto     field = from_prm<2>("set Type = cosine\n"
                                     "set Transform = log-normal\n"
                                     "subsection cosine\n"
                                     "set Modes = 20\n"
                                     "set Inverse length = 2\n"
                                     "set Constant mode = false\n"
                                     "end\n"
                                     "subsection log-normal\n"
                                     "set Mean = 1\n"
                                     "set Factor = 0.5\n"
                                     "end",
                                 space);

  typename CosineExpansion<2>::AdditionalData data;
  data.n_modes        = 20;
  data.inverse_length = 2.;
  data.constant_mode  = false;
  const CosineExpansion<2> expansion(Point<2>(-1., -1.),
                                     Point<2>(1., 1.),
                                     data);
  const auto               xi = expansion.draw(3, Stream::queries, 8);

  auto x = space.template make_vector<TypeParam>();
  auto y = x, expected = x, gaussian = x;
  field->draw(3, Stream::queries, 8, x);
  field->draw_gaussian(3, Stream::queries, 8, y);
  space.interpolate(gaussian, [&](const Point<2> &p, const unsigned int) {
    return expansion.value(xi, p);
  });
  space.interpolate(expected, [&](const Point<2> &p, const unsigned int) {
    return std::exp(1. + 0.5 * expansion.value(xi, p));
  });
  // Hanging nodes have what the nodes next to them make it.
  unsigned int n_constrained = space.hanging_nodes.n_constraints();
  EXPECT_GT(Utilities::MPI::sum(n_constrained, space.communicator()), 0u);
  space.hanging_nodes.distribute(expected);
  space.hanging_nodes.distribute(gaussian);
  for (const auto i : space.dof_handler.locally_owned_dofs())
    {
      EXPECT_NEAR(x(i), expected(i), 1e-12);
      EXPECT_NEAR(y(i), gaussian(i), 1e-12);
    }
  EXPECT_EQ(field->transform(0.4), std::exp(1.2));
}



TEST(RandomField, ByNameAndFromParameters)
{
  const Space<2> space(MPI_COMM_WORLD, Mesh::cube, 3, FE_Q<2>(1));
  using Field = LinearAlgebra::distributed::Vector<double>;

  auto       a = space.make_vector<Field>(), b = a;
  const auto field = from_prm<2>("set Transform = threshold\n"
                                 "subsection Matern\n"
                                 "set Correlation length = 0.4\n"
                                 "set Boundary = Neumann\n"
                                 "set Smoothness = 3\n"
                                 "end",
                                 space);
  field->draw(1, Stream::design, 0, a);
  unsigned int n_below = 0;
  for (const auto i : space.dof_handler.locally_owned_dofs())
    if (!space.hanging_nodes.is_constrained(i))
      {
        EXPECT_TRUE(a(i) == 3. || a(i) == 12.);
        n_below += (a(i) == 3.);
      }
  n_below = Utilities::MPI::sum(n_below, MPI_COMM_WORLD);
  EXPECT_GT(n_below, 0u);
  EXPECT_LT(n_below, space.dof_handler.n_dofs());

  const auto same = make_random_field<2>("Matern",
                                         {{"correlation length", 0.4},
                                          {"boundary", "Neumann"},
                                          {"smoothness", 3}},
                                         "the test",
                                         space.dof_handler,
                                         MappingQ1<2>());
  field->draw_gaussian(1, Stream::design, 0, a);
  same->draw(1, Stream::design, 0, b);
  b -= a;
  EXPECT_LT(b.linfty_norm(), 1e-12);
  EXPECT_GT(a.linfty_norm(), 0.1);
}



TEST(RandomField, MistakesAreOneSentence)
{
  const Space<3> space(MPI_COMM_WORLD, Mesh::cube, 1, FE_Q<3>(1));
  const auto     message = [&](const std::string &text) {
    return message_of([&] { from_prm<3>(text, space); });
  };
  expect_sentence(message("set Type = Whittle"),
                  {"a.prm", "Type", "Whittle", "Matern, cosine"});
  expect_sentence(message("set Transform = cubic"),
                  {"a.prm", "Transform", "cubic", "threshold"});
  expect_sentence(message("subsection Matern\nset Smoothness = 1\nend"),
                  {"a.prm", "smoothness", "'1'", "0.5, 2.5, 4.5"});
  expect_sentence(message(
                    "subsection Matern\nset Correlation length = long\nend"),
                  {"a.prm", "correlation length", "long", "a number"});

  const Space<2> discontinuous(MPI_COMM_WORLD, Mesh::cube, 1, FE_DGQ<2>(1));
  EXPECT_NE(message_of([&] {
              from_prm<2>("", discontinuous);
            }).find("FE_DGQ<2>(1) is not a scalar, continuous Lagrange"),
            std::string::npos);
}
