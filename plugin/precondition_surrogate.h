// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_precondition_surrogate_h
#define neuraldeal_plugin_precondition_surrogate_h

#include <mpi.h>
#include <neuraldeal/plugin/operator_reference.h>
#include <neuraldeal/plugin/solution_space.h>

#include <functional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * A learned operator N, which maps right-hand sides to what it takes for
   * solutions, in front of any preconditioner M of the host's: for flexible
   * Krylov methods alone, as N need be neither linear nor symmetric.
   * @code
   * PreconditionSurrogate<VectorType> preconditioner(A, amg, network, x);
   * SolverFGMRES<VectorType>(control).solve(A, x, b, preconditioner);
   * @endcode
   * Of r it makes
   * @f[ ‖r‖ (α z + M (s − α A z)), \quad s = r/‖r‖, \quad z = N(s), \quad
   *     α = \frac{s^T A z}{‖A z‖^2}, @f]
   * with the α of the smallest remainder. What the network does well, smooth
   * and global, is taken away first, and M does what is left: the
   * multiplicative composition of Kopaničáková and Karniadakis, "DeepONet
   * based preconditioning strategies for solving parametric linear systems of
   * equations" (SIAM J. Sci. Comput. 47, 2025), whose smoother is M here. N
   * sees vectors of norm one only, so that it has no scales to learn, and
   * with α its own scale does not matter.
   *
   * Where N throws on any process, gives values that are not finite, or takes
   * less than `minimum_gain` away, M alone is applied. N is then left in peace
   * for the next application, and each time that this happens again for twice
   * as many, up to 32: a bad one costs little.
   *
   * An application costs a product with the matrix and four sums over the
   * processes beyond N and M.
   */
  template <typename VectorType>
  class PreconditionSurrogate
  {
  public:
    /**
     * Set @p x, which is zero, to an approximation of the solution for the
     * right-hand side @p b of norm one. Collective.
     */
    using LearnedInverse =
      std::function<void(VectorType &x, const VectorType &b)>;

    struct AdditionalData
    {
      /** @throw InputError if @p minimum_gain is not in [0, 1). */
      explicit AdditionalData(const double minimum_gain = 0.1);

      /** Part of ‖s‖² = 1 that the multiple of A z has to take away. */
      double minimum_gain;
    };

    /** What has happened so far. */
    struct Report
    {
      unsigned int n_applications = 0; ///< of the preconditioner
      unsigned int n_evaluations  = 0; ///< of the learned operator
      unsigned int n_used         = 0; ///< those that were of use
      std::string  failure; ///< why the last one that was not was left out
    };

    /**
     * @param matrix,inner,learned_inverse A, M and N.
     * @param x any vector of the system.
     * The first two must outlive this object.
     */
    PreconditionSurrogate(const OperatorReference<VectorType> &matrix,
                          const OperatorReference<VectorType> &inner,
                          const LearnedInverse                &learned_inverse,
                          const VectorType                    &x,
                          const AdditionalData &data = AdditionalData());

    /** Apply the preconditioner. Collective. */
    void
    vmult(VectorType &dst, const VectorType &src) const;

    const Report &
    report() const
    {
      return history;
    }

  private:
    const MPI_Comm           communicator;
    const LocalSystem::Apply matrix, inner;
    const LocalSystem::Sum   sum;
    const LearnedInverse     learned_inverse;
    const AdditionalData     data;

    mutable Report       history;
    mutable unsigned int n_to_skip = 0, last_skip = 0;

    /**
     * Set @p z to N(@p s) and @p product to A z. All values are those of this
     * process.
     * @return α, or zero where N is of no use; then `history` says why.
     */
    double
    evaluate(const VectorType          &example,
             const std::vector<double> &s,
             std::vector<double>       &z,
             std::vector<double>       &product) const;
  };
} // namespace neuraldeal

#endif
