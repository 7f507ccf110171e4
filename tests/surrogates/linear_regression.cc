// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/linear_regression.h>

#include <cmath>
#include <limits>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  torch::Tensor
  identity(const long n)
  {
    return torch::eye(n, torch::kFloat64);
  }



  /** Rows of features and outputs that follow from them up to noise. */
  struct Data
  {
    Data(const long          n,
         const long          p,
         const long          r,
         const double        noise,
         const std::uint64_t number)
      : features(random_normal({n, p}, 3 * number))
      , weights(random_normal({p, r}, 3 * number + 1))
      , outputs(torch::mm(features, weights) +
                noise * random_normal({n, r}, 3 * number + 2))
    {}

    torch::Tensor features, weights, outputs;
  };

  LinearRegression
  fitted(const torch::Tensor &features, const torch::Tensor &outputs)
  {
    LinearRegression regression(features.size(1), outputs.size(1));
    regression.add(features, outputs);
    regression.maximize_evidence();
    return regression;
  }



  /** The posterior by the textbook, with an explicit inverse. */
  struct Dense
  {
    Dense(const torch::Tensor &features,
          const torch::Tensor &outputs,
          const double         lambda)
      : inverse(at::linalg_inv(torch::mm(features.t(), features) +
                               lambda * identity(features.size(1))))
      , weights(torch::mm(inverse, torch::mm(features.t(), outputs)))
    {}

    torch::Tensor
    leverage(const torch::Tensor &features) const
    {
      return torch::mm(torch::mm(features, inverse), features.t()).diagonal();
    }

    torch::Tensor inverse, weights;
  };



  /**
   * The logarithm of the evidence at λ with the noise variances at their
   * best, in the space of the data: y ~ N(0, σ² (I + Φ Φᵀ / λ)).
   */
  double
  log_evidence(const torch::Tensor &features,
               const torch::Tensor &outputs,
               const double         lambda)
  {
    const long n = features.size(0);
    const auto covariance =
      identity(n) + torch::mm(features, features.t()) / lambda;
    const auto quadratic =
      (outputs * torch::mm(at::linalg_inv(covariance), outputs)).sum(0);
    const auto log_determinant =
      2. *
      at::linalg_cholesky(covariance).diagonal().log().sum().item<double>();
    return -0.5 * n * (quadratic / double(n)).log().sum().item<double>() -
           0.5 * outputs.size(1) * log_determinant;
  }



  TEST(LinearRegression, PosteriorIsThatOfADenseComputation)
  {
    const Data  data(25, 7, 3, 0.3, 1), other(10, 7, 3, 0., 2);
    const auto  regression = fitted(data.features, data.outputs);
    const Dense dense(data.features, data.outputs, regression.regularization());
    EXPECT_LT(distance(regression.predict(other.features),
                       torch::mm(other.features, dense.weights)),
              1e-11);
    EXPECT_LT(distance(regression.leverage(other.features),
                       dense.leverage(other.features)),
              1e-11);
    EXPECT_EQ(regression.n_rows, 25);
  }



  // Also where there are fewer rows than features.
  TEST(LinearRegression, EvidenceIsAtItsLargest)
  {
    for (const long n : {5, 12, 60})
      for (const double noise : {0.1, 1., 5.})
        {
          const Data   data(n, 12, 2, noise, 10 + n);
          const double found =
            fitted(data.features, data.outputs).regularization();
          const double best = log_evidence(data.features, data.outputs, found);

          // nowhere on a fine grid over eight decades is it larger
          double largest = -std::numeric_limits<double>::infinity();
          for (double t = std::log(1e-5); t < std::log(1e3); t += 0.05)
            largest =
              std::max(largest,
                       log_evidence(data.features, data.outputs, std::exp(t)));
          EXPECT_GE(best, largest - 1e-6) << n << " rows, noise " << noise;

          // and where the maximum is not at an end, it is in the middle
          if (found > 1e-6 && found < 1e3)
            {
              for (const double ratio : {0.9, 1.1})
                EXPECT_GT(best,
                          log_evidence(data.features,
                                       data.outputs,
                                       ratio * found))
                  << n << " rows, noise " << noise;
            }
        }
  }



  TEST(LinearRegression, NoiseIsRecovered)
  {
    const Data data(2000, 6, 4, 0.25, 3);
    const auto variance = fitted(data.features, data.outputs).noise_variance();
    // four standard deviations of a variance estimated from 2000 numbers
    for (long j = 0; j < 4; ++j)
      EXPECT_NEAR(variance[j].item<double>(),
                  0.25 * 0.25,
                  4. * 0.25 * 0.25 * std::sqrt(2. / 2000));
  }



  TEST(LinearRegression, LeavingOutIsRefittingWithout)
  {
    const Data data(30, 8, 3, 0.2, 4);
    const auto regression = fitted(data.features, data.outputs);
    for (const long size : {1, 4, 25})
      {
        const auto left = data.features.slice(0, 2, 2 + size);
        const auto result =
          regression.leave_out(left, data.outputs.slice(0, 2, 2 + size));
        const auto rest = [size](const torch::Tensor &rows) {
          return torch::cat({rows.slice(0, 0, 2), rows.slice(0, 2 + size)});
        };
        const Dense refitted(rest(data.features),
                             rest(data.outputs),
                             regression.regularization());
        EXPECT_LT(distance(result.mean, torch::mm(left, refitted.weights)),
                  1e-8);
        EXPECT_LT(distance(result.leverage, refitted.leverage(left)), 1e-8);
      }
  }



  // As with the images of a snapshot that is its own image.
  TEST(LinearRegression, LeavingOutEqualRows)
  {
    Data data(20, 6, 2, 0.2, 5);
    data.features[1]      = data.features[0];
    data.outputs[1]       = data.outputs[0];
    const auto regression = fitted(data.features, data.outputs);
    const auto left       = data.features.slice(0, 0, 2);
    const auto result = regression.leave_out(left, data.outputs.slice(0, 0, 2));
    const Dense refitted(data.features.slice(0, 2),
                         data.outputs.slice(0, 2),
                         regression.regularization());
    EXPECT_LT(distance(result.mean, torch::mm(left, refitted.weights)), 1e-8);
    EXPECT_LT(distance(result.leverage, refitted.leverage(left)), 1e-8);
  }



  TEST(LinearRegression, RowByRowIsAllAtOnce)
  {
    const Data data(40, 9, 3, 0.1, 6), other(10, 9, 3, 0., 7);
    const auto at_once = fitted(data.features, data.outputs);

    LinearRegression one_by_one(9, 3);
    for (long i = 0; i < 40; ++i)
      {
        one_by_one.add(data.features.slice(0, i, i + 1),
                       data.outputs.slice(0, i, i + 1));
        // what is computed in between leaves no trace
        one_by_one.maximize_evidence();
      }
    EXPECT_EQ(one_by_one.n_rows, 40);
    EXPECT_LT(distance(one_by_one.gram, at_once.gram), 1e-10);
    EXPECT_LT(distance(one_by_one.moments, at_once.moments), 1e-10);
    EXPECT_LT(distance(one_by_one.squares, at_once.squares), 1e-10);
    EXPECT_LT(distance(one_by_one.predict(other.features),
                       at_once.predict(other.features)),
              1e-10);
  }



  TEST(LinearRegression, CopiesLearnByThemselves)
  {
    const Data data(20, 4, 2, 0.1, 8);
    const auto original   = fitted(data.features, data.outputs);
    const auto statistics = original.gram.clone();
    auto       copy       = original;
    copy.add(data.features, data.outputs);
    EXPECT_TRUE(torch::equal(original.gram, statistics));
    EXPECT_FALSE(torch::equal(copy.gram, statistics));
  }



  TEST(LinearRegression, DataWithoutNoise)
  {
    const Data data(50, 5, 3, 0., 9);
    const auto regression = fitted(data.features, data.outputs);
    EXPECT_LT(distance(regression.predict(data.features), data.outputs), 1e-8);
    EXPECT_TRUE(
      torch::isfinite(regression.noise_variance()).all().item<bool>());
  }



  // An output that is zero throughout carries no information, and does no
  // harm to the others.
  TEST(LinearRegression, ConstantZeroIsLearned)
  {
    Data data(50, 5, 2, 0.1, 10);
    data.outputs.select(1, 1).zero_();
    const auto regression = fitted(data.features, data.outputs);
    EXPECT_EQ(
      regression.predict(data.features).select(1, 1).abs().max().item<double>(),
      0.);
    EXPECT_LT(distance(regression.predict(data.features).select(1, 0),
                       data.outputs.select(1, 0)),
              0.5);
    EXPECT_EQ(regression.noise_variance()[1].item<double>(), 0.);
  }
} // namespace
