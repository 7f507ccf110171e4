// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/training/schedules.h>

#include <cmath>
#include <vector>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** A largest rate of 0.2. */
  Schedule
  schedule(const std::string    &type,
           const nlohmann::json &parameters,
           const long            n_steps,
           const long            steps_per_epoch = 1)
  {
    return make_schedule(type,
                         parameters,
                         "the test",
                         {0.2, n_steps, steps_per_epoch});
  }



  void
  expect_rates(const Schedule &schedule, const std::vector<double> &expected)
  {
    for (std::size_t step = 0; step < expected.size(); ++step)
      EXPECT_NEAR(schedule(long(step)), expected[step], 1e-14)
        << "step " << step;
  }



  // From a twenty-fifth of the maximum up in 30 % of the steps, then down to
  // zero, at the middle of each step.
  TEST(Schedules, OneCycleArcs)
  {
    const double maximum = 3e-3;
    const long   n       = 1000;
    for (const long step : {0, 1, 149, 150, 299, 300, 500, 650, 998, 999})
      {
        const double t = (step + 0.5) / n;
        // half angles in place of cosines
        const double expected =
          t < 0.3 ?
            maximum * (0.04 + 0.96 * std::pow(std::sin(M_PI_2 * t / 0.3), 2)) :
            maximum * std::pow(std::cos(M_PI_2 * (t - 0.3) / 0.7), 2);
        EXPECT_NEAR(one_cycle(maximum, step, n), expected, 1e-12 * maximum);
      }
    // numbers worked out by hand: a quarter, half and three quarters through
    // the fall, half of the rise
    EXPECT_NEAR(one_cycle(1., 0, 1), std::pow(std::cos(M_PI / 7.), 2), 1e-12);
    EXPECT_NEAR(one_cycle(1., 1, 10), 0.52, 1e-12); // progress 0.15
    EXPECT_NEAR(one_cycle(1., 6, 10), 0.5, 1e-12);  // progress 0.65
    EXPECT_LT(one_cycle(1., n - 1, n), 1e-5);
    EXPECT_NEAR(one_cycle(1., 0, n), 0.04, 1e-4);
  }



  // The numbers are those of PyTorch 1.13's torch.optim.lr_scheduler for an
  // optimiser o with lr=0.2.
  TEST(Schedules, StepIsStepLR)
  {
    // StepLR(o, 3, 0.3)
    const std::vector<double> expected = {
      0.2, 0.2, 0.2, 0.06, 0.06, 0.06, 0.018, 0.018, 0.018, 0.0054};
    nlohmann::json parameters = {{"decay factor", 0.3},
                                 {"period", 3},
                                 {"unit", "steps"}};
    expect_rates(schedule("step", parameters, 10, 7), expected);

    // epochs of two steps
    parameters["unit"] = "epochs";
    const auto slow    = schedule("step", parameters, 20, 2);
    for (long step = 0; step < 20; ++step)
      EXPECT_NEAR(slow(step), expected[step / 2], 1e-14);

    parameters["final fraction"] = 0.2;
    const auto bounded           = schedule("step", parameters, 20, 2);
    EXPECT_NEAR(bounded(11), 0.06, 1e-14);
    EXPECT_NEAR(bounded(12), 0.04, 1e-14);
    EXPECT_NEAR(bounded(19), 0.04, 1e-14);
  }



  TEST(Schedules, CosineIsCosineAnnealingLR)
  {
    // CosineAnnealingLR(o, 8, eta_min=0.02)
    expect_rates(schedule("cosine", {{"final fraction", 0.1}}, 8),
                 {0.2,
                  0.1931491579260158,
                  0.17363961030678926,
                  0.1444415089128581,
                  0.11,
                  0.07555849108714192,
                  0.04636038969321073,
                  0.026850842073984194});
    // CosineAnnealingLR(o, 8)
    expect_rates(schedule("cosine", nlohmann::json::object(), 8),
                 {0.2,
                  0.19238795325112867,
                  0.17071067811865476,
                  0.138268343236509,
                  0.1,
                  0.06173165676349103,
                  0.029289321881345254,
                  0.007612046748871327});
  }



  TEST(Schedules, OneCycleHasTheArcsOfOneCycleLR)
  {
    // OneCycleLR(o, 0.2, total_steps=21, pct_start=7/21, final_div_factor=2)
    // rises in the intervals 0 to 6 of 20 and ends at 0.2/25/2; its steps 1,
    // 3, …, 19 are the middles of ten steps.
    expect_rates(schedule("one-cycle", {{"final fraction", 0.02}}, 10),
                 {0.020861561236693887,
                  0.104,
                  0.18713843876330613,
                  0.1975429353938187,
                  0.17861948528186694,
                  0.1445206064335207,
                  0.102,
                  0.05947939356647931,
                  0.02538051471813308,
                  0.006457064606181286});

    const auto fast = schedule("one-cycle", {{"rising fraction", 0.5}}, 10);
    EXPECT_NEAR(fast(2), 0.5 * (0.008 + 0.2), 1e-14);
    EXPECT_NEAR(fast(7), 0.1, 1e-14);
    const auto falling = schedule("one-cycle", {{"rising fraction", 0.}}, 1);
    EXPECT_NEAR(falling(0), 0.1, 1e-14);
  }



  TEST(Schedules, ConstantIsConstant)
  {
    expect_rates(schedule("constant", nlohmann::json::object(), 3),
                 {0.2, 0.2, 0.2, 0.2});
  }



  // A rise in equal steps to where the schedule starts, then the schedule of
  // a training that is as many steps shorter.
  TEST(Schedules, WarmUp)
  {
    for (const std::string type : {"constant", "step", "cosine", "one-cycle"})
      {
        const auto plain  = schedule(type, nlohmann::json::object(), 8, 1);
        const auto warmed = schedule(type, {{"warm-up steps", 4}}, 12, 1);
        for (long step = 0; step < 4; ++step)
          EXPECT_NEAR(warmed(step), 0.2 * (step + 1) * plain(0), 1e-14) << type;
        for (long step = 0; step < 8; ++step)
          EXPECT_DOUBLE_EQ(warmed(step + 4), plain(step)) << type;
      }
  }



  TEST(Schedules, StayAtTheirLastRate)
  {
    for (const std::string type : {"constant", "step", "cosine", "one-cycle"})
      {
        const auto rate =
          schedule(type, {{"warm-up steps", 2}}, 9, 1); // ends in a fall
        EXPECT_EQ(rate(9), rate(8)) << type;
        EXPECT_EQ(rate(1000), rate(8)) << type;
      }
  }



  TEST(Schedules, MistakesAreSentences)
  {
    const auto message = [](const std::string    &type,
                            const nlohmann::json &parameters) {
      return message_of<InputError>([&]() { schedule(type, parameters, 10); });
    };
    expect_sentence(message("cosinus", nlohmann::json::object()),
                    {"the test",
                     "schedule is 'cosinus'",
                     "constant, cosine, one-cycle, step"});
    expect_sentence(message("cosine", {{"final fraction", 1.5}}),
                    {"the test",
                     "final fraction is '1.5'",
                     "a number from 0 to 1"});
    expect_sentence(message("constant", {{"final fraction", 0.5}}),
                    {"the test", "final fraction", "warm-up steps"});
    expect_sentence(message("step", {{"unit", "hours"}}),
                    {"the test", "unit is 'hours'", "epochs, steps"});
    expect_sentence(
      message("cosine", {{"warm-up steps", 10}}),
      {"the test", "warm-up steps is '10'", "from 0 to 9", "10 steps"});
  }
} // namespace
