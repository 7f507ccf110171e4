// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_point_fields_h
#define neuraldeal_surrogates_operators_point_fields_h

#include <neuraldeal/surrogates/operators/neural_operator.h>

#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * The points of a grid that spans the unit box, ends included, in the order
   * of its values (the last direction runs fastest).
   * @param sizes s_1, …, s_d.
   * @param options type and device of the result.
   * @return [s_1·…·s_d, d]
   */
  torch::Tensor
  grid_points(const at::IntArrayRef sizes, const torch::TensorOptions &options);



  /** An OperatorInput on a grid or at points, as values at points. */
  struct PointFields
  {
    /**
     * @param operator_name who asks, for error messages.
     * @throw InputError if the tensors of @p input do not belong to each other
     * or to @p shape.
     */
    PointFields(const OperatorInput &input,
                const OperatorShape &shape,
                const std::string   &operator_name);

    /**
     * Values, then coordinates, [n, P, in + dim]; zero in masked points,
     * whatever had been there.
     */
    torch::Tensor features;

    /** Truth values, [n, P], or not defined: all points count. */
    torch::Tensor mask;

    /** s_1, …, s_d; empty at points that are not a grid. */
    std::vector<std::int64_t> grid;

    /**
     * From [n, P, out] to the layout of the fields that came in; from
     * [members, n, P, out] to that of several members.
     */
    torch::Tensor
    like_input(const torch::Tensor &rows) const;
  };



  /** Where the output is wanted, by operators that give it anywhere. */
  struct OutputPoints
  {
    /**
     * The points of @p input, which need not be those of its fields, or those
     * of its grid.
     * @throw InputError for points that do not fit @p shape, and without points
     * for fields that are not on a grid.
     */
    OutputPoints(const OperatorInput        &input,
                 const OperatorShape        &shape,
                 const torch::TensorOptions &options,
                 const std::string          &operator_name);

    torch::Tensor             coordinates; ///< [Q, d] or [n, Q, d]
    std::vector<std::int64_t> field_shape; ///< [n, out, Q] or [n, out, s …]
  };



  /** @throw InputError unless @p fields are [n, in, …] with at least one
   * further index. */
  void
  check_fields(const torch::Tensor &fields,
               const OperatorShape &shape,
               const std::string   &operator_name);

  /** @throw InputError unless @p points are [P, dim] or [n, P, dim] with
   * @p n_samples = n. */
  void
  check_points(const torch::Tensor &points,
               const long           n_samples,
               const OperatorShape &shape,
               const std::string   &operator_name);

  /** "[2, 3]", or "not defined". */
  std::string
  shape_of(const torch::Tensor &tensor);
} // namespace neuraldeal

#endif
