// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_coarse_space_h
#define neuraldeal_plugin_coarse_space_h

#include <mpi.h>
#include <neuraldeal/plugin/solution_space.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace neuraldeal
{
  /**
   * One process's rows of a sparse matrix, as arrays of another library that
   * are only looked at.
   */
  struct LocalMatrix
  {
    /** Some of the columns of all rows, compressed by rows. */
    struct Block
    {
      const int    *starts; ///< as many as there are rows, and one more
      const int    *columns;
      const double *values;

      /**
       * What to add to a column to get its number: that of an unknown of
       * this process if it is less than their number n, and that of ghost
       * number i if it is n + i.
       */
      int offset;
    };

    std::size_t        n_rows = 0;
    std::vector<Block> blocks;

    /** The owner of each ghost, and its number among the owner's unknowns. */
    std::vector<std::pair<int, int>> ghosts;

    /** All processes that have rows. */
    MPI_Comm communicator = MPI_COMM_SELF;
  };

  /**
   * A space of few dimensions, the range of P, and the matrix A on it:
   * E = Pᵀ A P. All functions but add() and add_product() are collective.
   */
  class CoarseSpace
  {
  public:
    virtual ~CoarseSpace() = default;

    /** E⁻¹ Pᵀ r */
    virtual std::vector<double>
    solve(const double *r) const = 0;

    /** E⁻¹ (A P)ᵀ y */
    virtual std::vector<double>
    solve_transposed(const double *y) const = 0;

    /** x += factor P c */
    virtual void
    add(double *x, const double factor, const std::vector<double> &c) const = 0;

    /** x += factor A P c, in the rows that are not decoupled. */
    virtual void
    add_product(double                    *x,
                const double               factor,
                const std::vector<double> &c) const = 0;

    /** The number of columns of P. */
    virtual unsigned int
    size() const = 0;
  };

  /**
   * The span of past solutions, cut into pieces: a coarse space P whose
   * columns are the leading modes of past solutions on each of many small
   * sets of neighbouring unknowns, zero elsewhere. Where the solutions
   * themselves span what has been seen, these span what has been seen
   * anywhere, put together anew in each place: so few solutions say more,
   * and what the preconditioner sees as slow is in the span, for the price
   * of a sparse matrix.
   *
   * Sets are made of the graph of the matrix, on each process for itself.
   * It is the prolongation of adaptive aggregation (Brezina, Falgout,
   * MacLachlan, Manteuffel, McCormick, Ruge, "Adaptive smoothed aggregation
   * (αSA)", SIAM J. Sci. Comput. 25, 2004, without the smoothing) with modes
   * by proper orthogonal decomposition of what a program has solved before.
   *
   * With E = Pᵀ A P, factorised on all processes. Functions are collective.
   */
  class PiecewiseCoarseSpace : public CoarseSpace
  {
  public:
    /**
     * @param matrix for the graph.
     * @param is_decoupled those rows in which P is to be zero.
     * @param n_sets number of sets, of all processes; there may be fewer.
     */
    PiecewiseCoarseSpace(const LocalMatrix       &matrix,
                         const std::vector<bool> &is_decoupled,
                         const unsigned int       n_sets);

    /** Whether this is for the graph of @p matrix and these rows. */
    bool
    fits(const LocalMatrix       &matrix,
         const std::vector<bool> &is_decoupled) const;

    /**
     * Take the leading modes, @p n_modes in each set, of what has the
     * covariance V S Vᵀ.
     * @param directions the columns of V, arrays of owned values.
     * @param root a matrix L with S = L Lᵀ, row by row.
     * @param n_modes a multiple of four.
     */
    void
    set_modes(const std::vector<const double *> &directions,
              const std::vector<double>         &root,
              const unsigned int                 n_modes);

    /**
     * A P and the factors of E for this matrix, of the same graph: those of
     * Cholesky if it is definite, or E turns out symmetric.
     * @return whether E could be factorised.
     */
    bool
    set_matrix(const LocalMatrix &matrix, const Symmetry symmetry);

    /** Whether the factors are those of Cholesky. */
    bool
    is_definite() const
    {
      return symmetric;
    }

    std::vector<double>
    solve(const double *r) const override;

    std::vector<double>
    solve_transposed(const double *y) const override;

    void
    add(double                    *x,
        const double               factor,
        const std::vector<double> &c) const override;

    void
    add_product(double                    *x,
                const double               factor,
                const std::vector<double> &c) const override;

    unsigned int
    size() const override
    {
      return n_all_sets * k;
    }

  private:
    /** E⁻¹ times the sum of the @p c of all processes. */
    std::vector<double>
    coarse_solve(std::vector<double> c) const;

    /** Of all @p blocks of E. */
    bool
    is_symmetric(const std::vector<double> &blocks) const;

    const MPI_Comm      communicator;
    const std::size_t   n;
    const std::uint64_t fingerprint;
    unsigned int        first_set = 0, n_all_sets = 0;
    unsigned int        k = 0;

    /**
     * The unknowns in the order of their sets, and for each unknown and ghost
     * its place in that order: what is in no set comes last, ghosts after.
     */
    std::vector<int>         rows;
    std::vector<int>         place;
    std::vector<int>         set_of;     ///< of places, or -1
    std::vector<std::size_t> set_starts; ///< of own sets, in @p rows
    std::vector<double>      modes;      ///< P, k numbers a place

    // Ghosts: which rows to send to whom, and where those received go.
    std::vector<int> send_counts, receive_counts, send_places, receive_places;

    /**
     * A P: for each place the part in its own set, after which come the parts
     * in other sets; and to which part each entry of the matrix adds.
     */
    struct Part
    {
      int place, set, block;
    };
    std::vector<Part>             other_parts;
    std::vector<std::vector<int>> part_of_entry; ///< for each block
    std::vector<double>           parts;         ///< k numbers each

    /** E by blocks of k² numbers: rows and columns of sets. */
    std::vector<std::pair<int, int>> own_blocks, all_blocks;
    std::vector<int>                 block_counts;
    std::vector<int>                 order; ///< of the sets in the band
    unsigned int                     set_band = 0, band = 0;
    bool                             symmetric = true;
    std::vector<double>              factors;
    std::vector<int>                 pivots;
  };
} // namespace neuraldeal

#endif
