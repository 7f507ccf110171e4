// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/uncertainty/scores.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;
  using scores::EnsembleForm;

  constexpr double infinity     = std::numeric_limits<double>::infinity();
  constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

  torch::Tensor
  numbers(const std::vector<double> &values)
  {
    return torch::tensor(values, torch::kFloat64);
  }

  double
  mean_of(const torch::Tensor &values)
  {
    return values.mean().item<double>();
  }

  /** Of the mean of independent values. */
  double
  standard_error(const torch::Tensor &values)
  {
    return values.std().item<double>() / std::sqrt(double(values.numel()));
  }

  bool
  all_nan(const torch::Tensor &values)
  {
    return values.isnan().all().item<bool>();
  }

  /** The distribution function of a standard normal number. */
  double
  phi(const double z)
  {
    return 0.5 * std::erfc(-z / std::sqrt(2.));
  }

  FieldDistribution
  random_gaussian(const long          n,
                  const long          n_values,
                  const long          k,
                  const std::uint64_t number)
  {
    return {random_normal({n, n_values}, number),
            random_normal({n, n_values, k}, number + 1),
            random_uniform({n, n_values}, 0.1, 2., number + 2)};
  }



  TEST(GaussianLikelihood, IsTheLogarithmOfADensity)
  {
    // which is known at three values, and has the integral one
    const auto   value    = scores::gaussian_likelihood(numbers({0., 1., 3.}),
                                                   numbers({1., 2., 0.5}),
                                                   numbers({0., 1., 4.}));
    const double half_log = 0.5 * std::log(2. * M_PI);
    EXPECT_LT(distance(value,
                       numbers({half_log,
                                half_log + std::log(2.),
                                half_log - std::log(2.) + 2.})),
              1e-14);

    const double h       = 1e-3;
    const auto   y       = torch::arange(-12., 12., h, torch::kFloat64);
    const auto   density = torch::exp(-scores::gaussian_likelihood(
      torch::full_like(y, 0.3), torch::full_like(y, 0.8), y));
    EXPECT_NEAR((density * h).sum().item<double>(), 1., 1e-12);
  }



  // ∫ (F(x) − [x ≥ y])² dx, what the score is by definition.
  TEST(GaussianCRPS, IsTheIntegral)
  {
    for (const auto &[mu, sigma, y] : {std::make_tuple(0., 1., 0.),
                                       std::make_tuple(0.4, 0.7, 1.9),
                                       std::make_tuple(-1., 1.5, -3.)})
      {
        // by the midpoint rule on either side of the jump
        double       integral = 0;
        const double h        = 1e-3;
        for (unsigned int i = 0; i < 15000; ++i)
          {
            const double x = (i + 0.5) * h;
            integral += h * std::pow(phi((y - x - mu) / sigma), 2);
            integral += h * std::pow(1. - phi((y + x - mu) / sigma), 2);
          }
        EXPECT_NEAR(mean_of(scores::gaussian_crps(numbers({mu}),
                                                  numbers({sigma}),
                                                  numbers({y}))),
                    integral,
                    1e-6);
      }
    EXPECT_NEAR(mean_of(scores::gaussian_crps(numbers({1.}),
                                              numbers({2.}),
                                              numbers({1.}))),
                2. * (std::sqrt(2.) - 1.) / std::sqrt(M_PI),
                1e-14);
  }



  TEST(GaussianCRPS, WithoutSpreadIsTheError)
  {
    const auto m = numbers({1., 2., 3.}), y = numbers({1.5, 2., 0.});
    EXPECT_LT(distance(scores::gaussian_crps(m, torch::zeros_like(m), y),
                       numbers({0.5, 0., 3.})),
              1e-15);
    // and so it is nearly, with a little
    EXPECT_LT(distance(scores::gaussian_crps(m, torch::full_like(m, 1e-9), y),
                       numbers({0.5, 0., 3.})),
              1e-9);
  }



  TEST(EnsembleCRPS, OfTwoMembersByHand)
  {
    // members 0 and 2 against 1, and against 5
    const auto members = numbers({0., 0., 2., 2.}).reshape({2, 2});
    const auto truth   = numbers({1., 5.});
    EXPECT_LT(
      distance(scores::ensemble_crps(members, truth, EnsembleForm::atoms),
               numbers({1. - 0.5, 4. - 0.5})),
      1e-15);
    EXPECT_LT(
      distance(scores::ensemble_crps(members, truth, EnsembleForm::fair),
               numbers({0., 3.})),
      1e-15);
    // one member is a point
    EXPECT_LT(distance(scores::ensemble_crps(members.slice(0, 0, 1),
                                             truth,
                                             EnsembleForm::atoms),
                       numbers({1., 5.})),
              1e-15);
    EXPECT_THROW(scores::ensemble_crps(members.slice(0, 0, 1),
                                       truth,
                                       EnsembleForm::fair),
                 c10::Error);
  }



  TEST(EnsembleCRPS, IsTheDoubleSum)
  {
    const long m       = 7;
    const auto members = random_normal({m, 3, 4}, 100),
               truth   = random_normal({3, 4}, 101);
    const auto spread =
      (members.unsqueeze(0) - members.unsqueeze(1)).abs().sum(0).sum(0);
    const auto error = (members - truth).abs().mean(0);
    // far from zero as well, where digits are lost otherwise
    for (const double shift : {0., 1e6})
      {
        EXPECT_LT(distance(scores::ensemble_crps(members + shift,
                                                 truth + shift,
                                                 EnsembleForm::atoms),
                           error - spread / (2. * m * m)),
                  shift > 0. ? 1e-9 : 1e-14);
        EXPECT_LT(distance(scores::ensemble_crps(members + shift,
                                                 truth + shift,
                                                 EnsembleForm::fair),
                           error - spread / (2. * m * (m - 1))),
                  shift > 0. ? 1e-9 : 1e-14);
      }
  }



  // On average over ensembles, the fair form is the score of what members are
  // drawn from, whatever their number, and the other one is larger by half
  // the mean distance of two of them, 2/√π, over their number.
  TEST(EnsembleCRPS, FairFormHasNoBias)
  {
    const long   n     = 40000;
    const double y     = 0.6;
    const double exact = mean_of(
      scores::gaussian_crps(numbers({0.}), numbers({1.}), numbers({y})));
    const auto truth = torch::full({n}, y, torch::kFloat64);
    for (const long m : {2, 3, 8})
      {
        const auto members = random_normal({m, n}, 200 + m);
        const auto fair =
          scores::ensemble_crps(members, truth, EnsembleForm::fair);
        EXPECT_NEAR(mean_of(fair), exact, 4. * standard_error(fair)) << m;
        const auto atoms =
          scores::ensemble_crps(members, truth, EnsembleForm::atoms);
        EXPECT_NEAR(mean_of(atoms),
                    exact + 1. / (m * std::sqrt(M_PI)),
                    4. * standard_error(atoms))
          << m;
        // which these samples can tell apart
        EXPECT_GT(1. / (m * std::sqrt(M_PI)), 8. * standard_error(atoms));
      }
  }



  TEST(EnergyScore, OfTwoMembersByHand)
  {
    // lengths with weights 4 and 1: members 5 apart, 3 and 4 from the truth
    const auto norm    = quadratic_form(numbers({4., 1.}));
    const auto members = numbers({1.5, 0., 0., 4.}).reshape({2, 1, 2});
    const auto truth   = torch::zeros({1, 2}, torch::kFloat64);
    EXPECT_NEAR(
      mean_of(scores::energy_score(members, truth, norm, EnsembleForm::atoms)),
      3.5 - 5. / 4.,
      1e-14);
    EXPECT_NEAR(
      mean_of(scores::energy_score(members, truth, norm, EnsembleForm::fair)),
      3.5 - 5. / 2.,
      1e-14);
    EXPECT_THROW(scores::energy_score(
                   members.slice(0, 0, 1), truth, norm, EnsembleForm::fair),
                 c10::Error);
  }



  TEST(EnergyScore, OfNumbersIsTheCRPS)
  {
    const auto members = random_normal({6, 5, 1}, 300),
               truth   = random_normal({5, 1}, 301);
    for (const auto form : {EnsembleForm::atoms, EnsembleForm::fair})
      EXPECT_LT(
        distance(scores::energy_score(members, truth, mean_square(), form),
                 scores::ensemble_crps(members, truth, form).squeeze(1)),
        1e-14);
  }



  TEST(EnergyScore, ChannelsArePartOfAField)
  {
    const long m     = 4;
    const auto dense = [] {
      const auto factor = random_normal({6, 6}, 310);
      return torch::mm(factor, factor.t());
    }();
    const auto norm    = quadratic_form(dense.to_sparse());
    const auto members = random_normal({m, 3, 2, 6}, 311),
               truth   = random_normal({3, 2, 6}, 312);
    // channels add up
    const auto length = [&](const torch::Tensor &v) {
      return std::sqrt(
        torch::mm(torch::mm(v, dense), v.t()).trace().item<double>());
    };
    const auto value =
      scores::energy_score(members, truth, norm, EnsembleForm::fair);
    for (long s = 0; s < 3; ++s)
      {
        double expected = 0;
        for (long i = 0; i < m; ++i)
          {
            expected += length(members[i][s] - truth[s]) / m;
            for (long j = 0; j < m; ++j)
              expected -=
                length(members[i][s] - members[j][s]) / (2. * m * (m - 1));
          }
        EXPECT_NEAR(value[s].item<double>(), expected, 1e-12);
      }
  }



  TEST(EnergyScore, OfSampledGaussians)
  {
    // numbers: the CRPS with the variance of both parts
    const FieldDistribution one{numbers({0.3, 0.3}).reshape({2, 1}),
                                numbers({0.5, 1., 0.5, 1.}).reshape({2, 1, 2}),
                                numbers({0.75, 0.75}).reshape({2, 1})};
    const auto              truth = numbers({0.3, 2.}).reshape({2, 1});
    const auto              exact =
      scores::gaussian_crps(one.mean,
                            torch::full({2, 1}, std::sqrt(2.), torch::kFloat64),
                            truth)
        .squeeze(1);
    const auto score =
      scores::energy_score(one, truth, mean_square(), 20000, 1);
    EXPECT_TRUE(((score.value - exact).abs() < 4. * score.standard_error)
                  .all()
                  .item<bool>());
    EXPECT_LT(score.standard_error.max().item<double>(), 0.01);
    EXPECT_EQ(score.standard_error.sizes(), at::IntArrayRef({2}));

    // fields of independent values around their truth: E|e| (1 − 1/√2), with
    // √2 Γ((N + 1)/2)/Γ(N/2) for the length of N of them
    const long              n_values = 5;
    const FieldDistribution five{
      torch::ones({1, n_values}, torch::kFloat64),
      torch::zeros({1, n_values, 0}, torch::kFloat64),
      torch::full({1, n_values}, 4., torch::kFloat64)};
    const auto field =
      scores::energy_score(five,
                           five.mean,
                           quadratic_form(
                             torch::ones({n_values}, torch::kFloat64)),
                           20000,
                           2);
    EXPECT_NEAR(field.value.item<double>(),
                2. * std::sqrt(2.) * std::tgamma(3.) / std::tgamma(2.5) *
                  (1. - 1. / std::sqrt(2.)),
                4. * field.standard_error.item<double>());
  }



  TEST(EnergyScore, SamplesAreReproducibleAndSayHowGoodTheyAre)
  {
    auto       prediction = random_gaussian(3, 4, 2, 320);
    const auto truth      = random_normal({3, 4}, 330);
    const auto score =
      scores::energy_score(prediction, truth, mean_square(), 50, 7);
    EXPECT_TRUE(torch::equal(
      score.value,
      scores::energy_score(prediction, truth, mean_square(), 50, 7).value));
    // those of a sample do not depend on the others
    const FieldDistribution first{prediction.mean.slice(0, 0, 1),
                                  prediction.factor.slice(0, 0, 1),
                                  prediction.variance.slice(0, 0, 1)};
    EXPECT_NEAR(
      scores::energy_score(first, truth.slice(0, 0, 1), mean_square(), 50, 7)
        .value.item<double>(),
      score.value[0].item<double>(),
      1e-14);

    // the spread over seeds is the standard error: the mean over 3 · 200
    // squares of ratios is one up to 4 √(2/600), and some for their estimate
    std::vector<torch::Tensor> values, errors;
    for (unsigned int seed = 0; seed < 200; ++seed)
      {
        const auto other =
          scores::energy_score(prediction, truth, mean_square(), 50, seed);
        values.push_back(other.value);
        errors.push_back(other.standard_error);
      }
    const auto all    = torch::stack(values);
    const auto ratios = (all - all.mean(0)) / torch::stack(errors);
    ASSERT_EQ(torch::stack(errors).sizes(), all.sizes());
    // (that of each sample: they differ)
    EXPECT_TRUE(
      ((ratios.square().mean(0) - 1.).abs() < 0.45).all().item<bool>());
    EXPECT_GT(
      (score.standard_error.max() / score.standard_error.min()).item<double>(),
      1.2);
    EXPECT_NEAR(mean_of(ratios.square()), 1., 0.3);
  }



  TEST(FieldLikelihood, IsThatOfTheDenseMatrix)
  {
    const long n = 3, n_values = 14;
    for (const long k : {0, 1, 5, 20})
      {
        const auto prediction = random_gaussian(n, n_values, k, 400 + 10 * k);
        const auto truth      = random_normal({n, n_values}, 409 + 10 * k);
        const auto covariance =
          torch::bmm(prediction.factor, prediction.factor.transpose(1, 2)) +
          torch::diag_embed(prediction.variance);
        const auto r = (truth - prediction.mean).unsqueeze(2);
        const auto square =
          torch::bmm(r.transpose(1, 2),
                     torch::bmm(at::linalg_inv(covariance), r))
            .reshape({n});
        const auto determinant = std::get<1>(at::linalg_slogdet(covariance));
        EXPECT_LT(distance(scores::field_chi_square(prediction, truth),
                           square / double(n_values)),
                  1e-10);
        EXPECT_LT(distance(scores::field_likelihood(prediction, truth),
                           0.5 * (n_values * std::log(2. * M_PI) + determinant +
                                  square)),
                  1e-10);
      }
  }



  TEST(FieldLikelihood, WithoutFactorIsTheSumOverPoints)
  {
    const auto prediction = random_gaussian(4, 9, 0, 500);
    const auto truth      = random_normal({4, 9}, 510);
    const auto deviation  = prediction.variance.sqrt();
    EXPECT_LT(
      distance(
        scores::field_likelihood(prediction, truth),
        scores::gaussian_likelihood(prediction.mean, deviation, truth).sum(1)),
      1e-12);
    EXPECT_LT(distance(scores::field_chi_square(prediction, truth),
                       scores::chi_square(prediction.mean, deviation, truth)),
              1e-12);
  }



  // A large error in the direction u that the factor s u explains, beside a
  // small one v that it does not: (a/s)² + |v|²/d up to d/s². The difference
  // of Woodbury's formula would have terms of 1e18 for a result of about 3.
  TEST(FieldChiSquare, KeepsDigitsWhereTheFactorDominates)
  {
    const double d = 0.01, s = 1e8, a = 1.5e8;
    const auto   u = numbers({0.6, 0.8, 0.}), v = numbers({0., 0., 0.1});
    const FieldDistribution prediction{torch::zeros({1, 3}, torch::kFloat64),
                                       (s * u).reshape({1, 3, 1}),
                                       torch::full({1, 3}, d, torch::kFloat64)};
    const auto              truth = (a * u + v).unsqueeze(0);
    EXPECT_NEAR(scores::field_chi_square(prediction, truth).item<double>(),
                (2.25 + 1.) / 3.,
                1e-6);
    EXPECT_NEAR(scores::field_likelihood(prediction, truth).item<double>(),
                0.5 * (3. * std::log(2. * M_PI) + 2. * std::log(d) +
                       2. * std::log(s) + 3.25),
                1e-6);
  }



  // Fields drawn from the prediction have one on average, with the variance
  // 2/N each; points taken by themselves have it with more spread.
  TEST(FieldChiSquare, OfTheTruthsOwnDistributionIsOne)
  {
    const long              n = 4000, n_values = 20, k = 3;
    const auto              one = random_gaussian(1, n_values, k, 600);
    const FieldDistribution prediction{one.mean.repeat({n, 1}),
                                       one.factor.repeat({n, 1, 1}),
                                       one.variance.repeat({n, 1})};
    const auto              truth =
      prediction.mean +
      torch::bmm(prediction.factor, random_normal({n, k, 1}, 610)).squeeze(2) +
      prediction.variance.sqrt() * random_normal({n, n_values}, 611);
    const auto field = scores::field_chi_square(prediction, truth);
    EXPECT_NEAR(mean_of(field), 1., 4. * std::sqrt(2. / (n_values * n)));
    // the variance of squares of such sums: 4 standard errors are 4 √(2/n)
    // and a little, as the fourth moment is that of χ² with 20 degrees
    EXPECT_NEAR(field.var().item<double>() * n_values / 2.,
                1.,
                4. * std::sqrt((2. + 12. / n_values) / n));

    const auto pointwise = scores::chi_square(
      prediction.mean,
      (prediction.factor.square().sum(2) + prediction.variance).sqrt(),
      truth);
    EXPECT_NEAR(mean_of(pointwise), 1., 4. * standard_error(pointwise));
    EXPECT_GT(pointwise.var().item<double>(), 2. * field.var().item<double>());
  }



  TEST(ChiSquare, ByHand)
  {
    EXPECT_LT(
      distance(scores::chi_square(numbers({0., 1., 2., 3.}).reshape({2, 2}),
                                  numbers({1., 2., 0.5, 1.}).reshape({2, 2}),
                                  numbers({2., 1., 2.5, 0.}).reshape({2, 2})),
               numbers({2., 5.})),
      1e-15);
  }



  TEST(IntervalScores, ByHand)
  {
    // ends count as covered; samples by themselves
    const auto result =
      scores::interval_scores(numbers({0., 0., 1., -1.}).reshape({2, 2}),
                              numbers({1., 2., 1.5, 4.}).reshape({2, 2}),
                              numbers({1., 3., 1., -1.}).reshape({2, 2}));
    EXPECT_LT(distance(result.coverage, numbers({0.5, 1.})), 1e-15);
    EXPECT_LT(distance(result.width, numbers({1.5, 2.75})), 1e-15);

    // an interval without ends covers, and is infinitely wide
    const auto all = scores::interval_scores(numbers({-infinity}),
                                             numbers({infinity}),
                                             numbers({7.}));
    EXPECT_EQ(all.coverage.item<double>(), 1.);
    EXPECT_EQ(all.width.item<double>(), infinity);
  }



  TEST(QuantileCalibration, ByHand)
  {
    // two levels, four values: one and three of them are not above
    const auto result = scores::quantile_calibration(
      numbers({1., 1., 1., 1., 2., 3., 2., 2.}).reshape({2, 4}),
      numbers({0.25, 0.5}),
      numbers({1., 3., 1.5, 5.}));
    EXPECT_LT(distance(result.frequencies, numbers({0.25, 0.75})), 1e-15);
    EXPECT_NEAR(result.error, 0.125, 1e-15);
    EXPECT_NEAR(result.mean_square, 0.03125, 1e-15);
  }



  TEST(QuantileCalibration, OfGaussiansIsThatOfTheirQuantiles)
  {
    const auto m = random_normal({30, 4}, 700), y = random_normal({30, 4}, 701),
               s      = random_uniform({30, 4}, 0.3, 2., 702);
    const auto direct = scores::gaussian_calibration(m, s, y, 9);
    const auto z =
      std::sqrt(2.) * torch::erfinv(2. * direct.levels - 1.).reshape({9, 1, 1});
    const auto quantiles = m.unsqueeze(0) + s.unsqueeze(0) * z;
    const auto other =
      scores::quantile_calibration(quantiles, direct.levels, y);
    EXPECT_LT(distance(direct.levels,
                       torch::arange(1., 9.5, torch::kFloat64) / 10.),
              1e-15);
    EXPECT_LT(distance(direct.frequencies, other.frequencies), 1e-14);
    EXPECT_NEAR(direct.error, other.error, 1e-14);
    EXPECT_NEAR(direct.mean_square, other.mean_square, 1e-14);
  }



  // Truths with half and twice the spread that is predicted, put in the middle
  // of n intervals of the same probability: frequencies are known up to 1/n.
  TEST(QuantileCalibration, SeesWrongSpread)
  {
    const long n = 20000;
    const auto z =
      std::sqrt(2.) *
      torch::erfinv((torch::arange(n, torch::kFloat64) + 0.5) * (2. / n) - 1.);
    const auto zero = torch::zeros_like(z), one = torch::ones_like(z);
    EXPECT_LT(scores::gaussian_calibration(zero, one, z).error, 1. / n);
    for (const double spread : {0.5, 2.})
      {
        const auto result = scores::gaussian_calibration(zero, one, spread * z);
        double     error  = 0;
        const auto q =
          (std::sqrt(2.) * torch::erfinv(2. * result.levels - 1.)).contiguous();
        for (long j = 0; j < q.size(0); ++j)
          {
            const double expected = phi(q[j].item<double>() / spread);
            EXPECT_NEAR(result.frequencies[j].item<double>(), expected, 1. / n);
            error +=
              std::abs(expected - result.levels[j].item<double>()) / q.size(0);
          }
        EXPECT_NEAR(result.error, error, 1. / n);
        EXPECT_GT(error, 0.1);
      }
  }



  // The members of an ensemble, sorted, at the levels j/(m + 1).
  TEST(QuantileCalibration, OfEnsembles)
  {
    const long m = 9, n = 20000;
    const auto members = std::get<0>(random_normal({m, n}, 710).sort(0));
    const auto levels  = torch::arange(1., m + 0.5, torch::kFloat64) / (m + 1.);
    const auto result =
      scores::quantile_calibration(members, levels, random_normal({n}, 711));
    EXPECT_TRUE(((result.frequencies - levels).abs() <
                 4. * (levels * (1. - levels) / double(n)).sqrt())
                  .all()
                  .item<bool>());
  }



  TEST(RankCorrelation, ByHand)
  {
    const auto up = numbers({10., 20., 30., 40.});
    EXPECT_DOUBLE_EQ(scores::rank_correlation(numbers({-1., 0., 5., 6.}), up),
                     1.);
    EXPECT_DOUBLE_EQ(scores::rank_correlation(-up, up), -1.);
    // 1 − 6 Σ d²/(n (n² − 1)) without ties, ranks 1 3 2 4: d² = 0 1 1 0
    EXPECT_DOUBLE_EQ(scores::rank_correlation(numbers({1., 3., 2., 4.}), up),
                     1. - 12. / 60.);
    // ranks 0, 1½, 1½, 3 against 0, 1, 2, 3
    EXPECT_DOUBLE_EQ(scores::rank_correlation(numbers({1., 2., 2., 3.}), up),
                     4.5 / std::sqrt(4.5 * 5.));
    // ranks ½ ½ 2½ 2½ against ½ 2½ ½ 2½: nothing
    EXPECT_NEAR(scores::rank_correlation(numbers({1., 1., 2., 2.}),
                                         numbers({1., 2., 1., 2.})),
                0.,
                1e-15);
    // ranks 1 1 1 3 against 0 1½ 1½ 3: d = −½ −½ −½ 1½ and −1½ 0 0 1½
    EXPECT_DOUBLE_EQ(scores::rank_correlation(numbers({4., 4., 4., 9.}),
                                              numbers({1., 2., 2., infinity})),
                     3. / std::sqrt(3. * 4.5));
    // what has no ranks, or is no number, has none
    EXPECT_TRUE(std::isnan(scores::rank_correlation(torch::ones({4}), up)));
    EXPECT_TRUE(
      std::isnan(scores::rank_correlation(numbers({1.}), numbers({2.}))));
    EXPECT_TRUE(std::isnan(
      scores::rank_correlation(numbers({1., 2., not_a_number, 4.}), up)));
  }



  TEST(RankCorrelation, DoesNotSeeMonotoneMaps)
  {
    const auto a = random_normal({50}, 800);
    const auto b = a + random_normal({50}, 801);
    EXPECT_DOUBLE_EQ(scores::rank_correlation(torch::exp(a), b.pow(3)),
                     scores::rank_correlation(a, b));
    EXPECT_DOUBLE_EQ(scores::rank_correlation(b, a),
                     scores::rank_correlation(a, b));
  }



  TEST(Quantiles, AreValuesSeen)
  {
    const auto values = (torch::randperm(20).to(torch::kFloat64) + 1.);
    EXPECT_TRUE(torch::equal(
      scores::quantiles(values.reshape({4, 5}),
                        numbers({0.01, 0.05, 0.5, 0.95, 0.951, 1.})),
      numbers({1., 1., 10., 19., 20., 20.})));
    EXPECT_EQ(
      scores::quantiles(numbers({1., infinity}), numbers({0.5})).item<double>(),
      1.);
    EXPECT_TRUE(all_nan(
      scores::quantiles(numbers({1., not_a_number, 2.}), numbers({0.1, 0.9}))));
    EXPECT_THROW(scores::quantiles(values, numbers({1.1})), c10::Error);
    EXPECT_THROW(scores::quantiles(values, numbers({0.})), c10::Error);
  }



  // What is not a number, in whichever argument, is not one in the score of its
  // sample or value; the others' scores are what they were.
  TEST(Scores, NotANumberIsNone)
  {
    const auto m = random_normal({3, 4}, 900), y = random_normal({3, 4}, 901),
               s = random_uniform({3, 4}, 0.5, 2., 902);
    // in sample 1, value 2 (of the first member)
    const auto with_nan = [](const torch::Tensor &values) {
      auto result                                    = values.clone();
      (result.dim() == 3 ? result[0] : result)[1][2] = not_a_number;
      return result;
    };
    const auto expect_pointwise = [](const torch::Tensor &bad,
                                     const torch::Tensor &good) {
      auto expected  = good.clone();
      expected[1][2] = not_a_number;
      EXPECT_TRUE(torch::allclose(bad, expected, 1e-12, 1e-12, true)) << bad;
    };
    const auto expect_sample = [](const torch::Tensor &bad,
                                  const torch::Tensor &good) {
      auto expected = good.clone();
      expected[1]   = not_a_number;
      EXPECT_TRUE(torch::allclose(bad, expected, 1e-12, 1e-12, true)) << bad;
    };

    using Three        = std::function<torch::Tensor(
      const torch::Tensor &, const torch::Tensor &, const torch::Tensor &)>;
    const auto each_of = [&](const Three &score, const auto &expect) {
      const auto good = score(m, s, y);
      EXPECT_FALSE(good.isnan().any().item<bool>());
      expect(score(with_nan(m), s, y), good);
      expect(score(m, with_nan(s), y), good);
      expect(score(m, s, with_nan(y)), good);
    };
    each_of(scores::gaussian_likelihood, expect_pointwise);
    each_of(scores::gaussian_crps, expect_pointwise);
    each_of(scores::chi_square, expect_sample);
    each_of(
      [](const auto &a, const auto &b, const auto &c) {
        return scores::interval_scores(a - b, a + b, c).coverage;
      },
      expect_sample);
    each_of(
      [](const auto &a, const auto &b, const auto &c) {
        return scores::interval_scores(a - b, a + b, c).width;
      },
      expect_sample);

    const auto members = random_normal({5, 3, 4}, 903);
    for (const auto form : {EnsembleForm::atoms, EnsembleForm::fair})
      {
        const auto crps = scores::ensemble_crps(members, y, form);
        expect_pointwise(scores::ensemble_crps(with_nan(members), y, form),
                         crps);
        expect_pointwise(scores::ensemble_crps(members, with_nan(y), form),
                         crps);
        const auto energy =
          scores::energy_score(members, y, mean_square(), form);
        expect_sample(
          scores::energy_score(with_nan(members), y, mean_square(), form),
          energy);
        expect_sample(
          scores::energy_score(members, with_nan(y), mean_square(), form),
          energy);
      }

    const FieldDistribution prediction{m, random_normal({3, 4, 2}, 904), s};
    using Field = std::function<torch::Tensor(const FieldDistribution &,
                                              const torch::Tensor &)>;
    for (const Field &score :
         {Field(scores::field_likelihood),
          Field(scores::field_chi_square),
          Field([](const auto &g, const auto &t) {
            return scores::energy_score(g, t, mean_square(), 10, 1).value;
          })})
      {
        const auto good = score(prediction, y);
        expect_sample(score(prediction, with_nan(y)), good);
        expect_sample(score({with_nan(m), prediction.factor, s}, y), good);
        expect_sample(score({m, prediction.factor, with_nan(s)}, y), good);
        auto factor  = prediction.factor.clone();
        factor[1][2] = not_a_number;
        expect_sample(score({m, factor, s}, y), good);
        // a variance that is none
        auto variance  = s.clone();
        variance[1][2] = -1.;
        expect_sample(score({m, prediction.factor, variance}, y), good);
        factor[1][2] = infinity;
        EXPECT_FALSE(score({m, factor, s}, y)[1].isfinite().item<bool>());
      }

    // figures over all samples
    const auto is_nan = [](const scores::QuantileCalibration &result) {
      return std::isnan(result.error) && std::isnan(result.mean_square) &&
             all_nan(result.frequencies);
    };
    EXPECT_TRUE(is_nan(scores::gaussian_calibration(with_nan(m), s, y)));
    EXPECT_TRUE(is_nan(scores::gaussian_calibration(m, with_nan(s), y)));
    EXPECT_TRUE(is_nan(scores::gaussian_calibration(m, s, with_nan(y))));
    EXPECT_TRUE(is_nan(scores::quantile_calibration(m.unsqueeze(0),
                                                    numbers({0.5}),
                                                    with_nan(y))));
    EXPECT_TRUE(is_nan(scores::quantile_calibration(with_nan(m).unsqueeze(0),
                                                    numbers({0.5}),
                                                    y)));

    // a deviation that is none
    const auto negative = numbers({-1.}), zero = numbers({0.});
    EXPECT_TRUE(all_nan(scores::gaussian_likelihood(zero, negative, zero)));
    EXPECT_TRUE(all_nan(scores::gaussian_likelihood(zero, zero, zero)));
    EXPECT_TRUE(all_nan(scores::gaussian_crps(zero, negative, zero)));
    EXPECT_TRUE(all_nan(scores::chi_square(zero, zero, zero)));
  }



  TEST(Scores, NothingIsBroadcast)
  {
    const auto a = torch::ones({3, 4}), b = torch::ones({3, 1}),
               c = torch::ones({4});
    EXPECT_THROW(scores::gaussian_likelihood(a, b, a), c10::Error);
    EXPECT_THROW(scores::gaussian_likelihood(b, a, a), c10::Error);
    EXPECT_THROW(scores::gaussian_likelihood(a, a, c), c10::Error);
    EXPECT_THROW(scores::gaussian_likelihood(a, torch::Tensor(), a),
                 c10::Error);
    EXPECT_THROW(scores::gaussian_crps(a, b, a), c10::Error);
    EXPECT_THROW(scores::chi_square(a, a, b), c10::Error);
    EXPECT_THROW(scores::ensemble_crps(a, c.slice(0, 1), EnsembleForm::atoms),
                 c10::Error);
    EXPECT_THROW(scores::energy_score(
                   a.unsqueeze(0), b, mean_square(), EnsembleForm::atoms),
                 c10::Error);
    EXPECT_THROW(scores::interval_scores(a, b, a), c10::Error);
    EXPECT_THROW(scores::interval_scores(b, a, a), c10::Error);
    EXPECT_THROW(scores::quantile_calibration(a, c, a), c10::Error);
    EXPECT_THROW(scores::gaussian_calibration(a, b, a), c10::Error);
    EXPECT_THROW(scores::rank_correlation(c, c.slice(0, 1)), c10::Error);
    EXPECT_THROW(scores::rank_correlation(a, a), c10::Error);
    EXPECT_THROW(scores::field_likelihood({a, torch::ones({3, 1, 2}), a}, a),
                 c10::Error);
    EXPECT_THROW(scores::field_likelihood({a, a, a}, a), c10::Error);
    EXPECT_THROW(scores::field_chi_square({a, torch::ones({3, 4, 2}), c}, a),
                 c10::Error);
    EXPECT_THROW(scores::field_chi_square({a, torch::ones({3, 4, 2}), a}, c),
                 c10::Error);
  }



  // Single precision, as operators predict, is taken and not computed in.
  TEST(Scores, AreInDoublePrecision)
  {
    const auto m = random_normal({3, 4}, 950).to(torch::kFloat32),
               y = random_normal({3, 4}, 951).to(torch::kFloat32),
               s = torch::full({3, 4}, 0.5f);
    const auto d = [](const torch::Tensor &t) { return t.to(torch::kFloat64); };
    EXPECT_TRUE(torch::equal(scores::gaussian_crps(m, s, y),
                             scores::gaussian_crps(d(m), d(s), d(y))));
    EXPECT_TRUE(torch::equal(scores::gaussian_likelihood(m, s, y),
                             scores::gaussian_likelihood(d(m), d(s), d(y))));
    const auto f = random_normal({3, 4, 2}, 952).to(torch::kFloat32);
    EXPECT_TRUE(
      torch::equal(scores::field_likelihood({m, f, s}, y),
                   scores::field_likelihood({d(m), d(f), d(s)}, d(y))));
    const auto members = random_normal({5, 3, 4}, 953).to(torch::kFloat32);
    EXPECT_TRUE(torch::equal(
      scores::energy_score(members, y, mean_square(), EnsembleForm::fair),
      scores::energy_score(
        d(members), d(y), mean_square(), EnsembleForm::fair)));
  }
} // namespace
