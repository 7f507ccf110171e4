// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_solution_space_h
#define neuraldeal_plugin_solution_space_h

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace neuraldeal
{
  class PiecewiseCoarseSpace;
  struct LocalMatrix;

  /** What is known of the matrix of a linear system. */
  enum class Symmetry
  {
    automatic, ///< look at the matrix, projected onto what was learned
    definite,  ///< symmetric and positive definite, as CG needs it
    general    ///< anything else
  };

  /**
   * One process's share of a linear system A x = b, as plain arrays: the
   * values of the unknowns that this process owns.
   */
  struct LocalSystem
  {
    /** Replace the @p n numbers by their sums over all processes. */
    using Sum = std::function<void(double *numbers, const int n)>;

    /** Multiply with a matrix (collective). */
    using Apply = std::function<void(double *dst, const double *src)>;

    /** A number or two that change whenever the matrix does. */
    using Version = std::pair<std::uint64_t, std::uint64_t>;

    Apply         apply;
    Sum           sum;
    const double *right_hand_side = nullptr;
    Symmetry      symmetry        = Symmetry::automatic;

    /** With a version products with the matrix are kept; zeros: without. */
    Version matrix_version = {0, 0};

    /** The number of this process. */
    unsigned int process = 0;

    /** This process's rows of the matrix, where they can be read. */
    const LocalMatrix *rows = nullptr;
  };

  /**
   * The rows of a matrix that have nothing but their diagonal entry: those
   * of Dirichlet and of hanging nodes.
   *
   * They matter because a program may have cleared such rows without
   * clearing the columns (`MatrixTools::apply_boundary_values` with
   * `eliminate_columns = false`). That matrix is not symmetric, and CG works
   * with it only from a start whose residual in these rows is zero. A start
   * must therefore solve them exactly, and a direction be zero there.
   *
   * They are found with two products, which any operator offers: a row is
   * decoupled if A z is the same multiple of z there for two random z.
   */
  class DecoupledRows
  {
  public:
    /**
     * Those of the matrix @p apply, of which this process, with the number
     * @p process, has @p n_local rows. Collective.
     */
    void
    find(const LocalSystem::Apply &apply,
         const std::size_t         n_local,
         const unsigned int        process);

    /** Those of the rows @p matrix, by looking at them. Not collective. */
    void
    find(const LocalMatrix &matrix);

    /** For each of @p n_local rows whether it is one of these. */
    std::vector<bool>
    marks(const std::size_t n_local) const;

    /** Set the entries of @p x in these rows to zero. */
    void
    clear_entries(double *x) const
    {
      for (const auto &[row, entry] : rows)
        x[row] = 0.;
    }

    /** Set the entries of @p x in these rows to those of @p y. */
    void
    copy(double *x, const double *y) const
    {
      for (const auto &[row, entry] : rows)
        x[row] = y[row];
    }

    /** Solve the equations of these rows, but for those that are 0 = b. */
    void
    solve(double *x, const double *b) const
    {
      for (const auto &[row, entry] : rows)
        if (entry != 0.)
          x[row] = b[row] / entry;
    }

  private:
    std::vector<std::pair<std::size_t, double>> rows; ///< and diagonal entries
  };

  /** How a start for a Krylov method was found, see SolutionSpace. */
  struct Projection
  {
    enum class Method
    {
      none,         ///< the start is the host's own
      galerkin,     ///< Galerkin projection
      least_squares ///< smallest residual
    };

    Method       method    = Method::none;
    unsigned int dimension = 0; ///< of the space that was searched

    /**
     * Residual norms of the host's own start (see SolutionSpace::project())
     * and of the start returned; where the dimension is positive.
     */
    double host_residual = 0., residual = 0.;

    /** Products with the matrix that this took. */
    unsigned int n_matrix_products = 0;
  };

  /**
   * The space spanned by past solutions, as an orthonormal basis of bounded
   * size, and the best start for the next solve in it.
   *
   * The coefficients of the start are found with the matrix of the system
   * that is to be solved, so that no earlier matrix need resemble it: the
   * Galerkin projection Vᵀ A V c = Vᵀ b if A is symmetric positive definite
   * (V c then is the point of span V nearest to the solution in the energy
   * norm, in which CG converges), the smallest residual ‖b − A V c‖ if not.
   * This is the projection of Fischer, "Projection techniques for iterative
   * solution of Ax = b with successive right-hand sides" (Comput. Methods
   * Appl. Mech. Engrg. 163, 1998), for a matrix that changes as well. It
   * takes one product with A per direction.
   *
   * When the basis is full it makes room by dropping the direction in which
   * past solutions have the least energy, with solutions counted less the
   * older they are: the covariance S ← γ S + c cᵀ of their coefficients is
   * kept, and a Householder reflection turns the eigenvector of its smallest
   * eigenvalue into the last direction (incremental proper orthogonal
   * decomposition; see Brand, "Fast low-rank modifications of the thin
   * singular value decomposition", Linear Algebra Appl. 415, 2006).
   *
   * Where the rows of a matrix that changes can be read, the directions are
   * also cut into pieces, see PiecewiseCoarseSpace: that space is larger, and
   * its products cost less than one with each direction. The best point in it
   * becomes one more direction; where it says it all, the products with the
   * others are saved.
   *
   * Nothing here knows a vector class, MPI or any library: arrays hold the
   * values owned by this process, sums over processes are handed in. All
   * functions that take a LocalSystem or a sum are collective, and take the
   * same decisions on all processes because they see the same sums.
   */
  class SolutionSpace
  {
  public:
    /** Values of the owned unknowns. */
    using Array = std::vector<double>;

    /**
     * @param n_local number of unknowns of this process.
     * @param max_size largest number of directions.
     * @param forgetting weight γ of the past whenever a solution is learned,
     * in (0, 1].
     */
    SolutionSpace(const std::size_t  n_local,
                  const unsigned int max_size,
                  const double       forgetting);

    ~SolutionSpace();

    /**
     * Learn the solution @p x.
     * @return whether it was of use: not zero and finite.
     */
    bool
    learn(const double *x, const LocalSystem::Sum &sum);

    /**
     * Replace the host's own start @p x by the best one in the span of what
     * was learned, @p x and the @p candidates (predictions, say; those with
     * values that are not finite are left out).
     *
     * "Best" is the lowest energy ½ xᵀ A x − bᵀ x for a definite matrix, the
     * smallest residual for a general one. In that measure the result must
     * be finite, better than the host's start (with its decoupled rows
     * solved) and no worse than zero, or it is thrown away and @p x stays as
     * it is. With Symmetry::automatic, a Galerkin projection must pass in
     * both measures.
     */
    Projection
    project(const LocalSystem                 &system,
            const std::vector<const double *> &candidates,
            double                            *x);

    /** What the pieces are for: their size and number of modes. */
    enum class Pieces
    {
      start,         ///< few and accurate ones
      preconditioner ///< many small ones, as they are applied often
    };

    /**
     * What was learned, cut into pieces, with this matrix of the version
     * @p version: kept as long as neither changes much.
     * @return none if nothing was learned, the matrix is singular there, or
     * there are too few unknowns to be cut.
     */
    std::shared_ptr<const PiecewiseCoarseSpace>
    pieces(const LocalMatrix          &matrix,
           const LocalSystem::Version &version,
           const Symmetry              symmetry,
           const Pieces                purpose);

    unsigned int
    max_n_directions() const
    {
      return max_size;
    }

    /** The orthonormal directions. */
    const std::vector<Array> &
    directions() const
    {
      return basis;
    }

    std::size_t
    n_local() const
    {
      return n;
    }

    /** Number of solutions learned. */
    std::uint64_t
    n_learned() const
    {
      return learned;
    }

  private:
    /**
     * Make @p direction orthonormal to the basis and to @p others.
     * @return its coefficients in both, and last the norm of what is new in
     * it; zero if that is less than @p threshold times its norm, or if that
     * norm is zero or not finite.
     */
    Array
    orthonormalize(Array                    &direction,
                   const std::vector<Array> &others,
                   const double              threshold,
                   const LocalSystem::Sum   &sum) const;

    /** Drop the direction of least energy. */
    void
    drop_one();

    /** Small square matrices of products of directions, row by row. */
    struct SquareMatrix
    {
      Array       values;
      std::size_t size = 0;

      /** Keep what fits; what is new is zero. */
      void
      resize(const std::size_t new_size);

      /** Multiply from both sides with I − w wᵀ. */
      void
      reflect(const Array &w);
    };

    /**
     * All sums over processes of a @p u times a @p v, the first of which are
     * @p known. As many again as there are directions in the basis become
     * known.
     */
    Array
    all_products(SquareMatrix                      &known,
                 const std::vector<const double *> &u,
                 const std::vector<const double *> &v,
                 const LocalSystem::Sum            &sum) const;

    const std::size_t  n;
    const unsigned int max_size;
    const double       forgetting;
    std::uint64_t      learned = 0;

    std::vector<Array> basis;      ///< V
    SquareMatrix       covariance; ///< S

    struct Cut
    {
      std::shared_ptr<PiecewiseCoarseSpace> space;
      bool                                  usable  = false;
      LocalSystem::Version                  version = {0, 0};
      std::uint64_t next_modes = 0; ///< when so much was learned
    };
    Cut cuts[2]; ///< for either purpose

    /**
     * For how many more solves the directions as a whole are left out, as
     * they have added little to the pieces, and for how many next time.
     */
    unsigned int n_pauses = 0, next_pause = 1;

    /** What is known of the matrix of this version, for the first few V. */
    LocalSystem::Version version = {0, 0};
    DecoupledRows        decoupled;
    std::vector<Array>   products;        ///< W = A V
    SquareMatrix         galerkin_matrix; ///< Vᵀ W
    SquareMatrix         normal_matrix;   ///< Wᵀ W
  };

  /**
   * The inverse of a small symmetric positive semidefinite matrix in the
   * span of the eigenvectors whose eigenvalues are not just rounding, zero
   * in the others.
   * @param matrix row by row.
   * @param definite set to whether no eigenvalue is clearly negative.
   */
  std::vector<double>
  pseudo_inverse(const std::vector<double> &matrix, bool &definite);

  /** The small matrix @p matrix, row by row, times @p x. */
  std::vector<double>
  multiply(const std::vector<double> &matrix, const std::vector<double> &x);

  /**
   * The part of this process of all inner products of one of the arrays
   * @p u with one of @p v, of length @p n, row by row.
   */
  std::vector<double>
  inner_products(const std::vector<const double *> &u,
                 const std::vector<const double *> &v,
                 const std::size_t                  n);

  /** Add @p factor Σ_j coefficients_j v_j to @p x, of length @p n. */
  void
  add_combination(double                            *x,
                  const double                       factor,
                  const std::vector<const double *> &v,
                  const std::vector<double>         &coefficients,
                  const std::size_t                  n);
} // namespace neuraldeal

#endif
