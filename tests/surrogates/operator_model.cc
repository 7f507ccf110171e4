// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/operator_model.h>
#include <torch/utils.h>

#include <cmath>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  std::shared_ptr<OperatorModel>
  make_model(const bool with_prior)
  {
    auto model = std::make_shared<OperatorModel>("Fourier",
                                                 OperatorShape{1, 1, 2},
                                                 nlohmann::json{{"width", 4},
                                                                {"layers", 2},
                                                                {"modes", 2}},
                                                 with_prior,
                                                 "test",
                                                 5);
    model->to(torch::kFloat64);
    return model;
  }

  OperatorData
  make_data(const long n, const long s, const bool with_prior)
  {
    OperatorData data;
    data.input.fields = 2. + 3. * random_normal({n, 1, s, s}, 41);
    data.target       = 0.1 * random_normal({n, 1, s, s}, 42);
    if (with_prior)
      data.prior = data.target + 0.01 * random_normal({n, 1, s, s}, 43);
    return data;
  }



  // Whatever the units, what the network sees is of order one.
  TEST(OperatorModel, UnitsDoNotMatter)
  {
    for (const bool with_prior : {false, true})
      {
        const auto data    = make_data(4, 6, with_prior);
        auto       other   = data;
        other.input.fields = 1e3 * data.input.fields - 7.;
        other.target       = 1e-3 * data.target;
        if (with_prior)
          other.prior = 1e-3 * data.prior;
        const auto a = make_model(with_prior), b = make_model(with_prior);
        a->set_scales(data);
        b->set_scales(other);
        EXPECT_LT(distance(1e-3 * a->forward(data), b->forward(other)), 1e-12);
      }
  }



  TEST(OperatorModel, FactorsAreExact)
  {
    const auto data = make_data(3, 6, true);
    auto       free = torch::ones({6, 6}, torch::kFloat64);
    free.slice(0, 0, 1).zero_();
    const auto model = make_model(true);
    model->set_scales(data);
    model->set_factor(free);
    const auto prediction = model->forward(data);
    EXPECT_TRUE(
      torch::equal(prediction.slice(2, 0, 1), data.prior.slice(2, 0, 1)));
    EXPECT_GT(distance(prediction, data.prior), 1e-4);
  }



  // Of a model without symmetries, on a grid whose symmetries are the flips.
  TEST(OperatorModel, SymmetricMeansAreSymmetric)
  {
    const torch::NoGradGuard no_gradients;
    OperatorModel            model("Fourier",
                        OperatorShape{1, 1, 2},
                        {{"width", 4}, {"layers", 1}, {"modes", 2}},
                        true,
                        "test",
                        11);
    model.to(torch::kFloat64);
    const auto grid = torch::arange(30, torch::kInt64).reshape({5, 6});
    std::vector<torch::Tensor> images;
    for (const std::vector<std::int64_t> &directions :
         std::vector<std::vector<std::int64_t>>{{}, {0}, {1}, {0, 1}})
      images.push_back(grid.flip(directions).flatten());
    const auto   symmetries = torch::stack(images);
    OperatorData data;
    data.input.fields = random_normal({3, 1, 5, 6}, 12);
    data.prior        = random_normal({3, 1, 5, 6}, 13);
    data.target       = random_normal({3, 1, 5, 6}, 14);

    const auto mean = symmetric_mean(model, data, symmetries);
    EXPECT_TRUE(
      torch::equal(data.turned(symmetries[1]).target, data.target.flip({2})));
    EXPECT_TRUE(torch::equal(
      data.turned(symmetries.index_select(0, torch::tensor({0, 1, 2}))).prior,
      torch::cat({data.prior.slice(0, 0, 1),
                  data.prior.slice(0, 1, 2).flip({2}),
                  data.prior.slice(0, 2, 3).flip({3})})));
    double squares = 0;
    for (long g = 0; g < 4; ++g)
      {
        const auto   image = data.turned(symmetries[g]);
        OperatorData answer;
        answer.input.fields = mean;
        EXPECT_LT(distance(symmetric_mean(model, image, symmetries),
                           answer.turned(symmetries[g]).input.fields),
                  1e-12);
        squares +=
          (model.forward(image) - image.target).square().sum().item<double>() /
          4.;
      }
    EXPECT_LT((mean - data.target).square().sum().item<double>(), squares);
    EXPECT_GT(distance(mean, model.forward(data)), 1e-3);
  }



  TEST(OperatorModel, FilesKeepEveryBit)
  {
    const TemporaryFolder folder;
    const auto            data  = make_data(3, 6, true);
    const auto            model = make_model(true);
    model->set_scales(data);
    model->set_factor(torch::rand({6, 6}, torch::kFloat64));
    ModelFile file;
    model->save(file);
    file.write(folder / "model.safetensors");

    const auto read =
      OperatorModel::load(ModelFile::read(folder / "model.safetensors"));
    EXPECT_TRUE(torch::equal(read->forward(data), model->forward(data)));
  }



  TEST(OperatorModel, WrongFilesAreExplained)
  {
    ModelFile file;
    make_model(true)->save(file);
    file.filename = "model.safetensors";

    auto spoiled = file;
    spoiled.metadata["operator"].erase("type");
    expect_sentence(message_of<FileError>(
                      [&]() { OperatorModel::load(spoiled); }),
                    {"model.safetensors", "not complete"});
    spoiled = file;
    spoiled.tensors.erase("operator.network.lifting.weight");
    expect_sentence(message_of<FileError>(
                      [&]() { OperatorModel::load(spoiled); }),
                    {"model.safetensors", "lifting.weight"});
    spoiled = file;
    spoiled.tensors["operator.network.lifting.weight"] =
      torch::zeros({2, 2}, torch::kFloat64);
    expect_sentence(message_of<FileError>(
                      [&]() { OperatorModel::load(spoiled); }),
                    {"model.safetensors", "lifting.weight", "shape"});
  }



  TEST(OperatorModel, SamplesAreChosen)
  {
    auto data         = make_data(5, 4, true);
    data.input.points = random_normal({16, 2}, 47);
    const auto chosen = data.select(torch::tensor({3, 1}));
    EXPECT_EQ(chosen.size(), 2);
    EXPECT_TRUE(torch::equal(chosen.target[0], data.target[3]));
    EXPECT_TRUE(torch::equal(chosen.prior[1], data.prior[1]));
    EXPECT_TRUE(
      torch::equal(chosen.input.fields,
                   data.input.fields.index_select(0, torch::tensor({3, 1}))));
    EXPECT_TRUE(torch::equal(chosen.input.points, data.input.points));
    EXPECT_TRUE(
      torch::equal(data.slice(1, 3).target, data.target.slice(0, 1, 3)));
  }



  // Clouds of different sizes side by side, and domains that differ on a grid.
  TEST(OperatorModel, MasksBelongToTheirSamples)
  {
    for (const bool on_a_grid : {false, true})
      {
        auto data       = make_data(5, 4, true);
        data.input.mask = random_normal({5, 4, 4}, 48) > 0.;
        if (!on_a_grid)
          {
            data.input.fields = data.input.fields.flatten(2);
            data.input.mask   = data.input.mask.flatten(1);
            data.prior        = data.prior.flatten(2);
            data.target       = data.target.flatten(2);
          }
        const auto mask = data.input.mask;

        const auto numbers  = torch::tensor({3, 1});
        const auto selected = data.select(numbers).input.mask;
        ASSERT_TRUE(selected.defined());
        EXPECT_TRUE(torch::equal(selected, mask.index_select(0, numbers)));
        const auto sliced = data.slice(1, 3).input.mask;
        ASSERT_TRUE(sliced.defined());
        EXPECT_TRUE(torch::equal(sliced, mask.slice(0, 1, 3)));

        // It goes with the values, in all samples alike or in each by itself.
        const auto flips =
          torch::stack({torch::arange(16), torch::arange(16).flip(0)});
        EXPECT_TRUE(torch::equal(data.turned(flips[1]).input.mask.flatten(1),
                                 mask.flatten(1).flip(1)));
        const auto turned =
          data.slice(1, 3).turned(flips).input.mask.flatten(1);
        EXPECT_TRUE(torch::equal(turned[0], mask[1].flatten()));
        EXPECT_TRUE(torch::equal(turned[1], mask[2].flatten().flip(0)));

        // What counts a little in one type must not count for nothing in
        // another.
        data.input.mask = mask.to(torch::kFloat64) * 1e-30;
        const auto half = data.to(torch::kFloat16);
        EXPECT_EQ(half.target.scalar_type(), torch::kFloat16);
        ASSERT_TRUE(half.input.mask.defined());
        EXPECT_TRUE(torch::equal(half.input.mask.to(torch::kBool), mask));
      }
  }



  // What the fields are in masked points is nobody's business: not for scales,
  // nor after the samples have been chosen, moved and turned.
  TEST(OperatorModel, MaskedPointsDoNotMatter)
  {
    OperatorModel model("attention",
                        {1, 1, 2},
                        {{"width", 4}, {"heads", 1}, {"slices", 2}},
                        false,
                        "test",
                        6);
    model.to(torch::kFloat64);
    auto data       = make_data(4, 4, false);
    data.input.mask = random_normal({4, 4, 4}, 48) > 0.;
    auto other      = data;
    other.input.fields =
      data.input.fields.masked_fill(data.input.mask.logical_not().unsqueeze(1),
                                    7.);
    other.target =
      data.target.masked_fill(data.input.mask.logical_not().unsqueeze(1), NAN);
    const auto turn   = torch::arange(15, -1, -1);
    const auto answer = [&](const OperatorData &samples) {
      model.set_scales(samples);
      return model.forward(samples.select(torch::tensor({2, 0, 3}))
                             .slice(1, 3)
                             .turned(turn)
                             .to(torch::kFloat64));
    };
    EXPECT_LT(distance(answer(data), answer(other)), 1e-13);
    EXPECT_GT(answer(data).abs().max().item<double>(), 1e-3);
  }
} // namespace
