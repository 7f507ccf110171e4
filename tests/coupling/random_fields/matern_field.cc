// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/quadrature_lib.h>

#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/fe_values.h>
#include <deal.II/fe/mapping_q.h>

#include <deal.II/lac/full_matrix.h>

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/random_fields/matern_field.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <cmath>
#include <map>

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
  using Field  = LinearAlgebra::distributed::Vector<double>;

  template <int dim>
  using Data = typename MaternField<dim>::AdditionalData;

  /** Matérn's covariance at the distance @p r, variance one. */
  double
  matern(const double nu, const double kappa, const double r)
  {
    if (r == 0.)
      return 1.;
    return std::pow(2., 1. - nu) / std::tgamma(nu) * std::pow(kappa * r, nu) *
           std::cyl_bessel_k(nu, kappa * r);
  }

  /** A space on [0, 1]^dim or, with curved cells, on a ball. */
  template <int dim>
  struct Grid
  {
    parallel::distributed::Triangulation<dim> triangulation;
    FE_Q<dim>                                 fe;
    MappingQ<dim>                             mapping;
    DoFHandler<dim>                           dof_handler;

    Grid(const MPI_Comm     communicator,
         const bool         ball,
         const unsigned int n_refinements,
         const unsigned int degree,
         const bool         hanging_nodes = false)
      : triangulation(communicator)
      , fe(degree)
      , mapping(ball ? 2 : 1)
      , dof_handler(triangulation)
    {
      if (ball)
        GridGenerator::hyper_ball(triangulation);
      else
        GridGenerator::hyper_cube(triangulation);
      triangulation.refine_global(n_refinements);
      if (hanging_nodes)
        {
          for (const auto &cell : triangulation.active_cell_iterators())
            if (cell->is_locally_owned() && cell->center()[0] > 0.5)
              cell->set_refine_flag();
          triangulation.execute_coarsening_and_refinement();
        }
      dof_handler.distribute_dofs(fe);
    }

    Field
    make_vector() const
    {
      return Field(dof_handler.locally_owned_dofs(),
                   triangulation.get_communicator());
    }

    /** The owned degree of freedom at a point, if it is this rank's. */
    types::global_dof_index
    dof_at(const Point<dim> &p) const
    {
      std::map<types::global_dof_index, Point<dim>> points;
      DoFTools::map_dofs_to_support_points(mapping, dof_handler, points);
      for (const auto i : dof_handler.locally_owned_dofs())
        if (points.at(i).distance(p) < 1e-10)
          return i;
      return numbers::invalid_dof_index;
    }

    /** A field's value at a support point, on all ranks. */
    double
    value_at(const Field &field, const Point<dim> &p) const
    {
      const auto i = dof_at(p);
      return Utilities::MPI::max(i == numbers::invalid_dof_index ?
                                   -1e300 :
                                   static_cast<double>(field(i)),
                                 triangulation.get_communicator());
    }

    /** The covariances of the discrete field with its value at a point. */
    Field
    covariance_with(const MaternField<dim> &field, const Point<dim> &p) const
    {
      Field      functional = make_vector(), result = make_vector();
      const auto i = dof_at(p);
      if (i != numbers::invalid_dof_index)
        functional(i) = 1.;
      functional.compress(VectorOperation::insert);
      field.apply_covariance(functional, result);
      return result;
    }
  };



  /**
   * The covariance of the field by dense matrices: (A⁻¹ M)^{2k−1} A⁻¹ / τ²,
   * between the degrees of freedom that are free.
   */
  template <int dim>
  FullMatrix<double>
  dense_covariance(const Grid<dim>           &grid,
                   const Data<dim>           &data,
                   const std::vector<double> &free_numbers,
                   const FullMatrix<double>  &extension)
  {
    const unsigned int n     = grid.dof_handler.n_dofs();
    const double       nu    = data.smoothness;
    const double       kappa = std::sqrt(8. * nu) / data.correlation_length;
    FullMatrix<double> matrix(n, n), mass(n, n);

    FEValues<dim>                        values(grid.mapping,
                         grid.fe,
                         QGauss<dim>(grid.fe.degree + 1),
                         update_values | update_gradients | update_JxW_values);
    FEFaceValues<dim>                    face_values(grid.mapping,
                                  grid.fe,
                                  QGauss<dim - 1>(grid.fe.degree + 1),
                                  update_values | update_JxW_values);
    std::vector<types::global_dof_index> dofs(grid.fe.n_dofs_per_cell());
    for (const auto &cell : grid.dof_handler.active_cell_iterators())
      {
        cell->get_dof_indices(dofs);
        values.reinit(cell);
        for (const auto q : values.quadrature_point_indices())
          for (const auto i : values.dof_indices())
            for (const auto j : values.dof_indices())
              {
                const double m = values.shape_value(i, q) *
                                 values.shape_value(j, q) * values.JxW(q);
                mass(dofs[i], dofs[j]) += m;
                matrix(dofs[i], dofs[j]) +=
                  kappa * kappa * m + values.shape_grad(i, q) *
                                        values.shape_grad(j, q) * values.JxW(q);
              }
        if (data.boundary == "Robin")
          for (const auto f : cell->face_indices())
            if (cell->face(f)->at_boundary())
              {
                face_values.reinit(cell, f);
                for (const auto q : face_values.quadrature_point_indices())
                  for (const auto i : face_values.dof_indices())
                    for (const auto j : face_values.dof_indices())
                      matrix(dofs[i], dofs[j]) +=
                        kappa / 1.42 * face_values.shape_value(i, q) *
                        face_values.shape_value(j, q) * face_values.JxW(q);
              }
      }

    const unsigned int n_free = free_numbers.size();
    FullMatrix<double> product(n_free, n), a(n_free, n_free), m(n_free, n_free);
    extension.Tmmult(product, matrix);
    product.mmult(a, extension);
    extension.Tmmult(product, mass);
    product.mmult(m, extension);
    a.gauss_jordan();

    FullMatrix<double> step(n_free, n_free), result(a), next(n_free, n_free);
    a.mmult(step, m);
    const unsigned int k = std::lround((nu + 0.5 * dim) / 2.);
    for (unsigned int i = 0; i < 2 * k - 1; ++i)
      {
        step.mmult(next, result);
        result = next;
      }
    // σ² = Γ(ν) / (Γ(ν + d/2) (4π)^{d/2} κ^{2ν} τ²)
    result *= std::pow(data.standard_deviation, 2) *
              std::tgamma(nu + 0.5 * dim) * std::pow(4. * M_PI, 0.5 * dim) *
              std::pow(kappa, 2. * nu) / std::tgamma(nu);
    return result;
  }

  template <int dim>
  void
  check_covariance(const Grid<dim> &grid, const Data<dim> &data)
  {
    // All values from those that are free.
    AffineConstraints<double> hanging_nodes;
    DoFTools::make_hanging_node_constraints(grid.dof_handler, hanging_nodes);
    hanging_nodes.close();
    const unsigned int    n = grid.dof_handler.n_dofs();
    std::vector<double>   free_numbers;
    std::vector<unsigned> place(n);
    for (unsigned int i = 0; i < n; ++i)
      if (!hanging_nodes.is_constrained(i))
        {
          place[i] = free_numbers.size();
          free_numbers.push_back(i);
        }
    EXPECT_LT(free_numbers.size(), n);
    FullMatrix<double> extension(n, free_numbers.size());
    for (unsigned int i = 0; i < n; ++i)
      if (!hanging_nodes.is_constrained(i))
        extension(i, place[i]) = 1.;
      else
        for (const auto &entry : *hanging_nodes.get_constraint_entries(i))
          extension(i, place[entry.first]) = entry.second;
    const auto expected = dense_covariance(grid, data, free_numbers, extension);

    // The map from noise, a column at a time.
    const MaternField<dim> field(grid.dof_handler, grid.mapping, data);
    FullMatrix<double>     covariance(expected.m(), expected.n());
    std::vector<double>    noise(field.n_local_noise(), 0.);
    Field                  column = grid.make_vector();
    for (auto &xi : noise)
      {
        xi = 1.;
        field.apply_noise(noise, column);
        xi = 0.;
        for (unsigned int i = 0; i < expected.m(); ++i)
          for (unsigned int j = 0; j < expected.n(); ++j)
            covariance(i, j) +=
              column(free_numbers[i]) * column(free_numbers[j]);
      }
    covariance.add(-1., expected);
    EXPECT_LT(covariance.linfty_norm(), 1e-10 * expected.linfty_norm());

    // And the covariance applied to every functional.
    Field functional = grid.make_vector();
    for (unsigned int j = 0; j < expected.n(); ++j)
      {
        functional                  = 0.;
        functional(free_numbers[j]) = 1.;
        field.apply_covariance(functional, column);
        for (unsigned int i = 0; i < expected.m(); ++i)
          EXPECT_NEAR(column(free_numbers[i]),
                      expected(i, j),
                      1e-10 * expected.linfty_norm());
      }
  }

  /**
   * The covariance, at a distance of @p n cells along an axis, of the discrete
   * field with linear elements on an infinite mesh of cubes, variance one: the
   * integral of its symbol over the torus, by the midpoint rule, which is the
   * sum on a mesh with the period 2 (and the opposite sign after each).
   */
  template <int dim>
  double
  on_infinite_mesh(const unsigned int n_per_unit,
                   const unsigned int n,
                   const double       nu,
                   const double       kappa)
  {
    const double       h   = 1. / n_per_unit;
    const unsigned int k   = std::lround((nu + 0.5 * dim) / 2.);
    const unsigned int m   = 2 * n_per_unit;
    double             sum = 0.;
    for (unsigned int i = 0; i < std::pow(m, dim); ++i)
      {
        double       mass = 1., quotient = kappa * kappa, wave = 0.;
        unsigned int rest = i;
        for (unsigned int d = 0; d < dim; ++d, rest /= m)
          {
            const double theta  = 2. * M_PI * (rest % m + 0.5) / m;
            const double of_one = h * (2. + std::cos(theta)) / 3.;
            mass *= of_one;
            quotient += 2. * (1. - std::cos(theta)) / h / of_one;
            if (d == 0)
              wave = std::cos(n * theta);
          }
        sum += std::pow(quotient, -2. * k) / mass * wave;
      }
    return sum / std::pow(m, dim) * std::tgamma(2. * k) *
           std::pow(4. * M_PI, 0.5 * dim) * std::pow(kappa, 2. * nu) /
           std::tgamma(nu);
  }

  /** The field on the unit cube against the same equation without bounds. */
  template <int dim>
  void
  check_inside(const unsigned int n_refinements, const Data<dim> &data)
  {
    const Grid<dim>        grid(MPI_COMM_WORLD, false, n_refinements, 1);
    const MaternField<dim> field(grid.dof_handler, grid.mapping, data);
    const double           kappa = field.inverse_length();
    Point<dim>             middle;
    for (unsigned int d = 0; d < dim; ++d)
      middle[d] = 0.5;
    const auto         covariance = grid.covariance_with(field, middle);
    const unsigned int n          = 1 << n_refinements;
    for (unsigned int i = 0; i <= 2; ++i)
      {
        Point<dim> p = middle;
        p[0] += i * 0.125;
        // The boundary's images are at 0.75 and further.
        EXPECT_NEAR(grid.value_at(covariance, p),
                    on_infinite_mesh<dim>(n, i * n / 8, data.smoothness, kappa),
                    4. * dim * matern(data.smoothness, kappa, 0.75));
      }
  }

  /** The same samples of the space on all ranks and on one. */
  template <int dim>
  void
  check_independence_of_ranks(const Mesh mesh, const unsigned int n_refinements)
  {
    const FE_Q<dim>  element(1);
    const Space<dim> space(MPI_COMM_WORLD, mesh, n_refinements, element);
    const Space<dim> alone(MPI_COMM_SELF, mesh, n_refinements, element);
    ASSERT_GT(Utilities::MPI::sum(space.hanging_nodes.n_constraints(),
                                  MPI_COMM_WORLD),
              0u);
    const FieldLayout layout(space.dof_handler, space.hanging_nodes);
    const FieldLayout layout_alone(alone.dof_handler, alone.hanging_nodes);
    Data<dim>         data;
    data.correlation_length = 0.5;
    data.tolerance          = 1e-11;
    // The normalisation as well.
    data.n_normalisation_samples = 2;
    const MaternField<dim> field(space.dof_handler, MappingQ1<dim>(), data);
    const MaternField<dim> field_alone(alone.dof_handler,
                                       MappingQ1<dim>(),
                                       data);
    torch::Tensor          previous;
    for (const std::uint64_t index : {3ull, (1ull << 32) + 3ull})
      {
        auto x = space.template make_vector<Field>();
        auto y = alone.template make_vector<Field>();
        field.draw(5, Stream::design, index, x);
        field_alone.draw(5, Stream::design, index, y);
        const auto all  = layout_alone.to_tensor(y);
        const auto part = layout.to_tensor(x);
        EXPECT_LT((part -
                   all.narrow(0, layout.first_value(), layout.n_local_values()))
                    .abs()
                    .max()
                    .item()
                    .toDouble(),
                  1e-8);
        // Another index is another sample, of the size that one has.
        EXPECT_GT(all.abs().max().item().toDouble(), 0.3);
        if (previous.defined())
          {
            EXPECT_GT((all - previous).abs().max().item().toDouble(), 0.3);
          }
        previous = all;

        // What it is in the program's vector does not matter.
        auto z = space.template make_vector<TrilinosWrappers::MPI::Vector>();
        field.draw(5, Stream::design, index, z);
        EXPECT_LT((layout.to_tensor(z) - part).abs().max().item().toDouble(),
                  1e-12);
      }
  }
} // namespace



