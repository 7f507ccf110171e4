// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/operators/attention_operator.h>
#include <neuraldeal/surrogates/operators/deep_onet.h>
#include <neuraldeal/surrogates/operators/fourier_operator.h>
#include <neuraldeal/surrogates/operators/latent_ode.h>
#include <neuraldeal/surrogates/operators/neural_operator.h>
#include <torch/utils.h>

#include <algorithm>

namespace neuraldeal
{
  void
  NeuralOperator::look_at_outputs(const torch::Tensor &)
  {}



  void
  register_operators()
  {
    AttentionOperator::register_type();
    DeepONet::register_type();
    FourierOperator::register_type();
    LatentODE::register_type();
    PODDeepONet::register_type();
  }



  bool
  operator_has_parameter(const std::string &type, const std::string &name)
  {
    register_operators();
    const auto entry = OperatorRegistry::entries().find(type);
    if (entry == OperatorRegistry::entries().end())
      return false;
    const auto &known = entry->second.parameters;
    return std::any_of(known.begin(),
                       known.end(),
                       [&](const ParameterDescription &parameter) {
                         return parameter.name == name;
                       });
  }



  std::shared_ptr<NeuralOperator>
  make_operator(const std::string    &type,
                const OperatorShape  &shape,
                const nlohmann::json &parameters,
                const std::string    &source,
                const std::uint64_t   seed)
  {
    register_operators();
    const auto &entry = OperatorRegistry::find(source, "operator", type);
    const auto  complete =
      complete_parameters(entry.parameters, parameters, source);
    torch::manual_seed(seed);
    return entry.factory(shape, complete);
  }
} // namespace neuraldeal
