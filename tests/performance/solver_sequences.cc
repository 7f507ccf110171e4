// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "solver_sequences.h"

#include <deal.II/base/function.h>
#include <deal.II/base/quadrature_lib.h>
#include <deal.II/base/tensor.h>
#include <deal.II/base/tensor_function.h>

#include <deal.II/distributed/tria.h>

#include <deal.II/dofs/dof_handler.h>
#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_q.h>
#include <deal.II/fe/fe_system.h>
#include <deal.II/fe/fe_values.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/affine_constraints.h>
#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/petsc_sparse_matrix.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/sparsity_tools.h>

#include <deal.II/numerics/vector_tools.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/compat.h>

#include <array>
#include <cmath>
#include <functional>
#include <random>
#include <stdexcept>

namespace neuraldeal::performance
{
  SystemSequence::SystemSequence(const std::string &name, const bool symmetric)
    : name(name)
    , symmetric(symmetric)
  {}



  SystemSequence::~SystemSequence()
  {
    for (auto &matrix : matrices)
      MatDestroy(&matrix);
    for (auto &vector : right_hand_sides)
      VecDestroy(&vector);
  }



  namespace
  {
    using namespace dealii;
    using VectorType = PETScWrappers::MPI::Vector;

    void
    check(const PetscErrorCode code)
    {
      if (code != 0)
        throw std::runtime_error(
          fmt::format("PETSc error {}", static_cast<int>(code)));
    }

    /** A mesh, its unknowns, and how a system on it is assembled. */
    template <int dim>
    class Discretisation
    {
    public:
      Discretisation(const FiniteElement<dim> &fe,
                     const Point<dim>         &size,
                     const unsigned int        level,
                     const bool                only_one_side)
        : fe(fe.clone())
        , triangulation(MPI_COMM_WORLD)
        , dof_handler(triangulation)
        , quadrature(2)
        , values(*this->fe,
                 quadrature,
                 update_values | update_gradients | update_JxW_values |
                   update_quadrature_points)
      {
        std::vector<unsigned int> repetitions(dim);
        for (unsigned int d = 0; d < dim; ++d)
          repetitions[d] = static_cast<unsigned int>(size[d]);
        GridGenerator::subdivided_hyper_rectangle(
          triangulation, repetitions, Point<dim>(), size, true);
        triangulation.refine_global(level);
        dof_handler.distribute_dofs(fe);

        const IndexSet relevant =
          DoFTools::extract_locally_relevant_dofs(dof_handler);
        constraints.reinit(relevant);
        for (unsigned int side = 0; side < (only_one_side ? 1 : 2 * dim);
             ++side)
          VectorTools::interpolate_boundary_values(dof_handler,
                                                   side,
                                                   Functions::ZeroFunction<dim>(
                                                     fe.n_components()),
                                                   constraints);
        constraints.close();

        DynamicSparsityPattern sparsity(relevant);
        DoFTools::make_sparsity_pattern(dof_handler,
                                        sparsity,
                                        constraints,
                                        false);
        SparsityTools::distribute_sparsity_pattern(
          sparsity, dof_handler.locally_owned_dofs(), MPI_COMM_WORLD, relevant);
        matrix.reinit(dof_handler.locally_owned_dofs(),
                      dof_handler.locally_owned_dofs(),
                      sparsity,
                      MPI_COMM_WORLD);
        right_hand_side.reinit(dof_handler.locally_owned_dofs(),
                               MPI_COMM_WORLD);
        relevant_solution.reinit(dof_handler.locally_owned_dofs(),
                                 relevant,
                                 MPI_COMM_WORLD);
      }

      /** What a cell adds to a system. */
      using AssembleCell = std::function<
        void(const FEValues<dim> &, FullMatrix<double> &, Vector<double> &)>;