TEST(MaternField, CovarianceIsThatOfTheDiscreteEquation)
{
  {
    SCOPED_TRACE("2d, linear, curved cells");
    Data<2> data;
    data.correlation_length = 0.7;
    data.smoothness         = 1.;
    data.standard_deviation = 3.;
    data.tolerance          = 1e-14;
    check_covariance(Grid<2>(MPI_COMM_SELF, true, 1, 1, true), data);
  }
  {
    SCOPED_TRACE("2d, quadratic, two solves");
    Data<2> data;
    data.correlation_length = 0.5;
    data.smoothness         = 3.;
    data.boundary           = "Neumann";
    data.tolerance          = 1e-14;
    check_covariance(Grid<2>(MPI_COMM_SELF, false, 1, 2, true), data);
  }
  {
    SCOPED_TRACE("3d");
    Data<3> data;
    data.correlation_length = 0.5;
    data.smoothness         = 0.5;
    data.tolerance          = 1e-14;
    check_covariance(Grid<3>(MPI_COMM_SELF, false, 1, 1, true), data);
  }
}



TEST(MaternField, CovarianceInside)
{
  // As on an infinite mesh, in closed form up to an integral.
  Data<2> data;
  Data<3> rough;
  rough.smoothness         = 0.5;
  rough.correlation_length = 0.125;
  check_inside<3>(4, rough);
  for (const double nu : {1., 3.})
    {
      data.smoothness = nu;
      check_inside<2>(4, data);
      check_inside<2>(5, data);

      // And that converges to Matérn's, with the second power of the cells; the
      // variance for ν = 1, whose spectrum falls like |k|⁻⁴, as h² log h.
      const double kappa = std::sqrt(8. * nu) / data.correlation_length;
      for (unsigned int i = 0; i <= 2; ++i)
        {
          const auto error = [&](const unsigned int n) {
            return std::abs(on_infinite_mesh<2>(n, i * n / 8, nu, kappa) -
                            matern(nu, kappa, 0.125 * i));
          };
          const double e[] = {error(64), error(128), error(256)};
          if (nu == 1. && i == 0)
            EXPECT_NEAR((16. * e[2] - 4. * e[1]) / (4. * e[1] - e[0]),
                        1.,
                        0.02);
          else
            EXPECT_NEAR(e[1] / e[2], 4., 0.05);
          EXPECT_LT(e[2], 2e-3);
        }
    }
}



