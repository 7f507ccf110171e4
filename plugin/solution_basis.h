// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_solution_basis_h
#define neuraldeal_plugin_solution_basis_h

#include <mpi.h>
#include <neuraldeal/plugin/operator_reference.h>
#include <neuraldeal/plugin/solution_space.h>

#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * What past solutions say of the next one: SolutionSpace for deal.II's
   * vectors, where the method is explained.
   *
   * Implemented for Vector<double> (one process),
   * LinearAlgebra::distributed::Vector<double>,
   * TrilinosWrappers::MPI::Vector and PETScWrappers::MPI::Vector, and for the
   * block vectors of these, without ghost entries. A vector of another size, or
   * distributed differently, makes the basis forget everything. All functions
   * that take a vector are collective over the processes that share it.
   */
  template <typename VectorType>
  class SolutionBasis
  {
  public:
    struct AdditionalData
    {
      /**
       * @throw InputError naming the entry if @p max_size is zero or
       * @p forgetting not in (0, 1].
       */
      explicit AdditionalData(const unsigned int max_size        = 20,
                              const bool         constant_matrix = false,
                              const double       forgetting      = 0.5);

      /**
       * Number of vectors that are kept. A guess costs one product with the
       * matrix for each, and the memory of twice as many.
       */
      unsigned int max_size;

      /**
       * Whether all systems have the same matrix (time steps of a linear
       * problem), so that its products with the basis can be kept.
       */
      bool constant_matrix;

      /** How much the past counts at each new solution. */
      double forgetting;

      bool
      operator!=(const AdditionalData &other) const;
    };

    /** Without solutions. */
    SolutionBasis(const AdditionalData &data = AdditionalData());

    /**
     * Learn the solution @p x.
     * @return whether it was of use: not zero and finite.
     */
    bool
    learn(const VectorType &x);

    /**
     * Replace the start @p x of a solver for A x = @p b by a better one, from
     * the span of the solutions learned, of @p x and of @p candidates.
     * SolutionSpace::project() says what better means, and that @p x is left
     * as it is if there is nothing better.
     *
     * @param matrix anything with vmult().
     */
    Projection
    guess(const OperatorReference<VectorType>   &matrix,
          const VectorType                      &b,
          VectorType                            &x,
          const Symmetry                         symmetry = Symmetry::automatic,
          const std::vector<const VectorType *> &candidates = {});

    /** Number of directions. */
    unsigned int
    size() const;

    /** Forget everything. */
    void
    clear();

    /** The space itself, or nothing before the first solution. */
    const SolutionSpace *
    solution_space() const
    {
      return space.get();
    }

    /**
     * The basis called @p name of this program for systems with solutions
     * like @p x, for those who have no place of their own to keep one. A
     * few of the last used sizes are kept for each name. One with other
     * @p data begins anew.
     */
    static std::shared_ptr<SolutionBasis>
    shared(const std::string    &name,
           const VectorType     &x,
           const AdditionalData &data = AdditionalData());

  private:
    /** A space for vectors like @p x; agreed upon by their processes. */
    void
    reinit(const VectorType &x);

    const AdditionalData           data;
    std::unique_ptr<SolutionSpace> space;
  };
} // namespace neuraldeal

#endif
