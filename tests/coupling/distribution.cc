// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/quadrature/tanh_sinh.hpp>

#include <neuraldeal/coupling/input_distribution.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "test_tools.h"

using namespace neuraldeal;
using namespace TestTools;

namespace
{
  using Json     = nlohmann::json;
  using Function = std::function<double(double)>;

  std::unique_ptr<Distribution>
  make(const std::string &type, const Json &parameters = Json::object())
  {
    return make_distribution(type, parameters, "a test");
  }

  double
  normal_probability(const double z)
  {
    return 0.5 * std::erfc(-z / std::sqrt(2.));
  }

  /** A distribution, what is known of it in closed form. */
  struct Case
  {
    std::string type;
    Json        parameters;
    Function    probability; ///< P(X ≤ x)
    double      mean, variance;
  };

  std::vector<Case>
  continuous_cases()
  {
    // The truncated normal's moments by those of the interval's ends, α and
    // β in standard deviations: mean μ + σ (φ(α) − φ(β)) / Z.
    const auto truncated =
      [](const double mu, const double sigma, const double a, const double b) {
        const double alpha = (a - mu) / sigma, beta = (b - mu) / sigma;
        const auto   density = [](const double z) {
          return std::exp(-0.5 * z * z) / std::sqrt(2. * M_PI);
        };
        const double z = normal_probability(beta) - normal_probability(alpha);
        const double d = (density(alpha) - density(beta)) / z;
        const double e = (alpha * density(alpha) - beta * density(beta)) / z;
        return Case{"truncated normal",
                    {{"mean", mu},
                     {"standard deviation", sigma},
                     {"lower", a},
                     {"upper", b}},
                    [=](const double x) {
                      return (normal_probability((x - mu) / sigma) -
                              normal_probability(alpha)) /
                             z;
                    },
                    mu + sigma * d,
                    sigma * sigma * (1. + e - d * d)};
      };
    return {{"uniform",
             {{"lower", -1.}, {"upper", 3.}},
             [](const double x) { return (x + 1.) / 4.; },
             1.,
             16. / 12.},
            {"log-uniform",
             {{"lower", 1.}, {"upper", std::exp(1.)}},
             [](const double x) { return std::log(x); },
             std::exp(1.) - 1.,
             0.5 * (std::exp(2.) - 1.) - std::pow(std::exp(1.) - 1., 2)},
            {"normal",
             {{"mean", 2.}, {"standard deviation", 0.5}},
             [](const double x) { return normal_probability((x - 2.) / 0.5); },
             2.,
             0.25},
            {"log-normal",
             {{"mean of the logarithm", -0.3},
              {"standard deviation of the logarithm", 0.4}},
             [](const double x) {
               return normal_probability((std::log(x) + 0.3) / 0.4);
             },
             std::exp(-0.3 + 0.08),
             (std::exp(0.16) - 1.) * std::exp(-0.6 + 0.16)},
            truncated(0.5, 2., -1., 2.),
            truncated(5., 2., -1., 2.),
            truncated(-3., 1., -1., 2.),
            {"triangular",
             {{"lower", -1.}, {"mode", 0.}, {"upper", 3.}},
             [](const double x) {
               return x < 0. ? (x + 1.) * (x + 1.) / 4. :
                               1. - (3. - x) * (3. - x) / 12.;
             },
             2. / 3.,
             (1. + 0. + 9. - 0. + 3. - 0.) / 18.},
            {"beta",
             {{"alpha", 2.}, {"beta", 2.}, {"lower", 1.}, {"upper", 3.}},
             [](const double x) {
               const double t = (x - 1.) / 2.;
               return t * t * (3. - 2. * t);
             },
             2.,
             4. * 4. / (16. * 5.)},
            {"beta",
             {{"alpha", 1.}, {"beta", 3.}},
             [](const double x) { return 1. - std::pow(1. - x, 3); },
             0.25,
             3. / (16. * 5.)},
            {"gamma",
             {{"shape", 1.}, {"scale", 3.}},
             [](const double x) { return -std::expm1(-x / 3.); },
             3.,
             9.},
            {"gamma",
             {{"shape", 2.}, {"scale", 0.5}},
             [](const double x) {
               return 1. - (1. + 2. * x) * std::exp(-2. * x);
             },
             1.,
             0.5},
            {"gamma",
             {{"shape", 0.5}, {"scale", 2.}},
             [](const double x) { return std::erf(std::sqrt(x / 2.)); },
             1.,
             2.}};
  }

