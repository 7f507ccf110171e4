// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>

#include <cmath>
#include <filesystem>
#include <vector>

#include "../coupling/test_tools.h"
#include "data_test_tools.h"
#include "elasticity_generator.h"

using namespace dealii;
using namespace neuraldeal;
using namespace neuraldeal::performance;
using namespace TestTools;

namespace
{
  using Vector = ElasticityProblem::Loads::Vector;

  /** Nodal values [2, l + 1, a] of the image under x → 1 − x. */
  torch::Tensor
  mirrored_displacement(const torch::Tensor &values)
  {
    // t → 3 − t: angle j → 3 a / 4 − j
    const auto a      = values.size(2);
    const auto image  = (7 * a / 4 - torch::arange(a)).remainder(a);
    auto       result = values.index_select(2, image);
    result[0].neg_();
    return result;
  }



  /** Displacements, stresses and body forces that belong together. */
  struct Manufactured
  {
    std::function<Vector(const Point<2> &)>       displacement, force;
    std::function<Tensor<2, 2>(const Point<2> &)> gradient;

    ElasticityProblem::Loads
    loads() const
    {
      ElasticityProblem::Loads result;
      result.clamped    = displacement;
      result.body_force = force;
      result.traction =
        [gradient = gradient](const auto, const Point<2> &p, const Vector &n) {
          const auto g = gradient(p);
          return ElasticityProblem::lambda * trace(g) * n +
                 ElasticityProblem::mu * (g + transpose(g)) * n;
        };
      return result;
    }

    /** In the nodes of a mesh. */
    torch::Tensor
    at(const torch::Tensor &nodes) const
    {
      auto       result = torch::empty_like(nodes);
      const auto x      = nodes.accessor<double, 3>();
      auto       values = result.accessor<double, 3>();
      for (unsigned int i = 0; i < nodes.size(1); ++i)
        for (unsigned int j = 0; j < nodes.size(2); ++j)
          {
            const auto u    = displacement(Point<2>(x[0][i][j], x[1][i][j]));
            values[0][i][j] = u[0];
            values[1][i][j] = u[1];
          }
      return result;
    }
  };



  TEST(ElasticityHole, FieldHasTheCovarianceOfTheOperator)
  {
    EXPECT_NEAR(ElasticityHole().radius(1.), 0.3, 1e-15);

    const unsigned int n_samples = 4000;
    const double       a = 0.4, b = 1.3;
    const auto         field = [](const double radius) {
      return std::log(0.2 / (radius - 0.2) - 1.);
    };
    double variance = 16. / 9. / (2. * pi), covariance = variance;
    for (unsigned int k = 1; k <= ElasticityHole::n_modes; ++k)
      {
        variance += 16. / (k * k + 9.) / pi;
        covariance += 16. / (k * k + 9.) / pi * std::cos(k * (a - b));
      }
    double aa = 0., bb = 0., ab = 0., mean = 0.;
    for (unsigned int i = 0; i < n_samples; ++i)
      {
        const auto   hole = ElasticityHole::sample(3, i);
        const double ra = hole.radius(a), rb = hole.radius(b);
        ASSERT_GT(std::min(ra, rb), 0.2);
        ASSERT_LT(std::max(ra, rb), 0.4);
        mean += field(ra) / n_samples;
        aa += field(ra) * field(ra) / n_samples;
        bb += field(rb) * field(rb) / n_samples;
        ab += field(ra) * field(rb) / n_samples;
      }
    // four standard deviations
    EXPECT_NEAR(mean, 0., 4. * std::sqrt(variance / n_samples));
    EXPECT_NEAR(aa, variance, 4. * variance * std::sqrt(2. / n_samples));
    EXPECT_NEAR(bb, variance, 4. * variance * std::sqrt(2. / n_samples));
    EXPECT_NEAR(ab,
                covariance,
                4. * std::sqrt((variance * variance + covariance * covariance) /
                               n_samples));
    // ... which tells the angles apart
    EXPECT_GT(variance - covariance, 0.2 * variance);
  }



