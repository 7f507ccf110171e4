// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/function.h>
#include <deal.II/base/quadrature_lib.h>

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/sparse_direct.h>

#include <deal.II/numerics/matrix_tools.h>
#include <deal.II/numerics/vector_tools.h>

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/random.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "../coupling/test_tools.h"
#include "darcy_generator.h"
#include "data_test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace neuraldeal::performance;
using namespace TestTools;

namespace
{
  torch::Tensor
  coefficient(const unsigned int n, const std::uint64_t index)
  {
    return darcy_coefficient(DarcyField(n).sample(7, index));
  }



  torch::Tensor
  from_rows(const std::vector<std::vector<double>> &rows)
  {
    auto result =
      torch::empty({std::int64_t(rows.size()), std::int64_t(rows[0].size())},
                   torch::kFloat64);
    for (unsigned int i = 0; i < rows.size(); ++i)
      for (unsigned int j = 0; j < rows[i].size(); ++j)
        result[i][j] = rows[i][j];
    return result;
  }



  TEST(DarcyField, EvaluatesTheSeries)
  {
    const unsigned int n = 9;
    const DarcyField   field(n);
    auto               xi = torch::zeros({n, n}, torch::kFloat64);
    xi[0][0]              = 100.; // left out
    xi[0][3]              = 2.;
    xi[5][8]              = -1.;
    const auto values     = field.evaluate(xi);
    for (unsigned int i = 0; i < n; ++i)
      for (unsigned int j = 0; j < n; ++j)
        {
          const double y = (i + 0.5) / n, x = (j + 0.5) / n;
          EXPECT_NEAR(values[i][j].item<double>(),
                      2. * std::sqrt(2.) * std::cos(3. * pi * x) /
                          (9. * pi * pi + 9.) -
                        2. * std::cos(5. * pi * y) * std::cos(8. * pi * x) /
                          (89. * pi * pi + 9.),
                      1e-14);
        }
  }



  TEST(DarcyField, CovarianceIsThatOfTheOperator)
  {
    const unsigned int n = 12, n_samples = 4000;
    const DarcyField   field(n);
    // Two points, and what the eigenvalues make of them.
    const std::array<unsigned int, 2> p = {{0, 2}}, q = {{5, 3}};
    const auto mode = [&](const unsigned int k, const unsigned int i) {
      return k == 0 ? 1. : std::sqrt(2.) * std::cos(pi * k * (i + 0.5) / n);
    };
    double pp = 0, qq = 0, pq = 0, mean_square = 0;
    for (unsigned int k = 0; k < n; ++k)
      for (unsigned int l = 0; l < n; ++l)
        if (k + l > 0)
          {
            const double eigenvalue =
              1. / std::pow(pi * pi * (k * k + l * l) + 9., 2);
            const double at_p = mode(k, p[0]) * mode(l, p[1]),
                         at_q = mode(k, q[0]) * mode(l, q[1]);
            pp += eigenvalue * at_p * at_p;
            qq += eigenvalue * at_q * at_q;
            pq += eigenvalue * at_p * at_q;
            mean_square += eigenvalue;
          }

    double sampled_pp = 0, sampled_pq = 0, mean_p = 0, sampled_square = 0;
    for (unsigned int s = 0; s < n_samples; ++s)
      {
        const auto   values = field.sample(1, s);
        const double at_p   = values[p[0]][p[1]].item<double>(),
                     at_q   = values[q[0]][q[1]].item<double>();
        mean_p += at_p / n_samples;
        sampled_pp += at_p * at_p / n_samples;
        sampled_pq += at_p * at_q / n_samples;
        sampled_square += values.square().mean().item<double>() / n_samples;
        ASSERT_NEAR(values.mean().item<double>(), 0., 1e-14);
      }
    // four standard deviations
    EXPECT_NEAR(mean_p, 0., 4. * std::sqrt(pp / n_samples));
    EXPECT_NEAR(sampled_pp, pp, 4. * pp * std::sqrt(2. / n_samples));
    EXPECT_NEAR(sampled_pq,
                pq,
                4. * std::sqrt((pp * qq + pq * pq) / n_samples));
    EXPECT_NEAR(sampled_square,
                mean_square,
                4. * mean_square * std::sqrt(2. / n_samples));
    // ... which tells the points apart
    EXPECT_GT(std::abs(pp - pq), 0.5 * pp);
  }



