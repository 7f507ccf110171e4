// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_norms_h
#define neuraldeal_surrogates_training_norms_h

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * The square of a norm of every sample, [n, c, …] → [n], differentiable.
   * Those below add up the channels.
   */
  using SquaredNorm = std::function<torch::Tensor(const torch::Tensor &fields)>;

  /**
   * The mean of |v|² over the points: the square of the L2 norm where all
   * points stand for equally much.
   */
  SquaredNorm
  mean_square();

  /**
   * vᵀ A v with a symmetric positive semidefinite matrix A: the square of the
   * L2 norm for a mass matrix (FieldSpace::mass), of the energy norm for a
   * stiffness matrix.
   *
   * @param matrix sparse (COO), [N, N], or the diagonal of a diagonal matrix,
   * [N], as lumping leaves of a mass matrix. N is either the number of points
   * (every channel is multiplied by A) or that of all values of a sample, those
   * of the first channel first. Points are in the order of the memory, the last
   * direction of a grid fastest. What is in another type or on another device
   * than the fields is copied anew at every evaluation.
   * @param source, @param name where the matrix comes from and what it is
   * called, for error messages.
   * @throw InputError for a matrix that is not square, not symmetric, not
   * sparse, or has a negative diagonal; and, at evaluation, for fields of
   * another size.
   */
  SquaredNorm
  quadratic_form(const torch::Tensor &matrix,
                 const std::string   &source = "the program",
                 const std::string   &name   = "the matrix");

  /** The sum of @p a and @p weight times @p b. */
  SquaredNorm
  sum(const SquaredNorm &a, const double weight, const SquaredNorm &b);

  /**
   * ∫ |v|² + γ |∇v|² on a regular grid in one, two or three directions, with
   * the trapezoidal rule and differences along the edges of the grid: the
   * derivative in direction j is (v_{i+1} − v_i)/h_j in the middle of every
   * edge, integrated by the midpoint rule in direction j and the trapezoidal
   * one in the others. This is the form of (bi-, tri-)linear finite elements
   * with nodal quadrature. It is of second order up to the boundary, without
   * one-sided differences there, and it sees every oscillation, while central
   * differences over 2h take a field that changes its sign from point to point
   * for a constant.
   *
   * @param gradient_weight γ, in units of a length squared.
   * @param periodic whether the last point of a direction has the first one as
   * its neighbour.
   * @param spacing h_1, …, h_d; if empty, the grid spans the unit box:
   * 1/(s − 1) for s points, 1/s if it is periodic (where a grid does not hold
   * the same point twice).
   * @param source for error messages.
   * @throw InputError at evaluation, where the fields are not on a grid of as
   * many directions, or on one with a single point in a direction.
   */
  SquaredNorm
  grid_h1(const double               gradient_weight = 1.,
          const bool                 periodic        = false,
          const std::vector<double> &spacing         = {},
          const std::string         &source          = "the program");

  /**
   * The root of a squared norm, with the derivative zero in place of infinity
   * where it is zero. Squares below the smallest number of single precision,
   * 1e-38, count as zero, and so do those that rounding has made negative.
   */
  torch::Tensor
  root(const torch::Tensor &squares);
} // namespace neuraldeal

#endif