  TEST(ElasticityHole, SamplesDependOnSeedAndIndex)
  {
    const auto radius = [](const std::uint64_t seed, const std::uint64_t i) {
      return ElasticityHole::sample(seed, i).radius(0.3);
    };
    EXPECT_EQ(radius(1, 5), radius(1, 5));
    EXPECT_NE(radius(1, 5), radius(1, 6));
    EXPECT_NE(radius(1, 5), radius(2, 5));
  }



  TEST(ElasticityHole, RectangleIsMappedToTheSquareAroundIt)
  {
    const auto hole = ElasticityHole::sample(1, 0), image = hole.mirrored();
    EXPECT_EQ(hole.point(0., 1.), (std::array<double, 2>{{1., 0.}}));
    EXPECT_EQ(hole.point(1.25, 1.), (std::array<double, 2>{{0.75, 1.}}));
    EXPECT_EQ(hole.point(2.25, 1.), (std::array<double, 2>{{0., 0.75}}));
    EXPECT_EQ(hole.point(3.25, 1.), (std::array<double, 2>{{0.25, 0.}}));
    double change = 0.;
    for (const double t : {0., 0.3, 0.9, 1.5, 2.2, 2.75, 3.})
      {
        const auto inner = hole.point(t, 0.), outer = hole.point(t, 1.),
                   middle  = hole.point(t, 0.25);
        const double angle = std::atan2(outer[1] - 0.5, outer[0] - 0.5);
        EXPECT_NEAR(inner[0] - 0.5,
                    hole.radius(angle) * std::cos(angle),
                    1e-14);
        EXPECT_NEAR(inner[1] - 0.5,
                    hole.radius(angle) * std::sin(angle),
                    1e-14);
        for (unsigned int d = 0; d < 2; ++d)
          EXPECT_NEAR(middle[d], 0.75 * inner[d] + 0.25 * outer[d], 1e-14);

        EXPECT_NEAR(image.radius(angle), hole.radius(pi - angle), 1e-14);
        change += std::abs(image.radius(angle) - hole.radius(angle));
        const auto there = image.point(3. - t, 0.25);
        EXPECT_NEAR(there[0], 1. - middle[0], 1e-14);
        EXPECT_NEAR(there[1], middle[1], 1e-14);
      }
    EXPECT_GT(change, 0.01);
  }



  TEST(ElasticityHole, Distance)
  {
    const auto points      = torch::rand({50, 2}, torch::kFloat64);
    const auto from_middle = (points - 0.5).norm(2, {1});
    // of a circle; the polygon is within 0.3 (1 − cos(π / 1024))
    EXPECT_LT(distance(ElasticityHole().distance(points),
                       (from_middle - 0.3).abs()),
              2e-6);

    // to many points of another one
    const auto         hole     = ElasticityHole::sample(1, 1);
    const unsigned int n        = 20000;
    auto               boundary = torch::empty({n, 2}, torch::kFloat64);
    auto               at       = boundary.accessor<double, 2>();
    for (unsigned int i = 0; i < n; ++i)
      {
        const double angle = 2. * pi * i / n;
        at[i][0]           = 0.5 + hole.radius(angle) * std::cos(angle);
        at[i][1]           = 0.5 + hole.radius(angle) * std::sin(angle);
      }
    const auto nearest =
      (points.unsqueeze(1) - boundary).norm(2, {2}).amin({1});
    EXPECT_GT(distance(nearest, (from_middle - 0.3).abs()), 0.01);
    EXPECT_LT(distance(hole.distance(points), nearest), 1e-4);
  }



