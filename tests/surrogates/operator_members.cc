// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/operators/neural_operator.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  constexpr long members = 3; // and no other size below is three

  struct Case
  {
    std::string    name, type;
    nlohmann::json parameters;
    OperatorInput  input;
    OperatorShape  shape;
  };

  /** Of every operator with members, all that it can be given. */
  std::vector<Case>
  cases()
  {
    const OperatorShape  shape{2, 4, 2};
    const auto           fields = random_normal({5, 2, 6, 7}, 70);
    const OperatorInput  grid{fields};
    const OperatorInput  points{fields.flatten(2), random_normal({42, 2}, 71)};
    const OperatorInput  own{fields.flatten(2), random_normal({5, 42, 2}, 72)};
    OperatorInput        masked = own;
    const nlohmann::json fourier{{"width", 4}, {"layers", 2}, {"modes", 2}};
    const nlohmann::json attention{{"width", 8},
                                   {"layers", 2},
                                   {"heads", 2},
                                   {"slices", 5}};
    const nlohmann::json branch{{"sensors", 42},
                                {"basis", 5},
                                {"width", 6},
                                {"branch layers", 2}};
    const auto           with = [](nlohmann::json        parameters,
                         const nlohmann::json &changes) {
      parameters.update(changes);
      return parameters;
    };
    masked.mask = random_uniform({5, 42}, 0., 1., 73) > 0.3;
    masked.fields =
      masked.fields.masked_fill(masked.mask.logical_not().unsqueeze(1), NAN);
    const nlohmann::json local{{"local convolution", true},
                               {"local network", true}},
      temperature{{"point temperature", true}};
    return {
      {"Fourier", "Fourier", fourier, grid, shape},
      {"attention on a grid", "attention", attention, grid, shape},
      {"attention at points", "attention", attention, points, shape},
      {"with masks", "attention", attention, masked, shape},
      {"with neighbours", "attention", with(attention, local), grid, shape},
      {"with temperatures",
       "attention",
       with(attention, temperature),
       own,
       shape},
      {"DeepONet on a grid", "DeepONet", branch, grid, shape},
      {"DeepONet at points", "DeepONet", branch, points, shape},
      {"DeepONet at own points", "DeepONet", branch, own, shape},
      {"affine DeepONet",
       "DeepONet",
       with(branch, {{"branch layers", 0}, {"trunk layers", 0}}),
       own,
       shape},
      {"POD DeepONet", "POD DeepONet", branch, grid, shape},
      {"POD DeepONet at points", "POD DeepONet", branch, points, shape}};
  }



  /**
   * What member @p i has of @p all, in the shape of an operator by itself:
   * groups of it, or rows side by side where all read the same, or everything.
   */
  torch::Tensor
  part(const torch::Tensor &all, const at::IntArrayRef own, const long i)
  {
    if (all.sizes() == own)
      return all;
    if (all.dim() == long(own.size()))
      return all.chunk(members)[i];
    long d = 0;
    while (all.size(d) != members)
      ++d;
    return all.select(d, i);
  }



  // Members in one pass are operators by themselves: what they say, and the
  // derivatives by all of their weights.
  TEST(OperatorMembers, AreSeparateOperators)
  {
    std::vector<std::string> seen;
    for (const auto &one : cases())
      for (const bool shared : {false, true})
        {
          SCOPED_TRACE(one.name + (shared ? ", shared trunk" : ""));
          seen.push_back(one.type);
          const auto single =
            make_operator(one.type, one.shape, one.parameters, "test", 1);
          auto of_several            = one.parameters;
          of_several["members"]      = members;
          of_several["shared trunk"] = shared;
          const auto all =
            make_operator(one.type, one.shape, of_several, "test", 2);
          EXPECT_EQ(all->n_members(), members);
          EXPECT_EQ(single->n_members(), 1);
          randomize_weights(*all, 0.4, 74);
          single->to(torch::kFloat64);
          const auto outputs = random_normal({9, 4, 42}, 75);
          all->look_at_outputs(outputs);
          single->look_at_outputs(outputs);

          const auto answers = all->forward(one.input);
          auto       shape   = one.input.fields.sizes().vec();
          shape[1]           = one.shape.out_channels;
          shape.insert(shape.begin(), members);
          ASSERT_EQ(answers.sizes().vec(), shape);
          const auto weights = random_normal(shape, 76);
          (answers * weights).sum().backward();

          std::map<std::string, torch::Tensor> sums;
          const auto                           of_all = all->named_parameters();
          for (long i = 0; i < members; ++i)
            {
              single->zero_grad();
              for (auto &item : single->named_parameters())
                item.value().set_data(
                  part(of_all[item.key()].detach(), item.value().sizes(), i)
                    .clone()
                    .contiguous());
              const auto answer = single->forward(one.input);
              EXPECT_LT(distance(answer, answers[i]), 1e-12);
              (answer * weights[i]).sum().backward();
              for (const auto &item : single->named_parameters())
                {
                  const auto &mine   = item.value().grad();
                  const auto &theirs = of_all[item.key()].grad();
                  ASSERT_TRUE(mine.defined() && theirs.defined()) << item.key();
                  if (theirs.sizes() == mine.sizes())
                    {
                      auto &sum = sums[item.key()];
                      sum       = sum.defined() ? sum + mine : mine.clone();
                      if (i + 1 < members)
                        continue;
                      EXPECT_TRUE(shared) << item.key();
                      EXPECT_LT(distance(sum, theirs),
                                1e-12 *
                                  (1. + theirs.abs().max().item<double>()))
                        << item.key();
                    }
                  else
                    {
                      EXPECT_LT(distance(part(theirs, mine.sizes(), i), mine),
                                1e-12 * (1. + mine.abs().max().item<double>()))
                        << item.key();
                    }
                }
            }
          EXPECT_GT(distance(answers[0], answers[1]), 1e-3);
          // Affine networks consist of last layers.
          EXPECT_EQ(sums.empty(), !shared || one.name == "affine DeepONet");
        }

    // All that there are have been here.
    for (const auto &entry : OperatorRegistry::entries())
      {
        const auto &known = entry.second.parameters;
        const bool  has_members =
          std::any_of(known.begin(), known.end(), [](const auto &parameter) {
            return parameter.name == "members";
          });
        EXPECT_EQ(std::count(seen.begin(), seen.end(), entry.first) > 0,
                  has_members)
          << entry.first;
      }
  }
} // namespace
