// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_active_learning_problems_h
#define neuraldeal_tests_performance_active_learning_problems_h

#include <neuraldeal/coupling/full_order_model.h>
#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/coupling/mpi_tools.h>

#include <functional>
#include <string>
#include <vector>

namespace neuraldeal::performance
{
  /**
   * A problem of the benchmark of active learning: inputs by their
   * distribution, and a solve of a few milliseconds on one core.
   */
  struct ActiveLearningProblem
  {
    /** What a solve gives. */
    struct Solution
    {
      torch::Tensor values;    ///< [N] float64
      torch::Tensor prior;     ///< the coarse solution, [N] or undefined
      double        cost = 1.; ///< of the solve, counted: steps or iterations
    };

    std::string       name;
    std::string       description;
    InputDistribution inputs;

    /** Weights of the discrete L² norm of a field, [N] float64. */
    torch::Tensor weights;

    /** A function of the input alone. */
    std::function<Solution(const Input &input)> solve;
  };

  /** The names of the problems there are. */
  std::vector<std::string>
  active_learning_problems();

  /**
   * The problem called @p name:
   *
   *   thermal-block       the thermal block of examples/thermal_block, ten
   *                       inputs, on 8³ cells, with its solution on 4³ cells
   *                       as the prior
   *   darcy               −∇·(a ∇u) = 1 on 32² cells, a = 12 where a Gaussian
   *                       field of covariance (−Δ + 9)^−2, by 16 cosines, is
   *                       at least zero, else 3; their coefficients are the
   *                       inputs
   *   burgers             u_t + u u_x = ν u_xx, periodic, at time 1/2 on 64
   *                       cells of degree 2; inputs are ν (log-uniform), the
   *                       mean of u(0), and its coefficients of the first two
   *                       frequencies
   *   convection          what comes in is carried away, on 32² cells: inputs
   *                       are the diffusion (log-uniform), the direction of the
   *                       flow, the place of a step on the boundary and the
   *                       value before it
   *   burgers-uniform, layer
   *                       the last two with a uniform viscosity or diffusion,
   *                       and a ramp instead of the step: what is hard is in a
   *                       small part of the inputs
   *
   * @throw InputError for another name.
   */
  ActiveLearningProblem
  make_active_learning_problem(const std::string &name);

  /**
   * Inputs of a problem that are solved once and for all, and their solutions.
   */
  struct ActiveLearningSet
  {
    enum class Kind
    {
      test,           ///< independent draws
      pool,           ///< others, the candidates
      sobol,          ///< Sobol's sequence, scrambled with `seed`
      latin_hypercube ///< of all `n` points, with `seed`
    };

    Kind          kind;
    std::uint64_t seed;
    std::int64_t  n;

    /** "sobol seed 1", "latin hypercube seed 1 of 128", … */
    std::string
    name() const;
  };

  /** Which sets are solved of each problem; those of `quick` are smaller. */
  std::vector<ActiveLearningSet>
  active_learning_sets(const bool quick);

  /**
   * Solve all sets of @p problem and write them into @p folder, where they are
   * not there already: ModelFile with "inputs" [S, d], "values" [S, N], where
   * there is one "prior" [S, N], "cost" [S], "weights" [N], and in the
   * metadata "sets", names with the "begin" and the number "n" of their rows.
   * Collective.
   * @return the file's name.
   */
  std::string
  write_active_learning_data(const ActiveLearningProblem &problem,
                             const std::string           &folder,
                             const bool                   quick,
                             const ProcessGroups         &ranks);
} // namespace neuraldeal::performance

#endif