  TEST(ElasticityMesh, EvaluationIsThatOfTheElements)
  {
    // quadratic outwards, and outwards linear times a function around
    const ElasticityMesh mesh = {8, 3, 2}, other = {24, 7, 1};
    const auto           s = [](const long n) {
      return torch::arange(n, torch::kFloat64).div(n - 1).unsqueeze(1);
    };
    const auto own    = s(mesh.n_layer_nodes()).square() - 2.;
    const auto values = own.expand({7, 16}).contiguous();
    EXPECT_LT(distance(mesh.at_vertices(values, other),
                       (s(8).square() - 2.).expand({8, 24})),
              1e-14);

    // piecewise quadratic around, by hand in the middle of thirds
    auto around = torch::zeros({2, 7, 16}, torch::kFloat64);
    around.select(2, 0).fill_(1.);      // a vertex
    around[1].select(1, 15).fill_(10.); // a middle, in the last cell
    const auto there = mesh.at_vertices(around, other);
    ASSERT_EQ(there.sizes().vec(), (std::vector<std::int64_t>{2, 8, 24}));
    const auto vertex = [](const double x) { return (1. - 2. * x) * (1. - x); };
    const auto middle = [](const double x) { return 4. * x * (1. - x); };
    EXPECT_NEAR(there[0][3][0].item<double>(), 1., 1e-14);
    EXPECT_NEAR(there[0][3][1].item<double>(), vertex(1. / 3.), 1e-14);
    EXPECT_NEAR(there[0][3][23].item<double>(), vertex(1. / 3.), 1e-14);
    EXPECT_NEAR(there[0][3][3].item<double>(), 0., 1e-14);
    EXPECT_NEAR(there[1][3][22].item<double>(),
                vertex(2. / 3.) + 10. * middle(2. / 3.),
                1e-13);

    // the own vertices, exactly
    const ElasticityMesh vertices = {8, 3, 1};
    const auto           random   = torch::rand({2, 7, 16}, torch::kFloat64);
    using at::indexing::Slice;
    const Slice all, second(at::indexing::None, at::indexing::None, 2);
    EXPECT_EQ(distance(mesh.at_vertices(random, vertices),
                       random.index({all, second, second})),
              0.);
    EXPECT_EQ(mesh.name(), "8x3, degree 2");
  }



  // Linear displacements, turns among them, are found exactly around any hole.
  TEST(ElasticityProblem, PatchTest)
  {
    Manufactured exact;
    exact.displacement = [](const Point<2> &p) {
      Vector u;
      u[0] = 0.3 + 0.2 * p[0] - 0.7 * p[1];
      u[1] = -0.1 + 0.5 * p[0] + 0.4 * p[1];
      return u;
    };
    exact.gradient = [](const Point<2> &) {
      return Tensor<2, 2>({{0.2, -0.7}, {0.5, 0.4}});
    };
    const auto hole = ElasticityHole::sample(1, 2);
    for (const unsigned int degree : {1, 2})
      {
        ElasticityProblem problem({16, 4, degree});
        EXPECT_LT(distance(problem.solve(hole, exact.loads()),
                           exact.at(problem.nodes(hole))),
                  1e-12);
      }
  }



  // The loads of the benchmark, with what uniaxial tension needs beside them:
  // σ_yy = 1 in plane strain.
  TEST(ElasticityProblem, TensionWithTheTractionOfTheBenchmark)
  {
    constexpr double young = ElasticityProblem::young,
                     nu    = ElasticityProblem::poisson;
    Manufactured exact;
    exact.displacement = [](const Point<2> &p) {
      Vector u;
      u[0] = -nu * (1. + nu) / young * p[0];
      u[1] = (1. - nu * nu) / young * p[1];
      return u;
    };
    ElasticityProblem::Loads loads;
    loads.clamped  = exact.displacement;
    loads.traction = [](const ElasticityProblem::Boundary boundary,
                        const Point<2> &,
                        const Vector &n) {
      auto result = ElasticityProblem::benchmark_traction(boundary);
      if (boundary == ElasticityProblem::hole)
        result[1] = n[1];
      return result;
    };
    const auto        hole = ElasticityHole::sample(1, 3);
    ElasticityProblem problem({16, 4, 2});
    EXPECT_LT(distance(problem.solve(hole, loads),
                       exact.at(problem.nodes(hole))),
              1e-12);
  }