  /**
   * The distance that Kolmogorov's statistic √n·D exceeds with probability
   * @p significance: 2 Σ (−1)^(k − 1) exp(−2 k² x²) at x.
   */
  double
  kolmogorov_bound(const double significance)
  {
    double left = 0.5, right = 5.;
    for (unsigned int i = 0; i < 60; ++i)
      {
        const double x   = 0.5 * (left + right);
        double       sum = 0;
        for (int k = 1; k < 50; ++k)
          sum += (k % 2 == 1 ? 2. : -2.) * std::exp(-2. * k * k * x * x);
        (sum > significance ? left : right) = x;
      }
    return right;
  }
} // namespace



TEST(Distribution, QuantilesInvertClosedForms)
{
  for (const auto &test : continuous_cases())
    {
      const auto distribution = make(test.type, test.parameters);
      double     before       = distribution->lower();
      for (const double p :
           {1e-6, 0.001, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 0.999, 1. - 1e-6})
        {
          const double x = distribution->quantile(p);
          EXPECT_NEAR(test.probability(x), p, 1e-13)
            << test.type << " " << test.parameters;
          EXPECT_GT(x, before) << test.type << " " << test.parameters;
          EXPECT_LT(x, distribution->upper());
          before = x;
        }
    }
}



TEST(Distribution, MomentsAreThoseOfClosedForms)
{
  for (const auto &test : continuous_cases())
    {
      const auto distribution = make(test.type, test.parameters);
      // Integrals of powers of the quantile function, whose singularities
      // at the ends are what the rule is for.
      boost::math::quadrature::tanh_sinh<double> rule;
      const auto moment = [&](const unsigned int k) {
        return rule.integrate(
          [&](const double p) {
            return std::pow(distribution->quantile(
                              std::min(std::max(p, 1e-300), 1. - 0x1p-53)),
                            k);
          },
          0.,
          1.);
      };
      const double mean = moment(1), square = moment(2);
      EXPECT_NEAR(mean, test.mean, 1e-7 * (1. + std::abs(test.mean)))
        << test.type << " " << test.parameters;
      EXPECT_NEAR(square - mean * mean,
                  test.variance,
                  1e-7 * (1. + test.variance))
        << test.type << " " << test.parameters;
    }
}



TEST(Distribution, DrawsPassTheTestOfKolmogorovAndSmirnov)
{
  // One entry each; with 13 of them a bound that each passes but for one in
  // a hundred thousand seeds.
  const auto        cases = continuous_cases();
  InputDistribution inputs;
  for (std::size_t d = 0; d < cases.size(); ++d)
    inputs.add("entry " + std::to_string(d),
               cases[d].type,
               cases[d].parameters);
  const unsigned int               n = 3000;
  std::vector<std::vector<double>> p(cases.size());
  for (unsigned int i = 0; i < n; ++i)
    {
      const auto x = inputs.draw(5, CounterRandom::Stream::queries, i);
      for (std::size_t d = 0; d < cases.size(); ++d)
        p[d].push_back(cases[d].probability(x[d]));
    }
  for (std::size_t d = 0; d < cases.size(); ++d)
    {
      std::sort(p[d].begin(), p[d].end());
      const auto distance = [&](const double power) {
        double result = 0;
        for (unsigned int i = 0; i < n; ++i)
          {
            const double q = std::pow(p[d][i], power);
            result = std::max({result, q - double(i) / n, (i + 1.) / n - q});
          }
        return result;
      };
      const double bound = kolmogorov_bound(1e-5) / std::sqrt(n);
      EXPECT_LT(distance(1.), bound)
        << cases[d].type << " " << cases[d].parameters;
      // What the bound is worth: slightly other distributions do not pass.
      EXPECT_GT(distance(1.2), bound);
      EXPECT_GT(distance(1. / 1.2), bound);
    }
  EXPECT_NEAR(kolmogorov_bound(0.05), 1.3581, 1e-4);
  EXPECT_NEAR(kolmogorov_bound(0.001), 1.9495, 1e-4);
}



