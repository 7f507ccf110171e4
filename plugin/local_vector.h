// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_local_vector_h
#define neuraldeal_plugin_local_vector_h

#include <deal.II/lac/block_vector.h>
#include <deal.II/lac/block_vector_base.h>
#include <deal.II/lac/la_parallel_block_vector.h>
#include <deal.II/lac/petsc_block_vector.h>
#include <deal.II/lac/trilinos_parallel_block_vector.h>

#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/coupling/vector_access.h>
#include <neuraldeal/plugin/operator_reference.h>
#include <neuraldeal/plugin/solution_space.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <vector>

/**
 * @file
 * Between deal.II's vectors and the arrays of owned values that
 * SolutionSpace works with.
 */
namespace neuraldeal
{
  /** The processes that share @p vector, which has a block if it has any. */
  template <typename VectorType>
  MPI_Comm
  communicator_of(const VectorType &vector)
  {
    if constexpr (dealii::IsBlockVector<VectorType>::value)
      return communicator_of(vector.block(0));
    else if constexpr (std::is_same_v<VectorType, dealii::Vector<double>>)
      return MPI_COMM_SELF;
    else
      return compat::communicator(vector);
  }

  /** The rank of this process. */
  inline unsigned int
  process_number(const MPI_Comm communicator)
  {
    int rank;
    MPI_Comm_rank(communicator, &rank);
    return rank;
  }

  /** Number of values of @p vector that this process owns. */
  template <typename VectorType>
  std::size_t
  n_local_values(const VectorType &vector)
  {
    if constexpr (dealii::IsBlockVector<VectorType>::value)
      {
        std::size_t n = 0;
        for (unsigned int b = 0; b < vector.n_blocks(); ++b)
          n += n_local_values(vector.block(b));
        return n;
      }
    else
      return vector.locally_owned_elements().n_elements();
  }

  /**
   * Copy the values of @p vector that this process owns, block by block, to
   * @p values.
   */
  template <typename VectorType>
  void
  get_local_values(const VectorType &vector, double *values)
  {
    if constexpr (dealii::IsBlockVector<VectorType>::value)
      for (unsigned int b = 0; b < vector.n_blocks(); ++b)
        {
          get_local_values(vector.block(b), values);
          values += n_local_values(vector.block(b));
        }
    else
      read_local(vector, [&](const double *begin) {
        std::copy_n(begin, n_local_values(vector), values);
      });
  }

  /** The values of @p vector that this process owns. */
  template <typename VectorType>
  std::vector<double>
  local_values(const VectorType &vector)
  {
    std::vector<double> values(n_local_values(vector));
    get_local_values(vector, values.data());
    return values;
  }

  /** Set the values of @p vector that this process owns. */
  template <typename VectorType>
  void
  set_local_values(VectorType &vector, const double *values)
  {
    if constexpr (dealii::IsBlockVector<VectorType>::value)
      for (unsigned int b = 0; b < vector.n_blocks(); ++b)
        {
          set_local_values(vector.block(b), values);
          values += n_local_values(vector.block(b));
        }
    else
      write_local(vector, [&](double *begin) {
        std::copy_n(values, n_local_values(vector), begin);
      });
  }

  /** The sum over the processes of @p communicator. */
  inline LocalSystem::Sum
  sum_over(const MPI_Comm communicator)
  {
    return [communicator](double *numbers, const int n) {
      MPI_Allreduce(
        MPI_IN_PLACE, numbers, n, MPI_DOUBLE, MPI_SUM, communicator);
    };
  }

  /**
   * The product with @p matrix on arrays, through two vectors like
   * @p example.
   */
  template <typename VectorType>
  LocalSystem::Apply
  apply_to_arrays(const OperatorReference<VectorType> &matrix,
                  const VectorType                    &example)
  {
    const auto source      = std::make_shared<VectorType>(example);
    const auto destination = std::make_shared<VectorType>(example);
    return [=](double *dst, const double *src) {
      set_local_values(*source, src);
      matrix.vmult(*destination, *source);
      get_local_values(*destination, dst);
    };
  }
} // namespace neuraldeal

#endif
