// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/operator_surrogate.h>
#include <neuraldeal/surrogates/pod_kernel_regression.h>
#include <neuraldeal/surrogates/pod_network.h>
#include <neuraldeal/surrogates/surrogate.h>
#include <neuraldeal/surrogates/torch_script_surrogate.h>

namespace neuraldeal
{
  void
  register_surrogates()
  {
    OperatorSurrogate::register_type();
    PODKernelRegression::register_type();
    PODNetwork::register_type();
    TorchScriptSurrogate::register_type();
  }



  std::unique_ptr<Surrogate>
  make_surrogate(const std::string             &type,
                 const std::vector<InputRange> &inputs,
                 const nlohmann::json          &parameters,
                 const std::string             &source)
  {
    register_surrogates();
    const auto &entry = SurrogateRegistry::find(source, "the surrogate", type);
    const auto  complete =
      complete_parameters(entry.parameters, parameters, source);
    try
      {
        return entry.factory(inputs, complete);
      }
    catch (const InputError &error)
      {
        // The class does not know where its parameters come from.
        throw InputError(source, error);
      }
  }
} // namespace neuraldeal