TEST(MaternField, SamplesHaveTheCovariance)
{
  const Grid<2> grid(MPI_COMM_WORLD, false, 5, 1);
  Data<2>       data;
  data.standard_deviation = 2.;
  const MaternField<2> field(grid.dof_handler, grid.mapping, data);

  const std::vector<Point<2>>          points{{0.5, 0.5},
                                     {0.5625, 0.5},
                                     {0.5, 0.625},
                                     {0.25, 0.5}};
  constexpr unsigned int               n = 300;
  std::vector<std::vector<double>>     sums(4, std::vector<double>(4, 0.));
  std::vector<double>                  means(4, 0.);
  std::vector<types::global_dof_index> dofs;
  for (const auto &p : points)
    dofs.push_back(grid.dof_at(p));
  auto sample = grid.make_vector();
  for (unsigned int s = 0; s < n; ++s)
    {
      field.draw(11, Stream::design, s, sample);
      std::vector<double> values(4);
      for (unsigned int i = 0; i < 4; ++i)
        values[i] =
          dofs[i] == numbers::invalid_dof_index ? 0. : sample(dofs[i]);
      Utilities::MPI::sum(values, MPI_COMM_WORLD, values);
      for (unsigned int i = 0; i < 4; ++i)
        {
          means[i] += values[i] / n;
          for (unsigned int j = 0; j < 4; ++j)
            sums[i][j] += values[i] * values[j] / n;
        }
    }

  for (unsigned int i = 0; i < 4; ++i)
    {
      const auto column = grid.covariance_with(field, points[i]);
      EXPECT_LT(std::abs(means[i]), 4. * 2. / std::sqrt(1. * n));
      for (unsigned int j = 0; j < 4; ++j)
        {
          const double exact =
            4. *
            matern(1., field.inverse_length(), points[i].distance(points[j]));
          // Isserlis: n Var = C_ii C_jj + C_ij². What the mesh adds to it is
          // computed without samples; another test has it in closed form.
          const double deviation = std::sqrt((16. + exact * exact) / n);
          const double of_mesh =
            std::abs(grid.value_at(column, points[j]) - exact);
          EXPECT_NEAR(sums[i][j], exact, 4. * deviation + of_mesh);
        }
    }
}