  TEST(DarcyField, SamplesDependOnSeedAndIndex)
  {
    const DarcyField field(8);
    EXPECT_EQ(distance(field.sample(1, 5), field.sample(1, 5)), 0.);
    EXPECT_GT(distance(field.sample(1, 5), field.sample(1, 6)), 1e-3);
    EXPECT_GT(distance(field.sample(1, 5), field.sample(2, 5)), 1e-3);
  }



  TEST(DarcyField, ThresholdIsAtZero)
  {
    EXPECT_EQ(distance(darcy_coefficient(
                         from_rows({{0., 1e-300}, {-1e-300, 9.}})),
                       from_rows({{12., 12.}, {3., 12.}})),
              0.);
  }



  TEST(CoarseCoefficient, MeansOfWholeCells)
  {
    const auto fine = from_rows({{3., 12., 3., 3.},
                                 {12., 12., 3., 3.},
                                 {3., 12., 12., 3.},
                                 {3., 3., 3., 3.}});
    EXPECT_LT(distance(coarse_coefficient(fine, 2, CellMean::arithmetic),
                       from_rows({{9.75, 3.}, {5.25, 5.25}})),
              1e-13);
    EXPECT_LT(distance(coarse_coefficient(fine, 2, CellMean::harmonic),
                       from_rows(
                         {{4. / (1. / 3. + 3. / 12.), 3.},
                          {4. / (1. + 1. / 12.), 4. / (1. + 1. / 12.)}})),
              1e-13);
    const double quarter = 3. * std::pow(4., 0.25);
    EXPECT_LT(distance(coarse_coefficient(fine, 2, CellMean::geometric),
                       from_rows(
                         {{3. * std::pow(4., 0.75), 3.}, {quarter, quarter}})),
              1e-13);
  }



  TEST(CoarseCoefficient, CellsThatAreCutCountByTheirArea)
  {
    // Three cells on two: the middle ones belong to both sides.
    const auto fine = from_rows({{9., 3., 3.}, {3., 3., 6.}, {3., 3., 3.}});
    // shares 4/9, 2/9, 2/9, 1/9 of the first, an edge, an edge, the middle
    EXPECT_LT(distance(coarse_coefficient(fine, 2, CellMean::arithmetic),
                       from_rows({{3. + 6. * 4. / 9., 3. + 3. * 2. / 9.},
                                  {3., 3. + 3. * 2. / 9.}})),
              1e-13);
    // The mean over all is kept, on the grids of the benchmark too.
    const auto sample = coefficient(421, 0);
    for (const unsigned int n : {16, 32})
      EXPECT_NEAR(coarse_coefficient(sample, n, CellMean::arithmetic)
                    .mean()
                    .item<double>(),
                  sample.mean().item<double>(),
                  1e-11);
    for (const auto mean :
         {CellMean::arithmetic, CellMean::geometric, CellMean::harmonic})
      EXPECT_LT(
        distance(coarse_coefficient(torch::full({421, 421}, 3.), 16, mean),
                 torch::full({16, 16}, 3.)),
        1e-12);
  }



  TEST(EvaluateAtCentres, BilinearFunctionsAreExact)
  {
    const auto bilinear = [](const torch::Tensor &at) {
      const auto y = at.unsqueeze(1), x = at.unsqueeze(0);
      return 1. + 2. * x - 3. * y + 5. * x * y;
    };
    const auto nodal = bilinear(torch::arange(17, torch::kFloat64) / 16.);
    const auto all   = (torch::arange(421, torch::kFloat64) + 0.5) / 421.;
    const auto fifth = (torch::arange(85, torch::kFloat64) * 5. + 0.5) / 421.;
    EXPECT_LT(distance(evaluate_at_centres(nodal, 421, 1), bilinear(all)),
              1e-13);
    EXPECT_LT(distance(evaluate_at_centres(nodal, 421, 5), bilinear(fifth)),
              1e-13);
    // more than one at once, in single precision
    const auto two = torch::stack({nodal, 2. * nodal}).to(torch::kFloat32);
    EXPECT_LT(distance(evaluate_at_centres(two, 421, 5)[1],
                       2. * bilinear(fifth)),
              1e-5);
  }



  TEST(EvaluateAtCentres, OwnCentresAreMeansOfVertices)
  {
    const auto nodal = DarcyField(7).sample(3, 0);
    const auto part  = [&](const int i, const int j) {
      return nodal.narrow(0, i, 6).narrow(1, j, 6);
    };
    EXPECT_LT(distance(evaluate_at_centres(nodal, 6, 1),
                       (part(0, 0) + part(0, 1) + part(1, 0) + part(1, 1)) /
                         4.),
              1e-14);
  }