      /** Assemble @p matrix and @p right_hand_side. */
      void
      assemble(const AssembleCell &assemble_cell)
      {
        matrix               = 0.;
        right_hand_side      = 0.;
        const unsigned int n = values.get_fe().n_dofs_per_cell();
        FullMatrix<double> cell_matrix(n, n);
        Vector<double>     cell_vector(n);
        std::vector<types::global_dof_index> indices(n);
        for (const auto &cell : dof_handler.active_cell_iterators())
          if (cell->is_locally_owned())
            {
              values.reinit(cell);
              cell_matrix = 0.;
              cell_vector = 0.;
              assemble_cell(values, cell_matrix, cell_vector);
              cell->get_dof_indices(indices);
              constraints.distribute_local_to_global(
                cell_matrix, cell_vector, indices, matrix, right_hand_side);
            }
        matrix.compress(VectorOperation::add);
        right_hand_side.compress(VectorOperation::add);
      }

      /** Add what was assembled to @p sequence. */
      void
      add_to(SystemSequence &sequence, const bool with_matrix) const
      {
        if (with_matrix)
          {
            Mat copy;
            check(
              MatDuplicate(static_cast<Mat>(matrix), MAT_COPY_VALUES, &copy));
            sequence.matrices.push_back(copy);
          }
        Vec copy;
        check(VecDuplicate(right_hand_side, &copy));
        check(VecCopy(right_hand_side, copy));
        sequence.right_hand_sides.push_back(copy);
        sequence.description = fmt::format("{} unknowns", dof_handler.n_dofs());
      }

      /** Solve what was assembled, to machine precision. */
      VectorType
      solve() const
      {
        VectorType x(right_hand_side);
        KSP        ksp;
        PC         pc;
        check(KSPCreate(MPI_COMM_WORLD, &ksp));
        check(KSPSetOperators(ksp,
                              static_cast<Mat>(matrix),
                              static_cast<Mat>(matrix)));
        check(KSPSetType(ksp, KSPPREONLY));
        check(KSPGetPC(ksp, &pc));
        check(PCSetType(pc, PCLU));
        check(PCFactorSetMatSolverType(pc, "mumps"));
        check(KSPSolve(ksp, right_hand_side, x));
        check(KSPDestroy(&ksp));
        return x;
      }

      const std::unique_ptr<FiniteElement<dim>> fe;
      parallel::distributed::Triangulation<dim> triangulation;
      DoFHandler<dim>                           dof_handler;
      AffineConstraints<double>                 constraints;
      QGauss<dim>                               quadrature;
      FEValues<dim>                             values;
      PETScWrappers::MPI::SparseMatrix          matrix;
      VectorType                                right_hand_side;
      VectorType                                relevant_solution;
    };

    /** Numbers between −1 and 1, the same on all processes. */
    class Numbers
    {
    public:
      double
      operator()()
      {
        return 2. * (generator() / 4294967296.) - 1.;
      }

    private:
      std::mt19937 generator{1};
    };

    void
    make_sweep(SystemSequence    &sequence,
               const unsigned int level,
               const unsigned int n)
    {
      Discretisation<2> problem(FE_Q<2>(1), {1., 1.}, level, false);
      Numbers           numbers;
      for (unsigned int i = 0; i < n; ++i)
        {
          // The frequencies k of the terms, and the size of each.
          const std::array<std::array<double, 2>, 10> k = {{{{1., 0.}},
                                                            {{0., 1.}},
                                                            {{1., 1.}},
                                                            {{2., 0.}},
                                                            {{0., 2.}},
                                                            {{2., 1.}},
                                                            {{1., 2.}},
                                                            {{2., 2.}},
                                                            {{3., 0.}},
                                                            {{0., 3.}}}};
          std::array<double, 10>                      amplitudes;
          for (unsigned int t = 0; t < 10; ++t)
            amplitudes[t] =
              2. * numbers() / (k[t][0] * k[t][0] + k[t][1] * k[t][1]);
          problem.assemble([&](const auto &values, auto &matrix, auto &vector) {
            for (const unsigned int q : values.quadrature_point_indices())
              {
                const auto p   = values.quadrature_point(q);
                double     log = 0.;
                for (unsigned int t = 0; t < 10; ++t)
                  log += amplitudes[t] *
                         std::cos(numbers::PI * k[t][0] * p[0]) *
                         std::cos(numbers::PI * k[t][1] * p[1]);
                const double a = std::exp(log);
                for (const unsigned int r : values.dof_indices())
                  {
                    for (const unsigned int s : values.dof_indices())
                      matrix(r, s) +=
                        a * values.JxW(q) *
                        (values.shape_grad(r, q) * values.shape_grad(s, q));
                    vector(r) += values.JxW(q) * values.shape_value(r, q);
                  }
              }
          });
          problem.add_to(sequence, true);
        }
    }

