// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_schedules_h
#define neuraldeal_surrogates_training_schedules_h

#include <neuraldeal/surrogates/registry.h>

#include <functional>
#include <string>

namespace neuraldeal
{
  /**
   * A learning rate as a function of the step, counted from 0, and of nothing
   * else: training that goes on from a checkpoint needs no state of it. Steps
   * beyond the end have the rate of the last one.
   */
  using Schedule = std::function<double(const long step)>;

  /** The training that a schedule is for. */
  struct ScheduleSpan
  {
    double learning_rate   = 1e-3; ///< the largest that the schedule reaches
    long   n_steps         = 1;    ///< in all, warm-up included
    long   steps_per_epoch = 1;
  };

  /** The schedules there are. A factory takes complete parameters. */
  using ScheduleFactory  = std::function<Schedule(const ScheduleSpan &,
                                                 const nlohmann::json &,
                                                 const std::string &source)>;
  using ScheduleRegistry = Registry<Schedule, ScheduleFactory>;

  /** Register the schedules of this library. */
  void
  register_schedules();

  /**
   * Build the schedule called @p type. With η the learning rate, N the number
   * of steps, f the "final fraction":
   *   constant:   η
   *   step:       η max(γ^⌊k/K⌋, f), with the "decay factor" γ and K the
   *               "period" in its "unit", epochs or steps (torch.optim's
   *               StepLR for f = 0)
   *   cosine:     η (f + (1 − f) (1 + cos(π k/N))/2) (Loshchilov and Hutter,
   *               arXiv:1608.03983, equation 5, without restarts; torch.optim's
   *               CosineAnnealingLR with T_max = N, eta_min = f η)
   *   one-cycle:  one_cycle()
   * at step k. With W > 0 "warm-up steps" the first W of them rise linearly,
   * η_k = (k+1)/(W+1) η'_0, to where the schedule η' starts, which is then run
   * through by the N − W others.
   * @param parameters overrides of its defaults.
   * @param source where @p parameters come from, for error messages.
   * @throw InputError for a wrong entry, and where the warm-up is not shorter
   * than the training.
   */
  Schedule
  make_schedule(const std::string    &type,
                const nlohmann::json &parameters,
                const std::string    &source,
                const ScheduleSpan   &span);

  /**
   * The one-cycle learning rate (Smith and Topin, arXiv:1708.07120) in the
   * middle of step @p step of @p n_steps: a cosine from a twenty-fifth of
   * @p maximum up to it in the fraction @p rise of the steps, then another one
   * down to @p final_fraction of it. torch.optim's OneCycleLR runs through the
   * same two arcs, but from their first to their last point.
   */
  double
  one_cycle(const double maximum,
            const long   step,
            const long   n_steps,
            const double final_fraction = 0.,
            const double rise           = 0.3);
} // namespace neuraldeal

#endif