  TEST(PackedCoefficient, RoundTrip)
  {
    for (const unsigned int n : {1, 3, 8, 85})
      {
        std::vector<torch::Tensor> samples;
        for (unsigned int i = 0; i < 3; ++i)
          samples.push_back(coefficient(n, i));
        const auto values = torch::stack(samples);
        const auto packed = pack_coefficient(values);
        EXPECT_EQ(packed.scalar_type(), torch::kUInt8);
        EXPECT_EQ(packed.size(1), (n * n + 7) / 8);
        EXPECT_EQ(distance(unpack_coefficient(packed, n), values), 0.);
      }
  }



  TEST(PackedCoefficient, LeastSignificantBitFirst)
  {
    auto values       = torch::full({1, 3, 3}, 3.);
    values[0][0][0]   = 12.;
    values[0][0][2]   = 12.;
    values[0][2][1]   = 12.; // cell 7
    values[0][2][2]   = 12.; // cell 8
    const auto packed = pack_coefficient(values);
    ASSERT_EQ(packed.size(1), 2);
    EXPECT_EQ(packed[0][0].item<int>(), 1 + 4 + 128);
    EXPECT_EQ(packed[0][1].item<int>(), 1);
  }



  TEST(DarcyProblem, ConstantCoefficientConvergesToTheSeries)
  {
    // -Δu = 1/3: in the middle, by the double sine series
    double middle = 0.;
    for (unsigned int k = 1; k < 1000; k += 2)
      for (unsigned int l = 1; l < 1000; l += 2)
        middle += ((k + l) / 2 % 2 == 1 ? 16. : -16.) /
                  (std::pow(pi, 4) * k * l * (1. * k * k + 1. * l * l) * 3.);
    std::vector<double> errors;
    for (const unsigned int n : {8, 16, 32})
      {
        const auto solution =
          DarcyProblem(n).solve(torch::full({n, n}, 3., torch::kFloat64));
        errors.push_back(
          std::abs(solution[n / 2][n / 2].item<double>() / middle - 1.));
      }
    EXPECT_LT(errors[2], 2e-3);
    for (unsigned int i = 0; i < 2; ++i)
      EXPECT_NEAR(std::log2(errors[i] / errors[i + 1]), 2., 0.1);
  }



  // Assembly, boundary conditions and solver all of the library, in its own
  // numbering.
  TEST(DarcyProblem, AgreesWithTheLibrarysOwnAssembly)
  {
    const unsigned int n      = 11;
    const auto         values = coefficient(n, 3);
    ASSERT_GT(values.max().item<double>(), values.min().item<double>());

    class Coefficient : public Function<2>
    {
    public:
      explicit Coefficient(const torch::Tensor &values)
        : values(values)
      {}

      double
      value(const Point<2> &p, const unsigned int = 0) const override
      {
        const auto n = values.size(0);
        return values[std::int64_t(p[1] * n)][std::int64_t(p[0] * n)]
          .item<double>();
      }

    private:
      const torch::Tensor values;
    };

    Triangulation<2> triangulation;
    GridGenerator::subdivided_hyper_cube(triangulation, n);
    const FE_Q<2> fe(1);
    DoFHandler<2> dof_handler(triangulation);
    dof_handler.distribute_dofs(fe);
    DynamicSparsityPattern pattern(dof_handler.n_dofs());
    DoFTools::make_sparsity_pattern(dof_handler, pattern);
    SparsityPattern sparsity;
    sparsity.copy_from(pattern);
    SparseMatrix<double>                 matrix(sparsity);
    Vector<double>                       rhs(dof_handler.n_dofs()), u(rhs);
    const Coefficient                    function(values);
    const Functions::ConstantFunction<2> one(1.);
    MatrixCreator::create_laplace_matrix(
      dof_handler, QGauss<2>(3), matrix, one, rhs, &function);
    std::map<types::global_dof_index, double> boundary_values;
    VectorTools::interpolate_boundary_values(dof_handler,
                                             0,
                                             Functions::ZeroFunction<2>(),
                                             boundary_values);
    MatrixTools::apply_boundary_values(boundary_values, matrix, u, rhs);
    SparseDirectUMFPACK direct;
    direct.initialize(matrix);
    direct.vmult(u, rhs);

    const auto            solution = DarcyProblem(n).solve(values);
    std::vector<Point<2>> points(dof_handler.n_dofs());
    const MappingQ1<2>    mapping;
    DoFTools::map_dofs_to_support_points(mapping, dof_handler, points);
    for (unsigned int i = 0; i < points.size(); ++i)
      EXPECT_NEAR(
        solution[std::lround(points[i][1] * n)][std::lround(points[i][0] * n)]
          .item<double>(),
        u(i),
        1e-10 * u.linfty_norm());
  }