  TEST(ElasticityProblem, ConvergesWithTheOrderOfTheElements)
  {
    // u = (sin 2x cos y, x y²): the forces by hand
    constexpr double lambda = ElasticityProblem::lambda,
                     mu     = ElasticityProblem::mu;
    Manufactured exact;
    exact.displacement = [](const Point<2> &p) {
      Vector u;
      u[0] = std::sin(2. * p[0]) * std::cos(p[1]);
      u[1] = p[0] * p[1] * p[1];
      return u;
    };
    exact.gradient = [](const Point<2> &p) {
      return Tensor<2, 2>({{2. * std::cos(2. * p[0]) * std::cos(p[1]),
                            -std::sin(2. * p[0]) * std::sin(p[1])},
                           {p[1] * p[1], 2. * p[0] * p[1]}});
    };
    exact.force = [](const Point<2> &p) {
      // −div σ = −(λ + μ) ∇ div u − μ Δu
      const double sc = std::sin(2. * p[0]) * std::cos(p[1]),
                   cs = std::cos(2. * p[0]) * std::sin(p[1]);
      Vector f;
      f[0] = -(lambda + mu) * (-4. * sc + 2. * p[1]) - mu * (-5. * sc);
      f[1] = -(lambda + mu) * (-2. * cs + 2. * p[0]) - mu * 2. * p[0];
      return f;
    };
    const auto hole = ElasticityHole::sample(1, 4);
    for (const unsigned int degree : {1, 2})
      {
        std::vector<double> errors;
        for (const unsigned int n : {16, 32, 64})
          {
            ElasticityProblem problem({n, n / 4, degree});
            const auto        reference = exact.at(problem.nodes(hole));
            errors.push_back(
              ((problem.solve(hole, exact.loads()) - reference).norm() /
               reference.norm())
                .item<double>());
          }
        EXPECT_LT(errors[2], degree == 1 ? 2e-3 : 1e-4);
        for (unsigned int i = 0; i < 2; ++i)
          EXPECT_GT(std::log2(errors[i] / errors[i + 1]), degree + 0.7)
            << "degree " << degree << ": " << errors[i] << " " << errors[i + 1];
      }
  }



  TEST(ElasticityProblem, MirroredHolesHaveMirroredSolutions)
  {
    ElasticityProblem problem({16, 4, 2});
    const auto        circle = problem.solve(ElasticityHole());
    const double      size   = circle.abs().max().item<double>();
    EXPECT_LT(distance(circle, mirrored_displacement(circle)), 1e-10 * size);

    const auto hole     = ElasticityHole::sample(1, 5);
    const auto solution = problem.solve(hole);
    EXPECT_GT(distance(solution, mirrored_displacement(solution)), 0.01 * size);
    EXPECT_LT(distance(problem.solve(hole.mirrored()),
                       mirrored_displacement(solution)),
              1e-10 * size);
    // nothing is left of an earlier hole
    EXPECT_EQ(distance(problem.solve(hole), solution), 0.);
    // it is drawn upwards, and held at the bottom
    EXPECT_GT(solution[1].select(0, 8).slice(0, 8, 16).min().item<double>(),
              0.5);
    EXPECT_EQ(solution.select(1, 8).slice(1, 24, 32).abs().max().item<double>(),
              0.);
  }



  ElasticitySet
  small_set()
  {
    ElasticitySet set;
    set.n_train    = 4;
    set.n_test     = 3;
    set.seed       = 11;
    set.cloud      = {16, 4, 1};
    set.fine       = {16, 4, 2};
    set.block_size = 3;
    return set;
  }



