// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/registry.h>
#include <neuraldeal/surrogates/surrogate.h>

#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  const std::vector<ParameterDescription> parameters = {
    {"width", 64, 1, 4096, "an integer"},
    {"rate", 3e-3, 1e-8, 1., "a number"},
    {"norm", "L2", 0, 0, "a text"},
    {"silent", false, 0, 0, "a truth value"}};

  std::string
  complaint(const nlohmann::json &given)
  {
    return message_of<InputError>(
      [&]() { complete_parameters(parameters, given, "input.json"); });
  }



  TEST(Registry, DefaultsAreFilledIn)
  {
    const nlohmann::json defaults = {{"width", 64},
                                     {"rate", 3e-3},
                                     {"norm", "L2"},
                                     {"silent", false}};
    EXPECT_EQ(complete_parameters(parameters,
                                  nlohmann::json::object(),
                                  "input.json"),
              defaults);
  }



  TEST(Registry, GivenValuesCount)
  {
    // The whole number 1 is a valid real one, and ends are inside.
    const nlohmann::json given = {{"width", 4096},
                                  {"rate", 1},
                                  {"norm", "H1"},
                                  {"silent", true}};
    EXPECT_EQ(complete_parameters(parameters, given, "input.json"), given);
  }



  TEST(Registry, UnknownParameterListsTheValidOnes)
  {
    expect_sentence(complaint({{"widht", 64}}),
                    {"input.json", "widht", "width, rate, norm, silent"});
  }



  TEST(Registry, WrongTypeIsRefused)
  {
    expect_sentence(
      complaint({{"width", 1.5}}),
      {"input.json", "width", "1.5", "an integer from 1 to 4096"});
    expect_sentence(complaint({{"width", "many"}}), {"width", "many"});
    expect_sentence(complaint({{"width", true}}), {"width", "true"});
    expect_sentence(complaint({{"rate", "fast"}}), {"rate", "fast"});
    expect_sentence(complaint({{"norm", 2}}), {"norm", "2", "L2"});
    expect_sentence(complaint({{"silent", 1}}), {"silent", "1", "false"});
    expect_sentence(complaint({{"width", nullptr}}), {"width", "null"});
  }



  TEST(Registry, OutOfRangeIsRefused)
  {
    expect_sentence(complaint({{"width", 0}}),
                    {"input.json", "width", "'0'", "from 1 to 4096"});
    expect_sentence(complaint({{"width", 4097}}), {"4097"});
    expect_sentence(complaint({{"rate", -1e-3}}), {"rate", "-0.001"});
    expect_sentence(complaint({{"rate", 1.5}}), {"1.5", "to 1"});
  }



  TEST(Registry, OneRegistrationTiesItAllTogether)
  {
    struct Product
    {
      int number;
    };
    using Products = Registry<Product, std::function<Product(const int)>>;
    const Products::Registration first("first",
                                       "gives what it gets",
                                       parameters,
                                       [](const int i) { return Product{i}; });
    const Products::Registration second("second",
                                        "gives one more",
                                        {},
                                        [](const int i) {
                                          return Product{i + 1};
                                        });

    EXPECT_EQ(Products::names(), "first, second");
    EXPECT_EQ(Products::names("|"), "first|second");
    const auto &entry = Products::find("input.json", "the product", "second");
    EXPECT_EQ(entry.documentation, "gives one more");
    EXPECT_EQ(entry.factory(3).number, 4);
    EXPECT_EQ(
      Products::find("input.json", "the product", "first").parameters.size(),
      4);
    expect_sentence(message_of<InputError>([]() {
                      Products::find("input.json", "the product", "third");
                    }),
                    {"input.json", "the product", "third", "first, second"});
  }



  TEST(Registry, SurrogatesAreMadeByName)
  {
    const auto surrogate = make_surrogate("POD network",
                                          {InputRange{"k", 0., 1., false}},
                                          {{"members", 2}},
                                          "input.json");
    ASSERT_NE(surrogate, nullptr);
    EXPECT_TRUE(surrogate->supports_covariance());

    expect_sentence(message_of<InputError>(
                      []() { make_surrogate("oracle", {}, {}, "input.json"); }),
                    {"input.json", "oracle", "POD network"});
    expect_sentence(
      message_of<InputError>([]() {
        make_surrogate("POD network", {}, {{"members", 0}}, "input.json");
      }),
      {"input.json", "members", "from 1 to 64"});
  }
} // namespace
