// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// A shared library of somebody else's, with a surrogate in it.

#include <neuraldeal/surrogates/pod_kernel_regression.h>

namespace
{
  using namespace neuraldeal;

  /** The project's own under another name, with one parameter. */
  class UserSurrogate : public PODKernelRegression
  {
  public:
    UserSurrogate(const std::vector<InputRange> &inputs,
                  const nlohmann::json          &parameters)
      : PODKernelRegression(
          inputs,
          complete_parameters(
            SurrogateRegistry::entries().at("POD kernel regression").parameters,
            parameters,
            "the user's surrogate"))
      , parameters(parameters)
    {}

    void
    save(ModelFile &file) const override
    {
      PODKernelRegression::save(file);
      file.metadata["surrogate"] = {{"type", "user's surrogate"},
                                    {"parameters", parameters}};
    }

  private:
    const nlohmann::json parameters;
  };

  const SurrogateRegistry::Registration
    registration("user's surrogate",
                 "from a library of the user's",
                 {{"maximal modes", 4, 1., 64., "Of solutions."}},
                 [](const std::vector<InputRange> &inputs,
                    const nlohmann::json          &parameters) {
                   return std::make_unique<UserSurrogate>(inputs, parameters);
                 });
} // namespace