TEST(Distribution, TruncatedNormalsAreExactInTheTails)
{
  // Far from the mean a normal number is nearly exponential: a quantile is
  // compared with the solution of log P(X > x) = log(1 − p), by erfc.
  for (const double side : {1., -1.})
    {
      const double lower = side > 0. ? 20. : -21., upper = lower + 1.;
      const auto   distribution =
        make("truncated normal", {{"lower", lower}, {"upper", upper}});
      const auto beyond = [](const double x) {
        return std::erfc(x / std::sqrt(2.));
      };
      for (const double p : {1e-3, 0.1, 0.5, 0.9, 0.999})
        {
          const double x = side * distribution->quantile(p);
          const double q = side > 0. ? p : 1. - p;
          EXPECT_NEAR((beyond(20.) - beyond(x)) / (beyond(20.) - beyond(21.)),
                      q,
                      1e-10)
            << side << " " << p;
        }
    }
}



TEST(Distribution, DiscreteValuesHaveTheirWeights)
{
  const auto distribution =
    make("discrete", {{"values", {3, 1, 2.5}}, {"weights", {1, 2, 1}}});
  EXPECT_EQ(distribution->lower(), 1.);
  EXPECT_EQ(distribution->upper(), 3.);
  const std::vector<std::pair<double, double>> expected = {{1e-9, 1.},
                                                           {0.5, 1.},
                                                           {0.5001, 2.5},
                                                           {0.75, 2.5},
                                                           {0.7501, 3.},
                                                           {0.999, 3.}};
  for (const auto &[p, value] : expected)
    EXPECT_EQ(distribution->quantile(p), value) << p;
  // Without weights all are as likely.
  const auto equal = make("discrete", {{"values", {0, 1, 2, 3}}});
  EXPECT_EQ(equal->quantile(0.2499), 0.);
  EXPECT_EQ(equal->quantile(0.2501), 1.);
  EXPECT_EQ(equal->quantile(0.7501), 3.);

  InputDistribution inputs;
  inputs.add("choice",
             "discrete",
             {{"values", {3, 1, 2.5}}, {"weights", {1, 2, 1}}});
  std::map<double, unsigned int> counts;
  const unsigned int             n = 4000;
  for (unsigned int i = 0; i < n; ++i)
    ++counts[inputs.draw(9, CounterRandom::Stream::queries, i)[0]];
  ASSERT_EQ(counts.size(), 3u);
  double statistic = 0;
  for (const auto &[value, share] :
       std::map<double, double>{{1., 0.5}, {2.5, 0.25}, {3., 0.25}})
    statistic += std::pow(counts[value] - n * share, 2) / (n * share);
  EXPECT_LT(statistic,
            boost::math::quantile(
              boost::math::complement(boost::math::chi_squared(2), 1e-5)));
}



