// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_coupling_spaces_h
#define neuraldeal_tests_coupling_spaces_h

#include <deal.II/base/function.h>
#include <deal.II/base/index_set.h>

#include <deal.II/distributed/tria.h>

#include <deal.II/dofs/dof_handler.h>
#include <deal.II/dofs/dof_renumbering.h>
#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe.h>
#include <deal.II/fe/mapping_q1.h>

#include <deal.II/grid/grid_generator.h>

#include <deal.II/lac/affine_constraints.h>
#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <deal.II/numerics/vector_tools_boundary.h>

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/random.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>

/** Distributed finite element spaces on adaptively refined meshes. */
namespace Spaces
{
  using namespace dealii;

  using VectorTypes =
    ::testing::Types<Vector<double>,
                     LinearAlgebra::distributed::Vector<double>,
                     TrilinosWrappers::MPI::Vector,
                     PETScWrappers::MPI::Vector>;

  /** The ranks over which a vector can be distributed. */
  template <typename VectorType>
  MPI_Comm
  communicator_for()
  {
    return std::is_same_v<VectorType, Vector<double>> ? MPI_COMM_SELF :
                                                        MPI_COMM_WORLD;
  }

  enum class Mesh
  {
    cube,    ///< one coarse cell, [0, 1]^dim
    l_shape, ///< several, [−1, 1]^dim without one of its 2^dim parts
    bricks   ///< many, [0, 1]^dim in three parts each way
  };

  template <int dim>
  void
  make_mesh(const Mesh                                 mesh,
            const unsigned int                         n_refinements,
            parallel::distributed::Triangulation<dim> &triangulation)
  {
    if (mesh == Mesh::cube)
      GridGenerator::hyper_cube(triangulation);
    else if (mesh == Mesh::l_shape)
      GridGenerator::hyper_L(triangulation);
    else
      GridGenerator::subdivided_hyper_cube(triangulation, 3);
    triangulation.refine_global(n_refinements);
    // Twice finer towards a point within, so that cells of three levels meet
    // on the boundary as well as inside.
    for (unsigned int i = 0; i < 2; ++i)
      {
        for (const auto &cell : triangulation.active_cell_iterators())
          if (cell->is_locally_owned())
            {
              auto distance = cell->center();
              distance[0] -= 0.4;
              distance[1] += 0.1;
              if (distance.norm() < 0.5 - 0.2 * i)
                cell->set_refine_flag();
            }
        triangulation.execute_coarsening_and_refinement();
      }
  }

  /** On the boundary all components are 1 + x_0 + 2 x_1. */
  template <int dim>
  class BoundaryValues : public Function<dim>
  {
  public:
    explicit BoundaryValues(const unsigned int n_components)
      : Function<dim>(n_components)
    {}

    double
    value(const Point<dim> &p, const unsigned int = 0) const override
    {
      return 1. + p[0] + 2. * p[1];
    }
  };

  template <int dim>
  class Space
  {
  public:
    parallel::distributed::Triangulation<dim> triangulation;
    std::unique_ptr<FiniteElement<dim>>       fe;
    DoFHandler<dim>                           dof_handler;
    IndexSet                                  relevant;
    AffineConstraints<double>                 hanging_nodes; ///< these alone
    AffineConstraints<double> constraints; ///< and boundary values

    Space(const MPI_Comm            communicator,
          const Mesh                mesh,
          const unsigned int        n_refinements,
          const FiniteElement<dim> &element,
          const bool                renumber = false)
      : triangulation(communicator)
      , fe(element.clone())
      , dof_handler(triangulation)
    {
      make_mesh(mesh, n_refinements, triangulation);
      dof_handler.distribute_dofs(*fe);
      if (renumber)
        DoFRenumbering::Cuthill_McKee(dof_handler);
      DoFTools::extract_locally_relevant_dofs(dof_handler, relevant);
      for (auto *const all : {&hanging_nodes, &constraints})
        {
          all->reinit(relevant);
          DoFTools::make_hanging_node_constraints(dof_handler, *all);
        }
      VectorTools::interpolate_boundary_values(
        dof_handler, 0, BoundaryValues<dim>(fe->n_components()), constraints);
      hanging_nodes.close();
      constraints.close();
    }

    MPI_Comm
    communicator() const
    {
      return triangulation.get_communicator();
    }

    template <typename VectorType>
    VectorType
    make_vector() const
    {
      VectorType x;
      if constexpr (std::is_same_v<VectorType, Vector<double>>)
        x.reinit(dof_handler.n_dofs());
      else
        x.reinit(dof_handler.locally_owned_dofs(), communicator());
      return x;
    }

    /** Set the owned entries to a function of their number. */
    template <typename VectorType>
    void
    fill(VectorType &x, const std::function<double(unsigned int)> &value) const
    {
      for (const auto i : dof_handler.locally_owned_dofs())
        x(i) = value(i);
      x.compress(VectorOperation::insert);
    }

    /** Set the values at the support points, by component. */
    template <typename VectorType>
    void
    interpolate(VectorType &x,
                const std::function<double(const Point<dim> &, unsigned int)>
                  &value) const
    {
      std::map<types::global_dof_index, Point<dim>> points;
      DoFTools::map_dofs_to_support_points(MappingQ1<dim>(),
                                           dof_handler,
                                           points);
      std::map<types::global_dof_index, unsigned int> components;
      std::vector<types::global_dof_index> dofs(fe->n_dofs_per_cell());
      for (const auto &cell : dof_handler.active_cell_iterators())
        if (cell->is_locally_owned())
          {
            cell->get_dof_indices(dofs);
            for (unsigned int i = 0; i < dofs.size(); ++i)
              components[dofs[i]] = fe->system_to_component_index(i).first;
          }
      fill(x, [&](const unsigned int i) {
        return value(points.at(i), components.at(i));
      });
    }

    /** A copy that every rank can read at its cells. */
    template <typename VectorType>
    LinearAlgebra::distributed::Vector<double>
    with_ghosts(const VectorType &x) const
    {
      LinearAlgebra::distributed::Vector<double> result(
        dof_handler.locally_owned_dofs(), relevant, communicator());
      for (const auto i : dof_handler.locally_owned_dofs())
        result(i) = x(i);
      result.update_ghost_values();
      return result;
    }
  };

  /** A number in [−1, 1] without a pattern. */
  inline double
  noise(const unsigned int i)
  {
    using namespace neuraldeal;
    return 2. * CounterRandom(1, CounterRandom::Stream::check, i).uniform() -
           1.;
  }
} // namespace Spaces

#endif
