// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_no_u_turn_sampler_h
#define neuraldeal_surrogates_uncertainty_no_u_turn_sampler_h

#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/registry.h>
#include <neuraldeal/surrogates/uncertainty/hamiltonian.h>
#include <neuraldeal/surrogates/uncertainty/log_density.h>

#include <functional>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Samples from a probability density by Hamiltonian Monte Carlo without
   * U-turns: the reference that cheaper methods are judged by, for as many
   * dimensions as one has patience for.
   *
   * A transition draws a momentum, then follows the Hamiltonian trajectory
   * forward and back in time, doubling it until it, or one of its parts that
   * are doublings themselves, begins to return (Hoffman and Gelman, JMLR 15,
   * 2014, arXiv:1111.4246). The sample is drawn from all points of the
   * trajectory with weights exp(−energy), where the later doubling is
   * preferred; a trajectory returns when the sum of its momenta points away
   * from the velocity at one of its ends (Betancourt, arXiv:1701.02434,
   * appendix A.3 and A.4.2). That is asked as well of each of two halves with
   * the first point of the other, without which trajectories of half a period
   * may be overlooked.
   *
   * In the warm-up, step sizes follow the dual averaging of Hoffman and
   * Gelman, section 3.2, and the metric the samples of windows of growing
   * length, as in Stan (reference manual, "HMC algorithm parameters"; see
   * adaptation_windows()). Variances v from n samples are regularised to
   *   n/(n + 5) v + 5/(n + 5) · 10⁻³ v̄,
   * with their geometric mean v̄ where Stan has one, so that nothing depends
   * on the units. Every chain adapts by itself.
   *
   * Where the density is zero, or no number comes out, a trajectory ends and
   * the point is not taken. Everything random is a function of the seed, the
   * number of the chain and the number of the transition: a chain is the same
   * bit for bit beside any others, and after it has been stopped and has gone
   * on from a file.
   */
  class NoUTurnSampler
  {
  public:
    /** See descriptions(), where each is explained. */
    struct Parameters
    {
      long          warm_up           = 1000;
      long          samples           = 1000;
      double        target_acceptance = 0.8;
      long          max_depth         = 10;
      double        max_energy_error  = 1000;
      std::string   metric            = "diagonal";
      double        step_size         = 0;
      long          first_chain       = 0;
      std::uint64_t seed              = 1;
    };

    /** How a JSON file names them. */
    static std::vector<ParameterDescription>
    descriptions();

    /**
     * From a JSON object, over the defaults.
     * @param source where it comes from, for error messages.
     */
    static Parameters
    parse(const nlohmann::json &given, const std::string &source);

    /**
     * @param log_density what is sampled from.
     * @param start [chains, d] float64: a row for the first point of each
     * chain. R̂ can tell that chains have not found the same if they start
     * farther from each other than the density is wide; see scattered().
     * @throw InputError for parameters out of range, or where the density or
     * its gradient is not finite in a row of @p start.
     */
    NoUTurnSampler(const LogDensity    &log_density,
                   const torch::Tensor &start,
                   const Parameters    &parameters);

    /**
     * Points to start from, [n, d]: uniform in a cube of half the width
     * @p radius around @p center, [d]. Those where the density is zero or its
     * gradient not finite are drawn again.
     * @throw InputError where a hundred points in a row are.
     */
    static torch::Tensor
    scattered(const LogDensity    &log_density,
              const torch::Tensor &center,
              const double         radius,
              const long           n,
              const std::uint64_t  seed);

    /**
     * A transition of every chain. If the log density throws, all is as after
     * the last transition of each chain, and a further call goes on there.
     * @return whether there is another one to come.
     */
    bool
    step();

    /**
     * All that remain.
     * @param progress whether to show how far it has come.
     * @param should_stop asked after each step.
     */
    void
    run(const bool                   progress    = false,
        const std::function<bool()> &should_stop = {});

    /** What has been found after the warm-up, by n transitions a chain. */
    struct Samples
    {
      torch::Tensor values;      ///< [chains, n, d] float64
      torch::Tensor log_density; ///< [chains, n] float64
      torch::Tensor energy;      ///< [chains, n], of the sample with momentum

      /**
       * [chains, n], mean of min(1, exp(−energy error)) over the trajectory:
       * what the step size is adapted to.
       */
      torch::Tensor acceptance;

      torch::Tensor depth;   ///< [chains, n] int64, number of doublings
      torch::Tensor n_steps; ///< [chains, n] int64, of the leapfrog method

      /**
       * [chains, n] uint8: whether the trajectory ended for its energy was
       * wrong by more than `max_energy_error`. The step is too large there,
       * and samples nearby are fewer than they should be.
       */
      torch::Tensor divergent;

      /** [chains, n] uint8: whether it ended where the density is zero. */
      torch::Tensor outside;

      torch::Tensor step_size; ///< [chains] float64

      /** Σ of the metric, [chains, d] or [chains, d, d]. */
      torch::Tensor metric;
    };

    /** They share memory with this object, which does not change them. */
    Samples
    samples() const;

    /** Transitions of each chain that have been made, warm-up included. */
    long
    n_done() const;

    /** Evaluations of the log density by this object. */
    long
    n_evaluations() const;

    /** Everything that is needed to go on. */
    void
    save(ModelFile &file) const;

    /**
     * Go on where save() was called, with the same density and the same
     * parameters; the number of samples may be another one. The points to
     * start from do not matter then.
     * @throw FileError where something else was sampled, or otherwise.
     */
    void
    load(const ModelFile &file);

    /**
     * When the metric is adapted in a warm-up of @p n transitions: the first
     * number is the transition that the first window begins with, the others
     * one past the last of each window, where the next one begins. As in Stan,
     * 75 transitions before them and 50 behind adapt the step size alone (in
     * short warm-ups 15 % and 10 %), windows double from 25 on, and one that
     * leaves no room for the next is longer. No window, and one number, for
     * less than 20 transitions.
     */
    static std::vector<long>
    adaptation_windows(const long n);

  private:
    /** Dual averaging of the logarithm of the step size. */
    struct StepSizeSearch
    {
      double center = 0; ///< μ
      double count  = 0; ///< m
      double bias   = 0; ///< H̄
      double mean   = 0; ///< log ε̄

      void
      restart(const double step_size);

      /** @return the step size for the next transition. */
      double
      update(const double acceptance, const double target);
    };

    /** Mean and squared deviations of the samples in a window (Welford). */
    struct Moments
    {
      long          count = 0;
      torch::Tensor mean;    ///< [d]
      torch::Tensor squares; ///< [d] or [d, d]
    };

    struct Chain
    {
      Hamiltonian    hamiltonian;
      PhasePoint     point;
      double         step_size = 0; ///< zero for one that has to be found
      StepSizeSearch search;
      Moments        moments;
      long           n_done = 0;
    };

    /** What a transition has been like. */
    struct Course
    {
      double acceptance_sum = 0;
      long   n_steps        = 0;
      long   depth          = 0;
      bool   divergent      = false;
      bool   outside        = false;
    };

    /** A part of a trajectory; see the source file. */
    struct Tree;

    void
    transition(const std::size_t number);

    PhasePoint
    next_point(const Chain &chain, CounterRandom &random, Course &course) const;

    Tree
    grow(const Chain      &chain,
         const PhasePoint &edge,
         const double      h,
         const long        depth,
         const double      start_energy,
         CounterRandom    &random,
         Course           &course) const;

    /** A step size whose first step is accepted with the target, roughly. */
    double
    find_step_size(const Chain &chain, CounterRandom &random) const;

    /** Learn from the transition that has just been made. */
    void
    adapt(Chain &chain, const double acceptance, CounterRandom &random) const;

    /** Those of no sample. */
    Moments
    reset_moments() const;

    /** samples() without those from number @p n on. */
    Samples
    first_samples(const long n) const;

    /** Tensors of samples() for all that are asked for. */
    void
    allocate();

    const Parameters        parameters;
    const std::vector<long> windows;
    long                    d;
    std::vector<Chain>      chains;
    Samples                 found;
  };
} // namespace neuraldeal

#endif
