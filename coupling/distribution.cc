// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/gamma.hpp>
#include <boost/math/distributions/normal.hpp>

#include <fmt/format.h>
#include <neuraldeal/coupling/distribution.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace neuraldeal
{
  namespace
  {
    constexpr double infinity = std::numeric_limits<double>::infinity();

    /** @throw InputError unless @p is_valid. */
    void
    check(const bool         is_valid,
          const std::string &source,
          const std::string &entry,
          const std::string &value,
          const std::string &valid)
    {
      if (!is_valid)
        throw InputError(source, entry, value, valid);
    }



    /** The number @p name of @p parameters, which has to be finite. */
    double
    finite(const nlohmann::json &parameters,
           const std::string    &name,
           const std::string    &source)
    {
      const double value = parameters.at(name).get<double>();
      check(std::isfinite(value),
            source,
            "its " + name,
            fmt::format("{}", value),
            "a finite number");
      return value;
    }



    double
    positive(const nlohmann::json &parameters,
             const std::string    &name,
             const std::string    &source)
    {
      const double value = parameters.at(name).get<double>();
      check(value > 0. && std::isfinite(value),
            source,
            "its " + name,
            fmt::format("{}", value),
            "a finite positive number");
      return value;
    }



    /** The interval [`lower`, `upper`], which has to be one. */
    std::pair<double, double>
    interval(const nlohmann::json &parameters,
             const std::string    &source,
             const bool            is_positive = false)
    {
      const double lower = parameters.at("lower").get<double>(),
                   upper = parameters.at("upper").get<double>();
      check(lower < upper && (is_positive ? lower > 0. : true) &&
              std::isfinite(lower) && std::isfinite(upper) &&
              std::isfinite(upper - lower),
            source,
            "its interval",
            fmt::format("[{}, {}]", lower, upper),
            is_positive ? "one of two positive numbers, the lower one first" :
                          "one of two finite numbers, the lower one first");
      return {lower, upper};
    }



    /** Quantile function of the standard normal distribution. */
    double
    standard_normal_quantile(const double probability)
    {
      // Bisection on the distribution function: exact to rounding, and
      // never where time matters.
      double left = -40., right = 40.;
      for (unsigned int i = 0; i < 80; ++i)
        {
          const double middle = 0.5 * (left + right);
          (0.5 * std::erfc(-middle / std::sqrt(2.)) < probability ? left :
                                                                    right) =
            middle;
        }
      return 0.5 * (left + right);
    }



    /** Whose values are in a bounded interval. */
    class Bounded : public Distribution
    {
    public:
      explicit Bounded(const std::pair<double, double> &ends)
        : a(ends.first)
        , b(ends.second)
      {}

      double
      lower() const override
      {
        return a;
      }

      double
      upper() const override
      {
        return b;
      }

    protected:
      const double a, b;
    };



    class Uniform : public Bounded
    {
    public:
      Uniform(const nlohmann::json &parameters, const std::string &source)
        : Bounded(interval(parameters, source))
      {}

      double
      quantile(const double probability) const override
      {
        return a + (b - a) * probability;
      }
    };



    class LogUniform : public Bounded
    {
    public:
      LogUniform(const nlohmann::json &parameters, const std::string &source)
        : Bounded(interval(parameters, source, true))
      {}

      double
      quantile(const double probability) const override
      {
        return a * std::pow(b / a, probability);
      }

      bool
      logarithmic() const override
      {
        return true;
      }
    };



    class Normal : public Distribution
    {
    public:
      Normal(const nlohmann::json &parameters, const std::string &source)
        : mean(finite(parameters, "mean", source))
        , deviation(positive(parameters, "standard deviation", source))
      {}

      double
      quantile(const double probability) const override
      {
        return mean + deviation * standard_normal_quantile(probability);
      }

      double
      lower() const override
      {
        return -infinity;
      }

      double
      upper() const override
      {
        return infinity;
      }

    private:
      const double mean, deviation;
    };



    class LogNormal : public Distribution
    {
    public:
      LogNormal(const nlohmann::json &parameters, const std::string &source)
        : mean(finite(parameters, "mean of the logarithm", source))
        , deviation(
            positive(parameters, "standard deviation of the logarithm", source))
      {}

      double
      quantile(const double probability) const override
      {
        return std::exp(mean +
                        deviation * standard_normal_quantile(probability));
      }

      double
      lower() const override
      {
        return 0.;
      }

      double
      upper() const override
      {
        return infinity;
      }

      bool
      logarithmic() const override
      {
        return true;
      }

    private:
      const double mean, deviation;
    };



    /** A normal number under the condition that it is in an interval. */
    class TruncatedNormal : public Bounded
    {
    public:
      TruncatedNormal(const nlohmann::json &parameters,
                      const std::string    &source)
        : Bounded(interval(parameters, source))
        , mean(finite(parameters, "mean", source))
        , deviation(positive(parameters, "standard deviation", source))
        // In the upper tail one minus a probability says nothing: there the
        // mirror image is worked with, whose probabilities are small.
        , mirrored(a > mean)
        , low(tail(mirrored ? mean - b : a - mean))
        , high(tail(mirrored ? mean - a : b - mean))
      {
        check(high - low > 1e-290,
              source,
              "its interval",
              fmt::format("[{}, {}]", a, b),
              fmt::format("one that a normal number with the mean {} and the "
                          "standard deviation {} meets with a probability "
                          "above 1e-290",
                          mean,
                          deviation));
      }

      double
      quantile(const double probability) const override
      {
        const double share = mirrored ? 1. - probability : probability;
        const double p     = low + share * (high - low);
        // Rounding may end at 0 or 1, where the interval does.
        const double z =
          p <= 0. ?
            -infinity :
          p >= 1. ?
            infinity :
            boost::math::quantile(boost::math::normal_distribution<>(), p);
        return std::clamp(mean + deviation * (mirrored ? -z : z), a, b);
      }

    private:
      /** P(X ≤ mean + x). */
      double
      tail(const double x) const
      {
        return 0.5 * std::erfc(-x / deviation / std::sqrt(2.));
      }

      const double mean, deviation;
      const bool   mirrored;
      const double low, high;
    };



    class Triangular : public Bounded
    {
    public:
      Triangular(const nlohmann::json &parameters, const std::string &source)
        : Bounded(interval(parameters, source))
        , mode(finite(parameters, "mode", source))
      {
        check(mode >= a && mode <= b,
              source,
              "its mode",
              fmt::format("{}", mode),
              fmt::format("a number from {} to {}", a, b));
      }

      double
      quantile(const double probability) const override
      {
        // The inverse of the two parabolas that the distribution function
        // consists of.
        const double width = b - a;
        return probability * width < mode - a ?
                 a + std::sqrt(probability * width * (mode - a)) :
                 b - std::sqrt((1. - probability) * width * (b - mode));
      }

    private:
      const double mode;
    };



    class Beta : public Bounded
    {
    public:
      Beta(const nlohmann::json &parameters, const std::string &source)
        : Bounded(interval(parameters, source))
        , standard(positive(parameters, "alpha", source),
                   positive(parameters, "beta", source))
      {}

      double
      quantile(const double probability) const override
      {
        return a + (b - a) * boost::math::quantile(standard, probability);
      }

    private:
      const boost::math::beta_distribution<> standard;
    };



    class Gamma : public Distribution
    {
    public:
      Gamma(const nlohmann::json &parameters, const std::string &source)
        : distribution(positive(parameters, "shape", source),
                       positive(parameters, "scale", source))
      {}

      double
      quantile(const double probability) const override
      {
        return boost::math::quantile(distribution, probability);
      }

      double
      lower() const override
      {
        return 0.;
      }

      double
      upper() const override
      {
        return infinity;
      }

    private:
      const boost::math::gamma_distribution<> distribution;
    };



    class Discrete : public Distribution
    {
    public:
      Discrete(const nlohmann::json &parameters, const std::string &source)
      {
        const auto values  = numbers(parameters, "values", source);
        const auto weights = numbers(parameters, "weights", source);
        check(weights.empty() || weights.size() == values.size(),
              source,
              "the number of its weights",
              std::to_string(weights.size()),
              fmt::format("{}, one for each value, or 0 for equal weights",
                          values.size()));
        double sum = 0;
        for (std::size_t i = 0; i < values.size(); ++i)
          {
            const double weight = weights.empty() ? 1. : weights[i];
            check(weight > 0. && std::isfinite(weight),
                  source,
                  "one of its weights",
                  fmt::format("{}", weight),
                  "a finite positive number");
            check(std::isfinite(values[i]),
                  source,
                  "one of its values",
                  fmt::format("{}", values[i]),
                  "a finite number");
            steps.push_back({values[i], weight});
            sum += weight;
          }
        std::sort(steps.begin(), steps.end());
        const bool is_one =
          steps.size() < 2 ||
          std::adjacent_find(steps.begin(),
                             steps.end(),
                             [](const auto &x, const auto &y) {
                               return x.first == y.first;
                             }) != steps.end();
        check(!is_one && std::isfinite(sum),
              source,
              "its list of values",
              parameters.at("values").dump(),
              "a list of two or more different numbers, whose weights have a "
              "finite sum");
        // From weights to the distribution function.
        double before = 0;
        for (auto &step : steps)
          {
            before += step.second;
            step.second = before / sum;
          }
      }

      double
      quantile(const double probability) const override
      {
        for (const auto &step : steps)
          if (probability <= step.second)
            return step.first;
        return steps.back().first;
      }

      double
      lower() const override
      {
        return steps.front().first;
      }

      double
      upper() const override
      {
        return steps.back().first;
      }

    private:
      static std::vector<double>
      numbers(const nlohmann::json &parameters,
              const std::string    &name,
              const std::string    &source)
      {
        std::vector<double> result;
        for (const auto &value : parameters.at(name))
          {
            check(value.is_number(),
                  source,
                  "one of its " + name,
                  value.dump(),
                  "a number");
            result.push_back(value.get<double>());
          }
        return result;
      }

      /** Values, ascending, and the probability to be at most that. */
      std::vector<std::pair<double, double>> steps;
    };



    template <typename Class>
    void
    add(const std::string                       &name,
        const std::string                       &documentation,
        const std::vector<ParameterDescription> &parameters)
    {
      DistributionRegistry::Registration(
        name,
        documentation,
        parameters,
        [](const nlohmann::json &given, const std::string &source) {
          return std::make_unique<Class>(given, source);
        });
    }
  } // namespace



  void
  register_distributions()
  {
    if (!DistributionRegistry::entries().empty())
      return;
    constexpr double most   = std::numeric_limits<double>::max();
    const auto       number = [](const std::string &name,
                           const double       value,
                           const std::string &documentation) {
      return ParameterDescription{name, value, -most, most, documentation};
    };
    const auto list = [](const std::string    &name,
                         const nlohmann::json &value,
                         const std::string    &documentation) {
      return ParameterDescription{name, value, 0., 0., documentation};
    };
    const auto lower     = number("lower", 0., "Lower end of the interval."),
               upper     = number("upper", 1., "Upper end of the interval."),
               mean      = number("mean", 0., "The mean."),
               deviation = number("standard deviation",
                                  1.,
                                  "The standard deviation, positive.");

    add<Uniform>("uniform",
                 "All values of an interval are equally likely.",
                 {lower, upper});
    add<LogUniform>("log-uniform",
                    "The logarithm is uniform in that of an interval of "
                    "positive numbers.",
                    {number("lower", 0.1, "Lower end of the interval."),
                     number("upper", 1., "Upper end of the interval.")});
    add<Normal>("normal", "The Gaussian distribution.", {mean, deviation});
    add<LogNormal>("log-normal",
                   "The logarithm is normal.",
                   {number("mean of the logarithm", 0., "Its mean."),
                    number("standard deviation of the logarithm",
                           1.,
                           "Its standard deviation, positive.")});
    add<TruncatedNormal>(
      "truncated normal",
      "A normal number under the condition that it is in an interval; mean "
      "and standard deviation are those without the condition.",
      {mean,
       deviation,
       number("lower", -1., "Lower end of the interval."),
       upper});
    add<Triangular>("triangular",
                    "The density rises linearly from the lower end of an "
                    "interval to the mode, and falls to its upper end.",
                    {lower,
                     number("mode", 0.5, "The likeliest value."),
                     upper});
    add<Beta>("beta",
              "The density is proportional to t^(alpha - 1) "
              "(1 - t)^(beta - 1), where t is 0 at the lower end of an "
              "interval and 1 at its upper end.",
              {number("alpha", 2., "Exponent at the lower end, positive."),
               number("beta", 2., "Exponent at the upper end, positive."),
               lower,
               upper});
    add<Gamma>("gamma",
               "The density is proportional to x^(shape - 1) exp(-x / scale), "
               "x positive; the mean is shape times scale.",
               {number("shape", 1., "The shape, positive."),
                number("scale", 1., "The scale, positive.")});
    add<Discrete>("discrete",
                  "One of a list of values.",
                  {list("values", {0., 1.}, "The values, two or more."),
                   list("weights",
                        nlohmann::json::array(),
                        "Positive numbers that probabilities are proportional "
                        "to, one for each value; none: all are equal.")});
  }



  std::unique_ptr<Distribution>
  make_distribution(const std::string    &type,
                    const nlohmann::json &parameters,
                    const std::string    &source)
  {
    register_distributions();
    const auto &entry =
      DistributionRegistry::find(source, "its distribution", type);
    return entry.factory(
      complete_parameters(entry.parameters, parameters, source), source);
  }
} // namespace neuraldeal
