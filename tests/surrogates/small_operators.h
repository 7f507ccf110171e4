// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_small_operators_h
#define neuraldeal_tests_surrogates_small_operators_h

#include <neuraldeal/surrogates/operators/operator_model.h>

#include "test_tools.h"

namespace neuraldeal::tests
{
  /** An operator with few weights, all of them random, and data to it. */
  struct SmallOperator
  {
    std::shared_ptr<OperatorModel> model;
    OperatorData                   data;
  };

  /** The parameters of @p type with as few weights as make sense. */
  inline nlohmann::json
  small_parameters(const std::string &type, const long n_points)
  {
    if (type == "Fourier")
      return {{"width", 3}, {"layers", 2}, {"modes", 2}};
    if (type == "attention")
      return {{"width", 4}, {"layers", 1}, {"heads", 2}, {"slices", 3}};
    return {{"sensors", n_points},
            {"basis", 3},
            {"width", 4},
            {"branch layers", 1},
            {"trunk layers", 1}};
  }

  /**
   * @param type "Fourier", "attention" or "DeepONet".
   * @param n samples on grids of 4 × 5 points, with two channels in and out,
   * in float64.
   */
  inline SmallOperator
  small_operator(const std::string    &type,
                 const long            n,
                 const nlohmann::json &changes = nlohmann::json::object())
  {
    SmallOperator result;
    auto          parameters = small_parameters(type, 20);
    parameters.update(changes);
    result.model = std::make_shared<OperatorModel>(
      type, OperatorShape{2, 2, 2}, parameters, false, "test", 3);
    randomize_weights(*result.model, 0.5, 77);
    result.data.input.fields = random_normal({n, 2, 4, 5}, 501);
    result.data.target       = random_normal({n, 2, 4, 5}, 502);
    result.model->set_scales(result.data);
    result.model->eval();
    return result;
  }
} // namespace neuraldeal::tests

#endif
