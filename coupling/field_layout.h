// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_field_layout_h
#define neuraldeal_coupling_field_layout_h

#include <deal.II/base/tensor.h>

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/fe/mapping.h>

#include <deal.II/lac/affine_constraints.h>
#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/trilinos_sparse_matrix.h>
#include <deal.II/lac/trilinos_vector.h>

#include <neuraldeal/coupling/torch_interface.h>

#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * A symmetry of the host's problem: where the parameters are permuted,
   * new[k] = old[parameters[k]], the solution at x is the old one at
   * matrix · x + offset.
   */
  template <int dim>
  struct GeometricSymmetry
  {
    dealii::Tensor<2, dim>    matrix;
    dealii::Tensor<1, dim>    offset;
    std::vector<unsigned int> parameters;
  };

  /**
   * How fields of a finite element space become rows of tensors, and back.
   *
   * The values are numbered canonically: in the order in which a walk over
   * the cells along p4est's space-filling curve meets them. That order does
   * not depend on the number of ranks, and each rank's values are a
   * contiguous range of it, so that a distributed field is written to a file
   * without any communication. The numbering of deal.II is a permutation of
   * it within each rank.
   */
  class FieldLayout
  {
  public:
    /**
     * @param dof_handler of a scalar or vector-valued Lagrange element, with
     * a contiguous range of numbers on each rank. The layout does not refer
     * to it after construction.
     * @param constraints hanging nodes and boundary values, imposed on every
     * field that comes from a tensor. Referred to.
     * @param symmetries of the problem besides the identity; together with
     * it they have to form a group.
     */
    template <int dim>
    FieldLayout(const dealii::DoFHandler<dim>             &dof_handler,
                const dealii::AffineConstraints<double>   &constraints,
                const std::vector<GeometricSymmetry<dim>> &symmetries = {});

    /** The same on curved cells: support points and norm by @p mapping. */
    template <int dim>
    FieldLayout(const dealii::DoFHandler<dim>             &dof_handler,
                const dealii::Mapping<dim>                &mapping,
                const dealii::AffineConstraints<double>   &constraints,
                const std::vector<GeometricSymmetry<dim>> &symmetries = {});

    /** Number of values of a field on all ranks, and on this one. */
    long
    n_values() const
    {
      return n_global;
    }

    long
    n_local_values() const
    {
      return local_index.size();
    }

    /** The first of this rank's canonical numbers. */
    long
    first_value() const
    {
      return first;
    }

    /** This rank's part of whole fields, […, n_values()]. */
    torch::Tensor
    local_part(const torch::Tensor &fields) const
    {
      return fields.slice(-1, first, first + n_local_values());
    }

    /** This rank's values in canonical order, [n_local_values()]. */
    template <typename VectorType>
    torch::Tensor
    to_tensor(const VectorType &field) const;

    /** The inverse of to_tensor(); the constraints hold afterwards. */
    template <typename VectorType>
    void
    from_tensor(const torch::Tensor &values, VectorType &field) const;

    /** The L² norm of a field. */
    template <typename VectorType>
    double
    norm(const VectorType &field) const;

    /**
     * The product of the mass matrix, that of the L² norm, with a field.
     * @param values this rank's in canonical order, [n_local_values()]; so is
     * the result. Collective.
     */
    torch::Tensor
    apply_mass(const torch::Tensor &values) const;

    MPI_Comm
    communicator() const
    {
      return mpi_communicator;
    }

    /** A hash of the points and the element, the same on all ranks. */
    std::uint64_t
    hash() const
    {
      return points_hash;
    }

    /** Write `space.h5` of a snapshot store; see SnapshotReader. */
    void
    write(const std::string              &filename,
          const std::string              &problem,
          const std::vector<std::string> &parameter_names) const;

  private:
    MPI_Comm      mpi_communicator;
    long          n_global = 0, first = 0;
    unsigned int  spacedim    = 0;
    std::uint64_t points_hash = 0;

    /** Canonical order → place among the locally owned entries. */
    std::vector<unsigned int> local_index;

    std::vector<double> points; ///< [n_local, dim], canonical order

    const dealii::AffineConstraints<double> *constraints;

    dealii::IndexSet                       owned;
    dealii::TrilinosWrappers::SparseMatrix mass;

    /**
     * The canonical number of every locally relevant degree of freedom
     * (doubles hold integers up to 2^53 exactly).
     */
    dealii::LinearAlgebra::distributed::Vector<double> canonical;

    /** The symmetries without the identity. */
    std::vector<std::vector<double>>       symmetry_matrices;
    std::vector<std::vector<double>>       symmetry_offsets;
    std::vector<std::vector<std::int64_t>> symmetry_parameters;
  };
} // namespace neuraldeal

#endif
