// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/random_fields/field_transform.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <cmath>

#include "../test_tools.h"

using namespace neuraldeal;
using namespace TestTools;

TEST(FieldTransform, AreWhatTheirNamesSay)
{
  const auto affine =
    make_field_transform("affine", {{"mean", 2.}, {"factor", -3.}}, "a.prm");
  EXPECT_EQ(affine(0.5), 0.5);
  EXPECT_EQ(make_field_transform("affine", {}, "a.prm")(0.3), 0.3);

  const auto log_normal =
    make_field_transform("log-normal", {{"mean", 1.}, {"factor", 2.}}, "a.prm");
  EXPECT_DOUBLE_EQ(log_normal(-0.25), std::exp(0.5));

  const auto threshold = make_field_transform("threshold", {}, "a.prm");
  EXPECT_EQ(threshold(-1e-300), 3.);
  EXPECT_EQ(threshold(0.), 12.);
  const auto other =
    make_field_transform("threshold",
                         {{"level", 1.}, {"below", 7.}, {"above", 5.}},
                         "a.prm");
  EXPECT_EQ(other(0.99), 7.);
  EXPECT_EQ(other(1.01), 5.);
}



TEST(FieldTransform, MistakesAreOneSentence)
{
  expect_sentence(
    message_of([] { make_field_transform("lognormal", {}, "a.prm"); }),
    {"a.prm", "Transform", "lognormal", "affine, log-normal, threshold"});
  expect_sentence(message_of([] {
                    make_field_transform("affine", {{"scale", 1.}}, "a.prm");
                  }),
                  {"a.prm", "scale", "mean", "factor"});
  expect_sentence(message_of([] {
                    make_field_transform("affine", {{"mean", "a"}}, "a.prm");
                  }),
                  {"a.prm", "mean", "a number"});
}
