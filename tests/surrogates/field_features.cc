// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/field_features.h>

#include <cmath>

#include "small_trainings.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  FieldFeatures
  features_of(const OperatorData &data)
  {
    FieldFeatures result;
    result.fit(data);
    return result;
  }



  // f(x) = 2 + cos(2π x) at 64 points has the mean 2, the deviation √½ and the
  // mean square 4.5; its values h points apart differ by 2 sin(π h/64) times a
  // sine, of mean square ½ over whole periods.
  TEST(FieldFeatures, AreThoseOfACosine)
  {
    constexpr long n     = 64;
    const auto     x     = torch::arange(n, torch::kFloat64) / double(n);
    const auto     f     = (2. + (2. * M_PI * x).cos()).reshape({1, 1, n});
    const auto     found = features_of(as_data(f)).of(as_data(f));
    const double   unit  = std::sqrt(4.5);
    // Distances of 1, 2, 4, 8 and 16 points
    ASSERT_EQ(found.sizes(),
              at::IntArrayRef({1, FieldFeatures::n_moments + 5}));
    const auto at = [&](const long i) { return found[0][i].item<double>(); };
    EXPECT_NEAR(at(0), 2. / unit, 1e-12);
    EXPECT_NEAR(at(1), 1. / unit, 1e-12);
    EXPECT_NEAR(at(2), 3. / unit, 1e-12);
    EXPECT_NEAR(at(3), std::log(std::sqrt(0.5) / unit + 1e-3), 1e-12);
    for (long j = 0; j < 5; ++j)
      {
        const long   h         = 1l << j;
        const double amplitude = 2. * std::sin(M_PI * h / double(n));
        // Without a period's last h differences, its mean is summed up here
        double sum = 0.;
        for (long i = 0; i < n - h; ++i)
          sum += std::pow(amplitude *
                            std::sin(2. * M_PI * (i + 0.5 * h) / double(n)),
                          2);
        EXPECT_NEAR(at(4 + j),
                    std::log(std::sqrt(sum / double(n - h)) / unit + 1e-3),
                    1e-12);
      }
  }



  TEST(FieldFeatures, TurnedFieldsHaveTheSame)
  {
    const auto f        = random_normal({3, 2, 16, 16}, 1);
    const auto features = features_of(as_data(f));
    const auto found    = features.of(as_data(f));
    for (const auto &turned : {f.transpose(2, 3), f.flip({2}), f.flip({2, 3})})
      EXPECT_LT(
        (features.of(as_data(turned)) - found).abs().max().item<double>(),
        1e-12);
    EXPECT_GT(
      (features.of(as_data(f.flip({0}))) - found).abs().max().item<double>(),
      1e-3);
  }



  // Masked values do not count in moments; at scattered points there are no
  // differences.
  TEST(FieldFeatures, MaskedValuesDoNotCount)
  {
    auto data         = as_data(random_normal({2, 1, 10}, 2));
    data.input.points = random_normal({10, 2}, 3);
    data.input.mask   = torch::ones({2, 10}, torch::kFloat64);
    data.input.mask.slice(1, 7).zero_();
    auto other = data;
    other.input.fields =
      torch::cat({data.input.fields.slice(2, 0, 7),
                  torch::full({2, 1, 3}, 1e9, torch::kFloat64)},
                 2);
    const auto features = features_of(data);
    const auto found    = features.of(data);
    EXPECT_EQ(found.size(1), FieldFeatures::n_moments);
    EXPECT_TRUE(torch::equal(features.of(other), found));

    auto few         = data;
    few.input.fields = data.input.fields.slice(2, 0, 7);
    few.input.points = data.input.points.slice(0, 0, 7);
    few.input.mask   = torch::Tensor();
    EXPECT_LT((features.of(few) - found).abs().max().item<double>(), 1e-12);
  }



  TEST(FieldFeatures, SavesAndLoads)
  {
    const auto data     = as_data(random_normal({4, 2, 8}, 4));
    const auto features = features_of(data);
    ModelFile  file;
    file.filename = "model.safetensors";
    features.save(file, "answer");
    const auto again = FieldFeatures::load(file, "answer");
    EXPECT_EQ(again.n_channels(), 2);
    EXPECT_TRUE(torch::equal(again.of(data), features.of(data)));
    file.tensors["answer.root_mean_square"] =
      torch::zeros({2}, torch::kFloat64);
    EXPECT_THROW(FieldFeatures::load(file, "answer"), FileError);
    EXPECT_THROW(FieldFeatures::load(file, "other"), FileError);
  }
} // namespace
