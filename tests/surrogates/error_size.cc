// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/error_size.h>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  torch::Tensor
  folds(const long n, const long n_folds)
  {
    return torch::arange(n, torch::kInt64) % n_folds;
  }

  ErrorSize
  size_of(const torch::Tensor &features,
          const torch::Tensor &squares,
          const long           n_folds = 4)
  {
    ErrorSize result;
    result.fit(features, squares, folds(features.size(0), n_folds));
    return result;
  }



  // Sizes that are exponentials of features are found, of every channel.
  TEST(ErrorSize, FindsWhatItCanSay)
  {
    const auto features = random_normal({400, 3}, 1),
               fresh    = random_normal({200, 3}, 2);
    const auto weights =
      torch::tensor({{1., 0.}, {-0.5, 0.}, {0., 2.}}, torch::kFloat64);
    const auto squares = [&](const torch::Tensor &x) {
      return 9. * (torch::mm(x, weights)).exp();
    };
    const auto size = size_of(features, squares(features));
    // Features are cut at three deviations, which few of them are beyond.
    const auto inside = fresh.abs().amax(1).lt(2.5).nonzero().squeeze(1);
    const auto x      = fresh.index_select(0, inside);
    const auto ratio  = (size.squares(x) / squares(x)).log().abs();
    EXPECT_EQ(size.n_channels(), 2);
    EXPECT_LT(ratio.max().item<double>(), 0.1);
  }



  // What is nothing but noise is not learned from: then all are expected to be
  // of the same size, the one by which the roots are right in the mean.
  TEST(ErrorSize, SaysNothingOfNoise)
  {
    const auto features = random_normal({40, 20}, 3),
               noise    = random_normal({40, 1}, 4).exp();
    const auto size     = size_of(features, noise);
    const auto said     = size.squares(random_normal({100, 20}, 5));
    EXPECT_LT(said.log().std().item<double>(), 0.1);
    EXPECT_NEAR((noise / size.left_out_squares()).sqrt().mean().item<double>(),
                1.,
                1e-12);
    EXPECT_NEAR(said.sqrt().mean().item<double>(),
                noise.sqrt().mean().item<double>(),
                0.05);
  }



  // Left out means left out: the same as a regression without the fold, up to
  // the level, with a number of features for which it would be exact otherwise.
  TEST(ErrorSize, RowsAreToldByTheOtherFolds)
  {
    const auto features = random_normal({24, 24}, 6),
               squares  = random_normal({24, 1}, 7).exp();
    const auto size     = size_of(features, squares);
    auto       changed  = squares.clone();
    const auto first    = folds(24, 4).eq(0).unsqueeze(1);
    changed             = torch::where(first, 5. * squares, squares);
    const auto other    = size_of(features, changed);
    const auto ratio =
      (other.left_out_squares() / size.left_out_squares()).masked_select(first);
    // One factor for all of the fold, which is that of the levels.
    EXPECT_LT((ratio / ratio[0] - 1.).abs().max().item<double>(), 1e-10);
  }



  TEST(ErrorSize, FarAwayItStaysAsAtTheBorder)
  {
    const auto features = random_normal({100, 1}, 8);
    const auto size     = size_of(features, features.exp());
    const auto at       = [&](const double x) {
      return size.squares(torch::full({1, 1}, x, torch::kFloat64))
        .item<double>();
    };
    EXPECT_GT(at(2.), 2. * at(1.));
    EXPECT_EQ(at(20.), at(10.));
    EXPECT_EQ(at(-20.), at(-10.));
  }



  TEST(ErrorSize, ErrorsOfZeroDoNoHarm)
  {
    const auto features = random_normal({16, 2}, 9);
    auto       squares  = features.exp();
    squares.select(1, 1).zero_();
    squares[3][0]   = 0.;
    const auto said = size_of(features, squares).squares(features);
    EXPECT_TRUE(torch::isfinite(said).all().item<bool>());
    EXPECT_TRUE(said.select(1, 0).gt(0.).all().item<bool>());
    EXPECT_LT(said.select(1, 1).max().item<double>(), 1e-100);
  }



  TEST(ErrorSize, SavesAndLoads)
  {
    const auto features = random_normal({20, 3}, 10);
    const auto size     = size_of(features, features.slice(1, 0, 2).exp());
    ModelFile  file;
    file.filename = "model.safetensors";
    size.save(file, "size");
    EXPECT_TRUE(torch::equal(ErrorSize::load(file, "size").squares(features),
                             size.squares(features)));
    auto damaged                    = file;
    damaged.tensors["size.weights"] = torch::ones({2, 2}, torch::kFloat64);
    EXPECT_THROW(ErrorSize::load(damaged, "size"), FileError);
    damaged                           = file;
    damaged.tensors["size.deviation"] = torch::zeros({3}, torch::kFloat64);
    EXPECT_THROW(ErrorSize::load(damaged, "size"), FileError);
    EXPECT_THROW(ErrorSize::load(file, "other"), FileError);
  }
} // namespace