    void
    make_heat(SystemSequence    &sequence,
              const unsigned int level,
              const unsigned int n)
    {
      Discretisation<2> problem(FE_Q<2>(1), {1., 1.}, level, false);
      const double      step    = 0.005;
      problem.relevant_solution = 0.;
      for (unsigned int i = 0; i < n; ++i)
        {
          const double        t = step * (i + 1);
          const Point<2>      place(0.5 + 0.3 * std::cos(5. * t),
                               0.5 + 0.3 * std::sin(8. * t));
          std::vector<double> old(problem.quadrature.size());
          problem.assemble([&](const auto &values, auto &matrix, auto &vector) {
            values.get_function_values(problem.relevant_solution, old);
            for (const unsigned int q : values.quadrature_point_indices())
              {
                const double f =
                  100. *
                  std::exp(-50. *
                           values.quadrature_point(q).distance_square(place));
                for (const unsigned int r : values.dof_indices())
                  {
                    for (const unsigned int s : values.dof_indices())
                      matrix(r, s) +=
                        values.JxW(q) *
                        (values.shape_value(r, q) * values.shape_value(s, q) +
                         step *
                           (values.shape_grad(r, q) * values.shape_grad(s, q)));
                    vector(r) += values.JxW(q) * values.shape_value(r, q) *
                                 (old[q] + step * f);
                  }
              }
          });
          problem.add_to(sequence, i == 0);
          problem.relevant_solution = problem.solve();
        }
    }

    void
    make_newton(SystemSequence    &sequence,
                const unsigned int level,
                const unsigned int n)
    {
      Discretisation<2> problem(FE_Q<2>(1), {1., 1.}, level, false);
      Numbers           numbers;
      unsigned int      n_problems = 0;
      while (sequence.right_hand_sides.size() < n)
        {
          std::array<double, 4> a;
          for (auto &coefficient : a)
            coefficient = std::exp(numbers());
          const double beta   = 1. + 0.5 * numbers();
          const double source = 30. * (1. + 0.5 * numbers());
          ++n_problems;

          VectorType u(problem.right_hand_side);
          u            = 0.;
          double first = 0.;
          while (sequence.right_hand_sides.size() < n)
            {
              problem.relevant_solution = u;
              std::vector<double>       u_q(problem.quadrature.size());
              std::vector<Tensor<1, 2>> grad_q(problem.quadrature.size());
              problem.assemble(
                [&](const auto &values, auto &matrix, auto &vector) {
                  values.get_function_values(problem.relevant_solution, u_q);
                  values.get_function_gradients(problem.relevant_solution,
                                                grad_q);
                  for (const unsigned int q : values.quadrature_point_indices())
                    {
                      const auto   p = values.quadrature_point(q);
                      const double c = a[(p[0] > 0.5) + 2 * (p[1] > 0.5)];
                      const double conductivity =
                        c * (1. + beta * u_q[q] * u_q[q]);
                      const double derivative = 2. * c * beta * u_q[q];
                      for (const unsigned int r : values.dof_indices())
                        {
                          for (const unsigned int s : values.dof_indices())
                            matrix(r, s) +=
                              values.JxW(q) *
                              (values.shape_grad(r, q) *
                               (conductivity * values.shape_grad(s, q) +
                                derivative * values.shape_value(s, q) *
                                  grad_q[q]));
                          vector(r) +=
                            values.JxW(q) *
                            (source * values.shape_value(r, q) -
                             conductivity *
                               (grad_q[q] * values.shape_grad(r, q)));
                        }
                    }
                });
              const double norm = problem.right_hand_side.l2_norm();
              if (first == 0.)
                first = norm;
              if (norm < 1e-8 * first)
                break;
              problem.add_to(sequence, true);
              u += problem.solve();
            }
        }
      sequence.description +=
        fmt::format(", {} nonlinear problems", n_problems);
    }