TEST(MaternField, SamplesAreTheSameOnAnyNumberOfRanks)
{
  check_independence_of_ranks<2>(Mesh::l_shape, 2);
  check_independence_of_ranks<2>(Mesh::bricks, 1);
  check_independence_of_ranks<3>(Mesh::l_shape, 1);
}



TEST(MaternField, NoiseOfOneCellIsThatOfNoOther)
{
  // Far apart, with a length below that of the cells: nothing in common.
  const Grid<2> grid(MPI_COMM_WORLD, false, 3, 1);
  Data<2>       data;
  data.correlation_length = 0.02;
  const MaternField<2> field(grid.dof_handler, grid.mapping, data);
  auto                 sample = grid.make_vector(), other = grid.make_vector();
  const auto           correlation = [&] {
    return (sample * other) / (sample.l2_norm() * other.l2_norm());
  };
  // The correlation of independent samples has the variance tr C²/(tr C)²,
  // and C is close to M⁻¹ here, whose eigenvalues 3/(2 + cos θ) in each
  // direction make that (2/√3)² times what 81 free values have: 0.128 squared.
  field.draw(1, Stream::design, 0, sample);
  field.draw(1, Stream::design, 1, other);
  EXPECT_LT(std::abs(correlation()), 4. * 0.128);
  field.draw(1, Stream::queries, 0, other);
  EXPECT_LT(std::abs(correlation()), 4. * 0.128);
  field.draw(2, Stream::design, 0, other);
  EXPECT_LT(std::abs(correlation()), 4. * 0.128);
  field.draw(1, Stream::design, 0, other);
  EXPECT_GT(correlation(), 1. - 1e-12);
}