  TEST(DarcyProblem, PreconditionersAgree)
  {
    const unsigned int n = 40;
    DarcyProblem       problem(n);
    const auto         a        = coefficient(n, 1);
    const auto         solution = problem.solve(a);
    // κ <= 4, so that the bound of 2 (1/3)^k is met after about 22 steps
    EXPECT_LE(problem.n_iterations(), 26u);
    const auto other =
      problem.solve(a, DarcyProblem::Preconditioner::algebraic_multigrid);
    EXPECT_LT(distance(solution, other),
              1e-8 * solution.abs().max().item<double>());
    // nothing is left of an earlier coefficient
    problem.solve(coefficient(n, 2));
    EXPECT_EQ(distance(problem.solve(a), solution), 0.);
  }



  TEST(DarcyProblem, MatrixIsSymmetric)
  {
    const unsigned int n = 10;
    DarcyProblem       problem(n);
    problem.solve(coefficient(n, 4));
    const auto &matrix       = problem.matrix();
    double      off_diagonal = 0.;
    for (unsigned int row = 0; row < matrix.m(); ++row)
      for (auto entry = matrix.begin(row); entry != matrix.end(row); ++entry)
        {
          EXPECT_NEAR(entry->value(), matrix.el(entry->column(), row), 1e-13);
          if (entry->column() != row)
            off_diagonal += std::abs(entry->value());
        }
    EXPECT_GT(off_diagonal, 1.);
  }



  TEST(DarcyProblem, MirroredInputsHaveMirroredSolutions)
  {
    const unsigned int n = 20;
    DarcyProblem       problem(n);
    const auto         a        = coefficient(n, 5);
    const auto         solution = problem.solve(a);
    const double       size     = solution.abs().max().item<double>();
    for (const auto &image :
         std::vector<std::function<torch::Tensor(const torch::Tensor &)>>{
           [](const torch::Tensor &t) { return t.flip({0}); },
           [](const torch::Tensor &t) { return t.flip({1}); },
           [](const torch::Tensor &t) { return t.t().contiguous(); }})
      {
        EXPECT_GT(distance(image(a), a), 1.);
        EXPECT_LT(distance(problem.solve(image(a)), image(solution)),
                  1e-8 * size);
      }
  }



  DarcySet
  small_set()
  {
    return {"small", 20, 3, 4, 3, 11, 3};
  }



  TEST(DarcyGenerator, SamplesAreTheSameOnAnyNumberOfRanks)
  {
    const ScratchFolder folder;
    const ProcessGroups ranks(MPI_COMM_WORLD, 1, "the test");
    const auto          set = small_set();
    DarcyGenerator      generator(set);
    const auto          name = generator.write(folder / "new/data", ranks);
    EXPECT_EQ(name, folder / "new/data/darcy-small.safetensors");
    EXPECT_EQ(Utilities::MPI::sum(generator.n_solved, MPI_COMM_WORLD), 7);
    MPI_Barrier(MPI_COMM_WORLD);
    EXPECT_EQ(files_in(folder / "new/data").size(), 1);

    const auto data = DarcyData::read(name);
    EXPECT_EQ(data.n_train, 4);
    EXPECT_EQ(data.n_test, 3);
    EXPECT_EQ(data.n_cells, 20u);
    EXPECT_EQ(data.stride, 3u);
    for (const double seconds : data.seconds)
      EXPECT_GT(seconds, 0.);
    ASSERT_EQ(data.solution.sizes().vec(),
              (std::vector<std::int64_t>{7, 7, 7}));

    // All of it by hand, on this rank alone.
    DarcyProblem problem(20);
    for (unsigned int i = 0; i < 7; ++i)
      {
        const auto a = darcy_coefficient(DarcyField(20).sample(11, i));
        const auto u = evaluate_at_centres(problem.solve(a), 20, 1);
        for (unsigned int row = 0; row < 7; ++row)
          for (unsigned int column = 0; column < 7; ++column)
            {
              EXPECT_EQ(data.coefficient[i][row][column].item<float>(),
                        a[3 * row][3 * column].item<double>());
              EXPECT_NEAR(data.solution[i][row][column].item<double>(),
                          u[3 * row][3 * column].item<double>(),
                          1e-8);
            }
        for (unsigned int level = 0; level < 2; ++level)
          {
            const unsigned int n      = level == 0 ? 16 : 32;
            const auto         coarse = DarcyProblem(n).solve(
              coarse_coefficient(a, n, CellMean::geometric));
            EXPECT_LT(distance(data.coarse[level][i], coarse), 1e-8);
            const auto there = evaluate_at_centres(coarse, 20, 3);
            const auto here  = data.solution[i];
            EXPECT_NEAR(data.coarse_errors(level)[i].item<double>(),
                        ((there - here).norm() / here.norm()).item<double>(),
                        1e-6);
          }
      }
  }



