// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_uncertainty_data_h
#define neuraldeal_tests_performance_uncertainty_data_h

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace neuraldeal::performance
{
  /**
   * Samples whose inputs have one distribution: that of the samples to train
   * with, or another one, which was shifted away from it.
   */
  struct UncertaintySet
  {
    enum class Kind
    {
      training,
      /** Independent, of the same distribution. */
      held_out,
      /** The correlation length 1/τ of the inputs is multiplied. */
      shorter,
      /** Their amplitude is multiplied; see UncertaintyProblem::Equation. */
      larger
    };

    std::string name;
    Kind        kind;

    /** What is multiplied is multiplied with this; 1 where nothing is. */
    double factor;

    std::int64_t  n_samples;
    std::uint64_t seed;

    /** Whether the distribution is another one than that of the training. */
    bool
    is_shifted() const
    {
      return kind == Kind::shorter || kind == Kind::larger;
    }

    /** What the correlation length is multiplied with. */
    double
    length_factor() const
    {
      return kind == Kind::shorter ? factor : 1.;
    }

    /** What the amplitude is multiplied with. */
    double
    amplitude_factor() const
    {
      return kind == Kind::larger ? factor : 1.;
    }
  };



  /** One of the problems of the benchmark: its equation and its sets. */
  struct UncertaintyProblem
  {
    /** What maps inputs to solutions. g are Gaussian random fields. */
    enum class Equation
    {
      /**
       * −∇·(a ∇u) = 1 on the unit square, u = 0 on its boundary (see
       * DarcyProblem), with the input a = 12 where g ≥ 0, and 3 elsewhere;
       * g with covariance (−Δ + 3²)⁻² (see DarcyField). In the "larger" sets
       * the values are 6 · 2^f and 6 · 2^−f, f the factor: the distance of
       * log a from that of the geometric mean is multiplied.
       */
      darcy,
      /**
       * The same with the input a = exp(σ g), σ = 1, and g divided by the root
       * of its variance, which is a mean over the square
       * (DarcyField::mean_variance()). In the "larger" sets σ is multiplied.
       */
      log_normal,
      /**
       * u_t + u u_x = 0.01 u_xx on the unit interval, periodic. The input is
       * u(0), Gaussian with mean zero, covariance proportional to
       * (−d²/dx² + 5²)⁻² and the standard deviation 0.5 (see PeriodicField),
       * which is multiplied in the "larger" sets. The solution is u at the
       * times 0.1, 0.2, …, 1.
       */
      burgers
    };

    /**
     * "darcy" and "log-normal" on 64² cells, with 1024 samples to train with,
     * "burgers" on 512 cells, with 250 of them and 128 points kept; 600
     * held-out samples, and 100 in each of eight shifted sets: "shorter 0.8",
     * "shorter 0.6", "shorter 0.4", "shorter 0.25", "larger 1.25",
     * "larger 1.5", "larger 2", "larger 3".
     * @throw InputError for other names.
     */
    static UncertaintyProblem
    by_name(const std::string &name);

    std::string name;
    Equation    equation;

    /** Cells along an edge of the mesh. */
    unsigned int n_cells;

    /** Points kept along an edge. */
    unsigned int n_points;

    std::vector<UncertaintySet> sets;

    /** Samples that are solved between two writes to the disk. */
    std::int64_t block_size = 100;

    /** The times at which solutions of Burgers' equation are kept. */
    static constexpr unsigned int n_times  = 10;
    static constexpr double       interval = 0.1;

    /** [1, n, n] or [1, n]. */
    std::vector<std::int64_t>
    input_shape() const;

    /** [1, n, n] or [10, n]. */
    std::vector<std::int64_t>
    solution_shape() const;

    /** The files that hold the samples in @p folder. */
    std::string
    filename(const std::string &folder, const bool shifted) const;

    /** The sets that one of the files holds, in this order. */
    std::vector<UncertaintySet>
    sets_of_file(const bool shifted) const;
  };



  /**
   * The data of the benchmark of uncertainty: samples of three problems
   * (UncertaintyProblem), in distribution and shifted away from it. They
   * stand in two ModelFiles a problem,
   * `uncertainty-PROBLEM-training.safetensors` with the training and the
   * held-out samples, `uncertainty-PROBLEM-shifted.safetensors` with all
   * others, one set behind the other in each, with the tensors
   *
   * - `input` of "log-normal" [m, 1, n, n], of "burgers" [m, 1, n] float32; of
   *   "darcy" [m, ⌈n² / 8⌉] uint8, packed as pack_coefficient() does,
   * - `solution` of "darcy" and "log-normal" [m, 1, n, n], of "burgers"
   *   [m, 10, n] float32: its channels are the times.
   *
   * The points of the square are the centres of n × n cells, rows along y,
   * columns along x; those of the interval are i / n, i = 0, …, n − 1. n is 64
   * there, and 128 here. u(0) has the frequencies below 64 alone, so that its
   * values in these points determine it.
   *
   * Metadata: `problem`; `n_points` n; `n_cells` along an edge of the mesh;
   * `sets`: an array of what stands in the file, each with `name`, `kind`
   * ("training", "held-out", "shorter", "larger"), `factor`, `samples`,
   * `seed`, `seconds`: the mean processor time of a solve on one core, and for
   * "darcy" `values`: what unset and set bits mean; `description` and `solver`
   * in words.
   */
  struct UncertaintyData
  {
    /** The samples of a set. */
    struct Set : public UncertaintySet
    {
      torch::Tensor input;    ///< [m, 1, n, n] or [m, 1, n] float32
      torch::Tensor solution; ///< [m, 1, n, n] or [m, 10, n] float32

      /** Mean processor time of a solve in seconds. */
      double seconds;
    };

    /**
     * Read both files of the problem called @p problem from @p folder.
     * @throw InputError where there is no such problem.
     * @throw FileError where a file is absent, something else, or damaged.
     */
    static UncertaintyData
    read(const std::string &folder, const std::string &problem);

    /**
     * The set called @p name.
     * @throw InputError where there is none.
     */
    const Set &
    set(const std::string &name) const;

    std::string name; ///< of the problem

    /** In the order in which they stand in the files, the training first. */
    std::vector<Set> sets;
  };

  /** The word for @p kind in a file. */
  std::string
  to_string(const UncertaintySet::Kind kind);
} // namespace neuraldeal::performance

#endif