TEST(MaternField, VarianceAtTheBoundary)
{
  const Grid<2>  grid(MPI_COMM_WORLD, false, 5, 1);
  const Point<2> corner(0., 0.), edge(0., 0.5), near(0.0625, 0.5),
    middle(0.5, 0.5);
  const auto variance = [&](const MaternField<2> &field, const Point<2> &p) {
    return grid.value_at(grid.covariance_with(field, p), p);
  };
  for (const double nu : {1., 3.})
    {
      SCOPED_TRACE(nu);
      Data<2> data;
      data.smoothness = nu;
      data.boundary   = "Neumann";
      const MaternField<2> neumann(grid.dof_handler, grid.mapping, data);
      data.boundary = "Robin";
      const MaternField<2>   robin(grid.dof_handler, grid.mapping, data);
      constexpr unsigned int n     = 200;
      data.n_normalisation_samples = n;
      const MaternField<2> normalised(grid.dof_handler, grid.mapping, data);

      // By images, relative to the middle: what the mesh does is the same.
      const double inside = variance(neumann, middle);
      EXPECT_NEAR(variance(neumann, edge) / inside, 2., 0.04);
      EXPECT_NEAR(variance(neumann, corner) / inside, 4., 0.08);
      EXPECT_NEAR(variance(neumann, near) / inside,
                  1. + matern(nu, neumann.inverse_length(), 0.125),
                  0.04);
      for (const auto &p : {corner, edge, near, middle})
        {
          // Collective, whoever looks at them.
          const double with_neumann    = variance(neumann, p);
          const double with_robin      = variance(robin, p);
          const double with_normalised = variance(normalised, p);
          if (rank() == 0)
            std::cout << "variance, nu = " << nu << " at " << p << ": Neumann "
                      << with_neumann << ", Robin " << with_robin
                      << ", normalised " << with_normalised << std::endl;
          // Robin's conditions come closer to one.
          if (nu == 1. && p != middle)
            {
              EXPECT_LT(std::abs(with_robin - 1.),
                        0.5 * std::abs(with_neumann - 1.));
            }
          // χ² with n degrees of freedom: relative deviation √(2/n).
          EXPECT_NEAR(with_normalised, 1., 4. * std::sqrt(2. / n));
        }
    }
}



TEST(MaternField, MistakesAreOneSentence)
{
  const Grid<2> grid(MPI_COMM_WORLD, false, 2, 1);
  const auto    message = [&](const std::function<void(Data<2> &)> &change) {
    Data<2> data;
    data.source = "a.prm";
    change(data);
    return message_of(
      [&] { MaternField<2>(grid.dof_handler, grid.mapping, data); });
  };
  expect_sentence(message([](auto &d) { d.correlation_length = 0.; }),
                  {"a.prm", "correlation length", "'0'", "positive"});
  expect_sentence(message([](auto &d) { d.standard_deviation = NAN; }),
                  {"a.prm", "standard deviation", "positive"});
  expect_sentence(message([](auto &d) { d.smoothness = 2.; }),
                  {"a.prm", "smoothness", "'2'", "1, 3, 5"});
  expect_sentence(message([](auto &d) { d.boundary = "Dirichlet"; }),
                  {"a.prm", "boundary", "Dirichlet", "Neumann, Robin"});
  expect_sentence(message([](auto &d) { d.tolerance = 1.; }),
                  {"a.prm", "tolerance", "between 0 and 1"});
}
