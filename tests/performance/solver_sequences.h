// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_solver_sequences_h
#define neuraldeal_tests_performance_solver_sequences_h

#include <petscksp.h>

#include <memory>
#include <string>
#include <vector>

namespace neuraldeal::performance
{
  /**
   * The linear systems that a program solves one after the other, made
   * beforehand so that every solver gets the same ones, whatever the others
   * have returned. Rows of Dirichlet nodes are decoupled; matrices of one
   * sequence have one sparsity pattern.
   */
  class SystemSequence
  {
  public:
    SystemSequence(const std::string &name, const bool symmetric);

    SystemSequence(const SystemSequence &) = delete;

    ~SystemSequence();

    const std::string name;

    /** Symmetric and positive definite: CG, else GMRES. */
    const bool symmetric;

    /** One for each system, or one for all. */
    std::vector<Mat> matrices;
    std::vector<Vec> right_hand_sides;

    /** "1234 unknowns" and what else describes it. */
    std::string description;

    Mat
    matrix(const std::size_t i) const
    {
      return matrices[matrices.size() == 1 ? 0 : i];
    }
  };

  /** The names of the sequences that make_sequence() knows. */
  std::vector<std::string>
  sequence_names();

  /**
   * Make @p n_systems systems on 2^@p level cells in each direction:
   * - "sweep": −∇·(a ∇u) = 1 on the unit square, u = 0 on its boundary, with
   *   a coefficient a that is the exponential of a random field with ten
   *   independent terms, drawn anew for each system;
   * - "heat": implicit Euler steps of u' − Δu = f on the unit square with a
   *   source f that moves about;
   * - "newton": the steps of Newton's method for −∇·((1 + β u²) a ∇u) = f with
   *   random β, f and a constant in each quarter, each from zero, until the
   *   residual is 1e-8 of the first;
   * - "elasticity": a cantilever in 3d, with a stiffness of each of its eight
   *   eighths and a load on its end that are drawn anew for each system.
   */
  std::unique_ptr<SystemSequence>
  make_sequence(const std::string &name,
                const unsigned int level,
                const unsigned int n_systems);
} // namespace neuraldeal::performance

#endif