  TEST(DarcyGenerator, GoesOnWhereItWas)
  {
    const ScratchFolder folder;
    const ProcessGroups ranks(MPI_COMM_WORLD, 1, "the test");
    const bool          root = ranks.is_root();
    const auto name  = DarcyGenerator(small_set()).write(folder.path, ranks);
    const auto whole = DarcyData::read(name);
    MPI_Barrier(MPI_COMM_WORLD);

    // Something stands in the way of the last write, and the second block of
    // three is lost.
    if (root)
      {
        std::filesystem::remove(name);
        std::filesystem::create_directories(name + ".tmp/full");
      }
    MPI_Barrier(MPI_COMM_WORLD);
    expect_sentence(message_of([&]() {
                      DarcyGenerator(small_set()).write(folder.path, ranks);
                    }),
                    {name});
    if (root)
      {
        std::filesystem::remove_all(name + ".tmp");
        EXPECT_TRUE(
          std::filesystem::remove(folder / "darcy-small.blocks/3.safetensors"));
      }
    MPI_Barrier(MPI_COMM_WORLD);
    DarcyGenerator again(small_set());
    again.write(folder.path, ranks);
    EXPECT_EQ(Utilities::MPI::sum(again.n_solved, MPI_COMM_WORLD), 3);
    MPI_Barrier(MPI_COMM_WORLD);
    const auto data = DarcyData::read(name);
    EXPECT_EQ(distance(data.coefficient, whole.coefficient), 0.);
    EXPECT_EQ(distance(data.solution, whole.solution), 0.);
    EXPECT_EQ(distance(data.coarse[0], whole.coarse[0]), 0.);
    EXPECT_EQ(distance(data.coarse[1], whole.coarse[1]), 0.);

    // What is there is not made again.
    DarcyGenerator nothing(small_set());
    EXPECT_EQ(nothing.write(folder.path, ranks), name);
    EXPECT_EQ(nothing.n_solved, 0);
  }



  TEST(DarcyGenerator, BlocksOfAnotherSetAreRefused)
  {
    const ScratchFolder folder;
    const ProcessGroups ranks(MPI_COMM_WORLD, 1, "the test");
    const auto          name = folder / "darcy-small.safetensors";
    if (ranks.is_root())
      std::filesystem::create_directories(name + ".tmp/full");
    MPI_Barrier(MPI_COMM_WORLD);
    message_of(
      [&]() { DarcyGenerator(small_set()).write(folder.path, ranks); });
    auto other = small_set();
    other.seed = 12;
    expect_sentence(message_of([&]() {
                      DarcyGenerator(other).write(folder.path, ranks);
                    }),
                    {"0.safetensors", "small"});
  }



  TEST(DarcyData, MistakesAreSentences)
  {
    expect_sentence(message_of([]() { DarcySet::by_name("422"); }),
                    {"422", "421", "64"});
    EXPECT_EQ(DarcySet::by_name("421").n_points(), 85u);
    EXPECT_EQ(DarcySet::by_name("64").n_points(), 64u);

    const ScratchFolder folder;
    if (rank() > 0)
      return;
    ModelFile file;
    file.write(folder / "empty");
    expect_sentence(message_of([&]() { DarcyData::read(folder / "empty"); }),
                    {folder / "empty", "n_train"});
    file.metadata               = {{"n_train", 1},
                                   {"n_test", 0},
                                   {"n_cells", 2},
                                   {"n_points", 2},
                                   {"stride", 1},
                                   {"seconds", {{"2", 1.}}}};
    file.tensors["coefficient"] = torch::zeros({1, 3}, torch::kUInt8);
    file.write(folder / "shape");
    expect_sentence(message_of([&]() { DarcyData::read(folder / "shape"); }),
                    {folder / "shape", "coefficient"});
  }
} // namespace