    /** f(p) = p */
    class Identity : public TensorFunction<1, 3>
    {
    public:
      Tensor<1, 3>
      value(const Point<3> &p) const override
      {
        return p;
      }
    };

    void
    make_elasticity(SystemSequence    &sequence,
                    const unsigned int level,
                    const unsigned int n)
    {
      Discretisation<3> problem(FESystem<3>(FE_Q<3>(1), 3),
                                {2., 1., 1.},
                                level - 1,
                                true);
      Numbers           numbers;
      for (unsigned int i = 0; i < n; ++i)
        {
          std::array<double, 8> stiffness;
          for (auto &value : stiffness)
            value = std::exp(numbers());
          Tensor<1, 3> load;
          for (unsigned int d = 0; d < 3; ++d)
            load[d] = numbers();
          problem.assemble([&](const auto &values, auto &matrix, auto &vector) {
            const auto &fe = values.get_fe();
            for (const unsigned int q : values.quadrature_point_indices())
              {
                const auto   p = values.quadrature_point(q);
                const double mu =
                  stiffness[(p[0] > 1.) + 2 * (p[1] > 0.5) + 4 * (p[2] > 0.5)];
                const double lambda = 1.5 * mu; // Poisson's ratio 0.3
                for (const unsigned int r : values.dof_indices())
                  {
                    const unsigned int c =
                      fe.system_to_component_index(r).first;
                    const auto gr = values.shape_grad(r, q);
                    for (const unsigned int s : values.dof_indices())
                      {
                        const unsigned int d =
                          fe.system_to_component_index(s).first;
                        const auto gs = values.shape_grad(s, q);
                        matrix(r, s) +=
                          values.JxW(q) *
                          (lambda * gr[c] * gs[d] + mu * gr[d] * gs[c] +
                           (c == d ? mu * (gr * gs) : 0.));
                      }
                    if (p[0] > 1.5)
                      vector(r) +=
                        values.JxW(q) * load[c] * values.shape_value(r, q);
                  }
              }
          });
          problem.add_to(sequence, true);
        }

      // What algebraic multigrid is told of elasticity: the motions of rigid
      // bodies, which follow from where the nodes are.
      VectorType places(problem.right_hand_side);
      VectorTools::interpolate(problem.dof_handler,
                               VectorFunctionFromTensorFunction<3>(Identity()),
                               places);
      Vec copy;
      check(VecDuplicate(places, &copy));
      check(VecCopy(places, copy));
      check(VecSetBlockSize(copy, 3));
      MatNullSpace rigid;
      check(MatNullSpaceCreateRigidBody(copy, &rigid));
      for (const Mat matrix : sequence.matrices)
        {
          check(MatSetBlockSize(matrix, 3));
          check(MatSetNearNullSpace(matrix, rigid));
        }
      check(MatNullSpaceDestroy(&rigid));
      check(VecDestroy(&copy));
    }

    struct Maker
    {
      std::string name;
      bool        symmetric;
      void (*make)(SystemSequence &, const unsigned int, const unsigned int);
    };

    const std::vector<Maker> makers = {{"sweep", true, make_sweep},
                                       {"heat", true, make_heat},
                                       {"newton", false, make_newton},
                                       {"elasticity", true, make_elasticity}};
  } // namespace



  std::vector<std::string>
  sequence_names()
  {
    std::vector<std::string> names;
    for (const auto &maker : makers)
      names.push_back(maker.name);
    return names;
  }



  std::unique_ptr<SystemSequence>
  make_sequence(const std::string &name,
                const unsigned int level,
                const unsigned int n_systems)
  {
    for (const auto &maker : makers)
      if (maker.name == name)
        {
          auto sequence =
            std::make_unique<SystemSequence>(name, maker.symmetric);
          maker.make(*sequence, level, n_systems);
          return sequence;
        }
    throw std::invalid_argument("there is no sequence '" + name + "'");
  }
} // namespace neuraldeal::performance
