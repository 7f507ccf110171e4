// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_local_vector_h
#define neuraldeal_plugin_local_vector_h

#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/coupling/vector_access.h>
#include <neuraldeal/plugin/operator_reference.h>
#include <neuraldeal/plugin/solution_space.h>

#include <algorithm>
#include <memory>
#include <vector>

/**
 * @file
 * Between deal.II's vectors and the arrays of owned values that
 * SolutionSpace works with.
 */
namespace neuraldeal
{
  /** The processes that share @p vector. */
  template <typename VectorType>
  MPI_Comm
  communicator_of(const VectorType &vector)
  {
    if constexpr (std::is_same_v<VectorType, dealii::Vector<double>>)
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

  /** The values of @p vector that this process owns. */
  template <typename VectorType>
  std::vector<double>
  local_values(const VectorType &vector)
  {
    std::vector<double> values(vector.locally_owned_elements().n_elements());
    read_local(vector, [&](const double *begin) {
      std::copy_n(begin, values.size(), values.begin());
    });
    return values;
  }

  /** Set the values of @p vector that this process owns. */
  template <typename VectorType>
  void
  set_local_values(VectorType &vector, const std::vector<double> &values)
  {
    write_local(vector, [&](double *begin) {
      std::copy(values.begin(), values.end(), begin);
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
    const auto n           = example.locally_owned_elements().n_elements();
    return [=](double *dst, const double *src) {
      write_local(*source, [&](double *begin) { std::copy_n(src, n, begin); });
      matrix.vmult(*destination, *source);
      read_local(*destination,
                 [&](const double *begin) { std::copy_n(begin, n, dst); });
    };
  }
} // namespace neuraldeal

#endif
