// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_small_trainings_h
#define neuraldeal_tests_surrogates_small_trainings_h

#include <neuraldeal/surrogates/training/trainer.h>

#include "solution_operators.h"

namespace neuraldeal::tests
{
  /** Inputs alone, [n, c, …]. */
  inline OperatorData
  as_data(const torch::Tensor &values)
  {
    OperatorData result;
    result.input.fields = values;
    return result;
  }



  /** Parameters of a Fourier neural operator. */
  inline const nlohmann::json small_operator = {{"width", 8},
                                                {"layers", 2},
                                                {"modes", 4},
                                                {"padding", 0.},
                                                {"mixing layers", false}};

  inline std::shared_ptr<OperatorModel>
  make_model(const OperatorData &data, const std::uint64_t seed = 7)
  {
    auto model = std::make_shared<OperatorModel>(
      "Fourier", OperatorShape{1, 1, 1}, small_operator, false, "test", seed);
    model->set_scales(data);
    model->to(torch::kFloat64);
    return model;
  }

  inline std::shared_ptr<const Loss>
  relative_l2()
  {
    return make_loss("relative L2", nlohmann::json::object(), "test", {});
  }

  inline Trainer::Parameters
  few_epochs()
  {
    Trainer::Parameters parameters;
    parameters.epochs        = 6;
    parameters.batch_size    = 8;
    parameters.learning_rate = 5e-3;
    parameters.average       = 0.9;
    return parameters;
  }

  inline std::vector<torch::Tensor>
  weights_of(OperatorModel &model)
  {
    std::vector<torch::Tensor> result;
    for (const auto &parameter : model.parameters())
      result.push_back(parameter.detach().clone());
    return result;
  }

  inline bool
  equal(const std::vector<torch::Tensor> &a,
        const std::vector<torch::Tensor> &b)
  {
    bool result = a.size() == b.size();
    for (std::size_t i = 0; i < a.size() && result; ++i)
      result = torch::equal(a[i], b[i]);
    return result;
  }
} // namespace neuraldeal::tests

#endif
