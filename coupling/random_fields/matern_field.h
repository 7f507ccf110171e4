// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_random_fields_matern_field_h
#define neuraldeal_coupling_random_fields_matern_field_h

#include <deal.II/lac/trilinos_precondition.h>
#include <deal.II/lac/trilinos_sparse_matrix.h>

#include <neuraldeal/coupling/random_fields/random_field.h>

#include <array>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Gaussian fields with mean zero and Matérn's covariance
   *   C(r) = σ² 2^{1−ν}/Γ(ν) (κr)^ν K_ν(κr)
   * as solutions of (κ² − Δ)^{α/2} (τ u) = W with white noise W and
   * α = ν + d/2 (Lindgren, Rue and Lindström, J. R. Stat. Soc. B 73, 2011,
   * equations 1 and 2), discretized by the finite elements of the host. For
   * even α that is k = α/2 solves with A = κ² M + K: A u_1 = w, A u_j = M
   * u_{j−1}, u = u_k/τ, where w has the mass matrix M as its covariance.
   *
   * The noise of a cell T is ∑_q φ_i(x_q) √(w_q |J_q|) ξ_q with one standard
   * normal number at each of its quadrature points. Its covariance is the
   * cell's mass matrix by that quadrature, on curved cells as well, without
   * the cell's Cholesky factor that Croci, Giles, Rognes and Farrell (SIAM J.
   * Sci. Comput. 40, 2018) take. The numbers are functions of (seed, stream,
   * index) and the cell's CellId: no partition changes them, nor does
   * refinement elsewhere. (The CellId of a cell below several coarse ones is
   * another one in a mesh by p4est than in a serial one.)
   *
   * The mesh has to resolve the length ρ: with linear cells of ρ/6 the variance
   * is 3 % off for ν = 1, 1 % for ν = 3; with ρ/8, 4 % for ν = 1/2 in 3d.
   *
   * At the boundary the equation knows nothing of what would be outside.
   * Zero flux ("Neumann") makes the variance too large there: along a plane
   * boundary by the factor 1 + C(2x)/C(0) at the distance x, 2 on it and 2^d
   * in a corner. "Robin" is ∂u/∂n + κ/1.42 u = 0 (Roininen, Huttunen and
   * Lasanen, Inverse Probl. Imaging 8, 2014; the number is that of hIPPYlib),
   * meant for α = 2: it leaves 0.91 σ² and 0.95 σ² there in 2d, for α = 4 only
   * 0.45 and 0.23. This, or a mesh's error, goes by "normalisation samples":
   * the field is divided by the standard deviation of so many at each support
   * point, which has the relative error 1/√(2n).
   *
   * The covariance is applied to a functional by apply_covariance(), without
   * any samples.
   */
  template <int dim>
  class MaternField : public RandomField<dim>
  {
  public:
    using Vector = typename RandomField<dim>::Vector;

    struct AdditionalData
    {
      /**
       * √(8ν)/κ, in units of the mesh: the distance at which the correlation
       * is close to 0.14 whatever the smoothness (0.1353, 0.1397, 0.1382,
       * 0.1353 for ν = 1/2, 1, 3, ∞).
       */
      double correlation_length = 0.2;

      double standard_deviation = 1.; ///< σ, in units of the field

      /** ν: 1, 3, 5 in 2d; 1/2, 5/2, 9/2 in 3d; 0 is the smallest of them. */
      double smoothness = 0.;

      std::string boundary = "Robin"; ///< or "Neumann"

      /** Samples that normalise the variance; 0: it is left as it is. */
      unsigned int n_normalisation_samples = 0;

      /** Relative residual of each solve. */
      double tolerance = 1e-10;

      std::string source = "the program"; ///< for error messages
    };

    /**
     * Assemble, set the preconditioner up, and normalise. Collective.
     * @throw InputError for values that are not as above, on all ranks.
     */
    MaternField(const dealii::DoFHandler<dim> &dof_handler,
                const dealii::Mapping<dim>    &mapping,
                const AdditionalData          &data,
                const FieldTransform          &transform = {});

    /** κ, in one over units of the mesh. */
    double
    inverse_length() const
    {
      return kappa;
    }

    /** How many numbers this rank's cells take to make a sample. */
    std::size_t
    n_local_noise() const
    {
      return weights.size();
    }

    /**
     * The linear map from noise to the field, of which the product with its
     * transpose is the covariance. Collective.
     * @param noise [n_local_noise()]: a number for each quadrature point of
     * each locally owned cell, in the order of the cells.
     * @param field as RandomField::make_vector() has it; set.
     */
    void
    apply_noise(const std::vector<double> &noise, Vector &field) const;

    /**
     * The covariance operator of the discrete field, applied to a functional:
     * entry i of @p result is the covariance of the field's value i with the
     * functional of the field. Collective.
     * @param functional with zeros at the hanging nodes, as
     * AffineConstraints::distribute_local_to_global() leaves them.
     */
    void
    apply_covariance(const Vector &functional, Vector &result) const;

    /** Iterations of the last solve. */
    unsigned int
    last_iterations() const
    {
      return n_iterations;
    }

  protected:
    virtual void
    gaussian(const std::uint64_t         seed,
             const CounterRandom::Stream stream,
             const std::uint64_t         index,
             Vector                     &field) const override;

  private:
    /** Noise number @p index; @p purpose keeps unrelated sequences apart. */
    std::vector<double>
    make_noise(const std::uint32_t         purpose,
               const std::uint64_t         seed,
               const CounterRandom::Stream stream,
               const std::uint64_t         index) const;

    /** Check @p data, which gives κ, 1/τ and the number of solves. */
    void
    check(const AdditionalData &data);

    /** A, M, and the weights at the quadrature points. */
    void
    assemble(const dealii::Mapping<dim> &mapping, const double robin);

    /** A⁻¹ of @p right_hand_side, zero at the hanging nodes. */
    void
    solve(const Vector &right_hand_side, Vector &solution) const;

    /** The same @p n_solves times, with M in between. */
    void
    solve_all(const Vector &right_hand_side, Vector &solution) const;

    void
    normalise(const double standard_deviation, const unsigned int n_samples);

    double       kappa, inverse_tau, tolerance;
    unsigned int n_solves;

    dealii::TrilinosWrappers::SparseMatrix    matrix, mass;
    dealii::TrilinosWrappers::PreconditionAMG preconditioner;

    /** √(w_q |J_q|), and φ_i(x_q) [q][i], which all cells share. */
    std::vector<double>              weights;
    std::vector<std::vector<double>> shape_values;

    /** The CellIds of the locally owned cells, as counters. */
    std::vector<std::array<std::uint32_t, 4>> cell_names;

    /** What normalises each value; empty where nothing does. */
    Vector scale;

    mutable unsigned int n_iterations = 0;
  };
} // namespace neuraldeal

#endif