  TEST(ElasticityGenerator, SamplesAreTheSameOnAnyNumberOfRanks)
  {
    const ScratchFolder folder;
    const ProcessGroups ranks(MPI_COMM_WORLD, 1, "the test");
    const auto          set = small_set();
    ElasticityGenerator generator(set);
    const auto          name = generator.write(folder / "new/data", ranks);
    EXPECT_EQ(name, folder / "new/data/elasticity.safetensors");
    EXPECT_EQ(Utilities::MPI::sum(generator.n_solved, MPI_COMM_WORLD), 7);
    MPI_Barrier(MPI_COMM_WORLD);
    EXPECT_EQ(files_in(folder / "new/data").size(), 1);

    const auto data = ElasticityData::read(name);
    EXPECT_EQ(data.n_train, 4);
    EXPECT_EQ(data.n_test, 3);
    EXPECT_EQ(data.fine.name(), "16x4, degree 2");
    for (const double seconds : data.seconds)
      EXPECT_GT(seconds, 0.);
    ASSERT_EQ(data.solution.sizes().vec(),
              (std::vector<std::int64_t>{7, 2, 80}));

    // All of it by hand, on this rank alone, bit for bit.
    using at::indexing::Slice;
    const Slice all, second(at::indexing::None, at::indexing::None, 2);
    const std::vector<at::indexing::TensorIndex> vertices = {all,
                                                             second,
                                                             second};
    ElasticityProblem                            problem({16, 4, 2});
    for (unsigned int i = 0; i < 7; ++i)
      {
        const auto hole     = ElasticityHole::sample(11, i);
        const auto solution = problem.solve(hole).index(vertices).flatten(1);
        const auto points =
          problem.nodes(hole).index(vertices).flatten(1).t().contiguous();
        EXPECT_EQ(distance(data.solution[i], solution.to(torch::kFloat32)), 0.);
        EXPECT_EQ(distance(data.points[i], points.to(torch::kFloat32)), 0.);
        EXPECT_EQ(distance(data.distance[i],
                           hole.distance(points).to(torch::kFloat32)),
                  0.);
        // the fine mesh of this set is one of the coarse ones
        EXPECT_EQ(distance(data.coarse[1][i], data.solution[i]), 0.);
        EXPECT_EQ(data.coarse_errors(1)[i].item<double>(), 0.);

        const auto linear =
          ElasticityProblem({16, 4, 1}).solve(hole).flatten(1);
        EXPECT_EQ(distance(data.coarse[0][i], linear.to(torch::kFloat32)), 0.);
        EXPECT_NEAR(
          data.coarse_errors(0)[i].item<double>(),
          ((linear - solution).norm() / solution.norm()).item<double>(),
          1e-6);
      }
  }



  TEST(ElasticityGenerator, GoesOnWhereItWas)
  {
    const ScratchFolder folder;
    const ProcessGroups ranks(MPI_COMM_WORLD, 1, "the test");
    const auto          name =
      ElasticityGenerator(small_set()).write(folder.path, ranks);
    const auto whole = ElasticityData::read(name);
    MPI_Barrier(MPI_COMM_WORLD);

    // Something stands in the way of the last write, and the second block of
    // three is lost.
    if (ranks.is_root())
      {
        std::filesystem::remove(name);
        std::filesystem::create_directories(name + ".tmp/full");
      }
    MPI_Barrier(MPI_COMM_WORLD);
    expect_sentence(
      message_of(
        [&]() { ElasticityGenerator(small_set()).write(folder.path, ranks); }),
      {name});
    // Blocks of other samples are refused.
    auto other = small_set();
    other.seed = 12;
    expect_sentence(message_of([&]() {
                      ElasticityGenerator(other).write(folder.path, ranks);
                    }),
                    {"0.safetensors", "elasticity"});
    if (ranks.is_root())
      {
        std::filesystem::remove_all(name + ".tmp");
        EXPECT_TRUE(
          std::filesystem::remove(folder / "elasticity.blocks/3.safetensors"));
      }
    MPI_Barrier(MPI_COMM_WORLD);
    ElasticityGenerator again(small_set());
    again.write(folder.path, ranks);
    EXPECT_EQ(Utilities::MPI::sum(again.n_solved, MPI_COMM_WORLD), 3);
    MPI_Barrier(MPI_COMM_WORLD);
    const auto data = ElasticityData::read(name);
    EXPECT_EQ(distance(data.points, whole.points), 0.);
    EXPECT_EQ(distance(data.distance, whole.distance), 0.);
    EXPECT_EQ(distance(data.solution, whole.solution), 0.);
    EXPECT_EQ(distance(data.coarse[0], whole.coarse[0]), 0.);

    // What is there is not made again.
    ElasticityGenerator nothing(small_set());
    EXPECT_EQ(nothing.write(folder.path, ranks), name);
    EXPECT_EQ(nothing.n_solved, 0);
  }



