// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/training/schedules.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  namespace
  {
    /** Half a period of a cosine, for @p t from 0 to 1. */
    double
    cosine(const double from, const double to, const double t)
    {
      return to + 0.5 * (from - to) * (1. + std::cos(M_PI * t));
    }



    /** @p parameters and those that all schedules have. */
    std::vector<ParameterDescription>
    with_warm_up(std::vector<ParameterDescription> parameters)
    {
      parameters.push_back({"warm-up steps",
                            0,
                            0,
                            1e9,
                            "Steps in which the rate rises linearly to where "
                            "the schedule starts."});
      return parameters;
    }



    ParameterDescription
    final_fraction(const double default_value, const std::string &documentation)
    {
      return {"final fraction", default_value, 0., 1., documentation};
    }
  } // namespace



  void
  register_schedules()
  {
    static const ScheduleRegistry::Registration constant_registration(
      "constant",
      "The same learning rate in every step.",
      with_warm_up({}),
      [](const ScheduleSpan &span,
         const nlohmann::json &,
         const std::string &) -> Schedule {
        return [rate = span.learning_rate](const long) { return rate; };
      });

    static const ScheduleRegistry::Registration step_registration(
      "step",
      "A learning rate that is multiplied by a factor now and then.",
      with_warm_up(
        {{"decay factor", 0.5, 0., 1., "What the rate is multiplied by."},
         {"period", 100, 1, 1e9, "How long a rate is kept."},
         {"unit", "epochs", 0, 0, "Of the period: epochs or steps."},
         final_fraction(0.,
                        "The rate falls no further than to this fraction.")}),
      [](const ScheduleSpan   &span,
         const nlohmann::json &given,
         const std::string    &source) -> Schedule {
        const std::string unit = given["unit"];
        check_choice(source, "unit", unit, {"epochs", "steps"});
        const long period =
          given["period"].get<long>() *
          (unit == "epochs" ? std::max(span.steps_per_epoch, 1L) : 1);
        return
          [period,
           rate   = span.learning_rate,
           factor = given["decay factor"].get<double>(),
           lowest = given["final fraction"].get<double>()](const long step) {
            return rate *
                   std::max(std::pow(factor, double(step / period)), lowest);
          };
      });

    static const ScheduleRegistry::Registration cosine_registration(
      "cosine",
      "A learning rate that falls along half a cosine.",
      with_warm_up(
        {final_fraction(0., "The fraction of the rate at which it ends.")}),
      [](const ScheduleSpan   &span,
         const nlohmann::json &given,
         const std::string &) -> Schedule {
        const double last =
          given["final fraction"].get<double>() * span.learning_rate;
        return [span, last](const long step) {
          return cosine(span.learning_rate,
                        last,
                        double(step) / double(span.n_steps));
        };
      });

    static const ScheduleRegistry::Registration one_cycle_registration(
      "one-cycle",
      "A learning rate that rises along half a cosine, then falls along "
      "another one.",
      with_warm_up(
        {{"rising fraction",
          0.3,
          0.,
          1.,
          "The fraction of the steps in which it rises."},
         final_fraction(0., "The fraction of the rate at which it ends.")}),
      [](const ScheduleSpan   &span,
         const nlohmann::json &given,
         const std::string &) -> Schedule {
        return [span,
                last = given["final fraction"].get<double>(),
                rise =
                  given["rising fraction"].get<double>()](const long step) {
          return one_cycle(span.learning_rate, step, span.n_steps, last, rise);
        };
      });
  }



  Schedule
  make_schedule(const std::string    &type,
                const nlohmann::json &parameters,
                const std::string    &source,
                const ScheduleSpan   &span)
  {
    register_schedules();
    const auto &entry = ScheduleRegistry::find(source, "schedule", type);
    const auto  complete =
      complete_parameters(entry.parameters, parameters, source);

    const long n_steps = std::max(span.n_steps, 1L);
    const long warm_up = complete["warm-up steps"];
    if (warm_up >= n_steps)
      throw InputError(source,
                       "warm-up steps",
                       std::to_string(warm_up),
                       "an integer from 0 to " + std::to_string(n_steps - 1) +
                         ", for the training has " + std::to_string(n_steps) +
                         " steps");

    ScheduleSpan rest = span;
    rest.n_steps      = n_steps - warm_up;
    return [n_steps, warm_up, schedule = entry.factory(rest, complete, source)](
             const long step) {
      const double rising = double(step + 1) / double(warm_up + 1);
      return step < warm_up ? rising * schedule(0) :
                              schedule(std::min(step, n_steps - 1) - warm_up);
    };
  }



  double
  one_cycle(const double maximum,
            const long   step,
            const long   n_steps,
            const double final_fraction,
            const double rise)
  {
    const double progress = (double(step) + 0.5) / double(n_steps);
    return progress < rise ? cosine(maximum / 25., maximum, progress / rise) :
                             cosine(maximum,
                                    final_fraction * maximum,
                                    (progress - rise) / (1. - rise));
  }
} // namespace neuraldeal