TEST(Distribution, RangesAreThoseOfTheDistributions)
{
  InputDistribution inputs;
  inputs.add("a", "log-normal", Json::object(), "W/(m K)");
  inputs.add("b", "gamma");
  inputs.add("c", "beta", {{"lower", -2.}, {"upper", 5.}}, "m");
  inputs.add_uniform("d", 0., 1., "s");
  const auto ranges = inputs.ranges();
  EXPECT_EQ(ranges[0].lower, 0.);
  EXPECT_EQ(ranges[0].upper, std::numeric_limits<double>::infinity());
  EXPECT_TRUE(ranges[0].logarithmic);
  EXPECT_EQ(ranges[1].lower, 0.);
  EXPECT_EQ(ranges[1].upper, std::numeric_limits<double>::infinity());
  EXPECT_FALSE(ranges[1].logarithmic);
  EXPECT_EQ(ranges[2].lower, -2.);
  EXPECT_EQ(ranges[2].upper, 5.);
  EXPECT_EQ(inputs.names(), (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(inputs.units(),
            (std::vector<std::string>{"W/(m K)", "", "m", "s"}));
}



TEST(Distribution, HashesKeepOldOnesAndTellNewOnesApart)
{
  // What stores and models of earlier versions carry: names, kinds 0, 1, 2,
  // and numbers.
  InputDistribution old;
  old.add("a", "uniform", {{"lower", 1.}, {"upper", 2.5}});
  old.add_log_uniform("b", 0.1, 1.);
  old.add("c", "normal", Json::object(), "K");
  const std::string text = "a|0|1|2.5;b|1|0.10000000000000001|1;c|2|0|1;";
  std::uint64_t     hash = 0xcbf29ce484222325u;
  for (const unsigned char byte : text)
    hash = (hash ^ byte) * 0x100000001b3u;
  EXPECT_EQ(old.hash(), hash);

  std::vector<std::uint64_t> hashes;
  for (const auto &test : continuous_cases())
    {
      InputDistribution inputs;
      inputs.add("a", test.type, test.parameters);
      hashes.push_back(inputs.hash());
    }
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::adjacent_find(hashes.begin(), hashes.end()), hashes.end());
}



TEST(Distribution, WrongOnesAreRefusedInASentence)
{
  InputDistribution inputs;
  const auto        refused = [&](const std::string &type,
                           const Json        &parameters,
                           const std::string &entry,
                           const std::string &value) {
    const auto add = [&]() { inputs.add("gap", type, parameters); };
    EXPECT_THROW(add(), InputError) << type << parameters;
    expect_sentence(
      message_of(add),
      {"the distribution of gap", entry, "'" + value + "'", "valid is"});
  };
  refused("Cauchy", Json::object(), "type", "Cauchy");
  refused("beta", {{"gamma", 1.}}, "entry", "gamma");
  refused("beta", {{"alpha", 0.}}, "alpha", "0");
  refused("beta", {{"alpha", "two"}}, "alpha", "\"two\"");
  refused("beta", {{"lower", 2.}}, "interval", "[2, 1]");
  refused("gamma", {{"shape", -1.}}, "shape", "-1");
  refused("gamma", {{"scale", 0.}}, "scale", "0");
  refused("log-normal",
          {{"standard deviation of the logarithm", 0.}},
          "standard deviation",
          "0");
  refused("triangular", {{"mode", 2.}}, "mode", "2");
  refused("truncated normal", {{"standard deviation", -2.}}, "deviation", "-2");
  refused("truncated normal",
          {{"lower", 50.}, {"upper", 51.}},
          "interval",
          "[50, 51]");
  refused("discrete", {{"values", {1}}}, "values", "[1]");
  refused("discrete", {{"values", {1, 1}}}, "values", "[1,1]");
  refused("discrete", {{"values", {1, "x"}}}, "values", "\"x\"");
  refused("discrete", {{"values", {1, 2}}, {"weights", {1}}}, "weights", "1");
  refused("discrete",
          {{"values", {1, 2}}, {"weights", {1, -1}}},
          "weights",
          "-1");
  EXPECT_EQ(inputs.size(), 0u);
  // The valid names are all that there are.
  const auto message = message_of([&]() { inputs.add("gap", "Cauchy"); });
  for (const auto &[name, entry] : DistributionRegistry::entries())
    {
      EXPECT_NE(message.find(name), std::string::npos) << name;
      EXPECT_FALSE(entry.documentation.empty());
      for (const auto &parameter : entry.parameters)
        EXPECT_FALSE(parameter.documentation.empty());
      make(name); // its defaults make one
    }
  EXPECT_EQ(DistributionRegistry::entries().size(), 9u);
}
