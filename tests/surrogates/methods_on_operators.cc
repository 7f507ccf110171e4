// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>

#include "solution_operators.h"

// Every method of uncertainty on every operator. Methods come from their
// registry, operators from the problems below, of which there has to be one for
// each in theirs: what is new there is tested here, or fails.

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  using Task = ProbabilisticOperator::Task;

  struct Problem
  {
    Task         task;
    OperatorData fresh;
  };



  /** On grids whose first and last points are the boundary, where u = 0. */
  torch::Tensor
  free_points(const std::vector<std::int64_t> &sizes)
  {
    auto result = torch::zeros(sizes, torch::kFloat64);
    auto inside = result;
    for (std::size_t j = 0; j < sizes.size(); ++j)
      inside = inside.slice(j, 1, -1);
    inside.fill_(1.);
    return result;
  }

  Task
  make_task(const std::string    &type,
            const nlohmann::json &parameters,
            const OperatorShape  &shape,
            const long            epochs = 30)
  {
    Task task;
    task.type                  = type;
    task.parameters            = parameters;
    task.shape                 = shape;
    task.source                = "test";
    task.options.epochs        = epochs;
    task.options.batch_size    = 8;
    task.options.learning_rate = 1e-2;
    return task;
  }

  const Multiplier elliptic = [](const double omega) {
    return 10. / (1. + omega * omega);
  };

  /** −u″ + u = 10 f on the interval, at the points @p x. */
  Problem
  interval_problem(const Task          &task,
                   const torch::Tensor &x,
                   const long           n_frequencies = 3)
  {
    const auto draw = [&](const long n, const std::uint64_t number) {
      return on_the_interval(n, x, n_frequencies, 0.5, {elliptic}, number);
    };
    Problem result;
    result.task          = task;
    result.task.training = draw(32, 91);
    result.task.factor   = free_points({x.size(0)});
    result.fresh         = draw(16, 92);
    return result;
  }



  Problem
  fourier_on_a_line()
  {
    return interval_problem(make_task("Fourier",
                                      {{"width", 8},
                                       {"layers", 2},
                                       {"modes", 4},
                                       {"mixing layers", false}},
                                      {1, 1, 1}),
                            interval_grid(12));
  }

  /** With a coarse solution that lacks the finer half. */
  Problem
  fourier_on_a_square()
  {
    Problem result;
    result.task = make_task(
      "Fourier",
      {{"width", 6}, {"layers", 2}, {"modes", 3}, {"mixing layers", false}},
      {1, 1, 2});
    const auto data = [](const long n, const std::uint64_t number) {
      auto all  = poisson_on_the_square(n, 8, 2, number);
      all.prior = 0.7 * all.target;
      return all;
    };
    result.task.training = data(32, 93);
    result.fresh         = data(16, 94);
    result.task.factor   = free_points({8, 8});
    return result;
  }

  Problem
  attention_at_points()
  {
    const auto inside =
      std::get<0>(random_uniform({10}, 0.05, 0.95, 95).sort());
    const auto x      = torch::cat({torch::zeros({1}, torch::kFloat64),
                                    inside,
                                    torch::ones({1}, torch::kFloat64)});
    auto       result = interval_problem(
      make_task("attention",
                {{"width", 8}, {"layers", 2}, {"heads", 2}, {"slices", 6}},
                {1, 1, 1},
                60),
      x,
      2);
    for (auto *data : {&result.task.training, &result.fresh})
      data->input.points = x.unsqueeze(1);
    return result;
  }

  /** Where a mask takes points away there is anything. */
  Problem
  attention_with_masks()
  {
    auto          result = attention_at_points();
    std::uint64_t number = 96;
    for (auto *data : {&result.task.training, &result.fresh})
      {
        data->input.mask =
          random_uniform({data->size(), 12}, 0., 1., number++) > 0.2;
        const auto away = data->input.mask.logical_not().unsqueeze(1);
        data->input.fields =
          data->input.fields.masked_fill(away, 1e3).contiguous();
        data->target = data->target.masked_fill(away, 0.);
      }
    return result;
  }

  const nlohmann::json branch = {{"sensors", 12},
                                 {"basis", 6},
                                 {"width", 12},
                                 {"branch layers", 1}};

  Problem
  deep_onet()
  {
    auto parameters            = branch;
    parameters["trunk layers"] = 2;
    return interval_problem(make_task("DeepONet", parameters, {1, 1, 1}, 60),
                            interval_grid(12));
  }

  Problem
  pod_deep_onet()
  {
    return interval_problem(make_task("POD DeepONet", branch, {1, 1, 1}),
                            interval_grid(12));
  }

  /** The equation of heat at two times, −Δ being ω². */
  Problem
  latent_ode()
  {
    const std::vector<double> times = {0.5, 1.};
    std::vector<Multiplier>   heat;
    for (const double t : times)
      heat.push_back([t](const double omega) {
        return std::exp(-0.05 * omega * omega * t);
      });
    const auto draw = [&](const long n, const std::uint64_t number) {
      return on_the_interval(n, interval_grid(12), 3, 0.5, heat, number);
    };
    auto parameters = branch;
    parameters.update({{"times", times},
                       {"latent", 4},
                       {"context", 0},
                       {"field layers", 0},
                       {"trunk layers", 1},
                       {"gradients", "steps"},
                       {"relative tolerance", 1e-3},
                       {"absolute tolerance", 1e-3}});
    Problem result;
    result.task          = make_task("latent ODE", parameters, {1, 2, 1});
    result.task.training = draw(32, 98);
    result.task.factor   = free_points({12});
    result.fresh         = draw(16, 99);
    return result;
  }

  const std::map<std::string, Problem (*)()> problems = {
    {"Fourier on a line", fourier_on_a_line},
    {"Fourier on a square", fourier_on_a_square},
    {"attention at points", attention_at_points},
    {"attention with masks", attention_with_masks},
    {"DeepONet", deep_onet},
    {"POD DeepONet", pod_deep_onet},
    {"latent ODE", latent_ode}};



  std::vector<std::string>
  method_names()
  {
    register_probabilistic_operators();
    std::vector<std::string> result;
    for (const auto &entry : ProbabilisticOperatorRegistry::entries())
      result.push_back(entry.first);
    return result;
  }

  /** Little of everything that a method can have much of. */
  nlohmann::json
  small_method(const std::string &method)
  {
    const nlohmann::json few = {{"members", 3},
                                {"samples", 8},
                                {"covariance rank", 3}};
    nlohmann::json       result;
    for (const auto &parameter :
         ProbabilisticOperatorRegistry::entries().at(method).parameters)
      if (few.contains(parameter.name))
        result[parameter.name] = few[parameter.name];
    return result.is_null() ? nlohmann::json::object() : result;
  }

  std::unique_ptr<ProbabilisticOperator>
  make(const std::string &method, const nlohmann::json &changes = {})
  {
    auto parameters = small_method(method);
    if (!changes.is_null())
      parameters.update(changes);
    return make_probabilistic_operator(method, parameters, "test");
  }

  double
  euclidean(const torch::Tensor &values)
  {
    return values.norm().item<double>();
  }

  /** Whether these are the same bit for bit. */
  bool
  same(const FieldDistribution &a, const FieldDistribution &b)
  {
    const auto equal = [](const torch::Tensor &x, const torch::Tensor &y) {
      return x.defined() == y.defined() && (!x.defined() || torch::equal(x, y));
    };
    return equal(a.mean, b.mean) && equal(a.factor, b.factor) &&
           equal(a.variance, b.variance);
  }



  using Combination = std::tuple<std::string, std::string>;

  class MethodsOnOperators : public testing::TestWithParam<Combination>
  {
  protected:
    const std::string method  = std::get<0>(GetParam());
    const Problem     problem = problems.at(std::get<1>(GetParam()))();
    const Task       &task    = problem.task;

    /** What @p said of @p data must be whatever method it is of. */
    void
    check_answer(const FieldDistribution &said, const OperatorData &data) const
    {
      const auto &u = data.target;
      ASSERT_EQ(said.mean.sizes(), u.sizes());
      EXPECT_TRUE(said.mean.isfinite().all().item<bool>());
      const auto total = said.pointwise_variance();
      ASSERT_EQ(total.sizes(), u.sizes());
      EXPECT_TRUE(total.isfinite().all().item<bool>());
      ASSERT_TRUE(said.factor.defined() || said.variance.defined());

      // Where the solution is known, and where points are not there.
      const auto known = task.factor.eq(0.).expand_as(u);
      auto       there = torch::ones_like(u, torch::kBool);
      if (data.input.mask.defined())
        there = data.input.mask.unsqueeze(1).expand_as(u);
      const auto counts = there.logical_and(known.logical_not());
      EXPECT_GT(total.masked_select(counts).min().item<double>(), 0.);
      EXPECT_TRUE(
        torch::equal(said.mean.masked_select(known),
                     (data.prior.defined() ? data.prior : torch::zeros_like(u))
                       .masked_select(known)));
      if (said.variance.defined())
        {
          ASSERT_EQ(said.variance.sizes(), u.sizes());
          EXPECT_GE(said.variance.min().item<double>(), 0.);
        }
      if (said.factor.defined())
        {
          auto shape = u.sizes().vec();
          shape.push_back(said.factor.size(-1));
          ASSERT_EQ(said.factor.sizes().vec(), shape);
          ASSERT_GT(said.factor.size(-1), 0);
          EXPECT_EQ(said.factor.abs()
                      .amax(-1)
                      .masked_select(counts.logical_not())
                      .max()
                      .item<double>(),
                    0.);
          EXPECT_GT(said.factor.abs().max().item<double>(), 0.);
          EXPECT_LE((said.factor.square().sum(-1) - total).max().item<double>(),
                    1e-12 * total.max().item<double>());
        }
      EXPECT_EQ(distance(said.flattened().pointwise_variance(),
                         total.flatten(1)),
                0.);
    }

    /** The same in one epoch and with that seed. */
    FieldDistribution
    after_an_epoch(const std::uint64_t seed) const
    {
      auto short_task           = task;
      short_task.options.epochs = 1;
      short_task.options.seed   = seed;
      short_task.training       = task.training.slice(0, 8);
      const auto fitted         = make(method);
      fitted->fit(short_task);
      return fitted->predict(problem.fresh);
    }
  };



  TEST_P(MethodsOnOperators, SayHowSureTheyAre)
  {
    const auto one = make(method);
    if (!one->fits(task.type))
      {
        expect_sentence(message_of<InputError>([&]() { one->fit(task); }),
                        {"test", method, task.type});
        return;
      }
    if (one->needs_fixed_points() && task.training.input.mask.defined())
      {
        expect_sentence(message_of<InputError>([&]() { one->fit(task); }),
                        {"test", method, "mask"});
        return;
      }
    one->fit(task);
    const auto &fresh = problem.fresh;
    const auto  said  = one->predict(fresh);
    check_answer(said, fresh);

    // Beside what is known without a network.
    auto guess =
      fresh.prior.defined() ?
        (fresh.prior + (task.training.target - task.training.prior).mean(0)) :
        task.training.target.mean(0).expand_as(fresh.target);
    auto there = torch::ones_like(fresh.target);
    if (fresh.input.mask.defined())
      there = fresh.input.mask.unsqueeze(1).to(torch::kFloat64);
    const double error = euclidean((said.mean - fresh.target) * there) /
                         euclidean((guess - fresh.target) * there);
    RecordProperty("relative_error", std::to_string(error));
    EXPECT_LT(error, 0.5);

    ModelFile file;
    one->save(file);
    const auto copy = make(method);
    copy->load(file);
    EXPECT_TRUE(same(copy->predict(fresh), said));

    // As much in all, however much of it is in common.
    if (small_method(method).contains("covariance rank"))
      {
        const auto alone = make(method, {{"covariance rank", 0}});
        alone->load(file);
        const auto total = said.pointwise_variance();
        EXPECT_LT(distance(alone->predict(fresh).pointwise_variance(), total),
                  1e-6 * total.max().item<double>());
      }
    // Deviations of samples from their mean.
    if (!said.variance.defined())
      {
        EXPECT_LT(said.factor.sum(-1).abs().max().item<double>(),
                  1e-12 * said.mean.abs().max().item<double>());
      }
  }



  TEST_P(MethodsOnOperators, SeedsDecide)
  {
    if (!make(method)->fits(task.type))
      GTEST_SKIP() << method << " does not fit " << task.type;
    const auto trained = make(method);
    if (trained->needs_fixed_points() && task.training.input.mask.defined())
      GTEST_SKIP() << method << " needs fixed points";
    const auto said = after_an_epoch(1);
    EXPECT_TRUE(same(after_an_epoch(1), said));
    const auto other = after_an_epoch(2);
    if (!trained->is_random())
      {
        EXPECT_TRUE(same(other, said));
        return;
      }
    EXPECT_GT(distance(other.mean, said.mean),
              1e-3 * said.mean.abs().max().item<double>());
    EXPECT_FALSE(
      torch::equal(other.pointwise_variance(), said.pointwise_variance()));
  }



  std::vector<std::string>
  problem_names()
  {
    std::vector<std::string> result;
    for (const auto &entry : problems)
      result.push_back(entry.first);
    return result;
  }

  INSTANTIATE_TEST_SUITE_P(All,
                           MethodsOnOperators,
                           testing::Combine(testing::ValuesIn(method_names()),
                                            testing::ValuesIn(problem_names())),
                           [](const testing::TestParamInfo<Combination> &info) {
                             return test_name(std::get<0>(info.param) + "_on_" +
                                              std::get<1>(info.param));
                           });



  TEST(ProbabilisticOperators, AllOperatorsHaveBeenHere)
  {
    register_operators();
    std::map<std::string, long> methods_of;
    for (const auto &entry : problems)
      {
        const auto type = entry.second().task.type;
        for (const auto &method : method_names())
          methods_of[type] += make(method)->fits(type);
      }
    for (const auto &entry : OperatorRegistry::entries())
      EXPECT_GT(methods_of[entry.first], 1) << entry.first;
    // and those that fit all operators do
    for (const auto &method : {"deep ensemble", "last layer", "Laplace"})
      for (const auto &entry : OperatorRegistry::entries())
        EXPECT_TRUE(make(method)->fits(entry.first))
          << method << " on " << entry.first;
  }
} // namespace
