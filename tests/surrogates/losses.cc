// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/training/losses.h>

#include <cmath>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const auto none = nlohmann::json::object();

  /** A symmetric positive definite matrix, sparse. */
  torch::Tensor
  spd(const long n, const std::uint64_t number)
  {
    const auto factor = random_normal({n, n}, number);
    return torch::mm(factor, factor.t()).to_sparse();
  }

  double
  number(const torch::Tensor &value)
  {
    EXPECT_EQ(value.dim(), 0);
    return value.item<double>();
  }



  /** LibTorch's gradient against central differences in double precision. */
  void
  check_gradient(const Loss          &loss,
                 const torch::Tensor &prediction,
                 const torch::Tensor &target,
                 const torch::Tensor &input = torch::Tensor())
  {
    const auto p = prediction.clone().requires_grad_(true);
    loss.value(p, target, input).backward();
    const auto gradient = p.grad().contiguous();

    auto          shifted = prediction.clone();
    double       *values  = shifted.data_ptr<double>();
    const double *exact   = gradient.data_ptr<double>();
    const double  scale   = gradient.abs().max().item<double>();
    EXPECT_GT(scale, 0.);
    for (long i = 0; i < shifted.numel(); ++i)
      {
        const double h = 1e-5, value = values[i];
        values[i]          = value + h;
        const double above = number(loss.value(shifted, target, input));
        values[i]          = value - h;
        const double below = number(loss.value(shifted, target, input));
        values[i]          = value;
        EXPECT_NEAR((above - below) / (2. * h), exact[i], 1e-7 * scale) << i;
      }
  }



  TEST(RelativeNorm, IsMeanOfRatios)
  {
    // errors 5, 0 and 1 in targets of norm 10, 1 and 2
    const auto target =
      torch::tensor({6., 8., 1., 0., 0., -2.}, torch::kFloat64)
        .reshape({3, 1, 2});
    const auto error = torch::tensor({3., 4., 0., 0., -1., 0.}, torch::kFloat64)
                         .reshape({3, 1, 2});
    const auto l2 = make_loss("relative L2", none, "the test");
    EXPECT_NEAR(number(l2->value(target + error, target)), 1. / 3., 1e-14);
    // over channels as over points
    EXPECT_NEAR(number(l2->value((target + error).reshape({3, 2, 1}),
                                 target.reshape({3, 2, 1}))),
                1. / 3.,
                1e-14);
    // whatever the scale of the fields
    EXPECT_NEAR(number(l2->value(1e-9 * (target + error), 1e-9 * target)),
                1. / 3.,
                1e-14);
  }



  TEST(RelativeNorm, MatricesOfTheContext)
  {
    const auto p = random_normal({4, 2, 5}, 10),
               t = random_normal({4, 2, 5}, 11);
    LossContext context;
    context.mass      = spd(5, 12);
    context.stiffness = spd(5, 13);
    const auto m = context.mass.to_dense(), k = context.stiffness.to_dense();

    const auto expected = [&](const torch::Tensor &matrix) {
      double sum = 0;
      for (long i = 0; i < 4; ++i)
        {
          const auto square = [&](const torch::Tensor &v) {
            return torch::mm(torch::mm(v, matrix), v.t())
              .trace()
              .item<double>();
          };
          sum += std::sqrt(square(p[i] - t[i]) / square(t[i]));
        }
      return sum / 4.;
    };
    const auto value = [&](const std::string    &type,
                           const nlohmann::json &json) {
      return number(make_loss(type, json, "the test", context)->value(p, t));
    };
    EXPECT_NEAR(value("relative L2", none), expected(m), 1e-12);
    EXPECT_NEAR(value("relative energy", none), expected(k), 1e-12);
    EXPECT_NEAR(value("relative H1", {{"gradient weight", 0.3}}),
                expected(m + 0.3 * k),
                1e-12);

    context.mass = random_uniform({5}, 0.5, 2., 14);
    EXPECT_NEAR(value("relative L2", none),
                expected(context.mass.diag()),
                1e-12);
  }



  // The error of sin(πx) sin(πy) as a prediction of x(1−x) y(1−y) in the H1
  // norm, on grids.
  TEST(RelativeNorm, H1OnGridsConverges)
  {
    // ∫ f², ∫ f'² of f = sin(πx); of g = x(1−x); ∫ f g, ∫ f' g'
    const double ff = 0.5, dff = 0.5 * M_PI * M_PI, gg = 1. / 30.,
                 dgg = 1. / 3., fg = 4. / std::pow(M_PI, 3), dfg = 4. / M_PI;
    const double f_f = ff * ff + 2. * ff * dff, g_g = gg * gg + 2. * gg * dgg,
                 f_g   = fg * fg + 2. * fg * dfg;
    const double exact = std::sqrt((f_f - 2. * f_g + g_g) / g_g);
    const auto   h1    = make_loss("relative H1", none, "the test");
    const auto   error = [&](const long s) {
      const auto x = torch::linspace(0., 1., s, torch::kFloat64);
      const auto f = torch::sin(M_PI * x), g = x * (1. - x);
      return std::abs(
        number(h1->value(torch::outer(f, f).reshape({1, 1, s, s}),
                         torch::outer(g, g).reshape({1, 1, s, s}))) -
        exact);
    };
    const double coarse = error(33), fine = error(65);
    EXPECT_LT(fine, 1e-3 * exact);
    EXPECT_NEAR(std::log2(coarse / fine), 2., 0.05);
  }



  TEST(RelativeNorm, TakesGridFromContextAndParameters)
  {
    const auto p = random_normal({2, 1, 4, 5}, 15),
               t = random_normal({2, 1, 4, 5}, 16);
    LossContext context;
    context.spacing = {0.5, 0.1};
    const auto value =
      number(make_loss("relative H1",
                       {{"periodic", true}, {"gradient weight", 0.2}},
                       "the test",
                       context)
               ->value(p, t));
    const auto norm = grid_h1(0.2, true, {0.5, 0.1});
    EXPECT_NEAR(value,
                (norm(p - t) / norm(t)).sqrt().mean().item<double>(),
                1e-13);
  }



  TEST(RelativeNorm, ZeroTargets)
  {
    const auto l2 = make_loss("relative L2", {{"floor", 0.01}}, "the test");
    // norms 0 and 3: a root mean square of 3/√2
    const auto target =
      torch::tensor({0., 3.}, torch::kFloat64).reshape({2, 1, 1});
    const auto prediction =
      torch::tensor({0.6, 3.3}, torch::kFloat64).reshape({2, 1, 1});
    EXPECT_NEAR(number(l2->value(prediction, target)),
                0.5 * (0.6 / (0.03 / std::sqrt(2.)) + 0.1),
                1e-12);
    check_gradient(*l2, prediction, target);
    // all of them: the absolute error
    EXPECT_NEAR(number(l2->value(prediction, torch::zeros_like(target))),
                0.5 * (0.6 + 3.3),
                1e-12);

    // nor are there divisions by zero where a prediction is perfect
    for (const auto type : {torch::kFloat32, torch::kFloat64})
      {
        const auto zero    = torch::zeros({2, 1, 3}, type);
        const auto perfect = zero.clone().requires_grad_(true);
        const auto value   = l2->value(perfect, zero);
        value.backward();
        EXPECT_EQ(number(value), 0.);
        EXPECT_EQ(perfect.grad().abs().max().item<double>(), 0.);
      }
    // what is not a number is not hidden
    EXPECT_TRUE(std::isnan(number(l2->value(prediction * NAN, target))));
  }



  TEST(RelativeNorm, Gradients)
  {
    const auto p = random_normal({2, 2, 3, 4}, 17),
               t = random_normal({2, 2, 3, 4}, 18);
    LossContext context;
    check_gradient(*make_loss("relative L2", none, "the test"), p, t);
    check_gradient(*make_loss("relative H1", none, "the test"), p, t);
    check_gradient(*make_loss("relative H1", {{"periodic", true}}, "the test"),
                   p,
                   t);
    context.mass      = spd(12, 19);
    context.stiffness = spd(12, 20);
    for (const std::string type :
         {"relative L2", "relative H1", "relative energy"})
      check_gradient(*make_loss(type, none, "the test", context), p, t);
    context.mass = random_uniform({12}, 0.5, 2., 21);
    check_gradient(*make_loss("relative L2", none, "the test", context), p, t);
  }



  TEST(Losses, AreComputedInSinglePrecisionAtLeast)
  {
    const auto p     = random_normal({2, 1, 50}, 22),
               t     = random_normal({2, 1, 50}, 23);
    const auto l2    = make_loss("relative L2", none, "the test");
    const auto exact = number(l2->value(p, t));
    EXPECT_EQ(l2->value(p, t).scalar_type(), torch::kFloat64);
    EXPECT_EQ(
      l2->value(p.to(torch::kFloat32), t.to(torch::kFloat32)).scalar_type(),
      torch::kFloat32);

    const auto half  = p.to(torch::kBFloat16).requires_grad_(true);
    const auto value = l2->value(half, t.to(torch::kFloat32));
    EXPECT_EQ(value.scalar_type(), torch::kFloat32);
    EXPECT_NEAR(number(value),
                number(l2->value(half.detach().to(torch::kFloat64), t)),
                1e-6 * exact);
    value.backward();
    EXPECT_EQ(half.grad().scalar_type(), torch::kBFloat16);
  }



  TEST(GaussianLikelihood, ClosedForm)
  {
    // means 1, 2 with log variances 0, 1 for the targets 2, 4
    const auto prediction =
      torch::tensor({1., 2., 0., 1.}, torch::kFloat64).reshape({1, 2, 2});
    const auto target =
      torch::tensor({2., 4.}, torch::kFloat64).reshape({1, 1, 2});
    const double             bound = 7., s = bound * std::tanh(1. / bound);
    const GaussianLikelihood loss(bound);
    EXPECT_NEAR(number(loss.value(prediction, target)),
                0.25 * (1. + s + 4. * std::exp(-s)),
                1e-14);
    // Against the density of the normal distribution.
    double log_density = 0;
    for (const auto &[mean, variance, value] :
         {std::make_tuple(1., 1., 2.), std::make_tuple(2., std::exp(s), 4.)})
      log_density +=
        std::log(std::exp(-0.5 * (value - mean) * (value - mean) / variance) /
                 std::sqrt(2. * M_PI * variance));
    EXPECT_NEAR(number(loss.value(prediction, target)),
                -0.5 * log_density - 0.5 * std::log(2. * M_PI),
                1e-14);

    const auto p = random_normal({3, 4, 2, 2}, 24),
               t = random_normal({3, 2, 2, 2}, 25);
    check_gradient(*make_loss("Gaussian likelihood", none, "the test"), p, t);
  }



  // Of all constant means and variances those of the data are best.
  TEST(GaussianLikelihood, IsSmallestAtMeanAndVariance)
  {
    const auto   data     = 1.5 + 0.3 * random_normal({500, 1, 1}, 26);
    const double mean     = data.mean().item<double>();
    const double variance = (data - mean).square().mean().item<double>();

    const GaussianLikelihood loss(20.);
    const auto               prediction = [&](const double m, const double v) {
      // the r of which the log of v is the bounded one
      const double r = 20. * std::atanh(std::log(v) / 20.);
      return torch::tensor({m, r}, torch::kFloat64)
        .reshape({1, 2, 1})
        .repeat({500, 1, 1});
    };
    const auto best  = prediction(mean, variance).requires_grad_(true);
    const auto value = loss.value(best, data);
    value.backward();
    EXPECT_LT(best.grad().sum(0).abs().max().item<double>(), 1e-13);
    EXPECT_NEAR(number(value), 0.5 * (std::log(variance) + 1.), 1e-12);
    for (const double factor : {0.9, 1.1})
      {
        EXPECT_GT(number(loss.value(prediction(mean * factor, variance), data)),
                  number(value));
        EXPECT_GT(number(loss.value(prediction(mean, variance * factor), data)),
                  number(value));
      }
  }



  // Every derivative of a value times its variance to the power beta: of means
  // with beta = 1 that of half the squared error.
  TEST(GaussianLikelihood, WeightsByThePredictedVariance)
  {
    const auto t         = random_normal({3, 2, 4}, 27),
               m         = random_normal({3, 2, 4}, 28),
               r         = random_normal({3, 2, 4}, 29);
    const auto gradients = [&](const double beta) {
      const auto p = torch::cat({m, r}, 1).requires_grad_(true);
      make_loss("Gaussian likelihood", {{"beta", beta}}, "the test")
        ->value(p, t)
        .backward();
      return p.grad();
    };
    const auto variance =
      GaussianLikelihood(20.).log_variance(r).exp().repeat({1, 2, 1});
    for (const double beta : {0.5, 1.})
      EXPECT_LT((gradients(beta) - gradients(0.) * variance.pow(beta))
                  .abs()
                  .max()
                  .item<double>(),
                1e-14);
    EXPECT_LT(
      (gradients(1.).slice(1, 0, 2) - (m - t) / 24.).abs().max().item<double>(),
      1e-14);
  }



  TEST(GaussianLikelihood, ExtremeVariancesAreFinite)
  {
    const GaussianLikelihood loss(20.);
    const auto               prediction =
      torch::tensor({1.f, 1.f, 1e30f, -1e30f}).reshape({1, 2, 2});
    const auto p     = prediction.clone().requires_grad_(true);
    const auto value = loss.value(p, torch::zeros({1, 1, 2}));
    value.backward();
    EXPECT_NEAR(number(value),
                0.25 * (std::exp(20.) + std::exp(-20.)),
                1e-5 * std::exp(20.));
    EXPECT_TRUE(torch::isfinite(p.grad()).all().item<bool>());
  }



  TEST(EnergyScore, IsTheDoubleSum)
  {
    const auto x = random_normal({4, 3, 2, 5}, 27),
               t = random_normal({3, 2, 5}, 28);
    LossContext context;
    for (const bool with_mass : {false, true})
      {
        auto m = torch::eye(5, torch::kFloat64);
        if (with_mass)
          {
            context.mass = spd(5, 29);
            m            = context.mass.to_dense();
          }
        const auto norm = [&](const torch::Tensor &v) {
          return std::sqrt(
            torch::mm(torch::mm(v, m), v.t()).trace().item<double>());
        };
        double expected = 0;
        for (long n = 0; n < 3; ++n)
          {
            double to_target = 0, among = 0;
            for (long i = 0; i < 4; ++i)
              {
                to_target += norm(x[i][n] - t[n]);
                for (long j = 0; j < 4; ++j)
                  among += norm(x[i][n] - x[j][n]);
              }
            expected +=
              (to_target / 4. - among / (2. * 4. * 3.)) / norm(t[n]) / 3.;
          }
        const auto loss = make_loss("energy score", none, "the test", context);
        EXPECT_NEAR(number(loss->value(x, t)), expected, 1e-12);
        check_gradient(*loss, x, t);
      }

    // Members that agree have no spread: the relative error, and no division
    // by zero.
    const auto loss = make_loss("energy score", none, "the test");
    const auto same =
      x[0].unsqueeze(0).repeat({3, 1, 1, 1}).requires_grad_(true);
    const auto value = loss->value(same, t);
    value.backward();
    EXPECT_NEAR(number(value),
                number(
                  make_loss("relative L2", none, "the test")->value(x[0], t)),
                1e-12);
    EXPECT_TRUE(torch::isfinite(same.grad()).all().item<bool>());
  }



  TEST(EnsembleLoss, BetweenMembersAloneAndTheirDistribution)
  {
    const auto x = random_normal({4, 3, 2, 5}, 27),
               t = random_normal({3, 2, 5}, 28);
    LossContext context;
    context.mass                      = spd(5, 29);
    const SquaredNorm           norm  = quadratic_form(context.mass);
    const std::shared_ptr<Loss> alone = std::make_shared<RelativeNorm>(norm);

    double mean = 0, distances = 0;
    for (long i = 0; i < 4; ++i)
      {
        mean += number(alone->value(x[i], t)) / 4.;
        for (long j = 0; j < 4; ++j)
          distances +=
            number((norm(x[i] - x[j]).sqrt() / norm(t).sqrt()).mean()) / 16.;
      }
    EXPECT_NEAR(number(EnsembleLoss(alone, norm).value(x, t)), mean, 1e-13);
    const EnsembleLoss rewarded(alone, norm, 0.2);
    EXPECT_NEAR(number(rewarded.value(x, t)), mean - 0.2 * distances, 1e-13);
    check_gradient(rewarded, x, t);

    // In one dimension the quantiles 1/8, 3/8, 5/8 and 7/8 of the targets
    // cannot be improved (the floor has all of them weigh the same), but with
    // the reward of the fair score.
    const auto targets =
      torch::arange(800, torch::kFloat64).reshape({800, 1, 1});
    const auto quantiles =
      torch::tensor({99.5, 299.5, 499.5, 699.5}, torch::kFloat64);
    const double floor  = 1e3;
    const auto absolute = std::make_shared<RelativeNorm>(mean_square(), floor);
    const auto slope    = [&](const double diversity) {
      const auto members = quantiles.clone().requires_grad_(true);
      EnsembleLoss(absolute, mean_square(), diversity, floor)
        .value(members.reshape({4, 1, 1, 1}).expand({4, 800, 1, 1}), targets)
        .backward();
      return number(members.grad().abs().max());
    };
    EXPECT_LT(slope(0.5), 1e-12 * slope(0.));
    EXPECT_GT(slope(0.5 * 4. / 3.), 0.1 * slope(0.));

    // One member has nobody to differ from.
    EXPECT_NEAR(number(EnsembleLoss(alone, norm).value(x.slice(0, 0, 1), t)),
                number(alone->value(x[0], t)),
                1e-13);
    expect_sentence(message_of<InputError>(
                      [&]() { rewarded.value(x.slice(0, 0, 1), t); }),
                    {"members", "1", "two or more"});
  }



  // Targets and two members are points on a circle, of one norm therefore,
  // with normally distributed angles. The score is smallest where members are
  // distributed as targets are. (An unfair one would be so at less spread.)
  TEST(EnergyScore, IsSmallestAtTheTrueDistribution)
  {
    const long   n         = 20000;
    const double sigma     = 0.5;
    const auto   on_circle = [](const torch::Tensor &angles) {
      return torch::stack({torch::cos(angles), torch::sin(angles)}, -1)
        .unsqueeze(-2);
    };
    const auto targets = on_circle(sigma * random_normal({n}, 30));
    const auto drawn   = random_normal({2, n}, 31);
    const auto loss    = make_loss("energy score", none, "the test");
    const auto score   = [&](const double bias, const double scale) {
      return number(
        loss->value(on_circle(bias + scale * sigma * drawn), targets));
    };
    const double truth = score(0., 1.);
    EXPECT_GT(truth, 0.);
    for (const double scale : {0.5, 0.7, 1.4, 2.})
      EXPECT_GT(score(0., scale), truth) << scale;
    for (const double bias : {-0.2, 0.2})
      EXPECT_GT(score(bias, 1.), truth) << bias;
  }



  // In expectation the score does not depend on the number of members.
  TEST(EnergyScore, IsFair)
  {
    const long n       = 20000;
    const auto targets = 10. + random_normal({n, 1, 1}, 32);
    const auto x       = 10. + random_normal({8, n, 1, 1}, 33);
    const auto loss    = make_loss("energy score", none, "the test");
    const auto many    = number(loss->value(x, targets));
    const auto two     = number(loss->value(x.slice(0, 0, 2), targets));
    // E|x − t| − E|x − x'|/2 = 1/√π, over about 10; an unfair score of two
    // would be half as large again.
    EXPECT_NEAR(10. * many, 1. / std::sqrt(M_PI), 0.03);
    EXPECT_NEAR(10. * two, 1. / std::sqrt(M_PI), 0.03);
  }



  TEST(ResidualLoss, IsMeanSquare)
  {
    LossContext context;
    context.residual = [](const torch::Tensor &prediction,
                          const torch::Tensor &input) {
      return prediction.square() - input;
    };
    const auto loss = make_loss("residual", none, "the test", context);
    // residuals 1 − 3, 4 − 1, 0 − 0, 9 − 10
    const auto p =
      torch::tensor({1., 2., 0., 3.}, torch::kFloat64).reshape({2, 1, 2});
    const auto input =
      torch::tensor({3., 1., 0., 10.}, torch::kFloat64).reshape({2, 1, 2});
    EXPECT_NEAR(number(loss->value(p, torch::Tensor(), input)),
                (4. + 9. + 0. + 1.) / 4.,
                1e-14);
    check_gradient(*loss, p, torch::Tensor(), input);
  }



  TEST(LossMix, IsWeightedSum)
  {
    LossContext context;
    context.residual = [](const torch::Tensor &prediction,
                          const torch::Tensor &input) {
      return prediction - input;
    };
    const auto p                    = random_normal({2, 1, 6}, 34),
               t                    = random_normal({2, 1, 6}, 35),
               a                    = random_normal({2, 1, 6}, 36);
    const nlohmann::json parameters = {
      {"terms",
       {{{"type", "relative L2"}},
        {{"type", "relative H1"},
         {"weight", 0.25},
         {"parameters", {{"gradient weight", 0.1}}}},
        {{"type", "mix"},
         {"weight", 2},
         {"parameters",
          {{"terms", {{{"type", "residual"}, {"weight", 3.}}}}}}}}}};
    const auto mix   = make_loss("mix", parameters, "the test", context);
    const auto value = [&](const std::string    &type,
                           const nlohmann::json &json) {
      return number(make_loss(type, json, "the test", context)->value(p, t, a));
    };
    EXPECT_NEAR(number(mix->value(p, t, a)),
                value("relative L2", none) +
                  0.25 * value("relative H1", {{"gradient weight", 0.1}}) +
                  6. * (p - a).square().mean().item<double>(),
                1e-13);
    check_gradient(*mix, p, t, a);
  }



  TEST(Losses, MistakesAreSentences)
  {
    const auto construction = [](const std::string    &type,
                                 const nlohmann::json &parameters) {
      return message_of<InputError>(
        [&]() { make_loss(type, parameters, "case.json"); });
    };
    expect_sentence(
      construction("L3", none),
      {"case.json", "loss is 'L3'", "energy score", "relative H1"});
    expect_sentence(construction("relative L2", {{"floor", -1}}),
                    {"case.json", "floor is '-1'", "from 0 to 1"});
    expect_sentence(construction("relative energy", none),
                    {"case.json", "the stiffness matrix is 'not given'"});
    expect_sentence(construction("residual", none),
                    {"case.json", "the residual is 'not given'"});
    expect_sentence(construction("mix", none), {"case.json", "terms"});
    expect_sentence(construction("mix", {{"terms", {1}}}),
                    {"case.json, term 0",
                     "'1'",
                     "type, weight and parameters"});
    const nlohmann::json good = {{"type", "relative L2"}};
    expect_sentence(construction("mix", {{"terms", {good, {{"type", "L3"}}}}}),
                    {"case.json, term 1", "loss is 'L3'"});
    expect_sentence(
      construction("mix",
                   {{"terms", {{{"type", "relative L2"}, {"weight", -1.}}}}}),
      {"case.json, term 0", "weight is '-1.0'"});

    // H1 needs both matrices where there is one
    LossContext context;
    context.mass = spd(3, 37);
    expect_sentence(message_of<InputError>([&]() {
                      make_loss("relative H1", none, "case.json", context);
                    }),
                    {"the stiffness matrix is 'not given'"});

    const auto evaluation = [](const std::string               &type,
                               const std::vector<std::int64_t> &prediction,
                               const std::vector<std::int64_t> &target) {
      return message_of<InputError>([&]() {
        make_loss(type, none, "case.json")
          ->value(torch::ones(prediction), torch::ones(target));
      });
    };
    expect_sentence(evaluation("relative L2", {2, 1, 3}, {2, 3, 1}),
                    {"'[2, 1, 3]'", "[2, 3, 1]"});
    expect_sentence(evaluation("relative L2", {0, 1, 3}, {0, 1, 3}),
                    {"'[0, 1, 3]'"});
    expect_sentence(evaluation("relative L2", {3}, {3}), {"target is '[3]'"});
    expect_sentence(evaluation("Gaussian likelihood", {2, 1, 3}, {2, 1, 3}),
                    {"'[2, 1, 3]'", "[2, 2, 3]"});
    expect_sentence(evaluation("energy score", {2, 1, 3}, {2, 1, 3}),
                    {"'[2, 1, 3]'", "[2, 2, 1, 3]"});
    expect_sentence(evaluation("energy score", {1, 2, 1, 3}, {2, 1, 3}),
                    {"is '1'", "two or more"});

    LossContext with_residual;
    with_residual.residual = [](const torch::Tensor &p, const torch::Tensor &) {
      return p;
    };
    const auto residual =
      make_loss("residual", none, "case.json", with_residual);
    expect_sentence(
      message_of<InputError>([&]() {
        residual->value(torch::ones({1, 1, 1}), torch::ones({1, 1, 1}));
      }),
      {"the input of a residual is 'not given'"});
  }
} // namespace
