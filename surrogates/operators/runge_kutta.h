// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_operators_runge_kutta_h
#define neuraldeal_surrogates_operators_runge_kutta_h

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * The explicit Runge–Kutta method of order five with an embedded one of
   * order four (Dormand and Prince, J. Comput. Appl. Math. 6, 1980) for
   *   z' = f(z, t)
   * with a tensor z of any shape. The solution of order five goes on, and its
   * difference to the one of order four is the estimate of the error of a
   * step. The slope at the end of a step is the one at the start of the next,
   * so that a step costs six evaluations of f.
   *
   * Steps are chosen so that the norm of the estimate, each entry divided by
   * absolute tolerance + relative tolerance · |z|, is below one: the first by
   * Hairer, Nørsett and Wanner, *Solving Ordinary Differential Equations I*,
   * 1993, section II.4, the others by the PI controller of Hairer and Wanner,
   * *Solving Ordinary Differential Equations II*, 1996, section IV.2. All of
   * the tensor advances by one step size. Whether a step is accepted is
   * decided on the host: on a GPU it waits once a step, and an integration
   * cannot be recorded in a graph.
   *
   * What autograd records are the accepted steps with their sizes as
   * constants, as long as recording is on.
   */
  class DormandPrince
  {
  public:
    using RightHandSide =
      std::function<torch::Tensor(const torch::Tensor &z, const double t)>;

    /**
     * The norm that steps are controlled in, of the errors in units of what is
     * tolerated; a tensor of one entry.
     */
    using Norm = std::function<torch::Tensor(const torch::Tensor &)>;

    struct Parameters
    {
      double relative_tolerance = 1e-4;
      double absolute_tolerance = 1e-6;

      /** Of accepted and rejected ones together. */
      long max_steps = 1000;
    };

    /** One step. */
    struct Step
    {
      torch::Tensor end;   ///< z(t + h), of order five
      torch::Tensor error; ///< minus that of order four
      torch::Tensor slope; ///< f(end, t + h)
    };

    /** How an integration has gone, for the next one to go on. */
    struct Course
    {
      /** Size of a step to start with; zero for one that has to be found. */
      double step = 0;

      long n_accepted    = 0;
      long n_rejected    = 0;
      long n_evaluations = 0; ///< of f
    };

    /**
     * @param source who integrates, for error messages.
     * @param norm for tensors [rows, …] the largest root mean square of a row
     * where none is given: however many samples stand side by side, each of
     * them is as accurate as it would be alone.
     */
    DormandPrince(const Parameters  &parameters,
                  const std::string &source,
                  const Norm        &norm = {});

    /**
     * One step of size @p h, negative to go back.
     * @param slope f(@p z, @p t)
     */
    static Step
    step(const RightHandSide &f,
         const torch::Tensor &z,
         const double         t,
         const double         h,
         const torch::Tensor &slope);

    /**
     * The solution at @p times, in which steps end.
     * @param z the solution at time @p begin. What is not a number in it has no
     * influence on the step size, and does not become one.
     * @param times ascending from @p begin on, or descending.
     * @param course is read and updated; the limit on steps holds for all
     * integrations together that it has seen.
     * @throw InputError where that limit is reached, or the steps become too
     * small for the time to go on.
     */
    std::vector<torch::Tensor>
    integrate(const RightHandSide       &f,
              const torch::Tensor       &z,
              const double               begin,
              const std::vector<double> &times,
              Course                    &course) const;

  private:
    /** The size of @p errors where @p z and, if defined, @p other is. */
    double
    size_of(const torch::Tensor &errors,
            const torch::Tensor &z,
            const torch::Tensor &other,
            const torch::Tensor &ignored) const;

    double
    first_step(const RightHandSide &f,
               const torch::Tensor &z,
               const double         t,
               const double         direction,
               const torch::Tensor &slope,
               const torch::Tensor &ignored) const;

    const Parameters  parameters;
    const std::string source;
    const Norm        norm;
  };
} // namespace neuraldeal

#endif