  // What the operators are given, and its mirror images, which are samples.
  TEST(ElasticityData, SamplesAndTheirMirrorImages)
  {
    const ScratchFolder folder;
    const ProcessGroups ranks(MPI_COMM_WORLD, 1, "the test");
    const auto          name =
      ElasticityGenerator(small_set()).write(folder.path, ranks);
    MPI_Barrier(MPI_COMM_WORLD);
    const auto data = ElasticityData::read(name);
    const auto some = data.samples(1, 4, {"16x4, degree 1", true}, "the test");
    EXPECT_EQ(some.size(), 3);
    EXPECT_EQ(distance(some.input.fields[0][0], data.distance[1]), 0.);
    EXPECT_EQ(distance(some.input.points[0], data.points[1]), 0.);
    EXPECT_EQ(distance(some.prior[0], data.coarse[0][1]), 0.);
    EXPECT_EQ(distance(some.target[0], data.solution[1]), 0.);
    EXPECT_FALSE(data.samples(1, 4, {"", false}, "the test").prior.defined());
    expect_sentence(
      message_of([&]() {
        data.samples(1, 4, {"17x4, degree 1", false}, "rows.json");
      }),
      {"rows.json", "17x4, degree 1", "16x4, degree 1"});

    // The points were moved from those around a circle.
    EXPECT_EQ(data.samples(1, 4, {"", false}, "the test").input.fields.size(1),
              1);
    const auto moved = [&](const ElasticityHole &hole) {
      const ElasticityProblem problem(data.cloud);
      return (problem.nodes(hole) - problem.nodes(ElasticityHole())).flatten(1);
    };
    EXPECT_LT(distance(some.input.fields[0].slice(0, 1, 3),
                       moved(ElasticityHole::sample(11, 1))),
              1e-6);

    const auto doubled = with_mirror_images(some);
    ASSERT_EQ(doubled.size(), 6);
    EXPECT_FALSE(with_mirror_images(data.samples(1, 4, {"", false}, "the test"))
                   .prior.defined());
    for (unsigned int i = 0; i < 3; ++i)
      {
        EXPECT_EQ(distance(doubled.target[i], some.target[i]), 0.);
        const auto hole = ElasticityHole::sample(11, i + 1).mirrored();
        // The images have their points in another order.
        const auto in_order = [](const torch::Tensor &values) {
          const auto image = (28 - torch::arange(16)).remainder(16);
          return values.reshape({2, 5, 16}).index_select(2, image);
        };
        const auto solved = [&](const ElasticityMesh &mesh) {
          return mesh.at_vertices(ElasticityProblem(mesh).solve(hole),
                                  data.cloud);
        };
        EXPECT_LT(distance(in_order(doubled.target[i + 3]), solved({16, 4, 2})),
                  1e-5);
        EXPECT_LT(distance(in_order(doubled.prior[i + 3]), solved({16, 4, 1})),
                  1e-5);
        EXPECT_LT(distance(in_order(doubled.input.fields[i + 3].slice(0, 1, 3)),
                           moved(hole).reshape({2, 5, 16})),
                  1e-6);
        EXPECT_LT(distance(doubled.input.fields[i + 3][0],
                           hole.distance(
                             doubled.input.points[i + 3].to(torch::kFloat64))),
                  1e-6);
        EXPECT_LT(
          distance(in_order(doubled.input.points[i + 3].t().contiguous()),
                   data.cloud.at_vertices(
                     ElasticityProblem(data.cloud).nodes(hole), data.cloud)),
          1e-6);
      }
  }



  TEST(ElasticityData, MistakesAreSentences)
  {
    const ScratchFolder folder;
    if (rank() > 0)
      return;
    ModelFile file;
    file.write(folder / "empty");
    expect_sentence(message_of(
                      [&]() { ElasticityData::read(folder / "empty"); }),
                    {folder / "empty", "n_train"});
    file.metadata          = {{"n_train", 1},
                              {"n_test", 0},
                              {"cloud", {4, 1, 1}},
                              {"fine", {4, 1, 2}},
                              {"seconds", nlohmann::json::object()}};
    file.tensors["points"] = torch::zeros({1, 7, 2});
    file.write(folder / "shape");
    expect_sentence(message_of(
                      [&]() { ElasticityData::read(folder / "shape"); }),
                    {folder / "shape", "points"});
    file.metadata["cloud"] = "4x1";
    file.write(folder / "cloud");
    expect_sentence(message_of(
                      [&]() { ElasticityData::read(folder / "cloud"); }),
                    {folder / "cloud", "cloud"});
  }
} // namespace
