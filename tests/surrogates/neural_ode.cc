// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/operators/neural_ode.h>
#include <torch/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  /** z' = z Aᵀ + c Bᵀ */
  class LinearField : public VectorField
  {
  public:
    LinearField(const torch::Tensor &a, const torch::Tensor &b)
      : a(register_parameter("a", a.clone()))
      , b(register_parameter("b", b.clone()))
    {}

    torch::Tensor
    forward(const torch::Tensor &z,
            const double,
            const torch::Tensor &context) override
    {
      return torch::mm(z, a.t()) + torch::mm(context, b.t());
    }

    torch::Tensor a, b;
  };



  /** A network that depends on everything: W tanh(A z + B c + t d). */
  class SmallNetwork : public VectorField
  {
  public:
    SmallNetwork(const long k, const long m, const double size)
      : in(register_parameter("in", size * random_normal({6, k}, 600)))
      , from(register_parameter("from", size * random_normal({6, m}, 601)))
      , time(register_parameter("time", size * random_normal({6}, 602)))
      , out(register_parameter("out", size * random_normal({k, 6}, 603)))
    {}

    torch::Tensor
    forward(const torch::Tensor &z,
            const double         t,
            const torch::Tensor &context) override
    {
      const auto hidden = torch::tanh(torch::mm(z, in.t()) +
                                      torch::mm(context, from.t()) + t * time);
      if (is_watched)
        watch(hidden);
      return torch::mm(hidden, out.t());
    }

    /** Hidden values, which autograd keeps where it records, still alive. */
    long
    n_alive()
    {
      made.erase(std::remove_if(made.begin(),
                                made.end(),
                                [](const auto &storage) {
                                  return storage.expired();
                                }),
                 made.end());
      return made.size();
    }

    bool is_watched = false;
    long most_alive = 0;

  private:
    void
    watch(const torch::Tensor &tensor)
    {
      made.push_back(tensor.storage().getWeakStorageImpl());
      most_alive = std::max(most_alive, n_alive());
    }

    torch::Tensor                                          in, from, time, out;
    std::vector<c10::weak_intrusive_ptr<c10::StorageImpl>> made;
  };



  DormandPrince::Parameters
  tolerance(const double value)
  {
    return {value, value, 100000};
  }

  const std::vector<double> some_times = {0.3, 0.35, 1.2};



  /** L, a smooth function of all states, and its gradients. */
  struct Differentiated
  {
    Differentiated(const std::shared_ptr<VectorField> &field,
                   const ODEGradients                  gradients,
                   const double                        accuracy,
                   const std::vector<double>          &times = some_times)
      : start(random_normal({5, 3}, 610).requires_grad_(true))
      , context(random_normal({5, 2}, 611).requires_grad_(true))
    {
      const auto states = solve_neural_ode(
        field, start, context, times, tolerance(accuracy), gradients, "test");
      const auto weights = random_normal({5, long(times.size()), 3}, 612) / 5.;
      loss               = (weights * states + 0.1 * states.square()).sum();
      variables          = {start, context};
      const auto more    = field->parameters();
      variables.insert(variables.end(), more.begin(), more.end());
      found = torch::autograd::grad({loss}, variables);
    }

    /** Largest difference of a gradient, relative to its largest entry. */
    double
    distance_to(const Differentiated &other) const
    {
      double result = 0;
      for (std::size_t i = 0; i < found.size(); ++i)
        result = std::max(result,
                          distance(found[i], other.found[i]) /
                            other.found[i].abs().max().item<double>());
      return result;
    }

    torch::Tensor              start, context, loss;
    std::vector<torch::Tensor> variables, found;
  };



  // With (z, c)' = M (z, c): the exponential of M, by a Taylor sum.
  TEST(NeuralODE, LinearEquationsHaveExponentials)
  {
    const auto a = random_normal({3, 3}, 604), b = random_normal({3, 2}, 605);
    auto       m = torch::zeros({5, 5}, torch::kFloat64);
    m.slice(0, 0, 3).slice(1, 0, 3).copy_(a);
    m.slice(0, 0, 3).slice(1, 3, 5).copy_(b);
    const auto field = std::make_shared<LinearField>(a, b);
    const auto start = random_normal({4, 3}, 606),
               c     = random_normal({4, 2}, 607);
    for (const auto gradients : {ODEGradients::adjoint, ODEGradients::steps})
      {
        DormandPrince::Course course;
        const auto            states = solve_neural_ode(field,
                                             start,
                                             c,
                                             {0., 0.4, 1.},
                                             tolerance(1e-10),
                                             gradients,
                                             "test",
                                             &course);
        ASSERT_EQ(states.sizes().vec(), (std::vector<std::int64_t>{4, 3, 3}));
        EXPECT_TRUE(torch::equal(states.select(1, 0), start));
        EXPECT_GT(course.n_accepted, 5);
        for (const long i : {1, 2})
          {
            const double t    = i == 1 ? 0.4 : 1.;
            auto         term = torch::eye(5, torch::kFloat64), sum = term;
            for (int j = 1; j < 60; ++j)
              {
                term = torch::mm(term, t / j * m);
                sum  = sum + term;
              }
            const auto exact =
              torch::mm(torch::cat({start, c}, 1), sum.t()).slice(1, 0, 3);
            EXPECT_LT(distance(states.select(1, i), exact), 1e-8);
          }
      }
  }



  // One derivative with a closed form: z = z_0 e^{λt}.
  TEST(NeuralODE, AdjointGradientsOfAnExponential)
  {
    const auto field =
      std::make_shared<LinearField>(torch::full({1, 1}, -0.8, torch::kFloat64),
                                    torch::full({1, 1}, 0., torch::kFloat64));
    const auto start =
      torch::full({1, 1}, 1.5, torch::kFloat64).requires_grad_(true);
    const auto c =
      torch::full({1, 1}, 0.7, torch::kFloat64).requires_grad_(true);
    const double t = 1.3, e = std::exp(-0.8 * t);
    solve_neural_ode(
      field, start, c, {t}, tolerance(1e-10), ODEGradients::adjoint, "test")
      .sum()
      .backward();
    EXPECT_NEAR(start.grad().item<double>(), e, 1e-9);
    EXPECT_NEAR(field->a.grad().item<double>(), 1.5 * t * e, 1e-8);
    EXPECT_NEAR(field->b.grad().item<double>(), 0.7 * (1. - e) / 0.8, 1e-8);
    EXPECT_EQ(c.grad().item<double>(), 0.); // as b is zero
  }



  TEST(NeuralODE, GradientsAreDifferenceQuotients)
  {
    const auto field = std::make_shared<SmallNetwork>(3, 2, 0.7);
    for (const auto gradients : {ODEGradients::adjoint, ODEGradients::steps})
      {
        Differentiated here(field, gradients, 1e-10);
        // Along three directions, by the quotient of fourth order.
        for (std::uint64_t k = 0; k < 3; ++k)
          {
            const auto moved = [&](const double h, const std::size_t i) {
              const torch::NoGradGuard no_gradients;
              here.variables[i].add_(
                random_normal(here.variables[i].sizes().vec(),
                              620 + 10 * k + i),
                h);
            };
            for (std::size_t i = 0; i < here.variables.size(); ++i)
              {
                const auto loss_at = [&](const double h) {
                  moved(h, i);
                  const torch::NoGradGuard no_gradients;
                  const auto               states = solve_neural_ode(field,
                                                       here.start,
                                                       here.context,
                                                       some_times,
                                                       tolerance(1e-10),
                                                       gradients,
                                                       "test");
                  const auto               loss =
                    (random_normal({5, 3, 3}, 612) / 5. * states +
                     0.1 * states.square())
                      .sum()
                      .item<double>();
                  moved(-h, i);
                  return loss;
                };
                const double h        = 2e-3;
                const double quotient = (8. * (loss_at(h) - loss_at(-h)) -
                                         (loss_at(2. * h) - loss_at(-2. * h))) /
                                        (12. * h);
                const double slope =
                  (here.found[i] *
                   random_normal(here.found[i].sizes().vec(), 620 + 10 * k + i))
                    .sum()
                    .item<double>();
                EXPECT_NEAR(slope, quotient, 2e-6 * (1. + std::abs(slope)))
                  << i;
                EXPECT_GT(here.found[i].abs().max().item<double>(), 1e-3) << i;
              }
          }
      }
  }



  // Both ways are wrong by what the tolerance allows, and agree in the limit.
  TEST(NeuralODE, AdjointAndStepsAgreeToTheTolerance)
  {
    const auto           field = std::make_shared<SmallNetwork>(3, 2, 0.7);
    const Differentiated exact(field, ODEGradients::steps, 1e-13);
    double               last = 1.;
    for (const double accuracy : {1e-3, 1e-5, 1e-7, 1e-9, 1e-11})
      {
        const Differentiated adjoint(field, ODEGradients::adjoint, accuracy),
          steps(field, ODEGradients::steps, accuracy);
        EXPECT_LT(adjoint.distance_to(exact), 30. * accuracy);
        EXPECT_LT(steps.distance_to(exact), 30. * accuracy);
        EXPECT_LT(adjoint.distance_to(steps), 50. * accuracy);
        EXPECT_GT(adjoint.distance_to(steps), 0.);
        EXPECT_LT(adjoint.distance_to(exact), 0.3 * last);
        last = adjoint.distance_to(exact);
        const auto exponent =
          std::to_string(std::lround(-std::log10(accuracy)));
        RecordProperty("adjoint_error_1e-" + exponent,
                       fmt::format("{:.1e}", last));
        RecordProperty("adjoint_against_steps_1e-" + exponent,
                       fmt::format("{:.1e}", adjoint.distance_to(steps)));
      }
  }



  // A loss in other units: the same relative accuracy, the same steps.
  TEST(NeuralODE, AdjointGradientsKnowNoUnit)
  {
    const auto field    = std::make_shared<SmallNetwork>(3, 2, 0.7);
    const auto gradient = [&](const double factor) {
      const auto start  = random_normal({5, 3}, 610).requires_grad_(true);
      const auto states = solve_neural_ode(field,
                                           start,
                                           random_normal({5, 2}, 611),
                                           some_times,
                                           tolerance(1e-4),
                                           ODEGradients::adjoint,
                                           "test");
      return torch::autograd::grad({factor * states.square().sum()},
                                   {start})[0];
    };
    const auto   one   = gradient(1.);
    const double scale = one.abs().max().item<double>();
    EXPECT_LT(distance(1e9 * gradient(1e-9), one), 1e-12 * scale);
    EXPECT_EQ(gradient(0.).abs().max().item<double>(), 0.);
  }



  /** Number of nodes in the graph that @p tensor is the result of. */
  std::size_t
  graph_size(const torch::Tensor &tensor)
  {
    std::set<torch::autograd::Node *>    seen;
    std::vector<torch::autograd::Node *> open = {tensor.grad_fn().get()};
    while (!open.empty())
      {
        auto *const node = open.back();
        open.pop_back();
        if (node != nullptr && seen.insert(node).second)
          for (const auto &edge : node->next_edges())
            open.push_back(edge.function.get());
      }
    return seen.size();
  }



  // The values of hidden layers that exist at the same time, forwards and
  // backwards, and the nodes of the graph.
  TEST(NeuralODE, MemoryOfTheAdjointDoesNotDependOnTheSteps)
  {
    struct Count
    {
      long        n_steps, alive_after, most_alive;
      std::size_t n_nodes;
    };
    const auto count = [](const ODEGradients gradients, const double accuracy) {
      const auto field  = std::make_shared<SmallNetwork>(3, 2, 0.7);
      field->is_watched = true;
      const auto start  = random_normal({5, 3}, 610).requires_grad_(true);
      DormandPrince::Course course;
      Count                 result;
      const auto            states = solve_neural_ode(field,
                                           start,
                                           random_normal({5, 2}, 611),
                                           {3.},
                                           tolerance(accuracy),
                                           gradients,
                                           "test",
                                           &course);
      result.n_steps               = course.n_accepted;
      result.alive_after           = field->n_alive();
      result.n_nodes               = graph_size(states);
      states.sum().backward();
      result.most_alive = field->most_alive;
      EXPECT_GT(start.grad().abs().max().item<double>(), 0.);
      return result;
    };
    const auto few  = count(ODEGradients::adjoint, 1e-4),
               many = count(ODEGradients::adjoint, 1e-11);
    EXPECT_GT(few.n_steps, 3);
    EXPECT_GT(many.n_steps, 10 * few.n_steps);
    EXPECT_EQ(few.alive_after, 0);
    EXPECT_EQ(many.alive_after, 0);
    EXPECT_EQ(few.most_alive, 1);
    EXPECT_EQ(many.most_alive, 1);
    EXPECT_EQ(few.n_nodes, many.n_nodes);

    // Every evaluation is kept where the steps are differentiated.
    const auto kept = count(ODEGradients::steps, 1e-11);
    EXPECT_EQ(kept.n_steps, many.n_steps);
    EXPECT_GE(kept.alive_after, 6 * kept.n_steps);
    EXPECT_GT(kept.n_nodes, 100 * many.n_nodes);
    RecordProperty("steps",
                   fmt::format("{} and {}", few.n_steps, many.n_steps));
    RecordProperty("nodes",
                   fmt::format("{} and {}", many.n_nodes, kept.n_nodes));
    RecordProperty("alive",
                   fmt::format("{} and {}", many.most_alive, kept.alive_after));
  }



  TEST(NeuralODE, FrozenWeightsStayOut)
  {
    const auto           field = std::make_shared<SmallNetwork>(3, 2, 0.7);
    const Differentiated whole(field, ODEGradients::adjoint, 1e-8);
    const auto           frozen = std::make_shared<SmallNetwork>(3, 2, 0.7);
    frozen->named_parameters()["from"].requires_grad_(false);
    const auto start   = random_normal({5, 3}, 610).requires_grad_(true);
    const auto states  = solve_neural_ode(frozen,
                                         start,
                                         random_normal({5, 2}, 611),
                                         some_times,
                                         tolerance(1e-8),
                                         ODEGradients::adjoint,
                                         "test");
    const auto weights = random_normal({5, 3, 3}, 612) / 5.;
    (weights * states + 0.1 * states.square()).sum().backward();
    EXPECT_LT(distance(start.grad(), whole.found[0]), 1e-12);
    EXPECT_FALSE(frozen->named_parameters()["from"].grad().defined());
    EXPECT_LT(distance(frozen->named_parameters()["out"].grad(),
                       whole.found[5]),
              1e-12);
  }



  TEST(NeuralODE, BrokenSamplesDisturbNothing)
  {
    const double nan          = std::numeric_limits<double>::quiet_NaN();
    const auto   gradients_of = [&](const bool broken) {
      const auto field = std::make_shared<SmallNetwork>(3, 2, 0.7);
      auto       start = random_normal({5, 3}, 610);
      if (broken)
        start[2][1] = nan;
      start.requires_grad_(true);
      const auto states = solve_neural_ode(field,
                                           start,
                                           random_normal({5, 2}, 611),
                                           some_times,
                                           tolerance(1e-6),
                                           ODEGradients::adjoint,
                                           "test");
      EXPECT_EQ(states[2].isnan().all().item<bool>(), broken);
      return std::make_pair(states.detach(),
                            torch::autograd::grad({states.square().sum()},
                                                  {start})[0]);
    };
    const auto good = gradients_of(false), bad = gradients_of(true);
    for (const long i : {0, 1, 3, 4})
      {
        EXPECT_LT(distance(good.first[i], bad.first[i]), 1e-5);
        EXPECT_LT(distance(good.second[i], bad.second[i]), 1e-5);
      }
  }



  // The rounding of bfloat16 would let no step be accepted.
  TEST(NeuralODE, AutocastStaysOutside)
  {
    const auto field = std::make_shared<SmallNetwork>(3, 2, 0.7);
    field->to(torch::kFloat32);
    const auto start = random_normal({5, 3}, 610).to(torch::kFloat32),
               c     = random_normal({5, 2}, 611).to(torch::kFloat32);
    const auto solve = [&](const bool active) {
      const compat::Autocast autocast(torch::kCPU, active);
      return solve_neural_ode(field,
                              start,
                              c,
                              some_times,
                              tolerance(1e-5),
                              ODEGradients::adjoint,
                              "test");
    };
    EXPECT_TRUE(torch::equal(solve(true), solve(false)));
    EXPECT_EQ(solve_neural_ode(field,
                               start.to(torch::kBFloat16),
                               c,
                               some_times,
                               tolerance(1e-5),
                               ODEGradients::adjoint,
                               "test")
                .scalar_type(),
              torch::kFloat32);
  }



  TEST(NeuralODE, WhatItCannotDoIsSaid)
  {
    const auto field =
      std::make_shared<LinearField>(torch::full({1, 1}, 200., torch::kFloat64),
                                    torch::zeros({1, 0}, torch::kFloat64));
    auto start = torch::ones({1, 1}, torch::kFloat64).requires_grad_(true);
    const auto solve = [&](const long max_steps) {
      return solve_neural_ode(field,
                              start,
                              torch::zeros({1, 0}, torch::kFloat64),
                              {1.},
                              {1e-6, 1e-6, max_steps},
                              ODEGradients::adjoint,
                              "latent");
    };
    expect_sentence(message_of<InputError>([&]() { solve(20); }),
                    {"latent:", "maximal steps", "'20'"});

    // No derivative of the derivative, rather than a wrong one.
    const auto states = solve(10000);
    expect_sentence(message_of<std::runtime_error>([&]() {
                      torch::autograd::grad(
                        {states.sum()}, {start}, {}, true, true);
                    }),
                    {"derivatives", "steps"});
  }



  // The adjoint may need more steps than the solution: |cos(60 t)| of them.
  TEST(NeuralODE, StepsOfTheAdjointAreLimited)
  {
    class Still : public VectorField
    {
    public:
      torch::Tensor
      forward(const torch::Tensor &z,
              const double         t,
              const torch::Tensor &) override
      {
        // Zero at z = 0, where it stays; the derivative is not.
        return 300. * std::cos(60. * t) * torch::tanh(z);
      }
    };
    auto start = torch::zeros({1, 1}, torch::kFloat64).requires_grad_(true);
    const auto states = solve_neural_ode(std::make_shared<Still>(),
                                         start,
                                         torch::zeros({1, 0}, torch::kFloat64),
                                         {1.},
                                         {1e-6, 1e-6, 30},
                                         ODEGradients::adjoint,
                                         "latent");
    expect_sentence(message_of<InputError>([&]() { states.sum().backward(); }),
                    {"latent, adjoint:", "maximal steps", "'30'"});
  }
} // namespace
